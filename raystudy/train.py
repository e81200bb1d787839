"""Train one Spec, and judge what was trained. Knows nothing of ray; whoever calls it passes `report` and `store`.

    trained     constants -> transfer stages -> adapt stages: a method with its weights
    judged      dev scores -> (confirm phase) test scores: a record and the answers
    run         both, one after the other

Constants and the state after `transfer` are kept in a `Store`, under a key of everything they depend on. A `Checkpoint`
saves the running stage by time, so that a long cell does not start over.
"""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from raystudy.catalogue import catalogue
from raystudy.code_versions import code_and_library_digest, code_digest, library_versions
from raystudy.data.draws import seed_of
from raystudy.data.fewshot import at_ratio, cap, cut, dev_of, pooled
from raystudy.data.plm import FAMILIES, resolve
from raystudy.data.text import Corpus, Encoded, coverage_facts, encode
from raystudy.errors import PreflightError, Problem
from raystudy.evaluate import histogram, predict, task_metrics, unread_tag
from raystudy.methods import BaseMethod, Setup, Stage, hparams
from raystudy.nn.dropout import seed_draws
from raystudy.nn.encoder import Body
from raystudy.nn.lower_states import fits, lower_states, states_key, with_states
from raystudy.nn.repeatable import repeatable_sums
from raystudy.own_modules import differing
from raystudy.plugins import find_module
from raystudy.predictions import Predictions
from raystudy.spec import Places, Record, Spec, digest
from raystudy.tasks import Task, load
from raystudy.workers import Alone, Workers

__all__ = [
    "Checkpoint",
    "LowestLayers",
    "NoStore",
    "Outcome",
    "Store",
    "Trained",
    "code_digest",
    "device_of",
    "judged",
    "load_tasks",
    "method_of",
    "numerics_here",
    "run",
    "setup_of",
    "stage_key",
    "trained",
]

Report = Callable[[Mapping[str, Any]], None]
State = dict[str, Tensor]


class Store(Protocol):
    """Where constants and transfer results are kept, by key (study/store/stage_store.py has the one on disk)."""

    def compute(
        self,
        key: Mapping[str, Any],
        make: Callable[[], State],
        workers: Workers,
        fresh: Mapping[str, Tensor] | None = None,
    ) -> tuple[State, bool]:
        """The state under `key`: (state, True) if it was there, else the result of `make`, kept, and False.

        The answer is the same on every rank; `make` runs on all ranks or on none.

        Args:
            fresh: the state before `make`, the same for all who ask under this key. What of the result is bitwise the
                same need not be kept; it may be part of the answer.
        """
        ...


class NoStore:
    """Keeps nothing."""

    def compute(
        self,
        key: Mapping[str, Any],
        make: Callable[[], State],
        workers: Workers,
        fresh: Mapping[str, Tensor] | None = None,
    ) -> tuple[State, bool]:
        return make(), False


@dataclass(frozen=True)
class Trained:
    """A method with the weights that a spec's stages gave it, and how it came by them.

    Attributes:
        tasks: the spec's tasks as they were read, the target's training split cut to its setting.
        updates, passes: stage -> optimizer updates, and what they cost in passes, behind these weights.
        stages: stage -> ``ran`` | ``stored``.
        seconds: part of the training -> seconds.
        below: adds to a split what the model's lowest layers make of it, where that never changes.
    """

    spec: Spec
    method: BaseMethod[Any]
    tasks: Mapping[str, Task]
    updates: Mapping[str, int]
    passes: Mapping[str, float]
    stages: Mapping[str, str]
    seconds: Mapping[str, float]
    below: Callable[[Encoded], Encoded] = lambda encoded: encoded

    def answers(self, task: str, split: str) -> Predictions:
        """What the method answers to a split of a task of the spec; every rank calls this and has all answers."""
        method, setup = self.method, self.method.setup
        encoded = self.below(encode(self.tasks[task], split, setup.plm, self.spec.length))
        readout = method.readout(setup.tasks.index(task))
        return predict(method, self.tasks[task], split, encoded, readout, method.workers)


@dataclass(frozen=True)
class Outcome:
    """A cell's record and its answers to the test split (confirm phase) or to dev (search phase)."""

    record: Record
    predictions: Mapping[str, Predictions] = field(default_factory=dict)


