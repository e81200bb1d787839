"""Sums on a GPU in one order, so that the same training gives the same bits again.

A GPU adds what many threads find in the order in which they come, unless it is told otherwise. Torch then takes a
kernel that sorts first, or raises where it has none, so that no training differs from its repeat without a word.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["repeatable_sums"]


@contextmanager
def repeatable_sums(device: torch.device) -> Iterator[None]:
    """While open, every operation on a GPU has one result; a CPU's always have.

    Raises:
        RuntimeError: from an operation of which torch has no form with one result.
    """
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it at its first product
    was = torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing reads it
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was)
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
