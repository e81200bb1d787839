"""What `status` says is what the folder holds; a driver's words count only while it lives."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from study.fakes import Fake
from typer.testing import CliRunner

from raystudy import __main__ as commands
from raystudy.commands import megabytes
from raystudy.study.folder.live_status import keep_live_status, read_live_status, search_counts
from raystudy.study.folder.progress import ConfigurationCounts, progress
from raystudy.study.folder.records import Results

RESULTS = Path("results") / "fake"
SMALL = {"methods": "[single_task, meta_dtl, majority]", "search": "{trials: 4, generation: 2, seeds: 2, shots: 12}"}
ALONE = {**SMALL, "report": "{seeds: 3, default: false}"}  # nothing is trained beside the winners


def said(*args: str) -> Any:
    out = CliRunner().invoke(commands.app, ["status", *args, "--json"])
    assert out.exit_code == 0, out.output
    return json.loads(out.stdout)


def test_a_finished_study_is_counted_cell_by_cell(ran: Any) -> None:
    study_run = ran(**ALONE)
    found = progress(Results(RESULTS))
    assert found.finished
    assert not found.running
    assert found.cells.done == found.cells.planned == len(study_run.records)
    counts = Counter((r.spec.arm, r.spec.phase) for r in study_run.records.values())
    for a in found.arms:
        assert (a.search.done, a.confirm.done) == (counts[a.arm, "search"], counts[a.arm, "confirm"])
        mine = [r for r in study_run.records.values() if r.spec.arm == a.arm and r.spec.phase == "confirm"]
        for split, score in (("dev", a.dev), ("test", a.test)):
            assert score == pytest.approx(sum(r.metrics[split]["accuracy"] for r in mine) / len(mine))


def test_what_is_trained_beside_the_winners_is_counted_apart(ran: Any) -> None:
    """The means of an arm are those of its winner's cells alone; all cells together are all records."""
    study_run = ran(**SMALL)
    found = progress(Results(RESULTS))
    beside = {s.id for s in study_run.plan.beside(study_run.searches)}
    assert found.finished
    assert found.beside.done == found.beside.planned == len(beside) > 0
    assert found.cells.done == found.cells.planned == len(study_run.records)
    for a in found.arms:
        own = [r for r in study_run.records.values() if r.spec.arm == a.arm and r.spec.phase == "confirm"]
        own = [r for r in own if r.id not in beside]
        assert a.confirm.done == a.confirm.planned == len(own) == 3
        assert a.test == pytest.approx(sum(r.metrics["test"]["accuracy"] for r in own) / len(own))


def test_the_driver_and_the_folder_tell_the_same_of_a_search(ran: Any) -> None:
    """Two ways to the same numbers: the live search, and the manifest that the driver leaves."""
    study_run = ran(search="{trials: 5, generation: 3, seeds: 4, halving: 2, shots: 12}", methods=SMALL["methods"])
    folder = {str(a.arm): a.trials for a in progress(Results(RESULTS)).arms if a.trials}
    driver = {str(arm): ConfigurationCounts(**search_counts(search)) for arm, search in study_run.searches.items()}
    assert folder.keys() == driver.keys()
    for arm, mine in driver.items():
        assert mine.pruned > 0
        assert folder[arm].best == pytest.approx(mine.best)
        assert (folder[arm].complete, folder[arm].pruned, folder[arm].cells) == (mine.complete, mine.pruned, mine.cells)


SAME = {  # at most ten updates: 20, 40 and 60 epochs are the same trainings, and 3 epochs are the paper's
    "methods": "[single_task, majority]",
    "search": "{trials: 5, generation: 2, seeds: 2, shots: 12, sampler: random, "
    "space: {single_task: {epochs: [3, 20, 40, 60]}}}",
}


