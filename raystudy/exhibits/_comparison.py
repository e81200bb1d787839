"""A table of a paper with our numbers in it: its rows are methods, its columns are data sets and their averages.

Our number stands in each place, and below it the published one with the difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from raystudy.analysis.compare import main_table_scores, paired_by_seed
from raystudy.analysis.numbers import Numbers, Role, Score
from raystudy.analysis.stats import Interval, interval
from raystudy.analysis.table import MISSING, Cell, Column, Note, Table, listed, percent
from raystudy.analysis.tables import ABSENT, BELOW, BOUND, CONTROL, FLOOR, MARK, MORE_DATA, PART, TWO_METRICS
from raystudy.catalogue import catalogue
from raystudy.exhibits import ExhibitResults
from raystudy.exhibits._papers import Published, PublishedNumber

__all__ = [
    "Head",
    "Row",
    "ablations",
    "by_seed",
    "caption",
    "column_scores",
    "columns",
    "columns_of_all_suites",
    "comparison_table",
    "gain",
    "mean",
]

BASE = "single_task"  # what passes are counted in


@dataclass(frozen=True)
class Head:
    """What a column measures.

    Attributes:
        title: as the paper has it.
        targets: one task, or the tasks that the column is the mean of.
        setting: the data setting, as ``str(Setting)``.
        settings: the setting of each of the targets, where a mean is over targets with settings of their own.
        metric: another metric than the tasks' own; only test scores have one.
        group: the block of columns that stay together where a table is too wide for a page.
        published: what names the column in the file of the paper's numbers; empty if the paper has no such column.
        second_published: the same for the numbers in the second metric of a task that has one.
    """

    title: str
    targets: tuple[str, ...]
    setting: str = "all"
    split: Literal["test", "dev"] = "test"
    metric: str = ""
    group: str = ""
    published: Mapping[str, str] = field(default_factory=dict, hash=False)
    second_published: Mapping[str, str] = field(default_factory=dict, hash=False)
    settings: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """The target and the setting of everything that the column is the mean of."""
        return tuple(zip(self.targets, self.settings or (self.setting,) * len(self.targets), strict=True))


@dataclass(frozen=True)
class Row:
    """A method, or with `minus` its gain over another one, seed by seed.

    `published` is what names the row in the file of the paper's numbers; it is empty if the paper has no such row.
    `settings` are the paper's names of settings of columns -> what it calls them in this row, where that is another.
    """

    variant: str
    title: str
    published: Mapping[str, str] = field(default_factory=dict, hash=False)
    minus: str = ""
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)

    def names(self, published: Mapping[str, str]) -> dict[str, str]:
        """What names the number of this row in a column that is itself named by `published`."""
        names = {**published, **self.published}
        if names.get("setting") in self.settings:
            names["setting"] = self.settings[names["setting"]]
        return names


# ---------------------------------------------------------------------------------------------------------------------
# columns


def columns(
    results: ExhibitResults,
    suite: str,
    *,
    setting: str = "all",
    split: Literal["test", "dev"] = "test",
    average: bool = True,
    published: Mapping[str, str] | None = None,
) -> list[Head]:
    """A column for each target of a suite, and one for their average where there are several.

    Args:
        published: what names these columns in the file of the paper's numbers beside the data set: setting, metric.
    """
    paper, targets, shared_keys = results.exhibit.paper, results.targets()[suite], published or {}
    heads = [
        Head(
            paper.short(t),
            (t,),
            setting,
            split,
            group=results.heading(suite),
            published={"dataset": paper.dataset(t), **shared_keys} if paper.dataset(t) else {},
        )
        for t in targets
    ]
    if average and len(targets) > 1:
        published_keys = {"dataset": paper.suites[suite][1], **shared_keys} if suite in paper.suites else {}
        heads.append(Head("Avg.", targets, setting, split, group=results.heading(suite), published=published_keys))
    if split == "test" and "hypenet_lex" in targets:
        # its majority class is four fifths of the data, which accuracy rewards
        macro = Head(f"{paper.short('hypenet_lex')}, macro-F1", ("hypenet_lex",), setting, metric="macro_f1")
        heads.append(replace(macro, group=results.heading(suite)))
    return heads


def columns_of_all_suites(results: ExhibitResults, published: Mapping[str, str]) -> list[Head]:
    """A column for each target of all suites, one for the average of them all, then those with another metric."""
    groups = results.targets()
    all_heads = [h for suite in groups for h in columns(results, suite, average=False, published=published)]
    heads = [h for h in all_heads if not h.metric]
    all_targets = tuple(t for targets in groups.values() for t in targets)
    if len(all_targets) > 1:
        heads.append(Head("Avg.", all_targets, published={"dataset": "Avg.", **published}))
    heads += [h for h in all_heads if h.metric]
    # a page holds two blocks: the suites before the last one, and that with the average
    *first, last = map(results.heading, groups)
    return [replace(h, group=listed(first) if h.group in first else f"{last} and average") for h in heads]


# ---------------------------------------------------------------------------------------------------------------------
# numbers


def by_seed(n: Numbers, head: Head, variant: str) -> dict[int, float]:
    """Seed -> score. Of several targets it is their mean, for the seeds that all of them have finished."""
    scores_of_targets: list[dict[int, float]] = []
    for target, setting in head.places:
        values = {}
        for r in n.runs:
            if r.phase == "confirm" and (r.variant, r.target, r.setting) == (variant, target, setting):
                primary_score = r.dev if head.split == "dev" else r.test
                values[r.seed] = r.tests.get(head.metric, math.nan) if head.metric else primary_score
        scores_of_targets.append({seed: x for seed, x in values.items() if not math.isnan(x)})
    common_seeds = sorted(set.intersection(*map(set, scores_of_targets))) if scores_of_targets else []
    return {seed: math.fsum(f[seed] for f in scores_of_targets) / len(scores_of_targets) for seed in common_seeds}


def mean(n: Numbers, head: Head, variant: str) -> Interval:
    """The mean over the seeds with its interval, whose n is 0 where nothing has finished."""
    return interval(list(by_seed(n, head, variant).values()))


def gain(n: Numbers, head: Head, variant: str, minus: str) -> Interval:
    """How much more `variant` reaches than the variant `minus`, over the seeds that both have finished."""
    return paired_by_seed(by_seed(n, head, variant), by_seed(n, head, minus)).interval


def column_scores(n: Numbers, heads: Sequence[Head]) -> dict[tuple[str, int], Score]:
    """(variant, column) -> score, with the best of the column, what is tied with it and what is below a floor."""
    places = tuple(map(str, range(len(heads))))
    design = replace(n.design, targets=places, settings=("",), trained=())
    test_scores = {
        (m.variant, str(i), ""): seeds
        for m in design.methods
        for i, head in enumerate(heads)
        if (seeds := by_seed(n, head, m.variant))
    }
    return {(s.variant, int(s.target)): s for s in main_table_scores(test_scores, design, {})}


# ---------------------------------------------------------------------------------------------------------------------
# the table


def caption(results: ExhibitResults, what: str, split: str = "test", measure: str = "accuracy") -> str:
    """What a table shows, and what limits every number in it."""
    return (
        f"{what}: {split} {measure} × 100, mean ± half-width of the 95 % t-interval (number of seeds). "
        f"{results.numbers.design.conditions}"
    )


def ablations(rows: Sequence[Row]) -> Callable[[ExhibitResults], list[Table]]:
    """The one table of an exhibit whose rows are variants of one method, over the tasks of all its suites."""

    def tables(results: ExhibitResults) -> list[Table]:
        heads = columns_of_all_suites(results, {"plm": results.exhibit.paper.encoder})
        what = caption(results, results.exhibit.title)
        return [comparison_table(results.exhibit.stem, what, rows, heads, results.numbers, results.published)]

    return tables


def comparison_table(
    name: str,
    what: str,
    rows: Sequence[Row],
    heads: Sequence[Head],
    n: Numbers,
    published: Published,
    notes: Sequence[str] = (),
) -> Table:
    """A table with our values and, below each, the published number with the difference to it, all x 100.

    Args:
        what: the caption.
        rows: the rows as the paper has them; a rule sets the study's other rows apart, baselines and controls first,
            then floors.
        published: the paper's numbers; ``Published()`` where none should stand beside ours.
        notes: what this table's reader must know.
    """
    scores = column_scores(n, heads)
    variants_of_rows = {r.variant for r in rows}
    other_rows = [Row(m.variant, m.title) for m in n.design.methods if m.variant not in variants_of_rows]
    numbers: dict[tuple[int, int], PublishedNumber] = {}
    lines = []
    left_out = {(target, setting) for target, setting, _ in n.design.left_out}
    out_of_reach = {entry[:3] for entry in n.design.out_of_reach}
    for y, row in enumerate((*rows, *other_rows)):
        cells = [Cell(row.title, marks=MARK.get(_role(n, row.variant), ""))]
        for x, head in enumerate(heads):
            if row.published and head.published:
                number = published.find(**row.names(head.published))
                if number is not None:
                    numbers[y, x] = number
            published_value = numbers[y, x].value if (y, x) in numbers else None
            named_twice = bool(row.published and head.second_published)
            second = published.find(**row.names(head.second_published)) if named_twice else None
            ours = _ours(row, head, scores.get((row.variant, x)), n)
            if ours.value is None and any(x in left_out or (row.variant, *x) in out_of_reach for x in head.places):
                ours = replace(ours, marks=ABSENT)
            cells.append(
                replace(
                    ours,
                    published=published_value,
                    second_published=None if second is None or published_value is None else second.value,
                )
            )
        lines.append((*cells, Cell(None if row.minus else _cost(n, row.variant, heads))))
    roles = [0] * len(rows) + [1 + (_role(n, r.variant) == "floor") for r in other_rows]
    cols = (
        Column("method", "method"),
        *(Column(h.title, h.title, "estimate", group=h.group, short=h.title) for h in heads),
        Column("passes", "passes", "number", 1),
    )
    marks_of_paper = _marks(numbers, [*rows, *other_rows], heads)
    table_notes = (*(Note(text) for text in notes), *_notes(n, heads, lines, published), *marks_of_paper)
    breaks = tuple(i for i in range(1, len(roles)) if roles[i] != roles[i - 1])
    return Table(name, what, cols, tuple(lines), table_notes, breaks)


def _role(n: Numbers, variant: str) -> Role:
    roles = {m.variant: m.role for m in n.design.methods}
    return roles[variant] if variant in roles else catalogue().variant(variant).role


def _ours(row: Row, head: Head, s: Score | None, n: Numbers) -> Cell:
    if row.minus:
        return percent(gain(n, head, row.variant, row.minus))
    if s is None or not s.seeds:
        return Cell()
    marks = BELOW * bool(s.below) + PART * (s.summary.n < n.design.seeds)
    return replace(percent(s.summary, _second(row, head, n)), best=s.best, tied=s.tied and not s.best, marks=marks)


def _second(row: Row, head: Head, n: Numbers) -> Interval | None:
    """The same mean in the second metric of the column's task, where it has one: tests of one task have two metrics."""
    if head.metric or head.split == "dev" or len(head.targets) > 1:
        return None
    metrics = {p.second_metric for p in n.places if p.target == head.targets[0] and p.second_metric}
    return mean(n, replace(head, metric=metrics.pop()), row.variant) if metrics else None


