"""What a person sees while a study runs: one live view on a terminal, one line per event elsewhere.

Ray and its workers write to the process's own streams from many places, so while a study runs the streams 1 and 2 lead
to ``logs/ray.log`` and this view keeps the terminal for itself.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from raystudy.errors import PreflightError, Problem
from raystudy.spec import Record

__all__ = ["View", "group_rows", "quiet", "reason"]


def reason(record: Record) -> str:
    """Why a cell failed, in a line."""
    return record.error.splitlines()[-1] if record.error else "no reason given"


def group_rows(groups: Mapping[Any, Mapping[str, Any]]) -> Iterator[tuple[str, str, str, str]]:
    """(group, cell, stage and step, loss) of every worker group, from the hub's status."""
    for g, s in groups.items():
        if s.get("cell"):
            step = f"{s['stage']} {s['step']}/{s['steps']}" if "stage" in s else "loading"
            yield f"group {g}", str(s["cell"]), step, f"loss {s['loss']:.3f}" if "loss" in s else ""
        else:
            yield f"group {g}", "waiting", "", ""


@contextmanager
def quiet(log: Path) -> Iterator[Console]:
    """Lead the streams 1 and 2 to `log`; yields a Console on the terminal (or pipe) they had led to.

    Raises:
        PreflightError: the log cannot be written.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as e:
        raise PreflightError(Problem(f"cannot be written: {e.strerror or e}", file=str(log))) from None
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    try:
        with os.fdopen(os.dup(kept[0]), "w", encoding="utf-8") as terminal:
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            yield Console(file=terminal, soft_wrap=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, was in enumerate(kept, start=1):
            os.dup2(was, stream)
            os.close(was)
        os.close(sink)


@dataclass
class View:
    """Counts records as they come and shows what the groups do.

    Attributes:
        total: cells that the study needs in all (an upper bound while halving may still prune some).
        status: asks the pool what its groups do now.
    """

    console: Console
    total: int
    done: int = 0
    status: Callable[[], Mapping[str, Any]] | None = None
    failed: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def interactive(self) -> bool:
        """Whether a person watches a terminal."""
        return self.console.is_terminal and not os.environ.get("CI")

    def say(self, text: str) -> None:
        """One line, as it is."""
        self.console.print(text, highlight=False, markup=False)

    def record(self, record: Record) -> None:
        """One more cell is done."""
        self.done += 1
        self.failed += record.status == "failed"
        if record.status == "failed":
            self.say(f"failed: {record.spec}\n  {reason(record)}")
        elif not self.interactive:
            dev = record.metrics["dev"][record.facts["metric"]]
            seconds = record.wall
            width = len(str(self.total))
            self.say(f"[{self.done:{width}}/{self.total}] {record.spec}: dev {100 * dev:.1f} ({seconds:.1f} s)")

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the live view for the duration, on a terminal."""
        if not self.interactive:
            yield
            return
        bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        task = bar.add_task("cells", total=self.total)

        def show() -> Group:
            bar.update(task, completed=self.done, total=max(self.total, self.done))
            return Group(bar, self._groups())

        with Live(show(), console=self.console, refresh_per_second=4, transient=True) as live:

            def refresh() -> None:
                while not self._stop.wait(0.5):
                    live.update(show())

            thread = threading.Thread(target=refresh, daemon=True)
            thread.start()
            try:
                yield
            finally:
                self._stop.set()
                thread.join(2)

    def _groups(self) -> Table:
        table = Table(box=None, padding=(0, 2), show_header=False)
        try:
            groups = self.status()["groups"] if self.status else {}
        except Exception:  # the view never stops a study
            groups = {}
        for row in group_rows(groups):
            table.add_row(*row)
        if self.failed:
            table.add_row("failed", str(self.failed), "", "")
        return table
