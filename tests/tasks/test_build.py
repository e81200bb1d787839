"""From rows to a task: the same table is the same task in every format, and what is guessed is told or refused."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import WRITERS, Table, lay, refusal

from raystudy.errors import ConfigError, DataError, UserError
from raystudy.tasks import Task
from raystudy.tasks._build import LISTED, SplitRows, task_of
from raystudy.tasks._card import Card
from raystudy.tasks._columns import PAIRS, PARTNERS, ROLES
from raystudy.tasks.folder import load
from raystudy.yamlfile import parse_yaml, plain

GOOD = [{"text": "good film", "label": "pos"}, {"text": "bad film", "label": "neg"}]


def task(
    train: Table,
    test: Table | None = None,
    dev: Table | None = None,
    *,
    typed: bool = True,
    domain: str = "",
    **options: Any,
) -> Task:
    """A task of rows as they are; splits that are not given are the same as train."""
    rows = {"train": train, "dev": dev, "test": test}
    card = options.pop("card", None)
    sources = {
        split: SplitRows(split, [(i, dict(r)) for i, r in enumerate(train if part is None else part, 1)], typed=typed)
        for split, part in rows.items()
        if part is not None or f"{split}_from_train" not in options
    }
    return task_of("mine", sources, card=card, options=options, domain=domain)


def refused(*args: Any, **options: Any) -> list[str]:
    return refusal(lambda: task(*args, **options), DataError)


def notes_of(t: Task) -> str:
    """The notes, but for texts that occur in several splits."""
    return "; ".join(n for n in t.notes if "also occur" not in n)


# ---------------------------------------------------------------------------------------------------------------------
# one task, whatever the format

CELL = st.text(st.sampled_from("ab \"',;\u2028\u0085éß😀\\#[]-"), min_size=1, max_size=9).filter(lambda s: s.strip())
TOKEN = st.text(st.sampled_from("ab\"',.\u2028é😀-"), min_size=1, max_size=5).filter(lambda s: s.strip())
TABLES = {
    "single": st.fixed_dictionaries({"text": CELL, "label": st.sampled_from(["b", "a c", "é"])}),
    "pair": st.fixed_dictionaries({"text": CELL, "text_pair": CELL, "label": st.sampled_from(["x", "y"])}),
    "regression": st.fixed_dictionaries({"text": CELL, "label": st.integers(-8, 8).map(lambda n: n / 4)}),
    "whole": st.fixed_dictionaries({"text": CELL, "label": st.sampled_from([3, 10, 2])}),
    "domains": st.fixed_dictionaries(
        {"domain": CELL.map(lambda s: "d" + s), "text": CELL, "label": st.sampled_from("xy")}
    ),
    "tagging": st.lists(st.tuples(TOKEN, st.sampled_from(["O", "B-x", "I-x"])), min_size=1, max_size=4).map(
        lambda s: {"tokens": [t for t, _ in s], "tags": [g for _, g in s]}
    ),
}
FORMATS = dict.fromkeys(TABLES, (".jsonl", ".csv", ".tsv", ".parquet")) | {"tagging": tuple(WRITERS)}


def digest(folder: Path, suffix: str, table: Table) -> str:
    """The digest of the task, or of what is wrong with it (two domains alike, one class)."""
    rows = [
        {k: " ".join(v) if isinstance(v, list) and suffix in (".csv", ".tsv") else v for k, v in r.items()}
        for r in table
    ]
    lay(folder, suffix, suffix, train=rows, dev=rows, test=rows)
    try:
        t = load(suffix, folder)
    except DataError as e:
        return " ".join(sorted({p.message for p in e.problems}))
    return replace(t, name="one").digest


@pytest.mark.parametrize("form", TABLES)
def test_the_same_table_is_the_same_task_in_every_format(form: str, tmp_path: Path) -> None:
    @settings(max_examples=25)
    @given(st.lists(TABLES[form], min_size=2, max_size=6))
    def law(table: list[dict[str, Any]]) -> None:
        if form == "regression":
            table = [{**table[0], "label": 0.25}, *table]
        assert len({digest(tmp_path, suffix, table) for suffix in FORMATS[form]}) == 1

    law()


# ---------------------------------------------------------------------------------------------------------------------
# columns


def test_names_of_columns_are_told() -> None:
    t = task([{"Review Body": "good film", "star-rating": "5"}, {"Review Body": "bad", "star-rating": "1"}])
    assert (t.form, t.labels, t.splits["train"][0].text) == ("single", ("1", "5"), "good film")
    assert "columns read: Review Body as text, star-rating as label" in t.notes
    assert "columns" not in notes_of(task(GOOD))


@pytest.mark.parametrize(("first", "second"), [*PAIRS, *PARTNERS])
def test_pairs(first: str, second: str) -> None:
    t = task([{second: "b", "label": n, first: "a"} for n in "xy"])
    assert (t.form, t.splits["test"][0].text, t.splits["test"][0].pair) == ("pair", "a", "b")


def test_no_name_stands_for_two_roles() -> None:
    for role, names in ROLES.items():
        others = {n for r, ns in ROLES.items() if r != role for n in ns}
        assert not others & set(names)
    assert {a for a, _ in PAIRS} | {a for a, _ in PARTNERS} <= {*ROLES["text"]} | {a for a, _ in PAIRS} | {"context"}


def test_of_two_names_the_first_wins_and_is_told() -> None:
    rows = [
        {"text": "a", "gold_label": "1", "label": "x", "title": "t"},
        {"text": "b", "gold_label": "2", "label": "y", "title": "t"},
    ]
    t = task(rows)
    assert t.labels == ("x", "y")
    assert "columns not read, though they could have been: title as text, gold_label as label" in notes_of(t)
    chosen = task(rows, columns={"label": "gold_label", "text": "text"})
    assert chosen.labels == ("1", "2")
    assert "columns not read: label, title" in notes_of(chosen)


def test_the_user_names_columns() -> None:
    rows = [{"de": "gut", "en": "good", "label": "a"}, {"de": "schlecht", "en": "bad", "label": "b"}]
    assert task(rows, columns={"text": "de"}).splits["train"][0].text == "gut"
    pair = task(rows, columns={"text": "de", "text_pair": "en"})
    assert (pair.form, pair.splits["train"][0].pair) == ("pair", "good")
    messages = refused(rows, columns={"text": "dee"})
    assert len(messages) == 1  # train speaks for all
    assert messages[0].startswith(
        "train: has no column 'dee' — did you mean 'de'; its columns are 'de', 'en', 'label'."
    )


def test_the_lines_to_add_are_yaml_that_names_every_role() -> None:
    (message,) = refused([{"a b": "x", "label": "1"}], [{"a b": "x", "label": "1"}])
    assert "has no column that is known as the text; its columns are 'a b', 'label'" in message
    line = re.search(r"task_options: .*\}\}\}", message)
    assert line
    assert plain(parse_yaml(line[0], "x")) == {
        "task_options": {"mine": {"columns": {"text": "TEXT_COLUMN", "label": "label"}}}
    }


SENTENCES = [
    "a film of great charm",
    "what a waste of time",
    "not bad at all really",
    "one of the worst ever",
    "I liked it a lot",
    "no plot and no wit",
]


def test_the_only_plausible_reading_is_taken_and_told() -> None:
    rows = [{"id": str(i), "utt": s, "verdict": "yn"[i % 2]} for i, s in enumerate(SENTENCES)]
    t = task(rows, typed=False)
    assert t.labels == ("n", "y")
    assert "GUESSED, because no name says it: text is the column 'utt', label is the column 'verdict'" in notes_of(t)
    two = [{**r, "lang": ["de", "en"][i % 2]} for i, r in enumerate(rows)]  # another one could be the label
    assert "has no column that is known as the text or the label" in refused(two, typed=False)[0]
    headless = [{"fine": s, "y": "yn"[i % 2]} for i, s in enumerate(SENTENCES)]  # a value as the name of its column
    assert "known as the text" in refused([{"a": s, "n": "yn"[i % 2]} for i, s in enumerate(SENTENCES)], typed=False)[0]
    assert task(headless, typed=False).labels == ("n", "y")


def test_all_rows_have_the_form_of_the_first() -> None:
    pair = {"text": "a", "text_pair": "b", "label": "pos"}
    assert (
        "must hold a single text like the first row of train, but has 'text_pair' as well" in refused([*GOOD, pair])[0]
    )
    assert refused(GOOD, [*GOOD, {"text": "x"}]) == ["test:3: must have the key label; its keys are 'text'"]
    tagged = [{"tokens": ["a"], "tags": ["O"]}]
    assert all("known as the tokens or the tags" in s for s in refused(tagged, GOOD))
    assert "known as the text or the label" in refused(GOOD, tagged)[0]


# ---------------------------------------------------------------------------------------------------------------------
# labels


def texts(labels: list[Any]) -> Table:
    return [{"text": f"text {i}", "label": label} for i, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("labels", "typed", "kind", "found"),
    [
        ([1, 10, 2], True, None, ("1", "10", "2")),
        ([1, 2.5], True, None, "regression"),
        ([1.0, 2.0], True, None, ("1", "2")),  # what a data frame leaves of 1 and 2 beside a lost value
        ([1.0, 2.0], True, "classification", ("1", "2")),
        ([1, 2], True, "regression", "regression"),
        ([True, False], True, None, ("false", "true")),
        (["1.5", "2.5"], True, None, "regression"),
        (["1.5", "2"], False, None, "regression"),
        (["-1e-3", ".5"], False, None, "regression"),
        (["1", "2"], False, None, ("1", "2")),
        (["1.0", "2"], False, None, ("1", "2")),
        (["1.0", "2"], False, "regression", "regression"),
        (["1.5", "2"], False, "classification", ("1.5", "2")),
        (["1.5", "x"], False, None, ("1.5", "x")),
        (["nan", "a"], False, None, ("a", "nan")),
        (["nan", "1"], False, "classification", ("1", "nan")),
        (["007", "7"], False, None, ("007", "7")),
        (["007", "1,5"], False, "classification", ("007", "1,5")),
        (["3,5", "2"], False, "regression", "regression"),
        (["True", "false"], False, None, ("false", "true")),
        (["1e3", "2"], False, None, ("1000", "2")),
        (["1_000", "2_000"], False, "classification", ("1_000", "2_000")),
        ([1, "a", "1"], True, None, ("1", "a")),
    ],
)
def test_kinds_of_labels(labels: list[Any], typed: bool, kind: str | None, found: tuple[str, ...] | str) -> None:
    t = task(texts(labels), typed=typed, **({"kind": kind} if kind else {}))
    assert (t.labels or t.kind) == found


def test_what_was_inferred_of_labels_is_told() -> None:
    assert "labels are numbers, not all of them whole: regression" in notes_of(task(texts(["1.5", "2"]), typed=False))
    assert "whole numbers and were read as 2 classes (`kind: regression`" in notes_of(
        task(texts(["1", "2"]), typed=False)
    )
    assert "labels that differ only in case: 'Pos', 'pos'" in notes_of(task(texts(["Pos", "pos", "neg"])))
    for options in ({"kind": "classification"}, {"labels": ["1", "2"]}, {"label_text": {"1": "bad"}}):
        assert not notes_of(task(texts(["1", "2"]), typed=False, **options))


def test_numbers_are_finite_in_every_split() -> None:
    wrong = texts(["1", 1e999, 10**400, True, None])
    messages = refused(texts([0.5, 1.5]), wrong)
    assert [s.split(":")[1] for s in messages] == ["1", "2", "3", "4", "5"]
    assert "label must be a number (as those of train are), but is '1'" in messages[0]
    assert all("label must be a finite number" in s for s in messages[1:3])
    assert "but is null" in messages[4]
    spelt = refused(texts(["0.5", "1"]), texts(["x", "1e999", ""]), typed=False)
    assert len(spelt) == 3
    assert (
        "must be a number (kind: regression), but is 'x'" in refused(texts([1, 2]), texts(["x"]), kind="regression")[0]
    )


def test_labels_may_be_numbers_in_yaml() -> None:
    options = plain(parse_yaml("{labels: [0, 1], label_text: {0: negative, 1: positive}}", "x"))
    t = task(texts([0, 1, 1]), **options)
    assert (t.labels, [t.text_of(label) for label in t.labels]) == (("0", "1"), ["negative", "positive"])
    assert task(texts([0.0, 1.0]), label_text={0: "negative", 1: "positive"}).labels == ("0", "1")  # with a lost value


def test_a_label_that_train_lacks() -> None:
    messages = refused(GOOD, [*GOOD, {"text": "x", "label": "poss"}])
    assert messages == ["test:3: label must occur in train ('neg', 'pos'), but is 'poss' — did you mean 'pos'?"]
    messages = refused(texts([1, 2]), texts([3]))
    assert messages[0].endswith("if the labels are numbers and no classes, say `kind: regression`")


def test_declared_labels_hold_for_train_too() -> None:
    assert task(GOOD, card=Card(form="single", labels=("pos", "neg"))).labels == ("pos", "neg")
    messages = refused(GOOD, card=Card(form="single", labels=("pos", "other")))
    assert len(messages) == 3
    assert "label must be one of the declared labels ('pos', 'other'), but is 'neg'" in messages[0]
    assert "train holds no example of the class 'mid'" in notes_of(task(GOOD, labels=["neg", "mid", "pos"]))


def test_nothing_to_tell_apart() -> None:
    assert refused(GOOD[:1]) == ["train: a classification task needs at least two classes, but every label is 'pos'"]
    assert "at least two classes" in refused(GOOD[:1], labels=["pos", "neg"])[0]
    assert "two different numbers as labels, but every label is 1.5" in refused(texts([1.5, 1.5]))[0]
    assert "every label of test is 'pos': a metric on it says little" in task(GOOD, GOOD[:1]).notes
    assert refused([]) == [f"{split}: must hold at least one row, but is empty" for split in ("train", "dev", "test")]


# ---------------------------------------------------------------------------------------------------------------------
# tagging


BAD_TAGGING = [
    ({"tokens": ["a"]}, "must have the key tags"),
    ({"tokens": "a", "tags": ["O"]}, "tokens must be a list of strings, but is 'a'"),
    ({"tokens": [], "tags": []}, "tokens must not be empty, but is []"),
    ({"tokens": ["a", ""], "tags": ["O", "O"]}, "tokens must be non-empty strings, but item 2 is ''"),
    ({"tokens": ["a"], "tags": [1]}, "tags must be non-empty strings, but item 1 is 1"),
    ({"tokens": ["a", "b"], "tags": ["O"]}, "must have one tag per token, but has 2 tokens and 1 tags"),
]


@pytest.mark.parametrize(("row", "message"), BAD_TAGGING)
def test_every_bad_tagging_row_is_named(row: dict[str, Any], message: str) -> None:
    good = [{"tokens": ["a", "b"], "tags": ["O", "B-x"]}]
    (text_of_error,) = refused([*good, row], good, good)
    assert text_of_error.startswith(f"train:2: {message}")


def test_tags_that_train_lacks_are_counted() -> None:
    t = task([{"tokens": ["a", "b"], "tags": ["O", "B-x"]}], [{"tokens": ["c", "d"], "tags": ["B-y", "B-y"]}])
    assert (t.kind, t.labels, t.metric) == ("tagging", ("B-x", "O"), "span_f1")
    assert "test holds 2 tags outside the label set: B-y 2" in t.notes
    assert task([{"words": ["a"], "pos_tags": ["DET"]}, {"words": ["a"], "pos_tags": ["X"]}]).metric == "token_accuracy"
    messages = refusal(lambda: task([{"tokens": ["a"], "tags": ["O"]}], kind="regression"), ConfigError)
    assert "kind must be left out: the rows hold one tag per token" in messages[0]


def test_spans_that_no_b_begins_are_counted() -> None:
    def rows(*tags: str) -> Table:
        return [{"tokens": list("abcdef")[: len(t.split())], "tags": t.split()} for t in tags]

    # opening: the first word, a word behind O, a word of another type; not the one behind an I or a B of its type
    t = task(rows("B-x I-x O", "I-x I-x B-y", "B-y I-x I-x", "O I-y O"), rows("B-x I-x"), rows("O I-x"))
    message = "I tags that continue no span: 3 in train, 1 in dev; each begins one, as conlleval reads them"
    assert message in t.notes
    assert "continue no span" not in notes_of(task(rows("B-x I-x B-x", "O B-y I-y")))
    plain = task(rows("B I O I", "O O B"))
    assert plain.metric == "span_f1" and any("1 in train, 1 in dev, 1 in test" in n for n in plain.notes)
    assert "continue no span" not in notes_of(task(rows("X I O", "O O I")))  # words, not spans


def test_merged_labels_are_counted_and_the_option_decides() -> None:
    rows = [{"tokens": ["a", "b", "c"], "tags": ["B", "o", "I"]}, {"tokens": ["d"], "tags": ["O"]}]
    card = Card(form="tagging", labels=("B", "I", "O", "i", "o"), merge={"i": "I", "o": "O"})
    t = task(rows, card=card)
    assert t.labels == ("B", "I", "O") and t.splits["train"][0].label == ("B", "O", "I")
    assert t.metric == "span_f1" and t.metrics == ("token_accuracy",)
    message = "labels read as coarser ones, in all splits: 'i' as 'I' (0), 'o' as 'O' (3) (`merge: {}` keeps them)"
    assert message in t.notes
    whole = task(rows, card=card, merge={})
    assert whole.labels == card.labels and whole.splits["train"][0].label == ("B", "o", "I")
    assert whole.metric == "token_accuracy" and "coarser" not in notes_of(whole)


def test_classes_merge_too_and_only_those_that_there_are() -> None:
    rows = texts(["1", "2", "4", "5"])
    t = task(rows, merge={"1": "bad", "2": "bad"}, label_text={"bad": "not good"})
    assert (t.labels, [e.label for e in t.splits["test"]]) == (("bad", "4", "5"), ["bad", "bad", "4", "5"])
    assert t.text_of("bad") == "not good"
    messages = refusal(lambda: task(rows, merge={"11": "bad", "x": "y"}), ConfigError)
    assert len(messages) == 2 and "task_options.mine.merge" in messages[0] and "11" in messages[0]
    messages = refusal(lambda: task(texts([1.5, 2.5]), merge={"1.5": "2"}), ConfigError)
    assert "the labels are numbers, not classes" in messages[0]
    with pytest.raises(DataError, match="at least two classes"):
        task(texts(["a", "b"]), merge={"a": "b"})


def test_tokens_in_a_cell() -> None:
    rows = [{"tokens": "John lives", "tags": '["B-x", "O"]'}]
    (e,) = task(rows, typed=False).splits["train"]
    assert (e.tokens, e.label) == (("John", "lives"), ("B-x", "O"))
    (message, *_) = refused([{"tokens": "['John', 'lives']", "tags": "['B-x', 'O']"}], typed=False)
    assert "must be strings between blanks, or a JSON list of strings in double quotation marks" in message


# ---------------------------------------------------------------------------------------------------------------------
# options


def test_options_win_and_are_checked_at_once() -> None:
    t = task(GOOD, labels=["pos", "neg"], label_text={"pos": "positive"}, metric="mcc", metrics=["f1"], length=32)
    assert (t.labels, t.text_of("pos"), t.all_metrics, t.length) == (("pos", "neg"), "positive", ("mcc", "f1"), 32)
    wrong: dict[str, Any] = {
        "labels": ["pos"],
        "label_text": 3,
        "metric": 1,
        "length": 2,
        "columns": {"text": 1, "label": "x"},
        "splits": {"train": "a/b"},
        "dev_from_train": 1.5,
        "kind": "clasification",
        "quotes": "yes",
        "domains": "apart",
        "lenght": 3,
    }
    messages = refusal(lambda: task(GOOD, **wrong), ConfigError)
    assert [s.split(" must be ")[0].split(": ")[1] for s in messages[:-1]] == list(wrong)[:-1]
    assert "unknown option 'lenght' — did you mean 'length'" in messages[-1]


def test_f1_names_its_positive_class() -> None:
    last = task(GOOD, metric="f1")
    assert (last.positive_class, "f1 is that of the class 'pos', the last of the label set" in notes_of(last)) == (
        "pos",
        True,
    )
    turned = task(GOOD, metric="f1", labels=["pos", "neg"])
    assert (turned.positive_class, "class 'neg', the last" in notes_of(turned)) == ("neg", True)
    for options in ({"metric": "f1", "positive": "neg"}, {"metrics": ["f1"], "positive": " neg "}):
        declared = task(GOOD, **options)
        assert (declared.positive_class, notes_of(declared).endswith("f1 is that of the class 'neg'")) == ("neg", True)
    numbers = task([{"text": "a", "label": 0}, {"text": "b", "label": 1}], metric="f1", positive=0)
    assert numbers.positive_class == "0"
    # another positive class is another question, and no question where no metric reads it
    assert len({last.digest, declared.digest, task(GOOD, metric="f1", positive="neg").digest}) == 3
    assert task(GOOD).digest == task(GOOD, card=Card(form="single", positive="neg")).digest
    three = [*GOOD, {"text": "film", "label": "so-so"}]
    assert task(three, metric="f1", positive="pos").positive_class == "pos"
    with pytest.raises(DataError, match="positive class must be one of"):
        replace(last, positive="positive")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"metric": "f1", "positive": "poss"}, "unknown positive class 'poss' — did you mean 'pos'"),
        ({"metric": "f1", "positive": ["pos"]}, "positive must be a label, but is a list of 1"),
        ({"positive": "pos"}, "positive is read by the metric f1, but the metrics are accuracy, macro_f1: add"),
        ({"metric": "acuracy"}, "did you mean 'accuracy'"),
        ({"metrics": ["pearson"]}, "must suit a classification task"),
        ({"label_text": {"poss": "x"}}, "label_text.poss: unknown label 'poss' — did you mean 'pos'"),
        ({"columns": {"txt": "text"}}, "columns.txt: unknown role of a column 'txt' — did you mean 'text'"),
        ({"splits": {"validation": "dev"}}, "splits.validation: unknown split 'validation'. Known: dev, test, train"),
        ({"kind": "regression", "labels": ["a", "b"]}, "labels must be left out where kind is regression"),
        ({"columns": {}}, "columns must be a mapping"),
        ({"dev_from_train": True}, "dev_from_train must be a fraction between 0 and 1, or a whole number"),
        ({"labels": [1, "1"]}, "labels must be a list of at least two different strings"),
    ],
)
def test_options_that_do_not_suit(options: dict[str, Any], says: str) -> None:
    (message,) = refusal(lambda: task(GOOD, GOOD, GOOD, **options), ConfigError)
    assert says in message


def test_f1_of_many_classes_must_say_of_which() -> None:
    (message,) = refusal(lambda: task([*GOOD, {"text": "film", "label": "so-so"}], metric="f1"), ConfigError)
    assert "with 3 classes none is positive by itself: name it (`positive: CLASS`), or take macro_f1" in message


# ---------------------------------------------------------------------------------------------------------------------
# domains


def domains(values: list[str], n: int = 3) -> Table:
    return [
        {"text": f"{d} {label} {i}", "label": label, "domain": d}
        for d in values
        for label in ("neg", "pos")
        for i in range(n)
    ]


def test_each_domain_is_a_task_with_the_classes_of_all() -> None:
    rows = [*domains(["books", "dvd"]), {"text": "so so", "label": "mid", "domain": "dvd"}]
    whole, books = task(rows), task(rows, domain="books")
    assert (whole.domains, whole.name, len(whole.splits["train"])) == (("books", "dvd"), "mine", 13)
    assert (books.domains, books.name, books.labels, len(books.splits["train"])) == ((), "mine/books", whole.labels, 6)
    assert all(e.text.startswith("books") for e in books.splits["train"])
    (message,) = refusal(lambda: task(rows, domain="bocks"), ConfigError)
    assert "unknown domain of mine 'bocks' — did you mean 'books'? Known: books, dvd" in message
    assert task(rows, domains="together").domains == ()


def test_names_of_domains_can_name_files() -> None:
    t = task(domains(["home & kitchen", "C++/Qt", "books"]))
    assert t.domains == ("C++_Qt", "books", "home_kitchen")
    assert "the domain 'home & kitchen' is called home_kitchen in the names of tasks" in t.notes
    messages = refused(domains(["a b", "a/b", "..", "*", "x" * 200]))
    assert any("domains must differ in letters or digits, but 'a b' and 'a/b' are both a_b" in s for s in messages)
    assert sum("domain must hold a letter or a digit and be short" in s for s in messages) >= LISTED - 2


def test_a_domain_that_is_no_task_is_named_with_its_split() -> None:
    rows = domains(["books", "dvd"])
    only = [r for r in rows if r["domain"] == "books" or r["label"] == "pos"]
    messages = refusal(lambda: task(only, domains(["books"]), rows, domain="dvd"), DataError)
    cure = "list the domains that you want, or keep mine whole with `domains: together`"
    assert messages == [
        f"task mine/dvd: the domain 'dvd' of mine has no rows in test: {cure}",
        f"task mine/dvd: the domain 'dvd' of mine has only the class 'pos' in train: {cure}",
    ]
    assert task(only, domains(["books"]), rows, domain="books").name == "mine/books"


def test_rows_without_a_domain_are_named() -> None:
    rows = [*domains(["a", "b"]), {"text": "x", "label": "pos"}]
    assert (
        refused(rows, GOOD, GOOD)[0]
        == "train:13: must have the key domain as other rows do (`domains: together` does without)"
    )
    assert len(task(rows, domains="together").splits["train"]) == 13
    card = Card(form="single", domains=("a", "b"))
    assert len(task(rows, card=card).splits["train"]) == 13  # a published data set is as it is


# ---------------------------------------------------------------------------------------------------------------------
# a dev split from train


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["x", "y", "z"])), min_size=20, max_size=80),
    st.integers(1, 10) | st.floats(0.05, 0.4),
    st.randoms(),
)
def test_dev_from_train(kinds: list[tuple[str, str]], amount: float | int, shuffled: Any) -> None:
    """Disjoint, of the asked size, in proportion, no class lost, and whatever the order of the rows the same ones."""
    rows = [{"text": f"{i}", "domain": d, "label": c} for i, (d, c) in enumerate(kinds)]
    rows += [{"text": f"{i} {d}", "domain": d, "label": c} for i in (0, 1) for d in "ab" for c in "xyz"]
    t = task(rows, rows, dev_from_train=amount)
    n = amount if isinstance(amount, int) else max(1, round(amount * len(rows)))
    dev, train = t.splits["dev"], t.splits["train"]
    assert len(dev) == n
    assert Counter((*dev, *train)) == Counter(task(rows, rows, rows).splits["train"])
    whole, part = (Counter(e.label for e in s) for s in ((*dev, *train), dev))
    assert all(abs(part[c] - n * whole[c] / len(rows)) <= 2 for c in whole)  # up to one for each domain
    assert set(t.labels) == {"x", "y", "z"}
    other = [*rows]
    shuffled.shuffle(other)
    assert Counter(task(other, rows, dev_from_train=amount).splits["dev"]) == Counter(dev)
    assert f"dev is {n} of {len(rows)} training examples" in notes_of(t)


def test_a_dev_split_is_carved_once_for_all_domains() -> None:
    rows = domains(["a", "b"], n=20)
    whole = task(rows, rows, dev_from_train=0.1).splits["dev"]
    parts = [e for d in "ab" for e in task(rows, rows, dev_from_train=0.1, domain=d).splits["dev"]]
    assert Counter(parts) == Counter(whole)
    assert Counter((e.text[0], e.label) for e in whole) == dict.fromkeys(
        [(d, c) for d in "ab" for c in ("neg", "pos")], 2
    )


def test_a_test_split_is_carved_before_dev_which_does_not_move_it() -> None:
    rows = [{"text": f"{i}", "label": "ab"[i % 2]} for i in range(50)]
    both = task(rows, test_from_train=0.2, dev_from_train=0.25)
    assert {s: len(part) for s, part in both.splits.items()} == {"train": 30, "dev": 10, "test": 10}
    assert Counter(e for part in both.splits.values() for e in part) == Counter(task(rows).splits["train"])
    assert Counter(e.label for e in both.splits["test"]) == {"a": 5, "b": 5}
    alone = task(rows, dev=rows, test_from_train=0.2)
    assert alone.splits["test"] == both.splits["test"]
    assert task(rows[::-1], test_from_train=0.2, dev_from_train=0.25).splits["test"] == both.splits["test"][::-1]
    assert "test is 10 of 50 training examples (test_from_train: 0.2)" in notes_of(both)
    assert "dev is 10 of 40 training examples (dev_from_train: 0.25)" in notes_of(both)
    (message,) = refusal(lambda: task(GOOD, GOOD, GOOD, test_from_train=0.5), DataError)
    assert "has a test split (test), so test_from_train must be left out" in message


def test_what_cannot_be_carved() -> None:
    assert "must leave train an example of every class, but asks for 2 of 2" in refused(GOOD, GOOD, dev_from_train=2)[0]
    (message,) = refusal(lambda: task(GOOD, GOOD, GOOD, dev_from_train=0.5), DataError)
    assert "has a dev split (dev), so dev_from_train must be left out" in message
    (message,) = refusal(
        lambda: task_of("mine", {"train": SplitRows("a"), "test": SplitRows("b")}, card=None, options={}), DataError
    )
    assert "must have the split dev: name it with `splits` in task_options, or carve it from train with" in message


# ---------------------------------------------------------------------------------------------------------------------
# texts in several splits


def test_texts_in_several_splits_are_counted() -> None:
    rows = texts(["a", "b", "a"])
    other = [{**r, "text": f"new {i}"} for i, r in enumerate(rows)]
    t = task(rows, [*other, *rows[:2], rows[0]], [*other[:1], rows[0]])
    assert [n for n in t.notes if "also" in n] == [
        "1 of 2 dev texts also occur in train",
        "3 of 6 test texts also occur in train",
        "3 of 6 test texts also occur in dev",
    ]
    pairs = [{"text": "a", "text_pair": str(i), "label": "xy"[i % 2]} for i in range(4)]
    assert not [n for n in task(pairs[:2], pairs[2:3], pairs[3:]).notes if "also" in n]


# ---------------------------------------------------------------------------------------------------------------------
# whatever the rows

some = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["a", "b", "", " ", "\ud800", "1.5"])
cells = some | st.lists(some, max_size=2) | st.dictionaries(st.just("a"), some, max_size=1)
keys = st.sampled_from(["text", "sentence1", "text_pair", "label", "score", "domain", "tokens", "tags", "x", ""])
anyrow = st.dictionaries(keys, cells, max_size=4) | st.just("is wrong")
numbered = st.lists(anyrow, max_size=5).map(lambda rows: list(enumerate(rows, 1)))
options_ = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["regression", "classification"]),
        "dev_from_train": st.sampled_from([0.5, 1]),
        "columns": st.sampled_from([{"text": "x"}, {"label": "score"}, {"tokens": 1, "tags": 2}]),
        "labels": st.just([1, "a"]),
        "label_text": st.just({"a": "b"}),
        "domains": st.just("together"),
    },
)


@settings(max_examples=300)
@given(numbered, numbered, numbered, st.booleans(), options_, st.sampled_from(["", "a"]))
def test_whatever_the_rows_it_is_a_task_or_listed_problems(
    train: Any, dev: Any, test: Any, typed: bool, options: dict[str, Any], domain: str
) -> None:
    rows = {"train": train, "dev": dev, "test": test}
    if "dev_from_train" in options:
        del rows["dev"]
    try:
        t = task_of(
            "mine",
            {s: SplitRows(s, r, typed=typed) for s, r in rows.items()},
            card=None,
            options=options,
            domain=domain,
        )
    except UserError as e:  # either outcome is right: a task, or listed problems
        assert e.problems  # noqa: PT017
        assert all("\n" not in str(p) for p in e.problems)  # noqa: PT017
    else:
        assert json.dumps(t.digest)
