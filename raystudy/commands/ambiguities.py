"""``raystudy ambiguities METHOD``: every documented reading of a method's paper, one at a time, and what it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raystudy import run as running
from raystudy.errors import ConfigError, unknown_name

__all__ = ["ambiguities"]

_ENDING = "_readings"


def ambiguities(
    method: Annotated[
        str, typer.Argument(help="A method whose paper leaves something open: maml, meta_dtl, metaxt, mft, tawt.")
    ],
    data_root: Annotated[str | None, typer.Option(help="Folder with one folder per task.")] = None,
    plm: Annotated[str | None, typer.Option(help="minilm, tiny, a folder, or a hub id.")] = None,
    scale: Annotated[str, typer.Option(help="smoke, small or paper.")] = running.RunOptions.scale,
    seeds: Annotated[int | None, typer.Option(help="Report seeds.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="a.b=value, in place of the study's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    groups: Annotated[int | None, typer.Option(min=1, help="Trainings at a time (default: as many as fit).")] = None,
    address: Annotated[str | None, typer.Option(help="A running Ray cluster, e.g. auto.")] = None,
    out: Annotated[Path | None, typer.Option(help="Results folder.")] = None,
) -> None:
    """Train every documented reading of a method's paper, one at a time, and table what each changes."""
    from raystudy.exhibits import find, names

    exhibit_of = {find(n).readings_of: n for n in names() if n.endswith(_ENDING)}
    if method not in exhibit_of:
        raise ConfigError(unknown_name("method with documented readings", method, sorted(exhibit_of)))
    running.command(
        study=exhibit_of[method],
        data_root=data_root,
        plm=plm,
        scale=scale,
        seeds=seeds,
        set_=set_,
        dry_run=dry_run,
        groups=groups,
        address=address,
        out=out,
    )
