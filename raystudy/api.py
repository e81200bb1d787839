"""What a program or a notebook calls: read a study, plan it, run it, look at its results; make and open a model.

    study = raystudy.load_study("mine.yaml")
    print(raystudy.plan(study))
    results = raystudy.run(study)
    model = raystudy.fit(target="my.csv", sources=["other.csv"], out="best")

The functions are those of the command line, and do the same. A mistake is a `UserError` whose text has every problem.
All of them stand in the package itself, and nothing heavy is loaded before one of them is called.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raystudy.errors import ConfigError, Problem
from raystudy.spec import Places, Record
from raystudy.studyfile import Study

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from raystudy.analysis.report import Opening
    from raystudy.analysis.table import Table
    from raystudy.model.load import LoadedModel
    from raystudy.run import RunOptions

__all__ = [
    "LoadedStudy",
    "StudyPlan",
    "StudyResults",
    "UnfinishedError",
    "fit",
    "load_model",
    "load_study",
    "plan",
    "results",
    "run",
]

AnyPath = str | PathLike[str]


class UnfinishedError(RuntimeError):
    """A run ended before it was complete; what was finished is kept, and the same call goes on from there.

    Attributes:
        exit_code: that of the command line: 1 every training of the best recipe failed, 4 the budget is used up, 130
            interrupted.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class LoadedStudy:
    """A study that was read and checked.

    Attributes:
        study: every key of the study file, with its defaults.
        places: where model, data and cache lie.
        folder: where its results lie or will lie.
    """

    study: Study
    places: Places
    folder: Path


@dataclass(frozen=True)
class StudyPlan:
    """What a study would read and train.

    Attributes:
        lines: the plan in words; `str` of the plan is these lines.
        cells: method and phase -> trainings.
        updates, passes: of all of them: optimizer updates, and forward and backward passes over one batch.
    """

    lines: tuple[str, ...]
    cells: Mapping[str, int]
    updates: int
    passes: float

    def __str__(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True)
class StudyResults:
    """The results of a study, read from its folder; a notebook shows its verdict and its main table.

    Reading the verdict, the table or the report builds the report anew from the records, which takes seconds.
    """

    folder: Path

    @cached_property
    def records(self) -> dict[str, Record]:
        """The records of the study as it is now, by the ids of their cells.

        Raises:
            ConfigError: no study was run here, or its records cannot be read.
        """
        from raystudy.study.folder.records import Results

        results = Results(self.folder)
        manifest = results.manifest()
        known = {*manifest["search"], *manifest["confirm"]}
        return {cell: record for cell, record in results.scan().items() if cell in known}

    @property
    def complete(self) -> bool:
        """Whether every training of the confirm phase has a record."""
        from raystudy.study.folder.records import Results

        confirm = Results(self.folder).manifest()["confirm"]
        return bool(confirm) and set(confirm) <= self.records.keys()

    @cached_property
    def scores(self) -> pd.DataFrame:
        """A row for each finished training of the confirm phase, split and metric; scores are fractions."""
        from raystudy.analysis.frame import tidy
        from raystudy.study.folder.records import Results

        return tidy(self.records.values(), Results(self.folder).manifest()["study"]["name"])

    @property
    def verdict(self) -> tuple[str, ...]:
        """What the report says first, in words."""
        return tuple(map(str, self._opening.verdict))

    @property
    def table(self) -> Table:
        """The main table, or the first one of the exhibit that the study is for."""
        return self._opening.tables[0]

    @property
    def report(self) -> Path:
        """The path of report.html."""
        return self._built[1].with_suffix(".html")

    @property
    def _opening(self) -> Opening:
        return self._built[0]

    @cached_property
    def _built(self) -> tuple[Opening, Path]:
        from raystudy.exhibits import page_renderer
        from raystudy.study.folder.records import Results
        from raystudy.study.folder.report_files import write_report

        openings: list[Opening] = []
        path = write_report(self.folder, page_renderer(Results(self.folder).manifest().get("exhibit")), openings.append)
        return openings[0], path

    def __str__(self) -> str:
        from raystudy.analysis.markdown import to_markdown

        return "\n\n".join(["\n".join(self.verdict), *map(to_markdown, self._opening.tables)])

    def _repr_html_(self) -> str:
        from raystudy.analysis.notebook import opening_html

        return opening_html(self._opening)


