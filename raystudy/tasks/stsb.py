"""STS-B: how similar are two sentences, from 0 to 5 (Cer et al. 2017)."""

from __future__ import annotations

from raystudy.tasks._card import Card, HubDataset

__all__ = ["CARD"]

CARD = Card(
    form="pair",
    kind="regression",
    bounds=(0.0, 5.0),
    metric="pearson",
    second_metric="spearman",
    length=128,
    licence="CC BY-SA 4.0 for most parts; a list of its sources comes with it (LICENSE.txt)",
    source="Cer et al. 2017, SemEval-2017 Task 1: Semantic Textual Similarity (SemEval); Wang et al. 2019, GLUE (ICLR)",
    hub=HubDataset(
        "mteb/stsbenchmark-sts",  # GLUE's copy has no scores of the test
        columns={"text": "sentence1", "text_pair": "sentence2", "label": "score"},
    ),
    get="It is read from mteb/stsbenchmark-sts on the Hugging Face hub (5,749 / 1,500 / 1,379 pairs; train and dev are "
    "GLUE's, the scores of the test those of the task's own release); elsewhere: Stsbenchmark.tar.gz of "
    "https://ixa2.si.ehu.eus/stswiki, its files sts-{train,dev,test}.csv",
    published=(5_749, 1_500, 1_379),
)
