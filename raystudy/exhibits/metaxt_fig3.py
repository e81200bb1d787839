"""MetaXT, Figure 3: few-shot curves on Yelp; here on SST-5."""

from __future__ import annotations

from raystudy.exhibits._few_shot import curves

__all__ = ["EXHIBIT"]

EXHIBIT = curves(
    "Figure 3",
    "five levels of sentiment from k labelled examples and polar reviews, by every method",
    "polarity_to_five",
    label_map={"negative": ("very negative", "negative"), "positive": ("positive", "very positive")},
)
