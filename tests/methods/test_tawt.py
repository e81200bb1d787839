"""TAWT against its equations: the weights' steps, what they are learned from, and what they find."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cells import (
    assert_close_json,
    assert_same_answers,
    assert_same_state,
    known,
    method_over,
    planted,
    ran,
    ran_by,
    spec_of,
    state_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from raystudy.catalogue import catalogue, task_weights
from raystudy.data.text import IGNORED
from raystudy.errors import ConfigError, DataError
from raystudy.methods import FORWARD, HESSIAN_PRODUCT, Sizes, hparams, tawt
from raystudy.methods.tawt import HParams, Method, effective, initial_weights, literal_weights
from raystudy.nn.dropout import without_dropout
from raystudy.nn.gradients import leaves, local_gradient, moved, norm, with_parameters
from raystudy.nn.mirror_descent import mirror_step
from raystudy.study.store.stage_store import StageStore
from raystudy.tasks import Example, Task
from raystudy.tasks.planted import WORDS
from raystudy.workers import simulate

SIZES = {"n_train": 20, "n_dev": 6, "n_test": 6}


def suite(kind: str = "", **more: Any) -> dict[str, Task]:
    """The target and two sources, one of which has the target's own classes; no two of one size."""
    return {
        "target": planted(f"{kind}target", **{**SIZES, **more}),
        "source": planted(f"{kind}source", **{**SIZES, "n_train": 26, **more}),
        "other": planted(f"{kind}target", **{**SIZES, "n_train": 15, "seed": 5, **more}),
    }


def method(
    variant: str = "tawt_joint_w", *, kind: str = "", tasks: Mapping[str, Task] | None = None, **kw: Any
) -> Method:
    made = method_over(tasks or suite(kind), variant, **kw)
    assert isinstance(made, Method)
    return made


def after_updates(made: Method, count: int | None = None, stage: int = 0) -> Method:
    """The first `count` updates of a stage of the transfer, and what lies between them."""
    run = made.transfer()[stage]
    run.start()
    made.train()
    for step in range(run.length.updates if count is None else count):
        torch.manual_seed(step)
        run.update(step, run.draw(step))
        if run.after is not None and (step + 1) % run.after_every == 0:
            run.after(step)
    return made


def started(made: Method) -> Method:
    return after_updates(made, 0)


def omega_of(made: Method) -> list[float]:
    return [float(w) for w in made.omega]


def hp(variant: str, **settings: Any) -> HParams:
    return hparams(HParams, catalogue().resolve(variant, known(variant, settings)))


# ---------------------------------------------------------------------------------------------------------------------
# the mirror step (eq. 2.8)


simplex = st.lists(st.floats(0.01, 1), min_size=2, max_size=6)


@given(simplex, st.data())
@settings(max_examples=60, deadline=None)
def test_mirror_step(parts: list[float], data: st.DataObject) -> None:
    omega = torch.tensor(parts, dtype=torch.float64)
    omega = omega / omega.sum()
    g = torch.tensor(data.draw(st.lists(st.floats(-1, 1), min_size=len(parts), max_size=len(parts)))).double()
    eta, shift = data.draw(st.floats(0, 5)), data.draw(st.floats(-3, 3))
    new = mirror_step(omega, g, eta)
    # on the simplex
    assert (new >= 0).all()
    assert float(new.sum()) == pytest.approx(1, abs=1e-14)
    # a constant added to every g changes nothing, nor does a step of size zero
    torch.testing.assert_close(mirror_step(omega, g + shift, eta), new, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(mirror_step(omega, g, 0.0), omega, rtol=1e-14, atol=0)
    # ratios are multiplied by exp(eta (g_j - g_i))
    torch.testing.assert_close(new / new[0], omega / omega[0] * (-eta * (g - g[0])).exp(), rtol=1e-12, atol=0)


def test_a_similar_and_an_opposite_source() -> None:
    omega = torch.tensor([0.3, 0.7], dtype=torch.float64)
    new = mirror_step(omega, torch.tensor([-1.0, 1.0]).double(), 0.8)
    assert float(new[0] / new[1]) == pytest.approx(0.3 / 0.7 * math.exp(2 * 0.8), rel=1e-14)


def test_undefined_leaves_a_weight_where_it_is() -> None:
    omega, nan = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64), float("nan")
    new = mirror_step(omega, torch.tensor([nan, -1.0, 0.0]).double(), 1.0)
    assert float(new[0]) == 0.2
    assert float(new.sum()) == pytest.approx(1, abs=1e-15)
    assert float(new[1] / new[2]) == pytest.approx(0.3 / 0.5 * math.e, rel=1e-14)
    assert torch.equal(mirror_step(omega, torch.full((3,), nan).double(), 1.0), omega)
    # a weight of zero stays zero, and nothing overflows
    far = mirror_step(torch.tensor([0.0, 0.5, 0.5]).double(), torch.tensor([-9e9, -9e9, 9e9]).double(), 1e3)
    assert far.tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("first", "after_three"),
    [(0.25, 0.870), (0.85, 0.991), (0.91, 0.995), (0.97, 0.9985)],
    ids=["joint", "NER", "predicate", "PoS and chunking"],
)
def test_the_joint_weights_of_table_6_follow_from_the_targets_cosine_with_itself(
    first: float, after_three: float
) -> None:
    """With sources at cosine 0, whatever the data."""
    omega = torch.tensor([first, *[(1 - first) / 3] * 3], dtype=torch.float64)
    for _ in range(3):
        omega = mirror_step(omega, torch.tensor([-1.0, 0, 0, 0]).double(), 1.0)
    assert float(omega[0]) == pytest.approx(after_three, abs=5e-4 if after_three < 0.998 else 5e-5)


