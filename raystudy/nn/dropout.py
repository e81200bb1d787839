"""The random numbers of dropout: seeded anew before every update, and repeated where passes are compared.

A derivative through an update compares several passes over the same examples. With new masks in each of them it would
be the derivative of nothing, so they must leave out the same units.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["replayed_masks", "seed_draws", "without_dropout"]


def seed_draws(device: torch.device, seed: int) -> None:
    """Seed torch's own generators, of the CPU and of `device`, from which dropout draws.

    `torch.manual_seed` gives the same numbers. Where no GPU is used it takes half a millisecond to note the seed for
    one, with a stack trace, and it would be called several times in each update.
    """
    if device.type == "cuda":
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@contextmanager
def without_dropout(module: nn.Module) -> Iterator[None]:
    """While open, nothing of `module` is dropped; afterwards it is in the mode that it was in."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


@contextmanager
def replayed_masks(device: torch.device, seed: int) -> Iterator[None]:
    """While open, dropout draws the masks of `seed` from their beginning; afterwards draws go on as if nothing was."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        seed_draws(device, seed)
        yield
