"""``raystudy fit``: from files, or a study, to the one model: the best recipe on dev, trained again, and kept.

    fit/
      study.yaml, data/     of files: the study that was made of them, and their copies
      search/               records and logs of the trainings, as of every study
      model/                the model, with its card

Run again, it finishes what is missing; once the model is there, nothing is trained.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raystudy import run as running
from raystudy.catalogue import own_variants
from raystudy.errors import ConfigError, DataError, Problem, UserError
from raystudy.files import atomic_write
from raystudy.own_entries import read_own
from raystudy.own_files import OwnTask, lay_data, own_tasks, study_text
from raystudy.own_modules import names_a_file, split_entry
from raystudy.paths import absolute_path, is_absent, is_file, results_path
from raystudy.spec import Places, Record
from raystudy.studyfile import Study
from raystudy.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

    from raystudy.study.keep.recipe import RecipeRun

__all__ = [
    "METHODS",
    "TRIALS",
    "Fit",
    "fit",
    "fit_folder",
    "fit_of_loaded",
    "fit_of_study",
    "fit_study",
    "study_of_files",
]

# what is compared where nobody names methods; those that are not defined for the tasks are left out
METHODS = ("single_task", "multi_task", "mt_dnn", "meta_dtl", "metaxt_centred", "frozen_logistic")
TRIALS = 4  # configurations of each, where neither a study nor a budget says how many

Say = Callable[[str], None]


@dataclass(frozen=True)
class Fit:
    """What `fit_study` works on.

    Attributes:
        folder: where everything is written; the model lies in its part ``model``.
        trials: at most so many configurations of each method.
    """

    study: Study
    places: Places
    folder: Path
    trials: int

    @property
    def model(self) -> Path:
        return self.folder / "model"


def fit(
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="A study, in the place of files; with one target.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="File or folder of the task that is asked about.")] = None,
    source: Annotated[list[str] | None, typer.Option(help="File or folder of a task that helps.")] = None,
    methods: Annotated[
        list[str] | None, typer.Option(help="Methods to choose from, with commas between (default: six).")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Worker-seconds for everything: 30m, 2h. Searches go as far as it allows.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder (default: fit-NAME).")] = None,
    plm: Annotated[str | None, typer.Option(help="minilm, tiny, a folder, or a hub id.")] = None,
    data_root: Annotated[str | None, typer.Option(help="Of a study: folder with one folder per task.")] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Trainings of the best recipe (default: as the study says).")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="a.b=value, in place of the study file's.")] = None,
    workers: Annotated[int | None, typer.Option(help="Data-parallel workers per training.")] = None,
    groups: Annotated[int | None, typer.Option(min=1, help="Trainings at a time (default: as many as fit).")] = None,
    address: Annotated[str | None, typer.Option(help="A running Ray cluster, e.g. auto.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")] = False,
    redo_stale: Annotated[
        bool, typer.Option("--redo-stale", help="Run cells again that other code or libraries made.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never ask the network for models or data.")] = False,
) -> None:
    """Make the model: choose the best recipe on dev, train it again, read test once, keep its weights.

    Of files (--target, --source) or of a study with one target. Without a budget each method tries 4 configurations.
    """
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    from raystudy.terminal import console as plain_console
    from raystudy.terminal import say

    def tell(line: str) -> None:
        say(plain_console(), line)

    options = running.RunOptions(
        data_root=data_root,
        plm=plm,
        workers=workers,
        groups=groups,
        seeds=seeds,
        set=tuple(set_ or ()),
        address=address,
        retry_failed=retry_failed,
        redo_stale=redo_stale,
        budget=running.duration(budget) if budget is not None else None,
    )
    if study is not None:
        if target is not None or source:
            text = "are for files of your own, and a study names its tasks: give either"
            raise ConfigError(Problem(text, "--target, --source"))
        of_study = fit_of_study(study, methods or (), options, out)
        folder = of_study.folder

        def prepare(folder: Path, say: Say) -> Fit:
            return of_study
    elif target is None:
        raise ConfigError(Problem("must name a file (or a study must be named): fit --target my.csv", "--target"))
    else:
        tasks = own_tasks(target, source or ())
        folder = fit_folder(tasks, out)

        def prepare(folder: Path, say: Say) -> Fit:
            return study_of_files(tasks, folder, methods or (), options, say)

    def work(console: Console) -> int:
        return fit_study(prepare(folder, lambda line: say(console, line)), options, console)

    if not dry_run:
        raise typer.Exit(running.supervised(work, folder / "search" / "logs"))
    with tempfile.TemporaryDirectory(prefix="raystudy-fit-") as scratch:  # where there is no study yet, none is left
        begun = folder if is_file(folder / "study.yaml") else Path(scratch) / folder.resolve().name
        raise typer.Exit(_show_plan(prepare(begun, tell), options, plain_console()))


def _names(methods: Sequence[str]) -> list[str]:
    """The methods that are asked for; the path of a method of one's own is absolute."""
    names = [n.strip() for part in methods for n in re.split(r",(?![^\[]*\])", part) if n.strip()]
    return [_absolute(n) if names_a_file(n) else n for n in names]


