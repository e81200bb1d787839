"""The stage store: computed once, the same tensors back, never in the way."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from cells import assert_same_answers, assert_same_state, ran, spec_of
from safetensors.torch import save_file
from torch import Tensor

from raystudy.study.store.stage_store import LARGE, StageStore, tensor_digest
from raystudy.workers import Alone, Workers, simulate

KEY = {"part": "transfer", "method": "meta_dtl", "settings": {"λ": 0.1}, "seed": 3}


def state(x: float) -> dict[str, Tensor]:
    return {"a": torch.full((3,), x, dtype=torch.float64), "b": torch.arange(2)}


def test_the_second_ask_is_answered_bitwise(tmp_path: Path) -> None:
    store, calls = StageStore(tmp_path), []

    def make() -> dict[str, Tensor]:
        calls.append(1)
        return state(0.1)

    first, hit = store.compute(KEY, make, Alone())
    second, again = store.compute(KEY, make, Alone())
    assert (hit, again, len(calls)) == (False, True, 1)
    assert all(torch.equal(first[k], second[k]) and first[k].dtype == second[k].dtype for k in first)


def test_an_empty_state_is_a_result_too(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    assert store.compute(KEY, dict, Alone()) == ({}, False)
    assert store.compute(KEY, dict, Alone()) == ({}, True)


def test_a_torn_file_is_computed_anew(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    store.compute(KEY, lambda: state(1.0), Alone())
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:20])
    again, hit = store.compute(KEY, lambda: state(1.0), Alone())
    assert not hit
    assert torch.equal(again["a"], state(1.0)["a"])


def test_two_groups_compute_once(tmp_path: Path) -> None:
    """The second waits for the first instead of computing the same."""
    calls, hits = [], []
    started = threading.Event()

    def make() -> dict[str, Tensor]:
        calls.append(1)
        started.set()
        threading.Event().wait(0.2)
        return state(2.0)

    def one() -> None:
        hits.append(StageStore(tmp_path).compute(KEY, make, Alone())[1])

    threads = [threading.Thread(target=one) for _ in range(2)]
    for t in threads:
        t.start()
        started.wait(5)
    for t in threads:
        t.join()
    assert len(calls) == 1
    assert sorted(hits) == [False, True]


def test_all_ranks_hit_or_all_compute(tmp_path: Path) -> None:
    def work(workers: Workers) -> tuple[bool, bool]:
        store = StageStore(tmp_path)
        return (
            store.compute(KEY, lambda: state(3.0), workers)[1],
            store.compute(KEY, lambda: state(3.0), workers)[1],
        )

    assert simulate(3, work) == [(False, True)] * 3


def test_the_oldest_goes_when_the_limit_is_reached(tmp_path: Path) -> None:
    size = len(torch.zeros(1000, dtype=torch.float64)) * 8
    store = StageStore(tmp_path, limit=3 * size)
    for i in range(4):
        store.compute({"part": i}, lambda: {"x": torch.zeros(1000, dtype=torch.float64)}, Alone())
    assert store.read({"part": 0}) is None
    assert store.read({"part": 3}) is not None


# ---------------------------------------------------------------------------------------------------------------------
# no byte is kept twice


def untouched() -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(1)
    shapes = {"frozen": (200, 100), "trained": (200, 100), "bias": (7,), "scalar": (), "empty": (0, 3)}
    return {name: torch.randn(shape, generator=g, dtype=torch.float64) for name, shape in shapes.items()}


def behind(fresh: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a stage leaves: one tensor trained; zeros of another sign and NaN are other bits."""
    g = torch.Generator().manual_seed(2)
    return {**fresh, "trained": torch.randn((200, 100), generator=g), "nan": torch.tensor([float("nan"), -0.0, 0.0])}


