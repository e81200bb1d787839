"""What was answered for which class: confusion matrices, and precision, recall and F1 of every class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raystudy.analysis.figures import Figure, Namer
from raystudy.analysis.frame import Key, repeats
from raystudy.analysis.heatmap import Shares, share_maps
from raystudy.analysis.numbers import Numbers
from raystudy.analysis.phrases import setting_name
from raystudy.analysis.section import Block, Pictures, Section, TableBlock, Words
from raystudy.analysis.sources import Sources
from raystudy.analysis.stats import Interval, interval
from raystudy.analysis.table import Cell, Column, Note, Table, changes, percent
from raystudy.analysis.tables import method_cell

__all__ = ["SECTION", "ClassScores", "class_scores", "class_table", "leading"]

Answered = tuple[Sequence[str], Sequence[str]]

_MOST_CLASSES = 20  # more make a table and a map that nobody reads
_SHOWN = 3  # matrices of one target


@dataclass(frozen=True)
class ClassScores:
    """How a method did on every class of a target.

    Attributes:
        seeds: the seeds whose answers could be read.
        classes: (c,) in alphabetical order.
        support: (c,) how many test examples each class has.
        confusion: (c, c) of the examples of the class of a row, the share that was answered with the class of a
            column; the mean over the seeds. A row adds up to less than 1 where classes of other tasks were answered.
        precision, recall, f1: (c,) intervals over the seeds; 0 where a class was never answered.
    """

    variant: str
    target: str
    setting: str
    seeds: tuple[int, ...]
    classes: tuple[str, ...]
    support: tuple[int, ...]
    confusion: tuple[tuple[float, ...], ...]
    precision: tuple[Interval, ...]
    recall: tuple[Interval, ...]
    f1: tuple[Interval, ...]


def class_scores(
    cell: Key, seeds: Sequence[int], answers: Sequence[tuple[Sequence[str], Sequence[str]]]
) -> ClassScores:
    """The scores of one entry of the main table, from its (gold, answered) classes seed by seed."""
    classes = sorted({c for gold, _ in answers for c in gold})
    place = {c: i for i, c in enumerate(classes)}
    c = len(classes)
    counts: NDArray[np.float64] = np.zeros((len(answers), c, c + 1))  # the last column: classes of other tasks
    for s, (gold, answered) in enumerate(answers):
        for g, p in zip(gold, answered, strict=True):
            counts[s, place[g], place.get(p, c)] += 1
    support = counts.sum(axis=2)  # (seeds, c)
    given = counts.sum(axis=1)[:, :c]  # (seeds, c)
    right = np.diagonal(counts[:, :, :c], axis1=1, axis2=2)  # (seeds, c)

    def ratio(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[Interval, ...]:
        of_seeds = np.divide(a, b, out=np.zeros_like(a), where=b > 0)
        return tuple(interval(column) for column in of_seeds.T)

    shares = (counts[:, :, :c] / np.maximum(support, 1)[:, :, None]).mean(axis=0)
    return ClassScores(
        *cell,
        tuple(seeds),
        tuple(classes),
        tuple(int(n) for n in support[0]),
        tuple(tuple(map(float, row)) for row in shares),
        ratio(right, given),
        ratio(right, support),
        ratio(2 * right, given + support),
    )


def _numbers(sources: Sources, n: Numbers) -> tuple[ClassScores, ...]:
    out = []
    for cell, group in repeats(sources.records, n.design, lambda r: n.design.role(r.spec.variant) != "floor").items():
        read = [(r.spec.seed, a) for r in group if (a := sources.answers(r.id)) is not None]
        if read and len({c for _, (gold, _) in read for c in gold}) <= _MOST_CLASSES:
            out.append(class_scores(cell, [seed for seed, _ in read], [a for _, a in read]))
    return tuple(out)


def leading(n: Numbers, target: str, setting: str) -> list[str]:
    """The variants of a column that are worth a closer look: the baseline, then the others with the best mean first."""
    known = [s for s in n.scores if (s.target, s.setting) == (target, setting) and s.seeds]
    trained = [s for s in known if n.design.role(s.variant) not in ("floor", "bound")]
    ranked = sorted(trained, key=lambda s: -s.summary.mean)
    return [s.variant for s in sorted(ranked, key=lambda s: s.variant != n.design.baseline)]


def class_table(n: Numbers) -> Table:
    """A row per method, target, setting and class."""
    columns = (
        Column("variant", "method"),
        Column("target", "target"),
        Column("setting", "setting"),
        Column("class", "class"),
        Column("support", "test examples", "count"),
        Column("precision", "precision", "estimate"),
        Column("recall", "recall", "estimate"),
        Column("f1", "F1", "estimate"),
    )
    rows, keys = [], []
    for s in SECTION.of(n):
        for i, name in enumerate(s.classes):
            keys.append((s.target, s.setting, s.variant))
            head = (method_cell(n.design, s.variant), Cell(s.target), Cell(s.setting), Cell(name), Cell(s.support[i]))
            rows.append((*head, percent(s.precision[i]), percent(s.recall[i]), percent(s.f1[i])))
    caption = (
        "Scores of every class on the test set, × 100: mean ± half-width of the 95 % t-interval (number of seeds). "
        f"{n.design.conditions}"
    )
    note = Note("A class that was never answered has precision and F1 zero.")
    return Table("classes", caption, columns, tuple(rows), (note,), changes(keys))


def _figures(n: Numbers) -> Iterator[Figure]:
    names = Namer("confusion")
    of = {(s.variant, s.target, s.setting): s for s in SECTION.of(n)}
    for target, setting in n.design.pairs:
        found = [of[v, target, setting] for v in leading(n, target, setting) if (v, target, setting) in of][:_SHOWN]
        if found:
            maps = [Shares(n.design.title(s.variant), s.classes, s.classes, np.array(s.confusion)) for s in found]
            title = f"{target}, {setting}: of each class (row) the share answered with each class (column)"
            heading = f"{target}, {setting_name(setting)}"
            yield share_maps(names(f"{target} {setting.replace('=', '')}"), title, maps, heading)


def _words(n: Numbers) -> Iterator[str]:
    if SECTION.of(n):
        yield (
            "A row is a class of the test set, a column an answer, and a cell the share of the row; a frame marks the "
            f"most frequent answer. Shown are the baseline and the best others, {_SHOWN} in all; all are in the table."
        )


def _content(n: Numbers) -> Iterator[Block]:
    if not SECTION.of(n):
        return
    yield Pictures(tuple(_figures(n)))
    yield Words(n.words["classes"])
    table = class_table(n)
    yield TableBlock(table, filter=True, fold=f"Precision, recall and F1 of every class: {len(table.rows)} rows")


SECTION: Section[tuple[ClassScores, ...]] = Section(
    "classes", "Class by class", _content, _numbers, words={"classes": _words}
)
