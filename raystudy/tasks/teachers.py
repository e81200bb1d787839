"""Generates tasks of vectors whose distance from one another is known: the simulation of TAWT's Figure 3.

A teacher is a network that has learned labelled vectors by heart, and its task is to answer as it does (Chen et al.
2022, appendix B). The teachers of two tasks saw the same vectors, but a fraction q of the labels was drawn anew for one
of them. So the fraction q says how far apart the two tasks are.

    D           `examples` vectors of `inputs` numbers from U(-0.5, 0.5), each with a class, drawn evenly
    D_q         D, the classes of a fraction q of the vectors drawn anew, which may give the old one
    M_q         the teacher: two layers, `width` ReLU units, trained until it answers all of D_q as D_q does
    T_q         vectors with the answers of M_q
    target      T_0: the last `n_test` vectors are test, those before them dev, all others train
    flip_25     T_q with q = 25 per cent: the source. All vectors are train, those of the target's dev and test too

Where the paper is silent (and what was chosen):
    whose vectors   T_q has those of D itself. A teacher answers these as D_q does, by what M_q is: so it need not be
                    trained, and its labels are the same on every machine. With `fresh: true` every task has vectors of
                    its own, drawn anew, and teachers are trained. A teacher that has learned random classes by heart
                    says nothing of other vectors, and there no order of q is to be seen
    test            other vectors of D than the target's train, among which the source's are: what a source with q = 0
                    says of the test split is therefore right. This is what the figure's order rests on
    D_q for two q   the smaller set of changed labels lies in the larger one, and a vector's new class is the same
    training        Adam at 3e-3 on batches of 100, with biases, until all answers are right and the mean loss is below
                    0.01

Everything is a pure function of the options and is kept in memory. The paper has 1000 numbers to a vector and a width
of 4096; the defaults are smaller.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raystudy.errors import ConfigError, DataError, Problem, quoted
from raystudy.tasks import Example, Task
from raystudy.tasks._card import refuse_options, refuse_part

__all__ = ["PARTS", "Teacher", "TeacherOptions", "labels_of", "load", "teacher"]

PARTS = ("target", "flip_0", "flip_25", "flip_50", "flip_75", "flip_100")
MOST_EPOCHS = 3000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class TeacherOptions:
    """The options of the simulation. The same options give a target and sources that belong together.

    Attributes:
        inputs: numbers of a vector.
        width: hidden units of a teacher; read only with `fresh`.
        examples: vectors of D.
        n_dev, n_test: of these, the target's.
        fresh: whether the vectors of every task are others than those of D, and teachers label them.
        seed: of vectors, labels and teachers; not the seed of a training.
    """

    inputs: int = 200
    width: int = 512
    examples: int = 10_000
    classes: int = 10
    n_dev: int = 500
    n_test: int = 1_000
    fresh: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ConfigError for every option of the wrong type or out of range."""
        bounds = {"inputs": (1, 10_000), "width": (1, 65_536), "examples": (3, 10**6), "classes": (2, 100)}
        bounds |= {"n_dev": (1, 10**6), "n_test": (1, 10**6), "seed": (0, 10**6)}
        wrong: dict[str, str] = {}
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                wrong[name] = f"{name} must be a whole number from {low} to {high}, but is {quoted(value)}"
        fresh: Any = self.fresh
        if not isinstance(fresh, bool):
            wrong["fresh"] = f"fresh must be true or false, but is {quoted(fresh)}"
        if not wrong and self.n_dev + self.n_test >= self.examples:
            count = self.n_dev + self.n_test
            wrong["examples"] = f"examples must be more than n_dev and n_test, {count}, but is {self.examples}"
        if wrong:
            raise ConfigError(Problem(text, f"task_options.teachers.{name}") for name, text in wrong.items())

    @property
    def names(self) -> tuple[str, ...]:
        """The classes."""
        return tuple(f"{c:02d}" if self.classes > 10 else str(c) for c in range(self.classes))


def _rng(options: TeacherOptions, *purpose: str) -> np.random.Generator:
    digest = hashlib.blake2b("/".join(("teachers", str(options.seed), *purpose)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest))


def vectors_of(options: TeacherOptions, whose: str) -> Floats:
    """(examples, inputs): those of D, or fresh ones for a task."""
    return _rng(options, "vectors", whose).uniform(-0.5, 0.5, (options.examples, options.inputs))


def labels_of(options: TeacherOptions, percent: int) -> Ints:
    """(examples,) the classes of D_q, q in per cent."""
    n = options.examples
    labels = _rng(options, "labels").integers(options.classes, size=n)
    changed = _rng(options, "changed").permutation(n)[: round(n * percent / 100)]
    labels[changed] = _rng(options, "new labels").integers(options.classes, size=n)[changed]
    return labels


# ---------------------------------------------------------------------------------------------------------------------
# a teacher


@dataclass(frozen=True)
class Teacher:
    """Two layers: `hidden` (inputs + 1, width) and `output` (width + 1, classes), the last row of each a bias."""

    hidden: Floats
    output: Floats

    def logits(self, x: Floats) -> Floats:
        """(n, classes) for vectors (n, inputs)."""
        return np.asarray(_with_one(np.maximum(_with_one(x) @ self.hidden, 0)) @ self.output)

    def answers(self, x: Floats) -> Ints:
        """(n,) its class of each vector."""
        return np.asarray(self.logits(x).argmax(1))


