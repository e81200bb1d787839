"""Whether a folder can be written, whether a lock file in it holds, and whether its clock is right.

Every probe takes away what it wrote.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from filelock import FileLock, Timeout

from raystudy.errors import PreflightError
from raystudy.files import atomic_write
from raystudy.paths import kind_of

__all__ = ["lock_problem", "nearest_existing", "probe_writing"]

_RELEASE_SECONDS = 3.0  # seconds in which a killed process's lock must be free


def nearest_existing(folder: Path) -> Path:
    """`folder`, or the closest path above it that exists; that may be a file, in which nothing can be made."""
    folder = Path(os.path.realpath(folder))
    while kind_of(folder) == "nothing":
        folder = folder.parent
    return folder


def probe_writing(folder: Path) -> tuple[str, float]:
    """Write a file in `folder`, or in the closest folder above it where it does not exist yet.

    Returns (why that fails, or an empty string; by how many seconds the clock of the filesystem differs from ours).
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".raystudy-probe-", dir=nearest_existing(folder)) as scratch:
            path = Path(scratch, "probe")
            before = time.time()
            atomic_write(path, "here")
            return "", path.stat().st_mtime - before
    except PreflightError as e:
        return e.problems[0].message, 0.0
    except OSError as e:
        return e.strerror or str(e), 0.0


_LOCK_PROGRAM = """
import sys, time
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
time.sleep(600)
"""


def lock_problem(folder: Path) -> str:
    """Why a lock file in `folder` does not do its work; an empty string where it does.

    It must keep out a second process, and be free again when the process that locked it is killed. A study relies on
    both.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".raystudy-probe-", dir=nearest_existing(folder)) as scratch:
            path = Path(scratch, "lock")
            holder = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", _LOCK_PROGRAM, str(path)], stdout=subprocess.PIPE
            )
            try:
                assert holder.stdout is not None
                if holder.stdout.readline().strip() != b"held":
                    return "no lock can be taken"
                if _can_lock(path):
                    return "a second process gets a lock that another holds"
            finally:
                holder.kill()
                holder.communicate()
            deadline = time.monotonic() + _RELEASE_SECONDS
            while not _can_lock(path):
                if time.monotonic() > deadline:
                    return "a lock outlives its process when that is killed"
                time.sleep(0.05)
    except OSError as e:
        return e.strerror or str(e)
    return ""


def _can_lock(path: Path) -> bool:
    """Whether this process can lock the file; it is unlocked again."""
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return False
    lock.release()
    return True
