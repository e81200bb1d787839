"""A recorded cell, trained again: the same record bit for bit, or what differs by name. The record is never touched."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import spec_of
from click.testing import Result
from typer.testing import CliRunner

from raystudy import __main__ as commands
from raystudy import train
from raystudy.commands.folders import find_cell
from raystudy.errors import ConfigError, PreflightError
from raystudy.spec import Numerics, Places, Record, Setting, Spec
from raystudy.study.folder.records import Results
from raystudy.study.pool.failures import train_or_fail
from raystudy.study.rerun import differences
from raystudy.study.store.stage_store import StageStore
from raystudy.workers import simulate

FOLDER = Path("results") / "mine"
SPEC = spec_of("meta_dtl", setting=Setting(shots=12), precision="fp32")


def rerun(*args: str) -> Result:
    return CliRunner().invoke(commands.app, ["rerun", *args])


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Train a spec and keep its record as a study would; answers the cell's folder."""
    monkeypatch.chdir(tmp_path)

    def keep(spec: Spec = SPEC, folder: Path = FOLDER, **options: Any) -> Path:
        results = Results(folder)
        places = {"data_root": None, "plm": "tiny", "revision": None, "shared": str(tmp_path / "cache")}
        results.write_manifest({"study": {}, "confirm": [], "search": [], "facts": {}, "places": places})
        outcome = train_or_fail(spec, lambda s: train.run(s, Places(**places), **options))
        results.write(outcome)
        return results.cells / spec.id

    return keep


def edit(cell: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = cell / "record.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def everything(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}


def test_the_same_record(record: Callable[..., Path]) -> None:
    cell = record()
    before = everything(FOLDER)
    out = rerun(cell.name[:5])
    assert out.exit_code == 0, out.output
    assert "the same record" in out.stdout
    assert everything(Path()) == before, "the record was touched, or something was left behind"


def test_what_was_tampered_with_is_named(record: Callable[..., Path]) -> None:
    cell = record()
    edit(cell, lambda r: r["metrics"]["test"].update(accuracy=r["metrics"]["test"]["accuracy"] + 1e-9))
    out = rerun(cell.name, "--json")
    assert out.exit_code == 1
    told = json.loads(out.stdout)
    assert not told["same"]
    assert [d["what"] for d in told["differences"]] == ["metrics.test.accuracy"]
    text = rerun(cell.name).stdout
    assert "metrics.test.accuracy" in text
    assert "1 value differs" in text


def test_changed_predictions_are_counted(record: Callable[..., Path]) -> None:
    import pyarrow.parquet as pq

    cell = record()
    table = pq.read_table(cell / "predictions.parquet")
    rows = table.to_pylist()
    rows[3]["pred"] = "another"
    rows[5]["probabilities"][0] += 2**-20
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), cell / "predictions.parquet")
    told = json.loads(rerun(cell.name, "--json").stdout)["differences"]
    assert [d["what"] for d in told] == ["predictions.dev.pred", "predictions.dev.probabilities"]
    assert told[0]["now"].startswith("1 of them")
    assert "at most 9.5e-07" in told[1]["now"]
    (cell / "predictions.parquet").unlink()
    assert [d["what"] for d in json.loads(rerun(cell.name, "--json").stdout)["differences"]] == ["predictions"]


def test_whether_a_stage_was_answered_by_the_store_is_no_difference(
    record: Callable[..., Path], tmp_path: Path
) -> None:
    """The record says `stored`; the rerun computes all of it, unless it may ask the store too."""
    store = StageStore(tmp_path / "cache" / "stages")
    train.run(SPEC, Places(plm="tiny"), store=store)
    cell = record(store=store)
    assert "stored" in json.loads((cell / "record.json").read_text())["stages"].values()
    assert rerun(cell.name, "--keep", "fresh").exit_code == 0
    assert rerun(cell.name, "--keep", "stored", "--stored").exit_code == 0
    stages = [json.loads(Path(k, "cells", cell.name, "record.json").read_text())["stages"] for k in ("fresh", "stored")]
    assert "stored" not in stages[0].values()
    assert "stored" in stages[1].values()


def test_several_workers_are_simulated(record: Callable[..., Path], tmp_path: Path) -> None:
    spec = dataclasses.replace(SPEC, numerics=Numerics(precision="fp64", workers=2))
    cell = record(spec)  # the manifest, and a record by one worker in its place
    outcome = simulate(2, lambda workers: train.run(spec, Places(plm="tiny"), workers=workers))[0]
    Results(FOLDER).write(outcome)
    out = rerun(cell.name)
    assert out.exit_code == 0, out.output
    assert "2 workers are simulated" in out.stdout


