"""Makes a task of the rows of its files: finds the columns, reads the labels, and lists every problem with its place.

The way from rows to a task has three steps. `SplitRows` holds the rows of one split as a reader of files gives them.
`LabelledRows` holds the rows of all splits as examples. `task_of` makes a `Task` of them, or of one of their domains.
The rows of all splits are checked before anything is refused, so that a person reads all problems at once.

Three things are guessed where nobody declares them: which columns hold what (`_columns`), whether labels are classes or
numbers (`_labels`), and how tags mark spans (`_tags`). ``Task.notes`` names each guess, and an option overrules it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from raystudy.errors import ConfigError, DataError, Problem, did_you_mean, printable, unknown_name
from raystudy.metrics import METRICS
from raystudy.tasks import SPLITS, Example, Form, Task, TaskKind
from raystudy.tasks._card import Card
from raystudy.tasks._columns import NEEDS, ROLES, Columns, advice, find_columns, guess, strays
from raystudy.tasks._labels import WHOLE, Labels, RowError, labels_of, several, suspects, unclear_numbers, whole_text
from raystudy.tasks._options import DatasetOptions, options_of
from raystudy.tasks._rows import Row, UnreadableError, in_words
from raystudy.tasks._tags import NoScheme, Scheme, broken, scheme_of

__all__ = ["LISTED", "LabelledRows", "SplitRows", "input_of", "task_of"]

BLANKS = " \t\r\n"  # between tokens; other white space may be one
LISTED = 20  # problems of one file that are shown
# what a first line calls the tags in a file whose columns should have no names
_NAMES_OF_TAGS = ("tag", "ner", "ner_tag", "label", "labels", "pos", "pos_tag", "chunk", "bio", "iob")
METRICS_OF: dict[TaskKind, tuple[str, ...]] = {
    "classification": ("accuracy", "macro_f1", "f1", "mcc"),
    "regression": ("pearson", "spearman"),
    "tagging": ("span_f1", "token_f1", "token_accuracy"),
}


@dataclass
class SplitRows:
    """The rows of one split as a reader of files gives them, with everything that is wrong with them.

    Attributes:
        where: the file, or whatever else a person can look it up by.
        rows: numbered rows, or what is wrong with the row of that number (None: with the whole).
        typed: whether values carry their types; otherwise they are strings, and labels are numbers by their spelling.
        counts: whether the numbers count lines or rows.
        header: whether the first line names the columns; a person may have left it out.
        problems: what is wrong, with the number of the row; more are added while the rows are read.
        notes: what a person should know although it is no error.
    """

    where: str | Path
    rows: Iterable[tuple[int | None, Row | str]] = ()
    typed: bool = True
    counts: Literal["line", "row"] = "line"
    header: bool = False
    problems: list[tuple[int | None, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def readable(self) -> list[tuple[int | None, Row]]:
        """The rows that could be read. Reading them adds to `problems` why the others could not."""
        readable: list[tuple[int | None, Row]] = []
        try:
            for number, row in self.rows:
                if isinstance(row, str):
                    self.problems.append((number, row))
                else:
                    readable.append((number, row))
        except UnreadableError as e:
            self.problems.append((None, str(e)))
        if not readable and not self.problems:
            self.problems.append((None, "must hold at least one row, but is empty"))
        return readable

    def listed_problems(self) -> Iterator[Problem]:
        """The first problems in the order of the rows, at most `LISTED`, then a line that counts the others."""
        ordered = sorted(dict.fromkeys(self.problems), key=lambda p: p[0] or 0)
        for number, message in ordered[:LISTED]:
            if self.counts == "line" or number is None:
                yield Problem(message, file=str(self.where), line=number)
            else:
                yield Problem(message, f"row {number}", str(self.where))
        if len(ordered) > LISTED:
            yield Problem(f"and {len(ordered) - LISTED} more", file=str(self.where))


def task_of(
    name: str, sources: Mapping[str, SplitRows], *, card: Card | None, options: Mapping[str, Any], domain: str = ""
) -> Task:
    """The task of a data set, or of one of its domains.

    Raises:
        DataError, ConfigError: as `LabelledRows.read` and `LabelledRows.task`, which do the work.
    """
    return LabelledRows.read(name, sources, card=card, options=options).task(domain)


# ---------------------------------------------------------------------------------------------------------------------
# from rows to examples


@dataclass
class _RowReader:
    """Makes examples of the rows of one split."""

    source: SplitRows
    columns: Columns
    labels: Labels
    strays: Sequence[str]  # second texts, where single ones are meant
    must_have_domain: bool
    bounds: tuple[float, float] | None = None  # of numbers
    domains: dict[str, str] = field(default_factory=dict)  # value -> its name
    stripped: int = 0  # labels that had blanks around them

    def example(self, row: Row) -> tuple[str, Example]:
        """(domain, example).

        Raises:
            RowError: what the row lacks or holds wrongly, with the rule and the value.
        """
        of, form = self.columns.of, self.columns.form
        if absent := [of[role] for role in NEEDS[form] if of[role] not in row]:
            has = ", ".join(sorted(in_words(k) for k in row)[:8]) or "none"
            raise RowError(f"must have the key{'s' * (len(absent) > 1)} {', '.join(absent)}; its keys are {has}")
        if stray := [s for s in self.strays if s in row]:
            raise RowError(f"must hold a single text like the first row of train, but has {stray[0]!r} as well")
        domain = self._domain(row) if "domain" in of else ""
        if form == "tagging":
            tokens, tags = (_strings(row, of[role], self.source.typed) for role in ("tokens", "tags"))
            if len(tokens) != len(tags):
                raise RowError(f"must have one tag per token, but has {len(tokens)} tokens and {len(tags)} tags")
            return domain, Example(tags, tokens=tokens)
        vector = _numbers(row, of["vector"], self.source.typed) if form == "vector" else ()
        pair = _text(row, of["text_pair"]) if form == "pair" else None
        value = row[of["label"]]
        label = self.labels.read(value, self.source.typed)
        if self.bounds is not None and isinstance(label, float) and not self.bounds[0] <= label <= self.bounds[1]:
            least, greatest = self.bounds
            raise RowError(f"{of['label']} must be a number from {least:g} to {greatest:g}, but is {in_words(value)}")
        self.stripped += isinstance(value, str) and value != value.strip() and isinstance(label, str)
        if form == "vector":
            return domain, Example(label, vector=vector)
        return domain, Example(label, text=_text(row, of["text"]), pair=pair)

    def _domain(self, row: Row) -> str:
        key = self.columns.of["domain"]
        if row.get(key) is None and not self.must_have_domain:
            return ""
        if key not in row:
            raise RowError(f"must have the key {key} as other rows do (`domains: together` does without)")
        value = row[key]
        value = _text({key: str(value) if isinstance(value, int) else value}, key)
        if (name := self.domains.get(value)) is None:
            name = self.domains[value] = _domain_name(value)
        if not name:
            raise RowError(
                f"{key} must hold a letter or a digit and be short, to name a task, but is {in_words(value)}"
            )
        return name


def _domain_name(value: str) -> str:
    """A domain as part of a task's name, which also names files: every character but letters, digits, ``._+-`` is _."""
    name = re.sub(r"[^\w.+-]+", "_", value).strip("_.")
    return name if re.search(r"\w", name) and len(name) <= 80 else ""


