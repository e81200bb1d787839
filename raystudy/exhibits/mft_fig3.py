"""MFT, Figure 3: how many epochs of meta fine-tuning are enough."""

from __future__ import annotations

from raystudy.exhibits._papers import MFT
from raystudy.exhibits._sweep import sweep_exhibit

__all__ = ["EXHIBIT", "TASKS"]

TASKS = (
    "The paper's text does not say which two of its three tasks the figure shows, nor on which split; here those of "
    "its Table 7, on dev."
)
EXHIBIT = sweep_exhibit(
    MFT,
    "Figure 3",
    "MFT after one, two and three epochs of meta fine-tuning, and two of fine-tuning",
    "mft",
    "mft_epochs",
    "MFT epochs",
    (1, 2, 3),
    ("amazon_domains", "taxonomy"),
    "dev",
    settings={"epochs": 2},
    notes=(TASKS, "The range of epochs is not in the paper's text: it runs 1 or 2 and finds that too many hurt."),
)
