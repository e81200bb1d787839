"""Turns texts into arrays of word pieces, which is done once for every split of a task.

`Encoded` holds one split, `Corpus` the training splits of a suite, and `Batch` the examples that one draw picks.
Nothing here is padded. A batch is flat: it holds the pieces of all its examples in a row, and the offsets where each
example begins.

An example may be a vector of numbers in the place of a text. It then counts as one piece without a meaning, so that
whatever reads offsets, states or tags treats it as a text of one piece, and its numbers stand in `vectors`.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raystudy.data.draws import Rows
from raystudy.data.plm import PLM
from raystudy.data.standardise import LabelUnit
from raystudy.errors import DataError, PreflightError, Problem
from raystudy.spec import canonical
from raystudy.tasks import Example, Task, TaskKind
from raystudy.workers import Workers, share

__all__ = ["IGNORED", "Batch", "Corpus", "Coverage", "Encoded", "coverage_facts", "encode", "placed", "tokenizer"]

IGNORED = -100  # the label of what has none; torch's cross_entropy skips it


def placed(x: Tensor, device: torch.device) -> Tensor:
    """`x` on `device`. A copy from the CPU to a GPU is only queued there, from pinned memory, and waits for nothing."""
    if x.device == device or device.type == "cpu":
        return x.to(device)
    return (x.pin_memory() if device.type == "cuda" else x).to(device, non_blocking=True)


@dataclass(frozen=True)
class Batch:
    """B examples with T tokens in all. They stand one behind the other (flat) and differ in length (ragged).

    Shapes: ids, types (T,); offsets (B + 1,); task, row, labels (B,) int64; values (B,) float, the regression targets
    in standard deviations from the mean of their task's training labels (`LabelUnit`); tags (T,) int64 with IGNORED
    everywhere but at the first piece of a labelled word; tagged (B,) bool, whether the labels of an example are those
    of its words; weight (B,) float or None; soft (B, C) float or None; vectors (B, D) float where the examples are
    vectors, else None; states (T, H) float or None, what the lowest `layers` layers of the model make of each piece,
    where that is known already.
    """

    ids: Tensor
    types: Tensor
    offsets: Tensor
    task: Tensor
    row: Tensor
    labels: Tensor
    values: Tensor
    tags: Tensor
    tagged: Tensor
    weight: Tensor | None = None
    soft: Tensor | None = None
    vectors: Tensor | None = None
    states: Tensor | None = None
    layers: int = 0
    _elsewhere: dict[torch.device, Batch] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def to(self, device: torch.device) -> Batch:
        """The same examples with every tensor on `device`; on another device than theirs they are copied once.

        What depends on shapes (lengths, which examples are of which task) is found out from a batch on the CPU, as it
        is drawn, so that no update waits for a GPU to answer.
        """
        if self.offsets.device == device:
            return self
        if device not in self._elsewhere:
            parts: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
            copies: dict[str, Any] = {n: placed(x, device) if isinstance(x, Tensor) else x for n, x in parts.items()}
            self._elsewhere[device] = Batch(**copies)
        return self._elsewhere[device]

    @cached_property
    def owner(self) -> Tensor:
        """(T,) the example of every token."""
        return torch.repeat_interleave(torch.arange(len(self), device=self.offsets.device), self.offsets.diff())

    @property
    def units(self) -> Tensor:
        """(B,) how many losses each example adds: when it is tagged its labelled words, which may be none, else one."""
        words = self._segment_sum((self.tags != IGNORED).long())
        return torch.where(self.tagged, words, 1)

    @property
    def divisor(self) -> Tensor:
        """() what makes a sum of losses over this batch their mean: its units, and one where it has none."""
        return self.units.sum().clamp_min(1)

    def _segment_sum(self, x: Tensor) -> Tensor:
        return torch.zeros(len(self), dtype=x.dtype, device=x.device).index_add_(0, self.owner, x)

    def part(self, rows: slice) -> Batch:
        """The examples `rows`, a contiguous slice."""
        start, stop, _ = rows.indices(len(self))
        a, b = int(self.offsets[start]), int(self.offsets[max(start, stop)])
        return Batch(
            self.ids[a:b],
            self.types[a:b],
            self.offsets[start : max(start, stop) + 1] - a,
            self.task[start:stop],
            self.row[start:stop],
            self.labels[start:stop],
            self.values[start:stop],
            self.tags[a:b],
            self.tagged[start:stop],
            None if self.weight is None else self.weight[start:stop],
            None if self.soft is None else self.soft[start:stop],
            None if self.vectors is None else self.vectors[start:stop],
            None if self.states is None else self.states[a:b],
            self.layers,
        )

    def weighted(self, weight: Tensor) -> Batch:
        """The same examples, each with its weight (B,)."""
        return replace(self, weight=weight)

    def shard(self, workers: Workers) -> Batch:
        """This rank's slice of the global batch."""
        return self if workers.size == 1 else self.part(share(len(self), workers))


