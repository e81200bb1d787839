"""What the tables of a report share: marks with their notes, names, points; and the table of the comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from raystudy.analysis.numbers import Comparison, Design, Importance, Numbers, SearchRow, TaskFacts
from raystudy.analysis.stats import BOOTSTRAP_SEEDS, FEWEST_SEEDS, MIN_PAIRS
from raystudy.analysis.table import Cell, Column, Note, Table, changes, counted

__all__ = [
    "Importance",  # these three are what callers give to a report
    "SearchRow",
    "TaskFacts",
    "comparison_table",
    "method_cell",
    "points",
]

BELOW, PART, CONTROL, FLOOR, ABSENT, BOUND = "†", "‡", "§", "¶", "×", "‖"
MARK = {"control": CONTROL, "floor": FLOOR, "bound": BOUND}
MORE_DATA = (
    "upper bound: trained on as many examples of the target as all tasks have together, which no other row has; it is "
    "in no comparison."
)
TWO_METRICS = (
    "Where a cell has two metrics (89.5/85.8), the first is the one that settings were chosen by and that is tested; "
    "each has its own half-width."
)


def method_cell(design: Design, variant: str) -> Cell:
    """The name of a method in a table, with the mark of its role."""
    return Cell(variant, design.title(variant), marks=MARK.get(design.role(variant), ""))


def points(fraction: float) -> float | None:
    """A fraction in points; None for nan."""
    return None if math.isnan(fraction) else 100 * fraction


def comparison_table(n: Numbers) -> Table:
    """Every comparison with the baseline, in points; floors are shown but not tested."""
    design, comparisons = n.design, n.comparisons
    with_examples = any(c.examples_p is not None for c in comparisons)
    with_one, with_bootstrap = (any(x is not None for x in of) for of in _beside(comparisons))
    columns = (
        Column("variant", "method"),
        Column("target", "target"),
        Column("setting", "setting"),
        Column("difference", "difference", "number", 2, signed=True),
        Column("low", "95 % from", "number", 2, signed=True),
        Column("high", "to", "number", 2, signed=True),
        Column("n", "pairs", "count"),
        Column("p", "t-test p", "p", 3),
        Column("holm_p", "Holm p", "p", 3),
        Column("flip_p", "sign-flip p", "p", 4),
        Column("flip_floor", "its floor", "p", 4),
        Column("d_z", "d_z", "number", 2, signed=True),
        *(
            [Column("examples_holm_p", "two-way Holm p", "p", 3), Column("deciding_p", "deciding p", "p", 3)]
            if with_examples
            else []
        ),
        *([Column("mcnemar", "McNemar p", "p", 3)] if with_one else []),
        *(
            [
                Column("bootstrap_low", "bootstrap from", "number", 2, signed=True),
                Column("bootstrap_high", "to", "number", 2, signed=True),
            ]
            if with_bootstrap
            else []
        ),
        Column("verdict", "verdict"),
        Column("seeds_needed", "seeds needed"),
        *([Column("needed_together", "or seeds × examples")] if with_examples else []),
    )
    rows = []
    for c in comparisons:
        pair, seeds = c.pair, c.verdict.seeds
        needed = Cell("inf", ">1000") if math.isinf(seeds) else Cell(f"{seeds:.0f}", f"≈{seeds:.0f}")
        rows.append(
            (
                method_cell(design, c.variant),
                Cell(c.target),
                Cell(c.setting),
                *(Cell(100 * x) for x in (pair.mean, c.low, c.high)),
                Cell(pair.n),
                *(Cell(x) for x in (pair.p, c.holm_p, pair.flip_p, pair.flip_floor, pair.d_z)),
                *([Cell(c.examples_p), Cell(c.p)] if with_examples else []),
                *([Cell(c.mcnemar)] if with_one else []),
                *(
                    [Cell(None if x is None else 100 * x) for x in c.bootstrap or (None, None)]
                    if with_bootstrap
                    else []
                ),
                Cell(c.verdict.word, unsure=c.verdict.word == "undecided")
                if c.tested
                else Cell(None, "not tested", unsure=True),
                needed if c.tested and not math.isnan(seeds) else Cell(),
                *([_needed_together(c)] if with_examples else []),
            )
        )
    marks = {m for row in rows for cell in row for m in cell.marks}
    interval = "95 % interval for new seeds and new test examples" if with_examples else "95 % t-interval"
    what = f"Difference to {design.baseline_title} in points, paired by seed, with the {interval}."
    notes = (*_comparison_notes(n, with_examples, marks), *_notes_beside(with_one, with_bootstrap))
    breaks = changes([(c.target, c.setting) for c in comparisons])
    return Table("comparison", f"{what} {design.conditions}", columns, tuple(rows), notes, breaks)


def _beside(comparisons: Sequence[Comparison]) -> tuple[list[object], list[object]]:
    """What stands beside the tests that decide: exact McNemar p of one seed, and intervals of a bootstrap of many."""
    return [c.mcnemar for c in comparisons], [c.bootstrap for c in comparisons]


def _needed_together(c: Comparison) -> Cell:
    seeds, examples = c.verdict.with_examples
    if not c.tested or math.isnan(examples):
        return Cell()
    return (
        Cell("inf", ">1000")
        if math.isinf(examples)
        else Cell(f"{seeds:.0f} × {examples:.0f}", f"≈{seeds:.0f} × {examples:,.0f}")
    )


def _notes_beside(with_one: bool, with_bootstrap: bool) -> Iterable[Note]:
    if with_one:
        yield Note(
            "McNemar p: exact, over the test examples of one pair of trainings. It is conditional on these trainings, "
            "says nothing of other seeds, and decides nothing."
        )
    if with_bootstrap:
        yield Note(
            f"Bootstrap: 95 % percentile interval, seeds and examples drawn anew; shown from {BOOTSTRAP_SEEDS} seeds "
            "on, below which it is too narrow. It decides nothing."
        )


def _comparison_notes(n: Numbers, with_examples: bool, marks: set[str]) -> Iterable[Note]:
    family, rope = sum(c.tested for c in n.comparisons), f"{100 * n.design.rope:g}"
    yield Note(
        f"Holm's correction covers a family of m = {counted(family, 'comparison')}: all variants but the floors "
        "against the baseline, × targets × settings; a comparison without a p-value counts too."
    )
    what, fewest = ("deciding p", FEWEST_SEEDS) if with_examples else ("Holm p", MIN_PAIRS)
    yield Note(
        f"better, worse: {what} < 0.05, the interval excludes 0, and the difference is at least {rope} "
        f"{'point' if rope == '1' else 'points'}. equivalent: the interval lies inside ±{rope}. "
        f"undecided: anything else, and always with fewer than {fewest} seeds."
    )
    if with_examples:
        yield Note(
            "Deciding p: the larger p of the two-way test (new seeds and new test examples) and of the t-test over "
            "seeds (new seeds, on this test set), with Holm's correction; the interval holds those of both. Where no "
            "predictions could be compared it is the t-test's, from 5 seeds on. The t-test, the sign-flip test and d_z "
            "are about this test set alone."
        )
    seeds = "Seeds needed, with these test examples" if with_examples else "Seeds needed"
    yield Note(
        f"{seeds}: for 80 % power at the effect seen, at the level of Holm's first step "
        f"(0.05 / {max(family, 1)}); for a difference below {rope}, until the interval would lie inside ±{rope}."
    )
    yield Note("The floor of the sign-flip test is the smallest p that this number of pairs can give.")
    if CONTROL in marks:
        yield Note("control.", CONTROL)
    if FLOOR in marks:
        yield Note("floor: shown, not tested.", FLOOR)
    if BOUND in marks:
        yield Note("upper bound, from more labelled data: shown, not tested.", BOUND)
