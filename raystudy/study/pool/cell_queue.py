"""The queue of cells, between the driver, the search and the groups of workers. A cell is one training (one `Spec`).

The driver and the search put cells in. A group of workers takes one, trains it and gives back its outcome, which waits
here until the driver has written the cell's record and announced its score. Only then do those see the score who wait
for it, so that no search goes on from a score that a crash could lose.

The queue is one asynchronous Ray actor. It writes no file and never looks into an outcome, which passes through as
bytes: so its process loads neither torch nor anything of a method.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["BEAT", "SILENCE", "CellQueue", "LostCell"]

_POLL = 0.05  # seconds between two looks of a rank that waits for the other ranks of its group
BEAT = 10.0  # seconds between two signs of life of a group
SILENCE = 12 * BEAT  # after so many seconds without one a group is taken for lost


@dataclass(frozen=True)
class LostCell:
    """A cell that nobody will finish, and why."""

    spec: dict[str, Any]
    reason: str


@dataclass
class _Job:
    """A cell without a record. `configuration` is the number of its configuration, where a search asked for it."""

    spec: dict[str, Any]
    attempts: int = 0
    configuration: int | None = None


@dataclass
class _Group:
    """A group of workers, which are its ranks.

    Attributes:
        ranks: those that have entered since the group was last complete.
        generation: how often the group was complete; Ray Train starts all of it anew when one rank dies.
        cell: the id of the cell that it trains now. began: when it was given that, in seconds of a monotonic clock.
        answers: what `next` answered, by (generation, sequence number), so that every rank hears the same.
        progress: what its running stage last reported.
        pids: rank -> process id.
        heard: when it last gave a sign of life, in seconds of a monotonic clock.
    """

    ranks: set[int] = field(default_factory=set)
    generation: int = 0
    cell: str | None = None
    began: float = 0.0
    answers: dict[tuple[int, int], Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)
    pids: dict[int, int] = field(default_factory=dict)
    heard: float = field(default_factory=time.monotonic)


def _setting_text(shots: int | None, fraction: float | None, ratio: float | None = None) -> str:
    """A setting as `spec.Setting` is printed; that module would bring pydantic into the queue's process."""
    if shots is not None:
        return f"k={shots}" + ("" if ratio is None else f" ratio {ratio:g}")
    return "all" if fraction is None else f"{100 * fraction:g}%"