# ---------------------------------------------------------------------------------------------------------------------
# first and effective weights


def test_first_weights() -> None:
    n = (9000, 9000, 9000, 500)
    even, normalized = initial_weights(n, "even"), initial_weights(n, "normalized")
    assert even.tolist() == [0.25] * 4
    # the paper's names for the effective weights: joint is proportional to n_t, normalized is even
    torch.testing.assert_close(effective(even, n, "epochs"), torch.tensor(n).double() / sum(n))
    torch.testing.assert_close(effective(normalized, n, "epochs"), even)
    torch.testing.assert_close(normalized * torch.tensor(n), (normalized * torch.tensor(n))[:1].expand(4))
    # tasks that are drawn equally often: the multipliers themselves
    assert torch.equal(effective(normalized, n, "uniform"), normalized)
    # a task without a weight has none
    assert initial_weights((0, 10, 10), "normalized").tolist() == [0.0, 0.5, 0.5]
    # what three updates make of NER in effect
    final = torch.tensor([*[0.13 / 3] * 3, 0.87]).double()
    assert effective(final, (282, 282, 282, 16), "epochs").tolist() == pytest.approx([0.242] * 3 + [0.276], abs=2e-3)


@pytest.mark.parametrize(
    ("own", "source", "target"),
    [(500, 0.05, 0.85), (300, 0.03, 0.91), (100, 0.01, 0.97)],
    ids=["NER", "predicate", "PoS"],
)
def test_rounded_weights_are_those_of_the_code(own: int, source: float, target: float) -> None:
    w = initial_weights((9000, 9000, 9000, own), "normalized", rounded=True, target=3)
    assert w.tolist() == pytest.approx([source] * 3 + [target], abs=1e-12)


def test_rounding_that_leaves_the_target_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="none is left for the target"):
        initial_weights([10] * 66, "normalized", rounded=True, target=0)


# ---------------------------------------------------------------------------------------------------------------------
# limits: other methods


@pytest.mark.parametrize("kind", ["", "tag_"])
def test_even_weights_are_plain_joint_training(kind: str) -> None:
    """Step for step, with dropout: MT-DNN's stream, a literal 1 / (T + 1), and adaptive weights that do not move."""
    tasks = {t: task for t, task in suite(kind).items() if t != "other"}
    shared = {"dropout": 0.1, "joint_epochs": 4, "warmup": 0.0, "weight_decay": 0.0, "max_updates": 0}
    plain = method_over(tasks, "multi_task", sampler="epochs", task_batches=True, **shared)
    (stage,) = plain.transfer()
    stage.start()
    plain.train()
    for step in range(stage.length.updates):
        torch.manual_seed(step)
        stage.update(step, stage.draw(step))
    wanted = {k: v for k, v in state_of(plain).items() if k.startswith("encoder.")}
    variants: dict[str, dict[str, Any]] = {
        "tawt_joint": {},
        "tawt_joint_w": {"eta": 0.0},
        "tawt_fixed": {"omega": {"target": 0.5, "source": 0.5}},
    }
    for variant, more in variants.items():
        made = after_updates(method(variant, tasks=tasks, **shared, **more))
        assert made.length["joint"].updates == stage.length.updates
        assert_same_state({k: v for k, v in state_of(made).items() if k in wanted}, wanted)


def test_the_loss_is_the_weighted_one() -> None:
    """(T + 1) w_t times the mean over the batch's examples of one task."""
    made = started(method(batch_size=5, dropout=0.0))
    made.omega.copy_(torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64))
    (stage,) = made.transfer()
    seen = set()
    for step in range(12):
        batch = stage.draw(step)
        (task,) = set(batch.task.tolist())
        seen.add(task)
        losses = made.losses(batch).detach()
        assert float(made.loss(batch, 3).detach()) == pytest.approx(
            3 * [0.2, 0.5, 0.3][task] * float(losses.mean()), rel=1e-12
        )
    assert seen == {0, 1, 2}


def test_mean_over_sentences() -> None:
    made = started(method(kind="tag_", mean_over="sentences"))
    batch = made.setup.corpus.batch(np.array([[0, i] for i in range(6)]))
    # one sentence keeps a single labelled word, one has none at all
    tags = batch.tags.clone()
    for i, keep in ((0, 1), (1, 0)):
        at = slice(int(batch.offsets[i]), int(batch.offsets[i + 1]))
        words = (tags[at] != IGNORED).nonzero().flatten()
        tags[at.start + words[keep:]] = IGNORED
    batch = replace(batch, tags=tags)
    losses, units = made.losses(batch).detach(), batch.units
    assert units[0] == 1
    assert units[1] == 0
    wanted = (losses[units > 0] / units[units > 0]).mean()
    assert float(made.task_loss(batch).detach()) == pytest.approx(float(wanted), rel=1e-12)
    # where every sentence has as many words both means are one
    plain = started(method(kind="tag_"))
    whole = plain.setup.corpus.batch(np.array([[0, i] for i in range(6)]))
    assert float(made.task_loss(whole).detach()) == pytest.approx(float(plain.task_loss(whole).detach()), rel=1e-12)


def test_every_example_once_an_epoch_and_one_task_a_batch() -> None:
    made = method("tawt_pre_w", batch_size=7, max_updates=0, transfer_epochs=2)
    (stage,) = made.transfer()
    per_epoch = math.ceil(26 / 7) + math.ceil(15 / 7)
    assert stage.length.updates == 2 * per_epoch
    rows = [stage.draw(step) for step in range(per_epoch)]
    assert all(len(set(b.task.tolist())) == 1 for b in rows)
    seen = sorted((int(t), int(r)) for b in rows for t, r in zip(b.task, b.row, strict=True))
    assert seen == [(1, i) for i in range(26)] + [(2, i) for i in range(15)]


