"""SST-5: sentences of film reviews in five levels of sentiment (Socher et al. 2013).

Meta-DTL prints the label set as {1, 2, 3, 4, 5} (its Table 1), so these are the labels' words: "negative" of this
five-level scale is not the class "negative" of a two-level one, and a union head must not merge them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raystudy.tasks import Task, folder
from raystudy.tasks._card import Card, refuse_part

__all__ = ["CARD", "load"]

CARD = Card(
    form="single",
    labels=("very negative", "negative", "neutral", "positive", "very positive"),
    label_text={"very negative": "1", "negative": "2", "neutral": "3", "positive": "4", "very positive": "5"},
    metric="accuracy",
    metrics=("macro_f1",),
    length=128,
    licence="none stated by the authors (research use; sentences from Rotten Tomatoes)",
    source="Socher et al. 2013, Recursive Deep Models for Semantic Compositionality over a Sentiment Treebank (EMNLP)",
    hub="SetFit/sst5",
    get="Export SetFit/sst5 from the Hugging Face hub (8,544 / 1,101 / 2,210 sentences) and write its label words, "
    "`label_text` there, as `label`",
)


def load(part: str = "", *, root: Path | None = None, **options: Any) -> Task:
    """The whole data set (it has no parts); `options` as in `folder.load`.

    Raises:
        PreflightError: there is no folder `sst5` under `root`; DataError, ConfigError: see `folder.load`.
    """
    refuse_part("sst5", part, ())
    return folder.load("sst5", root, card=CARD, **options)
