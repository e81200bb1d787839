"""Reads a study file, in which a user asks for a study, and checks all of it before anything is loaded.

`Study` has every key of the file with its type and its rule; what depends on several keys, on the catalogue of methods
or on the data is checked by functions of this module. A file with mistakes is refused with all of them at once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, TypeAdapter, ValidationError, model_validator
from ruamel.yaml.comments import CommentedMap

from raystudy.catalogue import Parameter, SearchRange, Value, catalogue, suites
from raystudy.errors import ConfigError, PreflightError, Problem, UserError, did_you_mean, quoted, unknown_name
from raystudy.origin import Origin
from raystudy.own_entries import own_entries
from raystudy.own_modules import OwnModule, use
from raystudy.paths import is_folder
from raystudy.plugins import check_own_module
from raystudy.spec import Arm, Numerics, Setting, precision_rule
from raystudy.tasks import Task, domains, expand, is_built_in, load, may_expand
from raystudy.wording import listed, spelt
from raystudy.yamlfile import (
    Strict,
    dotted,
    lines_of,
    load_yaml,
    odd_values,
    parse_yaml,
    plain,
    problems_of,
)

__all__ = [
    "ConfirmPlan",
    "Limits",
    "ReportPlan",
    "SearchPlan",
    "Study",
    "StudyNumerics",
    "check_study",
    "examples_of",
    "expand_study",
    "read_study",
    "without_unreached",
]


# `results/published` holds the papers' numbers; the others no folder can have where a report may be taken (Windows)
_RESERVED_NAMES = {
    "published",
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)),
}


def _plain_name(value: Any) -> Any:
    if isinstance(value, str):
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?", value):
            raise ValueError("must be a plain name (letters, digits, '-', '_', '.'), no path")
        if value.partition(".")[0].lower() in _RESERVED_NAMES:
            raise ValueError("must be a name that is not reserved")
    return value


def _not_blank(value: Any) -> Any:
    if isinstance(value, str) and not value.strip():
        raise ValueError("must be a path, but is empty: leave the key out, or say '.' for the folder of the study file")
    return value


def _without_repeats(values: tuple[Any, ...]) -> tuple[Any, ...]:
    known: set[Any] = set()
    for v in values:
        if v in known:
            raise ValueError(f"must name everything once, but {quoted(v)} is listed twice")
        known.add(v)
    return values


def _as_list(value: Any) -> Any:
    """A list of one where a single value stands for a list: ``shots: 20`` reads as ``shots: [20]``."""
    return value if isinstance(value, list | tuple) or value is None else [value]


def _canonical(name: Any) -> Any:
    """A method's name with its settings in their one spelling. What is wrong with it, `_problems_of_meaning` says."""
    try:
        return catalogue().variant(name).id if isinstance(name, str) else name
    except ConfigError:
        return name


def _method(entry: Any) -> Any:
    if isinstance(entry, str):
        return _canonical(entry)
    if not isinstance(entry, Mapping) or not all(isinstance(v, Mapping | None) for v in entry.values()):
        raise ValueError("must be the name of a method, or a name with its settings, indented below it")
    return {_canonical(name): own or {} for name, own in entry.items()}


def _dev(value: Any) -> Any:
    if isinstance(value, bool) or not (value in ("like_train", "all") or (isinstance(value, int) and value > 0)):
        raise ValueError(f"must be like_train, all, or a number of examples above 0, but got {quoted(value)}")
    return value


PlainName = Annotated[str, BeforeValidator(_plain_name)]
NotBlank = Annotated[str, BeforeValidator(_not_blank)]
Positive = Annotated[int, Field(strict=True, gt=0)]
Fraction = Annotated[float, Field(strict=True, gt=0, le=1)]
Names = Annotated[tuple[str, ...], BeforeValidator(_as_list), AfterValidator(_without_repeats)]
Shots = Annotated[tuple[Positive, ...], BeforeValidator(_as_list), AfterValidator(_without_repeats)]
Ratios = Annotated[
    tuple[Annotated[float, Field(strict=True, gt=0)], ...], BeforeValidator(_as_list), AfterValidator(_without_repeats)
]
Fractions = Annotated[tuple[Fraction, ...], BeforeValidator(_as_list), AfterValidator(_without_repeats)]
Method = Annotated[str | Mapping[str, Mapping[str, Any]], BeforeValidator(_method)]
Methods = Annotated[tuple[Method, ...], BeforeValidator(_as_list)]
Dev = Annotated[Literal["like_train", "all"] | int, BeforeValidator(_dev)]
# Beyond these bounds a plan alone takes minutes; and the seeds of a search start at 1000 (study/plan.py).
Seeds = Annotated[int, Field(strict=True, gt=0, le=1000)]
Trials = Annotated[int, Field(strict=True, ge=0, le=10_000)]
_MOST_CELLS = 100_000  # trainings of one study, all methods, targets, settings, seeds and trials multiplied


ALL = "all"  # in `search.space`: every method that has the setting


def _range(value: Any) -> Any:
    """A range of `search.space`; a list stands for its choices."""
    if isinstance(value, list | tuple):
        value = {"choices": [*value]}
    if not isinstance(value, Mapping):
        rule = "must be a range, such as {low: 1e-5, high: 1e-3, log: true}, or a list of values"
        raise ValueError(f"{rule}, but got {quoted(value)}: to give it one value, set it under `settings`")
    for key in ("choices", "enqueue"):
        values = value.get(key)
        if values is not None and not isinstance(values, list | tuple):
            raise ValueError(f"{key} must be a list, but got {quoted(values)}")
        value = {**value, key: [_choice(v) for v in values]} if values is not None else value
    when = value.get("when")
    if isinstance(when, Mapping):
        value = {**value, "when": {k: [_choice(v) for v in _as_list(values) or ()] for k, values in when.items()}}
    return value


