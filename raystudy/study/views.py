"""What people look at beside the report: TensorBoard events, winners' settings. Never read back."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from tensorboardX import SummaryWriter

from raystudy.catalogue import catalogue
from raystudy.files import atomic_write
from raystudy.spec import Arm, Record
from raystudy.study.plan import Plan
from raystudy.study.search import ArmSearch

__all__ = ["TensorBoard", "to_yaml", "write_best"]


class TensorBoard:
    """One TensorBoard run per arm: dev scores in the order in which cells finished, seconds beside them.

    The folder is written anew from the records when a study starts, so a killed run leaves no holes.
    """

    def __init__(self, folder: Path, records: Iterable[Record]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self.folder = folder
        self._writers: dict[str, SummaryWriter] = {}
        self._steps: dict[str, int] = {}
        for record in sorted(records, key=lambda r: (r.spec.phase == "confirm", r.spec.seed, r.id)):
            self.add(record)

    def add(self, record: Record) -> None:
        """One more finished cell."""
        if record.status != "done":
            return
        arm = str(record.spec.arm)
        if arm not in self._writers:
            self._writers[arm] = SummaryWriter(str(self.folder / arm), flush_secs=10)
        tag = f"{record.spec.phase}/{record.spec.target}"
        step = self._steps[arm + tag] = self._steps.get(arm + tag, -1) + 1
        self._writers[arm].add_scalar(f"{tag}/dev", record.metrics["dev"][record.facts["metric"]], step)
        self._writers[arm].add_scalar(f"{tag}/seconds", sum(record.seconds.values()), step)

    def close(self) -> None:
        """Flush what is not written yet."""
        for writer in self._writers.values():
            writer.close()


def to_yaml(data: Mapping[str, Any]) -> str:
    """Plain YAML 1.2, keys in their order."""
    out = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(dict(data), out)
    return out.getvalue()


def write_best(folder: Path, plan: Plan, searches: Mapping[Arm, ArmSearch]) -> None:
    """``best/<arm>.yaml``: per target what the winner changed, ready for a study's `methods`."""
    for arm in plan.study.arms():
        chosen = {}
        for target in plan.study.target_names:
            settings = plan.settings_of(arm, target, searches)
            if settings is not None:
                paper = catalogue().defaults(arm.variant)
                chosen[target] = {arm.variant: {k: v for k, v in settings.items() if v != paper[k]}}
        if chosen:
            atomic_write(folder / f"{arm}.yaml", to_yaml(chosen))
