"""SciTail: does a web sentence entail the answer to a science question (Khot et al. 2018).

Its `entails` is the class that MNLI calls entailment; with these words the two data sets share it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raystudy.tasks import Task, folder
from raystudy.tasks._card import Card, refuse_part

__all__ = ["CARD", "load"]

CARD = Card(
    form="pair",
    labels=("entails", "neutral"),
    label_text={"entails": "entailment"},
    metric="accuracy",
    metrics=("macro_f1",),
    length=128,
    licence="Apache 2.0 (as its distributors state)",
    source="Khot, Sabharwal, Clark 2018, SciTail: A Textual Entailment Dataset from Science Question Answering (AAAI)",
    hub="allenai/scitail",
    get="Export allenai/scitail, configuration tsv_format, from the Hugging Face hub (23,596 / 1,304 / 2,126 pairs)",
)


def load(part: str = "", *, root: Path | None = None, **options: Any) -> Task:
    """The whole data set (it has no parts); `options` as in `folder.load`.

    Raises:
        PreflightError: there is no folder `scitail` under `root`; DataError, ConfigError: see `folder.load`.
    """
    refuse_part("scitail", part, ())
    return folder.load("scitail", root, card=CARD, **options)