def load_study(
    study: AnyPath | Mapping[str, Any],
    *,
    data_root: AnyPath | None = None,
    plm: str | None = None,
    only: Sequence[str] = (),
    set: Sequence[str] = (),  # noqa: A002  as the option of the command line is called
    out: AnyPath | None = None,
) -> LoadedStudy:
    """Read and check a study.

    Args:
        study: a study file, the name of a study or exhibit that comes with raystudy, or the keys of a study file.
        data_root, plm: in the place of the study's.
        only: these methods of it, and its baseline.
        set: ``a.b=value``, in the place of what the study says.
        out: the results folder, by default ``results/<name>``.

    Raises:
        UserError: everything that is wrong, at once.
    """
    options = _options(data_root=_text(data_root), plm=plm, only=only, set=set, out=out)
    from raystudy import run as running

    if not isinstance(study, Mapping):
        return LoadedStudy(*running.open_study(fspath(study), options))
    from raystudy.studyfile import check_study
    from raystudy.yamlfile import parse_yaml, to_yaml

    tree: Any = parse_yaml(to_yaml(_plain(study)), "study")
    checked = check_study(tree, "study", options.overrides(), written=False, run_own=True)
    return LoadedStudy(*running.locate(checked, "study", None, options))


def plan(study: LoadedStudy | AnyPath | Mapping[str, Any]) -> StudyPlan:
    """What a study would read and train. Trains nothing and writes nothing.

    Raises:
        UserError: everything that is wrong with the study, the model or the data.
    """
    from raystudy import run as running
    from raystudy.study.plan import Plan

    loaded = _loaded(study)
    made = Plan(loaded.study, loaded.places)
    made.sizes  # noqa: B018  every impossible setting is refused at once
    lines = running.describe(made, machine=running.machine_lines(made))
    preview = made.preview
    return StudyPlan(tuple(lines), dict(preview["cells"]), preview["total_updates"], preview["total_passes"])


def run(
    study: LoadedStudy | AnyPath | Mapping[str, Any],
    *,
    local: bool = False,
    keep: bool = False,
    budget: str | None = None,
    groups: int | None = None,
    address: str | None = None,
    retry_failed: bool = False,
    redo_stale: bool = False,
    quiet: bool = True,
) -> StudyResults:
    """Run a study, or finish it: train the cells that have no record, and build the report.

    Args:
        local: train here, one cell after another, without Ray: for a small study, or to see an error where it happens.
        keep: keep the best model of every arm and target, below ``models/`` of the results.
        budget: stop after this much training, all workers added up: ``30m``, ``8h``.
        groups: trainings at a time, by default as many as fit.
        address: of a running Ray cluster.
        retry_failed, redo_stale: run failed cells again, or those that other code or libraries made.
        quiet: print nothing while it runs.

    Raises:
        UserError: whatever the user can mend; what was finished stays. UnfinishedError: the budget is used up, or it
            was interrupted.
    """
    from raystudy import run as running

    loaded = _loaded(study)
    options = _options(
        local=local,
        keep=keep,
        budget=None if budget is None else running.duration(budget),
        groups=groups,
        address=address,
        retry_failed=retry_failed,
        redo_stale=redo_stale,
    )
    code = running.run_study((loaded.study, loaded.places, loaded.folder), options, _console(quiet=quiet))
    if code in (running.EXIT_BUDGET, running.EXIT_INTERRUPTED):
        why = "the budget is used up" if code == running.EXIT_BUDGET else "it was interrupted"
        raise UnfinishedError(f"{why}; the same call goes on from here", code)
    return StudyResults(loaded.folder)


def results(study: LoadedStudy | AnyPath) -> StudyResults:
    """The results of a study that was run, complete or not.

    Args:
        study: the study, its name, its file or its results folder.

    Raises:
        ConfigError: no study was run there.
    """
    from raystudy.commands.folders import ran_folder

    if isinstance(study, LoadedStudy):
        return StudyResults(ran_folder("", study.folder))
    return StudyResults(ran_folder(fspath(study)))


