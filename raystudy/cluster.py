"""Starts Ray or joins a running cluster, keeps a pool of workers for a study, and stops Ray again.

No other module calls `ray.init`. Nothing here can hang a run: an address that does not answer is given up, a Ray that
has died is noticed, and temporary folders that killed processes left behind are removed.
"""

from __future__ import annotations

import _thread
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from raystudy.errors import PreflightError, Problem
from raystudy.paths import absolute_environment
from raystudy.spec import ACROSS, Arm, Numerics, Places, Spec
from raystudy.supervise import RESUME_HINT, end_process, is_supervised
from raystudy.wording import counted, spelt

if TYPE_CHECKING:
    from raystudy.live_view import LiveView
    from raystudy.study.search.arm_search import ArmSearch
    from raystudy.study.study_run import StudyRun

__all__ = ["Cluster", "cell_description", "fitting_group_count", "run_on_ray", "threads_of_worker"]


@dataclass(frozen=True)
class Cluster:
    """Where to train, and how much of it to use. Without an address, Ray is started on this machine."""

    address: str | None = None
    groups: int | None = None  # trainings at a time; None: as many as fit
    isolate: bool = False  # a fresh worker process for every cell
    dashboard: bool = False
    gpu_share: int | None = None  # trainings on one GPU at a time; None: by the memory that one was measured to need


_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "passive",  # spinning barriers of one worker starve the next on a small machine
    "TOKENIZERS_PARALLELISM": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
}


# what the user may have set for this process, and workers of a cluster need as well
_PASSED_ON = (
    *("HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE"),
    *("HF_HUB_ETAG_TIMEOUT", "RAYSTUDY_CACHE"),
)


def run_on_ray(study_run: StudyRun, view: LiveView, cluster: Cluster, places: Places) -> None:
    """Start Ray, keep a pool of workers for as long as cells are missing, and stop Ray."""
    view.begin("starting Ray")
    numerics = study_run.plan.study.numerics
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    absolute_environment(os.environ)
    import ray

    from raystudy.study.folder.live_status import keep_live_status, search_counts
    from raystudy.study.pool.pool import Pool, Shape
    from raystudy.study.search.tune_experiment import tune_searches

    began = time.monotonic()
    places = replace(places, revision=study_run.plan.plm.revision or places.revision)  # a branch may move meanwhile
    pools: list[Pool] = []
    with _scratch() as scratch, _ray(cluster, lambda: any(p.starting for p in pools)) as context:
        if cluster.address:
            _check_nodes(places, view)
        resources = ray.cluster_resources()
        cells = study_run.missing_cells()
        share, why = _gpu_share(cluster, numerics, places, cells)
        groups = fitting_group_count(resources, cluster.groups, numerics, len(cells), share)
        shape = Shape(
            groups,
            numerics.workers,
            cpus=1.0,
            gpus=1.0 / share if numerics.device == "cuda" else 0.0,
            threads=threads_of_worker(resources, groups, numerics),
            **({"retire_after": 1} if cluster.isolate else {}),
        )
        started = f"Ray is up after {time.monotonic() - began:.0f} s"
        each = f"{counted(numerics.workers, 'worker')} with {counted(shape.threads, 'thread')} each"
        view.say(f"{started}: {counted(groups, 'group')} of {each}")
        if why:
            view.say(why)
        if cluster.address and numerics.device == "cpu" and resources.get("GPU"):
            idle_gpus = f"GPUs of the cluster that are there and not used: {resources['GPU']:.0f}"
            view.say(f"{idle_gpus}; numerics.device=cuda uses them")
        if context.dashboard_url:
            view.say(f"Ray dashboard at http://{context.dashboard_url} (token: ray get-auth-token)")
        searching: dict[Arm, ArmSearch] = dict(study_run.searches)
        view.describe = lambda spec: cell_description(
            spec, searching.get(spec.arm) or searching.get(Arm(ACROSS, spec.setting))
        )
        view.begin("workers are loading", groups)

        def tune(searches: Mapping[Arm, ArmSearch]) -> None:
            searching.update(searches)  # what `status` shows
            tune_searches(searches, pool, scratch)

        if (forecast := view.forecast) is not None:
            forecast.groups = groups

        def now() -> dict[str, Any]:
            status = ray.get(pool.queue.status.remote(), timeout=5)
            counts = {k: status[k] for k in ("queued", "groups", "draining")}
            counts["seconds_left"] = view.foresee(status["groups"], searching)
            trials = {str(arm): search_counts(search) for arm, search in searching.items()}
            waits = view.awaited_phase(status)
            return {**counts, "waits": waits, "searches": trials, "dashboard": context.dashboard_url or None}

        guard = _interruptible(study_run)
        try:
            pools.append(Pool(shape, places, scratch, study_run.plan.study.own))
            with pools[0] as pool, guard, keep_live_status(study_run.results, now):
                view.status = lambda: ray.get(pool.queue.status.remote(), timeout=5)
                try:
                    study_run.run_on_pool(pool, tune)
                finally:
                    view.status = None
                    view.begin("stopping Ray")
        except KeyboardInterrupt:
            if not guard.lost:
                raise
            raise PreflightError(f"ray died. {RESUME_HINT}") from None