def _absolute(entry: str) -> str:
    path, part = split_entry(entry)
    return str(absolute_path(path, where="--methods")) + (f"::{part}" if part else "")


def _first_variant(entry: str) -> str:
    """The variant that an entry of `methods` stands for, or the first of several.

    Raises:
        ConfigError: it names a file that is no method.
    """
    if not names_a_file(entry):
        return entry
    path, part = split_entry(entry)
    try:
        return part or own_variants(read_own("methods", Path(path)))[0]
    except ConfigError as e:
        raise ConfigError(p if p.file else Problem(p.message, "--methods") for p in e.problems) from None


def fit_of_study(name: str, methods: Sequence[str], options: running.RunOptions, out: Path | None) -> Fit:
    """The fit of a study; `methods` are those of it to choose from, none = all.

    Raises:
        ConfigError: every problem of the study, the options and the folder.
    """
    study, places, _ = running.open_study(name, replace(options, only=tuple(methods)))
    return fit_of_loaded(study, places, options, out)


def fit_of_loaded(study: Study, places: Places, options: running.RunOptions, out: Path | None) -> Fit:
    """The fit of a study that was read.

    Raises:
        ConfigError: the folder cannot be one of results.
    """
    folder = results_path(out if out is not None else Path(f"fit-{study.name}"), "--out" if out else "")
    return Fit(study, places, folder, study.search.trials or (TRIALS if options.budget is None else 0))


def fit_folder(tasks: Sequence[OwnTask], out: Path | None) -> Path:
    """Where the fit of files is written.

    Raises:
        ConfigError: something else is there.
    """
    folder = results_path(out if out is not None else Path(f"fit-{tasks[0].name}"), "--out" if out else "")
    begun = is_absent(folder) or is_file(folder / "study.yaml")
    if others := [] if begun else sorted(p.name for p in folder.iterdir() if p.name not in ("data", "search")):
        text = f"is a folder of something else ({', '.join(others[:4])}): a fit makes its own"
        raise ConfigError(Problem(text, "--out", str(folder)))
    return folder


def study_of_files(
    tasks: Sequence[OwnTask],
    folder: Path,
    methods: Sequence[str],
    options: running.RunOptions,
    say: Say = lambda line: None,
) -> Fit:
    """The study of these files in its folder; made where it is not there yet.

    Args:
        tasks: the first is the target.
        methods: to choose from; none = `METHODS`, without those that are not defined for these tasks.
        say: is told what was left out, and why.

    Raises:
        UserError: everything that is wrong with the files or the options.
    """
    from raystudy.data.plm import absolute_model_name

    if options.data_root is not None:
        raise ConfigError(
            Problem("is for a study; files of your own are named by --target and --source", "--data-root")
        )
    plm = absolute_model_name(options.plm or "minilm", (None,), "--plm")
    path = folder / "study.yaml"
    name = _study_name(folder)
    lay_data(tasks, folder / "data")

    def text(names: Sequence[str]) -> str:
        baseline = "single_task" if "single_task" in names else _first_variant(names[0])
        return study_text(name, tasks, names, plm=plm, baseline=baseline, trials=TRIALS)

    def opened() -> tuple[Study, Places]:
        study, places, _ = running.open_study(str(path), replace(options, plm=None))
        return study, places

    asked = _names(methods) or list(METHODS)
    had = path.read_text(encoding="utf-8") if is_file(path) else None
    if had is None or methods:
        new = text(asked)
    else:  # the methods that were left out the first time are not in it
        new = text(list(_methods_in(had)))
    if had is not None and had != new:
        message = "is of another fit (other files, methods or model): choose another --out"
        raise ConfigError(Problem(message, "--out", str(path)))
    if had is None:
        atomic_write(path, new)
        try:
            study, places = opened()
            if not methods:
                left = _defined(study, places, say)
                atomic_write(path, text(left))
        except UserError:
            path.unlink(missing_ok=True)
            raise
    study, places = opened()
    trials = TRIALS if options.budget is None else 0
    return Fit(study, places, folder, trials)


