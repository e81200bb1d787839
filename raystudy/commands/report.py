"""``raystudy report``: builds a study's report again from its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raystudy.commands import Json, Out, StudyOf, console, print_json, tell
from raystudy.commands.folders import ran_folder
from raystudy.run import report_places

if TYPE_CHECKING:
    from raystudy.analysis.report import Opening

__all__ = ["report"]


def report(study: StudyOf = "quickstart", out: Out = None, as_json: Json = False) -> None:
    """Build a study's report again from its files, and print its verdict and main numbers."""
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
