"""Examples on which the best method and the baseline differ, with their texts, from the stored predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from raystudy.analysis.frame import repeats
from raystudy.analysis.numbers import Numbers
from raystudy.analysis.section import Block, Section, TableBlock, Words
from raystudy.analysis.sections.class_scores import leading
from raystudy.analysis.sources import Sources
from raystudy.analysis.table import Cell, Column, Note, Table, changes, place
from raystudy.spec import Record

__all__ = ["SECTION", "Disagreement", "DisputedExample", "disagreement", "disagreement_table"]

MOST = 6  # examples on each side that a report shows
LENGTH = 240  # characters of a text that it shows


@dataclass(frozen=True)
class DisputedExample:
    """A test example, by its place in the split, that one of two methods answers right more often than the other.

    Attributes:
        text: its text, cut; empty where the texts were not kept.
        ours, theirs: the most frequent answer of each.
        our_right, their_right: in how many seeds each was right.
    """

    number: int
    text: str
    gold: str
    ours: str
    theirs: str
    our_right: int
    their_right: int


@dataclass(frozen=True)
class Disagreement:
    """Where `variant` and `other` differ, on one target in one setting.

    Attributes:
        seeds: those whose answers of both could be read.
        examples: how many test examples there are.
        gained, lost: on how many of them `variant` was right in more seeds, and in fewer.
        shown: those with the largest difference, gained ones first.
    """

    variant: str
    other: str
    target: str
    setting: str
    seeds: tuple[int, ...]
    examples: int
    gained: int
    lost: int
    shown: tuple[DisputedExample, ...]


Answered = Mapping[int, tuple[Sequence[str], Sequence[str]]]


def disagreement(
    variant: str, other: str, target: str, setting: str, ours: Answered, theirs: Answered, texts: Sequence[str] = ()
) -> Disagreement | None:
    """Compare the answers of two methods; None where no seed has both, or they are not to the same examples.

    Args:
        ours, theirs: seed -> (gold, answered) classes of the test examples.
    """
    seeds = sorted(s for s in ours.keys() & theirs.keys() if tuple(ours[s][0]) == tuple(theirs[s][0]))
    if not seeds or len({tuple(ours[s][0]) for s in seeds}) > 1:
        return None
    gold = ours[seeds[0]][0]
    disputed = []
    for i, label in enumerate(gold):
        mine, others = [ours[s][1][i] for s in seeds], [theirs[s][1][i] for s in seeds]
        right = mine.count(label), others.count(label)
        if right[0] != right[1]:
            text = texts[i] if i < len(texts) else ""
            disputed.append(DisputedExample(i, _cut(text), label, _most(mine), _most(others), *right))
    by_size = sorted(disputed, key=lambda e: (-abs(e.our_right - e.their_right), e.number))
    gained = [e for e in by_size if e.our_right > e.their_right]
    lost = [e for e in by_size if e.our_right < e.their_right]
    shown = (*gained[:MOST], *lost[:MOST])
    return Disagreement(variant, other, target, setting, tuple(seeds), len(gold), len(gained), len(lost), shown)


def _cut(text: str) -> str:
    return text if len(text) <= LENGTH else f"{text[: LENGTH - 1].rstrip()}…"


def _most(answers: Sequence[str]) -> str:
    return Counter(answers).most_common(1)[0][0]


def _numbers(sources: Sources, n: Numbers) -> tuple[Disagreement, ...]:
    groups = repeats(sources.records, n.design, lambda r: True)
    out = []
    for target, setting in n.design.pairs:
        first_two = leading(n, target, setting)[:2]
        if len(first_two) < 2:
            continue
        other, variant = first_two  # the baseline is first, where the study has it
        theirs, ours = (_answers(sources, groups.get((v, target, setting), ())) for v in (other, variant))
        found = disagreement(variant, other, target, setting, ours, theirs, sources.texts.get(target, ()))
        if found is not None:
            out.append(found)
    return tuple(out)


def _answers(sources: Sources, records: Sequence[Record]) -> Answered:
    return {r.spec.seed: a for r in records if (a := sources.answers(r.id)) is not None}


def disagreement_table(n: Numbers) -> Table:
    """A row per example that is shown."""
    columns = (
        Column("target", "target"),
        Column("setting", "setting"),
        Column("example", "example", "count"),
        Column("gold", "label"),
        Column("ours", "one method's answer"),
        Column("theirs", "the other's"),
        Column("text", "text"),
    )
    rows, keys = [], []
    for d in SECTION.of(n):
        seeds, titles = len(d.seeds), (n.design.title(d.variant), n.design.title(d.other))
        for e in d.shown:
            keys.append((d.target, d.setting, e.our_right > e.their_right))
            ours = f"{titles[0]}: {e.ours} ({e.our_right} of {seeds})"
            theirs = f"{titles[1]}: {e.theirs} ({e.their_right} of {seeds})"
            text = Cell(e.text or None)
            head = (Cell(d.target), Cell(d.setting), Cell(e.number), Cell(e.gold))
            rows.append((*head, Cell(e.ours, ours), Cell(e.theirs, theirs), text))
    notes = (
        Note("An answer is the most frequent one over the seeds; in brackets, in how many it was right."),
        Note(f"At most {MOST} examples on each side, those with the largest difference first; texts are cut."),
    )
    return Table(
        "disagreements", "Test examples on which two methods differ.", columns, tuple(rows), notes, changes(keys)
    )


def _words(n: Numbers) -> Iterator[str]:
    for d in SECTION.of(n):
        seeds = "one seed" if len(d.seeds) == 1 else f"{len(d.seeds)} seeds"
        yield (
            f"{place(d.target, d.setting)}, over {seeds}: {n.design.title(d.variant)} is right more often than "
            f"{n.design.title(d.other)} on {d.gained} of {d.examples} test examples, less often on {d.lost}."
        )


def _content(n: Numbers) -> Iterator[Block]:
    if SECTION.of(n):
        yield Words(n.words["disagreements"], "list")
        yield TableBlock(disagreement_table(n), filter=True, formats=("csv", "md"))


SECTION: Section[tuple[Disagreement, ...]] = Section(
    "disagreements", "Where methods differ", _content, _numbers, words={"disagreements": _words}
)
