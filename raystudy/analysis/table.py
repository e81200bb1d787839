"""A table as data, the text of its cells, and the table as CSV.

A `Table` knows numbers and no layout: a cell holds its value in the table's units, its interval, n and marks. Markdown,
LaTeX, HTML and the terminal take the text of a cell from `cell_text`, so they cannot disagree.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from raystudy.analysis.stats import Interval, Word
from raystudy.errors import printable
from raystudy.wording import counted, listed

__all__ = [
    "MISSING",
    "PUBLISHED",
    "Cell",
    "Column",
    "Note",
    "Table",
    "blocks",
    "cell_text",
    "changes",
    "counted",
    "listed",
    "number",
    "percent",
    "place",
    "published_text",
    "selected",
    "to_csv",
]

MISSING = "–"
PUBLISHED = "published (difference)"  # what stands below a value, where a format needs words for it
MOST_ESTIMATES = 6  # a page of A4 and a screen of a laptop hold that many beside the methods' names


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name, title: its heading in CSV, and for a reader.
        kind: what its cells hold; an ``estimate`` is a mean with the half-width of its interval and n.
        group: the block that the column belongs to when a table has too many estimates for one page.
        short: its title within that block.
    """

    name: str
    title: str
    kind: Literal["text", "code", "count", "number", "p", "estimate"] = "text"
    digits: int = 1
    signed: bool = False
    group: str = ""
    short: str = ""

    @property
    def wordy(self) -> bool:
        return self.kind in ("text", "code")


@dataclass(frozen=True)
class Cell:
    """One entry, in the table's units. Its `value` is None where there is none.

    Attributes:
        text: what a reader sees of a ``text`` cell, where that differs from the `value` that a program reads.
        half: the half-width of the 95 % interval; None where it cannot be computed.
        tied: whether the value cannot be told from the best.
        unsure: whether the value rests on too little to say anything.
        tone: the verdict whose colour the cell has on a page.
        marks: the marks of the table's notes that belong to the cell.
        published: what a paper prints in this place; it stands below the value, with the difference to it.
        second, second_half, second_published: the same three in a second metric, of an ``estimate`` that shows two:
            89.5/85.8.
    """

    value: str | float | None = None
    text: str = ""
    half: float | None = None
    n: int | None = None
    best: bool = False
    tied: bool = False
    unsure: bool = False
    tone: Word | None = None
    marks: str = ""
    published: float | None = None
    second: float | None = None
    second_half: float | None = None
    second_published: float | None = None


def percent(share: Interval, second: Interval | None = None) -> Cell:
    """The ``estimate`` of an interval of fractions, x 100; an empty cell where the interval is of no value.

    Args:
        second: the same in a second metric, which stands behind the first.
    """
    if not share.n:
        return Cell()
    cell = Cell(100 * share.mean, half=100 * share.half if share.n > 1 else None, n=share.n)
    if second is None or not second.n:
        return cell
    return replace(cell, second=100 * second.mean, second_half=100 * second.half if second.n > 1 else None)


