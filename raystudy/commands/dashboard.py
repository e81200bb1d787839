"""``raystudy dashboard``: TensorBoard, optuna-dashboard and the address of Ray's own, for one study.

Ray Tune has no page of its own in Ray's dashboard. What such a page would show stands in two programs that read what a
study writes for people: TensorBoard (dev scores by arm, configurations on its HPARAMS page) and optuna-dashboard (the
searches). Both are started here on 127.0.0.1 and end with this command.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from raystudy.commands import Json, Out, StudyOf, console, print_json, tell
from raystudy.commands.folders import ran_folder
from raystudy.errors import PreflightError, Problem

__all__ = ["DashboardProgram", "dashboard", "dashboard_programs", "free_port", "open_programs"]

HOST = "127.0.0.1"
_PATIENCE = 60.0  # seconds for a server's first answer; TensorBoard imports for ten on a busy machine


@dataclass(frozen=True)
class DashboardProgram:
    """One program that shows something of a study: its command, and whether it can be started now.

    Attributes:
        shows: what a person sees there, in a few words.
        installed: whether the program is on this machine.
        why_not: why it has nothing to show yet; empty where it has.
    """

    name: str
    shows: str
    command: tuple[str, ...]
    port: int
    installed: bool
    why_not: str = ""

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/"


def dashboard(
    study: StudyOf = "quickstart",
    out: Out = None,
    print_only: Annotated[bool, typer.Option("--print", help="Print the commands, start nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Open TensorBoard and optuna-dashboard on a study, while it runs or afterwards; Ctrl-C closes them."""
    from raystudy.study.folder.live_status import read_live_status
    from raystudy.study.folder.records import Results
    from raystudy.terminal import say_command

    folder = ran_folder(study, out)
    programs = dashboard_programs(folder)
    address = (read_live_status(Results(folder)) or {}).get("dashboard")
    ray = {"url": f"http://{address}", "token": "ray get-auth-token"} if address else None
    if as_json:
        rows = [
            {"name": v.name, "command": list(v.command), "installed": v.installed, "why_not": v.why_not}
            for v in programs
        ]
        print_json({"views": rows, "ray": ray})
        return
    if ray:
        tell(f"Ray: {ray['url']}; it asks for a token: {ray['token']}")
    else:
        tell("Ray: no dashboard is up; a run has one with --dashboard")
    for program in programs:
        if print_only or not program.installed or program.why_not:
            if program.why_not:
                tell(f"{program.name}: {program.why_not}")
            else:
                say_command(console(), program.name, program.command)
    startable = [v for v in programs if v.installed and not v.why_not]
    if missing := [v.name for v in programs if not v.installed]:
        install = [sys.executable, "-m", "pip", "install", "raystudy[dashboard]"]
        say_command(console(), f"to install {' and '.join(missing)}", install)
    if print_only:
        return
    if not startable:
        raise PreflightError(Problem("no view can be opened: see above", "dashboard"))
    with open_programs(startable) as processes:
        for program in startable:
            tell(f"{program.name}: {program.url}  {program.shows}")
        try:
            tell("Ctrl-C closes them.")  # from the moment that this can be read, it holds
            while all(p.poll() is None for p in processes):
                time.sleep(0.5)
        except KeyboardInterrupt:
            return
        exit_codes = [
            f"{v.name} ended with code {p.poll()}"
            for v, p in zip(startable, processes, strict=True)
            if p.poll() is not None
        ]
        raise PreflightError(Problem("; ".join(exit_codes), "dashboard"))


def dashboard_programs(folder: Path) -> list[DashboardProgram]:
    """The programs that can show a results folder, each with a free port."""
    journal = folder / "optuna.journal"
    events = folder / "tensorboard"
    first = free_port(6006)
    second = free_port(8080, excluded=first)
    return [
        DashboardProgram(
            "TensorBoard",
            "dev scores by arm; the configurations of the searches under HPARAMS",
            (_program("tensorboard"), "--logdir", str(events), "--host", HOST, "--port", str(first)),
            first,
            shutil.which(_program("tensorboard")) is not None,
            "" if events.is_dir() else "this study has no TensorBoard events yet",
        ),
        DashboardProgram(
            "optuna-dashboard",
            "the searches: history, importance of parameters; a new run of the study starts a new journal",
            (_program("optuna-dashboard"), str(journal), "--host", HOST, "--port", str(second)),
            second,
            shutil.which(_program("optuna-dashboard")) is not None,
            "" if journal.is_file() else "this study has no search, or has not searched yet",
        ),
    ]


def _program(name: str) -> str:
    """The program of this environment, or the one on the PATH, or its bare name."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.is_file() else name


def free_port(preferred: int, excluded: int = 0) -> int:
    """The port `preferred` if nobody listens there, else any free port of this machine but `excluded`."""
    for port in (preferred, 0):
        with socket.socket() as s, contextlib.suppress(OSError):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((HOST, port))
            if (port_of_socket := int(s.getsockname()[1])) != excluded:
                return port_of_socket
    raise PreflightError(Problem(f"no port of {HOST} is free", "dashboard"))


@contextlib.contextmanager
def open_programs(programs: list[DashboardProgram]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start the programs and wait until each answers; they end when the block ends, however it does.

    Raises:
        PreflightError: one ended or did not answer; the message has the last lines of its output.
    """
    processes: list[subprocess.Popen[bytes]] = []

    def terminated(number: int, frame: Any) -> None:
        raise KeyboardInterrupt  # `kill` closes them as Ctrl-C does

    previous_handler = signal.signal(signal.SIGTERM, terminated)
    try:
        with tempfile.TemporaryDirectory(prefix="raystudy-dashboard-") as scratch:
            logs = [Path(scratch, f"{v.name}.log") for v in programs]
            for program, log in zip(programs, logs, strict=True):
                processes.append(_start(program, log))
            for program, process, log in zip(programs, processes, logs, strict=True):
                _wait(program, process, log)
            yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        signal.signal(signal.SIGTERM, previous_handler)


def _start(program: DashboardProgram, log: Path) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own: Ctrl-C reaches this process alone, which then ends the others."""
    with log.open("wb") as sink:
        try:
            return subprocess.Popen(
                program.command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
            )
        except OSError as e:
            raise PreflightError(Problem(f"{program.command[0]} cannot be started: {e}", "dashboard")) from None


def _wait(program: DashboardProgram, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, program.port), 1):
            return
        time.sleep(0.1)
    last_lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
    what = "does not answer" if process.poll() is None else f"ended with code {process.poll()}"
    raise PreflightError(Problem(f"{program.name} {what}: " + " | ".join(last_lines), "dashboard"))
