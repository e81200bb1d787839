"""The tables of a report, filled from its numbers. Scores and differences are printed x 100, in points."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from raystudy.analysis.numbers import Design, Importance, Numbers, Search, SearchRow, TaskFacts
from raystudy.analysis.stats import MIN_PAIRS
from raystudy.analysis.table import MISSING, Cell, Column, Note, Table, changes, counted, listed, percent, place

__all__ = [
    "Importance",  # these three are what callers give to a report
    "SearchRow",
    "TaskFacts",
    "cells_table",
    "comparison_table",
    "configurations",
    "cost_table",
    "left_out",
    "main_table",
    "search_table",
    "space_table",
    "tasks_table",
    "trials_table",
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


def _method(design: Design, variant: str) -> Cell:
    return Cell(variant, design.title(variant), marks=MARK.get(design.role(variant), ""))


def _points(fraction: float) -> float | None:
    return None if math.isnan(fraction) else 100 * fraction


def main_table(n: Numbers) -> Table:
    """The test scores, with a row per variant and a column per target and setting: mean x 100 with interval and n.

    Floors and controls stand apart from the methods. A cell is `unsure` when its comparison with the baseline is
    undecided.
    """
    design = n.design
    undecided = {(c.variant, c.target, c.setting) for c in n.comparisons if c.tested and c.verdict.word == "undecided"}
    by_cell = {(s.variant, s.target, s.setting): s for s in n.scores}
    shown = _shown(design)
    rows = []
    for m in design.methods:
        row = [_method(design, m.variant)]
        for target, setting in shown:
            s = by_cell.get((m.variant, target, setting))
            if s is None:
                row.append(Cell(n=0, marks=ABSENT))
                continue
            count = s.summary.n
            row.append(
                replace(
                    percent(s.summary, s.second),
                    n=count,
                    best=s.best,
                    tied=s.tied and not s.best,
                    unsure=(m.variant, target, setting) in undecided and bool(count),
                    marks=BELOW * bool(s.below) + PART * (0 < count < design.seeds),
                )
            )
        rows.append(tuple(row))
    measured = sorted({p.metrics for p in n.places if p.metric})
    caption = (
        f"Test {measured[0] if len(measured) == 1 else 'scores'} × 100: mean ± half-width of the 95 % t-interval "
        f"(number of seeds). {design.conditions}"
    )
    by_setting = len(design.settings) > 1
    columns = [Column("variant", "method")]
    for target, setting in shown:
        group = _setting(setting) if by_setting else ""
        short = target if by_setting else ""
        columns.append(Column(f"{target} {setting}", place(target, setting), "estimate", group=group, short=short))
    roles = ["" if m.role in ("method", "baseline") else m.role for m in design.methods]
    notes = tuple(_main_notes(n, rows))
    return Table("main", caption, tuple(columns), tuple(rows), notes, changes(roles))


def left_out(design: Design) -> str:
    """What the data cannot serve, with the reason: ``mrpc (all data): its data are not at hand``."""
    everyone = [f"{place(target, setting)}: {why}" for target, setting, why in design.left_out]
    single = [f"{design.title(v)} on {place(t, s)}: {why}" for v, t, s, why in design.out_of_reach]
    return "; ".join([*everyone, *single])


def _shown(design: Design) -> list[tuple[str, str]]:
    """(target, setting) of every column: what was trained, and among it what the data cannot serve."""
    left_out = [(target, setting) for target, setting, _ in design.left_out]
    pairs = dict.fromkeys([*design.pairs, *left_out])
    targets, settings = ([*dict.fromkeys(names)] for names in zip(*pairs, strict=True))
    settings = [s for s in design.settings if s in settings] + [s for s in settings if s not in design.settings]
    return sorted(pairs, key=lambda pair: (targets.index(pair[0]), settings.index(pair[1])))


def _setting(setting: str) -> str:
    return "all data" if setting == "all" else setting


def _main_notes(n: Numbers, rows: Sequence[Sequence[Cell]]) -> Iterable[Note]:
    design = n.design
    numbers = [cell for row in rows for cell in row[1:]]
    marks = {m for row in rows for cell in row for m in cell.marks}
    metrics = {p.target: p.metrics for p in n.places if p.metric}
    if len(set(metrics.values())) > 1:
        yield Note("Metrics: " + ", ".join(f"{t}: {metrics[t]}" for t in design.targets if t in metrics) + ".")
    sizes: dict[str, set[int]] = {}
    for p in n.places:
        sizes.setdefault(p.target, set()).update(p.tests)
    size_texts = [f"{t}: {'/'.join(map(str, sorted(sizes[t])))}" for t in design.targets if sizes[t]]
    if size_texts:
        yield Note(f"Test examples: {', '.join(size_texts)}.")
    if any(cell.second is not None for cell in numbers):
        yield Note(TWO_METRICS)
    if any(cell.best for cell in numbers):
        yield Note("Bold: the best mean of the column, floors apart. It says nothing about significance.")
    if BELOW in marks:
        names = [m.title for m in design.methods if m.role == "floor"]
        yield Note(f"below a floor of its column ({listed(names)}), which needs no fine-tuning.", BELOW)
    if CONTROL in marks:
        yield Note("control: says how much of a gain more training alone would have given.", CONTROL)
    if FLOOR in marks:
        yield Note("floor: no transfer and no fine-tuning.", FLOOR)
    if BOUND in marks:
        yield Note(MORE_DATA, BOUND)
    if PART in marks:
        yield Note(f"fewer finished seeds than the {design.seeds} planned.", PART)
    if any(cell.n == 1 for cell in numbers):
        yield Note("A mean over one seed has no interval: a spread takes at least two.")
    if design.left_out or design.out_of_reach:
        yield Note(f"not enough data: {left_out(design)}.", ABSENT)
    empty = sum(not cell.n and ABSENT not in cell.marks for cell in numbers)
    if empty:
        yield Note(f"{MISSING} has no finished run: {empty} of {counted(len(numbers), 'entry', 'entries')}.")
    bad = sum(s.failed for s in n.scores)
    if bad:
        yield Note(f"{counted(bad, 'run')} failed and {'is' if bad == 1 else 'are'} in no mean.")
    yield from map(Note, n.cautions)


# ---------------------------------------------------------------------------------------------------------------------
# comparison with the baseline


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
                _method(design, c.variant),
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


# ---------------------------------------------------------------------------------------------------------------------
# search


def search_table(n: Numbers) -> Table:
    """For every arm and target, trial 0 against the winner on dev, and the settings in which the two differ."""
    columns = (
        Column("variant", "method"),
        Column("target", "target"),
        Column("setting", "setting"),
        Column("trials", "trials", "count"),
        Column("pruned", "pruned", "count"),
        Column("failed", "failed", "count"),
        Column("seeds", "seeds", "count"),
        Column("paper_dev", "dev, trial 0", "number"),
        Column("winner_dev", "dev, winner", "number"),
        Column("dev_examples", "dev examples", "count"),
        Column("error", "standard error", "number"),
        Column("within", "trials within it", "count"),
        Column("winner", "winner", "count"),
        Column("updates", "updates", "count"),
        Column("passes", "passes", "number"),
        Column("seconds", "seconds", "number"),
        Column("changes", "winner's settings that differ from trial 0"),
    )
    rows = []
    for s in n.searches:
        states = Counter(t.state for t in s.trials)
        rows.append(
            (
                _method(n.design, s.variant),
                Cell(s.target),
                Cell(s.setting),
                Cell(len(s.trials)),
                Cell(states["pruned"]),
                Cell(states["failed"]),
                Cell(max(t.seeds for t in s.trials)),
                Cell(_points(s.paper.dev) if s.paper else None),
                Cell(_points(s.winner.dev) if s.winner else None),
                Cell(s.dev_examples or None),
                Cell(_points(s.error)),
                Cell(s.within or None),
                Cell(s.winner.number if s.winner else None),
                Cell(s.steps[-1].updates),
                Cell(s.steps[-1].passes),
                Cell(s.steps[-1].seconds),
                Cell(_changes(s) if s.winner else None),
            )
        )
    notes = (
        Note(
            "Trial 0 is the paper's settings (with what the study itself fixes). Dev scores × 100, means over the "
            "search seeds; the winner's is optimistic, because it was picked by it. Its test is in the main table."
        ),
        Note(
            "Dev examples: those that judged each cell of the search. Standard error: what so many leave in the "
            "winner's dev score; trials within it are the complete ones that are at most so much below the winner, "
            "itself among them."
        ),
    )
    breaks = changes([(s.target, s.setting) for s in n.searches])
    return Table("search", f"Search on dev. {n.design.conditions}", columns, tuple(rows), notes, breaks)


def space_table(n: Numbers) -> Table:
    """What the searches moved: a row per method and setting; data settings that search alike share their rows."""
    columns = (
        Column("variant", "method"),
        Column("setting", "setting"),
        Column("name", "searched"),
        Column("symbol", "symbol"),
        Column("range", "range"),
        Column("scale", "scale"),
        Column("paper", "paper"),
        Column("first", "trial 0"),
        Column("condition", "only when"),
        Column("source", "range from"),
    )
    alike: dict[tuple[str, ...], list[str]] = {}  # what is searched of a variant -> the data settings
    for s in n.spaces:
        source = "the study" if s.own else "the method's page"
        row = (s.arm.variant, s.name, s.symbol, s.range, s.scale, s.paper, s.first, s.condition, source)
        alike.setdefault(row, []).append(_setting(str(s.arm.setting)))
    rows = [
        (
            _method(n.design, variant),
            Cell(listed(settings)),
            *(Cell(x or None) for x in rest[:6]),
            *(Cell(x, x or MISSING) for x in rest[6:]),
        )
        for (variant, *rest), settings in alike.items()
    ]
    breaks = changes([row[0].value for row in rows])
    note = Note("Trial 0 has the paper's value, or the one that the study sets where that is no paper's.")
    return Table("space", "What was searched.", columns, tuple(rows), (note,), breaks)


def show(value: Any) -> str:
    """A setting's value as people write it."""
    if value is None:
        return MISSING
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _changes(search: Search) -> str:
    return (
        "; ".join(
            f"{name} {show(paper_value)} → {show(winner_value)}" for name, paper_value, winner_value in search.changes
        )
        or "none"
    )


