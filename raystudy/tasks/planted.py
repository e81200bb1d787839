"""Generates tasks whose true relation to one another is known, for tests and for the `smoke` study.

One option, `relatedness`, turns the relation between two tasks from "the same" to "none". So it is known in advance
whether a method that transfers knowledge should help.

**The law.** There are `TOPIC_WORDS` words with a meaning; the other words have none. In the target's world every topic
word belongs to one of K latent classes (K = the larger of `classes` and `source_classes`; K = 2 for pairs), equally
many words to each, chosen by `seed`. A text holds topic words, more than half of them from its latent class, among
words without meaning. In the source's world a fraction `relatedness` of each class's words keeps its class; the others
are dealt out evenly over all K classes. Texts and labels of the source follow the source's world.

- ``target``, ``source``: the label names the latent class (modulo the number of classes).
- ``pair_target``, ``pair_source``: the label says how many of the two texts belong to the second of K = 2 latent
  classes (none, one, both); with two classes: at most one, or both. Neither text alone decides, and the order does not
  matter. (Whether two texts agree would be the parity of their classes, which a small model does not learn from some
  hundred examples; this sum it learns.)
- ``tag_target``, ``tag_source``: runs of topic words of one class are spans, ``B-`` and ``I-`` the class's name; words
  without meaning are ``O`` and stand between any two spans.
- ``vector_target``, ``vector_source``: the tasks ``target`` and ``source`` for a network over vectors. An example says
  how often each topic word stands in such a text, `TOPIC_WORDS` numbers.
- ``domain_1`` .. ``domain_4``: the target's task in four worlds, with the target's label names and examples of their
  own. ``domain_1`` lies in the target's world. In the others the same fraction `relatedness` of each class's words
  keeps its class, the same words in all of them; the rest of each class is shuffled by `seed` and the domain's number
  and dealt out evenly over all K classes.

With relatedness 1 the source is the same task with other label names: `label_map` answers the target. With 0 each word
class of the target is spread evenly over those of the source, so that the source, though as learnable, says nothing
about the target: a perfect source classifier is at chance. No label is noise at any relatedness.

Of the topic words a fraction r + (1 - r) / K has the class of ``domain_1`` in any other domain too, up to one word in
each class (r = `relatedness`, rounded to whole words). For two of the other domains that is the expectation over
`seed`. So an example is typical of all domains as far as it is made of kept words, and with relatedness 1 all domains
are one world.

Everything is a pure function of the options. Examples are distinct over all splits, labels are balanced.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from raystudy.errors import ConfigError, Problem, quoted
from raystudy.tasks import SPLITS, Example, Form, Task
from raystudy.tasks._card import refuse_options, refuse_part

__all__ = ["DOMAINS", "LABEL_MAP", "PARTS", "VECTORS", "VOCABULARY", "PlantedOptions", "label_map", "load", "meanings"]

DOMAINS = ("domain_1", "domain_2", "domain_3", "domain_4")
PARTS = ("target", "source", "pair_target", "pair_source", "tag_target", "tag_source", *DOMAINS)
VECTORS = ("vector_target", "vector_source")  # no model reads texts and vectors, so `planted/*` does not mean them
FORMS: Mapping[str, Form] = {"": "single", "vector": "vector", "pair": "pair", "tag": "tagging"}
MOST_CLASSES = 6
PAIR_LATENT = 2
TOPIC_WORDS = 60  # divisible by every number of classes up to 6
MEANINGLESS = 140
LONGEST_SPAN = 3
PIECES = 4  # a real tokenizer cuts w017 into up to four pieces; nothing must be cut off

# The sorted order of the source's names is not that of the target's, so equal columns of two heads mean different
# things.
TARGET_NAMES = ("amber", "birch", "coral", "dune", "ember", "fern")
SOURCE_NAMES = ("zinc", "gold", "iron", "tin", "brass", "lead")
TARGET_COUNTS = ("none", "one", "both")
SOURCE_COUNTS = ("never", "once", "twice")

WORDS = tuple(f"w{i:03d}" for i in range(TOPIC_WORDS + MEANINGLESS))
# All that any planted task or its labels may say: a tokenizer built from these words needs no unknown token.
VOCABULARY: tuple[str, ...] = (*WORDS, *TARGET_NAMES, *SOURCE_NAMES, *TARGET_COUNTS, *SOURCE_COUNTS)
# source label -> target label, when both tasks have equally many classes
LABEL_MAP: Mapping[str, str] = dict(zip((*SOURCE_NAMES, *SOURCE_COUNTS), (*TARGET_NAMES, *TARGET_COUNTS), strict=True))


@dataclass(frozen=True)
class PlantedOptions:
    """The options of a planted task. The same options give a target, a source and domains that belong together.

    Attributes:
        relatedness: fraction of the topic words that keep their meaning in the source, and in each domain but the
            first; the target and ``domain_1`` do not depend on it.
        classes, source_classes: of the target and of the source, 2..6; pairs: 2 or 3. For tagging: kinds of spans.
        length: words per text (per sentence for tagging), 6..64.
        seed: of the meanings and the examples; not the seed of a training.
    """

    relatedness: float = 1.0
    classes: int = 3
    source_classes: int = 3
    n_train: int = 400
    n_dev: int = 100
    n_test: int = 400
    length: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ConfigError for every option of the wrong type or out of range."""
        least = {"classes": 2, "source_classes": 2, "n_train": 1, "n_dev": 1, "n_test": 1, "length": 6, "seed": 0}
        most = {"classes": MOST_CLASSES, "source_classes": MOST_CLASSES, "length": 64}
        problems: list[tuple[str, str]] = []
        for name, low in least.items():
            value, high = getattr(self, name), most.get(name, 10**6)
            if type(value) is not int or not low <= value <= high:
                problems.append((name, f"{name} must be a whole number from {low} to {high}, but is {quoted(value)}"))
        r = self.relatedness
        if isinstance(r, bool) or not isinstance(r, int | float) or not 0 <= r <= 1:
            problems.append(("relatedness", f"relatedness must be a number from 0 to 1, but is {quoted(r)}"))
        if problems:
            raise ConfigError(Problem(p, f"task_options.planted.{name}") for name, p in problems)


