"""A real study on Ray survives a killed worker, a killed trial and a killed driver, each by SIGKILL, and failing cells.

This is the slowest test of the suite, about a minute on two cores: Ray is started twice, and nothing less would show
that the groups come back, that the killed cell runs again, and that the results are as if undisturbed. What they would
be is computed without Ray, cell after cell, so the test also shows that Ray changes nothing. The study on Ray is run by
what the wheel installs, in a folder of its own.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cells import unchecked
from rich.console import Console
from wheels import unpacked

from raystudy import run as running
from raystudy.study.pool.local import Local

STUDY = """
name: disturbed
plm: tiny
tasks: [planted/target, planted/source]
targets: [planted/target]
task_options: {planted: {n_train: 100, n_dev: 30, n_test: 40}}
shots: [24]
methods:
  - single_task
  - multi_task
  - meta_dtl: {centred: true, weights: raw}     # half of its weights are negative and refused: its cells must fail
  - majority
settings: {lr: 3.0e-3, min_updates: 20, max_updates: 20, batch_size: 16}
search: {trials: 3, generation: 3, seeds: 2, halving: 2}
report: {seeds: 3}
"""


@pytest.fixture
def begun() -> Iterator[ExitStack]:
    """Drivers that do not outlive the test, whatever fails in it."""
    with ExitStack() as drivers:
        yield drivers


def start(begun: ExitStack, site: Path, folder: Path, out: str) -> subprocess.Popen[bytes]:
    """The study in `folder`, run by the package in `site`."""
    (folder / "study.yaml").write_text(STUDY)
    # one worker group: each further one costs as much again, and the laws are the same
    command = [sys.executable, "-m", "raystudy.run", "study.yaml", "--out", out, "--groups", "1"]
    # A machine of one CPU: Ray starts fewer processes, and the worker trains in one thread, as `undisturbed` does.
    env = {**os.environ, "PYTHONPATH": str(site), "RAY_OVERRIDE_RESOURCES": '{"CPU": 1}', "CI": "true"}
    with (folder / f"{out}.log").open("ab") as log:
        driver = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
    begun.callback(driver.wait, 30)
    begun.callback(driver.kill)
    return driver


def undisturbed(folder: Path, out: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the study here, without Ray and without kept stages; returns the exit code."""
    (folder / "study.yaml").write_text(STUDY)
    with monkeypatch.context() as m, Path(os.devnull).open("w") as sink, unchecked():
        m.chdir(folder)
        m.setattr(running, "run_on_ray", lambda study_run, view, cluster, places: study_run.run_local(Local(places)))
        options = running.RunOptions(out=Path(out))
        return running.run_study(running.open_study("study.yaml", options), options, Console(file=sink))


def results(folder: Path, out: str) -> list[dict[str, str]]:
    """results.csv without the seconds column."""
    with (folder / out / "report" / "results.csv").open() as f:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(f)]


def records(folder: Path, out: str) -> dict[Path, float]:
    return {p: p.stat().st_mtime_ns for p in (folder / out / "cells").glob("*/record.json")}


def wait_for(what: Callable[..., bool], driver: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 300  # a loaded machine takes minutes to start Ray
    while not what():
        assert driver.poll() is None, f"the driver ended early:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"nothing happened:\n{log.read_text()}"
        time.sleep(0.1)


def below(driver: subprocess.Popen[bytes], title: str) -> list[int]:
    """The processes of this driver's Ray whose title holds `title`."""
    rows = subprocess.run(["ps", "-eo", "pid,ppid,sid,args"], capture_output=True, text=True, check=True).stdout
    table = [line.split(None, 3) for line in rows.splitlines()[1:]]
    parents = {int(pid): int(ppid) for pid, ppid, _, _ in table}

    def ours(pid: int) -> bool:
        while pid in parents and pid != driver.pid:
            pid = parents[pid]
        return pid == driver.pid

    return [int(pid) for pid, _, _, args in table if title in args and ours(int(pid))]


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_killed_worker_trial_and_driver(tmp_path: Path, begun: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    assert undisturbed(tmp_path, "whole", monkeypatch) == 1  # done, but some cells failed

    site, log = unpacked(tmp_path), tmp_path / "disturbed.log"
    driver = start(begun, site, tmp_path, "disturbed")
    wait_for(lambda: len(records(tmp_path, "disturbed")) >= 2, driver, log)
    for title in ("ray::ResourceTrainable", "ray::RayTrainWorker"):  # a Tune trial, then a worker
        found: list[int] = []  # looked up once: between two looks a trial can end by itself
        wait_for(
            lambda title=title, found=found: bool(found or found.extend(below(driver, title)) or found), driver, log
        )
        os.kill(found[0], signal.SIGKILL)
    now = len(records(tmp_path, "disturbed"))
    wait_for(lambda: len(records(tmp_path, "disturbed")) >= now + 3, driver, log)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait(30)
    there = records(tmp_path, "disturbed")

    again = start(begun, site, tmp_path, "disturbed")
    assert again.wait(400) == 1, log.read_text()
    assert {p: t for p, t in records(tmp_path, "disturbed").items() if p in there} == there, "a finished cell ran again"
    assert results(tmp_path, "disturbed") == results(tmp_path, "whole")
    assert records(tmp_path, "disturbed").keys() == {
        tmp_path / "disturbed" / p.relative_to(tmp_path / "whole") for p in records(tmp_path, "whole")
    }
    status = subprocess.run(
        [sys.executable, "-m", "raystudy", "status", "disturbed", "--json"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    told = json.loads(status.stdout)
    failed = {k: n for k, n in told["per_method"].items() if k.startswith("meta_dtl")}
    assert told["failed"] == sum(failed.values()) > 3
    assert not told["running"]
