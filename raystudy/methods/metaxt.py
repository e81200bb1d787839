"""MetaXT: Meta Cross-Task Transfer between disparate label spaces (Sharma et al. 2021), with XT and the RTN.

Examples of another task are labelled by a small network in the classes of our task, and the model learns from both. The
network is judged by one question: if the model took a step on these labels, would it do better on other examples of our
task? The answer has a derivative, and the network follows it.

    Theta       theta (the PLM), w (the target's head), v (the source's head)
    g_alpha     LTN: [h(x_s); emb(y_s)] -> 3 layers -> softmax over the target's classes: the soft label q   (sec. 3.1)
    h(x_s)      what the source says: the contextual representation of [CLS], or of a word                   (sec. 3.1)
    L_train     E_t CE(y, f_{theta,w}) + gamma1 E_s CE(y, f_{theta,v}) + gamma2 E_s CE(q, f_{theta,w})   (eqs. 2, 3)
    L_meta      E_t CE(y, f_{theta,w}) on other target examples than those of L_train
    XT          min over Theta and alpha of L_train; `bilevel: false`                                      (sec. 4.4)
    MetaXT      alpha down grad_alpha L_meta(Theta - eta grad_Theta L_train(Theta, alpha))                (eqs. 4, 5)
                then Theta down grad_Theta L_train(Theta, alpha), with the new alpha                   (Algorithm 1)
    RTN         h + phi(h) at one layer, phi of 3 layers, in the third term alone: f_{theta,w,phi}(x_s)    (sec. 4.3.2)
    answers     f_{theta,w} alone

Where the paper is silent (and what was chosen; MLC and MetaXL are earlier programs of the same authors):
    h               taken as a constant, as in MLC and MetaXL. It is what the heads read (`feature`: [CLS] behind the
                    model's pooler, or the mean); of a word, the state of its first piece. `ltn_input: cls` is the bare
                    state of [CLS], as the paper's words have it: a model that is tuned for the mean hardly trains it
    a target batch  |B| different examples, drawn anew each time. Its first half x' is for L_train, the other, x'', for
                    L_meta; `full_batch_main` steps Theta on both. It is not split where nothing is learned from L_meta:
                    in XT, with a fixed map, and while the LTN is held still. `meta_batch_size` gives L_meta more than
                    half a batch (ours)
    a source batch  |B| examples of shuffled epochs over all sources
    alpha then Theta    Theta's gradient is that of the new alpha, with the same dropout; `reuse_grad`: that of the old
    eta             the learning rate as scheduled (`eta`: its peak, or a fixed rate); the virtual step is plain SGD
                    though the real one is AdamW
    the meta-gradient   computed without its factor eta, which Adam would cancel but for its epsilon; `scale_by_eta`
                    puts it back. `route`: three ways to compute eq. 5, two of them exact (`nn/meta_gradient.py`)
    LTN             hidden 128, tanh, labels embedded in 64, Xavier (MLC); no skip connection: the label sets differ
    optimizer       one AdamW; alpha and phi without weight decay, at a rate of their own by the same schedule
    clipping        Theta's gradient is clipped, that of alpha and phi is not; in XT all are clipped together
    RTN             residual, width 192, ReLU, its input a constant; learned with alpha by the same meta-gradient
                    (MetaXL)
    XT's LTN        learned at the rate of Theta
    gamma1, gamma2  1; "tuned by cross-validation"
Beyond the paper: several sources, each with an LTN or all with one that is told the source (its future work); the LTN,
and the RTN with it, held still at first or in the end; an LTN that starts from even labels; gamma2 rising;
`ltn_centred`; a fixed map in the place of the LTN, as the control that a learned one must beat.

`ltn_centred`: a class of the target that is answered too rarely at the moment is a good label for every source example,
whatever its own label; of the meta-gradient this part is much the larger one with few examples, and it makes the LTN
give the same label to all before it can tell the source's classes apart. Less their mean over the source's labels the
logits can only say how these differ.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from raystudy.catalogue import class_map, layers
from raystudy.data.draws import epoch_updates, joint_batches, rng, rows_of, seed_of, task_distribution
from raystudy.data.text import IGNORED, Batch, Encoded, placed
from raystudy.errors import ConfigError, DataError, Problem, UserError, did_you_mean, quoted
from raystudy.methods import (
    BACKWARD,
    FORWARD_MODE,
    HESSIAN_PRODUCT,
    BaseMethod,
    Length,
    Logs,
    Schedule,
    Setup,
    Sizes,
    Stage,
)
from raystudy.methods import HParams as Shared
from raystudy.nn.dropout import replayed_masks, without_dropout
from raystudy.nn.encoder import token_budget
from raystudy.nn.gradients import (
    Gradient,
    adamw,
    add,
    local_gradient,
    number,
    scaled,
    step_down,
    summed_gradient,
    warmup_linear,
)
from raystudy.nn.label_transfer import LTN, RTN, FixedMap
from raystudy.nn.meta_gradient import Bilevel, Terms, VirtualStep, train_gradient, virtual_step
from raystudy.tasks import Task
from raystudy.workers import share, sum_over

__all__ = ["Batches", "HParams", "Method", "fixed_map"]

SHOWN = 256  # source examples whose labels the record averages


@dataclass(frozen=True)
class HParams(Shared):
    lr: float = 3e-5
    batch_size: int = 10
    epochs: int = 3
    bilevel: bool = True
    ltn: str = "learned"
    label_map: str = ""
    gamma1: float = 1.0
    gamma2: float = 1.0
    gamma2_ramp: float = 0.0
    ltn_lr: float = 1e-4
    ltn_hold: float = 0.0
    ltn_until: float = 1.0
    ltn_width: int = 128
    ltn_embedding: int = 64
    ltn_input: str = "feature"
    ltn_start: str = "xavier"
    ltn_centred: bool = False
    ltn_sources: str = "each"
    sampler: str = "epochs"
    rtn: bool = False
    rtn_layer: str = "1/2"
    rtn_width: int = 192
    eta: str = "scheduled"
    eta_fixed: float = 0.01
    scale_by_eta: bool = False
    reuse_grad: bool = False
    full_batch_main: bool = False
    meta_batch_size: int = 0
    route: str = "jvp"

    @property
    def has_meta_loss(self) -> bool:
        """Whether something is learned from L_meta, so that the target batch is split in two."""
        return self.bilevel and (self.ltn == "learned" or self.rtn)

    def learns(self, done: float) -> bool:
        """Whether the LTN or the RTN learns from L_meta after the fraction `done` of the updates."""
        return self.has_meta_loss and self.ltn_hold <= done < self.ltn_until

    def learning_updates(self, updates: int) -> int:
        """How many of so many updates learn from L_meta: those from `ltn_hold` on and before `ltn_until`."""
        if not self.has_meta_loss:
            return 0
        steps = range(updates)
        hold, until = (bisect_left(steps, x, key=lambda step: step / updates) for x in (self.ltn_hold, self.ltn_until))
        return max(0, until - hold)

    @property
    def ahead(self) -> int:
        """How many examples L_meta is computed on, if the target has as many."""
        return self.meta_batch_size or self.batch_size // 2

    def passes(self, learns: bool) -> float:
        """What an update costs: one that `learns` from L_meta, or one that steps down L_train alone."""
        source = 2.0 if self.rtn else 1.0  # with the RTN the third term has a pass of its own
        if not learns:
            return source + 1.0
        train = source + 0.5  # L_train on x_s and x'
        ahead = self.ahead / self.batch_size  # L_meta on x''
        through = HESSIAN_PRODUCT if self.rtn or self.route == "double_backward" else FORWARD_MODE  # eq. 5
        if self.reuse_grad:
            real = 0.0
        elif self.route == "double_backward":
            real = train  # all of L_train once more
        else:
            real = 1.0 if self.rtn else BACKWARD  # the third term, anew or through the graph that is there
        return train + ahead + through + real + (ahead if self.full_batch_main else 0.0)


def fixed_map(value: str, sources: Mapping[str, Sequence[str]], target: str, classes: Sequence[str]) -> Tensor:
    """(all sources' classes in order, the target's classes): each row even over the classes that `value` names for it.

    The map may say more than this target needs, since a study has one for all its targets: of what a class stands for,
    the target's own classes count.

    Raises:
        ConfigError: every source class that stands for no class of the target.
    """
    known = class_map(value)
    table, missing = [], []
    for name, labels in sources.items():
        for label in labels:
            row = torch.tensor([float(c in known.get(label, ())) for c in classes])
            if not row.any():
                missing.append(f"{quoted(label)} of {name}")
            table.append(row / row.sum())
    if missing:
        text = f"must say which classes of {target} ({', '.join(classes)}) these stand for: {', '.join(missing)}"
        raise ConfigError(Problem(text, "label_map"))
    return torch.stack(table)


@dataclass(frozen=True)
class Batches:
    """The global batches of one update: x_s, and of the target x' (`main`) and x'' (`ahead`).

    x'' is empty where nothing is learned from it.
    """

    source: Batch
    main: Batch
    ahead: Batch


class Method(BaseMethod[HParams]):
    def __init__(self, setup: Setup[HParams]) -> None:
        parts, target = setup.corpus.parts, setup.target
        _refuse(setup.hp, {t: p.kind for t, p in zip(setup.tasks, parts, strict=True)})
        super().__init__(setup)
        hp, body = self.hp, self.encoder.body
        self.sources = [i for i in range(len(parts)) if i != target]
        classes = [parts[i].outputs for i in self.sources]
        if hp.ltn == "fixed":
            named = {setup.tasks[i]: parts[i].classes for i in self.sources}
            table = fixed_map(hp.label_map, named, setup.tasks[target], parts[target].classes)
            self.ltn: LTN | FixedMap = FixedMap(table, classes)
        else:
            universal = hp.ltn_sources == "universal"
            prior = _shares(parts[target]) if hp.ltn_centred else None
            outputs = parts[target].outputs
            self.ltn = LTN(body.hidden, classes, outputs, hp.ltn_width, hp.ltn_embedding, universal, prior)
        self.ltn.to(body.anchor)
        self.rtn = RTN(_layer(hp.rtn_layer, body.depth), body.hidden, hp.rtn_width).to(body.anchor) if hp.rtn else None
        if hp.has_meta_loss and min(len(parts[target]), hp.batch_size) < 2:
            raise DataError(Problem(f"{_SPLIT}, but train holds {len(parts[target])}", setup.tasks[target]))
        self.fresh_meta()

    @classmethod
    def admit(cls, hp: HParams, depth: int, tasks: Mapping[str, Task], unseen: str | None = None) -> list[str]:
        _refuse(hp, {name: t.kind for name, t in tasks.items()})
        lines = []
        if hp.has_meta_loss and hp.ltn_hold >= hp.ltn_until:
            lines.append(f"the LTN never learns: ltn_until ({hp.ltn_until}) is not above ltn_hold ({hp.ltn_hold})")
        if hp.rtn:
            lines.append(f"RTN behind layer {_layer(hp.rtn_layer, depth)} of {depth}")
        if hp.ltn == "fixed":
            _refuse_map(hp.label_map, tasks)
            lines.append(f"fixed label map: {hp.label_map}")
        return lines

    @staticmethod
    def target_aware(hp: HParams) -> bool:
        return True

    @staticmethod
    def inside_layers(hp: HParams) -> bool:
        return hp.rtn

    @classmethod
    def untouched_layers(cls, hp: HParams, depth: int) -> int:
        return _layer(hp.rtn_layer, depth) - 1 if hp.rtn else depth

    @staticmethod
    def exact(hp: HParams) -> bool:
        return hp.has_meta_loss and hp.route != "fd_logits"

    @classmethod
    def schedule(cls, hp: HParams, sizes: Sizes) -> Schedule:
        updates = hp.bounded(hp.epochs * epoch_updates(sizes.others, hp.batch_size))
        learning = hp.learning_updates(updates)
        passes = learning * hp.passes(True) + (updates - learning) * hp.passes(False)
        return Schedule(adapt={"xt": Length(updates, passes)})

    # -- the meta-parameters -------------------------------------------------------------------------------------------

    @property
    def meta(self) -> list[nn.Parameter]:
        """alpha, and phi behind it."""
        return [*self.ltn.parameters(), *(self.rtn.parameters() if self.rtn is not None else ())]

    def fresh_meta(self) -> None:
        """A new LTN and RTN, the same on every rank."""

        def generator(name: str) -> torch.Generator:
            return torch.Generator().manual_seed(seed_of(self.setup.seed, "metaxt", name))

        if isinstance(self.ltn, LTN):
            self.ltn.fresh(generator("ltn"), self.hp.ltn_start == "even")
        if self.rtn is not None:
            self.rtn.fresh(generator("rtn"))

    # -- the stage -----------------------------------------------------------------------------------------------------

    def adapt(self) -> list[Stage]:
        hp, length = self.hp, self.length["xt"]
        every = -(-length.updates // hp.validations) if hp.validations else 0
        return [Stage("xt", self.start, self.draws(), self.update, length, self.setup.target, every)]

    def start(self) -> None:
        """New heads, LTN and RTN; one optimizer for Theta, alpha and phi."""
        for task in range(len(self.setup.tasks)):
            self.fresh_head(task, "xt")
        self.fresh_meta()
        self.encoder.body.freeze(self.hp.freeze)
        self.optimizer = adamw(self.encoder, self.hp.lr, self.hp.weight_decay)
        if self.meta:
            self.optimizer.add_param_group({"params": self.meta, "weight_decay": 0.0})

    def done(self, step: int) -> float:
        """The fraction of the updates that lie before this one."""
        return step / self.length["xt"].updates

    def draws(self) -> Callable[[int], Batches]:
        """step -> the global batches."""
        hp, seed, corpus, target = self.hp, self.setup.seed, self.setup.corpus, self.setup.target
        n, sizes = corpus.sizes[target], [corpus.sizes[i] for i in self.sources]
        rows = joint_batches(sizes, hp.batch_size, task_distribution(hp.sampler, sizes), False, seed, "xt")

        def draw(step: int) -> Batches:
            source = rows(step)
            source = np.stack([np.asarray(self.sources)[source[:, 0]], source[:, 1]], 1)
            mine = rng(seed, "xt", "target", step).permutation(n)
            main, ahead = hp.batch_size, 0
            if hp.learns(self.done(step)):
                main, ahead = -(-min(n, hp.batch_size) // 2), hp.ahead
            batch = corpus.batch(rows_of(target, mine[: main + ahead]))
            return Batches(corpus.batch(source), batch.part(slice(0, main)), batch.part(slice(main, None)))

        return draw

    def update(self, step: int, batches: Batches) -> Logs:
        """One round of Algorithm 1; where nothing is learned from L_meta, one step down L_train."""
        hp, problem = self.hp, self.bilevel(batches, step, self.gamma2(self.done(step)))
        if not hp.learns(self.done(step)):
            return self.train_step(step, problem)
        # Theta' = Theta - eta grad_Theta L_train(Theta, alpha), and the gradient of L_meta(Theta') w.r.t. alpha and phi
        eta, keep = self.eta(step), {"keep_graph": self.keeps_graph, "keep_terms": self.keeps_terms}
        virtual = virtual_step(problem, eta, hp.route, self.workers, **keep)
        # alpha, and phi, down that gradient
        meta = scaled(virtual.meta, eta if hp.scale_by_eta else 1.0)
        meta_norm = step_down(self.running_optimizer, self.meta, meta, hp.ltn_lr * self.factor(step))
        # Theta down grad_Theta L_train(Theta, alpha), with the new alpha
        g = self.theta_gradient(problem, virtual, batches)
        norm = step_down(self.running_optimizer, problem.parameters, g, self.rate(step), hp.clip)
        return {"loss": number(virtual.terms.loss().detach()), "gradient_norm": norm, "meta_gradient_norm": meta_norm}

    def train_step(self, step: int, problem: Bilevel) -> Logs:
        """Down the gradient of L_train: in XT Theta, alpha and phi; in MetaXT Theta, while alpha and phi are held."""
        moving = problem.parameters if self.hp.has_meta_loss else [*problem.parameters, *self.meta]
        loss = problem.train_terms().loss()
        g = summed_gradient(loss, moving, self.workers)
        norm = step_down(self.running_optimizer, moving, g, self.rate(step), self.hp.clip)
        return {"loss": number(loss.detach()), "gradient_norm": norm}

    def theta_gradient(self, problem: Bilevel, virtual: VirtualStep, batches: Batches) -> Gradient:
        """grad_Theta L_train(Theta, alpha) at the alpha and phi of now, summed over ranks."""
        hp = self.hp
        terms = {**virtual.others, "third": virtual.third}  # at the old alpha
        if not hp.reuse_grad:
            terms = train_gradient(problem, virtual, hp.route)
        if hp.full_batch_main:
            terms["target"] = self.on_both_halves(terms["target"], problem, batches)
        return sum_over(self.workers, add(*terms.values()), problem.parameters)

    def on_both_halves(self, first: Gradient, problem: Bilevel, batches: Batches) -> Gradient:
        """This rank's gradient of the target's loss on x' and x'' together, from that on x'."""
        n, ahead = int(batches.main.units.sum()), int(batches.ahead.units.sum())
        both = max(1, n + ahead)
        return add(scaled(first, n / both), local_gradient(ahead / both * problem.meta_loss(), problem.parameters))

    @property
    def keeps_graph(self) -> bool:
        """Whether the real step goes backwards through the graph of the virtual one."""
        return not self.hp.reuse_grad and self.rtn is None

    @property
    def keeps_terms(self) -> bool:
        """Whether the real step needs the gradients of L_train's terms one by one."""
        return self.hp.full_batch_main or self.rtn is not None

    # -- rates ---------------------------------------------------------------------------------------------------------

    def factor(self, step: int) -> float:
        """The fraction of the peak rates at this step."""
        return warmup_linear(self.length["xt"].updates, self.hp.warmup)(step)

    def rate(self, step: int) -> float:
        """The learning rate of Theta."""
        return self.hp.lr * self.factor(step)

    def eta(self, step: int) -> float:
        """The rate of the virtual step."""
        return {"scheduled": self.rate(step), "peak": self.hp.lr, "fixed": self.hp.eta_fixed}[self.hp.eta]

    def gamma2(self, done: float) -> float:
        """The weight of the third term: rising linearly while less than `gamma2_ramp` of the updates are done."""
        ramp = self.hp.gamma2_ramp
        return self.hp.gamma2 * (1.0 if done >= ramp else done / ramp)

    # -- the losses ----------------------------------------------------------------------------------------------------

    def bilevel(self, batches: Batches, step: int, gamma2: float) -> Bilevel:
        """L_train and L_meta on the batches of this step."""
        losses = _Losses(self, batches, step, gamma2)
        return Bilevel(
            module=self.encoder,
            theta={name: p for name, p in self.encoder.named_parameters() if p.requires_grad},
            alpha=list(self.ltn.parameters()),
            train_terms=losses.train_terms,
            log_p=losses.log_p,
            labels=losses.labels,
            meta_loss=losses.meta_loss,
            inside=self.rtn,
        )

    def ltn_reads(
        self, batch: Batch, states: Float[Tensor, "t h"]
    ) -> tuple[Float[Tensor, "n h"], Int[Tensor, "n"], Int[Tensor, "n"]]:
        """What the LTN reads of source examples, or of their labelled words: h, y, and the number of the source.

        The number stays on the CPU, where the LTN asks which examples are of which source.
        """
        states = states.detach()  # h is a constant
        task = batch.task - (batch.task > self.setup.target).long()  # counted among the sources alone
        if self.setup.corpus.parts[self.setup.target].kind != "tagging":
            there = batch.to(states.device)
            offsets = there.offsets
            as_heads = self.hp.ltn_input == "feature"
            h = self.encoder.feature(states, offsets) if as_heads else states.index_select(0, offsets[:-1])
            return h.detach(), there.labels, task
        words = (batch.tags != IGNORED).nonzero().squeeze(1)
        task = task[batch.owner[words]]
        return states[placed(words, states.device)], placed(batch.tags[words], states.device), task

    # -- what it learned -----------------------------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """The learned label map: per source and class of it the mean soft label over some of its training examples."""
        parts, names = self.setup.corpus.parts, self.setup.tasks
        target = parts[self.setup.target]
        out = {}
        for i in self.sources:
            mean = self.mean_labels(i)
            rows = [None if row.isnan().any() else row.tolist() for row in mean]
            out[names[i]] = {"classes": list(parts[i].classes), "mean": rows}
        return {"label_map": {"target_classes": list(target.classes), "sources": out}}

    @torch.no_grad()
    def mean_labels(self, task: int) -> Float[Tensor, "s k"]:
        """The mean of q over at most `SHOWN` training examples of a source, per class; NaN where a class has none."""
        part = self.setup.corpus.parts[task]
        total = torch.zeros(part.outputs, self.setup.corpus.parts[self.setup.target].outputs + 1, dtype=torch.float64)
        rows = rng(self.setup.seed, "xt", "shown", self.setup.tasks[task]).permutation(len(part))[:SHOWN]
        rows = rows[share(len(rows), self.workers)]
        with without_dropout(self):
            for some in token_budget(np.diff(part.offsets)[rows].tolist()):
                batch = self.setup.corpus.batch(rows_of(task, rows[some]))
                h, y, source = self.ltn_reads(batch, self.encoder(batch)[0])
                q = self.ltn(h, y, source).double().cpu()
                total.index_add_(0, y.cpu(), torch.cat([q, torch.ones(len(q), 1, dtype=torch.float64)], 1))
        if self.workers.size > 1:
            total = self.workers.sum(total.reshape(-1).to(self.encoder.body.anchor.device)).view(total.shape).cpu()
        return total[:, :-1] / total[:, -1:]