# ---------------------------------------------------------------------------------------------------------------------
# what the weights are learned from


@pytest.mark.parametrize("kind", ["", "tag_"])
@pytest.mark.parametrize("variant", ["tawt_joint_w", "tawt_normalized_w", "tawt_pre_w"])
def test_every_update_multiplies_ratios_by_the_cosines(variant: str, kind: str) -> None:
    made = after_updates(method(variant, kind=kind, eta=2.0, rounds=3, max_updates=6))
    facts = made.facts()["omega"]
    assert facts["after"] == [0, 2, 4]
    assert facts["tasks"] == (["source", "other"] if variant == "tawt_pre_w" else ["target", "source", "other"])
    assert "undefined" not in facts
    n = [made.setup.sizes.tasks[t] for t in facts["tasks"]]
    for w, eff in zip(facts["multiplier"], facts["effective"], strict=True):
        assert sum(w) == pytest.approx(1, abs=1e-14)
        assert eff == pytest.approx([a * b / np.dot(w, n) for a, b in zip(w, n, strict=True)], abs=1e-14)
    for (before, after), cos in zip(pairwise(facts["multiplier"]), facts["cosine"], strict=True):
        assert len(set(cos)) > 1
        assert all(-1 <= c <= 1 for c in cos)
        for i in range(len(n)):
            wanted = before[i] / before[0] * math.exp(2.0 * (cos[i] - cos[0]))
            assert after[i] / after[0] == pytest.approx(wanted, rel=1e-12)
    if variant != "tawt_pre_w":
        assert all(cos[0] == 1.0 for cos in facts["cosine"])
    assert omega_of(made) == [
        facts["multiplier"][-1][facts["tasks"].index(t)] if t in facts["tasks"] else 0.0 for t in made.setup.tasks
    ]


@pytest.mark.parametrize("kind", ["", "tag_"])
def test_cosine_by_hand(kind: str) -> None:
    """Of the encoder's parameters, embeddings among them, without heads and without dropout, of unweighted means."""
    made = started(method(kind=kind, dropout=0.3, subset=9))
    made.omega.copy_(torch.tensor([0.1, 0.2, 0.7]))
    with without_dropout(made):
        found = made.dissimilarities(3, {})
    assert made.training
    made.eval()
    encoder = dict(made.encoder.body.named_parameters())
    flat = []
    for task in range(3):
        (batch,) = made.subset(task, 3)
        assert len(batch) == len(set(batch.row.tolist())) == 9
        losses = made.losses(batch)
        for p in encoder.values():
            p.grad = None
        (losses.sum() / int(batch.units.sum())).backward()
        flat.append(
            torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in encoder.values()])
        )
        for p in made.parameters():
            p.grad = None
    assert float(found[0]) == 1.0
    for task in (1, 2):
        wanted = torch.nn.functional.cosine_similarity(flat[0], flat[task], dim=0)
        assert float(found[task]) == pytest.approx(float(wanted), abs=1e-12)


def test_a_source_that_is_the_target_has_cosine_one() -> None:
    tasks = {
        "target": planted("target", **SIZES),
        "same": planted("target", **SIZES),
        "other": planted("source", **SIZES),
    }
    made = started(method(tasks=tasks))
    with torch.no_grad():
        made.encoder.head(1).weight.copy_(made.encoder.head(0).weight)
    with without_dropout(made):
        signals = made.dissimilarities(0, {})
    assert float(signals[1]) == pytest.approx(1, abs=1e-12)
    assert float(signals[2]) < 0.9


def test_weights_do_not_enter_what_they_are_learned_from() -> None:
    made = started(method("tawt_pre_w"))
    found = []
    for omega in ([0.0, 0.5, 0.5], [0.0, 0.9, 0.1]):
        made.omega.copy_(torch.tensor(omega))
        torch.manual_seed(0)
        head = made.target_head(0)
        with without_dropout(made):
            found.append(made.dissimilarities(0, head))
    assert torch.equal(found[0][1:], found[1][1:])
    assert found[0][0].isnan()


