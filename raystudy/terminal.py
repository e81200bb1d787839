"""Text and tables as a terminal of any width shows them: lines fold at word ends, names and numbers stay whole.

Where the output goes to a file or a pipe nothing is folded or left out: a line is a line, however long, for programs
that search it.
"""

from __future__ import annotations

import io
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from raystudy.errors import printable

if TYPE_CHECKING:
    from raystudy.analysis.numbers import Sentence
    from raystudy.analysis.report import Opening
    from raystudy.analysis.table import Column as DataColumn
    from raystudy.analysis.table import Table as DataTable

__all__ = [
    "BOLD",
    "Column",
    "complain",
    "console",
    "drawn",
    "fitted",
    "folded",
    "grid",
    "line_width",
    "say",
    "say_command",
    "show",
    "show_opening",
    "show_table",
    "show_verdict",
]

BOLD = "**"  # around what is set off in a table
_GAP = 2  # spaces between two columns
_UNLIMITED = 1_000_000


def console(file: IO[str] | None = None, *, err: bool = False) -> Console:
    """A console that prints text as it is: no markup, no guessed colours. `file` = where to, else standard output."""
    return Console(file=file, stderr=err, highlight=False, markup=False, emoji=False)


def line_width(to: Console) -> int:
    """Columns that a line may fill."""
    return to.width if to.is_terminal else _UNLIMITED


# ---------------------------------------------------------------------------------------------------------------------
# text


def folded(text: str, width: int, hang: int = 4) -> list[str]:
    """The lines of `text` in at most `width` columns, folded between words.

    A line that continues another is indented by `hang` more. A word that is longer than a line (a path) is left whole
    on a line of its own: the terminal wraps it, and it can still be copied in one piece.
    """
    out: list[str] = []
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip(" "))
        hung = " " * min(indent + hang, width // 2)
        current, used, empty = "", 0, True
        for gap, word in re.findall(r"( *)([^ ]+)", line):
            size = cell_len(word)
            if not empty and used + len(gap) + size > width:
                out.append(current)
                current, used = hung + word, len(hung) + size
            else:
                current, used = current + gap + word, used + len(gap) + size
            empty = False
        out.append(current)
    return out


def _harmless(text: str) -> str:
    """A text whose labels, names and files may hold anything: what a terminal would obey is written out."""
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))


def say(to: Console, text: str, *, hang: int = 4, bold: int = 0) -> None:
    """Print `text`, folded at word ends on a terminal; the first `bold` characters, without spaces, are set off."""
    text = _harmless(text)
    shown = Text("\n".join(folded(text, to.width, hang) if to.is_terminal else [text]))
    if bold:
        letters = [i for i, c in enumerate(shown.plain) if not c.isspace()]
        shown.stylize("bold", 0, letters[min(bold, len(letters)) - 1] + 1)
    to.print(shown, soft_wrap=True, highlight=False)


def say_command(to: Console, label: str, command: Sequence[str]) -> None:
    """Print a command so that it can be copied: below its label, and folded as a shell continues lines."""
    text = " ".join(shlex.quote(word).replace(" ", "\ue000") for word in command)  # nothing is folded in quotes
    if to.is_terminal:
        text = f"{label}:\n" + " \\\n".join(folded(f"    {text}", to.width - 2))
    else:
        text = f"{label}: {text}"
    to.print(Text(text.replace("\ue000", " ")), soft_wrap=True, highlight=False)


def complain(text: str) -> None:
    """A message on standard error, folded at word ends where that is a terminal."""
    sys.stdout.flush()
    say(console(err=True), text)


# ---------------------------------------------------------------------------------------------------------------------
# tables


@dataclass(frozen=True)
class Column:
    """A column of a `grid`.

    Attributes:
        whole: names and numbers, which are never folded.
        least: columns below which running text becomes hard to read (it has no more if it needs no more).
        spare: 0 = always shown; else the column is left out where the terminal is narrow, the highest number first.
    """

    title: str = ""
    right: bool = False
    whole: bool = False
    least: int = 0
    spare: int = 0


def _lines(text: str) -> list[str]:
    return text.split("\n")


def _longest(text: str) -> int:
    return max((cell_len(word) for word in text.split()), default=0)


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> dict[int, int] | None:
    """Column -> its width, for the columns that a table of `width` shows; None where it cannot show those it must.

    Every column is at least as wide as its longest word (`Column.whole`: its longest line) and no wider than its
    longest line; what is left over goes to those that lack most.
    """
    most, least = [], []
    for i, c in enumerate(columns):
        texts = [row[i] for row in rows]
        lines = [cell_len(line) for text in (c.title, *texts) for line in _lines(text)]
        words = [_longest(c.title), *((max(map(cell_len, _lines(t))) if c.whole else _longest(t)) for t in texts)]
        most.append(max(lines, default=0))
        least.append(max(words) if c.whole else min(most[-1], max(*words, c.least)))
    kept = list(range(len(columns)))
    while (spare := width - sum(least[i] for i in kept) - _GAP * (len(kept) - 1)) < 0:
        optional = [i for i in kept if columns[i].spare]
        if not optional:
            return None
        kept.remove(max(optional, key=lambda i: columns[i].spare))
    lack = {i: most[i] - least[i] for i in kept}
    total = sum(lack.values())
    share = 1.0 if total <= spare else spare / total
    return {i: least[i] + int(share * lack[i]) for i in kept}


