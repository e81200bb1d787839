"""What a person sees while a study runs: a picture that is drawn anew all the time, or a line per event.

The picture is for a terminal; a pipe or a file gets the lines. Ray and its workers write to the process's own streams
from many places. So while a study runs, the streams 1 and 2 lead to ``logs/ray.log``, and this view keeps the terminal
for itself.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.spinner import Spinner
from rich.text import Text

from raystudy.errors import PreflightError, Problem
from raystudy.output_streams import output_stream, write_error
from raystudy.spec import Record, Spec
from raystudy.terminal import TerminalColumn, console, say, table_of
from raystudy.wording import counted, lasting

if TYPE_CHECKING:
    from raystudy.spec import Arm
    from raystudy.study.forecast.forecast import Forecast
    from raystudy.study.search.arm_search import ArmSearch

__all__ = ["LiveView", "failure_reason", "group_rows", "groups_table", "streams_to_log"]


def failure_reason(record: Record) -> str:
    """The last line of a failed cell's error, which says why it failed."""
    return record.error.splitlines()[-1] if record.error else "no reason given"


def group_rows(groups: Mapping[Any, Mapping[str, Any]]) -> Iterator[tuple[str, str, str, str]]:
    """(group, cell, stage and step, loss) of every worker group, from the status of the cell queue."""
    for g, s in groups.items():
        if s.get("cell"):
            step = f"{s['stage']} {s['step']}/{s['steps']}" if "stage" in s else "loading"
            yield f"group {g}", str(s["cell"]), step, f"loss {s['loss']:.3f}" if "loss" in s else ""
        else:
            yield f"group {g}", "waiting", "", ""


def groups_table(
    groups: Mapping[Any, Mapping[str, Any]], width: int, most_rows: int = 1000
) -> Iterator[RenderableType]:
    """A table of what each worker group does now, in `width` columns and with at most `most_rows` rows."""
    rows = list(group_rows(groups))
    columns = (
        TerminalColumn(whole=True),
        TerminalColumn(least=24),
        TerminalColumn(least=12),
        TerminalColumn(whole=True),
    )
    if rows:
        yield table_of(columns, rows[:most_rows], width)[0]
    if len(rows) > most_rows:
        yield Text(f"and {counted(len(rows) - most_rows, 'more group')}")