@dataclass(frozen=True)
class Coverage:
    """Counts how much of one split a model reads. A piece is a word piece of the tokenizer; special tokens are none.

    Attributes:
        examples: in the split; `pieces`: of all of them, before anything is cut.
        longest: the sequence length of the longest example before the cut, special tokens included.
        cut: examples longer than the limit; `cut_pieces`: the pieces that they lose by it.
        cut_first, cut_second: examples of a pair task whose first or second text loses pieces.
        empty: examples of which the tokenizer makes no piece at all, so that special tokens alone are read;
            `half_empty`: pairs with one such text.
        special: examples in which a special token is written out (``[SEP]``), and is read as that token.
        unknown: examples with a word or character that the tokenizer does not know, so that it is read as the same
            piece (``[UNK]``) as all others of the kind; `unknown_pieces`: how many these are; `only_unknown`: examples
            that hold nothing else.
        words: of a tagging task; `cut_words`: those whose pieces all lie behind the cut; `words_without_pieces`: those
            of which the tokenizer makes nothing (invisible characters, say). Neither kind is ever seen by a model.
    """

    examples: int = 0
    pieces: int = 0
    longest: int = 0
    cut: int = 0
    cut_pieces: int = 0
    cut_first: int = 0
    cut_second: int = 0
    empty: int = 0
    half_empty: int = 0
    special: int = 0
    unknown: int = 0
    unknown_pieces: int = 0
    only_unknown: int = 0
    words: int = 0
    cut_words: int = 0
    words_without_pieces: int = 0

    @property
    def complete(self) -> bool:
        """Whether every text and word is read, and read as text."""
        odd = self.special or self.unknown or self.words_without_pieces
        return not (self.cut or self.empty or self.half_empty or odd)


