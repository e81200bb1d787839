"""`exhibits` lists what every table and figure takes, what it lacks, and where it was made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raystudy import __main__ as commands
from raystudy import exhibits
from raystudy.errors import ConfigError
from raystudy.exhibit_costs import Pace, _AssumedPlan, cost_of, made_below, spoken_time
from raystudy.exhibits import SCALES, Exhibit, find
from raystudy.files import atomic_write
from raystudy.spec import Places
from raystudy.study.plan import Plan


def told(*args: str) -> Any:
    out = CliRunner().invoke(commands.app, ["exhibits", *args, "--json"])
    assert out.exit_code == 0, out.output + str(out.exception)
    return json.loads(out.stdout)


def test_a_paper_is_listed_with_costs_at_every_scale(tmp_path: Path) -> None:
    (tmp_path / "rte").mkdir()
    rows = told("dou2019", "--data-root", str(tmp_path), "--results", str(tmp_path))
    assert [r["id"] for r in rows] == [n for n in exhibits.names() if n.startswith("dou2019")]
    assert [r["id"] for r in rows if r["reading"]] == ["dou2019_readings"]
    for row in rows:
        passes = [row["scales"][scale]["passes"] for scale in SCALES]
        assert passes == sorted(passes) and passes[0] > 0
        assert row["scales"]["smoke"]["missing"] == {"data": [], "model": None}
        assert "rte" not in row["scales"]["small"]["missing"]["data"]
        assert "cola" in row["scales"]["small"]["missing"]["data"]


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    asked = ["exhibits", "mft_tabel4", "--scale", "smal", "--data-root", str(tmp_path / "no")]
    out = CliRunner().invoke(commands.app, asked)
    assert isinstance(out.exception, ConfigError)
    assert [p.path for p in out.exception.problems] == ["NAME", "--scale", "--data-root"]
    assert "did you mean 'mft_table4'" in str(out.exception) and "did you mean 'small'" in str(out.exception)


@pytest.mark.parametrize("name", ["metaxt_table2", "tawt_table5", "mft_table6"])
def test_with_the_sizes_of_the_data_a_plan_without_them_costs_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exhibit = find(name)
    study = exhibit.study("smoke")
    assert study is not None
    plan = Plan(study, Places(plm="tiny"))
    sizes = {t: len(task.splits["train"]) for t, task in plan.tasks.items()}
    monkeypatch.setattr(Exhibit, "published_train_size", lambda self, task: sizes[task])
    assert _AssumedPlan(study, exhibit).preview == plan.preview


@pytest.mark.parametrize("name", [n for n in exhibits.names() if n.split("_")[-1] in ("table2", "fig2", "fig3")])
def test_without_data_every_size_is_known(name: str) -> None:
    exhibit = find(name)
    assert all(exhibit.published_train_size(task) > 0 for task in exhibit.tasks("small"))


def test_the_time_is_that_of_the_passes_at_the_pace_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    cost = cost_of(find("mft_table4"), "smoke", {"tiny": Pace(2.0, 7)})
    assert cost is not None and cost.seconds == pytest.approx(cost.passes / 2) and cost.pace.trainings == 7
    assert cost_of(find("mft_table1"), "small") is None
    assert [spoken_time(s) for s in (0.2, 119, 120, 7_300, 90_000, 200_000)] == [
        "1 s", "119 s", "2 min", "2.0 h", "25 h", "2.3 days",
    ]  # fmt: skip


def test_where_an_exhibit_was_made_is_read_off_the_folders(tmp_path: Path) -> None:
    study = {"study": {}, "search": [], "confirm": ["a", "b"], "facts": {}, "expected": {"total_cells": 2}}
    entry = {"exhibit": "mft_table4", "scale": "small"}
    atomic_write(tmp_path / "one" / "manifest.json", json.dumps({**study, "exhibit": entry}))
    atomic_write(tmp_path / "one" / "cells" / "a" / "record.json", '{"status": "failed"}')
    atomic_write(tmp_path / "paper" / "mft_table1" / "exhibit.json", json.dumps({**entry, "exhibit": "mft_table1"}))
    atomic_write(tmp_path / "paper" / "mft_table1" / "report" / "report.html", "")
    atomic_write(tmp_path / "two" / "manifest.json", json.dumps({**study, "exhibit": None}))
    atomic_write(tmp_path / "three" / "manifest.json", "nothing")
    made = {m.exhibit: m for m in made_below(tmp_path)}
    assert made.keys() == {"mft_table1", "mft_table4"}
    assert made["mft_table1"].complete and not made["mft_table4"].complete
    assert (made["mft_table4"].done, made["mft_table4"].failed, made["mft_table4"].planned) == (0, 1, 2)
