"""Seeded draws: which training examples a batch holds, as a pure function of (seed, purpose, step).

A draw that is asked for again, or on another rank, has the same answer. It names rows of a `Corpus`, which are pairs
(task index, row of that task's train split). All ranks draw the same GLOBAL batch and take their slice of it
afterwards.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Rows",
    "TaskDistribution",
    "drawn_tasks",
    "episode",
    "epoch_batches",
    "epoch_updates",
    "joint_batches",
    "mixed",
    "other_tasks",
    "proportional",
    "query_size",
    "rng",
    "rows_of",
    "seed_of",
    "task_batches",
    "task_distribution",
    "task_mixture",
    "uniform",
    "union_batches",
]

Rows = NDArray[np.int64]  # (B, 2): task index, row
TaskDistribution = Callable[[int], NDArray[np.float64]]  # step -> (K,) the probability of each task, summing to one


def seed_of(*purpose: object) -> int:
    """A 63-bit seed that depends on `purpose` alone (a seed, a word for what is drawn, a step), on any machine."""
    text = "\x1f".join(map(str, purpose))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def rng(*purpose: object) -> np.random.Generator:
    """A NumPy generator seeded by `purpose` alone."""
    return np.random.Generator(np.random.PCG64(seed_of(*purpose)))


def rows_of(task: int, examples: NDArray[np.int64]) -> Rows:
    """(n, 2) these examples (n,) of one task."""
    return np.stack([np.full_like(examples, task), examples], axis=1)


def uniform(sizes: Sequence[int]) -> TaskDistribution:
    """Every task that has examples is equally likely: p(x) = 1 / (K |D_i|) (Meta-DTL, sec. 3.3)."""
    n = np.asarray(sizes)
    p = (n > 0) / np.count_nonzero(n)
    return lambda step: p


def proportional(sizes: Sequence[int]) -> TaskDistribution:
    """A task is as likely as it is large: p(x) = 1 / sum |D_i| (Dou et al. 2019: PPS)."""
    n = np.asarray(sizes)
    p = n / n.sum()
    return lambda step: p


def mixed(sizes: Sequence[int], target: int, ratio: float, per_epoch: int) -> TaskDistribution:
    """In each epoch first `uniform`, then the target alone, `ratio` times as many steps as with it (Dou et al. 2019).

    Args:
        target: the task index of the target, which must have examples.
        per_epoch: steps per epoch; the last 1 / (1 + `ratio`) of them, rounded, draw the target alone.
    """
    even, alone = uniform(sizes), np.zeros(len(sizes))
    alone[target] = 1.0
    first = per_epoch - round(per_epoch / (1 + ratio))
    return lambda step: even(step) if step % per_epoch < first else alone


def task_distribution(name: str, sizes: Sequence[int]) -> TaskDistribution | None:
    """The distribution that the setting `sampler` names: ``uniform``, ``pps``; None for ``epochs``, which draws none.

    Raises:
        ValueError: no such distribution.
    """
    if name == "epochs":
        return None
    known = {"uniform": uniform, "pps": proportional}
    if name not in known:
        raise ValueError(f"sampler must be uniform, pps or epochs, but got {name!r}")
    return known[name](sizes)


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
        return rows_of(task, rows)

    return draw


def task_mixture(
    sizes: Sequence[int], batch_size: int, tasks: TaskDistribution, *purpose: object
) -> Callable[[int], Rows]:
    """step -> rows drawn with replacement, each from a task drawn from `tasks`."""
    n = np.asarray(sizes)

    def draw(step: int) -> Rows:
        g = rng(*purpose, "mixture", step)
        task = g.choice(len(n), size=batch_size, p=tasks(step))
        return np.stack([task, g.integers(n[task])], axis=1)

    return draw


def task_batches(
    sizes: Sequence[int], batch_size: int, tasks: TaskDistribution | None, *purpose: object
) -> Callable[[int], Rows]:
    """step -> rows of ONE task.

    With a distribution: a task drawn from `tasks`, then |B| of its examples with replacement, so that p(x) is the same
    as in `task_mixture`. Without: MT-DNN's stream (Liu et al. 2019, Algorithm 1). An epoch is every task's shuffled
    examples in ceil(|D_i| / |B|) batches, and all these batches in a seeded order: every example once, the last batch
    of a task as small as it comes.
    """
    n = np.asarray(sizes)
    if tasks is not None:
        distribution = tasks

        def alone(step: int) -> Rows:
            g = rng(*purpose, "task batch", step)
            task = int(g.choice(len(n), p=distribution(step)))
            return rows_of(task, g.integers(n[task], size=batch_size))

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
    sizes: Sequence[int], batch_size: int, tasks: TaskDistribution | None, one_task: bool, *purpose: object
) -> Callable[[int], Rows]:
    """step -> rows of several tasks, those of one task (`task_batches`) if `one_task`, else mixed in every batch.

    Mixed are tasks drawn from `tasks` (`task_mixture`), or, without a distribution, shuffled epochs over all examples
    (`union_batches`).
    """
    if one_task:
        return task_batches(sizes, batch_size, tasks, *purpose)
    if tasks is None:
        return union_batches(sizes, batch_size, *purpose)
    return task_mixture(sizes, batch_size, tasks, *purpose)


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


def drawn_tasks(p: NDArray[np.float64], count: int, distinct: bool, *purpose: object) -> NDArray[np.int64]:
    """(`count`,) tasks from the distribution `p` (K,), each independently of the others (Dou et al. 2019, Algorithm 1).

    Args:
        distinct: no task twice before every possible one was drawn once; then another such round begins.
    """
    g = rng(*purpose, "tasks")
    if not distinct:
        return g.choice(len(p), size=count, p=p)
    possible = int(np.count_nonzero(p))
    rounds = [g.choice(len(p), size=min(possible, count - i), replace=False, p=p) for i in range(0, count, possible)]
    return np.concatenate(rounds)


def query_size(n: int, batch_size: int, inner: int) -> int:
    """How many of the `n` examples of a task are the query batch of an episode with `inner` other batches.

    A whole batch where the examples are enough for all batches; else their fair share of the few, at least one.
    """
    return min(batch_size, max(1, n // (inner + 1)))


def episode(
    task: int, n: int, batch_size: int, inner: int, query: bool, *purpose: object
) -> tuple[list[Rows], Rows | None]:
    """Rows of one task for `inner` steps of gradient descent, and for the loss behind them (the query batch).

    No example is drawn twice where the task's `n` examples are enough for that. Where they are too few, the query batch
    takes its share of them (`query_size`), and the steps run through the others in shuffled epochs, the last batch of
    each as small as it comes. The query batch has no example in common with any step's batch in either case.

    Args:
        query: whether there is a query batch; without one the second answer is None.

    Raises:
        ValueError: there is no example left for the steps.
    """
    apart = query_size(n, batch_size, inner) if query else 0
    if n <= apart:
        raise ValueError(f"an episode needs {2 if query else 1} examples, but the task has {n}")
    drawn = rng(*purpose, "episode").choice(n, size=min(n, apart + inner * batch_size), replace=False)
    rows = rows_of(task, drawn)
    others = rows[apart:]
    epochs = epoch_batches(task, len(others), batch_size, *purpose, "inner")
    return [others[epochs(j)[:, 1]] for j in range(inner)], rows[:apart] if query else None
