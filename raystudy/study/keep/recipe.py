"""A study in which the method is chosen on dev too: every recipe is judged by search trainings, the best is confirmed.

A recipe is a method with its settings. In a study that compares methods, each of them is confirmed, and each
confirmation reads test. Whoever wants one good model needs test for that one alone: here every arm is searched on dev,
also one that has nothing to search, and only the best recipe is trained again with fresh seeds, which read test.

Without a budget the searches have as many trials as the study says. With one they begin with a single trial each, and
are doubled for as long as the next round fits into what is left: each round contains those before it, so a search that
is extended is the search that it would have been. How far it went follows from the records alone, and a run that was
killed comes to the same recipe.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from raystudy.catalogue import Value, catalogue
from raystudy.errors import ConfigError, Problem
from raystudy.methods import Length, hparams
from raystudy.plugins import find_module
from raystudy.spec import ACROSS, Arm, Record, Spec
from raystudy.study.keep.card import Choice, Recipe
from raystudy.study.plan import Plan
from raystudy.study.search.arm_search import ArmSearch, Configuration
from raystudy.study.study_run import StudyRun, TrainingPool

__all__ = ["MOST_TRIALS", "Ranked", "RecipePlan", "RecipeRun"]

MOST_TRIALS = 64  # of each arm, however large the budget


@dataclass(frozen=True)
class Ranked:
    """The best configuration of one arm on the target, its mean dev score, and how many were tried."""

    arm: Arm
    configuration: Configuration
    dev: float
    tried: int


@dataclass
class RecipePlan(Plan):
    """The plan of a study whose method is chosen on dev; it has one target and one amount of its data.

    Attributes:
        final: whether the searches are long enough, so that their best recipe is confirmed.
    """

    final: bool = True

    def check(self) -> None:
        """Check that there is one question, so that one model is its answer.

        Raises:
            ConfigError: several targets, or several amounts of labelled data.
        """
        study = self.study
        for key, values, cure in (
            ("targets", study.target_names, "--set 'targets=[NAME]'"),
            ("shots" if study.shots else "fraction", study.settings_grid, "--set shots=K"),
        ):
            if len(values) != 1:
                named = ", ".join(map(str, values[:6]))
                message = f"must be one, for one model is made, but are {len(values)} ({named}): choose one with {cure}"
                raise study.origin.with_places(ConfigError(Problem(message, key)))
        if not any(map(self.eligible, study.arms())):
            raise study.origin.with_places(ConfigError(Problem("must name a method that gives a model", "methods")))

    @property
    def target(self) -> str:
        return self.study.target_names[0]

    def set_round(self, trials: int, *, final: bool) -> None:
        """Have every search make so many trials; where that is `final`, the best recipe is confirmed."""
        search = self.study.search.model_copy(update={"trials": trials})
        self.study, self.final = self.study.model_copy(update={"search": search}), final
        for known in ("preview", "trainings"):
            self.__dict__.pop(known, None)

    def eligible(self, arm: Arm) -> bool:
        """Whether a model is made by it: not by a control, nor by a floor that is told more than the drawn examples."""
        module = find_module("methods", catalogue().variant(arm.variant).method)
        settings = catalogue().resolve(arm.variant, self.study.fixed_settings(arm.variant))
        return _is_recipe(arm.variant) and not module.Method.knows_prior(hparams(module.HParams, settings))

    def candidates(self) -> list[Arm]:
        """The arms that are judged on dev by themselves: no controls, and no methods that are searched together."""
        together = self.study.search.across
        return [a for a in self.study.arms() if _is_recipe(a.variant) and a.variant not in together]

    def searchable(self) -> list[Arm]:
        """The arms of searches that move something."""
        return [*self._across_spaces(), *self._own_spaces()]

    def searches(self, storage: Any = None) -> dict[Arm, ArmSearch]:
        """A search for every candidate, and that across methods; without anything to search, one configuration."""
        of_plan = super().searches(storage)
        own = {arm: of_plan.get(arm) or self._judged_alone(arm, storage) for arm in self.candidates()}
        return {**{arm: of_plan[arm] for arm in self._across_spaces()}, **own}

    def _judged_alone(self, arm: Arm, storage: Any) -> ArmSearch:
        once = self.study.search.model_copy(update={"trials": 1, "halving": 0})
        return self.search_of(arm, self.space(arm), once, storage)

    def ranking(self, searches: Mapping[Arm, ArmSearch]) -> list[Ranked]:
        """The methods by the mean dev score of their best configuration; of equal ones the study's order counts."""
        ranked = []
        for search in searches.values():
            for variant in dict.fromkeys(c.variant for c in search.configurations):  # several where one search has them
                number = search.winners(variant).get(self.target)
                if number is not None:
                    best = search.configurations[number]
                    tried = sum(c.over for c in search.configurations if c.variant == variant)
                    scores = [s for s in best.scores if s is not None]
                    arm = Arm(variant, search.arm.setting)
                    ranked.append(Ranked(arm, best, math.fsum(scores) / len(scores), tried))
        order = list(self.study.variants)
        return sorted(ranked, key=lambda r: (-r.dev, order.index(r.arm.variant)))

    def best(self, searches: Mapping[Arm, ArmSearch]) -> Ranked | None:
        """The best recipe of which a model is made."""
        return next((r for r in self.ranking(searches) if self.eligible(r.arm)), None)

    def choice(self, searches: Mapping[Arm, ArmSearch]) -> Choice:
        """What the card says of the choice."""
        title = catalogue().variant
        recipes = [Recipe(title(r.arm.variant).title, r.dev, r.tried) for r in self.ranking(searches)]
        return Choice(recipes, self.study.search.seeds)

    def _decided_settings(self, searches: Mapping[Arm, ArmSearch]) -> dict[tuple[Arm, str], dict[str, Value]]:
        """The settings of the best recipe, once every search is over."""
        if not self.final or not searches or not all(s.finished for s in searches.values()):
            return {}
        best = self.best(searches)
        if best is None:
            return {}
        return {(best.arm, self.target): self.effective(best.arm, best.configuration.settings, self.target)}

    def beside(self, searches: Mapping[Arm, ArmSearch]) -> list[Spec]:
        """None: what searching brought would be seen on test, which is read of the best recipe alone."""
        return []

    def defaults(self, searches: Mapping[Arm, ArmSearch]) -> list[Spec]:
        """None, as `beside`."""
        return []

    @cached_property
    def preview(self) -> dict[str, Any]:
        """As of every plan; of the confirmation it is not known whose it will be: the costliest counts."""
        study = self.study
        cells: dict[str, int] = {}
        cost: dict[str, Length] = {}
        lengths = {
            variant: self.schedule(variant, self.reference(variant), self.target, study.settings_grid[0]).cost
            for variant in study.variants
            if _is_recipe(variant)
        }
        searched, trials = set(self.searchable()), study.search.trials
        for arm in self.candidates():
            n = (trials if arm in searched else 1) * study.search.seeds
            cells[f"{arm.variant} search"], cost[f"{arm.variant} search"] = n, lengths[arm.variant] * n
        if self._across_spaces():
            together = [lengths[v] for v in study.search.across]
            parts = [one * len(range(n, trials, len(together))) for n, one in enumerate(together)]
            cells[f"{ACROSS} search"] = trials * study.search.seeds
            cost[f"{ACROSS} search"] = sum(parts, Length()) * study.search.seeds
        longest = max(lengths.values(), key=lambda length: length.passes)
        cells["the best of them confirm"] = study.report.seeds
        cost["the best of them confirm"] = longest * study.report.seeds
        return {
            "cells": cells,
            "updates": {kind: length.updates for kind, length in cost.items()},
            "passes": {kind: length.passes for kind, length in cost.items()},
            "total_cells": sum(cells.values()),
            "total_updates": sum(length.updates for length in cost.values()),
            "total_passes": math.fsum(length.passes for length in cost.values()),
            "shared_updates": 0,
            "shared_passes": 0.0,
        }


