"""Figures of a paper that show one parameter of a method, value by value. The papers print no points beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from raystudy.analysis.figures import Figure, Panel
from raystudy.analysis.figures import sweep as figure
from raystudy.analysis.numbers import Line, Role
from raystudy.analysis.table import Table
from raystudy.catalogue import catalogue
from raystudy.exhibits import Exhibit, ExhibitResults
from raystudy.exhibits._comparison import BASE, Row, caption, columns, comparison_table, mean
from raystudy.exhibits._papers import Paper, Published

__all__ = ["sweep_exhibit", "values_of"]


def values_of(base: str, parameter: str, values: Sequence[Any]) -> dict[str, Any]:
    """Variant of `base` that has a value of the parameter in its name -> that value."""
    return {catalogue().with_settings(base, {parameter: v}).id: v for v in values}


def sweep_exhibit(
    paper: Paper,
    label: str,
    about: str,
    base: str,
    parameter: str,
    symbol: str,
    values: Sequence[float],
    suites: tuple[str, ...],
    split: Literal["test", "dev"],
    settings: Mapping[str, Any] | None = None,
    notes: tuple[str, ...] = (),
) -> Exhibit:
    """A figure that shows the variant `base` at each of the values, on the targets of `suites` and their average.

    Args:
        symbol: what the parameter is called on the axis.
    """
    variants = values_of(base, parameter, values)

    def tables(results: ExhibitResults) -> list[Table]:
        rows = [Row(v, f"{symbol} = {x:g}") for v, x in variants.items()]
        return [
            comparison_table(
                f"{results.exhibit.stem}_{suite}",
                caption(results, f"{results.exhibit.title}, {results.heading(suite)}", split),
                rows,
                columns(results, suite, split=split),
                results.numbers,
                Published(),
            )
            for suite in results.targets()
        ]

    def figures(results: ExhibitResults) -> list[Figure]:
        panels = []
        for suite in results.targets():
            *singles, last = columns(results, suite, split=split)
            lines = []
            for head in (*singles, last):
                role: Role = "baseline" if head is last else "method"
                lines.append(
                    Line(head.title, head.title, role, tuple(mean(results.numbers, head, v) for v in variants))
                )
            level = mean(results.numbers, last, BASE)
            levels = ((f"{results.numbers.design.title(BASE)}, {last.title}", level.mean),) if level.n else ()
            panels.append(Panel(results.heading(suite), tuple(lines), levels))
        title = f"{results.exhibit.title}: {split} accuracy against {symbol}, a panel per suite"
        return [figure(results.exhibit.stem, title, symbol, f"{split} accuracy × 100", list(values), panels)]

    return Exhibit(
        paper=paper,
        label=label,
        about=about,
        suites=suites,
        methods=(BASE, *variants),
        settings=settings or {},
        tables=tables,
        figures=figures,
        notes=(*notes, "The points of the paper's figure are not printed, so no published curve stands beside ours."),
    )
