"""Classifies words of tagged sentences, each by the vectors of its window: TAWT's experiment with a weight per example.

`word_vectors/NAME` is made of the tagged data set NAME, one of this package or a folder of your own. Its examples are
words, and their vectors are for a network over vectors, ``plm: mlp:WIDTH`` (Chen et al. 2022, appendix B and Figure 2).

    words     those whose tag is among `tags`: by default all tags but O
    class     the type of the span that the tag is of: B-person and I-person are person; a tag of no span is a class
    vector    the embeddings of the `window` words around a word, one behind the other: two before it, it, and two
              behind it, with the default of five; zeros beyond the ends of the sentence and for a word without one
    embeddings    ``minilm`` or the folder of another pre-trained model, whose table of word pieces is read (a word is
              the mean of its pieces, and the table is divided by one number, so that its mean square is 1); or a file
              of GloVe's format, whose numbers are taken as they are. Relative to the data root

Where the paper is silent (and what was chosen):
    5-gram features   the five embeddings side by side, not their sum
    which words       of more than `most` words of a split, as many at random, by the names of the data set and the
                      split alone; a study draws its training words from these
    the dev split     as published; the paper's words of its own
The paper has 50-dimensional GloVe embeddings, and 18 types of names and 50 parts of speech in OntoNotes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from raystudy.errors import ConfigError, DataError, Problem, quoted, unknown_name
from raystudy.tasks import SPLITS, Example, Task
from raystudy.tasks import load as load_task
from raystudy.tasks._card import refuse_options
from raystudy.tasks._embeddings import place_of, read_vectors

__all__ = ["WordOptions", "load"]

WIDEST = 21  # words of a window
AT = "task_options.word_vectors"


@dataclass(frozen=True)
class WordOptions:
    """The options; give the tasks of a study, which one network reads, the same ones.

    Attributes:
        embeddings: ``minilm``, the folder of a model, or a file of GloVe's format.
        window: words around a word, itself among them; odd.
        tags: data set -> the tags whose words are examples.
        most: words of each split.
        read: data set -> the options that it is read with, as ``task_options`` would give them.
    """

    embeddings: str = "minilm"
    window: int = 5
    tags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    most: int = 4_000
    read: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ConfigError for every option of the wrong type or out of range."""
        wrong: dict[str, str] = {}
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        if not isinstance(values["embeddings"], str) or not self.embeddings.strip():
            wrong["embeddings"] = "must be minilm, the folder of a model or a file of GloVe's format"
        if type(self.window) is not int or not 1 <= self.window <= WIDEST or self.window % 2 == 0:
            wrong["window"] = f"must be an odd number of words from 1 to {WIDEST}"
        if type(self.most) is not int or not 1 <= self.most <= 10**6:
            wrong["most"] = "must be a whole number from 1 to 1000000"
        tags = values["tags"]
        if not isinstance(tags, Mapping) or not all(_are_texts(v) for v in tags.values()):
            wrong["tags"] = "must give data sets lists of their tags ({ud_ewt_upos: [PROPN, NOUN]})"
        read = values["read"]
        if not isinstance(read, Mapping) or not all(isinstance(v, Mapping) for v in read.values()):
            wrong["read"] = "must give data sets their options ({ud_ewt_upos: {without: [wnut17]}})"
        if wrong:
            raise ConfigError(
                Problem(f"{rule}, but is {quoted(values[name])}", f"{AT}.{name}") for name, rule in wrong.items()
            )


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(v, str) for v in value)


def load(part: str = "", *, root: Path | None = None, **options: Any) -> Task:
    """The words of the tagged data set `part`.

    Args:
        root: the data root, in which the data set is looked for, and the embeddings.
        options: see `WordOptions`.

    Raises:
        ConfigError: no data set is named, an unknown option, or one that is wrong.
        UserError: whatever reading the data set raises; it holds no tags, or no words of two classes; the embeddings
            are missing or unfit.
    """
    refuse_options("word_vectors", options, [f.name for f in fields(WordOptions)])
    of = WordOptions(**options)
    if not part:
        rule = "name the tagged data set whose words are meant, such as word_vectors/wnut17"
        raise ConfigError(Problem(rule, "task word_vectors"))
    source = load_task(part, root=root, options=of.read.get(part.partition("/")[0]))
    if source.kind != "tagging":
        raise DataError(Problem(f"must be made of tagged sentences, but {part} is none", f"task word_vectors/{part}"))
    asked = _tags(source, part, of)
    place = place_of(of.embeddings, root, f"{AT}.embeddings")
    state = place.stat()
    from_where = _Embeddings(place, of.embeddings, (state.st_mtime_ns, state.st_size))
    return _made(_Read(source, part), asked, of.window, of.most, from_where)


