"""All configurations that were tried, a table for each arm."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from raystudy.analysis.numbers import Design, Numbers, Search
from raystudy.analysis.phrases import setting_name
from raystudy.analysis.section import Block, Section, TableBlock, Words
from raystudy.analysis.sections.search import show
from raystudy.analysis.table import Cell, Column, Note, Table, counted
from raystudy.analysis.tables import points

__all__ = ["SECTION", "configurations"]


def configurations(n: Numbers) -> list[Table]:
    """For every arm all its configurations: what was tried, what the paper says, how each did on every target."""
    arms: dict[tuple[str, str], list[Search]] = {}
    for s in n.searches:
        arms.setdefault((s.variant, s.setting), []).append(s)
    return [_configurations(n.design, variant, setting, group) for (variant, setting), group in arms.items()]


def _configurations(design: Design, variant: str, setting: str, group: Sequence[Search]) -> Table:
    names = sorted({name for s in group for name in s.searched})
    trials = {t.number: t for s in group for t in s.trials}
    on = {(s.target, t.number): t for s in group for t in s.trials}
    columns = (
        Column("trial", "trial"),
        Column("state", "state"),
        *(Column(name, name) for name in names),
        *(Column(f"dev {s.target}", f"dev, {s.target}", "number") for s in group),
        Column("updates", "updates", "count"),
        Column("passes", "passes", "number"),
        Column("seconds", "seconds", "number"),
    )
    rows = []
    for number, trial in sorted(trials.items()):
        here = [t for s in group if (t := on.get((s.target, number))) is not None]
        is_winner = any(t.winner for t in here)
        rows.append(
            (
                Cell(str(number), f"{number}{' (paper)' if number == 0 else ''}{' ★' if is_winner else ''}"),
                Cell(trial.state, unsure=trial.state != "complete"),
                *(Cell(show(trial.settings.get(name))) for name in names),
                *(
                    Cell(points(t.dev), best=t.winner, unsure=t.state != "complete") if t else Cell()
                    for t in (on.get((s.target, number)) for s in group)
                ),
                Cell(sum(t.updates for t in here)),
                Cell(math.fsum(t.passes for t in here)),
                Cell(math.fsum(t.seconds for t in here)),
            )
        )
    caption = f"{design.title(variant)}, {setting_name(setting)}: {counted(len(rows), 'configuration')}, dev × 100."
    notes = (Note("★ and bold: the winner of a target. Settings that no trial changed are left out."),)
    return Table(f"configurations_{variant}_{setting}", caption, columns, tuple(rows), notes)


def _content(n: Numbers) -> Iterator[Block]:
    found = configurations(n)
    if found:
        arms = counted(len(found), "arm")
        yield Words.of([f"{arms}, one list for each; as one file: tables/trials.csv."])
    for table in found:
        yield TableBlock(table, filter=True, formats=(), fold=table.caption)


SECTION: Section[None] = Section("configurations", "All configurations", _content, level=3, pages=("html",))
