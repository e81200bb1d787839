"""MAML, FOMAML and Reptile against their equations, on models small enough to differentiate by hand."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from cells import VECTORS, assert_same_state, method_over, planted, ran, setup_of, spec_of, state_of
from scipy.stats import chisquare
from torch import Tensor

from raystudy.catalogue import catalogue, space_folder
from raystudy.data.plm import resolve
from raystudy.data.text import Batch
from raystudy.errors import ConfigError, DataError
from raystudy.methods import HESSIAN_PRODUCT, Length, Sizes, hparams
from raystudy.methods.maml import Episode, HParams, Method, choose_route
from raystudy.nn.gradients import Gradient, local_gradient, summed_gradient, with_parameters
from raystudy.tasks import Example, Task
from raystudy.workers import Alone, Workers, simulate

SIZES = {"n_train": 20, "n_dev": 6, "n_test": 6}
NUMBERS = tuple(Example(float(i % 7), text=f"w00{i % 9} w01{i % 7}") for i in range(20))
# heads of three kinds and four widths
TASKS: dict[str, Task] = {
    "classes": planted("target", **SIZES),
    "words": planted("tag_target", **SIZES),
    "numbers": Task("numbers", "single", (), dict.fromkeys(("train", "dev", "test"), NUMBERS), metric="pearson"),
    "pairs": planted("pair_source", **SIZES),
}
ALGORITHMS = ("maml", "fomaml", "reptile")
ALPHA = 0.05
SMALL = {"batch_size": 4, "alpha": ALPHA, "tasks_per_step": 4, "meta_steps": 4, "warmup": 0.0}
algorithms = pytest.mark.parametrize("algorithm", ALGORITHMS)


def method(
    variant: str = "maml", tasks: Mapping[str, Task] = TASKS, workers: Workers | None = None, **settings: Any
) -> Method:
    """A method at the start of its meta stage."""
    made = method_over(tasks, variant, workers=workers, **{**SMALL, **settings})
    assert isinstance(made, Method)
    made.start()
    return made.train()


def episode_of(made: Method, task: int = 0, slot: int = 1, step: int = 0) -> Episode:
    """The first episode on `task` that is drawn."""
    draw = made.draws()
    found = next(e for s in range(step, 60) for e in draw(s) if e.task == task)
    return replace(found, slot=slot)


def flat(g: Sequence[Tensor | None]) -> Tensor:
    return torch.cat([t.flatten() for t in g if t is not None])


def relative(a: Sequence[Tensor | None], b: Sequence[Tensor | None]) -> float:
    assert [t is None for t in a] == [t is None for t in b]
    return ((flat(a) - flat(b)).norm() / flat(b).norm()).item()


def loss_at(made: Method, theta: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """Without dropout."""
    return with_parameters(made.encoder, theta, lambda: made.losses(batch).sum() / batch.divisor)


def stepped(made: Method, theta: Mapping[str, Tensor], batches: Sequence[Batch]) -> dict[str, Tensor]:
    """theta after steps of gradient descent, on all of the parameters, written out."""
    there = {n: p.detach() for n, p in theta.items()}
    for batch in batches:
        leaves = {n: p.detach().clone().requires_grad_() for n, p in there.items()}
        g = local_gradient(loss_at(made, leaves, batch), list(leaves.values()))
        there = {n: p if d is None else p - made.hp.alpha * d for (n, p), d in zip(there.items(), g, strict=True)}
    return there


# ---------------------------------------------------------------------------------------------------------------------
# the three directions


@pytest.mark.parametrize("task", range(4), ids=list(TASKS))
@pytest.mark.parametrize("route", ["unroll", "recursion"])
def test_maml_is_the_slope_of_the_loss_behind_the_steps(task: int, route: str) -> None:
    """Central differences of the query loss at theta^(k), along the gradient, moving every parameter at once."""
    made = method(route=route, dropout=0.0, inner_steps=2)
    e = episode_of(made, task)
    assert e.query is not None
    g, loss = made.task_gradient(0, e)
    theta, length = made.theta, flat(g).norm()
    assert loss.item() == pytest.approx(loss_at(made, stepped(made, theta, e.inner), e.query).item(), rel=1e-12)
    values = []
    for h in (1e-5, -1e-5):
        moved = {n: p if d is None else p + h * d / length for (n, p), d in zip(theta.items(), g, strict=True)}
        values.append(loss_at(made, stepped(made, moved, e.inner), e.query).item())
    assert (values[0] - values[1]) / 2e-5 == pytest.approx(length.item(), rel=1e-6)


@pytest.mark.parametrize("task", range(4), ids=list(TASKS))
def test_fomaml_is_the_gradient_at_the_adapted_point(task: int) -> None:
    made = method("fomaml")
    e = episode_of(made, task)
    assert e.query is not None
    there = {n: p.requires_grad_() for n, p in stepped(made, made.theta, e.inner).items()}
    wanted = local_gradient(loss_at(made, there, e.query), list(there.values()))
    assert relative(made.task_gradient(0, e)[0], wanted) < 1e-12


@pytest.mark.parametrize("k", [1, 3])
def test_reptile_is_the_way_that_was_gone(k: int) -> None:
    """Of one step: alpha times the gradient. Divided by k alpha: the mean gradient along the way."""
    for is_scaled in (False, True):
        made = method("reptile", inner_steps=k, scaled=is_scaled)
        e = episode_of(made)
        assert e.query is None
        theta = made.theta
        there = stepped(made, theta, e.inner)
        by = k * ALPHA if is_scaled else 1.0
        g, _ = made.task_gradient(0, e)
        for (name, p), d in zip(theta.items(), g, strict=True):
            wanted = torch.zeros_like(p) if d is None else d
            torch.testing.assert_close((p - there[name]) / by, wanted, rtol=1e-9, atol=1e-13)
        if k == 1 and is_scaled:
            plain = local_gradient(loss_at(made, theta, e.inner[0]), list(theta.values()))
            assert relative(g, plain) < 1e-12


def test_without_inner_steps_of_any_length_all_three_are_plain_gradients() -> None:
    """alpha = 0: the query's gradient at theta; of Reptile the mean over the steps' batches."""
    for route in ("unroll", "recursion"):
        made = method(route=route, alpha=0.0)
        e = episode_of(made)
        assert e.query is not None
        theta = made.theta
        plain = local_gradient(loss_at(made, theta, e.query), list(theta.values()))
        assert relative(made.task_gradient(0, e)[0], plain) < 1e-12
        assert relative(method("fomaml", alpha=0.0).task_gradient(0, e)[0], plain) < 1e-12
        mean = local_gradient(torch.stack([loss_at(made, theta, b) for b in e.inner]).mean(), list(theta.values()))
        assert relative(method("reptile", alpha=0.0).task_gradient(0, e)[0], mean) < 1e-12


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_recursion_is_what_is_unrolled(k: int, dropout: float) -> None:
    """With dropout too: every pass over a batch leaves out the same units. FOMAML is another vector."""
    found: dict[str, Gradient] = {}
    for route in ("unroll", "recursion"):
        made = method(route=route, inner_steps=k, dropout=dropout)
        found[route], _ = made.task_gradient(3, episode_of(made))
    assert relative(found["recursion"], found["unroll"]) < 1e-12
    first, _ = method("fomaml", inner_steps=k, dropout=dropout).task_gradient(3, episode_of(made))
    assert relative(first, found["unroll"]) > 1e-3


@algorithms
def test_micro_batches_are_the_batch(algorithm: str) -> None:
    for task in range(4):
        whole, parts = method(algorithm), method(algorithm, micro_batch=3)
        e = episode_of(whole, task)
        assert relative(parts.task_gradient(0, e)[0], whole.task_gradient(0, e)[0]) < 1e-12


@algorithms
def test_touched_embeddings_are_all_embeddings(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a bit differs from moving the whole table; and the table that moves is smaller."""
    made = method(algorithm)
    e = episode_of(made)
    compact = made.compact(e)
    assert compact is not None
    assert len(compact.rows) < made.encoder.body.word_embeddings.num_embeddings / 2
    found, _ = made.task_gradient(0, e)
    monkeypatch.setattr(Method, "compact", lambda self, e: None)
    for a, b in zip(found, made.task_gradient(0, e)[0], strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a, b)


