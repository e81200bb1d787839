"""Everything that a report says, as one tree of plain values (`Numbers`), and the inputs that it has beside records.

`compute.compute` fills the tree, ``report.json`` is the tree as JSON, and what writes Markdown, HTML, LaTeX and figures
reads nothing else. Scores, differences and interval ends are fractions; `nan` stands where a number cannot be computed.
An arm is one variant in one data setting, on all targets; a cell is one training.
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
    "AllTests",
    "Comparison",
    "Completeness",
    "Cost",
    "Design",
    "EnsembleRow",
    "Failure",
    "Importance",
    "Line",
    "Method",
    "Numbers",
    "PhaseCost",
    "Place",
    "Recipe",
    "Run",
    "Score",
    "Search",
    "SearchGain",
    "SearchRow",
    "SearchedSetting",
    "Sentence",
    "Step",
    "TaskFacts",
    "TrialResult",
    "plain",
    "to_json",
]

Role = Literal["method", "baseline", "control", "floor", "bound"]
State = Literal["complete", "pruned", "failed"]


# ---------------------------------------------------------------------------------------------------------------------
# the inputs of a report beside the records


@dataclass(frozen=True)
class SearchRow:
    """What the search measured of one configuration of one arm on one target.

    Attributes:
        number: the trial's number; trial 0 has the paper's settings.
        settings: the complete settings.
        dev_mean: the mean dev score, a fraction, over the search seeds that finished; None if no seed has.
        winner: whether this configuration was chosen for this target.
        updates, passes, seconds: what all its search cells on this target took together.
        seeds: how many finished cells `dev_mean` is the mean of.
        dev_examples: how many dev examples each of these cells was judged on; 0 where that is not known.
        error: the standard error that so many examples leave in `dev_mean`; None where it is not known.
    """

    arm: Arm
    target: str
    number: int
    settings: Mapping[str, Any] = field(hash=False)
    dev_mean: float | None
    state: State
    winner: bool
    updates: int = 0
    passes: float = 0.0
    seconds: float = 0.0
    seeds: int = 0
    dev_examples: int = 0
    error: float | None = None


@dataclass(frozen=True)
class Importance:
    """How much each searched parameter of an arm mattered; `shares` is empty where the trials are too few to say."""

    arm: Arm
    evaluator: str
    trials: int
    shares: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class SearchedSetting:
    """One setting that the search of an arm moves; values are spelt as in a study file.

    Attributes:
        range: ``1e-5 to 5e-4``, or the choices.
        scale: ``log``, ``linear`` (in steps of so much), or ``choices``.
        paper: the paper's value; `first` is that of trial 0, which a study may have set.
        own: whether the study file gives the range, and not the method's page.
        condition: with which values of other settings it is moved; empty where always.
    """

    arm: Arm
    name: str
    symbol: str
    range: str
    scale: str
    paper: str
    first: str
    own: bool = False
    condition: str = ""


@dataclass(frozen=True)
class Recipe:
    """The method that won a search across `methods` on one target."""

    setting: str
    target: str
    variant: str
    methods: tuple[str, ...]


@dataclass(frozen=True)
class EnsembleRow:
    """The test scores of the best configurations of an arm together: a pair of (seed, score) for each seed."""

    arm: Arm
    target: str
    members: int
    scores: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class TaskFacts:
    """What a report says of one task's data.

    `classes` is 0 for regression; `metric` names both metrics where tables show two, as in ``f1/accuracy``.
    """

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
    """A sentence whose first words (`lead`) are set off; either part may be empty.

    Attributes:
        tone: its verdict.
        short: what a page shows in the place of `rest` until a reader asks for the `items` that it lists; empty where
            it lists none.
        items: all of them, also those that `rest` has no room for.
    """

    rest: str
    lead: str = ""
    tone: Word | None = None
    short: str = ""
    items: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.lead + self.rest


@dataclass(frozen=True)
class Method:
    """A row of the tables. `transfers` says whether it learns from other tasks than the target."""

    variant: str
    title: str
    role: Role
    transfers: bool = True


@dataclass(frozen=True)
class Design:
    """What the study asked: which methods, on which targets, in which data settings, over how many seeds.

    Attributes:
        conditions: what limits every number, as a sentence for captions: encoder, caps on the data, length.
        baseline: the variant that others are compared with; it is in `methods` only if the study has it.
        rope: the smallest difference that matters, a fraction (the name is short for region of practical equivalence).
        seeds: how many seeds are planned for each entry of the main table.
        methods: the rows in the order of the tables: methods and baselines, then controls, then floors.
        settings: the data settings as they are printed, in the study's order.
        shots: ascending numbers of labelled examples, where settings are few-shot.
        trained: (target, setting) of every column of results; empty where every target has every setting.
        left_out: (target, setting, why) of what the data cannot serve; tables show it as missing.
        departures: what the study sets otherwise than the papers.
        out_of_reach: (variant, target, setting, why) of what the data cannot serve for one method alone.
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
    trained: tuple[tuple[str, str], ...] = ()
    left_out: tuple[tuple[str, str, str], ...] = ()
    out_of_reach: tuple[tuple[str, str, str, str], ...] = ()

    @property
    def cells(self) -> tuple[tuple[str, str, str], ...]:
        """(variant, target, setting) of every entry of the main table that is trained, column by column."""
        missing = {entry[:3] for entry in self.out_of_reach}
        every = ((m.variant, t, s) for t, s in self.pairs for m in self.methods)
        return tuple(cell for cell in every if cell not in missing)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(target, setting) of every column of results, target by target."""
        return self.trained or tuple((t, s) for t in self.targets for s in self.settings)

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
    """How many confirm-phase cells are done; seeds beyond the plan do not make up for others that are missing."""

    planned: int
    done: int
    failed: int
    missing: int


@dataclass(frozen=True)
class Place:
    """A target in a setting: a column of the main table.

    `tests` are the numbers of test examples that the cells had. It and `metric` are empty where nothing finished.
    `second_metric` is what tables show behind the primary one (89.5/85.8), where they show two.
    """

    target: str
    setting: str
    metric: str
    tests: tuple[int, ...]
    second_metric: str = ""

    @property
    def metrics(self) -> str:
        """The metrics of its cells, as a table names them: ``f1/accuracy``."""
        return "/".join(filter(None, (self.metric, self.second_metric)))


@dataclass(frozen=True)
class Score:
    """An entry of the main table: the test scores of one variant on one target in one setting.

    Attributes:
        values: test scores, one for each of `seeds`.
        failed: how many of its runs failed.
        best: whether its mean is the best of the column, floors apart, among the entries with the most seeds.
        tied: whether it cannot be told from the best (`best_p` is at least .05, or unknown); the best itself is tied.
        best_p: p of the test against the best, Holm-corrected over the column; nan for the best itself. It is the test
            that a verdict rests on, or that over seeds where predictions were not compared.
        below: the variant of the best floor, if the mean is below it, with that floor's mean as `below_mean`.
        second: the same seeds in the place's second metric, where it has one; nothing is tested or chosen by it.
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
    second: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class AllTests:
    """What is tested of one pair of methods, and the verdict.

    Attributes:
        pair: the paired t-test over seeds and the exact sign-flip test: new seeds, on this test set.
        holm_p: the corrected p-value of the t-test; nan where the pair is not tested or has no p-value.
        examples: the two-way test over seeds and examples; None where the report has no predictions.
        examples_p: the Holm-corrected p of that test.
        p: what the verdict rests on, Holm-corrected: the larger of both (`stats.deciding_p`); nan where none decides.
        low, high: the 95 % interval that the verdict rests on, which holds those of both tests.
        bootstrap: the interval of the crossed bootstrap, from `stats.BOOTSTRAP_SEEDS` seeds on.
        mcnemar: exact McNemar p, where one seed was compared by accuracy: it holds for these two trainings alone.
    """

    pair: Paired
    holm_p: float
    verdict: Verdict
    examples: TwoWay | None = None
    examples_p: float | None = None
    p: float = math.nan
    low: float = math.nan
    high: float = math.nan
    bootstrap: tuple[float, float] | None = None
    mcnemar: float | None = None


