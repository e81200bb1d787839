"""The league of a study's families of methods, each at its best, and the families that cannot take part.

A family is all that one module of methods can do. Its best variant is the one with the highest mean on dev, over all
targets and seeds: test has no say in it. Ranks and counts are those of `across_targets`, among these variants alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from raystudy.analysis import across_targets
from raystudy.analysis.across_targets import AcrossTargets, OfTargets
from raystudy.analysis.frame import Key
from raystudy.analysis.numbers import Numbers
from raystudy.catalogue import catalogue

__all__ = ["FEWEST_FAMILIES", "Apart", "FamilyRow", "League", "family_of", "is_league", "leagues"]

FEWEST_FAMILIES = 4  # that transfer: fewer are a comparison, whose table says all
ALONE = "single_task"  # the family that learns from no other task


@dataclass(frozen=True)
class Apart:
    """Variants of one family that cannot take part in the study, and why."""

    family: str
    variants: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class FamilyRow:
    """A family at its best.

    Attributes:
        rank: its place; equal average ranks share one.
        of: its ranks and counts over the targets.
        score: mean test score, over targets and then seeds.
        trials: configurations that its search tried, on all targets together.
        search_passes, passes: of the whole search, and of one training.
    """

    family: str
    variant: str
    rank: int
    of: OfTargets
    score: float
    trials: int
    search_passes: float
    passes: float


@dataclass(frozen=True)
class League:
    """One league: those families in one data setting.

    Attributes:
        across: what the targets say together of the families' best variants.
        rows: by average rank, of equals the cheaper one first.
    """

    setting: str
    across: AcrossTargets
    rows: tuple[FamilyRow, ...]


def family_of(variant: str) -> str:
    """The family of a variant: its module of methods."""
    return catalogue().variant(variant).method


def is_league(variants: Mapping[str, str], targets: int, trials: int) -> bool:
    """Whether a study is a league: several families searched alike, on several targets.

    Args:
        variants: the study's variants with their roles.
        trials: configurations that every method is searched with.
    """
    families = {family_of(v) for v, role in variants.items() if role in ("method", "baseline")} - {ALONE}
    return trials > 1 and targets >= across_targets.FEWEST_TARGETS and len(families) >= FEWEST_FAMILIES


def leagues(test_scores: Mapping[Key, Mapping[int, float]], n: Numbers, trials: int) -> tuple[League, ...]:
    """A league for each data setting of a study that is one; none otherwise.

    Args:
        test_scores: (variant, target, setting) -> seed -> score.
    """
    if not is_league({m.variant: m.role for m in n.design.methods}, len(n.design.targets), trials):
        return ()
    out = []
    for setting in n.design.settings:
        chosen = set(_best(n, setting).values())
        scores = {key: of for key, of in test_scores.items() if key[0] in chosen and key[2] == setting}
        comparisons = [c for c in n.comparisons if c.variant in chosen]
        found = [a for a in across_targets.compute(scores, comparisons, n.design) if a.setting == setting]
        out += [League(setting, a, tuple(_rows(n, a, scores))) for a in found]
    return tuple(out)


def _best(n: Numbers, setting: str) -> dict[str, str]:
    """Family -> its variant with the highest mean on dev; the baseline is the best of its own family."""
    dev: dict[str, list[float]] = {}
    for r in n.runs:
        if r.phase == "confirm" and r.setting == setting and not math.isnan(r.dev):
            dev.setdefault(r.variant, []).append(r.dev)
    best: dict[str, str] = {}
    for m in n.design.methods:
        if m.role not in ("method", "baseline") or not dev.get(m.variant):
            continue
        family = family_of(m.variant)
        mean, other = math.fsum(dev[m.variant]) / len(dev[m.variant]), best.get(family)
        if other is None or mean > math.fsum(dev[other]) / len(dev[other]):
            best[family] = m.variant
    best[family_of(n.design.baseline)] = n.design.baseline
    return best


def _rows(n: Numbers, a: AcrossTargets, scores: Mapping[Key, Mapping[int, float]]) -> list[FamilyRow]:
    rows = []
    for of in a.rows:
        costs = [c for c in n.costs if c.variant == of.variant and c.target in a.targets]
        cells = sum(c.confirm.cells for c in costs)
        means = [math.fsum(s.values()) / len(s) for t in a.targets if (s := scores[of.variant, t, a.setting])]
        rows.append(
            FamilyRow(
                family_of(of.variant),
                of.variant,
                1 + sum(other.rank < of.rank for other in a.rows),
                of,
                math.fsum(means) / len(means),
                sum(c.search.trials for c in costs),
                math.fsum(c.search.passes for c in costs),
                math.fsum(c.confirm.passes for c in costs) / cells if cells else math.nan,
            )
        )
    return sorted(rows, key=lambda r: (r.of.rank, r.passes))
