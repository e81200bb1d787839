"""How much disk a study will take, estimated from its plan, and how much it has taken.

The folder of results holds records, predictions, TensorBoard's events and the report, some kilobytes a training; kept
models lie there too, if they are asked for. The cache holds the results of transfer stages, which are as large as what
they trained: of each stage the tensors that differ from the pre-trained model's. The former are estimated from what
studies have taken per cell and per test example, and the latter are counted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raystudy.catalogue import Value, catalogue
from raystudy.errors import UserError
from raystudy.methods import hparams
from raystudy.nn.encoder import trained_parameters
from raystudy.plugins import find_module
from raystudy.spec import ACROSS, Arm
from raystudy.study.store.cache import LIMIT, TENSORS
from raystudy.wording import megabytes

if TYPE_CHECKING:
    from raystudy.study.plan import Plan

__all__ = ["DiskUse", "free_bytes", "lines_of", "planned", "spent", "spent_line", "stage_files"]

# bytes, measured over studies of 2 to 72 cells
_RECORD = 2_500  # of a cell without its predictions, and one line in the manifest
_PREDICTIONS = 1_500  # of a file of predictions, without its rows
_ROW = 3.0  # of an example in it, and of a class of each
_EVENTS, _SEARCH_EVENTS = 150, 2_000  # of a cell for TensorBoard; one of a search has a file of its own
_REPORT, _REPORT_CELL = 60_000, 8_000
_TOKENIZER, _CARD = 700_000, 30_000  # what lies beside the weights of a kept model
_REPORT_CELLS = 200  # beyond so many, tables and figures hardly grow


@dataclass(frozen=True)
class DiskUse:
    """Bytes by what they are for.

    Attributes:
        cells: records and predictions.
        views: TensorBoard's events and the report, which are made of the records.
        models: the weights that are kept, where models are.
        stages: results of transfer stages in the cache.
    """

    cells: float = 0.0
    views: float = 0.0
    models: float = 0.0
    stages: float = 0.0

    @property
    def results(self) -> float:
        """What the folder of results holds."""
        return self.cells + self.views + self.models


def planned(plan: Plan, *, keep: bool = False) -> DiskUse:
    """What a study will take, if nothing of it is there yet.

    Args:
        keep: whether the best model of every arm and target is kept.
    """
    counts: Mapping[str, int] = plan.preview["cells"]
    cells = views = 0.0
    searched = 0
    for kind, n in counts.items():
        search = kind.endswith(" search")
        searched += n if search else 0
        cells += n * (_RECORD + _predictions(plan, search=search))
        views += n * (_SEARCH_EVENTS if search else _EVENTS)
    total = sum(counts.values())
    views += _REPORT + _REPORT_CELL * min(total, _REPORT_CELLS) if total else 0
    kept = (
        sum(len(plan.study.targets_in(a.setting, a.variant)) for a in plan.study.arms() if _is_model(a)) if keep else 0
    )
    model = 4.0 * _body(plan, "none") + (_TOKENIZER if plan.plm.folder else _CARD)
    return DiskUse(cells, views, kept * model, _stages(plan, counts))


def _predictions(plan: Plan, *, search: bool) -> float:
    """Bytes of the predictions of one cell, in the mean over targets."""
    sizes = []
    for name in plan.study.target_names:
        task = plan.tasks[name]
        dev = len(task.splits["dev"])
        few = [s.shots for s in plan.study.settings_of(name) if s.shots is not None]
        asked = plan.study.dev
        dev = min(dev, asked if isinstance(asked, int) else max(few, default=dev) if asked == "like_train" else dev)
        rows = dev + (0 if search else len(task.splits["test"]))
        if task.kind == "tagging":
            words = [len(e.tokens) for e in task.splits["test"][:200]]
            each = _ROW * sum(words) / len(words)
        else:
            each = _ROW * (1 + len(task.labels) if task.labels else 7)
        sizes.append(_PREDICTIONS + rows * each)
    return sum(sizes) / len(sizes) if sizes else 0.0


def _stages(plan: Plan, counts: Mapping[str, int]) -> float:
    """Bytes of all results of transfer stages: of each kind of training as many as have different ones."""
    study = plan.study
    arms = study.arms()
    different: dict[str, set[str]] = {v: set() for v in study.variants}  # variant -> what transfer depends on
    trained: dict[str, int] = dict.fromkeys(study.variants, 0)
    size: dict[str, float] = dict.fromkeys(study.variants, 0.0)
    of_all: set[str] = set()
    for arm in arms:
        settings = plan.reference(arm.variant)
        for target in study.targets_in(arm.setting, arm.variant):
            trained[arm.variant] += 1
            if not plan.schedule(arm.variant, settings, target, arm.setting).transfer:
                continue
            for behind in (settings, {**settings, **_built_on(arm.variant, settings)}):
                key = plan.transfer_key(arm, behind, target)
                if key not in of_all:  # two variants may have the same transfer, or one may begin as another does
                    of_all.add(key)
                    different[arm.variant].add(key)
            size[arm.variant] = max(size[arm.variant], _bytes_of_state(plan, arm, target))
    total = 0.0
    for kind, n in counts.items():
        variant, _, phase = kind.rpartition(" ")
        moved = _search_moves_transfer(plan, variant)
        if variant == ACROSS:
            among = study.search.across
            total += n * sum(_share(v, different, trained) * size[v] for v in among) / len(among)
        elif variant not in size:  # the best of several, whichever it is
            total += n * max((_share(v, different, trained) * size[v] for v in size), default=0.0)
        elif phase == "search":
            n = n if moved else n // max(1, study.search.trials)
            total += n * _share(variant, different, trained) * size[variant]
        elif phase == "confirm" or moved:
            total += n * _share(variant, different, trained) * size[variant]
    return total


def _built_on(variant: str, settings: Mapping[str, Value]) -> Mapping[str, Value]:
    """The settings of another run whose transfer begins this one's, and is kept by itself."""
    module = find_module("methods", catalogue().variant(variant).method)
    built_on: Mapping[str, Value] = module.Method.builds_on(hparams(module.HParams, settings))
    return built_on


