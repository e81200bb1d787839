"""Weights of tasks that a method learned while it trained: their course from update to update, from the records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from raystudy.analysis.frame import Key, repeats
from raystudy.analysis.numbers import Design, TaskWeights
from raystudy.analysis.stats import Interval, interval
from raystudy.analysis.table import Cell, Column, Note, Table, changes
from raystudy.spec import Record

__all__ = ["MEANING", "compute", "estimate", "task_weights_table"]

# its keys: tasks (K names), target, multiplier and effective (rows of K weights), cosine (a row of K for each update)
FACT = "omega"
MEANING = (
    "Multiplier: the factor in the loss, by which the papers list their weights. In effect: a task's part of the "
    "training, which is proportional to its weight and, where batches are drawn from all tasks together, to its size."
)


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
