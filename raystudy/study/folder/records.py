"""The records of a study: ``results/<study>/cells/<id>/record.json``, one per cell that finished or failed.

A cell is one training (one `Spec`). Its record is the one truth about it: it is written last and by rename, so a cell
without a record was never trained, and everything else in the folder (tables, journals, TensorBoard's events) is built
from the records. Only the driver, the process that runs the study, writes here, and only one driver at a time.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from raystudy.code_versions import version_differences
from raystudy.errors import ConfigError, PreflightError, Problem
from raystudy.files import atomic_write
from raystudy.own_modules import declared, differing, use_declared
from raystudy.predictions import Predictions
from raystudy.spec import SCHEMA, Record, canonical

if TYPE_CHECKING:  # `status` and `report` read records without loading torch
    from raystudy.train import Outcome

__all__ = ["Results", "dev_score", "is_stale", "stale_parts"]


class Results:
    """The folder of one study, such as ``results/quickstart``: its records, its manifest, its log."""

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)
        self.cells = self.folder / "cells"
        self.logs = self.folder / "logs"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the study for this driver. The kernel unlocks it when the process dies, however it dies.

        Raises:
            ConfigError: another driver holds it. PreflightError: the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / ".lock", timeout=1)  # `is_running` holds it for a moment
            lock.acquire()
        except Timeout:
            who = self._driver_text()
            raise ConfigError(Problem(f"another run of this study is at work{who}", file=str(self.folder))) from None
        except OSError as e:
            raise PreflightError(Problem(f"cannot be written: {e.strerror or e}", file=str(self.folder))) from None
        try:
            self._remove_leftovers()
            atomic_write(self.folder / ".driver", str(os.getpid()))
            yield
        finally:
            try:
                with suppress(OSError):
                    (self.folder / ".driver").unlink(missing_ok=True)
            finally:  # whatever interrupts the line above: a process that lives on must not keep the study
                lock.release()

    def _remove_leftovers(self) -> None:
        """Remove what a driver that was killed was writing (files.atomic_write), and its lock on the Optuna journal."""
        folders = (self.folder, self.logs, self.folder / "best", *self.cells.glob("*"))
        leftovers = [path for folder in folders for path in folder.glob(".*.new")]
        leftovers += self.folder.glob("optuna.journal.lock*")
        for path in (*leftovers, *(self.folder / "report").rglob(".*.new")):
            with suppress(OSError):
                if path in leftovers or time.time() - path.stat().st_mtime > 60:  # `report` may be at work beside us
                    path.unlink()

    def _driver_text(self) -> str:
        """The process id of the driver in brackets; nothing where it is not known."""
        try:
            return f" (process {int((self.folder / '.driver').read_text())})"
        except (OSError, ValueError):
            return ""

    def is_running(self) -> bool:
        """Whether a driver holds the study now."""
        if not (self.folder / ".lock").is_file():
            return False
        lock = FileLock(self.folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except (Timeout, OSError):
            return True
        lock.release()
        return False

    def scan(self) -> dict[str, Record]:
        """Every record of the study, by id.

        Raises:
            ConfigError: records of a newer schema, or records that are not what their name says; all of them at once.
        """
        records: dict[str, Record] = {}
        problems = []
        for path in sorted(self.cells.glob("*/record.json")):
            try:
                data = json.loads(path.read_text(encoding="utf-8"))
                if (schema := data.get("schema", 0)) > SCHEMA:
                    problems.append(
                        Problem(f"has schema {schema}, this version knows {SCHEMA}: update", file=str(path))
                    )
                    continue
                record = Record.from_json(data)
                if record.id != path.parent.name:
                    raise ValueError(f"its content has the id {record.id}")
                _check(record)
                records[record.id] = record
            except OSError as e:
                problems.append(Problem(f"cannot be read: {e.strerror or e}", file=str(path)))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
                text = f"is not a record ({type(e).__name__}: {e}); remove its folder to have the cell run again"
                problems.append(Problem(text, file=str(path)))
        if problems:
            raise ConfigError(problems)
        return records

    def write(self, outcome: Outcome) -> None:
        """Write one outcome: predictions first, the record last, each by rename. Writing it again changes nothing."""
        cell = self.cells / outcome.record.id
        if outcome.predictions:
            atomic_write(cell / "predictions.parquet", _parquet(outcome.predictions))
        text = json.dumps(json.loads(canonical(outcome.record.to_json())), indent=1, sort_keys=True, ensure_ascii=False)
        atomic_write(cell / "record.json", text + "\n")

    def has(self, cell: str) -> bool:
        """Whether the cell has a record, of whatever kind."""
        return (self.cells / cell / "record.json").is_file()

    def copy_cell(self, cell: str, source: Results) -> bool:
        """Copy a finished cell from another results folder, the record last; whether it could be.

        One that failed, cannot be read, or was made by other code or libraries than are here is left where it is.
        """
        folder = source.cells / cell
        try:
            text = (folder / "record.json").read_text(encoding="utf-8")
            record = Record.from_json(json.loads(text))
            _check(record)
            if record.status != "done" or record.id != cell or is_stale(record):
                return False
            if (folder / "predictions.parquet").is_file():
                atomic_write(self.cells / cell / "predictions.parquet", (folder / "predictions.parquet").read_bytes())
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return False
        atomic_write(self.cells / cell / "record.json", text)
        return True

    def correct_answers(self, cell: str, split: str = "test") -> NDArray[np.bool_] | None:
        """(n,) whether each example of `split` was answered correctly, in the order of the examples.

        None when the cell has no predictions that can be read.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(
                self.cells / cell / "predictions.parquet", columns=["split", "example", "gold", "pred"]
            )
        except (OSError, pa.ArrowException):
            return None
        table = table.filter(pc.equal(table["split"], split)).sort_by("example")
        return np.asarray(pc.equal(table["gold"], table["pred"]).to_numpy(), dtype=bool)

    def predictions(self, cell: str, kind: str, split: str = "test") -> Predictions | None:
        """A cell's answers to a split of a task of a `kind`, in the order of the examples; None where none can be read.

        Args:
            kind: ``classification``, ``regression`` or ``tagging``.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(self.cells / cell / "predictions.parquet")
        except (OSError, pa.ArrowException):
            return None
        rows = table.filter(pc.equal(table["split"], split)).sort_by("example")
        if not len(rows):
            return None

        def labels(name: str) -> tuple[Any, ...]:
            texts = rows[name].to_pylist()
            if kind == "classification":
                return tuple(texts)
            values = map(json.loads, texts)
            return tuple(tuple(v) if isinstance(v, list) else v for v in values)

        probabilities = rows["probabilities"].to_pylist()
        known = kind == "classification" and all(p is not None for p in probabilities)
        array = np.asarray(probabilities, dtype=np.float32) if known else None
        return Predictions(labels("gold"), labels("pred"), array)

    def tags(self, cell: str, split: str = "test") -> tuple[list[list[str]], list[list[str]]] | None:
        """(gold, answered) tags of each sentence of `split`, in their order; None where there are none to be read."""
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(
                self.cells / cell / "predictions.parquet", columns=["split", "example", "gold", "pred"]
            )
        except (OSError, pa.ArrowException):
            return None
        rows = table.filter(pc.equal(table["split"], split)).sort_by("example")
        try:
            gold, pred = ([json.loads(text) for text in rows[name].to_pylist()] for name in ("gold", "pred"))
        except ValueError:  # classes, which are written as they are
            return None
        tagged = bool(gold) and all(
            isinstance(g, list) and isinstance(p, list) for g, p in zip(gold, pred, strict=True)
        )
        return (gold, pred) if tagged else None

    def classes(self, cell: str, split: str = "test") -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """(gold, answered) classes of each example of `split`, in their order; None where none can be read.

        A cell whose answers are numbers or tags has none.
        """
        found = self.predictions(cell, "classification", split)
        if found is None or found.probabilities is None:  # probabilities are those of classes
            return None
        return tuple(found.gold), tuple(found.pred)

    def write_texts(self, texts: Mapping[str, Any]) -> None:
        """Write the texts of test examples, for the pages that show examples; nothing if they are there already."""
        text = json.dumps(texts, ensure_ascii=False, indent=1) + "\n"
        path = self.folder / "texts.json"
        with suppress(OSError, ValueError):
            if path.read_text(encoding="utf-8") == text:
                return
        atomic_write(path, text)

    def texts(self) -> dict[str, Any]:
        """What `write_texts` wrote: target -> its digest and texts; empty where it was not written, as of old."""
        try:
            found = json.loads((self.folder / "texts.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def last_record_day(self) -> str:
        """The day, in UTC, on which the newest record was written, from the log; empty where the log does not say."""
        try:
            with (self.logs / "events.jsonl").open("rb") as f:
                f.seek(max(f.seek(0, os.SEEK_END) - 65536, 0))
                lines = f.read().decode(errors="ignore").splitlines()
        except OSError:
            return ""
        for line in reversed(lines):
            with suppress(ValueError, KeyError, TypeError):
                event = json.loads(line)
                if event["event"] == "record":
                    return datetime.fromtimestamp(event["time"], UTC).date().isoformat()
        return ""

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write what a report needs beside the records: which cells the study has now, its searches, provenance."""
        atomic_write(self.folder / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")

    def manifest(self) -> dict[str, Any]:
        """What `write_manifest` wrote.

        Methods and data sets of the user's own that it declares are known from now on, by name and without their code.

        Raises:
            ConfigError: there is none: no study was run in this folder.
        """
        path = self.folder / "manifest.json"
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(manifest, dict) or not manifest.keys() >= {"study", "confirm", "search", "facts"}:
                raise ValueError("it has other content")
            use_declared(declared(manifest.get("own", ())))
        except FileNotFoundError:
            raise ConfigError(Problem("no study was run here yet", file=str(self.folder))) from None
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as e:
            text = (
                f"is not a manifest ({e}); it is written anew when the study is run again, which trains nothing twice"
            )
            raise ConfigError(Problem(text, file=str(path))) from None
        return manifest

    def log_event(self, kind: str, **fields: Any) -> None:
        """Append one line to ``logs/events.jsonl``, a log for people. A log that cannot be written ends no study."""
        line = json.dumps({"time": round(time.time(), 3), "event": kind, **fields}, ensure_ascii=False)
        with suppress(OSError):
            self.logs.mkdir(parents=True, exist_ok=True)
            with (self.logs / "events.jsonl").open("a", encoding="utf-8") as f:
                f.write(line + "\n")


def is_stale(record: Record) -> bool:
    """Whether a record was made by other code, or with other versions of libraries, than are here now."""
    return bool(stale_parts(record))


def stale_parts(record: Record) -> list[str]:
    """What made a record and is not what is here now, in words: "other code", or a library with both versions.

    A record of another version of the user's own code answers another question, which is not asked any more.
    """
    if any(differing(record.spec.own)):
        return []
    try:
        return version_differences(record.made_by, record.spec.method, record.spec.datasets)
    except FileNotFoundError:
        return [f"a method {record.spec.method} that is not here"]


def dev_score(record: Record) -> float | None:
    """The primary metric on the dev split; None when the cell failed."""
    return record.metrics["dev"][record.facts["metric"]] if record.status == "done" else None


def _check(record: Record) -> None:
    """Look at the parts of a record that a study goes on from.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: one of them is not what it must be.
    """
    if record.status not in ("done", "failed"):
        raise ValueError(f"its status is {record.status!r}")
    if record.status == "done" and not math.isfinite(record.metrics["dev"][record.facts["metric"]]):
        raise ValueError("its dev score is not finite")
    math.fsum(record.seconds.values())
    sum(record.updates.values())
    record.error.splitlines()
    record.made_by.get("code")


def _parquet(predictions: Mapping[str, Predictions]) -> bytes:
    """Predictions as a Parquet file, one row per example: split, example, gold, pred, probabilities.

    Gold labels and predictions that are not strings are written as JSON.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    def as_text(x: object) -> str:
        return x if isinstance(x, str) else json.dumps(x, ensure_ascii=False)

    rows: dict[str, list[Any]] = {"split": [], "example": [], "gold": [], "pred": [], "probabilities": []}
    for split, p in sorted(predictions.items()):
        rows["split"] += [split] * len(p)
        rows["example"] += range(len(p))
        rows["gold"] += [as_text(g) for g in p.gold]
        rows["pred"] += [as_text(g) for g in p.pred]
        rows["probabilities"] += [None] * len(p) if p.probabilities is None else p.probabilities.tolist()
    schema = pa.schema(
        [
            ("split", pa.string()),
            ("example", pa.int64()),
            ("gold", pa.string()),
            ("pred", pa.string()),
            ("probabilities", pa.list_(pa.float32())),
        ]
    )
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(rows, schema=schema), sink, compression="zstd")
    return bytes(sink.getvalue())
