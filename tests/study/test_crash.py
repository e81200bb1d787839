"""Die at every write point, run again: only what is missing runs, and the results are the same bytes.

Exhaustive and without ray: everything that a run opens for writing, renames, makes or removes below the results folder
and the cache is a write point (study/writes.py), and the test dies at each in turn. What stands for ray is a pool whose
cells cost nothing.
"""

from __future__ import annotations

import asyncio
import csv
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from raystudy import run as running
from raystudy import train
from raystudy.analysis import report as analysis_report
from raystudy.analysis.figures import Figure
from raystudy.errors import PreflightError
from raystudy.spec import Places, Record, Spec
from raystudy.study import plan as planning
from raystudy.study.folder import manifest, report_files, tensorboard
from raystudy.study.folder.background_writer import BackgroundWriter
from raystudy.study.folder.manifest import write_manifest
from raystudy.study.folder.records import Results
from raystudy.study.folder.report_files import write_report
from raystudy.study.plan import Plan
from raystudy.study.pool.cell_queue import CellQueue
from raystudy.study.store.stage_store import LARGE, StageStore
from raystudy.study.study_run import StudyRun
from raystudy.studyfile import Study
from raystudy.workers import Alone
from study.fakes import Fake, FakePool, plan, study
from study.writes import Died, Points, death_at, watched

SMALL = {
    "shots": "[6]",
    "methods": "[single_task, meta_dtl, majority]",
    "search": "{trials: 2, generation: 2, seeds: 2, halving: 2}",
    "report": "{seeds: 2}",
}
TINY = {**SMALL, "methods": "[single_task, majority]", "search": "{trials: 2, generation: 2}", "report": "{seeds: 1}"}


def carry_out(study_plan: Any, folder: Path, *, report: bool = False) -> Fake:
    """One run of a driver, from lock to (if asked for) report, cell after cell in this process."""
    fake, results = Fake(), Results(folder)
    with results.locked():
        study_run = StudyRun(study_plan, results)
        study_run.open()
        write_manifest(study_run, {"commit": "none"})
        study_run.run_local(fake)
        write_manifest(study_run, {"commit": "none"})
        if report:
            write_report(folder)
    return fake


class NoPictures:
    """TensorBoard has threads of its own, which a simulated death does not reach; its law is below."""

    def __init__(self, folder: Path, records: object) -> None:
        pass

    def add(self, record: Record) -> None:
        pass

    def close(self) -> None:
        pass


DESCRIBE = running.describe  # for tests of what a run says, which `without_ray` leaves out


@contextmanager
def without_ray(monkeypatch: pytest.MonkeyPatch, *, report: bool = False) -> Iterator[list[FakePool]]:
    """`run.run_study` whole, but for Ray, TensorBoard and (unless asked for) the report; yields the pools it used."""
    pools: list[FakePool] = []
    plans: dict[tuple[str, str], Plan] = {}  # a plan is pure in its study; making its tasks takes most of a run's time

    def once(study: Study, places: Places) -> Plan:
        return plans.setdefault((repr(study), repr(places)), Plan(study, places))

    def on_fakes(study_run: StudyRun, view: object, options: object, places: object) -> None:
        pools.append(FakePool())
        study_run.run_on_pool(pools[-1], pools[-1].tune)

    with monkeypatch.context() as m:
        m.setattr(running, "run_on_ray", on_fakes)
        m.setattr(planning, "Plan", once)
        m.setattr(tensorboard, "TensorBoard", NoPictures)
        m.setattr(manifest, "provenance", lambda plan, command: {"commit": "none"})
        m.setattr(running, "describe", lambda *plan, **more: [])  # words for the screen, a quarter of a run
        if not report:
            m.setattr(report_files, "write_report", lambda folder, exhibit, opens: folder / "report" / "report.md")
        yield pools


def drive(opened: Any) -> int:
    with Path(os.devnull).open("w") as sink:
        return running.run_study(opened, running.RunOptions(), Console(file=sink))


