"""The verdict: which method beats the baseline where, what is undecided, what falls below a floor, what hurts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from raystudy.analysis.numbers import Comparison, Numbers
from raystudy.analysis.phrases import duration
from raystudy.analysis.section import Block, Section, TableBlock, Words
from raystudy.analysis.sentences import completeness, scope, verdict
from raystudy.analysis.stats import Word
from raystudy.analysis.table import Cell, Column, Table, counted, place

__all__ = ["COMPLETENESS", "SECTION", "glance"]

_MOST_PLACES = (
    4  # so many columns of words stand beside the sentences on a screen; of more places the words are counted
)
_WORDS: tuple[Word, ...] = ("better", "equivalent", "undecided", "worse")


def glance(n: Numbers) -> Table:
    """The words of the verdict, a row per method: in every place or, where there are many places, how often each."""
    tested = [c for c in n.comparisons if c.tested]
    places = [*dict.fromkeys((c.target, c.setting) for c in tested)]
    variants = [m for m in n.design.methods if any(c.variant == m.variant for c in tested)]
    of = {(c.variant, c.target, c.setting): c for c in tested}
    caption = f"Against {n.design.baseline_title}, in points."
    if len(places) <= _MOST_PLACES:
        columns = [Column(f"{t} {s}", place(t, s)) for t, s in places]
        rows = [(Cell(m.variant, m.title), *(_word(of.get((m.variant, t, s))) for t, s in places)) for m in variants]
        return Table("glance", caption, (Column("variant", "method"), *columns), tuple(rows))
    columns = [*(Column(w, w, "count") for w in _WORDS), Column("mean", "mean difference", "number", signed=True)]
    lines = []
    for m in variants:
        of_m = [c for c in tested if c.variant == m.variant]
        words = Counter(c.verdict.word for c in of_m)
        seen = [c.pair.mean for c in of_m if c.pair.n]
        cells = (Cell(words[w], tone=w if words[w] else None) for w in _WORDS)
        lines.append((Cell(m.variant, m.title), *cells, Cell(100 * sum(seen) / len(seen) if seen else None)))
    caption += f" In how many of {len(places)} places."
    return Table("glance", caption, (Column("variant", "method"), *columns), tuple(lines))


def _word(c: Comparison | None) -> Cell:
    if c is None or not c.pair.n:
        return Cell()
    word = c.verdict.word
    return Cell(word, f"{word} {100 * c.pair.mean:+.1f}", unsure=word == "undecided", tone=word)


def _header(n: Numbers) -> Iterator[str]:
    """When, with which code, at what cost."""
    if "date" in n.facts:
        yield n.facts["date"]
    if "commit" in n.facts:
        yield f"commit {n.facts['commit']}"
    phases = [p for c in n.costs for p in (c.search, c.confirm)]
    if phases:
        passes = math.fsum(p.passes for p in phases)
        cost = "" if math.isnan(passes) else f", {passes:,.0f} passes"
        seconds = duration(math.fsum(p.seconds for p in phases))
        yield f"{counted(sum(p.cells for p in phases), 'cell')}{cost}, {seconds} of training"


def _content(n: Numbers) -> Iterator[Block]:
    yield Words(n.words["verdict"], "verdict")
    yield TableBlock(glance(n), formats=(), opening=False)


def _completeness(n: Numbers) -> Iterator[Block]:
    yield Words(n.words["completeness"])


SECTION: Section[None] = Section(
    "verdict",
    "Verdict",
    _content,
    words={"verdict": verdict, "scope": lambda n: [scope(n.design)], "header": _header},
    opening=True,
)
# report.html has it in its head
COMPLETENESS: Section[None] = Section(
    "completeness", "Completeness", _completeness, words={"completeness": lambda n: [completeness(n)]}, pages=("md",)
)
