"""Two sides against each other: two methods of one study, or what two studies have in common, cell by cell.

A side is what was trained: (method, target, setting) -> seed -> record. One seed index stands for the same draw, split
and order on both sides, so they are compared in pairs, by the tests and with the words of a report (`compare`). Beside
the words stands what differs in the settings: a difference of scores is that of everything in which the sides differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import ArrayLike

from raystudy.analysis.compare import all_tests, needs, paired_by_seed
from raystudy.analysis.numbers import AllTests, Sentence
from raystudy.analysis.phrases import capital, in_points, some
from raystudy.analysis.stats import FEWEST_SEEDS, Interval, Word, interval
from raystudy.analysis.table import Cell, Column, Note, Table, counted, listed, percent, place
from raystudy.spec import Record, canonical

__all__ = [
    "Difference",
    "Pair",
    "Side",
    "SideBySide",
    "cost_words",
    "differing",
    "pair_table",
    "setting_table",
    "side_by_side",
    "words",
]

Key = tuple[str, str, str]  # method (empty where each side is one), target, setting
_SHOWN = 3  # values of a setting that are listed


@dataclass(frozen=True)
class Side:
    """What one side trained: a name for it, and its finished cells, seed by seed."""

    name: str
    cells: Mapping[Key, Mapping[int, Record]] = field(hash=False)

    def records(self, keys: Iterable[Key]) -> list[Record]:
        """The records of some cells."""
        return [r for k in keys for r in self.cells[k].values()]


@dataclass(frozen=True)
class Pair(AllTests):
    """The first side against the second in one cell, with its tests; differences are first minus second.

    Attributes:
        method: its title, where both sides have several; else empty.
        first, second: the test scores of all seeds of each side.
    """

    method: str
    target: str
    setting: str
    metric: str
    first: Interval
    second: Interval

    @property
    def where(self) -> str:
        at = place(self.target, self.setting)
        return f"{self.method} on {at}" if self.method else at


@dataclass(frozen=True)
class Difference:
    """A setting in which the sides differ, with the values that each has; more than a few are counted."""

    what: str
    first: str
    second: str


@dataclass(frozen=True)
class SideBySide:
    """All that is said of two sides.

    Attributes:
        rope: the smallest difference that matters, a fraction.
        only_first, only_second: cells that the other side lacks, in words.
        other_tests: cells that both have, on other test examples, which cannot be compared in pairs.
        passes, seconds: mean of one training of each side, over the cells compared.
    """

    first: str
    second: str
    rope: float
    pairs: tuple[Pair, ...]
    differences: tuple[Difference, ...]
    only_first: tuple[str, ...] = ()
    only_second: tuple[str, ...] = ()
    other_tests: tuple[str, ...] = ()
    passes: tuple[float, float] = (math.nan, math.nan)
    seconds: tuple[float, float] = (math.nan, math.nan)


def side_by_side(
    first: Side, second: Side, rope: float, titles: Mapping[str, str], examples: Mapping[Key, ArrayLike]
) -> SideBySide:
    """Compare two sides in every cell that both have; Holm's correction covers all of them.

    Args:
        rope: the smallest difference that matters.
        titles: method -> its title.
        examples: cell -> (seeds, examples) differences of what examples add to the scores (`stats.two_way`).
    """
    shared = [k for k in first.cells if k in second.cells]
    alike = [k for k in shared if _test_of(first.cells[k]) == _test_of(second.cells[k])]
    scores = {k: (_scores(first.cells[k]), _scores(second.cells[k])) for k in alike}
    found = all_tests({k: paired_by_seed(a, b) for k, (a, b) in scores.items()}, rope, examples, alike)
    pairs = [
        Pair(
            titles.get(k[0], k[0]),
            *k[1:],
            _metric(first.cells[k]),
            interval(list(scores[k][0].values())),
            interval(list(scores[k][1].values())),
            **vars(found[k]),
        )
        for k in alike
    ]

    def named(keys: Iterable[Key]) -> tuple[str, ...]:
        return tuple(f"{titles.get(v, v)} on {place(t, s)}" if v else place(t, s) for v, t, s in keys)

    records = first.records(alike), second.records(alike)
    return SideBySide(
        first.name,
        second.name,
        rope,
        tuple(pairs),
        tuple(differing(*records, {k[0]: titles.get(k[0], k[0]) for k in alike if k[0]})),
        named(k for k in first.cells if k not in second.cells),
        named(k for k in second.cells if k not in first.cells),
        named(k for k in shared if k not in alike),
        (_mean(r.total_passes for r in records[0]), _mean(r.total_passes for r in records[1])),
        (_mean(r.wall for r in records[0]), _mean(r.wall for r in records[1])),
    )


def _test_of(by_seed: Mapping[int, Record]) -> set[tuple[str, ...]]:
    """What a cell was tested on, and by which metric."""
    return {
        (
            r.spec.data.get(r.spec.target, ""),
            canonical(r.spec.limits.get(r.spec.target, {}).get("test")),
            canonical(r.counts.get("n_test")),
            str(r.facts.get("metric")),
        )
        for r in by_seed.values()
    }


def _metric(by_seed: Mapping[int, Record]) -> str:
    return str(next(iter(by_seed.values())).facts.get("metric"))


def _scores(by_seed: Mapping[int, Record]) -> dict[int, float]:
    metric = _metric(by_seed)
    return {s: r.metrics["test"][metric] for s, r in by_seed.items() if metric in r.metrics.get("test", {})}


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return math.fsum(known) / len(known) if known else math.nan


# ---------------------------------------------------------------------------------------------------------------------
# what differs


def differing(
    first: Sequence[Record], second: Sequence[Record], titles: Mapping[str, str] | None = None
) -> Iterator[Difference]:
    """The settings, data, encoder and versions in which the records of two sides differ, by name.

    Args:
        titles: method -> its title, where both sides have several: what differs alike in all of them stands once, and
            what does not stands with its method.
    """
    if not titles:
        yield from _differing(first, second)
        return
    of_method = {
        title: {d.what: d for d in _differing(*([r for r in of if r.spec.variant == v] for of in (first, second)))}
        for v, title in titles.items()
    }
    told = set()
    for title, found in of_method.items():
        for what, d in found.items():
            if all(others.get(what) == d for others in of_method.values()):
                if what not in told:
                    yield d
                told.add(what)
            else:
                yield Difference(f"{what} ({title})", d.first, d.second)


def _differing(first: Sequence[Record], second: Sequence[Record]) -> Iterator[Difference]:
    ours, theirs = _facts(first), _facts(second)
    for what in [*ours, *(k for k in theirs if k not in ours)]:
        a, b = ours.get(what, {}), theirs.get(what, {})
        if a.keys() != b.keys():
            yield Difference(what, _listed(a), _listed(b))


def _facts(records: Sequence[Record]) -> dict[str, dict[str, str]]:
    """Name of a setting -> its values among the records: as a key that compares, and as text."""
    out: dict[str, dict[str, str]] = {}

    def note(what: str, value: Any) -> None:
        if value not in (None, {}, ()):
            out.setdefault(what, {})[canonical(value)] = _text(value)

    for r in records:
        spec = r.spec
        for name in sorted(spec.settings):
            note(name, spec.settings[name])
        note("encoder", spec.plm)
        note("encoder's digest", spec.plm_digest)
        note("tasks", list(spec.suite))
        for name in ("dev", "scope", "length", "unseen"):
            note(name, getattr(spec, name))
        for task, limits in sorted(spec.limits.items()):
            note(f"limits of {task}", dict(limits))
        for task, digest in sorted(spec.data.items()):
            note(f"data of {task}", digest)
        for task, options in sorted(spec.task_options.items()):
            note(f"options of {task}", dict(options))
        for name, digest in sorted(spec.own.items()):
            note(f"own file {name}", digest)
        for name, value in spec.numerics.model_dump().items():
            note(name, value)
        for name, value in sorted(r.made_by.items()):
            note(f"made by: {name}", value)
    return out


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_text(v)}" for k, v in value.items())
    return ", ".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)


def _listed(values: Mapping[str, str]) -> str:
    texts = [*values.values()]
    return listed(texts[:_SHOWN]) + (f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else "") if texts else ""


# ---------------------------------------------------------------------------------------------------------------------
# words and tables


def words(s: SideBySide) -> Iterator[Sentence]:
    """What the comparison says, sentence by sentence."""
    if not s.pairs:
        yield Sentence("", "Nothing can be compared.")
    verbs: tuple[tuple[Word, str], ...] = (("better", "better"), ("worse", "worse"))
    for word, verb in verbs:
        hits = [p for p in s.pairs if p.verdict.word == word]
        if hits:
            share = f"{len(hits)} of {counted(len(s.pairs), 'comparison')}"
            items = [
                f"{p.where} by {in_points(p.pair.mean)} (95 % interval {100 * p.low:+.1f} to {100 * p.high:+.1f})"
                for p in hits
            ]
            yield Sentence(f" on {share}: {some(items)}.", f"{capital(s.first)} is {verb} than {s.second}", word)
    same = [p for p in s.pairs if p.verdict.word == "equivalent"]
    if same:
        yield Sentence(f" within {in_points(s.rope)}: {some([p.where for p in same])}.", "Equivalent", "equivalent")
    undecided = [p for p in s.pairs if p.verdict.word == "undecided" and p.pair.n]
    if undecided:
        text = f": {len(undecided)} of {counted(len(s.pairs), 'comparison')}."
        known = [p for p in undecided if not math.isnan(p.verdict.seeds)]
        if known:
            items = [
                f"{needs(p.verdict, p.examples)} for {p.where}" if len(s.pairs) > 1 else needs(p.verdict, p.examples)
                for p in sorted(known, key=lambda p: (p.verdict.seeds, p.verdict.with_examples))
            ]
            text += f" At the differences seen, a decision would take {some(items)}."
        yield Sentence(text, "Undecided", "undecided")
    if s.pairs and max(p.pair.n for p in s.pairs) < FEWEST_SEEDS:
        yield Sentence(f"Nothing is decided with fewer than {FEWEST_SEEDS} seeds that both have.")
    blind = [p for p in s.pairs if p.examples is None and p.verdict.word != "undecided"]
    if blind:
        yield Sentence(
            f"No predictions could be compared for {counted(len(blind), 'verdict')}, which "
            f"{'holds' if len(blind) == 1 else 'hold'} for these test examples."
        )
    unpaired = [p.where for p in s.pairs if not p.pair.n]
    for what, places in (
        ("No seed of both is finished", unpaired),
        ("Not compared, because the test examples or the metric are others", s.other_tests),
        (f"Only in {s.first}", s.only_first),
        (f"Only in {s.second}", s.only_second),
    ):
        if places:
            yield Sentence(f"{what}: {some(places)}.")
    yield from map(Sentence, cost_words(s))


def cost_words(s: SideBySide) -> Iterator[str]:
    """What a training of each side takes."""
    if s.pairs and not any(map(math.isnan, (*s.passes, *s.seconds))):
        each = [f"{p:,.0f} passes and {t:,.1f} seconds" for p, t in zip(s.passes, s.seconds, strict=True)]
        yield f"A training takes {each[0]} in {s.first}, {each[1]} in {s.second} (mean)."


def pair_table(s: SideBySide) -> Table:
    """A row for each cell that was compared: the scores, their difference in points, and the tests."""
    several = any(p.method for p in s.pairs)
    with_examples = any(p.examples for p in s.pairs)
    columns = (
        *([Column("method", "method")] if several else []),
        Column("target", "target"),
        Column("setting", "setting"),
        Column("metric", "metric"),
        Column("first", s.first, "estimate"),
        Column("second", s.second, "estimate"),
        Column("difference", "difference", "number", 2, signed=True),
        Column("low", "95 % from", "number", 2, signed=True),
        Column("high", "to", "number", 2, signed=True),
        Column("n", "pairs", "count"),
        Column("test_examples", "test examples", "count"),
        Column("p", "t-test p", "p", 3),
        Column("flip_p", "sign-flip p", "p", 4),
        *([Column("two_way_p", "two-way p", "p", 3)] if with_examples else []),
        Column("deciding_p", "deciding p", "p", 3),
        Column("verdict", "verdict"),
        Column("needed", "needed"),
    )
    rows = []
    for p in s.pairs:
        known = p.verdict.word == "undecided" and not math.isnan(p.verdict.seeds)
        rows.append(
            (
                *([Cell(p.method)] if several else []),
                Cell(p.target),
                Cell(p.setting),
                Cell(p.metric),
                percent(p.first),
                percent(p.second),
                *(Cell(None if math.isnan(x) else 100 * x) for x in (p.pair.mean, p.low, p.high)),
                Cell(p.pair.n),
                Cell(p.examples.examples if p.examples else None),
                Cell(p.pair.p),
                Cell(p.pair.flip_p),
                *([Cell(p.examples.p if p.examples else None)] if with_examples else []),
                Cell(p.p),
                Cell(p.verdict.word, unsure=p.verdict.word == "undecided"),
                Cell(needs(p.verdict, p.examples)) if known else Cell(),
            )
        )
    notes = (
        Note(
            "Deciding p: the larger p of the two-way test (new seeds and new test examples) and of the t-test over "
            f"seeds (on this test set), with Holm's correction over {counted(len(s.pairs), 'comparison')}; the others "
            "are not corrected. The interval holds those of both tests."
        ),
    )
    return Table(
        "side_by_side", f"{s.first} against {s.second}, test × 100, first minus second.", columns, tuple(rows), notes
    )


def setting_table(s: SideBySide) -> Table:
    """What differs between the sides."""
    columns = (Column("what", "what differs"), Column("first", s.first), Column("second", s.second))
    rows = tuple((Cell(d.what), Cell(d.first or None), Cell(d.second or None)) for d in s.differences)
    return Table("differences", "What differs in the settings.", columns, rows)
