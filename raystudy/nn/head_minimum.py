"""How well the best head on a fixed encoder does on its training examples: L*(phi) = min over f of L(phi, f).

A head is linear, so for fixed features its loss is convex, and its minimum does not depend on where the search starts.
A penalty makes it unique: without one, features that separate the classes have no best head at all, only ever larger
ones whose loss goes to zero.

By this least loss the distance of two tasks is said (Chen et al. 2022, Def. 3.1): L_0*(phi_s) - L_0*(phi_0), how much
worse the target's best head does on an encoder phi_s that was learned from sources than on one that was learned from
the target itself, phi_0. It is that of what training finds in place of each best encoder: 0 where both are one encoder,
and below 0 where the sources have taught more than the target's own examples could.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from raystudy.data.text import IGNORED, Encoded, placed
from raystudy.nn.dropout import without_dropout
from raystudy.nn.encoder import Encoder, token_budget
from raystudy.nn.gradients import norm
from raystudy.nn.losses import cross_entropy
from raystudy.workers import Workers, share, sum_over

__all__ = ["distance_facts", "least_loss", "least_task_loss"]


def least_loss(
    x: Float[Tensor, "n h"],
    losses: Callable[[Float[Tensor, "n k"]], Float[Tensor, "n"]],
    outputs: int,
    *,
    total: int,
    penalty: float,
    workers: Workers,
) -> tuple[float, float]:
    """The least value of (1/total) sum_i l(W x_i + b) + penalty/2 |W|^2 over W and b, by L-BFGS in double precision.

    Args:
        x: this rank's examples; there may be none.
        losses: the logits of these -> a loss for each, convex in the logits.
        outputs: K, the rows of W.
        total: the examples of all ranks.
        penalty: above 0.

    Returns:
        The least value, the same on every rank, and the norm of the gradient there: at most its square over twice the
        penalty above the true minimum.
    """
    x = x.double()
    weight = torch.zeros(outputs, x.shape[1], dtype=x.dtype, device=x.device, requires_grad=True)
    bias = torch.zeros(outputs, dtype=x.dtype, device=x.device, requires_grad=True)
    theta = [weight, bias]
    optimizer = torch.optim.LBFGS(
        theta, max_iter=500, max_eval=2000, tolerance_grad=1e-10, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def value() -> Tensor:
        """The whole value, with its gradient left in the parameters; the same on every rank."""
        mine = losses(x @ weight.T + bias).sum() / total
        local = [mine.detach(), *torch.autograd.grad(mine, theta)]
        data, of_weight, of_bias = sum_over(workers, local, [mine, *theta])
        assert data is not None
        assert of_weight is not None
        weight.grad, bias.grad = of_weight + penalty * weight.detach(), of_bias
        return data + penalty / 2 * weight.detach().square().sum()

    optimizer.step(value)  # type: ignore[no-untyped-call]
    least = float(value())
    return least, float(norm([p.grad for p in theta]))


def least_task_loss(encoder: Encoder, part: Encoded, *, penalty: float, workers: Workers) -> float:
    """L*(phi) of a task: the least loss of a head on the encoder as it stands, without dropout, the same on every rank.

    The loss is the mean over the task's examples, or over the words of a tagging task; that of numbers is the squared
    error in the unit of the labels that are trained.

    Args:
        part: the examples of the task; each rank computes the features of its share of them.
        penalty: of the head, see `least_loss`.
    """
    rows = np.arange(len(part))[share(len(part), workers)]
    anchor = encoder.body.anchor
    x, y, units = [anchor.new_zeros(0, encoder.body.hidden)], [], 0
    with without_dropout(encoder), torch.no_grad():
        for some in token_budget(np.diff(part.offsets)[rows].tolist()):
            batch = part.batch(rows[some])
            states = encoder(batch)[0]
            units += int(batch.units.sum())
            if part.kind == "tagging":
                words = (batch.tags != IGNORED).nonzero().squeeze(1)
                x.append(states[placed(words, states.device)])
                y.append(batch.tags[words])
            else:
                x.append(encoder.feature(states, batch.offsets))
                y.append(batch.values if part.kind == "regression" else batch.labels)
    gold = torch.cat(y).to(anchor.device) if y else torch.zeros(0, dtype=torch.int64, device=anchor.device)

    def losses(logits: Tensor) -> Tensor:
        if part.kind == "regression":
            return (logits.squeeze(-1) - gold.to(logits)) ** 2
        return cross_entropy(logits, gold)

    total = max(1, sum(workers.gather(units)))
    with torch.enable_grad():
        least, _ = least_loss(torch.cat(x), losses, part.outputs, total=total, penalty=penalty, workers=workers)
    return least


def distance_facts(source: float, own: float) -> dict[str, float]:
    """What a record says of a distance: L_0* of the sources' encoder and of the target's own, and their difference."""
    return {"source": source, "own": own, "distance": source - own}
