"""The plan says beforehand what a run does: which cells, how many updates, what is shared, what cannot be."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from raystudy.analysis.compute import design_of
from raystudy.errors import ConfigError, DataError, PreflightError, Problem, UserError
from raystudy.origin import Origin
from raystudy.spec import Places, Spec
from raystudy.study.folder.records import Results
from raystudy.study.plan import Plan, merged_labels
from raystudy.study.study_run import StudyRun
from raystudy.studyfile import Study, expand_study, read_study
from raystudy.train import load_tasks, method_of, stage_key
from raystudy.workers import Alone
from study.fakes import Fake, plan, study

BOTH = {"tasks": "[planted/target, planted/source]", "targets": "[planted/target, planted/source]", "suite": "null"}


def test_the_preview_counts_what_runs(tmp_path: Path) -> None:
    """Without halving every configuration runs all its cells, so the preview is exact."""
    report = "{seeds: 3, default: false}"  # else what is not needed where trial 0 wins is counted too
    study_plan = plan(tmp_path, search="{trials: 3, generation: 3, seeds: 2, shots: 12}", report=report)
    study_run, fake = StudyRun(study_plan, Results(tmp_path / "r")), Fake()
    study_run.open()
    study_run.run_local(fake)
    assert len(fake.trained) == study_plan.preview["total_cells"]
    assert study_run.complete


def sharing(study_plan: Plan, spec: Spec) -> tuple[str, int]:
    return study_plan.transfer_key(spec.arm, spec.settings, spec.target), spec.seed


def transfer_of(study_plan: Plan, spec: Spec) -> int:
    schedule = study_plan.schedule(spec.variant, spec.settings, spec.target, spec.setting)
    return sum(length.updates for length in schedule.transfer.values())


def test_the_preview_multiplies_what_it_looked_at_once(tmp_path: Path) -> None:
    """Cells, updates and what is shared are those of every spec, one by one, though no spec is made for them."""
    study_plan = plan(
        tmp_path, search="{trials: 0}", report="{seeds: 3}", methods="[single_task, meta_dtl, metaxt]", **BOTH
    )
    specs = study_plan.confirm({})
    schedules = {s.id: study_plan.schedule(s.variant, s.settings, s.target, s.setting) for s in specs}
    first = {sharing(study_plan, s): schedules[s.id].transfer for s in reversed(specs)}
    assert study_plan.preview["total_cells"] == len(specs)
    for unit in ("updates", "passes"):
        every = [sum(getattr(length, unit) for length in s.stages.values()) for s in schedules.values()]
        transfer = [sum(getattr(length, unit) for length in s.transfer.values()) for s in schedules.values()]
        once = [sum(getattr(length, unit) for length in stages.values()) for stages in first.values()]
        assert study_plan.preview[f"total_{unit}"] == pytest.approx(sum(every))
        assert study_plan.preview[f"shared_{unit}"] == pytest.approx(sum(transfer) - sum(once))
    # an update of MetaXT is several passes, one of plain fine-tuning is one
    assert study_plan.preview["passes"]["metaxt confirm"] > 3 * study_plan.preview["updates"]["metaxt confirm"]
    assert study_plan.preview["passes"]["single_task confirm"] == study_plan.preview["updates"]["single_task confirm"]
    many = plan(
        tmp_path, search="{trials: 50, seeds: 300}", report="{seeds: 1000, default: false}", methods="[single_task]"
    )
    assert many.preview["total_cells"] == 2 * (50 * 300 + 1000)


TEXTS = {
    "train": [(f"good {'film ' * n}", "ham") for n in range(9)] + [("[SEP] bad", "spam"), (" . ", "spam")],
    "validation": [("good", "ham"), ("bad", "spam")],
    "test": [("film " * 20, "ham"), ("bad", "spam")],
}


def plan_of_files(folder: Path, **replaced: str) -> Plan:
    """A study on a folder of texts, the numbers of their words, and sentences of them."""
    import json

    for split, rows in TEXTS.items():
        sentences = [
            {"tokens": [*text.split(), "\u200b"], "tags": [label] * (len(text.split()) + 1)} for text, label in rows
        ]
        for name, examples in {
            "mails": [{"text": text, "label": label} for text, label in rows],
            "sizes": [{"text": text, "label": 0.5 * len(text)} for text, _ in rows],
            "sentences": sentences,
        }.items():
            (folder / name).mkdir(exist_ok=True)
            text = "".join(json.dumps(row) + "\n" for row in examples)
            (folder / name / f"{split}.jsonl").write_text(text, encoding="utf-8")
    task_options = {"mails": {"metric": "f1", "length": 8}, "sentences": {"length": 8}}
    keys = {"tasks": "[mails, sizes, sentences]", "targets": "[mails, sizes, sentences]", "suite": "null"}
    keys |= {"shots": "[]", "search": "{trials: 0}", "methods": "[single_task, majority]"}
    study_plan = plan(folder, **{**keys, "task_options": json.dumps(task_options), **replaced})
    return Plan(study_plan.study, Places(str(folder), "tiny"))


def test_what_methods_say_of_few_examples_names_the_setting(tmp_path: Path) -> None:
    keys = {"tasks": "[mails, sizes]", "targets": "[sizes]", "shots": "[4]", "task_options": "{}"}
    study_plan = plan_of_files(tmp_path, **keys, methods="[single_task, {reptile: {batch_size: 3, inner_steps: 2}}]")
    few = "reptile (k=4): sizes: an episode asks for 6 examples, there are 4 and its steps read the others repeatedly"
    assert few in study_plan.cautions
    study_plan = plan_of_files(tmp_path, **{**keys, "shots": "[1, 4]"}, methods="[single_task, fomaml]")
    with pytest.raises(DataError, match=r"fomaml \(k=1\): task sizes: needs 2 training examples"):
        _ = study_plan.size_notes


def test_what_no_model_reads_is_said_before_anything_trains(tmp_path: Path) -> None:
    """And in which unit numbers are trained, what the floors answer, and which stages are too short."""
    study_plan = plan_of_files(tmp_path)
    cautions = study_plan.cautions
    (cut_texts,) = (s for s in cautions if s.startswith("mails: texts longer"))
    # [CLS] and [SEP] take two of eight places: six words fit
    assert cut_texts.startswith(
        "mails: texts longer than 8 word pieces lose their end: 3 of 11 in train and 1 of 2 in test"
    )
    assert cut_texts.endswith("; `length: 22` reads them whole")
    assert any(
        t.startswith("mails: some texts hold a special token") and t.endswith("1 of 11 in train") for t in cautions
    )
    labels = [float(str(e.label)) for e in study_plan.tasks["sizes"].splits["train"]]
    unit = f"(in all of train: mean {sum(labels) / 11:.4g}, sd "
    assert any(t.startswith("sizes: numbers are trained in standard deviations") and unit in t for t in cautions)
    (majority,) = (s for s in cautions if s.startswith("majority class"))
    assert majority.startswith(
        "majority class, from the labels of the whole training split: mails ham (9 of 11); sizes "
    )
    assert "sentences ham (" in majority
    short = "fewer than 60 updates in a stage, which may be too few to learn anything: single_task 3 (finetune); "
    assert cautions[-1].startswith(short)
    assert not plan_of_files(tmp_path, settings="{min_updates: 60}").cautions[-1].startswith("fewer")
    assert any("f1 is that of the class 'spam'" in note for note in study_plan.tasks["mails"].notes)


def test_draws_of_one_number_are_said_before_anything_trains(tmp_path: Path) -> None:
    study_plan = plan_of_files(tmp_path, shots="[2]", targets="[sizes]", report="{seeds: 2}")
    same = [replace(e, label=3.0) for e in study_plan.tasks["sizes"].splits["train"]]
    study_plan.tasks["sizes"] = study_plan.tasks["sizes"].with_splits(train=[*same, replace(same[0], label=4.0)])
    assert any(s.startswith("sizes: all training labels are one number") for s in study_plan.cautions)


def test_specs_share_a_transfer_exactly_when_their_stage_keys_are_equal(tmp_path: Path) -> None:
    """The plan predicts sharing without tokenising anything; training decides by the content of what it reads."""
    study_plan = plan(
        tmp_path,
        shots="[]",
        search="{trials: 0}",
        report="{seeds: 2}",
        methods="[single_task, multi_task, meta_dtl]",
        **BOTH,
    )
    few = plan(
        tmp_path, shots="[12]", search="{trials: 0}", report="{seeds: 1}", methods="[single_task, meta_dtl]", **BOTH
    )
    specs = [s for p in (study_plan, few) for s in p.confirm({}) if s.method != "single_task"]
    keys = {}
    for spec in specs:
        method = method_of(spec, load_tasks(spec, None), Places(plm="tiny"), Alone())
        keys[spec.id] = stage_key(spec, method.setup, "transfer")
    for a, b in combinations(specs, 2):
        same = sharing(study_plan, a) == sharing(study_plan, b)
        assert same == (keys[a.id] == keys[b.id]), f"{a} and {b}"
    saved = study_plan.preview["shared_updates"]
    assert (
        saved == sum(transfer_of(study_plan, s) for s in study_plan.confirm({})) // 2 > 0
    )  # two targets, one transfer each


def test_every_impossible_setting_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError) as e:
        plan(tmp_path, shots="[2, 6, 9999]", search="{trials: 0}").sizes  # noqa: B018
    assert len(e.value.problems) == 2
    assert "k must be at least the number of classes" in str(e.value)
    assert "k = 9999" in str(e.value)


def test_all_missing_data_sets_are_named_at_once(tmp_path: Path) -> None:
    study_plan = plan(tmp_path, tasks="[sst5, imdb]", suite="null", shots="[]", search="{trials: 0}")
    with pytest.raises(PreflightError) as e:
        study_plan.tasks  # noqa: B018
    assert {"sst5", "imdb"} <= set(str(e.value).replace(":", " ").split())


def test_a_change_of_the_data_is_another_question(tmp_path: Path) -> None:
    one = plan(tmp_path).confirm({})[0]
    other = plan(tmp_path, task_options="{planted: {n_train: 60, n_dev: 30, n_test: 31}}").confirm({})[0]
    assert one.id != other.id


def test_same_seed_same_draw_for_every_method(tmp_path: Path) -> None:
    """Pairs are real: all methods see the same few-shot examples under one seed, and other ones under another."""
    specs = [s for s in plan(tmp_path).confirm({}) if str(s.setting) == "k=12"]
    drawn = {(s.variant, s.seed): load_tasks(s, None)["planted/target"].digest for s in specs}
    for seed in {s.seed for s in specs}:
        assert len({d for (_, n), d in drawn.items() if n == seed}) == 1
    assert len(set(drawn.values())) == len({s.seed for s in specs})


def test_sources_may_have_limits_of_their_own(tmp_path: Path) -> None:
    study_plan = plan(tmp_path, limits="{test: 20}", source_limits="{train: 10, test: 5}")
    sizes = {n: (len(t.splits["train"]), len(t.splits["test"])) for n, t in study_plan.tasks.items()}
    assert sizes == {"planted/target": (60, 20), "planted/source": (10, 5)}


def test_classes_with_the_same_words_are_one_in_a_union() -> None:
    from raystudy.tasks import load

    shared_labels = merged_labels([load("lexicon/stars"), load("lexicon/polarity")])
    assert shared_labels["negative"] == ["lexicon/stars: 2", "lexicon/polarity: negative"]


def test_a_plan_is_pure(tmp_path: Path) -> None:
    one, two = plan(tmp_path), Plan(plan(tmp_path).study, Places(plm="tiny", shared="elsewhere"))
    assert [s.id for s in one.confirm({})] == [s.id for s in two.confirm({})]


def test_several_suites_in_one_study(tmp_path: Path) -> None:
    study_plan = plan(tmp_path, suite="null", suites="[planted, planted_domains]", shots="[]", search="{trials: 0}")
    specs = {s.target: s for s in study_plan.confirm({})}
    assert specs["planted/target"].suite == ("planted/target", "planted/source")
    assert specs["planted/domain_2"].suite == tuple(f"planted/domain_{k}" for k in (1, 2, 3))
    for spec in specs.values():
        assert set(spec.data) == set(spec.suite)  # what takes no part is no part of the question
    assert study_plan.sizes["planted/domain_1", study_plan.study.settings_grid[0]].keys() == set(
        specs["planted/domain_1"].suite
    )


def test_scope_cuts_every_task_alike(tmp_path: Path) -> None:
    for scope, cut_too in (("target", False), ("suite", True)):
        study_plan = plan(
            tmp_path, shots="[12]", scope=scope, search="{trials: 0}", methods="[multi_task, single_task]"
        )
        spec = study_plan.confirm({})[0]
        sizes = {name: len(t.splits["train"]) for name, t in load_tasks(spec, None).items()}
        assert sizes == study_plan.sizes[spec.target, spec.setting]
        assert sizes["planted/target"] == 12
        assert (sizes["planted/source"] == 12) == cut_too


def test_what_a_method_cannot_do_is_said_before_anything_trains(tmp_path: Path) -> None:
    study_plan = plan(tmp_path, methods="[single_task, mft, {meta_ft: {layers: [1, 7]}}]", search="{trials: 0}")
    with pytest.raises(UserError) as e:
        study_plan.sizes  # noqa: B018
    problems = [str(p) for p in e.value.problems]
    at = f"{tmp_path / 'study.yaml'}:7: methods"
    assert any(p.startswith(f"{at}[1]: mft: tasks: needs the same classes in every domain") for p in problems)
    assert any(p.startswith(f"{at}[2].meta_ft.layers: meta_ft: layers must be at most 2") for p in problems)
    good = plan(tmp_path, methods="[single_task, {meta_ft: {layers: [1.0]}}]", search="{trials: 0}")
    assert good.method_notes["meta_ft"] == ["domain heads at layers 2 of 2"]


def test_the_plan_says_which_layers_are_frozen(tmp_path: Path) -> None:
    study_plan = plan(tmp_path, settings="{freeze: 1/2}", methods="[single_task, majority]", search="{trials: 0}")
    assert study_plan.method_notes["single_task"] == [
        "freeze 1/2: the embeddings and 1 lower layer of 2 are not trained"
    ]
    deeper = plan(tmp_path, settings="{freeze: 3}", methods="[single_task]", search="{trials: 0}")
    with pytest.raises(ConfigError, match=r"yaml:8: settings.freeze: single_task: must be at most 2, the depth"):
        deeper.method_notes  # noqa: B018
    study_plan.plm = replace(study_plan.plm, shared_layers=True)
    del study_plan.method_notes
    with pytest.raises(ConfigError, match="share their weights"):
        study_plan.method_notes  # noqa: B018


def test_what_acts_at_the_end_of_layers_is_refused_where_they_have_no_place_for_it(tmp_path: Path) -> None:
    study_plan = plan(tmp_path, methods="[single_task, adapter_fusion, metaxt_rtn]", search="{trials: 0}")
    assert "adapter_fusion" in study_plan.method_notes
    del study_plan.method_notes
    study_plan.plm = replace(study_plan.plm, family="modernbert")
    with pytest.raises(ConfigError) as e:
        study_plan.method_notes  # noqa: B018
    said = [p.message for p in e.value.problems]
    assert [m.partition(":")[0] for m in said] == ["adapter_fusion", "metaxt_rtn"]
    assert all("those of ModernBERT have no place for it" in m for m in said)


def test_layers_that_a_search_would_try_are_refused_before_it(tmp_path: Path) -> None:
    """Three layers have thirds, but a quarter and a half are the first and the second, three quarters the last."""

    def of_three_layers(methods: str, trials: int) -> Plan:
        study_plan = plan(tmp_path, methods=f"[single_task, {methods}]", search=f"{{trials: {trials}}}")
        study_plan.plm = replace(study_plan.plm, depth=3)
        return study_plan

    with pytest.raises(ConfigError) as e:
        of_three_layers("meta_ft", 3).method_notes  # noqa: B018
    (problem,) = e.value.problems
    assert problem.message.startswith("meta_ft, searched layers 1/4 1/2 3/4 1: layers: ")
    assert (problem.path, problem.line) == ("methods[1]", 7)
    for methods, trials in (("meta_ft", 0), ("{meta_ft: {layers: [1/3, 1.0]}}", 3)):
        assert len(of_three_layers(methods, trials).method_notes["meta_ft"]) == 1


def test_the_memory_of_second_derivatives_is_said_before_anything_trains(tmp_path: Path) -> None:
    """Of both ways to compute them, and which one it will be; a budget that none fits is refused at its line."""

    def notes(budget: float) -> list[str]:
        methods = f"[single_task, fomaml, {{maml: {{memory_budget: {budget}}}}}]"
        found = plan(tmp_path, methods=methods).method_notes
        assert not any("derivatives" in note for note in found["fomaml"])
        return [note for note in found["maml"] if "derivatives" in note]

    for budget, way in ((1.0, "unroll"), (0.07, "recursion")):
        (note,) = notes(budget)
        assert note.startswith(f"second derivatives by {way} where texts have "), note
        assert note.endswith(f"may take {budget:.2g} GB")
    with pytest.raises(ConfigError, match=r"take about .* but may take") as e:
        notes(1e-4)
    (problem,) = e.value.problems
    assert problem.path == "methods[2].maml.memory_budget"


def test_a_search_may_not_draw_an_unseen_target(tmp_path: Path) -> None:
    """One of the choices that a search of Reptile would try draws the target alone."""
    keys = {**BOTH, "targets": "[planted/target]", "unseen": "[planted/target]", "search": "{trials: 3}"}
    with pytest.raises(ConfigError, match="searched sampler mixed: sampler: mixed draws the target alone"):
        plan(tmp_path, methods="[single_task, reptile]", **keys).method_notes  # noqa: B018
    assert plan(tmp_path, methods="[single_task, reptile_pps]", **keys).method_notes["reptile_pps"] is not None
    assert (
        plan(tmp_path, methods="[single_task, reptile]", **{**keys, "search": "{trials: 1}"}).method_notes["reptile"]
        is not None
    )


ASKED_TOO_MUCH = """\
name: mine
plm: tiny
tasks: [planted/target, planted/source{more}]
targets: planted/target
shots:
  - 12
  - 5000
