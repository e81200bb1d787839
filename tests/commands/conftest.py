"""A study of cells that cost nothing, finished or stopped half-way, in ``results/fake`` of the test's own folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from study.fakes import Fake, plan

from raystudy.study.conduct import Conductor
from raystudy.study.publish import write_manifest
from raystudy.study.records import Results

Ran = Callable[..., Conductor]


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Run the fake study in the current folder as a driver would; `cells` = stop after so many."""
    monkeypatch.chdir(tmp_path)

    def run(cells: int | None = None, fake: Fake | None = None, **replaced: str) -> Conductor:
        conductor = Conductor(plan(tmp_path, **replaced), Results(Path("results") / "fake"))
        conductor.open()
        write_manifest(conductor, {"commit": "none"})

        def count(record: object) -> None:
            if cells is not None and len(conductor.seen) >= cells:
                conductor.stopping.set()

        conductor.on_record = count
        conductor.run_local(fake or Fake())
        if cells is None:
            write_manifest(conductor, {"commit": "none"})
        return conductor

    return run
