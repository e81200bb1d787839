"""Cells are copied from another results folder only where training them would give the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from raystudy.study.folder.records import Results
from raystudy.study.study_run import StudyRun
from study.fakes import Fake, plan


def ran(folder: Path, where: str, fake: Fake | None, **replaced: str) -> StudyRun:
    study_run = StudyRun(plan(folder, **replaced), Results(folder / where))
    study_run.open()
    if fake is not None:
        study_run.run_local(fake)
    return study_run


def test_finished_cells_are_copied_searches_included_and_failed_ones_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raystudy.study.folder.records.is_stale", lambda record: False)
    failing = next(iter(ran(tmp_path, "none", None).confirm_cells())).id
    there = ran(tmp_path, "there", Fake(frozenset({failing})))
    here = ran(tmp_path, "here", None)
    assert here.take_over([Results(tmp_path / "empty"), there.results]) == len(there.records) - 1
    assert [s.id for s in here.missing_cells()] == [failing]
    fake = Fake()
    here.run_local(fake)
    assert fake.trained == [failing] and here.complete
    for cell in there.records.keys() - {failing}:
        for name in ("record.json", "predictions.parquet"):
            ours, theirs = (r.cells / cell / name for r in (here.results, there.results))
            assert ours.read_bytes() == theirs.read_bytes()


def test_cells_that_other_code_made_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = ran(tmp_path, "there", Fake(), search="{trials: 0}")
    monkeypatch.setattr("raystudy.study.folder.records.is_stale", lambda record: True)
    assert ran(tmp_path, "here", None, search="{trials: 0}").take_over([there.results]) == 0
    assert not (tmp_path / "here" / "cells").exists()


def test_of_a_smaller_study_the_cells_in_common_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raystudy.study.folder.records.is_stale", lambda record: False)
    there = ran(tmp_path, "there", Fake(), search="{trials: 0}", report="{seeds: 1}")
    here = ran(tmp_path, "here", None, search="{trials: 0}")
    assert here.take_over([there.results]) == len(there.records)
    assert len(here.missing_cells()) == 2 * len(there.records)