def _with_one(x: Floats) -> Floats:
    return np.column_stack([x, np.ones(len(x))])


def teacher(options: TeacherOptions, percent: int) -> Teacher:
    """M_q, trained on D_q until it knows it by heart.

    Raises:
        DataError: it is too small for that.
    """
    x, y = vectors_of(options, "D"), labels_of(options, percent)
    # every teacher starts from the same weights, so that two with the same labels are one
    start = _rng(options, "teacher")
    bounds = options.inputs**-0.5, options.width**-0.5
    theta = [
        start.uniform(-bounds[0], bounds[0], (options.inputs + 1, options.width)),
        start.uniform(-bounds[1], bounds[1], (options.width + 1, options.classes)),
    ]
    moments = [[np.zeros_like(p), np.zeros_like(p)] for p in theta]
    one_hot, batches, step = np.eye(options.classes)[y], _rng(options, "batches"), 0
    for _ in range(MOST_EPOCHS):
        order = batches.permutation(len(x))
        for at in (order[i : i + 100] for i in range(0, len(x), 100)):
            step += 1
            for p, g, m in zip(theta, _gradient(theta, x[at], one_hot[at]), moments, strict=True):
                m[0] += 0.1 * (g - m[0])
                m[1] += 0.001 * (g * g - m[1])
                p -= 3e-3 * (m[0] / (1 - 0.9**step)) / (np.sqrt(m[1] / (1 - 0.999**step)) + 1e-8)
        found = Teacher(*theta)
        logits = found.logits(x)
        if (logits.argmax(1) == y).all() and _loss(logits, y) < 0.01:
            return found
    rule = f"width must let a teacher learn {len(x)} examples by heart"
    raise DataError(
        Problem(f"{rule}, but {options.width} do not in {MOST_EPOCHS} epochs", "task_options.teachers.width")
    )


def _gradient(theta: list[Floats], x: Floats, one_hot: Floats) -> tuple[Floats, Floats]:
    """Of the mean cross-entropy of a batch, for both layers."""
    hidden, output = theta
    x1 = _with_one(x)
    h1 = _with_one(np.maximum(x1 @ hidden, 0))
    logits = h1 @ output
    p = np.exp(logits - logits.max(1, keepdims=True))
    error = (p / p.sum(1, keepdims=True) - one_hot) / len(x)
    back = (error @ output[:-1].T) * (h1[:, :-1] > 0)
    return x1.T @ back, h1.T @ error


def _loss(logits: Floats, y: Ints) -> float:
    """The mean cross-entropy."""
    top = logits.max(1)
    return float(np.mean(np.log(np.exp(logits - top[:, None]).sum(1)) + top - logits[np.arange(len(y)), y]))


# ---------------------------------------------------------------------------------------------------------------------
# tasks


@lru_cache(maxsize=8)
def _vectors(options: TeacherOptions, whose: str) -> tuple[tuple[float, ...], ...]:
    """The vectors as examples have them; the tasks of one D share them."""
    return tuple(map(tuple, vectors_of(options, whose).tolist()))


@lru_cache(maxsize=32)
def _labels(options: TeacherOptions, percent: int, whose: str) -> tuple[str, ...]:
    """The classes of the vectors of a task, by name."""
    if whose == "D":
        found = labels_of(options, percent)
    else:
        found = teacher(options, percent).answers(vectors_of(options, whose))
    return tuple(options.names[c] for c in found)


def load(part: str = "", *, root: Path | None = None, **options: Any) -> Task:
    """The generated task ``target``, or ``flip_N`` with N per cent of the labels drawn anew, 0 to 100.

    Args:
        root: not read.
        options: see `TeacherOptions`; give tasks that belong together the same ones.

    Raises:
        ConfigError: no such part, an unknown option, or one of the wrong type or out of range.
        DataError: a teacher of fresh vectors is too small to be one.
    """
    asked = re.fullmatch(r"flip_(0|[1-9]\d?|100)", part, re.ASCII)
    if asked is None:
        refuse_part("teachers", part, PARTS)
    refuse_options("teachers", options, [f.name for f in fields(TeacherOptions)])
    of = TeacherOptions(**options)
    percent = int(asked[1]) if asked else 0
    whose = ("source" if asked else "target") if of.fresh else "D"
    examples = [Example(c, vector=v) for c, v in zip(_labels(of, percent, whose), _vectors(of, whose), strict=True)]
    n_train = of.examples - of.n_dev - of.n_test
    splits: Mapping[str, list[Example]] = {
        "train": examples if asked else examples[:n_train],
        "dev": examples[n_train : n_train + of.n_dev],
        "test": examples[n_train + of.n_dev :],
    }
    where = "vectors that no teacher saw" if of.fresh else "the vectors that the teacher was trained on"
    notes = [f"{percent} % of the teacher's labels drawn anew; answers to {where}, seed {of.seed}"]
    if asked:
        notes.append("dev and test are a part of train: this is a source, and no target")
    elif not of.fresh:
        notes.append("the vectors of dev and test are in the train split of every source, with the source's labels")
    return Task(
        name=f"teachers/{part}",
        form="vector",
        labels=of.names,
        splits={s: tuple(rows) for s, rows in splits.items()},
        metric="accuracy",
        metrics=("macro_f1",),
        source="generated",
        licence="none needed",
        notes=tuple(notes),
    )
