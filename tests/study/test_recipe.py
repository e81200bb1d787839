"""`fit` judges recipes on dev alone, confirms the best, and goes as far as its budget: all from the records."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from raystudy.errors import ConfigError
from raystudy.spec import Places, Spec
from raystudy.study.folder.manifest import write_manifest
from raystudy.study.folder.progress import progress
from raystudy.study.folder.records import Results
from raystudy.study.keep.recipe import RecipePlan, RecipeRun
from raystudy.study.keep.winner import best_records
from raystudy.train import Outcome
from study.fakes import Fake, outcome, study

METHODS = "[single_task, single_task_matched, multi_task, meta_dtl, majority]"
# adapters with everything fixed that a search would move: judged all the same, by one configuration
NOTHING_TO_SEARCH = "[single_task, {multi_task: {lr: 1.0e-3, joint_epochs: 3, then_finetune: true, epochs: 3}}]"


def recipe_run(folder: Path, budget: float | None = None, most: int = 5, **replaced: str) -> RecipeRun:
    replaced = {
        "methods": METHODS,
        "shots": "12",
        "search": "{trials: 5, seeds: 2, sampler: random}",
        "report": "{seeds: 2}",
        **replaced,
    }
    plan = RecipePlan(study(folder, **replaced), Places(plm="tiny"))
    run = RecipeRun(plan, Results(folder / "search"), budget=budget, most_trials=most)
    run.open()
    return run


class Slow(Fake):
    """A second of worker time for every cell."""

    def train(self, spec: Spec) -> Outcome:
        if spec.id in self.failing:
            return super().train(spec)
        self.trained.append(spec.id)
        made = outcome(spec)
        return Outcome(dataclasses.replace(made.record, seconds={"adapt": 1.0}), made.predictions)


def test_test_is_read_by_the_best_recipe_alone(tmp_path: Path) -> None:
    run = recipe_run(tmp_path)
    run.run_local(Slow())
    read = [r for r in run.records.values() if "test" in r.metrics]
    assert run.complete and len(read) == 2 and read == run.confirmed()
    (best,) = {r.spec.variant for r in read}
    first = run.plan.ranking(run.searches)[0]
    assert first.arm.variant == best or not run.plan.eligible(first.arm)
    # judged on dev: every candidate, with as many trainings, and no control
    dev = {r.arm.variant: r.tried for r in run.plan.ranking(run.searches)}
    assert dev == {"single_task": 5, "multi_task": 5, "meta_dtl": 5, "majority": 1}
    assert all(r.spec.phase == "search" for r in run.records.values() if r not in read)
    # fresh seeds: no training that chose is one that is reported
    assert not {r.spec.seed for r in read} & {r.spec.seed for r in run.records.values() if r not in read}
    assert {r.spec.settings["lr"] for r in read} == {run.plan.best(run.searches).configuration.settings["lr"]}  # type: ignore[union-attr]


def test_what_test_says_changes_nothing(tmp_path: Path) -> None:
    class Other(Slow):
        def train(self, spec: Spec) -> Outcome:
            made = super().train(spec)
            metrics = {**made.record.metrics, **({"test": {"accuracy": 0.0}} if spec.phase == "confirm" else {})}
            return Outcome(dataclasses.replace(made.record, metrics=metrics), made.predictions)

    runs = []
    for folder, executor in ((tmp_path / "a", Slow()), (tmp_path / "b", Other())):
        folder.mkdir()
        run = recipe_run(folder)
        run.run_local(executor)
        runs.append(next(iter(best_records(run.confirmed()).values())).id)
    assert runs[0] == runs[1]


def test_a_method_without_anything_to_search_is_judged_too(tmp_path: Path) -> None:
    run = recipe_run(tmp_path, methods=NOTHING_TO_SEARCH)
    assert run.plan.preview["cells"]["multi_task search"] == 2
    run.run_local(Slow())
    assert {r.arm.variant: r.tried for r in run.plan.ranking(run.searches)} == {"single_task": 5, "multi_task": 1}
    assert len(run.records) == 5 * 2 + 2 + 2


def test_a_search_across_methods_is_one_search_and_its_methods_are_ranked(tmp_path: Path) -> None:
    search = "{trials: 6, seeds: 2, sampler: random, across: [single_task, meta_dtl]}"
    run = recipe_run(tmp_path, search=search, most=6)
    assert run.plan.preview["cells"]["across search"] == 12
    run.run_local(Slow())
    tried = {r.arm.variant: r.tried for r in run.plan.ranking(run.searches)}
    assert tried["single_task"] + tried["meta_dtl"] == 6 and tried["multi_task"] == 6 and tried["majority"] == 1
    assert len(run.confirmed()) == 2 and len([r for r in run.records.values() if "test" in r.metrics]) == 2
    (tmp_path / "b").mkdir()
    within = recipe_run(tmp_path / "b", 30.0, search=search, most=6)
    assert within.plan.study.search.trials == 2  # the first round has one of each


def test_equal_scores_choose_the_method_that_stands_first(tmp_path: Path) -> None:
    class Equal(Slow):
        def train(self, spec: Spec) -> Outcome:
            made = super().train(spec)
            metrics = {s: {"accuracy": 0.5} for s in made.record.metrics}
            return Outcome(dataclasses.replace(made.record, metrics=metrics), made.predictions)

    run = recipe_run(tmp_path, methods="[multi_task, single_task, majority]")
    run.run_local(Equal())
    (record, *_) = run.confirmed()
    assert (record.spec.variant, record.spec.seed) == ("multi_task", 0)
    assert run.plan.best(run.searches).configuration.number == 0  # type: ignore[union-attr]


def test_a_method_that_fails_is_not_chosen_and_all_that_fail_choose_none(tmp_path: Path) -> None:
    run = recipe_run(tmp_path)
    cells = {c.id: c for s in run.searches.values() for t in s.configurations for c in t.cells}
    searched = {k for k, c in cells.items() if c.variant != "meta_dtl"}

    class Failing(Slow):
        def train(self, spec: Spec) -> Outcome:
            if spec.variant != "meta_dtl":
                raise RuntimeError("out of luck")
            return super().train(spec)

    run.run_local(Failing())
    assert searched and {r.spec.variant for r in run.confirmed()} == {"meta_dtl"}
    (tmp_path / "all").mkdir()
    none = recipe_run(tmp_path / "all", methods="[single_task]")
    none.run_local(Failing())
    assert none.complete and none.confirmed() == [] and none.plan.best(none.searches) is None


@pytest.mark.parametrize("kill_after", [12, 27])
def test_a_run_that_is_killed_comes_to_the_same_recipe(tmp_path: Path, kill_after: int) -> None:
    budget = 40.0
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    whole.mkdir(), halves.mkdir()
    undisturbed = recipe_run(whole, budget, most=64)
    undisturbed.run_local(Slow())
    run = recipe_run(halves, budget, most=64)

    def count(record: object) -> None:
        if len(run.records) >= kill_after:
            run.stopping.set()

    run.on_record = count
    run.run_local(Slow())
    again = recipe_run(halves, budget, most=64)
    again.run_local(Slow())
    assert again.complete and again.records.keys() == undisturbed.records.keys()
    assert [r.id for r in again.confirmed()] == [r.id for r in undisturbed.confirmed()]


@pytest.mark.parametrize(("budget", "trials"), [(7.0, 1), (16.0, 1), (17.0, 2), (40.0, 4)])
def test_a_budget_doubles_the_searches_while_they_fit(tmp_path: Path, budget: float, trials: int) -> None:
    """Three methods of two seeds take 6 s a trial, the majority 2 s once; 3 s are kept for the best recipe."""
    run = recipe_run(tmp_path, budget, most=16)
    rounds: list[int] = []
    run.on_round = rounds.append
    run.run_local(Slow())
    assert run.plan.study.search.trials == trials
    assert run.spent == 6 * trials + 2
    assert run.spent + run.reserve <= max(budget, 6 + 2 + 3)
    assert rounds == [2**n for n in range(1, 5) if 2**n <= trials]
    # each round contains those before it: nothing was trained that the last search does not hold
    assert {r.id for r in run.records.values()} == run.study_records().keys()


def test_what_a_budget_broke_off_falls_back_to_the_last_whole_round(tmp_path: Path) -> None:
    run = recipe_run(tmp_path, 1e6, most=4)

    def count(record: object) -> None:
        if len(run.records) == 11:  # in the middle of the second round
            run.stopping.set()

    run.on_record = count
    run.run_local(Slow())
    assert not run.complete
    less = recipe_run(tmp_path, 12.0, most=4)
    assert less.plan.final and less.plan.study.search.trials == 1 and not less.complete
    less.run_local(Slow())
    assert less.complete and len(less.confirmed()) == 2


@pytest.mark.parametrize(
    ("replaced", "says"),
    [
        ({"shots": "[6, 12]"}, "must be one, for one model is made, but are 2 .k=6, k=12."),
        ({"targets": "[planted/target, planted/source]"}, "but are 2 .planted/target, planted/source."),
        (
            {"methods": "[majority]", "report": "{baseline: majority}", "settings": "{}"},
            "must name a method that gives a model",
        ),
    ],
)
def test_more_than_one_question_is_refused(tmp_path: Path, replaced: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as e:
        RecipePlan(study(tmp_path, **{"search": "{trials: 0}", "shots": "12", **replaced}), Places(plm="tiny")).check()
    assert e.value.problems[0].line


def test_status_knows_that_one_arm_is_confirmed(tmp_path: Path) -> None:
    run = recipe_run(tmp_path)
    facts: dict[str, Any] = {"commit": "none"}
    write_manifest(run, facts, chosen_on_dev=True)
    assert not progress(run.results).finished
    run.run_local(Slow())
    write_manifest(run, facts, chosen_on_dev=True)
    told = progress(run.results)
    assert told.finished and told.cells.done == len(run.records) == told.cells.planned