length: {length}
methods:
  - single_task
  - meta_ft: {{layers: [1, 9]}}
  - single_task[freeze=4]
task_options:
  planted: {{n_train: 60, {option}}}
settings: {{max_updates: 4, freeze: 5}}
"""


@pytest.mark.parametrize(
    ("more", "length", "option", "overrides", "says"),
    [
        (
            ", plantd, nowhere/*, planted/targte",
            64,
            "n_trian: 60, n_dev: x",
            [],
            [
                "14: task_options.planted.n_trian: unknown option 'n_trian' — did you mean 'n_train'?",
                "14: task_options.planted.n_dev: n_dev must be a whole number from 1 to 1000000, but is 'x'",
                "3: tasks[2]: unknown task 'plantd' — did you mean 'planted'?",
                "3: tasks[3]: unknown task 'nowhere/*'",
                "3: tasks[4]: unknown part of planted 'targte' — did you mean 'target'?",
            ],
        ),
        (
            "",
            500,
            "n_dev: 30",
            [],
            [
                "8: length: must be at most 128 for tiny, but is 500",
                "15: settings.freeze: single_task: must be at most 2, the depth of the model",
                "15: settings.freeze: meta_ft: must be at most 2, the depth of the model",
                "11: methods[1].meta_ft.layers: meta_ft: layers must be at most 2",
                "12: methods[2]: single_task[freeze=4]: freeze: must be at most 2, the depth of the model",
            ],
        ),
        (
            "",
            64,
            "n_dev: 30",
            ["settings.freeze=none", "methods=[single_task]"],
            ["7: shots[1]: task planted/target: k = 5000 labelled examples were asked for, but train holds 60"],
        ),
        ("", 64, "n_dev: 30", ["task_options.planted.n_tst=3"], ["command line: task_options.planted.n_tst: unknown"]),
        ("", 64, "n_dev: 30", ["methods=[single_task, mft]", "settings={}"], ["command line: methods[1]: mft: tasks:"]),
    ],
)
def test_what_a_plan_refuses_stands_at_its_line(
    tmp_path: Path, more: str, length: int, option: str, overrides: list[str], says: list[str]
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(ASKED_TOO_MUCH.format(more=more, length=length, option=option))
    with pytest.raises(UserError) as e:
        Plan(expand_study(read_study(path, overrides), None), Places(plm="tiny")).sizes  # noqa: B018
    problem_lines = [str(p).removeprefix(f"{path}:") for p in e.value.problems]
    assert len(problem_lines) == len(says)
    assert all(line.startswith(start) for line, start in zip(problem_lines, says, strict=True))


def test_what_a_suite_says_wrongly_stands_in_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study's own options of the same task do not draw the blame, nor those of another one."""
    folder = tmp_path / "suites"
    folder.mkdir()
    (folder / "own.yaml").write_text("about: x\ntasks: [planted/target]\ntask_options:\n  planted: {seeed: 1}\n")
    origin = Origin(
        str(tmp_path / "study.yaml"),
        {("suite",): 1, ("task_options",): 2, ("task_options", "planted"): 3},
        {"suite": "own", "task_options": {"planted": {"n_train": 60}}},
    )
    monkeypatch.setattr("raystudy.origin.space_folder", lambda: tmp_path)
    paths = ("task_options.planted.seeed", "task_options.planted.other", "task_options.plain.x", "tasks[1]", "plm tiny")
    placed = origin.with_places(ConfigError(Problem("wrong", path) for path in paths)).problems
    assert [(Path(p.file).name, p.line) for p in placed] == [
        ("own.yaml", 4),
        ("study.yaml", 3),
        ("", None),
        ("study.yaml", 1),
        ("", None),
    ]


