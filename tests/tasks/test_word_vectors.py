"""Words of tagged sentences as examples: which words, of which class, and what stands where in their vectors."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from raystudy.errors import ConfigError, DataError, PreflightError, UserError
from raystudy.tasks import Task, load

NAMES = """\
Ada B-PER
Lovelace I-PER
met O
Babbage B-PER
. O

London B-LOC
was O
cold O
"""
PARTS = "Ada PROPN\nwalks VERB\nhome NOUN\n\nLondon PROPN\nsleeps VERB\n"
GLOVE = {"ada": (1.0, 2.0), "Ada": (3.0, 4.0), "lovelace": (5.0, 6.0), "met": (7.0, 8.0), "london": (9.0, 0.5)}
NOTHING = (0.0, 0.0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two tagged data sets, a text data set, and a file of vectors of two numbers."""
    for name, text in (("names", NAMES), ("parts", PARTS)):
        (tmp_path / name).mkdir()
        for split in ("train", "dev", "test"):
            (tmp_path / name / f"{split}.conll").write_text(text)
    (tmp_path / "texts").mkdir()
    for split in ("train", "dev", "test"):
        (tmp_path / "texts" / f"{split}.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n')
    (tmp_path / "vectors.txt").write_text("".join(f"{w} {' '.join(map(str, v))}\n" for w, v in GLOVE.items()))
    return tmp_path


def words(root: Path, of: str = "names", **options: Any) -> Task:
    return load(f"word_vectors/{of}", root=root, options={"embeddings": "vectors.txt", **options})


def test_a_word_of_a_span_is_an_example_of_the_spans_type(root: Path) -> None:
    task = words(root)
    assert task.labels == ("LOC", "PER")
    assert [e.label for e in task.splits["train"]] == ["PER", "PER", "PER", "LOC"]
    # of tags that mark no span each is a class, and the option says whose words are meant
    assert Counter(e.label for e in words(root, "parts").splits["test"]) == {"PROPN": 2, "VERB": 2, "NOUN": 1}
    some = words(root, "parts", tags={"parts": ["NOUN", "PROPN"], "names": ["B-PER"]})
    assert Counter(e.label for e in some.splits["test"]) == {"PROPN": 2, "NOUN": 1}


@pytest.mark.parametrize("window", [1, 3, 5])
def test_a_vector_is_the_windows_embeddings_side_by_side(root: Path, window: int) -> None:
    sentence = [GLOVE["Ada"], GLOVE["lovelace"], GLOVE["met"], NOTHING, NOTHING]  # no vector of Babbage and of the dot
    half = window // 2
    padded = [NOTHING] * half + sentence + [NOTHING] * half
    examples = words(root, window=window).splits["train"]
    for example, at in zip(examples, (0, 1, 3), strict=False):
        assert example.vector == tuple(x for v in padded[at : at + window] for x in v)
    # a word that the file has in lower case alone; the words behind it have none
    assert examples[3].vector == (*NOTHING * half, *GLOVE["london"], *NOTHING * half)


def test_a_note_counts_words_without_a_vector(root: Path) -> None:
    (note,) = [n for n in words(root, window=1).notes if "no vector" in n]
    assert note == "1 of 4 different words have no vector and are zeros"


def test_a_packed_file_and_one_with_a_line_of_counts_are_read_alike(root: Path) -> None:
    text = (root / "vectors.txt").read_text()
    with gzip.open(root / "packed.txt.gz", "wt") as f:
        f.write(text)
    (root / "counted.txt").write_text(f"{len(GLOVE)} 2\n{text}")
    plain, packed, counted = (words(root, embeddings=name) for name in ("vectors.txt", "packed.txt.gz", "counted.txt"))
    assert not any("header" in note or "more than once" in note for note in plain.notes)
    assert any(note.startswith("line 1 of counted.txt") and "header" in note for note in counted.notes)
    known = next(iter(GLOVE))
    (root / "twice.txt").write_text(f"{text}{known} 9 9\n")
    twice = words(root, embeddings="twice.txt")
    assert twice.splits == plain.splits, "the first vector counts"
    assert any("more than once" in note and known in note for note in twice.notes), twice.notes
    assert plain.digest == packed.digest
    assert counted.splits == plain.splits


def test_a_changed_file_is_read_again(root: Path) -> None:
    before = words(root)
    (root / "vectors.txt").write_text("Ada 1 1 1\n")
    assert len(before.splits["train"][0].vector) == 10
    assert len(words(root).splits["train"][0].vector) == 15


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a tokenizer of a few pieces and their embeddings, (6, 3)."""
    folder = tmp_path / "model"
    folder.mkdir()
    pieces = ["[UNK]", "Ada", "Love", "##lace", "met", "London"]
    tokenizer = Tokenizer(models.WordPiece(vocab={p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_padding(length=9)  # as some files say, and no word needs
    tokenizer.save(str(folder / "tokenizer.json"))
    table = np.arange(18, dtype=np.float32).reshape(6, 3)
    save_file({"bert.embeddings.word_embeddings.weight": table}, folder / "model.safetensors")
    return folder


def test_a_model_gives_a_word_the_mean_of_its_pieces_in_units_of_the_table(root: Path, model: Path) -> None:
    table = np.arange(18.0).reshape(6, 3)
    unit = np.sqrt(np.mean(table**2))
    ada, lovelace, unknown, london = words(root, embeddings="model", window=1).splits["train"]
    assert ada.vector == pytest.approx(table[1] / unit)
    assert lovelace.vector == pytest.approx((table[2] + table[3]) / 2 / unit)
    assert unknown.vector == pytest.approx(table[0] / unit)
    assert london.vector == pytest.approx(table[5] / unit)


def test_of_many_words_as_many_as_asked_are_drawn_always_the_same(root: Path) -> None:
    every, two = words(root), words(root, most=2)
    assert len(two.splits["train"]) == 2 and two.digest == words(root, most=2).digest
    remaining = iter(every.splits["train"])
    assert all(e in remaining for e in two.splits["train"])  # in their order
    assert any("2 of 4 in train" in n for n in two.notes)


def test_sentences_of_another_data_set_can_be_left_out(root: Path) -> None:
    for split in ("train", "dev", "test"):
        (root / "parts" / f"{split}.conll").write_text(f"{PARTS}\nLondon PROPN\nwas VERB\ncold ADJ\n")
    both = {"tags": {"parts": ["NOUN", "PROPN"]}}
    assert len(words(root, "parts", **both).splits["train"]) == 4
    apart = words(root, "parts", **both, read={"parts": {"without": ["names"]}})
    assert len(apart.splits["train"]) == 3


@pytest.mark.parametrize(
    ("of", "options", "error", "message"),
    [
        ("names", {"window": 4}, ConfigError, "window: must be an odd number of words from 1 to 21, but is 4"),
        ("names", {"window": 3, "most": 0}, ConfigError, "must be a whole number from 1 to 1000000, but is 0"),
        ("names", {"embedding": "x"}, ConfigError, "did you mean 'embeddings'"),
        ("names", {"tags": {"names": ["B-PRE"]}}, ConfigError, "did you mean 'B-PER'"),
        ("names", {"tags": {"names": "B-PER"}}, ConfigError, "must give data sets lists of their tags"),
        ("names", {"tags": {"names": ["B-PER"]}}, DataError, "at least two classes"),
        ("names", {"embeddings": "glove.txt"}, PreflightError, "nothing is at .*glove.txt.*glove.6B.zip"),
        ("names", {"embeddings": "texts"}, PreflightError, "no embeddings of word pieces"),
        ("texts", {}, DataError, "must be made of tagged sentences, but texts is none"),
        ("nmaes", {}, ConfigError, "did you mean 'names'"),
        ("", {}, ConfigError, "name the tagged data set"),
    ],
)
def test_what_is_refused(root: Path, of: str, options: Mapping[str, Any], error: type[UserError], message: str) -> None:
    with pytest.raises(error, match=message):
        words(root, of, **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Ada 1 2\nmet 1\n", "2 numbers on every line, but line 2 has 1"),
        ("Ada 1 x\n", "finite numbers on every line, but line 1 holds '1 x'"),
        ("Ada 1 inf\n", "finite numbers"),
        ("", "is empty"),
    ],
)
def test_a_file_of_another_format_is_refused(root: Path, text: str, message: str) -> None:
    (root / "wrong.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        words(root, embeddings="wrong.txt")
