"""``python -m raystudy.run reproduce --paper mft``: every table and figure of a paper, one after another, to one page.

Each exhibit is a results folder of its own below one folder, made by the command that makes it alone, in a process of
its own: what ends one ends no other. What is done is read off the folders, so after any kill the same command goes on.
Cells that two exhibits have in common are trained once and copied, and transfer stages that cells of different exhibits
share come from the store of stages. ``index.html`` says what is done, what runs and what is missing, and leads to the
report of each.
"""

from __future__ import annotations

import ctypes
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raystudy.analysis.reproduction_page import ReproducedExhibit, ReproductionPage, write_reproduction_page
from raystudy.commands.folders import REPRODUCTION, is_reproduction
from raystudy.errors import ConfigError, Problem, UserError, unknown_name
from raystudy.exhibit_costs import Made, Pace, made_below, pace_of, paces_of, spoken_time
from raystudy.exhibits import SCALES, Exhibit, find, names, papers
from raystudy.files import atomic_write
from raystudy.paths import results_path
from raystudy.spec import Record
from raystudy.study.folder.records import Results
from raystudy.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

    from raystudy.run import RunOptions

__all__ = ["Bill", "reproduce", "reproduction_page", "reproduction_rows"]

_EVERY = 60.0  # seconds between two writings of the page while an exhibit runs
_CALIBRATION = 3.0  # seconds for which paces that nobody knows are timed, for each exhibit
_CELL_BYTES = 60_000  # of a cell, where no cell on this machine tells
_STOPPED = (4, 130)  # exit codes of an exhibit behind which no other is begun: the budget is used up, interrupted

RunOne = Callable[[Sequence[str], Callable[[], None]], int]
"""(the arguments of ``python -m raystudy.run``, what to do now and then meanwhile) -> its exit code."""


@dataclass(frozen=True)
class Bill:
    """What one exhibit of a reproduction takes.

    Attributes:
        cells, passes: of its whole study; of one for which nothing is trained 0.
        own_cells, own_passes: those of them that no exhibit before it has trained already.
        here: how many of its cells have a record in its folder.
        seconds: how long `own_passes` will take here, by the paces of this machine (`study.forecast`).
        disk: bytes of its results, a guess.
        missing: why it cannot be made here; empty where it can.
    """

    exhibit: str
    cells: int = 0
    passes: float = 0.0
    own_cells: int = 0
    own_passes: float = 0.0
    here: int = 0
    seconds: float = 0.0
    disk: float = 0.0
    missing: str = ""


def reproduce(
    paper: str | None,
    options: RunOptions,
    console: Console,
    *,
    dry_run: bool = False,
    run_one: RunOne | None = None,
) -> int:
    """Make every exhibit of a paper, or print what that takes; returns the exit code, that of the worst exhibit.

    Args:
        paper: the id of a paper, or ``all``.
        run_one: makes one exhibit; by default in a process of its own.

    Raises:
        ConfigError: everything that is wrong with the options.
    """
    from raystudy.terminal import say

    exhibits = _asked(paper, options)
    scale = options.scale
    stem = f"reproduce-{paper}-{scale}{'-search' if options.search else ''}"
    folder = results_path(options.out or Path("results") / stem, "--out")
    about = {"paper": paper, "scale": scale, "search": options.search, "exhibits": [e.name for e in exhibits]}
    _check_folder(folder, about)
    bills = make_bills(exhibits, options, folder)
    _show_bills(bills, folder, console)
    if dry_run:
        return 0
    what = " ".join(["python -m raystudy.run", *map(shlex.quote, sys.argv[1:])])
    atomic_write(
        folder / REPRODUCTION,
        json.dumps({**about, "command": what, "missing": {b.exhibit: b.missing for b in bills if b.missing}}) + "\n",
    )

    def write_page() -> None:
        write_reproduction_page(reproduction_page(folder), folder)

    write_page()
    code = _make_all(bills, options, folder, run_one or _in_a_process, write_page, console)
    write_page()
    rows = reproduction_rows(folder)
    done = sum(row.state == "done" for row in rows)
    say(console, "")
    say(console, f"{done} of {counted(len(rows), 'exhibit')} done; {folder / 'index.html'} (open it in a browser)")
    if code in _STOPPED:
        say(console, "the same command goes on from here")
    return code


