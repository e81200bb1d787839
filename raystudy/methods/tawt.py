"""TAWT: target-aware weighted training (Chen et al. 2022), Algorithm 1, in all paradigms of its tables.

One encoder is trained on several tasks, each with a weight in the loss. The weights are learned on the way: a task
whose gradient points where the target's points gains weight, and one that pulls the encoder elsewhere loses it. So the
target decides, while the model is trained, which source tasks it learns from.

    phi             the encoder;  f_t: the head of task t, of the target t = 0 and of the sources t = 1..T
    L_t             the mean loss of task t over its labelled examples, or words
    omega           the weights, on the simplex: none negative, their sum is one
    pre-training    min over phi, f_1..f_T of sum_{t=1..T} omega_t L_t(phi, f_t)                          (eq. 2.2)
                    then min over f_0 of L_0(phi, f_0), phi frozen or tuned with it                       (eq. 2.3)
    joint           min over phi, f_0..f_T of sum_{t=0..T} omega_t L_t(phi, f_t)                          (eq. 2.9)
    g_t             -c cos(grad_phi L_0, grad_phi L_t), with c = 1                                         (sec. 4)
                    -grad_phi L_0' [sum_s omega_s grad^2_phi L_s]^-1 grad_phi L_t: `dissimilarity: exact` (eq. 2.7)
    omega_t         <- omega_t exp(-eta g_t) / sum_s omega_s exp(-eta g_s)                                (eq. 2.8)
    distance        of the weighted sources to the target: L_0*(phi_omega) - L_0*(phi_0), L* the least loss of a head on
                    a given encoder, phi_0 the encoder trained on the target alone: `distance`          (Def. 3.1)

    rows of the tables      Pre-Training: `paradigm: pre_training`;  Joint Training: `paradigm: joint`;  Normalized
                            Joint Training: `joint` with `initial: normalized`;  Weighted ...: `weighting: adaptive`;
                            fixed weights: `weighting: fixed`, trained anew with the weights that a run has learned

Two spaces of weights. A batch is of one task, and all batches of all tasks are shuffled, so that a task is drawn as
often as it is large; the loss of a batch is multiplied by (T + 1) w_t. What the paper's objective calls omega_t is then
proportional to n_t w_t. The record has both at every update: `multiplier` (w, as in the paper's Table 6) and
`effective`. The mirror step is the same in either.

A gradient is that of a random subset of the training examples of its task, over phi alone, without dropout, of the
unweighted loss, summed over workers before any cosine is taken. Where a gradient is zero its cosine is undefined: that
weight stays as it is, and the record says so.

What a weight update costs is counted in the passes of its stage: T + 1 gradients of `subset` examples each, fewer where
a task has fewer; in pre-training the forward passes of the epochs of f_0; under `exact` also `cg_iterations` Hessian
products over all tasks, which is the most there can be.

Where the paper is silent, or its code differs (and what was chosen):
    the rounds k        four, one for each epoch, as in the code (the text: "a few steps"). The weights are updated
                        between two rounds; the update behind the last one, which nobody would use, is left out
    joint weights       printed with sums over t = 1..T: read with the target, T + 1 of them
    f_0 in joint        trained with all else, as in the code; no steps of its own
    f_0 in pre-training  one epoch on frozen phi behind each round, from the same random head each time, in a copy that
                        the training does not see, as in the code; `warm_f0` goes on from the last one (Algorithm 1)
    L_t of words        a mean over the words of a batch; `mean_over: sentences`: over the means of sentences
    the target's cosine with itself  1. The joint weights therefore hardly depend on the data: with sources near 0,
                        three updates multiply the target's odds by e^3. `target_weight: kept` learns the sources' alone
    normalized          exactly proportional to 1 / n_t; `rounded`: to two decimals, as in the code of Table 1
    the Hessian         of all parameters of phi (printed as r x r), with the effective weights; damped, since that of
                        a network is not positive definite. Conjugate gradients stop where they meet negative curvature
    the distance        measured on the target's training examples. Its heads have a penalty, without which the least
                        loss of few examples is zero on any encoder; phi_0 gets as many updates as the sources. It may
                        come out below zero, since neither encoder is the best one there is
    seeds               the code seeds anew behind every round, so that all rounds draw the same batches: not done
Beyond the paper: the target's gradient on held-out examples of it (`held_out`), the gradients of several subsets
averaged (`subsets`), tasks drawn equally often (`sampler: uniform`), fine-tuning behind joint training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raystudy.catalogue import task_weights
from raystudy.data.draws import (
    Rows,
    epoch_batches,
    epoch_updates,
    joint_batches,
    rng,
    rows_of,
    seed_of,
    task_distribution,
)
from raystudy.data.text import Batch
from raystudy.errors import ConfigError, DataError, Problem, did_you_mean
from raystudy.methods import FORWARD, HESSIAN_PRODUCT, BaseMethod, Length, Schedule, Setup, Sizes, Stage
from raystudy.methods import HParams as Shared
from raystudy.nn.conjugate_gradient import STOPS, Solution, solve
from raystudy.nn.dropout import without_dropout
from raystudy.nn.gradients import (
    Gradient,
    adamw,
    add,
    descend,
    dot,
    local_gradient,
    norm,
    warmup_linear,
    with_parameters,
)
from raystudy.nn.head_minimum import distance_facts, least_task_loss
from raystudy.nn.hessian import hessian_product
from raystudy.nn.mirror_descent import mirror_step
from raystudy.tasks import Task
from raystudy.workers import sum_over

__all__ = ["HParams", "Method", "effective", "initial_weights"]

UNDEFINED = float("nan")  # the dissimilarity of a task whose gradient is zero, or that takes no part


@dataclass(frozen=True)
class HParams(Shared):
    warmup: float = 0.0
    weight_decay: float = 0.0
    epochs: int = 4
    paradigm: str = "joint"
    weighting: str = "adaptive"
    omega: str = ""
    initial: str = "even"
    rounded: bool = False
    transfer_epochs: int = 4
    sampler: str = "epochs"
    mean_over: str = "words"
    rounds: int = 4
    eta: float = 1.0
    dissimilarity: str = "cosine"
    subset: int = 64
    subsets: int = 1
    held_out: float = 0.0
    target_weight: str = "learned"
    head_epochs: int = 1
    warm_f0: bool = False
    damping: float = 1.0
    cg_iterations: int = 10
    cg_tolerance: float = 1e-3
    stage2: str = "tuned"
    distance: bool = False
    head_penalty: float = 1e-3
    then_finetune: bool = False

    @property
    def joint(self) -> bool:
        """Whether the target is trained together with the sources."""
        return self.paradigm == "joint"

    @property
    def learns(self) -> bool:
        """Whether weights are learned here: for this training, or for one with fixed weights behind it."""
        return self.weighting == "adaptive" or (self.weighting == "fixed" and not self.omega)

    @property
    def first(self) -> str:
        """The name of the first stage."""
        return "joint" if self.joint else "pre"

    def held(self, n: int) -> int:
        """How many of the target's `n` examples the weights are learned on and nothing else is."""
        return min(max(1, round(self.held_out * n)), n - 1) if self.held_out and self.learns else 0

    def weighed(self, sizes: Sizes) -> dict[str, int]:
        """The training examples of every task that has a weight, in suite order; all of them, also held-out ones."""
        return {name: n for name, n in sizes.tasks.items() if self.joint or name != sizes.target}

    @property
    def measures(self) -> bool:
        """Whether the distance of the sources to the target is measured."""
        return self.distance and not self.joint

    def features(self, n: int) -> float:
        """The passes of computing the features of the target's `n` examples."""
        return FORWARD * math.ceil(n / self.batch_size)

    def every(self, updates: int) -> int:
        """The length of a round in updates."""
        return max(1, math.ceil(updates / self.rounds))

    def stage(self, sizes: Sizes, learned: bool) -> Length:
        """How long one training with these weights is, and what it and its weight updates cost."""
        n = trained_on(self, sizes, learned)
        updates = self.bounded(self.transfer_epochs * epoch_updates(n, self.batch_size, self.sampler, True))
        times = math.ceil(updates / self.every(updates)) - 1 if learned else 0
        return Length(updates, updates + times * self.update_passes(sizes))

    def update_passes(self, sizes: Sizes) -> float:
        """What one update of the weights costs, in passes."""
        held, most = self.held(sizes.own), self.subset * self.subsets
        own = sizes.own - held
        read = {name: min(most, own if name == sizes.target else n) for name, n in self.weighed(sizes).items()}
        passes = (min(most, held or own) + sum(read.values())) / self.batch_size
        if self.joint and not held:
            passes -= read[sizes.target] / self.batch_size  # it is the target's gradient itself
        if not self.joint:
            passes += self.head_epochs * math.ceil(own / self.batch_size) * FORWARD
        if self.dissimilarity == "exact":
            passes += self.cg_iterations * (1 + HESSIAN_PRODUCT) * sum(read.values()) / self.batch_size
        return passes


