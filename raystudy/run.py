"""``python -m raystudy.run [STUDY]``: run a study from its file to its report. `ray.init` lives here."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raystudy.catalogue import catalogue, space_folder
from raystudy.errors import ConfigError, PreflightError, Problem, UserError, unknown
from raystudy.files import atomic_write
from raystudy.spec import Places, Record, digest
from raystudy.studyfile import Study, read_study

if TYPE_CHECKING:
    from rich.console import Console

    from raystudy.study.conduct import Conductor
    from raystudy.study.plan import Plan

__all__ = ["app", "main", "open_study", "study_file"]

EXIT_DONE, EXIT_FAILED_CELLS, EXIT_INTERRUPTED = 0, 1, 130  # a UserError carries its own: 2 or 3

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Options:
    """The command line of a run, beside the study file."""

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

    def overrides(self) -> list[str]:
        """The options that stand for a key of the study file, as ``a.b=value``."""
        named = {
            "data_root": self.data_root,
            "plm": self.plm,
            "numerics.workers": self.workers,
            "report.seeds": self.seeds,
        }
        quoted = {k: f'"{v}"' if isinstance(v, str) else v for k, v in named.items() if v is not None}
        return [*self.set, *(f"{k}={v}" for k, v in quoted.items())]


def study_file(name: str) -> Path:
    """The file of a study: a path as it is, or the name of one in ``search_spaces/studies/``.

    Raises:
        ConfigError: no such file or study, with the nearest name.
    """
    if name.endswith((".yaml", ".yml")) or os.sep in name:
        if not Path(name).is_file():
            raise ConfigError(Problem("no such file", file=name))
        return Path(name)
    shipped = {p.stem: p for p in (space_folder() / "studies").glob("*.yaml")}
    if name not in shipped:
        raise ConfigError(unknown("study", name, list(shipped)) + " A study file of your own ends in .yaml.")
    return shipped[name]


def open_study(name: str, options: Options) -> tuple[Study, Places, Path]:
    """(study, places, results folder), with the command line's overrides in place.

    Raises:
        ConfigError: every problem of the file and the options.
    """
    from raystudy.study.stages import cache_folder

    path = study_file(name)
    study = read_study(path, options.overrides())
    if options.only:
        study = _restricted(study, options.only)
    root = study.data_root
    if root is not None and options.data_root is None:
        root = str((path.parent / root).resolve())
    elif root is not None:
        root = str(Path(root).resolve())
    if root is not None and not Path(root).is_dir():
        raise ConfigError(Problem(f"is not a folder: {root}", "data_root", str(path)))
    plm = study.plm
    if (path.parent / plm).is_dir() and options.plm is None and os.sep in plm:
        plm = str((path.parent / plm).resolve())
    places = Places(data_root=root, plm=plm, revision=study.revision, shared=str(cache_folder()))
    return study, places, options.out or Path("results") / study.name


def _restricted(study: Study, only: Sequence[str]) -> Study:
    """The study with these methods alone, the baseline and what they copy kept."""
    names = [n for part in only for n in part.split(",") if n]
    if problems := [unknown("method of this study", n, list(study.chosen)) for n in names if n not in study.chosen]:
        raise ConfigError(Problem(p, "--only") for p in problems)
    kept = {study.report.baseline, *names, *(catalogue().variant(n).copies for n in names)}
    methods = tuple({v: own} for v, own in study.chosen.items() if v in kept)
    return study.model_copy(update={"methods": methods})


def describe(plan: Plan, conductor: Conductor | None = None) -> list[str]:
    """The plan in words: what will be read, trained and shared, before anything starts."""
    from raystudy.study.conduct import stale
    from raystudy.study.plan import merged_labels

    study, preview = plan.study, plan.preview()
    lines = [f"study {study.name}: {study.about}".rstrip(": ")]
    lines.append(f"model {plan.plm.name}: {plan.plm.about}")
    for name, task in plan.tasks.items():
        sizes = " / ".join(str(len(task.splits[s])) for s in ("train", "dev", "test"))
        role = "target" if name in study.target_names else "source"
        classes = f"{len(task.labels)} classes" if task.labels else "regression"
        lines.append(f"{role} {name}: {task.form}, {classes}, train / dev / test {sizes}, {task.metric}")
    notes: dict[str, list[str]] = {}
    for name, task in plan.tasks.items():
        for note in task.notes:
            notes.setdefault(note, []).append(name)
    for note, names in notes.items():  # what several tasks of a family share is said once
        lines.append(f"    {', '.join(names)}: {note}")
    for words, found in merged_labels(plan.tasks.values()).items():
        lines.append(f"one class in a union head: {words!r} = {', '.join(found)}")
    settings = ", ".join(map(str, study.settings_grid))
    lines.append(f"settings {settings}; {study.report.seeds} report seeds; baseline {study.report.baseline}")
    if study.searched_settings:
        where = ", ".join(map(str, study.searched_settings))
        lines.append(f"search at {where}: {study.search.trials} configurations, the first the paper's, on dev")
    for kind, cells in preview["cells"].items():
        lines.append(f"    {kind:<36} {cells:>5} cells {preview['updates'][kind]:>8} updates")
    shared = preview["shared_updates"]
    lines.append(
        f"in all {preview['total_cells']} cells and {preview['total_updates']} updates at the paper's settings"
        + (f"; {shared} of them are saved, because cells that share a transfer stage run it once" if shared else "")
    )
    if conductor is not None:
        old = sum(stale(r) for r in conductor.seen.values())
        lines.append(
            f"{len(conductor.seen)} records are here already"
            + (f", {old} of them made by other code (--redo-stale runs these again)" if old else "")
        )
    return lines


def provenance(plan: Plan, command: str) -> dict[str, str]:
    """What a reader needs to trust or repeat a run: versions, digests, the command."""
    import platform
    import subprocess
    from importlib.metadata import version

    here = Path(__file__).parent
    git = ["git", "-C", str(here), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        commit = "not a git checkout"
    packages = ("raystudy", "torch", "transformers", "ray", "optuna", "datasets", "numpy")
    facts = {name: version(name) for name in packages}
    numerics = plan.study.numerics
    return {
        **facts,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "commit": commit,
        "study": digest(plan.study.model_dump(mode="json")),
        "model": f"{plan.plm.name} {plan.plm.digest}: {plan.plm.about}",
        "numerics": f"{numerics.precision} on {numerics.device}, {numerics.workers} worker(s) per training",
        "command": command,
    }


def write_report(results_folder: Path) -> Path:
    """Build the report of a results folder from its files alone; no torch, no ray."""
    from raystudy.analysis.report import build
    from raystudy.analysis.tables import SearchRow
    from raystudy.spec import Arm, Setting
    from raystudy.study.records import Results

    results = Results(results_folder)
    manifest = results.manifest()
    study = Study.model_validate(manifest["study"])
    cells = results.scan()
    records = [cells[k] for k in (*manifest["search"], *manifest["confirm"]) if k in cells]
    rows = [
        SearchRow(**{**row, "arm": Arm(row["arm"]["variant"], Setting(**row["arm"]["setting"]))})
        for row in manifest["search_rows"]
    ]
    return build(study, records, rows, results_folder, facts=manifest["facts"], notes=manifest["notes"])


def write_manifest(conductor: Conductor, facts: Mapping[str, str]) -> None:
    """Say beside the records which of them belong to the study as it is now."""
    from dataclasses import asdict

    from raystudy.study.conduct import search_rows

    searched = [c.id for s in conductor.searches.values() for t in s.trials for c in t.cells if c.id in conductor.seen]
    conductor.results.write_manifest(
        {
            "study": conductor.plan.study.model_dump(mode="json"),
            "confirm": [s.id for s in conductor.plan.confirm(conductor.searches)],
            "search": searched,
            "search_rows": [asdict(row) for row in search_rows(conductor.searches)],
            "facts": dict(facts),
            "notes": [f"Encoder {conductor.plan.plm.name}: {conductor.plan.plm.about}."],
            "expected": conductor.plan.preview(),
        }
    )


def run_study(opened: tuple[Study, Places, Path], options: Options, console: Console, *, dry_run: bool = False) -> int:
    """Run one study, as `open_study` gives it, to its report; returns the exit code.

    Raises:
        UserError: whatever the user can mend, before or while running; what was finished stays.
    """
    started = time.monotonic()
    study, places, folder = opened
    from raystudy.study.conduct import Conductor
    from raystudy.study.plan import Plan
    from raystudy.study.records import Results
    from raystudy.study.views import TensorBoard, to_yaml, write_best
    from raystudy.view import View

    plan = Plan(study, places)
    plan.sizes  # noqa: B018  every impossible setting is refused here, before anything is written
    results = Results(folder)
    conductor = Conductor(plan, results, retry_failed=options.retry_failed, redo_stale=options.redo_stale)
    conductor.seen = results.scan() if folder.is_dir() else {}
    for line in describe(plan, conductor):
        console.print(line, highlight=False, markup=False)
    if dry_run:
        return EXIT_DONE
    with results.locked():
        conductor.open()
        facts = provenance(plan, " ".join(["python -m raystudy.run", *sys.argv[1:]]))
        write_manifest(conductor, facts)
        atomic_write(folder / "study.lock.yaml", to_yaml(study.model_dump(mode="json", exclude_defaults=True)))
        pictures = TensorBoard(folder / "tensorboard", conductor.seen.values())
        view = View(console, plan.preview()["total_cells"], done=len(conductor.known()))
        made: list[Record] = []

        def told(record: Record) -> None:
            made.append(record)
            view.record(record)
            pictures.add(record)

        conductor.on_record = told
        try:
            if not conductor.complete:
                _run_on_ray(conductor, view, options, places)
        finally:
            write_manifest(conductor, facts)
            pictures.close()
        write_best(folder / "best", plan, conductor.searches)
        report = write_report(folder)
    if (table := report.parent / "tables" / "main.md").is_file():
        console.print(table.read_text(encoding="utf-8"), highlight=False, markup=False)
    console.print(_summary(made, time.monotonic() - started, report), highlight=False, markup=False)
    if conductor.stopping.is_set():
        console.print("interrupted; the same command goes on from here", highlight=False, markup=False)
        return EXIT_INTERRUPTED
    return EXIT_FAILED_CELLS if any(r.status == "failed" for r in conductor.known().values()) else EXIT_DONE


def _summary(made: Sequence[Record], seconds: float, report: Path) -> str:
    """Where the time went, and where the report lies."""
    parts: dict[str, float] = {}
    for record in made:
        for part, spent in record.seconds.items():
            parts[part] = parts.get(part, 0.0) + spent
    where = ", ".join(f"{part} {s:.0f} s" for part, s in parts.items())
    cells = f"{len(made)} cells trained now ({where}; groups work at the same time)" if made else "nothing was missing"
    return f"\n{cells}\nreport {report}, {seconds:.0f} s after the start"


_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "passive",  # spinning barriers of one worker starve the next on a small machine
    "TOKENIZERS_PARALLELISM": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
}


def _run_on_ray(conductor: Conductor, view: Any, options: Options, places: Places) -> None:
    """Start ray, keep a pool for as long as cells are missing, stop ray."""
    numerics = conductor.plan.study.numerics
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    import ray

    from raystudy.study.pool import Pool, Shape
    from raystudy.study.tuning import tune_searches

    cuda = numerics.device == "cuda"
    scratch = Path(tempfile.mkdtemp(prefix="raystudy-"))
    began = time.monotonic()
    try:
        if options.address:
            # workers of a running cluster do not inherit this process's environment
            env = {k: os.environ[k] for k in (*_ENVIRONMENT, "HF_HUB_OFFLINE", "RAYSTUDY_CACHE") if k in os.environ}
            ray.init(address=options.address, log_to_driver=False, logging_level="ERROR", runtime_env={"env_vars": env})
        else:
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                object_store_memory=256 * 1024**2,
            )
        have = ray.cluster_resources()
        groups = options.groups or _fitting(have, numerics.workers, cuda, len(conductor.missing()))
        need = {"GPU" if cuda else "CPU": groups * numerics.workers}
        if short := [f"{v} {k}, there are {have.get(k, 0):g}" for k, v in need.items() if have.get(k, 0) < v]:
            raise PreflightError(f"{groups} groups of {numerics.workers} workers need {short[0]}")
        cores = max(1, int(have.get("CPU", 1)) // (groups * numerics.workers))
        shape = Shape(
            groups,
            numerics.workers,
            cpus=1.0,
            gpus=1.0 if cuda else 0.0,
            threads=cores,
            **({"retire_after": 1} if options.isolate else {}),
        )
        view.say(f"ray is up after {time.monotonic() - began:.0f} s: {groups} groups of {numerics.workers} worker(s)")
        with Pool(shape, places, scratch) as pool, _interruptible(conductor, pool), view.live():
            view.status = lambda: ray.get(pool.hub.status.remote())
            try:
                conductor.run_pooled(pool, lambda searches: tune_searches(searches, pool, scratch))
            except UserError:
                if not conductor.stopping.is_set():
                    raise
    finally:
        if ray.is_initialized():
            ray.shutdown()
        shutil.rmtree(scratch, ignore_errors=True)


def _fitting(have: Mapping[str, float], workers: int, cuda: bool, cells: int) -> int:
    """As many groups as the machine has room for, and no more than there is work."""
    return max(1, min(int(have.get("GPU" if cuda else "CPU", 1)) // workers, max(1, cells)))


class _interruptible:  # noqa: N801  reads as a clause of a with statement
    """Ctrl-C once: finish the cells that run, start no others. Twice: stop at once."""

    def __init__(self, conductor: Conductor, pool: Any) -> None:
        self.conductor, self.pool, self.was = conductor, pool, signal.getsignal(signal.SIGINT)

    def __enter__(self) -> None:
        def first(number: int, frame: Any) -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self.conductor.stopping.set()
            self.pool.hub.drain.remote()

        signal.signal(signal.SIGINT, first)

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGINT, self.was)


@app.command()
def command(
    study: Annotated[
        str, typer.Argument(help="A study of search_spaces/studies, or a .yaml file of your own.")
    ] = "quickstart",
    data_root: Annotated[str | None, typer.Option(help="Folder with one folder per task.")] = None,
    plm: Annotated[str | None, typer.Option(help="minilm, tiny, a folder, or a hub id.")] = None,
    workers: Annotated[int | None, typer.Option(help="Data-parallel workers per training.")] = None,
    groups: Annotated[int | None, typer.Option(help="Trainings at a time (default: as many as fit).")] = None,
    seeds: Annotated[int | None, typer.Option(help="Report seeds.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only these methods, and the baseline.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="a.b=value, in place of the study file's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    address: Annotated[str | None, typer.Option(help="A running Ray cluster, e.g. auto.")] = None,
    out: Annotated[Path | None, typer.Option(help="Results folder (default: results/<study>).")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")] = False,
    redo_stale: Annotated[bool, typer.Option("--redo-stale", help="Run cells again that other code made.")] = False,
    isolate: Annotated[bool, typer.Option("--isolate", help="A fresh worker process for every cell.")] = False,
) -> None:
    """Run a study; run it again to finish what is missing."""
    from rich.console import Console

    from raystudy.view import quiet

    options = Options(
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
    )
    try:
        opened = open_study(study, options)
        if dry_run:
            raise typer.Exit(run_study(opened, options, Console(soft_wrap=True), dry_run=True))
        with quiet(opened[2] / "logs" / "ray.log") as console:
            code = run_study(opened, options, console)
        raise typer.Exit(code)
    except UserError as e:
        for problem in e.problems:
            typer.echo(str(problem), err=True)
        raise typer.Exit(e.exit_code) from None
    except KeyboardInterrupt:
        typer.echo("interrupted; run the same command to go on", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def main() -> None:
    """Entry point of ``python -m raystudy.run``."""
    app()


if __name__ == "__main__":
    main()
