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

The distance is that of what training finds in place of each argmin, for the one phi_s that it finds. It is 0 for two
tasks that are the same, and it can be below 0 where the source has more examples than the target. L_0* has no minimum
where a head tells all classes apart, so half of `PENALTY` times the squared weights of the head is added to it.

Where the paper is silent (and what was chosen):
    optimizer       Adam is named with its rate: AdamW without decay. The rate falls linearly to zero, as everywhere
    the head        of the target starts anew
    epochs          as many over the source as over the target
    several sources trained together, every example once an epoch, each source with a head; `source` takes one alone
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raystudy.data.draws import Rows, epoch_updates, seed_of, union_batches
from raystudy.errors import ConfigError, DataError, Problem
from raystudy.methods import BaseMethod, Length, Schedule, Setup, Sizes, Stage
from raystudy.methods import HParams as Shared
from raystudy.nn.dropout import without_dropout
from raystudy.nn.head_minimum import least_loss
from raystudy.nn.losses import cross_entropy
from raystudy.tasks import Task
from raystudy.workers import share

__all__ = ["HParams", "Method"]

PENALTY = 1e-4
CHUNK = 256  # examples whose features are computed at once


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
        kinds = {name: part.kind for name, part in zip(setup.tasks, setup.corpus.parts, strict=True)}
        _refuse(setup.hp, kinds, setup.tasks[setup.target])
        super().__init__(setup)
        self.register_buffer("least", torch.zeros(2, dtype=torch.float64))  # L_0* of phi_s and of phi_0

    @classmethod
    def admit(cls, hp: HParams, depth: int, tasks: Mapping[str, Task], unseen: str | None = None) -> list[str]:
        _refuse(hp, {name: t.kind for name, t in tasks.items()}, unseen)
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
        mine = share(len(part), self.workers)
        x = self.features(np.arange(mine.start, mine.stop))
        y = torch.from_numpy(part.labels[mine]).to(x.device)
        self.least[of], _ = least_loss(
            x, lambda z: cross_entropy(z, y), part.outputs, total=len(part), penalty=PENALTY, workers=self.workers
        )

    def features(self, rows: NDArray[np.int64]) -> Tensor:
        """(n, H) what the target's head reads of these training examples of it, without dropout."""
        part = self.setup.corpus.parts[self.setup.target]
        with without_dropout(self), torch.no_grad():
            batches = [part.batch(rows[i : i + CHUNK]) for i in range(0, len(rows), CHUNK)]
            found = [self.encoder.feature(self.encoder(b)[0], b.offsets) for b in batches]
        return torch.cat(found) if found else torch.zeros(0, self.encoder.body.hidden).to(self.encoder.body.anchor)

    def adapt(self) -> list[Stage]:
        return [self.finetune("head", freeze=None if self.hp.tuned else "all")]

    def facts(self) -> dict[str, Any]:
        """L_0* of the source's representation and of the target's own, and the distance that lies between them."""
        if not self.hp.measure:
            return {}
        source, own = self.least.tolist()
        return {"task_distance": {"source": source, "own": own, "distance": source - own}}


def _refuse(hp: HParams, kinds: Mapping[str, str], target: str | None) -> None:
    """Refuse what the method is not defined for; `target` is named where it is known."""
    others = len(kinds) - 1
    if not others:
        raise DataError(Problem("learns a representation from a task that is not the target, so it needs one", "tasks"))
    if hp.source > others:
        text = f"must be at most {others}, the number of tasks beside the target, but is {hp.source}"
        raise ConfigError(Problem(text, "source"))
    if hp.measure and (odd := [n for n, kind in kinds.items() if kind != "classification" and target in (None, n)]):
        raise ConfigError(
            Problem(f"must be false, since it is defined for classes, but not so {', '.join(odd)}", "measure")
        )
