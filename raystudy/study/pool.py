"""Long-lived Ray Train worker groups that take specs from a hub, one after another.

Starting a worker group costs 15 to 40 seconds, so a group is started once and trains many cells. A group is one
TorchTrainer whose loop (`group_loop`) asks the hub for work until there is none; K threads of the driver each keep one
group alive. The protocol:

    every rank asks `next` with (group, generation, sequence number) and gets the same answer, without a collective;
    with one worker, an exception becomes a failed record and the loop goes on;
    with several, any exception leaves the loop: rank-by-rank states may differ, so Train restarts the whole group;
    a group that enters again while it still had a cell lost a worker: the hub hands the cell out once more, then fails it.

The hub never writes files. Outcomes wait in it until the driver has taken them, written their records, and `announced`
them; only then do those who wait for a score see it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from raystudy.errors import PreflightError, Problem
from raystudy.nn.workers import Alone, ProcessGroup, Workers
from raystudy.spec import Places, Spec
from raystudy.study.local import attempt, failure, short_traceback
from raystudy.study.stages import StageStore
from raystudy.train import Checkpoint, Outcome, run

__all__ = ["Hub", "Pool", "Shape", "group_loop"]

_POLL = 0.05  # seconds between two asks of an idle rank


@dataclass(frozen=True)
class Shape:
    """What one study's groups look like: K groups of W workers, and what each worker may use."""

    groups: int
    workers: int = 1
    cpus: float = 1.0
    gpus: float = 0.0
    threads: int = 1
    retire_after: int = 200  # cells; a fresh process bounds whatever leaks
    retire_growth: float = 4e9  # bytes of resident memory above the start
    checkpoint_seconds: float = 300.0


@dataclass
class _Job:
    spec: dict[str, Any]
    attempts: int = 0


@dataclass
class _Group:
    entered: set[int] = field(default_factory=set)
    generation: int = 0
    current: str | None = None
    answers: dict[tuple[int, int], Any] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    pids: dict[int, int] = field(default_factory=dict)


class Hub:
    """The queue between the driver, the Tune trials and the worker groups: one asynchronous actor."""

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
        """The pool cannot train any more (its groups do not start): nobody waits in vain."""
        self.broken = why
        for event in self.waiting.values():
            event.set()

    async def status(self) -> dict[str, Any]:
        return {
            "queued": [len(q) for q in self.queues],
            "groups": {g: {"cell": s.current, **s.told} for g, s in sorted(self.groups.items())},
            "idle": all(s.current is None for s in self.groups.values()),
            "broken": self.broken,
            "draining": self.draining or self.closed,
            "pids": {g: dict(s.pids) for g, s in self.groups.items()},
        }

    # -- Tune trials -----------------------------------------------------------------------------------------------

    async def score(self, key: str, spec: dict[str, Any]) -> float | None:
        """The dev score of a cell once its record is written (None = it failed); trains it if nobody has."""
        if key not in self.known and not self.draining:
            await self.submit({key: spec}, later=False)
            await self.waiting.setdefault(key, asyncio.Event()).wait()
        if key not in self.known:
            raise RuntimeError(self.broken or "no further cells are handed out")
        return self.known[key]

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
            self._out(failure(Spec.from_json(job.spec), "its worker process died twice (killed, or out of memory)"))

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

    async def done(self, group: int, outcome: Any) -> None:
        """A cell's outcome. The same cell told twice (a lost answer) counts once."""
        g = self.groups[group]
        if g.current == outcome.record.id:
            g.current, g.told = None, {}
            self._out(outcome)

    def _out(self, outcome: Any) -> None:
        self.outcomes.append(outcome)
        self.fresh.set()


def _resident() -> int:
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _peer_lost(error: BaseException) -> bool:
    """Whether a collective failed because another rank is gone."""
    import torch.distributed as dist

    text = str(error)
    return isinstance(error, dist.DistError) or "Connection closed by peer" in text or "Connection reset" in text


