"""How much work a training is, part by part, from its plan or from its record, in the units of `pace.PARTS`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from raystudy.catalogue import catalogue
from raystudy.code_versions import code_and_library_digest
from raystudy.data.fewshot import cut
from raystudy.data.text import encode
from raystudy.methods import Length
from raystudy.spec import Record, Setting, Spec
from raystudy.study.forecast.pace import PARTS, Part, Work
from raystudy.study.plan import Plan, Trainings

__all__ = ["StudyWork", "seconds_of_parts"]

Amounts = Mapping[Part, float]


class StudyWork:
    """The work of the trainings of one study.

    Args:
        threads: that each worker computes with.
    """

    def __init__(self, plan: Plan, threads: int = 1) -> None:
        self.plan, self.threads = plan, threads
        self._works: dict[tuple[Any, ...], Work] = {}
        self._judged: dict[tuple[str, Setting], tuple[int, int]] = {}

    def of_trainings(self, t: Trainings) -> dict[Part, float]:
        """The amounts of one of these trainings."""
        return self._amounts(t.variant, t.settings, t.target, t.arm.setting, tests=t.kind != "search")

    def of_spec(self, spec: Spec) -> dict[Part, float]:
        """The amounts of one training, which finds nothing in the store."""
        return self._amounts(spec.variant, spec.settings, spec.target, spec.setting, tests=spec.phase == "confirm")

    def of_record(self, record: Record) -> dict[Part, float]:
        """The amounts of what a training itself computed, without what it found in the store."""
        spec = record.spec
        amounts = self.of_spec(spec)
        schedule = self.plan.schedule(spec.variant, spec.settings, spec.target, spec.setting)
        stages: Mapping[Part, Mapping[str, Length]] = {"transfer": schedule.transfer, "adapt": schedule.adapt}
        for part, lengths in stages.items():
            ran = (length.passes for name, length in lengths.items() if record.stages.get(name) == "ran")
            amounts[part] = math.fsum(ran)
        if record.stages.get("constants") != "ran":
            amounts["constants"] = 0.0
        return amounts

    def passes_before(self, t: Trainings, stage: str) -> float:
        """Passes of the stages before one of this name."""
        names = list(t.schedule.stages)
        before = names[: names.index(stage)] if stage in names else []
        return math.fsum(t.schedule.stages[name].passes for name in before)

    def _amounts(
        self, variant: str, settings: Mapping[str, Any], target: str, setting: Setting, *, tests: bool
    ) -> dict[Part, float]:
        schedule = self.plan.schedule(variant, settings, target, setting)
        dev, test = self._examples(target, setting)
        constants = any("constants" in p.reads for p in catalogue().parameters_of(variant).values())
        looks = int(settings.get("validations", 0) or 0)  # at dev, within the stages
        return {
            "load": 1.0,
            "constants": float(sum(self.plan.sizes[target, setting].values())) if constants else 0.0,
            "transfer": math.fsum(length.passes for length in schedule.transfer.values()),
            "adapt": math.fsum(length.passes for length in schedule.adapt.values()),
            "evaluate": float(dev * (1 + looks) + (test if tests else 0)),
        }

    def _examples(self, target: str, setting: Setting) -> tuple[int, int]:
        """How many examples of dev and of test a training is judged on."""
        if (target, setting) not in self._judged:
            task = cut(self.plan.tasks[target], setting, 0, self.plan.study.dev)
            self._judged[target, setting] = len(task.splits["dev"]), len(task.splits["test"])
        return self._judged[target, setting]

    def work(self, part: Part, variant: str, settings: Mapping[str, Any], target: str) -> Work:
        """What the time of a unit of a part depends on."""
        numerics, plm = self.plan.study.numerics, self.plan.plm
        trained = part in ("transfer", "adapt")
        key = (part, variant, settings.get("batch_size"), settings.get("freeze"), target)
        if key not in self._works:
            self._works[key] = Work(
                part=part,
                variant="" if part == "load" else variant,
                model=plm.digest,
                batch=int(settings.get("batch_size", 1)) if trained else 1,
                tokens=1.0 if part == "load" else self._tokens(target, suite=part in ("transfer", "constants")),
                freeze=str(settings.get("freeze", "none")) if trained else "none",
                precision=numerics.precision,
                device=numerics.device,
                workers=numerics.workers,
                threads=self.threads,
                code="" if part == "load" else self._code(variant),
            )
        return self._works[key]

    def _code(self, variant: str) -> str:
        return code_and_library_digest(catalogue().variant(variant).method)

    def _tokens(self, target: str, *, suite: bool) -> float:
        """Word pieces of a mean training example: of the tasks that take part, all alike, or of the target."""
        names = self.plan.study.tasks_with(target) if suite else (target,)
        length = self.plan.lengths[target]
        means = []
        for name in names:
            encoded = encode(self.plan.tasks[name], "train", self.plan.plm, length)
            means.append(len(encoded.ids) / max(1, len(encoded)))
        return round(sum(means) / len(means), 1)

    @cached_property
    def run_work(self) -> dict[Part, Work]:
        """The parts of a run as a whole."""
        numerics = self.plan.study.numerics
        parts: tuple[Part, ...] = ("start", "finish")
        return {part: Work(part, device=numerics.device, workers=numerics.workers) for part in parts}


def seconds_of_parts(record: Record) -> dict[Part, float]:
    """What a record says of the seconds of each part; looks at dev within a stage are judging, not training."""
    seconds = {part: record.seconds.get(part, 0.0) for part in PARTS}
    looks = record.seconds.get("validate", 0.0)
    inside: Part = "adapt" if seconds["adapt"] >= looks else "transfer"
    seconds[inside] = max(0.0, seconds[inside] - looks)
    seconds["evaluate"] += looks
    return seconds
