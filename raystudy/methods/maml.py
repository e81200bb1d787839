"""Meta-learning on many tasks: MAML, first-order MAML and Reptile (Dou et al. 2019), then fine-tuning on the target.

A few steps of gradient descent on one task are to lead somewhere good. So the model is not trained to be good at the
tasks as it stands, but to become good at any of them by k steps from where it stands. The three algorithms differ in
what they take for the direction in which the starting point improves.

    theta       the model and the heads of all tasks; a step on one task touches the model and that task's head
    p(T)        how likely each task is: uniform; PPS, proportional to its size; mixed, the target alone in the end
                                                                                                    (sec. 2.4)
    {T_i}       the m tasks of a meta step, drawn from p(T)                                         (Algorithm 1)
    theta_i^(k) theta after k steps on T_i: theta^(j) = theta^(j-1) - alpha grad L_i(theta^(j-1))   (eq. 1)
    MAML        theta down sum_i grad_theta L_i(theta_i^(k)), on examples that none of the k steps saw: the gradient
                goes through the steps, and with it second derivatives                              (sec. 2.3)
    FOMAML      theta down sum_i grad L_i at theta_i^(k), as if the steps had the derivative of the identity
    Reptile     theta along mean_i (theta_i^(k) - theta)
    answers     the target's head, after fine-tuning

Where the paper is silent (and what was chosen; `maml.py` is the authors' program, which holds a first-order MAML only):
    sum or mean     of the tasks' gradients: their mean, as `maml.py`; Adam makes the constant irrelevant. `reduction`
    the outer step  Adam at 5e-5, as sec. 3 has it for all three. Of Reptile Adam gets the displacement theta -
                    theta_i^(k) divided by k alpha, which makes it a mean gradient, of the size that Adam's epsilon
                    is meant for; taken literally, a rate of 5e-5 on the displacement would not move the model.
                    `outer: sgd` with `outer_lr: 1` and `scaled: false` is the equation as printed. Warm-up, decay and
                    clipping are those of all methods here; weight decay is Adam's alone
    the inner step  gradient descent, as eq. 1; `inner_optimizer: adam` is what the authors of Reptile had (Adam without
                    momentum), its second moments beginning anew with each task
    heads           part of theta. A head that no task of a step has is left alone, with its moments. The target is
                    fine-tuned from its meta-learned head; `keep_head: false` gives it a new one, as an unseen target
    the target      one of the tasks, since SciTail is named as the one that the model does not come across;
                    `include_target: false` leaves it out
    an epoch        as many meta steps as read as many batches as all tasks' examples fill; `epoch_of: episodes` counts
                    one batch for each task of a step. Whatever p(T), as sec. 3.2 says of uniform sampling
    Reptile's data  k batches and no query batch, since its step has no loss of its own: sec. 2.2 gives the last step
                    data of its own in general. One more step on such a batch would be `inner_steps` k + 1, so that this
                    is no setting
    exact MAML      is not in `maml.py`, which drops the second derivatives; that one is `fomaml` here
    mixed r:1       in every epoch uniform steps first, then the target alone, r times as few: a meta model per target.
                    An epoch too short for that is lengthened to r + 1 steps. `mixed_per: training` does it once
    repeated tasks  drawn independently, so that a step may have one task twice; `distinct_tasks` draws all others first
    metrics         Tables 2 and 3 are "accuracy or Matthews correlation", which STS-B cannot have: Pearson's. It is the
                    task's metric and no setting of a method; `task_options` of a study names another
    few examples    an episode asks for k + 1 batches of different examples. Where a task has fewer, its query batch is
                    a fair share of them, and the steps go through the others again and again (`data.draws.episode`)

Exact MAML is computed in one of two ways that agree to the last digits (`nn.inner_loop`): all steps with their graphs,
or step by step by Hessian-vector products, slower and with a fraction of the memory. `choose_route` chooses: the first
if the estimate of what it needs fits `memory_budget`, else the second. With W workers each takes whole tasks of a step,
and one sum follows; or with `split_tasks` its share of the examples of each, where every step is summed over workers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import starmap
from math import ceil
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raystudy.data.draws import TaskDistribution, drawn_tasks, episode, mixed, query_size, seed_of, task_distribution
from raystudy.data.plm import PLM
from raystudy.data.text import Batch
from raystudy.errors import ConfigError, DataError, Problem
from raystudy.methods import HESSIAN_PRODUCT, BaseMethod, Length, Logs, Schedule, Setup, Sizes, Stage
from raystudy.methods import HParams as Shared
from raystudy.nn.dropout import replayed_masks
from raystudy.nn.gradients import Gradient, adamw, add, number, scaled, step_down, warmup_linear, with_parameters
from raystudy.nn.inner_loop import (
    CompactVocabulary,
    Parts,
    Rule,
    adapted,
    by_recursion,
    gradient_at,
    rescaled,
    unrolled,
)
from raystudy.nn.memory import InnerLoopMemory, total_memory
from raystudy.tasks import Task
from raystudy.workers import Alone, Workers, share, sum_over

__all__ = ["Episode", "HParams", "Method", "choose_route", "few", "sgd"]


@dataclass(frozen=True)
class HParams(Shared):
    algorithm: str = "maml"
    inner_steps: int = 5
    alpha: float = 1e-3
    tasks_per_step: int = 8
    sampler: str = "pps"
    ratio: float = 2.0
    mixed_per: str = "epoch"
    distinct_tasks: bool = False
    meta_steps: int = 0
    meta_epochs: int = 5
    epoch_of: str = "batches"
    outer: str = "adam"
    outer_lr: float = 5e-5
    reduction: str = "mean"
    scaled: bool = True
    inner_optimizer: str = "sgd"
    include_target: bool = True
    keep_head: bool = True
    route: str = "auto"
    memory_budget: float = 0.0
    micro_batch: int = 0
    split_tasks: bool = False

    @property
    def has_query(self) -> bool:
        """Whether an episode ends with a loss on examples that its steps did not see."""
        return self.algorithm != "reptile"

    @property
    def batches(self) -> int:
        """How many batches an episode asks for."""
        return self.inner_steps + self.has_query

    def meta_tasks(self, sizes: Sizes) -> list[int]:
        """The examples of every task of the meta steps; 0 for one that takes no part."""
        apart = None if self.include_target else sizes.target
        return [0 if name == apart else n for name, n in zip(sizes.tasks, sizes.transfer, strict=True)]

    def epoch(self, sizes: Sizes) -> int:
        """The meta steps of an epoch."""
        batches = sum(ceil(n / self.batch_size) for n in self.meta_tasks(sizes))
        read = self.tasks_per_step * (self.batches if self.epoch_of == "batches" else 1)
        return ceil(batches / read)

    def steps(self, sizes: Sizes) -> int:
        """All meta steps."""
        return self.meta_steps or self.bounded(self.meta_epochs * self.epoch(sizes))

    @property
    def passes(self) -> float:
        """What a meta step costs."""
        second = HESSIAN_PRODUCT * self.inner_steps if self.algorithm == "maml" else 0.0
        return self.tasks_per_step * (self.batches + second)

    def budget(self, total: int) -> float:
        """Bytes that the second derivatives of one task may take on a machine with `total` bytes of memory."""
        return self.memory_budget * 1e9 or SHARE * total

    def memory(self, plm: PLM, batch: int, longest: int, width: int) -> InnerLoopMemory:
        """What they take, if the tokens of a batch are at most `batch`, and of a text `longest`."""
        part = min(self.micro_batch or self.batch_size, self.batch_size)
        at_once = min(batch, part * longest)
        return InnerLoopMemory(plm, self.inner_steps, batch * self.batches, at_once, longest, width)

    def distribution(self, sizes: Sizes, target: int) -> TaskDistribution:
        """p(T) at every meta step."""
        tasks = self.meta_tasks(sizes)
        if self.sampler != "mixed":
            p = task_distribution(self.sampler, tasks)
            assert p is not None
            return p
        steps = self.steps(sizes)
        period = steps if self.mixed_per == "training" else min(steps, self.epoch(sizes))
        return mixed(tasks, target, self.ratio, max(period, ceil(self.ratio + 1)))


@dataclass(frozen=True)
class Episode:
    """One task of a meta step, with the global batches of its inner steps and the query batch (None for Reptile).

    `slot` is its number among the tasks of the step: what is random in it depends on the step and on that alone.
    """

    slot: int
    task: int
    inner: tuple[Batch, ...]
    query: Batch | None


def sgd(module: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """Plain gradient descent over the trainable parameters, without decay: the outer step as it is printed."""
    return torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=lr)


class Method(BaseMethod[HParams]):
    def __init__(self, setup: Setup[HParams]) -> None:
        _refuse(setup.hp, _with_examples(setup.hp, setup.sizes), setup.unseen)
        super().__init__(setup)
        self.route = self.chosen_route() if self.hp.algorithm == "maml" else None

    @classmethod
    def admit(cls, hp: HParams, depth: int, tasks: Mapping[str, Task], unseen: str | None = None) -> list[str]:
        sizes = {name: len(t.splits["train"]) for name, t in tasks.items() if name != unseen}
        _refuse(hp, sizes, unseen is not None)
        return [*_all_alike(hp, sizes), *starmap(_said_of, few(hp, sizes).items())]

    @classmethod
    def admit_sizes(cls, hp: HParams, sizes: Sizes) -> list[str]:
        tasks = _with_examples(hp, sizes)
        _refuse(hp, tasks, sizes.unseen)
        return [*_all_alike(hp, tasks), *starmap(_said_of, few(hp, tasks).items())]

    @classmethod
    def fits(cls, hp: HParams, plm: PLM, longest: int, width: int) -> list[str]:
        if hp.algorithm != "maml":
            return []
        needed, total = hp.memory(plm, hp.batch_size * longest, longest, width), total_memory(torch.device("cpu"))
        route = choose_route(hp, needed, total)
        sizes = ", ".join(f"{route} {_gigabytes(needed.of(route))}" for route in ROUTES)
        said = f"second derivatives by {route} where texts have {longest} pieces: for a task {sizes}, at most"
        return [f"{said}, and it may take {_gigabytes(hp.budget(total))}"]

    @classmethod
    def schedule(cls, hp: HParams, sizes: Sizes) -> Schedule:
        steps = hp.steps(sizes)
        return Schedule({"meta": Length(steps, steps * hp.passes)}, {"finetune": hp.finetuning(sizes.own)})

    @staticmethod
    def target_aware(hp: HParams) -> bool:
        return hp.sampler == "mixed" or not hp.include_target

    @staticmethod
    def exact(hp: HParams) -> bool:
        return hp.algorithm == "maml"

    # -- Algorithm 1 ---------------------------------------------------------------------------------------------------

    def transfer(self) -> list[Stage]:
        return [Stage("meta", self.start, self.draws(), self.update, self.length["meta"])]

    def start(self) -> None:
        """A new head for every task, and the optimizer of the outer step."""
        for task in range(len(self.setup.tasks)):
            self.fresh_head(task, "meta")
        self.encoder.body.freeze(self.hp.freeze)
        new = adamw if self.hp.outer == "adam" else sgd
        self.optimizer = new(self.encoder, self.hp.outer_lr, self.hp.weight_decay)

    def draws(self) -> Callable[[int], list[Episode]]:
        """step -> the tasks {T_i} of this meta step, each with its batches."""
        hp, s = self.hp, self.setup
        p = hp.distribution(s.sizes, s.target)

        def draw(step: int) -> list[Episode]:
            tasks = drawn_tasks(p(step), hp.tasks_per_step, hp.distinct_tasks, s.seed, "meta", step)
            return [batches(step, slot, int(task)) for slot, task in enumerate(tasks)]

        def batches(step: int, slot: int, task: int) -> Episode:
            n = s.corpus.sizes[task]
            purpose = (s.seed, "meta", step, slot)
            inner, query = episode(task, n, hp.batch_size, hp.inner_steps, hp.has_query, *purpose)
            inner_batches = tuple(s.corpus.batch(rows) for rows in inner)
            return Episode(slot, task, inner_batches, None if query is None else s.corpus.batch(query))

        return draw

    def update(self, step: int, episodes: list[Episode]) -> Logs:
        """Update theta with eq. 2, from the tasks that were drawn."""
        hp, theta = self.hp, list(self.theta.values())
        meta: Gradient = [None for _ in theta]
        losses: list[Tensor] = []
        for e in episodes[self.across.rank :: self.across.size]:
            g, loss = self.task_gradient(step, e)
            meta = add(meta, g)
            losses.append(loss)
        each = 1 / len(episodes) if hp.reduction == "mean" or not hp.has_query else 1.0
        meta = sum_over(self.across, scaled(meta, each), theta)
        rate = hp.outer_lr * warmup_linear(self.length["meta"].updates, hp.warmup)(step)
        norm = step_down(self.running_optimizer, theta, meta, rate, hp.clip)
        return {"loss": sum(map(number, losses)) / len(episodes), "gradient_norm": norm}

    def task_gradient(self, step: int, e: Episode) -> tuple[Gradient, Tensor]:
        """What one task adds to the direction that theta moves against, and this rank's share of its last loss."""
        hp, within = self.hp, self.within
        compact = self.compact(e)
        theta = self.theta if compact is None else compact.theta(self.theta)
        steps = [self.parts(b, compact, step, e.slot, j) for j, b in enumerate(e.inner)]
        query = [] if e.query is None else self.parts(e.query, compact, step, e.slot, "query")
        if hp.algorithm == "maml" and self.route == "unroll":
            g, loss = unrolled(theta, steps, query, hp.alpha)
        elif hp.algorithm == "maml":
            g, loss = by_recursion(theta, steps, query, hp.alpha, within)
        else:
            there = adapted(theta, steps, hp.alpha, within, self.rule())  # theta_i^(k)
            if hp.algorithm == "fomaml":
                g, loss = gradient_at(there.theta, query, within)
            else:  # (theta - theta_i^(k)) / (k alpha), or without the division
                g, loss = scaled(there.total, 1 / hp.inner_steps if hp.scaled else hp.alpha), there.loss
        return g if compact is None else compact.spread(g, self.theta), loss

    def rule(self) -> Rule | None:
        """What makes a direction of the gradient of an inner step; None = nothing."""
        return rescaled() if self.hp.inner_optimizer == "adam" else None

    def adapt(self) -> list[Stage]:
        takes_part = self.hp.include_target and not self.setup.unseen
        return [self.finetune(keep_head=self.hp.keep_head and takes_part)]

    # -- the losses ----------------------------------------------------------------------------------------------------

    @property
    def theta(self) -> dict[str, Tensor]:
        """What is trained, by its names in the encoder."""
        return {name: p for name, p in self.encoder.named_parameters() if p.requires_grad}

    def compact(self, e: Episode) -> CompactVocabulary | None:
        """The word embeddings that an episode touches; None where these are not trained."""
        table = self.encoder.body.word_embeddings
        if table is None or not table.weight.requires_grad:
            return None
        return CompactVocabulary.of(self.encoder, table, [*e.inner, *([] if e.query is None else [e.query])])

    def parts(self, batch: Batch, compact: CompactVocabulary | None, *purpose: object) -> Parts:
        """The mean loss over a global batch: this rank's share of it, in parts of `micro_batch` examples.

        Dropout is that of `purpose` and of the part's place in the batch: whoever computes it, and however often.
        """
        mine = share(len(batch), self.within)
        size = self.hp.micro_batch or max(1, mine.stop - mine.start)
        starts = range(mine.start, mine.stop, size) if mine.stop > mine.start else [mine.start]
        batch_here = batch if compact is None else compact.batch(batch)

        def part(start: int) -> Callable[[Mapping[str, Tensor]], Tensor]:
            examples = batch_here.part(slice(start, min(start + size, mine.stop)))
            seed = seed_of(self.setup.seed, "meta", "masks", *purpose, start)

            def loss() -> Tensor:
                with replayed_masks(self.encoder.body.anchor.device, seed):
                    losses = self.losses(examples)
                return losses.sum() / batch.divisor.to(losses.dtype)

            return lambda theta: with_parameters(self.encoder, theta, loss)

        return [part(start) for start in starts]

    # -- who computes what, and how ------------------------------------------------------------------------------------

    @property
    def within(self) -> Workers:
        """The ranks that share the examples of an episode: all, or this one alone."""
        return self.workers if self.hp.split_tasks else Alone()

    @property
    def across(self) -> Workers:
        """The ranks that share the episodes of a meta step: this one alone, or all."""
        return Alone() if self.hp.split_tasks else self.workers

    def chosen_route(self) -> str:
        """How exact gradients are computed: ``unroll`` or ``recursion``; the same on every rank.

        Raises:
            ConfigError: neither fits into the memory budget.
        """
        lengths = np.concatenate([np.diff(p.offsets) for p in self.setup.corpus.parts])
        longest = np.sort(lengths)[-self.hp.batch_size :]  # all might be in one batch
        anchor = self.encoder.body.anchor
        needed = self.hp.memory(self.setup.plm, int(longest.sum()), int(longest[-1]), anchor.element_size())
        return choose_route(self.hp, needed, min(self.workers.gather(total_memory(anchor.device))))

    def facts(self) -> dict[str, Any]:
        """How second derivatives were computed, and which tasks had too few examples for their episodes."""
        tasks = _with_examples(self.hp, self.setup.sizes)
        out: dict[str, Any] = {"route": self.route} if self.hp.algorithm == "maml" else {}
        short = {name: {"examples": n, "query": q} for name, (n, q, _) in few(self.hp, tasks).items()}
        return out | ({"few_examples": short} if short else {})


