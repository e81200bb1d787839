"""Multi-task training: a shared encoder, one head per task, batches that mix the tasks (Liu et al. 2019).

    L = (1/|B|) sum over (i, x, y) in B of CE(y, tau_i(x)),    tau_i = softmax of head i

Where the paper (Meta-DTL, sec. 4.1) is silent:
    sampling of tasks    p(x) = 1 / (K |D_i|), as its own method does, for a like-for-like ablation; `pps` offered
    fine-tuning after    none: the target's own head answers; `then_finetune` offered
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from raystudy.data.draws import epoch_updates, task_mixture
from raystudy.methods import BaseMethod, Sizes, Stage, Updates
from raystudy.methods import HParams as Shared

__all__ = ["HParams", "Method"]


@dataclass(frozen=True)
class HParams(Shared):
    joint_epochs: int = 3
    sampler: str = "uniform"
    then_finetune: bool = False


class Method(BaseMethod):
    HParams = HParams

    @classmethod
    def planned(cls, hp: Any, sizes: Sizes, target: str) -> tuple[Updates, Updates]:
        joint = hp.bounded(hp.joint_epochs * epoch_updates(list(sizes.values()), hp.batch_size))
        finetune = {"finetune": cls.finetune_updates(hp, sizes[target])} if hp.then_finetune else {}
        return {"joint": joint}, finetune

    def transfer(self) -> list[Stage]:
        hp, sizes = self.hp, self.setup.corpus.sizes
        steps = hp.bounded(hp.joint_epochs * epoch_updates(sizes, hp.batch_size))
        rows = task_mixture(sizes, hp.batch_size, hp.sampler, self.setup.seed, "joint")
        fresh = dict.fromkeys(range(len(sizes)), "joint")
        return [self.supervised("joint", steps, self.draw(rows), self.mean_loss, fresh)]

    def adapt(self) -> list[Stage]:
        return [self.finetune(self.setup.target)] if self.hp.then_finetune else []
