"""How the programs beside this file measure: CPU seconds on one thread, and the highest memory while something runs.

Ways are run in turn, round after round, so that a machine that becomes slower is slower for all of them.
"""

from __future__ import annotations

import ctypes
import gc
import os
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["fresh_peak", "interleaved", "megabytes", "on_one_thread", "peak", "ratio"]

_LINUX = Path("/proc/self/clear_refs").exists()


def on_one_thread() -> None:
    """Hold torch to one thread, before it is imported: CPU time of several threads is no cost of one."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*torch.jit.script.*")


def interleaved(
    ways: Mapping[str, Callable[[], Any]], repeats: int, *, warm_up: bool = True
) -> tuple[dict[str, float], dict[str, float]]:
    """(CPU seconds, highest megabytes above those before) of each way, the medians of `repeats` interleaved rounds.

    Args:
        warm_up: run each way once before, since the first run allocates what all others use again.
    """
    for way in ways.values() if warm_up else ():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    memory: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            before = fresh_peak()
            start = time.process_time()
            way()
            seconds[name].append(time.process_time() - start)
            memory[name].append(peak() - before)
    return {k: median(v) for k, v in seconds.items()}, {k: median(v) for k, v in memory.items()}


def ratio(a: float | None, b: float | None) -> float | None:
    """a / b to three decimals; None where one of them is not known."""
    return None if a is None or not b else round(a / b, 3)


def megabytes(held: Mapping[str, float]) -> dict[str, int] | None:
    """What `interleaved` saw of memory, for printing; None where the system does not tell."""
    return {name: round(v) for name, v in held.items()} if _LINUX else None


def fresh_peak() -> float:
    """Give back what is free and start the highest resident size anew; returns it, in MB (Linux only, else 0)."""
    gc.collect()
    if not _LINUX:
        return 0.0
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak() -> float:
    """The highest resident size so far, in MB (Linux only, else 0)."""
    if not _LINUX:
        return 0.0
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
