"""From the bytes of one file to numbered rows: JSON Lines, CSV, TSV, Parquet, columns as at CoNLL.

`READERS` maps a suffix to a `Format`. A reader gives a row, or what is wrong with that row, one after another, so that
everything that is wrong with a file is listed; a file that cannot be read at all raises `UnreadableError`. What a row
means (which column is the text, what a label is) is decided in `_build`.

==========  ============================================================================================================
JSON Lines  one object a line
CSV         quoted as RFC 4180 says, the first line names the columns; semicolons or tabs separate them if the first
            line holds no comma
TSV         as GLUE writes it: a tab always separates, a quotation mark is a character like any other (`quotes: true`
            reads what pandas writes)
Parquet     typed columns: a list of strings holds tokens or tags, floating-point labels are numbers
CoNLL       one token a line, the token first and the tag last; an empty line ends a sentence; ``.conllu`` has its ten
            columns, of which the second is the token and the fourth the tag
==========  ============================================================================================================
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

__all__ = ["READERS", "Format", "How", "Row", "Rows", "UnreadableError", "short", "suffix_of"]

Row = dict[str, Any]
Rows = Iterator[tuple[int | None, Row | str]]  # the row's number from 1 (None: the file), and the row or what is wrong


class UnreadableError(ValueError):
    """The file as a whole cannot be read; the message says why, and the cure."""


@dataclass(frozen=True)
class How:
    """What the user said of the files, and whom to tell what is no error.

    Attributes:
        quotes: whether quotation marks enclose fields of CSV and TSV; None = CSV yes, TSV no.
        numbers: role -> column, counted from 1. A table so described has no line of names: its columns are called by
            their numbers.
        say: called with what a person should know.
    """

    quotes: bool | None = None
    numbers: Mapping[str, int] = field(default_factory=dict)
    say: Callable[[str], None] = lambda note: None


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        rows: the reader.
        typed: values carry their types; otherwise they are strings.
        counts: what the number of a row counts.
        names: where the columns have their names from.
    """

    rows: Callable[[bytes, How], Rows]
    typed: bool = False
    counts: Literal["line", "row"] = "line"
    names: Literal["rows", "first line", "none"] = "rows"


