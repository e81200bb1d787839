"""TAWT, Table 5: from 500 to 8,000 sentences of the target, and 8 or 10 times as many of each source."""

from __future__ import annotations

from collections.abc import Sequence

from raystudy.analysis.table import Table
from raystudy.exhibits import Exhibit, ExhibitResults
from raystudy.exhibits._papers import TAWT
from raystudy.exhibits._ratios import METHODS, NOTES, UPPER, ratio_keys, ratio_table

__all__ = ["EXHIBIT"]

SIZES, RATIOS = (500, 1_000, 2_000, 4_000, 8_000), (8, 10)


def tables(results: ExhibitResults) -> list[Table]:
    smoke = results.scale == "smoke"
    sizes, ratios = (results.study.shots, results.study.ratio) if smoke else (SIZES, RATIOS)
    return [_table(results, sizes, float(r), first=r == ratios[0]) for r in ratios]


def _table(results: ExhibitResults, sizes: Sequence[int], ratio: float, *, first: bool) -> Table:
    """The table of one ratio; the paper prints fine-tuning alone once for all of them, which stands in the `first`."""
    start = f"ratio {ratio:g}; "
    columns = [(f"{k:,} sentences", k, ratio, f"{start}target {k} sentences") for k in sizes]
    average = f"{start}average over sizes"
    alone = {name: name.removeprefix(start) for name in (*(c[3] for c in columns), average)} if first else {}
    name, what = f"{results.exhibit.stem}_ratio_{ratio:g}", f"{results.exhibit.title}, ratio {ratio:g}"
    return ratio_table(results, name, what, columns, average, alone)


EXHIBIT = Exhibit(
    paper=TAWT,
    label="Table 5",
    about="names from 500 to 8,000 sentences, with 8 or 10 times as many sentences of each source",
    suites=("tagging",),
    methods=(*METHODS, UPPER),
    sizes=ratio_keys(SIZES, RATIOS),
    tables=tables,
    notes=NOTES,
)
