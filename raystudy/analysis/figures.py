"""How figures are drawn: the same numbers give the same bytes.

A variant looks the same in all figures. Colours are Okabe and Ito's, legible to the colour-blind, and markers and line
styles differ too. A figure has no background of its own, so that it suits a page in light and in dark.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from raystudy.analysis.numbers import Design, Line
from raystudy.analysis.stats import Interval

__all__ = [
    "COLOURS",
    "FLOOR_DASHES",
    "GRID",
    "INK",
    "MARKERS",
    "MUTED",
    "STYLES",
    "TITLE_WIDTH",
    "Figure",
    "Look",
    "Namer",
    "Panel",
    "dots",
    "draw",
    "drawn",
    "grid_lines",
    "heading",
    "joined",
    "legend",
    "looks",
    "panels_of",
    "sweep",
    "x_label",
]

INK = "#1f2328"  # words, axes and the baseline
MUTED = "#7a828c"  # floors, and what is undecided
GRID = "#e3e6ea"
# yellow last, because it is faint on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#C9B800")
MARKERS = ("s", "^", "D", "v", "P", "X", "o")
STYLES: tuple[Literal["-", "--", ":"], ...] = ("-", "--", ":")
FLOOR_DASHES = ((4, 2), (1, 1.5), (6, 2, 1, 2))
_PANELS = 3  # per row
TITLE_WIDTH = 36  # characters of a method's title in one line beside a panel


@dataclass(frozen=True)
class Figure:
    """A figure that can be drawn: the stem of its files, and a title for blind readers."""

    name: str
    title: str
    make: Callable[[], Canvas]


class Namer:
    """Names the files of the figures of one kind: ``search_polarity``; names that differ in punctuation only differ."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._used: set[str] = set()

    def __call__(self, what: str) -> str:
        stem = f"{self._kind}_" + re.sub(r"[^A-Za-z0-9.-]+", "_", what)
        while stem in self._used:
            stem += "_"
        self._used.add(stem)
        return stem


def drawn(make: Callable[..., Canvas], *args: object) -> Callable[[], Canvas]:
    """What draws a figure later, by a call of `make` with `args`."""
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


def legend(canvas: Canvas, handles: Sequence[Line2D], columns: int) -> None:
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


def grid_lines(axes: Axes, axis: Literal["x", "y"]) -> None:
    """Faint lines across one axis, behind everything."""
    axes.grid(axis=axis, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=3, width=0.7)


def panels_of(count: int, width: float, height: float, *, share: bool = True) -> tuple[Canvas, list[Axes]]:
    """`count` panels of a size in inches, at most three in a row."""
    columns = min(count, _PANELS)
    rows = -(-count // columns)
    canvas = Canvas(figsize=(columns * width, rows * height), layout="constrained")
    grid = canvas.subplots(rows, columns, squeeze=False, sharex=share, sharey=share)
    flat = list(grid.flat)
    for unused in flat[count:]:
        unused.set_visible(False)
    return canvas, flat[:count]


def heading(canvas: Canvas, text: str) -> None:
    """A bold line above all panels."""
    canvas.suptitle(text, x=0.01, ha="left", fontsize=10.5, fontweight="bold")


def x_label(panels: Sequence[Axes], text: str) -> None:
    """One label for the panels of the last row, below their middle."""
    last = panels[(len(panels) - 1) // _PANELS * _PANELS :]
    odd = len(last) % 2
    last[len(last) // 2].set_xlabel(text, x=0.5 if odd else -0.04)


def joined(x: Sequence[float], y: Sequence[float], look: Look, label: str = "") -> Line2D:
    """Points joined by a line, as one variant looks in all figures."""
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
    return Figure(name, title, drawn(_dots, x_label, tuple(map(tuple, groups)), level))


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
            titles.append(textwrap.fill(method, TITLE_WIDTH))
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
    grid_lines(axes, "x")
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
    make = drawn(_sweep, x_label, y_label, tuple(values), tuple(panels), differences, log)
    return Figure(name, title, make)


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
        grid_lines(axes, "y")
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, frameon=False, fontsize=8.5, columnspacing=1.4
        )
    flat[0].set_ylabel(y_label)
    return canvas
