"""Loads tasks. A task is a data set of labelled examples in three splits.

A task is named ``NAME`` or ``NAME/PART`` (``sst5``, ``lexicon/stars``, ``amazon_mds/books``). NAME is a module of this
package, one of a user's own that the study names, or a user's own folder under the data root; `load` gives the `Task`.
A data set with domains has one part for each of them, and `expand` says which tasks a study's list stands for. Splits
are ``train``, ``dev`` and ``test``: dev selects, test is read once.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from raystudy.errors import ConfigError, DataError, Problem, UserError, quoted, unknown_name
from raystudy.own_modules import OwnModule, in_use, line_in, own_module
from raystudy.paths import is_folder, kind_of, why_no_folder
from raystudy.plugins import find_module, module_names

__all__ = [
    "SPLITS",
    "Example",
    "Prior",
    "Suite",
    "Task",
    "domains",
    "expand",
    "is_built_in",
    "load",
    "looks_like_no_class",
    "may_expand",
]

SPLITS = ("train", "dev", "test")
# what stands in place of a label that is not known, in lower case
_NO_CLASS = frozenset(
    (
        *(
            "-1",
            "-",
            "--",
            "?",
            "_",
            "nan",
            "na",
            "n/a",
            "#n/a",
            "<na>",
            "none",
            "null",
            "nil",
            "nat",
            "<null>",
            "n.a.",
        ),
        *("unk", "<unk>", "[unk]", "[pad]", "<pad>", "unknown", "undefined", "missing", "todo", "tbd", "(blank)"),
        *("#value!", "#ref!", "#name?", "#div/0!", '""', "''", "[]", "{}", "\u2013", "\u2014", "\u2212"),
    )
)
Form = Literal["single", "pair", "tagging", "vector"]
TaskKind = Literal["classification", "tagging", "regression"]


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
class Prior:
    """How often each class occurs in a training split, and which answer is best before any text is read.

    Attributes:
        answer: the best constant answer: the class (or tag) that is most frequent, of equals the first in the order of
            the label set; the mean of the numbers of a regression task.
        counts: class -> how often, in the order of the label set; empty for regression.
        n: how many labels there are, one per word for tagging.
    """

    answer: str | float
    counts: Mapping[str, int]
    n: int

    @property
    def tied(self) -> tuple[str, ...]:
        """The classes that are as frequent as the answer, itself among them; none where it is alone."""
        most = [c for c, n in self.counts.items() if n == self.counts.get(str(self.answer))]
        return tuple(most) if len(most) > 1 else ()

    def facts(self) -> dict[str, Any]:
        """JSON values for a record or a plan: the answer, how often it occurs, and the classes that are as frequent."""
        count = {"count": self.counts[str(self.answer)]} if self.counts else {}
        return {"answer": self.answer, **count, "n": self.n, **({"tied": list(self.tied)} if self.tied else {})}


@dataclass(frozen=True)
class Task:
    """A labelled data set with its splits.

    Attributes:
        labels: canonical label strings, sorted unless the task declares an order; empty for regression.
        label_text: the words a label stands for (``entails -> entailment``); without an entry it stands for itself.
            Meta-DTL's E(x, c) encodes these words, and a union head merges labels whose words are equal.
        metric: name of the primary metric in `raystudy.metrics`, which selects and is tested; others may be listed in
            `metrics`.
        second_metric: a further metric that tables show behind the primary one (89.5/85.8); empty where they show one.
        length: the longest sequence in word pieces, special tokens included.
        notes: what a person should know of how the data were read.
        domains: the parts that it is made of, each a task ``name/domain`` of its own; empty if it has none.
        positive: the class of which the metric ``f1`` is; empty = the last of `labels` (`positive_class`).
        test_note: what the test split is, where it is not the one that the data set was published with; empty where
            it is, or nobody knows. It stands below every table of scores.
        whole: the prior of the training split that this one was drawn from, where a low-resource setting left a part.
        columns: role -> the column of the training file that it was read from; empty for data without columns.
    """

    name: str
    form: Form
    labels: tuple[str, ...]
    splits: Mapping[str, tuple[Example, ...]]
    metric: str = "accuracy"
    metrics: tuple[str, ...] = ()
    second_metric: str = ""
    label_text: Mapping[str, str] = field(default_factory=dict)
    length: int = 128
    source: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    positive: str = ""
    test_note: str = ""
    whole: Prior | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = []
        if self.positive and self.positive not in self.labels:
            problems.append(f"the positive class must be one of {list(self.labels)}, but is {self.positive!r}")
        if missing := [s for s in SPLITS if not self.splits.get(s)]:
            problems.append(f"the split{'s' * (len(missing) > 1)} {', '.join(missing)} must not be empty")
        if self.kind != "regression" and len(self.labels) < 2:
            problems.append(f"a classification task needs at least two classes, but the labels are {list(self.labels)}")
        if self.form == "vector":
            lengths = {len(e.vector) for split in SPLITS for e in self.splits.get(split, ())}
            if 0 in lengths or len(lengths) > 1:
                found = ", ".join(map(str, sorted(lengths)))
                problems.append(f"its vectors must have the same number of numbers, at least one, but have {found}")
        for split in SPLITS if self.kind == "classification" else ():
            counts = Counter(str(e.label) for e in self.splits.get(split, ()))
            if unseen := sorted(set(counts) - set(self.labels)):
                known, strange = quoted(list(self.labels), 300), quoted(unseen, 300)
                problems.append(f"{split} holds labels that are not in the label set {known}: {strange}")
        if problems:
            raise DataError(Problem(p, path=f"task {self.name}") for p in problems)

    @property
    def kind(self) -> TaskKind:
        return "regression" if not self.labels else "tagging" if self.form == "tagging" else "classification"

    @property
    def all_metrics(self) -> tuple[str, ...]:
        """The primary metric first, then the second one, without repeats."""
        return tuple(dict.fromkeys((*self.shown_metrics, *self.metrics)))

    @property
    def shown_metrics(self) -> tuple[str, ...]:
        """The metrics that stand in a table: the primary one, and the second one where there is one."""
        return (self.metric, self.second_metric) if self.second_metric else (self.metric,)

    def text_of(self, label: str) -> str:
        return self.label_text.get(label, label)

    @property
    def positive_class(self) -> str:
        """The class of which the metric ``f1`` is: the one declared, else the last of the label set in its order."""
        return self.positive or (self.labels[-1] if self.labels else "")

    @cached_property
    def prior(self) -> Prior:
        """The prior of the training split: of the whole one, where this task has only a part of it."""
        return self.whole or self.drawn_prior

    @cached_property
    def drawn_prior(self) -> Prior:
        """The prior of the training examples that are here. Tags outside the label set count for nothing."""
        train = self.splits["train"]
        if self.kind == "regression":
            # the mean of the differences from the first, so that equal numbers have themselves as their mean
            first = float(train[0].label)  # type: ignore[arg-type]
            mean = first + math.fsum(float(e.label) - first for e in train) / len(train)  # type: ignore[arg-type]
            return Prior(mean, {}, len(train))
        frequencies = Counter(t for e in train for t in (e.label if isinstance(e.label, tuple) else (e.label,)))
        counts = {c: frequencies[c] for c in self.labels}
        return Prior(max(counts, key=lambda c: counts[c]), counts, sum(counts.values()))

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        """split -> class (or tag) -> how many examples (or words) have it, in the task's order; empty for regression.

        A tag of dev or test that is not in the label set stands behind the others.
        """
        if self.kind == "regression":
            return {}
        by_split = {}
        for split in SPLITS:
            frequencies: Counter[str] = Counter()
            for e in self.splits[split]:
                frequencies.update(e.label if isinstance(e.label, tuple) else (str(e.label),))
            by_split[split] = {c: frequencies[c] for c in (*self.labels, *sorted(set(frequencies) - set(self.labels)))}
        return by_split

    @cached_property
    def digest(self) -> str:
        """A digest of everything that training or evaluation reads: examples, splits, label order, words, length."""
        head = [self.name, self.form, self.labels, sorted(self.label_text.items()), self.all_metrics, self.length]
        head += [self.positive_class] if "f1" in self.all_metrics else []
        h = hashlib.blake2b(json.dumps(head, ensure_ascii=False).encode(), digest_size=16)
        for split in SPLITS:
            h.update(f"\n{split}".encode())
            for e in self.splits[split]:
                row = (e.label, e.text, e.pair, e.tokens, ())
                h.update(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
                h.update(struct.pack(f"<{len(e.vector)}d", *e.vector))  # of a text, nothing
        return h.hexdigest()

    def with_splits(self, **splits: Sequence[Example]) -> Task:
        return replace(self, splits={**self.splits, **{k: tuple(v) for k, v in splits.items()}})


def looks_like_no_class(label: str) -> bool:
    """Whether a label is spelt like one that is not known: ``-1``, ``?``, ``nan``."""
    visible = "".join(c for c in label if c.isprintable()).strip()
    return not visible or visible.casefold() in _NO_CLASS


@dataclass(frozen=True)
class Suite:
    """Tasks that are studied together. Each of `targets` is the target in turn; all other tasks are its sources."""

    name: str
    tasks: tuple[str, ...]
    targets: tuple[str, ...]
    about: str = ""


def load(name: str, *, root: Path | None = None, options: Mapping[str, Any] | None = None) -> Task:
    """Load one task: from the folder `root`/`name` when there is one, else from ``raystudy.tasks.<module>`` or the hub.

    A module of ``raystudy.tasks`` makes its tasks itself, with a function `load`, or declares a `CARD`, by which the
    data are read from a folder or from the Hugging Face hub.

    Args:
        options: passed to the module as they are (a study's ``task_options``, e.g. the relatedness of planted tasks),
            but for ``without``, which is the same for all: other tasks whose texts are left out of this one.

    Raises:
        ConfigError: the name is neither a folder under `root` nor a module (with the nearest name).
        DataError, PreflightError: the data are there but unusable, or are missing (with what to install or lay where).
    """
    task = _load_whole(name, root, options or {})
    if not (others := (options or {}).get("without")):
        return task
    try:
        return _without_texts_of(task, [load(other, root=root) for other in others])
    except ConfigError as e:  # what is asked of the others is asked by this option
        path = f"task_options.{name.partition('/')[0]}.without"
        raise ConfigError(Problem(p.message, path) for p in e.problems) from None


def _without_texts_of(task: Task, others: Sequence[Task]) -> Task:
    """`task` without the texts that one of the `others` has in any split; letter case and blanks make no difference."""

    def normalised(e: Example) -> tuple[Any, ...]:
        texts = (" ".join(e.tokens) or e.text, e.pair or "")
        return (*(" ".join(text.casefold().split()) for text in texts), e.vector)

    texts = {normalised(e) for other in others for rows in other.splits.values() for e in rows}
    remaining = {s: tuple(e for e in task.splits[s] if normalised(e) not in texts) for s in SPLITS}
    names_of = " and ".join(t.name for t in others)
    if empty_splits := [s for s in SPLITS if not remaining[s]]:
        raise DataError(
            Problem(f"without the texts of {names_of} nothing is left of {', '.join(empty_splits)}", task.name)
        )
    losses = ", ".join(f"{len(task.splits[s]) - len(remaining[s])} of {len(task.splits[s])} in {s}" for s in SPLITS)
    note = f"texts that are in {names_of} too are left out: {losses}"
    return replace(task, splits=remaining, notes=(*task.notes, note))


def _place_of_task(name: str) -> str:
    """The place of a wrong name of a task. A readable name is not cut, because the study's line is found by it."""
    return f"task {name if len(name) <= 300 else quoted(name)}"


def _load_whole(name: str, root: Path | None, own: Mapping[str, Any]) -> Task:
    """The task with all of its texts, even those that other tasks have too; see `load`."""
    from raystudy.tasks._options import options_of

    module, _, part = name.partition("/")
    if module.startswith(".") or not module.isprintable() or not module.strip() or "\\" in module:
        rule = "the name of a task must be NAME or NAME/PART, where NAME is a data set or a folder under the data root"
        raise ConfigError(Problem(f"{rule}, but is {quoted(name)}", _place_of_task(name)))
    if is_built_in(module):
        module_found, users_own = find_module("tasks", module), own_module("tasks", module)
        if (card := getattr(module_found, "CARD", None)) is not None:
            task = find_module("tasks", "folder").load(name, root, card=card, options=own)
            if _folder_exists(module, root) and users_own is None:
                note = f"the folder {module} is read as the built-in data set of that name: its card gives the labels, "
                task = _with_note(task, f"{note}the metric and the licence; data of your own want another name")
        elif misnamed := [k for k in own if k in ("part", "root") or not k.isidentifier()]:
            raise ConfigError(
                Problem(f"unknown option {quoted(k)}", path=f"task_options.{module}.{k}") for k in misnamed
            )
        else:
            if "without" in own:
                options_of(module, {"without": own["without"]})
            asked = {k: v for k, v in own.items() if k != "without"}
            if users_own is not None:
                return _of_users_own(users_own, module_found.load, name, root, asked)
            task = module_found.load(part, root=root, **asked)
            if _folder_exists(module, root):
                note = f"the folder {module} under the data root is NOT read: a built-in data set has that name"
                task = _with_note(task, f"{note}; data of your own want another one")
    elif _folder_exists(module, root) or "hub" in own:
        task = find_module("tasks", "folder").load(name, root, options=own)
    else:
        listable = root is not None and not why_no_folder(root)
        folders = [p.name for p in root.iterdir() if is_folder(p)] if root is not None and listable else []
        known = [n for n in module_names("tasks") if n != "folder"] + [f for f in folders if not f.startswith(".")]
        known += [m.name for m in in_use() if m.kind == "tasks"]
        where = f" No folder of that name is in {root} either." if root is not None else ""
        raise ConfigError(Problem(unknown_name("task", name, known) + where, _place_of_task(name)))
    assert isinstance(task, Task)
    return task


def _of_users_own(
    own: OwnModule, load: Callable[..., Any], name: str, root: Path | None, options: Mapping[str, Any]
) -> Task:
    """What a user's own module makes of a name.

    Raises:
        ConfigError: it takes no such option, or it raises. DataError: it makes no task of that name.
    """
    part = name.partition("/")[2]
    try:
        inspect.signature(load).bind(part, root=root, **options)
    except TypeError as e:
        path = f"task_options.{own.name}"
        raise ConfigError(Problem(f"do not fit load of {own.file}: {e}", path)) from None
    try:
        task = load(part, root=root, **options)
    except UserError:
        raise
    except Exception as e:
        why = f"load failed: {type(e).__name__}: {quoted(str(e), 300)[1:-1]}"
        raise ConfigError(Problem(why, _place_of_task(name), own.file, line_in(e, own.file))) from None
    if not isinstance(task, Task):
        raise DataError(Problem(f"load must return a raystudy.tasks.Task, but returns {quoted(task)}", file=own.file))
    if task.name != name:
        text = f"load must return the task that it is asked for, {name!r}, but returns one called {task.name!r}"
        raise DataError(Problem(text, file=own.file))
    return task


def _with_note(task: Task, note: str) -> Task:
    return replace(task, notes=(note, *task.notes))


def is_built_in(name: str) -> bool:
    """Whether `name` is a data set that a module makes or describes: one of ours, or of the user's own."""
    return (name in module_names("tasks") and name != "folder") or own_module("tasks", name) is not None


def _folder_exists(folder: str, root: Path | None) -> bool:
    # of a folder that may not be read, `folder.load` says so
    return root is not None and kind_of(root / folder) in ("folder", "closed")


def domains(name: str, *, root: Path | None = None, options: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """The parts of the data set `name`, each a task ``name/part``: its domains, sorted, or what its module declares.

    A data set on disk is read for it, once: what `load` reads of it later is remembered.

    Raises:
        UserError: whatever `load` raises.
    """
    if is_built_in(name) and (parts := getattr(find_module("tasks", name), "PARTS", ())):
        return tuple(parts)
    return load(name, root=root, options=options).domains


def may_expand(name: str) -> bool:
    """Whether `name` in a study's list of tasks could stand for several (`expand` knows, and needs the data)."""
    module, _, part = name.partition("/")
    return part == "*" or not (part or is_built_in(module))


def expand(
    asked: Sequence[str], *, root: Path | None = None, task_options: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, tuple[str, ...]]:
    """name in a study's list of tasks -> the tasks that it stands for: itself, or one task per domain.

    A user's own data set with a column `domain` stands for its domains, unless the option ``domains: together`` keeps
    it whole. Built-in data sets stay whole, as published; ``NAME/*`` asks for the parts of any data set. A name whose
    data cannot be read stands for itself: `load` says what is wrong, beside what is wrong with others.

    Raises:
        ConfigError: ``NAME/*`` of a data set without domains; more than 50 domains that nobody asked for.
    """
    tasks_of: dict[str, tuple[str, ...]] = {}
    problems = []
    for name in asked:
        module, _, part = name.partition("/")
        parts: tuple[str, ...] = ()
        expandable = may_expand(name)
        if expandable:
            try:
                parts = domains(module, root=root, options=(task_options or {}).get(module))
            except UserError:
                expandable = False
        if expandable and part == "*" and not parts:
            problems.append(
                Problem(f"{name} asks for one task per domain, but {module} has no domains", f"task {name}")
            )
        elif part != "*" and len(parts) > 50:
            cure = f"list those you want, ask for all with {module}/*, or keep it whole with `domains: together`"
            problems.append(Problem(f"{module} has {len(parts)} domains, a task each: {cure}", f"task {name}"))
        tasks_of[name] = tuple(f"{module}/{d}" for d in parts) or (name,)
    if problems:
        raise ConfigError(problems)
    return tasks_of