def _choice(value: Any) -> Any:
    """One of several values: a mapping (of classes, of tasks) and a list of layers are kept as their text."""
    if isinstance(value, Mapping):
        return "; ".join(f"{k} > {' | '.join(map(str, _as_list(v) or ()))}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    if value is None:
        raise ValueError("must list values, but one is empty")
    return value


def _space(value: Any) -> Any:
    """The methods of `search.space` by their canonical names."""
    return {_canonical(k): v for k, v in value.items()} if isinstance(value, Mapping) else value


Range = Annotated[SearchRange, BeforeValidator(_range)]
SearchedMethods = Annotated[
    tuple[Annotated[str, BeforeValidator(_canonical)], ...],
    BeforeValidator(_as_list),
    AfterValidator(_without_repeats),
]
SearchSpace = Annotated[Mapping[str, Mapping[str, Range]], BeforeValidator(_space)]
_RANGE: TypeAdapter[SearchRange] = TypeAdapter(Range)


class Limits(Strict):
    """The most examples per task that a study reads: one draw, stratified by class, the same for every method and seed.

    Attributes:
        train: of the training split; `shots` and `fraction` are taken from what is left.
        dev: of the split that selects.
        test: of the split that is reported.
    """

    train: Positive | None = None
    dev: Positive | None = None
    test: Positive | None = None


class SearchPlan(Strict):
    """How hyper-parameters are searched: on dev only, with seeds of their own. An arm is one method in one setting.

    Attributes:
        trials: how many configurations of each arm are tried; the first is always the paper's. 0 = no search: the
            paper's settings are used.
        seeds: trainings per configuration and target, whose mean dev score counts; other seeds than the report's.
        shots: search only at these numbers of shots (default: in every setting of the study).
        fraction: search only at these fractions (default: in every setting of the study).
        elsewhere: what settings without a search use: the paper's settings or the winner of the (largest) searched one.
        sampler: how configurations are chosen: by Optuna's TPE, or by uniform draws.
        generation: how many configurations are tried at once (a generation); the sampler learns from one generation for
            the next.
        halving: give up the worse configurations of a generation early: at each rung, a number of finished trainings,
            ``ceil(n / halving)`` of n go on. 0 = all go on.
        select: one winner per target, or one for all targets by their mean dev score.
        methods: those whose settings are searched; by default all that have something to search. The others are trained
            with the settings that they have without a search.
        across: methods that one search chooses among, beside their settings; each is tried without a search first, so
            `trials`, which is the number of configurations of all of them, must be at least as many. Halving then
            compares methods too, on the same cells. Any other method is searched by itself.
        space: ranges of one's own: method (or ``all``) -> setting -> range. A range is a list of values, or ``{low:
            1e-5, high: 1e-3, log: true}``, or has a ``step`` instead of ``log``. ``enqueue`` lists values that are
            tried first, and ``when: {setting: values}`` moves the setting only where others have these values. A
            method with ranges of its own, or of ``all``, is searched over these alone; any other over those of its
            page.
    """

    trials: Trials = 0
    seeds: Seeds = 1
    shots: Shots = ()
    fraction: Fractions = ()
    elsewhere: Literal["paper", "winner"] = "paper"
    sampler: Literal["tpe", "random"] = "tpe"
    generation: Positive = 4
    halving: Literal[0, 2, 3, 4] = 0
    select: Literal["per_target", "suite"] = "per_target"
    space: SearchSpace = Field(default_factory=dict)
    methods: SearchedMethods = ()
    across: SearchedMethods = ()


class ReportPlan(Strict):
    """How results are confirmed and compared.

    Attributes:
        seeds: trainings per method, target and setting with the chosen settings; each seed is a draw, a split and an
            order of its own, the same for every method. A study asks for at most 100,000 trainings, searches included.
        baseline: the method that all others are tested against; it must be among the methods.
        rope: the smallest difference that matters, as a fraction (0.01 = one point); closer is equivalent.
        default: whether a searched method is also trained with the settings that it has without a search, on the same
            seeds, wherever the winner has others: what searching brought is then seen on test.
    """

    seeds: Seeds = 5
    baseline: Annotated[str, BeforeValidator(_canonical)] = "single_task"
    rope: Annotated[float, Field(strict=True, ge=0, le=1)] = 0.01
    default: Annotated[bool, Field(strict=True)] = True


class ConfirmPlan(Strict):
    """What is trained of a search in the end, beside the one winner.

    Attributes:
        top: how many of the best configurations are trained with every report seed; their answers together (the
            probabilities averaged; tags by vote) stand beside the winner's alone. 1 = the winner alone.
    """

    top: Annotated[int, Field(strict=True, ge=1, le=100)] = 1


AskedPrecision = Annotated[Literal["fp32", "bf16", "fp64", "auto"], BeforeValidator(precision_rule)]


class StudyNumerics(Numerics):
    """What changes results in the last digits.

    Attributes:
        precision: of the training; ``bf16`` computes in bfloat16 where that is safe, the weights stay in float32;
            ``auto`` takes ``bf16`` where this machine is faster in it, as measured, and ``fp32`` elsewhere.
        device: what trains; ``cuda`` takes one GPU per worker.
        workers: data-parallel ranks per training.
        force: train in ``bf16`` on a machine without arithmetic for it, which takes many times as long as in ``fp32``.
        measured: what ``precision: auto`` has found and taken; it fills that in.
    """

    # a Spec has no precision that is still to be measured
    precision: AskedPrecision = "fp32"  # type: ignore[assignment]
    force: bool = False
    measured: str = ""

    @property
    def spec_numerics(self) -> Numerics:
        """The part that enters every Spec's id: what changes numbers. ``auto`` is measured before there is a Spec."""
        return Numerics(**self.model_dump(exclude={"force", "measured"}))


class Study(Strict):
    """A study file: every key with its type and its rule. Unknown keys are refused.

    Attributes:
        name: names the results folder.
        about: one line for the report.
        plm: the pre-trained model, a BERT or a relative of it (ALBERT, RoBERTa, XLM-RoBERTa, DistilBERT, ELECTRA,
            ModernBERT, DeBERTa-v3): ``minilm`` (the quickstart's package), ``tiny`` (random, for
            trying out), a folder as ``save_pretrained`` writes it, relative to the study file or else to the current
            folder, or the id of a model on the Hugging Face hub. For tasks whose examples are vectors of numbers it is
            ``mlp:WIDTH``, a network of one hidden layer of that width, which is not pre-trained.
        revision: a branch, tag or commit of a hub model; refused beside a model that is no hub's.
        data_root: the folder that holds one folder per task; relative to the study file. ``~`` is the user's home.
        suite: tasks that belong together, by name. Beside ``tasks`` it gives their options and its length alone.
        suites: several suites in one study: each target is helped by the tasks of its own suite.
        tasks: the tasks that take part, in place of a suite's; each is a source for the others. ``NAME/*`` stands for
            one task per domain of a data set. ``./mytask.py`` is a data set of one's own, a module with a function
            `load` or a `CARD`, relative to the study file; elsewhere in the study its name is ``mytask``.
        targets: the tasks that are asked about; default: the suite's targets, or every task in turn.
        unseen: those of the targets that take no part in the transfer: what is learned from the other tasks does not
            know them, and the adaptation meets them first; default: what the suite says.
        shots: numbers of labelled target examples in total, balanced over classes; each is a setting of its own.
        shots_of: target -> numbers of labelled examples of its own, in place of `shots` and `fraction`; default: what
            the suite says, where neither of the two is given.
        fraction: parts of the target's training split; each is a setting. Neither shots nor fraction = all of it.
        ratio: how many times as many examples as the target each source has; each is a setting, for every number of
            shots. Without it sources have all that `limits` leaves.
        scope: whose training split shots and fraction cut: the ``target``'s alone, or every task's of its ``suite``.
        dev: ``like_train`` = a dev set of about as many examples as there are to train on; ``all`` = the whole split; a
            number = so many examples of it, balanced over classes, drawn anew for each seed.
        length: the longest sequence in word pieces, in place of the tasks' own.
        limits: the most examples that are read of each task.
        missing_data: where a task's data are not at hand, or are too few for a number of shots or a ratio, ``refuse``
            the study, or ``leave_out`` what they cannot serve: tables show it as missing, with the reason.
        absent: tasks that are left out because their data are not at hand; ``leave_out`` fills it in.
        unreached: target -> setting -> why the data cannot serve it; ``leave_out`` fills it in.
        unreached_of: method -> the same of a method that takes more examples than others; ``leave_out`` fills it in.
        source_limits: the same for tasks that are not targets, in place of `limits` where it says more.
        task_options: task -> its options, such as ``labels`` or ``metric`` of a folder; they go over the suite's.
        methods: variants by name, or with settings of their own: ``meta_dtl: {lambda: 0.2}``. What is set is not
            searched. A name may carry settings too, ``meta_dtl[lambda=0.2]``: a row of its own beside ``meta_dtl``.
            ``./stilts.py`` is a method of one's own with its parameters in ``stilts.yaml`` beside it, relative to the
            study file: it stands for all variants of that file, and ``./stilts.py::NAME`` for one.
        settings: settings for every method that knows them; a method's own come first.
        search: how settings are searched.
        confirm: what is trained of a search in the end.
        report: how results are confirmed and compared.
        numerics: what changes results in the last digits.
    """

    name: PlainName
    about: str = ""
    plm: NotBlank = "minilm"
    revision: NotBlank | None = None
    data_root: NotBlank | None = None
    suite: str | None = None
    suites: Names = ()
    tasks: Names = ()
    targets: Names = ()
    unseen: Names = ()
    shots: Shots = ()
    shots_of: Mapping[str, Shots] = Field(default_factory=dict)
    fraction: Fractions = ()
    ratio: Ratios = ()
    scope: Literal["target", "suite"] = "target"
    dev: Dev = "like_train"
    length: Annotated[int, Field(strict=True, ge=8)] | None = None  # below that, special tokens alone fill it
    limits: Limits = Limits()
    source_limits: Limits = Limits()
    missing_data: Literal["refuse", "leave_out"] = "refuse"
    absent: Names = ()
    unreached: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)
    unreached_of: Mapping[str, Mapping[str, Mapping[str, str]]] = Field(default_factory=dict)
    task_options: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    methods: Methods
    settings: Mapping[str, Any] = Field(default_factory=dict)
    search: SearchPlan = SearchPlan()
    confirm: ConfirmPlan = ConfirmPlan()
    report: ReportPlan = ReportPlan()
    numerics: StudyNumerics = StudyNumerics()
    _origin: Origin = PrivateAttr(default_factory=Origin)
    _own: tuple[OwnModule, ...] = PrivateAttr(default=())

    @model_validator(mode="before")
    @classmethod
    def _with_suites_options(cls, asked: Any) -> Any:
        """Add what the study's suites say of their tasks: which are unseen, and the options that they are read with.

        So every reader of a task reads it alike.
        """
        if not isinstance(asked, Mapping):
            return asked
        if "unseen" not in asked and (unseen := _unseen_of_suites(asked)):
            asked = {**asked, "unseen": unseen}
        if not {"shots", "fraction", "shots_of"} & asked.keys() and (shots_of := _shots_of_suites(asked)):
            asked = {**asked, "shots_of": shots_of}
        study_options, suite_names = (
            asked.get("task_options", {}),
            [asked.get("suite"), *(_as_list(asked.get("suites")) or ())],
        )
        suite_options = [
            suites()[s].get("task_options", {}) for s in suite_names if isinstance(s, str) and s in suites()
        ]
        if not isinstance(study_options, Mapping) or not any(suite_options):
            return asked
        merged: dict[str, Any] = {}
        for layer in (*suite_options, study_options):
            for task, options in layer.items():
                both = isinstance(options, Mapping) and isinstance(merged.get(task), Mapping)
                merged[task] = {**merged[task], **options} if both else options
        return {**asked, "task_options": merged}

    @property
    def origin(self) -> Origin:
        """Where each key of the study stands, for a message about a key that cannot be followed."""
        return self._origin

    @property
    def own(self) -> tuple[OwnModule, ...]:
        """The methods and data sets of the user's own that the study names by their files."""
        return self._own

    @cached_property
    def variants(self) -> dict[str, dict[str, Any]]:
        """variant -> its own settings, in the study's order."""
        out: dict[str, dict[str, Any]] = {}
        for entry in self.methods:
            pairs = {entry: {}} if isinstance(entry, str) else {k: dict(v) for k, v in entry.items()}
            out.update(pairs)
        return out

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Study:
        """A copy with other values of some keys, without the values that were computed from the old ones."""
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("variants", None)
        return copy

    def fixed_settings(self, variant: str) -> dict[str, Any]:
        """The settings that the study gives `variant`: of the shared ``settings`` those it has, then its own entry."""
        rules = catalogue().parameters_of(variant)
        fixes = catalogue().variant(variant).fixes
        shared = {k: v for k, v in self.settings.items() if k in rules and k not in fixes}
        return {**shared, **self.variants[variant]}

    def ranges(self, variant: str) -> dict[str, SearchRange]:
        """The study's own ranges for a variant: those of ``all`` that it has and that nothing sets, then its own.

        There are none where `search.space` has none for it; then the catalogue's are searched.
        """
        rules, fixes = catalogue().parameters_of(variant), catalogue().variant(variant).fixes
        for_all = self.search.space.get(ALL, {})
        shared = {k: r for k, r in for_all.items() if k in rules and k not in fixes and k not in self.variants[variant]}
        ranges = {**shared, **self.search.space.get(variant, {})}
        return {name: _in_type(rules[name], ranges[name]) for name in rules if name in ranges}

    @property
    def departures(self) -> tuple[str, ...]:
        """The settings whose values are not the papers': ``lr 3e-4 (papers: 5e-5)``, with the methods where not all."""
        cat = catalogue()
        values_of: dict[str, dict[Value, dict[str, Value]]] = {}  # setting -> value -> variant -> its paper's value
        variants_with: dict[str, list[str]] = {}
        for variant in self.variants:
            papers, rules, set_values = cat.defaults(variant), cat.parameters_of(variant), self.fixed_settings(variant)
            for name, papers_value in papers.items():
                variants_with.setdefault(name, []).append(variant)
                try:
                    value = rules[name].check(set_values.get(name, papers_value))
                except ValueError:  # a report of a study that today's rules would refuse
                    continue
                if value != papers_value:
                    values_of.setdefault(name, {}).setdefault(value, {})[variant] = papers_value
        lines = []
        for name, values in values_of.items():
            for value, papers in values.items():
                printed = listed(dict.fromkeys(spelt(v) for v in papers.values()))
                where = "" if len(papers) == len(variants_with[name]) else f" in {listed(papers)}"
                lines.append(f"{name} {spelt(value)}{where} ({'paper' if len(papers) == 1 else 'papers'}: {printed})")
        return tuple(lines)

    @property
    def keys_without_effect(self) -> tuple[str, ...]:
        """The keys of the study that have no effect, a line each, with the reason."""
        lines = []
        if self.suite and self.tasks and self.suite in suites():
            suite_tasks = suites()[self.suite]["tasks"]
            absent = [n for n in suite_tasks if not any(_covers(n, t) for t in self.tasks)]
            others = [t for t in self.tasks if not any(_covers(n, t) for n in suite_tasks)]
            if absent or others:
                only = "only its options and its length are"
                lines.append(f"suite {self.suite}: its tasks are not taken, because `tasks` names others; {only}")
        search_keys = self.search.model_dump(exclude_defaults=True, exclude={"trials"})
        if search_keys and not self.search.trials:
            keys = listed(f"`{key}`" for key in search_keys)
            has = "has" if len(search_keys) == 1 else "have"
            lines.append(f"search: `trials` is 0, so nothing is searched, and {keys} {has} no effect")
        if self.confirm.top > 1 and self.search.trials < 2:
            lines.append(f"confirm: `top` is {self.confirm.top}, but no search has that many configurations")
        if self.source_limits != Limits() and set(self.task_names) <= set(self.target_names):
            lines.append("source_limits: every task is a target, so they hold for none")
        if (self.shots or self.fraction) and set(self.target_names) <= self.shots_of.keys():
            lines.append("shots, fraction: every target has numbers of its own in `shots_of`, so they hold for none")
        if self.scope == "suite" and self.settings_grid == (Setting(),):
            lines.append("scope: neither `shots` nor `fraction` is given, so there is nothing that it would cut")
        with_suite_options = {o for s in self.suite_names for o in suites().get(s, {}).get("task_options", {})}
        data_sets = {t.partition("/")[0] for t in (*self.task_names, *(t.partition("/")[0] for t in self.task_names))}
        if unread := [name for name in self.task_options if name not in data_sets | with_suite_options]:
            lines.append(
                f"task_options: {listed(unread)} {'takes' if len(unread) == 1 else 'take'} no part in the study"
            )
        return tuple(lines)

    @property
    def suite_names(self) -> tuple[str, ...]:
        """The suites of the study; none where it lists tasks of its own."""
        return self.suites or ((self.suite,) if self.suite else ())

    @property
    def task_names(self) -> tuple[str, ...]:
        asked = self.tasks or dict.fromkeys(t for s in self.suite_names for t in suites()[s]["tasks"])
        return tuple(t for t in asked if t not in self.absent)

    @property
    def target_names(self) -> tuple[str, ...]:
        return tuple(t for t in self._asked_targets if t not in self.absent)

    @property
    def absent_targets(self) -> tuple[str, ...]:
        """The tasks that would be targets if their data were at hand; tables show them as missing."""
        return tuple(t for t in self.absent if t in self._asked_targets or not self._asked_targets)

    @property
    def _asked_targets(self) -> tuple[str, ...]:
        """The targets as they are asked for, whether their data are at hand or not."""
        of_suites = dict.fromkeys(t for s in self.suite_names for t in suites()[s]["targets"])
        if self.targets:
            return self.targets
        if self.tasks and not self.suites:
            return self.tasks
        return tuple(of_suites) or self.task_names

    def suite_of(self, target: str) -> str:
        """The suite that `target` belongs to: with several, the first that names it; else the only one, or ''."""
        if len(self.suites) < 2:
            return next(iter(self.suite_names), "")
        return next((s for s in self.suites if any(_covers(n, target) for n in suites()[s]["tasks"])), "")

    def tasks_with(self, target: str) -> tuple[str, ...]:
        """The tasks that take part in the training for `target`, in suite order, the target among them.

        A target that is `unseen` takes part in no training but its own.
        """
        known = tuple(t for t in self.task_names if t == target or t not in self.unseen)
        if len(self.suites) < 2:
            return known
        names = suites()[self.suite_of(target)]["tasks"]
        return tuple(t for t in known if any(_covers(n, t) for n in names))

    @property
    def settings_grid(self) -> tuple[Setting, ...]:
        """The data settings of the study: each k, each fraction, or all of the training data."""
        if not self.shots_of:
            return self._common_settings
        of_targets = [s for t in self.target_names for s in self.settings_of(t)]
        return tuple(sorted(dict.fromkeys(of_targets), key=lambda s: (s.shots or 0, s.fraction or 0, s.ratio or 0)))

    @property
    def _common_settings(self) -> tuple[Setting, ...]:
        """The settings of every target that has no numbers of shots of its own."""
        return (*self._few_shot(self.shots), *(Setting(fraction=f) for f in self.fraction)) or (Setting(),)

    def _few_shot(self, shots: Sequence[int]) -> tuple[Setting, ...]:
        return tuple(Setting(shots=k, ratio=r) for k in shots for r in self.ratio or (None,))

    def settings_of(self, target: str) -> tuple[Setting, ...]:
        """The data settings that are asked of a target, whether its data reach or not."""
        return self._few_shot(self.shots_of[target]) if target in self.shots_of else self._common_settings

    def targets_in(self, setting: Setting, variant: str = "") -> tuple[str, ...]:
        """The targets that are trained in a setting: those of which it is asked and whose data reach.

        Args:
            variant: for this method, which may take more examples than others do.
        """
        of_variant = self.unreached_of.get(variant, {})
        return tuple(
            t
            for t in self.target_names
            if setting in self.settings_of(t)
            and str(setting) not in self.unreached.get(t, {})
            and str(setting) not in of_variant.get(t, {})
        )

    def limits_of(self, task: str) -> dict[str, int]:
        """split -> how many of its examples are read at most. A task that is no target may have limits of its own."""
        source = {} if task in self.target_names else self.source_limits.model_dump(exclude_none=True)
        return {**self.limits.model_dump(exclude_none=True), **source}

    @property
    def searched_settings(self) -> tuple[Setting, ...]:
        if not self.search.trials:
            return ()
        counts, parts = self.search.shots, self.search.fraction
        searched = [s for s in self.settings_grid if s.shots in counts or s.fraction in parts]
        return tuple(searched) or self.settings_grid

    def arms(self) -> list[Arm]:
        """Every variant in every setting, in the study's order."""
        return [Arm(v, s) for s in self.settings_grid for v in self.variants if self.targets_in(s, v)]


