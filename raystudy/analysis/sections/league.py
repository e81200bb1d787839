"""The league: one row for each family of methods at its best, and the families that cannot take part."""

from __future__ import annotations

import math
from collections.abc import Iterator

from raystudy.analysis.league import Apart, League, leagues
from raystudy.analysis.numbers import Design, Numbers
from raystudy.analysis.phrases import setting_name, some
from raystudy.analysis.section import Block, Section, TableBlock, Words
from raystudy.analysis.sources import Sources
from raystudy.analysis.table import Cell, Column, Note, Table, changes, counted, listed
from raystudy.analysis.tables import points

__all__ = ["SECTION", "apart_table", "league_table"]


def league_table(found: tuple[League, ...], design: Design) -> Table:
    """A row per family and data setting, by place."""
    columns = (
        Column("setting", "setting"),
        Column("place", "place", "count"),
        Column("family", "family", "code"),
        Column("method", "at its best as"),
        Column("rank", "average rank", "number", 2),
        Column("score", "mean score", "number"),
        Column("gain", "mean difference", "number", 1, signed=True),
        Column("better", "better on at least", "count"),
        Column("below", "mean below on", "count"),
        Column("trials", "configurations tried", "count"),
        Column("search_passes", "passes of the search", "count"),
        Column("passes", "passes of a training", "count"),
    )
    rows = []
    for league in found:
        for r in league.rows:
            base = r.variant == design.baseline
            rows.append(
                (
                    Cell(league.setting),
                    Cell(r.rank),
                    Cell(r.family),
                    Cell(design.title(r.variant)),
                    Cell(r.of.rank, best=r.rank == 1),
                    Cell(100 * r.score),
                    Cell(None if base else points(r.of.gain.mean)),
                    Cell(None if base else r.of.better),
                    Cell(None if base else r.of.below),
                    Cell(r.trials),
                    Cell(r.search_passes),
                    Cell(r.passes),
                )
            )
    targets = counted(max(len(league.across.targets) for league in found), "target")
    caption = f"Families of methods at their best, over {targets}; differences to {design.baseline_title} in points."
    notes = (
        Note(
            "A family is one algorithm with all its variants. Each was searched with the same number of configurations "
            "and trained again with fresh seeds; of several variants the study has, the one with the best mean on dev "
            "stands for its family. Mean below on: the targets on which its mean is below the baseline's."
        ),
        Note(
            "Better on at least: as in the section on targets together, with Holm's correction over a family's targets."
        ),
    )
    return Table(
        "league",
        f"{caption} {design.conditions}",
        columns,
        tuple(rows),
        notes,
        changes([league.setting for league in found for _ in league.rows]),
    )


def apart_table(apart: tuple[Apart, ...]) -> Table:
    """A row for each reason for which variants of a family cannot take part."""
    columns = (Column("family", "family", "code"), Column("variants", "variants"), Column("why", "why not"))
    rows = tuple((Cell(a.family), Cell(", ".join(a.variants)), Cell(a.reason)) for a in apart)
    return Table("league_apart", "What does not take part in the league.", columns, rows)


def _words(n: Numbers) -> Iterator[str]:
    for league in SECTION.of(n)[0]:
        yield from _of_league(league, n.design)


def _of_league(league: League, design: Design) -> Iterator[str]:
    first = [r for r in league.rows if r.rank == 1]
    names = listed(f"{design.title(r.variant)} ({r.family})" for r in first)
    where = f"{counted(len(league.across.targets), 'target')}, {setting_name(league.setting)}"
    leads = "leads" if len(first) == 1 else "lead"
    yield (
        f"{names} {leads} the league of {len(league.rows)} families over {where}: average rank {first[0].of.rank:.2g}, "
        f"mean score {100 * first[0].score:.1f}."
    )
    others = [r for r in league.rows if r.variant != design.baseline]
    base = next((r for r in league.rows if r.variant == design.baseline), None)
    if sure := [r for r in others if r.of.better]:
        items = [f"{design.title(r.variant)} on at least {r.of.better}" for r in sure]
        yield f"Shown to be better than {design.baseline_title} on some target: {some(items)}."
    else:
        yield (
            f"On no target is a family shown to be better than {design.baseline_title}, so the order may be one of "
            "chance: with these seeds and test examples it is no reason to choose one."
        )
    if harmed := [r for r in others if r.of.worse]:
        items = [f"{design.title(r.variant)} on at least {r.of.worse}" for r in harmed]
        yield f"Shown to be worse: {some(items)}."
    if league.across.cliques:
        bars = ["; ".join(listed(map(design.title, clique)) for clique in league.across.cliques)]
        yield f"Not told apart by Wilcoxon's tests of all pairs: {bars[0]}."
    if base is not None and base.passes and not math.isnan(first[0].passes):
        yield (
            f"What leads takes {first[0].passes / base.passes:.1f} times the passes of {design.baseline_title} in a "
            "training."
        )


def _numbers(sources: Sources, n: Numbers) -> tuple[tuple[League, ...], tuple[Apart, ...]]:
    return leagues(sources.test_scores, n, sources.study.search.trials), sources.apart


def _content(n: Numbers) -> Iterator[Block]:
    found, apart = SECTION.of(n)
    if not found:
        return
    yield Words(n.words["league"], "list")
    yield TableBlock(league_table(found, n.design))
    if apart:
        yield TableBlock(apart_table(apart))


# only a study that searches several families on three targets or more has such a section
SECTION: Section[tuple[tuple[League, ...], tuple[Apart, ...]]] = Section(
    "league", "League of families", _content, _numbers, words={"league": _words}
)
