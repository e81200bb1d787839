"""The search of one arm, as pure bookkeeping: which configurations, on which cells, who goes on, who won.

Configurations are asked in generations of fixed size from one Optuna study per arm, whose sampler is seeded by (arm,
generation). A generation is told to Optuna as a whole, in trial order. Inside a generation, synchronous halving
compares configurations on the same finished cells: the resource is the number of finished (target, seed) cells. So
nothing depends on which cell finished first, and a search replayed from its records comes out the same.

This file knows neither Ray nor files: `tune_experiment.py` carries a search on through Ray Tune, and `drive` with any
function that knows scores; `study_run.py` replays searches so, from the records.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import optuna
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import TrialState

from raystudy.analysis.select import winners
from raystudy.catalogue import Value
from raystudy.data.draws import seed_of
from raystudy.spec import Arm, Spec
from raystudy.study.search.space import enqueued, suggest
from raystudy.studyfile import SearchPlan

__all__ = ["IMPORTANCE", "IMPORTANCE_TRIALS", "ArmSearch", "Configuration", "drive", "rungs"]

IMPORTANCE = "PED-ANOVA of Optuna, best tenth of the completed trials against all"
IMPORTANCE_TRIALS = 30  # with fewer, the best tenth is two or three trials and the shares are noise

Verdict = Literal["go", "wait", "stop", "done"]
MakeSpec = Callable[[dict[str, Value], str, int], Spec]


@dataclass
class Configuration:
    """One configuration of an arm, and what its cells have shown so far (None = the cell failed)."""

    arm: Arm
    number: int
    settings: dict[str, Value]
    cells: tuple[Spec, ...]
    scores: list[float | None] = field(default_factory=list)
    pruned_at: int | None = None

    @property
    def failed(self) -> bool:
        return any(s is None for s in self.scores)

    @property
    def complete(self) -> bool:
        return len(self.scores) == len(self.cells) and not self.failed

    @property
    def over(self) -> bool:
        return self.complete or self.failed or self.pruned_at is not None

    def mean(self, cells: int) -> float:
        """Mean dev score of the first `cells` cells; minus infinity once a cell failed."""
        seen = self.scores[:cells]
        return -float("inf") if self.failed else sum(s for s in seen if s is not None) / len(seen)


def rungs(cells: int, eta: int) -> list[int]:
    """Numbers of finished cells at which a generation is halved: ceil(cells / eta^j) below `cells`, ascending."""
    if eta < 2:
        return []
    out, n = set(), cells
    while n > 1:
        n = -(-n // eta)
        if n < cells:
            out.add(n)
    return sorted(out)


class ArmSearch:
    """One arm's search.

    Args:
        make: (settings, target, search seed index) -> Spec.
        storage: where Optuna keeps its view of the search (a journal for optuna-dashboard); never read back.
    """

    def __init__(
        self,
        arm: Arm,
        plan: SearchPlan,
        fixed: dict[str, Value],
        targets: Sequence[str],
        make: MakeSpec,
        storage: BaseStorage | None = None,
    ) -> None:
        self.arm, self.plan, self.fixed, self.targets, self.make = arm, plan, fixed, tuple(targets), make
        self.configurations: list[Configuration] = []
        self._handed = 0
        self._told = 0
        self._optuna_trials: list[optuna.Trial] = []
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.total = plan.trials
        self.study = optuna.create_study(
            study_name=str(arm), direction="maximize", storage=storage or InMemoryStorage(), sampler=self._sampler(0)
        )
        if self.total:
            for values in enqueued(arm.variant, fixed):
                self.study.enqueue_trial(values)
            self._open_generation()

    def _sampler(self, generation: int) -> optuna.samplers.BaseSampler:
        seed = seed_of("search", self.arm, generation) % 2**32
        if self.plan.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():  # `group` is what conditional spaces need; optuna calls it experimental
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, n_startup_trials=4)

    def _open_generation(self) -> None:
        """Ask a whole generation at once, so that no answer can depend on what finishes first."""
        first = len(self.configurations)
        self.study.sampler = self._sampler(first // self.plan.generation)
        for number in range(first, min(first + self.plan.generation, self.total)):
            t = self.study.ask()
            settings = suggest(t, self.arm.variant, self.fixed)
            cells = [self.make(settings, target, s) for s in range(self.plan.seeds) for target in self.targets]
            self._optuna_trials.append(t)
            self.configurations.append(Configuration(self.arm, number, settings, tuple(cells)))

    @property
    def generation(self) -> list[Configuration]:
        """The trials of the open generation."""
        return self.configurations[self._told :]

    @property
    def finished(self) -> bool:
        return self._told == self.total

    def ask(self) -> Configuration | None:
        """The next trial of the open generation that nobody has; None at the barrier and at the end."""
        if self._handed == len(self.configurations):
            return None
        self._handed += 1
        return self.configurations[self._handed - 1]

    def report(self, number: int, score: float | None) -> None:
        """One more cell of a trial finished with this dev score (None = it failed)."""
        trial = self.configurations[number]
        if trial.over or len(trial.scores) == len(trial.cells):
            raise ValueError(f"trial {number} of {self.arm} takes no more scores")
        trial.scores.append(score)
        self._halve()
        if all(t.over for t in self.generation):
            self._close_generation()

    def verdict(self, number: int) -> Verdict:
        """Whether a trial runs its next cell, waits at a rung for the others, is stopped, or has run them all."""
        trial = self.configurations[number]
        if trial.pruned_at is not None:
            return "stop"
        if trial.over:
            return "done"
        at_rung = len(trial.scores) in rungs(len(trial.cells), self.plan.halving)
        return "wait" if at_rung and number >= self._told and not self._decided(len(trial.scores)) else "go"

    def _decided(self, rung: int) -> bool:
        """Whether every trial of the generation that is still in has at least `rung` scores."""
        return all(t.over or len(t.scores) >= rung for t in self.generation)

    def _halve(self) -> None:
        """Prune at every rung that all trials still in have reached: keep ceil(n / eta), ties to the lower number."""
        keep = len(self.generation)
        for rung in rungs(len(self.configurations[-1].cells), self.plan.halving):
            keep = -(-keep // self.plan.halving)
            if not self._decided(rung):
                return
            reached = [t for t in self.generation if t.pruned_at is None and not t.failed]
            by_score = sorted(reached, key=lambda t: (-t.mean(rung), t.number))
            for t in by_score[keep:]:
                if len(t.scores) == rung:
                    t.pruned_at = rung

    def _close_generation(self) -> None:
        """Tell Optuna the whole generation in trial order, then open the next one."""
        for trial, t in zip(self.generation, self._optuna_trials[self._told :], strict=True):
            for step in range(1, len(trial.scores) + 1):
                if not trial.failed:
                    t.report(trial.mean(step), step)
            if trial.failed:
                self.study.tell(t, state=TrialState.FAIL)
            elif trial.pruned_at is not None:
                self.study.tell(t, state=TrialState.PRUNED)
            else:
                self.study.tell(t, trial.mean(len(trial.cells)))
        self._told = self._handed = len(self.configurations)
        if not self.finished:
            self._open_generation()

    @property
    def completed(self) -> int:
        """Trials that ran all their cells; what Optuna learns importances from."""
        return sum(t.complete for t in self.configurations[: self._told])

    def importances(self) -> dict[str, float]:
        """Parameter -> its share in telling good configurations from the rest; shares add up to 1.

        Empty below `IMPORTANCE_TRIALS` completed trials, with a single parameter, and where equal scores hide the best.
        """
        if self.completed < IMPORTANCE_TRIALS:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("error", UserWarning)  # said when the best tenth cannot be told from the rest
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            try:
                shares = optuna.importance.get_param_importances(self.study, evaluator=evaluator)
            except UserWarning:
                return {}
        return dict(shares) if len(shares) > 1 else {}

    def winners(self) -> dict[str, int]:
        """target -> number of the winning trial: by mean dev score, ties to the lower number; none if all failed."""
        by_target: dict[int, dict[str, list[float]]] = {}
        for t in self.configurations:
            per: dict[str, list[float]] = {target: [] for target in self.targets}
            for cell, score in zip(t.cells, t.scores, strict=False):
                if score is not None:
                    per[cell.target].append(score)
            by_target[t.number] = per
        return winners(by_target, self.targets, self.plan.seeds, self.plan.select)


def drive(searches: Iterable[ArmSearch], score: Callable[[Spec], float | None]) -> Iterator[Spec]:
    """Carry searches on as far as `score` can answer, cell by cell; yields the cells that it could not answer.

    `score` returns a dev score, None for a failed cell, and raises KeyError for a cell that is not known yet. With a
    function that trains, this is a whole search; with one that looks records up, it is a replay.
    """
    for search in searches:
        stuck: set[int] = set()
        while not search.finished:
            moved = False
            for trial in list(search.generation):
                while trial.number not in stuck and search.verdict(trial.number) == "go" and not trial.over:
                    cell = trial.cells[len(trial.scores)]
                    try:
                        answer = score(cell)
                    except KeyError:
                        stuck.add(trial.number)
                        yield cell
                        break
                    search.report(trial.number, answer)
                    moved = True
            if not moved:
                break