def test_where_a_study_was_said_is_no_part_of_it(tmp_path: Path) -> None:
    fake_study = study(tmp_path)
    assert (
        fake_study == Study.model_validate(fake_study.model_dump())
        and fake_study.origin.file
        and not Study(name="x", methods=()).origin.file
    )
    assert fake_study.model_copy(update={"length": 64}).origin is fake_study.origin


# ---------------------------------------------------------------------------------------------------------------------
# what the data cannot serve, numbers of shots of single targets, and ratios


def without(tmp_path: Path, **replaced: str) -> tuple[Study, Plan]:
    """The fake study as it is where nothing is searched, expanded, and its plan."""
    expanded = expand_study(study(tmp_path, search="{trials: 0}", **replaced), None)
    return expanded, Plan(expanded, Places(plm="tiny"))


def test_settings_that_the_data_do_not_reach_are_left_out_where_a_study_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="k = 100 labelled examples were asked for, but train holds 60"):
        _ = plan(tmp_path, shots="[12, 100]", search="{trials: 0}").sizes
    expanded, made = without(tmp_path, shots="[12, 100]", missing_data="leave_out")
    assert expanded.unreached == {"planted/target": {"k=100": "planted/target has 60 training examples of 100"}}
    assert {str(s.setting) for s in made.confirm({})} == {"k=12"}
    assert [str(s) for s in expanded.settings_grid] == ["k=12", "k=100"]  # the tables have a column for both
    assert expand_study(expanded, None) == expanded
    fewer, _ = without(tmp_path, shots="[12, 60]", limits="{train: 40}", missing_data="leave_out")
    assert fewer.unreached == {"planted/target": {"k=60": "planted/target has 40 training examples of 60"}}
    # where nothing would be left, the study is refused as it always was
    none, made = without(tmp_path, shots="[100]", missing_data="leave_out")
    assert none.unreached == {}
    with pytest.raises(DataError, match="train holds 60"):
        _ = made.sizes


