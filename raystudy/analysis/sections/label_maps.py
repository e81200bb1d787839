"""Learned label maps: which classes of the target a method took the classes of a source to mean, from the records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raystudy.analysis.figures import Figure, Namer
from raystudy.analysis.frame import Key, repeats
from raystudy.analysis.heatmap import Shares, share_maps
from raystudy.analysis.numbers import Design, Numbers
from raystudy.analysis.section import Block, Pictures, Section, Words
from raystudy.analysis.stats import Interval, interval
from raystudy.analysis.table import Cell, Column, Note, Table, counted, percent
from raystudy.spec import Record

__all__ = ["LARGEST", "SECTION", "LabelMap", "compute", "label_map_figures", "label_map_table", "shares_of"]

FACT = "label_map"  # {"target_classes": [k], "sources": {source: {"classes": [s], "mean": [s] of [k] or null}}}
WIDE = 6  # a table with a column per class of the target has at most so many
LARGEST = 3  # else it lists so many of them for every class of a source


@dataclass(frozen=True)
class LabelMap:
    """What a method took the classes of a source to mean for its target: mean soft labels, one interval per share.

    Attributes:
        seeds: the seeds of the trainings whose records have the map.
        classes: (s,) classes of the source, in the order of its head.
        target_classes: (k,) classes of the target, in the order of its head.
        shares: (s, k) intervals over the seeds; the means of each row add up to one. n is 0 where no example of the
            class was looked at.
    """

    variant: str
    target: str
    setting: str
    source: str
    seeds: tuple[int, ...]
    classes: tuple[str, ...]
    target_classes: tuple[str, ...]
    shares: tuple[tuple[Interval, ...], ...]


def compute(records: Iterable[Record], design: Design) -> list[LabelMap]:
    """The maps of the finished confirm-phase cells: by target, setting and method as in the tables, then by source.

    Raises:
        ValueError: the cells of one entry do not speak of the same classes.
    """
    records_of_cell = repeats(records, design, lambda r: FACT in r.facts)
    return [label_map for cell, group in records_of_cell.items() for label_map in _maps(cell, group)]


def _maps(cell: Key, group: Sequence[Record]) -> Iterable[LabelMap]:
    maps_of_records = [r.facts[FACT] for r in group]
    first = maps_of_records[0]
    first_sources = first["sources"]
    classes_of_source = {
        source: list(first_sources[source]["classes"]) for source in group[0].spec.suite if source in first_sources
    }
    for other in maps_of_records[1:]:
        theirs = {source: list(m["classes"]) for source, m in other["sources"].items()}
        if theirs != classes_of_source or other["target_classes"] != first["target_classes"]:
            raise ValueError(f"{cell[0]} on {cell[1]} ({cell[2]}): its label maps must be over the same classes")
    seeds = tuple(r.spec.seed for r in group)
    k = range(len(first["target_classes"]))
    for source, classes in classes_of_source.items():
        means = [m["sources"][source]["mean"] for m in maps_of_records]
        rows = [[mean[i] for mean in means if mean[i] is not None] for i in range(len(classes))]
        shares = tuple(tuple(interval([row[j] for row in of_class]) for j in k) for of_class in rows)
        yield LabelMap(*cell, source, seeds, tuple(classes), tuple(first["target_classes"]), shares)


def label_map_table(
    name: str, caption: str, maps: Sequence[LabelMap], titles: Mapping[str, str], notes: Sequence[str] = ()
) -> Table:
    """The shares x 100 of maps to one target.

    The table has a column for each class of the target where these are few; else it lists the largest shares.

    Args:
        titles: variant -> what the table calls it.
    """
    whole = len(maps[0].target_classes) <= WIDE if maps else True
    several = len({m.source for m in maps}) > 1
    lines: list[tuple[Cell, ...]] = []
    breaks: list[int] = []
    for m in maps:
        breaks += [len(lines)] if lines else []
        for label, shares in zip(m.classes, m.shares, strict=True):
            head = (Cell(titles[m.variant]), *([Cell(m.source)] if several else []), Cell(label))
            if whole:
                lines.append((*head, *map(percent, shares)))
                continue
            for j in sorted(range(len(shares)), key=lambda j: (-shares[j].mean if shares[j].n else 0, j))[:LARGEST]:
                lines.append((*head, Cell(m.target_classes[j]), percent(shares[j])))
    classes = maps[0].target_classes if maps and whole else ("share",)
    cols = (
        Column("method", "method"),
        *([Column("source", "source", "code")] if several else []),
        Column("class", "class of the source"),
        *([] if whole else [Column("means", "stands for")]),
        *(Column(c, c, "estimate", group="shares", short=c) for c in classes),
    )
    table_notes = [Note(text) for text in notes]
    if not whole:
        table_notes.append(Note(f"For every class of the source the {LARGEST} largest shares."))
    if any(not s.n for m in maps for shares in m.shares for s in shares):
        table_notes.append(Note("A class without a share is not among the source examples that were looked at."))
    if maps and min(len(m.seeds) for m in maps) < (most := max(len(m.seeds) for m in maps)):
        table_notes.append(Note(f"Some are means over fewer than {counted(most, 'seed')}."))
    return Table(name, caption, cols, tuple(lines), tuple(table_notes), tuple(breaks))


def shares_of(m: LabelMap, title: str) -> Shares:
    """The mean shares of a learned map."""
    values = np.array([[s.mean if s.n else math.nan for s in row] for row in m.shares])
    return Shares(title, m.classes, m.target_classes, values.reshape(len(m.classes), len(m.target_classes)))


def label_map_figures(n: Numbers) -> list[Figure]:
    """A figure for every target and setting, with the learned maps of all methods and sources."""
    names, out = Namer("label_map"), []
    for target in n.design.targets:
        for setting in n.design.settings:
            maps = [m for m in SECTION.of(n) if (m.target, m.setting) == (target, setting)]
            if maps:
                shares = [shares_of(m, f"{n.design.title(m.variant)}: {m.source}") for m in maps]
                what = (
                    f"{target}, {setting}: share of each class of the target in the labels made of a source's classes"
                )
                out.append(share_maps(names(f"{target} {setting.replace('=', '')}"), what, shares))
    return out


def _words(n: Numbers) -> Iterator[str]:
    if SECTION.of(n):
        yield (
            "Each row is a class of the source: the mean of the soft labels that the method made of its training "
            "examples, over the seeds. A frame marks the largest share. Rows that are even, or all alike, say that "
            "nothing was learned from the source's labels."
        )


def _content(n: Numbers) -> Iterator[Block]:
    yield Pictures(tuple(label_map_figures(n)))
    yield Words(n.words["label_maps"])


SECTION: Section[tuple[LabelMap, ...]] = Section(
    "label_maps",
    "Learned label maps",
    _content,
    lambda sources, n: tuple(compute(sources.records, n.design)),
    words={"label_maps": _words},
    nav="Label maps",
    anchor="label-maps",
)
