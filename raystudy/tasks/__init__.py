"""Tasks: labelled examples with splits, and where they come from.

A task is named ``module`` or ``module/part`` (``sst5``, ``lexicon/stars``, ``amazon_mds/books``). `load` looks in the
data root first (a folder of that name), then in the module ``raystudy.tasks.<module>``, whose `load(part, root,
options)` returns the `Task`. Splits are ``train``, ``dev`` and ``test``: dev selects, test is read once.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from raystudy.errors import ConfigError, DataError, Problem, unknown
from raystudy.find import find, names

__all__ = ["SPLITS", "Example", "Suite", "Task", "load"]

SPLITS = ("train", "dev", "test")
Form = Literal["single", "pair", "tagging", "vector"]
Kind = Literal["classification", "tagging", "regression"]


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled example: `text` (and `pair`), or `tokens` with one tag each, or a `vector`.

    `label` is a class name, a number (regression) or a tuple of tags, one per token. `group` ties together examples
    that must not be split between train and evaluation (a word stem, a document).
    """

    label: str | float | tuple[str, ...]
    text: str = ""
    pair: str | None = None
    tokens: tuple[str, ...] = ()
    vector: tuple[float, ...] = ()
    group: str = ""


@dataclass(frozen=True)
class Task:
    """A labelled data set with its splits.

    Attributes:
        labels: canonical label strings, sorted unless the task declares an order; empty for regression.
        label_text: the words a label stands for (``entails -> entailment``); without an entry it stands for itself.
            Meta-DTL's E(x, c) encodes these words, and a union head merges labels whose words are equal.
        metric: name of the primary metric in `raystudy.metrics`; others may be listed in `metrics`.
        length: the longest sequence in word pieces, special tokens included.
    """

    name: str
    form: Form
    labels: tuple[str, ...]
    splits: Mapping[str, tuple[Example, ...]]
    metric: str = "accuracy"
    metrics: tuple[str, ...] = ()
    label_text: Mapping[str, str] = field(default_factory=dict)
    length: int = 128
    source: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = []
        if missing := [s for s in SPLITS if not self.splits.get(s)]:
            problems.append(f"the split{'s' * (len(missing) > 1)} {', '.join(missing)} must not be empty")
        if self.kind != "regression" and len(self.labels) < 2:
            problems.append(f"a classification task needs at least two classes, but the labels are {list(self.labels)}")
        for split in SPLITS if self.kind == "classification" else ():
            counts = Counter(str(e.label) for e in self.splits.get(split, ()))
            if unseen := sorted(set(counts) - set(self.labels)):
                problems.append(f"{split} holds labels that are not in the label set {list(self.labels)}: {unseen}")
        if problems:
            raise DataError(Problem(p, path=f"task {self.name}") for p in problems)

    @property
    def kind(self) -> Kind:
        return "regression" if not self.labels else "tagging" if self.form == "tagging" else "classification"

    @property
    def all_metrics(self) -> tuple[str, ...]:
        """The primary metric first, without repeats."""
        return tuple(dict.fromkeys((self.metric, *self.metrics)))

    def text_of(self, label: str) -> str:
        return self.label_text.get(label, label)

    @cached_property
    def digest(self) -> str:
        """A digest of everything that training or evaluation reads: examples, splits, label order, words, length."""
        head = [self.name, self.form, self.labels, sorted(self.label_text.items()), self.all_metrics, self.length]
        h = hashlib.blake2b(json.dumps(head, ensure_ascii=False).encode(), digest_size=16)
        for split in SPLITS:
            h.update(f"\n{split}".encode())
            for e in self.splits[split]:
                row = (e.label, e.text, e.pair, e.tokens, e.vector)
                h.update(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
        return h.hexdigest()

    def with_splits(self, **splits: Sequence[Example]) -> Task:
        return replace(self, splits={**self.splits, **{k: tuple(v) for k, v in splits.items()}})


@dataclass(frozen=True)
class Suite:
    """Tasks that are studied together. By default each of `targets` is a target in turn, all others its sources."""

    name: str
    tasks: tuple[str, ...]
    targets: tuple[str, ...]
    about: str = ""


def load(name: str, *, root: Path | None = None, options: Mapping[str, Any] | None = None) -> Task:
    """Load one task: from the folder `root`/`name` when there is one, else from ``raystudy.tasks.<module>``.

    Args:
        options: passed to the module as they are (a study's ``task_options``, e.g. the relatedness of planted tasks).

    Raises:
        ConfigError: the name is neither a folder under `root` nor a module (with the nearest name).
        DataError, PreflightError: the data are there but unusable, or are missing (with what to install or lay where).
    """
    module, _, part = name.partition("/")
    if module in names("tasks") and module != "folder":
        task = find("tasks", module).load(part, root=root, **(options or {}))
    elif root is not None and (root / module).is_dir():
        task = find("tasks", "folder").load(name, root=root, **(options or {}))
    else:
        folders = [p.name for p in root.iterdir() if p.is_dir()] if root is not None and root.is_dir() else []
        known = [n for n in names("tasks") if n != "folder"] + folders
        where = f" and no folder of that name is in {root}" if root is not None else ""
        raise ConfigError(unknown("task", name, known) + where)
    assert isinstance(task, Task)
    return task
