"""Adapters and their fusion: their limits, by hand, and inside BERT and ALBERT."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_encoder import albert, batch_for  # noqa: F401  the fixture
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from raystudy.data.plm import PLM, resolve
from raystudy.data.text import tokenizer
from raystudy.nn.adapters import Adapters, Bottleneck, Fusion
from raystudy.nn.encoder import Body


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def adapters(body: Body, count: int = 2, dropout: float = 0.0) -> Adapters:
    """Adapters whose weights are far from zero, so that what they do shows."""
    made = Adapters(count, body.depth, body.hidden, 4, dropout).to(body.anchor)
    with torch.no_grad():
        for i, p in enumerate(made.parameters()):
            p.copy_(0.3 * torch.randn(p.shape, generator=generator(i)))
    return made


@pytest.fixture(params=["bert", "albert"])
def body(request: pytest.FixtureRequest, albert: PLM) -> Body:  # noqa: F811
    plm = resolve("tiny") if request.param == "bert" else albert
    return Body(plm, dropout=0.0, precision="fp64").eval()


def model(body: Body) -> PLM:
    return resolve("tiny") if body.depth == 2 else resolve(body.model.config._name_or_path)


def filled(name: str, shape: torch.Size) -> Tensor:
    """Weights that another program can make from the parameter's name alone."""
    wave = torch.sin(0.7 * torch.arange(shape.numel(), dtype=torch.float64) + sum(map(ord, name))).reshape(shape)
    return (0.4 * wave + ("LayerNorm.weight" in name)).float()


