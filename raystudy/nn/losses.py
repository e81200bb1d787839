"""Losses per example, so that every method decides how they are weighted and by what they are divided."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["cross_entropy", "smoothed_cross_entropy", "soft_cross_entropy"]


def cross_entropy(logits: Float[Tensor, "n c"], labels: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
    """-log tau_y per row. Rows labelled -100 give 0."""
    return F.cross_entropy(logits, labels, reduction="none", ignore_index=-100)


def soft_cross_entropy(logits: Float[Tensor, "n c"], q: Float[Tensor, "n c"]) -> Float[Tensor, "n"]:
    """CE(q, tau) = -sum_c q_c log tau_c per row."""
    return -(q * torch.log_softmax(logits, -1)).sum(-1)


def smoothed_cross_entropy(
    logits: Float[Tensor, "n c"], labels: Int[Tensor, "n"], lambda_: float
) -> Float[Tensor, "n"]:
    """-sum_c (1(c = y) + lambda / C) log tau_c per row.

    Meta-DTL's cross-entropy and maximum-entropy terms together (sec. 3.3), without the weight m. It equals
    (1 + lambda) CE(q, tau) with q = (1 - e) onehot + e / C and e = lambda / (1 + lambda): label smoothing.
    """
    log_tau = torch.log_softmax(logits, -1)
    return -(log_tau.gather(-1, labels[:, None]).squeeze(-1) + lambda_ * log_tau.mean(-1))