def _share(variant: str, different: Mapping[str, Collection[str]], trained: Mapping[str, int]) -> float:
    """Results of transfer stages for each training of a variant: less than one where trainings share them."""
    return len(different[variant]) / trained[variant] if trained[variant] else 0.0


def _search_moves_transfer(plan: Plan, variant: str) -> bool:
    """Whether a search of a variant moves something that its transfer reads."""
    return any(
        {"constants", "transfer"} & set(d.parameter.reads)
        for arm, space in plan.spaces().items()
        if arm.variant == variant
        for d in space.dimensions.values()
    )


def _bytes_of_state(plan: Plan, arm: Arm, target: str) -> float:
    """What one result of a variant's transfer keeps: the part of the body that is trained, the heads, and its own."""
    module = find_module("methods", catalogue().variant(arm.variant).method)
    hp = hparams(module.HParams, plan.reference(arm.variant))
    together = plan.study.tasks_with(target)
    outputs = sum(max(1, len(plan.tasks[name].labels)) for name in together)
    sources = len(together) - (target in plan.study.unseen)
    n = _body(plan, getattr(hp, "freeze", "all")) + outputs * (plan.plm.hidden + 1)
    width = 8 if plan.study.numerics.precision == "fp64" else 4
    return width * float(n + module.Method.added_parameters(hp, plan.plm, sources))


def _body(plan: Plan, freeze: str) -> int:
    inputs = max(plan.vector_lengths.values(), default=0)
    return trained_parameters(plan.plm, freeze, inputs)


def _is_model(arm: Arm) -> bool:
    return catalogue().variant(arm.variant).role in ("method", "baseline", "floor")


def lines_of(use: DiskUse, results: Path | None, cache: Path | None) -> list[str]:
    """What a plan says of the disk: what the study takes, where, the cap of the cache, and what is short of room."""
    models = f", {megabytes(use.models)} of them kept models" if use.models else ""
    line = f"disk: about {megabytes(use.results)} of results{models}"
    if cache is not None:
        line += f"; about {megabytes(use.stages)} of stage results in the cache {cache}" if use.stages else ""
        line += f"{';' if not use.stages else ','} where at most {megabytes(LIMIT)} of all studies stay"
        line += " (what was used longest ago goes first; `python -m raystudy cache gc` frees what no run will ask for)"
    lines = [line]
    stages = min(use.stages, LIMIT)
    places = [(results, use.results), (cache, stages)]
    for folder, needed in places:
        if folder is not None and (free := free_bytes(folder)) is not None and free < needed:
            lines.append(f"disk: only {megabytes(free)} are free at {folder}, and about {megabytes(needed)} are needed")
    return lines


def free_bytes(folder: Path) -> int | None:
    """The bytes that are free where a folder lies or will lie; None where nobody can tell."""
    import shutil

    for place in (folder.absolute(), *folder.absolute().parents):
        try:
            return shutil.disk_usage(place).free
        except OSError:
            continue
    return None


def stage_files(cache: Path | None) -> dict[Path, int]:
    """The files of stage results in a cache folder, and their bytes."""
    if cache is None:
        return {}
    folder = cache / "stages"
    files = [*folder.glob("*.safetensors"), *(folder / TENSORS).glob("*.safetensors")]
    return {p: size for p in files if (size := _bytes(p))}


def spent(results: Path, cache: Path | None, before: Mapping[Path, int]) -> DiskUse:
    """What a run has left: its folder of results, and the stage results that were not there `before` it."""
    files = {p: _bytes(p) for p in results.rglob("*") if p.is_file()}
    models = sum(n for p, n in files.items() if p.relative_to(results).parts[0] == "models")
    cells = sum(n for p, n in files.items() if p.relative_to(results).parts[0] == "cells")
    new = sum(n for p, n in stage_files(cache).items() if p not in before)
    return DiskUse(cells, sum(files.values()) - models - cells, models, new)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def spent_line(left: DiskUse, plan: Plan, *, keep: bool) -> str:
    """What a run has left on disk, beside what was expected of the whole study."""
    try:
        expected = planned(plan, keep=keep)
    except UserError:  # the model has gone meanwhile
        return ""
    line = f"disk: {megabytes(left.results)} of results (about {megabytes(expected.results)} expected)"
    if left.stages or expected.stages:
        line += f", {megabytes(left.stages)} of new stage results in the cache"
        line += f" (about {megabytes(expected.stages)} expected of the whole study)"
    return line
