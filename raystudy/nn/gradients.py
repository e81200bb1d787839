"""The vector algebra of an update: gradients, their sums over ranks, and steps along them.

A gradient is a list with one tensor for every parameter, None where the loss does not depend on it: an optimizer then
leaves that parameter and its moments alone. There are two kinds, and mixing them up gives a wrong update without a
word: a *local* gradient is that of this rank's share of the loss; a *summed* gradient is the sum of the local ones over
all ranks, the same on every rank. What is not linear in a gradient (its norm, a cosine, a step) takes a summed one.
Every first-order update of a method is `descend`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from raystudy.workers import Workers, sum_over

__all__ = [
    "Gradient",
    "MakeOptimizer",
    "adamw",
    "add",
    "clip",
    "descend",
    "detached",
    "dot",
    "leaves",
    "local_gradient",
    "moved",
    "norm",
    "number",
    "scaled",
    "step_down",
    "summed_gradient",
    "warmup_linear",
    "with_parameters",
]

Gradient = list[Tensor | None]
MakeOptimizer = Callable[[nn.Module, float, float], torch.optim.Optimizer]  # module, peak rate, weight decay


def warmup_linear(steps: int, warmup: float) -> Callable[[int], float]:
    """step -> factor of the peak learning rate: linear rise over the first `warmup` fraction, linear fall to zero.

    Counted so that no update has factor 0: update 0 of w warm-up updates has factor 1 / w, the last update of the
    decay has factor 1 / (steps - w).
    """
    rising = round(steps * warmup)

    def factor(step: int) -> float:
        return (step + 1) / rising if step < rising else (steps - step) / max(1, steps - rising)

    return factor


def adamw(module: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW over the trainable parameters; biases and LayerNorm weights are not decayed (as Devlin et al. 2019)."""
    trained = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    plain = [p for n, p in trained if p.ndim < 2]
    decayed = [p for n, p in trained if p.ndim >= 2]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    # fused: the same update in one pass; it exists for CPU and CUDA
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, betas=(0.9, 0.999), eps=1e-8, fused=True)


def local_gradient(loss: Tensor, theta: Sequence[Tensor], *, keep: bool = False, graph: bool = False) -> Gradient:
    """d `loss` / d theta on this rank alone; nothing is summed.

    Args:
        loss: a scalar. A constant, such as the loss of a rank without examples, has no gradient.
        keep: leave the loss's graph for another backward pass.
        graph: give the gradient a graph of its own, for derivatives of it.
    """
    if not loss.requires_grad:
        return [None] * len(theta)
    return list(
        torch.autograd.grad(loss, list(theta), allow_unused=True, retain_graph=keep or graph, create_graph=graph)
    )


def summed_gradient(loss: Tensor, theta: Sequence[Tensor], workers: Workers) -> Gradient:
    """d (sum of all ranks' losses) / d theta, the same on every rank; None where no rank's loss depends on it.

    `loss` is this rank's share of a sum already divided by the GLOBAL count.
    """
    return sum_over(workers, local_gradient(loss, theta), theta)


def add(*gradients: Gradient) -> Gradient:
    """The sum of several gradients of the same parameters; None where all are."""
    return [_total([g for g in each if g is not None]) for each in zip(*gradients, strict=True)]


def _total(present: list[Tensor]) -> Tensor | None:
    # never in place: autograd may answer two parameters with one tensor
    total = present[0] if present else None
    for g in present[1:]:
        total = g if total is None else total + g
    return total


def scaled(g: Gradient, a: float) -> Gradient:
    """a g."""
    return [None if d is None else a * d for d in g]


def detached(g: Gradient) -> Gradient:
    """g as constants, without the graph that made it."""
    return [None if d is None else d.detach() for d in g]


def dot(g: Gradient, h: Gradient) -> Tensor:
    """<g, h> over all parameters, a scalar; where one of them is None it counts as zero."""
    pairs = [(x * y).sum() for x, y in zip(g, h, strict=True) if x is not None and y is not None]
    return torch.stack(pairs).sum() if pairs else torch.zeros(())


def norm(g: Sequence[Tensor | None]) -> Tensor:
    """||g|| over all parameters, a scalar; 0 where all are None."""
    present = [d for d in g if d is not None]
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(present))) if present else torch.zeros(())


def moved(theta: Mapping[str, Tensor], g: Gradient, a: float | Tensor) -> dict[str, Tensor]:
    """theta + a g, by name: new tensors, through which a graph of theta and g goes on. `g` is aligned with `theta`."""
    return {n: p if d is None else p + a * d for (n, p), d in zip(theta.items(), g, strict=True)}


def leaves(theta: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same values, by name, without what made them, as variables of which derivatives can be taken."""
    return {n: p.detach().requires_grad_() for n, p in theta.items()}


class _Context(nn.Module):
    """`functional_call` calls a module, but what is to be called here is a function that uses one."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, function: Callable[[], Tensor]) -> Tensor:
        return function()


def with_parameters(module: nn.Module, theta: Mapping[str, Tensor], function: Callable[[], Tensor]) -> Tensor:
    """``function()`` while the parameters of `module` with these names are replaced by `theta`.

    The module itself is not written to.
    """
    named = {f"module.{name}": p for name, p in theta.items()}
    return functional_call(_Context(module), named, (function,))  # type: ignore[no-any-return]


def number(x: Tensor) -> float | Tensor:
    """A scalar as a number; on a GPU as it is, without a graph, because asking for it would wait for all before it."""
    return float(x) if x.device.type == "cpu" else x.detach()


def clip(g: Sequence[Tensor | None], largest: float) -> float | Tensor:
    """Scale a summed gradient in place to at most `largest` in norm (0 = leave it); return the norm that it had."""
    length = norm(g)
    present = [d for d in g if d is not None]
    once = list({d.data_ptr(): d for d in present}.values())  # autograd may answer two parameters with one tensor
    if length.device.type != "cpu":  # scaled by one where it is short enough: which of the two, nobody asks
        if largest > 0:
            torch._foreach_mul_(once, torch.where(length > largest, largest / (length + 1e-6), 1.0))
    elif largest > 0 and length > largest:
        torch._foreach_mul_(once, (largest / (length + 1e-6)).item())
    return number(length)


def descend(
    loss: Tensor, optimizer: torch.optim.Optimizer, lr: float, largest: float, workers: Workers
) -> float | Tensor:
    """One update of the optimizer's parameters down the summed loss at rate `lr`; returns the gradient's norm."""
    theta = [p for group in optimizer.param_groups for p in group["params"]]
    return step_down(optimizer, theta, summed_gradient(loss, theta, workers), lr, largest)


def step_down(
    optimizer: torch.optim.Optimizer,
    theta: Sequence[Tensor],
    g: Gradient,
    lr: float,
    largest: float = 0.0,
) -> float | Tensor:
    """One update of `theta` down the summed gradient `g`; returns its norm before it was clipped to `largest`.

    The optimizer's other parameters and their moments stay as they are, as do those whose gradient is None.

    Raises:
        FloatingPointError: the norm is not finite. On a GPU it is not looked at here, but wherever it is reported.
    """
    length = clip(g, largest)
    if isinstance(length, float) and not math.isfinite(length):
        raise FloatingPointError(f"the gradient's norm is {length}: training diverged (learning rate {lr:g})")
    for p, d in zip(theta, g, strict=True):
        p.grad = d
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    for p in theta:
        p.grad = None
    return length