def drawn(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    width: int,
    *,
    breaks: Iterable[int] = (),
    bold: bool = True,
) -> tuple[RenderableType, list[str]]:
    """A table in `width` columns, and the titles of those columns that were left out for want of room.

    Where not even names and numbers fit side by side, each row is a few lines of its own. With `bold`, a cell that
    begins with the mark `BOLD` is set off, without the mark.

    Args:
        breaks: rows above which a line is left empty.
    """
    rows = [[_harmless(cell) for cell in row] for row in rows]
    bare = [[cell.replace(BOLD, "") if bold else cell for cell in row] for row in rows]
    widths = fitted(columns, bare, width)
    if widths is None:
        return _stacked(columns, bare, width), [c.title for c in columns if c.spare]
    rules = set(breaks)
    made = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, show_header=any(c.title for c in columns))
    for i, size in widths.items():
        side: Literal["left", "right"] = "right" if columns[i].right else "left"
        made.add_column(columns[i].title, justify=side, width=size, overflow="fold")
    for number, (marked, plain) in enumerate(zip(rows, bare, strict=True)):
        if number in rules:
            made.add_row()
        made.add_row(*(Text(plain[i], "bold" if bold and marked[i].startswith(BOLD) else "") for i in widths))
    return made, [c.title for i, c in enumerate(columns) if i not in widths]


def _stacked(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> Text:
    lines: list[str] = []
    for row in rows:
        lines += ["", *folded(row[0].replace("\n", " "), width)]
        for c, cell in zip(columns[1:], row[1:], strict=True):
            if cell and not c.spare:
                text = cell.replace("\n", " ")
                lines += folded(f"    {c.title}: {text}" if c.title else f"    {text}", width)
    return Text("\n".join(lines[1:]))


def show(to: Console, what: RenderableType) -> None:
    """Print what `drawn` made; elsewhere than on a terminal as wide as it is, without spaces at the ends of lines."""
    if to.is_terminal:
        to.print(what)
        return
    text = io.StringIO()
    Console(file=text, width=_UNLIMITED, color_system=None).print(what)
    say(to, "\n".join(line.rstrip() for line in text.getvalue().splitlines()))


def grid(
    to: Console, columns: Sequence[Column], rows: Sequence[Sequence[str]], *, breaks: Iterable[int] = ()
) -> list[str]:
    """Print a table in the width that there is; returns the titles of the columns for which there was no room."""
    if to.is_terminal:
        what, left = drawn(columns, rows, to.width, breaks=breaks)
    else:  # no bold type: the mark stays, as in Markdown
        what, left = drawn(columns, rows, _UNLIMITED, breaks=breaks, bold=False)
    show(to, what)
    return left


# ---------------------------------------------------------------------------------------------------------------------
# what a report says


def show_verdict(to: Console, verdict: Iterable[Sentence]) -> None:
    """The report's verdict, a sentence a line."""
    for sentence in verdict:
        say(to, f"- {sentence}", hang=2, bold=len(re.sub(r"\s", "", sentence.lead)) + 1 if sentence.lead else 0)


def show_opening(to: Console, opening: Opening) -> None:
    """What a report says first: the verdict in words, then the main numbers."""
    to.print()
    if opening.title:
        say(to, opening.title, bold=len(opening.title))
    if opening.verdict:
        show_verdict(to, opening.verdict)
    for table in opening.tables:
        to.print()
        show_table(to, table)


def show_table(to: Console, table: DataTable) -> None:
    """A table of a report: its caption, its rows in as many blocks as the width asks for, its notes."""
    from raystudy.analysis.table import blocks

    if table.caption:
        say(to, table.caption, hang=0)
    for heading, block in blocks(table):
        if heading:
            say(to, heading)
        heads = next((i for i, c in enumerate(block.columns) if not c.wordy), len(block.columns))
        rest = list(range(heads, len(block.columns)))
        while rest or heads == len(block.columns):
            some = rest
            while len(some) > 1 and fitted(*_shown(block, heads, some)[:2], line_width(to)) is None:
                some = some[:-1]
            columns, rows, breaks = _shown(block, heads, some)
            to.print()
            grid(to, columns, rows, breaks=breaks)
            rest = rest[len(some) :]
            if not rest:
                break
    if table.notes:
        to.print()
    for note in table.notes:
        say(to, (f"{note.mark} " if note.mark else "") + note.text, hang=2)


def _shown(table: DataTable, heads: int, some: Sequence[int]) -> tuple[list[Column], list[list[str]], list[int]]:
    """(columns, rows, breaks) of a grid with the first `heads` columns of a table and `some` others."""
    from raystudy.analysis.table import PUBLISHED, beside, printed

    kept = [*range(heads), *some]
    columns = [_column(table.columns[i]) for i in kept]
    rows: list[list[str]] = []
    breaks = []
    for number, row in enumerate(table.rows):
        if number in table.breaks:
            breaks.append(len(rows))
        cells = [(row[i], table.columns[i]) for i in kept]
        texts = [printed(cell, column) + cell.marks for cell, column in cells]
        rows.append([f"{BOLD}{t}{BOLD}" if cell.best else t for t, (cell, _) in zip(texts, cells, strict=True)])
        below = [beside(cell, column) for cell, column in cells]
        if any(below):
            rows.append([PUBLISHED, *below[1:]])
    return columns, rows, breaks


def _column(of: DataColumn) -> Column:
    return Column(of.title, right=not of.wordy, whole=not of.wordy or of.kind == "code", least=20 if of.wordy else 0)
