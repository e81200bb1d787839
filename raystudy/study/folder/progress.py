"""How far a study is, from its folder alone: for every arm what is planned, done and failed, its dev scores, the time.

An arm is one variant in one setting, on all targets of the study; a cell is one of its trainings.

Test scores are shown only once the study is finished, because they must not lead who watches a running study. This
module loads neither torch nor optuna.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from raystudy.spec import ACROSS, Arm, Record, Setting, canonical
from raystudy.study.folder.estimates import read_estimates
from raystudy.study.folder.live_status import read_live_status
from raystudy.study.folder.records import Results
from raystudy.studyfile import Study

__all__ = ["ArmProgress", "CellCounts", "ConfigurationCounts", "Progress", "progress"]

RECENT = 900.0  # seconds over which the rate is taken


@dataclass(frozen=True)
class CellCounts:
    """The cells of one phase, search or confirm.

    Attributes:
        planned: how many the phase needs in all, at most; a configuration that is pruned needs fewer.
    """

    done: int = 0
    failed: int = 0
    planned: int = 0

    @property
    def left(self) -> int:
        """How many are neither done nor failed."""
        return max(0, self.planned - self.done - self.failed)


@dataclass(frozen=True)
class ConfigurationCounts:
    """The configurations of one arm's search, by how they ended.

    Attributes:
        total: how many the search tries.
        cells: how many cells those ran that ended.
        best: the best mean dev score of a complete one.
    """

    complete: int = 0
    pruned: int = 0
    failed: int = 0
    total: int = 0
    cells: int = 0
    best: float | None = None

    @property
    def over(self) -> int:
        """How many have ended."""
        return self.complete + self.pruned + self.failed


@dataclass(frozen=True)
class ArmProgress:
    """How far one arm is.

    Attributes:
        trials: the configurations of its search, where it has one.
        dev, test: the mean score over the targets and seeds of its confirm cells.
        seconds: what a cell of it takes on average.
    """

    arm: Arm
    trials: ConfigurationCounts | None
    search: CellCounts
    confirm: CellCounts
    dev: float | None = None
    test: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Progress:
    """How far a whole study is.

    Attributes:
        running: whether a driver, the process that runs the study, is at work.
        now: what it does (``logs/now.json``), once it has written that.
        finished: whether every planned cell has a record and no driver runs.
        killed: whether the last driver was killed. Then the next one has to find out which configurations ended.
        rate: how many cells the driver finished per minute lately; None without a driver.
        seconds_left: as the driver foresees (`study.forecast`); without one, the cells that are left at the mean
            seconds of their arm.
        failures: the records of the failed cells.
        disk: bytes of the results folder.
        beside: the cells that show what searching brought: those with the settings without a search, and those of
            further configurations; they are in no arm. While a search runs, some may turn out to be an arm's own.
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
    beside: CellCounts = CellCounts()

    @property
    def cells(self) -> CellCounts:
        """The cells of all arms and both phases, and those beside them."""
        phases = [*(c for a in self.arms for c in (a.search, a.confirm)), self.beside]
        return CellCounts(sum(c.done for c in phases), sum(c.failed for c in phases), sum(c.planned for c in phases))


def progress(results: Results) -> Progress:
    """Read how far a study is; its driver may be at work meanwhile.

    Raises:
        ConfigError: no study was run in this folder, or its records cannot be read.
    """
    manifest = results.manifest()
    study = Study.model_validate(manifest["study"])
    running, now = results.is_running(), read_live_status(results)
    write_times = {p.parent.name: p.stat().st_mtime for p in results.cells.glob("*/record.json")}
    # The manifest is written when a driver starts and when it ends. A record that is newer than the manifest is of the
    # driver that runs now, so it belongs to the study too. One that is older and not listed there was made for a study
    # file that asked for something else.
    manifest_time = (results.folder / "manifest.json").stat().st_mtime
    beside_cells = set(manifest.get("beside", ())) - {*manifest["confirm"]}
    listed_cells = {*manifest["search"], *manifest["confirm"], *beside_cells}
    records = [
        r
        for key, r in results.scan().items()
        if key in listed_cells or write_times.get(key, manifest_time) >= manifest_time
    ]
    by_arm: dict[Arm, list[Record]] = defaultdict(list)
    for r in records:
        if r.id not in beside_cells:
            by_arm[r.spec.arm].append(r)
    status = Counter(r.status for r in records if r.id in beside_cells)
    beside = CellCounts(status["done"], status["failed"], len(beside_cells))
    configurations = _configuration_counts(study, manifest, now, by_arm)
    one_recipe = bool(manifest.get("chosen_on_dev"))  # of its arms one is confirmed, and that is known at the end
    arms = [_arm_progress(arm, study, by_arm[arm], configurations.get(arm), one_recipe) for arm in study.arms()]
    arms += [_across_progress(arm, study, configurations[arm]) for arm in _across_arms(study) if arm in configurations]
    searches_over = all(c.over >= c.total for c in configurations.values())
    finished = not running and searches_over and all(a.confirm.left == 0 for a in arms) and beside.left == 0
    if one_recipe:
        finished = finished and set() != {*manifest["confirm"]} <= {r.id for r in records}
    return Progress(
        study.name,
        running,
        now,
        finished,
        not running and any(r.spec.phase == "search" and r.id not in listed_cells for r in records),
        tuple(arms if finished else (replace(a, test=None) for a in arms)),
        _rate(write_times.values(), (results.folder / ".driver").stat().st_mtime) if now else None,
        _told(now)
        or _seconds_left(
            arms, beside.left, len(now["groups"]) if now else 1, read_estimates(results, manifest["study"])
        ),
        tuple(r for r in records if r.status == "failed"),
        sum(p.stat().st_size for p in results.folder.rglob("*") if p.is_file()),
        beside,
    )