def configurations(n: Numbers) -> list[Table]:
    """For every arm all its configurations: what was tried, what the paper says, how each did on every target."""
    arms: dict[tuple[str, str], list[Search]] = {}
    for s in n.searches:
        arms.setdefault((s.variant, s.setting), []).append(s)
    return [_configurations(n.design, variant, setting, group) for (variant, setting), group in arms.items()]


def _configurations(design: Design, variant: str, setting: str, group: Sequence[Search]) -> Table:
    names = sorted({name for s in group for name in s.searched})
    trials = {t.number: t for s in group for t in s.trials}
    on = {(s.target, t.number): t for s in group for t in s.trials}
    columns = (
        Column("trial", "trial"),
        Column("state", "state"),
        *(Column(name, name) for name in names),
        *(Column(f"dev {s.target}", f"dev, {s.target}", "number") for s in group),
        Column("updates", "updates", "count"),
        Column("passes", "passes", "number"),
        Column("seconds", "seconds", "number"),
    )
    rows = []
    for number, trial in sorted(trials.items()):
        here = [t for s in group if (t := on.get((s.target, number))) is not None]
        is_winner = any(t.winner for t in here)
        rows.append(
            (
                Cell(str(number), f"{number}{' (paper)' if number == 0 else ''}{' ★' if is_winner else ''}"),
                Cell(trial.state, unsure=trial.state != "complete"),
                *(Cell(show(trial.settings.get(name))) for name in names),
                *(
                    Cell(_points(t.dev), best=t.winner, unsure=t.state != "complete") if t else Cell()
                    for t in (on.get((s.target, number)) for s in group)
                ),
                Cell(sum(t.updates for t in here)),
                Cell(math.fsum(t.passes for t in here)),
                Cell(math.fsum(t.seconds for t in here)),
            )
        )
    caption = f"{design.title(variant)}, {_setting(setting)}: {counted(len(rows), 'configuration')}, dev × 100."
    notes = (Note("★ and bold: the winner of a target. Settings that no trial changed are left out."),)
    return Table(f"configurations_{variant}_{setting}", caption, columns, tuple(rows), notes)


