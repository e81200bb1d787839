"""``raystudy rerun``: trains a recorded cell again, in this process and without ray, and compares the records."""

from __future__ import annotations

import json
import os
import tempfile
import traceback
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raystudy.commands import Json, Out, console, print_json, tell
from raystudy.commands.folders import find_cell
from raystudy.errors import ConfigError, PreflightError, Problem, UserError
from raystudy.paths import expanded_path, is_file, readable_folder
from raystudy.wording import counted

if TYPE_CHECKING:
    from raystudy.spec import Places, Record
    from raystudy.study.rerun import Difference

__all__ = ["rerun"]

EXIT_SAME, EXIT_DIFFERENT = 0, 1


def rerun(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="A cell's id, its first letters, or its folder.")],
    study: Annotated[
        str | None,
        typer.Option(help="Look in this study only (default: all under results/); a file, for code of your own."),
    ] = None,
    out: Out = None,
    keep: Annotated[Path | None, typer.Option(help="Write what was made here, as cells/<id>/.")] = None,
    stored: Annotated[bool, typer.Option("--stored", help="Let the stage store answer what it knows.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch (default: as recorded).")] = None,
    data_root: Annotated[str | None, typer.Option(help="Folder with one folder per task, instead of then.")] = None,
    plm: Annotated[str | None, typer.Option(help="Model, instead of the place where it lay then.")] = None,
    as_json: Json = False,
) -> None:
    """Train one recorded cell again and compare: exit code 0 = the same record, 1 = it differs or fails.

    Never touches the record. A cell that fails shows its whole error.
    """
    folder = find_cell(cell, study, out)
    record = _record(folder)
    places = _places(folder, data_root, plm)
    if record.spec.own:
        _open_own(record, study, folder.parents[1] / "own")
    from raystudy.study.folder.records import Results
    from raystudy.study.rerun import differences, reasons_to_differ, train_again
    from raystudy.study.store.stage_store import StageStore

    notes = list(reasons_to_differ(record))
    if not as_json:
        tell(f"{record.id}: {record.spec}, recorded as {record.status} in {folder.parents[1]}")
        for note in notes:
            tell(f"note: {note}")
    store = StageStore(Path(places.shared) / "stages") if stored and places.shared else None
    try:
        outcome = train_again(record, places, threads=threads, store=store)
    except PreflightError:  # it could not be tried
        raise
    except Exception as e:  # a developer asked to see it; a user's mistake is told in words here too
        error = str(e) if isinstance(e, UserError) else "".join(traceback.format_exception(e))
        same = record.status == "failed" and record.error.splitlines()[-1:] == error.splitlines()[-1:]
        outcome_text = "it fails as it was recorded" if same else f"it fails; it was recorded as {record.status}"
        if as_json:
            print_json({"cell": record.id, "same": False, "notes": notes, "error": error, "recorded": record.error})
        else:
            typer.echo(error, err=True)
            tell(f"{record.id}: {outcome_text}")
        raise typer.Exit(EXIT_DIFFERENT) from None
    with ExitStack() as stack:
        new_folder = (
            expanded_path(keep, "--keep")
            if keep
            else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="raystudy-rerun-")))
        )
        new_results = Results(new_folder)
        if os.path.realpath(new_results.cells / record.id) == os.path.realpath(folder):
            raise ConfigError(
                Problem("is where the record lies, which is never written over", "--keep", str(new_folder))
            )
        new_results.write(outcome)
        differing_values = differences(folder, new_results.cells / record.id)
    _say(record, differing_values, notes, as_json)
    raise typer.Exit(EXIT_DIFFERENT if differing_values else EXIT_SAME)


def _say(record: Record, differing_values: list[Difference], notes: list[str], as_json: bool) -> None:
    if as_json:
        rows: list[dict[str, Any]] = [asdict(d) for d in differing_values]
        print_json({"cell": record.id, "same": not differing_values, "notes": notes, "differences": rows})
        return
    if not differing_values:
        tell(f"{record.id}: the same record")
        return
    from raystudy.terminal import TerminalColumn, print_table

    columns = [TerminalColumn("differs", whole=True), TerminalColumn("recorded"), TerminalColumn("now")]
    print_table(console(), columns, [[d.what, d.recorded, d.now] for d in differing_values])
    if record.status == "failed":
        tell(f"It was recorded as failed: {(record.error.splitlines() or ['no reason given'])[-1]}")
    tell(f"{record.id}: {counted(len(differing_values), 'value differs', 'values differ')}")


def _open_own(record: Record, study: str | None, copies: Path) -> None:
    """Open the study file that names the user's own code of a record; the results folder is not asked for it.

    Raises:
        ConfigError: the study file is wrong. PreflightError: none is named, or its code is not what made the record.
    """
    from raystudy.own_modules import differing
    from raystudy.run import study_file
    from raystudy.studyfile import read_study

    if study is not None and study.endswith((".yaml", ".yml")):
        read_study(study_file(study), run_own=True)
    if problems := list(differing(record.spec.own)):
        cure = "" if study is not None and study.endswith((".yaml", ".yml")) else ", with --study FILE.yaml"

        def with_copy(problem: Problem) -> Problem:
            copy = copies / f"{problem.path.partition('/')[2]}-{record.spec.own[problem.path]}.py"
            where = f" (a copy of what made the record, to look at, is {copy})" if is_file(copy) else ""
            return Problem(f"{problem.message}{cure}{where}", problem.path, problem.file)

        raise PreflightError(map(with_copy, problems))


def _record(folder: Path) -> Record:
    from raystudy.spec import Record

    path = folder / "record.json"
    try:
        record = Record.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as e:
        raise ConfigError(Problem(f"is not a record ({e})", file=str(path))) from None
    if record.id != folder.name:
        raise ConfigError(
            Problem(f"is not the record of {folder.name}: its content has the id {record.id}", file=str(path))
        )
    return record


def _places(folder: Path, data_root: str | None, plm: str | None) -> Places:
    """Where the study found its data and model, unless they lie elsewhere now.

    Raises:
        ConfigError: neither the study's manifest nor the command line says where they lie.
    """
    from raystudy.data.plm import absolute_model_name
    from raystudy.spec import Places
    from raystudy.study.folder.records import Results

    manifest = folder.parents[1] / "manifest.json"
    recorded_places = Results(manifest.parent).manifest().get("places")
    if recorded_places is None and plm is None:
        message = "does not say where data and model lay: give --plm, and --data-root where the study had one"
        raise ConfigError(Problem(message, file=str(manifest)))
    try:
        places = Places(**recorded_places) if recorded_places is not None else Places()
    except TypeError as e:
        raise ConfigError(Problem(f"its places are not what they must be ({e})", file=str(manifest))) from None
    changed = {
        "data_root": data_root and str(readable_folder(data_root, where="--data-root")),
        "plm": plm and absolute_model_name(plm, (None,), "--plm"),
    }
    return replace(places, **{k: v for k, v in changed.items() if v is not None})
