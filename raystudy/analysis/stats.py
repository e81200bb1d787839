"""The statistics of a report: pure functions from arrays to numbers, in the units of their input.

Repeats are seeds. The pairs are real: one seed index means the same draw, split and order for every method. So methods
are compared by their differences per seed. Intervals are t-intervals: at 3 to 10 seeds the percentile bootstrap covers
.74 to .90 where .95 is asked for.

"Better" says that a difference would be seen again with new seeds and new test examples. Three tests ask three things:

    paired      over seeds: would new trainings differ on this test set?
    mcnemar     over examples: would this one training differ on new test examples?
    two_way     over seeds and examples at once: would new trainings differ on new test examples?

The last one decides, and never more surely than the first (`deciding_p`). `benchmarks/verdicts.py` measures how often
the word is wrong where two methods are equally good.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

__all__ = [
    "ALPHA",
    "BOOTSTRAP_SEEDS",
    "FEWEST_SEEDS",
    "MIN_PAIRS",
    "MOST_EXAMPLES",
    "MOST_SEEDS",
    "Decisions",
    "Interval",
    "MeanSquares",
    "Paired",
    "TwoWay",
    "Verdict",
    "Word",
    "both",
    "crossed_bootstrap",
    "decide",
    "deciding_p",
    "flip_floor",
    "holm",
    "interval",
    "mcnemar",
    "mean_squares",
    "needed",
    "paired",
    "seeds_for_equivalence",
    "seeds_for_power",
    "sign_flip",
    "two_way",
    "two_way_p",
    "verdict",
    "words",
]

Floats = NDArray[np.float64]
Word = Literal["better", "worse", "equivalent", "undecided"]

ALPHA = 0.05
MIN_PAIRS = 5  # with fewer seeds no verdict rests on seeds alone (the smallest sign-flip p is .25 at 3, .0625 at 5)
FEWEST_SEEDS = 3  # with fewer seeds nothing is decided, whatever the examples say
BOOTSTRAP_SEEDS = 10  # with fewer seeds a crossed bootstrap is not shown: at 3 it calls 14 to 17 % of true nulls
MOST_SEEDS = 1000  # beyond this "seeds needed" is infinite: nobody runs them
MOST_EXAMPLES = 1_000_000  # the same of test examples
_DRAWS = 2000  # of the bootstrap
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

    @property
    def interval(self) -> Interval:
        """The mean difference with its standard deviation and the half-width of its interval."""
        return Interval(self.n, self.mean, self.sd, (self.high - self.low) / 2)


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
    """Holm's step-down adjusted p-values of (..., m) p-values, in their order; the last axis is the family.

    The i-th smallest is multiplied by m - i + 1, followed by the running maximum: an adjusted p is never below that of
    a smaller raw p. A nan (a comparison that was planned and gave no p) stays nan and counts in m as if it were 1: a
    failed cell never makes the others look more certain.

    Raises:
        ValueError: a p-value outside [0, 1].
    """
    p = np.asarray(pvalues, dtype=np.float64)
    if not p.ndim or (p < 0).any() or (p > 1).any():
        raise ValueError(f"p-values must be in [0, 1], and have an axis for the family, but got {p!r}")
    order = np.argsort(p, axis=-1, kind="stable")  # nan sorts last
    ascending = np.take_along_axis(p, order, axis=-1)
    steps = np.maximum.accumulate(ascending * np.arange(p.shape[-1], 0, -1), axis=-1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(steps, 1.0), axis=-1)
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


# ---------------------------------------------------------------------------------------------------------------------
# seeds and examples at once


class TwoWay(NamedTuple):
    """Mean of a (seeds, examples) matrix with the standard error for new seeds and new examples.

    Attributes:
        df: Satterthwaite degrees of freedom of `se`.
        p: two-sided; nan when there is no spread around a mean that is not zero.
        low, high: 95 % interval.
        seed_variance, example_variance, rest_variance: the parts of the variance of one entry that belong to its seed,
            to its example, and to neither alone; none is below zero.
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
    seed_variance: float = math.nan
    example_variance: float = math.nan
    rest_variance: float = math.nan