def test_frozen_embeddings_are_not_moved() -> None:
    made = method(freeze="embeddings")
    assert made.compact(episode_of(made)) is None
    before = state_of(made)
    made.update(0, made.draws()(0))
    table = "encoder.body.model.embeddings.word_embeddings.weight"
    assert torch.equal(state_of(made)[table], before[table])


# ---------------------------------------------------------------------------------------------------------------------
# the memory of exact gradients


def test_the_budget_chooses_the_way() -> None:
    """Of what fits, what is faster; nothing that does not fit. The plan refuses what a training would."""
    plm = resolve("tiny")
    hp = hp_of("maml", batch_size=4)
    needed = hp.memory(plm, 4 * 64, 64, 8)
    unroll, recursion = needed.of("unroll"), needed.of("recursion")
    assert recursion < unroll / 2
    for budget, route in ((1.01 * unroll, "unroll"), (0.99 * unroll, "recursion"), (1.01 * recursion, "recursion")):
        given = replace(hp, memory_budget=budget / 1e9)
        assert choose_route(given, needed, total=10**12) == route
        # a quarter of the machine, where no budget is given
        assert choose_route(hp, needed, total=int(4 * budget)) == route
        (said,) = Method.fits(given, plm, 64, 8)
        assert said.startswith(f"second derivatives by {route} where texts have 64 pieces")
    tight = replace(hp, memory_budget=0.99 * recursion / 1e9)
    for refused in (
        lambda: choose_route(tight, needed, total=10**12),
        lambda: Method.fits(tight, plm, 64, 8),
        lambda: choose_route(hp, needed, total=int(0.99 * recursion)),
        lambda: choose_route(replace(hp, route="unroll", memory_budget=recursion / 1e9), needed, total=10**12),
    ):
        with pytest.raises(ConfigError, match=r"take about .* but may take"):
            refused()
    # what would need less is said, as far as anything would
    one_at_a_time = replace(hp, micro_batch=1).memory(plm, 4 * 64, 64, 8).of("recursion")
    for route, budget, cure in (
        ("unroll", 1.01 * recursion, "; route: recursion needs "),
        ("unroll", 0.99 * recursion, "; route: recursion with a smaller micro_batch needs less"),
        ("auto", 0.99 * recursion, "; a smaller micro_batch needs less"),
        ("auto", 0.99 * one_at_a_time, "; even with micro_batch: 1 it would be .* and fomaml"),
    ):
        with pytest.raises(ConfigError, match=cure):
            choose_route(replace(hp, route=route, memory_budget=budget / 1e9), needed, total=10**12)
    # fewer examples at a time
    smaller = replace(tight, micro_batch=2)
    assert choose_route(smaller, smaller.memory(plm, 4 * 64, 64, 8), total=10**12) == "recursion"
    assert Method.fits(replace(hp, algorithm="fomaml"), plm, 64, 8) == []


