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

__all__ = ["Rows", "epoch_batches", "epoch_updates", "rng", "seed_of", "task_mixture"]

Rows = NDArray[np.int64]  # (B, 2): task index, row


def seed_of(*purpose: object) -> int:
    """A 63-bit seed that depends on `purpose` alone (a seed, a word for what is drawn, a step), on any machine."""
    text = "\x1f".join(map(str, purpose))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def rng(*purpose: object) -> np.random.Generator:
    """A NumPy generator seeded by `purpose` alone."""
    return np.random.Generator(np.random.PCG64(seed_of(*purpose)))


def epoch_updates(sizes: Sequence[int], batch_size: int) -> int:
    """Updates per epoch over tasks of these sizes: ceil(sum |D_i| / |B|) (Meta-DTL, Algorithm 1)."""
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
    if sampler not in ("uniform", "pps"):
        raise ValueError(f"sampler must be uniform or pps, but got {sampler!r}")
    n = np.asarray(sizes)
    p = np.full(len(n), 1 / len(n)) if sampler == "uniform" else n / n.sum()

    def draw(step: int) -> Rows:
        g = rng(*purpose, "mixture", step)
        tasks = g.choice(len(n), size=batch_size, p=p)
        return np.stack([tasks, g.integers(n[tasks])], axis=1)

    return draw
