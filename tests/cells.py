"""Small cells for the tests: specs over planted tasks, and runs whose weights, updates and answers can be looked at."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from jaxtyping import config as shape_checks
from torch import Tensor

from raystudy import train
from raystudy.catalogue import catalogue
from raystudy.data.plm import PLM, resolve
from raystudy.data.text import Corpus, encode
from raystudy.errors import DataError
from raystudy.methods import BaseMethod, Setup, Stage, hparams
from raystudy.nn import embed
from raystudy.plugins import find_module
from raystudy.spec import Numerics, Places, Record, Setting, Spec
from raystudy.tasks import Task, load
from raystudy.workers import Alone, Workers, simulate

PLACES = Places(plm="tiny")
SUITE = ("planted/target", "planted/source")
DOMAINS = ("planted/domain_1", "planted/domain_2")  # the same classes, for methods that are defined for domains alone
VECTORS = ("planted/vector_target", "planted/vector_source")  # for methods that are defined for vectors alone
MODELS = {VECTORS: "mlp:16"}  # of a suite that the model of texts cannot read
OPTIONS = {"relatedness": 1.0, "n_train": 36, "n_dev": 24, "n_test": 24, "length": 8}
# Six updates a stage. 36 = 5 * 7 + 1: batches are uneven over 2 and 3 workers, an epoch's last holds one example.
QUICK = {
    "lr": 1e-3,
    "batch_size": 7,
    "dropout": 0.0,
    "max_updates": 6,
    "weights": "clip0",
    "layers": "1/2 1",
    "inner_steps": 2,
    "tasks_per_step": 3,  # uneven over two workers
    "epoch_of": "episodes",
    # either task may be the target
    "label_map": "zinc > amber; gold > birch; iron > coral; amber > zinc; birch > gold; coral > iron",
}
# A whole cell, from data to answers, has four updates a stage: 22 = 3 * 7 + 1.
CELL = {**OPTIONS, "n_train": 22, "n_dev": 12, "n_test": 12}
UPDATES = 4
# A pooled variant is the method of another with the same settings, on more data; tests of plan and draws have its laws.
ROLES = {v: catalogue().variant(v).role for v in sorted(catalogue().variants) if not catalogue().variant(v).pooled}
VARIANTS = tuple(ROLES)
TRAINED = tuple(v for v, role in ROLES.items() if role != "floor")


def known(variant: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `settings` that the variant has and does not fix itself."""
    fixes = catalogue().variant(variant).fixes
    return {k: v for k, v in settings.items() if k in catalogue().parameters_of(variant) and k not in fixes}


@cache
def digest(name: str, options: str) -> str:
    """The digest of a planted task with these options, as JSON. A spec that names it makes the task once a process."""
    return load(name, options=json.loads(options)).digest


@lru_cache
def admits(variant: str, suite: tuple[str, ...]) -> bool:
    """Whether a method takes these tasks together."""
    module = find_module("methods", catalogue().variant(variant).method)
    hp = hparams(module.HParams, catalogue().resolve(variant, known(variant, QUICK)))
    try:
        module.Method.admit(
            hp, resolve(MODELS.get(suite, "tiny")).depth, {name: load(name, options=OPTIONS) for name in suite}
        )
    except DataError:
        return False
    return True


def places_of(spec: Spec) -> Places:
    """Where the model of a spec is found."""
    return dataclasses.replace(PLACES, plm=spec.plm)


def spec_of(
    variant: str,
    *,
    phase: Any = "confirm",
    suite: tuple[str, ...] = SUITE,
    target: str = "planted/target",
    setting: Setting | None = None,
    seed: int = 1,
    options: Mapping[str, Any] | None = None,
    precision: Any = "fp64",
    unseen: bool = False,
    **settings: Any,
) -> Spec:
    """A spec over planted tasks: epochs of 1, `QUICK`, `UPDATES`, then `settings`; what the variant lacks is left out.

    A variant that the default suite is nothing for gets domains in the place of its tasks, or vectors.
    """
    if suite == SUITE and (others := next((s for s in (SUITE, DOMAINS, VECTORS) if admits(variant, s)), SUITE)):
        target, suite = others[SUITE.index(target)], others
    epochs = {k: 1 for k in catalogue().parameters_of(variant) if k.endswith("epochs")}
    task_options = {**CELL, **(options or {})}
    return Spec(
        phase=phase,
        variant=variant,
        method=catalogue().variant(variant).method,
        settings=catalogue().resolve(variant, known(variant, {**epochs, **QUICK, "max_updates": UPDATES, **settings})),
        suite=suite,
        target=target,
        setting=setting or Setting(),
        seed=seed,
        unseen=unseen,
        plm=MODELS.get(suite, "tiny"),
        plm_digest="",
        data={name: digest(name, json.dumps(task_options)) for name in suite},
        task_options={"planted": task_options},
        numerics=Numerics(precision=precision),
    )


class Killed(Exception):  # noqa: N818 - no error, an event
    """The power goes off."""


@dataclass
class Ran:
    """A finished cell, opened: its outcome, its last weights, how many updates each stage made."""

    outcome: train.Outcome
    state: dict[str, Tensor]
    updates: Counter[str] = field(default_factory=Counter)

    @property
    def record(self) -> dict[str, Any]:
        return comparable(self.outcome.record)


def comparable(record: Record) -> dict[str, Any]:
    """A record as JSON, without what may differ between repeats: seconds, and which code it was."""
    return {k: v for k, v in record.to_json().items() if k not in ("seconds", "made_by")}


Kill = tuple[str, int] | None  # (stage, update) before which a cell dies


