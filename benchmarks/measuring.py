"""How the programs beside this file measure: CPU seconds on one thread, and the highest memory while something runs.

Ways are run in turn, round after round, so that a machine that becomes slower is slower for all of them.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import random
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raystudy.tasks import Task

__all__ = [
    "Seconds",
    "bfloat16_here",
    "fresh_peak",
    "in_turn",
    "interleaved",
    "megabytes",
    "on_one_thread",
    "peak",
    "print_rows",
    "ratio",
    "sentences",
    "term_pairs",
]

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


@dataclass(frozen=True)
class Seconds:
    """What one way took: CPU seconds of this process, and seconds on the clock."""

    cpu: float
    wall: float


def in_turn(ways: Mapping[str, Callable[[], Any]], repeats: int, *, warm_up: bool = True) -> dict[str, Seconds]:
    """The medians of what each way took over `repeats` rounds: A B C A B C.

    Args:
        warm_up: run each way once before, since the first run makes what all others use again.
    """
    for way in ways.values() if warm_up else ():
        way()
    taken: dict[str, list[Seconds]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            gc.collect()
            cpu, wall = time.process_time(), time.perf_counter()
            way()
            taken[name].append(Seconds(time.process_time() - cpu, time.perf_counter() - wall))
    return {k: Seconds(median(s.cpu for s in v), median(s.wall for s in v)) for k, v in taken.items()}


def print_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool, **about: Any) -> None:
    """Print what was measured: rows of equal keys as a table, or all of it as JSON."""
    if as_json:
        print(json.dumps({**about, "rows": list(rows)}))
        return
    print("; ".join(f"{k} {v}" for k, v in about.items()))
    titles = list(rows[0])
    cells = [titles, *([("-" if row[t] is None else str(row[t])) for t in titles] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(titles))]
    for line in cells:
        print("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip())


def bfloat16_here() -> bool:
    """Whether this processor multiplies in bfloat16 faster than in float32: only then is there anything to gain by it.

    A processor may have the instructions and be slower with them, under a hypervisor for instance.
    """
    from raystudy.machine.bfloat16 import layer_seconds

    best = layer_seconds("cpu", 384, 1536)
    return best["bf16"] < 0.8 * best["fp32"]


# Words of one piece each in the vocabularies of BERT. What a text says does not matter for how long it takes.
_TEXT = (
    "the of and to in is that it was for on with as his they at be this from have or by one had not but what "
    "all were when we there can an your which their said if do will each about how up out them then she many "
    "some so these would other into has more her two like him see time could no make than first been its who "
    "now people my made over did down only way find use may water long little very after words called just "
    "where most know"
)
_WORDS = _TEXT.split()


def sentences(n: int, seed: int = 0) -> Task:
    """`n` sentences of five classes, as long as those of SST-5: 25 word pieces in the mean, one in a hundred 55."""
    draw = random.Random(seed)
    return _task(
        "sentences",
        "single",
        ({"text": " ".join(draw.choices(_WORDS, k=_length(draw, 23.0, 4.0, 70)))} for _ in range(n)),
    )


def term_pairs(n: int, seed: int = 0) -> Task:
    """`n` pairs of terms of five classes: 7 to 8 word pieces in the mean, as pairs of a lexicon have."""
    draw = random.Random(seed)

    def term() -> str:
        return " ".join(draw.choices(_WORDS, k=_length(draw, 2.3, 4.0, 6)))

    return _task("pairs", "pair", ({"text": term(), "pair": term()} for _ in range(n)))


def _length(draw: random.Random, mean: float, shape: float, most: int) -> int:
    return max(1, min(most, round(draw.gammavariate(shape, mean / shape))))


def _task(name: str, form: Any, texts: Iterable[Mapping[str, Any]]) -> Task:
    """A task of these texts, with labels in turn; dev and test hold a few of them."""
    from raystudy.tasks import Example, Task

    labels = tuple("abcde")
    examples = tuple(Example(labels[i % 5], **text) for i, text in enumerate(texts))
    return Task(name, form, labels, {"train": examples, "dev": examples[:5], "test": examples[:5]})
