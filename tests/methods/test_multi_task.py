"""Multi-task training: one head for all labels against a head per task, streams of batches, adversaries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from cells import (
    DOMAINS,
    assert_same_answers,
    assert_same_state,
    known,
    method_over,
    planted,
    ran,
    setup_of,
    spec_of,
    state_of,
)
from torch import Tensor

from raystudy.catalogue import catalogue
from raystudy.data.text import Batch
from raystudy.errors import ConfigError, DataError
from raystudy.methods import BaseMethod, Length, Readout, Schedule, Sizes, Stage
from raystudy.methods.multi_task import Method, reverse
from raystudy.nn.gradients import adamw, descend
from raystudy.nn.losses import cross_entropy
from raystudy.predictions import ELSEWHERE
from raystudy.study.search.space import Space
from raystudy.tasks import Task
from raystudy.workers import Alone, Workers, simulate

UNION = ("task_combination", "bert_mix", "bert_adv", "bert_adv_grl")
ADVERSARIES = ("bert_adv", "bert_adv_grl")
# 36 and 17 examples: no multiple of a batch of 7; the labels are different words
PAIR = {"a": planted("target"), "b": planted("source", n_train=17)}
TRIPLE = {f"d{i}": planted(f"domain_{i}", n_train=8 + i) for i in (1, 2, 3)}


def over(tasks: Mapping[str, Task], variant: str, **settings: Any) -> Method:
    method = method_over(tasks, variant, **settings)
    assert isinstance(method, Method)
    return method


def joint(method: BaseMethod, start: bool = True) -> Stage:
    (stage,) = method.transfer()
    if start:
        stage.start()
    return stage


def grads(method: BaseMethod, loss: Tensor) -> dict[str, Tensor]:
    """By name; zeros where the loss does not depend on a parameter."""
    names, parameters = zip(*method.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for n, p, g in zip(names, parameters, found, strict=True)}


def all_rows(tasks: Mapping[str, Task], n: int = 6) -> np.ndarray:
    return np.array([(t, i) for i in range(n) for t in range(len(tasks))])


# ---------------------------------------------------------------------------------------------------------------------
# one head for all labels


@pytest.mark.parametrize("variant", ["multi_task", "task_combination", "bert_mix", "bert_mtl"])
def test_one_task_is_single_task(variant: str) -> None:
    """Step for step on the same batches, from the same head."""
    task = {"planted/target": planted("target")}
    one, many = method_over(task, "single_task"), over(task, variant)
    (single,) = one.adapt()
    single.start()
    stage = joint(many)
    head = many.readout(0).head
    many.encoder.body.load_state_dict(one.encoder.body.state_dict())
    many.encoder.heads[head].load_state_dict(one.encoder.heads[0].state_dict())
    assert single.length.updates == stage.length.updates
    for step in range(single.length.updates):
        drawn = single.draw(step)
        assert single.update(step, drawn) == stage.update(step, drawn)
        assert_same_state(one.encoder.body.state_dict(), many.encoder.body.state_dict())
        assert_same_state(one.encoder.heads[0].state_dict(), many.encoder.heads[head].state_dict())


def test_two_copies_under_one_head_are_the_doubled_batch() -> None:
    """With a head per task each has half of the examples (test_baselines.py); a head for all has them all."""
    task = planted("target")
    one = over({"planted/target": task}, "bert_mix")
    two = over({"planted/target": task, "copy": replace(task, name="copy")}, "bert_mix")
    two.encoder.heads[2].load_state_dict(one.encoder.heads[1].state_dict())
    rows = np.array([[0, i] for i in (3, 1, 4, 1, 5)])
    doubled = grads(one, one.loss(one.setup.corpus.batch(np.concatenate([rows, rows]))))
    mixed = grads(two, two.loss(two.setup.corpus.batch(np.concatenate([rows, rows + np.array([1, 0])]))))
    for name, g in doubled.items():
        if "heads.0" not in name:
            torch.testing.assert_close(mixed[name.replace("heads.1", "heads.2")], g, rtol=1e-12, atol=1e-15)


def test_disjoint_labels_are_blocks_of_logits() -> None:
    method = over(PAIR, "task_combination")
    own = [method.encoder.head(t) for t in (0, 1)]
    union = method.encoder.head(2)
    assert method.union is not None
    assert method.union.columns == ((0, 1, 2), (3, 4, 5))
    with torch.no_grad():
        union.weight.copy_(torch.cat([h.weight for h in own]))
        union.bias.copy_(torch.cat([h.bias for h in own]) + torch.arange(6))
        own[0].bias.copy_(union.bias[:3])
        own[1].bias.copy_(union.bias[3:])
    batch = method.setup.corpus.batch(all_rows(PAIR))
    states = method.encoder(batch)[0]
    (joined,) = method.encoder.answers(batch, states, head=2)
    blocks = [method.encoder.answers(batch, states, head=t)[0].logits for t in (0, 1)]
    torch.testing.assert_close(joined.logits, torch.cat(blocks, 1), rtol=1e-14, atol=1e-15)
    # each example's own block is what its own head answers
    for a in method.encoder.answers(batch, states):
        torch.testing.assert_close(
            joined.logits[a.rows][:, 3 * a.task : 3 * a.task + 3], a.logits, rtol=1e-14, atol=1e-15
        )
    # and its loss is the cross entropy over both blocks
    y = batch.labels + 3 * batch.task
    torch.testing.assert_close(method.loss(batch), cross_entropy(torch.cat(blocks, 1), y).mean(), rtol=1e-14, atol=0)


def test_with_equal_labels_task_combination_is_bert_mix() -> None:
    runs = [
        ran(spec_of(v, suite=DOMAINS, target=DOMAINS[0], **s))
        for v, s in (("task_combination", {"sampler": "epochs"}), ("bert_mix", {}))
    ]
    assert_same_state(runs[0].state, runs[1].state)
    assert_same_answers(runs[0].outcome, runs[1].outcome)
    assert runs[0].record["metrics"] == runs[1].record["metrics"]


def test_classes_with_the_same_words_share_their_examples() -> None:
    """A part of the source's labels renamed to the target's: the shared columns learn from both."""
    base = planted("source")
    same = replace(base, name="b", label_text={base.labels[0]: PAIR["a"].labels[1]})
    method = over({"a": PAIR["a"], "b": same}, "task_combination")
    assert method.union is not None
    assert method.encoder.head(2).out_features == len(method.union.texts) == 5
    assert method.union.columns[1][0] == method.union.columns[0][1] == 1
    assert method.facts() == {"union": list(method.union.texts)}
    # whichever task the class's examples come from, it is its column whose logit they raise
    for task, label in ((0, 1), (1, 0)):
        part = method.setup.corpus.parts[task]
        rows = np.array([[task, i] for i in np.flatnonzero(part.labels == label)[:3]])
        g = grads(method, method.loss(method.setup.corpus.batch(rows)))["encoder.heads.2.bias"]
        assert (g < 0).tolist() == [False, True, False, False, False]


def test_an_answer_of_another_task_is_wrong_unless_the_readout_is_closed() -> None:
    """Texts of target and source are alike, so a head over both can at best guess whose label is meant."""
    settings = {"lr": 3e-3, "batch_size": 16, "min_updates": 60, "max_updates": 60, "feature": "mean"}
    options = {"n_train": 160, "n_dev": 60, "n_test": 60}
    literal, own = (
        ran(spec_of("task_combination", options=options, precision="fp32", answer=a, **settings))
        for a in ("union", "own")
    )
    assert_same_state(literal.state, own.state)  # nothing but the answer differs
    for split, p in literal.outcome.predictions.items():
        closed = own.outcome.predictions[split]
        assert p.probabilities is not None
        assert closed.probabilities is not None
        assert p.probabilities.shape == (60, 4)
        assert closed.probabilities.shape == (60, 3)
        # where the answer is the task's, both readouts say the same
        assert all(a in (b, ELSEWHERE) for a, b in zip(p.pred, closed.pred, strict=True))
        assert p.pred.count(ELSEWHERE) > 0
        # given that the class is the task's, its probabilities are the closed readout's
        mine = p.probabilities[:, :3].astype(float)
        np.testing.assert_allclose(mine / mine.sum(1, keepdims=True), closed.probabilities, atol=1e-4)
    assert literal.outcome.record.metrics["test"]["accuracy"] < own.outcome.record.metrics["test"]["accuracy"]
    assert ELSEWHERE not in own.outcome.predictions["test"].pred


def test_who_answers() -> None:
    assert over(PAIR, "multi_task").readout(1) == Readout(1)
    assert over(PAIR, "bert_mtl").readout(0) == Readout(0)
    assert over(PAIR, "task_combination").readout(1) == Readout(2, (3, 4, 5), open=True)
    assert over(PAIR, "task_combination", answer="own").readout(1) == Readout(2, (3, 4, 5))
    assert over(TRIPLE, "bert_mix").readout(2) == Readout(3, (0, 1, 2))
    # after fine-tuning the target has a head of its own again
    assert over(PAIR, "task_combination", then_finetune=True).readout(0) == Readout(0)


@pytest.mark.parametrize("variant", UNION)
def test_fine_tuning_starts_from_the_joint_encoder_and_a_new_head(variant: str) -> None:
    plain = ran(spec_of(variant, suite=DOMAINS, target=DOMAINS[0]))
    tuned = ran(spec_of(variant, suite=DOMAINS, target=DOMAINS[0], then_finetune=True))
    assert list(tuned.outcome.record.updates) == ["joint", "finetune"]
    # only the encoder and the target's own head moved since
    for k, t in plain.state.items():
        assert torch.equal(t, tuned.state[k]) != k.startswith(("encoder.body", "encoder.heads.0")), k


def test_tasks_that_no_head_can_answer_together_are_refused() -> None:
    tags, twins = planted("tag_target"), replace(PAIR["a"], name="b", label_text=dict.fromkeys(PAIR["a"].labels, "w"))
    for variant in UNION:
        hp = over(PAIR, variant).hp
        with pytest.raises(DataError, match="needs classification") as e:
            Method.admit(hp, 2, {"tags": tags, "b": twins})
        assert [p.path for p in e.value.problems] == ["task tags", "task b"]
        with pytest.raises(DataError, match="tagging"):
            over({"tags": tags, "a": PAIR["a"]}, variant)
    # a head per task takes any
    assert Method.admit(over(PAIR, "multi_task").hp, 2, {"tags": tags, "b": twins}) == []


def test_the_plan_is_told_the_labels() -> None:
    (line,) = Method.admit(over(PAIR, "task_combination").hp, 2, PAIR)
    assert line == "one head over 6 labels: amber, birch, coral, gold, iron, zinc"


# ---------------------------------------------------------------------------------------------------------------------
# heads that a batch has no example for


@pytest.mark.parametrize("variant", ["multi_task", "task_combination", *ADVERSARIES])
@pytest.mark.parametrize("size", [1, 2])
def test_heads_without_an_example_do_not_move(variant: str, size: int) -> None:
    """Own heads beside a union head never have one; their moments do not even exist."""

    def work(workers: Workers) -> list[dict[str, Tensor]]:
        method = over(PAIR, variant, workers=workers)
        optimizer = adamw(method, 1e-2, 0.1)
        both = method.setup.corpus.batch(np.array([[0, 0], [1, 0], [0, 1], [1, 1]]))
        first = method.setup.corpus.batch(np.array([[0, 2], [0, 3], [0, 4], [0, 5]]))
        states = []
        for step, batch in enumerate((both, first)):
            descend(method.loss(method.with_domains(batch, step)), optimizer, 1e-2, 1.0, workers)
            states.append(state_of(method))
        moved = {k for k in states[0] if not torch.equal(states[0][k], states[1][k])}
        used = {"0"} if variant == "multi_task" else {str(i) for i in range(2, len(method.encoder.heads))}
        assert {k.split(".")[2] for k in moved if k.startswith("encoder.heads")} == used
        by_name = dict(method.named_parameters())
        known_ = {k.split(".")[2] for k, p in by_name.items() if k.startswith("encoder.heads") and p in optimizer.state}
        assert known_ == ({"0", "1"} if variant == "multi_task" else used)
        return states

    alone = work(Alone())
    for states in simulate(size, work):
        for a, b in zip(states, alone, strict=True):
            assert_same_state(a, b, 1e-10)


# ---------------------------------------------------------------------------------------------------------------------
# streams of batches


@pytest.mark.parametrize("variant", ["multi_task", "task_combination"])
def test_mt_dnn_s_stream(variant: str) -> None:
    method = over(PAIR, variant, task_batches=True, sampler="epochs", joint_epochs=2, max_updates=0)
    stage = joint(method, start=False)
    # ceil(36 / 7) + ceil(17 / 7) batches an epoch; mixed batches would be ceil(53 / 7)
    assert stage.length.updates == 2 * (6 + 3)
    assert Method.schedule(method.hp, Sizes({"a": 36, "b": 17}, "a")) == Schedule({"joint": Length(18, 18.0)})
    for epoch in range(2):
        batches = [stage.draw(9 * epoch + i) for i in range(9)]
        assert all(len(set(b.task.tolist())) == 1 for b in batches)
        assert Counter(int(b.task[0]) for b in batches) == {0: 6, 1: 3}
        drawn = sorted((t, r) for b in batches for t, r in zip(b.task.tolist(), b.row.tolist(), strict=True))
        assert drawn == [(0, i) for i in range(36)] + [(1, i) for i in range(17)]


def test_mt_dnn_has_the_epochs_of_its_program() -> None:
    """Five, where the others have three; a study says otherwise, and a search starts there."""
    assert [catalogue().defaults(v)["joint_epochs"] for v in ("mt_dnn", "multi_task", "bert_mtl")] == [5, 3, 3]
    assert catalogue().resolve("mt_dnn", {"joint_epochs": 2})["joint_epochs"] == 2
    assert catalogue().defaults("mt_dnn[batch_size=8]")["joint_epochs"] == 5
    assert Space.of("mt_dnn", {}).paper_configuration()["joint_epochs"] == 5


def test_union_epochs_are_the_default_of_the_domain_baselines() -> None:
    for variant in ("bert_mix", "bert_mtl", *ADVERSARIES):
        method = over(TRIPLE, variant, max_updates=0)
        stage = joint(method, start=False)
        assert stage.length.updates == method.hp.joint_epochs * -(-30 // 7)
        batches = [stage.draw(i) for i in range(5)]
        drawn = sorted((t, r) for b in batches for t, r in zip(b.task.tolist(), b.row.tolist(), strict=True))
        assert drawn == [(t, i) for t, n in enumerate((9, 10, 11)) for i in range(n)]


# ---------------------------------------------------------------------------------------------------------------------
# adversaries


def terms(method: Method, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Gradients of the task term, and of the plain cross entropy of the domain classifier to `batch.soft`."""
    plain = Method(replace(method.setup, hp=replace(method.hp, adversary="none")))
    state = method.state_dict()
    plain.load_state_dict({k: state[k] for k in plain.state_dict()})
    task = grads(plain, plain.loss(replace(batch, soft=None)))
    f = method.encoder.feature(method.encoder(batch)[0], batch.offsets)
    logits = method.encoder.heads[len(method.encoder.heads) - 1](f)
    assert batch.soft is not None
    return task, grads(method, cross_entropy(logits, batch.soft.argmax(1)).mean())


