"""Reads a task from a data set on the Hugging Face hub.

The files of one commit are fetched into the hub client's cache, read there by the library `datasets`, and handed to
`_build` as rows. Only files of data are fetched: Parquet, JSON and CSV, and of those the ones of the configuration that
the study asks for, where the repository lists them. Since they are read from the cache, a study reads the same rows
with a network, without one, and after ``hf download``. A data set that only a script of its own could make is refused,
because no such script is ever run.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from raystudy.errors import ConfigError, DataError, PreflightError, Problem, unknown_name
from raystudy.huggingface import Snapshot, absent_shards, download_command, fetch
from raystudy.paths import is_folder
from raystudy.tasks import SPLITS, Task
from raystudy.tasks._build import LabelledRows, SplitRows
from raystudy.tasks._card import Card, HubDataset, with_test_note
from raystudy.tasks._columns import ROLES
from raystudy.tasks._options import options_of
from raystudy.tasks._rows import Row

__all__ = ["load"]

# our split -> its usual names on the hub
USUAL = {"train": ("train", "training"), "dev": ("validation", "dev", "valid", "val"), "test": ("test",)}
# what says how files are read; every repository has the last one, and the client warns where nothing is found
METADATA_FILES = ("README.md", "dataset_infos.json", ".huggingface.yaml", ".gitattributes")
DATA: tuple[str, ...] = ("*.parquet", "*.jsonl", "*.jsonl.gz", "*.json", "*.csv", "*.csv.gz", "*.tsv")
PARQUET_COPY = "refs/convert/parquet"  # the branch where the hub itself keeps a copy of many data sets
TABLES_KEPT = 4  # data sets whose examples stay in memory: their domains are asked for one after another

_TABLES: dict[tuple[str, ...], tuple[LabelledRows, str]] = {}


def load(name: str, hub: HubDataset | str, *, card: Card | None, options: Mapping[str, Any], domain: str = "") -> Task:
    """The data set `name` as the hub has it, or one domain of it. Its `notes` say which commit was read.

    Args:
        hub: the repository, and how the card would have it read.
        options: as in `DatasetOptions`; ``config``, ``revision``, ``splits``, ``columns`` and ``dev_from_train`` win
            over `hub`, and another repository has none of the card's.

    Raises:
        PreflightError: it cannot be had, or is no data but code that would make them; with what to do.
        DataError: a split is missing or unlabelled (with the lines that mend it), or rows are wrong.
        ConfigError: an option is wrong; there is no such configuration, split, column or domain.
    """
    hub = _repository(name, hub, card, options)
    files, config = _files(hub, name)
    key = (name, str(files.folder), config, repr(hub), repr(card), json.dumps(options, sort_keys=True))
    if (entry := _TABLES.pop(key, None)) is None:
        sources, reading = _split_rows(name, hub, _read_splits(name, hub, files, config))
        of_card: dict[str, Any] = {"columns": dict(hub.columns), "dev_from_train": hub.dev_from_train}
        merged_options = {**options, **{k: v for k, v in of_card.items() if v}}
        about = f"read from the Hugging Face hub: {hub.id}@{files.commit}{f', {config}' if config else ''}; {reading}"
        entry = LabelledRows.read(name, sources, card=card, options=merged_options), about
    _TABLES[key] = entry
    while len(_TABLES) > TABLES_KEPT:
        del _TABLES[next(iter(_TABLES))]
    table, about = entry
    task = table.task(domain)
    source = card.source if card is not None and card.source else f"Hugging Face hub, {hub.id}"
    task = replace(task, source=source, notes=(about, *task.notes))
    if card is None or card.hub is None or card.hub.id != hub.id:
        return task
    return with_test_note(task, card, hub, whole=not domain)


def _repository(name: str, hub: HubDataset | str, card: Card | None, options: Mapping[str, Any]) -> HubDataset:
    """Which repository to read and how: the study's options, then what the card says."""
    options_given = options_of(name, options)
    if options_given.numbers:
        raise ConfigError(Problem("must be names on the hub, not numbers", f"task_options.{name}.columns"))
    described = hub if isinstance(hub, HubDataset) else card.hub if card is not None else None
    repo_id = options_given.hub or (hub if isinstance(hub, str) else hub.id)
    base = described if described is not None and described.id == repo_id else HubDataset(repo_id)
    dev_from_train = None if "dev" in options_given.splits else base.dev_from_train
    return replace(
        base,
        config=options_given.config or base.config,
        revision=options_given.revision or base.revision,
        splits={**base.splits, **options_given.splits},
        columns={**base.columns, **{role: str(column) for role, column in options_given.columns.items()}},
        dev_from_train=options_given.dev_from_train or dev_from_train,
        test_from_train=options_given.test_from_train,
    )


