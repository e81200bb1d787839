"""``raystudy plan``: what a study would read and train. Trains nothing, writes nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from raystudy import run as running
from raystudy.commands import Json, print_json, tell

__all__ = ["plan"]


def plan(
    study: Annotated[str, typer.Argument(help="A study of search_spaces/studies, or a .yaml file.")] = "quickstart",
    data_root: Annotated[str | None, typer.Option(help="Folder with one folder per task.")] = None,
    plm: Annotated[str | None, typer.Option(help="minilm, tiny, a folder, or a hub id.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only these methods, and the baseline.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="a.b=value, in place of the study file's.")] = None,
    as_json: Json = False,
) -> None:
    """What a study would read and train, and how many updates that takes. Trains nothing."""
    from raystudy.study.plan import Plan, label_counts

    options = running.Options(data_root, plm, only=tuple(only or ()), set=tuple(set_ or ()))
    opened, places, _ = running.open_study(study, options)
    made = Plan(opened, places)
    made.sizes  # noqa: B018  refuses every impossible setting at once
    if not as_json:
        for line in running.describe(made, machine=running.on_this_machine(made)):
            tell(line)
        return
    tasks = {
        name: {
            "form": t.form,
            "labels": list(t.labels),
            "metric": t.metric,
            **{s: len(t.splits[s]) for s in t.splits},
            "counts": label_counts(t),
            "notes": list(t.notes),
        }
        for name, t in made.tasks.items()
    }
    machine = running.on_this_machine(made)
    said = {"tasks": tasks, "machine": machine, "no effect": made.idle, "cautions": made.cautions}
    print_json({"study": opened.model_dump(mode="json"), **said, **made.preview})