def read_study(path: str | PathLike[str], overrides: Sequence[str] = (), *, run_own: bool = False) -> Study:
    """Read and check a study file.

    Args:
        overrides: ``a.b=value`` pairs from the command line, values in YAML.
        run_own: whether modules of the user's own that the study names are run, so that what is wrong with them is
            found with all other mistakes; else they are only read.

    Raises:
        ConfigError: every problem of the file and of the overrides at once, each with file and line.
    """
    return check_study(load_yaml(Path(path)), str(path), overrides, beside=Path(path).parent, run_own=run_own)


def check_study(
    tree: CommentedMap,
    file: str,
    overrides: Sequence[str] = (),
    *,
    written: bool = True,
    beside: Path | None = None,
    run_own: bool = False,
) -> Study:
    """The study that a YAML tree asks for. Messages name `file` as the place of a problem. See `read_study`.

    From now on this process knows the methods and data sets of the user's own that it names, and no others.

    Args:
        written: whether somebody wrote the file; if not, messages name no lines of it.
        beside: the folder that the files of the user's own are relative to; None = the current one.
    """
    lines = dict(lines_of(tree))
    odd = list(odd_values(tree, numbered=_of_labels))
    problems: list[Problem] = []
    keys: dict[str, Any] = plain(tree)
    overridden: list[tuple[str, ...]] = []
    for text in overrides:
        try:
            loc, value = _parse_override(text)
        except ConfigError as e:
            problems += e.problems
            continue
        mapping: Any = keys
        for n, part in enumerate(loc[:-1], 1):
            if mapping.get(part) is None:
                mapping[part] = {}
            mapping = mapping[part]
            if not isinstance(mapping, dict):
                what = "a list" if isinstance(mapping, list) else quoted(mapping)
                rule = f"must lead through mappings, but {dotted(loc[:n])} is {what}: give it as a whole"
                problems.append(Problem(f"{rule}, {dotted(loc[:n])}=...", dotted(loc), "--set"))
                break
        else:
            mapping[loc[-1]] = value
        if not isinstance(mapping, dict):
            continue
        overridden.append(loc)
        odd = [(at, m) for at, m in odd if at[: len(loc)] != loc]  # what was odd there is gone

    own = own_entries(keys, beside or Path())
    use(own.modules)
    problems += own.problems
    if run_own:
        problems += (p for module in own.modules for p in check_own_module(module))
    lines |= {now: lines[loc] for now, loc in own.places.items() if loc in lines}
    origin = Origin(file, lines if written else None, keys, tuple(overridden), own.named)
    try:
        study: Study | None = Study.model_validate(own.keys)
        mistyped = []
    except ValidationError as e:
        study, mistyped = None, list(problems_of(Study, e))
    odd_places = {loc for loc, _ in odd}  # said once, in the words that tell what YAML made of it
    mistakes = [
        *odd,
        *own.mistakes,
        *(
            (loc, m)
            for loc, m in (*mistyped, *_problems_of_meaning(own.keys, {loc[0] for loc, _ in mistyped}))
            if loc not in odd_places and not own.is_broken(loc)
        ),
    ]
    problems = sorted(
        dict.fromkeys([*problems, *(origin.problem(loc, m) for loc, m in mistakes)]), key=lambda p: p.line or 0
    )
    if problems or study is None:
        raise ConfigError(problems)
    study._origin, study._own = origin, tuple(own.modules)
    return study


