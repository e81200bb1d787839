"""MultiNLI: does the premise entail the hypothesis; five genres in train (Williams et al. 2018)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raystudy.tasks import Task, folder
from raystudy.tasks._card import Card

__all__ = ["CARD", "load"]

CARD = Card(
    form="pair",
    labels=("entailment", "neutral", "contradiction"),
    metric="accuracy",
    metrics=("macro_f1",),
    length=128,
    licence="OANC licence for most text; CC BY 3.0, CC BY-SA 3.0 or public domain for fiction",
    source="Williams, Nangia, Bowman 2018, A Broad-Coverage Challenge Corpus for Sentence Understanding through "
    "Inference (NAACL)",
    hub="nyu-mll/multi_nli",
    get="Export nyu-mll/multi_nli from the Hugging Face hub, write its 0, 1, 2 as entailment, neutral, contradiction "
    "and the genre as `domain`; the official test labels are not public (Meta-DTL: 382,702 / 10,000 / 9,815, so that "
    "the matched development set is the test)",
    domains=("fiction", "government", "slate", "telephone", "travel"),
)


def load(part: str = "", *, root: Path | None = None, **options: Any) -> Task:
    """All domains of mnli, or the one that `part` names; `options` as in `folder.load`.

    Raises:
        PreflightError: there is no folder `mnli` under `root`; DataError, ConfigError: see `folder.load`.
    """
    return folder.load(f"mnli/{part}" if part else "mnli", root, card=CARD, **options)
