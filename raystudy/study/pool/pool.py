"""Groups of workers that live long and train cells from a queue, one after another.

A group is one or more workers that train one cell together; each worker is a rank of the group. Starting a group of Ray
Train costs 15 to 40 seconds, so a group is started once and trains many cells: it is one TorchTrainer whose loop
(`group_loop`) asks the queue for work until there is none. Each group has a thread in the driver that starts it anew
when it ends. The protocol between groups and queue:

    Every rank asks `next` with (group, generation, sequence number), and all get the same answer without a collective.
    A generation is one start of the whole group.
    In a group of one worker, an exception becomes a failed record, and the loop goes on.
    In a group of several, an exception leaves the loop, because the ranks may stand in different places; Ray Train then
    restarts the whole group.
    A group that enters anew while it had a cell has lost a worker: the cell is handed out once more, then it fails.
    A group that gives no sign of life for minutes has lost its machine, and may find no other: the same holds for its
    cell, and should it be alive after all, it leaves without giving an outcome.

Who waits for a cell's score sees it only after the driver has taken the outcome, written its record, and announced it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raystudy.errors import ConfigError, DataError, PreflightError, Problem
from raystudy.own_modules import OwnModule, use
from raystudy.spec import Places, Spec
from raystudy.study.pool.cell_queue import BEAT, CellQueue, LostCell
from raystudy.study.pool.failures import failure, short_traceback
from raystudy.study.store.stage_store import StageStore
from raystudy.train import Checkpoint, Outcome, run
from raystudy.workers import Alone, ProcessGroup, Workers

__all__ = ["Pool", "Shape", "group_loop"]

_POLL = 0.05  # seconds between two asks of an idle rank
_PATIENCE = 120.0  # seconds for an answer of the queue, which never takes more than one on a machine that still works


@dataclass(frozen=True)
class Shape:
    """What the groups of a study look like.

    Attributes:
        groups: how many train at a time.
        workers: of each group. cpus, gpus, threads: of each worker.
        retire_after: a group is started anew after so many cells, because a fresh process bounds whatever leaks.
        retire_growth: and when its resident memory has grown by so many bytes since it started.
        checkpoint_seconds: how often a running training is kept on disk.
    """

    groups: int
    workers: int = 1
    cpus: float = 1.0
    gpus: float = 0.0
    threads: int = 1
    retire_after: int = 200
    retire_growth: float = 4e9
    checkpoint_seconds: float = 300.0


def _resident_bytes() -> int:
    """Resident memory of this process in bytes."""
    return psutil.Process().memory_info().rss


def _is_lost_peer(error: BaseException) -> bool:
    """Whether a collective failed because another rank is gone."""
    import torch.distributed as dist

    text = str(error)
    return isinstance(error, dist.DistError) or "Connection closed by peer" in text or "Connection reset" in text


def _give_signs_of_life(queue: Any, group: int, generation: int) -> None:
    """Tell the queue that this process lives, until it ends; a queue that is gone is told nothing."""
    with contextlib.suppress(Exception):  # ray is shut down below this thread
        while True:
            ray.get(queue.beat.remote(group, generation))
            time.sleep(BEAT)


def group_loop(config: Mapping[str, Any]) -> None:
    """What every rank of a group runs under Ray Train: it trains cells until there are none, or until it retires."""
    import torch

    context = ray.train.get_context()
    rank, shape, places, group = context.get_world_rank(), config["shape"], config["places"], config["group"]
    queue = ray.get_actor(config["queue"], namespace=config["namespace"])
    use(config["own"])
    torch.set_num_threads(shape.threads)
    if shape.gpus:
        torch.cuda.set_device(ray.train.torch.get_device())
    workers: Workers = ProcessGroup() if shape.workers > 1 else Alone()
    shared = Path(places.shared)
    store = StageStore(shared / "stages")
    generation = ray.get(queue.enter.remote(group, rank, os.getpid()))
    if rank == 0:
        threading.Thread(target=_give_signs_of_life, args=(queue, group, generation), daemon=True).start()
    bytes_at_start = _resident_bytes()
    for sequence in range(shape.retire_after):
        while (job := ray.get(queue.next.remote(group, generation, sequence))) == "wait":
            time.sleep(_POLL)
        if job is None:
            return
        spec = Spec.from_json(job)

        def report_progress(event: Mapping[str, Any]) -> None:
            if rank == 0:
                queue.report_progress.remote(group, dict(event))

        def train(spec: Spec) -> Outcome:
            checkpoint = Checkpoint(shared / "running" / spec.id, shape.checkpoint_seconds)
            return run(
                spec,
                places,
                workers=workers,
                store=store,
                report=report_progress,
                checkpoint=checkpoint,
                threads=None,  # as many as are set above
            )

        try:
            outcome = train(spec)
        except Exception as e:
            outcome = failure(spec, short_traceback(e))
            if shape.workers > 1 and not isinstance(e, ConfigError | DataError):
                # The other ranks may sit in a collective: leave, and have Train restart the group. (What settings or
                # data forbid, every rank finds at the same place.) A rank that only noticed the death of another
                # says nothing, so that the cell is handed out once more.
                if not _is_lost_peer(e):
                    ray.get(queue.finish.remote(group, spec.id, pickle.dumps(outcome)))
                raise
        if rank == 0:
            ray.get(queue.finish.remote(group, spec.id, pickle.dumps(outcome)))
        retires = _resident_bytes() - bytes_at_start > shape.retire_growth
        if any(workers.gather(retires)):  # also the point that no rank passes before the queue has the outcome
            return


class Pool:
    """The groups of a study, as the driver sees them: their queue, and a thread per group that keeps it running.

    Use it as a context manager, after `ray.init`.

    Args:
        scratch: a folder for what Ray Train writes, which nobody reads.
        own: methods and data sets of the user's own, which travel to the workers as the bytes that the driver read.
    """

    def __init__(self, shape: Shape, places: Places, scratch: Path, own: Sequence[OwnModule] = ()) -> None:
        self.shape, self.places, self.scratch, self.own = shape, places, scratch, tuple(own)
        self.name = f"raystudy-cells-{os.getpid()}"
        # on the driver's own machine: a lost worker must not take the queue with it
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor = ray.remote(num_cpus=0, max_concurrency=1000)(CellQueue)
        actor = actor.options(name=self.name, scheduling_strategy=here)
        self.queue: Any = actor.remote(shape.workers)
        self._closing = threading.Event()
        self._draining = False
        self._threads = [threading.Thread(target=self._run_group, args=(g,), daemon=True) for g in range(shape.groups)]

    def __enter__(self) -> Pool:
        for t in self._threads:
            t.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        with contextlib.suppress(PreflightError):
            self._ask("close", timeout=10.0)
        # a group that is still starting has nothing to lose when nobody wants it any more
        patience = 30.0 if error[0] is None and not self._draining else 3.0
        for t in self._threads:
            t.join(patience)
            patience = 1.0

    @property
    def starting(self) -> bool:
        """Whether groups were given up while they started, so that their threads still call ray."""
        return any(t.is_alive() for t in self._threads)

    def _ask(self, method: str, *args: Any, timeout: float = _PATIENCE) -> Any:
        """The queue's answer to a call of `method`.

        Raises:
            PreflightError: there is no queue any more, because ray or its node died.
        """
        try:
            return ray.get(getattr(self.queue, method).remote(*args), timeout=timeout)
        except (ray.exceptions.RayError, RuntimeError, OSError) as e:
            first_line = (str(e).strip().splitlines() or [""])[0]
            text = f"died, or its head node did: {type(e).__name__} {first_line}"
            raise PreflightError(Problem(text, "ray")) from None

    def _run_group(self, group: int) -> None:
        """Run one group until the pool closes.

        A group that retires is started anew. One that ends three times in a row within a minute of its start cannot
        start at all, and breaks the pool.
        """
        quick_ends = 0
        while not self._closing.is_set():
            started = time.monotonic()
            try:
                self._trainer(group).fit()
            except Exception as e:
                if self._closing.is_set():
                    return
                quick_ends = quick_ends + 1 if time.monotonic() - started < 60 else 0
                if quick_ends >= 3:
                    with contextlib.suppress(PreflightError):
                        self.fail(f"worker group {group} does not stay up: {short_traceback(e)}")
                    return
            else:
                with contextlib.suppress(PreflightError):
                    if self._ask("status")["draining"]:
                        return

    def _trainer(self, group: int) -> TorchTrainer:
        s = self.shape
        resources = {"CPU": s.cpus} | ({"GPU": s.gpus} if s.gpus else {})
        config = {
            "group": group,
            "queue": self.name,
            "namespace": ray.get_runtime_context().namespace,
            "shape": s,
            "places": self.places,
            "own": self.own,
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
        """Queue specs; those that are submitted `later` go out when no cell of a search waits."""
        self._ask("submit", {s.id: s.to_json() for s in specs}, later)

    def take(self, timeout: float = 0.5) -> list[Outcome]:
        """The outcomes that came in. The caller writes their records, then announces their scores.

        Raises:
            PreflightError: the groups do not stay up, or ray died.
        """
        status = self._ask("status")
        if status["broken"]:
            raise PreflightError(Problem(status["broken"], "pool"))
        outcomes = self._ask("take", timeout)

        def to_outcome(x: Any) -> Outcome:
            if isinstance(x, LostCell):
                return failure(Spec.from_json(x.spec), x.reason)
            # bytes of our own workers, through Ray's own channel; nothing is ever unpickled from disk
            outcome: Outcome = pickle.loads(x)  # noqa: S301
            return outcome

        return [to_outcome(x) for x in outcomes]

    def announce(self, scores: Mapping[str, float | None]) -> None:
        """Have those who wait for these cells see their dev scores (None = the cell failed)."""
        self._ask("announce", dict(scores))

    def drain(self) -> None:
        """Have the running cells finished and no others handed out. Does not wait until they are."""
        self._draining = True
        self._ask("drain")

    def idle(self) -> bool:
        """Whether no group trains a cell now. The last outcomes may still wait to be taken."""
        return bool(self._ask("status")["idle"])

    def fail(self, reason: str) -> None:
        """Have nobody wait any more: no further cell will be trained."""
        self._ask("fail", reason)
