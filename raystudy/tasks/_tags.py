"""Finds the scheme by which the tags of a data set mark spans, and gives its tags one spelling.

A span is a run of words with one type, such as a name. A tag says where in a span its word stands, and of which type
the span is: ``B-x`` begins a span of type x, ``I-x`` continues it. IOB2 begins every span with B, IOB1 only one that
follows another of its type. Other schemes mark the end of a span too: IOBES has E for its last word and S for a span of
one word, BILOU calls them L and U, BMES and BMEWO call a word in the middle M. `raystudy.metrics.spans` reads them all
where they are spelt ``B-x``; other spellings (``b-x``, ``B_x``, ``B+x``, ``x-B``) become that one when data are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raystudy.errors import printable
from raystudy.tasks._labels import several
from raystudy.tasks._rows import in_words

__all__ = ["NoScheme", "Scheme", "broken", "scheme_of"]

LETTERS = {"IOB": "BI", "IOBES": "BIES", "BILOU": "BILU", "BMES": "BMES", "BMEWO": "BMEW"}
BEGIN, INSIDE, END, WHOLE = "B", "IM", "EL", "SUW"
PARTS = "BIMELSUW"
BETWEEN = r"(?:[^\w\s]|_)"  # between letter and type: a hyphen, an underscore, a dash of Unicode


@dataclass(frozen=True)
class Scheme:
    """One scheme of tags, and how a data set spells it.

    Attributes:
        name: as papers call it.
        suffix: whether the type stands first (``x-B``).
        lower: whether the letters are small (``b-x``).
    """

    name: str
    suffix: bool = False
    lower: bool = False

    @property
    def ends(self) -> bool:
        """Whether the last word of a span is marked."""
        return self.name != "IOB"

    def spelt(self, tag: str) -> str:
        """The tag as ``B-x``, ``B`` or ``O``; one that the scheme does not have stays as it is."""
        if (part := _part(tag, self.suffix, self.lower)) is None:
            return tag
        letter, kind = part
        return f"{letter}-{kind}" if kind else letter


@dataclass(frozen=True)
class NoScheme:
    """Why a tag set marks no spans. `alike` says whether some of its tags look as if they did."""

    why: str
    alike: bool


def _part(tag: str, suffix: bool, lower: bool) -> tuple[str, str] | None:
    """(letter, type) of a tag in this spelling, the letter in upper case; O for a word outside all spans."""
    letters = f"[{PARTS.lower() if lower else PARTS}]"
    if tag == "O" or (lower and tag == "o"):
        return "O", ""
    if re.fullmatch(letters, tag):
        return tag.upper(), ""
    if match := re.fullmatch(rf"(.+){BETWEEN}({letters})" if suffix else rf"({letters}){BETWEEN}(.+)", tag, re.DOTALL):
        letter, kind = match.groups()[::-1] if suffix else match.groups()
        return letter.upper(), kind
    return None


def scheme_of(tags: Iterable[str]) -> Scheme | NoScheme:
    """The scheme of a tag set, or why it has none."""
    tags = sorted(set(tags))
    unexplained: list[str] = tags  # what the spelling that explains most tags leaves
    for suffix, lower in ((False, False), (False, True), (True, False), (True, True)):
        parts = [_part(t, suffix, lower) for t in tags]
        unknown = [t for t, p in zip(tags, parts, strict=True) if p is None]
        if len(unknown) < len(unexplained) and not lower:  # of two letter cases, the usual one says what is odd
            unexplained = unknown
        if not unknown:
            return _scheme_named([p for p in parts if p is not None], suffix, lower)
    others = {t for t in tags if t not in unexplained} - {"O", "o"}
    if not any(len(t) > 1 for t in others):  # single letters are tags of many kinds
        complaint = f"tags such as {in_words(unexplained[0])} do not say where a span begins and goes on"
        return NoScheme(f"{complaint} ({_known_schemes()})", alike=False)
    is_ = "is" if len(unexplained) == 1 else "are"
    similar = several(list(map(printable, sorted(others))), 3)
    complaint = f"{several(list(map(in_words, unexplained)), 6)} {is_} no tag of the scheme that {similar} is of"
    return NoScheme(f"{complaint} ({_known_schemes()})", alike=True)


def _scheme_named(parts: Sequence[tuple[str, str]], suffix: bool, lower: bool) -> Scheme | NoScheme:
    """The scheme of these letters and types."""
    letters_used = {letter for letter, _ in parts} - {"O"}
    bare = {letter for letter, kind in parts if not kind} - {"O"}
    name = next((n for n, letters in LETTERS.items() if letters_used <= set(letters)), "")
    if not name:
        complaint = f"they mix schemes: no scheme has all the letters {', '.join(sorted(letters_used))}"
        return NoScheme(f"{complaint} ({_known_schemes()})", alike=True)
    # a lone S-x or U-x is a span of one word; E, L, M or W without any beginning is no scheme's
    if (letters_used and not letters_used & set("BI") and not letters_used <= set("SU")) or (
        bare - set("BI") and "B" not in bare
    ):
        return NoScheme(f"no tag begins a span ({_known_schemes()})", alike=False)
    return Scheme(name, suffix, lower)


def _known_schemes() -> str:
    return "known are " + ", ".join(LETTERS)


def broken(tags: Sequence[str], scheme: Scheme) -> int:
    """How many tags of a sentence the scheme does not allow where they stand.

    Of IOB, an I that continues nothing. Where ends are marked, also a span that goes on into nothing.
    """
    parts = [_part(t, False, False) or ("O", "") for t in tags]
    wrong = 0
    for i, (letter, kind) in enumerate(parts):
        before = parts[i - 1] if i else ("O", "")
        after = parts[i + 1] if i + 1 < len(parts) else ("O", "")
        goes_on = before[0] in BEGIN + INSIDE and before[1] == kind
        continued = after[0] in INSIDE + END and after[1] == kind
        lost_beginning = letter in INSIDE + END and not goes_on
        lost_end = scheme.ends and letter in BEGIN + INSIDE and not continued
        wrong += lost_beginning or lost_end
    return wrong
