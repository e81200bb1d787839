"""BLESS: the relation between two terms, six classes, in the split of LexNET (Baroni and Lenci 2011)."""

from __future__ import annotations

from raystudy.tasks._card import Card

__all__ = ["CARD"]

CARD = Card(
    form="pair",
    labels=("attri", "coord", "event", "hyper", "mero", "random"),
    label_text={
        "attri": "attribute",
        "coord": "co-hyponymy",
        "event": "event",
        "hyper": "hypernymy",
        "mero": "meronymy",
        "random": "random",
    },
    metric="accuracy",
    metrics=("macro_f1",),
    length=32,
    licence="freely available for research; LexNET repository Apache 2.0, BLESS itself CC BY-SA 3.0",
    source="Baroni, Lenci 2011, How we BLESSed distributional semantic evaluation (GEMS); split of Shwartz, Dagan 2016 "
    "(CogALex-V)",
    get="Download datasets/BLESS/{train,val,test}.tsv from https://github.com/vered1986/LexNET (18,582 / 1,327 / "
    "6,637 pairs) and say `task_options: {bless: {columns: {text: 1, text_pair: 2, label: 3}}}`: they name no columns",
)
