"""A report as Markdown: report.md, and each table on its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from raystudy.analysis.exhibit_page import ExhibitPage
from raystudy.analysis.numbers import Failure, Numbers, Sentence
from raystudy.analysis.section import (
    Block,
    Errors,
    Facts,
    Part,
    Pictures,
    Quotation,
    Shading,
    TableBlock,
    Title,
    Words,
    exhibit_part,
    is_shown,
)
from raystudy.analysis.table import PUBLISHED, Cell, Column, Table, blocks, cell_text, counted, published_text
from raystudy.errors import printable

__all__ = ["escape", "exhibit_report", "paragraph", "study_report", "to_markdown"]

_LISTED_CELLS = 5  # failed cells listed per cause


# what begins something wherever it stands in a line
_MARKUP = re.compile(
    r"""  [\\`*~|]                               # an escape, code, emphasis, a line through words, a column
        | (?<![^\W_])_+ | _+(?![^\W_])          # emphasis; between two letters an underscore is text
        | <(?=[A-Za-z/!?])                      # a tag, or an address
        | &(?=\#?\w+;)                          # an entity
        | \](?=[(\[:])                          # the end of a link's words, or of the name of one
    """,
    re.VERBOSE,
)
# what makes something else of a line that begins with it: a heading, a quotation, a list, a box to tick
_BEGINS = re.compile(r"[#>]|[+-](?!\w|\.)|\[(?=[ xX]\])")


def escape(text: str) -> str:
    """Words in a line, as text: nothing in them is markup of CommonMark or of GitHub's tables."""
    line = re.sub(r"[\r\n]+", " ", printable(text, "file"))
    return _MARKUP.sub(lambda m: "".join(f"\\{c}" for c in m[0]), line)


def paragraph(text: str) -> str:
    """Words that begin a line, as text."""
    line = escape(text).strip()
    line = re.sub(r"^(\d{1,9})(?=[.)](\s|$))", r"\1\\", line)  # a numbered list
    return f"\\{line}" if _BEGINS.match(line) else line


def _heading(text: str) -> str:
    return re.sub("#+$", lambda m: "\\#" * len(m[0]), escape(text).strip())


def _code(text: str, *, in_table: bool = False) -> str:
    """A piece of code. Nothing in it is markup but the sign that would end it, and in a table the sign of a column."""
    text = re.sub(r"[\r\n]+", " ", printable(text, "file"))
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    blank = " " if text.startswith(("`", " ")) or text.endswith(("`", " ")) else ""
    text = text.replace("|", "\\|") if in_table else text
    return f"{fence}{blank}{text}{blank}{fence}" if text.strip() else escape(text)


def _entry(cell: Cell, column: Column) -> str:
    words = cell_text(cell, column)
    plain = column.kind != "code" or cell.value is None
    text = escape(words).strip() if plain else _code(words, in_table=True)
    return (f"**{text}**" if cell.best and text else text) + escape(cell.marks)


def to_markdown(table: Table) -> str:
    """A table in Markdown's pipe syntax, with the caption above it and the notes below. Best values are bold.

    Published numbers have a row of their own below ours. A table with more estimates than a page holds becomes one per
    group of columns.
    """
    lines = [f"**{escape(table.caption).strip()}**", ""] if table.caption else []
    for heading, block in blocks(table):
        lines += [f"*{escape(heading).strip()}*", ""] if heading else []
        lines.append("| " + " | ".join(escape(c.title) for c in block.columns) + " |")
        lines.append("|" + "|".join(" :--- " if c.wordy else " ---: " for c in block.columns) + "|")
        for row in block.rows:
            lines.append("| " + " | ".join(_entry(x, c) for x, c in zip(row, block.columns, strict=True)) + " |")
            below = [published_text(x, c) for x, c in zip(row, block.columns, strict=True)]
            lines += ["| " + " | ".join([PUBLISHED, *below[1:]]) + " |"] if any(below) else []
        lines.append("")
    lines.pop()
    for note in table.notes:
        lines += ["", paragraph(f"{note.mark} {note.text}" if note.mark else note.text)]
    return "\n".join(lines) + "\n"


def exhibit_report(exhibit: ExhibitPage) -> str:
    """The text of the report.md of an exhibit without a study behind it."""
    facts = _block(Facts(exhibit.facts))
    return _joined(
        [f"# {_heading(exhibit.title)}", *_blocks(exhibit_part(exhibit)), "## Provenance" if facts else "", facts]
    )


def study_report(n: Numbers, parts: Sequence[Part]) -> str:
    """The text of a study's report.md, from its sections in order."""
    sections = [f"# {_heading(n.design.name)}", paragraph(n.design.about)]
    sections += [escape(" · ".join(map(str, n.words["header"]))), _block(Words(n.words["scope"]))]
    for part in parts:
        if part.shown("md"):
            sections += [f"{'#' * part.level} {_heading(part.title)}", *_blocks(part)]
    return _joined(sections)


def _joined(sections: Iterable[str]) -> str:
    return "\n\n".join(s.strip("\n") for s in sections if s.strip()) + "\n"


def _blocks(part: Part) -> list[str]:
    return [_block(b) for b in part.blocks if is_shown(b, "md") or isinstance(b, Title)]


def _block(block: Block) -> str:
    match block:
        case Title(text):
            return f"**{escape(text)}**"
        case Words(sentences, "verdict" | "list"):
            return _bullets(map(_sentence, sentences))
        case Words(sentences):
            return "\n\n".join(map(_sentence, sentences))
        case TableBlock():
            return to_markdown(block.on_page)
        case Pictures(figures):
            return "\n\n".join(f"![{_alt(f.title)}]({quote(f'figures/{f.name}.svg')})" for f in figures)
        case Facts(values):
            return _bullets(paragraph(f"{name}: {value}") for name, value in values.items())
        case Quotation(text, _, language):
            fence = "`" * (max((len(x) for x in re.findall("`+", text)), default=0) + 3)
            return f"{fence}{language}\n{text.rstrip()}\n{fence}"
        case Errors(failures):
            return _failures(failures)
        case Shading():
            return ""


def _alt(text: str) -> str:
    return re.sub(r"(?<!\\)[\[\]]", r"\\\g<0>", escape(text))


def _sentence(s: Sentence) -> str:
    return f"**{escape(s.lead).strip()}**{escape(s.rest)}" if s.lead else paragraph(s.rest)


def _bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {s}" for s in sentences)


def _failures(failures: Iterable[Failure]) -> str:
    """Failures by the last line of their error, the most frequent first."""
    causes: dict[str, list[Failure]] = {}
    for f in failures:
        causes.setdefault(f.cause, []).append(f)
    lines = []
    for cause, of_it in causes.items():
        cells = [f"{escape(f.cell)} [{f.id}]" for f in of_it]
        more = f"; and {len(cells) - _LISTED_CELLS} more" if len(cells) > _LISTED_CELLS else ""
        lines.append(f"{counted(len(cells), 'cell')}, {_code(cause)}: {'; '.join(cells[:_LISTED_CELLS])}{more}")
    return _bullets(lines)
