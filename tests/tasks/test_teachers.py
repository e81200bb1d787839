"""The simulation of task distance: teachers know their labels by heart, and labels differ more with the flip rate."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from raystudy.errors import ConfigError
from raystudy.tasks import expand, load
from raystudy.tasks.teachers import PARTS, TeacherOptions, labels_of, teacher, vectors_of

SMALL = {"inputs": 16, "width": 64, "examples": 240, "classes": 4, "n_dev": 20, "n_test": 60}
RATES = (0, 25, 50, 75, 100)


def test_sources_label_the_targets_vectors() -> None:
    target, same = (load(f"teachers/{p}", options=SMALL) for p in ("target", "flip_0"))
    assert [len(target.splits[s]) for s in ("train", "dev", "test")] == [160, 20, 60]
    everything = [e for s in ("train", "dev", "test") for e in target.splits[s]]
    # with no label drawn anew the source is the target: the same vectors, the same labels
    assert list(same.splits["train"]) == everything
    assert same.splits["test"] == target.splits["test"]
    vectors = {e.vector for e in everything}
    assert len(vectors) == 240
    for q in RATES:
        assert {e.vector for e in load(f"teachers/flip_{q}", options=SMALL).splits["train"]} == vectors
    assert -0.5 <= min(map(min, vectors)) < -0.45 and 0.45 < max(map(max, vectors)) < 0.5


def test_agreement_falls_with_the_flip_rate() -> None:
    options = TeacherOptions(**{**SMALL, "examples": 4000})  # type: ignore[arg-type]
    labels = {q: labels_of(options, q) for q in RATES}
    agreement = [float((labels[0] == labels[q]).mean()) for q in RATES]
    assert agreement == sorted(agreement, reverse=True) and len(set(agreement)) == 5
    # a label that is drawn anew is the old one as often as there are classes
    for q, share in zip(RATES, agreement, strict=True):
        assert share == pytest.approx(1 - q / 100 * 3 / 4, abs=0.02)
    for low, high in pairwise(RATES):
        changed_before = labels[low] != labels[0]
        assert (labels[high] == labels[low])[changed_before].all()


@pytest.mark.parametrize("percent", [0, 50, 100])
def test_a_teacher_knows_its_labels_by_heart(percent: int) -> None:
    """So it need not be trained to label its own vectors."""
    options = TeacherOptions(**SMALL)  # type: ignore[arg-type]
    x, y = vectors_of(options, "D"), labels_of(options, percent)
    found = teacher(options, percent)
    assert (found.answers(x) == y).all()
    assert found.hidden.shape == (17, 64) and found.output.shape == (65, 4)


def test_teachers_of_fresh_vectors_agree_less_with_the_flip_rate() -> None:
    options = TeacherOptions(**SMALL)  # type: ignore[arg-type]
    x = vectors_of(options, "other")
    answers = [teacher(options, q).answers(x) for q in (0, 50, 100)]
    same, half, none = ((a == answers[0]).mean() for a in answers)
    assert same == 1 > half > none


def test_fresh_vectors_are_labelled_by_the_teacher() -> None:
    fresh: dict[str, Any] = {**SMALL, "fresh": True}
    target, source = (load(f"teachers/{p}", options=fresh) for p in ("target", "flip_0"))
    own = {e.vector for e in load("teachers/target", options=SMALL).splits["train"]}
    assert not own & {e.vector for e in target.splits["train"]}
    assert not {e.vector for e in target.splits["train"]} & {e.vector for e in source.splits["train"]}
    options = TeacherOptions(**fresh)
    rows = target.splits["test"]
    answers = teacher(replace(options, fresh=False), 0).answers(np.array([e.vector for e in rows]))
    assert [e.label for e in rows] == [str(c) for c in answers]


def test_everything_is_a_function_of_the_options() -> None:
    assert load("teachers/flip_50", options=SMALL).digest == load("teachers/flip_50", options=SMALL).digest
    others = {load("teachers/flip_50", options={**SMALL, **o}).digest for o in ({}, {"seed": 1}, {"classes": 3})}
    assert len(others) == 3
    assert (
        load("teachers/flip_50", options={**SMALL, "width": 7}).splits == load("teachers/flip_50", options=SMALL).splits
    )


def test_names() -> None:
    assert load("teachers/flip_33", options=SMALL).name == "teachers/flip_33"
    assert expand(["teachers/*"])["teachers/*"] == tuple(f"teachers/{p}" for p in PARTS)
    assert load("teachers/target", options={**SMALL, "classes": 12}).labels[:2] == ("00", "01")
    for part in ("flip_101", "flip_05", "flip_", "flip_0.5", "", "source"):
        with pytest.raises(ConfigError, match="part of teachers"):
            load(f"teachers/{part}" if part else "teachers", options=SMALL)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("inputs", 0, "inputs must be a whole number from 1 to 10000"),
        ("classes", 1, "classes must be a whole number from 2 to 100"),
        ("width", 2.5, "width must be a whole number"),
        ("fresh", 1, "fresh must be true or false"),
        ("examples", 80, "examples must be more than n_dev and n_test, 80, but is 80"),
        ("flips", 3, "unknown option"),
    ],
)
def test_wrong_options_are_refused(option: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as e:
        load("teachers/target", options={**SMALL, option: value})
    (problem,) = e.value.problems
    assert message in problem.message and problem.path == f"task_options.teachers.{option}"