def _rng(options: PlantedOptions, *purpose: str) -> np.random.Generator:
    digest = hashlib.blake2b("/".join(("planted", str(options.seed), *purpose)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest))


def _latent(options: PlantedOptions, pair: bool) -> int:
    return PAIR_LATENT if pair else max(options.classes, options.source_classes)


def meanings(options: PlantedOptions, *, source: bool = False, pair: bool = False, domain: int = 1) -> dict[str, int]:
    """topic word -> its latent class, in the world of the target (that of domain 1), of the source, or of a domain."""
    k = _latent(options, pair)
    order = _rng(options, "meanings", str(k)).permutation(TOPIC_WORDS)
    reshuffled = _rng(options, "meanings", str(k), f"domain {domain}") if domain > 1 else None
    world: dict[str, int] = {}
    for c in range(k):
        own = [WORDS[i] for i in order[c::k]]
        n_kept = round(options.relatedness * len(own)) if source or reshuffled else len(own)
        rest = (
            own[n_kept:] if reshuffled is None else [own[n_kept + i] for i in reshuffled.permutation(len(own) - n_kept)]
        )
        world |= dict.fromkeys(own[:n_kept], c)
        # Dealt out from the next class on: with nothing kept, each class gets equally many (up to one) of each other's.
        world |= {w: (c + 1 + j) % k for j, w in enumerate(rest)}
    return world


