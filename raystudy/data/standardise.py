"""The unit of regression labels is taken off before training and put back on every answer.

A rating from 0 to 1 and a price in cents ask the same question, but squared errors of prices are a billion times
larger: a new head would need thousands of updates to reach their mean, and beside another task they would be all that
is trained. So a head answers in standard deviations from the mean, both of the training labels that this training sees.

    z = (y - mean) / sd      what is trained        y = mean + sd z      what is answered and judged

Labels a y + b, a > 0, are trained like y and answered with a times the answer plus b.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LabelUnit"]

Reals = NDArray[np.float64] | Sequence[float]


@dataclass(frozen=True)
class LabelUnit:
    """Mean and standard deviation (n in the denominator) of some labels, in the labels' own unit.

    Attributes:
        constant: whether all labels were one number, so that there is no spread to divide by; `sd` is 1 then.
    """

    mean: float = 0.0
    sd: float = 1.0
    constant: bool = False

    @classmethod
    def of(cls, labels: Reals) -> LabelUnit:
        """The unit of at least one label; finite for all finite labels but those whose spread has no float."""
        y = np.asarray(labels, np.float64)
        # a power of two takes the size off without rounding, so that no sum or square is too large or too small
        exponent = int(np.frexp(np.abs(y).max())[1])
        z = np.ldexp(y, -exponent)
        if z.min() == z.max():
            return cls(float(y[0]), 1.0, constant=True)
        centred = z - z.mean()
        size = int(np.frexp(np.abs(centred).max())[1])
        sd = np.sqrt(np.mean(np.ldexp(centred, -size) ** 2))
        return cls(float(np.ldexp(z.mean(), exponent)), float(np.ldexp(sd, exponent + size)))

    def standard(self, labels: Reals) -> NDArray[np.float64]:
        """(n,) labels in standard deviations from the mean."""
        return (np.asarray(labels, np.float64) - self.mean) / self.sd

    def in_own_unit(self, answers: Reals) -> NDArray[np.float64]:
        """(n,) answers in the labels' own unit."""
        return self.mean + self.sd * np.asarray(answers, np.float64)