# ---------------------------------------------------------------------------------------------------------------------
# weights


def initial_weights(n: Sequence[int], rule: str, rounded: bool = False, target: int | None = None) -> Tensor:
    """(K,) multipliers before the first update, over the tasks that have examples.

    Args:
        n: the examples of each task; 0 for one without a weight.
        rule: ``even``, or ``normalized``: proportional to 1 / n_t, so that the effective weights are even.
        rounded: ``normalized`` to two decimals (at least 0.01), the target has the rest (the code of Table 1).
        target: which task that is, if it has a weight.

    Raises:
        DataError: the rounded weights of the sources leave the target none.
    """
    size = torch.tensor(n, dtype=torch.float64)
    there = size > 0
    w = there.double() if rule == "even" else torch.where(there, 1 / size.clamp_min(1), 0.0)
    w = w / w.sum()
    if rule == "even" or not rounded:
        return w
    w = torch.where(there, (100 * w).round().clamp_min(1) / 100, 0.0)
    if target is None:
        return w / w.sum()
    w[target] = 0.0
    rest = 1 - float(w.sum())
    if rest <= 0:
        text = f"weights of {len(n) - 1} sources rounded to two decimals sum to {float(w.sum()):g}, so none is left"
        raise DataError(Problem(f"{text} for the target", "rounded"))
    w[target] = rest
    return w


