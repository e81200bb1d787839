"""``logs/now.json``: what a running driver does now, for `raystudy status` in another terminal.

The file is a view, about a second old, and true only while its driver lives: one that is older than the lock, or whose
lock nobody holds, was left by a driver that was killed, and counts as absent.
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
def keep_live_status(results: Results, say: Callable[[], Mapping[str, Any]], every: float = 1.0) -> Iterator[None]:
    """While open, `results` has a now.json with what `say` answers, at most `every` seconds old; removed at the end."""
    path = results.logs / "now.json"
    stop = threading.Event()

    def write() -> None:
        last = None
        while not stop.is_set():
            with suppress(Exception):  # the view never stops a study
                what = {"pid": os.getpid(), **say()}
                if what != last:
                    atomic_write(path, json.dumps({"time": round(time.time(), 3), **what}, ensure_ascii=False))
                    last = what
            stop.wait(every)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5)
        with suppress(OSError):
            path.unlink(missing_ok=True)


def read_live_status(results: Results) -> dict[str, Any] | None:
    """What the driver that holds the study does now; None without one, and while it has not said anything yet."""
    path = results.logs / "now.json"
    try:
        if path.stat().st_mtime < (results.folder / ".driver").stat().st_mtime or not results.running():
            return None
        return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    except (OSError, ValueError):
        return None


def search_counts(search: ArmSearch) -> dict[str, Any]:
    """Where one search stands: configurations by how they ended, the cells that these ran, the best dev mean so far.

    Best is taken over the configurations that ran all their cells.
    """
    over = [t for t in list(search.configurations) if t.over]
    complete = [t for t in over if t.complete]
    return {
        "complete": len(complete),
        "pruned": sum(t.pruned_at is not None for t in over),
        "failed": sum(t.failed for t in over),
        "total": search.total,
        "cells": sum(len(t.scores) for t in over),
        "best": max((t.mean(len(t.cells)) for t in complete), default=None),
    }