def group_loop(config: Mapping[str, Any]) -> None:
    """What every rank of a group runs under Ray Train: cells from the hub until there are none, or until it retires."""
    import torch

    context = ray.train.get_context()
    rank, shape, places, group = context.get_world_rank(), config["shape"], config["places"], config["group"]
    hub = ray.get_actor(config["hub"], namespace=config["namespace"])
    torch.set_num_threads(shape.threads)
    if shape.gpus:
        torch.cuda.set_device(ray.train.torch.get_device())
    workers: Workers = ProcessGroup() if shape.workers > 1 else Alone()
    shared = Path(places.shared)
    store = StageStore(shared / "stages")
    generation = ray.get(hub.enter.remote(group, rank, os.getpid()))
    born = _resident()
    for sequence in range(shape.retire_after):
        while (job := ray.get(hub.next.remote(group, generation, sequence))) == "wait":
            time.sleep(_POLL)
        if job is None:
            return
        spec = Spec.from_json(job)

        def tell(event: Mapping[str, Any]) -> None:
            if rank == 0:
                hub.tell.remote(group, dict(event))

        def train(spec: Spec) -> Outcome:
            checkpoint = Checkpoint(shared / "running" / spec.id, shape.checkpoint_seconds)
            return run(spec, places, workers=workers, store=store, report=tell, checkpoint=checkpoint)

        if shape.workers == 1:
            outcome = attempt(spec, train)
        else:
            try:
                outcome = train(spec)
            except Exception as e:
                # The other ranks may sit in a collective: leave, and have Train restart the group. A rank that only
                # noticed the death of another says nothing, so that the cell is handed out once more.
                if not _peer_lost(e):
                    ray.get(hub.done.remote(group, failure(spec, short_traceback(e))))
                raise
        if rank == 0:
            ray.get(hub.done.remote(group, outcome))
        grown = _resident() - born > shape.retire_growth
        if any(workers.gather(grown)):  # also the point that no rank passes before rank 0 has told the hub
            return


class Pool:
    """The driver's side: a hub, and a thread per group that keeps its TorchTrainer running.

    Use as a context manager; `ray.init` must have been called.
    """

    def __init__(self, shape: Shape, places: Places, scratch: Path) -> None:
        self.shape, self.places, self.scratch = shape, places, scratch
        self.name = f"raystudy-hub-{os.getpid()}"
        self.hub: Any = (
            ray.remote(num_cpus=0, max_concurrency=1000)(Hub).options(name=self.name).remote(shape.workers)
        )
        self._closing = False
        self._threads = [threading.Thread(target=self._keep, args=(g,), daemon=True) for g in range(shape.groups)]

    def __enter__(self) -> Pool:
        for t in self._threads:
            t.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing = True
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(self.hub.close.remote())
        patience = 30.0 if error[0] is None else 3.0
        for t in self._threads:
            t.join(patience)
            patience = 1.0

    def _keep(self, group: int) -> None:
        """Keep one group alive: a group that retires is started anew; one that cannot start breaks the pool."""
        quick = 0
        while not self._closing:
            started = time.monotonic()
            try:
                self._trainer(group).fit()
            except Exception as e:
                if self._closing:
                    return
                quick = quick + 1 if time.monotonic() - started < 60 else 0
                if quick >= 3:
                    ray.get(self.hub.fail.remote(f"worker group {group} does not stay up: {short_traceback(e)}"))
                    return
            else:
                if ray.get(self.hub.status.remote())["draining"]:
                    return

    def _trainer(self, group: int) -> TorchTrainer:
        s = self.shape
        resources = {"CPU": s.cpus} | ({"GPU": s.gpus} if s.gpus else {})
        config = {
            "group": group,
            "hub": self.name,
            "namespace": ray.get_runtime_context().namespace,
            "shape": s,
            "places": self.places,
        }
        return TorchTrainer(
            group_loop,
            train_loop_config=config,
            torch_config=TorchConfig(backend="nccl" if s.gpus else "gloo", timeout_s=3600),
            scaling_config=ScalingConfig(num_workers=s.workers, use_gpu=bool(s.gpus), resources_per_worker=resources),
            run_config=RunConfig(
                name=f"group-{group}",
                storage_path=str(self.scratch / "train"),
                failure_config=FailureConfig(max_failures=100, controller_failure_limit=3),
            ),
        )

    def submit(self, specs: Iterable[Spec], later: bool = False) -> None:
        """Queue specs; `later` = when no search cell waits."""
        ray.get(self.hub.submit.remote({s.id: s.to_json() for s in specs}, later))

    def take(self, timeout: float = 0.5) -> list[Outcome]:
        """Outcomes that came in; the caller writes their records, then announces them."""
        status = ray.get(self.hub.status.remote())
        if status["broken"]:
            raise PreflightError(Problem(status["broken"], "pool"))
        return ray.get(self.hub.take.remote(timeout))  # type: ignore[no-any-return]

    def announce(self, scores: Mapping[str, float | None]) -> None:
        ray.get(self.hub.announce.remote(dict(scores)))