@dataclass(frozen=True)
class Note:
    """A footnote. It has a `mark` when cells point to it."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table: its caption, its columns, rows of one `Cell` per column, and its footnotes.

    `name` is the stem of its files, and `breaks` are the rows above which a rule is drawn.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[Note, ...] = ()
    breaks: tuple[int, ...] = ()

    @property
    def parts(self) -> list[tuple[tuple[Cell, ...], ...]]:
        """The rows between the breaks."""
        ends = [0, *self.breaks, len(self.rows)]
        return [self.rows[a:b] for a, b in pairwise(ends) if a < b]


def selected(table: Table, name: str, names: Sequence[str]) -> Table:
    """The table with the columns of these names alone, as far as it has them, in the order given, without notes."""
    numbers = {c.name: i for i, c in enumerate(table.columns)}
    kept = [numbers[n] for n in names if n in numbers]
    return replace(
        table,
        name=name,
        columns=tuple(table.columns[i] for i in kept),
        rows=tuple(tuple(row[i] for i in kept) for row in table.rows),
        notes=(),
    )


def changes(keys: Sequence[object]) -> tuple[int, ...]:
    """The `breaks` of a table: the rows at which the key changes."""
    return tuple(i for i in range(1, len(keys)) if keys[i] != keys[i - 1])


def number(value: float, column: Column) -> str:
    """A finite or infinite number as the column prints it."""
    if math.isinf(value):
        return "+∞" if value > 0 else "-∞"
    text = f"{value:{'+' if column.signed else ''}.{column.digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text  # no -0.0


def cell_text(cell: Cell, column: Column) -> str:
    """The text of a cell without bold and marks."""
    if column.wordy:
        return printable(cell.text or (MISSING if cell.value is None else str(cell.value)), "file")
    if cell.value is None or isinstance(cell.value, str) or math.isnan(cell.value):
        return MISSING
    if column.kind == "count":
        return f"{cell.value:.0f}"
    if column.kind == "p":
        least = 10.0**-column.digits
        return f"<{least:.{column.digits}f}" if cell.value < least else f"{cell.value:.{column.digits}f}"
    text = number(cell.value, column)
    if column.kind == "estimate":
        text += f"/{number(cell.second, column)}" if cell.second is not None else ""
        text += f" ± {cell.half:.{column.digits}f}" if cell.half is not None else ""
        text += f"/{cell.second_half:.{column.digits}f}" if cell.second_half is not None else ""
        text += f" ({cell.n})" if cell.n is not None else ""
    return text


def published_text(cell: Cell, column: Column) -> str:
    """The published number below a value and, in brackets, how much more or less ours is; empty without one."""
    if cell.published is None:
        return ""
    number_column = replace(column, kind="count" if column.kind == "count" else "number")
    pairs = [(cell.value, cell.published)]
    if cell.second_published is not None:
        pairs.append((cell.second, cell.second_published))
    text = "/".join(cell_text(Cell(theirs), number_column) for _, theirs in pairs)
    digits = replace(column, digits=0 if column.kind == "count" else column.digits, signed=True)
    differences = [
        number(ours - theirs, digits) if isinstance(ours, int | float) and not math.isnan(ours) else MISSING
        for ours, theirs in pairs
    ]
    return text if all(d == MISSING for d in differences) else f"{text} ({'/'.join(differences)})"


def blocks(table: Table) -> list[tuple[str, Table]]:
    """(heading, table) of each block that fits on a page: all of it, or its estimates group by group.

    The blocks have the columns that are no estimates in common; captions and notes are the whole table's.
    """
    heads = [i for i, c in enumerate(table.columns) if c.kind != "estimate"]
    wide = [i for i, c in enumerate(table.columns) if c.kind == "estimate"]
    if len(wide) <= MOST_ESTIMATES:
        return [("", table)]
    groups = dict.fromkeys(table.columns[i].group for i in wide)
    out = []
    for group in groups:
        of_group = [i for i in wide if table.columns[i].group == group]
        for start in range(0, len(of_group), MOST_ESTIMATES):
            column_numbers = [*heads, *of_group[start : start + MOST_ESTIMATES]]
            columns = [table.columns[i] for i in column_numbers]
            part = replace(
                table,
                columns=tuple(replace(c, title=c.short or c.title) if group else c for c in columns),
                rows=tuple(tuple(row[i] for i in column_numbers) for row in table.rows),
            )
            out.append((group, part))
    return out


def to_csv(table: Table) -> str:
    """The table as CSV for programs, with numbers in full (``repr``) and without marks and notes.

    An estimate becomes three columns, and a column that has published numbers is followed by them. The estimates in a
    second metric have columns of their own behind those, ``NAME second``.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header: list[str] = []
    has_published = [any(row[i].published is not None for row in table.rows) for i in range(len(table.columns))]
    has_second = [any(row[i].second is not None for row in table.rows) for i in range(len(table.columns))]
    has_second_published = [
        any(row[i].second_published is not None for row in table.rows) for i in range(len(table.columns))
    ]
    shown = list(zip(table.columns, has_published, has_second, has_second_published, strict=True))
    for c, has, second, second_published in shown:
        header += [c.name, f"{c.name} half", f"{c.name} n"] if c.kind == "estimate" else [c.name]
        header += [f"{c.name} published"] if has else []
        header += [f"{c.name} second", f"{c.name} second half"] if second else []
        header += [f"{c.name} second published"] if second_published else []
    writer.writerow(header)
    for row in table.rows:
        line: list[object] = []
        for cell, (c, has, second, second_published) in zip(row, shown, strict=True):
            absent = cell.value is None or (isinstance(cell.value, float) and math.isnan(cell.value))
            value = "" if absent else cell.value
            line += [value, "" if cell.half is None else cell.half, cell.n or 0] if c.kind == "estimate" else [value]
            line += ["" if cell.published is None else cell.published] if has else []
            line += ["" if x is None else x for x in (cell.second, cell.second_half)] if second else []
            line += ["" if cell.second_published is None else cell.second_published] if second_published else []
        writer.writerow(line)
    return out.getvalue()


# ---------------------------------------------------------------------------------------------------------------------
# words that tables and sentences share


def place(target: str, setting: str) -> str:
    """A target in a setting: ``polarity (k=20)``."""
    return f"{target} ({'all data' if setting == 'all' else setting})"
