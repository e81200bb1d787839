"""Folders by what a person types: a study by its name, file or folder, a cell by its id or the first letters of it."""

from __future__ import annotations

import os
from pathlib import Path

from raystudy.errors import ConfigError, Problem, did_you_mean, quoted
from raystudy.paths import absolute_path, expanded_path, is_file, is_folder, kind_of, why_no_folder

__all__ = ["REPRODUCTION", "RESULTS", "find_cell", "is_reproduction", "ran_folder", "results_folder", "studies"]

RESULTS = Path("results")
REPRODUCTION = "reproduction.json"  # what says that a folder holds all exhibits of a paper
_LISTED_IDS = 8


def studies() -> dict[str, Path]:
    """Every study that was run from the current folder: name -> results folder."""
    return {p.parent.name: p.parent for p in sorted(RESULTS.glob("*/manifest.json"))}


def results_folder(study: str, out: Path | None = None) -> Path:
    """Where the results of a study lie or will lie.

    Raises:
        ConfigError: `study` is a file that is not there or is no study.
    """
    if out is not None:
        return expanded_path(out, "--out")
    if is_file(Path(study) / "manifest.json") or is_folder(Path(study) / "cells"):
        return Path(study)
    if study.endswith((".yaml", ".yml")):
        from raystudy.run import study_file
        from raystudy.studyfile import read_study

        study = read_study(study_file(study)).name
    return RESULTS / study


def is_reproduction(folder: Path) -> bool:
    """Whether a folder holds the exhibits of a whole paper, each in a folder of its own, and no study."""
    return is_file(folder / REPRODUCTION)


def ran_folder(study: str, out: Path | None = None) -> Path:
    """The results folder of a study that was run.

    Raises:
        ConfigError: it was not, with the nearest name of one that was.
    """
    folder = results_folder(study, out)
    if not is_file(folder / "manifest.json"):
        if kind_of(folder / "manifest.json") == "closed":
            raise ConfigError(why_no_folder(folder))
        near = did_you_mean(study, studies()) if out is None else ""
        raise ConfigError(Problem(f"no study was run here yet{near}", file=quoted(str(folder), 300)[1:-1]))
    return folder


def find_cell(cell: str, study: str | None = None, out: Path | None = None) -> Path:
    """The folder of one recorded cell, by its folder, its id, or the first letters of its id.

    Args:
        study: look in this study only (default: in all under ``results/``).

    Raises:
        ConfigError: none or several cells fit, or the same cell is recorded in several studies.
    """
    if os.sep in cell:
        path = expanded_path(cell, "CELL")
        if not is_file(path / "record.json"):
            raise ConfigError(Problem("is not the folder of a recorded cell", file=quoted(cell, 300)[1:-1]))
        return path if len(path.parts) > 2 else absolute_path(path)  # its study lies two folders above
    folders = [ran_folder(study or "", out)] if study or out else list(studies().values())
    cell_folders = {p.parent for f in folders for p in f.glob("cells/*/record.json")}
    matches = sorted(p for p in cell_folders if p.name == cell) or sorted(
        p for p in cell_folders if cell and p.name.startswith(cell)
    )
    ids = sorted({p.name for p in matches})
    if not matches:
        where = ", ".join(map(str, folders)) or f"{RESULTS}/ (no study was run from this folder)"
        near = did_you_mean(cell, [p.name for p in cell_folders])
        raise ConfigError(Problem(f"no cell {quoted(cell)} is recorded in {where}{near}", "CELL"))
    if len(ids) > 1:
        some = ", ".join(ids[:_LISTED_IDS]) + (", ..." if len(ids) > _LISTED_IDS else "")
        raise ConfigError(Problem(f"{quoted(cell)} begins {len(ids)} cells, give more of one: {some}", "CELL"))
    if len(matches) > 1:
        places = ", ".join(str(p.parents[1]) for p in matches)
        raise ConfigError(Problem(f"the cell {ids[0]} is recorded in {places}: choose one with --study", "CELL"))
    return matches[0]
