"""Every method against the baseline: a forest of differences with their intervals, and the tests behind the words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from raystudy.analysis.figures import (
    COLOURS,
    GRID,
    INK,
    MUTED,
    TITLE_WIDTH,
    Figure,
    Namer,
    drawn,
    grid_lines,
    heading,
    legend,
    panels_of,
    x_label,
)
from raystudy.analysis.numbers import Comparison, Design, Numbers
from raystudy.analysis.phrases import setting_name
from raystudy.analysis.section import Block, Pictures, Section, TableBlock, Words
from raystudy.analysis.sentences import nothing_to_compare
from raystudy.analysis.table import Table, selected
from raystudy.analysis.tables import comparison_table

__all__ = ["SECTION", "VERDICTS"]

_NEEDED = ("seeds_needed", "needed_together")  # the columns that say what a decision would take

# word -> colour, marker, filled
VERDICTS = {
    "better": (COLOURS[2], "o", True),
    "worse": (COLOURS[1], "D", True),
    "equivalent": (COLOURS[0], "s", True),
    "undecided": (MUTED, "o", False),
}


def _forest(comparisons: Sequence[Comparison], design: Design) -> Canvas:
    """A panel per setting with a row per method: the mean difference to the baseline, its interval, the verdict."""
    settings = [s for s in design.settings if any(c.setting == s for c in comparisons)]
    variants = [m for m in design.methods if any(c.variant == m.variant for c in comparisons)]
    rows = {m.variant: i for i, m in enumerate(variants)}
    rope, limit = 100 * design.rope, _limit(comparisons, design)
    titles = [textwrap.fill(m.title, TITLE_WIDTH) for m in variants]  # one long name would leave the panel no room
    row_height = 0.36 if any("\n" in title for title in titles) else 0.28
    canvas, panels = panels_of(len(settings), 3.1, 1.45 + row_height * len(variants))
    for axes, setting in zip(panels, settings, strict=True):
        axes.axvspan(-rope, rope, color=GRID, alpha=0.55, linewidth=0, zorder=0)
        axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
        for c in (c for c in comparisons if c.setting == setting):
            _whisker(axes, c, rows[c.variant], limit)
        axes.set_title(setting_name(setting), fontweight="normal")
        axes.set_xlim(-limit, limit)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks(range(len(rows)), titles)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.tick_params(labelbottom=True)
        grid_lines(axes, "x")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    heading(canvas, comparisons[0].target)
    x_label(panels, f"points more or less than {design.baseline_title}")
    words = [w for w in VERDICTS if any(c.verdict.word == w for c in comparisons)]
    legend(canvas, [_dot(w) for w in words], 4 if len(panels) > 1 else 2)
    return canvas


def _limit(comparisons: Sequence[Comparison], design: Design) -> float:
    """Half the width of the axis in points: all intervals, unless few seeds make some so wide that the rest is lost."""
    ends = max(max(abs(c.low), abs(c.high)) for c in comparisons)
    means = max(abs(c.pair.mean) for c in comparisons)
    return 100 * 1.08 * max(min(ends, 4 * means), 2.5 * design.rope, 1e-3)


def _dot(word: str) -> Line2D:
    colour, marker, filled = VERDICTS[word]
    return Line2D(
        [],
        [],
        color=colour,
        marker=marker,
        markersize=6,
        linestyle="",
        markerfacecolor=colour if filled else "none",
        label=word,
    )


def _whisker(axes: Axes, c: Comparison, row: int, limit: float) -> None:
    colour, marker, filled = VERDICTS[c.verdict.word]
    mean, low, high = 100 * c.pair.mean, 100 * c.low, 100 * c.high
    inner = (max(low, -limit), min(high, limit))
    for a, b in _around(mean, inner, 0.0 if filled else 0.045 * limit):
        axes.plot([a, b], [row, row], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=2)
    for end, shown, arrow in ((low, inner[0], "<"), (high, inner[1], ">")):
        if end != shown:  # the interval goes on beyond the panel
            axes.plot([shown], [row], color=colour, marker=arrow, markersize=5, clip_on=False, zorder=3)
    face = colour if filled else "none"
    axes.plot([mean], [row], color=colour, marker=marker, markersize=6, markerfacecolor=face, linestyle="", zorder=3)


def _around(mean: float, ends: tuple[float, float], gap: float) -> Iterable[tuple[float, float]]:
    """The interval without its middle, where an open marker stands."""
    if ends[0] < mean - gap:
        yield ends[0], mean - gap
    if mean + gap < ends[1]:
        yield mean + gap, ends[1]


def _figures(n: Numbers) -> Iterator[Figure]:
    names = Namer("differences")
    for target in n.design.targets:
        comparisons = [c for c in n.comparisons if c.target == target and c.tested and c.pair.n > 1]
        if comparisons:
            title = f"{target}: difference to {n.design.baseline_title} with its 95 % interval, method by method"
            yield Figure(names(target), title, drawn(_forest, comparisons, n.design))


def _rounded(table: Table) -> Table:
    """Differences in tenths of a point, as scores are printed: seeds do not tell more. All digits are in the tests."""
    columns = (replace(c, digits=1) if c.kind == "number" else c for c in table.columns)
    return replace(table, columns=tuple(columns))


def _words(n: Numbers) -> Iterator[str]:
    if not n.comparisons:
        yield nothing_to_compare(n.design)


def _content(n: Numbers) -> Iterator[Block]:
    yield Words(n.words["comparison"])
    figures = tuple(_figures(n))
    yield Pictures(figures)
    if figures:
        rope = f"{100 * n.design.rope:g} {'point' if n.design.rope == 0.01 else 'points'}"
        text = (
            f"Mean difference and 95 % interval. The band is ±{rope}, the smallest difference that matters. An arrow "
            "ends an interval that is wider than the panel."
        )
        yield Words.of([text], "small")
    whole = comparison_table(n)
    shown = ("variant", "target", "setting", "verdict", "difference", "low", "high", "n", *_NEEDED)
    yield TableBlock(_rounded(selected(whole, "differences", shown)), filter=True, formats=())


SECTION: Section[None] = Section(
    "comparison",
    "Comparison with the baseline",
    _content,
    words={"comparison": _words},
    nav="Differences",
    anchor="differences",
)
