"""A task from the Hugging Face hub: the files of one commit in the cache, read by `datasets`, as rows for `_build`.

Only files of data are fetched (Parquet, JSON, CSV; those of the asked configuration, where the repository lists them),
and they are read from the folder where they lie in the cache: so a study reads the same rows with a network, without
one, and after ``hf download``. Data sets that a script of their own would have to make are refused: none is ever run.
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
from raystudy.tasks._build import Source, Table
from raystudy.tasks._card import Card, Hub
from raystudy.tasks._columns import ROLES
from raystudy.tasks._options import options_of
from raystudy.tasks._rows import Row

__all__ = ["load"]

# our split -> its usual names on the hub
USUAL = {"train": ("train", "training"), "dev": ("validation", "dev", "valid", "val"), "test": ("test",)}
# what says how files are read; every repository has the last one, and the client warns where nothing is found
CARDS = ("README.md", "dataset_infos.json", ".huggingface.yaml", ".gitattributes")
DATA: tuple[str, ...] = ("*.parquet", "*.jsonl", "*.jsonl.gz", "*.json", "*.csv", "*.csv.gz", "*.tsv")
PARQUET_COPY = "refs/convert/parquet"  # the branch where the hub itself keeps a copy of many data sets
KEPT = 4  # data sets; their domains are asked for one after another, and share their examples

_TABLES: dict[tuple[str, ...], tuple[Table, str]] = {}


def load(name: str, hub: Hub | str, *, card: Card | None, options: Mapping[str, Any], domain: str = "") -> Task:
    """The data set `name` as the hub has it, or one domain of it. Its `notes` say which commit was read.

    Args:
        hub: the repository, and how the card would have it read.
        options: as in `Options`; ``config``, ``revision``, ``splits``, ``columns`` and ``dev_from_train`` win over
            `hub`, and another repository has none of the card's.

    Raises:
        PreflightError: it cannot be had, or is no data but code that would make them; with what to do.
        DataError: a split is missing or unlabelled (with the lines that mend it), or rows are wrong.
        ConfigError: an option is wrong; there is no such configuration, split, column or domain.
    """
    hub = _asked(name, hub, card, options)
    files, config = _files(hub, name)
    key = (name, str(files.folder), config, repr(hub), repr(card), json.dumps(options, sort_keys=True))
    if (kept := _TABLES.pop(key, None)) is None:
        sources, read = _sources(name, hub, _open(name, hub, files, config))
        own: dict[str, Any] = {"columns": dict(hub.columns), "dev_from_train": hub.dev_from_train}
        meant = {**options, **{k: v for k, v in own.items() if v}}
        about = f"read from the Hugging Face hub: {hub.id}@{files.commit}{f', {config}' if config else ''}; {read}"
        kept = Table.read(name, sources, card=card, options=meant), about
    _TABLES[key] = kept
    while len(_TABLES) > KEPT:
        del _TABLES[next(iter(_TABLES))]
    table, about = kept
    task = table.task(domain)
    source = card.source if card is not None and card.source else f"Hugging Face hub, {hub.id}"
    return replace(task, source=source, notes=(about, *task.notes))


def _asked(name: str, hub: Hub | str, card: Card | None, options: Mapping[str, Any]) -> Hub:
    """The card's description of the repository with the study's on top."""
    chosen = options_of(name, options)
    if chosen.numbers:
        raise ConfigError(Problem("must be names on the hub, not numbers", f"task_options.{name}.columns"))
    published = hub if isinstance(hub, Hub) else card.hub if card is not None else None
    repo_id = chosen.hub or (hub if isinstance(hub, str) else hub.id)
    base = published if published is not None and published.id == repo_id else Hub(repo_id)
    carved = None if "dev" in chosen.splits else base.dev_from_train
    return replace(
        base,
        config=chosen.config or base.config,
        revision=chosen.revision or base.revision,
        splits={**base.splits, **chosen.splits},
        columns={**base.columns, **{role: str(column) for role, column in chosen.columns.items()}},
        dev_from_train=chosen.dev_from_train or carved,
    )


# ---------------------------------------------------------------------------------------------------------------------
# from the hub to files


def _files(hub: Hub, name: str) -> tuple[Snapshot, str]:
    """The files of one configuration, and which one it is."""

    def refused(why: str) -> PreflightError:
        return PreflightError(Problem(f"{hub.id} {why}", f"task {name}"))

    script = f"{hub.id.rpartition('/')[2]}.py"
    cards = fetch(hub.id, "dataset", hub.revision, (*CARDS, script), f"task {name}")
    if (cards.folder / script).is_file():
        raise refused(f"is made by a script, {script}, which is never run{_copy(hub)}")
    listed = _configurations(cards.folder)
    config, wanted = hub.config, DATA
    if listed:
        config = _chosen(name, hub, listed)
        wanted = _patterns(listed[config])
    elif config:  # where nothing is listed, a folder is what comes nearest to a configuration
        wanted = tuple(f"{config}/{pattern}" for pattern in DATA)
    files = fetch(hub.id, "dataset", cards.commit, (*CARDS, *wanted), f"task {name}")
    names = [p.relative_to(files.folder).as_posix() for p in sorted(files.folder.rglob("*")) if p.is_file()]
    there = [n for n in names if any(fnmatchcase(n, pattern) for pattern in wanted) and n not in CARDS]
    if config and not listed and not is_folder(files.folder / config):
        raise refused(f"lists no configurations and has no folder {config}; leave `config` out of the task's options")
    if not there:
        raise refused(f"holds no Parquet, JSON or CSV files{_copy(hub)}")
    again = download_command(hub.id, "dataset", files.commit)
    if absent := absent_shards(there):
        raise refused(f"is only partly in the cache ({absent[0]} are missing), run: {again}")
    return files, config


def _copy(hub: Hub) -> str:
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
    found = [f"{base}/{p}" if base else p for p in [*paths(entry.get("data_files"))] or DATA]
    if any("{" in p or "://" in p for p in found):  # no shell pattern: better all files than too few
        return DATA
    return tuple(p + "*" if p.endswith("/") else p for p in found)


def _chosen(name: str, hub: Hub, listed: Mapping[str, Mapping[str, Any]]) -> str:
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


def _open(name: str, hub: Hub, files: Snapshot, config: str) -> Mapping[str, Any]:
    """split -> Dataset."""
    import datasets

    datasets.disable_progress_bars()

    def refused(what: str, force: str = "") -> PreflightError:
        again = f"if its files came broken, run: {download_command(hub.id, 'dataset', files.commit)}{force}"
        return PreflightError(Problem(f"{hub.id} {what}; {again}", f"task {name}"))

    listed = _configurations(files.folder)
    part: dict[str, Any] = {"data_dir": config} if config else {}
    sizes: dict[str, int] = {}
    try:
        if listed:
            # asked for by its name, a configuration is read only where the files of the first one lie as well
            told = datasets.info.DatasetInfosDict.from_directory(str(files.folder))
            info = told.get(config) or (told.get("default") if len(listed) == 1 else None)
            part = {k: v for k, v in listed[config].items() if k not in ("config_name", "default")}
            if info is not None:
                part["features"] = info.features
                sizes = {s: split.num_examples for s, split in (info.splits or {}).items()}
        found: Mapping[str, Any] = datasets.load_dataset(str(files.folder), **part)
    except Exception as e:  # what is raised over a README written by hand is anybody's guess
        why = e.__cause__ or e
        first = (str(why).strip().splitlines() or [""])[0]
        raise refused(f"cannot be read ({type(why).__name__}: {first})", " --force-download") from None
    for split, n in sizes.items():
        if split not in found or (n and len(found[split]) != n):
            has = f"{len(found[split]):,} rows" if split in found else "nothing"
            raise refused(f"should hold {n:,} rows in {split}, but holds {has}", " --force-download")
    return found


def _sources(name: str, hub: Hub, published: Mapping[str, Any]) -> tuple[dict[str, Source], str]:
    """(our split -> its rows, what was read as what)."""
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
    for ours in SPLITS:
        free = [s for s in USUAL[ours] if s in published and s not in splits.values()]
        if free and ours not in splits and not (ours == "dev" and hub.dev_from_train is not None):
            splits[ours] = free[0]
    rows = {theirs: _labelled(published[theirs], hub) for theirs in splits.values()}
    lacks = [f"no split for {s}" for s in SPLITS if s not in splits and (s != "dev" or hub.dev_from_train is None)]
    lacks += [
        f"no labels in {theirs}, which is read as {ours}" for ours, theirs in splits.items() if not rows[theirs][0]
    ]
    if lacks:
        raise DataError(
            Problem(f"{hub.id} has {' and '.join(lacks)}. {_mend(name, hub, published, splits)}", f"task {name}")
        )
    read = [f"{ours} = {splits[ours]}" for ours in SPLITS if ours in splits]
    left = [f"{n} rows of {s} without a label were left out" for s, (_, n) in rows.items() if n]
    sources = {ours: Source(f"{hub.id}: {theirs}", rows[theirs][0], counts="row") for ours, theirs in splits.items()}
    return sources, "; ".join([", ".join(read), *left])


def _classes(feature: Any) -> list[str] | None:
    """The names of a column of classes, or of lists of classes."""
    names = getattr(getattr(feature, "feature", feature), "names", None)
    return names if isinstance(names, list) else None


def _whole_numbers(dataset: Any) -> list[str]:
    return [c for c, f in dataset.features.items() if str(getattr(f, "dtype", "")).startswith("int")]


def _label(dataset: Any, hub: Hub) -> str | None:
    """The column of the labels: the one that is named, else one of a usual name, else one of classes."""
    if "label" in hub.columns or "tags" in hub.columns:
        return hub.columns.get("label") or hub.columns["tags"]
    there = dataset.column_names
    usual = [c for name in (*ROLES["label"], *ROLES["tags"]) for c in there if c.casefold() == name]
    return next(iter([*usual, *(c for c in there if _classes(dataset.features[c]) is not None)]), None)


def _labelled(dataset: Any, hub: Hub) -> tuple[list[tuple[int | None, Row | str]], int]:
    """(numbered rows, classes as words; how many rows were left out because their label is not known).

    A label that is not known is -1 in a column of classes and nothing elsewhere; a split of whole numbers that are all
    -1 has none at all.
    """
    label = _label(dataset, hub)
    if label is not None and set(dataset.unique(label) if label in _whole_numbers(dataset) else ()) == {-1}:
        return [], len(dataset)
    if {"text", "label"} <= hub.columns.keys():  # all that is needed is named; what else there is may be long
        wanted = {*hub.columns.values(), "domain"}
        dataset = dataset.select_columns([c for c in dataset.column_names if c in wanted])
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
    every = (
        dict(zip(columns, row, strict=True)) for b in batches for row in zip(*(b[c] for c in columns), strict=True)
    )
    for number, row in enumerate(every, 1):
        if label in row and row[label] is None:
            left_out += 1
        elif odd := [c for c, v in row.items() if isinstance(v, float) and not math.isfinite(v)]:
            rows.append((number, f"{odd[0]} must be finite, but is {row[odd[0]]}"))
        else:
            rows.append((number, {c: v for c, v in row.items() if v is not None}))
    return rows, left_out


# ---------------------------------------------------------------------------------------------------------------------
# where splits or labels are missing


def _mend(name: str, hub: Hub, published: Mapping[str, Any], splits: Mapping[str, str]) -> str:
    """What there is, and the lines that make the best of it."""
    has, labelled = [], []
    for split, dataset in published.items():
        rows, hidden = _labelled(dataset, hub)
        labelled += [split] if rows else []
        label = _label(dataset, hub)
        counts = Counter(str(row[label]) for _, row in rows if isinstance(row, dict) and label in row)
        said = [f"{k} {n:,}" for k, n in sorted(counts.items())] if len(counts) <= 20 else []
        said += [f"{hidden:,} without a label"] if hidden else []
        has.append(f"{split} {len(dataset):,}" + (f" ({', '.join(said)})" if said else ""))
    lines = _lines(splits, labelled, published)
    cure = f"Add to the study  task_options: {{{name}: {{{lines}}}}}" if lines else "It cannot serve as it is"
    return f"It has: {'; '.join(has)}. {cure}"


def _lines(splits: Mapping[str, str], labelled: Sequence[str], published: Mapping[str, Any]) -> str:
    """Options that make three splits of the labelled ones; empty where there are too few."""
    use = {ours: theirs for ours, theirs in splits.items() if theirs in labelled}
    spare = [s for s in labelled if s not in use.values()]
    if "train" not in use and spare:
        use["train"] = spare.pop(0)
    if "test" not in use and (spare or "dev" in use):
        use["test"] = spare.pop(0) if spare else use.pop("dev")
    if not {"train", "test"} <= use.keys():
        return ""
    said = ", ".join(f"{s}: {use[s]}" for s in SPLITS if s in use)
    carve = max(1, min(len(published[use["train"]]) // 10, 10_000))  # train can spare some, a test cannot
    return f"splits: {{{said}}}" + ("" if "dev" in use else f", dev_from_train: {carve}")
