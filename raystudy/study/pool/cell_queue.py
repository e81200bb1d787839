"""The queue between the driver, the Tune trials and the worker groups: one asynchronous actor.

It never writes files and never looks into an outcome, which passes through it as bytes: so its process loads neither
torch nor anything of a method. Outcomes wait in it until the driver has taken them, written their records, and
`announced` them; only then do those who wait for a score see it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CellQueue", "Lost"]

_POLL = 0.05  # seconds between two looks of a rank that waits for its group


@dataclass(frozen=True)
class Lost:
    """A cell that nobody will finish, and why."""

    spec: dict[str, Any]
    why: str


@dataclass
class _Job:
    spec: dict[str, Any]
    attempts: int = 0
    configuration: int | None = None  # of a search


@dataclass
class _Group:
    entered: set[int] = field(default_factory=set)
    generation: int = 0
    current: str | None = None
    answers: dict[tuple[int, int], Any] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    pids: dict[int, int] = field(default_factory=dict)


def _data(shots: int | None, fraction: float | None) -> str:
    """A setting as `spec.Setting` is printed; that module would bring pydantic into the queue's process."""
    if shots is not None:
        return f"k={shots}"
    return "all" if fraction is None else f"{100 * fraction:g}%"


class CellQueue:
    """Cells wait here, go out to groups, and come back as outcomes; see `pool.py` for the protocol."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.queues: tuple[deque[str], deque[str]] = (deque(), deque())  # search first, then what can wait
        self.jobs: dict[str, _Job] = {}
        self.groups: dict[int, _Group] = {}
        self.known: dict[str, float | None] = {}
        self.waiting: dict[str, asyncio.Event] = {}
        self.outcomes: list[Any] = []
        self.fresh = asyncio.Event()
        self.closed = self.draining = False
        self.broken: str | None = None

    # -- the driver ------------------------------------------------------------------------------------------------

    async def submit(self, specs: Mapping[str, dict[str, Any]], later: bool) -> None:
        """Queue specs by id; one that is known, queued or running is not queued again."""
        for key, spec in specs.items():
            if key not in self.known and key not in self.jobs:
                self.jobs[key] = _Job(spec)
                self.queues[later].append(key)
            elif not later and key in self.queues[1]:
                self.queues[1].remove(key)
                self.queues[0].append(key)

    async def take(self, timeout: float) -> list[Any]:
        """The outcomes that came since the last call, after at most `timeout` seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.fresh.wait(), timeout)
        self.fresh.clear()
        taken, self.outcomes = self.outcomes, []
        return taken

    async def announce(self, scores: Mapping[str, float | None]) -> None:
        """These cells have records now, with this dev score (None = failed)."""
        for key, score in scores.items():
            self.known[key] = score
            self.jobs.pop(key, None)
            if key in self.waiting:
                self.waiting.pop(key).set()

    async def drain(self) -> None:
        """Hand out no further cells; those that run are finished. Who waits for a cell that will not run is told."""
        self.draining = True
        running = {g.current for g in self.groups.values()}
        for key in [k for k in self.waiting if k not in running]:
            self.waiting.pop(key).set()

    async def close(self) -> None:
        self.closed = True

    async def fail(self, why: str) -> None:
        """The pool cannot train any more (its groups do not start, the driver cannot write): nobody waits in vain."""
        self.broken = self.broken or why
        self.draining = True
        for event in self.waiting.values():
            event.set()

    async def status(self) -> dict[str, Any]:
        return {
            "queued": [len(q) for q in self.queues],
            "groups": {g: {"cell": self._words(s.current), **s.told} for g, s in sorted(self.groups.items())},
            "ready": {g: len(s.pids) == self.workers for g, s in sorted(self.groups.items())},
            "idle": all(s.current is None for s in self.groups.values()),
            "broken": self.broken,
            "draining": self.draining or self.closed,
            "pids": {g: dict(s.pids) for g, s in self.groups.items()},
        }

    def _words(self, key: str | None) -> str | None:
        """A cell as people read it."""
        if key is None or key not in self.jobs:
            return None
        job = self.jobs[key]
        s, part = job.spec, job.spec["phase"]
        if job.configuration is not None:
            part += f", configuration {job.configuration}"
        return f"{s['variant']} {s['target']} {_data(**s['setting'])} seed {s['seed']} ({part})"

    # -- Tune trials -----------------------------------------------------------------------------------------------

    async def score(self, key: str, spec: dict[str, Any], configuration: int | None = None) -> dict[str, Any]:
        """``{"score": dev score}`` of a cell once its record is written (None = it failed); trains it if nobody has.

        ``{"closed": why}`` when it will not be trained any more. Nothing is raised: an error would make Tune try again.
        """
        if key not in self.known and not self.draining:
            await self.submit({key: spec}, later=False)
            if key in self.jobs:
                self.jobs[key].configuration = configuration
            await self.waiting.setdefault(key, asyncio.Event()).wait()
        if key in self.known:
            return {"score": self.known[key]}
        return {"closed": self.broken or "no further cells are handed out"}

    # -- worker groups ---------------------------------------------------------------------------------------------

    async def enter(self, group: int, rank: int, pid: int) -> int:
        """A rank starts (again); returns the group's generation once all its ranks are there."""
        g = self.groups.setdefault(group, _Group())
        g.entered.add(rank)
        g.pids[rank] = pid
        if len(g.entered) == self.workers:
            g.entered.clear()
            g.generation += 1
            g.answers.clear()
            g.told = {}
            if (key := g.current) is not None:
                g.current = None
                self._lost(key)
            return g.generation
        before = g.generation
        while g.generation == before:
            await asyncio.sleep(_POLL)
        return g.generation

    def _lost(self, key: str) -> None:
        """A cell whose worker died: once more, then it counts as failed."""
        job = self.jobs[key]
        job.attempts += 1
        if job.attempts < 2:
            self.queues[0].appendleft(key)
        else:
            self._out(Lost(job.spec, "its worker process died twice (killed, or out of memory)"))

    async def next(self, group: int, generation: int, sequence: int) -> Any:
        """The spec that this group trains as its `sequence`-th: every rank gets the same. "wait", or None to leave."""
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
                g.current = queue.popleft()
                g.answers[place] = self.jobs[g.current].spec
            g.answers.pop((generation, sequence - 2), None)
        return g.answers[place]

    async def tell(self, group: int, what: dict[str, Any]) -> None:
        """Progress of a running stage, for people."""
        self.groups[group].told = what

    async def done(self, group: int, key: str, outcome: bytes) -> None:
        """A cell's outcome. The same cell told twice (a lost answer) counts once."""
        g = self.groups[group]
        if g.current == key:
            g.current, g.told = None, {}
            self._out(outcome)

    def _out(self, outcome: Any) -> None:
        self.outcomes.append(outcome)
        self.fresh.set()
