"""What the lowest layers of a model make of every piece of a split, computed once where it never changes.

Layers that are frozen and drop nothing make the same of an example in every update of every training. Training can
then begin at the first layer above them. A training of all of 6 layers costs 18 units (a forward pass one for each
layer, a backward pass two); with the lowest 3 known it costs 9, and with the lowest 4 it costs 6.

The states are kept in the stage store by what they are made of (`states_key`): the pieces, the model, the layers and
the way to compute. Every method, seed and study that reads the same pieces finds them, and all trainings of a machine
read one file, of which the system keeps one copy in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raystudy.code_versions import installed_version, module_digest
from raystudy.data.plm import PLM
from raystudy.data.text import Encoded
from raystudy.nn.encoder import Body, token_budget
from raystudy.workers import Workers

__all__ = ["LARGEST", "fits", "lower_states", "states_key", "with_states"]

LARGEST = 2 * 1024**3  # bytes of the states of one split; a larger one is computed anew in every pass


def fits(plm: PLM, encoded: Encoded, precision: str) -> bool:
    """Whether the states of a split are few enough to be kept."""
    return len(encoded.ids) * plm.hidden * (8 if precision == "fp64" else 4) <= LARGEST


def states_key(
    plm: PLM, encoded: Encoded, layers: int, *, precision: str, exact: bool, device: torch.device
) -> dict[str, Any]:
    """The key of the states in a store: everything that they depend on, nothing else; JSON values.

    The texts are in it as the tokenizer and the length have made them: as pieces, segments and where examples end. So
    labels are not, and two tasks with the same texts have the same states.
    """
    pieces = hashlib.blake2b(digest_size=16)
    for array in (encoded.ids, encoded.types, encoded.offsets):
        pieces.update(np.ascontiguousarray(array).data)
    return {
        "part": "lower states",
        "layers": layers,
        "plm": plm.digest,
        "pieces": pieces.hexdigest(),
        "numerics": {"precision": precision, "exact": exact, "device": device.type},
        "code": _code(),
        "libraries": {name: installed_version(name) for name in ("torch", "transformers", "numpy")},
    }


@lru_cache
def _code() -> str:
    return module_digest("nn/lower_states.py")


def lower_states(
    plm: PLM,
    encoded: Encoded,
    layers: int,
    workers: Workers,
    *,
    precision: str = "fp32",
    exact: bool = False,
    device: torch.device = torch.device("cpu"),
) -> Tensor:
    """(N, H) what the lowest `layers` layers of the untouched model make of all N pieces, without dropout.

    Returns:
        a CPU tensor in float32, or float64 in precision fp64; the same on every rank.
    """
    body = Body(plm, precision=precision, exact=exact).to(device).eval()
    lengths = np.diff(encoded.offsets)
    out = torch.zeros(len(encoded.ids), body.hidden, dtype=body.anchor.dtype)
    by_length = np.argsort(lengths, kind="stable")  # equal lengths together: no padding inside attention
    mine = by_length[workers.rank :: workers.size]
    with torch.inference_mode():
        for part in token_budget(lengths[mine].tolist()):
            rows = mine[part]
            states = body.lower_states(encoded.batch(rows), layers).cpu()
            at = np.concatenate([np.arange(encoded.offsets[r], encoded.offsets[r + 1]) for r in rows])
            out[torch.from_numpy(at)] = states
    if workers.size > 1:  # every row was filled by one rank, so the sum is a gather, exact to the last bit
        out = workers.sum(out.reshape(-1).to(device)).view(out.shape).cpu()
    return out


def with_states(encoded: Encoded, states: Mapping[str, Tensor], layers: int) -> Encoded:
    """The split with what its lowest `layers` layers make of it, as a store gives it."""
    return replace(encoded, states=states["states"], layers=layers)
