"""Steps of gradient descent and the derivative through them, against explicit Hessians and closed forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raystudy.nn import inner_loop
from raystudy.nn.gradients import Gradient, local_gradient
from raystudy.nn.inner_loop import (
    Adapted,
    CompactVocabulary,
    Parts,
    adapted,
    by_recursion,
    gradient_at,
    rescaled,
    unrolled,
)
from raystudy.workers import Alone, Workers, simulate

ALPHA = 0.3
Theta = Mapping[str, Tensor]


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def net() -> dict[str, Tensor]:
    """A layer of tanh, a head, and another task's head, which no loss here reads."""
    return {"body": numbers(4, 3, seed=1), "head": numbers(3, 2, seed=2), "other": numbers(3, 5, seed=3)}


def loss_on(x: Tensor, y: Tensor, of: int) -> Callable[[Theta], Tensor]:
    """The cross-entropy of some examples, divided by how many there are in all."""
    return lambda theta: F.cross_entropy((x @ theta["body"]).tanh() @ theta["head"], y, reduction="sum") / of


def examples(seed: int, n: int = 5) -> tuple[Tensor, Tensor]:
    return numbers(n, 4, seed=seed), torch.arange(n) % 2


def problem(k: int) -> tuple[list[Parts], Parts]:
    """k steps and a query, each with examples of its own."""
    steps: list[Parts] = [[loss_on(*examples(10 + j), 5)] for j in range(k)]
    return steps, [loss_on(*examples(9), 5)]


def flat(tensors: Sequence[Tensor | None]) -> Tensor:
    return torch.cat([t.flatten() for t in tensors if t is not None])


def relative(a: Sequence[Tensor | None], b: Sequence[Tensor | None]) -> float:
    assert [t is None for t in a] == [t is None for t in b]
    return ((flat(a) - flat(b)).norm() / flat(b).norm()).item()


def hessian(part: Callable[[Theta], Tensor], theta: Theta) -> Tensor:
    """Of a loss over body and head, as one matrix."""
    shapes = {n: theta[n].shape for n in ("body", "head")}

    def of_flat(v: Tensor) -> Tensor:
        body, head = v.split([shapes["body"].numel(), shapes["head"].numel()])
        return part({**theta, "body": body.view(shapes["body"]), "head": head.view(shapes["head"])})

    return torch.autograd.functional.hessian(of_flat, flat([theta["body"], theta["head"]]))


def way(name: str, steps: Sequence[Parts], query: Parts, theta: Theta | None = None, alpha: float = ALPHA) -> Gradient:
    theta = net() if theta is None else theta
    if name == "unrolled":
        return unrolled(theta, steps, query, alpha)[0]
    return by_recursion(theta, steps, query, alpha, Alone())[0]


def fomaml(steps: Sequence[Parts], query: Parts) -> Gradient:
    return gradient_at(adapted(net(), steps, ALPHA, Alone()).theta, query, Alone())[0]


both_ways = pytest.mark.parametrize("name", ["unrolled", "recursion"])


@both_ways
@pytest.mark.parametrize("k", [1, 2, 3])
def test_gradient_is_the_product_of_explicit_hessians(name: str, k: int) -> None:
    """(I - alpha H_1) .. (I - alpha H_k) g, each Hessian a matrix at the point where its step was taken."""
    steps, query = problem(k)
    points = [adapted(net(), steps[:j], ALPHA, Alone()).theta for j in range(k)]
    u = flat(fomaml(steps, query))
    for theta, (part,) in zip(reversed(points), reversed(steps), strict=True):
        u = u - ALPHA * hessian(part, theta) @ u
    found = way(name, steps, query)
    assert found[2] is None  # the other task's head
    assert ((flat(found) - u).norm() / u.norm()).item() < 1e-14
    # what is dropped by the first-order variant is no matter of rounding
    assert relative(fomaml(steps, query), found) > 0.05


@both_ways
@pytest.mark.parametrize("k", [1, 2, 4])
def test_quadratic_in_closed_form(name: str, k: int) -> None:
    """L = (theta - c)' A (theta - c) / 2 for steps and query: (I - alpha A)^k A (I - alpha A)^k (theta - c)."""
    a, c, theta = numbers(6, 6, seed=1), numbers(6, seed=2), numbers(6, seed=3)
    a = a @ a.T / 6

    def loss(at: Theta) -> Tensor:
        return 0.5 * (at["x"] - c) @ a @ (at["x"] - c)

    steps: list[Parts] = [[loss]] * k
    shrink = torch.matrix_power(torch.eye(6, dtype=torch.float64) - ALPHA * a, k)
    (g,) = way(name, steps, [loss], {"x": theta})
    assert g is not None
    torch.testing.assert_close(g, shrink @ a @ shrink @ (theta - c), rtol=1e-12, atol=1e-14)
    # and so is where the steps lead
    torch.testing.assert_close(adapted({"x": theta}, steps, ALPHA, Alone()).theta["x"], c + shrink @ (theta - c))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_both_ways_are_one_vector(k: int) -> None:
    steps, query = problem(k)
    assert relative(way("recursion", steps, query), way("unrolled", steps, query)) < 1e-14


def test_a_lost_graph_would_be_the_first_order_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps whose gradients are constants give FOMAML bit for bit, as in the authors' program; nothing else tells."""
    steps, query = problem(3)
    exact, first = way("unrolled", steps, query), fomaml(steps, query)
    assert relative(exact, first) > 0.05

    def without(loss: Tensor, theta: Sequence[Tensor], *, keep: bool = False, graph: bool = False) -> Gradient:
        return [None if g is None else g.detach() for g in local_gradient(loss, theta, keep=True)]

    monkeypatch.setattr(inner_loop, "local_gradient", without)
    for a, b in zip(way("unrolled", steps, query), first, strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a, b)


