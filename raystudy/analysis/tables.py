"""Tables as data (`Table`), what fills them, and how they are written as Markdown and CSV.

A `Table` knows numbers, not layout: a cell holds its value in the table's units, its interval, n and marks. A renderer
reads only that, so another format (LaTeX, HTML) is one more function.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import pandas as pd
from numpy.typing import ArrayLike

from raystudy.analysis.frame import Key, scores_by_seed
from raystudy.analysis.stats import MIN_PAIRS, Paired, Verdict, holm, interval, paired, two_way, verdict
from raystudy.catalogue import catalogue
from raystudy.spec import Arm, Record, Setting, canonical
from raystudy.studyfile import Study

__all__ = [
    "MISSING",
    "Cell",
    "Column",
    "Comparison",
    "Note",
    "SearchRow",
    "Shortfall",
    "Table",
    "below_floors",
    "comparison_table",
    "comparisons",
    "conditions",
    "cost_table",
    "counted",
    "listed",
    "main_table",
    "place",
    "search_table",
    "to_csv",
    "to_markdown",
    "variants",
]

MISSING = "–"
BELOW, PART, CONTROL, FLOOR = "†", "‡", "§", "¶"


# ---------------------------------------------------------------------------------------------------------------------
# the neutral structure


@dataclass(frozen=True)
class Column:
    """`name` heads the column in CSV, `title` for a reader. An ``estimate`` is a mean with half-width and n."""

    name: str
    title: str
    kind: Literal["text", "count", "number", "p", "estimate"] = "text"
    digits: int = 1
    signed: bool = False


@dataclass(frozen=True)
class Cell:
    """One entry, in the table's units; `value` None = missing.

    Attributes:
        text: what a reader sees of a ``text`` cell, where that differs from the `value` that a program reads.
        half: half-width of the 95 % interval; None = it cannot be computed.
        marks: keys of the table's notes.
    """

    value: str | float | None = None
    text: str = ""
    half: float | None = None
    n: int | None = None
    best: bool = False
    marks: str = ""


@dataclass(frozen=True)
class Note:
    """A footnote; with a `mark` when cells point to it."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """Caption, columns, rows of one `Cell` per column, footnotes. `name` is the stem of its files."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[Note, ...] = ()


def _number(value: float, column: Column) -> str:
    if math.isinf(value):
        return "+∞" if value > 0 else "-∞"
    text = f"{value:{'+' if column.signed else ''}.{column.digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text  # no -0.0


def _shown(cell: Cell, column: Column) -> str:
    """The text of a cell without bold and marks."""
    if column.kind == "text":
        return cell.text or (MISSING if cell.value is None else str(cell.value))
    if cell.value is None or isinstance(cell.value, str) or math.isnan(cell.value):
        return MISSING
    if column.kind == "count":
        return f"{cell.value:.0f}"
    if column.kind == "p":
        least = 10.0**-column.digits
        return f"<{least:.{column.digits}f}" if cell.value < least else f"{cell.value:.{column.digits}f}"
    text = _number(cell.value, column)
    if column.kind == "estimate":
        text += f" ± {cell.half:.{column.digits}f}" if cell.half is not None else ""
        text += f" ({cell.n})" if cell.n is not None else ""
    return text


def to_markdown(table: Table) -> str:
    """A pipe table with its caption above and its notes below; best values bold, marks behind the value."""

    def escape(text: str) -> str:
        return text.replace("|", "\\|").replace("*", "\\*").replace("\n", " ")

    def entry(cell: Cell, column: Column) -> str:
        text = escape(_shown(cell, column))
        return (f"**{text}**" if cell.best else text) + cell.marks

    lines = [f"**{escape(table.caption)}**", ""] if table.caption else []
    lines.append("| " + " | ".join(escape(c.title) for c in table.columns) + " |")
    lines.append("|" + "|".join(" :--- " if c.kind == "text" else " ---: " for c in table.columns) + "|")
    for row in table.rows:
        lines.append("| " + " | ".join(entry(x, c) for x, c in zip(row, table.columns, strict=True)) + " |")
    for note in table.notes:
        lines += ["", (f"{note.mark} " if note.mark else "") + escape(note.text)]
    return "\n".join(lines) + "\n"


