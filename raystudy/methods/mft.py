"""MFT: Meta Fine-Tuning for multi-domain text mining (Wang et al. 2020); with a head per task it is Meta-FT*.

One model is first trained on several domains of the same task, and then fine-tuned on each. Examples that are typical
of all domains count more. Beside the labels, the model learns to answer a false domain from its inner layers: since
that answer has nothing to do with the true domain, these layers gain nothing by telling the domains apart.

    x            an example of domain k, one of K, with class m; D: all training examples, in an update the batch
    E(x)         mean of the last layer's token states of the untouched PLM, [CLS] and [SEP] among them    (sec. 3.2)
    c_m^k        prototype of class m in domain k: mean of E(x) over its training examples
    t(x)         alpha cos(E(x), c_m^k) + (1 - alpha) / (K - 1) sum_{k' != k} cos(E(x), c_m^{k'})          (sec. 3.2)
    tau          softmax of the label head over the pooled [CLS] state of the last layer
    L_TLC        -(1/|D|) sum t log tau_m(x)                                                              (sec. 3.3)
    h_l(x)       mean of layer l's token states without [CLS];  E_D(k): the embedding of the true domain
    z            the corrupted domain: a permutation of the domains inside the batch
    L_SDC        -(1/(|Ls| |D|)) sum_x sum_{l in Ls} t log delta_z(h_l(x) + E_D(k))                       (sec. 3.3)
    L            L_TLC + lambda L_SDC                                                                     (sec. 3.3)
    then         the label head, E_D and the delta are left behind; plain fine-tuning per domain          (sec. 3.4)
    ablations    MFT (DC): `typical: false`; MFT (TW): `lambda: 0`

Where the paper is silent, or the code that its authors released differs from it (and what was chosen):
    t                    on both losses, a constant in training; `weigh`: on one of them alone
    cross-domain term    the mean of cosines, as printed; the code takes the cosine to the mean (`cross`)
    delta                one head with bias per layer; one shared in the code (`domain_heads`). The paper's 7K to 11.5K
                         parameters are |Ls| d K, without biases and E_D
    z                    one permutation of the GLOBAL batch, one z per example (`shuffle`: one per layer). z may equal
                         k, since a permutation that never keeps k would reveal it; `corruption` draws from a prior
    batches              every example of all domains once an epoch, domains mixed
    padding              there is none: sequences are packed end to end. [CLS] is left out of h_l (`with_cls` keeps it)
    the [CLS] feature    the model's pooler, as in standard BERT (`feature: cls` is the raw state)
    a class without examples in a domain   that domain takes no part in the mean; without any, t is the first cosine
    several prototypes   sub-prototypes by K-means within the class and b = softmax(cos / temperature) over those of one
                         domain; `membership: literal` sums over the classes n, as the formula is printed: the class of
                         x plays no part, and one b, from x's own domain, serves all domains
    t <= 0               refused under `weights: raw` (the loss would be unbounded below); `clip0` makes negative ones
                         zero, `mean1` does so too and then rescales all to mean 1
Meta-FT* is a row of Meta-DTL's tables: MFT "with a separate prediction head for each task" (there, sec. 4.2). What t is
where tasks have different classes is not said. Our reading: t as above where another task has the class (by its words),
else the mean cosine to that task's prototypes; domains are tasks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from raystudy.catalogue import layers
from raystudy.data.draws import epoch_updates, rng, seed_of, union_batches
from raystudy.data.text import Batch, Encoded, placed
from raystudy.errors import ConfigError, DataError, Problem
from raystudy.methods import BaseMethod, Length, Schedule, Setup, Sizes, Stage
from raystudy.methods import HParams as Shared
from raystudy.nn.embed import embed
from raystudy.nn.encoder import pool
from raystudy.nn.heads import merge, union
from raystudy.nn.losses import cross_entropy
from raystudy.nn.prototypes import instance_weights, spread, sub_prototypes
from raystudy.tasks import Task
from raystudy.workers import share

__all__ = ["HParams", "Method", "corrupted", "typicality"]


@dataclass(frozen=True)
class HParams(Shared):
    lr: float = 2e-5
    lambda_: float = 0.1
    mft_epochs: int = 2
    alpha: float = 0.5
    layers: str = "1/3 2/3 1"
    typical: bool = True
    weights: str = "raw"
    heads: str = "shared"
    pool: str = "mean"
    cross: str = "cosines"
    weigh: str = "both"
    domain_heads: str = "per_layer"
    corruption: str = "shuffle"
    shuffle: str = "once"
    with_cls: bool = False
    prototypes: int = 1
    membership: str = "softmax"
    temperature: float = 0.1


def weighted_mean(own: Float[Tensor, "n"], others: Sequence[Float[Tensor, "n"]], alpha: float) -> Float[Tensor, "n"]:
    """t(x) = alpha cos(E(x), c_m^k) + (1 - alpha) / (K - 1) sum_{k' != k} cos(E(x), c_m^{k'})  (sec. 3.2).

    Args:
        own: the cosine of each example to its class in its own domain; others: in every other domain, NaN where a
            domain has no example of the class. Such a domain takes no part in the mean, which is then over fewer than
            K - 1; without any, t is the first cosine alone.
    """
    mean_other = torch.stack(list(others)).nanmean(0) if others else torch.full_like(own, torch.nan)
    return torch.where(mean_other.isnan(), own, alpha * own + (1 - alpha) * mean_other)


def typicality(
    embeddings: Sequence[Float[Tensor, "_ h"]],
    labels: Sequence[Int[Tensor, "_"]],
    prototypes: Sequence[Float[Tensor, "_ j h"]],
    alpha: float,
    texts: Sequence[Sequence[str]] | None = None,
    *,
    cross: str = "cosines",
    membership: str = "softmax",
    temperature: float = 0.1,
) -> list[Float[Tensor, "_"]]:
    """t(x) of every training example, per domain; `prototypes` may hold several per class (sec. 3.2).

    Args:
        embeddings: per domain (n_k, H). labels: per domain (n_k,). prototypes: per domain (|C_k|, J, H), or (|C_k|, H)
            for J = 1; rows of NaN do not exist.
        texts: the words of each domain's classes; by default class m is the same in every domain. A domain that lacks
            the words of a class lends the mean cosine to all of its prototypes (Meta-FT*).
        cross: ``cosines`` = mean over domains of the cosine; ``mean`` = cosine to the mean of their prototypes.
        membership: ``softmax`` over the class's own sub-prototypes; ``literal`` over the classes of x's domain, whose
            memberships then weigh the prototypes of those classes in every domain.
    """
    domains = [p if p.dim() == 3 else p[:, None] for p in prototypes]
    names = texts if texts is not None else [[str(m) for m in range(len(p))] for p in domains]
    unit = [F.normalize(e, dim=-1) for e in embeddings]

    def cosines(k: int, c: Tensor) -> Tensor:
        """(n_k, M, J): each example of domain k with the prototypes c (M, J, H)."""
        return torch.einsum("nh,mjh->nmj", unit[k], F.normalize(c, dim=-1))

    def to_class(k: int, c: Tensor, classes: Sequence[str]) -> Tensor:
        """(n_k,) the cosine of each example of domain k to its class, by words, among the prototypes c of `classes`."""
        if membership == "literal":
            same = c[[classes.index(m) for m in names[k]]]
            return _literal(cosines(k, same)[..., 0], cosines(k, domains[k])[..., 0], temperature)
        places = torch.tensor([classes.index(m) if m in classes else -1 for m in names[k]])
        return _of_class(cosines(k, c), places[labels[k]], temperature)

    def mean_prototypes(k: int, others: Sequence[int]) -> Tensor:
        """The prototypes of domain k's classes in the middle of the other domains."""
        return torch.stack([domains[o][[names[o].index(m) for m in names[k]]] for o in others]).nanmean(0)

    t = []
    for k in range(len(domains)):
        others = [o for o in range(len(domains)) if o != k]
        own = to_class(k, domains[k], names[k])
        if cross == "mean" and others:
            away = [to_class(k, mean_prototypes(k, others), names[k])]
        else:
            away = [to_class(k, domains[o], names[o]) for o in others]
        t.append(weighted_mean(own, away, alpha))
    return t


