"""How far the score of one trained model is known: its interval over test examples, as if others had been drawn.

    accuracy        Wilson's interval of a proportion
    others          delete-one pseudo-values G s - (G - 1) s_(-g) of G groups of examples, and their t-interval; a group
                    is one example, or more where there are more than `MOST_GROUPS`

It says nothing of other seeds or other training examples: the model is fixed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from raystudy.analysis.stats import ALPHA
from raystudy.metrics import metric

__all__ = ["MOST_GROUPS", "example_interval"]

MOST_GROUPS = 200  # so many scores are computed, however many examples there are
_FEWEST = 5  # of fewer examples no interval is told


def example_interval(name: str, gold: Sequence[Any], pred: Sequence[Any], positive: str = "") -> tuple[float, float]:
    """The 95 % interval of a metric over n examples (for tags: sentences); (nan, nan) of fewer than five.

    Args:
        name: of the metric.
        gold, pred: (n,) labels and answers.
        positive: the class of which the metric ``f1`` is.
    """
    n = len(gold)
    if n < _FEWEST:
        return math.nan, math.nan
    if name == "accuracy":
        right = sum(g == p for g, p in zip(gold, pred, strict=True))
        wilson = stats.binomtest(right, n).proportion_ci(1 - ALPHA, method="wilson")
        return float(wilson.low), float(wilson.high)
    score = metric(name, positive)
    groups = min(n, MOST_GROUPS)
    of = np.arange(n) % groups
    whole = score(gold, pred)

    def without(group: int) -> float:
        kept = np.flatnonzero(of != group).tolist()
        return score([gold[i] for i in kept], [pred[i] for i in kept])

    pseudo = groups * whole - (groups - 1) * np.array([without(g) for g in range(groups)])
    half = float(stats.t.ppf(1 - ALPHA / 2, groups - 1)) * float(pseudo.std(ddof=1)) / math.sqrt(groups)
    least = -1.0 if name in ("pearson", "spearman", "mcc") else 0.0
    return max(least, whole - half), min(1.0, whole + half)
