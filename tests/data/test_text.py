"""Text to flat arrays: batches and their parts, the label behind the text, tags on first pieces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from cells import planted
from hypothesis import given
from hypothesis import strategies as st

from raystudy.data.plm import PLM, resolve
from raystudy.data.standardise import LabelUnit
from raystudy.data.text import IGNORED, Batch, Corpus, Encoded, encode, tokenizer
from raystudy.tasks import Example, Task
from raystudy.workers import Alone

TINY = resolve("tiny")
SPLITS = ("train", "dev", "test")


@dataclass
class Rank(Alone):
    rank: int = 0
    size: int = 1


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> PLM:
    """A model whose tokenizer cuts words into letters, as a real one cuts rare words."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    letters = {
        c: i for i, c in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefgh", *(f"##{c}" for c in "abcdefgh")])
    }
    words = Tokenizer(models.WordPiece(letters, unk_token="[UNK]"))
    words.normalizer = normalizers.BertNormalizer()  # invisible characters and lone accents go, as in an uncased BERT
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    folder = tmp_path_factory.mktemp("pieces")
    PreTrainedTokenizerFast(tokenizer_object=words, **names).save_pretrained(folder)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=len(letters), **sizes)).save_pretrained(folder)
    return resolve(str(folder))


def pieces_of(encoded: Encoded, plm: PLM, i: int) -> list[str]:
    a, b = encoded.offsets[i], encoded.offsets[i + 1]
    return tokenizer(plm).convert_ids_to_tokens(encoded.ids[a:b].tolist())  # type: ignore[no-any-return]


def segments(encoded: Encoded, i: int) -> list[int]:
    return encoded.types[encoded.offsets[i] : encoded.offsets[i + 1]].tolist()  # type: ignore[no-any-return]


def tags_at(encoded: Encoded, i: int) -> list[int]:
    return encoded.tags[encoded.offsets[i] : encoded.offsets[i + 1]].tolist()  # type: ignore[no-any-return]


def task_of(*rows: Example, form: str = "single", labels: tuple[str, ...] = ("a", "b"), **options: object) -> Task:
    return Task("made", form, labels, dict.fromkeys(SPLITS, rows), **options)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------------------
# encode


def test_singles_and_pairs() -> None:
    single = encode(task_of(Example("b", text="w001 w002"), Example("a", text="w003")), "train", TINY)
    assert pieces_of(single, TINY, 0) == ["[CLS]", "w001", "w002", "[SEP]"]
    assert segments(single, 0) == [0] * 4
    assert single.offsets.tolist() == [0, 4, 7]
    assert single.labels.tolist() == [1, 0]
    pair = encode(task_of(Example("a", text="w001", pair="w002 w003"), form="pair"), "train", TINY)
    assert pieces_of(pair, TINY, 0) == ["[CLS]", "w001", "[SEP]", "w002", "w003", "[SEP]"]
    assert segments(pair, 0) == [0, 0, 0, 1, 1, 1]
    # the length limit counts special tokens
    short = encode(task_of(Example("a", text="w001 w002 w003")), "train", TINY, length=4)
    assert pieces_of(short, TINY, 0) == ["[CLS]", "w001", "w002", "[SEP]"]


def test_numbers() -> None:
    rows = tuple(Example(x, text="w001") for x in (0.5, -2.0))
    encoded = encode(Task("numbers", "single", (), dict.fromkeys(SPLITS, rows), metric="pearson"), "dev", TINY)
    assert encoded.outputs == 1
    # in standard deviations from the mean of train, (0.5 - 2) / 2 and (0.5 + 2) / 2
    assert encoded.unit == LabelUnit(-0.75, 1.25)
    assert encoded.values.tolist() == [1.0, -1.0]
    assert encoded.unit.in_own_unit(encoded.values).tolist() == [0.5, -2.0]
    assert encoded.labels.tolist() == [IGNORED] * 2