def load_tasks(spec: Spec, root: str | None) -> dict[str, Task]:
    """The spec's tasks as the plan saw them: capped, the target (or every task, see `scope`) cut to its setting.

    Raises:
        PreflightError: a task's content is not what the spec's digest says (the files changed, or differ on this
            machine).
    """
    tasks = {name: _task(name, spec, root) for name in spec.suite}
    for name in spec.suite if spec.scope == "suite" else (spec.target,):
        tasks[name] = cut(tasks[name], spec.setting, spec.seed, dev_of(spec.dev, name, spec.target))
    target = tasks[spec.target]
    tasks = {n: t if n == spec.target else at_ratio(t, target, spec.setting, spec.seed) for n, t in tasks.items()}
    if catalogue().variant(spec.variant).pooled:
        together = sum(len(t.splits["train"]) for t in tasks.values())
        tasks[spec.target] = pooled(target, _task(spec.target, spec, root), together, spec.seed)
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


def stage_key(spec: Spec, setup: Setup[Any], part: str) -> dict[str, Any]:
    """The key of a spec's ``constants`` or ``transfer`` result: everything it depends on, nothing else; JSON values.

    Constants are pure in (PLM, training data, settings). Transfer adds the seed, and the target for methods that are
    aware of it. `code` and `libraries` are those of this method on the data sets that are read (see `source`).
    """
    rules = catalogue().parameters_of(spec.variant)
    parts = ("constants",) if part == "constants" else ("constants", "transfer")
    described = catalogue().described(spec.method, spec.settings)
    read = {k: v for k, v in described.items() if any(p in rules[k].reads for p in parts)}
    key: dict[str, Any] = {
        "part": part,
        "method": spec.method,
        "settings": read,
        "plm": setup.plm.digest,
        "data": [p.digest for p in setup.corpus.parts],
        "numerics": spec.numerics.model_dump(),
        "datasets": list(spec.datasets),
        "code": code_digest(spec.method, spec.datasets),
        "libraries": dict(library_versions(spec.method, spec.datasets)),
    }
    if spec.unseen:  # a key of old stays
        key["unseen"] = spec.target
    if spec.own:
        key["own"] = dict(spec.own)
    if part == "transfer":
        key["seed"] = spec.seed
        method = find_module("methods", spec.method).Method
        if method.target_aware(setup.hp):
            key["target"] = spec.target
        if not method.reads_target(setup.hp):
            key["data"][setup.target] = setup.corpus.parts[setup.target].outputs  # its head is among the weights
    return key


