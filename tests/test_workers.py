"""The collectives: shares cover, sums keep what nobody has apart, an error on one rank is an error."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from raystudy.workers import Alone, Workers, share, simulate, sum_over


@dataclass
class Rank(Alone):
    rank: int = 0
    size: int = 1


@given(st.integers(0, 50), st.integers(1, 9))
def test_shares_cover_everything_once(n: int, size: int) -> None:
    parts = [range(n)[share(n, Rank(r, size))] for r in range(size)]
    # in rank order, without gaps or repeats
    assert [i for p in parts for i in p] == list(range(n))
    # as even as can be
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_alone_every_collective_is_the_identity() -> None:
    x = torch.arange(3.0)
    assert Alone().sum(x) is x
    assert Alone().gather("x") == ["x"]
    assert sum_over(Alone(), [x, None], [x, x]) == [x, None]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_simulated_collectives(size: int) -> None:
    def work(workers: Workers) -> tuple[Tensor, list[int], int]:
        total = workers.sum(torch.tensor([float(workers.rank), 1.0]))
        return total, workers.gather(workers.rank**2), workers.rank

    for rank, (total, gathered, mine) in enumerate(simulate(size, work)):
        assert mine == rank  # results come in rank order
        assert total.tolist() == [size * (size - 1) / 2, size]
        assert gathered == [r**2 for r in range(size)]


def test_sum_over_keeps_apart_zero_and_none() -> None:
    like = [torch.zeros(2, 3), torch.zeros(4), torch.zeros(1), torch.zeros(())]

    def work(workers: Workers) -> list[Tensor | None]:
        first = workers.rank == 0
        mine = [torch.ones(2, 3), torch.full((4,), 2.0) if first else None, None, torch.zeros(()) if first else None]
        return sum_over(workers, mine, like)

    for a, b, c, d in simulate(3, work):
        assert a is not None
        assert a.tolist() == [[3.0] * 3] * 2
        # a rank that lacks a tensor adds nothing
        assert b is not None
        assert b.tolist() == [2.0] * 4
        # what no rank has stays None; a zero that somebody has does not
        assert c is None
        assert d is not None
        assert d.shape == ()
        assert d == 0


def test_sum_over_is_one_collective() -> None:
    calls = []

    class Counting(Rank):
        def sum(self, flat: Tensor) -> Tensor:
            calls.append(flat.shape)
            return flat

    sum_over(Counting(0, 2), [torch.ones(2, 2), None, torch.ones(5)], [torch.ones(2, 2), torch.ones(3), torch.ones(5)])
    assert calls == [(3 + 4 + 3 + 5,)]


def test_an_error_on_one_rank_releases_the_others() -> None:
    def work(workers: Workers) -> None:
        if workers.rank == 1:
            raise ZeroDivisionError("rank 1")
        workers.gather(None)

    with pytest.raises(ZeroDivisionError, match="rank 1"):
        simulate(3, work)


def test_summed_gradients_do_not_carry_a_graph() -> None:
    def work(workers: Workers) -> bool:
        x = torch.ones(2, requires_grad=True)
        return workers.sum(2 * x).requires_grad

    assert simulate(2, work) == [False, False]
