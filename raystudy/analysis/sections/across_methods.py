"""One search across methods: which method wins at its budget, and what each of them got of it."""

from __future__ import annotations

from collections.abc import Iterator

from raystudy.analysis.numbers import Numbers
from raystudy.analysis.recipes import recipes_table, words
from raystudy.analysis.section import Block, Section, TableBlock, Words

__all__ = ["SECTION"]


def _content(n: Numbers) -> Iterator[Block]:
    if n.recipes:
        yield Words(n.words["recipes"])
        yield TableBlock(recipes_table(n), filter=True)


SECTION: Section[None] = Section("recipes", "Across methods", _content, words={"recipes": words}, level=3)
