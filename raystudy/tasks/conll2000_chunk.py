"""CoNLL-2000: chunks of newspaper sentences, eleven types (Tjong Kim Sang and Buchholz 2000)."""

from __future__ import annotations

from raystudy.tasks._card import Card

__all__ = ["CARD"]

TYPES = ("ADJP", "ADVP", "CONJP", "INTJ", "LST", "NP", "PP", "PRT", "SBAR", "UCP", "VP")

CARD = Card(
    form="tagging",
    labels=(*(f"B-{t}" for t in TYPES), *(f"I-{t}" for t in TYPES), "O"),
    metric="span_f1",
    metrics=("token_f1", "token_accuracy"),
    length=64,
    licence="none stated; free to download, but the text is that of the Wall Street Journal (Penn Treebank, LDC)",
    source="Tjong Kim Sang, Buchholz 2000, Introduction to the CoNLL-2000 Shared Task: Chunking (CoNLL)",
    get="Download train.txt.gz and test.txt.gz (8,936 / 2,012 sentences) of "
    "https://www.clips.uantwerpen.be/conll2000/chunking/: they are read as they are; there is no dev file, so say "
    "`task_options: {conll2000_chunk: {dev_from_train: 936}}`",
)
