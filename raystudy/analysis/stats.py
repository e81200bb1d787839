"""The statistics of a report: pure functions from arrays to numbers, in the units of their input.

Repeats are seeds. The pairs are real: one seed index means the same draw, split and order for every method. So methods
are compared by their differences per seed. Intervals are t-intervals: at 3 to 10 seeds the percentile bootstrap covers
.74 to .90 where .95 is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

__all__ = [
    "ALPHA",
    "MIN_PAIRS",
    "MOST_SEEDS",
    "Interval",
    "Paired",
    "TwoWay",
    "Verdict",
    "Word",
    "flip_floor",
    "holm",
    "interval",
    "paired",
    "seeds_for_equivalence",
    "seeds_for_power",
    "sign_flip",
    "two_way",
    "verdict",
]

Floats = NDArray[np.float64]
Word = Literal["better", "worse", "equivalent", "undecided"]

ALPHA = 0.05
MIN_PAIRS = 5  # with fewer seeds no verdict rests on seeds alone (the smallest sign-flip p is .25 at 3, .0625 at 5)
MOST_SEEDS = 1000  # beyond this "seeds needed" is infinite: nobody runs them
_MOST_FLIPS = 40  # 2 ** 20 sums per half; with more pairs the t-test and the permutation test agree
_NO_SPREAD = 1e-12  # differences of fractions that are equal in decimals differ by about 1e-16 in binary


def _vector(values: ArrayLike, what: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError(f"{what} must be finite numbers in one dimension, but got {array!r}")
    return array


class Interval(NamedTuple):
    """Mean of `n` values, their standard deviation (n - 1), half-width of the 95 % interval; nan where undefined."""

    n: int
    mean: float
    sd: float
    half: float


def interval(values: ArrayLike) -> Interval:
    """Mean of (n,) values with its 95 % t-interval, n - 1 degrees of freedom. `sd` and `half` need n >= 2.

    Raises:
        ValueError: values that are not finite, or not in one dimension.
    """
    x = _vector(values, "values")
    n = len(x)
    if n < 2:
        return Interval(n, float(x[0]) if n else math.nan, math.nan, math.nan)
    sd = float(x.std(ddof=1))
    sd = 0.0 if sd <= _NO_SPREAD else sd
    return Interval(n, float(x.mean()), sd, float(stats.t.ppf(1 - ALPHA / 2, n - 1)) * sd / math.sqrt(n))


class Paired(NamedTuple):
    """Comparison of a with b over `n` pairs; differences are a - b; nan where undefined.

    Attributes:
        sd: standard deviation of the differences (n - 1).
        low, high: 95 % t-interval of the mean difference.
        t, p: paired t-test, two-sided. Without spread t is infinite (or nan) and `p` is the sign-flip p.
        flip_p, flip_floor: exact sign-flip permutation test, and the smallest p that it can give with n pairs.
        d_z: effect size mean / sd.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float
    t: float
    p: float
    flip_p: float
    flip_floor: float
    d_z: float


def paired(a: ArrayLike, b: ArrayLike) -> Paired:
    """Compare (n,) scores `a` with the (n,) scores `b` of the same seeds.

    Degenerate cases: no pair, all nan; one pair, a mean and no test; every difference the same, d_z is nan and the
    t-test's p (0, for no reason but the lack of spread) is replaced by the sign-flip p, which is 1 for equal scores.

    Raises:
        ValueError: different lengths, more than one dimension, values that are not finite.
    """
    x, y = _vector(a, "scores"), _vector(b, "scores")
    if len(x) != len(y):
        raise ValueError(f"pairs need two arrays of one length, but got {len(x)} and {len(y)}")
    d = np.where(np.abs(x - y) <= _NO_SPREAD, 0.0, x - y)
    n, mean, sd, half = interval(d)
    flip = sign_flip(d)
    if n < 2:
        return Paired(n, mean, sd, math.nan, math.nan, math.nan, math.nan, flip, flip_floor(n), math.nan)
    if sd == 0:
        t, p, d_z = (math.copysign(math.inf, mean) if mean else math.nan), flip, math.nan
    else:
        test = stats.ttest_rel(x, y)
        t, p, d_z = float(test.statistic), float(test.pvalue), mean / sd
    return Paired(n, mean, sd, mean - half, mean + half, t, p, flip, flip_floor(n), d_z)


