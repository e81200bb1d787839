"""Learning to learn: the source's representation is held still, and it is worth the less the farther the source is."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import VECTORS, assert_close_json, assert_same_state, method_over, planted, ran, ran_by, setup_of, spec_of
from scipy.stats import spearmanr

from raystudy import train
from raystudy.catalogue import catalogue
from raystudy.data.plm import PLM, resolve
from raystudy.errors import ConfigError, DataError
from raystudy.methods import Sizes, hparams
from raystudy.methods.task_distance import HParams, Method
from raystudy.spec import Numerics, Places, Setting, Spec
from raystudy.study.store.stage_store import StageStore
from raystudy.tasks import Task

NET = resolve("mlp:16")


def distance_of(tasks: dict[str, Task], plm: PLM = NET, **settings: Any) -> dict[str, float]:
    method = method_over(tasks, "task_distance", plm=plm, measure=True, **{"max_updates": 12, **settings})
    for stage in method.transfer():
        stage.start()
        for step in range(stage.length.updates):
            stage.update(step, stage.draw(step))
        assert stage.after is not None
        stage.after(stage.length.updates - 1)
    found: dict[str, float] = method.facts()["task_distance"]
    return found


def test_identical_tasks_have_distance_0() -> None:
    target = planted("vector_target")
    same = dataclasses.replace(target, name="planted/other")
    found = distance_of({"a": target, "b": same})
    assert found["distance"] == 0
    assert found["source"] == found["own"] > 0


def test_the_distance_of_tagged_words_is_over_the_words() -> None:
    target = planted("tag_target")
    same = dataclasses.replace(target, name="planted/other")
    found = distance_of({"a": target, "b": same}, plm=resolve("tiny"), max_updates=3)
    assert found["distance"] == 0
    # a head of zeros has the loss log(classes) on every word, and the best one a smaller one
    assert 0 < found["own"] < math.log(len(target.labels))


def test_another_task_is_farther_and_the_less_related_the_farther() -> None:
    target = planted("vector_target", n_train=120, length=12)
    distances = []
    for r in (1.0, 0.5, 0.0):
        source = planted("vector_source", n_train=120, length=12, relatedness=r)
        distances.append(distance_of({"a": target, "b": source}, lr=2e-2, batch_size=20)["distance"])
    assert 0 < distances[0] < distances[1] < distances[2]


def test_the_representation_is_held_still_unless_it_is_tuned() -> None:
    for tuned in (False, True):
        method = method_over(
            {"a": planted("vector_target"), "b": planted("vector_source")}, "task_distance", plm=NET, tuned=tuned
        )
        (source,), (head,) = method.transfer(), method.adapt()
        source.start()
        source.update(0, source.draw(0))
        before = {k: v.clone() for k, v in method.state_dict().items()}
        head.start()
        for step in range(3):
            head.update(step, head.draw(step))
        after = method.state_dict()
        changed = {k for k, v in after.items() if not torch.equal(v, before[k])}
        own_head = {"encoder.heads.0.weight", "encoder.heads.0.bias"}
        assert changed == (own_head | {"encoder.body.layer.weight", "encoder.body.layer.bias"} if tuned else own_head)


def test_one_of_several_sources_is_trained_alone() -> None:
    tasks = {"a": planted("vector_target"), "b": planted("vector_source"), "c": planted("vector_source", seed=7)}
    states = []
    for some, source in ((tasks, 2), ({"a": tasks["a"], "c": tasks["c"]}, 0)):
        method = method_over(some, "task_distance", plm=NET, source=source)
        (stage,) = method.transfer()
        stage.start()
        for step in range(stage.length.updates):
            stage.update(step, stage.draw(step))
        states.append(method.encoder.body.state_dict())
    assert_same_state(*states)


def test_both_sources_are_trained_by_default() -> None:
    sizes = Sizes({"a": 10, "b": 25, "c": 30}, "a")
    hp = hparams(HParams, {**catalogue().resolve("task_distance"), "batch_size": 10, "source_epochs": 2, "epochs": 3})
    assert Method.schedule(hp, sizes).transfer["source"].updates == 2 * 6
    one = dataclasses.replace(hp, source=2, measure=True)
    assert {k: v.updates for k, v in Method.schedule(one, sizes).stages.items()} == {"own": 2, "source": 6, "head": 3}


@pytest.mark.parametrize("size", [2, 3])
def test_workers_measure_what_one_measures(size: int) -> None:
    spec = spec_of("task_distance", suite=VECTORS, target=VECTORS[0], measure=True)
    alone = ran(spec)
    for rank in ran_by(spec, size):
        assert_close_json(rank.record, alone.record, 1e-8)
        assert_same_state(rank.state, alone.state, 1e-8)


# ---------------------------------------------------------------------------------------------------------------------
# the simulation

OPTIONS = {"inputs": 16, "width": 64, "examples": 400, "classes": 4, "n_dev": 10, "n_test": 250}
RATES = (0, 50, 100)


def accuracy(percent: int, variant: str = "task_distance") -> float:
    settings = {"lr": 1e-2, "source_epochs": 60, "epochs": 60, "batch_size": 50}
    known = {k: v for k, v in settings.items() if k in catalogue().parameters_of(variant)}
    spec = Spec(
        phase="confirm",
        variant=variant,
        method=catalogue().variant(variant).method,
        settings=catalogue().resolve(variant, known),
        suite=("teachers/target", f"teachers/flip_{percent}"),
        target="teachers/target",
        setting=Setting(shots=100),
        seed=1,
        plm="mlp:64",
        plm_digest="",
        data={},
        task_options={"teachers": OPTIONS},
        numerics=Numerics(),
    )
    record = train.run(spec, Places(plm="mlp:64")).record
    return record.metrics["test"]["accuracy"]


def test_a_source_is_worth_the_less_the_more_of_its_labels_are_drawn_anew() -> None:
    found = [accuracy(q) for q in RATES]
    assert spearmanr(RATES, found).statistic < 0
    assert found[0] == max(found)
    # what the target alone knows of vectors that it has not seen is nothing
    assert found[0] > accuracy(0, "single_task") + 0.05


# ---------------------------------------------------------------------------------------------------------------------
# what is refused


def test_refusals() -> None:
    hp = hparams(HParams, catalogue().resolve("task_distance"))
    two = {"a": planted("vector_target"), "b": planted("vector_source")}
    assert Method.admit(hp, 1, two) == []
    with pytest.raises(DataError, match="needs one"):
        Method.admit(hp, 1, {"a": two["a"]})
    with pytest.raises(ConfigError, match="must be at most 1, the number of tasks beside the target, but is 2"):
        Method.admit(dataclasses.replace(hp, source=2), 1, two)


def test_all_amounts_of_target_data_share_a_transfer(tmp_path: Path) -> None:
    """A source's representation does not know the target's examples, so that it is computed once for all of them."""
    store = StageStore(tmp_path)
    few, more = (spec_of("task_distance", suite=VECTORS, target=VECTORS[0], setting=Setting(shots=k)) for k in (6, 12))
    assert ran(few, store=store).record["stages"]["source"] == "ran"
    second, alone = ran(more, store=store), ran(more)
    assert second.record["stages"]["source"] == "stored"
    assert_same_state(second.state, alone.state)
    measured = dataclasses.replace(more, settings={**more.settings, "measure": True})
    keys = [train.stage_key(s, setup_of(s), "transfer") for s in (few, more, measured)]
    assert keys[0] == keys[1] and keys[2]["data"] != keys[1]["data"]