def input_of(row: Row, of: Mapping[str, str], form: Form, typed: bool) -> Example:
    """The example of a row whose label nobody asks for; an empty one stands in its place.

    Args:
        of: role -> column; every role that `form` needs but those of labels.
        typed: whether values carry their types.

    Raises:
        RowError: what the row lacks or holds wrongly.
    """
    if absent := [c for c in of.values() if c not in row]:
        has = ", ".join(sorted(in_words(k) for k in row)[:8]) or "none"
        raise RowError(f"must have the key{'s' * (len(absent) > 1)} {', '.join(absent)}; its keys are {has}")
    if form == "tagging":
        tokens = _strings(row, of["tokens"], typed)
        return Example(("",) * len(tokens), tokens=tokens)
    if form == "vector":
        return Example("", vector=_numbers(row, of["vector"], typed))
    return Example("", text=_text(row, of["text"]), pair=_text(row, of["text_pair"]) if form == "pair" else None)


def _text(row: Row, key: str) -> str:
    value = row[key]
    if not isinstance(value, str):
        raise RowError(f"{key} must be a string, but is {in_words(value)}")
    if not value.strip():
        raise RowError(f"{key} must not be empty, but is {in_words(value)}")
    return whole_text(value, key)


def _strings(row: Row, key: str, typed: bool) -> tuple[str, ...]:
    """The tokens or tags of a row: a list, or, where all values are strings, a JSON list or words between blanks."""
    value = row[key]
    if isinstance(value, str) and not typed:
        value = _parse_list(value, key)
    if not isinstance(value, list):
        raise RowError(f"{key} must be a list of strings, but is {in_words(value)}")
    if not value:
        raise RowError(f"{key} must not be empty, but is []")
    for i, item in enumerate(value):
        if not isinstance(item, str) or not item.strip():
            raise RowError(f"{key} must be non-empty strings, but item {i + 1} is {in_words(item)}")
    return tuple(whole_text(item, key) for item in value)


def _numbers(row: Row, key: str, typed: bool) -> tuple[float, ...]:
    """A vector: a list of finite numbers, which JSON Lines and Parquet can hold."""
    value = row[key]
    if not typed:
        raise RowError(f"{key} must be a list of numbers, which a file of JSON Lines or Parquet can hold and no other")
    if not isinstance(value, list):
        raise RowError(f"{key} must be a list of numbers, but is {in_words(value)}")
    if not value:
        raise RowError(f"{key} must not be empty, but is []")
    for i, x in enumerate(value):
        if isinstance(x, bool) or not isinstance(x, int | float) or not abs(x) < 3e38:  # as single precision has it
            raise RowError(f"{key} must be finite numbers, but item {i + 1} is {in_words(x)}")
    return tuple(map(float, value))


def _refuse_other_lengths(rows: Mapping[str, Sequence[NumberedExample]], sources: Mapping[str, SplitRows]) -> None:
    """Add to the problems every vector that is longer or shorter than the first of train."""
    wanted = next((len(e.vector) for *_, e in rows["train"]), 0)
    for split, part in rows.items():
        problems = sources["train" if split not in sources else split].problems
        for number, _, e in part:
            if len(e.vector) != wanted:
                problems.append(
                    (number, f"must have {wanted} numbers as the first vector of train, but has {len(e.vector)}")
                )


