"""MetaXT: Meta Cross-Task Transfer between disparate label spaces (Sharma et al. 2021), with XT and the RTN.

    Theta       theta (the PLM), w (the target's head), v (the source's head)
    g_alpha     LTN: [h(x_s); emb(y_s)] -> 3 layers -> softmax over the target's classes: the soft label q   (sec. 3.1)
    h(x_s)      what the source says: the contextual representation of [CLS], or of a word                   (sec. 3.1)
    L_train     E_t CE(y, f_{theta,w}) + gamma1 E_s CE(y, f_{theta,v}) + gamma2 E_s CE(q, f_{theta,w})       (eq. 2)
    L_meta      E_t CE(y, f_{theta,w}) on other target examples than those of L_train
    XT          min over Theta and alpha of L_train                                                        (sec. 4.4)
    MetaXT      alpha down grad_alpha L_meta(Theta - eta grad_Theta L_train(Theta, alpha))                (eqs. 4, 5)
                then Theta down grad_Theta L_train(Theta, alpha), with the new alpha                   (Algorithm 1)
    RTN         h + phi(h) at one layer, phi of 3 layers, in the third term alone: f_{theta,w,phi}(x_s)    (sec. 4.3.2)
    answers     f_{theta,w} alone

Where the paper is silent (and what was chosen; MLC and MetaXL are earlier programs of the same authors):
    h               detached, as in MLC and MetaXL; what the heads read (`feature`: [CLS] behind the model's pooler, or
                    the mean); a word: its first piece's state. `ltn_input: cls` is the bare state of [CLS], as the
                    paper's words have it: with models that are tuned for the mean it says less
    a target batch  |B| different examples, drawn anew each time; its first half x' is for L_train, the other, x'', for
                    L_meta; `full_batch_main` steps Theta on both. Not split where nothing is learned from L_meta: XT, a
                    fixed map, an LTN that is held still. `meta_batch_size` gives L_meta more than half a batch (ours)
    a source batch  |B| examples of shuffled epochs over all sources
    alpha then Theta    Theta's gradient is that of the new alpha, with the same dropout; `reuse_grad`: that of the old
    eta             the learning rate as scheduled; the virtual step is plain SGD though the real one is AdamW
    the meta-gradient   divided by eta, which Adam would cancel but for its epsilon; `scale_by_eta` is literal
    LTN             hidden 128, tanh, labels embedded in 64, Xavier (MLC); no skip connection: the label sets differ
    optimizers      AdamW; the LTN's without weight decay, at its own rate and by the same schedule
    RTN             residual, width 192, ReLU, input detached, learned with alpha by the same meta-gradient (MetaXL)
    XT's LTN        learned at the rate of Theta
    gamma1, gamma2  1; "tuned by cross-validation"
Beyond the paper: several sources, each with an LTN or all with one that is told the source (its future work); the LTN
held still at first or in the end, or starting from even labels; gamma2 rising; `ltn_centred`; a fixed map in the place
of the LTN, as the control that a learned one must beat.

`ltn_centred`: a class of the target that is answered too rarely at the moment is a good label for every source example,
whatever its own label; of the meta-gradient this part is much the larger one with few examples, and it makes the LTN
give the same label to all before it can tell the source's classes apart. Less their mean over the source's labels the
logits can only say how these differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from raystudy.catalogue import class_map, layers
from raystudy.data.draws import epoch_updates, joint_batches, rng, seed_of
from raystudy.data.text import IGNORED, Batch, Encoded
from raystudy.errors import ConfigError, DataError, Problem, UserError, did_you_mean, quoted
from raystudy.methods import BaseMethod, Setup, Sizes, Stage, Updates
from raystudy.methods import HParams as Shared
from raystudy.nn.encoder import token_budget
from raystudy.nn.gradients import adamw, step_down, warmup_linear
from raystudy.nn.label_transfer import LTN, RTN, FixedMap
from raystudy.nn.meta_gradient import Bilevel, MetaGradient, Terms, add, gradient, meta_gradient
from raystudy.nn.workers import share, sum_over
from raystudy.tasks import Task

__all__ = ["Drawn", "HParams", "Method", "fixed_map"]

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
class Drawn:
    """The global batches of one update; `ahead` (x'') is empty where nothing is learned from it."""

    source: Batch
    main: Batch
    ahead: Batch


class Method(BaseMethod):
    HParams = HParams

    def __init__(self, setup: Setup) -> None:
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
        self.splits = _splits(hp)
        if self.splits and min(len(parts[target]), hp.batch_size) < 2:
            raise DataError(Problem(f"{_SPLIT}, but train holds {len(parts[target])}", setup.tasks[target]))
        self.fresh_meta()

    @classmethod
    def admit(cls, hp: Any, depth: int, tasks: Mapping[str, Task]) -> list[str]:
        _refuse(hp, {name: t.kind for name, t in tasks.items()})
        lines = []
        if _splits(hp) and hp.ltn_hold >= hp.ltn_until:
            lines.append(f"the LTN never learns: ltn_until ({hp.ltn_until}) is not above ltn_hold ({hp.ltn_hold})")
        if hp.rtn:
            lines.append(f"RTN behind layer {_layer(hp.rtn_layer, depth)} of {depth}")
        if hp.ltn == "fixed":
            _refuse_map(hp.label_map, tasks)
            lines.append(f"fixed label map: {hp.label_map}")
        return lines

    @staticmethod
    def target_aware(hp: Any) -> bool:
        return True

    @staticmethod
    def exact(hp: Any) -> bool:
        return _splits(hp) and hp.route != "fd_logits"

    @classmethod
    def planned(cls, hp: Any, sizes: Sizes, target: str) -> tuple[Updates, Updates]:
        return {}, {"xt": _updates(hp, [n for name, n in sizes.items() if name != target])}

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
        hp, target, steps = self.hp, self.setup.target, self.steps
        factor = warmup_linear(steps, hp.warmup)

        def start() -> None:
            for task in range(len(self.setup.tasks)):
                self.fresh_head(task, "xt")
            self.fresh_meta()
            self.encoder.body.freeze(hp.freeze)
            self.optimizer = adamw(self.encoder, hp.lr, hp.weight_decay)
            if self.meta:
                self.optimizer.add_param_group({"params": self.meta, "weight_decay": 0.0})

        every = -(-steps // hp.validations) if hp.validations else 0
        select = target if hp.validations else None

        def update(step: int, drawn: Drawn) -> Mapping[str, float]:
            return self.update(step, drawn, step / steps, factor(step))

        return [Stage("xt", start, self.drawing(), update, steps, select, every)]

    @property
    def steps(self) -> int:
        """How many updates there are."""
        return _updates(self.hp, [self.setup.corpus.sizes[i] for i in self.sources])

    def learns(self, done: float) -> bool:
        """Whether the LTN or the RTN learns from L_meta after the fraction `done` of the updates."""
        return self.splits and self.hp.ltn_hold <= done < self.hp.ltn_until

    def drawing(self) -> Callable[[int], Drawn]:
        """step -> the global batches."""
        hp, seed, corpus = self.hp, self.setup.seed, self.setup.corpus
        target, n, steps = self.setup.target, corpus.sizes[self.setup.target], self.steps
        rows = joint_batches([corpus.sizes[i] for i in self.sources], hp.batch_size, hp.sampler, False, seed, "xt")

        def draw(step: int) -> Drawn:
            source = rows(step)
            source = np.stack([np.asarray(self.sources)[source[:, 0]], source[:, 1]], 1)
            mine = rng(seed, "xt", "target", step).permutation(n)
            main, ahead = hp.batch_size, 0
            if self.learns(step / steps):
                main, ahead = -(-min(n, hp.batch_size) // 2), hp.meta_batch_size or hp.batch_size // 2
            batch = corpus.batch(np.stack([np.full_like(mine, target), mine], 1)[: main + ahead])
            return Drawn(corpus.batch(source), batch.part(slice(0, main)), batch.part(slice(main, None)))

        return draw

    def update(self, step: int, drawn: Drawn, done: float, factor: float) -> Mapping[str, float]:
        """One round of Algorithm 1, after the fraction `done` of them, at the fraction `factor` of the peak rates."""
        hp, optimizer = self.hp, self.optimizer
        assert optimizer is not None
        problem = self.bilevel(drawn, step, self.gamma2(done))
        theta, lr = list(problem.theta.values()), hp.lr * factor
        if not self.learns(done):
            joint = theta if self.splits else [*theta, *self.meta]  # with alpha: XT
            loss = problem.train().loss()
            grads = sum_over(self.workers, gradient(loss, joint), joint)
            return {"loss": float(loss.detach()), "gradient_norm": step_down(optimizer, joint, grads, lr, hp.clip)}
        eta = {"scheduled": lr, "peak": hp.lr, "fixed": hp.eta_fixed}[hp.eta]
        keep = not hp.reuse_grad and self.rtn is None
        apart = hp.full_batch_main or self.rtn is not None
        found = meta_gradient(problem, eta, hp.route, self.workers, keep=keep, apart=apart)
        meta = [g * eta if hp.scale_by_eta and g is not None else g for g in found.meta]
        meta_norm = step_down(optimizer, self.meta, meta, hp.ltn_lr * factor)
        norm = step_down(optimizer, theta, self.real(problem, found, drawn), lr, hp.clip)
        loss = found.terms.loss().detach()
        return {"loss": float(loss), "gradient_norm": norm, "meta_gradient_norm": meta_norm}

    def gamma2(self, done: float) -> float:
        """The weight of the third term: rising linearly while less than `gamma2_ramp` of the updates are done."""
        ramp = self.hp.gamma2_ramp
        return float(self.hp.gamma2 * (1.0 if done >= ramp else done / ramp))

    def real(self, problem: Bilevel, found: MetaGradient, drawn: Drawn) -> list[Tensor | None]:
        """grad_Theta L_train(Theta, alpha) for the alpha and phi of now, summed over ranks.

        What does not depend on them is taken over from the virtual step; of the third term only what q has changed by
        goes backwards, through the graph that is still there.
        """
        theta, terms, rest = list(problem.theta.values()), found.terms, found.rest
        if self.hp.reuse_grad:
            through = found.through
        elif self.hp.route == "double_backward":  # the reference takes nothing over
            terms = problem.train()
            rest = tuple(gradient(part, theta) for part in terms.rest)
            through = gradient(terms.shared + terms.soft(terms.q.detach()), theta)
        elif self.rtn is not None:
            q, log_p = problem.labels().detach(), problem.log_p()
            through = gradient(-terms.c * (q * log_p).sum(), theta)
        else:
            moved = problem.labels().detach() - terms.q.detach()
            through = add(found.through, gradient(terms.soft(moved), theta))
        if self.hp.full_batch_main:
            n, ahead = int(drawn.main.units.sum()), int(drawn.ahead.units.sum())
            both = max(1, n + ahead)
            first = [None if g is None else n / both * g for g in rest[0]]
            other = gradient(ahead / both * problem.validate(), theta)
            rest = (add(first, other), *rest[1:])
        return sum_over(self.workers, add(*rest, through), theta)

    # -- the losses ----------------------------------------------------------------------------------------------------

    def bilevel(self, drawn: Drawn, step: int, gamma2: float) -> Bilevel:
        """L_train and L_meta on these batches: this rank's share, every term divided by its global count."""
        n_s, n_main, n_ahead = (int(b.divisor) for b in (drawn.source, drawn.main, drawn.ahead))
        source, main, ahead = (b.shard(self.workers) for b in (drawn.source, drawn.main, drawn.ahead))
        target = self.setup.target
        none = torch.zeros(0, self.setup.corpus.parts[target].outputs).to(self.encoder.body.anchor)
        zero = none.sum()
        seen: list[tuple[Tensor, Tensor, Tensor]] = []  # what the LTN read last

        def third(states: Tensor) -> Float[Tensor, "n k"]:
            (answers,) = self.encoder.answers(source, states, head=target)
            return answers.logits.log_softmax(-1)

        def log_p() -> Float[Tensor, "n k"]:
            if not len(source):
                return none
            with self.masks(step):
                return third(self.encoder(source, (), self.rtn)[0])

        def labels() -> Float[Tensor, "n k"]:
            return self.ltn(*seen[0]) if seen else none

        def train() -> Terms:
            soft, own = none, zero
            with self.masks(step):
                if len(source):
                    states = self.encoder(source)[0]
                    soft = third(states)  # before the source's own head: `log_p` replays the masks up to here
                    seen[:] = [self.read(source, states.detach())]
                    own = self.losses(source, answers=self.encoder.answers(source, states)).sum()
                first = self.losses(main).sum() / n_main
            own, c = self.hp.gamma1 / n_s * own, gamma2 / n_s
            if self.rtn is None:
                return Terms((first,), own, soft, labels(), c)
            return Terms((first, own), zero, log_p(), labels(), c)

        return Bilevel(
            module=self.encoder,
            theta={name: p for name, p in self.encoder.named_parameters() if p.requires_grad},
            meta=self.meta,
            train=train,
            log_p=log_p,
            labels=labels,
            validate=lambda: self.losses(ahead).sum() / n_ahead,
            inside=self.rtn,
        )

    @contextmanager
    def masks(self, step: int) -> Iterator[None]:
        """While open, dropout draws this step's masks from their beginning: the same in every pass over its batches."""
        device = self.encoder.body.anchor.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed_of(self.setup.seed, "xt", "masks", step, self.workers.rank))
            yield

    def read(
        self, batch: Batch, states: Float[Tensor, "t h"]
    ) -> tuple[Float[Tensor, "n h"], Int[Tensor, "n"], Int[Tensor, "n"]]:
        """What the LTN reads of source examples, or of their labelled words: h, y, and the number of the source."""
        task = batch.task - (batch.task > self.setup.target).long()  # counted among the sources alone
        if self.setup.corpus.parts[self.setup.target].kind != "tagging":
            offsets = batch.offsets.to(states.device)
            own = self.hp.ltn_input == "feature"
            h = self.encoder.feature(states, offsets) if own else states.index_select(0, offsets[:-1])
            return h.detach(), batch.labels.to(h.device), task.to(h.device)
        words = (batch.tags != IGNORED).nonzero().squeeze(1)
        task = torch.repeat_interleave(task, batch.offsets.diff())[words]
        return states[words.to(states.device)], batch.tags[words].to(states.device), task.to(states.device)

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
        part, was = self.setup.corpus.parts[task], self.training
        total = torch.zeros(part.outputs, self.setup.corpus.parts[self.setup.target].outputs + 1, dtype=torch.float64)
        rows = rng(self.setup.seed, "xt", "shown", self.setup.tasks[task]).permutation(len(part))[:SHOWN]
        rows = rows[share(len(rows), self.workers)]
        self.eval()
        for some in token_budget(np.diff(part.offsets)[rows].tolist()):
            batch = self.setup.corpus.batch(np.stack([np.full_like(rows[some], task), rows[some]], 1))
            h, y, source = self.read(batch, self.encoder(batch)[0])
            q = self.ltn(h, y, source).double().cpu()
            total.index_add_(0, y.cpu(), torch.cat([q, torch.ones(len(q), 1, dtype=torch.float64)], 1))
        self.train(was)
        if self.workers.size > 1:
            total = self.workers.sum(total.reshape(-1).to(self.encoder.body.anchor.device)).view(total.shape).cpu()
        return total[:, :-1] / total[:, -1:]


