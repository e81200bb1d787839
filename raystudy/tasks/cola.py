"""CoLA: is a sentence of the linguistics literature acceptable English (Warstadt et al. 2019)."""

from __future__ import annotations

from raystudy.tasks._card import Card, HubDataset

__all__ = ["CARD"]

CARD = Card(
    form="single",
    labels=("unacceptable", "acceptable"),
    metric="mcc",
    metrics=("accuracy",),
    length=128,
    licence="none stated (sentences from published works of linguistics; free for research)",
    source="Warstadt, Singh, Bowman 2019, Neural Network Acceptability Judgments (TACL); Wang et al. 2019, GLUE (ICLR)",
    hub=HubDataset(
        "nyu-mll/glue",
        config="cola",
        splits={"train": "train", "test": "validation"},
        columns={"text": "sentence", "label": "label"},
        dev_from_train=1_000,  # about as many as the published dev split holds, which is the test here
    ),
    get="It is read from nyu-mll/glue on the Hugging Face hub, its configuration cola; the labels of the published "
    "test are not public, so the development split is the test and 1,000 sentences of train are dev (7,551 / 1,000 / "
    "1,043); elsewhere: https://nyu-mll.github.io/CoLA/, 1 written as acceptable and 0 as unacceptable",
    published=(8_551, 1_043, 1_063),
    hidden_test=True,
)
