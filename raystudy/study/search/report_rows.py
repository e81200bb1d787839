"""What a report says of the searches: a row per configuration and target, and how much each parameter mattered."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from raystudy.analysis.numbers import Recipe, SearchedSetting
from raystudy.analysis.tables import Importance, SearchRow
from raystudy.catalogue import catalogue
from raystudy.spec import ACROSS, Arm, Record, Setting
from raystudy.study.search.arm_search import IMPORTANCE, ArmSearch, Configuration
from raystudy.study.search.space import Space
from raystudy.wording import listed, spelt

__all__ = ["importances", "recipes", "search_rows", "searched_settings"]


def search_rows(
    searches: Mapping[Arm, ArmSearch],
    records: Mapping[str, Record],
    error: Callable[[Record], float | None] = lambda record: None,
) -> list[SearchRow]:
    """One row per configuration that is over and target: its mean dev score, how it ended, and what it cost.

    Args:
        records: of the study, by cell id.
        error: the standard error that the examples of dev leave in a cell's score; asked of the winners' cells alone.
    """
    rows: list[SearchRow] = []
    for arm, search in searches.items():
        for variant in dict.fromkeys(c.variant for c in search.configurations):
            of_variant = [c for c in search.configurations if c.variant == variant]
            winners = search.winners(variant) if search.finished else {}
            for number, c in enumerate(of_variant):
                if c.over:
                    rows += _rows(Arm(variant, arm.setting), number, c, search.targets, winners, records, error)
    return rows


def _mean_error(records: Sequence[Record], error: Callable[[Record], float | None]) -> float | None:
    """The standard error of the mean of these cells' dev scores; None where that of one is not known.

    Where every seed draws examples of its own, errors average out; where all see one dev split, they do not.
    """
    errors = [e for r in records if r.status == "done" and (e := error(r)) is not None]
    if not errors or len(errors) < len(records):
        return None
    drawn = any(r.spec.setting != Setting() and r.spec.dev != "all" for r in records)
    variance = math.fsum(e**2 for e in errors) / len(errors)
    return math.sqrt(variance / len(errors) if drawn else variance)


def _rows(
    arm: Arm,
    number: int,
    c: Configuration,
    targets: Sequence[str],
    winners: Mapping[str, int],
    records: Mapping[str, Record],
    error: Callable[[Record], float | None],
) -> Iterator[SearchRow]:
    """The row of a configuration on each target; its `number` is that among the configurations of its method."""
    state: Literal["failed", "pruned", "complete"]
    state = "failed" if c.failed else "pruned" if c.pruned_at is not None else "complete"
    for target in targets:
        on_target = [(cell, s) for cell, s in zip(c.cells, c.scores, strict=False) if cell.target == target]
        scores = [score for _, score in on_target if score is not None]
        cell_records = [records[cell.id] for cell, _ in on_target if cell.id in records]
        won = winners.get(target) == c.number
        settings = next((cell.settings for cell in c.cells if cell.target == target), c.settings)
        yield SearchRow(
            arm,
            target,
            number,
            settings,
            sum(scores) / len(scores) if scores else None,
            state,
            won,
            updates=sum(n for r in cell_records for n in r.updates.values()),
            passes=math.fsum(r.total_passes for r in cell_records),
            seconds=math.fsum(r.wall for r in cell_records),
            seeds=len(scores),
            dev_examples=max((r.counts.get("n_dev", 0) for r in cell_records), default=0),
            error=_mean_error(cell_records, error) if won else None,
        )


def recipes(searches: Mapping[Arm, ArmSearch]) -> list[Recipe]:
    """What won every finished search across methods, on each target."""
    out = []
    for arm, search in searches.items():
        if arm.variant == ACROSS and search.finished:
            for target, number in search.winners().items():
                winner = search.configurations[number]
                methods = tuple(dict.fromkeys(c.variant for c in search.configurations))
                out.append(Recipe(str(arm.setting), target, winner.variant, methods))
    return out


def searched_settings(spaces: Mapping[Arm, Space]) -> list[SearchedSetting]:
    """What every search moves: a row per arm and setting."""
    rows = []
    for arm, space in spaces.items():
        paper = catalogue().defaults(arm.variant)
        for name, d in space.dimensions.items():
            # what no search moves holds always, or the setting would be idle
            moved = {k: values for k, values in d.conditions.items() if k in space.dimensions}
            conditions = [f"{k} is {' or '.join(spelt(v) or 'empty' for v in values)}" for k, values in moved.items()]
            rows.append(
                SearchedSetting(
                    arm,
                    name,
                    d.parameter.symbol,
                    d.text,
                    d.scale,
                    spelt(paper[name]) or "empty",
                    spelt(space.reference[name]) or "empty",
                    d.own,
                    listed(conditions) if conditions else "",
                )
            )
    return rows


def importances(searches: Mapping[Arm, ArmSearch]) -> list[Importance]:
    """How much each searched parameter mattered, for every arm with a search of its own.

    The shares are missing where too few configurations are complete.
    """
    own = ((arm, s) for arm, s in searches.items() if arm.variant != ACROSS)
    return [Importance(arm, IMPORTANCE, s.complete_count, s.importances()) for arm, s in own]