def _asked(paper: str | None, options: RunOptions) -> list[Exhibit]:
    """The exhibits of a paper in its order, readings apart, cheap ones first where nothing is trained.

    Raises:
        ConfigError: everything that is wrong with the options.
    """
    problems = []
    if paper is None:
        problems.append(Problem(f"must name a paper: {', '.join(papers())}, or all", "--paper"))
    elif paper not in (*papers(), "all"):
        problems.append(Problem(unknown_name("paper", paper, [*papers(), "all"]), "--paper"))
    if options.scale not in SCALES:
        problems.append(Problem(unknown_name("scale", options.scale, SCALES), "--scale"))
    for option, given in (("--only", options.only), ("--keep", options.keep), ("--dashboard", options.dashboard)):
        if given:
            problems.append(Problem("is for one study, not for a whole paper", option))
    if problems:
        raise ConfigError(problems)
    chosen = [e for e in map(find, names()) if paper in (e.paper.id, "all") and not e.readings_of]
    return sorted(chosen, key=lambda e: (e.paper.id, bool(e.methods), e.label.split()[0] != "Table", e.label))


def _check_folder(folder: Path, about: Mapping[str, Any]) -> None:
    """Check that the folder is none of another reproduction.

    Raises:
        ConfigError: it is.
    """
    if not is_reproduction(folder):
        return
    there = _read(folder)
    if any(there.get(key) != about[key] for key in ("paper", "scale", "search")):
        what = f"paper {there.get('paper')} at scale {there.get('scale')}{', searched' if there.get('search') else ''}"
        raise ConfigError(Problem(f"holds another reproduction ({what}); give another folder", "--out", str(folder)))


def _read(folder: Path) -> dict[str, Any]:
    try:
        data = json.loads((folder / REPRODUCTION).read_text(encoding="utf-8"))
        return dict(data)
    except (OSError, ValueError, TypeError) as e:
        raise ConfigError(Problem(f"cannot be read ({e})", file=str(folder / REPRODUCTION))) from None


# ---------------------------------------------------------------------------------------------------------------------
# the bill


def make_bills(exhibits: Sequence[Exhibit], options: RunOptions, folder: Path) -> list[Bill]:
    """What every exhibit takes beyond those before it; their data are read for it.

    Raises:
        ConfigError: everything that is wrong with the options, each once.
    """
    made = made_below(folder, folder.parent)
    paces = paces_of(m.folder for m in made)
    cell_bytes = _bytes_of_cells([m.folder for m in made])
    known: dict[str, float] = {}
    bills: list[Bill] = []
    problems: list[Problem] = []
    for exhibit in exhibits:
        if not exhibit.methods:
            bills.append(Bill(exhibit.name))
            continue
        try:
            bills.append(_bill(exhibit, options, folder, known, paces, cell_bytes))
        except ConfigError as e:
            problems += e.problems
        except UserError as e:
            bills.append(Bill(exhibit.name, missing=_first_sentence(e)))
    if problems:
        raise ConfigError(dict.fromkeys(problems))
    return bills


def _bill(
    exhibit: Exhibit,
    options: RunOptions,
    folder: Path,
    known: dict[str, float],
    paces: Mapping[str, Pace],
    cell_bytes: float,
) -> Bill:
    from raystudy.run import foresee, open_study
    from raystudy.study.plan import Plan

    study, places, _ = open_study(exhibit.name, replace(options, out=folder / exhibit.name))
    plan = Plan(study, places)
    preview = plan.preview
    passes = preview["total_passes"] - preview["shared_passes"]
    here = Results(folder / exhibit.name)
    again_cells, again_passes, done = 0, 0.0, 0
    for spec in plan.confirm({}):
        cost = plan.schedule(spec.variant, spec.settings, spec.target, spec.setting).cost.passes
        if spec.id in known:
            again_cells += 1
            again_passes += cost
        known[spec.id] = cost
        done += here.has(spec.id)
    own_cells, own_passes = preview["total_cells"] - again_cells, max(0.0, passes - again_passes)
    calibrate = _CALIBRATION if options.calibrate is None else options.calibrate
    forecast = foresee(plan, replace(options, calibrate=calibrate)).forecast
    whole = forecast.left() if forecast is not None else None
    if whole is None:
        seconds = own_passes * pace_of(study.plm, paces).seconds / (os.cpu_count() or 1)
    else:  # what others train already takes no time
        seconds = whole * own_passes / passes if passes else whole
    return Bill(
        exhibit.name,
        preview["total_cells"],
        passes,
        own_cells,
        own_passes,
        done,
        seconds,
        preview["total_cells"] * cell_bytes,
    )


