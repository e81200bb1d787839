"""Describes one training (`Spec`), what it produced (`Record`), and the parts of a study (`Arm`, `Setting`).

A `Setting` says how much labelled data of the target there is. An `Arm` is one method in one setting, on all targets of
a study. A `Spec` is one training of an arm: for exactly one target and one seed. Its `id` is a digest of its content,
so the same training is never paid for twice. A `Record` is what one Spec produced. People call the two together a cell:
one cell of the table that a report fills. Records are the only truth; everything else is rebuilt from them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from raystudy.catalogue import Value, catalogue
from raystudy.yamlfile import Strict

__all__ = [
    "ACROSS",
    "SCHEMA",
    "Arm",
    "Numerics",
    "Places",
    "Record",
    "Setting",
    "Spec",
    "canonical",
    "digest",
    "precision_rule",
]

SCHEMA = 1
ACROSS = "across"  # stands for the variant of an arm in which a search chooses the method; no variant has this name
_LONGEST = 150  # bytes of a file's name without what is written before and behind it; file systems take 255


def canonical(value: Any) -> str:
    """JSON with one spelling per value: sorted keys, no spaces, no NaN. This text is what is hashed and compared."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any, size: int = 8) -> str:
    """A hexadecimal digest of ``canonical(value)``, 2 * `size` characters."""
    return hashlib.blake2b(canonical(value).encode(), digest_size=size).hexdigest()


def precision_rule(value: Any) -> Any:
    """The value as it is.

    Raises:
        ValueError: it is a precision that would need what nothing here has.
    """
    if value in ("fp16", "float16", "half"):
        raise ValueError("must be 'fp32', 'bf16' or 'fp64' (fp16 would need scaled losses, which nothing here has)")
    return value


class Numerics(Strict):
    """The choices that change results in the last digits. They are part of every Spec's id.

    Attributes:
        precision: of the training; ``bf16`` computes in bfloat16 where that is safe, the weights stay in float32.
        device: what trains; ``cuda`` takes one GPU per worker.
        workers: data-parallel ranks per training.
    """

    precision: Annotated[Literal["fp32", "bf16", "fp64"], BeforeValidator(precision_rule)] = "fp32"
    device: Literal["cpu", "cuda"] = "cpu"
    workers: Annotated[int, Field(strict=True, gt=0)] = 1


@dataclass(frozen=True, order=True)
class Setting:
    """How much labelled target data there is: `shots` examples in total, a `fraction` of the train split, or all.

    With a `ratio`, beside `shots`, each source has so many times as many examples as the target, and not all of its.
    """

    shots: int | None = None
    fraction: float | None = None
    ratio: float | None = None

    def __str__(self) -> str:
        if self.shots is not None:
            return f"k={self.shots}" + ("" if self.ratio is None else f" ratio {self.ratio:g}")
        return "all" if self.fraction is None else f"{100 * self.fraction:g}%"


@dataclass(frozen=True)
class Arm:
    """One variant in one setting, on all targets of the study. Each arm is searched on its own, by one Optuna study."""

    variant: str
    setting: Setting

    def __str__(self) -> str:
        return f"{self.variant}@{self.setting}"

    @property
    def stem(self) -> str:
        """The arm's name as a file name: a variant's name may hold fractions and spaces (``mft[layers=1/2 1]``).

        A name that file systems would refuse for its length ends in a digest of the whole.
        """
        name = str(self).replace("/", "_").replace(" ", "-")
        if len(name.encode()) <= _LONGEST:
            return name
        return f"{name.encode()[: _LONGEST - 9].decode(errors='ignore')}-{digest(str(self), 4)}"


@dataclass(frozen=True)
class Places:
    """Where a machine keeps what a Spec names. Never part of an id: the digests in the Spec say what must be there."""

    data_root: str | None = None
    plm: str = "minilm"
    revision: str | None = None
    shared: str | None = None  # stage store and mid-stage checkpoints


