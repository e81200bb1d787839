"""The laws that every variant in ``search_spaces/`` keeps, whatever it computes.

Cheap ones are tried on every variant. The others are tried on the variants that between them run every line of their
methods (see representatives.py), and on the rest when `-m full`, `-k` or a node id asks for it.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from cells import (
    ROLES,
    TRAINED,
    VARIANTS,
    Killed,
    Ran,
    assert_close_json,
    assert_same,
    assert_same_answers,
    assert_same_state,
    known,
    opened,
    places_of,
    ran,
    ran_by,
    setup_of,
    spec_of,
    state_of,
    through_json,
    unchecked,
    undisturbed,
)
from jaxtyping import TypeCheckError
from representatives import representatives
from torch import Tensor

from raystudy import train
from raystudy.catalogue import Parameter, Value, catalogue, class_map
from raystudy.data import text
from raystudy.data.plm import resolve
from raystudy.data.text import encode
from raystudy.errors import PreflightError
from raystudy.methods import Schedule, Sizes, hparams
from raystudy.nn.encoder import pool
from raystudy.plugins import find_module
from raystudy.spec import Record, Setting, Spec
from raystudy.study.store.stage_store import StageStore
from raystudy.tasks import Task, load
from raystudy.workers import Workers, simulate


def those(variants: Iterable[str]) -> Any:
    """One test for each variant; those whose lines others run are `full`."""
    chosen = representatives()
    return pytest.mark.parametrize(
        "variant", [v if v in chosen else pytest.param(v, marks=pytest.mark.full) for v in variants]
    )


all_variants = pytest.mark.parametrize("variant", VARIANTS)
every_variant = those(VARIANTS)
trained_variant = those(TRAINED)


# ---------------------------------------------------------------------------------------------------------------------
# what a cell leaves


@all_variants
def test_record_is_finite_and_complete(variant: str) -> None:
    record = undisturbed(variant).outcome.record
    assert record.status == "done"
    # the confirm phase is judged on both splits, every metric is a finite fraction
    assert set(record.metrics) == {"dev", "test"}
    for scores in record.metrics.values():
        assert scores
        assert all(math.isfinite(x) and 0 <= x <= 1 for x in scores.values())
    assert all(torch.isfinite(t).all() for t in undisturbed(variant).state.values())
    # every split is answered in full, with probabilities that sum to one
    for split, p in undisturbed(variant).outcome.predictions.items():
        assert len(p) == len(p.pred) == record.counts[f"n_{split}"]
        assert p.probabilities is not None
        assert p.probabilities.sum(1) == pytest.approx(1, abs=1e-6)
    assert all(s >= 0 for s in record.seconds.values())


@all_variants
def test_record_survives_json(variant: str) -> None:
    record = undisturbed(variant).outcome.record
    again = Record.from_json(through_json(record.to_json()))
    assert again.id == record.id
    assert again.to_json() == record.to_json()


@every_variant
def test_same_seed_is_bitwise_the_same(variant: str) -> None:
    assert_same(ran(spec_of(variant)), undisturbed(variant))


@trained_variant
def test_another_seed_trains_other_weights(variant: str) -> None:
    other = ran(spec_of(variant, seed=2)).state
    assert any(
        not torch.equal(t, undisturbed(variant).state[k]) for k, t in other.items() if k.startswith("encoder.body")
    )


# ---------------------------------------------------------------------------------------------------------------------
# W workers = one worker


@every_variant
@pytest.mark.parametrize(("size", "batch_size"), [(2, 7), (3, 7), (3, 2)])
def test_workers_compute_what_one_computes(variant: str, size: int, batch_size: int) -> None:
    """Uneven shards at 7, and at the end of an epoch one example for all; at 2, a third rank that never has any."""
    alone = undisturbed(variant, batch_size)
    for rank in ran_by(alone.outcome.record.spec, size):
        assert_close_json(rank.record, alone.record, 1e-10)
        assert_same_state(rank.state, alone.state, 1e-10)
        assert_same_answers(rank.outcome, alone.outcome, 1e-6)  # probabilities are kept in float32
        assert rank.updates == alone.updates


# ---------------------------------------------------------------------------------------------------------------------
# updates are known beforehand


@every_variant
@pytest.mark.parametrize(
    ("setting", "settings"),
    [
        (Setting(), {}),
        (Setting(shots=9), {"max_updates": 0}),
        (Setting(fraction=0.25), {"min_updates": 4, "max_updates": 5, "batch_size": 16}),
    ],
    ids=["capped", "by-epochs", "lengthened"],
)
def test_planned_updates_are_made(variant: str, setting: Setting, settings: Mapping[str, Any]) -> None:
    spec = spec_of(variant, setting=setting, **settings)
    run = ran(spec)
    planned, record = schedule_of(spec), run.outcome.record
    # stage names are unique, so that one flat mapping says it all
    assert not planned.transfer.keys() & planned.adapt.keys()
    assert record.updates == {name: length.updates for name, length in planned.stages.items()}
    assert record.passes == {name: length.passes for name, length in planned.stages.items()}
    assert run.updates == Counter(record.updates)
    # no update is cheaper than one of plain fine-tuning
    assert all(record.passes[name] >= n for name, n in record.updates.items())


# ---------------------------------------------------------------------------------------------------------------------
# stop and resume


def deaths(variant: str) -> list[tuple[str, int]]:
    """In order of time: before the first update of every stage but the first, and before the second half of each."""
    stages = [(name, n) for name, n in undisturbed(variant).outcome.record.updates.items() if n]
    every = [(name, step) for name, n in stages for step in (0, n // 2)]
    return list(dict.fromkeys(every[1:]))


def killed(spec: Spec, death: tuple[str, int], checkpoint: train.Checkpoint) -> Counter[str]:
    """Run a spec until it dies there; the updates that it made."""
    with opened(death) as kept, unchecked(), pytest.raises(Killed):
        train.run(spec, places_of(spec), checkpoint=checkpoint)
    return kept[0][1]


@trained_variant
def test_resumed_is_bitwise_undisturbed(variant: str, tmp_path: Path) -> None:
    """One cell dies at point after point, is taken up each time where it died, and ends as if nothing had been."""
    whole, spec = undisturbed(variant, validations=3), spec_of(variant, validations=3)
    made: Counter[str] = Counter()
    for stage, step in deaths(variant):
        made += killed(spec, (stage, step), train.Checkpoint(tmp_path / "cell", seconds=0))
        # only what was missing is computed: every update so far was made once
        names = list(whole.outcome.record.updates)
        before = {name: whole.updates[name] for name in names[: names.index(stage)]} | {stage: step}
        assert +made == +Counter(before)
    rest = ran(spec, checkpoint=train.Checkpoint(tmp_path / "cell", seconds=0))
    assert_same(rest, whole)
    assert made + rest.updates == +whole.updates
    # a finished cell leaves no checkpoint behind
    assert not list(tmp_path.glob("cell*"))


@trained_variant
def test_death_between_the_renames_of_a_checkpoint(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old checkpoint has been moved away, the new one is not there yet: the old one is taken up."""
    spec, renames, rename = spec_of(variant, validations=3), 0, os.rename

    def dying(a: Path, b: Path) -> None:
        nonlocal renames
        renames += 1
        if renames == 5:  # after 1 for the first checkpoint and 2 for the second: the arrival of the third
            raise Killed
        rename(a, b)

    with monkeypatch.context() as patched:
        patched.setattr(train.os, "rename", dying)
        with pytest.raises(Killed):
            ran(spec, checkpoint=train.Checkpoint(tmp_path / "cell", seconds=0))
    assert sorted(p.suffix for p in tmp_path.glob("cell*")) == [".new", ".old"]
    rest = ran(spec, checkpoint=train.Checkpoint(tmp_path / "cell", seconds=0))
    assert_same(rest, undisturbed(variant, validations=3))
    assert rest.updates.total() == undisturbed(variant, validations=3).updates.total() - 2


