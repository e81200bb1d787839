"""Run specs one after another in this process, without ray: for tests, for a notebook, and to see an error bare."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from raystudy.errors import UserError
from raystudy.spec import Places, Record, Spec
from raystudy.study.search import ArmSearch
from raystudy.train import Outcome, Store, code_digest, run

__all__ = ["Local", "attempt", "drive", "failure", "short_traceback"]


def short_traceback(error: BaseException, lines: int = 15) -> str:
    """A user's mistake in words; anything else as the last lines of its traceback."""
    if isinstance(error, UserError):
        return str(error)
    return "\n".join("".join(traceback.format_exception(error)).rstrip().splitlines()[-lines:])


def failure(spec: Spec, error: str) -> Outcome:
    """The record of a cell that failed."""
    return Outcome(Record(spec, "failed", error=error, made_by={"code": code_digest(spec.method, spec.datasets)}))


def attempt(spec: Spec, train: Callable[[Spec], Outcome]) -> Outcome:
    """`train(spec)`, or the failed record of what it raised. The study goes on either way."""
    try:
        return train(spec)
    except Exception as e:
        return failure(spec, short_traceback(e))


@dataclass
class Local:
    """One spec after another, in this process."""

    places: Places
    store: Store | None = None

    def train(self, spec: Spec) -> Outcome:
        return run(spec, self.places, store=self.store)

    def run(self, specs: Iterable[Spec]) -> Iterator[Outcome]:
        """Run specs in order, each once."""
        for spec in {s.id: s for s in specs}.values():
            yield attempt(spec, self.train)


def drive(searches: Iterable[ArmSearch], score: Callable[[Spec], float | None]) -> Iterator[Spec]:
    """Carry searches on as far as `score` can answer, cell by cell; yields the cells that it could not answer.

    `score` returns a dev score, None for a failed cell, and raises KeyError for a cell that is not known yet. With a
    function that trains, this is a whole search; with one that looks records up, it is a replay.
    """
    for search in searches:
        stuck: set[int] = set()
        while not search.finished:
            moved = False
            for trial in list(search.generation):
                while trial.number not in stuck and search.verdict(trial.number) == "go" and not trial.over:
                    cell = trial.cells[len(trial.scores)]
                    try:
                        answer = score(cell)
                    except KeyError:
                        stuck.add(trial.number)
                        yield cell
                        break
                    search.report(trial.number, answer)
                    moved = True
            if not moved:
                break