def threads_of_worker(resources: Mapping[str, float], groups: int, numerics: Numerics) -> int:
    """How many threads each worker computes with: the processors are shared out."""
    return max(1, int(resources.get("CPU", 1)) // (groups * numerics.workers))


def cell_description(spec: Spec, search: ArmSearch | None) -> str:
    """The words by which a line of the screen names a cell; for a cell of a search with its configuration.

    The line names the settings that differ from the method's first configuration, which has the paper's values and what
    the study fixes. So no two lines are the same.
    """
    if spec.phase != "search" or search is None:
        return str(spec)
    trial = next((t for t in search.configurations if spec in t.cells), None)
    if trial is None:
        return str(spec)
    first = next(t for t in search.configurations if t.variant == trial.variant)
    differences = ", ".join(f"{k}={spelt(v, 6)}" for k, v in trial.settings.items() if first.settings.get(k) != v)
    if trial is first:
        differences = "the paper's values of what is searched"
    return f"{str(spec).removesuffix(')')}, configuration {trial.number}" + (
        f": {differences})" if differences else ")"
    )


@contextmanager
def _ray(cluster: Cluster, busy: Callable[[], bool] = lambda: False) -> Iterator[Any]:
    """Ray while the body runs: started here, or joined at an address. Neither its start nor its end can hang a run.

    Args:
        busy: whether a thread is still calling Ray. If one does after `ray.shutdown`, Ray ends the process from C++
            without a word. So where everything ends with this process, Ray is left to end with it.

    Raises:
        PreflightError: it does not start, or the address does not answer.
    """
    import ray

    from raystudy.machine.ray_start import OBJECT_STORE

    where = f"--address {cluster.address}" if cluster.address else "ray"
    _require_answer(cluster.address)
    with _deadline(90.0 if cluster.address else 300.0, f"{where}: does not answer. {RESUME_HINT}"):
        try:
            if cluster.address:
                # workers of a running cluster do not inherit this process's environment
                env = {k: os.environ[k] for k in (*_ENVIRONMENT, *_PASSED_ON) if k in os.environ}
                context = ray.init(
                    address=cluster.address, log_to_driver=False, logging_level="ERROR", runtime_env={"env_vars": env}
                )
            else:
                os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "30")  # a local GCS never comes back
                # the plan has fetched model and data: workers read what it read, and ask nobody
                os.environ["HF_HUB_OFFLINE"] = "1"
                if cluster.dashboard:
                    os.environ.setdefault("RAY_TRAIN_ENABLE_STATE_TRACKING", "1")  # its Train page is empty without
                context = ray.init(
                    address="local",
                    include_dashboard=cluster.dashboard,
                    log_to_driver=False,
                    logging_level="ERROR",
                    object_store_memory=OBJECT_STORE,
                )
        except Exception as e:  # a raylet that dies while ray starts ends in an Exception of no class of its own
            lines = str(e).strip().splitlines() or [type(e).__name__]
            raise PreflightError(Problem(f"does not start: {lines[0]}", where)) from None
    try:
        yield context
    finally:
        if not (is_supervised() and busy()):
            end = threading.Thread(target=ray.shutdown, daemon=True)
            end.start()
            end.join(30)  # a ray that has died may never answer; its processes go with this one


def _require_answer(address: str | None) -> None:
    """Raise PreflightError if nobody listens at ``host:port``, because Ray itself would try for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError, UnicodeError) as e:
        why = getattr(e, "strerror", None) or str(e)
        raise PreflightError(Problem(f"does not answer: {why}", f"--address {address}")) from None


@contextmanager
def _deadline(seconds: float, words: str) -> Iterator[None]:
    """End the whole process with these words if the body takes longer, because a call into Ray cannot be stopped."""
    timer = threading.Timer(seconds, end_process, (PreflightError.exit_code, words))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for what Ray Train and Tune write, removed at the end. Folders that killed runs left go first.

    Raises:
        PreflightError: the folder for temporary files cannot be written.
    """
    place, prefix = Path(tempfile.gettempdir()), "raystudy-scratch-"
    for lock in place.glob(f"{prefix}*/.lock"):
        with suppress(OSError, Timeout):  # another user's, or a living driver's
            if time.time() - lock.stat().st_mtime > 60:
                with FileLock(lock, timeout=0):
                    shutil.rmtree(lock.parent, ignore_errors=True)
    try:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
    except OSError as e:
        raise PreflightError(Problem(f"cannot be written: {e.strerror or e}", file=str(place))) from None
    try:
        with FileLock(folder / ".lock"):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_nodes(places: Places, view: LiveView) -> None:
    """The cheap part of `raystudy doctor` on a cluster that was joined: same versions, sources, paths; what is shared.

    Raises:
        PreflightError: everything that would make cells fail there.
    """
    from raystudy.commands.doctor import agree, named_paths
    from raystudy.machine.cluster_nodes import facts_of_nodes
    from raystudy.machine.resources import machine_facts

    assert places.shared is not None
    paths = named_paths(places)
    shared = Path(places.shared)
    found = list(agree(machine_facts(paths), facts_of_nodes(shared, paths), shared))
    if wrong := [c for c in found if c.state == "missing"]:
        raise PreflightError(Problem(f"{c.what} - {c.mend}", "cluster") for c in wrong)
    for check in found:
        if check.state == "warn":
            view.say(f"{check.what} - {check.mend}")


