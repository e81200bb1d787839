"""``raystudy status``: how far a study is, while it runs from another terminal, or afterwards."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raystudy.commands import Json, Out, StudyOf, console, megabytes, print_json
from raystudy.commands.folders import ran_folder
from raystudy.view import group_rows, reason

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table

    from raystudy.study.progress import Progress

__all__ = ["status"]

_FAILURES = 20  # shown; --json has all


def status(
    study: StudyOf = "quickstart",
    out: Out = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Redraw until the study ends or Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """How far a study is: cells, searches, dev scores, what runs now, failures. Works while it runs."""
    from raystudy.study.progress import progress
    from raystudy.study.records import Results

    results = Results(ran_folder(study, out))
    found = progress(results)
    if as_json:
        print_json(_data(found))
        return
    terminal = console()
    if not watch:
        terminal.print(_shown(found))
        return
    from rich.live import Live

    try:
        with Live(_shown(found), console=terminal, auto_refresh=False, vertical_overflow="visible") as live:
            while found.running:
                began = time.monotonic()
                found = progress(results)
                live.update(_shown(found), refresh=True)
                # a study of thousands of cells takes long to read, and must not be slowed down by who watches it
                time.sleep(max(1.0, 10 * (time.monotonic() - began)))
    except KeyboardInterrupt:
        pass


def _data(found: Progress) -> dict[str, Any]:
    """What `--json` prints."""
    confirm = [a.confirm for a in found.arms]
    per_method: Counter[str] = Counter()
    for a in found.arms:
        for phase, count in (("search", a.search), ("confirm", a.confirm)):
            per_method[f"{a.arm.variant} {phase}"] += count.done + count.failed
    return {
        "study": found.study,
        "running": found.running,
        "finished": found.finished,
        "killed": found.killed,
        "expected_cells": found.cells.planned,
        "done": found.cells.done,
        "failed": found.cells.failed,
        "confirm": {"planned": sum(c.planned for c in confirm), "done": sum(c.done + c.failed for c in confirm)},
        "per_method": {k: n for k, n in sorted(per_method.items()) if n},
        "arms": [{**asdict(a), "arm": str(a.arm)} for a in found.arms],
        "now": found.now,
        "cells_per_minute": found.rate,
        "seconds_left": found.seconds_left if found.running else None,
        "failures": [{"cell": r.id, "spec": str(r.spec), "error": r.error} for r in found.failures],
        "disk_bytes": found.disk,
    }


def _shown(found: Progress) -> Group:
    """What a person sees."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = [*map(Text, _headline(found))]
    if found.now and found.now["groups"]:
        groups = Table(box=None, padding=(0, 2), show_header=False)
        for row in group_rows(found.now["groups"]):
            groups.add_row(*row)
        parts += [groups]
    parts += [Text(""), _arms(found)]
    if found.failures:
        parts += [Text("")]
        parts += [Text(f"failed {r.id}: {r.spec}: {reason(r)}") for r in found.failures[:_FAILURES]]
        if len(found.failures) > _FAILURES:
            parts += [Text(f"and {len(found.failures) - _FAILURES} more failed cells")]
        parts += [Text("`raystudy rerun CELL` shows the whole error of one")]
    return Group(*parts)


def _headline(found: Progress) -> list[str]:
    cells = found.cells
    if found.running:
        state = "running now"
        if not found.now or not found.now["groups"]:
            state += ", without worker groups: they are starting, or it is writing the report"
        elif found.now["draining"]:
            state += ", finishing the running cells only"
    else:
        state = "finished" if found.finished else "not running; the same command goes on from here"
        state += " (it was killed: configs are those of its start)" if found.killed else ""
    said = [f"{cells.done} done, {cells.failed} failed of at most {cells.planned} cells"]
    if found.finished:
        said = [f"{cells.done} done, {cells.failed} failed"]
    if found.rate is not None:
        said.append(f"{found.rate:.1f} cells a minute")
    if found.running and found.seconds_left:
        said.append(f"roughly {_duration(found.seconds_left)} left")
    said.append(f"{megabytes(found.disk)} on disk")
    lines = [f"{found.study}: {state}", "; ".join(said)]
    if found.now and (dashboard := found.now.get("dashboard")):
        lines.append(f"Ray dashboard: http://{dashboard} (token: ray get-auth-token)")
    return lines


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _arms(found: Progress) -> Table:
    """One line per arm, 80 columns at most. Scores in hundredths; a column that would be empty is left out.

    configs: configurations that ended, of all; best: the best mean dev of one that ran all its cells; dev, test: means
    over targets and seeds of the confirm cells so far.
    """
    from rich.table import Table

    columns: dict[str, list[str]] = {
        "method": [a.arm.variant for a in found.arms],
        "setting": [str(a.arm.setting) for a in found.arms],
        "configs": [f"{a.trials.over}/{a.trials.total}" if a.trials else "" for a in found.arms],
        "pruned": [str(a.trials.pruned or "") if a.trials else "" for a in found.arms],
        "best": [_score(a.trials.best) if a.trials else "" for a in found.arms],
        "search": [f"{a.search.done}/{a.search.planned}" if a.search.planned else "" for a in found.arms],
        "confirm": [f"{a.confirm.done}/{a.confirm.planned}" for a in found.arms],
        "failed": [str(a.search.failed + a.confirm.failed or "") for a in found.arms],
        "dev": [_score(a.dev) for a in found.arms],
        "test": [_score(a.test) for a in found.arms],
    }
    table = Table(box=None, padding=(0, 1, 0, 0))
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    for name in shown:
        table.add_column(name, justify="left" if name in ("method", "setting") else "right", no_wrap=True)
    for row in zip(*shown.values(), strict=True):
        table.add_row(*row)
    return table


def _score(x: float | None) -> str:
    return "" if x is None else f"{100 * x:.1f}"
