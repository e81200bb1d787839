"""The best configurations of a search as one: what their answers together would have scored on test, seed by seed.

In few-shot work a winner on a few dozen examples is luck, and the mean of several models varies less than one of them.
The probabilities of the configurations are averaged, and so are numbers. Tags have no probabilities in the records:
each word gets the tag that most of them gave it, of equals that of the configuration that is better on dev.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from raystudy.analysis.numbers import EnsembleRow
from raystudy.evaluate import task_metrics
from raystudy.predictions import ELSEWHERE, Predictions
from raystudy.spec import Spec
from raystudy.tasks import Task

if TYPE_CHECKING:
    from raystudy.study.study_run import StudyRun

__all__ = ["ensemble_rows", "together"]


def ensemble_rows(study_run: StudyRun) -> list[EnsembleRow]:
    """The test scores of every arm's best configurations together, where the study confirms several.

    A seed has a score once all its configurations are trained and their answers can be read.
    """
    rows = []
    for (arm, target), cells_of_seed in study_run.plan.members(study_run.searches).items():
        task, scores = study_run.plan.tasks[target], []
        for seed, cells in enumerate(cells_of_seed):
            predictions = [p for cell in cells if (p := _test_answers(study_run, task, cell)) is not None]
            if len(predictions) == len(cells):
                scores.append((seed, task_metrics(task, together(task, predictions))[task.metric]))
        rows.append(EnsembleRow(arm, target, len(cells_of_seed[0]), tuple(scores)))
    return rows


def _test_answers(study_run: StudyRun, task: Task, cell: Spec) -> Predictions | None:
    """A cell's answers to test; None where it is not done, or its answers cannot be read or averaged."""
    record = study_run.records.get(cell.id)
    if record is None or record.status != "done":
        return None
    answers = study_run.results.predictions(cell.id, task.kind)
    nothing_to_average = answers is None or (task.kind == "classification" and answers.probabilities is None)
    return None if nothing_to_average else answers


def together(task: Task, predictions: Sequence[Predictions]) -> Predictions:
    """The answers of several models as one model's, those of the best first.

    An answer that is no class of the task (`ELSEWHERE`) stands where more than half of the models gave one.
    """
    gold = predictions[0].gold
    if task.kind == "regression":
        means = np.mean([np.asarray(p.pred, dtype=np.float64) for p in predictions], axis=0)
        return Predictions(gold, tuple(means.tolist()))
    if task.kind == "tagging":
        sentences = zip(*(p.pred for p in predictions), strict=True)
        return Predictions(gold, tuple(tuple(map(_most_frequent, zip(*tags, strict=True))) for tags in sentences))
    own = len(task.labels)
    shares = np.stack([np.asarray(p.probabilities, dtype=np.float64)[:, :own] for p in predictions]).mean(0)
    elsewhere = np.stack([[float(answer == ELSEWHERE) for answer in p.pred] for p in predictions]).mean(0)
    best = [task.labels[i] for i in shares.argmax(1)]
    pred = tuple(ELSEWHERE if away > 0.5 else label for label, away in zip(best, elsewhere, strict=True))
    return Predictions(gold, pred, shares.astype(np.float32))


def _most_frequent(tags: Sequence[Any]) -> Any:
    """The tag that is there most often, the first of equals."""
    return Counter(tags).most_common(1)[0][0]