def _parse_list(text: str, key: str) -> list[Any]:
    text = text.strip(BLANKS)
    if text.startswith('["') and text.endswith('"]'):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, list):
            return value
    if text.startswith(("['", '["')) and text.endswith(("']", '"]')):
        rule = "must be strings between blanks, or a JSON list of strings in double quotation marks"
        raise RowError(f"{key} {rule}, but is {in_words(text)}")
    return re.split(f"[{BLANKS}]+", text)


# ---------------------------------------------------------------------------------------------------------------------
# from splits to a table of all domains

NumberedExample = tuple[int | None, str, Example]  # number of the row, domain, example


@dataclass(frozen=True)
class LabelledRows:
    """All rows of a data set as examples, after all checks. A task is made of all of them or of one domain.

    Attributes:
        rows: split -> (domain, example) of every row.
        metrics: the primary metric first.
        domains: their names, sorted; empty if the data set has none or is kept together.
        scheme: how tags mark spans, if they do.
        label_columns: the names of the columns that labels were read from.
        declared: whether the user or the card states the label set, so that no label of it is doubtful.
        columns: role -> the column of train that it was read from.
    """

    name: str
    form: Form
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: Mapping[str, Sequence[tuple[str, Example]]]
    domains: tuple[str, ...]
    card: Card
    notes: tuple[str, ...]
    scheme: Scheme | None = None
    label_columns: tuple[str, ...] = ()
    declared: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(
        cls, name: str, sources: Mapping[str, SplitRows], *, card: Card | None, options: Mapping[str, Any]
    ) -> LabelledRows:
        """All rows as examples.

        The label set is the one declared, else the sorted set of the full train split, all domains, so that the
        domains of one data set share their classes.

        Args:
            sources: train, dev and test; dev and test may be absent if the options ``dev_from_train`` and
                ``test_from_train`` are given.
            card: what is known of the data set; None = a user's own.
            options: as in `DatasetOptions`; they win over the card.

        Raises:
            DataError: everything that is wrong in all splits, with its place (20 per split, then how many more).
            ConfigError: an unknown option, or one that is wrong or does not suit the data.
        """
        asked = options_of(name, options)
        _refuse_missing(name, sources, asked)
        train = sources["train"]
        for source in sources.values():
            source.readable  # noqa: B018  whatever cannot be read is a problem from here on
        columns = _columns(name, sources, card, asked)
        form, users_own = columns["train"].form, card is None
        train.notes += _column_notes(sources, columns, asked, users_own=users_own)
        card = _with_options(card or Card(form="single"), asked)
        kind_of_options = asked.kind or (None if asked.bounds is None else "regression")
        kind_asked = kind_of_options or (None if card.labels or asked.label_text else card.kind)
        if form == "tagging" and kind_of_options is not None:
            key = "kind" if asked.kind else "bounds"
            raise ConfigError(
                Problem(f"{key} must be left out: the rows hold one tag per token", f"task_options.{name}.{key}")
            )
        numbered_labels = [
            (n, row[c]) for n, row in train.readable if (c := columns["train"].of.get("label", "")) in row
        ]
        values = [v for _, v in numbered_labels]
        labels = labels_of(values, kind=kind_asked, declared=card.labels, described=bool(asked.label_text))
        kind_declared = bool(kind_asked is not None or card.labels or asked.label_text)
        if not kind_declared and form != "tagging" and (unclear := unclear_numbers(values)):
            train.problems.append((numbered_labels[unclear[0]][0], unclear[1]))
        kind: TaskKind = "tagging" if form == "tagging" else "regression" if labels.numbers else "classification"
        if card.kind is not None and kind != card.kind and not asked.metric:  # its metrics are those of its own kind
            card = replace(card, metric="", metrics=(), second_metric="")
        bounds = card.bounds if kind == "regression" else None
        rows: dict[str, list[NumberedExample]] = {}
        for split, source in sources.items():
            has_columns = not (columns[split].missing or columns["train"].missing)
            rows[split] = (
                _examples(source, columns[split], labels, asked, users_own=users_own, bounds=bounds)
                if has_columns
                else []
            )
        if form == "vector":
            _refuse_other_lengths(rows, sources)
        carved = [split for split in ("test", "dev") if split not in sources]
        for split in carved:
            rows["train"], rows[split] = _carved(name, split, rows["train"], asked.from_train(split), train)
        label_set = () if kind == "regression" else card.labels or _label_set(rows["train"])
        merge = _merge_of(name, kind, label_set, card, asked)
        if merge:
            rows, merge_note = _merge_labels(rows, merge)
            label_set = tuple(dict.fromkeys(merge.get(label, label) for label in label_set))
            train.notes.append(merge_note)
        spelling_notes: list[str] = []
        scheme = scheme_of(label_set) if kind == "tagging" else None
        if isinstance(scheme, Scheme):
            card = replace(card, label_text={scheme.spelt(k): v for k, v in card.label_text.items()})
            rows, label_set, spelling_notes = _respell_tags(rows, label_set, scheme)
        if kind == "classification" and (card.labels or not train.problems):
            _refuse_unseen(rows, sources, label_set, bool(card.labels))
        if not train.problems:
            train.problems += _only_one_label(kind, rows["train"])
        if problems := [p for source in sources.values() for p in source.listed_problems()]:
            raise DataError(problems)
        _check_words(name, kind, label_set, card.label_text if asked.label_text else {})
        if isinstance(scheme, NoScheme) and "span_f1" not in (asked.metric, *asked.metrics):
            # the metric of a card is that of its own tags, and the user may have asked for others (`merge`)
            card = replace(card, metric="", metrics=(), second_metric="") if card.metric == "span_f1" else card
        metrics = _metrics(name, kind, scheme, card)
        _check_positive(name, label_set, metrics, card, asked)
        return cls(
            name=name,
            form=form,
            labels=label_set,
            metrics=metrics,
            rows={split: [(d, e) for _, d, e in rows[split]] for split in SPLITS},
            domains=tuple(sorted({d for part in rows.values() for _, d, _ in part if d})),
            card=card,
            notes=(
                *dict.fromkeys(note for source in sources.values() for note in source.notes),
                *([] if form == "tagging" else labels.notes),
                *([] if kind_declared else _label_notes(kind, label_set)),
                *spelling_notes,
                *_scheme_notes(scheme, label_set, metrics, card),
                *_positive_note(label_set, metrics, card),
                *(_carved_note(split, rows, asked, "dev" in carved) for split in carved),
            ),
            scheme=scheme if isinstance(scheme, Scheme) else None,
            label_columns=()
            if card.labels
            else tuple(
                {c.of[r] for c in columns.values() for r in ("label", "tags") if r in c.of}.union(
                    (*ROLES["tags"], *_NAMES_OF_TAGS) if form == "tagging" else ()
                )
            ),
            declared=bool(card.labels),
            columns=dict(columns["train"].of),
        )

    def task(self, domain: str = "") -> Task:
        """The task of all rows, called by its name, or of one domain, called ``name/domain``.

        Raises:
            ConfigError: there is no such domain.
            DataError: it has no rows in a split, or only one class in train.
        """
        full = f"{self.name}/{domain}" if domain else self.name
        if domain and domain not in self.domains:
            raise ConfigError(
                Problem(unknown_name(f"domain of {self.name}", domain, self.domains), path=f"task {full}")
            )
        splits = {s: tuple(e for d, e in rows if not domain or d == domain) for s, rows in self.rows.items()}
        if domain:
            _refuse_empty_domain(self.name, domain, self, splits)
        task = Task(
            name=full,
            form=self.form,
            labels=self.labels,
            splits=splits,
            metric=self.metrics[0],
            metrics=self.metrics[1:],
            second_metric=self.card.second_metric if self.card.second_metric != self.metrics[0] else "",
            positive=self.card.positive if "f1" in self.metrics else "",
            label_text=dict(self.card.label_text),
            length=self.card.length,
            source=self.card.source or f"folder {self.name}",
            licence=self.card.licence,
            domains=() if domain else self.domains,
            columns=self.columns,
        )
        return replace(task, notes=tuple(map(printable, (*self.notes, *_split_notes(task, self)))))


