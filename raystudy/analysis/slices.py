"""How the dev scores of a search lie along each of its settings, where the trials are too few to rank the settings.

A slice shows every complete trial at its value of one setting, whatever the others were. With a handful of trials it
says where was looked and what was found there, and nothing about which setting mattered.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from raystudy.analysis.numbers import Design, Numbers, Search, SearchedSetting, Slice, SlicePart, TrialResult
from raystudy.analysis.table import Cell, Column, Note, Table, changes, counted
from raystudy.wording import spelt

__all__ = ["IMPORTANCE_TRIALS", "compute", "slices_table", "words"]

IMPORTANCE_TRIALS = 30  # with fewer completed trials an importance is noise, and slices are shown in its place
_VALUES = 6  # up to so many different values each is a part of its own
_PARTS = 3  # else the trials are cut into so many parts, by their values


def compute(searches: Iterable[Search], spaces: Iterable[SearchedSetting]) -> Iterator[Slice]:
    """The slices of every search with fewer complete trials than an importance takes; none of a search of one trial."""
    log = {(s.arm.variant, str(s.arm.setting), s.name) for s in spaces if s.scale == "log"}
    for search in searches:
        complete = [t for t in search.trials if t.state == "complete" and not math.isnan(t.dev)]
        if not 1 < len(complete) < IMPORTANCE_TRIALS:
            continue
        for name in search.searched:
            there = [t for t in complete if name in t.settings]
            if len({spelt(t.settings[name]) for t in there}) < 2:
                continue
            yield Slice(
                search.variant,
                search.target,
                search.setting,
                name,
                tuple(_parts(name, there)),
                tuple((t.settings[name], t.dev, t.number) for t in there),
                (search.variant, search.setting, name) in log,
            )


def _parts(name: str, trials: Sequence[TrialResult]) -> Iterator[SlicePart]:
    values = {spelt(t.settings[name]): t.settings[name] for t in trials}
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values.values())
    if len(values) <= _VALUES or not numeric:
        ordered = sorted(values, key=lambda text: values[text]) if numeric else [*values]
        for text in ordered:
            yield _part(text or "empty", [t for t in trials if spelt(t.settings[name]) == text])
        return
    by_value = sorted(trials, key=lambda t: (t.settings[name], t.number))
    for i in range(_PARTS):
        part = by_value[len(by_value) * i // _PARTS : len(by_value) * (i + 1) // _PARTS]
        low, high = (spelt(float(t.settings[name]), 3) for t in (part[0], part[-1]))
        yield _part(low if low == high else f"{low} to {high}", part)


def _part(value: str, trials: Sequence[TrialResult]) -> SlicePart:
    dev = [t.dev for t in trials]
    return SlicePart(value, len(trials), math.fsum(dev) / len(dev), max(dev))


def slices_table(slices: Sequence[Slice], design: Design) -> Table:
    """A row per part of a slice: how many trials there were, and how they did on dev."""
    columns = (
        Column("variant", "method"),
        Column("target", "target"),
        Column("setting", "setting"),
        Column("name", "searched"),
        Column("value", "at"),
        Column("trials", "trials", "count"),
        Column("mean", "dev, mean", "number"),
        Column("best", "dev, best", "number"),
    )
    keys, rows = [], []
    for s in slices:
        for part in s.parts:
            keys.append((s.variant, s.target, s.setting, s.name))
            rows.append(
                (
                    Cell(s.variant, design.title(s.variant)),
                    Cell(s.target),
                    Cell(s.setting),
                    Cell(s.name),
                    Cell(part.value),
                    Cell(part.trials),
                    Cell(100 * part.mean),
                    Cell(100 * part.best),
                )
            )
    note = Note(
        "All complete trials, whatever their other settings were: what stands beside one another differs in more than "
        "the setting of the row. Nothing is ranked."
    )
    caption = f"Dev × 100 along each searched setting. {design.conditions}"
    return Table("slices", caption, columns, tuple(rows), (note,), changes(keys))


def words(n: Numbers) -> Iterator[str]:
    """What slices are, where there are any."""
    if n.slices:
        arms = len({(s.variant, s.setting) for s in n.slices})
        yield (
            f"Below {IMPORTANCE_TRIALS} completed trials ({counted(arms, 'arm')}) the scores are shown along each "
            "searched setting, every trial at its value, and nothing is ranked. The ring is trial 0."
        )
