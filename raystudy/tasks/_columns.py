"""Finds which column of a file is the text and which the label.

A column plays a role: it is the text, the label, and so on. What the user says of a role counts first, then the common
names of columns, and last the values, if only one column can play the role. `ROLES` and `PAIRS` are in order of
preference: where the names of two columns suit a role, the first wins and a note says so. A name means the same in any
letter case, and with blanks or hyphens for underscores.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raystudy.errors import did_you_mean
from raystudy.tasks import Form
from raystudy.tasks._rows import Row, in_words

__all__ = ["NEEDS", "ROLES", "Columns", "advice", "find_columns", "guess", "strays", "text_like"]

# The first name of each role is ours; the others are what common data sets call it. Ambiguous ones stand last.
ROLES: dict[str, tuple[str, ...]] = {
    "text": (
        *("text", "sentence", "sentence1", "premise", "question1", "term1"),
        *("review", "review_body", "review_text", "reviewtext", "content", "body", "comment", "comment_text", "tweet"),
        *("message", "utterance", "document", "passage", "description", "abstract", "question", "query"),
        *("headline", "title"),
    ),
    "label": (
        *("label", "gold_label", "labels", "stars", "star_rating", "rating", "sentiment", "polarity", "score"),
        *("class", "target", "category", "intent", "emotion", "stance", "relation", "topic", "similarity", "gold", "y"),
    ),
    "tokens": ("tokens", "words"),
    "tags": ("tags", "ner_tags", "upos_tags", "pos_tags", "chunk_tags", "upos"),
    "vector": ("vector",),
    "domain": ("domain",),
}
# Two texts. A second name of the first group is never anything else; those of the other group are texts (or answers,
# that is, labels) of their own unless their partner stands beside them.
PAIRS = (
    ("text", "text_pair"),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("term1", "term2"),
    ("sentence_1", "sentence_2"),
    ("sentence_a", "sentence_b"),
    ("text1", "text2"),
    ("text_1", "text_2"),
    ("text_a", "text_b"),
    ("question_1", "question_2"),
)
PARTNERS = (
    ("question", "sentence"),
    ("question", "passage"),
    ("question", "context"),
    ("question", "answer"),
    ("query", "passage"),
    ("query", "document"),
    ("context", "response"),
)
NEEDS: dict[Form, tuple[str, ...]] = {
    "single": ("text", "label"),
    "pair": ("text", "text_pair", "label"),
    "tagging": ("tokens", "tags"),
    "vector": ("vector", "label"),
}
SAMPLE = 2000  # rows that a guess looks at


@dataclass(frozen=True)
class Columns:
    """role -> column of one file, the form that these make, and the other columns that could have played a role."""

    form: Form
    of: Mapping[str, str]
    rivals: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        return [role for role in NEEDS[self.form] if role not in self.of]


def _normalised(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name.strip()).casefold()


def find_columns(
    names: Sequence[str],
    given: Mapping[str, str],
    form: Form | None,
    *,
    domain: Sequence[str] = ROLES["domain"],
    lists: bool = True,
) -> Columns:
    """The column of every role, from the names of all columns.

    Args:
        given: role -> column, as the user says; a column that the file lacks is left out.
        form: the form of the examples, where it is known already.
        domain: what the column of the domains may be called; empty = it is not looked for.
        lists: whether a value is a list of numbers, so that a column that is called so may hold vectors.
    """
    usual: dict[str, str] = {}
    for name in sorted(
        names, key=lambda n: n != _normalised(n)
    ):  # a name that is exactly ours comes before one like it
        usual.setdefault(_normalised(name), name)

    def usual_columns(role: str) -> list[str]:
        return [usual[a] for a in ROLES[role] if a in usual and usual[a] not in given.values()]

    def pair() -> tuple[str, str] | None:
        if "text" in given or "text_pair" in given:
            return (given.get("text", ""), given["text_pair"]) if "text_pair" in given else None
        for first, second in PAIRS:
            if second in usual:
                return usual.get(first) or next((c for c in usual_columns("text") if c != usual[second]), ""), usual[
                    second
                ]
        both = ((usual[a], usual[b]) for a, b in PARTNERS if a in usual and b in usual and "text" not in usual)
        return next(both, None)

    candidates: dict[str, list[str]] = {role: [given[role]] if role in given else usual_columns(role) for role in ROLES}
    if form is None:
        words, texts = candidates["tokens"] and candidates["tags"], candidates["text"] and candidates["label"]
        tagging = words or (not texts and (candidates["tokens"] or candidates["tags"]))
        vector = "vector" in given or (lists and candidates["vector"] and not candidates["text"] and not tagging)
        form = "vector" if vector else "tagging" if tagging and "text" not in given else "pair" if pair() else "single"
    two = pair() if form == "pair" else None
    if two is not None:
        candidates |= {"text": [two[0]] if two[0] else [], "text_pair": [two[1]]}
    if "domain" not in given:
        candidates["domain"] = [usual[d] for d in domain if d in usual]
    of = {
        role: candidates[role][0]
        for role in (*NEEDS[form], "domain")
        if candidates.get(role) and candidates[role][0] in names
    }
    rivals = {r: [c for c in candidates[r][1:] if c not in of.values()] for r in of}
    return Columns(form, of, {role: others for role, others in rivals.items() if others})


def strays(names: Sequence[str]) -> list[str]:
    """The columns that can only be the second of two texts, so that no row of single texts may have them."""
    second = {b for _, b in PAIRS}
    return [n for n in names if _normalised(n) in second]


# ---------------------------------------------------------------------------------------------------------------------
# columns that no common name shows


def _is_text(values: Sequence[Any]) -> bool:
    """Whether values look like sentences: strings, of three words or more on average, most of them different."""
    if not all(isinstance(v, str) and v.strip() for v in values):
        return False
    return sum(len(v.split()) for v in values) >= 3 * len(values) and 2 * len(set(values)) > len(values)


def _is_label(name: str, values: Sequence[Any]) -> bool:
    """Whether values look like labels: a few short ones, each used again and again, or numbers with a fraction.

    A column whose name is one of its own values has no line of names, so it counts as none.
    """
    if not all(isinstance(v, str | int | float) and str(v).strip() for v in values):
        return False
    words = {str(v).strip() for v in values}
    if name in words or max(map(len, words)) > 40:
        return False
    fractions = all(re.fullmatch(r"[+-]?\d+\.\d+", w) for w in words) and any(float(w) % 1 for w in words)
    return fractions or 2 <= len(words) <= min(50, len(values) / 2)


def guess(rows: Sequence[Row], names: Sequence[str], columns: Columns) -> dict[str, str]:
    """role -> column for a text and a label that no name shows, if the values of exactly one column suit each."""
    if columns.form != "single" or not columns.missing:
        return {}
    used = {*columns.of.values()}
    sample = rows[:SAMPLE]
    values = {name: [row.get(name) for row in sample] for name in names if name not in used}
    fitting = {
        "text": [n for n, v in values.items() if _is_text(v)],
        "label": [n for n, v in values.items() if _is_label(n, v)],
    }
    if any(len(fitting[role]) != 1 for role in columns.missing):
        return {}
    return {role: fitting[role][0] for role in columns.missing}


def text_like(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """The columns whose values look like sentences."""
    sample = rows[:SAMPLE]
    return [name for name in names if sample and _is_text([row.get(name) for row in sample])]


def advice(task: str, names: Sequence[str], columns: Columns, named: Mapping[str, str], *, header: bool) -> str:
    """Which columns are missing, and the line for the study file that names them.

    Args:
        header: whether the names stand in the first line of the file, or should.
    """
    absent = [f"{in_words(c)}{did_you_mean(c, names)}" for c in named.values() if c not in names]
    complaint = f"has no column {', '.join(absent)}"
    if not absent:
        complaint = f"has no column that is known as the {_or(columns.missing)}"
    suggestion = {role: columns.of.get(role, f"{role.upper()}_COLUMN") for role in NEEDS[columns.form]}
    roles = ", ".join(f"{role}: {_yaml_name(column)}" for role, column in suggestion.items())
    line = f"task_options: {{{_yaml_name(task)}: {{columns: {{{roles}}}}}}}"
    existing = ", ".join(in_words(n) for n in names[:20]) or "none"
    text = f"{complaint.rstrip('?')}; its columns are {existing}. Say in the study file which they are: {line}"
    if header:
        numbers = ", ".join(f"{role}: {n}" for n, role in enumerate(suggestion, 1))
        text += f". If the first line is data already and names no columns, count them: columns: {{{numbers}}}"
    return text


def _or(words: Sequence[str]) -> str:
    return " or the ".join(words)


def _yaml_name(name: str) -> str:
    """A name as YAML writes it inside braces."""
    return name if re.fullmatch(r"[A-Za-z_][\w.-]*", name, re.ASCII) else json.dumps(name)
