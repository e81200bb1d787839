"""The page of an exhibit: a table or figure of a paper, with our numbers beside the published ones.

The report of a study that was run for an exhibit opens with its page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from raystudy.analysis.figures import Figure
from raystudy.analysis.table import Table

__all__ = ["ExhibitPage", "RunScores", "no_runs"]

RunScores = Callable[[str, str, str, int], NDArray[np.float64] | None]
"""(variant, target, setting, seed) -> the scores of one training on the single sentences of the test split, in their
order; None where the target is not tagged, or the predictions cannot be read."""


def no_runs(variant: str, target: str, setting: str, seed: int) -> None:
    """The `RunScores` of a study whose predictions are not at hand."""


@dataclass(frozen=True)
class ExhibitPage:
    """An exhibit, ready to be written.

    Attributes:
        title: which table or figure of which paper it is.
        about: what it asks, in a sentence.
        setup: what differs from the paper's set-up, a sentence for each thing.
        facts: the provenance, where no study stands behind the exhibit.
        assumed: what its methods assume that their papers do not say. It stands at the end, and has no files.
    """

    title: str
    about: str
    setup: tuple[str, ...]
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict, hash=False)
    assumed: Table | None = None

    @property
    def without_repeated_notes(self) -> tuple[Table, ...]:
        """The tables in reading order; a note without a mark that several of them share is below the first only."""
        printed_notes: set[str] = set()
        tables = []
        for table in self.tables:
            tables.append(replace(table, notes=tuple(n for n in table.notes if n.mark or n.text not in printed_notes)))
            printed_notes |= {n.text for n in table.notes}
        return tuple(tables)
