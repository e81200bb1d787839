"""Builds the report of a study from its records, in seconds: computes its numbers, then writes tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raystudy.analysis import html, markdown, sections
from raystudy.analysis.compute import numbers_of
from raystudy.analysis.exhibit_page import ExhibitPage, RunScores
from raystudy.analysis.figures import draw
from raystudy.analysis.frame import write_csv
from raystudy.analysis.latex import to_latex
from raystudy.analysis.numbers import Numbers, SearchRow, Sentence, to_json
from raystudy.analysis.section import Part, Words, exhibit_part, fill
from raystudy.analysis.sources import Sources
from raystudy.analysis.table import Table, to_csv
from raystudy.files import atomic_write
from raystudy.spec import Record
from raystudy.studyfile import Study

__all__ = ["Opening", "build", "build_exhibit_report", "write"]


@dataclass(frozen=True)
class Opening:
    """The first part of a report, which a terminal prints too.

    Attributes:
        title: the title of the exhibit that the study is for; empty where it is for none.
        verdict: the sentences of the verdict; none where nothing was trained.
        tables: the tables of the exhibit, or the main table of the study.
    """

    title: str
    verdict: tuple[Sentence, ...]
    tables: tuple[Table, ...]


def build(
    study: Study,
    records: Iterable[Record],
    search_rows: Iterable[SearchRow],
    out_dir: Path,
    *,
    exhibit: Callable[[Study, Numbers, RunScores], ExhibitPage] | None = None,
    opens: Callable[[Opening], None] = lambda opening: None,
    **sources: Any,
) -> Path:
    """Write ``report/`` below `out_dir`, from the fields of `Sources`; see `write`."""
    return write(Sources.of(study, records, search_rows, **sources), out_dir, exhibit=exhibit, opens=opens)


def write(
    sources: Sources,
    out_dir: Path,
    *,
    exhibit: Callable[[Study, Numbers, RunScores], ExhibitPage] | None = None,
    opens: Callable[[Opening], None] = lambda opening: None,
) -> Path:
    """Write ``report/`` below `out_dir`.

    People read report.html or report.md. For use elsewhere there are report.json (all numbers), results.csv (a row per
    cell and metric), tables/*.{csv,md,tex} and figures/*.{svg,pdf}.

    Each file is written whole or not at all, report.html and report.md last. The bytes depend on the arguments only, in
    whatever order records and rows come; apart from seconds, two runs of one study give the same.

    Args:
        exhibit: makes the page that the report opens with, where the study is a table or a figure of a paper.
        opens: is called with the first part of the report, once all of it is written.

    Returns:
        The path of report.md; report.html lies beside it.

    Raises:
        ValueError: the records answer one question twice, or do not say which metric counts.
    """
    numbers, folder = numbers_of(sources), out_dir / "report"
    parts = fill(numbers, sections.SECTIONS)
    page = exhibit(sources.study, numbers, sources.runs) if exhibit is not None else None
    parts = [*([exhibit_part(page)] if page is not None else []), *parts]
    atomic_write(folder / "report.json", to_json(numbers))
    write_csv(sources.frame, folder / "results.csv")
    svg = _write_parts(parts, folder)
    atomic_write(folder / "report.html", html.study_report(numbers, parts, svg))
    path = folder / "report.md"
    atomic_write(path, markdown.study_report(numbers, parts))
    opens(_opening(numbers, parts, page))
    return path


def _opening(numbers: Numbers, parts: Iterable[Part], exhibit: ExhibitPage | None) -> Opening:
    """The verdict, and the tables of the exhibit, or those of the study where there are none."""
    first = [p for p in parts if p.opening]
    words = tuple(s for p in first for b in p.blocks if isinstance(b, Words) for s in b.sentences)
    if exhibit is not None and exhibit.tables:
        return Opening(exhibit.title, words, exhibit.without_repeated_notes)
    return Opening("", words, tuple(b.table for p in first for b in p.tables if b.pages and b.opening))


def build_exhibit_report(
    exhibit: ExhibitPage, out_dir: Path, opens: Callable[[Opening], None] = lambda opening: None
) -> Path:
    """Write ``report/`` below `out_dir` for an exhibit without a study behind it; returns the path of report.md.

    The files are report.html, report.md, tables/*.{csv,md,tex} and figures/*.{svg,pdf}; their bytes depend on the
    arguments only.

    Args:
        opens: is called with the first part of the report, once all of it is written.
    """
    folder = out_dir / "report"
    svg = _write_parts([exhibit_part(exhibit)], folder)
    atomic_write(folder / "report.html", html.exhibit_report(exhibit, svg))
    path = folder / "report.md"
    atomic_write(path, markdown.exhibit_report(exhibit))
    opens(Opening(exhibit.title, (), exhibit.without_repeated_notes))
    return path


def _write_parts(parts: Iterable[Part], folder: Path) -> dict[str, bytes]:
    """Write the files of all tables and figures; returns name of a figure -> its SVG file."""
    parts = list(parts)
    writers = {"csv": to_csv, "md": markdown.to_markdown, "tex": to_latex}
    for block in (b for p in parts for b in p.tables):
        for form in block.formats:
            atomic_write(folder / "tables" / f"{block.table.name}.{form}", writers[form](block.table))
    svg = {}
    for figure in (f for p in parts for f in p.figures):
        svg[figure.name] = draw(figure, "svg")
        atomic_write(folder / "figures" / f"{figure.name}.svg", svg[figure.name])
        atomic_write(folder / "figures" / f"{figure.name}.pdf", draw(figure, "pdf"))
    return svg
