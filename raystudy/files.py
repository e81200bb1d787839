"""Writes files so that each is either whole or absent, even if the process is killed meanwhile."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from raystudy.errors import PreflightError, Problem

__all__ = ["atomic_write"]


def atomic_write(path: Path, data: str | bytes) -> None:
    """Write a whole file (text as UTF-8) or nothing: a temporary file beside it, flushed to disk, then renamed over it.

    Raises:
        PreflightError: the disk is full or the folder cannot be written; whatever was there before stays.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new.open("wb") as f:
            f.write(data.encode() if isinstance(data, str) else data)
            f.flush()
            os.fsync(f.fileno())
        os.replace(new, path)
    except OSError as e:
        with suppress(OSError):
            new.unlink()
        raise PreflightError(Problem(f"cannot be written: {e.strerror or e}", file=str(path))) from None
