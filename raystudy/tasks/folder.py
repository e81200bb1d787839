"""A task from a folder: `train`, `validation` (or `dev`) and `test` files of labelled rows, checked line by line.

One folder per task under the data root. A row is a mapping with `text`[, `text_pair`], `label`[, `domain`], or with
`tokens` and `tags`; common other names of these keys are read too and printed in `Task.notes`. Floating-point labels
make a regression task; strings and integers are classes, kept as strings. ``folder/domain`` selects the rows of one
domain. Two steps, so that a format is one function: `READERS` turn a file into numbered rows, `_example` turns a row
into an `Example`, whatever format it came from.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from raystudy.errors import ConfigError, DataError, Problem, did_you_mean, unknown
from raystudy.metrics import METRICS
from raystudy.tasks import SPLITS, Example, Form, Kind, Task
from raystudy.tasks._card import Card, missing, refuse_options

__all__ = ["READERS", "Card", "load"]

FILES = {"train": ("train",), "dev": ("validation", "dev", "valid", "val"), "test": ("test",)}
LISTED = 20

# The first name of each role is ours; the others are what common data sets call it.
ROLES: dict[str, tuple[str, ...]] = {
    "text": ("text", "sentence", "sentence1", "premise", "question1", "term1"),
    "pair": ("text_pair", "sentence2", "hypothesis", "question2", "term2"),
    "label": ("label", "gold_label", "score"),
    "tokens": ("tokens", "words"),
    "tags": ("tags", "ner_tags"),
    "domain": ("domain", "genre"),
}
METRICS_OF: dict[Kind, tuple[str, ...]] = {
    "classification": ("accuracy", "macro_f1", "f1", "mcc"),
    "regression": ("pearson", "spearman"),
    "tagging": ("span_f1", "token_accuracy"),
}

Row = dict[str, Any]
Rows = Iterator[tuple[int, "Row | str"]]  # line number from 1, and the row or what is wrong with the line


# ---------------------------------------------------------------------------------------------------------------------
# from a file to rows


def _not_json(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON; a number must be finite")


def _json_lines(data: bytes) -> Rows:
    """Rows of JSON Lines. Split at the newline byte only: a JSON string may hold other line separators (U+2028)."""
    for number, raw in enumerate(data.split(b"\n"), 1):
        if not raw.strip():
            continue
        try:
            row = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"), parse_constant=_not_json)
        except UnicodeDecodeError as e:
            yield number, f"must be UTF-8 text, but byte {e.start + 1} of the line is 0x{raw[e.start]:02x}"
        except json.JSONDecodeError as e:
            yield number, f"must be one JSON object a line, but {e.msg} at character {e.pos + 1}: {_short(e.doc)}"
        except (ValueError, RecursionError) as e:
            yield number, f"must be one JSON object a line, but {e}"
        else:
            good = isinstance(row, dict)
            yield number, row if good else f"must be a JSON object with named keys, but is {_short(row)}"


def _unzipped(data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as e:
        raise ValueError(f"is not a whole gzip file: {e}") from None


# suffix -> function of the file's bytes; ValueError when the file as a whole cannot be read
READERS: dict[str, Callable[[bytes], Rows]] = {
    ".jsonl": _json_lines,
    ".jsonl.gz": lambda data: _json_lines(_unzipped(data)),
}


def _short(value: object, most: int = 60) -> str:
    """`value` as it may stand in a message: one line, printable, cut; lists and mappings by their length."""
    if isinstance(value, list | dict):
        return f"a {'list' if isinstance(value, list) else 'mapping'} of {len(value)}"
    text = ascii(value[: most + 1] if isinstance(value, str) else value)
    return text if len(text) <= most else text[: most - 3] + "..."


# ---------------------------------------------------------------------------------------------------------------------
# from rows to examples


class _RowError(Exception):
    """What is wrong with a row: the rule and the value; the caller knows the line."""


@dataclass(frozen=True)
class _Shape:
    """What the first good row of train says about all rows: the form, and whether labels are numbers."""

    form: Form
    real: bool


@dataclass
class _File:
    """One file as read: examples with their line and domain, and everything that is wrong."""

    path: Path
    problems: list[tuple[int | None, str]] = field(default_factory=list)
    examples: list[tuple[int, str, Example]] = field(default_factory=list)
    keys: Counter[str] = field(default_factory=Counter)  # keys that were read
    ignored: Counter[str] = field(default_factory=Counter)  # keys that no role claims

    def listed(self) -> Iterator[Problem]:
        """At most `LISTED` problems in line order, then how many more."""
        ordered = sorted(self.problems, key=lambda p: p[0] or 0)
        for line, message in ordered[:LISTED]:
            yield Problem(message, file=str(self.path), line=line)
        if len(ordered) > LISTED:
            yield Problem(f"and {len(ordered) - LISTED} more", file=str(self.path))


def _roles(row: Row) -> dict[str, str]:
    """role -> the key of this row that plays it."""
    return {role: key for role, keys in ROLES.items() if (key := next((k for k in keys if k in row), None)) is not None}


def _rows(file: _File) -> list[tuple[int, Row]]:
    suffix = _suffix(file.path)
    rows = []
    try:
        for line, row in READERS[suffix](file.path.read_bytes()):
            if isinstance(row, str):
                file.problems.append((line, row))
            else:
                rows.append((line, row))
    except OSError as e:
        file.problems.append((None, f"cannot be read: {e.strerror or e}"))
    except ValueError as e:
        file.problems.append((None, str(e)))
    if not rows and not file.problems:
        file.problems.append((None, "must hold at least one row, but is empty"))
    return rows


def _shape(rows: Sequence[tuple[int, Row]], form: Form | None, classes: bool) -> _Shape:
    """The stated form, else that of the first row; real labels when any label of train is a floating-point number.

    Args:
        classes: labels are declared, so they are classes whatever they look like.
    """
    first = _roles(rows[0][1]) if rows else {}
    found: Form = "tagging" if {"tokens", "tags"} & first.keys() else "pair" if "pair" in first else "single"
    labels = (row[key] for _, row in rows for key in [_roles(row).get("label")] if key is not None)
    real = found != "tagging" and not classes and any(isinstance(x, float) for x in labels)
    return _Shape(form or found, real)


def _example(row: Row, shape: _Shape, file: _File) -> tuple[str, Example]:
    """(domain, example).

    Raises:
        _RowError: what the row lacks or holds wrongly, with the rule and the value.
    """
    roles = _roles(row)
    needs = {"single": ("text", "label"), "pair": ("text", "pair", "label"), "tagging": ("tokens", "tags")}[shape.form]
    if absent := [ROLES[n][0] for n in needs if n not in roles]:
        has = ", ".join(sorted(_short(k) for k in row)[:8]) or "none"
        raise _RowError(f"must have the key{'s' * (len(absent) > 1)} {', '.join(absent)}; its keys are {has}")
    if shape.form == "single" and "pair" in roles:
        raise _RowError(f"must hold a single text like the first row of train, but has {roles['pair']!r} as well")
    for key in row:
        used = key in roles.values() and (key in (roles[n] for n in needs) or key == roles.get("domain"))
        (file.keys if used else file.ignored)[key] += 1
    domain = _text(row, roles["domain"]) if "domain" in roles else ""
    if shape.form == "tagging":
        tokens, tags = _strings(row, roles["tokens"]), _strings(row, roles["tags"])
        if len(tokens) != len(tags):
            raise _RowError(f"must have one tag per token, but has {len(tokens)} tokens and {len(tags)} tags")
        return domain, Example(tags, tokens=tokens)
    pair = _text(row, roles["pair"]) if shape.form == "pair" else None
    return domain, Example(_label(row[roles["label"]], shape.real), text=_text(row, roles["text"]), pair=pair)


def _whole(text: str, what: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as e:
        raise _RowError(f"{what} must be Unicode text, but holds half a character: {_short(text[e.start])}") from None
    return text


def _text(row: Row, key: str) -> str:
    value = row[key]
    if not isinstance(value, str):
        raise _RowError(f"{key} must be a string, but is {_short(value)}")
    if not value.strip():
        raise _RowError(f"{key} must not be empty, but is {_short(value)}")
    return _whole(value, key)


def _strings(row: Row, key: str) -> tuple[str, ...]:
    value = row[key]
    if not isinstance(value, list):
        raise _RowError(f"{key} must be a list of strings, but is {_short(value)}")
    if not value:
        raise _RowError(f"{key} must not be empty, but is []")
    for i, item in enumerate(value):
        if not isinstance(item, str) or not item.strip():
            raise _RowError(f"{key} must be non-empty strings, but item {i + 1} is {_short(item)}")
    return tuple(_whole(item, key) for item in value)


def _label(value: object, real: bool) -> str | float:
    if real:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _RowError(f"label must be a number (train has floating-point labels), but is {_short(value)}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise _RowError("label must be a finite number, but is too large for one")
        return number
    if isinstance(value, bool) or not isinstance(value, str | int):
        rule = "label must be a string or a whole number (a class), or a floating-point number in every split"
        raise _RowError(f"{rule}, but is {_short(value)}")
    text = str(value).strip()
    if not text:
        raise _RowError(f"label must not be empty, but is {_short(value)}")
    return _whole(text, "label")


# ---------------------------------------------------------------------------------------------------------------------
# from a folder to a task


def load(name: str, root: Path | str | None, *, card: Card | None = None, **options: Any) -> Task:
    """The task in the folder `root`/`name`, or the rows of one domain of it when `name` is ``folder/domain``.

    The label set is the card's (or the option's), else the sorted set of the full train file, all domains, so that
    the domains of one data set share their classes.

    Args:
        card: what a data-set module declares; without one, everything is taken from the files.
        options: ``labels``, ``label_text``, ``metric``, ``metrics``, ``length``: they win over the card.

    Raises:
        PreflightError: there is no such folder; with where to get the data when a card says so.
        DataError: everything that is wrong in all files, with file and line (20 per file, then how many more).
        ConfigError: an unknown domain or option, or an option of the wrong type.
    """
    folder_name, _, domain = name.partition("/")
    folder = None if root is None else Path(root) / folder_name
    if folder is None or not folder.is_dir():
        raise missing(folder_name, root, card)
    form = card.form if card else None
    card = _with_options(folder_name, card or Card(form="single"), options)
    files = _files(folder)
    rows = {split: _rows(file) for split, file in files.items()}
    shape = _shape(rows["train"], form, bool(card.labels))
    for split, file in files.items():
        for line, row in rows[split]:
            try:
                file.examples.append((line, *_example(row, shape, file)))
            except _RowError as e:
                file.problems.append((line, str(e)))
    kind: Kind = "regression" if shape.real else "tagging" if shape.form == "tagging" else "classification"
    labels = card.labels or _label_set(kind, files["train"])
    if kind == "classification" and (card.labels or not files["train"].problems):
        _refuse_unseen(files, labels, bool(card.labels))
    if problems := [p for file in files.values() for p in file.listed()]:
        raise DataError(problems)
    if kind != "regression" and (strange := [k for k in options.get("label_text", ()) if k not in labels]):
        at = f"task_options.{folder_name}.label_text"
        raise ConfigError(Problem(unknown("label", k, labels), path=at) for k in strange)
    chosen = _of_domain(name, domain, files)
    metric, metrics = _metrics(folder_name, kind, labels, card)
    return Task(
        name=name,
        form=shape.form,
        labels=() if kind == "regression" else labels,
        splits=chosen,
        metric=metric,
        metrics=metrics,
        label_text=dict(card.label_text),
        length=card.length,
        source=card.source or f"folder {folder_name}",
        licence=card.licence,
        notes=tuple(_notes(kind, labels, files, chosen)),
    )


def _strings_only(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(s, str) and s for s in value)


# option -> the rule in words, and the rule
OPTION_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "labels": ("a list of at least two different strings", lambda v: _strings_only(v) and len(set(v)) == len(v) > 1),
    "label_text": (
        "a mapping from labels to words",
        lambda v: isinstance(v, Mapping) and _strings_only([*v, *v.values()]),
    ),
    "metric": ("the name of a metric", lambda v: isinstance(v, str) and v != ""),
    "metrics": ("a list of names of metrics", _strings_only),
    "length": ("a whole number from 4 to 512", lambda v: type(v) is int and 4 <= v <= 512),
}


def _with_options(name: str, card: Card, options: Mapping[str, Any]) -> Card:
    """The card with the options on top."""
    refuse_options(name, options, list(OPTION_RULES))
    wrong = [
        Problem(f"{key} must be {rule}, but is {_short(options[key])}", path=f"task_options.{name}")
        for key, (rule, holds) in OPTION_RULES.items()
        if key in options and not holds(options[key])
    ]
    if wrong:
        raise ConfigError(wrong)
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    return replace(card, **values)


def _suffix(path: Path) -> str:
    """The longest known suffix of the file's name (``.jsonl.gz`` before ``.gz``), or an empty string."""
    return next((s for s in sorted(READERS, key=len, reverse=True) if path.name.endswith(s)), "")


