"""Embedding sorted and in batches is embedding one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cells import planted

from raystudy.data.plm import resolve
from raystudy.data.text import IGNORED, Encoded, encode
from raystudy.nn import embed as module
from raystudy.nn.embed import embed
from raystudy.nn.encoder import Body
from raystudy.tasks import Example, Task
from raystudy.workers import Alone, simulate

PLM = resolve("tiny")


def ragged(tagged: bool = False) -> Encoded:
    """Texts of 1 to 40 words, in no order."""
    g = np.random.default_rng(0)
    rows = []
    for i in range(60):
        words = [f"w{n:03d}" for n in g.integers(200, size=g.integers(1, 41))]
        tags = tuple("XO"[n] for n in g.integers(2, size=len(words)))
        rows.append(Example(tags, tokens=tuple(words)) if tagged else Example("XO"[i % 2], text=" ".join(words)))
    form = "tagging" if tagged else "single"
    return encode(Task("ragged", form, ("O", "X"), {s: tuple(rows) for s in ("train", "dev", "test")}), "train", PLM)


def naive(encoded: Encoded, what: str, precision: str) -> torch.Tensor:
    body = Body(PLM, precision=precision).eval()
    out = []
    with torch.no_grad():
        for i in range(len(encoded)):
            batch = encoded.batch(np.array([i]))
            states = body(batch)[0]
            if what == "words":
                out.append(states[batch.tags != IGNORED])
            else:
                rows = {"mean": slice(None), "mean_no_special": slice(1, -1), "cls": slice(1)}[what]
                out.append(states[rows].mean(0, keepdim=True))
    return torch.cat(out)


@pytest.mark.parametrize(("precision", "atol"), [("fp32", 2e-6), ("fp64", 1e-12)])
@pytest.mark.parametrize("what", ["mean", "mean_no_special", "cls", "words"])
def test_batched_is_one_by_one(what: str, precision: str, atol: float) -> None:
    module._MEMO.clear()
    encoded = ragged(tagged=what == "words")
    out = embed(PLM, encoded, what, Alone(), precision=precision)
    wanted = naive(encoded, what, precision)
    assert out.dtype == wanted.dtype
    torch.testing.assert_close(out, wanted, rtol=0, atol=atol)
    # it is a constant, whoever asks: usable in a graph, never part of one
    assert not out.requires_grad
    (torch.ones_like(out, requires_grad=True) * out).sum().backward()


def test_special_tokens_are_left_out_but_for_texts_without_words() -> None:
    """Also the [SEP] between a text and its label; where nothing else is there, [CLS] and [SEP] are all there is."""
    rows = (Example("w001", text="w002 w003"), Example("w004", text=""))
    encoded = encode(
        Task("few", "single", ("w001", "w004"), dict.fromkeys(("train", "dev", "test"), rows)), "train", PLM
    )
    labelled, body = encoded.with_label_text(), Body(PLM, precision="fp64").eval()
    with torch.no_grad():
        states = [body(e.batch(np.array([i])))[0] for e in (labelled, encoded) for i in (0, 1)]
    wanted = [states[0][[1, 2, 4]], states[1][[2]], states[2][[1, 2]], states[3]]
    out = torch.cat([embed(PLM, e, "mean_no_special", Alone(), precision="fp64") for e in (labelled, encoded)])
    torch.testing.assert_close(out, torch.stack([w.mean(0) for w in wanted]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [2, 3])
def test_every_rank_has_every_row(size: int) -> None:
    module._MEMO.clear()
    encoded = ragged()
    alone = embed(PLM, encoded, "mean", Alone(), precision="fp64")
    for out in simulate(size, lambda workers: embed(PLM, encoded, "mean", workers, precision="fp64")):
        torch.testing.assert_close(out, alone, rtol=0, atol=1e-13)


def test_asked_twice_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    module._MEMO.clear()
    encoded = encode(planted("target"), "train", PLM)
    first = embed(PLM, encoded, "mean", Alone())
    monkeypatch.setattr(module, "untrained_body", None)
    assert embed(PLM, encoded, "mean", Alone()) is first


def test_memory_is_bounded() -> None:
    module._MEMO.clear()
    for seed in range(40):
        embed(PLM, encode(planted("target", n_train=2, classes=2, seed=seed), "train", PLM), "mean", Alone())
    assert len(module._MEMO) == 32
