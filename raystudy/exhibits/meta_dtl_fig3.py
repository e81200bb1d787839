"""Meta-DTL, Figure 3: how many epochs of meta-learner training (MMT) are enough."""

from __future__ import annotations

from raystudy.exhibits._papers import META_DTL
from raystudy.exhibits._sweep import sweep_exhibit

__all__ = ["EXHIBIT"]

EXHIBIT = sweep_exhibit(
    META_DTL,
    "Figure 3",
    "Meta-DTL after one, two and three epochs of meta-learner training, on the dev sets of NLI and lexical semantics",
    "meta_dtl",
    "mmt_epochs",
    "MMT epochs",
    (1, 2, 3),
    ("nli", "lexical"),
    "dev",
    notes=("As in the paper, the scores are those of dev.",),
)
