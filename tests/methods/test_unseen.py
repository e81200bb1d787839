"""A target that takes no part in the transfer: what is learned from the other tasks does not know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from cells import DOMAINS, PLACES, TRAINED, admits, spec_of
from torch import Tensor

from raystudy import train
from raystudy.errors import ConfigError, DataError
from raystudy.methods import Sizes, hparams
from raystudy.plugins import find_module
from raystudy.spec import Setting, Spec
from raystudy.tasks import load
from raystudy.workers import Workers

TASKS = ("planted/source", "planted/target", "planted/pair_source")
WORLDS = ("planted/domain_2", "planted/domain_1", "planted/domain_3")


class Watching:
    """A store that keeps the state behind the transfer."""

    def __init__(self) -> None:
        self.transfer: Mapping[str, Tensor] = {}

    def compute(
        self, key: Mapping[str, Any], make: Callable[[], dict[str, Tensor]], workers: Workers, fresh: object = None
    ) -> tuple[dict[str, Tensor], bool]:
        state = make()
        if key["part"] == "transfer":
            self.transfer = state
        return state, False


def unseen(variant: str, **options: Any) -> Spec:
    """A spec of three tasks whose target, the one in the middle, takes no part in the transfer."""
    suite = TASKS if admits(variant, TASKS) else WORLDS
    return spec_of(variant, suite=suite, target=suite[1], unseen=True, max_updates=3, then_finetune=True, **options)


def transferred(spec: Spec) -> Mapping[str, Tensor]:
    store = Watching()
    train.run(spec, PLACES, store=store)
    return store.transfer


def body(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t for name, t in state.items() if name.startswith("encoder.body")}


def refuses(variant: str) -> bool:
    """Whether the variant says before any training that the target has to take part."""
    spec = unseen(variant)
    module = find_module("methods", spec.method)
    tasks = {name: load(name) for name in spec.suite}
    try:
        module.Method.admit(hparams(module.HParams, spec.settings), 2, tasks, spec.target)
    except ConfigError:
        return True
    return False


def transfers(variant: str) -> bool:
    spec = spec_of(variant)
    module = find_module("methods", spec.method)
    sizes = Sizes({"planted/target": 9, "planted/source": 9}, "planted/target")
    return bool(module.Method.schedule(hparams(module.HParams, spec.settings), sizes).transfer)


ALL = tuple(v for v in TRAINED if transfers(v))
NEEDS_THE_TARGET = tuple(v for v in ALL if refuses(v))
TRANSFERRING = tuple(v for v in ALL if v not in NEEDS_THE_TARGET)


@pytest.mark.parametrize("variant", TRANSFERRING)
def test_the_transfer_does_not_depend_on_the_target_s_examples(variant: str) -> None:
    few, more = (transferred(unseen(variant, setting=Setting(shots=k))) for k in (6, 12))
    assert few.keys() == more.keys()
    assert all(torch.equal(few[name], more[name]) for name in few)


def test_what_needs_the_target_is_refused() -> None:
    """Few variants do: what draws the target alone, and what weighs tasks by it."""
    assert "reptile_mixed" in NEEDS_THE_TARGET
    assert all(v == "reptile_mixed" or v.startswith("tawt") for v in NEEDS_THE_TARGET)
    for variant in NEEDS_THE_TARGET:
        with pytest.raises(ConfigError, match="unseen"):
            transferred(unseen(variant))


@pytest.mark.parametrize("variant", ["meta_dtl", "meta_dtl_multi_prototype", "multi_task", "adapter_fusion"])
def test_it_is_the_transfer_of_the_other_tasks_alone(variant: str) -> None:
    """As in a suite without the target: only the heads are numbered otherwise."""
    with_target = unseen(variant)
    others = (with_target.suite[0], with_target.suite[2])
    alone = spec_of(variant, suite=others, target=others[0], max_updates=3, then_finetune=True)
    a, b = body(transferred(with_target)), body(transferred(alone))
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=1e-12)


def test_nobody_answers_with_a_head_that_was_never_trained() -> None:
    module = find_module("methods", "multi_task")
    tasks = {name: load(name) for name in DOMAINS}
    module.Method.admit(module.HParams(), 2, tasks)
    with pytest.raises(ConfigError, match="its head would be untrained"):
        module.Method.admit(module.HParams(), 2, tasks, DOMAINS[0])
    module.Method.admit(module.HParams(then_finetune=True), 2, tasks, DOMAINS[0])
    # what needs two tasks needs two beside an unseen target
    fusion = find_module("methods", "adapter_fusion")
    with pytest.raises(DataError, match="needs two of them"):
        fusion.Method.admit(fusion.HParams(), 2, tasks, DOMAINS[0])


def test_sizes_leave_the_target_out_of_the_transfer_alone() -> None:
    sizes = Sizes({"a": 7, "b": 5, "c": 3}, "b")
    hidden = Sizes(sizes.tasks, "b", unseen=True)
    assert sizes.transfer == [7, 5, 3] and hidden.transfer == [7, 0, 3]
    assert sizes.own == hidden.own == 5 and sizes.others == hidden.others == [7, 3]
