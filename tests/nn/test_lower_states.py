"""What frozen lower layers make of a text, computed once: the same as computing it in every pass."""

from __future__ import annotations

import dataclasses
from typing import Any
from unittest.mock import patch

import pytest
import torch
from cells import DOMAINS, places_of, planted, ran, ran_by, spec_of
from checkpoints import checkpoint
from torch import Tensor, nn

from raystudy import train
from raystudy.catalogue import catalogue
from raystudy.data.plm import FAMILIES, PLM, resolve
from raystudy.data.text import Corpus, Encoded, encode
from raystudy.methods import hparams
from raystudy.nn import lower_states
from raystudy.nn.encoder import Body
from raystudy.nn.lower_states import states_key, with_states
from raystudy.plugins import find_module
from raystudy.workers import Alone

CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=sorted(f for f, family in FAMILIES.items() if not family.shared_layers))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PLM:
    """A tiny random model of every family whose lower layers can be frozen, of three layers."""
    return resolve(str(checkpoint(tmp_path_factory.mktemp(request.param), request.param)))


def parts(plm: PLM) -> list[Encoded]:
    """Two tasks of texts of several lengths."""
    return [encode(planted(name, n_train=6), "train", plm) for name in ("target", "source")]


def known(plm: PLM, part: Encoded, layers: int, **numerics: Any) -> Encoded:
    states = lower_states.lower_states(plm, part, layers, Alone(), **numerics)
    return with_states(part, {"states": states}, layers)


@pytest.mark.parametrize(("layers", "exact"), [(1, False), (1, True), (2, False), (3, False)])
def test_a_pass_above_known_states_is_the_whole_pass(family: PLM, layers: int, exact: bool) -> None:
    """States and gradients, whatever the batch, with texts of several tasks."""
    layers = min(layers, family.depth)
    body = Body(family, dropout=0.0, precision="fp64", exact=exact).train()
    body.freeze(str(layers))
    rows = torch.tensor([[0, 1], [1, 3], [0, 0], [1, 2], [0, 5]]).numpy()
    whole = Corpus(tuple(parts(family))).batch(rows)
    above = Corpus(tuple(known(family, p, layers, precision="fp64", exact=exact) for p in parts(family))).batch(rows)
    asked = [*range(layers, body.depth + 1)]
    wanted = body(whole, layers=asked)
    ignored = body(above, layers=asked)  # the body is not told that its lower layers are constant
    assert all(torch.equal(a, b) for a, b in zip(wanted, ignored, strict=True))
    body.constant = layers
    given = body(above, layers=asked)
    for a, b in zip(wanted, given, strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-12)
    torch.testing.assert_close(body(above)[0], wanted[-1], rtol=0, atol=1e-12)
    torch.testing.assert_close(body(above.part(slice(1, 4)))[0], body(whole.part(slice(1, 4)))[0], rtol=0, atol=1e-12)
    if layers == body.depth:
        return
    weights = [p for p in body.parameters() if p.requires_grad]
    gradients = [torch.autograd.grad(s[-1].square().sum(), weights, allow_unused=True) for s in (wanted, given)]
    for a, b in zip(*gradients, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-10)
    assert [*body.state_dict()] == [*Body(family).state_dict()]  # and the model is as it was


def test_what_acts_inside_frozen_layers_has_them_computed() -> None:
    """At the end of a layer below, at that of a frozen one, and above: in each case what the whole pass gives."""
    plm = resolve("tiny")
    body = Body(plm, precision="fp64").eval()
    rows = torch.tensor([[0, 1], [0, 0]]).numpy()
    whole = Corpus((parts(plm)[0],)).batch(rows)
    above = Corpus((known(plm, parts(plm)[0], 1, precision="fp64"),)).batch(rows)
    body.constant = 1

    class Shift(nn.Module):
        lowest = 1

        def forward(self, layer: int, total: Tensor, states: Tensor, norm: nn.Module) -> Tensor:
            return states + layer if layer >= self.lowest else states

    assert torch.equal(body(above, layers=(0, 2))[0], body(whole, layers=(0, 2))[0])
    shift = Shift()
    for shift.lowest in (1, 2):
        torch.testing.assert_close(body(above, inside=shift)[0], body(whole, inside=shift)[0], rtol=0, atol=1e-12)
    assert not torch.equal(body(above, inside=shift)[0], body(whole)[0])
    unsaid = lambda layer, total, states, norm: states + layer  # noqa: E731  may act anywhere
    torch.testing.assert_close(body(above, inside=unsaid)[0], body(whole, inside=unsaid)[0], rtol=0, atol=1e-12)


def test_the_key_is_everything_that_the_states_depend_on(tmp_path_factory: pytest.TempPathFactory) -> None:
    plm, part = resolve("tiny"), encode(planted("target", n_train=6), "train", resolve("tiny"))
    usual: dict[str, Any] = {"precision": "fp32", "exact": False, "device": CPU}

    def key(plm: PLM = plm, part: Encoded = part, layers: int = 1, **numerics: Any) -> str:
        return str(states_key(plm, part, layers, **{**usual, **numerics}))

    other_text = dataclasses.replace(part, ids=part.ids[::-1].copy())
    segments = dataclasses.replace(part, types=1 - part.types)
    shorter = encode(planted("target", n_train=6), "train", plm, 4)
    other_plm = dataclasses.replace(plm, digest="other weights, or another tokenizer")
    keys = [
        key(),
        key(part=other_text),
        key(part=segments),
        key(part=shorter),
        key(plm=other_plm),
        key(layers=2),
        key(precision="fp64"),
        key(precision="bf16"),
        key(exact=True),
        key(device=torch.device("cuda")),
    ]
    assert len({*keys}) == len(keys)
    # labels are no part of it
    assert key(part=dataclasses.replace(part, labels=part.labels + 1, task="another")) == key()


