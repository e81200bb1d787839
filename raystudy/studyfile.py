"""The study file: what a user asks for, checked whole against the catalogue before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from raystudy.catalogue import Parameter, catalogue, suites
from raystudy.errors import ConfigError, Problem, did_you_mean, unknown
from raystudy.spec import Arm, Numerics, Setting
from raystudy.yamlfile import Strict, dotted, lines_of, load_yaml, nearest_line, plain, problems_of

__all__ = ["Limits", "ReportPlan", "SearchPlan", "Study", "read_study"]


def _plain_name(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value):
        raise ValueError("must be a plain name (letters, digits, '-', '_', '.'), no path")
    return value


def _listed(value: Any) -> Any:
    """One value where a list is meant: ``shots: 20`` reads as ``shots: [20]``."""
    return value if isinstance(value, list | tuple) or value is None else [value]


PlainName = Annotated[str, BeforeValidator(_plain_name)]
Positive = Annotated[int, Field(strict=True, gt=0)]
Count = Annotated[int, Field(strict=True, ge=0)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Limits(Strict):
    """The most examples per task that a study reads; a draw by the study, the same for every method and seed."""

    train: Positive | None = None
    dev: Positive | None = None
    test: Positive | None = None


class SearchPlan(Strict):
    """How hyper-parameters are searched (on dev only, with seeds of their own).

    Attributes:
        trials: configurations per arm; the first is always the paper's. 0 = no search: the paper's settings.
        shots, fraction: search only in these settings (default: in every setting of the study).
        elsewhere: what settings without a search use: the paper's settings or the winner of the (largest) searched one.
        generation: configurations asked at once; the sampler learns between generations.
        halving: keep ``ceil(n / halving)`` configurations of a generation at each rung of finished cells; 0 = keep all.
    """

    trials: Count = 0
    seeds: Positive = 1
    shots: Annotated[tuple[Positive, ...], BeforeValidator(_listed)] = ()
    fraction: Annotated[tuple[Fraction, ...], BeforeValidator(_listed)] = ()
    elsewhere: Literal["paper", "winner"] = "paper"
    sampler: Literal["tpe", "random"] = "tpe"
    generation: Positive = 4
    halving: Literal[0, 2, 3, 4] = 0
    select: Literal["per_target", "suite"] = "per_target"


class ReportPlan(Strict):
    """How results are confirmed and compared: fresh seeds, the row that others are tested against, thresholds."""

    seeds: Positive = 5
    baseline: str = "single_task"
    rope: Annotated[float, Field(ge=0, le=1)] = 0.01


class Study(Strict):
    """A study file. Every key, its type and its rule; unknown keys are refused."""

    name: PlainName
    about: str = ""
    plm: str = "minilm"
    revision: str | None = None
    data_root: str | None = None
    suite: str | None = None
    tasks: Names = ()
    targets: Names = ()
    shots: Annotated[tuple[Positive, ...], BeforeValidator(_listed)] = ()
    fraction: Annotated[tuple[Fraction, ...], BeforeValidator(_listed)] = ()
    dev: Literal["like_train", "all"] = "like_train"
    length: Annotated[int, Field(strict=True, ge=8)] | None = None  # below that, special tokens alone fill it
    limits: Limits = Limits()
    source_limits: Limits = Limits()
    task_options: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    methods: tuple[str | Mapping[str, Mapping[str, Any]], ...]
    settings: Mapping[str, Any] = Field(default_factory=dict)
    search: SearchPlan = SearchPlan()
    report: ReportPlan = ReportPlan()
    numerics: Numerics = Numerics()

    @property
    def chosen(self) -> dict[str, dict[str, Any]]:
        """variant -> its own settings, in the study's order."""
        out: dict[str, dict[str, Any]] = {}
        for entry in self.methods:
            pairs = {entry: {}} if isinstance(entry, str) else {k: dict(v) for k, v in entry.items()}
            out.update(pairs)
        return out

    def fixed(self, variant: str) -> dict[str, Any]:
        """What the study itself sets for `variant`: shared ``settings`` it knows, then its own entry."""
        rules = catalogue().of(variant)
        fixes = catalogue().variant(variant).fixes
        shared = {k: v for k, v in self.settings.items() if k in rules and k not in fixes}
        return {**shared, **self.chosen[variant]}

    @property
    def task_names(self) -> tuple[str, ...]:
        return self.tasks or tuple(suites()[self.suite]["tasks"] if self.suite else ())

    @property
    def target_names(self) -> tuple[str, ...]:
        if self.targets:
            return self.targets
        return tuple(suites()[self.suite]["targets"]) if self.suite and not self.tasks else self.task_names

    @property
    def settings_grid(self) -> tuple[Setting, ...]:
        """The data settings of the study: each k, each fraction, or all of the training data."""
        grid = [Setting(shots=k) for k in self.shots] + [Setting(fraction=f) for f in self.fraction]
        return tuple(grid) or (Setting(),)

    @property
    def searched_settings(self) -> tuple[Setting, ...]:
        if not self.search.trials:
            return ()
        named = [Setting(shots=k) for k in self.search.shots] + [Setting(fraction=f) for f in self.search.fraction]
        return tuple(named) or self.settings_grid

    def arms(self) -> list[Arm]:
        """Every variant in every setting, in the study's order."""
        return [Arm(v, s) for s in self.settings_grid for v in self.chosen]


