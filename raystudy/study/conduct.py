"""A whole study, in order: replay what the records know, search, confirm, until nothing is missing.

records -> replay of every search        (all known? then ray is never started)
confirm cells whose settings are decided  -> queued behind the search
searches as one Tune experiment           -> winners
the other confirm cells                   -> records
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from raystudy.analysis.tables import SearchRow
from raystudy.spec import Arm, Record, Spec
from raystudy.study.local import Local, drive
from raystudy.study.plan import Plan
from raystudy.study.records import Results
from raystudy.study.search import ArmSearch
from raystudy.train import Outcome, code_digest

__all__ = ["Conductor", "Pooled", "dev_score", "search_rows", "stale"]


class Pooled(Protocol):
    """What the conductor needs of a pool (study/pool.py)."""

    def submit(self, specs: Iterable[Spec], later: bool = False) -> None: ...
    def take(self, timeout: float = 0.5) -> list[Outcome]: ...
    def announce(self, scores: Mapping[str, float | None]) -> None: ...


@dataclass
class Conductor:
    """One driver's run of one study. `seen` holds every record of the study, old and new.

    Attributes:
        on_record: told of each new record (for the terminal).
        retry_failed: forget failed records, so that their cells run again.
        redo_stale: forget records that were made by other code, so that their cells run again.
    """

    plan: Plan
    results: Results
    on_record: Callable[[Record], None] = lambda record: None
    retry_failed: bool = False
    redo_stale: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    seen: dict[str, Record] = field(default_factory=dict)
    searches: dict[Arm, ArmSearch] = field(default_factory=dict)

    def open(self) -> None:
        """Read the records and replay the searches as far as they go."""
        self.seen = self.results.scan()
        if self.retry_failed:
            self.seen = {k: r for k, r in self.seen.items() if r.status == "done"}
        if self.redo_stale:
            self.seen = {k: r for k, r in self.seen.items() if not stale(r)}
        self.searches = self.replay()

    def score(self, spec: Spec) -> float | None:
        """The dev score that a search sees; None for a failed cell. KeyError: not known yet."""
        return dev_score(self.seen[spec.id])

    def replay(self, storage: Any = None) -> dict[Arm, ArmSearch]:
        searches = self.plan.searches(storage)
        for _ in drive(searches.values(), self.score):
            pass
        return searches

    def known(self) -> dict[str, Record]:
        """The records that belong to the study as it is now, by id."""
        wanted = {c.id for s in self.searches.values() for t in s.trials for c in t.cells}
        wanted |= {s.id for s in self.plan.confirm(self.searches)}
        return {k: r for k, r in self.seen.items() if k in wanted}

    def missing(self) -> list[Spec]:
        """Cells known to be needed now and without a record: of the searches' open generations, then confirm."""
        searching = list(drive(self.searches.values(), self.score))
        confirm = [s for s in self.plan.confirm(self.searches) if s.id not in self.seen]
        return list({s.id: s for s in (*searching, *confirm)}.values())

    @property
    def complete(self) -> bool:
        return all(s.finished for s in self.searches.values()) and not self.missing()

    def keep(self, outcome: Outcome) -> None:
        """Write one outcome; from now on it counts."""
        self.results.write(outcome)
        self.seen[outcome.record.id] = outcome.record
        self.results.event(
            "record", cell=outcome.record.id, status=outcome.record.status, spec=str(outcome.record.spec)
        )
        self.on_record(outcome.record)

    def run_local(self, local: Local) -> None:
        """Everything that is missing, one cell after another in this process."""
        while todo := self.missing():
            for outcome in local.run(todo):
                self.keep(outcome)
                if self.stopping.is_set():
                    return

    def run_pooled(self, pool: Pooled, tune: Callable[[Mapping[Arm, ArmSearch]], None]) -> None:
        """Everything that is missing, on a pool: searches through `tune`, the rest straight from the queue.

        A thread takes outcomes from the pool, writes their records and only then announces them, so that no search ever
        goes on from a score that a crash could lose.
        """
        pool.announce({k: dev_score(r) for k, r in self.seen.items()})
        collector = _Collector(self, pool)
        collector.start()
        try:
            pool.submit((s for s in self.plan.confirm(self.searches) if s.id not in self.seen), later=True)
            if not all(s.finished for s in self.searches.values()):
                fresh = self.plan.searches(self.journal())  # told anew by Tune, known cells at once
                tune(fresh)
                self.searches = fresh
            wanted = {s.id: s for s in self.plan.confirm(self.searches)}
            pool.submit((s for k, s in wanted.items() if k not in self.seen), later=True)
            collector.until(lambda: self.stopping.is_set() or wanted.keys() <= self.seen.keys())
        finally:
            collector.stop()

    def journal(self) -> JournalStorage:
        """A new, empty Optuna journal: a view for optuna-dashboard, written along and never read back."""
        path = self.results.folder / "optuna.journal"
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path)))


class _Collector(threading.Thread):
    """Moves outcomes from the pool to the records until it is stopped; keeps the error that stopped it."""

    def __init__(self, conductor: Conductor, pool: Pooled) -> None:
        super().__init__(daemon=True)
        self.conductor, self.pool = conductor, pool
        self.error: BaseException | None = None
        self._halt = threading.Event()
        self._moved = threading.Condition()

    def run(self) -> None:
        try:
            while not self._halt.is_set():
                self._move(0.25)
        except BaseException as e:
            self.error = e
        with self._moved:
            self._moved.notify_all()

    def _move(self, timeout: float) -> None:
        for outcome in self.pool.take(timeout):
            self.conductor.keep(outcome)
            self.pool.announce({outcome.record.id: dev_score(outcome.record)})
            with self._moved:
                self._moved.notify_all()

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait until `reached`, or raise what stopped the collector."""
        with self._moved:
            while not reached() and self.error is None:
                self._moved.wait(0.25)
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        self._halt.set()
        self.join(10)
        with suppress(Exception):
            self._move(0.0)


def stale(record: Record) -> bool:
    """Whether a record was made by other code than what stands here now."""
    return record.made_by.get("code") not in (None, code_digest(record.spec.method))


def dev_score(record: Record) -> float | None:
    """The primary metric on dev; None when the cell failed."""
    return record.metrics["dev"][record.facts["metric"]] if record.status == "done" else None


def search_rows(searches: Mapping[Arm, ArmSearch]) -> list[SearchRow]:
    """What the report says about the searches: every configuration on every target."""
    rows = []
    for arm, search in searches.items():
        won = search.winners() if search.finished else {}
        for t in search.trials:
            if not t.over:
                continue
            state: Literal["failed", "pruned", "complete"]
            state = "failed" if t.failed else "pruned" if t.pruned_at is not None else "complete"
            for target in search.targets:
                seen = [s for c, s in zip(t.cells, t.scores, strict=False) if c.target == target and s is not None]
                mean = sum(seen) / len(seen) if seen else None
                rows.append(SearchRow(arm, target, t.number, t.settings, mean, state, won.get(target) == t.number))
    return rows
