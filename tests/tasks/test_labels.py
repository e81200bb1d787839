"""Labels: one guess for every format, numbers in doubtful spellings refused, and what looks like no class is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tables import lay, refusal

from raystudy.commands.tasks import tasks as tasks_command
from raystudy.errors import ConfigError, DataError, did_you_mean
from raystudy.study.plan import class_line
from raystudy.tasks import Task, load

FORMATS = (".jsonl", ".csv", ".tsv", ".parquet")


def rows(labels: list[Any]) -> list[dict[str, Any]]:
    return [{"text": f"text {i}", "label": label} for i, label in enumerate(labels)]


def read(root: Path, suffix: str, values: list[Any], /, **options: Any) -> Task:
    table = rows(values)
    return load("mine", root=lay(root / suffix, suffix=suffix, train=table, dev=table, test=table), options=options)


def notes_of(t: Task) -> str:
    return "; ".join(n for n in t.notes if "also occur" not in n)


@pytest.mark.parametrize(
    ("labels", "found", "says"),
    [
        ([0.0, 1.0, 2.0], ("0", "1", "2"), "3 of 3 labels of train are whole numbers with a point or an exponent"),
        ([0, 1, 2], ("0", "1", "2"), "labels are whole numbers and were read as 3 classes (`kind: regression`"),
        ([0.5, 1.0, 2.0], "regression", "labels are numbers, not all of them whole: regression"),
        (["0.5", "1", "2"], "regression", "labels are numbers, not all of them whole: regression"),
        (["-0.0", "1.0", "2.0"], ("0", "1", "2"), "with a point or an exponent"),
        (["1e3", "2e3"], ("1000", "2000"), "as '1e3'; they were read as '1000'"),
        (["01", "1", "1"], ("01", "1"), "labels that are the same number: '01' (1 in train, 1 in dev, 1 in test)"),
        ([True, False], ("false", "true"), ""),
        (["True", "FALSE"], ("false", "true"), "labels are true and false in other letters (FALSE, True)"),
        (["1", "a", "b"], ("1", "a", "b"), "labels are numbers in 1 and words in 2 examples of train"),
    ],
)
def test_the_guess_does_not_depend_on_the_format(tmp_path: Path, labels: list[Any], found: Any, says: str) -> None:
    tasks = [read(tmp_path, suffix, labels) for suffix in FORMATS]
    assert [t.labels or t.kind for t in tasks] == [found] * 4
    assert len({tuple(e.label for e in t.splits["train"]) for t in tasks}) == 1
    # true and false in the letters of a data frame are told where a file has them
    assert all(says in notes_of(t) for t in tasks)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("spelt", ["3,5", "1,000", "1_000", "1'000", "50%", "1.234,5"])
def test_numbers_in_a_doubtful_spelling_are_refused_with_the_cure(tmp_path: Path, suffix: str, spelt: str) -> None:
    (message,) = {
        s.partition(": label")[2] for s in refusal(lambda: read(tmp_path, suffix, ["1", spelt, "2"]), DataError)
    }
    assert f"but 1 of 3 labels of train, the first {spelt!r}, could be either" in message
    assert ("`kind: regression` reads the comma" in message) == (spelt == "3,5")
    assert read(tmp_path, suffix, ["1", spelt, "2"], kind="classification").labels == tuple(sorted(["1", spelt, "2"]))


def test_a_comma_before_the_fraction_is_read_where_the_user_says_numbers(tmp_path: Path) -> None:
    t = read(tmp_path, ".tsv", ["3,5", "1,000", "2"], kind="regression")
    assert [e.label for e in t.splits["train"]] == [3.5, 1.0, 2.0]
    assert "labels have a comma before the fraction: '3,5' is 3.5" in notes_of(t)
    for labels in (["1,000", "2"], ["3,5", "1.5"], ["50%", "1"]):  # thousands; two spellings; no number
        assert (
            "label must be a number (kind: regression)"
            in refusal(
                lambda labels=labels: read(tmp_path, ".tsv", labels, kind="regression"),  # type: ignore[misc]
                DataError,
            )[0]
        )


@pytest.mark.parametrize("lost", ["nan", "NA", "null", "None"])
def test_a_lost_number_is_no_class(tmp_path: Path, lost: str) -> None:
    messages = refusal(lambda: read(tmp_path, ".csv", ["0", "1", lost]), DataError)
    assert f"label must be a whole number as all others are, but is '{lost}': a lost one?" in messages[0]
    assert "label must be a number" in refusal(lambda: read(tmp_path, ".csv", ["0.5", "1", lost]), DataError)[0]
    assert f"LOOKS LIKE NO CLASS: '{lost}' (1 in train, 1 in dev, 1 in test)" in notes_of(
        read(tmp_path, ".csv", ["a", "b", lost])
    )


def test_what_looks_like_no_class_is_named_with_its_counts(tmp_path: Path) -> None:
    t = read(tmp_path, ".jsonl", ["a", "b", "-1", "?", "\u200b", "label"])
    assert "LOOKS LIKE NO CLASS: '-1' (1 in train, 1 in dev, 1 in test), '?' (1" in notes_of(t)
    assert "'\\u200b'" in notes_of(t)
    assert "LOOKS LIKE NO CLASS, but like the name of its column: 'label'" in notes_of(t)
    assert "-1 (?) 1/1/1" in class_line(t)
    assert "LOOKS" not in notes_of(read(tmp_path, ".jsonl", [1, -1]))  # two signs
    assert "LOOKS" not in notes_of(read(tmp_path, ".jsonl", ["a", "-1"], labels=["a", "-1"]))  # the user's own word


def test_spellings_of_one_class_are_named(tmp_path: Path) -> None:
    alike = ["caf\u00e9", "cafe\u0301", "neu", "ne\u200bu", "good  one", "good one"]
    messages = notes_of(read(tmp_path, ".jsonl", alike))
    note = next(n for n in messages.split("; ") if "look the same" in n)
    assert all(w in note for w in ("'caf\\xe9'", "'cafe\\u0301'", "'ne\\u200bu'", "'good  one'"))
    assert "labels that differ only in case: 'Neg', 'neg'" in notes_of(read(tmp_path, ".csv", ["Neg", "neg", "pos"]))
    assert "1 label has blanks at the ends" in notes_of(read(tmp_path, ".csv", [" pos", "neg"]))


def test_the_plan_s_line_of_classes_is_short_however_many_there_are(tmp_path: Path) -> None:
    assert class_line(read(tmp_path, ".csv", ["b", "a", "b"])).endswith("in train/dev/test: a 1/1/1, b 2/2/2")
    many = read(tmp_path, ".csv", [f"c{i:04}" for i in range(900)] + ["c0007", "x\x1b[31m"])
    line = class_line(many)
    assert "c0007 2/2/2" in line and "(901 in all" in line and len(line) < 400 and line.isprintable()
    assert "0.5 to 2 (mean 1.25)" in class_line(read(tmp_path, ".csv", ["0.5", "2"]))


def test_a_name_is_looked_for_among_few_of_many() -> None:
    known = [f"label number {i:05}" for i in range(20_000)]
    assert did_you_mean("label numbr 07771", known) == " — did you mean 'label number 07771'?"
    assert did_you_mean("xabel number 07771", known) == " — did you mean 'label number 07771'?"
    assert did_you_mean("x" * 5000, known) == ""


# ---------------------------------------------------------------------------------------------------------------------
# tags


def tagged(root: Path, *sentences: str, **options: Any) -> Task:
    table = [{"tokens": [f"w{i}" for i in range(len(s.split()))], "tags": s.split()} for s in sentences]
    return load("mine", root=lay(root, suffix=".jsonl", train=table, dev=table, test=table), options=options)


@pytest.mark.parametrize(
    ("tags", "scheme", "labels"),
    [
        ("B-x I-x E-x O S-y", "IOBES", ("B-x", "E-x", "I-x", "O", "S-y")),
        ("B-x I-x L-x O U-y", "BILOU", ("B-x", "I-x", "L-x", "O", "U-y")),
        ("B-x M-x E-x O W-y", "BMEWO", ("B-x", "E-x", "M-x", "O", "W-y")),
        ("B M E S S B E", "BMES", ("B", "E", "M", "S")),
        ("b-x i-x e-x o s-y", "IOBES", ("B-x", "E-x", "I-x", "O", "S-y")),
        ("B_x I_x E_x O S_y", "IOBES", ("B-x", "E-x", "I-x", "O", "S-y")),
        ("x-B x-I x-E O y-S", "IOBES", ("B-x", "E-x", "I-x", "O", "S-y")),
    ],
)
def test_schemes_with_ends_are_recognised_and_told(
    tmp_path: Path, tags: str, scheme: str, labels: tuple[str, ...]
) -> None:
    t = tagged(tmp_path, tags)
    assert (t.metric, set(t.labels)) == ("span_f1", set(labels))
    assert f"tags are {scheme}, which marks the last word of a span too" in notes_of(t)
    assert ("tags read in another spelling" in notes_of(t)) == (tags.split()[0] not in labels)
    assert "does not allow" not in notes_of(t)


def test_tags_of_iob_in_other_spellings(tmp_path: Path) -> None:
    for tags in ("b-x i-x o", "B_x I_x O", "x-B x-I O"):
        t = tagged(tmp_path, tags)
        assert (t.metric, t.splits["test"][0].label) == ("span_f1", ("B-x", "I-x", "O"))
    t = tagged(tmp_path, "I-x I-x B-x O I-y")
    assert "the tags are IOB1: B stands only between two spans of one type" in t.notes
    mixed = tagged(tmp_path, "B-x I-x E-x O S-x", "B-x O B-x I-x")  # ends are marked in one sentence only
    assert "tags that IOBES does not allow where they stand: 2 in train, 2 in dev, 2 in test" in notes_of(mixed)


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ("NOUN VERB", "tags such as 'NOUN' do not say where a span begins and goes on"),
        ("B-x I-x NOUN", "'NOUN' is no tag of the scheme that B-x, I-x is of"),
        ("B-x I-x L-x S-x", "they mix schemes: no scheme has all the letters B, I, L, S"),
    ],
)
def test_span_f1_is_refused_where_no_tag_marks_spans(tmp_path: Path, tags: str, why: str) -> None:
    assert tagged(tmp_path, tags).metric == "token_accuracy"
    (message,) = refusal(lambda: tagged(tmp_path, tags, metric="span_f1"), ConfigError)
    assert "span_f1 needs tags that mark spans" in message and why in message
    if "B-x" in tags:
        assert f"words are scored one by one, not by spans: {why}" in notes_of(tagged(tmp_path, tags))


# ---------------------------------------------------------------------------------------------------------------------
# folders named like data sets of ours


def test_a_folder_named_like_a_built_in_data_set_is_told(tmp_path: Path) -> None:
    table = [{"text": "a", "label": "positive"}, {"text": "b", "label": "negative"}]
    lay(tmp_path, "imdb", train=table, dev=table, test=table)
    lay(tmp_path, "planted", train=table, dev=table, test=table)
    assert "the folder imdb is read as the built-in data set of that name" in load("imdb", root=tmp_path).notes[0]
    message = "the folder planted under the data root is NOT read: a built-in data set has that name"
    assert load("planted/target", root=tmp_path).notes[0].startswith(message)
    assert "built-in" not in load("planted/target").notes[0]


def test_control_characters_of_labels_and_texts_are_escaped_wherever_they_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = [{"text": f"t \x1b[2J {i}", "label": c} for i, c in enumerate(("a\x1b[31m", "b\x9b", "c\u202ed", "c"))]
    lay(tmp_path, train=table, dev=table, test=table)
    tasks_command(name="mine", data_root=tmp_path, as_json=False)
    messages = capsys.readouterr().out
    assert "a\\x1b[31m" in messages and all(line.isprintable() for line in messages.split("\n"))


@pytest.mark.parametrize("spelt", ["$3.50", "3.50 \u20ac", "\u22121.5", "\u0661\u066b\u0665"])
def test_fractions_with_other_signs_are_refused_until_it_is_said_what_they_are(tmp_path: Path, spelt: str) -> None:
    table = rows([spelt, "2", "3"])
    root = lay(tmp_path, suffix=".csv", train=table, dev=table, test=table)
    assert "could be either" in str(refusal(lambda: load("mine", root=root), DataError))


def test_declared_labels_are_the_same_in_every_format(tmp_path: Path) -> None:
    for suffix in FORMATS:
        labels: list[Any] = [0.5, 1.0, 1.5] if suffix in (".jsonl", ".parquet") else ["0.5", "1.0", "1.5"]
        t = read(tmp_path, suffix, labels, labels=["0.5", "1.0", "1.5"])
        assert [e.label for e in t.splits["train"]] == ["0.5", "1.0", "1.5"]


def test_marks_and_words_for_nothing_are_no_classes_and_stars_are(tmp_path: Path) -> None:
    messages = notes_of(read(tmp_path, ".jsonl", ["pos", "neg", "neu", "...", "UNK"]))
    assert "LOOKS LIKE NO CLASS: '...' (1 in train, 1 in dev, 1 in test), 'UNK' (1" in messages
    for fine in (["*", "**", "***"], ["+", "-"], ["\u2764", "\U0001f602"]):
        assert "LOOKS" not in notes_of(read(tmp_path, ".jsonl", fine))


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("cat", "\u0441at", True),
        ("very_good", "Very good", True),
        ("non-fiction", "non\u2013fiction", True),
        ("'pos'", "pos", True),
        ("\u0130stanbul", "istanbul", True),
        ("-1", "1", False),
        ("C", "C++", False),
        ("r\u00e9sum\u00e9", "resume", False),
    ],
)
def test_what_looks_alike(tmp_path: Path, one: str, other: str, alike: bool) -> None:
    assert ("labels that look the same" in notes_of(read(tmp_path, ".jsonl", [one, other, "x"]))) == alike


def test_texts_of_another_encoding_are_counted(tmp_path: Path) -> None:
    table = [
        {"text": t, "label": c} for t, c in (("caf\u00c3\u00a9 noir", "a"), ("caf\ufffd", "b"), ("caf\u00e9", "b"))
    ]
    messages = notes_of(load("mine", root=lay(tmp_path, train=table, dev=table[2:], test=table[1:])))
    assert "texts that look like UTF-8 read as Windows-1252: 1 in train (the first: 'caf\\xc3\\xa9 noir" in messages
    assert "the mark of a lost character, U+FFFD: 1 in train, 1 in test" in messages
