"""Decides whether labels are classes or numbers, in one way for every format, and finds labels that look like no class.

The values decide, not their types: a text format holds strings only, and a typed format may hold numbers as strings, or
whole numbers as floating-point ones (what a data frame leaves after a missing value). Labels that are all numbers, but
not all of them whole, make a regression task. Whole numbers are classes, whether written ``1``, ``1.0`` or ``1e0``.
Numbers in a spelling that could mean something else (``3,5``, ``1,000``, ``50%``) are refused until the user says what
they are.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from raystudy.tasks import looks_like_no_class
from raystudy.tasks._rows import in_words

__all__ = [
    "NUMERAL",
    "WHOLE",
    "Labels",
    "RowError",
    "labels_of",
    "several",
    "suspects",
    "unclear_numbers",
    "whole_text",
]

NUMERAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
WHOLE = re.compile(r"([+-]?\d+)\.?0*", re.ASCII)
# numbers, but not as a program writes them: a comma before the fraction; thousands in groups; money; per cent
COMMA = re.compile(r"[+-]?\d*,\d+", re.ASCII)
GROUPS = re.compile(r"[+-]?\d{1,3}([,._'\u2019 \u00a0\u202f]\d{3})+([.,]\d+)?", re.ASCII)
MONEY = re.compile(r"([$\u20ac\u00a3\u00a5]\s*[+-]?\d[\d.,]*|[+-]?\d[\d.,]*\s*[$\u20ac\u00a3\u00a5])", re.ASCII)
PER_CENT = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)\s*%", re.ASCII)
# what stands where a number is lost, in lower case
LOST = frozenset(("nan", "na", "n/a", "#n/a", "<na>", "null", "none", "inf", "+inf", "-inf", "infinity", "-infinity"))

Sort = Literal["whole", "fraction", "unclear", "lost", "boolean", "word", "wrong"]


class RowError(Exception):
    """What is wrong with a row: the rule and the value; the caller knows the place."""


def whole_text(text: str, what: str) -> str:
    """`text`, if it is Unicode.

    Raises:
        RowError: it holds half a character.
    """
    try:
        text.encode()
    except UnicodeEncodeError as e:
        raise RowError(f"{what} must be Unicode text, but holds half a character: {in_words(text[e.start])}") from None
    return text


def several(things: Sequence[str], most: int = 12) -> str:
    """The things as a list in a sentence: at most `most` of them, then how many more there are."""
    return ", ".join(things[:most]) + (f" and {len(things) - most} more" if len(things) > most else "")


def _sort(value: object) -> Sort:
    """Which sort of label one value could be."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "whole"
    if isinstance(value, float):
        return "lost" if not math.isfinite(value) else "whole" if value.is_integer() else "fraction"
    if not isinstance(value, str) or not (text := value.strip()):
        return "wrong"
    if NUMERAL.fullmatch(text):
        return "whole" if float(text) % 1 == 0 else "fraction"
    if text.casefold() in LOST:
        return "lost"
    if text.casefold() in ("true", "false"):
        return "boolean"
    if any(p.fullmatch(text) for p in (COMMA, GROUPS, MONEY, PER_CENT)):
        return "unclear"
    # the minus of Unicode, digits of another script: whole numbers are classes in any, fractions may be numbers
    western = text if text.isascii() else _in_western_digits(text)
    return "unclear" if NUMERAL.fullmatch(western) and float(western) % 1 else "word"


_SIGNS = {0x2212: "-", 0x066B: ".", 0x066C: None, 0xFF0E: ".", 0xFF0D: "-", 0xFF0B: "+"}


def _in_western_digits(text: str) -> str:
    """A number of any script in the digits 0 to 9."""
    return "".join(str(unicodedata.decimal(c, c)) for c in text.translate(_SIGNS))