def test_threads_are_set_as_recorded_and_put_back(record: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    cell, seen = record(), []
    assert json.loads((cell / "record.json").read_text())["made_by"]["threads"] == "1"
    edit(cell, lambda r: r["made_by"].update(threads="2"))
    original = train.trained
    monkeypatch.setattr(
        "raystudy.study.rerun.trained", lambda *a, **k: (seen.append(torch.get_num_threads()), original(*a, **k))[1]
    )
    rerun(cell.name)
    rerun(cell.name, "--threads", "1")
    assert seen == [2, 1]
    assert torch.get_num_threads() == 1


def test_other_code_is_said(record: Callable[..., Path]) -> None:
    cell = record()
    assert "other code" not in rerun(cell.name).stdout
    edit(cell, lambda r: r["made_by"].update(code="0" * 16, torch="1.0"))
    out = rerun(cell.name)
    assert "the record was made by other code" in out.stdout
    assert "torch was 1.0" in out.stdout
    assert out.exit_code == 0, "provenance is no part of a comparison"


def test_a_failed_cell_shows_its_whole_error(record: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    original = train.predict

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(train, "predict", broken)
    cell = record()
    assert json.loads((cell / "record.json").read_text())["status"] == "failed"
    out = rerun(cell.name)
    assert out.exit_code == 1
    assert "Traceback (most recent call last)" in out.stderr
    assert "in broken" in out.stderr
    assert "it fails as it was recorded" in out.stdout
    monkeypatch.setattr(train, "predict", original)
    out = rerun(cell.name)
    assert out.exit_code == 1
    assert "status" in out.stdout
    assert "It was recorded as failed: RuntimeError: out of luck" in out.stdout


def test_a_cell_that_its_data_forbid_says_so_in_words(record: Callable[..., Path]) -> None:
    spec = spec_of("meta_dtl", suite=("planted/target", "planted/tag_source"))
    out = rerun(record(spec).name)
    assert out.exit_code == 1
    assert "Traceback" not in out.output
    assert "it fails as it was recorded" in out.stdout


def test_the_record_is_never_written_over(record: Callable[..., Path]) -> None:
    cell = record()
    before = everything(FOLDER)
    out = rerun(cell.name, "--keep", str(FOLDER))
    assert isinstance(out.exception, ConfigError)
    assert everything(FOLDER) == before


def test_a_gpu_cell_needs_a_gpu(record: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    spec = dataclasses.replace(SPEC, numerics=Numerics(device="cuda"))
    Results(FOLDER).write(train.Outcome(Record(spec, "failed", error="it was tried")))
    record()
    assert isinstance(rerun(spec.id).exception, PreflightError)


def test_a_folder_compared_with_itself_has_no_difference(record: Callable[..., Path]) -> None:
    cell = record()
    assert differences(cell, cell) == []


# ---------------------------------------------------------------------------------------------------------------------
# finding a cell


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for cell in ("one/cells/abc1", "one/cells/abd2", "two/cells/abc1", "two/cells/f003"):
        folder = Path("results", cell)
        folder.mkdir(parents=True)
        (folder / "record.json").write_text("{}")
        Path("results", cell.split("/")[0], "manifest.json").write_text("{}")


@pytest.mark.usefixtures("recorded")
def test_a_cell_is_found_by_its_first_letters_alone_or_in_a_study() -> None:
    assert find_cell("f") == Path("results/two/cells/f003")
    assert find_cell("abd") == Path("results/one/cells/abd2")
    assert find_cell("abc", "one") == find_cell("abc", None, Path("results/one")) == Path("results/one/cells/abc1")
    assert find_cell("results/two/cells/abc1") == Path("results/two/cells/abc1")


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    ("cell", "study", "says"),
    [
        ("ab", None, "begins 2 cells, give more of one: abc1, abd2"),
        ("abc", None, "is recorded in results/one, results/two: choose one with --study"),
        ("abd3", None, "did you mean 'abd2'?"),
        ("abc", "on", "did you mean 'one'?"),
        ("", None, "no cell ''"),
        ("results/one/cells", None, "is not the folder of a recorded cell"),
    ],
)
def test_what_is_no_cell_is_answered_with_what_is(cell: str, study: str | None, says: str) -> None:
    with pytest.raises(ConfigError) as e:
        find_cell(cell, study)
    assert says in str(e.value)


@pytest.mark.usefixtures("recorded")
def test_a_file_that_is_no_record_is_said() -> None:
    out = rerun("f003")
    assert "is not a record" in str(out.exception)