def _files(folder: Path) -> dict[str, _File]:
    """One file per split.

    Raises:
        DataError: a split has no file, or two.
    """
    try:
        present = sorted(p for p in folder.iterdir() if p.is_file())
    except OSError as e:
        raise DataError(Problem(f"cannot be read: {e.strerror or e}", file=str(folder))) from None
    found: dict[str, _File] = {}
    problems = []
    for split, stems in FILES.items():
        paths = [p for p in present if (s := _suffix(p)) and p.name.removesuffix(s) in stems]
        if len(paths) > 1:
            both = ", ".join(p.name for p in paths)
            problems.append(Problem(f"must hold one file for the split {split}, but has {both}", file=str(folder)))
        elif not paths:
            want = " or ".join(f"{stems[0]}{s}" for s in READERS)
            have = ", ".join(p.name for p in present) or "nothing"
            problems.append(
                Problem(f"must hold a file {want} for the split {split}; it holds {have}", file=str(folder))
            )
        else:
            found[split] = _File(paths[0])
    if problems:
        raise DataError(problems)
    return found


def _label_set(kind: Kind, train: _File) -> tuple[str, ...]:
    if kind == "regression":
        return ()
    found: set[str] = set()
    for *_, e in train.examples:
        found.update(e.label if isinstance(e.label, tuple) else [str(e.label)])
    return tuple(sorted(found))


