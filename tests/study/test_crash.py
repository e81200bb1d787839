"""Die at every write point, run again: only what is missing runs, and the results are the same bytes.

Every durable write of a study goes through `os.replace` (a file appears whole or not at all) or `os.fsync` before it.
The test dies before and after each such call in turn, exhaustively, without ray.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from raystudy.run import write_manifest, write_report
from raystudy.study.conduct import Conductor
from raystudy.study.plan import Plan
from raystudy.study.records import Results
from study.fakes import Fake, plan

SMALL = {
    "shots": "[6]",
    "methods": "[single_task, meta_dtl, majority]",
    "search": "{trials: 2, generation: 2, seeds: 2, halving: 2}",
    "report": "{seeds: 2}",
}


class Died(BaseException):
    """The process is gone: nothing after this line runs, except what the kernel does."""


def carry_out(made: Plan, folder: Path) -> Fake:
    """One run of a driver, from lock to report."""
    fake, results = Fake(), Results(folder)
    with results.locked():
        conductor = Conductor(made, results)
        conductor.open()
        write_manifest(conductor, {"commit": "none"})
        conductor.run_local(fake)
        write_manifest(conductor, {"commit": "none"})
        write_report(folder)
    return fake


def products(folder: Path) -> dict[str, bytes]:
    """Everything that a reader gets: the records, the predictions, the tables."""
    kept = [*folder.glob("cells/*/*"), folder / "report" / "results.csv", folder / "report" / "report.md"]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in kept}


def dying(call: Callable[..., object], countdown: list[int], after: bool) -> Callable[..., object]:
    def wrapped(*args: object, **kwargs: object) -> object:
        countdown[0] -= 1
        if countdown[0] == 0 and not after:
            raise Died
        result = call(*args, **kwargs)
        if countdown[0] == 0:
            raise Died
        return result

    return wrapped


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_death_at_every_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    made = plan(tmp_path, **SMALL)
    whole = carry_out(made, tmp_path / "whole")
    expected = products(tmp_path / "whole")
    n = 0
    while True:
        n += 1
        folder = tmp_path / f"death-{n}"
        countdown = [n]
        with monkeypatch.context() as m:
            m.setattr(os, "replace", dying(os.replace, countdown, after))
            m.setattr(os, "fsync", dying(os.fsync, countdown, after))
            try:
                carry_out(made, folder)
                break  # this run had fewer write points than n: all were tried
            except Died:
                pass
        there = set(Results(folder).scan())
        again = carry_out(made, folder)
        assert not there & set(again.trained), f"death {n}: a finished cell ran again"
        assert there | set(again.trained) == set(whole.trained), f"death {n}: a cell is missing"
        assert products(folder) == expected, f"death {n}: other results"
    assert n > 20


def test_a_complete_study_trains_nothing(tmp_path: Path) -> None:
    made = plan(tmp_path, **SMALL)
    assert carry_out(made, tmp_path / "r").trained
    assert carry_out(made, tmp_path / "r").trained == []


def test_no_cell_is_trained_twice_in_one_run(tmp_path: Path) -> None:
    trained = carry_out(plan(tmp_path), tmp_path / "r").trained
    assert len(trained) == len(set(trained))


def test_a_new_method_runs_its_own_cells_only(tmp_path: Path) -> None:
    carry_out(plan(tmp_path, **SMALL), tmp_path / "r")
    more = plan(tmp_path, **{**SMALL, "methods": "[single_task, meta_dtl, majority, multi_task]"})
    added = carry_out(more, tmp_path / "r").trained
    records = Results(tmp_path / "r").scan()
    assert {records[k].spec.variant for k in added} == {"multi_task"}


def test_results_csv_has_no_search_rows(tmp_path: Path) -> None:
    carry_out(plan(tmp_path, **SMALL), tmp_path / "r")
    with (tmp_path / "r" / "report" / "results.csv").open() as f:
        rows = list(csv.DictReader(f))
    assert {int(r["seed"]) for r in rows} == {0, 1}
    assert {r["split"] for r in rows} == {"dev", "test"}


def test_failed_cells_are_told_and_kept_until_asked_for(tmp_path: Path) -> None:
    made = plan(tmp_path, **SMALL)
    results = Results(tmp_path / "r")
    first = Conductor(made, results)
    first.open()
    doomed = next(s.id for s in made.confirm({}) if s.variant == "majority")
    first.run_local(Fake(frozenset({doomed})))
    assert first.seen[doomed].status == "failed"
    assert "out of luck" in first.seen[doomed].error
    again = Conductor(made, results)
    again.open()
    assert again.complete
    retry = Conductor(made, results, retry_failed=True)
    retry.open()
    fake = Fake()
    retry.run_local(fake)
    assert fake.trained == [doomed]
    assert Results(tmp_path / "r").scan()[doomed].status == "done"
