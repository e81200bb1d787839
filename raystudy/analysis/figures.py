"""The figures of a report, drawn from its numbers; the same numbers give the same bytes.

A variant looks the same in all figures. Colours are Okabe and Ito's, legible to the colour-blind, and markers and line
styles differ too. A figure has no background of its own, so that it suits a page in light and in dark.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FixedLocator, MaxNLocator, NullLocator

from raystudy.analysis.numbers import (
    Comparison,
    Curve,
    Design,
    Line,
    Numbers,
    RankedImportance,
    Search,
    Slice,
    TaskWeights,
)
from raystudy.analysis.sentences import IMPORTANCE_TRIALS
from raystudy.analysis.stats import Interval
from raystudy.wording import spelt

__all__ = [
    "COLOURS",
    "GRID",
    "INK",
    "MUTED",
    "Figure",
    "Panel",
    "dots",
    "draw",
    "few_shot",
    "figures",
    "looks",
    "sweep",
]

INK = "#1f2328"  # words, axes and the baseline
MUTED = "#7a828c"  # floors, and what is undecided
GRID = "#e3e6ea"
# yellow last, because it is faint on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#C9B800")
MARKERS = ("s", "^", "D", "v", "P", "X", "o")
STYLES: tuple[Literal["-", "--", ":"], ...] = ("-", "--", ":")
FLOOR_DASHES = ((4, 2), (1, 1.5), (6, 2, 1, 2))
# word -> colour, marker, filled
VERDICTS = {
    "better": (COLOURS[2], "o", True),
    "worse": (COLOURS[1], "D", True),
    "equivalent": (COLOURS[0], "s", True),
    "undecided": (MUTED, "o", False),
}
_PANELS = 3  # per row
_TITLE = 36  # characters of a method's title in one line beside a panel


@dataclass(frozen=True)
class Figure:
    """A figure that can be drawn: its section of the report, the stem of its files, and a title for blind readers."""

    section: Literal["comparison", "curves", "search", "importance", "slices", "label_maps", "task_weights", "exhibit"]
    name: str
    title: str
    make: Callable[[], Canvas]


def figures(n: Numbers) -> list[Figure]:
    """All figures that the numbers can fill, in the order of the report."""
    used_stems: set[str] = set()

    def name(kind: str, what: str) -> str:
        stem = f"{kind}_" + re.sub(r"[^A-Za-z0-9.-]+", "_", what)
        while stem in used_stems:  # two names that differ in punctuation only
            stem += "_"
        used_stems.add(stem)
        return stem

    look = looks(n.design)
    out = []
    for target in n.design.targets:
        comparisons = [c for c in n.comparisons if c.target == target and c.tested and c.pair.n > 1]
        if comparisons:
            title = f"{target}: difference to {n.design.baseline_title} with its 95 % interval, method by method"
            out.append(Figure("comparison", name("differences", target), title, _with(_forest, comparisons, n.design)))
    for curve in n.curves:
        title = f"{curve.target}: test {curve.metric} against the number of labelled examples, one line per method"
        out.append(Figure("curves", name("few_shot", curve.target), title, _with(_curve, curve, look)))
    for target in n.design.targets:
        for setting in n.design.settings:
            learned = [w for w in n.task_weights if (w.target, w.setting) == (target, setting) and w.updates]
            if learned:
                title = f"{target}, {setting}: the weight of every task after each update of the weights"
                stem = name("task_weights", f"{target} {setting.replace('=', '')}")
                out.append(Figure("task_weights", stem, title, _with(_courses, learned, n.design)))
    for target in n.design.targets:
        runs = [s for s in n.searches if s.target == target and any(not math.isnan(x.best) for x in s.steps)]
        if runs:
            title = f"{target}: best dev score so far against the passes that the search had cost"
            out.append(Figure("search", name("search", target), title, _with(_best_so_far, runs, n.design, look)))
    for setting in n.design.settings:
        weights = [w for w in n.weights if w.setting == setting and w.shares and w.trials >= IMPORTANCE_TRIALS]
        if weights:
            title = f"{setting}: share of each searched setting in the dev score, method by method"
            figure = Figure(
                "importance", name("importance", setting.replace("=", "")), title, _with(_importance, weights, n.design)
            )
            out.append(figure)
    for variant, setting in dict.fromkeys((s.variant, s.setting) for s in n.slices):
        along = [s for s in n.slices if (s.variant, s.setting) == (variant, setting)]
        title = f"{n.design.title(variant)}, {setting}: dev score of every trial along each searched setting"
        stem = name("slices", f"{variant} {setting.replace('=', '')}")
        out.append(Figure("slices", stem, title, _with(_slices, along, n.design)))
    return out


def _with(make: Callable[..., Canvas], *args: object) -> Callable[[], Canvas]:
    return lambda: make(*args)


def draw(figure: Figure, form: Literal["svg", "pdf", "png"] = "svg") -> bytes:
    """Draw a figure; returns the bytes of its file, which has neither a date nor a background."""
    style: Any = {  # matplotlib types this by the 300 names it knows
        "svg.fonttype": "none",
        "svg.hashsalt": figure.name,
        "pdf.fonttype": 42,
        "font.family": "DejaVu Sans",
        "font.size": 9.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.linewidth": 0.7,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        **dict.fromkeys(
            ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "axes.titlecolor"), INK
        ),
    }
    undated: dict[str, dict[str, str | None]] = {
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
        "png": {"Software": None},
    }
    out = io.BytesIO()
    with mpl.rc_context(style):
        canvas = figure.make()
        canvas.savefig(out, format=form, metadata=undated[form], bbox_inches="tight", pad_inches=0.06, dpi=110)
    if form == "svg":  # where a reader has no such font, one of its kind and not the browser's default
        return out.getvalue().replace(b"'DejaVu Sans'", b"'DejaVu Sans', sans-serif")
    return out.getvalue()


# ---------------------------------------------------------------------------------------------------------------------
# how a variant looks


class Look(NamedTuple):
    """The colour, marker and style of a variant's lines; `rank` is its place among the variants drawn, from 0."""

    colour: str
    marker: str
    style: Literal["-", "--", ":"]
    rank: int


