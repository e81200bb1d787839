"""A metric without each of its examples in turn, and what each example adds to it, in closed form.

Accuracy is a mean over examples, so two methods can be compared example by example. F1, Matthews correlation, Pearson
and Spearman correlation are no means: there stands the pseudo-value of an example, which says by how much the score of
all n examples moves when the example is left out (the jackknife of Tukey 1958),

    pseudo-value(e) = score + (n - 1) (mean over i of score without i - score without e).

They average to the score, their variance over n is the variance that the drawing of test examples leaves in it, and
for a mean they are its terms. Of tags an example is a sentence: words of one sentence are not drawn one by one.

Metrics are scikit-learn's and scipy's (`raystudy.metrics`); n calls of a library would take seconds for each training.
Here what a metric is made of (counts of classes, sums of squares) is computed once, and an example is subtracted from
it. Arrays may have any leading axes, for which each row of examples is a test set of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raystudy.metrics import spans

__all__ = [
    "CORRELATIONS",
    "SENTENCE_METRICS",
    "correlations",
    "of_classes",
    "pseudo_values",
    "ratio",
    "terms",
    "without_each",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CORRELATIONS = ("pearson", "spearman")  # of numbers
SENTENCE_METRICS = ("token_accuracy", "token_f1", "span_f1")  # of tags: an example is a sentence
_CLASSES = ("macro_f1", "mcc")
_BLOCK = 1 << 22  # entries of a table of all pairs of examples that are held at a time


def pseudo_values(without: ArrayLike, score: ArrayLike) -> Floats:
    """(..., n) what each example adds to a score, from (..., n) scores without each example; the mean is the score."""
    left = np.asarray(without, dtype=np.float64)
    values: Floats = np.asarray(score)[..., None] + (left.shape[-1] - 1) * (left.mean(axis=-1, keepdims=True) - left)
    return values


def terms(name: str, gold: Sequence[Any], pred: Sequence[Any], positive: str = "") -> Floats:
    """(n,) what each example (of tags: each sentence) adds to a metric: its pseudo-value, or 0 and 1 for accuracy.

    Args:
        name: of the metric, one of `raystudy.metrics.METRICS`.
        gold, pred: (n,) labels and answers, n at least 2.
        positive: the class of which the metric ``f1`` is.

    Raises:
        ValueError: fewer than two examples, or a metric that is not known.
    """
    if name == "accuracy":
        return np.array([g == p for g, p in zip(gold, pred, strict=True)], dtype=np.float64)
    score, without = without_each(name, gold, pred, positive)
    return pseudo_values(without, score)


def without_each(name: str, gold: Sequence[Any], pred: Sequence[Any], positive: str = "") -> tuple[float, Floats]:
    """A metric of all n examples, and the (n,) values that it has without each of them.

    Args, Raises: those of `terms`.
    """
    n = len(gold)
    if n < 2:
        raise ValueError(f"leaving one example out takes two, but there are {n}")
    if name == "accuracy":
        right = np.array([g == p for g, p in zip(gold, pred, strict=True)], dtype=np.float64)
        return float(right.mean()), ratio(right, np.ones(n))
    if name in _CLASSES:
        classes = sorted({*gold, *pred} - {""})
        at: dict[Any, int] = {c: i for i, c in enumerate([*classes, ""])}  # "" is an answer that is no class: the last
        g, p = (np.array([at[x] for x in labels]) for labels in (gold, pred))
        score, left = of_classes(name, g, p, len(classes) + 1)
        return float(score), left
    if name in CORRELATIONS:
        x, y = np.asarray(gold, dtype=np.float64), np.asarray(pred, dtype=np.float64)
        score, left = _pearson(x, y) if name == "pearson" else _spearman(x, y)
        return float(score), left
    count = _COUNTS.get(name)
    if count is None:
        raise ValueError(f"what an example adds to the metric {name} is not known")
    counts = np.array([count(g, p, positive) for g, p in zip(gold, pred, strict=True)], dtype=np.float64)
    right, of = counts[:, 0], counts[:, 1]
    return float(right.sum() / of.sum()) if right.sum() else 0.0, ratio(right, of)


# ---------------------------------------------------------------------------------------------------------------------
# ratios of counts: F1 of one class or of spans, accuracy of words


def ratio(right: ArrayLike, of: ArrayLike) -> Floats:
    """(..., n) the sum of `right` over the sum of `of` without each example in turn; 0 where nothing is right."""
    r, t = np.asarray(right, dtype=np.float64), np.asarray(of, dtype=np.float64)
    r, t = r.sum(axis=-1, keepdims=True) - r, t.sum(axis=-1, keepdims=True) - t
    return _over(r, t, r > 0)


def _over(a: NDArray[Any], b: NDArray[Any], where: NDArray[np.bool_]) -> Floats:
    """a / b where asked for, and 0 elsewhere."""
    out: Floats = np.zeros(np.broadcast(a, b, where).shape)
    np.divide(a, b, out=out, where=where)
    return out


def _words(gold: Sequence[str], pred: Sequence[str], positive: str) -> tuple[int, int]:
    return sum(g == p for g, p in zip(gold, pred, strict=True)), len(gold)


def _word_answers(gold: Sequence[str], pred: Sequence[str], positive: str) -> tuple[int, int]:
    right = sum(g == p != "O" for g, p in zip(gold, pred, strict=True))
    return 2 * right, sum(tag != "O" for tag in (*gold, *pred))


def _spans(gold: Sequence[str], pred: Sequence[str], positive: str) -> tuple[int, int]:
    if len(gold) != len(pred):
        raise ValueError(f"a sentence of {len(gold)} gold tags has {len(pred)} predicted tags")
    g, p = set(spans(gold)), set(spans(pred))
    return 2 * len(g & p), len(g) + len(p)


def _of_positive(gold: Any, pred: Any, positive: str) -> tuple[int, int]:
    return 2 * (gold == pred == positive), (gold == positive) + (pred == positive)


# metric -> (what is right in one example, of how much); an F1 is twice what is right by what is there and is answered
_COUNTS: dict[str, Callable[[Any, Any, str], tuple[int, int]]] = {
    "token_accuracy": _words,
    "token_f1": _word_answers,
    "span_f1": _spans,
    "f1": _of_positive,
}


# ---------------------------------------------------------------------------------------------------------------------
# metrics of a table of classes


def of_classes(name: str, gold: ArrayLike, pred: ArrayLike, k: int) -> tuple[Floats, Floats]:
    """``macro_f1`` or ``mcc`` of (..., n) classes from 0 to k - 1, and its (..., n) values without each example.

    What is left depends only on which class was answered for which, so k * k values serve all examples.

    Args:
        k: how many classes there are; the last one (k - 1) is the answer that is no class, which is always wrong. It is
            no part of a macro-F1, and an answer like any other in a Matthews correlation.
    """
    g, p = np.broadcast_arrays(np.asarray(gold, dtype=np.int64), np.asarray(pred, dtype=np.int64))
    lead, n = g.shape[:-1], g.shape[-1]
    cells = (g * k + p).reshape(-1, n)
    shifted = cells + (k * k * np.arange(len(cells)))[:, None]
    table = np.bincount(shifted.ravel(), minlength=len(cells) * k * k).reshape(len(cells), k, k)
    right = np.diagonal(table, axis1=1, axis2=2)
    parts = right, table.sum(axis=2), table.sum(axis=1)  # each (rows, k): answered rightly, there are, answered
    metric = _macro_f1 if name == "macro_f1" else _mcc
    one = np.eye(k, dtype=np.int64)
    right, there, answered = (part[:, None, None, :] for part in parts)
    # entry (i, j) of the table: an example of class i that was answered with j is left out
    left = metric(right - one[:, None] * one[None, :], there - one[:, None], answered - one[None, :])
    values = np.take_along_axis(left.reshape(len(cells), k * k), cells, axis=1)
    return metric(*parts).reshape(lead), values.reshape(*lead, n)


def _macro_f1(right: Ints, there: Ints, answered: Ints) -> Floats:
    """(...) mean F1 of the classes that are there or answered, from (..., k) counts; the last is no class."""
    of = (there + answered)[..., :-1]
    f1 = _over(2 * right[..., :-1], of, of > 0)
    mean: Floats = f1.sum(axis=-1) / np.maximum((of > 0).sum(axis=-1), 1)
    return mean


def _mcc(right: Ints, there: Ints, answered: Ints) -> Floats:
    """(...) Matthews correlation from (..., k) counts: the correlation of the classes there with those answered."""
    n = there.sum(axis=-1)
    both = right.sum(axis=-1) * n - (there * answered).sum(axis=-1)
    spread = (n * n - (there * there).sum(axis=-1)).astype(np.float64) * (n * n - (answered * answered).sum(axis=-1))
    return _over(both, np.sqrt(np.maximum(spread, 0)), spread > 0)


# ---------------------------------------------------------------------------------------------------------------------
# correlations


def correlations(gold: ArrayLike, pred: ArrayLike) -> tuple[Floats, Floats]:
    """Pearson correlations of (..., n) numbers, and their (..., n) values without each example."""
    return _pearson(np.asarray(gold, dtype=np.float64), np.asarray(pred, dtype=np.float64))


def _pearson(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Without example e a sum of squares around its own mean is S - d_e ** 2 n / (n - 1), d_e from the mean of all."""
    n = x.shape[-1]
    (dx, xx, x_varies), (dy, yy, y_varies) = _around_mean(x), _around_mean(y)
    xy, back = (dx * dy).sum(axis=-1, keepdims=True), n / (n - 1)
    score = _correlation(xy, xx, yy, (np.ptp(x, axis=-1, keepdims=True) > 0) & (np.ptp(y, axis=-1, keepdims=True) > 0))
    left = _correlation(xy - back * dx * dy, xx - back * dx * dx, yy - back * dy * dy, x_varies & y_varies)
    return score[..., 0], left