@dataclass(frozen=True)
class Labels:
    """How the labels of a data set are read. The training split decides it for every split.

    Attributes:
        numbers: whether labels are numbers, so that this is a regression task.
        strings: whether numbers may be strings, because those of train are, or the user says that they are numbers.
        comma: whether a comma stands before the fraction.
        why: how it is known that labels are numbers.
        cut: whether whole numbers lose their fraction (``1.0`` is the class ``1``, as where integers are typed).
        lossless: whether all labels are whole numbers, so that ``nan`` among them is a lost one.
        forced: whether labels are names of classes whatever they look like, floating-point numbers among them.
        booleans: whether all labels are true or false, in any letter case.
        declared: the label set, as the user or the card spells it.
        notes: what was guessed, for the person who reads the plan.
    """

    numbers: bool = False
    strings: bool = False
    comma: bool = False
    why: str = "as those of train are"
    cut: bool = False
    lossless: bool = False
    forced: bool = False
    booleans: bool = False
    declared: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def read(self, value: object, typed: bool) -> str | float:
        """One label.

        Raises:
            RowError: it is not what labels are.
        """
        if self.numbers:
            return self._number(value, typed)
        if isinstance(value, bool) and (self.booleans or self.declared):
            spelt = [d for d in self.declared if d.casefold() == str(value).casefold()]
            return spelt[0] if spelt else str(value).lower()
        if isinstance(value, float) and math.isfinite(value) and (self.forced or self.cut):
            if repr(value) in self.declared:
                value = repr(value)
            elif value.is_integer() and (self.cut or self.declared):
                value = int(value)
            elif self.forced:
                value = repr(value)
        if isinstance(value, bool) or not isinstance(value, str | int):
            rule = "label must be a string or a whole number (a class), or a floating-point number in every split"
            raise RowError(f"{rule}, but is {in_words(value)}")
        try:
            text = str(value).strip()
        except ValueError:  # Python writes no integer of more than 4300 digits
            raise RowError(f"label must be a class, but is {in_words(value)}") from None
        if not text:
            raise RowError(f"label must not be empty, but is {in_words(value)}")
        if self.lossless and text.casefold() in LOST:
            cure = "`kind: classification` reads it as the name of a class"
            raise RowError(
                f"label must be a whole number as all others are, but is {in_words(text)}: a lost one? ({cure})"
            )
        if text in self.declared:
            return whole_text(text, "label")
        if self.booleans and text.casefold() in ("true", "false"):
            return text.lower()
        return whole_text(_without_fraction(text, exponents=self.lossless) if self.cut else text, "label")

    def _number(self, value: object, typed: bool) -> float:
        text = value.strip() if isinstance(value, str) and (self.strings or not typed) else None
        if text is not None and self.comma and COMMA.fullmatch(text):
            text = text.replace(",", ".")
        spelt = text is not None and NUMERAL.fullmatch(text)
        if not spelt and (isinstance(value, bool) or not isinstance(value, int | float)):
            unclear = isinstance(value, str) and _sort(value) == "unclear"
            cure = " (write digits and a point, as 1000 or 0.5)" if unclear else ""
            raise RowError(f"label must be a number ({self.why}), but is {in_words(value)}{cure}")
        try:
            number = float(text if spelt else value)  # type: ignore[arg-type]
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise RowError(f"label must be a finite number, but is {in_words(value)}")
        return number


def _without_fraction(text: str, *, exponents: bool) -> str:
    """A whole number as integers are written; zeros before it stay, as ``01`` may be another class than ``1``."""
    if whole := WHOLE.fullmatch(text):
        return whole[1].removeprefix("-") if whole[1].strip("-0") == "" else whole[1]
    if exponents and NUMERAL.fullmatch(text) and abs(number := float(text)) < 1e15 and number % 1 == 0:
        return str(int(number))
    return text


