"""One way to judge every method: its predictions in the order of the examples, and their scores from `metrics`.

Workers share the prediction; which of them computed which answer makes no difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raystudy.data.text import IGNORED, Encoded
from raystudy.methods import BaseMethod, Readout
from raystudy.metrics import metric
from raystudy.nn.dropout import without_dropout
from raystudy.nn.encoder import Encoder, token_budget
from raystudy.predictions import ELSEWHERE, Predictions
from raystudy.tasks import Task
from raystudy.workers import Workers

__all__ = [
    "answers_of",
    "head_logits",
    "histogram",
    "predict",
    "softmax",
    "task_metrics",
    "unread_tag",
]


def head_logits(encoder: Encoder, encoded: Encoded, head: int, workers: Workers) -> NDArray[np.float64]:
    """(n, columns) logits of a whole head, or (words, columns) for tagging.

    Computed in shards sorted by length and gathered in order.
    """
    lengths = np.diff(encoded.offsets)
    tagged = np.add.reduceat(encoded.tags != IGNORED, encoded.offsets[:-1])
    counts = tagged if encoded.kind == "tagging" else np.ones_like(lengths)
    first = np.concatenate([[0], np.cumsum(counts)])
    mine = np.argsort(lengths, kind="stable")[workers.rank :: workers.size]
    out = np.zeros((int(first[-1]), encoder.head(head).out_features))
    with without_dropout(encoder), torch.inference_mode():
        for part in token_budget(lengths[mine].tolist()):
            rows = mine[part]
            for a in encoder.answers(encoded.batch(rows), head=head):
                out[np.concatenate([np.arange(first[r], first[r + 1]) for r in rows])] = a.logits.double().cpu().numpy()
    if workers.size > 1:  # every row was filled by one rank
        flat = torch.from_numpy(out.reshape(-1)).to(encoder.body.anchor.device)
        out = workers.sum(flat).cpu().numpy().reshape(out.shape)
    return out


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, C) probabilities of every row of logits."""
    e = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


def predict(
    method: BaseMethod[Any], task: Task, split: str, encoded: Encoded, readout: Readout, workers: Workers
) -> Predictions:
    """Answer one split of one task.

    An open readout's tie between a class of the task and another's goes to the task's.

    Every answer goes to its own word. A word that no model reads, because it lies behind the cut or the tokenizer makes
    no piece of it, gets `unread_tag`. Numbers are answered in the labels' own unit.
    """
    logits = head_logits(method.encoder, encoded, readout.head, workers)
    unread = unread_tag(method, task) if task.kind == "tagging" else ""
    return answers_of(logits, task, split, encoded, readout, unread)


def answers_of(
    logits: NDArray[np.float64], task: Task, split: str, encoded: Encoded, readout: Readout, unread: str
) -> Predictions:
    """The answers that the logits of a whole head stand for (`head_logits`); see `predict`.

    Args:
        unread: the tag of words that no model reads.
    """
    own = logits.shape[1]
    if readout.columns is not None:
        # the task's classes first, in its order; then, when the readout is open, those of other tasks alone
        others = np.setdiff1d(np.arange(own), readout.columns) if readout.open else np.empty(0, np.int64)
        own = len(readout.columns)
        logits = logits[:, [*readout.columns, *others]]
    gold = tuple(e.label for e in task.splits[split])
    if task.kind == "regression":
        return Predictions(gold, tuple(encoded.unit.in_own_unit(logits[:, 0]).tolist()))
    names = [*task.labels, *[ELSEWHERE] * (logits.shape[1] - own)]
    best = [names[i] for i in logits.argmax(1)]
    if task.kind == "classification":
        p = softmax(logits)
        if p.shape[1] > own:
            p = np.column_stack([p[:, :own], p[:, own:].sum(1)])
        return Predictions(gold, tuple(best), p.astype(np.float32))
    pred, next_word = [], 0
    for i, tags in enumerate(gold):
        assert isinstance(tags, tuple)
        answer, words = [unread] * len(tags), encoded.words_of(i)
        for word, tag in zip(words, best[next_word : next_word + len(words)], strict=True):
            answer[word] = tag
        pred.append(tuple(answer))
        next_word += len(words)
    return Predictions(gold, tuple(pred))


def unread_tag(method: BaseMethod[Any], task: Task) -> str:
    """The answer to words that no model reads: the most frequent tag among the training examples, the first of equals.

    The floor that knows the whole training split answers with the most frequent tag of that.
    """
    return str((method.setup.prior or task.drawn_prior).answer)


def histogram(task: Task, labels: Iterable[Any]) -> dict[str, int]:
    """How often each class (or tag) is among `labels`, the gold or the answers of `Predictions`, in the task's order.

    Answers that are no class of the task count as `ELSEWHERE`. A regression task has no classes: its counts are empty.
    """
    if task.kind == "regression":
        return {}
    counts = Counter(t for p in labels for t in (p if isinstance(p, tuple) else (p,)))
    return {c: counts[c] for c in (*task.labels, *([ELSEWHERE] if ELSEWHERE in counts else []))}


def task_metrics(task: Task, predictions: Predictions) -> dict[str, float]:
    """Every metric of the task, the primary one first."""
    metric_functions = {name: metric(name, task.positive_class) for name in task.all_metrics}
    return {name: score(predictions.gold, predictions.pred) for name, score in metric_functions.items()}