def test_tasks_that_are_not_at_hand_are_left_out_where_a_study_says_so(tmp_path: Path) -> None:
    tasks = {"tasks": "[planted/target, mrpc, planted/source]", "targets": "[mrpc, planted/target]", "suite": "null"}
    with pytest.raises(PreflightError, match="mrpc"):
        _ = without(tmp_path, **tasks)[1].tasks
    expanded, made = without(tmp_path, missing_data="leave_out", **tasks)
    assert (expanded.absent, expanded.absent_targets) == (("mrpc",), ("mrpc",))
    assert expanded.task_names == ("planted/target", "planted/source")
    assert {s.target for s in made.confirm({})} == {"planted/target"}
    assert {s.suite for s in made.confirm({})} == {("planted/target", "planted/source")}
    assert expand_study(expanded, None) == expanded
    source, _ = without(tmp_path, missing_data="leave_out", **{**tasks, "targets": "[planted/target]"})
    assert (source.absent, source.absent_targets) == (("mrpc",), ())
    alone = {**tasks, "tasks": "[mrpc, rte]", "targets": "[mrpc]"}
    with pytest.raises(PreflightError, match="mrpc"):  # no target is left
        _ = without(tmp_path, missing_data="leave_out", **alone)[1].tasks


def test_targets_may_have_numbers_of_shots_of_their_own(tmp_path: Path) -> None:
    own = "{planted/source: [24, 30]}"
    _, made = without(tmp_path, shots="[12]", shots_of=own, **BOTH)
    pairs = {(s.target, str(s.setting)) for s in made.confirm({})}
    assert pairs == {("planted/target", "k=12"), ("planted/source", "k=24"), ("planted/source", "k=30")}
    assert made.preview["total_cells"] == len(made.confirm({})) == 3 * 3 * 5
    idle = study(tmp_path, shots="[12]", shots_of="{planted/target: 24}", search="{trials: 0}")
    assert any(line.startswith("shots, fraction: every target has") for line in idle.keys_without_effect)
    with pytest.raises(ConfigError, match="'planted/soruce' is not among the targets — did you mean 'planted/source'"):
        study(tmp_path, shots_of="{planted/soruce: 24}", **BOTH)