def labels_of(
    values: Sequence[Any],
    *,
    kind: Literal["regression", "classification"] | None,
    declared: Sequence[str] = (),
    described: bool = False,
) -> Labels:
    """How the labels of a data set are read, from those of its training split.

    Args:
        kind: what the user says of them.
        declared: the label set, where it is known; its labels are classes whatever they look like.
        described: whether the user says in words what the labels stand for; they are classes then as well.
    """
    sorts = Counter(map(_sort, values))
    strings = any(isinstance(v, str) for v in values)
    if kind == "regression":
        comma = _decimal_commas(values)
        notes = (
            (f"labels have a comma before the fraction: {in_words(comma)} is {comma.replace(',', '.')}",)
            if comma
            else ()
        )
        return Labels(numbers=True, strings=True, comma=bool(comma), why="kind: regression", notes=notes)
    numbers, words = sorts["whole"] + sorts["fraction"], sorts["word"] + sorts["boolean"] + sorts["unclear"]
    all_whole = sorts["whole"] > 0 and not sorts["fraction"] and not words
    booleans = sorts["boolean"] > 0 and not (numbers or sorts["word"] or sorts["unclear"])
    if declared or described or kind == "classification":
        typed = booleans and all(isinstance(v, bool) for v in values)
        plain = all(WHOLE.fullmatch(v.strip()) for v in values if isinstance(v, str) and _sort(v) == "whole")
        return Labels(forced=True, cut=all_whole and plain, booleans=typed, declared=frozenset(declared))
    if booleans:
        case = {v.strip() for v in values if isinstance(v, str) and v.strip()} - {"true", "false"}
        notes = (f"labels are true and false in other letters ({several(sorted(case))}); read as true and false",)
        return Labels(booleans=True, notes=notes if case else ())
    if sorts["fraction"] and numbers > words:
        most = "as those of train are" if not words else "as most of train are; `kind: classification` reads names"
        why = "labels are numbers, not all of them whole: regression (`kind: classification` makes them classes)"
        grouped = [v.strip() for v in values if isinstance(v, str) and v.strip()]
        if grouped and all(_THREE_DECIMALS.fullmatch(v) for v in grouped):
            point = f"labels have a point and three digits: {in_words(grouped[0])} was read as {float(grouped[0]):g}, "
            return Labels(numbers=True, strings=strings, why=most, notes=(why, f"{point}the point not as thousands"))
        return Labels(numbers=True, strings=strings, why=most, notes=(why,))
    if all_whole:
        with_point = [
            v for v in values if isinstance(v, float) or (isinstance(v, str) and _has_point_or_exponent(v.strip()))
        ]
        count = f"{len(with_point)} of {len(values)} labels of train are whole numbers with a point or an exponent, as"
        notes = (
            (f"{count} {in_words(with_point[0])}; they were read as {in_words(_bare_number(with_point[0]))}",)
            if with_point
            else ()
        )
        return Labels(cut=True, lossless=True, notes=notes)
    notes = ()
    if numbers and words:
        notes = (f"labels are numbers in {numbers} and words in {words} examples of train: all are names of classes",)
    return Labels(forced=numbers > 0 and words > 0, notes=notes)


_THREE_DECIMALS = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}", re.ASCII)  # a fraction of three digits, or a German thousand


def _has_point_or_exponent(text: str) -> bool:
    return NUMERAL.fullmatch(text) is not None and re.fullmatch(r"[+-]?\d+", text, re.ASCII) is None


def _bare_number(value: object) -> str:
    text = repr(value) if isinstance(value, float) else str(value).strip()
    return _without_fraction(text, exponents=True)


def _decimal_commas(values: Sequence[Any]) -> str:
    """A label whose comma can only stand before a fraction, if that is how these numbers are written; else nothing."""
    words = [v.strip() for v in values if isinstance(v, str)]
    commas = [w for w in words if COMMA.fullmatch(w)]
    if any("." in w for w in words):
        return ""
    return next((w for w in commas if not GROUPS.fullmatch(w) or re.match(r"[+-]?0,", w)), "")


def unclear_numbers(values: Sequence[Any]) -> tuple[int, str] | None:
    """(which value, what is wrong) of labels that are all numbers, but some in a spelling that may mean two things."""
    sorts = [_sort(v) for v in values]
    if "unclear" not in sorts or {"word", "boolean"} & set(sorts):
        return None
    at = sorts.index("unclear")
    text = str(values[at]).strip()
    many = f"{sorts.count('unclear')} of {len(values)} labels of train, the first {in_words(text)},"
    names = "`kind: classification` reads them as names of classes"
    if _decimal_commas(values):
        cure = f"`kind: regression` reads the comma as the point of a number, {names}"
        return at, f"label must be a number with a point or the name of a class, but {many} could be either: {cure}"
    cure = f"write digits and a point, as 1000 or 0.5, or say what they are: {names}"
    return at, f"label must be a number with a point or the name of a class, but {many} could be either: {cure}"


