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
from rich.measure import measure_renderables
from rich.table import Table
from rich.text import Text

from raystudy.errors import printable

if TYPE_CHECKING:
    from raystudy.analysis.numbers import Sentence
    from raystudy.analysis.report import Opening
    from raystudy.analysis.table import Column
    from raystudy.analysis.table import Table as DataTable

__all__ = [
    "BOLD",
    "TerminalColumn",
    "column_widths",
    "complain",
    "console",
    "folded",
    "line_width",
    "lines_of",
    "print_facts",
    "print_table",
    "say",
    "say_command",
    "show",
    "show_opening",
    "show_report_table",
    "show_verdict",
    "table_of",
]

BOLD = "**"  # around what is set off in a table
_GAP = 2  # spaces between two columns
_UNLIMITED = 1_000_000


def console(file: IO[str] | None = None, *, err: bool = False) -> Console:
    """A console on `file`, or on standard output, that prints text as it is: without markup and guessed colours."""
    return Console(file=file, stderr=err, highlight=False, markup=False, emoji=False)


def line_width(to: Console) -> int:
    """How many columns a line may fill: as many as the terminal has, or any number where there is no terminal."""
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


def _printable_lines(text: str) -> str:
    """`text`, whose labels and names may hold anything, with what a terminal would obey written as escapes."""
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))


def say(to: Console, text: str, *, hang: int = 4, bold: int = 0) -> None:
    """Print `text`, folded at word ends on a terminal; the first `bold` characters, without spaces, are set off."""
    text = _printable_lines(text)
    styled = Text("\n".join(folded(text, to.width, hang) if to.is_terminal else [text]))
    if bold:
        letters = [i for i, c in enumerate(styled.plain) if not c.isspace()]
        styled.stylize("bold", 0, letters[min(bold, len(letters)) - 1] + 1)
    to.print(styled, soft_wrap=True, highlight=False)


def say_command(to: Console, label: str, command: Sequence[str]) -> None:
    """Print a command so that it can be copied: below its label, and folded as a shell continues lines."""
    text = " ".join(shlex.quote(word).replace(" ", "\ue000") for word in command)  # nothing is folded in quotes
    if to.is_terminal:
        text = f"{label}:\n" + " \\\n".join(folded(f"    {text}", to.width - 2))
    else:
        text = f"{label}: {text}"
    to.print(Text(text.replace("\ue000", " ")), soft_wrap=True, highlight=False)


def complain(text: str) -> None:
    """Print a message on standard error, folded at word ends where that is a terminal."""
    sys.stdout.flush()
    say(console(err=True), text)


# ---------------------------------------------------------------------------------------------------------------------
# tables


@dataclass(frozen=True)
class TerminalColumn:
    """A column of a table on a terminal.

    Attributes:
        right: whether its cells stand at the right, as numbers do.
        whole: whether its cells are names or numbers, which are never folded.
        least: the width below which running text becomes hard to read (a column has less if it needs no more).
        spare: 0 for a column that is always shown; others are left out where the terminal is narrow, the highest number
            first.
    """

    title: str = ""
    right: bool = False
    whole: bool = False
    least: int = 0
    spare: int = 0


def column_widths(
    columns: Sequence[TerminalColumn], rows: Sequence[Sequence[str]], width: int
) -> dict[int, int] | None:
    """Column -> its width, for the columns that a table of `width` shows; None where it cannot show those it must.

    Every column is at least as wide as its longest word (`whole`: its longest line) and no wider than its
    longest line; what is left over goes to those that lack most. Rich's own layout halves words where room is short.
    """
    unlimited = _unlimited_console()
    most, least = [], []
    for i, c in enumerate(columns):
        texts = [Text(c.title), *(Text(row[i]) for row in rows)]
        longest_word, longest_line = measure_renderables(unlimited, unlimited.options, texts)
        most.append(longest_line)
        least.append(longest_line if c.whole else min(longest_line, max(longest_word, c.least)))
    visible = list(range(len(columns)))
    while (spare := width - sum(least[i] for i in visible) - _GAP * (len(visible) - 1)) < 0:
        optional = [i for i in visible if columns[i].spare]
        if not optional:
            return None
        visible.remove(max(optional, key=lambda i: columns[i].spare))
    lack = {i: most[i] - least[i] for i in visible}
    total = sum(lack.values())
    share = 1.0 if total <= spare else spare / total
    return {i: least[i] + int(share * lack[i]) for i in visible}


def table_of(
    columns: Sequence[TerminalColumn],
    rows: Sequence[Sequence[str]],
    width: int = _UNLIMITED,
    *,
    breaks: Iterable[int] = (),
    bold: bool = True,
) -> tuple[RenderableType, list[str]]:
    """A table in `width` columns, and the titles of those columns that were left out for want of room.

    Where not even names and numbers fit side by side, each row becomes a few lines of its own. With `bold`, a cell that
    begins with the mark `BOLD` is printed in bold type, without the mark.

    Args:
        breaks: the rows above which a line is left empty.
    """
    rows = [[_printable_lines(cell) for cell in row] for row in rows]
    plain_rows = [[cell.replace(BOLD, "") if bold else cell for cell in row] for row in rows]
    widths = column_widths(columns, plain_rows, width)
    if widths is None:
        return _stacked_rows(columns, plain_rows, width), [c.title for c in columns if c.spare]
    breaks = set(breaks)
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, show_header=any(c.title for c in columns))
    for i, size in widths.items():
        side: Literal["left", "right"] = "right" if columns[i].right else "left"
        table.add_column(columns[i].title, justify=side, width=size, overflow="fold")
    for number, (row, plain) in enumerate(zip(rows, plain_rows, strict=True)):
        if number in breaks:
            table.add_row()
        table.add_row(*(Text(plain[i], "bold" if bold and row[i].startswith(BOLD) else "") for i in widths))
    return table, [c.title for i, c in enumerate(columns) if i not in widths]