def trials_table(n: Numbers) -> Table:
    """Every configuration on every target, one row each, for programs: settings as JSON, scores as fractions."""
    names = (
        "variant",
        "setting",
        "target",
        "trial",
        "state",
        "winner",
        "dev",
        "seeds",
        "updates",
        "passes",
        "seconds",
        "settings",
    )
    rows = [
        tuple(
            Cell(x)
            for x in (
                s.variant,
                s.setting,
                s.target,
                t.number,
                t.state,
                int(t.winner),
                t.dev,
                t.seeds,
                t.updates,
                t.passes,
                t.seconds,
                json.dumps(dict(t.settings), sort_keys=True, ensure_ascii=False),
            )
        )
        for s in n.searches
        for t in s.trials
    ]
    return Table("trials", "", tuple(Column(x, x) for x in names), tuple(rows))


# ---------------------------------------------------------------------------------------------------------------------
# cost, data, cells


def cost_table(n: Numbers) -> Table:
    """The trials, cells, updates, passes and seconds of every method on every target, search and confirm apart."""
    columns = (
        Column("variant", "method"),
        Column("target", "target"),
        Column("search_trials", "search trials", "count"),
        Column("search_runs", "search cells", "count"),
        Column("search_updates", "search updates", "count"),
        Column("search_passes", "search passes", "number"),
        Column("search_seconds", "search seconds", "number"),
        Column("confirm_runs", "confirm cells", "count"),
        Column("confirm_updates", "confirm updates", "count"),
        Column("confirm_passes", "confirm passes", "number"),
        Column("confirm_seconds", "confirm seconds", "number"),
        Column("stored_updates", "updates from the store", "count"),
        Column("stored_passes", "passes from the store", "number"),
        Column("saved_seconds", "seconds saved (estimate)", "number"),
    )
    rows = [
        (
            _method(n.design, c.variant),
            Cell(c.target),
            *(Cell(x) for x in (c.search.trials, c.search.cells, c.search.updates, c.search.passes, c.search.seconds)),
            *(Cell(x) for x in (c.confirm.cells, c.confirm.updates, c.confirm.passes, c.confirm.seconds)),
            Cell(c.stored_updates),
            Cell(c.stored_passes),
            Cell(c.saved_seconds),
        )
        for c in n.costs
    ]
    notes = [
        Note(
            "Trials: different configurations, all settings together. Updates: all that stand behind the results, also "
            "in stages that were answered from the store. Seconds: only what was run, failed cells included."
        ),
        Note(
            "Seconds saved: for each answer of the store, the mean time of the same kind of transfer where it ran; "
            f"{MISSING} where none ran in this study."
        ),
    ]
    return Table("cost", f"Cost. {n.design.conditions}", columns, tuple(rows), tuple(notes))


