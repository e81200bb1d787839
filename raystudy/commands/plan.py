"""``raystudy plan``: shows what a study would read and train. It trains nothing and writes nothing."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated, Any

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
    calibrate: running.Calibrate = None,
    as_json: Json = False,
) -> None:
    """Show what a study would read and train, and how many updates and minutes that takes. Trains nothing."""
    from raystudy.study.disk import planned
    from raystudy.study.plan import Plan, label_counts

    options = running.RunOptions(data_root, plm, only=tuple(only or ()), set=tuple(set_ or ()), calibrate=calibrate)
    loaded_study, places, _ = running.open_study(study, options)
    study_plan = Plan(loaded_study, places)
    study_plan.sizes  # noqa: B018  refuses every impossible setting at once
    if not as_json:
        machine = running.machine_lines(study_plan)
        for line in running.describe(study_plan, machine=machine, timing=running.foresee(study_plan, options)):
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
        for name, t in study_plan.tasks.items()
    }
    machine = running.machine_lines(study_plan)
    more: dict[str, Any] = {
        "tasks": tasks,
        "machine": machine,
        "no effect": study_plan.keys_without_effect,
        "cautions": study_plan.cautions,
        "disk_bytes": asdict(planned(study_plan)),
    }
    more["time"] = _seconds(running.foresee(study_plan, options))
    print_json({"study": loaded_study.model_dump(mode="json"), **more, **study_plan.preview})


def _seconds(timing: running.Timing) -> dict[str, Any]:
    """What `--json` says of the time: null where it is not known."""
    forecast = timing.forecast
    if forecast is None or math.isnan(work := forecast.work_left()):
        return {"training": None, "wall": None, "groups": None, "of": {}, "timed_now": timing.measured}
    return {
        "training": round(work, 1),
        "wall": None if (left := forecast.left()) is None else round(left, 1),
        "groups": forecast.groups,
        "of": {row: round(seconds, 1) for row, seconds in timing.rows.items()},
        "timed_now": timing.measured,
    }
