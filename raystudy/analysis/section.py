"""What a section of a report is, and the blocks that it is made of.

One module of `sections` is one section: the numbers that it alone has, its sentences, and its content, which is a list
of blocks (sentences, tables, figures, facts) in the order of reading. The list of all sections (`sections.SECTIONS`) is
the order of the report. What writes HTML, Markdown, LaTeX and JSON goes through that list and knows the kinds of blocks
only, so a new section appears in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar, cast

from raystudy.analysis.exhibit_page import ExhibitPage
from raystudy.analysis.figures import Figure
from raystudy.analysis.numbers import Failure, Numbers, Sentence
from raystudy.analysis.sources import Sources
from raystudy.analysis.table import Table, counted, selected

__all__ = [
    "Block",
    "Errors",
    "Facts",
    "Part",
    "Pictures",
    "Quotation",
    "Section",
    "Shading",
    "TableBlock",
    "Title",
    "Words",
    "exhibit_part",
    "fill",
    "in_short",
    "is_shown",
    "with_numbers",
]

T = TypeVar("T")
Format = Literal["csv", "md", "tex"]
Page = Literal["html", "md"]
Style = Literal["plain", "small", "list", "verdict"]


@dataclass(frozen=True)
class Words:
    """Sentences: paragraphs, small ones (what explains a figure), the items of a list, or those of the verdict."""

    sentences: tuple[Sentence, ...]
    style: Style = "plain"

    @classmethod
    def of(cls, texts: Iterable[str | Sentence], style: Style = "plain") -> Words:
        return cls(tuple(t if isinstance(t, Sentence) else Sentence(t) for t in texts), style)


@dataclass(frozen=True)
class TableBlock:
    """A table, and how it is shown.

    Attributes:
        filter: whether the page lets a reader filter its rows.
        formats: of its files in ``tables/``; the page offers to copy it where there are any.
        pages: which pages show it; a table without any has its file alone.
        fold: the line under which HTML hides it until a reader opens it; empty where it is in sight.
        opening: whether a terminal and a notebook show it too, where its section is one that they show.
        notes_said: notes without a mark that stand below another table of the section, which pages do not repeat.
    """

    table: Table
    filter: bool = False
    formats: tuple[Format, ...] = ("csv", "md", "tex")
    pages: tuple[Page, ...] = ("html", "md")
    fold: str = ""
    opening: bool = True
    notes_said: frozenset[str] = frozenset()

    @property
    def on_page(self) -> Table:
        """The table without the notes that stand below another one."""
        return replace(self.table, notes=tuple(n for n in self.table.notes if n.mark or n.text not in self.notes_said))


@dataclass(frozen=True)
class Pictures:
    """Figures, drawn when the report is written."""

    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Facts:
    """Names and what they stand for, a line for each."""

    values: Mapping[str, str] = field(hash=False)


@dataclass(frozen=True)
class Quotation:
    """A text of several lines as it is; HTML shows `summary` until a reader opens it."""

    text: str
    summary: str
    language: str = ""


@dataclass(frozen=True)
class Errors:
    """Cells that failed, with what stopped them."""

    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class Shading:
    """What the shading of a table's cells means, where a page has any; `rest` is what grey italics mean, if any are."""

    rest: str = ""


@dataclass(frozen=True)
class Title:
    """A heading within a section."""

    text: str


Block = Title | Words | TableBlock | Pictures | Facts | Quotation | Errors | Shading


@dataclass(frozen=True)
class Section(Generic[T]):
    """A section of a report.

    Attributes:
        name: what its words are called in report.json.
        title: its heading.
        content: its blocks in the order of reading. A section in which nothing can be shown is left out.
        numbers: what it computes beyond the numbers that sections share; `of` gives it back.
        key: the key of these numbers in report.json, by default the name.
        words: key in report.json -> its sentences.
        nav: its name among the links at the top of the page, by default the title.
        anchor: what links to it end in, by default the name.
        level: 2, or 3 for a part of the section before it.
        opening: whether a terminal and a notebook show its words and its tables too.
        pages: which pages have it.
    """

    name: str
    title: str
    content: Callable[[Numbers], Iterable[Block]]
    numbers: Callable[[Sources, Numbers], T] | None = None
    key: str = ""
    words: Mapping[str, Callable[[Numbers], Iterable[Sentence | str]]] = field(default_factory=dict, hash=False)
    nav: str = ""
    anchor: str = ""
    level: Literal[2, 3] = 2
    opening: bool = False
    pages: tuple[Page, ...] = ("html", "md")

    def of(self, n: Numbers) -> T:
        """The numbers that this section alone has, in the report `n`."""
        return cast(T, n.own[self.key or self.name])


