"""One step of mirror descent on the simplex: how weights that sum to one follow a gradient and still sum to one.

Each weight is multiplied by a factor, larger where its gradient is lower, and then all are divided by their sum. None
can become negative, and what counts is the proportion of two weights alone (TAWT, Chen et al. 2022, eq. 2.8).
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["mirror_step"]


def mirror_step(omega: Tensor, g: Tensor, eta: float) -> Tensor:
    """Eq. 2.8: omega_t exp(-eta g_t), normalised.

    Where g_t is NaN omega_t stays, and the other weights share in the new proportions what they had together.

    Args:
        omega: (K,) on the simplex. g: (K,).
    """
    moving = ~g.isnan() & (omega > 0)
    new = omega.clone()
    if moving.any():
        new[moving] = omega[moving].sum() * (omega[moving].log() - eta * g[moving]).softmax(0)
    return new
