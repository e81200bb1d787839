"""``python -m raystudy.run [STUDY]``: run a study, or what a table or figure of a paper takes, to its report.

Exit codes, each with its reason in words:

    0    done
    1    done, but some cells failed; the report is written
    2    the study file, an option or the data is wrong
    3    something is missing on this machine, its disk is full, or ray died
    4    the budget is used up
    70   a bug: the traceback is in ``logs/driver.log`` of the results folder, never on the terminal
    130  interrupted
    128 + n  ended by signal n, for want of memory for instance

Whatever the code, what was finished is kept, and the same command goes on from there. A closed or full output changes
neither what is trained nor the code: what could not be printed is in ``logs/driver.log`` too.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raystudy.catalogue import catalogue, space_folder
from raystudy.cluster import Cluster, run_on_ray
from raystudy.errors import (
    ConfigError,
    PreflightError,
    Problem,
    UserError,
    did_you_mean,
    printable,
    quoted,
    unknown_name,
)
from raystudy.files import atomic_write
from raystudy.output_streams import run_with_safe_output
from raystudy.own_modules import in_use, line_in
from raystudy.paths import expanded_path, is_folder, kind_of, readable_folder, results_path
from raystudy.spec import Places, Record
from raystudy.studyfile import Study, expand_study, read_study
from raystudy.supervise import RESUME_HINT, run_supervised
from raystudy.tasks import is_built_in
from raystudy.wording import counted, lasting, megabytes

if TYPE_CHECKING:
    from rich.console import Console

    from raystudy.analysis.report import Opening
    from raystudy.api import StudyResults
    from raystudy.exhibits import Exhibit, Scale
    from raystudy.live_view import LiveView
    from raystudy.study.folder.records import Results
    from raystudy.study.forecast.forecast import Forecast
    from raystudy.study.plan import Plan
    from raystudy.study.study_run import StudyRun

__all__ = [
    "Calibrate",
    "RunOptions",
    "Timing",
    "Version",
    "app",
    "check_machine",
    "describe",
    "duration",
    "exit_code_of",
    "foresee",
    "locate",
    "machine_lines",
    "main",
    "only_methods",
    "open_study",
    "report_places",
    "run_study",
    "study_file",
    "supervised",
    "train_missing",
    "worker_seconds",
]

REPRODUCE = "reproduce"  # what stands in place of a study where a whole paper is meant
EXIT_DONE, EXIT_FAILED_CELLS, EXIT_BUDGET, EXIT_BUG, EXIT_INTERRUPTED = 0, 1, 4, 70, 130  # a UserError carries 2 or 3


def _print_version(wanted: bool) -> None:
    if wanted:
        from raystudy import __version__

        typer.echo(f"raystudy {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
]
Calibrate = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Seconds for which the plan may time a few updates of each method that this machine has not timed yet; "
        "0: none (default: $RAYSTUDY_CALIBRATE, or 10).",
    ),
]
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True)
class RunOptions:
    """The options of the command line of a run, which go beside the study file."""

    data_root: str | None = None
    plm: str | None = None
    workers: int | None = None
    groups: int | None = None
    seeds: int | None = None
    only: tuple[str, ...] = ()
    set: tuple[str, ...] = ()
    address: str | None = None
    out: Path | None = None
    retry_failed: bool = False
    redo_stale: bool = False
    isolate: bool = False
    budget: float | None = None  # worker-seconds
    dashboard: bool = False
    scale: str = "small"  # of an exhibit, and whether it is searched
    search: bool = False
    keep: bool = False  # the best model of every arm and target
    gpu_share: int | None = None
    local: bool = False  # train in this process, without Ray; no option of the command line
    reuse: Path | None = None  # a folder of results folders whose finished cells are taken over
    # seconds for which a plan may measure how long the updates of methods take that this machine has not timed yet;
    # None: $RAYSTUDY_CALIBRATE, or 10
    calibrate: float | None = None

    @property
    def cluster(self) -> Cluster:
        """Where to train: the options that concern Ray."""
        return Cluster(self.address, self.groups, self.isolate, self.dashboard, self.gpu_share)

    def overrides(self) -> list[str]:
        """The options that stand for a key of the study file, as ``a.b=value``."""
        values = {
            "data_root": self.data_root,
            "plm": self.plm,
            "numerics.workers": self.workers,
            "report.seeds": self.seeds,
        }
        # a JSON string is a YAML string, whatever it holds
        return [*self.set, *(f"{k}={json.dumps(v)}" for k, v in values.items() if v is not None)]


def is_own_file(name: str) -> bool:
    """Whether a study is named by its file, not by the name of one in ``search_spaces/studies/``."""
    return name.endswith((".yaml", ".yml")) or os.sep in name


def study_file(name: str) -> Path:
    """The file of a study: a path as it is, or the name of one in ``search_spaces/studies/``.

    Raises:
        ConfigError: no such file or study, with the nearest name.
    """
    if is_own_file(name):
        path = expanded_path(name)
        if (what := kind_of(path)) != "file":
            messages = {"folder": "is a folder, not a study file", "nothing": "no such file"}
            raise ConfigError(Problem(messages.get(what, "cannot be read"), file=quoted(name, 300)[1:-1]))
        return path
    files = {p.stem: p for p in (space_folder() / "studies").glob("*.yaml")}
    if name not in files:
        from raystudy.exhibits import names

        known_names = [*files, *names(), REPRODUCE]
        raise ConfigError(
            unknown_name("study or exhibit", name, known_names) + " A study file of your own ends in .yaml."
        )
    return files[name]


def open_study(name: str, options: RunOptions) -> tuple[Study, Places, Path]:
    """(study, places, results folder), with the command line's overrides in place.

    Args:
        name: a study (`study_file`), or a table or figure of a paper for which something is trained.

    Raises:
        ConfigError: every problem of the file and the options.
    """
    exhibit = find_exhibit(name, options)
    path = None if exhibit else study_file(name)
    study: Study | None
    if exhibit is not None:
        study = exhibit.study(exhibit_scale(options), _folder(options.data_root), options.search, options.overrides())
        if study is None:
            raise ConfigError(f"nothing is trained for {name}: it has no study. python -m raystudy.run {name} makes it")
    else:
        assert path is not None
        study = read_study(path, options.overrides(), run_own=True)
    # a path in a study file is relative to the file, whatever folder the command is called in
    return locate(study, str(path or name), path.parent if path is not None and is_own_file(name) else None, options)


def locate(study: Study, where: str, beside: Path | None, options: RunOptions) -> tuple[Study, Places, Path]:
    """(study, places, results folder) of a study that was read: its tasks under their own names, its paths absolute.

    Args:
        where: the file of the study, as a `Problem` names it.
        beside: the folder that its paths are relative to; None = the current one.

    Raises:
        ConfigError: every problem of the tasks' names, the paths and the options.
    """
    from raystudy.data.plm import absolute_model_name, is_local
    from raystudy.study.store.cache import cache_folder

    if options.only:
        study = only_methods(study, options.only)
    root = _folder(study.data_root, where, beside if options.data_root is None else None)
    study = expand_study(study, root)
    plm = absolute_model_name(study.plm, (beside, None) if options.plm is None else (None,), "plm", where)
    if study.revision is not None and (is_local(plm) or Path(plm).is_absolute()):
        what = "a folder" if Path(plm).is_absolute() else quoted(plm)
        message = (
            f"must be left out, because it names a version of a hub model, but plm is {what} (--set revision=null)"
        )
        raise study.origin.with_places(ConfigError(Problem(message, "revision")))
    places = Places(str(root) if root else None, plm, study.revision, str(cache_folder()))
    if study.numerics.precision == "auto":
        study = _with_measured_precision(study, places)
    return study, places, expanded_path(options.out, "--out") if options.out else Path("results") / study.name


def _with_measured_precision(study: Study, places: Places) -> Study:
    """The study with the precision that `precision: auto` stands for on this machine.

    Raises:
        PreflightError: it is to train on GPUs, and this machine, where it would be measured, has none.
    """
    from raystudy.data.plm import resolve
    from raystudy.machine.bfloat16 import faster_precision

    device = study.numerics.device
    if device == "cuda" and not _has_gpu():
        rule = "cannot be measured for device cuda, because this machine has no GPU: bf16 or fp32 says which"
        raise PreflightError(Problem(f"auto {rule}", "numerics.precision"))
    cache = Path(places.shared) if places.shared else None
    precision, why = faster_precision(resolve(places.plm, places.revision), device, cache)
    numerics = study.numerics.model_copy(update={"precision": precision, "measured": why})
    return study.model_copy(update={"numerics": numerics})


def find_exhibit(name: str, options: RunOptions) -> Exhibit | None:
    """The table or figure of a paper that is called `name`; None where a study is meant.

    Raises:
        ConfigError: an option for exhibits stands beside a study.
    """
    from raystudy.exhibits import find, names

    if name in names():
        return find(name)
    if options.search or options.scale != RunOptions.scale:
        raise ConfigError(
            Problem(f"is for the tables and figures of the papers ({', '.join(names())}), not for a study", "--scale")
        )
    return None


def exhibit_scale(options: RunOptions) -> Scale:
    """The scale that was asked for.

    Raises:
        ConfigError: there is none of that name.
    """
    from raystudy.exhibits import SCALES

    if options.scale not in SCALES:
        raise ConfigError(Problem(unknown_name("scale", options.scale, SCALES), "--scale"))
    return options.scale


def _folder(root: str | None, file: str = "", base: Path | None = None) -> Path | None:
    """The data root, absolute; relative to `base`, or to the current folder.

    Raises:
        ConfigError: it is no folder that can be read.
    """
    return None if root is None else readable_folder(root, base, "data_root", file)


def only_methods(study: Study, only: Sequence[str]) -> Study:
    """The study with the methods `only`, with the baseline and with the methods whose settings they copy."""
    parts = [n.strip() for part in only for n in re.split(r",(?![^\[]*\])", part) if n.strip()]  # no comma in brackets
    names, problems = [], [] if parts else ["must name at least one method of this study"]
    for name in parts:
        try:
            names.append(catalogue().variant(name).id if "[" in name else name)
        except ConfigError as e:
            problems += [p.message for p in e.problems]
    problems += [
        unknown_name("method of this study", n, list(study.variants)) for n in names if n not in study.variants
    ]
    if problems:
        raise ConfigError(Problem(p, "--only") for p in problems)
    kept_variants = {study.report.baseline, *names, *(catalogue().variant(n).copies for n in names)}
    methods = tuple({v: own} for v, own in study.variants.items() if v in kept_variants)
    return study.model_copy(update={"methods": methods})


def machine_lines(plan: Plan) -> list[str]:
    """What a plan says of the machine that is to train it: how it computes in bf16, and GPUs that nobody uses.

    Raises:
        PreflightError: bf16 is asked for, and this machine has no arithmetic for it.
    """
    from raystudy.machine.bfloat16 import check_precision
    from raystudy.machine.resources import unused_gpus

    numerics = plan.study.numerics
    if numerics.device == "cuda" and not _has_gpu():
        return []  # it will be another machine; one that runs the study is refused
    cache = Path(plan.places.shared) if plan.places.shared else None
    said = [numerics.measured] if numerics.measured else check_precision(numerics, numerics.force, plan.plm, cache)
    return [*said, *unused_gpus(numerics.device)]


def computing_line(plan: Plan) -> str:
    """How a study is computed: where, in what precision, how the texts of a batch lie, and by what kernels."""
    from raystudy.machine.resources import computing

    numerics = plan.study.numerics
    there = numerics.device == "cpu" or _has_gpu()
    where = computing(numerics.device) if there else f"{numerics.device} of another machine"
    return f"computed in {numerics.precision} on {where}; {'; '.join(plan.kernels)}"


@dataclass(frozen=True)
class Timing:
    """How long a study will take, and how that is known.

    Attributes:
        forecast: None where nothing is known of the machine that trains.
        measured: for how many kinds of training a few updates were timed just now. seconds: that this took.
    """

    forecast: Forecast | None
    measured: int = 0
    seconds: float = 0.0

    @property
    def rows(self) -> Mapping[str, float]:
        """Row of the plan's table -> seconds of all its trainings together; nan where no pace is known."""
        return self.forecast.rows() if self.forecast is not None else {}

    def line(self, workers: int, device: str) -> str:
        """What the plan says of the time of all that is missing."""
        f = self.forecast
        if f is None or math.isnan(work := f.work_left()):
            where = "" if f is not None else ", for another machine will train"
            return f"how long it takes is not known{where}: it is told once a few updates are over"
        if not work:
            return "nothing is left to train"
        of_all = f"{lasting(work)} of training one after another" if f.groups != 1 else f"{lasting(work)} of training"
        if workers > 1:
            of_all += f" with {workers} workers each"
        if device == "cuda":
            of_all += f", {work * workers / 3600:.2g} GPU hours"
        left, at_a_time = f.left(), f.groups or 1
        if left is None:
            text = f"takes about {of_all}, shared by as many trainings as the cluster has room for at a time"
        else:
            text = f"takes about {lasting(left)} from start to report: {of_all}, {at_a_time} at a time"
        if f.paces.slowdown > 1.2:
            text += f", {f.paces.slowdown:.1f} times as long as alone, for other programs are at work"
        known = f"{counted(self.measured, 'kind')} of training timed just now in {self.seconds:.0f} s"
        return f"{text} ({known if self.measured else 'by what this machine took before'})"