class MeanSquares(NamedTuple):
    """(...) means of (..., seeds, examples) matrices, and the mean squares of their analysis of variance."""

    seeds: int
    examples: int
    mean: Floats
    seed: Floats
    example: Floats
    rest: Floats

    @property
    def parts(self) -> tuple[tuple[Floats, Floats, int], ...]:
        """(weight in the variance of the mean, mean square, degrees of freedom) of seeds, examples and the rest."""
        s, e = self.seeds, self.examples
        by_seed, by_example = ((ms > self.rest).astype(np.float64) for ms in (self.seed, self.example))
        neither: Floats = 1.0 - by_seed - by_example
        return (by_seed, self.seed, s - 1), (by_example, self.example, e - 1), (neither, self.rest, (s - 1) * (e - 1))

    @property
    def standard_error(self) -> tuple[Floats, Floats]:
        """(standard error of the mean, its Satterthwaite degrees of freedom); 0 and nan without any spread."""
        total = sum((weight * ms for weight, ms, _ in self.parts), np.zeros(()))
        se = np.sqrt(np.maximum(total, 0) / (self.seeds * self.examples))
        spread = se > _NO_SPREAD
        below = sum(((weight * ms) ** 2 / k for weight, ms, k in self.parts if k), np.zeros(()))
        df = np.divide(total**2, below, out=np.full(se.shape, np.nan), where=spread)
        return np.where(spread, se, 0.0), df


def mean_squares(differences: ArrayLike) -> MeanSquares:
    """The analysis of variance of (..., seeds, examples) matrices, crossed, without replication."""
    d = np.asarray(differences, dtype=np.float64)
    s, e = d.shape[-2:]
    mean, rows, columns = d.mean(axis=(-2, -1)), d.mean(axis=-1), d.mean(axis=-2)
    rest = d - rows[..., :, None] - columns[..., None, :] + mean[..., None, None]

    def mean_square(of: Floats, axis: tuple[int, ...], times: int, df: int) -> Floats:
        square: Floats = times * (of * of).sum(axis=axis) / max(df, 1)
        return square if df else np.zeros_like(square)

    return MeanSquares(
        s,
        e,
        mean,
        mean_square(rows - mean[..., None], (-1,), e, s - 1),
        mean_square(columns - mean[..., None], (-1,), s, e - 1),
        mean_square(rest, (-2, -1), 1, (s - 1) * (e - 1)),
    )


def two_way_p(mean: ArrayLike, se: ArrayLike, df: ArrayLike) -> Floats:
    """(...) two-sided p of means with their standard errors; 1 for a mean of 0 without spread, nan for another one."""
    m, e = np.asarray(mean, dtype=np.float64), np.asarray(se, dtype=np.float64)
    t = np.divide(np.abs(m), e, out=np.zeros(np.broadcast(m, e).shape), where=e > 0)
    p = 2 * stats.t.sf(t, np.where(e > 0, df, 1.0))
    return np.where(e > 0, p, np.where(m == 0, 1.0, np.nan))