@trained_variant
def test_resumed_on_two_workers(variant: str, tmp_path: Path) -> None:
    spec, death = spec_of(variant, validations=3), deaths(variant)[0]
    with pytest.raises(Killed):
        ran(spec, kill=death, checkpoint=train.Checkpoint(tmp_path / "cell", seconds=0))
    checkpoint = train.Checkpoint(tmp_path / "cell", seconds=0)
    with opened() as kept, unchecked():
        simulate(2, lambda workers: train.run(spec, places_of(spec), workers=workers, checkpoint=checkpoint))
    for method, _ in kept.values():
        assert_same_state(state_of(method), undisturbed(variant, validations=3).state, 1e-10)


def test_checkpoint_of_other_code_is_not_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of("single_task")
    with pytest.raises(Killed):
        ran(spec, kill=("finetune", 3), checkpoint=train.Checkpoint(tmp_path / "cell", seconds=0))
    monkeypatch.setattr(train, "code_and_library_digest", lambda method, datasets: "edited")
    assert ran(spec, checkpoint=train.Checkpoint(tmp_path / "cell", seconds=0)).updates["finetune"] == 4


# ---------------------------------------------------------------------------------------------------------------------
# what a stage's result depends on


class Enough(Exception):  # noqa: N818 - no error, an event
    """The transfer result is there; nothing more is wanted."""


