"""Study files are read whole or refused with everything that is wrong; specs are named by their content."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from raystudy.catalogue import Parameter, catalogue, layers, space_folder, suites
from raystudy.errors import ConfigError
from raystudy.spec import Numerics, Record, Setting, Spec, canonical, digest
from raystudy.studyfile import Study, expand_study, read_study

GOOD = """\
name: mine
plm: minilm
tasks: [polarity, stars]
targets: [stars]
shots: [20]
methods: [single_task, multi_task]
search: {trials: 1}
report: {seeds: 2}
"""
BUILT_IN = GOOD.replace("[polarity, stars]", "[lexicon/polarity, lexicon/stars]").replace("[stars]", "[lexicon/stars]")


def write(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str, *overrides: str) -> list[str]:
    """The problems of a study file, without its path."""
    path = write(folder, text)
    with pytest.raises(ConfigError) as e:
        read_study(path, overrides)
    return [str(p).replace(str(path), "study.yaml") for p in e.value.problems]


def test_a_good_file(tmp_path: Path) -> None:
    study = read_study(write(tmp_path, GOOD))
    assert study.target_names == ("stars",)
    assert study.settings_grid == (Setting(shots=20),)
    assert [str(a) for a in study.arms()] == ["single_task@k=20", "multi_task@k=20"]


def test_everything_wrong_is_said_at_once_with_its_line(tmp_path: Path) -> None:
    text = """\
name: ../../x
plm: minilm
task: [polarity]
tasks: [polarity, stars]
targets: [starz]
shots: 0
methods:
  - single_taks
  - meta_dtl: {lamda: 0.1, lambda: 7, cross: mean}