@pytest.mark.parametrize("feature", ["pooler", "cls", "mean"])
@pytest.mark.parametrize("lambda_", [0.0, 0.1, 2.0])
def test_gradient_reversal(feature: str, lambda_: float) -> None:
    """The encoder unlearns the tasks at rate lambda, the classifier learns them as it would alone."""
    method = over(TRIPLE, "bert_adv_grl", adversary_lambda=lambda_, feature=feature)
    stage = joint(method)
    batch = stage.draw(0)
    assert batch.soft is not None
    assert torch.equal(batch.soft.argmax(1), batch.task)
    task, domain = terms(method, batch)
    total = grads(method, method.loss(batch))
    for name, g in total.items():
        if name.startswith("encoder.heads.4"):
            torch.testing.assert_close(g, domain[name], rtol=1e-12, atol=1e-15)
            assert g.abs().max() > 0
        else:
            torch.testing.assert_close(g, task[name] - lambda_ * domain[name], rtol=1e-10, atol=1e-13)
    # the loss itself is not changed by the reversal
    x = torch.randn(5, 3, dtype=torch.float64)
    assert torch.equal(reverse(x, lambda_), x)


@pytest.mark.parametrize("lambda_", [0.0, 0.1, 2.0])
def test_flipped_domains(lambda_: float) -> None:
    """L + lambda L_FD: everything, the classifier too, follows the cross entropy to a wrong task."""
    method = over(TRIPLE, "bert_adv", adversary_lambda=lambda_)
    stage = joint(method)
    batch = stage.draw(0)
    assert batch.soft is not None
    assert torch.equal(batch.soft.sum(1), torch.ones(7, dtype=torch.float64))
    task, domain = terms(method, batch)
    for name, g in grads(method, method.loss(batch)).items():
        wanted = lambda_ * domain[name] + task.get(name, torch.zeros_like(g))
        torch.testing.assert_close(g, wanted, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("tasks", [2, 3])
def test_flipped_domains_are_never_the_true_ones(tasks: int) -> None:
    method = over(dict(list(TRIPLE.items())[:tasks]), "bert_adv", joint_epochs=60, max_updates=0)
    stage = joint(method, start=False)
    counts = np.zeros((tasks, tasks))
    for step in range(stage.length.updates):
        batch = stage.draw(step)
        assert batch.soft is not None
        np.add.at(counts, (batch.task.numpy(), batch.soft.argmax(1).numpy()), 1)
    assert (np.diag(counts) == 0).all()
    # the others are equally likely: within four standard deviations of n / (K - 1)
    n = counts.sum(1, keepdims=True)
    p = 1 / (tasks - 1)
    spread = 4 * np.sqrt(n * p * (1 - p)) + 1e-9
    assert (np.abs(counts - n * p) <= spread)[~np.eye(tasks, dtype=bool)].all()
    # two steps, or two seeds, flip in their own way; the same step in the same
    again = joint(over(dict(list(TRIPLE.items())[:tasks]), "bert_adv", joint_epochs=60, max_updates=0), start=False)
    assert torch.equal(again.draw(3).soft, stage.draw(3).soft)


@pytest.mark.parametrize("variant", ADVERSARIES)
def test_an_adversary_without_weight_leaves_bert_mix(variant: str) -> None:
    """Under gradient reversal the classifier still learns, and must not count in the norm that is clipped."""
    settings = {"adversary_lambda": 0.0, "clip": 0.0}
    with_, without = (
        ran(spec_of(v, suite=DOMAINS, target=DOMAINS[0], **settings)).state for v in (variant, "bert_mix")
    )
    for k, t in without.items():
        torch.testing.assert_close(with_[k], t, rtol=0, atol=1e-12)
    heads = {k for k in with_ if k not in without}
    assert heads == {"encoder.heads.3.weight", "encoder.heads.3.bias"}


def test_an_adversary_needs_another_task() -> None:
    one = {"a": PAIR["a"]}
    for variant in ADVERSARIES:
        with pytest.raises(DataError, match="two of them"):
            over(one, variant)
        with pytest.raises(DataError, match="two of them"):
            Method.admit(over(PAIR, variant).hp, 2, one)


def test_the_classifier_of_domains_exists_only_with_an_adversary() -> None:
    widths = {v: [h.out_features for h in over(TRIPLE, v).encoder.heads] for v in (*UNION, "bert_mtl")}
    assert widths == {
        "bert_mtl": [3, 3, 3],
        "task_combination": [3, 3, 3, 3],
        "bert_mix": [3, 3, 3, 3],
        "bert_adv": [3, 3, 3, 3, 3],
        "bert_adv_grl": [3, 3, 3, 3, 3],
    }


# ---------------------------------------------------------------------------------------------------------------------
# names


def test_settings_in_a_name_are_settings() -> None:
    named = catalogue().variant("task_combination[answer=own]")
    assert catalogue().resolve(named.id)["answer"] == "own"
    with pytest.raises(ConfigError, match="heads"):
        catalogue().variant("multi_task[heads=union]")


@pytest.mark.parametrize("reading", catalogue().readings["multi_task"], ids=lambda r: f"{r.id} {r.settings}")
def test_readings_are_other_than_the_default(reading: Any) -> None:
    settings = catalogue().resolve("task_combination", reading.settings)
    assert settings != catalogue().defaults("task_combination")
    assert known("task_combination", reading.settings) == dict(reading.settings)
    spec = spec_of("task_combination", max_updates=2, **reading.settings)
    assert setup_of(spec).hp.joint_epochs == 1
    assert np.isfinite(ran(spec).outcome.record.metrics["test"]["accuracy"])
