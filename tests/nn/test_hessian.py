"""A Hessian times a vector, against the whole Hessian, against differences of gradients, and summed over workers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from cells import method_over, planted
from torch import Tensor
from torch.func import hessian

from raystudy.nn.gradients import leaves, local_gradient, moved, norm, with_parameters
from raystudy.nn.hessian import hessian_product
from raystudy.workers import Workers, share, simulate, sum_over

N = 7
g = torch.Generator().manual_seed(2)
X, Y = torch.randn(N, 4, generator=g, dtype=torch.float64), torch.randn(N, generator=g, dtype=torch.float64)
THETA = {
    "a": torch.randn(3, 4, generator=g, dtype=torch.float64),
    "unused": torch.ones(2, dtype=torch.float64),
    "b": torch.randn(3, generator=g, dtype=torch.float64),
}


def loss(theta: Mapping[str, Tensor], rows: slice = slice(None)) -> Tensor:
    """This part's share of a mean that is far from quadratic."""
    if not len(X[rows]):
        return torch.zeros(())
    return ((torch.tanh(X[rows] @ theta["a"].T) @ theta["b"] - Y[rows]) ** 2).sum() / N


def v(seed: int = 0) -> list[Tensor]:
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(p.shape, generator=g, dtype=torch.float64) for p in THETA.values()]


def test_product_is_the_whole_hessian_times_the_vector() -> None:
    along = dict(zip(THETA, v(), strict=True))
    blocks = hessian(loss)(THETA)
    for name, found in zip(THETA, hessian_product(loss, THETA, v()), strict=True):
        wanted = sum(torch.tensordot(blocks[name][k], d, dims=d.ndim) for k, d in along.items())
        if name == "unused":
            assert found is None
            continue
        assert found is not None
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
        assert not found.requires_grad


def test_none_is_zero_and_a_constant_has_no_hessian() -> None:
    first, _, last = v()
    some = hessian_product(loss, THETA, [first, None, None])
    zeros = hessian_product(loss, THETA, [first, torch.zeros(2).double(), torch.zeros_like(last)])
    for a, b in zip(some, zeros, strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a, b)  # type: ignore[arg-type]
    assert hessian_product(loss, THETA, [None, None, None]) == [None, None, None]
    assert hessian_product(lambda theta: loss(theta, slice(0, 0)), THETA, v()) == [None, None, None]


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_shares_sum_to_the_whole(size: int) -> None:
    """Nine ranks for seven examples: two of them have none."""
    whole = hessian_product(loss, THETA, v())

    def product(workers: Workers) -> list[Tensor | None]:
        mine = hessian_product(lambda theta: loss(theta, share(N, workers)), THETA, v())
        return sum_over(workers, mine, list(THETA.values()))

    for found in simulate(size, product):
        for a, b in zip(found, whole, strict=True):
            assert (a is None) == (b is None)
            if a is not None and b is not None:
                torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["", "tag_"])
def test_on_the_text_encoder(kind: str) -> None:
    """Through attention, LayerNorm and GELU: central differences of the gradient, and <u, H v> = <v, H u>."""
    made = method_over({t: planted(f"{kind}{t}") for t in ("target", "source")}, "metaxt", feature="pooler")
    assert made.encoder.body.exact
    made.eval()
    batch = made.setup.corpus.parts[0].batch(torch.arange(5).numpy())
    theta = dict(made.encoder.named_parameters())

    def loss(theta: Mapping[str, Tensor]) -> Tensor:
        return with_parameters(made.encoder, theta, lambda: made.mean_loss(batch))

    g = torch.Generator().manual_seed(1)
    u, w = ([torch.randn(p.shape, generator=g, dtype=torch.float64) for p in theta.values()] for _ in range(2))

    def gradient(e: float) -> list[Tensor | None]:
        there = leaves(moved(theta, u, e))
        return local_gradient(loss(there), list(there.values()))

    product = hessian_product(loss, theta, u)
    off = [
        None if a is None or b is None or c is None else (a - b) / 2e-5 - c
        for a, b, c in zip(gradient(1e-5), gradient(-1e-5), product, strict=True)
    ]
    assert float(norm(off)) < 1e-6 * float(norm(product))

    def inner(a: list[Tensor], b: list[Tensor | None]) -> float:
        return float(sum((x * y).sum() for x, y in zip(a, b, strict=True) if y is not None))

    assert inner(w, product) == pytest.approx(inner(u, hessian_product(loss, theta, w)), rel=1e-10)
    assert all(p.grad is None for p in theta.values())