def fit(
    study: LoadedStudy | AnyPath | Mapping[str, Any] | None = None,
    *,
    target: AnyPath | None = None,
    sources: Sequence[AnyPath] = (),
    methods: Sequence[str] = (),
    plm: str | None = None,
    budget: str | None = None,
    seeds: int | None = None,
    set: Sequence[str] = (),  # noqa: A002  as the option of the command line is called
    out: AnyPath | None = None,
    local: bool = False,
    groups: int | None = None,
    address: str | None = None,
    quiet: bool = True,
) -> LoadedModel:
    """The model in the end: the best recipe on dev, trained again; test is read once, of it alone.

    Run again with the same arguments, it goes on where it was, or opens the model that is there.

    Args:
        study: a study with one target; or
        target, sources: files or folders of one's own, each a task of its name.
        methods: to choose from; none = all of the study, or six usual ones.
        plm, seeds, set: in the place of what the study says.
        budget: worker-seconds for everything, ``2h``; searches go as far as it allows.
        out: the folder; the model lies in its part ``model``. By default ``fit-NAME``.
        local, groups, address, quiet: as for `run`.

    Raises:
        UserError: whatever the user can mend; what was finished stays. UnfinishedError: the budget is used up before
            every recipe was tried once, it was interrupted, or no training came to an end.
    """
    from raystudy import run as running
    from raystudy.commands import fit as fitting
    from raystudy.own_files import own_tasks

    options = _options(
        plm=plm,
        budget=None if budget is None else running.duration(budget),
        seeds=seeds,
        set=set,
        local=local,
        groups=groups,
        address=address,
    )
    place = None if out is None else Path(out)
    if (study is None) == (target is None):
        raise ConfigError(Problem("must be given, or files of one's own by target and sources; not both", "study"))
    if target is not None:
        tasks = own_tasks(fspath(target), [fspath(s) for s in sources])
        one = fitting.study_of_files(tasks, fitting.fit_folder(tasks, place), methods, options)
    elif isinstance(study, LoadedStudy):
        if options.overrides():
            raise ConfigError(Problem("must be given to load_study, for the study is read already", "plm, seeds, set"))
        only = running.only_methods(study.study, methods) if methods else study.study
        one = fitting.fit_of_loaded(only, study.places, options, place)
    else:
        assert study is not None
        loaded = load_study(study, plm=plm, only=methods, set=options.overrides())
        one = fitting.fit_of_loaded(loaded.study, loaded.places, options, place)
    code = fitting.fit_study(one, options, _console(quiet=quiet))
    if not (one.model / "raystudy.json").is_file():
        raise UnfinishedError(f"there is no model yet; the same call goes on from here ({one.folder})", code)
    return load_model(one.model)


def load_model(folder: AnyPath, *, device: str = "cpu") -> LoadedModel:
    """Open the folder of a kept model, whatever kind it is.

    Args:
        folder: the model's folder, or the one that holds it under the name ``model``.
        device: of torch: ``cpu``, ``cuda``.

    Raises:
        ConfigError: it is no folder of a model. PreflightError: it was written by another version, or its files are not
            those that were written, or there is no such device.
    """
    from raystudy.model.load import load_model as load

    return load(fspath(folder), device=device)


# ---------------------------------------------------------------------------------------------------------------------


def _loaded(study: LoadedStudy | AnyPath | Mapping[str, Any]) -> LoadedStudy:
    return study if isinstance(study, LoadedStudy) else load_study(study)


def _options(**values: Any) -> RunOptions:
    from raystudy.run import RunOptions

    lists = {k: tuple(v) for k, v in values.items() if k in ("only", "set")}
    out = {"out": Path(values["out"])} if values.get("out") is not None else {"out": None}
    return replace(RunOptions(), **{**values, **lists, **(out if "out" in values else {})})


def _text(path: AnyPath | None) -> str | None:
    return None if path is None else fspath(path)


def _plain(value: Any) -> Any:
    """A mapping of keys with lists in the place of tuples, as a YAML file would have them."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def _console(*, quiet: bool) -> Console:
    from raystudy.terminal import console

    return console(io.StringIO()) if quiet else console()
