"""Reads a task from a folder with the files `train`, `validation` (or `dev`, `valid`, `val`) and `test`.

Each data set has one folder under the data root; its files have any format of `_rows`. A row has the columns
`text`[, `text_pair`], `label`[, `domain`], or `tokens` and `tags`; other common names of these columns are read too
(`_columns`). ``folder/domain`` is the task of one domain. This module finds the files and reads each of them once;
what the rows mean is the work of `_build`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raystudy.errors import DataError, PreflightError, Problem
from raystudy.paths import kind_of, why_no_folder
from raystudy.tasks import SPLITS, Task
from raystudy.tasks._build import LabelledRows, SplitRows
from raystudy.tasks._card import Card, missing, refuse_part, with_test_note
from raystudy.tasks._options import DatasetOptions, options_of
from raystudy.tasks._rows import READERS, Format, ReadOptions, in_words, suffix_of

__all__ = ["load"]

FILES = {"train": ("train",), "dev": ("validation", "dev", "valid", "val"), "test": ("test",)}
TABLES_KEPT = 8  # data sets whose examples stay in memory: their domains are asked for one after another

_TABLES: dict[tuple[str, ...], LabelledRows] = {}


def load(
    name: str, root: Path | str | None, *, card: Card | None = None, options: Mapping[str, Any] | None = None
) -> Task:
    """The task in the folder `root`/`name`, or one domain of it when `name` is ``folder/domain``.

    Where there is no such folder, a data set of the Hugging Face hub is read instead, if the option ``hub`` or the card
    names one.

    Args:
        card: what a data-set module declares; without one, everything is taken from the files.
        options: as in `DatasetOptions`; they win over the card.

    Raises:
        PreflightError: there is no such folder; with where to get the data when a card says so.
        DataError: everything that is wrong in all files, with file and line (20 per file, then how many more).
        ConfigError: an unknown domain or option, or an option of the wrong type.
    """
    folder_name, _, domain = name.partition("/")
    if card is not None and not card.domains:
        refuse_part(folder_name, domain, ())
    options = options or {}
    asked = options_of(folder_name, options)
    if (folder := _folder(folder_name, root)) is not None:
        task = _labelled_rows(folder_name, folder, card, asked, options).task(domain)
        return task if card is None else with_test_note(task, card, whole=not domain)
    hub = asked.hub or (card.hub if card is not None else None)
    if hub is None:
        raise missing(folder_name, root, card)
    from raystudy.tasks import _hub

    try:
        return _hub.load(folder_name, hub, card=card, options=options, domain=domain)
    except PreflightError as e:
        raise missing(folder_name, root, card, e) from None


def _folder(name: str, root: Path | str | None) -> Path | None:
    """The folder of the data set, if there is one.

    Raises:
        DataError: this process has no right to look.
    """
    folder = None if root is None else Path(root) / name
    if folder is None or (what := kind_of(folder)) not in ("folder", "closed"):
        return None
    if what == "closed":
        raise DataError(why_no_folder(folder))
    return folder


def _labelled_rows(
    name: str, folder: Path, card: Card | None, asked: DatasetOptions, options: Mapping[str, Any]
) -> LabelledRows:
    """The examples of the folder's files. They are kept, and read again only when a file has changed."""
    formats = {**READERS, **(card.formats if card is not None else {})}
    files = _files(folder, asked, formats)
    stats = [(str(p.absolute()), p.stat()) for p in files.values()]
    state = repr([(path, s.st_mtime_ns, s.st_size, s.st_ino) for path, s in stats])
    key = (name, state, repr(card), json.dumps(options, sort_keys=True))
    if (rows := _TABLES.pop(key, None)) is None:
        splits = {split: _split_rows(path, asked, formats) for split, path in files.items()}
        rows = LabelledRows.read(name, splits, card=card, options=options)
    _TABLES[key] = rows
    while len(_TABLES) > TABLES_KEPT:
        del _TABLES[next(iter(_TABLES))]
    return rows


def _split_rows(path: Path, options: DatasetOptions, formats: Mapping[str, Format]) -> SplitRows:
    """The rows of one file; if it cannot be read, the reason is a problem of the split."""
    form = formats[suffix_of(path.name, formats)]
    if form.names == "none" and (column_names := [c for c in options.columns.values() if isinstance(c, str)]):
        rule = "has columns without names, so `columns` must give their numbers, counted from 1"
        return SplitRows(path, problems=[(None, f"{rule}, but gives {', '.join(map(in_words, column_names))}")])
    try:
        data = path.read_bytes()
    except OSError as e:
        return SplitRows(path, problems=[(None, f"cannot be read: {e.strerror or e}")])
    rows = SplitRows(path, typed=form.typed, counts=form.counts, header=form.names == "first line")

    def add_note(note: str) -> None:
        rows.notes.append(f"{path.name}: {note}")

    rows.rows = form.rows(data, ReadOptions(options.quotes, options.numbers, add_note))
    return rows


def _files(folder: Path, options: DatasetOptions, formats: Mapping[str, Format]) -> dict[str, Path]:
    """split -> its file; dev and test have none if they are taken from train.

    Raises:
        DataError: a split has no file, or two, or a file cannot be one.
    """
    try:
        present = sorted(folder.iterdir())
    except OSError as e:
        raise DataError(Problem(f"cannot be read: {e.strerror or e}", file=str(folder))) from None
    # a file name is taken with its suffix or without; one that the user gives to a split is no other split's
    stems = {s: (options.splits[s],) if s in options.splits else FILES[s] for s in SPLITS}
    chosen_names = set(options.splits.values())
    file_of: dict[str, Path] = {}
    problems: list[Problem] = []
    absent: list[Problem] = []
    for split in SPLITS:
        paths = [
            p
            for p in present
            if (s := suffix_of(p.name, formats))
            and ({p.name, stem := p.name.removesuffix(s)} & set(stems[split]))
            and (split in options.splits or not {p.name, stem} & chosen_names)
        ]
        if len(paths) > 1:
            names = ", ".join(p.name for p in paths)
            problems.append(Problem(f"must hold one file for the split {split}, but has {names}", file=str(folder)))
        elif not paths and options.from_train(split) is not None and split not in options.splits:
            continue
        elif not paths:
            names = " or ".join(f"{stem}.*" for stem in stems[split])
            cure = " (or carve it from train with `dev_from_train: 0.1`)" if split == "dev" else ""
            absent.append(Problem(f"must hold a file {names} for the split {split}{cure}", file=str(folder)))
        elif not paths[0].is_file():
            what = "a folder" if paths[0].is_dir() else "a broken link" if paths[0].is_symlink() else "no regular file"
            problems.append(Problem(f"must be a file, but is {what}", file=str(paths[0])))
        else:
            file_of[split] = paths[0]
    if absent:
        endings = ", ".join(s for s in formats if not s.endswith(".gz"))
        files_there = ", ".join(p.name for p in present[:20]) or "nothing"
        present_files = f"it holds {files_there}; the endings that are read are {endings}, all but Parquet with .gz too"
        absent.append(Problem(present_files, file=str(folder)))
    if problems or absent:
        raise DataError([*problems, *absent])
    return file_of
