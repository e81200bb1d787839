"""Few-shot curves: scores against the number of labelled examples, and the paired difference to the baseline."""

from __future__ import annotations

from collections.abc import Mapping

from raystudy.analysis.frame import Key
from raystudy.analysis.numbers import Curve, Design, Line
from raystudy.analysis.stats import interval

__all__ = ["compute"]

_SIGNED = ("mcc", "pearson", "spearman")  # may be negative


def compute(test_scores: Mapping[Key, Mapping[int, float]], design: Design, target: str, metric: str) -> Curve | None:
    """The few-shot curve of `target`; None with fewer than two k's that have results: a point is no curve.

    Args:
        test_scores: the scores of every seed, from `frame.scores_by_seed`.
    """
    shots = [k for k in design.shots if any((m.variant, target, f"k={k}") in test_scores for m in design.methods)]
    if len(shots) < 2:
        return None
    lines, differences = [], []
    for m in design.methods:
        seeds = [test_scores.get((m.variant, target, f"k={k}"), {}) for k in shots]
        if not any(seeds):
            continue
        own = tuple(interval(list(by_seed.values())) for by_seed in seeds)
        lines.append(Line(m.variant, m.title, m.role, own))
        if m.variant == design.baseline or m.role == "floor":
            continue
        theirs = [test_scores.get((design.baseline, target, f"k={k}"), {}) for k in shots]
        gaps = tuple(
            interval([a[i] - b[i] for i in sorted(a.keys() & b.keys())]) for a, b in zip(seeds, theirs, strict=True)
        )
        if any(gap.n for gap in gaps):
            differences.append(Line(m.variant, m.title, m.role, gaps))
    return Curve(
        target,
        metric,
        design.baseline,
        design.baseline_title,
        tuple(shots),
        tuple(lines),
        tuple(differences),
        metric not in _SIGNED,
    )
