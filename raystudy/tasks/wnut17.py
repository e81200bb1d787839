"""WNUT-17: rare and emerging names in social media, six types (Derczynski et al. 2017)."""

from __future__ import annotations

from raystudy.tasks._card import Card

__all__ = ["CARD"]

TYPES = ("corporation", "creative-work", "group", "location", "person", "product")

CARD = Card(
    form="tagging",
    labels=(*(f"B-{t}" for t in TYPES), *(f"I-{t}" for t in TYPES), "O"),
    metric="span_f1",
    metrics=("token_f1", "token_accuracy"),
    length=64,
    licence="CC BY 4.0",
    source="Derczynski, Nichols, van Erp, Limsopatham 2017, Results of the WNUT2017 Shared Task on Novel and Emerging "
    "Entity Recognition (W-NUT)",
    get="Download wnut17train.conll, emerging.dev.conll and emerging.test.annotated (3,394 / 1,009 / 1,287 sentences) "
    "of https://github.com/leondz/emerging_entities_17 and lay them down as train.conll, dev.conll and test.conll",
)
