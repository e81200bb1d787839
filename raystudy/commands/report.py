"""``raystudy report``: a study's report, built again from its files."""

from __future__ import annotations

import typer

from raystudy.commands import Json, Out, StudyOf, print_json
from raystudy.commands.folders import ran_folder

__all__ = ["report"]


def report(study: StudyOf = "quickstart", out: Out = None, as_json: Json = False) -> None:
    """Build a study's report again from its files."""
    folder = ran_folder(study, out)
    from raystudy.exhibits import shown_again
    from raystudy.study.publish import write_report
    from raystudy.study.records import Results

    path = write_report(folder, shown_again(Results(folder).manifest().get("exhibit")))
    if as_json:
        print_json({"report": str(path), "results": str(path.parent / "results.csv")})
    else:
        typer.echo(str(path))
