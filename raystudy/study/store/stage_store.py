"""The stage store: constants and results of transfer stages on disk, computed once, whoever asks.

A transfer stage is the part of a training, before the fine-tuning on the target, whose result many cells can share.

The store has one safetensors file per key, in a folder that all studies share; the header of the file holds the key in
words, so that `raystudy cache` can say what it is. A worker that needs what another one is computing waits for it; a
worker that dies frees its lock. The folder is a cache: anything in it may be deleted at any time.

No byte is kept twice. A tensor that is bitwise what the method has before any stage, as the pre-trained weights of a
frozen layer are, is not written: the header names its digest, and whoever reads the result takes the tensor from the
method in hand, if that has the same digest. A large tensor lies in a file of its own, which is named by the digest of
its content, so that results that share it share the file. Files of earlier versions, with all tensors inside, are read
as they are.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from raystudy.spec import canonical, digest
from raystudy.study.store.cache import LIMIT, SAME, TENSORS, trim
from raystudy.workers import Workers

__all__ = ["LARGE", "StageStore", "tensor_digest"]

State = dict[str, Tensor]
LARGE = 1 << 16  # bytes from which a tensor has a file of its own; a model has hundreds of smaller ones


def tensor_digest(tensor: Tensor) -> str:
    """A hexadecimal digest of a tensor's type, shape and bits."""
    h = hashlib.blake2b(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode(), digest_size=16)
    h.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return h.hexdigest()


class StageStore:
    """States by key, in at most `limit` bytes of `folder`; those that were used longest ago are removed first."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder, self.limit = folder, limit

    def _path(self, key: Mapping[str, Any]) -> Path:
        return self.folder / f"{digest(key, 16)}.safetensors"

    def _path_of_tensor(self, content: str) -> Path:
        return self.folder / TENSORS / f"{content}.safetensors"

    def read(self, key: Mapping[str, Any], fresh: Mapping[str, Tensor] | None = None) -> State | None:
        """The state under `key`, or None. A file that cannot be read counts as absent and will be written anew.

        Args:
            fresh: what the method has before any stage, from which tensors that were left out are taken.
        """
        path = self._path(key)
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                state: State = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
            for name, content in json.loads(header.get(SAME, "{}")).items():
                if fresh is None or name not in fresh or tensor_digest(fresh[name]) != content:
                    return None
                state[name] = fresh[name]
            for name, content in json.loads(header.get(TENSORS, "{}")).items():
                with safe_open(self._path_of_tensor(content), framework="pt") as file:
                    state[name] = file.get_tensor("tensor")
            os.utime(path)
        except (OSError, SafetensorError, ValueError, AttributeError):
            return None
        return state

    def compute(
        self,
        key: Mapping[str, Any],
        make: Callable[[], State],
        workers: Workers,
        fresh: Mapping[str, Tensor] | None = None,
    ) -> tuple[State, bool]:
        """The state under `key`, computed by `make` unless it is there; and whether it was (see `train.Store`).

        Rank 0 holds the lock of the key meanwhile, so that a second group waits instead of computing it too.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._path(key).with_suffix(".lock"))
        if workers.rank == 0:
            lock.acquire()
        try:
            workers.gather(None)  # nobody looks before rank 0 holds the lock
            state = self.read(key, fresh)
            if all(workers.gather(state is not None)):
                assert state is not None
                return state, True
            # `make` trains what `fresh` refers to
            before = {k: tensor_digest(t) for k, t in (fresh or {}).items()} if workers.rank == 0 else {}
            state = make()
            if workers.rank == 0:
                self._write(key, state, before)
            workers.gather(None)
            return state, False
        finally:
            if workers.rank == 0:
                lock.release()

    def _write(self, key: Mapping[str, Any], state: Mapping[str, Tensor], before: Mapping[str, str]) -> None:
        """Write a state: its large tensors first, each whole, then by one rename the file that names them.

        Args:
            before: tensor -> its digest before any stage.
        """
        path = self._path(key)
        new_path = path.with_suffix(f".{os.getpid()}.new")
        same: dict[str, str] = {}
        large: dict[str, str] = {}
        inside: State = {}
        try:
            for name, tensor in state.items():
                is_large = tensor.numel() * tensor.element_size() >= LARGE
                content = tensor_digest(tensor) if is_large or name in before else ""
                if content and before.get(name) == content:
                    same[name] = content
                elif is_large:
                    large[name] = content
                    self._keep(content, tensor)
                else:
                    inside[name] = tensor.detach().contiguous().cpu()
            header = {"key": canonical(key), SAME: canonical(same), TENSORS: canonical(large)}
            save_file(inside, new_path, metadata=header)
            os.replace(new_path, path)
        except (OSError, SafetensorError):  # a full disk costs the cache, not the cell
            new_path.unlink(missing_ok=True)
            return
        trim(self.folder, self.limit, keep=path)

    def _keep(self, content: str, tensor: Tensor) -> None:
        """Have the file of a tensor there, under the digest of its content.

        Raises:
            OSError, SafetensorError: it cannot be written.
        """
        path = self._path_of_tensor(content)
        try:
            os.utime(path)  # nobody takes it for a leftover before the file that names it is there
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            new_path = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.new")
            try:
                save_file({"tensor": tensor.detach().contiguous().cpu()}, new_path)
                os.replace(new_path, path)
            except (OSError, SafetensorError):
                new_path.unlink(missing_ok=True)
                raise
