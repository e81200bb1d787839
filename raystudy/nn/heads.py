"""One head for several tasks: the union of their label spaces, in which classes with the same words are one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raystudy.data.text import IGNORED, Batch, Encoded
from raystudy.errors import DataError, Problem, quoted

__all__ = ["Union", "merge", "union"]


@dataclass(frozen=True)
class Union:
    """The classes of several tasks, those with the same words merged.

    Attributes:
        texts: the words of each of the U classes, in the order in which the tasks first name them.
        columns: per task, the place of each of its classes in `texts`.
    """

    texts: tuple[str, ...]
    columns: tuple[tuple[int, ...], ...]

    def labels(self, batch: Batch) -> Tensor:
        """(B,) the place in `texts` of every example's class; IGNORED where it has none."""
        widest = max(map(len, self.columns))
        table = torch.tensor([[*c, *[IGNORED] * (widest - len(c))] for c in self.columns])
        return torch.where(batch.labels == IGNORED, IGNORED, table[batch.task, batch.labels.clamp_min(0)])


def merge(tasks: Iterable[tuple[str, str, Sequence[str]]]) -> Union:
    """The union over tasks, each given by its name, its kind, and the words of its classes in order.

    Raises:
        DataError: every task that is no classification task, and every one with two classes of the same words, which a
            head over words could not tell apart.
    """
    rule = "one head over all labels needs"
    problems: list[Problem] = []
    places: dict[str, int] = {}
    columns = []
    for name, kind, texts in tasks:
        twice = [quoted(t) for t in dict.fromkeys(texts) if list(texts).count(t) > 1]
        if kind != "classification":
            problems.append(Problem(f"{rule} classification tasks, but this is {kind}", f"task {name}"))
        elif twice:
            problems.append(
                Problem(f"{rule} other words for each class, but two are {', '.join(twice)}", f"task {name}")
            )
        columns.append(tuple(places.setdefault(t, len(places)) for t in texts))
    if problems:
        raise DataError(problems)
    return Union(tuple(places), tuple(columns))


def union(parts: Iterable[Encoded]) -> Union:
    """The union of the label spaces of `parts`, by the words of their classes (`Encoded.texts`).

    Raises:
        DataError: as `merge`.
    """
    return merge((p.task, p.kind, p.texts) for p in parts)