@dataclass
class RecipeRun(StudyRun):
    """A run of a `RecipePlan`: rounds of searches for as long as the budget allows, then the best recipe.

    Attributes:
        budget: worker-seconds for all trainings of the folder; None = the trials that the study asks for.
        most_trials: of each arm.
        on_round: called with the number of trials of a round that begins (for the terminal).
    """

    plan: RecipePlan
    budget: float | None = None
    most_trials: int = MOST_TRIALS
    on_round: Callable[[int], None] = lambda trials: None
    _begun: set[int] = field(default_factory=set)

    def open(self) -> None:
        """Read the records, and go on to the round that they and the budget lead to."""
        super().open()
        self.settle()

    def settle(self) -> None:
        """Go from round to round as far as the records go; what was tried decides how far, and nothing else does."""
        fewest = max(1, len(self.plan.study.search.across))  # so that each of them is tried
        trials, before = (self.most_trials if self.budget is None else fewest), 0
        while True:
            self._begin(trials, final=self.budget is None)
            if not all(s.finished for s in self.searches.values()):
                if before and self.search_budget_is_used_up():
                    self._begin(before, final=True)
                return
            further = min(2 * trials, self.most_trials)
            if self.budget is None or further == trials or not self._fits(further - trials):
                self._begin(trials, final=True)
                return
            before, trials = trials, further

    def _begin(self, trials: int, *, final: bool) -> None:
        self.plan.set_round(trials, final=final)
        self.searches = self.replay()
        if trials not in self._begun:
            self._begun.add(trials)
            self.on_round(trials)

    def _of_round(self) -> list[Record]:
        """The records of the searches as they stand, whatever later rounds have left in the folder."""
        cells = (cell.id for search in self.searches.values() for c in search.configurations for cell in c.cells)
        return [self.records[cell] for cell in dict.fromkeys(cells) if cell in self.records]

    @property
    def spent(self) -> float:
        """The worker-seconds of all search trainings of the folder."""
        return _worker_seconds(r for r in self.records.values() if r.spec.phase == "search")

    @property
    def reserve(self) -> float:
        """Worker-seconds for confirming the best recipe and for its weights: as its slowest cell so far takes."""
        slowest = max((_worker_seconds([r]) for r in self._of_round()), default=0.0)
        return slowest * (self.plan.study.report.seeds + 1)

    def search_budget_is_used_up(self) -> bool:
        """Whether the searches have had what they may have."""
        return self.budget is not None and self.spent + self.reserve >= self.budget

    def _fits(self, trials: int) -> bool:
        """Whether so many more trials of every arm fit into the budget, if they take as long as those so far."""
        assert self.budget is not None
        cost = 0.0  # of one more configuration of every arm
        for arm in self.plan.searchable():
            tried = [c for c in self.searches[arm].configurations if c.over]
            cells = [self.records[cell.id] for c in tried for cell in c.cells if cell.id in self.records]
            cost += _worker_seconds(cells) / max(1, len(tried))
        return cost > 0 and _worker_seconds(self._of_round()) + self.reserve + cost * trials <= self.budget

    @property
    def complete(self) -> bool:
        """Whether the best recipe is known, and confirmed."""
        return self.plan.final and super().complete

    def run_on_pool(self, pool: TrainingPool, tune: Callable[[Mapping[Arm, ArmSearch]], None]) -> None:
        """Train round after round, then the best recipe, on one pool."""
        while True:
            super().run_on_pool(pool, tune)
            if self.plan.final or self.stopping.is_set():
                return
            self.settle()

    def run_local(self, local: Any) -> None:
        """The same, one cell after another in this process."""
        while not self.complete:
            super().run_local(local)
            if self.stopping.is_set():
                return
            if not self.plan.final:
                self.settle()

    def confirmed(self) -> list[Record]:
        """The records of the best recipe's confirmation, in the order of their seeds."""
        ids = {s.id for s in self.plan.confirm(self.searches)}
        return sorted((r for r in self.study_records().values() if r.id in ids), key=lambda r: r.spec.seed)


def _is_recipe(variant: str) -> bool:
    """Whether a variant is one that somebody may want a model of, and not there to be compared with."""
    return catalogue().variant(variant).role in ("method", "baseline", "floor")


def _worker_seconds(records: Iterable[Record]) -> float:
    return math.fsum(r.wall * r.spec.numerics.workers for r in records)
