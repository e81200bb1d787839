"""How tags mark spans: the scheme, told from the tag set, and one spelling of its tags.

A tag says where in a span its word stands, and of which type the span is: ``B-x`` begins a span of type x, ``I-x``
goes on. IOB2 begins every span with B, IOB1 only one that follows another of its type. Others mark the end of a span
too: IOBES has E for its last word and S for a span of one word, BILOU calls them L and U, BMES and BMEWO call a word
in the middle M. `raystudy.metrics.spans` reads them all, where they are spelt ``B-x``; other spellings (``b-x``,
``B_x``, ``B+x``, ``x-B``) are turned into that one when the data are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raystudy.errors import printable
from raystudy.tasks._labels import several
from raystudy.tasks._rows import short

__all__ = ["NoScheme", "Scheme", "broken", "scheme_of"]

LETTERS = {"IOB": "BI", "IOBES": "BIES", "BILOU": "BILU", "BMES": "BMES", "BMEWO": "BMEW"}
BEGIN, INSIDE, END, WHOLE = "B", "IM", "EL", "SUW"
PARTS = "BIMELSUW"
BETWEEN = r"(?:[^\w\s]|_)"  # between letter and type: a hyphen, an underscore, a dash of Unicode


@dataclass(frozen=True)
class Scheme:
    """One scheme and the spelling in which a data set has it.

    Attributes:
        name: as papers call it.
        suffix: the type stands first (``x-B``).
        lower: the letters are small (``b-x``).
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
    """Why a tag set marks no spans; `alike` says that some of its tags look as if they did."""

    why: str
    alike: bool


def _part(tag: str, suffix: bool, lower: bool) -> tuple[str, str] | None:
    """(letter, type) of a tag in this spelling, the letter in upper case; O for a word outside all spans."""
    letters = f"[{PARTS.lower() if lower else PARTS}]"
    if tag == "O" or (lower and tag == "o"):
        return "O", ""
    if re.fullmatch(letters, tag):
        return tag.upper(), ""
    if found := re.fullmatch(rf"(.+){BETWEEN}({letters})" if suffix else rf"({letters}){BETWEEN}(.+)", tag, re.DOTALL):
        letter, kind = found.groups()[::-1] if suffix else found.groups()
        return letter.upper(), kind
    return None


def scheme_of(tags: Iterable[str]) -> Scheme | NoScheme:
    """The scheme of a tag set, or why it has none."""
    tags = sorted(set(tags))
    fewest: list[str] = tags  # what the spelling that explains most tags leaves
    for suffix, lower in ((False, False), (False, True), (True, False), (True, True)):
        parts = [_part(t, suffix, lower) for t in tags]
        odd = [t for t, p in zip(tags, parts, strict=True) if p is None]
        if len(odd) < len(fewest) and not lower:  # of two letter cases, the usual one says what is odd
            fewest = odd
        if not odd:
            return _named([p for p in parts if p is not None], suffix, lower)
    others = {t for t in tags if t not in fewest} - {"O", "o"}
    if not any(len(t) > 1 for t in others):  # single letters are tags of many kinds
        said = f"tags such as {short(fewest[0])} do not say where a span begins and goes on"
        return NoScheme(f"{said} ({_known()})", alike=False)
    is_ = "is" if len(fewest) == 1 else "are"
    like = several(list(map(printable, sorted(others))), 3)
    said = f"{several(list(map(short, fewest)), 6)} {is_} no tag of the scheme that {like} is of"
    return NoScheme(f"{said} ({_known()})", alike=True)


def _named(parts: Sequence[tuple[str, str]], suffix: bool, lower: bool) -> Scheme | NoScheme:
    """The scheme of these letters and types."""
    found = {letter for letter, _ in parts} - {"O"}
    bare = {letter for letter, kind in parts if not kind} - {"O"}
    name = next((n for n, letters in LETTERS.items() if found <= set(letters)), "")
    if not name:
        said = f"they mix schemes: no scheme has all the letters {', '.join(sorted(found))}"
        return NoScheme(f"{said} ({_known()})", alike=True)
    # a lone S-x or U-x is a span of one word; E, L, M or W without any beginning is no scheme's
    if (found and not found & set("BI") and not found <= set("SU")) or (bare - set("BI") and "B" not in bare):
        return NoScheme(f"no tag begins a span ({_known()})", alike=False)
    return Scheme(name, suffix, lower)


def _known() -> str:
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
