"""What one machine offers a study, and whether the machines of a cluster offer the same and share a folder.

`look` runs here or as a Ray task on another node; it answers in plain JSON. Every probe takes away what it wrote.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from raystudy.errors import PreflightError, Problem
from raystudy.files import atomic_write
from raystudy.paths import absolute, is_file, is_folder, kind_of
from raystudy.source import NUMERIC, installed, program_digest

__all__ = [
    "OBJECT_STORE",
    "PACKAGES",
    "hinders_ray",
    "locks_hold",
    "look",
    "nearest",
    "on_every_node",
    "ray_folder",
    "token_file",
    "unused_gpus",
    "writes",
]

# what must be the same on every node
PACKAGES = ("raystudy", "ray", *dict.fromkeys(d for distributions in NUMERIC.values() for d in distributions))
_LETS_GO = 3.0  # seconds in which a killed process's lock must be free
_PATIENCE = 60.0  # seconds for a node's answer: it may have to start Python and import torch


def look(paths: Sequence[str] = (), cuda: bool = False) -> dict[str, Any]:
    """Versions, cores, memory in bytes, GPUs, and which of `paths` are there.

    Args:
        cuda: ask torch for GPUs, which loads it.
    """
    return {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "versions": {name: installed(name) for name in PACKAGES},
        "program": program_digest(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory": _memory(),
        "gpus": _gpus() if cuda else [],
        "there": {p: kind_of(Path(p)) not in ("nothing", "closed") for p in paths},
    }


def _memory() -> int:
    """Bytes that may still be used: what the system says, or less where a container is given less."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # "max" where nothing was limited
        group = Path("/sys/fs/cgroup")
        free = min(free, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return free


def _gpus() -> list[dict[str, Any]]:
    """Name and free and total bytes of every GPU that torch sees."""
    import torch

    found = []
    for i in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(i)
        found.append({"name": torch.cuda.get_device_name(i), "free": free, "total": total})
    return found


_DRIVER = Path("/proc/driver/nvidia/gpus")  # one folder per GPU that the kernel's driver knows


def unused_gpus(device: str) -> list[str]:
    """What to say of the GPUs of this machine while `device` trains; nothing where they train, or there are none."""
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
        return [f"{_counted(names)} there and not used: numerics.device=cuda {use}"]
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return []  # hidden from torch on purpose
    for path in sorted(_DRIVER.glob("*/information")):
        with contextlib.suppress(OSError):
            about = dict(line.split(":", 1) for line in path.read_text(errors="replace").splitlines() if ":" in line)
            names.append(about.get("Model", "no name").strip())
    if not names:
        return []
    said = f"{_counted(names)} there and not used, because torch {torch.__version__} sees none"
    return [f"{said}: with a torch that is built for CUDA and fits the driver numerics.device=cuda trains there"]


def _counted(names: Sequence[str]) -> str:
    """``1 GPU (NVIDIA H200) is``."""
    many = len(names) > 1
    return f"{len(names)} GPU{'s' if many else ''} ({', '.join(dict.fromkeys(names))}) {'are' if many else 'is'}"


def nearest(folder: Path) -> Path:
    """`folder`, or the closest path above it that is there (and may be a file, in which nothing can be made)."""
    folder = Path(os.path.realpath(folder))
    while kind_of(folder) == "nothing":
        folder = folder.parent
    return folder


def writes(folder: Path) -> tuple[str, float]:
    """(why a file cannot be written there, or nothing; by how many seconds its filesystem's clock differs from ours).

    A folder that does not exist yet is tried at the closest one above it.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".raystudy-probe-", dir=nearest(folder)) as scratch:
            path = Path(scratch, "probe")
            before = time.time()
            atomic_write(path, "here")
            return "", path.stat().st_mtime - before
    except PreflightError as e:
        return e.problems[0].message, 0.0
    except OSError as e:
        return e.strerror or str(e), 0.0


# ---------------------------------------------------------------------------------------------------------------------
# what a Ray of this machine's own needs

# Below the folder for temporary files Ray makes this one (with the time and the number of the process in its name), and
# the path of a socket in it may not be longer than the kernel's structure for it.
_SOCKET = "ray/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"
_LONGEST = 103 if sys.platform == "darwin" else 107  # bytes
OBJECT_STORE = 256 * 1024**2  # bytes that Ray is told to share between its processes


def ray_folder() -> tuple[Path, str]:
    """(the folder in which Ray makes its sessions, the variable that names it): chosen as Ray chooses."""
    for name in ("RAY_TMPDIR", *(["TMPDIR"] if sys.platform.startswith("linux") else [])):
        if own := os.environ.get(name):
            return absolute(own, where=name, error=PreflightError), name
    return Path("/tmp"), "TMPDIR"


def hinders_ray() -> list[tuple[str, str]]:
    """What keeps a Ray of this machine's own from starting, each with what to do; nothing where it can.

    A run asks this before it starts Ray, and `doctor` asks the same.
    """
    return [*_no_room_for_sessions(), *_no_token(), *_no_shared_memory()]


def _no_room_for_sessions() -> Iterator[tuple[str, str]]:
    try:
        folder, name = ray_folder()
    except PreflightError as e:
        yield str(e), "name another folder"
        return
    size, most = len(os.fsencode(folder)), _LONGEST - len(_SOCKET) - 1
    if size > most:
        said = f"the path of the folder for temporary files, {folder}, has {size} bytes, and Ray's sockets need one of "
        yield f"{said}at most {most}", f"set {name} to a shorter path, /tmp for instance"
    if why := writes(folder)[0]:
        yield f"the folder for temporary files, {folder}, cannot be written: {why}", f"set {name} to one that can be"
    try:
        scratch = Path(tempfile.gettempdir())
    except OSError as e:
        yield f"there is no folder for temporary files: {e.strerror or e}", "set TMPDIR to one that can be written"
        return
    if scratch != folder and (why := writes(scratch)[0]):
        yield f"the folder for temporary files, {scratch}, cannot be written: {why}", "set TMPDIR to one that can be"


def token_file() -> Path | None:
    """Where Ray looks for its token; None where this user has no home."""
    if own := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return absolute(own, where="RAY_AUTH_TOKEN_PATH", error=PreflightError)
    try:
        return Path.home() / ".ray" / "auth_token"
    except RuntimeError:
        return None


def _no_token() -> Iterator[tuple[str, str]]:
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token" or os.environ.get("RAY_AUTH_TOKEN"):
        return
    path = token_file()
    if path is None:
        yield "there is no home folder, in which Ray keeps its token", "set HOME to a folder that can be written"
    elif is_file(path):
        if not os.access(path, os.R_OK):
            yield f"Ray's token {path} cannot be read", "make it yours (chown), or set RAY_AUTH_TOKEN"
    elif os.environ.get("RAY_AUTH_TOKEN_PATH"):
        yield f"RAY_AUTH_TOKEN_PATH names {path}, and there is no such file", "unset it, or write a token there"
    elif why := writes(path.parent)[0]:
        said = f"the home folder {path.parents[1]} cannot be written ({why}), and Ray keeps its token there"
        yield said, "set HOME to one that can be, or RAY_AUTH_TOKEN to a secret of your own"


def _no_shared_memory() -> Iterator[tuple[str, str]]:
    memory = Path("/dev/shm")
    if not sys.platform.startswith("linux"):
        return
    if not is_folder(memory):
        yield "there is no /dev/shm, through which Ray's processes share data", "mount a tmpfs there"
    elif shutil.disk_usage(memory).free >= OBJECT_STORE and (why := writes(memory)[0]):
        yield f"/dev/shm cannot be written: {why}", "chmod 1777 /dev/shm, as root"


_HOLD = """
import sys, time
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
time.sleep(600)
"""


def locks_hold(folder: Path) -> str:
    """Why a lock file does not do its work there, or nothing.

    It must keep out a second process, and let go when its holder is killed: a study relies on both.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".raystudy-probe-", dir=nearest(folder)) as scratch:
            path = Path(scratch, "lock")
            holder = subprocess.Popen([sys.executable, "-W", "ignore", "-c", _HOLD, str(path)], stdout=subprocess.PIPE)
            try:
                assert holder.stdout is not None
                if holder.stdout.readline().strip() != b"held":
                    return "no lock can be taken"
                if _taken(path):
                    return "a second process gets a lock that another holds"
            finally:
                holder.kill()
                holder.communicate()
            deadline = time.monotonic() + _LETS_GO
            while not _taken(path):
                if time.monotonic() > deadline:
                    return "a lock outlives its process when that is killed"
                time.sleep(0.05)
    except OSError as e:
        return e.strerror or str(e)
    return ""


