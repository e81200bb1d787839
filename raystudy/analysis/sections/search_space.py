"""What was searched: the settings that each search moved, with their ranges."""

from __future__ import annotations

from collections.abc import Iterator

from raystudy.analysis.numbers import Numbers, SearchedSetting
from raystudy.analysis.phrases import setting_name
from raystudy.analysis.section import Block, Section, TableBlock
from raystudy.analysis.table import MISSING, Cell, Column, Note, Table, changes, listed
from raystudy.analysis.tables import method_cell

__all__ = ["SECTION", "space_table"]


def space_table(n: Numbers) -> Table:
    """What the searches moved: a row per method and setting; data settings that search alike share their rows."""
    columns = (
        Column("variant", "method"),
        Column("setting", "setting"),
        Column("name", "searched"),
        Column("symbol", "symbol"),
        Column("range", "range"),
        Column("scale", "scale"),
        Column("paper", "paper"),
        Column("first", "trial 0"),
        Column("condition", "only when"),
        Column("source", "range from"),
    )
    alike: dict[tuple[str, ...], list[str]] = {}  # what is searched of a variant -> the data settings
    for s in SECTION.of(n):
        source = "the study" if s.own else "the method's page"
        row = (s.arm.variant, s.name, s.symbol, s.range, s.scale, s.paper, s.first, s.condition, source)
        alike.setdefault(row, []).append(setting_name(str(s.arm.setting)))
    rows = [
        (
            method_cell(n.design, variant),
            Cell(listed(settings)),
            *(Cell(x or None) for x in rest[:6]),
            *(Cell(x, x or MISSING) for x in rest[6:]),
        )
        for (variant, *rest), settings in alike.items()
    ]
    breaks = changes([row[0].value for row in rows])
    note = Note("Trial 0 has the paper's value, or the one that the study sets where that is no paper's.")
    return Table("space", "What was searched.", columns, tuple(rows), (note,), breaks)


def _content(n: Numbers) -> Iterator[Block]:
    if SECTION.of(n):
        yield TableBlock(space_table(n), filter=True)


SECTION: Section[tuple[SearchedSetting, ...]] = Section(
    "space", "What was searched", _content, lambda sources, n: sources.spaces, key="spaces", level=3
)
