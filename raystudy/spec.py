"""What a user asks for and what a run leaves behind: Study, Arm, Spec, Record.

`Study` is the study file, validated against the YAML files in ``search_spaces/`` (the only source of variants and
parameter rules). An `Arm` is one variant in one setting, on all targets of the study. A `Spec` is one training: exactly
one target, setting, draw and seed; its `id` is a digest of its content, so the same question is never paid for twice.
A `Record` is what one Spec produced; records are the only truth, everything else is rebuilt from them.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from raystudy.errors import ConfigError, Problem, did_you_mean, unknown

__all__ = [
    "SCHEMA",
    "Arm",
    "Catalogue",
    "Numerics",
    "Parameter",
    "Places",
    "Record",
    "Setting",
    "Spec",
    "Study",
    "Variant",
    "canonical",
    "catalogue",
    "digest",
    "read_study",
    "space_folder",
    "suites",
]

SCHEMA = 1
Value = bool | int | float | str
M = TypeVar("M", bound=BaseModel)


def canonical(value: Any) -> str:
    """JSON with one spelling per value: sorted keys, no spaces, no NaN. What is hashed and compared is this text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any, size: int = 8) -> str:
    """A hexadecimal digest of ``canonical(value)``, 2 * `size` characters."""
    return hashlib.blake2b(canonical(value).encode(), digest_size=size).hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# search_spaces/*.yaml: variants and parameters


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Search(_Strict):
    """Where a parameter is searched: an interval (`low`..`high`, optionally log-uniform or in steps) or `choices`."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[Value, ...] = ()
    enqueue: tuple[Value, ...] = ()


class Parameter(_Strict):
    """One parameter of a method, as a file in ``search_spaces/`` declares it.

    Attributes:
        reads: the stages whose computation depends on it (``constants``, ``transfer``, ``adapt``).
        paper: the paper's value and our default; `where` says where it is printed.
        low, high: the legal interval, closed unless `exclusive` names the end.
        choices: the legal values, for a parameter of type ``choice``.
        when: only in effect (and only searched) if these other parameters have one of these values.
        search: the range that a study explores; None = never searched.
    """

    symbol: str = ""
    about: str
    type: Literal["float", "int", "bool", "choice"]
    reads: tuple[Literal["constants", "transfer", "adapt"], ...]
    paper: Value
    where: str = ""
    low: float | None = None
    high: float | None = None
    exclusive: tuple[Literal["low", "high"], ...] = ()
    choices: tuple[Value, ...] = ()
    when: Mapping[str, tuple[Value, ...]] = Field(default_factory=dict)
    search: Search | None = None

    def check(self, value: Any) -> Value:
        """`value` in this parameter's own type.

        Raises:
            ValueError: wrong type or out of range; the message states the rule and the value.
        """
        if self.type == "bool":
            if not isinstance(value, bool):
                raise ValueError(f"must be true or false, but got {value!r}")
            return value
        if self.type == "choice":
            if value not in self.choices or isinstance(value, bool):
                raise ValueError(
                    f"must be one of {', '.join(map(str, self.choices))}, but got {value!r}"
                    + did_you_mean(value, [str(c) for c in self.choices])
                )
            return value  # type: ignore[no-any-return]
        if isinstance(value, bool) or not isinstance(value, int | float):
            hint = " (in YAML 1.2 a number has no quotes)" if isinstance(value, str) else ""
            raise ValueError(f"must be a number, but got {value!r}{hint}")
        if self.type == "int" and value != int(value):
            raise ValueError(f"must be a whole number, but got {value!r}")
        if not math.isfinite(value):
            raise ValueError(f"must be finite, but got {value!r}")
        low_ok = self.low is None or (value > self.low if "low" in self.exclusive else value >= self.low)
        high_ok = self.high is None or (value < self.high if "high" in self.exclusive else value <= self.high)
        if not (low_ok and high_ok):
            raise ValueError(f"must be in {self.interval}, but got {value!r}")
        return int(value) if self.type == "int" else float(value)

    @property
    def interval(self) -> str:
        left = "(" if "low" in self.exclusive or self.low is None else "["
        right = ")" if "high" in self.exclusive or self.high is None else "]"
        low = "-inf" if self.low is None else f"{self.low:g}"
        high = "inf" if self.high is None else f"{self.high:g}"
        return f"{left}{low}, {high}{right}"


class Variant(_Strict):
    """One named way to use a method: its fixed settings, where the paper defines it, and what the paper's rows call it.

    `fixes` are settings that define the variant: a study may not override or search them. `role` is ``floor`` for
    reference rows without transfer or training, ``control`` for a variant that copies another's winner.
    """

    title: str
    about: str
    paper: str = ""
    section: str = ""
    rows: tuple[str, ...] = ()
    fixes: Mapping[str, Value] = Field(default_factory=dict)
    role: Literal["method", "baseline", "control", "floor"] = "method"
    copies: str = ""

    id: str = ""
    method: str = ""


class _Space(_Strict):
    method: str
    title: str
    parameters: Mapping[str, Parameter] = Field(default_factory=dict)
    uses: tuple[str, ...] = ()
    variants: Mapping[str, Variant]


class _Shared(_Strict):
    shared: Mapping[str, Mapping[str, Parameter]]


@dataclass(frozen=True)
class Catalogue:
    """All variants and parameters: what ``search_spaces/*.yaml`` says, read once."""

    variants: Mapping[str, Variant]
    parameters: Mapping[str, Mapping[str, Parameter]]  # method -> name -> rule

    def variant(self, name: str) -> Variant:
        if name not in self.variants:
            raise ConfigError(unknown("method", name, list(self.variants)))
        return self.variants[name]

    def of(self, variant: str) -> Mapping[str, Parameter]:
        """The parameters of the method behind `variant`."""
        return self.parameters[self.variant(variant).method]

    def defaults(self, variant: str) -> dict[str, Value]:
        """The paper's settings of a variant: every parameter at the paper's value, then what the variant fixes."""
        rules = self.of(variant)
        values = {name: p.paper for name, p in rules.items()} | dict(self.variant(variant).fixes)
        return {name: rules[name].check(value) for name, value in values.items()}

    def resolve(self, variant: str, *layers: Mapping[str, Any], path: str = "") -> dict[str, Value]:
        """The complete settings: the paper's, overridden by each of `layers` in turn.

        Raises:
            ConfigError: all unknown names, wrong types, values out of range and overrides of what the variant fixes.
        """
        rules, v, values, problems = self.of(variant), self.variant(variant), self.defaults(variant), []
        for layer in layers:
            for name, value in layer.items():
                at = f"{path}.{name}" if path else name
                if name not in rules:
                    problems.append(Problem(f"unknown setting {name!r} of {variant}{did_you_mean(name, rules)}", at))
                    continue
                try:
                    values[name] = rules[name].check(value)
                except ValueError as e:
                    problems.append(Problem(f"{name} {e}", at))
                    continue
                if name in v.fixes and values[name] != v.fixes[name]:
                    problems.append(
                        Problem(f"{variant} is defined by {name} = {v.fixes[name]!r}; it cannot be {value!r}", at)
                    )
        if problems:
            raise ConfigError(problems)
        return values

    def searched(self, variant: str, fixed: Mapping[str, Any]) -> dict[str, Parameter]:
        """The parameters that a search of `variant` may move: with a search range, neither fixed nor out of effect."""
        given = {**fixed, **self.variant(variant).fixes}
        return {
            name: p
            for name, p in self.of(variant).items()
            if p.search is not None
            and name not in given
            and all(given.get(other, allowed[0]) in allowed for other, allowed in p.when.items())
        }


@lru_cache
def space_folder() -> Path:
    """``search_spaces/``: beside the package in a checkout, inside it in an installed wheel."""
    inside = Path(__file__).parent / "search_spaces"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "search_spaces"


def load_yaml(path: Path) -> CommentedMap:
    """A YAML 1.2 mapping with the line of every key.

    Raises:
        ConfigError: not readable, not UTF-8, not YAML, a repeated key, or not a mapping; with the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as e:
        raise ConfigError(Problem(f"is not UTF-8 text (byte {e.start})", file=str(path))) from None
    except OSError as e:
        raise ConfigError(Problem(f"cannot be read: {e.strerror or e}", file=str(path))) from None
    try:
        tree = YAML(typ="rt", pure=True).load(text)
    except YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        line = mark.line + 1 if mark is not None else None
        reason = str(getattr(e, "problem", None) or str(e).splitlines()[0])
        raise ConfigError(Problem(f"is not valid YAML: {reason}", file=str(path), line=line)) from None
    except ValueError as e:  # ruamel constructs numbers and dates eagerly: 0o9, 2001-99-99
        raise ConfigError(Problem(f"is not valid YAML: {e}", file=str(path))) from None
    if not isinstance(tree, CommentedMap):
        raise ConfigError(Problem("must be a mapping of keys to values", file=str(path), line=1))
    return tree


@lru_cache
def catalogue() -> Catalogue:
    """Read ``search_spaces/*.yaml``. These files are ours: an error in them is a bug, so it names file and line."""
    shared: dict[str, Mapping[str, Parameter]] = {}
    variants: dict[str, Variant] = {}
    parameters: dict[str, Mapping[str, Parameter]] = {}
    files = sorted(space_folder().glob("*.yaml"), key=lambda p: (p.name != "shared.yaml", p.name))
    for path in files:
        tree = load_yaml(path)
        if path.name == "shared.yaml":
            shared = dict(_validate(_Shared, tree, path).shared)
            continue
        space = _validate(_Space, tree, path)
        rules = {n: p for group in space.uses for n, p in shared[group].items()} | dict(space.parameters)
        parameters[space.method] = rules
        for name, v in space.variants.items():
            variants[name] = v.model_copy(update={"id": name, "method": space.method})
    return Catalogue(variants, parameters)


@lru_cache
def suites() -> Mapping[str, Mapping[str, Any]]:
    """``search_spaces/suites/*.yaml``: name -> {about, tasks, targets}."""
    found = {}
    for path in sorted((space_folder() / "suites").glob("*.yaml")):
        found[path.stem] = _validate(_SuiteFile, load_yaml(path), path).model_dump()
    return found


class _SuiteFile(_Strict):
    about: str
    tasks: tuple[str, ...]
    targets: tuple[str, ...]
    length: int | None = None


# ---------------------------------------------------------------------------------------------------------------------
# the study file


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


class Limits(_Strict):
    """The most examples per task that a study reads; a draw by the study, the same for every method and seed."""

    train: Positive | None = None
    dev: Positive | None = None
    test: Positive | None = None


class SearchPlan(_Strict):
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


class ReportPlan(_Strict):
    """How results are confirmed and compared: fresh seeds, the row that others are tested against, thresholds."""

    seeds: Positive = 5
    baseline: str = "single_task"
    rope: Annotated[float, Field(ge=0, le=1)] = 0.01


class Numerics(_Strict):
    """What changes results in the last digits; part of every Spec's id. `workers`: data-parallel ranks per training."""

    precision: Literal["fp32", "bf16", "fp64"] = "fp32"
    device: Literal["cpu", "cuda"] = "cpu"
    workers: Positive = 1


class Study(_Strict):
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


@dataclass(frozen=True, order=True)
class Setting:
    """How much labelled target data there is: `shots` examples in total, a `fraction` of the train split, or all."""

    shots: int | None = None
    fraction: float | None = None

    def __str__(self) -> str:
        if self.shots is not None:
            return f"k={self.shots}"
        return "all" if self.fraction is None else f"{100 * self.fraction:g}%"


@dataclass(frozen=True)
class Arm:
    """One variant in one setting, on all targets of the study: what one Optuna study searches."""

    variant: str
    setting: Setting

    def __str__(self) -> str:
        return f"{self.variant}@{self.setting}"


def _lines(tree: Any, prefix: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """(path, line) of every key and item below a tree read by `load_yaml`."""
    if isinstance(tree, CommentedMap):
        for key, value in tree.items():
            try:
                yield (*prefix, key), tree.lc.key(key)[0] + 1
            except (KeyError, AttributeError, TypeError):  # merged keys have no place of their own
                pass
            yield from _lines(value, (*prefix, key))
    elif isinstance(tree, CommentedSeq):
        for i, value in enumerate(tree):
            try:
                yield (*prefix, i), tree.lc.item(i)[0] + 1
            except (KeyError, AttributeError, TypeError):
                pass
            yield from _lines(value, (*prefix, i))


def _dotted(loc: Sequence[str | int]) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in loc).lstrip(".")


def _plain(tree: Any) -> Any:
    """A ruamel tree as plain dicts, lists and scalars."""
    if isinstance(tree, Mapping):
        return {str(k): _plain(v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return [_plain(v) for v in tree]
    if isinstance(tree, bool) or tree is None:
        return tree
    for kind in (int, float, str):
        if isinstance(tree, kind):
            return kind(tree)
    return tree


def _known_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys that `model` knows at the parent of `loc`, for the nearest name."""
    here: Any = model
    for part in loc[:-1]:
        if isinstance(here, type) and issubclass(here, BaseModel) and part in here.model_fields:
            here = here.model_fields[str(part)].annotation
            for arg in getattr(here, "__args__", ()):
                if isinstance(arg, type) and issubclass(arg, BaseModel):
                    here = arg
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []


def _pydantic_problems(model: type[BaseModel], error: ValidationError) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for e in error.errors(include_url=False):
        loc = tuple(e["loc"])
        value = e.get("input")
        if e["type"] == "extra_forbidden":
            yield loc, f"unknown key {loc[-1]!r}{did_you_mean(loc[-1], _known_at(model, loc))}"
        elif e["type"] == "missing":
            yield loc, f"the key {loc[-1]!r} is missing"
        else:
            text = str(e["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
            text = text[0].lower() + text[1:] if text else text
            text = {"a valid tuple": "a list", "a valid dictionary": "a mapping"}.get(text, text)
            shown = "a mapping" if isinstance(value, Mapping) else f"{value!r}"
            yield loc, (text if text.startswith("must") else f"must be {text}") + f", but got {shown}"


def _validate(model: type[M], tree: CommentedMap, path: Path) -> M:
    lines = dict(_lines(tree))
    try:
        return model.model_validate(_plain(tree))
    except ValidationError as e:
        raise ConfigError(
            Problem(m, _dotted(loc), str(path), _nearest_line(lines, loc)) for loc, m in _pydantic_problems(model, e)
        ) from None


def _nearest_line(lines: Mapping[tuple[str | int, ...], int], loc: Sequence[str | int]) -> int | None:
    """The line of `loc`, or of the closest key above it (a missing key has no line of its own)."""
    for n in range(len(loc), 0, -1):
        if (line := lines.get(tuple(loc[:n]))) is not None:
            return line
    return None


def read_study(path: Path, overrides: Sequence[str] = ()) -> Study:
    """Read and check a study file.

    Args:
        overrides: ``a.b=value`` pairs from the command line, values in YAML.

    Raises:
        ConfigError: every problem of the file and of the overrides at once, each with file and line.
    """
    tree = load_yaml(path)
    lines = dict(_lines(tree))
    problems: list[Problem] = []
    plain: dict[str, Any] = _plain(tree)
    for text in overrides:
        try:
            loc, value = _override(text)
        except ConfigError as e:
            problems.extend(e.problems)
            continue
        here = plain
        for part in loc[:-1]:
            child = here.setdefault(part, {})
            if not isinstance(child, dict):
                child = here[part] = {}
            here = child
        here[loc[-1]] = value
        lines.pop(tuple(loc), None)

    def problem(loc: Sequence[str | int], message: str) -> Problem:
        return Problem(message, _dotted(loc), str(path), _nearest_line(lines, loc))

    try:
        study: Study | None = Study.model_validate(plain)
    except ValidationError as e:
        problems += [problem(_user_loc(loc), m) for loc, m in _pydantic_problems(Study, e)]
        study = None
    problems += [problem(loc, m) for loc, m in _meaning(study, plain)]
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
        return key.strip().split("."), _plain(YAML(typ="rt", pure=True).load(value))
    except (YAMLError, ValueError):
        raise ConfigError(Problem(f"the value of {key!r} is not valid YAML: {value!r}", "--set")) from None


def _meaning(study: Study | None, plain: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What types alone cannot say: names that must exist, settings in range, a baseline that takes part.

    Works from the plain tree where it can, so that these problems are listed beside wrong types elsewhere.
    """
    cat = catalogue()
    methods = plain.get("methods")
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
    shared = plain.get("settings")
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


# ---------------------------------------------------------------------------------------------------------------------
# one training and what it leaves


@dataclass(frozen=True)
class Places:
    """Where a machine keeps what a Spec names. Never part of an id: the digests in the Spec say what must be there."""

    data_root: str | None = None
    plm: str = "minilm"
    revision: str | None = None
    shared: str | None = None  # stage store and mid-stage checkpoints


@dataclass(frozen=True)
class Spec:
    """One training of one variant for one target in one setting with one seed; gives exactly one `Record`.

    Attributes:
        phase: ``search`` (judged on dev only) or ``confirm`` (dev and test).
        settings: the complete, validated settings of the method.
        suite: the tasks that take part, the target among them, in the study's order.
        data: task -> digest of the task after `limits`; a changed file is another question.
        plm: the model's name; `plm_digest` covers its weights, tokenizer and configuration.
    """

    phase: Literal["search", "confirm"]
    variant: str
    method: str
    settings: Mapping[str, Value]
    suite: tuple[str, ...]
    target: str
    setting: Setting
    seed: int
    plm: str
    plm_digest: str
    data: Mapping[str, str]
    limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # task -> split -> at most
    task_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    dev: Literal["like_train", "all"] = "like_train"
    length: int | None = None
    numerics: Numerics = Numerics()
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        out = {f.name: getattr(self, f.name) for f in fields(self)}
        out["setting"] = asdict(self.setting)
        out["numerics"] = self.numerics.model_dump()
        out["suite"] = list(self.suite)
        return json.loads(canonical(out))  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Spec:
        kept = dict(data)
        kept["setting"] = Setting(**kept["setting"])
        kept["numerics"] = Numerics(**kept["numerics"])
        kept["suite"] = tuple(kept["suite"])
        return cls(**kept)

    @property
    def id(self) -> str:
        return digest(self.to_json())

    @property
    def arm(self) -> Arm:
        return Arm(self.variant, self.setting)

    def __str__(self) -> str:
        return f"{self.variant} {self.target} {self.setting} seed {self.seed} ({self.phase})"


@dataclass(frozen=True)
class Record:
    """What one Spec produced. A failed cell is a Record too, with its error and no metrics.

    Attributes:
        metrics: split -> metric -> value in [0, 1] (correlations in [-1, 1]); ``test`` only in the confirm phase.
        counts: ``n_train``, ``n_dev``, ``n_test`` of the target and the updates of every stage that made the weights.
        updates: stage -> optimizer updates behind these weights, whether run here or answered from the stage store.
        stages: stage -> ``ran`` | ``stored``.
        seconds: phase of the cell -> seconds; the only part that differs between repeats.
        facts: what the method wants to say (spread of scores, learned weights), JSON values.
        made_by: provenance: code digest, versions. Never part of a comparison.
    """

    spec: Spec
    status: Literal["done", "failed"]
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    updates: Mapping[str, int] = field(default_factory=dict)
    stages: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    made_by: Mapping[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def id(self) -> str:
        return self.spec.id

    def to_json(self) -> dict[str, Any]:
        out = {f.name: getattr(self, f.name) for f in fields(self)}
        out["spec"] = self.spec.to_json()
        return json.loads(canonical(out))  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        return cls(**{**data, "spec": Spec.from_json(data["spec"])})