@dataclass(frozen=True)
class Encoded:
    """One split of one task after the tokenizer: n examples with N word pieces in all.

    Shapes: ids, types (N,) int32; offsets (n + 1,) int64; labels (n,) int64 (IGNORED where there is none); values (n,)
    float64; tags, words (N,) int64; label_ids: the pieces of each label's words, without special tokens; texts: these
    words; vectors (n, D) float64 where the examples are vectors, each of them one piece, else None; states (N, H) float
    or None.

    Attributes:
        states: what the lowest `layers` layers of the model make of every piece, where these never change; it is a part
            of the work that training would repeat, no part of the data (`nn.lower_states`).
        values: regression labels in standard deviations from the mean of the task's training labels, `unit`.
        words: the number of the word within its sentence wherever `tags` has a label, elsewhere IGNORED.
        start_is_cut: whether texts over the length lose their start, as this tokenizer asks, or else their end.
    """

    task: str
    kind: TaskKind
    classes: tuple[str, ...]
    ids: NDArray[np.int32]
    types: NDArray[np.int32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    values: NDArray[np.float64]
    tags: NDArray[np.int64]
    label_ids: tuple[tuple[int, ...], ...]
    separator: int
    length: int
    pair: bool
    words: NDArray[np.int64]
    unit: LabelUnit
    coverage: Coverage
    texts: tuple[str, ...] = ()
    start_is_cut: bool = False
    vectors: NDArray[np.float64] | None = None
    states: Tensor | None = None
    layers: int = 0

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def outputs(self) -> int:
        """The width of a head: the number of classes, or one for regression."""
        return len(self.classes) or 1

    @property
    def inputs(self) -> int | None:
        """D, the numbers of a vector; None where the examples are texts."""
        return None if self.vectors is None else self.vectors.shape[1]

    @property
    def cut_words(self) -> int:
        """Words whose pieces all lie behind the cut."""
        return self.coverage.cut_words

    def words_of(self, example: int) -> NDArray[np.int64]:
        """The words of a tagged sentence that a model reads, by their numbers, in the order of its answers."""
        words: NDArray[np.int64] = self.words[self.offsets[example] : self.offsets[example + 1]]
        return np.asarray(words[words != IGNORED])

    @cached_property
    def digest(self) -> str:
        """A digest of everything that training reads from this split: regression labels without their unit."""
        head = canonical([self.task, self.kind, self.classes, self.texts, self.label_ids, self.length])
        h = hashlib.blake2b(head.encode(), digest_size=16)
        further = () if self.vectors is None else (self.vectors,)
        for a in (self.ids, self.types, self.offsets, self.labels, self.values, self.tags, *further):
            h.update(np.ascontiguousarray(a).data)
        return h.hexdigest()

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        """These examples as a batch of one task, numbered 0."""
        return Corpus((self,)).batch(np.stack([np.zeros_like(rows), rows], 1))

    def with_label_text(self, segment: str = "second") -> Encoded:
        """The same examples with their class's words behind the text: ``[CLS] x [SEP] c [SEP]`` (Meta-DTL, sec. 3.2).

        The words of c have segment 1, as the second text of a pair has; with `segment` ``same`` they have that of the
        text before them (0, for a single text). Where the whole would be longer than `length`, the text gives way at
        the side where this tokenizer cuts, never the label.

        Raises:
            DataError: the examples are vectors.
        """
        if self.vectors is not None:
            raise DataError(Problem("words of a label can stand behind a text, but not behind a vector", self.task))
        ids, types, lengths = [], [], []
        for i in range(len(self)):
            a, b = self.offsets[i], self.offsets[i + 1]
            c = (*self.label_ids[self.labels[i]], self.separator)
            keep = max(1, min(b - a - 1, self._beside_label(i)))  # [CLS] and the text, without the last [SEP]
            first = b - keep if self.start_is_cut else a + 1
            rows = np.array([a, *range(first, first + keep - 1)])
            ids.append(np.concatenate([self.ids[rows], [self.separator], c]))
            last = self.types[b - 1]
            of_label = np.full(len(c), last if segment == "same" else 1)
            types.append(np.concatenate([self.types[rows], [last], of_label]))
            lengths.append(len(ids[-1]))
        flat = np.concatenate(ids).astype(np.int32)
        return replace(
            self,
            ids=flat,
            types=np.concatenate(types).astype(np.int32),
            offsets=np.concatenate([[0], np.cumsum(lengths)]),
            tags=np.full(len(flat), IGNORED),
            words=np.full(len(flat), IGNORED),
            states=None,  # they are those of the text alone
            layers=0,
        )

    def _beside_label(self, example: int) -> int:
        """How long [CLS] and the text may be, so that the example's label fits behind them with both separators."""
        return self.length - 2 - len(self.label_ids[self.labels[example]])

    @property
    def cut_for_label(self) -> int:
        """How many texts lose pieces in `with_label_text` that they have here."""
        if self.vectors is not None:
            return 0
        lengths = np.diff(self.offsets)
        return sum(int(n) - 1 > self._beside_label(i) for i, n in enumerate(lengths))


@dataclass(frozen=True)
class Corpus:
    """The training splits that a draw picks rows from: a row is a pair (task, example)."""

    parts: tuple[Encoded, ...]

    @property
    def sizes(self) -> list[int]:
        return [len(p) for p in self.parts]

    def batch(self, rows: Rows) -> Batch:
        """Collate (B, 2) rows in their order."""
        tasks, examples = rows[:, 0], rows[:, 1]
        starts = np.empty(len(rows), np.int64)
        lengths = np.empty(len(rows), np.int64)
        for t in np.unique(tasks):
            at, p = tasks == t, self.parts[t]
            starts[at] = p.offsets[examples[at]]
            lengths[at] = p.offsets[examples[at] + 1] - starts[at]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        token = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        owner = np.repeat(tasks, lengths)
        ids, types = np.empty(len(token), np.int64), np.empty(len(token), np.int64)
        tags, labels = np.empty(len(token), np.int64), np.empty(len(rows), np.int64)
        values = np.empty(len(rows))
        for t in np.unique(tasks):
            p, here, at = self.parts[t], owner == t, tasks == t
            ids[here], types[here], tags[here] = p.ids[token[here]], p.types[token[here]], p.tags[token[here]]
            labels[at], values[at] = p.labels[examples[at]], p.values[examples[at]]
        tagged = np.asarray([p.kind == "tagging" for p in self.parts])[tasks]
        as_tensor = torch.from_numpy
        vectors, states = self._vectors(rows), self._states(tasks, owner, token)
        return Batch(
            as_tensor(ids),
            as_tensor(types),
            as_tensor(offsets),
            as_tensor(tasks.astype(np.int64)),
            as_tensor(examples.astype(np.int64)),
            as_tensor(labels),
            as_tensor(values),
            as_tensor(tags),
            as_tensor(tagged),
            vectors=None if vectors is None else as_tensor(vectors),
            states=states,
            layers=0 if states is None else self.parts[tasks[0]].layers,
        )

    def _states(self, tasks: NDArray[np.int64], owner: NDArray[np.int64], token: NDArray[np.int64]) -> Tensor | None:
        """(T, H) what is known of the pieces, each the `token`-th of task `owner`, where it is known of all `tasks`."""
        here = np.unique(tasks).tolist()
        known: list[Tensor] = [s for t in here if (s := self.parts[t].states) is not None]
        if not known or len(known) < len(here) or len({self.parts[t].layers for t in here}) > 1:
            return None
        out = known[0].new_empty(len(token), known[0].shape[1])
        for t, states in zip(here, known, strict=True):
            at = np.flatnonzero(owner == t)
            out[torch.from_numpy(at)] = states[torch.from_numpy(token[at])]
        return out

    def _vectors(self, rows: Rows) -> NDArray[np.float64] | None:
        """(B, D) the vectors of these rows, where the examples are vectors."""
        parts = [p.vectors for p in self.parts if p.vectors is not None]
        if not parts:
            return None
        out = np.empty((len(rows), parts[0].shape[1]))
        for t in np.unique(rows[:, 0]):
            at = rows[:, 0] == t
            out[at] = parts[t][rows[at, 1]]
        return out


_LOCK = threading.Lock()
_MEMO: dict[tuple[str, str, str, int], Encoded] = {}  # a worker meets the same source tasks in every cell


@lru_cache
def tokenizer(plm: PLM) -> Any:
    """The model's fast tokenizer; for ``tiny``, one token per planted word.

    Raises:
        PreflightError: its files do not give a tokenizer that fits the model.
    """
    from transformers import PreTrainedTokenizerFast

    if plm.folder is not None:
        return _pretrained_tokenizer(plm)
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    from raystudy.tasks.planted import VOCABULARY

    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate((*special, *VOCABULARY))}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=words, **names)


