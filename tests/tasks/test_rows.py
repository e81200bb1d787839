"""Readers: hostile strings come back as they were, every bad row is named by its number, no bytes break a reader."""

from __future__ import annotations

import csv
import gzip
import io
import time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tables import WRITERS, conll, conllu, jsonl, parquet, read, separated

from raystudy.tasks._rows import READERS, ReadOptions, UnreadableError, suffix_of

TEXT = [{"text": "good film", "label": "pos"}, {"text": "bad film", "label": "neg"}]
TAGGED = [{"tokens": ["John", "lives"], "tags": ["B-per", "O"]}, {"tokens": ["here"], "tags": ["O"]}]
TAGS = (".conll", ".bio", ".iob", ".txt", ".conllu")


def of(suffix: str) -> list[dict[str, Any]]:
    return TAGGED if suffix.removesuffix(".gz") in TAGS else TEXT


def zipped(data: bytes) -> bytes:
    """Without the hour in its head: a test is named after its data, and must be in every process and on every day."""
    return gzip.compress(data, mtime=0)


def written(suffix: str) -> bytes:
    data = WRITERS[suffix.removesuffix(".gz")](of(suffix))
    return zipped(data) if suffix.endswith(".gz") else data


def test_formats_are_found_by_their_suffix() -> None:
    texts = {".jsonl", ".csv", ".tsv", *TAGS}
    assert set(READERS) == {*texts, *(f"{s}.gz" for s in texts), ".parquet"}
    assert [suffix_of(n) for n in ("train.csv.gz", "train.csv", "train.xlsx", "a.b.txt")] == [
        ".csv.gz",
        ".csv",
        "",
        ".txt",
    ]


@pytest.mark.parametrize("suffix", READERS)
def test_every_format_reads_what_was_written(suffix: str) -> None:
    rows, problems = read(suffix, written(suffix))
    assert [row for _, row in rows] == of(suffix)
    assert not problems


# what a cell may hold: U+2028 and U+0085 are line ends for Python's str.splitlines, and for nobody else
hostile = st.text(st.sampled_from("ab\"',;\t\n\r \u2028\u0085\u00a0\ufeffé😀\\#{}[]="), min_size=1, max_size=12)


@settings(max_examples=200)
@given(st.lists(st.tuples(hostile, hostile), min_size=1, max_size=5))
@example([('"', '""'), ("\r", "\n"), ("a\r\nb", ",")])
def test_hostile_strings_come_back(cells: list[tuple[str, str]]) -> None:
    table = [{"text": a, "label": b} for a, b in cells]
    assert [r for _, r in read(".jsonl", jsonl(table))[0]] == table
    assert [r for _, r in read(".parquet", parquet(table))[0]] == table
    if all(c.strip(" ") for c in (x for row in cells for x in row)):
        assert [r for _, r in read(".csv", separated(table, ","))[0]] == table
        assert [r for _, r in read(".tsv", separated(table, "\t"), quotes=True)[0]] == table
    flat = [{k: v.translate({9: "T", 10: "N", 13: "R"}) for k, v in row.items()} for row in table]
    assert [r for _, r in read(".tsv", separated(flat, "\t", quotes=False))[0]] == flat


token = st.text(st.sampled_from("ab\"'#,-_\u2028\u00a0é😀"), min_size=1, max_size=4)


@settings(max_examples=150)
@given(st.lists(st.lists(st.tuples(token, st.sampled_from(["O", "B-x", "I-x"])), min_size=1, max_size=4), max_size=4))
def test_hostile_tokens_come_back(sentences: list[list[tuple[str, str]]]) -> None:
    table = [{"tokens": [t for t, _ in s], "tags": [g for _, g in s]} for s in sentences]
    assert [r for _, r in read(".conllu", conllu(table))[0]] == table
    plain = [{**row, "tokens": [t.replace("#", "H") for t in row["tokens"]]} for row in table]
    for separator in "\t", " ":
        assert [r for _, r in read(".conll", conll(plain, separator))[0]] == plain


