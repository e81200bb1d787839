"""How long a study takes: paces, what is measured, and what is foreseen of what is left."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raystudy import run as running
from raystudy.errors import ConfigError
from raystudy.spec import Record, Spec
from raystudy.study.forecast.calibrate import calibrate
from raystudy.study.forecast.forecast import Forecast, Running, makespan
from raystudy.study.forecast.pace import Paces, Work
from raystudy.study.forecast.work import StudyWork
from raystudy.study.plan import Plan
from study.fakes import outcome, plan

BATCH = Work("adapt", "single_task", "m", batch=16, tokens=8.0, code="c")
PASS = 0.02  # seconds of a pass of the machine of these tests

# Methods of very different length; nothing is shared between their cells, and nothing is searched.
STUDY = {"methods": "[single_task, multi_task, meta_dtl]", "search": "{trials: 0}", "shots": "6"}


def known_machine(made: Plan, groups: int | None = 1) -> Forecast:
    """A forecast where every pass takes the same time, and all else nothing."""
    study_work, paces = StudyWork(made), Paces({"name": "here"})
    for t in made.trainings:
        for part in study_work.of_trainings(t):
            seconds = PASS if part in ("transfer", "adapt") else 0.0
            paces.measured(study_work.work(part, t.variant, t.settings, t.target), 1.0, seconds)
    for part in ("start", "finish"):
        paces.measured(study_work.run_work[part], 1.0, 0.0)
    return Forecast(made.trainings, study_work, paces, groups)


def record_of(made: Plan, spec: Spec, slower: float) -> Record:
    """What a training leaves whose passes take `slower` times as long as on the known machine."""
    schedule = made.schedule(spec.variant, spec.settings, spec.target, spec.setting)
    parts = {"transfer": schedule.transfer, "adapt": schedule.adapt}
    return dataclasses.replace(
        outcome(spec).record,
        updates={name: length.updates for name, length in schedule.stages.items()},
        passes={name: length.passes for name, length in schedule.stages.items()},
        stages=dict.fromkeys(schedule.stages, "ran"),
        seconds={p: slower * PASS * sum(s.passes for s in stages.values()) for p, stages in parts.items()},
    )


@given(st.lists(st.floats(0, 100), max_size=30), st.integers(1, 5))
def test_groups_share_what_waits_as_a_queue_hands_it_out(waiting: list[float], groups: int) -> None:
    """No less than an equal share or the longest training, and never more than both together."""
    total, longest = sum(waiting), max(waiting, default=0.0)
    span = makespan([], waiting, groups)
    assert max(total / groups, longest) - 1e-6 <= span <= total / groups + longest + 1e-6
    assert makespan([7.0] * groups, waiting, groups) == pytest.approx(7.0 + span)


def test_a_pace_comes_from_records_before_measurements_and_fades_with_its_code(tmp_path: Path) -> None:
    """What is kept is read again; longer texts take longer in proportion; other code has to be timed anew."""
    paces = Paces.of({"name": "here"}, tmp_path)
    paces.measured(BATCH, 4.0, 8.0)
    paces.keep()
    again = Paces.of({"name": "here"}, tmp_path)
    assert again.seconds(BATCH) == pytest.approx(2.0)
    again.slowdown = 3.0  # other programs are at work: a calibration has not seen that, records have
    assert again.seconds(BATCH) == pytest.approx(6.0)
    again.slowdown = 1.0
    again.recorded(BATCH, 10.0, 30.0)
    assert again.seconds(BATCH) == pytest.approx(2.0)  # a run's own records count through its factors, not twice
    again.keep()
    third = Paces.of({"name": "here"}, tmp_path)
    third.slowdown = 3.0
    assert third.seconds(BATCH) == pytest.approx(3.0)
    third.recorded(BATCH, 10.0, 50.0)
    third.keep()
    assert Paces.of({"name": "here"}, tmp_path).seconds(BATCH) == pytest.approx(4.0)
    longer = dataclasses.replace(BATCH, tokens=16.0)
    assert third.has(longer) and third.seconds(longer) == pytest.approx(6.0)
    assert not third.has(dataclasses.replace(BATCH, code="d"))
    assert third.seconds(dataclasses.replace(BATCH, part="transfer", variant="other")) == pytest.approx(3.0)
    assert third.seconds(dataclasses.replace(BATCH, model="n")) is None
    assert Paces.of({"name": "elsewhere"}, tmp_path).seconds(BATCH) is None
    (file,) = (tmp_path / "pace").glob("*.json")
    file.write_text(json.dumps({"paces": [{"work": {}, "amount": "x"}]}))
    assert Paces.of({"name": "here"}, tmp_path).known == {}


def test_what_is_foreseen_is_the_planned_work_at_the_machines_pace(tmp_path: Path) -> None:
    made = plan(tmp_path, **STUDY)
    forecast = known_machine(made)
    whole = PASS * made.preview["total_passes"] - PASS * made.preview["shared_passes"]
    assert forecast.work_left() == pytest.approx(whole)
    assert forecast.left() == pytest.approx(whole, abs=0.2)  # and what the start has taken so far
    assert sum(forecast.rows().values()) == pytest.approx(whole)
    assert sum(e["seconds"] for e in forecast.estimates()) == pytest.approx(whole, rel=1e-3)
    assert sum(e["cells"] for e in forecast.estimates()) == made.preview["total_cells"]
    two = known_machine(made, groups=2).left()
    assert two is not None and whole / 2 <= two <= whole
    assert known_machine(made, groups=None).left() is None
    nothing = Forecast(made.trainings, StudyWork(made), Paces({}))
    assert nothing.left() is None and math.isnan(nothing.work_left()) and nothing.estimates() == []


def test_a_method_without_a_cell_takes_its_own_planned_passes(tmp_path: Path) -> None:
    """Seen cells tell how fast the machine is, not how long the cells of others are."""
    made = plan(tmp_path, **STUDY)
    forecast, specs = known_machine(made), made.confirm({})
    others = [s for s in specs if s.variant != "single_task"]
    for spec in specs:
        if spec.variant == "single_task":
            forecast.record(record_of(made, spec, slower=3.0))
    passes = {s.id: made.schedule(s.variant, s.settings, s.target, s.setting).cost.passes for s in others}
    (seen,) = {t.schedule.cost.passes for t in made.trainings if t.variant == "single_task"}
    assert min(passes.values()) > 2 * seen
    assert forecast.work_left() == pytest.approx(3.0 * PASS * sum(passes.values()), rel=0.35)
    for spec in others:
        forecast.record(record_of(made, spec, slower=3.0))
    assert forecast.left() == 0.0


def test_what_is_told_stays_within_a_factor_of_one_and_a_half(tmp_path: Path) -> None:
    """From the first cell on, on a machine that is twice as slow as it was, and unsteady."""
    made = plan(tmp_path, **{**STUDY, "report": "{seeds: 6}"})
    forecast, draw = known_machine(made), np.random.default_rng(0)
    records = [record_of(made, spec, slower=2.0 * draw.uniform(0.8, 1.25)) for spec in made.confirm({})]
    left = sum(r.wall for r in records)
    for record in records[:-1]:
        forecast.record(record)
        left -= record.wall
        assert left / 1.5 <= forecast.work_left() <= 1.5 * left


def test_a_training_that_runs_counts_with_the_updates_that_it_has_reported(tmp_path: Path) -> None:
    """And tells how fast the machine is before any cell is done."""
    made = plan(tmp_path, **STUDY)
    forecast, whole = known_machine(made), known_machine(made).work_left()
    t = next(t for t in made.trainings if t.variant == "single_task")
    ((stage, length),) = t.schedule.stages.items()
    key = ("confirm", t.variant, t.target, str(t.arm.setting))
    begun = forecast.work_left([Running(key, 0.0)])
    assert begun == pytest.approx(whole)
    half = Running(key, 1.0, stage, length.updates // 2, PASS * length.passes / length.updates)
    done = PASS * length.passes / length.updates * (length.updates // 2)
    assert forecast.work_left([half]) == pytest.approx(whole - done)
    slow = dataclasses.replace(half, pace=4.0 * half.pace)
    assert forecast.work_left([slow]) > 1.5 * whole
    status = {0: {"cell": "x", "of": list(key), "elapsed": 1.0, "stage": stage, "step": 2, "update_seconds": 0.5}}
    assert Running.of_status({**status, 1: {"cell": None}}) == [Running(key, 1.0, stage, 2, 0.5)]


def test_cells_that_a_search_does_not_need_are_not_waited_for(tmp_path: Path) -> None:
    made = plan(tmp_path)
    forecast = known_machine(made)
    before = forecast.work_left()
    forecast.search_is_left({("multi_task", target, "k=12"): 0 for target in made.study.target_names})
    assert forecast.work_left() < before
    confirm = made.confirm({})
    forecast.decided(confirm)
    for spec in confirm:
        forecast.record(record_of(made, spec, slower=1.0))
    assert forecast.left() == 0.0


def test_a_calibration_times_what_nobody_knows_and_nothing_else(tmp_path: Path) -> None:
    """Once; not at all where it is refused; and no draw of torch depends on whether it was done."""
    made = plan(tmp_path, methods="[single_task, meta_dtl, majority]", search="{trials: 0}", shots="6")
    study_work, paces = StudyWork(made), Paces.of({"name": "here"}, tmp_path)
    assert calibrate(made, study_work, paces, 0.0) == 0 and not paces.known
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    assert calibrate(made, study_work, paces, 60.0) > 0
    assert torch.equal(torch.rand(2), expected)
    assert calibrate(made, study_work, paces, 60.0) == 0
    forecast = Forecast(made.trainings, study_work, paces)
    assert forecast.known and 0 < forecast.work_left() < 600
    paces.keep()
    kept = Paces.of({"name": "here"}, tmp_path)
    assert calibrate(made, study_work, kept, 60.0) == 0


def test_a_budget_that_is_too_small_is_said_before_it_is_spent(tmp_path: Path) -> None:
    forecast = known_machine(plan(tmp_path, **STUDY))
    needed = forecast.work_left()
    options = running.RunOptions(budget=needed / 2)
    (line,) = running.budget_lines(running.Timing(forecast), options, 1)
    assert "will not be enough" in line
    assert running.budget_lines(running.Timing(forecast), dataclasses.replace(options, budget=needed + 1), 1) == []
    assert len(running.budget_lines(running.Timing(forecast), dataclasses.replace(options, budget=needed + 1), 2)) == 1
    assert running.budget_lines(running.Timing(None), options, 1) == []


def test_the_plan_says_how_long_it_takes_or_that_nobody_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan(tmp_path, **STUDY)
    forecast = known_machine(made, groups=2)
    text = "\n".join(running.describe(made, timing=running.Timing(forecast, 3, 2.0)))
    assert "takes about" in text and "2 at a time" in text and "3 kinds of training timed just now in 2 s" in text
    assert "is not known" in "\n".join(running.describe(made, timing=running.foresee(made, running.RunOptions())))
    assert "GPU hours" in running.Timing(forecast).line(2, "cuda")
    monkeypatch.setenv("RAYSTUDY_CALIBRATE", "soon")
    with pytest.raises(ConfigError, match="RAYSTUDY_CALIBRATE"):
        running.foresee(made, running.RunOptions())
