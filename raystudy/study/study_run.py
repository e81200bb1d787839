"""The whole run of a study, in order: replay what the records hold, search, confirm, until no cell is missing.

A cell is one training. The search phase tries settings on dev, and the confirm phase trains the winners with fresh
seeds.

    records                                    -> replay of every search; where no cell is missing, Ray is not started
    confirm cells whose settings are decided   -> queued behind the cells of the searches
    searches, as one experiment of Ray Tune    -> winners
    the other confirm cells                    -> records
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
from raystudy.study.folder.records import Results, dev_score, is_stale
from raystudy.study.plan import Plan
from raystudy.study.pool.local import Local
from raystudy.study.search.arm_search import ArmSearch, drive
from raystudy.train import Outcome

__all__ = ["StudyRun", "TrainingPool"]


class TrainingPool(Protocol):
    """What a study run needs of a pool; study/pool/pool.py has the one on Ray, and explains the methods."""

    def submit(self, specs: Iterable[Spec], later: bool = False) -> None: ...
    def take(self, timeout: float = 0.5) -> list[Outcome]: ...
    def announce(self, scores: Mapping[str, float | None]) -> None: ...
    def drain(self) -> None: ...
    def idle(self) -> bool: ...
    def fail(self, reason: str) -> None: ...


@dataclass
class StudyRun:
    """One driver's run of one study. The driver is the process that holds the study and writes its records.

    Attributes:
        on_record: called with each new record (for the terminal).
        on_drain: called once, when the pool has been asked to drain (for the terminal).
        on_decided: called once the searches are over, with the cells of the confirm phase that are left to train.
        on_lost: called when the pool cannot be reached any more, from a thread of its own: the one that called
            `run_on_pool` may wait for an answer that never comes.
        retry_failed: forget failed records, so that their cells run again.
        redo_stale: forget records that were made by other code or libraries, so that their cells run again.
        stopping: set when no further cell is to be started.
        records: every record in the study's folder, old and new, by the id of its cell.
        searches: of every arm that has one, as far as the records go.
    """

    plan: Plan
    results: Results
    on_record: Callable[[Record], None] = lambda record: None
    on_drain: Callable[[], None] = lambda: None
    on_decided: Callable[[list[Spec]], None] = lambda cells: None
    on_lost: Callable[[], None] = lambda: None
    retry_failed: bool = False
    redo_stale: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    records: dict[str, Record] = field(default_factory=dict)
    searches: dict[Arm, ArmSearch] = field(default_factory=dict)

    def open(self) -> None:
        """Read the records, and replay the searches unless the records are those of the last call."""
        records = self.results.scan()
        if self.retry_failed:
            records = {k: r for k, r in records.items() if r.status == "done"}
        if self.redo_stale:
            records = {k: r for k, r in records.items() if not is_stale(r)}
        if records != self.records or not self.searches:
            self.records = records
            self.searches = self.replay()

    def score(self, spec: Spec) -> float | None:
        """The dev score of a cell as its search sees it; None where the cell failed.

        Raises:
            KeyError: the cell has no record yet.
        """
        return dev_score(self.records[spec.id])

    def replay(self, storage: Any = None) -> dict[Arm, ArmSearch]:
        """New searches of all arms, carried on as far as there are records."""
        searches = self.plan.searches(storage)
        for _ in drive(searches.values(), self.score):
            pass
        return searches

    def study_records(self) -> dict[str, Record]:
        """The records that belong to the study as it is now, by id; the folder may hold others."""
        ids = {cell.id for s in self.searches.values() for c in s.configurations for cell in c.cells}
        ids |= {s.id for s in self.confirm_cells()}
        return {k: r for k, r in self.records.items() if k in ids}

    def confirm_cells(self) -> list[Spec]:
        """Every cell of the confirm phase that is known to be needed: the study's own, then those beside them."""
        return [*self.plan.confirm(self.searches), *self.plan.beside(self.searches)]

    def missing_cells(self) -> list[Spec]:
        """The cells that are needed, as far as one can tell now, and have no record.

        Those of the searches' open generations come first, then those of the confirm phase.
        """
        search_cells = list(drive(self.searches.values(), self.score))
        confirm_cells = [s for s in self.confirm_cells() if s.id not in self.records]
        return list({s.id: s for s in (*search_cells, *confirm_cells)}.values())

    @property
    def complete(self) -> bool:
        """Whether every search is finished and no cell is missing."""
        return all(s.finished for s in self.searches.values()) and not self.missing_cells()

    def write_outcome(self, outcome: Outcome) -> None:
        """Write the record and the predictions of one cell; from now on it counts."""
        record = outcome.record
        self.results.write(outcome)
        self.records[record.id] = record
        self.results.log_event("record", cell=record.id, status=record.status, spec=str(record.spec))
        self.on_record(record)

    def take_over(self, folders: Iterable[Results]) -> int:
        """Copy the cells that are needed and missing from other results folders that hold them; returns how many.

        A cell's id says everything that its result depends on but the code and the libraries: failed records and those
        that others made are left.
        """
        sources, copied = [*folders], 0
        while taken := sum(
            any(source.has(cell.id) and self.results.copy_cell(cell.id, source) for source in sources)
            for cell in self.missing_cells()
        ):
            copied += taken
            self.open()  # what was copied may decide what else is needed
        return copied

    def drain(self) -> None:
        """Finish the cells that run and start no others. What is missing stays so until the next run.

        This only sets a flag, because it may be called from a signal handler, in the middle of anything.
        """
        self.stopping.set()

    def run_local(self, local: Local) -> None:
        """Train everything that is missing, one cell after another in this process."""
        while cells := self.missing_cells():
            for outcome in local.run(cells):
                self.write_outcome(outcome)
                if self.stopping.is_set():
                    return

    def run_on_pool(self, pool: TrainingPool, tune: Callable[[Mapping[Arm, ArmSearch]], None]) -> None:
        """Train everything that is missing on a pool: searches through `tune`, the other cells straight from the queue.

        A thread takes outcomes from the pool, writes their records and only then announces their scores, so that no
        search ever goes on from a score that a crash could lose.
        """
        collector = _Collector(self, pool)
        try:
            pool.announce({k: dev_score(r) for k, r in self.records.items()})
            collector.start()
            pool.submit((s for s in self.confirm_cells() if s.id not in self.records), later=True)
            if not all(s.finished for s in self.searches.values()):
                self._search(tune)
            confirm_cells = {s.id: s for s in self.confirm_cells()}
            self.on_decided([s for k, s in confirm_cells.items() if k not in self.records])
            pool.submit((s for k, s in confirm_cells.items() if k not in self.records), later=True)
            collector.wait_until(
                lambda: confirm_cells.keys() <= self.records.keys() or (collector.draining and pool.idle())
            )
        except BaseException:
            if collector.error is not None:  # the cause; what others made of it is noise
                raise collector.error from None
            raise
        finally:
            collector.stop()

    def _search(self, tune: Callable[[Mapping[Arm, ArmSearch]], None]) -> None:
        """Run all searches from their beginning; the scores of cells that have records are answered at once."""
        searches = self.plan.searches(self.new_journal())
        try:
            tune(searches)
            self.searches = searches
        except UserError:
            if not self.stopping.is_set():  # when draining, a search that ends early is what was asked for
                raise

    def new_journal(self) -> JournalStorage:
        """A new, empty Optuna journal for optuna-dashboard; it is written and never read back."""
        return JournalStorage(OptunaJournal(self.results.folder / "optuna.journal"))


