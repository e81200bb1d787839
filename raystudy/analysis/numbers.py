"""Everything that a report says, as one tree of plain values; and what a report is given beside the records.

`compute.compute` fills the tree, ``report.json`` is the tree, and what writes Markdown, HTML, LaTeX and figures reads
nothing else. Scores, differences and interval ends are fractions; `nan` = cannot be computed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

from raystudy.analysis.stats import Interval, Paired, TwoWay, Verdict, Word
from raystudy.spec import Arm

__all__ = [
    "AnswerShares",
    "Comparison",
    "Completeness",
    "Cost",
    "Curve",
    "Design",
    "Failure",
    "Importance",
    "LabelMap",
    "Line",
    "Method",
    "Numbers",
    "PhaseCost",
    "Place",
    "RankedImportance",
    "Run",
    "Score",
    "Search",
    "SearchRow",
    "Sentence",
    "Step",
    "TaskFacts",
    "TrialResult",
    "to_json",
]

Role = Literal["method", "baseline", "control", "floor"]
State = Literal["complete", "pruned", "failed"]


# ---------------------------------------------------------------------------------------------------------------------
# what a report is given beside the records


@dataclass(frozen=True)
class SearchRow:
    """One configuration of one arm on one target: what the search saw of it.

    Attributes:
        number: trial number; 0 is the paper's settings.
        settings: the complete settings.
        dev_mean: mean dev score over the search seeds that finished, a fraction; None without any.
        winner: chosen for this target.
        updates, seconds: behind all its search cells on this target.
        seeds: finished cells behind `dev_mean`.
    """

    arm: Arm
    target: str
    number: int
    settings: Mapping[str, Any] = field(hash=False)
    dev_mean: float | None
    state: State
    winner: bool
    updates: int = 0
    seconds: float = 0.0
    seeds: int = 0


@dataclass(frozen=True)
class Importance:
    """How much each searched parameter of an arm mattered; no shares where trials are too few to say."""

    arm: Arm
    evaluator: str
    trials: int
    shares: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class TaskFacts:
    """What a report says of one task's data; `classes` 0 = regression."""

    name: str
    role: Literal["target", "source"]
    form: str
    classes: int
    train: int
    dev: int
    test: int
    metric: str
    source: str
    licence: str
    notes: tuple[str, ...]
    digest: str


# ---------------------------------------------------------------------------------------------------------------------
# what a report says


@dataclass(frozen=True)
class Sentence:
    """A sentence whose first words (`lead`) are set off; either part may be empty. `tone`: the verdict it tells."""

    rest: str
    lead: str = ""
    tone: Word | None = None

    def __str__(self) -> str:
        return self.lead + self.rest


@dataclass(frozen=True)
class Method:
    """A row of the tables. `transfers`: it learns from other tasks than the target."""

    variant: str
    title: str
    role: Role
    transfers: bool = True


@dataclass(frozen=True)
class Design:
    """What was asked.

    Attributes:
        conditions: what limits every number, as a sentence for captions: encoder, caps on the data, length.
        baseline: the variant that others are compared with; in `methods` only if the study has it.
        rope: the smallest difference that matters, a fraction.
        seeds: planned per cell of the main table.
        methods: in the order of the tables: methods and baselines, controls, floors.
        settings: as they are printed, in the study's order.
        shots: ascending numbers of labelled examples, where settings are few-shot.
        departures: what the study sets otherwise than the papers.
    """

    name: str
    about: str
    conditions: str
    baseline: str
    baseline_title: str
    rope: float
    seeds: int
    methods: tuple[Method, ...]
    targets: tuple[str, ...]
    settings: tuple[str, ...]
    shots: tuple[int, ...]
    departures: tuple[str, ...] = ()

    def title(self, variant: str) -> str:
        return next((m.title for m in self.methods if m.variant == variant), variant)

    def role(self, variant: str) -> Role:
        return next((m.role for m in self.methods if m.variant == variant), "method")

    def transfers(self, variant: str) -> bool:
        """Whether a variant learns from other tasks; neither a control nor a floor does."""
        return any(m.transfers for m in self.methods if m.variant == variant)

    @property
    def compared(self) -> bool:
        return any(m.variant == self.baseline for m in self.methods)


