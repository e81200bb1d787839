"""TAWT, Table 1: seven paradigms on four tagging tasks, each from a few hundred sentences."""

from __future__ import annotations

from raystudy.exhibits._tagging import NAMES, SIZES, paradigms

__all__ = ["EXHIBIT"]

EXHIBIT = paradigms(
    "Table 1",
    "pre-training, joint training and normalized joint training, each with and without weights that the target sets",
    NAMES,
    SIZES,
    9_000,
    "3 sources x 9K sentences; target 100/100/300/500 sentences",
    "mean of the 4 metrics",
)
