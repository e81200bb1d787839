"""How long each stage of a method is, known before anything is loaded: what the plan prints and the stages look up.

A stage has two prices. Its *updates* are steps of the optimizer. Its *passes* say what these steps cost: one pass is a
forward and a backward pass over `batch_size` examples, which is what an update of plain fine-tuning takes; an update of
a method that differentiates through an update takes several. A forward pass alone counts a third of a pass and a
backward pass two thirds, since a backward pass multiplies twice as many matrices; a forward pass in forward mode, which
carries a derivative along, two thirds; a Hessian-vector product 2. A batch counts as it is meant, not as it is filled:
the last one of an epoch may hold fewer examples. What is computed once before any stage, such as the frozen embeddings
of prototypes, is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["BACKWARD", "FORWARD", "FORWARD_MODE", "HESSIAN_PRODUCT", "Length", "Schedule", "Sizes"]

FORWARD, BACKWARD, FORWARD_MODE, HESSIAN_PRODUCT = 1 / 3, 2 / 3, 2 / 3, 2.0


@dataclass(frozen=True)
class Sizes:
    """How many labelled training examples there are of every task, and what the target's part in the transfer is.

    Attributes:
        tasks: task -> labelled training examples, in suite order, the target's cut to its setting.
        target: the task that the training is for.
        unseen: whether the target takes no part in the transfer, so that the adaptation meets it first.
    """

    tasks: Mapping[str, int]
    target: str
    unseen: bool = False

    @property
    def own(self) -> int:
        """The examples of the target."""
        return self.tasks[self.target]

    @property
    def others(self) -> list[int]:
        """The examples of every task but the target."""
        return [n for name, n in self.tasks.items() if name != self.target]

    @property
    def transfer(self) -> list[int]:
        """The examples of every task in the transfer: 0 for an unseen target, so that tasks keep their numbers."""
        return [0 if self.unseen and name == self.target else n for name, n in self.tasks.items()]


@dataclass(frozen=True)
class Length:
    """How long one stage is: optimizer updates, and what all of them cost in passes."""

    updates: int = 0
    passes: float = 0.0

    def __add__(self, other: Length) -> Length:
        return Length(self.updates + other.updates, self.passes + other.passes)

    def __mul__(self, times: int) -> Length:
        return Length(self.updates * times, self.passes * times)

    @classmethod
    def plain(cls, updates: int) -> Length:
        """Updates of one pass each."""
        return cls(updates, float(updates))


@dataclass(frozen=True)
class Schedule:
    """The stages of a method in their order, by name: those of the transfer, and those of the adaptation behind it."""

    transfer: Mapping[str, Length] = field(default_factory=dict)
    adapt: Mapping[str, Length] = field(default_factory=dict)

    @property
    def cost(self) -> Length:
        """All stages together."""
        return sum(self.stages.values(), Length())

    @property
    def stages(self) -> dict[str, Length]:
        """All stages; no two have one name."""
        return {**self.transfer, **self.adapt}
