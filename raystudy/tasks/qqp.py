"""QQP: do two questions of Quora ask the same (Iyer, Dandekar and Csernai 2017)."""

from __future__ import annotations

from raystudy.tasks._card import Card, HubDataset

__all__ = ["CARD"]

CARD = Card(
    form="pair",
    labels=("not_duplicate", "duplicate"),
    label_text={"not_duplicate": "not duplicate"},
    metric="f1",
    second_metric="accuracy",
    positive="duplicate",
    length=128,
    licence="Quora's terms of service: non-commercial use (no licence of the data is stated)",
    source="Iyer, Dandekar, Csernai 2017, First Quora Dataset Release: Question Pairs; Wang et al. 2019, GLUE (ICLR)",
    hub=HubDataset(
        "nyu-mll/glue",
        config="qqp",
        splits={"train": "train", "test": "validation"},
        columns={"text": "question1", "text_pair": "question2", "label": "label"},
        dev_from_train=10_000,
    ),
    get="It is read from nyu-mll/glue on the Hugging Face hub, its configuration qqp; GLUE does not publish the labels "
    "of its test, so the development split is the test and 10,000 pairs of train are dev (353,846 / 10,000 / 40,430); "
    "elsewhere: https://gluebenchmark.com/tasks, 1 written as duplicate and 0 as not_duplicate",
    published=(363_846, 40_430, 390_965),
    hidden_test=True,
)