class _Losses:
    """L_train and L_meta on the batches of one update: this rank's share, every term divided by its global count."""

    def __init__(self, method: Method, batches: Batches, step: int, gamma2: float) -> None:
        self.method, self.gamma2 = method, gamma2
        self.n_source, self.n_main, self.n_ahead = (
            int(b.divisor) for b in (batches.source, batches.main, batches.ahead)
        )
        self.source, self.main, self.ahead = (
            b.shard(method.workers) for b in (batches.source, batches.main, batches.ahead)
        )
        self.mask_seed = seed_of(method.setup.seed, "xt", "masks", step, method.workers.rank)
        classes = method.setup.corpus.parts[method.setup.target].outputs
        self.no_rows = method.encoder.body.anchor.new_zeros(0, classes)
        self.ltn_reads: tuple[Tensor, Tensor, Tensor] | None = None  # of the last pass

    def train_terms(self) -> Terms:
        """L_train (eqs. 2, 3): the target's term, the source's own, and what the third consists of."""
        method, nothing = self.method, self.no_rows.sum()
        log_p, source = self.no_rows, nothing
        with replayed_masks(self.no_rows.device, self.mask_seed):
            if len(self.source):
                states = method.encoder(self.source)[0]
                # before the source's own head, so that `log_p`, which draws these masks again, meets the same ones
                log_p = self.as_target(states)
                self.ltn_reads = method.ltn_reads(self.source, states)
                source = method.losses(self.source, answers=method.encoder.answers(self.source, states)).sum()
            target = method.losses(self.main).sum() / self.n_main
        source, c = method.hp.gamma1 / self.n_source * source, self.gamma2 / self.n_source
        if method.rtn is None:  # the source's own term goes through the pass of the third
            return Terms(others={"target": target}, shared=source, log_p=log_p, q=self.labels(), c=c)
        others = {"target": target, "source": source}
        return Terms(others=others, shared=nothing, log_p=self.log_p(), q=self.labels(), c=c)

    def log_p(self) -> Float[Tensor, "n k"]:
        """log f_{theta,w,phi}(x_s), the target's head on source examples, the RTN in its place where there is one."""
        if not len(self.source):
            return self.no_rows
        with replayed_masks(self.no_rows.device, self.mask_seed):
            return self.as_target(self.method.encoder(self.source, inside=self.method.rtn)[0])

    def as_target(self, states: Float[Tensor, "t h"]) -> Float[Tensor, "n k"]:
        """What the target's head says of source examples."""
        (answers,) = self.method.encoder.answers(self.source, states, head=self.method.setup.target)
        return answers.logits.log_softmax(-1)

    def labels(self) -> Float[Tensor, "n k"]:
        """q, the soft labels of source examples, for the alpha of now."""
        return self.no_rows if self.ltn_reads is None else self.method.ltn(*self.ltn_reads)

    def meta_loss(self) -> Tensor:
        """L_meta."""
        return self.method.losses(self.ahead).sum() / self.n_ahead


