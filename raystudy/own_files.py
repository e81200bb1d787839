"""A study of files: each file is a task of its name, laid into the folder of the study as a data root has it.

    fit/
      study.yaml                  the study, as one may have written it
      data/NAME/train.csv         the file as it was when the study was made

A file without a test is one split: test and dev are taken from it, always the same rows (`test_from_train`,
`dev_from_train`), and the plan says how many. A folder with a file per split is taken as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raystudy.errors import ConfigError, Problem, did_you_mean, quoted
from raystudy.files import atomic_write
from raystudy.paths import expanded_path, is_file, kind_of
from raystudy.tasks import is_built_in
from raystudy.tasks._rows import READERS, ReadOptions, UnreadableError, suffix_of
from raystudy.yamlfile import to_yaml

__all__ = ["OwnTask", "lay_data", "own_tasks", "study_text"]

_SPLITS = {"train": ("train",), "dev": ("validation", "dev", "valid", "val"), "test": ("test",)}
_TARGET = {"test_from_train": 0.2, "dev_from_train": 0.2}
_SOURCE = {"test_from_train": 0.05, "dev_from_train": 0.05}  # nobody looks at them, but a task has three splits
# columns that would say which split a row belongs to
_SPLIT_COLUMNS = ("split", "set", "fold", "partition", "subset")
_SPLIT_NAMES = {"train", "training", "dev", "valid", "val", "validation", "test", "testing", "eval"}
_LOOKED_AT = 2000  # rows


@dataclass(frozen=True)
class OwnTask:
    """A task of a user's own file or folder.

    Attributes:
        files: split -> the file that holds it; a split that has none is taken from train.
    """

    name: str
    files: Mapping[str, Path]

    def options(self, *, target: bool) -> dict[str, Any]:
        """What the study file says of it: what is taken from train, and that it is one task whatever its columns."""
        carved = _TARGET if target else _SOURCE
        wanted = {k: v for k, v in carved.items() if k.removesuffix("_from_train") not in self.files}
        return {**wanted, "domains": "together"}


def own_tasks(target: str, sources: Sequence[str]) -> list[OwnTask]:
    """The tasks of these files or folders, the target first, each called as its file is.

    Raises:
        ConfigError: everything that is wrong with the paths, and names that no task of one's own can have.
    """
    problems: list[Problem] = []
    tasks: dict[str, OwnTask] = {}
    for option, path in (("--target", target), *(("--source", s) for s in sources)):
        try:
            task = _task(path, option)
        except ConfigError as e:
            problems += e.problems
            continue
        if task.name in tasks:
            text = f"is called {task.name} like another of these files, and each is a task of its name: rename one"
            problems.append(Problem(text, option, path))
        elif is_built_in(task.name):
            text = f"would be called {task.name}, which is a data set that comes with raystudy: give it another name"
            problems.append(Problem(text, option, path))
        tasks.setdefault(task.name, task)
    if problems:
        raise ConfigError(problems)
    return list(tasks.values())


def _task(path: str, option: str) -> OwnTask:
    place = expanded_path(path, option)
    kind = kind_of(place)
    if kind == "nothing":
        near = did_you_mean(place.name, [p.name for p in _beside(place)])
        raise ConfigError(Problem(f"no such file or folder{near}", option, path))
    if kind == "folder":
        files = _files(place, option)
        stem = place.resolve().name
    elif kind == "file":
        suffix = suffix_of(place.name)
        if not suffix:
            endings = ", ".join(s for s in READERS if not s.endswith(".gz"))
            raise ConfigError(Problem(f"must end in one of {endings} (all but Parquet with .gz too)", option, path))
        _refuse_split_column(place, suffix, option)
        files, stem = {"train": place}, place.name.removesuffix(suffix)
    else:
        raise ConfigError(Problem("cannot be read", option, path))
    name = re.sub(r"[^\w.+-]+", "_", stem).strip("_.")
    if not re.search(r"\w", name) or len(name) > 80:
        raise ConfigError(
            Problem(f"must have a name of letters and digits, to name a task, but is {quoted(stem)}", option)
        )
    return OwnTask(name, files)


def _beside(path: Path) -> Iterable[Path]:
    try:
        return sorted(path.parent.iterdir())
    except OSError:
        return ()


def _files(folder: Path, option: str) -> dict[str, Path]:
    """split -> its file in a folder.

    Raises:
        ConfigError: there is none for train, or two for a split.
    """
    files: dict[str, Path] = {}
    for split, stems in _SPLITS.items():
        fitting = [p for p in _beside(folder / "x") if (s := suffix_of(p.name)) and p.name.removesuffix(s) in stems]
        if len(fitting) > 1:
            names = ", ".join(p.name for p in fitting)
            raise ConfigError(
                Problem(f"must hold one file for the split {split}, but has {names}", option, str(folder))
            )
        if fitting:
            files[split] = fitting[0]
    if "train" not in files:
        present = ", ".join(p.name for p in _beside(folder / "x")) or "nothing"
        raise ConfigError(Problem(f"must hold a file train.*, but holds {present[:200]}", option, str(folder)))
    return files


def _refuse_split_column(path: Path, suffix: str, option: str) -> None:
    """Refuse a file that says itself which rows are train and test, for a split of ours would mix them.

    Raises:
        ConfigError: it has such a column.
    """
    reader = READERS[suffix]
    if reader.names == "none":
        return
    values: dict[str, set[str]] = {}
    try:
        for n, (_, row) in enumerate(reader.rows(path.read_bytes(), ReadOptions())):
            if n >= _LOOKED_AT:
                break
            for key, value in row.items() if isinstance(row, dict) else ():
                if key.strip().casefold() in _SPLIT_COLUMNS:
                    values.setdefault(key, set()).add(str(value).strip().casefold())
    except (OSError, UnreadableError):
        return  # whoever reads it says what is wrong
    for key, found in values.items():
        if len(found) > 1 and found <= _SPLIT_NAMES:
            text = (
                f"says in its column {key!r} which rows are {', '.join(sorted(found))}: write a file for each of them "
                "(train.csv, validation.csv, test.csv) into one folder and name the folder"
            )
            raise ConfigError(Problem(text, option, str(path)))


def lay_data(tasks: Sequence[OwnTask], folder: Path) -> None:
    """Copy the files of tasks into the data root `folder`; files that are there and equal stay.

    Raises:
        ConfigError: a file has changed since it was copied, so that the trainings that are there are of other data.
        PreflightError: it cannot be written.
    """
    problems: list[Problem] = []
    for task in tasks:
        for split, path in task.files.items():
            copy = folder / task.name / f"{_SPLITS[split][0]}{suffix_of(path.name)}"
            try:
                data = path.read_bytes()
            except OSError as e:
                problems.append(Problem(f"cannot be read: {e.strerror or e}", file=str(path)))
                continue
            if is_file(copy):
                if copy.read_bytes() != data:
                    text = f"has changed since {copy} was made of it: choose another --out, or remove that folder"
                    problems.append(Problem(text, file=str(path)))
                continue
            if not problems:
                atomic_write(copy, data)
    if problems:
        raise ConfigError(problems)


def study_text(
    name: str, tasks: Sequence[OwnTask], methods: Sequence[str], *, plm: str, baseline: str, trials: int
) -> str:
    """The study file of these tasks, the first of which is the target."""
    target, *sources = tasks
    helped = f", helped by {', '.join(t.name for t in sources)}" if sources else ""
    study = {
        "name": name,
        "about": f"the best recipe for {target.name}{helped}",
        "plm": plm,
        "data_root": "data",
        "tasks": [t.name for t in tasks],
        "targets": [target.name],
        "task_options": {t.name: t.options(target=t is target) for t in tasks},
        "methods": list(methods),
        # three epochs of few examples would be a handful of updates
        "settings": {"min_updates": 60},
        "search": {"trials": trials, "seeds": 2},
        "report": {"seeds": 1, "baseline": baseline},
    }
    return to_yaml(study)
