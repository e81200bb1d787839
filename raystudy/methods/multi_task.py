"""Multi-task training: one encoder for all tasks at once, and the baselines of both Meta-DTL and MFT that it gives.

One model learns all tasks in turn or in mixed batches, so that what it learns of one may serve another. Each task has a
head of its own, or all share one head over the union of their labels. An adversary may be added: a classifier that
would tell the tasks apart, which the encoder learns to mislead.

    k(x)        the task of x, one of K; y its class; f(x) what a head reads of the encoder
    tau(x)      softmax of the head of k(x)                                 heads: own    (Liu et al. 2019, MT-DNN)
                softmax of one head over the union of all tasks' labels     heads: union  (Meta-DTL, sec. 4.2)
    L           (1/|B|) sum over x in B of CE(y, tau(x)) + the term of the adversary
    delta(f)    softmax of a head over the K tasks (the domain classifier of MFT, sec. 3.3)
    flip        lambda (1/|B|) sum CE(z, delta(f(x))), z drawn evenly from the K - 1 tasks that are not k(x): L_FD
    grl         (1/|B|) sum CE(k(x), delta(R f(x))), R the identity whose gradient is -lambda (Ganin & Lempitsky 2015):
                the head learns the tasks as ever, and the encoder unlearns them; L_AD of MFT

    rows of the papers' tables      Multi-task, BERT (MTL): `heads: own`;  Task Comb., BERT (Mix): `heads: union`;
                                    BERT (Adv): `heads: union`, `adversary: flip`

Classes with the same words (`label_text`) are one class of a union head: positive of two review tasks, entailment of
MNLI and SciTail. A head for which a batch has no example does not move, nor do its optimizer moments.

Where the papers are silent (and what was chosen):
    sampling (Meta-DTL sec. 4.2)    p(x) = 1 / (K |D_i|), as its own method does, for a like-for-like ablation; for Task
                                    Comb. too
    sampling (MFT sec. 4.2)         every example of all domains once an epoch, since BERT (Mix) combines all data
    batches                         mixed over tasks; `task_batches` for one task each (with `sampler: epochs`, MT-DNN's
                                    stream)
    answers of a union head         the best of the whole union, another task's class is wrong (`answer: union`); `own`
                                    looks at the task's own classes alone. MFT's domains have one label set, where both
                                    are the same
    z for more than two domains     L_FD is printed for two: drawn evenly from the others
    BERT (Adv)                      "BERT (C)" is not defined in the paper: read as BERT (Mix), so a union head
    its loss                        that of flipped labels, which sec. 3.3 ascribes to the same source; `grl` offered
    its weight                      lambda = 0.1 as that of domain corruption
    fine-tuning after               none: neither paper mentions any for its baselines; `then_finetune` offered
    MT-DNN                          as Dou et al. ran it: 5 epochs, which its authors' program has, then fine-tuning.
                                    That program has Adamax; here AdamW as everywhere, with every epoch in a new order
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from raystudy.data.draws import epoch_updates, joint_batches, other_tasks, task_distribution
from raystudy.data.text import Batch, Encoded, placed
from raystudy.errors import ConfigError, DataError, Problem
from raystudy.methods import BaseMethod, Length, Readout, Schedule, Setup, Sizes, Stage
from raystudy.methods import HParams as Shared
from raystudy.nn.heads import merge, union
from raystudy.nn.losses import cross_entropy, soft_cross_entropy
from raystudy.tasks import Task

__all__ = ["HParams", "Method", "reverse"]


@dataclass(frozen=True)
class HParams(Shared):
    joint_epochs: int = 3
    heads: str = "own"
    answer: str = "union"
    sampler: str = "uniform"
    task_batches: bool = False
    adversary: str = "none"
    adversary_lambda: float = 0.1
    then_finetune: bool = False


def reverse(x: Tensor, lambda_: float) -> Tensor:
    """R: `x` itself, bit for bit, with the gradient -`lambda_`."""
    fixed = x.detach()
    return fixed - lambda_ * (x - fixed)


class Method(BaseMethod[HParams]):
    def __init__(self, setup: Setup[HParams]) -> None:
        _refuse_lonely(setup.hp, len(setup.sources))
        super().__init__(setup)
        self.union = union(setup.corpus.parts) if self.hp.heads == "union" else None

    @classmethod
    def further_heads(cls, hp: HParams, parts: Sequence[Encoded]) -> tuple[int, ...]:
        """The head over the union first, the domain classifier last, each only where the settings ask for it."""
        joined = (len(union(parts).texts),) if hp.heads == "union" else ()
        return joined if hp.adversary == "none" else (*joined, len(parts))

    @classmethod
    def admit(cls, hp: HParams, depth: int, tasks: Mapping[str, Task], unseen: str | None = None) -> list[str]:
        _refuse_lonely(hp, len(tasks) - (unseen is not None))
        if unseen is not None and hp.heads == "own" and not hp.then_finetune:
            text = f"must be true for {unseen}, which takes no part in the transfer: its head would be untrained"
            raise ConfigError(Problem(text, "then_finetune"))
        if hp.heads != "union":
            return []
        joined = merge((n, t.kind, [t.text_of(c) for c in t.labels]) for n, t in tasks.items())
        return [f"one head over {len(joined.texts)} labels: {', '.join(joined.texts)}"]

    @classmethod
    def schedule(cls, hp: HParams, sizes: Sizes) -> Schedule:
        per_epoch = epoch_updates(sizes.transfer, hp.batch_size, hp.sampler, hp.task_batches)
        joint = Length.plain(hp.bounded(hp.joint_epochs * per_epoch))
        finetune = {"finetune": hp.finetuning(sizes.own)} if hp.then_finetune else {}
        return Schedule(transfer={"joint": joint}, adapt=finetune)

    def transfer(self) -> list[Stage]:
        hp, sizes = self.hp, self.setup.sizes.transfer
        tasks = task_distribution(hp.sampler, sizes)
        draw = self.draw(joint_batches(sizes, hp.batch_size, tasks, hp.task_batches, self.setup.seed, "joint"))
        fresh = dict.fromkeys(range(len(self.encoder.heads)), "joint")
        return [self.supervised("joint", lambda step: self.with_domains(draw(step), step), self.loss, fresh)]

    def with_domains(self, batch: Batch, step: int) -> Batch:
        """The global batch, with what the domain classifier is to answer as `soft` (B, K): z, or the tasks."""
        if self.hp.adversary == "none":
            return batch
        k = len(self.setup.sources)
        domains = np.searchsorted(self.setup.sources, batch.task.numpy())  # tasks counted among those that take part
        if self.hp.adversary == "flip":
            domains = other_tasks(domains, k, self.setup.seed, "joint", step)
        return replace(batch, soft=F.one_hot(torch.from_numpy(domains), k).to(self.encoder.body.anchor.dtype))

    def loss(self, batch: Batch) -> Tensor:
        """This rank's share of L on the global batch."""
        mine = batch.shard(self.workers)
        if not len(mine):
            return torch.zeros((), device=self.encoder.body.anchor.device)
        states = self.encoder(mine)[0]
        if self.union is None:
            losses = self.losses(mine, answers=self.encoder.answers(mine, states))
        else:
            (a,) = self.encoder.answers(mine, states, head=len(self.setup.tasks))
            losses = cross_entropy(a.logits, placed(self.union.labels(mine), a.logits.device))
        share = losses.sum() / batch.divisor.to(losses.dtype)  # |B|: examples, or labelled words
        return share if self.hp.adversary == "none" else share + self.adversary(mine, states) / len(batch)

    def adversary(self, mine: Batch, states: Tensor) -> Tensor:
        """The sum over this rank's examples of the adversary's term."""
        hp, f = self.hp, self.encoder.feature(states, mine.to(states.device).offsets)
        f = reverse(f, hp.adversary_lambda) if hp.adversary == "grl" else f
        assert mine.soft is not None
        delta = self.encoder.head(len(self.encoder.heads) - 1)(self.encoder.dropout(f))
        sources = placed(torch.tensor(self.setup.sources), delta.device)
        delta = delta.index_select(1, sources)  # an unseen target is no answer
        term = soft_cross_entropy(delta, placed(mine.soft, delta.device).to(delta)).sum()
        return term if hp.adversary == "grl" else hp.adversary_lambda * term

    def adapt(self) -> list[Stage]:
        return [self.finetune()] if self.hp.then_finetune else []

    def readout(self, task: int) -> Readout:
        if self.union is None or self.hp.then_finetune:
            return Readout(task)
        return Readout(len(self.setup.tasks), self.union.columns[task], open=self.hp.answer == "union")

    def facts(self) -> dict[str, Any]:
        """The labels of a union head, in the order of its columns."""
        return {} if self.union is None else {"union": list(self.union.texts)}


def _refuse_lonely(hp: HParams, tasks: int) -> None:
    if hp.adversary != "none" and tasks < 2:
        raise DataError(Problem("an adversary confuses the tasks with one another, so it needs two of them", "tasks"))
