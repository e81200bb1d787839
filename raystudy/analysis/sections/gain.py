"""What searching brought on test."""

from __future__ import annotations

from collections.abc import Iterator

from raystudy.analysis import search_gain
from raystudy.analysis.numbers import Numbers, SearchGain, Sentence
from raystudy.analysis.section import Block, Section, Words, in_short
from raystudy.analysis.sources import Sources

__all__ = ["SECTION"]

_IN_SHORT = ("variant", "target", "setting", "verdict", "default", "winner", "difference", "low", "high", "trainings")


def _numbers(sources: Sources, n: Numbers) -> tuple[SearchGain, ...]:
    beside, searches = sources.beside, n.searches
    return tuple(search_gain.compute(sources.test_scores, sources.records, searches, beside, n.design, sources.metrics))


def _words(n: Numbers) -> Iterator[Sentence]:
    gains = SECTION.of(n)
    yield from search_gain.gain_words(gains, n.design, n.defaults_trained, bool(n.searches) or bool(gains))


def _content(n: Numbers) -> Iterator[Block]:
    yield Words(n.words["search_gain"])
    if SECTION.of(n):
        yield from in_short(search_gain.gain_table(SECTION.of(n), n.design), _IN_SHORT)


SECTION: Section[tuple[SearchGain, ...]] = Section(
    "search_gain", "What searching brought", _content, _numbers, key="gains", words={"search_gain": _words}, level=3
)