def _refuse_empty_domain(name: str, domain: str, table: LabelledRows, splits: Mapping[str, Sequence[Example]]) -> None:
    """Raise DataError for a domain of which no task can be made."""
    problems = [f"the domain {domain!r} of {name} has no rows in {s}" for s in SPLITS if not splits[s]]
    classes = {e.label for e in splits["train"]}
    if table.form != "tagging" and len(classes) == 1:
        what = "the class" if table.labels else "the number"
        problems.append(f"the domain {domain!r} of {name} has only {what} {in_words(next(iter(classes)))} in train")
    if problems:
        cure = f"list the domains that you want, or keep {name} whole with `domains: together`"
        raise DataError(Problem(f"{p}: {cure}", path=f"task {name}/{domain}") for p in problems)


def _columns(
    name: str, sources: Mapping[str, SplitRows], card: Card | None, options: DatasetOptions
) -> dict[str, Columns]:
    """The columns of every split. The first row of train decides the form of all, unless the card does."""
    named_columns = {role: str(column) for role, column in options.columns.items()}
    domain: tuple[str, ...] = ROLES["domain"] if card is None else ("domain", "genre") if card.domains else ()
    if options.domains == "together":
        domain = ()
    names = {
        split: list(dict.fromkeys(k for _, row in source.readable for k in row)) for split, source in sources.items()
    }
    first = list(sources["train"].readable[0][1]) if sources["train"].readable else []
    form = card.form if card else find_columns(first, named_columns, None, lists=_holds_numbers(sources["train"])).form
    columns_of: dict[str, Columns] = {}
    for split, source in sorted(sources.items(), key=lambda s: s[0] != "train"):
        # the other splits use the names of train's columns; only a split that lacks one is searched for other names
        of_train = columns_of["train"].of if columns_of else {}
        roles = {**{r: c for r, c in of_train.items() if c in names[split]}, **named_columns}
        columns = find_columns(names[split], roles, form, domain=domain)
        absent = [c for c in named_columns.values() if c not in names[split]]
        if (
            split == "train"
            and not absent
            and (guessed := guess([r for _, r in source.readable], names[split], columns))
        ):
            columns = replace(columns, of={**columns.of, **guessed})
            source.notes.append(
                "GUESSED, because no name says it: "
                + ", ".join(f"{r} is the column {in_words(c)}" for r, c in guessed.items())
            )
        if (columns.missing or absent) and source.readable and not (split != "train" and columns_of["train"].missing):
            header = source.header and not options.numbers
            source.problems.append((None, advice(name, names[split], columns, named_columns, header=header)))
        columns_of[split] = columns
    return columns_of


