"""The search of one arm, as pure bookkeeping: which settings are tried, on which cells, which go on, and which win.

An arm is one variant in one setting, on all targets of the study. A configuration is one choice of the settings that
are searched; it is tried on one cell (one training) per target and search seed. In a search across methods the method
is a choice too, and the arm stands for all of them (`ACROSS`).

Optuna proposes the configurations, in generations of fixed size: the sampler of a generation is seeded by (arm,
generation), and Optuna learns the scores of a generation as a whole, in the order of the configurations' numbers.
Inside a generation the bad ones are stopped early by synchronous halving: at a rung, which is a number of finished
cells, all wait until every one has got there, and the better half goes on. So configurations are compared on the same
cells, nothing depends on which cell finished first, and a search replayed from its records comes out the same.

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

from raystudy.catalogue import Value
from raystudy.data.draws import seed_of
from raystudy.spec import Arm, Spec
from raystudy.study.search.space import Across, Space
from raystudy.study.search.winners import rankings
from raystudy.studyfile import SearchPlan

__all__ = ["IMPORTANCE", "IMPORTANCE_TRIALS", "ArmSearch", "Configuration", "drive", "rungs"]

IMPORTANCE = "PED-ANOVA of Optuna, best tenth of the completed trials against all"
IMPORTANCE_TRIALS = 30  # with fewer, the best tenth is two or three trials and the shares are noise

NextStep = Literal["go", "wait", "stop", "done"]
MakeSpec = Callable[[str, dict[str, Value], str, int], Spec]


@dataclass
class Configuration:
    """One choice of the searched settings, and the dev scores of its cells so far.

    Attributes:
        number: counts from 0 within the arm; 0 has the paper's values.
        variant: the method that is configured: the arm's own, or one of those that a search across methods chooses of.
        settings: all of them, searched or not.
        cells: in the order in which they are trained.
        scores: of the first cells (None = the cell failed).
        pruned_at: the rung at which it was stopped early.
    """

    arm: Arm
    number: int
    variant: str
    settings: dict[str, Value]
    cells: tuple[Spec, ...]
    scores: list[float | None] = field(default_factory=list)
    pruned_at: int | None = None

    @property
    def failed(self) -> bool:
        """Whether one of its cells failed; the others are then not trained."""
        return any(s is None for s in self.scores)

    @property
    def complete(self) -> bool:
        """Whether all its cells have a score."""
        return len(self.scores) == len(self.cells) and not self.failed

    @property
    def over(self) -> bool:
        """Whether no further cell of it will be trained."""
        return self.complete or self.failed or self.pruned_at is not None

    def mean(self, cells: int) -> float:
        """Mean dev score of the first `cells` cells; minus infinity once a cell failed."""
        scores = self.scores[:cells]
        return -float("inf") if self.failed else sum(s for s in scores if s is not None) / len(scores)


def rungs(cells: int, eta: int) -> list[int]:
    """The numbers of finished cells at which a generation is cut to 1 / eta of its size, ascending.

    They are ceil(cells / eta^j) for j = 1, 2, ..., as far as these are below `cells`; none where eta is below 2.
    """
    if eta < 2:
        return []
    numbers, n = set(), cells
    while n > 1:
        n = -(-n // eta)
        if n < cells:
            numbers.add(n)
    return sorted(numbers)


class ArmSearch:
    """The search of one arm.

    Args:
        plan: the study file's `search`: how many configurations, seeds, and of what size a generation is.
        space: what is moved, over which ranges.
        make_spec: (variant, settings, target, search seed index) -> Spec.
        passes: what a cell costs, in forward and backward passes; of equal configurations the cheaper one wins.
        storage: where Optuna keeps what it knows of the search (a journal for optuna-dashboard); never read back.

    Attributes:
        configurations: all that were proposed so far, by number.
        total: how many there will be.
    """

    def __init__(
        self,
        arm: Arm,
        plan: SearchPlan,
        space: Space | Across,
        targets: Sequence[str],
        make_spec: MakeSpec,
        storage: BaseStorage | None = None,
        passes: Callable[[Spec], float] = lambda cell: 0.0,
    ) -> None:
        self.arm, self.plan, self.targets = arm, plan, tuple(targets)
        self.space, self.make_spec = space, make_spec
        self.configurations: list[Configuration] = []
        self._passes, self._rankings = passes, dict[str, list[int]]()
        self._next_number = 0  # of the configuration that `ask` hands out next
        self._first_open = 0  # the number of the first configuration of the open generation
        self._optuna_trials: list[optuna.Trial] = []
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.total = plan.trials
        self.study = optuna.create_study(
            study_name=str(arm), direction="maximize", storage=storage or InMemoryStorage(), sampler=self._sampler(0)
        )
        if self.total:
            for values in space.enqueued():
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
        """Have Optuna propose a whole generation at once, so that no proposal depends on what finishes first."""
        first = len(self.configurations)
        self.study.sampler = self._sampler(first // self.plan.generation)
        for number in range(first, min(first + self.plan.generation, self.total)):
            optuna_trial = self.study.ask()
            proposal = self.space.propose(optuna_trial, number)
            cells = [
                self.make_spec(proposal.variant, proposal.settings, target, seed)
                for seed in range(self.plan.seeds)
                for target in self.targets
            ]
            self._optuna_trials.append(optuna_trial)
            configuration = Configuration(self.arm, number, proposal.variant, proposal.settings, tuple(cells))
            self.configurations.append(configuration)

    @property
    def generation(self) -> list[Configuration]:
        """The configurations of the open generation."""
        return self.configurations[self._first_open :]

    @property
    def finished(self) -> bool:
        """Whether every configuration is over, and Optuna knows it."""
        return self._first_open == self.total

    def ask(self) -> Configuration | None:
        """The next configuration of the open generation; None when all are handed out, and at the end."""
        if self._next_number == len(self.configurations):
            return None
        self._next_number += 1
        return self.configurations[self._next_number - 1]

    def report(self, number: int, score: float | None) -> None:
        """One more cell of a configuration finished with this dev score (None = it failed).

        Raises:
            ValueError: the configuration is over.
        """
        configuration = self.configurations[number]
        if configuration.over or len(configuration.scores) == len(configuration.cells):
            raise ValueError(f"configuration {number} of {self.arm} takes no more scores")
        configuration.scores.append(score)
        self._halve()
        if all(c.over for c in self.generation):
            self._close_generation()

    def next_step(self, number: int) -> NextStep:
        """Whether a configuration trains its next cell, waits at a rung for the others, is stopped, or is done."""
        configuration = self.configurations[number]
        if configuration.pruned_at is not None:
            return "stop"
        if configuration.over:
            return "done"
        reached = len(configuration.scores)
        at_rung = reached in rungs(len(configuration.cells), self.plan.halving)
        return "wait" if at_rung and number >= self._first_open and not self._all_reached(reached) else "go"

    def _all_reached(self, rung: int) -> bool:
        """Whether every configuration of the generation that is not over has at least `rung` scores."""
        return all(c.over or len(c.scores) >= rung for c in self.generation)

    def _halve(self) -> None:
        """Prune at every rung that all have reached: ceil(n / eta) go on, of equal ones those with lower numbers."""
        keep = len(self.generation)
        for rung in rungs(len(self.configurations[-1].cells), self.plan.halving):
            keep = -(-keep // self.plan.halving)
            if not self._all_reached(rung):
                return
            rivals = [c for c in self.generation if c.pruned_at is None and not c.failed]
            by_score = sorted(rivals, key=lambda c: (-c.mean(rung), c.number))
            for configuration in by_score[keep:]:
                if len(configuration.scores) == rung:
                    configuration.pruned_at = rung

    def _close_generation(self) -> None:
        """Tell Optuna the scores of the whole generation, in the order of its numbers, then open the next one."""
        for configuration, trial in zip(self.generation, self._optuna_trials[self._first_open :], strict=True):
            for step in range(1, len(configuration.scores) + 1):
                if not configuration.failed:
                    trial.report(configuration.mean(step), step)
            if configuration.failed:
                self.study.tell(trial, state=TrialState.FAIL)
            elif configuration.pruned_at is not None:
                self.study.tell(trial, state=TrialState.PRUNED)
            else:
                self.study.tell(trial, configuration.mean(len(configuration.cells)))
        self._first_open = self._next_number = len(self.configurations)
        if not self.finished:
            self._open_generation()

    @property
    def complete_count(self) -> int:
        """How many configurations of closed generations are complete; from these Optuna learns importances."""
        return sum(c.complete for c in self.configurations[: self._first_open])

    def importances(self) -> dict[str, float]:
        """Parameter -> its share in telling good configurations from the rest; shares add up to 1.

        There are none below `IMPORTANCE_TRIALS` complete configurations, with a single parameter, and where equal
        scores hide the best.
        """
        if self.complete_count < IMPORTANCE_TRIALS:
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

    def winners(self, variant: str = "") -> dict[str, int]:
        """target -> the number of the winning configuration: that with the best mean dev score (see `rankings`).

        A target on which all failed has no winner.

        Args:
            variant: look at its configurations alone; by default at all.
        """
        return {target: numbers[0] for target, numbers in self.rankings(variant).items() if numbers}

    def rankings(self, variant: str = "") -> dict[str, list[int]]:
        """target -> the numbers of the configurations (of a `variant`) that have a score on it, the best first."""
        ranked = self._all_rankings()
        if not variant:
            return ranked
        own = {c.number for c in self.configurations if c.variant == variant}
        return {target: [n for n in numbers if n in own] for target, numbers in ranked.items()}

    def _all_rankings(self) -> dict[str, list[int]]:
        if self._rankings:
            return self._rankings
        scores: dict[int, dict[str, list[float]]] = {}  # number -> target -> dev scores
        for configuration in self.configurations:
            by_target: dict[str, list[float]] = {target: [] for target in self.targets}
            for cell, score in zip(configuration.cells, configuration.scores, strict=False):
                if score is not None:
                    by_target[cell.target].append(score)
            scores[configuration.number] = by_target
        passes = {c.number: {s.target: self._passes(s) for s in reversed(c.cells)} for c in self.configurations}
        ranked = rankings(scores, self.targets, self.plan.seeds, self.plan.select, passes)
        if self.finished:  # nothing will change it any more
            self._rankings = ranked
        return ranked


def drive(searches: Iterable[ArmSearch], score: Callable[[Spec], float | None]) -> Iterator[Spec]:
    """Carry searches on cell by cell, as far as `score` knows the scores; yields the cells whose scores it lacks.

    With a function that trains, this is a whole search; with one that looks records up, it is a replay.

    Args:
        score: cell -> its dev score, or None for a failed cell. It raises KeyError for a cell without a score yet.
    """
    for search in searches:
        stuck: set[int] = set()  # the numbers of configurations that wait for a score
        while not search.finished:
            moved = False
            for configuration in list(search.generation):
                number = configuration.number
                while number not in stuck and search.next_step(number) == "go" and not configuration.over:
                    cell = configuration.cells[len(configuration.scores)]
                    try:
                        dev_score = score(cell)
                    except KeyError:
                        stuck.add(number)
                        yield cell
                        break
                    search.report(number, dev_score)
                    moved = True
            if not moved:
                break
