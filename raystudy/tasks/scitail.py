"""SciTail: does a web sentence entail the answer to a science question (Khot et al. 2018).

Its `entails` is the class that MNLI calls entailment; with these words the two data sets share it.
"""

from __future__ import annotations

from raystudy.tasks._card import Card, HubDataset

__all__ = ["CARD"]

CARD = Card(
    form="pair",
    labels=("entails", "neutral"),
    label_text={"entails": "entailment"},
    metric="accuracy",
    metrics=("macro_f1",),
    positive="entails",
    length=128,
    licence="Apache 2.0 (as its distributors state)",
    source="Khot, Sabharwal, Clark 2018, SciTail: A Textual Entailment Dataset from Science Question Answering (AAAI)",
    hub=HubDataset(
        "allenai/scitail",
        config="snli_format",  # tsv_format lost 499 pairs of train to a reader that took quotation marks for quoting
        columns={"text": "sentence1", "text_pair": "sentence2", "label": "gold_label"},
    ),
    get="It is read from allenai/scitail on the Hugging Face hub (23,596 / 1,304 / 2,126 pairs); elsewhere: "
    "SciTailV1.1 of https://allenai.org/data/scitail, the files of its folder snli_format",
    published=(23_596, 1_304, 2_126),
)
