"""Embeddings of the untouched pre-trained model: what prototypes, scores and the frozen floor are made of."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from raystudy.data.plm import PLM
from raystudy.data.text import IGNORED, Batch, Encoded
from raystudy.nn.encoder import pool, token_budget, untrained_body
from raystudy.workers import Workers

__all__ = ["embed"]

# Source tasks are the same in every cell of a study, so a worker embeds them once. The rank is part of the key because
# simulated ranks share this process, and a rank that skipped a collective would leave the others waiting.
_MEMO: dict[tuple[object, ...], Tensor] = {}


def embed(
    plm: PLM,
    encoded: Encoded,
    what: str,
    workers: Workers,
    *,
    precision: str = "fp32",
    device: torch.device = torch.device("cpu"),
    seed: int | None = None,
) -> Tensor:
    """Embed every example once, without gradients or dropout.

    A network over vectors is not pre-trained, so that before any training it says no more of a vector than the vector
    does: this itself is the embedding, whatever `what` says, unless the states of a certain network are asked for.

    Args:
        what: ``mean`` = mean of the last layer's token states, (n, H); ``mean_no_special`` = the same without [CLS] and
            [SEP] (an example without words keeps them); ``cls`` = the state of [CLS], (n, H); ``pooler`` = the model's
            own pooler over it, (n, H); ``words`` = the states of the first pieces of labelled words of all examples in
            order, (number of tags, H).
        seed: of the network over vectors whose states are asked for; texts have one body, whatever the seed.

    Returns:
        a CPU tensor in float32, or float64 in precision fp64; the same on every rank.
    """
    if encoded.vectors is not None and seed is None:
        return torch.from_numpy(encoded.vectors).to(torch.float64 if precision == "fp64" else torch.float32)
    key: tuple[object, ...] = (plm.digest, encoded.digest, what, precision, device.type, workers.rank, workers.size)
    if encoded.vectors is not None:
        key = (*key, seed)
    if key in _MEMO:
        return _MEMO[key]
    body = untrained_body(plm, encoded.inputs, seed or 0, precision=precision).to(device).eval()
    lengths = np.diff(encoded.offsets)
    tagged = np.add.reduceat(encoded.tags != IGNORED, encoded.offsets[:-1]) if len(encoded) else lengths
    counts = tagged if what == "words" else np.ones_like(lengths)
    first = np.concatenate([[0], np.cumsum(counts)])
    out = torch.zeros(int(first[-1]), body.hidden, dtype=body.anchor.dtype)
    by_length = np.argsort(lengths, kind="stable")  # equal lengths together: no padding inside attention
    mine = by_length[workers.rank :: workers.size]
    with torch.inference_mode():
        for part in token_budget(lengths[mine].tolist()):
            rows = mine[part]
            batch = encoded.batch(rows)
            states = body(batch)[0].cpu()
            if what == "words":
                at = np.concatenate([np.arange(first[r], first[r + 1]) for r in rows])
                out[torch.from_numpy(at)] = states[batch.tags != IGNORED]
            else:
                vectors = _one_vector(states, batch, what, encoded.separator)
                out[torch.from_numpy(rows)] = body.pooler(vectors.to(device)).cpu() if what == "pooler" else vectors
    if workers.size > 1:  # every row was filled by one rank, so the sum is a gather, exact to the last bit
        out = workers.sum(out.reshape(-1).to(device)).view(out.shape).cpu()
    while len(_MEMO) >= 32:
        _MEMO.pop(next(iter(_MEMO)))
    _MEMO[key] = out
    return out


def _one_vector(states: Tensor, batch: Batch, what: str, separator: int) -> Tensor:
    """(B, H) from the token states (T, H) of a batch."""
    offsets = batch.offsets
    if what in ("cls", "pooler"):
        return states[offsets[:-1]]
    if what == "mean_no_special":
        owner = torch.repeat_interleave(torch.arange(len(batch)), offsets.diff())
        none = torch.zeros(len(batch), dtype=torch.long)
        word = batch.ids != separator
        word[offsets[:-1]] = False
        kept = word | (none.index_add(0, owner, word.long()) == 0)[owner]
        states, offsets = states[kept], F.pad(none.index_add(0, owner, kept.long()).cumsum(0), (1, 0))
    return pool(states, offsets)
