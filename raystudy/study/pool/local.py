"""Run specs one after another in this process, without ray: for tests, for a notebook, and to see an error bare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from raystudy.spec import Places, Spec
from raystudy.study.pool.failures import attempt
from raystudy.train import Outcome, Store, run

__all__ = ["Local"]


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
