"""GermEval 2014: names in German sentences, the outer ones, in twelve types (Benikova et al. 2014).

Four types as in CoNLL-2003, each also as ``deriv`` (derived from a name) and ``part`` (a name inside a word), so with O
there are 25 classes.
"""

from __future__ import annotations

from raystudy.tasks._card import Card

__all__ = ["CARD"]

TYPES = tuple(f"{t}{kind}" for t in ("LOC", "ORG", "OTH", "PER") for kind in ("", "deriv", "part"))

CARD = Card(
    form="tagging",
    labels=(*(f"B-{t}" for t in TYPES), *(f"I-{t}" for t in TYPES), "O"),
    metric="span_f1",
    metrics=("token_f1", "token_accuracy"),
    length=64,
    licence="CC BY 4.0",
    source="Benikova, Biemann, Reznicek 2014, NoSta-D Named Entity Annotation for German (LREC)",
    get="Download NER-de-{train,dev,test}.tsv (24,000 / 2,200 / 5,100 sentences) from "
    "https://sites.google.com/site/germeval2014ner/data, lay them down as train.conll, dev.conll and test.conll and "
    "say `task_options: {germeval14: {columns: {tokens: 2, tags: 3}}}`: the third column has the outer names",
)