def foresee(plan: Plan, options: RunOptions, study_run: StudyRun | None = None) -> Timing:
    """How long the study will take here, from what this machine took before; what it has not timed yet is timed now.

    Args:
        study_run: what is here already takes no time.
    """
    from raystudy.cluster import fitting_group_count, threads_of_worker
    from raystudy.machine.bfloat16 import processor
    from raystudy.machine.resources import machine_facts, slowdown
    from raystudy.study.forecast.calibrate import calibrate
    from raystudy.study.forecast.forecast import Forecast
    from raystudy.study.forecast.pace import Paces
    from raystudy.study.forecast.work import StudyWork

    numerics, cache = plan.study.numerics, Path(plan.places.shared) if plan.places.shared else None
    here = options.address is None
    if here and numerics.device == "cuda" and not _has_gpu():
        return Timing(None)
    missing = plan.preview["total_cells"]
    if study_run is not None:
        missing -= len(study_run.study_records())
    groups, threads = options.groups, 0
    if here:
        facts = machine_facts(cuda=numerics.device == "cuda")
        room = {"CPU": float(facts["cpus"]), "GPU": float(len(facts["gpus"]))}
        if options.local:
            room, groups = {"CPU": 1.0}, 1
        try:
            groups = fitting_group_count(room, groups, numerics, max(1, missing))
        except PreflightError:  # the run itself will say it
            groups = groups or 1
        threads = threads_of_worker(room, groups, numerics)
    paces = Paces.of(processor(numerics.device) if here else {"address": str(options.address)}, cache)
    study_work = StudyWork(plan, threads)
    seconds = _calibration_seconds(options)
    began, measured = time.monotonic(), 0
    if here and missing > 0 and seconds > 0:
        measured = calibrate(plan, study_work, paces, seconds)
        paces.keep()
    if here and numerics.device == "cpu":
        paces.slowdown = slowdown((groups or 1) * numerics.workers * threads)
    forecast = Forecast(plan.trainings, study_work, paces, groups)
    if study_run is not None:
        forecast = forecast.beginning_now(study_run.study_records().values())
    return Timing(forecast, measured, time.monotonic() - began)