def test_tags_are_on_first_pieces(pieces: PLM) -> None:
    task = task_of(
        Example(("O", "B-x", "I-x"), tokens=("abc", "d", "ef")),
        Example(("B-x",), tokens=("gh",)),
        form="tagging",
        labels=("B-x", "I-x", "O"),
    )
    encoded = encode(task, "train", pieces)
    assert pieces_of(encoded, pieces, 0) == ["[CLS]", "a", "##b", "##c", "d", "e", "##f", "[SEP]"]
    assert tags_at(encoded, 0) == [IGNORED, 2, IGNORED, IGNORED, 0, 1, IGNORED, IGNORED]
    assert encoded.cut_words == 0
    # words behind the cut have no tag, and are counted; a word cut in its middle keeps its tag
    cut = encode(task, "train", pieces, length=7)
    assert pieces_of(cut, pieces, 0) == ["[CLS]", "a", "##b", "##c", "d", "e", "[SEP]"]
    assert tags_at(cut, 0) == [IGNORED, 2, IGNORED, IGNORED, 0, 1, IGNORED]
    assert cut.cut_words == 0
    assert encode(task, "train", pieces, length=6).cut_words == 1
    assert encode(task, "train", pieces, length=3).cut_words == 2


# zero width space, variation selector, soft hyphen, a control character, a word of accents alone, nothing at all
GONE = ("\u200b", "\ufe0f", "\u00ad", "\x07", "\u0301\u0308", "")
CHOICE = st.sampled_from([*GONE, "abc", "d", "gh"])


@given(st.lists(CHOICE, min_size=1, max_size=9), st.integers(4, 12), st.sampled_from(["left", "right"]))
def test_every_place_knows_its_word(pieces: PLM, words: list[str], length: int, side: str) -> None:
    """Whatever the tokenizer drops and wherever a sentence is cut, at either side."""
    tags = tuple("abc"[i % 3] for i in range(len(words)))
    task = task_of(Example(tags, tokens=tuple(words)), form="tagging", labels=("a", "b", "c"))
    with patch.object(tokenizer(pieces), "truncation_side", side), patch("raystudy.data.text._MEMO", {}):
        encoded = encode(task, "train", pieces, length)
    assert encoded.start_is_cut == (side == "left")
    # letters of all words in order, with the word of each; the special tokens take two places
    letters = [(i, c) for i, w in enumerate(words) if w not in GONE for c in w]
    kept = letters[: length - 2] if side == "right" else letters[max(0, len(letters) - length + 2) :]
    read = list(dict.fromkeys(i for i, _ in kept))
    assert encoded.words_of(0).tolist() == read
    at = (encoded.tags != IGNORED).nonzero()[0]
    assert (encoded.words != IGNORED).nonzero()[0].tolist() == at.tolist()
    for place, word in zip(at, read, strict=True):
        assert "abc"[encoded.tags[place]] == tags[word]
        assert pieces_of(encoded, pieces, 0)[place].removeprefix("##") == kept[[i for i, _ in kept].index(word)][1]
    # what is dropped and what is cut are two numbers
    c = encoded.coverage
    assert c.words_without_pieces == sum(w in GONE for w in words)
    assert (c.words, c.cut_words) == (len(words), len(words) - c.words_without_pieces - len(read))
    assert (c.pieces, c.cut_pieces, c.longest) == (len(letters), len(letters) - len(kept), len(letters) + 2)
    assert (c.examples, c.cut, c.empty) == (1, len(kept) < len(letters), not letters)


def test_texts_that_are_cut_or_empty_are_counted(pieces: PLM) -> None:
    rows = [Example("a", text=t) for t in ("abcd efgh", "abcd", "\u200b", "\ufe0f \u00ad")]
    c = encode(task_of(*rows), "train", pieces, 8).coverage
    assert (c.examples, c.pieces, c.longest) == (4, 12, 10)
    assert (c.cut, c.cut_pieces, c.empty) == (1, 2, 2)
    assert not c.complete
    assert encode(task_of(*rows[:2]), "train", pieces, 10).coverage.complete
    # the longer text of a pair gives way
    pairs = [("abcdefgh", "a"), ("a", "abcdefgh"), ("abcdef", "abcdef"), ("\u200b", "a"), ("\u200b", "\ufe0f")]
    p = encode(task_of(*(Example("a", text=a, pair=b) for a, b in pairs), form="pair"), "train", pieces, 9).coverage
    assert (p.cut, p.cut_first, p.cut_second, p.cut_pieces) == (3, 2, 2, 3 + 3 + 6)
    assert (p.empty, p.half_empty) == (1, 1)


