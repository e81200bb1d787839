"""How far a study is, from its folder alone: per arm what is planned, done and failed, its dev scores, the time left.

Test scores are read only once the study is finished: who watches a running study must not be led by them. Loads neither
torch nor optuna.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from raystudy.spec import Arm, Record, Setting, canonical
from raystudy.study.folder.live_status import read_live_status
from raystudy.study.folder.records import Results
from raystudy.studyfile import Study

__all__ = ["ArmProgress", "CellCounts", "ConfigurationCounts", "Progress", "progress"]

RECENT = 900.0  # seconds over which the rate is taken


@dataclass(frozen=True)
class CellCounts:
    """Cells of one phase. `planned` is what the phase needs in all, at most (a pruned configuration needs fewer)."""

    done: int = 0
    failed: int = 0
    planned: int = 0

    @property
    def left(self) -> int:
        return max(0, self.planned - self.done - self.failed)


@dataclass(frozen=True)
class ConfigurationCounts:
    """The configurations of one arm's search by how they ended; `cells` = cells that these ran."""

    complete: int = 0
    pruned: int = 0
    failed: int = 0
    total: int = 0
    cells: int = 0
    best: float | None = None

    @property
    def over(self) -> int:
        return self.complete + self.pruned + self.failed


@dataclass(frozen=True)
class ArmProgress:
    """One arm. `dev`, `test`: mean over the targets and seeds of its confirm cells; `seconds`: of its mean cell."""

    arm: Arm
    trials: ConfigurationCounts | None
    search: CellCounts
    confirm: CellCounts
    dev: float | None = None
    test: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Progress:
    """A whole study.

    Attributes:
        running: whether a driver holds the study. now: what it does (``logs/now.json``), once it has said so.
        finished: every planned cell has a record and no driver runs.
        killed: the last driver was, so that what ended of its searches is not known until the next one starts.
        rate: cells per minute of this driver lately; None without one.
        seconds_left: rough: cells left at the mean seconds of their arm, over the groups that work.
        failures: the failed cells.
        disk: bytes of the results folder.
    """

    study: str
    running: bool
    now: Mapping[str, Any] | None
    finished: bool
    killed: bool
    arms: tuple[ArmProgress, ...]
    rate: float | None
    seconds_left: float | None
    failures: tuple[Record, ...]
    disk: int

    @property
    def cells(self) -> CellCounts:
        phases = [c for a in self.arms for c in (a.search, a.confirm)]
        return CellCounts(sum(c.done for c in phases), sum(c.failed for c in phases), sum(c.planned for c in phases))


def progress(results: Results) -> Progress:
    """Read how far a study is; its driver may be at work meanwhile.

    Raises:
        ConfigError: no study was run in this folder, or its records cannot be read.
    """
    manifest = results.manifest()
    study = Study.model_validate(manifest["study"])
    running, now = results.running(), read_live_status(results)
    written = {p.parent.name: p.stat().st_mtime for p in results.cells.glob("*/record.json")}
    # The manifest is written when a driver starts and when it ends: what is newer is this driver's, so it belongs to
    # the study too. What is older and not listed was left by a study file that asked for something else.
    since = (results.folder / "manifest.json").stat().st_mtime
    listed = {*manifest["search"], *manifest["confirm"]}
    records = [r for k, r in results.scan().items() if k in listed or written.get(k, since) >= since]
    by_arm: dict[Arm, list[Record]] = defaultdict(list)
    for r in records:
        by_arm[r.spec.arm].append(r)
    trials = _trials(study, manifest, now, by_arm)
    arms = [_arm(arm, study, by_arm[arm], trials.get(arm)) for arm in study.arms()]
    decided = all(t.over == t.total for t in trials.values())
    finished = not running and decided and all(a.confirm.left == 0 for a in arms)
    return Progress(
        study.name,
        running,
        now,
        finished,
        not running and any(r.spec.phase == "search" and r.id not in listed for r in records),
        tuple(arms if finished else (replace(a, test=None) for a in arms)),
        _rate(written.values(), (results.folder / ".driver").stat().st_mtime) if now else None,
        _seconds_left(arms, len(now["groups"]) if now else 1),
        tuple(r for r in records if r.status == "failed"),
        sum(p.stat().st_size for p in results.folder.rglob("*") if p.is_file()),
    )


