"""The reader of task folders: what it accepts, and that everything else is a DataError with file and line."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raystudy.errors import ConfigError, DataError, PreflightError
from raystudy.tasks import Task
from raystudy.tasks import load as load_task
from raystudy.tasks.folder import LISTED, READERS, Card, load

Rows = list[dict[str, Any]]
GOOD: Rows = [{"text": "good film", "label": "pos"}, {"text": "bad film", "label": "neg"}]


def lay(root: Path, name: str = "mine", suffix: str = ".jsonl", **splits: Rows | bytes) -> Path:
    """A task folder; a split that is not given holds `GOOD`, one that is bytes is written as it is."""
    folder = root / name
    folder.mkdir()
    for split in ("train", "validation", "test"):
        rows = splits.get(split, GOOD)
        data = rows if isinstance(rows, bytes) else "".join(json.dumps(r) + "\n" for r in rows).encode()
        (folder / (split + suffix)).write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    return root


def refusal(call: Callable[[], object], kind: type[DataError | ConfigError | PreflightError] = DataError) -> list[str]:
    with pytest.raises(kind) as caught:
        call()
    return [str(p) for p in caught.value.problems]


def test_single_text(tmp_path: Path) -> None:
    task = load("mine", lay(tmp_path))
    assert (task.kind, task.form, task.labels) == ("classification", "single", ("neg", "pos"))
    assert [e.text for e in task.splits["train"]] == ["good film", "bad film"]
    assert task.all_metrics == ("accuracy", "macro_f1")
    assert task.digest == load_task("mine", root=tmp_path).digest


def test_gzip_and_plain_give_the_same_task(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    plain, zipped = lay(tmp_path / "a"), lay(tmp_path / "b", suffix=".jsonl.gz")
    assert load("mine", plain).digest == load("mine", zipped).digest


def test_dev_is_another_name_of_validation(tmp_path: Path) -> None:
    lay(tmp_path)
    (tmp_path / "mine" / "validation.jsonl").rename(tmp_path / "mine" / "dev.jsonl")
    assert len(load("mine", tmp_path).splits["dev"]) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [("text", "text_pair"), ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2")],
)
def test_names_of_pairs_are_printed(tmp_path: Path, first: str, second: str) -> None:
    rows = [{first: "a", second: "b", "label": n} for n in (0, 1)]
    task = load("mine", lay(tmp_path, train=rows, validation=rows, test=rows))
    assert (task.form, task.labels, task.splits["test"][0].pair) == ("pair", ("0", "1"), "b")
    printed = "; ".join(task.notes)
    assert (first in printed and second in printed) == (first != "text")


def test_integers_are_classes_and_floats_are_numbers(tmp_path: Path) -> None:
    whole = [{"text": "a", "label": 1}, {"text": "b", "label": 10}, {"text": "c", "label": 2}]
    assert load("ints", lay(tmp_path, "ints", train=whole, validation=whole, test=whole)).labels == ("1", "10", "2")
    real = [{"text": "a", "label": 1}, {"text": "b", "label": 2.5}]
    task = load("reals", lay(tmp_path, "reals", train=real, validation=real, test=whole))
    assert (task.kind, task.metric, task.splits["train"][0].label) == ("regression", "pearson", 1.0)
    assert all(isinstance(e.label, float) for split in task.splits.values() for e in split)


def test_tagging_counts_unseen_tags(tmp_path: Path) -> None:
    train = [{"tokens": ["a", "b"], "tags": ["O", "B-x"]}]
    test = [{"tokens": ["a", "b"], "tags": ["B-y", "B-y"]}]
    task = load("mine", lay(tmp_path, train=train, validation=train, test=test))
    assert (task.kind, task.labels, task.metric) == ("tagging", ("B-x", "O"), "span_f1")
    assert "test holds 2 tags outside the label set: B-y 2" in task.notes
    words = [{"tokens": ["a", "b"], "tags": ["DET", "NOUN"]}]
    assert load("pos", lay(tmp_path, "pos", train=words, validation=words, test=words)).metric == "token_accuracy"


def test_domains(tmp_path: Path) -> None:
    rows = [
        {"text": f"{d} {label} {i}", "label": label, "domain": d}
        for d in ("books", "dvd")
        for label in ("neg", "pos")
        for i in range(3)
    ]
    lay(tmp_path, train=rows, validation=rows, test=rows)
    assert len(load("mine", tmp_path).splits["train"]) == 12
    books = load("mine/books", tmp_path)
    assert books.name == "mine/books"
    assert len(books.splits["train"]) == 6
    assert all(e.text.startswith("books") for e in books.splits["train"])
    (message,) = refusal(lambda: load("mine/bocks", tmp_path), ConfigError)
    assert "unknown domain 'bocks' — did you mean 'books'? Known: books, dvd" in message


def test_a_domain_shares_the_classes_of_the_data_set(tmp_path: Path) -> None:
    rows = [{"text": f"{d}{i}", "label": str(i), "domain": d} for d, n in (("a", 3), ("b", 2)) for i in range(n)]
    assert load("mine/b", lay(tmp_path, train=rows, validation=rows, test=rows)).labels == ("0", "1", "2")


def test_what_json_strings_may_hold_does_not_break_lines(tmp_path: Path) -> None:
    rows = [{"text": "one\u2028two\u0085three", "label": n} for n in "ab"]
    raw = "\ufeff" + "\r\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n\n"
    task = load("mine", lay(tmp_path, train=raw.encode(), validation=rows, test=rows))
    assert [e.text for e in task.splits["train"]] == ["one\u2028two\u0085three"] * 2


BAD_LINES = [
    (b"{", "must be one JSON object a line, but Expecting property name enclosed in double quotes at character 2: '{'"),
    (b'["a"]', "must be a JSON object with named keys, but is a list of 1"),
    (b"3", "must be a JSON object with named keys, but is 3"),
    (b'{"text": "a"}', "must have the key label; its keys are 'text'"),
    (b"{}", "must have the keys text, label; its keys are none"),
    (b'{"text": "a", "text_pair": "b", "label": "pos"}', "must hold a single text like the first row of train"),
    (b'{"text": 5, "label": "pos"}', "text must be a string, but is 5"),
    (b'{"text": null, "label": "pos"}', "text must be a string, but is None"),
    (b'{"text": " \\n", "label": "pos"}', "text must not be empty, but is ' \\n'"),
    (b'{"text": "\\ud800", "label": "pos"}', "text must be Unicode text, but holds half a character: '\\ud800'"),
    (b'{"text": "caf\xe9", "label": "pos"}', "must be UTF-8 text, but byte 14 of the line is 0xe9"),
    (b'{"text": "a", "label": " "}', "label must not be empty, but is ' '"),
    (b'{"text": "a", "label": true}', "label must be a string or a whole number (a class)"),
    (b'{"text": "a", "label": null}', "but is None"),
    (b'{"text": "a", "label": ["pos"]}', "but is a list of 1"),
    (b'{"text": "a", "label": NaN}', "NaN is not JSON; a number must be finite"),
    (b"[" * 100_000, "must be one JSON object a line, but"),
    (b'{"text": "a", "label": "pos", "domain": 3}', "domain must be a string, but is 3"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
def test_every_bad_line_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    good = b"".join(json.dumps(r).encode() + b"\n" for r in GOOD)
    (said,) = refusal(lambda: load("mine", lay(tmp_path, train=good + b"\n" + line + b"\n" + good)))
    assert said.startswith(f"{tmp_path / 'mine' / 'train.jsonl'}:4: ")
    assert message in said


BAD_TAGGING = [
    ({"tokens": ["a"]}, "must have the key tags"),
    ({"tokens": "a", "tags": ["O"]}, "tokens must be a list of strings, but is 'a'"),
    ({"tokens": [], "tags": []}, "tokens must not be empty, but is []"),
    ({"tokens": ["a", ""], "tags": ["O", "O"]}, "tokens must be non-empty strings, but item 2 is ''"),
    ({"tokens": ["a"], "tags": [1]}, "tags must be non-empty strings, but item 1 is 1"),
    ({"tokens": ["a", "b"], "tags": ["O"]}, "must have one tag per token, but has 2 tokens and 1 tags"),
]


@pytest.mark.parametrize(("row", "message"), BAD_TAGGING)
def test_every_bad_tagging_row_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    good: Rows = [{"tokens": ["a", "b"], "tags": ["O", "B-x"]}]
    (said,) = refusal(lambda: load("mine", lay(tmp_path, train=[*good, row], validation=good, test=good)))
    assert said.startswith(f"{tmp_path / 'mine' / 'train.jsonl'}:2: {message}")


def test_real_labels_must_be_finite_numbers_everywhere(tmp_path: Path) -> None:
    real = b'{"text": "a", "label": 0.5}\n{"text": "b", "label": 1.5}\n'
    wrong = b'{"text": "a", "label": "1"}\n{"text": "a", "label": 1e999}\n{"text": "a", "label": 1' + b"0" * 400 + b"}"
    said = refusal(lambda: load("mine", lay(tmp_path, train=real, validation=real, test=wrong)))
    assert "label must be a number (train has floating-point labels), but is '1'" in said[0]
    assert all("label must be a finite number" in s for s in said[1:])
    assert [s.split(":")[1] for s in said] == ["1", "2", "3"]


def test_a_label_that_train_lacks(tmp_path: Path) -> None:
    (said,) = refusal(lambda: load("mine", lay(tmp_path, test=[*GOOD, {"text": "x", "label": "poss"}])))
    assert said == (
        f"{tmp_path / 'mine' / 'test.jsonl'}:3: label must occur in train ('neg', 'pos'), but is 'poss'"
        " — did you mean 'pos'?"
    )


def test_declared_labels_hold_for_train_too(tmp_path: Path) -> None:
    card = Card(form="single", labels=("pos", "neg"))
    assert load("mine", lay(tmp_path), card=card).labels == ("pos", "neg")
    said = refusal(lambda: load("mine", tmp_path, card=Card(form="single", labels=("pos", "other"))))
    assert len(said) == 3
    assert "label must be one of the declared labels ('pos', 'other'), but is 'neg'" in said[0]


def test_all_problems_of_all_files_at_once_and_twenty_per_file(tmp_path: Path) -> None:
    bad: Rows = [{"text": "", "label": "pos"}] * (LISTED + 5)
    said = refusal(lambda: load("mine", lay(tmp_path, train=[*GOOD, *bad], test=[{"label": "pos"}])))
    assert len(said) == LISTED + 2
    assert said[LISTED].endswith("train.jsonl: and 5 more")
    assert "test.jsonl:1: must have the key text" in said[-1]


def test_files_must_be_there_once(tmp_path: Path) -> None:
    lay(tmp_path)
    folder = tmp_path / "mine"
    (folder / "test.jsonl").unlink()
    (folder / "dev.jsonl.gz").write_bytes(b"")
    said = refusal(lambda: load("mine", tmp_path))
    want, holds = "test.jsonl or test.jsonl.gz", "dev.jsonl.gz, train.jsonl, validation.jsonl"
    assert said == [
        f"{folder}: must hold one file for the split dev, but has dev.jsonl.gz, validation.jsonl",
        f"{folder}: must hold a file {want} for the split test; it holds {holds}",
    ]


@pytest.mark.parametrize(
    ("data", "message"), [(b"", "must hold at least one row, but is empty"), (b"\n \n", "but is empty")]
)
def test_empty_files(tmp_path: Path, data: bytes, message: str) -> None:
    (said,) = refusal(lambda: load("mine", lay(tmp_path, validation=data)))
    assert message in said


@pytest.mark.parametrize("data", [b"no gzip", gzip.compress(b"abc" * 99)[:-9], b"\x1f\x8b"])
def test_broken_gzip(tmp_path: Path, data: bytes) -> None:
    lay(tmp_path, suffix=".jsonl.gz")
    (tmp_path / "mine" / "test.jsonl.gz").write_bytes(data)
    (said,) = refusal(lambda: load("mine", tmp_path))
    assert "test.jsonl.gz: is not a whole gzip file" in said


def test_one_class_is_no_task(tmp_path: Path) -> None:
    (said,) = refusal(lambda: load("mine", lay(tmp_path, train=GOOD[:1], validation=GOOD[:1], test=GOOD[:1])))
    assert "at least two classes" in said


def test_options_win_and_are_checked(tmp_path: Path) -> None:
    lay(tmp_path)
    task = load(
        "mine", tmp_path, labels=["pos", "neg"], label_text={"pos": "positive"}, metric="mcc", metrics=["f1"], length=32
    )
    assert (task.labels, task.text_of("pos"), task.all_metrics, task.length) == (
        ("pos", "neg"),
        "positive",
        ("mcc", "f1"),
        32,
    )
    said = refusal(lambda: load("mine", tmp_path, labels=["pos"], label_text=3, metric=1, length=2), ConfigError)
    assert [s.split(" but")[0].removeprefix("task_options.mine: ") for s in said] == [
        "labels must be a list of at least two different strings,",
        "label_text must be a mapping from labels to words,",
        "metric must be the name of a metric,",
        "length must be a whole number from 4 to 512,",
    ]
    assert "did you mean 'length'" in refusal(lambda: load("mine", tmp_path, lenght=32), ConfigError)[0]
    assert "did you mean 'accuracy'" in refusal(lambda: load("mine", tmp_path, metric="acuracy"), ConfigError)[0]
    assert "must suit a classification" in refusal(lambda: load("mine", tmp_path, metrics=["pearson"]), ConfigError)[0]
    said = refusal(lambda: load("mine", tmp_path, label_text={"poss": "x"}), ConfigError)
    assert "unknown label 'poss' — did you mean 'pos'" in said[0]


def test_a_missing_folder_says_how_to_lay_it(tmp_path: Path) -> None:
    for root in (tmp_path, None):
        (said,) = refusal(lambda root=root: load("mine", root), PreflightError)  # type: ignore[misc]
        assert "mine" in said
        assert "train.jsonl, validation.jsonl and test.jsonl" in said
        assert "--data-root DIR" in said


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(["a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
some_text = st.sampled_from(["a", "b", "a b", "\ud800", "", " "])
some_tags = st.lists(st.sampled_from(["O", "B-x", ""]), max_size=3)
keys = st.sampled_from(["text", "sentence1", "text_pair", "label", "domain", "tokens", "tags", "other"])
lines = st.one_of(
    st.fixed_dictionaries({"text": some_text, "label": st.sampled_from(["x", "y", 1, 0.5])}),
    st.fixed_dictionaries({"tokens": some_tags, "tags": some_tags}),
    st.dictionaries(keys, json_values, max_size=4),
    json_values,
).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=12)
files = st.lists(lines, max_size=4).map(b"\n".join)


@settings(max_examples=150, deadline=None)
@given(train=files, dev=files, test=files, zipped=st.booleans())
def test_whatever_the_files_hold_it_is_a_task_or_a_data_error(
    train: bytes, dev: bytes, test: bytes, zipped: bool
) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "mine"
        folder.mkdir()
        for name, data in (("train", train), ("dev", dev), ("test", test)):
            if zipped:  # the bytes as they are, too: most are no gzip file
                (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(data) if name != "test" else data)
            else:
                (folder / f"{name}.jsonl").write_bytes(data)
        try:
            task = load("mine", root)
        except DataError as e:  # either outcome is right: a task, or listed problems
            assert e.problems  # noqa: PT017
            assert all("\n" not in str(p) for p in e.problems)  # noqa: PT017
        else:
            assert isinstance(task, Task)
            assert task.digest


def test_readers_are_found_by_suffix() -> None:
    assert set(READERS) == {".jsonl", ".jsonl.gz"}