_SPLIT = "a target batch is split in two, so it needs two examples"


def _shares(part: Encoded) -> Float[Tensor, "k"]:
    """The share of each class among the labels of `part`, each counted once more than it occurs: none is impossible."""
    labels = torch.from_numpy(part.tags[part.tags != IGNORED] if part.kind == "tagging" else part.labels)
    count = torch.bincount(labels, minlength=part.outputs).double() + 1
    return count / count.sum()


def _splits(hp: Any) -> bool:
    """Whether something is learned on the second half of the target batch."""
    return bool(hp.bilevel and (hp.ltn == "learned" or hp.rtn))


def _updates(hp: Any, sizes: Sequence[int]) -> int:
    return hp.bounded(hp.epochs * epoch_updates(sizes, hp.batch_size))  # type: ignore[no-any-return]


def _layer(value: str, depth: int) -> int:
    """The one layer that `value` names."""
    try:
        found = layers(value, depth)
    except ValueError as e:
        raise ConfigError(Problem(f"rtn_layer {e}", "rtn_layer")) from None
    if len(found) > 1:
        raise ConfigError(Problem(f"rtn_layer must be one layer, but is {value!r}", "rtn_layer"))
    return found[0]


def _refuse(hp: Any, kinds: Mapping[str, str]) -> None:
    """Raise for everything that these settings cannot do, or these tasks are nothing for."""
    config, data = [], []
    if _splits(hp) and hp.batch_size < 2:
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
