"""A few steps of gradient descent from theta, and how the loss behind them changes with theta.

    theta^(0)   theta;  theta^(j) = theta^(j-1) - alpha grad L_j(theta^(j-1)),  j = 1 .. k
    wanted      the gradient of L(theta^(k)) for theta, which is
                (I - alpha H_1) .. (I - alpha H_k) grad L(theta^(k)),  H_j the Hessian of L_j at theta^(j-1)

Two ways lead to the same vector, both exact:

    unrolled    the k steps keep the graph of their gradients, and one pass goes backwards through all of them: the
                faster way, whose memory grows with k
    recursion   u = grad L(theta^(k)), then u <- u - alpha H_j u for j = k .. 1. Each product goes backwards over the
                graph of one gradient (`nn.hessian`), which is computed anew: the memory of one step, and more time

A loss is given in *parts* whose sum it is, each a function of theta. The parts of a step are computed one after
another, so that a batch may be larger than what fits into memory at once (gradient accumulation).

W workers = one: where every rank has a share of each loss, the gradient of each step is summed over ranks, and so is
each Hessian-vector product. Only local graphs are differentiated. What is unrolled cannot be summed on the way, since a
collective has no derivative: then it has to be the recursion.

Of the word embeddings an episode touches few rows, and the others have no gradient. So the rows that it touches are the
parameter that moves (`CompactVocabulary`), which leaves every number what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor, nn

from raystudy.data.text import Batch, placed
from raystudy.nn.gradients import Gradient, add, leaves, local_gradient, moved, scaled
from raystudy.nn.hessian import hessian_product
from raystudy.workers import Workers, sum_over

__all__ = [
    "Adapted",
    "CompactVocabulary",
    "Parts",
    "Rule",
    "adapted",
    "by_recursion",
    "gradient_at",
    "rescaled",
    "unrolled",
]

Theta = Mapping[str, Tensor]
Parts = Sequence[Callable[[Theta], Tensor]]  # this rank's share of a loss, as a sum of scalars; at least one
Rule = Callable[[Gradient], Gradient]  # the gradient of a step -> the direction that theta moves against


@dataclass(frozen=True)
class Adapted:
    """Where the inner loop ended.

    Attributes:
        theta: theta^(k).
        total: the sum of the k directions, so that theta^(k) = theta - alpha total. It has digits that the difference
            of both loses.
        loss: this rank's share of L_k(theta^(k-1)), the loss of the last step.
    """

    theta: dict[str, Tensor]
    total: Gradient
    loss: Tensor


def gradient_at(theta: Theta, parts: Parts, workers: Workers) -> tuple[Gradient, Tensor]:
    """The gradient at `theta` of the sum of `parts`, summed over ranks; and this rank's share of the loss."""
    there, shares = leaves(theta), []
    g: Gradient = [None for _ in there]
    for part in parts:
        share = part(there)
        shares.append(share.detach())
        g = add(g, local_gradient(share, list(there.values())))
    return sum_over(workers, g, list(there.values())), torch.stack(shares).sum()


def adapted(theta: Theta, steps: Sequence[Parts], alpha: float, workers: Workers, rule: Rule | None = None) -> Adapted:
    """theta after the `steps`, the losses L_1 .. L_k, as constants; in memory there is one step at a time.

    Args:
        rule: what is made of a gradient before theta moves against it; None = nothing, gradient descent.
    """
    there, loss = _constants(theta), torch.zeros(())
    total: Gradient = [None for _ in theta]
    for parts in steps:
        g, loss = gradient_at(there, parts, workers)
        direction = g if rule is None else rule(g)
        there, total = moved(there, direction, -alpha), add(total, direction)
    return Adapted(there, total, loss)


def rescaled(decay: float = 0.999, eps: float = 1e-8) -> Rule:
    """Adam without momentum (beta1 = 0), beginning anew: each number of a gradient by the root of its mean square."""
    squares: list[Tensor | None] = []
    steps = 0

    def rule(g: Gradient) -> Gradient:
        nonlocal squares, steps
        steps += 1
        squares = [None for _ in g] if steps == 1 else squares
        new = [None if d is None else (1 - decay) * d * d for d in g]
        squares = add(scaled(squares, decay), new)
        bias = 1 - decay**steps
        return [
            None if d is None or v is None else d / ((v / bias).sqrt() + eps) for d, v in zip(g, squares, strict=True)
        ]

    return rule


