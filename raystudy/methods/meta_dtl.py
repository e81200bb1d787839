"""Meta-DTL: Meta Distant Transfer Learning (Wang et al. 2021), Algorithm 1.

Tasks with different classes are trained together, each under a head of its own. An example counts more the more it and
its class resemble some class of another task, and predictions are pulled towards the uniform distribution, so that no
task is learned at the expense of the others. The encoder is then fine-tuned on the target.

    x, y         an example of task i and its class; C_i: the classes of task i; D_i: its training set; K tasks
    E(x, c)      mean of the last layer's token states of the untouched PLM on ``[CLS] x [SEP] c [SEP]``
    p_{i,j}      prototype of class j of task i: mean of E(x, c_j) over its training examples        (sec. 3.2)
                 `prototypes` J > 1: J of them, the means of the J clusters that K-means finds      (footnote 5)
    alpha(x)     max over p in P~_i of cos(E(x, y), p)      P~_i = the prototypes of all OTHER tasks
    beta(x)      max over p in P~_i of cos(p_{i,y}, p); with J > 1 the best over the prototypes of class y
    m(x)         (alpha + beta) / 2; constant while training
    L(x)         -sum_{c in C_i} m (1(c = y) + lambda / |C_i|) log tau_c(x), tau_c the head's softmax   (sec. 3.3)
    p(x)         1 / (K |D_i|), so that p(T_i) = 1 / K
    MMT          multi-task training with L: sum_i |D_i| / |B| updates per epoch; returns the PLM's weights
    TMF          plain fine-tuning of the target from those weights                                 (sec. 3.4)
    ablations    w/o IMK: `scores: none`; w/o WMER: `lambda: 0`; alpha or beta alone: `scores`; w/o label: `class_label`

The Meta-KG of sec. 3.2 is not built as a graph: of its edges only the largest of each prototype are ever read.

Otherwise than in the paper (and why):
    reduction            mean over the batch, where Algorithm 1 sums, so that the learning rate means what it means in
                         fine-tuning; `reduction: sum` is literal
Where the paper is silent (and what was chosen):
    pooling              mean over real tokens, special tokens among them; `pool`: cls, mean_no_special
    segment of c         BERT's token type of c is 1 and that of x is 0; of a pair x1 is 0, x2 and c are 1;
                         `label_segment: same` gives c the type of what stands before it
    the input of MMT     x alone: c is a part of E only
    J of footnote 5      1; the variant with several prototypes has 3, by K-means with a fixed seed. A class with fewer
                         different examples has as many prototypes as different examples
    batches              tasks are mixed in a batch; rows are drawn with replacement; `task_batches` for one task each
    labels without meaning (footnote 6)    have words in every data set here, so nothing stands in for them
    heads in TMF         new, since Algorithm 1 returns the PLM alone
    m <= 0               refused under `weights: raw` (the loss would be unbounded below); `clip0` makes negative ones
                         zero, `mean1` does so too and then rescales all to mean 1
Beyond the paper: `centred` takes the mean embedding (every task counting alike) off before any cosine, because the
embeddings of one model share a direction that makes all cosines alike.
The second term is called a maximum entropy regulariser; as printed it is the cross entropy to the uniform distribution.
So L = m (1 + lambda) CE(q, tau) is label smoothing: q is the one-hot label mixed with e = lambda / (1 + lambda) of the
uniform distribution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from raystudy.data.draws import epoch_updates, joint_batches, task_distribution
from raystudy.data.text import Batch, Encoded
from raystudy.errors import ConfigError, DataError, Problem
from raystudy.methods import BaseMethod, Length, Schedule, Setup, Sizes, Stage
from raystudy.methods import HParams as Shared
from raystudy.nn.embed import embed
from raystudy.nn.losses import smoothed_cross_entropy
from raystudy.nn.prototypes import instance_weights, spread, sub_prototypes
from raystudy.tasks import Task

__all__ = ["HParams", "Method", "centre", "meta_knowledge", "weights"]

_LONELY = Problem("Meta-DTL scores an example by the classes of OTHER tasks, so it needs two tasks", "tasks")


@dataclass(frozen=True)
class HParams(Shared):
    lambda_: float = 0.1
    mmt_epochs: int = 2
    sampler: str = "uniform"
    task_batches: bool = False
    reduction: str = "mean"
    scores: str = "both"
    class_label: bool = True
    label_segment: str = "second"
    pool: str = "mean"
    prototypes: int = 1
    centred: bool = False
    weights: str = "raw"


def centre(embeddings: Sequence[Float[Tensor, "_ h"]]) -> list[Float[Tensor, "_ h"]]:
    """The embeddings (n_i, H) of every task without their common mean, to which every task contributes alike."""
    common = torch.stack([e.mean(0) for e in embeddings]).mean(0)
    return [e - common for e in embeddings]


def meta_knowledge(
    embeddings: Sequence[Float[Tensor, "_ h"]],
    labels: Sequence[Int[Tensor, "_"]],
    prototypes: Sequence[Float[Tensor, "_ j h"]],
) -> list[Float[Tensor, "2 _"]]:
    """alpha and beta of every training example, per task (sec. 3.2).

    Args:
        embeddings: per task (n_i, H). labels: per task (n_i,). prototypes: per task (|C_i|, J, H); rows of NaN are no
            prototypes and take no part.

    Returns:
        per task (2, n_i): alpha(x), beta(x).

    Raises:
        DataError: only one task, so that there is no other task's prototype.
    """
    if len(prototypes) < 2:
        raise DataError(_LONELY)
    unit = [F.normalize(p, dim=-1) for p in prototypes]
    out = []
    for i, (e, y) in enumerate(zip(embeddings, labels, strict=True)):
        others = torch.cat([p.flatten(0, 1) for j, p in enumerate(unit) if j != i])
        others = others[~others.isnan().any(1)]
        alpha = (F.normalize(e, dim=1) @ others.T).max(1).values
        # rows of NaN are left out before the product, whose last bit may depend on how many rows it has
        there = ~unit[i].isnan().any(-1)
        nearest = unit[i].new_full(there.shape, -1.0)  # no cosine is below it
        nearest[there] = (unit[i][there] @ others.T).amax(1)
        of_class = nearest.amax(1)
        out.append(torch.stack([alpha, of_class[y]]))
    return out


def weights(
    scores: Sequence[Float[Tensor, "2 _"]], which: str, policy: str, tasks: Sequence[str]
) -> list[Float[Tensor, "_"]]:
    """m(x) per task, (n_i,) each, from `meta_knowledge`'s (2, n_i).

    Raises:
        DataError: `policy` is raw and a weight is not positive; the message holds the count and the remedies.
    """
    pick = {"both": lambda s: s.mean(0), "alpha": lambda s: s[0], "beta": lambda s: s[1]}
    m = [torch.ones_like(s[0]) if which == "none" else pick[which](s) for s in scores]
    return instance_weights(m, policy, tasks, "m(x)")


class Method(BaseMethod[HParams]):
    def __init__(self, setup: Setup[HParams]) -> None:
        super().__init__(setup)
        _refuse(setup.hp, {setup.tasks[i]: setup.corpus.parts[i].kind for i in setup.sources})

    @classmethod
    def admit(cls, hp: HParams, depth: int, tasks: Mapping[str, Task], unseen: str | None = None) -> list[str]:
        _refuse(hp, {name: t.kind for name, t in tasks.items() if name != unseen})
        if hp.class_label and hp.scores != "none" and any(t.form == "vector" for t in tasks.values()):
            raise ConfigError(Problem("must be false, since no words of a class stand behind a vector", "class_label"))
        return []

    @classmethod
    def schedule(cls, hp: HParams, sizes: Sizes) -> Schedule:
        per_epoch = epoch_updates(sizes.transfer, hp.batch_size, hp.sampler, hp.task_batches)
        mmt = Length.plain(hp.bounded(hp.mmt_epochs * per_epoch))
        return Schedule(transfer={"mmt": mmt}, adapt={"finetune": hp.finetuning(sizes.own)})  # TMF: BaseMethod.adapt

    @staticmethod
    def cut_further(hp: HParams, part: Encoded) -> int:
        # behind E(x, c) a long text is cut once more, to write c
        return part.cut_for_label if hp.class_label and hp.scores != "none" else 0

    def compute_constants(self) -> dict[str, Tensor]:
        """alpha and beta of every training example, from the untouched PLM. Nothing to compute without scores."""
        hp, s = self.hp, self.setup
        if hp.scores == "none":
            return {}
        parts: list[Encoded] = [s.corpus.parts[i] for i in s.sources]
        if hp.class_label:
            parts = [p.with_label_text(hp.label_segment) for p in parts]
        e = [embed(s.plm, p, hp.pool, s.workers, precision=s.precision, device=s.device) for p in parts]
        e = centre(e) if hp.centred else e
        y = [torch.from_numpy(p.labels) for p in parts]
        prototypes = [sub_prototypes(ei, yi, p.outputs, hp.prototypes) for ei, yi, p in zip(e, y, parts, strict=True)]
        alpha_beta = meta_knowledge(e, y, prototypes)
        return {f"scores.{i}": scores for i, scores in zip(s.sources, alpha_beta, strict=True)}

    def instance_weights(self) -> list[Tensor]:
        """m(x) of every training example in the transfer, (n_i,) per task."""
        sizes, tasks = self.setup.sizes.transfer, self.setup.tasks
        # without scores (`scores: none`) every example weighs 1
        scores = [self.constants.get(f"scores.{i}", torch.ones(2, n)) for i, n in enumerate(sizes)]
        return weights(scores, self.hp.scores, self.hp.weights, tasks)

    def transfer(self) -> list[Stage]:
        hp, sizes = self.hp, self.setup.sizes.transfer
        m = torch.cat(self.instance_weights())
        start_of_task = torch.tensor([0, *sizes]).cumsum(0)
        tasks = task_distribution(hp.sampler, sizes)
        rows = self.draw(joint_batches(sizes, hp.batch_size, tasks, hp.task_batches, self.setup.seed, "mmt"))

        def draw(step: int) -> Batch:
            batch = rows(step)
            return batch.weighted(m[start_of_task[batch.task] + batch.row])

        return [self.supervised("mmt", draw, self.loss, dict.fromkeys(self.setup.sources, "mmt"))]

    def loss(self, batch: Batch) -> Tensor:
        """This rank's share of the mean of L(x) over the global batch, or of Algorithm 1's sum; m is `batch.weight`."""
        mean = self.mean_loss(batch, partial(smoothed_cross_entropy, lambda_=self.hp.lambda_))
        return len(batch) * mean if self.hp.reduction == "sum" else mean

    def facts(self) -> dict[str, Any]:
        """The spread of alpha, beta and their mean per task: what the weighting could do at all."""
        out: dict[str, Any] = {}
        for i, task in enumerate(self.setup.tasks):
            if (s := self.constants.get(f"scores.{i}")) is None:
                continue
            out[task] = {k: spread(x) for k, x in {"alpha": s[0], "beta": s[1], "m": s.mean(0)}.items()}
        return {"meta_knowledge": out} if out else {}


def _refuse(hp: HParams, kinds: Mapping[str, str]) -> None:
    problems = []
    if odd := [name for name, kind in kinds.items() if kind != "classification"]:
        problems.append(Problem(f"Meta-DTL is defined for classification tasks, but not for {', '.join(odd)}", "tasks"))
    if hp.scores != "none" and len(kinds) < 2:
        problems.append(_LONELY)
    if problems:
        raise DataError(problems)
