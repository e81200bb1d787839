"""Scores against scikit-learn and scipy, spans against conlleval's rules."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as reference

from raystudy.errors import ConfigError
from raystudy.metrics import (
    METRICS,
    accuracy,
    f1,
    macro_f1,
    mcc,
    metric,
    pearson,
    sentence_scores,
    span_f1,
    spans,
    spearman,
    token_accuracy,
    token_f1,
)

CLASSES = st.sampled_from(["a", "b", "c", "d"])
LABELS = st.lists(st.tuples(CLASSES, CLASSES), min_size=1, max_size=30)
# a few values often, so that there are ties
NUMBERS = st.lists(
    st.tuples(st.integers(-4, 4) | st.floats(-100, 100, width=16), st.integers(-4, 4)), min_size=2, max_size=30
)
TAG = st.sampled_from(["O", "B-x", "I-x", "B-y", "I-y"])


@given(LABELS)
def test_classification_is_scikit_learn_s(pairs: list[tuple[str, str]]) -> None:
    gold, pred = zip(*pairs, strict=True)
    with warnings.catch_warnings():  # scikit-learn warns of a single class; ours is 0 there, as its is
        warnings.simplefilter("ignore")
        assert accuracy(gold, pred) == pytest.approx(reference.accuracy_score(gold, pred))
        assert macro_f1(gold, pred) == pytest.approx(reference.f1_score(gold, pred, average="macro"))
        assert mcc(gold, pred) == pytest.approx(reference.matthews_corrcoef(gold, pred), abs=1e-12)


@given(st.lists(st.tuples(CLASSES, CLASSES | st.just("")), min_size=1, max_size=30))
def test_an_empty_answer_is_wrong_but_no_class(pairs: list[tuple[str, str]]) -> None:
    gold, pred = zip(*pairs, strict=True)
    named = sorted({*gold, *pred} - {""})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = reference.f1_score(gold, pred, labels=named, average="macro")
        assert macro_f1(gold, pred) == pytest.approx(wanted)
        assert mcc(gold, pred) == pytest.approx(reference.matthews_corrcoef(gold, pred), abs=1e-12)
    assert accuracy(gold, pred) == pytest.approx(np.mean([g == p for g, p in pairs]))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_f1_is_of_the_positive_class(pairs: list[tuple[bool, bool]]) -> None:
    gold, pred = ([("no", "yes")[x] for x in side] for side in zip(*pairs, strict=True))
    for positive in ("yes", "no"):
        # labels, not pos_label: where the class occurs nowhere scikit-learn refuses that one, and says 0 here
        (wanted,) = reference.f1_score(gold, pred, labels=[positive], average=None, zero_division=0.0)
        assert f1(gold, pred, positive) == metric("f1", positive)(gold, pred) == pytest.approx(wanted)


CONSTANT = {
    "f1": 0.0,  # no positive one is found
    "mcc": 0.0,
    "span_f1": 0.0,
    "token_f1": 0.0,
    "pearson": 0.0,
    "spearman": 0.0,
}


@pytest.mark.parametrize("name", CONSTANT)
def test_constant_answers_earn_nothing(name: str) -> None:
    """Neither where gold varies nor where it is constant too: who always says the same has learned nothing."""
    if name in ("pearson", "spearman"):
        varied, constant, same = [0.1, 0.7, 0.2], [0.1] * 3, [0.1] * 3  # 0.1 * 3 / 3 is not 0.1 in floating point
    elif name in ("span_f1", "token_f1"):
        varied, constant, same = [["B-x", "O"]], [["O", "O"]], [["O", "O"]]  # type: ignore[assignment]
    else:
        varied, constant, same = ["no", "yes", "no"], ["no"] * 3, ["no"] * 3  # type: ignore[assignment]
    for gold in (varied, same):
        assert metric(name, "yes")(gold, constant) == CONSTANT[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "mcc":
            assert reference.matthews_corrcoef(same, constant) == 0.0
        if name in ("pearson", "spearman"):  # what scipy leaves undefined is nothing earned
            assert np.isnan(getattr(stats, f"{name}r")(varied, constant).statistic)


def test_classes_that_are_neither_gold_nor_answered_have_no_part_in_macro_f1() -> None:
    gold, pred = ["a", "a", "b"], ["a", "b", "b"]
    assert macro_f1(gold, pred) == pytest.approx(reference.f1_score(gold, pred, average="macro"))
    of_three = reference.f1_score(gold, pred, labels=["a", "b", "c"], average="macro", zero_division=0.0)
    assert of_three == pytest.approx(macro_f1(gold, pred) * 2 / 3)


@given(NUMBERS, st.sampled_from([1e-200, 1e-9, 3.0, 5e4, 1e200]), st.sampled_from([0.0, -7.0, 250_000.0]))
def test_correlations_are_the_same_in_every_unit(pairs: list[tuple[float, float]], a: float, b: float) -> None:
    gold, pred = (np.array([round(x) for x in side], float) for side in zip(*pairs, strict=True))
    shift = b if 1e-5 < a < 1e6 else 0.0  # else it would leave nothing of the numbers
    for ours in (pearson, spearman):
        assert ours(a * gold + shift, pred) == pytest.approx(ours(gold, pred), abs=1e-9)
        assert ours(gold, a * pred + shift) == pytest.approx(ours(gold, pred), abs=1e-9)


@given(NUMBERS)
def test_correlations_are_scipy_s(pairs: list[tuple[float, float]]) -> None:
    gold, pred = (np.array(side, float) for side in zip(*pairs, strict=True))
    for ours, theirs in ((pearson, stats.pearsonr), (spearman, stats.spearmanr)):
        if np.ptp(gold) == 0 or np.ptp(pred) == 0:
            assert ours(gold, pred) == 0  # undefined: a constant answer earns nothing
        elif np.ptp(gold) > 1e-3:
            assert ours(gold, pred) == pytest.approx(theirs(gold, pred).statistic, abs=1e-9)
            assert ours(gold, pred) == pytest.approx(ours(pred, gold), abs=1e-12)
            assert ours(gold, -pred) == pytest.approx(-ours(gold, pred), abs=1e-12)


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ("B-x I-x O", [("x", 0, 2)]),
        ("O O", []),
        # B- always opens
        ("B-x B-x", [("x", 0, 1), ("x", 1, 2)]),
        # I- without B- opens, at the start, after O
        ("I-x I-x O I-y", [("x", 0, 2), ("y", 3, 4)]),
        # a change of type inside closes and opens
        ("B-x I-y I-y", [("x", 0, 1), ("y", 1, 3)]),
        # B- after I- of its own type opens
        ("I-x B-x I-x", [("x", 0, 1), ("x", 1, 3)]),
        # a chunk at the end is closed
        ("O B-y", [("y", 1, 2)]),
        # types may hold a hyphen
        ("B-x-y I-x-y", [("x-y", 0, 2)]),
    ],
)
def test_spans_follow_conlleval(tags: str, wanted: list[tuple[str, int, int]]) -> None:
    assert list(spans(tags.split())) == wanted


@pytest.mark.parametrize(
    ("gold", "pred", "wanted"),
    [
        ("B-x I-x O B-y", "B-x I-x O B-y", 1.0),
        # a boundary off by one is wrong on both sides: 1 right of 2 and 2
        ("B-x I-x O B-y", "B-x O O B-y", 0.5),
        # the wrong type
        ("B-x I-x", "B-y I-y", 0.0),
        # I- for B- is the same span
        ("B-x I-x O", "I-x I-x O", 1.0),
        # two spans run together: 0 right
        ("B-x B-x", "B-x I-x", 0.0),
        # 1 right, 3 found, 1 wanted
        ("B-x O O O", "B-x O B-x B-y", 0.5),
        ("O O", "O O", 0.0),
    ],
)
def test_span_f1_by_hand(gold: str, pred: str, wanted: float) -> None:
    assert span_f1([gold.split()], [pred.split()]) == wanted
    # harmonic mean: gold and pred may change places
    assert span_f1([pred.split()], [gold.split()]) == wanted


def test_span_f1_is_micro_over_sentences() -> None:
    gold, pred = ["B-x O", "B-x B-x", "B-y O"], ["B-x O", "B-x O", "O O"]
    # 2 right, 2 found, 4 wanted
    assert span_f1([g.split() for g in gold], [p.split() for p in pred]) == pytest.approx(2 * 2 / 6)
    # a span does not reach into the next sentence
    assert span_f1([["B-x"], ["I-x"]], [["B-x"], ["B-x"]]) == 1.0
    with pytest.raises(ValueError, match="2 gold tags has 1 predicted"):
        span_f1([["O", "O"]], [["O"]])


@given(st.lists(TAG, max_size=12))
def test_spans_do_not_overlap(tags: list[str]) -> None:
    found = list(spans(tags))
    inside = [i for _, a, b in found for i in range(a, b)]
    # every token that is not O is in exactly one span, of its own type
    assert inside == [i for i, t in enumerate(tags) if t != "O"]
    assert all(tags[i].endswith(kind) for kind, a, b in found for i in range(a, b))
    if found:
        assert span_f1([tags], [tags]) == 1.0


def test_token_accuracy() -> None:
    assert token_accuracy([["O", "B-x"], ["O"]], [["O", "O"], ["O"]]) == pytest.approx(2 / 3)
    assert token_accuracy([[]], [[]]) == 0.0


@pytest.mark.parametrize(
    ("gold", "pred", "wanted"),
    [
        ("B-x I-x O", "B-x I-x O", 1.0),
        ("B-x I-x O", "O I-x O", 2 / 3),  # 1 right, 1 found, 2 wanted
        ("B-x O O", "B-y O O", 0.0),
        ("O O O", "O O B-x", 0.0),
        ("NOUN VERB", "NOUN NOUN", 0.5),  # without O it is accuracy
    ],
)
def test_token_f1_by_hand(gold: str, pred: str, wanted: float) -> None:
    assert token_f1([gold.split()], [pred.split()]) == pytest.approx(wanted)
    assert token_f1([pred.split()], [gold.split()]) == pytest.approx(wanted)
    assert token_f1([[t] for t in gold.split()], [[t] for t in pred.split()]) == pytest.approx(wanted)


@given(LABELS)
def test_scores_do_not_depend_on_order(pairs: list[tuple[str, str]]) -> None:
    gold, pred = zip(*pairs, strict=True)
    for m in (accuracy, macro_f1, mcc):
        assert m(gold, pred) == pytest.approx(m(gold[::-1], pred[::-1]), abs=1e-12)
        assert m(gold, gold) in (1.0, 0.0)
        assert -1 <= m(gold, pred) <= 1 + 1e-12


def test_unknown_metrics_are_named() -> None:
    assert all(metric(name) is m for name, m in METRICS.items() if name != "f1")
    with pytest.raises(ConfigError, match="did you mean 'accuracy'"):
        metric("acuracy")


ENDED = ["B-x", "I-x", "E-x", "S-x", "B-y", "E-y", "S-y", "O"]


@given(st.lists(st.sampled_from(["x", "y", "z"]), max_size=6), st.lists(st.integers(1, 4), max_size=6))
def test_every_scheme_says_the_same_spans(kinds: list[str], lengths: list[int]) -> None:
    wanted, at = [], 0
    tags: dict[str, list[str]] = {letters: [] for letters in ("BIII", "BIES", "BILU", "BMEW")}
    for kind, n in zip(kinds, lengths, strict=False):
        wanted.append((kind, at, at + n))
        at += n + (n > 2)  # an O behind the longer ones
        for letters, said in tags.items():
            begin, inside, end, whole = letters
            one = [begin if letters == "BIII" else whole]
            said += [f"{p}-{kind}" for p in (one if n == 1 else [begin, *[inside] * (n - 2), end])] + ["O"] * (n > 2)
    for said in tags.values():
        assert list(spans(said)) == wanted


@given(st.lists(st.sampled_from(ENDED), max_size=10))
def test_a_word_is_in_one_span_whatever_the_order_of_ended_tags(tags: list[str]) -> None:
    inside = [i for _, a, b in spans(tags) for i in range(a, b)]
    assert inside == [i for i, t in enumerate(tags) if t != "O"]


TAGS = ("O", "B-x", "I-x", "B-y")


@given(st.lists(st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1, max_size=6), max_size=5))
def test_the_score_of_a_sentence_is_the_metric_of_it_alone(sentences: list[list[tuple[str, str]]]) -> None:
    gold, pred = ([[pair[side] for pair in s] for s in sentences] for side in (0, 1))
    for name in ("token_accuracy", "span_f1", "token_f1"):
        found = sentence_scores(name, gold, pred)
        assert found is not None and len(found) == len(sentences)
        for score, g, p in zip(found, gold, pred, strict=True):
            if name == "token_accuracy" or {*g, *p} != {"O"}:
                assert score == pytest.approx(metric(name)([g], [p]))
            else:  # nothing to find, and nothing found
                assert score == 1.0
    assert sentence_scores("accuracy", gold, pred) is None
