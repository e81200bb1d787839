"""One recorded cell, trained once more in this process, and what is not as it was recorded.

The same code, model and data give the same bits where torch, the kind of processor and the number of threads are the
same: sums in floating point depend on how they are split. With several workers per training, ranks are simulated by
threads; from three on, their sums are added in another order than a process group adds them, so last digits may differ.
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
from raystudy.train import NoStore, Outcome, Store, numerics_here, run
from raystudy.wording import listed
from raystudy.workers import Alone, Workers, simulate

__all__ = ["Difference", "differences", "elsewhere", "train_again"]

_COMPARED = ("status", "metrics", "counts", "updates", "facts")


@dataclass(frozen=True)
class Difference:
    """One value that is not as recorded; as people read it."""

    what: str
    recorded: str
    now: str


def train_again(record: Record, places: Places, *, threads: int | None = None, store: Store | None = None) -> Outcome:
    """Train and judge the spec of `record` in this process; every part of it, unless `store` answers.

    Args:
        threads: of torch, for each rank; None = as it was recorded, or as torch has them.

    Raises:
        PreflightError: it was trained on a GPU and there is none. And whatever the training raises.
    """
    spec = record.spec
    if spec.numerics.device == "cuda" and not torch.cuda.is_available():
        raise PreflightError(Problem("it was trained on a GPU (numerics.device: cuda), and none is visible", record.id))
    threads = threads or int(record.made_by.get("threads", 0))
    before = torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    try:

        def train(workers: Workers) -> Outcome:
            return run(spec, places, workers=workers, store=store or NoStore())

        return train(Alone()) if spec.numerics.workers == 1 else simulate(spec.numerics.workers, train)[0]
    finally:
        torch.set_num_threads(before)


def elsewhere(record: Record) -> Iterator[str]:
    """Why the bits may differ although nothing is wrong: other code, libraries, processor or threads than recorded."""
    if record.made_by.get("code") != code_digest(record.spec.method, record.spec.datasets):
        yield "the record was made by other code than what stands here"
    here = numerics_here(record.spec) if record.status == "done" else {}
    if unsaid := [name for name in here if record.made_by.get(name) is None]:
        yield f"the record does not say its {listed(unsaid)}"
    for name, value in here.items():
        was = record.made_by.get(name)
        if was is not None and was != value and name != "threads":  # these are set as they were
            yield f"{name} was {was}, here it is {value}"
    if record.spec.numerics.workers > 1:
        yield f"its {record.spec.numerics.workers} workers are simulated by threads"


def differences(recorded: Path, made: Path) -> list[Difference]:
    """What differs between two folders of one cell (record.json, predictions.parquet); nothing = the same record.

    Not compared: seconds, provenance, whether a stage ran or was answered from the store, the text of an error.
    """
    then, now = (json.loads((p / "record.json").read_text(encoding="utf-8")) for p in (recorded, made))
    found = []
    for part in _COMPARED:
        a, b = dict(_leaves(then.get(part), part)), dict(_leaves(now.get(part), part))
        for name in dict.fromkeys([*a, *b]):
            if name not in a or name not in b or a[name] != b[name]:
                found.append(Difference(name, _plain(a.get(name, "absent")), _plain(b.get(name, "absent"))))
    return found + _answers(recorded, made)


def _leaves(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from _leaves(value, f"{path}.{key}")
    else:
        yield path, tree


def _plain(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _answers(recorded: Path, made: Path) -> list[Difference]:
    """Differences of the predictions, split by split: how many answers, and the largest gap of a probability."""
    then, now = _predictions(recorded), _predictions(made)
    if then is None or now is None:
        said = ["there" if t is not None else "not readable, or absent" for t in (then, now)]
        return [Difference("predictions", said[0], said[1])] if said[0] != said[1] else []
    found = []
    for split in dict.fromkeys([*then, *now]):
        a, b = then.get(split, []), now.get(split, [])
        if len(a) != len(b):
            found.append(Difference(f"predictions.{split}", f"{len(a)} examples", f"{len(b)} examples"))
            continue
        for column in ("gold", "pred"):
            if n := sum(x[column] != y[column] for x, y in zip(a, b, strict=True)):
                found.append(Difference(f"predictions.{split}.{column}", f"{len(a)} examples", f"{n} of them differ"))
        gaps = [
            max(map(abs, map(float.__sub__, x["probabilities"] or [0.0], y["probabilities"] or [0.0])), default=0.0)
            for x, y in zip(a, b, strict=True)
            if x["probabilities"] != y["probabilities"]
        ]
        if gaps:
            most = f"{len(gaps)} rows differ, by at most {max(gaps):.1e}"
            found.append(Difference(f"predictions.{split}.probabilities", f"{len(a)} rows", most))
    return found


def _predictions(cell: Path) -> dict[str, list[dict[str, Any]]] | None:
    """split -> rows in example order; None when there is no readable file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(cell / "predictions.parquet").to_pylist()
    except (OSError, pa.ArrowException):
        return None
    out: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda r: r["example"]):
        out.setdefault(row["split"], []).append(row)
    return out