def _holds_numbers(train: SplitRows) -> bool:
    """Whether the first row of train has a list of numbers."""
    values = train.readable[0][1].values() if train.typed and train.readable else ()
    return any(isinstance(v, list) and v and all(isinstance(x, int | float) for x in v) for v in values)


def _column_notes(
    sources: Mapping[str, SplitRows], columns_of: Mapping[str, Columns], options: DatasetOptions, *, users_own: bool
) -> Iterator[str]:
    """Notes on columns: those read under another name than ours, those that could have been, and those not read."""
    columns_read: dict[tuple[str, str], None] = {}
    for columns in columns_of.values():
        columns_read.update(dict.fromkeys((role, c) for role, c in columns.of.items()))
    if other := [f"{_name_in_words(c)} as {role}" for role, c in columns_read if c != role]:
        yield "columns read: " + ", ".join(other)
    rivals = columns_of["train"].rivals if users_own else {}
    if alternatives := [
        f"{_name_in_words(r)} as {role}" for role in rivals if role not in options.columns for r in rivals[role]
    ]:
        could = f"columns not read, though they could have been: {', '.join(alternatives)}"
        yield f"{could} (`columns` in task_options decides)"
    used = {c for _, c in columns_read}.union(*rivals.values())
    if unread := sorted({k for source in sources.values() for _, row in source.readable for k in row} - used):
        rest = f" and {len(unread) - 10} more" if len(unread) > 10 else ""
        yield "columns not read: " + ", ".join(_name_in_words(k) for k in unread[:10]) + rest


def _name_in_words(name: str) -> str:
    """A column's name in a sentence, quoted only where it has to be."""
    return name if re.fullmatch(r"[\w .-]{1,60}", name) and name == name.strip() else in_words(name)


def _examples(
    source: SplitRows,
    columns: Columns,
    labels: Labels,
    options: DatasetOptions,
    *,
    users_own: bool,
    bounds: tuple[float, float] | None = None,
) -> list[NumberedExample]:
    """(number, domain, example) of every row that makes one; the others become problems of the split."""
    names = dict.fromkeys(k for _, row in source.readable for k in row)
    second = strays(list(names)) if columns.form == "single" and "text" not in options.columns else ()
    reader = _RowReader(source, columns, labels, second, must_have_domain=users_own, bounds=bounds)
    examples: list[NumberedExample] = []
    for number, row in source.readable:
        try:
            examples.append((number, *reader.example(row)))
        except RowError as e:
            source.problems.append((number, str(e)))
    if reader.stripped:
        many = "1 label has" if reader.stripped == 1 else f"{reader.stripped} labels have"
        source.notes.append(f"{many} blanks at the ends, which are no part of the class")
    value_of: dict[str, str] = {}
    for value, name in reader.domains.items():
        if name and value_of.setdefault(name, value) != value:
            both = f"{in_words(value_of[name])} and {in_words(value)}"
            source.problems.append((None, f"domains must differ in letters or digits, but {both} are both {name}"))
        elif name and name != value:
            source.notes.append(f"the domain {in_words(value)} is called {name} in the names of tasks")
    return examples


def _refuse_missing(name: str, sources: Mapping[str, SplitRows], options: DatasetOptions) -> None:
    """Raise DataError unless every split is there, or dev and test can be carved from train."""
    missing = [s for s in SPLITS if s not in sources and options.from_train(s) is None]
    problems = [
        f"must have the split {s}: name it with `splits` in task_options"
        + ("" if s == "train" else f", or carve it from train with `{s}_from_train: 0.1`")
        for s in missing
    ]
    problems += [
        f"has a {s} split ({sources[s].where}), so {s}_from_train must be left out"
        for s in SPLITS
        if s in sources and options.from_train(s) is not None
    ]
    if problems:
        raise DataError(Problem(p, path=f"task {name}") for p in problems)


def _carved(
    name: str, split: str, train: Sequence[NumberedExample], amount: float | int | None, source: SplitRows
) -> tuple[list[NumberedExample], list[NumberedExample]]:
    """(train, `split`), both in the order of the file; an amount that train cannot spare is a problem of `source`.

    The new split has the proportions of domains and classes that train has, and none of them is taken whole. Which
    examples are taken depends on the name of the data set and on the texts, not on their order in the file.
    """
    option = f"{split}_from_train"
    n = max(1, round(amount * len(train))) if isinstance(amount, float) else int(amount or 0)
    strata: dict[tuple[str, str], list[int]] = {}
    for i, (_, domain, e) in enumerate(train):
        strata.setdefault((domain, e.label if isinstance(e.label, str) else ""), []).append(i)
    if n > (most := len(train) - len(strata)) and not source.problems:
        source.problems.append(
            (
                None,
                f"{option} must leave train an example of every class, but asks for {n} of "
                f"{len(train)}" + (f": at most {most}" if most else ""),
            )
        )
        return list(train), []

    def order(i: int) -> bytes:
        e = train[i][2]
        vector = [e.vector] if e.vector else []
        text = json.dumps([name, option, e.text, e.pair, e.tokens, *vector], ensure_ascii=False)
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    exact = {key: min(n * len(at) / max(1, len(train)), len(at) - 1) for key, at in strata.items()}
    take = {key: int(x) for key, x in exact.items()}
    by_remainder = sorted((k for k in exact if take[k] < len(strata[k]) - 1), key=lambda k: (take[k] - exact[k], k))
    for key in by_remainder[: max(0, n - sum(take.values()))]:
        take[key] += 1
    taken = {i for key, at in strata.items() for i in sorted(at, key=order)[: take[key]]}
    return [r for i, r in enumerate(train) if i not in taken], [r for i, r in enumerate(train) if i in taken]


