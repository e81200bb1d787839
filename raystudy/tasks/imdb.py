"""IMDb: whole film reviews, positive or negative (Maas et al. 2011)."""

from __future__ import annotations

from raystudy.tasks._card import Card, HubDataset

__all__ = ["CARD"]

CARD = Card(
    form="single",
    labels=("negative", "positive"),
    metric="accuracy",
    metrics=("macro_f1",),
    length=128,
    licence="none stated by the authors (research use with citation; texts from IMDb users)",
    source="Maas et al. 2011, Learning Word Vectors for Sentiment Analysis (ACL)",
    hub=HubDataset(
        "stanfordnlp/imdb",
        config="plain_text",
        splits={"train": "train", "test": "test"},
        columns={"text": "text", "label": "label"},
        labels={"neg": "negative", "pos": "positive"},
        dev_from_train=1_215,  # as many as in Meta-DTL
    ),
    get="It is read from stanfordnlp/imdb on the Hugging Face hub, 1,215 reviews of train set aside as dev (Meta-DTL: "
    "23,785 / 1,215 / 25,000); elsewhere: https://ai.stanford.edu/~amaas/data/sentiment/",
)