def to_csv(table: Table) -> str:
    """Numbers in full (``repr``), for programs: an estimate is three columns, marks and notes are left out."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header: list[str] = []
    for c in table.columns:
        header += [c.name, f"{c.name} half", f"{c.name} n"] if c.kind == "estimate" else [c.name]
    writer.writerow(header)
    for row in table.rows:
        line: list[object] = []
        for cell, c in zip(row, table.columns, strict=True):
            absent = cell.value is None or (isinstance(cell.value, float) and math.isnan(cell.value))
            value = "" if absent else cell.value
            line += [value, "" if cell.half is None else cell.half, cell.n or 0] if c.kind == "estimate" else [value]
        writer.writerow(line)
    return out.getvalue()


# ---------------------------------------------------------------------------------------------------------------------
# words


def counted(n: int, noun: str, nouns: str = "") -> str:
    """``1 cell``, ``2 cells``."""
    return f"{n} {noun if n == 1 else nouns or noun + 's'}"


def listed(items: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *head, last = list(items) or [""]
    return f"{', '.join(head)} and {last}" if head else last


def place(target: str, setting: object) -> str:
    """A target in a setting: ``polarity (k=20)``."""
    return f"{target} ({'all data' if str(setting) == 'all' else setting})"


def _title(variant: str) -> str:
    return catalogue().variant(variant).title


def variants(study: Study) -> list[str]:
    """The study's variants in its order, floors last: the rows of every table."""
    return sorted(study.chosen, key=lambda v: catalogue().variant(v).role == "floor")


def _floors(study: Study) -> list[str]:
    return [v for v in study.chosen if catalogue().variant(v).role == "floor"]


def _places(study: Study) -> list[tuple[str, Setting]]:
    return [(target, setting) for target in study.target_names for setting in study.settings_grid]


def conditions(study: Study) -> str:
    """What limits every number of the study, as a sentence for captions: encoder, caps on the data, length."""
    parts = [f"Encoder: {study.plm}"]
    for whose, limits in (("task", study.limits), ("source task", study.source_limits)):
        caps = [f"{n} {split}" for split, n in limits.model_dump().items() if n is not None]
        parts += [f"at most {listed(caps)} examples per {whose}"] if caps else []
    parts += [f"texts cut to {study.length} tokens"] if study.length else []
    return "; ".join(parts) + "."


# ---------------------------------------------------------------------------------------------------------------------
# main table


class Shortfall(NamedTuple):
    """A method whose mean is below the best floor of its column, both in points."""

    variant: str
    target: str
    setting: str
    mean: float
    floor: str
    floor_mean: float


def below_floors(frame: pd.DataFrame, study: Study, metrics: Mapping[str, str]) -> list[Shortfall]:
    """Where a method that trains does worse than one that does not, in the order of the tables."""
    scores = scores_by_seed(frame, metrics)
    mean = {cell: 100 * interval(list(by_seed.values())).mean for cell, by_seed in scores.items()}
    found = []
    for target, setting in _places(study):
        floors = {f: mean[f, target, str(setting)] for f in _floors(study) if (f, target, str(setting)) in mean}
        if not floors:
            continue
        best = max(floors, key=lambda f: floors[f])
        for v in variants(study):
            cell = (v, target, str(setting))
            if cell in mean and mean[cell] < floors[best] and v not in _floors(study):
                found.append(Shortfall(v, target, str(setting), mean[cell], best, floors[best]))
    return found


def main_table(
    frame: pd.DataFrame, study: Study, metrics: Mapping[str, str], failed: Mapping[Key, int] | None = None
) -> Table:
    """Test scores: a row per variant (floors last), a column per target and setting, mean x 100 with interval and n.

    Bold is the best mean above the floors, among the cells with the most seeds of the column (a mean over the lucky
    half of the seeds does not win); means that print alike are bold together.

    Args:
        frame: what `frame.tidy` made.
        metrics: target -> primary metric.
        failed: how many runs of each cell failed; the other absent ones are counted as missing.
    """
    failed = failed or {}
    scores = scores_by_seed(frame, metrics)
    floors = set(_floors(study))
    low = {(s.variant, s.target, s.setting) for s in below_floors(frame, study, metrics)}
    columns, entries = [Column("variant", "method")], {v: [_row_head(v)] for v in variants(study)}
    for target, setting in _places(study):
        column = Column(f"{target} {setting}", place(target, setting), "estimate")
        columns.append(column)
        found = {v: interval(list(scores.get((v, target, str(setting)), {}).values())) for v in entries}
        most = max((i.n for v, i in found.items() if v not in floors), default=0)
        full = {v: _number(100 * i.mean, column) for v, i in found.items() if v not in floors and i.n == most > 0}
        top = max(full.values(), key=float, default="")
        for v, i in found.items():
            marks = BELOW * ((v, target, str(setting)) in low) + PART * (0 < i.n < study.report.seeds)
            entries[v].append(
                Cell(
                    100 * i.mean if i.n else None,
                    half=100 * i.half if i.n > 1 else None,
                    n=i.n,
                    best=full.get(v) == top and bool(top),
                    marks=marks,
                )
            )
    rows = tuple(tuple(row) for row in entries.values())
    measured = sorted({metrics[t] for t in study.target_names if t in metrics})
    caption = (
        f"Test {measured[0] if len(measured) == 1 else 'scores'} × 100: mean ± half-width of the 95 % t-interval "
        f"(number of seeds). {conditions(study)}"
    )
    notes = list(_main_notes(frame, study, metrics, failed, rows))
    return Table("main", caption, tuple(columns), rows, tuple(notes))