@both_ways
def test_steps_of_no_length_change_nothing(name: str) -> None:
    steps, query = problem(3)
    plain, _ = gradient_at(net(), query, Alone())
    assert relative(way(name, steps, query, alpha=0.0), plain) == 0


def test_displacement_of_one_step_is_the_gradient() -> None:
    steps, _ = problem(1)
    theta, there = net(), adapted(net(), steps, ALPHA, Alone())
    g, loss = gradient_at(theta, steps[0], Alone())
    assert relative(there.total, g) == 0
    assert there.loss == loss
    for name in ("body", "head"):
        d = g[[*theta].index(name)]
        assert d is not None
        torch.testing.assert_close(there.theta[name] - theta[name], -ALPHA * d, rtol=1e-12, atol=1e-15)
    assert torch.equal(there.theta["other"], theta["other"])


@pytest.mark.parametrize("k", [1, 4])
def test_total_is_the_way_that_was_gone(k: int) -> None:
    steps, _ = problem(k)
    theta, there = net(), adapted(net(), steps, ALPHA, Alone())
    for p, q, d in zip(theta.values(), there.theta.values(), there.total, strict=True):
        torch.testing.assert_close(q - p, torch.zeros_like(p) if d is None else -ALPHA * d, rtol=1e-12, atol=1e-14)


def in_parts(k: int) -> tuple[list[Parts], Parts]:
    """The same losses as `problem`, each in parts of two, two and one example."""

    def cut(seed: int) -> Parts:
        x, y = examples(seed)
        return [loss_on(x[a:b], y[a:b], 5) for a, b in ((0, 2), (2, 4), (4, 5))]

    return [cut(10 + j) for j in range(k)], cut(9)


@both_ways
def test_parts_of_a_loss_are_the_loss(name: str) -> None:
    assert relative(way(name, *in_parts(3)), way(name, *problem(3))) < 1e-14


@pytest.mark.parametrize("size", [2, 3, 7])
def test_examples_split_over_workers(size: int) -> None:
    """Every rank has some of the five examples of each batch, or none: the sum in each step makes it one training."""

    def mine(seed: int, workers: Workers) -> Parts:
        x, y = examples(seed)
        here = slice(workers.rank, None, workers.size)
        if not len(y[here]):
            return [lambda theta: torch.zeros((), dtype=torch.float64)]
        return [loss_on(x[here], y[here], 5)]

    def work(workers: Workers) -> tuple[Gradient, Adapted]:
        steps = [mine(10 + j, workers) for j in range(3)]
        g, _ = by_recursion(net(), steps, mine(9, workers), ALPHA, workers)
        return g, adapted(net(), steps, ALPHA, workers)

    alone = way("unrolled", *problem(3)), adapted(net(), problem(3)[0], ALPHA, Alone())
    for g, there in simulate(size, work):
        assert relative(g, alone[0]) < 1e-13
        assert relative(there.total, alone[1].total) < 1e-13


def test_a_query_without_a_loss_has_no_gradient() -> None:
    steps, _ = problem(2)
    constant: Parts = [lambda theta: torch.zeros((), dtype=torch.float64)]
    assert way("unrolled", steps, constant) == way("recursion", steps, constant) == [None, None, None]


def test_adam_without_momentum() -> None:
    """torch's Adam with beta1 = 0, step for step."""
    theta = {"x": numbers(4, seed=1)}
    steps: list[Parts] = [[lambda at, c=c: ((at["x"] - c) ** 4).sum()] for c in (1.0, -2.0, 0.5)]
    there = adapted(theta, steps, 0.1, Alone(), rescaled())
    x = theta["x"].clone().requires_grad_()
    adam = torch.optim.Adam([x], lr=0.1, betas=(0.0, 0.999), eps=1e-8)
    for (part,) in steps:
        adam.zero_grad()
        part({"x": x}).backward()
        adam.step()
    torch.testing.assert_close(there.theta["x"], x.detach(), rtol=1e-10, atol=0)


# ---------------------------------------------------------------------------------------------------------------------
# the rows of a table that are touched


@pytest.mark.parametrize("padding", [None, 0, 1, 5])
@pytest.mark.parametrize("ids", [[7, 3, 3, 9], [0, 1, 5, 2], [8]])
def test_touched_rows_are_the_table(padding: int | None, ids: list[int]) -> None:
    """Also second derivatives, and the row that a layer never trains."""

    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(12, 3, padding_idx=padding, dtype=torch.float64)
            with torch.no_grad():
                self.table.weight.copy_(numbers(12, 3, seed=4))

    class Ids:
        def __init__(self, ids: Tensor) -> None:
            self.ids = ids

    bag = Bag()
    compact = CompactVocabulary.of(bag, bag.table, [Ids(torch.tensor(ids)), Ids(torch.tensor(ids[:1]))])  # type: ignore[list-item]
    assert compact.name == "table.weight"
    assert set(ids) <= set(compact.rows.tolist())
    assert len(set(compact.rows.tolist())) == len(compact.rows)

    def loss(read: Tensor) -> Callable[[Theta], Tensor]:
        return lambda theta: (torch.func.functional_call(bag.table, {"weight": theta["table.weight"]}, read) ** 4).sum()

    theta, read = {"table.weight": bag.table.weight}, torch.tensor(ids)
    whole = way("unrolled", [[loss(read)]] * 2, [loss(read)], theta, 0.01)
    part = way("unrolled", [[loss(compact.place[read])]] * 2, [loss(compact.place[read])], compact.theta(theta), 0.01)
    (found,), (wanted,) = compact.spread(part, theta), whole
    assert found is not None
    assert wanted is not None
    assert torch.equal(found, wanted)
