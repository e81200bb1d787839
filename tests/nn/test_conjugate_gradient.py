"""Conjugate gradients against a dense solve, and TAWT's eq. 2.7 on quadratics against central differences."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from raystudy.nn.conjugate_gradient import solve
from raystudy.nn.gradients import Gradient, dot
from raystudy.nn.hessian import hessian_product

SHAPES = ((2, 3), (4,))
D = sum(torch.Size(s).numel() for s in SHAPES)


def cut(flat: Tensor) -> Gradient:
    """One vector as tensors of several shapes."""
    return [part.view(s) for part, s in zip(flat.split([torch.Size(s).numel() for s in SHAPES]), SHAPES, strict=True)]


def flat(g: Gradient) -> Tensor:
    return torch.cat([d.flatten() for d in g if d is not None])


def symmetric(eigenvalues: Tensor, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    q = torch.linalg.qr(torch.randn(D, D, generator=g, dtype=torch.float64))[0]
    return q @ torch.diag(eigenvalues.double()) @ q.T


def vector(seed: int) -> Tensor:
    return torch.randn(D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("damping", [0.0, 0.7])
def test_solves_in_as_many_steps_as_there_are_eigenvalues(damping: float) -> None:
    values = torch.tensor([0.5, 2.0, 9.0])[torch.arange(D) % 3]
    a, b = symmetric(values), vector(1)
    found = solve(lambda v: cut(a @ flat(v)), cut(b), damping=damping, iterations=50, tolerance=1e-12)
    assert (found.stopped, found.iterations) == ("converged", 3)
    wanted = torch.linalg.solve(a + damping * torch.eye(D).double(), b)
    torch.testing.assert_close(flat(found.x), wanted, rtol=0, atol=1e-11)
    rest = b - (a @ flat(found.x) + damping * flat(found.x))
    assert found.residual == pytest.approx(float(rest.norm() / b.norm()), abs=1e-12)


def test_gives_up_with_the_residual_that_it_has() -> None:
    a, b = symmetric(torch.linspace(1, 100, D)), vector(2)
    found = solve(lambda v: cut(a @ flat(v)), cut(b), damping=0.0, iterations=4, tolerance=1e-9)
    assert (found.stopped, found.iterations) == ("out of iterations", 4)
    assert found.residual == pytest.approx(float((b - a @ flat(found.x)).norm() / b.norm()), rel=1e-9)
    # of all vectors in the space of the first four products it is the one with the least error in the norm of A
    krylov = torch.stack([torch.linalg.matrix_power(a, k) @ b for k in range(4)], 1)
    coefficients = torch.linalg.solve(krylov.T @ a @ krylov, krylov.T @ b)
    torch.testing.assert_close(flat(found.x), krylov @ coefficients, rtol=1e-5, atol=1e-8)


def test_stops_at_negative_curvature() -> None:
    products = []

    def run(eigenvalues: Tensor, damping: float) -> tuple[str, int, Tensor]:
        a = symmetric(eigenvalues)
        products.clear()

        def product(v: Gradient) -> Gradient:
            products.append(flat(v))
            return cut(a @ flat(v))

        found = solve(product, cut(b), damping=damping, iterations=50, tolerance=1e-10)
        return found.stopped, found.iterations, flat(found.x)

    b = vector(3)
    # nothing but negative directions: the right-hand side itself, as if the matrix were the identity
    stopped, iterations, x = run(torch.full((D,), -1.0), 0.0)
    assert (stopped, iterations) == ("negative curvature", 0)
    assert torch.equal(x, b)
    # one negative direction: what was found before it was met still descends
    values = torch.linspace(1, 3, D)
    values[0] = -1.5
    stopped, iterations, x = run(values, 0.0)
    assert stopped == "negative curvature"
    assert 0 < iterations == len(products) - 1
    assert float(x @ b) > 0
    # damping makes it positive
    assert run(values, 1.6)[0] == "converged"


def test_nothing_on_the_right_is_nothing() -> None:
    found = solve(lambda v: v, [torch.zeros(3), None], damping=0.0, iterations=5, tolerance=1e-3)
    assert (found.stopped, found.iterations, found.residual) == ("converged", 0, 0.0)
    assert found.x[0] is not None
    assert not found.x[0].any()
    assert found.x[1] is None


def test_what_is_none_is_zero() -> None:
    """A parameter on which only the matrix depends takes part in the solution."""
    a = symmetric(torch.linspace(1, 4, D))
    b = torch.cat([vector(4)[:6], torch.zeros(4).double()])

    def product(v: Gradient) -> Gradient:
        whole = torch.cat(
            [
                torch.zeros(torch.Size(s)).flatten().double() if d is None else d.flatten()
                for d, s in zip(v, SHAPES, strict=True)
            ]
        )
        return cut(a @ whole)

    found = solve(product, [cut(b)[0], None], damping=0.1, iterations=50, tolerance=1e-12)
    torch.testing.assert_close(
        flat(found.x), torch.linalg.solve(a + 0.1 * torch.eye(D).double(), b), rtol=0, atol=1e-10
    )


@pytest.mark.parametrize("isotropic", [True, False])
def test_implicit_gradient_of_the_weights_on_quadratics(isotropic: bool) -> None:
    """Eq. 2.7 at phi_omega, the minimum of sum omega_t L_t, is the slope of L_0(phi_omega) in omega (TAWT, eq. 2.6)."""
    curvature = [torch.eye(D).double() if isotropic else symmetric(torch.linspace(0.5, 3, D), t) for t in range(5)]
    centre = [vector(10 + t) for t in range(5)]
    omega = torch.tensor([0.1, 0.4, 0.2, 0.3], dtype=torch.float64)  # of the tasks 1 to 4

    def loss(t: int, phi: Tensor) -> Tensor:
        return 0.5 * (phi - centre[t]) @ curvature[t] @ (phi - centre[t])

    def least(omega: Tensor) -> Tensor:
        """phi_omega; the sum of omega does not matter."""
        a = sum(w * curvature[t] for t, w in enumerate(omega, 1))
        return torch.linalg.solve(a, sum(w * curvature[t] @ centre[t] for t, w in enumerate(omega, 1)))

    phi = {"phi": least(omega)}
    gradient = [curvature[t] @ (phi["phi"] - centre[t]) for t in range(5)]

    def weighted(theta: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([w * loss(t, theta["phi"]) for t, w in enumerate(omega, 1)]).sum()

    found = solve(
        lambda v: hessian_product(weighted, phi, v), [gradient[0]], damping=0.0, iterations=100, tolerance=1e-14
    )

    def along(t: int, e: float) -> float:
        """L_0 at the minimum for omega with e more of one task."""
        return float(loss(0, least(omega + e * torch.eye(4).double()[t])))

    e = 3e-4
    for t in range(4):
        near, far = along(t, e) - along(t, -e), along(t, 2 * e) - along(t, -2 * e)
        slope = (8 * near - far) / (12 * e)  # central differences of fourth order
        g = -dot(found.x, [gradient[t + 1]])
        assert float(g) == pytest.approx(slope, rel=1e-9, abs=1e-9)