@dataclass(frozen=True)
class Completeness:
    """Confirm-phase cells of a study; seeds beyond the plan do not make up for others that are missing."""

    planned: int
    done: int
    failed: int
    missing: int


@dataclass(frozen=True)
class Place:
    """A target in a setting: a column of the main table. `metric` is empty and `tests` too where nothing finished."""

    target: str
    setting: str
    metric: str
    tests: tuple[int, ...]


@dataclass(frozen=True)
class Score:
    """A cell of the main table.

    Attributes:
        values: test scores, one for each of `seeds`.
        failed: how many of its runs failed.
        best: the best mean of its column, floors apart, among the cells with the most seeds.
        tied: not distinguishable from the best (`best_p` at least .05, or unknown); the best itself is.
        best_p: paired t-test against the best cell, Holm-corrected over the column; nan for the best itself.
        below: the variant of the best floor, if the mean is below it.
    """

    variant: str
    target: str
    setting: str
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    summary: Interval
    failed: int = 0
    best: bool = False
    tied: bool = False
    best_p: float = math.nan
    below: str = ""
    below_mean: float = math.nan


@dataclass(frozen=True)
class Comparison:
    """One variant against the baseline, for one target in one setting.

    Attributes:
        tested: in the family that Holm's correction covers (all but the floors).
        holm_p: nan when not tested or without a p-value.
        examples: the two-way test over seeds and examples; None where no predictions were given.
        examples_p: its Holm-corrected p.
    """

    variant: str
    target: str
    setting: str
    pair: Paired
    tested: bool
    holm_p: float
    verdict: Verdict
    examples: TwoWay | None = None
    examples_p: float | None = None


@dataclass(frozen=True)
class Line:
    """One variant at the k's of a curve: (k,) intervals; n = 0 where nothing has finished."""

    variant: str
    title: str
    role: Role
    points: tuple[Interval, ...]


@dataclass(frozen=True)
class Curve:
    """What a few-shot figure of one target shows.

    Attributes:
        shots: (k,) ascending numbers of labelled examples, all of the target's classes together.
        lines: test scores.
        differences: paired differences to the baseline, over the seeds both have; neither floors nor itself.
        bounded: the metric cannot leave 0 to 1.
    """

    target: str
    metric: str
    baseline: str
    baseline_title: str
    shots: tuple[int, ...]
    lines: tuple[Line, ...]
    differences: tuple[Line, ...]
    bounded: bool


@dataclass(frozen=True)
class AnswerShares:
    """What a method answered on the test set, in shares of the answers.

    Attributes:
        seeds: of the trainings that say so.
        most: the most frequent answer, empty for a class of another task; `share` of the answers, `gold` of the test
            set.
        distance: total variation between the shares of the classes among the answers and in the test set.
        same: seeds in which one answer was given nearly always.
    """

    variant: str
    target: str
    setting: str
    seeds: tuple[int, ...]
    most: str
    share: Interval
    gold: float
    distance: Interval
    same: int


@dataclass(frozen=True)
class LabelMap:
    """What a method took the classes of a source to mean for its target: mean soft labels, one interval per share.

    Attributes:
        seeds: of the trainings that say so.
        classes: (s,) of the source, in the order of its head.
        target_classes: (k,) in the order of the target's head.
        shares: (s, k) intervals over the seeds, each row's means adding up to one; n = 0 where no example of the class
            was looked at.
    """

    variant: str
    target: str
    setting: str
    source: str
    seeds: tuple[int, ...]
    classes: tuple[str, ...]
    target_classes: tuple[str, ...]
    shares: tuple[tuple[Interval, ...], ...]