def effective(omega: Tensor, n: Sequence[int], sampler: str) -> Tensor:
    """(K,) the weights in the objective that multipliers amount to: proportional to n_t w_t.

    Where the sampler draws every task equally often, they are the multipliers.
    """
    weight = omega if sampler == "uniform" else omega * torch.tensor(n, dtype=omega.dtype)
    return weight / weight.sum()


def literal_weights(value: str, tasks: Sequence[str], target: str, joint: bool) -> Tensor:
    """(K,) the weights that the setting `omega` says.

    Raises:
        ConfigError: it names a task without a weight, or leaves out one that has one.
    """
    said = task_weights(value)
    wanted = [t for t in tasks if joint or t != target]
    problems = [f"{t} has no weight here{did_you_mean(t, wanted)}" for t in said if t not in wanted]
    problems += [f"the weight of {t} is missing (0 leaves it out)" for t in wanted if t not in said]
    if problems:
        what = f"must give a weight to each of {', '.join(wanted)}" + ("" if joint else f" (target {target})")
        raise ConfigError(Problem(f"{what}, but {'; '.join(problems)}", "omega"))
    w = torch.tensor([said.get(t, 0.0) for t in tasks], dtype=torch.float64)
    return w / w.sum()


def trained_on(hp: HParams, sizes: Sizes, learned: bool) -> list[int]:
    """The examples of every task that a training draws from: 0 for one without a weight.

    Args:
        learned: whether this is the training that learns the weights, which leaves out what is held out for them.
    """
    weighed = hp.weighed(sizes)
    if hp.weighting == "fixed" and hp.omega:
        said = task_weights(hp.omega)
        weighed = {name: n for name, n in weighed.items() if said.get(name, 1.0)}
    held = {sizes.target: hp.held(sizes.own) if learned else 0}
    return [weighed.get(name, 0) - (held.get(name, 0) if name in weighed else 0) for name in sizes.tasks]


