"""MFT, Figure 4: the weight of the domain corruption loss."""

from __future__ import annotations

from raystudy.exhibits._papers import MFT
from raystudy.exhibits._sweep import sweep_exhibit
from raystudy.exhibits.mft_fig3 import TASKS

__all__ = ["EXHIBIT"]

EXHIBIT = sweep_exhibit(
    MFT,
    "Figure 4",
    "MFT with λ from 0 to 0.5",
    "mft",
    "lambda",
    "λ",
    (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    ("amazon_domains", "taxonomy"),
    "dev",
    notes=(TASKS,),
)
