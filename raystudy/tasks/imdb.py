"""IMDb: whole film reviews, positive or negative (Maas et al. 2011)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raystudy.tasks import Task, folder
from raystudy.tasks._card import Card, refuse_part

__all__ = ["CARD", "load"]

CARD = Card(
    form="single",
    labels=("negative", "positive"),
    metric="accuracy",
    metrics=("macro_f1",),
    length=128,
    licence="none stated by the authors (research use with citation; texts from IMDb users)",
    source="Maas et al. 2011, Learning Word Vectors for Sentiment Analysis (ACL)",
    hub="stanfordnlp/imdb",
    get="Export stanfordnlp/imdb from the Hugging Face hub (or https://ai.stanford.edu/~amaas/data/sentiment/), write "
    "its 0 and 1 as negative and positive, and set aside part of train as validation (Meta-DTL: 23,785 / 1,215 / "
    "25,000)",
)


def load(part: str = "", *, root: Path | None = None, **options: Any) -> Task:
    """The whole data set (it has no parts); `options` as in `folder.load`.

    Raises:
        PreflightError: there is no folder `imdb` under `root`; DataError, ConfigError: see `folder.load`.
    """
    refuse_part("imdb", part, ())
    return folder.load("imdb", root, card=CARD, **options)
