"""What a method answers to a split: the form in which answers are judged, stored and read again.

It stands apart from `evaluate`, which makes answers, because whoever only reads them needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ELSEWHERE", "Predictions"]

ELSEWHERE = ""  # a class name is never empty


@dataclass(frozen=True)
class Predictions:
    """The answers to one split, in the order of its examples.

    Attributes:
        gold, pred: class names, numbers, or one tuple of tags per sentence. A readout that is `open` may answer with a
            class of another task: `pred` is then `ELSEWHERE`, which is no class of any task, hence wrong.
        probabilities: (n, C) softmax over the task's classes; None for tagging and regression. Where the readout is
            `open` and its head has other columns, (n, C + 1) softmax over all columns: the last number is the mass that
            lies on classes that are not the task's.
    """

    gold: tuple[Any, ...]
    pred: tuple[Any, ...]
    probabilities: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.gold)
