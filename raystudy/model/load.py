"""A kept model from its folder, and its answers to texts.

    model = load_model("fit/model")
    model.predict(["a fine film", "two lost hours"])

The answers are those of the evaluation that wrote the record: the same body, pieces, batches and head.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from raystudy.data.plm import PLM, resolve
from raystudy.data.standardise import LabelUnit
from raystudy.data.text import Encoded, encode
from raystudy.errors import ConfigError, DataError, PreflightError, Problem, quoted
from raystudy.evaluate import answers_of, head_logits, softmax
from raystudy.methods import Readout
from raystudy.model.description import Description, read_description
from raystudy.model.library_classes import LIBRARY_CLASSES
from raystudy.nn.adapters import Adapters
from raystudy.nn.encoder import Body, Encoder
from raystudy.nn.mlp import MLP
from raystudy.tasks import Example, Task
from raystudy.workers import Alone

__all__ = ["Answer", "LoadedModel", "load_model"]

Input = str | tuple[str, str] | Sequence[str] | Sequence[float]
_AT_ONCE = 4096  # examples that are tokenised together, so that a long file takes little memory


@dataclass(frozen=True)
class Answer:
    """The answer to one example.

    Attributes:
        answer: a class, a number, or a tag for each word. It is empty where a class of another task is the best.
        probabilities: class -> its probability; none for numbers and tags.
        elsewhere: the probability of all classes that are not the task's, where the head has such.
        of_words: for each word the probability of its tag; None for a word that no model reads.
    """

    answer: str | float | tuple[str, ...]
    probabilities: Mapping[str, float] = field(default_factory=dict)
    elsewhere: float = 0.0
    of_words: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class LoadedModel:
    """A trained model that answers texts.

    Attributes:
        folder: where its files lie.
        description: what it answers and how texts are read.
        encoder: the body with one head, a module of torch in evaluation mode.
    """

    folder: Path
    description: Description
    encoder: Encoder
    plm: PLM

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes or tags that it may answer; none where it answers numbers."""
        return self.description.labels

    def predict(self, inputs: Iterable[Input]) -> list[Answer]:
        """The answers to texts, pairs of texts, lists of words, or vectors of numbers, in their order.

        Raises:
            DataError: an input is not what this model reads, or is empty.
        """
        return self.answers(self.examples(inputs))

    def logits(self, inputs: Iterable[Input]) -> NDArray[np.float64]:
        """(n, C) what the head says of each example; of numbers (n, 1), in their own unit.

        For a tagging model (words, C), one row for each word that is read, in order.
        """
        parts = [self._logits(part)[0] for part in _parts(self.examples(inputs))]
        out = np.concatenate(parts) if parts else np.zeros((0, self.encoder.head(0).out_features))
        return self._unit.in_own_unit(out) if self.description.kind == "regression" else out

    def examples(self, inputs: Iterable[Input]) -> list[Example]:
        """What `predict` reads of its inputs.

        Raises:
            DataError: an input is not what this model reads, or is empty.
        """
        return [_example(self.description, i, x) for i, x in enumerate(inputs)]

    def answers(self, examples: Sequence[Example]) -> list[Answer]:
        """The answers to examples in their order; labels that these have are not looked at."""
        return [a for part in _parts(examples) for a in self._answers(part)]

    def encoded(self, examples: Sequence[Example]) -> Encoded:
        """Examples as the model reads them, tokenised and cut."""
        return encode(self._task(examples), "test", self.plm, self.description.length)

    @property
    def _unit(self) -> LabelUnit:
        return LabelUnit(self.description.mean, self.description.sd)

    def _task(self, examples: Sequence[Example]) -> Task:
        """The examples as a task, each with a label that stands in the place of the one that nobody knows."""
        d = self.description
        labelled = tuple(replace(e, label=_any_label(d, e)) for e in examples)
        metric = {"classification": "accuracy", "regression": "pearson", "tagging": "token_accuracy"}[d.kind]
        return Task(d.task, d.form, d.labels, dict.fromkeys(("train", "dev", "test"), labelled), metric=metric)

    def _logits(self, examples: Sequence[Example]) -> tuple[NDArray[np.float64], Encoded, Task]:
        task = self._task(examples)
        encoded = replace(encode(task, "test", self.plm, self.description.length), unit=self._unit)
        return head_logits(self.encoder, encoded, 0, Alone()), encoded, task

    def _answers(self, examples: Sequence[Example]) -> Iterator[Answer]:
        d = self.description
        logits, encoded, task = self._logits(examples)
        readout = Readout(0, tuple(range(len(d.labels))), open=True) if d.elsewhere else Readout(0)
        told = answers_of(logits, task, "test", encoded, readout, d.unread_tag)
        if d.kind == "regression":
            yield from (Answer(float(x)) for x in told.pred)
        elif told.probabilities is not None:
            for answer, row in zip(told.pred, told.probabilities.tolist(), strict=True):
                probabilities = dict(zip(d.labels, row, strict=False))
                yield Answer(str(answer), probabilities, row[-1] if d.elsewhere else 0.0)
        else:
            best = softmax(logits).max(1)
            next_word = 0
            for i, tags in enumerate(told.pred):
                words = encoded.words_of(i)
                of_words: list[float | None] = [None] * len(tags)
                for word, p in zip(words, best[next_word : next_word + len(words)], strict=True):
                    of_words[word] = float(p)
                next_word += len(words)
                yield Answer(tuple(tags), of_words=tuple(of_words))


