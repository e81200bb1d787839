"""Reads from results folders what `analysis.side_by_side` compares: two studies, or two methods of one study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raystudy.analysis.side_by_side import Key, Side, SideBySide, side_by_side
from raystudy.catalogue import catalogue
from raystudy.errors import ConfigError, Problem, unknown_name
from raystudy.spec import Record
from raystudy.study.folder.records import Results
from raystudy.study.folder.report_files import example_terms
from raystudy.studyfile import Study

__all__ = ["compare_methods", "compare_studies"]

_NOT_TRAINED = ("floor", "bound")


def compare_studies(first: Path, second: Path) -> SideBySide:
    """Every method on every target in every setting that two studies have in common; floors are passed over.

    Raises:
        ConfigError: no study was run in one of the folders, or they have no method in common.
    """
    (study, cells), (other, their_cells) = (_confirmed(folder) for folder in (first, second))
    names = _names(study.name, other.name, first, second)
    trained = [_trained(c) for c in (cells, their_cells)]
    if not {k[0] for k in trained[0]} & {k[0] for k in trained[1]}:
        each = [f"{folder} has {_methods(c)}" for folder, c in zip((first, second), trained, strict=True)]
        raise ConfigError(Problem(f"the studies have no method in common: {'; '.join(each)}", "compare"))
    sides = Side(names[0], trained[0]), Side(names[1], trained[1])
    rope = max(study.report.rope, other.report.rope)
    return _compared(sides, rope, (Results(first), Results(second)))


def compare_methods(folder: Path, first: str, second: str) -> SideBySide:
    """One method of a study against another one, on every target in every setting.

    Raises:
        ConfigError: no study was run there, or it has no finished training of one of the methods.
    """
    study, cells = _confirmed(folder)
    known = list(dict.fromkeys(k[0] for k in cells))
    missing = [m for m in (first, second) if m not in known]
    if missing:
        raise ConfigError(Problem(unknown_name("method of this study", m, known), "compare") for m in missing)
    sides = [
        Side(_title(m), {("", *k[1:]): by_seed for k, by_seed in cells.items() if k[0] == m}) for m in (first, second)
    ]
    results = Results(folder)
    return _compared((sides[0], sides[1]), study.report.rope, (results, results))


def _confirmed(folder: Path) -> tuple[Study, dict[Key, dict[int, Record]]]:
    """A study, and its finished cells of the confirm phase: (variant, target, setting) -> seed -> record."""
    results = Results(folder)
    manifest, records = results.manifest(), results.scan()
    cells: dict[Key, dict[int, Record]] = {}
    for r in (records[k] for k in manifest["confirm"] if k in records):
        if r.status == "done":
            cells.setdefault((r.spec.variant, r.spec.target, str(r.spec.setting)), {})[r.spec.seed] = r
    return Study.model_validate(manifest["study"]), cells


def _trained(cells: Mapping[Key, Mapping[int, Record]]) -> dict[Key, Mapping[int, Record]]:
    return {k: v for k, v in cells.items() if catalogue().variant(k[0]).role not in _NOT_TRAINED}


def _methods(cells: Mapping[Key, object]) -> str:
    return ", ".join(dict.fromkeys(k[0] for k in cells)) or "none"


def _title(variant: str) -> str:
    return catalogue().variant(variant).title


def _names(first: str, second: str, folder: Path, other: Path) -> tuple[str, str]:
    """The studies by name, or by folder where the names are the same."""
    return (first, second) if first != second else (str(folder), str(other))


def _compared(sides: tuple[Side, Side], rope: float, results: Sequence[Results]) -> SideBySide:
    titles = {k[0]: _title(k[0]) for side in sides for k in side.cells if k[0]}
    return side_by_side(*sides, rope, titles, _differences(sides, results))


def _differences(sides: tuple[Side, Side], results: Sequence[Results]) -> dict[Key, NDArray[np.float64]]:
    """Cell -> (seeds, examples), what examples add to the first side's scores minus what they add to the second's."""
    out = {}
    for key in (k for k in sides[0].cells if k in sides[1].cells):
        ours, theirs = (side.cells[key] for side in sides)
        rows = []
        for seed in sorted(ours.keys() & theirs.keys()):
            a, b = (example_terms(by_seed[seed], r) for by_seed, r in zip((ours, theirs), results, strict=True))
            if a is not None and b is not None and len(a) == len(b):
                rows.append(a - b)
        if rows and len({len(row) for row in rows}) == 1:
            out[key] = np.stack(rows)
    return out
