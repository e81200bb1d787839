"""The stage store: computed once, the same tensors back, never in the way."""

from __future__ import annotations

import threading
from pathlib import Path

import torch
from torch import Tensor

from raystudy.study.store.stage_store import StageStore
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