def test_configurations_that_are_the_same_trainings_are_counted_by_their_cells(ran: Any) -> None:
    study_run = ran(**SAME)
    ((arm, search),) = study_run.searches.items()
    cells = {r.id for r in study_run.records.values() if r.spec.phase == "search"}
    assert len(cells) < sum(len(c.scores) for c in search.configurations), "some are the same"
    counts = next(a for a in progress(Results(RESULTS)).arms if a.arm == arm)
    assert counts.trials is not None
    assert counts.trials.cells == search_counts(search)["cells"] == len(cells)
    assert counts.trials.over == counts.trials.total == 5
    assert counts.search.done == counts.search.planned == len(cells)
    assert said("fake")["finished"]


@pytest.mark.parametrize("cells", [3, 5, 7])
def test_a_search_with_the_same_trainings_never_has_more_cells_left_than_it_may(ran: Any, cells: int) -> None:
    study_run = ran(cells, **SAME)
    replayed = {str(arm): search_counts(search) for arm, search in study_run.replay().items()}
    for a in progress(Results(RESULTS)).arms:
        if a.trials is not None:
            assert a.trials.cells <= a.search.done
            assert a.trials.cells <= replayed[str(a.arm)]["cells"]


@pytest.mark.parametrize("cells", [1, 9, 17])
def test_no_test_score_while_the_study_is_unfinished(ran: Any, cells: int) -> None:
    study_run = ran(cells, **SMALL)
    told = said("fake")
    assert told["done"] == len(study_run.records) == cells
    assert not told["finished"]
    assert all(a["test"] is None for a in told["arms"])
    assert "test" not in CliRunner().invoke(commands.app, ["status", "fake"]).stdout.splitlines()[3].split()
    # what is left is what a driver would say
    assert told["expected_cells"] - told["done"] == study_run.plan.preview["total_cells"] - cells


def test_a_killed_driver_is_said_to_have_been(ran: Any) -> None:
    """Its manifest is that of its start: which configurations ended since, only a replay can tell."""
    ran(9, **SMALL)
    assert said("fake")["killed"]
    assert "it was killed" in CliRunner().invoke(commands.app, ["status", "fake"]).stdout
    with Results(RESULTS).locked():
        assert not said("fake")["killed"]
    ran(**SMALL)
    assert not said("fake")["killed"]


@pytest.mark.parametrize("cells", range(1, 18, 4))
def test_a_killed_search_is_counted_from_its_records(ran: Any, cells: int) -> None:
    """What a kill leaves is counted as the next driver will count it: no cells beside configurations that never ran."""
    study_run = ran(cells, **SMALL)
    replayed = {str(arm): search_counts(search) for arm, search in study_run.replay().items()}
    found = progress(Results(RESULTS))
    assert found.killed
    for a in found.arms:
        if a.trials is None:
            continue
        mine = replayed[str(a.arm)]
        assert (a.trials.over, a.trials.complete) == (mine["complete"], mine["complete"])
        assert a.trials.best == (None if mine["best"] is None else pytest.approx(mine["best"]))
        assert a.search.done >= a.trials.cells == mine["cells"]
        assert a.search.done < a.trials.cells + 2 * (a.trials.total - a.trials.over) + 1


def test_every_count_has_words(ran: Any) -> None:
    ran(9, **ALONE)
    text = CliRunner().invoke(commands.app, ["status", "fake"]).stdout
    assert "9 cells trained (" in text
    search, confirm = re.search(r"\((\d+) of at most \d+ in search, (\d+) of at most \d+ in confirm\)", text).groups()  # type: ignore[union-attr]
    assert int(search) + int(confirm) == 9
    header = next(line for line in text.splitlines() if line.startswith("method"))
    assert "search cells" in header
    assert "confirm cells" in header
    assert all(f"{word}: " in text for word in ("cells", "tried", "best"))


def test_failed_cells_are_named_with_the_last_line_of_their_error(ran: Any) -> None:
    first = ran(**SMALL)
    cell = next(k for k, r in first.records.items() if r.spec.variant == "majority")
    (RESULTS / "cells" / cell / "record.json").unlink()
    ran(fake=Fake(failing=frozenset({cell})), **SMALL)
    told = said("fake")
    assert told["failed"] == 1
    assert [f["cell"] for f in told["failures"]] == [cell]
    text = CliRunner().invoke(commands.app, ["status", "fake"]).stdout
    assert f"failed {cell}" in text
    assert "RuntimeError: out of luck" in text