def _bytes_of_cells(folders: Sequence[Path]) -> float:
    """What a cell takes on disk, as the mean of some that are here."""
    sizes = []
    for folder in folders:
        for cell in sorted(folder.glob("cells/*"))[:20]:
            with suppress(OSError):
                sizes.append(sum(path.stat().st_size for path in cell.iterdir()))
    return sum(sizes) / len(sizes) if sizes else _CELL_BYTES


def _first_sentence(error: UserError) -> str:
    """What is missing, in a line: the first sentence of the first problems."""
    texts = dict.fromkeys(p.message.partition(". ")[0].partition("; ")[0].rstrip(".") for p in error.problems)
    few = [*texts][:3]
    return "; ".join(few) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")


def _show_bills(bills: Sequence[Bill], folder: Path, console: Console) -> None:
    """Print what the reproduction takes, exhibit by exhibit, and in all."""
    from raystudy.commands import megabytes
    from raystudy.terminal import TerminalColumn, print_table, say

    columns = [
        TerminalColumn("exhibit", whole=True),
        TerminalColumn("cells", right=True, whole=True),
        TerminalColumn("new", right=True, whole=True),
        TerminalColumn("here", right=True, whole=True, spare=1),
        TerminalColumn("passes", right=True, whole=True),
        TerminalColumn("time", right=True, whole=True),
        TerminalColumn("disk", right=True, whole=True, spare=2),
        TerminalColumn("missing", least=20),
    ]
    rows = []
    for b in bills:
        trains = bool(b.cells)
        rows.append(
            [
                b.exhibit,
                f"{b.cells:,}" if trains else "",
                f"{b.own_cells:,}" if trains else "",
                f"{b.here:,}" if trains else "",
                f"{b.own_passes:,.0f}" if trains else "",
                "" if b.missing else spoken_time(b.seconds) if trains else "seconds",
                megabytes(b.disk) if trains else "",
                b.missing,
            ]
        )
    total = [
        "in all",
        *(f"{sum(getattr(b, key) for b in bills):,.0f}" for key in ("cells", "own_cells", "here", "own_passes")),
        spoken_time(sum(b.seconds for b in bills)),
        megabytes(sum(b.disk for b in bills)),
        f"{sum(bool(b.missing) for b in bills)} of {len(bills)} exhibits",
    ]
    print_table(console, columns, [*rows, total], breaks=[len(rows)])
    free = shutil.disk_usage(next(p for p in (folder, *folder.absolute().parents) if p.exists())).free
    say(
        console,
        "new: cells that no exhibit above has trained, whose passes (forward and backward over a batch, those of "
        "shared stages once) and time from start to report are told; here: cells that the folder holds already. "
        f"Results go to {folder} ({megabytes(free)} free there); the cache of shared stages grows to at most 21 GB.",
    )


# ---------------------------------------------------------------------------------------------------------------------
# making them


def _make_all(
    bills: Sequence[Bill],
    options: RunOptions,
    folder: Path,
    run_one: RunOne,
    write_page: Callable[[], None],
    console: Console,
) -> int:
    """Make the exhibits one after another; returns the worst exit code, or that of the one that was stopped."""
    from raystudy.terminal import say

    worst, left = 0, options.budget
    for number, bill in enumerate(bills, 1):
        title = f"[{number}/{len(bills)}] {bill.exhibit}"
        made = _made(folder, bill.exhibit)
        if bill.missing:
            say(console, f"{title}: cannot be made here: {bill.missing}")
            worst = max(worst, 3)
            continue
        again = options.retry_failed or options.redo_stale
        if made is not None and made.complete and not again and bill.here >= made.done:
            say(console, f"{title}: done already")
            worst = max(worst, 1 if made.failed else 0)
            continue
        say(console, f"\n{title}")
        started = time.time()
        code = run_one(_arguments(bill.exhibit, options, folder, left), write_page)
        write_page()
        if code in _STOPPED:
            return code
        worst = max(worst, code)
        if left is not None:
            left -= _trained_seconds(folder / bill.exhibit, started)
            if left <= 0:
                return worst if number == len(bills) else 4
    return worst


