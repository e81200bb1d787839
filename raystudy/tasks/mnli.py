"""MultiNLI: does the premise entail the hypothesis; five genres in train (Williams et al. 2018)."""

from __future__ import annotations

from raystudy.tasks._card import Card, HubDataset

__all__ = ["CARD"]

CARD = Card(
    form="pair",
    labels=("entailment", "neutral", "contradiction"),
    metric="accuracy",
    metrics=("macro_f1",),
    length=128,
    licence="OANC licence for most text; CC BY 3.0, CC BY-SA 3.0 or public domain for fiction",
    source="Williams, Nangia, Bowman 2018, A Broad-Coverage Challenge Corpus for Sentence Understanding through "
    "Inference (NAACL)",
    hub=HubDataset(
        "nyu-mll/multi_nli",
        splits={"train": "train", "test": "validation_matched"},
        columns={"text": "premise", "text_pair": "hypothesis", "label": "label", "domain": "genre"},
        dev_from_train=10_000,  # as many as in Meta-DTL; the labels of the official test are not public
    ),
    get="It is read from nyu-mll/multi_nli on the Hugging Face hub, the genre as `domain`; the official test labels "
    "are not public, so the matched development set is the test and 10,000 pairs of train are dev (Meta-DTL: 382,702 / "
    "10,000 / 9,815); elsewhere: https://cims.nyu.edu/~sbowman/multinli/",
    domains=("fiction", "government", "slate", "telephone", "travel"),
    published=(392_702, 9_815, 9_796),
    hidden_test=True,
)
