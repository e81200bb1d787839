"""TAWT, Table 4: 500 sentences of the target, and from 1 to 128 times as many of each source."""

from __future__ import annotations

from raystudy.analysis.table import Table
from raystudy.exhibits import Exhibit, ExhibitResults
from raystudy.exhibits._papers import TAWT
from raystudy.exhibits._ratios import METHODS, NOTES, UPPER, ratio_keys, ratio_table

__all__ = ["EXHIBIT"]

SHOTS, RATIOS = 500, (1, 2, 4, 8, 16, 32, 64, 128)


def tables(results: ExhibitResults) -> list[Table]:
    study = results.study
    smoke = results.scale == "smoke"
    k, ratios = (study.shots[0], study.ratio) if smoke else (SHOTS, RATIOS)
    columns = [(f"ratio {r:g}", k, float(r), f"target {k} sentences; ratio {r:g}") for r in ratios]
    what = f"{results.exhibit.title}, {k} target sentences"
    return [ratio_table(results, results.exhibit.stem, what, columns, "average over ratios")]


EXHIBIT = Exhibit(
    paper=TAWT,
    label="Table 4",
    about="names from 500 sentences, with 1 to 128 times as many sentences of each source",
    suites=("tagging",),
    methods=(*METHODS, UPPER),
    sizes=ratio_keys((SHOTS,), RATIOS),
    tables=tables,
    notes=NOTES,
)
