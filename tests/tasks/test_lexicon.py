"""The embedded lexicon: nothing that is evaluated was seen in training, and the same examples everywhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from raystudy.errors import ConfigError, PreflightError
from raystudy.tasks import Task, lexicon, load

PARTS = lexicon.PARTS
ORDER = ("train", "dev", "test")


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return {part: load(f"lexicon/{part}") for part in PARTS}


def stems(text: str) -> set[str]:
    """Whole Snowball stems, not the shorter groups that the module splits by."""
    from nltk.stem.snowball import SnowballStemmer

    stem = SnowballStemmer("english").stem
    return {stem(word) for word in re.findall("[a-z]+", text.lower())}


def test_counts(tasks: dict[str, Task]) -> None:
    stars = tasks["stars"].splits
    assert len(stars["dev"]) + len(stars["test"]) >= 1500
    assert len(stars["train"]) >= 4000
    for task in tasks.values():
        assert len(task.splits["train"]) >= 1000
        for split, rows in task.splits.items():
            counts = Counter(e.label for e in rows)
            assert set(counts) == set(task.labels)
            assert min(counts.values()) >= 0.1 * len(rows), (task.name, split, counts)


def test_no_stem_of_a_term_is_in_two_splits_of_any_part(tasks: dict[str, Task]) -> None:
    found = {
        split: set().union(*(stems(e.text.split(":")[0]) for t in tasks.values() for e in t.splits[split]))
        for split in ORDER
    }
    assert not found["train"] & found["dev"]
    assert not found["train"] & found["test"]
    assert not found["dev"] & found["test"]


def test_no_evaluated_term_of_the_target_is_in_an_earlier_text(tasks: dict[str, Task]) -> None:
    """Glosses included: whatever is trained on (or selected on) never names a word that is judged later."""
    terms = {split: set().union(*(stems(e.text) for e in tasks["stars"].splits[split])) for split in ORDER}
    texts = {
        split: set().union(*(stems(e.text) for part in PARTS[1:] for e in tasks[part].splits[split])) for split in ORDER
    }
    assert not texts["train"] & (terms["dev"] | terms["test"])
    assert not texts["dev"] & terms["test"]


def test_no_text_and_no_gloss_is_in_two_splits(tasks: dict[str, Task]) -> None:
    for task in tasks.values():
        for whole in (True, False):
            seen = [{e.text if whole else e.text.split(": ", 1)[-1] for e in task.splits[s]} for s in ORDER]
            assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2]), task.name
        assert len({e.text for rows in task.splits.values() for e in rows}) == sum(map(len, task.splits.values()))


def test_groups_are_those_of_the_split(tasks: dict[str, Task]) -> None:
    for task in tasks.values():
        assert all(lexicon.split_of(e.group) == split for split, rows in task.splits.items() for e in rows)


def test_the_split_of_a_word_depends_on_nothing_else() -> None:
    assert [lexicon.split_of(lexicon.group(w)) for w in ("beauty", "beautification")] == [
        lexicon.split_of(lexicon.group("beautiful"))
    ] * 2
    share = Counter(lexicon.split_of(f"x{i}") for i in range(5000))
    assert share["test"] == pytest.approx(1000, abs=120)
    assert share["dev"] == pytest.approx(500, abs=90)


def test_cut_points() -> None:
    assert [lexicon.star(t) for t in (-40, -20, -19, -10, -9, 0, 9, 10, 19, 20, 40)] == list("11223334455")
    assert [lexicon.polarity(x) for x in (-1, -0.2, -0.1, 0, 0.1, 0.2)] == [
        *["negative"] * 2,
        *["neutral"] * 3,
        "positive",
    ]
    assert [lexicon.subjectivity(x) for x in (0, 0.3, 0.4, 0.7, 0.8, 1)] == [
        *["objective"] * 2,
        *["mixed"] * 2,
        *["subjective"] * 2,
    ]


def test_known_terms(tasks: dict[str, Task]) -> None:
    stars = {e.text: e.label for rows in tasks["stars"].splits.values() for e in rows}
    assert stars["murder"] == "1"
    assert stars["love"] == "5"
    assert all(re.fullmatch(r"[a-z]+(['-][a-z]+)*", t) and re.search("[aeiouy]", t) for t in stars)
    assert not {"lmao", "lol", "xd", "prblm", "wtf"} & set(stars)
    assert tasks["stars"].text_of("1") == "very negative"


def test_texts_are_short_and_notes_say_the_rules(tasks: dict[str, Task]) -> None:
    for part, task in tasks.items():
        notes = " ".join(task.notes)
        assert "split by a hash" in notes
        assert ("partly inferred" in notes) == (part != "stars")
        assert task.length == 32
        assert task.label_text or part != "stars"


def test_the_same_whatever_the_hash_seed(tasks: dict[str, Task]) -> None:
    code = f"from raystudy.tasks import load\nprint(*(load('lexicon/' + p).digest for p in {PARTS!r}))"
    messages = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert messages.split() == [tasks[p].digest for p in PARTS]


@pytest.mark.parametrize("package", ["vaderSentiment", "textblob"])
def test_a_missing_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = lexicon.importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == package else found(name))
    with pytest.raises(
        PreflightError, match=rf"{package}, which is not installed.*pip install 'raystudy\[quickstart\]'"
    ):
        load("lexicon/stars")


def test_a_file_that_is_not_the_known_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "en-sentiment.xml"
    broken.write_text("<sentiment>")
    real = lexicon._file
    monkeypatch.setattr(lexicon, "_file", lambda package, *p: broken if package == "textblob" else real(package, *p))
    with pytest.raises(PreflightError, match="cannot be read as its known version"):
        load("lexicon/polarity")


def test_no_package_is_imported_for_its_data() -> None:
    for name in ("vaderSentiment", "textblob"):
        loaded: ModuleType | None = sys.modules.get(f"{name}.vaderSentiment") or sys.modules.get(f"{name}.blob")
        assert loaded is None


def test_parts_and_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="name a part of lexicon: stars, polarity, subjectivity"):
        load("lexicon")
    with pytest.raises(ConfigError, match="did you mean 'stars'"):
        load("lexicon/star")
    with pytest.raises(ConfigError, match="unknown option 'seed'"):
        load("lexicon/stars", options={"seed": 1})
