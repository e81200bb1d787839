"""What searching brought, on test: the winner of each search against the settings that the method has without one.

The dev score of a winner is optimistic, because the winner was picked by it. So both are trained with the same fresh
seeds, and compared on test in pairs. These comparisons are a family of their own: they ask whether a search was worth
its cost, and say nothing about which method is better.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from numpy.typing import ArrayLike

from raystudy.analysis.compare import all_tests, paired_by_seed
from raystudy.analysis.frame import Key, key
from raystudy.analysis.numbers import Design, EnsembleRow, Search, SearchGain, Sentence
from raystudy.analysis.stats import FEWEST_SEEDS, MIN_PAIRS, Word, interval
from raystudy.analysis.table import Cell, Column, Note, Table, changes, counted, listed, percent, place
from raystudy.spec import Record

__all__ = ["Beside", "compute", "gain_table", "gain_words"]

_SHOWN = 5


@dataclass(frozen=True)
class Beside:
    """The cells of the confirm phase beside those of the main table, which show what searching brought.

    Attributes:
        defaults: the records with the settings without a search, where the winner has others.
        others: the records of further configurations, which only ensembles read.
        ensembles: the scores of the best configurations together.
        examples: cell of the main table -> (seeds, examples) correctness of the winner minus that of `defaults`, where
            it is known.
        planned: whether the study trains `defaults` at all.
    """

    defaults: Sequence[Record] = ()
    others: Sequence[Record] = ()
    ensembles: Sequence[EnsembleRow] = ()
    examples: Mapping[Key, ArrayLike] = field(default_factory=dict)
    planned: bool = False

    @property
    def records(self) -> list[Record]:
        """All records beside the main table's."""
        return [*self.defaults, *self.others]


def compute(
    test_scores: Mapping[Key, Mapping[int, float]],
    records: Iterable[Record],
    searches: Sequence[Search],
    beside: Beside,
    design: Design,
    metrics: Mapping[str, str],
) -> list[SearchGain]:
    """A row for each arm and target whose settings a search decided, in the order of the tables.

    Args:
        test_scores: of the main table, seed by seed.
        records: of the confirm phase, for what a training costs.
        metrics: target -> its primary metric.
    """
    defaults = _scores(beside.defaults, metrics)
    of_search = {(s.variant, s.target, s.setting): s for s in searches}
    ensembles = {(e.arm.variant, e.target, str(e.arm.setting)): e for e in beside.ensembles}
    training = _passes(records)
    cells = [(m.variant, t, s) for t, s in design.pairs for m in design.methods]
    asked = [
        cell
        for cell in cells
        if cell in defaults
        or cell in ensembles
        or (beside.planned and cell in of_search and of_search[cell].winner is not None)
    ]
    pairs, same = {}, {}
    for cell in asked:
        same[cell] = cell not in defaults and cell in of_search and not of_search[cell].changes
        pairs[cell] = paired_by_seed(test_scores.get(cell, {}), defaults.get(cell, {}))
    family = [cell for cell in asked if not same[cell] and beside.planned]
    gains = []
    for cell, found in all_tests(pairs, design.rope, beside.examples, family).items():
        search, ensemble = of_search.get(cell), ensembles.get(cell)
        scores = test_scores.get(cell, {})
        together = dict(ensemble.scores) if ensemble is not None else {}
        gains.append(
            SearchGain(
                *cell,
                same=same[cell],
                winner=interval([*scores.values()]),
                default=interval([*(defaults.get(cell, {}) if not same[cell] else scores).values()]),
                **vars(found),
                trials=len(search.trials) if search is not None else 0,
                passes=search.steps[-1].passes if search is not None else 0.0,
                seconds=search.steps[-1].seconds if search is not None else 0.0,
                training=training.get(cell, math.nan),
                members=ensemble.members if ensemble is not None else 0,
                ensemble=interval([*together.values()]) if ensemble is not None else None,
                ensemble_pair=paired_by_seed(together, scores) if ensemble is not None else None,
            )
        )
    return gains


