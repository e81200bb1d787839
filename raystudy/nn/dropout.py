"""Dropout that can be repeated: several passes over one batch that must leave out the same units.

A derivative through an update compares passes over the same examples. With new masks in each of them it would be the
derivative of nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["replayed_masks"]


@contextmanager
def replayed_masks(device: torch.device, seed: int) -> Iterator[None]:
    """While open, dropout draws the masks of `seed` from their beginning; afterwards draws go on as if nothing was."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
