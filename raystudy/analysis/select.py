"""Which configuration won, from dev scores alone. Test scores have no way into this module."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from raystudy.spec import Record

__all__ = ["Scores", "dev_scores", "winners"]

Scores = Mapping[int, Mapping[str, Sequence[float]]]
"""Trial number -> target -> dev scores, one per search seed that finished (fewer where cells failed)."""


def dev_scores(records: Iterable[Record], trials: Mapping[str, int]) -> dict[int, dict[str, list[float]]]:
    """The dev scores of one arm's search, in the primary metric (``facts["metric"]``), in the order of the seeds.

    Args:
        trials: spec id -> trial number; records of other specs are passed over.
    """
    scores_of_trial: dict[int, dict[str, list[float]]] = {}
    for r in sorted(records, key=lambda r: (r.spec.seed, r.id)):
        if r.id in trials and r.status == "done" and r.spec.phase == "search":
            score = r.metrics["dev"][str(r.facts["metric"])]
            scores_of_trial.setdefault(trials[r.id], {}).setdefault(r.spec.target, []).append(float(score))
    return scores_of_trial


def winners(
    scores: Scores, targets: Sequence[str], seeds: int, select: Literal["per_target", "suite"] = "per_target"
) -> dict[str, int]:
    """target -> number of the trial that won there.

    The highest mean dev score wins, and the lower trial number when two are equal. A trial with fewer scores than were
    planned wins only if none is complete; then those with the most scores compete. With ``select="suite"`` one trial
    wins for all targets: the highest mean over the targets' means, each target counting the same.

    Args:
        targets: the targets of the arm, all of which a trial must have scores for to be complete.
        seeds: scores per target of a complete trial.

    Returns:
        Targets for which no trial has a score are left out.
    """
    if select == "suite":
        best = _best(scores, targets, seeds)
        return {} if best is None else dict.fromkeys(targets, best)
    single = {target: _best(scores, [target], seeds) for target in targets}
    return {target: best for target, best in single.items() if best is not None}


def _best(scores: Scores, targets: Sequence[str], seeds: int) -> int | None:
    """The trial that wins on `targets` together."""
    ranks: dict[int, tuple[int, float, int]] = {}
    for number, by_target in scores.items():
        # a score that is not a number is a cell that failed
        finished = [[s for s in by_target.get(t, ()) if math.isfinite(s)][:seeds] for t in targets]
        means = [math.fsum(s) / len(s) for s in finished if s]
        if means:
            ranks[number] = (sum(map(len, finished)), math.fsum(means) / len(means), -number)
    return max(ranks, key=lambda number: ranks[number]) if ranks else None
