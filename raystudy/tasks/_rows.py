"""Readers of files: each turns the bytes of one file into numbered rows.

`READERS` holds one reader per suffix of a file's name. A reader yields a row, or what is wrong with that row, one after
another, so that everything that is wrong with a file can be listed. A file that cannot be read at all raises
`UnreadableError`. What a row means (which column is the text, what a label is) is decided in `_build`.

==========  ============================================================================================================
JSON Lines  one object a line
CSV         quoted as RFC 4180 says, the first line names the columns; semicolons, tabs or bars separate them if no
            comma divides the first line
TSV         as GLUE writes it: a tab always separates, a quotation mark is a character like any other (`quotes: true`
            reads what pandas writes)
Parquet     typed columns: a list of strings holds tokens or tags, floating-point labels are numbers
CoNLL       one token a line, the token first and the tag last; an empty line ends a sentence; ``.conllu`` has its ten
            columns, of which the second is the token and the fourth the tag
==========  ============================================================================================================

No line vanishes in silence. A note counts the lines that were passed over (comments, empty lines) and the fields that
look as if several rows were read as one, and names the first of them. A file whose first bytes show another format than
its name says is refused with the cure.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

from raystudy.errors import quoted

__all__ = [
    "READERS",
    "Format",
    "NumberedRows",
    "ReadOptions",
    "Row",
    "UnreadableError",
    "in_words",
    "suffix_of",
    "text_lines",
]

Row = dict[str, Any]
# (the row's number from 1, or None for the file as a whole; the row, or what is wrong with it)
NumberedRows = Iterator[tuple[int | None, Row | str]]


class UnreadableError(ValueError):
    """The file as a whole cannot be read; the message says why, and the cure."""


@dataclass(frozen=True)
class ReadOptions:
    """What the user says of the files of a data set, and where notes of the reader go.

    Attributes:
        quotes: whether quotation marks enclose fields of CSV and TSV; None = CSV yes, TSV no.
        numbers: role -> column, counted from 1. A table so described has no line of names: its columns are called by
            their numbers.
        add_note: called with every note: what a person should know although it is no error.
    """

    quotes: bool | None = None
    numbers: Mapping[str, int] = field(default_factory=dict)
    add_note: Callable[[str], None] = lambda note: None


@dataclass(frozen=True)
class Format:
    """One format of files.

    Attributes:
        rows: the reader.
        typed: whether values carry their types; otherwise they are strings.
        counts: whether the number of a row counts lines of the file or rows.
        names: where the columns have their names from.
    """

    rows: Callable[[bytes, ReadOptions], NumberedRows]
    typed: bool = False
    counts: Literal["line", "row"] = "line"
    names: Literal["rows", "first line", "none"] = "rows"


def in_words(value: object, most: int = 60) -> str:
    """`value` as a message shows it: one line in ASCII, cut where it is long; of lists and mappings the length."""
    if isinstance(value, list | dict):
        return f"a {'list' if isinstance(value, list) else 'mapping'} of {len(value)}"
    if value is None:
        return "null"
    return quoted(value, most, ascii)


def suffix_of(name: str, formats: Mapping[str, Format] | None = None) -> str:
    """The longest suffix of a file's name that `formats` (default `READERS`) knows, or an empty string.

    ``.jsonl.gz`` comes before ``.gz``.
    """
    known = READERS if formats is None else formats
    return next((s for s in sorted(known, key=len, reverse=True) if name.endswith(s)), "")


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
    b"version https://git-lfs.github.com/spec/": "a pointer of Git LFS, without the data: run `git lfs pull`",
    b"/annex/objects/": "a pointer of git-annex, without the data: run `git annex get`",
}
# what a page that stands in place of a file begins with, behind blanks, in any case
_PAGES = {
    b"<!doctype html": "an HTML page: download the file itself",
    b"<html": "an HTML page: download the file itself",
    b"<?xml": "an XML file: export it as JSON Lines or CSV",
}
_MARKS = {  # in this order: the mark of UTF-32 begins with that of UTF-16
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def _refuse_binary(data: bytes) -> None:
    """Refuse a file whose first bytes show that it is not UTF-8 text, and say what helps.

    Raises:
        UnreadableError: another encoding with a mark, a known binary format, a page of the web, a pointer to the file
            that is meant, or many NUL bytes.
    """
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            cure = f"save it as UTF-8, for example with `iconv -f {encoding} -t UTF-8`"
            raise UnreadableError(f"must be UTF-8 text, but its first bytes say {encoding}: {cure}")
    for magic, what in _MAGIC.items():
        if data.startswith(magic):
            raise UnreadableError(f"must be UTF-8 text, but is {what}")
    if data[257:262] == b"ustar":
        raise UnreadableError("must be UTF-8 text, but is a tar archive: unpack it")
    _refuse_pages(data)
    head = data[:4096]
    if head.count(0) * 10 > len(head):
        odd, even = head[1::2].count(0), head[::2].count(0)
        what = "UTF-16 without a mark at its start" if max(odd, even) * 4 > len(head) > 2 else "a binary file"
        raise UnreadableError(f"must be UTF-8 text, but holds many NUL bytes: it is probably {what}")


def _refuse_pages(data: bytes) -> None:
    """Refuse what a browser or a version control system leaves in place of a file.

    Raises:
        UnreadableError: an HTML or XML page.
    """
    start = data[:256].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for mark, what in _PAGES.items():
        if start.startswith(mark):
            raise UnreadableError(f"must hold rows, but is {what}")


def _encoding_problem(line: bytes, error: UnicodeDecodeError) -> str:
    """What is wrong with a line that is not UTF-8, and which encoding it probably has."""
    byte = line[error.start]
    encoding = "Windows-1252" if any(0x80 <= b < 0xA0 for b in line) else "Latin-1"
    character = bytes([byte]).decode("cp1252" if encoding == "Windows-1252" else "latin-1", "replace")
    guess = (
        f" ({character!r} in {encoding}: save the file as UTF-8)"
        if character.isprintable() and character != "\ufffd"
        else ""
    )
    return f"must be UTF-8 text, but byte {error.start + 1} of the line is 0x{byte:02x}{guess}"


def _decode(data: bytes) -> tuple[str, list[tuple[int, str]]]:
    """(text, problems): the text with the lines that are not UTF-8 or hold a NUL as problems of their own.

    The other lines can still be checked, so that a person reads all problems at once.

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
                problems.append((number, _encoding_problem(line, e)))
    if "\0" in text:
        nul = (n for n, line in enumerate(text.split("\n"), 1) if "\0" in line)
        problems += ((n, "must be text, but holds a NUL byte") for n in nul)
    return text, problems