def _calibration_seconds(options: RunOptions) -> float:
    """For how long a plan may time updates.

    Raises:
        ConfigError: the variable holds no number.
    """
    if options.calibrate is not None:
        return options.calibrate
    text = os.environ.get("RAYSTUDY_CALIBRATE", "10")
    try:
        return float(text)
    except ValueError:
        rule = f"must be a number of seconds, but is {quoted(text)}"
        raise ConfigError(Problem(rule, "RAYSTUDY_CALIBRATE")) from None


def budget_lines(timing: Timing, options: RunOptions, workers: int) -> list[str]:
    """A warning where the budget will not be enough for what is missing."""
    if options.budget is None or timing.forecast is None:
        return []
    needed = timing.forecast.work_left() * workers
    if math.isnan(needed) or needed <= options.budget:
        return []
    lacking = f"--budget {lasting(options.budget)} will not be enough: what is missing takes about {lasting(needed)}"
    return [f"{lacking} of training, workers added up; the run will stop there, and the same command goes on from it"]


def describe(
    plan: Plan, study_run: StudyRun | None = None, machine: Sequence[str] = (), timing: Timing | None = None
) -> list[str]:
    """The plan in words: what will be read, trained and shared, before anything starts.

    Args:
        machine: what there is to say of the machine that trains (`machine_lines`).
        timing: how long it will take there (`foresee`).
    """
    from raystudy.study import disk
    from raystudy.study.folder.records import stale_parts
    from raystudy.study.plan import class_line, merged_labels, mixed_kinds
    from raystudy.terminal import TerminalColumn, lines_of, table_of

    study, preview = plan.study, plan.preview
    lines = [f"study {study.name}: {study.about}".rstrip(": ")]
    lines += [f"model {plan.plm.name}: {plan.plm.about}", *machine]
    lines += [f"your own {m.key.replace('s/', ' ')}: {m.file} (digest {m.digest})" for m in study.own]
    lines += [f"left out: {line}" for line in left_out_lines(study)]
    lines += [f"no effect: {line}" for line in plan.keys_without_effect]
    for name, task in plan.tasks.items():
        sizes = " / ".join(str(len(task.splits[s])) for s in ("train", "dev", "test"))
        role = "target" if name in study.target_names else "source"
        role = "unseen target (it takes no part in the transfer)" if name in study.unseen else role
        classes = counted(len(task.labels), "class", "classes") if task.labels else "regression"
        lines.append(
            f"{role} {name}: {task.form}, {classes}, train / dev / test {sizes}, {'/'.join(task.shown_metrics)}"
        )
        lines.append(f"    {class_line(task)}")
    notes: dict[str, list[str]] = {}
    for name, task in plan.tasks.items():
        for note in task.notes:
            notes.setdefault(note, []).append(name)
    for note, names in notes.items():  # what several tasks of a family share is said once
        lines.append(f"    {', '.join(names)}: {note}")
    for suite in dict.fromkeys(map(study.tasks_with, study.target_names)):
        for words, class_names in merged_labels(plan.tasks[name] for name in suite).items():
            lines.append(f"one class in a union head: {words!r} = {printable(', '.join(class_names))}")
    lines += mixed_kinds(plan)
    variants_of_line: dict[str, list[str]] = {}  # a line that holds for several variants is printed once
    for variant, admitted_lines in plan.method_notes.items():
        for line in admitted_lines:
            variants_of_line.setdefault(line, []).append(variant)
    lines += [f"{', '.join(variants)}: {line}" for line, variants in variants_of_line.items()]
    lines += [f"    {line}" for line in plan.cautions]
    settings = ", ".join(map(str, study.settings_grid))
    seeds = counted(study.report.seeds, "report seed")
    lines.append(f"settings {settings}; {seeds}; baseline {study.report.baseline}")
    if study.searched_settings:
        where = ", ".join(map(str, study.searched_settings))
        trials = counted(study.search.trials, "configuration")
        first = "" if study.search.trials == 1 else ", the first with the paper's value of all that is searched"
        lines.append(f"search at {where}: {trials} on dev{first}")
        if study.search.across:
            lines.append(f"one search across {', '.join(study.search.across)}: {trials} for all of them together")
        lines += space_lines(plan)
        lines += [f"    {line}" for line in plan.selection_lines]
        if any(kind.endswith(" default") for kind in preview["cells"]):
            lines.append(
                "    default: the settings without a search, with the same seeds, where the winner has others "
                "(`report: {default: false}` leaves them out)"
            )
    if departs := study.departures:
        lines.append(f"set by the study, otherwise than in the papers: {'; '.join(departs)}")
    lines += domain_lines(study, preview["total_cells"])
    rows = timing.rows if timing is not None else {}
    timed = any(not math.isnan(seconds) for seconds in rows.values())
    costs = [
        [
            *(kind, f"{cells:,}", f"{preview['updates'][kind]:,}", f"{preview['passes'][kind]:,.0f}"),
            *([_lasting_or_nothing(rows.get(kind, math.nan))] if timed else []),
        ]
        for kind, cells in preview["cells"].items()
    ]
    titles = ("cells", "updates", "passes", *(["time"] if timed else []))
    table, _ = table_of(
        [TerminalColumn("method and phase"), *(TerminalColumn(title, right=True) for title in titles)], costs
    )
    lines += [f"    {line}" for line in lines_of(table)]
    shared = preview["shared_passes"]
    searched = any(kind.endswith(" search") for kind in preview["cells"])
    lines.append(
        f"in all {counted(preview['total_cells'], 'cell')}, {counted(preview['total_updates'], 'update')} and "
        f"{preview['total_passes']:,.0f} passes (a pass is forward and backward over one batch)"
        + (", if all configurations of a search are as long as its first" if searched else "")
        + (f"; {shared:,.0f} passes are saved, because cells that share a transfer stage run it once" if shared else "")
    )
    if timing is not None:
        lines.append(timing.line(study.numerics.workers, study.numerics.device))
    folder = study_run.results.folder if study_run is not None else None
    lines += disk.lines_of(disk.planned(plan), folder, Path(plan.places.shared) if plan.places.shared else None)
    if study_run is not None:
        old = [why for r in study_run.records.values() if (why := stale_parts(r))]
        how = "; ".join(f"{n} by {what}" for what, n in Counter(w for why in old for w in why).items())
        other = len(study_run.records) - len(study_run.study_records())
        lines.append(
            f"{counted(len(study_run.records), 'record is', 'records are')} here already"
            + (f", {other} of them no part of the study as it is now (kept, not in its report)" if other else "")
            + (f", {len(old)} by other code or versions ({how}): --redo-stale runs these again" if old else "")
        )
    return lines


