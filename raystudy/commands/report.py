"""``raystudy report``: builds a study's report again from its files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from raystudy.commands import Json, Out, StudyOf, console, print_json, tell
from raystudy.commands.folders import is_reproduction, ran_folder, results_folder
from raystudy.run import report_places

if TYPE_CHECKING:
    from raystudy.analysis.report import Opening

__all__ = ["report"]


def report(study: StudyOf = "quickstart", out: Out = None, as_json: Json = False) -> None:
    """Build a study's report again from its files, and print its verdict and main numbers."""
    if is_reproduction(asked := results_folder(study, out)):
        _report_of_reproduction(asked, as_json)
        return
    folder = ran_folder(study, out)
    from raystudy.exhibits import page_renderer
    from raystudy.study.folder.records import Results
    from raystudy.study.folder.report_files import write_report

    openings: list[Opening] = []
    path = write_report(folder, page_renderer(Results(folder).manifest().get("exhibit")), openings.append)
    (opening,) = openings
    if as_json:
        verdict = [str(sentence) for sentence in opening.verdict]
        places = {"report": path, "html": path.with_suffix(".html"), "results": path.parent / "results.csv"}
        print_json({**{k: str(p) for k, p in places.items()}, "verdict": verdict})
        return
    from raystudy.terminal import show_opening

    show_opening(console(), opening)
    tell("")
    for line in report_places(path):
        tell(line)


def _report_of_reproduction(folder: Path, as_json: bool) -> None:
    """Build the page of a whole paper again; the reports of its exhibits stay as they are."""
    from raystudy.analysis.reproduction_page import write_reproduction_page
    from raystudy.reproduce import reproduction_page

    page = reproduction_page(folder)
    path = write_reproduction_page(page, folder)
    if as_json:
        print_json({"html": str(path), "summary": page.summary, "exhibits": [asdict(row) for row in page.rows]})
        return
    tell(f"{page.title}: {page.summary}")
    tell(f"page: {path} (open it in a browser)")
