"""The nets of MetaXT (Sharma et al. 2021): labels of a source made into labels of the target, and states moved along.

    LTN         q = softmax z(h, y), soft labels of the target; z of three layers over [h; emb(y)]         (sec. 3.1)
    centred     q = softmax(z(h, y) - mean over y' of z(h, y') + log prior): ours, for few examples
    fixed map   q = a row of a table, the same for every example of a source class: our control
    RTN         h + phi(h) behind one layer, phi of three layers                                        (sec. 4.3.2)

Sizes and starting points that the paper does not print are those of MLC and MetaXL, earlier programs of its authors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from raystudy.data.text import placed

__all__ = ["LTN", "RTN", "FixedMap"]


class LTN(nn.Module):
    """g_alpha: a soft label of the target for every source example or word, from what it says and its own label.

    Args:
        classes: of each source.
        outputs: the number of the target's classes.
        universal: one net for all sources, which is told the source; else one for each.
        prior: (k,) the share of each class among the target's labels; None = labels are not centred.
    """

    prior: Tensor | None

    def __init__(
        self,
        hidden: int,
        classes: Sequence[int],
        outputs: int,
        width: int,
        embedding: int,
        universal: bool,
        prior: Float[Tensor, "k"] | None = None,
    ) -> None:
        super().__init__()
        self.outputs, self.classes = outputs, list(classes)
        self.register_buffer("prior", prior)
        told = [sum(classes)] if universal else list(classes)
        self.labels = nn.ModuleList(nn.Embedding(n, embedding) for n in told)
        self.sources = nn.Embedding(len(classes), embedding) if universal else None
        wide = hidden + embedding * (2 if universal else 1)
        self.nets = nn.ModuleList(
            nn.Sequential(
                nn.Linear(wide, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, outputs)
            )
            for _ in told
        )
        self.first = [0, *np.cumsum(classes)[:-1].tolist()]

    def fresh(self, generator: torch.Generator, even: bool = False) -> None:
        """New weights: Xavier, zero biases, embeddings N(0, 1). `even`: a last layer of zeros, all labels alike."""
        with torch.no_grad():
            for m in self.modules():
                if isinstance(m, nn.Linear):
                    bound = (6 / sum(m.weight.shape)) ** 0.5
                    m.weight.copy_(bound * (2 * torch.rand(m.weight.shape, generator=generator).double() - 1))
                    m.bias.zero_()
                elif isinstance(m, nn.Embedding):
                    m.weight.copy_(torch.randn(m.weight.shape, generator=generator, dtype=torch.float64))
            for net in self.nets if even else ():
                list(net.parameters())[-2].zero_()

    def forward(self, h: Float[Tensor, "n h"], y: Int[Tensor, "n"], source: Int[Tensor, "n"]) -> Float[Tensor, "n k"]:
        """q, whose rows sum to one. `y`: the class, counted within its source; `source`: the number of the source.

        Centred: z(h, y) - mean over the source's own labels y' of z(h, y') + log prior, z what the net gives.
        """
        q = h.new_zeros(len(h), self.outputs)  # `source` may lie on the CPU, where it is known which examples are whose
        for s, n in enumerate(self.classes):
            at = placed((source == s).nonzero().squeeze(1), h.device)
            if not len(at):  # a net without examples has no gradient, rather than one of zero that Adam would follow
                continue
            if self.prior is None:
                z = self.logits(h[at], y[at], s)
            else:
                every = torch.arange(n, device=h.device).repeat(len(at))
                all_z = self.logits(h[at].repeat_interleave(n, 0), every, s).view(len(at), n, -1)
                z = all_z[torch.arange(len(at), device=h.device), y[at]] - all_z.mean(1) + self.prior.to(h).log()
            q = q.index_copy(0, at, z.softmax(-1))
        return q

    def logits(self, h: Float[Tensor, "n h"], y: Int[Tensor, "n"], source: int) -> Float[Tensor, "n k"]:
        """z, for examples of one source."""
        if self.sources is None:
            return self.nets[source](torch.cat([h, self.labels[source](y)], -1))  # type: ignore[no-any-return]
        told = self.sources.weight[source].expand(len(h), -1)
        return self.nets[0](torch.cat([h, self.labels[0](y + self.first[source]), told], -1))  # type: ignore[no-any-return]


class FixedMap(nn.Module):
    """A map in the place of the LTN: the same soft label for every example of a source class."""

    table: Tensor

    def __init__(self, table: Float[Tensor, "s k"], classes: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("table", table)
        self.first = [0, *np.cumsum(classes)[:-1].tolist()]

    def forward(self, h: Float[Tensor, "n h"], y: Int[Tensor, "n"], source: Int[Tensor, "n"]) -> Float[Tensor, "n k"]:
        return self.table[y + placed(torch.tensor(self.first, device=source.device)[source], y.device)]


class RTN(nn.Module):
    """h + phi(h) at the end of one layer (`Body.inside`): makes a source's states more like the target's."""

    def __init__(self, layer: int, hidden: int, width: int) -> None:
        super().__init__()
        self.layer = self.lowest = layer
        self.net = nn.Sequential(
            nn.Linear(hidden, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, hidden)
        )

    def fresh(self, generator: torch.Generator) -> None:
        """New weights: N(0, 0.02), zero biases."""
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(0.02 * torch.randn(p.shape, generator=generator).double() if p.dim() > 1 else torch.zeros(()))

    def forward(self, layer: int, total: Tensor, states: Tensor, norm: nn.Module) -> Tensor:
        return states + self.net(states.detach()) if layer == self.layer else states