def _lasting_or_nothing(seconds: float) -> str:
    return "" if math.isnan(seconds) else lasting(seconds)


def space_lines(plan: Plan) -> list[str]:
    """What the searches move, as a table: setting, symbol, range, scale, the paper's value and that of trial 0."""
    from raystudy.study.search.report_rows import searched_settings
    from raystudy.terminal import TerminalColumn, lines_of, table_of

    alike: dict[tuple[str, ...], list[str]] = {}  # what is searched -> the methods
    for s in searched_settings(plan.spaces()):
        first = s.paper if s.paper == s.first else f"{s.paper} (here {s.first})"
        condition = f", when {s.condition}" if s.condition else ""
        row = (s.name, s.symbol, f"{s.range}{condition}", s.scale, first)
        alike.setdefault(row, [])
        if s.arm.variant not in alike[row]:
            alike[row].append(s.arm.variant)
    if not alike:
        return []
    titles = ("searched", "symbol", "range", "scale", "paper", "of")
    columns = [TerminalColumn(title, least=12 if title in ("range", "of") else 0) for title in titles]
    table, _ = table_of(columns, [[*row, ", ".join(variants)] for row, variants in alike.items()])
    return [f"    {line}" for line in lines_of(table)]


def left_out_lines(study: Study) -> list[str]:
    """What `missing_data: leave_out` has left out of the study, a line each, with the reason."""
    absent = [f"{task}, whose data are not at hand" for task in study.absent]
    unreached = [f"{task} ({s}): {why}" for task, settings in study.unreached.items() for s, why in settings.items()]
    of_variants = [
        f"{variant} on {task} ({s}): {why}"
        for variant, tasks in study.unreached_of.items()
        for task, settings in tasks.items()
        for s, why in settings.items()
    ]
    return [*absent, *unreached, *of_variants]


