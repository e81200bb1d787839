"""TAWT: what the passages that its paper leaves open are worth."""

from __future__ import annotations

from raystudy.exhibits._papers import TAWT
from raystudy.exhibits._readings import readings
from raystudy.exhibits._tagging import SIZES, study_keys

__all__ = ["EXHIBIT"]

EXHIBIT = readings(TAWT, "tawt", ("tagging",), sizes=study_keys(SIZES, 9_000))
