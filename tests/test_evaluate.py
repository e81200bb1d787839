"""Predictions come in example order, whoever computed which."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from cells import method_over, planted, ran, spec_of
from sklearn import metrics as reference

from raystudy.data.plm import resolve
from raystudy.data.text import IGNORED, encode, tokenizer
from raystudy.evaluate import histogram, predict, task_metrics, unread_tag
from raystudy.methods import BaseMethod, Readout
from raystudy.predictions import ELSEWHERE, Predictions
from raystudy.tasks import Example, Task
from raystudy.workers import Alone, simulate

PLM = resolve("tiny")


def ragged(form: str) -> Task:
    """150 examples whose lengths jump up and down: several batches, no two alike."""
    g = np.random.default_rng(0)
    rows: list[Example] = []
    for i in range(150):
        words = [f"w{n:03d}" for n in g.integers(200, size=int(g.integers(1, 41)))]
        if form == "tagging":
            rows.append(
                Example(tuple(("O", "B-x", "I-x")[n] for n in g.integers(3, size=len(words))), tokens=tuple(words))
            )
        elif form == "numbers":
            rows.append(Example(float(len(words)), text=" ".join(words)))
        else:
            rows.append(Example("abc"[i % 3], text=" ".join(words)))
    splits = dict.fromkeys(("train", "dev", "test"), tuple(rows))
    if form == "tagging":
        return Task("tags", "tagging", ("O", "B-x", "I-x"), splits, metric="span_f1", metrics=("token_accuracy",))
    if form == "numbers":
        return Task("numbers", "single", (), splits, metric="pearson", metrics=("spearman",))
    return Task("classes", "single", ("a", "b", "c"), splits, metrics=("macro_f1", "mcc"))


def answering(task: Task) -> BaseMethod:
    """An untrained method whose head tells texts apart: random weights, and no answer favoured on the whole."""
    method = method_over({task.name: task}, "single_task")
    head = method.encoder.heads[0]
    with torch.no_grad():
        head.weight.normal_(generator=torch.Generator().manual_seed(0))
        head.bias -= torch.from_numpy(np.concatenate(one_by_one(method, task)).mean(0))
    return method


def one_by_one(method: BaseMethod, task: Task) -> list[np.ndarray]:
    """(rows, C) logits of each example, alone in its batch."""
    encoded, out = encode(task, "dev", PLM), []
    with torch.no_grad():
        method.eval()
        for i in range(len(encoded)):
            (a,) = method.encoder.answers(encoded.batch(np.array([i])))
            out.append(a.logits.numpy())
    return out


def answers_of(method: BaseMethod, task: Task, workers: object = None, readout: Readout | None = None) -> Predictions:
    where = readout or method.readout(0)
    return predict(method, task, "dev", encode(task, "dev", PLM), where, workers or Alone())  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["classes", "tagging", "numbers"])
def test_answers_are_in_example_order(form: str) -> None:
    task = ragged(form)
    method = answering(task)
    wanted = one_by_one(method, task)
    p = answers_of(method, task)
    assert p.gold == tuple(e.label for e in task.splits["dev"])
    assert len(p) == len(p.pred) == 150
    if form == "numbers":
        assert p.pred == pytest.approx(
            encode(task, "dev", PLM).unit.in_own_unit([float(w[0, 0]) for w in wanted]), abs=1e-12
        )
        assert p.probabilities is None
    elif form == "classes":
        assert p.pred == tuple(task.labels[int(w.argmax())] for w in wanted)
        assert len(set(p.pred)) == 3
        assert p.probabilities is not None
        softmax = torch.softmax(torch.from_numpy(np.concatenate(wanted)), 1).numpy()
        np.testing.assert_allclose(p.probabilities, softmax, atol=1e-6)
    else:
        assert p.pred == tuple(tuple(task.labels[i] for i in w.argmax(1)) for w in wanted)
        assert p.probabilities is None


@pytest.mark.parametrize("size", [2, 3, 7])
@pytest.mark.parametrize("form", ["classes", "tagging", "numbers"])
def test_any_number_of_workers_answers_alike(form: str, size: int) -> None:
    task = ragged(form)
    if size == 7:  # fewer examples than workers
        task = task.with_splits(dev=task.splits["dev"][:4])
    method = answering(task)
    alone = answers_of(method, task)
    for p in simulate(size, lambda workers: answers_of(method, task, workers)):
        assert p.gold == alone.gold
        assert p.pred == pytest.approx(alone.pred, abs=1e-12) if form == "numbers" else p.pred == alone.pred
        if alone.probabilities is not None:
            np.testing.assert_allclose(p.probabilities, alone.probabilities, atol=1e-6)


def test_every_word_is_answered_even_behind_the_cut() -> None:
    task = ragged("tagging")
    method = answering(task)
    encoded = encode(task, "dev", PLM, 12)  # [CLS], ten words, [SEP]
    assert encoded.cut_words == sum(max(0, len(e.tokens) - 10) for e in task.splits["dev"])
    p = predict(method, task, "dev", encoded, method.readout(0), Alone())
    train_tags = [t for e in task.splits["train"] for t in e.label]  # type: ignore[union-attr]
    common = max(set(train_tags), key=train_tags.count)
    for e, tags in zip(task.splits["dev"], p.pred, strict=True):
        assert len(tags) == len(e.tokens)
        # what the model never saw gets the most frequent tag of train
        assert set(tags[10:]) <= {common}
    assert set(task_metrics(task, p)) == {"span_f1", "token_accuracy"}


@pytest.mark.parametrize("side", ["left", "right"])
def test_words_that_no_model_reads_shift_no_other_answer(side: str) -> None:
    """Empty words anywhere, also alone in a sentence, and sentences over the length, cut at either side."""
    base = ragged("tagging")
    method = answering(base)
    g = np.random.default_rng(1)
    rows, places = [], []
    for e in base.splits["dev"][:60]:
        there = np.sort(g.choice(len(e.tokens) + 6, len(e.tokens), replace=False)) if len(rows) % 9 else np.arange(0)
        tokens, tags = [""] * (len(there) + 6), ["O"] * (len(there) + 6)
        for word, tag, at in zip(e.tokens, e.label, there, strict=False):  # type: ignore[arg-type]
            tokens[at], tags[at] = word, tag
        rows.append(Example(tuple(tags), tokens=tuple(tokens)))
        places.append(there)
    task = base.with_splits(dev=rows)
    with patch.object(tokenizer(PLM), "truncation_side", side), patch("raystudy.data.text._MEMO", {}):
        encoded, plain = (encode(t, "dev", PLM, 22) for t in (task, base))  # twenty words
        answers, wanted = (
            predict(method, t, "dev", e, Readout(0), Alone()) for t, e in ((task, encoded), (base, plain))
        )
    assert encoded.coverage.words_without_pieces == 6 * 60
    assert encoded.cut_words == sum(max(0, len(there) - 20) for there in places) > 0
    unread = unread_tag(method, task)
    for i, there in enumerate(places):
        assert [answers.pred[i][at] for at in there] == list(wanted.pred[i][: len(there)])
        assert {answers.pred[i][at] for at in range(len(rows[i].tokens)) if at not in set(there)} == {unread}


def test_unread_words_get_the_first_of_the_most_frequent_tags() -> None:
    base = ragged("tagging")
    even = [Example(("I-x", "B-x"), tokens=("w001", "w002"))]  # O, the first of the label set, does not occur
    assert unread_tag(answering(base), base.with_splits(train=even)) == "B-x"


def test_numbers_are_answered_in_the_labels_own_unit() -> None:
    task = ragged("numbers")
    method = answering(task)
    z = [float(x[0, 0]) for x in one_by_one(method, task)]
    unit = encode(task, "dev", PLM).unit
    assert answers_of(method, task).pred == pytest.approx(unit.in_own_unit(z), abs=1e-12)
    assert unit.sd > 2


def test_tags_never_seen_in_training_are_wrong_but_answered() -> None:
    task = planted("tag_target")
    odd = Example(("B-new", "O", "O"), tokens=("w001", "w100", "w101"))
    task = task.with_splits(dev=[odd, *task.splits["dev"]])
    encoded = encode(task, "dev", PLM)
    assert int((encoded.tags[: encoded.offsets[1]] != IGNORED).sum()) == 3
    p = predict(answering(task), task, "dev", encoded, Readout(0), Alone())
    assert p.gold[0] == odd.label
    assert len(p.pred[0]) == 3
    assert "B-new" not in p.pred[0]


def test_readout_picks_and_orders_columns() -> None:
    task = ragged("classes")
    method = answering(task)
    plain, turned = answers_of(method, task), answers_of(method, task, readout=Readout(0, (2, 0, 1)))
    assert plain.probabilities is not None
    assert turned.probabilities is not None
    np.testing.assert_allclose(turned.probabilities, plain.probabilities[:, [2, 0, 1]], atol=1e-6)


def two_of_five() -> tuple[BaseMethod, Task, np.ndarray]:
    """A head of five columns, the fourth and the first of them the classes of a task; the logits of its dev split."""
    five = planted("target", classes=5, source_classes=5, n_dev=60)
    rows = tuple(replace(e, label="ab"[i % 2]) for i, e in enumerate(five.splits["dev"]))
    task = Task("two", "single", ("a", "b"), dict.fromkeys(("train", "dev", "test"), rows), metrics=("macro_f1",))
    method = answering(five)
    return method, task, np.concatenate(one_by_one(method, five))


def test_closed_readouts_answer_with_the_task_s_classes_alone() -> None:
    method, task, logits = two_of_five()
    p = answers_of(method, task, readout=Readout(0, (3, 0)))
    mine = logits[:, [3, 0]]
    assert p.pred == tuple("ab"[i] for i in mine.argmax(1))
    np.testing.assert_allclose(p.probabilities, torch.softmax(torch.from_numpy(mine), 1), atol=1e-6)  # type: ignore[arg-type]


def test_open_readouts_may_answer_with_a_class_of_another_task() -> None:
    method, task, logits = two_of_five()
    closed, p = (answers_of(method, task, readout=Readout(0, (3, 0), open=o)) for o in (False, True))
    assert p.pred == tuple({3: "a", 0: "b"}.get(int(i), ELSEWHERE) for i in logits.argmax(1))
    assert 0 < p.pred.count(ELSEWHERE) < len(p)
    # the mass on all other classes is the last number
    softmax = torch.softmax(torch.from_numpy(logits), 1).numpy()
    wanted = np.column_stack([softmax[:, [3, 0]], softmax[:, [1, 2, 4]].sum(1)])
    np.testing.assert_allclose(p.probabilities, wanted, atol=1e-6)  # type: ignore[arg-type]
    # within the task it answers as a closed readout does, elsewhere it is wrong
    inside = [i for i, answer in enumerate(p.pred) if answer != ELSEWHERE]
    assert all(p.pred[i] == closed.pred[i] for i in inside)
    right = sum(p.gold[i] == p.pred[i] for i in inside)
    assert task_metrics(task, p)["accuracy"] == right / len(p) < task_metrics(task, closed)["accuracy"]
    # and adds no class to the mean of F1
    of_both = reference.f1_score(p.gold, p.pred, labels=["a", "b"], average="macro")
    assert task_metrics(task, p)["macro_f1"] == pytest.approx(of_both)
    for other in simulate(3, lambda workers: answers_of(method, task, workers, Readout(0, (3, 0), open=True))):
        assert other.pred == p.pred
        np.testing.assert_allclose(other.probabilities, p.probabilities, atol=1e-6)  # type: ignore[arg-type]


def test_open_readouts_of_a_head_without_other_classes_are_closed() -> None:
    task = ragged("classes")
    method = answering(task)
    closed, p = (answers_of(method, task, readout=Readout(0, (2, 0, 1), open=o)) for o in (False, True))
    assert p.pred == closed.pred
    np.testing.assert_array_equal(p.probabilities, closed.probabilities)


@pytest.mark.parametrize("training", [True, False])
def test_judging_leaves_the_method_as_it_was(training: bool) -> None:
    task = ragged("classes")
    method = method_over({task.name: task}, "single_task", dropout=0.5).train(training)
    before = torch.random.get_rng_state()
    # no dropout while answering, no draw from the global generator, and the mode comes back
    first, second = answers_of(method, task), answers_of(method, task)
    np.testing.assert_array_equal(first.probabilities, second.probabilities)  # type: ignore[arg-type]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert method.training is training


def test_scores_are_the_task_s_metrics_primary_first() -> None:
    task = ragged("classes")
    p = Predictions(("a", "b"), ("a", "c"))
    assert list(task_metrics(task, p)) == ["accuracy", "macro_f1", "mcc"]
    assert task_metrics(task, p)["accuracy"] == 0.5


def test_f1_is_that_of_the_positive_class() -> None:
    task = replace(ragged("classes"), metrics=("f1",))
    p = Predictions(("a", "b", "b"), ("a", "b", "a"))
    assert task_metrics(task, p)["f1"] == 0.0  # of c, the last of the label set
    assert task_metrics(replace(task, positive="b"), p)["f1"] == pytest.approx(2 / 3)


def test_histogram_of_answers() -> None:
    assert histogram(ragged("classes"), ("c", "c")) == {"a": 0, "b": 0, "c": 2}
    elsewhere = histogram(ragged("classes"), ("a", ELSEWHERE))
    assert elsewhere == {"a": 1, "b": 0, "c": 0, ELSEWHERE: 1}
    tags = (("O",), ("B-x", "O"))
    assert list(histogram(ragged("tagging"), tags).items()) == [("O", 2), ("B-x", 1), ("I-x", 0)]
    assert histogram(ragged("numbers"), (2.0,)) == {}


def test_record_says_how_often_each_class_was_the_answer_and_how_often_it_was_right() -> None:
    outcome = ran(spec_of("single_task")).outcome
    for split, p in outcome.predictions.items():
        for what, labels in (("predicted", p.pred), ("gold", p.gold)):
            said = outcome.record.facts[what][split]
            assert said == {c: labels.count(c) for c in ("amber", "birch", "coral")}
