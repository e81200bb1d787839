"""What exhibits assume beyond their papers is what the docstrings of their methods list, whole."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from analysis.test_html import Page
from exhibits.conftest import Left

from raystudy import exhibits
from raystudy.analysis import html, markdown
from raystudy.exhibits import _assumed
from raystudy.exhibits._assumed import assumed_table, assumptions
from raystudy.plugins import module_names

OPEN = ("maml", "meta_dtl", "metaxt", "mft", "multi_task", "task_distance", "tawt", "tawt_samples")


@pytest.mark.parametrize("method", module_names("methods"))
def test_no_word_of_the_list_is_lost(method: str) -> None:
    """The passages and choices together are the words between the header and the end of the list, in their order."""
    source = (Path(_assumed.__file__).parents[1] / "methods" / f"{method}.py").read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or ""
    assert bool(assumptions(method)) == ("silent" in docstring) == (method in OPEN)
    listed = " ".join(f"{passage} {chosen}" for passage, chosen in assumptions(method).items()).split()
    assert listed == docstring.partition("(and what was chosen")[2].partition("\n")[2].split()[: len(listed)]
    after = docstring.partition(" ".join(listed[-1:]))[2] if listed else ""
    assert not listed or "\n    " not in after.partition("\n\n")[0].partition(listed[-1])[2].partition("\n")[0]
    assert all(passage and chosen and len(passage) <= 50 for passage, chosen in assumptions(method).items())


def test_a_table_has_the_methods_that_leave_something_open_each_once() -> None:
    table = assumed_table(["single_task", "mft", "meta_ft", "bert_mix", "majority"])
    assert table is not None
    methods = [str(row[0].value) for row in table.rows]
    assert [*dict.fromkeys(methods)] == ["mft", "multi_task"]
    assert len(methods) == len(assumptions("mft")) + len(assumptions("multi_task"))
    assert assumed_table(["single_task", "majority"]) is None


def test_it_stands_at_the_end_of_the_exhibit(left: Left) -> None:
    exhibit = exhibits.find("mft_table4")
    study = exhibit.study("small")
    assert study is not None
    page = exhibit.page("small", study, left(study, lambda v, t, s: 0.5))
    text = html.exhibit_report(page, {})
    *_, last = Page(text).tables
    n = len(assumptions("mft")) + len(assumptions("multi_task"))
    assert (
        last[0] == ["method", "left open", "chosen here"]
        and {row[0] for row in last[1:]} == {"mft", "multi_task"}
        and len(last) == 1 + n
    )
    written = markdown.exhibit_report(page)
    assert written.index("What differs from") < written.index("Assumed, not in the paper")
