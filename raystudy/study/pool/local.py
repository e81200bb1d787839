"""Trains cells one after another in this process, without Ray.

It is for tests and notebooks, and for whoever wants to see an error where it happens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from raystudy.spec import Places, Spec
from raystudy.study.pool.failures import train_or_fail
from raystudy.train import Outcome, Store, run

__all__ = ["Local"]


@dataclass
class Local:
    """Trains one spec after another in this process; `store` answers for stages that are computed already."""

    places: Places
    store: Store | None = None

    def train(self, spec: Spec) -> Outcome:
        return run(spec, self.places, store=self.store)

    def run(self, specs: Iterable[Spec]) -> Iterator[Outcome]:
        """Train specs in order, each once; a failed one becomes a failed record."""
        for spec in {s.id: s for s in specs}.values():
            yield train_or_fail(spec, self.train)
