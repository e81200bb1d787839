"""Which configuration of a search wins, by its dev scores alone. Test scores have no way into this module."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from raystudy.spec import Record

__all__ = ["DevScores", "dev_scores", "rankings", "winners"]

DevScores = Mapping[int, Mapping[str, Sequence[float]]]
"""Number of a configuration -> target -> dev scores, one per search seed that finished (fewer where cells failed)."""
Passes = Mapping[int, Mapping[str, float]]
"""Number of a configuration -> target -> what one training with it costs, in forward and backward passes."""


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
    scores: DevScores,
    targets: Sequence[str],
    seeds: int,
    select: Literal["per_target", "suite"] = "per_target",
    passes: Passes | None = None,
) -> dict[str, int]:
    """Target -> number of the configuration that wins there: the first of its ranking (see `rankings`).

    Returns:
        The winners; targets for which no configuration has a score are left out.
    """
    ranked = rankings(scores, targets, seeds, select, passes)
    return {target: numbers[0] for target, numbers in ranked.items() if numbers}


def rankings(
    scores: DevScores,
    targets: Sequence[str],
    seeds: int,
    select: Literal["per_target", "suite"] = "per_target",
    passes: Passes | None = None,
) -> dict[str, list[int]]:
    """Target -> the numbers of the configurations that have a score there, the best first.

    The highest mean dev score comes first. Of equal ones it is the paper's settings (number 0), then the one that costs
    fewer passes, then the lower number: what was asked for without a search needs no reason, anything else does. A
    configuration with fewer scores than were planned comes behind all with more. With ``select="suite"`` all targets
    have one ranking: by the mean over the targets' means, in which every target counts the same.

    Args:
        targets: the targets of the arm; a complete configuration has scores for all of them.
        seeds: how many scores per target a complete configuration has.
        passes: what a training costs; without it, equal scores are ranked by number.
    """
    if select == "suite":
        return dict.fromkeys(targets, _ranking(scores, targets, seeds, passes or {}))
    return {target: _ranking(scores, [target], seeds, passes or {}) for target in targets}


def _ranking(scores: DevScores, targets: Sequence[str], seeds: int, passes: Passes) -> list[int]:
    """The numbers of the configurations with a score on `targets`, by their scores on all of these together."""
    ranks: dict[int, tuple[int, float, bool, float, int]] = {}
    for number, by_target in scores.items():
        # a score that is not a number is a cell that failed
        finished = [[s for s in by_target.get(t, ()) if math.isfinite(s)][:seeds] for t in targets]
        means = [math.fsum(s) / len(s) for s in finished if s]
        if means:
            cost = math.fsum(passes.get(number, {}).get(t, 0.0) for t in targets)
            ranks[number] = (sum(map(len, finished)), math.fsum(means) / len(means), number == 0, -cost, -number)
    return sorted(ranks, key=lambda number: ranks[number], reverse=True)