settings: {lr: fast}
search: {trials: -1, trails: 3}
report: {seeds: two, baseline: majority}
"""
    found = refused(tmp_path, text)
    joined = "\n".join(found)
    for line, rule in (
        (1, "name: must be a plain name"),
        (3, "task: unknown key 'task' — did you mean 'tasks'?"),
        (6, "shots"),
        (8, "unknown method 'single_taks' — did you mean 'single_task'?"),
        (9, "unknown setting 'lamda' of meta_dtl — did you mean 'lambda'?"),
        (9, "lambda must be in [0, 1], but got 7"),
        (9, "unknown setting 'cross' of meta_dtl"),
        (10, "settings.lr: lr must be a number, but got 'fast'"),
        (11, "search.trials"),
        (11, "unknown key 'trails' — did you mean 'trials'?"),
        (12, "report.seeds"),
    ):
        assert any(f"study.yaml:{line}: " in p and rule in p for p in found), f"line {line}, {rule!r} not in\n{joined}"


def test_names_that_need_the_whole_file(tmp_path: Path) -> None:
    text = GOOD.replace("[stars]", "[starz]") + "settings: {sampler: pps, smapler: pps}\n"
    text = text.replace("report: {seeds: 2}", "report: {baseline: meta_dtl}").replace(
        "single_task,", "single_task_matched,"
    )
    found = refused(tmp_path, text)
    assert any(p.startswith("study.yaml:4: targets[0]") and "did you mean 'stars'" in p for p in found)
    assert any("report.baseline" in p and "meta_dtl" in p for p in found)
    assert any("single_task_matched copies the settings of single_task" in p for p in found)
    assert any("'smapler' — did you mean 'sampler'?" in p for p in found)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: [unclosed", "is not valid YAML"),
        ("- a\n- b\n", "must be a mapping"),
        ("", "must be a mapping"),
        ("name: x\nname: y\n", "duplicate key"),
        ("name: \x00", "is not valid YAML"),
    ],
)
def test_what_is_not_a_mapping_of_yaml(tmp_path: Path, text: str, says: str) -> None:
    assert says in refused(tmp_path, text)[0]


def test_binary_and_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_study(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_study(tmp_path / "none.yaml")


def test_yaml_1_2(tmp_path: Path) -> None:
    """``1e-5`` is a number and ``no`` is a word."""
    study = read_study(write(tmp_path, GOOD + "settings: {lr: 1e-5}\nabout: no\n"))
    assert study.settings == {"lr": 1e-5}
    assert study.about == "no"


def test_overrides(tmp_path: Path) -> None:
    study = read_study(write(tmp_path, GOOD), ["report.seeds=7", "shots=[5, 10]", "settings.lr=1e-4"])
    assert (study.report.seeds, study.shots, study.settings) == (7, (5, 10), {"lr": 1e-4})
    assert "--set" in refused(tmp_path, GOOD, "nonsense")[0]
    assert "report.seed" in refused(tmp_path, GOOD, "report.seed=7")[0]


def test_halving_needs_cells_to_compare(tmp_path: Path) -> None:
    found = refused(tmp_path, BUILT_IN.replace("{trials: 1}", "{trials: 4, halving: 2}"))
    assert "at least two cells" in found[0]
    own = write(tmp_path, GOOD.replace("{trials: 1}", "{trials: 4, halving: 2}"))  # `stars` could be several domains
    with pytest.raises(ConfigError) as e:
        expand_study(read_study(own), None)
    assert str(e.value).startswith(f"{own}:7: search.halving: halving compares")


@pytest.mark.parametrize("path", sorted((space_folder() / "studies").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_study_is_valid(path: Path) -> None:
    assert read_study(path).name == path.stem


def spec() -> Spec:
    return Spec(
        phase="confirm",
        variant="single_task",
        method="single_task",
        settings=catalogue().defaults("single_task"),
        suite=("a", "b"),
        target="a",
        setting=Setting(shots=20),
        seed=3,
        plm="tiny",
        plm_digest="x",
        data={"a": "1", "b": "2"},
    )


def test_a_spec_is_named_by_its_content_alone() -> None:
    one = spec()
    assert Spec.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert Spec.from_json(one.to_json()).id == one.id
    others = [
        replace(one, seed=4),
        replace(one, phase="search"),
        replace(one, setting=Setting(shots=21)),
        replace(one, settings={**one.settings, "lr": 1e-4}),
        replace(one, data={"a": "1", "b": "3"}),
        replace(one, numerics=Numerics(workers=2)),
    ]
    assert len({s.id for s in (one, *others)}) == len(others) + 1
    assert replace(one, settings=dict(reversed(one.settings.items()))).id == one.id


def test_a_record_survives_json() -> None:
    record = Record(spec(), "done", metrics={"dev": {"accuracy": 1 / 3}}, facts={"metric": "accuracy"})
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_canonical_refuses_what_json_cannot_say() -> None:
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(float("nan"))


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (
            {"type": "float", "paper": 0.5, "low": 0, "high": 1, "exclusive": ["low"]},
            [0.1, 1],
            [0, 1.1, True, "1", 1e999],
        ),
        ({"type": "int", "paper": 1, "low": 1}, [1, 2.0], [0, 1.5, False, None]),
        ({"type": "bool", "paper": True}, [True, False], [1, "true"]),
        ({"type": "choice", "paper": "a", "choices": ["a", "b"]}, ["a", "b"], ["c", True, ["a"]]),
    ],
)
def test_parameter_rules(rule: dict[str, object], good: list[object], bad: list[object]) -> None:
    p = Parameter.model_validate({"about": "x", "reads": ["adapt"], **rule})
    for value in good:
        assert type(p.check(value)) is {"float": float, "int": int, "bool": bool, "choice": str}[p.type]
    for value in bad:
        with pytest.raises(ValueError, match="must be"):
            p.check(value)


def test_settings_resolve_in_layers_and_refuse_what_defines_the_variant() -> None:
    cat = catalogue()
    assert cat.resolve("meta_dtl", {"lr": 1e-4}, {"lr": 2e-4})["lr"] == 2e-4
    with pytest.raises(ConfigError, match="is defined by lambda"):
        cat.resolve("meta_dtl_wo_wmer", {"lambda": 0.2})
    assert cat.resolve("meta_dtl_wo_wmer", {"lambda": 0})["lambda"] == 0.0


def test_the_symbols_of_the_card_reach_an_arm() -> None:
    """lambda and MMT epochs are searched by some variant (alpha, inner steps, k and eta_k come with their methods)."""
    searched = {name for v in catalogue().variants for name in catalogue().searched_parameters(v, {})}
    assert {"lambda", "mmt_epochs"} <= searched


def test_a_floor_searches_nothing_that_is_not_in_effect() -> None:
    assert list(catalogue().searched_parameters("majority", {})) == []
    assert list(catalogue().searched_parameters("frozen_logistic", {})) == ["c"]


def test_one_value_where_a_list_is_meant() -> None:
    study = Study.model_validate({"name": "x", "tasks": "a", "shots": 5, "methods": ["single_task"]})
    assert study.tasks == ("a",)
    assert study.shots == (5,)


# ---------------------------------------------------------------------------------------------------------------------
# names that stand for several tasks


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data root with `reviews` (domains books and dvd), `plain` (none) and `broken` (no rows)."""
    root = tmp_path / "data"
    for name, rows in (
        ("reviews", [f"{d} {x},{x},{d}" for d in ("dvd", "books") for x in ("good", "bad")]),
        ("plain", ["a,x", "b,y"]),
        ("broken", []),
    ):
        (root / name).mkdir(parents=True)
        head = "text,label,domain" if name == "reviews" else "text,label"
        for split in ("train", "validation", "test"):
            (root / name / f"{split}.csv").write_text("\n".join([head, *rows]) + "\n")
    return root


