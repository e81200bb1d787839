"""How often each method answered with which class on the test set: a method that always says the same shows here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from raystudy.analysis.frame import Key, repeats
from raystudy.analysis.numbers import Design, Numbers
from raystudy.analysis.phrases import some
from raystudy.analysis.section import Block, Section, TableBlock, Words
from raystudy.analysis.stats import Interval, interval
from raystudy.analysis.table import Cell, Column, Note, Table, changes, counted, percent, place
from raystudy.spec import Record

__all__ = ["FEW", "SECTION", "AnswerShares", "answers_table", "compute"]

PREDICTED, GOLD = "predicted", "gold"  # facts: {split: {class: how often}}
FEW = 0.1  # nearly always the same answer: all others together less than a tenth as often as they occur


@dataclass(frozen=True)
class AnswerShares:
    """How often a method answered with which class on the test set, in shares of its answers.

    Attributes:
        seeds: the seeds of the trainings whose records say what was answered.
        most: the most frequent answer; empty for a class of another task.
        share, gold: the share of that class among the answers, and in the test set.
        distance: the total variation between the shares of the classes among the answers and in the test set.
        same: in how many seeds one answer was given nearly always.
    """

    variant: str
    target: str
    setting: str
    seeds: tuple[int, ...]
    most: str
    share: Interval
    gold: float
    distance: Interval
    same: int


def compute(records: Iterable[Record], design: Design) -> list[AnswerShares]:
    """The answers of the finished confirm-phase cells, floors apart, by target, setting and method as in the tables.

    Records that do not say what was answered are passed over, and so are targets without classes.
    """

    def says_what_was_answered(r: Record) -> bool:
        has_counts = all(r.facts.get(what, {}).get("test") for what in (PREDICTED, GOLD))
        return has_counts and design.role(r.spec.variant) != "floor"

    return [_answers(cell, group) for cell, group in repeats(records, design, says_what_was_answered).items()]


def _answers(cell: Key, group: Sequence[Record]) -> AnswerShares:
    shares = [_shares(r.facts[PREDICTED]["test"]) for r in group]
    gold = [_shares(r.facts[GOLD]["test"]) for r in group]
    classes = sorted({c for s in (*shares, *gold) for c in s})
    mean = {c: sum(s.get(c, 0.0) for s in shares) for c in classes}
    most_frequent = max(classes, key=lambda c: mean[c])
    constant_seeds = 0
    for s, g in zip(shares, gold, strict=True):
        most = max(s, key=lambda c: s[c])
        others = 1 - g.get(most, 0.0)
        constant_seeds += others > 0 and 1 - s[most] <= FEW * others
    distances = [
        sum(abs(s.get(c, 0.0) - g.get(c, 0.0)) for c in classes) / 2 for s, g in zip(shares, gold, strict=True)
    ]
    return AnswerShares(
        *cell,
        seeds=tuple(r.spec.seed for r in group),
        most=most_frequent,
        share=interval([s.get(most_frequent, 0.0) for s in shares]),
        gold=sum(g.get(most_frequent, 0.0) for g in gold) / len(gold),
        distance=interval(distances),
        same=constant_seeds,
    )


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {c: n / total for c, n in counts.items()}


def answers_table(answers: Sequence[AnswerShares], design: Design) -> Table:
    """A table with a row per method, target and setting.

    A row has the most frequent answer, and how far the shares of all answers are from those of the gold labels.
    """
    columns = (
        Column("variant", "method"),
        Column("target", "target"),
        Column("setting", "setting"),
        Column("most", "most frequent answer"),
        Column("share", "its share", "estimate"),
        Column("gold", "its share of the test set", "number"),
        Column("distance", "distance from the test set", "estimate"),
        Column("same", "seeds with one answer", "count"),
    )
    rows = [
        (
            Cell(a.variant, design.title(a.variant)),
            Cell(a.target),
            Cell(a.setting),
            Cell(a.most, a.most or "a class of another task"),
            percent(a.share),
            Cell(100 * a.gold),
            percent(a.distance),
            Cell(a.same),
        )
        for a in answers
    ]
    notes = (
        Note(
            "Distance: the total variation between the shares of the classes among the answers and in the test set: "
            "the least part of the answers that is certain to be wrong."
        ),
        Note("Seeds with one answer: the other classes were answered less than a tenth as often as they occur."),
    )
    breaks = changes([(a.target, a.setting) for a in answers])
    caption = (
        "What was answered on the test set, × 100: mean ± half-width of the 95 % t-interval (number of seeds). "
        f"{design.conditions}"
    )
    return Table("answers", caption, columns, tuple(rows), notes, breaks)


def _words(n: Numbers) -> Iterator[str]:
    answers = SECTION.of(n)
    if not answers:
        return
    same = [a for a in answers if a.same]
    if not same:
        yield "Nowhere was nearly always the same answer given."
        return
    descriptions = [
        f"{n.design.title(a.variant)} on {place(a.target, a.setting)}, {a.same} of {counted(len(a.seeds), 'seed')}"
        for a in same
    ]
    yield (
        f"Nearly always the same answer: {some(descriptions)}. A score like this is that of a class, not of a method."
    )


def _content(n: Numbers) -> Iterator[Block]:
    yield Words(n.words["answers"])
    yield TableBlock(answers_table(SECTION.of(n), n.design), filter=True)


SECTION: Section[tuple[AnswerShares, ...]] = Section(
    "answers",
    "Answers",
    _content,
    lambda sources, n: tuple(compute(sources.records, n.design)),
    words={"answers": _words},
)