@dataclass(frozen=True)
class Comparison(AllTests):
    """One variant against the baseline, for one target in one setting, with its tests.

    Attributes:
        tested: whether it belongs to the family that Holm's correction covers (all variants but the floors).
    """

    variant: str
    target: str
    setting: str
    tested: bool


@dataclass(frozen=True)
class Line:
    """One variant at every k of a curve: `points` are (k,) intervals, with n = 0 where nothing has finished."""

    variant: str
    title: str
    role: Role
    points: tuple[Interval, ...]


@dataclass(frozen=True)
class TrialResult:
    """What one configuration reached on one target; `dev` is the mean over `seeds` finished cells, nan without any."""

    number: int
    state: State
    winner: bool
    dev: float
    seeds: int
    updates: int
    passes: float
    seconds: float
    settings: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True)
class Step:
    """Where a search stood after trial `number`: what it had cost, and the best mean of a complete trial (or nan)."""

    number: int
    updates: int
    passes: float
    seconds: float
    best: float


@dataclass(frozen=True)
class Search:
    """The search of one arm on one target.

    Attributes:
        trials: in the order of their numbers; the targets of an arm share the configurations.
        steps: the state of the search after each trial.
        searched: the names of the settings that differ between trials.
        changes: (setting, value in trial 0 or None, value of the winner), where these differ.
        dev_examples: how many dev examples judged each cell; 0 where that is not known.
        error: the standard error that they leave in the winner's score; nan where that is not known.
        within: how many complete trials are at most that much below the winner, itself among them.
        tied: how many complete trials have the winner's score, itself among them.
        enough: dev examples that leave an error no larger than the winner's lead over the median of the other trials,
            or than the smallest difference that matters; 0 where not known.
    """

    variant: str
    target: str
    setting: str
    trials: tuple[TrialResult, ...]
    steps: tuple[Step, ...]
    searched: tuple[str, ...]
    changes: tuple[tuple[str, Any, Any], ...]
    dev_examples: int = 0
    error: float = math.nan
    within: int = 0
    tied: int = 0
    enough: int = 0

    @property
    def complete(self) -> int:
        """How many trials were trained on all their cells."""
        return sum(t.state == "complete" for t in self.trials)

    @property
    def blind(self) -> bool:
        """Whether the search cannot tell its trials apart: half of those that did not win are within the error."""
        return self.complete > 1 and 2 * (self.within - 1) >= self.complete - 1

    @property
    def paper(self) -> TrialResult | None:
        return next((t for t in self.trials if t.number == 0), None)

    @property
    def winner(self) -> TrialResult | None:
        return next((t for t in self.trials if t.winner), None)


