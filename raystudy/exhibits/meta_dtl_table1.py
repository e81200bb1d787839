"""Meta-DTL, Table 1: the seven data sets."""

from __future__ import annotations

from raystudy.exhibits import Exhibit
from raystudy.exhibits._papers import META_DTL
from raystudy.exhibits._statistics import statistics

__all__ = ["EXHIBIT"]

EXHIBIT = Exhibit(
    paper=META_DTL,
    label="Table 1",
    about="classes and examples of the seven data sets",
    suites=("review", "nli", "lexical"),
    untrained_page=statistics,
)