def domain_lines(study: Study, cells: int) -> list[str]:
    """For data whose column `domain` makes every domain a target: how many, and how to have fewer.

    Named data sets with domains are not meant: who asks for their domains knows them.
    """
    families: dict[str, list[str]] = {}
    for target in study.target_names:
        module, slash, _ = target.partition("/")
        if slash and not is_built_in(module):
            families.setdefault(module, []).append(target)
    return [
        f"the column `domain` makes {len(domains)} tasks of {name}, each a target, and the study has {cells:,} cells: "
        f"`targets: [{domains[0]}]` limits the targets, `domains: together` (an option of {name}) keeps it one task"
        for name, domains in families.items()
        if len(domains) > 1
    ]


def run_study(
    inputs: tuple[Study, Places, Path],
    options: RunOptions,
    console: Console,
    *,
    dry_run: bool = False,
    exhibit: Exhibit | None = None,
) -> int:
    """Run one study, as `open_study` gives it, to its report; returns the exit code.

    Args:
        exhibit: what the study is for, where it is a table or figure of a paper; the report opens with it.

    Raises:
        UserError: whatever the user can mend, before or while running; what was finished stays.
    """
    started = time.monotonic()
    study, places, folder = inputs
    from raystudy.exhibits import page_renderer
    from raystudy.live_view import LiveView
    from raystudy.study import disk
    from raystudy.study.folder.background_writer import BackgroundWriter
    from raystudy.study.folder.best_settings import write_best_settings
    from raystudy.study.folder.estimates import keep_first_estimates
    from raystudy.study.folder.manifest import lock_text, provenance, rows_of, write_manifest
    from raystudy.study.folder.records import Results
    from raystudy.study.folder.report_files import write_report
    from raystudy.study.folder.tensorboard import TensorBoard
    from raystudy.study.plan import Plan
    from raystudy.study.study_run import StudyRun
    from raystudy.terminal import say, show_opening

    manifest_entry = {"exhibit": exhibit.name, "scale": exhibit_scale(options)} if exhibit is not None else None
    plan = Plan(study, places)
    plan.sizes  # noqa: B018  every impossible setting is refused here, before anything is written
    results = Results(folder)
    study_run = StudyRun(plan, results, retry_failed=options.retry_failed, redo_stale=options.redo_stale)
    study_run.open()
    machine = machine_lines(plan) if options.address is None else []
    if options.gpu_share is not None and study.numerics.device == "cpu":
        machine = [*machine, f"no effect: --gpu-share {options.gpu_share}, because the study is computed on CPUs"]
    timing = foresee(plan, options, study_run)
    for line in [*describe(plan, study_run, machine, timing), *budget_lines(timing, options, study.numerics.workers)]:
        say(console, line)
    cache = Path(places.shared) if places.shared else None
    if options.keep:
        say(console, f"disk: about {megabytes(disk.planned(plan, keep=True).models)} more of results for kept models")
    say(console, computing_line(plan))
    if dry_run:
        return EXIT_DONE
    check_machine(study, places, options, trains=not study_run.complete and not options.local)
    stages_before = disk.stage_files(cache)
    with results.locked():
        study_run.open()  # another driver may have been at work until now
        if options.reuse is not None and (taken := study_run.take_over(_beside(folder, options.reuse))):
            say(console, f"{counted(taken, 'cell')} taken over from other results below {options.reuse}")
        facts = provenance(plan, " ".join(["python -m raystudy.run", *sys.argv[1:]]))
        if (study.numerics.precision == "bf16" or study.numerics.measured) and machine:
            facts["precision"] = machine[0]
        forecast, estimate = timing.forecast, None
        if forecast is not None:
            forecast = forecast.beginning_now(study_run.study_records().values())
        write_manifest(study_run, facts, manifest_entry)
        keep_first_estimates(results, study, forecast.estimates() if forecast is not None else ())
        atomic_write(folder / "study.lock.yaml", lock_text(study))
        old = list(study_run.study_records().values())
        pictures = BackgroundWriter(lambda: TensorBoard(folder / "tensorboard", old, study.ranges))
        if forecast is not None:
            forecast.tell = lambda **told: results.log_event("left", **told)
            estimate = forecast.tell_left()
            study_run.on_decided = forecast.decided
        view = LiveView(console, plan.preview["total_cells"], done=len(study_run.study_records()), forecast=forecast)
        new_records: list[Record] = []
        used_seconds = 0.0

        def on_record(record: Record) -> None:
            nonlocal used_seconds
            new_records.append(record)
            view.record(record)
            pictures.add(record)
            used_seconds += worker_seconds(record)
            if over_budget() and not study_run.stopping.is_set():
                study_run.drain()

        def over_budget() -> bool:
            return options.budget is not None and used_seconds >= options.budget

        def on_drain() -> None:
            if over_budget():
                why, how = f"the budget of {counted(round(options.budget or 0), 'worker-second')} is used up", ""
            else:
                why, how = "interrupted", " Ctrl-C once more stops at once."
            view.say(f"{why}: the cells that run now are trained to their end, and no others are started.{how}")

        study_run.on_record = on_record
        study_run.on_drain = on_drain
        with view.live():
            try:
                if not study_run.complete:
                    train_missing(study_run, view, options, places)
            finally:
                if not all(s.finished for s in study_run.searches.values()):
                    study_run.searches = study_run.replay()  # what an interrupted search has seen counts too
                write_manifest(study_run, facts, manifest_entry)
                if forecast is not None:
                    forecast.paces.keep()
                pictures.close()
            view.begin("writing the report")
            write_best_settings(folder / "best", plan, study_run.searches, rows_of(study_run))
            openings: list[Opening] = []
            report = write_report(folder, page_renderer(manifest_entry), openings.append)
        for opening in openings:
            show_opening(console, opening)
        seconds = time.monotonic() - (forecast.started if forecast is not None else started)
        if forecast is not None:
            forecast.finished()
        for line in _summary(new_records, study_run.complete, seconds, report, estimate):
            say(console, line)
        if options.keep:
            _keep_models(study_run, places, facts, console)
        if new_records:
            left = disk.spent(folder, cache, stages_before)
            say(console, disk.spent_line(left, plan, keep=options.keep))
    if study_run.stopping.is_set() and not study_run.complete:
        over = over_budget()
        why = "the budget is used up" if over else "interrupted"
        say(console, f"{why}; the same command goes on from here")
        return EXIT_BUDGET if over else EXIT_INTERRUPTED
    return EXIT_FAILED_CELLS if any(r.status == "failed" for r in study_run.study_records().values()) else EXIT_DONE


