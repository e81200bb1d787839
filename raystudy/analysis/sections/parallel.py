"""Every trial of a search as a line across all searched settings (parallel coordinates): where the good ones lie."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from raystudy.analysis.figures import COLOURS, GRID, INK, Figure, Namer, drawn, heading
from raystudy.analysis.numbers import Design, Numbers, Search, TrialResult
from raystudy.analysis.phrases import setting_name
from raystudy.analysis.section import Block, Pictures, Section, Words
from raystudy.analysis.sections import search_space
from raystudy.wording import spelt

__all__ = ["SECTION", "heights"]

_FEWEST_TRIALS, _FEWEST_SETTINGS = 5, 2
_MOST = 12  # searches that are drawn: more make a page that nobody scrolls through


def heights(values: Sequence[Any], log: bool) -> tuple[list[float], list[tuple[float, str]]]:
    """Where each value stands on an axis from 0 to 1, and the ticks of the axis.

    Numbers stand by their size, or by its logarithm; other values, and those among them that are missing, at equal
    steps in the order in which they were tried.
    """
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(values) and not (log and min(numbers) <= 0):
        scaled = [math.log(x) for x in numbers] if log else numbers
        low, high = min(scaled), max(scaled)
        at = [(x - low) / (high - low) if high > low else 0.5 for x in scaled]
        ends = sorted({(a, spelt(v, 2)) for a, v in zip(at, values, strict=True) if a in (min(at), max(at))})
        return at, ends
    names = list(dict.fromkeys(spelt(v) or "empty" for v in values))
    step = {name: i / max(len(names) - 1, 1) for i, name in enumerate(names)}
    return [step[spelt(v) or "empty"] for v in values], [(y, name) for name, y in step.items()]


def _complete(s: Search) -> list[TrialResult]:
    return [t for t in s.trials if t.state == "complete" and not math.isnan(t.dev)]


def _shown(n: Numbers) -> list[Search]:
    of_many = (len(_complete(s)) >= _FEWEST_TRIALS and len(s.searched) >= _FEWEST_SETTINGS for s in n.searches)
    return [s for s, many in zip(n.searches, of_many, strict=True) if many][:_MOST]


def _draw(search: Search, log: Mapping[str, bool], design: Design) -> Canvas:
    trials, names = _complete(search), search.searched
    canvas = Canvas(figsize=(max(1.15 * len(names) + 1.2, 4.2), 3.1), layout="constrained")
    axes: Axes = canvas.subplots()
    lines: dict[int, list[float]] = {}
    for x, name in enumerate(names):
        at, ticks = heights([t.settings.get(name) for t in trials], log.get(name, False))
        axes.axvline(x, color=GRID, linewidth=1, zorder=1)
        for y, text in ticks:
            axes.text(x + 0.04, y, textwrap.shorten(text, 12, placeholder="…"), fontsize=7.5, va="center", zorder=5)
        for i, y in enumerate(at):
            lines.setdefault(i, []).append(y)
    scores = [t.dev for t in trials]
    low, spread = min(scores), max(max(scores) - min(scores), 1e-9)
    for i in sorted(lines, key=lambda i: scores[i]):  # the best on top
        across, best = range(len(names)), trials[i].winner
        colour, width = (COLOURS[1], 2.6) if best else (COLOURS[0], 1.2)
        alpha = 1.0 if best else 0.12 + 0.8 * (scores[i] - low) / spread
        axes.plot(across, lines[i], color=colour, linewidth=width, alpha=alpha, zorder=3)
        if trials[i].number == 0:
            ring = {"color": INK, "marker": "o", "markersize": 8, "markerfacecolor": "none", "linestyle": ""}
            axes.plot(across, lines[i], **ring, zorder=4)  # type: ignore[arg-type]
    axes.set_xticks(range(len(names)), [textwrap.fill(name, 14) for name in names], fontsize=8.5)
    axes.set_xlim(-0.1, len(names) - 0.55)
    axes.set_ylim(-0.06, 1.06)
    axes.set_yticks([])
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    heading(canvas, f"{design.title(search.variant)} on {search.target}, {setting_name(search.setting)}")
    return canvas


def _figures(n: Numbers) -> Iterator[Figure]:
    names = Namer("parallel")
    logs = {(s.arm.variant, str(s.arm.setting), s.name): s.scale == "log" for s in search_space.SECTION.of(n)}
    for s in _shown(n):
        title = f"{n.design.title(s.variant)} on {s.target}, {s.setting}: every trial across the searched settings"
        log = {name: logs.get((s.variant, s.setting, name), False) for name in s.searched}
        stem = names(f"{s.variant} {s.target} {s.setting.replace('=', '')}")
        yield Figure(stem, title, drawn(_draw, s, log, n.design))


def _words(n: Numbers) -> Iterator[str]:
    if _shown(n):
        yield (
            "A line is a complete trial, at its value of every searched setting; the stronger its colour, the "
            f"better on dev. The thick line is the winner, rings are trial 0. At most {_MOST} searches are drawn."
        )


def _content(n: Numbers) -> Iterator[Block]:
    yield Words(n.words["parallel"])
    yield Pictures(tuple(_figures(n)))


SECTION: Section[None] = Section("parallel", "Trials across settings", _content, words={"parallel": _words}, level=3)
