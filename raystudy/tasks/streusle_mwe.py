"""STREUSLE: strong multi-word expressions in web reviews, as B, I and O (Schneider and Smith 2015).

The files tell the words in the gap of an expression by lower case ("take him too seriously" is ``B o o I``) and mark
expressions inside a gap too (``b i``). MetaXT and Changpinyo et al. 2018 simplify to three classes; so b is read as B,
i as I and o as O, and an expression with a gap falls into two spans. ``merge: {}`` keeps all six. Its sentences are the
reviews of UD English EWT.
"""

from __future__ import annotations

from raystudy.tasks._card import Card

__all__ = ["CARD"]

CARD = Card(
    form="tagging",
    labels=("B", "I", "O", "b", "i", "o"),
    merge={"b": "B", "i": "I", "o": "O"},
    metric="span_f1",
    metrics=("token_f1", "token_accuracy"),
    length=64,
    licence="CC BY-SA 4.0",
    source="Schneider, Smith 2015, A Corpus and Model Integrating Multiword Expressions and Supersenses (NAACL); "
    "Schneider et al. 2018 (ACL)",
    get="Download {train,dev,test}/streusle.ud_{train,dev,test}.conllulex of https://github.com/nert-nlp/streusle "
    "(3,812 sentences in all) and write the words and, from the column SMWE (the number of the strong "
    "expression, and the word's place in it), B for a first word, I for a later one and O for no expression, in lower "
    "case for words in the gap of another expression",
)