def label_map(part: str, options: PlantedOptions) -> dict[str, str]:
    """source label -> target label, for the kind of task of `part`.

    Raises:
        ConfigError: the source has fewer classes than the target, so it cannot tell them apart.
    """
    names, others = _names(part, options, source=True), _names(part, options, source=False)
    if len(names) < len(others):
        numbers = f"but has {options.source_classes} for the target's {options.classes}"
        raise ConfigError(Problem(f"the source must have at least as many classes as the target, {numbers}"))
    if part.startswith("pair_"):
        return {name: others[max(0, i - len(names) + len(others))] for i, name in enumerate(names)}
    pairs = {name: others[i % len(others)] for i, name in enumerate(names)}
    if part.startswith("tag_"):
        return {"O": "O"} | {f"{b}-{s}": f"{b}-{t}" for s, t in pairs.items() for b in "BI"}
    return pairs


def _names(part: str, options: PlantedOptions, source: bool) -> tuple[str, ...]:
    """Label names in latent order, without B- and I-."""
    n = options.source_classes if source else options.classes
    if part.startswith("pair_"):
        return (SOURCE_COUNTS if source else TARGET_COUNTS)[3 - n :]
    return (SOURCE_NAMES if source else TARGET_NAMES)[:n]


# ---------------------------------------------------------------------------------------------------------------------
# examples


def _pick(words: Sequence[str], n: int, draw: np.random.Generator) -> list[str]:
    return [words[i] for i in draw.integers(len(words), size=n)]


@dataclass(frozen=True)
class _World:
    """The meanings of words from which the examples of one part are made."""

    by_class: tuple[tuple[str, ...], ...]  # latent class -> its topic words
    names: tuple[str, ...]
    length: int

    @cached_property
    def others(self) -> tuple[tuple[str, ...], ...]:
        """Latent class -> the topic words of all other classes."""
        classes = range(len(self.by_class))
        return tuple(tuple(w for c in classes if c != latent for w in self.by_class[c]) for latent in classes)

    def text(self, latent: int, draw: np.random.Generator) -> str:
        """Half of the words have a meaning, and more than half of those belong to `latent`."""
        topical = self.length // 2
        major = topical // 2 + 1
        words = [
            *_pick(self.by_class[latent], major, draw),
            *_pick(self.others[latent], topical - major, draw),
            *_pick(WORDS[TOPIC_WORDS:], self.length - topical, draw),
        ]
        return " ".join(words[i] for i in draw.permutation(self.length))

    def single(self, label: int, draw: np.random.Generator) -> Example:
        latents = range(label, len(self.by_class), len(self.names))
        return Example(self.names[label], text=self.text(int(draw.choice(latents)), draw))

    def vector(self, label: int, draw: np.random.Generator) -> Example:
        """A single text as the counts of its topic words."""
        counts = Counter(self.single(label, draw).text.split())
        return Example(self.names[label], vector=tuple(float(counts[w]) for w in WORDS[:TOPIC_WORDS]))

    def pair(self, label: int, draw: np.random.Generator) -> Example:
        least = len(TARGET_COUNTS) - len(self.names)  # with two names, the first stands for none and for one
        count = least + label if label else int(draw.integers(least + 1))
        first = int(draw.integers(2)) if count == 1 else count // 2
        second = count - first
        return Example(self.names[label], text=self.text(first, draw), pair=self.text(second, draw))

    def tagged(self, label: int, draw: np.random.Generator) -> Example:
        """Spans of one to three words with one to three meaningless words before each; the first span is `label`'s."""
        tokens: list[str] = []
        tags: list[str] = []
        latent = int(draw.choice(range(label, len(self.by_class), len(self.names))))
        while len(tokens) < self.length:
            between, within = (int(n) for n in draw.integers(1, LONGEST_SPAN + 1, size=2))
            tokens += _pick(WORDS[TOPIC_WORDS:], between, draw) + _pick(self.by_class[latent], within, draw)
            name = self.names[latent % len(self.names)]
            tags += ["O"] * between + [f"B-{name}"] + [f"I-{name}"] * (within - 1)
            latent = int(draw.integers(len(self.by_class)))
        return Example(tuple(tags[: self.length]), tokens=tuple(tokens[: self.length]))


