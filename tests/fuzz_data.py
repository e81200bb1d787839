"""Mutated files for every reader: ``python tests/fuzz_data.py 10000 [.csv ...]``; some hundreds of them are a test.

Each file becomes a task or a listed error, never a traceback, and the number of rows that were read equals a count that
is made here with other means than the readers' (a walk over characters, a regular expression, the metadata), or a note
says what was passed over.
"""

from __future__ import annotations

import io
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tasks.tables import FILES, WRITERS

from raystudy.errors import UserError
from raystudy.tasks import SPLITS, load
from raystudy.tasks._rows import READERS

TEXTS = [
    {"text": f"{a} {b}, the {c} film {i}", "label": ("pos", "neg", "neu")[i % 3]}
    for i, (a, b, c) in enumerate([("good", "warm", "new"), ("bad", "cold", "old"), ("so", "so", "odd")] * 3)
]
WORDS = [
    {"tokens": ["Ada", "met", f"#tag{i}", "here"], "tags": ["B-x", "O", ("I-x", "B-y", "O")[i % 3], "O"]}
    for i in range(6)
]
BYTES = [b'"', b"\n", b"\n\n", b"\t", b",", b";", b"|", b"#", b"# ", b" ", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"{"]
MORE = [
    b'"\n',
    b'\n"',
    b"nan",
    b"1.0",
    b"3,5",
    b"-1",
    b"-DOCSTART- O\n",
    b"label",
    b"\xe2\x80\xa8",
    b"\xc2\x85",
    b"}",
    b"[",
    b"\\",
]


def mutated(data: bytes, draw: random.Random) -> bytes:
    """`data` with bytes put in, cut out or changed, and lines doubled, lost, exchanged or put together."""
    out = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(out) + 1)
        what = draw.randrange(8)
        if what < 3:
            out[at:at] = draw.choice(BYTES + MORE)
        elif what == 3:
            del out[at : at + draw.randint(1, 9)]
        elif what == 4 and out:
            out[min(at, len(out) - 1)] = draw.randrange(256)
        else:
            lines = bytes(out).split(b"\n")
            i, j = draw.randrange(len(lines)), draw.randrange(len(lines))
            if what == 5:
                lines.insert(i, lines[j])
            elif what == 6:
                lines[i], lines[j] = lines[j], lines[i]
            else:
                del lines[i]
            out = bytearray(b"\n".join(lines))
    return bytes(out)


# ---------------------------------------------------------------------------------------------------------------------
# rows counted by other means than the readers'


def rows_of_json(data: bytes) -> int:
    return len(re.findall(rb"^[^\n]*[^\s][^\n]*$", data, re.MULTILINE))


def rows_of_quoted(text: str) -> int:
    """Records of RFC 4180 but for the first, by a walk over the characters; a line without any is none."""
    records, filled, inside, start, i = 0, False, False, True, 0
    while i < len(text):
        c = text[i]
        if inside:
            if c == '"':
                if text[i + 1 : i + 2] == '"':
                    i += 1
                else:
                    inside = False
        elif c in "\r\n":
            records += filled
            filled, start = False, True
            i += 1
            continue
        elif c == '"' and start:
            inside = filled = True
        else:
            filled = filled or c != " "
        start = not inside and c == ","
        i += 1
    return records + filled - 1


def rows_of_lines(text: str) -> int:
    return sum(1 for _ in re.finditer(r"[^\n]*[^\n \r][^\n]*", text)) - 1


def rows_of_words(text: str) -> int:
    """Sentences: what empty lines divide, if a line of it is no comment."""
    blocks = re.split(r"\n(?:[ \t]*\n)+", "\n" + text.replace("\r\n", "\n") + "\n")
    return sum(bool(re.search(r"^(?!# |#$|-DOCSTART-)[ \t]*[^ \t\n]", b, re.MULTILINE)) for b in blocks)


def counted(suffix: str, data: bytes) -> int:
    if suffix == ".parquet":
        return int(pq.read_metadata(io.BytesIO(data)).num_rows)
    if suffix == ".jsonl":
        return rows_of_json(data)
    text = data.decode("utf-8-sig")
    if suffix == ".csv":
        return rows_of_quoted(text)
    return rows_of_lines(text) if suffix == ".tsv" else rows_of_words(text)


EXPLAINS = ("comment", "-DOCSTART-", "separated by", "range")


def seeds(suffix: str) -> bytes:
    return WRITERS[suffix](WORDS if suffix in (".conll", ".bio", ".iob", ".txt", ".conllu") else TEXTS)


def tried(suffix: str, n: int, seed: int = 0) -> Counter[str]:
    """What became of `n` mutated files: read, refused, or explained by a note.

    Raises:
        AssertionError: a number of rows that nothing explains. Whatever else a reader raises is a fault too.
    """
    outcomes: Counter[str] = Counter()
    whole = seeds(suffix)
    draw = random.Random(f"{suffix} {seed}")
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "mine"
        folder.mkdir()
        for split in SPLITS:
            (folder / f"{FILES[split]}{suffix}").write_bytes(whole)
        train = folder / f"train{suffix}"
        for _ in range(n):
            data = mutated(whole, draw)
            train.write_bytes(data)
            refusal: list[str] | None = None
            try:
                task = load("mine", root=Path(root))
            except UserError as e:
                refusal = e.lines
            if refusal is not None:
                assert refusal, data
                assert all(line.isprintable() for line in refusal), data
                outcomes["refused"] += 1
                continue
            assert all(note.isprintable() for note in task.notes), (data, task.notes)
            read, wanted = len(task.splits["train"]), counted(suffix, data)
            told = any(word in note for note in task.notes for word in EXPLAINS)
            assert read == wanted or told, (suffix, read, wanted, data, task.notes)
            outcomes["read" if read == wanted else "explained"] += 1
    return outcomes


READ: dict[str, Callable[..., object]] = {s: tried for s in READERS if not s.endswith(".gz")}


def main() -> None:
    n, *asked = sys.argv[1:] or ["10000"]
    pa.set_cpu_count(1)
    for suffix in asked or READ:
        began = time.perf_counter()
        outcomes = tried(suffix, int(n))
        said = ", ".join(f"{k} {v}" for k, v in sorted(outcomes.items()))
        print(f"{suffix:<9} {n} files: {said}; {time.perf_counter() - began:.0f} s", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
