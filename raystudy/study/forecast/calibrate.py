"""Measures paces that nobody knows yet: a few updates of a method, on a few examples of the study, thrown away again.

A training is made as it would be trained, but with at most `_EXAMPLES` training examples of each task; of each part it
runs one update to warm up and at most `_UPDATES` more. So it takes a second or a few, whatever the size of the data. On
one thread of a processor the time is counted that this process has worked, so that other programs do not count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from raystudy.catalogue import catalogue
from raystudy.data.fewshot import at_ratio, cap, cut, dev_of
from raystudy.data.text import Corpus, encode
from raystudy.evaluate import predict
from raystudy.methods import BaseMethod, Stage
from raystudy.plugins import find_module
from raystudy.spec import Arm
from raystudy.study.forecast.pace import Paces, Part
from raystudy.study.forecast.work import StudyWork
from raystudy.study.plan import Plan, Trainings
from raystudy.tasks import Task
from raystudy.train import LowestLayers, NoStore, setup_of
from raystudy.workers import Alone

__all__ = ["calibrate"]

_EXAMPLES = 128  # of each task: several batches, and several of every class
_JUDGED = 64
_UPDATES = 3


def calibrate(
    plan: Plan, study_work: StudyWork, paces: Paces, seconds: float, trainings: Iterable[Trainings] | None = None
) -> int:
    """Measure the paces that the plan's trainings lack, the longest first, within about so many seconds in all.

    A training that is begun is carried to the end of the update it is at, so that one with very long updates may take
    longer. What fails tells nothing: the training itself will say why.

    Args:
        trainings: of the plan; by default all.

    Returns:
        How many trainings were measured.
    """
    end = time.monotonic() + seconds
    longest_first = sorted(trainings or plan.trainings, key=lambda t: -t.schedule.cost.passes * t.number)
    measured = 0
    for t in longest_first:
        if time.monotonic() >= end:
            break
        amounts = study_work.of_trainings(t)
        works = {p: study_work.work(p, t.variant, t.settings, t.target) for p, n in amounts.items() if n}
        lacking = [part for part, work in works.items() if not paces.has(work)]
        if set(lacking) - {"load"}:
            measured += _measure(plan, study_work, t, paces, lacking, end)
    return measured


def _measure(
    plan: Plan, study_work: StudyWork, t: Trainings, paces: Paces, lacking: Iterable[Part], end: float
) -> bool:
    """Whether some part of a training could be measured."""
    found: dict[Part, tuple[float, float]] = {}
    with _computing_with(study_work.threads), torch.random.fork_rng(devices=[]):
        try:
            for part, amount, seconds in _parts(plan, study_work, t, set(lacking), end):
                before = found.get(part, (0.0, 0.0))
                found[part] = before[0] + amount, before[1] + seconds
        except Exception:
            pass
    for part, (amount, seconds) in found.items():
        paces.measured(study_work.work(part, t.variant, t.settings, t.target), amount, seconds)
    return bool(found)


def _parts(
    plan: Plan, study_work: StudyWork, t: Trainings, lacking: set[Part], end: float
) -> Iterator[tuple[Part, float, float]]:
    """(part, units of work, seconds) of what is measured of one training."""
    spec = plan.spec(Arm(t.variant, t.arm.setting), t.settings, t.target, 0, "search")
    spec = replace(spec, numerics=spec.numerics.model_copy(update={"workers": 1}))
    now = _clock(spec.numerics.device, study_work.threads)
    tasks = _few_examples(plan, t)
    method: BaseMethod[Any] = find_module("methods", spec.method).Method(setup_of(spec, tasks, plan.places, Alone()))
    below = LowestLayers(spec, method.setup, NoStore())
    method.setup = replace(method.setup, corpus=Corpus(tuple(map(below, method.setup.corpus.parts))))
    if any("constants" in p.reads for p in catalogue().parameters_of(t.variant).values()):
        start = now()
        method.constants = method.compute_constants()
        yield "constants", float(sum(method.setup.corpus.sizes)), now() - start
    parts: tuple[tuple[Part, Callable[[], list[Stage]]], ...] = (("transfer", method.transfer), ("adapt", method.adapt))
    for part, stages_of in parts:
        if part in lacking and (stages := stages_of()):
            for stage in {s.name: s for s in (stages[0], stages[-1])}.values():
                yield from ((part, passes, seconds) for passes, seconds in _updates(method, stage, now, end))
    if "evaluate" in lacking:
        task, index = tasks[t.target], list(tasks).index(t.target)
        encoded = below(encode(task, "dev", plan.plm, spec.length))
        predict(method, task, "dev", encoded, method.readout(index), Alone())
        start = now()
        predict(method, task, "dev", encoded, method.readout(index), Alone())
        yield "evaluate", float(len(task.splits["dev"])), now() - start


def _updates(
    method: BaseMethod[Any], stage: Stage, now: Callable[[], float], end: float
) -> Iterator[tuple[float, float]]:
    """(passes, seconds) of an update of a stage: of the quickest of a few, for the first ones make what others use."""
    per_update = stage.length.passes / max(1, stage.length.updates)
    stage.start()
    method.train()
    seconds: list[float] = []
    for step in range(min(1 + _UPDATES, stage.length.updates)):
        start = now()
        stage.update(step, stage.draw(step))
        seconds.append(now() - start)
        if time.monotonic() >= end:
            break
    method.optimizer = None
    if seconds:
        yield per_update, min(seconds)


def _few_examples(plan: Plan, t: Trainings) -> dict[str, Task]:
    """The tasks of a training as `train.load_tasks` cuts them, and then cut to a few examples."""
    study, setting = plan.study, t.arm.setting
    tasks = {name: plan.tasks[name] for name in study.tasks_with(t.target)}
    for name in tasks if study.scope == "suite" else (t.target,):
        tasks[name] = cut(tasks[name], setting, 0, dev_of(study.dev, name, t.target))
    target = tasks[t.target]
    tasks = {n: task if n == t.target else at_ratio(task, target, setting, 0) for n, task in tasks.items()}
    few = max(_EXAMPLES, 2 * int(t.settings.get("batch_size", 1)))
    return {n: cap(task, train=few, dev=_JUDGED, test=_JUDGED) for n, task in tasks.items()}


def _clock(device: str, threads: int) -> Callable[[], float]:
    if device == "cuda":

        def now() -> float:
            torch.cuda.synchronize()
            return time.perf_counter()

        return now
    return time.process_time if threads == 1 else time.perf_counter


@contextmanager
def _computing_with(threads: int) -> Iterator[None]:
    """While open, torch computes with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
