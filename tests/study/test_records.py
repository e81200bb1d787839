"""Records are whole or absent, one driver at a time, and never taken for what they are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from raystudy.errors import ConfigError, PreflightError
from raystudy.files import atomic_write
from raystudy.spec import SCHEMA, Record
from raystudy.study.folder.records import Results
from raystudy.train import Outcome
from study.fakes import outcome, plan


def some(folder: Path) -> Outcome:
    return outcome(plan(folder).confirm({})[0])


def test_round_trip(tmp_path: Path) -> None:
    written = some(tmp_path)
    Results(tmp_path / "r").write(written)
    assert Results(tmp_path / "r").scan() == {written.record.id: Record.from_json(written.record.to_json())}
    table = pq.read_table(tmp_path / "r" / "cells" / written.record.id / "predictions.parquet").to_pylist()
    assert [r["pred"] for r in table if r["split"] == "test"] == list(written.predictions["test"].pred)


def test_writing_again_changes_no_byte(tmp_path: Path) -> None:
    written, results = some(tmp_path), Results(tmp_path / "r")
    results.write(written)
    files = {p: p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file()}
    results.write(written)
    assert files == {p: p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file()}


def test_all_bad_records_are_named_at_once(tmp_path: Path) -> None:
    written, results = some(tmp_path), Results(tmp_path / "r")
    results.write(written)
    good = results.cells / written.record.id / "record.json"
    for name, text in {
        "newer": json.dumps({**json.loads(good.read_text()), "schema": SCHEMA + 1}),
        "moved": good.read_text(),
        "torn": good.read_text()[:50],
        "list": "[]",
    }.items():
        atomic_write(results.cells / name / "record.json", text)
    with pytest.raises(ConfigError) as e:
        results.scan()
    assert len(e.value.problems) == 4
    assert "update" in str(e.value)


def test_a_second_driver_is_refused_and_a_dead_one_is_not(tmp_path: Path) -> None:
    results = Results(tmp_path / "r")
    with results.locked():
        assert results.is_running()
        with pytest.raises(ConfigError, match="another run"), Results(tmp_path / "r").locked():
            pass
    assert not results.is_running()
    holder = (
        "import os, signal; from pathlib import Path; from raystudy.study.folder.records import Results\n"
        f"with Results(Path({str(tmp_path / 'r')!r})).locked(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", holder], check=False).returncode == -9
    with results.locked():  # the kernel let go of the dead driver's lock
        pass


def test_a_folder_that_cannot_be_written_is_a_preflight_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(PreflightError), Results(tmp_path / "file" / "r").locked():
        pass
    with pytest.raises(PreflightError):
        atomic_write(tmp_path / "file" / "x", b"")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    atomic_write(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PreflightError, match="No space left"):
        atomic_write(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
