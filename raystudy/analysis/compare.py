"""Compares methods with the baseline and with the best of their column: which tests are made, over which family."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raystudy.analysis.frame import Key
from raystudy.analysis.numbers import AllTests, Comparison, Design, Score
from raystudy.analysis.stats import (
    ALPHA,
    BOOTSTRAP_SEEDS,
    MOST_EXAMPLES,
    MOST_SEEDS,
    Paired,
    TwoWay,
    Verdict,
    both,
    crossed_bootstrap,
    deciding_p,
    holm,
    interval,
    mcnemar,
    paired,
    two_way,
    verdict,
)
from raystudy.analysis.table import Column, number

__all__ = ["all_tests", "comparisons", "main_table_scores", "needs", "paired_by_seed", "raw_p"]

K = TypeVar("K", bound=Hashable)

_PRINTED = Column("", "", "estimate")


def paired_by_seed(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Paired:
    """Compare two methods' scores of seeds, over the seeds that both have finished."""
    both_have = sorted(ours.keys() & theirs.keys())
    return paired([ours[s] for s in both_have], [theirs[s] for s in both_have])


def all_tests(
    pairs: Mapping[K, Paired], rope: float, examples: Mapping[K, ArrayLike] | None = None, family: Iterable[K] = ()
) -> dict[K, AllTests]:
    """Every test of each pair of methods, with Holm's correction over a family.

    Args:
        pairs: what is compared -> the comparison over seeds.
        rope: the smallest difference that matters.
        examples: what is compared -> (seeds, examples) differences (`stats.two_way`), where predictions are known.
        family: the comparisons that are tested; of others the numbers are told, and they have no corrected p.
    """
    tested = list(family)
    crossed = {k: two_way(d) for k, d in (examples or {}).items() if k in pairs}
    of_family = {k: crossed.get(k) for k in tested}
    seeds_p = dict(zip(tested, holm([pairs[k].p for k in tested]).tolist(), strict=True))
    examples_p = _corrected({k: two.p if two is not None else math.nan for k, two in of_family.items()})
    p = _corrected({k: raw_p(pairs[k], two) for k, two in of_family.items()})
    out = {}
    for k, pair in pairs.items():
        two, raw = crossed.get(k), (examples or {}).get(k)
        _, low, high = (pair.n, pair.low, pair.high) if two is None else both(pair, two)
        bootstrap, exact = _beside(two, raw)
        out[k] = AllTests(
            pair=pair,
            holm_p=seeds_p.get(k, math.nan),
            verdict=verdict(pair, p.get(k, math.nan), rope, family=len(tested), examples=two),
            examples=two if k in of_family else None,
            examples_p=examples_p.get(k) if k in of_family and two is not None and not math.isnan(two.p) else None,
            p=p.get(k, math.nan),
            low=low,
            high=high,
            bootstrap=bootstrap,
            mcnemar=exact,
        )
    return out


def _corrected(p: Mapping[K, float]) -> dict[K, float]:
    return dict(zip(p, holm(list(p.values())).tolist(), strict=True))


def raw_p(pair: Paired, two: TwoWay | None) -> float:
    """The p that a verdict rests on, before any correction (`stats.deciding_p`); nan where nothing is decided."""
    if two is None:
        return float(deciding_p(pair.n, pair.p, None))
    return float(deciding_p(min(pair.n, two.seeds), pair.p, two.p))


def _beside(two: TwoWay | None, raw: ArrayLike | None) -> tuple[tuple[float, float] | None, float | None]:
    """(crossed bootstrap, exact McNemar p) where there are seeds enough for the one, and few enough for the other."""
    if two is None or raw is None:
        return None, None
    differences = np.asarray(raw, dtype=np.float64)
    bootstrap = crossed_bootstrap(differences) if two.seeds >= BOOTSTRAP_SEEDS else None
    of_one = two.seeds == 1 and bool(np.isin(differences, (-1.0, 0.0, 1.0)).all())
    return bootstrap, mcnemar(differences[0]) if of_one else None


def needs(found: Verdict, examples: TwoWay | None) -> str:
    """How much a decision would take: ``about 12 seeds``, ``about 12 seeds and 900 test examples (no number ...)``.

    Args:
        found: an undecided verdict whose `seeds` are known.
        examples: the two-way test behind it.
    """
    seeds, (with_seeds, with_examples) = found.seeds, found.with_examples
    if examples is None or math.isnan(with_examples):
        return "more than 1000 seeds" if math.isinf(seeds) else f"about {seeds:.0f} seeds"
    if math.isinf(with_examples):
        wanted = f"more than {MOST_SEEDS} seeds or {MOST_EXAMPLES:,} test examples"
        return wanted if math.isinf(seeds) else f"about {seeds:.0f} seeds"
    together = f"{with_seeds:.0f} seeds and {with_examples:,.0f} test examples"
    if math.isinf(seeds):
        return f"about {together} (no number of seeds is enough with {examples.examples:,} examples)"
    return f"about {seeds:.0f} seeds" + (f", or {together}" if seeds > 2 * with_seeds else "")