@dataclass(frozen=True)
class Spec:
    """One training of one variant for one target in one setting with one seed; gives exactly one `Record`.

    Attributes:
        phase: ``search`` (judged on dev only) or ``confirm`` (dev and test).
        settings: the complete, validated settings of the method.
        suite: the tasks that take part, the target among them, in the study's order.
        data: task -> digest of the task after `limits`; a changed file is another question.
        dev: how much of the dev split there is: about as many examples as train has, all, or a number.
        scope: whose training split `setting` cuts: the target's, or every task's.
        unseen: whether the target takes no part in the transfer, and is met in the adaptation alone.
        plm: the model's name; `plm_digest` covers its weights, tokenizer and configuration.
        own: ``methods/NAME``, ``tasks/NAME`` -> digest of the file, where these are the user's own.
    """

    phase: Literal["search", "confirm"]
    variant: str
    method: str
    settings: Mapping[str, Value]
    suite: tuple[str, ...]
    target: str
    setting: Setting
    seed: int
    plm: str
    plm_digest: str
    data: Mapping[str, str]
    limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # task -> split -> at most
    task_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    dev: Literal["like_train", "all"] | int = "like_train"
    scope: Literal["target", "suite"] = "target"
    unseen: bool = False
    length: int | None = None
    numerics: Numerics = Numerics()
    schema: int = SCHEMA
    own: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        out = {f.name: getattr(self, f.name) for f in fields(self)}
        out["setting"] = asdict(self.setting)
        if self.setting.ratio is None:  # as with the scope: the question of old
            del out["setting"]["ratio"]
        out["settings"] = catalogue().described(self.method, self.settings)
        out["numerics"] = self.numerics.model_dump()
        out["suite"] = list(self.suite)
        if self.scope == "target":  # the question of old: its id stays
            del out["scope"]
        if not self.unseen:
            del out["unseen"]
        if not self.own:
            del out["own"]
        return json.loads(canonical(out))  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Spec:
        values = dict(data)
        values["setting"] = Setting(**values["setting"])
        values["settings"] = catalogue().complete(values["method"], values["settings"])
        values["numerics"] = Numerics(**values["numerics"])
        values["suite"] = tuple(values["suite"])
        return cls(**values)

    @cached_property  # a plan, a search and a report ask for it again and again
    def id(self) -> str:
        return digest(self.to_json())

    @property
    def arm(self) -> Arm:
        return Arm(self.variant, self.setting)

    @property
    def datasets(self) -> tuple[str, ...]:
        """The names of the data sets that are read for it: of its tasks, and of tasks whose texts they do without."""
        own = {name.partition("/")[0] for name in self.suite}
        others = (other for name in own for other in self.task_options.get(name, {}).get("without", ()))
        return tuple(sorted({*own, *(other.partition("/")[0] for other in others)}))

    def __str__(self) -> str:
        return f"{self.variant} {self.target} {self.setting} seed {self.seed} ({self.phase})"


@dataclass(frozen=True)
class Record:
    """What one Spec produced. A training that failed has a Record too, with its error and without metrics.

    Attributes:
        metrics: split -> metric -> value in [0, 1] (correlations in [-1, 1]); ``test`` only in the confirm phase.
        counts: ``n_train``, ``n_dev``, ``n_test`` of the target and the updates of every stage that made the weights.
        updates: stage -> optimizer updates behind these weights, whether run here or answered from the stage store.
        passes: stage -> what these updates cost, in forward and backward passes over one batch. Records of earlier
            versions have none.
        stages: stage -> ``ran`` | ``stored``.
        seconds: phase of the cell -> seconds; the only part that differs between repeats. ``validate`` lies inside the
            stages that it interrupts.
        facts: the name of the primary metric, how often each class occurs and was answered per split, and what the
            method wants to say (spread of scores, learned weights); JSON values.
        made_by: provenance: code digest, versions of libraries, device, threads. Never part of a comparison.
    """

    spec: Spec
    status: Literal["done", "failed"]
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    updates: Mapping[str, int] = field(default_factory=dict)
    stages: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    made_by: Mapping[str, str] = field(default_factory=dict)
    passes: Mapping[str, float] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def total_passes(self) -> float:
        """What all stages cost in passes; nan in a record of an earlier version, which does not say."""
        return math.nan if self.updates.keys() - self.passes.keys() else math.fsum(self.passes.values())

    @property
    def wall(self) -> float:
        """Seconds that the cell took, all its phases together."""
        return math.fsum(s for phase, s in self.seconds.items() if phase != "validate")

    def to_json(self) -> dict[str, Any]:
        out = {f.name: getattr(self, f.name) for f in fields(self)}
        out["spec"] = self.spec.to_json()
        return json.loads(canonical(out))  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        return cls(**{**data, "spec": Spec.from_json(data["spec"])})
