"""How well the best head on a fixed encoder does on its training examples: L*(phi) = min over f of L(phi, f).

A head is linear, so for fixed features its loss is convex, and its minimum does not depend on where the search starts.
A penalty makes it unique: without one, features that separate the classes have no best head at all, only ever larger
ones whose loss goes to zero.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from raystudy.nn.gradients import norm
from raystudy.workers import Workers, sum_over

__all__ = ["least_loss"]


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
