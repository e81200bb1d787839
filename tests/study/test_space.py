"""What a search moves has an effect, what has none is not moved, and equal trainings are one spec."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import optuna
import pytest

from raystudy import methods
from raystudy.catalogue import Value, catalogue, out_of_effect, space_folder, suites
from raystudy.errors import ConfigError
from raystudy.exhibits import SCALES, find, names
from raystudy.methods import Schedule
from raystudy.spec import Arm, Places, Setting
from raystudy.study.plan import Plan
from raystudy.study.search.space import Dimension, Space, effective
from raystudy.studyfile import Study, read_study
from study.fakes import plan, study

K12 = Setting(shots=12)
CARD = ("lambda", "alpha", "mmt_epochs", "inner_steps", "eta")


def plan_without_data(asked: Study) -> Plan:
    """A plan for which every task has 300 training examples, as far as nothing cuts them: no file is read."""
    made = Plan(asked, Places(plm="tiny"))
    sizes = {}
    for setting in asked.settings_grid:
        for target in asked.targets_in(setting):
            n = {name: asked.limits_of(name).get("train", 300) for name in asked.tasks_with(target)}
            own = setting.shots or round(n[target] * (setting.fraction or 1))
            sizes[target, setting] = {**n, target: own}
    made.__dict__["sizes"] = sizes
    return made


@cache
def packaged() -> tuple[tuple[str, Study], ...]:
    """Every study of the package, and that of every exhibit at every scale, searched."""
    return tuple(_packaged())


def _packaged() -> Iterator[tuple[str, Study]]:
    for path in sorted((space_folder() / "studies").glob("*.yaml")):
        yield path.stem, read_study(path)
    for name in names():
        for scale in SCALES:
            if (asked := find(name).study(scale, None, search=True)) is not None:
                yield f"{name}-{scale}", asked


def moved(made: Plan, arm: Arm, dimension: Dimension, settings: Mapping[str, Value]) -> bool:
    """Whether some value of the dimension makes another training than some other one, on a target of the arm."""
    targets = made.study.targets_in(arm.setting)
    forms = [
        {t: made.effective(arm, {**settings, dimension.name: v}, t) for t in targets}
        for v in (*dimension.probes(), made.reference(arm.variant)[dimension.name])
    ]
    return any(other != forms[0] for other in forms[1:])


def test_every_dimension_of_every_packaged_study_has_an_effect_and_none_that_is_idle_has() -> None:
    looked_at: set[str] = set()
    for name, asked in packaged():
        made = plan_without_data(asked)
        seen: set[Any] = set()
        for arm in made.study.arms():
            key = (arm.variant, *map(str, made.reference(arm.variant).items()))
            if key in seen or not made._may_be_searched(arm):
                continue
            seen.add(key)
            space = made.space(arm)
            for n, dimension in space.dimensions.items():
                around = [s for s in space._surroundings(n) if space.moves(n, s)]
                assert any(moved(made, arm, dimension, s) for s in around), (name, str(arm), n)
                looked_at.add(n)
            whole = Space.of_study(asked, arm.variant)
            for n in space.idle.keys() & whole.dimensions.keys():
                assert not any(moved(made, arm, whole.dimensions[n], s) for s in [space.reference]), (name, n)
                looked_at.add(f"idle {n}")
    assert {"lr", "layers", "ltn_lr", "inner_steps", "idle epochs", *CARD} <= looked_at


@pytest.mark.parametrize("name", ["card", "card_smoke"])
def test_the_card_reaches_an_arm_with_each_of_its_six(name: str) -> None:
    """lambda, both alpha, MMT epochs, inner steps and eta are each searched by an arm, in which they have an effect."""
    asked = read_study(space_folder() / "studies" / f"{name}.yaml")
    made = plan_without_data(asked)
    assert len(asked.shots) > 1
    assert {catalogue().variant(v).paper for v in asked.variants} >= {"meta_dtl", "metaxt", "dou2019", "tawt"}
    assert "mft" in {catalogue().variant(v).method for v in asked.variants}
    reached: set[tuple[str, str]] = set()
    for arm in made._searched_arms():
        space = made.space(arm)
        for n, dimension in space.dimensions.items():
            if moved(made, arm, dimension, space.reference):
                reached.add((catalogue().variant(arm.variant).method, n))
    assert {("meta_dtl", "lambda"), ("mft", "lambda"), ("mft", "alpha"), ("maml", "alpha")} <= reached
    assert {("meta_dtl", "mmt_epochs"), ("maml", "inner_steps"), ("tawt", "eta")} <= reached


# -- effective settings ------------------------------------------------------------------------------------------------


def schedule_of(made: Plan, variant: str, target: str, setting: Setting, settings: Mapping[str, Value]) -> Schedule:
    return made.schedule(variant, settings, target, setting)


def test_settings_without_a_search_are_effective_as_they_are() -> None:
    """So the ids of all that was trained with fixed settings stay."""
    for _, asked in packaged():
        made = plan_without_data(asked)
        for target, setting in made.sizes:
            for variant in asked.variants:
                reference = made.reference(variant)
                lengths = partial(schedule_of, made, variant, target, setting)
                assert effective(variant, reference, reference, lengths) == reference
            break


def test_equal_trainings_are_one_spec(tmp_path: Path) -> None:
    """Ten updates a stage at most, one an epoch: ten, eleven, ... epochs are all ten updates."""
    made = plan(tmp_path, settings="{max_updates: 10}")
    arm, reference = Arm("single_task", K12), made.reference("single_task")
    ids = {n: made.spec(arm, {**reference, "epochs": n}, "planted/target", 0, "search").id for n in range(1, 20)}
    assert len({ids[n] for n in range(1, 11)}) == 10
    assert len({ids[n] for n in range(10, 20)}) == 1
    assert made.spec(arm, {**reference, "epochs": 15}, "planted/target", 0, "search").settings["epochs"] == 10
    fixed = plan(tmp_path, settings="{min_updates: 10, max_updates: 10}")
    of_meta = {**fixed.reference("meta_dtl"), "epochs": 50, "mmt_epochs": 9}
    spec = fixed.spec(Arm("meta_dtl", K12), of_meta, "planted/target", 0, "search")
    assert spec.settings == fixed.reference("meta_dtl")


def test_conditions_chain_and_what_is_idle_excludes_nothing() -> None:
    rules = catalogue().parameters_of("tawt_pre")
    settings = {**catalogue().defaults("tawt_pre"), "dissimilarity": "exact"}
    assert out_of_effect(rules, "dissimilarity", settings) == "weighting is constant"
    assert out_of_effect(rules, "damping", settings) == "weighting is constant"
    rules, settings = catalogue().parameters_of("mft"), catalogue().defaults("mft")
    assert out_of_effect(rules, "layers", {**settings, "lambda": 0.0}) == "lambda is 0"
    assert not out_of_effect(rules, "layers", settings)


def test_nothing_but_the_schedule_reads_a_length() -> None:
    """What is declared to be one is read only where the settings measure a stage: by `bounded` and `epochs_over`."""
    folder = Path(methods.__file__).parent
    measures = re.compile(
        r"\b(bounded|epochs_over)\(|max\(updates, self\.min_updates\)|self\.max_updates\) if self\.max_updates"
    )
    for method, rules in catalogue().parameters.items():
        for name in (n for n, p in rules.items() if p.length):
            lines = [x for f in ("__init__", method) for x in (folder / f"{f}.py").read_text().splitlines()]
            reads = [x for x in lines if re.search(rf"\.{name}\b", x)]
            assert reads, (method, name)
            assert all(measures.search(x) for x in reads), (method, name, reads)


def test_what_is_idle_is_not_searched_and_the_plan_says_why(tmp_path: Path) -> None:
    made = plan(tmp_path, settings="{min_updates: 10, max_updates: 10}", shots="[12]")
    assert not {"epochs", "mmt_epochs", "joint_epochs"} & {
        n for arm in made._searched_arms() for n in made.space(arm).dimensions
    }
    (line,) = (x for x in made.keys_without_effect if "mmt_epochs" in x)
    assert line == (
        "search: mmt_epochs of meta_dtl is not searched, because min_updates and max_updates give every stage 10 "
        "updates"
    )
    # multi_task has no fine-tuning, so epochs of it are nothing even where stages are as long as their epochs
    free = plan(tmp_path, settings="{batch_size: 4}")
    assert free.space(Arm("multi_task", K12)).idle == {"epochs": "every stage is as long whatever it is"}
    assert "joint_epochs" in free.space(Arm("multi_task", K12)).dimensions


# -- ranges of one's own -----------------------------------------------------------------------------------------------

OWN = (
    "{trials: 6, generation: 3, shots: 12, space: {meta_dtl: {lr: {low: 1.0e-4, high: 1.0e-2, log: true}, lambda: "
    "[0, 0.3], mmt_epochs: {low: 1, high: 3}}, all: {batch_size: [4, 8], dropout: {low: 0.0, high: 0.2, step: 0.1}}}}"
)


def test_a_study_searches_its_own_ranges_alone(tmp_path: Path) -> None:
    made = plan(tmp_path, search=OWN)
    spaces = {arm.variant: made.space(arm) for arm in made._searched_arms()}
    assert [*spaces["meta_dtl"].dimensions] == ["lr", "batch_size", "dropout", "lambda", "mmt_epochs"]
    assert [*spaces["single_task"].dimensions] == ["batch_size", "dropout"]
    search = made.searches()[Arm("meta_dtl", K12)]
    # the first has the paper's values, which need not lie in the ranges
    assert search.configurations[0].settings == made.reference("meta_dtl")
    for c in search.configurations[1:]:
        assert c.settings["lambda"] in (0.0, 0.3) and 1e-4 <= float(c.settings["lr"]) <= 1e-2
        assert c.settings["batch_size"] in (4, 8) and c.settings["dropout"] in (0.0, 0.1, 0.2)
    dimension = spaces["meta_dtl"].dimensions["lr"]
    assert (dimension.text, dimension.scale, dimension.parameter.symbol) == ("0.0001 to 0.01", "log", "η")


def test_a_range_may_wait_for_other_settings(tmp_path: Path) -> None:
    """The one that it waits for is drawn first, wherever the file of the method declares it."""
    space = (
        "{trials: 30, generation: 30, sampler: random, shots: 12, space: {meta_dtl: {lambda: {low: 0.1, high: 0.4, "
        "when: {weights: clip0}}, weights: [clip0, mean1]}}}"
    )
    made = plan(tmp_path, search=space)
    searched = made.searches()[Arm("meta_dtl", K12)]
    assert [*searched.space.dimensions] == ["weights", "lambda"]
    tried = [c.settings for c in searched.configurations[1:]]
    assert {(s["weights"], s["lambda"] == 0.1) for s in tried} == {("clip0", False), ("mean1", True)}


BAD = """\
name: bad
plm: tiny
suite: planted
methods:
  - single_task
  - single_task_matched
  - multi_task
  - meta_dtl: {mmt_epochs: 2}