def test_numbers_are_lines_of_the_file_also_behind_quoted_line_ends() -> None:
    data = b'text,label\r\n"two\r\nlines",a\r\n\r\nplain,b\r\nc\r\n"x","y"z,d\r\nlast,e\r\n'
    rows, problems = read(".csv", data)
    assert [(n, r["label"]) for n, r in rows] == [(2, "a"), (5, "b"), (8, "e")]
    assert problems[0] == (6, "must have 2 columns like the first line, but has 1")
    assert problems[1][0] == 7
    assert "a quotation mark inside a quoted field must be doubled" in problems[1][1]


def test_a_quotation_that_is_not_closed_is_named_where_it_opens() -> None:
    rows, problems = read(".csv", b'text,label\na,b\n"open,c\nd,e\n')
    assert (len(rows), problems) == (1, [(3, "a quotation mark opens a field that no quotation mark closes")])


def test_a_field_may_be_longer_than_python_s_reader_allows_by_default() -> None:
    usual = csv.field_size_limit()
    text = "x" * (usual + 9)
    for suffix, separator in ((".csv", ","), (".tsv", "\t")):
        data = f'text{separator}label\n"{text}"{separator}a\nb{separator}c\n'.encode()
        assert [r["text"] for _, r in read(suffix, data, quotes=True)[0]] == [text, "b"]
    assert csv.field_size_limit() == usual  # it is one number for the whole process


@pytest.mark.parametrize(
    ("first", "says"),
    [
        (b"text,,label,", "the first line must name every column, but column 2, 4 has no name"),
        (b"text,text,label", "the first line must give every column a name of its own, but 'text' is repeated"),
    ],
)
def test_every_column_has_one_name(first: bytes, says: str) -> None:
    assert read(".csv", first + b"\na,b,c,d\n") == ([], [(1, says)])


def test_what_common_programs_write() -> None:
    messages: list[str] = []
    rows = [{"text": "a, b", "label": "x"}]
    assert [r for _, r in read(".csv", b'\xef\xbb\xbftext;label\r\n"a, b";x\r\n', add_note=messages.append)[0]] == rows
    assert [r for _, r in read(".csv", b',text,label\n0,"a, b",x\n', add_note=messages.append)[0]] == rows
    assert messages == [
        "its columns are separated by semicolons, not by commas",
        "its first column has no name and was not read",
    ]
    assert [r for _, r in read(".csv", b"text,label\ra,x\r")[0]] == [{"text": "a", "label": "x"}]
    frame = pa.table({"text": ["a, b"], "label": ["x"], "__index_level_0__": [7]})
    out = io.BytesIO()
    pq.write_table(frame, out)
    assert [r for _, r in read(".parquet", out.getvalue())[0]] == rows


def test_columns_may_have_numbers_for_names() -> None:
    rows, _ = read(".tsv", b"cat\tanimal\thyper\ndog\tstone\tother\n", numbers={"text": 1, "text_pair": 2, "label": 3})
    assert [r for _, r in rows] == [{"1": "cat", "2": "animal", "3": "hyper"}, {"1": "dog", "2": "stone", "3": "other"}]
    rows, _ = read(".conll", b"1 John NNP B-per\n2 lives VBZ O\n", numbers={"tokens": 2, "tags": 3})
    assert rows == [(1, {"2": ["John", "lives"], "3": ["NNP", "VBZ"]})]
    assert read(".conll", b"a b O\n", numbers={"tags": 7}) == (
        [],
        [(None, "must have a column 7 for the tags, but has 3 columns")],
    )


def test_quotation_marks_of_tsv_are_kept_and_told() -> None:
    data = b'text\tlabel\n"to be"\tx\n"or not"\ty\nplain\tx\n'
    messages: list[str] = []
    assert [r["text"] for _, r in read(".tsv", data, add_note=messages.append)[0]] == ['"to be"', '"or not"', "plain"]
    (note,) = messages
    assert note.startswith("2 of 3 rows hold a field in quotation marks, which were kept as part of it; ")
    assert note.endswith("a file that pandas wrote wants `quotes: true`")
    assert [r["text"] for _, r in read(".tsv", data, quotes=True)[0]] == ["to be", "or not", "plain"]


def test_what_stands_between_sentences() -> None:
    data = b"-DOCSTART- -X- O\n\n# a comment\nJohn NNP B-per\nlives VBZ O\n\n\n#\n#tag NN O\n# # O\nhere RB O"
    rows, problems = read(".conll", data)
    assert not problems
    assert [(n, r["tokens"]) for n, r in rows] == [(4, ["John", "lives"]), (9, ["#tag", "#", "here"])]
    assert [r["tags"] for _, r in rows] == [["B-per", "O"], ["O", "O", "O"]]


