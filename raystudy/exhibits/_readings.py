"""What a paper leaves open can be read in several ways: each other reading is trained beside ours, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from raystudy.analysis.table import Table
from raystudy.catalogue import Reading, catalogue
from raystudy.exhibits import SETTINGS, Exhibit, ExhibitResults, Scale
from raystudy.exhibits._comparison import BASE, Head, Row, caption, columns, comparison_table
from raystudy.exhibits._papers import Paper, Published

__all__ = ["bases_of", "readings", "rows_of"]


def rows_of(method: str) -> dict[str, Reading]:
    """Variant of the method `method` -> the reading of the paper that it follows.

    A reading of something that only another variant of the method has names that variant in `of`; one that is itself
    a variant of the method names it in `variant`.
    """
    cat = catalogue()
    reading_of_variant = {}
    for reading in cat.readings[method]:
        variant = reading.variant or cat.with_settings(reading.of or method, reading.settings).id
        reading_of_variant[variant] = reading
    return reading_of_variant


def bases_of(method: str) -> tuple[str, ...]:
    """The variants that the readings of a method are readings of: first its plain one, where there is one."""
    return tuple(
        dict.fromkeys(
            [
                *([method] if method in catalogue().variants else []),
                *(r.of or method for r in catalogue().readings[method]),
            ]
        )
    )


def readings(
    paper: Paper,
    method: str,
    suites: tuple[str, ...],
    sizes: Callable[[Scale, Path | None], Mapping[str, Any]] | None = None,
) -> Exhibit:
    """Every documented reading of `method` against its default, on the targets of `suites`.

    Args:
        sizes: as an `Exhibit` has it.
    """
    rows = rows_of(method)
    bases = bases_of(method)

    def differing(scale: Scale) -> dict[str, Reading]:
        """The readings that are not what the scale's settings make of the method anyway."""
        shared = SETTINGS[scale]

        def resolved(variant: str) -> dict[str, Any]:
            rules, fixes = catalogue().parameters_of(variant), catalogue().variant(variant).fixes
            return catalogue().resolve(variant, {k: v for k, v in shared.items() if k in rules and k not in fixes})

        return {v: r for v, r in rows.items() if resolved(v) != resolved(r.of or method)}

    def size_keys(scale: Scale, root: Path | None) -> dict[str, Any]:
        keys = dict(sizes(scale, root)) if sizes is not None else {}
        seeds = 2 if scale == "smoke" else keys.get("report", {}).get("seeds", 3)
        report = {"seeds": seeds, "baseline": bases[0]}
        return {**keys, "methods": [BASE, *bases, *differing(scale)], "report": report}

    def tables(results: ExhibitResults) -> list[Table]:
        differing_readings = differing(results.scale)
        lines = [Row(v, catalogue().variant(v).title) for v in bases]
        for variant, reading in differing_readings.items():
            lines.append(Row(variant, f"{reading.id}: {reading.about}", minus=reading.of or method))
        what = f"{results.exhibit.title}: each reading's difference to our default (first rows), seed by seed"
        design = results.numbers.design

        def heads(suite: str) -> list[Head]:
            columns_of_settings = [(s, h) for s in design.settings for h in columns(results, suite, setting=s)]
            trained = [(s, h) for s, h in columns_of_settings if {*h.places} <= {*design.pairs}]
            return [h if s == "all" else replace(h, title=f"{h.title} ({s})") for s, h in trained]

        return [
            comparison_table(
                f"readings_{suite}",
                caption(results, f"{what}, {results.heading(suite)}"),
                lines,
                heads(suite),
                results.numbers,
                Published(),
            )
            for suite in results.targets()
        ]

    return Exhibit(
        paper=paper,
        label="Readings",
        about="what each passage that the paper leaves open is worth: every documented reading, one at a time",
        suites=suites,
        methods=(BASE, *bases, *rows),
        floors=(),
        sizes=size_keys,
        tables=tables,
        readings_of=method,
        notes=("An interval that holds 0 says that these trainings cannot tell the two readings apart.",),
    )
