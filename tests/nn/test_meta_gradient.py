"""The meta-gradient against its definition: differences of the loss after the step, a problem by hand, three routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raystudy.nn.gradients import local_gradient, with_parameters
from raystudy.nn.meta_gradient import ROUTES, Bilevel, Terms, virtual_step
from raystudy.workers import Alone, Workers, share, simulate

N, D, K = 7, 5, 3


class Model(nn.Module):
    """Two layers with a place between them where a net may act, and dropout."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.a, self.b, self.norm, self.unused = nn.Linear(D, 6), nn.Linear(6, K), nn.LayerNorm(6), nn.Linear(2, 2)
        self.p = p

    def forward(self, x: Tensor, inside: nn.Module | None = None) -> Tensor:
        h = torch.tanh(self.a(x))
        h = h if inside is None else h + inside(h.detach())
        return self.b(F.dropout(self.norm(h), self.p))


class Toy:
    """A model, a label net alpha, perhaps a net phi inside the model, and data for both losses."""

    def __init__(self, p: float = 0.0, inside: bool = False, c: float = 0.7, unlike: bool = False) -> None:
        torch.manual_seed(3)
        self.model, self.alpha = Model(p).double(), nn.Linear(4, K).double()
        self.phi = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 6)).double() if inside else None
        g = torch.Generator().manual_seed(4)
        self.x, self.xs, self.xv = (torch.randn(N, D, generator=g, dtype=torch.float64) for _ in range(3))
        self.z = torch.randn(N, 4, generator=g, dtype=torch.float64)
        self.y, self.yv = torch.arange(N) % K, (torch.arange(N) * 2) % K
        self.c = c
        if unlike:
            self.x, self.xv, self.y, self.yv = self.xv, self.x, self.yv, self.y

    @property
    def meta(self) -> list[nn.Parameter]:
        return [*self.alpha.parameters(), *(self.phi.parameters() if self.phi else ())]

    def problem(self, workers: Workers | None = None) -> Bilevel:
        mine = share(N, workers or Alone())

        def masks(name: int) -> None:
            torch.manual_seed(name)

        def log_p() -> Tensor:
            masks(1)
            return self.model(self.xs[mine], self.phi).log_softmax(-1)

        def labels() -> Tensor:
            return self.alpha(self.z[mine]).softmax(-1)

        def train() -> Terms:
            masks(2)
            first = F.cross_entropy(self.model(self.x[mine]), self.y[mine], reduction="sum") / N
            found = log_p()
            # a term that is no function of alpha but goes through the same pass
            shared = found.square().sum() / N if self.phi is None else torch.zeros(()).double()
            return Terms({"first": first}, shared, found, labels(), self.c / N)

        def meta_loss() -> Tensor:
            masks(3)
            return F.cross_entropy(self.model(self.xv[mine]), self.yv[mine], reduction="sum") / N

        theta = dict(self.model.named_parameters())
        alpha = list(self.alpha.parameters())
        return Bilevel(self.model, theta, alpha, train, log_p, labels, meta_loss, self.phi)

    def after(self, eta: float) -> float:
        """L_meta(Theta - eta grad L_train), as the paper writes it."""
        problem = self.problem()
        theta = problem.theta
        g = local_gradient(problem.train_terms().loss(), list(theta.values()))
        moved = {n: p if d is None else p - eta * d for (n, p), d in zip(theta.items(), g, strict=True)}
        with torch.no_grad():
            return with_parameters(self.model, moved, problem.meta_loss).item()


def flat(grads: Any) -> Tensor:
    return torch.cat([g.flatten() for g in grads])


def differences(parameters: list[nn.Parameter], f: Callable[[], float], e: float = 1e-5) -> Tensor:
    """Central differences of f, one coordinate after the other."""
    out = []
    for p in parameters:
        for i in range(p.numel()):
            at_i = p.detach().view(-1)[i]
            was, values = at_i.item(), []
            for sign in (1, -1):
                at_i.fill_(was + sign * e)
                values.append(f())
            at_i.fill_(was)
            out.append((values[0] - values[1]) / (2 * e))
    return torch.tensor(out, dtype=torch.float64)


def relative(a: Tensor, b: Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("inside", [False, True], ids=["alpha", "alpha and phi"])
@pytest.mark.parametrize("route", ["jvp", "double_backward"])
@pytest.mark.parametrize("p", [0.0, 0.5], ids=["", "dropout"])
def test_is_the_derivative_of_the_loss_after_the_step(route: str, inside: bool, p: float) -> None:
    toy, eta = Toy(p, inside), 0.3
    found = flat(virtual_step(toy.problem(), eta, route, Alone()).meta)
    assert relative(eta * found, differences(toy.meta, lambda: toy.after(eta))) < 1e-7


def test_by_hand() -> None:
    """One weight, one example: everything is a number."""

    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor(0.4, dtype=torch.float64))

    model, a = One(), nn.Parameter(torch.tensor([0.3, -0.2], dtype=torch.float64))

    def log_p() -> Tensor:  # logits (w, -w)
        return torch.stack([model.w, -model.w])[None].log_softmax(-1)

    problem = Bilevel(
        module=model,
        theta={"w": model.w},
        alpha=[a],
        train_terms=lambda: Terms({"square": model.w**2}, torch.zeros(()).double(), log_p(), a.softmax(-1)[None], 2.0),
        log_p=log_p,
        labels=lambda: a.softmax(-1)[None],
        meta_loss=lambda: model.w**3,
    )
    w, q, eta = model.w.item(), a.softmax(-1).detach(), 0.1
    slope = 1 - torch.tanh(model.w.detach()).item()  # d log p_0 / dw; that of log p_1 is slope - 2
    g = 2 * w - 2 * (q[0] * slope + q[1] * (slope - 2)).item()
    v = 3 * (w - eta * g) ** 2
    by_q = 2.0 * v * torch.tensor([slope, slope - 2], dtype=torch.float64)  # c <q, u>, u = v d log p / dw
    expected = q * (by_q - (q * by_q).sum())  # through the softmax
    for route in ("jvp", "double_backward"):
        found = virtual_step(problem, eta, route, Alone())
        assert found.g[0] is not None and found.g[0].item() == pytest.approx(g, abs=1e-12)
        assert found.v[0] is not None and found.v[0].item() == pytest.approx(v, abs=1e-12)
        assert found.meta[0] is not None
        torch.testing.assert_close(found.meta[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.5])
