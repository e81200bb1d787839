"""The stage store: constants and results of transfer stages on disk, computed once, whoever asks.

A transfer stage is the part of a training, before the fine-tuning on the target, whose result many cells can share.

The store has one safetensors file per key, in a folder that all studies share; the header of the file holds the key in
words, so that `raystudy cache` can say what it is. A worker that needs what another one is computing waits for it; a
worker that dies frees its lock. The folder is a cache: anything in it may be deleted at any time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from raystudy.spec import canonical, digest
from raystudy.workers import Workers

__all__ = ["StageStore"]

State = dict[str, Tensor]
_LIMIT = 20 * 1024**3


class StageStore:
    """States by key, in at most `limit` bytes of `folder`; those that were used longest ago are removed first."""

    def __init__(self, folder: Path, limit: int = _LIMIT) -> None:
        self.folder, self.limit = folder, limit

    def _path(self, key: Mapping[str, Any]) -> Path:
        return self.folder / f"{digest(key, 16)}.safetensors"

    def read(self, key: Mapping[str, Any]) -> State | None:
        """The state under `key`, or None. A file that cannot be read counts as absent and will be written anew."""
        path = self._path(key)
        try:
            state: State = load_file(path)
            os.utime(path)
        except (OSError, SafetensorError):
            return None
        return state

    def compute(self, key: Mapping[str, Any], make: Callable[[], State], workers: Workers) -> tuple[State, bool]:
        """The state under `key`, computed by `make` unless it is there; and whether it was (see `train.Store`).

        Rank 0 holds the lock of the key meanwhile, so that a second group waits instead of computing it too.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._path(key).with_suffix(".lock"))
        if workers.rank == 0:
            lock.acquire()
        try:
            workers.gather(None)  # nobody looks before rank 0 holds the lock
            state = self.read(key)
            if all(workers.gather(state is not None)):
                assert state is not None
                return state, True
            state = make()
            if workers.rank == 0:
                self._write(key, state)
            workers.gather(None)
            return state, False
        finally:
            if workers.rank == 0:
                lock.release()

    def _write(self, key: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
        path = self._path(key)
        new_path = path.with_suffix(f".{os.getpid()}.new")
        try:
            tensors = {k: t.detach().contiguous().cpu() for k, t in state.items()}
            save_file(tensors, new_path, metadata={"key": canonical(key)})
            os.replace(new_path, path)
        except (OSError, SafetensorError):  # a full disk costs the cache, not the cell
            new_path.unlink(missing_ok=True)
            return
        self._trim(keep=path)

    def _trim(self, keep: Path) -> None:
        """Remove what was used longest ago until the limit holds again, but never `keep`."""

        def age_and_size(path: Path) -> tuple[float, int]:
            try:
                stat = path.stat()
            except OSError:  # another worker trimmed it
                return 0.0, 0
            return stat.st_mtime, stat.st_size

        files = sorted((*age_and_size(p), p) for p in self.folder.glob("*.safetensors") if p != keep)
        total = sum(size for _, size, _ in files) + keep.stat().st_size
        for _, size, path in files:
            if total <= self.limit:
                break
            path.unlink(missing_ok=True)
            total -= size