class Method(BaseMethod[HParams]):
    """TAWT; what its weights are, were, and were learned from is part of its state.

    Attributes:
        omega: (K,) the multipliers of now, by task; 0 for a task without a weight.
        made: how many updates there were of them; the rows below are counted from this one's start.
        history: (rounds, K) the multipliers before and behind each update.
        signals: (rounds, K) the cosines of each update, or under `exact` g; `defined` (rounds, K) says which there are.
        solved: (rounds, 3) how the conjugate gradients of each update ended.
        f0_weight, f0_bias: the head that f_0 of pre-training starts from.
        least: L_0* on phi_0, and on phi_omega.
    """

    omega: Tensor
    made: Tensor
    history: Tensor
    signals: Tensor
    defined: Tensor
    solved: Tensor
    f0_weight: Tensor
    f0_bias: Tensor
    least: Tensor

    def __init__(self, setup: Setup[HParams]) -> None:
        target = setup.tasks[setup.target]
        _refuse(setup.hp, setup.tasks, target, target if setup.unseen else None)
        if setup.hp.held_out and setup.hp.learns and setup.sizes.own < 2:
            text = "sets an example aside and trains on another, so the target needs two, but train holds one"
            raise DataError(Problem(f"held_out {text}", target))
        super().__init__(setup)
        rounds, count, head = self.hp.rounds, len(setup.tasks), self.encoder.head(setup.target)
        self.register_buffer("omega", torch.zeros(count, dtype=torch.float64))
        self.register_buffer("made", torch.zeros((), dtype=torch.int64))
        self.register_buffer("history", torch.zeros(rounds, count, dtype=torch.float64))
        self.register_buffer("signals", torch.zeros(rounds, count, dtype=torch.float64))
        self.register_buffer("defined", torch.zeros(rounds, count, dtype=torch.bool))
        self.register_buffer("solved", torch.zeros(rounds, 3, dtype=torch.float64))
        self.register_buffer("f0_weight", head.weight.detach().clone())
        self.register_buffer("f0_bias", head.bias.detach().clone())
        self.register_buffer("least", torch.zeros(2, dtype=torch.float64))

    @classmethod
    def admit(cls, hp: HParams, depth: int, tasks: Mapping[str, Task], unseen: str | None = None) -> list[str]:
        return _refuse(hp, tuple(tasks), None, unseen)

    @staticmethod
    def target_aware(hp: HParams) -> bool:
        return True

    @staticmethod
    def exact(hp: HParams) -> bool:
        return hp.learns and hp.dissimilarity == "exact"

    @staticmethod
    def builds_on(hp: HParams) -> Mapping[str, Any]:
        """Fixed weights are those that the same training with adaptive ones ends with."""
        return {"weighting": "adaptive"} if hp.weighting == "fixed" and hp.learns else {}

    @classmethod
    def schedule(cls, hp: HParams, sizes: Sizes) -> Schedule:
        transfer = {hp.first: hp.stage(sizes, hp.learns)}
        features = Length(0, hp.features(sizes.own) if hp.measures else 0.0)
        if hp.measures:  # as many updates as the sources have
            transfer = {"own": Length.plain(transfer[hp.first].updates) + features, **transfer}
        if cls.builds_on(hp):
            transfer["fixed"] = hp.stage(sizes, False)
        finetune = hp.finetuning(sizes.own) + features
        return Schedule(transfer, {"finetune": finetune} if not hp.joint or hp.then_finetune else {})

    # -- step 1: the encoder and the heads, with the weights of now ----------------------------------------------------

    def transfer(self) -> list[Stage]:
        stages = [self.trained_with_weights(self.hp.first, self.hp.learns)]
        if self.hp.measures:
            stages = [self.own_encoder(), *stages]
        return [*stages, self.trained_with_weights("fixed", False)] if self.builds_on(self.hp) else stages

    def trained_with_weights(self, name: str, learned: bool) -> Stage:
        """Training on all tasks that have a weight. Without `learned` the weights stay what they are at its start."""
        hp, seed = self.hp, self.setup.seed
        n = trained_on(hp, self.setup.sizes, learned)
        rows = joint_batches(n, hp.batch_size, task_distribution(hp.sampler, n), True, seed, hp.first)
        fresh = dict.fromkeys(self.weighed, hp.first)
        draw = self.draw(self.not_held_out(rows) if learned else rows)
        stage = self.supervised(name, draw, partial(self.loss, tasks=sum(k > 0 for k in n)), fresh)

        def start() -> None:
            self.encoder.body.restart()
            if name != "fixed":
                self.fresh_weights(n)
            stage.start()

        def after(step: int) -> None:
            if step + 1 < stage.length.updates:
                self.update_weights(step)

        if not learned:
            return replace(stage, start=start)
        return replace(stage, start=start, after=after, after_every=hp.every(stage.length.updates))

    def fresh_weights(self, n: Sequence[int]) -> None:
        """The first omega, and the random head f_0 of pre-training."""
        hp, target, names = self.hp, self.setup.target, self.setup.tasks
        if hp.omega and hp.weighting == "fixed":
            self.omega.copy_(literal_weights(hp.omega, names, names[target], hp.joint))
        else:
            self.omega.copy_(initial_weights(n, hp.initial, hp.rounded, target if hp.joint else None))
        self.made.zero_()
        self.history[0] = self.omega
        draw = torch.Generator().manual_seed(seed_of(self.setup.seed, "head", "f_0", names[target]))
        self.f0_weight.copy_(0.02 * torch.randn(self.f0_weight.shape, generator=draw, dtype=torch.float64))
        self.f0_bias.zero_()

    @property
    def weighed(self) -> list[int]:
        """The tasks that have a weight: all in joint training, the sources in pre-training."""
        return [t for t in range(len(self.setup.tasks)) if self.hp.joint or t != self.setup.target]

    def loss(self, batch: Batch, tasks: int) -> Tensor:
        """This rank's share of (T + 1) w_t L_t on a batch of task t, T + 1 being how many `tasks` are trained on."""
        (task,) = set(batch.task.tolist())
        return tasks * float(self.omega[task]) * self.task_loss(batch)

    def task_loss(self, batch: Batch) -> Tensor:
        """This rank's share of L_t on a batch of one task."""
        if self.hp.mean_over == "sentences":
            units = batch.units
            there = (units > 0).sum().clamp_min(1)
            batch = batch.weighted(batch.divisor / (there * units.clamp_min(1)).double())
        return self.mean_loss(batch)

    # -- what is held out ----------------------------------------------------------------------------------------------

    def own_rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The target's examples: those that are trained on, and those held out for the weights."""
        n, held = self.setup.sizes.own, self.hp.held(self.setup.sizes.own)
        if not held:
            return np.arange(n), np.arange(0)
        order = rng(self.setup.seed, "tawt", "held out").permutation(n)
        return np.sort(order[held:]), np.sort(order[:held])

    def not_held_out(self, draw: Callable[[int], Rows]) -> Callable[[int], Rows]:
        """The same draws, in which the target's rows are counted among those that are trained on."""
        trained = self.own_rows()[0]

        def rows(step: int) -> Rows:
            drawn = draw(step)
            own = drawn[:, 0] == self.setup.target
            drawn[own, 1] = trained[drawn[own, 1]]
            return drawn

        return rows

    # -- step 2: the target's head on the encoder as it stands ---------------------------------------------------------

    def target_head(self, step: int) -> dict[str, Tensor]:
        """f_0 after this round, by the names of its parameters; of the live model nothing has moved.

        In joint training it is the live head itself, so there is nothing to replace.
        """
        if self.hp.joint:
            return {}
        hp, target = self.hp, self.setup.target
        probe = nn.Linear(self.f0_weight.shape[1], len(self.f0_weight)).to(self.f0_weight)
        with torch.no_grad():
            probe.weight.copy_(self.f0_weight)
            probe.bias.copy_(self.f0_bias)
        head = {f"heads.{target}.weight": probe.weight, f"heads.{target}.bias": probe.bias}
        optimizer = adamw(probe, hp.lr, hp.weight_decay)
        n = len(self.own_rows()[0])
        rows = epoch_batches(target, n, hp.batch_size, self.setup.seed, "tawt", "f_0", step)
        draw = self.draw(self.not_held_out(rows))
        updates = hp.head_epochs * math.ceil(n / hp.batch_size)
        factor = warmup_linear(updates, hp.warmup)
        self.encoder.body.freeze("all")
        for i in range(updates):
            batch = draw(i)
            loss = with_parameters(self.encoder, head, lambda batch=batch: self.task_loss(batch))  # type: ignore[misc]
            descend(loss, optimizer, hp.lr * factor(i), hp.clip, self.workers)
        self.encoder.body.freeze(hp.freeze)
        if hp.warm_f0:
            self.f0_weight.copy_(probe.weight.detach())
            self.f0_bias.copy_(probe.bias.detach())
        return {name: p.detach() for name, p in head.items()}

    # -- step 3: the weights -------------------------------------------------------------------------------------------

    def update_weights(self, step: int) -> None:
        """One step of mirror descent (eq. 2.8), from g_t at (phi, f) as they stand behind this update."""
        head = self.target_head(step)
        with without_dropout(self):
            signals = self.dissimilarities(step, head)
        g = signals if self.hp.dissimilarity == "exact" else -signals
        if self.hp.target_weight == "kept" and self.hp.joint:
            g[self.setup.target] = UNDEFINED
        k = int(self.made)
        self.signals[k] = signals.nan_to_num(0.0)
        self.defined[k] = ~signals.isnan()
        self.omega.copy_(mirror_step(self.omega, g, self.hp.eta))
        self.made += 1
        self.history[k + 1] = self.omega

    def dissimilarities(self, step: int, head: Mapping[str, Tensor]) -> Tensor:
        """(K,) cos(grad L_0, grad L_t) for every task, or g_t under `exact`; NaN where a gradient is zero.

        Of the gradients two are held at a time, the target's and one other.
        """
        hp, target, out = self.hp, self.setup.target, torch.full_like(self.omega, UNDEFINED)
        trained, held = self.own_rows()
        own = self.gradient(self.subset(target, step, held if len(held) else trained), head)
        length = finite(float(norm(own)))
        if not length:
            return out
        exact = hp.dissimilarity == "exact"
        against = self.inverse_times(own, step).x if exact else own

        def compared(g: Gradient) -> float:
            other = finite(float(norm(g)))
            if not other:
                return UNDEFINED
            product = finite(float(dot(against, g)))
            return -product if exact else product / (length * other)

        for t in self.weighed:
            if t != target or len(held):
                out[t] = compared(self.gradient(self.subset(t, step)))
            else:
                out[t] = compared(own) if exact else 1.0
        return out

    def subset(self, task: int, step: int, rows: NDArray[np.int64] | None = None) -> list[Batch]:
        """Random subsets of a task's training examples, `subsets` of them where it has as many; no example twice."""
        hp, name = self.hp, self.setup.tasks[task]
        if rows is None:
            rows = self.own_rows()[0] if task == self.setup.target else np.arange(self.setup.corpus.sizes[task])
        drawn = rng(self.setup.seed, "tawt", "subset", name, step).permutation(rows)[: hp.subset * hp.subsets]
        cuts = range(hp.subset, len(drawn), hp.subset)
        return [self.setup.corpus.batch(rows_of(task, r)) for r in np.split(drawn, cuts)]

    @property
    def phi(self) -> dict[str, Tensor]:
        """The parameters of the encoder that are trained, without heads, by their names in it."""
        return {name: p for name, p in self.encoder.named_parameters() if name.startswith("body.") and p.requires_grad}

    def gradient(self, batches: Sequence[Batch], head: Mapping[str, Tensor] | None = None) -> Gradient:
        """grad_phi L_t, the mean over the batches of a task, summed over ranks."""
        phi = list(self.phi.values())
        local: Gradient = [None for _ in phi]
        for batch in batches:
            loss = with_parameters(self.encoder, head or {}, lambda batch=batch: self.task_loss(batch))  # type: ignore[misc]
            local = add(local, local_gradient(loss / len(batches), phi))
        for some in _buckets(phi):  # so that no second copy of it is made on the way
            local[some] = sum_over(self.workers, local[some], phi[some])
        return local

    def inverse_times(self, own: Gradient, step: int) -> Solution:
        """[sum_s omega_s grad^2_phi L_s + damping I]^-1 grad_phi L_0, by conjugate gradients (eq. 2.7)."""
        hp, phi = self.hp, self.phi
        weight = effective(self.omega, trained_on(hp, self.setup.sizes, True), hp.sampler)
        batches = [
            (float(weight[t]) / len(found), b) for t in self.weighed for found in [self.subset(t, step)] for b in found
        ]

        def product(v: Gradient) -> Gradient:
            total: Gradient = [None for _ in phi]
            for w, batch in batches:

                def loss(theta: Mapping[str, Tensor], w: float = w, batch: Batch = batch) -> Tensor:
                    return w * with_parameters(self.encoder, theta, lambda: self.task_loss(batch))

                total = add(total, hessian_product(loss, phi, v))
            return sum_over(self.workers, total, list(phi.values()))

        found = solve(product, own, damping=hp.damping, iterations=hp.cg_iterations, tolerance=hp.cg_tolerance)
        ended = [found.iterations, found.residual, STOPS.index(found.stopped)]
        self.solved[int(self.made)] = torch.tensor(ended, dtype=torch.float64)
        return found

    # -- stage 2, and what answers -------------------------------------------------------------------------------------

    def adapt(self) -> list[Stage]:
        if self.hp.joint:
            return [self.finetune(keep_head=True)] if self.hp.then_finetune else []
        stage = self.finetune(freeze="all" if self.hp.stage2 == "frozen" else None)

        def start() -> None:
            self.least[1] = self.least_target_loss()
            stage.start()

        return [replace(stage, start=start)] if self.hp.measures else [stage]

    # -- the distance of the sources to the target (Def. 3.1) ----------------------------------------------------------

    def own_encoder(self) -> Stage:
        """phi_0: the encoder trained on the target alone, for as many updates as the sources get; and L_0*(phi_0)."""
        hp, target = self.hp, self.setup.target
        rows = epoch_batches(target, self.setup.sizes.own, hp.batch_size, self.setup.seed, "tawt", "own")
        stage = self.supervised("own", self.draw(rows), self.task_loss, {target: hp.first})

        def after(step: int) -> None:
            self.least[0] = self.least_target_loss()

        return replace(stage, after=after, after_every=stage.length.updates)

    def least_target_loss(self) -> float:
        """L_0*(phi): the least loss of a head on the encoder as it stands, over the target's training examples."""
        part = self.setup.corpus.parts[self.setup.target]
        return least_task_loss(self.encoder, part, penalty=self.hp.head_penalty, workers=self.workers)

    # -- the record ----------------------------------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """The weights of every round, as multipliers and in effect, and what they were learned from."""
        hp, sizes = self.hp, self.setup.sizes
        out = {"omega": self.learned_weights()}
        if self.builds_on(hp):
            fixed = self.weights_after([0], self.omega[None], trained_on(hp, sizes, False))
            out = {"omega": fixed, "omega_before": out["omega"]}
        if hp.measures:
            own, source = self.least.tolist()
            out["task_distance"] = distance_facts(source, own)
        return out

    def learned_weights(self) -> dict[str, Any]:
        """The course of the weights in the first stage, of those without an update their start alone."""
        hp, made = self.hp, int(self.made)
        every = hp.every(self.length[hp.first].updates)
        n = trained_on(hp, self.setup.sizes, hp.learns)
        out = self.weights_after([k * every for k in range(made + 1)], self.history[: made + 1], n)
        if not hp.learns:
            return out
        signals = torch.where(self.defined, self.signals, UNDEFINED)[:made][:, self.weighed]
        rows = [[None if math.isnan(x) else x for x in row] for row in signals.tolist()]
        out["g" if hp.dissimilarity == "exact" else "cosine"] = rows
        if hp.dissimilarity == "exact":
            out["solver"] = [
                {"iterations": int(i), "residual": r, "stopped": STOPS[int(s)]}
                for i, r, s in self.solved[:made].tolist()
            ]
        undefined = {
            name: [k * every for k, row in enumerate(rows, 1) if row[i] is None] for i, name in enumerate(out["tasks"])
        }
        if any(undefined.values()):
            out["undefined"] = {name: steps for name, steps in undefined.items() if steps}
        return out

    def weights_after(self, updates: list[int], omega: Tensor, n: Sequence[int]) -> dict[str, Any]:
        """Rows (K,) of `omega`, set behind these updates, as the record has them."""
        weighed, names = self.weighed, self.setup.tasks
        return {
            "tasks": [names[t] for t in weighed],
            "target": names[self.setup.target],
            "after": updates,
            "multiplier": omega[:, weighed].tolist(),
            "effective": [effective(w, n, self.hp.sampler)[weighed].tolist() for w in omega],
        }


