"""The gradient of a validation loss through one virtual step of SGD, for what made the labels of that step.

A model learns from soft labels that another network gives. Whether these labels are good is judged by the model's loss
on other examples after one step on them, and that loss has a derivative for the network. The labels enter the step in
one place only, so the derivative needs no graph of gradients: one pass in forward mode is enough.

    Theta       the model;  alpha: the net that makes soft labels q;  phi: a net inside the model for these terms alone
    L_train     R(Theta) - c sum_i <q_i(alpha), log p_i(Theta, phi)>
    Theta'      Theta - eta g,  g = grad_Theta L_train;      v = grad L_meta at Theta'
    wanted      grad_{alpha, phi} L_meta(Theta') = -eta grad_{alpha, phi} <g, v>                  (MetaXT, eq. 5)
    identity    for alpha  = eta c grad_alpha sum_i <q_i(alpha), u_i>,  u_i = d log p_i(Theta + e v, phi) / de at e = 0
                for phi    = eta d(c grad_phi sum_i <q_i, log p_i(Theta + e v, phi)>) / de at e = 0

The identity holds because v is a constant and only the last term of L_train knows alpha and phi. Three routes lead to
the same vector:

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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import grad, jvp

from raystudy.nn.forward_mode import FORWARD_MODE_LOCK
from raystudy.nn.gradients import (
    Gradient,
    add,
    detached,
    dot,
    leaves,
    local_gradient,
    moved,
    norm,
    summed_gradient,
    with_parameters,
)
from raystudy.workers import Workers, sum_over

__all__ = ["ROUTES", "Bilevel", "Terms", "VirtualStep", "train_gradient", "virtual_step"]

ROUTES = ("jvp", "double_backward", "fd_logits")
FD_RADIUS = 0.01  # ||e v||: larger is off by curvature, smaller by the digits of float32


@dataclass(frozen=True)
class Terms:
    """One pass over the training batches: this rank's share of L_train, with its graphs.

    Attributes:
        others: the terms of R that do not go through the graph of `log_p`, by name, each with a graph of its own.
        shared: the part of R that goes through the graph of `log_p`; a zero where there is none.
        log_p: (n, K) with a graph to Theta, and to phi. No rows where this rank has no example.
        q: (n, K) with a graph to alpha.
        c: the weight of a row.
    """

    others: Mapping[str, Tensor]
    shared: Tensor
    log_p: Float[Tensor, "n k"]
    q: Float[Tensor, "n k"]
    c: float

    def soft(self, q: Float[Tensor, "n k"]) -> Tensor:
        """-c sum_i <q_i, log p_i>, the third term, for these soft labels."""
        return -self.c * (q * self.log_p).sum()

    def loss(self) -> Tensor:
        """This rank's share of L_train."""
        return torch.stack([*self.others.values(), self.shared, self.soft(self.q)]).sum()


@dataclass(frozen=True)
class Bilevel:
    """A bilevel problem on the batches of one update. Every function reads `module` as its parameters stand.

    Attributes:
        module: the model; `theta`: the parameters of it that are trained, by their names in it.
        alpha: what makes the soft labels.
        train_terms: a pass over the training batches.
        log_p: (n, K), the rows of `Terms.log_p` once more, with the same dropout.
        labels: (n, K), the rows of `Terms.q` once more, at the alpha of now, for the states of the last `train_terms`.
        meta_loss: this rank's share of L_meta.
        inside: the net of phi, where there is one.
    """

    module: nn.Module
    theta: Mapping[str, Tensor]
    alpha: Sequence[Tensor]
    train_terms: Callable[[], Terms]
    log_p: Callable[[], Float[Tensor, "n k"]]
    labels: Callable[[], Float[Tensor, "n k"]]
    meta_loss: Callable[[], Tensor]
    inside: nn.Module | None = None

    @property
    def parameters(self) -> list[Tensor]:
        """Theta, as a gradient is aligned with it."""
        return list(self.theta.values())

    @property
    def phi(self) -> dict[str, Tensor]:
        """The parameters of the net inside, by their names in it."""
        return {} if self.inside is None else dict(self.inside.named_parameters())


@dataclass(frozen=True)
class VirtualStep:
    """What one virtual step of SGD and the validation loss behind it give.

    Attributes:
        alpha, phi: grad L_meta(Theta') for each of their tensors, the same on every rank, divided by eta.
        g, v: grad L_train at Theta and grad L_meta at Theta', summed over ranks, the same on every rank.
        terms: the pass at Theta; its graph of `log_p` is still there, where it was kept.
        others: this rank's gradient of each of `Terms.others`; empty where they are not kept apart.
        third: this rank's gradient of the third term and what is shared with it; where terms are not kept, of all.
    """

    alpha: Gradient
    phi: Gradient
    g: Gradient
    v: Gradient
    terms: Terms
    others: Mapping[str, Gradient]
    third: Gradient

    @property
    def meta(self) -> Gradient:
        """The gradient of L_meta(Theta') for alpha, and for phi behind it."""
        return [*self.alpha, *self.phi]