def test_the_way_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = {"batch_size": 4, "memory_budget": 1.0}
    assert method(**lengths).facts()["route"] == "unroll"
    assert method(**lengths, route="recursion").facts()["route"] == "recursion"
    assert method(**lengths, split_tasks=True).facts()["route"] == "recursion"
    assert "route" not in method("fomaml").facts()
    with pytest.raises(ConfigError, match="memory_budget: the second derivatives"):
        method(memory_budget=1e-6)
    # ranks on machines of different sizes agree on what the smallest one can
    smallest = Counting(0, 2)
    monkeypatch.setattr(smallest, "gather", lambda value: [value, 10 * 2**20], raising=False)
    assert method(workers=smallest).route == "recursion"


# ---------------------------------------------------------------------------------------------------------------------
# the outer step


@algorithms
def test_a_step_takes_the_mean_over_its_tasks(algorithm: str) -> None:
    """By AdamW's first step: its size is the rate, its sign the gradient's; `sum` is that many times the mean."""
    made = method(algorithm, weight_decay=0.0, clip=0.0, outer_lr=1e-3)
    episodes = made.draws()(0)
    theta = made.theta
    each = [made.task_gradient(0, e)[0] for e in episodes]
    mean = [
        None if all(d is None for d in ds) else sum(d for d in ds if d is not None) / len(episodes)
        for ds in zip(*each, strict=True)
    ]
    before = {n: p.detach().clone() for n, p in theta.items()}
    logs = made.update(0, episodes)
    assert logs["gradient_norm"] == pytest.approx(flat(mean).norm().item())
    for (name, p), g in zip(theta.items(), mean, strict=True):
        step = torch.zeros_like(p) if g is None else -1e-3 * g / (g.abs() + 1e-8)
        torch.testing.assert_close(p.detach() - before[name], step, rtol=0, atol=1e-9)
    if algorithm != "reptile":
        summed = method(algorithm, reduction="sum", clip=0.0).update(0, episodes)
        assert summed["gradient_norm"] == pytest.approx(len(episodes) * logs["gradient_norm"])


