"""What one machine offers a study: versions, cores, memory and GPUs, and which GPUs nobody uses.

`machine_facts` runs here, or as a Ray task on another node, so it answers in plain JSON.
"""

from __future__ import annotations

import contextlib
import os
import platform
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from raystudy.code_versions import NUMERIC, installed_version, package_digest
from raystudy.paths import kind_of

__all__ = ["PACKAGES", "computing", "machine_facts", "slowdown", "unused_gpus"]

# what must be the same on every node
PACKAGES = ("raystudy", "ray", *dict.fromkeys(d for distributions in NUMERIC.values() for d in distributions))


def machine_facts(paths: Sequence[str] = (), cuda: bool = False) -> dict[str, Any]:
    """The host, versions, a digest of the program, cores, memory in bytes, GPUs, and which of `paths` are there.

    Args:
        cuda: ask torch for GPUs, which loads it.
    """
    return {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "versions": {name: installed_version(name) for name in PACKAGES},
        "program": package_digest(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory": _memory(),
        "gpus": _gpus() if cuda else [],
        "there": {p: kind_of(Path(p)) not in ("nothing", "closed") for p in paths},
    }


def computing(device: str) -> str:
    """What trains here, in words: the processor with its vector instructions, or the GPU, and torch's version."""
    import torch

    what = f"cpu ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()})"
    if device == "cuda":
        what = "cuda"
        with contextlib.suppress(RuntimeError, AssertionError):  # it is there, but cannot be asked
            what = torch.cuda.get_device_name()
    return f"{what}, torch {torch.__version__}"


def slowdown(threads: int) -> float:
    """How many times as long as alone `threads` busy threads would take now: others share the processors with them.

    By the load of the last minute, in which this process counts as one. 1 where the system does not tell.
    """
    if not hasattr(os, "getloadavg"):
        return 1.0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    others = max(0.0, os.getloadavg()[0] - 1.0)
    return max(1.0, (others + threads) / cores)


def _memory() -> int:
    """Bytes of memory that may still be used: what the system says, or less where a container is given less."""
    free = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):  # "max" where nothing was limited
        group = Path("/sys/fs/cgroup")
        free = min(free, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return free


def _gpus() -> list[dict[str, Any]]:
    """Name and free and total bytes of every GPU that torch sees."""
    import torch

    gpus = []
    for i in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(i)
        gpus.append({"name": torch.cuda.get_device_name(i), "free": free, "total": total})
    return gpus


_DRIVER = Path("/proc/driver/nvidia/gpus")  # one folder per GPU that the kernel's driver knows


def unused_gpus(device: str) -> list[str]:
    """A line on GPUs of this machine that nobody uses while `device` trains; nothing where there are none."""
    if device == "cuda":
        return []
    import torch

    names = []
    for i in range(torch.cuda.device_count()):
        try:
            names.append(torch.cuda.get_device_name(i))
        except (RuntimeError, AssertionError):  # it is there, but cannot be asked
            names.append("no name")
    if names:
        use = "uses it" if len(names) == 1 else "uses them"
        return [f"{_counted_gpus(names)} there and not used: numerics.device=cuda {use}"]
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return []  # hidden from torch on purpose
    for path in sorted(_DRIVER.glob("*/information")):
        with contextlib.suppress(OSError):
            about = dict(line.split(":", 1) for line in path.read_text(errors="replace").splitlines() if ":" in line)
            names.append(about.get("Model", "no name").strip())
    if not names:
        return []
    unused = f"{_counted_gpus(names)} there and not used, because torch {torch.__version__} sees none"
    return [f"{unused}: with a torch that is built for CUDA and fits the driver numerics.device=cuda trains there"]


def _counted_gpus(names: Sequence[str]) -> str:
    """``1 GPU (NVIDIA H200) is``."""
    plural = len(names) > 1
    return f"{len(names)} GPU{'s' if plural else ''} ({', '.join(dict.fromkeys(names))}) {'are' if plural else 'is'}"
