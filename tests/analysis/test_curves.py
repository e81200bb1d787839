"""Few-shot curves: the numbers, and the same bytes for the same numbers."""

from __future__ import annotations

import random
import re
from datetime import datetime

import numpy as np
import pytest
from analysis.conftest import figures_of

from raystudy.analysis import figures
from raystudy.analysis.compute import compute
from raystudy.analysis.sections import curves
from raystudy.analysis.stats import interval, paired
from raystudy.studyfile import Study


def curve_of(records, study):
    return next(iter(curves.SECTION.of(compute(study, records))), None)


def figure_of(records, study) -> figures.Figure:
    (figure,) = figures_of(compute(study, records), "curves")
    return figure


def test_numbers_are_those_of_the_tables(records, study):
    curve = curve_of(records, study)
    assert curve.shots == (20, 50) and curve.bounded
    assert [line.variant for line in curve.lines] == ["single_task", "multi_task", "meta_dtl", "majority"]
    assert [line.variant for line in curve.differences] == ["multi_task", "meta_dtl"]
    score = {
        v: [r.metrics["test"]["accuracy"] for r in records if r.spec.variant == v and r.spec.setting.shots == 50]
        for v in ("single_task", "meta_dtl")
    }
    assert curve.lines[2].points[1] == pytest.approx(interval(np.array(score["meta_dtl"])))
    want = paired(score["meta_dtl"], score["single_task"])
    got = curve.differences[1].points[1]
    assert (got.mean, got.half, got.n) == pytest.approx((want.mean, (want.high - want.low) / 2, 5))


def test_same_numbers_same_bytes(records, study):
    shuffled = records[:]
    random.Random(2).shuffle(shuffled)
    assert curve_of(records, study) == curve_of(shuffled, study)
    first, second = (figure_of(r, study) for r in (records, shuffled))
    for form in ("svg", "pdf"):
        assert figures.draw(first, form) == figures.draw(second, form)


def test_svg_has_words_as_text_and_no_date(records, study):
    svg = figures.draw(figure_of(records, study)).decode()
    for word in ("Meta-DTL", "majority class", "test accuracy × 100", "than single-task", ">20<", ">50<"):
        assert word in svg
    assert "<dc:date>" not in svg and str(datetime.now().year) not in re.sub(r"#\w+|url\(.*?\)", "", svg)


def test_a_point_is_no_curve(make, study):
    assert curve_of([], study) is None
    assert curve_of([make("single_task")], study) is None
    no_shots = Study(name="x", tasks=("polarity",), methods=("single_task",))
    assert curve_of([make("single_task", k=None)], no_shots) is None


@pytest.mark.parametrize("kept", ["one seed", "baseline only", "floor only", "a hole", "without the baseline"])
def test_draws_whatever_is_there(records, study, kept):
    keep = {
        "one seed": lambda s: s.seed == 0,
        "baseline only": lambda s: s.variant == "single_task",
        "floor only": lambda s: s.variant == "majority",
        "a hole": lambda s: not (s.variant == "meta_dtl" and s.setting.shots == 20),
        "without the baseline": lambda s: s.variant != "single_task",
    }[kept]
    assert figures.draw(figure_of([r for r in records if keep(r.spec)], study)).startswith(b"<?xml")


def test_each_line_looks_different(make):
    methods = ("single_task", "single_task_matched", "multi_task", "meta_dtl", "meta_dtl_wo_imk", "meta_dtl_wo_wmer",
               "meta_dtl_alpha", "meta_dtl_beta", "meta_dtl_wo_label")  # fmt: skip
    study = Study(name="x", tasks=("polarity",), shots=(5, 50), methods=methods)
    found = compute(study, [make(v, k=k, test=0.5) for v in methods for k in study.shots])
    looks = figures.looks(found.design)
    shifts = curves._shifts(curves.SECTION.of(found)[0], looks)
    assert len({look[:3] for look in looks.values()}) == len(set(shifts.values())) == len(methods)
    assert looks["single_task"].colour == figures.INK
