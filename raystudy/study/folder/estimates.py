"""What every method was foreseen to take when its study was begun: ``logs/estimates.json``.

It stays as it was first, so that a report can hold it against what was spent: a run that goes on from records knows
better, too late.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from raystudy.errors import UserError
from raystudy.files import atomic_write
from raystudy.spec import digest
from raystudy.study.folder.records import Results
from raystudy.studyfile import Study

__all__ = ["keep_first_estimates", "read_estimates"]


def keep_first_estimates(results: Results, study: Study, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write what was foreseen (`Forecast.estimates`), unless there is something of this study.

    A file that cannot be written costs a table of the report, not the study.
    """
    key = digest(study.model_dump(mode="json"))
    if _read(results).get("study") != key:
        with suppress(OSError, UserError):
            results.logs.mkdir(parents=True, exist_ok=True)
            atomic_write(results.logs / "estimates.json", json.dumps({"study": key, "rows": [dict(r) for r in rows]}))


def read_estimates(results: Results, study: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was foreseen for a study, as its manifest has it: variant, target, seconds, cells; nothing where unknown."""
    data = _read(results)
    return list(data["rows"]) if data.get("study") == digest(study) else []


def _read(results: Results) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        data = json.loads((results.logs / "estimates.json").read_text(encoding="utf-8"))
        if isinstance(data, dict) and isinstance(data.get("rows"), list):
            return data
    return {}
