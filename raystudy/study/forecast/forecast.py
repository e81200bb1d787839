"""What a study takes and what is left of it: from the planned work, the paces of this machine, and what is seen.

Before anything has run, a training takes the sum over its parts of their work at its pace. While the study runs, every
method has a factor, what its trainings took against what was foreseen, and trainings of a method that none has seen yet
have the factor of all methods together: what they take is foreseen from their planned work, not from others' seconds.
A training that runs counts with the updates that it has reported.

The trainings that are left are laid out over the groups of workers in their order; the time that this takes, and what
the run takes before its first and after its last training, is what is told. Every number that was told is in
``logs/events.jsonl`` (event ``left``), so that it can be held against what came.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from raystudy.spec import ACROSS, Arm, Record, Spec
from raystudy.study.forecast.pace import PARTS, Paces, Part
from raystudy.study.forecast.work import StudyWork, seconds_of_parts
from raystudy.study.plan import Trainings

if TYPE_CHECKING:
    from raystudy.study.search.arm_search import ArmSearch

__all__ = ["Forecast", "Running", "cells_left", "makespan"]

# How many trainings of a method it takes until what they took counts as much as what was foreseen.
_TRUST = 0.3
_LEARNED: tuple[Part, ...] = ("transfer", "adapt", "evaluate", "constants")

Key = tuple[str, str, str, str]  # phase, variant, target, setting


def _key(t: Trainings) -> Key:
    """Cells that a run cannot tell apart before their settings are known are counted together."""
    return "search" if t.kind == "search" else "confirm", t.variant, t.target, str(t.arm.setting)


def _key_of(spec: Spec) -> Key:
    return spec.phase, spec.variant, spec.target, str(spec.setting)


@dataclass(frozen=True)
class Running:
    """A training that runs now.

    Attributes:
        key: of the trainings that it is one of.
        elapsed: seconds since it began.
        stage, step: the running stage, and how many of its updates are over; none before its first report.
        pace: seconds of an update of this stage, as far as it has come.
    """

    key: Key
    elapsed: float
    stage: str = ""
    step: int = 0
    pace: float = math.nan

    @classmethod
    def of_status(cls, groups: Mapping[Any, Mapping[str, Any]]) -> list[Running]:
        """Those of the status of a cell queue."""
        return [
            cls(
                tuple(g["of"]),
                float(g.get("elapsed", 0.0)),
                str(g.get("stage", "")),
                int(g.get("step", 0)),
                float(g.get("update_seconds", math.nan)),
            )
            for g in groups.values()
            if g.get("of")
        ]


@dataclass
class Forecast:
    """The seconds of a study's trainings.

    Args:
        trainings: all that the study makes.
        groups: how many train at a time; None where nobody knows yet, and nothing is said of the time that passes.
        tell: called with what is told of the time left, now and then (for the log).
    """

    trainings: Sequence[Trainings]
    study_work: StudyWork
    paces: Paces
    groups: int | None = 1
    tell: Callable[..., None] = lambda **told: None
    started: float = field(default_factory=time.monotonic)
    _left: Counter[Key] = field(default_factory=Counter)  # trainings without a record
    _unshared: Counter[Key] = field(default_factory=Counter)  # of these, those that compute their transfer
    _one: dict[Key, Trainings] = field(default_factory=dict)
    _foreseen: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # variant -> of what is done
    _took: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _first_began: float | None = None
    _last_record: float | None = None
    _next_told: float = 0.0

    def __post_init__(self) -> None:
        for t in self.trainings:
            key = _key(t)
            self._one.setdefault(key, t)
            self._left[key] += t.number
            self._unshared[key] += t.number - t.shared

    # -- before anything runs ------------------------------------------------------------------------------------------

    @property
    def known(self) -> bool:
        """Whether there is a pace for every training."""
        return all(not math.isnan(self.seconds_of(t)) for t in self.trainings)

    def seconds_of(self, t: Trainings, *, shared: bool = False) -> float:
        """Worker-group seconds of one training; nan where no pace is known.

        Args:
            shared: without its transfer, which the store answers.
        """
        return self._priced(t, self.study_work.of_trainings(t), shared=shared)

    def _priced(self, t: Trainings, amounts: Mapping[Part, float], *, shared: bool = False) -> float:
        total = 0.0
        for part, amount in amounts.items():
            if not amount or (shared and part in ("transfer", "constants")):
                continue
            pace = self.paces.seconds(self.study_work.work(part, t.variant, t.settings, t.target))
            if pace is None and part in ("constants", "evaluate"):
                continue  # little beside training
            total += math.nan if pace is None else pace * amount
        return total

    def rows(self) -> dict[str, float]:
        """Row of the plan's table -> seconds of all its trainings together."""
        rows: dict[str, float] = defaultdict(float)
        for t in self.trainings:
            rows[t.row] += self._all_of(t)
        return dict(rows)

    def estimates(self) -> list[dict[str, Any]]:
        """What every method was foreseen to take on every target, for the manifest: variant, target, seconds, cells."""
        sums: dict[tuple[str, str], float] = defaultdict(float)
        cells: Counter[tuple[str, str]] = Counter()
        for t in self.trainings:
            sums[t.variant, t.target] += self._all_of(t)
            cells[t.variant, t.target] += t.number
        return [
            {"variant": v, "target": t, "seconds": round(s, 3), "cells": cells[v, t]}
            for (v, t), s in sums.items()
            if not math.isnan(s)
        ]

    def _all_of(self, t: Trainings) -> float:
        return (t.number - t.shared) * self.seconds_of(t) + (t.shared and t.shared * self.seconds_of(t, shared=True))

    def beginning_now(self, records: Iterable[Record]) -> Forecast:
        """The same for a run that begins now, when these cells have records already."""
        anew = Forecast(self.trainings, self.study_work, self.paces, self.groups)
        for record in records:
            anew.has_record(record)
        return anew

    # -- while it runs -------------------------------------------------------------------------------------------------

    def has_record(self, record: Record) -> None:
        """A cell has a record already; it is not trained now."""
        key = _key_of(record.spec)
        if self._left[key]:
            self._left[key] -= 1
            if record.stages and "stored" not in record.stages.values():
                self._unshared[key] = max(0, self._unshared[key] - 1)

    def record(self, record: Record) -> None:
        """A cell that was trained now has a record."""
        self.has_record(record)
        self._last_record = time.monotonic()
        spec = record.spec
        if record.status != "done":
            return
        amounts, seconds = self.study_work.of_record(record), seconds_of_parts(record)
        for part in PARTS:
            work = self.study_work.work(part, spec.variant, spec.settings, spec.target)
            if part != "load" or seconds["load"] < 1.0:  # the first of a process loads libraries
                self.paces.recorded(work, amounts[part], seconds[part])
            pace = self.paces.seconds(work)
            if part in _LEARNED and pace is not None and amounts[part]:
                self._foreseen[spec.variant] += pace * amounts[part]
                self._took[spec.variant] += seconds[part]

    def decided(self, specs: Iterable[Spec]) -> None:
        """The searches are over: these cells are left, with these settings, and no others."""
        number: Counter[Key] = Counter()
        first: dict[Key, Spec] = {}
        for spec in specs:
            number[_key_of(spec)] += 1
            first.setdefault(_key_of(spec), spec)
        for key in self._left:
            self._unshared[key] = min(self._unshared[key], number[key])
            self._left[key] = number[key]
            if key in first and key in self._one:
                spec, t = first[key], self._one[key]
                schedule = self.study_work.plan.schedule(spec.variant, spec.settings, spec.target, spec.setting)
                self._one[key] = replace(t, settings=spec.settings, schedule=schedule)

    def search_is_left(self, cells: Mapping[tuple[str, str, str], int]) -> None:
        """(variant, target, setting) -> how many cells its search may still train; it may have pruned some."""
        for (variant, target, setting), n in cells.items():
            key = ("search", variant, target, setting)
            self._left[key] = min(self._left[key], n)
            self._unshared[key] = min(self._unshared[key], n)

    def work_left(self, running: Sequence[Running] = ()) -> float:
        """Seconds of one group for all that is left, running trainings too; nan where no pace is known."""
        ends, waiting = self._lay_out(running)
        return math.fsum(ends) + math.fsum(waiting)

    def left(self, running: Sequence[Running] = ()) -> float | None:
        """Seconds until the study is over; None where it cannot be said."""
        if self.groups is None:
            return None
        ends, waiting = self._lay_out(running)
        training = makespan(ends, waiting, self.groups)
        if math.isnan(training):
            return None
        begun = bool(running) or self._last_record is not None
        if begun and self._first_began is None:
            self._first_began = time.monotonic()
        start = 0.0
        if not begun and waiting:
            usual = self.paces.seconds(self.study_work.run_work["start"]) or 0.0
            waited = time.monotonic() - self.started
            start = max(usual - waited, waited / 4)  # what has taken longer than usual goes on for a while
        return start + training + (self.paces.seconds(self.study_work.run_work["finish"]) or 0.0)

    def tell_left(self, running: Sequence[Running] = ()) -> float | None:
        """`left`, also told to the log where the last time is a twentieth of the run ago, and five seconds."""
        seconds = self.left(running)
        elapsed = time.monotonic() - self.started
        if seconds is not None and elapsed >= self._next_told:
            self._next_told = 1.05 * elapsed + 5.0
            self.tell(elapsed=round(elapsed, 1), seconds=round(seconds, 1))
        return seconds

    def finished(self) -> None:
        """The run is over: what its beginning and its end took is seen, and all paces are kept."""
        for part, begin, end in (
            ("start", self.started, self._first_began),
            ("finish", self._last_record, time.monotonic()),
        ):
            if begin is not None and end is not None and self._first_began is not None:
                self.paces.recorded(self.study_work.run_work[part], 1.0, end - begin)  # type: ignore[index]
        self.paces.keep()
        self.tell(elapsed=round(time.monotonic() - self.started, 1), seconds=0.0)

    def _lay_out(self, running: Sequence[Running]) -> tuple[list[float], list[float]]:
        """(seconds left of each running training, seconds of each that waits, in order), with what was seen so far."""
        foreseen, took = dict(self._foreseen), dict(self._took)
        progress = []
        for r in running:
            t = self._one.get(r.key)
            if t is None:
                continue
            passes = self.study_work.passes_before(t, r.stage) if r.stage else 0.0
            length = t.schedule.stages.get(r.stage)
            if length is not None and length.updates and not math.isnan(r.pace):
                part: Part = "transfer" if r.stage in t.schedule.transfer else "adapt"
                pace = self.paces.seconds(self.study_work.work(part, t.variant, t.settings, t.target))
                done = length.passes * r.step / length.updates
                passes += done
                if pace is not None:
                    foreseen[t.variant] = foreseen.get(t.variant, 0.0) + pace * done
                    took[t.variant] = took.get(t.variant, 0.0) + r.pace * r.step
            progress.append((t, r, passes))
        factor = self._factors(foreseen, took)
        ends = []
        for t, r, passes in progress:
            whole = factor(t.variant) * self.seconds_of(t)
            part_left = 1.0 - min(1.0, passes / t.schedule.cost.passes) if t.schedule.cost.passes else 1.0
            ends.append(whole * part_left if passes else max(whole - r.elapsed, r.elapsed / 4))
        at_work = Counter(r.key for _, r, _ in progress)
        turns: list[tuple[bool, int, float]] = []  # searches first; then seed by seed, as the confirm phase goes
        for key, t in self._one.items():
            n = max(0, self._left[key] - at_work[key])
            own = min(n, max(0, self._unshared[key] - at_work[key]))
            prices = factor(t.variant) * self.seconds_of(t), factor(t.variant) * self.seconds_of(t, shared=True)
            turns += [(t.kind != "search", turn, prices[turn >= own]) for turn in range(n)]
        return ends, [seconds for _, _, seconds in sorted(turns, key=lambda x: x[:2])]

    def _factors(self, foreseen: Mapping[str, float], took: Mapping[str, float]) -> Callable[[str], float]:
        """variant -> what its trainings take of what was foreseen."""
        price = {t.variant: self.seconds_of(t) for t in reversed(self.trainings)}
        known = [p for p in price.values() if p > 0]
        if not known:
            return lambda variant: 1.0
        prior = _TRUST * sum(known) / len(known)
        overall = (math.fsum(took.values()) + prior) / (math.fsum(foreseen.values()) + prior)

        def factor(variant: str) -> float:
            own = _TRUST * price.get(variant, 0.0)
            if not own > 0:
                return overall
            return (took.get(variant, 0.0) + own * overall) / (foreseen.get(variant, 0.0) + own)

        return factor


