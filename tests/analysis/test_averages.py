"""Averages over targets are taken seed by seed; stars say which p a difference has."""

from __future__ import annotations

import math

import pytest

from raystudy.analysis.compute import compute
from raystudy.analysis.sections.averages import SECTION, average_table
from raystudy.analysis.sections.parallel import heights
from raystudy.analysis.sections.scores import main_table, stars
from raystudy.studyfile import ReportPlan, Study


def test_the_mean_is_over_the_seeds_that_all_targets_have(make) -> None:
    study = Study(
        name="x",
        tasks=("polarity", "stars"),
        shots=(20,),
        methods=("single_task", "meta_dtl"),
        report=ReportPlan(seeds=3),
    )
    scores = {("single_task", "polarity"): (0.5, 0.6, 0.7), ("single_task", "stars"): (0.3, 0.2, 0.4)}
    scores |= {("meta_dtl", "polarity"): (0.9, 0.9, 0.9), ("meta_dtl", "stars"): (0.7, 0.5)}
    given = [make(v, t, s, x) for (v, t), xs in scores.items() for s, x in enumerate(xs)]
    numbers = compute(study, given)
    base, method = SECTION.of(numbers)
    assert base.values == pytest.approx((0.4, 0.4, 0.55)) and base.seeds == (0, 1, 2)
    assert method.values == pytest.approx((0.8, 0.7)) and method.seeds == (0, 1)
    assert base.best and not method.best  # a mean over fewer seeds does not win
    table = average_table(numbers)
    assert [c.title for c in table.columns] == ["method", "average, k=20", "passes of one training"]
    assert [row[2].value for row in table.rows] == [1.0, 1.0]


def test_one_target_has_no_average(records, study) -> None:
    assert SECTION.of(compute(study, records)) == ()


def test_stars() -> None:
    assert [stars(p) for p in (0.0009, 0.001, 0.01, 0.05, 0.1, math.nan)] == ["***", "**", "*", "°", "", ""]


def test_stars_in_the_main_table_are_those_of_the_p_that_decides(records, study) -> None:
    numbers = compute(study, records)
    table = main_table(numbers)
    for c in numbers.comparisons:
        (row,) = (r for r in table.rows if r[0].value == c.variant)
        at = [col.name for col in table.columns].index(f"{c.target} {c.setting}")
        assert "".join(m for m in row[at].marks if m in "*°") == (stars(c.p) if c.tested else "")


def test_heights_of_parallel_axes() -> None:
    assert heights([1e-5, 1e-4, 1e-3], log=True)[0] == pytest.approx([0, 0.5, 1])
    assert heights([0.0, 1.0, 4.0], log=False) == ([0.0, 0.25, 1.0], [(0.0, "0"), (1.0, "4")])
    at, ticks = heights(["cls", None, "mean", "cls"], log=False)
    assert at == [0.0, 0.5, 1.0, 0.0] and [name for _, name in ticks] == ["cls", "none", "mean"]
    assert heights([0.0, 1.0], log=True)[0] == [0.0, 1.0]  # no logarithm of zero