@contextmanager
def streams_to_log(log: Path) -> Iterator[Console]:
    """Lead the streams 1 and 2 to the file `log`; yields a Console on the terminal (or pipe) that they led to before.

    Where that terminal takes no more, because its reader has left or a disk is full, the rest goes to ``driver.log``
    beside the file.

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
    saved_streams = os.dup(1), os.dup(2)
    try:
        terminal = output_stream(
            saved_streams[0], closed=write_error(sys.stdout) is not None, overflow=log.with_name("driver.log")
        )
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        try:
            yield console(terminal)
        finally:
            terminal.flush()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, saved_stream in enumerate(saved_streams, start=1):
            os.dup2(saved_stream, stream)
            os.close(saved_stream)
        os.close(sink)
    if (error := write_error(terminal)) is not None and not terminal.output.unread:
        message = f"the output cannot be written: {error.strerror or error}. It is in {log.with_name('driver.log')}"
        sys.stderr.write(message + "\n")


@dataclass
class LiveView:
    """Counts the records of a run as they come, and shows what the run does now.

    Attributes:
        total: how many cells the study needs in all (an upper bound while halving may still prune some).
        done, failed: how many records came, and how many of them are of cells that failed.
        status: a function that asks the pool what its groups do now.
        describe: a function from a cell to the words that tell it from others of its kind: which configuration of a
            search it tries.
        phase: what the run does while no cell is trained: ``starting Ray``.
        forecast: what is left of the study, where that can be said.
    """

    console: Console
    total: int
    done: int = 0
    status: Callable[[], Mapping[str, Any]] | None = None
    describe: Callable[[Spec], str] = str
    failed: int = 0
    phase: str = ""
    forecast: Forecast | None = None
    _ends_at: float | None = None  # of the monotonic clock, as was foreseen last
    _loading: int = 0
    _phase_began: float = field(default_factory=time.monotonic)
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def interactive(self) -> bool:
        """Whether the output is a terminal that a person watches."""
        return self.console.is_terminal and not os.environ.get("CI") and write_error(self.console.file) is None

    def say(self, text: str) -> None:
        """Print one line, folded between words where it is longer than the terminal is wide."""
        say(self.console, text)

    def begin(self, phase: str, groups: int = 0) -> None:
        """Show that the run enters a phase; where there is no terminal, print it as a line.

        Args:
            groups: how many worker groups the phase waits for; the view counts those that are ready.
        """
        self._phase_began, self._loading, self.phase = time.monotonic(), groups, phase
        if not self.interactive:
            self.say(phase)

    def foresee(self, groups: Mapping[Any, Mapping[str, Any]], searches: Mapping[Arm, ArmSearch]) -> float | None:
        """Foresee anew what is left, from what the groups and the searches do now; returns the seconds."""
        if self.forecast is None:
            return None
        from raystudy.study.forecast.forecast import Running, cells_left

        self.forecast.search_is_left(cells_left(searches))
        seconds = self.forecast.tell_left(Running.of_status(groups))
        self._ends_at = None if seconds is None else time.monotonic() + seconds
        return seconds

    @property
    def left(self) -> str:
        """How long the study will take from now, in words; empty where nobody knows."""
        if self._ends_at is None:
            return ""
        seconds = self._ends_at - time.monotonic()
        return f"about {lasting(seconds)} left" if seconds >= 1 else "about to end"

    def record(self, record: Record) -> None:
        """Count the record of one more cell, and print its line."""
        self.done += 1
        if self.forecast is not None:
            self.forecast.record(record)
        self.failed += record.status == "failed"
        if record.status == "failed":
            self.say(f"failed: {self.describe(record.spec)}\n  {failure_reason(record)}")
        elif not self.interactive:
            dev = record.metrics["dev"][record.facts["metric"]]
            seconds = record.wall
            width = len(str(self.total))
            what = self.describe(record.spec)
            left = f", {self.left}" if self.left else ""
            self.say(f"[{self.done:{width}}/{self.total}] {what}: dev {100 * dev:.1f} ({seconds:.1f} s{left})")

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the live view while the block runs, if the output is a terminal."""
        if not self.interactive:
            yield
            return
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        bar = Progress(*columns, TextColumn("{task.fields[left]}"))
        bar.add_task("cells", total=self.total, left="")
        # What Ray and Tune print belongs to the streams 1 and 2, which lead to the log (`streams_to_log`); rich would
        # draw it into the view.
        with Live(
            self.frame(bar),
            console=self.console,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as live:

            def refresh() -> None:
                while not self._stop.wait(0.5):
                    if not self.interactive:  # the terminal is gone: its frames would fill a log
                        live.stop()
                        return
                    with suppress(Exception):  # the view never stops a study
                        live.update(self.frame(bar))

            thread = threading.Thread(target=refresh, daemon=True)
            thread.start()
            try:
                yield
            finally:
                self._stop.set()
                thread.join(2)

    def frame(self, bar: Progress) -> Group:
        """The picture to draw now: the phase until a cell is trained, the bar, and what each group does."""
        try:
            status = self.status() if self.status else {}
        except Exception:  # the view never stops a study
            status = {}
        groups = status.get("groups", {})
        parts: list[RenderableType] = []
        if phase := self.awaited_phase(status):
            seconds = time.monotonic() - self._phase_began
            parts.append(Spinner("dots", Text(f"{phase}, {seconds:.0f} s")))
        for task in bar.tasks:
            bar.update(task.id, completed=self.done, total=max(self.total, self.done), left=self.left)
        parts.append(bar)
        parts += groups_table(groups, self.console.width, max(1, self.console.height - 5))
        if self.failed:
            parts.append(Text(f"{counted(self.failed, 'cell')} failed"))
        return Group(*parts)

    def awaited_phase(self, status: Mapping[str, Any]) -> str:
        """The phase with the number of groups that are ready; empty once every group is ready to train."""
        if not self._loading:
            return self.phase
        ready = sum(status.get("ready", {}).values())
        if ready >= self._loading:
            return ""
        return f"{self.phase} ({ready} of {self._loading} ready)"