def test_the_adapters_library_computes_the_same(tmp_path: Path) -> None:
    """What `adapters` computed with these weights, under its own ``seq_bn`` and its own fusion.

    In ``adapters_library.json``: the last layer's states of two texts of five pieces, without adapters, with the second
    of two and with both fused, and the regularisation that it adds to the loss. Its adapters stand at
    ``output.adapters``, ours have the names of this module; its numbers are rounded to nine decimals.
    """
    said = json.loads((Path(__file__).with_name("adapters_library.json")).read_text())
    tok = tokenizer(resolve("tiny"))
    model = BertModel(BertConfig(**{**said["config"], "vocab_size": len(tok)}))
    for name, p in model.named_parameters():
        p.data = filled(name, p.shape)
    model.save_pretrained(tmp_path)
    tok.save_pretrained(tmp_path)
    body = Body(resolve(str(tmp_path)), dropout=0.0, precision="fp64").eval()
    made = Adapters(2, body.depth, body.hidden, 1, 0.0).to(body.anchor)
    for name, p in made.named_parameters():
        p.data = filled(name, p.shape).double()
    ids = torch.tensor(said["input_ids"])
    n = ids.numel()
    zero = torch.zeros(n, dtype=torch.long)
    offsets = torch.tensor([0, n // 2, n])
    batch = replace(batch_for(resolve("tiny")), ids=ids.reshape(-1), types=zero, offsets=offsets)
    body.inside = made
    for active, key in ((None, "without"), (1, "alone"), ("fused", "fused")):
        made.use(active)
        with torch.no_grad():
            (states,) = body(batch)
        torch.testing.assert_close(states, torch.tensor(said[key], dtype=torch.float64), rtol=0, atol=2e-9)
    assert 0.01 * made.regulariser().item() == pytest.approx(said["regularisation"], rel=1e-9)


def test_adapter_by_hand() -> None:
    a = Bottleneck(2, 1).double()
    with torch.no_grad():
        a.down.weight.copy_(torch.tensor([[2.0, -1.0]]))
        a.down.bias.fill_(0.5)
        a.up.weight.copy_(torch.tensor([[3.0], [-1.0]]))
        a.up.bias.copy_(torch.tensor([0.25, 0.0]))
    z = torch.tensor([[1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)
    # 2 - 1 + 0.5 = 1.5; -2 - 1 + 0.5 < 0 is cut to 0
    assert a(z).tolist() == [[4.75, -1.5], [0.25, 0.0]]


def test_fusion_by_hand() -> None:
    f = Fusion(2, 0.0).double()
    with torch.no_grad():
        for linear in (f.query, f.key, f.value):
            linear.weight.copy_(torch.eye(2))
        f.query.bias.zero_()
        f.key.bias.zero_()
        f.value.weight.mul_(2)
    z = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    adapted = torch.tensor([[[torch.log(torch.tensor(3.0)), 0.0], [0.0, 5.0]]], dtype=torch.float64)
    # the scores are log 3 and 0, not divided by sqrt(2), so the weights are 3/4 and 1/4
    expected = 2 * (0.75 * adapted[0, 0] + 0.25 * adapted[0, 1])
    torch.testing.assert_close(f(z, adapted)[0], expected)


def test_values_that_are_the_identity_without_questions_give_the_mean(body: Body) -> None:
    """V = I and Q = K = 0: the layer adds the mean of what its adapters give."""
    made = adapters(body, count=3)
    with torch.no_grad():
        for f in made.fusions:
            assert isinstance(f, Fusion)
            for p in (*f.query.parameters(), *f.key.parameters()):
                p.zero_()
            f.value.weight.copy_(torch.eye(body.hidden))
    assert made.regulariser().item() == 0.0
    body.inside = made
    made.use("fused")
    fused = body(batch_for(model(body)))[0]

    def mean(layer: int, total: Tensor, states: Tensor, norm: nn.LayerNorm) -> Tensor:
        each = [a[layer - 1](states) for a in made.adapters]  # type: ignore[index]
        return norm.forward(total + torch.stack(each).mean(0))

    torch.testing.assert_close(fused, body(batch_for(model(body)), inside=mean)[0], rtol=0, atol=1e-12)


def test_one_adapter_fused_is_that_adapter_alone(body: Body) -> None:
    made = adapters(body, count=1)
    made.fresh_fusion(generator(1))
    with torch.no_grad():
        for f in made.fusions:
            f.value.weight.copy_(torch.eye(body.hidden))  # type: ignore[union-attr, operator]
    body.inside = made
    found = {}
    for active in (0, "fused"):
        made.use(active)
        found[active] = body(batch_for(model(body)))[0]
    torch.testing.assert_close(found[0], found["fused"], rtol=0, atol=1e-12)


def test_adapters_that_give_nothing_change_nothing(body: Body) -> None:
    plain = body(batch_for(model(body)))[0]
    made = adapters(body)
    with torch.no_grad():
        for a in made.adapters.modules():
            if isinstance(a, Bottleneck):
                a.up.weight.zero_()
                a.up.bias.zero_()
    body.inside = made
    for active in (None, 0, 1, "fused"):
        made.use(active)
        torch.testing.assert_close(body(batch_for(model(body)))[0], plain, rtol=0, atol=1e-12)


def test_an_adapter_stands_at_the_end_of_its_layer(body: Body) -> None:
    """LN(y + A(LN(y))) by the layer's own modules; layers before it are as they were."""
    batch, made = batch_for(model(body)), adapters(body)
    seen: dict[int, tuple[Tensor, Tensor]] = {}

    def watching(layer: int, total: Tensor, states: Tensor, norm: nn.LayerNorm) -> Tensor:
        seen[layer] = total, norm.forward(total + made.adapters[0][layer - 1](states))  # type: ignore[index]
        torch.testing.assert_close(norm.forward(total), states, rtol=0, atol=0)
        return states if layer < body.depth else seen[layer][1]

    plain = body(batch, layers=range(1, body.depth + 1))
    layered = body(batch, layers=range(1, body.depth + 1), inside=watching)
    assert sorted(seen) == list(range(1, body.depth + 1))  # each layer once, also where layers share their weights
    for a, b in zip(plain[:-1], layered[:-1], strict=True):
        assert torch.equal(a, b)
    assert torch.equal(layered[-1], seen[body.depth][1][0])
    assert not torch.allclose(layered[-1], plain[-1])
    # nothing stays behind
    assert torch.equal(body(batch)[0], plain[-1])


@pytest.mark.parametrize("active", [0, 1, "fused"])
def test_who_is_trained(body: Body, active: int | str) -> None:
    made = body.inside = adapters(body)
    body.freeze("all")
    made.use(active)
    trained = {n for n, p in body.named_parameters() if p.requires_grad}
    body(batch_for(model(body)))[0].square().sum().backward()
    reached = {n for n, p in body.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    of = "inside.fusions" if active == "fused" else f"inside.adapters.{active}."
    assert trained
    assert all(n.startswith(of) for n in trained)
    # a constant added to all keys changes no weight, so b_K alone may have no gradient
    assert {n for n in trained if "key.bias" not in n} <= reached <= trained


def test_how_they_start() -> None:
    body = Body(resolve("tiny"))
    made = Adapters(2, body.depth, body.hidden, 4, 0.0)
    made.fresh_adapter(0, generator(3))
    made.fresh_adapter(1, generator(3))
    made.fresh_fusion(generator(4))
    for name, p in made.named_parameters():
        if name.endswith("bias"):
            assert not p.any(), name
    assert all(
        torch.equal(a, b) for a, b in zip(made.adapters[0].parameters(), made.adapters[1].parameters(), strict=True)
    )
    drawn = torch.cat([p.flatten() for n, p in made.named_parameters() if n.endswith("weight") and "value" not in n])
    assert drawn.std().item() == pytest.approx(0.02, rel=0.05)
    n = body.hidden
    assert made.regulariser().item() == pytest.approx(body.depth * n * (n - 1) * 1e-12, rel=1e-4)


@contextmanager
def dropped(module: nn.Module) -> Iterator[list[Any]]:
    seen: list[Any] = []
    handle = module.register_forward_hook(lambda m, args, out: seen.append((args[0], out)))
    yield seen
    handle.remove()


def test_dropout_acts_on_the_scores() -> None:
    f = Fusion(8, 0.5).train()
    z, adapted = torch.randn(20, 8), torch.randn(20, 3, 8)
    with dropped(f.dropout) as seen:
        f(z, adapted)
    ((scores, kept),) = seen
    assert scores.shape == (20, 3)
    assert ((kept == 0) | (kept == 2 * scores)).all()