def flip_floor(n: int) -> float:
    """The smallest two-sided p of a sign-flip test over `n` pairs: both signs of the most extreme outcome in 2 ** n."""
    return 2.0 ** (1 - n) if n else math.nan


def sign_flip(differences: ArrayLike) -> float:
    """Exact two-sided sign-flip permutation p of (n,) differences.

    It is the share of the 2 ** n sign patterns whose sum is at least as far from zero as the one observed.

    All patterns are counted, by sorting the sums of one half of the pairs and looking up those of the other. nan
    without pairs, and for more than 40, where the t-test says the same.
    """
    d = _vector(differences, "differences")
    if not 0 < len(d) <= _MOST_FLIPS:
        return math.nan
    left, right = _signed_sums(d[: len(d) // 2]), np.sort(_signed_sums(d[len(d) // 2 :]))
    slack = 1e-9 * float(np.abs(d).sum())  # patterns that tie in exact arithmetic must tie here
    bound = abs(float(d.sum())) - slack
    if bound <= 0:
        return 1.0
    # the patterns come in pairs of opposite sign, so the upper tail is half of the count
    upper = len(right) * len(left) - int(np.searchsorted(right, bound - left, side="left").sum())
    return min(1.0, 2 * upper / 2.0 ** len(d))


def _signed_sums(d: Floats) -> Floats:
    """(2 ** n,) sums of +-d over all sign patterns."""
    sums = np.zeros(1)
    for x in d:
        sums = np.concatenate([sums + x, sums - x])
    return sums


def holm(pvalues: ArrayLike) -> Floats:
    """Holm's step-down adjusted p-values of (m,) p-values, in their order.

    The i-th smallest is multiplied by m - i + 1, followed by the running maximum: an adjusted p is never below that of
    a smaller raw p. A nan (a comparison that was planned and gave no p) stays nan and counts in m as if it were 1: a
    failed cell never makes the others look more certain.

    Raises:
        ValueError: a p-value outside [0, 1].
    """
    p = np.asarray(pvalues, dtype=np.float64)
    if p.ndim != 1 or (p < 0).any() or (p > 1).any():
        raise ValueError(f"p-values must be in [0, 1], in one dimension, but got {p!r}")
    order = np.argsort(p, kind="stable")  # nan sorts last
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return np.where(np.isnan(p), np.nan, adjusted)


def seeds_for_power(d_z: float, power: float = 0.8, alpha: float = ALPHA) -> float:
    """The fewest pairs with which a two-sided paired t-test at level `alpha` finds the effect `d_z` with `power`.

    From the noncentral t distribution. Infinite beyond `MOST_SEEDS`, nan for an effect that is not known.
    """
    if not math.isfinite(d_z):
        return math.nan

    def reached(n: int) -> bool:
        critical, shift = stats.t.ppf(1 - alpha / 2, n - 1), abs(d_z) * math.sqrt(n)
        return float(stats.nct.sf(critical, n - 1, shift)) >= power

    return _first(reached)


def seeds_for_equivalence(mean: float, sd: float, rope: float) -> float:
    """The fewest pairs whose 95 % t-interval around the observed `mean` fits between -`rope` and `rope`.

    Infinite beyond `MOST_SEEDS` or when the mean is not inside, nan when mean or spread are not known.
    """
    if not (math.isfinite(mean) and math.isfinite(sd)):
        return math.nan
    room = rope - abs(mean)
    return _first(lambda n: float(stats.t.ppf(1 - ALPHA / 2, n - 1)) * sd / math.sqrt(n) <= room)


def _first(reached: Callable[[int], bool]) -> float:
    """The smallest n from 2 to `MOST_SEEDS` that has `reached`, which is monotone; infinite if none has."""
    low, high = 2, MOST_SEEDS
    if not reached(high):
        return math.inf
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle + 1, high)
    return low


class Verdict(NamedTuple):
    """A word, and for "undecided" about how many seeds it would take (nan: not known; inf: more than `MOST_SEEDS`)."""

    word: Word
    seeds: float = math.nan


def verdict(
    pair: Paired, holm_p: float, rope: float, *, family: int = 1, examples_holm_p: float | None = None
) -> Verdict:
    """What a comparison says, in one word.

    - "better" or "worse": Holm p below .05, the 95 % interval excludes zero, and the difference is at least `rope`;
    - "equivalent": the 95 % interval lies inside (-rope, rope);
    - "undecided": anything else, and always below `MIN_PAIRS` seeds, unless a test over examples as well as seeds
      (`two_way`) is significant too: three seeds alone never decide.

    The seeds needed are those that give 80 % power for the effect observed at level .05 / `family` (Holm's first and
    hardest step) or, for a difference smaller than `rope`, those that would show equivalence.

    Args:
        rope: the smallest difference that matters, in the units of `pair`.
        family: number of comparisons that `holm_p` is adjusted for.
        examples_holm_p: adjusted p of the two-way test, where predictions were compared.
    """
    small = abs(pair.mean) < rope
    decidable = pair.n >= MIN_PAIRS or (pair.n >= 3 and examples_holm_p is not None and examples_holm_p < ALPHA)
    if pair.n >= MIN_PAIRS and -rope < pair.low and pair.high < rope:
        return Verdict("equivalent")
    if decidable and holm_p < ALPHA and not small and not pair.low <= 0 <= pair.high:
        return Verdict("better" if pair.mean > 0 else "worse")
    if small:
        seeds = seeds_for_equivalence(pair.mean, pair.sd, rope)
    else:
        seeds = seeds_for_power(pair.d_z, alpha=ALPHA / max(family, 1))
    return Verdict("undecided", max(seeds, float(MIN_PAIRS)) if not math.isnan(seeds) else seeds)


class TwoWay(NamedTuple):
    """Mean of a (seeds, examples) matrix with the standard error for new seeds and new examples.

    Attributes:
        df: Satterthwaite degrees of freedom of `se`.
        p: two-sided; nan when there is no spread around a mean that is not zero.
        low, high: 95 % interval.
    """

    seeds: int
    examples: int
    mean: float
    se: float
    df: float
    t: float
    p: float
    low: float
    high: float


def two_way(differences: ArrayLike) -> TwoWay:
    """Test whether two methods differ in accuracy, over seeds and examples at once.

    Model: difference[s, e] = mu + seed[s] + example[e] + rest[s, e], a crossed random-effects layout without
    replication. With the mean squares of its analysis of variance,

        var(mean) = (MS_seed + MS_example - MS_rest) / (S E),

    where a variance component that comes out negative is taken as zero. Treating the S * E entries as independent
    instead finds differences that are not there (in the tests, 3 seeds and 277 examples: over 10 % false positives).

    Limits: when all seeds agree it is the paired t-test over examples; when all examples agree, the one over seeds.
    With one seed it is the test over examples, conditional on that training run. With two seeds that differ much it
    still rejects too often (11 % in a simulation of true nulls); with three and five seeds it was 3 to 7 %.

    Args:
        differences: (seeds, examples), correct_a - correct_b, entries in {-1, 0, 1}.

    Raises:
        ValueError: not a matrix, empty, or with entries that are not finite.
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 2 or d.size == 0 or not np.isfinite(d).all():
        raise ValueError(
            f"differences must be a (seeds, examples) matrix of finite numbers, but its shape is {d.shape}"
        )
    s, e = d.shape
    mean, rows, columns = float(d.mean()), d.mean(axis=1), d.mean(axis=0)
    df_seed, df_example, df_rest = s - 1, e - 1, (s - 1) * (e - 1)
    rest = d - rows[:, None] - columns[None, :] + mean
    ms_seed = e * float(((rows - mean) ** 2).sum()) / df_seed if df_seed else 0.0
    ms_example = s * float(((columns - mean) ** 2).sum()) / df_example if df_example else 0.0
    ms_rest = float((rest**2).sum()) / df_rest if df_rest else 0.0
    seed_counts, example_counts = ms_seed > ms_rest, ms_example > ms_rest
    parts = [
        (float(seed_counts), ms_seed, df_seed),
        (float(example_counts), ms_example, df_example),
        (1.0 - seed_counts - example_counts, ms_rest, df_rest),
    ]
    total = sum(sign * ms for sign, ms, _ in parts)
    se = math.sqrt(total / d.size)
    if se <= _NO_SPREAD:
        return TwoWay(s, e, mean, 0.0, math.nan, math.nan, math.nan if mean else 1.0, mean, mean)
    df = total**2 / sum((sign * ms) ** 2 / k for sign, ms, k in parts if k)
    t = mean / se
    half = float(stats.t.ppf(1 - ALPHA / 2, df)) * se
    return TwoWay(s, e, mean, se, df, t, 2 * float(stats.t.sf(abs(t), df)), mean - half, mean + half)
