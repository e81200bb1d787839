"""``raystudy compare A B``: one study against another one, or two methods of a study, in pairs of seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from raystudy.commands import Json, console, print_json, tell
from raystudy.commands.folders import ran_folder
from raystudy.errors import ConfigError, Problem

if TYPE_CHECKING:
    from raystudy.analysis.side_by_side import SideBySide

__all__ = ["compare"]


def compare(
    study: Annotated[str, typer.Argument(help="A study's name, file, or results folder.")],
    first: Annotated[str, typer.Argument(metavar="B", help="Another study; or a method of the study.")],
    second: Annotated[str, typer.Argument(metavar="[C]", help="Another method of the study.")] = "",
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """Compare two studies, or two methods of one (STUDY METHOD METHOD), in pairs of seeds.

    Says which is better where, what a decision would take, and what differs in the settings. Trains nothing.
    """
    if markdown and as_json:
        raise ConfigError(Problem("--markdown and --json are two forms: ask for one", "compare"))
    from raystudy.study.folder.sides import compare_methods, compare_studies

    folder = ran_folder(study)
    found = compare_methods(folder, first, second) if second else compare_studies(folder, ran_folder(first))
    if as_json:
        print_json(_data(found))
    elif markdown:
        typer.echo(_markdown(found), nl=False)
    else:
        _show(found)


def _data(found: SideBySide) -> dict[str, Any]:
    from raystudy.analysis.numbers import plain
    from raystudy.analysis.side_by_side import words

    numbers: dict[str, Any] = plain(found)
    return {**numbers, "words": [str(s) for s in words(found)]}


def _markdown(found: SideBySide) -> str:
    from raystudy.analysis.markdown import escape, to_markdown
    from raystudy.analysis.side_by_side import pair_table, setting_table, words

    parts = [f"# {escape(found.first)} against {escape(found.second)}\n"]
    parts.append(
        "\n".join(f"- **{escape(s.lead)}**{escape(s.rest)}" if s.lead else f"- {escape(s.rest)}" for s in words(found))
    )
    parts += [f"\n{to_markdown(t)}" for t in (pair_table(found), setting_table(found)) if t.rows]
    return "\n".join(parts)


def _show(found: SideBySide) -> None:
    from raystudy.analysis.side_by_side import pair_table, setting_table, words
    from raystudy.terminal import show_report_table, show_verdict

    to = console()
    show_verdict(to, words(found))
    for table in (pair_table(found), setting_table(found)):
        if table.rows:
            tell("")
            show_report_table(to, table)