settings: {warmup: 0.2}
search:
  trials: 4
  space:
    meta_dtll: {lr: [1.0e-4, 1.0e-3]}
    metaxt: {lr: [1.0e-4, 1.0e-3]}
    single_task_matched: {lr: [1.0e-4, 1.0e-3]}
    all:
      warmup: [0.1, 0.2]
      lamda: [0.1, 0.2]
      clip: {low: 1.0, high: 1.0}
    multi_task:
      heads: [own, union]
      weight_decay: {low: 0.5, high: 2.0}
      lr: {low: 0.0, high: 0.1, log: true}
      batch_size: {low: 4, high: 9, step: 2}
      joint_epochs: {low: 3, high: 1}
      min_updates: {low: 5}
    meta_dtl:
      mmt_epochs: {low: 1, high: 3}
      scores: {low: 1, high: 2}
      weights: [raw, clipp]
      dropout: 0.1
      lambda: {low: 0, high: 0.5, enqueue: [0.6], when: {scors: both}}
      epochs: {choices: [1, 2], log: true}
      pool: [cls]
"""


def test_every_mistake_in_a_space_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(BAD)
    with pytest.raises(ConfigError) as caught:
        read_study(path)
    told: dict[int | None, str] = {}
    for p in caught.value.problems:
        told[p.line] = f"{told.get(p.line, '')} {p.message}"
    expected = {
        13: "unknown method 'meta_dtll'",
        14: "'metaxt' is not among the methods of the study",
        15: "it takes the winner of single_task",
        17: "cannot be searched and set: `settings` gives warmup",
        18: "no method of this study has a setting 'lamda' — did you mean 'lambda'?",
        19: "clip must have a low below its high",
        21: "multi_task is defined by heads = own",
        22: "weight_decay must be in [0, 1], but got 2.0",
        23: "lr must be in (0, 1], but got 0.0",
        24: "must reach its high from its low in whole steps",
        25: "joint_epochs must have a low below its high, but 3 is not below 1",
        26: "must have low and high, or a list of values, but high is missing",
        28: "cannot be searched and set: meta_dtl has mmt_epochs",
        29: "scores must be searched over a list of values",
        30: "must be one of raw, clip0, mean1, but got 'clipp' — did you mean 'clip0'?",
        31: "must be a range, such as",
        32: "unknown setting 'scors' — did you mean 'scores'?",
        33: "epochs has choices, so log must be left out",
        34: "pool must have at least two values to choose from",
    }
    assert told.keys() == {*expected}, sorted(told.items())
    for line, text in expected.items():
        assert text in told[line], (line, told[line])


def test_a_value_in_the_place_of_a_range_is_told_how_to_be_set(tmp_path: Path) -> None:
    for bad, text in (
        ("{meta_dtl: {dropout: 0.1}}", "must be a range, such as {low: 1e-5, high: 1e-3, log: true}, or a list"),
        ("{meta_dtl: {lr: {low: x, high: 1}}}", "must be a number"),
        ("{meta_dtl: {lr: {lo: 1, high: 1}}}", "unknown key 'lo' — did you mean 'low'?"),
        ("[meta_dtl]", "must be a mapping of keys to values"),
        ("{meta_dtl: {lamda: [0, 1]}}", "unknown setting 'lamda' of meta_dtl — did you mean 'lambda'?"),
    ):
        with pytest.raises(ConfigError, match=re.escape(text)):
            study(tmp_path, search=f"{{trials: 4, space: {bad}}}")


@pytest.mark.parametrize(
    ("space", "text"),
    [
        ("{meta_dtl: {}}", "must name a setting with its range; leave it out to have the ranges of its page searched"),
        ("{all: {}}", "must name a setting with its range"),
        (
            "{meta_dtl: {lr: {low: 1e-4, high: 1e-3, when: {weights: []}}}}",
            "must list the values of weights with which",
        ),
    ],
)
def test_what_would_take_dimensions_away_in_silence_is_refused(tmp_path: Path, space: str, text: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(text)) as e:
        study(tmp_path, search=f"{{trials: 4, space: {space}}}")
    assert all(p.line for p in e.value.problems)


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ("{batch_size: [8]}", ""),
        ("{batch_size: [8, 5]}", "`when` of lambda names batch_size 5, which no configuration of meta_dtl has"),
        ("{batch_size: [5]}", "lambda of meta_dtl is not searched, because the other settings never have the values"),
        ("{dropout: [0.1]}", ""),
        ("{dropout: [0.15]}", "lambda of meta_dtl is not searched"),
        ("{clip: [0.5]}", "lambda of meta_dtl is not searched"),
        ("{clip: [0.7, 1.0]}", "`when` of lambda names clip 0.7, which no configuration of meta_dtl has"),
        ("{warmup: [0.1, 0.3]}", "`when` of lambda names warmup 0.3, which no configuration of meta_dtl has"),
    ],
)
def test_a_condition_that_no_configuration_meets_is_told(tmp_path: Path, condition: str, text: str) -> None:
    """Between two ends without steps no value is ever drawn but those that are tried first; 1 is the paper's clip."""
    ranges = "batch_size: {low: 4, high: 12, step: 4}, dropout: {low: 0.0, high: 0.2, step: 0.1}"
    ranges += ", clip: {low: 0.1, high: 2.0}"
    space = f"{{meta_dtl: {{{ranges}, lambda: {{low: 0.1, high: 0.4, when: {condition}}}}}}}"
    made = plan(tmp_path, methods="[single_task, meta_dtl]", search=f"{{trials: 4, space: {space}, shots: 12}}")
    told = [line for line in made.keys_without_effect if "lambda" in line]
    assert (told == []) if not text else any(text in line for line in told), told


