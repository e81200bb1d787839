"""QNLI: does a sentence hold the answer to a question; GLUE's pairs of SQuAD's texts (Rajpurkar et al. 2016)."""

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
    licence="CC BY-SA 4.0 (SQuAD)",
    source="Rajpurkar et al. 2016, SQuAD: 100,000+ Questions for Machine Comprehension of Text (EMNLP); Wang et al. "
    "2019, GLUE (ICLR)",
    hub=HubDataset(
        "nyu-mll/glue",
        config="qnli",
        splits={"train": "train", "test": "validation"},
        columns={"text": "question", "text_pair": "sentence", "label": "label"},
        dev_from_train=5_000,
    ),
    get="It is read from nyu-mll/glue on the Hugging Face hub, its configuration qnli; GLUE publishes no labels of its "
    "test, so the development split is the test and 5,000 pairs of train are dev (99,743 / 5,000 / 5,463); "
    "elsewhere: https://gluebenchmark.com/tasks, the question as `text` and the sentence as `text_pair`",
    published=(104_743, 5_463, 5_463),
    hidden_test=True,
)