def _configuration_counts(
    study: Study,
    manifest: Mapping[str, Any],
    now: Mapping[str, Any] | None,
    records: Mapping[Arm, Sequence[Record]],
) -> dict[Arm, ConfigurationCounts]:
    """How the configurations ended, of every arm that has a search: as the driver says, or as the last one left it.

    A driver that was killed left what it knew at its start. The records that it made since then say which further
    configurations have all their cells; whether one with fewer was pruned, only the next driver can tell.
    """
    rows: dict[str, dict[int, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in manifest["search_rows"]:
        arm = Arm(row["arm"]["variant"], Setting(**row["arm"]["setting"]))
        rows[str(arm)][row["number"]].append(row)
    out = {}
    for arm in (*study.arms(), *_across_arms(study)):
        if arm.setting not in study.searched_settings or f"{arm.variant} search" not in manifest["expected"]["cells"]:
            continue
        if now and str(arm) in now["searches"]:
            out[arm] = ConfigurationCounts(**now["searches"][str(arm)])
            continue
        together = [Arm(v, arm.setting) for v in study.search.across] if arm.variant == ACROSS else [arm]
        # the rows of each configuration that ended, one per target
        row_groups = [group for one in together for group in rows[str(one)].values()]
        records_of_arm = [r for one in together for r in records[one]]
        states = Counter(group[0]["state"] for group in row_groups)
        cells = _distinct_cells(row_groups) + states["failed"]
        dev_means = [_dev_mean(group) for group in row_groups if group[0]["state"] == "complete"]
        for cell_records in _newer_configurations(
            records_of_arm, [row["settings"] for group in row_groups for row in group]
        ):
            failed = any(r.status == "failed" for r in cell_records)
            if not failed and len(cell_records) < len(study.targets_in(arm.setting, arm.variant)) * study.search.seeds:
                continue
            states["failed" if failed else "complete"] += 1
            cells += len(cell_records)
            dev_means += [] if failed else [fmean(r.metrics["dev"][r.facts["metric"]] for r in cell_records)]
        out[arm] = ConfigurationCounts(
            states["complete"],
            states["pruned"],
            states["failed"],
            _trials(study, manifest, arm),
            cells=cells,
            best=max(dev_means, default=None),
        )
    return out


def _distinct_cells(row_groups: Iterable[Sequence[Mapping[str, Any]]]) -> int:
    """How many cells with a score configurations have, from their rows.

    Two configurations whose effective settings on a target are equal have the same cells there.
    """
    seeds: dict[str, int] = {}
    for row in (row for group in row_groups for row in group):
        cell = canonical([row["arm"], row["target"], row["settings"]])
        seeds[cell] = max(seeds.get(cell, 0), row["seeds"])
    return sum(seeds.values())


def _trials(study: Study, manifest: Mapping[str, Any], arm: Arm) -> int:
    """How many configurations an arm tries; where the method is chosen too, one without a search is judged by one."""
    if not manifest.get("chosen_on_dev"):
        return study.search.trials
    return int(manifest["expected"]["cells"][f"{arm.variant} search"]) // study.search.seeds


def _across_arms(study: Study) -> list[Arm]:
    """The arms of the searches across methods, one per setting that is searched."""
    return [Arm(ACROSS, s) for s in study.searched_settings if study.targets_in(s)] if study.search.across else []


def _across_progress(arm: Arm, study: Study, configurations: ConfigurationCounts) -> ArmProgress:
    """How far a search across methods is; its cells are counted with the methods, but for those that are to come."""
    to_come = configurations.total - configurations.over
    cells = to_come * len(study.targets_in(arm.setting)) * study.search.seeds
    return ArmProgress(arm, configurations, CellCounts(planned=cells), CellCounts())


def _newer_configurations(
    records: Sequence[Record], listed_settings: Sequence[Mapping[str, Any]]
) -> list[list[Record]]:
    """The records of the search, configuration by configuration; without those whose settings the manifest lists."""
    listed = {canonical(dict(settings)) for settings in listed_settings}
    by_configuration: dict[str, list[Record]] = defaultdict(list)
    for r in records:
        if r.spec.phase == "search" and (key := canonical(dict(r.spec.settings))) not in listed:
            by_configuration[key].append(r)
    return list(by_configuration.values())


def _dev_mean(rows: Sequence[Mapping[str, Any]]) -> float:
    """The mean dev score of a configuration over its cells, from its rows; every target has as many cells."""
    return fmean(row["dev_mean"] for row in rows)


def _arm_progress(
    arm: Arm,
    study: Study,
    records: Sequence[Record],
    configurations: ConfigurationCounts | None,
    one_recipe: bool = False,
) -> ArmProgress:
    targets = len(study.targets_in(arm.setting, arm.variant))
    search_cells = 0  # of a search that is over: no more than it ran
    if configurations is not None and configurations.over < configurations.total:
        to_come = configurations.total - configurations.over
        search_cells = configurations.cells + to_come * targets * study.search.seeds

    def count(phase: str, planned: int) -> CellCounts:
        status = Counter(r.status for r in records if r.spec.phase == phase)
        return CellCounts(status["done"], status["failed"], max(planned, status.total()))

    confirm_records = [r for r in records if r.spec.phase == "confirm" and r.status == "done"]

    def mean(split: str) -> float | None:
        return fmean(r.metrics[split][r.facts["metric"]] for r in confirm_records) if confirm_records else None

    seconds = [r.wall for r in records if r.status == "done"]
    return ArmProgress(
        arm,
        configurations,
        count("search", search_cells),
        count("confirm", 0 if one_recipe else targets * study.report.seeds),
        mean("dev"),
        mean("test"),
        fmean(seconds) if seconds else None,
    )


def _rate(write_times: Iterable[float], driver_start: float) -> float | None:
    """Cells per minute, over the last `RECENT` seconds of this driver."""
    now = time.time()
    since = max(driver_start, now - RECENT)
    count = sum(t >= since for t in write_times)
    return 60 * count / (now - since) if count and now > since else None


def _told(now: Mapping[str, Any] | None) -> float | None:
    """The seconds that the driver foresees: it knows what its groups do, and the work that is planned."""
    seconds = now.get("seconds_left") if now else None
    return float(seconds) if seconds is not None else None


def _seconds_left(
    arms: Sequence[ArmProgress], beside: int, groups: int, estimates: Iterable[Mapping[str, Any]]
) -> float | None:
    """The seconds of all cells that are left, shared by the groups; None while no cell is done. Of a study at rest.

    A cell takes the mean seconds of its arm. Where its own has none done yet it takes what the plan foresaw for its
    method, times what the others took of what was foreseen for them; or the mean of all arms, if nothing was foreseen.
    """
    seen = [a for a in arms if a.seconds is not None]
    if not seen:
        return None
    mean = fmean(a.seconds or 0.0 for a in seen)
    foreseen = _foreseen_cell_seconds(estimates)
    done = [(a, a.search.done + a.confirm.done) for a in seen if a.arm.variant in foreseen]
    expected = sum(n * foreseen[a.arm.variant] for a, n in done)
    factor = sum(n * (a.seconds or 0.0) for a, n in done) / expected if expected else 1.0

    def price(a: ArmProgress) -> float:
        if a.seconds is not None:
            return a.seconds
        return factor * foreseen[a.arm.variant] if a.arm.variant in foreseen else mean

    seconds = sum((a.search.left + a.confirm.left) * price(a) for a in arms)
    return (seconds + beside * mean) / max(1, groups)


def _foreseen_cell_seconds(estimates: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """variant -> the seconds that the plan foresaw for a cell of it, the mean of all targets."""
    seconds: dict[str, float] = defaultdict(float)
    cells: Counter[str] = Counter()
    for row in estimates:
        seconds[row["variant"]] += row["seconds"]
        cells[row["variant"]] += row["cells"]
    return {variant: seconds[variant] / n for variant, n in cells.items() if n}
