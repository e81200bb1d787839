"""The tests behind the verdicts, in full: every p with its correction, floors and effect sizes."""

from __future__ import annotations

from collections.abc import Iterator

from raystudy.analysis.numbers import Numbers
from raystudy.analysis.section import Block, Section, TableBlock, Words
from raystudy.analysis.tables import comparison_table

__all__ = ["SECTION"]


def _words(n: Numbers) -> Iterator[str]:
    if n.comparisons:
        yield "Every comparison with the baseline again, with all tests that were made."


def _content(n: Numbers) -> Iterator[Block]:
    yield Words(n.words["significance"])
    yield TableBlock(comparison_table(n), filter=True)


SECTION: Section[None] = Section("significance", "Significance", _content, words={"significance": _words})
