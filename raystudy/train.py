"""Run one Spec: data, method, stages, judgement. Knows nothing of ray; whoever calls it passes `report` and `store`.

    constants -> transfer stages -> adapt stages -> dev scores -> (confirm phase) test scores

Constants and the state after `transfer` are kept in a `Store`, under a key of everything they depend on. A `Checkpoint`
saves the running stage by time, so that a long cell does not start over.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from raystudy.data.draws import seed_of
from raystudy.data.fewshot import cap, cut
from raystudy.data.plm import resolve
from raystudy.data.text import Corpus, Encoded, encode
from raystudy.errors import PreflightError, Problem
from raystudy.evaluate import Predictions, predict, scores
from raystudy.find import find
from raystudy.methods import BaseMethod, Setup, Stage, hparams
from raystudy.nn.workers import Alone, Workers
from raystudy.spec import Places, Record, Spec, catalogue, digest
from raystudy.tasks import Task, load

__all__ = ["Checkpoint", "NoStore", "Outcome", "Store", "code_digest", "load_tasks", "method_of", "run", "stage_key"]

Report = Callable[[Mapping[str, Any]], None]
State = dict[str, Tensor]


class Store(Protocol):
    """Where constants and transfer results are kept, by key (study/stages.py has the one on disk)."""

    def compute(self, key: str, make: Callable[[], State], workers: Workers) -> tuple[State, bool]:
        """The state under `key`: (state, True) if it was there, else the result of `make`, kept, and False.

        The answer is the same on every rank; `make` runs on all ranks or on none.
        """
        ...


class NoStore:
    """Keeps nothing."""

    def compute(self, key: str, make: Callable[[], State], workers: Workers) -> tuple[State, bool]:
        return make(), False


@dataclass(frozen=True)
class Outcome:
    """A cell's record and its answers to the test split (confirm phase) or to dev (search phase)."""

    record: Record
    predictions: Mapping[str, Predictions] = field(default_factory=dict)


@lru_cache
def code_digest(method: str) -> str:
    """A digest of the sources that can change what a stage computes: data, nn, methods, train, evaluate."""
    here = Path(__file__).parent
    files = [*here.glob("data/*.py"), *here.glob("nn/*.py"), here / "methods" / "__init__.py"]
    files += [here / "methods" / f"{method}.py", here / "train.py", here / "evaluate.py"]
    h = hashlib.blake2b(digest_size=8)
    for path in sorted(files):
        h.update(path.relative_to(here).as_posix().encode() + path.read_bytes())
    return h.hexdigest()


def load_tasks(spec: Spec, root: str | None) -> dict[str, Task]:
    """The spec's tasks as the plan saw them: capped, the target cut to its setting.

    Raises:
        PreflightError: a task's content is not what the spec's digest says (the files changed, or differ on this machine).
    """
    tasks = {name: _task(name, spec, root) for name in spec.suite}
    tasks[spec.target] = cut(tasks[spec.target], spec.setting, spec.seed, spec.dev)
    return tasks


_TASKS: dict[tuple[str, str], Task] = {}  # a worker meets the same tasks in every cell; the digest vouches for them


def _task(name: str, spec: Spec, root: str | None) -> Task:
    wanted = spec.data.get(name, "")
    if (name, wanted) in _TASKS:
        return _TASKS[name, wanted]
    options = spec.task_options.get(name.partition("/")[0])
    task = cap(load(name, root=Path(root) if root else None, options=options), **spec.limits.get(name, {}))
    if spec.data and task.digest != wanted:
        text = f"its content differs from what the study was planned on ({task.digest} against {wanted or 'nothing'})"
        raise PreflightError(Problem(text, f"task {name}"))
    if wanted:
        while len(_TASKS) >= 32:
            _TASKS.pop(next(iter(_TASKS)))
        _TASKS[name, wanted] = task
    return task


def stage_key(spec: Spec, setup: Setup, part: str) -> str:
    """The key of a spec's ``constants`` or ``transfer`` result: everything it depends on, and nothing else.

    Constants are pure in (PLM, training data, settings). Transfer adds the seed, and the target for methods that are
    aware of it.
    """
    rules = catalogue().of(spec.variant)
    parts = ("constants",) if part == "constants" else ("constants", "transfer")
    read = {k: v for k, v in spec.settings.items() if any(p in rules[k].reads for p in parts)}
    key: dict[str, Any] = {
        "part": part,
        "method": spec.method,
        "settings": read,
        "plm": setup.plm.digest,
        "data": [p.digest for p in setup.corpus.parts],
        "numerics": spec.numerics.model_dump(),
        "code": code_digest(spec.method),
    }
    if part == "transfer":
        key["seed"] = spec.seed
        if find("methods", spec.method).Method.target_aware(setup.hp):
            key["target"] = spec.target
    return digest(key, 16)


