"""What a running driver does now, in ``logs/now.json``, for `raystudy status` in another terminal.

The driver is the process that runs the study. The file is about a second old, and true only while its driver lives: one
that is older than the driver's lock, or whose lock nobody holds, was left by a driver that was killed, and counts as
absent.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from raystudy.files import atomic_write
from raystudy.study.folder.records import Results

if TYPE_CHECKING:  # `status` loads no optuna
    from raystudy.study.search.arm_search import ArmSearch

__all__ = ["keep_live_status", "read_live_status", "search_counts"]


@contextmanager
def keep_live_status(results: Results, status: Callable[[], Mapping[str, Any]], every: float = 1.0) -> Iterator[None]:
    """While open, keep the file of `results` up to date; remove it at the end.

    Args:
        status: answers what to write. What it raises is ignored, for the file must never stop a study.
        every: seconds between two looks at `status`.
    """
    path = results.logs / "now.json"
    stop = threading.Event()

    def write_repeatedly() -> None:
        last_written = None
        while not stop.is_set():
            with suppress(Exception):
                content = {"pid": os.getpid(), **status()}
                if content != last_written:
                    atomic_write(path, json.dumps({"time": round(time.time(), 3), **content}, ensure_ascii=False))
                    last_written = content
            stop.wait(every)

    thread = threading.Thread(target=write_repeatedly, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5)
        with suppress(OSError):
            path.unlink(missing_ok=True)


def read_live_status(results: Results) -> dict[str, Any] | None:
    """What the driver that holds the study does now; None without a driver, and while it has not written it yet."""
    path = results.logs / "now.json"
    try:
        if path.stat().st_mtime < (results.folder / ".driver").stat().st_mtime or not results.is_running():
            return None
        return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    except (OSError, ValueError):
        return None


def search_counts(search: ArmSearch) -> dict[str, Any]:
    """Where one search stands: how many configurations ended how, how many cells these ran, the best dev mean so far.

    The best is taken over the configurations that ran all their cells.
    """
    over = [c for c in list(search.configurations) if c.over]
    complete = [c for c in over if c.complete]
    return {
        "complete": len(complete),
        "pruned": sum(c.pruned_at is not None for c in over),
        "failed": sum(c.failed for c in over),
        "total": search.total,
        # configurations that differ in what has no effect alone have the same cells
        "cells": len({cell.id for c in over for cell, _ in zip(c.cells, c.scores, strict=False)}),
        "best": max((c.mean(len(c.cells)) for c in complete), default=None),
    }