def _parts(examples: Sequence[Example]) -> Iterator[Sequence[Example]]:
    yield from (examples[i : i + _AT_ONCE] for i in range(0, len(examples), _AT_ONCE))


def _any_label(d: Description, example: Example) -> str | float | tuple[str, ...]:
    if d.kind == "regression":
        return 0.0
    return (d.labels[0],) * len(example.tokens) if d.kind == "tagging" else d.labels[0]


_READS = {
    "single": "a text",
    "pair": "a pair of texts",
    "tagging": "a list of words",
    "vector": "a list of {n} numbers",
}


def _example(d: Description, index: int, value: Input) -> Example:
    label = d.labels[0] if d.labels else 0.0
    parts = [*value] if isinstance(value, list | tuple | np.ndarray) else []
    texts = all(isinstance(x, str) and x.strip() for x in parts)
    if d.form == "single" and isinstance(value, str) and value.strip():
        return Example(label, text=value)
    if d.form == "pair" and len(parts) == 2 and texts:
        return Example(label, text=str(parts[0]), pair=str(parts[1]))
    if d.form == "tagging" and parts and texts:
        return Example((d.labels[0],) * len(parts), tokens=tuple(map(str, parts)))
    if d.form == "vector" and len(parts) == d.inputs:
        numbers = [float(x) for x in parts if isinstance(x, int | float | np.floating | np.integer)]
        if len(numbers) == len(parts) and np.isfinite(numbers).all():
            return Example(label, vector=tuple(numbers))
    rule = f"must be {_READS[d.form].format(n=d.inputs)}, and not empty"
    raise DataError(Problem(f"{rule}, but is {quoted(value)}", f"input {index}"))


def load_model(folder: str | Path, *, device: str = "cpu") -> LoadedModel:
    """Open the folder of a kept model, whatever kind it is.

    Args:
        folder: the model's folder, or the one that holds it under the name ``model``.
        device: of torch: ``cpu``, ``cuda``.

    Raises:
        ConfigError: it is no folder of a model, or there is no such device. PreflightError: it was written by another
            version, or its files are not those that were written.
    """
    path, d = read_description(folder)
    if device.partition(":")[0] == "cuda" and not torch.cuda.is_available():
        raise PreflightError(Problem("is cuda, but there is no GPU here that torch can use", "device"))
    body: Body | MLP
    if d.width:
        plm = PLM(
            f"mlp:{d.width}", None, f"kept {d.files.get('body.safetensors', '')}", d.task, width=d.width, positions=1
        )
        body = MLP(d.inputs, d.width, 0, precision=d.precision, exact=d.exact)
        body.layer.load_state_dict(load_file(path / "body.safetensors"))
    else:
        place = path if d.in_transformers else path / "encoder"
        plm = resolve.__wrapped__(str(place))  # a folder may be another model than the last time
        body = Body(plm, precision=d.precision, exact=d.exact)
        _restore(body, place / "model.safetensors", d.kind == "tagging", d.in_transformers)
    if d.adapters is not None:
        inside = Adapters(d.adapters.count, body.depth, body.hidden, d.adapters.width, 0.0).to(body.anchor)
        inside.load_state_dict(load_file(path / "adapters.safetensors"))
        inside.use("fused")
        body.inside = inside
    head = load_file(path / "head.safetensors")
    columns = len(d.labels) + d.elsewhere if d.labels else 1
    if head["bias"].shape != (columns,):
        raise ConfigError(
            Problem(f"its head has {len(head['bias'])} columns, and its labels are {columns}", file=str(path))
        )
    encoder = Encoder(body, [columns], [d.kind], d.feature)
    encoder.head(0).load_state_dict({k: v.to(body.anchor) for k, v in head.items()})
    return LoadedModel(path, d, encoder.to(torch.device(device)).eval().requires_grad_(False), plm)


def _restore(body: Body, file: Path, tagging: bool, in_transformers: bool) -> None:
    """Give the body the very numbers of the file.

    The library has read most of them, but not a pooler that its class calls otherwise, and in single precision alone.
    """
    state: dict[str, Any] = load_file(file)
    if in_transformers:
        state = LIBRARY_CLASSES[body.plm.family].body(state, body.model.base_model_prefix, tagging)
    body.model.load_state_dict(state, strict=False)
