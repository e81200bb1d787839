"""HypeNET, lexical split: is the second term a hypernym of the first; no word in two splits (Shwartz et al. 2016).

Meta-DTL calls the data set Shwartz and its classes hypernymy and non-hypernymy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raystudy.tasks import Task, folder
from raystudy.tasks._card import Card, refuse_part

__all__ = ["CARD", "load"]

CARD = Card(
    form="pair",
    labels=("hypernym", "other"),
    label_text={"hypernym": "hypernymy", "other": "non-hypernymy"},
    metric="accuracy",
    metrics=("macro_f1",),
    length=32,
    licence="Apache 2.0",
    source="Shwartz, Goldberg, Dagan 2016, Improving Hypernymy Detection with an Integrated Path-based and "
    "Distributional Method (ACL)",
    get="Download dataset/datasets.rar from https://github.com/vered1986/HypeNET and write dataset_lex/{train,val,"
    "test}.tsv (20,335 / 1,350 / 6,610 pairs), True as hypernym and False as other",
)


def load(part: str = "", *, root: Path | None = None, **options: Any) -> Task:
    """The whole data set (it has no parts); `options` as in `folder.load`.

    Raises:
        PreflightError: there is no folder `hypenet_lex` under `root`; DataError, ConfigError: see `folder.load`.
    """
    refuse_part("hypenet_lex", part, ())
    return folder.load("hypenet_lex", root, card=CARD, **options)
