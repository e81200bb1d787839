"""What several targets say together of each method: ranks, replicability, gains, tests that take targets as samples.

Seeds and targets are different units, so the mean over seeds comes first and each target counts once:

    average rank    the mean over targets of a method's rank by mean score (1 is best; equal means share a rank)
    better on at    how many targets must be true improvements, at .05: those whose one-sided p is small after Holm's
    least           correction over the method's targets (Dror et al. 2017, with Bonferroni's partial conjunction,
                    because targets share seeds and an encoder)
    IQM             the interquartile mean of the gains, a seed of a target each: the middle half of them
    P(improvement)  the chance that a run of the method beats one of the baseline, mean over targets (Agarwal et al.
                    2021)
    Wilcoxon        signed ranks of the gains of targets, exact with ties and zeros; from `FEWEST_TESTED` targets on,
                    because with fewer its smallest p is above .05. Holm's correction over the methods
    cliques         methods that Wilcoxon's tests of all pairs, with Holm's correction, do not tell apart (Benavoli et
                    al. 2016: unlike mean-rank tests, they do not depend on which other methods are there)

IQM and P(improvement) have intervals from a bootstrap that draws the seeds of each target anew and keeps the pairs.
They are about new seeds on these targets and test sets, and with few seeds they are too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats as scipy_stats

from raystudy.analysis.compare import raw_p
from raystudy.analysis.frame import Key
from raystudy.analysis.numbers import Comparison, Design
from raystudy.analysis.stats import ALPHA, Interval, flip_floor, holm, interval, sign_flip

__all__ = [
    "FEWEST_TARGETS",
    "FEWEST_TESTED",
    "AcrossTargets",
    "OfTargets",
    "cliques",
    "compute",
    "replicated",
    "wilcoxon",
]

FEWEST_TARGETS = 3
FEWEST_TESTED = 6  # Wilcoxon's smallest two-sided p is .0625 with five targets, .031 with six
_DRAWS = 2000
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OfTargets:
    """A method over the targets of one data setting; what compares it with the baseline is nan or 0 for the baseline.

    Attributes:
        rank: its average rank among the methods.
        gain: mean over targets of the mean gains, with its t-interval over targets.
        above, below: on how many targets its mean is above and below the baseline's.
        better, worse: on at least how many targets it is truly so, at .05.
        iqm, improvement: (value, low, high) of the interquartile mean gain and of P(improvement).
        p, holm_p: of Wilcoxon's signed-rank test; nan with too few targets.
    """

    variant: str
    rank: float
    gain: Interval
    above: int = 0
    below: int = 0
    better: int = 0
    worse: int = 0
    iqm: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    improvement: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    p: float = math.nan
    holm_p: float = math.nan


@dataclass(frozen=True)
class AcrossTargets:
    """What the targets of one data setting say together.

    Attributes:
        targets: those on which every method of `rows` has a score.
        rows: methods, the baseline and controls, in the order of the tables; floors and upper bounds are not ranked.
        left_out: variants that lack a score on some target.
        floor: the smallest p of Wilcoxon's test over so many targets.
        cliques: variants by average rank that no test tells apart, at least two each; none with too few targets.
    """

    setting: str
    targets: tuple[str, ...]
    rows: tuple[OfTargets, ...]
    left_out: tuple[str, ...] = ()
    floor: float = math.nan
    cliques: tuple[tuple[str, ...], ...] = ()

    @property
    def tested(self) -> bool:
        """Whether there are targets enough for a test that takes them as samples."""
        return len(self.targets) >= FEWEST_TESTED


def compute(
    test_scores: Mapping[Key, Mapping[int, float]], comparisons: Sequence[Comparison], design: Design
) -> tuple[AcrossTargets, ...]:
    """One entry for each data setting with at least `FEWEST_TARGETS` targets of the baseline and another method.

    Args:
        test_scores: (variant, target, setting) -> seed -> score.
        comparisons: each method with the baseline on each target.
    """
    if not design.compared:
        return ()
    found = (_of_setting(setting, test_scores, comparisons, design) for setting in design.settings)
    return tuple(a for a in found if a is not None)


def _of_setting(
    setting: str, test_scores: Mapping[Key, Mapping[int, float]], comparisons: Sequence[Comparison], design: Design
) -> AcrossTargets | None:
    targets = [t for t, s in design.pairs if s == setting and test_scores.get((design.baseline, t, setting))]
    ranked = [m.variant for m in design.methods if m.role not in ("floor", "bound")]
    scores = {v: [test_scores.get((v, t, setting), {}) for t in targets] for v in ranked}
    whole = [v for v in ranked if all(scores[v])]
    if len(targets) < FEWEST_TARGETS or len(whole) < 2:
        return None
    means = np.array([[np.mean(list(by_seed.values())) for by_seed in scores[v]] for v in whole])
    ranks = dict(zip(whole, scipy_stats.rankdata(-_equal(means), axis=0).mean(axis=1).tolist(), strict=True))
    one_sided = _one_sided(comparisons, setting)
    base = scores[design.baseline]
    at_base = means[whole.index(design.baseline)]
    rows, p = [], {}
    for v, own in zip(whole, means, strict=True):
        gains = np.where(np.abs(own - at_base) <= _SAME, 0.0, own - at_base)
        if v == design.baseline:
            rows.append(OfTargets(v, ranks[v], interval([])))
            continue
        sides = [[one_sided.get((v, t), (1.0, 1.0))[side] for t in targets] for side in (0, 1)]
        iqm, improvement = _resampled(scores[v], base)
        if len(targets) >= FEWEST_TESTED:
            p[v] = wilcoxon(gains)
        above, below = int((gains > 0).sum()), int((gains < 0).sum())
        better, worse = (replicated(of) for of in sides)
        rows.append(OfTargets(v, ranks[v], interval(gains), above, below, better, worse, iqm, improvement))
    corrected = dict(zip(p, holm(list(p.values())).tolist(), strict=True))
    return AcrossTargets(
        setting,
        tuple(targets),
        tuple(_with_p(r, p.get(r.variant, math.nan), corrected.get(r.variant, math.nan)) for r in rows),
        tuple(v for v in ranked if v not in whole),
        flip_floor(len(targets)),
        cliques(means, whole) if len(targets) >= FEWEST_TESTED else (),
    )


_SAME = 1e-12  # means that differ by less are equal, but for the order in which they were added


def _equal(means: Floats) -> Floats:
    """The means without the last digits, in which equal ones may differ."""
    return np.round(means, 12)


def _with_p(row: OfTargets, p: float, corrected: float) -> OfTargets:
    return OfTargets(**{**vars(row), "p": p, "holm_p": corrected})


def _one_sided(comparisons: Sequence[Comparison], setting: str) -> dict[tuple[str, str], tuple[float, float]]:
    """(variant, target) -> one-sided p of being better and of being worse than the baseline, uncorrected."""
    sides = {}
    for c in comparisons:
        p = raw_p(c.pair, c.examples)
        if c.setting == setting and not math.isnan(p):
            up, down = p / 2, 1 - p / 2
            sides[c.variant, c.target] = (up, down) if c.pair.mean > 0 else (down, up)
    return sides


def replicated(p: ArrayLike) -> int:
    """On at least how many of (n,) targets the effect is there, at .05, from one-sided p-values."""
    values = np.asarray(p, dtype=np.float64)
    return int((holm(values) < ALPHA).sum())


def wilcoxon(gains: ArrayLike) -> float:
    """Exact two-sided p of Wilcoxon's signed-rank test of (n,) gains; targets without any are left out, 1 if all are.

    Scipy's exact distribution knows neither ties nor zeros; here all sign patterns of the ranks are counted. For more
    than 40 targets it is scipy's approximation.
    """
    d = np.asarray(gains, dtype=np.float64)
    d = d[d != 0]
    if not len(d):
        return 1.0
    ranks = np.sign(d) * scipy_stats.rankdata(np.abs(d))
    p = sign_flip(ranks)
    return float(scipy_stats.wilcoxon(d).pvalue) if math.isnan(p) else p


def cliques(means: ArrayLike, variants: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The longest runs of methods by average rank of which no pair is told apart, from their (methods, targets) means.

    Pairs are compared by Wilcoxon's test, with Holm's correction over all of them. Runs of one method are left out.
    """
    x = _equal(np.asarray(means, dtype=np.float64))
    by_rank = np.argsort(scipy_stats.rankdata(-x, axis=0).mean(axis=1), kind="stable")
    pairs = list(combinations(range(len(by_rank)), 2))
    p = holm([wilcoxon(x[by_rank[i]] - x[by_rank[j]]) for i, j in pairs])
    apart = {pair for pair, value in zip(pairs, p.tolist(), strict=True) if value < ALPHA}
    runs: list[range] = []
    for first in range(len(by_rank)):
        last = first
        while last + 1 < len(by_rank) and not any((i, last + 1) in apart for i in range(first, last + 1)):
            last += 1
        if last > first and not any(first >= r.start and last < r.stop for r in runs):
            runs.append(range(first, last + 1))
    return tuple(tuple(variants[by_rank[i]] for i in run) for run in runs)


