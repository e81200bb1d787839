"""SST-2: is a sentence of a film review positive or negative, as GLUE has it (Socher et al. 2013).

GLUE's train holds the phrases of the trees, its dev and test whole sentences. A dev split that is taken from train
therefore holds phrases too, and parts of the sentences that train holds: it is easier than the test.
"""

from __future__ import annotations

from raystudy.tasks._card import Card, HubDataset

__all__ = ["CARD"]

CARD = Card(
    form="single",
    labels=("negative", "positive"),
    metric="accuracy",
    metrics=("macro_f1",),
    length=128,
    licence="none stated by the authors (research use; sentences from Rotten Tomatoes)",
    source="Socher et al. 2013, Recursive Deep Models for Semantic Compositionality over a Sentiment Treebank (EMNLP); "
    "Wang et al. 2019, GLUE (ICLR)",
    hub=HubDataset(
        "nyu-mll/glue",
        config="sst2",
        splits={"train": "train", "test": "validation"},
        columns={"text": "sentence", "label": "label"},
        dev_from_train=1_000,
    ),
    get="It is read from nyu-mll/glue on the Hugging Face hub, its configuration sst2; GLUE does not publish the "
    "labels of its test, so the development split is the test and 1,000 phrases of train are dev (66,349 / 1,000 / "
    "872); elsewhere: https://nlp.stanford.edu/sentiment/, whose sentences of the test are GLUE's",
    published=(67_349, 872, 1_821),
    hidden_test=True,
)