def stands(data: Path, keys: str) -> Study:
    path = write(data, f"name: mine\nmethods: [single_task]\n{keys}\n")
    return expand_study(read_study(path), data)


BOTH = ("reviews/books", "reviews/dvd")


@pytest.mark.parametrize(
    ("keys", "tasks", "targets"),
    [
        ("tasks: [reviews, plain]", (*BOTH, "plain"), (*BOTH, "plain")),
        ("tasks: [reviews, plain]\ntargets: [reviews]", (*BOTH, "plain"), BOTH),
        ("tasks: [plain, reviews]\ntargets: [reviews/dvd]", ("plain", *BOTH), ("reviews/dvd",)),
        ("tasks: [reviews/*]\ntargets: [reviews/*]", BOTH, BOTH),
        ("tasks: [reviews/*]\ntargets: [reviews]", BOTH, BOTH),
        ("tasks: [reviews/dvd, plain]\ntargets: [reviews]", ("reviews/dvd", "plain"), ("reviews/dvd",)),
        ("tasks: [reviews]\ntask_options: {reviews: {domains: together}}", ("reviews",), ("reviews",)),
        ("tasks: [lexicon/*]\ntargets: [lexicon/stars]", None, ("lexicon/stars",)),
        ("suite: planted", suites()["planted"]["tasks"], suites()["planted"]["targets"]),
        ("tasks: [broken, nowhere]\ntargets: [broken/books]", ("broken", "nowhere"), ("broken/books",)),
    ],
)
def test_names_stand_for_the_domains_of_their_data(
    data: Path, keys: str, tasks: tuple[str, ...] | None, targets: tuple[str, ...]
) -> None:
    study = stands(data, keys)
    assert study.task_names == (tasks or ("lexicon/stars", "lexicon/polarity", "lexicon/subjectivity"))
    assert study.target_names == targets
    assert expand_study(study, data) == study


