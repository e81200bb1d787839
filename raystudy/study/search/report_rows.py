"""What a report says of the searches: a row per configuration and target, and how much each parameter mattered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from raystudy.analysis.tables import Importance, SearchRow
from raystudy.spec import Arm, Record
from raystudy.study.search.arm_search import IMPORTANCE, ArmSearch

__all__ = ["importances", "search_rows"]


def search_rows(searches: Mapping[Arm, ArmSearch], records: Mapping[str, Record]) -> list[SearchRow]:
    """One row per configuration that is over and target: its mean dev score, how it ended, and what it cost.

    Args:
        records: of the study, by cell id.
    """
    rows = []
    for arm, search in searches.items():
        winners = search.winners() if search.finished else {}
        for c in search.configurations:
            if not c.over:
                continue
            state: Literal["failed", "pruned", "complete"]
            state = "failed" if c.failed else "pruned" if c.pruned_at is not None else "complete"
            for target in search.targets:
                on_target = [(cell, s) for cell, s in zip(c.cells, c.scores, strict=False) if cell.target == target]
                scores = [score for _, score in on_target if score is not None]
                cell_records = [records[cell.id] for cell, _ in on_target if cell.id in records]
                rows.append(
                    SearchRow(
                        arm,
                        target,
                        c.number,
                        c.settings,
                        sum(scores) / len(scores) if scores else None,
                        state,
                        winners.get(target) == c.number,
                        updates=sum(n for r in cell_records for n in r.updates.values()),
                        passes=math.fsum(r.total_passes for r in cell_records),
                        seconds=math.fsum(r.wall for r in cell_records),
                        seeds=len(scores),
                    )
                )
    return rows


def importances(searches: Mapping[Arm, ArmSearch]) -> list[Importance]:
    """How much each searched parameter mattered, for every arm with a search.

    The shares are missing where too few configurations are complete.
    """
    return [Importance(arm, IMPORTANCE, s.complete_count, s.importances()) for arm, s in searches.items()]
