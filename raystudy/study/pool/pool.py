"""Long-lived Ray Train worker groups that take specs from a queue, one after another.

Starting a worker group costs 15 to 40 seconds, so a group is started once and trains many cells. A group is one
TorchTrainer whose loop (`group_loop`) asks the queue for work until there is none; K threads of the driver each keep
one group alive. The protocol:

    every rank asks `next` with (group, generation, sequence number) and gets the same answer, without a collective;
    with one worker, an exception becomes a failed record and the loop goes on;
    with several, an exception leaves the loop: ranks may stand in different places, so Train restarts the whole group;
    a group that enters again while it still had a cell lost a worker: the cell goes out once more, then it fails.

Who waits for a score sees it only after the driver has taken the outcome, written its record, and announced it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from raystudy.errors import ConfigError, DataError, PreflightError, Problem
from raystudy.spec import Places, Spec
from raystudy.study.pool.cell_queue import CellQueue, Lost
from raystudy.study.pool.failures import failure, short_traceback
from raystudy.study.store.stage_store import StageStore
from raystudy.train import Checkpoint, Outcome, run
from raystudy.workers import Alone, ProcessGroup, Workers

__all__ = ["Pool", "Shape", "group_loop"]

_POLL = 0.05  # seconds between two asks of an idle rank
_PATIENCE = 120.0  # seconds for an answer of the queue, which never takes more than one on a machine that still works


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


def _resident() -> int:
    """Resident memory of this process in bytes."""
    return psutil.Process().memory_info().rss


def _peer_lost(error: BaseException) -> bool:
    """Whether a collective failed because another rank is gone."""
    import torch.distributed as dist

    text = str(error)
    return isinstance(error, dist.DistError) or "Connection closed by peer" in text or "Connection reset" in text


def group_loop(config: Mapping[str, Any]) -> None:
    """What every rank of a group runs under Ray Train: cells from the queue, until there are none or it retires."""
    import torch

    context = ray.train.get_context()
    rank, shape, places, group = context.get_world_rank(), config["shape"], config["places"], config["group"]
    queue = ray.get_actor(config["queue"], namespace=config["namespace"])
    torch.set_num_threads(shape.threads)
    if shape.gpus:
        torch.cuda.set_device(ray.train.torch.get_device())
    workers: Workers = ProcessGroup() if shape.workers > 1 else Alone()
    shared = Path(places.shared)
    store = StageStore(shared / "stages")
    generation = ray.get(queue.enter.remote(group, rank, os.getpid()))
    born = _resident()
    for sequence in range(shape.retire_after):
        while (job := ray.get(queue.next.remote(group, generation, sequence))) == "wait":
            time.sleep(_POLL)
        if job is None:
            return
        spec = Spec.from_json(job)

        def tell(event: Mapping[str, Any]) -> None:
            if rank == 0:
                queue.tell.remote(group, dict(event))

        def train(spec: Spec) -> Outcome:
            checkpoint = Checkpoint(shared / "running" / spec.id, shape.checkpoint_seconds)
            return run(spec, places, workers=workers, store=store, report=tell, checkpoint=checkpoint)

        try:
            outcome = train(spec)
        except Exception as e:
            outcome = failure(spec, short_traceback(e))
            if shape.workers > 1 and not isinstance(e, ConfigError | DataError):
                # The other ranks may sit in a collective: leave, and have Train restart the group. (What settings or
                # data forbid, every rank finds at the same place.) A rank that only noticed the death of another
                # says nothing, so that the cell is handed out once more.
                if not _peer_lost(e):
                    ray.get(queue.done.remote(group, spec.id, pickle.dumps(outcome)))
                raise
        if rank == 0:
            ray.get(queue.done.remote(group, spec.id, pickle.dumps(outcome)))
        grown = _resident() - born > shape.retire_growth
        if any(workers.gather(grown)):  # also the point that no rank passes before rank 0 has told the queue
            return


class Pool:
    """The driver's side: a queue, and a thread per group that keeps its TorchTrainer running.

    Use as a context manager; `ray.init` must have been called.
    """

    def __init__(self, shape: Shape, places: Places, scratch: Path) -> None:
        self.shape, self.places, self.scratch = shape, places, scratch
        self.name = f"raystudy-cells-{os.getpid()}"
        actor = ray.remote(num_cpus=0, max_concurrency=1000)(CellQueue).options(name=self.name)
        self.queue: Any = actor.remote(shape.workers)
        self._closing = threading.Event()
        self._draining = False
        self._threads = [threading.Thread(target=self._keep, args=(g,), daemon=True) for g in range(shape.groups)]

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
        """Whether groups were given up while they started: their threads call ray yet."""
        return any(t.is_alive() for t in self._threads)

    def _ask(self, what: str, *args: Any, timeout: float = _PATIENCE) -> Any:
        """The queue's answer.

        Raises:
            PreflightError: there is no queue any more, because ray or its node died.
        """
        try:
            return ray.get(getattr(self.queue, what).remote(*args), timeout=timeout)
        except (ray.exceptions.RayError, RuntimeError, OSError) as e:
            said = (str(e).strip().splitlines() or [""])[0]
            raise PreflightError(Problem(f"died, or its head node did: {type(e).__name__} {said}", "ray")) from None

    def _keep(self, group: int) -> None:
        """Keep one group alive: a group that retires is started anew; one that cannot start breaks the pool."""
        quick = 0
        while not self._closing.is_set():
            started = time.monotonic()
            try:
                self._trainer(group).fit()
            except Exception as e:
                if self._closing.is_set():
                    return
                quick = quick + 1 if time.monotonic() - started < 60 else 0
                if quick >= 3:
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
        self._ask("submit", {s.id: s.to_json() for s in specs}, later)

    def take(self, timeout: float = 0.5) -> list[Outcome]:
        """Outcomes that came in; the caller writes their records, then announces them.

        Raises:
            PreflightError: the groups do not stay up, or ray died.
        """
        status = self._ask("status")
        if status["broken"]:
            raise PreflightError(Problem(status["broken"], "pool"))
        came = self._ask("take", timeout)
        # bytes of our own workers, through Ray's own channel; nothing is ever unpickled from disk
        return [failure(Spec.from_json(x.spec), x.why) if isinstance(x, Lost) else pickle.loads(x) for x in came]  # noqa: S301

    def announce(self, scores: Mapping[str, float | None]) -> None:
        self._ask("announce", dict(scores))

    def drain(self) -> None:
        """Have the running cells finished and no others handed out. Does not wait for them."""
        self._draining = True
        self._ask("drain")

    def idle(self) -> bool:
        """Whether no group trains a cell now. What the last ones answered may still wait to be taken."""
        return bool(self._ask("status")["idle"])

    def fail(self, why: str) -> None:
        """Have nobody wait any more: no further cell will be answered."""
        self._ask("fail", why)