def _with_options(card: Card, options: DatasetOptions) -> Card:
    """The card, in which the study's options replace what they say too."""
    names = ("labels", "label_text", "metric", "metrics", "second_metric", "positive", "length", "bounds")
    set_options = {k: v for k in names if (v := getattr(options, k))}
    if options.metric and options.metric != card.metric:  # what stands behind another metric nobody has said
        set_options.setdefault("second_metric", "")
    return replace(card, **set_options)


def _merge_of(
    name: str, kind: TaskKind, labels: Sequence[str], card: Card, options: DatasetOptions
) -> Mapping[str, str]:
    """label -> the coarser label that it is read as.

    Raises:
        ConfigError: the option speaks of a label that there is not, or of labels where there are none.
    """
    if options.merge is None:
        return {k: v for k, v in card.merge.items() if k in labels}
    path = f"task_options.{name}.merge"
    if options.merge and kind == "regression":
        raise ConfigError(Problem("must be left out: the labels are numbers, not classes", path))
    if strange := [k for k in options.merge if k not in labels]:
        raise ConfigError(Problem(unknown_name("label", k, labels), f"{path}.{k}") for k in strange)
    return options.merge


def _merge_labels(
    rows: Mapping[str, Sequence[NumberedExample]], merge: Mapping[str, str]
) -> tuple[dict[str, list[NumberedExample]], str]:
    """The rows with coarser labels, and how often each was read as another."""
    counts: Counter[str] = Counter()

    def coarser(label: Any) -> Any:
        if isinstance(label, tuple):
            return tuple(map(coarser, label))
        counts[label] += label in merge
        return merge.get(label, label)

    merged_rows = {s: [(n, d, replace(e, label=coarser(e.label))) for n, d, e in part] for s, part in rows.items()}
    changes = ", ".join(f"{in_words(k)} as {in_words(v)} ({counts[k]})" for k, v in merge.items() if k != v)
    return merged_rows, f"labels read as coarser ones, in all splits: {changes} (`merge: {{}}` keeps them)"


def _label_set(train: Sequence[NumberedExample]) -> tuple[str, ...]:
    labels: set[str] = set()
    for *_, e in train:
        labels.update(e.label if isinstance(e.label, tuple) else [str(e.label)])
    return tuple(sorted(labels))


def _refuse_unseen(
    rows: Mapping[str, Sequence[NumberedExample]],
    sources: Mapping[str, SplitRows],
    labels: Sequence[str],
    declared: bool,
) -> None:
    """Add to the problems every label that is none of `labels`."""
    names = ", ".join(map(in_words, labels[:12])) + (f" and {len(labels) - 12} more" if len(labels) > 12 else "")
    rule = f"must be one of the declared labels ({names})" if declared else f"must occur in train ({names})"
    numbers = not declared and all(WHOLE.fullmatch(label) for label in labels)
    cure = "; if the labels are numbers and no classes, say `kind: regression`" if numbers else ""
    label_set = frozenset(labels)
    for split, part in rows.items():
        problems = sources["train" if split not in sources else split].problems
        for number, _, e in part:
            if e.label not in label_set:
                near = did_you_mean(e.label, labels) if len(problems) < LISTED else ""
                problems.append((number, f"label {rule}, but is {in_words(e.label)}{near}{cure}"))


def _only_one_label(kind: TaskKind, train: Sequence[NumberedExample]) -> list[tuple[int | None, str]]:
    """The problem of a train split with a single label: there is nothing to tell apart."""
    labels = {e.label for *_, e in train}
    if len(labels) != 1 or kind == "tagging":
        return []
    needs = "two different numbers as labels" if kind == "regression" else "two classes"
    return [(None, f"a {kind} task needs at least {needs}, but every label is {in_words(next(iter(labels)))}")]


def _check_words(name: str, kind: TaskKind, labels: Sequence[str], words: Mapping[str, str]) -> None:
    """Raise ConfigError if the option ``label_text`` has words for a label that the task lacks."""
    path = f"task_options.{name}.label_text"
    if kind == "regression" and words:
        raise ConfigError(Problem("must be left out: the labels are numbers, not classes", path))
    if strange := [k for k in words if k not in labels]:
        raise ConfigError(Problem(unknown_name("label", k, labels), f"{path}.{k}") for k in strange)