class Keeping:
    """A store that keeps what was computed, and stops after `transfer`."""

    def __init__(self, stop: bool = True) -> None:
        self.kept: list[tuple[str, dict[str, Tensor]]] = []
        self.stop = stop

    def compute(
        self, key: str, make: Callable[[], dict[str, Tensor]], workers: Workers, fresh: object = None
    ) -> tuple[dict[str, Tensor], bool]:
        state = make()
        self.kept.append((key, state))
        if self.stop and any(k.startswith("encoder.") for k in state):
            raise Enough
        return state, False


def stored(spec: Spec) -> dict[str, tuple[str, dict[str, Tensor]]]:
    """``constants`` and ``transfer`` of a spec, each as (key, state); a part that the method lacks is absent."""
    store = Keeping()
    try:
        ran(spec, store=store)
    except Enough:
        pass
    return {"transfer" if any(k.startswith("encoder.") for k in s) else "constants": (key, s) for key, s in store.kept}


def another(rule: Parameter, value: Value) -> Value:
    """A legal value that is not `value`."""
    if rule.type == "bool":
        return not value
    if rule.type == "choice":
        return next(c for c in rule.choices if c != value)
    if rule.type in ("layers", "depth"):
        return "2" if value != "2" else "1"
    if rule.type == "map":
        every = " | ".join(c for names in class_map(value).values() for c in names)
        return "; ".join(f"{c} > {every}" for c in class_map(value)) or "a > b"
    if rule.type == "weights":
        return "a > 1.0"
    assert isinstance(value, int | float)
    for other in (value + 1, value - 1, value / 2 + 0.01, value + 0.1):
        if rule.type == "int" and other != int(other):
            continue
        try:
            return rule.check(other)
        except ValueError:
            continue
    raise AssertionError(f"no other value than {value} in {rule.interval}")


def changed(variant: str, spec: Spec) -> Iterator[tuple[str, Parameter, Spec]]:
    """`spec` with one setting changed, for every setting that the variant does not fix."""
    fixes = catalogue().variant(variant).fixes
    for name, rule in catalogue().parameters_of(variant).items():
        if name not in fixes:
            value = another(rule, spec.settings[name])
            yield name, rule, dataclasses.replace(spec, settings={**spec.settings, name: value})


def keys(spec: Spec) -> tuple[str, str]:
    setup = setup_of(spec)
    return train.stage_key(spec, setup, "constants"), train.stage_key(spec, setup, "transfer")


@all_variants
def test_keys_hold_what_is_read_and_nothing_else(variant: str) -> None:
    spec = spec_of(variant)
    constants, transfer = keys(spec)
    for name, rule, other in changed(variant, spec):
        k, t = keys(other)
        assert (k != constants) == ("constants" in rule.reads), name
        assert (t != transfer) == bool({"constants", "transfer"} & set(rule.reads)), name
    # constants are the same for every seed, a transfer is one seed's
    k, t = keys(dataclasses.replace(spec, seed=5))
    assert k == constants
    assert t != transfer
    # what was trained on other data, or in other numerics, is another result
    for other in (spec_of(variant, options={"seed": 9}), spec_of(variant, precision="fp32")):
        k, t = keys(other)
        assert k != constants
        assert t != transfer


@every_variant
def test_target_is_in_the_key_only_of_a_target_aware_method(variant: str) -> None:
    spec, other = spec_of(variant), spec_of(variant, target="planted/source")
    method = find_module("methods", spec.method).Method
    aware = method.target_aware(setup_of(spec).hp)
    assert (keys(spec)[1] != keys(other)[1]) == aware
    assert keys(spec)[0] == keys(other)[0]
    if not aware:
        a, b = stored(spec), stored(other)
        assert a.keys() == b.keys()
        for part in a:
            assert_same_state(a[part][1], b[part][1])


@every_variant
def test_adapt_only_settings_leave_transfer_bitwise_equal(variant: str) -> None:
    spec = spec_of(variant)
    settings = dict(spec.settings)
    for name, rule, other in changed(variant, spec):
        if rule.reads == ("adapt",):
            settings[name] = other.settings[name]
    a, b = stored(spec), stored(dataclasses.replace(spec, settings=settings))
    assert a.keys() == b.keys()
    for part in a:
        assert a[part][0] == b[part][0]
        assert_same_state(a[part][1], b[part][1])


