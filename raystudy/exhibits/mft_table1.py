"""MFT, Table 1: the twelve domains of three data sets."""

from __future__ import annotations

from raystudy.exhibits import Exhibit
from raystudy.exhibits._papers import MFT
from raystudy.exhibits._statistics import statistics

__all__ = ["EXHIBIT"]

EXHIBIT = Exhibit(
    paper=MFT,
    label="Table 1",
    about="examples of twelve domains: five genres, four kinds of products, three taxonomies",
    suites=("mnli_genres", "amazon_domains", "taxonomy"),
    untrained_page=statistics,
    notes=(
        "The paper prints no test sizes for MNLI, whose official development set is its test.",
        "It says that a tenth of the training data is for tuning; its training sizes add up to all 392,702 pairs.",
    ),
)