_PROBE = "Hello WORLD, a naïve co-operation: 42!"


def _pretrained_tokenizer(plm: PLM) -> Any:
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    def refused(*wrong: str) -> PreflightError:
        return PreflightError(Problem(w, f"plm {plm.name}") for w in wrong)

    assert plm.folder is not None
    file = plm.folder / "tokenizer.json"
    try:
        tok = AutoTokenizer.from_pretrained(plm.folder, use_fast=True, local_files_only=True)
        as_filed = Tokenizer.from_file(str(file)) if file.is_file() else None
    except Exception as e:  # what a broken file raises depends on its parser; those in Rust raise Exception itself
        lines = str(e).strip().splitlines() or [""]
        raise refused(f"its tokenizer cannot be read: {type(e).__name__}: {lines[0]}") from None
    special = {n: getattr(tok, f"{n}_token_id", None) for n in ("cls", "sep", "pad", "unk")}
    wrong = []
    if not tok.is_fast:
        wrong.append(f"its tokenizer must be a fast one, but is a {type(tok).__name__}")
    if absent := [n for n, i in special.items() if i is None]:
        wrong.append(f"its tokenizer must have a cls, sep, pad and unk token, but has no {', '.join(absent)}")
    highest = max(tok.get_vocab().values(), default=-1)
    if plm.vocabulary is not None and highest >= plm.vocabulary:
        wrong.append(
            f"its tokenizer gives ids up to {highest}, but vocab_size in config.json is {plm.vocabulary}: "
            "the tokenizer is not that of these weights"
        )
    if as_filed is not None and not wrong:
        # the library builds some tokenizers anew from their class name and takes only the words from the file
        as_filed.no_padding()
        as_filed.no_truncation()
        ids_as_filed = as_filed.encode(_PROBE, add_special_tokens=False).ids
        if ids_as_filed != tok(_PROBE, add_special_tokens=False)["input_ids"]:
            wrong.append(
                f"tokenizer.json cuts text in another way than the {type(tok).__name__} that the library makes of it "
                "(upper case, accents); tokenizer_config.json must say which is meant, e.g. "
                '"tokenizer_class": "PreTrainedTokenizerFast" and the special tokens for the file, '
                '"do_lower_case": false for a cased class'
            )
    if wrong:
        raise refused(*wrong)
    return tok