@dataclass(frozen=True)
class _Embeddings:
    """What the option names, where it lies, and its time and size, so that a file that was changed is read again."""

    place: Path
    name: str
    state: tuple[int, int]


@dataclass(frozen=True)
class _Read:
    """A task that was read; two are one where their content is."""

    task: Task = field(compare=False)
    part: str
    digest: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", self.task.digest)


def _tags(source: Task, part: str, of: WordOptions) -> tuple[str, ...]:
    """The tags whose words are examples, in the order of the data set.

    Raises:
        ConfigError: the data set has no such tag.
    """
    asked = of.tags.get(part)
    if asked is None:
        return tuple(tag for tag in source.labels if tag != "O")
    if strange := [tag for tag in asked if tag not in source.labels]:
        raise ConfigError(Problem(unknown_name("tag", t, source.labels), f"{AT}.tags.{part}") for t in strange)
    return tuple(tag for tag in source.labels if tag in asked)


@lru_cache(maxsize=8)
def _made(read: _Read, tags: tuple[str, ...], window: int, most: int, embeddings: _Embeddings) -> Task:
    """The task with the words of these tags; the same once more costs nothing."""
    source, part = read.task, read.part
    spans = source.metric == "span_f1"
    class_of = {tag: (tag.partition("-")[2] or tag) if spans else tag for tag in tags}
    chosen = {split: _chosen(source, part, split, class_of, most) for split in SPLITS}
    half = window // 2
    around = {
        source.splits[split][i].tokens[j]
        for split, words in chosen.items()
        for i, at in words
        for j in range(max(0, at - half), min(len(source.splits[split][i].tokens), at + half + 1))
    }
    vectors = read_vectors(embeddings.place, embeddings.name, around, f"{AT}.embeddings")
    nothing = (0.0,) * vectors.length

    def example(split: str, i: int, at: int) -> Example:
        sentence = source.splits[split][i]
        tokens = sentence.tokens
        known = (
            vectors.of.get(tokens[j], nothing) if 0 <= j < len(tokens) else nothing
            for j in range(at - half, at + half + 1)
        )
        assert isinstance(sentence.label, tuple)
        return Example(class_of[sentence.label[at]], vector=tuple(x for v in known for x in v))

    unknown = sum(1 for w in around if w not in vectors.of)
    all_words = {s: sum(tag in class_of for e in source.splits[s] for tag in _tags_of(e)) for s in SPLITS}
    cut = ", ".join(f"{most} of {n} in {s}" for s, n in all_words.items() if n > most)
    size = f"{window * vectors.length} numbers"
    notes = [
        f"words of {part} tagged {', '.join(tags)}; vectors of {window} words from {vectors.about}, {size}",
        *vectors.notes,
        *([f"{unknown} of {len(around)} different words have no vector and are zeros"] if unknown else []),
        *([f"of its words as many are read, drawn evenly: {cut}"] if cut else []),
        *source.notes,
    ]
    return Task(
        name=f"word_vectors/{part}",
        form="vector",
        labels=tuple(dict.fromkeys(class_of.values())),
        splits={s: tuple(example(s, i, at) for i, at in words) for s, words in chosen.items()},
        metric="accuracy",
        metrics=("macro_f1",),
        source=source.source,
        licence=source.licence,
        notes=tuple(notes),
    )


def _tags_of(example: Example) -> tuple[str, ...]:
    assert isinstance(example.label, tuple)
    return example.label


def _chosen(source: Task, part: str, split: str, class_of: Mapping[str, str], most: int) -> list[tuple[int, int]]:
    """(sentence, word) of the examples of a split, in their order."""
    words = [
        (i, at) for i, e in enumerate(source.splits[split]) for at, tag in enumerate(_tags_of(e)) if tag in class_of
    ]
    if len(words) <= most:
        return words
    digest = hashlib.blake2b(f"word_vectors/{part}/{split}".encode(), digest_size=16).digest()
    drawn = np.random.default_rng(int.from_bytes(digest)).permutation(len(words))[:most]
    return [words[i] for i in sorted(drawn)]
