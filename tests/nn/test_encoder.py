"""The encoder on flat tokens against the library's model on padded ones, in values and in derivatives."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cells import planted
from checkpoints import checkpoint
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call, jvp
from transformers import AlbertModel, AutoModel, BertModel

from raystudy.data.plm import FAMILIES, PLM, resolve
from raystudy.data.text import Batch, Corpus, encode
from raystudy.nn.architectures import ARCHITECTURES
from raystudy.nn.encoder import Body, Encoder, frozen_layers, pool, token_budget
from raystudy.tasks import Example, Task

LENGTHS = (3, 9, 1, 6)
# torch compiles its own rules for forward mode when it is first used
FORWARD_MODE = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")


def texts() -> tuple[Task, Task]:
    """A single and a pair task whose texts differ in length."""
    g = np.random.default_rng(0)
    say = lambda n: " ".join(f"w{i:03d}" for i in g.integers(200, size=n))  # noqa: E731
    single = tuple(Example("ab"[i % 2], text=say(n)) for i, n in enumerate(LENGTHS))
    pairs = tuple(Example("ab"[i % 2], text=say(n), pair=say(i + 1)) for i, n in enumerate(LENGTHS))
    splits = ("train", "dev", "test")
    return (
        Task("single", "single", ("a", "b"), dict.fromkeys(splits, single)),
        Task("pairs", "pair", ("a", "b"), dict.fromkeys(splits, pairs)),
    )


def batch_for(plm: PLM, rows: list[tuple[int, int]] | None = None) -> Batch:
    corpus = Corpus(tuple(encode(t, "train", plm) for t in texts()))
    return corpus.batch(np.array([(t, i) for i in range(4) for t in (0, 1)] if rows is None else rows))


def padded(model: Any, batch: Batch) -> tuple[list[Tensor], Tensor]:
    """The library's own answer: rectangle and mask in, flat states of every layer and pooled [CLS] out."""
    n, longest = len(batch), int(batch.offsets.diff().max())
    ids, types, mask = (torch.zeros(n, longest, dtype=torch.long) for _ in range(3))
    for i in range(n):
        a, b = int(batch.offsets[i]), int(batch.offsets[i + 1])
        ids[i, : b - a], types[i, : b - a], mask[i, : b - a] = batch.ids[a:b], batch.types[a:b], 1
    with torch.no_grad():
        out = model(input_ids=ids, token_type_ids=types, attention_mask=mask, output_hidden_states=True)
    return [h[mask.bool()] for h in out.hidden_states], out.pooler_output


def library(plm: PLM, precision: str, kind: type = BertModel) -> Any:
    """The library's model with the body's weights and its own eager attention."""
    body = Body(plm, precision=precision)
    config = type(body.model.config)(**{**body.model.config.to_dict(), "attn_implementation": "eager"})
    model = kind(config).to(body.anchor.dtype).eval()
    model.load_state_dict(body.model.state_dict())
    assert model.config._attn_implementation == "eager"
    return model


@pytest.fixture(scope="module")
def albert(tmp_path_factory: pytest.TempPathFactory) -> PLM:
    """A tiny random ALBERT in a folder, with a tokenizer over the planted words."""
    return resolve(str(checkpoint(tmp_path_factory.mktemp("albert"), "albert")))


@pytest.fixture(scope="module", params=sorted(FAMILIES.keys() - {"bert", "albert"}))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PLM:
    """A tiny random model of another family, of three layers."""
    return resolve(str(checkpoint(tmp_path_factory.mktemp(request.param), request.param)))


PRECISIONS = [("fp64", True, 1e-12), ("fp64", False, 1e-12), ("fp32", True, 1e-5), ("fp32", False, 1e-5)]


@pytest.mark.parametrize(("precision", "exact", "atol"), PRECISIONS)
def test_packed_is_padded(precision: str, exact: bool, atol: float) -> None:
    plm = resolve("tiny")
    batch = batch_for(plm)
    layers, pooled = padded(library(plm, precision), batch)
    body = Body(plm, precision=precision, exact=exact).eval()
    with torch.no_grad():
        # layer 0 is the embeddings, the last one is what is given by default
        states = body(batch, layers=range(body.depth + 1))
        assert body.depth + 1 == len(layers) == len(states)
        for ours, theirs in zip(states, layers, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)
        assert torch.equal(body(batch)[0], states[-1])
        # in the order that was asked
        assert torch.equal(body(batch, layers=(2, 0))[1], states[0])
        # a head over an example reads the model's own pooler of [CLS], the raw state, or the mean
        for reads, wanted in (
            ("pooler", pooled),
            ("cls", layers[-1][batch.offsets[:-1]]),
            ("mean", torch.stack([h.mean(0) for h in layers[-1].split(batch.offsets.diff().tolist())])),
        ):
            encoder = Encoder(body, [2, 2], ["classification"] * 2, reads)
            torch.testing.assert_close(encoder.feature(states[-1], batch.offsets), wanted, rtol=0, atol=atol)


