"""Reads a file of texts without labels, by the same readers and rules as a file of a data set.

Labels that such a file holds all the same are not looked at. One row makes one example; a file with a row that makes
none is refused with everything that is wrong in it, for an answer that is missing would shift all that follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raystudy.errors import ConfigError, DataError, Problem, did_you_mean
from raystudy.paths import expanded_path, kind_of
from raystudy.tasks import Example, Form
from raystudy.tasks._build import BLANKS, SplitRows, input_of
from raystudy.tasks._columns import NEEDS, find_columns, text_like
from raystudy.tasks._labels import RowError
from raystudy.tasks._rows import (
    READERS,
    NumberedRows,
    ReadOptions,
    Row,
    UnreadableError,
    in_words,
    suffix_of,
    text_lines,
)

__all__ = ["Inputs", "read_inputs"]


@dataclass(frozen=True)
class Inputs:
    """The examples of a file, one for each row, in its order.

    Attributes:
        of: role -> the column that it was read from.
        notes: what a person should know of how the file was read.
    """

    examples: tuple[Example, ...]
    of: Mapping[str, str]
    notes: tuple[str, ...]


def read_inputs(
    path: str | Path,
    form: Form,
    *,
    usual: Mapping[str, str] | None = None,
    given: Mapping[str, str] | None = None,
    numbers: int = 0,
    where: str = "FILE",
) -> Inputs:
    """The inputs of a file: texts, pairs of texts, sentences of words, or vectors.

    Beside the formats of data sets, ``.txt`` is a text a line, or, for words, a word a line with an empty line between
    sentences.

    Args:
        usual: role -> a column that plays it if the file has it.
        given: role -> the column that plays it, as the user says.
        numbers: of a vector.
        where: what a problem is about that concerns no row.

    Raises:
        ConfigError: there is no such file, or none in a format that is read. DataError: everything that is wrong in it.
    """
    file = expanded_path(path, where)
    if (kind := kind_of(file)) != "file":
        what = {"folder": "is a folder, not a file", "nothing": "no such file"}.get(kind, "cannot be read")
        near = did_you_mean(file.name, [p.name for p in _beside(file)]) if kind == "nothing" else ""
        raise ConfigError(Problem(what + near, where, str(file)))
    suffix = suffix_of(file.name)
    if not suffix:
        endings = ", ".join(s for s in READERS if not s.endswith(".gz"))
        raise ConfigError(Problem(f"must end in one of {endings} (all but Parquet with .gz too)", where, str(file)))
    try:
        data = file.read_bytes()
    except OSError as e:
        raise ConfigError(Problem(f"cannot be read: {e.strerror or e}", where, str(file))) from None
    reader = READERS[suffix]
    notes: list[str] = []
    options = ReadOptions(add_note=notes.append)
    if form in ("single", "tagging") and reader.names == "none" and not suffix.endswith(".gz"):
        plain = _texts(data) if form == "single" and suffix == ".txt" else _words(data)
        rows = reader.rows(data, options) if plain is None else plain
    else:
        rows = reader.rows(data, options)
    source = SplitRows(file, rows, typed=reader.typed or reader.names == "none", counts=reader.counts)
    readable = source.readable
    of: dict[str, str] = {}
    if readable:
        of = _columns(source, form, usual or {}, given or {}, notes)
    examples: list[Example] = []
    for number, row in readable if of else ():
        try:
            example = input_of(row, of, form, source.typed)
        except RowError as e:
            source.problems.append((number, str(e)))
            continue
        if form == "vector" and len(example.vector) != numbers:
            source.problems.append(
                (number, f"must have {numbers} numbers as in training, but has {len(example.vector)}")
            )
        examples.append(example)
    if problems := list(source.listed_problems()):
        raise DataError(problems)
    return Inputs(tuple(examples), of, tuple(notes))


def _beside(file: Path) -> Iterable[Path]:
    try:
        return sorted(p for p in file.parent.iterdir() if suffix_of(p.name))
    except OSError:
        return ()


def _texts(data: bytes) -> NumberedRows:
    """A text a line; empty lines at the end are none."""
    lines, problems = text_lines(data)
    while lines and not lines[-1].strip():
        lines.pop()
    yield from problems
    yield from ((n, {"text": line}) for n, line in enumerate(lines, 1))


def _words(data: bytes) -> NumberedRows | None:
    """Sentences of a word a line with an empty line between them; None where lines have more columns than one."""
    try:
        lines, problems = text_lines(data)
    except UnreadableError:
        return None
    if problems or any(len(line.split()) > 1 for line in lines):
        return None
    rows: list[tuple[int | None, Row | str]] = []
    words: list[str] = []
    for n, line in enumerate([*lines, ""], 1):
        if word := line.strip(BLANKS):
            words.append(word)
        elif words:
            rows.append((n - len(words), {"tokens": words}))
            words = []
    return iter(rows)


def _columns(
    source: SplitRows, form: Form, usual: Mapping[str, str], given: Mapping[str, str], notes: list[str]
) -> dict[str, str]:
    """role -> column of every role that is needed; none where one is missing, which is then a problem of the file."""
    rows = [row for _, row in source.readable]
    names = list(dict.fromkeys(k for row in rows for k in row))
    needed = [role for role in NEEDS[form] if role not in ("label", "tags")]
    if absent := [c for c in given.values() if c not in names]:
        _refuse(source, f"has no column {', '.join(map(in_words, absent))}{did_you_mean(absent[0], names)}", names)
        return {}
    roles = {**{r: c for r, c in usual.items() if r in needed and c in names}, **given}
    found = find_columns(names, roles, form).of
    of = {role: found[role] for role in needed if role in found}
    missing = [role for role in needed if role not in of]
    if missing == ["text"] and len(alike := text_like(rows, [n for n in names if n not in of.values()])) == 1:
        notes.append(f"GUESSED, because no name says it: text is the column {in_words(alike[0])}")
        return {**of, "text": alike[0]}
    if missing:
        wanted = [usual.get(role, role) for role in missing]
        near = did_you_mean(wanted[0], names)
        options = ", ".join(f"--column {role}=NAME" for role in missing)
        trained = f" (in training it was {' and '.join(map(in_words, wanted))})" if any(map(usual.get, missing)) else ""
        _refuse(source, f"has no column that is known as the {' or the '.join(missing)}{trained}{near}", names, options)
        return {}
    if other := [
        f"{in_words(c)} as {role}" for role, c in of.items() if c not in (role, usual.get(role), given.get(role))
    ]:
        notes.append(f"columns read: {', '.join(other)}")
    return of


def _refuse(source: SplitRows, complaint: str, names: Sequence[str], options: str = "") -> None:
    existing = ", ".join(map(in_words, names[:20])) or "none"
    cure = f"; name it: {options}" if options else ""
    source.problems.append((None, f"{complaint.rstrip('?')}; its columns are {existing}{cure}"))
