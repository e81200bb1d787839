"""What several targets say together: hand arrays, scipy, and what the words and the picture make of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from raystudy.analysis import across_targets as across
from raystudy.analysis import figures
from raystudy.analysis.compute import compute
from raystudy.analysis.sections import across_targets as section
from raystudy.spec import Record
from raystudy.studyfile import Study

METHODS = ("majority", "single_task", "single_task_matched", "multi_task", "meta_dtl")


def numbers(make, gains: dict[str, list[float]], seeds: int = 5, spread: float = 0.01, **changes):
    """A report over as many targets as there are gains: the baseline at .6, each method above it by its gains."""
    targets = tuple("abcdefgh"[: len(next(iter(gains.values())))])
    rng = np.random.default_rng(0)
    records: list[Record] = []
    for t, target in enumerate(targets):
        for seed in range(seeds):
            for variant, of in {"single_task": [0.0] * len(targets), **gains}.items():
                score = 0.6 + 0.02 * t + of[t] + (rng.normal(0, spread) if variant != "single_task" else 0.0)
                records.append(make(variant, target, seed, float(score), k=None, suite=targets))
    methods = tuple(m for m in METHODS if m in gains or m == "single_task")
    return compute(Study(name="x", tasks=targets, targets=targets, methods=methods, **changes), records)


def of(found, variant: str) -> across.OfTargets:
    (one,) = section.SECTION.of(found)
    return next(r for r in one.rows if r.variant == variant)


def test_ranks_and_counts_by_hand(make):
    gains = {"meta_dtl": [0.1, 0.1, -0.1], "multi_task": [0.05, 0.0, -0.2], "majority": [-0.3] * 3}
    found = numbers(make, gains, spread=0.0)
    (one,) = section.SECTION.of(found)
    assert {r.variant: r.rank for r in one.rows} == {  # floors are not ranked, equal means share a rank
        "single_task": pytest.approx((3 + 2.5 + 1) / 3),
        "multi_task": pytest.approx((2 + 2.5 + 3) / 3),
        "meta_dtl": pytest.approx((1 + 1 + 2) / 3),
    }
    multi = of(found, "multi_task")
    assert (multi.above, multi.below) == (1, 1) and multi.gain.mean == pytest.approx(-0.05)
    assert not one.tested and one.cliques == () and math.isnan(multi.p)


def test_two_targets_are_no_section(make):
    assert section.SECTION.of(numbers(make, {"meta_dtl": [0.1, 0.1]})) == ()
    assert section.SECTION.of(numbers(make, {"majority": [0.1] * 4})) == ()


def test_on_at_least_so_many_targets_is_holms_count():
    """Two small p-values among eight: Bonferroni's partial conjunction counts them, and no p of 1 hides them."""
    assert across.replicated([0.001, 0.004, 0.5, 0.9, 1.0, 1.0, 1.0, 1.0]) == 2
    assert across.replicated([0.02] * 3) == 0 and across.replicated([0.01] * 3) == 3
    assert across.replicated([0.01, math.nan, 0.9]) == 1


@pytest.mark.parametrize("n", [6, 9])
def test_wilcoxon_equals_scipy_where_it_is_exact(n):
    gains = np.random.default_rng(n).normal(0.3, 1, n)
    assert across.wilcoxon(gains) == pytest.approx(scipy.stats.wilcoxon(gains, method="exact").pvalue)


def test_wilcoxon_counts_ties_and_leaves_zeros_out():
    assert across.wilcoxon([0.0, 0.0]) == 1
    assert across.wilcoxon([1.0] * 6 + [0.0]) == 2 / 2**6  # all signs alike: the floor of six
    # ranks 1.5, 1.5, 3: of eight patterns 3 + 1.5 + 1.5 and its mirror are as extreme
    assert across.wilcoxon([1.0, 1.0, 2.0]) == 2 / 8
    many = np.random.default_rng(1).normal(0.3, 1, 50)
    assert across.wilcoxon(many) == pytest.approx(scipy.stats.wilcoxon(many).pvalue)