@dataclass(frozen=True)
class _Saved:
    """A cell in the middle of a stage: where, and every tensor it needs to go on.

    Attributes:
        code: `code_and_library_digest` of the method on the data sets, all three so that one who finds it can tell.
        own: the digests of the user's own code among them.
    """

    part: str
    stage: int
    step: int
    best_score: float
    made: Mapping[str, str]
    code: str
    tensors: State
    method: str = ""
    datasets: tuple[str, ...] = ()
    own: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Checkpoint:
    """The state of a running cell in `folder`, saved every `seconds` and taken up by the next run of the same spec.

    The folder appears by one rename and holds safetensors and JSON only.
    """

    folder: Path
    seconds: float = 300.0
    _last: float = field(default_factory=time.monotonic)

    @property
    def _old(self) -> Path:
        return self.folder.with_name(self.folder.name + ".old")

    def due(self) -> bool:
        """Whether it is time to save again."""
        return time.monotonic() - self._last >= self.seconds

    def save(self, saved: _Saved) -> None:
        """Replace what was saved before. A full disk costs the checkpoint, not the cell."""
        # a name of its own: the worker of a group that was given up may still be alive
        new = self.folder.with_name(f"{self.folder.name}.{os.getpid()}.new")
        try:
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            save_file({k: t.contiguous().cpu() for k, t in saved.tensors.items()}, new / "state.safetensors")
            where = {k: v for k, v in vars(saved).items() if k != "tensors"}
            (new / "where.json").write_text(json.dumps(where))
            if (
                self.folder.exists()
            ):  # else what there is may be the old one alone, and must stay until the new is whole
                shutil.rmtree(self._old, ignore_errors=True)
                os.rename(self.folder, self._old)
            os.rename(new, self.folder)
        except (OSError, SafetensorError):
            shutil.rmtree(new, ignore_errors=True)
        else:
            shutil.rmtree(self._old, ignore_errors=True)
        self._last = time.monotonic()

    def load(self, code: str) -> _Saved | None:
        """What was saved by the same `code` (see `_Saved`), or None. What cannot be read counts as not there."""
        for folder in (self.folder, self._old):  # a death between the two renames leaves only the old one
            with suppress(OSError, ValueError, TypeError, KeyError, SafetensorError):
                where = json.loads((folder / "where.json").read_text())
                if where["code"] == code:
                    return _Saved(**where, tensors=load_file(folder / "state.safetensors"))
        return None

    def drop(self) -> None:
        """The cell is done: forget it."""
        for left in (self.folder, self._old, *self.folder.parent.glob(f"{self.folder.name}.*.new")):
            shutil.rmtree(left, ignore_errors=True)


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
    method: BaseMethod[Any]
    workers: Workers
    report: Report
    checkpoint: Checkpoint | None
    dev: Callable[[int], float]
    resume: _Saved | None = None
    made: dict[str, str] = field(default_factory=dict)  # stage -> ran | stored

    def stages(self, part: str, stages: list[Stage]) -> None:
        """Run `stages` in order, from where a checkpoint of this part left off."""
        resume = self.resume if self.resume is not None and self.resume.part == part else None
        for i, stage in enumerate(stages):
            if resume is None or i >= resume.stage:
                self._stage(part, i, stage, resume if resume is not None and i == resume.stage else None)
            self.made[stage.name] = "ran"

    def _stage(self, part: str, index: int, stage: Stage, resume: _Saved | None) -> None:
        method = self.method
        self._reseed(stage.name, "start")
        stage.start()
        best, best_score, first = {}, -float("inf"), 0
        if resume is not None:  # `start` made the optimizer and the freezing; the saved tensors replace what it drew
            best, best_score, first = self._restore(resume.tensors), resume.best_score, resume.step
        method.train()
        began, reported = time.monotonic(), 0.0  # when
        for step in range(first, stage.length.updates):
            self._reseed(stage.name, step)
            logs = stage.update(step, stage.draw(step))
            if stage.after is not None and (step + 1) % stage.after_every == 0:
                self._reseed(stage.name, "after", step)
                stage.after(step)
            if stage.validate_every and ((step + 1) % stage.validate_every == 0 or step + 1 == stage.length.updates):
                score = self.dev(stage.select if stage.select is not None else method.setup.target)
                if score > best_score:  # the earliest of equals stays
                    best, best_score = {k: v.clone() for k, v in method.state_dict().items()}, score
            if time.monotonic() - reported >= 1.0 or step + 1 == stage.length.updates:
                reported, numbers = time.monotonic(), _numbers(logs, stage.name, step)
                told = {"part": part, "stage": stage.name, "step": step + 1, "steps": stage.length.updates}
                self.report({**told, "update_seconds": (reported - began) / (step + 1 - first), **numbers})
            self._save_if_due(part, index, step + 1, best, best_score)
        if best:
            method.load_state_dict(best)
        method.optimizer = None

    def _reseed(self, *purpose: object) -> None:
        """Dropout and every other global draw of an update depend on (seed, stage, step, rank) alone."""
        seed_draws(self.method.setup.device, seed_of(self.spec.seed, "update", *purpose, self.workers.rank))

    def _save_if_due(self, part: str, index: int, step: int, best: State, best_score: float) -> None:
        if self.checkpoint is None or self.workers.rank > 0 or not self.checkpoint.due():
            return  # weights and moments are the same on every rank, so rank 0 saves for all
        tensors = {f"method/{k}": v for k, v in self.method.state_dict().items()}
        tensors |= {f"best/{k}": v for k, v in best.items()} | dict(_moments(self.method.optimizer))
        method, datasets = self.spec.method, self.spec.datasets
        code = code_and_library_digest(method, datasets)
        own = self.spec.own
        self.checkpoint.save(_Saved(part, index, step, best_score, self.made, code, tensors, method, datasets, own))

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
                # the count of steps lies where the kernel that reads it does: on a GPU beside the moments
                optimizer.state[p][key] = value.to(p.device) if key == "step" else value.to(p)
        return pick("best/")


def _numbers(logs: Mapping[str, float | Tensor], stage: str, step: int) -> dict[str, float]:
    """What an update reports, as numbers; here alone a training waits for its GPU.

    Raises:
        FloatingPointError: a gradient's norm is not finite (on a CPU the update itself has raised that).
    """
    numbers = {k: float(v) for k, v in logs.items()}
    if bad := [k for k, v in numbers.items() if k.endswith("gradient_norm") and not math.isfinite(v)]:
        what = bad[0].replace("_", " ").replace("gradient norm", "gradient's norm")
        raise FloatingPointError(
            f"the {what} is {numbers[bad[0]]}: training diverged (by update {step + 1} of {stage})"
        )
    return numbers


