"""The records of a study as one tidy table, with a row per finished cell, split and metric.

All scores that a report prints come from this table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path

import pandas as pd

from raystudy.analysis.numbers import Design
from raystudy.files import atomic_write
from raystudy.spec import Record, Setting

__all__ = [
    "COLUMNS",
    "Key",
    "failed_cells",
    "key",
    "primary_metrics",
    "repeats",
    "scores_by_seed",
    "second_metrics",
    "tidy",
    "write_csv",
]

COLUMNS = (
    "study",
    "method",
    "variant",
    "suite",
    "target",
    "setting",
    "seed",
    "split",
    "metric",
    "value",
    "n_test",
    "cell",
    "seconds",
)
Key = tuple[str, str, str]
"""(variant, target, setting): a cell of the main table, whose seeds are repeats. The setting is ``str(Setting)``."""


def key(record: Record) -> Key:
    """The cell of the main table that `record` is a repeat of."""
    return record.spec.variant, record.spec.target, str(record.spec.setting)


def _order(setting: Setting) -> tuple[int, float, float]:
    """The place of a data setting in the table: numbers of shots first, then fractions, then all of the data."""
    if setting.shots is not None:
        return 0, setting.shots, setting.ratio or 0.0
    return (1, setting.fraction, 0.0) if setting.fraction is not None else (2, 0.0, 0.0)


def repeats(records: Iterable[Record], design: Design, says: Callable[[Record], bool]) -> dict[Key, list[Record]]:
    """Cell of the main table -> the records of its finished repeats for which `says` holds, in the order of the seeds.

    The cells come in the order of the tables: by target, setting and method.
    """
    groups: dict[Key, list[Record]] = {}
    for r in records:
        if r.status == "done" and r.spec.phase == "confirm" and says(r):
            groups.setdefault(key(r), []).append(r)
    cells = [(m.variant, t, s) for t, s in design.pairs for m in design.methods]
    return {cell: sorted(groups[cell], key=lambda r: r.spec.seed) for cell in cells if cell in groups}


def tidy(records: Iterable[Record], study: str) -> pd.DataFrame:
    """The finished confirm-phase cells with the columns `COLUMNS`, in an order that does not depend on the input's.

    Values are fractions, `suite` is the cell's tasks joined by ``+``, `n_test` the number of test examples of the
    target (on dev rows too: it belongs to the cell) and `seconds` the time spent in the cell, all its parts together.

    Args:
        study: the study's name, the first column.

    Raises:
        ValueError: one cell is given twice.
    """
    done = sorted(
        (r for r in records if r.status == "done" and r.spec.phase == "confirm"),
        key=lambda r: (r.spec.suite, r.spec.target, _order(r.spec.setting), r.spec.variant, r.spec.seed, r.id),
    )
    for first, second in pairwise(done):
        if first.id == second.id:
            raise ValueError(f"each cell must be given once, but {first.id} ({first.spec}) is there twice")
    rows = [
        (
            study,
            r.spec.method,
            r.spec.variant,
            "+".join(r.spec.suite),
            r.spec.target,
            str(r.spec.setting),
            r.spec.seed,
            split,
            metric,
            float(value),
            r.counts.get("n_test"),
            r.id,
            r.wall,
        )
        for r in done
        for split in ("dev", "test")
        for metric, value in sorted(r.metrics.get(split, {}).items())
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({"seed": "int64", "value": "float64", "n_test": "Int64", "seconds": "float64"})


def primary_metrics(records: Iterable[Record]) -> dict[str, str]:
    """Target -> the metric that its tables show, as the records' ``facts["metric"]`` say it.

    A record without that fact is taken at its word if it has one metric only.

    Raises:
        ValueError: the records of a target disagree, or say nothing and have several metrics.
    """
    metrics_of_target: dict[str, set[str]] = {}
    for r in records:
        if r.status != "done":
            continue
        measured = {m for split in r.metrics.values() for m in split}
        metric = r.facts.get("metric", next(iter(measured)) if len(measured) == 1 else None)
        if metric is None and measured:
            raise ValueError(f"{r.spec} has the metrics {sorted(measured)} and its facts do not say which one counts")
        if metric is not None:
            metrics_of_target.setdefault(r.spec.target, set()).add(str(metric))
    for target, several in metrics_of_target.items():
        if len(several) > 1:
            raise ValueError(f"the records of {target} must name one metric, but they name {sorted(several)}")
    return {target: next(iter(several)) for target, several in sorted(metrics_of_target.items())}


def second_metrics(records: Iterable[Record]) -> dict[str, str]:
    """target -> the metric that its tables show behind the primary one; targets that show one metric are left out."""
    done = (r for r in records if r.status == "done" and "second_metric" in r.facts)
    return dict(sorted({r.spec.target: str(r.facts["second_metric"]) for r in done}.items()))


def scores_by_seed(frame: pd.DataFrame, metrics: Mapping[str, str]) -> dict[Key, dict[int, float]]:
    """Cell of the main table -> seed -> test score (a fraction) in the target's primary metric.

    Raises:
        ValueError: two finished cells answer one question (say, before and after a new search): the caller must choose.
    """
    out: dict[Key, dict[int, float]] = {}
    test = frame[frame["split"] == "test"]
    columns = ("variant", "target", "setting", "seed", "metric", "value")
    for variant, target, setting, seed, metric, value in zip(*(test[c].tolist() for c in columns), strict=True):
        if metrics.get(target) != metric:
            continue
        by_seed = out.setdefault((variant, target, setting), {})
        if seed in by_seed:
            raise ValueError(
                f"{variant} on {target} ({setting}) has two finished cells for seed {seed}; "
                "a report takes the cells of one plan"
            )
        by_seed[seed] = value
    return {cell: dict(sorted(by_seed.items())) for cell, by_seed in out.items()}


def failed_cells(records: Iterable[Record]) -> Counter[Key]:
    """Cell of the main table -> how many of its confirm-phase runs failed."""
    return Counter(key(r) for r in records if r.status == "failed" and r.spec.phase == "confirm")


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write `frame` whole or not at all. Floats are written by ``repr``, so that a reader gets the same numbers."""
    atomic_write(path, frame.to_csv(index=False, lineterminator="\n"))
