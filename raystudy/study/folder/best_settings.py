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
    """Write a file per arm: for each target the winning settings that are not the paper's, as a study file spells them.

    An arm is one variant in one setting, on all targets; one whose search is not finished has no file.

    Args:
        folder: ``best/`` of the results folder.
    """
    for arm in plan.study.arms():
        by_target = {}
        for target in plan.study.targets_in(arm.setting):
            settings = plan.settings_of(arm, target, searches)
            if settings is not None:
                paper = catalogue().defaults(arm.variant)
                by_target[target] = {arm.variant: {k: v for k, v in settings.items() if v != paper[k]}}
        if by_target:
            atomic_write(folder / f"{arm.stem}.yaml", to_yaml(by_target))
