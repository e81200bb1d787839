"""MRPC: do two sentences of the news mean the same (Dolan and Brockett 2005)."""

from __future__ import annotations

from raystudy.tasks._card import Card, HubDataset

__all__ = ["CARD"]

CARD = Card(
    form="pair",
    labels=("not_equivalent", "equivalent"),
    label_text={"not_equivalent": "not equivalent"},
    metric="f1",
    second_metric="accuracy",
    positive="equivalent",
    length=128,
    licence="Microsoft Research Shared Source License Agreement, for research (MSR-SSLA); sentences from the news",
    source="Dolan, Brockett 2005, Automatically Constructing a Corpus of Sentential Paraphrases (IWP); Wang et al. "
    "2019, GLUE (ICLR)",
    hub=HubDataset(
        "nyu-mll/glue", config="mrpc", columns={"text": "sentence1", "text_pair": "sentence2", "label": "label"}
    ),
    get="It is read from nyu-mll/glue on the Hugging Face hub, its configuration mrpc (3,668 / 408 / 1,725 pairs; the "
    "test has its labels); elsewhere: msr_paraphrase_{train,test}.txt of Microsoft Research, 1 written as equivalent "
    "and 0 as not_equivalent",
    published=(3_668, 408, 1_725),
)