def _beside(folder: Path, root: Path) -> list[Results]:
    """The other results folders below `root`."""
    from raystudy.study.folder.records import Results

    others = (path.parent for path in sorted(root.glob("*/cells")) if path.parent.resolve() != folder.resolve())
    return [Results(other) for other in others]


def train_missing(study_run: StudyRun, view: LiveView, options: RunOptions, places: Places) -> None:
    """Train every cell that has no record: on Ray, or one after another in this process."""
    if not options.local:
        run_on_ray(study_run, view, options.cluster, places)
        return
    from raystudy.study.pool.local import Local
    from raystudy.study.store.stage_store import StageStore

    study_run.run_local(Local(places, StageStore(Path(places.shared) / "stages") if places.shared else None))


def _keep_models(study_run: StudyRun, places: Places, facts: Mapping[str, str], console: Console) -> None:
    """Keep the best model of every arm and target of a finished study, as folders below ``models/``.

    Raises:
        UserError: some could not be kept.
    """
    from raystudy.study.keep.winner import keep_winners
    from raystudy.terminal import say

    if not study_run.complete:
        say(console, "models are kept once the study is complete")
        return
    say(console, "keeping the best model of each arm and target: each is trained once more, for its weights")
    chosen = (
        s.id for s in study_run.plan.confirm(study_run.searches)
    )  # without those that show what searching brought
    records = [study_run.records[cell] for cell in chosen if cell in study_run.records]
    keep_winners(records, places, study_run.results.folder / "models", facts, lambda line: say(console, line))


def show_untrained(exhibit: Exhibit, options: RunOptions, console: Console) -> int:
    """Make an exhibit for which nothing is trained: statistics of the data, examples with their scores.

    Raises:
        UserError: the model or the data are missing.
    """
    from raystudy.data.plm import absolute_model_name
    from raystudy.exhibits import PLM, run_untrained
    from raystudy.terminal import say, show_opening

    scale = exhibit_scale(options)
    root = _folder(options.data_root)
    places = Places(str(root) if root else None, absolute_model_name(options.plm or PLM[scale], (None,), "--plm"))
    folder = results_path(options.out or Path("results") / f"{exhibit.name}-{scale}", "--out")
    openings: list[Opening] = []
    report = run_untrained(exhibit.name, scale, places, folder, openings.append)
    for opening in openings:
        show_opening(console, opening)
    for line in report_places(report):
        say(console, line)
    atomic_write(folder / "exhibit.json", json.dumps({"exhibit": exhibit.name, "scale": scale}) + "\n")
    return EXIT_DONE


