"""Trains a cell that has a record once more, in this process, and says what is not as it was recorded.

The same code, model and data give the same bits where torch, the kind of processor and the number of threads are the
same, because sums in floating point depend on how they are split. Several workers of one training are simulated by
threads; three or more of them add their sums in another order than a process group does, so last digits may differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from raystudy.code_versions import code_digest
from raystudy.errors import PreflightError, Problem
from raystudy.spec import Places, Record
from raystudy.train import NoStore, Outcome, Store, Trained, judged, numerics_here, trained
from raystudy.wording import listed
from raystudy.workers import Alone, Workers, simulate

__all__ = ["Again", "Difference", "cell_again", "differences", "reasons_to_differ", "train_again"]

_COMPARED = ("status", "metrics", "counts", "updates", "facts")


@dataclass(frozen=True)
class Difference:
    """One value that is not as it was recorded: which one it is, and both values as people read them."""

    what: str
    recorded: str
    now: str


@dataclass(frozen=True)
class Again:
    """A recorded cell that was trained once more: the method with its weights, and its outcome."""

    cell: Trained
    outcome: Outcome


def train_again(record: Record, places: Places, *, threads: int | None = None, store: Store | None = None) -> Outcome:
    """The outcome of `cell_again`."""
    return cell_again(record, places, threads=threads, store=store).outcome


def cell_again(record: Record, places: Places, *, threads: int | None = None, store: Store | None = None) -> Again:
    """Train and judge the spec of `record` in this process: all its stages, but for those that `store` has.

    Args:
        threads: how many torch uses for each rank; None = as many as were recorded, or else as torch has set.

    Raises:
        PreflightError: it was trained on a GPU and there is none. And whatever the training raises.
    """
    spec = record.spec
    if spec.numerics.device == "cuda" and not torch.cuda.is_available():
        raise PreflightError(Problem("it was trained on a GPU (numerics.device: cuda), and none is visible", record.id))
    threads = threads or int(record.made_by.get("threads", 0))
    threads_before = torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    try:

        def train(workers: Workers) -> Again:
            cell = trained(spec, places, workers=workers, store=store or NoStore())
            return Again(cell, judged(cell))

        return train(Alone()) if spec.numerics.workers == 1 else simulate(spec.numerics.workers, train)[0]
    finally:
        torch.set_num_threads(threads_before)


def reasons_to_differ(record: Record) -> Iterator[str]:
    """Why the bits may differ although nothing is wrong: other code, libraries, processor or workers than recorded."""
    if record.made_by.get("code") != code_digest(record.spec.method, record.spec.datasets):
        yield "the record was made by other code than what stands here"
    here = numerics_here(record.spec) if record.status == "done" else {}
    if missing := [name for name in here if record.made_by.get(name) is None]:
        yield f"the record does not say its {listed(missing)}"
    for name, value in here.items():
        recorded = record.made_by.get(name)
        if recorded is not None and recorded != value and name != "threads":  # threads are set as they were
            yield f"{name} was {recorded}, here it is {value}"
    if record.spec.numerics.workers > 1:
        yield f"its {record.spec.numerics.workers} workers are simulated by threads"


def differences(recorded: Path, retrained: Path) -> list[Difference]:
    """What differs between two folders of one cell (record.json, predictions.parquet); nothing = the same record.

    Seconds, provenance, the text of an error, and whether a stage ran or was answered from the store may differ.
    """
    then, now = (json.loads((p / "record.json").read_text(encoding="utf-8")) for p in (recorded, retrained))
    record_differences = []
    for part in _COMPARED:
        a, b = dict(_leaves(then.get(part), part)), dict(_leaves(now.get(part), part))
        for name in dict.fromkeys([*a, *b]):
            if name not in a or name not in b or a[name] != b[name]:
                record_differences.append(
                    Difference(name, _as_text(a.get(name, "absent")), _as_text(b.get(name, "absent")))
                )
    return record_differences + _prediction_differences(recorded, retrained)


def _leaves(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of everything in nested mappings."""
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from _leaves(value, f"{path}.{key}")
    else:
        yield path, tree


def _as_text(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _prediction_differences(recorded: Path, retrained: Path) -> list[Difference]:
    """What differs in the predictions, split by split: how many answers, and by how much at most a probability."""
    then, now = _predictions(recorded), _predictions(retrained)
    if then is None or now is None:
        states = ["there" if t is not None else "not readable, or absent" for t in (then, now)]
        return [Difference("predictions", states[0], states[1])] if states[0] != states[1] else []
    prediction_differences = []
    for split in dict.fromkeys([*then, *now]):
        a, b = then.get(split, []), now.get(split, [])
        if len(a) != len(b):
            prediction_differences.append(
                Difference(f"predictions.{split}", f"{len(a)} examples", f"{len(b)} examples")
            )
            continue
        for column in ("gold", "pred"):
            if n := sum(x[column] != y[column] for x, y in zip(a, b, strict=True)):
                prediction_differences.append(
                    Difference(f"predictions.{split}.{column}", f"{len(a)} examples", f"{n} of them differ")
                )
        gaps = [
            max(map(abs, map(float.__sub__, x["probabilities"] or [0.0], y["probabilities"] or [0.0])), default=0.0)
            for x, y in zip(a, b, strict=True)
            if x["probabilities"] != y["probabilities"]
        ]
        if gaps:
            summary = f"{len(gaps)} rows differ, by at most {max(gaps):.1e}"
            prediction_differences.append(Difference(f"predictions.{split}.probabilities", f"{len(a)} rows", summary))
    return prediction_differences


def _predictions(cell: Path) -> dict[str, list[dict[str, Any]]] | None:
    """split -> rows in the order of the examples; None when there is no file that can be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(cell / "predictions.parquet").to_pylist()
    except (OSError, pa.ArrowException):
        return None
    by_split: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda r: r["example"]):
        by_split.setdefault(row["split"], []).append(row)
    return by_split
