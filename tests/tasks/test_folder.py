"""Folders of a user's own data: which files are read, and once; what stands for several tasks; what is refused."""

from __future__ import annotations

import gzip
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tables import WRITERS, lay, refusal, separated

from raystudy.errors import ConfigError, DataError, PreflightError, UserError
from raystudy.tasks import Task, domains, expand, folder, load
from raystudy.tasks._build import LISTED

GOOD = [{"text": "good film", "label": "pos"}, {"text": "bad film", "label": "neg"}]
TAGGED = [{"tokens": ["John", "lives"], "tags": ["B-per", "O"]}]
OF_ALL = {"train": GOOD, "dev": GOOD, "test": GOOD}


def good(root: Path, name: str = "mine", suffix: str = ".jsonl", **splits: Any) -> Path:
    return lay(root, name, suffix, **{**OF_ALL, **splits})


def refused(root: Path, name: str = "mine", **options: Any) -> list[str]:
    return refusal(lambda: load(name, root=root, options=options), DataError)


def test_single_text(tmp_path: Path) -> None:
    task = load("mine", root=good(tmp_path))
    assert (task.kind, task.form, task.labels) == ("classification", "single", ("neg", "pos"))
    assert [e.text for e in task.splits["train"]] == ["good film", "bad film"]
    assert task.all_metrics == ("accuracy", "macro_f1")


def test_splits_may_have_formats_of_their_own(tmp_path: Path) -> None:
    good(tmp_path / "a")
    lay(tmp_path / "b", suffix=".csv", train=GOOD)
    lay(tmp_path / "b", suffix=".tsv.gz", dev=GOOD)
    lay(tmp_path / "b", suffix=".parquet", test=GOOD)
    assert load("mine", root=tmp_path / "a").digest == load("mine", root=tmp_path / "b").digest


@pytest.mark.parametrize("stem", ["dev", "valid", "val"])
def test_other_names_of_validation(tmp_path: Path, stem: str) -> None:
    good(tmp_path)
    (tmp_path / "mine" / "validation.jsonl").rename(tmp_path / "mine" / f"{stem}.jsonl")
    assert len(load("mine", root=tmp_path).splits["dev"]) == 2


def test_files_of_other_names(tmp_path: Path) -> None:
    """A file that the user gives to one split is no other split's; a name is taken with its ending or without."""
    good(tmp_path)
    more = [*GOOD, {"text": "so so", "label": "pos"}]
    lay(tmp_path, suffix=".csv", test=more)
    (tmp_path / "mine" / "test.csv").rename(tmp_path / "mine" / "test_matched.csv")
    for name in ("test_matched", "test_matched.csv"):
        assert len(load("mine", root=tmp_path, options={"splits": {"test": name}}).splits["test"]) == 3
    messages, _ = refused(tmp_path, splits={"test": "validation"})
    assert (
        "must hold a file validation.* or dev.* or valid.* or val.* for the split dev (or carve it from train"
        in messages
    )
    task = load("mine", root=tmp_path, options={"splits": {"test": "validation", "dev": "test"}})
    assert len(task.splits["dev"]) == 2


def test_every_split_has_one_file(tmp_path: Path) -> None:
    good(tmp_path)
    here = tmp_path / "mine"
    (here / "test.jsonl").unlink()
    (here / "test.json").write_text("{}")
    (here / "dev.csv").write_bytes(b"")
    messages = refused(tmp_path)
    endings = ".jsonl, .csv, .tsv, .conll, .bio, .iob, .txt, .conllu, .parquet, all but Parquet with .gz too"
    assert messages == [
        f"{here}: must hold one file for the split dev, but has dev.csv, validation.jsonl",
        f"{here}: must hold a file test.* for the split test",
        f"{here}: it holds dev.csv, test.json, train.jsonl, validation.jsonl; the endings that are read are {endings}",
    ]


