"""`dashboard` starts what is installed on free ports of this machine, and ends it, however it is ended itself."""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raystudy import __main__ as commands
from raystudy.commands import dashboard
from raystudy.commands.dashboard import dashboard_programs, free_port, open_programs
from raystudy.errors import PreflightError

PYTHON = sys.executable

# Stands in for both programs: answers on the port it is given, and remembers its process and its arguments.
SERVER = """#!{python}
import http.server, json, os, sys
args = sys.argv[1:]
port = int(args[args.index("--port") + 1])
with open("{folder}/" + os.path.basename(sys.argv[0]) + ".json", "w") as f:
    json.dump({{"pid": os.getpid(), "args": args}}, f)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer((args[args.index("--host") + 1], port), Handler).serve_forever()
"""


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text.format(python=PYTHON, folder=folder))
    (folder / name).chmod(0o755)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results folder with both things to show, and no program installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    folder = tmp_path / "results" / "mine"
    (folder / "tensorboard").mkdir(parents=True)
    (folder / "optuna.journal").touch()
    (folder / "manifest.json").write_text("{}")
    return folder


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    for name in ("tensorboard", "optuna-dashboard"):
        program(tmp_path / "bin", name, SERVER)
    return tmp_path / "bin"


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_is_started_shows_the_study_on_this_machine_only_and_ends(study: Path, installed: Path) -> None:
    found = dashboard_programs(study)
    assert len({v.port for v in found}) == 2
    with open_programs(found) as running:
        said = [json.loads((installed / f"{n}.json").read_text()) for n in ("tensorboard", "optuna-dashboard")]
        assert [p.pid for p in running] == [s["pid"] for s in said]
        assert str(study / "tensorboard") in said[0]["args"]
        assert str(study / "optuna.journal") in said[1]["args"]
        for view, s in zip(found, said, strict=True):
            assert s["args"][s["args"].index("--host") + 1] == "127.0.0.1"
            assert urllib.request.urlopen(view.url, timeout=5).status == 200
    assert not any(alive(s["pid"]) for s in said)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_nothing_outlives_the_command(study: Path, installed: Path, how: signal.Signals) -> None:
    code = f"import sys; sys.executable = {sys.executable!r}; from raystudy.__main__ import main; main()"
    command = [PYTHON, "-u", "-c", code, "dashboard", str(study)]
    # a shell that started the tests in the background has told them, and all below them, to ignore Ctrl-C
    heard = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=heard) as driver:
        assert driver.stdout is not None
        lines: list[str] = []
        while not lines or not lines[-1].startswith("Ctrl-C"):
            lines.append(driver.stdout.readline())
            assert lines[-1], "it ended early"
        pids = [json.loads(p.read_text())["pid"] for p in installed.glob("*.json")]
        assert len(pids) == 2
        assert sum("http://127.0.0.1:" in line for line in lines) == 2
        driver.send_signal(how)
        assert driver.wait(20) == 0
    assert not any(map(alive, pids))


def test_a_program_that_fails_is_said_and_the_other_one_ended(study: Path, installed: Path) -> None:
    program(installed, "optuna-dashboard", "#!/bin/sh\necho no such journal\nexit 7\n")
    with pytest.raises(PreflightError) as e, open_programs(dashboard_programs(study)):
        raise AssertionError("it must not come to this")
    assert "optuna-dashboard ended with code 7: no such journal" in str(e.value)
    pid = json.loads((installed / "tensorboard.json").read_text())["pid"]
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


def call(*args: str) -> Any:
    return CliRunner().invoke(commands.app, ["dashboard", "mine", *args])


def test_what_is_not_installed_is_said_with_the_lines_that_help(study: Path) -> None:
    out = call()
    assert isinstance(out.exception, PreflightError)
    assert "pip install 'raystudy[dashboard]'" in out.stdout
    assert f"tensorboard --logdir {Path('results/mine/tensorboard')} --host 127.0.0.1" in out.stdout
    assert "optuna-dashboard" in out.stdout


def test_printing_starts_nothing(study: Path, installed: Path) -> None:
    out = call("--print")
    assert out.exit_code == 0
    assert [line.split(":")[0] for line in out.stdout.splitlines()] == ["Ray", "TensorBoard", "optuna-dashboard"]
    assert list(installed.glob("*.json")) == []
    told = json.loads(call("--json").stdout)
    assert told["ray"] is None
    assert all(v["installed"] and not v["why_not"] for v in told["views"])


def test_a_study_without_a_search_has_nothing_for_optuna(study: Path, installed: Path) -> None:
    (study / "optuna.journal").unlink()
    assert [v.why_not for v in dashboard_programs(study)] == ["", "this study has no search, or has not searched yet"]


def test_a_port_that_is_taken_is_not_given() -> None:
    with socket.socket() as s:
        s.bind((dashboard.HOST, 0))
        s.listen()
        taken = s.getsockname()[1]
        got = free_port(taken)
        assert got != taken
        assert free_port(got, excluded=got) != got
