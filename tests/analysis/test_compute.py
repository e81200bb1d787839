"""The numbers of a report: search, cost, what was saved, and all of it as JSON."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from raystudy.analysis.compute import compute
from raystudy.analysis.numbers import Importance, SearchRow, to_json
from raystudy.analysis.sections import importance
from raystudy.spec import Arm, Setting

ARM = Arm("meta_dtl", Setting(shots=20))


def tried(number: int, dev: float | None, state="complete", **more) -> SearchRow:
    return SearchRow(ARM, "polarity", number, {"lr": 1e-5 * (number + 1), "pool": "cls"}, dev, state, False, **more)


def test_best_so_far_rises_and_every_trial_costs(study):
    rows = [
        tried(0, 0.5, updates=100, seconds=2.0, seeds=2),
        tried(1, 0.9, "pruned", updates=30, seconds=0.5, seeds=1),
        tried(2, None, "failed", updates=10, seconds=0.25),
        tried(3, 0.6, updates=100, seconds=2.0, seeds=2),
        tried(4, 0.4, updates=100, seconds=2.0, seeds=2),
    ]
    (search,) = compute(study, [], reversed(rows)).searches
    assert [s.updates for s in search.steps] == [100, 130, 140, 240, 340]
    assert [s.seconds for s in search.steps] == [2.0, 2.5, 2.75, 4.75, 6.75]
    assert [s.best for s in search.steps] == [0.5, 0.5, 0.5, 0.6, 0.6]  # a pruned mean rests on fewer cells
    assert search.searched == ("lr",) and search.paper.number == 0 and search.winner is None
    assert math.isnan(search.trials[2].dev)


def test_before_the_first_complete_trial_there_is_no_best(study):
    (search,) = compute(study, [], [tried(0, None, "failed"), tried(1, 0.3)]).searches
    assert math.isnan(search.steps[0].best) and search.steps[1].best == 0.3


def transferred(make, seed, *, stored, seconds, target="polarity", **settings):
    r = make("meta_dtl", target, seed, settings={"lr": 5e-5, **settings})
    stages = {"finetune": "ran", "meta": "stored" if stored else "ran"}
    updates = {"finetune": 60, "meta": 120}
    passes = {"finetune": 60.0, "meta": 360.0}
    spent = {"adapt": 3.0, "transfer": seconds}
    return dataclasses.replace(r, stages=stages, updates=updates, passes=passes, seconds=spent)


def test_what_the_store_saved_is_estimated_from_transfers_that_ran(make, study):
    given = [
        transferred(make, 0, stored=False, seconds=10.0),
        transferred(make, 1, stored=False, seconds=14.0),
        transferred(make, 0, stored=True, seconds=0.5, target="stars"),
        transferred(make, 1, stored=True, seconds=0.5, target="stars"),
    ]
    both = study.model_copy(update={"targets": ("polarity", "stars")})
    first, second = compute(both, given).costs
    assert (first.stored_updates, first.saved_seconds) == (0, 0.0)
    assert (second.stored_updates, second.saved_seconds) == (240, pytest.approx(2 * (12.0 - 0.5)))
    assert (second.stored_passes, second.confirm.passes) == (720.0, 840.0)
    assert second.confirm.updates == 360  # all that stand behind the results, stored or not
    said = compute(both, given).words["cost"][0].rest
    assert "answered 240 of these updates (33%), which saved about 23 seconds (an estimate)" in said


def test_passes_of_an_earlier_version_s_record_are_unknown(make, study):
    old = dataclasses.replace(transferred(make, 0, stored=True, seconds=0.5), passes={})
    (cost,) = compute(study, [old]).costs
    assert math.isnan(cost.confirm.passes) and math.isnan(cost.stored_passes)
    assert "180 optimizer updates behind them took" in compute(study, [old]).words["cost"][0].rest


def test_nothing_is_estimated_where_no_such_transfer_ran(make, study):
    (cost,) = compute(study, [transferred(make, 0, stored=True, seconds=0.5)]).costs
    assert cost.stored_updates == 120 and math.isnan(cost.saved_seconds)
    said = compute(study, [transferred(make, 0, stored=True, seconds=0.5)]).words["cost"][0].rest
    assert "answered 120" in said and "estimate" not in said


def test_importance_is_not_shown_below_thirty_trials(study):
    shares = {"lr": 0.2, "pool": 0.8}
    few, enough = (compute(study, [], importances=[Importance(ARM, "PED-ANOVA", n, shares)]) for n in (29, 30))
    assert [name for name, _ in importance.SECTION.of(enough)[0].shares] == ["pool", "lr"]
    assert "Not shown for 1 arm with at most 29 completed trials" in few.words["importance"][0].rest
    assert enough.words["importance"][0].rest.startswith("How much each searched setting mattered")
    none = compute(study, [], importances=[Importance(ARM, "PED-ANOVA", 40, {})])
    assert "do not tell the settings apart" in none.words["importance"][0].rest


def test_json_has_every_number_in_full_and_no_nan(rich):
    numbers = compute(rich.study, rich.records, rich.rows, importances=rich.importances, tasks=rich.tasks)
    text = to_json(numbers)
    tree = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert next(iter(tree)) == "schema" and tree["schema"] == 1
    assert set(tree) == {f.name for f in dataclasses.fields(numbers)} - {"own"} | set(numbers.own)
    assert "curves" in numbers.own
    assert [s["summary"]["mean"] for s in tree["scores"]] == [s.summary.mean for s in numbers.scores]
    assert [c["pair"]["p"] for c in tree["comparisons"]] == [c.pair.p for c in numbers.comparisons]
    assert {c["verdict"]["word"] for c in tree["comparisons"]} >= {"better", "worse", "undecided"}
    assert tree["scores"][0]["best_p"] is not None or tree["scores"][0]["best"]
    verdict = [s["lead"] + s["rest"] for s in tree["words"]["verdict"]]
    assert verdict == [str(s) for s in numbers.words["verdict"]]


def test_json_says_what_cannot_be_computed_and_what_is_infinite(make, study):
    given = [make(v, seed=s, test=0.5) for v in ("single_task", "meta_dtl") for s in range(2)]
    given += [make("multi_task", seed=s, test=0.5 + x) for s, x in enumerate((0.4, -0.3999))]
    found = json.loads(to_json(compute(study, given)))["comparisons"]
    by = {c["variant"]: c for c in found if c["setting"] == "k=20"}
    assert by["meta_dtl"]["pair"]["d_z"] is None and by["multi_task"]["verdict"]["seeds"] == "inf"