def _check_positive(
    name: str, labels: Sequence[str], metrics: Sequence[str], card: Card, options: DatasetOptions
) -> None:
    """Raise ConfigError if the positive class is no class or no metric reads it, or if f1 is asked for without one."""
    path, f1 = f"task_options.{name}.positive", "f1" in metrics
    if options.positive and not f1:
        text = f"positive is read by the metric f1, but the metrics are {', '.join(metrics)}: add `metric: f1`"
        raise ConfigError(Problem(text, path))
    if f1 and card.positive and card.positive not in labels:
        raise ConfigError(Problem(unknown_name("positive class", card.positive, labels), path))
    if f1 and not card.positive and len(labels) > 2:
        rule = f"f1 is that of one class, and with {len(labels)} classes none is positive by itself"
        cure = "name it (`positive: CLASS`), or take macro_f1, the mean over all classes"
        raise ConfigError(Problem(f"{rule}: {cure}", path))


def _positive_note(labels: Sequence[str], metrics: Sequence[str], card: Card) -> Iterator[str]:
    """A note that says of which class f1 is, and why."""
    if "f1" in metrics:
        why = "" if card.positive else ", the last of the label set (`positive` in task_options names another)"
        yield f"f1 is that of the class {in_words(card.positive or labels[-1])}{why}"


def _metrics(name: str, kind: TaskKind, scheme: Scheme | NoScheme | None, card: Card) -> tuple[str, ...]:
    """The primary metric first.

    Args:
        scheme: how tags mark spans, or why they do not.

    Raises:
        ConfigError: a metric is unknown or does not suit the kind of task or its tags.
    """
    fitting = METRICS_OF[kind]
    metrics = [m for m in (card.metric, card.second_metric, *card.metrics) if m]
    if wrong := [m for m in metrics if m not in fitting]:
        raise ConfigError(
            Problem(
                unknown_name("metric", m, list(METRICS))
                if m not in METRICS
                else f"metric must suit a {kind} task ({', '.join(fitting)}), but is {m!r}",
                path=f"task_options.{name}.{_key_of_metric(m, card)}",
            )
            for m in wrong
        )
    if isinstance(scheme, NoScheme) and "span_f1" in metrics:
        rule = "metric must be token_accuracy or token_f1, as span_f1 needs tags that mark spans"
        path = f"task_options.{name}.{_key_of_metric('span_f1', card)}"
        raise ConfigError(Problem(f"{rule}: {scheme.why}", path=path))
    default = "token_accuracy" if isinstance(scheme, NoScheme) else fitting[0]
    second = {"classification": "macro_f1", "regression": "spearman", "tagging": "token_accuracy"}[kind]
    metric = card.metric or default
    beside = card.metrics if card.metrics or card.second_metric else (second,)
    return metric, *dict.fromkeys(m for m in (card.second_metric, *beside) if m and m != metric)


def _key_of_metric(metric: str, card: Card) -> str:
    """The option that asks for a metric."""
    return {card.metric: "metric", card.second_metric: "second_metric"}.get(metric, "metrics")


# ---------------------------------------------------------------------------------------------------------------------
# what a person should know


def _label_notes(kind: TaskKind, label_set: Sequence[str]) -> Iterator[str]:
    """Notes on what was guessed of labels that nobody described."""
    if kind == "classification" and all(WHOLE.fullmatch(label) for label in label_set):
        as_classes = f"labels are whole numbers and were read as {len(label_set)} classes"
        yield f"{as_classes} (`kind: regression` reads them as numbers)"


def _respell_tags(
    rows: Mapping[str, Sequence[NumberedExample]], label_set: Sequence[str], scheme: Scheme
) -> tuple[dict[str, list[NumberedExample]], tuple[str, ...], list[str]]:
    """The rows and the label set with every tag spelt ``B-x``, and a note if any was not."""
    changed = [t for t in label_set if scheme.spelt(t) != t]
    if not changed:
        return {s: list(part) for s, part in rows.items()}, tuple(label_set), []

    def spelt(e: Example) -> Example:
        return replace(e, label=tuple(map(scheme.spelt, e.label))) if isinstance(e.label, tuple) else e

    respelt_rows = {s: [(n, d, spelt(e)) for n, d, e in part] for s, part in rows.items()}
    changes = several([f"{in_words(t)} as {in_words(scheme.spelt(t))}" for t in changed], 4)
    return (
        respelt_rows,
        tuple(dict.fromkeys(map(scheme.spelt, label_set))),
        [f"tags read in another spelling: {changes}"],
    )


def _scheme_notes(
    scheme: Scheme | NoScheme | None, labels: Sequence[str], metrics: Sequence[str], card: Card
) -> Iterator[str]:
    """Notes on how tags mark spans, where that is unusual, or on words that are scored one by one."""
    if isinstance(scheme, Scheme) and scheme.ends:
        yield f"tags are {scheme.name}, which marks the last word of a span too; span F1 reads it as conlleval does"
    if isinstance(scheme, NoScheme) and (scheme.alike or "O" in labels) and not card.metric:
        outside = ", O among them (`metric: token_f1` leaves O out)" * ("O" in labels)
        yield f"words are scored one by one{outside}, not by spans: {scheme.why}"
    if "token_f1" in metrics and "O" not in labels and not card.labels:
        cure = "if one is, `merge` reads it as O, as in `merge: {NONE: O}`"
        yield f"token_f1 leaves out the tag O, but train has no O, so that every tag is a right answer to find: {cure}"