# ---------------------------------------------------------------------------------------------------------------------
# from the hub to files


def _files(hub: HubDataset, name: str) -> tuple[Snapshot, str]:
    """(the files of one configuration, its name)."""

    def refused(why: str) -> PreflightError:
        return PreflightError(Problem(f"{hub.id} {why}", f"task {name}"))

    script = f"{hub.id.rpartition('/')[2]}.py"
    metadata = fetch(hub.id, "dataset", hub.revision, (*METADATA_FILES, script), f"task {name}")
    if (metadata.folder / script).is_file():
        raise refused(f"is made by a script, {script}, which is never run{_copy(hub)}")
    listed = _configurations(metadata.folder)
    config, patterns = hub.config, DATA
    if listed:
        config = _configuration(name, hub, listed)
        patterns = _patterns(listed[config])
    elif config:  # where nothing is listed, a folder is what comes nearest to a configuration
        patterns = tuple(f"{config}/{pattern}" for pattern in DATA)
    files = fetch(hub.id, "dataset", metadata.commit, (*METADATA_FILES, *patterns), f"task {name}")
    names = [p.relative_to(files.folder).as_posix() for p in sorted(files.folder.rglob("*")) if p.is_file()]
    data_files = [n for n in names if any(fnmatchcase(n, pattern) for pattern in patterns) and n not in METADATA_FILES]
    if config and not listed and not is_folder(files.folder / config):
        raise refused(f"lists no configurations and has no folder {config}; leave `config` out of the task's options")
    if not data_files:
        raise refused(f"holds no Parquet, JSON or CSV files{_copy(hub)}")
    download = download_command(hub.id, "dataset", files.commit)
    if missing_parts := absent_shards(data_files):
        raise refused(f"is only partly in the cache ({missing_parts[0]} are missing), run: {download}")
    return files, config


def _copy(hub: HubDataset) -> str:
    if hub.revision == PARQUET_COPY:
        return ""
    return (
        "; where the hub keeps a Parquet copy of it, that one is read with the options "
        f"revision: {PARQUET_COPY}, config: CONFIGURATION"
    )


def _configurations(folder: Path) -> dict[str, dict[str, Any]]:
    """configuration -> its entry in the head of README.md; empty where none are listed there."""
    from huggingface_hub import metadata_load

    if not (folder / "README.md").is_file() or (folder / ".huggingface.yaml").is_file():
        return {}  # the other file says the same, and is rare
    try:
        listed = (metadata_load(folder / "README.md") or {}).get("configs") or []
        return {str(entry["config_name"]): dict(entry) for entry in listed}
    except Exception:  # whatever a README written by hand may hold; what is wrong with it `datasets` will say
        return {}


