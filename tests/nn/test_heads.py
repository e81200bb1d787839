"""The union of label spaces: blocks where no words are shared, one space where all are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from cells import planted
from hypothesis import given
from hypothesis import strategies as st

from raystudy.data.plm import resolve
from raystudy.data.text import IGNORED, Corpus, encode
from raystudy.errors import DataError
from raystudy.nn.heads import Union, merge, union
from raystudy.tasks import Task

PLM = resolve("tiny")
WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=6, unique=True)


def of(*spaces: str) -> Union:
    """The union of tasks whose classes are single letters."""
    return merge((f"t{i}", "classification", tuple(s)) for i, s in enumerate(spaces))


def test_union_by_hand() -> None:
    # disjoint: blocks, one behind the other
    assert of("ab", "cde") == Union(tuple("abcde"), ((0, 1), (2, 3, 4)))
    # equal: one space, whatever the order of a task's classes
    assert of("ab", "ba", "ab") == Union(("a", "b"), ((0, 1), (1, 0), (0, 1)))
    # three-way and two-way entailment
    nli, scitail = ("contradiction", "entailment", "neutral"), ("entailment", "neutral")
    both = merge([("mnli", "classification", nli), ("scitail", "classification", scitail)])
    assert both == Union(nli, ((0, 1, 2), (1, 2)))


@given(st.lists(WORDS, min_size=1, max_size=5))
def test_a_column_has_the_words_of_its_classes(spaces: list[list[str]]) -> None:
    joined = of(*map("".join, spaces))
    # as many columns as different words, each the class of some task
    assert sorted(joined.texts) == sorted(set().union(*spaces))
    for space, columns in zip(spaces, joined.columns, strict=True):
        assert [joined.texts[c] for c in columns] == space
    # a task more changes nothing of the columns that are there
    wider = of(*map("".join, spaces), "xy")
    assert wider.texts[: len(joined.texts)] == joined.texts
    assert wider.columns[:-1] == joined.columns


def reworded(task: Task, name: str, **words: str) -> Task:
    return replace(task, name=name, label_text=words)


def test_parts_are_merged_by_words_and_not_by_names() -> None:
    base = planted("target", classes=3)
    first, second, third = base.labels
    other = reworded(base, "other", **{first: second, second: "w001", third: first})
    parts = [encode(t, "train", PLM) for t in (base, other)]
    joined = union(parts)
    assert joined == Union((first, second, third, "w001"), ((0, 1, 2), (1, 3, 0)))
    # what a batch of both is labelled with has the words of its own classes
    batch = Corpus(tuple(parts)).batch(np.array([[t, i] for i in range(12) for t in (1, 0)]))
    for t, y, u in zip(batch.task.tolist(), batch.labels.tolist(), joined.labels(batch).tolist(), strict=True):
        assert joined.texts[u] == parts[t].texts[y]


def test_examples_without_a_class_keep_none() -> None:
    part = encode(planted("target"), "train", PLM)
    batch = part.batch(np.arange(4))
    batch = replace(batch, labels=torch.tensor([2, IGNORED, 0, IGNORED]))
    assert union([part]).labels(batch).tolist() == [2, IGNORED, 0, IGNORED]


def test_what_one_head_cannot_answer_is_refused_all_at_once() -> None:
    tasks = [
        ("tags", "tagging", ("O", "B-x")),
        ("fine", "classification", ("a", "b")),
        ("twins", "classification", ("a", "b", "a", "b", "c")),
        ("numbers", "regression", ()),
    ]
    with pytest.raises(DataError) as e:
        merge(tasks)
    assert [p.path for p in e.value.problems] == ["task tags", "task twins", "task numbers"]
    assert "two are 'a', 'b'" in str(e.value)
    base = planted("target")
    with pytest.raises(DataError, match=f"two are '{base.labels[0]}'"):
        union([encode(reworded(base, "twins", **{base.labels[1]: base.labels[0]}), "train", PLM)])


def test_words_tell_parts_apart_even_where_their_pieces_do_not() -> None:
    """Words that the tokenizer does not know are one and the same piece; what is trained on them is not the same."""
    base = planted("target")
    a, b = (reworded(base, base.name, **{base.labels[0]: w}) for w in ("unheard", "unseen"))
    one, two = (encode(t, "train", PLM) for t in (a, b))
    assert one.label_ids == two.label_ids
    assert one.digest != two.digest