def test_sources_have_the_ratio_of_examples(tmp_path: Path) -> None:
    expanded, made = without(tmp_path, shots="[12]", ratio="[0.5, 2, 8]", missing_data="leave_out")
    assert [str(s) for s in expanded.settings_grid] == ["k=12 ratio 0.5", "k=12 ratio 2", "k=12 ratio 8"]
    assert expanded.unreached == {"planted/target": {"k=12 ratio 8": "planted/source has 60 training examples of 96"}}
    sizes = {str(s): n["planted/source"] for (_, s), n in made.sizes.items()}
    assert sizes == {"k=12 ratio 0.5": 6, "k=12 ratio 2": 24}
    for spec in made.confirm({})[:4]:
        loaded = load_tasks(spec, None)
        assert len(loaded["planted/source"].splits["train"]) == sizes[str(spec.setting)]
        assert len(loaded["planted/target"].splits["train"]) == 12
        assert Spec.from_json(spec.to_json()) == spec
    plain = Spec.to_json(plan(tmp_path, shots="[12]", search="{trials: 0}").confirm({})[0])
    assert plain["setting"] == {"shots": 12, "fraction": None}  # ids of specs without a ratio stay
    with pytest.raises(DataError, match="ratio 8 asks for 96 examples of each source, but train holds 60"):
        _ = without(tmp_path, shots="[12]", ratio="[8]")[1].sizes
    with pytest.raises(ConfigError, match="so `shots` must be given too"):
        study(tmp_path, shots="[]", ratio="2", search="{trials: 0}")
    with pytest.raises(ConfigError, match="must be target where there is a ratio"):
        study(tmp_path, ratio="2", scope="suite")


