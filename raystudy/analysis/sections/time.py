"""How long the trainings were foreseen to take, before the study began, and what they took."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from raystudy.analysis.numbers import Numbers
from raystudy.analysis.phrases import duration
from raystudy.analysis.section import Block, Section, TableBlock, Words
from raystudy.analysis.sources import Sources
from raystudy.analysis.table import MISSING, Cell, Column, Note, Table
from raystudy.analysis.tables import method_cell

__all__ = ["SECTION", "MethodTime", "time_table"]


@dataclass(frozen=True)
class MethodTime:
    """The seconds of all trainings of a method, one after another.

    Attributes:
        foreseen: by the plan; nan where it knew no pace. spent: by the cells that there are.
        cells: that were trained.
    """

    variant: str
    cells: int
    foreseen: float
    spent: float

    @property
    def ratio(self) -> float:
        """How many times as long as foreseen it took; nan where one of the two is missing."""
        return self.spent / self.foreseen if self.foreseen > 0 and self.cells else math.nan


def _numbers(sources: Sources, n: Numbers) -> tuple[MethodTime, ...]:
    """A row per method, if the plan foresaw anything; cells that show what a search brought are among them."""
    foreseen: dict[str, float] = {}
    for (variant, _), seconds in sources.estimates.items():
        foreseen[variant] = foreseen.get(variant, 0.0) + seconds
    if not foreseen:
        return ()
    records = [*sources.records, *sources.beside.records]
    rows = []
    for m in n.design.methods:
        own = [r.wall for r in records if r.spec.variant == m.variant]
        rows.append(MethodTime(m.variant, len(own), foreseen.get(m.variant, math.nan), math.fsum(own)))
    return tuple(rows)


def time_table(n: Numbers) -> Table:
    """The cells of every method, the seconds that were foreseen and spent, and their ratio."""
    columns = (
        Column("variant", "method"),
        Column("cells", "cells trained", "count"),
        Column("foreseen", "seconds foreseen", "number"),
        Column("spent", "seconds spent", "number"),
        Column("ratio", "spent / foreseen", "number"),
    )
    rows = [
        (method_cell(n.design, t.variant), Cell(t.cells), Cell(t.foreseen), Cell(t.spent), Cell(t.ratio))
        for t in SECTION.of(n)
    ]
    notes = [
        Note(
            "Foreseen: for all cells of the plan, with every configuration of a search as long as its first, from what "
            "this machine took before or from a few updates that were timed; pruned configurations and stages from the "
            f"store take less. {MISSING} where no pace was known."
        )
    ]
    return Table("time", f"Time. {n.design.conditions}", columns, tuple(rows), tuple(notes))


def _words(n: Numbers) -> Iterator[str]:
    known = [t for t in SECTION.of(n) if not math.isnan(t.foreseen)]
    foreseen, spent = math.fsum(t.foreseen for t in known), math.fsum(t.spent for t in known)
    if not foreseen:
        return
    yield (
        f"Before the study began, its trainings were foreseen to take {duration(foreseen)}, one after another; so far "
        f"they took {duration(spent)}."
    )


def _content(n: Numbers) -> Iterator[Block]:
    if SECTION.of(n):
        yield Words(n.words["time"])
        yield TableBlock(time_table(n))


SECTION: Section[tuple[MethodTime, ...]] = Section(
    "time", "Time foreseen and spent", _content, _numbers, key="times", words={"time": _words}, level=3
)
