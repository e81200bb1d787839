"""What stands beside the records of a study (``manifest.json``), so that a report can be built from the folder alone.

The manifest says which records belong to the study as it is now, how its searches went, and which versions of the
libraries, the model and the code made them. It is written while a study runs, with everything in hand.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raystudy.files import atomic_write
from raystudy.paths import is_file
from raystudy.spec import Record, digest
from raystudy.study.folder.dev_errors import dev_error
from raystudy.study.folder.ensembles import ensemble_rows
from raystudy.study.folder.families import families_apart
from raystudy.study.search.report_rows import importances, recipes, search_rows, searched_settings
from raystudy.wording import counted
from raystudy.yamlfile import to_yaml

if TYPE_CHECKING:
    from raystudy.analysis.numbers import SearchRow
    from raystudy.study.plan import Plan
    from raystudy.study.study_run import StudyRun
    from raystudy.studyfile import Study
    from raystudy.tasks import Example

__all__ = ["lock_text", "provenance", "rows_of", "write_manifest"]

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


def provenance(plan: Plan, command: str) -> dict[str, str]:
    """What a reader needs to trust or repeat a run: versions of libraries, digests, the machine, the command."""
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
        **{m.key: f"{Path(m.file).name} of one's own, digest {m.digest}" for m in plan.study.own},
    }


def lock_text(study: Study) -> str:
    """The study as it was understood, as YAML. Of methods and data sets of the user's own a comment says which file."""
    own = "".join(f"# {m.key} is of your own: {m.file}, digest {m.digest}\n" for m in study.own)
    return own + to_yaml(study.model_dump(mode="json", exclude_defaults=True))


_TEXTS, _CHARACTERS = 2000, 400  # of each target, texts of so many test examples are kept, each cut to so many


def texts_of(plan: Plan) -> dict[str, dict[str, Any]]:
    """Target -> the digest of its data, and the texts of its test examples; none of vectors."""
    texts = {}
    for name in plan.study.target_names:
        task = plan.tasks.get(name)
        if task is not None and task.form != "vector":
            examples = task.splits["test"][:_TEXTS]
            texts[name] = {"digest": task.digest, "test": [_text(e)[:_CHARACTERS] for e in examples]}
    return texts


def _text(example: Example) -> str:
    """What an example says, in one line: both texts of a pair, or its words."""
    return " / ".join(filter(None, (example.text or " ".join(example.tokens), example.pair)))


def rows_of(study_run: StudyRun) -> list[SearchRow]:
    """How every configuration did on every target, with how surely the winners were chosen."""

    def error(record: Record) -> float | None:
        return dev_error(record, study_run.plan.tasks[record.spec.target], study_run.results)

    return search_rows(study_run.searches, study_run.records, error)


def write_manifest(
    study_run: StudyRun,
    facts: Mapping[str, str],
    exhibit: Mapping[str, str] | None = None,
    *,
    chosen_on_dev: bool = False,
) -> None:
    """Write which records belong to the study as it is now, and what a report needs that no record holds.

    Args:
        facts: the provenance, as a reader sees it.
        exhibit: the table or figure of a paper that the study is for: ``{"exhibit": name, "scale": scale}``.
        chosen_on_dev: whether the best recipe alone is confirmed (`study.keep.recipe`), and not every arm.
    """
    plan = study_run.plan
    for module in plan.study.own:  # for who reads the results; nothing is ever run from there
        for path, content in ((module.file, module.source), (module.space_file, module.space)):
            if path and content is not None:
                copy = study_run.results.folder / "own" / f"{module.name}-{module.digest}{Path(path).suffix}"
                if not is_file(copy) or path == module.space_file:
                    atomic_write(copy, content)
    search_cells = [cell.id for s in study_run.searches.values() for c in s.configurations for cell in c.cells]
    study_run.results.write_texts(texts_of(plan))
    study_run.results.write_manifest(
        {
            "study": plan.study.model_dump(mode="json"),
            "exhibit": dict(exhibit) if exhibit is not None else None,
            **({"chosen_on_dev": True} if chosen_on_dev else {}),
            "confirm": [s.id for s in plan.confirm(study_run.searches)],
            "beside": [s.id for s in plan.beside(study_run.searches)],
            "default": [s.id for s in plan.defaults(study_run.searches)],
            "ensembles": [asdict(row) for row in ensemble_rows(study_run)],
            **({"apart": [asdict(row) for row in apart]} if (apart := families_apart(plan)) else {}),
            "recipes": [asdict(recipe) for recipe in recipes(study_run.searches)],
            "spaces": [asdict(row) for row in searched_settings(plan.spaces())],
            "search": [cell for cell in search_cells if cell in study_run.records],
            "search_rows": [asdict(row) for row in rows_of(study_run)],
            "importances": [asdict(importance) for importance in importances(study_run.searches)],
            "tasks": [asdict(t) for t in plan.task_facts],
            "facts": dict(facts),
            "notes": [
                f"Encoder {plan.plm.name}: {plan.plm.about}.",
                *(f"No effect: {line}." for line in plan.keys_without_effect),
            ],
            "expected": plan.preview,
            "places": asdict(plan.places),
            **({"own": [m.declaration() for m in plan.study.own]} if plan.study.own else {}),
        }
    )