def encode(task: Task, split: str, plm: PLM, length: int | None = None) -> Encoded:
    """Tokenise one split. Texts longer than `length` pieces lose their end, or their start if the tokenizer says so.

    By default `length` is the task's own; it is never more than the model has positions for.

    A word's label goes to the first of its pieces that is read. A word that lies behind the cut, or of which the
    tokenizer makes no piece, has no place: `Encoded.coverage` counts both kinds, and evaluation answers them with the
    most frequent tag, so none is silently lost.

    The labels of a regression task are standardised by the task's training split, whichever split is encoded.

    Raises:
        PreflightError: the model reads texts and the examples are vectors, or the other way round.
    """
    if wrong := plm.refusal({task.name: task.form}):
        raise PreflightError(Problem(wrong, f"plm {plm.name}"))
    length = min(length or task.length, plm.positions)
    key = (task.digest, split, plm.digest, length)
    with _LOCK:  # simulated ranks are threads
        if key not in _MEMO:
            while len(_MEMO) >= 64:
                _MEMO.pop(next(iter(_MEMO)))
            _MEMO[key] = (_encode_vectors if plm.width else _encode)(task, split, plm, length)
        return _MEMO[key]


def coverage_facts(splits: Mapping[str, Encoded], plm: PLM) -> dict[str, Any]:
    """The coverage of some splits of one task as JSON values, without the zeros; `analysis.cautions` puts it in words.

    ``length``: where texts are cut; ``positions``: the greatest length of this model; ``side``: what of a long text is
    lost, its ``end`` or its ``start``; ``splits``: split -> the numbers of `Coverage`.
    """
    first = next(iter(splits.values()))
    return {
        "form": "tagging" if first.kind == "tagging" else "pair" if first.pair else "single",
        "length": first.length,
        "positions": plm.positions,
        "side": "start" if first.start_is_cut else "end",
        "splits": {s: {k: n for k, n in asdict(e.coverage).items() if n} for s, e in splits.items()},
    }


@dataclass(frozen=True)
class _Tokens:
    """One example after the tokenizer. `words` has for each piece the number of its word, None for special tokens."""

    ids: list[int]
    types: list[int]
    words: Sequence[int | None] = ()