def _moments(optimizer: torch.optim.Optimizer | None) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of an optimizer's state, by the place of each parameter."""
    if optimizer is None:
        return
    for i, p in enumerate(p for g in optimizer.param_groups for p in g["params"]):
        for key, value in optimizer.state.get(p, {}).items():
            yield f"optimizer/{i}/{key}", torch.as_tensor(value)


def setup_of(spec: Spec, tasks: Mapping[str, Task], places: Places, workers: Workers) -> Setup[Any]:
    """All that the spec's method may see: its tasks' training splits, tokenised, and its settings."""
    module = find_module("methods", spec.method)
    plm = resolve(places.plm, places.revision)
    if spec.plm_digest and plm.digest != spec.plm_digest:
        wrong = f"differs from the model the study was planned with ({plm.digest} against {spec.plm_digest})"
        raise PreflightError(Problem(wrong, f"plm {places.plm}"))
    setup = Setup(
        plm=plm,
        tasks=tuple(tasks),
        corpus=Corpus(tuple(encode(t, "train", plm, spec.length) for t in tasks.values())),
        target=list(tasks).index(spec.target),
        seed=spec.seed,
        hp=hparams(module.HParams, spec.settings),
        workers=workers,
        precision=spec.numerics.precision,
        device=device_of(spec),
        unseen=spec.unseen,
    )
    return replace(setup, prior=tasks[spec.target].prior) if module.Method.knows_prior(setup.hp) else setup


def device_of(spec: Spec) -> torch.device:
    """What trains the spec here: the CPU, or this process's current GPU; never the one in the place of the other.

    Raises:
        PreflightError: the spec asks for a GPU and torch sees none.
    """
    if spec.numerics.device == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        wrong = f"is cuda, and torch {torch.__version__} sees no GPU here"
        raise PreflightError(Problem(wrong, "numerics.device"))
    return torch.device("cuda", torch.cuda.current_device())


def method_of(spec: Spec, tasks: Mapping[str, Task], places: Places, workers: Workers) -> BaseMethod[Any]:
    """The spec's method over its tasks' training splits, before any stage."""
    method = find_module("methods", spec.method).Method(setup_of(spec, tasks, places, workers))
    assert isinstance(method, BaseMethod)
    return method


# What lowest layers make of a split: the same files are read by every cell of this process. The rank is part of the key
# because simulated ranks share this process, and a rank that skipped a collective would leave the others waiting.
_STATES: dict[tuple[str, int, int], State] = {}


class LowestLayers:
    """Adds to a split what the model's lowest layers make of it, as far as that is constant.

    Attributes:
        layers: how many these are; 0 = none, and every split stays as it is.
    """

    def __init__(self, spec: Spec, setup: Setup[Any], store: Store) -> None:
        self.setup, self.store = setup, store
        method = find_module("methods", spec.method).Method
        self.layers = method.constant_layers(setup.hp, setup.plm)
        self.numerics: dict[str, Any] = {
            "precision": setup.precision,
            "exact": method.exact(setup.hp),
            "device": setup.device,
        }

    def __call__(self, encoded: Encoded) -> Encoded:
        plm, workers = self.setup.plm, self.setup.workers
        if not self.layers or not fits(plm, encoded, self.setup.precision):
            return encoded
        key = states_key(plm, encoded, self.layers, **self.numerics)
        memo = (digest(key, 16), workers.rank, workers.size)
        if memo not in _STATES:
            while len(_STATES) >= 64:
                _STATES.pop(next(iter(_STATES)))

            def make() -> State:
                return {"states": lower_states(plm, encoded, self.layers, workers, **self.numerics)}

            _STATES[memo], _ = self.store.compute(key, make, workers)
        return with_states(encoded, _STATES[memo], self.layers)


def run(
    spec: Spec,
    places: Places,
    *,
    workers: Workers | None = None,
    store: Store | None = None,
    report: Report | None = None,
    checkpoint: Checkpoint | None = None,
    threads: int | None = 1,
) -> Outcome:
    """Train and judge one spec; every rank of `workers` calls this and returns the same outcome.

    Args:
        threads: how many torch computes with meanwhile; None = as many as are set. The last digits depend on it, and
            more than one costs several times the processor time for batches as small as these.

    Raises:
        Whatever the training raises: a caller that wants a failed Record makes one (`study/pool/pool.py` does).
    """
    with _computing_with(threads):
        outcome = judged(trained(spec, places, workers=workers, store=store, report=report, checkpoint=checkpoint))
    if checkpoint is not None and (workers is None or workers.rank == 0):
        checkpoint.drop()
    return outcome


