"""Few-shot curves: scores against the number of labelled examples, and the paired difference to the baseline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from raystudy.analysis.compare import paired_by_seed
from raystudy.analysis.figures import (
    FLOOR_DASHES,
    INK,
    MUTED,
    Figure,
    Look,
    Namer,
    drawn,
    grid_lines,
    joined,
    legend,
    looks,
)
from raystudy.analysis.frame import Key
from raystudy.analysis.numbers import Design, Line, Numbers
from raystudy.analysis.section import Block, Pictures, Section, Words
from raystudy.analysis.sources import Sources
from raystudy.analysis.stats import interval

__all__ = ["SECTION", "Curve", "compute", "few_shot"]

_SIGNED = ("mcc", "pearson", "spearman")  # may be negative


@dataclass(frozen=True)
class Curve:
    """What a few-shot figure of one target shows.

    Attributes:
        shots: (k,) ascending numbers of labelled examples, all of the target's classes together.
        lines: the test scores of every variant.
        differences: paired differences to the baseline, over the seeds that both have; floors and the baseline itself
            have none.
        bounded: whether the metric stays between 0 and 1.
    """

    target: str
    metric: str
    baseline: str
    baseline_title: str
    shots: tuple[int, ...]
    lines: tuple[Line, ...]
    differences: tuple[Line, ...]
    bounded: bool


def compute(test_scores: Mapping[Key, Mapping[int, float]], design: Design, target: str, metric: str) -> Curve | None:
    """The few-shot curve of `target`; None with fewer than two k's that have results: a point is no curve.

    Args:
        test_scores: the scores of every seed, from `frame.scores_by_seed`.
    """
    shots = [k for k in design.shots if any((m.variant, target, f"k={k}") in test_scores for m in design.methods)]
    if len(shots) < 2:
        return None
    lines, differences = [], []
    for m in design.methods:
        seeds = [test_scores.get((m.variant, target, f"k={k}"), {}) for k in shots]
        if not any(seeds):
            continue
        own = tuple(interval(list(by_seed.values())) for by_seed in seeds)
        lines.append(Line(m.variant, m.title, m.role, own))
        if m.variant == design.baseline or m.role == "floor":
            continue
        theirs = [test_scores.get((design.baseline, target, f"k={k}"), {}) for k in shots]
        gaps = tuple(paired_by_seed(a, b).interval for a, b in zip(seeds, theirs, strict=True))
        if any(gap.n for gap in gaps):
            differences.append(Line(m.variant, m.title, m.role, gaps))
    return Curve(
        target,
        metric,
        design.baseline,
        design.baseline_title,
        tuple(shots),
        tuple(lines),
        tuple(differences),
        metric not in _SIGNED,
    )


def few_shot(name: str, title: str, curve: Curve, design: Design) -> Figure:
    """The few-shot curve of an exhibit, drawn as every report draws it."""
    return Figure(name, title, drawn(_curve, curve, looks(design)))


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
        grid_lines(panel, "y")
        panel.xaxis.set_major_locator(FixedLocator(curve.shots))
        panel.xaxis.set_minor_locator(NullLocator())
    panels[-1].set_xticks(curve.shots, [str(k) for k in curve.shots])
    panels[-1].set_xlabel("labelled examples k, all classes together")
    legend(canvas, handles, 2)
    canvas.align_ylabels(list(panels))
    return canvas


def _shifts(curve: Curve, look: dict[str, Look]) -> dict[str, float]:
    """Variant -> a factor on k that shifts its bars sideways, because bars at one k must not hide each other."""
    trained = sorted((look[line.variant].rank, line.variant) for line in curve.lines if line.role != "floor")
    closest = min(math.log(b / a) for a, b in pairwise(curve.shots))
    axis = math.log(curve.shots[-1] / curve.shots[0])
    step = min(0.012 * axis, 0.6 * closest / len(trained)) if trained else 0.0
    return {v: math.exp(step * (i - (len(trained) - 1) / 2)) for i, (_, v) in enumerate(trained)}


def _bars(axes: Axes, shots: tuple[int, ...], line: Line, look: Look, shift: float) -> Line2D:
    """Draw means joined by a line, each with its 95 % interval if it has one; returns the entry for the legend."""
    points = [(k * shift, p) for k, p in zip(shots, line.points, strict=True) if p.n]
    spread = [(k, p) for k, p in points if p.n > 1]
    axes.add_line(joined([k for k, _ in points], [100 * p.mean for _, p in points], look))
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
    return joined([], [], look, line.title)


def _figures(n: Numbers) -> Iterator[Figure]:
    names, look = Namer("few_shot"), looks(n.design)
    for curve in SECTION.of(n):
        title = f"{curve.target}: test {curve.metric} against the number of labelled examples, one line per method"
        yield Figure(names(curve.target), title, drawn(_curve, curve, look))


def _numbers(sources: Sources, n: Numbers) -> tuple[Curve, ...]:
    targets = [t for t in n.design.targets if t in sources.metrics]
    curves = (compute(sources.test_scores, n.design, t, sources.metrics[t]) for t in targets)
    return tuple(c for c in curves if c is not None)


def _words(n: Numbers) -> Iterator[str]:
    if SECTION.of(n):
        yield (
            "Mean and 95 % t-interval of the test scores, and below them the paired difference to the baseline; points "
            "are shifted sideways a little so that the bars stay apart."
        )
    elif not n.design.shots:
        yield "None: the study has no few-shot settings."
    elif len(n.design.shots) == 1:
        yield "None: a curve takes more than one number of shots."
    else:
        yield "None: fewer than two numbers of shots have results."


def _content(n: Numbers) -> Iterator[Block]:
    yield Pictures(tuple(_figures(n)))
    yield Words(n.words["curves"])


SECTION: Section[tuple[Curve, ...]] = Section("curves", "Few-shot curves", _content, _numbers, words={"curves": _words})