def test_special_tokens_in_a_text_are_counted(pieces: PLM) -> None:
    rows = [Example("a", text=t) for t in ("ab [SEP] c", "ab c", "[CLS] [PAD]")]
    assert encode(task_of(*rows), "train", pieces).coverage.special == 2


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_label_behind_a_text_cuts_it_where_the_tokenizer_does(pieces: PLM, side: str) -> None:
    task = task_of(Example("a", text="abcdefg"), Example("a", text="ab"), label_text={"a": "hh"})
    with patch.object(tokenizer(pieces), "truncation_side", side), patch("raystudy.data.text._MEMO", {}):
        encoded = encode(task, "train", pieces, 8)
    kept = ["a", "##b", "##c"] if side == "right" else ["##e", "##f", "##g"]
    labelled = encoded.with_label_text()
    assert pieces_of(labelled, pieces, 0) == ["[CLS]", *kept, "[SEP]", "h", "##h", "[SEP]"]
    assert pieces_of(labelled, pieces, 1) == ["[CLS]", "a", "##b", "[SEP]", "h", "##h", "[SEP]"]
    assert encoded.cut_for_label == 1


def test_unseen_tags_still_mark_their_word() -> None:
    task = task_of(Example(("O", "B-x"), tokens=("w001", "w002")), form="tagging", labels=("B-x", "O"))
    task = task.with_splits(test=[Example(("O", "B-new"), tokens=("w001", "w002"))])
    assert tags_at(encode(task, "test", TINY), 0) == [IGNORED, 1, 0, IGNORED]


def test_encoding_is_done_once() -> None:
    assert encode(planted("target"), "train", TINY) is encode(planted("target"), "train", TINY)
    assert encode(planted("target"), "train", TINY) is not encode(planted("target"), "train", TINY, length=8)


def test_digest_sees_everything_that_training_reads() -> None:
    base = (Example("a", text="w001 w002"), Example("b", text="w003"))
    first = encode(task_of(*base), "train", TINY)
    others = [
        encode(task_of(Example("b", text="w001 w002"), base[1]), "train", TINY),  # a label
        encode(task_of(Example("a", text="w001 w004"), base[1]), "train", TINY),  # a word
        encode(task_of(base[1], base[0]), "train", TINY),  # the order
        encode(task_of(Example("a", text="w001"), Example("b", text="w002 w003")), "train", TINY),  # a boundary
        encode(task_of(*base, labels=("b", "a")), "train", TINY),  # which column is which class
        encode(task_of(*base, label_text={"a": "amber"}), "train", TINY),  # a label's words
        encode(task_of(*base), "train", TINY, length=8),  # where texts are cut
        replace(first, task="other"),
    ]
    assert len({first.digest, *(o.digest for o in others)}) == 1 + len(others)
    # the other splits are not part of it
    assert encode(task_of(*base).with_splits(test=base[:1]), "train", TINY).digest == first.digest


# ---------------------------------------------------------------------------------------------------------------------
# the label behind the text


def test_label_text_is_the_second_segment() -> None:
    task = task_of(Example("a", text="w001 w002"), Example("b", text="w003"), label_text={"a": "amber gold"})
    encoded = encode(task, "train", TINY).with_label_text()
    assert pieces_of(encoded, TINY, 0) == ["[CLS]", "w001", "w002", "[SEP]", "amber", "gold", "[SEP]"]
    assert segments(encoded, 0) == [0, 0, 0, 0, 1, 1, 1]
    same = encode(task, "train", TINY).with_label_text("same")
    assert (pieces_of(same, TINY, 0), segments(same, 0)) == (pieces_of(encoded, TINY, 0), [0] * 7)
    # a label without words of its own stands for itself
    assert pieces_of(encoded, TINY, 1) == ["[CLS]", "w003", "[SEP]", "[UNK]", "[SEP]"]
    assert encoded.offsets.tolist() == [0, 7, 12]
    assert encoded.labels.tolist() == [0, 1]