def report_places(report: Path) -> list[str]:
    """The lines that say where a report lies; `report` is the path of its report.md."""
    return [f"report: {report.with_suffix('.html')} (open it in a browser)", f"the same as text: {report}"]


def check_machine(study: Study, places: Places, options: RunOptions, *, trains: bool) -> None:
    """Check what a run needs of this machine, whatever it trains.

    Raises:
        PreflightError: there is no GPU for a study that wants one, the cache cannot be written, or Ray cannot start.
    """
    if study.numerics.device == "cuda" and options.address is None and not _has_gpu():
        raise PreflightError(Problem("is cuda, but there is no GPU here that torch can use", "numerics.device"))
    _writable(Path(places.shared or "."))
    if options.address is None and trains:
        _ray_can_start()


def _has_gpu() -> bool:
    from raystudy.machine.resources import machine_facts

    return bool(machine_facts(cuda=True)["gpus"])


def _ray_can_start() -> None:
    """Check that Ray can start on this machine.

    Raises:
        PreflightError: it cannot; all that hinders it.
    """
    from raystudy.machine.ray_start import ray_obstacles

    if obstacles := ray_obstacles():
        raise PreflightError(Problem(f"{what}; {mend}", "ray") for what, mend in obstacles)


def _writable(cache: Path) -> None:
    """Check that cells can keep their stages in the cache: better to fail now than once per cell.

    Raises:
        PreflightError: nothing can be written there.
    """
    probe = cache / f".probe-{os.getpid()}"
    try:
        atomic_write(probe, b"")
        probe.unlink()
    except (OSError, PreflightError) as e:
        why = str(e.problems[0].message if isinstance(e, PreflightError) else e)
        raise PreflightError(Problem(f"the cache {why}; RAYSTUDY_CACHE names another", file=str(cache))) from None


def worker_seconds(record: Record) -> float:
    """The worker-seconds of a cell: its seconds times the workers that trained it."""
    return record.wall * record.spec.numerics.workers


def _keep(asked: str | None) -> bool:
    """Whether models are kept.

    Raises:
        ConfigError: others than the best are asked for.
    """
    if asked not in (None, "best"):
        raise ConfigError(Problem(f"must be best, but is {quoted(asked)}{did_you_mean(asked, ['best'])}", "--keep"))
    return asked == "best"


