"""Markdown: whatever words a study brings, a reader of CommonMark and of GitHub's tables gets them back as text."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from raystudy.analysis.latex import escape as latex
from raystudy.analysis.markdown import paragraph, to_markdown
from raystudy.analysis.table import Cell, Column, Table
from raystudy.errors import printable

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
MARKUP = st.text("ab _*`~[]()|<>&;!#+-\\1.:x\n\"'/=é", max_size=12)
NASTY = (
    *("__init__", "`x`", "[a](b)", "~~x~~", "a|b", "a\\|b", "<b>x</b>", "&amp;", "&#35;", "***", "_a", "a_", "a_b_c"),
    *("\\", "`", "``", "a`", "![a](b)", "<http://x.y>", "[a]: b", "# x", "x #", "- x", "+ x", "1. x", "2) x", "> x"),
    *("[ ] x", "---", "===", "a\n\n# b", "`|`", "\\`", "|"),
)


def words(tokens: Iterable[Token] | None) -> str:
    """The text that a reader shows; a tag shows as none."""
    out = ""
    for token in tokens or ():
        if token.children is not None:
            out += words(token.children)
        elif token.type in ("text", "code_inline"):
            out += token.content
        elif token.type in ("softbreak", "hardbreak"):
            out += " "
    return " ".join(out.split()) if out.strip() else ""


def cells(text: str) -> list[list[str]]:
    """The rows of the tables in a text."""
    rows: list[list[str]] = []
    for token in READER.parse(text):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows:
            rows[-1].append(words([token]))
    return rows


def nasty(law):
    for text in NASTY:
        law = example(text)(law)
    return law


@nasty
@given(MARKUP)
@settings(max_examples=60)
def test_a_line_of_words_is_one_paragraph_of_text(text: str) -> None:
    if not text.strip():
        return
    opened, inline, closed = READER.parse(paragraph(text))
    assert (opened.type, closed.type) == ("paragraph_open", "paragraph_close")
    assert {t.type for t in inline.children or ()} == {"text"}
    assert words([inline]) == " ".join(text.split())
    listed = [t.type for t in READER.parse(f"- {paragraph(text)}") if t.level < 3 and t.nesting >= 0]
    assert listed == ["bullet_list_open", "list_item_open", "paragraph_open"]


@nasty
@given(MARKUP)
@settings(max_examples=60)
def test_the_cells_of_a_table_come_back(text: str) -> None:
    plain = " ".join(text.split())
    if not plain:
        return
    for kind in ("text", "code"):
        columns = (Column("a", text), Column("b", "b", kind), Column("c", "c"))
        for best in (False, True):
            table = Table("x", "", columns, ((Cell(text), Cell(text, best=best), Cell("z")),))
            assert cells(to_markdown(table)) == [[plain, "b", "c"], [plain, plain, "z"]]


@pytest.mark.parametrize(
    "text", ["meta_dtl_wo_imk", "a b", "x < 1", "R&D", "meta_dtl[lambda=0.3]", "-0.3 ± 0.1", "a - b"]
)
def test_what_needs_no_escape_has_none(text: str) -> None:
    assert paragraph(text) == text


def test_what_no_file_can_hold_is_written_out() -> None:
    assert printable("a\x1b[31m\x00\ud800é\n", "file") == "a\\x1b[31m\\x00\\ud800é\n"
    table = Table("x", "", (Column("a", "a"),), ((Cell("\x1b\udcff"),),))
    assert cells(to_markdown(table))[1] == ["\\x1b\\udcff"]
    to_markdown(table).encode()


@pytest.mark.parametrize(
    ("text", "printed"),
    [("--flag", "-{}-flag"), ("---", "-{}-{}-"), ("''", "'{}'"), (",,", ",{},"), ("", ""), ("-", "-")],
)
def test_latex_joins_no_two_signs_to_one(text: str, printed: str) -> None:
    assert latex(text) == printed