@pytest.mark.parametrize("exact", [True, False])
def test_albert_is_a_model_like_any_other(albert: PLM, exact: bool) -> None:
    batch = batch_for(albert)
    layers, pooled = padded(library(albert, "fp64", AlbertModel), batch)
    body = Body(albert, precision="fp64", exact=exact).eval()
    with torch.no_grad():
        for ours, theirs in zip(body(batch, layers=range(4)), layers, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
        torch.testing.assert_close(body.pooler(body(batch)[0][batch.offsets[:-1]]), pooled, rtol=0, atol=1e-12)


@pytest.mark.parametrize("exact", [True, False])
def test_every_family_reads_as_the_library_does(family: PLM, exact: bool) -> None:
    """Texts of several lengths in one batch, against the library's model on each text alone; then a head's feature."""
    assert family.folder is not None
    batch = batch_for(family)
    # the library turns ModernBERT's queries and keys in single precision, whatever the model's
    atol = 1e-6 if family.family == "modernbert" else 1e-12
    model = AutoModel.from_pretrained(family.folder, attn_implementation="eager", dtype=torch.float64).eval()
    body = Body(family, precision="fp64", exact=exact).eval()
    assert (body.depth, body.hidden, family.positions) == (3, 16, family.positions)
    with torch.no_grad():
        states = body(batch, layers=range(4))
        assert torch.equal(body(batch)[0], states[-1])
        for i in range(len(batch)):
            a, b = int(batch.offsets[i]), int(batch.offsets[i + 1])
            types = {"token_type_ids": batch.types[None, a:b]} if family.segments > 1 else {}
            alone = model(input_ids=batch.ids[None, a:b], output_hidden_states=True, **types).hidden_states
            for ours, theirs in zip(states, alone, strict=True):
                torch.testing.assert_close(ours[a:b], theirs[0], rtol=0, atol=atol)
        first = states[-1][batch.offsets[:-1]]
        assert Encoder(body, [2], ["classification"]).feature(states[-1], batch.offsets).shape == first.shape


def test_every_family_drops_freezes_and_restarts(family: PLM) -> None:
    batch = batch_for(family)
    body = Body(family, dropout=0.5, precision="fp64").train()
    assert not torch.equal(body(batch)[0], body(batch)[0])
    still = Body(family, dropout=0.0, precision="fp64").train()
    assert torch.equal(still(batch)[0], still(batch)[0])
    # what lies below the second third is as it was, what lies above has a gradient
    still.freeze("1/3")
    with torch.no_grad():
        below = still(batch, layers=(1,))[0]
    still(batch)[0].square().sum().backward()
    assert {p.grad is not None for n, p in still.named_parameters() if "pooler" not in n and p.requires_grad} == {True}
    with torch.no_grad():
        for p in still.parameters():
            if p.requires_grad:
                p.add_(0.1)
    moved = still(batch, layers=(1, 3))
    assert torch.equal(moved[0], below)
    still.restart()
    assert torch.equal(still.eval()(batch)[0], Body(family, precision="fp64").eval()(batch)[0])


def test_adapters_stand_in_every_family_whose_layers_end_in_a_layer_norm(family: PLM) -> None:
    batch = batch_for(family)
    body = Body(family, dropout=0.0, precision="fp64")
    calls: list[int] = []

    def inside(layer: int, read: Tensor, states: Tensor, norm: torch.nn.Module) -> Tensor:
        calls.append(layer)
        torch.testing.assert_close(norm.forward(read), states)
        return states

    if not ARCHITECTURES[family.family].end:
        with pytest.raises(ValueError, match="without a LayerNorm"):
            body(batch, inside=inside)
        return
    assert torch.equal(body(batch, inside=inside)[0], body(batch)[0])
    assert calls == [1, 2, 3]


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("rows", [[(0, 1)], [(0, 1), (0, 1)], [(1, 3), (0, 0), (0, 2), (1, 1)], [(0, 2)] * 3])
def test_company_does_not_matter(exact: bool, rows: list[tuple[int, int]]) -> None:
    """An example's states are the same alone and in any batch, of equal lengths or not."""
    plm = resolve("tiny")
    body = Body(plm, precision="fp64", exact=exact).eval()
    with torch.no_grad():
        together = batch_for(plm, rows)
        states = body(together)[0].split(together.offsets.diff().tolist())
        for row, s in zip(rows, states, strict=True):
            torch.testing.assert_close(body(batch_for(plm, [row]))[0], s, rtol=0, atol=1e-13)


@pytest.mark.parametrize("layers", [(3,), (-1,), (0, 7)])
def test_layers_beyond_the_depth_are_refused(layers: tuple[int, ...]) -> None:
    body = Body(resolve("tiny"))
    with pytest.raises(ValueError, match=r"must be in \[0, 2\]"):
        body(batch_for(resolve("tiny")), layers)


def test_dropout_is_a_setting() -> None:
    plm = resolve("tiny")
    batch = batch_for(plm)
    none = Body(plm, dropout=0.0).train()
    assert torch.equal(none(batch)[0], none(batch)[0])
    some = Body(plm, dropout=None).train()
    assert some.dropout == 0.1
    assert not torch.equal(some(batch)[0], some(batch)[0])
    # both kernels drop attention as well
    for exact in (True, False):
        body = Body(plm, dropout=0.5, exact=exact).train()
        assert not torch.equal(body(batch)[0], body(batch)[0])
        body.eval()
        assert torch.equal(body(batch)[0], body(batch)[0])


def test_bodies_do_not_share_weights() -> None:
    a, b = Body(resolve("tiny")), Body(resolve("tiny"))
    with torch.no_grad():
        a.anchor.add_(1)
    assert not torch.equal(a.anchor, b.anchor)
    assert torch.equal(b.anchor, Body(resolve("tiny")).anchor)


@pytest.mark.parametrize("what", ["none", "embeddings", "1", "1/2", "2", "1.0", "all"])
def test_freezing(what: str) -> None:
    """What is frozen is what is said, whatever was frozen before; a fraction is of the depth, which is 2."""
    body = Body(resolve("tiny"))
    body.freeze("all")
    body.freeze(what)
    trained = {n for n, p in body.named_parameters() if p.requires_grad}
    every = {n for n, _ in body.named_parameters()}
    embeddings = {n for n in every if n.startswith("model.embeddings")}
    first, both = ({n for n in every if n.startswith(f"model.encoder.layer.{i}")} for i in ("0", ""))
    one, two = every - embeddings - first, every - embeddings - both
    assert first < both
    assert (
        trained
        == {
            "none": every,
            "embeddings": every - embeddings,
            "1": one,
            "1/2": one,
            "2": two,
            "1.0": two,
            "all": set(),
        }[what]
    )


def test_gradients_above_frozen_layers_are_those_of_a_body_that_trains_all() -> None:
    """Freezing leaves out gradients; it changes none of the others, and the states are the same."""
    plm = resolve("tiny")
    batch = batch_for(plm)
    whole, upper = (Body(plm, dropout=0.0, precision="fp64") for _ in range(2))
    upper.freeze("1")
    for body in (whole, upper):
        body(batch)[0].square().sum().backward()
    for (name, a), b in zip(whole.named_parameters(), upper.parameters(), strict=True):
        if a.grad is not None and b.requires_grad:
            torch.testing.assert_close(b.grad, a.grad, rtol=1e-12, atol=1e-12, msg=name)
        else:
            assert b.grad is None


def test_lower_layers_that_are_not_there_cannot_be_frozen() -> None:
    with pytest.raises(ValueError, match="must be at most 2, the depth of the model"):
        Body(resolve("tiny")).freeze("3")
    with pytest.raises(ValueError, match="share their weights"):
        frozen_layers("1", 12, shared=True)
    assert frozen_layers("1/3", 12, shared=False) == 4


# ---------------------------------------------------------------------------------------------------------------------
# heads


def test_each_example_is_answered_by_its_own_head() -> None:
    plm = resolve("tiny")
    batch = batch_for(plm)
    encoder = Encoder(Body(plm, dropout=0.0, precision="fp64"), [2, 3], ["classification"] * 2)
    feature = encoder.feature(encoder(batch)[0], batch.offsets)
    answers = encoder.answers(batch)
    assert [a.task for a in answers] == [0, 1]
    assert sorted(torch.cat([a.rows for a in answers]).tolist()) == list(range(len(batch)))
    for a in answers:
        assert set(batch.task[a.rows].tolist()) == {a.task}
        torch.testing.assert_close(a.logits, encoder.heads[a.task](feature[a.rows]))
    # or by one head for all
    (one,) = encoder.answers(batch, head=1)
    torch.testing.assert_close(one.logits, encoder.heads[1](feature))
    # states that the caller has are not computed again
    zero = torch.zeros_like(encoder(batch)[0])
    assert not torch.allclose(encoder.answers(batch, states=zero)[0].logits, answers[0].logits)
    assert encoder.answers(batch.part(slice(0, 0))) == []


def test_tagging_answers_first_pieces_only() -> None:
    plm = resolve("tiny")
    corpus = Corpus((encode(planted("tag_target"), "train", plm), encode(planted("target"), "train", plm)))
    batch = corpus.batch(np.array([[0, 0], [1, 1], [0, 2]]))
    encoder = Encoder(Body(plm, precision="fp64"), [7, 3], ["tagging", "classification"]).eval()
    tags, classes = encoder.answers(batch)
    assert tags.rows.tolist() == (batch.tags != -100).nonzero().squeeze(1).tolist()
    assert len(tags.rows) == 16
    torch.testing.assert_close(tags.logits, encoder.heads[0](encoder(batch)[0][tags.rows]))
    assert classes.rows.tolist() == [1]


def test_fresh_heads_come_from_the_generator_alone() -> None:
    encoder = Encoder(Body(resolve("tiny")), [400, 3], ["classification"] * 2)
    encoder.fresh_head(0, torch.Generator().manual_seed(3))
    first = encoder.heads[0].weight.detach().clone()
    assert float(first.std()) == pytest.approx(0.02, rel=0.05)
    assert encoder.heads[0].bias.abs().max() == 0
    torch.manual_seed(99)
    encoder.fresh_head(0, torch.Generator().manual_seed(3))
    assert torch.equal(encoder.heads[0].weight, first)
    encoder.fresh_head(0, torch.Generator().manual_seed(4))
    assert not torch.equal(encoder.heads[0].weight, first)
    # the same numbers in any precision
    double = Encoder(Body(resolve("tiny"), precision="fp64"), [400], ["classification"])
    double.fresh_head(0, torch.Generator().manual_seed(3))
    assert torch.equal(double.heads[0].weight.float(), first)


# ---------------------------------------------------------------------------------------------------------------------
# derivatives


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 9))
def test_pool_is_the_mean_of_each_segment(lengths: list[int], seed: int) -> None:
    x = torch.randn(sum(lengths), 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    torch.testing.assert_close(pool(x, offsets), torch.stack([s.mean(0) for s in x.split(lengths)]))


@FORWARD_MODE
def test_pool_has_all_derivatives() -> None:
    x = torch.randn(6, 2, dtype=torch.float64, requires_grad=True, generator=torch.Generator().manual_seed(0))
    offsets = torch.tensor([0, 1, 4, 6])
    f = lambda s: pool(s, offsets) ** 3  # noqa: E731
    assert gradcheck(f, (x,), check_forward_ad=True)
    assert gradgradcheck(f, (x,))


def loss_in(encoder: Encoder, batch: Batch) -> Any:
    """The loss as a function of all weights, as one flat vector."""
    names, shapes = zip(*((n, p.shape) for n, p in encoder.named_parameters()), strict=True)
    sizes = [s.numel() for s in shapes]

    class Loss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self) -> Tensor:
            total = [torch.logsumexp(a.logits, 1).sum() - a.logits[:, 0].sum() for a in self.encoder.answers(batch)]
            return torch.stack(total).sum()

    module = Loss()

    def loss(flat: Tensor) -> Tensor:
        parts = [x.view(s) for x, s in zip(flat.split(sizes), shapes, strict=True)]
        weights = {f"encoder.{n}": x for n, x in zip(names, parts, strict=True)}
        return functional_call(module, weights, ())  # type: ignore[no-any-return]

    return loss, torch.cat([p.detach().reshape(-1) for p in encoder.parameters()])