def test_conllu_passes_over_ranges_and_empty_nodes() -> None:
    rest = "\t_" * 6
    data = f"# sent_id = 1\n1-2\tdel\t_\t_{rest}\n1\tde\t_\tADP{rest}\n2\tel\t_\tDET{rest}\n2.1\tx\t_\tVERB{rest}\n"
    assert read(".conllu", data.encode())[0] == [(2 + 1, {"tokens": ["de", "el"], "tags": ["ADP", "DET"]})]
    five = read(".conllu", data.encode(), numbers={"tags": 5})[0]
    assert five[0][1]["5"] == ["_", "_"]


def test_every_bad_line_of_columns_is_named() -> None:
    rows, problems = read(".conll", b"a O\nb\nc O\n\nd O\ne f O\n\ng O\n")
    assert problems == [(n, f"must have 2 columns like the first token, but has {k}") for n, k in ((2, 1), (6, 3))]
    assert [r["tokens"] for _, r in rows] == [["g"]]
    assert "has one column" in read(".txt", b"just\nwords\n")[1][0][1]


def test_parquet_keeps_types() -> None:
    columns = {
        "text": pa.array(["a", None], pa.large_string()),
        "label": pa.array(["x", "y"]).dictionary_encode(),
        "stars": pa.array([1, 2], pa.int8()),
        "score": pa.array([0.5, float("nan")]),
        "tags": pa.array([["O"], ["B-x", "O"]]),
        "when": pa.array([0, 1], pa.timestamp("ms")),
        "image": pa.array([b"", b"x"]),
    }
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    (one, first), (two, second) = read(".parquet", out.getvalue())[0]
    assert (one, two) == (1, 2)
    kinds = (first["text"], first["label"], first["stars"], first["score"], first["tags"])
    assert kinds == ("a", "x", 1, 0.5, ["O"])
    assert second["text"] is None
    assert str(first["when"]) == "a value of type timestamp[ms]"


LATIN = "café".encode("latin-1")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".conll", ".conllu"])
@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("text,label\na,b\n".encode("utf-16"), "must be UTF-8 text, but its first bytes say UTF-16"),
        ("text,label\na,b\n".encode("utf-16-le"), "it is probably UTF-16 without a mark"),
        ("text,label\na,b\n".encode("utf-32"), "but its first bytes say UTF-32"),
        (b"\0" * 99 + b"abc", "it is probably"),
        (b"PK\x03\x04\x14\x00", "a zip or Excel file: export it as CSV"),
        (zipped(b"text"), "a gzip file: give its name the ending .gz"),
        (b"PAR1\x15\x04", "a Parquet file: give its name the ending .parquet"),
    ],
)
def test_what_is_no_text_is_refused_with_the_cure(suffix: str, data: bytes, says: str) -> None:
    with pytest.raises(UnreadableError) as e:
        read(suffix, data)
    assert says in str(e.value)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".conll"])
def test_every_line_that_is_no_utf8_is_named(suffix: str) -> None:
    separator = b"," if suffix == ".csv" else b"\t"
    good, bad = b"a" + separator + b"b\n", LATIN + separator + b"b\n"
    _, problems = read(
        suffix, good + bad + good + bad + b"\x93a\x94" + separator + b"b\n" + b"a\0" + separator + b"b\n"
    )
    assert [n for n, _ in problems] == [2, 4, 5, 6]
    assert problems[0][1] == (
        "must be UTF-8 text, but byte 4 of the line is 0xe9 ('é' in Latin-1: save the file as UTF-8)"
    )
    assert "0x93 ('“' in Windows-1252: save the file as UTF-8)" in problems[2][1]
    assert "NUL" in problems[3][1]


@pytest.mark.parametrize("data", [b"no gzip", zipped(b"abc" * 99)[:-9], b"\x1f\x8b"])
def test_broken_gzip(data: bytes) -> None:
    with pytest.raises(UnreadableError, match="is not a whole gzip file"):
        read(".csv.gz", data)