def test_routes_agree(inside: bool, p: float) -> None:
    toy = Toy(p, inside)
    reference = virtual_step(toy.problem(), 0.3, "double_backward", Alone())
    found = virtual_step(toy.problem(), 0.3, "jvp", Alone())
    assert relative(flat(found.meta), flat(reference.meta)) < 1e-12
    for a, b in zip((*found.g, *found.v, *found.third), (*reference.g, *reference.v, *reference.third), strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    if not inside:
        near = flat(virtual_step(toy.problem(), 0.3, "fd_logits", Alone()).meta)
        assert 0 < relative(near, flat(reference.meta)) < 1e-3


def test_a_fresh_mask_would_be_another_direction() -> None:
    """Why `log_p` must replay its dropout: with other masks the vector is another one."""
    toy = Toy(0.5)
    problem = toy.problem()
    right = flat(virtual_step(problem, 0.3, "jvp", Alone()).meta)

    def fresh() -> Tensor:
        torch.manual_seed(77)
        return toy.model(toy.xs).log_softmax(-1)

    wrong = flat(virtual_step(Bilevel(**{**vars(problem), "log_p": fresh}), 0.3, "jvp", Alone()).meta)
    assert relative(wrong, right) > 0.1


@pytest.mark.parametrize("route", ROUTES)
def test_without_a_third_term_there_is_nothing_to_learn(route: str) -> None:
    assert flat(virtual_step(Toy(c=0.0).problem(), 0.3, route, Alone()).meta).abs().max() == 0


def test_other_validation_examples_teach_something_else() -> None:
    one, other = (flat(virtual_step(Toy(unlike=u).problem(), 0.3, "jvp", Alone()).meta) for u in (False, True))
    assert relative(one, other) > 0.1


@pytest.mark.parametrize("route", ROUTES)
def test_nothing_is_written_to_the_model(route: str) -> None:
    toy = Toy(0.5)
    before = {n: p.detach().clone() for n, p in toy.model.named_parameters()}
    versions = [p._version for p in toy.model.parameters()]
    virtual_step(toy.problem(), 0.3, route, Alone())
    for (n, p), version in zip(toy.model.named_parameters(), versions, strict=True):
        assert torch.equal(p, before[n])
        assert p.grad is None
        assert p._version == version
        assert p.requires_grad


def test_the_graph_that_is_kept_gives_the_real_step() -> None:
    """through + what goes backwards of q' - q = the gradient with q', without another pass."""
    toy = Toy(0.5)
    problem, theta = toy.problem(), list(toy.model.parameters())
    found = virtual_step(problem, 0.3, "jvp", Alone(), keep_terms=True)
    together = virtual_step(problem, 0.3, "jvp", Alone())
    assert together.others == {}
    for r, t, both in zip(found.others["first"], found.third, together.third, strict=True):
        assert (both is None) == (r is None and t is None)
        if both is not None:
            torch.testing.assert_close(both, (0 if r is None else r) + (0 if t is None else t), rtol=0, atol=1e-12)
    with torch.no_grad():
        for p in toy.alpha.parameters():
            p.add_(0.5)
            p[0] -= 2
    change = local_gradient(found.terms.soft(problem.labels().detach() - found.terms.q.detach()), theta)
    whole = local_gradient(problem.train_terms().loss(), theta)
    for r, t, c, w in zip(found.others["first"], found.third, change, whole, strict=True):
        if w is not None:
            assert r is not None and t is not None and c is not None
            assert c.abs().max() > 1e-3
            torch.testing.assert_close(r + t + c, w, rtol=0, atol=1e-12)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("size", [2, 3, 9])
def test_workers_compute_what_one_computes(route: str, inside: bool, size: int) -> None:
    """Uneven shards, and ranks that have no example at all."""
    if route == "fd_logits" and inside:
        return
    alone = virtual_step(Toy(inside=inside).problem(), 0.3, route, Alone())

    toys = [Toy(inside=inside) for _ in range(size)]  # made one after the other: threads share torch's generator

    def work(workers: Workers) -> Any:
        return virtual_step(toys[workers.rank].problem(workers), 0.3, route, workers)

    for rank in simulate(size, work):
        for a, b in zip((*rank.meta, *rank.g, *rank.v), (*alone.meta, *alone.g, *alone.v), strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_local_virtual_steps_are_something_else() -> None:
    """Why g and v are summed over ranks first: the sum of local meta-gradients is another vector."""
    alone = flat(virtual_step(Toy().problem(), 0.3, "jvp", Alone()).meta)
    toys = [Toy(), Toy()]
    local = simulate(2, lambda w: flat(virtual_step(toys[w.rank].problem(w), 0.3, "jvp", Alone()).meta))
    assert relative(sum(local), alone) > 0.1


def test_finite_differences_are_refused_with_a_net_inside() -> None:
    for route in ("fd_logits", "reptile"):
        with pytest.raises(ValueError, match="route"):
            virtual_step(Toy(inside=True).problem(), 0.3, route, Alone())
