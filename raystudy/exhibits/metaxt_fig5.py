"""MetaXT, Figure 5: few-shot curves of multi-word expressions, with parts of speech as the source."""

from __future__ import annotations

from raystudy.exhibits._few_shot import curves

__all__ = ["EXHIBIT"]

EXHIBIT = curves(
    "Figure 5",
    "multi-word expressions from k labelled sentences and parts of speech, by every method",
    "pos_to_mwe",
    notes=(
        "The paper does not say which F1 it plots; here that of whole expressions. Its MetaXT has the RTN.",
        "k counts sentences.",
    ),
)
