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

__all__ = ["locks_hold", "nearest", "writes"]

_LETS_GO = 3.0  # seconds in which a killed process's lock must be free


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
