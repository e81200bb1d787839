"""What a method writes: stages made of a draw and an update, and which head answers.

A method is a module `raystudy.methods.<name>` with a dataclass `HParams` (its fields are the parameters of
``search_spaces/<name>.yaml``) and a class `Method`. `train.run` owns the loop: it calls `constants`, then the stages of
`transfer`, then those of `adapt`, reseeding before every update from (seed, stage, step, rank). Nothing passes between
stages but the state_dict and the constants, so a stage answered from the store gives bitwise what running it gives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from raystudy.data.draws import Rows, epoch_batches, seed_of
from raystudy.data.plm import PLM
from raystudy.data.text import Batch, Corpus, Encoded
from raystudy.nn.encoder import Answers, Body, Encoder
from raystudy.nn.gradients import adamw, descend, warmup_linear
from raystudy.nn.losses import cross_entropy
from raystudy.nn.workers import Workers
from raystudy.tasks import Prior, Task

__all__ = ["BaseMethod", "HParams", "Readout", "Setup", "Sizes", "Stage", "Updates", "hparams"]

Updates = Mapping[str, int]
Sizes = Mapping[str, int]  # task -> labelled training examples, in suite order
ExampleLoss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class HParams:
    """The settings of a method, by their names in ``search_spaces/``; `lambda` is spelt `lambda_` in Python."""

    lr: float = 5e-5
    batch_size: int = 32
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    dropout: float = -1.0
    feature: str = "pooler"
    freeze: str = "none"
    min_updates: int = 0
    max_updates: int = 0
    epochs: int = 3
    validations: int = 0

    def bounded(self, updates: int) -> int:
        """`updates` of a stage, lengthened to `min_updates` and cut to `max_updates` (0 = no cap)."""
        updates = max(updates, self.min_updates)
        return min(updates, self.max_updates) if self.max_updates else updates


def hparams(cls: type, settings: Mapping[str, Any]) -> Any:
    """An `HParams` of class `cls` from resolved settings, in which a Python keyword has no trailing underscore."""
    names = {f.name.rstrip("_"): f.name for f in dataclasses.fields(cls)}
    return cls(**{names[k]: v for k, v in settings.items()})


@dataclass(frozen=True)
class Setup:
    """All that a method may see: training splits only. Dev and test never reach a method.

    Labels that no training sees never reach one either, but for the floor that says how far these alone would go.

    Attributes:
        tasks: names in suite order; index = the task's number in batches and heads.
        corpus: the training splits, the target's cut to its setting.
        target: the index of the spec's target.
        hp: the method's own `HParams`.
        prior: how frequent the target's classes are in its whole training split, for a method that `knows_prior`; None
            for all others, which see the drawn examples alone.
    """

    plm: PLM
    tasks: tuple[str, ...]
    corpus: Corpus
    target: int
    seed: int
    hp: Any
    workers: Workers
    precision: str = "fp32"
    device: torch.device = torch.device("cpu")
    prior: Prior | None = None


@dataclass(frozen=True)
class Stage:
    """A run of updates with one optimizer.

    Attributes:
        start: at entry, once: fresh heads in place, freezing, optimizer, schedule.
        draw: step -> the GLOBAL batch or batches; pure in (seed, stage, step).
        update: (step, drawn) -> logs; shards what was drawn with the method's workers.
        select: the task whose dev metric picks the weights (with `validate_every` > 0), else the last weights stay.
    """

    name: str
    start: Callable[[], None]
    draw: Callable[[int], Any]
    update: Callable[[int, Any], Mapping[str, float]]
    steps: int
    select: int | None = None
    validate_every: int = 0


@dataclass(frozen=True)
class Readout:
    """Which head answers for a task, and which of its columns are the task's classes (None = all, in order).

    An `open` readout answers with the best of ALL columns of the head: one that is not the task's is a wrong answer.
    """

    head: int
    columns: tuple[int, ...] | None = None
    open: bool = False


class BaseMethod(nn.Module):
    """The shared part of a method: an encoder with one head per task, and plain fine-tuning.

    Every module that any stage needs is made in `__init__`, so that the keys of state_dict never change.
    """

    HParams: ClassVar[type] = HParams
    # The optimizer of the running stage: its moments are part of a mid-stage checkpoint.
    optimizer: torch.optim.Optimizer | None

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self.setup, self.hp, self.workers = setup, setup.hp, setup.workers
        self.given: Mapping[str, Tensor] = {}
        self.optimizer = None
        parts = setup.corpus.parts
        dropout = getattr(self.hp, "dropout", -1.0)
        body = Body(
            setup.plm,
            dropout=None if dropout < 0 else dropout,
            precision=setup.precision,
            exact=self.exact(self.hp),
        ).to(setup.device)
        feature = getattr(self.hp, "feature", "mean")  # a floor trains no body and reads the mean of frozen states
        further = self.further_heads(self.hp, parts)
        outputs = [*(p.outputs for p in parts), *further]
        self.encoder = Encoder(body, outputs, [*(p.kind for p in parts), *["classification"] * len(further)], feature)
        for head in range(len(outputs)):
            self.fresh_head(head, "pre-trained")

    # -- what a method may say -----------------------------------------------------------------------------------------

    def constants(self) -> dict[str, Tensor]:
        """Prototypes, scores: pure in (PLM, training data, settings); computed once and kept in the stage store."""
        return {}

    def transfer(self) -> list[Stage]:
        """The shared part; its key in the store omits the target unless `target_aware`."""
        return []

    def adapt(self) -> list[Stage]:
        """For the spec's target; by default plain fine-tuning with a new head."""
        return [self.finetune(self.setup.target)]

    def readout(self, task: int) -> Readout:
        """Which head answers for `task`."""
        return Readout(task)

    def facts(self) -> dict[str, Any]:
        """What the method wants in the record, as JSON values: spread of its scores, learned weights."""
        return {}

    @classmethod
    def admit(cls, hp: Any, depth: int, tasks: Mapping[str, Task]) -> list[str]:
        """Called with the tasks of one suite before anything trains; returns what the plan should say.

        Args:
            depth: the number of layers of the pre-trained model.

        Raises:
            ConfigError: a setting that this model does not have.
            DataError: tasks that the method is not defined for.
        """
        return []

    @classmethod
    def further_heads(cls, hp: Any, parts: Sequence[Encoded]) -> tuple[int, ...]:
        """Widths of classification heads beside the tasks' own; they are numbered from the number of tasks on."""
        return ()

    @staticmethod
    def target_aware(hp: Any) -> bool:
        """Whether `transfer` depends on which task is the target (MetaXT, TAWT, mixed sampling)."""
        return False

    @staticmethod
    def exact(hp: Any) -> bool:
        """Whether training needs second derivatives or forward mode, hence plain attention in full precision."""
        return False

    @staticmethod
    def knows_prior(hp: Any) -> bool:
        """Whether it is told how frequent the target's classes are in the whole training split; no training is."""
        return False

    @staticmethod
    def cut_further(hp: Any, part: Encoded) -> int:
        """How many texts of a training split it cuts more than the length asks, to write something behind them."""
        return 0

    @classmethod
    def planned(cls, hp: Any, sizes: Sizes, target: str) -> tuple[Updates, Updates]:
        """Updates of the stages of (transfer, adapt), known before anything is loaded; the stages must agree."""
        return {}, {"finetune": cls.finetune_updates(hp, sizes[target])}

    # -- what methods share --------------------------------------------------------------------------------------------

    @staticmethod
    def finetune_updates(hp: Any, n: int) -> int:
        return hp.bounded(hp.epochs * -(-n // hp.batch_size))  # type: ignore[no-any-return]

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
        out = torch.zeros(len(batch)).to(self.encoder.body.anchor)
        owner = torch.repeat_interleave(torch.arange(len(batch)), batch.offsets.diff()).to(out.device)
        for a in answers:
            if not len(
                a.rows
            ):  # sentences without a labelled word: their head has no gradient, rather than one of zero
                continue
            kind = self.setup.corpus.parts[a.task].kind
            if kind == "tagging":
                out = out.index_add(0, owner[a.rows], loss(a.logits, batch.tags.to(out.device)[a.rows]))
            elif kind == "regression":
                gold = batch.values.to(out)[a.rows]
                out = out.index_add(0, a.rows, (a.logits.squeeze(-1) - gold) ** 2)
            else:
                out = out.index_add(0, a.rows, loss(a.logits, batch.labels.to(out.device)[a.rows]))
        return out

    def mean_loss(self, batch: Batch, loss: ExampleLoss = cross_entropy) -> Tensor:
        """This rank's share of the mean loss over the GLOBAL batch's units (examples, or labelled words).

        With `batch.weight`, each example's loss is multiplied by its weight; the sum is still divided by the number of
        units, not by the sum of weights. A batch without any unit has a loss of zero.
        """
        mine = batch.shard(self.workers)
        losses = self.losses(mine, loss)
        if mine.weight is not None:
            losses = losses * mine.weight.to(losses)
        return losses.sum() / batch.divisor.to(losses)

    def descent(self, steps: int, lr: float | None = None) -> Callable[[int, Tensor], Mapping[str, float]]:
        """A new AdamW with linear warm-up and decay over `steps`: (step, this rank's share of the loss) -> logs.

        The peak rate is `lr`, by default the method's own.
        """
        hp, peak = self.hp, self.hp.lr if lr is None else lr
        optimizer = self.optimizer = adamw(self, peak, hp.weight_decay)
        factor = warmup_linear(steps, hp.warmup)

        def step_down(step: int, loss: Tensor) -> Mapping[str, float]:
            norm = descend(loss, optimizer, peak * factor(step), hp.clip, self.workers)
            return {"loss": float(loss.detach()), "gradient_norm": norm}

        return step_down

    def supervised(
        self,
        name: str,
        steps: int,
        draw: Callable[[int], Any],
        loss: Callable[[Any], Tensor],
        fresh: Mapping[int, str],
        select: int | None = None,
        validations: int = 0,
        lr: float | None = None,
    ) -> Stage:
        """A stage whose update is one descent of `loss(batch)`, this rank's share of the loss.

        Args:
            fresh: the heads that start anew, task -> a word for what they are for.
            lr: the peak learning rate, by default the method's own.
        """
        down: list[Callable[[int, Tensor], Mapping[str, float]]] = []

        def start() -> None:
            for task, purpose in fresh.items():
                self.fresh_head(task, purpose)
            self.encoder.body.freeze(self.hp.freeze)
            down[:] = [self.descent(steps, lr)]

        def update(step: int, drawn: Any) -> Mapping[str, float]:
            return down[0](step, loss(drawn))

        every = -(-steps // validations) if validations else 0
        return Stage(name, start, draw, update, steps, select if validations else None, every)

    def finetune(self, task: int, name: str = "finetune", steps: int | None = None) -> Stage:
        """Plain fine-tuning of the whole model on one task from a new head (Meta-DTL's TMF, and every baseline's)."""
        n = len(self.setup.corpus.parts[task])
        rows = epoch_batches(task, n, self.hp.batch_size, self.setup.seed, name, self.setup.tasks[task])
        steps = self.finetune_updates(self.hp, n) if steps is None else steps
        return self.supervised(
            name, steps, self.draw(rows), self.mean_loss, {task: name}, select=task, validations=self.hp.validations
        )
