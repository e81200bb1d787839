"""How far the score of one trained model is known: its interval over test examples, as if others had been drawn.

    accuracy        Wilson's interval of a proportion
    others          delete-one pseudo-values of the examples (`leave_one_out`), and their t-interval

It says nothing of other seeds or other training examples: the model is fixed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from scipy import stats

from raystudy.analysis.leave_one_out import terms
from raystudy.analysis.stats import ALPHA
from raystudy.errors import ConfigError, unknown_name
from raystudy.metrics import METRICS

__all__ = ["example_interval"]

_FEWEST = 5  # of fewer examples no interval is told


def example_interval(name: str, gold: Sequence[Any], pred: Sequence[Any], positive: str = "") -> tuple[float, float]:
    """The 95 % interval of a metric over n examples (for tags: sentences); (nan, nan) of fewer than five.

    Args:
        name: of the metric.
        gold, pred: (n,) labels and answers.
        positive: the class of which the metric ``f1`` is.

    Raises:
        ConfigError: no metric has this name.
    """
    n = len(gold)
    if n < _FEWEST:
        return math.nan, math.nan
    if name == "accuracy":
        right = sum(g == p for g, p in zip(gold, pred, strict=True))
        wilson = stats.binomtest(right, n).proportion_ci(1 - ALPHA, method="wilson")
        return float(wilson.low), float(wilson.high)
    if name not in METRICS:
        raise ConfigError(unknown_name("metric", name, list(METRICS)))
    pseudo = terms(name, gold, pred, positive)
    whole = float(pseudo.mean())
    half = float(stats.t.ppf(1 - ALPHA / 2, n - 1)) * float(pseudo.std(ddof=1)) / math.sqrt(n)
    least = -1.0 if name in ("pearson", "spearman", "mcc") else 0.0
    return max(least, whole - half), min(1.0, whole + half)