def _row_head(variant: str) -> Cell:
    role = catalogue().variant(variant).role
    return Cell(variant, _title(variant), marks={"control": CONTROL, "floor": FLOOR}.get(role, ""))


def _main_notes(
    frame: pd.DataFrame,
    study: Study,
    metrics: Mapping[str, str],
    failed: Mapping[Key, int],
    rows: Sequence[Sequence[Cell]],
) -> Iterable[Note]:
    numbers = [cell for row in rows for cell in row[1:]]
    marks = {m for row in rows for cell in row for m in cell.marks}
    if len({metrics[t] for t in study.target_names if t in metrics}) > 1:
        yield Note("Metrics: " + ", ".join(f"{t}: {metrics[t]}" for t in study.target_names if t in metrics) + ".")
    sizes: dict[str, set[int]] = {}
    for target, n in zip(frame["target"], frame["n_test"], strict=True):
        if not pd.isna(n):
            sizes.setdefault(target, set()).add(int(n))
    known = [f"{t}: {'/'.join(map(str, sorted(sizes[t])))}" for t in study.target_names if t in sizes]
    if known:
        yield Note(f"Test examples: {', '.join(known)}.")
    if any(cell.best for cell in numbers):
        yield Note("Bold: the best mean of the column, floors apart. It says nothing about significance.")
    if BELOW in marks:
        names = [_title(f) for f in _floors(study)]
        yield Note(f"below a floor of its column ({listed(names)}), which needs no fine-tuning.", BELOW)
    if CONTROL in marks:
        yield Note("control: says how much of a gain more training alone would have given.", CONTROL)
    if FLOOR in marks:
        yield Note("floor: no transfer and no fine-tuning.", FLOOR)
    if PART in marks:
        yield Note(f"fewer finished seeds than the {study.report.seeds} planned.", PART)
    if any(cell.n == 1 for cell in numbers):
        yield Note("A mean over one seed has no interval: a spread takes at least two.")
    empty = sum(not cell.n for cell in numbers)
    if empty:
        yield Note(f"{MISSING} has no finished run: {empty} of {counted(len(numbers), 'entry', 'entries')}.")
    bad = sum(failed.get((v, t, str(s)), 0) for v in study.chosen for t, s in _places(study))
    if bad:
        yield Note(f"{counted(bad, 'run')} failed and {'is' if bad == 1 else 'are'} in no mean.")


# ---------------------------------------------------------------------------------------------------------------------
# comparison with the baseline


@dataclass(frozen=True)
class Comparison:
    """One variant against the baseline, for one target in one setting; differences as fractions.

    Attributes:
        tested: in the family that Holm's correction covers (all but the floors).
        holm_p: nan when not tested or without a p-value.
        examples_p: Holm-corrected p of the two-way test over seeds and examples; None where no predictions were given.
    """

    variant: str
    target: str
    setting: str
    pair: Paired
    tested: bool
    holm_p: float
    verdict: Verdict
    examples_p: float | None = None