def frozen(variant: str, **settings: Any) -> Any:
    return spec_of(variant, freeze="1", frozen_dropout=False, dropout=0.3, **settings)


def computed() -> Any:
    """While open, nothing is kept: every pass computes all layers."""
    return patch.object(train, "fits", lambda *_: False)


@pytest.mark.parametrize("variant", ["single_task", "meta_ft", "metaxt_rtn"])
def test_single_precision_is_the_same_to_six_digits(variant: str) -> None:
    """In double precision every variant keeps this law to the twelfth (test_contract.py)."""
    spec = frozen(variant, precision="fp32", rtn_layer="1.0", layers="1.0")
    kept = ran(spec)
    with computed():
        whole = ran(spec)
    for name, weight in whole.state.items():
        torch.testing.assert_close(kept.state[name], weight, rtol=0, atol=1e-6, msg=name)


def test_ranks_share_the_work_and_have_the_same() -> None:
    spec = spec_of("multi_task", freeze="1", dropout=0.0)
    alone = ran(spec)
    for rank in ran_by(spec, 2):
        for name, weight in alone.state.items():
            torch.testing.assert_close(rank.state[name], weight, rtol=0, atol=1e-10, msg=name)


def test_training_begins_above_the_states_and_dropout_stays_there() -> None:
    """Other states are another training; and without the setting, frozen layers drop as they always did."""
    spec = frozen("single_task")
    usual, compute = ran(spec), lower_states.lower_states
    train._STATES.clear()
    with patch.object(train, "lower_states", lambda *a, **k: compute(*a, **k).flip(0)):
        other = ran(spec)
    train._STATES.clear()
    assert any(not torch.equal(usual.state[k], other.state[k]) for k in usual.state)
    assert ran(spec).outcome.record.seconds["lower layers"] > 0
    assert "lower layers" not in ran(spec_of("single_task", freeze="1", dropout=0.3)).outcome.record.seconds
    assert "lower layers" in ran(spec_of("single_task", freeze="1", dropout=0.0)).outcome.record.seconds
    method = train.trained(spec, places_of(spec)).method
    drops = {n: m.p for n, m in method.encoder.body.model.named_modules() if isinstance(m, nn.Dropout)}
    assert {p for n, p in drops.items() if n.startswith(("embeddings", "encoder.layer.0"))} == {0.0}
    assert {p for n, p in drops.items() if n.startswith("encoder.layer.1")} == {0.3}


def test_too_many_states_are_not_kept() -> None:
    spec = frozen("single_task")
    kept = ran(spec)
    with patch.object(lower_states, "LARGEST", 10):
        assert train.trained(spec, places_of(spec)).method.setup.corpus.parts[0].states is None
        torch.testing.assert_close(ran(spec).state, kept.state, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("variant", "settings", "layers"),
    [
        ("single_task", {}, 1),
        ("single_task", {"freeze": "1.0"}, 2),
        ("single_task", {"freeze": "none"}, 0),
        ("single_task", {"freeze": "embeddings"}, 0),
        ("single_task", {"frozen_dropout": True}, 0),
        ("single_task", {"frozen_dropout": True, "dropout": 0.0}, 1),
        ("adapter_fusion", {"freeze": "all"}, 0),  # adapters stand in every layer
        ("meta_ft", {"layers": "1 2"}, 1),
        ("meta_ft", {"layers": "1 2", "freeze": "2"}, 1),  # a domain head reads the first layer
        ("meta_ft", {"layers": "2", "freeze": "2"}, 2),
        ("metaxt_rtn", {"rtn_layer": "1", "freeze": "2"}, 0),  # RTN changes what the second layer reads
        ("metaxt_rtn", {"rtn_layer": "2", "freeze": "2"}, 1),
        ("majority", {}, 0),
    ],
)
def test_layers_are_constant_below_what_a_method_does_in_them(
    variant: str, settings: dict[str, Any], layers: int
) -> None:
    method = find_module("methods", catalogue().variant(variant).method)
    own = catalogue().parameters_of(variant)
    values = {"freeze": "1", "frozen_dropout": False, **settings}
    hp = hparams(method.HParams, catalogue().resolve(variant, {k: v for k, v in values.items() if k in own}))
    assert method.Method.constant_layers(hp, resolve("tiny")) == layers


@pytest.mark.parametrize(("variant", "suite"), [("meta_ft", DOMAINS), ("metaxt_rtn", None)])
def test_methods_that_act_in_frozen_layers_are_right(variant: str, suite: Any) -> None:
    """A domain head on the first of two frozen layers, and RTN behind it: computed where they need it."""
    more = {"suite": suite, "target": suite[0]} if suite else {}
    spec = spec_of(variant, freeze="2", frozen_dropout=False, layers="1 2", rtn_layer="1", **more)
    kept = ran(spec)
    with computed():
        torch.testing.assert_close(ran(spec).state, kept.state, rtol=0, atol=1e-12)
