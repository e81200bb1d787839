"""Meta-DTL: what the passages that its paper leaves open are worth."""

from __future__ import annotations

from raystudy.exhibits._papers import META_DTL
from raystudy.exhibits._readings import readings

__all__ = ["EXHIBIT"]

EXHIBIT = readings(META_DTL, "meta_dtl", ("review",))
