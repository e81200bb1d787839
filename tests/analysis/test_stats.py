"""Statistics against hand arrays, scipy and statsmodels, and against what they promise."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from raystudy.analysis import compare, stats

fractions = st.integers(0, 200).map(lambda i: i / 200)


def test_interval_by_hand():
    # mean 3, sd 1, t(.975, 2) = 4.302653
    i = stats.interval([2.0, 3.0, 4.0])
    assert (i.n, i.mean, i.sd) == (3, 3.0, 1.0)
    assert i.half == pytest.approx(4.302653 / math.sqrt(3), abs=1e-6)


def test_interval_equals_scipy():
    x = np.random.default_rng(0).normal(size=7)
    low, high = scipy.stats.t.interval(0.95, 6, x.mean(), scipy.stats.sem(x))
    i = stats.interval(x)
    assert (i.mean - i.half, i.mean + i.half) == pytest.approx((low, high))


def test_interval_without_spread():
    assert math.isnan(stats.interval([]).mean)
    one = stats.interval([0.5])
    assert one.mean == 0.5 and math.isnan(one.half) and math.isnan(one.sd)
    assert stats.interval([0.1 + 0.2, 0.3, 0.3]).half == 0


@pytest.mark.parametrize("bad", [[[1.0]], [float("nan")], [math.inf]])
def test_what_is_no_score_is_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        stats.interval(bad)


def test_paired_equals_scipy():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.2, 1, 8), rng.normal(size=8)
    got, want = stats.paired(a, b), scipy.stats.ttest_rel(a, b)
    assert (got.t, got.p) == pytest.approx((want.statistic, want.pvalue))
    assert (got.low, got.high) == pytest.approx(tuple(want.confidence_interval(0.95)))
    assert got.d_z == pytest.approx(got.t / math.sqrt(8))
    assert got.flip_floor == 2 / 256


def test_paired_degenerate_cases():
    none, one = stats.paired([], []), stats.paired([0.6], [0.5])
    assert none.n == 0 and math.isnan(none.mean) and math.isnan(none.p) and math.isnan(none.flip_p)
    assert one.mean == pytest.approx(0.1) and math.isnan(one.p) and math.isnan(one.low) and one.flip_p == 1
    same = stats.paired([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1) and math.isnan(same.t) and math.isnan(same.d_z)
    # 0.8 - 0.7 and 0.7 - 0.6 differ in binary; that is no spread to divide by
    shifted = stats.paired([0.8, 0.7, 0.6], [0.7, 0.6, 0.5])
    assert shifted.sd == 0 and shifted.t == math.inf and shifted.p == shifted.flip_p == 0.25
    with pytest.raises(ValueError, match="one length"):
        stats.paired([1.0], [1.0, 2.0])


@given(arrays(float, st.integers(2, 8), elements=fractions), st.data())
@settings(max_examples=60, deadline=None)
def test_paired_is_antisymmetric(a, data):
    b = data.draw(arrays(float, len(a), elements=fractions))
    there, back = stats.paired(a, b), stats.paired(b, a)
    assert there.mean == pytest.approx(-back.mean) and there.low == pytest.approx(-back.high)
    assert there.p == pytest.approx(back.p, nan_ok=True) and there.flip_p == back.flip_p
    assert there.flip_p >= there.flip_floor


@given(arrays(float, st.integers(1, 9), elements=st.integers(-4, 4).map(float)))
@settings(max_examples=80, deadline=None)
def test_sign_flip_equals_counting(d):
    """Integers, so that many patterns tie and ties must be counted."""
    sums = [abs(float(np.dot(signs, d))) for signs in itertools.product((-1, 1), repeat=len(d))]
    assert stats.sign_flip(d) == sum(s >= abs(d.sum()) for s in sums) / 2 ** len(d)


def test_sign_flip_equals_scipy():
    d = np.random.default_rng(2).normal(0.4, 1, 10)
    want = scipy.stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert stats.sign_flip(d) == pytest.approx(want)


@pytest.mark.parametrize(("n", "floor"), [(3, 0.25), (5, 0.0625), (6, 0.03125), (10, 2 / 1024), (20, 2 / 2**20)])
def test_floor_is_reached_by_equal_signs(n, floor):
    assert stats.flip_floor(n) == floor == stats.sign_flip(np.arange(1.0, n + 1))


def test_many_pairs_stay_cheap_and_then_stop():
    d = np.random.default_rng(3).normal(0.3, 1, 30)
    assert stats.sign_flip(d) == pytest.approx(scipy.stats.ttest_1samp(d, 0).pvalue, abs=0.02)
    assert math.isnan(stats.sign_flip(np.ones(41)))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=12, deadline=None)  # statsmodels takes 0.06 to 0.2 s a call
def test_holm_equals_statsmodels(p):
    assert stats.holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_holm_by_hand():
    # without the running maximum the second would be .03 * 2 = .06, below the first's .022 * 3 = .066
    assert stats.holm([0.03, 0.022, 0.9]) == pytest.approx([0.066, 0.066, 0.9])


def test_holm_counts_a_missing_p_as_one():
    got = stats.holm([0.01, math.nan, 0.02])
    assert got[[0, 2]] == pytest.approx(stats.holm([0.01, 1.0, 0.02])[[0, 2]]) and math.isnan(got[1])
    assert len(stats.holm([])) == 0
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        stats.holm([1.2])


@pytest.mark.parametrize(("n", "d_z"), [(3, 3.27), (5, 1.685), (6, 1.44), (10, 1.0), (20, 0.661)])
def test_seeds_for_power(n, d_z):
    assert stats.seeds_for_power(d_z) == stats.seeds_for_power(-d_z) == n
    assert TTestPower().power(d_z, n, 0.05) >= 0.8 > TTestPower().power(d_z, n - 1, 0.05)


def test_seeds_for_power_has_ends():
    assert stats.seeds_for_power(0.0) == math.inf and math.isnan(stats.seeds_for_power(math.nan))
    assert stats.seeds_for_power(1.0, alpha=0.05 / 8) > stats.seeds_for_power(1.0)


def test_seeds_for_equivalence():
    n = stats.seeds_for_equivalence(0.002, 0.01, 0.01)

    def half(k):
        return scipy.stats.t.ppf(0.975, k - 1) * 0.01 / math.sqrt(k)

    assert half(n) <= 0.008 < half(n - 1)
    assert stats.seeds_for_equivalence(0.02, 0.01, 0.01) == math.inf
    assert math.isnan(stats.seeds_for_equivalence(0.002, math.nan, 0.01))


def _pair(differences):
    return stats.paired(differences, np.zeros(len(differences)))


def test_verdict_words():
    clear = np.array([0.05, 0.051, 0.049, 0.052, 0.048])
    assert stats.verdict(_pair(clear), 0.001, 0.01).word == "better"
    assert stats.verdict(_pair(-clear), 0.001, 0.01).word == "worse"
    assert stats.verdict(_pair(clear), 0.06, 0.01).word == "undecided"  # Holm, not the raw p, decides
    assert stats.verdict(_pair(clear / 10), 0.001, 0.01).word == "equivalent"  # significant, but too small to matter
    loose = stats.verdict(_pair(np.array([0.08, -0.03, 0.06, 0.0, 0.02])), 0.3, 0.01)
    assert loose.word == "undecided" and 5 < loose.seeds < 100


def test_three_seeds_alone_never_decide():
    for d in ([0.05, 0.051, 0.049], [0.3, 0.3, 0.3], [0.0, 0.0, 0.0], [-0.2, -0.21, -0.2, -0.2]):
        got = stats.verdict(_pair(np.array(d)), 1e-9, 0.01)
        assert got.word == "undecided" and not got.seeds < stats.MIN_PAIRS
    pair = _pair(np.array([0.05, 0.051, 0.049]))
    examples = stats.two_way(pair.mean + np.random.default_rng(0).choice([-0.2, 0.2], (3, 200)))
    assert stats.deciding_p(3, pair.p, 0.001) == 0.001 > pair.p
    assert stats.verdict(pair, 0.01, 0.01, examples=examples).word == "better"
    assert stats.verdict(pair, float(stats.deciding_p(3, 1e-9, 0.2)), 0.01, examples=examples).word == "undecided"
    assert stats.verdict(_pair(np.array([0.05])), math.nan, 0.01).word == "undecided"


def test_a_significant_but_small_difference_is_not_better():
    d = np.array([0.004, 0.0041, 0.0039, 0.02, 0.0001, 0.01, 0.004])
    assert stats.verdict(_pair(d), 0.01, 0.01).word == "undecided"


@given(arrays(float, st.integers(5, 9), elements=fractions), st.data())
@settings(max_examples=60, deadline=None)
def test_undecided_always_asks_for_more_seeds(a, data):
    pair = stats.paired(a, data.draw(arrays(float, len(a), elements=fractions)))
    got = stats.verdict(pair, pair.p, 0.01)
    if got.word == "undecided" and pair.sd > 0:
        assert got.seeds > pair.n


def test_two_way_becomes_the_test_over_examples_when_seeds_agree():
    row = np.random.default_rng(4).choice([-1.0, 0.0, 1.0], 60, p=[0.1, 0.6, 0.3])
    want = scipy.stats.ttest_1samp(row, 0)
    for s in (1, 2, 5):
        got = stats.two_way(np.tile(row, (s, 1)))
        assert (got.t, got.df, got.p) == pytest.approx((want.statistic, 59, want.pvalue))


def test_two_way_becomes_the_test_over_seeds_when_examples_agree():
    column = np.array([0.0, 1.0, 1.0, 1.0, 0.0])
    want = scipy.stats.ttest_1samp(column, 0)
    for e in (1, 2, 50):
        got = stats.two_way(np.tile(column[:, None], (1, e)))
        assert (got.t, got.df, got.p) == pytest.approx((want.statistic, 4, want.pvalue))
        low, high = want.confidence_interval(0.95)
        assert (got.low, got.high) == pytest.approx((low, high))


def test_two_way_without_spread():
    assert stats.two_way(np.zeros((3, 4))).p == 1
    always = stats.two_way(np.ones((3, 4)))
    assert always.mean == 1 and always.se == 0 and math.isnan(always.p)
    with pytest.raises(ValueError, match="matrix"):
        stats.two_way(np.zeros(3))


def test_two_way_by_hand():
    # rows 0, 1; columns 0, 1/2, 1 around the mean 1/2: MS_seed 1.5, MS_example 0.5, MS_rest 0
    even = stats.two_way([[-0.5, 0.0, 0.5], [0.5, 1.0, 1.5]])
    assert (even.mean, even.se) == pytest.approx((0.5, math.sqrt(2 / 6)))
    assert even.df == pytest.approx(2**2 / (1.5**2 / 1 + 0.5**2 / 2))
    # rows 0, 2/3; columns 1/2, -1/2, 1 around 1/3: MS_seed 2/3, MS_example 7/6, MS_rest 1/6
    odd = stats.two_way([[0.0, -1.0, 1.0], [1.0, 0.0, 1.0]])
    assert odd.se == pytest.approx(math.sqrt((2 / 3 + 7 / 6 - 1 / 6) / 6))
    assert odd.df == pytest.approx((5 / 3) ** 2 / ((2 / 3) ** 2 + (7 / 6) ** 2 / 2 + (1 / 6) ** 2 / 2))


def test_two_way_standard_error_is_that_of_a_new_draw():
    """The variance of the mean over repeated experiments, against the mean of its estimate."""
    rng = np.random.default_rng(5)
    seeds, examples, reps = 4, 50, 1500
    d = (
        rng.normal(0, 0.1, (reps, seeds, 1))
        + rng.normal(0, 0.5, (reps, 1, examples))
        + rng.normal(0, 0.5, (reps, seeds, examples))
    )
    true = 0.1**2 / seeds + 0.5**2 / examples + 0.5**2 / (seeds * examples)
    assert np.var(d.mean((1, 2))) == pytest.approx(true, rel=0.15)
    assert np.mean([stats.two_way(x).se ** 2 for x in d[:500]]) == pytest.approx(true, rel=0.12)


def test_two_way_has_its_level_where_pooling_has_not():
    """No true difference, 3 seeds, 277 examples, but seeds and examples that lean to one side or the other."""
    rng = np.random.default_rng(6)
    ours = pooled = 0
    runs = 600
    for _ in range(runs):
        lean = np.clip(rng.normal(0, 0.03, (3, 1)) + rng.normal(0, 0.3, (1, 277)), -0.8, 0.8)
        u = rng.random((3, 277))
        d = (u < 0.1 + np.maximum(lean, 0)).astype(float) - (u > 0.9 + np.minimum(lean, 0))
        ours += stats.two_way(d).p < 0.05
        pooled += scipy.stats.ttest_1samp(d.ravel(), 0).pvalue < 0.05
    assert 0.02 <= ours / runs <= 0.075 and pooled / runs > 0.1


def test_two_way_of_many_studies_is_that_of_each():
    d = np.random.default_rng(7).normal(0.1, 1, (3, 2, 4, 9)) + np.random.default_rng(8).normal(size=(3, 2, 4, 1))
    squares = stats.mean_squares(d)
    se, df = squares.standard_error
    p = stats.two_way_p(squares.mean, se, df)
    for i in np.ndindex(3, 2):
        one = stats.two_way(d[i])
        assert (one.mean, one.se, one.df, one.p) == pytest.approx((squares.mean[i], se[i], df[i], p[i]))


def test_holm_of_many_families_is_that_of_each():
    p = np.random.default_rng(9).random((5, 4))
    np.testing.assert_allclose(stats.holm(p), [stats.holm(row) for row in p])


def test_both_tests_must_agree_at_any_number_of_seeds():
    assert stats.deciding_p(20, 0.01, 0.2) == 0.2 == stats.deciding_p(3, 0.2, 0.01)
    assert np.isnan(stats.deciding_p(2, 0.01, 0.01)) and np.isnan(stats.deciding_p(9, 0.01, math.nan))
    assert np.isnan(stats.deciding_p(4, 0.01, None)) and stats.deciding_p(5, 0.01, None) == 0.01


def test_words_of_many_comparisons_are_those_of_each():
    rng = np.random.default_rng(10)
    mean, half, p = rng.normal(0, 0.03, 200), rng.uniform(0, 0.03, 200), rng.uniform(0, 0.1, 200)
    said = stats.words(5, mean, mean - half, mean + half, p, 0.01)
    assert set(said.tolist()) == {"better", "worse", "equivalent", "undecided"}
    each = [stats.words(5, m, m - h, m + h, q, 0.01) for m, h, q in zip(mean, half, p, strict=True)]
    assert said.tolist() == list(map(str, each))


@pytest.mark.parametrize("seeds", [2, 3, 5, 12])
def test_many_studies_say_what_each_says(seeds):
    """Words, intervals and p-values of arrays are those that a report finds for one comparison after the other."""
    rng = np.random.default_rng(seeds)
    d = rng.normal(0, 0.02, (20, 3, seeds, 1)) + rng.normal(0, 0.3, (20, 3, 1, 60)) + rng.normal(0, 0.05, (20, 3, 1, 1))
    d = d + rng.normal(0, 0.2, (20, 3, seeds, 60)) * rng.choice([0.0, 0.3, 1.0], (20, 3, 1, 1))
    d[0, 0] = 0.0
    d[0, 1] = 0.5
    many = stats.decide(stats.mean_squares(d), 0.01)
    for i in range(20):
        pairs = {j: stats.paired(d[i, j].mean(1), np.zeros(seeds)) for j in range(3)}
        each = compare.all_tests(pairs, 0.01, dict(enumerate(d[i])), range(3))
        assert [each[j].verdict.word for j in range(3)] == many.words[i].tolist()
        np.testing.assert_allclose([each[j].p for j in range(3)], many.p[i], atol=1e-9)
        np.testing.assert_allclose([each[j].low for j in range(3)], many.low[i], atol=1e-9)


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (7, 0), (9, 3), (4, 4)])
def test_mcnemar_equals_statsmodels(better, worse):
    d = np.array([1.0] * better + [-1.0] * worse + [0.0] * 20)
    want = mcnemar([[10, better], [worse, 10]], exact=True).pvalue if better + worse else 1.0
    assert stats.mcnemar(d) == pytest.approx(want)


def test_crossed_bootstrap_has_the_variance_of_seeds_and_examples():
    """Its spread is that of the two-way standard error, which is known to be right, but for what it counts twice."""
    rng = np.random.default_rng(11)
    d = rng.normal(0, 0.05, (20, 1)) + rng.normal(0, 0.5, (1, 200)) + rng.normal(0, 0.3, (20, 200))
    low, high = stats.crossed_bootstrap(d)
    assert (low + high) / 2 == pytest.approx(d.mean(), abs=0.01)
    assert (high - low) / (2 * 1.96) == pytest.approx(stats.two_way(d).se, rel=0.15)
    assert stats.crossed_bootstrap(d) == (low, high)
    assert all(map(math.isnan, stats.crossed_bootstrap(d[:9])))


def _study(seed_sd, example_sd, rest_sd, effect, seeds=5, examples=100):
    """A matrix whose sums of squares are exactly those of the variances asked for."""
    rng = np.random.default_rng(12)
    row, column = (scipy.stats.zscore(rng.normal(size=n), ddof=1) for n in (seeds, examples))
    rest = rng.normal(size=(seeds, examples))
    rest -= rest.mean(0) + rest.mean(1, keepdims=True) - rest.mean()
    rest *= rest_sd / math.sqrt((rest**2).sum() / ((seeds - 1) * (examples - 1)))
    own, shared = math.sqrt(seed_sd**2 + rest_sd**2 / examples), math.sqrt(example_sd**2 + rest_sd**2 / seeds)
    d = effect + own * row[:, None] + shared * column[None, :] + rest
    return stats.paired(d.mean(1), np.zeros(seeds)), stats.two_way(d)


def test_two_way_finds_the_parts_of_the_variance():
    _, two = _study(0.04, 0.5, 0.3, 0.0)
    assert (two.seed_variance, two.example_variance, two.rest_variance) == pytest.approx((0.0016, 0.25, 0.09))


def test_what_examples_cost_no_seed_can_pay():
    """Examples that differ much: seeds alone never suffice; seeds that differ much: examples are not asked for."""
    pair, two = _study(0.01, 0.5, 0.1, 0.05)
    seeds, (with_seeds, with_examples) = stats.needed(pair, 0.01, 1, two)
    assert seeds == math.inf and with_seeds <= stats.MOST_SEEDS and with_examples > 500
    pair, two = _study(0.05, 0.02, 0.1, 0.03)
    seeds, (with_seeds, with_examples) = stats.needed(pair, 0.01, 1, two)
    assert 5 < with_seeds <= seeds < 60 and with_examples >= 100


def test_studies_of_the_size_that_is_said_to_be_needed_decide_in_four_of_five():
    pair, two = _study(0.02, 0.3, 0.3, 0.04)
    _, (s, e) = stats.needed(pair, 0.01, 1, two)
    rng, found, runs = np.random.default_rng(13), 0, 120
    for _ in range(runs):
        d = 0.04 + rng.normal(0, 0.02, (int(s), 1)) + rng.normal(0, 0.3, (1, int(e)))
        d = d + rng.normal(0, 0.3, (int(s), int(e)))
        again = stats.paired(d.mean(1), np.zeros(int(s)))
        two = stats.two_way(d)
        found += stats.verdict(again, float(stats.deciding_p(s, again.p, two.p)), 0.01, examples=two).word == "better"
    assert 0.7 <= found / runs <= 0.95


def test_more_comparisons_take_more_seeds_and_examples():
    pair, two = _study(0.03, 0.3, 0.3, 0.03)
    (alone, together), (among, together_among) = (stats.needed(pair, 0.01, m, two) for m in (1, 8))
    assert among >= alone and together_among[1] > together[1]


def test_equivalence_takes_examples_too():
    """An interval for new examples is wider than one for this test set, so less is called equivalent."""
    pair, two = _study(0.001, 0.3, 0.03, 0.001, seeds=6)
    assert stats.verdict(pair, 1.0, 0.01).word == "equivalent"
    got = stats.verdict(pair, 1.0, 0.01, examples=two)
    assert got.word == "undecided" and got.seeds == math.inf and got.with_examples[1] > 1000


def test_what_a_decision_takes_in_words():
    _, two = _study(0.01, 0.5, 0.1, 0.05, examples=277)

    def said(seeds, together, examples=two):
        return compare.needs(stats.Verdict("undecided", seeds, together), examples)

    assert said(12, (math.nan, math.nan), None) == said(12, (11, 300)) == "about 12 seeds"
    assert said(math.inf, (math.nan, math.nan), None) == "more than 1000 seeds"
    assert said(300, (12, 900)) == "about 300 seeds, or 12 seeds and 900 test examples"
    only_more_examples = "about 12 seeds and 900 test examples (no number of seeds is enough with 277 examples)"
    assert said(math.inf, (12, 900)) == only_more_examples
    assert said(math.inf, (math.inf, math.inf)) == "more than 1000 seeds or 1,000,000 test examples"
