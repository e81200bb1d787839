"""TAWT, Table 7: weights that change while the model is trained, against the same weights from the beginning."""

from __future__ import annotations

from raystudy.exhibits._tagging import NAMES, SIZES, paradigms

__all__ = ["EXHIBIT"]

EXHIBIT = paradigms(
    "Table 7",
    "learned weights that change in the course of the training against training anew with the last of them",
    {
        "tawt_pre_fixed": f"{NAMES['tawt_pre_w']} (fixed weights)",
        "tawt_pre_w": f"{NAMES['tawt_pre_w']} (dynamic weights)",
        "tawt_fixed": f"{NAMES['tawt_normalized_w']} (fixed weights)",
        "tawt_normalized_w": f"{NAMES['tawt_normalized_w']} (dynamic weights)",
    },
    SIZES,
    9_000,
    "3 sources x 9K sentences; target 100/100/300/500 sentences",
    "mean of the 4 metrics",
)
