"""MetaXT, Table 3: MetaXT against XT and multi-task training on Amazon reviews."""

from __future__ import annotations

from raystudy.exhibits._few_shot import versus_xt

__all__ = ["EXHIBIT"]

EXHIBIT = versus_xt(
    "Table 3",
    "MetaXT against XT and multi-task training: stars of reviews from k examples and polar reviews",
    "polarity_to_stars",
)
