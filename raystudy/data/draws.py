"""Seeded draws, pure in (seed, purpose, step): asked again, or on another rank, the answer is the same.

Every draw names rows of a `Corpus`: pairs of (task index, row of that task's train split). All ranks draw the same
GLOBAL batch and take their slice of it afterwards.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Rows",
    "epoch_batches",
    "epoch_updates",
    "joint_batches",
    "other_tasks",
    "rng",
    "seed_of",
    "task_batches",
    "task_mixture",
    "union_batches",
]

Rows = NDArray[np.int64]  # (B, 2): task index, row


def seed_of(*purpose: object) -> int:
    """A 63-bit seed that depends on `purpose` alone (a seed, a word for what is drawn, a step), on any machine."""
    text = "\x1f".join(map(str, purpose))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def rng(*purpose: object) -> np.random.Generator:
    """A NumPy generator seeded by `purpose` alone."""
    return np.random.Generator(np.random.PCG64(seed_of(*purpose)))


def epoch_updates(sizes: Sequence[int], batch_size: int, sampler: str = "uniform", one_task: bool = False) -> int:
    """Updates per epoch over tasks of these sizes: ceil(sum |D_i| / |B|) (Meta-DTL, Algorithm 1).

    One-task batches that hold every example once (`task_batches` under ``epochs``) are sum_i ceil(|D_i| / |B|), since
    the last batch of a task is not filled up from another.
    """
    if one_task and sampler == "epochs":
        return sum(math.ceil(n / batch_size) for n in sizes)
    return math.ceil(sum(sizes) / batch_size)


def epoch_batches(task: int, n: int, batch_size: int, *purpose: object) -> Callable[[int], Rows]:
    """step -> rows of one task in shuffled epochs; the last batch of an epoch is as small as it comes."""
    per_epoch = math.ceil(n / batch_size)

    def draw(step: int) -> Rows:
        epoch, i = divmod(step, per_epoch)
        rows = rng(*purpose, "epoch", epoch).permutation(n)[i * batch_size : (i + 1) * batch_size]
        return np.stack([np.full_like(rows, task), rows], axis=1)

    return draw


def task_mixture(sizes: Sequence[int], batch_size: int, sampler: str, *purpose: object) -> Callable[[int], Rows]:
    """step -> rows drawn with replacement from all tasks.

    ``uniform``: p(x) = 1 / (K |D_i|), so that every task is equally likely (Meta-DTL, sec. 3.3); ``pps``: p(x) =
    1 / sum |D_i|, so that a task is as likely as it is large.
    """
    n = np.asarray(sizes)
    p = _shares(n, sampler)

    def draw(step: int) -> Rows:
        g = rng(*purpose, "mixture", step)
        tasks = g.choice(len(n), size=batch_size, p=p)
        return np.stack([tasks, g.integers(n[tasks])], axis=1)

    return draw


def task_batches(sizes: Sequence[int], batch_size: int, sampler: str, *purpose: object) -> Callable[[int], Rows]:
    """step -> rows of ONE task.

    ``epochs``: MT-DNN's stream (Liu et al. 2019, Algorithm 1). An epoch is every task's shuffled examples in
    ceil(|D_i| / |B|) batches, and all these batches in a seeded order: every example once, the last batch of a task as
    small as it comes. ``uniform`` and ``pps``: a task by the p of `task_mixture`, then |B| of its examples with
    replacement, so that p(x) is the same as there.
    """
    n = np.asarray(sizes)
    if sampler != "epochs":
        p = _shares(n, sampler)

        def alone(step: int) -> Rows:
            g = rng(*purpose, "task batch", step)
            task = int(g.choice(len(n), p=p))
            return np.stack([np.full(batch_size, task), g.integers(n[task], size=batch_size)], axis=1)

        return alone
    count = -(-n // batch_size)
    streams = [epoch_batches(t, int(k), batch_size, *purpose, t) for t, k in enumerate(n)]

    def draw(step: int) -> Rows:
        epoch, i = divmod(step, int(count.sum()))
        order = rng(*purpose, "order", epoch).permutation(np.repeat(np.arange(len(n)), count))
        task = int(order[i])
        return streams[task](epoch * int(count[task]) + int((order[:i] == task).sum()))

    return draw


def joint_batches(
    sizes: Sequence[int], batch_size: int, sampler: str, one_task: bool, *purpose: object
) -> Callable[[int], Rows]:
    """step -> rows of several tasks: `task_batches` if `one_task`, else mixed over tasks by `sampler`.

    ``uniform`` and ``pps`` as `task_mixture`; ``epochs`` as `union_batches`.
    """
    if one_task:
        return task_batches(sizes, batch_size, sampler, *purpose)
    if sampler == "epochs":
        return union_batches(sizes, batch_size, *purpose)
    return task_mixture(sizes, batch_size, sampler, *purpose)


def union_batches(sizes: Sequence[int], batch_size: int, *purpose: object) -> Callable[[int], Rows]:
    """step -> rows of all tasks in shuffled epochs over their union: every example once, tasks mixed in a batch."""
    first = np.cumsum([0, *sizes])
    rows = epoch_batches(0, int(first[-1]), batch_size, *purpose)

    def draw(step: int) -> Rows:
        at = rows(step)[:, 1]
        tasks = np.searchsorted(first, at, side="right") - 1
        return np.stack([tasks, at - first[tasks]], axis=1)

    return draw


def other_tasks(tasks: NDArray[np.int64], among: int, *purpose: object) -> NDArray[np.int64]:
    """(B,) for each of `tasks` (B,) one of the other `among` - 1, each equally likely (MFT sec. 3.3, L_FD).

    Raises:
        ValueError: there is no other task.
    """
    if among < 2:
        raise ValueError("there is no other task than the one")
    return (tasks + rng(*purpose, "other").integers(1, among, size=len(tasks))) % among


def _shares(sizes: NDArray[np.int64], sampler: str) -> NDArray[np.float64]:
    """(K,) the probability of each task."""
    if sampler not in ("uniform", "pps"):
        raise ValueError(f"sampler must be uniform or pps, but got {sampler!r}")
    return np.full(len(sizes), 1 / len(sizes)) if sampler == "uniform" else sizes / sizes.sum()
