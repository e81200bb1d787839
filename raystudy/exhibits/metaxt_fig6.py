"""MetaXT, Figure 6: few-shot curves of German names in twelve types, with names in four types as the source."""

from __future__ import annotations

from raystudy.exhibits._few_shot import curves

__all__ = ["EXHIBIT", "GERMAN", "INSTEAD"]

GERMAN = "dbmdz/bert-base-german-cased"
INSTEAD = (
    "CoNLL-2003 in German is not free. Without it, `--set suite=chunk_to_ner` asks a like question of free English "
    "data: names in social media, with chunks of newspaper sentences as the source."
)

EXHIBIT = curves(
    "Figure 6",
    "German names in twelve types from k labelled sentences and names in four types, by every method",
    "ner_de",
    plm=GERMAN,
    notes=(
        "The paper does not say which F1 it plots; here that of whole names. Its MetaXT has the RTN.",
        "k counts sentences.",
        "German text wants a German model, which scale paper has; minilm was trained on English.",
        INSTEAD,
    ),
)