def unrolled(theta: Theta, steps: Sequence[Parts], query: Parts, alpha: float) -> tuple[Gradient, Tensor]:
    """The gradient for `theta` of the loss `query` behind the `steps`, and that loss; on this rank alone."""
    start = leaves(theta)
    there: dict[str, Tensor] = start
    for parts in steps:
        # the graph of every gradient stays: theta^(j) depends on theta through it
        g = add(*(local_gradient(part(there), list(there.values()), graph=True) for part in parts))
        there = moved(there, g, -alpha)
    loss = torch.stack([part(there) for part in query]).sum()
    return local_gradient(loss, list(start.values())), loss.detach()


def by_recursion(
    theta: Theta, steps: Sequence[Parts], query: Parts, alpha: float, workers: Workers
) -> tuple[Gradient, Tensor]:
    """The same as `unrolled` by Hessian-vector products, summed over ranks; the loss is this rank's share."""
    points = [_constants(theta)]  # theta^(0) .. theta^(k)
    for parts in steps:
        g, _ = gradient_at(points[-1], parts, workers)
        points.append(moved(points[-1], g, -alpha))
    u, loss = gradient_at(points.pop(), query, workers)
    for parts in reversed(steps):
        there = points.pop()
        product = add(*(hessian_product(part, there, u) for part in parts))
        u = add(u, scaled(sum_over(workers, product, list(there.values())), -alpha))
    return u, loss


def _constants(theta: Theta) -> dict[str, Tensor]:
    return {n: p.detach() for n, p in theta.items()}


@dataclass(frozen=True)
class CompactVocabulary:
    """The rows of a table of word embeddings that some batches touch, in the place of the table.

    Attributes:
        name: of the table among the parameters.
        rows: (U,) the ids whose rows these are.
        place: (V,) id -> its place among `rows`; meaningless for an id that is not among them.
    """

    name: str
    rows: Int[Tensor, "u"]
    place: Int[Tensor, "v"]

    @classmethod
    def of(cls, module: nn.Module, table: nn.Embedding, batches: Iterable[Batch]) -> CompactVocabulary:
        """The rows of `table`, a part of `module`, that `batches` touch."""
        name = next(n for n, p in module.named_parameters() if p is table.weight)
        ids = torch.cat([torch.zeros(0, dtype=torch.long), *(b.ids.long() for b in batches)])
        rows = torch.unique(ids)
        size = table.num_embeddings
        if (padding := table.padding_idx) is not None:
            # the layer gives the row in this place no gradient, so that it must be the same row as before
            others = rows[rows != padding]
            if len(others) < padding:  # fill up with rows that no batch touches
                spare = torch.ones(size, dtype=torch.bool)
                spare[rows] = spare[padding] = False
                others = torch.cat([others, spare.nonzero().squeeze(1)[: padding - len(others)]])
            rows = torch.cat([others[:padding], torch.tensor([padding]), others[padding:]])
        place = torch.zeros(size, dtype=torch.long)
        place[rows] = torch.arange(len(rows))
        return cls(name, rows, place)

    def batch(self, batch: Batch) -> Batch:
        """The same examples, their ids counted among the rows."""
        return replace(batch, ids=self.place[batch.ids.long()])

    def theta(self, theta: Theta) -> dict[str, Tensor]:
        """The parameters with the rows in the place of the table."""
        table = theta[self.name].detach()
        return {**theta, self.name: table.index_select(0, placed(self.rows, table.device))}

    def spread(self, g: Gradient, theta: Theta) -> Gradient:
        """A gradient for `self.theta(theta)` as one for `theta`: zero in every row of the table that is not here."""
        out = list(g)
        at = list(theta).index(self.name)
        if (own := g[at]) is not None:
            rows = placed(self.rows, own.device)
            out[at] = torch.zeros_like(theta[self.name], requires_grad=False).index_copy(0, rows, own)
        return out