def _watched(method: BaseMethod, updates: Counter[str], kill: Kill) -> None:
    """Count the updates of every stage of `method`; die before one of them."""

    def watch(stage: Stage) -> Stage:
        def update(step: int, drawn: Any) -> Mapping[str, float]:
            if (stage.name, step) == kill:
                raise Killed
            updates[stage.name] += 1
            return stage.update(step, drawn)

        return dataclasses.replace(stage, update=update)

    for part in ("transfer", "adapt"):
        original: Callable[[], list[Stage]] = getattr(method, part)
        setattr(method, part, lambda original=original: [watch(s) for s in original()])


@contextmanager
def unchecked() -> Iterator[None]:
    """While open, no shapes are checked (conftest.py): what repeats `undisturbed` meets the shapes that it met."""
    was = shape_checks.jaxtyping_disable
    shape_checks.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        shape_checks.update("jaxtyping_disable", was)


@contextmanager
def opened(kill: Kill = None) -> Iterator[dict[int, tuple[BaseMethod, Counter[str]]]]:
    """While open, the methods that `train.run` makes are kept by rank."""
    kept: dict[int, tuple[BaseMethod, Counter[str]]] = {}
    original = train.method_of

    def method_of(spec: Spec, tasks: Mapping[str, Task], places: Places, workers: Workers) -> BaseMethod:
        method = original(spec, tasks, places, workers)
        kept[workers.rank] = method, Counter()
        _watched(*kept[workers.rank], kill)
        return method

    with patch.object(train, "method_of", method_of):
        yield kept


def ran(spec: Spec, *, kill: Kill = None, shapes: bool = False, **options: Any) -> Ran:
    """Run a spec alone in this process, with checked `shapes` if asked for; `options` go to `train.run`."""
    embed._MEMO.clear()
    with opened(kill) as kept, nullcontext() if shapes else unchecked():
        outcome = train.run(spec, places_of(spec), **options)
    method, updates = kept[0]
    return Ran(outcome, state_of(method), updates)


def ran_by(spec: Spec, size: int) -> list[Ran]:
    """Run a spec on `size` simulated ranks."""
    embed._MEMO.clear()  # threads share it, and one rank must not find what another has to compute
    with opened() as kept, unchecked():
        outcomes = simulate(size, lambda workers: train.run(spec, places_of(spec), workers=workers))
    return [Ran(o, state_of(kept[r][0]), kept[r][1]) for r, o in enumerate(outcomes)]


@cache
def undisturbed(variant: str, batch_size: int = 7, validations: int = 0, target: str = "planted/target") -> Ran:
    """One plain run of a variant, with every shape checked, which several laws compare with."""
    most = UPDATES if batch_size > 2 else 3
    settings = {"batch_size": batch_size, "validations": validations, "max_updates": most}
    return ran(spec_of(variant, target=target, **settings), shapes=True)


def state_of(method: BaseMethod) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in method.state_dict().items()}


def setup_of(spec: Spec, workers: Workers | None = None) -> Setup:
    return train.setup_of(spec, train.load_tasks(spec, None), places_of(spec), workers or Alone())


def method_over(
    tasks: Mapping[str, Task],
    variant: str,
    *,
    workers: Workers | None = None,
    plm: PLM | None = None,
    target: int = 0,
    seed: int = 1,
    **settings: Any,
) -> BaseMethod:
    """A method over the training splits of any tasks, without a spec."""
    plm = plm or resolve("tiny")
    module = find_module("methods", catalogue().variant(variant).method)
    values = catalogue().resolve(variant, known(variant, {**QUICK, **settings}))
    corpus = Corpus(tuple(encode(t, "train", plm) for t in tasks.values()))
    hp = hparams(module.HParams, values)
    setup = Setup(plm, tuple(tasks), corpus, target, seed, hp, workers or Alone(), precision="fp64")
    if module.Method.knows_prior(hp):
        setup = dataclasses.replace(setup, prior=list(tasks.values())[target].prior)
    method = module.Method(setup)
    assert isinstance(method, BaseMethod)
    return method


def planted(part: str, **options: Any) -> Task:
    return load(f"planted/{part}", options={**OPTIONS, **options})


def assert_same_state(a: Mapping[str, Tensor], b: Mapping[str, Tensor], atol: float = 0.0) -> None:
    assert a.keys() == b.keys()
    for k in a:
        torch.testing.assert_close(a[k], b[k], rtol=0, atol=atol, equal_nan=True, msg=lambda m, k=k: f"{k}: {m}")


def assert_same_answers(a: train.Outcome, b: train.Outcome, atol: float = 0.0) -> None:
    assert a.predictions.keys() == b.predictions.keys()
    for split, p in a.predictions.items():
        q = b.predictions[split]
        assert (p.gold, p.pred) == (q.gold, q.pred)
        assert (p.probabilities is None) == (q.probabilities is None)
        if p.probabilities is not None and q.probabilities is not None:
            np.testing.assert_allclose(p.probabilities, q.probabilities, rtol=0, atol=atol)


def assert_same(a: Ran, b: Ran) -> None:
    """Bitwise: record (apart from seconds), weights and predictions."""
    assert a.record == b.record
    assert_same_state(a.state, b.state)
    assert_same_answers(a.outcome, b.outcome)


def assert_close_json(a: Any, b: Any, atol: float) -> None:
    """Equal JSON trees but for the last digits of their numbers."""
    if isinstance(a, Mapping):
        assert a.keys() == b.keys()
        for k in a:
            assert_close_json(a[k], b[k], atol)
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_close_json(x, y, atol)
    elif isinstance(a, float):
        assert a == pytest.approx(b, abs=atol)
    else:
        assert a == b


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))