@dataclass(frozen=True)
class TrialResult:
    """One configuration on one target; `dev` is the mean over `seeds` finished cells, nan without any."""

    number: int
    state: State
    winner: bool
    dev: float
    seeds: int
    updates: int
    seconds: float
    settings: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True)
class Step:
    """Where a search stood after trial `number`: what it had cost, and the best mean of a complete trial (or nan)."""

    number: int
    updates: int
    seconds: float
    best: float


@dataclass(frozen=True)
class Search:
    """The search of one arm on one target.

    Attributes:
        trials: by number; all arms' targets share the configurations.
        steps: one per trial.
        searched: the settings that differ between trials.
        changes: (setting, value in trial 0 or None, winner's value), where they differ.
    """

    variant: str
    target: str
    setting: str
    trials: tuple[TrialResult, ...]
    steps: tuple[Step, ...]
    searched: tuple[str, ...]
    changes: tuple[tuple[str, Any, Any], ...]

    @property
    def paper(self) -> TrialResult | None:
        return next((t for t in self.trials if t.number == 0), None)

    @property
    def winner(self) -> TrialResult | None:
        return next((t for t in self.trials if t.winner), None)


@dataclass(frozen=True)
class RankedImportance:
    """`Importance` of one arm, shares falling; none where there were too few trials to say."""

    variant: str
    setting: str
    evaluator: str
    trials: int
    shares: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class PhaseCost:
    """Cells of one phase and what they took; `trials` are different configurations, all settings together."""

    trials: int
    cells: int
    updates: int
    seconds: float


@dataclass(frozen=True)
class Cost:
    """What a variant took on a target.

    Attributes:
        stored_updates: of those above, updates of stages that the stage store answered.
        saved_seconds: an estimate of what they would have taken; nan where the records do not say.
    """

    variant: str
    target: str
    search: PhaseCost
    confirm: PhaseCost
    stored_updates: int
    saved_seconds: float


@dataclass(frozen=True)
class Run:
    """One cell. `dev` and `test` are in the target's primary metric, nan where there is none; `tests` is in all."""

    id: str
    phase: Literal["search", "confirm"]
    variant: str
    target: str
    setting: str
    seed: int
    status: Literal["done", "failed"]
    dev: float
    test: float
    seconds: float
    tests: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Failure:
    """A cell that failed; `cause` is the last line of its whole `error`."""

    id: str
    cell: str
    cause: str
    error: str


@dataclass(frozen=True)
class Numbers:
    """A whole report.

    Attributes:
        words: section -> its sentences.
        failures: the most frequent cause first.
        facts: provenance, as it was given.
        notes: sentences about what the numbers depend on.
        cautions: those that stand beside the scores: what no model read, what floors answer, trainings too short.
        study_text: the study as YAML, everything resolved.
    """

    design: Design
    completeness: Completeness
    places: tuple[Place, ...]
    scores: tuple[Score, ...]
    comparisons: tuple[Comparison, ...]
    curves: tuple[Curve, ...]
    searches: tuple[Search, ...]
    weights: tuple[RankedImportance, ...]
    costs: tuple[Cost, ...]
    failures: tuple[Failure, ...]
    tasks: tuple[TaskFacts, ...]
    runs: tuple[Run, ...]
    facts: Mapping[str, str] = field(hash=False)
    notes: tuple[str, ...] = ()
    study_text: str = ""
    label_maps: tuple[LabelMap, ...] = ()
    answers: tuple[AnswerShares, ...] = ()
    cautions: tuple[str, ...] = ()
    words: Mapping[str, tuple[Sentence, ...]] = field(default_factory=dict, hash=False)
    schema: int = 1


def to_json(numbers: Numbers) -> str:
    """The tree as JSON: keys are the names of the fields, `schema` first; nan is null, infinity the text ``inf``."""
    tree = _plain(numbers)
    return json.dumps({"schema": tree.pop("schema"), **tree}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {k: _plain(v) for k, v in value._asdict().items()}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value
