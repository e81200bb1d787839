"""RTE: does a text entail a sentence; four challenges, put together by GLUE (Dagan et al. 2006)."""

from __future__ import annotations

from raystudy.tasks._card import Card, HubDataset

__all__ = ["CARD"]

CARD = Card(
    form="pair",
    labels=("entailment", "not_entailment"),
    label_text={"not_entailment": "not entailment"},
    metric="accuracy",
    metrics=("macro_f1",),
    positive="entailment",
    length=128,
    licence="none stated (research use; texts from the news and Wikipedia)",
    source="Dagan, Glickman, Magnini 2006, The PASCAL Recognising Textual Entailment Challenge; Bar Haim et al. 2006, "
    "Giampiccolo et al. 2007, Bentivogli et al. 2009; Wang et al. 2019, GLUE (ICLR)",
    hub=HubDataset(
        "nyu-mll/glue",
        config="rte",
        splits={"train": "train", "test": "validation"},
        columns={"text": "sentence1", "text_pair": "sentence2", "label": "label"},
        dev_from_train=250,
    ),
    get="It is read from nyu-mll/glue on the Hugging Face hub, its configuration rte; GLUE does not publish the labels "
    "of its test, so the development split is the test and 250 pairs of train are dev (2,240 / 250 / 277); elsewhere: "
    "https://gluebenchmark.com/tasks",
    published=(2_490, 277, 3_000),
    hidden_test=True,
)