def test_a_suite_may_name_domains(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from raystudy import studyfile

    suite = {"about": "x", "tasks": ("plain", "reviews/*"), "targets": ("reviews/*",), "length": 64}
    monkeypatch.setattr(studyfile, "suites", lambda: {"mine": suite})
    study = stands(data, "suite: mine")
    assert (study.suite, study.task_names, study.target_names) == ("mine", ("plain", *BOTH), BOTH)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (
            "tasks: [reviews]\ntargets: [reviews/bocks]",
            "4: targets[0]: the target 'reviews/bocks' is not among the tasks — did you mean 'reviews/books'?",
        ),
        (
            "tasks: [plain]\ntargets: [plain/x]",
            "4: targets[0]: the target 'plain/x' is not among the tasks — did you mean 'plain'?",
        ),
        ("tasks: [reviews, reviews/dvd]", "3: tasks: must name everything once, but 'reviews/dvd' is there twice"),
        ("tasks: [reviews]\ntargets: [reviews, reviews/dvd]", "4: targets: must name everything once"),
        (
            "tasks: [plain]\ntask_options: {plian: {}}",
            "4: task_options.plian: unknown task 'plian' — did you mean 'plain'?",
        ),
        (
            "tasks: [reviews/dvd]\ntask_options:\n  reviews/dvd: {}",
            "5: task_options.reviews/dvd: options are given to a data set, reviews",
        ),
    ],
)
def test_names_that_stand_for_nothing(data: Path, keys: str, says: str) -> None:
    with pytest.raises(ConfigError) as e:
        stands(data, keys)
    assert f"{data / 'study.yaml'}:{says}" in str(e.value)


@pytest.mark.parametrize("target", ["amazon_mds/books", "plainn", "lexicon/polarity"])
def test_targets_that_can_be_no_task_are_refused_before_any_data_are_read(tmp_path: Path, target: str) -> None:
    keys = f"name: mine\nmethods: [single_task]\ntasks: [amazon_mds, lexicon/stars, plain]\ntargets: [{target}]\n"
    assert refused(tmp_path, keys)[0].startswith(
        f"study.yaml:4: targets[0]: the target {target!r} is not among the tasks"
    )


def test_labels_may_be_numbers_in_a_study_file(tmp_path: Path) -> None:
    text = GOOD + "task_options: {stars: {label_text: {0: negative, 1: positive}}}\n"
    options = {"label_text": {"0": "negative", "1": "positive"}}
    assert read_study(write(tmp_path, text)).task_options["stars"] == options
    one = read_study(write(tmp_path, GOOD), ["task_options.stars.label_text={0: negative, 1: positive}"])
    assert one.task_options["stars"] == options
    assert "1 is a number and a text" in refused(tmp_path, text.replace("{0:", "{'1':"))[0]
    assert "a key must be text, but is 0" in refused(tmp_path, GOOD + "task_options: {stars: {0: x}}\n")[0]


# ---------------------------------------------------------------------------------------------------------------------
# settings in a method's name, layers, several suites