ROUTES = ("unroll", "recursion")
SHARE = 0.25  # of a machine's memory, for one task's gradient: several trainings may be under way


def choose_route(hp: HParams, needed: InnerLoopMemory, total: int) -> str:
    """``unroll`` if it fits the budget, else ``recursion``; or what `route` says.

    Args:
        total: bytes of the machine's memory.

    Raises:
        ConfigError: what was chosen is more than `memory_budget` or, where none is given, than the whole memory.
    """
    if hp.split_tasks:
        route = "recursion"  # a sum over workers cannot be unrolled
    elif hp.route != "auto":
        route = hp.route
    else:
        route = "unroll" if needed.of("unroll") <= hp.budget(total) else "recursion"
    most = hp.budget(total) if hp.memory_budget else total
    if needed.of(route) > most:
        text = f"the second derivatives of one task take about {_gigabytes(needed.of(route))} by {route}, but may take"
        key = "memory_budget" if hp.memory_budget else "route"
        raise ConfigError(Problem(f"{text} {_gigabytes(most)}; {_cure(needed, route, most)}", key))
    return route


def _cure(needed: InnerLoopMemory, route: str, most: float) -> str:
    """What would need less, or that nothing does."""
    if route == "unroll" and needed.of("recursion") <= most:
        return f"route: recursion needs {_gigabytes(needed.of('recursion'))}"
    least = replace(needed, at_once=min(needed.at_once, needed.longest)).of("recursion")
    if least <= most:
        return f"{'route: recursion with ' * (route == 'unroll')}a smaller micro_batch needs less"
    less = "fewer inner_steps, shorter texts, and fomaml, which takes no second derivatives"
    return f"even with micro_batch: 1 it would be {_gigabytes(least)} by recursion. What needs less: {less}"


