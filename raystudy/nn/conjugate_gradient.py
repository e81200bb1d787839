"""Conjugate gradients: the solution of a linear system whose matrix is known by its products with vectors alone.

    wanted      x with (A + d I) x = b, A symmetric, d >= 0 the damping
    r           b - (A + d I) x, the residual; x starts from 0, so r from b
    p           the search direction, conjugate to all earlier ones; p starts from b
    x, r        <- x + a p, r - a (A + d I) p,     a = |r|^2 / <p, (A + d I) p>
    p           <- r + (|r_new|^2 / |r|^2) p

Each iteration takes one product with A and four vectors of the size of b. The Hessian of a network is not positive
definite: where a direction p of negative curvature is met (<p, (A + d I) p> <= 0) the method has no next step and stops
with the x that it has. If that is the first direction, x is b itself, as if A were the identity (Nocedal & Wright 2006,
Algorithm 7.1).

With W workers every vector is a summed one, the same on every rank; `product` does the summing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from raystudy.nn.gradients import Gradient, add, dot, norm, scaled

__all__ = ["STOPS", "Solution", "Stop", "solve"]

Stop = Literal["converged", "out of iterations", "negative curvature"]
STOPS: tuple[Stop, ...] = ("converged", "out of iterations", "negative curvature")


@dataclass(frozen=True)
class Solution:
    """What was found, and how good it is.

    Attributes:
        x: aligned with b; None where b and all products have None.
        iterations: how many steps x is made of.
        residual: |b - (A + d I) x| / |b|, as the recursion carries it; 0 for b = 0.
    """

    x: Gradient
    iterations: int
    residual: float
    stopped: Stop


def solve(
    product: Callable[[Gradient], Gradient], b: Gradient, *, damping: float, iterations: int, tolerance: float
) -> Solution:
    """x with (A + `damping` I) x = b, up to a residual of `tolerance` |b| or for at most `iterations` products.

    Args:
        product: v -> A v; a None in v, or in what it returns, is a zero.
        b: not written to.
    """
    length = float(norm(b))
    x, r, p = scaled(b, 0.0), b, b
    squared = length**2
    for done in range(iterations):
        if squared**0.5 <= tolerance * length:
            return Solution(x, done, squared**0.5 / length if length else 0.0, "converged")
        applied = add(product(p), scaled(p, damping))
        curvature = float(dot(p, applied))
        if curvature <= 0:
            return Solution(x if done else b, done, squared**0.5 / length, "negative curvature")
        a = squared / curvature
        x, r = add(x, scaled(p, a)), add(r, scaled(applied, -a))
        before, squared = squared, float(norm(r)) ** 2
        p = add(r, scaled(p, squared / before))
    small = squared**0.5 <= tolerance * length
    residual = squared**0.5 / length if length else 0.0
    return Solution(x, iterations, residual, "converged" if small else "out of iterations")
