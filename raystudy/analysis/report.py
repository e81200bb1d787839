"""Builds the report of a study from its records, in seconds: computes its numbers, then writes tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from numpy.typing import ArrayLike

from raystudy.analysis import html, markdown, tables
from raystudy.analysis.answer_shares import answers_table
from raystudy.analysis.compute import compute
from raystudy.analysis.exhibit_page import ExhibitPage, RunScores, no_runs
from raystudy.analysis.figures import Figure, draw, figures
from raystudy.analysis.frame import Key, tidy, write_csv
from raystudy.analysis.heatmap import label_map_figures
from raystudy.analysis.latex import to_latex
from raystudy.analysis.numbers import (
    Importance,
    Numbers,
    Recipe,
    SearchedSetting,
    SearchRow,
    Sentence,
    TaskFacts,
    to_json,
)
from raystudy.analysis.recipes import recipes_table
from raystudy.analysis.search_gain import Beside, gain_table
from raystudy.analysis.slices import slices_table
from raystudy.analysis.table import Table, to_csv
from raystudy.analysis.task_weights import task_weights_table
from raystudy.files import atomic_write
from raystudy.spec import Record
from raystudy.studyfile import Study

__all__ = ["Opening", "build", "build_exhibit_report"]


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
    facts: Mapping[str, str],
    notes: Sequence[str] = (),
    examples: Mapping[Key, ArrayLike] | None = None,
    importances: Sequence[Importance] = (),
    tasks: Sequence[TaskFacts] = (),
    study_text: str = "",
    exhibit: Callable[[Study, Numbers, RunScores], ExhibitPage] | None = None,
    opens: Callable[[Opening], None] = lambda opening: None,
    spaces: Sequence[SearchedSetting] = (),
    beside: Beside | None = None,
    recipes: Sequence[Recipe] = (),
    runs: RunScores = no_runs,
) -> Path:
    """Write ``report/`` below `out_dir`.

    People read report.html or report.md. For use elsewhere there are report.json (all numbers), results.csv (a row per
    cell and metric), tables/*.{csv,md,tex} and figures/*.{svg,pdf}.

    Each file is written whole or not at all, report.html and report.md last. The bytes depend on the arguments only, in
    whatever order records and rows come; apart from seconds, two runs of one study give the same.

    Args:
        records: the records of all cells of the study's plan, search and confirm, done and failed, each once.
        search_rows: what the search measured, one row per configuration and target; none when nothing was searched.
        facts: the provenance, printed as it is: versions, commit, model digest, study hash, seeds, command.
        notes: sentences about what the numbers depend on, such as what the encoder has already been trained on.
        examples: (variant, target, setting) -> (seeds, examples) differences of correctness to the baseline, where the
            predictions were compared; adds the two-way test.
        importances: how much each searched setting of an arm mattered; it is shown from 30 completed trials on.
        tasks: what is known of the data.
        study_text: the study as YAML, with every default written out.
        exhibit: makes the page that the report opens with, where the study is a table or a figure of a paper.
        runs: the scores of single trainings on single test sentences, for what an exhibit tests on them.
        opens: is called with the first part of the report, once all of it is written.
        spaces: what the searches moved.
        beside: the cells that show what searching brought.
        recipes: what won the searches across methods.

    Returns:
        The path of report.md; report.html lies beside it.

    Raises:
        ValueError: the records answer one question twice, or do not say which metric counts.
    """
    records, folder = list(records), out_dir / "report"
    numbers = compute(
        study,
        records,
        search_rows,
        facts=facts,
        notes=notes,
        examples=examples,
        importances=importances,
        tasks=tasks,
        study_text=study_text,
        spaces=spaces,
        beside=beside,
        recipes=recipes,
    )
    table_of_name = {
        "main": tables.main_table(numbers),
        "comparison": tables.comparison_table(numbers),
        "answers": answers_table(numbers.answers, numbers.design),
        "search": tables.search_table(numbers),
        "cost": tables.cost_table(numbers),
        "data": tables.tasks_table(numbers.tasks),
    }
    if numbers.spaces:
        table_of_name["space"] = tables.space_table(numbers)
    if numbers.gains:
        table_of_name["search_gain"] = gain_table(numbers.gains, numbers.design)
    if numbers.recipes:
        table_of_name["recipes"] = recipes_table(numbers)
    if numbers.slices:
        table_of_name["slices"] = slices_table(numbers.slices, numbers.design)
    if numbers.task_weights:
        table_of_name["task_weights"] = task_weights_table(numbers.task_weights, numbers.design)
    opening = exhibit(study, numbers, runs) if exhibit is not None else None
    atomic_write(folder / "report.json", to_json(numbers))
    write_csv(tidy(records, study.name), folder / "results.csv")
    _write_tables([*table_of_name.values(), *(opening.tables if opening else ())], folder)
    for long in (tables.trials_table(numbers), tables.cells_table(numbers, searched=True)):
        atomic_write(folder / "tables" / f"{long.name}.csv", to_csv(long))
    report_figures = [*(opening.figures if opening else ()), *figures(numbers), *label_map_figures(numbers)]
    svg_figures = _write_figures(report_figures, folder)
    table_of_name["cells"] = tables.cells_table(numbers, searched=False)
    atomic_write(folder / "report.html", html.study_report(numbers, table_of_name, svg_figures, opening))
    path = folder / "report.md"
    atomic_write(path, markdown.study_report(numbers, table_of_name, _links(svg_figures), opening))
    title_and_tables = (
        (opening.title, opening.without_repeated_notes)
        if opening is not None and opening.tables
        else ("", (table_of_name["main"],))
    )
    opens(Opening(title_and_tables[0], tuple(numbers.words["verdict"]), title_and_tables[1]))
    return path


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
    _write_tables(exhibit.tables, folder)
    svg_figures = _write_figures(exhibit.figures, folder)
    atomic_write(folder / "report.html", html.exhibit_report(exhibit, svg_figures))
    path = folder / "report.md"
    atomic_write(path, markdown.exhibit_report(exhibit, _links(svg_figures)))
    opens(Opening(exhibit.title, (), exhibit.without_repeated_notes))
    return path


def _write_tables(report_tables: Iterable[Table], folder: Path) -> None:
    for table in report_tables:
        atomic_write(folder / "tables" / f"{table.name}.csv", to_csv(table))
        atomic_write(folder / "tables" / f"{table.name}.md", markdown.to_markdown(table))
        atomic_write(folder / "tables" / f"{table.name}.tex", to_latex(table))


def _write_figures(report_figures: Iterable[Figure], folder: Path) -> list[tuple[Figure, bytes]]:
    """Write every figure as SVG and PDF; returns each with the bytes of its SVG file."""
    svg_figures = []
    for figure in report_figures:
        svg = draw(figure, "svg")
        atomic_write(folder / "figures" / f"{figure.name}.svg", svg)
        atomic_write(folder / "figures" / f"{figure.name}.pdf", draw(figure, "pdf"))
        svg_figures.append((figure, svg))
    return svg_figures


def _links(svg_figures: Iterable[tuple[Figure, bytes]]) -> dict[str, list[tuple[str, str]]]:
    """Section -> (title, path below the report's folder) of its figures."""
    out: dict[str, list[tuple[str, str]]] = {}
    for figure, _ in svg_figures:
        out.setdefault(figure.section, []).append((figure.title, f"figures/{figure.name}.svg"))
    return out
