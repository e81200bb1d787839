"""A study whose cells cost nothing: scores are a pure function of the spec, so any order and any crash must agree."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from raystudy.data.draws import rng
from raystudy.errors import PreflightError
from raystudy.predictions import Predictions
from raystudy.spec import Arm, Places, Record, Spec
from raystudy.study.plan import Plan
from raystudy.study.pool.local import Local
from raystudy.study.search.arm_search import ArmSearch, drive
from raystudy.studyfile import Study, read_study
from raystudy.train import Outcome

STUDY = """
name: fake
plm: tiny
suite: planted
task_options: {planted: {n_train: 60, n_dev: 30, n_test: 30}}
shots: [6, 12]
methods: [single_task, single_task_matched, multi_task, meta_dtl, majority]
settings: {max_updates: 10}
search: {trials: 5, generation: 3, seeds: 4, halving: 2, shots: 12}
report: {seeds: 3}
"""


def study(folder: Path, text: str = STUDY, **replaced: str) -> Study:
    """The fake study, from a real file, with whole lines replaced by key."""
    lines = [
        f"{k}: {replaced.pop(k)}" if (k := line.partition(":")[0]) in replaced else line for line in text.split("\n")
    ]
    lines += [f"{k}: {v}" for k, v in replaced.items()]
    path = folder / "study.yaml"
    path.write_text("\n".join(lines))
    return read_study(path)


def plan(folder: Path, **replaced: str) -> Plan:
    return Plan(study(folder, **replaced), Places(plm="tiny"))


def outcome(spec: Spec) -> Outcome:
    """What training `spec` would leave: scores and predictions drawn from its id alone."""
    g = rng("fake", spec.id)
    splits = ("dev", "test") if spec.phase == "confirm" else ("dev",)
    gold = tuple(map(str, g.integers(3, size=12)))
    answers = {s: Predictions(gold, tuple(map(str, g.integers(3, size=12)))) for s in splits}
    metrics = {s: {"accuracy": float(np.mean(np.array(p.gold) == np.array(p.pred)))} for s, p in answers.items()}
    record = Record(
        spec,
        "done",
        metrics=metrics,
        counts={"n_train": 6, "n_dev": 12, **({"n_test": 12} if "test" in splits else {})},
        updates={"finetune": 3},
        passes={"finetune": 3.0},
        stages={"finetune": "ran"},
        seconds={"adapt": 0.5},
        facts={"metric": "accuracy"},
    )
    return Outcome(record, answers)


class Fake(Local):
    """An executor that trains nothing; counts what it was asked for, and fails the specs in `failing`."""

    def __init__(self, failing: frozenset[str] = frozenset()) -> None:
        super().__init__(Places(plm="tiny"))
        self.trained: list[str] = []
        self.failing = failing

    def train(self, spec: Spec) -> Outcome:
        self.trained.append(spec.id)
        if spec.id in self.failing:
            raise RuntimeError("out of luck")
        return outcome(spec)


class FakePool:
    """A pool (study_run.TrainingPool) in this process, whose cells are trained when somebody takes their outcomes.

    Attributes:
        hold: cells are handed out, but none is finished.
        trained: what was finished, in order.
    """

    def __init__(self, groups: int = 2) -> None:
        self.groups = groups
        self.queue: dict[str, Spec] = {}
        self.running: dict[str, Spec] = {}
        self.scores: dict[str, float | None] = {}
        self.trained: list[str] = []
        self.draining = False
        self.hold = False
        self.broken = ""

    def submit(self, specs: Iterable[Spec], later: bool = False) -> None:
        self.queue |= {s.id: s for s in specs if s.id not in self.scores and s.id not in self.running}

    def _hand_out(self) -> None:
        while self.queue and len(self.running) < self.groups and not self.draining:
            key = next(iter(self.queue))
            self.running[key] = self.queue.pop(key)

    def take(self, timeout: float = 0.5) -> list[Outcome]:
        if self.broken:
            raise PreflightError(self.broken)
        self._hand_out()
        if self.hold or not self.running:
            time.sleep(min(timeout, 0.002))
            return []
        spec = self.running.pop(next(iter(self.running)))
        self.trained.append(spec.id)
        return [outcome(spec)]

    def announce(self, scores: Mapping[str, float | None]) -> None:
        self.scores |= scores

    def drain(self) -> None:
        self.draining = True

    def idle(self) -> bool:
        return not self.running

    def fail(self, why: str) -> None:
        self.broken = self.broken or why
        self.draining = True

    def tune(self, searches: Mapping[Arm, ArmSearch]) -> None:
        """What `tune_experiment.tune_searches` does, one cell after another: wait for the score of each."""

        def score(spec: Spec) -> float | None:
            if spec.id not in self.scores:
                self.submit([spec])
            while spec.id not in self.scores:
                if self.broken or (self.draining and spec.id not in self.running):
                    raise PreflightError(self.broken or "no further cells are handed out")
                time.sleep(0.0005)
            return self.scores[spec.id]

        for _ in drive(searches.values(), score):
            raise AssertionError("every cell is answered or refused")


def undrawn(figure: object, form: str) -> bytes:
    """An empty picture in the place of a figure, for tests of what a report says: drawing takes most of its time."""
    return b'<svg xmlns="http://www.w3.org/2000/svg" width="9pt" height="9pt" viewBox="0 0 9 9"/>'