@dataclass
class Checkpoint:
    """The state of a running cell in `folder`, saved every `seconds` and taken up by the next run of the same spec.

    The folder appears by one rename and holds safetensors and JSON only.
    """

    folder: Path
    seconds: float = 300.0
    _last: float = field(default_factory=time.monotonic)

    def due(self) -> bool:
        return time.monotonic() - self._last >= self.seconds

    def save(self, tensors: State, where: Mapping[str, Any]) -> None:
        new = self.folder.with_name(f"{self.folder.name}.new")
        old = self.folder.with_name(f"{self.folder.name}.old")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        save_file({k: t.contiguous().cpu() for k, t in tensors.items()}, new / "state.safetensors")
        (new / "where.json").write_text(json.dumps(where))
        shutil.rmtree(old, ignore_errors=True)
        if self.folder.exists():
            os.rename(self.folder, old)
        os.rename(new, self.folder)
        shutil.rmtree(old, ignore_errors=True)
        self._last = time.monotonic()

    def load(self) -> tuple[State, dict[str, Any]] | None:
        old = self.folder.with_name(f"{self.folder.name}.old")
        for folder in (self.folder, old):  # a death between the two renames leaves only the old one
            if (folder / "where.json").is_file():
                return load_file(folder / "state.safetensors"), json.loads((folder / "where.json").read_text())
        return None

    def drop(self) -> None:
        for suffix in ("", ".new", ".old"):
            shutil.rmtree(self.folder.with_name(self.folder.name + suffix), ignore_errors=True)


@dataclass
class _Clock:
    """Seconds per part of a cell."""

    spent: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.spent[part] = self.spent.get(part, 0.0) + time.perf_counter() - start


@dataclass
class _Cell:
    """One spec being run: what the loop over stages needs in hand."""

    spec: Spec
    method: BaseMethod
    workers: Workers
    report: Report
    checkpoint: Checkpoint | None
    dev: Callable[[int], float]
    updates: dict[str, int] = field(default_factory=dict)
    hit: bool = False  # whether the transfer came from the store

    def stages(self, part: str, stages: list[Stage], resume: dict[str, Any] | None) -> None:
        """Run `stages` in order; `resume` says which of them to enter, and at which step."""
        for i, stage in enumerate(stages):
            if resume is not None and i < resume["stage"]:
                self.updates[stage.name] = stage.steps
                continue
            here = resume if resume is not None and i == resume["stage"] else None
            self._stage(part, i, stage, here)
            self.updates[stage.name] = stage.steps

    def _stage(self, part: str, index: int, stage: Stage, resume: dict[str, Any] | None) -> None:
        method = self.method
        self._reseed(stage.name, "start")
        stage.start()
        best, best_score, first = {}, -float("inf"), 0
        if resume is not None:  # `start` made the optimizer and the freezing; the saved tensors replace what it drew
            best = self._restore(resume["tensors"])
            best_score, first = resume["best_score"] if best else best_score, resume["step"]
        method.train()
        told = 0.0
        for step in range(first, stage.steps):
            self._reseed(stage.name, step)
            logs = stage.update(step, stage.draw(step))
            if stage.validate_every and ((step + 1) % stage.validate_every == 0 or step + 1 == stage.steps):
                score = self.dev(stage.select if stage.select is not None else method.setup.target)
                if score > best_score:  # the earliest of equals stays
                    best, best_score = {k: v.clone() for k, v in method.state_dict().items()}, score
            if time.monotonic() - told >= 1.0 or step + 1 == stage.steps:
                told = time.monotonic()
                self.report({"part": part, "stage": stage.name, "step": step + 1, "steps": stage.steps, **logs})
            self._save_if_due(part, index, step + 1, best, best_score)
        if best:
            method.load_state_dict(best)
        method.optimizer = None

    def _reseed(self, *purpose: object) -> None:
        """Dropout and every other global draw of an update depend on (seed, stage, step, rank) alone."""
        torch.manual_seed(seed_of(self.spec.seed, "update", *purpose, self.workers.rank))

    def _save_if_due(self, part: str, index: int, step: int, best: State, best_score: float) -> None:
        if self.checkpoint is None or not self.workers.gather(self.checkpoint.due())[0]:
            return
        if self.workers.rank == 0:  # weights and moments are the same on every rank
            tensors = {f"method/{k}": v for k, v in self.method.state_dict().items()}
            tensors |= {f"best/{k}": v for k, v in best.items()} | dict(_moments(self.method.optimizer))
            where = {"part": part, "stage": index, "step": step, "hit": self.hit, "code": code_digest(self.spec.method)}
            self.checkpoint.save(tensors, where | {"best_score": best_score if best else None, "updates": self.updates})

    def _restore(self, tensors: State) -> State:
        """Put method and optimizer where a checkpoint left them; returns the best weights so far."""

        def pick(prefix: str) -> State:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.method.load_state_dict(pick("method/"))
        optimizer = self.method.optimizer
        if optimizer is not None:
            parameters = [p for g in optimizer.param_groups for p in g["params"]]
            for name, value in pick("optimizer/").items():
                i, key = name.split("/")
                p = parameters[int(i)]
                optimizer.state[p][key] = value if key == "step" else value.to(p)
        return pick("best/")