def duration(text: str) -> float:
    """Seconds of ``90s``, ``30m``, ``8h`` or ``2d``.

    Raises:
        ConfigError: it is none of these, or not above zero.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    seconds = float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]] if match else 0.0
    if not seconds > 0:
        raise ConfigError(Problem(f"must be a time such as 90s, 30m, 8h or 2d, but is {text!r}", "--budget"))
    return seconds


def _summary(
    new_records: Sequence[Record], complete: bool, seconds: float, report: Path, estimate: float | None = None
) -> list[str]:
    """The last lines of a run: where its time went, what had been foreseen, and where the report lies."""
    parts: dict[str, float] = {}
    for record in new_records:
        for part, part_seconds in record.seconds.items():
            parts[part] = parts.get(part, 0.0) + part_seconds
    where = ", ".join(f"{part} {s:.0f} s" for part, s in parts.items())
    none = "nothing was missing" if complete else "no cell was finished"
    cells = (
        f"{counted(len(new_records), 'cell')} trained now ({where}; groups work at the same time)"
        if new_records
        else none
    )
    foreseen = f" ({estimate:.0f} s were foreseen)" if estimate and new_records else ""
    return ["", f"{cells}; {seconds:.0f} s since the start{foreseen}", *report_places(report)]


@app.command()
def command(
    study: Annotated[
        str,
        typer.Argument(
            help="A study of search_spaces/studies, a .yaml file of your own, a paper's exhibit (meta_dtl_table2), or "
            "reproduce: all exhibits of a paper."
        ),
    ] = "quickstart",
    data_root: Annotated[str | None, typer.Option(help="Folder with one folder per task.")] = None,
    plm: Annotated[str | None, typer.Option(help="minilm, tiny, a folder, or a hub id.")] = None,
    scale: Annotated[str, typer.Option(help="Of an exhibit: smoke, small or paper.")] = RunOptions.scale,
    paper: Annotated[str | None, typer.Option(help="Of reproduce: a paper (mft, meta_dtl, ...), or all.")] = None,
    search: Annotated[bool, typer.Option("--search", help="Of an exhibit: tune every method on dev first.")] = False,
    workers: Annotated[int | None, typer.Option(help="Data-parallel workers per training.")] = None,
    groups: Annotated[int | None, typer.Option(min=1, help="Trainings at a time (default: as many as fit).")] = None,
    seeds: Annotated[int | None, typer.Option(help="Report seeds.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only these methods, and the baseline.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="a.b=value, in place of the study file's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    address: Annotated[str | None, typer.Option(help="A running Ray cluster, e.g. auto.")] = None,
    out: Annotated[Path | None, typer.Option(help="Results folder (default: results/<study>).")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")] = False,
    redo_stale: Annotated[
        bool, typer.Option("--redo-stale", help="Run cells again that other code or libraries made.")
    ] = False,
    gpu_share: Annotated[
        int | None, typer.Option(min=1, help="Trainings on one GPU at a time (default: by the memory that one needs).")
    ] = None,
    isolate: Annotated[bool, typer.Option("--isolate", help="A fresh worker process for every cell.")] = False,
    budget: Annotated[
        str | None, typer.Option(help="Stop (exit code 4) after this much training, workers added up: 30m, 8h, 2d.")
    ] = None,
    keep: Annotated[
        str | None, typer.Option(help="best: keep a model per arm and target, below models/ of the results.")
    ] = None,
    reuse: Annotated[
        Path | None, typer.Option(help="Take over cells that results folders below this folder have already.")
    ] = None,
    calibrate: Calibrate = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never ask the network for models or data.")] = False,
    dashboard: Annotated[bool, typer.Option("--dashboard", help="Ray's own dashboard, on this machine only.")] = False,
    version: Version = False,
) -> None:
    """Run a study; run it again to finish what is missing."""
    from raystudy.terminal import console as plain_console

    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when huggingface_hub is imported: here and in the workers

    def run_command() -> int:
        options = RunOptions(
            data_root,
            plm,
            workers,
            groups,
            seeds,
            tuple(only or ()),
            tuple(set_ or ()),
            address,
            out,
            retry_failed,
            redo_stale,
            isolate,
            duration(budget) if budget is not None else None,
            dashboard,
            scale,
            search,
            _keep(keep),
            gpu_share,
            reuse=None if reuse is None else readable_folder(reuse, where="--reuse"),
            calibrate=calibrate,
        )
        if study == REPRODUCE:
            from raystudy.reproduce import reproduce

            return reproduce(paper, options, plain_console(), dry_run=dry_run)
        if paper is not None:
            raise ConfigError(Problem(f"is for `{REPRODUCE}`, which makes all exhibits of a paper", "--paper"))
        exhibit = find_exhibit(study, options)
        if exhibit is not None and not exhibit.methods:
            return show_untrained(exhibit, options, plain_console())
        inputs = open_study(study, options)
        results_path(inputs[2], "--out" if options.out else "")
        if dry_run:
            return run_study(inputs, options, plain_console(), dry_run=True, exhibit=exhibit)
        return supervised(lambda console: run_study(inputs, options, console, exhibit=exhibit), inputs[2] / "logs")

    raise typer.Exit(exit_code_of(run_command))


def supervised(work: Callable[[Console], int], logs: Path) -> int:
    """The exit code of `work`, which drives Ray, in a watched child process whose streams lead to a log.

    Args:
        work: is given the console on which a person sees it.
        logs: the folder of logs.
    """
    from raystudy.live_view import streams_to_log

    def run_with_log() -> int:
        with streams_to_log(logs / "ray.log") as console:
            return work(console)

    return run_supervised(
        lambda: exit_code_of(run_with_log, logs), lambda status: _exit_of_dead_driver(status, logs / "ray.log")
    )


def exit_code_of(work: Callable[[], int], logs: Path | None = None) -> int:
    """Do `work` and return its exit code. What it raises becomes a message and a code, never a traceback."""
    from raystudy.terminal import complain

    try:
        return work()
    except UserError as e:
        for line in e.lines:
            complain(line)
        return e.exit_code
    except KeyboardInterrupt:
        complain(f"interrupted. {RESUME_HINT}")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # who read our output has left: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_DONE
    except Exception as e:
        if isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            place = f"{e.filename}: " if e.filename else ""
            complain(f"{place}cannot be written: {e.strerror}. {RESUME_HINT}")
            return PreflightError.exit_code
        for own in in_use():
            if (at := line_in(e, own.file)) is not None:
                complain(f"{own.file}:{at}: {type(e).__name__}: {quoted(str(e), 300)[1:-1]}")
                complain(f"The traceback is in {_write_traceback(logs)}. {RESUME_HINT}")
                return ConfigError.exit_code
        complain(f"a bug in raystudy, {type(e).__name__}: {quoted(str(e), 300)[1:-1]}")
        complain(f"The traceback is in {_write_traceback(logs)}. {RESUME_HINT}")
        return EXIT_BUG


def _write_traceback(logs: Path | None) -> str:
    """Write the traceback of the exception that is being handled to a file; returns the file's name."""
    text = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {' '.join(sys.argv)}\n{traceback.format_exc()}\n"
    places = [logs / "driver.log"] if logs is not None and is_folder(logs) else []
    with suppress(OSError):  # no folder for temporary files at all
        places.append(Path(tempfile.gettempdir()) / f"raystudy-{os.getpid()}.log")
    for path in places:
        with suppress(OSError), path.open("a", encoding="utf-8", errors="backslashreplace") as f:
            f.write(text)
            return str(path)
    typer.echo(text, err=True)
    return "the lines above: no file can be written"


def _exit_of_dead_driver(status: int, log: Path) -> tuple[int, str]:
    """(exit code, message) of a run whose process was ended by a signal, or by a Ray that died."""
    if status < 0:
        hint = ", for want of memory perhaps" if -status == signal.SIGKILL else ""
        return 128 - status, f"the run was ended by {signal.Signals(-status).name}{hint}. {RESUME_HINT}"
    return PreflightError.exit_code, f"ray died: its raylet or its GCS process is gone (see {log}). {RESUME_HINT}"


def main() -> None:
    """Entry point of ``python -m raystudy.run``."""
    raise SystemExit(run_with_safe_output(app))


class _CalledAsFunction(ModuleType):
    """This module is called like the function of its name: ``raystudy.run(study)`` is `raystudy.api.run`."""

    def __call__(self, *args: Any, **named: Any) -> StudyResults:
        from raystudy.api import run

        return run(*args, **named)


sys.modules[__name__].__class__ = _CalledAsFunction

if __name__ == "__main__":
    main()
