"""The tests behind the verdicts, in full: every p with its correction, floors and effect sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from raystudy.analysis.numbers import Numbers
from raystudy.analysis.section import Block, Section, TableBlock, Words
from raystudy.analysis.table import selected
from raystudy.analysis.tables import comparison_table

__all__ = ["SECTION"]


def _words(n: Numbers) -> Iterator[str]:
    if n.comparisons:
        yield "Every comparison with the baseline again, with all tests that were made."


def _content(n: Numbers) -> Iterator[Block]:
    yield Words(n.words["significance"])
    table = comparison_table(n)
    first = ("variant", "target", "setting", "verdict")  # in sight, however far a reader scrolls to the tests
    order = (*first, *(c.name for c in table.columns if c.name not in first))
    yield TableBlock(replace(selected(table, table.name, order), notes=table.notes), filter=True)


SECTION: Section[None] = Section("significance", "Significance", _content, words={"significance": _words})
