"""The network over vectors keeps the contract of the pre-trained body, and methods train it as they train that."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from cells import (
    VECTORS,
    assert_close_json,
    assert_same,
    assert_same_answers,
    assert_same_state,
    planted,
    ran,
    ran_by,
    spec_of,
)

from raystudy.data.plm import resolve
from raystudy.data.text import Batch, Corpus, encode
from raystudy.errors import PreflightError
from raystudy.nn.embed import embed
from raystudy.nn.encoder import Body, Encoder, untrained_body
from raystudy.nn.mlp import MLP
from raystudy.spec import Spec
from raystudy.workers import Alone

# One of every kind of training and readout: a head per task, a union head, an adversary, adapters, a bilevel step.
TRAINS = ("single_task", "multi_task", "bert_adv_grl", "meta_dtl_wo_label", "adapter_fusion", "metaxt_rtn", "xt")
FLOORS = ("majority", "frozen_logistic")


def spec(variant: str, **more: object) -> Spec:
    return spec_of(variant, suite=VECTORS, target=VECTORS[0], **more)  # type: ignore[arg-type]


def batch(n: int = 5) -> Batch:
    rows = np.stack([np.arange(n) % 2, np.arange(n)], 1)
    parts = (encode(planted(p), "train", resolve("mlp:8")) for p in ("vector_target", "vector_source"))
    return Corpus(tuple(parts)).batch(rows)


def body(seed: int = 1, precision: str = "fp64") -> MLP:
    made = untrained_body(resolve("mlp:8"), 60, seed, precision=precision)
    assert isinstance(made, MLP)
    return made


def test_states_are_the_hidden_layer_of_the_vectors() -> None:
    b, m = batch(), body()
    assert b.vectors is not None and b.vectors.shape == (5, 60)
    x, h = m(b, (0, 1))
    assert torch.equal(x, b.vectors)
    torch.testing.assert_close(h, (b.vectors @ m.layer.weight.T + m.layer.bias).clamp_min(0))
    assert torch.equal(m(b)[0], h)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        m(b, (2,))


@pytest.mark.parametrize("feature", ["pooler", "cls", "mean"])
def test_every_feature_is_the_hidden_state(feature: str) -> None:
    b, m = batch(), body()
    encoder = Encoder(m, (3, 3), ("classification", "classification"), feature)
    (states,) = encoder(b)
    assert torch.equal(encoder.feature(states, b.offsets), states)
    rows = {a.task: a.rows.tolist() for a in encoder.answers(b)}
    assert rows == {0: [0, 2, 4], 1: [1, 3]}


def test_a_part_of_a_batch_has_its_vectors() -> None:
    b = batch()
    assert b.vectors is not None
    part = b.part(slice(1, 3))
    assert part.vectors is not None and torch.equal(part.vectors, b.vectors[1:3])
    assert len(b.part(slice(4, 2))) == 0
    assert torch.equal(b.units, torch.ones(5, dtype=torch.long))


def test_weights_are_those_of_the_seed_in_every_precision() -> None:
    assert torch.equal(body(3).layer.weight, body(3).layer.weight)
    assert not torch.equal(body(3).layer.weight, body(4).layer.weight)
    assert torch.equal(body(3, "fp32").layer.weight, body(3).layer.weight.float())
    trained = body(3)
    with torch.no_grad():
        trained.layer.weight.zero_()
    trained.restart()
    assert torch.equal(trained.layer.weight, body(3).layer.weight)
    assert body(3).layer.weight.abs().max() <= 60**-0.5


@pytest.mark.parametrize(
    ("what", "trains"), [("none", True), ("embeddings", True), ("1", False), ("1/2", False), ("all", False)]
)
def test_freeze_speaks_of_the_one_layer(what: str, trains: bool) -> None:
    m = body()
    m.freeze("all")
    m.freeze(what)
    assert {p.requires_grad for p in m.parameters()} == {trains}


def test_what_is_inside_changes_the_states() -> None:
    m = body()
    m.inside = lambda layer, total, states, norm: norm.forward(total + layer)
    x = batch()
    plain = body()
    torch.testing.assert_close(m(x)[0], (plain.layer(x.vectors) + 1).clamp_min(0))


def test_an_embedding_is_the_vector_or_the_state_of_a_certain_network() -> None:
    plm = resolve("mlp:8")
    part = encode(planted("vector_target"), "train", plm)
    assert part.vectors is not None
    assert torch.equal(embed(plm, part, "mean", Alone()).double(), torch.tensor(part.vectors))
    states = embed(plm, part, "mean", Alone(), precision="fp64", seed=1)
    everything = part.batch(np.arange(len(part)))
    torch.testing.assert_close(states, body(1)(everything)[0].detach())


def test_digest_is_of_the_architecture_alone() -> None:
    assert resolve("mlp:8").digest != resolve("mlp:16").digest
    assert resolve("mlp:8").width == 8 and resolve("tiny").width == 0


@pytest.mark.parametrize("name", ["mlp:", "mlp:0", "mlp:08", "mlp:-4", "mlp:1.5", "mlp:wide", "mlp:65537"])
def test_a_width_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(PreflightError, match=r"must be mlp:WIDTH with a whole number from 1 to 65536"):
        resolve(name)


def test_texts_and_vectors_are_read_by_models_of_their_own() -> None:
    with pytest.raises(PreflightError, match="reads texts, but the examples of planted/vector_target are vectors"):
        encode(planted("vector_target"), "train", resolve("tiny"))
    with pytest.raises(PreflightError, match="reads vectors, but the examples of planted/target are texts"):
        encode(planted("target"), "train", resolve("mlp:8"))
    assert isinstance(untrained_body(resolve("tiny"), None, 0), Body)


@pytest.mark.parametrize("variant", [*TRAINS, *FLOORS])
def test_workers_compute_what_one_computes(variant: str) -> None:
    alone = ran(spec(variant))
    for size in (2, 3):
        for rank in ran_by(spec(variant), size):
            assert_close_json(rank.record, alone.record, 1e-10)
            assert_same_state(rank.state, alone.state, 1e-10)
            assert_same_answers(rank.outcome, alone.outcome, 1e-6)


@pytest.mark.parametrize("variant", ["single_task", "multi_task"])
def test_same_seed_is_bitwise_the_same_and_another_is_not(variant: str) -> None:
    first = ran(spec(variant))
    assert_same(ran(spec(variant)), first)
    other = ran(spec(variant, seed=2)).state
    assert not torch.equal(other["encoder.body.layer.weight"], first.state["encoder.body.layer.weight"])


@pytest.mark.parametrize("variant", ["single_task", "multi_task", "frozen_logistic"])
def test_learns_a_separable_task(variant: str) -> None:
    learning = {"lr": 2e-2, "batch_size": 16, "min_updates": 100, "max_updates": 100}
    options = {"n_train": 240, "n_dev": 20, "n_test": 100, "length": 12}
    score = ran(spec(variant, options=options, precision="fp32", **learning)).outcome.record.metrics["test"]
    assert score["accuracy"] > (0.5 if variant == "frozen_logistic" else 0.8)


def test_frozen_layer_is_not_trained() -> None:
    run = ran(spec("single_task", freeze="1"))
    fresh = untrained_body(resolve("mlp:16"), 60, 1, precision="fp64")
    assert isinstance(fresh, MLP)
    assert torch.equal(run.state["encoder.body.layer.weight"], fresh.layer.weight)


def test_words_of_a_class_stand_behind_no_vector() -> None:
    part = encode(planted("vector_target"), "train", resolve("mlp:8"))
    with pytest.raises(Exception, match="not behind a vector"):
        part.with_label_text()
    assert part.cut_for_label == 0


def test_vectors_are_part_of_what_a_stage_depends_on() -> None:
    part = encode(planted("vector_target"), "train", resolve("mlp:8"))
    assert part.vectors is not None
    moved = dataclasses.replace(part, vectors=part.vectors + 1)
    assert moved.digest != part.digest