def _buckets(theta: Sequence[Tensor], numbers: int = 2**22) -> Iterator[slice]:
    """Cut parameters into consecutive slices of at least so many numbers, but for the last."""
    start = held = 0
    for i, p in enumerate(theta, 1):
        held += p.numel()
        if held >= numbers or i == len(theta):
            yield slice(start, i)
            start, held = i, 0


def finite(x: float) -> float:
    """`x` itself.

    Raises:
        FloatingPointError: it is none of the numbers that weights can be learned from.
    """
    if not math.isfinite(x):
        raise FloatingPointError(f"a gradient that the weights are learned from has the size {x}: training diverged")
    return x


def _refuse(hp: HParams, tasks: Sequence[str], target: str | None, unseen: str | None) -> list[str]:
    """What the plan should say; raises for all that these tasks and settings cannot do.

    Args:
        target: None where it is not known yet, so that literal weights need to fit one choice of it.
    """
    if len(tasks) < 2:
        raise DataError(Problem("weighs source tasks for a target, so it needs two tasks", "tasks"))
    if unseen is not None and (hp.joint or hp.learns):
        text = "weights are learned from the target's examples, and joint training trains on them, so it must take part"
        raise ConfigError(Problem(f"{text} in the transfer, but {unseen} is unseen", "unseen"))
    if hp.omega and hp.weighting == "fixed":
        _refuse_literal(hp, tasks, [target] if target else tasks[:1] if hp.joint else tasks)
    if len(tasks) == 2 and not hp.joint:
        return ["one source: its weight is 1 throughout"]
    return []


def _refuse_literal(hp: HParams, tasks: Sequence[str], targets: Sequence[str]) -> None:
    """Raise for literal weights that fit none of `targets`."""
    problems: list[Problem] = []
    for target in targets:
        try:
            literal_weights(hp.omega, tasks, target, hp.joint)
        except ConfigError as e:
            problems += e.problems
        else:
            return
    raise ConfigError(problems)
