"""Every score on the page is the one of results.csv."""

from __future__ import annotations

import statistics
from pathlib import Path

import pandas as pd
from analysis.test_html import Page

from raystudy.analysis.compute import design_of
from raystudy.analysis.table import Column, number


def test_every_mean_of_the_main_table_is_that_of_results_csv(rich, rich_report: Path) -> None:
    frame = pd.read_csv(rich_report.with_name("results.csv"))
    frame = frame[(frame["split"] == "test") & (frame["metric"] == "accuracy")]
    rows = next(t for t in Page(rich_report.read_text()).tables if t[0][:2] == ["method", "polarity (k=20)"])
    titles = {m.title: m.variant for m in design_of(rich.study).methods}
    seen = 0
    for row in rows[1:]:
        for place, text in zip(rows[0][1:], row[1:], strict=True):
            target, setting = place.removesuffix(")").split(" (")
            of_cell = (frame["variant"] == titles[row[0]]) & (frame["target"] == target) & (frame["setting"] == setting)
            values = frame[of_cell]["value"].tolist()
            assert text.split(" ")[0] == number(100 * statistics.fmean(values), Column("", "", "number"))
            assert text.endswith(f"({len(values)})")
            seen += 1
    assert seen == len(titles) * 6


def test_every_score_of_a_cell_is_that_of_results_csv(rich_report: Path) -> None:
    frame = pd.read_csv(rich_report.with_name("results.csv"))
    (rows,) = (t for t in Page(rich_report.read_text()).tables if t[0][-1] == "cell")
    heads, printed = rows[0], {row[-1]: row for row in rows[1:]}
    for split in ("dev", "test"):
        of_split = frame[(frame["split"] == split) & (frame["metric"] == "accuracy")]
        for cell, value in zip(of_split["cell"], of_split["value"], strict=True):
            assert printed[cell][heads.index(split)] == number(100 * value, Column("", "", "number"))
