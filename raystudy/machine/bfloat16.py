"""Whether a machine has arithmetic for bfloat16, measured by the clock: without it, training in bf16 takes far longer.

No library says so, and the numbers are right either way. So one linear layer of the model, of its feed-forward nets, is
timed in fp32 and in bf16. A processor with arithmetic for bf16 (AVX512_BF16, AMX) takes less time than for fp32, or at
most about twice as much; one with AVX-512 alone takes four to five times as much, one with AVX2 ten times and more.

The times are kept in the cache folder, under the processor and the version of torch.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from raystudy.data.plm import PLM
from raystudy.errors import PreflightError, Problem, UserError
from raystudy.files import atomic_write
from raystudy.spec import Numerics, digest

__all__ = [
    "FASTEST",
    "SLOWEST",
    "LayerTimes",
    "check_precision",
    "faster_precision",
    "layer_seconds",
    "layer_times",
    "processor",
]

SLOWEST = 2.5  # times as long as fp32: more than is measured with arithmetic for bf16, less than without
FASTEST = 0.8  # times as long as fp32: more, and what is not a linear layer eats what bf16 saves in these
_TOKENS = 128  # of a small batch
_LEAST_SIZES = (384, 1536)  # with smaller layers, one would measure the cost of a call
_REPEATS, _BUDGET = 40, 0.6  # the best of so many measurements counts, or of as many as fit in so many seconds


@dataclass(frozen=True)
class LayerTimes:
    """Seconds of one linear layer in each precision."""

    fp32: float
    bf16: float

    @property
    def ratio(self) -> float:
        return self.bf16 / self.fp32

    def __str__(self) -> str:
        return f"{self.ratio:.1f} times as long as in fp32 ({1e3 * self.bf16:.2f} ms, and {1e3 * self.fp32:.2f} ms)"


def check_precision(numerics: Numerics, force: bool, plm: PLM, cache: Path | None) -> list[str]:
    """A line for the plan on the precision of a study on this machine; nothing where that is not bf16.

    Args:
        force: whether to train in bf16 even where the machine has no arithmetic for it.
        cache: the folder in which times are kept; None = they are measured each time.

    Raises:
        PreflightError: bf16 is asked for, this machine has no arithmetic for it, and nobody insists (`force`).
    """
    if numerics.precision != "bf16":
        return []
    times = layer_times(plm, numerics.device, cache)
    name = processor(numerics.device)["name"]
    line = "bf16 on {}: a linear layer of {} x {} takes {}".format(name, *_sizes(plm), times)
    if times.ratio <= SLOWEST:
        return [line]
    if force:
        return [f"{line}, for want of arithmetic for bf16; numerics.force trains so all the same"]
    raise PreflightError(
        Problem(
            f"{line}: it has no arithmetic for bf16. Take fp32, which gives better numbers in less time, or "
            "numerics.force: true",
            "numerics.precision",
        )
    )


def faster_precision(plm: PLM, device: str, cache: Path | None) -> tuple[str, str]:
    """(``bf16`` or ``fp32``, why) for a training on this machine: the faster one, by the time of a linear layer."""
    times = layer_times(plm, device, cache)
    taken = "bf16" if times.ratio <= FASTEST else "fp32"
    layer = "a linear layer of {} x {}".format(*_sizes(plm))
    return taken, f"precision auto: {taken} on {processor(device)['name']}, where in bf16 {layer} takes {times}"


def layer_times(plm: PLM, device: str, cache: Path | None) -> LayerTimes:
    """The times of the model's layer on this machine, from the cache or measured now."""
    hidden, inner = _sizes(plm)
    key = {"processor": processor(device), "torch": torch.__version__, "layer": [hidden, inner], "tokens": _TOKENS}
    path = cache / "precision" / f"{digest(key)}.json" if cache is not None else None
    if path is not None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            data = json.loads(path.read_text(encoding="utf-8"))
            times = LayerTimes(float(data["fp32"]), float(data["bf16"]))
            if times.fp32 > 0 and times.bf16 > 0:
                return times
    best = layer_seconds(device, hidden, inner)
    times = LayerTimes(best["fp32"], best["bf16"])
    if path is not None:
        with suppress(OSError, UserError):  # a cache that cannot be written costs the next plan a second
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, json.dumps({"of": key, "fp32": times.fp32, "bf16": times.bf16}))
    return times


def layer_seconds(device: str, hidden: int, inner: int) -> dict[str, float]:
    """Precision -> the seconds of a linear layer, the best of several measurements.

    On a processor, the time that one thread has worked is measured, so that other programs do not count.
    """
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16}
    torch_device = torch.device("cuda" if device == "cuda" else "cpu")
    layers = {
        name: (
            torch.ones(_TOKENS, hidden, dtype=t, device=torch_device),
            torch.ones(inner, hidden, dtype=t, device=torch_device),
        )
        for name, t in kinds.items()
    }
    now = time.perf_counter if device == "cuda" else time.thread_time
    best: dict[str, float] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        end = now() + _BUDGET
        for i in range(_REPEATS):
            if i >= 2 and now() > end:
                break
            for name, (x, w) in layers.items():
                start = now()
                F.linear(x, w)
                if device == "cuda":
                    torch.cuda.synchronize()
                elapsed = max(now() - start, 1e-9)
                best[name] = min(best.get(name, elapsed), elapsed)
    finally:
        torch.set_num_threads(threads)
    return best


def _sizes(plm: PLM) -> tuple[int, int]:
    """(hidden, inner): the sizes of the model's feed-forward nets, no less than `_LEAST_SIZES`."""
    config: Mapping[str, Any] = {}
    if plm.folder is not None:
        config = json.loads((plm.folder / "config.json").read_text(encoding="utf-8"))
    sizes = config.get("hidden_size", 0), config.get("intermediate_size", 0)
    return max(_LEAST_SIZES[0], int(sizes[0])), max(_LEAST_SIZES[1], int(sizes[1]))


def processor(device: str) -> dict[str, str]:
    """The processor or GPU: its name, and what it can do as the system says (a container may be given less)."""
    if device == "cuda":
        return {"name": torch.cuda.get_device_name(), "can": str(torch.cuda.get_device_capability())}
    about: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            about.setdefault(key.strip(), value.strip())
    name = about.get("model name") or platform.processor() or platform.machine()
    can = about.get("flags") or about.get("Features") or ""
    limits = [os.environ.get(k, "") for k in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")]
    return {"name": name, "can": digest([*sorted(can.split()), torch.backends.cpu.get_cpu_capability(), *limits])}
