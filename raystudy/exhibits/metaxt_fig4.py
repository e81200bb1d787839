"""MetaXT, Figure 4: few-shot curves on Amazon reviews."""

from __future__ import annotations

from raystudy.exhibits._few_shot import curves

__all__ = ["EXHIBIT"]

EXHIBIT = curves(
    "Figure 4",
    "stars of reviews from k labelled examples and polar reviews, by every method",
    "polarity_to_stars",
    label_map={"negative": ("1 star", "2 stars"), "positive": ("4 stars", "5 stars")},
)
