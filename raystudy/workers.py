"""The ranks of one data-parallel training, and the few collectives that methods use.

The rule for every method: the global batch is drawn identically on every rank, each rank takes its slice, sums are
divided by GLOBAL counts, gradients are summed over ranks. Then W workers compute what one worker computes (exactly, up
to the order of floating-point sums). There is no DistributedDataParallel: its mean of means is wrong for uneven
shards, and it does not see gradients of gradients.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Alone", "ProcessGroup", "Workers", "share", "simulate", "sum_over"]

T = TypeVar("T")


@runtime_checkable
class Workers(Protocol):
    """One rank's view of its group."""

    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...
    def sum(self, flat: Tensor) -> Tensor:
        """The sum over ranks of a flat tensor of one shape, the same tensor on every rank. Not recorded by autograd."""
        ...

    def gather(self, value: T) -> list[T]:
        """The value of every rank, in rank order, on every rank."""
        ...


class Alone:
    """A group of one: every collective is the identity."""

    rank, size = 0, 1

    def sum(self, flat: Tensor) -> Tensor:
        return flat

    def gather(self, value: T) -> list[T]:
        return [value]


class ProcessGroup:
    """The default torch.distributed group (gloo on CPU, nccl on GPU), which Ray Train sets up."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def sum(self, flat: Tensor) -> Tensor:
        flat = flat.contiguous().clone()
        dist.all_reduce(flat)
        return flat

    def gather(self, value: T) -> list[T]:
        box: list[T | None] = [None] * self.size
        dist.all_gather_object(box, value)
        return box  # type: ignore[return-value]


class _Thread:
    """One simulated rank: a thread that meets the others at a barrier. For tests of the data-parallel laws."""

    def __init__(self, rank: int, size: int, barrier: threading.Barrier, board: list[object]) -> None:
        self.rank, self.size, self._barrier, self._board = rank, size, barrier, board

    def gather(self, value: T) -> list[T]:
        self._board[self.rank] = value
        self._barrier.wait(timeout=120)
        seen = list(self._board)
        self._barrier.wait(timeout=120)
        return seen  # type: ignore[return-value]

    def sum(self, flat: Tensor) -> Tensor:
        return torch.stack(self.gather(flat.detach().clone())).sum(0)


def simulate(size: int, work: Callable[[Workers], T]) -> list[T]:
    """Run `work` once per rank, in threads of this process, and return what each rank returned.

    Raises:
        BaseException: the first rank's error, when any rank fails; the others are released from their barrier.
    """
    barrier, board = threading.Barrier(size), [None] * size
    results: list[T | None] = [None] * size
    errors: list[BaseException] = []

    def one(rank: int) -> None:
        try:
            results[rank] = work(_Thread(rank, size, barrier, board))  # type: ignore[arg-type]
        except threading.BrokenBarrierError:
            pass
        except BaseException as e:
            errors.append(e)
            barrier.abort()

    threads = [threading.Thread(target=one, args=(r,), daemon=True) for r in range(size)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]
    return results  # type: ignore[return-value]


def share(n: int, workers: Workers) -> slice:
    """This rank's contiguous part of `n` items; sizes differ by at most one, and may be zero."""
    small, extra = divmod(n, workers.size)
    start = workers.rank * small + min(workers.rank, extra)
    return slice(start, start + small + (workers.rank < extra))


def sum_over(workers: Workers, tensors: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor | None]:
    """Sum each tensor over ranks in ONE flat collective; None on every rank stays None.

    A rank that lacks a tensor (its slice held no example of that head) contributes zeros. A tensor that no rank has
    stays None, so that an optimizer leaves that parameter and its moments untouched.

    Args:
        tensors: this rank's tensors, None where it has none.
        like: tensors of the same shapes, for the zeros.
    """
    if workers.size == 1:
        return list(tensors)
    present = torch.tensor([t is not None for t in tensors], dtype=like[0].dtype, device=like[0].device)
    parts = [(torch.zeros_like(p) if t is None else t).reshape(-1) for t, p in zip(tensors, like, strict=True)]
    flat = workers.sum(torch.cat([present, *parts]))
    out: list[Tensor | None] = []
    at = len(tensors)
    somewhere = (flat[:at] > 0).tolist()  # asked once, because a GPU answers when all before is computed
    for i, p in enumerate(like):
        out.append(flat[at : at + p.numel()].view_as(p) if somewhere[i] else None)
        at += p.numel()
    return out
