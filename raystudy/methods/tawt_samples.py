"""TAWT with a weight for every training example instead of every task (Chen et al. 2022, appendix B and Figure 2).

Examples of a source that would help the target gain weight while the model is trained, and others lose it: those whose
gradient points where the target's points. TAWT weighs whole tasks so; here each example is a task of its own.

    phi             the encoder, or the hidden layer of a network over vectors;  f_t: the head of task t, of the target
                    t = 0 and of the sources
    l_i             the loss of example i under the head of its task
    w               the weights of all examples that are trained on, on the simplex: none negative, their sum is one
    joint           min over phi and all f of sum_i w_i l_i over the examples of all tasks
    pre_training    the same over those of the sources, then fine-tuning on the target
    L_0             the mean loss of the target over all its training examples, without weights and without dropout
    g_i             -<grad_phi L_0, H^-1 grad_phi l_i>, H^-1 ~ `inverse_hessian` times the identity         (eq. 2.7)
    w_i             <- w_i exp(-eta g_i) / sum_j w_j exp(-eta g_j)                                          (eq. 2.8)

All products <grad_phi L_0, grad_phi l_i> are one derivative: that of the losses (l_1, .., l_n) along v = grad_phi L_0,
taken in one pass in forward mode (`nn/forward_mode.py`), and no gradient of a single example is ever computed. On texts
that pass needs plain attention in full precision, since the fused kernels have no forward mode: `exact`.

The products have the size of squared gradients, and those of a text encoder are far larger than those of a network over
vectors: with the paper's `inverse_hessian` of 5 a few examples soon have all the weight there. The record says at every
step how many count (`effective_examples`), and a search moves `eta` over five decades.

W workers = one: v is summed over the ranks before it is used, each rank takes the products of its slice of the
examples, their sum over ranks puts all of them together, and the step on w is the same on every rank.

Where the paper is silent (and what was chosen):
    the scale of L  multiplied by n: with all w_i = 1/n it is the mean loss, at the learning rates of one
    batches         shuffled epochs over all examples; w_i multiplies the loss, and draws nothing
    which examples  those of all tasks that are trained on: in joint training the target's too
    rounds          40 updates of w, evenly over the training (the paper: every 5 of 200 epochs); the last one is behind
                    the last epoch, so that the record has it, and nothing is trained with it
    f_0             in joint training its head as it stands; in pre-training that head is trained `head_epochs` epochs
                    on frozen phi before each update of w, and goes on from there the next time (Algorithm 1)
    words           the example of a tagging task is a sentence; its loss is the sum over its words, in the unit of the
                    mean over all words
    optimizer       Adam is named with its rate: AdamW without decay. The rate falls linearly to zero, as everywhere
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raystudy.data.draws import Rows, epoch_batches, epoch_updates, rows_of, union_batches
from raystudy.data.text import Batch, placed
from raystudy.errors import ConfigError, DataError, Problem
from raystudy.methods import BACKWARD, FORWARD, FORWARD_MODE, BaseMethod, Length, Schedule, Setup, Sizes, Stage
from raystudy.methods import HParams as Shared
from raystudy.nn.dropout import without_dropout
from raystudy.nn.encoder import token_budget
from raystudy.nn.forward_mode import derivative_along
from raystudy.nn.gradients import Gradient, add, local_gradient
from raystudy.nn.mirror_descent import mirror_step
from raystudy.tasks import Task
from raystudy.workers import share, sum_over

__all__ = ["HParams", "Method"]


@dataclass(frozen=True)
class HParams(Shared):
    lr: float = 3e-4
    batch_size: int = 128
    warmup: float = 0.0
    weight_decay: float = 0.0
    clip: float = 0.0
    epochs: int = 200
    paradigm: str = "joint"
    weighting: str = "adaptive"
    transfer_epochs: int = 200
    rounds: int = 40
    eta: float = 1.0
    inverse_hessian: float = 5.0
    head_epochs: int = 1
    then_finetune: bool = False

    @property
    def joint(self) -> bool:
        """Whether the target is trained together with the sources."""
        return self.paradigm == "joint"

    @property
    def learns(self) -> bool:
        """Whether the weights are learned."""
        return self.weighting == "adaptive"

    def pooled(self, sizes: Sizes) -> list[int]:
        """The examples of every task that have a weight: 0 for the target in pre-training, and for an unseen one."""
        target = list(sizes.tasks).index(sizes.target)
        return [n if self.joint or t != target else 0 for t, n in enumerate(sizes.transfer)]

    def every(self, updates: int) -> int:
        """The updates from one step on the weights to the next."""
        return math.ceil(updates / self.rounds)

    def weighing(self, sizes: Sizes) -> float:
        """What one step on the weights costs in passes."""
        head = 0.0 if self.joint else FORWARD
        gradient = (head + FORWARD + BACKWARD) * sizes.own
        return (gradient + FORWARD_MODE * sum(self.pooled(sizes))) / self.batch_size


class Method(BaseMethod[HParams]):
    omega: Tensor
    history: Tensor

    def __init__(self, setup: Setup[HParams]) -> None:
        _refuse(setup.hp, len(setup.tasks), setup.tasks[setup.target] if setup.unseen else None)
        super().__init__(setup)
        self.pooled = self.hp.pooled(setup.sizes)
        self.first = np.cumsum([0, *self.pooled])  # the place of each task's examples among all that have a weight
        n = int(self.first[-1])
        self.register_buffer("omega", torch.full((n,), 1 / n, dtype=torch.float64))
        self.register_buffer("history", torch.zeros(self.hp.rounds, len(self.pooled) + 1, dtype=torch.float64))

    @classmethod
    def admit(cls, hp: HParams, depth: int, tasks: Mapping[str, Task], unseen: str | None = None) -> list[str]:
        _refuse(hp, len(tasks), unseen)
        if hp.learns and any(t.form != "vector" for t in tasks.values()):
            plain = "the products of its examples' gradients are taken in forward mode, on texts with plain attention"
            return [
                plain,
                f"inverse_hessian {hp.inverse_hessian:g}: the paper's 5 is for vectors; of texts few may remain",
            ]
        return []

    @staticmethod
    def target_aware(hp: HParams) -> bool:
        return hp.learns or not hp.joint

    @staticmethod
    def exact(hp: HParams) -> bool:
        return hp.learns

    @classmethod
    def schedule(cls, hp: HParams, sizes: Sizes) -> Schedule:
        updates = hp.bounded(hp.transfer_epochs * epoch_updates(hp.pooled(sizes), hp.batch_size))
        rounds = updates // hp.every(updates) if hp.learns else 0
        transfer = {hp.paradigm: Length(updates, updates + rounds * hp.weighing(sizes))}
        return Schedule(transfer, {"finetune": hp.finetuning(sizes.own)} if not hp.joint or hp.then_finetune else {})

    # -- the training --------------------------------------------------------------------------------------------------

    def transfer(self) -> list[Stage]:
        hp = self.hp
        rows = union_batches(self.pooled, hp.batch_size, self.setup.seed, hp.paradigm)
        fresh = dict.fromkeys(range(len(self.setup.tasks)), hp.paradigm)
        stage = self.supervised(hp.paradigm, self.draw(rows), self.loss, fresh)

        def start() -> None:
            self.omega.fill_(1 / len(self.omega))
            self.history.zero_()
            stage.start()

        if not hp.learns:
            return [replace(stage, start=start)]
        every = hp.every(stage.length.updates)
        return [replace(stage, start=start, after=lambda step: self.weigh((step + 1) // every), after_every=every)]

    def places(self, rows: Rows) -> Tensor:
        """Where the weights of these (task, row) stand in w, (B,)."""
        return torch.from_numpy(self.first[rows[:, 0]] + rows[:, 1])

    def loss(self, batch: Batch) -> Tensor:
        """This rank's share of n sum_i w_i l_i over the global batch, as a mean over the batch."""
        places = self.places(np.stack([batch.task.numpy(), batch.row.numpy()], 1))
        w = self.omega[places.to(self.omega.device)].cpu()
        return self.mean_loss(batch.weighted(len(self.omega) * w))

    def adapt(self) -> list[Stage]:
        return [self.finetune()] if not self.hp.joint or self.hp.then_finetune else []

    # -- the weights ---------------------------------------------------------------------------------------------------

    def weigh(self, number: int) -> None:
        """The step `number` on the weights, counted from 1."""
        hp = self.hp
        if not hp.joint:
            self.train_f0(number)
        products = self.products(self.target_gradient())
        self.omega.copy_(mirror_step(self.omega, -hp.inverse_hessian * products, hp.eta))
        of_task = [self.omega[a:b].sum() for a, b in zip(self.first[:-1], self.first[1:], strict=True)]
        self.history[number - 1] = torch.stack([*of_task, 1 / self.omega.square().sum()])

    @property
    def phi(self) -> dict[str, Tensor]:
        """What is trained of the representation, by name."""
        return {n: p for n, p in self.named_parameters() if n.startswith("encoder.body.") and p.requires_grad}

    def slices(self, rows: Rows) -> Iterator[tuple[slice, Batch]]:
        """This rank's part of some rows, in batches that fit into memory: where they stand in `rows`, and they."""
        mine = share(len(rows), self.workers)
        batch = self.setup.corpus.batch(rows[mine])
        for part in token_budget(batch.offsets.diff().tolist()):
            yield slice(mine.start + part.start, mine.start + part.stop), batch.part(part)

    def target_gradient(self) -> Gradient:
        """v = grad_phi L_0, summed over the ranks; None where L_0 does not depend on a parameter."""
        s, phi = self.setup, list(self.phi.values())
        rows = rows_of(s.target, np.arange(s.corpus.sizes[s.target]))
        units = float(s.corpus.batch(rows).divisor)
        total: Gradient = [None] * len(phi)
        with without_dropout(self):
            for _, batch in self.slices(rows):
                g = local_gradient(self.losses(batch).sum() / units, phi)
                total = add(total, g)
        return sum_over(self.workers, total, phi)

    def products(self, v: Gradient) -> Tensor:
        """(n,) <v, grad_phi l_i> of every example that has a weight, the same on every rank, in float64.

        l_i is the loss of example i in the unit in which sum_i l_i / n is the mean loss over all examples and words.
        """
        along = {name: d for name, d in zip(self.phi, v, strict=True) if d is not None}
        out = torch.zeros_like(self.omega)
        if not along:
            return out
        rows = np.concatenate([rows_of(t, np.arange(n)) for t, n in enumerate(self.pooled)])
        scale = len(rows) / float(self.setup.corpus.batch(rows).divisor)
        with without_dropout(self):
            for place, batch in self.slices(rows):
                losses = _losses_of(self.losses, batch)
                out[place] = scale * derivative_along(self, along, losses).to(out)
        return self.workers.sum(out) if self.workers.size > 1 else out

    def train_f0(self, number: int) -> None:
        """Train the target's head `head_epochs` epochs on frozen phi, on features that are computed once.

        Every rank does all of it: there are few target examples, and a head is small.
        """
        s, hp = self.setup, self.hp
        n, body = s.corpus.sizes[s.target], self.encoder.body
        head = list(self.encoder.head(s.target).parameters())
        batch = s.corpus.batch(rows_of(s.target, np.arange(n)))
        offsets = batch.offsets.tolist()
        with without_dropout(self):
            with torch.no_grad():
                states = torch.cat(
                    [self.encoder(batch.part(p))[0] for p in token_budget(batch.offsets.diff().tolist())]
                )
            adam = torch.optim.AdamW(head, lr=hp.lr, weight_decay=0.0)
            draw = epoch_batches(s.target, n, hp.batch_size, s.seed, "f_0", number)
            for step in range(hp.head_epochs * epoch_updates([n], hp.batch_size)):
                rows = draw(step)
                drawn = s.corpus.batch(rows)
                tokens = torch.cat([torch.arange(offsets[r], offsets[r + 1]) for r in rows[:, 1]])
                answers = self.encoder.answers(drawn, states[placed(tokens, body.anchor.device)])
                loss = self.losses(drawn, answers=answers).sum() / float(drawn.divisor)
                for p, g in zip(head, local_gradient(loss, head), strict=True):
                    p.grad = g
                adam.step()
                adam.zero_grad()

    def facts(self) -> dict[str, Any]:
        """The weight of each task at every step: the sum of its examples' weights; and how many examples count.

        `effective_examples` is 1 / sum_i w_i^2: n where all weights are alike, 1 where one example has all.
        """
        if not self.hp.learns:
            return {}
        made = self.history[self.history[:, -1] > 0].tolist()
        steps = [[1 / len(self.omega) * n for n in self.pooled] + [float(len(self.omega))], *made]
        names = [(t, name) for t, name in enumerate(self.setup.tasks) if self.pooled[t]]
        return {
            "sample_weights": {
                "of_task": {name: [step[t] for step in steps] for t, name in names},
                "effective_examples": [step[-1] for step in steps],
            }
        }


def _losses_of(losses: Callable[[Batch], Tensor], batch: Batch) -> Callable[[], Tensor]:
    return lambda: losses(batch)


def _refuse(hp: HParams, tasks: int, unseen: str | None) -> None:
    if tasks < 2:
        raise DataError(Problem("weighs the examples of sources, so it needs a task beside the target", "tasks"))
    if unseen is not None and (hp.joint or hp.learns):
        what = "is trained on" if hp.joint else "decides on the weights"
        raise ConfigError(Problem(f"the target {what} in the transfer, but {unseen} is unseen", "unseen"))
