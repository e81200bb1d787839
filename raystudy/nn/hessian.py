"""The Hessian of a loss times a vector, without the Hessian: what exact derivatives through an update are made of.

    g(theta)    grad L(theta)
    H v         grad <g(theta), v>, v a constant: backwards through the graph that the gradient was computed by

Both derivatives are taken in reverse mode. The other exact way, reverse over forward mode, is not offered: torch's
layer_norm answers it with a wrong second derivative and says nothing (pytorch#196700). Fused attention kernels have no
second derivative at all, and torch raises RuntimeError there: a method that needs H v says so (`BaseMethod.exact`).

The loss is computed anew in each call and its graph is freed behind it, so that several products in a row need the
memory of one. A product costs a forward and a backward pass, and the pass through both of these.

H v is linear in the loss. So with W workers every rank's product is that of its own share of the loss, and their sum
(`workers.sum_over`) is the product of the whole, provided that v is the same vector on every rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from raystudy.nn.gradients import Gradient, detached, dot, leaves, local_gradient

__all__ = ["hessian_product"]


def hessian_product(
    loss_of_theta: Callable[[Mapping[str, Tensor]], Tensor], theta: Mapping[str, Tensor], v: Gradient
) -> Gradient:
    """H v of this rank's share of a loss at `theta`; nothing is summed, and no graph goes on through it.

    Args:
        loss_of_theta: parameters, by the names of `theta` -> a scalar. It is called once, with dropout off or with
            masks that it repeats itself (`nn.dropout`).
        theta: where the Hessian is taken. Neither these tensors nor their `grad` are written to.
        v: aligned with `theta`; None counts as zero.

    Returns:
        One tensor for every parameter, in the order of `theta`; None where the gradient along v does not depend on it.
        A loss that is a constant, such as that of a rank without examples, has None throughout.
    """
    there = leaves(theta)
    parameters = list(there.values())
    g = local_gradient(loss_of_theta(there), parameters, graph=True)
    return local_gradient(dot(g, detached(v)), parameters)
