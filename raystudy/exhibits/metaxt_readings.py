"""MetaXT: what the passages that its paper leaves open are worth."""

from __future__ import annotations

from raystudy.exhibits._few_shot import study_keys
from raystudy.exhibits._papers import METAXT
from raystudy.exhibits._readings import readings

__all__ = ["EXHIBIT"]

EXHIBIT = readings(
    METAXT,
    "metaxt",
    ("polarity_to_stars",),
    sizes=study_keys({"smoke": (48,), "small": (100,), "paper": (100,)}),
)
