"""Bottleneck adapters inside the layers of a frozen body, one set per task, and their fusion (Pfeiffer et al. 2021).

    y_l         the sum that the last LayerNorm of layer l reads;  z_l = LN(y_l), what the layer would give
    A_n(z)      W_up relu(W_down z), the adapter of task n at this layer
    alone       LN(y_l + A_n(z_l))                                                       while A_n is trained
    fused       LN(y_l + sum_n s_n V A_n(z_l)),  s = softmax over n of <Q z_l, K A_n(z_l)>

The placement, the sizes and the starting points are the defaults of the `adapters` library, its configuration
``seq_bn`` (Pfeiffer) with reduction 16 and its ``dynamic`` fusion; its version 1.3.0 computes the same numbers. The
scores are not divided by sqrt(H); dropout acts on the scores before their softmax; V has no bias and starts as the
identity (1e-6 off the diagonal).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Adapters", "Bottleneck", "Fusion"]

OFF_DIAGONAL = 1e-6  # of V at the start


class Bottleneck(nn.Module):
    """A(z) = W_up relu(W_down z + b_down) + b_up, without a residual: that is the layer's own sum."""

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(hidden, width), nn.Linear(width, hidden)

    def forward(self, z: Float[Tensor, "*t h"]) -> Float[Tensor, "*t h"]:
        return self.up(torch.relu(self.down(z)))  # type: ignore[no-any-return]


class Fusion(nn.Module):
    """Attention of a token's state over what N adapters make of it."""

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, z: Float[Tensor, "*t h"], adapted: Float[Tensor, "*t n h"]) -> Float[Tensor, "*t h"]:
        scores = self.dropout((self.key(adapted) @ self.query(z).unsqueeze(-1)).squeeze(-1))
        return (scores.softmax(-1).unsqueeze(-2) @ self.value(adapted)).squeeze(-2)  # type: ignore[no-any-return]


class Adapters(nn.Module):
    """N adapters at each layer of a body, and one fusion per layer: what `Body.inside` may be.

    Args:
        width: of the bottleneck.

    Attributes:
        lowest: the lowest layer that has adapters.
        active: the number of the adapter that acts alone, ``fused`` for all of them together, None for none.
    """

    def __init__(self, count: int, depth: int, hidden: int, width: int, dropout: float) -> None:
        super().__init__()
        self.adapters = nn.ModuleList(
            nn.ModuleList(Bottleneck(hidden, width) for _ in range(depth)) for _ in range(count)
        )
        self.fusions = nn.ModuleList(Fusion(hidden, dropout) for _ in range(depth))
        self.active: int | str | None = None
        self.lowest = 1

    def use(self, active: int | str | None) -> None:
        """Let one adapter act alone, or all fused, or none; what acts is trained, but for adapters under fusion."""
        self.active = active
        self.requires_grad_(False)
        if active == "fused":
            self.fusions.requires_grad_(True)
        elif isinstance(active, int):
            self.adapters[active].requires_grad_(True)

    def fresh(self, part: nn.Module, generator: torch.Generator) -> None:
        """Give the modules of `part` new weights: N(0, 0.02), zero biases, each V the identity."""
        with torch.no_grad():
            for module in part.modules():
                if isinstance(module, nn.Linear):
                    weight = torch.randn(module.weight.shape, generator=generator, dtype=torch.float64)
                    module.weight.copy_(0.02 * weight)
                    if module.bias is not None:
                        module.bias.zero_()
            for module in part.modules():
                if isinstance(module, Fusion):
                    module.value.weight.fill_(OFF_DIAGONAL).fill_diagonal_(1.0)

    def fresh_adapter(self, n: int, generator: torch.Generator) -> None:
        """A new adapter `n`, from `generator` alone."""
        self.fresh(self.adapters[n], generator)

    def fresh_fusion(self, generator: torch.Generator) -> None:
        """A new fusion at every layer, from `generator` alone."""
        self.fresh(self.fusions, generator)

    def forward(
        self, layer: int, total: Float[Tensor, "*t h"], states: Float[Tensor, "*t h"], norm: nn.Module
    ) -> Float[Tensor, "*t h"]:
        """The states at the end of `layer` (from 1), from y = `total` and z = `states` = norm(total)."""
        if self.active is None:
            return states
        if isinstance(self.active, int):
            added = self._adapter(self.active, layer)(states)
        else:
            adapted = torch.stack([self._adapter(n, layer)(states) for n in range(len(self.adapters))], -2)
            added = self.fusions[layer - 1](states, adapted)
        return norm.forward(total + added)  # type: ignore[no-any-return]  # not norm(...): that would call this once more

    def _adapter(self, n: int, layer: int) -> nn.Module:
        layers = self.adapters[n]
        assert isinstance(layers, nn.ModuleList)
        return layers[layer - 1]

    def regulariser(self) -> Float[Tensor, ""]:
        """Sum over layers of ||I - V||_F^2: how far the values have moved from the adapters' own."""
        values = [f.value.weight for f in self.fusions if isinstance(f, Fusion)]
        return torch.stack(
            [(torch.eye(len(v), device=v.device, dtype=v.dtype) - v).square().sum() for v in values]
        ).sum()
