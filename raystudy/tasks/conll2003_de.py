"""CoNLL-2003, the German part: names in newspaper sentences, four types (Tjong Kim Sang and De Meulder 2003).

The annotation is free, the text is not: the Frankfurter Rundschau of 1992, in the ECI Multilingual Text corpus. MetaXT
counts eight classes; with O there are nine.
"""

from __future__ import annotations

from raystudy.tasks._card import Card

__all__ = ["CARD"]

TYPES = ("LOC", "MISC", "ORG", "PER")

CARD = Card(
    form="tagging",
    labels=(*(f"B-{t}" for t in TYPES), *(f"I-{t}" for t in TYPES), "O"),
    metric="span_f1",
    metrics=("token_f1", "token_accuracy"),
    length=64,
    licence="the text is licensed with the ECI Multilingual Text corpus (LDC94T5); not free",
    source="Tjong Kim Sang, De Meulder 2003, Introduction to the CoNLL-2003 Shared Task: Language-Independent Named "
    "Entity Recognition (CoNLL)",
    get="It cannot be downloaded: get the ECI Multilingual Text corpus from https://catalog.ldc.upenn.edu/LDC94T5, "
    "make deu.{train,testa,testb} of it as https://www.clips.uantwerpen.be/conll2003/ner/ says (12,152 / 2,867 / 3,005 "
    "sentences), turn them from Latin-1 into UTF-8 and lay them down as train.conll, dev.conll and test.conll; the "
    "suite chunk_to_ner asks a like question of free English data",
)