def _carved_note(
    split: str, rows: Mapping[str, Sequence[NumberedExample]], options: DatasetOptions, dev_too: bool
) -> str:
    """What was taken from train; test is taken first, before dev where that is taken too."""
    n = len(rows[split])
    of = n + len(rows["train"]) + (len(rows["dev"]) if dev_too and split == "test" else 0)
    amount = options.from_train(split)
    return f"{split} is {n} of {of} training examples ({split}_from_train: {amount}), always the same ones"


def _span_notes(task: Task, scheme: Scheme) -> Iterator[str]:
    """Notes on tags that stand where the scheme does not allow them, in all splits."""
    wrong = {s: sum(broken(e.label, scheme) for e in task.splits[s] if isinstance(e.label, tuple)) for s in SPLITS}
    places = ", ".join(f"{n} in {s}" for s, n in wrong.items() if n)
    if places and scheme.ends:
        yield f"tags that {scheme.name} does not allow where they stand: {places}; read as conlleval does"
    elif places:
        yield f"I tags that continue no span: {places}; each begins one, as conlleval reads them"
        if _is_iob1(task):
            yield "the tags are IOB1: B stands only between two spans of one type"


def _is_iob1(task: Task) -> bool:
    """Whether train has a B, and every B divides a span from one of its type before it."""
    pairs = [
        (a, b)
        for e in task.splits["train"]
        if isinstance(e.label, tuple)
        for a, b in zip(("O", *e.label), e.label, strict=False)
        if b[:1] == "B"
    ]
    return bool(pairs) and all(a[:1] in ("B", "I") and a[1:] == b[1:] for a, b in pairs)


def _encoding_notes(
    texts: Mapping[str, Sequence[tuple[str, str | None, tuple[str, ...]]]],
) -> Iterator[str]:
    """Notes on texts that seem to have been written or decoded in another encoding before."""
    whole_texts = {
        s: [" ".join((text, pair or "", *tokens)) for text, pair, tokens in part] for s, part in texts.items()
    }
    not_ascii = {s: [t for t in part if not t.isascii()] for s, part in whole_texts.items()}
    for what, pattern in _ENCODING_DAMAGES:
        matches = {s: [m for t in part if (m := pattern.search(t))] for s, part in not_ascii.items()}
        if places := ", ".join(f"{len(part)} in {s}" for s, part in matches.items() if part):
            first = next(m for part in matches.values() for m in part)
            excerpt = first.string[max(0, first.start() - 10) : first.end() + 10]
            yield f"texts {what}: {places} (the first: {in_words(excerpt)})"


_ENCODING_DAMAGES = (
    ("with the mark of a lost character, U+FFFD", re.compile("\ufffd")),
    # two-byte and three-byte characters of UTF-8 whose bytes were taken for characters of Windows-1252
    (
        "that look like UTF-8 read as Windows-1252",
        re.compile("[\u00c2\u00c3\u00d0\u00d1][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e]|\u00e2\u20ac"),
    ),
)


def _split_notes(task: Task, table: LabelledRows) -> Iterator[str]:
    """Notes on tags that train lacks, labels that look like none, evaluation on one class, and texts in two splits."""
    if table.scheme is not None:
        yield from _span_notes(task, table.scheme)
    if task.kind != "regression" and not table.declared:
        yield from suspects(task.counts, task.labels, table.label_columns, tags=task.kind == "tagging")
    label_set = set(task.labels)
    for split in SPLITS:
        frequencies = Counter(
            t for e in task.splits[split] for t in (e.label if isinstance(e.label, tuple) else [e.label])
        )
        if task.kind == "tagging" and (unseen := {str(t): n for t, n in frequencies.items() if t not in label_set}):
            counts = several([f"{_name_in_words(t)} {n}" for t, n in sorted(unseen.items())])
            yield f"{split} holds {sum(unseen.values())} tags outside the label set: {counts}"
        if (
            task.kind != "regression"
            and split == "train"
            and (absent := [c for c in task.labels if c not in frequencies])
        ):
            one, more = ("tag", "tags") if task.kind == "tagging" else ("class", "classes")
            noun = one if len(absent) == 1 else more
            yield f"train holds no example of the {noun} {several(list(map(in_words, absent)))}"
        if task.kind != "tagging" and split != "train" and len(frequencies) == 1:
            yield f"every label of {split} is {in_words(next(iter(frequencies)))}: a metric on it says little"
    if "f1" in task.all_metrics and not task.counts["test"].get(task.positive_class) and len(task.labels) > 2:
        yield f"test holds no example of the positive class {in_words(task.positive_class)}, so that f1 is 0"
    yield from _encoding_notes({s: [(e.text, e.pair, e.tokens) for e in task.splits[s]] for s in SPLITS})
    what = "vectors" if task.form == "vector" else "texts"
    contents = {s: [(e.text, e.pair, e.tokens, e.vector) for e in task.splits[s]] for s in SPLITS}
    for first, second in combinations(SPLITS, 2):
        of_first = set(contents[first])
        if n := sum(c in of_first for c in contents[second]):
            yield f"{n} of {len(contents[second])} {second} {what} also occur in {first}"