@pytest.mark.parametrize(("trials", "top", "refused"), [(4, 4, False), (4, 5, True), (2, 3, True), (0, 3, False)])
def test_no_more_configurations_are_confirmed_than_are_tried(
    tmp_path: Path, trials: int, top: int, refused: bool
) -> None:
    asked = {"search": f"{{trials: {trials}}}", "confirm": f"{{top: {top}}}"}
    if not refused:
        assert study(tmp_path, **asked).confirm.top == top
        return
    with pytest.raises(ConfigError, match=rf"confirm.top: must be at most .* \({trials}\), but is {top}"):
        study(tmp_path, **asked)


@pytest.mark.parametrize("trials", [0, 1])
def test_a_space_takes_a_search(tmp_path: Path, trials: int) -> None:
    with pytest.raises(ConfigError, match=f"`trials` must be at least 2 .*, but is {trials}"):
        study(tmp_path, search=f"{{trials: {trials}, space: {{all: {{lr: [1.0e-4, 1.0e-3]}}}}}}")


def test_a_study_with_a_space_comes_back_from_its_lock_file(tmp_path: Path) -> None:
    asked = study(tmp_path, search=OWN)
    again = Study.model_validate(asked.model_dump(mode="json", exclude_defaults=True))
    assert again == asked
    assert again.ranges("meta_dtl") == asked.ranges("meta_dtl")


def test_a_value_outside_of_the_range_is_tried_all_the_same() -> None:
    """Configuration 0 has the paper's value; where that is no choice, Optuna is not told of this setting."""
    ranges = {"lr": catalogue().parameters_of("single_task")["lr"].search.model_copy(update={"low": 1e-4})}
    space = Space.of("single_task", {}, ranges)
    made = optuna.create_study()
    made.enqueue_trial({})
    trial = made.ask()
    assert space.suggest(trial, space.first_configurations()[0]) == catalogue().defaults("single_task")
    assert trial.params == {}


def test_suites_of_the_card_need_no_data() -> None:
    for name in ("card", "card_smoke"):
        asked = read_study(space_folder() / "studies" / f"{name}.yaml")
        assert asked.data_root is None and set(asked.suite_names) <= suites().keys()
