"""The test scores: methods in rows, targets and data settings in columns, with what stands out in each column."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from raystudy.analysis.numbers import Design, Numbers
from raystudy.analysis.phrases import setting_name
from raystudy.analysis.section import Block, Section, Shading, TableBlock
from raystudy.analysis.table import MISSING, Cell, Column, Note, Table, changes, counted, listed, percent, place
from raystudy.analysis.tables import ABSENT, BELOW, BOUND, CONTROL, FLOOR, MORE_DATA, PART, TWO_METRICS, method_cell

__all__ = ["SECTION", "left_out", "main_table", "stars"]

_STARS = (("***", 0.001), ("**", 0.01), ("*", 0.05), ("°", 0.1))


def main_table(n: Numbers) -> Table:
    """The test scores, with a row per variant and a column per target and setting: mean x 100 with interval and n.

    Floors and controls stand apart from the methods. A cell is `unsure` when its comparison with the baseline is
    undecided.
    """
    design = n.design
    undecided = {(c.variant, c.target, c.setting) for c in n.comparisons if c.tested and c.verdict.word == "undecided"}
    p_of = {(c.variant, c.target, c.setting): c.p for c in n.comparisons if c.tested}
    by_cell = {(s.variant, s.target, s.setting): s for s in n.scores}
    shown = _shown(design)
    rows = []
    for m in design.methods:
        row = [method_cell(design, m.variant)]
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
                    marks=BELOW * bool(s.below)
                    + PART * (0 < count < design.seeds)
                    + stars(p_of.get((m.variant, target, setting), math.nan)),
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
        group = setting_name(setting) if by_setting else ""
        short = target if by_setting else ""
        columns.append(Column(f"{target} {setting}", place(target, setting), "estimate", group=group, short=short))
    roles = ["" if m.role in ("method", "baseline") else m.role for m in design.methods]
    notes = tuple(_main_notes(n, rows))
    return Table("main", caption, tuple(columns), tuple(rows), notes, changes(roles))


def stars(p: float) -> str:
    """*** below .001, ** below .01, * below .05, ° below .1."""
    return next((mark for mark, bound in _STARS if p < bound), "")


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
    if "*" in marks or "°" in marks:
        base = design.baseline_title
        yield Note(f"***, **, *, °: differs from {base} at p < .001, .01, .05, .1, as the verdict's test has it.")
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


def _content(n: Numbers) -> Iterator[Block]:
    yield TableBlock(main_table(n))
    if any(s.best for s in n.scores):
        yield Shading(f"undecided against {n.design.baseline_title}" if n.comparisons else "")


SECTION: Section[None] = Section("scores", "Scores", _content, opening=True)