def _gpu_share(cluster: Cluster, numerics: Numerics, places: Places, cells: Sequence[Spec]) -> tuple[int, str]:
    """(how many trainings share a GPU, a line that says so where it was found out here); Ray must be running.

    Workers of one training never share a GPU: NCCL, by which they speak, refuses that.

    Raises:
        PreflightError: several trainings per GPU are asked for, of more than one worker each.
    """
    if numerics.device == "cpu" or numerics.workers > 1:
        if (cluster.gpu_share or 1) > 1 and numerics.device == "cuda":
            raise PreflightError(Problem("trainings of several workers take whole GPUs", "--gpu-share"))
        return 1, ""
    if cluster.gpu_share is not None or not cells:
        return cluster.gpu_share or 1, ""
    import ray

    from raystudy.study.pool.gpu_share import measured_on_a_gpu, trainings_per_gpu

    try:
        free, one = ray.get(ray.remote(num_gpus=1, max_retries=0)(measured_on_a_gpu).remote(places, cells), timeout=300)
    except Exception as e:  # no GPU is free, or a training does not fit: what follows says so in its own words
        first = (str(e).strip().splitlines() or [type(e).__name__])[-1]
        return 1, f"one training per GPU, because none could be measured ({first})"
    share = trainings_per_gpu(free, one)
    needs = f"one needs {one / 1e9:.1f} GB as measured, {free / 1e9:.0f} GB are free"
    return share, f"{counted(share, 'training')} per GPU at a time: {needs} (--gpu-share says otherwise)"


def fitting_group_count(
    resources: Mapping[str, float], asked: int | None, numerics: Numerics, cells: int, share: int = 1
) -> int:
    """How many groups of workers to start: as many as asked, or as fit, but no more than there are cells.

    Args:
        share: how many trainings a GPU takes at a time. Each worker takes a CPU core beside its GPU.

    Raises:
        PreflightError: there is no room for as many as asked, or for one.
    """
    device = "GPU" if numerics.device == "cuda" else "CPU"
    room = int(resources.get(device, 0)) * share
    if device == "GPU" and share > 1:
        room = max(min(room, int(resources.get("CPU", 0))), room // share)
    groups = asked or max(1, min(room // numerics.workers, cells))
    if groups * numerics.workers > room:
        text = (
            f"{groups} x {numerics.workers} workers (groups x numerics.workers) need as many {device}s, "
            f"there {'is' if room == 1 else 'are'} {room}"
        )
        raise PreflightError(text)
    return groups


class _interruptible:  # noqa: N801  reads as a clause of a with statement
    """Lets Ctrl-C end a run in order: pressed once, cells that run are finished; twice, or on SIGTERM, the run stops.

    A Ray that has died stops the run too.
    """

    def __init__(self, study_run: StudyRun) -> None:
        self.study_run = study_run
        self.was = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
        self.lost = False
        self.timers = [
            threading.Timer(5.0, _thread.interrupt_main),
            threading.Timer(30.0, end_process, (PreflightError.exit_code, f"ray died. {RESUME_HINT}")),
        ]

    def __enter__(self) -> None:
        def first(number: int, frame: Any) -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if self.lost:
                raise KeyboardInterrupt
            self.study_run.drain()

        def stop(number: int, frame: Any) -> None:
            raise KeyboardInterrupt

        signal.signal(signal.SIGINT, first)
        signal.signal(signal.SIGTERM, stop)  # ray has put its own there
        self.study_run.on_lost = self.break_off

    def break_off(self) -> None:
        """Interrupt the main thread, which waits for a Ray that is gone; if that does not help, end the process."""
        self.lost = True
        for timer in self.timers:
            timer.daemon = True
            timer.start()

    def __exit__(self, *error: object) -> None:
        for timer in self.timers:
            timer.cancel()
        for number, handler in self.was.items():
            signal.signal(number, handler)
        self.study_run.on_lost = lambda: None
