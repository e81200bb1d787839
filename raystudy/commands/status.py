"""``raystudy status``: shows how far a study is, from another terminal while it runs, or afterwards."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raystudy.commands import Json, Out, StudyOf, console, megabytes, print_json
from raystudy.commands.folders import is_reproduction, ran_folder, results_folder
from raystudy.live_view import failure_reason
from raystudy.output_streams import write_error
from raystudy.wording import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from raystudy.study.folder.progress import Progress

__all__ = ["status"]

_FAILURES = 20  # shown; --json has all


def status(
    study: StudyOf = "quickstart",
    out: Out = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Redraw until the study ends or Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Show how far a study is: cells, searches, dev scores, what runs now, failures. Works while it runs."""
    from raystudy.study.folder.progress import progress
    from raystudy.study.folder.records import Results
    from raystudy.terminal import line_width, show

    if is_reproduction(asked := results_folder(study, out)):
        _status_of_reproduction(asked, as_json)
        return
    results = Results(ran_folder(study, out))
    state = progress(results)
    if as_json:
        print_json(_data(state))
        return
    terminal = console()
    if not watch:
        for part in _screen_parts(state, line_width(terminal)):
            show(terminal, part)
        return
    from rich.console import Group
    from rich.live import Live

    def screen() -> Group:
        return Group(*_screen_parts(state, line_width(terminal)))

    try:
        with Live(screen(), console=terminal, auto_refresh=False, vertical_overflow="visible") as live:
            while state.running and write_error(terminal.file) is None:
                start = time.monotonic()
                state = progress(results)
                live.update(screen(), refresh=True)
                # a study of thousands of cells takes long to read, and must not be slowed down by who watches it
                time.sleep(max(1.0, 10 * (time.monotonic() - start)))
    except KeyboardInterrupt:
        pass


def _status_of_reproduction(folder: Path, as_json: bool) -> None:
    """Show how far a whole paper is, exhibit by exhibit."""
    from raystudy.analysis.reproduction_page import STATES
    from raystudy.reproduce import reproduction_page
    from raystudy.terminal import TerminalColumn, print_table, say

    page = reproduction_page(folder)
    if as_json:
        print_json({"summary": page.summary, "exhibits": [asdict(row) for row in page.rows]})
        return
    terminal = console()
    say(terminal, f"{page.title}: {page.summary}")
    columns = [
        TerminalColumn("exhibit", whole=True),
        TerminalColumn("state", least=12),
        TerminalColumn("cells", right=True, whole=True),
        TerminalColumn("what it shows", least=24, spare=1),
    ]
    rows = [
        [row.exhibit, STATES[row.state] + (f": {row.missing}" if row.state == "missing" else ""), row.cells, row.about]
        for row in page.rows
    ]
    print_table(terminal, columns, rows)


def _data(state: Progress) -> dict[str, Any]:
    """What `--json` prints."""
    confirm = [a.confirm for a in state.arms]
    per_method: Counter[str] = Counter()
    for a in state.arms:
        for phase, count in (("search", a.search), ("confirm", a.confirm)):
            per_method[f"{a.arm.variant} {phase}"] += count.done + count.failed
    return {
        "study": state.study,
        "running": state.running,
        "finished": state.finished,
        "killed": state.killed,
        "expected_cells": state.cells.planned,
        "done": state.cells.done,
        "failed": state.cells.failed,
        "confirm": {"planned": sum(c.planned for c in confirm), "done": sum(c.done + c.failed for c in confirm)},
        "beside": asdict(state.beside),
        "per_method": {k: n for k, n in sorted(per_method.items()) if n},
        "arms": [{**asdict(a), "arm": str(a.arm)} for a in state.arms],
        "now": state.now,
        "cells_per_minute": state.rate,
        "seconds_left": state.seconds_left if state.running else None,
        "failures": [{"cell": r.id, "spec": str(r.spec), "error": r.error} for r in state.failures],
        "disk_bytes": state.disk,
    }


