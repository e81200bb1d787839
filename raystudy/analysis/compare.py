"""Compares methods with the baseline and with the best of their column: which tests are made, over which family."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from numpy.typing import ArrayLike

from raystudy.analysis.frame import Key
from raystudy.analysis.numbers import Comparison, Design, Score
from raystudy.analysis.stats import ALPHA, holm, interval, paired, two_way, verdict
from raystudy.analysis.table import Column, number

__all__ = ["comparisons", "main_table_scores"]

_PRINTED = Column("", "", "estimate")


def comparisons(
    test_scores: Mapping[Key, Mapping[int, float]], design: Design, examples: Mapping[Key, ArrayLike] | None = None
) -> list[Comparison]:
    """Compare every variant with the baseline, over the seeds that both have finished.

    The family of Holm's correction is every variant but floors and upper bounds, on every target in every setting,
    whether it has finished or not: a number never gets smaller because a cell failed. Empty when the baseline is not in
    the study.

    Args:
        test_scores: the scores of every seed, from `frame.scores_by_seed`.
        examples: cell -> (seeds, examples) differences of correctness to the baseline (`stats.two_way`), where known.
    """
    base = design.baseline
    if not design.compared:
        return []
    cells = [cell for cell in design.cells if cell[0] != base]
    pairs = []
    for v, target, setting in cells:
        ours, theirs = test_scores.get((v, target, setting), {}), test_scores.get((base, target, setting), {})
        both = sorted(ours.keys() & theirs.keys())
        pairs.append(paired([ours[s] for s in both], [theirs[s] for s in both]))
    tested_cells = [i for i, cell in enumerate(cells) if design.role(cell[0]) not in ("floor", "bound")]
    holm_p = dict(zip(tested_cells, holm([pairs[i].p for i in tested_cells]).tolist(), strict=True))
    two_way_tests = {i: two_way(examples[cells[i]]) for i in tested_cells if cells[i] in examples} if examples else {}
    raw = [two_way_tests[i].p if i in two_way_tests else math.nan for i in tested_cells]
    two_p = (
        {i: p for i, p in zip(tested_cells, holm(raw).tolist(), strict=True) if not math.isnan(p)}
        if two_way_tests
        else {}
    )
    return [
        Comparison(
            *cell,
            pair,
            i in holm_p,
            holm_p.get(i, math.nan),
            verdict(
                pair,
                holm_p.get(i, math.nan),
                design.rope,
                family=len(tested_cells),
                examples_holm_p=two_p.get(i),
            ),
            two_way_tests.get(i),
            two_p.get(i),
        )
        for i, (cell, pair) in enumerate(zip(cells, pairs, strict=True))
    ]


def main_table_scores(
    test_scores: Mapping[Key, Mapping[int, float]], design: Design, failed_runs: Mapping[Key, int]
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
        out += _tied(_below(_best(column, design), design), design)
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


def _tied(column: Sequence[Score], design: Design) -> list[Score]:
    """Mark the means that cannot be told from the best one, by paired t-tests with Holm's correction."""
    best = max((s for s in column if s.best), key=lambda s: s.summary.mean, default=None)
    if best is None:
        return list(column)
    theirs = dict(zip(best.seeds, best.values, strict=True))
    rivals = [s for s in column if s is not best and not _reference(s, design) and s.seeds]
    raw = []
    for s in rivals:
        ours = dict(zip(s.seeds, s.values, strict=True))
        both = sorted(ours.keys() & theirs.keys())
        raw.append(paired([ours[i] for i in both], [theirs[i] for i in both]).p)
    p = {s.variant: float(x) for s, x in zip(rivals, holm(raw), strict=True)}
    return [
        replace(s, best_p=p[s.variant], tied=not p[s.variant] < ALPHA) if s.variant in p else replace(s, tied=s.best)
        for s in column
    ]