_SPLIT = "a target batch is split in two, so it needs two examples"


def _shares(part: Encoded) -> Float[Tensor, "k"]:
    """The share of each class among the labels of `part`, each counted once more than it occurs: none is impossible."""
    labels = torch.from_numpy(part.tags[part.tags != IGNORED] if part.kind == "tagging" else part.labels)
    count = torch.bincount(labels, minlength=part.outputs).double() + 1
    return count / count.sum()


def _layer(value: str, depth: int) -> int:
    """The one layer that `value` names."""
    try:
        found = layers(value, depth)
    except ValueError as e:
        raise ConfigError(Problem(f"rtn_layer {e}", "rtn_layer")) from None
    if len(found) > 1:
        raise ConfigError(Problem(f"rtn_layer must be one layer, but is {value!r}", "rtn_layer"))
    return found[0]


def _refuse(hp: HParams, kinds: Mapping[str, str]) -> None:
    """Raise for everything that these settings cannot do, or these tasks are nothing for."""
    config, data = [], []
    if hp.has_meta_loss and hp.batch_size < 2:
        config.append(Problem(f"{_SPLIT}, but batch_size is {hp.batch_size}", "batch_size"))
    if hp.rtn and hp.bilevel and hp.route == "fd_logits":
        text = "fd_logits differentiates soft labels alone, and an RTN changes the model's own answers: take jvp"
        config.append(Problem(text, "route"))
    if hp.ltn == "fixed" and not hp.label_map:
        config.append(Problem("ltn: fixed needs a label_map, e.g. {bad: [1, 2], good: [4, 5]}", "label_map"))
    if len(kinds) < 2:
        data.append(Problem("transfers labels from a source task, so it needs two tasks", "tasks"))
    if odd := [name for name, kind in kinds.items() if kind == "regression"]:
        data.append(Problem(f"transfers classes, but there are none in {', '.join(odd)}", "tasks"))
    elif len(set(kinds.values())) > 1:
        said = ", ".join(f"{name} is {kind}" for name, kind in kinds.items())
        data.append(Problem(f"needs labels of examples in all tasks, or of words in all, but {said}", "tasks"))
    if config:
        raise ConfigError(config)
    if data:
        raise DataError(data)


def _refuse_map(value: str, tasks: Mapping[str, Task]) -> None:
    """Raise for class names that no task has, and for a map that fits no choice of the target."""
    every = [c for t in tasks.values() for c in t.labels]
    said = class_map(value)
    wrong = dict.fromkeys(c for k, v in said.items() for c in (k, *v) if c not in every)
    if wrong:
        texts = (f"no task has a class {quoted(c)}{did_you_mean(c, every)}" for c in wrong)
        raise ConfigError(Problem(text, "label_map") for text in texts)
    problems: list[Problem] = []
    for target, t in tasks.items():
        try:
            fixed_map(value, {n: s.labels for n, s in tasks.items() if n != target}, target, t.labels)
        except UserError as e:
            problems += e.problems
        else:
            return
    raise ConfigError(problems)
