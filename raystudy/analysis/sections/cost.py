"""What everything took: trials, cells, updates, passes and seconds by method and target."""

from __future__ import annotations

import math
from collections.abc import Iterator

from raystudy.analysis.numbers import Numbers
from raystudy.analysis.phrases import duration
from raystudy.analysis.section import Block, Section, TableBlock, Words
from raystudy.analysis.table import MISSING, Cell, Column, Note, Table, counted
from raystudy.analysis.tables import method_cell

__all__ = ["SECTION", "cost_table"]

PASS = (
    "A pass is a forward and a backward pass over one batch: an update of plain fine-tuning takes one, an update that "
    "differentiates through another takes several."
)


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
            method_cell(n.design, c.variant),
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


def _words(n: Numbers) -> Iterator[str]:
    if not n.costs:
        yield "Nothing has run yet."
        return
    phases = [s for c in n.costs for s in (c.search, c.confirm)]
    cells, updates = sum(s.cells for s in phases), sum(s.updates for s in phases)
    passes = math.fsum(s.passes for s in phases)
    cost = "" if math.isnan(passes) else f" ({passes:,.0f} passes)"
    text = (
        f"{counted(cells, 'cell')} with {counted(updates, 'optimizer update')}{cost} behind them took "
        f"{duration(math.fsum(s.seconds for s in phases))} of training, all cells one after another."
    )
    if cost:
        text += f" {PASS}"
    stored = sum(c.stored_updates for c in n.costs)
    if stored:
        saved = math.fsum(c.saved_seconds for c in n.costs)
        text += f" The stage store answered {stored:,} of these updates ({stored / updates:.0%})"
        text += "." if math.isnan(saved) else f", which saved about {duration(saved)} (an estimate)."
    yield text


def _content(n: Numbers) -> Iterator[Block]:
    yield Words(n.words["cost"])
    yield TableBlock(cost_table(n))


SECTION: Section[None] = Section("cost", "Cost", _content, words={"cost": _words})