def _refuse_unseen(files: Mapping[str, _File], labels: Sequence[str], declared: bool) -> None:
    shown = ", ".join(map(_short, labels[:12])) + (f" and {len(labels) - 12} more" if len(labels) > 12 else "")
    rule = f"must be one of the declared labels ({shown})" if declared else f"must occur in train ({shown})"
    known = frozenset(labels)
    for file in files.values():
        for line, _, e in file.examples:
            if e.label not in known:
                near = did_you_mean(e.label, labels) if len(file.problems) < LISTED else ""
                file.problems.append((line, f"label {rule}, but is {_short(e.label)}{near}"))


def _of_domain(name: str, domain: str, files: Mapping[str, _File]) -> dict[str, tuple[Example, ...]]:
    if domain:
        known = sorted({d for file in files.values() for _, d, _ in file.examples if d})
        if domain not in known:
            raise ConfigError(Problem(unknown("domain", domain, known), path=f"task {name}"))
    return {s: tuple(e for _, d, e in f.examples if not domain or d == domain) for s, f in files.items()}


def _metrics(name: str, kind: Kind, labels: Sequence[str], card: Card) -> tuple[str, tuple[str, ...]]:
    """The primary metric and the further ones.

    Raises:
        ConfigError: a metric is unknown or does not suit the kind of task.
    """
    fitting = METRICS_OF[kind]
    wanted = [m for m in (card.metric, *card.metrics) if m]
    if wrong := [m for m in wanted if m not in fitting]:
        raise ConfigError(
            Problem(
                unknown("metric", m, list(METRICS))
                if m not in METRICS
                else f"metric must suit a {kind} task ({', '.join(fitting)}), but is {m!r}",
                path=f"task_options.{name}",
            )
            for m in wrong
        )
    spans = all(t == "O" or t[:2] in ("B-", "I-") for t in labels)
    default = "token_accuracy" if kind == "tagging" and not spans else fitting[0]
    second = {"classification": ("macro_f1",), "regression": ("spearman",), "tagging": ("token_accuracy",)}[kind]
    metric = card.metric or default
    return metric, card.metrics or tuple(m for m in second if m != metric)


def _notes(
    kind: Kind, labels: Sequence[str], files: Mapping[str, _File], splits: Mapping[str, tuple[Example, ...]]
) -> Iterator[str]:
    """What was read under another name, what was not read, and tags that train does not hold."""
    ours = {keys[0] for keys in ROLES.values()}
    read: Counter[str] = sum((f.keys for f in files.values()), Counter())
    for role, keys in ROLES.items():
        if others := [k for k in keys if k in read and k not in ours]:
            yield f"{role} was read from the key{'s' * (len(others) > 1)} {', '.join(others)}"
    if ignored := sorted({k for f in files.values() for k in f.ignored}):
        yield "keys that were not read: " + ", ".join(_short(k) for k in ignored[:10])
    if kind == "tagging":
        for split in SPLITS:
            unseen = Counter(t for e in splits[split] for t in _tags(e) if t not in set(labels))
            if unseen:
                counts = ", ".join(f"{t} {n}" for t, n in sorted(unseen.items()))
                yield f"{split} holds {sum(unseen.values())} tags outside the label set: {counts}"


def _tags(example: Example) -> Iterable[str]:
    return example.label if isinstance(example.label, tuple) else ()