def two_way(differences: ArrayLike) -> TwoWay:
    """Test whether two methods differ in what examples add to their scores, over seeds and examples at once.

    Model: difference[s, e] = mu + seed[s] + example[e] + rest[s, e], a crossed random-effects layout without
    replication. With the mean squares of its analysis of variance,

        var(mean) = (MS_seed + MS_example - MS_rest) / (S E),

    where a variance component that comes out negative is taken as zero. Treating the S * E entries as independent
    instead finds differences that are not there (in the tests, 3 seeds and 277 examples: over 10 % false positives).

    Limits: when all seeds agree it is the paired t-test over examples; when all examples agree, the one over seeds.
    With one seed it is the test over examples, conditional on that training run. With two seeds that differ much it
    still rejects too often (11 % in a simulation of true nulls); with three and five seeds it was 3 to 7 %. Where seeds
    differ more than examples, few of them make its degrees of freedom a guess, and far out in the tail, where Holm's
    first step looks, it is too sure: see `deciding_p`.

    Args:
        differences: (seeds, examples). For accuracy correct_a - correct_b, entries in {-1, 0, 1}; for a metric that is
            no mean over examples the difference of pseudo-values (`leave_one_out.terms`).

    Raises:
        ValueError: not a matrix, empty, or with entries that are not finite.
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 2 or d.size == 0 or not np.isfinite(d).all():
        raise ValueError(
            f"differences must be a (seeds, examples) matrix of finite numbers, but its shape is {d.shape}"
        )
    squares = mean_squares(d)
    s, e, mean = squares.seeds, squares.examples, float(squares.mean)
    se, df = map(float, squares.standard_error)
    p = float(two_way_p(mean, se, df))
    rest = float(squares.rest)
    variances = max(float(squares.seed) - rest, 0.0) / e, max(float(squares.example) - rest, 0.0) / s, rest
    if se == 0:
        return TwoWay(s, e, mean, 0.0, math.nan, math.nan, p, mean, mean, *variances)
    half = float(stats.t.ppf(1 - ALPHA / 2, df)) * se
    return TwoWay(s, e, mean, se, df, mean / se, p, mean - half, mean + half, *variances)


def crossed_bootstrap(differences: ArrayLike) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of a (seeds, examples) matrix, seeds and examples drawn anew.

    It stands beside `two_way` from `BOOTSTRAP_SEEDS` seeds on; (nan, nan) below. The draws are the same every time.
    """
    d = np.asarray(differences, dtype=np.float64)
    s, e = d.shape
    if s < BOOTSTRAP_SEEDS:
        return math.nan, math.nan
    by_seed, by_example = _draws(s), _draws(e)
    means = np.einsum("bs,se,be->b", by_seed, d, by_example, optimize=True) / (s * e)
    low, high = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2])
    return float(low), float(high)


@lru_cache(maxsize=8)
def _draws(n: int) -> Floats:
    """(draws, n) how often each of n things is drawn, n times with replacement."""
    rng = np.random.default_rng(n)
    return rng.multinomial(n, np.full(n, 1 / n), size=_DRAWS).astype(np.float64)


def mcnemar(differences: ArrayLike) -> float:
    """Exact McNemar p of the (n,) differences of correctness of two trainings, conditional on these trainings.

    It says whether one training answers new test examples better than the other, and nothing of other seeds. It is the
    binomial test of the examples that one of them alone answers correctly; 1 where there is none.
    """
    d = _vector(differences, "differences")
    better, worse = int((d > 0).sum()), int((d < 0).sum())
    return float(stats.binomtest(better, better + worse).pvalue) if better + worse else 1.0


# ---------------------------------------------------------------------------------------------------------------------
# the word


def deciding_p(seeds: ArrayLike, seeds_p: ArrayLike, examples_p: ArrayLike | None) -> Floats:
    """(...) the p-values that a verdict rests on; nan where nothing can be decided. Arrays or numbers.

    With predictions, from `FEWEST_SEEDS` seeds on, it is the p of the test over seeds and examples (`two_way`), but
    never less than that of the paired t-test over seeds: what new seeds do not show on these very examples, they do not
    show on new ones either. The two-way test alone is too sure where few seeds differ more than the examples do and
    the threshold is low: of eight equal methods with 5 seeds it calls one different in 9 % of studies with Holm's
    correction, and in more of larger families; both together do in 5 %.

    Without predictions (`examples_p` None) the paired t-test decides from `MIN_PAIRS` seeds on, and what it says holds
    for this test set.

    Args:
        seeds: how many seeds were compared.
        seeds_p: p of the paired t-test over seeds.
        examples_p: p of the two-way test.
    """
    n, p = np.asarray(seeds), np.asarray(seeds_p, dtype=np.float64)
    if examples_p is None:
        return np.where(n >= MIN_PAIRS, p, np.nan)
    return np.where(n >= FEWEST_SEEDS, np.maximum(p, examples_p), np.nan)  # a maximum with nan is nan


