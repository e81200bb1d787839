"""UD English EWT: the universal part of speech of every word, 17 classes (Silveira et al. 2014).

Its reviews are the sentences of `streusle_mwe`; the suite `pos_to_mwe` leaves those out.
"""

from __future__ import annotations

from raystudy.tasks._card import Card

__all__ = ["CARD"]

CARD = Card(
    form="tagging",
    labels=(
        *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM"),
        *("PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"),
    ),
    metric="token_accuracy",
    metrics=("token_f1",),
    length=64,
    licence="CC BY-SA 4.0",
    source="Silveira et al. 2014, A Gold Standard Dependency Corpus for English (LREC)",
    get="Download en_ewt-ud-{train,dev,test}.conllu (12,544 / 2,001 / 2,077 sentences) of "
    "https://github.com/UniversalDependencies/UD_English-EWT and lay them down as train.conllu, dev.conllu and "
    "test.conllu: they are read as they are",
)
