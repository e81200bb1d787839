"""Statistics of the data: what is at hand beside what the paper says it had. Nothing is trained, no model is needed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from raystudy.analysis.shown import Shown
from raystudy.analysis.table import Cell, Column, Note, Table, listed
from raystudy.errors import Problem, UserError
from raystudy.exhibits import LIMITS, PLANTED, Exhibit, Scale
from raystudy.exhibits._papers import Published
from raystudy.exhibits._setup import grouped
from raystudy.spec import Places
from raystudy.tasks import SPLITS, Task, load

__all__ = ["read", "statistics"]


def read(names: tuple[str, ...], scale: Scale, places: Places) -> tuple[dict[str, Task], dict[str, UserError]]:
    """The tasks that can be read, and what is wrong with the others.

    Raises:
        UserError: none can be read; the problems of all.
    """
    root = Path(places.data_root) if places.data_root else None
    options: Mapping[str, Mapping[str, object]] = PLANTED if scale == "smoke" else {}
    tasks: dict[str, Task] = {}
    wrong: dict[str, UserError] = {}
    for name in names:
        try:
            tasks[name] = load(name, root=root, options=options.get(name.partition("/")[0]))
        except UserError as e:
            wrong[name] = e
    if not tasks:
        worst = max(wrong.values(), key=lambda e: e.exit_code)
        raise type(worst)(dict.fromkeys(p for e in wrong.values() for p in e.problems))
    return tasks, wrong


def statistics(exhibit: Exhibit, scale: Scale, places: Places) -> Shown:
    """Classes and examples of every task of the exhibit, with the published counts below and the difference to them."""
    names, printed = exhibit.tasks(scale), exhibit.paper.published(exhibit.label) if scale != "smoke" else Published()
    tasks, wrong = read(names, scale, places)
    short = [f"{exhibit.paper.tasks.get(name, name)}: {_first(e.problems)}" for name, e in wrong.items()]
    notes = [
        *([Note("Below each count: the published one and, in brackets, ours minus it.")] if printed.file else []),
        *([Note(f"Not read: {'; '.join(short)}")] if short else []),
    ]
    if scale == "small":
        caps = f"at most {listed(f'{n} {split}' for split, n in LIMITS.items())} examples of each"
        said = exhibit.paper.small or caps
        notes.append(Note(f"These are all that is at hand; at scale small a study reads {said}."))
    counts = Table(
        exhibit.stem,
        f"{exhibit.title}: classes and examples of the data at hand.",
        (
            Column("data set", "data set"),
            Column("task", "task", "code"),
            Column("num_labels", "classes", "count"),
            *(Column(split, split, "count") for split in SPLITS),
            Column("labels", "labels"),
        ),
        tuple(_row(exhibit, name, tasks.get(name), printed) for name in names),
        tuple(notes),
    )
    made: dict[tuple[str, str], list[str]] = {}
    for name, t in tasks.items():
        made.setdefault((t.licence, t.source), []).append(exhibit.paper.tasks.get(name, name))
    sources = Table(
        f"{exhibit.stem}_sources",
        "Where the data are from.",
        (Column("data set", "data set"), Column("licence", "licence"), Column("source", "source")),
        tuple((Cell(listed(names)), Cell(licence), Cell(source)) for (licence, source), names in made.items()),
    )
    return Shown(
        title=f"{exhibit.title}, scale {scale}",
        about=f"{exhibit.about[:1].upper()}{exhibit.about[1:]}. {exhibit.paper.citation}.",
        setup=(*grouped({exhibit.paper.tasks.get(name, name): t.notes for name, t in tasks.items()}), *exhibit.notes),
        tables=(counts, sources),
        facts={
            "raystudy": version("raystudy"),
            "data root": places.data_root or "none",
            **{f"digest of {name}": t.digest for name, t in tasks.items()},
        },
    )


def _first(problems: tuple[Problem, ...]) -> str:
    """The first sentence of the first problem: a table's note is no place for how to download."""
    return problems[0].message.partition(". ")[0].rstrip(".") + "."


def _row(exhibit: Exhibit, name: str, task: Task | None, printed: Published) -> tuple[Cell, ...]:
    known, theirs = exhibit.paper.tasks.get(name, ""), exhibit.paper.dataset(name)

    def count(ours: int | None, what: str) -> Cell:
        number = printed.find(dataset=theirs, setting=what) if theirs else None
        if number is None and theirs:
            number = printed.find(dataset=theirs, metric=what)
        return Cell(ours, published=number.value if number is not None else None)

    words = ", ".join(task.text_of(c) for c in task.labels) if task is not None else ""
    return (
        Cell(known or name),
        Cell(name),
        count(len(task.labels) if task is not None else None, "num_labels"),
        *(count(len(task.splits[s]) if task is not None else None, s) for s in SPLITS),
        Cell(words or None),
    )
