"""Every cell with its id and its scores."""

from __future__ import annotations

from collections.abc import Iterator

from raystudy.analysis.numbers import Numbers
from raystudy.analysis.section import Block, Section, TableBlock, Words
from raystudy.analysis.table import Cell, Column, Table, counted
from raystudy.analysis.tables import points

__all__ = ["SECTION", "cells_table"]


def cells_table(n: Numbers, *, searched: bool) -> Table:
    """Every cell with its id and its scores x 100; those of the search are there too if `searched`."""
    runs = [r for r in n.runs if searched or r.phase == "confirm"]
    columns = (
        Column("variant", "method"),
        Column("target", "target"),
        Column("setting", "setting"),
        Column("seed", "seed", "count"),
        *([Column("phase", "phase")] if searched else []),
        Column("status", "status"),
        Column("dev", "dev", "number"),
        Column("test", "test", "number"),
        Column("seconds", "seconds", "number"),
        Column("cell", "cell", "code"),
    )
    rows = [
        (
            Cell(r.variant, n.design.title(r.variant)),
            Cell(r.target),
            Cell(r.setting),
            Cell(r.seed),
            *([Cell(r.phase)] if searched else []),
            Cell(r.status, unsure=r.status == "failed"),
            Cell(points(r.dev)),
            Cell(points(r.test)),
            Cell(r.seconds),
            Cell(r.id),
        )
        for r in runs
    ]
    return Table("cells", "Every cell; dev and test × 100.", columns, tuple(rows))


def _words(n: Numbers) -> Iterator[str]:
    if n.runs:
        yield "Any cell can be trained again and compared with its record: `raystudy rerun CELL`, with a cell's id."
    searched = sum(r.phase == "search" for r in n.runs)
    if searched:
        yield f"The {counted(searched, 'cell')} of the search are in tables/cells.csv."


def _content(n: Numbers) -> Iterator[Block]:
    yield Words(n.words["cells"])
    confirmed = cells_table(n, searched=False)
    fold = f"{len(confirmed.rows)} confirmed cells, with their ids"
    yield TableBlock(confirmed, filter=True, formats=(), pages=("html",), fold=fold)
    yield TableBlock(cells_table(n, searched=True), formats=("csv",), pages=())


SECTION: Section[None] = Section("cells", "Every cell", _content, words={"cells": _words}, level=3)
