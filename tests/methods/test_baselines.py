"""Baselines against each other, and floors against scikit-learn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from cells import (
    CELL,
    PLACES,
    ROLES,
    admits,
    assert_close_json,
    assert_same_state,
    method_over,
    planted,
    ran,
    ran_by,
    spec_of,
    state_of,
)
from torch import Tensor

from raystudy import train
from raystudy.data.draws import task_distribution, task_mixture
from raystudy.data.fewshot import cap, cut
from raystudy.data.plm import resolve
from raystudy.data.text import IGNORED, Batch, encode
from raystudy.evaluate import predict, task_metrics
from raystudy.methods import BaseMethod, Readout
from raystudy.nn.embed import embed
from raystudy.nn.gradients import adamw, descend
from raystudy.spec import Setting
from raystudy.tasks import Example, Prior, Task
from raystudy.workers import Alone, Workers, simulate

PLM = resolve("tiny")


def grads(method: BaseMethod, loss: Tensor) -> dict[str, Tensor | None]:
    names, parameters = zip(*method.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True))


def tie_heads(method: BaseMethod) -> None:
    for head in method.encoder.heads[1:]:
        head.load_state_dict(method.encoder.heads[0].state_dict())


# ---------------------------------------------------------------------------------------------------------------------
# multi-task and single-task


def test_two_copies_with_tied_heads_are_the_doubled_batch() -> None:
    task = planted("target")
    one = method_over({"planted/target": task}, "single_task")
    two = method_over({"planted/target": task, "copy": replace(task, name="copy")}, "multi_task")
    tie_heads(two)
    two.encoder.heads[0].load_state_dict(one.encoder.heads[0].state_dict())
    two.encoder.heads[1].load_state_dict(one.encoder.heads[0].state_dict())
    rows = np.array([[0, i] for i in (3, 1, 4, 1, 5)])
    copies = np.concatenate([rows, rows + np.array([1, 0])])
    doubled = grads(one, one.mean_loss(one.setup.corpus.batch(np.concatenate([rows, rows]))))
    mixed = grads(two, two.mean_loss(two.setup.corpus.batch(copies)))
    for name, g in doubled.items():
        if g is None:
            assert mixed[name] is None
        elif name.startswith("encoder.body"):
            torch.testing.assert_close(mixed[name], g, rtol=1e-12, atol=1e-15)
        else:  # each head sees half of the examples
            for head in "01":
                half = mixed[name.replace("heads.0", f"heads.{head}")]
                torch.testing.assert_close(half, g / 2, rtol=1e-12, atol=1e-15)


def missing_one(make: Callable[[Any], Batch]) -> list[Batch]:
    """A batch of both tasks; one of the first task alone; one whose second half alone is of the second task."""
    both = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    first = np.array([[0, 2], [0, 3], [0, 4], [0, 5]])
    split = np.array([[0, 6], [0, 7], [1, 6], [1, 7]])
    return [make(rows) for rows in (both, first, split)]


@pytest.mark.parametrize("size", [1, 2])
def test_head_without_an_example_does_not_move(size: int) -> None:
    tasks = {"a": planted("target"), "b": planted("source")}

    def work(workers: Workers) -> list[dict[str, Tensor]]:
        method = method_over(tasks, "multi_task", workers=workers)
        both, first, split = missing_one(method.setup.corpus.batch)
        optimizer = adamw(method, 1e-2, 0.1)
        names = [n for n, p in method.named_parameters() if p.requires_grad]
        by_name = dict(method.named_parameters())
        head = [by_name[n] for n in names if n.startswith("encoder.heads.1")]

        def step(batch: Batch) -> None:
            descend(method.mean_loss(batch), optimizer, 1e-2, 1.0, workers)

        def snapshot() -> list[Tensor]:
            moments = [v for p in head for _, v in sorted(optimizer.state[p].items())]
            return [t.detach().clone() for t in (*head, *moments)]

        step(both)
        before = snapshot()
        # no rank has an example: the gradient is None; weights (no decay either) and moments stay, bit for bit
        if workers.size == 1:
            assert grads(method, method.mean_loss(first))["encoder.heads.1.weight"] is None
        step(first)
        assert all(torch.equal(a, b) for a, b in zip(before, snapshot(), strict=True))
        # one rank alone lacks one: the head moves, on every rank alike
        step(split)
        assert not torch.equal(before[0], snapshot()[0])
        return [state_of(method)]

    alone = work(Alone())
    for states in simulate(size, work):
        for a, b in zip(states, alone, strict=True):
            assert_same_state(a, b, 1e-10)


def test_samplers() -> None:
    sizes = [90, 10]
    for sampler, p in (("uniform", [0.5, 0.5]), ("pps", [0.9, 0.1])):
        rows = np.concatenate(
            [task_mixture(sizes, 32, task_distribution(sampler, sizes), 3, "joint")(s) for s in range(100)]
        )
        share = np.bincount(rows[:, 0], minlength=2) / len(rows)
        assert share == pytest.approx(p, abs=4 * np.sqrt(p[0] * p[1] / len(rows)))
        assert all(0 <= i < sizes[t] for t, i in rows)


def test_sampler_is_a_setting_of_multi_task() -> None:
    tasks = {"a": planted("target", n_train=90), "b": planted("source", n_train=9)}
    small = {}
    for sampler in ("uniform", "pps"):
        (joint,) = method_over(tasks, "multi_task", sampler=sampler, batch_size=64).transfer()
        small[sampler] = np.mean([(joint.draw(s).task == 1).float().mean() for s in range(20)])
    assert small["uniform"] == pytest.approx(1 / 2, abs=0.06)
    assert small["pps"] == pytest.approx(1 / 11, abs=0.04)


def test_multi_task_answers_with_the_target_s_own_head_or_a_new_one() -> None:
    joint = ran(spec_of("multi_task"))
    tuned = ran(spec_of("multi_task", then_finetune=True))
    assert list(joint.outcome.record.updates) == ["joint"]
    assert list(tuned.outcome.record.updates) == ["joint", "finetune"]
    # the source's head is what the joint training left in both
    assert torch.equal(joint.state["encoder.heads.1.weight"], tuned.state["encoder.heads.1.weight"])


def test_number_of_updates_is_a_setting_of_single_task() -> None:
    assert ran(spec_of("single_task", updates=4)).updates["finetune"] == 4
    assert ran(spec_of("single_task", epochs=1, max_updates=0)).updates["finetune"] == 4


# ---------------------------------------------------------------------------------------------------------------------
# floors


def floor(task: Task, variant: str, **settings: float) -> tuple[Any, ...]:
    """The answers to dev of a floor fitted to `task`."""
    method = method_over({task.name: task}, variant, **settings)
    method.adapt()[0].start()
    answers = predict(method, task, "dev", encode(task, "dev", PLM), method.readout(0), Alone())
    assert all(np.isfinite(x) for x in task_metrics(task, answers).values())
    return answers.pred


def regression_task(n: int = 40) -> Task:
    """The number of a text is the share of the words it shares with class one."""
    base = planted("target", n_train=n)
    value = {c: float(i) for i, c in enumerate(base.labels)}
    splits = {s: tuple(replace(e, label=value[str(e.label)]) for e in rows) for s, rows in base.splits.items()}
    return Task("numbers", "single", (), splits, metric="pearson", metrics=("spearman",), length=base.length)


def test_majority_knows_the_whole_split_and_nothing_else_does() -> None:
    """Nine of ten are `birch`; the draw of eight is balanced, and the methods that train see no more than that."""
    base = planted("target", classes=2, source_classes=2, n_train=60)
    ten = {c: [e for e in base.splits["train"] if e.label == c] for c in base.labels}
    for common, rare in (base.labels, base.labels[::-1]):
        whole = base.with_splits(train=[*ten[common][:18], *ten[rare][:2]])
        for seed in range(3):
            drawn = cut(whole, Setting(shots=4), seed)
            assert Counter(e.label for e in drawn.splits["train"]) == {common: 2, rare: 2}
            assert drawn.prior.counts == {c: 18 if c == common else 2 for c in base.labels}
            assert drawn.digest == replace(drawn, whole=None).digest
            assert set(floor(drawn, "majority")) == {common}
    # of equals the first in the order of the label set, whatever comes first in the file
    even = cut(base.with_splits(train=[*ten[base.labels[1]][:3], *ten[base.labels[0]][:3]]), Setting(shots=2), 0)
    assert set(floor(even, "majority")) == {base.labels[0]}
    assert even.prior.facts() == {"answer": base.labels[0], "count": 3, "n": 6, "tied": list(base.labels)}


@pytest.mark.parametrize("variant", ROLES)
def test_no_training_is_told_how_frequent_the_classes_are(variant: str) -> None:
    spec = spec_of(variant, setting=Setting(shots=6))
    prior = train.method_of(spec, train.load_tasks(spec, None), PLACES, Alone()).setup.prior
    assert (prior is not None) == (variant == "majority")
    if prior is not None:
        assert prior.n == CELL["n_train"]  # the whole split, not the six that are drawn


def test_limits_do_not_change_what_the_majority_is() -> None:
    base = planted("target", classes=2, source_classes=2, n_train=60)
    first, second = ([e for e in base.splits["train"] if e.label == c][:6] for c in base.labels)
    task = base.with_splits(train=[*first[:5], *second])  # 5 and 6, of which a cut to 2 leaves 1 and 1
    assert set(floor(cap(task, train=2), "majority")) == {base.labels[1]}


def test_majority_tells_large_neighbouring_counts_apart() -> None:
    base = planted("target", classes=2, source_classes=2)
    counts = dict(zip(base.labels, (5_000_000, 5_000_001), strict=True))
    task = replace(base, whole=Prior(base.labels[1], counts, 10_000_001))
    method = method_over({task.name: task}, "majority").float()
    method.adapt()[0].start()
    assert set(predict(method, task, "dev", encode(task, "dev", PLM), Readout(0), Alone()).pred) == {base.labels[1]}


def test_majority_is_the_most_frequent_class() -> None:
    base = planted("target")
    rows = base.splits["train"]
    for wanted in base.labels:
        task = base.with_splits(train=[e for i, e in enumerate(rows) if e.label == wanted or i % 2])
        assert Counter(e.label for e in task.splits["train"]).most_common(1)[0][0] == wanted
        assert set(floor(task, "majority")) == {wanted}


def test_majority_of_tags_and_of_numbers() -> None:
    tagged = planted("tag_target")
    common = Counter(t for e in tagged.splits["train"] for t in e.label).most_common(1)[0][0]  # type: ignore[union-attr]
    assert {t for tags in floor(tagged, "majority") for t in tags} == {common}
    numbers = regression_task()
    mean = np.mean([e.label for e in numbers.splits["train"]])
    assert floor(numbers, "majority") == pytest.approx([mean] * 24)
    # of the whole split, in the labels' own unit, however many labels are drawn
    assert floor(cut(numbers, Setting(shots=3), 0), "majority") == pytest.approx([mean] * 3)
    # and for every word, with a piece or without
    odd = tagged.with_splits(dev=[Example((common, "O", "O"), tokens=("", "w001", ""))])
    assert floor(cut(odd, Setting(shots=1), 0), "majority") == ((common,) * 3,)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_logistic_is_scikit_learn_s(classes: int, c: float) -> None:
    from sklearn.linear_model import LogisticRegression

    task = planted("target", classes=classes, source_classes=classes, n_train=60)
    x, y = {}, {}
    for split in ("train", "dev"):
        part = encode(task, split, PLM)
        x[split], y[split] = embed(PLM, part, "mean", Alone(), precision="fp64").numpy(), part.labels
    model = LogisticRegression(C=c, max_iter=1000).fit(x["train"], y["train"])
    assert floor(task, "frozen_logistic", c=c) == tuple(task.labels[i] for i in model.predict(x["dev"]))


def test_logistic_of_tags_and_ridge_of_numbers() -> None:
    from sklearn.linear_model import LogisticRegression, Ridge

    tagged = planted("tag_target")
    train_, dev = (encode(tagged, s, PLM) for s in ("train", "dev"))
    x, z = (embed(PLM, p, "words", Alone(), precision="fp64").numpy() for p in (train_, dev))
    model = LogisticRegression(C=1.0, max_iter=1000).fit(x, train_.tags[train_.tags != IGNORED])
    flat = [t for tags in floor(tagged, "frozen_logistic") for t in tags]
    assert flat == [tagged.labels[i] for i in model.predict(z)]

    numbers = regression_task()
    train_, dev = (encode(numbers, s, PLM) for s in ("train", "dev"))
    x, z = (embed(PLM, p, "mean", Alone(), precision="fp64").numpy() for p in (train_, dev))
    ridge = Ridge(alpha=1.0).fit(x, [e.label for e in numbers.splits["train"]])  # in the labels' own unit
    assert floor(numbers, "frozen_logistic") == pytest.approx(ridge.predict(z))


def test_logistic_with_classes_that_never_occur() -> None:
    base = planted("target")
    two = base.with_splits(train=[e for e in base.splits["train"] if e.label != "amber"])
    assert "amber" not in floor(two, "frozen_logistic")
    one = base.with_splits(train=[e for e in base.splits["train"] if e.label == "birch"])
    assert set(floor(one, "frozen_logistic")) == {"birch"}


# ---------------------------------------------------------------------------------------------------------------------
# kinds of tasks


# a fixed label map is written for the classes of two tasks
@pytest.mark.parametrize(
    "variant", [v for v, role in ROLES.items() if role in ("baseline", "floor") and v != "metaxt_fixed"]
)
@pytest.mark.parametrize("form", ["pair_", "tag_"])
def test_baselines_serve_pairs_and_tags(variant: str, form: str) -> None:
    suite = (f"planted/{form}target", f"planted/{form}source")
    spec = spec_of(variant, suite=suite, target=suite[0], max_updates=2)
    if not admits(variant, suite):  # one head for all labels is defined for classification alone
        assert form == "tag_"
        return
    record = ran(spec).outcome.record
    assert record.facts["metric"] == next(iter(record.metrics["dev"])) == ("span_f1" if form == "tag_" else "accuracy")


@pytest.mark.parametrize("variant", ["single_task", "multi_task"])
@pytest.mark.parametrize("size", [2, 3])
def test_tags_are_divided_by_the_global_count_of_words(variant: str, size: int) -> None:
    """Sentences of different lengths: a mean of the ranks' means would be another number."""
    suite = ("planted/tag_target", "planted/target")
    spec = spec_of(variant, suite=suite, target=suite[0], max_updates=3)
    alone = ran(spec)
    for rank in ran_by(spec, size):
        assert_close_json(rank.record, alone.record, 1e-10)
        assert_same_state(rank.state, alone.state, 1e-10)