def _distinct(
    options: PlantedOptions, part: str, make: Callable[[int, np.random.Generator], Example], n_labels: int
) -> dict[str, tuple[Example, ...]]:
    """The splits, no text twice. Test first: the number of training examples changes nothing but train."""
    seen: set[tuple[Any, ...]] = set()
    splits: dict[str, tuple[Example, ...]] = {}
    for split in reversed(SPLITS):
        draw = _rng(options, part, split)
        splits[split] = tuple(_fresh(getattr(options, f"n_{split}"), seen, make, n_labels, draw))
    return splits


def _fresh(
    n: int,
    seen: set[tuple[Any, ...]],
    make: Callable[[int, np.random.Generator], Example],
    n_labels: int,
    draw: np.random.Generator,
) -> Iterator[Example]:
    for label in draw.permutation(np.arange(n) % n_labels):
        for _ in range(100):
            example = make(int(label), draw)
            key = (example.text, example.pair, example.tokens, example.vector)
            if key not in seen:
                break
        else:
            rule = "length must leave room for that many different examples"
            raise ConfigError(Problem(f"{rule}, but {len(seen)} were found", path="task_options.planted.length"))
        seen.add(key)
        yield example


def load(part: str = "", *, root: Path | None = None, **options: Any) -> Task:
    """The generated task `part`, one of `PARTS` or `VECTORS`.

    Args:
        root: not read.
        options: see `PlantedOptions`; give tasks that belong together the same ones.

    Raises:
        ConfigError: no such part, an unknown option, or one of the wrong type or out of range.
    """
    refuse_part("planted", part, (*PARTS, *VECTORS))
    known = [f.name for f in fields(PlantedOptions)]
    wrong: list[Problem] = []
    for check in (
        lambda: refuse_options("planted", options, known),
        lambda: PlantedOptions(**{k: v for k, v in options.items() if k in known}),
    ):
        try:
            check()
        except ConfigError as e:
            wrong += e.problems
    if wrong:
        raise ConfigError(wrong)
    return _made(part, PlantedOptions(**options))


@lru_cache(maxsize=32)  # a plan and its cells ask for the same tasks again and again
def _made(part: str, asked: PlantedOptions) -> Task:
    """The task `part` with these options.

    Raises:
        ConfigError: options that do not go together.
    """
    domain = DOMAINS.index(part) + 1 if part in DOMAINS else 1
    form, _, role = ("", "", "target") if part in DOMAINS else part.rpartition("_")
    source, pair = role == "source", form == "pair"
    if pair and max(asked.classes, asked.source_classes) > len(TARGET_COUNTS):
        rule = f"classes and source_classes of pairs must be 2 or {len(TARGET_COUNTS)}"
        values = f"but are {asked.classes} and {asked.source_classes}"
        raise ConfigError(Problem(f"{rule}, {values}", path="task_options.planted"))
    class_of = meanings(asked, source=source, pair=pair, domain=domain)
    k = _latent(asked, pair)
    names = _names(part, asked, source)
    world = _World(tuple(tuple(w for w in sorted(class_of) if class_of[w] == c) for c in range(k)), names, asked.length)
    make = {"": world.single, "vector": world.vector, "pair": world.pair, "tag": world.tagged}[form]
    labels = tuple(sorted(names))
    if form == "tag":
        labels = ("O", *(f"{b}-{name}" for name in labels for b in "BI"))
    relation = f", relatedness {asked.relatedness:g}" if source or domain > 1 else ""
    return Task(
        name=f"planted/{part}",
        form=FORMS[form],
        labels=labels,
        splits=_distinct(asked, part, make, len(names)),
        metric="span_f1" if form == "tag" else "accuracy",
        metrics=("token_accuracy",) if form == "tag" else ("macro_f1",),
        length=min(512, PIECES * asked.length * (2 if pair else 1) + (3 if pair else 2)),
        source="generated",
        licence="none needed",
        notes=(f"{k} latent classes over {TOPIC_WORDS} words with a meaning, seed {asked.seed}{relation}",),
    )
