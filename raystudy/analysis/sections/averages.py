"""The mean of every method over the targets, seed by seed, and what one of its trainings costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from raystudy.analysis.compare import main_table_scores
from raystudy.analysis.numbers import Numbers, Score
from raystudy.analysis.phrases import setting_name
from raystudy.analysis.section import Block, Section, TableBlock
from raystudy.analysis.sources import Sources
from raystudy.analysis.table import Cell, Column, Note, Table, changes, listed, percent
from raystudy.analysis.tables import PART, method_cell

__all__ = ["SECTION", "average_table"]

AVERAGE = "average"  # in the place of a target


def _numbers(sources: Sources, n: Numbers) -> tuple[Score, ...]:
    """A score per method and data setting that has several targets, over the seeds that all of these have finished."""
    of = {(s.variant, s.target, s.setting): dict(zip(s.seeds, s.values, strict=True)) for s in n.scores}
    targets_of = {s: [t for t, setting in n.design.pairs if setting == s] for s in n.design.settings}
    several = {s: targets for s, targets in targets_of.items() if len(targets) > 1}
    means: dict[tuple[str, str, str], dict[int, float]] = {}
    for setting, targets in several.items():
        for m in n.design.methods:
            by_target = [of.get((m.variant, t, setting), {}) for t in targets]
            seeds = sorted(set.intersection(*map(set, by_target)))
            if seeds:
                means[m.variant, AVERAGE, setting] = {
                    seed: math.fsum(scores[seed] for scores in by_target) / len(targets) for seed in seeds
                }
    columns = tuple((AVERAGE, s) for s in several)
    design = replace(n.design, targets=(AVERAGE,), trained=columns, left_out=(), out_of_reach=())
    return tuple(main_table_scores(means, design, {})) if columns else ()


def average_table(n: Numbers) -> Table:
    """A row per method, a column per data setting, and the passes of one training as a multiple of the baseline's."""
    scores = {(s.variant, s.setting): s for s in SECTION.of(n)}
    settings = [s for s in n.design.settings if any(s == setting for _, setting in scores)]
    base = _passes(n, n.design.baseline)
    rows = []
    for m in n.design.methods:
        cells = [_cell(scores[m.variant, s], n.design.seeds) for s in settings]
        own = _passes(n, m.variant)
        multiple = own / base if own > 0 and base > 0 else None
        rows.append((method_cell(n.design, m.variant), *cells, Cell(multiple)))
    columns = (
        Column("variant", "method"),
        *(Column(f"{AVERAGE} {s}", f"average, {setting_name(s)}", "estimate") for s in settings),
        Column("passes", "passes of one training", "number"),
    )
    roles = ["" if m.role in ("method", "baseline") else m.role for m in n.design.methods]
    caption = f"Means over the targets, × 100. {n.design.conditions}"
    return Table("averages", caption, columns, tuple(rows), tuple(_notes(n)), changes(roles))


def _cell(s: Score, planned: int) -> Cell:
    marks = PART * (0 < s.summary.n < planned)
    return replace(percent(s.summary), n=s.summary.n, best=s.best, tied=s.tied and not s.best, marks=marks)


def _notes(n: Numbers) -> Iterator[Note]:
    yield Note("The mean over the targets is taken seed by seed, for the seeds that all targets have finished.")
    metrics = sorted({p.metric for p in n.places if p.metric})
    if len(metrics) > 1:
        yield Note(f"The targets are measured in {listed(metrics)}: their mean has no unit, and ranks methods at best.")
    yield Note(
        "Passes: forward and backward passes behind one training, search apart, as a multiple of "
        f"{n.design.baseline_title}'s."
    )
    if any(0 < s.summary.n < n.design.seeds for s in SECTION.of(n)):
        yield Note(f"fewer seeds that all targets have finished than the {n.design.seeds} planned.", PART)


def _passes(n: Numbers, variant: str) -> float:
    """The mean passes behind one confirmed training; nan where they are not known."""
    of_variant = [c.confirm for c in n.costs if c.variant == variant]
    cells = sum(p.cells for p in of_variant)
    return math.fsum(p.passes for p in of_variant) / cells if cells else math.nan


def _content(n: Numbers) -> Iterator[Block]:
    if SECTION.of(n):
        yield TableBlock(average_table(n))


SECTION: Section[tuple[Score, ...]] = Section("averages", "Averages", _content, _numbers, level=3)