@contextmanager
def _computing_with(threads: int | None) -> Iterator[None]:
    """While open, torch computes with so many threads; None changes nothing."""
    before = torch.get_num_threads()
    if threads is None or threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def trained(
    spec: Spec,
    places: Places,
    *,
    workers: Workers | None = None,
    store: Store | None = None,
    report: Report | None = None,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """The spec's method with the weights that its stages give; every rank of `workers` calls this.

    Args:
        store: where constants and transfer results are looked up and kept.
        report: told about once a second how far a stage is.
        checkpoint: where the running stage is saved by time; it stays, for whoever is done with the weights to drop.

    Raises:
        PreflightError: a method or data set of the user's own is not known here, or is another than was planned with;
            and what `load_tasks` and `setup_of` raise.
    """
    if other := list(differing(spec.own)):
        raise PreflightError(other)
    workers, store, report = workers or Alone(), store or NoStore(), report or (lambda event: None)
    clock = _Clock()
    with clock("load"):
        tasks = load_tasks(spec, places.data_root)
        method = method_of(spec, tasks, places, workers)
    below = LowestLayers(spec, method.setup, store)
    if below.layers:
        with clock("lower layers"):
            method.setup = replace(method.setup, corpus=Corpus(tuple(map(below, method.setup.corpus.parts))))
    setup = method.setup
    stages: dict[str, str] = {}
    result = Trained(
        spec,
        method,
        tasks,
        {name: length.updates for name, length in method.length.items()},
        {name: length.passes for name, length in method.length.items()},
        stages,
        clock.spent,
        below,
    )

    def dev(index: int) -> float:
        task = tasks[setup.tasks[index]]
        with clock("validate"):
            return task_metrics(task, result.answers(task.name, "dev"))[task.metric]

    cell = _Cell(spec, method, workers, report, checkpoint, dev, _saved(checkpoint, spec, workers), stages)
    with repeatable_sums(setup.device):
        _stages_of(cell, store, clock)
    return result


def _stages_of(cell: _Cell, store: Store, clock: _Clock) -> None:
    """Constants, transfer and adaptation of a cell, in this order."""
    spec, method, setup, workers, stages = cell.spec, cell.method, cell.method.setup, cell.workers, cell.made
    if any("constants" in p.reads for p in catalogue().parameters_of(spec.variant).values()):
        with clock("constants"):
            key = stage_key(spec, setup, "constants")
            method.constants, hit = store.compute(key, method.compute_constants, workers)
            stages["constants"] = "stored" if hit else "ran"
    if cell.resume is not None and cell.resume.part == "adapt":
        stages |= cell.resume.made
    else:
        with clock("transfer"):
            _transferred(cell, store)
    with clock("adapt"):
        cell.stages("adapt", method.adapt())


def _transferred(cell: _Cell, store: Store) -> None:
    """Make or take from the store what the method's transfer gives; its beginning from another run's, if it has one."""
    spec, method, setup = cell.spec, cell.method, cell.method.setup
    stages = method.transfer()
    if not stages:
        return
    earlier = replace(spec, settings={**spec.settings, **method.builds_on(setup.hp)})
    earlier_setup = replace(setup, hp=hparams(type(setup.hp), earlier.settings))
    first = 0 if earlier == spec else len(method.schedule(earlier_setup.hp, setup.sizes).transfer)

    def run_from_the_store(spec: Spec, setup: Setup[Any], own: list[Stage], make: Callable[[], State]) -> None:
        state, hit = store.compute(stage_key(spec, setup, "transfer"), make, cell.workers, fresh=method.state_dict())
        method.load_state_dict(state)
        cell.made |= {stage.name: "stored" for stage in own if hit}

    def make(part: str, own: list[Stage]) -> State:
        cell.stages(part, own)
        return {k: v.detach().clone() for k, v in method.state_dict().items()}

    def make_all() -> State:
        if cell.resume is not None and cell.resume.part == "transfer":
            cell.made |= cell.resume.made
        elif first:
            begin = stages[:first]
            run_from_the_store(earlier, earlier_setup, begin, lambda: make("earlier transfer", begin))
        return make("transfer", stages[first:])

    run_from_the_store(spec, setup, stages, make_all)


def judged(cell: Trained) -> Outcome:
    """A trained method's answers to dev and, in the confirm phase, to test, and the record of both."""
    spec, method, tasks = cell.spec, cell.method, cell.tasks
    clock, target = _Clock(dict(cell.seconds)), tasks[spec.target]
    with clock("evaluate"), repeatable_sums(method.setup.device):
        splits = ("dev", "test") if spec.phase == "confirm" else ("dev",)
        answers = {s: cell.answers(spec.target, s) for s in splits}
    counts = {f"n_{s}": len(target.splits[s]) for s in ("train", *answers)}
    plm = method.setup.plm
    cuts = {f"cut_words_{s}": encode(target, s, plm, spec.length).cut_words for s in ("train", *answers)}
    record = Record(
        spec=spec,
        status="done",
        metrics={s: task_metrics(target, a) for s, a in answers.items()},
        counts=counts | {k: n for k, n in cuts.items() if n},
        updates=cell.updates,
        passes=cell.passes,
        stages=cell.stages,
        seconds=clock.spent,
        facts={
            "metric": target.metric,
            "gold": {s: histogram(target, a.gold) for s, a in answers.items()},
            "predicted": {s: histogram(target, a.pred) for s, a in answers.items()},
            **_taken(spec, method, tasks, tuple(answers)),
            **method.facts(),
        },
        made_by={
            "code": code_digest(spec.method, spec.datasets),
            **numerics_here(spec),
            **({} if FAMILIES[plm.family].packed else {"texts": "padded to the longest of their batch"}),
            **_on_gpu(method),
        },
    )
    return Outcome(record, answers)


def _on_gpu(method: BaseMethod[Any]) -> dict[str, str]:
    """What a record says of how a GPU computed; nothing of a CPU, which has one way."""
    if method.setup.device.type != "cuda":
        return {}
    body = method.encoder.body
    attention = {"attention": body.attention} if isinstance(body, Body) else {}
    return {**attention, "sums": "in one order (torch.use_deterministic_algorithms)"}


def _taken(spec: Spec, method: BaseMethod[Any], tasks: Mapping[str, Task], judged: tuple[str, ...]) -> dict[str, Any]:
    """What was made of the data before anything was trained, as facts of a record; nothing of what needs no word.

    ``coverage``: task -> which of its texts and words no model reads (`analysis/cautions.py` has the keys), of the
    splits that this cell reads; ``unread_tag``: what such words were answered with; ``unit``: task -> mean and sd of
    its training labels, taken off and put back; ``cut_further``: task -> texts that the method itself cuts more;
    ``positive``: the class of which f1 is; ``second_metric``: the one that tables show behind the primary one;
    ``test_note``: what the target's test is, where it is not the published one.
    """
    setup, target = method.setup, tasks[spec.target]
    facts: dict[str, Any] = {}
    for name, task in tasks.items():
        splits = ("train", *judged) if name == spec.target else ("train",)
        found = {s: encode(task, s, setup.plm, spec.length) for s in splits}
        if not all(e.coverage.complete for e in found.values()):
            facts.setdefault("coverage", {})[name] = coverage_facts(found, setup.plm)
        if task.kind == "regression":
            facts.setdefault("unit", {})[name] = asdict(found["train"].unit)
        if more := method.cut_further(setup.hp, found["train"]):
            facts.setdefault("cut_further", {})[name] = more
    if target.kind == "tagging" and spec.target in facts.get("coverage", {}):
        facts["unread_tag"] = unread_tag(method, target)
    if "f1" in target.all_metrics:
        facts["positive"] = target.positive_class
    if target.second_metric:
        facts["second_metric"] = target.second_metric
    if target.test_note:
        facts["test_note"] = target.test_note
    return facts


def numerics_here(spec: Spec) -> dict[str, str]:
    """What the last digits of a result depend on beside the spec: the same again only where these are the same."""
    cuda = spec.numerics.device == "cuda"
    device = torch.cuda.get_device_name() if cuda else f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    versions = library_versions(spec.method, spec.datasets)
    return {**versions, "device": device, "threads": str(torch.get_num_threads())}


def _saved(checkpoint: Checkpoint | None, spec: Spec, workers: Workers) -> _Saved | None:
    """Where a checkpoint left this cell, if every rank can see it."""
    saved = checkpoint.load(code_and_library_digest(spec.method, spec.datasets)) if checkpoint is not None else None
    return saved if all(workers.gather(saved is not None)) else None