def test_several_subsets_are_averaged() -> None:
    """Four of five examples are the mean of the means over these, each example once."""
    made = started(method(subset=5, subsets=3, dropout=0.0))
    batches = made.subset(1, 0)
    assert [len(b) for b in batches] == [5, 5, 5]
    assert len({int(r) for b in batches for r in b.row}) == 15
    whole = made.setup.corpus.batch(np.array([[1, int(r)] for b in batches for r in b.row]))
    for a, b in zip(made.gradient(batches), made.gradient([whole]), strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    # another task, another step: another subset; asked again, the same
    assert made.subset(1, 0)[0].row.tolist() == batches[0].row.tolist()
    assert made.subset(1, 1)[0].row.tolist() != batches[0].row.tolist()
    # as many as there are
    assert [len(b) for b in started(method(subset=8, subsets=3)).subset(2, 0)] == [8, 7]
    assert [len(b) for b in started(method()).subset(2, 0)] == [15]


def test_a_weight_update_costs_one_backward_pass_a_task_and_holds_two_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alive: list[int] = []
    seen: list[Any] = []
    original = tawt.local_gradient

    def watching(loss: Tensor, theta: Any, **more: Any) -> Any:
        import weakref

        g = original(loss, theta, **more)
        seen.append([weakref.ref(d) for d in g if d is not None])
        alive.append(sum(any(r() is not None for r in refs) for refs in seen))
        return g

    monkeypatch.setattr(tawt, "local_gradient", watching)
    made = started(method())
    with without_dropout(made):
        made.dissimilarities(0, {})
    # the target's and one source's at a time
    assert alive == [1, 2, 2]


def test_the_head_of_pre_training_moves_nothing_of_the_model() -> None:
    made = after_updates(method("tawt_pre_w", dropout=0.1), 1)
    optimizer = made.optimizer
    assert optimizer is not None
    before = state_of(made)
    moments = {k: v.clone() for s in optimizer.state.values() for k, v in s.items() if k == "exp_avg"}
    torch.manual_seed(0)
    head = made.target_head(0)
    assert_same_state(state_of(made), before)
    for k, v in moments.items():
        assert any(torch.equal(v, s[k]) for s in optimizer.state.values())
    # what it is afterwards trains as ever
    assert all(p.requires_grad for p in made.encoder.parameters())
    # it was trained, from the same random head, and asked again it is the same
    weight = head["heads.0.weight"]
    assert not torch.equal(weight, made.f0_weight)
    torch.manual_seed(0)
    assert torch.equal(made.target_head(0)["heads.0.weight"], weight)


def test_head_epoch_by_hand() -> None:
    """One epoch of AdamW on the logits' cross entropy, features fixed."""
    made = started(method("tawt_pre_w", dropout=0.0, batch_size=20, lr=1e-2, head_epochs=3))
    found = made.target_head(5)
    batch = made.setup.corpus.batch(np.array([[0, i] for i in range(20)]))
    with torch.no_grad():
        x = made.encoder.feature(made.encoder(batch)[0], batch.offsets)
    w, b = (t.detach().clone().requires_grad_() for t in (made.f0_weight, made.f0_bias))
    optimizer = torch.optim.AdamW([w, b], lr=1e-2, weight_decay=0.0)
    for i in range(3):
        optimizer.param_groups[0]["lr"] = 1e-2 * (3 - i) / 3
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(x @ w.T + b, batch.labels).backward()
        torch.nn.utils.clip_grad_norm_([w, b], 1.0)
        optimizer.step()
    torch.testing.assert_close(found["heads.0.weight"], w.detach(), rtol=0, atol=1e-9)
    torch.testing.assert_close(found["heads.0.bias"], b.detach(), rtol=0, atol=1e-9)


def test_a_warm_head_goes_on() -> None:
    made = started(method("tawt_pre_w", warm_f0=True))
    head = made.target_head(0)
    assert torch.equal(made.f0_weight, head["heads.0.weight"])
    assert not torch.equal(made.target_head(1)["heads.0.weight"], head["heads.0.weight"])


# ---------------------------------------------------------------------------------------------------------------------
# beyond the paper


@pytest.mark.parametrize("variant", ["tawt_joint_w", "tawt_pre_w"])
def test_held_out_examples_are_not_trained_on(variant: str) -> None:
    made = started(method(variant, held_out=0.25, batch_size=4, max_updates=0))
    trained, held = made.own_rows()
    assert (len(trained), len(held)) == (15, 5)
    assert sorted([*trained, *held]) == list(range(20))
    (stage,) = made.transfer()
    drawn = [stage.draw(step) for step in range(stage.length.updates)]
    seen = {int(r) for b in drawn for t, r in zip(b.task, b.row, strict=True) if t == 0}
    assert seen == (set(trained.tolist()) if variant == "tawt_joint_w" else set())
    own: list[set[int]] = []
    original = made.gradient

    def watching(batches: Any, head: Any = None) -> Any:
        if int(batches[0].task[0]) == 0:
            own.append({int(r) for b in batches for r in b.row})
        return original(batches, head)

    made.gradient = watching  # type: ignore[method-assign]
    with without_dropout(made):
        signals = made.dissimilarities(0, made.target_head(0))
    if variant == "tawt_joint_w":
        # the target's own weight follows a cosine that the data give
        assert own == [set(held.tolist()), set(trained.tolist())]
        assert float(signals[0]) < 1
        assert omega_of(made)[0] == pytest.approx(1 / 3)
    else:
        assert own == [set(held.tolist())]


def test_a_kept_weight_of_the_target() -> None:
    made = after_updates(method(target_weight="kept", eta=5.0))
    facts = made.facts()["omega"]
    for w, cos in zip(facts["multiplier"][1:], facts["cosine"], strict=True):
        assert w[0] == 1 / 3
        assert cos[0] == 1.0
    assert facts["multiplier"][-1][1] != pytest.approx(1 / 3)


def test_tasks_drawn_equally_often() -> None:
    made = method(sampler="uniform", batch_size=4, max_updates=0, min_updates=300)
    (stage,) = made.transfer()
    count = np.bincount([int(stage.draw(step).task[0]) for step in range(300)])
    assert (abs(count - 100) < 30).all()
    facts = after_updates(method(sampler="uniform", max_updates=2)).facts()["omega"]
    assert facts["effective"] == facts["multiplier"]


# ---------------------------------------------------------------------------------------------------------------------
# eq. 2.7


@pytest.mark.parametrize("variant", ["tawt_joint_w", "tawt_pre_w"])
def test_exact_dissimilarity_solves_the_damped_system(variant: str) -> None:
    """(H + d I) x = G_0 with H by central differences of the weighted gradient, and g_t = -<x, G_t>."""
    damping = 60.0  # a random net has negative curvature
    shared = {"dissimilarity": "exact", "damping": damping, "cg_iterations": 60, "cg_tolerance": 1e-10}
    made = started(method(variant, dropout=0.2, freeze="embeddings", **shared))
    assert made.encoder.body.exact
    assert Method.exact(made.hp)
    head = made.target_head(0)
    made.eval()
    g = made.dissimilarities(0, head)
    own = made.gradient(made.subset(0, 0), head)
    found = made.inverse_times(own, 0)
    assert found.stopped == "converged"
    n = [0 if variant == "tawt_pre_w" else 20, 26, 15]
    weight = effective(made.omega, n, "epochs")

    def gradient(e: float) -> list[Tensor | None]:
        there = leaves(moved(made.phi, found.x, e))
        loss = with_parameters(
            made.encoder,
            there,
            lambda: torch.stack([w * made.mean_loss(made.subset(t, 0)[0]) for t, w in enumerate(weight) if w]).sum(),
        )
        return local_gradient(loss, list(there.values()))

    e = 1e-6
    off = [
        None if a is None or b is None or x is None else (a - b) / (2 * e) + damping * x - (0 if r is None else r)
        for a, b, x, r in zip(gradient(e), gradient(-e), found.x, own, strict=True)
    ]
    assert float(norm(off)) < 1e-6 * float(norm(own))
    for t in made.weighed:
        other = own if t == 0 else made.gradient(made.subset(t, 0))
        pairs = [(x * y).sum() for x, y in zip(found.x, other, strict=True) if x is not None and y is not None]
        assert float(g[t]) == pytest.approx(-float(torch.stack(pairs).sum()), rel=1e-9)
    # much damping: the identity times 1 / d, as for the weighted samples of app. B
    if variant == "tawt_joint_w":
        assert float(g[0]) < 0


def test_record_of_the_solver() -> None:
    record = ran(spec_of("tawt_joint_w", dissimilarity="exact", cg_iterations=2, damping=0.01)).outcome.record
    facts = record.facts["omega"]
    assert "cosine" not in facts
    assert len(facts["solver"]) == len(facts["g"]) == 3
    for row in facts["solver"]:
        assert row["stopped"] in ("converged", "out of iterations", "negative curvature")
        assert 0 <= row["iterations"] <= 2
        assert row["residual"] > 0
    for (before, after), g in zip(pairwise(facts["multiplier"]), facts["g"], strict=True):
        assert after[1] / after[0] == pytest.approx(before[1] / before[0] * math.exp(g[0] - g[1]), rel=1e-9)


# ---------------------------------------------------------------------------------------------------------------------
# fixed weights, and stage 2


@pytest.mark.parametrize(("learning", "fixed"), [("tawt_normalized_w", "tawt_fixed"), ("tawt_pre_w", "tawt_pre_fixed")])
def test_fixed_weights_are_those_that_a_run_ends_with(learning: str, fixed: str, tmp_path: Path) -> None:
    suite = ("planted/target", "planted/source", "planted/domain_2")
    store = StageStore(tmp_path)
    first = ran(spec_of(learning, suite=suite, eta=3.0), store=store)
    again = ran(spec_of(fixed, suite=suite, eta=3.0), store=store)
    stage = "pre" if fixed == "tawt_pre_fixed" else "joint"
    # the first run is found, the second is trained
    assert again.outcome.record.stages[stage] == "stored"
    assert again.outcome.record.stages["fixed"] == "ran"
    assert stage not in again.updates
    learned, used = first.record["facts"]["omega"], again.record["facts"]["omega"]
    assert used["multiplier"] == [learned["multiplier"][-1]]
    assert again.record["facts"]["omega_before"] == learned
    # the same, with nothing in the store, and with the weights written out
    alone = ran(spec_of(fixed, suite=suite, eta=3.0))
    assert_same_state(alone.state, again.state)
    omega = dict(zip(used["tasks"], used["multiplier"][0], strict=True))
    literal = ran(spec_of(fixed, suite=suite, omega=omega))
    assert_same_state(
        {k: v for k, v in literal.state.items() if k.startswith("encoder.")},
        {k: v for k, v in again.state.items() if k.startswith("encoder.")},
        1e-10,  # they are divided by their sum once more
    )
    assert literal.record["facts"]["omega"]["multiplier"][0] == pytest.approx(used["multiplier"][0], abs=1e-15)
    assert stage in literal.updates
    # other settings are another run
    other = ran(spec_of(fixed, suite=suite, eta=2.0), store=store)
    assert other.outcome.record.stages[stage] == "ran"


def test_a_task_of_weight_zero_is_left_out() -> None:
    made = method("tawt_fixed", omega={"target": 0.4, "source": 0.6, "other": 0.0}, max_updates=0)
    (stage,) = made.transfer()
    stage.start()
    assert omega_of(made) == [0.4, 0.6, 0.0]
    assert {int(stage.draw(step).task[0]) for step in range(stage.length.updates)} == {0, 1}


@pytest.mark.parametrize("stage2", ["tuned", "frozen"])
def test_stage_two(stage2: str) -> None:
    made = after_updates(method("tawt_pre_w", stage2=stage2, max_updates=3))
    before = state_of(made)
    (stage,) = made.adapt()
    stage.start()
    for step in range(stage.length.updates):
        stage.update(step, stage.draw(step))
    moved = {k for k, v in state_of(made).items() if not torch.equal(v, before[k])}
    assert {"encoder.heads.0.weight", "encoder.heads.0.bias"} <= moved
    assert any(k.startswith("encoder.body") for k in moved) == (stage2 == "tuned")


def test_training_anew_starts_from_the_pre_trained_model() -> None:
    made = method("tawt_fixed")
    untouched = state_of(made)
    after_updates(made)
    body = [k for k in untouched if k.startswith("encoder.body")]
    assert any(not torch.equal(made.state_dict()[k], untouched[k]) for k in body)
    omega = omega_of(made)
    after_updates(made, 0, stage=1)
    assert all(torch.equal(made.state_dict()[k], untouched[k]) for k in body)
    assert omega_of(made) == omega


# ---------------------------------------------------------------------------------------------------------------------
# the task distance (Def. 3.1)


def measured(made: Method) -> dict[str, float]:
    """The distance as the record has it, behind the whole transfer."""
    for stage in range(len(made.transfer())):
        after_updates(made, stage=stage)
    (finetune,) = made.adapt()
    finetune.start()
    found = made.facts()["task_distance"]
    assert isinstance(found, dict)
    return found


def test_distance_is_zero_for_the_same_task_and_grows_as_sources_become_unrelated() -> None:
    setting = {"lr": 3e-3, "batch_size": 16, "feature": "mean", "min_updates": 90, "max_updates": 90}
    target = planted("target", n_train=180)
    sources = {"same": target} | {str(r): planted("source", relatedness=r, n_train=180) for r in (1.0, 0.5, 0.0)}
    found = {}
    for name, source in sources.items():
        made = method("tawt_distance", tasks={"target": target, "source": source}, weighting="constant", **setting)
        found[name] = measured(made)
    assert abs(found["same"]["distance"]) < 1e-3
    assert found["same"]["distance"] < found["1.0"]["distance"] < found["0.5"]["distance"] < found["0.0"]["distance"]
    # an unrelated source leaves an encoder on which the best head is hardly better than a guess
    assert found["0.0"]["source"] > 0.7 * math.log(3)
    # the target's own encoder is trained without any source
    assert len({x["own"] for x in found.values()}) == 1


def test_distance_of_given_weights() -> None:
    """A source of weight zero does not matter, and weight one is that source alone."""
    tasks = suite()
    only = measured(method("tawt_distance", tasks=tasks, weighting="fixed", omega={"source": 1.0, "other": 0.0}))
    other = measured(method("tawt_distance", tasks=tasks, weighting="fixed", omega={"source": 0.0, "other": 1.0}))
    both = measured(method("tawt_distance", tasks=tasks, weighting="fixed", omega={"source": 0.5, "other": 0.5}))
    assert len({x["own"] for x in (only, other, both)}) == 1
    assert len({x["distance"] for x in (only, other, both)}) == 3
    pair = {t: tasks[t] for t in ("target", "source")}
    alone = measured(method("tawt_distance", tasks=pair, weighting="constant"))
    assert alone["distance"] == pytest.approx(only["distance"], abs=1e-9)


@pytest.mark.parametrize("kind", ["", "tag_"])
def test_distance_on_three_workers(kind: str) -> None:
    names = (f"planted/{kind}target", f"planted/{kind}source")
    spec = spec_of("tawt_distance", suite=names, target=names[0])
    alone = ran(spec)
    assert alone.record["facts"]["task_distance"]["own"] > 0
    for rank in ran_by(spec, 3):
        assert_close_json(rank.record, alone.record, 1e-9)


# ---------------------------------------------------------------------------------------------------------------------
# cost


def test_passes_are_those_that_are_made() -> None:
    """Examples per forward and backward pass, counted where they are made."""
    sizes = Sizes({"a": 100, "b": 30, "t": 20}, "t")
    joint = hp("tawt_joint_w", batch_size=10, rounds=5, transfer_epochs=1, max_updates=0)
    updates = 10 + 3 + 2
    length = Method.schedule(joint, sizes).transfer["joint"]
    assert length.updates == updates
    # four updates of the weights, each a gradient on 64, 30 and 20 examples
    assert length.passes == pytest.approx(updates + 4 * (64 + 30 + 20) / 10)
    held = replace(joint, held_out=0.5)
    assert Method.schedule(held, sizes).transfer["joint"].passes == pytest.approx(14 + 4 * (64 + 30 + 10 + 10) / 10)
    pre = hp("tawt_pre_w", batch_size=10, rounds=5, transfer_epochs=1, max_updates=0, head_epochs=2)
    found = Method.schedule(pre, sizes)
    # the forward passes of two epochs of the target's head before each
    assert found.transfer["pre"].passes == pytest.approx(13 + 4 * ((64 + 30 + 20) / 10 + 2 * 2 * FORWARD))
    assert found.adapt["finetune"].updates == 4 * 2
    exact = replace(joint, dissimilarity="exact", cg_iterations=7)
    more = Method.schedule(exact, sizes).transfer["joint"].passes - length.passes
    assert more == pytest.approx(4 * 7 * (1 + HESSIAN_PRODUCT) * (64 + 30 + 20) / 10)
    # weights that stay cost nothing
    assert Method.schedule(hp("tawt_joint", batch_size=10, transfer_epochs=1), sizes).cost.passes == updates
    distance = Method.schedule(replace(pre, distance=True), sizes)
    assert list(distance.transfer) == ["own", "pre"]
    assert distance.transfer["own"].updates == distance.transfer["pre"].updates == 13
    # the target's features, once for either encoder
    assert distance.cost.passes == pytest.approx(found.cost.passes + 13 + 2 * 2 * FORWARD)
    fixed = Method.schedule(hp("tawt_fixed", batch_size=10, rounds=5, transfer_epochs=1), sizes).transfer
    assert (fixed["joint"].passes, fixed["fixed"].passes) == (pytest.approx(length.passes), updates)


@pytest.mark.parametrize(
    ("updates", "rounds", "after"), [(6, 3, [2, 4]), (7, 3, [3, 6]), (4, 9, [1, 2, 3]), (5, 1, []), (1, 4, [])]
)
def test_rounds(updates: int, rounds: int, after: list[int]) -> None:
    """The weights are updated between two rounds, never behind the last."""
    made = after_updates(method(rounds=rounds, min_updates=updates, max_updates=updates))
    facts = made.facts()["omega"]
    assert facts["after"] == [0, *after]
    assert len(facts["multiplier"]) == 1 + len(after)
    times = (made.length["joint"].passes - updates) / made.hp.update_passes(made.setup.sizes)
    assert times == pytest.approx(len(after))


# ---------------------------------------------------------------------------------------------------------------------
# W workers


@pytest.mark.parametrize(
    ("variant", "more"),
    [
        ("tawt_joint_w", {"mean_over": "sentences"}),
        ("tawt_pre_w", {"held_out": 0.3, "subsets": 2, "subset": 4}),
        ("tawt_joint_w", {"dissimilarity": "exact", "cg_iterations": 3, "damping": 20.0, "eta": 0.1}),
    ],
    ids=["joint", "pre", "exact"],
)
@pytest.mark.parametrize("size", [2, 3])
def test_workers_compute_what_one_computes_on_words(variant: str, more: dict[str, Any], size: int) -> None:
    """Sentences of different lengths, three tasks of different sizes, and batches of two: a third rank has none."""
    tasks = suite("tag_")
    for name, task in tasks.items():
        cut = [
            replace(e, tokens=e.tokens[: 3 + i % 5], label=e.label[: 3 + i % 5])
            for i, e in enumerate(task.splits["train"])
        ]
        tasks[name] = replace(task, splits={**task.splits, "train": tuple(cut)})

    def run(workers: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
        made = method(variant, tasks=tasks, workers=workers, batch_size=2, max_updates=6, rounds=3, **more)
        after_updates(made)
        return state_of(made), made.facts()

    ((wanted, facts),) = simulate(1, run)
    assert len(facts["omega"]["multiplier"]) == 3
    for state, said in simulate(size, run):
        assert_same_state(state, wanted, 1e-10)
        assert_close_json(said, facts, 1e-10)


def test_cosines_are_those_of_sums_over_ranks() -> None:
    """A mean of the ranks' own cosines would be another number."""
    alone = started(method(batch_size=6, dropout=0.0, subset=12))
    with without_dropout(alone):
        wanted = alone.dissimilarities(0, {})

    def run(workers: Any) -> tuple[Tensor, Tensor]:
        made = started(method(batch_size=6, dropout=0.0, subset=12, workers=workers))
        made.eval()
        phi = list(made.phi.values())
        own, other = (local_gradient(made.mean_loss(made.subset(t, 0)[0]), phi) for t in (0, 1))
        flat = [
            torch.cat(
                [torch.zeros_like(p).flatten() if d is None else d.flatten() for p, d in zip(phi, g, strict=True)]
            )
            for g in (own, other)
        ]
        return made.dissimilarities(0, {}), torch.nn.functional.cosine_similarity(*flat, dim=0)

    both = simulate(2, run)
    for found, _ in both:
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    assert abs(float(sum(c for _, c in both)) / 2 - float(wanted[1])) > 1e-3


def test_one_record_on_three_workers_with_fixed_weights() -> None:
    suite = ("planted/tag_target", "planted/tag_source")
    spec = spec_of("tawt_fixed", suite=suite, target=suite[0], eta=3.0)
    alone = ran(spec)
    for rank in ran_by(spec, 3):
        assert_close_json(rank.record, alone.record, 1e-9)
        assert_same_state(rank.state, alone.state, 1e-9)
        assert_same_answers(rank.outcome, alone.outcome)


# ---------------------------------------------------------------------------------------------------------------------
# what it finds


@pytest.mark.parametrize("seed", [1, *(pytest.param(s, marks=pytest.mark.full) for s in (2, 3))])
@pytest.mark.parametrize("variant", ["tawt_pre_w", "tawt_joint_w"])
def test_related_sources_gain_weight_and_unrelated_ones_lose_it(variant: str, seed: int) -> None:
    """Sources that keep all, half and none of the words' meanings; in joint training the target's weight stays."""
    n = 180
    knobs = {"all": 1.0, "half": 0.5, "none": 0.0}
    tasks = {"target": planted("target", n_train=n)} | {
        name: planted("source", relatedness=r, n_train=n) for name, r in knobs.items()
    }
    setting = {"lr": 3e-3, "batch_size": 16, "feature": "mean", "eta": 3.0, "subset": n, "rounds": 6, "seed": seed}
    made = method(variant, tasks=tasks, min_updates=90, max_updates=90, head_epochs=4, target_weight="kept", **setting)
    facts = after_updates(made).facts()["omega"]
    first, last = (dict(zip(facts["tasks"], facts["multiplier"][i], strict=True)) for i in (0, -1))
    assert last["all"] > 1.5 * first["all"]
    assert last["none"] < 0.5 * first["none"]
    assert last["half"] < last["all"]
    if variant == "tawt_pre_w":  # monotone in the knob
        assert last["all"] > last["half"] > last["none"]


# ---------------------------------------------------------------------------------------------------------------------
# bad input


def test_no_source_is_refused() -> None:
    alone = {"target": planted("target", **SIZES)}
    for variant in ("tawt_pre", "tawt_joint_w"):
        with pytest.raises(DataError, match="needs two tasks"):
            method(variant, tasks=alone)
        with pytest.raises(DataError, match="needs two tasks"):
            Method.admit(hp(variant), 2, alone)


def test_one_source() -> None:
    tasks = {t: task for t, task in suite().items() if t != "other"}
    assert Method.admit(hp("tawt_pre_w"), 2, tasks) == ["one source: its weight is 1 throughout"]
    assert Method.admit(hp("tawt_joint_w"), 2, tasks) == []
    facts = after_updates(method("tawt_pre_w", tasks=tasks)).facts()["omega"]
    assert all(w == [1.0] for w in facts["multiplier"])


def test_an_unseen_target_is_refused_where_it_takes_part() -> None:
    for variant in ("tawt_joint", "tawt_pre_w", "tawt_pre_fixed"):
        with pytest.raises(ConfigError, match="unseen"):
            Method.admit(hp(variant), 2, suite(), "target")
    assert Method.admit(hp("tawt_pre"), 2, suite(), "target") == []


def test_literal_weights() -> None:
    value = catalogue().parameters["tawt"]["omega"].check({"a": 0.25, "b": 0.75})
    assert value == "a > 0.25; b > 0.75"
    assert catalogue().parameters["tawt"]["omega"].check(value) == value
    assert task_weights(value) == {"a": 0.25, "b": 0.75}
    assert task_weights("") == {}
    assert catalogue().variant("tawt_fixed[omega=a > 0.25; b > 0.75]").fixes["omega"] == value
    assert literal_weights(value, ("b", "t", "a"), "t", joint=False).tolist() == [0.75, 0.0, 0.25]
    # written in thirds they need not sum to one to the last digit
    w = literal_weights("a > 0.333333; b > 0.666667", ("a", "b", "t"), "t", joint=False)
    assert float(w.sum()) == 1.0
    for wrong in (
        {"a": 0.5, "b": 0.6},
        {"a": -0.5, "b": 1.5},
        {"a": "much"},
        {"a": [0.5, 0.5]},
        "a",
        3,
        {"a": math.nan},
    ):
        with pytest.raises(ValueError, match="sum to one"):
            catalogue().parameters["tawt"]["omega"].check(wrong)


def test_literal_weights_that_do_not_match_the_tasks_are_refused() -> None:
    tasks = suite()
    for joint, omega, said in (
        (False, "source > 0.5; other > 0.4; sorce > 0.1", "sorce has no weight here — did you mean 'source'"),
        (False, "source > 1.0", "the weight of"),
        (True, "source > 0.5; other > 0.5", "the weight of"),
        (False, "source > 0.5; other > 0.25; target > 0.25", "has no weight here"),
    ):
        variant = "tawt_fixed" if joint else "tawt_pre_fixed"
        for refused in (
            lambda variant=variant, omega=omega: Method.admit(hp(variant, omega=omega), 2, tasks),
            lambda variant=variant, omega=omega: method(variant, tasks=tasks, omega=omega),
        ):
            with pytest.raises(ConfigError) as e:
                refused()
            assert said in str(e.value)
            # in joint training the same is wanted whatever the target is
            assert len(e.value.problems) == 1 or not joint
    # weights that fit one choice of the target are admitted, and refused where another one is trained for
    fits = hp("tawt_pre_fixed", omega="target > 0.5; other > 0.5")
    assert Method.admit(fits, 2, tasks) == []
    with pytest.raises(ConfigError, match="target target"):
        method("tawt_pre_fixed", tasks=tasks, omega="target > 0.5; other > 0.5")
    assert method("tawt_pre_fixed", tasks=tasks, omega="target > 0.5; other > 0.5", target=1)


def test_zero_gradients_leave_weights_alone_and_are_told() -> None:
    """A head of zeros sends nothing into the encoder."""
    for zero, unchanged in ((1, ["source"]), (0, ["target", "source", "other"])):
        made = started(method(rounds=4, max_updates=4, eta=2.0))
        with torch.no_grad():
            made.encoder.head(zero).weight.zero_()
        made.update_weights(0)
        facts = made.facts()["omega"]
        assert facts["undefined"] == {name: [1] for name in unchanged}
        before, after = facts["multiplier"]
        for name, a, b, cos in zip(facts["tasks"], before, after, facts["cosine"][0], strict=True):
            assert (cos is None) == (name in unchanged)
            assert (a == b) == (name in unchanged)
        assert sum(after) == pytest.approx(1, abs=1e-15)


def test_a_frozen_encoder_has_no_gradient_to_learn_from() -> None:
    made = after_updates(method(kind="tag_", freeze="2"))
    facts = made.facts()["omega"]
    assert set(facts["undefined"]) == {"target", "source", "other"}
    assert all(w == facts["multiplier"][0] for w in facts["multiplier"])


def test_a_gradient_that_is_no_number_ends_the_training() -> None:
    made = started(method())
    with torch.no_grad():
        made.encoder.head(1).bias.fill_(math.nan)
        made.encoder.head(1).weight.fill_(math.nan)
    with pytest.raises(FloatingPointError, match="diverged"):
        made.update_weights(0)


def test_a_tag_that_train_lacks_and_sentences_without_words() -> None:
    labels = ("O", "B-x", "I-x", "B-never")

    def sentence(i: int) -> Example:
        return Example(("O", "B-x", "I-x", "O"), tokens=tuple(WORDS[(i * 7 + k) % 200] for k in range(4)))

    def task(name: str) -> Task:
        splits = {s: tuple(sentence(i + 50 * k) for i in range(9)) for k, s in enumerate(("train", "dev", "test"))}
        return Task(
            name=name, form="tagging", labels=labels, splits=splits, metric="span_f1", length=64, source="", licence=""
        )

    tasks = {"t": task("t"), "s": planted("tag_source", **SIZES)}
    for variant in ("tawt_joint_w", "tawt_pre_w"):
        made = after_updates(method(variant, tasks=tasks))
        assert all(torch.isfinite(v).all() for v in made.state_dict().values())
        assert made.encoder.head(0).out_features == 4


def test_one_target_example_cannot_be_held_out() -> None:
    tasks = {**suite(), "target": planted("target", **{**SIZES, "n_train": 1})}
    with pytest.raises(DataError, match="needs two"):
        method(tasks=tasks, held_out=0.1)
    assert started(method(tasks=tasks))
