"""Meta-DTL, Figure 4: the weight of the regulariser."""

from __future__ import annotations

from raystudy.exhibits._papers import META_DTL
from raystudy.exhibits._sweep import sweep_exhibit

__all__ = ["EXHIBIT"]

EXHIBIT = sweep_exhibit(
    META_DTL,
    "Figure 4",
    "Meta-DTL with λ from 0 to 0.5 and two epochs of meta-learner training, on the dev sets",
    "meta_dtl",
    "lambda",
    "λ",
    (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    ("nli", "lexical"),
    "dev",
    settings={"mmt_epochs": 2},
    notes=("The paper's text does not say which tasks its Figure 4 shows; here those of its Figure 3.",),
)
