"""Weights of tasks that a method learned while it trained: their course from update to update, from the records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from raystudy.analysis.figures import (
    COLOURS,
    INK,
    MARKERS,
    STYLES,
    Figure,
    Look,
    Namer,
    drawn,
    grid_lines,
    heading,
    joined,
    legend,
)
from raystudy.analysis.frame import Key, repeats
from raystudy.analysis.heatmap import Shares, share_maps
from raystudy.analysis.numbers import Design, Numbers
from raystudy.analysis.phrases import setting_name, some
from raystudy.analysis.section import Block, Pictures, Section, TableBlock, Words
from raystudy.analysis.stats import Interval, interval
from raystudy.analysis.table import Cell, Column, Note, Table, changes, place
from raystudy.spec import Record

__all__ = ["MEANING", "SECTION", "TaskWeights", "compute", "estimate", "task_weights_table"]

# its keys: tasks (K names), target, multiplier and effective (rows of K weights), cosine (a row of K for each update)
FACT = "omega"
MEANING = (
    "Multiplier: the factor in the loss, by which the papers list their weights. In effect: a task's part of the "
    "training, which is proportional to its weight and, where batches are drawn from all tasks together, to its size."
)


@dataclass(frozen=True)
class TaskWeights:
    """The weights of tasks in the loss, which a method set or learned while it trained.

    Attributes:
        seeds: the seeds of the trainings whose records have the weights.
        tasks: (t,) the tasks that have a weight.
        multiplier: (seeds, rounds, t) factors in the loss: at first, and behind each update of the weights.
        effective: (seeds, rounds, t) the same as parts of the training, which also depend on the tasks' sizes.
        cosine: (t,) intervals over the seeds of the mean cosine of the gradients of the task and of the target; n is 0
            where the weights do not follow it.
    """

    variant: str
    target: str
    setting: str
    seeds: tuple[int, ...]
    tasks: tuple[str, ...]
    multiplier: tuple[tuple[tuple[float, ...], ...], ...]
    effective: tuple[tuple[tuple[float, ...], ...], ...]
    cosine: tuple[Interval, ...]

    @property
    def updates(self) -> int:
        """How often the weights were updated."""
        return len(self.multiplier[0]) - 1

    def values(self, space: Literal["multiplier", "effective"], step: int, task: int) -> tuple[float, ...]:
        """The weight of a task, by its place, behind `step` updates (-1: at the end): a value for each seed."""
        courses = self.multiplier if space == "multiplier" else self.effective
        return tuple(course[step][task] for course in courses)

    def after(self, space: Literal["multiplier", "effective"], step: int, task: int) -> Interval:
        """The mean of these values over the seeds."""
        return interval(self.values(space, step, task))


def compute(records: Iterable[Record], design: Design) -> list[TaskWeights]:
    """The weights of the finished confirm-phase cells, by target, setting and method as in the tables.

    Raises:
        ValueError: the cells of one entry do not weigh the same tasks, or not equally often.
    """
    found = repeats(records, design, lambda r: bool(r.facts.get(FACT)))
    return [_weights(cell, group) for cell, group in found.items()]


def _weights(cell: Key, group: Sequence[Record]) -> TaskWeights:
    facts = [r.facts[FACT] for r in group]
    tasks = tuple(facts[0]["tasks"])
    rounds = len(facts[0]["multiplier"])
    if any(tuple(f["tasks"]) != tasks or len(f["multiplier"]) != rounds for f in facts):
        raise ValueError(f"{cell[0]} on {cell[1]} ({cell[2]}): its seeds must weigh the same tasks equally often")

    def courses(name: str) -> tuple[tuple[tuple[float, ...], ...], ...]:
        return tuple(tuple(tuple(map(float, row)) for row in f[name]) for f in facts)

    return TaskWeights(
        *cell,
        seeds=tuple(r.spec.seed for r in group),
        tasks=tasks,
        multiplier=courses("multiplier"),
        effective=courses("effective"),
        cosine=tuple(
            interval([c for f in facts for c in [_mean([row[t] for row in f.get("cosine", ())])] if c is not None])
            for t in range(len(tasks))
        ),
    )


def _mean(cosines: Sequence[float | None]) -> float | None:
    defined = [c for c in cosines if c is not None]
    return sum(defined) / len(defined) if defined else None


def estimate(x: Interval) -> Cell:
    """The ``estimate`` of an interval in its own units; an empty cell where the interval is of no value."""
    return Cell(x.mean, half=x.half if x.n > 1 else None, n=x.n) if x.n else Cell()


def task_weights_table(weights: Sequence[TaskWeights], design: Design) -> Table:
    """A table with a row per method, target, setting and task: its weight at first, and behind the last update."""
    columns = (
        Column("variant", "method"),
        Column("target", "target"),
        Column("setting", "setting"),
        Column("task", "task", "code"),
        Column("first", "multiplier at first", "number", 3),
        Column("last", "multiplier at the end", "estimate", 3),
        Column("effective", "in effect at the end", "estimate", 3),
        Column("cosine", "cosine with the target", "estimate", 3),
    )
    rows = [
        (
            Cell(w.variant, design.title(w.variant)),
            Cell(w.target),
            Cell(w.setting),
            Cell(task),
            Cell(w.after("multiplier", 0, t).mean),
            estimate(w.after("multiplier", -1, t)),
            estimate(w.after("effective", -1, t)),
            estimate(w.cosine[t]),
        )
        for w in weights
        for t, task in enumerate(w.tasks)
    ]
    notes = [Note(MEANING)]
    if any(c.n for w in weights for c in w.cosine):
        notes.append(Note("Cosine: of the gradients of the task and of the target, a mean over all updates."))
    breaks = changes([(w.variant, w.target, w.setting) for w in weights for _ in w.tasks])
    caption = (
        "Weights of the tasks in the loss: mean ± half-width of the 95 % t-interval (number of seeds). "
        f"{design.conditions}"
    )
    return Table("task_weights", caption, columns, tuple(rows), tuple(notes), breaks)


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
    heading(canvas, f"{target}, {setting_name(weights[0].setting)}")
    names = {t: f"{t} (target)" if t == target else t for t in shown}
    legend(canvas, [joined([], [], look[t], names[t]) for t in shown], 3)
    return canvas


def _course(axes: Axes, w: TaskWeights, space: Literal["multiplier", "effective"], look: dict[str, Look]) -> None:
    """The course of every task's weight: the mean over the seeds, in a band from the least to the greatest of them."""
    x = list(range(w.updates + 1))
    for t, task in enumerate(w.tasks):
        values = [w.values(space, step, t) for step in x]
        line = joined(x, [sum(v) / len(v) for v in values], look[task])
        line.set_markevery(max(1, w.updates // 8))
        axes.add_line(line)
        if len(w.seeds) > 1:
            least, greatest = [min(v) for v in values], [max(v) for v in values]
            axes.fill_between(x, least, greatest, color=look[task].colour, alpha=0.18, linewidth=0, zorder=2)
    axes.set_xlim(-0.02 * w.updates, 1.02 * w.updates)
    axes.set_ylim(-0.03, 1.03)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    grid_lines(axes, "y")


def _maps(n: Numbers) -> Iterator[Figure]:
    """For each setting with several targets, a map per method: the part that each task has in training each target."""
    names = Namer("source_target")
    for setting in n.design.settings:
        maps = []
        for m in n.design.methods:
            found = [w for w in SECTION.of(n) if (w.variant, w.setting) == (m.variant, setting) and w.updates]
            tasks, targets = [*dict.fromkeys(t for w in found for t in w.tasks)], [w.target for w in found]
            if len(targets) > 1:
                of = {w.target: {t: w.after("effective", -1, i).mean for i, t in enumerate(w.tasks)} for w in found}
                values = np.array([[of[target].get(t, math.nan) for target in targets] for t in tasks])
                maps.append(Shares(m.title, tuple(tasks), tuple(targets), values))
        if maps:
            title = f"{setting}: the part in effect at the end of each task (row) in training each target (column)"
            yield share_maps(names(setting.replace("=", "")), title, maps, f"{setting_name(setting)}: source by target")


def _figures(n: Numbers) -> Iterator[Figure]:
    yield from _maps(n)
    names = Namer("task_weights")
    for target in n.design.targets:
        for setting in n.design.settings:
            learned = [w for w in SECTION.of(n) if (w.target, w.setting) == (target, setting) and w.updates]
            if learned:
                title = f"{target}, {setting}: the weight of every task after each update of the weights"
                stem = names(f"{target} {setting.replace('=', '')}")
                yield Figure(stem, title, drawn(_courses, learned, n.design))


def _words(n: Numbers) -> Iterator[str]:
    learned = [w for w in SECTION.of(n) if w.updates]
    if learned:
        yield (
            "A line is the mean over the seeds, and the band around it goes from the least to the greatest of them. "
            "In joint training the target's own weight rises whatever the sources are, because its gradient is "
            "compared with itself; what the target made of the sources shows in how these differ from one another."
        )
    descriptions = []
    for w in learned:
        sources = [t for t, name in enumerate(w.tasks) if name != w.target]
        if len(sources) < 2:
            continue
        last = {t: w.after("effective", -1, t).mean for t in sources}
        most, least = max(sources, key=lambda t: last[t]), min(sources, key=lambda t: last[t])
        descriptions.append(
            f"{n.design.title(w.variant)} on {place(w.target, w.setting)}: {w.tasks[most]} {last[most]:.2g}, "
            f"{w.tasks[least]} {last[least]:.2g}"
        )
    if descriptions:
        yield f"The sources with the greatest and the least part of the training at the end: {some(descriptions)}."


def _content(n: Numbers) -> Iterator[Block]:
    yield Pictures(tuple(_figures(n)))
    yield Words(n.words["task_weights"])
    if SECTION.of(n):
        yield TableBlock(task_weights_table(SECTION.of(n), n.design), filter=True)


SECTION: Section[tuple[TaskWeights, ...]] = Section(
    "task_weights",
    "Task weights",
    _content,
    lambda sources, n: tuple(compute(sources.records, n.design)),
    words={"task_weights": _words},
    anchor="task-weights",
)