def _gigabytes(n: float) -> str:
    return f"{n / 1e9:.2g} GB" if n < 1e10 else f"{n / 1e9:.0f} GB"


def few(hp: HParams, sizes: Mapping[str, int]) -> dict[str, tuple[int, int, int]]:
    """Tasks with examples, but too few for an episode -> how many they are, and of these the query's; and the asked."""
    asked = hp.batches * hp.batch_size
    return {
        name: (n, query_size(n, hp.batch_size, hp.inner_steps) if hp.has_query else 0, asked)
        for name, n in sizes.items()
        if 0 < n < asked
    }


def _with_examples(hp: HParams, sizes: Sizes) -> dict[str, int]:
    """The tasks of the meta steps -> their examples."""
    return {name: n for name, n in zip(sizes.tasks, hp.meta_tasks(sizes), strict=True) if n}


def _all_alike(hp: HParams, sizes: Mapping[str, int]) -> list[str]:
    """That drawing by size makes no difference between these tasks, if so."""
    if hp.sampler != "pps" or len(sizes) < 2 or len({*sizes.values()}) > 1:
        return []
    n = next(iter(sizes.values()))
    return [f"its {len(sizes)} tasks have {n:,} training examples each, so that pps draws them alike, as uniform does"]


def _said_of(name: str, counts: tuple[int, int, int]) -> str:
    n, query, asked = counts
    apart = f", {query} of them are its query batch and" if query else " and"
    return f"{name}: an episode asks for {asked} examples, there are {n}{apart} its steps read the others repeatedly"