def products(folder: Path) -> dict[str, bytes]:
    """Everything that a reader gets: the records, the predictions, what stands beside them, the report."""
    paths = [p for p in folder.rglob("*") if p.is_file() and p.name != ".lock" and "logs" not in p.parts]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths if p.name != "optuna.journal"}


def test_death_at_every_write_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lock, manifest, study.lock.yaml, journal, predictions, records, events, best/: and the cache's probe."""
    shared = tmp_path / "cache"
    tiny_study, places = study(tmp_path, **TINY), Places(plm="tiny", shared=str(shared))
    with without_ray(monkeypatch) as pools:
        with watched(Points(tmp_path, lambda number, event, path: None), monkeypatch) as points:
            assert drive((tiny_study, places, tmp_path / "whole")) == 0
        trained = set(pools[0].trained)
        assert len(trained) == len(pools[0].trained)  # no cell is trained twice
        expected = products(tmp_path / "whole")
        events = {e for e, _ in points.events}
        assert {"open", "fsync", "os.rename", "os.mkdir", "os.remove"} <= events
        assert len(points.events) > 60
        for n in range(1, len(points.events) + 1):
            opened = (tiny_study, places, tmp_path / f"death-{n}")
            pools.clear()
            with watched(Points(tmp_path, death_at(n)), monkeypatch), pytest.raises(Died):
                drive(opened)
            where = f"death {n}, {points.events[n - 1]}"
            before = {p: p.stat().st_mtime_ns for p in opened[2].glob("cells/*/record.json")}
            there = {p.parent.name for p in before}
            pools.clear()
            assert drive(opened) == 0, where
            again = set(pools[0].trained) if pools else set()
            assert not there & again, f"{where}: a finished cell ran again"
            assert there | again == trained, f"{where}: a cell is missing"
            assert {p: p.stat().st_mtime_ns for p in before} == before, f"{where}: a record was written again"
            assert products(opened[2]) == expected, f"{where}: other results, or something left over"
    assert not list(shared.glob(".*.new"))


