"""The algebra of one update: sum gradients over ranks, clip, step. Every first-order update is `descend`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from raystudy.nn.workers import Workers, sum_over

__all__ = ["adamw", "clip", "descend", "gradients", "step_down", "warmup_linear"]


def warmup_linear(steps: int, warmup: float) -> Callable[[int], float]:
    """step -> factor of the peak learning rate: linear rise over the first `warmup` fraction, linear fall to zero.

    Counted so that no update has factor 0: update 0 of w warm-up updates has factor 1 / w, the last update of the
    decay has factor 1 / (steps - w).
    """
    rising = round(steps * warmup)

    def factor(step: int) -> float:
        return (step + 1) / rising if step < rising else (steps - step) / max(1, steps - rising)

    return factor


def adamw(module: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over the trainable parameters; biases and LayerNorm weights are not decayed (as Devlin et al. 2019)."""
    trained = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    plain = [p for n, p in trained if p.ndim < 2]
    decayed = [p for n, p in trained if p.ndim >= 2]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    # fused: the same update in one pass; it exists for CPU and CUDA
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, betas=(0.9, 0.999), eps=1e-8, fused=True)


def gradients(loss: Tensor, parameters: Sequence[Tensor], workers: Workers) -> list[Tensor | None]:
    """d(sum of all ranks' losses) / d parameters, the same on every rank; None where no rank's loss depends on it.

    `loss` is this rank's share of a sum already divided by the GLOBAL count; a rank with an empty slice passes a
    constant, which has no gradient.
    """
    local: Sequence[Tensor | None] = [None] * len(parameters)
    if loss.requires_grad:
        local = torch.autograd.grad(loss, list(parameters), allow_unused=True)
    return sum_over(workers, local, parameters)


def clip(grads: Sequence[Tensor | None], largest: float) -> float:
    """Scale the reduced gradients in place to at most `largest` in global norm (0 = leave them); return the norm."""
    present = [g for g in grads if g is not None]
    if not present:
        return 0.0
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(present)))
    if largest > 0 and norm > largest:
        once = list({g.data_ptr(): g for g in present}.values())  # autograd may answer two parameters with one tensor
        torch._foreach_mul_(once, (largest / (norm + 1e-6)).item())
    return float(norm)


def descend(loss: Tensor, optimizer: torch.optim.Optimizer, lr: float, largest: float, workers: Workers) -> float:
    """One update of the optimizer's parameters down the summed loss at rate `lr`; returns the gradient norm."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return step_down(optimizer, parameters, gradients(loss, parameters, workers), lr, largest)


def step_down(
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    lr: float,
    largest: float = 0.0,
) -> float:
    """One update of `parameters` along `grads`, the same on every rank; returns their norm before it was clipped.

    The optimizer's other parameters and their moments stay as they are, as do those whose gradient is None.

    Raises:
        FloatingPointError: the norm is not finite.
    """
    norm = clip(grads, largest)
    if not math.isfinite(norm):
        raise FloatingPointError(f"the gradient's norm is {norm}: training diverged (learning rate {lr:g})")
    for p, g in zip(parameters, grads, strict=True):
        p.grad = g
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    for p in parameters:
        p.grad = None
    return norm
