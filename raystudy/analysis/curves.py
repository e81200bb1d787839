"""Few-shot curves: scores against the number of labelled examples, and the paired difference to the baseline.

`compute` gives numbers, `draw` makes a picture of them; the same numbers give the same bytes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from raystudy.analysis.frame import scores_by_seed
from raystudy.analysis.stats import Interval, interval
from raystudy.analysis.tables import variants
from raystudy.catalogue import catalogue
from raystudy.studyfile import Study

__all__ = ["Curve", "Line", "compute", "draw"]

# Okabe and Ito's colours, legible to the colour-blind; yellow last, because it is faint on white. The baseline is black
BASELINE = "#000000"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#F0E442")
MARKERS = ("s", "^", "D", "v", "P", "X", "o")
STYLES: tuple[Literal["-", "--", ":"], ...] = ("-", "--", ":")
FLOOR = "#8C8C8C"
FLOOR_DASHES = ((4, 2), (1, 1.5), (6, 2, 1, 2))


@dataclass(frozen=True)
class Line:
    """One variant at the k's of a curve: (k,) intervals in points; n = 0 where nothing has finished."""

    variant: str
    title: str
    role: str
    points: tuple[Interval, ...]


@dataclass(frozen=True)
class Curve:
    """What a few-shot figure of one target shows.

    Attributes:
        shots: (k,) ascending numbers of labelled examples, all of the target's classes together.
        lines: test scores x 100.
        differences: paired differences to the baseline in points, over the seeds both have; neither floors nor itself.
        bounded: the metric cannot leave 0 to 100.
    """

    target: str
    metric: str
    baseline: str
    baseline_title: str
    shots: tuple[int, ...]
    lines: tuple[Line, ...]
    differences: tuple[Line, ...]
    bounded: bool


def compute(frame: pd.DataFrame, study: Study, target: str, metrics: Mapping[str, str]) -> Curve | None:
    """The few-shot curve of `target`; None with fewer than two k's that have results: a point is no curve."""
    scores = scores_by_seed(frame, metrics)
    settings = sorted((s for s in study.settings_grid if s.shots is not None), key=lambda s: s.shots or 0)
    settings = [s for s in settings if any((v, target, str(s)) in scores for v in study.chosen)]
    if len(settings) < 2:
        return None
    base, lines, differences = study.report.baseline, [], []
    for v in variants(study):
        seeds = [scores.get((v, target, str(s)), {}) for s in settings]
        if not any(seeds):
            continue
        about = catalogue().variant(v)
        own = tuple(interval([100 * x for x in by_seed.values()]) for by_seed in seeds)
        lines.append(Line(v, about.title, about.role, own))
        if v == base or about.role == "floor":
            continue
        theirs = [scores.get((base, target, str(s)), {}) for s in settings]
        gaps = tuple(
            interval([100 * (a[i] - b[i]) for i in sorted(a.keys() & b.keys())])
            for a, b in zip(seeds, theirs, strict=True)
        )
        if any(gap.n for gap in gaps):
            differences.append(Line(v, about.title, about.role, gaps))
    metric = metrics[target]
    bounded = metric not in ("mcc", "pearson", "spearman")
    shots = tuple(s.shots for s in settings if s.shots is not None)
    title = catalogue().variant(base).title if base in study.chosen else base
    return Curve(target, metric, base, title, shots, tuple(lines), tuple(differences), bounded)