@pytest.mark.parametrize("data", [b"", b"PAR1", parquet(TEXT)[:-9], b"PAR1" + b"x" * 99 + b"PAR1"])
def test_broken_parquet(data: bytes) -> None:
    with pytest.raises(UnreadableError, match="is not a whole Parquet file"):
        read(".parquet", data)


def mutated(data: bytes) -> st.SearchStrategy[bytes]:
    """`data` with a few bytes changed, cut out or put in."""

    @st.composite
    def change(draw: st.DrawFn) -> bytes:
        out = bytearray(data)
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, len(out)))
            length = draw(st.integers(0, 6))
            out[at : at + length] = draw(
                st.binary(max_size=6) | st.sampled_from([b'"', b"\n", b"\t", b",", b"\0", b"#"])
            )
        return bytes(out)

    return change()


@pytest.mark.parametrize("suffix", [s for s in READERS if not s.endswith(".gz")] + [".csv.gz"])
def test_no_bytes_break_a_reader(suffix: str) -> None:
    """Whatever the bytes: rows, problems with their numbers, or `UnreadableError`; and at once."""

    @settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
    @given(st.binary(max_size=60) | mutated(written(suffix)), st.sampled_from([None, True, False]), st.booleans())
    def law(data: bytes, quotes: bool | None, numbered: bool) -> None:
        how = ReadOptions(quotes=quotes, numbers={"tokens": 1, "tags": 2, "text": 1, "label": 2} if numbered else {})
        began = time.monotonic()
        try:
            found = list(READERS[suffix].rows(data, how))
        except UnreadableError as e:
            assert str(e)  # noqa: PT017
        else:
            for number, row in found:
                assert number is None or number >= 1
                assert isinstance(row, dict) or (isinstance(row, str) and "\n" not in row)
        assert time.monotonic() - began < 2

    law()


# ---------------------------------------------------------------------------------------------------------------------
# no row vanishes, and no file is taken for what it is not


def rows_and_notes(suffix: str, data: bytes, **how: Any) -> tuple[int, list[str]]:
    """(rows read, what the reader says); nothing may be wrong with a row."""
    messages: list[str] = []
    rows, problems = read(suffix, data, add_note=messages.append, **how)
    assert not problems
    return len(rows), messages


@pytest.mark.parametrize("separator", ["\t", " "])
def test_a_word_that_begins_with_a_hash_is_a_word(separator: str) -> None:
    """Also where its tag stands on no other word, and at the start of a sentence."""
    sentences = [[("so", "O"), ("#win", "H")], [("#top", "H"), ("he", "B-X")], [("#only", "H")]]
    table = [{"tokens": [t for t, _ in s], "tags": [g for _, g in s]} for s in sentences]
    found, problems = read(".conll", conll(table, separator))
    assert ([r for _, r in found], problems) == (table, [])
    hashes = conll([{"tokens": ["#a", "#b"], "tags": ["H", "K"]}], separator)  # no line begins with anything else
    assert [r["tokens"] for _, r in read(".conll", hashes)[0]] == [["#a", "#b"]]


def test_comments_stand_before_a_sentence_and_are_counted() -> None:
    data = b"# id = 7 x\n#begin document (a);\na O\nb O\n\n# O\n# K\n# O\n\n#end document\n"
    rows, problems = read(".conll", data, add_note=(message := []).append)
    # `# O` has the tag of a word and is one; after it the sentence has begun, so `# K` is one as well
    assert [r["tokens"] for _, r in rows] == [["a", "b"], ["#", "#", "#"]]
    assert (problems, message) == ([], ["3 comments were passed over (the first: line 1, '# id = 7 x')"])
    assert read(".conll", b"a O\n# no word at all\nb O\n")[1] == [
        (2, "must have 2 columns like the first token, but has 5")
    ]
    tabs = b"# a b\n#\nx\tO\n#\tH\n\n#\tH\ny\tO\n"
    assert [r["tokens"] for _, r in read(".conll", tabs)[0]] == [["x", "#"], ["#", "y"]]
    documents = b"-DOCSTART- -X- O\n\na NN O\n\n-DOCSTART- -X- O\n\n-DOCSTART-s NN O\n"
    assert rows_and_notes(".conll", documents) == (
        2,
        ["2 lines -DOCSTART- were passed over (the first: line 1, '-DOCSTART- -X- O')"],
    )


