"""The exceptions that a user's mistake may raise. Each says what is wrong, where, and what would be right.

A `UserError` carries every problem, not only the first one, and the exit code that the command line returns for it: 2
for a mistake in usage or configuration, 3 for something that this machine lacks (model, data, disk, memory, versions).
"""

from __future__ import annotations

import bisect
import difflib
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "ConfigError",
    "DataError",
    "PreflightError",
    "Problem",
    "UserError",
    "did_you_mean",
    "printable",
    "quoted",
    "unknown_name",
]

_LONG = 200  # characters; a longer name is not compared with others
_NEIGHBOURS = 200  # how many names a mistyped one is compared with
_MOST = 2000  # characters of one problem
_MOST_IN_ALL = 16_000  # characters of all of them: some screens full, which nobody reads further


def printable(text: str, medium: Literal["terminal", "file"] = "terminal") -> str:
    """A text in which every character that its medium must not hold is written as an escape.

    A terminal obeys control characters, and a file name may hold halves of characters. For a terminal line breaks are
    escaped too, so that what looks like a line of ours is one. A file of text keeps line breaks, tabs and characters
    that only direct the layout (a joiner of letters, for instance).
    """
    if text.isprintable():
        return text
    if medium == "terminal":
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\r\n" else c for c in text)


def quoted(value: object, most: int = 80, spell: Callable[[object], str] = repr) -> str:
    """A value as a message shows it: what `spell` makes of it, cut at `most` characters, so that it stays one line."""
    try:
        text = spell(value[: most + 1] if isinstance(value, str) else value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a huge number"
    if len(text) <= most:
        return text
    end = text[-1] if text[-1] in "'\"" else ""  # a text that is cut still ends where its quotation mark does
    return f"{text[: most - 4 - len(end)]} ...{end}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. It prints as ``file:line: path: message``, with the parts that are known."""

    message: str
    path: str = ""
    file: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = self.file + (f":{self.line}" if self.file and self.line is not None else "")
        text = printable(": ".join(part for part in (place, self.path, self.message) if part))
        n_cut = len(text) - _MOST
        return text if n_cut <= 40 else f"{text[:_MOST]} ... ({n_cut} characters more)"


class UserError(Exception):
    """One or more problems that the user can mend. The command line returns `exit_code` for it."""

    exit_code = 2

    def __init__(self, problems: Problem | str | Iterable[Problem | str]) -> None:
        if isinstance(problems, str | Problem):
            problems = [problems]
        self.problems: tuple[Problem, ...] = tuple(Problem(p) if isinstance(p, str) else p for p in problems)
        super().__init__("\n".join(self.lines))

    @property
    def lines(self) -> list[str]:
        """The problems as they are printed, one a line. The last line counts those for which there is no room."""
        printed: list[str] = []
        room = _MOST_IN_ALL
        for n, problem in enumerate(self.problems):
            line = str(problem)
            room -= len(line) + 1
            if room < 0 and printed:
                more = len(self.problems) - n
                return [*printed, f"and {more} more problem{'s' if more > 1 else ''}, told once these are mended"]
            printed.append(line)
        return printed

    def __reduce__(self) -> tuple[type[UserError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class ConfigError(UserError):
    """A study file, a command-line option or a setting is wrong (exit code 2)."""


class DataError(UserError):
    """A data set cannot serve the study as it is: empty split, unseen label, k too large (exit code 2)."""


class PreflightError(UserError):
    """Something the study needs is missing on this machine: model, data, disk, memory, versions (exit code 3)."""

    exit_code = 3


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """`` — did you mean 'x'?`` when a known name is close to `name`, else an empty string."""
    text = name if isinstance(name, str) else quoted(name)
    if len(text) > _LONG:
        return ""
    close = difflib.get_close_matches(text, _near(text, [k for k in known if len(k) <= _LONG]), n=1, cutoff=0.6)
    return f" — did you mean {close[0]!r}?" if close else ""


def _near(text: str, known: list[str]) -> list[str]:
    """The names to compare `text` with: all of them, or of many those that stand near it in alphabetical order.

    The order is taken from the first letter on, and again from the last letter backwards.

    A comparison takes some twenty microseconds; a thousand mistakes among thousands of names would take minutes.
    """
    if len(known) <= 2 * _NEIGHBOURS:
        return known
    names: dict[str, None] = {}
    for key in (str.casefold, lambda name: name.casefold()[::-1]):
        ordered = sorted(known, key=key)
        position = bisect.bisect_left(ordered, key(text), key=key)
        names |= dict.fromkeys(ordered[max(0, position - _NEIGHBOURS // 2) : position + _NEIGHBOURS // 2])
    return list(names)


def unknown_name(what: str, name: object, known: Sequence[str]) -> str:
    """The message for a name that is not known: the value, the nearest name, and all that exist."""
    names = ", ".join(sorted(known)) or "none"
    return f"unknown {what} {quoted(name)}{did_you_mean(name, known) or '.'} Known: {names}."