def test_label_text_of_pairs_shares_the_second_text_s_segment() -> None:
    task = task_of(Example("a", text="w001", pair="w002"), form="pair", label_text={"a": "amber"})
    encoded = encode(task, "train", TINY).with_label_text()
    assert pieces_of(encoded, TINY, 0) == ["[CLS]", "w001", "[SEP]", "w002", "[SEP]", "amber", "[SEP]"]
    assert segments(encoded, 0) == [0, 0, 0, 1, 1, 1, 1]
    assert encode(task, "train", TINY).with_label_text("same").digest == encoded.digest


@given(st.integers(1, 20), st.integers(1, 3), st.integers(8, 16))
def test_truncation_keeps_the_label(words: int, label_words: int, length: int) -> None:
    text = " ".join(f"w{i:03d}" for i in range(words))
    label = ("amber", "birch", "coral")[:label_words]
    task = task_of(Example("a", text=text), label_text={"a": " ".join(label)}, length=length)
    tokens = pieces_of(encode(task, "train", TINY).with_label_text(), TINY, 0)
    assert len(tokens) <= length
    # the label is whole, between separators; the text lost its end, and no more than it had to
    assert tokens[-label_words - 2 :] == ["[SEP]", *label, "[SEP]"]
    kept = tokens[1 : -label_words - 2]
    assert kept == text.split()[: len(kept)]
    assert len(tokens) == length or len(kept) == words


def test_a_label_longer_than_the_limit_stays_whole() -> None:
    rows = (Example("a", text="w001 w002"), Example("a", text="w003"))
    task = task_of(*rows, label_text={"a": "amber birch coral"}, length=4)
    encoded = encode(task, "train", TINY).with_label_text()
    for i in range(2):
        assert pieces_of(encoded, TINY, i) == ["[CLS]", "[SEP]", "amber", "birch", "coral", "[SEP]"]


def test_text_that_fits_is_not_touched() -> None:
    plain = encode(planted("target"), "train", TINY)
    longer = plain.with_label_text()
    for i in range(5):
        assert pieces_of(longer, TINY, i)[: len(pieces_of(plain, TINY, i))] == pieces_of(plain, TINY, i)
        assert pieces_of(longer, TINY, i)[-2] == plain.classes[plain.labels[i]]
    assert longer.digest != plain.digest


# ---------------------------------------------------------------------------------------------------------------------
# batches


CORPUS = Corpus(
    (
        encode(planted("target"), "train", TINY),
        encode(planted("tag_target", length=6), "train", TINY),
        encode(planted("pair_target"), "train", TINY),
    )
)
ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 35)), min_size=1, max_size=9)
FIELDS = ("ids", "types", "task", "row", "labels", "values", "tags", "tagged", "weight", "soft")


def joined(parts: list[Batch], name: str) -> torch.Tensor | None:
    values = [getattr(p, name) for p in parts]
    return None if values[0] is None else torch.cat(values)


@given(ROWS)
def test_batch_is_its_rows_in_order(rows: list[tuple[int, int]]) -> None:
    batch = CORPUS.batch(np.array(rows))
    assert len(batch) == len(rows)
    assert list(zip(batch.task.tolist(), batch.row.tolist(), strict=True)) == rows
    for i, (t, r) in enumerate(rows):
        part, one = CORPUS.parts[t], slice(int(batch.offsets[i]), int(batch.offsets[i + 1]))
        theirs = slice(part.offsets[r], part.offsets[r + 1])
        for name in ("ids", "types", "tags"):
            assert getattr(batch, name)[one].tolist() == getattr(part, name)[theirs].tolist()
        assert batch.labels[i] == part.labels[r]
        # a tagged sentence adds a loss per word, any other example one
        assert batch.units[i] == (6 if t == 1 else 1)


