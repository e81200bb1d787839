"""The best head on fixed features: ridge regression in closed form, scikit-learn's logistic regression, workers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from raystudy.nn.head_minimum import least_loss
from raystudy.workers import Alone, Workers, share, simulate

N, H, K = 40, 6, 3
g = torch.Generator().manual_seed(1)
X = torch.randn(N, H, generator=g, dtype=torch.float64)
GOLD = (X @ torch.randn(H, K, generator=g, dtype=torch.float64) + torch.randn(N, K, generator=g).double()).argmax(1)


def least(penalty: float, workers: Workers | None = None, x: Tensor = X) -> tuple[float, float]:
    workers = workers or Alone()
    mine = share(N, workers)
    return least_loss(
        x[mine],
        lambda logits: F.cross_entropy(logits, GOLD[mine], reduction="none"),
        K,
        total=N,
        penalty=penalty,
        workers=workers,
    )


@pytest.mark.parametrize("penalty", [1.0, 1e-2, 1e-4])
def test_classes_against_scikit_learn(penalty: float) -> None:
    found, slope = least(penalty)
    assert slope < 1e-7
    model = LogisticRegression(C=1 / (penalty * N), tol=1e-12, max_iter=10_000).fit(X.numpy(), GOLD.numpy())
    log_p = model.predict_log_proba(X.numpy())[np.arange(N), GOLD.numpy()]
    # of all weights that say the same the penalised ones have columns that sum to zero, in either program
    assert found == pytest.approx(-log_p.mean() + penalty / 2 * (model.coef_**2).sum(), abs=1e-8)


def test_squares_against_the_closed_form() -> None:
    penalty, y = 0.3, X @ torch.arange(1.0, H + 1).double() + 2
    found, _ = least_loss(X, lambda out: (out.squeeze(-1) - y) ** 2, 1, total=N, penalty=penalty, workers=Alone())
    x, centred = X - X.mean(0), y - y.mean()
    w = torch.linalg.solve(x.T @ x + penalty / 2 * N * torch.eye(H).double(), x.T @ centred)
    wanted = ((x @ w - centred) ** 2).mean() + penalty / 2 * (w**2).sum()
    assert found == pytest.approx(float(wanted), abs=1e-10)


def test_no_head_is_better_than_the_frequencies_on_features_that_say_nothing() -> None:
    share_of = torch.bincount(GOLD).double() / N
    found, _ = least(1e-3, x=torch.zeros_like(X))
    assert found == pytest.approx(-float((share_of * share_of.log()).sum()), abs=1e-9)
    assert found < math.log(K)


@pytest.mark.parametrize("size", [2, 3, 50])
def test_workers(size: int) -> None:
    """Fifty ranks for forty examples: ten of them have none."""
    wanted, _ = least(1e-2)
    found = simulate(size, lambda workers: least(1e-2, workers)[0])
    assert len(set(found)) == 1
    assert found[0] == pytest.approx(wanted, abs=1e-10)
