"""Statistics of the data at hand beside those that the paper prints. Nothing is trained, and no model is needed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from raystudy.analysis.exhibit_page import ExhibitPage
from raystudy.analysis.table import Cell, Column, Note, Table, listed
from raystudy.errors import Problem, UserError
from raystudy.exhibits import LIMITS, PLANTED, Exhibit, Scale
from raystudy.exhibits._papers import Published
from raystudy.exhibits._setup import data_notes
from raystudy.spec import Places
from raystudy.tasks import SPLITS, Task, load

__all__ = ["read_tasks", "statistics"]


def read_tasks(names: tuple[str, ...], scale: Scale, places: Places) -> tuple[dict[str, Task], dict[str, UserError]]:
    """The tasks that can be read, and what is wrong with the others.

    Raises:
        UserError: none can be read; the problems of all.
    """
    root = Path(places.data_root) if places.data_root else None
    options: Mapping[str, Mapping[str, object]] = PLANTED if scale == "smoke" else {}
    tasks: dict[str, Task] = {}
    errors: dict[str, UserError] = {}
    for name in names:
        try:
            tasks[name] = load(name, root=root, options=options.get(name.partition("/")[0]))
        except UserError as e:
            errors[name] = e
    if not tasks:
        worst = max(errors.values(), key=lambda e: e.exit_code)
        raise type(worst)(dict.fromkeys(p for e in errors.values() for p in e.problems))
    return tasks, errors


def statistics(exhibit: Exhibit, scale: Scale, places: Places) -> ExhibitPage:
    """The page with the classes and examples of every task of the exhibit, and the published counts below them."""
    names, published = exhibit.tasks(scale), exhibit.paper.published(exhibit.label) if scale != "smoke" else Published()
    tasks, errors = read_tasks(names, scale, places)
    unread = [f"{exhibit.paper.tasks.get(name, name)}: {_first(e.problems)}" for name, e in errors.items()]
    notes = [
        *([Note("Below each count: the published one and, in brackets, ours minus it.")] if published.file else []),
        *([Note(f"Not read: {'; '.join(unread)}")] if unread else []),
    ]
    if scale == "small":
        caps = f"at most {listed(f'{n} {split}' for split, n in LIMITS.items())} examples of each"
        amounts = exhibit.paper.small or caps
        notes.append(Note(f"These are all that is at hand; at scale small a study reads {amounts}."))
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
        tuple(_row(exhibit, name, tasks.get(name), published) for name in names),
        tuple(notes),
    )
    data_sets_of_source: dict[tuple[str, str], list[str]] = {}
    for name, t in tasks.items():
        data_sets_of_source.setdefault((t.licence, t.source), []).append(exhibit.paper.tasks.get(name, name))
    sources = Table(
        f"{exhibit.stem}_sources",
        "Where the data are from.",
        (Column("data set", "data set"), Column("licence", "licence"), Column("source", "source")),
        tuple(
            (Cell(listed(names)), Cell(licence), Cell(source))
            for (licence, source), names in data_sets_of_source.items()
        ),
    )
    return ExhibitPage(
        title=f"{exhibit.title}, scale {scale}",
        about=f"{exhibit.about[:1].upper()}{exhibit.about[1:]}. {exhibit.paper.citation}.",
        setup=(
            *data_notes({exhibit.paper.tasks.get(name, name): t.notes for name, t in tasks.items()}),
            *exhibit.notes,
        ),
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


def _row(exhibit: Exhibit, name: str, task: Task | None, published: Published) -> tuple[Cell, ...]:
    published_name, published_data_set = exhibit.paper.tasks.get(name, ""), exhibit.paper.dataset(name)

    def count(ours: int | None, what: str) -> Cell:
        number = published.find(dataset=published_data_set, setting=what) if published_data_set else None
        if number is None and published_data_set:
            number = published.find(dataset=published_data_set, metric=what)
        return Cell(ours, published=number.value if number is not None else None)

    words = ", ".join(task.text_of(c) for c in task.labels) if task is not None else ""
    return (
        Cell(published_name or name),
        Cell(name),
        count(len(task.labels) if task is not None else None, "num_labels"),
        *(count(len(task.splits[s]) if task is not None else None, s) for s in SPLITS),
        Cell(words or None),
    )