def test_a_name_may_carry_settings() -> None:
    cat = catalogue()
    v = cat.variant("meta_dtl[mmt_epochs=1,lambda=0.30]")
    # one spelling, whatever was written: the order of the file, the values as they print
    assert v.id == "meta_dtl[lambda=0.3, mmt_epochs=1]"
    assert cat.variant(v.id) == v
    assert v.title == "Meta-DTL (λ = 0.3, mmt epochs = 1)"
    # what it carries defines it: neither searched nor overridden
    assert cat.resolve(v.id) == {**cat.defaults("meta_dtl"), "lambda": 0.3, "mmt_epochs": 1}
    assert not {"lambda", "mmt_epochs"} & set(cat.searched_parameters(v.id, {}))
    with pytest.raises(ConfigError, match="is defined by lambda"):
        cat.resolve(v.id, {"lambda": 0.1})
    # a variant of a variant keeps what the variant is
    assert cat.variant("meta_dtl_alpha[lambda=0.2]").fixes == {"scores": "alpha", "lambda": 0.2}
    assert cat.variant("mft[layers=1/2 1]").fixes == {"layers": "1/2 1"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("meta_dtl[lambda=7]", r"lambda must be in \[0, 1\], but got 7"),
        ("meta_dtl[lamda=0.1]", "did you mean 'lambda'"),
        ("meta_dtl[lambda]", r"must look like meta_dtl\[key=value, key=value\]"),
        ("meta_dtl[lambda=1", "must look like"),
        ("meta_dtl[]", "must look like"),
        ("meta_dtl[lambda=.1,lambda=.2]", "sets lambda twice"),
        ("meta_dtl_alpha[scores=beta]", "is defined by scores"),
        ("meta_dlt[lambda=0.1]", "unknown method"),
    ],
)
def test_names_with_wrong_settings(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        catalogue().variant(name)
    (problem,) = refused(tmp_path, BUILT_IN, f"methods=[single_task, '{name}']")
    assert problem.startswith("command line: methods[1]")


def test_rows_of_one_method_with_other_settings(tmp_path: Path) -> None:
    text = BUILT_IN.replace("[single_task, multi_task]", "\n  - single_task\n  - meta_dtl\n  - meta_dtl[lambda=.30]\n")
    study = read_study(
        write(tmp_path, text.replace("report: {seeds: 2}", "report: {baseline: 'meta_dtl[lambda=0.3]'}"))
    )
    assert list(study.variants) == ["single_task", "meta_dtl", "meta_dtl[lambda=0.3]"]
    assert study.report.baseline == "meta_dtl[lambda=0.3]"
    # the same row under two spellings is one row twice
    (problem,) = refused(tmp_path, text.replace("- meta_dtl\n", "- meta_dtl[lambda=0.3]\n"))
    assert "listed twice" in problem


@pytest.mark.parametrize(
    ("value", "canonical", "of_12"),
    [
        ([4, 8, 12], "4 8 12", (4, 8, 12)),
        ("12 4 8", "4 8 12", (4, 8, 12)),
        (1, "1", (1,)),
        (1.0, "1.0", (12,)),
        ("1.0", "1.0", (12,)),
        (["1/3", "2/3", 1], "1/3 2/3 1", (4, 8, 12)),
        ([0.25, 0.5, 0.75, 1.0], "1/4 1/2 3/4 1", (3, 6, 9, 12)),
    ],
)
def test_layers_have_one_spelling(value: object, canonical: str, of_12: tuple[int, ...]) -> None:
    rule = catalogue().parameters["mft"]["layers"]
    assert rule.check(value) == canonical
    assert rule.check(canonical) == canonical
    assert layers(canonical, 12) == of_12


def test_fractions_are_exact() -> None:
    """A third of the depth is layer n/3, not the next one: no floating-point number takes part."""
    for n in range(1, 40):
        assert layers("1/3 2/3 1", 3 * n) == (n, 2 * n, 3 * n)


@pytest.mark.parametrize("value", [[0], [1, 1], "x", [0.5, 4], True, [], "1/0", "0/3", "2/3 4/6", None, [[1]], "-1"])
def test_layers_that_are_none(value: object) -> None:
    with pytest.raises(ValueError, match="must be layers counted from 1"):
        catalogue().parameters["mft"]["layers"].check(value)


@pytest.mark.parametrize(
    ("value", "canonical"),
    [("none", "none"), ("embeddings", "embeddings"), (3, "3"), ("3", "3"), (0.5, "1/2"), ("2/4", "1/2"), (1.0, "1.0")],
)
def test_a_depth_is_a_word_or_a_number_of_lower_layers(value: object, canonical: str) -> None:
    rule = catalogue().parameters["single_task"]["freeze"]
    assert rule.check(value) == canonical
    assert rule.check(canonical) == canonical
    assert catalogue().variant(f"single_task[freeze={value}]").fixes == {"freeze": canonical}


@pytest.mark.parametrize("value", ["all", "embedings", 0, -1, True, None, "1 2", [1, 2], 1.5, "1/0"])
def test_depths_that_are_none(value: object) -> None:
    with pytest.raises(ValueError, match="must be one of none, embeddings, or a number of lower layers"):
        catalogue().parameters["single_task"]["freeze"].check(value)


def test_several_suites(tmp_path: Path) -> None:
    text = "name: x\nsuites: [review, nli]\nmethods: [single_task]\n"
    study = read_study(write(tmp_path, text))
    assert study.target_names == ("sst5", "amazon_mds", "imdb", "mnli", "scitail")
    # each target is helped by the tasks of its own suite
    assert study.tasks_with("imdb") == ("sst5", "amazon_mds", "imdb")
    assert study.tasks_with("mnli") == ("mnli", "scitail")
    assert study.suite_of("scitail") == "nli"
    assert "given alone" in refused(tmp_path, text + "suite: review\n")[0]
    assert "did you mean 'review'" in refused(tmp_path, text, "suites=[reviw, nli]")[0]


def test_what_a_variant_is_defined_by_is_not_asked_of_shared_settings(tmp_path: Path) -> None:
    """AdapterFusion freezes the whole body, whatever the others are told."""
    text = "name: x\nsuite: lexicon\nmethods: [single_task, adapter_fusion]\nsettings: {freeze: "
    study = read_study(write(tmp_path, text + "embeddings}\n"))
    assert (
        study.fixed_settings("single_task") == {"freeze": "embeddings"} and study.fixed_settings("adapter_fusion") == {}
    )
    assert "freeze must be one of none, embeddings" in refused(tmp_path, text + "embedings}\n")[0]


def test_what_a_suite_says_of_its_tasks_is_part_of_the_study(tmp_path: Path) -> None:
    apart = {"ud_ewt_upos": {"without": ["streusle_mwe"]}}
    text = "name: x\nsuite: pos_to_mwe\nmethods: [single_task]\n"
    study = read_study(write(tmp_path, text))
    assert study.task_options == apart
    assert Study.model_validate(study.model_dump(mode="json")) == study  # a lock file says the same again
    own = "task_options: {ud_ewt_upos: {length: 32}, streusle_mwe: {merge: {}}}\n"
    study = read_study(write(tmp_path, text + own))
    assert study.task_options == {"ud_ewt_upos": {**apart["ud_ewt_upos"], "length": 32}, "streusle_mwe": {"merge": {}}}
    assert read_study(write(tmp_path, text + "task_options: {ud_ewt_upos: {without: []}}\n")).task_options == {
        "ud_ewt_upos": {"without": []}
    }
    several = read_study(write(tmp_path, text.replace("suite: pos_to_mwe", "suites: [review, pos_to_mwe]")))
    assert several.task_options == apart
    assert "task_options" in refused(tmp_path, text + "task_options: [1]\n")[0]


def test_a_setting_may_cut_every_task(tmp_path: Path) -> None:
    spec = Spec("confirm", "single_task", "single_task", {}, ("a",), "a", Setting(), 0, "tiny", "", {})
    # where it does not, a spec's id is what it always was
    assert "scope" not in spec.to_json()
    assert replace(spec, scope="suite").id != spec.id
    assert Spec.from_json(replace(spec, scope="suite").to_json()).scope == "suite"


def test_shared_settings_pass_by_a_variant_that_is_defined_by_another_value(tmp_path: Path) -> None:
    """`freeze: embeddings` is for those that train a body; AdapterFusion freezes all of it, whatever the study says."""
    text = GOOD.replace("methods: [single_task", "methods: [single_task, adapter_fusion")
    assert text != GOOD
    study = read_study(write(tmp_path, text + "settings: {freeze: embeddings}\n"))
    assert study.fixed_settings("single_task")["freeze"] == "embeddings"
    assert "freeze" not in study.fixed_settings("adapter_fusion")
    found = refused(tmp_path, text + "settings: {freeze: everything}\n")
    assert any("settings.freeze" in p and "none, embeddings" in p for p in found)