def _memberships(cosines: Float[Tensor, "n j"], temperature: float) -> Float[Tensor, "n j"]:
    """b > 0, summing to one: how much x belongs to each prototype. Prototypes that do not exist (NaN) get 0."""
    return torch.nan_to_num(torch.softmax((cosines / temperature).masked_fill(cosines.isnan(), -math.inf), -1))


def _of_class(cosines: Float[Tensor, "n m j"], place: Int[Tensor, "n"], temperature: float) -> Float[Tensor, "n"]:
    """The cosine of x to its class: with several prototypes of it, each by its membership b.

    `place` is the class of each example among the M; -1, a class that is not there, gets the mean of all cosines.
    """
    own = cosines[torch.arange(len(place)), place.clamp_min(0)]
    value = torch.nan_to_num(own * _memberships(own, temperature)).sum(-1)
    value = value.masked_fill(own.isnan().all(-1), torch.nan)
    return torch.where(place < 0, cosines.flatten(1).nanmean(-1), value)


def _literal(
    cosines: Float[Tensor, "n m"], in_own_domain: Float[Tensor, "n m"], temperature: float
) -> Float[Tensor, "n"]:
    """The formula as printed: a weighted mean over all classes, each by the membership of x in it in x's own domain."""
    b = _memberships(in_own_domain, temperature) * ~cosines.isnan()
    return torch.nan_to_num(cosines).mul(b).sum(-1) / b.sum(-1)