def files_of(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*.safetensors")}


def test_only_what_training_changed_is_kept_and_comes_back_bitwise(tmp_path: Path) -> None:
    store, fresh = StageStore(tmp_path), untouched()
    state = behind(fresh)
    store.compute(KEY, lambda: state, Alone(), fresh)
    taken = sum(p.stat().st_size for p in tmp_path.rglob("*.safetensors"))
    assert taken < 1.1 * state["trained"].numel() * 4 + 2000, "the frozen one is not there"
    again, hit = store.compute(KEY, dict, Alone(), untouched())
    assert hit
    assert again.keys() == state.keys()
    assert {k: tensor_digest(t) for k, t in again.items()} == {k: tensor_digest(t) for k, t in state.items()}


@pytest.mark.parametrize("change", ["frozen", "bias", "scalar"])
def test_a_reader_whose_method_begins_elsewhere_computes_anew(tmp_path: Path, change: str) -> None:
    """The key says that it begins alike; should it not, what was left out cannot be taken from it."""
    store, fresh = StageStore(tmp_path), untouched()
    store.compute(KEY, lambda: behind(fresh), Alone(), fresh)
    other = untouched()
    other[change] = other[change] + 1e-12
    assert store.read(KEY, other) is None
    assert store.read(KEY) is None, "nobody has what was left out"
    assert store.read(KEY, {**untouched(), "further": torch.zeros(3)}) is not None


def test_large_tensors_that_are_equal_are_kept_once(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    large = torch.arange(LARGE // 4, dtype=torch.float32)
    for seed in range(3):
        state = {"a": large.clone(), "b": large.clone(), "own": torch.tensor([seed])}
        store.compute({"seed": seed}, lambda state=state: state, Alone())  # type: ignore[misc]
    assert len(files_of(tmp_path)) == 4
    for seed in range(3):
        again = store.read({"seed": seed})
        assert again is not None
        assert torch.equal(again["a"], large)
        assert torch.equal(again["b"], large)
        assert int(again["own"]) == seed
    (shared,) = (tmp_path / "tensors").iterdir()
    shared.unlink()
    assert store.read({"seed": 0}) is None, "a tensor that is gone is computed anew"
    assert store.compute({"seed": 0}, lambda: {"a": large}, Alone()) == ({"a": large}, False)


def test_what_has_the_same_bytes_but_another_shape_or_type_is_another_tensor() -> None:
    a = torch.zeros(6)
    others = [a.reshape(2, 3), a.to(torch.int32), torch.zeros(3, dtype=torch.float64), -a, torch.zeros(7)]
    assert len({tensor_digest(t) for t in [a, *others]}) == 6
    assert tensor_digest(a.reshape(2, 3).t()) == tensor_digest(torch.zeros(3, 2)), "however it lies in memory"


def test_a_limit_counts_what_is_shared_once(tmp_path: Path) -> None:
    large = [torch.full((LARGE // 4,), float(n)) for n in range(3)]
    store = StageStore(tmp_path, limit=2 * LARGE + 3000)
    for seed, n in enumerate((0, 0, 0, 1)):
        store.compute({"seed": seed}, lambda n=n: {"x": large[n]}, Alone())  # type: ignore[misc]
    assert all(store.read({"seed": seed}) is not None for seed in range(4))
    store.compute({"seed": 4}, lambda: {"x": large[2]}, Alone())
    assert [store.read({"seed": seed}) is not None for seed in range(5)] == [False, False, False, True, True]
    assert len(list((tmp_path / "tensors").iterdir())) == 2


def test_a_file_of_an_earlier_version_answers(tmp_path: Path) -> None:
    store, whole = StageStore(tmp_path), behind(untouched())
    save_file(whole, store._path(KEY), metadata={"key": "{}"})
    again, hit = store.compute(KEY, dict, Alone(), untouched())
    assert hit
    assert {k: tensor_digest(t) for k, t in again.items()} == {k: tensor_digest(t) for k, t in whole.items()}


@pytest.mark.parametrize("variant", ["multi_task", "adapter_fusion"])
def test_a_cell_with_frozen_parts_keeps_the_trained_ones(tmp_path: Path, variant: str) -> None:
    """Of a model with frozen embeddings, or with adapters, the store has what was trained; cells stay the same."""
    spec = spec_of(variant, freeze="embeddings")
    first = ran(spec, store=StageStore(tmp_path))
    again = ran(spec, store=StageStore(tmp_path))
    assert "stored" in again.record["stages"].values()
    assert {**first.record, "stages": 0} == {**again.record, "stages": 0}
    assert_same_state(first.state, again.state)
    assert_same_answers(first.outcome, again.outcome)
    body = sum(t.numel() * t.element_size() for k, t in first.state.items() if ".embeddings." in k)
    whole = sum(t.numel() * t.element_size() for t in first.state.values())
    kept = sum(p.stat().st_size for p in tmp_path.rglob("*.safetensors"))
    assert kept < whole - body + 20_000
