"""What a method writes: how long its stages are, what each draws and updates, and which head answers.

A method is a module `raystudy.methods.<name>` with a dataclass `HParams` (its fields are the parameters of
``search_spaces/<name>.yaml``) and a class `Method`. A stage is a run of updates with one optimizer. The loop over them
is that of `train.trained`: it computes the constants, then runs the stages of `transfer`, then those of `adapt`, and
before every update it reseeds from (seed, stage, step, rank). Nothing passes between stages but the state_dict and the
constants, so a stage answered from the store gives bitwise what running it gives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from raystudy.data.draws import Rows, epoch_batches, epoch_updates, seed_of
from raystudy.data.plm import PLM
from raystudy.data.text import Batch, Corpus, Encoded, placed
from raystudy.methods._schedule import BACKWARD, FORWARD, FORWARD_MODE, HESSIAN_PRODUCT, Length, Schedule, Sizes
from raystudy.nn.architectures import ARCHITECTURES
from raystudy.nn.encoder import Answers, Encoder, frozen_layers, untrained_body
from raystudy.nn.gradients import MakeOptimizer, adamw, descend, number, warmup_linear
from raystudy.nn.losses import cross_entropy
from raystudy.tasks import Prior, Task
from raystudy.workers import Workers

__all__ = [
    "BACKWARD",
    "FORWARD",
    "FORWARD_MODE",
    "HESSIAN_PRODUCT",
    "BaseMethod",
    "HParams",
    "Length",
    "Logs",
    "Readout",
    "Schedule",
    "Settings",
    "Setup",
    "Sizes",
    "Stage",
    "hparams",
]

ExampleLoss = Callable[[Tensor, Tensor], Tensor]
Logs = Mapping[str, float | Tensor]  # numbers; of a GPU, tensors without dimensions that nobody has waited for


@dataclass(frozen=True)
class Settings:
    """The settings of a method, by their names in ``search_spaces/``; `lambda` is spelt `lambda_` in Python.

    A method that trains nothing has its own alone; one that trains has those of `HParams` too.
    """


@dataclass(frozen=True)
class HParams(Settings):
    """The settings that all methods share which train: of the optimizer, of the model, and of the fine-tuning."""

    lr: float = 5e-5
    batch_size: int = 32
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    dropout: float = -1.0
    feature: str = "pooler"
    freeze: str = "none"
    frozen_dropout: bool = True
    min_updates: int = 0
    max_updates: int = 0
    epochs: int = 3
    validations: int = 0

    def bounded(self, updates: int) -> int:
        """`updates` of a stage, lengthened to `min_updates` and cut to `max_updates` (0 = no cap)."""
        updates = max(updates, self.min_updates)
        return min(updates, self.max_updates) if self.max_updates else updates

    def epochs_over(self, n: int, epochs: int) -> int:
        """The updates of a stage of `epochs` over the `n` examples of one task."""
        return self.bounded(epochs * epoch_updates([n], self.batch_size))

    def finetuning(self, n: int) -> Length:
        """How long plain fine-tuning on `n` examples is."""
        return Length.plain(self.epochs_over(n, self.epochs))


S = TypeVar("S", bound=Settings)


def hparams(cls: type[S], settings: Mapping[str, Any]) -> S:
    """An `HParams` of class `cls` from resolved settings, in which a Python keyword has no trailing underscore."""
    names = {f.name.rstrip("_"): f.name for f in dataclasses.fields(cls)}
    return cls(**{names[k]: v for k, v in settings.items()})


@dataclass(frozen=True)
class Setup(Generic[S]):
    """All that a method may see: training splits only. Dev and test never reach a method.

    Labels that no training sees never reach one either, but for the floor that says how far these alone would go.

    Attributes:
        tasks: names in suite order; index = the task's number in batches and heads.
        corpus: the training splits, the target's cut to its setting.
        target: the index of the spec's target.
        hp: the method's own `HParams`.
        unseen: whether the target takes no part in the transfer (`sources`).
        prior: how frequent the target's classes are in its whole training split, for a method that `knows_prior`; None
            for all others, which see the drawn examples alone.
    """

    plm: PLM
    tasks: tuple[str, ...]
    corpus: Corpus
    target: int
    seed: int
    hp: S
    workers: Workers
    precision: str = "fp32"
    device: torch.device = torch.device("cpu")
    prior: Prior | None = None
    unseen: bool = False

    @property
    def sizes(self) -> Sizes:
        """The labelled training examples of every task."""
        return Sizes(dict(zip(self.tasks, self.corpus.sizes, strict=True)), self.tasks[self.target], self.unseen)

    @property
    def sources(self) -> tuple[int, ...]:
        """The tasks that take part in the transfer: all, or all but an unseen target."""
        return tuple(i for i in range(len(self.tasks)) if not (self.unseen and i == self.target))


@dataclass(frozen=True)
class Stage:
    """A run of updates with one optimizer.

    Attributes:
        start: at entry, once: fresh heads in place, freezing, optimizer, schedule.
        draw: step -> the GLOBAL batch or batches; pure in (seed, stage, step).
        update: (step, drawn) -> logs; shards what was drawn with the method's workers.
        length: how many updates there are, and what they cost in passes.
        select: the task whose dev metric picks the weights (with `validate_every` > 0), else the last weights stay.
        after: called with the step behind every `after_every`-th update, and before dev is looked at. What it changes
            must be in the state_dict, as for an update.
    """

    name: str
    start: Callable[[], None]
    draw: Callable[[int], Any]
    update: Callable[[int, Any], Logs]
    length: Length
    select: int | None = None
    validate_every: int = 0
    after: Callable[[int], None] | None = None
    after_every: int = 0


@dataclass(frozen=True)
class Readout:
    """Which head answers for a task, and which of its columns are the task's classes (None = all, in order).

    An `open` readout answers with the best of ALL columns of the head: one that is not the task's is a wrong answer.
    """

    head: int
    columns: tuple[int, ...] | None = None
    open: bool = False


class BaseMethod(nn.Module, Generic[S]):
    """The shared part of a method with settings of class `S`: an encoder with one head per task, and plain fine-tuning.

    Every module that any stage needs is made in `__init__`, so that the keys of state_dict never change.

    Attributes:
        length: stage -> how long it is, as `schedule` says.
        constants: what `compute_constants` gave, for the training examples of this cell.
    """

    # The optimizer of the running stage: its moments are part of a mid-stage checkpoint.
    optimizer: torch.optim.Optimizer | None

    def __init__(self, setup: Setup[S]) -> None:
        super().__init__()
        self.setup, self.hp, self.workers = setup, setup.hp, setup.workers
        self.length = self.schedule(setup.hp, setup.sizes).stages
        self.constants: Mapping[str, Tensor] = {}
        self.optimizer = None
        parts = setup.corpus.parts
        dropout = getattr(self.hp, "dropout", -1.0)
        body = untrained_body(
            setup.plm,
            parts[0].inputs,
            setup.seed,
            dropout=None if dropout < 0 else dropout,
            precision=setup.precision,
            exact=self.exact(self.hp),
        ).to(setup.device)
        if not getattr(self.hp, "frozen_dropout", True):
            body.undropped(getattr(self.hp, "freeze", "none"))
        body.constant = self.constant_layers(self.hp, setup.plm)
        feature = getattr(self.hp, "feature", "mean")  # a floor trains no body and reads the mean of frozen states
        further = self.further_heads(self.hp, parts)
        outputs = [*(p.outputs for p in parts), *further]
        self.encoder = Encoder(body, outputs, [*(p.kind for p in parts), *["classification"] * len(further)], feature)
        for head in range(len(outputs)):
            self.fresh_head(head, "pre-trained")

    # -- what a method may say -----------------------------------------------------------------------------------------

    def compute_constants(self) -> dict[str, Tensor]:
        """Prototypes, scores: pure in (PLM, training data, settings); computed once and kept in the stage store."""
        return {}

    def transfer(self) -> list[Stage]:
        """The shared part; its key in the store omits the target unless `target_aware`."""
        return []

    def adapt(self) -> list[Stage]:
        """For the spec's target; by default plain fine-tuning with a new head."""
        return [self.finetune()]

    def readout(self, task: int) -> Readout:
        """Which head answers for `task`."""
        return Readout(task)

    def facts(self) -> dict[str, Any]:
        """What the method wants in the record, as JSON values: spread of its scores, learned weights."""
        return {}

    @classmethod
    def admit(cls, hp: S, depth: int, tasks: Mapping[str, Task], unseen: str | None = None) -> list[str]:
        """Called with the tasks of one suite before anything trains; returns what the plan should say.

        Args:
            depth: the number of layers of the pre-trained model.
            unseen: the task among them that is a target without a part in the transfer, if one is.

        Raises:
            ConfigError: a setting that this model does not have.
            DataError: tasks that the method is not defined for.
        """
        return []

    @classmethod
    def admit_sizes(cls, hp: S, sizes: Sizes) -> list[str]:
        """Called with the numbers of examples of a training before anything trains; returns what the plan should say.

        Raises:
            DataError: tasks that have too few for the method.
        """
        return []

    @classmethod
    def fits(cls, hp: S, plm: PLM, longest: int, width: int) -> list[str]:
        """What the plan should say of the memory that a training takes; asked before anything trains.

        Args:
            longest: word pieces of the longest text that is read.
            width: bytes of a number.

        Raises:
            ConfigError: it takes more than the settings allow.
        """
        return []

    @staticmethod
    def added_parameters(hp: S, plm: PLM, sources: int) -> int:
        """How many numbers its transfer trains beside the model's body and the heads, for the plan's estimate of disk.

        Args:
            sources: the tasks that take part in the transfer.
        """
        return 0

    @classmethod
    def further_heads(cls, hp: S, parts: Sequence[Encoded]) -> tuple[int, ...]:
        """Widths of classification heads beside the tasks' own; they are numbered from the number of tasks on."""
        return ()

    @staticmethod
    def target_aware(hp: S) -> bool:
        """Whether `transfer` depends on which task is the target (MetaXT, TAWT, mixed sampling)."""
        return False

    @staticmethod
    def reads_target(hp: S) -> bool:
        """Whether `transfer` reads the examples of the target; without, it is shared by all amounts of target data."""
        return True

    @staticmethod
    def builds_on(hp: S) -> Mapping[str, Any]:
        """Settings of another run of this method whose whole transfer is the beginning of this one's; by default none.

        The first stages of `transfer` are then the stages of that run, by the same names. Their result is kept in the
        stage store under that run's own key, so that either run finds what the other has computed.
        """
        return {}

    @staticmethod
    def exact(hp: S) -> bool:
        """Whether training needs second derivatives or forward mode, hence plain attention in full precision."""
        return False

    @classmethod
    def constant_layers(cls, hp: S, plm: PLM) -> int:
        """How many of the lowest layers make the same of an example at all times, and act as nothing else needs them.

        Those are frozen in every stage, drop nothing, and lie below whatever the method itself does in the layers. What
        they make of an example may be computed once for all trainings (`nn.lower_states`).
        """
        freeze, drops = getattr(hp, "freeze", "none"), getattr(hp, "frozen_dropout", True)
        if plm.width or freeze == "all" or (drops and getattr(hp, "dropout", -1.0) != 0):
            return 0
        frozen = frozen_layers(freeze, plm.depth, shared=plm.shared_layers)
        return min(frozen, cls.untouched_layers(hp, plm.depth), plm.depth - (not ARCHITECTURES[plm.family].end))

    @classmethod
    def untouched_layers(cls, hp: S, depth: int) -> int:
        """How many of the lowest layers it neither looks into nor changes; by default all."""
        return depth

    @staticmethod
    def inside_layers(hp: S) -> bool:
        """Whether something of its own acts at the end of the model's layers, for which not all have a place."""
        return False

    @staticmethod
    def knows_prior(hp: S) -> bool:
        """Whether it is told how frequent the target's classes are in the whole training split; no training is."""
        return False

    @staticmethod
    def cut_further(hp: S, part: Encoded) -> int:
        """How many texts of a training split it cuts more than the length asks, to write something behind them."""
        return 0

    @classmethod
    def schedule(cls, hp: S, sizes: Sizes) -> Schedule:
        """Every stage's length, known before anything is loaded; by default that of plain fine-tuning."""
        assert isinstance(hp, HParams)
        return Schedule(adapt={"finetune": hp.finetuning(sizes.own)})

    # -- what methods share --------------------------------------------------------------------------------------------

    @cached_property
    def shared(self) -> HParams:
        """The settings that all methods share which train."""
        assert isinstance(self.hp, HParams), f"{type(self.hp).__module__} trains nothing"
        return self.hp

    @property
    def running_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer of the running stage."""
        assert self.optimizer is not None, "no stage is running"
        return self.optimizer

    def fresh_head(self, task: int, stage: str) -> None:
        """A new head for `task` (or a further head, by its number), the same on every rank."""
        own = task < len(self.setup.tasks)
        seed = seed_of(self.setup.seed, "head", stage, self.setup.tasks[task] if own else task - len(self.setup.tasks))
        self.encoder.fresh_head(task, torch.Generator().manual_seed(seed))

    def draw(self, rows: Callable[[int], Rows]) -> Callable[[int], Batch]:
        """step -> Batch from step -> rows of the training splits."""
        return lambda step: self.setup.corpus.batch(rows(step))

    def losses(self, batch: Batch, loss: ExampleLoss = cross_entropy, answers: list[Answers] | None = None) -> Tensor:
        """(B,) each example's loss under its own task's head; a tagged example's is the sum over its labelled words.

        `loss` maps (logits, labels) of class labels to a loss per row; regression is squared error always, in standard
        deviations of the task's training labels, so that no task outweighs another by the unit of its labels.
        """
        answers = self.encoder.answers(batch) if answers is None else answers
        anchor = self.encoder.body.anchor
        out = torch.zeros(len(batch), device=anchor.device, dtype=anchor.dtype)
        there = batch.to(out.device)
        for a in answers:
            if not len(
                a.rows
            ):  # sentences without a labelled word: their head has no gradient, rather than one of zero
                continue
            kind = self.setup.corpus.parts[a.task].kind
            if kind == "tagging":
                owner = placed(batch.owner, out.device)
                out = out.index_add(0, owner[a.rows], loss(a.logits, there.tags[a.rows]))
            elif kind == "regression":
                gold = there.values.to(out)[a.rows]
                out = out.index_add(0, a.rows, (a.logits.squeeze(-1) - gold) ** 2)
            else:
                out = out.index_add(0, a.rows, loss(a.logits, there.labels[a.rows]))
        return out

    def mean_loss(self, batch: Batch, loss: ExampleLoss = cross_entropy) -> Tensor:
        """This rank's share of the mean loss over the GLOBAL batch's units (examples, or labelled words).

        With `batch.weight`, each example's loss is multiplied by its weight; the sum is still divided by the number of
        units, not by the sum of weights. A batch without any unit has a loss of zero.
        """
        mine = batch.shard(self.workers)
        losses = self.losses(mine, loss)
        if mine.weight is not None:
            losses = losses * placed(mine.weight, losses.device).to(losses)
        return losses.sum() / batch.divisor.to(losses.dtype)

    def descent(
        self, updates: int, lr: float | None = None, optimizer: MakeOptimizer = adamw
    ) -> Callable[[int, Tensor], Logs]:
        """A new optimizer with linear warm-up and decay over `updates`: (step, this rank's share of the loss) -> logs.

        The peak rate is `lr`, by default the method's own.
        """
        hp, peak = self.shared, self.shared.lr if lr is None else lr
        new = self.optimizer = optimizer(self, peak, hp.weight_decay)
        factor = warmup_linear(updates, hp.warmup)

        def step_down(step: int, loss: Tensor) -> Logs:
            norm = descend(loss, new, peak * factor(step), hp.clip, self.workers)
            return {"loss": number(loss.detach()), "gradient_norm": norm}

        return step_down

    def supervised(
        self,
        name: str,
        draw: Callable[[int], Any],
        loss: Callable[[Any], Tensor],
        fresh: Mapping[int, str],
        select: int | None = None,
        validations: int = 0,
        lr: float | None = None,
        optimizer: MakeOptimizer = adamw,
        freeze: str | None = None,
    ) -> Stage:
        """A stage whose update is one descent of `loss(batch)`, this rank's share of the loss.

        Args:
            name: of the stage; `schedule` has its length.
            fresh: the heads that start anew, task -> a word for what they are for.
            lr: the peak learning rate, by default the method's own.
            optimizer: makes the optimizer from (module, peak rate, weight decay).
            freeze: what of the body is not trained, by default what the setting `freeze` says.
        """
        length = self.length[name]
        down: list[Callable[[int, Tensor], Logs]] = []

        def start() -> None:
            for task, purpose in fresh.items():
                self.fresh_head(task, purpose)
            self.encoder.body.freeze(self.shared.freeze if freeze is None else freeze)
            down[:] = [self.descent(length.updates, lr, optimizer)]

        def update(step: int, drawn: Any) -> Logs:
            return down[0](step, loss(drawn))

        every = -(-length.updates // validations) if validations else 0
        return Stage(name, start, draw, update, length, select if validations else None, every)

    def finetune(
        self,
        name: str = "finetune",
        keep_head: bool = False,
        optimizer: MakeOptimizer = adamw,
        freeze: str | None = None,
    ) -> Stage:
        """Plain fine-tuning of the whole model on the target (Meta-DTL's TMF, and every baseline's).

        It starts from a new head, or from the head as it stands where the transfer has trained it (`keep_head`). What
        of the body is not trained may be said by `freeze`, in the place of the setting of that name.
        """
        task, hp = self.setup.target, self.shared
        n = len(self.setup.corpus.parts[task])
        rows = epoch_batches(task, n, hp.batch_size, self.setup.seed, name, self.setup.tasks[task])
        return self.supervised(
            name,
            self.draw(rows),
            self.mean_loss,
            {} if keep_head else {task: name},
            task,
            hp.validations,
            optimizer=optimizer,
            freeze=freeze,
        )
