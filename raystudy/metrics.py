"""The metrics: functions of `gold` and `pred` that give one float.

They are fractions in [0, 1] or correlations in [-1, 1]; tables multiply by 100. Scikit-learn computes those of classes,
scipy the correlations. Where a library leaves a metric undefined (one class alone, constant numbers) the answer here is
0: a method that always says the same has learned nothing. The F1 of spans follows the conlleval script, which neither
library has: a span counts when its first token, its last token and its type agree.

Both libraries are loaded when a metric is computed, because whoever only looks at a study needs neither.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

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
    "sentence_scores",
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


def mcc(gold: Labels, pred: Labels) -> float:
    """Matthews correlation, multi-class (Gorodkin 2004); 0 where all of `gold` or all of `pred` is one class."""
    from sklearn.metrics import matthews_corrcoef

    with warnings.catch_warnings(action="ignore"):  # of a single class, whose answer is the one above
        return float(matthews_corrcoef(gold, pred))


def _f1(gold: Labels, pred: Labels, classes: Sequence[str | int], average: Literal["macro", "micro"]) -> float:
    """Scikit-learn's F1 of `classes`; a class that is neither in `gold` nor answered counts 0."""
    from sklearn.metrics import f1_score

    with warnings.catch_warnings(action="ignore"):  # of classes that occur once, which few examples have
        return float(f1_score(gold, pred, labels=classes, average=average, zero_division=0.0))


def macro_f1(gold: Labels, pred: Labels) -> float:
    """Unweighted mean of the F1 of every class that occurs in `gold` or `pred`, which is scikit-learn's default too.

    A class that is neither in the test set nor answered has no part in it. An empty answer is none of the classes: it
    is wrong, but adds no class to the mean.
    """
    return _f1(gold, pred, sorted({*gold, *pred} - {""}), "macro")


def f1(gold: Labels, pred: Labels, positive: str | int) -> float:
    """F1 of the class `positive`; 0 where it is neither in `gold` nor answered (scikit-learn's ``zero_division=0``)."""
    return _f1(gold, pred, [positive], "macro")


def pearson(gold: Reals, pred: Reals) -> float:
    """Pearson correlation; 0 where either side is constant (it is undefined there, and scipy gives nan).

    The same in whatever unit either side is given: no number is too large or too small for its square.
    """
    from scipy.stats import pearsonr

    return _correlation(pearsonr, gold, pred)


def spearman(gold: Reals, pred: Reals) -> float:
    """Spearman correlation, the Pearson correlation of mid-ranks; 0 where either side is constant."""
    from scipy.stats import spearmanr

    return _correlation(spearmanr, gold, pred)


def _correlation(of_scipy: Callable[..., Any], gold: Reals, pred: Reals) -> float:
    g, p = np.asarray(gold, float), np.asarray(pred, float)
    if np.ptp(g) == 0 or np.ptp(p) == 0:
        return 0.0
    with warnings.catch_warnings(action="ignore"):  # of numbers that are constant but for rounding
        correlation = float(of_scipy(_about_one(g), _about_one(p)).statistic)
    return 0.0 if np.isnan(correlation) else correlation


def _about_one(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """`x` times the power of two that makes its largest number about 1; it changes no digit of any number."""
    return np.ldexp(x, -int(np.frexp(np.abs(x).max())[1]))


def token_accuracy(gold: Sequence[Sequence[str]], pred: Sequence[Sequence[str]]) -> float:
    """Fraction of equal tags over all tokens of all sentences."""
    pairs = [(g, p) for gs, ps in zip(gold, pred, strict=True) for g, p in zip(gs, ps, strict=True)]
    return float(np.mean([g == p for g, p in pairs])) if pairs else 0.0


def token_f1(gold: Sequence[Sequence[str]], pred: Sequence[Sequence[str]]) -> float:
    """Micro F1 over words, `O` being no answer: right where a tag other than O is the gold one.

    0 when nothing is right, also where there is nothing but O on both sides (scikit-learn's ``zero_division=0``).
    """
    pairs = [(g, p) for gs, ps in zip(gold, pred, strict=True) for g, p in zip(gs, ps, strict=True)]
    tags = sorted({tag for pair in pairs for tag in pair} - {"O"})
    return _f1([g for g, _ in pairs], [p for _, p in pairs], tags, "micro") if tags else 0.0


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
    right = total = 0
    for g, p in zip(gold, pred, strict=True):
        if len(g) != len(p):
            raise ValueError(f"a sentence of {len(g)} gold tags has {len(p)} predicted tags")
        gold_spans, pred_spans = set(spans(g)), set(spans(p))
        right += len(gold_spans & pred_spans)
        total += len(gold_spans) + len(pred_spans)
    return 2 * right / total if right else 0.0


def sentence_scores(
    name: str, gold: Sequence[Sequence[str]], pred: Sequence[Sequence[str]]
) -> NDArray[np.float64] | None:
    """(n,) a metric of tags on each sentence alone; None where `name` is no metric of tags.

    An F1 is that of the sentence's own spans, or words; 1 where it has none and none is answered. Their mean is not the
    metric of all sentences together, which counts a sentence by what it holds.
    """
    if name == "token_accuracy":
        return np.array([np.mean([a == b for a, b in zip(g, p, strict=True)]) for g, p in zip(gold, pred, strict=True)])
    found: Callable[[Sequence[str]], set[Any]]
    if name == "span_f1":

        def found(tags: Sequence[str]) -> set[Any]:
            return set(spans(tags))

    elif name == "token_f1":

        def found(tags: Sequence[str]) -> set[Any]:
            return {(i, tag) for i, tag in enumerate(tags) if tag != "O"}

    else:
        return None
    pairs = [(found(g), found(p)) for g, p in zip(gold, pred, strict=True)]
    return np.array([2 * len(g & p) / (len(g) + len(p)) if g or p else 1.0 for g, p in pairs])


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