def _around_mean(x: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """(distances from the mean in a unit of their own, sum of their squares, whether x varies without each example)."""
    d = x - x.mean(axis=-1, keepdims=True)
    widest = np.abs(d).max(axis=-1, keepdims=True)
    d = d / np.where(widest > 0, widest, 1.0)
    s = np.sort(x, axis=-1)
    most = np.where(x == s[..., -1:], s[..., -2:-1], s[..., -1:])
    least = np.where(x == s[..., :1], s[..., 1:2], s[..., :1])
    return d, (d * d).sum(axis=-1, keepdims=True), most > least


def _correlation(xy: Floats, xx: Floats, yy: Floats, varies: NDArray[np.bool_]) -> Floats:
    spread = np.sqrt(np.maximum(xx, 0) * np.maximum(yy, 0))
    r: Floats = np.clip(_over(xy, spread, varies & (spread > 0)), -1.0, 1.0)
    return r


def _spearman(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Of (n,) numbers: leaving out e lowers by one the rank of what is above it, by a half of what is equal to it."""
    n = len(x)
    rank_x, rank_y = _ranks(x), _ranks(y)
    score, _ = _pearson(rank_x, rank_y)
    left = np.empty(n)
    step = max(_BLOCK // n, 1)
    for first in range(0, n, step):
        out = np.arange(first, min(first + step, n))
        x_left, y_left = (_ranks_without(v, r, out) for v, r in ((x, rank_x), (y, rank_y)))
        mean = n / 2  # of the ranks 1 to n - 1
        dx, dy = x_left - mean, y_left - mean
        dx[np.arange(len(out)), out] = dy[np.arange(len(out)), out] = 0.0
        xy, xx, yy = (dx * dy).sum(axis=1), (dx * dx).sum(axis=1), (dy * dy).sum(axis=1)
        left[out] = _correlation(xy, xx, yy, (xx > 0) & (yy > 0))
    return score, left


def _ranks(x: Floats) -> Floats:
    from scipy.stats import rankdata

    ranks: Floats = rankdata(x)
    return ranks


def _ranks_without(x: Floats, ranks: Floats, out: Ints) -> Floats:
    """(len(out), n) the ranks that the others have without each of `out`."""
    left: Floats = ranks - (x > x[out][:, None]) - 0.5 * (x == x[out][:, None])
    return left
