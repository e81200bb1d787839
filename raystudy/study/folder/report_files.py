"""Builds the report of a study, ``report/`` of its results folder, from the records and the manifest beside them.

It needs the folder alone: no model, no data, no Ray. So it works on a laptop to which the results were copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raystudy.analysis.exhibit_page import ExhibitPage
from raystudy.analysis.numbers import Numbers
from raystudy.analysis.report import Opening, build
from raystudy.analysis.tables import SearchRow
from raystudy.spec import Arm, Record, Setting
from raystudy.study.folder.records import Results
from raystudy.studyfile import Study
from raystudy.yamlfile import to_yaml

__all__ = ["example_differences", "write_report"]

Key = tuple[str, str, str]  # variant, target, setting: one score of the report


def write_report(
    folder: str | PathLike[str],
    exhibit: Callable[[Study, Numbers], ExhibitPage] | None = None,
    opens: Callable[[Opening], None] = lambda opening: None,
) -> Path:
    """Build the report of a results folder from its files alone; returns the path of report.md.

    Args:
        exhibit: makes what the report opens with, where the study is for a table or a figure of a paper.
        opens: called with what the report says first, once all of it is written.

    Raises:
        ConfigError: no study was run there, or its records cannot be read.
    """
    from raystudy.analysis.tables import Importance, TaskFacts

    results = Results(folder)
    manifest = results.manifest()
    study = Study.model_validate(manifest["study"])
    cells = results.scan()
    records = [cells[k] for k in (*manifest["search"], *manifest["confirm"]) if k in cells]
    return build(
        study,
        records,
        [SearchRow(**{**row, "arm": _arm(row["arm"])}) for row in manifest["search_rows"]],
        results.folder,
        facts=manifest["facts"],
        notes=manifest["notes"],
        examples=example_differences(records, study, results),
        importances=[Importance(**{**row, "arm": _arm(row["arm"])}) for row in manifest["importances"]],
        tasks=[TaskFacts(**{**t, "notes": tuple(t["notes"])}) for t in manifest["tasks"]],
        study_text=to_yaml(study.model_dump(mode="json", exclude_defaults=True)),
        exhibit=exhibit,
        opens=opens,
    )


def _arm(data: Mapping[str, Any]) -> Arm:
    return Arm(data["variant"], Setting(**data["setting"]))


def example_differences(records: Iterable[Record], study: Study, results: Results) -> dict[Key, NDArray[np.float64]]:
    """(variant, target, setting) -> (seeds, examples), method's minus baseline's correctness on the test examples.

    Only where the primary metric is accuracy (of others a difference is no mean over examples), and for the seeds that
    both finished. A cell whose predictions cannot be read is passed over: its scores are in its record.
    """
    cells: dict[Key, dict[int, str]] = {}  # -> seed -> id of the cell
    for r in records:
        if r.status == "done" and r.spec.phase == "confirm" and r.facts.get("metric") == "accuracy":
            cells.setdefault((r.spec.variant, r.spec.target, str(r.spec.setting)), {})[r.spec.seed] = r.id
    correct = lru_cache(maxsize=None)(results.correct_answers)

    def per_seed(key: Key, baseline_cells: Mapping[int, str]) -> Iterator[NDArray[np.float64]]:
        for seed in sorted(cells[key].keys() & baseline_cells.keys()):
            method, baseline = correct(cells[key][seed]), correct(baseline_cells[seed])
            if method is not None and baseline is not None and len(method) == len(baseline):
                yield method.astype(float) - baseline

    differences = {}
    for key in cells:
        baseline_cells = cells.get((study.report.baseline, *key[1:]))
        if baseline_cells is None or key[0] == study.report.baseline:
            continue
        rows = list(per_seed(key, baseline_cells))
        if rows and len({len(row) for row in rows}) == 1:
            differences[key] = np.stack(rows)
    return differences