class CellQueue:
    """Cells wait here, go out to groups, and come back as outcomes; `pool.py` describes the protocol.

    Args:
        workers: how many workers, or ranks, a group has.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.queues: tuple[deque[str], deque[str]] = (deque(), deque())  # cells of a search first, then the others
        self.jobs: dict[str, _Job] = {}
        self.groups: dict[int, _Group] = {}
        self.scores: dict[str, float | None] = {}  # of the cells that have a record
        self.score_events: dict[str, asyncio.Event] = {}  # of the cells whose score somebody waits for
        self.outcomes: list[Any] = []
        self.outcome_event = asyncio.Event()
        self.closed = self.draining = False
        self.broken: str | None = None

    # -- the driver ------------------------------------------------------------------------------------------------

    async def submit(self, specs: Mapping[str, dict[str, Any]], later: bool) -> None:
        """Queue specs by id. One that has a record, is queued already, or is being trained is not queued again."""
        for key, spec in specs.items():
            if key not in self.scores and key not in self.jobs:
                self.jobs[key] = _Job(spec)
                self.queues[later].append(key)
            elif not later and key in self.queues[1]:
                self.queues[1].remove(key)
                self.queues[0].append(key)

    async def take(self, timeout: float) -> list[Any]:
        """The outcomes that came since the last call; waits at most `timeout` seconds for the first."""
        self._give_up_silent_groups()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.outcome_event.wait(), timeout)
        self.outcome_event.clear()
        outcomes, self.outcomes = self.outcomes, []
        return outcomes

    async def announce(self, scores: Mapping[str, float | None]) -> None:
        """These cells have records now, with these dev scores (None = the cell failed)."""
        for key, score in scores.items():
            self.scores[key] = score
            self.jobs.pop(key, None)
            if key in self.score_events:
                self.score_events.pop(key).set()

    async def drain(self) -> None:
        """Hand out no further cells; those that run are finished. Who waits for a cell that will not run is told."""
        self.draining = True
        running = {g.cell for g in self.groups.values()}
        for key in [k for k in self.score_events if k not in running]:
            self.score_events.pop(key).set()

    async def close(self) -> None:
        """Have every group leave once it has finished its cell."""
        self.closed = True

    async def fail(self, reason: str) -> None:
        """The pool cannot train any more (its groups do not start, the driver cannot write): nobody waits in vain."""
        self.broken = self.broken or reason
        self.draining = True
        for event in self.score_events.values():
            event.set()

    async def status(self) -> dict[str, Any]:
        """What the queue and its groups do now, for the terminal and for `raystudy status`."""
        return {
            "queued": [len(q) for q in self.queues],
            "groups": {n: self._group_status(g) for n, g in sorted(self.groups.items())},
            "ready": {n: len(g.pids) == self.workers for n, g in sorted(self.groups.items())},
            "idle": all(g.cell is None for g in self.groups.values()),
            "broken": self.broken,
            "draining": self.draining or self.closed,
            "pids": {n: dict(g.pids) for n, g in self.groups.items()},
        }

    def _group_status(self, group: _Group) -> dict[str, Any]:
        """What a group does: its cell in words, of what kind it is, seconds since it began, what its stage reported."""
        status: dict[str, Any] = {"cell": self._cell_text(group.cell)}
        if status["cell"] is not None and group.cell is not None:
            spec = self.jobs[group.cell].spec
            status["of"] = [spec["phase"], spec["variant"], spec["target"], _setting_text(**spec["setting"])]
            status["elapsed"] = round(time.monotonic() - group.began, 1)
        return {**status, **group.progress}

    def _cell_text(self, key: str | None) -> str | None:
        """A cell as people read it; None where there is none, or its record is written."""
        if key is None or key not in self.jobs:
            return None
        job = self.jobs[key]
        spec, part = job.spec, job.spec["phase"]
        if job.configuration is not None:
            part += f", configuration {job.configuration}"
        return f"{spec['variant']} {spec['target']} {_setting_text(**spec['setting'])} seed {spec['seed']} ({part})"

    # -- Tune trials -----------------------------------------------------------------------------------------------

    async def score(self, key: str, spec: dict[str, Any], configuration: int | None = None) -> dict[str, Any]:
        """``{"score": dev score}`` of a cell once its record is written (None = it failed); trains it if nobody has.

        ``{"closed": reason}`` when it will not be trained any more. Nothing is raised: an error would make Tune try
        again.
        """
        if key not in self.scores and not self.draining:
            await self.submit({key: spec}, later=False)
            if key in self.jobs:
                self.jobs[key].configuration = configuration
            await self.score_events.setdefault(key, asyncio.Event()).wait()
        if key in self.scores:
            return {"score": self.scores[key]}
        return {"closed": self.broken or "no further cells are handed out"}

    # -- worker groups ---------------------------------------------------------------------------------------------

    async def enter(self, group: int, rank: int, pid: int) -> int:
        """A rank starts, perhaps not for the first time; answers the group's generation once all its ranks are there.

        A group that enters anew while it had a cell has lost a worker: the cell is queued once more, then it fails.
        """
        g = self.groups.setdefault(group, _Group())
        g.ranks.add(rank)
        g.pids[rank] = pid
        g.heard = time.monotonic()
        if len(g.ranks) == self.workers:
            g.ranks.clear()
            g.generation += 1
            g.answers.clear()
            g.progress = {}
            if (key := g.cell) is not None:
                g.cell = None
                self._requeue_or_fail(key)
            return g.generation
        generation = g.generation
        while g.generation == generation:
            await asyncio.sleep(_POLL)
        return g.generation

    async def beat(self, group: int, generation: int) -> None:
        """A sign of life of a group, whatever it does."""
        g = self.groups[group]
        if generation == g.generation:
            g.heard = time.monotonic()

    def _give_up_silent_groups(self) -> None:
        """Queue the cells of groups that are silent once more.

        The machine of such a group is gone, and as long as no other takes its place, Ray Train has none to start the
        group on again: nobody enters. Should it be alive after all, it is told to leave, and its outcome is not taken.
        """
        for g in self.groups.values():
            if g.cell is None or time.monotonic() - g.heard < SILENCE:
                continue
            key, g.cell, g.progress = g.cell, None, {}
            if not g.ranks:  # else it is being started anew, and who has entered waits for the others
                g.generation += 1
                g.answers.clear()
                g.pids.clear()
            self._requeue_or_fail(key)

    def _requeue_or_fail(self, key: str) -> None:
        """A cell whose worker died is queued once more; when that worker dies too, the cell counts as failed."""
        job = self.jobs[key]
        job.attempts += 1
        if job.attempts < 2:
            self.queues[0].appendleft(key)
        else:
            self._give_back(LostCell(job.spec, "its worker process died twice (killed, or out of memory)"))

    async def next(self, group: int, generation: int, sequence: int) -> Any:
        """The spec that this group trains as its `sequence`-th, the same for every rank; "wait", or None to leave."""
        g = self.groups[group]
        if generation != g.generation:
            return None
        place = (generation, sequence)
        if place not in g.answers:
            if self.closed or self.draining:
                g.answers[place] = None
            else:
                queue = next((q for q in self.queues if q), None)
                if queue is None:
                    return "wait"
                g.cell, g.began = queue.popleft(), time.monotonic()
                g.answers[place] = self.jobs[g.cell].spec
            g.answers.pop((generation, sequence - 2), None)
        return g.answers[place]

    async def report_progress(self, group: int, progress: dict[str, Any]) -> None:
        """How far a running stage is, for people."""
        self.groups[group].progress = progress

    async def finish(self, group: int, key: str, outcome: bytes) -> None:
        """Give back a cell's outcome. The same cell given back twice (an answer was lost) counts once."""
        g = self.groups[group]
        if g.cell == key:
            g.cell, g.progress = None, {}
            self._give_back(outcome)

    def _give_back(self, outcome: Any) -> None:
        self.outcomes.append(outcome)
        self.outcome_event.set()
