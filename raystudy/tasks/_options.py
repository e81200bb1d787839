"""The options that a study may give a data set in ``task_options``. Each has a rule; all mistakes are told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from raystudy.errors import ConfigError, Problem, unknown_name
from raystudy.tasks import SPLITS
from raystudy.tasks._rows import in_words

__all__ = ["ROLE_NAMES", "RULES", "DatasetOptions", "options_of"]

ROLE_NAMES = ("text", "text_pair", "label", "tokens", "tags", "vector", "domain")


@dataclass(frozen=True)
class DatasetOptions:
    """The options of one data set after all checks. An option wins over the card of the data set and over any guess.

    Attributes:
        labels: the label set, in its order.
        label_text: label -> the words it stands for.
        merge: label -> the coarser label that it is read as; none where it is empty, whatever the card says.
        second_metric: shown in the tables behind the primary one, as in 89.5/85.8.
        without: other tasks, read as they are by default: a text that one of them has is left out of all splits.
        positive: the class of which the metric f1 is.
        columns: role (`ROLE_NAMES`) -> the column that plays it; numbers, counted from 1, for files whose columns have
            no names.
        splits: train, dev, test -> the stem of its file, or the name of the hub's split.
        dev_from_train: without a dev split, this fraction or number of training examples becomes one.
        test_from_train: the same for a test split; it is taken out first, and dev from what is left.
        kind: what labels are, where their spelling would mislead: whole numbers that are ratings, say.
        bounds: the least and the greatest number that a label may be, which makes it a number.
        quotes: whether quotation marks enclose the fields of CSV and TSV files.
        domains: ``together`` keeps a data set with a column `domain` one task.
        hub, config, revision: the data set on the Hugging Face hub that is meant.
    """

    labels: tuple[str, ...] = ()
    label_text: Mapping[str, str] = field(default_factory=dict)
    merge: Mapping[str, str] | None = None
    without: tuple[str, ...] = ()
    metric: str = ""
    metrics: tuple[str, ...] = ()
    second_metric: str = ""
    positive: str = ""
    length: int | None = None
    columns: Mapping[str, str | int] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=dict)
    dev_from_train: float | int | None = None
    test_from_train: float | int | None = None
    kind: Literal["regression", "classification"] | None = None
    bounds: tuple[float, float] | None = None
    quotes: bool | None = None
    domains: Literal["together"] | None = None
    hub: str | None = None
    config: str | None = None
    revision: str | None = None

    def from_train(self, split: str) -> float | int | None:
        """How much of train becomes `split` where there is no such split."""
        return {"dev": self.dev_from_train, "test": self.test_from_train}.get(split)

    @property
    def numbers(self) -> dict[str, int]:
        """role -> column number, if columns were given by number."""
        return {role: column for role, column in self.columns.items() if isinstance(column, int)}


def _is_label(value: object) -> bool:
    """A label or a label's words: text, or a whole number as YAML reads 0 and 1."""
    return isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip() != ""


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _is_list_of(value: object, good: Callable[[object], bool]) -> bool:
    return isinstance(value, list | tuple) and all(good(v) for v in value)


def _are_columns(value: Any) -> bool:
    if not isinstance(value, Mapping) or not value:
        return False
    numbers = all(type(v) is int and 1 <= v <= 10_000 for v in value.values())
    return numbers or all(_is_name(v) for v in value.values())


def _is_amount(value: object) -> bool:
    return (type(value) is float and 0 < value < 1) or (type(value) is int and value >= 1)


def _are_bounds(value: Any) -> bool:
    """Two numbers, the lesser first; neither is infinite."""
    numbers = _is_list_of(value, lambda v: isinstance(v, int | float) and type(v) is not bool and abs(v) < 1e300)
    return numbers and len(value) == 2 and value[0] < value[1]


_NAMES_OR_NUMBERS = "names of columns, or to numbers counted from 1 where columns have no names"

