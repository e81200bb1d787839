"""The gradient of a validation loss through one virtual step of SGD, for what made the labels of that step.

    Theta       the model;  alpha: the net that makes soft labels q;  phi: a net inside the model for these terms alone
    L_train     R(Theta) - c sum_i <q_i(alpha), log p_i(Theta, phi)>
    Theta'      Theta - eta g,  g = grad_Theta L_train;      v = grad L_meta at Theta'
    wanted      grad_{alpha, phi} L_meta(Theta') = -eta grad_{alpha, phi} <g, v>                  (MetaXT, eq. 5)
    identity    for alpha  = eta c grad_alpha sum_i <q_i(alpha), u_i>,  u_i = d log p_i(Theta + e v, phi) / de at e = 0
                for phi    = eta d(c grad_phi sum_i <q_i, log p_i(Theta + e v, phi)>) / de at e = 0

because v is a constant and only the last term of L_train knows alpha and phi. So there is no need for a graph of
gradients: u is ONE pass in forward mode over the examples of that term. Three routes to the same vector:

    jvp                 the identity, exact: u by forward mode; for phi, forward over reverse mode (the other way round,
                        torch's layer_norm gives a wrong second derivative and says nothing: pytorch#196700)
    double_backward     the definition: g with its graph, then backwards through it; thrice the cost of plain training
    fd_logits           the identity with u from two plain passes at Theta +- e v, e = 0.01 / ||v||: off by about 1e-5,
                        with any attention kernel. Not with phi, which would need differences of gradients

Dropout must be the same in every pass over one batch: `log_p` is asked again and has to replay its masks.

W workers = one: every rank has its share of L_train and L_meta, divided by global counts. g and v are summed over ranks
before they are used, and the result once more: three collectives. All that is differentiated is local, because <g, v>
is linear in g (methods that sum local meta-gradients instead compute another vector).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp

from raystudy.nn.gradients import gradients
from raystudy.nn.workers import Workers, sum_over

__all__ = ["ROUTES", "Bilevel", "MetaGradient", "Terms", "add", "at", "gradient", "meta_gradient"]

ROUTES = ("jvp", "double_backward", "fd_logits")
FD_RADIUS = 0.01  # ||e v||: larger is off by curvature, smaller by the digits of float32

Grads = list[Tensor | None]

# torch keeps one level of forward mode for the whole process, and simulated ranks are threads of one
_FORWARD_MODE = threading.Lock()


@dataclass(frozen=True)
class Terms:
    """One pass over the training batches: this rank's share of L_train, with its graphs.

    Attributes:
        rest: parts of R, each with a graph of its own.
        shared: the part of R that goes through the graph of `log_p`; a zero where there is none.
        log_p: (n, K) with a graph to Theta, and to phi. No rows where this rank has no example.
        q: (n, K) with a graph to alpha.
        c: the weight of a row.
    """

    rest: tuple[Tensor, ...]
    shared: Tensor
    log_p: Float[Tensor, "n k"]
    q: Float[Tensor, "n k"]
    c: float

    def soft(self, q: Float[Tensor, "n k"]) -> Tensor:
        """-c sum_i <q_i, log p_i>."""
        return -self.c * (q * self.log_p).sum()

    def loss(self) -> Tensor:
        """This rank's share of L_train."""
        return torch.stack([*self.rest, self.shared, self.soft(self.q)]).sum()


@dataclass(frozen=True)
class Bilevel:
    """A bilevel problem on the batches of one update. Every function reads `module` as its parameters stand.

    Attributes:
        module: the model; `theta`: the parameters of it that are trained, by their names in it.
        meta: alpha, and phi behind it.
        train: a pass over the training batches.
        log_p: (n, K), the rows of `Terms.log_p` once more, with the same dropout.
        labels: (n, K), the rows of `Terms.q` once more, for the alpha of now and the features of the last `train`.
        validate: this rank's share of L_meta.
        inside: the net of phi, where there is one; its parameters are the last of `meta`.
    """

    module: nn.Module
    theta: Mapping[str, Tensor]
    meta: Sequence[Tensor]
    train: Callable[[], Terms]
    log_p: Callable[[], Float[Tensor, "n k"]]
    labels: Callable[[], Float[Tensor, "n k"]]
    validate: Callable[[], Tensor]
    inside: nn.Module | None = None


@dataclass(frozen=True)
class MetaGradient:
    """What the virtual step gives.

    Attributes:
        meta: grad L_meta(Theta') for each of `Bilevel.meta`, the same on every rank, divided by eta.
        g, v: summed over ranks, the same on every rank.
        terms: the pass at Theta; its graph of `log_p` is still there, where it was kept.
        rest, through: this rank's gradients of each of `Terms.rest`, and of the shared part with the soft term.
    """

    meta: Grads
    g: Grads
    v: Grads
    terms: Terms
    rest: tuple[Grads, ...]
    through: Grads