def rescaled(task: Task, a: float, b: float) -> Task:
    return task.with_splits(**{s: [replace(e, label=a * e.label + b) for e in rows] for s, rows in task.splits.items()})  # type: ignore[operator]


UNITS = [(0.01, 0.0), (100.0, 0.0), (50_000.0, 250_000.0)]


@pytest.mark.parametrize("variant", ["single_task", "multi_task", "adapter_fusion", "frozen_logistic"])
def test_the_unit_of_labels_changes_no_training(variant: str) -> None:
    """a y + b is trained like y and answered with a times the answer plus b; so is the classification beside it."""
    numbers, beside = regression_task(), planted("target")

    def trained(task: Task) -> tuple[BaseMethod, np.ndarray]:
        tasks = {"numbers": task, "classes": beside, "others": replace(rescaled(numbers, 1.0, 2.0), name="others")}
        method = method_over(tasks, variant, max_updates=4, min_updates=4)
        for stage in (*method.transfer(), *method.adapt()):
            stage.start()
            for step in range(stage.length.updates):
                stage.update(step, stage.draw(step))
        answers = predict(method, task, "dev", encode(task, "dev", PLM), method.readout(0), Alone())
        return method, np.array(answers.pred)

    method, answers = trained(numbers)
    for a, b in UNITS:
        other, theirs = trained(rescaled(numbers, a, b))
        assert_same_state(state_of(other), state_of(method), 1e-9)
        np.testing.assert_allclose(theirs, a * answers + b, rtol=1e-9, atol=a * 1e-9)


