"""Scores: arrays in, one float out. Fractions in [0, 1], correlations in [-1, 1]; tables multiply by 100.

Every function takes `gold` and `pred` of one shape and is checked against scikit-learn or scipy in the tests. Span F1
follows the conlleval script: a span counts when its first token, last token and type agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from raystudy.errors import ConfigError, unknown_name

__all__ = [
    "METRICS",
    "accuracy",
    "f1",
    "macro_f1",
    "mcc",
    "metric",
    "pearson",
    "span_f1",
    "spans",
    "spearman",
    "token_accuracy",
    "token_f1",
]

Labels = NDArray[np.object_] | NDArray[np.int64] | Sequence[str] | Sequence[int]
Reals = NDArray[np.float64] | Sequence[float]


def accuracy(gold: Labels, pred: Labels) -> float:
    """Fraction of equal entries, over (n,)."""
    return float(np.mean(np.asarray(gold) == np.asarray(pred)))


def _confusion(gold: Labels, pred: Labels) -> NDArray[np.float64]:
    """(C, C) counts, rows gold, columns predicted, classes in sorted order of those that occur."""
    g, p = np.asarray(gold), np.asarray(pred)
    classes = np.unique(np.concatenate([g, p]))
    table = np.zeros((len(classes), len(classes)))
    np.add.at(table, (np.searchsorted(classes, g), np.searchsorted(classes, p)), 1)
    return table


def mcc(gold: Labels, pred: Labels) -> float:
    """Matthews correlation, multi-class (Gorodkin 2004); 0 where a marginal is constant, as scikit-learn has it."""
    table = _confusion(gold, pred)
    n, right, rows, columns = table.sum(), np.trace(table), table.sum(1), table.sum(0)
    spread = (n**2 - rows @ rows) * (n**2 - columns @ columns)
    return float((right * n - rows @ columns) / np.sqrt(spread)) if spread > 0 else 0.0


def _f1_per_class(gold: Labels, pred: Labels) -> NDArray[np.float64]:
    table = _confusion(gold, pred)
    size = table.sum(0) + table.sum(1)
    return 2 * np.diag(table) / np.where(size > 0, size, 1)


def macro_f1(gold: Labels, pred: Labels) -> float:
    """Unweighted mean of the F1 of every class that occurs in `gold` or `pred`, which is scikit-learn's default too.

    A class that is neither in the test set nor answered has no part in it. An empty answer is none of the classes: it
    is wrong, but adds no class to the mean.
    """
    unanswered = "" in set(np.asarray(pred).tolist())  # the empty name is sorted first
    return float(_f1_per_class(gold, pred)[int(unanswered) :].mean())


def f1(gold: Labels, pred: Labels, positive: str | int) -> float:
    """F1 of the class `positive`; 0 where it is neither in `gold` nor answered (scikit-learn's ``zero_division=0``)."""
    g, p = np.asarray(gold) == positive, np.asarray(pred) == positive
    size = int(g.sum() + p.sum())
    return 2 * int((g & p).sum()) / size if size else 0.0


def pearson(gold: Reals, pred: Reals) -> float:
    """Pearson correlation; 0 where either side is constant (it is undefined there, and scipy gives nan).

    The same in whatever unit either side is given: no number is too large or too small for its square.
    """
    g, p = np.asarray(gold, float), np.asarray(pred, float)
    if np.ptp(g) == 0 or np.ptp(p) == 0:
        return 0.0
    g, p = _centred(g), _centred(p)
    norm = np.sqrt((g @ g) * (p @ p))
    return float(g @ p / norm) if norm > 0 else 0.0


def _centred(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """`x` without its mean, times a power of two that makes the largest number about 1."""
    x = np.ldexp(x, -int(np.frexp(np.abs(x).max())[1]))
    x = x - x.mean()
    return np.ldexp(x, -int(np.frexp(np.abs(x).max())[1]))


def spearman(gold: Reals, pred: Reals) -> float:
    """Pearson correlation of mid-ranks."""
    return pearson(_midranks(gold), _midranks(pred))


def _midranks(values: Reals) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(np.asarray(values, float), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse])


def token_accuracy(gold: Sequence[Sequence[str]], pred: Sequence[Sequence[str]]) -> float:
    """Fraction of equal tags over all tokens of all sentences."""
    pairs = [(g, p) for gs, ps in zip(gold, pred, strict=True) for g, p in zip(gs, ps, strict=True)]
    return float(np.mean([g == p for g, p in pairs])) if pairs else 0.0


def token_f1(gold: Sequence[Sequence[str]], pred: Sequence[Sequence[str]]) -> float:
    """Micro F1 over words, `O` being no answer: right where a tag other than O is the gold one.

    0 when nothing is right, also where there is nothing but O on both sides (scikit-learn's ``zero_division=0``).
    """
    pairs = [(g, p) for gs, ps in zip(gold, pred, strict=True) for g, p in zip(gs, ps, strict=True)]
    right = sum(g == p != "O" for g, p in pairs)
    return 2 * right / (sum(g != "O" for g, _ in pairs) + sum(p != "O" for _, p in pairs)) if right else 0.0


def spans(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """(type, first, last + 1) of each chunk of a tag sequence; chunks of the plain tags B and I have type ''.

    As in conlleval, an I- tag that does not continue a chunk of its type opens one. The same rules read the schemes
    that mark the end of a chunk: E- (IOBES, BMES) or L- (BILOU) is its last word, S-, U- or W- (BMEWO) a chunk of one
    word, M- a word within it.
    """
    kind, start = None, 0
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, this = tag.partition("-")
        if kind is not None and (prefix not in _GOES_ON or this != kind):
            yield kind, start, i
            kind = None
        if kind is None and prefix in _OF_A_CHUNK:
            kind, start = this, i
        if kind is not None and prefix in _ENDS:
            yield kind, start, i + 1
            kind = None


_GOES_ON = frozenset("IMEL")
_ENDS = frozenset("ELSUW")
_OF_A_CHUNK = frozenset("BIMELSUW")


def span_f1(gold: Sequence[Sequence[str]], pred: Sequence[Sequence[str]]) -> float:
    """Micro F1 over exact spans, conlleval semantics; 0 when nothing is right, also without any span on both sides."""
    right = found = wanted = 0
    for g, p in zip(gold, pred, strict=True):
        if len(g) != len(p):
            raise ValueError(f"a sentence of {len(g)} gold tags has {len(p)} predicted tags")
        there, ours = set(spans(g)), set(spans(p))
        right, found, wanted = right + len(there & ours), found + len(ours), wanted + len(there)
    return 2 * right / (found + wanted) if right else 0.0


METRICS: dict[str, Callable[..., float]] = {
    m.__name__: m for m in (accuracy, f1, macro_f1, mcc, pearson, spearman, span_f1, token_accuracy, token_f1)
}


def metric(name: str, positive: str = "") -> Callable[..., float]:
    """(gold, pred) -> the metric called `name`, or a ConfigError that names the nearest one.

    Args:
        positive: the class of which `f1` is; the others read none.
    """
    if name not in METRICS:
        raise ConfigError(unknown_name("metric", name, list(METRICS)))
    return partial(f1, positive=positive) if name == "f1" else METRICS[name]
