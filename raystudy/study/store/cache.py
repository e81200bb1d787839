"""What lies in the cache folder: results of stages, checkpoints of running cells, and what dead processes left behind.

    stages/<digest>.safetensors   constants or a transfer result (stage_store.py); its header holds the key in words
    stages/tensors/<digest>.safetensors   a large tensor, by its content; several results may have it
    stages/<digest>.lock          locked while the result is computed
    running/<cell id>/            the checkpoint of a cell in the middle of its training (train.Checkpoint)
    */*.new  *.old                a file that is being written; a leftover when its writer died

Anything here may be deleted at any time, because it is computed again. This module reads headers and no tensors, so it
loads no torch.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open

from raystudy.code_versions import code_and_library_digest, code_digest, installed_version, library_versions
from raystudy.errors import PreflightError
from raystudy.paths import absolute_path

__all__ = [
    "LIMIT",
    "SAME",
    "TENSORS",
    "Entry",
    "cache_folder",
    "entries",
    "is_being_computed",
    "junk",
    "leftovers",
    "oldest_beyond",
    "remove",
    "remove_tensors",
    "total_bytes",
    "trim",
]

LIMIT = 20 * 1024**3  # bytes that all results of stages may take
# what the header of a result names: tensors of the untouched method, and tensors with a file of their own
SAME, TENSORS = "same", "tensors"
GRACE = 3600.0  # seconds for which a half-written file may still have a living writer


def cache_folder() -> Path:
    """``$RAYSTUDY_CACHE``, relative to the current folder, or the user's cache folder; always an absolute path.

    Raises:
        PreflightError: the variable holds no path, or there is no home for the user's folder.
    """
    if folder := os.environ.get("RAYSTUDY_CACHE"):
        return absolute_path(folder, where="RAYSTUDY_CACHE", error=PreflightError)
    return absolute_path(user_cache_path("raystudy"), where="RAYSTUDY_CACHE is not set, and HOME", error=PreflightError)


@dataclass(frozen=True)
class Entry:
    """One stage result or one checkpoint.

    Attributes:
        key: the digest of a stage's key; of a checkpoint the id of its cell.
        size: bytes of its file and of its tensors.
        last_use: when it was written or last read, in seconds since 1970.
        about: a stage's key, or where a checkpoint stands; empty when the file does not say.
        fresh: whether the code and the libraries that are installed here would still use it. Nobody will ask again for
            one that is not fresh.
        tensors: its tensors with a file of their own: digest -> bytes. Other entries may have them too.
    """

    kind: Literal["stage", "checkpoint"]
    key: str
    path: Path
    size: int
    last_use: float
    about: Mapping[str, Any] = field(default_factory=dict, hash=False)
    fresh: bool = False
    tensors: Mapping[str, int] = field(default_factory=dict, hash=False)


def total_bytes(of: Collection[Entry]) -> int:
    """The bytes that entries take together; a tensor that several of them have counts once."""
    shared = {digest: size for e in of for digest, size in e.tensors.items()}
    return sum(e.size - sum(e.tensors.values()) for e in of) + sum(shared.values())


def entries(folder: Path) -> list[Entry]:
    """Every stage result and checkpoint of a cache folder; what was used last comes first."""
    unordered = [*_stages(folder / "stages"), *_checkpoints(folder / "running")]
    return sorted(unordered, key=lambda e: (-e.last_use, e.key))


def _stages(folder: Path) -> Iterator[Entry]:
    for path in folder.glob("*.safetensors"):
        try:
            stat = path.stat()
        except FileNotFoundError:  # trimmed meanwhile
            continue
        about, digests = _header(path)
        sizes = {d: _size(folder / TENSORS / f"{d}.safetensors") for d in digests}
        size, fresh = stat.st_size + sum(sizes.values()), _is_fresh(about, _stage_code)
        yield Entry("stage", path.stem, path, size, stat.st_mtime, about, fresh, sizes)


def _header(path: Path) -> tuple[dict[str, Any], list[str]]:
    """(the key of a result in words, the digests of its tensors with files of their own); empty where it says none."""
    try:
        with safe_open(path, framework="np") as file:
            header = file.metadata() or {}
        about, digests = json.loads(header.get("key", "{}")), json.loads(header.get(TENSORS, "{}"))
        if not isinstance(about, dict) or not isinstance(digests, dict):
            raise ValueError("other content")
    except (OSError, SafetensorError, ValueError):
        return {}, []
    return about, sorted({str(d) for d in digests.values()})


def _checkpoints(folder: Path) -> Iterator[Entry]:
    for path in folder.glob("*"):
        if path.suffix == ".new" or (path.suffix == ".old" and path.with_suffix("").is_dir()):
            continue  # a death between two renames leaves only the .old one: that one counts
        try:
            position = path / "where.json"
            about = json.loads(position.read_text(encoding="utf-8"))
            last_use = position.stat().st_mtime
        except (OSError, ValueError):
            about, last_use = {}, 0.0
        fresh = _is_fresh(about, lambda method, datasets: {"code": code_and_library_digest(method, datasets)})
        yield Entry("checkpoint", path.stem, path, _size(path), last_use, about, fresh)


def _stage_code(method: str, datasets: tuple[str, ...]) -> dict[str, Any]:
    return {"code": code_digest(method, datasets), "libraries": dict(library_versions(method, datasets))}


def _is_fresh(about: Mapping[str, Any], here: Callable[[str, tuple[str, ...]], Mapping[str, Any]]) -> bool:
    """Whether what made a file, as it says itself, is what stands `here` for its method and data sets.

    What a user's own code made counts as fresh while the libraries are those here: only the study that names that code
    could tell more, and no file of the cache is run to find out.
    """
    if isinstance(own := about.get("own"), Mapping) and own:
        libraries = about.get("libraries", {})
        return isinstance(libraries, Mapping) and all(installed_version(n) == v for n, v in libraries.items())
    try:
        versions = here(str(about["method"]), tuple(map(str, about["datasets"])))
    except (KeyError, TypeError, FileNotFoundError):  # a file of another time, or a method that there is no more
        return False
    return all(about.get(k) == v for k, v in versions.items())


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    total = 0
    for p in files:
        with suppress(OSError):
            total += p.stat().st_size
    return total


def is_being_computed(entry: Entry) -> bool:
    """Whether somebody computes this stage now."""
    with _lock(entry.path.with_suffix(".lock")) as free:
        return not free


@contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Lock a file if nobody has locked it; yields whether nobody else has. Makes no file where there is none."""
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


