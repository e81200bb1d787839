"""`Card`, by which a module of this package describes a data set, and the refusals that all of them share.

This module imports no reader of files, so that `raystudy tasks` lists all data sets at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from raystudy.errors import ConfigError, PreflightError, Problem, unknown_name
from raystudy.tasks import SPLITS, Form, Task

if TYPE_CHECKING:
    from raystudy.tasks._rows import Format

__all__ = ["Card", "HubDataset", "missing", "refuse_options", "refuse_part", "with_test_note"]

LAYOUT = (
    "Lay the folder as train.jsonl, validation.jsonl and test.jsonl (or .csv, .tsv, .parquet, CoNLL columns) with the "
    "columns {keys}"
)
KEYS = {
    "single": "`text`, `label`",
    "pair": "`text`, `text_pair`, `label`",
    "tagging": "`tokens`, `tags`",
    "vector": "`vector`, `label`",
}


@dataclass(frozen=True)
class HubDataset:
    """Where a data set lies on the Hugging Face hub, and how it is read. ``task_options`` of a study may say the same.

    Attributes:
        id: ``owner/name``.
        config: one of its configurations; empty = the only one, or its default.
        revision: a branch, tag or commit; None = the newest commit, which the results name.
        splits: train, dev, test -> the hub's name of it; others are looked for under their usual names.
        columns: our name of a column -> the hub's; others are looked for under their usual names.
        labels: published label -> ours, where they differ.
        dev_from_train: so many training examples become dev, where no dev split is published.
        test_from_train: the same for test.
    """

    id: str
    config: str = ""
    revision: str | None = None
    splits: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    columns: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    dev_from_train: float | int | None = None
    test_from_train: float | int | None = None


@dataclass(frozen=True)
class Card:
    """Describes a data set in a few lines: how it is read, what its labels mean, who made it and how to get it.

    Attributes:
        form: single text, pair, tagging or vector; every row must have it.
        labels: the label set in the order that heads and tables use; empty = the labels of train, sorted.
        label_text: label -> the words it stands for, as the paper prints them; others stand for themselves.
        merge: label in the files -> the coarser one of `labels` that it is read as; the option `merge` says otherwise.
        kind: ``regression`` where labels are numbers, however they are spelt; None = read off the labels.
        bounds: the least and the greatest number that a label of a regression task may be.
        metric, metrics: the primary metric, and further ones to report; empty = the default of the kind of task.
        second_metric: a further metric that tables show behind the primary one, as in 89.5/85.8.
        positive: the class of which the metric f1 is, where somebody asks for it; empty = the last of the label set.
        length: the longest sequence in word pieces.
        licence: of the data; source: the paper that made them; hub: where the Hugging Face hub has them, if it does.
        get: one or two sentences: where to download, and what to do so that the files can be read here.
        domains: the values of the key `domain` in the original data; printed where one is asked for.
        formats: ending of a file's name -> the reader of a format that only this data set has, beside those of all.
        published: how many examples train, dev and test have where they were published; a folder that holds other
            numbers has other splits, and the notes of its task say so.
        hidden_test: whether the labels of the published test are kept by a server, so that the test here is another.
    """

    form: Form
    labels: tuple[str, ...] = ()
    label_text: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    merge: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    kind: Literal["regression"] | None = None
    bounds: tuple[float, float] | None = None
    metric: str = ""
    metrics: tuple[str, ...] = ()
    second_metric: str = ""
    positive: str = ""
    length: int = 128
    licence: str = ""
    source: str = ""
    hub: HubDataset | None = None
    get: str = ""
    domains: tuple[str, ...] = ()
    formats: Mapping[str, Format] = field(default_factory=lambda: MappingProxyType({}))
    published: tuple[int, int, int] | None = None
    hidden_test: bool = False


def with_test_note(task: Task, card: Card, hub: HubDataset | None = None, *, whole: bool = True) -> Task:
    """`task` with a note on its test split, as far as scores on it are not scores on the published test.

    Args:
        hub: how it was read from the hub; None for a folder.
        whole: whether the task is all of the data set, and not one of its domains.
    """
    parts = []
    sizes = tuple(len(task.splits[s]) for s in SPLITS)
    if card.hidden_test and hub is not None:
        dev = "" if hub.dev_from_train is None else ", dev a part of the published train"
        test = hub.splits.get("test", "test")
        parts.append(f"the labels of the published test are not public: test is the published split {test}{dev}")
    elif card.hidden_test and (card.published is None or sizes[2] != card.published[2]):
        parts.append("the labels of the published test are not public: test is what the folder holds as such")
    if hub is None and whole and card.published is not None and sizes != card.published:
        held, published = (" / ".join(f"{n:,}" for n in numbers) for numbers in (sizes, card.published))
        parts.append(
            f"its train / dev / test hold {held} examples, the published ones {published}: scores here cannot be "
            "compared with published ones as they stand"
        )
    if not parts:
        return task
    note = "; ".join(parts)
    return replace(task, test_note=note, notes=(*task.notes, note))


def missing(name: str, where: object, card: Card | None, hub: PreflightError | None = None) -> PreflightError:
    """The error for a data set that is not under the data root: where to get it, how to lay it, which option to give.

    Args:
        where: the data root that was searched, or None when no data root was given.
        hub: why it cannot be had from the hub either, where that was tried.
    """
    keys = KEYS.get(card.form if card else "", "`text`[, `text_pair`], `label`; for tagging `tokens`, `tags`")
    if card and card.domains:
        keys += ", `domain`"
    parts = [
        f"the data set {name} is not there: "
        + ("no data root was given" if where is None else f"no folder {name!r} under the data root {where}")
    ]
    if card and card.get:
        parts.append(card.get)
    if card and card.labels:
        parts.append("Its labels are " + ", ".join(card.labels))
    parts.append(LAYOUT.format(keys=keys))
    parts.append(f"Then give the folder that holds {name}/ with --data-root DIR (or `data_root:` in the study file)")
    message = ". ".join(p.rstrip(".") for p in parts) + "."
    if hub is not None:
        message = "; ".join(p.message for p in hub.problems) + f"; without the hub: {message}"
    return PreflightError(Problem(message, path=f"task {name}"))


def refuse_options(task: str, options: Iterable[str], known: Sequence[str]) -> None:
    """Raise ConfigError for every option that `task` does not have; the message names the nearest one."""
    if extra := [o for o in options if o not in known]:
        raise ConfigError(Problem(unknown_name("option", o, known), f"task_options.{task}.{o}") for o in extra)


def refuse_part(module: str, part: str, known: Sequence[str]) -> None:
    """Raise ConfigError when ``module/part`` does not exist; `known` is empty for a module without parts."""
    if part in known or not (part or known):
        return
    message = f"{module} has no parts" if not known else f"name a part of {module}: {', '.join(known)}"
    if part and known:
        message = unknown_name(f"part of {module}", part, known)
    raise ConfigError(Problem(message, path=f"task {module}" + (f"/{part}" if part else "")))