def test_cliques_are_the_longest_runs_that_no_test_parts():
    rng = np.random.default_rng(2)
    level = np.linspace(0.3, 0.7, 8)
    good, also_good, bad = level + 0.2, level + 0.2 + rng.normal(0, 0.01, 8), level
    assert across.cliques([bad, good, also_good], ["bad", "good", "also"]) in (
        (("good", "also"),),
        (("also", "good"),),
    )
    assert across.cliques([good, bad], ["good", "bad"]) == ()
    alike = [level + rng.normal(0, 0.05, 8) for _ in range(3)]
    assert len(across.cliques(alike, "abc")) == 1 and sorted(across.cliques(alike, "abc")[0]) == ["a", "b", "c"]


def test_chance_of_improvement_is_that_of_mann_and_whitney(make):
    found = numbers(make, {"meta_dtl": [0.01, -0.01, 0.0]}, seeds=6, spread=0.02)
    base = {t: [r.test for r in found.runs if (r.variant, r.target) == ("single_task", t)] for t in "abc"}
    ours = {t: [r.test for r in found.runs if (r.variant, r.target) == ("meta_dtl", t)] for t in "abc"}
    wanted = [scipy.stats.mannwhitneyu(ours[t], base[t]).statistic / 36 for t in "abc"]
    value, low, high = of(found, "meta_dtl").improvement
    assert value == pytest.approx(np.mean(wanted)) and low < value < high
    gains = [a - b for t in "abc" for a, b in zip(ours[t], base[t], strict=True)]
    iqm, low, high = of(found, "meta_dtl").iqm
    assert iqm == pytest.approx(scipy.stats.trim_mean(gains, 0.25)) and low < iqm < high


def test_six_targets_are_tested_and_say_so(make):
    gains = {"meta_dtl": [0.05, 0.06, 0.04, 0.05, 0.07, 0.05], "multi_task": [0.0, 0.01, -0.01, 0.0, 0.005, -0.005]}
    found = numbers(make, gains)
    meta = of(found, "meta_dtl")
    assert meta.p == 2 / 64 and meta.better == 6 and meta.worse == 0
    text = " ".join(str(s) for s in found.words["across_targets"])
    assert "Over 6 targets, all data: Meta-DTL has the best average rank (1 of 3)." in text
    assert "Meta-DTL on at least 6 of 6" in text and "its floor is 0.031" in text.replace("(its", "its")
    (figure,) = section._figures(found)
    svg = figures.draw(figure).decode()
    assert "Meta-DTL" in svg and "average rank over 6 targets" in svg and figures.draw(figure).decode() == svg


def test_harm_is_told_of_what_transfers_and_controls_stand_apart(make):
    found = numbers(make, {"single_task_matched": [-0.1] * 3, "multi_task": [-0.1, -0.1, 0.1]})
    text = " ".join(str(s) for s in found.words["across_targets"])
    assert "multi-task hurts on 2 of 3, on at least 2 beyond doubt" in text and "equal passes hurts" not in text
    table = section.across_targets_table(section.SECTION.of(found), found.design)
    assert [row[1].marks for row in table.rows] == ["", "", "§"] and any(n.mark == "§" for n in table.notes)
    assert "cannot be tested: that takes 6 of them" in text


def test_a_method_without_a_score_on_some_target_is_left_out_and_named(make):
    found = numbers(make, {"meta_dtl": [0.1] * 3, "multi_task": [0.1] * 3})
    records = [
        make(r.variant, r.target, r.seed, r.test, k=None, suite=("a", "b", "c"))
        for r in found.runs
        if (r.variant, r.target) != ("multi_task", "b")
    ]
    study = Study(name="x", tasks=("a", "b", "c"), methods=("single_task", "multi_task", "meta_dtl"))
    (one,) = section.SECTION.of(compute(study, records))
    assert one.left_out == ("multi_task",) and [r.variant for r in one.rows] == ["single_task", "meta_dtl"]