def words(
    seeds: ArrayLike, mean: ArrayLike, low: ArrayLike, high: ArrayLike, p: ArrayLike, rope: float
) -> NDArray[np.str_]:
    """(...) what comparisons say, in one word each. Arrays or numbers.

    - "better" or "worse": `p` below .05, the interval excludes zero, and the difference is at least `rope`;
    - "equivalent": the interval lies inside (-rope, rope), at `MIN_PAIRS` seeds and more;
    - "undecided": anything else.

    Args:
        p: `deciding_p` after Holm's correction.
        low, high: the 95 % interval of the difference; it holds those of all tests that decide.
        rope: the smallest difference that matters, in the units of `mean`.
    """
    m, lo, hi = (np.asarray(x, dtype=np.float64) for x in (mean, low, high))
    apart = (np.asarray(p) < ALPHA) & (np.abs(m) >= rope) & ~((lo <= 0) & (hi >= 0))
    same = (np.asarray(seeds) >= MIN_PAIRS) & (lo > -rope) & (hi < rope)
    return np.where(same, "equivalent", np.where(apart, np.where(m > 0, "better", "worse"), "undecided"))


class Decisions(NamedTuple):
    """What many studies say of their comparisons at once; (..., m) arrays, m comparisons being one family.

    Attributes:
        low, high: 95 % interval that holds those of both tests.
        seeds_p: p of the paired t-test over seeds.
        examples_p: p of the two-way test.
        p: what decides, the larger of both (`deciding_p`), with Holm's correction.
        words: `words` of them.
    """

    low: Floats
    high: Floats
    seeds_p: Floats
    examples_p: Floats
    p: Floats
    words: NDArray[np.str_]


def decide(squares: MeanSquares, rope: float) -> Decisions:
    """The words of (..., m) comparisons of simulated studies, as `verdict` and its tests find them one by one."""
    s, mean = squares.seeds, squares.mean
    over_seeds = np.sqrt(squares.seed / (s * squares.examples))
    over_seeds = np.where(over_seeds > _NO_SPREAD, over_seeds, 0.0)
    seeds_p = two_way_p(mean, over_seeds, s - 1)
    seeds_p = np.where(np.isnan(seeds_p), flip_floor(s), seeds_p)
    se, df = squares.standard_error
    examples_p = two_way_p(mean, se, df)
    p = holm(deciding_p(s, seeds_p, examples_p))
    of_seeds, of_both = (stats.t.ppf(1 - ALPHA / 2, k) * x for k, x in ((s - 1, over_seeds), (df, se)))
    half = np.fmax(of_seeds, np.where(se > 0, of_both, 0.0))
    return Decisions(
        mean - half, mean + half, seeds_p, examples_p, p, words(s, mean, mean - half, mean + half, p, rope)
    )


class Verdict(NamedTuple):
    """A word, and for "undecided" about how much it would take (nan: not known).

    Attributes:
        seeds: so many seeds, with the test examples that there are; infinite when `MOST_SEEDS` are not enough.
        with_examples: (seeds, test examples) that would do too, where the predictions say how much examples differ; the
            fewest that grow alike from what there is. Infinite where not even `MOST_SEEDS` and `MOST_EXAMPLES` would.
    """

    word: Word
    seeds: float = math.nan
    with_examples: tuple[float, float] = (math.nan, math.nan)