def _cost(n: Numbers, variant: str, heads: Sequence[Head]) -> float | None:
    """The passes behind one training of `variant` over the table's targets, as a multiple of plain fine-tuning's."""
    targets = {t for h in heads for t in h.targets}

    def passes(v: str) -> float:
        of_v = [c.confirm for c in n.costs if c.variant == v and c.target in targets]
        cells = sum(s.cells for s in of_v)
        return math.fsum(s.passes for s in of_v) / cells if cells else 0.0

    own, base = passes(variant), passes(BASE)
    return own / base if own and base and not math.isnan(own / base) else None


def _marks(
    numbers: Mapping[tuple[int, int], PublishedNumber], rows: Sequence[Row], heads: Sequence[Head]
) -> Iterable[Note]:
    """A note for each mark that the paper prints beside its numbers, such as that of a significance test."""
    columns_of_mark: dict[tuple[str, str], list[str]] = {}
    for (y, x), number in numbers.items():
        if number.mark:
            columns_of_mark.setdefault((number.mark, rows[y].title), []).append(heads[x].title)
    for (mark, row), places in columns_of_mark.items():
        yield Note(f"The paper marks its {row} with {mark} on {listed(places)}.")


def _notes(n: Numbers, heads: Sequence[Head], lines: Sequence[Sequence[Cell]], published: Published) -> Iterable[Note]:
    numbers = [cell for line in lines for cell in line[1:-1]]
    marks = {m for line in lines for cell in line for m in cell.marks}
    if any(cell.published is not None for cell in numbers):
        yield Note("Below each value: the published number and, in brackets, ours minus the published one.")
    if any(len(h.targets) > 1 for h in heads):
        own = "; the published averages are the paper's own" if published.file else ""
        yield Note(f"Our averages are means over the data sets seed by seed, then over the seeds{own}.")
    unpublished_columns = [h.title for h in heads if not h.published]
    if published.file and unpublished_columns and len(unpublished_columns) < len(heads):
        yield Note(f"The paper has no column {listed(unpublished_columns)}.")
    if any(cell.second is not None for cell in numbers):
        yield Note(TWO_METRICS)
    if any(cell.best for cell in numbers):
        yield Note("Bold: our best mean of the column, floors apart. It says nothing about significance.")
    if any(line[-1].value is not None for line in lines):
        yield Note(
            "Passes: the forward and backward passes over a batch behind one training, search apart, as a multiple of "
            f"{n.design.title(BASE)}'s; those that several targets share count for each of them."
        )
    if BELOW in marks:
        floors = listed(m.title for m in n.design.methods if m.role == "floor")
        yield Note(f"below a floor of its column ({floors}), which needs no fine-tuning.", BELOW)
    if CONTROL in marks:
        yield Note("control, not in the paper: how much more training alone would have given.", CONTROL)
    if FLOOR in marks:
        yield Note("floor, not in the paper: no transfer and no fine-tuning.", FLOOR)
    if BOUND in marks:
        yield Note(MORE_DATA, BOUND)
    if PART in marks:
        yield Note(f"fewer finished seeds than the {n.design.seeds} planned.", PART)
    if ABSENT in marks:
        single = [(h, t, s) for h in heads for t, s in h.places if len(h.places) == 1]
        everyone = {(t, s): why for t, s, why in n.design.left_out}
        reasons = [f"{h.title}: {everyone[t, s]}" for h, t, s in single if (t, s) in everyone]
        reasons += [
            f"{n.design.title(v)}, {h.title}: {why}"
            for v, target, setting, why in n.design.out_of_reach
            for h, t, s in single
            if (t, s) == (target, setting)
        ]
        yield Note(f"not enough data: {'; '.join(dict.fromkeys(reasons))}.", ABSENT)
    if any(cell.value is None and not cell.marks for cell in numbers):
        yield Note(f"{MISSING} has no finished run here.")
