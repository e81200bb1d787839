"""A network of one hidden layer over vectors: what stands in the place of a pre-trained body (`plm: mlp:WIDTH`).

    phi     h = relu(W x + b), the hidden layer: (B, D) -> (B, WIDTH)
    f       a head of `nn.encoder.Encoder`, the output layer

`MLP` keeps the contract of `nn.encoder.Body`, so that a method need not know which of the two it trains. An example is
one piece of text there and one row of states here: the pooler, the first state and the mean of the states are all h.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from raystudy.catalogue import layers as layers_of
from raystudy.data.draws import seed_of
from raystudy.data.text import Batch, placed

__all__ = ["MLP"]


class MLP(nn.Module):
    """The hidden layer: a batch of B vectors in, their states (B, WIDTH) out.

    It has no dropout layer of its own, and none of its steps lacks a second derivative or a forward mode.

    Args:
        inputs: D, the numbers of a vector.
        width: of the hidden layer.
        seed: weights and biases are drawn from U(-1/sqrt(D), 1/sqrt(D)), as a linear layer of torch has them, by this
            seed alone.
        dropout: what stands before the heads; None = 0, for no paper says otherwise.
        precision: ``fp32``, ``bf16`` (float32 weights under autocast) or ``fp64``.
        exact: in full precision, whatever `precision` says.

    Attributes:
        inside: what changes the states at the end of the layer (`nn.encoder.Inside`); None = nothing.
        constant: see `nn.encoder.Body`; one layer is computed sooner than looked up, so nothing reads it.
    """

    inside: Any

    def __init__(
        self,
        inputs: int,
        width: int,
        seed: int,
        *,
        dropout: float | None = None,
        precision: str = "fp32",
        exact: bool = False,
    ) -> None:
        super().__init__()
        self.hidden, self.depth, self.seed = width, 1, seed
        self.exact, self.autocast = exact, precision == "bf16" and not exact
        self.dropout = 0.0 if dropout is None else dropout
        self.inside, self.constant = None, 0
        self.layer, self.activation = nn.Linear(inputs, width), nn.ReLU()
        if precision == "fp64":
            self.double()
        self.restart()

    @property
    def word_embeddings(self) -> None:
        """There are none: vectors are no words."""
        return

    @property
    def anchor(self) -> Tensor:
        """A parameter, for its device and dtype."""
        return self.layer.weight

    def restart(self) -> None:
        """Give every weight the value back that it had before any training."""
        generator = torch.Generator().manual_seed(seed_of(self.seed, "mlp"))
        bound = self.layer.in_features**-0.5
        with torch.no_grad():
            for p in (self.layer.weight, self.layer.bias):
                p.copy_((2 * torch.rand(p.shape, generator=generator, dtype=torch.float64) - 1) * bound)

    def freeze(self, what: str) -> None:
        """Say whether the hidden layer is trained: not for ``all`` or one lower layer. Vectors have no embeddings.

        Raises:
            ValueError: more lower layers than the one that there is.
        """
        lower = 0 if what in ("none", "embeddings") else 1 if what == "all" else layers_of(what, self.depth)[0]
        self.layer.requires_grad_(not lower)

    def undropped(self, what: str) -> None:
        """Nothing within the layer drops anything anyway."""

    def forward(
        self,
        batch: Batch,
        layers: Sequence[int] = (),
        inside: Callable[[int, Tensor, Tensor, nn.Module], Tensor] | None = None,
    ) -> tuple[Tensor, ...]:
        """The states (B, WIDTH) of each asked layer: 1, or 0 for the vectors (B, D) themselves; by default of 1.

        Args:
            inside: for this pass, in the place of the attribute.

        Raises:
            ValueError: a layer beyond the depth.
        """
        if bad := [n for n in layers if not 0 <= n <= self.depth]:
            raise ValueError(f"layers must be in [0, {self.depth}], but got {bad}")
        assert batch.vectors is not None, "an MLP reads vectors"
        x = placed(batch.vectors, self.anchor.device).to(self.anchor)
        ends = self.inside if inside is None else inside
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.autocast):
            total = self.layer(x)
            states = self.activation(total)
            if ends is not None:
                states = ends(1, total, states, self.activation)
        of = (x, states.to(x.dtype))
        return tuple(of[n] for n in layers or (1,))

    def pooler(self, first: Tensor) -> Tensor:
        """The states themselves (B, WIDTH): nothing lies between the hidden layer and a head."""
        return first