# option -> the rule in words, and the rule
RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "labels": (
        "a list of at least two different strings",
        lambda v: _is_list_of(v, _is_label) and len({str(x) for x in v}) == len(v) > 1,
    ),
    "label_text": (
        "a mapping from labels to words",
        lambda v: isinstance(v, Mapping) and _is_list_of([*v, *v.values()], _is_label),
    ),
    "merge": (
        "a mapping from labels to the labels that they are read as",
        lambda v: isinstance(v, Mapping) and _is_list_of([*v, *v.values()], _is_label),
    ),
    "without": ("a list of names of tasks", lambda v: _is_list_of(v, _is_name)),
    "metric": ("the name of a metric", _is_name),
    "metrics": ("a list of names of metrics", lambda v: _is_list_of(v, _is_name)),
    "second_metric": ("the name of a metric", _is_name),
    "positive": ("a label", _is_label),
    "length": ("a whole number from 4 to 512", lambda v: type(v) is int and 4 <= v <= 512),
    "columns": (f"a mapping from {', '.join(ROLE_NAMES)} to {_NAMES_OR_NUMBERS}", _are_columns),
    "splits": (
        "a mapping from train, dev, test to different names without '/'",
        lambda v: (
            isinstance(v, Mapping)
            and len(v) > 0
            and _is_list_of([*v.values()], lambda s: _is_name(s) and not set("/\\") & set(str(s)))
            and len(set(v.values())) == len(v)
        ),
    ),
    "dev_from_train": ("a fraction between 0 and 1, or a whole number of examples", _is_amount),
    "test_from_train": ("a fraction between 0 and 1, or a whole number of examples", _is_amount),
    "kind": ("regression or classification", lambda v: v in ("regression", "classification")),
    "bounds": ("a list of two numbers, the lesser first", _are_bounds),
    "quotes": ("true or false", lambda v: isinstance(v, bool)),
    "domains": ("together", lambda v: v == "together"),
    "hub": ("the id of a data set on the Hugging Face hub", _is_name),
    "config": ("the name of a configuration of the hub's data set", _is_name),
    "revision": ("a branch, tag or commit of the hub's data set", _is_name),
}


def options_of(name: str, options: Mapping[str, Any]) -> DatasetOptions:
    """The options of the data set `name`; labels and their words are strings, as YAML may read 0 and 1.

    Raises:
        ConfigError: every option that is unknown, mistyped or contradicts another.
    """
    if problems := list(_problems(f"task_options.{name}", options)):
        raise ConfigError(problems)
    values: dict[str, Any] = dict(options)
    values |= {k: tuple(str(v).strip() for v in values[k]) for k in ("labels", "without", "metrics") if k in values}
    if "label_text" in values:
        values["label_text"] = {str(k).strip(): str(v) for k, v in values["label_text"].items()}
    if "positive" in values:
        values["positive"] = str(values["positive"]).strip()
    if "merge" in values:
        values["merge"] = {str(k).strip(): str(v).strip() for k, v in values["merge"].items()}
    if "bounds" in values:
        values["bounds"] = tuple(map(float, values["bounds"]))
    return DatasetOptions(**values)


def _problems(path: str, options: Mapping[str, Any]) -> Iterator[Problem]:
    known = [f.name for f in fields(DatasetOptions)]
    for key, value in options.items():
        if key not in RULES:
            yield Problem(unknown_name("option", key, known), f"{path}.{key}")
            continue
        rule, holds = RULES[key]
        if not holds(value):
            yield Problem(f"{key} must be {rule}, but is {in_words(value)}", f"{path}.{key}")
        elif key in ("columns", "splits"):
            among = ROLE_NAMES if key == "columns" else SPLITS
            what = "role of a column" if key == "columns" else "split"
            yield from (Problem(unknown_name(what, k, among), f"{path}.{key}.{k}") for k in value if k not in among)
    if options.get("kind") == "classification" and "bounds" in options:
        yield Problem("bounds must be left out where kind is classification: classes are no numbers", f"{path}.bounds")
    elif options.get("kind") == "regression" or "bounds" in options:
        said = "kind is regression" if "kind" in options else "bounds are given"
        for key in ("labels", "label_text", "merge"):
            if key in options:
                yield Problem(f"{key} must be left out where {said}: numbers have no classes", f"{path}.{key}")