def test_every_training_sees_the_labels_of_its_own_draw_in_their_unit() -> None:
    numbers = regression_task()
    for seed in range(2):
        drawn = cut(numbers, Setting(shots=5), seed)
        part = method_over({"numbers": drawn}, "single_task").setup.corpus.parts[0]
        own = [e.label for e in drawn.splits["train"]]
        assert (part.unit.mean, part.unit.sd) == (pytest.approx(np.mean(own)), pytest.approx(np.std(own)))
    # one number only: nothing to divide by, and its mean is the answer of an untrained head
    rows = [replace(e, label=7.5) for e in numbers.splits["train"][:3]]
    part = encode(numbers.with_splits(train=rows), "train", PLM)
    assert (part.unit.constant, part.values.tolist()) == (True, [0.0] * 3)


def test_regression_is_trained_by_squared_error() -> None:
    numbers = regression_task()
    method = method_over({"numbers": numbers}, "single_task", lr=3e-3, max_updates=60, epochs=30, batch_size=16)
    (stage,) = method.adapt()
    stage.start()
    batch = stage.draw(0)
    predicted = method.encoder.answers(batch)[0].logits.squeeze(-1)
    torch.testing.assert_close(method.mean_loss(batch), ((predicted - batch.values) ** 2).mean(), rtol=1e-12, atol=0)
    logs = [stage.update(step, stage.draw(step)) for step in range(stage.length.updates)]
    assert logs[-1]["loss"] < 0.5 * logs[0]["loss"]


def test_single_example_classes_and_empty_pairs_are_no_trouble() -> None:
    rows = (Example("a", text="w001", pair=""), Example("b", text="", pair="w002"))
    task = Task("odd", "pair", ("a", "b"), dict.fromkeys(("train", "dev", "test"), rows), length=8)
    method = method_over({"odd": task}, "single_task")
    (stage,) = method.adapt()
    stage.start()
    assert np.isfinite(stage.update(0, stage.draw(0))["loss"])
    answers = predict(method, task, "dev", encode(task, "dev", PLM), method.readout(0), Alone())
    assert len(answers) == 2


def test_target_is_cut_and_sources_are_not() -> None:
    sizes = [
        len(t.splits["train"]) for t in train.load_tasks(spec_of("multi_task", setting=Setting(shots=9)), None).values()
    ]
    assert sizes == [9, 22]
