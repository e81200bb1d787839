"""A report as Markdown: report.md, and each table on its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from raystudy.analysis.exhibit_page import ExhibitPage
from raystudy.analysis.numbers import Failure, Numbers, Sentence
from raystudy.analysis.table import PUBLISHED, Cell, Column, Table, blocks, cell_text, counted, published_text
from raystudy.errors import printable

__all__ = ["escape", "exhibit_report", "paragraph", "study_report", "to_markdown"]

Links = Mapping[str, Sequence[tuple[str, str]]]

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


def exhibit_report(exhibit: ExhibitPage, figures: Links) -> str:
    """The text of the report.md of an exhibit without a study behind it; the arguments are those of `study_report`."""
    facts = "\n".join(f"- {paragraph(f'{name}: {value}')}" for name, value in exhibit.facts.items())
    sections = [f"# {_heading(exhibit.title)}", *_exhibit(exhibit, figures), "## Provenance" if facts else "", facts]
    return _joined(sections)


def study_report(n: Numbers, tables: Mapping[str, Table], figures: Links, exhibit: ExhibitPage | None = None) -> str:
    """The text of a study's report.md.

    Args:
        tables: the tables by their names: main, comparison, answers, search, cost, data; where there is something to
            show, space, recipes, search_gain, slices, task_weights.
        figures: section -> (title, path below the report's folder) of its figures.
        exhibit: the page that the report opens with.
    """

    def words_of(section: str) -> str:
        return "\n\n".join(map(_sentence, n.words[section]))

    def pictures_of(section: str) -> str:
        return _pictures(figures, section)

    def table_of(name: str) -> str:
        return to_markdown(tables[name]) if name in tables and tables[name].rows else ""

    sections = [
        f"# {_heading(n.design.name)}",
        paragraph(n.design.about),
        words_of("scope"),
        *([f"## {_heading(exhibit.title)}", *_exhibit(exhibit, figures)] if exhibit else []),
        "## Verdict",
        _bullets(map(_sentence, n.words["verdict"])),
        "## Completeness",
        words_of("completeness"),
        "## Scores",
        table_of("main"),
        "## Comparison with the baseline",
        words_of("comparison"),
        pictures_of("comparison"),
        table_of("comparison"),
        "## Few-shot curves",
        pictures_of("curves"),
        words_of("curves"),
        *(["## Learned label maps", pictures_of("label_maps"), words_of("label_maps")] if n.label_maps else []),
        *(
            ["## Task weights", pictures_of("task_weights"), words_of("task_weights"), table_of("task_weights")]
            if n.task_weights
            else []
        ),
        *(["## Answers", words_of("answers"), table_of("answers")] if n.answers else []),
        "## Search",
        pictures_of("search"),
        words_of("search"),
        words_of("selection"),
        table_of("search"),
        table_of("space"),
        *(["### Across methods", words_of("recipes"), table_of("recipes")] if n.recipes else []),
        *(["### What searching brought", words_of("search_gain"), table_of("search_gain")] if n.searches else []),
        *(["### What mattered"] if n.weights or n.slices else []),
        pictures_of("importance"),
        words_of("importance"),
        words_of("slices"),
        pictures_of("slices"),
        table_of("slices"),
        "## Cost",
        words_of("cost"),
        table_of("cost"),
        "## Failures",
        words_of("failures"),
        _failures(n),
        "## Provenance",
        _provenance(n),
        table_of("data"),
        words_of("cells"),
    ]
    return _joined(sections)


def _joined(sections: Iterable[str]) -> str:
    return "\n\n".join(s.strip("\n") for s in sections if s.strip()) + "\n"


def _exhibit(exhibit: ExhibitPage, figures: Links) -> list[str]:
    """An exhibit below its title: figures, tables, what differs from the paper's set-up, and what is assumed."""
    return [
        paragraph(exhibit.about),
        _pictures(figures, "exhibit"),
        *map(to_markdown, exhibit.without_repeated_notes),
        "**What differs from the paper's set-up**" if exhibit.setup else "",
        _bullets(map(paragraph, exhibit.setup)),
        to_markdown(exhibit.assumed) if exhibit.assumed else "",
    ]


def _pictures(figures: Links, section: str) -> str:
    return "\n\n".join(f"![{_alt(title)}]({quote(path)})" for title, path in figures.get(section, ()))


def _alt(text: str) -> str:
    return re.sub(r"(?<!\\)[\[\]]", r"\\\g<0>", escape(text))


def _sentence(s: Sentence) -> str:
    return f"**{escape(s.lead).strip()}**{escape(s.rest)}" if s.lead else paragraph(s.rest)


def _bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {s}" for s in sentences)


def _failures(n: Numbers) -> str:
    """Failures by the last line of their error, the most frequent first."""
    causes: dict[str, list[Failure]] = {}
    for f in n.failures:
        causes.setdefault(f.cause, []).append(f)
    lines = []
    for cause, of_it in causes.items():
        cells = [f"{escape(f.cell)} [{f.id}]" for f in of_it]
        more = f"; and {len(cells) - _LISTED_CELLS} more" if len(cells) > _LISTED_CELLS else ""
        lines.append(f"{counted(len(cells), 'cell')}, {_code(cause)}: {'; '.join(cells[:_LISTED_CELLS])}{more}")
    return _bullets(lines)


def _provenance(n: Numbers) -> str:
    lines = [f"- {paragraph(f'{name}: {value}')}" for name, value in n.facts.items()]
    parts = ["\n".join(lines), *map(paragraph, n.notes)]
    if n.study_text:
        fence = "`" * (max((len(x) for x in re.findall("`+", n.study_text)), default=0) + 3)
        parts.append(f"{fence}yaml\n{n.study_text.rstrip()}\n{fence}")
    return "\n\n".join(p for p in parts if p) or "Not recorded."
