"""HypeNET, lexical split: is the second term a hypernym of the first; no word in two splits (Shwartz et al. 2016).

Meta-DTL calls the data set Shwartz and its classes hypernymy and non-hypernymy.
"""

from __future__ import annotations

from raystudy.tasks._card import Card

__all__ = ["CARD"]

CARD = Card(
    form="pair",
    labels=("hypernym", "other"),
    label_text={"hypernym": "hypernymy", "other": "non-hypernymy"},
    metric="accuracy",
    metrics=("macro_f1",),
    positive="hypernym",
    length=32,
    licence="Apache 2.0",
    source="Shwartz, Goldberg, Dagan 2016, Improving Hypernymy Detection with an Integrated Path-based and "
    "Distributional Method (ACL)",
    get="Download dataset/datasets.rar from https://github.com/vered1986/HypeNET and write dataset_lex/{train,val,"
    "test}.tsv (20,335 / 1,350 / 6,610 pairs), True as hypernym and False as other",
)
