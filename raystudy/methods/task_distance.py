"""Learning to learn, by which TAWT shows what the distance of two tasks is (Chen et al. 2022, Figure 3 and Def. 3.1).

A representation is learned from a source, and then it is held still: all that the target learns is a head over it. So
the score on the target says how much of the source's representation is of use to it, and nothing else. The paper calls
this LTL. Single-task learning (STL), its rival, is the method `single_task` with the same settings.

    phi         the representation: the encoder, or the hidden layer of a network over vectors
    f_s, f_0    the heads of the source and of the target
    source      phi_s = argmin over phi and f_s of L_s(phi, f_s)
    head        argmin over f_0 of L_0(phi_s, f_0), phi_s frozen; `tuned`: over phi and f_0, from phi_s        (eq. 2.3)
    L_0*(phi)   min over f_0 of L_0(phi, f_0), on the training examples of the target
    distance    L_0*(phi_s) - L_0*(phi_0), where phi_0 is learned from the target itself; `measure`           (Def. 3.1)

The distance is that of what training finds in place of each argmin, for the one phi_s that it finds: 0 for two tasks
that are the same, below 0 where the source has taught more than the target's own examples could (`nn/head_minimum.py`,
with `PENALTY` on the weights of the head). TAWT's `distance` is the same for weighted sources. The distances of all
tasks of a suite from one another: ``raystudy scores SUITE --distances``.

Where the paper is silent (and what was chosen):
    optimizer        Adam is named with its rate: AdamW without decay. The rate falls linearly to zero, as everywhere
    the head         of the target starts anew
    epochs           as many over the source as over the target
    several sources  trained together, every example once an epoch, each source with a head; `source` takes one alone
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from raystudy.data.draws import Rows, epoch_updates, seed_of, union_batches
from raystudy.errors import ConfigError, DataError, Problem
from raystudy.methods import BaseMethod, Length, Schedule, Setup, Sizes, Stage
from raystudy.methods import HParams as Shared
from raystudy.nn.head_minimum import distance_facts, least_task_loss
from raystudy.tasks import Task

__all__ = ["HParams", "Method"]

PENALTY = 1e-4


@dataclass(frozen=True)
class HParams(Shared):
    lr: float = 3e-4
    batch_size: int = 100
    warmup: float = 0.0
    weight_decay: float = 0.0
    clip: float = 0.0
    epochs: int = 100
    source_epochs: int = 100
    source: int = 0
    tuned: bool = False
    measure: bool = False

    def chosen(self, others: Sequence[str]) -> list[str]:
        """The sources that a representation is learned from: of the other tasks all, or one."""
        return [others[self.source - 1]] if self.source else list(others)

    def representation(self, examples: Sequence[int]) -> Length:
        """How long a representation is learned from tasks with so many examples."""
        return Length.plain(self.bounded(self.source_epochs * epoch_updates(examples, self.batch_size)))


class Method(BaseMethod[HParams]):
    least: Tensor

    def __init__(self, setup: Setup[HParams]) -> None:
        _refuse(setup.hp, len(setup.tasks))
        super().__init__(setup)
        self.register_buffer("least", torch.zeros(2, dtype=torch.float64))  # L_0* of phi_s and of phi_0

    @classmethod
    def admit(cls, hp: HParams, depth: int, tasks: Mapping[str, Task], unseen: str | None = None) -> list[str]:
        _refuse(hp, len(tasks))
        return []

    @staticmethod
    def target_aware(hp: HParams) -> bool:
        return True  # the target is no source

    @staticmethod
    def reads_target(hp: HParams) -> bool:
        return hp.measure

    @classmethod
    def schedule(cls, hp: HParams, sizes: Sizes) -> Schedule:
        sources = hp.chosen([name for name in sizes.tasks if name != sizes.target])
        own = {"own": hp.representation([sizes.own])} if hp.measure else {}
        transfer = {**own, "source": hp.representation([sizes.tasks[name] for name in sources])}
        return Schedule(transfer, {"head": hp.finetuning(sizes.own)})

    def transfer(self) -> list[Stage]:
        tasks, target = self.setup.tasks, self.setup.target
        names = self.hp.chosen([name for name in tasks if name != tasks[target]])
        stage = self.representation("source", [tasks.index(name) for name in names])
        return [self.representation("own", [target]), stage] if self.hp.measure else [stage]

    def representation(self, name: str, tasks: Sequence[int]) -> Stage:
        """A stage that learns phi anew from these tasks. Their names seed nothing, so that equal tasks have one phi."""
        s, hp = self.setup, self.hp
        drawn = union_batches([s.corpus.sizes[t] for t in tasks], hp.batch_size, s.seed, "representation")

        def rows(step: int) -> Rows:
            among = drawn(step)
            among[:, 0] = [tasks[i] for i in among[:, 0]]
            return among

        stage = self.supervised(name, self.draw(rows), self.mean_loss, {})

        def start() -> None:
            self.encoder.body.restart()
            for i, task in enumerate(tasks):
                seed = seed_of(s.seed, "head", "representation", i)
                self.encoder.fresh_head(task, torch.Generator().manual_seed(seed))
            stage.start()

        if not hp.measure:
            return replace(stage, start=start)
        of = 0 if name == "source" else 1
        updates = stage.length.updates
        return replace(stage, start=start, after=lambda step: self.note(of), after_every=updates)

    def note(self, of: int) -> None:
        """Keep L_0* of the representation as it stands."""
        part = self.setup.corpus.parts[self.setup.target]
        self.least[of] = least_task_loss(self.encoder, part, penalty=PENALTY, workers=self.workers)

    def adapt(self) -> list[Stage]:
        return [self.finetune("head", freeze=None if self.hp.tuned else "all")]

    def facts(self) -> dict[str, Any]:
        """L_0* of the source's representation and of the target's own, and the distance that lies between them."""
        if not self.hp.measure:
            return {}
        source, own = self.least.tolist()
        return {"task_distance": distance_facts(source, own)}


def _refuse(hp: HParams, tasks: int) -> None:
    """Refuse what the method is not defined for."""
    others = tasks - 1
    if not others:
        raise DataError(Problem("learns a representation from a task that is not the target, so it needs one", "tasks"))
    if hp.source > others:
        text = f"must be at most {others}, the number of tasks beside the target, but is {hp.source}"
        raise ConfigError(Problem(text, "source"))
