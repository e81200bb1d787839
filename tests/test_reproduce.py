"""A whole paper, exhibit by exhibit: after a kill the same command goes on, and no cell is trained twice."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rich.console import Console
from study.fakes import Fake

from raystudy import exhibits
from raystudy.errors import ConfigError
from raystudy.exhibits import find
from raystudy.files import atomic_write
from raystudy.reproduce import make_bills, reproduce, reproduction_page
from raystudy.run import RunOptions, _beside, open_study
from raystudy.study.folder.manifest import write_manifest
from raystudy.study.folder.records import Results
from raystudy.study.plan import Plan
from raystudy.study.study_run import StudyRun

PAPER = "meta_dtl"


class Maker:
    """Makes one exhibit as its command does, with cells that cost nothing; `stop_at` is interrupted half-way."""

    def __init__(self, stop_at: str = "") -> None:
        self.stop_at = stop_at
        self.made: list[str] = []
        self.trained: list[str] = []

    def __call__(self, arguments: Sequence[str], meanwhile: Callable[[], None]) -> int:
        name, given = arguments[0], dict(zip(arguments[1::2], arguments[2::2], strict=True))
        self.made.append(name)
        folder = Path(given["--out"])
        if not find(name).methods:
            atomic_write(folder / "exhibit.json", json.dumps({"exhibit": name, "scale": given["--scale"]}))
            atomic_write(folder / "report" / "report.html", "")
            return 0
        study, places, _ = open_study(name, RunOptions(scale=given["--scale"], out=folder))
        study_run = StudyRun(Plan(study, places), Results(folder))
        study_run.open()
        study_run.take_over(_beside(folder, Path(given["--reuse"])))
        study_run.on_record = lambda record: study_run.stopping.set() if name == self.stop_at else None
        fake = Fake()
        with study_run.results.locked():
            study_run.run_local(fake)
            write_manifest(study_run, {"commit": "none"}, {"exhibit": name, "scale": given["--scale"]})
            meanwhile()
            state = next(row.state for row in reproduction_page(folder.parent).rows if row.exhibit == name)
            assert state == "running"
        self.trained += fake.trained
        if name == self.stop_at:
            return 130
        atomic_write(folder / "report" / "report.html", "")
        return 0


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cells of these tests say nothing of the code that made them."""
    monkeypatch.setattr("raystudy.study.folder.records.is_stale", lambda record: False)


@pytest.mark.usefixtures("fresh")
def test_a_paper_is_made_once_whatever_stops_it(tmp_path: Path) -> None:
    options = RunOptions(scale="smoke", out=tmp_path)
    first, second, third = Maker("meta_dtl_table4"), Maker(), Maker()
    console = Console(file=io.StringIO())
    assert reproduce(PAPER, options, console, run_one=first) == 130
    order = [f"meta_dtl_{e}" for e in ("table1", "table5", "table2", "table3", "table4", "table6", "fig3", "fig4")]
    assert first.made == order[:5]
    states = {row.exhibit: row.state for row in reproduction_page(tmp_path).rows}
    assert states == {
        **dict.fromkeys(order[:4], "done"),
        "meta_dtl_table4": "begun",
        **dict.fromkeys(order[5:], "waiting"),
    }
    assert reproduce(PAPER, options, console, run_one=second) == 0
    assert second.made == order[4:]
    trained = first.trained + second.trained
    assert len(trained) == len(set(trained))  # what two exhibits share is trained by one of them
    bills = make_bills([find(name) for name in order], options, tmp_path)
    assert len(trained) == sum(b.own_cells for b in bills) < sum(b.cells for b in bills)
    assert all(b.here == b.cells for b in bills)
    assert reproduce(PAPER, options, console, run_one=third) == 0 and third.made == []
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert all(f'href="{name}/report/report.html"' in page for name in order)
    assert "8 done" in page and "8 done" in (tmp_path / "index.md").read_text(encoding="utf-8")


def test_what_cannot_be_made_here_stands_with_its_reason_and_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    maker = Maker()
    console = Console(file=io.StringIO(), width=200)
    code = reproduce("metaxt", RunOptions(scale="small", out=tmp_path, data_root=str(tmp_path)), console, run_one=maker)
    assert code == 3 and maker.made == ["metaxt_table1"]
    rows = {row.exhibit: row for row in reproduction_page(tmp_path).rows}
    assert rows["metaxt_fig6"].state == "missing" and "germeval14" in rows["metaxt_fig6"].missing
    assert "germeval14" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_all_mistakes_are_told_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    options = RunOptions(scale="huge", out=tmp_path / "out", only=("mft",), keep=True)
    with pytest.raises(ConfigError) as e:
        reproduce("mtf", options, Console(file=io.StringIO()))
    assert [p.path for p in e.value.problems] == ["--paper", "--scale", "--only", "--keep"]
    assert "did you mean 'mft'" in str(e.value)
    with pytest.raises(ConfigError, match="must name a paper"):
        reproduce(None, RunOptions(), Console(file=io.StringIO()))
    with pytest.raises(ConfigError, match="meta_dlt"):
        reproduce(
            "mft", RunOptions(scale="smoke", set=("methods=[meta_dlt]",), out=tmp_path), Console(file=io.StringIO())
        )
    assert not list(tmp_path.iterdir())


def test_a_folder_of_another_paper_is_refused(tmp_path: Path) -> None:
    atomic_write(tmp_path / "reproduction.json", json.dumps({"paper": "mft", "scale": "smoke", "exhibits": []}))
    with pytest.raises(ConfigError, match="holds another reproduction"):
        reproduce("tawt", RunOptions(scale="smoke", out=tmp_path), Console(file=io.StringIO()))


def test_every_paper_has_its_exhibits_and_no_reading() -> None:
    from raystudy.reproduce import _asked

    every = [e.name for e in _asked("all", RunOptions(scale="smoke"))]
    assert len(every) == 40 and set(every) == {n for n in exhibits.names() if not n.endswith("_readings")}
    assert every == [e.name for p in exhibits.papers() for e in _asked(p, RunOptions(scale="smoke"))]