def _scores(records: Iterable[Record], metrics: Mapping[str, str]) -> dict[Key, dict[int, float]]:
    """Cell of the main table -> seed -> test score."""
    scores: dict[Key, dict[int, float]] = {}
    for r in records:
        by_seed = scores.setdefault(key(r), {})
        if r.status == "done" and (metric := metrics.get(r.spec.target)) in r.metrics.get("test", {}):
            by_seed[r.spec.seed] = r.metrics["test"][str(metric)]
    return {cell: dict(sorted(by_seed.items())) for cell, by_seed in scores.items()}


def _passes(records: Iterable[Record]) -> dict[Key, float]:
    """Cell of the main table -> the mean passes of one of its trainings."""
    passes: dict[Key, list[float]] = {}
    for r in records:
        if r.status == "done" and r.spec.phase == "confirm":
            passes.setdefault(key(r), []).append(r.total_passes)
    return {cell: math.fsum(p) / len(p) for cell, p in passes.items()}


# ---------------------------------------------------------------------------------------------------------------------
# table and words


def gain_table(gains: Sequence[SearchGain], design: Design) -> Table:
    """A row per arm and target: test of the winner and of trial 0, their difference, and what the search took."""
    with_examples = any(g.examples_p is not None for g in gains)
    with_ensemble = any(g.members for g in gains)
    columns = (
        Column("variant", "method"),
        Column("target", "target"),
        Column("setting", "setting"),
        Column("default", "test, without a search", "estimate"),
        Column("winner", "test, winner", "estimate"),
        Column("difference", "difference", "number", 2, signed=True),
        Column("low", "95 % from", "number", 2, signed=True),
        Column("high", "to", "number", 2, signed=True),
        Column("n", "pairs", "count"),
        Column("p", "t-test p", "p", 3),
        Column("holm_p", "Holm p", "p", 3),
        *([Column("examples_holm_p", "two-way Holm p", "p", 3)] if with_examples else []),
        Column("verdict", "verdict"),
        *(
            [
                Column("members", "configurations together", "count"),
                Column("ensemble", "test, together", "estimate"),
                Column("ensemble_difference", "together less winner", "number", 2, signed=True),
                Column("ensemble_low", "95 % from", "number", 2, signed=True),
                Column("ensemble_high", "to", "number", 2, signed=True),
            ]
            if with_ensemble
            else []
        ),
        Column("trials", "trials", "count"),
        Column("passes", "search passes", "number"),
        Column("trainings", "in trainings", "number"),
        Column("seconds", "search seconds", "number"),
    )
    rows = []
    for g in gains:
        word = Cell("same settings", unsure=True) if g.same else Cell(_WORDS[g.verdict.word], unsure=_unsure(g))
        pair = g.ensemble_pair
        together = (pair.mean, pair.low, pair.high) if pair is not None else (None, None, None)
        rows.append(
            (
                Cell(g.variant, design.title(g.variant)),
                Cell(g.target),
                Cell(g.setting),
                percent(g.default),
                percent(g.winner),
                *(Cell(None if g.same else 100 * x) for x in (g.pair.mean, g.low, g.high)),
                Cell(None if g.same else g.pair.n),
                *(Cell(None if g.same else x) for x in (g.pair.p, g.holm_p)),
                *([Cell(g.examples_p)] if with_examples else []),
                word,
                *(
                    [
                        Cell(g.members or None),
                        percent(g.ensemble) if g.ensemble is not None else Cell(),
                        *(Cell(None if x is None else 100 * x) for x in together),
                    ]
                    if with_ensemble
                    else []
                ),
                Cell(g.trials or None),
                Cell(g.passes if g.trials else None),
                Cell(g.passes / g.training if g.trials and g.training else None),
                Cell(g.seconds if g.trials else None),
            )
        )
    family = sum(not g.same for g in gains)
    notes = [
        Note(
            "Without a search: the settings of trial 0, the paper's with what the study sets. The winner and they are "
            "trained with the same seeds, which no search has seen."
        ),
        Note(
            f"Holm's correction covers m = {counted(family, 'comparison')}, those of this table whose winner has other "
            "settings; they are in no other family. helped, hurt: as better and worse in the comparison of methods."
        ),
        Note("In trainings: the passes of the search by those of one training with the winner's settings."),
    ]
    if with_ensemble:
        notes.append(
            Note(
                "Together: the probabilities of the configurations that are best on dev, averaged (numbers too; tags "
                "by vote), each trained with the same seed. Their difference to the winner is not tested."
            )
        )
    breaks = changes([(g.target, g.setting) for g in gains])
    caption = f"What searching brought, on test × 100, in pairs of one seed. {design.conditions}"
    return Table("search_gain", caption, columns, tuple(rows), tuple(notes), breaks)


