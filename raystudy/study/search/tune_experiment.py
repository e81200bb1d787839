"""One study's searches as one Ray Tune experiment.

A Tune trial is one configuration; each of its steps is one cell, trained by the pool and known to this trial when its
record is written. `_Arms` hands out what the arms' searches ask, `_Rungs` pauses a trial at a rung until its generation
has reached it and stops those that are pruned. Neither keeps anything of its own: all that counts is in `ArmSearch`,
and Tune's folder is thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from raystudy.errors import PreflightError, Problem
from raystudy.spec import Arm
from raystudy.study.pool.pool import Pool
from raystudy.study.search.arm_search import ArmSearch, Configuration
from raystudy.study.search.tune_trainable import ConfigurationTrainable

__all__ = ["tune_searches"]


class _Arms(Searcher):
    """Hands out the trials of every arm's open generation, arms in turn; None while all wait at their barriers."""

    def __init__(self, searches: Mapping[Arm, ArmSearch], where: Mapping[str, str]) -> None:
        super().__init__(metric="score", mode="max")
        self.searches, self.where = searches, where
        self.live: dict[str, tuple[ArmSearch, Configuration]] = {}
        self.broken = ""

    def suggest(self, trial_id: str) -> Any:
        if self.broken or all(s.finished for s in self.searches.values()):
            return Searcher.FINISHED
        for search in sorted(self.searches.values(), key=lambda s: len([t for t in s.configurations if t.scores])):
            if (trial := search.ask()) is not None:
                self.live[trial_id] = (search, trial)
                cells = [(c.id, c.to_json()) for c in trial.cells]
                return {"arm": str(trial.arm), "number": trial.number, "cells": cells, **self.where}
        return None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        search, trial = self.live[trial_id]
        if not trial.over:
            why = (result or {}).get("closed") or "its process died again and again"
            self.broken = f"trial {trial.number} of {search.arm} ended without an answer: {why}"

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: records are the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class _Rungs(FIFOScheduler):
    """Carries a trial's result to its arm and the arm's verdict to Tune."""

    def __init__(self, arms: _Arms) -> None:
        super().__init__()
        self.arms = arms

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> Any:
        self._account(tune_controller, trial, result)
        verdict = self._verdict(trial)
        return {"wait": TrialScheduler.PAUSE, "stop": TrialScheduler.STOP}.get(verdict, TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> None:
        """Tune brings a trial's last result here, and not to `on_trial_result`."""
        self._account(tune_controller, trial, result)

    def _account(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> None:
        """Report a result to its arm once, and stop the others that it decided against."""
        search, mine = self.arms.live[trial.trial_id]
        if result.get("cells_done", 0) <= len(mine.scores):
            return
        search.report(mine.number, result["last"])
        for other in tune_controller.get_trials():
            waits = other is not trial and (other.status == TuneTrial.PAUSED or other.is_saving)
            if waits and self._verdict(other) == "stop":
                tune_controller.stop_trial(other)

    def _verdict(self, trial: TuneTrial) -> str:
        search, mine = self.arms.live[trial.trial_id]
        return search.verdict(mine.number)

    def choose_trial_to_run(self, tune_controller: Any) -> TuneTrial | None:
        trials = tune_controller.get_trials()
        ready = [t for t in trials if t.status == TuneTrial.PAUSED and not t.is_saving and self._verdict(t) == "go"]
        pending = [t for t in trials if t.status == TuneTrial.PENDING]
        return next(iter(ready + pending), None)


def tune_searches(searches: Mapping[Arm, ArmSearch], pool: Pool, scratch: Path) -> None:
    """Run all searches to their end.

    Raises:
        PreflightError: the pool broke (its groups do not stay up), so that cells stay without an answer.
    """
    where = {"queue": pool.name, "namespace": ray.get_runtime_context().namespace}
    arms = _Arms(searches, where)
    # A trial only waits for the pool: it takes no CPU. This resource exists once, on the head node of any cluster; a
    # share of it keeps trials there and lets one per group run at a time.
    share = {"CPU": 0, "node:__internal_head__": round(0.9 / max(1, pool.shape.groups), 4)}
    tune.Tuner(
        tune.with_resources(ConfigurationTrainable, share),
        tune_config=tune.TuneConfig(
            search_alg=arms,
            scheduler=_Rungs(arms),
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=lambda t: f"{t.config['arm']}-{t.config['number']}",
            trial_dirname_creator=lambda t: t.trial_id,
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=str(scratch / "tune"),
            # a trial whose process was killed starts over and is told the scores it had, at once
            failure_config=tune.FailureConfig(max_failures=3),
            verbose=0,
        ),
    ).fit()
    if arms.broken or not all(s.finished for s in searches.values()):
        raise PreflightError(Problem(arms.broken or "Ray Tune stopped before the searches were finished", "search"))