def comparisons(
    frame: pd.DataFrame, study: Study, metrics: Mapping[str, str], examples: Mapping[Key, ArrayLike] | None = None
) -> list[Comparison]:
    """Every variant against the study's baseline, over the seeds that both have finished.

    The family of Holm's correction is every variant but the floors, on every target in every setting, whether it has
    finished or not: a number never gets smaller because a cell failed. Empty when the baseline is not in the study.

    Args:
        examples: cell -> (seeds, examples) differences of correctness to the baseline (`stats.two_way`), where known.
    """
    base = study.report.baseline
    if base not in study.chosen:
        return []
    scores, floors = scores_by_seed(frame, metrics), set(_floors(study))
    cells = [(v, t, str(s)) for t, s in _places(study) for v in variants(study) if v != base]
    pairs = []
    for v, target, setting in cells:
        ours, theirs = scores.get((v, target, setting), {}), scores.get((base, target, setting), {})
        both = sorted(ours.keys() & theirs.keys())
        pairs.append(paired([ours[s] for s in both], [theirs[s] for s in both]))
    tested = [i for i, cell in enumerate(cells) if cell[0] not in floors]
    adjusted = dict(zip(tested, holm([pairs[i].p for i in tested]).tolist(), strict=True))
    two_p: dict[int, float] = {}
    if examples:
        raw = [two_way(examples[cells[i]]).p if cells[i] in examples else math.nan for i in tested]
        two_p = {i: p for i, p in zip(tested, holm(raw).tolist(), strict=True) if not math.isnan(p)}
    return [
        Comparison(
            *cell,
            pair,
            i in adjusted,
            adjusted.get(i, math.nan),
            verdict(
                pair,
                adjusted.get(i, math.nan),
                study.report.rope,
                family=len(tested),
                examples_holm_p=two_p.get(i),
            ),
            two_p.get(i),
        )
        for i, (cell, pair) in enumerate(zip(cells, pairs, strict=True))
    ]


