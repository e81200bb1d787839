"""Selection on dev: who wins, who cannot, and that test scores have no say."""

from __future__ import annotations

import dataclasses
import random

from analysis.conftest import make_record
from hypothesis import given
from hypothesis import strategies as st

from raystudy.study.search.winners import dev_scores, rankings, winners

A, B = "polarity", "stars"


def test_per_target_and_per_suite():
    scores = {0: {A: [0.5, 0.5], B: [0.9, 0.9]}, 1: {A: [0.8, 0.6], B: [0.1, 0.3]}, 2: {A: [0.65, 0.65], B: [0.8, 0.8]}}
    assert winners(scores, [A, B], 2) == {A: 1, B: 0}
    assert winners(scores, [A, B], 2, "suite") == {A: 2, B: 2}


def test_equal_scores_go_to_the_lower_number():
    assert winners({3: {A: [0.5]}, 1: {A: [0.5]}, 2: {A: [0.4]}}, [A], 1) == {A: 1}
    # the mean must not depend on the order in which scores are added
    assert winners({2: {A: [0.1, 0.2, 0.3]}, 1: {A: [0.3, 0.2, 0.1]}}, [A], 3) == {A: 1}


def test_of_equal_scores_the_papers_settings_win_then_the_cheaper_then_the_lower_number():
    equal = {n: {A: [0.5]} for n in (3, 0, 2, 1)}
    passes = {0: {A: 90.0}, 1: {A: 60.0}, 2: {A: 30.0}, 3: {A: 30.0}}
    assert rankings(equal, [A], 1, passes=passes) == {A: [0, 2, 3, 1]}
    assert winners({n: s for n, s in equal.items() if n}, [A], 1, passes=passes) == {A: 2}
    # a higher score is worth any number of passes
    assert winners({**equal, 1: {A: [0.6]}}, [A], 1, passes=passes) == {A: 1}
    both = {0: {A: [0.4], B: [0.4]}, 1: {A: [0.6], B: [0.4]}, 2: {A: [0.4], B: [0.6]}}
    costs = {n: {A: 1.0, B: 10.0 - n} for n in both}
    assert rankings(both, [A, B], 1, "suite", costs)[A] == [2, 1, 0]


def test_part_of_the_scores_wins_only_if_none_is_complete():
    assert winners({0: {A: [0.1, 0.1]}, 1: {A: [0.9]}}, [A], 2) == {A: 0}
    assert winners({0: {A: [0.1]}, 1: {A: [0.9]}, 2: {A: []}}, [A], 2) == {A: 1}
    assert winners({0: {A: [0.1, 0.1]}, 1: {A: [0.9]}, 2: {}}, [A], 3) == {A: 0}


def test_a_suite_needs_every_target():
    scores = {0: {A: [0.2], B: [0.2]}, 1: {A: [0.9]}}
    assert winners(scores, [A, B], 1, "suite") == {A: 0, B: 0}


def test_nan_is_a_score_that_is_missing():
    assert winners({0: {A: [0.1, 0.2]}, 1: {A: [0.9, float("nan")]}}, [A], 2) == {A: 0}


def test_without_any_score_nobody_wins():
    assert winners({0: {}, 1: {A: []}}, [A], 2) == {}
    assert winners({}, [A], 2, "suite") == {}


@given(
    st.dictionaries(st.integers(0, 9), st.lists(st.floats(0, 1), max_size=3), min_size=1),
    st.randoms(use_true_random=False),
)
def test_the_order_of_trials_does_not_matter(scores: dict[int, list[float]], rng: random.Random):
    items = [(n, {A: s}) for n, s in scores.items()]
    first = winners(dict(items), [A], 3)
    rng.shuffle(items)
    assert winners(dict(items), [A], 3) == first


def test_test_scores_never_change_what_is_selected():
    rng = random.Random(0)
    searched = [
        make_record("meta_dtl", target, seed, dev=rng.random(), phase="search", settings={"lr": 1e-5 * (n + 1)})
        for n in range(6)
        for target in (A, B)
        for seed in (0, 1)
    ]
    trials = {r.id: round(float(r.spec.settings["lr"]) / 1e-5) - 1 for r in searched}
    confirmed = [make_record("meta_dtl", target, seed=100) for target in (A, B)]

    def selected(records):
        scores = dev_scores(records, trials)
        return [winners(scores, [A, B], 2, mode) for mode in ("per_target", "suite")]

    before = selected(searched + confirmed)
    assert all(len(by_target) == 2 for by_target in before)
    for attempt in range(20):
        noise = random.Random(attempt)
        leaked = [
            dataclasses.replace(r, metrics={**r.metrics, "test": {"accuracy": noise.random()}})
            for r in searched + confirmed
        ]
        noise.shuffle(leaked)
        assert selected(leaked) == before


def test_dev_scores_follow_the_seeds_and_leave_out_what_failed():
    given_ = [
        make_record("meta_dtl", A, 1, dev=0.2, phase="search"),
        make_record("meta_dtl", A, 0, dev=0.1, phase="search"),
        make_record("meta_dtl", A, 2, phase="search", error="boom"),
        make_record("single_task", A, 0, dev=0.9, phase="search"),
    ]
    trials = {r.id: 4 for r in given_[:3]}
    assert dev_scores(given_, trials) == {4: {A: [0.1, 0.2]}}