def _trials(
    study: Study,
    manifest: Mapping[str, Any],
    now: Mapping[str, Any] | None,
    records: Mapping[Arm, Sequence[Record]],
) -> dict[Arm, ConfigurationCounts]:
    """The search of every arm that has one: as the driver says, or as the last one left it.

    A driver that was killed left what it knew at its start. The records that it made since say which further
    configurations have all their cells; whether one with fewer was pruned, only the next driver can tell.
    """
    rows: dict[str, dict[int, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in manifest["search_rows"]:
        arm = Arm(row["arm"]["variant"], Setting(**row["arm"]["setting"]))
        rows[str(arm)][row["number"]].append(row)
    out = {}
    for arm in study.arms():
        if arm.setting not in study.searched_settings or f"{arm.variant} search" not in manifest["expected"]["cells"]:
            continue
        if now and str(arm) in now["searches"]:
            out[arm] = ConfigurationCounts(**now["searches"][str(arm)])
            continue
        ended = list(rows[str(arm)].values())  # each the rows of one configuration, one per target
        states = Counter(trial[0]["state"] for trial in ended)
        cells = sum(row["seeds"] for trial in ended for row in trial) + states["failed"]
        best = [_mean_dev(t) for t in ended if t[0]["state"] == "complete"]
        for mine in _since(records[arm], [trial[0]["settings"] for trial in ended]):
            failed = any(r.status == "failed" for r in mine)
            if not failed and len(mine) < len(study.target_names) * study.search.seeds:
                continue
            states["failed" if failed else "complete"] += 1
            cells += len(mine)
            best += [] if failed else [fmean(r.metrics["dev"][r.facts["metric"]] for r in mine)]
        out[arm] = ConfigurationCounts(
            states["complete"],
            states["pruned"],
            states["failed"],
            study.search.trials,
            cells=cells,
            best=max(best, default=None),
        )
    return out


def _since(records: Sequence[Record], known: Sequence[Mapping[str, Any]]) -> list[list[Record]]:
    """The search cells of the configurations that are not among those `known`, by configuration."""
    settled = {canonical(dict(settings)) for settings in known}
    found: dict[str, list[Record]] = defaultdict(list)
    for r in records:
        if r.spec.phase == "search" and (key := canonical(dict(r.spec.settings))) not in settled:
            found[key].append(r)
    return list(found.values())


def _mean_dev(trial: Sequence[Mapping[str, Any]]) -> float:
    """A configuration's mean over its cells (each target has as many)."""
    return fmean(row["dev_mean"] for row in trial)


def _arm(arm: Arm, study: Study, records: Sequence[Record], trials: ConfigurationCounts | None) -> ArmProgress:
    targets = len(study.target_names)
    asked = 0  # of a search that is over: what it ran
    if trials is not None and trials.over < trials.total:  # one that was pruned or failed asks for no more than it ran
        asked = trials.cells + (trials.total - trials.over) * targets * study.search.seeds

    def count(phase: str, planned: int) -> CellCounts:
        status = Counter(r.status for r in records if r.spec.phase == phase)
        return CellCounts(status["done"], status["failed"], max(planned, status.total()))

    confirmed = [r for r in records if r.spec.phase == "confirm" and r.status == "done"]

    def mean(split: str) -> float | None:
        return fmean(r.metrics[split][r.facts["metric"]] for r in confirmed) if confirmed else None

    spent = [r.wall for r in records if r.status == "done"]
    return ArmProgress(
        arm,
        trials,
        count("search", asked),
        count("confirm", targets * study.report.seeds),
        mean("dev"),
        mean("test"),
        fmean(spent) if spent else None,
    )


def _rate(written: Iterable[float], started: float) -> float | None:
    """Cells per minute, over the last `RECENT` seconds of this driver."""
    now = time.time()
    since = max(started, now - RECENT)
    count = sum(t >= since for t in written)
    return 60 * count / (now - since) if count and now > since else None


def _seconds_left(arms: Sequence[ArmProgress], groups: int) -> float | None:
    """Cells left, each at the mean of its arm, or of all arms where its own has none yet; shared by the groups."""
    measured = [a.seconds for a in arms if a.seconds is not None]
    if not measured:
        return None
    usual = fmean(measured)
    left = sum((a.search.left + a.confirm.left) * (usual if a.seconds is None else a.seconds) for a in arms)
    return left / max(1, groups)