def comparison_table(found: Sequence[Comparison], study: Study) -> Table:
    """What `comparisons` found, in points; floors are shown but not tested."""
    base, family = study.report.baseline, sum(c.tested for c in found)
    with_examples = any(c.examples_p is not None for c in found)
    columns = (
        Column("target", "target"),
        Column("setting", "setting"),
        Column("variant", "method"),
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
    for c in found:
        pair, seeds = c.pair, c.verdict.seeds
        needed = Cell("inf", "over 1000") if math.isinf(seeds) else Cell(f"{seeds:.0f}", f"about {seeds:.0f}")
        rows.append(
            (
                Cell(c.target),
                Cell(c.setting),
                _row_head(c.variant),
                *(Cell(100 * x) for x in (pair.mean, pair.low, pair.high)),
                Cell(pair.n),
                *(Cell(x) for x in (pair.p, c.holm_p, pair.flip_p, pair.flip_floor, pair.d_z)),
                *([Cell(c.examples_p)] if with_examples else []),
                Cell(c.verdict.word) if c.tested else Cell(None, "not tested"),
                needed if c.tested and not math.isnan(seeds) else Cell(),
            )
        )
    rope = f"{100 * study.report.rope:g}"
    notes = [
        Note(
            f"Holm's correction covers {counted(family, 'comparison')}: all variants but the floors against the "
            "baseline, × targets × settings; a comparison without a p-value counts too."
        ),
        Note(
            f"better, worse: Holm p < 0.05, the interval excludes 0, and the difference is at least {rope} "
            f"{'point' if rope == '1' else 'points'}. equivalent: the interval lies inside ±{rope}. "
            f"undecided: anything else, and always with fewer than {MIN_PAIRS} seeds"
            + (" unless the two-way test over seeds and examples is significant too." if with_examples else ".")
        ),
        Note(
            "Seeds needed: for 80 % power at the effect seen, at the level of Holm's first step "
            f"(0.05 / {max(family, 1)}); for a difference below {rope}, until the interval would lie inside ±{rope}."
        ),
        Note("The floor of the sign-flip test is the smallest p that this number of pairs can give."),
    ]
    marks = {m for row in rows for cell in row for m in cell.marks}
    if CONTROL in marks:
        notes.append(Note("control.", CONTROL))
    if FLOOR in marks:
        notes.append(Note("floor: shown, not tested.", FLOOR))
    caption = (
        f"Difference to {_title(base) if base in study.chosen else base} in points, paired by seed, with the 95 % "
        f"t-interval. {conditions(study)}"
    )
    return Table("comparison", caption, columns, tuple(rows), tuple(notes))


# ---------------------------------------------------------------------------------------------------------------------
# search and cost


@dataclass(frozen=True)
class SearchRow:
    """One configuration of one arm on one target: what the search saw of it.

    Attributes:
        number: trial number; 0 is the paper's settings.
        settings: the complete settings.
        dev_mean: mean dev score over the search seeds that finished, a fraction; None without any.
        winner: chosen for this target.
    """

    arm: Arm
    target: str
    number: int
    settings: Mapping[str, Any] = field(hash=False)
    dev_mean: float | None
    state: Literal["complete", "pruned", "failed"]
    winner: bool


def search_table(rows: Iterable[SearchRow], study: Study) -> Table:
    """Per arm and target: trial 0 against the winner on dev, and the settings in which they differ."""
    groups: dict[tuple[str, str, str], list[SearchRow]] = {}
    for row in rows:
        groups.setdefault((row.target, str(row.arm.setting), row.arm.variant), []).append(row)
    columns = (
        Column("target", "target"),
        Column("setting", "setting"),
        Column("variant", "method"),
        Column("trials", "trials", "count"),
        Column("pruned", "pruned", "count"),
        Column("failed", "failed", "count"),
        Column("paper_dev", "dev, trial 0", "number"),
        Column("winner_dev", "dev, winner", "number"),
        Column("winner", "winner", "count"),
        Column("changes", "winner's settings that differ from trial 0"),
    )
    table = []
    for target, setting in _places(study):
        for v in variants(study):
            group = sorted(groups.get((target, str(setting), v), []), key=lambda r: r.number)
            if not group:
                continue
            states = Counter(r.state for r in group)
            first = next((r for r in group if r.number == 0), None)
            won = next((r for r in group if r.winner), None)
            table.append(
                (
                    Cell(target),
                    Cell(str(setting)),
                    Cell(v, _title(v)),
                    Cell(len(group)),
                    Cell(states["pruned"]),
                    Cell(states["failed"]),
                    Cell(_points(first)),
                    Cell(_points(won)),
                    Cell(won.number if won else None),
                    Cell(_changes(won, first.settings if first else catalogue().defaults(v)) if won else None),
                )
            )
    notes = (
        Note(
            "Trial 0 is the paper's settings (with what the study itself fixes). Dev scores × 100, means over the "
            "search seeds; the winner's is optimistic, because it was picked by it. Its test is in the main table."
        ),
    )
    return Table("search", f"Search on dev. {conditions(study)}", columns, tuple(table), notes)


def _points(row: SearchRow | None) -> float | None:
    return None if row is None or row.dev_mean is None else 100 * row.dev_mean


def _changes(won: SearchRow, paper: Mapping[str, Any]) -> str:
    def show(value: Any) -> str:
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    changed = [
        f"{name} {show(paper[name]) if name in paper else MISSING} → {show(value)}"
        for name, value in sorted(won.settings.items())
        if name not in paper or paper[name] != value
    ]
    return "; ".join(changed) or "none"


def cost_table(records: Iterable[Record], study: Study) -> Table:
    """Trials, runs, updates and seconds per method and target, search and confirm apart, from the records alone."""
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for r in records:
        groups.setdefault((r.spec.variant, r.spec.target, r.spec.phase), []).append(r)
    columns = (
        Column("variant", "method"),
        Column("target", "target"),
        Column("search_trials", "search trials", "count"),
        Column("search_runs", "search runs", "count"),
        Column("search_updates", "search updates", "count"),
        Column("search_seconds", "search seconds", "number"),
        Column("confirm_runs", "confirm runs", "count"),
        Column("confirm_updates", "confirm updates", "count"),
        Column("confirm_seconds", "confirm seconds", "number"),
    )
    rows = []
    for v in variants(study):
        for target in study.target_names:
            search, confirm = (groups.get((v, target, phase), []) for phase in ("search", "confirm"))
            if not search and not confirm:
                continue
            trials = {(str(r.spec.setting), canonical(dict(r.spec.settings))) for r in search}
            numbers = (
                len(trials),
                len(search),
                _updates(search),
                _seconds(search),
                len(confirm),
                _updates(confirm),
                _seconds(confirm),
            )
            rows.append((Cell(v, _title(v)), Cell(target), *(Cell(x) for x in numbers)))
    notes = (
        Note(
            "Trials: different configurations, all settings together. Updates: all that stand behind the results, also "
            "in stages that were answered from the store. Seconds: only what was run, failed runs included."
        ),
    )
    return Table("cost", f"Cost. {conditions(study)}", columns, tuple(rows), notes)


def _updates(records: Sequence[Record]) -> int:
    return sum(n for r in records for n in r.updates.values())


def _seconds(records: Sequence[Record]) -> float:
    return math.fsum(s for r in records for s in r.seconds.values())