def _patterns(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The files of one configuration as shell patterns, in which ``*`` stands for folders too."""

    def paths(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value.replace("**/", "*")
        elif isinstance(value, Mapping):
            yield from paths(value.get("path", [*value.values()]))
        elif isinstance(value, list):
            for item in value:
                yield from paths(item)

    base = str(entry.get("data_dir") or "").strip("/")
    patterns = [f"{base}/{p}" if base else p for p in [*paths(entry.get("data_files"))] or DATA]
    if any("{" in p or "://" in p for p in patterns):  # no shell pattern: better all files than too few
        return DATA
    return tuple(p + "*" if p.endswith("/") else p for p in patterns)


def _configuration(name: str, hub: HubDataset, listed: Mapping[str, Mapping[str, Any]]) -> str:
    at = f"task_options.{name}.config"
    if hub.config:
        if hub.config not in listed:
            raise ConfigError(Problem(unknown_name(f"configuration of {hub.id}", hub.config, [*listed]), at))
        return hub.config
    default = [c for c, entry in listed.items() if entry.get("default") is True or c == "default"] or [*listed]
    if len(default) > 1:
        raise ConfigError(Problem(f"{hub.id} has several configurations, name one: {', '.join(listed)}", at))
    return default[0]


# ---------------------------------------------------------------------------------------------------------------------
# from files to rows


def _read_splits(name: str, hub: HubDataset, files: Snapshot, config: str) -> Mapping[str, Any]:
    """split -> its `datasets.Dataset`, read from the files in the cache."""
    import datasets

    datasets.disable_progress_bars()

    def refused(what: str, force: str = "") -> PreflightError:
        download = f"if its files came broken, run: {download_command(hub.id, 'dataset', files.commit)}{force}"
        return PreflightError(Problem(f"{hub.id} {what}; {download}", f"task {name}"))

    listed = _configurations(files.folder)
    part: dict[str, Any] = {"data_dir": config} if config else {}
    sizes: dict[str, int] = {}
    try:
        if listed:
            # asked for by its name, a configuration is read only where the files of the first one lie as well
            infos = datasets.info.DatasetInfosDict.from_directory(str(files.folder))
            info = infos.get(config) or (infos.get("default") if len(listed) == 1 else None)
            part = {k: v for k, v in listed[config].items() if k not in ("config_name", "default")}
            if info is not None:
                part["features"] = info.features
                sizes = {s: split.num_examples for s, split in (info.splits or {}).items()}
        splits: Mapping[str, Any] = datasets.load_dataset(str(files.folder), **part)
    except Exception as e:  # what is raised over a README written by hand is anybody's guess
        why = e.__cause__ or e
        first_line = (str(why).strip().splitlines() or [""])[0]
        raise refused(f"cannot be read ({type(why).__name__}: {first_line})", " --force-download") from None
    for split, n in sizes.items():
        if split not in splits or (n and len(splits[split]) != n):
            has = f"{len(splits[split]):,} rows" if split in splits else "nothing"
            raise refused(f"should hold {n:,} rows in {split}, but holds {has}", " --force-download")
    return splits


def _split_rows(name: str, hub: HubDataset, published: Mapping[str, Any]) -> tuple[dict[str, SplitRows], str]:
    """(our split -> its rows, a sentence on which split was read as which)."""
    at = f"task_options.{name}"
    columns = sorted({c for dataset in published.values() for c in dataset.column_names})
    wrong = [
        Problem(unknown_name(f"{what} of {hub.id}", theirs, known), f"{at}.{what}s.{ours}")
        for what, named, known in (("split", hub.splits, [*published]), ("column", hub.columns, columns))
        for ours, theirs in named.items()
        if theirs not in known
    ]
    if wrong:
        raise ConfigError(wrong)
    splits = dict(hub.splits)
    carved = [s for s, amount in (("dev", hub.dev_from_train), ("test", hub.test_from_train)) if amount is not None]
    for ours in SPLITS:
        free = [s for s in USUAL[ours] if s in published and s not in splits.values()]
        if free and ours not in splits and ours not in carved:
            splits[ours] = free[0]
    rows = {theirs: _labelled_rows(published[theirs], hub) for theirs in splits.values()}
    lacks = [f"no split for {s}" for s in SPLITS if s not in splits and s not in carved]
    lacks += [
        f"no labels in {theirs}, which is read as {ours}" for ours, theirs in splits.items() if not rows[theirs][0]
    ]
    if lacks:
        raise DataError(
            Problem(f"{hub.id} has {' and '.join(lacks)}. {_cure(name, hub, published, splits)}", f"task {name}")
        )
    readings = [f"{ours} = {splits[ours]}" for ours in SPLITS if ours in splits]
    left_out = [f"{n} rows of {s} without a label were left out" for s, (_, n) in rows.items() if n]
    sources = {ours: SplitRows(f"{hub.id}: {theirs}", rows[theirs][0], counts="row") for ours, theirs in splits.items()}
    return sources, "; ".join([", ".join(readings), *left_out])


def _classes(feature: Any) -> list[str] | None:
    """The names of a column of classes, or of lists of classes."""
    names = getattr(getattr(feature, "feature", feature), "names", None)
    return names if isinstance(names, list) else None


def _whole_numbers(dataset: Any) -> list[str]:
    return [c for c, f in dataset.features.items() if str(getattr(f, "dtype", "")).startswith("int")]


def _label(dataset: Any, hub: HubDataset) -> str | None:
    """The column of the labels: the one that is named, else one of a usual name, else one of classes."""
    if "label" in hub.columns or "tags" in hub.columns:
        return hub.columns.get("label") or hub.columns["tags"]
    there = dataset.column_names
    usual = [c for name in (*ROLES["label"], *ROLES["tags"]) for c in there if c.casefold() == name]
    return next(iter([*usual, *(c for c in there if _classes(dataset.features[c]) is not None)]), None)


def _labelled_rows(dataset: Any, hub: HubDataset) -> tuple[list[tuple[int | None, Row | str]], int]:
    """(numbered rows with classes as words, how many rows were left out because their label is not known).

    A label that is not known is -1 in a column of classes and nothing elsewhere; a split of whole numbers that are all
    -1 has none at all.
    """
    label = _label(dataset, hub)
    if label is not None and set(dataset.unique(label) if label in _whole_numbers(dataset) else ()) == {-1}:
        return [], len(dataset)
    if {"text", "label"} <= hub.columns.keys():  # all that is needed is named; what else there is may be long
        columns_to_read = {*hub.columns.values(), "domain"}
        dataset = dataset.select_columns([c for c in dataset.column_names if c in columns_to_read])
    classes = {c: names for c, f in dataset.features.items() if (names := _classes(f)) is not None}

    def words(column: str, value: Any) -> Any:
        if isinstance(value, list):
            return [words(column, v) for v in value]
        if column in classes and isinstance(value, int):
            value = classes[column][value] if value >= 0 else None
        return hub.labels.get(str(value), value) if column in classes or column == label else value

    rows: list[tuple[int | None, Row | str]] = []
    left_out = 0
    batches = ({c: [words(c, v) for v in values] for c, values in batch.items()} for batch in dataset.iter(1000))
    columns = dataset.column_names  # rows one by one are ten times slower
    all_rows = (
        dict(zip(columns, row, strict=True)) for b in batches for row in zip(*(b[c] for c in columns), strict=True)
    )
    for number, row in enumerate(all_rows, 1):
        if label in row and row[label] is None:
            left_out += 1
        elif not_finite := [c for c, v in row.items() if isinstance(v, float) and not math.isfinite(v)]:
            rows.append((number, f"{not_finite[0]} must be finite, but is {row[not_finite[0]]}"))
        else:
            rows.append((number, {c: v for c, v in row.items() if v is not None}))
    return rows, left_out


# ---------------------------------------------------------------------------------------------------------------------
# where splits or labels are missing


def _cure(name: str, hub: HubDataset, published: Mapping[str, Any], splits: Mapping[str, str]) -> str:
    """Which splits and labels the data set has, and the lines for the study file that make the best of them."""
    descriptions, labelled = [], []
    for split, dataset in published.items():
        rows, hidden = _labelled_rows(dataset, hub)
        labelled += [split] if rows else []
        label = _label(dataset, hub)
        counts = Counter(str(row[label]) for _, row in rows if isinstance(row, dict) and label in row)
        parts = [f"{k} {n:,}" for k, n in sorted(counts.items())] if len(counts) <= 20 else []
        parts += [f"{hidden:,} without a label"] if hidden else []
        descriptions.append(f"{split} {len(dataset):,}" + (f" ({', '.join(parts)})" if parts else ""))
    lines = _lines(splits, labelled, published)
    cure = f"Add to the study  task_options: {{{name}: {{{lines}}}}}" if lines else "It cannot serve as it is"
    return f"It has: {'; '.join(descriptions)}. {cure}"


def _lines(splits: Mapping[str, str], labelled: Sequence[str], published: Mapping[str, Any]) -> str:
    """The options that make three splits of the labelled ones; empty where there are too few."""
    use = {ours: theirs for ours, theirs in splits.items() if theirs in labelled}
    spare = [s for s in labelled if s not in use.values()]
    if "train" not in use and spare:
        use["train"] = spare.pop(0)
    if "test" not in use and (spare or "dev" in use):
        use["test"] = spare.pop(0) if spare else use.pop("dev")
    if not {"train", "test"} <= use.keys():
        return ""
    pairs = ", ".join(f"{s}: {use[s]}" for s in SPLITS if s in use)
    carve = max(1, min(len(published[use["train"]]) // 10, 10_000))  # train can spare some, a test cannot
    return f"splits: {{{pairs}}}" + ("" if "dev" in use else f", dev_from_train: {carve}")