def test_a_file_without_empty_lines_is_told_to_be_one_sentence() -> None:
    words = b"".join(b"w%d O\n" % i for i in range(25))
    assert rows_and_notes(".txt", words) == (1, ["all 25 lines are ONE sentence, because no empty line divides them"])
    assert rows_and_notes(".txt", words[:40]) == (1, [])


def test_ranges_and_empty_nodes_of_conllu_are_counted() -> None:
    rest = "\t_" * 6
    data = f"# x\n1-2\tdel\t_\t_{rest}\n1\tde\t_\tADP{rest}\n2\tel\t_\tDET{rest}\n2.1\tx\t_\tVERB{rest}\n"
    message = "2 ranges of words or words not in the text were passed over (the first: line 2, '1-2\\tdel\\t_\\t_"
    assert rows_and_notes(".conllu", data.encode())[1][0].startswith(message)


OPEN = b'text,label\ngood one,pos\n"great film,pos\nbad one,neg\nworse one,neg\nawful film",neg\n'


def test_a_quotation_mark_that_swallows_rows_is_suspected() -> None:
    n, (fields, suspected) = rows_and_notes(".csv", OPEN)
    where = "the first in the row of line 3: 'great film,pos'; the longest has 4 lines"
    assert (n, fields) == (2, f"1 field stands over several lines ({where})")
    assert suspected.startswith("SUSPECTED, a quotation mark that opens a field and is not closed: 3 lines within")
    assert rows_and_notes(".csv", OPEN, quotes=False)[0] == 5
    numbers = b'text,score\nfine,1.5\n"so,2.5\nbad,0.25\nend",3.5\n'
    assert "SUSPECTED" in rows_and_notes(".csv", numbers)[1][1]


def test_lines_within_a_field_that_are_no_rows_are_only_counted() -> None:
    poem = [{"text": "one, two\nthree, four\nfive", "label": "pos"}, {"text": "a\n\nb", "label": "neg"}]
    n, messages = rows_and_notes(".csv", separated(poem, ","))
    where = "the first in the row of line 2: 'one, two'; the longest has 3 lines"
    assert (n, messages) == (2, [f"2 fields stand over several lines ({where})"])


@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        (".csv", b"text,label\n\na,b\n \n\nc,d\n\n\n"),
        (".tsv", b"text\tlabel\n\na\tb\n \n\nc\td\n\n\n"),
        (".jsonl", b'{"text": "a"}\n\n \n\n{"text": "b"}\n\n\n'),
    ],
)
def test_empty_lines_between_rows_are_counted(suffix: str, data: bytes) -> None:
    assert rows_and_notes(suffix, data) == (2, ["3 empty lines were passed over (the first: line 2)"])


def test_a_line_of_separators_is_a_row_and_the_line_of_names_may_come_again() -> None:
    assert [n for n, _ in read(".csv", b"text,label\na,b\n,\n")[0]] == [2, 3]
    message = "1 row repeats the names of the columns, and was read as data (the first: line 3)"
    assert rows_and_notes(".csv", b"text,label\na,b\ntext,label\nc,d\n") == (3, [message])


@pytest.mark.parametrize(
    "line",
    [b'{"text": "a", "label": "x", "label": "y"}', b'{"text": "a", "label": "x", "m": {"label": 1, "label": 1}}'],
)
def test_a_key_of_json_stands_once(line: bytes) -> None:
    rows, problems = read(".jsonl", b'{"text": "a", "label": "x"}\n' + line + b"\n")
    message = "must be one JSON object a line, but 'label' is repeated; every key must stand once"
    assert (len(rows), problems) == (1, [(2, message)])


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_columns_of_csv_between_other_characters(separator: str, name: str) -> None:
    messages: list[str] = []
    data = f'"te,xt"{separator}label\n"a, b{separator} c"{separator}x\n'.encode()
    assert read(".csv", data, add_note=messages.append)[0] == [(2, {"te,xt": f"a, b{separator} c", "label": "x"})]
    assert messages == [f"its columns are separated by {name}, not by commas"]


def test_commas_in_a_table_of_tabs() -> None:
    messages: list[str] = []
    assert [r for _, r in read(".tsv", b'text,label\n"a, b",x\n', add_note=messages.append)[0]] == [
        {"text": "a, b", "label": "x"}
    ]
    assert messages == ["its columns are separated by commas, not by tabs"]


