"""Reference rows that transfer nothing: a method below them has not learnt from its tasks.

    majority   the most frequent class of the target's WHOLE training split, of equals the first in the order of the
               label set (tagging: the most frequent tag; regression: the mean)
    logistic   multinomial logistic regression on frozen embeddings (mean token state of the untouched PLM; tagging: the
               state of each word's first piece; vectors: the random hidden layer; regression: ridge regression), on
               the examples that are drawn

A few-shot draw is balanced over the classes, so that no class is the most frequent one there. Whoever knows that nine
mails of ten are no spam needs no model to be right nine times of ten: that is what `majority` says, and so it alone is
told how frequent the classes are on the whole (`Setup.prior`). What trains sees the drawn examples and nothing else.
Both are written into the target's head, so the common evaluation reads them like any trained head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raystudy.data.text import IGNORED, Encoded
from raystudy.methods import BaseMethod, Length, Schedule, Settings, Sizes, Stage
from raystudy.nn.embed import embed

__all__ = ["HParams", "Method"]


@dataclass(frozen=True)
class HParams(Settings):
    floor: str = "majority"
    c: float = 1.0


class Method(BaseMethod[HParams]):
    @staticmethod
    def knows_prior(hp: HParams) -> bool:
        return hp.floor == "majority"

    @classmethod
    def schedule(cls, hp: HParams, sizes: Sizes) -> Schedule:
        return Schedule(adapt={"fit": Length.plain(0)})

    def adapt(self) -> list[Stage]:
        return [Stage("fit", self.fit, lambda step: None, lambda step, drawn: {}, self.length["fit"])]

    def fit(self) -> None:
        """Fill the target's head. No updates: a closed form, or scikit-learn's own solver."""
        part = self.setup.corpus.parts[self.setup.target]
        if self.hp.floor == "majority":
            weight, bias = self._majority(part)
        else:
            s = self.setup
            kept = part.tags[part.tags != IGNORED]
            y = {"tagging": kept, "regression": part.values}.get(part.kind, part.labels)
            what = "words" if part.kind == "tagging" else "mean"
            # the head that is filled reads the states of this seed's network, where the examples are vectors
            states = embed(s.plm, part, what, s.workers, precision=s.precision, device=s.device, seed=s.seed)
            x = states.double().numpy()
            weight, bias = self._logistic(x, y, part.outputs, part.kind)
        head = self.encoder.head(self.setup.target)
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(weight))
            head.bias.copy_(torch.from_numpy(bias))

    def _majority(self, part: Encoded) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Zero weights; the bias is the mean, or the log of smoothed class frequencies (of equals the first wins)."""
        prior = self.setup.prior
        assert prior is not None, "majority is told the prior of the whole training split"
        weight = np.zeros((part.outputs, self.encoder.body.hidden))
        if part.kind == "regression":
            return weight, part.unit.standard([float(prior.answer)])
        counts = np.array([prior.counts[c] for c in part.classes], float)
        # relative to the largest: near 0 a head of single precision tells neighbouring counts apart
        return weight, np.log((counts + 1e-3) / (counts.max() + 1e-3))

    def facts(self) -> dict[str, Any]:
        """What the majority class is, how often it occurs in the whole training split, and what is as frequent."""
        prior = self.setup.prior
        if prior is None:
            return {}
        return {"majority": prior.facts()}

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