@FORWARD_MODE
@pytest.mark.parametrize("reads", ["pooler", "mean"])
@pytest.mark.parametrize("name", ["tiny", "albert"])
def test_exact_encoder_has_second_and_forward_derivatives(
    name: str, reads: str, request: pytest.FixtureRequest
) -> None:
    derivatives_agree(request.getfixturevalue("albert") if name == "albert" else resolve("tiny"), reads)


@FORWARD_MODE
def test_every_family_has_second_and_forward_derivatives(family: PLM) -> None:
    if family.family != "modernbert":  # its queries are of single precision, too coarse for differences
        derivatives_agree(family, "pooler")


def derivatives_agree(plm: PLM, reads: str) -> None:
    """First and second derivatives of an encoder against differences, and in all modes against one another."""
    batch = batch_for(plm, [(0, 0), (1, 1), (0, 2)])
    encoder = Encoder(Body(plm, dropout=0.0, precision="fp64", exact=True), [2, 2], ["classification"] * 2, reads)
    loss, w = loss_in(encoder, batch)
    g = torch.Generator().manual_seed(0)
    v, u = (torch.randn(len(w), generator=g, dtype=torch.float64) for _ in range(2))
    v, u = v / v.norm(), u / u.norm()

    def gradient(at: Tensor) -> Tensor:
        at = at.detach().requires_grad_()
        return torch.autograd.grad(loss(at), at, create_graph=True)[0]

    h = 1e-4
    first = (loss(w + h * v) - loss(w - h * v)).detach() / (2 * h)
    slope = gradient(w).detach() @ v
    torch.testing.assert_close(slope, first, rtol=1e-5, atol=1e-7)
    # forward mode: the same directional derivative
    torch.testing.assert_close(jvp(loss, (w,), (v,))[1].detach(), slope, rtol=1e-10, atol=1e-12)
    # double backward: H v, against the difference of gradients
    at = w.clone().requires_grad_()
    (grad,) = torch.autograd.grad(loss(at), at, create_graph=True)
    (hv,) = torch.autograd.grad(grad @ v, at)
    second = (gradient(w + h * v) - gradient(w - h * v)).detach() / (2 * h)
    torch.testing.assert_close(hv, second, rtol=1e-4, atol=1e-5)
    # forward over reverse: u H v is v H u
    _, forward = jvp(torch.func.grad(loss), (w,), (u,))
    torch.testing.assert_close(forward.detach() @ v, hv @ u, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("exact", [True, False])
def test_first_derivatives_do_not_depend_on_the_kernel(exact: bool) -> None:
    plm = resolve("tiny")
    batch = batch_for(plm)
    torch.manual_seed(1)
    encoder = Encoder(Body(plm, dropout=0.0, precision="fp64", exact=exact), [2, 2], ["classification"] * 2)
    for t in (0, 1):
        encoder.fresh_head(t, torch.Generator().manual_seed(t))
    loss, w = loss_in(encoder, batch)
    at = w.requires_grad_()
    (g,) = torch.autograd.grad(loss(at), at)
    other = Encoder(Body(plm, dropout=0.0, precision="fp64", exact=not exact), [2, 2], ["classification"] * 2)
    other.load_state_dict(encoder.state_dict())
    loss, w = loss_in(other, batch)
    at = w.requires_grad_()
    torch.testing.assert_close(torch.autograd.grad(loss(at), at)[0], g, rtol=0, atol=1e-12)


# ---------------------------------------------------------------------------------------------------------------------
# folders


def test_digest_covers_weights_configuration_and_tokenizer(albert: PLM, tmp_path: Path) -> None:
    assert albert.folder is not None
    files = {p.name: p.read_bytes() for p in albert.folder.iterdir()}

    def digest_with(name: str, **changed: bytes) -> str:
        folder = tmp_path / name
        folder.mkdir()
        for n, content in {**files, **changed}.items():
            (folder / n).write_bytes(content)
        return resolve(str(folder)).digest

    # the same files anywhere are the same model; one byte more, or one bit of a weight, is another
    assert digest_with("same") == albert.digest
    digests = {digest_with(n, **{n: files[n] + b" "}) for n in ("config.json", "tokenizer.json")}
    weights = files["model.safetensors"]
    digests.add(digest_with("weights", **{"model.safetensors": weights[:-1] + bytes([weights[-1] ^ 1])}))
    assert len(digests | {albert.digest}) == 4


# ---------------------------------------------------------------------------------------------------------------------
# cutting a long run of examples


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 100))
def test_token_budget_covers_everything_in_order(lengths: list[int], tokens: int) -> None:
    parts = list(token_budget(lengths, tokens))
    assert [i for p in parts for i in range(len(lengths))[p]] == list(range(len(lengths)))
    for p in parts:
        # within the budget, unless it is a single example
        assert sum(lengths[p]) <= tokens or p.stop - p.start == 1
    for a, b in pairwise(parts):
        # no slice ends early
        assert sum(lengths[a]) + lengths[b.start] > tokens
