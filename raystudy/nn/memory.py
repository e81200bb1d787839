"""What an exact gradient through an inner loop takes of a machine's memory, told beforehand.

These are estimates of the highest use, from the sizes of the model and of the batches alone, to decide between two ways
of computing one number (`nn.inner_loop`). What MiniLM was seen to take in float32, with batches of 4 to 24 texts of 48
and 128 pieces and one to five steps, lay between 0.94 and 1.08 of the estimate, whose constants were fitted to these
same nine numbers; no other model was measured.

    P       numbers that a step moves: the parameters, with the touched rows of the word embeddings alone
    F       numbers that a forward pass keeps for the way back: per token and layer 8 H + 2 I of the states, and 2.5 L
            of each head's attention to the L tokens of a text (H and I the widths of a layer and of what is inside it)
    unroll      k steps keep the graph of their gradients, about three times F each: (3.3 k + 1.4) F + (k + 6) P
    recursion   the graph of one gradient at a time, and where every step began: 5 F + (k + 5) P
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from raystudy.data.plm import PLM

__all__ = ["InnerLoopMemory", "total_memory"]


@dataclass(frozen=True)
class InnerLoopMemory:
    """What one task's exact gradient takes.

    Attributes:
        steps: k, the steps of the inner loop.
        tokens: in the k batches and the query batch together, at most.
        at_once: tokens of the examples that are computed at a time, at most.
        longest: tokens of the longest text.
        width: bytes of a number.
    """

    plm: PLM
    steps: int
    tokens: int
    at_once: int
    longest: int
    width: int = 4

    @property
    def moved(self) -> int:
        """P."""
        plm, h = self.plm, self.plm.hidden
        layers = 1 if plm.shared_layers else plm.depth
        rows = min(self.tokens, plm.vocabulary or self.tokens) + plm.positions
        return layers * (4 * h * h + 2 * h * plm.inner + 9 * h + plm.inner) + rows * h + h * h

    @property
    def kept(self) -> float:
        """F, of the examples that are computed at a time."""
        plm = self.plm
        return self.at_once * plm.depth * (8 * plm.hidden + 2 * plm.inner + 2.5 * plm.heads * self.longest)

    def of(self, route: str) -> float:
        """Bytes of ``unroll`` or ``recursion``. Unrolled, the graphs of all parts of a batch are there at once."""
        k, p, f = self.steps, self.moved, self.kept
        if route == "recursion":
            return self.width * (5 * f + (k + 5) * p)
        whole = f * self.tokens / (self.at_once * (k + 1))
        return self.width * ((3.3 * k + 1.4) * whole + (k + 6) * p)


def total_memory(device: torch.device) -> int:
    """Bytes of memory of the device, or of this machine, or of the container that it lends."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    total = psutil.virtual_memory().total
    with suppress(OSError, ValueError):  # "max" where nothing was limited
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total