def _taken(path: Path) -> bool:
    """Whether this process gets the lock; lets go of it again."""
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return False
    lock.release()
    return True


def _visit(probe: str, mine: str, paths: Sequence[str]) -> dict[str, Any]:
    """On a node: read the file `probe` that the driver wrote, write the file `mine`, and look around."""
    try:
        reads = Path(probe).read_text(encoding="utf-8")
    except OSError as e:
        reads = e.strerror or str(e)
    try:
        atomic_write(Path(mine), "here")
        wrote = ""
    except PreflightError as e:
        wrote = e.problems[0].message
    return {**look(paths), "reads": reads, "cannot_write": wrote}


def on_every_node(address: str, shared: Path, paths: Sequence[str]) -> list[Mapping[str, Any]]:
    """Ask every node of a running cluster: what `look` says there, and whether `shared` is one folder for all.

    Each answer has ``host``, ``resources`` (what Ray gives out there), and either ``error`` (it could not be asked) or
    what `look` says with ``shares`` (it read what this machine wrote in `shared`, and the other way round).

    Raises:
        PreflightError: the cluster cannot be joined.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    token = uuid.uuid4().hex
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception as e:  # ConnectionError, RuntimeError for other versions, an error of its own for a wrong token
        said = " ".join(str(e).split())[:300]
        raise PreflightError(Problem(f"cannot be joined: {type(e).__name__}: {said}", f"--address {address}")) from None
    probe = shared / f".probe-{token}"
    try:
        atomic_write(probe, token)
        visit = ray.remote(num_cpus=0, max_retries=0)(_visit)
        asked = []
        for node in ray.nodes():
            if node["Alive"]:
                place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                mine = shared / f".probe-{token}-{node['NodeID']}"
                answer = visit.options(scheduling_strategy=place).remote(str(probe), str(mine), list(paths))
                asked.append((node, mine, answer))
        found: list[Mapping[str, Any]] = []
        for node, mine, answer in asked:
            known = {"host": node["NodeManagerHostname"], "resources": node["Resources"]}
            try:
                there: dict[str, Any] = ray.get(answer, timeout=_PATIENCE)
                found.append({**there, **known, "shares": there["reads"] == token and mine.is_file()})
            except Exception as e:  # a node that dies, hangs, or has no raystudy to import
                found.append({**known, "error": (str(e).strip().splitlines() or [type(e).__name__])[-1]})
        return found
    finally:
        for path in shared.glob(f"*probe-{token}*"):
            path.unlink(missing_ok=True)
        ray.shutdown()