def _tokenised(tok: Any, form: str, examples: Sequence[Example], length: int | None) -> Iterator[_Tokens]:
    """The examples as word pieces, special tokens included; cut to `length`, or whole for None."""
    cut = {"truncation": True, "max_length": length} if length else {"truncation": False, "verbose": False}
    options: dict[str, Any] = {**cut, "return_token_type_ids": True}
    if not examples:
        return
    if form == "tagging":
        before = _before_words(tok)
        out = tok([[before + w for w in e.tokens] for e in examples], is_split_into_words=True, **options)
    elif form == "pair":
        out = tok([e.text for e in examples], [e.pair or "" for e in examples], **options)
    else:
        out = tok([e.text for e in examples], **options)
    for i in range(len(examples)):
        words = {"tagging": out.word_ids, "pair": out.sequence_ids}.get(form, lambda _: ())(i)
        yield _Tokens(out["input_ids"][i], out["token_type_ids"][i], words)


def _before_words(tok: Any) -> str:
    """What has to stand before each word of a list so that it is cut as within a text: nothing, or a space.

    A tokenizer over bytes (RoBERTa's, ModernBERT's) takes the space before a word for a part of it, and a word without
    one for the end of another word.
    """
    text = tok("the cat", add_special_tokens=False)["input_ids"]
    for before in ("", " "):
        words = tok([[before + "the", before + "cat"]], is_split_into_words=True, add_special_tokens=False)
        last = [i for i, word in zip(words["input_ids"][0], words.word_ids(0), strict=True) if word == 1]
        if last == text[len(text) - len(last) :]:
            return before
    return ""


def _encode(task: Task, split: str, plm: PLM, length: int) -> Encoded:
    tok, examples = tokenizer(plm), task.splits[split]
    all_tokens = list(_tokenised(tok, task.form, examples, None))
    long = [i for i, t in enumerate(all_tokens) if len(t.ids) > length]
    cut_tokens = list(all_tokens)
    for i, t in zip(long, _tokenised(tok, task.form, [examples[i] for i in long], length), strict=True):
        cut_tokens[i] = t
    offsets = np.concatenate([[0], np.cumsum([len(t.ids) for t in cut_tokens])])
    index = {c: i for i, c in enumerate(task.labels)}
    tags, words = np.full(int(offsets[-1]), IGNORED), np.full(int(offsets[-1]), IGNORED)
    if task.form == "tagging":
        for i, e in enumerate(examples):
            here = slice(offsets[i], offsets[i + 1])
            _place_tags(tags[here], words[here], cut_tokens[i].words, e, index)
    texts = tok([task.text_of(c) for c in task.labels], add_special_tokens=False)["input_ids"] if task.labels else []
    labels, values, unit = _labels(task, examples)
    return Encoded(
        task=task.name,
        kind=task.kind,
        classes=task.labels,
        ids=np.concatenate([np.asarray(t.ids, np.int32) for t in cut_tokens]),
        types=np.concatenate([np.asarray(t.types, np.int32) for t in cut_tokens]),
        offsets=offsets,
        labels=labels,
        values=values,
        tags=tags,
        label_ids=tuple(tuple(t) for t in texts),
        separator=tok.sep_token_id,
        length=length,
        pair=task.form == "pair",
        words=words,
        texts=tuple(task.text_of(c) for c in task.labels),
        unit=unit,
        coverage=_coverage(tok, task.form, examples, all_tokens, cut_tokens),
        start_is_cut=tok.truncation_side == "left",
    )


def _labels(task: Task, examples: Sequence[Example]) -> tuple[NDArray[np.int64], NDArray[np.float64], LabelUnit]:
    """(classes, numbers in standard units, the unit) of examples: what the task has none of is IGNORED, or zero."""
    index = {c: i for i, c in enumerate(task.labels)}
    has_classes = task.kind == "classification"
    classes = np.asarray([index[str(e.label)] if has_classes else IGNORED for e in examples])
    if task.kind != "regression":
        return classes, np.zeros(len(examples)), LabelUnit()
    unit = LabelUnit.of([float(e.label) for e in task.splits["train"]])  # type: ignore[arg-type]
    return classes, unit.standard([float(e.label) for e in examples]), unit  # type: ignore[arg-type]


