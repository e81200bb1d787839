"""The cells's protocol, without ray: every rank the same answer, a lost worker's cell once more, nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raystudy.spec import Setting, Spec
from raystudy.study.pool import cell_queue
from raystudy.study.pool.cell_queue import BEAT, SILENCE, CellQueue, LostCell, _setting_text
from study.fakes import plan


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


@pytest.fixture
def specs(tmp_path: Path) -> list[Spec]:
    return plan(tmp_path).confirm({})


def queue(specs: list[Spec]) -> dict[str, dict[str, Any]]:
    return {s.id: s.to_json() for s in specs}


def test_all_ranks_get_the_same_cell_and_each_cell_goes_out_once(specs: list[Spec]) -> None:
    async def law() -> None:
        cells = CellQueue(workers=2)
        await cells.submit(queue(specs[:3]), later=False)
        await cells.submit(queue(specs[:3]), later=False)  # submitting again changes nothing
        generations = await asyncio.gather(cells.enter(0, 0, 1), cells.enter(0, 1, 2))
        assert generations == [1, 1]
        out = []
        for n in range(3):
            a, b = await cells.next(0, 1, n), await cells.next(0, 1, n)
            assert a == b
            spec = Spec.from_json(a)
            out.append(spec.id)
            await cells.finish(0, spec.id, b"outcome")
            await cells.finish(0, spec.id, b"outcome")  # a repeated message counts once
        assert sorted(out) == sorted(s.id for s in specs[:3])
        assert len(await cells.take(0)) == 3
        assert await cells.next(0, 1, 3) == "wait"
        await cells.close()
        assert await cells.next(0, 1, 3) is None

    run(law())


def test_search_cells_go_before_cells_that_can_wait(specs: list[Spec]) -> None:
    async def law() -> None:
        cells = CellQueue(workers=1)
        await cells.submit(queue(specs[:1]), later=True)
        await cells.submit(queue(specs[1:2]), later=False)
        await cells.enter(0, 0, 1)
        assert Spec.from_json(await cells.next(0, 1, 0)).id == specs[1].id

    run(law())


def test_a_lost_workers_cell_goes_out_once_more_then_fails(specs: list[Spec]) -> None:
    async def law() -> None:
        cells = CellQueue(workers=1)
        await cells.submit(queue(specs[:2]), later=False)
        for generation in (1, 2):
            assert await cells.enter(0, 0, 1) == generation
            assert Spec.from_json(await cells.next(0, generation, 0)).id == specs[0].id  # the lost cell comes first
        assert await cells.enter(0, 0, 1) == 3
        (lost,) = await cells.take(0)
        assert isinstance(lost, LostCell)
        assert Spec.from_json(lost.spec).id == specs[0].id
        assert "died twice" in lost.reason
        assert await cells.next(0, 2, 1) is None  # a straggler of an older generation leaves
        assert Spec.from_json(await cells.next(0, 3, 0)).id == specs[1].id

    run(law())


def test_a_silent_group_s_cell_goes_to_another_and_it_is_told_to_leave(
    specs: list[Spec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its machine is gone and nothing takes its place, so it never enters again."""
    now = [0.0]
    monkeypatch.setattr(cell_queue, "time", SimpleNamespace(monotonic=lambda: now[0]))

    async def law() -> None:
        cells = CellQueue(workers=1)
        await cells.submit(queue(specs[:1]), later=False)
        for group in (0, 1):
            await cells.enter(group, 0, 1)
        cell = await cells.next(0, 1, 0)
        for _ in range(20):  # it trains for long, and says that it lives
            now[0] += BEAT
            await cells.beat(0, 1)
            await cells.take(0)
            assert await cells.next(1, 1, 0) == "wait"
        now[0] += SILENCE
        await cells.beat(1, 1)
        await cells.take(0)
        assert await cells.next(1, 1, 0) == cell
        # it was not dead at all: nobody takes what it says now, until it has entered anew
        await cells.finish(0, specs[0].id, b"late")
        await cells.beat(0, 1)
        assert await cells.next(0, 1, 1) is None
        assert await cells.take(0) == []
        await cells.finish(1, specs[0].id, b"outcome")
        assert await cells.take(0) == [b"outcome"]
        assert await cells.next(0, await cells.enter(0, 0, 2), 0) == "wait"

    run(law())


def test_a_group_that_is_being_started_anew_is_not_taken_for_silent(
    specs: list[Spec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One rank has entered and the other takes long: the cell is free, and the two start together all the same."""
    now = [0.0]
    monkeypatch.setattr(cell_queue, "time", SimpleNamespace(monotonic=lambda: now[0]))

    async def law() -> None:
        cells = CellQueue(workers=2)
        await cells.submit(queue(specs[:1]), later=False)
        await asyncio.gather(cells.enter(0, 0, 1), cells.enter(0, 1, 2))
        cell = await cells.next(0, 1, 0)
        first = asyncio.create_task(cells.enter(0, 0, 3))
        await asyncio.sleep(0)
        now[0] += SILENCE
        await cells.take(0)
        assert not first.done()
        assert await cells.enter(0, 1, 4) == await first == 2
        assert await cells.next(0, 2, 0) == cell

    run(law())


def test_a_score_waits_for_the_announcement(specs: list[Spec]) -> None:
    """A trial sees a score only once the driver has written the record."""

    async def law() -> None:
        cells, spec = CellQueue(workers=1), specs[0]
        score_task = asyncio.create_task(cells.score(spec.id, spec.to_json()))
        await cells.enter(0, 0, 1)
        await asyncio.sleep(0)
        assert Spec.from_json(await cells.next(0, 1, 0)).id == spec.id
        await cells.finish(0, spec.id, b"outcome")
        await asyncio.sleep(0.01)
        assert not score_task.done()
        await cells.announce({spec.id: 0.25})
        assert await score_task == {"score": 0.25}
        assert await cells.score(spec.id, spec.to_json()) == {"score": 0.25}  # known now: nothing is trained

    run(law())


def test_draining_hands_out_nothing_and_leaves_nobody_waiting(specs: list[Spec]) -> None:
    async def law() -> None:
        cells = CellQueue(workers=1)
        running, waiting = (asyncio.create_task(cells.score(s.id, s.to_json())) for s in specs[:2])
        await asyncio.sleep(0)
        await cells.enter(0, 0, 1)
        first = Spec.from_json(await cells.next(0, 1, 0))
        await cells.drain()
        assert "no further" in (await waiting)["closed"]
        await cells.finish(0, first.id, b"outcome")
        await cells.announce({first.id: 0.5})
        assert await running == {"score": 0.5}
        assert await cells.next(0, 1, 1) is None

    run(law())


@pytest.mark.parametrize(
    "setting",
    [Setting(), Setting(shots=20), Setting(fraction=0.125), Setting(shots=20, ratio=8), Setting(shots=5, ratio=0.5)],
)
def test_the_queue_prints_a_setting_as_the_study_does(setting: Setting) -> None:
    written = {k: v for k, v in asdict(setting).items() if k != "ratio" or v is not None}
    assert _setting_text(**written) == str(setting)
