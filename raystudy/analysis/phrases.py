"""Pieces of sentences that several sections of a report share."""

from __future__ import annotations

from collections.abc import Sequence

from raystudy.analysis.numbers import Design, Sentence
from raystudy.analysis.stats import Word
from raystudy.analysis.table import counted, listed

__all__ = ["capital", "duration", "in_points", "listing", "places", "setting_name", "some"]

_SHOWN = 5  # places that a sentence lists before it refers to the table


def capital(sentence: str) -> str:
    """The sentence with a capital letter first."""
    return sentence[:1].upper() + sentence[1:]


def some(items: Sequence[str]) -> str:
    """The first few items, and how many more there are. They are joined by semicolons, because titles hold commas."""
    if len(items) <= max(_SHOWN, 2):
        return "; ".join(items) if len(items) > 2 else listed(items)
    return f"{'; '.join(items[:_SHOWN])}; and {len(items) - _SHOWN} more"


def listing(
    rest: str, detail: str, items: Sequence[str], lead: str = "", tone: Word | None = None, short: str = ""
) -> Sentence:
    """A sentence that ends in a list of `items`; a page may show its `lead` and `short` (by default `rest`) alone."""
    return Sentence(f"{rest}{detail}{some(items)}.", lead, tone, short or rest, tuple(items))


def in_points(fraction: float) -> str:
    """A size in points: ``3.1 points``, ``1 point``."""
    text = f"{100 * abs(fraction):.1f}".removesuffix(".0")
    return f"{text} {'point' if text == '1' else 'points'}"


def duration(seconds: float) -> str:
    """A time in words: ``90 seconds``, ``3.2 hours``."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def places(n: int, design: Design) -> str:
    """``3 targets`` or, where settings differ too, ``3 combinations of target and setting``."""
    if len(design.settings) == 1:
        return counted(n, "target")
    if len(design.targets) == 1:
        return counted(n, "setting")
    return counted(n, "combination of target and setting", "combinations of target and setting")


def setting_name(setting: str) -> str:
    """A data setting in words: ``k=20``, ``all data``."""
    return "all data" if setting == "all" else setting
