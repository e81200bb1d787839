"""Fine-tuning on the target alone (Devlin et al. 2019): what every transfer method has to beat.

The papers call it single-task (Meta-DTL), BERT (S) (MFT), target-only (MetaXT), BERT (Dou et al.) and STL (TAWT).

Control: a transfer method also trains longer. `updates` > 0 fixes the number of updates whatever `epochs` says. For the
variant ``single_task_matched`` the plan takes the passes of the study's costliest method in the same setting, since an
update here is one pass.
"""

from __future__ import annotations

from dataclasses import dataclass

from raystudy.methods import BaseMethod, Length, Schedule, Sizes
from raystudy.methods import HParams as Shared

__all__ = ["HParams", "Method"]


@dataclass(frozen=True)
class HParams(Shared):
    updates: int = 0


class Method(BaseMethod[HParams]):
    @classmethod
    def schedule(cls, hp: HParams, sizes: Sizes) -> Schedule:
        return Schedule(adapt={"finetune": Length.plain(hp.updates) if hp.updates else hp.finetuning(sizes.own)})