def tasks_table(tasks: Sequence[TaskFacts]) -> Table:
    """What is known of the data, with a row per task."""
    columns = (
        Column("task", "task"),
        Column("role", "role"),
        Column("form", "form"),
        Column("classes", "classes", "count"),
        *(Column(split, split, "count") for split in ("train", "dev", "test")),
        Column("metric", "metric"),
        Column("source", "source"),
        Column("licence", "licence"),
        Column("digest", "digest", "code"),
    )
    rows = [
        (
            Cell(t.name),
            Cell(t.role),
            Cell(t.form),
            Cell(t.classes or None),
            *(Cell(x) for x in (t.train, t.dev, t.test)),
            *(Cell(x) for x in (t.metric, t.source, t.licence, t.digest)),
        )
        for t in tasks
    ]
    notes = tuple(Note(f"{t.name}: {note}") for t in tasks for note in t.notes)
    return Table("data", "Data: examples per split, after the study's limits.", columns, tuple(rows), notes)


def cells_table(n: Numbers, *, searched: bool) -> Table:
    """Every cell with its id and its scores x 100; those of the search are there too if `searched`."""
    runs = [r for r in n.runs if searched or r.phase == "confirm"]
    columns = (
        Column("variant", "method"),
        Column("target", "target"),
        Column("setting", "setting"),
        Column("seed", "seed", "count"),
        *([Column("phase", "phase")] if searched else []),
        Column("status", "status"),
        Column("dev", "dev", "number"),
        Column("test", "test", "number"),
        Column("seconds", "seconds", "number"),
        Column("cell", "cell", "code"),
    )
    rows = [
        (
            Cell(r.variant, n.design.title(r.variant)),
            Cell(r.target),
            Cell(r.setting),
            Cell(r.seed),
            *([Cell(r.phase)] if searched else []),
            Cell(r.status, unsure=r.status == "failed"),
            Cell(_points(r.dev)),
            Cell(_points(r.test)),
            Cell(r.seconds),
            Cell(r.id),
        )
        for r in runs
    ]
    return Table("cells", "Every cell; dev and test × 100.", columns, tuple(rows))