@every_variant
def test_constants_do_not_depend_on_seed(variant: str) -> None:
    a, b = stored(spec_of(variant)), stored(spec_of(variant, seed=3))
    if "constants" in a:
        assert_same_state(a["constants"][1], b["constants"][1])


@every_variant
def test_stored_stages_give_the_same_record(variant: str, tmp_path: Path) -> None:
    spec, store = spec_of(variant), StageStore(tmp_path)
    first, second = ran(spec, store=store), ran(spec, store=store)
    for run, word in ((first, "ran"), (second, "stored")):
        shared = [s for s in run.outcome.record.stages if s not in schedule_of(spec).adapt]
        assert {run.outcome.record.stages[s] for s in shared} <= {word}
        assert without(run, "stages") == without(undisturbed(variant), "stages")
        assert_same_state(run.state, undisturbed(variant).state)
        assert_same_answers(run.outcome, undisturbed(variant).outcome)
    # a stage answered from the store makes no update here
    assert {s for s, n in second.updates.items() if n} <= set(schedule_of(spec).adapt)
    # another target takes up what this one left, with the result it would have had alone
    other = ran(spec_of(variant, target="planted/source"), store=store)
    alone = undisturbed(variant, target="planted/source")
    assert without(other, "stages") == without(alone, "stages")
    assert_same_state(other.state, alone.state)


def schedule_of(spec: Spec) -> Schedule:
    module = find_module("methods", spec.method)
    sizes = {n: len(t.splits["train"]) for n, t in train.load_tasks(spec, None).items()}
    schedule = module.Method.schedule(hparams(module.HParams, spec.settings), Sizes(sizes, spec.target))
    assert isinstance(schedule, Schedule)
    return schedule


def without(run: Ran, key: str) -> dict[str, Any]:
    return {k: v for k, v in run.record.items() if k != key}


@trained_variant
def test_resume_after_a_stored_transfer(variant: str, tmp_path: Path) -> None:
    """A cell that dies in `adapt` says of its earlier stages what an undisturbed one says."""
    spec, store = spec_of(variant, then_finetune=True), StageStore(tmp_path / "store")
    ran(spec, store=store)
    whole = ran(spec, store=store)
    stage = next(iter(schedule_of(spec).adapt))
    with pytest.raises(Killed):
        ran(spec, kill=(stage, 2), store=store, checkpoint=train.Checkpoint(tmp_path / "cell", seconds=0))
    assert_same(ran(spec, store=store, checkpoint=train.Checkpoint(tmp_path / "cell", seconds=0)), whole)


# ---------------------------------------------------------------------------------------------------------------------
# it learns, from what it may see


# a text of the target might as well be one of the source, so only `answer: own` asks what can be known
LEARNING = {
    "lr": 3e-3,
    "batch_size": 16,
    "min_updates": 70,
    "max_updates": 70,
    "weights": "mean1",
    "feature": "mean",
    "answer": "own",
    "inverse_hessian": 1e-3,  # the paper's 5 is that of a network over vectors, whose gradients are smaller
    "gamma2": 0.1,  # XT's labels are its own guesses
    "fusion_lr": 1e-2,
    "reduction_factor": 1,
    "meta_steps": 10,
}


@every_variant
def test_learns_a_separable_task(variant: str) -> None:
    options = {"n_train": 240, "n_dev": 60, "n_test": 150}
    spec = spec_of(variant, options=options, precision="fp32", **LEARNING)
    score = ran(spec).outcome.record.metrics["test"]["accuracy"]
    if variant == "majority":
        assert score == pytest.approx(1 / 3, abs=0.05)
    else:
        # a random body that nobody trains tells the classes apart less well
        frozen = ROLES[variant] == "floor" or spec.settings["freeze"] == "all"
        assert score > (0.5 if frozen else 0.8)


class NoTest(dict[str, Any]):
    """Splits among which the test split must not be looked at."""

    def __getitem__(self, split: str) -> Any:
        if split == "test":
            raise AssertionError("the test split was read")
        return super().__getitem__(split)

    def values(self) -> Any:
        raise AssertionError("all splits were read")

    items = values