def draw(curve: Curve, form: Literal["svg", "pdf", "png"] = "svg") -> bytes:
    """The figure of `curve`: scores above, differences to the baseline below, legend on the right."""
    style: Any = {  # matplotlib types this by the 300 names it knows
        "svg.fonttype": "none",
        "svg.hashsalt": "raystudy",
        "pdf.fonttype": 42,
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    undated: dict[str, dict[str, str | None]] = {
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
        "png": {"Software": None},
    }
    out = io.BytesIO()
    with mpl.rc_context(style):
        figure = _figure(curve)
        figure.savefig(out, format=form, metadata=undated[form], bbox_inches="tight", pad_inches=0.08, dpi=110)
    return out.getvalue()


def _figure(curve: Curve) -> Figure:
    heights = [3.2, 2.2] if curve.differences else [3.2]
    figure = Figure(figsize=(6.2, 0.7 + sum(heights)))
    room = {"hspace": 0.08}
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights, gridspec_kw=room)[:, 0]
    looks = _looks(curve)
    top: Axes = panels[0]
    handles = [_bars(top, curve.shots, line, looks[line.variant]) for line in curve.lines if line.role != "floor"]
    for i, line in enumerate(line for line in curve.lines if line.role == "floor"):
        dashes = FLOOR_DASHES[i % len(FLOOR_DASHES)]
        found = [(k, p.mean) for k, p in zip(curve.shots, line.points, strict=True) if p.n]
        top.plot(*zip(*found, strict=True), color=FLOOR, linewidth=1, dashes=dashes, zorder=1)
        handles.append(Line2D([], [], color=FLOOR, linewidth=1, dashes=dashes, label=line.title))
    top.set_ylabel(f"test {curve.metric} × 100")
    top.set_title(curve.target, loc="left")
    if curve.bounded:
        low, high = top.get_ylim()
        top.set_ylim(max(low, -1.0), min(high, 101.0))
    if curve.differences:
        low_panel: Axes = panels[1]
        low_panel.axhline(0, color=BASELINE, linewidth=1, zorder=1)
        for line in curve.differences:
            _bars(low_panel, curve.shots, line, looks[line.variant])
        low_panel.set_ylabel(f"difference to\n{curve.baseline_title}, points")
    for panel in panels:
        panel.set_xscale("log")
        panel.grid(axis="y", color="#E5E5E5", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.xaxis.set_major_locator(FixedLocator(curve.shots))
        panel.xaxis.set_minor_locator(NullLocator())
    panels[-1].set_xticks(curve.shots, [str(k) for k in curve.shots])
    panels[-1].set_xlabel("labelled examples k, all classes together")
    # outside the panels, which keep their width however long a title is: the file is cut to what is drawn
    top.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize=9)
    figure.align_ylabels(list(panels))
    return figure


class _Look(NamedTuple):
    """How a line is drawn; `shift` is a factor on k, because bars at one k must not hide each other."""

    colour: str
    marker: str
    style: Literal["-", "--", ":"]
    shift: float


def _looks(curve: Curve) -> dict[str, _Look]:
    trained = [line for line in curve.lines if line.role != "floor"]
    closest = min(math.log(b / a) for a, b in pairwise(curve.shots))
    axis = math.log(curve.shots[-1] / curve.shots[0])
    step = min(0.012 * axis, 0.6 * closest / len(trained)) if trained else 0.0
    looks: dict[str, _Look] = {}
    others = 0
    for i, line in enumerate(trained):
        shift = math.exp(step * (i - (len(trained) - 1) / 2))
        if line.variant == curve.baseline:
            looks[line.variant] = _Look(BASELINE, "o", "-", shift)
            continue
        turn, colour = divmod(others, len(COLOURS))
        looks[line.variant] = _Look(COLOURS[colour], MARKERS[colour], STYLES[turn % len(STYLES)], shift)
        others += 1
    return looks


def _bars(axes: Axes, shots: tuple[int, ...], line: Line, look: _Look) -> Line2D:
    """Means joined by a line, each with its 95 % interval where there is one. Returns the entry for the legend."""
    found = [(k * look.shift, p) for k, p in zip(shots, line.points, strict=True) if p.n]
    spread = [(k, p) for k, p in found if p.n > 1]

    def joined(x: list[float], y: list[float], label: str = "") -> Line2D:
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

    axes.add_line(joined([k for k, _ in found], [p.mean for _, p in found]))
    axes.errorbar(
        [k for k, _ in spread],
        [p.mean for _, p in spread],
        [p.half for _, p in spread],
        fmt="none",
        ecolor=look.colour,
        elinewidth=1,
        capsize=2.5,
        zorder=2,
    )
    axes.autoscale_view()
    return joined([], [], line.title)
