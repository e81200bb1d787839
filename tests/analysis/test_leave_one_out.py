"""Metrics without each example, in closed form, against scikit-learn and scipy called once for each of them."""

from __future__ import annotations

import numpy as np
import pytest

from raystudy.analysis import leave_one_out as loo
from raystudy.metrics import METRICS, metric

TAGS = ("O", "B-x", "I-x", "B-y", "I-y")


def answers(name: str, rng: np.random.Generator, n: int) -> tuple[list, list]:
    """Gold and answered labels that the metric takes, with ties, classes that occur once, empty answers."""
    if name in loo.CORRELATIONS:
        gold, pred = rng.integers(0, 4, n).astype(float), rng.integers(0, 4, n) * 1e3
        return gold.tolist(), pred.tolist()
    if name in loo.SENTENCE_METRICS:
        gold = [tuple(rng.choice(TAGS, 4).tolist()) for _ in range(n)]
        return gold, [g if rng.random() < 0.5 else tuple(rng.choice(TAGS, 4).tolist()) for g in gold]
    gold = rng.integers(int(rng.integers(1, 5)), size=n).astype(str).tolist()
    return gold, [g if rng.random() < 0.5 else str(rng.choice(["", "0", "1", "2", "x"])) for g in gold]


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_left_out_example_gives_what_the_library_gives(name):
    rng = np.random.default_rng(0)
    of_library = metric(name, "0")
    for n in (2, 3, 5, 9, 12):
        gold, pred = answers(name, rng, n)
        score, without = loo.without_each(name, gold, pred, "0")
        assert score == pytest.approx(of_library(gold, pred), abs=1e-12)
        wanted = [of_library(gold[:i] + gold[i + 1 :], pred[:i] + pred[i + 1 :]) for i in range(n)]
        np.testing.assert_allclose(without, wanted, atol=1e-9)
        assert loo.terms(name, gold, pred, "0").mean() == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_a_correlation_is_the_same_in_any_unit_and_undefined_ones_are_zero(name):
    x, y = [1.0, 2.0, 4.0, 3.0], [0.0, 3.0, 3.5, 9.0]
    tiny, huge = ([v * unit for v in x] for unit in (1e-160, 1e160))
    for other in (tiny, huge):
        np.testing.assert_allclose(loo.terms(name, other, y), loo.terms(name, x, y))
    score, without = loo.without_each(name, [1.0, 1.0, 1.0, 2.0], y)
    assert score != 0 and without[3] == 0 and (without[:3] != 0).all()  # without the last one it is constant


def test_the_terms_of_a_mean_are_its_terms():
    """Pseudo-values of accuracy are what it is the mean of, so all metrics are compared on one scale."""
    right = np.array([1.0, 0.0, 1.0, 1.0])
    np.testing.assert_allclose(loo.pseudo_values(loo.ratio(right, np.ones(4)), right.mean()), right, atol=1e-12)
    assert loo.terms("accuracy", "abcd", "axcd").tolist() == right.tolist()


def test_the_spread_of_pseudo_values_is_that_of_new_test_sets():
    """The variance that they promise for macro-F1, against that over test sets which were drawn."""
    rng = np.random.default_rng(1)
    gold = rng.choice(3, size=(1500, 150), p=[0.6, 0.3, 0.1])
    pred = np.where(rng.random(gold.shape) < 0.7, gold, rng.integers(3, size=gold.shape))
    for name in ("macro_f1", "mcc"):
        scores, without = loo.of_classes(name, gold, pred, 4)
        promised = loo.pseudo_values(without, scores).var(axis=1, ddof=1) / 150
        assert promised.mean() == pytest.approx(scores.var(), rel=0.15)


def test_rows_of_an_array_are_test_sets_of_their_own():
    rng = np.random.default_rng(2)
    gold, pred = rng.integers(3, size=(4, 20)), rng.integers(3, size=(2, 4, 20))
    _, without = loo.of_classes("mcc", gold, pred, 4)
    numbers = rng.normal(size=(2, 20))
    _, correlated = loo.correlations(numbers, 2 * numbers + rng.normal(size=(2, 20)))
    assert correlated.shape == (2, 20)
    for i, j in np.ndindex(2, 4):
        np.testing.assert_allclose(without[i, j], loo.of_classes("mcc", gold[j], pred[i, j], 4)[1])


def test_what_cannot_be_left_out_is_refused():
    with pytest.raises(ValueError, match="takes two"):
        loo.terms("macro_f1", ["a"], ["a"])
    with pytest.raises(ValueError, match="bleu is not known"):
        loo.terms("bleu", ["a", "b"], ["a", "b"])