def _arguments(exhibit: str, options: RunOptions, folder: Path, budget: float | None) -> list[str]:
    """The arguments of the command that makes one exhibit."""
    values = {
        "--scale": options.scale,
        "--data-root": options.data_root,
        "--plm": options.plm,
        "--workers": options.workers,
        "--groups": options.groups,
        "--seeds": options.seeds,
        "--address": options.address,
        "--budget": None if budget is None else f"{max(1, round(budget))}s",
        "--out": folder / exhibit,
        "--reuse": folder,
    }
    flags = {
        "--search": options.search,
        "--retry-failed": options.retry_failed,
        "--redo-stale": options.redo_stale,
        "--isolate": options.isolate,
    }
    given = [text for option, value in values.items() if value is not None for text in (option, str(value))]
    trains = bool(find(exhibit).methods)
    if not trains:  # nothing of these concerns it
        given = [
            t
            for o, v in values.items()
            if o in ("--scale", "--data-root", "--plm", "--out") and v is not None
            for t in (o, str(v))
        ]
    switched = [flag for flag, on in flags.items() if on] if trains else []
    return [exhibit, *given, *switched, *(t for pair in options.set if trains for t in ("--set", pair))]


def _trained_seconds(folder: Path, since: float) -> float:
    """The worker-seconds of the cells that were trained in a folder after a time, copied ones apart."""
    used = 0.0
    with suppress(OSError):
        for line in (folder / "logs" / "events.jsonl").read_text(encoding="utf-8").splitlines():
            with suppress(ValueError, KeyError, TypeError, OSError):
                event = json.loads(line)
                if event["event"] == "record" and event["time"] >= since:
                    path = folder / "cells" / event["cell"] / "record.json"
                    record = Record.from_json(json.loads(path.read_text(encoding="utf-8")))
                    used += record.wall * record.spec.numerics.workers
    return used


def _in_a_process(arguments: Sequence[str], meanwhile: Callable[[], None]) -> int:
    """Run ``python -m raystudy.run`` in a process of its own, which ends with this one and gets its signals."""
    command = [sys.executable, "-m", "raystudy.run", *arguments]
    process = subprocess.Popen(command, process_group=0, preexec_fn=_in_child)
    with _signals_to(process):
        while True:
            try:
                code = process.wait(timeout=_EVERY)
            except subprocess.TimeoutExpired:
                meanwhile()
            else:
                return code if code >= 0 else 128 - code


def _in_child() -> None:
    """Before the command starts: let it write to the terminal from a group of its own, and end with its parent."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG


@contextmanager
def _signals_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """While open, Ctrl-C and SIGTERM go to the process, once each, and do not end this one."""

    def pass_on(number: int, frame: object) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(number)

    handlers = {s: signal.signal(s, pass_on) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for s, handler in handlers.items():
            signal.signal(s, handler)


# ---------------------------------------------------------------------------------------------------------------------
# the page


def _made(folder: Path, exhibit: str) -> Made | None:
    """What lies in the folder of one exhibit."""
    return next((m for m in made_below(folder) if m.folder == folder / exhibit), None)


def reproduction_rows(folder: Path) -> list[ReproducedExhibit]:
    """The exhibits of a reproduction with their states, read off its folder.

    Raises:
        ConfigError: it holds none that can be read.
    """
    about = _read(folder)
    made = {m.exhibit: m for m in made_below(folder) if m.folder == folder / m.exhibit}
    rows = []
    for name in about["exhibits"]:
        exhibit, m = find(name), made.get(name)
        report = f"{name}/report/report.html" if m is not None and m.rendered else ""
        cells = (m.done, m.failed, m.planned) if m is not None else (0, 0, 0)
        rows.append(
            ReproducedExhibit(
                name,
                exhibit.title,
                exhibit.about,
                _state(folder / name, m, about.get("missing", {}).get(name, "")),
                *cells,
                report,
                about.get("missing", {}).get(name, ""),
            )
        )
    return rows


def _state(folder: Path, made: Made | None, missing: str) -> str:
    if Results(folder).is_running():
        return "running"
    if made is not None and made.complete:
        return "done"
    if missing:
        return "missing"
    return "waiting" if made is None else "begun"


def reproduction_page(folder: Path) -> ReproductionPage:
    """The page of a reproduction as its folder is now.

    Raises:
        ConfigError: it holds none that can be read.
    """
    about, rows = _read(folder), reproduction_rows(folder)
    titles = dict.fromkeys(find(row.exhibit).paper.title for row in rows)
    citations = dict.fromkeys(find(row.exhibit).paper.citation for row in rows)
    return ReproductionPage(
        f"{', '.join(titles)}: every table and figure, scale {about['scale']}",
        tuple(citations),
        tuple(rows),
        datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        str(about.get("command", "")),
    )
