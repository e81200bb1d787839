"""From records to a report: what stands beside the records (``manifest.json``), and the report built from both.

`write_manifest` runs while a study does, with everything in hand. `write_report` needs the folder alone: no model, no
data, no ray, so it works on a laptop to which the results were copied.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from raystudy.analysis.numbers import Numbers
from raystudy.analysis.report import Opening, build
from raystudy.analysis.shown import Shown
from raystudy.analysis.tables import SearchRow
from raystudy.spec import Arm, Record, Setting, digest
from raystudy.study.records import Results
from raystudy.studyfile import Study
from raystudy.wording import counted
from raystudy.yamlfile import to_yaml

if TYPE_CHECKING:
    from raystudy.study.conduct import Conductor
    from raystudy.study.plan import Plan

__all__ = ["example_differences", "provenance", "write_manifest", "write_report"]

_PACKAGES = (
    "raystudy",
    "torch",
    "transformers",
    "tokenizers",
    "ray",
    "optuna",
    "datasets",
    "numpy",
    "scikit-learn",
    "scipy",
)
Key = tuple[str, str, str]  # variant, target, setting


def provenance(plan: Plan, command: str) -> dict[str, str]:
    """What a reader needs to trust or repeat a run: versions, digests, the command."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        commit = "not a git checkout"
    numerics = plan.study.numerics
    return {
        **{name: version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "commit": commit,
        "study": digest(plan.study.model_dump(mode="json")),
        "model": f"{plan.plm.name} {plan.plm.digest}: {plan.plm.about}",
        "numerics": f"{numerics.precision} on {numerics.device}, {counted(numerics.workers, 'worker')} per training",
        "command": command,
    }


def write_manifest(conductor: Conductor, facts: Mapping[str, str], exhibit: Mapping[str, str] | None = None) -> None:
    """Say beside the records which of them belong to the study as it is now, and what they do not know themselves.

    Args:
        exhibit: the table or figure of a paper that the study is for: ``{"exhibit": name, "scale": scale}``.
    """
    from raystudy.study.conduct import importances, search_rows

    plan = conductor.plan
    searched = [c.id for s in conductor.searches.values() for t in s.trials for c in t.cells if c.id in conductor.seen]
    conductor.results.write_manifest(
        {
            "study": plan.study.model_dump(mode="json"),
            "exhibit": dict(exhibit) if exhibit is not None else None,
            "confirm": [s.id for s in plan.confirm(conductor.searches)],
            "search": searched,
            "search_rows": [asdict(row) for row in search_rows(conductor.searches, conductor.seen)],
            "importances": [asdict(found) for found in importances(conductor.searches)],
            "tasks": [asdict(t) for t in plan.task_facts],
            "facts": dict(facts),
            "notes": [
                f"Encoder {plan.plm.name}: {plan.plm.about}.",
                *(f"No effect: {line}." for line in plan.idle),
            ],
            "expected": plan.preview,
            "places": asdict(plan.places),
        }
    )


def write_report(
    folder: str | PathLike[str],
    exhibit: Callable[[Study, Numbers], Shown] | None = None,
    opens: Callable[[Opening], None] = lambda opening: None,
) -> Path:
    """Build the report of a results folder from its files alone; returns the path of report.md.

    Args:
        exhibit: what the report opens with, where the study is a table or a figure of a paper.
        opens: is given what the report says first, once all of it is written.

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
        importances=[Importance(**{**found, "arm": _arm(found["arm"])}) for found in manifest["importances"]],
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
    done: dict[Key, dict[int, str]] = {}
    for r in records:
        if r.status == "done" and r.spec.phase == "confirm" and r.facts.get("metric") == "accuracy":
            done.setdefault((r.spec.variant, r.spec.target, str(r.spec.setting)), {})[r.spec.seed] = r.id
    read: dict[str, NDArray[np.bool_] | None] = {}

    def correct(cell: str) -> NDArray[np.bool_] | None:
        if cell not in read:
            read[cell] = results.correct(cell)
        return read[cell]

    def pairs(key: Key, base: Mapping[int, str]) -> Iterator[NDArray[np.float64]]:
        for seed in sorted(done[key].keys() & base.keys()):
            a, b = correct(done[key][seed]), correct(base[seed])
            if a is not None and b is not None and len(a) == len(b):
                yield a.astype(float) - b

    out = {}
    for key in done:
        base = done.get((study.report.baseline, *key[1:]))
        if base is None or key[0] == study.report.baseline:
            continue
        rows = list(pairs(key, base))
        if rows and len({len(row) for row in rows}) == 1:
            out[key] = np.stack(rows)
    return out
