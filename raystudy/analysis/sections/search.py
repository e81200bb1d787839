"""The search of every arm on dev: its best score so far against cost, and the winner beside trial 0."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from raystudy.analysis.figures import (
    INK,
    MUTED,
    Figure,
    Look,
    Namer,
    drawn,
    grid_lines,
    heading,
    legend,
    looks,
    panels_of,
    x_label,
)
from raystudy.analysis.numbers import Design, Numbers, Search, Sentence
from raystudy.analysis.phrases import listing, setting_name
from raystudy.analysis.section import Block, Pictures, Section, TableBlock, Words, in_short
from raystudy.analysis.table import MISSING, Cell, Column, Note, Table, changes, counted, place
from raystudy.analysis.tables import method_cell, points

__all__ = ["SECTION", "search_table", "show", "trials_table"]


_IN_SHORT = (
    "variant",
    "target",
    "setting",
    "trials",
    "paper_dev",
    "winner_dev",
    "error",
    "within",
    "passes",
    "changes",
)


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
                method_cell(n.design, s.variant),
                Cell(s.target),
                Cell(s.setting),
                Cell(len(s.trials)),
                Cell(states["pruned"]),
                Cell(states["failed"]),
                Cell(max(t.seeds for t in s.trials)),
                Cell(points(s.paper.dev) if s.paper else None),
                Cell(points(s.winner.dev) if s.winner else None),
                Cell(s.dev_examples or None),
                Cell(points(s.error)),
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


def _best_so_far(runs: Sequence[Search], design: Design, look: dict[str, Look]) -> Canvas:
    """A panel per setting with a staircase per arm, and a ring at the paper's settings."""
    settings = [s for s in design.settings if any(run.setting == s for run in runs)]
    one = len(settings) == 1
    canvas, panels = panels_of(len(settings), 5.0 if one else 2.9, (2.9 if one else 2.6) + 0.05 * len(runs))
    for axes, setting in zip(panels, settings, strict=True):
        for run in (run for run in runs if run.setting == setting):
            _stairs(axes, run, look.get(run.variant, Look(MUTED, "o", ":", 0)))
        axes.set_title(setting_name(setting), fontweight="normal")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlim(left=0)
        axes.tick_params(labelbottom=True)
        grid_lines(axes, "y")
    heading(canvas, runs[0].target)
    x_label(panels, "passes spent on this target, all configurations so far")
    canvas.supylabel("best dev score so far × 100", fontsize=9.5)
    drawn_variants = {run.variant for run in runs}
    handles = [
        Line2D([], [], color=x.colour, linestyle=x.style, linewidth=1.5, marker=x.marker, markersize=4.5, label=title)
        for v, title in ((m.variant, m.title) for m in design.methods)
        if v in drawn_variants
        for x in [look.get(v, Look(MUTED, "o", ":", 0))]
    ]
    ring = Line2D([], [], color=INK, marker="o", markersize=8, markerfacecolor="none", linestyle="", label="trial 0")
    legend(canvas, [*handles, ring], min(len(panels) + 1, 4))
    return canvas


def _stairs(axes: Axes, run: Search, look: Look) -> None:
    known_steps = [s for s in run.steps if not math.isnan(s.best) and not math.isnan(s.passes)]
    if not known_steps:
        return
    x, y = [s.passes for s in known_steps], [100 * s.best for s in known_steps]
    axes.step(x, y, where="post", color=look.colour, linestyle=look.style, linewidth=1.5, zorder=2)
    rises = [i for i in range(len(y)) if i == 0 or y[i] > y[i - 1]]
    rises += [len(y) - 1] if rises[-1] != len(y) - 1 else []
    axes.plot(
        [x[i] for i in rises],
        [y[i] for i in rises],
        color=look.colour,
        marker=look.marker,
        markersize=3.8,
        linestyle="",
        zorder=3,
    )
    if known_steps[0].number == 0:
        axes.plot(x[:1], y[:1], color=look.colour, marker="o", markersize=9, markerfacecolor="none", zorder=4)


def _figures(n: Numbers) -> Iterator[Figure]:
    names, look = Namer("search"), looks(n.design)
    for target in n.design.targets:
        runs = [s for s in n.searches if s.target == target and any(not math.isnan(x.best) for x in s.steps)]
        if runs:
            title = f"{target}: best dev score so far against the passes that the search had cost"
            yield Figure(names(target), title, drawn(_best_so_far, runs, n.design, look))


def _words(n: Numbers) -> Iterator[str]:
    but = f", {_but(n.design)}" if n.design.departures else ""
    if n.searches:
        yield (
            "Best mean dev score of the configurations tried so far, against what trying them took. The ring is trial "
            f"0, the paper's settings{but}; a pruned configuration costs but cannot be the best. Each arm is searched "
            "once, so a line has no band: that one ends higher than another says little."
        )
    else:
        yield f"Nothing was searched: every method ran with the paper's settings{but}."


def _selection(n: Numbers) -> Iterator[str | Sentence]:
    """On how many examples winners were chosen, what is not told apart on them, and how equal ones were ranked."""
    known = [s for s in n.searches if s.dev_examples and s.winner is not None]
    if not known:
        return
    sizes = sorted({s.dev_examples for s in known})
    numbers = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    yield (
        f"Winners were chosen on {numbers} dev examples per search seed. The standard error is what so many examples "
        "leave in the winner's score; trials at most one below it are as good as it, as far as dev can tell."
    )
    tied = [s for s in known if s.tied > 1]
    if tied:
        equal = [f"{s.tied} trials of {_of(s, n.design)}" for s in tied]
        rule = "Of equal trials that with the paper's settings wins, then that of fewer passes, then the lower number"
        yield listing(
            rule, "; equal on dev: ", equal, short=f"{rule}: {counted(len(tied), 'search', 'searches')} had such."
        )
    blind = [s for s in known if s.blind]
    if blind:
        what = f"{len(blind)} of {counted(len(known), 'search', 'searches')} cannot tell their trials apart"
        yield listing(what, ": ", [_blindness(s, n.design) for s in blind])
        yield "With `dev: N` as many examples as are named select, if the split has them; more search seeds help too."


def _of(s: Search, design: Design) -> str:
    return f"{design.title(s.variant)} on {place(s.target, s.setting)}"


def _blindness(s: Search, design: Design) -> str:
    text = f"{_of(s, design)}, {s.within} of {s.complete} trials within ±{100 * s.error:.1f} points of the best"
    return text + (f" (about {s.enough:,} dev examples would leave half of the others behind)" if s.enough else "")


def _but(design: Design) -> str:
    return f"but for what the study sets: {'; '.join(design.departures)}"


def _content(n: Numbers) -> Iterator[Block]:
    yield Pictures(tuple(_figures(n)))
    yield Words(n.words["search"])
    yield Words(n.words["selection"])
    yield from in_short(search_table(n), _IN_SHORT)
    yield TableBlock(trials_table(n), formats=("csv",), pages=())


SECTION: Section[None] = Section("search", "Search", _content, words={"search": _words, "selection": _selection})