def test_reptile_as_printed() -> None:
    """At a rate of 1 and with one task theta becomes theta^(k); with the same task twice as well."""
    literal = {"outer": "sgd", "outer_lr": 1.0, "scaled": False, "clip": 0.0}
    made = method("reptile", **literal)
    e = episode_of(made)
    there = stepped(made, made.theta, e.inner)
    for episodes in ([e], [e, e], [e, e, e]):
        fresh = method("reptile", **literal)
        fresh.update(0, episodes)
        for name, p in fresh.theta.items():
            torch.testing.assert_close(p.detach(), there[name], rtol=0, atol=1e-14)


@algorithms
@pytest.mark.parametrize("outer", ["adam", "sgd"])
def test_heads_of_tasks_that_were_not_drawn_stay_as_they_are(algorithm: str, outer: str) -> None:
    """Weights and moments, bit for bit, also when they have moments of an earlier step; the drawn task's head moves."""
    made = method(algorithm, outer=outer, outer_lr=1e-2, sampler="uniform")
    optimizer = made.optimizer
    assert optimizer is not None
    made.update(0, [episode_of(made, task, slot=task) for task in range(4)])
    before, moments = state_of(made), copy.deepcopy(optimizer.state_dict()["state"])
    made.update(1, [episode_of(made, 2), episode_of(made, 2, step=2)])
    places = {id(p): i for i, p in enumerate(p for g in optimizer.param_groups for p in g["params"])}
    for task in range(4):
        for name, p in made.encoder.heads[task].named_parameters():
            kept = torch.equal(p, before[f"encoder.heads.{task}.{name}"])
            assert kept == (task != 2), (task, name)
            if outer == "adam":
                now, was = optimizer.state[p], moments[places[id(p)]]
                assert all(torch.equal(now[k], was[k]) for k in was) == (task != 2)


def test_every_kind_of_head_is_adapted_within_an_episode() -> None:
    for task in range(4):
        made = method("reptile")
        g, _ = made.task_gradient(0, episode_of(made, task))
        moved = {n for n, d in zip(made.theta, g, strict=True) if d is not None and "heads" in n}
        assert moved == {f"heads.{task}.weight", f"heads.{task}.bias"}


def test_inner_adam_is_another_rule() -> None:
    made = method("reptile", inner_optimizer="adam", inner_steps=1)
    e = episode_of(made)
    theta = made.theta
    plain = local_gradient(loss_at(made, theta, e.inner[0]), list(theta.values()))
    for d, g in zip(made.task_gradient(0, e)[0], plain, strict=True):
        assert (d is None) == (g is None)
        if d is not None and g is not None:  # the first step has the size of the rate
            torch.testing.assert_close(d, g / (g.abs() + 1e-8), rtol=1e-6, atol=1e-6)


# ---------------------------------------------------------------------------------------------------------------------
# W workers = one worker


