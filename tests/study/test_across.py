"""One search that chooses the method too: every method is tried first, and nothing depends on order or on a kill."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from raystudy.analysis import report
from raystudy.errors import ConfigError
from raystudy.spec import ACROSS, Arm, Setting, Spec
from raystudy.study.folder.live_status import search_counts
from raystudy.study.folder.manifest import write_manifest
from raystudy.study.folder.progress import progress
from raystudy.study.folder.records import Results, dev_score
from raystudy.study.folder.report_files import write_report
from raystudy.study.search.arm_search import drive
from raystudy.study.search.report_rows import search_rows
from raystudy.study.study_run import StudyRun
from study.fakes import Fake, outcome, plan, undrawn

METHODS = ("single_task", "multi_task", "meta_dtl")
PARTS = {
    "methods": "[single_task, single_task_matched, multi_task, meta_dtl, majority]",
    "search": f"{{trials: 12, generation: 6, seeds: 4, halving: 2, shots: 12, across: [{', '.join(METHODS)}]}}",
    "shots": "[12]",
    "report": "{seeds: 2}",
}
TOGETHER = Arm(ACROSS, Setting(shots=12))
TARGET = "planted/target"


def score(spec: Spec) -> float | None:
    return dev_score(outcome(spec).record)


def test_one_arm_tries_every_method_without_a_search_first(tmp_path: Path) -> None:
    made = plan(tmp_path, **PARTS)
    searches = made.searches()
    assert [*searches] == [TOGETHER]
    search = searches[TOGETHER]
    assert [c.variant for c in search.configurations[:3]] == [*METHODS]
    for c in search.configurations[:3]:
        assert c.settings == made.reference(c.variant)
    assert list(drive([search], score)) == []
    assert len(search.configurations) == 12
    for c in search.configurations:
        assert {cell.variant for cell in c.cells} == {c.variant}
        assert c.settings.keys() == made.reference(c.variant).keys()
    # halving compares methods at the barrier, on the same targets and seeds
    assert {len(c.scores) for c in search.configurations} == {1, 2, 4}
    assert len({tuple((s.target, s.seed) for s in c.cells) for c in search.configurations}) == 1
    # what is searched of a method is named after it, so that methods never share a sample
    names = {name for t in search.study.trials for name in t.params}
    assert {"method", "meta_dtl.lr", "single_task.lr"} <= names and "lr" not in names


@pytest.mark.parametrize("seed", range(3))
def test_no_order_of_arrival_changes_anything(tmp_path: Path, seed: int) -> None:
    made, dice = plan(tmp_path, **PARTS), random.Random(seed)
    (orderly,), (shuffled,) = made.searches().values(), made.searches().values()
    list(drive([orderly], score))
    while not shuffled.finished:
        ready = [c for c in shuffled.generation if not c.over and shuffled.next_step(c.number) == "go"]
        c = dice.choice(ready)
        shuffled.report(c.number, score(c.cells[len(c.scores)]))
    assert [(c.variant, c.settings, c.scores, c.pruned_at) for c in orderly.configurations] == [
        (c.variant, c.settings, c.scores, c.pruned_at) for c in shuffled.configurations
    ]
    assert orderly.rankings() == shuffled.rankings()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    """The study, run to its end without a kill."""
    folder = tmp_path_factory.mktemp("whole")
    study_run = StudyRun(plan(folder, **PARTS), Results(folder / "out"))
    study_run.open()
    study_run.run_local(Fake())
    assert study_run.complete
    return study_run


@pytest.mark.parametrize("after", [5, 30])
def test_a_killed_study_gives_the_same_records(tmp_path: Path, after: int, whole: StudyRun) -> None:
    killed = StudyRun(plan(tmp_path, **PARTS), Results(tmp_path / "killed"))
    killed.open()
    killed.on_record = lambda record: killed.drain() if len(killed.records) >= after else None
    killed.run_local(Fake())
    assert len(killed.records) < len(whole.records)
    again, fake = StudyRun(plan(tmp_path, **PARTS), Results(tmp_path / "killed")), Fake()
    again.open()
    assert set(again.records) == set(killed.records)
    again.run_local(fake)
    assert again.complete and not set(fake.trained) & set(killed.records)
    assert again.records.keys() == whole.records.keys()
    assert search_rows(again.searches, {}) == search_rows(whole.searches, {})
    assert [s.id for s in again.confirm_cells()] == [s.id for s in whole.confirm_cells()]


def test_every_method_is_confirmed_with_its_own_best_and_the_report_says_which_wins(whole: StudyRun) -> None:
    study_run = whole
    search, made = study_run.searches[TOGETHER], study_run.plan
    for variant in METHODS:
        best = search.configurations[search.winners(variant)[TARGET]]
        own = [c for c in search.configurations if c.variant == variant and c.complete]
        if own:
            assert best.mean(4) == max(c.mean(4) for c in own)
        assert made.settings_of(Arm(variant, Setting(shots=12)), TARGET, study_run.searches) == best.settings
    write_manifest(study_run, {})
    with patch.object(report, "draw", undrawn):
        path = write_report(study_run.results.folder)
    told: Any = json.loads(path.with_name("report.json").read_text())
    (recipe,) = told["recipes"]
    winner = search.configurations[search.winners()[TARGET]]
    assert recipe["variant"] == winner.variant and recipe["methods"] == [*METHODS]
    # what each method got adds up to what the search took
    searched = [r for r in study_run.records.values() if r.spec.phase == "search"]
    assert sum(s["steps"][-1]["passes"] for s in told["searches"]) == sum(r.total_passes for r in searched)
    assert sum(len(s["trials"]) for s in told["searches"]) == 12
    assert {s["variant"]: s["trials"][0]["number"] for s in told["searches"]} == dict.fromkeys(METHODS, 0)
    text = path.read_text()
    assert "### Across methods" in text and f"{100 * winner.mean(4):.1f}" in text


@pytest.mark.parametrize(
    ("search", "text"),
    [
        ("{trials: 4, across: [meta_dtl]}", "must name at least two methods to choose from, but names meta_dtl alone"),
        ("{trials: 4, across: [meta_dtl, metadtl]}", "unknown method 'metadtl'"),
        ("{trials: 4, across: [meta_dtl, maml]}", "'maml' is not among the methods of the study"),
        ("{trials: 4, across: [meta_dtl, majority]}", "majority cannot be searched: it is a floor"),
        ("{trials: 4, across: [meta_dtl, single_task_matched]}", "cannot be searched: it is a control"),
        ("{trials: 2, across: [single_task, multi_task, meta_dtl]}", "must be at least the number of methods"),
        ("{trials: 4, across: [meta_dtl, meta_dtl]}", "must name everything once"),
        ("{trials: 4, methods: [metadtl]}", "unknown method 'metadtl'"),
        ("{trials: 4, methods: [maml]}", "'maml' is not among the methods of the study"),
        ("{trials: 4, methods: [majority]}", "majority cannot be searched: it is a floor"),
    ],
)
def test_what_cannot_be_searched_across_is_refused(tmp_path: Path, search: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        plan(tmp_path, **{**PARTS, "search": search})


def test_status_counts_the_one_search_as_the_driver_does(tmp_path: Path) -> None:
    """From the folder alone: its configurations, and what is to come at most."""
    study_run = StudyRun(plan(tmp_path, **PARTS), Results(tmp_path / "out"))
    study_run.open()
    write_manifest(study_run, {})
    first = progress(study_run.results)
    assert first.cells.planned == study_run.plan.preview["total_cells"]
    study_run.run_local(Fake())
    write_manifest(study_run, {})
    found = progress(study_run.results)
    (together,) = (a for a in found.arms if a.arm == TOGETHER)
    counts = search_counts(study_run.searches[TOGETHER])
    assert together.trials is not None
    assert {k: getattr(together.trials, k) for k in counts} == pytest.approx(counts)
    assert found.finished and found.cells.done == found.cells.planned == len(study_run.records)


def test_a_study_may_search_some_of_its_methods(tmp_path: Path) -> None:
    """The others have the settings of no search, and are decided before it; a control waits for what it copies."""
    parts = {**PARTS, "search": "{trials: 3, methods: [meta_dtl]}"}
    made = plan(tmp_path, **parts)
    searches = made.searches()
    assert [arm.variant for arm in searches] == ["meta_dtl"]
    decided = {s.variant: s.settings for s in made.confirm(searches)}
    assert decided.keys() == {"single_task", "multi_task", "majority"}
    assert decided["multi_task"] == made.reference("multi_task")
