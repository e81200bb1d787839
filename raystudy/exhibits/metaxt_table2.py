"""MetaXT, Table 2: MetaXT against XT and multi-task training on Yelp; here on SST-5."""

from __future__ import annotations

from raystudy.exhibits._few_shot import versus_xt

__all__ = ["EXHIBIT"]

EXHIBIT = versus_xt(
    "Table 2",
    "MetaXT against XT and multi-task training: five levels of sentiment from k examples and polar reviews",
    "polarity_to_five",
)
