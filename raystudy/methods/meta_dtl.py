"""Meta-DTL: Meta Distant Transfer Learning (Wang et al. 2021), Algorithm 1.

    E(x, c)      mean of the last layer's token states of the untouched PLM on ``[CLS] x [SEP] c [SEP]``
    p_{i,j}      prototype of class j of task i: mean of E(x, c_j) over its training examples        (sec. 3.2)
    alpha(x)     max over p in P~_i of cos(E(x, c(x)), p)      P~_i = the prototypes of all OTHER tasks
    beta(x)      max over p in P~_i of cos(p_{i,c(x)}, p)
    m(x)         (alpha + beta) / 2; constant while training
    L(x)         -sum_{c in C_i} m (1(c = y) + lambda / |C_i|) log tau_c(x)                            (sec. 3.3)
    p(x)         1 / (K |D_i|), so that p(T_i) = 1 / K
    MMT          sum_i |D_i| / |B| updates per epoch; returns the PLM's weights
    TMF          plain fine-tuning of the target from those weights                                    (sec. 3.4)

Where the paper is silent (and what was chosen):
    pooling              mean over real tokens, special tokens among them; `pool: cls` offered
    segment of c         1 (pairs: x1 is 0, x2 and c are 1)
    batches              mixed: each example through its own task's head; drawn with replacement
    reduction            mean over the batch, not over the sum of weights (Algorithm 1 writes a sum)
    heads in TMF         new, since Algorithm 1 returns the PLM alone
    m <= 0               refused under `weights: raw` (the loss would be unbounded below); `clip0` and `mean1` offered
The second term is called a maximum entropy regulariser; as printed it is the cross entropy to the uniform distribution,
so that L = m (1 + lambda) CE(q, tau) is label smoothing with e = lambda / (1 + lambda).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from raystudy.data.draws import epoch_updates, task_mixture
from raystudy.data.text import Batch, Encoded
from raystudy.errors import DataError, Problem
from raystudy.methods import BaseMethod, Setup, Sizes, Stage, Updates
from raystudy.methods import HParams as Shared
from raystudy.nn.embed import embed
from raystudy.nn.losses import smoothed_cross_entropy

__all__ = ["HParams", "Method", "class_means", "meta_knowledge", "weights"]


@dataclass(frozen=True)
class HParams(Shared):
    lambda_: float = 0.1
    mmt_epochs: int = 2
    scores: str = "both"
    class_label: bool = True
    pool: str = "mean"
    weights: str = "raw"


def class_means(embeddings: Float[Tensor, "n h"], labels: Int[Tensor, "n"], classes: int) -> Float[Tensor, "classes h"]:
    """Prototypes: the mean embedding of each class; NaN for an empty class."""
    total = embeddings.new_zeros(classes, embeddings.shape[1]).index_add(0, labels, embeddings)
    return total / torch.bincount(labels, minlength=classes)[:, None].to(embeddings)


def meta_knowledge(
    embeddings: Sequence[Float[Tensor, "_ h"]],
    labels: Sequence[Int[Tensor, "_"]],
    prototypes: Sequence[Float[Tensor, "_ h"]],
) -> list[Float[Tensor, "2 _"]]:
    """alpha and beta of every training example, per task (sec. 3.2).

    Args:
        embeddings: per task (n_i, H). labels: per task (n_i,). prototypes: per task (|C_i|, H); rows of empty classes
            are NaN and take no part.

    Returns:
        per task (2, n_i): alpha(x), beta(x).

    Raises:
        DataError: only one task, so that there is no other task's prototype.
    """
    if len(prototypes) < 2:
        raise DataError(
            Problem("Meta-DTL scores an example by the classes of OTHER tasks, so it needs two tasks", "tasks")
        )
    unit = [F.normalize(p, dim=1) for p in prototypes]
    out = []
    for i, (e, y) in enumerate(zip(embeddings, labels, strict=True)):
        others = torch.cat([p for j, p in enumerate(unit) if j != i])
        others = others[~others.isnan().any(1)]
        alpha = (F.normalize(e, dim=1) @ others.T).max(1).values
        beta = (unit[i] @ others.T).max(1).values[y]
        out.append(torch.stack([alpha, beta]))
    return out


def weights(
    scores: Sequence[Float[Tensor, "2 _"]], which: str, policy: str, tasks: Sequence[str]
) -> list[Float[Tensor, "_"]]:
    """m(x) per task, (n_i,) each, from `meta_knowledge`'s (2, n_i).

    Raises:
        DataError: `policy` is raw and a weight is not positive; the message holds the count and the remedies.
    """
    pick = {"both": lambda s: s.mean(0), "alpha": lambda s: s[0], "beta": lambda s: s[1]}
    m = [torch.ones_like(s[0]) if which == "none" else pick[which](s) for s in scores]
    if policy == "raw" and (bad := [int((x <= 0).sum()) for x in m]) and sum(bad):
        counts = ", ".join(f"{n} of {len(x)} in {t}" for n, x, t in zip(bad, m, tasks, strict=True) if n)
        raise DataError(
            Problem(
                f"m(x) must be positive, but is not for {counts}; a negative weight makes the loss unbounded below. "
                "Choose weights: clip0 (negative weights become zero) or mean1 (clipped, then rescaled to mean 1)",
                "meta_dtl.weights",
            )
        )
    m = [x.clamp_min(0) for x in m]
    if policy == "mean1":
        scale = sum(len(x) for x in m) / torch.cat(m).sum().clamp_min(1e-12)
        m = [x * scale for x in m]
    return m


class Method(BaseMethod):
    HParams = HParams

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        if odd := [t for t, p in zip(setup.tasks, setup.corpus.parts, strict=True) if p.kind != "classification"]:
            raise DataError(
                Problem(f"Meta-DTL is defined for classification tasks, but {', '.join(odd)} is not", "tasks")
            )

    @classmethod
    def planned(cls, hp: Any, sizes: Sizes, target: str) -> tuple[Updates, Updates]:
        mmt = hp.bounded(hp.mmt_epochs * epoch_updates(list(sizes.values()), hp.batch_size))
        return {"mmt": mmt}, {"finetune": cls.finetune_updates(hp, sizes[target])}

    def constants(self) -> dict[str, Tensor]:
        """alpha and beta of every training example, from the untouched PLM. Nothing to compute without scores."""
        if self.hp.scores == "none":
            return {}
        parts: list[Encoded] = [p.with_label_text() if self.hp.class_label else p for p in self.setup.corpus.parts]
        s = self.setup
        e = [embed(s.plm, p, self.hp.pool, s.workers, precision=s.precision, device=s.device) for p in parts]
        y = [torch.from_numpy(p.labels) for p in parts]
        prototypes = [class_means(ei, yi, p.outputs) for ei, yi, p in zip(e, y, parts, strict=True)]
        return {f"scores.{i}": s for i, s in enumerate(meta_knowledge(e, y, prototypes))}

    def m(self) -> list[Tensor]:
        """The weight of every training example, per task."""
        sizes = self.setup.corpus.sizes
        scores = [self.given.get(f"scores.{i}", torch.ones(2, n)) for i, n in enumerate(sizes)]
        return weights(scores, self.hp.scores, self.hp.weights, self.setup.tasks)

    def transfer(self) -> list[Stage]:
        hp, sizes = self.hp, self.setup.corpus.sizes
        steps = hp.bounded(hp.mmt_epochs * epoch_updates(sizes, hp.batch_size))
        m = torch.cat(self.m())
        first = torch.tensor([0, *sizes]).cumsum(0)
        rows = self.draw(task_mixture(sizes, hp.batch_size, "uniform", self.setup.seed, "mmt"))

        def draw(step: int) -> Batch:
            batch = rows(step)
            return batch.weighted(m[first[batch.task] + batch.row])

        loss = partial(self.mean_loss, loss=partial(smoothed_cross_entropy, lambda_=hp.lambda_))
        return [self.supervised("mmt", steps, draw, loss, dict.fromkeys(range(len(sizes)), "mmt"))]

    def facts(self) -> dict[str, Any]:
        """The spread of the scores per task: what the weighting could do at all."""
        out: dict[str, Any] = {}
        for i, task in enumerate(self.setup.tasks):
            if (s := self.given.get(f"scores.{i}")) is None:
                continue
            rows = {"alpha": s[0], "beta": s[1], "m": s.mean(0)}
            out[task] = {
                k: {"mean": float(x.mean()), "min": float(x.min()), "max": float(x.max())} for k, x in rows.items()
            }
        return {"meta_knowledge": out} if out else {}
