"""MFT: what the passages that its paper leaves open are worth."""

from __future__ import annotations

from raystudy.exhibits._papers import MFT
from raystudy.exhibits._readings import readings

__all__ = ["EXHIBIT"]

EXHIBIT = readings(MFT, "mft", ("amazon_domains",))