def short(value: object, most: int = 60) -> str:
    """`value` as it may stand in a message: one line, printable, cut; lists and mappings by their length."""
    if isinstance(value, list | dict):
        return f"a {'list' if isinstance(value, list) else 'mapping'} of {len(value)}"
    if value is None:
        return "null"
    try:
        text = ascii(value[: most + 1] if isinstance(value, str) else value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a huge number"
    return text if len(text) <= most else text[: most - 3] + "..."


def suffix_of(name: str) -> str:
    """The longest known suffix of a file's name (``.jsonl.gz`` before ``.gz``), or an empty string."""
    return next((s for s in sorted(READERS, key=len, reverse=True) if name.endswith(s)), "")


# ---------------------------------------------------------------------------------------------------------------------
# bytes to text

_MAGIC = {
    b"PK\x03\x04": "a zip or Excel file: export it as CSV, UTF-8",
    b"\x1f\x8b": "a gzip file: give its name the ending .gz",
    b"PAR1": "a Parquet file: give its name the ending .parquet",
    b"\xd0\xcf\x11\xe0": "an old Excel file: export it as CSV, UTF-8",
    b"BZh": "a bzip2 file: unpack it",
    b"\xfd7zXZ": "an xz file: unpack it",
    b"(\xb5/\xfd": "a zstd file: unpack it",
    b"%PDF-": "a PDF file",
    b"SQLite format 3": "an SQLite file",
}
_MARKS = {  # in this order: the mark of UTF-32 begins with that of UTF-16
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def _refuse_binary(data: bytes) -> None:
    """Refuse, with the cure, what its first bytes show to be no UTF-8 text.

    Raises:
        UnreadableError: another encoding with a mark, a known binary format, or many NUL bytes.
    """
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            cure = f"save it as UTF-8, for example with `iconv -f {encoding} -t UTF-8`"
            raise UnreadableError(f"must be UTF-8 text, but its first bytes say {encoding}: {cure}")
    for magic, what in _MAGIC.items():
        if data.startswith(magic):
            raise UnreadableError(f"must be UTF-8 text, but is {what}")
    head = data[:4096]
    if head.count(0) * 10 > len(head):
        odd, even = head[1::2].count(0), head[::2].count(0)
        what = "UTF-16 without a mark at its start" if max(odd, even) * 4 > len(head) > 2 else "a binary file"
        raise UnreadableError(f"must be UTF-8 text, but holds many NUL bytes: it is probably {what}")


def _not_utf8(line: bytes, error: UnicodeDecodeError) -> str:
    """What is wrong with a line that is no UTF-8, and what it probably is instead."""
    byte = line[error.start]
    encoding = "Windows-1252" if any(0x80 <= b < 0xA0 for b in line) else "Latin-1"
    meant = bytes([byte]).decode("cp1252" if encoding == "Windows-1252" else "latin-1", "replace")
    guess = f" ({meant!r} in {encoding}: save the file as UTF-8)" if meant.isprintable() and meant != "\ufffd" else ""
    return f"must be UTF-8 text, but byte {error.start + 1} of the line is 0x{byte:02x}{guess}"


def _decoded(data: bytes) -> tuple[str, list[tuple[int, str]]]:
    """(text, problems): every line that is no UTF-8 or holds a NUL; the rest of the text can still be looked at.

    Raises:
        UnreadableError: see `_refuse_binary`.
    """
    _refuse_binary(data)
    problems: list[tuple[int, str]] = []
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("utf-8-sig", "replace")
        for number, line in enumerate(data.split(b"\n"), 1):
            try:
                line.decode()
            except UnicodeDecodeError as e:
                problems.append((number, _not_utf8(line, e)))
    if "\0" in text:
        nul = (n for n, line in enumerate(text.split("\n"), 1) if "\0" in line)
        problems += ((n, "must be text, but holds a NUL byte") for n in nul)
    return text, problems


def _lines(text: str) -> list[str]:
    r"""Lines end with \n or \r\n (or with \r where no \n is), never with what Unicode calls a line separator."""
    if "\n" not in text:
        return text.split("\r")
    return [line.removesuffix("\r") for line in text.split("\n")]


def _unzipped(data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as e:
        raise UnreadableError(f"is not a whole gzip file: {e}") from None


# ---------------------------------------------------------------------------------------------------------------------
# JSON Lines


def _not_json(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON; a number must be finite")


def _json_lines(data: bytes, how: How) -> Rows:
    """Split at the newline byte only: a JSON string may hold other line separators (U+2028)."""
    _refuse_binary(data)
    for number, raw in enumerate(data.split(b"\n"), 1):
        if not raw.strip():
            continue
        try:
            row = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"), parse_constant=_not_json)
        except UnicodeDecodeError as e:
            yield number, _not_utf8(raw, e)
        except json.JSONDecodeError as e:
            yield number, f"must be one JSON object a line, but {e.msg} at character {e.pos + 1}: {short(e.doc)}"
        except (ValueError, RecursionError) as e:
            yield number, f"must be one JSON object a line, but {e}"
        else:
            good = isinstance(row, dict)
            yield number, row if good else f"must be a JSON object with named keys, but is {short(row)}"


# ---------------------------------------------------------------------------------------------------------------------
# tables in text

Records = Iterator[tuple[int, list[str] | str]]  # line where the record begins, and its fields or what is wrong


def _quoted(text: str, separator: str) -> Records:
    """Records in which quotation marks enclose fields, so that a field may hold separators and line ends."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as e:
            if "unexpected end" in str(e):
                yield line, "a quotation mark opens a field that no quotation mark closes"
            elif "field larger" in str(e):
                most = csv.field_size_limit()
                yield line, f"a field must have at most {most} characters: is a quotation mark not closed?"
                return  # what follows is the rest of that field
            else:
                yield line, f"a quotation mark inside a quoted field must be doubled ({e})"
        else:
            if any(f.strip(" ") for f in fields) or len(fields) > 1:
                yield line, fields


def _unquoted(text: str, separator: str) -> Records:
    """Records of one line each, in which a separator always separates."""
    for number, line in enumerate(_lines(text), 1):
        if line.strip(" "):
            yield number, line.split(separator)


def _table(separator: str, *, quotes: bool) -> Callable[[bytes, How], Rows]:
    """The reader of tables with this separator, and with `quotes` unless the user says otherwise."""

    def rows(data: bytes, how: How) -> Rows:
        text, problems = _decoded(data)
        yield from problems
        quoted = quotes if how.quotes is None else how.quotes
        between, first = separator, text.partition("\n")[0]
        if between == "," and "," not in first and (other := next((c for c in ";\t" if c in first), "")):
            between = other
            how.say(f"its columns are separated by {'semicolons' if other == ';' else 'tabs'}, not by commas")
        records = _quoted(text, between) if quoted else _unquoted(text, between)
        yield from _named(records, how, watch=not quoted)

    return rows


def _named(records: Records, how: How, *, watch: bool) -> Rows:
    """Rows of records whose first one names the columns, or whose columns are called by their numbers.

    Args:
        watch: quotation marks are kept; say so if they look as if they enclosed fields.
    """
    names: list[str] | None = None
    skipped, enclosed, count = False, 0, 0
    for line, fields in records:
        if isinstance(fields, str):
            yield line, fields
            if names is None and not how.numbers:
                return  # no line of names, no columns
            continue
        if names is None and how.numbers:
            names = [str(n) for n in range(1, len(fields) + 1)]
        elif names is None:
            names = [name.strip() for name in fields]
            if names[0] == "" and len(names) > 1:  # the index that pandas writes unless told not to
                names, skipped = names[1:], True
                how.say("its first column has no name and was not read")
            if wrong := list(_wrong_names(names, skipped)):
                yield from ((line, w) for w in wrong)
                return
            continue
        cells = fields[1:] if skipped else fields
        if len(cells) != len(names):
            yield line, f"must have {len(names) + skipped} columns like the first line, but has {len(fields)}"
            continue
        count += 1
        enclosed += watch and any(len(c) > 1 and c[0] == c[-1] == '"' for c in cells)
        yield line, dict(zip(names, cells, strict=True))
    if enclosed >= 2 and enclosed * 10 >= count:
        what = f"{enclosed} of {count} rows hold a field in quotation marks, which were kept as part of it"
        how.say(f"{what}; a file that pandas wrote wants `quotes: true`")


def _wrong_names(names: Sequence[str], skipped: bool) -> Iterator[str]:
    if empty := [i for i, name in enumerate(names, 1 + skipped) if not name]:
        yield f"the first line must name every column, but column {', '.join(map(str, empty))} has no name"
    if twice := sorted(name for name, n in Counter(filter(None, names)).items() if n > 1):
        yield f"the first line must give every column a name of its own, but {', '.join(map(short, twice))} is repeated"


# ---------------------------------------------------------------------------------------------------------------------
# columns as at CoNLL


def _sentences(usual: Mapping[str, int], *, width: int = 0) -> Callable[[bytes, How], Rows]:
    """The reader of one token a line.

    Args:
        usual: column of the tokens and of the tags, unless the user says otherwise; the last one if there is none.
        width: how many columns there are; 0 = as many as the first token has.
    """

    def rows(data: bytes, how: How) -> Rows:
        text, problems = _decoded(data)
        yield from problems
        lines = [(n, line, _cells(line)) for n, line in enumerate([*_lines(text), ""], 1)]
        wide = width or next((len(c) for _, line, c in lines if c and not line.startswith(("#", "-DOCSTART-"))), 0)
        asked = {r: how.numbers.get(r, usual.get(r, wide)) for r in ("tokens", "tags")}
        if wide == 1:
            yield None, "must hold a token and its tag on every line, between them a tab or a blank, but has one column"
            return
        if beyond := {r: n for r, n in asked.items() if n > wide > 0}:
            said = " and ".join(f"a column {n} for the {r}" for r, n in beyond.items())
            yield None, f"must have {said}, but has {wide} columns"
            return
        # a token of a tweet may begin with #: such a line is a comment unless it looks like all the others
        tags = {c[-1] for _, line, c in lines if c and len(c) == wide and not line.startswith("#")}
        keys = {r: str(how.numbers[r]) if r in how.numbers else r for r in asked}
        sentence: list[list[str]] = []
        start, whole = 0, True
        for n, line, cells in lines:
            if line.startswith("#") and (width or len(cells) != wide or cells[-1] not in tags):
                continue
            if not cells or line.startswith("-DOCSTART-"):
                if sentence and whole:
                    yield start, {keys[r]: [c[i - 1] for c in sentence] for r, i in asked.items()}
                sentence, whole = [], True
            elif len(cells) != wide:
                like = "" if width else " like the first token"
                yield n, f"must have {wide} columns{like}, but has {len(cells)}"
                whole = False
            elif not (width and re.fullmatch(r"\d+[-.]\d+", cells[0])):  # tokens that stand below, or not in the text
                start = start if sentence else n
                sentence.append(cells)

    return rows


def _cells(line: str) -> list[str]:
    """Columns between tabs, else between blanks; other white space may be part of a token."""
    if not line.strip(" \t"):
        return []
    return [c.strip(" ") for c in line.split("\t")] if "\t" in line else [c for c in line.split(" ") if c]


# ---------------------------------------------------------------------------------------------------------------------
# Parquet


@dataclass(frozen=True)
class _Other:
    """A value of a type that no role can have; shown by its type."""

    kind: str

    def __repr__(self) -> str:
        return f"a value of type {self.kind}"


def _parquet(data: bytes, how: How) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        fields = [f for f in file.schema_arrow if not f.name.startswith("__index_level_")]  # the index of pandas
        if twice := sorted(name for name, n in Counter(f.name for f in fields).items() if n > 1):
            raise UnreadableError(
                f"must give every column a name of its own, but {', '.join(map(short, twice))} is repeated"
            )
        useful = [f.name for f in fields if _useful(f.type)]  # images and the like are not even decoded
        others = {f.name: _Other(str(f.type)) for f in fields if f.name not in useful}
        for batch in file.iter_batches(batch_size=1024, columns=useful):
            columns = [map(_plain, batch.column(name).to_pylist()) for name in useful]
            for values in zip(*columns, strict=True) if useful else [()] * batch.num_rows:
                number += 1
                yield number, {**dict(zip(useful, values, strict=True)), **others}
    except UnreadableError:
        raise
    except Exception as e:  # a broken file shows itself in whatever the decoder met first
        reason = " ".join(str(e).split())[:120] or type(e).__name__
        raise UnreadableError(f"is not a whole Parquet file: {reason}") from None


def _useful(kind: Any) -> bool:
    """Whether values of this Arrow type can be a text, a label, tokens or tags."""
    from pyarrow import types as t

    if t.is_dictionary(kind):
        return _useful(kind.value_type)
    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        return _useful(kind.value_type) and not t.is_nested(kind.value_type)
    text = t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind)
    return bool(text or t.is_integer(kind) or t.is_floating(kind) or t.is_boolean(kind) or t.is_decimal(kind))


def _plain(value: Any) -> Any:
    """A decimal as a number: one without digits after the point is whole, like an integer."""
    if isinstance(value, Decimal):
        return int(value) if value.as_tuple().exponent == 0 else float(value)
    return value


# ---------------------------------------------------------------------------------------------------------------------
# formats by suffix


def _zipped(f: Format) -> Format:
    def rows(data: bytes, how: How) -> Rows:
        yield from f.rows(_unzipped(data), how)

    return replace(f, rows=rows)


_TEXTS = {
    ".jsonl": Format(_json_lines, typed=True),
    ".csv": Format(_table(",", quotes=True), names="first line"),
    ".tsv": Format(_table("\t", quotes=False), names="first line"),
    **dict.fromkeys((".conll", ".bio", ".iob", ".txt"), Format(_sentences({"tokens": 1}), names="none")),
    ".conllu": Format(_sentences({"tokens": 2, "tags": 4}, width=10), names="none"),
}
READERS: dict[str, Format] = {
    **_TEXTS,
    ".parquet": Format(_parquet, typed=True, counts="row"),
    **{f"{suffix}.gz": _zipped(f) for suffix, f in _TEXTS.items()},
}