def cells_left(searches: Mapping[Arm, ArmSearch]) -> dict[tuple[str, str, str], int]:
    """(variant, target, setting) -> how many cells the searches may still train there, at most.

    Of a search across methods, what is not proposed yet counts for each of them.
    """
    left: Counter[tuple[str, str, str]] = Counter()
    for arm, search in searches.items():
        setting, configurations = str(arm.setting), list(search.configurations)
        to_come = search.total - len(configurations)
        variants = {c.variant for c in configurations} if arm.variant == ACROSS else {arm.variant}
        for variant in variants:
            for target in search.targets:
                left[variant, target, setting] += to_come * search.plan.seeds
        for c in configurations:
            for cell in c.cells[len(c.scores) :] if not c.over else ():
                left[c.variant, cell.target, setting] += 1
    return dict(left)


def makespan(ends: Iterable[float], waiting: Sequence[float], groups: int) -> float:
    """Seconds until all is done, if groups that become free take what waits in its order.

    Args:
        ends: when the groups that are at work become free, in seconds from now.
    """
    free = sorted(ends)[-groups:] or [0.0]
    free += [0.0] * (groups - len(free))
    if len(waiting) > 20_000:  # so many level out
        return max(max(free), (math.fsum(free) + math.fsum(waiting)) / groups)
    heapq.heapify(free)
    for seconds in waiting:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)
