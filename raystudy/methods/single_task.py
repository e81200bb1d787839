"""Fine-tuning on the target alone (Devlin et al. 2019): what every transfer method has to beat.

The papers call it single-task (Meta-DTL), BERT (S) (MFT), target-only (MetaXT), BERT (Dou et al.) and STL (TAWT).

Control: a transfer method also makes more updates. `updates` > 0 fixes the number of updates whatever `epochs` says;
the plan sets it to those of the study's longest method in the same setting (variant ``single_task_matched``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from raystudy.methods import BaseMethod, Sizes, Stage, Updates
from raystudy.methods import HParams as Shared

__all__ = ["HParams", "Method"]


@dataclass(frozen=True)
class HParams(Shared):
    updates: int = 0


class Method(BaseMethod):
    HParams = HParams

    @classmethod
    def planned(cls, hp: Any, sizes: Sizes, target: str) -> tuple[Updates, Updates]:
        return {}, {"finetune": hp.updates or cls.finetune_updates(hp, sizes[target])}

    def adapt(self) -> list[Stage]:
        return [self.finetune(self.setup.target, steps=self.hp.updates or None)]