def _screen_parts(state: Progress, width: int) -> Iterator[RenderableType]:
    """What a person sees in `width` columns: the parts of the screen, from top to bottom."""
    from rich.text import Text

    from raystudy.live_view import groups_table
    from raystudy.terminal import folded

    def lines(*texts: str) -> Text:
        return Text("\n".join(line for text in texts for line in folded(text, width)))

    yield lines(*_headline(state))
    if state.now and state.now["groups"]:
        yield from groups_table(state.now["groups"], width)
    yield Text("")
    yield _arms(state, width)
    yield lines(_LEGEND)
    if state.failures:
        yield lines(
            "",
            *(f"failed {r.id}: {r.spec}: {failure_reason(r)}" for r in state.failures[:_FAILURES]),
            *([f"and {counted(more, 'more failed cell')}"] if (more := len(state.failures) - _FAILURES) > 0 else []),
            "`python -m raystudy rerun CELL` shows the whole error of one",
        )


def _headline(state: Progress) -> list[str]:
    cells = state.cells
    if state.running:
        word = "running now"
        if not state.now:
            word += ": Ray is starting, or the report is being written"
        elif state.now.get("waits"):
            word += f": {state.now['waits']}"
        elif state.now["draining"]:
            word += ", finishing the running cells only"
    else:
        word = "finished" if state.finished else "not running; the same command goes on from here"
        word += " (it was killed)" if state.killed else ""
    phases = {"search": [a.search for a in state.arms], "confirm": [a.confirm for a in state.arms]}
    phases["what searching brought"] = [state.beside]
    each = [
        f"{sum(c.done for c in counts)} of {'' if state.finished else 'at most '}{planned} in {phase}"
        for phase, counts in phases.items()
        if (planned := sum(c.planned for c in counts))
    ]
    amounts = [f"{counted(cells.done, 'cell')} trained ({', '.join(each)}), {cells.failed or 'none'} failed"]
    if state.rate is not None:
        amounts.append(f"{state.rate:.1f} cells a minute")
    if state.running and state.seconds_left:
        amounts.append(f"roughly {_duration(state.seconds_left)} left")
    amounts.append(f"{megabytes(state.disk)} on disk")
    lines = [f"{state.study}: {word}", "; ".join(amounts)]
    if state.now and (dashboard := state.now.get("dashboard")):
        lines.append(f"Ray dashboard: http://{dashboard} (token: ray get-auth-token)")
    return lines


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


_LEGEND = (
    "cells: trainings done, of those that are planned (a pruned configuration needs fewer); tried: configurations of "
    "the search whose cells are all done, of all; best: the best of these on dev; dev, test: means over targets and "
    "seeds so far"
)


def _arms(state: Progress, width: int) -> RenderableType:
    """A table with a row per arm. Scores are printed x 100; a column that would be empty is left out."""
    from raystudy.terminal import TerminalColumn, table_of

    columns = {
        TerminalColumn("method", whole=True): [a.arm.variant for a in state.arms],
        TerminalColumn("setting", whole=True): [str(a.arm.setting) for a in state.arms],
        TerminalColumn("search cells", right=True): [
            f"{a.search.done}/{a.search.planned}" if a.search.planned else "" for a in state.arms
        ],
        TerminalColumn("tried", right=True, whole=True): [
            f"{a.trials.over}/{a.trials.total}" if a.trials else "" for a in state.arms
        ],
        TerminalColumn("pruned", right=True, whole=True, spare=2): [
            str(a.trials.pruned or "") if a.trials else "" for a in state.arms
        ],
        TerminalColumn("best", right=True, whole=True, spare=1): [
            _score(a.trials.best) if a.trials else "" for a in state.arms
        ],
        TerminalColumn("confirm cells", right=True): [f"{a.confirm.done}/{a.confirm.planned}" for a in state.arms],
        TerminalColumn("failed", right=True, whole=True): [
            str(a.search.failed + a.confirm.failed or "") for a in state.arms
        ],
        TerminalColumn("dev", right=True, whole=True): [_score(a.dev) for a in state.arms],
        TerminalColumn("test", right=True, whole=True): [_score(a.test) for a in state.arms],
    }
    filled_columns = {column: cells for column, cells in columns.items() if any(cells)}
    return table_of(list(filled_columns), list(zip(*filled_columns.values(), strict=True)), width)[0]


def _score(x: float | None) -> str:
    return "" if x is None else f"{100 * x:.1f}"