def virtual_step(
    problem: Bilevel, eta: float, route: str, workers: Workers, *, keep_graph: bool = True, keep_terms: bool = False
) -> VirtualStep:
    """The gradient of L_meta(Theta - eta grad L_train) for alpha and phi, divided by eta.

    Nothing of the module changes, nor its parameters' `grad`.

    Args:
        route: one of `ROUTES`.
        keep_graph: keep the graph of `log_p`, for the real step (`train_gradient`).
        keep_terms: keep the gradients of the terms apart, which costs the memory of one model each.

    Raises:
        ValueError: no such route, or fd_logits where log p depends on the meta-parameters.
    """
    if route not in ROUTES or (route == "fd_logits" and problem.inside is not None):
        raise ValueError(f"the route must be one of {ROUTES}, and not fd_logits with a net inside, but is {route!r}")
    theta, terms, graph = problem.parameters, problem.train_terms(), route == "double_backward"
    others = {name: local_gradient(term, theta, graph=graph) for name, term in terms.others.items()}
    soft = terms.soft(terms.q if graph else terms.q.detach())
    third = local_gradient(terms.shared + soft, theta, keep=keep_graph, graph=graph)
    local_g = add(*others.values(), third)
    third = detached(third if keep_terms else local_g)
    others = {name: detached(d) for name, d in others.items()} if keep_terms else {}  # else freed before what follows
    g = sum_over(workers, detached(local_g), theta)
    there = leaves(moved(problem.theta, g, -eta))  # Theta'
    v = summed_gradient(with_parameters(problem.module, there, problem.meta_loss), list(there.values()), workers)
    del there
    alpha, phi = _by_definition(problem, local_g, v) if graph else _by_identity(problem, terms, v, route)
    summed = sum_over(workers, [*alpha, *phi], [*problem.alpha, *problem.phi.values()])
    return VirtualStep(summed[: len(alpha)], summed[len(alpha) :], g, v, terms, others, third)


def _by_definition(problem: Bilevel, local_g: Gradient, v: Gradient) -> tuple[Gradient, Gradient]:
    """This rank's -grad <g, v> for alpha and for phi, backwards through the graph of g."""
    alpha, phi = list(problem.alpha), list(problem.phi.values())
    both = local_gradient(-dot(local_g, v), [*alpha, *phi])
    return both[: len(alpha)], both[len(alpha) :]


def _by_identity(problem: Bilevel, terms: Terms, v: Gradient, route: str) -> tuple[Gradient, Gradient]:
    """This rank's c grad sum <q, u> for alpha, and for phi the derivative of c grad sum <q, log p> along v."""
    along = {name: d for name, d in zip(problem.theta, v, strict=True) if d is not None}
    u: Tensor = torch.zeros_like(terms.log_p)
    phi: Gradient = [None for _ in problem.phi]
    if len(terms.log_p) and along:
        u, phi = (_differences(problem, along), []) if route == "fd_logits" else _forward_mode(problem, terms, along)
    return local_gradient(terms.c * (terms.q * u).sum(), problem.alpha), phi


def _differences(problem: Bilevel, along: Mapping[str, Tensor]) -> Float[Tensor, "n k"]:
    """u from two passes on either side of Theta."""
    fixed = {name: p.detach() for name, p in problem.theta.items()}
    length = norm(list(along.values()))
    e = FD_RADIUS / length if length else torch.ones_like(length)

    def log_p(e: Tensor) -> Tensor:
        there = {**fixed, **{n: fixed[n] + e * d for n, d in along.items()}}
        return with_parameters(problem.module, there, problem.log_p)

    with torch.no_grad():
        return (log_p(e) - log_p(-e)).div(2 * e)


def _forward_mode(
    problem: Bilevel, terms: Terms, along: dict[str, Tensor]
) -> tuple[Float[Tensor, "n k"], list[Tensor | None]]:
    """u, the derivative of log p along v; and that of c grad_phi sum <q, log p>, for every tensor of phi."""
    fixed = {name: p.detach() for name, p in problem.theta.items()}
    phi = {name: p.detach() for name, p in problem.phi.items()}
    q = terms.q.detach()

    def log_p(theta: dict[str, Tensor], phi: dict[str, Tensor]) -> Tensor:
        inner, net = problem.log_p, problem.inside
        replaced = inner if net is None else lambda: with_parameters(net, phi, inner)
        return with_parameters(problem.module, {**fixed, **theta}, replaced)

    def both(theta: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        if not phi:
            return {}, log_p(theta, phi)

        def weighed(phi: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            rows = log_p(theta, phi)
            return terms.c * (q * rows).sum(), rows

        slope: tuple[dict[str, Tensor], Tensor] = grad(weighed, has_aux=True)(phi)
        return slope

    with FORWARD_MODE_LOCK, torch.no_grad():
        of_phi, u = jvp(both, ({n: fixed[n] for n in along},), (along,))[1]
    return u, list(of_phi.values())


def train_gradient(problem: Bilevel, step: VirtualStep, route: str) -> dict[str, Gradient]:
    """This rank's grad_Theta L_train for the alpha and phi of now, by term: those of `Terms.others`, and ``third``.

    What does not depend on alpha and phi is taken over from the virtual step. Of the third term only what q has changed
    by goes backwards, through the graph that is still there; where phi has moved too, log p is computed anew.
    ``double_backward`` takes nothing over: it is the reference for the rest.
    """
    theta, terms = problem.parameters, step.terms
    if route == "double_backward":
        terms = problem.train_terms()
        others = {name: local_gradient(term, theta) for name, term in terms.others.items()}
        return {**others, "third": local_gradient(terms.shared + terms.soft(terms.q.detach()), theta)}
    q = problem.labels().detach()
    if problem.inside is not None:
        return {**step.others, "third": local_gradient(-terms.c * (q * problem.log_p()).sum(), theta)}
    change = local_gradient(terms.soft(q - terms.q.detach()), theta)
    return {**step.others, "third": add(step.third, change)}