def test_an_upper_bound_has_as_many_examples_of_the_target_as_all_tasks_together(tmp_path: Path) -> None:
    asked = {"shots": "[12]", "ratio": "[0.5, 2, 4.5]", "methods": "[single_task, multi_task, single_task_pooled]"}
    with pytest.raises(
        DataError, match=r"single_task_pooled takes .* as all tasks have together in k=12 ratio 4.5, 66,"
    ):
        _ = without(tmp_path, **asked)[1].sizes
    expanded, made = without(tmp_path, missing_data="leave_out", **asked)
    why = "planted/target has 60 training examples of 66"
    assert expanded.unreached_of == {"single_task_pooled": {"planted/target": {"k=12 ratio 4.5": why}}}
    assert expanded.unreached == {}  # the others have enough, and are trained
    assert expand_study(expanded, None) == expanded
    numbers = {(s.variant, str(s.setting)): s for s in made.confirm({}) if s.seed == 0}
    assert len(numbers) == 3 * 3 - 1 and made.preview["total_cells"] == len(made.confirm({}))
    for ratio, together in (("0.5", 12 + 6), ("2", 12 + 24)):
        few, many = (numbers[v, f"k=12 ratio {ratio}"] for v in ("single_task", "single_task_pooled"))
        own, pooled_tasks = load_tasks(few, None), load_tasks(many, None)
        assert sum(len(t.splits["train"]) for t in own.values()) == together
        assert len(pooled_tasks["planted/target"].splits["train"]) == together
        # the plan's schedule is that of the examples that are trained on
        schedule = made.schedule(many.variant, many.settings, many.target, many.setting)
        assert schedule.adapt["finetune"].updates == math.ceil(together / 32) * 3
    design = design_of(expanded)
    assert ("single_task_pooled", "planted/target", "k=12 ratio 4.5") not in design.cells and len(design.cells) == 8
    assert design.out_of_reach == (("single_task_pooled", "planted/target", "k=12 ratio 4.5", why),)


def test_a_target_without_a_part_in_the_transfer_is_told(tmp_path: Path) -> None:
    from raystudy.run import describe

    targets = "[planted/target, planted/pair_target]"
    tasks = {"suite": "null", "tasks": "[planted/target, planted/source, planted/pair_target]", "targets": targets}
    study_plan = plan(tmp_path, methods="[single_task, meta_dtl]", unseen="planted/pair_target", **tasks)
    lines = [line for line in describe(study_plan) if "takes no part in the transfer" in line]
    assert [line.partition(":")[0] for line in lines] == [
        "unseen target (it takes no part in the transfer) planted/pair_target"
    ]
    notes = {facts.name: "unseen" in " ".join(facts.notes) for facts in study_plan.task_facts}
    assert notes == {"planted/target": False, "planted/source": False, "planted/pair_target": True}
    # and it is in no training but its own
    assert study_plan.study.tasks_with("planted/target") == ("planted/target", "planted/source")