def corrupted(domains: Int[Tensor, "b"], how: str, sizes: Sequence[int], *purpose: object) -> Int[Tensor, "b"]:
    """z: the false domain of each example of the global batch; depends on `purpose` and the batch alone (sec. 3.3).

    Args:
        how: ``shuffle`` = a permutation of the true ones; ``uniform``, or ``estimated`` by the domains' `sizes` = drawn
            from that prior. A domain of size 0 takes no part.
    """
    g, n = rng(*purpose, "corrupted"), np.asarray(sizes)
    if how == "shuffle":
        return domains[torch.from_numpy(g.permutation(len(domains)))]
    even = None if n.all() else (n > 0) / np.count_nonzero(n)
    p = even if how == "uniform" else n / n.sum()
    return torch.from_numpy(g.choice(len(sizes), size=len(domains), p=p))


class Method(BaseMethod[HParams]):
    def __init__(self, setup: Setup[HParams]) -> None:
        super().__init__(setup)
        body, count = self.encoder.body, len(setup.tasks)
        self.layers = layers(self.hp.layers, body.depth) if self.hp.lambda_ else ()
        self.union = union(setup.corpus.parts) if self.hp.heads == "shared" else None
        per_layer = self.hp.domain_heads == "per_layer"
        self.domain = nn.Embedding(count, body.hidden).to(body.anchor)  # E_D
        self.delta = nn.ModuleList(
            nn.Linear(body.hidden, count) for _ in (self.layers if per_layer else self.layers[:1])
        ).to(body.anchor)
        self.fresh_domains()

    @classmethod
    def admit(cls, hp: HParams, depth: int, tasks: Mapping[str, Task], unseen: str | None = None) -> list[str]:
        if odd := [name for name, t in tasks.items() if t.kind != "classification"]:
            raise DataError(Problem(f"is defined for classification tasks, but not so {', '.join(odd)}", "tasks"))
        spaces = {name: {t.text_of(c) for c in t.labels} for name, t in tasks.items()}
        one = len({frozenset(s) for s in spaces.values()}) < 2
        if hp.heads == "shared" and not one:
            said = "; ".join(f"{name}: {', '.join(sorted(s))}" for name, s in spaces.items())
            raise DataError(
                Problem(
                    f"needs the same classes in every domain, but they are {said}; meta_ft has a head per task",
                    "tasks",
                )
            )
        for key, value in (("cross", "mean"), ("membership", "literal")):
            if getattr(hp, key) == value and not one:
                raise ConfigError(Problem(f"{key}: {value} needs the same classes in every domain", key))
        merge((name, t.kind, [t.text_of(c) for c in t.labels]) for name, t in tasks.items())  # refuses what clashes
        if not hp.lambda_:
            return []
        try:
            found = layers(hp.layers, depth)
        except ValueError as e:
            raise ConfigError(Problem(f"layers {e}", "layers")) from None
        return [f"domain heads at layers {', '.join(map(str, found))} of {depth}"]

    @classmethod
    def untouched_layers(cls, hp: HParams, depth: int) -> int:
        return min(layers(hp.layers, depth)) if hp.lambda_ else depth

    @classmethod
    def further_heads(cls, hp: HParams, parts: Sequence[Encoded]) -> tuple[int, ...]:
        return (len(union(parts).texts),) if hp.heads == "shared" else ()

    @classmethod
    def schedule(cls, hp: HParams, sizes: Sizes) -> Schedule:
        mft = Length.plain(hp.bounded(hp.mft_epochs * epoch_updates(sizes.transfer, hp.batch_size)))
        return Schedule(transfer={"mft": mft}, adapt={"finetune": hp.finetuning(sizes.own)})  # by BaseMethod.adapt

    def fresh_domains(self) -> None:
        """New E_D and delta, N(0, 0.02) weights and zero biases, the same on every rank."""
        g = torch.Generator().manual_seed(seed_of(self.setup.seed, "head", "mft", "domains"))
        with torch.no_grad():
            for p in (*self.domain.parameters(), *self.delta.parameters()):
                p.copy_(
                    0.02 * torch.randn(p.shape, generator=g, dtype=torch.float64) if p.dim() > 1 else torch.zeros(())
                )

    def compute_constants(self) -> dict[str, Tensor]:
        """t of every training example, from the untouched PLM. Nothing to compute where all are 1."""
        hp, s = self.hp, self.setup
        parts = [s.corpus.parts[k] for k in s.sources]
        if not hp.typical:
            return {}
        e = [embed(s.plm, p, hp.pool, s.workers, precision=s.precision, device=s.device) for p in parts]
        y = [torch.from_numpy(p.labels) for p in parts]
        count = 1 if hp.membership == "literal" else hp.prototypes
        c = [sub_prototypes(ei, yi, p.outputs, count) for ei, yi, p in zip(e, y, parts, strict=True)]
        t = typicality(
            e,
            y,
            c,
            hp.alpha,
            [p.texts for p in parts],
            cross=hp.cross,
            membership=hp.membership,
            temperature=hp.temperature,
        )
        return {f"t.{k}": tk for k, tk in zip(s.sources, t, strict=True)}

    def typicality_weights(self) -> list[Tensor]:
        """t(x) of every training example in the transfer, (n_k,) per domain; 1 where all count alike."""
        t = [self.constants.get(f"t.{k}", torch.ones(n)) for k, n in enumerate(self.setup.sizes.transfer)]
        return instance_weights(t, self.hp.weights, self.setup.tasks, "t(x)")

    def transfer(self) -> list[Stage]:
        hp, sizes, seed = self.hp, self.setup.sizes.transfer, self.setup.seed
        t, first = torch.cat(self.typicality_weights()), torch.tensor([0, *sizes]).cumsum(0)
        rows = self.draw(union_batches(sizes, hp.batch_size, seed, "mft"))
        times = len(self.layers) if hp.shuffle == "per_layer" else 1

        def draw(step: int) -> tuple[Batch, Tensor]:
            batch = rows(step)
            # without layers one z is drawn that nobody reads
            z = [corrupted(batch.task, hp.corruption, sizes, seed, "mft", step, i) for i in range(max(times, 1))]
            return batch.weighted(t[first[batch.task] + batch.row]), torch.stack(z, -1)

        label_heads = self.setup.sources if hp.heads == "own" else [len(sizes)]
        stage = self.supervised("mft", draw, self.loss, dict.fromkeys(label_heads, "mft"))

        def start() -> None:
            self.fresh_domains()
            stage.start()

        return [replace(stage, start=start)]

    def loss(self, drawn: tuple[Batch, Int[Tensor, "b n"]]) -> Tensor:
        """This rank's share of L = L_TLC + lambda L_SDC over the global batch; `drawn`: the batch and its z."""
        global_batch, z = drawn
        batch = global_batch.shard(self.workers)
        if not len(batch):
            return torch.zeros(()).to(self.encoder.body.anchor)
        assert batch.weight is not None
        *inner, last = self.encoder(batch, (*self.layers, self.encoder.body.depth))
        t, hp = placed(batch.weight, last.device).to(last), self.hp
        total = (self.label_losses(batch, last) * (1 if hp.weigh == "domains" else t)).sum()
        if self.layers:
            local_z = placed(z[share(len(global_batch), self.workers)], last.device)
            domain = self.domain_losses(batch, inner, local_z)
            total = total + hp.lambda_ * (domain * (1 if hp.weigh == "labels" else t)).sum()
        return total / len(global_batch)

    def label_losses(self, batch: Batch, last: Float[Tensor, "t h"]) -> Float[Tensor, "b"]:
        """-log tau_m(x) of each example, under the shared label head or its own."""
        if self.union is None:
            return self.losses(batch, answers=self.encoder.answers(batch, last))
        (answers,) = self.encoder.answers(batch, last, head=len(self.setup.tasks))
        return cross_entropy(answers.logits, placed(self.union.labels(batch), last.device))

    def domain_losses(
        self, batch: Batch, states: Sequence[Float[Tensor, "t h"]], z: Int[Tensor, "b n"]
    ) -> Float[Tensor, "b"]:
        """(1/|Ls|) sum over l of -log delta_z(h_l(x) + E_D(k)) of each example (L_SDC)."""
        there = batch.to(z.device)
        offsets, e = there.offsets, self.domain(there.task)
        absent = [k for k in range(len(self.setup.tasks)) if k not in self.setup.sources]  # an unseen target
        no_answer = placed(torch.tensor(absent, dtype=torch.long), z.device)
        out = []
        for i, layer in enumerate(states):
            h = pool(layer, offsets) if self.hp.with_cls else _without_first(layer, offsets)
            delta: Callable[[Tensor], Tensor] = self.delta[i if len(self.delta) > 1 else 0]
            logits = delta(h + e).index_fill(1, no_answer, -math.inf)
            out.append(cross_entropy(logits, z[:, i if z.shape[1] > 1 else 0]))
        return torch.stack(out).mean(0)

    def facts(self) -> dict[str, Any]:
        """The spread of t per domain, and which layers have a domain head."""
        t = {
            task: spread(self.constants[f"t.{k}"])
            for k, task in enumerate(self.setup.tasks)
            if f"t.{k}" in self.constants
        }
        return {**({"typicality": t} if t else {}), **({"layers": list(self.layers)} if self.layers else {})}


def _without_first(states: Float[Tensor, "t h"], offsets: Int[Tensor, "b_plus_1"]) -> Float[Tensor, "b h"]:
    """The mean over each example's tokens but its first, [CLS]."""
    count = offsets.diff()[:, None].to(states)
    return (pool(states, offsets) * count - states.index_select(0, offsets[:-1])) / (count - 1)
