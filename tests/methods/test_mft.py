"""MFT against its equations: typicality by hand, domain corruption, its ablations and limits."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from cells import CELL, DOMAINS, method_over, planted, ran, spec_of
from scipy.stats import chisquare
from torch import Tensor

from raystudy.errors import ConfigError, DataError
from raystudy.methods import mft
from raystudy.methods.mft import Method, corrupted, typicality
from raystudy.nn.prototypes import class_means, sub_prototypes
from raystudy.workers import simulate

NAN = float("nan")


def vectors(*rows: tuple[float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def random(
    seed: int, domains: int = 3, classes: int = 2, n: int = 9
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    g = torch.Generator().manual_seed(seed)
    e = [torch.randn(n, 4, generator=g, dtype=torch.float64) for _ in range(domains)]
    y = [torch.arange(n) % classes for _ in range(domains)]
    return e, y, [class_means(ei, yi, classes) for ei, yi in zip(e, y, strict=True)]


# ---------------------------------------------------------------------------------------------------------------------
# typicality


def test_typicality_by_hand() -> None:
    # two domains, two classes each: x lies on the prototype of its class in its own domain, 60 degrees off the other
    here, there = vectors((1, 0), (0, 1)), vectors((0.5, math.sqrt(0.75)), (-1, 0))
    e, y = [vectors((2, 0), (0, 3)), vectors((1, 0))], [torch.tensor([0, 1]), torch.tensor([0])]
    first, second = typicality(e, y, [here, there], 0.5)
    assert first.tolist() == pytest.approx([(1 + 0.5) / 2, (1 + 0) / 2], abs=1e-12)
    assert second.tolist() == pytest.approx([(0.5 + 1) / 2], abs=1e-12)


def test_limits_of_alpha() -> None:
    e, y, c = random(0)
    cos = [[torch.cosine_similarity(ei, ck[yi], dim=-1) for ck in c] for ei, yi in zip(e, y, strict=True)]
    for k, t in enumerate(typicality(e, y, c, 1.0)):
        torch.testing.assert_close(t, cos[k][k])
    for k, t in enumerate(typicality(e, y, c, 0.0)):
        torch.testing.assert_close(t, (sum(cos[k]) - cos[k][k]) / 2)
    # two domains: the average of exactly two cosines
    for k, t in enumerate(typicality(e[:2], y[:2], c[:2], 0.5)):
        torch.testing.assert_close(t, (cos[k][0] + cos[k][1]) / 2)


def test_the_order_of_other_domains_does_not_matter() -> None:
    e, y, c = random(1, domains=4)
    there = typicality(e, y, c, 0.3)[0]
    order = [0, 3, 1, 2]
    again = typicality([e[k] for k in order], [y[k] for k in order], [c[k] for k in order], 0.3)[0]
    torch.testing.assert_close(there, again)


def test_classes_are_matched_by_their_words() -> None:
    e, y, c = random(2)
    plain = typicality(e, y, c, 0.5, [("bad", "good")] * 3)
    # the second domain lists its classes the other way round
    turned = [y[0], 1 - y[1], y[2]], [c[0], c[1].flip(0), c[2]]
    other = typicality(e, *turned, 0.5, [("bad", "good"), ("good", "bad"), ("bad", "good")])
    for a, b in zip(plain, other, strict=True):
        torch.testing.assert_close(a, b)
    for cross in ("mean", "cosines"):
        a = typicality(e, y, c, 0.5, cross=cross)
        b = typicality(e, *turned, 0.5, [("bad", "good"), ("good", "bad"), ("bad", "good")], cross=cross)
        torch.testing.assert_close(a[0], b[0])


def test_a_domain_without_the_class() -> None:
    e, y, c = random(3)
    cos = torch.cosine_similarity
    # its words are not among the task's: the mean cosine to all of that task's prototypes (Meta-FT*, our reading)
    t = typicality(e[:2], y[:2], c[:2], 0.0, [("bad", "good"), ("yes", "no")])[0]
    torch.testing.assert_close(t, (cos(e[0], c[1][0], dim=-1) + cos(e[0], c[1][1], dim=-1)) / 2)
    # its words are, but no example: that domain takes no part; with no other domain left, t is the first cosine
    empty = [c[0], torch.where(torch.tensor([[True], [False]]), c[1], NAN), c[2]]
    t = typicality(e, y, empty, 0.0)[0]
    good, bad = y[0] == 1, y[0] == 0
    torch.testing.assert_close(t[good], cos(e[0], c[2][y[0]], dim=-1)[good])
    torch.testing.assert_close(t[bad], typicality(e, y, c, 0.0)[0][bad])
    alone = typicality(e[:1], y[:1], c[:1], 0.0)[0]
    torch.testing.assert_close(alone, cos(e[0], c[0][y[0]], dim=-1))


def test_mean_of_cosines_is_not_the_cosine_to_the_mean() -> None:
    e, y = [vectors((1, 0)), vectors((1, 0)), vectors((0, 1))], [torch.tensor([0])] * 3
    c = [vectors((1, 0)), vectors((1, 0)), vectors((0, 1))]
    cosines, mean = (typicality(e, y, c, 0.0, cross=how)[0].item() for how in ("cosines", "mean"))
    assert cosines == pytest.approx(0.5)
    assert mean == pytest.approx(math.sqrt(0.5))


def test_several_prototypes() -> None:
    e, y, c = random(4, n=12)
    one = [sub_prototypes(ei, yi, 2, 1) for ei, yi in zip(e, y, strict=True)]
    for a, b in zip(typicality(e, y, one, 0.5), typicality(e, y, c, 0.5), strict=True):
        torch.testing.assert_close(a, b)  # J = 1 is the plain t
    many = [sub_prototypes(ei, yi, 2, 3) for ei, yi in zip(e, y, strict=True)]
    soft, sharp = (typicality(e, y, many, 1.0, temperature=T)[0] for T in (1e9, 1e-6))
    all_of = torch.stack([torch.cosine_similarity(e[0], many[0][y[0], j], dim=-1) for j in range(3)])
    torch.testing.assert_close(soft, all_of.mean(0))  # memberships all alike
    torch.testing.assert_close(sharp, all_of.amax(0))  # the nearest alone
    # a class of one example has one prototype; the others do not exist and take no part
    few = sub_prototypes(e[0][:3], torch.tensor([0, 0, 1]), 2, 3)
    assert few.isnan().all(-1).sum(1).tolist() == [1, 2]
    assert not typicality([e[0][:3]], [torch.tensor([0, 0, 1])], [few], 1.0)[0].isnan().any()


def test_literal_memberships_are_over_the_classes() -> None:
    e, y, c = random(5, domains=2)
    cos = [torch.stack([torch.cosine_similarity(e[0], ck[n], dim=-1) for n in range(2)], -1) for ck in c]
    b = torch.softmax(cos[0] / 0.2, -1)
    expected = 0.5 * (b * cos[0]).sum(-1) + 0.5 * (b * cos[1]).sum(-1)
    torch.testing.assert_close(typicality(e, y, c, 0.5, membership="literal", temperature=0.2)[0], expected)


# ---------------------------------------------------------------------------------------------------------------------
# domain corruption


def test_z_is_a_permutation_of_the_global_batch() -> None:
    k = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2])
    seen = {tuple(corrupted(k, "shuffle", [1, 1, 1], 1, "mft", step).tolist()) for step in range(20)}
    assert all(sorted(z) == sorted(k.tolist()) for z in seen)
    assert len(seen) > 1
    # it may equal k: no derangement
    same = [corrupted(torch.tensor([0, 1]), "shuffle", [1, 1], step)[0].item() == 0 for step in range(200)]
    assert 60 < sum(same) < 140


@pytest.mark.parametrize(("how", "p"), [("uniform", [1 / 3] * 3), ("estimated", [0.5, 0.3, 0.2])])
def test_z_from_a_prior(how: str, p: list[float]) -> None:
    z = torch.cat([corrupted(torch.zeros(50, dtype=torch.long), how, [50, 30, 20], 1, step) for step in range(40)])
    assert chisquare(torch.bincount(z, minlength=3).numpy(), 2000 * np.array(p)).pvalue > 1e-3


def over(**settings: Any) -> tuple[Method, Any, Any]:
    """MFT over three domains, its stage entered; returns it, the stage and the first draw."""
    tasks = {f"planted/domain_{k}": planted(f"domain_{k}") for k in (1, 2, 3)}
    method = method_over(tasks, "mft", **{"batch_size": 12, **settings})
    assert isinstance(method, Method)
    method.constants = method.compute_constants()
    (stage,) = method.transfer()
    stage.start()
    return method, stage, stage.draw(0)


def test_z_and_gradients_are_those_of_one_worker() -> None:
    _, _, (batch, z) = over()
    assert sorted(z[:, 0].tolist()) == sorted(batch.task.tolist())

    def gradients(workers: Any) -> Tensor:
        tasks = {f"planted/domain_{k}": planted(f"domain_{k}") for k in (1, 2, 3)}
        m = method_over(tasks, "mft", workers=workers, batch_size=12)
        m.constants = m.compute_constants()
        (stage,) = m.transfer()
        stage.start()
        drawn = stage.draw(0)
        assert torch.equal(drawn[1], z)
        m.loss(drawn).backward()  # type: ignore[operator]
        g = [p.grad if p.grad is not None else torch.zeros_like(p) for p in m.parameters()]
        return workers.sum(torch.cat([x.reshape(-1) for x in g]))  # type: ignore[no-any-return]

    (alone,) = simulate(1, gradients)
    for size in (2, 3, 5):
        for other in simulate(size, gradients):
            torch.testing.assert_close(other, alone, rtol=0, atol=1e-10)


def test_corruption_loss_of_heads_that_know_only_a_prior() -> None:
    method, _, (batch, z) = over()
    log_pi = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
    with torch.no_grad():
        for delta in method.delta:
            delta.weight.zero_()
            delta.bias.copy_(log_pi)
    states = method.encoder(batch, method.layers)
    torch.testing.assert_close(method.domain_losses(batch, states, z), -log_pi[z[:, 0]])
    with torch.no_grad():
        for delta in method.delta:
            delta.bias.zero_()
    torch.testing.assert_close(
        method.domain_losses(batch, states, z), torch.full((len(batch),), math.log(3), dtype=torch.float64)
    )


def test_corruption_reaches_the_encoder_and_the_domains_present() -> None:
    method, _, (batch, z) = over()
    only = replace(batch, task=torch.where(batch.task == 2, 1, batch.task))
    method.domain_losses(only, method.encoder(only, method.layers), z).sum().backward()
    body = [p.grad for p in method.encoder.body.model.embeddings.parameters() if p.grad is not None]
    assert any(g.abs().max() > 0 for g in body)  # h_l is not detached
    assert method.domain.weight.grad is not None
    assert method.domain.weight.grad[2].abs().max() == 0
    assert method.domain.weight.grad[:2].abs().amax(1).min() > 0


def test_h_leaves_out_cls() -> None:
    states, offsets = torch.arange(10.0).view(5, 2), torch.tensor([0, 2, 5])
    expected = torch.stack([states[1], states[3:5].mean(0)])
    torch.testing.assert_close(mft._without_first(states, offsets), expected)


# ---------------------------------------------------------------------------------------------------------------------
# ablations and limits


def gradient_of(method: Method, drawn: Any) -> dict[str, Tensor]:
    method.zero_grad()
    method.loss(drawn).backward()
    return {n: p.grad.clone() for n, p in method.named_parameters() if p.grad is not None}


def test_dc_is_full_with_t_of_one() -> None:
    full, _, (batch, z) = over()
    stubbed = gradient_of(full, (batch.weighted(torch.ones_like(batch.weight)), z))
    dc, _, drawn = over(typical=False)
    assert torch.equal(drawn[1], z)
    for name, g in gradient_of(dc, drawn).items():
        torch.testing.assert_close(g, stubbed[name], msg=name)


def test_tw_is_full_with_lambda_zero() -> None:
    full, _, drawn = over()
    full.hp = replace(full.hp, lambda_=0.0)
    there = gradient_of(full, drawn)
    assert all(g.abs().max() == 0 for n, g in there.items() if n.startswith(("delta", "domain")))
    tw, _, same = over(**{"lambda": 0.0})
    here = gradient_of(tw, same)
    assert not any(n.startswith(("delta", "domain")) for n in here)
    for name, g in here.items():
        torch.testing.assert_close(g, there[name], msg=name)


def test_loss_is_a_mean_over_examples_not_over_weights() -> None:
    method, _, (batch, z) = over()
    once, twice = (method.loss((batch.weighted(s * batch.weight), z)).item() for s in (1.0, 2.0))
    assert twice == pytest.approx(2 * once)


def test_further_parameters_are_those_of_the_paper() -> None:
    """|Ls| d K weights: 6,912 at K = 3, |Ls| = 3, d = 768; 11,520 at K = 5. Biases and E_D are beside them."""
    method, _, _ = over(layers="1/2 1")
    d, k = method.encoder.body.hidden, 3
    assert sum(delta.weight.numel() for delta in method.delta) == 2 * d * k
    assert [delta.bias.numel() for delta in method.delta] == [k, k]
    assert method.domain.weight.shape == (k, d)
    assert [3 * 768 * domains for domains in (3, 5)] == [6912, 11520]
    one, _, _ = over(domain_heads="shared")
    assert len(one.delta) == 1


def test_what_is_added_is_dropped() -> None:
    """Fine-tuning starts from a new head, and neither E_D nor the domain heads take part in it."""
    spec = spec_of("mft")
    after = ran(spec).state
    tasks = {name: planted(name.partition("/")[2], **CELL) for name in DOMAINS}
    method = method_over(tasks, "mft", **dict(spec.settings))
    method.constants = method.compute_constants()
    (stage,) = method.transfer()
    stage.start()
    for step in range(stage.length.updates):
        torch.manual_seed(step)
        stage.update(step, stage.draw(step))
    for name in ("domain.weight", "delta.0.weight", "delta.1.bias"):
        torch.testing.assert_close(after[name], method.state_dict()[name], rtol=0, atol=1e-12)


def test_layers_are_resolved_or_refused() -> None:
    tasks = {f"planted/domain_{k}": planted(f"domain_{k}") for k in (1, 2)}
    hp = mft.HParams()
    assert Method.admit(hp, 12, tasks) == ["domain heads at layers 4, 8, 12 of 12"]
    assert Method.admit(hp, 6, tasks) == ["domain heads at layers 2, 4, 6 of 6"]
    with pytest.raises(ConfigError, match="different layers, but '1/3 2/3 1' of 2 are 1, 2, 2"):
        Method.admit(hp, 2, tasks)
    with pytest.raises(ConfigError, match="at most 6"):
        Method.admit(replace(hp, layers="4 8 12"), 6, tasks)
    assert Method.admit(replace(hp, layers="4 8 12", lambda_=0.0), 6, tasks) == []


def test_domains_must_share_their_classes() -> None:
    tasks = {f"planted/{part}": planted(part) for part in ("target", "source")}
    with pytest.raises(DataError, match="the same classes in every domain"):
        Method.admit(mft.HParams(), 12, tasks)
    Method.admit(mft.HParams(heads="own"), 12, tasks)
    with pytest.raises(ConfigError, match="cross: mean"):
        Method.admit(mft.HParams(heads="own", cross="mean"), 12, tasks)
    with pytest.raises(DataError, match="classification"):
        Method.admit(mft.HParams(heads="own"), 12, {"planted/tag_target": planted("tag_target")})


def test_with_the_same_classes_own_heads_see_the_typicality_of_shared_ones() -> None:
    shared, own = over()[0], over(heads="own")[0]
    for name, t in shared.constants.items():
        torch.testing.assert_close(own.constants[name], t)
