"""How messages, tables and sentences spell numbers, lists and values. Loads nothing: every command may use it."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["counted", "lasting", "listed", "megabytes", "spelt"]


def counted(n: int, noun: str, nouns: str = "") -> str:
    """``1 cell``, ``2 cells``, ``1,750 cells``."""
    return f"{n:,} {noun if n == 1 else nouns or noun + 's'}"


def lasting(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.5 h``, ``2.1 days``."""
    for unit, length, until in (("s", 1, 100), ("min", 60, 7200), ("h", 3600, 48 * 3600)):
        if seconds < until:
            return f"{seconds / length:.1f} {unit}" if unit == "h" else f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86400:.1f} days"


def listed(items: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *head, last = list(items) or [""]
    return f"{', '.join(head)} and {last}" if head else last


def megabytes(size: float) -> str:
    """A size as people read it: ``812 kB``, ``3.4 MB``, ``12 GB``."""
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.5 or unit == "GB":
            break
    return f"{size:.1f} {unit}" if size < 9.95 else f"{size:.0f} {unit}"


def spelt(value: object, digits: int = 17) -> str:
    """A setting's value as a study file spells it, with at most `digits` digits: ``5e-5``, ``0.1``, ``true``."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, float):
        return str(value)
    text = repr(value) if digits >= 17 else f"{value:.{digits}g}"
    return re.sub(r"e([+-])0+", r"e\1", text.removesuffix(".0")).replace("e+", "e")