def _stacked_rows(columns: Sequence[TerminalColumn], rows: Sequence[Sequence[str]], width: int) -> Text:
    lines: list[str] = []
    for row in rows:
        lines += ["", *folded(row[0].replace("\n", " "), width)]
        for c, cell in zip(columns[1:], row[1:], strict=True):
            if cell and not c.spare:
                text = cell.replace("\n", " ")
                lines += folded(f"    {c.title}: {text}" if c.title else f"    {text}", width)
    return Text("\n".join(lines[1:]))


def _unlimited_console(file: IO[str] | None = None) -> Console:
    return Console(file=file or io.StringIO(), width=_UNLIMITED, color_system=None)


def lines_of(table: RenderableType) -> list[str]:
    """The lines of a table as wide as it needs to be, without spaces at their ends."""
    text = io.StringIO()
    _unlimited_console(text).print(table)
    return [line.rstrip() for line in text.getvalue().splitlines()]


def show(to: Console, table: RenderableType) -> None:
    """Print a table (`table_of`); where there is no terminal, as wide as it is and without spaces at line ends."""
    if to.is_terminal:
        to.print(table)
    else:
        say(to, "\n".join(lines_of(table)))


def print_table(
    to: Console, columns: Sequence[TerminalColumn], rows: Sequence[Sequence[str]], *, breaks: Iterable[int] = ()
) -> list[str]:
    """Print a table in the width that there is; returns the titles of the columns for which there was no room."""
    if to.is_terminal:
        table, hidden_columns = table_of(columns, rows, to.width, breaks=breaks)
    else:  # no bold type: the mark stays, as in Markdown
        table, hidden_columns = table_of(columns, rows, breaks=breaks, bold=False)
    show(to, table)
    return hidden_columns


def print_facts(to: Console, facts: Iterable[tuple[str, str]], *, indent: int = 0) -> None:
    """Print (name, text) pairs, one below the other, with the texts in a column; a pair without a text is left out."""
    rows = [[" " * indent + f"{name}:", text] for name, text in facts if text]
    if rows:
        print_table(to, [TerminalColumn(whole=True), TerminalColumn(least=24)], rows)


# ---------------------------------------------------------------------------------------------------------------------
# what a report says


def show_verdict(to: Console, verdict: Iterable[Sentence]) -> None:
    """Print the report's verdict, with a line for each sentence."""
    for sentence in verdict:
        say(to, f"- {sentence}", hang=2, bold=len(re.sub(r"\s", "", sentence.lead)) + 1 if sentence.lead else 0)


def show_opening(to: Console, opening: Opening) -> None:
    """Print the first part of a report: the verdict in words, then the main numbers."""
    to.print()
    if opening.title:
        say(to, opening.title, bold=len(opening.title))
    if opening.verdict:
        show_verdict(to, opening.verdict)
    for table in opening.tables:
        to.print()
        show_report_table(to, table)


def show_report_table(to: Console, table: DataTable) -> None:
    """Print a table of a report: its caption, its rows in as many blocks as the width asks for, and its notes."""
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
            while len(some) > 1 and column_widths(*_rows_of(block, heads, some)[:2], line_width(to)) is None:
                some = some[:-1]
            columns, rows, breaks = _rows_of(block, heads, some)
            to.print()
            print_table(to, columns, rows, breaks=breaks)
            rest = rest[len(some) :]
            if not rest:
                break
    if table.notes:
        to.print()
    for note in table.notes:
        say(to, (f"{note.mark} " if note.mark else "") + note.text, hang=2)


def _rows_of(
    table: DataTable, heads: int, some: Sequence[int]
) -> tuple[list[TerminalColumn], list[list[str]], list[int]]:
    """(columns, rows, breaks) for a terminal: the first `heads` columns of a report's table, and `some` others."""
    from raystudy.analysis.table import PUBLISHED, cell_text, published_text

    column_numbers = [*range(heads), *some]
    columns = [_column(table.columns[i]) for i in column_numbers]
    rows: list[list[str]] = []
    breaks = []
    for number, row in enumerate(table.rows):
        if number in table.breaks:
            breaks.append(len(rows))
        cells = [(row[i], table.columns[i]) for i in column_numbers]
        texts = [cell_text(cell, column) + cell.marks for cell, column in cells]
        rows.append([f"{BOLD}{t}{BOLD}" if cell.best else t for t, (cell, _) in zip(texts, cells, strict=True)])
        below = [published_text(cell, column) for cell, column in cells]
        if any(below):
            rows.append([PUBLISHED, *below[1:]])
    return columns, rows, breaks


def _column(of: Column) -> TerminalColumn:
    return TerminalColumn(
        of.title, right=not of.wordy, whole=not of.wordy or of.kind == "code", least=20 if of.wordy else 0
    )