def test_cells_of_a_study_that_was_edited_since_do_not_count(ran: Any) -> None:
    ran(**SMALL)
    before = time.time() - 100
    for path in RESULTS.glob("cells/*/record.json"):
        os.utime(path, (before, before))
    fresh = ran(settings="{max_updates: 11}", **SMALL)  # other settings: every cell but the floor's is another one
    told = said("fake")
    assert told["done"] == len(fresh.study_records()) < len(list(RESULTS.glob("cells/*/record.json")))


def test_the_time_left_is_that_of_the_cells_left(ran: Any) -> None:
    ran(10, **SMALL)
    found = progress(Results(RESULTS))
    left = found.cells.planned - found.cells.done
    assert found.seconds_left == pytest.approx(0.5 * left)  # every fake cell says it took half a second
    results = Results(RESULTS)
    status = {"groups": {0: {}, 1: {}}, "searches": {}, "draining": False}
    with results.locked(), keep_live_status(results, lambda: status):
        _wait(lambda: read_live_status(results) is not None)
        assert progress(results).seconds_left == pytest.approx(0.25 * left)


# ---------------------------------------------------------------------------------------------------------------------
# logs/now.json


def _wait(reached: Any) -> None:
    deadline = time.monotonic() + 5
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_a_living_driver_does_is_read_and_gone_at_its_end(tmp_path: Path) -> None:
    results, step = Results(tmp_path), [0]

    def say() -> dict[str, Any]:
        step[0] += 1
        if step[0] == 1:
            raise ConnectionError("the hub does not answer")  # the view never stops a study
        return {"groups": {"0": {"step": step[0]}}}

    with results.locked():
        with keep_live_status(results, say, every=0.01):
            _wait(lambda: read_live_status(results) is not None)
            first = read_live_status(results)
            assert first is not None
            assert first["pid"] == os.getpid()
            _wait(lambda: read_live_status(results)["groups"] != first["groups"])  # type: ignore[index]
        assert read_live_status(results) is None
    assert not (tmp_path / "logs" / "now.json").exists()


def test_a_dead_drivers_words_are_not_repeated(tmp_path: Path) -> None:
    """Killed: its file stays. Nobody holds the lock; and when the next one does, the file is older than the lock."""
    results = Results(tmp_path)
    left = json.dumps({"pid": os.getpid(), "groups": {"0": {"cell": "of the dead"}}})
    with results.locked():
        results.logs.mkdir()
        (results.logs / "now.json").write_text(left)
        (tmp_path / ".driver").replace(tmp_path / "kept")
    (tmp_path / "kept").replace(tmp_path / ".driver")
    assert read_live_status(results) is None
    past = time.time() - 60
    os.utime(results.logs / "now.json", (past, past))
    with results.locked():
        assert read_live_status(results) is None


def test_asking_whether_a_study_runs_never_keeps_its_driver_out(tmp_path: Path) -> None:
    """`status --watch` asks every second, and holds the lock for a moment to find out."""
    import threading

    results, stop = Results(tmp_path), threading.Event()
    with results.locked():
        pass

    def ask() -> None:
        while not stop.is_set():
            results.is_running()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(20):
            with Results(tmp_path).locked():
                pass
    finally:
        stop.set()
        asking.join()


def test_an_unknown_study_is_answered_with_the_nearest(ran: Any) -> None:
    ran(1, **SMALL)
    out = CliRunner().invoke(commands.app, ["status", "fak"])
    assert "did you mean 'fake'?" in str(out.exception)


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0.0 kB"), (9_940, "9.9 kB"), (812_000, "812 kB"), (999_600, "1.0 MB"), (12e9, "12 GB")],
)
def test_sizes_read_well(size: float, words: str) -> None:
    assert megabytes(size) == words
