"""Which configuration of a search wins, by its dev scores alone. Test scores have no way into this module."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from raystudy.spec import Record

__all__ = ["DevScores", "dev_scores", "winners"]

DevScores = Mapping[int, Mapping[str, Sequence[float]]]
"""Number of a configuration -> target -> dev scores, one per search seed that finished (fewer where cells failed)."""


def dev_scores(records: Iterable[Record], trials: Mapping[str, int]) -> dict[int, dict[str, list[float]]]:
    """The dev scores of one arm's search, in the primary metric (``facts["metric"]``), in the order of the seeds.

    Args:
        trials: spec id -> number of its configuration; records of other specs are passed over.
    """
    scores_of_trial: dict[int, dict[str, list[float]]] = {}
    for r in sorted(records, key=lambda r: (r.spec.seed, r.id)):
        if r.id in trials and r.status == "done" and r.spec.phase == "search":
            score = r.metrics["dev"][str(r.facts["metric"])]
            scores_of_trial.setdefault(trials[r.id], {}).setdefault(r.spec.target, []).append(float(score))
    return scores_of_trial


def winners(
    scores: DevScores, targets: Sequence[str], seeds: int, select: Literal["per_target", "suite"] = "per_target"
) -> dict[str, int]:
    """Target -> number of the configuration that wins there.

    The highest mean dev score wins, and the lower number when two are equal. A configuration with fewer scores than
    were planned wins only if none is complete; then those with the most scores compete. With ``select="suite"`` one
    configuration wins for all targets: the one with the highest mean over the targets' means, in which every target
    counts the same.

    Args:
        targets: the targets of the arm; a complete configuration has scores for all of them.
        seeds: how many scores per target a complete configuration has.

    Returns:
        The winners; targets for which no configuration has a score are left out.
    """
    if select == "suite":
        best = _best(scores, targets, seeds)
        return {} if best is None else dict.fromkeys(targets, best)
    single = {target: _best(scores, [target], seeds) for target in targets}
    return {target: best for target, best in single.items() if best is not None}


def _best(scores: DevScores, targets: Sequence[str], seeds: int) -> int | None:
    """The number of the configuration that wins on `targets` together; None if none has a score."""
    ranks: dict[int, tuple[int, float, int]] = {}
    for number, by_target in scores.items():
        # a score that is not a number is a cell that failed
        finished = [[s for s in by_target.get(t, ()) if math.isfinite(s)][:seeds] for t in targets]
        means = [math.fsum(s) / len(s) for s in finished if s]
        if means:
            ranks[number] = (sum(map(len, finished)), math.fsum(means) / len(means), -number)
    return max(ranks, key=lambda number: ranks[number]) if ranks else None
