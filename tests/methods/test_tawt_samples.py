"""Sample-weighted TAWT: products of gradients in one pass, steps on the simplex, the same on any number of workers."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from cells import VECTORS, assert_close_json, assert_same_state, method_over, planted, ran, ran_by, spec_of
from torch import Tensor

from raystudy.catalogue import catalogue
from raystudy.data.plm import resolve
from raystudy.errors import ConfigError, DataError
from raystudy.methods import BACKWARD, FORWARD, FORWARD_MODE, Sizes, hparams, tawt_samples
from raystudy.methods.tawt_samples import HParams, Method
from raystudy.nn.gradients import dot, local_gradient
from raystudy.tasks import Task
from raystudy.workers import simulate

WEIGHTED = ("tawt_samples_joint_w", "tawt_samples_pre_w")
KINDS = {"vector_": "mlp:16", "": "tiny", "tag_": "tiny"}


def tasks(kind: str = "vector_") -> dict[str, Task]:
    return {"target": planted(f"{kind}target", n_train=9), "source": planted(f"{kind}source", n_train=14)}


def method(variant: str = WEIGHTED[0], kind: str = "vector_", **kw: Any) -> Method:
    made = method_over(tasks(kind), variant, plm=resolve(KINDS[kind]), **kw)
    assert isinstance(made, Method)
    return made


def by_loop(m: Method) -> Tensor:
    """<grad L_0, grad l_i> of every weighted example, one backward pass for each."""
    corpus, target = m.setup.corpus, m.setup.target
    phi = list(m.phi.values())
    everything = [np.array([[t, i]]) for t, n in enumerate(m.pooled) for i in range(n)]
    m.eval()
    own = corpus.batch(np.array([[target, i] for i in range(corpus.sizes[target])]))
    v = local_gradient(m.losses(own).sum() / own.divisor, phi)
    batches = [corpus.batch(row) for row in everything]
    scale = len(batches) / sum(int(b.units.sum()) for b in batches)
    return torch.stack([scale * dot(v, local_gradient(m.losses(b).sum(), phi)) for b in batches])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", WEIGHTED)
def test_products_are_those_of_a_loop_of_backward_passes(variant: str, kind: str) -> None:
    m = method(variant, kind)
    products = m.products(m.target_gradient())
    assert products.shape == (23 if variant == WEIGHTED[0] else 14,)
    torch.testing.assert_close(products, by_loop(m), rtol=0, atol=1e-12)
    assert products.abs().max() > 1e-6


@pytest.mark.parametrize("size", [2, 3])
def test_products_on_several_workers(size: int) -> None:
    alone = method()
    expected = alone.products(alone.target_gradient())
    for found in simulate(size, lambda w: (m := method(workers=w)).products(m.target_gradient())):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_all_products_are_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    m, passes = method(), []
    original = tawt_samples.derivative_along
    monkeypatch.setattr(tawt_samples, "derivative_along", lambda *args: passes.append(1) or original(*args))
    m.products(m.target_gradient())
    assert passes == [1]


def test_a_step_follows_eq_2_8_and_stays_on_the_simplex() -> None:
    m = method(eta=3.0)
    products = m.products(m.target_gradient())
    for number in (1, 2):
        before = m.omega.clone()
        m.weigh(number)
        assert m.omega.sum() == pytest.approx(1, abs=1e-12) and (m.omega > 0).all()
        ratio = (m.omega / before)[:, None] / (m.omega / before)[None]
        wanted = (3.0 * 5.0 * (products[:, None] - products[None])).exp()  # phi has not moved
        torch.testing.assert_close(ratio, wanted, rtol=1e-9, atol=0)
    # an example whose gradient points where the target's points gains on one whose does not
    assert m.omega[products.argmax()] == m.omega.max() and m.omega[products.argmin()] == m.omega.min()
    assert m.history[:2, :2].sum(1).tolist() == pytest.approx([1, 1])


def test_without_a_step_weights_stay_and_training_is_plain() -> None:
    for variant, plain in zip(WEIGHTED, ("tawt_samples_joint", "tawt_samples_pre"), strict=True):
        a = ran(spec_of(variant, suite=VECTORS, target=VECTORS[0], eta=0.0))
        b = ran(spec_of(plain, suite=VECTORS, target=VECTORS[0]))
        n = len(a.state["omega"])
        torch.testing.assert_close(a.state["omega"], torch.full((n,), 1 / n, dtype=torch.float64), rtol=0, atol=1e-15)
        body = [k for k in a.state if k.startswith("encoder.body")]
        assert_same_state({k: a.state[k] for k in body}, {k: b.state[k] for k in body}, 1e-12)


def test_plain_joint_training_is_multi_task_learning() -> None:
    a = ran(spec_of("tawt_samples_joint", suite=VECTORS, target=VECTORS[0], warmup=0.5))
    b = ran(spec_of("multi_task[sampler=epochs]", suite=VECTORS, target=VECTORS[0], warmup=0.5, weight_decay=0, clip=0))
    assert_same_state({k: a.state[k] for k in b.state}, b.state, 1e-12)


def test_weights_multiply_the_losses() -> None:
    m = method("tawt_samples_joint")
    batch = m.setup.corpus.batch(np.array([[0, 3], [1, 2], [1, 5]]))
    m.eval()
    losses = m.losses(batch).detach()
    torch.testing.assert_close(m.loss(batch).detach(), losses.mean())
    m.omega.zero_()
    m.omega[[3, 11, 14]] = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    wanted = 23 * (losses * torch.tensor([0.5, 0.25, 0.25])).sum() / 3
    torch.testing.assert_close(m.loss(batch).detach(), wanted)


def test_a_target_without_a_gradient_leaves_the_weights() -> None:
    m = method()
    with torch.no_grad():
        for p in m.encoder.head(0).parameters():
            p.zero_()
        m.encoder.body.layer.weight.zero_()  # every example looks alike, and the head says nothing of phi
    before = m.omega.clone()
    m.weigh(1)
    torch.testing.assert_close(m.omega, before, rtol=0, atol=1e-15)


def test_f0_learns_on_a_frozen_representation() -> None:
    m = method("tawt_samples_pre_w", lr=1e-2, head_epochs=20)
    own = m.setup.corpus.batch(np.array([[0, i] for i in range(9)]))
    before = {k: v.clone() for k, v in m.state_dict().items()}
    loss = float(m.losses(own).sum().detach())
    m.train_f0(1)
    assert float(m.losses(own).sum().detach()) < loss
    changed = {k for k, v in m.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"encoder.heads.0.weight", "encoder.heads.0.bias"}
    assert all(p.grad is None for p in m.parameters())


def test_mislabelled_examples_lose_weight() -> None:
    """The source is the target with its own vectors; a half of its labels is moved on by one class."""
    target = planted("vector_target", n_train=60, length=12)
    names = target.labels
    wrong = [
        dataclasses.replace(e, label=names[(names.index(str(e.label)) + (i % 2)) % len(names)])
        for i, e in enumerate(target.splits["train"])
    ]
    source = dataclasses.replace(target.with_splits(train=wrong), name="planted/noisy")
    settings = {"lr": 1e-2, "batch_size": 60, "max_updates": 60, "rounds": 10, "eta": 3.0}
    m = method_over({"a": target, "b": source}, "tawt_samples_joint_w", plm=resolve("mlp:32"), **settings)
    (stage,) = m.transfer()
    stage.start()
    for step in range(stage.length.updates):
        stage.update(step, stage.draw(step))
        if (step + 1) % stage.after_every == 0 and stage.after is not None:
            stage.after(step)
    right, moved = m.omega[60::2].sum(), m.omega[61::2].sum()
    assert right > 1.15 * moved


@pytest.mark.parametrize("variant", WEIGHTED)
@pytest.mark.parametrize("size", [2, 3])
def test_workers_compute_what_one_computes(variant: str, size: int) -> None:
    spec = spec_of(variant, suite=VECTORS, target=VECTORS[0])
    alone = ran(spec)
    assert alone.state["omega"].std() > 0
    for rank in ran_by(spec, size):
        assert_close_json(rank.record, alone.record, 1e-10)
        assert_same_state(rank.state, alone.state, 1e-10)


def test_record_has_every_tasks_weight_at_every_step() -> None:
    facts = ran(spec_of(WEIGHTED[0], suite=VECTORS, target=VECTORS[0])).record["facts"]["sample_weights"]
    assert {len(w) for w in facts["of_task"].values()} == {5} == {len(facts["effective_examples"])}
    assert np.sum([*facts["of_task"].values()], 0) == pytest.approx(1)
    assert facts["effective_examples"][0] == 44 > facts["effective_examples"][-1]


def test_costs() -> None:
    sizes = Sizes({"a": 10, "b": 90}, "a")
    hp = hparams(HParams, {**catalogue().resolve(WEIGHTED[0]), "batch_size": 10, "transfer_epochs": 8, "rounds": 4})
    length = Method.schedule(hp, sizes).transfer["joint"]
    assert length.updates == 80
    step = (FORWARD + BACKWARD) * 10 + FORWARD_MODE * 100
    assert length.passes == pytest.approx(80 + 4 * step / 10)
    pre = dataclasses.replace(hp, paradigm="pre_training")
    assert Method.schedule(pre, sizes).transfer["pre_training"].updates == 72
    assert list(Method.schedule(pre, sizes).adapt) == ["finetune"]


def test_refusals_and_what_is_said() -> None:
    hp = hparams(HParams, catalogue().resolve(WEIGHTED[0]))
    assert Method.admit(hp, 1, tasks()) == []
    assert "plain attention" in Method.admit(hp, 2, tasks(""))[0]
    assert Method.exact(hp) and not Method.exact(dataclasses.replace(hp, weighting="constant"))
    with pytest.raises(DataError, match="needs a task beside the target"):
        Method.admit(hp, 1, {"a": planted("vector_target")})
    with pytest.raises(ConfigError, match="but target is unseen"):
        Method.admit(hp, 1, tasks(), "target")
    constant = dataclasses.replace(hp, weighting="constant", paradigm="pre_training")
    assert Method.admit(constant, 1, tasks(), "target") == []