_WORDS = {"better": "helped", "worse": "hurt", "equivalent": "equivalent", "undecided": "undecided"}


def _unsure(g: SearchGain) -> bool:
    return g.verdict.word == "undecided"


def gain_words(gains: Sequence[SearchGain], design: Design, planned: bool, searched: bool) -> Iterable[Sentence]:
    """What searching brought, in sentences: where it is shown to have helped or hurt, what is open, what it took.

    Args:
        planned: whether the study trains the settings without a search beside the winner's.
        searched: whether anything was searched.
    """
    if not searched:
        return
    if not planned:
        yield Sentence(
            "What searching brought on test is not known: the settings without a search were not trained with these "
            "seeds (`report: {default: true}` trains them)."
        )
    compared = [g for g in gains if not g.same and planned]
    verbs: tuple[tuple[Word, str], ...] = (("better", "Searching helped"), ("worse", "Searching hurt"))
    for word, verb in verbs:
        hits = [g for g in compared if g.verdict.word == word]
        if hits:
            yield Sentence(f" on test: {_some([_effect(g, design) for g in hits])}.", verb, word)
    alike = [g for g in compared if g.verdict.word == "equivalent"]
    if alike:
        yield Sentence(
            f" within {100 * design.rope:g} points, with the search and without: "
            f"{_some([_where(g, design) for g in alike])}.",
            "Equivalent",
            "equivalent",
        )
    undecided = [g for g in compared if g.verdict.word == "undecided"]
    if undecided:
        text = f": {len(undecided)} of {counted(len(compared), 'search', 'searches')}"
        with_pairs = [g for g in undecided if g.pair.n]
        if with_pairs:
            text += f"; the differences seen are {_some([_effect(g, design) for g in with_pairs])}"
        few = max((g.pair.n for g in undecided), default=0)
        least = FEWEST_SEEDS if any(g.examples for g in undecided) else MIN_PAIRS
        less = f" (fewer than {least} seeds decide nothing alone)" if few < least else ""
        yield Sentence(f"{text}{less}.", "Not shown to have helped or hurt", "undecided")
    same = sum(g.same for g in gains)
    if same and planned:
        yield Sentence(
            f"On {same} of {counted(len(gains), 'search', 'searches')} the winner has the settings without a search: "
            "what was spent there bought the knowledge that nothing else was better on dev."
        )
    spent = [g for g in gains if g.trials and g.training and not math.isnan(g.passes)]
    if spent and planned:
        passes = math.fsum(g.passes for g in spent)
        trainings = math.fsum(g.passes / g.training for g in spent)
        yield Sentence(f"The searches took {passes:,.0f} passes, those of {trainings:,.0f} trainings with the winners.")
    with_ensemble = [g for g in gains if g.ensemble_pair is not None and g.ensemble_pair.n]
    if with_ensemble:
        texts = [
            f"{_where(g, design)} {100 * g.ensemble_pair.mean:+.1f} points ({g.members} configurations)"
            for g in with_ensemble
            if g.ensemble_pair is not None
        ]
        yield Sentence(f"The best configurations together, less the winner alone, on test: {_some(texts)}.")


def _where(g: SearchGain, design: Design) -> str:
    return f"{design.title(g.variant)} on {place(g.target, g.setting)}"


def _effect(g: SearchGain, design: Design) -> str:
    text = f"{_where(g, design)} {100 * g.pair.mean:+.1f} points"
    if g.pair.n > 1:
        text += f" (95 % interval {100 * g.low:+.1f} to {100 * g.high:+.1f})"
    return text


def _some(items: Sequence[str]) -> str:
    if len(items) <= _SHOWN:
        return "; ".join(items) if len(items) > 2 else listed(items)
    return f"{'; '.join(items[:_SHOWN])}; and {len(items) - _SHOWN} more"
