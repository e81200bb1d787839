"""What a search across methods chose: which method wins at this budget, and what each of them got of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from raystudy.analysis.numbers import Numbers, Recipe, Score, Search
from raystudy.analysis.table import Cell, Column, Note, Table, changes, counted, percent, place

__all__ = ["recipes_table", "words"]


def recipes_table(n: Numbers) -> Table:
    """A row per method of each search across methods: what it got of the budget, how far it came, how it tests."""
    columns = (
        Column("target", "target"),
        Column("setting", "setting"),
        Column("variant", "method"),
        Column("trials", "trials", "count"),
        Column("pruned", "pruned", "count"),
        Column("passes", "search passes", "number"),
        Column("share", "% of the passes", "number"),
        Column("dev", "dev, its best", "number"),
        Column("test", "test, its best", "estimate"),
    )
    keys, rows = [], []
    scores = {(s.variant, s.target, s.setting): s for s in n.scores}
    for r in n.recipes:
        searches = _of(r, n)
        total = math.fsum(_passes(s) for s in searches.values())
        for variant, s in searches.items():
            states = Counter(t.state for t in s.trials)
            score = scores.get((variant, r.target, r.setting))
            won = variant == r.variant
            keys.append((r.target, r.setting))
            rows.append(
                (
                    Cell(r.target),
                    Cell(r.setting),
                    Cell(variant, n.design.title(variant), marks=WON if won else ""),
                    Cell(len(s.trials)),
                    Cell(states["pruned"]),
                    Cell(_passes(s)),
                    Cell(100 * _passes(s) / total if total else None),
                    Cell(100 * s.winner.dev if s.winner is not None else None, best=won),
                    percent(score.summary) if score is not None else Cell(),
                )
            )
    notes = (
        Note("the method whose best configuration has the best dev score of all.", WON),
        Note(
            "All methods share one search: it proposes a method and its settings together, and halving compares them "
            "on the same cells. Each method is tried without a search first. Test is that of its best configuration, "
            "with fresh seeds; no method was chosen by it."
        ),
    )
    caption = f"One search across methods, dev and test × 100. {n.design.conditions}"
    return Table("recipes", caption, columns, tuple(rows), notes, changes(keys))


WON = "★"


def _of(r: Recipe, n: Numbers) -> dict[str, Search]:
    """The searches of one search across methods, one per method, in their order."""
    found = {s.variant: s for s in n.searches if (s.target, s.setting) == (r.target, r.setting)}
    return {v: found[v] for v in r.methods if v in found}


def _passes(s: Search) -> float:
    return s.steps[-1].passes if s.steps else 0.0


def words(n: Numbers) -> Iterator[str]:
    """Which recipe wins at this budget, on every target, and how its test score stands to the baseline's."""
    comparisons = {(c.variant, c.target, c.setting): c for c in n.comparisons if c.tested}
    scores = {(s.variant, s.target, s.setting): s for s in n.scores}
    for r in n.recipes:
        searches = _of(r, n)
        passes = math.fsum(_passes(s) for s in searches.values())
        trials = sum(len(s.trials) for s in searches.values())
        text = (
            f"{place(r.target, r.setting)}: at {counted(trials, 'configuration')} and {passes:,.0f} passes, "
            f"{n.design.title(r.variant)} wins on dev"
        )
        search = searches.get(r.variant)
        if search is not None and search.winner is not None:
            text += f" ({100 * search.winner.dev:.1f})"
            settings = "; ".join(f"{name} {_shown(value)}" for name, _, value in search.changes)
            text += f", with {settings}" if settings else ", with the settings that it has without a search"
        key = (r.variant, r.target, r.setting)
        if (score := scores.get(key)) is not None and score.summary.n:
            text += f". On test: {_score(score)}"
            if (c := comparisons.get(key)) is not None and c.pair.n:
                text += f", {100 * c.pair.mean:+.1f} points to {n.design.baseline_title} ({c.verdict.word})"
        yield f"{text}."


def _score(score: Score) -> str:
    half = f" ± {100 * score.summary.half:.1f}" if score.summary.n > 1 else ""
    return f"{100 * score.summary.mean:.1f}{half}"


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
