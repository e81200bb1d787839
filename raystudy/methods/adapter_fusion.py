"""AdapterFusion (Pfeiffer et al. 2021), the baseline of MetaXT (Sharma et al. 2021, sec. 4.2 and app. A).

Small nets inside a frozen model learn one task each. Then the model learns, for the target, which of these nets to
listen to at every word.

    z           what a layer's feed-forward net gives for a token
    A_n         adapters of task n in every layer of the frozen PLM, trained on task n alone under its own head
    s_n         softmax over n of <Q z, K A_n(z)>: how much each adapter is listened to, per token and layer
    fused       sum over n of s_n V A_n(z), added to the layer's residual (`nn/adapters.py`)
    L           mean CE of the target's head + `regularisation` sum over layers of ||I - V||_F^2
    stages      one per task: its adapters and head. Then on the target: Q, K, V and a new head; PLM and adapters frozen

"Single-task adapters to train on the source and target tasks, and then adapt the model to the target task" is all that
the paper says. The rest is that of the `adapters` library:
    adapters        in each layer behind the feed-forward net, relu, width H / 16, learning rate 1e-4 (`lr`); their last
                    weights stay, dev is measured in the fusion alone
    fusion          V starts as the identity, regularisation 0.01, learning rate 5e-5
    head            a new one for the fusion
    epochs          as many as other methods of this program train; batches, AdamW, warm-up and clipping are theirs too
The adapters are the same whatever the target, as far as the targets share their training data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from raystudy.data.draws import epoch_batches, seed_of
from raystudy.data.plm import PLM
from raystudy.data.text import Batch
from raystudy.errors import DataError, Problem
from raystudy.methods import BaseMethod, Length, Schedule, Setup, Sizes, Stage
from raystudy.methods import HParams as Shared
from raystudy.nn.adapters import Adapters
from raystudy.tasks import Task

__all__ = ["HParams", "Method"]


@dataclass(frozen=True)
class HParams(Shared):
    lr: float = 1e-4
    freeze: str = "all"
    adapter_epochs: int = 3
    fusion_lr: float = 5e-5
    reduction_factor: int = 16
    regularisation: float = 0.01


class Method(BaseMethod[HParams]):
    def __init__(self, setup: Setup[HParams]) -> None:
        _refuse_lonely(len(setup.sources))
        super().__init__(setup)
        body, count = self.encoder.body, len(setup.sources)
        width = max(1, body.hidden // self.hp.reduction_factor)
        body.inside = Adapters(count, body.depth, body.hidden, width, body.dropout).to(body.anchor)
        for n in range(count):
            self.adapters.fresh_adapter(n, self.generator(n))
        self.adapters.fresh_fusion(self.generator("fusion"))

    @property
    def adapters(self) -> Adapters:
        """The adapters and fusions, a part of the encoder's body."""
        inside = self.encoder.body.inside
        assert isinstance(inside, Adapters)
        return inside

    @classmethod
    def admit(cls, hp: HParams, depth: int, tasks: Mapping[str, Task], unseen: str | None = None) -> list[str]:
        _refuse_lonely(len(tasks) - (unseen is not None))
        return []

    @staticmethod
    def inside_layers(hp: HParams) -> bool:
        return True

    @staticmethod
    def added_parameters(hp: HParams, plm: PLM, sources: int) -> int:
        width: int = max(1, plm.hidden // hp.reduction_factor)
        return sources * plm.depth * (2 * plm.hidden * width + width + plm.hidden)

    @classmethod
    def untouched_layers(cls, hp: HParams, depth: int) -> int:
        return 0  # every layer has adapters

    @classmethod
    def schedule(cls, hp: HParams, sizes: Sizes) -> Schedule:
        lengths = {
            f"adapter {name}": Length.plain(hp.epochs_over(n, hp.adapter_epochs))
            for name, n in zip(sizes.tasks, sizes.transfer, strict=True)
            if n
        }
        return Schedule(lengths, {"fusion": hp.finetuning(sizes.own)})

    def generator(self, what: object) -> torch.Generator:
        """What the adapters of a source (by its number), or the fusions, are drawn from; the same on every rank."""
        name = self.setup.tasks[self.setup.sources[what]] if isinstance(what, int) else what
        return torch.Generator().manual_seed(seed_of(self.setup.seed, "adapters", name))

    def transfer(self) -> list[Stage]:
        return [self.adapter_stage(n) for n in range(len(self.setup.sources))]

    def adapter_stage(self, n: int) -> Stage:
        """The adapters and the head of source `n`, trained on it alone."""
        task = self.setup.sources[n]
        name = f"adapter {self.setup.tasks[task]}"
        rows = epoch_batches(task, self.setup.corpus.sizes[task], self.hp.batch_size, self.setup.seed, name)
        stage = self.supervised(name, self.draw(rows), self.mean_loss, {task: name})
        return self.using(n, stage, lambda: self.adapters.fresh_adapter(n, self.generator(n)))

    def adapt(self) -> list[Stage]:
        target, hp = self.setup.target, self.hp
        size = len(self.setup.corpus.parts[target])
        stage = self.supervised(
            "fusion",
            self.draw(epoch_batches(target, size, hp.batch_size, self.setup.seed, "fusion", self.setup.tasks[target])),
            self.fusion_loss,
            {target: "fusion"},
            select=target,
            validations=hp.validations,
            lr=hp.fusion_lr,
        )
        return [self.using("fused", stage, lambda: self.adapters.fresh_fusion(self.generator("fusion")))]

    def using(self, active: int | str, stage: Stage, fresh: Callable[[], None]) -> Stage:
        """`stage` with these adapters acting, what is trained of them new."""

        def start() -> None:
            fresh()
            self.adapters.use(active)  # these alone are trainable now; `start` freezes the PLM around them
            stage.start()

        return replace(stage, start=start)

    def fusion_loss(self, batch: Batch) -> Tensor:
        """This rank's share of the mean loss; the regulariser is added on the first rank only, as ranks are summed."""
        loss = self.mean_loss(batch)
        return loss if self.workers.rank else loss + self.hp.regularisation * self.adapters.regulariser()


def _refuse_lonely(tasks: int) -> None:
    if tasks < 2:
        raise DataError(Problem("fuses the adapters of several tasks, so it needs two of them", "tasks"))
