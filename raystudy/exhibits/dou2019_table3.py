"""Dou et al., Table 3: the number of inner steps and their learning rate."""

from __future__ import annotations

from raystudy.catalogue import catalogue
from raystudy.exhibits._glue import ablation

__all__ = ["EXHIBIT"]

CHOICES = ((3, "1e-3"), (5, "1e-4"), (5, "1e-3"), (5, "1e-2"), (7, "1e-3"))


def _name(steps: int, alpha: str) -> str:
    return catalogue().with_settings("reptile_pps", {"inner_steps": steps, "alpha": float(alpha)}).id


EXHIBIT = ablation(
    "Table 3",
    "Reptile with three, five and seven inner steps at three learning rates",
    [
        (
            _name(steps, alpha),
            f"k = {steps}, α = {alpha}",
            {"method": "Reptile-PPS", "setting": f"k={steps}; inner lr alpha={alpha}; dev set"},
        )
        for steps, alpha in CHOICES
    ],
    notes=("The paper's row k = 5, α = 1e-3 is that of Reptile-PPS in its Table 2.",),
)
