"""What a report says of the searches: a row per configuration and target, and how much each parameter mattered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from raystudy.analysis.tables import Importance, SearchRow
from raystudy.spec import Arm, Record
from raystudy.study.search.arm_search import IMPORTANCE, ArmSearch

__all__ = ["importances", "search_rows"]


def search_rows(searches: Mapping[Arm, ArmSearch], seen: Mapping[str, Record]) -> list[SearchRow]:
    """What the report says about the searches: every configuration on every target, and what it cost."""
    rows = []
    for arm, search in searches.items():
        won = search.winners() if search.finished else {}
        for t in search.configurations:
            if not t.over:
                continue
            state: Literal["failed", "pruned", "complete"]
            state = "failed" if t.failed else "pruned" if t.pruned_at is not None else "complete"
            for target in search.targets:
                scores = [s for c, s in zip(t.cells, t.scores, strict=False) if c.target == target and s is not None]
                made = [seen[c.id] for c in t.cells[: len(t.scores)] if c.target == target and c.id in seen]
                rows.append(
                    SearchRow(
                        arm,
                        target,
                        t.number,
                        t.settings,
                        sum(scores) / len(scores) if scores else None,
                        state,
                        won.get(target) == t.number,
                        updates=sum(n for r in made for n in r.updates.values()),
                        passes=math.fsum(r.total_passes for r in made),
                        seconds=math.fsum(r.wall for r in made),
                        seeds=len(scores),
                    )
                )
    return rows


def importances(searches: Mapping[Arm, ArmSearch]) -> list[Importance]:
    """How much each searched parameter mattered, for every arm with a search; no shares where trials are too few."""
    return [Importance(arm, IMPORTANCE, s.completed, s.importances()) for arm, s in searches.items()]