def _encode_vectors(task: Task, split: str, plm: PLM, length: int) -> Encoded:
    """Vectors as examples of one piece, which has no id and no tag."""
    examples = task.splits[split]
    n = len(examples)
    labels, values, unit = _labels(task, examples)
    return Encoded(
        task=task.name,
        kind=task.kind,
        classes=task.labels,
        ids=np.zeros(n, np.int32),
        types=np.zeros(n, np.int32),
        offsets=np.arange(n + 1),
        labels=labels,
        values=values,
        tags=np.full(n, IGNORED),
        label_ids=((),) * len(task.labels),
        separator=IGNORED,
        length=length,
        pair=False,
        words=np.full(n, IGNORED),
        texts=tuple(task.text_of(c) for c in task.labels),
        unit=unit,
        coverage=Coverage(examples=n),
        vectors=np.array([e.vector for e in examples], np.float64),
    )


def _place_tags(
    tags: NDArray[np.int64],
    numbers: NDArray[np.int64],
    words: Sequence[int | None],
    example: Example,
    index: dict[str, int],
) -> None:
    """Write each word's tag, and its number, at the first of its pieces.

    A tag outside the label set occurs in dev and test only. Its place is marked with the first class so that the word
    is answered; gold tags are always read from the task, so it counts as wrong.
    """
    assert isinstance(example.label, tuple)
    tagged: set[int] = set()
    for at, word in enumerate(words):
        if word is not None and word not in tagged:
            tagged.add(word)
            tags[at], numbers[at] = index.get(example.label[word], 0), word


def _coverage(
    tok: Any, form: str, examples: Sequence[Example], all_tokens: Sequence[_Tokens], cut_tokens: Sequence[_Tokens]
) -> Coverage:
    """How much of these examples is read; of `all_tokens`, `cut_tokens` are those that fit into the length."""
    added = tok.num_special_tokens_to_add(pair=form == "pair")
    pieces = np.array([len(t.ids) for t in all_tokens]) - added
    n_lost = pieces + added - np.array([len(t.ids) for t in cut_tokens])
    special = [i for i in (tok.cls_token_id, tok.sep_token_id, tok.pad_token_id, tok.mask_token_id) if i is not None]
    ids = np.concatenate([np.asarray(t.ids) for t in all_tokens])
    starts = np.concatenate([[0], np.cumsum(pieces + added)[:-1]])
    n_written = np.add.reduceat(np.isin(ids, special).astype(int), starts) - added  # beyond those that frame every text
    unknown = np.add.reduceat((ids == tok.unk_token_id).astype(int), starts)
    numbers = {
        "examples": len(examples),
        "pieces": int(pieces.sum()),
        "longest": int(pieces.max() + added),
        "cut": int((n_lost > 0).sum()),
        "cut_pieces": int(n_lost.sum()),
        "empty": int((pieces == 0).sum()),
        "special": int((n_written > 0).sum()),
        "unknown": int((unknown > 0).sum()),
        "unknown_pieces": int(unknown.sum()),
        "only_unknown": int(((unknown == pieces) & (pieces > 0)).sum()),
    }
    if form == "pair":
        texts = [Counter(t.words) for t in all_tokens]
        words_read = [Counter(t.words) if n else c for t, c, n in zip(cut_tokens, texts, n_lost, strict=True)]
        numbers |= {
            "half_empty": sum((c[0] == 0) != (c[1] == 0) for c in texts),
            "cut_first": sum(c[0] > r[0] for c, r in zip(texts, words_read, strict=True)),
            "cut_second": sum(c[1] > r[1] for c, r in zip(texts, words_read, strict=True)),
        }
    if form == "tagging":
        all_words = [set(t.words) - {None} for t in all_tokens]
        read_words = [set(t.words) - {None} if n else w for t, w, n in zip(cut_tokens, all_words, n_lost, strict=True)]
        numbers |= {
            "words": sum(len(e.tokens) for e in examples),
            "words_without_pieces": sum(len(e.tokens) - len(w) for e, w in zip(examples, all_words, strict=True)),
            "cut_words": sum(len(w) - len(k) for w, k in zip(all_words, read_words, strict=True)),
        }
    return Coverage(**numbers)
