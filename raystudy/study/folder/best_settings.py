"""``best/<arm>.yaml``: the settings that won each search, for people to copy into a study file. Never read back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from raystudy.analysis.compute import design_of, searches_of
from raystudy.analysis.numbers import Search, SearchRow
from raystudy.catalogue import catalogue
from raystudy.files import atomic_write
from raystudy.spec import Arm
from raystudy.study.plan import Plan
from raystudy.study.search.arm_search import ArmSearch
from raystudy.wording import counted
from raystudy.yamlfile import to_yaml

__all__ = ["write_best_settings"]


def write_best_settings(
    folder: Path, plan: Plan, searches: Mapping[Arm, ArmSearch], rows: Sequence[SearchRow] = ()
) -> None:
    """Write a file per arm: for each target the winning settings that are not the paper's, as a study file spells them.

    Comments above them say on how many dev examples they were chosen, and how surely. An arm is one variant in one
    setting, on all targets; one whose search is not finished has no file.

    Args:
        folder: ``best/`` of the results folder.
        rows: how every configuration did on every target.
    """
    of_arm: dict[tuple[str, str], list[Search]] = {}
    for search in searches_of(rows, design_of(plan.study)):
        of_arm.setdefault((search.variant, search.setting), []).append(search)
    for arm in plan.study.arms():
        by_target = {}
        for target in plan.study.targets_in(arm.setting, arm.variant):
            settings = plan.settings_of(arm, target, searches)
            if settings is not None:
                paper = catalogue().defaults(arm.variant)
                by_target[target] = {arm.variant: {k: v for k, v in settings.items() if v != paper[k]}}
        if by_target:
            comments = "".join(f"# {line}\n" for line in _selection(of_arm.get((arm.variant, str(arm.setting)), ())))
            atomic_write(folder / f"{arm.stem}.yaml", comments + to_yaml(by_target))


def _selection(searches: Iterable[Search]) -> Iterator[str]:
    """How each winner of an arm was chosen, a line per target."""
    for s in searches:
        if s.winner is None or not s.dev_examples or math.isnan(s.error):
            continue
        seeds = counted(s.winner.seeds, "seed")
        text = (
            f"{s.target}: chosen on {s.dev_examples:,} dev examples per search seed ({seeds}): {100 * s.winner.dev:.1f}"
        )
        text += f" with a standard error of {100 * s.error:.1f}"
        if s.complete:
            text += f"; {s.within} of {s.complete} complete trials are within it"
        if s.tied > 1:
            text += f", {s.tied} are equal (the paper's settings win, then fewer passes, then the lower number)"
        yield text