def _lines(text: str) -> list[str]:
    r"""Lines end with \n or \r\n (or with \r where no \n is), never with what Unicode calls a line separator."""
    if "\n" not in text:
        return text.split("\r")
    return [line.removesuffix("\r") for line in text.split("\n")]


def text_lines(data: bytes) -> tuple[list[str], list[tuple[int, str]]]:
    """(the lines of a file, what is wrong with those that are not UTF-8), for the readers of single data sets.

    Raises:
        UnreadableError: it is no text.
    """
    text, problems = _decode(data)
    return _lines(text), problems


def _unzip(data: bytes) -> bytes:
    try:
        unpacked = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as e:
        cure = "" if data.startswith(b"\x1f\x8b") else " (if it is not packed, take .gz off its name)"
        raise UnreadableError(f"is not a whole gzip file: {e}{cure}") from None
    if unpacked.startswith(b"\x1f\x8b"):
        raise UnreadableError("must be packed once, but is a gzip file within a gzip file")
    return unpacked


def _json_object(line: str) -> bool:
    """Whether a line is a JSON object with keys, as the lines of JSON Lines are."""
    if not line.lstrip().startswith("{"):
        return False
    try:
        return bool(json.loads(line))
    except (ValueError, RecursionError):
        return False


def _refuse_json(text: str, what: str) -> None:
    """Refuse JSON under the name of another format.

    Args:
        what: what the file should have been.

    Raises:
        UnreadableError: the first line that is not empty is a JSON object or opens a JSON document.
    """
    first = next((line for line in _lines(text[:1_000_000]) if line.strip()), "").strip()
    if _json_object(first):
        raise UnreadableError(f"must be {what}, but holds a JSON object a line: give its name the ending .jsonl")
    if first in ("{", "[") or first.startswith(("[{", '{"')):
        raise UnreadableError(f"must be {what}, but begins as JSON: write one JSON object a line and call it .jsonl")


