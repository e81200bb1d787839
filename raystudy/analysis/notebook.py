"""The first part of a report as a piece of HTML, as a notebook shows it: the verdict and the main table."""

from __future__ import annotations

from html import escape

from raystudy.analysis.report import Opening
from raystudy.analysis.table import Cell, Column, Table, blocks, cell_text, published_text
from raystudy.errors import printable

__all__ = ["opening_html"]


def opening_html(opening: Opening) -> str:
    """The verdict as paragraphs, and the tables; nothing of a study's words is markup, and nothing is loaded."""
    parts = [f"<h4>{_text(opening.title)}</h4>"] if opening.title else []
    parts += [f"<p><b>{_text(s.lead)}</b>{_text(s.rest)}</p>" for s in opening.verdict]
    parts += [_table(table) for table in opening.tables]
    return '<div class="raystudy">' + "\n".join(parts) + "</div>"


def _text(words: str) -> str:
    return escape(printable(words, "file"))


def _table(table: Table) -> str:
    caption = f"<p>{_text(table.caption)}</p>" if table.caption else ""
    notes = "".join(f"<p><small>{_text(note.mark + note.text)}</small></p>" for note in table.notes)
    return caption + "".join(_block(heading, part) for heading, part in blocks(table)) + notes


def _block(heading: str, table: Table) -> str:
    above = f"<p><i>{_text(heading)}</i></p>" if heading else ""
    titles = "".join(f"<th>{_text(c.title)}</th>" for c in table.columns)
    rows = "".join(
        "<tr>" + "".join(_cell(x, c) for x, c in zip(row, table.columns, strict=True)) + "</tr>" for row in table.rows
    )
    return f"{above}<table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(cell: Cell, column: Column) -> str:
    text = _text(cell_text(cell, column))
    text = f"<b>{text}</b>" if cell.best else text
    published = published_text(cell, column)
    beside = f"<br><small>{_text(published)}</small>" if published else ""
    align = "left" if column.wordy else "right"
    return f'<td style="text-align:{align}">{text}{_text(cell.marks)}{beside}</td>'