def _of_labels(loc: Sequence[str | int]) -> bool:
    """Whether the keys at this path are labels, which data may hold as numbers: ``label_text: {0: negative}``."""
    return len(loc) == 3 and loc[0] == "task_options" and loc[2] in ("label_text", "merge")


def _parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    key, sep, value = text.partition("=")
    loc = tuple(part.strip() for part in key.split("."))
    if not sep or not all(loc):
        why = ", with a name on either side of each dot" if sep and any(loc) else ""
        raise ConfigError(Problem(f"must look like a.b=value{why}, but got {quoted(text)}", "--set"))
    try:
        tree = parse_yaml(value, "--set")
    except ConfigError as e:
        raise ConfigError(Problem(p.message, dotted(loc), "--set") for p in e.problems) from None
    if odd := [Problem(m, dotted(at), "--set") for at, m in odd_values(tree, loc, numbered=_of_labels)]:
        raise ConfigError(odd)
    return loc, plain(tree)


def _problems_of_meaning(
    asked: Mapping[str, Any], mistyped: Collection[str | int]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The problems that types alone do not show: names that do not exist, settings out of range, an absent baseline.

    Every check is made that does not read one of the `mistyped` top-level keys, so that a person sees all problems at
    once.
    """
    cat = catalogue()
    methods = _as_list(asked.get("methods"))
    variants: dict[str, tuple[tuple[str | int, ...], Mapping[str, Any]]] = {}
    for i, entry in enumerate(methods if isinstance(methods, list) else []):
        pairs = {entry: {}} if isinstance(entry, str) else entry if isinstance(entry, dict) else {}
        for name, own_settings in pairs.items():
            loc: tuple[str | int, ...] = ("methods", i) if isinstance(entry, str) else ("methods", i, name)
            try:
                variant = cat.variant(str(name)).id
            except ConfigError as e:
                for p in e.problems:
                    yield loc, p.message
                continue
            if variant in variants:
                yield loc, f"{variant!r} is listed twice"
            else:
                variants[variant] = (loc, own_settings if isinstance(own_settings, dict) else {})
    if methods is not None and not any(methods) and "methods" not in mistyped:
        yield ("methods",), "must name at least one method"
    shared = asked.get("settings")
    rules_of = {v: cat.parameters_of(v) for v in variants}
    known = sorted({k for rules in {id(r): r for r in rules_of.values()}.values() for k in rules})
    for key, value in (shared if isinstance(shared, dict) else {}).items():
        if key not in known and variants:
            yield (
                ("settings", key),
                f"no method of this study has a setting {quoted(key)}{did_you_mean(key, known)}",
            )
            continue
        # a variant that is defined by another value does not hear of this one
        rules = {id(r): r[key] for v, r in rules_of.items() if key in r and key not in cat.variant(v).fixes}.values()
        for message in dict.fromkeys(m for rule in rules if (m := _refusal(rule, value))):
            yield ("settings", key), f"{key} {message}"
    for name, (loc, own_settings) in variants.items():
        try:
            cat.resolve(name, own_settings)
        except ConfigError as e:
            for p in e.problems:
                yield (*loc, p.path), p.message
        copied = cat.variant(name).copies
        if copied and copied not in variants:
            yield loc, f"{name} copies the settings of {copied}, which must be in the study too"

    def typed(*keys: str) -> bool:
        return not any(key in mistyped for key in keys)

    study = Study.model_validate(
        {"name": "unnamed", "methods": (), **{k: v for k, v in asked.items() if k in Study.model_fields and typed(k)}}
    )
    if variants and typed("report") and study.report.baseline not in variants:
        report = asked.get("report")
        explicit = isinstance(report, dict) and "baseline" in report
        yield (
            ("report", "baseline") if explicit else ("methods",),
            f"the baseline {quoted(study.report.baseline)} is not among the methods"
            + (did_you_mean(study.report.baseline, list(variants)) or f": {', '.join(variants)}")
            + ("" if explicit else ": list it, or name another as report.baseline"),
        )
    if variants and typed("search"):
        yield from _problems_of_across(study.search, variants)
    if typed("search", "confirm") and study.confirm.top > study.search.trials > 1:
        rule = "must be at most the number of configurations that a search tries, `trials`"
        yield ("confirm", "top"), f"{rule} ({study.search.trials}), but is {study.confirm.top}"
    if variants:
        yield from _problems_of_space({v: own for v, (_, own) in variants.items()}, asked)
    searched: list[tuple[str, Sequence[float], Sequence[float]]] = [
        ("shots", study.search.shots, (*study.shots, *(k for own in study.shots_of.values() for k in own))),
        ("fraction", study.search.fraction, study.fraction),
    ]
    for key, values, all_ in searched:
        for n, s in enumerate(values if typed("search", key) else ()):
            if s not in all_:
                yield ("search", key, n), f"the study has no setting {key} = {s}; it has {list(all_)}"
    if typed("ratio", "scope") and study.ratio and study.scope == "suite":
        yield ("scope",), "must be target where there is a ratio: sources have their numbers of examples from it"
    if typed("shots", "shots_of", "ratio") and study.ratio and not study.shots and not study.shots_of:
        yield ("ratio",), "a ratio is that of source examples to labelled target examples, so `shots` must be given too"
    unknown_suites = [
        *([(("suite",), study.suite)] if study.suite is not None else []),
        *((("suites", i), name) for i, name in enumerate(study.suites)),
    ]
    unknown_suites = [(loc, name) for loc, name in unknown_suites if name not in suites()]
    for at, name in unknown_suites:
        yield at, unknown_name("suite", name, list(suites()))
    task_keys = [
        key for key, explicit in (("suite", study.suite), ("suites", study.suites), ("tasks", study.tasks)) if explicit
    ]
    if study.suites and len(task_keys) > 1:
        yield (
            ("suites",),
            f"must be given alone, but there is {task_keys[0] if task_keys[0] != 'suites' else 'tasks'} too",
        )
    elif not unknown_suites and typed("suite", "suites", "tasks"):
        for target, homes in _suites_of_targets(study).items():
            yield ("suites",), f"each target must belong to one suite, but {target} belongs to {' and '.join(homes)}"
        if not study.task_names:
            yield ("tasks",), "a study needs a suite or at least one task"
        for i, target in enumerate(study.targets):
            if not _may_be_among(target, study.task_names):
                yield (
                    ("targets", i),
                    f"the target {target!r} is not among the tasks{did_you_mean(target, study.task_names)}",
                )
        for target in study.shots_of if typed("shots_of", "targets") else ():
            if not _may_be_among(target, study.target_names):
                message = f"{target!r} is not among the targets{did_you_mean(target, study.target_names)}"
                yield ("shots_of", target), message
        if typed("targets", "search") and not any(map(may_expand, study.target_names)):
            yield from _too_few_cells(study)
            if methods and typed("methods", "report", "shots", "fraction"):
                yield from _too_many_cells(study.model_copy(update={"methods": tuple(variants)}))


def _in_type(rule: Parameter, r: SearchRange) -> SearchRange:
    """A range whose values are of the parameter's own type: ``[0, 0.5]`` are numbers, and 8 of `layers` is a text."""
    values = {key: tuple(rule.check(v) for v in getattr(r, key)) for key in ("choices", "enqueue")}
    return r.model_copy(update=values)


def _problems_of_space(
    variants: Mapping[str, Mapping[str, Any]], asked: Mapping[str, Any]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with `search.space`: names that do not exist, values out of bounds, settings that are set too.

    What is no range at all is told of its type, and does not keep the others from being looked at.

    Args:
        variants: variant -> its own settings.
        asked: the whole study, before it is checked.
    """
    cat, search = catalogue(), _mapping(asked.get("search"))
    space: dict[str, dict[str, SearchRange]] = {}
    for name, ranges in _mapping(search.get("space")).items():
        space[name] = {}
        for key, value in _mapping(ranges).items():
            with suppress(ValueError):
                space[name][key] = _RANGE.validate_python(value)
    if not space:
        return
    at_space = ("search", "space")
    trials = search.get("trials", 0)
    if isinstance(trials, int) and trials < 2:
        rule = "says what a search moves, so `trials` must be at least 2"
        yield at_space, f"{rule} (the first has the paper's settings), but is {trials}"
    shared = _mapping(asked.get("settings"))
    for written_name, ranges in space.items():
        loc, name = (*at_space, written_name), str(_canonical(written_name))
        if name != ALL and name not in variants:
            try:
                known_name = cat.variant(name).id
            except ConfigError as e:
                yield from ((loc, p.message) for p in e.problems)
                continue
            yield loc, f"{known_name!r} is not among the methods of the study{did_you_mean(name, [*variants, ALL])}"
            continue
        if name != ALL and cat.variant(name).role == "control":
            yield loc, f"{name} cannot be searched: it takes the winner of {cat.variant(name).copies}"
            continue
        if _mapping(search.get("space")).get(written_name) == {}:
            rule = "must name a setting with its range; leave it out to have the ranges of its page searched"
            yield loc, f"{rule}, but is empty"
        users = [name] if name != ALL else [v for v in variants if cat.variant(v).role != "control"]
        for key, r in ranges.items():
            rules = {v: cat.parameters_of(v)[key] for v in users if key in cat.parameters_of(v)}
            if not rules:
                known = sorted({k for v in users for k in cat.parameters_of(v)})
                what = f"no method of this study has a setting {quoted(key)}"
                what = what if name == ALL else f"unknown setting {quoted(key)} of {name}"
                yield (*loc, key), f"{what}{did_you_mean(key, known)}"
                continue
            if fixed := _set_elsewhere(key, name, rules, variants, shared):
                yield (*loc, key), fixed
                continue
            moved = {v: p for v, p in rules.items() if key not in cat.variant(v).fixes and key not in variants[v]}
            problems = (pair for v, p in moved.items() for pair in _problems_of_range(key, p, r, cat.parameters_of(v)))
            yield from (((*loc, key, *part), message) for part, message in dict.fromkeys(problems))


def _problems_of_across(search: SearchPlan, variants: Collection[str]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with `search.across` and `search.methods`: no methods of the study, or too few of them."""
    across, cat = search.across, catalogue()
    named = [("across", across), ("methods", search.methods)]
    for key, i, name in ((key, i, name) for key, names in named for i, name in enumerate(names)):
        loc = ("search", key, i)
        if name not in cat.variants and "[" not in name:
            yield loc, unknown_name("method", name, [*cat.variants])
        elif name not in variants:
            yield loc, f"{name!r} is not among the methods of the study{did_you_mean(name, [*variants])}"
        elif cat.variant(name).role in ("control", "floor", "bound"):
            yield loc, f"{name} cannot be searched: it is a {cat.variant(name).role}"
    if len(across) == 1:
        yield ("search", "across"), f"must name at least two methods to choose from, but names {across[0]} alone"
    if across and search.trials < len(across):
        rule = "must be at least the number of methods, each of which is tried once without a search"
        yield ("search", "trials"), f"{rule} ({len(across)}), but is {search.trials}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _set_elsewhere(
    key: str,
    name: str,
    rules: Mapping[str, Parameter],
    variants: Mapping[str, Mapping[str, Any]],
    shared: Mapping[str, Any],
) -> str:
    """Why a setting cannot be searched, where something gives it a value; empty where it can."""
    cat = catalogue()
    defined = [v for v in rules if key in cat.variant(v).fixes]
    own = [v for v in rules if key in variants[v] and v not in defined]
    if len(defined) == len(rules):
        v = defined[0]
        return f"cannot be searched: {v} is defined by {key} = {spelt(cat.variant(v).fixes[key])}"
    if key in shared:
        return f"cannot be searched and set: `settings` gives {key} the value {quoted(shared[key])}; leave out one"
    if len(own) + len(defined) == len(rules):
        return f"cannot be searched and set: {own[0]} has {key} = {quoted(variants[own[0]][key])}; leave out one"
    return ""


def _problems_of_range(
    key: str, rule: Parameter, r: SearchRange, rules: Mapping[str, Parameter]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(the part of the range, what is wrong with it): bounds, ends, steps, choices and conditions."""

    def refused(*parts: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for part in parts:
            value: Any = getattr(r, str(part[0]))
            if message := _refusal(rule, value[part[1]] if len(part) > 1 else value):
                yield part, f"{key} {message}"

    for condition, values in r.when.items():
        if condition not in rules or condition == key:
            known = [k for k in rules if k != key]
            yield ("when", condition), f"unknown setting {quoted(condition)}{did_you_mean(condition, known)}"
            continue
        if not values:
            yield ("when", condition), f"must list the values of {condition} with which {key} is moved, but is empty"
        for i, value in enumerate(values):
            if message := _refusal(rules[condition], value):
                yield ("when", condition, i), f"{condition} {message}"
    numbers = rule.type in ("float", "int")
    interval = [name for name in ("low", "high", "log", "step") if getattr(r, name) not in (None, False)]
    if r.choices:
        wrong = [*refused(*(("choices", i) for i in range(len(r.choices))))]
        yield from wrong
        if interval:
            yield (interval[0],), f"{key} has choices, so {listed(interval)} must be left out"
        choices = [] if wrong else [rule.check(v) for v in r.choices]
        if repeated := [v for v, count in Counter(choices).items() if count > 1]:
            yield ("choices",), f"{key} must list every value once, but {spelt(repeated[0])} is there twice"
        elif len(choices) == 1:
            yield ("choices",), f"{key} must have at least two values to choose from; set it to give it one"
        for i, value in enumerate(r.enqueue):
            if message := _refusal(rule, value):
                yield ("enqueue", i), f"{key} {message}"
            elif not wrong and rule.check(value) not in choices:
                yield ("enqueue", i), f"{key} must be one of its choices, but is {quoted(value)}"
        return
    if not numbers:
        yield (), f"{key} must be searched over a list of values ({_legal(rule)}), but has no choices"
        return
    if r.low is None or r.high is None:
        missing = [name for name in ("low", "high") if getattr(r, name) is None]
        are = "is" if len(missing) == 1 else "are"
        yield (), f"{key} must have low and high, or a list of values, but {listed(missing)} {are} missing"
        return
    wrong = [*refused(("low",), ("high",))]
    yield from wrong
    if r.low >= r.high:
        yield ("low",), f"{key} must have a low below its high, but {spelt(r.low, 6)} is not below {spelt(r.high, 6)}"
        return
    if r.log and r.low <= 0:
        yield ("low",), f"{key} must have a low above 0 on a logarithmic scale, but is {spelt(r.low, 6)}"
    if r.step is not None:
        yield from _problems_of_step(key, rule, r, r.low, r.high, r.step)
    for i, value in enumerate(r.enqueue):
        if message := _refusal(rule, value):
            yield ("enqueue", i), f"{key} {message}"
        elif not r.holds(rule.check(value)):
            ends = f"{spelt(r.low, 6)} to {spelt(r.high, 6)}"
            yield ("enqueue", i), f"{key} must be in its range {ends}, but is {quoted(value)}"


def _problems_of_step(
    key: str, rule: Parameter, r: SearchRange, low: float, high: float, step: float
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if not 0 < step <= high - low:
        yield ("step",), f"{key} must have a step above 0 and at most its high less its low, but is {spelt(step, 6)}"
    elif rule.type == "int" and step != int(step):
        yield ("step",), f"{key} must have a step that is a whole number, but is {spelt(step, 6)}"
    elif r.log:
        yield ("step",), f"{key} must have a step or a logarithmic scale, but has both"
    elif abs((high - low) / step - round((high - low) / step)) > 1e-9:
        rule_text = "must reach its high from its low in whole steps"
        yield ("step",), f"{key} {rule_text}, but {spelt(high - low, 6)} is no multiple of {spelt(step, 6)}"


def _legal(rule: Parameter) -> str:
    """The legal values of a parameter that is no number, in a few words."""
    return {"bool": "true, false", "layers": "layers"}.get(rule.type) or ", ".join(map(str, rule.choices)) or rule.type


def _suites_of_keys(asked: Mapping[str, Any]) -> list[str]:
    """The suites that a study names, before it is checked."""
    return [s for s in (asked.get("suite"), *(_as_list(asked.get("suites")) or ())) if isinstance(s, str)]


def _unseen_of_suites(asked: Mapping[str, Any]) -> tuple[str, ...]:
    """The targets of a study, before it is checked, that its suites call unseen."""
    unseen = [t for s in _suites_of_keys(asked) for t in suites().get(s, {}).get("unseen", ())]
    targets = _as_list(asked.get("targets")) or _as_list(asked.get("tasks")) or unseen
    return tuple(t for t in dict.fromkeys(unseen) if t in targets)


def _shots_of_suites(asked: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """target -> the numbers of shots that a study's suites give it, of the targets of a study before it is checked."""
    shots = {t: k for s in _suites_of_keys(asked) for t, k in suites().get(s, {}).get("shots_of", {}).items()}
    targets = _as_list(asked.get("targets")) or _as_list(asked.get("tasks")) or shots
    return {t: k for t, k in shots.items() if t in targets}


def _covers(name: str, task: str) -> bool:
    """Whether `name` of a suite, perhaps ``NAME/*``, stands for `task`."""
    return name == task or (name.endswith("/*") and task.startswith(name[:-1]))


def _suites_of_targets(study: Study) -> dict[str, list[str]]:
    """Targets that belong to more than one of the study's suites, and to which."""
    homes = {t: [s for s in study.suites if t in suites()[s]["tasks"]] for t in study.target_names}
    return {t: suite_names for t, suite_names in homes.items() if len(suite_names) > 1}


def _may_be_among(target: str, tasks: Sequence[str]) -> bool:
    """Whether `target` is among the tasks, or may be one once names stand for the domains of data (`expand_study`)."""
    module, _, part = target.partition("/")
    family = [t for t in tasks if t.partition("/")[0] == module]
    return (
        target in tasks or any(map(may_expand, family)) or (bool(family) and part in ("", "*") and module not in tasks)
    )


def _too_few_cells(study: Study) -> Iterator[tuple[tuple[str | int, ...], str]]:
    cells = len(study.target_names) * study.search.seeds
    if study.search.halving and cells < 2:
        rule = "halving compares configurations on the cells finished so far, so each must have at least two cells"
        yield ("search", "halving"), f"{rule}, targets x search seeds, but has {cells}"


def _too_many_cells(study: Study) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The problem of a study that nobody could train, and whose plan alone would take minutes."""
    search, targets = study.search, len(study.target_names)
    arms, searched_arms = (
        len(study.variants) * len(study.settings_grid),
        len(study.variants) * len(study.searched_settings),
    )
    confirmed, in_search = arms * targets * study.report.seeds, searched_arms * targets * search.trials * search.seeds
    if confirmed + in_search <= _MOST_CELLS:
        return
    factors = [
        (("report", "seeds"), study.report.seeds, "report seeds"),
        (("search", "trials"), search.trials if searched_arms else 0, "trials"),
        (("search", "seeds"), search.seeds if searched_arms else 0, "search seeds"),
        (("methods",), len(study.variants), "methods"),
        (("targets",) if study.targets else ("tasks",) if study.tasks else ("suite",), targets, "targets"),
        (("shots",) if study.shots else ("fraction",), len(study.settings_grid), "settings"),
    ]
    loc, _, _ = max(factors, key=lambda part: part[1])
    product = ", ".join(f"{n} {what}" for _, n, what in factors if n > 1)
    rule = f"a study must ask for at most {_MOST_CELLS} trainings"
    yield loc, f"{rule}, but this one asks for {confirmed + in_search}: {product}"


def _refusal(rule: Parameter, value: Any) -> str:
    try:
        rule.check(value)
    except ValueError as e:
        return str(e)
    return ""


# ---------------------------------------------------------------------------------------------------------------------
# data sets with domains


def expand_study(study: Study, root: Path | None) -> Study:
    """The study with every task under its own name, where it names data sets that stand for one task per domain.

    ``tasks: [reviews]`` of a user's own data with a column `domain` becomes reviews/books, reviews/dvd, ...; so does
    ``NAME/*`` of any data set, in the study or its suite. ``targets: [reviews]`` are all of its domains in the study.
    An expanded study stands for itself. Data that cannot be read are left to the plan, which lists all that is wrong.

    Args:
        root: the data root.

    Raises:
        ConfigError: a target, or an option of a task, that names none; a task that is named twice; ``NAME/*`` of data
            without domains; too many domains to be meant.
    """
    if study.missing_data == "leave_out":
        study = _without_absent(study, root)
    names = study.task_names
    try:
        tasks_of = expand(names, root=root, task_options=study.task_options)
    except ConfigError as e:
        raise study.origin.with_places(e) from None
    tasks = tuple(task for name in names for task in tasks_of[name])
    asked_targets = study.targets or (() if study.tasks or not study.suite_names else study.target_names)
    problems: list[tuple[tuple[str | int, ...], str]] = []
    targets: list[str] = []
    for i, target in enumerate(asked_targets):
        if target in study.absent:
            targets.append(target)
            continue
        module = target.partition("/")[0]
        expanded = tasks_of.get(target) or tuple(
            t for t in tasks if t == target or (target in (module, f"{module}/*") and t.startswith(f"{module}/"))
        )
        if not expanded and (module not in tasks or _can_be_read(module, root, study)):
            message = f"the target {target!r} is not among the tasks{did_you_mean(target, tasks)}"
            problems.append((("targets", i), message))
        targets += expanded or (target,)
    unseen: list[str] = []
    for i, name in enumerate(study.unseen):
        among = targets or tasks
        expanded = tuple(t for t in among if t == name or t.startswith(f"{name.removesuffix('/*')}/"))
        if not expanded:
            problems.append((("unseen", i), f"{name!r} is not among the targets{did_you_mean(name, among)}"))
        unseen += expanded
    if unseen and not set(tasks) - set(unseen):
        problems.append((("unseen",), "all tasks are unseen, so there is none to transfer from"))
    for key, values in (("tasks", tasks), ("targets", targets), ("unseen", unseen)):
        if repeated := [n for n, count in Counter(values).items() if count > 1]:
            problems.append(((key,), f"must name everything once, but {repeated[0]!r} is there twice"))
    for name in study.task_options:
        modules = dict.fromkeys(t.partition("/")[0] for t in tasks)
        if "/" in name:
            whole = name.partition("/")[0]
            problems.append(
                (("task_options", name), f"options are given to a data set, {whole}, and hold for all its parts")
            )
        elif name not in modules and not is_built_in(name) and not (root is not None and is_folder(root / name)):
            problems.append((("task_options", name), unknown_name("task", name, list(modules))))
    new = study
    if tasks != names or tuple(targets) != asked_targets or tuple(unseen) != study.unseen:
        new = study.model_copy(update={"tasks": tasks, "targets": tuple(targets), "unseen": tuple(unseen)})
    problems += [*_too_few_cells(new), *_too_many_cells(new)]
    if problems:
        raise study.origin.with_places(ConfigError(Problem(message, dotted(loc)) for loc, message in problems))
    return _without_unreached(new, root) if new.missing_data == "leave_out" else new


def _without_absent(study: Study, root: Path | None) -> Study:
    """The study without the tasks whose data are not at hand; all of it where no target or no other task is left."""
    absent = [*study.absent]
    for name in study.task_names:
        options = {k: v for k, v in study.task_options.get(name.partition("/")[0], {}).items() if k != "without"}
        try:
            load(name.removesuffix("/*"), root=root, options=options)
        except PreflightError:
            absent.append(name)
        except UserError:  # what else is wrong the plan says
            continue
    task_options = {  # texts of a task that is not there are in no other
        task: {k: [t for t in v if t not in absent] if k == "without" else v for k, v in options.items()}
        for task, options in study.task_options.items()
    }
    new = study.model_copy(update={"absent": tuple(absent), "task_options": task_options})
    return new if new.target_names else study


def _load(study: Study, name: str, root: Path | None) -> Task:
    return load(name, root=root, options=study.task_options.get(name.partition("/")[0]))


def _without_unreached(study: Study, root: Path | None) -> Study:
    """The study without the settings for which its data are too few; all of it where nothing would be left."""
    sizes: dict[str, int] = {}
    for name in study.task_names:
        try:
            n = len(_load(study, name, root).splits["train"])
        except UserError:  # the plan says what is wrong with it
            return study
        sizes[name] = min(n, study.limits_of(name).get("train", n))
    return without_unreached(study, sizes)


def without_unreached(study: Study, sizes: Mapping[str, int]) -> Study:
    """The study without the settings for which so many data are too few; all of it where nothing would be left.

    Args:
        sizes: task -> its training examples after the study's limits.
    """
    unreached: dict[str, dict[str, str]] = {t: dict(why) for t, why in study.unreached.items()}
    for target in study.target_names:
        for setting in study.settings_of(target):
            if why := _too_few(study, target, setting, sizes):
                unreached.setdefault(target, {})[str(setting)] = why
    of_variants: dict[str, dict[str, dict[str, str]]] = {}
    for variant in (v for v in study.variants if catalogue().variant(v).pooled):
        for target in study.target_names:
            for setting in study.settings_of(target):
                together = sum(examples_of(study, target, setting, sizes).values())
                if str(setting) not in unreached.get(target, {}) and together > sizes[target]:
                    why = f"{target} has {sizes[target]:,} training examples of {together:,}"
                    of_variants.setdefault(variant, {}).setdefault(target, {})[str(setting)] = why
    new = study.model_copy(update={"unreached": unreached, "unreached_of": of_variants})
    return new if new.arms() else study


def examples_of(study: Study, target: str, setting: Setting, sizes: Mapping[str, int]) -> dict[str, int]:
    """task -> the training examples that it has in a setting, where the data reach.

    Args:
        sizes: task -> its training examples after the study's limits.
    """
    n = {name: sizes[name] for name in study.tasks_with(target)}
    for name in n if study.scope == "suite" else (target,):
        if setting.shots is not None:
            n[name] = setting.shots
        elif setting.fraction is not None:
            n[name] = max(1, round(n[name] * setting.fraction))
    if setting.ratio is not None:
        n |= {name: round(setting.ratio * n[target]) for name in n if name != target}
    return n


def _too_few(study: Study, target: str, setting: Setting, sizes: Mapping[str, int]) -> str:
    """Which task has too few training examples for a setting, and how many; empty where all have enough.

    Args:
        sizes: task -> its training examples after the study's limits.
    """
    if setting.shots is None:
        return ""
    together = study.tasks_with(target)
    needed = dict.fromkeys(together if study.scope == "suite" else (target,), setting.shots)
    if setting.ratio is not None:
        needed |= {name: round(setting.ratio * setting.shots) for name in together if name != target}
    return listed(
        f"{name} has {sizes[name]:,} training examples of {n:,}" for name, n in needed.items() if n > sizes[name]
    )


def _can_be_read(name: str, root: Path | None, study: Study) -> bool:
    try:
        domains(name, root=root, options=study.task_options.get(name))
    except UserError:
        return False
    return True