@every_variant
def test_search_never_reads_the_test_split(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = train.load_tasks

    def load_tasks(spec: Spec, root: str | None) -> dict[str, Task]:
        tasks = original(spec, root)
        for name, task in tasks.items():
            assert task.digest  # names the content, test included; nothing is learnt from it
            tasks[name] = copy.copy(task)  # other tests share the task itself
            object.__setattr__(tasks[name], "splits", NoTest(task.splits))
        return tasks

    monkeypatch.setattr(train, "load_tasks", load_tasks)
    monkeypatch.setattr(text, "_MEMO", {})  # nothing that was tokenised before
    record = ran(spec_of(variant, phase="search", validations=2)).outcome.record
    assert set(record.metrics) == {"dev"}
    assert "n_test" not in record.counts
    with pytest.raises(AssertionError, match="test split"):  # the guard does guard
        ran(spec_of(variant, phase="confirm"))


@trained_variant
def test_selection_keeps_the_earliest_best_weights(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    states, judged = [], []
    predict, task_metrics = train.predict, train.task_metrics

    def watching_predict(method: Any, *rest: Any) -> Any:
        states.append(state_of(method))
        return predict(method, *rest)

    def watching_scores(*rest: Any) -> Any:
        judged.append(task_metrics(*rest))
        return judged[-1]

    monkeypatch.setattr(train, "predict", watching_predict)
    monkeypatch.setattr(train, "task_metrics", watching_scores)
    options = {"n_train": 28, "n_dev": 30}
    settings = {"lr": 1e-2, "max_updates": 12, "epochs": 9, "joint_epochs": 3, "validations": 6, "then_finetune": True}
    run = ran(spec_of(variant, phase="search", options=options, **settings))
    *during, last = [s["accuracy"] for s in judged]
    assert len(during) == 6
    assert last == max(during)
    assert_same_state(run.state, states[during.index(max(during))])


@all_variants
def test_low_resource_cells_run_whatever_the_method(variant: str) -> None:
    spec = spec_of(variant, setting=Setting(shots=6), max_updates=2)
    record = ran(spec).outcome.record
    assert record.counts["n_train"] == record.counts["n_dev"] == 6
    assert record.counts["n_test"] == 12


def test_changed_data_and_models_are_refused() -> None:
    spec = spec_of("majority")
    digests = {n: load(n, options=spec.task_options["planted"]).digest for n in spec.suite}
    ran(dataclasses.replace(spec, data=digests, plm_digest=resolve("tiny").digest))
    with pytest.raises(PreflightError, match="planted/source"):
        ran(dataclasses.replace(spec, data={**digests, "planted/source": "0" * 32}))
    with pytest.raises(PreflightError, match="planned"):
        ran(dataclasses.replace(spec, plm_digest="other"))


def test_settings_of_the_quick_cells_are_in_effect() -> None:
    """The helper leaves out what a variant lacks; what it has must arrive."""
    assert known("single_task", {"lr": 1.0, "weights": "raw"}) == {"lr": 1.0}
    assert spec_of("meta_dtl").settings["weights"] == "clip0"
    task = load("planted/target", options=spec_of("majority").task_options["planted"])
    lengths = set(map(int, torch.from_numpy(encode(task, "train", resolve("tiny")).offsets).diff()))
    assert lengths == {10}


def test_shapes_are_checked_but_in_repeats() -> None:
    flat, offsets = torch.zeros(3), torch.tensor([0, 3])  # one dimension where there must be two
    with pytest.raises(TypeCheckError):
        pool(flat, offsets)
    with unchecked(), pytest.raises(IndexError):
        pool(flat, offsets)
    with pytest.raises(TypeCheckError):
        pool(flat, offsets)


# ---------------------------------------------------------------------------------------------------------------------
# what frozen lower layers make of a text is computed once


@trained_variant
def test_known_states_of_frozen_layers_train_what_computing_them_trains(variant: str) -> None:
    """Dropout acts above, in the same way; the exact second-order path begins above them like the others."""
    if catalogue().variant(variant).fixes.get("freeze") == "all" or spec_of(variant).plm != "tiny":
        pytest.skip("adapters stand in every layer; vectors have no lower layers")
    spec = spec_of(variant, freeze="1", frozen_dropout=False, dropout=0.3, layers="1.0", rtn_layer="1.0")
    kept = ran(spec)
    assert kept.outcome.record.seconds["lower layers"] >= 0
    with patch.object(train, "fits", lambda *_: False):
        computed = ran(spec)
    assert_close_json(kept.record, computed.record, 1e-12)
    assert_same_state(kept.state, computed.state, 1e-12)
    assert_same_answers(kept.outcome, computed.outcome, 1e-6)  # probabilities are kept in float32
