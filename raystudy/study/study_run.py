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
from typing import Any, Protocol

from optuna.storages import JournalStorage

from raystudy.errors import UserError
from raystudy.spec import Arm, Record, Spec
from raystudy.study.folder.optuna_journal import OptunaJournal
from raystudy.study.folder.records import Results, dev_score, stale
from raystudy.study.plan import Plan
from raystudy.study.pool.local import Local
from raystudy.study.search.arm_search import ArmSearch, drive
from raystudy.train import Outcome

__all__ = ["StudyRun", "TrainingPool"]


class TrainingPool(Protocol):
    """What a study run needs of a pool (study/pool/pool.py has the one on Ray)."""

    def submit(self, specs: Iterable[Spec], later: bool = False) -> None: ...
    def take(self, timeout: float = 0.5) -> list[Outcome]: ...
    def announce(self, scores: Mapping[str, float | None]) -> None: ...
    def drain(self) -> None: ...
    def idle(self) -> bool: ...
    def fail(self, why: str) -> None: ...


@dataclass
class StudyRun:
    """One driver's run of one study. `seen` holds every record of the study, old and new.

    Attributes:
        on_record: told of each new record (for the terminal).
        on_drain: told once that the pool was asked to drain (for the terminal).
        on_lost: called when the pool cannot be reached any more, from a thread of its own: the one that called
            `run_pooled` may wait for an answer that never comes.
        retry_failed: forget failed records, so that their cells run again.
        redo_stale: forget records that were made by other code or libraries, so that their cells run again.
    """

    plan: Plan
    results: Results
    on_record: Callable[[Record], None] = lambda record: None
    on_drain: Callable[[], None] = lambda: None
    on_lost: Callable[[], None] = lambda: None
    retry_failed: bool = False
    redo_stale: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    seen: dict[str, Record] = field(default_factory=dict)
    searches: dict[Arm, ArmSearch] = field(default_factory=dict)

    def open(self) -> None:
        """Read the records and replay the searches as far as they go; again, only if there are other records now."""
        seen = self.results.scan()
        if self.retry_failed:
            seen = {k: r for k, r in seen.items() if r.status == "done"}
        if self.redo_stale:
            seen = {k: r for k, r in seen.items() if not stale(r)}
        if seen != self.seen or not self.searches:
            self.seen = seen
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
        wanted = {c.id for s in self.searches.values() for t in s.configurations for c in t.cells}
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

    def drain(self) -> None:
        """Finish the cells that run and start no others. What is missing stays so until the next run.

        Only leaves word: it may be called from a signal handler, in the middle of anything.
        """
        self.stopping.set()

    def run_local(self, local: Local) -> None:
        """Everything that is missing, one cell after another in this process."""
        while todo := self.missing():
            for outcome in local.run(todo):
                self.keep(outcome)
                if self.stopping.is_set():
                    return

    def run_pooled(self, pool: TrainingPool, tune: Callable[[Mapping[Arm, ArmSearch]], None]) -> None:
        """Everything that is missing, on a pool: searches through `tune`, the rest straight from the queue.

        A thread takes outcomes from the pool, writes their records and only then announces them, so that no search ever
        goes on from a score that a crash could lose.
        """
        collector = _Collector(self, pool)
        try:
            pool.announce({k: dev_score(r) for k, r in self.seen.items()})
            collector.start()
            pool.submit((s for s in self.plan.confirm(self.searches) if s.id not in self.seen), later=True)
            if not all(s.finished for s in self.searches.values()):
                self._search(tune)
            wanted = {s.id: s for s in self.plan.confirm(self.searches)}
            pool.submit((s for k, s in wanted.items() if k not in self.seen), later=True)
            collector.until(lambda: wanted.keys() <= self.seen.keys() or (collector.draining and pool.idle()))
        except BaseException:
            if collector.error is not None:  # the cause; what others made of it is noise
                raise collector.error from None
            raise
        finally:
            collector.stop()

    def _search(self, tune: Callable[[Mapping[Arm, ArmSearch]], None]) -> None:
        fresh = self.plan.searches(self.journal())  # told anew by Tune, known cells at once
        try:
            tune(fresh)
            self.searches = fresh
        except UserError:
            if not self.stopping.is_set():  # when draining, a search that ends early is what was asked for
                raise

    def journal(self) -> JournalStorage:
        """A new, empty Optuna journal: a view for optuna-dashboard, written along and never read back."""
        return JournalStorage(OptunaJournal(self.results.folder / "optuna.journal"))


class _Collector(threading.Thread):
    """Moves outcomes from the pool to the records until it is stopped; keeps the error that stopped it."""

    def __init__(self, study_run: StudyRun, pool: TrainingPool) -> None:
        super().__init__(daemon=True)
        self.study_run, self.pool = study_run, pool
        self.error: BaseException | None = None
        self._halt = threading.Event()
        self._moved = threading.Condition()
        self.draining = False

    def run(self) -> None:
        try:
            while not self._halt.is_set():
                self._move(0.25)
        except BaseException as e:
            self.error = e
            try:
                self.pool.fail(f"the driver could not go on: {e}")  # or trials would wait for records for ever
            except Exception:
                self.study_run.on_lost()
        with self._moved:
            self._moved.notify_all()

    def _move(self, timeout: float) -> None:
        if self.study_run.stopping.is_set() and not self.draining:
            self.pool.drain()
            self.draining = True
            self.study_run.on_drain()
        for outcome in self.pool.take(timeout):
            self.study_run.keep(outcome)
            self.pool.announce({outcome.record.id: dev_score(outcome.record)})
            with self._moved:
                self._moved.notify_all()

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait until `reached`, or raise what stopped the collector."""
        with self._moved:
            while self.error is None and not reached():
                self._moved.wait(0.25)
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        """Stop, after one last look at what came in."""
        self._halt.set()
        if self.ident is not None:
            self.join(60)
        if self.error is None and not self.is_alive():
            with suppress(Exception):
                self._move(0.0)
