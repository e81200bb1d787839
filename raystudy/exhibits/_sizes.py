"""Exhibits with less training data, in the sizes of the paper: 1 % of its 382,702 examples is 3,827 also for us."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raystudy.analysis.table import listed
from raystudy.exhibits import LIMITS, ExhibitResults, Scale
from raystudy.paths import is_folder
from raystudy.spec import Setting
from raystudy.tasks import load

__all__ = ["Sizes"]

_SMOKE = (24, 48)


@dataclass(frozen=True)
class Sizes:
    """Percentages of the paper's training set.

    Attributes:
        whole: how many examples the whole training set of the paper has.
        tasks: the tasks that are cut.
    """

    percents: tuple[float, ...]
    whole: int
    tasks: tuple[str, ...]

    def count(self, percent: float) -> int:
        return round(percent * self.whole / 100)

    def at_hand(self, root: Path | None) -> int | None:
        """How many training examples the smallest of the tasks has under the data root; None where it is not there."""
        if root is None or not is_folder(root / self.tasks[0].partition("/")[0]):
            return None
        return min(len(load(task, root=root).splits["train"]) for task in self.tasks)

    def study_keys(self, scale: Scale, root: Path | None) -> Mapping[str, Any]:
        """The keys of the study file for the sizes that the data at hand can serve, else for percentages of that data.

        At scale ``small`` the training examples are not limited further.
        """
        if scale == "smoke":
            return {"shots": [*_SMOKE]}
        at_hand = self.at_hand(root)
        counts_that_fit = [k for k in map(self.count, self.percents) if at_hand is None or k <= at_hand]
        limits = {"limits": {k: v for k, v in LIMITS.items() if k != "train"}} if scale == "small" else {}
        return {
            **limits,
            **({"shots": counts_that_fit} if counts_that_fit else {"fraction": [p / 100 for p in self.percents]}),
        }

    def settings(self, results: ExhibitResults) -> dict[str, tuple[str, float]]:
        """Title of a column or table -> its data setting, and the paper's percentage (0 if the paper has none)."""
        if results.scale == "smoke":
            return {f"k = {k}": (str(Setting(shots=k)), 0) for k in results.study.shots}
        if results.study.fraction:
            return {f"{p} % of what is at hand": (str(Setting(fraction=p / 100)), p) for p in self.percents}
        return {f"{p} % ({self.count(p):,})": (str(Setting(shots=self.count(p))), p) for p in self.percents}

    def notes(self, results: ExhibitResults) -> list[str]:
        """The notes on sizes that were left out, or on what was taken in their place."""
        if results.scale == "smoke":
            return []
        at_hand = min((t.train for t in results.numbers.tasks if t.name in self.tasks), default=0)
        if results.study.fraction:
            least, *_ = self.percents
            why = f"The paper's {least} % are {self.count(least):,} examples, more than the {at_hand:,} at hand"
            return [f"{why}: here its percentages of these, so every column has less data than the published one."]
        absent = [p for p in self.percents if self.count(p) not in results.study.shots]
        if not absent:
            return []
        return [f"Not run: {listed(f'{p} %' for p in absent)}, more than the {at_hand:,} training examples at hand."]