class _Collector(threading.Thread):
    """Moves outcomes from the pool to the records until it is stopped; `error` is what stopped it before that."""

    def __init__(self, study_run: StudyRun, pool: TrainingPool) -> None:
        super().__init__(daemon=True)
        self.study_run, self.pool = study_run, pool
        self.error: BaseException | None = None
        self._halt = threading.Event()
        self._change = threading.Condition()  # notified when an outcome was written, and at the end
        self.draining = False

    def run(self) -> None:
        try:
            while not self._halt.is_set():
                self._move_outcomes(0.25)
        except BaseException as e:
            self.error = e
            try:
                self.pool.fail(f"the driver could not go on: {e}")  # or trials would wait for records for ever
            except Exception:
                self.study_run.on_lost()
        with self._change:
            self._change.notify_all()

    def _move_outcomes(self, timeout: float) -> None:
        """Write the outcomes that come within `timeout` seconds, and have the pool drain when that was asked for."""
        if self.study_run.stopping.is_set() and not self.draining:
            self.pool.drain()
            self.draining = True
            self.study_run.on_drain()
        for outcome in self.pool.take(timeout):
            self.study_run.write_outcome(outcome)
            self.pool.announce({outcome.record.id: dev_score(outcome.record)})
            with self._change:
                self._change.notify_all()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds, or raise what stopped the collector."""
        with self._change:
            while self.error is None and not condition():
                self._change.wait(0.25)
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        """Stop, after one last look at what came in."""
        self._halt.set()
        if self.ident is not None:
            self.join(60)
        if self.error is None and not self.is_alive():
            with suppress(Exception):
                self._move_outcomes(0.0)