@given(ROWS, st.integers(1, 4))
def test_shards_are_the_batch(rows: list[tuple[int, int]], size: int) -> None:
    batch = CORPUS.batch(np.array(rows))
    batch = replace(batch, weight=torch.arange(len(rows)) + 0.5, soft=torch.arange(2.0 * len(rows)).view(-1, 2))
    parts = [batch.shard(Rank(r, size)) for r in range(size)]
    for name in FIELDS:
        assert torch.equal(joined(parts, name), getattr(batch, name))  # type: ignore[arg-type]
    assert torch.equal(torch.cat([p.offsets.diff() for p in parts]), batch.offsets.diff())
    assert all(p.offsets[0] == 0 and p.offsets[-1] == len(p.ids) for p in parts)
    assert torch.equal(torch.cat([p.units for p in parts]), batch.units)


@given(ROWS, st.integers(-10, 10), st.integers(-10, 10))
def test_part_is_a_slice(rows: list[tuple[int, int]], a: int, b: int) -> None:
    """Of any slice, empty ones too: what Python would take from the list of examples."""
    part = CORPUS.batch(np.array(rows)).part(slice(a, b))
    assert list(zip(part.task.tolist(), part.row.tolist(), strict=True)) == rows[a:b]
    assert len(part) == len(rows[a:b])
    assert len(part.ids) == part.offsets[-1] == part.offsets.diff().sum()


def test_weighted() -> None:
    batch = CORPUS.batch(np.array([[0, 0], [2, 1]]))
    assert batch.weight is None
    assert batch.part(slice(0, 1)).weight is None
    assert batch.weighted(torch.tensor([1.0, 2.0])).part(slice(1, 2)).weight == torch.tensor([2.0])
    assert batch.weight is None  # the batch itself stays as it was


def test_sizes() -> None:
    assert CORPUS.sizes == [36, 36, 36]
    assert [p.outputs for p in CORPUS.parts] == [3, 7, 3]


def test_what_the_tokenizer_does_not_know_is_counted(pieces: PLM) -> None:
    rows = [Example("a", text=t) for t in ("ab c", "ab \u4e2d", "\u4e2d \u4e2d")]
    c = encode(task_of(*rows), "train", pieces).coverage
    assert (c.unknown, c.unknown_pieces, c.only_unknown) == (2, 3, 1)
    assert not c.complete


# ---------------------------------------------------------------------------------------------------------------------
# tokenizers over bytes, whose pieces hold the space before a word


@pytest.fixture(scope="module")
def byte_pieces(tmp_path_factory: pytest.TempPathFactory) -> PLM:
    """A RoBERTa whose tokenizer learned a few words with the space before them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    tok = Tokenizer(models.BPE(unk_token="<unk>"))
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tok.train_from_iterator(["the cat sat on the mat, the cat ran"] * 5, trainer)
    tok.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    names = {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    folder = tmp_path_factory.mktemp("bytes")
    PreTrainedTokenizerFast(tokenizer_object=tok, **names).save_pretrained(folder)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    RobertaModel(RobertaConfig(vocab_size=300, type_vocab_size=1, **sizes)).save_pretrained(folder)
    return resolve(str(folder))


def test_a_word_of_a_list_is_cut_as_the_same_word_in_a_text(byte_pieces: PLM) -> None:
    words = ("cat", "sat", "on", "mat")
    tagged = encode(task_of(Example(("a", "b", "a", "b"), tokens=words), form="tagging"), "train", byte_pieces)
    text = encode(task_of(Example("a", text=" ".join(("", *words)))), "train", byte_pieces)
    assert pieces_of(tagged, byte_pieces, 0) == pieces_of(text, byte_pieces, 0)
    assert pieces_of(tagged, byte_pieces, 0)[:3] == ["<s>", "Ġcat", "Ġsat"]
    assert tagged.words_of(0).tolist() == [0, 1, 2, 3]
    # positions are counted from behind the padding token
    assert byte_pieces.positions == 512 - 2