def verdict(pair: Paired, holm_p: float, rope: float, *, family: int = 1, examples: TwoWay | None = None) -> Verdict:
    """What a comparison says, in one word (`words`), and what a decision would take.

    The seeds and examples needed are those that give 80 % power for the effect observed at level .05 / `family` (Holm's
    first and hardest step) or, for a difference smaller than `rope`, those that would show equivalence.

    Args:
        holm_p: `deciding_p` after Holm's correction.
        rope: the smallest difference that matters, in the units of `pair`.
        family: number of comparisons that `holm_p` is adjusted for.
        examples: the two-way test, where predictions were compared.
    """
    seeds, low, high = (pair.n, pair.low, pair.high) if examples is None else both(pair, examples)
    if seeds < (MIN_PAIRS if examples is None else FEWEST_SEEDS):
        holm_p = math.nan
    word: Word = str(words(seeds, pair.mean, low, high, holm_p, rope))  # type: ignore[assignment]
    return Verdict(word) if word != "undecided" else Verdict(word, *needed(pair, rope, family, examples))


def both(pair: Paired, examples: TwoWay) -> tuple[int, float, float]:
    """(seeds, low, high) of what both tests say of a difference: the interval that holds the two of them."""
    return min(pair.n, examples.seeds), float(np.fmin(pair.low, examples.low)), float(np.fmax(pair.high, examples.high))


def needed(
    pair: Paired, rope: float, family: int = 1, examples: TwoWay | None = None
) -> tuple[float, tuple[float, float]]:
    """(seeds, (seeds, test examples)) that a decision would take, as `Verdict` has them."""
    small, alpha = abs(pair.mean) < rope, ALPHA / max(family, 1)
    unknown = math.nan, math.nan
    if examples is None or not math.isfinite(pair.sd) or examples.se == 0:
        seeds = seeds_for_equivalence(pair.mean, pair.sd, rope) if small else seeds_for_power(pair.d_z, alpha=alpha)
        return max(seeds, float(MIN_PAIRS)) if not math.isnan(seeds) else seeds, unknown
    by_seed, by_example, rest = examples.seed_variance, examples.example_variance, examples.rest_variance

    def shown(se: float, df: float) -> bool:
        critical = float(stats.t.ppf(1 - (ALPHA if small else alpha) / 2, df))
        if small:
            return critical * se <= rope - abs(pair.mean)
        return float(stats.nct.sf(critical, df, abs(pair.mean) / se)) >= 0.8

    def reached(s: int, e: int) -> bool:
        """Whether both tests would show it with `s` seeds and `e` examples, were the variances those observed."""
        squares = e * by_seed + rest, s * by_example + rest, rest
        total = squares[0] + squares[1] - rest
        below = sum(ms**2 / k for ms, k in zip(squares, (s - 1, e - 1, (s - 1) * (e - 1)), strict=True))
        over_seeds = math.sqrt(squares[0] / (s * e))
        return shown(math.sqrt(total / (s * e)), total**2 / below) and (
            over_seeds <= _NO_SPREAD or shown(over_seeds, s - 1)
        )

    s0, e0 = max(examples.seeds, MIN_PAIRS), examples.examples
    alone = _first(lambda s: reached(s, e0), MIN_PAIRS)
    steps = [1.05**i for i in range(300)]
    sizes = [(math.ceil(s0 * g), math.ceil(e0 * g)) for g in steps]
    sizes = [(s, e) for s, e in sizes if s <= MOST_SEEDS and e <= MOST_EXAMPLES]
    at = bisect_left(sizes, True, key=lambda size: reached(*size))
    if at == len(sizes):
        return alone, (math.inf, math.inf)
    s, e = sizes[at]
    return alone, (_first(lambda n: reached(n, e), MIN_PAIRS, s), _round_up(e))


def _round_up(n: int) -> float:
    """A number with two digits that is not below n."""
    unit = 10 ** max(len(str(n)) - 2, 0)
    return float(math.ceil(n / unit) * unit)


def _first(reached: Callable[[int], bool], low: int = 2, high: int = MOST_SEEDS) -> float:
    """The smallest n from `low` to `high` that has `reached`, which is monotone; infinite if none has."""
    if not reached(high):
        return math.inf
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle + 1, high)
    return low