class _SkippedLines:
    """Counts the lines that a reader passes over, and keeps the first, so that a person can check what they were."""

    def __init__(self) -> None:
        self.count, self.first = 0, ""

    def add(self, number: int, line: str) -> None:
        self.count += 1
        self.first = self.first or (f"line {number}" + (f", {in_words(line)}" if line.strip() else ""))

    def tell(self, options: ReadOptions, one: str, several: str) -> None:
        if self.count:
            count = f"1 {one} was" if self.count == 1 else f"{self.count} {several} were"
            options.add_note(f"{count} passed over (the first: {self.first})")


def _note_empty_lines(lines: Iterable[tuple[int, bool]], options: ReadOptions) -> None:
    """Note how many empty lines stand between others. Empty lines at the end of a file do not count.

    Args:
        lines: (number, whether it is empty) of every line.
    """
    skipped, pending = _SkippedLines(), list[int]()
    for number, empty in lines:
        if empty:
            pending.append(number)
            continue
        for n in pending:
            skipped.add(n, "")
        pending = []
    skipped.tell(options, "empty line", "empty lines")


# ---------------------------------------------------------------------------------------------------------------------
# JSON Lines


def _not_json(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON; a number must be finite")


def _with_unique_keys(pairs: list[tuple[str, Any]]) -> Row:
    """The object of these keys and values; JSON leaves open which of two equal keys counts, so none may be repeated."""
    row = dict(pairs)
    if len(row) < len(pairs):
        repeated = sorted(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        raise ValueError(f"{', '.join(map(in_words, repeated[:5]))} is repeated; every key must stand once")
    return row


_JSON = json.JSONDecoder(parse_constant=_not_json, object_pairs_hook=_with_unique_keys)


def _refuse_document(data: bytes) -> None:
    """Refuse a file that is one JSON document instead of one JSON object a line.

    Raises:
        UnreadableError: a list of several rows, or an object that stands over several lines.
    """
    cure = "write one JSON object a line, for example with `jq -c '.[]' FILE`"
    head = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if re.match(rb"\[\s*\{", head):
        raise UnreadableError(f"must be one JSON object a line, but is one JSON list of all rows: {cure}")
    if re.match(rb"\{\s*\n", head):
        raise UnreadableError("must be one JSON object a line, but an object stands over several lines: " + cure)


def _json_lines(data: bytes, options: ReadOptions) -> NumberedRows:
    """The reader of JSON Lines. It splits at the newline byte only: a JSON string may hold others (U+2028)."""
    _refuse_binary(data)
    _refuse_document(data)
    lines = data.split(b"\n")
    _note_empty_lines(((n, not raw.strip()) for n, raw in enumerate(lines, 1)), options)
    for number, raw in enumerate(lines, 1):
        if not raw.strip():
            continue
        try:
            row = _JSON.decode(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as e:
            yield number, _encoding_problem(raw, e)
        except json.JSONDecodeError as e:
            yield number, f"must be one JSON object a line, but {e.msg} at character {e.pos + 1}: {in_words(e.doc)}"
        except (ValueError, RecursionError) as e:
            yield number, f"must be one JSON object a line, but {e}"
        else:
            good = isinstance(row, dict)
            yield number, row if good else f"must be a JSON object with named keys, but is {in_words(row)}"


# ---------------------------------------------------------------------------------------------------------------------
# tables in text

Records = Iterator[tuple[int, list[str] | str]]  # line where the record begins, and its fields or what is wrong


def _quoted_records(text: str, separator: str) -> Records:
    """Records in which quotation marks enclose fields, so that a field may hold separators and line ends."""
    return iter(_parse_quoted(text, separator))


def _parse_quoted(text: str, separator: str) -> list[tuple[int, list[str] | str]]:
    """The records of `_quoted_records` as a list: the longest field that Python's reader allows is set per process."""
    records: list[tuple[int, list[str] | str]] = []
    usual = csv.field_size_limit()
    csv.field_size_limit(max(usual, min(len(text) + 1, 2**31 - 1)))
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return records
            except csv.Error as e:
                if "unexpected end" in str(e):
                    records.append((line, "a quotation mark opens a field that no quotation mark closes"))
                else:
                    records.append((line, f"a quotation mark inside a quoted field must be doubled ({e})"))
            else:
                records.append((line, fields))
    finally:
        csv.field_size_limit(usual)


def _unquoted_records(text: str, separator: str) -> Records:
    """Records of one line each, in which a separator always separates."""
    yield from ((number, line.split(separator)) for number, line in enumerate(_lines(text), 1))


def _has_content(fields: list[str] | str) -> bool:
    """Whether a record holds anything; a line of separators does, and is wrong as a row."""
    return isinstance(fields, str) or len(fields) > 1 or any(f.strip(" ") for f in fields)


_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def _separator_of(text: str, usual: str) -> str:
    """The separator of the columns: the usual one, unless another divides the first line and the usual one does not."""
    first = next((line for line in _lines(text[:1_000_000]) if line.strip(" ")), "")

    def divides(separator: str) -> bool:
        try:
            return len(next(csv.reader([first], delimiter=separator, strict=True), [])) > 1
        except csv.Error:  # as a quotation mark is closed before what separates really
            return False

    return next((s for s in (usual, ",", ";", "\t", "|") if divides(s)), usual)


def _separated_rows(separator: str, *, quotes: bool) -> Callable[[bytes, ReadOptions], NumberedRows]:
    """The reader of tables with this separator, and with `quotes` unless the user says otherwise."""

    def rows(data: bytes, options: ReadOptions) -> NumberedRows:
        text, problems = _decode(data)
        yield from problems
        _refuse_json(text, "a table")
        if re.match(r"sep=.\r?\n", text):
            raise UnreadableError(
                f"must name its columns in the first line, but that is {in_words(text[:5])}: delete it"
            )
        enclosed = quotes if options.quotes is None else options.quotes
        found_separator = (
            _separator_of(text, separator) if enclosed or separator not in text.partition("\n")[0] else separator
        )
        if found_separator != separator:
            enclosed = True if options.quotes is None else options.quotes  # only a tab comes with a rule of its own
            options.add_note(
                f"its columns are separated by {_SEPARATORS[found_separator]}, not by {_SEPARATORS[separator]}"
            )
        records = list(_quoted_records(text, found_separator) if enclosed else _unquoted_records(text, found_separator))
        _refuse_words_by_line(records, options)
        _note_empty_lines(((n, not _has_content(fields)) for n, fields in records), options)
        if enclosed:
            _note_long_fields(records, found_separator, options)
        yield from _rows_with_names((r for r in records if _has_content(r[1])), options, watch=not enclosed)

    return rows


def _refuse_words_by_line(records: Sequence[tuple[int, list[str] | str]], options: ReadOptions) -> None:
    """Refuse a file with one word a line where rows are read, because the empty lines between sentences would be lost.

    Raises:
        UnreadableError: the user has columns of words and tags, and empty lines stand between the rows.
    """
    has_content = [_has_content(fields) for _, fields in records]
    while has_content and not has_content[-1]:
        has_content.pop()
    if {"tokens", "tags"} & options.numbers.keys() and not all(has_content):
        first = records[has_content.index(False)][0]
        cure = "if it has a word a line, give its name the ending .conll"
        raise UnreadableError(f"must hold a whole sentence on every line, but line {first} is empty: {cure}")


def _note_long_fields(records: Sequence[tuple[int, list[str] | str]], separator: str, options: ReadOptions) -> None:
    """Note how many fields hold line ends, and warn of a quotation mark that seems to have swallowed rows.

    Whoever opens a quotation mark and does not close it has all rows up to the next mark in one field. Its lines then
    hold as many separators as rows do, and values that the columns have elsewhere.
    """
    rows = [(line, fields) for line, fields in records if not isinstance(fields, str) and _has_content(fields)]
    width = len(rows[0][1]) if rows else 0
    long_fields = [
        (line, parts) for line, fields in rows for f in fields if len(parts := re.split(r"\r\n|\n|\r", f)) > 1
    ]
    if not long_fields:
        return
    values_of = [{fields[i].strip() for _, fields in rows[1:] if i < len(fields)} - {""} for i in range(width)]
    numbers = [all(map(_NUMBER.fullmatch, values)) for values in values_of]

    def like_row(part: str) -> bool:
        cells = [c.strip() for c in part.split(separator)]
        known = (
            (c in values) or (all_ and _NUMBER.fullmatch(c))
            for c, values, all_ in zip(cells, values_of, numbers, strict=False)
        )
        return len(cells) == width > 1 and any(known)

    line, parts = long_fields[0]
    what = "1 field stands" if len(long_fields) == 1 else f"{len(long_fields)} fields stand"
    most = max(len(p) for _, p in long_fields)
    options.add_note(
        f"{what} over several lines (the first in the row of line {line}: {in_words(parts[0])}; the longest has {most} "
        "lines)"
    )
    suspects = [
        (line, n) for line, p in long_fields if (n := sum(map(like_row, p))) or _all_like_rows(p, separator, width)
    ]
    if suspects:
        count = sum(max(n, 1) for _, n in suspects)
        likeness = (
            "1 line within such a field looks like a row"
            if count == 1
            else f"{count} lines within fields look like rows"
        )
        where = f"the first in the row of line {suspects[0][0]}"
        cure = "if so, double the mark or delete it, or say `quotes: false`, which makes every line a row"
        options.add_note(
            f"SUSPECTED, a quotation mark that opens a field and is not closed: {likeness} ({where}); {cure}"
        )


_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")


def _all_like_rows(parts: Sequence[str], separator: str, width: int) -> bool:
    """Whether every line but the last, of three or more, is divided as a row is."""
    return len(parts) > 3 and width > 1 and all(p.count(separator) == width - 1 for p in parts[:-1])


def _rows_with_names(records: Records, options: ReadOptions, *, watch: bool) -> NumberedRows:
    """Rows of records: the first record names the columns, or the user calls them by their numbers.

    Args:
        watch: whether quotation marks are kept as characters; a note warns where they seem to enclose fields.
    """
    names: list[str] | None = None
    has_index, in_marks, with_doubled_marks, count, first = False, 0, 0, 0, ""
    repeated_names: list[int] = []  # rows that repeat the line of names
    for line, fields in records:
        count += 1
        if isinstance(fields, str):
            yield line, fields
            if names is None and not options.numbers:
                return  # no line of names, no columns
            continue
        if names is None and options.numbers:
            names = [str(n) for n in range(1, len(fields) + 1)]
        elif names is None:
            names, count, first = [name.strip() for name in fields], 0, in_words(" ".join(fields))
            if names[0] == "" and len(names) > 1:  # the index that pandas writes unless told not to
                names, has_index = names[1:], True
                options.add_note("its first column has no name and was not read")
            if wrong := list(_wrong_names(names, has_index)):
                yield from ((line, w) for w in wrong)
                return
            continue
        cells = fields[1:] if has_index else fields
        if len(cells) != len(names):
            lines = watch and any(c.startswith('"') and c.count('"') % 2 for c in cells)
            cure = " (if quotation marks enclose fields of several lines, say `quotes: true`)" if lines else ""
            yield line, f"must have {len(names) + has_index} columns like the first line, but has {len(fields)}{cure}"
            continue
        repeated_names += [line] if not options.numbers and [c.strip() for c in cells] == names else []
        in_marks += watch and any(len(c) > 1 and c[0] == c[-1] == '"' for c in cells)
        with_doubled_marks += watch and any('""' in c[1:-1] and _ENCLOSED.fullmatch(c) is not None for c in cells)
        yield line, dict(zip(names, cells, strict=True))
    if not count and first:
        yield None, f"must hold at least one row, but is empty below its first line, {first}"
    if repeated_names:
        what = "1 row repeats" if len(repeated_names) == 1 else f"{len(repeated_names)} rows repeat"
        options.add_note(f"{what} the names of the columns, and was read as data (the first: line {repeated_names[0]})")
    if with_doubled_marks or (in_marks >= 2 and in_marks * 10 >= count):
        what = f"{in_marks} of {count} rows hold a field in quotation marks, which were kept as part of it"
        what += f" ({with_doubled_marks} with marks that are doubled within it)" if with_doubled_marks else ""
        options.add_note(f"{what}; a file that pandas wrote wants `quotes: true`")


_ENCLOSED = re.compile(r'"(?:[^"]|"")*"')  # as programs write a field with quotation marks: those within it doubled


def _wrong_names(names: Sequence[str], skipped: bool) -> Iterator[str]:
    if empty := [i for i, name in enumerate(names, 1 + skipped) if not name]:
        yield f"the first line must name every column, but column {', '.join(map(str, empty))} has no name"
    if repeated := sorted(name for name, n in Counter(filter(None, names)).items() if n > 1):
        rule = "the first line must give every column a name of its own"
        yield f"{rule}, but {', '.join(map(in_words, repeated))} is repeated"


# ---------------------------------------------------------------------------------------------------------------------
# one token a line, in columns, as at the CoNLL shared tasks


def _token_lines(usual: Mapping[str, int], *, width: int = 0) -> Callable[[bytes, ReadOptions], NumberedRows]:
    """The reader of one token a line.

    Args:
        usual: column of the tokens and of the tags, unless the user says otherwise; the last one if there is none.
        width: how many columns there are; 0 = as many as the first token has.
    """

    def rows(data: bytes, options: ReadOptions) -> NumberedRows:
        text, problems = _decode(data)
        yield from problems
        _refuse_json(text, "a word and its tag a line")
        lines = [(n, line, _cells(line)) for n, line in enumerate([*_lines(text), ""], 1)]
        words = [(line, c) for _, line, c in lines if c and not line.startswith("-DOCSTART-")]
        plain = [(line, c) for line, c in words if not line.startswith("#")]
        # where every line begins with #, the first of two columns or more speaks for all
        first, cells = next(iter([*plain, *(w for w in words if len(w[1]) > 1)]), ("", []))
        columns = width or len(cells)
        column_of = {r: options.numbers.get(r, usual.get(r, columns)) for r in ("tokens", "tags")}
        if not width and "tokens" not in options.numbers and _counts_words(lines, columns):
            is_ud = columns == 10 and "\t" in first
            cure = (
                "give its name the ending .conllu" if is_ud else "say which column is the word (`columns: {tokens: 2}`)"
            )
            rule = "must hold a word in its first column, but that counts the words of each sentence"
            yield None, f"{rule}: {cure}"
            return
        if columns == 1:
            yield None, "must hold a token and its tag on every line, between them a tab or a blank, but has one column"
            return
        if too_high := {r: n for r, n in column_of.items() if n > columns > 0}:
            roles = " and ".join(f"a column {n} for the {r}" for r, n in too_high.items())
            yield None, f"must have {roles}, but has {columns} columns"
            return
        _refuse_texts(lines, columns, column_of)
        comment = _comments(width, columns, "\t" in first, {c[-1] for _, c in plain if len(c) == columns})
        keys = {r: str(options.numbers[r]) if r in options.numbers else r for r in column_of}
        sentence: list[list[str]] = []
        start, whole, sentences = 0, True, 0
        comments, documents, ranges = _SkippedLines(), _SkippedLines(), _SkippedLines()
        for n, line, cells in lines:
            if comment(line, cells, not sentence and whole):
                comments.add(n, line)
            elif not cells or cells[0] == "-DOCSTART-":
                if cells:
                    documents.add(n, line)
                if sentence and whole:
                    sentences += 1
                    yield start, {keys[r]: [c[i - 1] for c in sentence] for r, i in column_of.items()}
                sentence, whole = [], True
            elif len(cells) != columns:
                comparison = "" if width else " like the first token"
                yield n, f"must have {columns} columns{comparison}, but has {len(cells)}"
                whole = False
            elif empty_roles := [r for r, i in column_of.items() if not cells[i - 1]]:
                what = " and ".join({"tokens": "word", "tags": "tag"}[r] for r in empty_roles)
                yield n, f"must hold a word and its tag, but the {what} is empty"
                whole = False
            elif width and re.fullmatch(r"\d+[-.]\d+", cells[0]):  # tokens that stand below, or not in the text
                ranges.add(n, line)
            else:
                start = start if sentence else n
                sentence.append(cells)
        if not width:  # the comments of CoNLL-U are part of the format: a word's line begins with its number
            comments.tell(options, "comment", "comments")
        documents.tell(options, "line -DOCSTART-", "lines -DOCSTART-")
        ranges.tell(
            options, "range of words or word that is not in the text", "ranges of words or words not in the text"
        )
        varied = [len({c[i] for _, c in words if len(c) == columns}) > 1 for i in range(1, columns - 1)]
        if not width and any(varied) and "tags" not in options.numbers:
            options.add_note(
                f"of {columns} columns the last was read as the tag (`columns: {{tags: 2}}` names another)"
            )
        if sentences == 1 and len(words) >= 20:
            options.add_note(f"all {len(words)} lines are ONE sentence, because no empty line divides them")

    return rows


def _comments(width: int, columns: int, tabbed: bool, tags: set[str]) -> Callable[[str, list[str], bool], bool]:
    """A function that tells whether a line is a comment: one that begins with # and cannot be a word.

    A word of a tweet may begin with #, or be # alone, and its tag may stand on no other word. So a comment stands
    before a sentence, and it lacks the tabs of the other lines, or its columns do not fit.

    Args:
        width: the number of columns that the format has; a word's line then begins with a number, never with #.
        tabbed: a tab stands between the columns.
        tags: of the lines that do not begin with #.
    """

    def comment(line: str, cells: list[str], between: bool) -> bool:
        if not line.startswith("#") or not (between or width):
            return False
        if width or line.startswith(("#begin document", "#end document")):  # the latter are those of CoNLL-2012
            return True
        if tabbed:
            return "\t" not in line or (line[1:2] in (" ", "\t") and len(cells) != columns)
        if line == "#" or line[1] == " ":
            return len(cells) != columns or cells[-1] not in tags
        return len(cells) > columns

    return comment


def _refuse_texts(lines: Sequence[tuple[int, str, list[str]]], columns: int, column_of: Mapping[str, int]) -> None:
    """Refuse a text and its label on every line, with a tab between them: it would be one sentence of long words.

    Raises:
        UnreadableError: more than half of the lines have blanks inside the token or the tag; or some have, and no empty
            line divides twenty lines or more.
    """
    filled = [(line, c) for _, line, c in lines if c]
    rows = [c for line, c in filled if "\t" in line and len(c) == columns]
    texts = sum(any(" " in c[i - 1] for i in column_of.values()) for c in rows)
    cells = [c for *_, c in lines]
    while cells and not cells[-1]:
        cells.pop()
    one_sentence = len(filled) >= 20 and all(cells)
    if texts * 2 > len(filled) or (texts and one_sentence):
        rule = "must hold a word and its tag on every line, but holds blanks within its columns, like a text and its"
        cure = "give its name the ending .tsv, and the columns names in a first line or numbers in the study file"
        raise UnreadableError(f"{rule} label: {cure} (`columns: {{text: 1, label: 2}}`)")


def _counts_words(lines: Sequence[tuple[int, str, list[str]]], columns: int) -> bool:
    """Whether the first of three columns or more counts the words of every sentence, from 0 or from 1."""
    expected, sentences, words = (0, 1), 0, 0
    for _, _, c in lines:
        if not c or len(c) != columns:
            expected = (0, 1)
        elif re.fullmatch(r"\d+[-.]\d+", c[0]):
            continue
        elif not (c[0].isdecimal() and int(c[0][:9]) in expected):
            return False
        else:
            sentences, words = sentences + (expected == (0, 1)), words + 1
            expected = (int(c[0]) + 1,) * 2
    return columns > 2 and words > sentences > 0


def _cells(line: str) -> list[str]:
    """Columns between tabs, else between blanks; other white space may be part of a token."""
    if not line.strip(" \t"):
        return []
    return [c.strip(" ") for c in line.split("\t")] if "\t" in line else [c for c in line.split(" ") if c]


# ---------------------------------------------------------------------------------------------------------------------
# Parquet


@dataclass(frozen=True)
class _UnreadableValue:
    """A value of a type that neither a text nor a label can have; a message names its type."""

    kind: str

    def __repr__(self) -> str:
        return f"a value of type {self.kind}"


def _parquet(data: bytes, options: ReadOptions) -> NumberedRows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    if not data.startswith(b"PAR1"):
        for magic, what in _MAGIC.items():
            if data.startswith(magic):
                raise UnreadableError(f"is not a whole Parquet file, but {what}")
        _refuse_pages(data)
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        fields = [f for f in file.schema_arrow if not f.name.startswith("__index_level_")]  # the index of pandas
        if repeated := sorted(name for name, n in Counter(f.name for f in fields).items() if n > 1):
            raise UnreadableError(
                f"must give every column a name of its own, but {', '.join(map(in_words, repeated))} is repeated"
            )
        readable = [f.name for f in fields if _is_readable_type(f.type)]  # images and the like are not even decoded
        unreadable = {f.name: _UnreadableValue(str(f.type)) for f in fields if f.name not in readable}
        for batch in file.iter_batches(batch_size=1024, columns=readable):
            columns = [map(_plain, batch.column(name).to_pylist()) for name in readable]
            for values in zip(*columns, strict=True) if readable else [()] * batch.num_rows:
                number += 1
                yield number, {**dict(zip(readable, values, strict=True)), **unreadable}
    except UnreadableError:
        raise
    except Exception as e:  # a broken file shows itself in whatever the decoder met first
        reason = " ".join(str(e).split())[:120] or type(e).__name__
        raise UnreadableError(f"is not a whole Parquet file: {reason}") from None


def _is_readable_type(kind: Any) -> bool:
    """Whether values of this Arrow type can be a text, a label, tokens or tags."""
    from pyarrow import types as t

    if t.is_dictionary(kind):
        return _is_readable_type(kind.value_type)
    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        return _is_readable_type(kind.value_type) and not t.is_nested(kind.value_type)
    text = t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind)
    return bool(text or t.is_integer(kind) or t.is_floating(kind) or t.is_boolean(kind) or t.is_decimal(kind))


def _plain(value: Any) -> Any:
    """A decimal as a number: one without digits after the point is whole, like an integer."""
    if isinstance(value, Decimal):
        return int(value) if value.as_tuple().exponent == 0 else float(value)
    return value


# ---------------------------------------------------------------------------------------------------------------------
# formats by suffix


def _gzipped(f: Format) -> Format:
    def rows(data: bytes, options: ReadOptions) -> NumberedRows:
        yield from f.rows(_unzip(data), options)

    return replace(f, rows=rows)


_TEXTS = {
    ".jsonl": Format(_json_lines, typed=True),
    ".csv": Format(_separated_rows(",", quotes=True), names="first line"),
    ".tsv": Format(_separated_rows("\t", quotes=False), names="first line"),
    **dict.fromkeys((".conll", ".bio", ".iob", ".txt"), Format(_token_lines({"tokens": 1}), names="none")),
    ".conllu": Format(_token_lines({"tokens": 2, "tags": 4}, width=10), names="none"),
}
READERS: dict[str, Format] = {
    **_TEXTS,
    ".parquet": Format(_parquet, typed=True, counts="row"),
    **{f"{suffix}.gz": _gzipped(f) for suffix, f in _TEXTS.items()},
}
