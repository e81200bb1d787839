"""One table written in every format: what the tests of the readers, of the tasks and of the folders share."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raystudy.errors import UserError
from raystudy.tasks._rows import READERS, ReadOptions, Row

Table = Sequence[Mapping[str, Any]]
FILES = {"train": "train", "dev": "validation", "test": "test"}


def jsonl(rows: Table) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "surrogatepass")


def separated(rows: Table, separator: str, *, quotes: bool = True) -> bytes:
    """With quotation marks as RFC 4180 says, or without any."""
    names = list(rows[0])
    lines = [names, *([str(row[n]) for n in names] for row in rows)]
    if not quotes:
        return "".join(separator.join(line) + "\n" for line in lines).encode()
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=separator, lineterminator="\r\n").writerows(lines)
    return out.getvalue().encode()


def parquet(rows: Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), out)
    return out.getvalue()


def conll(rows: Table, separator: str = "\t") -> bytes:
    sentences = (zip(row["tokens"], row["tags"], strict=True) for row in rows)
    return "\n".join("".join(f"{t}{separator}{g}\n" for t, g in pairs) for pairs in sentences).encode()


def conllu(rows: Table) -> bytes:
    def line(i: int, token: str, tag: str) -> str:
        return f"{i}\t{token}\t_\t{tag}" + "\t_" * 6 + "\n"

    sentences = (enumerate(zip(row["tokens"], row["tags"], strict=True), 1) for row in rows)
    return "\n".join("# text = x\n" + "".join(line(i, t, g) for i, (t, g) in s) for s in sentences).encode()


WRITERS: dict[str, Callable[[Table], bytes]] = {
    ".jsonl": jsonl,
    ".csv": lambda rows: separated(rows, ","),
    ".tsv": lambda rows: separated(rows, "\t", quotes=False),
    ".parquet": parquet,
    ".conll": conll,
    ".bio": lambda rows: conll(rows, " "),
    ".iob": conll,
    ".txt": conll,
    ".conllu": conllu,
}


def lay(root: Path, name: str = "mine", suffix: str = ".jsonl", **splits: Table | bytes) -> Path:
    """The folder of a task; what is bytes is written as it is, a split that is not given is not there."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        data = rows if isinstance(rows, bytes) else WRITERS[suffix.removesuffix(".gz")](rows)
        zipped = suffix.endswith(".gz") and not isinstance(rows, bytes)
        (folder / (FILES[split] + suffix)).write_bytes(gzip.compress(data) if zipped else data)
    return root


def read(suffix: str, data: bytes, **how: Any) -> tuple[list[tuple[int | None, Row]], list[tuple[int | None, str]]]:
    """(rows, problems) that the reader of `suffix` gives."""
    found = list(READERS[suffix].rows(data, ReadOptions(**how)))
    return [(n, r) for n, r in found if isinstance(r, dict)], [(n, p) for n, p in found if isinstance(p, str)]


def refusal(call: Callable[[], object], kind: type[UserError]) -> list[str]:
    """The problems that `call` is refused with."""
    try:
        call()
    except kind as e:
        return [str(p) for p in e.problems]
    raise AssertionError(f"not refused with {kind.__name__}")
