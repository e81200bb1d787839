"""How the dev scores of a search lie along each of its settings, where the trials are too few to rank the settings.

A slice shows every complete trial at its value of one setting, whatever the others were. With a handful of trials it
says where was looked and what was found there, and nothing about which setting mattered.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from raystudy.analysis.figures import (
    COLOURS,
    INK,
    MARKERS,
    Figure,
    Namer,
    drawn,
    grid_lines,
    heading,
    legend,
    panels_of,
)
from raystudy.analysis.numbers import Design, Numbers, Search, SearchedSetting, TrialResult
from raystudy.analysis.phrases import setting_name
from raystudy.analysis.section import Block, Pictures, Section, TableBlock, Words
from raystudy.analysis.table import Cell, Column, Note, Table, changes, counted
from raystudy.wording import spelt

__all__ = ["IMPORTANCE_TRIALS", "SECTION", "Slice", "SlicePart", "compute", "slices_table"]

IMPORTANCE_TRIALS = 30  # with fewer completed trials an importance is noise, and slices are shown in its place
_VALUES = 6  # up to so many different values each is a part of its own
_DIGITS = 3  # of a value, unless more are needed to tell two of them apart
_PARTS = 3  # else the trials are cut into so many parts, by their values


@dataclass(frozen=True)
class SlicePart:
    """The complete trials of a search with one value of a setting, or with values in one part of its range.

    `value` is the value, or the ends of the part, as text; `mean` and `best` are dev scores.
    """

    value: str
    trials: int
    mean: float
    best: float


@dataclass(frozen=True)
class Slice:
    """The dev scores of a search seen along one of its settings, whatever the others were.

    Attributes:
        points: (value, dev score, number of the trial) of each complete trial.
        log: whether the values are searched on a logarithmic scale.
    """

    variant: str
    target: str
    setting: str
    name: str
    parts: tuple[SlicePart, ...]
    points: tuple[tuple[Any, float, int], ...]
    log: bool = False


def compute(searches: Iterable[Search], spaces: Iterable[SearchedSetting]) -> Iterator[Slice]:
    """The slices of every search with fewer complete trials than an importance takes; none of a search of one trial."""
    log = {(s.arm.variant, str(s.arm.setting), s.name) for s in spaces if s.scale == "log"}
    for search in searches:
        complete = [t for t in search.trials if t.state == "complete" and not math.isnan(t.dev)]
        if not 1 < len(complete) < IMPORTANCE_TRIALS:
            continue
        for name in search.searched:
            there = [t for t in complete if name in t.settings]
            if len({spelt(t.settings[name]) for t in there}) < 2:
                continue
            yield Slice(
                search.variant,
                search.target,
                search.setting,
                name,
                tuple(_parts(name, there)),
                tuple((t.settings[name], t.dev, t.number) for t in there),
                (search.variant, search.setting, name) in log,
            )


def _parts(name: str, trials: Sequence[TrialResult]) -> Iterator[SlicePart]:
    values = {spelt(t.settings[name]): t.settings[name] for t in trials}
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values.values())
    if len(values) <= _VALUES or not numeric:
        ordered = sorted(values, key=lambda text: values[text]) if numeric else [*values]
        apart = (d for d in range(_DIGITS, 18) if len({spelt(values[text], d) for text in ordered}) == len(ordered))
        digits = next(apart)
        for text in ordered:
            shown = spelt(values[text], digits) or "empty"
            yield _part(shown, [t for t in trials if spelt(t.settings[name]) == text])
        return
    by_value = sorted(trials, key=lambda t: (t.settings[name], t.number))
    for i in range(_PARTS):
        part = by_value[len(by_value) * i // _PARTS : len(by_value) * (i + 1) // _PARTS]
        low, high = (spelt(float(t.settings[name]), 3) for t in (part[0], part[-1]))
        yield _part(low if low == high else f"{low} to {high}", part)


def _part(value: str, trials: Sequence[TrialResult]) -> SlicePart:
    dev = [t.dev for t in trials]
    return SlicePart(value, len(trials), math.fsum(dev) / len(dev), max(dev))


def slices_table(slices: Sequence[Slice], design: Design) -> Table:
    """A row per part of a slice: how many trials there were, and how they did on dev."""
    columns = (
        Column("variant", "method"),
        Column("target", "target"),
        Column("setting", "setting"),
        Column("name", "searched"),
        Column("value", "at"),
        Column("trials", "trials", "count"),
        Column("mean", "dev, mean", "number"),
        Column("best", "dev, best", "number"),
    )
    keys, rows = [], []
    for s in slices:
        for part in s.parts:
            keys.append((s.variant, s.target, s.setting, s.name))
            rows.append(
                (
                    Cell(s.variant, design.title(s.variant)),
                    Cell(s.target),
                    Cell(s.setting),
                    Cell(s.name),
                    Cell(part.value),
                    Cell(part.trials),
                    Cell(100 * part.mean),
                    Cell(100 * part.best),
                )
            )
    note = Note(
        "All complete trials, whatever their other settings were: what stands beside one another differs in more than "
        "the setting of the row. Nothing is ranked."
    )
    caption = f"Dev × 100 along each searched setting. {design.conditions}"
    return Table("slices", caption, columns, tuple(rows), (note,), changes(keys))


def _slices(along: Sequence[Slice], design: Design) -> Canvas:
    """A panel per searched setting of one arm: every trial at its value, a colour and a marker per target."""
    names = [*dict.fromkeys(s.name for s in along)]
    targets = [t for t in design.targets if any(s.target == t for s in along)]
    canvas, panels = panels_of(len(names), 2.9, 2.3, share=False)
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
        grid_lines(axes, "y")
    heading(canvas, f"{design.title(along[0].variant)}, {setting_name(along[0].setting)}")
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
    legend(canvas, [*handles, ring], min(len(panels) + 1, 4))
    return canvas


def _figures(n: Numbers) -> Iterator[Figure]:
    names, slices = Namer("slices"), SECTION.of(n)
    for variant, setting in dict.fromkeys((s.variant, s.setting) for s in slices):
        along = [s for s in slices if (s.variant, s.setting) == (variant, setting)]
        title = f"{n.design.title(variant)}, {setting}: dev score of every trial along each searched setting"
        yield Figure(names(f"{variant} {setting.replace('=', '')}"), title, drawn(_slices, along, n.design))


def _words(n: Numbers) -> Iterator[str]:
    if SECTION.of(n):
        arms = len({(s.variant, s.setting) for s in SECTION.of(n)})
        yield (
            f"Below {IMPORTANCE_TRIALS} completed trials ({counted(arms, 'arm')}) the scores are shown along each "
            "searched setting, every trial at its value, and nothing is ranked. The ring is trial 0."
        )


def _content(n: Numbers) -> Iterator[Block]:
    yield Words(n.words["slices"])
    yield Pictures(tuple(_figures(n)))
    if SECTION.of(n):
        yield TableBlock(slices_table(SECTION.of(n), n.design), filter=True)


SECTION: Section[tuple[Slice, ...]] = Section(
    "slices",
    "Along each setting",
    _content,
    lambda sources, n: tuple(compute(n.searches, sources.spaces)),
    words={"slices": _words},
    level=3,
)
