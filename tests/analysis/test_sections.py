"""A section of a report is one module: what it has appears in every format, without a change elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from analysis.conftest import svg_alone
from matplotlib.figure import Figure as Canvas

from raystudy.analysis import compute, report, sections
from raystudy.analysis.figures import Figure
from raystudy.analysis.notebook import opening_html
from raystudy.analysis.numbers import Numbers
from raystudy.analysis.section import Block, Pictures, Section, TableBlock, Words
from raystudy.analysis.table import Cell, Column, Table


def _chart() -> Canvas:
    canvas = Canvas(figsize=(1, 1))
    canvas.subplots().plot([0, 1])
    return canvas


def _content(n: Numbers) -> Iterator[Block]:
    best = TOY.of(n)
    yield Words(n.words["toy"])
    yield Pictures((Figure("toy_chart", "a toy of a chart", _chart),))
    yield TableBlock(Table("toy_table", "Toys.", (Column("best", "best score", "number"),), ((Cell(100 * best),),)))


TOY: Section[float] = Section(
    "toy",
    "Toys & games",
    _content,
    lambda sources, n: max(s.summary.mean for s in n.scores),
    words={"toy": lambda n: [f"The best mean of all is {100 * TOY.of(n):.1f}."]},
)


def _with_toy(monkeypatch: pytest.MonkeyPatch, toy: Section[Any]) -> None:
    listed = (*sections.SECTIONS[:1], toy, *sections.SECTIONS[1:])
    monkeypatch.setattr(sections, "SECTIONS", listed)


def test_a_new_section_appears_in_every_format(records, study, tmp_path: Path, monkeypatch) -> None:
    _with_toy(monkeypatch, TOY)
    with svg_alone():
        path = report.build(study, records, [], tmp_path, facts={})
    folder = path.parent
    numbers = compute.compute(study, records)
    best = TOY.of(numbers)
    saved = json.loads((folder / "report.json").read_text())
    assert saved["toy"] == best
    assert saved["words"]["toy"] == [
        {"rest": f"The best mean of all is {100 * best:.1f}.", "lead": "", "tone": None, "short": "", "items": []}
    ]
    html, text = (folder / "report.html").read_text(), path.read_text()
    for page, heading, before, after in (
        (html, "<h2>Toys &amp; games</h2>", "<h2>Verdict</h2>", "<h2>Scores</h2>"),
        (text, "## Toys & games", "## Verdict", "## Scores"),
    ):
        assert f"The best mean of all is {100 * best:.1f}." in page and "Toys." in page
        assert page.index(before) < page.index(heading) < page.index(after)
    assert '<a href="#toy">' in html and 'id="figure-toy_chart"' in html and 'id="table-toy_table"' in html
    assert "](figures/toy_chart.svg)" in text
    assert (folder / "figures/toy_chart.svg").is_file()
    assert (folder / "tables/toy_table.csv").read_text() == f"best\n{100 * best!r}\n"
    assert "booktabs" in (folder / "tables/toy_table.tex").read_text()
    assert (folder / "tables/toy_table.md").read_text() in text


def test_a_section_of_the_opening_is_what_a_notebook_and_a_terminal_show(records, study, tmp_path, monkeypatch) -> None:
    _with_toy(monkeypatch, replace(TOY, opening=True))
    openings: list[report.Opening] = []
    with svg_alone():
        report.build(study, records, [], tmp_path, opens=openings.append)
    (opening,) = openings
    assert [t.name for t in opening.tables] == ["toy_table", "main"]
    assert "The best mean of all" in opening_html(opening) and "Toys." in opening_html(opening)


def test_a_section_without_anything_to_show_is_left_out(records, study, tmp_path, monkeypatch) -> None:
    _with_toy(monkeypatch, Section("toy", "Toys", lambda n: [Words(()), Pictures(())]))
    with svg_alone():
        path = report.build(study, records, [], tmp_path)
    assert "Toys" not in path.read_text() and "Toys" not in path.with_suffix(".html").read_text()


def test_names_and_keys_are_told_apart() -> None:
    """Two sections with one key would overwrite each other in report.json, with one anchor in the page."""
    for keys in (
        [s.key or s.name for s in sections.SECTIONS if s.numbers is not None] + [*Numbers.__dataclass_fields__],
        [s.anchor or s.name for s in sections.SECTIONS],
        [word for s in sections.SECTIONS for word in s.words],
    ):
        assert sorted(set(keys)) == sorted(keys)
