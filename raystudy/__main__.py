"""``python -m raystudy``: read what there is. Nothing trains; `methods`, `status` and `report` load no torch or ray."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from raystudy import run as running
from raystudy.catalogue import catalogue
from raystudy.errors import UserError

__all__ = ["main"]

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Which way of transferring knowledge helps a low-resource text task, and is the difference real?",
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
app.command(name="run", help="Run a study; the same as python -m raystudy.run.")(running.command)


def _print(data: Any) -> None:
    typer.echo(json.dumps(data, indent=1, ensure_ascii=False))


@app.command()
def methods(as_json: Json = False) -> None:
    """Every variant, what it is, and which of its settings a search moves."""
    cat = catalogue()
    rows = [
        {
            "id": v.id,
            "title": v.title,
            "about": v.about,
            "role": v.role,
            "paper": v.paper,
            "section": v.section,
            "rows": list(v.rows),
            "module": f"raystudy.methods.{v.method}",
            "fixes": dict(v.fixes),
            "settings": {
                n: p.model_dump(mode="json", exclude_defaults=True) | {"paper": cat.defaults(v.id)[n]}
                for n, p in cat.of(v.id).items()
            },
            "searched": list(cat.searched(v.id, {})),
        }
        for v in sorted(cat.variants.values(), key=lambda v: (v.method, v.role != "baseline"))
    ]
    if as_json:
        _print(rows)
        return
    for row in rows:
        typer.echo(f"{row['id']:<22} {row['role']:<9} {row['about']}")
        if row["searched"]:
            typer.echo(f"{'':<32} searched: {', '.join(row['searched'])}")


@app.command()
def plan(
    study: Annotated[str, typer.Argument(help="A study of search_spaces/studies, or a .yaml file.")] = "quickstart",
    data_root: Annotated[str | None, typer.Option(help="Folder with one folder per task.")] = None,
    plm: Annotated[str | None, typer.Option(help="minilm, tiny, a folder, or a hub id.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only these methods, and the baseline.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="a.b=value, in place of the study file's.")] = None,
    as_json: Json = False,
) -> None:
    """What a study would read and train, and how many updates that takes. Trains nothing."""
    from raystudy.study.plan import Plan

    options = running.Options(data_root, plm, only=tuple(only or ()), set=tuple(set_ or ()))
    opened, places, _ = running.open_study(study, options)
    made = Plan(opened, places)
    made.sizes  # noqa: B018  refuses every impossible setting at once
    if not as_json:
        for line in running.describe(made):
            typer.echo(line)
        return
    tasks = {
        name: {"form": t.form, "labels": list(t.labels), "metric": t.metric, **{s: len(t.splits[s]) for s in t.splits}}
        for name, t in made.tasks.items()
    }
    _print({"study": opened.model_dump(mode="json"), "tasks": tasks, **made.preview()})


def _folder(study: str, out: Path | None) -> Path:
    """The results folder of a study named by its name, its file or its folder."""
    if out is not None:
        return out
    if (Path(study) / "manifest.json").is_file() or (Path(study) / "cells").is_dir():
        return Path(study)
    name = study
    if study.endswith((".yaml", ".yml")):
        from raystudy.studyfile import read_study

        name = read_study(running.study_file(study)).name
    return Path("results") / name


@app.command()
def status(
    study: Annotated[str, typer.Argument(help="A study's name, file, or results folder.")] = "quickstart",
    out: Annotated[Path | None, typer.Option(help="Results folder (default: results/<study>).")] = None,
    as_json: Json = False,
) -> None:
    """What of a study is done, failed and missing. Works while it runs, from another terminal."""
    from raystudy.study.records import Results

    results = Results(_folder(study, out))
    manifest, records = results.manifest(), results.scan()
    total = manifest["expected"]["total_cells"]
    mine = [records[k] for k in {*manifest["search"], *manifest["confirm"]} if k in records]
    found = {
        "study": manifest["study"]["name"],
        "running": results.running(),
        "expected_cells": total,
        "done": sum(r.status == "done" for r in records.values()),
        "failed": sum(r.status == "failed" for r in records.values()),
        "confirm": {"planned": len(manifest["confirm"]), "done": sum(r.spec.phase == "confirm" for r in mine)},
        "per_method": dict(sorted(Counter(f"{r.spec.variant} {r.spec.phase}" for r in records.values()).items())),
    }
    if as_json:
        _print(found)
        return
    state = "running now" if found["running"] else "not running"
    typer.echo(f"{found['study']}: {found['done']} done, {found['failed']} failed of about {total} cells; {state}")
    for name, n in found["per_method"].items():
        typer.echo(f"    {name:<40} {n}")
    for r in records.values():
        if r.status == "failed":
            typer.echo(f"failed: {r.spec}: {r.error.splitlines()[-1] if r.error else 'no reason given'}")


@app.command()
def report(
    study: Annotated[str, typer.Argument(help="A study's name, file, or results folder.")] = "quickstart",
    out: Annotated[Path | None, typer.Option(help="Results folder (default: results/<study>).")] = None,
    as_json: Json = False,
) -> None:
    """Build a study's report again from its files."""
    folder = _folder(study, out)
    path = running.write_report(folder)
    _print({"report": str(path), "results": str(path.parent / "results.csv")}) if as_json else typer.echo(str(path))


def main() -> None:
    """Entry point of ``python -m raystudy``: a user's mistake is a message and an exit code, never a traceback."""
    try:
        app()
    except UserError as e:
        for problem in e.problems:
            typer.echo(str(problem), err=True)
        raise SystemExit(e.exit_code) from None


if __name__ == "__main__":
    main()
