"""What a loss is the mean of: one unit per example, or per labelled word. A sentence without one adds nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cells import assert_same_state, method_over, planted, state_of
from torch import Tensor

from raystudy.data.text import IGNORED, Batch, Corpus, Encoded
from raystudy.methods import BaseMethod
from raystudy.methods.metaxt import Batches, Method
from raystudy.nn.gradients import adamw, descend, local_gradient, summed_gradient
from raystudy.nn.meta_gradient import virtual_step
from raystudy.tasks import Example, Task
from raystudy.workers import Alone, Workers, simulate

BLANK = (1, 4, 5)  # sentences of a tagged task without a labelled word
SIZES = {"n_train": 12, "n_dev": 6, "n_test": 6}
NUMBERS = tuple(Example(float(i), text=f"w00{i % 9}") for i in range(9))
MIXED = {
    "words": planted("tag_target", **SIZES),
    "classes": planted("target", **SIZES),
    "numbers": Task("numbers", "single", (), dict.fromkeys(("train", "dev", "test"), NUMBERS), metric="pearson"),
}
# tasks 0, 1, 2; blank sentences first, last, and next to each other
ROWS = [(0, 1), (0, 2), (1, 0), (0, 4), (0, 5), (2, 3), (0, 0), (1, 4), (0, 5)]


def without_labels(part: Encoded) -> Encoded:
    """The same sentences, those in `BLANK` without any tag."""
    if part.kind != "tagging":
        return part
    tags = part.tags.copy()
    for i in BLANK:
        tags[part.offsets[i] : part.offsets[i + 1]] = IGNORED
    return replace(part, tags=tags)


def over(tasks: dict[str, Task], variant: str, workers: Workers | None = None, **settings: Any) -> BaseMethod:
    """A method over tasks of which `BLANK` sentences have no labelled word."""
    made = method_over(tasks, variant, **settings)
    corpus = Corpus(tuple(map(without_labels, made.setup.corpus.parts)))
    other = type(made)(replace(made.setup, corpus=corpus, workers=workers or Alone()))
    other.load_state_dict(made.state_dict())
    return other


def seen(rows: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(t, i) for t, i in rows if t != 0 or i not in BLANK]


def batch_of(method: BaseMethod, rows: Sequence[tuple[int, int]]) -> Batch:
    return method.setup.corpus.batch(np.array(rows))


def test_units_are_labelled_words_and_other_examples() -> None:
    batch = batch_of(over(MIXED, "multi_task"), ROWS)
    words = [int((batch.part(slice(i, i + 1)).tags != IGNORED).sum()) for i in range(len(batch))]
    assert batch.units.tolist() == [0, words[1], 1, 0, 0, 1, words[6], 1, 0]
    assert words[1] > 1
    assert batch.divisor == sum(words) + 3
    assert batch.part(slice(3, 5)).units.tolist() == [0, 0]
    assert batch.part(slice(3, 5)).divisor == batch.part(slice(0, 0)).divisor == 1


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_is_the_mean_over_units(size: int, weighted: bool) -> None:
    """By hand, over words, examples and numbers together; and sentences without a labelled word could be left out."""
    weight = torch.arange(len(ROWS), dtype=torch.float64) / 2

    def shares(workers: Workers, rows: list[tuple[int, int]], w: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        method = over(MIXED, "multi_task", workers)
        batch = batch_of(method, rows)
        loss = method.mean_loss(batch.weighted(w) if weighted else batch)
        return workers.sum(loss.detach()[None]), summed_gradient(loss, list(method.parameters()), workers)

    method = over(MIXED, "multi_task")
    total, n = torch.zeros((), dtype=torch.float64), 0
    for i, row in enumerate(ROWS):
        batch = batch_of(method, [row])
        for a in method.encoder.answers(batch):
            if row[0] == 2:
                each = (a.logits.squeeze(-1) - batch.values) ** 2
            else:
                gold = batch.tags[batch.tags != IGNORED] if row[0] == 0 else batch.labels
                each = F.cross_entropy(a.logits, gold, reduction="none")
            total, n = total + each.sum() * (weight[i] if weighted else 1), n + len(each)
    kept = torch.tensor([row in seen([row]) for row in ROWS])
    alone, grads = shares(Alone(), seen(ROWS), weight[kept])
    assert alone.item() == pytest.approx((total / n).item(), rel=1e-12)
    for loss, found in simulate(size, lambda workers: shares(workers, ROWS, weight)):
        assert loss.item() == pytest.approx(alone.item(), rel=1e-12)
        for a, b in zip(found, grads, strict=True):
            assert (a is None) == (b is None)
            assert a is None or b is None or torch.allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("variant", ["single_task", "multi_task"])
def test_a_batch_without_a_labelled_word_teaches_nothing(size: int, variant: str) -> None:
    """Its loss is zero on every rank, and neither weights (no decay either) nor moments move."""

    def work(workers: Workers) -> None:
        method = over(MIXED, variant, workers)
        loss = method.loss if variant == "multi_task" else method.mean_loss
        optimizer = adamw(method, 1e-2, 0.1)
        descend(loss(batch_of(method, ROWS)), optimizer, 1e-2, 1.0, workers)  # there are moments to move
        before, moments = state_of(method), [v.clone() for s in optimizer.state.values() for v in s.values()]
        nothing = loss(batch_of(method, [(0, i) for i in BLANK]))
        assert nothing.item() == 0
        assert descend(nothing, optimizer, 1e-2, 1.0, workers) == 0
        assert_same_state(state_of(method), before)
        after = [v for s in optimizer.state.values() for v in s.values()]
        assert all(torch.equal(a, b) for a, b in zip(moments, after, strict=True))

    simulate(size, work)


def test_a_head_whose_sentences_have_no_labelled_word_does_not_move() -> None:
    """Among examples of other tasks too: there it is as if the sentences were not in the batch."""
    states = []
    for rows in ([*((0, i) for i in BLANK), (1, 2), (1, 3)], [(1, 2), (1, 3)]):
        method = over(MIXED, "multi_task")
        optimizer = adamw(method, 1e-2, 0.1)
        for drawn in (ROWS, rows):
            descend(method.mean_loss(batch_of(method, drawn)), optimizer, 1e-2, 1.0, Alone())
        states.append(state_of(method))
    assert_same_state(states[0], states[1], 1e-12)


# ---------------------------------------------------------------------------------------------------------------------
# MetaXT: three losses, each the mean over the words of its own batch


TAGGED = {"target": planted("tag_target", **SIZES), "source": planted("tag_source", **SIZES)}
FULL = [2, 6, 7]  # sentences with labels
XT = {
    "metaxt": {},
    "whole batch": {"full_batch_main": True},
    "by definition": {"route": "double_backward", "full_batch_main": True},
    "rtn": {"variant": "metaxt_rtn", "full_batch_main": True},
}


def step_of(name: str, rows: dict[str, list[int]], workers: Workers) -> list[Tensor | None]:
    """L_train, the meta-gradient and the real step of one update on these sentences of source, main and ahead."""
    options = dict(XT[name])
    method = over(TAGGED, options.pop("variant", "metaxt"), workers, **options)
    assert isinstance(method, Method)
    batches = {k: batch_of(method, [(int(k == "source"), i) for i in some]) for k, some in rows.items()}
    drawn = Batches(**batches)
    problem = method.bilevel(drawn, 1, 1.0)
    found = virtual_step(problem, 0.2, method.hp.route, workers, keep_terms=True)
    loss = workers.sum(found.terms.loss().detach()[None])
    return [loss, *found.meta, *method.theta_gradient(problem, found, drawn)]


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("name", XT)
def test_sentences_without_labelled_words_change_no_step_of_metaxt(name: str, size: int) -> None:
    alone = step_of(name, dict.fromkeys(("source", "main", "ahead"), FULL), Alone())
    rows = [BLANK[0], *FULL, *BLANK]  # the last of three ranks has sentences without labels alone
    blank = dict.fromkeys(("source", "main", "ahead"), rows)
    for found in simulate(size, lambda workers: step_of(name, blank, workers)):
        for a, b in zip(found, alone, strict=True):
            assert (a is None) == (b is None)
            assert a is None or b is None or torch.allclose(a, b, rtol=0, atol=1e-11)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("name", ["whole batch", "rtn"])
@pytest.mark.parametrize("where", ["source", "main", "ahead", "all"])
def test_a_term_of_metaxt_without_a_labelled_word_is_zero(name: str, where: str, size: int) -> None:
    rows = {k: list(BLANK) if where in (k, "all") else FULL for k in ("source", "main", "ahead")}
    for found in simulate(size, lambda workers: step_of(name, rows, workers)):
        assert all(g is None or bool(g.isfinite().all()) for g in found)
        loss, *moved = found
        assert loss is not None
        assert (loss.item() == 0) == (where == "all")
        if where == "all":
            assert not any(g.any() for g in moved if g is not None)


def test_metaxt_learns_from_what_is_left() -> None:
    """Without a labelled word in the source L_train is the target's loss alone."""
    method = over(TAGGED, "metaxt")
    assert isinstance(method, Method)
    source, target = (batch_of(method, [(t, i) for i in some]) for t, some in ((1, BLANK), (0, FULL)))
    problem = method.bilevel(Batches(source, target, target), 1, 1.0)
    theta = list(problem.theta.values())
    plain = local_gradient(method.mean_loss(target), theta)
    for a, b in zip(local_gradient(problem.train_terms().loss(), theta), plain, strict=True):
        assert torch.allclose(torch.zeros(()) if a is None else a, torch.zeros(()) if b is None else b, atol=1e-12)