class _Context(nn.Module):
    """`functional_call` calls a module, but what is to be called here is a function that uses one."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, function: Callable[[], Tensor]) -> Tensor:
        return function()


def at(module: nn.Module, parameters: Mapping[str, Tensor], function: Callable[[], Tensor]) -> Tensor:
    """``function()`` while these parameters of `module` are replaced. The module itself is not written to."""
    named = {f"module.{name}": p for name, p in parameters.items()}
    return functional_call(_Context(module), named, (function,))  # type: ignore[no-any-return]


def gradient(loss: Tensor, parameters: Sequence[Tensor], *, keep: bool = False, graph: bool = False) -> Grads:
    """This rank's gradient, None where `loss` does not depend on a parameter. `keep`: leave the graph for another."""
    if not loss.requires_grad:
        return [None] * len(parameters)
    found = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=keep or graph, create_graph=graph)
    return list(found)


def add(*terms: Grads) -> Grads:
    """The sum of several gradients of the same parameters; None where all are."""
    return [_sum([g for g in each if g is not None]) for each in zip(*terms, strict=True)]


def _sum(present: list[Tensor]) -> Tensor | None:
    # never in place: autograd may answer two parameters with one tensor
    total = present[0] if present else None
    for g in present[1:]:
        total = g if total is None else total + g
    return total


def meta_gradient(problem: Bilevel, eta: float, route: str, workers: Workers, *, keep: bool = True) -> MetaGradient:
    """The gradient of L_meta(Theta - eta grad L_train) for `problem.meta`, divided by eta.

    Nothing of the module changes, nor its parameters' `grad`.

    Args:
        route: one of `ROUTES`.
        keep: keep the graph of `log_p`, for the real step (`MetaGradient.terms`).

    Raises:
        ValueError: no such route, or fd_logits where log p depends on the meta-parameters.
    """
    if route not in ROUTES or (route == "fd_logits" and problem.inside is not None):
        raise ValueError(f"the route must be one of {ROUTES}, and not fd_logits with a net inside, but is {route!r}")
    theta, terms = list(problem.theta.values()), problem.train()
    graph = route == "double_backward"
    rest = [gradient(part, theta, graph=graph) for part in terms.rest]
    through = gradient(terms.shared + terms.soft(terms.q if graph else terms.q.detach()), theta, keep=keep, graph=graph)
    live = add(*rest, through)
    g = sum_over(workers, _detached(live), theta)
    v = _at_the_virtual_step(problem, g, eta, workers)
    if graph:
        pairs = [(x * y).sum() for x, y in zip(live, v, strict=True) if x is not None and y is not None]
        minus = -torch.stack(pairs).sum() if pairs else torch.zeros(())
        local = gradient(minus, problem.meta)
    else:
        u, of_phi = _derivative(problem, terms, v, route)
        alpha = problem.meta[: len(problem.meta) - len(of_phi)]
        local = [*gradient(terms.c * (terms.q * u).sum(), alpha), *of_phi]
    meta = sum_over(workers, local, problem.meta)
    return MetaGradient(meta, g, v, terms, tuple(map(_detached, rest)), _detached(through))


def _detached(grads: Grads) -> Grads:
    return [None if g is None else g.detach() for g in grads]


def _at_the_virtual_step(problem: Bilevel, g: Grads, eta: float, workers: Workers) -> Grads:
    """v, from L_meta at Theta - eta g."""
    moved = {
        name: (p.detach().clone() if d is None else p.detach() - eta * d).requires_grad_()
        for (name, p), d in zip(problem.theta.items(), g, strict=True)
    }
    return gradients(at(problem.module, moved, problem.validate), list(moved.values()), workers)


def _derivative(problem: Bilevel, terms: Terms, v: Grads, route: str) -> tuple[Float[Tensor, "n k"], Grads]:
    """u, the derivative of log p along v; and that of c grad_phi sum <q, log p>, for every tensor of phi."""
    phi = {} if problem.inside is None else {n: p.detach() for n, p in problem.inside.named_parameters()}
    along = {name: d for name, d in zip(problem.theta, v, strict=True) if d is not None}
    if not len(terms.log_p) or not along:
        return torch.zeros_like(terms.log_p), [None] * len(phi)
    fixed = {name: p.detach() for name, p in problem.theta.items()}
    if route == "fd_logits":
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(along.values()))))
        e = FD_RADIUS / norm if norm else torch.ones_like(norm)
        with torch.no_grad():
            here, there = (
                at(problem.module, {**fixed, **{n: fixed[n] + s * e * d for n, d in along.items()}}, problem.log_p)
                for s in (1, -1)
            )
        return (here - there).div(2 * e), []

    q = terms.q.detach()

    def log_p(moving: dict[str, Tensor], phi: dict[str, Tensor]) -> Tensor:
        inner, net = problem.log_p, problem.inside
        return at(problem.module, {**fixed, **moving}, inner if net is None else lambda: at(net, phi, inner))

    def both(moving: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        if not phi:
            return {}, log_p(moving, phi)

        def weighed(phi: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            found = log_p(moving, phi)
            return terms.c * (q * found).sum(), found

        slope: tuple[dict[str, Tensor], Tensor] = grad(weighed, has_aux=True)(phi)
        return slope

    with _FORWARD_MODE, torch.no_grad():
        of_phi, u = jvp(both, ({n: fixed[n] for n in along},), (along,))[1]
    return u, list(of_phi.values())