def looks(design: Design) -> dict[str, Look]:
    """Variant -> how its lines are drawn, without the floors. The baseline has the colour of the words."""
    out: dict[str, Look] = {}
    others = 0
    for rank, m in enumerate(m for m in design.methods if m.role != "floor"):
        if m.variant == design.baseline:
            out[m.variant] = Look(INK, "o", "-", rank)
            continue
        turn, colour = divmod(others, len(COLOURS))
        out[m.variant] = Look(COLOURS[colour], MARKERS[colour], STYLES[turn % len(STYLES)], rank)
        others += 1
    return out


def _legend(canvas: Canvas, handles: Sequence[Line2D], columns: int) -> None:
    """Put the legend below the panels, so that a figure is no wider than they are and readable on a small screen."""
    canvas.legend(
        handles=handles,
        loc="outside lower left",
        ncols=columns,
        frameon=False,
        fontsize=9,
        borderaxespad=0.2,
        columnspacing=1.6,
    )


def _grid(axes: Axes, axis: Literal["x", "y"]) -> None:
    axes.grid(axis=axis, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=3, width=0.7)


def _panels(count: int, width: float, height: float, *, share: bool = True) -> tuple[Canvas, list[Axes]]:
    """`count` panels of a size in inches, at most three in a row."""
    columns = min(count, _PANELS)
    rows = -(-count // columns)
    canvas = Canvas(figsize=(columns * width, rows * height), layout="constrained")
    grid = canvas.subplots(rows, columns, squeeze=False, sharex=share, sharey=share)
    flat = list(grid.flat)
    for unused in flat[count:]:
        unused.set_visible(False)
    return canvas, flat[:count]


def _heading(canvas: Canvas, text: str) -> None:
    canvas.suptitle(text, x=0.01, ha="left", fontsize=10.5, fontweight="bold")


def _x_label(panels: Sequence[Axes], text: str) -> None:
    """One label for the panels of the last row, below their middle."""
    last = panels[(len(panels) - 1) // _PANELS * _PANELS :]
    odd = len(last) % 2
    last[len(last) // 2].set_xlabel(text, x=0.5 if odd else -0.04)


def _setting(setting: str) -> str:
    return "all data" if setting == "all" else setting


# ---------------------------------------------------------------------------------------------------------------------
# differences to the baseline


def _forest(comparisons: Sequence[Comparison], design: Design) -> Canvas:
    """A panel per setting with a row per method: the mean difference to the baseline, its interval, the verdict."""
    settings = [s for s in design.settings if any(c.setting == s for c in comparisons)]
    variants = [m for m in design.methods if any(c.variant == m.variant for c in comparisons)]
    rows = {m.variant: i for i, m in enumerate(variants)}
    rope, limit = 100 * design.rope, _limit(comparisons, design)
    titles = [textwrap.fill(m.title, _TITLE) for m in variants]  # one long name would leave the panel no room
    row_height = 0.36 if any("\n" in title for title in titles) else 0.28
    canvas, panels = _panels(len(settings), 3.1, 1.45 + row_height * len(variants))
    for axes, setting in zip(panels, settings, strict=True):
        axes.axvspan(-rope, rope, color=GRID, alpha=0.55, linewidth=0, zorder=0)
        axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
        for c in (c for c in comparisons if c.setting == setting):
            _whisker(axes, c, rows[c.variant], limit)
        axes.set_title(_setting(setting), fontweight="normal")
        axes.set_xlim(-limit, limit)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks(range(len(rows)), titles)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.tick_params(labelbottom=True)
        _grid(axes, "x")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    _heading(canvas, comparisons[0].target)
    _x_label(panels, f"points more or less than {design.baseline_title}")
    words = [w for w in VERDICTS if any(c.verdict.word == w for c in comparisons)]
    _legend(canvas, [_dot(w) for w in words], 4 if len(panels) > 1 else 2)
    return canvas


def _limit(comparisons: Sequence[Comparison], design: Design) -> float:
    """Half the width of the axis in points: all intervals, unless few seeds make some so wide that the rest is lost."""
    ends = max(max(abs(c.pair.low), abs(c.pair.high)) for c in comparisons)
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
    mean, low, high = 100 * c.pair.mean, 100 * c.pair.low, 100 * c.pair.high
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


# ---------------------------------------------------------------------------------------------------------------------
# few-shot curves


def _curve(curve: Curve, look: dict[str, Look]) -> Canvas:
    """A panel with the scores, and below it one with the differences to the baseline."""
    heights = [3.0, 2.1] if curve.differences else [3.0]
    canvas = Canvas(figsize=(5.8, 0.7 + sum(heights) + 0.1 * len(curve.lines)), layout="constrained")
    panels = canvas.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    shift = _shifts(curve, look)
    top: Axes = panels[0]
    trained = [line for line in curve.lines if line.role != "floor"]
    handles = [_bars(top, curve.shots, line, look[line.variant], shift[line.variant]) for line in trained]
    for i, line in enumerate(line for line in curve.lines if line.role == "floor"):
        dashes = FLOOR_DASHES[i % len(FLOOR_DASHES)]
        points = [(k, 100 * p.mean) for k, p in zip(curve.shots, line.points, strict=True) if p.n]
        top.plot(*zip(*points, strict=True), color=MUTED, linewidth=1, dashes=dashes, zorder=1)
        handles.append(Line2D([], [], color=MUTED, linewidth=1, dashes=dashes, label=line.title))
    top.set_ylabel(f"test {curve.metric} × 100")
    top.set_title(curve.target)
    if curve.bounded:
        low, high = top.get_ylim()
        top.set_ylim(max(low, -1.0), min(high, 101.0))
    if curve.differences:
        below: Axes = panels[1]
        below.axhline(0, color=INK, linewidth=0.8, zorder=1)
        for line in curve.differences:
            _bars(below, curve.shots, line, look[line.variant], shift[line.variant])
        below.set_ylabel(f"points more or less\nthan {curve.baseline_title}")
    for panel in panels:
        panel.set_xscale("log")
        _grid(panel, "y")
        panel.xaxis.set_major_locator(FixedLocator(curve.shots))
        panel.xaxis.set_minor_locator(NullLocator())
    panels[-1].set_xticks(curve.shots, [str(k) for k in curve.shots])
    panels[-1].set_xlabel("labelled examples k, all classes together")
    _legend(canvas, handles, 2)
    canvas.align_ylabels(list(panels))
    return canvas


def few_shot(name: str, title: str, curve: Curve, design: Design) -> Figure:
    """The few-shot curve of an exhibit, drawn as every report draws it."""
    return Figure("exhibit", name, title, _with(_curve, curve, looks(design)))


def _shifts(curve: Curve, look: dict[str, Look]) -> dict[str, float]:
    """Variant -> a factor on k that shifts its bars sideways, because bars at one k must not hide each other."""
    trained = sorted((look[line.variant].rank, line.variant) for line in curve.lines if line.role != "floor")
    closest = min(math.log(b / a) for a, b in pairwise(curve.shots))
    axis = math.log(curve.shots[-1] / curve.shots[0])
    step = min(0.012 * axis, 0.6 * closest / len(trained)) if trained else 0.0
    return {v: math.exp(step * (i - (len(trained) - 1) / 2)) for i, (_, v) in enumerate(trained)}


def _joined(x: Sequence[float], y: Sequence[float], look: Look, label: str = "") -> Line2D:
    return Line2D(
        x,
        y,
        color=look.colour,
        marker=look.marker,
        markersize=4.5,
        linestyle=look.style,
        linewidth=1.5,
        zorder=3,
        label=label,
    )


def _bars(axes: Axes, shots: tuple[int, ...], line: Line, look: Look, shift: float) -> Line2D:
    """Draw means joined by a line, each with its 95 % interval if it has one; returns the entry for the legend."""
    points = [(k * shift, p) for k, p in zip(shots, line.points, strict=True) if p.n]
    spread = [(k, p) for k, p in points if p.n > 1]
    axes.add_line(_joined([k for k, _ in points], [100 * p.mean for _, p in points], look))
    axes.errorbar(
        [k for k, _ in spread],
        [100 * p.mean for _, p in spread],
        [100 * p.half for _, p in spread],
        fmt="none",
        color=look.colour,
        ecolor=look.colour,
        elinewidth=1,
        capsize=2.5,
        zorder=2,
    )
    axes.autoscale_view()
    return _joined([], [], look, line.title)


# ---------------------------------------------------------------------------------------------------------------------
# weights of tasks


def _courses(weights: Sequence[TaskWeights], design: Design) -> Canvas:
    """A row of panels per method, its multipliers on the left and what they are in effect on the right.

    A task looks the same in all of them, and the target has the colour of the words.
    """
    target = weights[0].target
    sources = list(dict.fromkeys(t for w in weights for t in w.tasks if t != target))
    look = {target: Look(INK, "o", "-", 0)}
    for i, task in enumerate(sources):
        turn, colour = divmod(i, len(COLOURS))
        look[task] = Look(COLOURS[colour], MARKERS[colour], STYLES[turn % len(STYLES)], i + 1)
    shown = [t for t in look if any(t in w.tasks for w in weights)]
    legend_rows = -(-len(shown) // 3)
    canvas = Canvas(figsize=(6.6, 0.75 + 1.95 * len(weights) + 0.2 * legend_rows), layout="constrained")
    rows = canvas.subplots(len(weights), 2, squeeze=False, sharey=True)
    for w, (left, right) in zip(weights, rows, strict=True):
        _course(left, w, "multiplier", look)
        _course(right, w, "effective", look)
        left.set_title(f"{design.title(w.variant)}\nmultiplier in the loss", fontweight="normal", fontsize=9.5)
        right.set_title("in effect", fontweight="normal", fontsize=9.5)
        left.set_ylabel("weight")
    for axes in rows[-1]:
        axes.set_xlabel("updates of the weights")
    _heading(canvas, f"{target}, {_setting(weights[0].setting)}")
    names = {t: f"{t} (target)" if t == target else t for t in shown}
    _legend(canvas, [_joined([], [], look[t], names[t]) for t in shown], 3)
    return canvas


def _course(axes: Axes, w: TaskWeights, space: Literal["multiplier", "effective"], look: dict[str, Look]) -> None:
    """The course of every task's weight: the mean over the seeds, in a band from the least to the greatest of them."""
    x = list(range(w.updates + 1))
    for t, task in enumerate(w.tasks):
        values = [w.values(space, step, t) for step in x]
        line = _joined(x, [sum(v) / len(v) for v in values], look[task])
        line.set_markevery(max(1, w.updates // 8))
        axes.add_line(line)
        if len(w.seeds) > 1:
            least, greatest = [min(v) for v in values], [max(v) for v in values]
            axes.fill_between(x, least, greatest, color=look[task].colour, alpha=0.18, linewidth=0, zorder=2)
    axes.set_xlim(-0.02 * w.updates, 1.02 * w.updates)
    axes.set_ylim(-0.03, 1.03)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    _grid(axes, "y")


# ---------------------------------------------------------------------------------------------------------------------
# search


def _best_so_far(runs: Sequence[Search], design: Design, look: dict[str, Look]) -> Canvas:
    """A panel per setting with a staircase per arm, and a ring at the paper's settings."""
    settings = [s for s in design.settings if any(run.setting == s for run in runs)]
    one = len(settings) == 1
    canvas, panels = _panels(len(settings), 5.0 if one else 2.9, (2.9 if one else 2.6) + 0.05 * len(runs))
    for axes, setting in zip(panels, settings, strict=True):
        for run in (run for run in runs if run.setting == setting):
            _stairs(axes, run, look.get(run.variant, Look(MUTED, "o", ":", 0)))
        axes.set_title(_setting(setting), fontweight="normal")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlim(left=0)
        axes.tick_params(labelbottom=True)
        _grid(axes, "y")
    _heading(canvas, runs[0].target)
    _x_label(panels, "passes spent on this target, all configurations so far")
    canvas.supylabel("best dev score so far × 100", fontsize=9.5)
    drawn_variants = {run.variant for run in runs}
    handles = [
        Line2D([], [], color=x.colour, linestyle=x.style, linewidth=1.5, marker=x.marker, markersize=4.5, label=title)
        for v, title in ((m.variant, m.title) for m in design.methods)
        if v in drawn_variants
        for x in [look.get(v, Look(MUTED, "o", ":", 0))]
    ]
    ring = Line2D([], [], color=INK, marker="o", markersize=8, markerfacecolor="none", linestyle="", label="trial 0")
    _legend(canvas, [*handles, ring], min(len(panels) + 1, 4))
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


def _importance(weights: Sequence[RankedImportance], design: Design) -> Canvas:
    """A panel per method with a bar per searched setting."""
    most = max(len(w.shares) for w in weights)
    canvas, panels = _panels(len(weights), 3.1, 0.75 + 0.22 * most, share=False)
    for axes, w in zip(panels, weights, strict=True):
        names, shares = zip(*w.shares, strict=True)
        places = range(len(names))
        axes.barh(places, [100 * s for s in shares], height=0.62, color=COLOURS[0], zorder=2)
        for y, s in zip(places, shares, strict=True):
            axes.text(100 * s + 1.5, y, f"{100 * s:.0f}", va="center", fontsize=8)
        axes.set_title(f"{design.title(w.variant)} ({w.trials} trials)", fontweight="normal", fontsize=9.5)
        axes.set_yticks(places, names)
        axes.set_xlim(0, 112)
        axes.set_ylim(most - 0.4, -0.6)
        axes.set_xticks([])
        axes.tick_params(axis="y", length=0, labelleft=True)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
    _heading(canvas, f"{_setting(weights[0].setting)}: share in %")
    return canvas


def _slices(along: Sequence[Slice], design: Design) -> Canvas:
    """A panel per searched setting of one arm: every trial at its value, a colour and a marker per target."""
    names = [*dict.fromkeys(s.name for s in along)]
    targets = [t for t in design.targets if any(s.target == t for s in along)]
    canvas, panels = _panels(len(names), 2.9, 2.3, share=False)
    for axes, name in zip(panels, names, strict=True):
        of_name = [s for s in along if s.name == name]
        values = dict.fromkeys(value for s in of_name for value, _, _ in s.points)
        numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        places = {v: i for i, v in enumerate(values)}  # of values that are no numbers
        for s in of_name:
            i = targets.index(s.target)
            colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
            x = [value if numeric else places[value] for value, _, _ in s.points]
            y = [100 * dev for _, dev, _ in s.points]
            axes.plot(x, y, color=colour, marker=marker, markersize=4, linestyle="", zorder=3)
            paper = [(a, b) for a, b, (_, _, number) in zip(x, y, s.points, strict=True) if number == 0]
            for a, b in paper:
                axes.plot(a, b, color=INK, marker="o", markersize=9, markerfacecolor="none", linestyle="", zorder=4)
        if not numeric:
            axes.set_xticks(range(len(values)), [textwrap.shorten(str(v) or "empty", 14) for v in values])
            axes.set_xlim(-0.5, len(values) - 0.5)
        elif any(s.log for s in of_name) and all(float(v) > 0 for v in values):
            axes.set_xscale("log")
            low, high = min(map(float, values)), max(map(float, values))
            axes.set_xticks([low, math.sqrt(low * high), high])  # a range may hold no power of ten
            axes.xaxis.set_major_formatter(lambda x, place: spelt(x, 2))
            axes.xaxis.set_minor_locator(NullLocator())
        elif all(isinstance(v, int) for v in values):
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_title(f"{name} ({max(len(s.points) for s in of_name)} trials)", fontweight="normal", fontsize=9.5)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        _grid(axes, "y")
    _heading(canvas, f"{design.title(along[0].variant)}, {_setting(along[0].setting)}")
    canvas.supylabel("dev score × 100", fontsize=9.5)
    handles = [
        Line2D(
            [],
            [],
            color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)],
            markersize=4,
            linestyle="",
            label=target,
        )
        for i, target in enumerate(targets)
    ]
    ring = Line2D([], [], color=INK, marker="o", markersize=8, markerfacecolor="none", linestyle="", label="trial 0")
    _legend(canvas, [*handles, ring], min(len(panels) + 1, 4))
    return canvas


# ---------------------------------------------------------------------------------------------------------------------
# the scores of a few methods side by side


def dots(
    name: str,
    title: str,
    x_label: str,
    groups: Sequence[Sequence[tuple[str, Interval]]],
    level: tuple[str, float] | None,
) -> Figure:
    """A figure with a row for each method: its mean score x 100 with its 95 % interval.

    Args:
        groups: (title, score) of the methods that are compared with one another; a gap sets the groups apart.
        level: title and score of what all are above or below, a dashed line.
    """
    return Figure("exhibit", name, title, _with(_dots, x_label, tuple(map(tuple, groups)), level))


def _dots(
    x_label: str, groups: tuple[tuple[tuple[str, Interval], ...], ...], level: tuple[str, float] | None
) -> Canvas:
    rows = sum(map(len, groups)) + 0.6 * (len(groups) - 1)
    canvas = Canvas(figsize=(5.8, 0.9 + 0.32 * rows), layout="constrained")
    axes: Axes = canvas.subplots()
    places, titles, y = [], [], 0.0
    for group in groups:
        for i, (method, score) in enumerate(group):
            places.append(y)
            titles.append(textwrap.fill(method, _TITLE))
            colour, marker = (INK, "o") if i == 0 else (COLOURS[0], MARKERS[0])
            if score.n:
                axes.plot([100 * score.mean], [y], color=colour, marker=marker, markersize=6, linestyle="", zorder=3)
            if score.n > 1:
                ends = [100 * (score.mean - score.half), 100 * (score.mean + score.half)]
                axes.plot(ends, [y, y], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=2)
            y += 1
        y += 0.6
    if level is not None:
        line = axes.axvline(100 * level[1], color=MUTED, linewidth=1, dashes=FLOOR_DASHES[0], zorder=1)
        line.set_label(level[0])
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False, fontsize=8.5)
    low, high = axes.get_xlim()  # an interval of two seeds may reach far beyond any score
    axes.set_xlim(max(low, -1.0), min(high, 101.0))
    axes.set_yticks(places, titles)
    axes.set_ylim(max(places, default=0) + 0.6, -0.6)
    axes.set_xlabel(x_label)
    _grid(axes, "x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return canvas


# ---------------------------------------------------------------------------------------------------------------------
# one parameter of a method, value by value


@dataclass(frozen=True)
class Panel:
    """One panel of a sweep.

    Attributes:
        lines: (k,) intervals at the values of the sweep; the line whose role is ``baseline`` stands out and has bars.
        levels: title and score of what does not depend on the parameter, each a dashed line from side to side.
    """

    title: str
    lines: tuple[Line, ...]
    levels: tuple[tuple[str, float], ...] = ()


def sweep(
    name: str,
    title: str,
    x_label: str,
    y_label: str,
    values: Sequence[float],
    panels: Sequence[Panel],
    *,
    differences: bool = False,
    log: bool = False,
) -> Figure:
    """A figure of scores against the (k,) `values` of one parameter, panel by panel; scores are printed x 100.

    Args:
        differences: the points are differences of scores, which may be negative; a line marks zero.
        log: the values stand on a logarithmic scale.
    """
    make = _with(_sweep, x_label, y_label, tuple(values), tuple(panels), differences, log)
    return Figure("exhibit", name, title, make)


def _sweep(
    x_label: str, y_label: str, values: tuple[float, ...], panels: tuple[Panel, ...], differences: bool, log: bool
) -> Canvas:
    entries = max(len(p.lines) + len(p.levels) for p in panels)
    canvas = Canvas(figsize=(4.1 * len(panels) + 0.2, 3.0 + 0.1 * entries), layout="constrained")
    flat: Sequence[Axes] = canvas.subplots(1, len(panels), squeeze=False)[0]
    for axes, panel in zip(flat, panels, strict=True):
        own = 0
        for line in panel.lines:
            points = [(x, p) for x, p in zip(values, line.points, strict=True) if p.n]
            x, y = [x for x, _ in points], [100 * p.mean for _, p in points]
            if line.role == "baseline":
                spread = [(x, p) for x, p in points if p.n > 1]
                axes.plot(x, y, color=INK, marker="o", markersize=5, linewidth=2, label=line.title, zorder=4)
                axes.errorbar(
                    [x for x, _ in spread],
                    [100 * p.mean for _, p in spread],
                    [100 * p.half for _, p in spread],
                    fmt="none",
                    ecolor=INK,
                    elinewidth=1.1,
                    capsize=3,
                    zorder=4,
                )
                continue
            colour, marker = COLOURS[own % len(COLOURS)], MARKERS[own % len(MARKERS)]
            axes.plot(x, y, color=colour, marker=marker, markersize=4, linewidth=1.2, label=line.title, zorder=3)
            own += 1
        for i, (label, level) in enumerate(panel.levels):
            dashes = FLOOR_DASHES[i % len(FLOOR_DASHES)]
            axes.axhline(100 * level, color=MUTED, linewidth=1, dashes=dashes, label=label, zorder=1)
        if differences:
            axes.axhline(0, color=INK, linewidth=0.8, zorder=1)
        low, high = axes.get_ylim()  # an interval of two seeds may reach far beyond any score
        axes.set_ylim(max(low, -101.0 if differences else -1.0), min(high, 101.0))
        if log:
            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(panel.title)
        axes.set_xlabel(x_label)
        axes.set_xticks(values, [f"{v:g}" for v in values])
        _grid(axes, "y")
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, frameon=False, fontsize=8.5, columnspacing=1.4
        )
    flat[0].set_ylabel(y_label)
    return canvas
