"""Predicate detection: is a word the predicate of a semantic frame; OntoNotes 5.0 or Universal PropBank, from a folder.

Neither of the two may be downloaded here: the text of OntoNotes is licensed, and the UD English data of `ud_ewt_upos`
name no predicates. Their files are read as they are, each in the format of its own:

    .gold_conll, .v4_gold_conll    CoNLL-2012: the fourth column is the word; a predicate has a number of its frameset
                                   in the eighth column, all other words ``-``
    .conllup, .conllu              CoNLL-U Plus: a comment ``# global.columns`` names the columns; ``FORM`` is the word,
                                   a predicate has an entry in the column whose name ends in ``PRED``, others ``_``

A file with `tokens` and `tags` (``predicate`` and ``O``) is read too. `token_f1` leaves out O, so that it is the F1 of
the class predicate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from raystudy.tasks._card import Card
from raystudy.tasks._rows import Format, NumberedRows, ReadOptions, UnreadableError, in_words, text_lines

__all__ = ["CARD"]


def _sentence(words: list[tuple[str, bool]]) -> dict[str, list[str]]:
    """A row of (word, whether it is a predicate)."""
    return {"tokens": [w for w, _ in words], "tags": ["predicate" if p else "O" for _, p in words]}


def _conll_2012(data: bytes, options: ReadOptions) -> NumberedRows:
    """Sentences of CoNLL-2012; the numbers of columns differ, because every predicate has a column of its arguments."""
    lines, problems = text_lines(data)
    yield from problems
    words: list[tuple[str, bool]] = []
    start, wrong = 0, False
    for number, line in enumerate([*lines, ""], 1):
        if not (cells := line.split()) or line.startswith("#"):  # the word # stands in the fourth column
            if words and not wrong:
                yield start, _sentence(words)
            words, wrong = [], False
        elif len(cells) < 12:
            yield number, f"must have the twelve or more columns of CoNLL-2012, but has {len(cells)}"
            wrong = True
        else:
            start = start if words else number
            words.append((cells[3], cells[7] != "-"))


def _conllu_plus(data: bytes, options: ReadOptions) -> NumberedRows:
    """Sentences of CoNLL-U Plus. Ranges of words (``3-4``) and words that are not in the text (``3.1``) are left out.

    Raises:
        UnreadableError: no comment names the columns, or none of them holds words or predicates.
    """
    lines, problems = text_lines(data)
    yield from problems
    named = next((m for line in lines if (m := re.match(r"#\s*global\.columns\s*=\s*(.+)", line))), None)
    if named is None:
        raise UnreadableError("must name its columns in a comment `# global.columns = ID FORM ...`, but has none")
    columns = named[1].split()
    predicate = [i for i, c in enumerate(columns) if c.upper().endswith("PRED")]
    if "ID" not in columns or "FORM" not in columns or len(predicate) != 1:
        rule = "must have the columns ID and FORM and one of predicates, whose name ends in PRED (UP:PRED)"
        raise UnreadableError(f"{rule}, but has {in_words(' '.join(columns))}")
    of_id, of_word, of_predicate = columns.index("ID"), columns.index("FORM"), predicate[0]
    words: list[tuple[str, bool]] = []
    start, wrong = 0, False
    for number, line in enumerate([*lines, ""], 1):
        if not line.strip():
            if words and not wrong:
                yield start, _sentence(words)
            words, wrong = [], False
        elif line.startswith("#"):
            continue
        elif len(cells := line.split("\t")) != len(columns):
            yield number, f"must have {len(columns)} columns, as `# global.columns` says, but has {len(cells)}"
            wrong = True
        elif cells[of_id].isdecimal():
            start = start if words else number
            words.append((cells[of_word], cells[of_predicate] not in ("_", "*")))


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        ".gold_conll": Format(_conll_2012),
        ".v4_gold_conll": Format(_conll_2012),
        **dict.fromkeys((".conllup", ".conllu"), Format(_conllu_plus)),  # the ten usual columns have no predicates
    }
)
CARD = Card(
    form="tagging",
    labels=("O", "predicate"),
    metric="token_f1",
    metrics=("token_accuracy",),
    length=64,
    licence="OntoNotes: the licence of the Linguistic Data Consortium (LDC2013T19), not free; Universal PropBank: "
    "CDLA-Sharing 1.0, the text of UD English EWT CC BY-SA 4.0",
    source="Hovy et al. 2006, OntoNotes: The 90% Solution (NAACL); Pradhan et al. 2012 (CoNLL); Jindal et al. 2022, "
    "Universal Proposition Bank 2.0 (LREC)",
    get="It cannot be downloaded: get OntoNotes 5.0 from https://catalog.ldc.upenn.edu/LDC2013T19, make the files of "
    "CoNLL-2012 of it and lay those of each split, one behind the other, down as train.gold_conll, dev.gold_conll and "
    "test.gold_conll; or lay down the three files of a Universal PropBank with the ending .conllup",
    formats=FORMATS,
)
