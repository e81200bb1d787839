"""What lies in the cache folder: stage results, checkpoints of running cells, and what the dead left behind.

    stages/<digest>.safetensors   constants or a transfer result (stage_store.py); its header holds the key in words
    stages/<digest>.lock          held while it is computed
    running/<cell id>/            the middle of a running cell (train.Checkpoint)
    */*.new  *.old                being written; a leftover when its writer died

Anything here may be deleted at any time: it is computed again. Loads no torch: headers are read, tensors are not.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open

from raystudy.code_versions import code_and_library_digest, code_digest, library_versions
from raystudy.errors import PreflightError
from raystudy.paths import absolute_path

__all__ = ["Entry", "cache_folder", "entries", "held", "junk", "leftovers", "oldest_beyond", "remove"]

GRACE = 3600.0  # seconds for which a half-written file may still have a living writer


def cache_folder() -> Path:
    """``$RAYSTUDY_CACHE``, relative to the current folder, or the user's cache folder; always an absolute path.

    Raises:
        PreflightError: the variable holds no path, or there is no home for the user's folder.
    """
    if own := os.environ.get("RAYSTUDY_CACHE"):
        return absolute_path(own, where="RAYSTUDY_CACHE", error=PreflightError)
    return absolute_path(user_cache_path("raystudy"), where="RAYSTUDY_CACHE is not set, and HOME", error=PreflightError)


@dataclass(frozen=True)
class Entry:
    """One stage result or one checkpoint.

    Attributes:
        key: the digest of a stage's key; of a checkpoint the id of its cell.
        used: when it was written or last read, seconds since 1970.
        about: a stage's key, or where a checkpoint stands; empty when the file does not say.
        fresh: whether the code and libraries that stand here would still use it; what else there is is never asked for
            again.
    """

    kind: Literal["stage", "checkpoint"]
    key: str
    path: Path
    size: int
    used: float
    about: Mapping[str, Any] = field(default_factory=dict, hash=False)
    fresh: bool = False


def entries(folder: Path) -> list[Entry]:
    """Everything in a cache folder, what was used last first."""
    found = [*_stages(folder / "stages"), *_checkpoints(folder / "running")]
    return sorted(found, key=lambda e: (-e.used, e.key))


def _stages(folder: Path) -> Iterator[Entry]:
    for path in folder.glob("*.safetensors"):
        try:
            stat = path.stat()
            with safe_open(path, framework="np") as file:
                about = json.loads((file.metadata() or {}).get("key", "{}"))
        except FileNotFoundError:  # trimmed meanwhile
            continue
        except (OSError, SafetensorError, ValueError):
            about = {}
        yield Entry("stage", path.stem, path, stat.st_size, stat.st_mtime, about, _made_here(about, _stage_code))


def _checkpoints(folder: Path) -> Iterator[Entry]:
    for path in folder.glob("*"):
        if path.suffix == ".new" or (path.suffix == ".old" and path.with_suffix("").is_dir()):
            continue  # a death between two renames leaves only the .old one: that one counts
        try:
            where = path / "where.json"
            about = json.loads(where.read_text(encoding="utf-8"))
            used = where.stat().st_mtime
        except (OSError, ValueError):
            about, used = {}, 0.0
        fresh = _made_here(about, lambda method, datasets: {"code": code_and_library_digest(method, datasets)})
        yield Entry("checkpoint", path.stem, path, _size(path), used, about, fresh)


def _stage_code(method: str, datasets: tuple[str, ...]) -> dict[str, Any]:
    return {"code": code_digest(method, datasets), "libraries": dict(library_versions(method, datasets))}


def _made_here(about: Mapping[str, Any], here: Callable[[str, tuple[str, ...]], Mapping[str, Any]]) -> bool:
    """Whether what a file says of what made it is what stands `here` for its method and data sets."""
    try:
        wanted = here(str(about["method"]), tuple(map(str, about["datasets"])))
    except (KeyError, TypeError, FileNotFoundError):  # a file of another time, or a method that there is no more
        return False
    return all(about.get(k) == v for k, v in wanted.items())


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files if p.exists())


def held(entry: Entry) -> bool:
    """Whether somebody computes this stage now."""
    with _lock(entry.path.with_suffix(".lock")) as mine:
        return not mine


@contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Hold a lock file if nobody does; yields whether nobody else holds it. Makes none where there is none."""
    if not path.is_file():
        yield True
        return
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def junk(found: Collection[Entry], recorded: Collection[str]) -> list[Entry]:
    """What no run will ask for again: what other code or libraries made, and checkpoints of cells in `recorded`."""
    return [e for e in found if not e.fresh or (e.kind == "checkpoint" and e.key in recorded)]


def oldest_beyond(found: Collection[Entry], limit: float) -> list[Entry]:
    """The stage results to remove, those used longest ago first, so that all of `found` take at most `limit` bytes."""
    out, total = [], sum(e.size for e in found)
    for entry in sorted((e for e in found if e.kind == "stage"), key=lambda e: (e.used, e.key)):
        if total <= limit:
            break
        out.append(entry)
        total -= entry.size
    return out


def leftovers(folder: Path) -> list[Path]:
    """Locks without a result that nobody holds, and half-written files whose writer must be dead by now."""
    found = []
    for path in sorted((folder / "stages").glob("*.lock")):
        if not path.with_suffix(".safetensors").is_file():
            with _lock(path) as free:
                found += [path] if free else []
    for path in sorted([*(folder / "stages").glob("*.new"), *(folder / "running").glob("*.new")]):
        found += [path] if time.time() - path.stat().st_mtime > GRACE else []
    found += [p for p in sorted((folder / "running").glob("*.old")) if p.with_suffix("").is_dir()]
    return found


def remove(thing: Entry | Path) -> bool:
    """Delete an entry (a stage with its lock file) or a leftover; False when somebody computes it now."""
    path = thing.path if isinstance(thing, Entry) else thing
    lock = path if path.suffix == ".lock" else path.with_suffix(".lock")
    with _lock(lock) as free:
        if not free:
            return False
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        # A waiter that had this file open sees that it is gone and makes a new one (filelock does); at worst two
        # compute the same result.
        lock.unlink(missing_ok=True)
    return True