@algorithms
@pytest.mark.parametrize("split", [False, True], ids=["tasks", "examples"])
@pytest.mark.parametrize("size", [2, 3])
def test_workers_compute_what_one_computes(algorithm: str, split: bool, size: int) -> None:
    """Three tasks of a step over two or three workers; or three examples of each batch. Two meta steps."""
    settings = {"outer_lr": 1e-2, "tasks_per_step": 3, "batch_size": 3}

    def work(workers: Workers) -> tuple[dict[str, Tensor], list[float]]:
        made = method(algorithm, workers=workers, split_tasks=split, **settings)
        norms = [made.update(step, made.draws()(step))["gradient_norm"] for step in range(2)]
        return state_of(made), norms

    state, norms = work(Alone())
    plain = method(algorithm, **settings)  # whole tasks, on one worker
    for step in range(2):
        plain.update(step, plain.draws()(step))
    assert_same_state(state, state_of(plain), 1e-10)
    for other, found in simulate(size, work):
        assert_same_state(other, state, 1e-10)
        assert found == pytest.approx(norms, rel=1e-9)


class Counting:
    """A rank that counts its collectives; it gets back what it gives."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size, self.sums = rank, size, 0

    def sum(self, t: Tensor) -> Tensor:
        self.sums += 1
        return t

    def gather(self, value: Any) -> list[Any]:
        return [value] * self.size


@algorithms
def test_whole_tasks_need_one_sum(algorithm: str) -> None:
    """None in the inner loop, nor one for a rank without a task; split tasks have one for every step and product."""
    for rank in range(5):
        workers = Counting(rank, 5)
        made = method(algorithm, workers=workers, outer="sgd")
        made.update(0, made.draws()(0))
        assert workers.sums == 1
    workers = Counting(0, 2)
    made = method(algorithm, workers=workers, split_tasks=True, inner_steps=3)
    made.update(0, made.draws()(0))
    assert workers.sums == 4 * {"maml": 3 + 1 + 3, "fomaml": 3 + 1, "reptile": 3}[algorithm]


@algorithms
def test_dropout_depends_on_the_place_of_a_task_and_on_no_rank(algorithm: str) -> None:
    """What the ranks of two workers add up to, one after another, is what one worker has."""
    settings = {"dropout": 0.3, "inner_steps": 2}
    alone = method(algorithm, **settings)
    episodes = alone.draws()(1)
    each = [alone.task_gradient(1, e)[0] for e in episodes]
    for rank in (0, 1):
        torch.manual_seed(100 + rank)  # the loop over stages seeds every rank in its own way
        made = method(algorithm, workers=Counting(rank, 2), **settings)
        for e in episodes[rank::2]:
            g, _ = made.task_gradient(1, e)
            assert all(a is None or torch.equal(a, b) for a, b in zip(g, each[e.slot], strict=True))  # type: ignore[arg-type]
    # other steps and other slots have other masks
    e = episodes[0]
    for step, slot in ((2, e.slot), (1, e.slot + 1)):
        other, _ = alone.task_gradient(step, replace(e, slot=slot))
        assert relative(other, each[0]) > 1e-3


# ---------------------------------------------------------------------------------------------------------------------
# episodes and distributions


def hp_of(variant: str, **settings: Any) -> HParams:
    return hparams(HParams, catalogue().resolve(variant, settings))


FOUR = Sizes({"a": 320, "b": 64, "c": 40, "d": 3000}, "c")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("sampler", ["uniform", "pps", "mixed"])
def test_every_algorithm_has_every_distribution(algorithm: str, sampler: str) -> None:
    hp = hp_of(algorithm, sampler=sampler, meta_steps=30)
    assert Method.target_aware(hp) == (sampler == "mixed")
    p = np.stack([hp.distribution(FOUR, 2)(step) for step in range(30)])
    sizes = np.array([320, 64, 40, 3000])
    even = np.full(4, 0.25)
    if sampler == "mixed":  # in thirds of each epoch
        period = hp.epoch(FOUR)
        assert period == {"maml": 3, "fomaml": 3, "reptile": 3}[algorithm]
        assert (p[np.arange(30) % 3 == 2] == [0, 0, 1, 0]).all()
        assert (p[np.arange(30) % 3 < 2] == even).all()
    else:
        assert (p == (even if sampler == "uniform" else sizes / sizes.sum())).all()


@pytest.mark.parametrize(("ratio", "tail"), [(2.0, 4), (5.0, 2)])
def test_the_target_alone_in_the_end(ratio: float, tail: int) -> None:
    made = method("reptile_mixed", ratio=ratio, mixed_per="training", meta_steps=12, tasks_per_step=8)
    drawn = [[e.task for e in made.draws()(step)] for step in range(12)]
    assert all(set(tasks) == {0} for tasks in drawn[-tail:])
    first = np.bincount(np.concatenate(drawn[:-tail]), minlength=4)
    assert chisquare(first).pvalue > 1e-3
    # epochs of one step are lengthened until both kinds of step are in one
    short = method("reptile_mixed", ratio=ratio, meta_steps=12, epoch_of="batches", tasks_per_step=20)
    assert short.hp.epoch(short.setup.sizes) == 1
    alone = [{e.task for e in short.draws()(step)} == {0} for step in range(12)]
    assert [i for i, a in enumerate(alone) if a] == list(range(int(ratio), 12, int(ratio) + 1))


def test_tasks_are_drawn_as_their_distribution_says() -> None:
    tasks = {
        "a": planted("target", n_train=30),
        "b": planted("source", n_train=60),
        "c": planted("tag_target", n_train=90),
    }
    for sampler, p in (("uniform", [1, 1, 1]), ("pps", [1, 2, 3])):
        made = method("reptile", tasks, sampler=sampler, tasks_per_step=8, inner_steps=1, batch_size=1)
        draw = made.draws()
        counts = np.bincount([e.task for step in range(60) for e in draw(step)], minlength=3)
        assert chisquare(counts, 480 * np.array(p) / sum(p)).pvalue > 1e-3


@algorithms
def test_query_is_disjoint_from_the_steps(algorithm: str) -> None:
    made = method(algorithm, inner_steps=3, batch_size=5)  # 20 examples: just enough
    for step in range(5):
        for e in made.draws()(step):
            inner = np.concatenate([b.row.numpy() for b in e.inner])
            assert {len(b) for b in e.inner} == {5}
            assert len(set(inner)) == 15
            assert all((b.task == e.task).all() for b in e.inner)
            assert (e.query is None) == (algorithm == "reptile")
            if e.query is not None:
                assert not set(inner) & set(e.query.row.numpy())
    # pure in the step
    again = [e.task for e in made.draws()(4)]
    assert again == [e.task for e in made.draws()(4)]


def test_few_examples_are_told() -> None:
    few_examples = {"classes": planted("target", n_train=9), "words": planted("tag_target", n_train=200)}
    made = method(tasks=few_examples, inner_steps=2, sampler="uniform")
    assert made.facts()["few_examples"] == {"classes": {"examples": 9, "query": 3}}
    e = episode_of(made, 0)
    assert e.query is not None
    assert len(e.query) == 3
    assert not {i for b in e.inner for i in b.row.tolist()} & set(e.query.row.tolist())
    (said,) = Method.admit(made.hp, 2, few_examples)
    assert said.startswith("classes: an episode asks for 12 examples, there are 9, 3 of them")
    assert "few_examples" not in method(tasks=few_examples, inner_steps=2, batch_size=3).facts()
    # tasks of one size are drawn by size as they are drawn uniformly
    alike = Sizes({"a": 500, "b": 500, "c": 7}, "c", True)
    assert Method.admit_sizes(hp_of("reptile"), alike)[0].startswith("its 2 tasks have 500 training examples each")
    assert not Method.admit_sizes(hp_of("reptile_uniform"), alike)
    # after a cut to a few examples the same is said, and refused, of what is left
    assert Method.admit_sizes(made.hp, Sizes({"classes": 9, "words": 200}, "words")) == [said]
    assert Method.admit_sizes(made.hp, Sizes({"classes": 9, "words": 200}, "classes", True)) == []
    with pytest.raises(DataError, match="classes: needs 2 training examples"):
        Method.admit_sizes(made.hp, Sizes({"classes": 1, "words": 200}, "words"))


# ---------------------------------------------------------------------------------------------------------------------
# how long it is


@pytest.mark.parametrize("k", [1, 5])
def test_passes(k: int) -> None:
    """First order m (k + 1), Reptile m k, exact m (3 k + 1): a Hessian-vector product counts 2."""
    assert HESSIAN_PRODUCT == 2
    for algorithm, each in (("maml", 3 * k + 1), ("fomaml", k + 1), ("reptile", k)):
        hp = hp_of(algorithm, inner_steps=k, meta_steps=7)
        assert Method.schedule(hp, FOUR).stages == {"meta": Length(7, 7 * 8 * each), "finetune": Length.plain(6)}


def test_epochs() -> None:
    """ceil(sum ceil(n / 32) / (8 (k + 1))), / (8 k) for Reptile; 10 + 2 + 2 + 94 batches."""
    for algorithm, batches, episodes in (("maml", 3, 14), ("fomaml", 3, 14), ("reptile", 3, 14)):
        assert hp_of(algorithm).epoch(FOUR) == batches
        assert hp_of(algorithm, epoch_of="episodes").epoch(FOUR) == episodes
        assert hp_of(algorithm).steps(FOUR) == 5 * batches
        assert hp_of(algorithm, max_updates=4).steps(FOUR) == 4
        assert hp_of(algorithm, max_updates=4, meta_steps=9).steps(FOUR) == 9
    assert hp_of("reptile", inner_steps=1).epoch(FOUR) == 14
    assert hp_of("fomaml", inner_steps=1).epoch(FOUR) == 7
    # whoever takes no part does not lengthen it
    without = replace(FOUR, target="d", unseen=True)
    assert hp_of("maml", epoch_of="episodes").epoch(without) == 2
    assert hp_of("maml", epoch_of="episodes", include_target=False).epoch(replace(FOUR, target="d")) == 2


# ---------------------------------------------------------------------------------------------------------------------
# what the paper leaves open, and what a search moves


UNEVEN = {"a": planted("target", n_train=40, length=6), "b": planted("source", n_train=12, length=6)}


@cache
def training(variant: str, settings: str = "{}") -> tuple[Any, ...]:
    """All that a training does: how long its stages are, the tasks of all meta steps, its weights after the first.

    Args:
        settings: as JSON.
    """
    shape = {"inner_steps": 2, "meta_steps": 0, "meta_epochs": 2, "epoch_of": "batches"}
    made = method(variant, UNEVEN, dropout=0.0, max_updates=0, **{**shape, **json.loads(settings)})
    draw, lengths = made.draws(), Method.schedule(made.hp, made.setup.sizes)
    tasks = tuple(e.task for step in range(lengths.stages["meta"].updates) for e in draw(step))
    made.update(0, draw(0))
    for stage in made.adapt():
        stage.start()
    return repr(lengths), tasks, *(p.detach().numpy().tobytes() for p in made.parameters())


@pytest.mark.parametrize("reading", catalogue().readings["maml"], ids=lambda r: f"{r.id} {r.variant or r.settings}")
def test_readings_are_other_trainings(reading: Any) -> None:
    of = reading.of or "maml"
    assert training(reading.variant or of, json.dumps(dict(reading.settings))) != training(of)


def test_every_open_passage_has_a_reading_or_says_why_not() -> None:
    """C7 and C10 cannot be settings of a method; the file says so where they would stand."""
    assert {r.id for r in catalogue().readings["maml"]} == {f"C{i}" for i in range(1, 12)} - {"C7", "C10"}
    text = (space_folder() / "maml.yaml").read_text(encoding="utf-8")
    assert all(f"# {passage}, " in text for passage in ("C7", "C10"))


def test_what_a_search_moves() -> None:
    for variant in (v.id for v in catalogue().variants.values() if v.method == "maml"):
        searched = {*catalogue().searched_parameters(variant, {})}
        assert searched - {"sampler", "ratio"} == {"lr", "epochs", "inner_steps", "alpha", "meta_epochs", "outer_lr"}
        assert ("sampler" in searched) == (variant in ALGORITHMS)
        assert ("ratio" in searched) == (variant in (*ALGORITHMS, "reptile_mixed"))


@pytest.mark.parametrize("variant", ["maml", "reptile_mixed"])
def test_whatever_a_search_moves_makes_another_training(variant: str) -> None:
    fixes = catalogue().variant(variant).fixes
    for name, rule in catalogue().searched_parameters(variant, {}).items():
        if rule.search is None or name in ("lr", "epochs"):  # those of every fine-tuning
            continue
        ends = rule.search.choices or rule.choices or (rule.search.low, rule.search.high)
        condition = {other: allowed[0] for other, allowed in rule.when.items() if other not in fixes}
        different = {training(variant, json.dumps({**condition, name: end})) for end in ends}
        assert len(different) == len(ends), name


def test_reptile_is_reptile_pps_until_a_search_moves_its_distribution() -> None:
    assert catalogue().defaults("reptile") == catalogue().defaults("reptile_pps")
    assert training("reptile") == training("reptile_pps") != training("reptile_uniform")


# ---------------------------------------------------------------------------------------------------------------------
# the target


def test_the_target_keeps_its_head_if_it_took_part() -> None:
    for settings, unseen, kept in (
        ({}, False, True),
        ({"keep_head": False}, False, False),
        ({"include_target": False}, False, False),
        ({}, True, False),
    ):
        setup = replace(method("reptile", sampler="uniform", **settings).setup, unseen=unseen)
        made = Method(setup)
        made.start()
        made.train()
        for step in range(4):
            made.update(step, made.draws()(step))
            if unseen or settings.get("include_target") is False:
                assert all(e.task != 0 for e in made.draws()(step))
        before = {n: p.detach().clone() for n, p in made.encoder.heads[0].named_parameters()}
        (stage,) = made.adapt()
        stage.start()
        same = all(torch.equal(p, before[n]) for n, p in made.encoder.heads[0].named_parameters())
        assert same == kept, settings


def test_an_unseen_target_is_met_in_the_fine_tuning_alone() -> None:
    spec = replace(spec_of("fomaml"), unseen=True)
    assert ran(spec).outcome.record.status == "done"
    made = Method(setup_of(spec))
    made.start()
    made.train()
    before = state_of(made)
    for step in range(3):
        made.update(step, made.draws()(step))
    for name, p in made.encoder.heads[0].named_parameters():
        assert torch.equal(p, before[f"encoder.heads.0.{name}"])


# ---------------------------------------------------------------------------------------------------------------------
# what is refused


@pytest.mark.parametrize(
    ("variant", "settings", "unseen", "said"),
    [
        ("reptile_mixed", {}, "classes", "the target is unseen"),
        ("maml", {"sampler": "mixed", "include_target": False}, None, "left out by include_target"),
        ("maml", {"inner_optimizer": "adam"}, None, "must be sgd"),
        ("maml", {"split_tasks": True, "route": "unroll"}, None, "must be recursion"),
    ],
)
def test_settings_that_cannot_be(variant: str, settings: dict[str, Any], unseen: str | None, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Method.admit(hp_of(variant, **settings), 2, TASKS, unseen)


def test_tasks_without_enough_examples() -> None:
    source = planted("source")
    lonely = replace(source, splits={**source.splits, "train": source.splits["train"][:1]})
    one = {"classes": planted("target"), "lonely": lonely}
    for algorithm in ("maml", "fomaml"):
        with pytest.raises(DataError, match="lonely: needs 2 training examples"):
            Method.admit(hp_of(algorithm), 2, one)
        with pytest.raises(DataError, match="lonely: needs 2 training examples"):
            method(algorithm, one)
    assert Method.admit(hp_of("reptile"), 2, one)
    with pytest.raises(DataError, match="none is"):
        Method.admit(hp_of("reptile"), 2, {"classes": planted("target")}, "classes")


def test_summed_gradient_of_a_batch_is_what_an_episode_sums() -> None:
    """The loss of an episode's batch is the mean loss that every other stage has."""
    made = method("reptile", inner_steps=1)
    e = episode_of(made, 1)
    theta = list(made.theta.values())
    assert relative(made.task_gradient(0, e)[0], summed_gradient(made.mean_loss(e.inner[0]), theta, Alone())) < 1e-12


def test_vectors_have_no_word_embeddings() -> None:
    """A network over vectors is meta-learned like a model of texts."""
    spec = spec_of("maml", suite=VECTORS, target=VECTORS[0])
    assert ran(spec).outcome.record.status == "done"
