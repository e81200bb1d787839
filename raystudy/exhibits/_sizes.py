"""Less training data, in the sizes of the paper: 1 % of its 382,702 examples is 3,827, whatever is at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raystudy.analysis.table import listed
from raystudy.exhibits import LIMITS, Given, Scale
from raystudy.paths import is_folder
from raystudy.spec import Setting
from raystudy.tasks import load

__all__ = ["Sizes"]

_SMOKE = (24, 48)


@dataclass(frozen=True)
class Sizes:
    """Percentages of the paper's training set.

    Attributes:
        whole: how many examples are all of it.
        tasks: the tasks that are cut.
    """

    percents: tuple[int, ...]
    whole: int
    tasks: tuple[str, ...]

    def count(self, percent: int) -> int:
        return round(percent * self.whole / 100)

    def at_hand(self, root: Path | None) -> int | None:
        """Training examples of the smallest of the tasks under the data root; None where no folder holds them."""
        if root is None or not is_folder(root / self.tasks[0].partition("/")[0]):
            return None
        return min(len(load(task, root=root).splits["train"]) for task in self.tasks)

    def asked(self, scale: Scale, root: Path | None) -> Mapping[str, Any]:
        """Keys of the study file: the counts that the data at hand can serve; where it serves none, percentages of it.

        At scale ``small`` the training examples are not limited further.
        """
        if scale == "smoke":
            return {"shots": [*_SMOKE]}
        have = self.at_hand(root)
        fit = [k for k in map(self.count, self.percents) if have is None or k <= have]
        limits = {"limits": {k: v for k, v in LIMITS.items() if k != "train"}} if scale == "small" else {}
        return {**limits, **({"shots": fit} if fit else {"fraction": [p / 100 for p in self.percents]})}

    def settings(self, given: Given) -> dict[str, tuple[str, int]]:
        """What a column or table is called -> its data setting, and the paper's percentage (0 = it has no such)."""
        if given.scale == "smoke":
            return {f"k = {k}": (str(Setting(shots=k)), 0) for k in given.study.shots}
        if given.study.fraction:
            return {f"{p} % of what is at hand": (str(Setting(fraction=p / 100)), p) for p in self.percents}
        return {f"{p} % ({self.count(p):,})": (str(Setting(shots=self.count(p))), p) for p in self.percents}

    def notes(self, given: Given) -> list[str]:
        """What was left out, or taken in its place."""
        if given.scale == "smoke":
            return []
        have = min((t.train for t in given.n.tasks if t.name in self.tasks), default=0)
        if given.study.fraction:
            least, *_ = self.percents
            why = f"The paper's {least} % are {self.count(least):,} examples, more than the {have:,} at hand"
            return [f"{why}: here its percentages of these, so every column has less data than the published one."]
        left = [p for p in self.percents if self.count(p) not in given.study.shots]
        if not left:
            return []
        return [f"Not run: {listed(f'{p} %' for p in left)}, more than the {have:,} training examples at hand."]
