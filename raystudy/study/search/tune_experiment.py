"""The searches of a study as one Ray Tune experiment.

A Tune trial is one configuration of one arm; each of its steps is one cell (one training). The pool trains the cell,
and the trial gets its score once the record is written. `_ArmSearcher` hands out the configurations of the arms'
searches. `_RungScheduler` pauses a trial at a rung, until all of its generation are there, and stops those that are
pruned. Neither keeps anything of its own: all that counts is in `ArmSearch`, and Tune's folder is thrown away.
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


class _ArmSearcher(Searcher):
    """Hands out the configurations of the open generations, first of the arm that has the fewest begun.

    Args:
        actor: the name and the namespace of the cell queue, as a trial needs them.
    """

    def __init__(self, searches: Mapping[Arm, ArmSearch], actor: Mapping[str, str]) -> None:
        super().__init__(metric="score", mode="max")
        self.searches, self.actor = searches, actor
        self.live: dict[str, tuple[ArmSearch, Configuration]] = {}
        self.broken = ""

    def suggest(self, trial_id: str) -> Any:
        """The next configuration; None while every arm waits until its open generation is over."""
        if self.broken or all(s.finished for s in self.searches.values()):
            return Searcher.FINISHED
        for search in sorted(self.searches.values(), key=lambda s: len([c for c in s.configurations if c.scores])):
            if (configuration := search.ask()) is not None:
                self.live[trial_id] = (search, configuration)
                cells = [(c.id, c.to_json()) for c in configuration.cells]
                return {"arm": str(configuration.arm), "number": configuration.number, "cells": cells, **self.actor}
        return None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        search, configuration = self.live[trial_id]
        if not configuration.over:
            reason = (result or {}).get("closed") or "its process died again and again"
            self.broken = f"configuration {configuration.number} of {search.arm} ended without an answer: {reason}"

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: records are the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class _RungScheduler(FIFOScheduler):
    """Carries the result of a trial to its arm's search, and what that search says is next to Tune."""

    def __init__(self, searcher: _ArmSearcher) -> None:
        super().__init__()
        self.searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> Any:
        self._account(tune_controller, trial, result)
        next_step = self._next_step(trial)
        return {"wait": TrialScheduler.PAUSE, "stop": TrialScheduler.STOP}.get(next_step, TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> None:
        """Tune brings the last result of a trial here, and not to `on_trial_result`."""
        self._account(tune_controller, trial, result)

    def _account(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> None:
        """Report a result to its arm's search once, and stop the other trials that it decided against."""
        search, configuration = self.searcher.live[trial.trial_id]
        if result.get("cells_done", 0) <= len(configuration.scores):
            return
        search.report(configuration.number, result["last"])
        for other in tune_controller.get_trials():
            waits = other is not trial and (other.status == TuneTrial.PAUSED or other.is_saving)
            if waits and self._next_step(other) == "stop":
                tune_controller.stop_trial(other)

    def _next_step(self, trial: TuneTrial) -> str:
        search, configuration = self.searcher.live[trial.trial_id]
        return search.next_step(configuration.number)

    def choose_trial_to_run(self, tune_controller: Any) -> TuneTrial | None:
        trials = tune_controller.get_trials()
        ready = [t for t in trials if t.status == TuneTrial.PAUSED and not t.is_saving and self._next_step(t) == "go"]
        pending = [t for t in trials if t.status == TuneTrial.PENDING]
        return next(iter(ready + pending), None)


def tune_searches(searches: Mapping[Arm, ArmSearch], pool: Pool, scratch: Path) -> None:
    """Run all searches to their end.

    Args:
        scratch: a folder for what Ray Tune writes, which nobody reads.

    Raises:
        PreflightError: the pool broke (its groups do not stay up), so that some cells will never have a score.
    """
    actor = {"queue": pool.name, "namespace": ray.get_runtime_context().namespace}
    searcher = _ArmSearcher(searches, actor)
    # A trial only waits for the pool: it takes no CPU. This resource exists once, on the head node of any cluster; a
    # share of it keeps trials there and lets one per group run at a time.
    share = {"CPU": 0, "node:__internal_head__": round(0.9 / max(1, pool.shape.groups), 4)}
    tune.Tuner(
        tune.with_resources(ConfigurationTrainable, share),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=_RungScheduler(searcher),
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
    if searcher.broken or not all(s.finished for s in searches.values()):
        raise PreflightError(Problem(searcher.broken or "Ray Tune stopped before the searches were finished", "search"))
