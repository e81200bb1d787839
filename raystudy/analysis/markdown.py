"""A report as Markdown: report.md, and each table on its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from raystudy.analysis.numbers import Failure, Numbers, Sentence
from raystudy.analysis.shown import Shown
from raystudy.analysis.table import PUBLISHED, Cell, Column, Table, beside, blocks, counted, printed

__all__ = ["alone", "to_markdown", "whole"]

Links = Mapping[str, Sequence[tuple[str, str]]]

_SHOWN = 5  # failed cells listed per cause


def _escape(text: str) -> str:
    """Plain words: no column ends, no emphasis, no HTML tag begins in them."""
    text = text.replace("|", "\\|").replace("*", "\\*").replace("\n", " ")
    return re.sub(r"<(?=[A-Za-z/!?])", r"\\<", text)


def _entry(cell: Cell, column: Column) -> str:
    text = _escape(printed(cell, column))
    if column.kind == "code" and cell.value is not None:
        text = f"`{text}`"
    return (f"**{text}**" if cell.best else text) + cell.marks


def to_markdown(table: Table) -> str:
    """Pipe tables with the caption above and the notes below; best values bold, marks behind the value.

    Published numbers have a row of their own below ours. A table with more estimates than a page holds becomes one per
    group of columns.
    """
    lines = [f"**{_escape(table.caption)}**", ""] if table.caption else []
    for heading, block in blocks(table):
        lines += [f"*{_escape(heading)}*", ""] if heading else []
        lines.append("| " + " | ".join(_escape(c.title) for c in block.columns) + " |")
        lines.append("|" + "|".join(" :--- " if c.wordy else " ---: " for c in block.columns) + "|")
        for row in block.rows:
            lines.append("| " + " | ".join(_entry(x, c) for x, c in zip(row, block.columns, strict=True)) + " |")
            below = [beside(x, c) for x, c in zip(row, block.columns, strict=True)]
            lines += ["| " + " | ".join([PUBLISHED, *below[1:]]) + " |"] if any(below) else []
        lines.append("")
    lines.pop()
    for note in table.notes:
        lines += ["", (f"{note.mark} " if note.mark else "") + _escape(note.text)]
    return "\n".join(lines) + "\n"


def alone(exhibit: Shown, figures: Links) -> str:
    """report.md of an exhibit without a study behind it; the arguments are those of `whole`."""
    facts = "\n".join(f"- {_escape(name)}: {_escape(value)}" for name, value in exhibit.facts.items())
    sections = [f"# {_escape(exhibit.title)}", *_exhibit(exhibit, figures), "## Provenance" if facts else "", facts]
    return _joined(sections)


def whole(n: Numbers, tables: Mapping[str, Table], figures: Links, exhibit: Shown | None = None) -> str:
    """report.md.

    Args:
        tables: by name: main, comparison, answers, search, cost, data.
        figures: section -> (title, path below the report's folder) of its figures.
        exhibit: what the report opens with.
    """

    def said(section: str) -> str:
        return "\n\n".join(map(_sentence, n.words[section]))

    def drawn(section: str) -> str:
        return _pictures(figures, section)

    def shown(name: str) -> str:
        return to_markdown(tables[name]) if tables[name].rows else ""

    sections = [
        f"# {n.design.name}",
        _escape(n.design.about),
        said("scope"),
        *([f"## {_escape(exhibit.title)}", *_exhibit(exhibit, figures)] if exhibit else []),
        "## Verdict",
        _bullets(map(_sentence, n.words["verdict"])),
        "## Completeness",
        said("completeness"),
        "## Scores",
        shown("main"),
        "## Comparison with the baseline",
        said("comparison"),
        drawn("comparison"),
        shown("comparison"),
        "## Few-shot curves",
        drawn("curves"),
        said("curves"),
        *(["## Learned label maps", drawn("label_maps"), said("label_maps")] if n.label_maps else []),
        *(["## Answers", said("answers"), shown("answers")] if n.answers else []),
        "## Search",
        drawn("search"),
        said("search"),
        shown("search"),
        drawn("importance"),
        said("importance"),
        "## Cost",
        said("cost"),
        shown("cost"),
        "## Failures",
        said("failures"),
        _failures(n),
        "## Provenance",
        _provenance(n),
        shown("data"),
        said("cells"),
    ]
    return _joined(sections)


def _joined(sections: Iterable[str]) -> str:
    return "\n\n".join(s.strip("\n") for s in sections if s.strip()) + "\n"


def _exhibit(exhibit: Shown, figures: Links) -> list[str]:
    """An exhibit below its title: figures, tables, and what differs from the paper's set-up."""
    return [
        _escape(exhibit.about),
        _pictures(figures, "exhibit"),
        *map(to_markdown, exhibit.said_once),
        "**What differs from the paper's set-up**" if exhibit.setup else "",
        _bullets(map(_escape, exhibit.setup)),
    ]


def _pictures(figures: Links, section: str) -> str:
    return "\n\n".join(f"![{_escape(title)}]({path})" for title, path in figures.get(section, ()))


def _sentence(s: Sentence) -> str:
    return (f"**{_escape(s.lead)}**" if s.lead else "") + _escape(s.rest)


def _bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {s}" for s in sentences)


def _failures(n: Numbers) -> str:
    """Failures by the last line of their error, the most frequent first."""
    causes: dict[str, list[Failure]] = {}
    for f in n.failures:
        causes.setdefault(f.cause, []).append(f)
    lines = []
    for cause, of_it in causes.items():
        cells = [f"{_escape(f.cell)} [{f.id}]" for f in of_it]
        more = f"; and {len(cells) - _SHOWN} more" if len(cells) > _SHOWN else ""
        code = cause.replace("`", "'")
        lines.append(f"{counted(len(cells), 'cell')}, `{code}`: {'; '.join(cells[:_SHOWN])}{more}")
    return _bullets(lines)


def _provenance(n: Numbers) -> str:
    lines = [f"- {_escape(name)}: {_escape(str(value))}" for name, value in n.facts.items()]
    parts = ["\n".join(lines), *map(_escape, n.notes)]
    if n.study_text:
        fence = "`" * (max((len(x) for x in re.findall("`+", n.study_text)), default=0) + 3)
        parts.append(f"{fence}yaml\n{n.study_text.rstrip()}\n{fence}")
    return "\n\n".join(p for p in parts if p) or "Not recorded."
