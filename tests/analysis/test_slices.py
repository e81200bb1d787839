"""Slices show every complete trial once along each setting, below the trials that an importance takes, unranked."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from analysis.conftest import figures_of
from hypothesis import given
from hypothesis import strategies as st

from raystudy.analysis.compute import searches_of
from raystudy.analysis.figures import draw
from raystudy.analysis.numbers import Design, Method, SearchedSetting, SearchRow
from raystudy.analysis.sections.slices import IMPORTANCE_TRIALS, compute, slices_table
from raystudy.spec import Arm, Setting

ARM = Arm("meta_dtl", Setting(shots=20))
DESIGN = Design(
    name="mine",
    about="",
    conditions="",
    baseline="single_task",
    baseline_title="single-task",
    rope=0.01,
    seeds=5,
    methods=(Method("meta_dtl", "Meta-DTL", "method"),),
    targets=("polarity",),
    settings=("k=20",),
    shots=(20,),
)
SPACE = [SearchedSetting(ARM, "lr", "η", "1e-5 to 5e-4", "log", "5e-5", "5e-5")]


def rows(n: int, seed: int = 0, pruned: int = 0) -> list[SearchRow]:
    dice = random.Random(seed)
    out = []
    for number in range(n):
        settings: dict[str, Any] = {
            "lr": 5e-5 if number == 0 else 10 ** dice.uniform(-5, -3.3),
            "epochs": 3 + number % 3,
            "initial": ("even", "normalized")[number % 2],
            "batch_size": 16,
        }
        state = "pruned" if number >= n - pruned else "complete"
        out.append(SearchRow(ARM, "polarity", number, settings, dice.random(), state, number == 0, seeds=1))
    return out


@given(st.integers(2, IMPORTANCE_TRIALS - 1), st.integers(0, 1000))
def test_the_parts_of_a_slice_are_all_complete_trials_once(n: int, seed: int) -> None:
    searches = searches_of(rows(n, seed), DESIGN)
    total = math.fsum(t.dev for t in searches[0].trials)
    for s in compute(searches, SPACE):
        assert sum(p.trials for p in s.parts) == len(s.points) == n
        assert math.fsum(p.mean * p.trials for p in s.parts) == pytest.approx(total)
        assert max(p.best for p in s.parts) == max(t.dev for t in searches[0].trials)
        assert len({p.value for p in s.parts}) == len(s.parts)
        assert s.log == (s.name == "lr")


def test_only_what_was_moved_and_only_what_was_complete() -> None:
    searches = searches_of(rows(12, pruned=4), DESIGN)
    slices = [*compute(searches, SPACE)]
    assert [s.name for s in slices] == ["epochs", "initial", "lr"]
    assert {len(s.points) for s in slices} == {8}
    assert [p.value for p in slices[0].parts] == ["3", "4", "5"]
    table = slices_table(slices, DESIGN)
    assert len(table.rows) == sum(len(s.parts) for s in slices) and len(table.breaks) == 2


def test_none_with_enough_trials_for_an_importance_and_none_of_a_single_trial() -> None:
    for n in (1, IMPORTANCE_TRIALS, 40):
        assert [*compute(searches_of(rows(n), DESIGN), SPACE)] == []


def test_a_picture_has_a_panel_per_setting(study: Any, records: Any) -> None:
    from raystudy.analysis.compute import compute as numbers_of

    numbers = numbers_of(study, records, [*rows(9)], spaces=SPACE)
    (figure,) = figures_of(numbers, "slices")
    svg = draw(figure).decode()
    for name in ("lr (9 trials)", "epochs (9 trials)", "initial (9 trials)"):
        assert name in svg
    assert draw(figure).decode() == svg
