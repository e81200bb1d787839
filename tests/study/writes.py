"""Every write point of a piece of code, one after another: where it would die, and where the disk is full.

Python announces every file that is opened, every rename, every folder that is made or removed to its audit hooks,
before it happens. That is the list of write points; `fsync` is added to it, because there the data are known to be on
disk, and what compiled code writes (safetensors), which announces nothing.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save as safetensors_bytes

from raystudy import train
from raystudy.study.store import stage_store

CREATING = {"open", "os.mkdir", "os.link", "os.symlink", "fsync", "save_file"}  # what needs room on the disk
_FOLDER_OF = {"os.mkdir": 2, "os.remove": 1, "os.rmdir": 1, "os.rename": 2}  # which argument is a folder's descriptor
POINTS = CREATING | {"os.rename", "os.remove", "os.rmdir", "os.truncate"}


class Died(BaseException):
    """The process is gone: nothing after this line runs, except what the kernel does."""


class Points:
    """Counts the write points under `root` and disturbs some: `disturb(number, event, path)` raises to do so."""

    def __init__(self, root: Path, disturb: Callable[[int, str, str], None]) -> None:
        self.root, self.disturb = os.path.realpath(root) + os.sep, disturb
        self.events: list[tuple[str, str]] = []
        self.paused = False

    def at(self, event: str, args: tuple[Any, ...]) -> None:
        if self.paused or event not in POINTS or not args or not isinstance(args[0], str | bytes | os.PathLike):
            return
        if event == "open" and not _writes(args):
            return
        place = _FOLDER_OF.get(event)
        folder = Path(f"/proc/self/fd/{args[place]}").readlink() if place and args[place] != -1 else Path.cwd()
        path = os.path.abspath(folder / os.fsdecode(args[0]))  # noqa: PTH100  links are not followed
        if path.startswith(self.root):
            self.events.append((event, path.removeprefix(self.root)))
            self.disturb(len(self.events), event, path)


def _writes(args: tuple[Any, ...]) -> bool:
    """Whether an audited ``open(path, mode, flags)`` may change a file. What Python opens itself has a mode."""
    _, mode, flags = args
    if isinstance(mode, str):
        return any(c in mode for c in "wax+")
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND))


_now: Points | None = None


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _now is not None:
        _now.at(event, args)


sys.addaudithook(_hook)  # there is no way to take one back; without `_now` it does nothing


@contextmanager
def watched(points: Points, monkeypatch: pytest.MonkeyPatch) -> Iterator[Points]:
    """Have `points` told of every write point of the body, of all threads."""
    global _now
    fsync = os.fsync

    def audited_fsync(fd: int) -> None:
        _hook("fsync", (Path(f"/proc/self/fd/{fd}").readlink(),))
        fsync(fd)

    def audited_save(save: Callable[..., None]) -> Callable[..., None]:
        def saved(tensors: Any, path: Path, **more: Any) -> None:
            try:
                _hook("save_file", (path,))
            except BaseException:  # compiled code leaves half a file
                points.paused = True
                whole = safetensors_bytes(tensors)
                path.write_bytes(whole[: len(whole) // 2])
                points.paused = False
                raise
            save(tensors, path, **more)

        return saved

    with monkeypatch.context() as m:
        m.setattr(os, "fsync", audited_fsync)
        m.setattr(train, "save_file", audited_save(train.save_file))
        m.setattr(stage_store, "save_file", audited_save(stage_store.save_file))
        _now = points
        try:
            yield points
        finally:
            _now = None


def death_at(n: int) -> Callable[[int, str, str], None]:
    """Die at the n-th write point: neither it nor any later one happens, whatever tries to tidy up."""

    def disturb(number: int, event: str, path: str) -> None:
        if number >= n:
            raise Died

    return disturb


def full_at(n: int, points: int | None = None) -> Callable[[int, str, str], None]:
    """No room on the disk from the n-th write point on, or for so many points; removing still works."""

    def disturb(number: int, event: str, path: str) -> None:
        if event in CREATING and number >= n and (points is None or number < n + points):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    return disturb
