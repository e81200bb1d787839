"""The scores by which Meta-DTL and MFT weigh training examples, measured on some tasks before anything is trained.

Both methods weigh each training example by cosines between embeddings of the untouched model: Meta-DTL by m =
(alpha + beta) / 2 (Wang et al. 2021, sec. 3.2), MFT by the typicality t (Wang et al. 2020, eq. 1). Neither paper says
how much these numbers vary, and a score that is the same for all examples weighs nothing. This module measures their
spread, and the Meta-KG: the cosines between all class prototypes, from which beta is read. Both are measured twice: on
the embeddings as they are (``raw``), as in the papers, and without their common mean (``centred``), because the
embeddings of one model share a direction that makes all cosines alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from raystudy.data.plm import PLM
from raystudy.data.text import encode
from raystudy.errors import DataError, Problem
from raystudy.methods.meta_dtl import centre, meta_knowledge, weights
from raystudy.methods.mft import typicality
from raystudy.nn.embed import embed
from raystudy.nn.prototypes import class_means
from raystudy.tasks import Task
from raystudy.workers import Alone

__all__ = ["SPACES", "ExampleScores", "Spread", "effective_share", "knowledge_graph", "measure", "spread_of"]

Space = Literal["raw", "centred"]
SPACES: tuple[Space, ...] = ("raw", "centred")
ALPHA = 0.5  # MFT's balance of the own domain and the others, the paper's value


@dataclass(frozen=True)
class Spread:
    """How one score is spread over the n training examples of one task.

    Attributes:
        score: its name: alpha, beta, m, ``m mean1`` (clipped at 0, then rescaled to mean 1 over all tasks), or t.
        sd: the standard deviation, with n in the denominator.
        p5, p95: the percentiles.
        not_positive: the share of examples with a score of 0 or below, which no loss may be multiplied with.
        within: the share of the variance that lies within classes; the rest only tells classes apart. It is NaN for a
            constant score.
        effective: `effective_share` of the scores as weights.
    """

    task: str
    score: str
    space: Space
    n: int
    mean: float
    sd: float
    least: float
    p5: float
    median: float
    p95: float
    greatest: float
    not_positive: float
    within: float
    effective: float


@dataclass(frozen=True)
class ExampleScores:
    """The Meta-KG and the spread of every score.

    Attributes:
        nodes: (task, words of the class) of each of the C prototypes, task by task.
        cosines: the (C, C) cosines in each space, NaN for a class without an example.
        spreads: the spread of every score, task by task, raw before centred.
        domains: whether all tasks have the same classes, by their words, so that t is defined.
    """

    nodes: tuple[tuple[str, str], ...]
    cosines: Mapping[Space, NDArray[np.float64]]
    spreads: tuple[Spread, ...]
    domains: bool


def measure(tasks: Mapping[str, Task], plm: PLM, length: int | None = None) -> ExampleScores:
    """Embed the training examples of all tasks once and compare them.

    Args:
        tasks: name -> task; its split `train` is measured.
        length: the longest sequence in word pieces; by default each task's own.

    Raises:
        DataError: a task that is not classification, or only one task, so that there is nothing to compare with.
    """
    if other_kinds := [name for name, t in tasks.items() if t.kind != "classification"]:
        raise DataError(Problem("the scores are defined for classification", f"task {name}") for name in other_kinds)
    plain = [encode(t, "train", plm, length) for t in tasks.values()]
    y = [torch.from_numpy(p.labels) for p in plain]
    words = [[t.text_of(c) for c in t.labels] for t in tasks.values()]
    domains = len({frozenset(w) for w in words}) == 1

    def embedded(with_labels: bool) -> dict[Space, list[Tensor]]:
        parts = [p.with_label_text() for p in plain] if with_labels else plain
        e = [embed(plm, p, "mean", Alone()).double() for p in parts]
        return {"raw": e, "centred": centre(e)}

    def means(e: Sequence[Tensor]) -> list[Tensor]:
        return [class_means(ei, yi, len(w)) for ei, yi, w in zip(e, y, words, strict=True)]

    with_label, without = embedded(True), embedded(False) if domains else {}
    cosines: dict[Space, NDArray[np.float64]] = {}
    spreads_of_tasks: list[list[Spread]] = [[] for _ in tasks]
    for space in SPACES:
        e = with_label[space]
        p = means(e)
        cosines[space] = knowledge_graph(p).numpy()
        knowledge = meta_knowledge(e, y, [pi[:, None] for pi in p])
        scores = {
            "alpha": [k[0] for k in knowledge],
            "beta": [k[1] for k in knowledge],
            "m": [k.mean(0) for k in knowledge],
            "m mean1": weights(knowledge, "both", "mean1", list(tasks)),
        }
        if domains:
            scores["t"] = typicality(without[space], y, means(without[space]), ALPHA, words)
        for i, task in enumerate(tasks):
            spreads_of_tasks[i] += [
                spread_of(x[i], y[i], task=task, score=name, space=space) for name, x in scores.items()
            ]
    nodes = tuple((task, c) for task, names in zip(tasks, words, strict=True) for c in names)
    return ExampleScores(nodes, cosines, tuple(s for of_task in spreads_of_tasks for s in of_task), domains)


def knowledge_graph(prototypes: Sequence[Float[Tensor, "_ h"]]) -> Float[Tensor, "c c"]:
    """The Meta-KG: cosines between all prototypes of all tasks (Meta-DTL, sec. 3.2); NaN where one does not exist."""
    unit = F.normalize(torch.cat(list(prototypes)), dim=1)
    return unit @ unit.T


def effective_share(weights: Float[Tensor, "n"]) -> float:
    """(sum w)^2 / sum w^2 / n: how many of n examples, equally weighted, vary a mean as much; negative weights are 0.

    1 for constant weights, k / n where k count alike and the others not at all, NaN where none counts.
    """
    w = weights.clamp_min(0)
    return float(w.sum() ** 2 / (w**2).sum() / len(w))


def spread_of(x: Float[Tensor, "n"], labels: Int[Tensor, "n"], *, task: str, score: str, space: Space) -> Spread:
    """The spread of one score over the examples of one task."""
    of_class = class_means(x[:, None], labels, int(labels.max()) + 1)[labels, 0]
    variance = float(x.var(correction=0))
    # below this, it is rounding: cosines are computed from single precision
    within = float(((x - of_class) ** 2).mean()) / variance if variance > 1e-14 else float("nan")
    p5, median, p95 = (float(q) for q in torch.quantile(x, torch.tensor([0.05, 0.5, 0.95], dtype=x.dtype)))
    return Spread(
        task=task,
        score=score,
        space=space,
        n=len(x),
        mean=float(x.mean()),
        sd=variance**0.5,
        least=float(x.min()),
        p5=p5,
        median=median,
        p95=p95,
        greatest=float(x.max()),
        not_positive=float((x <= 0).double().mean()),
        within=within,
        effective=effective_share(x),
    )
