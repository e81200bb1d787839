"""A study of cells that cost nothing, finished or stopped half-way, in ``results/fake`` of the test's own folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from study.fakes import Fake, plan

from raystudy.study.folder.manifest import write_manifest
from raystudy.study.folder.records import Results
from raystudy.study.study_run import StudyRun

Ran = Callable[..., StudyRun]


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Run the fake study in the current folder as a driver would; `cells` = stop after so many."""
    monkeypatch.chdir(tmp_path)

    def run(cells: int | None = None, fake: Fake | None = None, **replaced: str) -> StudyRun:
        study_run = StudyRun(plan(tmp_path, **replaced), Results(Path("results") / "fake"))
        study_run.open()
        write_manifest(study_run, {"commit": "none"})

        def count(record: object) -> None:
            if cells is not None and len(study_run.records) >= cells:
                study_run.stopping.set()

        study_run.on_record = count
        study_run.run_local(fake or Fake())
        if cells is None:
            write_manifest(study_run, {"commit": "none"})
        return study_run

    return run