def junk(candidates: Collection[Entry], cells_with_records: Collection[str]) -> list[Entry]:
    """What no run will ask for again: what other code or libraries made, and checkpoints of cells that have records."""
    return [e for e in candidates if not e.fresh or (e.kind == "checkpoint" and e.key in cells_with_records)]


def oldest_beyond(candidates: Collection[Entry], limit: float) -> list[Entry]:
    """The stage results to remove, used longest ago first, so that all `candidates` take at most `limit` bytes."""
    out, total = [], total_bytes(candidates)
    users = Counter(digest for e in candidates for digest in e.tensors)
    for entry in sorted((e for e in candidates if e.kind == "stage"), key=lambda e: (e.last_use, e.key)):
        if total <= limit:
            break
        out.append(entry)
        total -= entry.size - sum(entry.tensors.values())
        users.subtract(entry.tensors.keys())
        total -= sum(size for digest, size in entry.tensors.items() if not users[digest])
    return out


def trim(folder: Path, limit: float, keep: Path) -> None:
    """Remove what was used longest ago until the results of a folder take at most `limit` bytes, but never `keep`."""
    files = [*folder.glob("*.safetensors"), *(folder / TENSORS).glob("*.safetensors")]
    if sum(map(_size, files)) <= limit:
        return
    stages = [Entry("stage", p.stem, p, _size(p), _last_use(p)) for p in folder.glob("*.safetensors")]
    found = []
    for e in stages:
        sizes = {d: _size(folder / TENSORS / f"{d}.safetensors") for d in _header(e.path)[1]}
        used = math.inf if e.path == keep else e.last_use
        found.append(replace(e, size=e.size + sum(sizes.values()), last_use=used, tensors=sizes))
    gone = [e for e in oldest_beyond(found, limit) if e.path != keep]
    for e in gone:
        e.path.unlink(missing_ok=True)
    remove_tensors(gone, [e for e in found if e not in gone])


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another worker trimmed it
        return 0.0


def remove_tensors(gone: Collection[Entry], remaining: Collection[Entry]) -> None:
    """Remove the tensors of entries that are gone, but for those that a remaining one has too.

    Where somebody writes a result with one of them at this moment, that result is computed once more.
    """
    used = {digest for e in remaining for digest in e.tensors}
    for e in gone:
        for digest in e.tensors.keys() - used:
            (e.path.parent / TENSORS / f"{digest}.safetensors").unlink(missing_ok=True)


def leftovers(folder: Path) -> list[Path]:
    """Free locks without a result, half-written files whose writer must be dead by now, and tensors of no result."""
    paths = []
    for path in sorted((folder / "stages").glob("*.lock")):
        if not path.with_suffix(".safetensors").is_file():
            with _lock(path) as free:
                paths += [path] if free else []
    stages = folder / "stages"
    used = {digest for path in stages.glob("*.safetensors") for digest in _header(path)[1]}
    orphans = [p for p in (stages / TENSORS).glob("*.safetensors") if p.stem not in used]
    half_written = [*stages.glob("*.new"), *(stages / TENSORS).glob("*.new"), *(folder / "running").glob("*.new")]
    paths += [p for p in sorted([*half_written, *orphans]) if time.time() - _last_use(p) > GRACE]
    paths += [p for p in sorted((folder / "running").glob("*.old")) if p.with_suffix("").is_dir()]
    return paths


def remove(entry: Entry | Path) -> bool:
    """Delete an entry (a stage with its lock file) or a leftover; False when somebody computes it now."""
    path = entry.path if isinstance(entry, Entry) else entry
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
