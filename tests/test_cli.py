"""The command line: quick where it only reads, exact about what is wrong, silent about nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from huggingface_hub import constants
from study.fakes import Fake, plan
from typer.main import get_command
from typer.testing import CliRunner

from raystudy import __main__ as commands
from raystudy import run as running
from raystudy.study.folder.manifest import write_manifest
from raystudy.study.folder.records import Results
from raystudy.study.study_run import StudyRun


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The results folder of a finished study."""
    results = Results(tmp_path / "results" / "fake")
    study_run = StudyRun(plan(tmp_path), results)
    study_run.open()
    study_run.run_local(Fake())
    write_manifest(study_run, {"commit": "none"})
    return results.folder


# Runs commands in a process in which loading a heavy library is an error, and says what was asked for.
GUARD = """
import importlib.abc, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {heavy!r}:
            raise ImportError("loaded " + name)
sys.meta_path.insert(0, Refuse())
for module, args in {commands!r}:
    sys.argv = ["raystudy", *args]
    main = __import__("raystudy." + module, fromlist=["main"]).main
    try:
        main()
    except SystemExit as e:
        assert not e.code, args
"""


def guarded(
    cwd: Path, heavy: set[str], commands: Sequence[tuple[str, Sequence[str]]]
) -> subprocess.CompletedProcess[str]:
    code = GUARD.format(heavy=heavy, commands=commands)
    out = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    return out


@pytest.mark.parametrize(
    ("heavy", "commands"),
    [
        (
            {"torch", "ray", "transformers", "optuna", "pandas", "scipy", "sklearn"},
            [
                ("run", ["--help"]),
                ("__main__", ["--help"]),
                ("__main__", ["methods", "--json"]),
                ("__main__", ["status", "fake", "--json"]),
                ("__main__", ["dashboard", "fake", "--print"]),
                ("__main__", ["tasks"]),
                ("__main__", ["cache", "ls"]),
            ],
        ),
        ({"torch", "ray", "transformers", "optuna"}, [("__main__", ["report", "fake"])]),
    ],
    ids=["looking", "reporting"],
)
def test_reading_loads_nothing_heavy(
    finished: Path, heavy: set[str], commands: Sequence[tuple[str, Sequence[str]]]
) -> None:
    """One process for all commands: what an earlier one has loaded is nothing heavy either."""
    guarded(finished.parents[1], heavy, commands)


def test_every_command_explains_itself_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    names = sorted(get_command(commands.app).commands)  # type: ignore[attr-defined]
    heavy = {"torch", "ray", "transformers", "optuna", "pandas", "scipy", "sklearn", "numpy", "datasets"}
    out = guarded(tmp_path, heavy, [("__main__", [name, "--help"]) for name in names])
    assert out.stdout.count("Usage:") == len(names) >= 10


def test_status_and_report_read_the_folder(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished.parents[1])
    told = json.loads(CliRunner().invoke(commands.app, ["status", "fake", "--json"]).stdout)
    assert told["failed"] == 0
    assert told["confirm"]["planned"] == told["confirm"]["done"] > 0
    assert not told["running"]
    shown = CliRunner().invoke(commands.app, ["report", "fake", "--json"])
    assert Path(finished.parents[1], json.loads(shown.stdout)["results"]).is_file()


def test_methods_lists_what_a_study_may_name() -> None:
    listed = json.loads(CliRunner().invoke(commands.app, ["methods", "--json"]).stdout)
    by_id = {m["id"]: m for m in listed}
    assert by_id["meta_dtl"]["settings"]["lambda"]["symbol"] == "λ"
    assert by_id["meta_dtl"]["settings"]["lambda"]["paper"] == 0.1


def test_plan_says_what_would_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = json.loads(CliRunner().invoke(commands.app, ["plan", "smoke", "--json"]).stdout)
    assert told["total_cells"] == sum(told["cells"].values())
    assert told["tasks"]["planted/target"]["test"] == 200
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = CliRunner().invoke(running.app, ["smoke", "--dry-run", "--gpu-share", "2"])
    assert out.exit_code == 0
    assert "updates" in out.stdout
    assert "no effect: --gpu-share 2, because the study is computed on CPUs" in out.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["nope"], 2, "unknown study or exhibit 'nope'"),
        (["smok"], 2, "did you mean 'smoke'?"),
        (["none.yaml"], 2, "no such file"),
        (["smoke", "--set", "report.seds=3"], 2, "did you mean 'seeds'?"),
        (["smoke", "--only", "meta_dlt"], 2, "did you mean 'meta_dtl'?"),
        (["smoke", "--set", "shots=[9999]"], 2, "k = 9999 labelled examples were asked for"),
        (["smoke", "--set", "shots=[2]"], 2, "at least the number of classes"),
        (["review"], 3, "--data-root"),
        (["smoke", "--data-root", "nowhere"], 2, "is not a folder"),
        (["smoke", "--workers", "0"], 2, "numerics.workers"),
    ],
)
def test_mistakes_are_answered_with_words_and_a_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], code: int, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    out = CliRunner().invoke(running.app, [*args, "--dry-run"])
    assert says in out.stderr, out.stderr + out.stdout
    assert out.exit_code == code
    assert "Traceback" not in out.output
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_cannot_be_reached_is_named_with_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # the variable is read when the client is imported
    out = CliRunner().invoke(running.app, ["smoke", "--plm", "no/such-model", "--dry-run"])
    assert "hf download no/such-model" in out.stderr
    assert out.exit_code == 3
    assert "Traceback" not in out.stderr


def test_status_of_a_study_that_never_ran(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "raystudy", "status", "smoke"]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert out.returncode == 2
    assert "no study was run here yet" in out.stderr


def test_a_second_driver_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Results(tmp_path / "r").locked():  # no matter which process holds it
        out = CliRunner().invoke(running.app, ["smoke", "--out", "r"])
    assert out.exit_code == 2
    assert "another run of this study is at work" in out.stderr


def test_a_results_folder_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = CliRunner().invoke(running.app, ["smoke", "--out", "/proc/r"])
    assert out.exit_code == 3
    assert "cannot be written" in out.stderr
    assert "Traceback" not in out.stderr
