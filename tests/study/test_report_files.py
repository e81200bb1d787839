"""What a report reads beside the scores: per-example differences, costs and importances of a search."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cells import spec_of

from raystudy.metrics import metric
from raystudy.predictions import Predictions
from raystudy.spec import Arm, Record, Setting
from raystudy.study.folder.records import Results
from raystudy.study.folder.report_files import example_differences, example_terms, sentence_scores_of
from raystudy.study.search.arm_search import IMPORTANCE_TRIALS
from raystudy.study.search.report_rows import importances, search_rows
from raystudy.study.study_run import StudyRun
from raystudy.train import Outcome
from study.fakes import Fake, plan


def finished(folder: Path, **replaced: str) -> StudyRun:
    study_run = StudyRun(plan(folder, **replaced), Results(folder / "out"))
    study_run.open()
    study_run.run_local(Fake())
    return study_run


def test_differences_of_examples_average_to_differences_of_scores(tmp_path: Path) -> None:
    c = finished(tmp_path)
    study, records = c.plan.study, list(c.study_records().values())
    differences = example_differences(records, study, c.results)
    score = {
        (r.spec.variant, str(r.spec.setting), r.spec.seed): r.metrics["test"]["accuracy"]
        for r in records
        if r.spec.phase == "confirm"
    }
    compared = {v for v in study.variants if v != study.report.baseline}
    assert {k[0] for k in differences} == compared
    for (variant, _, setting), d in differences.items():
        assert d.shape == (study.report.seeds, 12)
        assert set(np.unique(d)) <= {-1.0, 0.0, 1.0}
        wanted = [score[variant, setting, s] - score["single_task", setting, s] for s in range(study.report.seeds)]
        np.testing.assert_allclose(d.mean(axis=1), wanted, atol=1e-12)


def test_only_pairs_that_are_there_and_only_known_metrics(tmp_path: Path) -> None:
    c = finished(tmp_path)
    records = list(c.study_records().values())
    gone = next(r for r in records if r.spec.variant == "meta_dtl" and r.spec.phase == "confirm")
    (c.results.cells / gone.id / "predictions.parquet").write_bytes(b"not parquet")
    differences = example_differences(records, c.plan.study, c.results)
    assert differences["meta_dtl", "planted/target", str(gone.spec.setting)].shape[0] == c.plan.study.report.seeds - 1
    for name in ("bleu", "span_f1"):  # no metric of ours, and one of tags, which these answers are not
        others = [replace(r, facts={"metric": name}) for r in records]
        assert example_differences(others, c.plan.study, c.results) == {}


@pytest.mark.parametrize("name", ["macro_f1", "mcc", "f1"])
def test_pseudo_values_of_examples_average_to_differences_of_scores(tmp_path: Path, name: str) -> None:
    c = finished(tmp_path, methods="[single_task, meta_dtl]")
    facts = {"metric": name, "positive": "1"}
    records = [replace(r, facts=facts) for r in c.study_records().values() if r.spec.phase == "confirm"]
    scores = {}
    for r in records:
        answers = c.results.predictions(r.id, "classification")
        scores[r.spec.variant, str(r.spec.setting), r.spec.seed] = metric(name, "1")(answers.gold, answers.pred)
    for (variant, _, setting), d in example_differences(records, c.plan.study, c.results).items():
        wanted = [scores[variant, setting, s] - scores["single_task", setting, s] for s in range(len(d))]
        np.testing.assert_allclose(d.mean(axis=1), wanted, atol=1e-12)


def test_answers_of_numbers_and_of_tags_are_read_as_such(tmp_path: Path) -> None:
    results, spec = Results(tmp_path / "out"), spec_of("single_task")
    numbers = Record(spec, "done", facts={"metric": "spearman"})
    results.write(Outcome(numbers, {"test": Predictions((1.0, 2.5, 4.0, 3.0), (0.5, 2.0, 2.0, 5.0))}))
    assert example_terms(numbers, results).mean() == pytest.approx(metric("spearman")([1, 2.5, 4, 3], [0.5, 2, 2, 5]))
    tagged = Record(replace(spec, seed=spec.seed + 1), "done", facts={"metric": "span_f1"})
    gold, pred = (("B-x", "O"), ("B-y",), ("O", "O")), (("B-x", "B-x"), ("O",), ("O", "O"))
    results.write(Outcome(tagged, {"test": Predictions(gold, pred)}))
    assert example_terms(tagged, results).mean() == pytest.approx(metric("span_f1")(gold, pred))
    assert len(example_terms(tagged, results)) == 3  # sentences


def test_scores_of_single_sentences_are_those_of_the_predictions_that_were_written(tmp_path: Path) -> None:
    results = Results(tmp_path / "out")
    spec = spec_of("single_task", suite=("planted/tag_target",), target="planted/tag_target")
    gold, pred = (("B-x", "O"), ("O", "O", "O")), (("B-x", "B-x"), ("O", "O", "O"))
    records = [
        Record(replace(spec, variant=variant), "done", facts={"metric": metric})
        for variant, metric in (("single_task", "span_f1"), ("multi_task", "token_accuracy"), ("meta_dtl", "accuracy"))
    ]
    for record in records[:2]:
        results.write(Outcome(record, {"test": Predictions(gold, pred), "dev": Predictions(gold, gold)}))
    results.write(Outcome(records[2], {"test": Predictions(("1", "2"), ("1", "1"))}))
    scores = sentence_scores_of(records, results)
    at = ("planted/tag_target", str(spec.setting), spec.seed)
    np.testing.assert_allclose(scores("single_task", *at), [2 / 3, 1.0])
    np.testing.assert_allclose(scores("multi_task", *at), [1 / 2, 1.0])
    assert scores("meta_dtl", *at) is None  # no sentences of tags
    assert scores("single_task", *at[:2], spec.seed + 1) is None  # no such run


def test_what_a_search_cost_is_what_its_records_cost(tmp_path: Path) -> None:
    c = finished(tmp_path)
    rows = search_rows(c.searches, c.records)
    searched = [r for r in c.study_records().values() if r.spec.phase == "search"]
    assert sum(row.updates for row in rows) == sum(sum(r.updates.values()) for r in searched) > 0
    assert sum(row.seconds for row in rows) == pytest.approx(sum(r.wall for r in searched))
    assert sum(row.seeds for row in rows) == len(searched)


def test_importances_wait_for_enough_trials_and_add_up(tmp_path: Path) -> None:
    few = importances(finished(tmp_path).searches)
    assert all(i.trials < IMPORTANCE_TRIALS and not i.shares for i in few)
    many = finished(
        tmp_path, name="many", methods="[single_task, meta_dtl]", search=f"{{trials: {IMPORTANCE_TRIALS}, shots: 12}}"
    )
    for importance in importances(many.searches):
        assert importance.trials == IMPORTANCE_TRIALS
        searched = many.plan.study.fixed_settings(importance.arm.variant)
        assert not importance.shares.keys() & searched.keys()
        assert sum(importance.shares.values()) == pytest.approx(1)
    assert Arm("meta_dtl", Setting(shots=12)) in many.searches
