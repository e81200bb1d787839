"""Class by class, and example by example: hand arrays with exact answers, scikit-learn as reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from analysis.conftest import svg_alone
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from raystudy.analysis import report
from raystudy.analysis.sections.class_scores import class_scores
from raystudy.analysis.sections.disagreements import LENGTH, MOST, disagreement
from raystudy.analysis.sources import Answers

GOLD = tuple("aabbbc")


def test_scores_of_classes_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    answers = [(GOLD, tuple(rng.choice(list("abc"), len(GOLD)))) for _ in range(3)]
    found = class_scores(("m", "t", "all"), (0, 1, 2), answers)
    want = np.mean(
        [precision_recall_fscore_support(g, p, labels=list("abc"), zero_division=0)[:3] for g, p in answers], axis=0
    )
    for mine, theirs in zip((found.precision, found.recall, found.f1), want, strict=True):
        assert [x.mean for x in mine] == pytest.approx(list(theirs))
    shares = np.mean([confusion_matrix(g, p, labels=list("abc"), normalize="true") for g, p in answers], axis=0)
    assert np.array(found.confusion) == pytest.approx(shares)
    assert found.support == (2, 3, 1)


def test_answers_of_other_tasks_are_in_no_column() -> None:
    found = class_scores(("m", "t", "all"), (0,), [(GOLD, tuple("axbbbc"))])
    assert found.confusion[0] == (0.5, 0.0, 0.0)
    assert found.recall[0].mean == 0.5 and found.precision[0].mean == 1.0


def test_disagreement_counts_the_examples_that_more_seeds_answer_right() -> None:
    ours = {0: (GOLD, tuple("aabbbb")), 1: (GOLD, tuple("aabbab"))}
    theirs = {0: (GOLD, tuple("abbbbc")), 1: (GOLD, tuple("abbbbc")), 2: (GOLD, tuple("cccccc"))}
    found = disagreement("m", "base", "t", "all", ours, theirs, ["x" * 999])
    assert found is not None and found.seeds == (0, 1) and found.examples == 6
    assert (found.gained, found.lost) == (1, 2)  # the second; the fifth in one seed, the last in both
    assert [(e.number, e.our_right, e.their_right) for e in found.shown] == [(1, 2, 0), (5, 0, 2), (4, 1, 2)]
    assert (found.shown[1].gold, found.shown[1].ours, found.shown[1].theirs) == ("c", "b", "c")
    swapped = disagreement("base", "m", "t", "all", theirs, ours)
    assert swapped is not None and (swapped.gained, swapped.lost) == (2, 1)
    assert disagreement("m", "base", "t", "all", ours, {0: (tuple("bbbbbb"), GOLD)}) is None  # other examples
    assert disagreement("m", "base", "t", "all", ours, {7: theirs[0]}) is None  # no seed of both


def _answers(records) -> Answers:
    """The baseline is right on half of the examples, all others on the other half too."""
    gold, half = tuple("ab" * 20), tuple("ab" * 10 + "ba" * 10)
    of = {r.id: (gold, half if r.spec.variant == "single_task" else gold) for r in records}
    return lambda cell: of.get(cell)


def test_a_report_shows_few_examples_with_their_texts_escaped_and_cut(records, study, tmp_path: Path) -> None:
    texts = {"polarity": tuple(f"<b>text {i}</b> " + "so long " * 99 for i in range(40))}
    with svg_alone():
        path = report.build(study, records, [], tmp_path, answers=_answers(records), texts=texts)
    page, text = path.with_suffix(".html").read_text(), path.read_text()
    assert page.count("&lt;b&gt;text ") > 0 and "<b>text" not in page and "so long " * 40 not in page
    rows = (path.parent / "tables/disagreements.csv").read_text().splitlines()[1:]
    assert len(rows) == 2 * MOST  # two settings; nothing was lost
    assert all(len(row) < LENGTH + 100 for row in rows)
    assert "is right more often than single-task on 20 of 40 test examples, less often on 0." in text
    assert (path.parent / "figures/confusion_polarity_k20.svg").is_file() and "## Class by class" in text


def test_without_predictions_there_is_no_such_section(records, study, tmp_path: Path) -> None:
    with svg_alone():
        path = report.build(study, records, [], tmp_path)
    assert "Class by class" not in path.read_text() and "Where methods differ" not in path.read_text()