def draw_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw each figure once, for a test that builds the same report many times: drawing writes nothing."""
    draw, drawn = analysis_report.draw, {}

    def remembered(figure: Figure, form: Any) -> bytes:
        if (figure.name, form) not in drawn:
            drawn[figure.name, form] = draw(figure, form)
        return drawn[figure.name, form]

    monkeypatch.setattr(analysis_report, "draw", remembered)


def test_death_at_every_write_of_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each of its write points every file of a report is absent, as it was, or whole; building again mends all."""
    draw_once(monkeypatch)
    carry_out(plan(tmp_path, **SMALL), tmp_path / "r", report=True)
    folder, states = tmp_path / "r" / "report", []
    final = products(folder)
    assert {"report.md", "results.csv"} <= final.keys()

    def look(number: int, event: str, path: str) -> None:
        points.paused = True
        states.append({k: v for k, v in products(folder).items() if not k.endswith(".new")})
        points.paused = False

    points = Points(tmp_path, look)
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        path.unlink()
    with watched(points, monkeypatch):
        write_report(tmp_path / "r")
    assert states[0] == {}
    for state in states:
        assert state.items() <= final.items()
    assert products(folder) == final

    for n in (1, len(states) // 2, len(states) - 1):
        with watched(Points(tmp_path, death_at(n)), monkeypatch), pytest.raises(Died):
            write_report(tmp_path / "r")
        write_report(tmp_path / "r")
        assert {k: v for k, v in products(folder).items() if not k.endswith(".new")} == final


def test_what_a_killed_report_left_is_removed_later(tmp_path: Path) -> None:
    (tmp_path / "r" / "report").mkdir(parents=True)
    new, old = (tmp_path / "r" / "report" / name for name in (".new.md.7.new", ".old.md.7.new"))
    for path in (new, old):
        path.write_text("half")
    os.utime(old, (0, 0))
    with Results(tmp_path / "r").locked():
        assert new.exists()  # a `raystudy report` may be at work beside us
        assert not old.exists()


@pytest.mark.parametrize("content", [b"", b"\x00\xff garbage", None])
def test_views_are_rebuilt_whatever_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    """A torn journal with a dead driver's lock, a torn manifest and log; or a folder where a view goes."""
    tiny_study = study(tmp_path, **TINY)
    opened = (tiny_study, Places(plm="tiny", shared=str(tmp_path / "cache")), tmp_path / "r")
    with without_ray(monkeypatch):
        drive(opened)
        expected = products(opened[2])
        for record in opened[2].glob("cells/*/record.json"):
            record.unlink()
        for name in ("optuna.journal", "optuna.journal.lock", "manifest.json", "logs/events.jsonl", "logs/now.json"):
            path = opened[2] / name
            path.unlink(missing_ok=True)
            if content is not None:
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            elif name != "manifest.json":
                path.mkdir()
        assert drive(opened) == 0
        assert {k: v for k, v in products(opened[2]).items() if "journal" not in k} == expected


def test_tensorboard_never_stops_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when its folder cannot be made, and not when its writer's thread has died and its queue is full."""
    small_study = study(tmp_path, **SMALL)
    opened = (small_study, Places(plm="tiny", shared=str(tmp_path / "cache")), tmp_path / "r")
    real = tensorboard.TensorBoard
    with without_ray(monkeypatch), monkeypatch.context() as m:  # undone before what it covers
        m.setattr(tensorboard, "TensorBoard", real)
        opened[2].mkdir()
        (opened[2] / "tensorboard").write_text("a file")
        assert drive(opened) == 0


def test_a_view_that_hangs_or_breaks_is_left_behind() -> None:
    hanging = threading.Event()

    class Hangs(NoPictures):
        def add(self, record: Any) -> None:
            hanging.wait(60)

    class Breaks(NoPictures):
        def add(self, record: Any) -> None:
            raise OSError(28, "No space left on device")

    for sink in (Hangs, Breaks):
        view: BackgroundWriter[int] = BackgroundWriter(lambda sink=sink: sink(Path(), ()), patience=0.2)  # type: ignore[misc]
        for thing in range(100):
            view.add(thing)
        view.close()
        assert (view.error is None) == (sink is Hangs)
    hanging.set()


@pytest.mark.parametrize("length", [100, LARGE // 4], ids=["inside", "in a file of its own"])
def test_death_at_every_write_of_the_stage_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    """A result is there whole or not at all; the next worker is not held up and gets the same."""
    key = {"part": "transfer", "seed": 1}
    state = {"w": torch.arange(float(length))}
    n = 0
    while True:
        n += 1
        store = StageStore(tmp_path / f"{n}" / "stages")
        try:
            with watched(Points(tmp_path, death_at(n)), monkeypatch):
                store.compute(key, lambda: state, Alone())
            break
        except Died:
            pass
        stored_state = store.read(key)
        assert stored_state is None or torch.equal(stored_state["w"], state["w"])
        again, hit = StageStore(store.folder).compute(key, lambda: state, Alone())
        assert hit == (stored_state is not None)
        assert torch.equal(again["w"], state["w"])
    assert n >= 4


def saved(step: int) -> train._Saved:
    return train._Saved("adapt", 0, step, 0.5, {}, "code", {"w": torch.full((50,), float(step))})


def test_death_at_every_write_of_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a death while the second (or third) is saved, the one before or the new one is taken up, each whole."""
    for earlier in (1, 2):
        n = 0
        while True:
            n += 1
            checkpoint = train.Checkpoint(tmp_path / f"{earlier}-{n}" / "cell", 0.0)
            for step in range(1, earlier + 1):
                checkpoint.save(saved(step))
            try:
                with watched(Points(tmp_path, death_at(n)), monkeypatch):
                    checkpoint.save(saved(earlier + 1))
                break
            except Died:
                pass
            loaded = train.Checkpoint(checkpoint.folder).load("code")
            assert loaded is not None
            assert loaded.step in (earlier, earlier + 1)
            assert torch.equal(loaded.tensors["w"], saved(loaded.step).tensors["w"])
            checkpoint.save(saved(9))  # whatever was left is in nobody's way
            again = checkpoint.load("code")
            assert again is not None
            assert again.step == 9
            checkpoint.drop()
            assert list(checkpoint.folder.parent.iterdir()) == []
        assert n >= 9


@pytest.mark.parametrize("torn", ["where.json", "state.safetensors"])
def test_a_torn_checkpoint_counts_as_none(tmp_path: Path, torn: str) -> None:
    checkpoint = train.Checkpoint(tmp_path / "cell", 0.0)
    assert checkpoint.load("code") is None
    checkpoint.save(saved(1))
    assert checkpoint.load("other code") is None
    path = checkpoint.folder / torn
    path.write_bytes(path.read_bytes()[:20])
    assert checkpoint.load("code") is None


class Dying(train.Checkpoint):
    """A worker that dies right after its n-th checkpoint; saves after every update."""

    deaths_after = 0

    def save(self, saved: train._Saved) -> None:
        super().save(saved)
        self.deaths_after -= 1
        if self.deaths_after == 0:
            raise Died


def test_a_cell_that_goes_out_again_gives_the_record_of_an_undisturbed_run(tmp_path: Path) -> None:
    """Through the queue: a worker dies after every update in turn, its group enters again and goes on from there."""
    study_plan = plan(tmp_path, **{**SMALL, "search": "{trials: 0}", "settings": "{max_updates: 4, min_updates: 4}"})
    spec, places = next(s for s in study_plan.confirm({}) if s.variant == "meta_dtl"), Places(plm="tiny")
    undisturbed = train.run(spec, places)
    updates = sum(undisturbed.record.updates.values())
    assert updates == 8

    async def law(shared: Path, death: int) -> tuple[train.Outcome, int]:
        queue, store = CellQueue(workers=1), StageStore(shared / "stages")
        await queue.submit({spec.id: spec.to_json()}, later=False)
        assert await queue.enter(0, 0, 1) == 1
        dying = Dying(shared / "running" / spec.id, 0.0)
        dying.deaths_after = death
        with pytest.raises(Died):
            train.run(Spec.from_json(await queue.next(0, 1, 0)), places, store=store, checkpoint=dying)
        assert await queue.enter(0, 0, 2) == 2  # Train has restarted the group: its worker was lost
        rest = Dying(shared / "running" / spec.id, 0.0)
        outcome = train.run(Spec.from_json(await queue.next(0, 2, 0)), places, store=store, checkpoint=rest)
        await queue.finish(0, spec.id, b"told")
        assert await queue.take(0) == [b"told"]
        return outcome, -rest.deaths_after

    for death in range(1, updates + 1):
        shared = tmp_path / f"cache-{death}"
        outcome, updates_again = asyncio.run(law(shared, death))
        assert plain(outcome) == plain(undisturbed), f"death after update {death}"
        assert updates_again == updates - death  # it went on where the dead worker was
        assert list((shared / "running").iterdir()) == []  # a finished cell leaves no checkpoint


def plain(outcome: train.Outcome) -> dict[str, Any]:
    """What a cell leaves, but for how long it took and which of its stages were there already."""
    record = replace(outcome.record, seconds={}, stages=dict.fromkeys(outcome.record.stages))
    answers = {
        s: [p.gold, p.pred, None if p.probabilities is None else p.probabilities.tolist()]
        for s, p in outcome.predictions.items()
    }
    return {"record": record.to_json(), "answers": answers}


def test_a_complete_study_trains_nothing(tmp_path: Path) -> None:
    study_plan = plan(tmp_path, **SMALL)
    assert carry_out(study_plan, tmp_path / "r").trained
    assert carry_out(study_plan, tmp_path / "r").trained == []


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
    carry_out(plan(tmp_path, **SMALL), tmp_path / "r", report=True)
    with (tmp_path / "r" / "report" / "results.csv").open() as f:
        rows = list(csv.DictReader(f))
    assert {int(r["seed"]) for r in rows} == {0, 1}
    assert {r["split"] for r in rows} == {"dev", "test"}


def test_failed_cells_are_told_and_kept_until_asked_for(tmp_path: Path) -> None:
    study_plan = plan(tmp_path, **SMALL)
    results = Results(tmp_path / "r")
    first = StudyRun(study_plan, results)
    first.open()
    doomed = next(s.id for s in study_plan.confirm({}) if s.variant == "majority")
    first.run_local(Fake(frozenset({doomed})))
    assert first.records[doomed].status == "failed"
    assert "out of luck" in first.records[doomed].error
    again = StudyRun(study_plan, results)
    again.open()
    assert again.complete
    retry = StudyRun(study_plan, results, retry_failed=True)
    retry.open()
    fake = Fake()
    retry.run_local(fake)
    assert fake.trained == [doomed]
    assert Results(tmp_path / "r").scan()[doomed].status == "done"


def test_a_drain_finishes_the_running_cells_and_keeps_their_records(tmp_path: Path) -> None:
    """After a search cell, and later after a confirm cell: what runs is awaited, nothing else is handed out."""
    study_plan = plan(tmp_path, **SMALL)
    whole = set(carry_out(study_plan, tmp_path / "whole").trained)
    for after in (0, 1, 5, len(whole) - 3):
        results, pool = Results(tmp_path / f"r{after}"), FakePool(groups=3)
        study_run = StudyRun(study_plan, results)
        study_run.open()

        running: dict[str, Spec] = {}

        def drain_after(
            record: Record, c: StudyRun = study_run, p: FakePool = pool, n: int = after, r: Any = running
        ) -> None:
            if len(p.trained) == n + 1:
                r.update(p.running)
                c.drain()

        study_run.on_record = drain_after
        study_run.run_on_pool(pool, pool.tune)
        assert set(results.scan()) == set(pool.trained) >= running.keys()
        assert len(pool.trained) <= after + 1 + 3
        assert study_run.complete == (set(pool.trained) == whole)
        again = carry_out(study_plan, results.folder)
        assert set(again.trained) == whole - set(pool.trained)
        assert products(results.folder) == products(tmp_path / "whole")


@pytest.mark.parametrize("when", ["search", "confirm"])
def test_what_stops_the_collector_stops_the_study(tmp_path: Path, when: str) -> None:
    """A record that cannot be written ends the run with its own words, though trials wait for its score."""
    study_plan = plan(tmp_path, **SMALL)
    study_run, pool = StudyRun(study_plan, Results(tmp_path / "r")), FakePool()
    study_run.open()

    def full(record: Record) -> None:
        if record.spec.phase == when:
            raise PreflightError("no room")

    study_run.on_record = full
    with pytest.raises(PreflightError, match=r"^no room$"):
        study_run.run_on_pool(pool, pool.tune)
    assert "no room" in pool.broken


def test_a_pool_that_is_gone_is_told_to_who_waits(tmp_path: Path) -> None:
    """The thread that searches may wait for a dead ray: `on_lost` is called, and its interrupt brings the cause."""
    study_plan, lost = plan(tmp_path, **SMALL), threading.Event()

    class Gone(FakePool):
        def take(self, timeout: float = 0.5) -> list[train.Outcome]:
            raise PreflightError("ray died")

        fail = take  # type: ignore[assignment]

    def search(searches: object) -> None:
        assert lost.wait(30)
        raise KeyboardInterrupt

    study_run, pool = StudyRun(study_plan, Results(tmp_path / "r"), on_lost=lost.set), Gone()
    study_run.open()
    with pytest.raises(PreflightError, match="ray died"):
        study_run.run_on_pool(pool, search)