def _study_name(folder: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._")
    return name[:99] or "fit"


def _methods_in(text: str) -> Sequence[str]:
    from raystudy.yamlfile import parse_yaml, plain

    methods = plain(parse_yaml(text, "study.yaml")).get("methods", ())
    return [m for m in methods if isinstance(m, str)]


def _defined(study: Study, places: Places, say: Say) -> list[str]:
    """The methods of the study that are defined for its tasks and its model.

    Raises:
        UserError: none is, or the data or the model cannot be read.
    """
    from raystudy.study.plan import Plan

    Plan(study, places).preflight()
    left: list[str] = []
    errors: list[UserError] = []
    for variant, own in study.variants.items():
        report = study.report.model_copy(update={"baseline": variant})
        alone = study.model_copy(update={"methods": ({variant: own},), "report": report})
        try:
            Plan(alone, places).sizes  # noqa: B018  refuses what it is not defined for
        except (ConfigError, DataError) as e:
            errors.append(e)
            say(f"left out: {variant}, {e.problems[0].message}")
        else:
            left.append(variant)
    if not left:
        raise errors[0]
    return left


def _recipe_run(one: Fit, options: running.RunOptions) -> RecipeRun:
    from raystudy.study.folder.records import Results
    from raystudy.study.keep.recipe import MOST_TRIALS, RecipePlan, RecipeRun

    plan = RecipePlan(one.study, one.places)
    plan.check()
    plan.sizes  # noqa: B018  every impossible setting is refused here, before anything is written
    return RecipeRun(
        plan,
        Results(one.folder / "search"),
        retry_failed=options.retry_failed,
        redo_stale=options.redo_stale,
        budget=options.budget,
        most_trials=one.trials or MOST_TRIALS,
    )


def _say_plan(run: RecipeRun, options: running.RunOptions, say: Say) -> None:
    machine = running.machine_lines(run.plan) if options.address is None else []
    for line in running.describe(run.plan, run, machine):
        say(line)
    seeds = counted(run.plan.study.report.seeds, "fresh seed")
    say(f"the best recipe on dev is trained again with {seeds}; test is read then, of it alone")
    if run.budget is not None:
        most = counted(run.most_trials, "trial")
        say(f"searches are doubled, up to {most}, while they fit into {run.budget:,.0f} worker-seconds")


def _show_plan(one: Fit, options: running.RunOptions, console: Console) -> int:
    from raystudy.terminal import say

    run = _recipe_run(one, options)
    run.open()
    _say_plan(run, options, lambda line: say(console, line))
    return running.EXIT_DONE


def fit_study(one: Fit, options: running.RunOptions, console: Console) -> int:
    """Choose the best recipe on dev, confirm it, and keep its weights; returns the exit code.

    Raises:
        UserError: whatever the user can mend; what was finished stays.
    """
    from raystudy.live_view import LiveView
    from raystudy.study.folder.manifest import lock_text, provenance, write_manifest
    from raystudy.study.keep.winner import best_records, keep_model
    from raystudy.terminal import say as say_on

    def say(line: str) -> None:
        say_on(console, line)

    run = _recipe_run(one, options)
    run.open()
    _say_plan(run, options, say)
    if _is_kept(one, run):
        say(f"the model is there already: {one.model}")
        return running.EXIT_DONE
    running.check_machine(one.study, one.places, options, trains=not run.complete and not options.local)
    began = time.monotonic()
    with run.results.locked():
        run.open()  # another driver may have been at work until now
        facts = provenance(run.plan, " ".join(["python -m raystudy", *sys.argv[1:]]))
        atomic_write(run.results.folder / "study.lock.yaml", lock_text(one.study))
        view = LiveView(console, run.plan.preview["total_cells"], done=len(run.study_records()))
        _train(run, one, options, view, lambda: write_manifest(run, facts, chosen_on_dev=True))
        if not run.complete:
            used_up = run.search_budget_is_used_up()
            say("the budget is used up before every recipe was tried once" if used_up else "interrupted")
            say("the same command goes on from here")
            return running.EXIT_BUDGET if used_up else running.EXIT_INTERRUPTED
        confirmed = run.confirmed()
        best = next(iter(best_records(confirmed).values()), None)
        if best is None:
            return _without_model(run, say)
        say(f"{best.spec} is the best on dev; it is trained once more, for its weights")
        others = [r for r in confirmed if r.id != best.id]
        choice = run.plan.choice(run.searches)
        kept = keep_model(best, one.places, one.model, others=others, choice=choice, facts=facts)
    for line in _summary(run, best, kept.description.opens_with, kept.description.why, one):
        say(line)
    say(f"{time.monotonic() - began:.0f} s since the start")
    failed = any(r.status == "failed" for r in run.study_records().values())
    return running.EXIT_FAILED_CELLS if failed else running.EXIT_DONE


def _is_kept(one: Fit, run: RecipeRun) -> bool:
    """Whether the model of this very study is there.

    Raises:
        ConfigError: something else lies in its place.
    """
    from raystudy.study.keep.winner import kept_cell

    if is_absent(one.model):
        return False
    cell = kept_cell(one.model) if one.model.is_dir() else ""
    if run.complete and cell in {r.id for r in run.confirmed()}:
        return True
    what = (
        f"holds the model of cell {cell}, which is none of this study" if cell else "is there already, and is no model"
    )
    raise ConfigError(Problem(f"{what}: choose another --out, or move it away", "--out", str(one.model)))


def _train(
    run: RecipeRun, one: Fit, options: running.RunOptions, view: object, write_manifest: Callable[[], None]
) -> None:
    """Train everything that is missing; a budget that is used up ends the searches, not the run."""
    from raystudy.live_view import LiveView

    assert isinstance(view, LiveView)
    by_budget = False

    def on_record(record: Record) -> None:
        nonlocal by_budget
        view.record(record)
        if not run.plan.final and run.search_budget_is_used_up() and not run.stopping.is_set():
            by_budget = True
            run.drain()

    def on_drain() -> None:
        why = "the searches have had their budget" if by_budget else "interrupted"
        how = "" if by_budget else " Ctrl-C once more stops at once."
        view.say(f"{why}: the cells that run now are trained to their end, and no others are started.{how}")

    def on_round(trials: int) -> None:
        view.total = max(view.total, run.plan.preview["total_cells"])
        view.say(f"searching with {counted(trials, 'trial')} per method")

    run.on_record, run.on_drain, run.on_round = on_record, on_drain, on_round
    write_manifest()
    with view.live():
        try:
            while not run.complete:
                running.train_missing(run, view, options, one.places)
                if not (run.stopping.is_set() and by_budget):
                    break
                run.stopping.clear()
                by_budget = False
                run.settle()
                if not run.plan.final:  # not even one configuration of each could be tried
                    break
        finally:
            run.open()  # what an interrupted search has seen counts too
            write_manifest()


def _without_model(run: RecipeRun, say: Say) -> int:
    """Say why there is no model, and return the exit code."""
    failed = [r for r in run.study_records().values() if r.status == "failed"]
    reason = (failed[0].error.splitlines() or ["no reason given"])[-1] if failed else "no recipe has a dev score"
    say(f"no model: {counted(len(failed), 'cell')} failed, the first with: {reason}")
    return running.EXIT_FAILED_CELLS


def _summary(run: RecipeRun, best: Record, opens_with: str, why: str, one: Fit) -> list[str]:
    """The last lines of a fit: what was chosen, how good it is, where it lies and what opens it."""
    metric = best.facts["metric"]
    ranked = run.plan.ranking(run.searches)
    lines = ["", "best mean dev score of each method:"]
    lines += [f"    {r.arm.variant}  {100 * r.dev:.1f}  ({counted(r.tried, 'configuration')})" for r in ranked]
    if ranked and not run.plan.eligible(ranked[0].arm):
        lines.append(f"{ranked[0].arm.variant} reads no text and is the best on dev: nothing was learnt")
    dev, test = (100 * best.metrics[s][metric] for s in ("dev", "test"))
    lines.append(f"model: {one.model} ({best.spec.variant}; {metric} {test:.1f} on test, {dev:.1f} on dev)")
    lines.append(
        f"it opens with {opens_with}" + (f", because {why}" if why else " of transformers, and raystudy.load_model")
    )
    return lines