def test_a_folder_or_a_dead_link_is_no_file(tmp_path: Path) -> None:
    good(tmp_path)
    here = tmp_path / "mine"
    (here / "train.jsonl").unlink()
    (here / "train.csv").mkdir()
    (here / "test.jsonl").unlink()
    (here / "test.jsonl").symlink_to(here / "nowhere")
    assert refused(tmp_path) == [
        f"{here / 'train.csv'}: must be a file, but is a folder",
        f"{here / 'test.jsonl'}: must be a file, but is a broken link",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(tmp_path: Path) -> None:
    good(tmp_path)
    (tmp_path / "mine" / "train.jsonl").chmod(0)
    assert refused(tmp_path) == [f"{tmp_path / 'mine' / 'train.jsonl'}: cannot be read: Permission denied"]
    (tmp_path / "mine").chmod(0)
    try:
        assert refused(tmp_path) == [f"{tmp_path / 'mine'}: cannot be read: Permission denied"]
    finally:
        (tmp_path / "mine").chmod(0o700)


def test_what_the_system_refuses_is_a_problem_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good(tmp_path)
    read = Path.read_bytes

    def denied(path: Path) -> bytes:
        if path.stem == "train":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert refused(tmp_path) == [f"{tmp_path / 'mine' / 'train.jsonl'}: cannot be read: Permission denied"]


BAD_LINES = [
    (b"{", "must be one JSON object a line, but Expecting property name enclosed in double quotes at character 2: '{'"),
    (b'["a"]', "must be a JSON object with named keys, but is a list of 1"),
    (b"3", "must be a JSON object with named keys, but is 3"),
    (b'{"text": "a"}', "must have the key label; its keys are 'text'"),
    (b"{}", "must have the keys text, label; its keys are none"),
    (b'{"text": "a", "text_pair": "b", "label": "pos"}', "must hold a single text like the first row of train"),
    (b'{"text": 5, "label": "pos"}', "text must be a string, but is 5"),
    (b'{"text": null, "label": "pos"}', "text must be a string, but is null"),
    (b'{"text": " \\n", "label": "pos"}', "text must not be empty, but is ' \\n'"),
    (b'{"text": "\\ud800", "label": "pos"}', "text must be Unicode text, but holds half a character: '\\ud800'"),
    (b'{"text": "caf\xe9", "label": "pos"}', "must be UTF-8 text, but byte 14 of the line is 0xe9 ('\xe9' in Latin-1"),
    (b'{"text": "a", "label": " "}', "label must not be empty, but is ' '"),
    (b'{"text": "a", "label": true}', "label must be a string or a whole number (a class)"),
    (b'{"text": "a", "label": null}', "but is null"),
    (b'{"text": "a", "label": ["pos"]}', "but is a list of 1"),
    (b'{"text": "a", "label": NaN}', "NaN is not JSON; a number must be finite"),
    (b"[" * 100_000, "must be one JSON object a line, but"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
def test_every_bad_line_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    rows = WRITERS[".jsonl"](GOOD)
    (text_of_error,) = refused(good(tmp_path, train=rows + b"\n" + line + b"\n" + rows))
    assert text_of_error.startswith(f"{tmp_path / 'mine' / 'train.jsonl'}:4: ")
    assert message in text_of_error


def test_all_problems_of_all_files_at_once_and_twenty_per_file(tmp_path: Path) -> None:
    """Mistakes of every kind, in three formats, each with its place; a row of Parquet is called a row."""
    bad = [{"text": "", "label": "pos"}] * (LISTED + 5)
    lay(tmp_path, suffix=".csv", train=separated([*GOOD, *bad], ","))
    lay(tmp_path, suffix=".jsonl", dev=WRITERS[".jsonl"](GOOD) + b'{"text": "a", "label": "poss"}\n\xff\n')
    lay(tmp_path, suffix=".parquet", test=[*GOOD, {"text": None, "label": "pos"}, {"text": "b", "label": None}])
    here = tmp_path / "mine"
    messages = refused(tmp_path)
    assert messages[0] == f"{here / 'train.csv'}:4: text must not be empty, but is ''"
    assert messages[LISTED] == f"{here / 'train.csv'}: and 5 more"
    assert messages[LISTED + 1].startswith(f"{here / 'validation.jsonl'}:4: must be UTF-8 text")
    assert messages[LISTED + 2] == f"{here / 'test.parquet'}: row 3: text must be a string, but is null"
    assert messages[LISTED + 3].startswith(f"{here / 'test.parquet'}: row 4: label must be a string or a whole number")
    assert len(messages) == LISTED + 4


@pytest.mark.parametrize(
    ("train", "says"),
    [
        (b"", "must hold at least one row, but is empty"),
        (b"text,label\n", "must hold at least one row, but is empty"),
        (b"PK\x03\x04", "a zip or Excel file"),
        ("text,label\nä,b\n".encode("utf-16"), "its first bytes say UTF-16"),
        (
            b"a film,pos\nno film,neg\n",
            "If the first line is data already and names no columns, count them: columns: {text: 1, label: 2}",
        ),
        (b"text;label\nx\n", ":2: must have 2 columns like the first line, but has 1"),
    ],
)
def test_files_that_are_no_table(tmp_path: Path, train: bytes, says: str) -> None:
    good(tmp_path, suffix=".csv", train=train)
    assert says in refused(tmp_path)[0]


def test_a_table_without_names_is_read_by_numbers(tmp_path: Path) -> None:
    data = b"a film,pos\nno film,neg\n"
    good(tmp_path, suffix=".csv", train=data, dev=data, test=data)
    task = load("mine", root=tmp_path, options={"columns": {"text": 1, "label": 2}})
    assert [e.text for e in task.splits["train"]] == ["a film", "no film"]
    conll = b"1 John B-per\n2 lives O\n"
    lay(tmp_path, "tags", ".conll", train=conll, dev=conll, test=conll)
    tagged = load("tags", root=tmp_path, options={"columns": {"tokens": 2, "tags": 3}})
    assert tagged.splits["test"][0].tokens == ("John", "lives")
    messages = refused(tmp_path, "tags", columns={"tags": "ner"})
    assert len(messages) == 3
    assert "columns without names, so `columns` must give their numbers, counted from 1, but gives 'ner'" in messages[0]


def test_quotes_is_for_tables_of_pandas(tmp_path: Path) -> None:
    rows = [{"text": 'say "a\tb"', "label": "x"}, {"text": "multi\nline", "label": "y"}]
    data = separated(rows, "\t")
    good(tmp_path, suffix=".tsv", train=data, dev=data, test=data)
    task = load("mine", root=tmp_path, options={"quotes": True})
    assert [e.text for e in task.splits["train"]] == [r["text"] for r in rows]
    assert refused(tmp_path)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    first = load("mine", root=good(tmp_path))
    assert load("mine", root=tmp_path).splits["train"][0] is first.splits["train"][0]  # read once
    good(tmp_path, train=[*GOOD, {"text": "new", "label": "pos"}])
    assert len(load("mine", root=tmp_path).splits["train"]) == 3
    assert load("mine", root=tmp_path, options={"length": 32}).length == 32


def test_a_missing_folder_says_how_to_lay_it(tmp_path: Path) -> None:
    for root in (tmp_path, None):
        (message,) = refusal(lambda root=root: folder.load("mine", root), PreflightError)  # type: ignore[misc]
        assert "mine" in message
        assert "train.jsonl, validation.jsonl and test.jsonl" in message
        assert "--data-root DIR" in message


@pytest.mark.parametrize("name", ["..", ".hidden", "/etc", "", "a\\b", "a\nb", " "])
def test_names_that_are_no_folder(tmp_path: Path, name: str) -> None:
    good(tmp_path, "x")
    assert "NAME or NAME/PART" in refusal(lambda: load(name, root=tmp_path / "x"), ConfigError)[0]


@pytest.mark.parametrize(
    "options", [{"root": "x"}, {"part": "x"}, {"name": "x"}, {"card": 1}, {"a b": 1}, {"options": 1}]
)
def test_options_that_are_no_options(tmp_path: Path, options: dict[str, Any]) -> None:
    good(tmp_path)
    for name in ("mine", "lexicon/stars", "planted/target"):
        assert "unknown option" in refusal(lambda name=name: load(name, root=tmp_path, options=options), ConfigError)[0]  # type: ignore[misc]


# ---------------------------------------------------------------------------------------------------------------------
# domains


def of_domains(*names: str) -> list[dict[str, str]]:
    return [{"text": f"{d} {x}", "label": x, "domain": d} for d in names for x in ("pos", "neg")]


def reviews(root: Path, *names: str, suffix: str = ".csv") -> Path:
    rows = of_domains(*names)
    return lay(root, "reviews", suffix, train=rows, dev=rows, test=rows)


def test_own_data_stand_for_their_domains(tmp_path: Path) -> None:
    root = good(reviews(tmp_path, "dvd", "books"))
    assert domains("reviews", root=root) == ("books", "dvd")
    both = ("reviews/books", "reviews/dvd")
    asked = ["reviews", "mine", "reviews/*", "reviews/dvd", "lexicon/stars", "nowhere"]
    assert expand(asked, root=root) == {
        "reviews": both,
        "mine": ("mine",),
        "reviews/*": both,
        "reviews/dvd": ("reviews/dvd",),
        "lexicon/stars": ("lexicon/stars",),
        "nowhere": ("nowhere",),  # `load` says that it is not there, beside all else that is wrong
    }
    assert expand(["reviews"], root=root, task_options={"reviews": {"domains": "together"}}) == {
        "reviews": ("reviews",)
    }
    assert [load(t, root=root).splits["test"][0].text for t in both] == ["books pos", "dvd pos"]


def test_built_in_data_stay_whole_unless_asked(tmp_path: Path) -> None:
    rows = [{**r, "label": {"pos": "positive", "neg": "negative"}[r["label"]]} for r in of_domains("dvd", "books")]
    lay(tmp_path, "amazon_mds", train=rows, dev=rows, test=rows)
    assert expand(["amazon_mds", "amazon_mds/*"], root=tmp_path) == {
        "amazon_mds": ("amazon_mds",),
        "amazon_mds/*": ("amazon_mds/books", "amazon_mds/dvd"),
    }
    assert expand(["lexicon/*"]) == {"lexicon/*": ("lexicon/stars", "lexicon/polarity", "lexicon/subjectivity")}


def test_what_cannot_be_expanded(tmp_path: Path) -> None:
    root = good(reviews(tmp_path, *(f"d{i}" for i in range(60))))
    messages = refusal(lambda: expand(["mine/*", "reviews", "reviews/*"], root=root), ConfigError)
    assert messages[0] == "task mine/*: mine/* asks for one task per domain, but mine has no domains"
    assert messages[1].startswith(
        "task reviews: reviews has 60 domains, a task each: list those you want, ask for all with reviews/*"
    )
    assert len(messages) == 2


def test_data_that_cannot_be_read_are_left_to_load(tmp_path: Path) -> None:
    lay(tmp_path, "broken", ".csv", train=b"", dev=b"", test=b"")
    assert expand(["broken", "broken/*", "imdb/*"], root=tmp_path) == {
        n: (n,) for n in ("broken", "broken/*", "imdb/*")
    }
    assert "is empty" in refused(tmp_path, "broken/*")[0]


# ---------------------------------------------------------------------------------------------------------------------
# whatever the bytes


def bytes_of(suffix: str) -> st.SearchStrategy[bytes]:
    rows = TAGGED if suffix in (".conll", ".bio", ".iob", ".txt", ".conllu") else GOOD
    whole = WRITERS[suffix](rows)

    def broken(at: int, cut: int, put: bytes) -> bytes:
        return whole[: at % len(whole)] + put + whole[at % len(whole) + cut :]

    return (
        st.just(whole)
        | st.binary(max_size=20)
        | st.builds(broken, st.integers(0, 999), st.integers(0, 9), st.binary(max_size=5))
    )


@pytest.mark.parametrize("suffix", WRITERS)
def test_whatever_the_files_hold_it_is_a_task_or_listed_problems(suffix: str) -> None:
    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(train=bytes_of(suffix), dev=bytes_of(suffix), test=bytes_of(suffix), zipped=st.booleans())
    def law(train: bytes, dev: bytes, test: bytes, zipped: bool) -> None:
        with tempfile.TemporaryDirectory() as root:
            zipped = zipped and suffix != ".parquet"
            splits = {"train": train, "dev": dev, "test": test}
            lay(
                Path(root),
                suffix=suffix + ".gz" * zipped,
                **{s: gzip.compress(d) if zipped and s != "test" else d for s, d in splits.items()},
            )
            try:
                task = load("mine", root=Path(root))
            except UserError as e:  # either outcome is right: a task, or listed problems
                assert e.problems  # noqa: PT017
                assert all("\n" not in str(p) for p in e.problems)  # noqa: PT017
            else:
                assert isinstance(task, Task)
                assert task.digest

    law()


# ---------------------------------------------------------------------------------------------------------------------
# texts of other tasks


def test_texts_of_other_tasks_are_left_out_of_every_split_and_counted(tmp_path: Path) -> None:
    def rows(*texts: str) -> list[dict[str, Any]]:
        return [{"text": t, "label": "ab"[i % 2]} for i, t in enumerate(texts)]

    lay(tmp_path, "mine", train=rows("one", "two", "three", "Four  five"), dev=rows("six", "one"), test=rows("seven"))
    lay(tmp_path, "other", train=rows("two", "x"), dev=rows("six", "y"), test=rows("four five", "z"))
    task = load("mine", root=tmp_path, options={"without": ["other"]})
    assert [[e.text for e in task.splits[s]] for s in ("train", "dev", "test")] == [
        ["one", "three"],
        ["one"],
        ["seven"],
    ]
    assert "texts that are in other too are left out: 2 of 4 in train, 1 of 2 in dev, 0 of 1 in test" in task.notes
    assert task.digest != load("mine", root=tmp_path).digest
    assert load("mine", root=tmp_path, options={"without": []}).digest == load("mine", root=tmp_path).digest
    # a pair is another text than its first half
    pairs = [{"text": t, "text_pair": "p", "label": "ab"[i]} for i, t in enumerate(("one", "two"))]
    lay(tmp_path, "pairs", train=pairs, dev=pairs, test=pairs)
    assert len(load("mine", root=tmp_path, options={"without": ["pairs"]}).splits["train"]) == 4


def test_what_cannot_be_left_out(tmp_path: Path) -> None:
    rows = [{"text": "one", "label": "a"}, {"text": "two", "label": "b"}]
    lay(tmp_path, "mine", train=rows, dev=rows, test=rows)
    with pytest.raises(ConfigError, match="unknown task 'othr'"):
        load("mine", root=tmp_path, options={"without": ["othr"]})
    for name in ("mine", "planted/target"):
        with pytest.raises(ConfigError, match="without must be a list of names of tasks, but is 3"):
            load(name, root=tmp_path, options={"without": 3})
    with pytest.raises(DataError, match="nothing is left of train, dev, test"):
        load("mine", root=tmp_path, options={"without": ["mine"]})
    assert len(load("planted/target", root=tmp_path, options={"without": ["mine"]}).splits["train"]) == 400
    with pytest.raises(PreflightError, match="the data set imdb is not there"):
        load("mine", root=tmp_path, options={"without": ["imdb"]})
