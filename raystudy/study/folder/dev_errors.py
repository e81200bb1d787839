"""How surely the dev examples of one cell say its score: the standard error that so many examples leave in it."""

from __future__ import annotations

import math

import numpy as np

from raystudy.data.draws import rng
from raystudy.evaluate import task_metrics
from raystudy.predictions import Predictions
from raystudy.spec import Record
from raystudy.study.folder.records import Results
from raystudy.tasks import Task

__all__ = ["DRAWS", "dev_error"]

DRAWS = 200  # of the bootstrap, for metrics that are no mean over examples


def dev_error(record: Record, task: Task, results: Results) -> float | None:
    """The standard error of a cell's dev score over new examples; None where its answers cannot be read.

    Of an accuracy it is that of a share, with one right and one wrong answer added, because no few examples make it
    sure. Of other metrics it is the spread over draws of as many examples from the answers, with replacement; the draws
    depend on the cell alone.
    """
    metric, n = str(record.facts["metric"]), record.counts.get("n_dev", 0)
    if n < 2:
        return None
    if metric == "accuracy":
        p = (record.metrics["dev"][metric] * n + 1) / (n + 2)
        return math.sqrt(p * (1 - p) / n)
    answers = results.predictions(record.id, task.kind, "dev")
    if answers is None:
        return None
    draws = rng("dev error", record.id)
    scores = []
    for _ in range(DRAWS):
        rows = draws.integers(len(answers), size=len(answers))
        drawn = Predictions(tuple(answers.gold[i] for i in rows), tuple(answers.pred[i] for i in rows))
        score = task_metrics(task, drawn)[metric]
        scores.append(score if math.isfinite(score) else 0.0)
    return float(np.std(scores, ddof=1))