@dataclass(frozen=True)
class Part:
    """A section of one report, filled: what the writers write."""

    name: str
    title: str
    blocks: tuple[Block, ...]
    nav: str = ""
    level: Literal[2, 3] = 2
    opening: bool = False
    pages: tuple[Page, ...] = ("html", "md")

    def shown(self, page: Page) -> bool:
        """Whether there is anything of it to be seen on a page."""
        return page in self.pages and any(is_shown(b, page) for b in self.blocks)

    @property
    def figures(self) -> list[Figure]:
        """Its figures, in order."""
        return [f for b in self.blocks if isinstance(b, Pictures) for f in b.figures]

    @property
    def tables(self) -> list[TableBlock]:
        """Its tables, in order."""
        return [b for b in self.blocks if isinstance(b, TableBlock)]


def in_short(table: Table, names: Sequence[str]) -> list[TableBlock]:
    """A table of many columns as two blocks: those of these names in sight, in this order, and behind a fold all."""
    short = selected(table, f"{table.name}_short", names)
    fold = f"All {len(table.columns)} columns, {counted(len(table.rows), 'row')}"
    in_sight = TableBlock(short, filter=True, formats=(), pages=("html",))
    return [in_sight, TableBlock(table, filter=True, fold=fold)] if table.rows else [TableBlock(table)]


def is_shown(block: Block, page: Page) -> bool:
    """Whether a block has something that a page shows."""
    match block:
        case Words(sentences):
            return any(str(s) for s in sentences)
        case TableBlock(table):
            return page in block.pages and bool(table.rows)
        case Pictures(figures):
            return bool(figures)
        case Facts(values):
            return bool(values)
        case Quotation(text):
            return bool(text)
        case Errors(failures):
            return bool(failures)
        case Shading() | Title():
            return False  # they only explain what others show


def with_numbers(core: Numbers, sources: Sources, sections: Sequence[Section[Any]]) -> Numbers:
    """The numbers that sections share, completed by those of each section and then by the sentences of all."""
    for s in sections:
        if s.numbers is not None:
            core = replace(core, own={**core.own, s.key or s.name: s.numbers(sources, core)})
    words = {key: Words.of(say(core)).sentences for s in sections for key, say in s.words.items()}
    return replace(core, words=words)


def fill(n: Numbers, sections: Sequence[Section[Any]]) -> list[Part]:
    """Every section with its blocks, in order."""
    return [
        Part(s.anchor or s.name, s.title, tuple(s.content(n)), s.nav or s.title, s.level, s.opening, s.pages)
        for s in sections
    ]


def exhibit_part(page: ExhibitPage) -> Part:
    """The page of an exhibit as the first section of a report: figures, tables, how the set-up differs."""
    blocks: list[Block] = [Words.of([page.about]), Pictures(page.figures)]
    for table, once in zip(page.tables, page.without_repeated_notes, strict=True):
        blocks.append(TableBlock(table, notes_said=frozenset(n.text for n in table.notes if n not in once.notes)))
    if any(cell.best for t in page.tables for row in t.rows for cell in row):
        blocks.append(Shading())
    if page.setup:
        blocks += [Title("What differs from the paper's set-up"), Words.of(page.setup, "list")]
    if page.assumed is not None:
        fold = f"{len(page.assumed.rows)} passages that the papers leave open, and what was chosen here"
        blocks += [Title("Assumed, not in the paper"), TableBlock(page.assumed, formats=(), fold=fold)]
    return Part("exhibit", page.title, tuple(blocks), "The exhibit")
