"""The search is a function of the scores: no order of arrival, no crash and no test score can change it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from optuna.trial import TrialState

from raystudy.catalogue import Catalogue, catalogue
from raystudy.spec import Arm, Setting, Spec
from raystudy.study.folder.records import dev_score
from raystudy.study.search.arm_search import ArmSearch, drive, rungs
from raystudy.study.search.report_rows import search_rows
from raystudy.study.search.space import Space
from study.fakes import outcome, plan

K12 = Setting(shots=12)


def score(spec: Spec) -> float | None:
    return dev_score(outcome(spec).record)


def finish(searches: dict[Arm, ArmSearch]) -> dict[Arm, ArmSearch]:
    assert list(drive(searches.values(), score)) == []
    return searches


@pytest.mark.parametrize(
    ("cells", "eta", "expected"),
    [(1, 2, []), (2, 2, [1]), (4, 2, [1, 2]), (5, 2, [1, 2, 3]), (9, 3, [1, 3]), (6, 3, [1, 2]), (4, 0, [])],
)
def test_rungs(cells: int, eta: int, expected: list[int]) -> None:
    assert rungs(cells, eta) == expected


def test_first_trial_is_the_papers(tmp_path: Path) -> None:
    study_plan = plan(tmp_path)
    for arm, search in study_plan.searches().items():
        assert search.configurations[0].settings == catalogue().resolve(
            arm.variant, study_plan.study.fixed_settings(arm.variant)
        )


def test_settings_stay_legal_and_fixed_ones_fixed(tmp_path: Path) -> None:
    for arm, search in finish(plan(tmp_path).searches()).items():
        for t in search.configurations:
            assert catalogue().resolve(arm.variant, t.settings) == t.settings
            assert t.settings["max_updates"] == 10


def test_halving_by_hand(tmp_path: Path) -> None:
    """Three configurations on four cells: 3 -> 2 at one cell, 2 -> 1 at two cells; the last one runs all four."""
    search = plan(tmp_path).searches()[Arm("single_task", K12)]
    first = {0: 0.5, 1: 0.4, 2: 0.6}
    for n in (0, 1):
        search.report(n, first[n])
        assert search.next_step(n) == "wait"  # the rung is not decided before trial 2 is there
    search.report(2, first[2])
    assert [search.next_step(n) for n in (0, 1, 2)] == ["go", "stop", "go"]
    search.report(0, 0.9)  # mean .7
    search.report(2, 0.7)  # mean .65
    assert [search.next_step(n) for n in (0, 2)] == ["go", "stop"]
    search.report(0, 0.1)
    assert search.next_step(0) == "go"
    search.report(0, 0.1)
    # the generation is over: it was told whole, and the next one is open
    assert [t.state for t in search.study.trials[:3]] == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.PRUNED]
    assert search.study.trials[0].value == pytest.approx(0.4)
    assert search.study.trials[1].intermediate_values == {1: 0.4}
    assert len(search.configurations) == 5
    assert search.ask() is not None


def test_equal_scores_keep_the_lower_number(tmp_path: Path) -> None:
    search = plan(tmp_path).searches()[Arm("single_task", K12)]
    for n in (2, 1, 0):
        search.report(n, 0.5)
    assert [search.next_step(n) for n in (0, 1, 2)] == ["go", "go", "stop"]


def test_a_failed_cell_is_told_as_failed(tmp_path: Path) -> None:
    search = plan(tmp_path).searches()[Arm("single_task", K12)]
    search.report(0, None)
    assert search.next_step(0) == "done"
    for n in (1, 2):
        search.report(n, 0.5)
    while search.next_step(1) == "go" and len(search.configurations) == 3:
        search.report(1, 0.5)
        if search.next_step(2) == "go" and not search.configurations[2].over:
            search.report(2, 0.4)
    assert search.study.trials[0].state == TrialState.FAIL
    assert all(not t.failed for t in search.configurations if t.number in search.winners().values())


@pytest.mark.parametrize("seed", range(5))
def test_no_order_of_arrival_changes_anything(tmp_path: Path, seed: int) -> None:
    """Cells finish in a random order among all arms and trials; configurations, prunings and winners are the same."""
    study_plan = plan(tmp_path)
    orderly, shuffled = finish(study_plan.searches()), study_plan.searches()
    dice = random.Random(seed)
    while not all(s.finished for s in shuffled.values()):
        ready = [
            (s, t) for s in shuffled.values() for t in s.generation if not t.over and s.next_step(t.number) == "go"
        ]
        search, trial = dice.choice(ready)
        search.report(trial.number, score(trial.cells[len(trial.scores)]))
    for arm, search in orderly.items():
        other = shuffled[arm]
        assert [(t.settings, t.scores, t.pruned_at) for t in search.configurations] == [
            (t.settings, t.scores, t.pruned_at) for t in other.configurations
        ]
        assert search.winners() == other.winners()
    assert search_rows(orderly, {}) == search_rows(shuffled, {})


def test_search_cells_are_dev_only_with_seeds_of_their_own(tmp_path: Path) -> None:
    study_plan = plan(tmp_path)
    searches = finish(study_plan.searches())
    searched = [c for s in searches.values() for t in s.configurations for c in t.cells]
    confirm_cells = study_plan.confirm(searches)
    assert {c.phase for c in searched} == {"search"}
    assert {c.phase for c in confirm_cells} == {"confirm"}
    assert not {c.seed for c in searched} & {c.seed for c in confirm_cells}


def test_every_method_gets_the_same_number_of_trials(tmp_path: Path) -> None:
    searches = finish(plan(tmp_path).searches())
    assert {len(s.configurations) for s in searches.values()} == {5}
    assert {a.variant for a in searches} == {"single_task", "multi_task", "meta_dtl"}  # controls copy, floors have none


def test_the_control_has_the_passes_of_the_costliest(tmp_path: Path) -> None:
    study_plan = plan(tmp_path)
    searches = finish(study_plan.searches())
    for setting in study_plan.study.settings_grid:
        totals = {
            v: study_plan.schedule(v, s, "planted/target", setting).cost.passes
            for v in ("single_task", "multi_task", "meta_dtl", "single_task_matched")
            if (s := study_plan.settings_of(Arm(v, setting), "planted/target", searches)) is not None
        }
        assert totals["single_task_matched"] == max(totals.values()) > totals["single_task"]


def test_settings_without_a_search_keep_the_papers_or_take_the_winner(tmp_path: Path) -> None:
    study_plan = plan(tmp_path)
    searches = finish(study_plan.searches())
    paper = catalogue().resolve("meta_dtl", study_plan.study.fixed_settings("meta_dtl"))
    elsewhere = Arm("meta_dtl", Setting(shots=6))
    assert study_plan.settings_of(elsewhere, "planted/target", searches) == paper
    winner_plan = plan(tmp_path, search="{trials: 5, generation: 3, seeds: 4, shots: 12, elsewhere: winner}")
    searches = finish(winner_plan.searches())
    won = searches[Arm("meta_dtl", K12)].winners()["planted/target"]
    winner = searches[Arm("meta_dtl", K12)].configurations[won]
    assert winner_plan.settings_of(elsewhere, "planted/target", searches) == winner.settings


def test_a_range_may_name_values_to_try_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trial 0, then every further value that is enqueued, the rest as in trial 0; the paper's own is no repeat."""
    first, *further = Space.of("meta_dtl", {}).first_configurations()
    assert first == Space.of("meta_dtl", {}).paper_configuration()
    assert further == []
    lr = catalogue().parameters_of("single_task")["lr"]
    assert lr.search is not None
    wider = lr.model_copy(update={"search": lr.search.model_copy(update={"enqueue": (5e-5, 1e-5, 2e-4)})})
    monkeypatch.setattr(Catalogue, "searched_parameters", lambda *_: {"lr": wider})
    assert Space.of("single_task", {}).first_configurations() == [{"lr": 5e-5}, {"lr": 1e-5}, {"lr": 2e-4}]
