"""Class prototypes, and scores of examples made into weights: what Meta-DTL and MFT share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from raystudy.errors import DataError, Problem

__all__ = ["class_means", "instance_weights", "spread", "sub_prototypes"]


def class_means(embeddings: Float[Tensor, "n h"], labels: Int[Tensor, "n"], classes: int) -> Float[Tensor, "classes h"]:
    """Prototypes: the mean embedding of each class; NaN for an empty class."""
    total = embeddings.new_zeros(classes, embeddings.shape[1]).index_add(0, labels, embeddings)
    return total / torch.bincount(labels, minlength=classes)[:, None].to(embeddings)


def sub_prototypes(
    embeddings: Float[Tensor, "n h"], labels: Int[Tensor, "n"], classes: int, count: int
) -> Float[Tensor, "classes count h"]:
    """`count` prototypes per class: the centres of K-means within the class; for one, its mean.

    A class with fewer different examples has as many prototypes as these, the rest is NaN.
    """
    if count == 1:
        return class_means(embeddings, labels, classes)[:, None]
    from sklearn.cluster import KMeans

    out = embeddings.new_full((classes, count, embeddings.shape[1]), torch.nan)
    for c in range(classes):
        own = embeddings[labels == c]
        n = min(count, len(np.unique(own.numpy(), axis=0)))
        if n:
            found = KMeans(n, n_init=4, random_state=0).fit_predict(own.double().numpy())
            # the mean once more: the centres' last digits depend on the order in which threads added to them
            out[c, :n] = class_means(own, torch.from_numpy(found).long(), n)
    return out


def instance_weights(
    scores: Sequence[Float[Tensor, "_"]], policy: str, tasks: Sequence[str], symbol: str
) -> list[Float[Tensor, "_"]]:
    """Scores of the training examples, per task, as weights of their losses.

    Args:
        policy: ``raw`` = as they are; ``clip0`` = negative ones become zero; ``mean1`` = clipped, then rescaled to mean
            1 over all examples, which separates weighting from a change of learning rate.
        tasks: the names of the tasks, and `symbol`: what the paper calls the score; both for the refusal.

    Raises:
        DataError: a raw score that is not positive. Its loss would be unbounded below.
    """
    if policy == "raw" and any(bad := [int((s <= 0).sum()) for s in scores]):
        counts = ", ".join(f"{n} of {len(s)} in {t}" for n, s, t in zip(bad, scores, tasks, strict=True) if n)
        raise DataError(
            Problem(
                f"{symbol} must be positive, but is not for {counts}; below zero the loss is unbounded. "
                "Choose weights: clip0 (negative weights become zero) or mean1 (clipped, then rescaled to mean 1)",
                "weights",
            )
        )
    kept = [s.clamp_min(0) for s in scores]
    if policy == "mean1":
        scale = sum(len(s) for s in kept) / torch.cat(kept).sum().clamp_min(1e-12)
        kept = [s * scale for s in kept]
    return kept


def spread(scores: Tensor) -> dict[str, float]:
    """Mean, least and greatest: what a weighting by these scores could do at all."""
    return {"mean": float(scores.mean()), "min": float(scores.min()), "max": float(scores.max())}