def _refuse(hp: HParams, sizes: Mapping[str, int], unseen: bool) -> None:
    """Raise for everything that these settings cannot do, or that these tasks (name -> examples) are too small for."""
    config, data = [], []
    if hp.sampler == "mixed" and (unseen or not hp.include_target):
        why = "is unseen" if unseen else "is left out by include_target: false"
        text = f"mixed draws the target alone in the end of each epoch, but the target {why}"
        config.append(Problem(f"{text}; pps and uniform do without it, and what is set is not searched", "sampler"))
    if hp.inner_optimizer == "adam" and hp.algorithm == "maml":
        text = "must be sgd for exact second derivatives, whose equations hold for gradient descent, but is adam"
        config.append(Problem(text, "inner_optimizer"))
    if hp.split_tasks and hp.route == "unroll" and hp.algorithm == "maml":
        text = "must be recursion where tasks are split over workers (split_tasks), since a sum over workers cannot be"
        config.append(Problem(f"{text} unrolled, but is unroll", "route"))
    if not sizes:
        data.append(Problem("learns from the tasks that are left, but none is", "tasks"))
    needed = 2 if hp.has_query else 1
    for name, n in sizes.items():
        if n < needed:
            text = f"needs {needed} training examples, for its steps and for the loss behind them, but has {n}"
            data.append(Problem(text, f"task {name}"))
    if config:
        raise ConfigError(config)
    if data:
        raise DataError(data)