def comparisons(
    test_scores: Mapping[Key, Mapping[int, float]], design: Design, examples: Mapping[Key, ArrayLike] | None = None
) -> list[Comparison]:
    """Compare every variant with the baseline, over the seeds that both have finished.

    The family of Holm's correction is every variant but floors and upper bounds, on every target in every setting,
    whether it has finished or not: a number never gets smaller because a cell failed. Empty when the baseline is not in
    the study.

    Args:
        test_scores: the scores of every seed, from `frame.scores_by_seed`.
        examples: cell -> (seeds, examples) differences to the baseline (`stats.two_way`), where known.
    """
    base = design.baseline
    if not design.compared:
        return []
    pairs = {
        cell: paired_by_seed(test_scores.get(cell, {}), test_scores.get((base, *cell[1:]), {}))
        for cell in design.cells
        if cell[0] != base
    }
    family = [cell for cell in pairs if design.role(cell[0]) not in ("floor", "bound")]
    found = all_tests(pairs, design.rope, examples, family)
    return [Comparison(*cell, tested=cell in {*family}, **vars(t)) for cell, t in found.items()]


def main_table_scores(
    test_scores: Mapping[Key, Mapping[int, float]],
    design: Design,
    failed_runs: Mapping[Key, int],
    examples: Mapping[Key, ArrayLike] | None = None,
) -> list[Score]:
    """The cells of the main table, column by column.

    Bold is the best mean above the floors, among the cells with the most seeds of the column (a mean over the lucky
    half of the seeds does not win); means that print alike are best together.
    """
    out: list[Score] = []
    planned = {*design.cells}
    for target, setting in design.pairs:
        column = []
        for m in design.methods:
            cell = (m.variant, target, setting)
            if cell not in planned:
                continue
            by_seed = dict(sorted(test_scores.get(cell, {}).items()))
            values = tuple(by_seed.values())
            column.append(Score(*cell, tuple(by_seed), values, interval(values), failed_runs.get(cell, 0)))
        out += _tied(_below(_best(column, design), design), design, examples or {})
    return out


def _floor(s: Score, design: Design) -> bool:
    return design.role(s.variant) == "floor"


def _reference(s: Score, design: Design) -> bool:
    """Whether a row is there for comparison, with less than a training or with more data: it is never the best."""
    return design.role(s.variant) in ("floor", "bound")


def _best(column: Sequence[Score], design: Design) -> list[Score]:
    rivals = [s for s in column if not _reference(s, design) and s.seeds]
    most = max((len(s.seeds) for s in rivals), default=0)
    full = {s.variant: number(100 * s.summary.mean, _PRINTED) for s in rivals if len(s.seeds) == most}
    top = max(full.values(), key=float, default="")
    return [replace(s, best=full.get(s.variant) == top and bool(top)) for s in column]


def _below(column: Sequence[Score], design: Design) -> list[Score]:
    floors = [s for s in column if _floor(s, design) and s.seeds]
    if not floors:
        return list(column)
    top = max(floors, key=lambda s: s.summary.mean)
    return [
        replace(s, below=top.variant, below_mean=top.summary.mean)
        if s.seeds and not _floor(s, design) and s.summary.mean < top.summary.mean
        else s
        for s in column
    ]


def _between(one: Score, other: Score, baseline: str, examples: Mapping[Key, ArrayLike]) -> NDArray[np.float64] | None:
    """(seeds, examples) differences of two methods, from those of each to the baseline; None where one is not known."""
    sides = []
    for s in (one, other):
        known = examples.get((s.variant, s.target, s.setting))
        if s.variant != baseline and known is None:
            return None
        sides.append(np.zeros(()) if known is None else np.asarray(known, dtype=np.float64))
    if sides[0].ndim and sides[1].ndim and sides[0].shape != sides[1].shape:
        return None
    difference: NDArray[np.float64] = sides[0] - sides[1]
    return difference


def _tied(column: Sequence[Score], design: Design, examples: Mapping[Key, ArrayLike]) -> list[Score]:
    """Mark the means that cannot be told from the best one, with Holm's correction.

    By the test that a verdict rests on, where the predictions of both were compared with the baseline's, and else by
    the paired t-test over seeds.
    """
    best = max((s for s in column if s.best), key=lambda s: s.summary.mean, default=None)
    if best is None:
        return list(column)
    theirs = dict(zip(best.seeds, best.values, strict=True))
    rivals = [s for s in column if s is not best and not _reference(s, design) and s.seeds]
    raw = {}
    for s in rivals:
        pair = paired_by_seed(dict(zip(s.seeds, s.values, strict=True)), theirs)
        d = _between(s, best, design.baseline, examples)
        raw[s.variant] = pair.p if d is None or len(d) != pair.n else raw_p(pair, two_way(d))
    p = _corrected(raw)
    return [
        replace(s, best_p=p[s.variant], tied=not p[s.variant] < ALPHA) if s.variant in p else replace(s, tied=s.best)
        for s in column
    ]