def _resampled(
    ours: Sequence[Mapping[int, float]], theirs: Sequence[Mapping[int, float]]
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """(IQM of the gains, P(improvement)), each with its 95 % interval over the seeds of each target, drawn in pairs."""
    seeds = [sorted(a.keys() & b.keys()) for a, b in zip(ours, theirs, strict=True)]
    if not all(seeds):
        return (math.nan,) * 3, (math.nan,) * 3
    rng = np.random.default_rng(0)
    gains, chances = [], []
    for common, a, b in zip(seeds, ours, theirs, strict=True):
        x, y = (np.array([of[s] for s in common]) for of in (a, b))
        drawn = np.vstack([np.arange(len(common)), rng.integers(len(common), size=(_DRAWS, len(common)))])
        gains.append(x[drawn] - y[drawn])
        beats = (x[:, None] > y + _SAME) + 0.5 * (np.abs(x[:, None] - y) <= _SAME)
        chances.append(beats[drawn[:, :, None], drawn[:, None, :]].mean(axis=(1, 2)))
    iqm = scipy_stats.trim_mean(np.concatenate(gains, axis=1), 0.25, axis=1)
    return _with_interval(iqm), _with_interval(np.mean(chances, axis=0))


def _with_interval(values: Floats) -> tuple[float, float, float]:
    """(the first, the 95 % percentile interval of the others)."""
    low, high = np.quantile(values[1:], [ALPHA / 2, 1 - ALPHA / 2])
    return float(values[0]), float(low), float(high)
