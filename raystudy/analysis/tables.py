"""What the tables of a report share: marks with their notes, names, points; and the table of the comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable

from raystudy.analysis.numbers import Design, Importance, Numbers, SearchRow, TaskFacts
from raystudy.analysis.stats import MIN_PAIRS
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
        *([Column("examples_holm_p", "two-way Holm p", "p", 3)] if with_examples else []),
        Column("verdict", "verdict"),
        Column("seeds_needed", "seeds needed"),
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
                *(Cell(100 * x) for x in (pair.mean, pair.low, pair.high)),
                Cell(pair.n),
                *(Cell(x) for x in (pair.p, c.holm_p, pair.flip_p, pair.flip_floor, pair.d_z)),
                *([Cell(c.examples_p)] if with_examples else []),
                Cell(c.verdict.word, unsure=c.verdict.word == "undecided")
                if c.tested
                else Cell(None, "not tested", unsure=True),
                needed if c.tested and not math.isnan(seeds) else Cell(),
            )
        )
    marks = {m for row in rows for cell in row for m in cell.marks}
    what = f"Difference to {design.baseline_title} in points, paired by seed, with the 95 % t-interval."
    notes = tuple(_comparison_notes(n, with_examples, marks))
    breaks = changes([(c.target, c.setting) for c in comparisons])
    return Table("comparison", f"{what} {design.conditions}", columns, tuple(rows), notes, breaks)


def _comparison_notes(n: Numbers, with_examples: bool, marks: set[str]) -> Iterable[Note]:
    family, rope = sum(c.tested for c in n.comparisons), f"{100 * n.design.rope:g}"
    yield Note(
        f"Holm's correction covers a family of m = {counted(family, 'comparison')}: all variants but the floors "
        "against the baseline, × targets × settings; a comparison without a p-value counts too."
    )
    yield Note(
        f"better, worse: Holm p < 0.05, the interval excludes 0, and the difference is at least {rope} "
        f"{'point' if rope == '1' else 'points'}. equivalent: the interval lies inside ±{rope}. "
        f"undecided: anything else, and always with fewer than {MIN_PAIRS} seeds"
        + (" unless the two-way test over seeds and examples is significant too." if with_examples else ".")
    )
    yield Note(
        "Seeds needed: for 80 % power at the effect seen, at the level of Holm's first step "
        f"(0.05 / {max(family, 1)}); for a difference below {rope}, until the interval would lie inside ±{rope}."
    )
    yield Note("The floor of the sign-flip test is the smallest p that this number of pairs can give.")
    if CONTROL in marks:
        yield Note("control.", CONTROL)
    if FLOOR in marks:
        yield Note("floor: shown, not tested.", FLOOR)
    if BOUND in marks:
        yield Note("upper bound, from more labelled data: shown, not tested.", BOUND)