# ---------------------------------------------------------------------------------------------------------------------
# labels that look like no class


def suspects(
    counts: Mapping[str, Mapping[str, int]], labels: Sequence[str], names: Sequence[str], *, tags: bool = False
) -> Iterator[str]:
    """Notes on labels that look like no class, and on spellings that look like one class.

    Args:
        counts: split -> label -> how often.
        labels: the label set.
        names: of the columns, which a file holds as labels if its first line is repeated.
        tags: labels of words, among which marks of punctuation are common.
    """

    def with_counts(label: str) -> str:
        places = ", ".join(f"{counts[s][label]} in {s}" for s in counts if counts[s].get(label))
        return f"{in_words(label)} ({places})" if places else in_words(label)

    signs = set(labels) <= {"-1", "1", "+1"} or "+" in labels
    columns = {n.strip().casefold() for n in names}
    punctuation = (
        [] if tags else [c for c in labels if c not in "+-" and not any(map(str.isalnum, c)) and _punctuation(c)]
    )
    punctuation = punctuation if 2 * len(punctuation) < len(labels) else []  # one to five asterisks are classes

    def none_at_all(c: str) -> bool:
        return c in punctuation or (looks_like_no_class(c) and not (signs and c in ("-1", "-")))

    if no_classes := [c for c in labels if none_at_all(c)]:
        yield f"LOOKS LIKE NO CLASS: {several(list(map(with_counts, no_classes)))}"
    if headers := [c for c in labels if c.casefold() in columns]:
        yield f"LOOKS LIKE NO CLASS, but like the name of its column: {several(list(map(with_counts, headers)))}"
    case, spelling, equal = _similar_labels(labels)
    if case:
        yield f"labels that differ only in case: {several(list(map(in_words, case)))}"
    if spelling:
        alike = several(list(map(with_counts, spelling)))
        yield f"labels that look the same but are written with other characters or blanks: {alike}"
    if equal:
        yield f"labels that are the same number: {several(list(map(with_counts, equal)))}"


def _punctuation(label: str) -> bool:
    """Whether a label has nothing but marks: no letter, digit or picture."""
    return all(unicodedata.category(c)[0] in "PZC" or c in "*+<=>|~^`" for c in label)


# letters of other alphabets that look like Latin ones, and marks that are taken for one another
_LOOKALIKES = str.maketrans(
    {
        **dict(zip("\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425", "ABEKMHOPCTX", strict=True)),
        **dict(zip("\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458", "aeopcyxisj", strict=True)),
        **dict(
            zip(
                "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a7",
                "ABEZHIKMNOPTX",
                strict=True,
            )
        ),
        **dict.fromkeys("\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb\u0307", ""),
    }
)


_WITHIN = re.compile("(?<=[^\\W_])[_\\s\u2010-\u2015-]+(?=[^\\W_])")  # between letters or digits; -1 is not 1


def _similar_labels(labels: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Labels that differ only in letter case; only in how Unicode writes them; only in how a number is written."""

    def seen(label: str) -> str:
        """As a reader sees it: compatible characters are one, and what has no width is not there."""
        text = unicodedata.normalize("NFKC", label)
        if any(map(str.isalnum, text)):
            text = _WITHIN.sub(" ", unicodedata.normalize("NFKC", text.casefold()).translate(_LOOKALIKES))
        return " ".join("".join(c for c in text if unicodedata.category(c) != "Cf").split())

    def number(label: str) -> Decimal | str:
        return Decimal(label) if NUMERAL.fullmatch(label) else label

    case, both = Counter(c.casefold() for c in labels), Counter(seen(c).casefold() for c in labels)
    value = Counter(map(number, labels))
    by_case = sorted(c for c in labels if case[c.casefold()] > 1)
    by_look = sorted(c for c in labels if both[seen(c).casefold()] > max(1, case[c.casefold()]))
    by_value = sorted(c for c in labels if value[number(c)] > 1)
    return by_case, by_look, by_value