def _moments(optimizer: torch.optim.Optimizer | None) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of an optimizer's state, by the place of each parameter."""
    if optimizer is None:
        return
    for i, p in enumerate(p for g in optimizer.param_groups for p in g["params"]):
        for key, value in optimizer.state.get(p, {}).items():
            yield f"optimizer/{i}/{key}", torch.as_tensor(value)


def method_of(spec: Spec, tasks: Mapping[str, Task], places: Places, workers: Workers) -> BaseMethod:
    """The spec's method over its tasks' training splits, before any stage."""
    module = find("methods", spec.method)
    plm = resolve(places.plm, places.revision)
    if spec.plm_digest and plm.digest != spec.plm_digest:
        wrong = f"differs from the model the study was planned with ({plm.digest} against {spec.plm_digest})"
        raise PreflightError(Problem(wrong, f"plm {places.plm}"))
    device = torch.device("cuda", torch.cuda.current_device()) if spec.numerics.device == "cuda" else torch.device("cpu")
    setup = Setup(
        plm=plm,
        tasks=tuple(tasks),
        corpus=Corpus(tuple(encode(t, "train", plm, spec.length) for t in tasks.values())),
        target=list(tasks).index(spec.target),
        seed=spec.seed,
        hp=hparams(module.HParams, spec.settings),
        workers=workers,
        precision=spec.numerics.precision,
        device=device,
    )
    method = module.Method(setup)
    assert isinstance(method, BaseMethod)
    return method


def run(
    spec: Spec,
    places: Places,
    *,
    workers: Workers | None = None,
    store: Store | None = None,
    report: Report | None = None,
    checkpoint: Checkpoint | None = None,
) -> Outcome:
    """Train and judge one spec; every rank of `workers` calls this and returns the same outcome.

    Raises:
        Whatever the training raises: a caller that wants a failed Record makes one (`study/pool.py` does).
    """
    workers, store, report = workers or Alone(), store or NoStore(), report or (lambda event: None)
    clock = _Clock()
    with clock("load"):
        tasks = load_tasks(spec, places.data_root)
        method = method_of(spec, tasks, places, workers)
    setup, names = method.setup, tuple(tasks)

    def dev(task: int) -> float:
        t = tasks[names[task]]
        with clock("validate"):
            answers = predict(method, t, "dev", _encoded(t, "dev"), method.readout(task), workers)
        return scores(t, answers)[t.metric]

    def _encoded(task: Task, split: str) -> Encoded:
        return encode(task, split, setup.plm, spec.length)

    cell = _Cell(spec, method, workers, report, checkpoint, dev)
    stages: dict[str, str] = {}
    saved = checkpoint.load() if checkpoint is not None else None
    resume: dict[str, Any] | None = None
    if saved is not None and saved[1]["code"] == code_digest(spec.method):
        resume = {**saved[1], "tensors": saved[0]}
        cell.updates.update(resume["updates"])

    with clock("constants"):
        if catalogue_reads(spec, "constants"):
            method.given, hit = store.compute(stage_key(spec, setup, "constants"), method.constants, workers)
            stages["constants"] = "stored" if hit else "ran"
    transfer = method.transfer()
    if transfer and not (resume and resume["part"] == "adapt"):

        def make() -> State:
            cell.stages("transfer", transfer, resume if resume and resume["part"] == "transfer" else None)
            return {k: v.detach().clone() for k, v in method.state_dict().items()}

        with clock("transfer"):
            state, cell.hit = store.compute(stage_key(spec, setup, "transfer"), make, workers)
            method.load_state_dict(state)
    elif resume:
        cell.hit = resume["hit"]
    for s in transfer:
        cell.updates[s.name] = s.steps
        stages[s.name] = "stored" if cell.hit else "ran"
    with clock("adapt"):
        adapt = method.adapt()
        cell.stages("adapt", adapt, resume if resume and resume["part"] == "adapt" else None)
        stages |= {s.name: "ran" for s in adapt}

    target = tasks[spec.target]
    metrics: dict[str, dict[str, float]] = {}
    answers: dict[str, Predictions] = {}
    with clock("evaluate"):
        for split in ("dev", "test") if spec.phase == "confirm" else ("dev",):
            answers[split] = predict(
                method, target, split, _encoded(target, split), method.readout(setup.target), workers
            )
            metrics[split] = scores(target, answers[split])
    if checkpoint is not None and workers.rank == 0:
        checkpoint.drop()
    counts = {f"n_{s}": len(target.splits[s]) for s in ("train", *metrics)}
    if cuts := {f"cut_words_{s}": n for s in ("train", *metrics) if (n := _encoded(target, s).cut_words)}:
        counts |= cuts
    record = Record(
        spec=spec,
        status="done",
        metrics=metrics,
        counts=counts,
        updates=cell.updates,
        stages=stages,
        seconds=clock.spent,
        facts={"metric": target.metric, **method.facts()},
        made_by={"code": code_digest(spec.method)},
    )
    return Outcome(record, answers)


def catalogue_reads(spec: Spec, part: str) -> bool:
    """Whether any setting of the spec's method is read by `part`."""
    return any(part in p.reads for p in catalogue().of(spec.variant).values())