JSON_LINES = b'{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n'
TEXT_TAB_LABEL = b"a film of charm\t1\nno plot\t0\na waste of time\t0\n"


@pytest.mark.parametrize(
    ("suffix", "data", "says"),
    [
        (".txt", TEXT_TAB_LABEL, "holds blanks within its columns, like a text and its label"),
        (".conll", b"1\ta film of charm\n0\tno plot\n", "holds blanks within its columns"),
        (".csv", JSON_LINES, "but holds a JSON object a line: give its name the ending .jsonl"),
        (".tsv", JSON_LINES, "but holds a JSON object a line: give its name the ending .jsonl"),
        (".txt", JSON_LINES, "but holds a JSON object a line: give its name the ending .jsonl"),
        (".csv", b'[{"text": "a", "label": "x"}]', "but begins as JSON"),
        (".jsonl", b'[{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]', "is one JSON list of all rows"),
        (".jsonl", b'[\n  {"text": "a"}\n]', "is one JSON list of all rows"),
        (".jsonl", b'{\n  "text": "a"\n}', "an object stands over several lines"),
        (".csv", b"<!DOCTYPE html>\n<html>", "is an HTML page: download the file itself"),
        (".jsonl", b"\xef\xbb\xbf \n<HTML lang='en'>", "is an HTML page"),
        (".conll", b"<?xml version='1.0'?>", "is an XML file"),
        (".parquet", b"<!doctype html>", "is an HTML page"),
        (".parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "run `git lfs pull`"),
        (".jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "run `git lfs pull`"),
        (".csv", b"/annex/objects/SHA256E-s1--0.csv\n", "run `git annex get`"),
        (".csv.gz", zipped(zipped(b"text,label\n")), "is a gzip file within a gzip file"),
        (".csv.gz", b"text,label\n", "if it is not packed, take .gz off its name"),
        (".parquet", zipped(b"x"), "a gzip file"),
    ],
)
def test_a_file_that_is_not_what_its_name_says(suffix: str, data: bytes, says: str) -> None:
    with pytest.raises(UnreadableError) as e:
        read(suffix, data)
    assert says in str(e.value)


def test_words_a_line_are_no_table() -> None:
    data = b"Ada\tB-x\nmet\tO\n\nBo\tB-x\n"
    with pytest.raises(UnreadableError, match=r"line 3 is empty: if it has a word a line, give its name the ending"):
        read(".tsv", data, numbers={"tokens": 1, "tags": 2})


def test_a_column_that_counts_the_words_is_no_column_of_words() -> None:
    ud = b"1\tAda\tAda\tPROPN\tN\t_\t2\tnsubj\t_\t_\n2\tmet\tmeet\tVERB\tV\t_\t0\troot\t_\tSpaceAfter=No\n\n"
    assert "give its name the ending .conllu" in str(read(".conll", ud)[1])
    numbered = b"1 Ada B-x\n2 met O\n\n1 London B-x\n2 was O\n"
    assert "`columns: {tokens: 2}`" in str(read(".conll", numbered)[1])
    words = b"1 A O\n3 B O\n\n1 C O\n"
    assert [r for _, r in read(".conll", words)[0]] == [
        {"tokens": ["1", "3"], "tags": ["O", "O"]},
        {"tokens": ["1"], "tags": ["O"]},
    ]


def test_an_empty_word_or_tag_is_named_at_its_own_line() -> None:
    assert read(".conll", b"Ada\tB-x\nmet\t\n\tO\n\nwas\tO\n")[1] == [
        (2, "must hold a word and its tag, but the tag is empty"),
        (3, "must hold a word and its tag, but the word is empty"),
    ]


def test_doubled_marks_within_a_field_of_tsv_are_told_where_one_row_has_them() -> None:
    plain = b"plain\tneg\n" * 40
    messages = rows_and_notes(".tsv", b'text\tlabel\n"he said ""no"" twice"\tpos\n' + plain)[1]
    assert any("1 with marks that are doubled" in note and "`quotes: true`" in note for note in messages)
    assert not rows_and_notes(".tsv", b'text\tlabel\n"no" they said "yes"\tpos\n' + plain)[1]
