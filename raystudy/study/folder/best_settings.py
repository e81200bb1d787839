"""``best/<arm>.yaml``: the settings that won each search, for people to copy into a study file. Never read back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from raystudy.catalogue import catalogue
from raystudy.files import atomic_write
from raystudy.spec import Arm
from raystudy.study.plan import Plan
from raystudy.study.search.arm_search import ArmSearch
from raystudy.yamlfile import to_yaml

__all__ = ["write_best_settings"]


def write_best_settings(folder: Path, plan: Plan, searches: Mapping[Arm, ArmSearch]) -> None:
    """``best/<arm>.yaml``: per target what the winner changed, ready for a study's `methods`."""
    for arm in plan.study.arms():
        chosen = {}
        for target in plan.study.target_names:
            settings = plan.settings_of(arm, target, searches)
            if settings is not None:
                paper = catalogue().defaults(arm.variant)
                chosen[target] = {arm.variant: {k: v for k, v in settings.items() if v != paper[k]}}
        if chosen:
            atomic_write(folder / f"{arm.stem}.yaml", to_yaml(chosen))
