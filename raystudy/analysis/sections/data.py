"""What is known of the data of every task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from raystudy.analysis.numbers import Numbers, TaskFacts
from raystudy.analysis.section import Block, Section, TableBlock
from raystudy.analysis.table import Cell, Column, Note, Table

__all__ = ["SECTION", "tasks_table"]


def tasks_table(tasks: Sequence[TaskFacts]) -> Table:
    """What is known of the data, with a row per task."""
    columns = (
        Column("task", "task"),
        Column("role", "role"),
        Column("form", "form"),
        Column("classes", "classes", "count"),
        *(Column(split, split, "count") for split in ("train", "dev", "test")),
        Column("metric", "metric"),
        Column("source", "source"),
        Column("licence", "licence"),
        Column("digest", "digest", "code"),
    )
    rows = [
        (
            Cell(t.name),
            Cell(t.role),
            Cell(t.form),
            Cell(t.classes or None),
            *(Cell(x) for x in (t.train, t.dev, t.test)),
            *(Cell(x) for x in (t.metric, t.source, t.licence, t.digest)),
        )
        for t in tasks
    ]
    notes = tuple(Note(f"{t.name}: {note}") for t in tasks for note in t.notes)
    return Table("data", "Data: examples per split, after the study's limits.", columns, tuple(rows), notes)


def _content(n: Numbers) -> Iterator[Block]:
    yield TableBlock(tasks_table(n.tasks))


SECTION: Section[None] = Section("data", "Data", _content, level=3)
