"""Reference rows that transfer nothing: a method below them has not learnt from its tasks.

    majority   the most frequent class of the target's training examples (regression: their mean)
    logistic   multinomial logistic regression on frozen embeddings (mean token state of the untouched PLM; tagging: the
               state of each word's first piece; regression: ridge regression)

Both are written into the target's head, so the common evaluation reads them like any trained head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raystudy.data.text import IGNORED
from raystudy.methods import BaseMethod, Sizes, Stage, Updates
from raystudy.nn.embed import embed

__all__ = ["HParams", "Method"]


@dataclass(frozen=True)
class HParams:
    floor: str = "majority"
    c: float = 1.0


class Method(BaseMethod):
    HParams = HParams

    @classmethod
    def planned(cls, hp: Any, sizes: Sizes, target: str) -> tuple[Updates, Updates]:
        return {}, {"fit": 0}

    def adapt(self) -> list[Stage]:
        return [Stage("fit", self.fit, lambda step: None, lambda step, drawn: {}, steps=0)]

    def fit(self) -> None:
        """Fill the target's head. No updates: a closed form, or scikit-learn's own solver."""
        part = self.setup.corpus.parts[self.setup.target]
        kept = part.tags[part.tags != IGNORED]
        y = {"tagging": kept, "regression": part.values}.get(part.kind, part.labels)
        if self.hp.floor == "majority":
            weight, bias = self._majority(y, part.outputs, part.kind)
        else:
            s = self.setup
            what = "words" if part.kind == "tagging" else "mean"
            x = embed(s.plm, part, what, s.workers, precision=s.precision, device=s.device).double().numpy()
            weight, bias = self._logistic(x, y, part.outputs, part.kind)
        head = self.encoder.head(self.setup.target)
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(weight))
            head.bias.copy_(torch.from_numpy(bias))

    def _majority(self, y: NDArray[Any], outputs: int, kind: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Zero weights; the bias is the mean, or the log of the smoothed class frequencies (ties: the first class)."""
        weight = np.zeros((outputs, self.encoder.body.hidden))
        if kind == "regression":
            return weight, np.array([y.mean()])
        return weight, np.log(np.bincount(y, minlength=outputs) + 1e-3)

    def _logistic(
        self, x: NDArray[np.float64], y: NDArray[Any], outputs: int, kind: str
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        from sklearn.linear_model import LogisticRegression, Ridge

        if kind == "regression":
            ridge = Ridge(alpha=1 / self.hp.c).fit(x, y)
            return ridge.coef_[None], np.atleast_1d(ridge.intercept_)
        seen = np.unique(y)
        weight, bias = np.zeros((outputs, x.shape[1])), np.full(outputs, -1e4)  # a class never seen is never answered
        if len(seen) == 1:
            bias[seen] = 0
            return weight, bias
        model = LogisticRegression(C=self.hp.c, max_iter=1000).fit(x, y)
        if len(seen) == 2:  # scikit-learn keeps one row for two classes
            weight[seen[1]], bias[seen] = model.coef_[0], (0.0, model.intercept_[0])
        else:
            weight[seen], bias[seen] = model.coef_, model.intercept_
        return weight, bias