@dataclass(frozen=True)
class SearchGain(AllTests):
    """What the search of one arm brought on one target, on test: its winner against the settings without a search.

    `pair` is winner minus default, over the seeds that both have; Holm's correction is over a family of its own: all
    arms and targets whose winner has other settings.

    Attributes:
        same: whether the winner has these settings, so that there is nothing to compare.
        winner, default: their test scores.
        trials, passes, seconds: what the search took on this target.
        training: the passes of one training with the winner's settings.
        ensemble: the test scores of the best configurations together, `members` of them; None where one is confirmed.
        ensemble_pair: the ensemble minus the winner.
    """

    variant: str
    target: str
    setting: str
    same: bool
    winner: Interval
    default: Interval
    trials: int = 0
    passes: float = 0.0
    seconds: float = 0.0
    training: float = math.nan
    members: int = 0
    ensemble: Interval | None = None
    ensemble_pair: Paired | None = None


@dataclass(frozen=True)
class PhaseCost:
    """What the cells of one phase took.

    Attributes:
        trials: the number of different configurations, all data settings together.
        passes: what the updates cost in forward and backward passes over one batch; nan where a record of an earlier
            version does not say.
    """

    trials: int
    cells: int
    updates: int
    passes: float
    seconds: float


@dataclass(frozen=True)
class Cost:
    """What a variant took on a target.

    Attributes:
        stored_updates: how many of these updates belong to stages that the stage store answered.
        stored_passes: what those would have cost in passes.
        saved_seconds: an estimate of the time that those would have taken; nan where the records do not say.
    """

    variant: str
    target: str
    search: PhaseCost
    confirm: PhaseCost
    stored_updates: int
    stored_passes: float
    saved_seconds: float


@dataclass(frozen=True)
class Run:
    """One cell. `dev` and `test` are in the target's primary metric, nan where there is none; `tests` has all.

    The phase ``beside`` is that of cells of the confirm phase which show what a search brought, and are in no table of
    scores.
    """

    id: str
    phase: Literal["search", "confirm", "beside"]
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
    """A whole report: what its sections share, what each of them has of its `own`, and what they say.

    Attributes:
        failures: the most frequent cause first.
        facts: the provenance: what ran where, with which code, data and libraries.
        notes: sentences about what the numbers depend on.
        cautions: sentences that stand beside the scores: what no model read, what floors answer, trainings too short.
        study_text: the study as YAML, with every default written out.
        recipes: what won the searches across methods.
        defaults_trained: whether the settings without a search are trained beside the winners'.
        own: key in report.json -> the numbers of one section (`section.Section.of`).
        words: key in report.json -> sentences.
    """

    design: Design
    completeness: Completeness
    places: tuple[Place, ...]
    scores: tuple[Score, ...]
    comparisons: tuple[Comparison, ...]
    searches: tuple[Search, ...]
    costs: tuple[Cost, ...]
    failures: tuple[Failure, ...]
    tasks: tuple[TaskFacts, ...]
    runs: tuple[Run, ...]
    facts: Mapping[str, str] = field(hash=False)
    notes: tuple[str, ...] = ()
    study_text: str = ""
    cautions: tuple[str, ...] = ()
    recipes: tuple[Recipe, ...] = ()
    defaults_trained: bool = False
    own: Mapping[str, Any] = field(default_factory=dict, hash=False)
    words: Mapping[str, tuple[Sentence, ...]] = field(default_factory=dict, hash=False)
    schema: int = 1


def to_json(numbers: Numbers) -> str:
    """The tree as JSON. Keys are the names of the fields, and those of the sections beside them; `schema` is first.

    nan is null, infinity the text ``inf``.
    """
    tree = plain(numbers)
    own, words = tree.pop("own"), tree.pop("words")
    tree |= {**own, "words": words}
    return json.dumps({"schema": tree.pop("schema"), **tree}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """A tree of plain values as JSON has them: dataclasses as objects, nan as null, infinity as the text ``inf``."""
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {k: plain(v) for k, v in value._asdict().items()}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value