def read_study(path: Path, overrides: Sequence[str] = ()) -> Study:
    """Read and check a study file.

    Args:
        overrides: ``a.b=value`` pairs from the command line, values in YAML.

    Raises:
        ConfigError: every problem of the file and of the overrides at once, each with file and line.
    """
    tree = load_yaml(path)
    lines = dict(lines_of(tree))
    problems: list[Problem] = []
    asked: dict[str, Any] = plain(tree)
    for text in overrides:
        try:
            loc, value = _override(text)
        except ConfigError as e:
            problems.extend(e.problems)
            continue
        here = asked
        for part in loc[:-1]:
            child = here.setdefault(part, {})
            if not isinstance(child, dict):
                child = here[part] = {}
            here = child
        here[loc[-1]] = value
        lines.pop(tuple(loc), None)

    def problem(loc: Sequence[str | int], message: str) -> Problem:
        return Problem(message, dotted(loc), str(path), nearest_line(lines, loc))

    try:
        study: Study | None = Study.model_validate(asked)
    except ValidationError as e:
        problems += [problem(_user_loc(loc), m) for loc, m in problems_of(Study, e)]
        study = None
    problems += [problem(loc, m) for loc, m in _meaning(study, asked)]
    if problems or study is None:
        raise ConfigError(dict.fromkeys(problems))
    return study


def _user_loc(loc: Sequence[str | int]) -> tuple[str | int, ...]:
    """Pydantic names the branch of a union in the path; the user's file has no such key."""
    return tuple(p for p in loc if p not in ("str", "mapping[str,mapping[str,any]]"))


def _override(text: str) -> tuple[list[str], Any]:
    key, sep, value = text.partition("=")
    if not sep or not key.strip():
        raise ConfigError(Problem(f"must look like a.b=value, but got {text!r}", "--set"))
    try:
        return key.strip().split("."), plain(YAML(typ="rt", pure=True).load(value))
    except (YAMLError, ValueError):
        raise ConfigError(Problem(f"the value of {key!r} is not valid YAML: {value!r}", "--set")) from None


def _meaning(study: Study | None, asked: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What types alone cannot say: names that must exist, settings in range, a baseline that takes part.

    Works from the plain tree where it can, so that these problems are listed beside wrong types elsewhere.
    """
    cat = catalogue()
    methods = asked.get("methods")
    chosen: dict[str, tuple[tuple[str | int, ...], Mapping[str, Any]]] = {}
    for i, entry in enumerate(methods if isinstance(methods, list) else []):
        pairs = {entry: {}} if isinstance(entry, str) else entry if isinstance(entry, dict) else {}
        for name, own in pairs.items():
            loc: tuple[str | int, ...] = ("methods", i) if isinstance(entry, str) else ("methods", i, name)
            if name not in cat.variants:
                yield loc, unknown("method", name, list(cat.variants))
            elif name in chosen:
                yield loc, f"{name!r} is listed twice"
            else:
                chosen[name] = (loc, own if isinstance(own, dict) else {})
    if isinstance(methods, list) and not methods:
        yield ("methods",), "must name at least one method"
    shared = asked.get("settings")
    for key, value in (shared if isinstance(shared, dict) else {}).items():
        rules = [cat.of(v)[key] for v in chosen if key in cat.of(v)]
        if not rules and chosen:
            known = sorted({k for v in chosen for k in cat.of(v)})
            yield ("settings", key), f"no method of this study has a setting {key!r}{did_you_mean(key, known)}"
        for message in dict.fromkeys(m for rule in rules if (m := _refusal(rule, value))):
            yield ("settings", key), f"{key} {message}"
    for name, (loc, own) in chosen.items():
        try:
            cat.resolve(name, own)
        except ConfigError as e:
            for p in e.problems:
                yield (*loc, p.path), p.message
        copied = cat.variant(name).copies
        if copied and copied not in chosen:
            yield loc, f"{name} copies the settings of {copied}, which must be in the study too"
    if study is None:
        return
    if study.suite is not None and study.suite not in suites():
        yield ("suite",), unknown("suite", study.suite, list(suites()))
        return
    if not study.task_names:
        yield ("tasks",), "a study needs a suite or at least one task"
    if len(set(study.task_names)) < len(study.task_names):
        yield ("tasks",), "a task is listed twice"
    for i, target in enumerate(study.targets):
        if target not in study.task_names:
            yield (
                ("targets", i),
                f"the target {target!r} is not among the tasks{did_you_mean(target, study.task_names)}",
            )
    if chosen and study.report.baseline not in chosen:
        yield (
            ("report", "baseline"),
            f"the baseline {study.report.baseline!r} is not among the methods"
            + (did_you_mean(study.report.baseline, list(chosen)) or f": {', '.join(chosen)}"),
        )
    searched: list[tuple[str, Sequence[float], Sequence[float]]] = [
        ("shots", study.search.shots, study.shots),
        ("fraction", study.search.fraction, study.fraction),
    ]
    for key, named, all_ in searched:
        for n, s in enumerate(named):
            if s not in all_:
                yield ("search", key, n), f"the study has no setting {key} = {s}; it has {list(all_)}"
    if study.search.halving and len(study.target_names) * study.search.seeds < 2:
        rule = "halving compares configurations on the cells finished so far, so it needs at least two of them each"
        yield ("search", "halving"), f"{rule}: at least two cells, targets x search seeds"


def _refusal(rule: Parameter, value: Any) -> str:
    try:
        rule.check(value)
    except ValueError as e:
        return str(e)
    return ""
