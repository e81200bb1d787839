"""How far the tasks of a suite are from one another: one source and one target at a time (Chen et al. 2022, Def. 3.1).

    phi_s       the encoder, trained on the task s alone, as the method `task_distance` learns a source's representation
    L_t*(phi)   the least loss of a head on phi over the training examples of t (`nn/head_minimum.py`)
    distance    of the source s to the target t: L_t*(phi_s) - L_t*(phi_t)

It is not symmetric, and it is told in the loss of the target, per example or per word: distances to one target can be
compared with one another, those to two targets cannot. An encoder does not depend on the target that it is compared
for, so that n trainings give all n (n - 1) distances. Names of tasks seed nothing: two tasks that are the same have the
same encoder, and their distance is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raystudy.catalogue import catalogue
from raystudy.data.draws import seed_of
from raystudy.data.plm import PLM
from raystudy.data.text import Corpus, Encoded, encode
from raystudy.errors import DataError, Problem
from raystudy.methods import Setup, hparams
from raystudy.methods.task_distance import PENALTY, HParams, Method
from raystudy.nn.dropout import seed_draws
from raystudy.nn.head_minimum import least_task_loss
from raystudy.tasks import Task
from raystudy.workers import Alone

__all__ = ["Distances", "distances"]


@dataclass(frozen=True)
class Distances:
    """The distances between the n tasks of a suite.

    Attributes:
        tasks: their names.
        least: (seeds, n, n) L_t*(phi_s): a row per source s, a column per target t.
        untouched: (n,) L_t* of the model before any training.
        updates: (n,) of the training on each task.
    """

    tasks: tuple[str, ...]
    least: NDArray[np.float64]
    untouched: NDArray[np.float64]
    updates: tuple[int, ...]

    @property
    def own(self) -> NDArray[np.float64]:
        """(seeds, n) L_t*(phi_t)."""
        return np.asarray(np.diagonal(self.least, axis1=1, axis2=2))

    @property
    def distance(self) -> NDArray[np.float64]:
        """(seeds, n, n) how far each source (row) is from each target (column); 0 of a task from itself."""
        return np.asarray(self.least - self.own[:, None, :])

    @property
    def of_untouched(self) -> NDArray[np.float64]:
        """(seeds, n) how far the model before any training is from each target."""
        return np.asarray(self.untouched - self.own)


def distances(
    tasks: Mapping[str, Task],
    plm: PLM,
    *,
    settings: Mapping[str, Any],
    seeds: Sequence[int] = (0,),
    length: int | None = None,
    done: Callable[[str, int], None] = lambda task, seed: None,
) -> Distances:
    """Train an encoder on each task alone, and measure the best head of every task on it.

    Args:
        tasks: name -> task; its split `train` is read.
        settings: of the method `task_distance`, where they are not its defaults.
        seeds: each is a training of every task.
        length: the longest sequence in word pieces; by default each task's own.
        done: called behind the training on a task.

    Raises:
        DataError: there are fewer than two tasks. FloatingPointError: a training diverged.
    """
    if len(tasks) < 2:
        raise DataError(Problem("a distance is that of two tasks, but there is one", "tasks"))
    names = tuple(tasks)
    parts = tuple(encode(t, "train", plm, length) for t in tasks.values())
    hp = hparams(HParams, catalogue().resolve("task_distance", settings))
    least = np.empty((len(seeds), len(names), len(names)))
    untouched, updates = np.empty(len(names)), [0] * len(names)
    for i, seed in enumerate(seeds):
        for s, name in enumerate(names):
            method = _method(names, parts, s, plm, hp, seed)
            if i == s == 0:
                untouched[:] = _least(method, parts)
            updates[s] = _learn(method, seed)
            least[i, s] = _least(method, parts)
            done(name, seed)
    return Distances(names, least, untouched, tuple(updates))


def _method(names: Sequence[str], parts: Sequence[Encoded], source: int, plm: PLM, hp: HParams, seed: int) -> Method:
    """The method whose one source this is. It wants a target too, of which the training on the source reads nothing."""
    target = 0 if source else 1
    setup = Setup(
        plm=plm,
        tasks=(names[target], names[source]),
        corpus=Corpus((parts[target], parts[source])),
        target=0,
        seed=seed,
        hp=hp,
        workers=Alone(),
    )
    return Method(setup)


def _learn(method: Method, seed: int) -> int:
    """Train the source's stage to its end; returns how many updates it had."""
    (stage,) = method.transfer()
    stage.start()
    method.train()
    for step in range(stage.length.updates):
        seed_draws(method.setup.device, seed_of(seed, "update", stage.name, step, 0))
        stage.update(step, stage.draw(step))
    method.optimizer = None
    return stage.length.updates


def _least(method: Method, parts: Sequence[Encoded]) -> list[float]:
    """L* of every task on the encoder as it stands."""
    with torch.no_grad():
        return [least_task_loss(method.encoder, part, penalty=PENALTY, workers=Alone()) for part in parts]
