"""The catalogue of methods: every variant of every method, and every parameter with its rule.

It is read once from ``search_spaces/*.yaml``, and from the file beside each method of a user's own that the open study
names. These files are the only source of names, defaults, legal ranges and search ranges: validation, `methods`, and
search read nothing else. A variant is one named way to use a method.

A variant may carry settings in its name: ``meta_dtl[lambda=0.3]`` is `meta_dtl` with lambda = 0.3 as part of its
definition. So one study compares several settings of a method as rows of one table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from ruamel.yaml.comments import CommentedMap

from raystudy.errors import ConfigError, Problem, did_you_mean, quoted, unknown_name
from raystudy.own_modules import OwnModule, in_use
from raystudy.wording import listed, spelt
from raystudy.yamlfile import (
    Strict,
    dotted,
    lines_of,
    load_yaml,
    nearest_line,
    odd_values,
    parse_yaml,
    plain,
    validate,
)

__all__ = [
    "Catalogue",
    "Parameter",
    "Reading",
    "SearchRange",
    "Value",
    "Variant",
    "catalogue",
    "class_map",
    "layers",
    "out_of_effect",
    "own_variants",
    "problems_of_own_space",
    "space_folder",
    "suites",
    "task_weights",
]

Value = bool | int | float | str


def _layers(value: Any) -> str:
    """The canonical spelling of a choice of layers: whole numbers, or fractions where one has a point or a slash.

    Raises:
        ValueError: neither, or out of range, or one twice.
    """
    rule = "must be layers counted from 1 (4 8 12) or fractions of the depth in (0, 1] (1/3 2/3 1)"
    parts = value.split() if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else [value]
    words = [str(p) for p in parts]
    if not words or not all(re.fullmatch(r"\d{1,4}(\.\d{1,9}|/\d{1,4})?", w) for w in words):
        raise ValueError(f"{rule}, but got {quoted(value)}")
    if not any("." in w or "/" in w for w in words):
        numbers = sorted({int(w) for w in words})
        if numbers[0] < 1 or len(numbers) < len(words):
            raise ValueError(f"{rule}, each once, but got {quoted(value)}")
        return " ".join(map(str, numbers))
    try:
        parts_of = sorted({Fraction(w) for w in words})
    except ZeroDivisionError:
        raise ValueError(f"{rule}, but got {quoted(value)}") from None
    if not 0 < parts_of[0] <= parts_of[-1] <= 1 or len(parts_of) < len(words):
        raise ValueError(f"{rule}, each once, but got {quoted(value)}")
    return "1.0" if parts_of == [Fraction(1)] else " ".join(map(str, parts_of))


def layers(value: str, depth: int) -> tuple[int, ...]:
    """The layers, from 1 to `depth`, that a value of type ``layers`` means: a fraction f is layer ceil(f depth).

    Raises:
        ValueError: a layer beyond the depth, or two fractions that are the same layer.
    """
    words = value.split()
    are_numbers = not any("." in w or "/" in w for w in words)
    numbers = tuple(int(w) if are_numbers else math.ceil(Fraction(w) * depth) for w in words)
    if numbers[-1] > depth:
        raise ValueError(f"must be at most {depth}, the depth of the model, but is {value!r}")
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"must be different layers, but {value!r} of {depth} are {', '.join(map(str, numbers))}")
    return numbers


def class_map(value: Any) -> dict[str, tuple[str, ...]]:
    """A value of type ``map`` as class -> the classes that it stands for, by name; empty for an empty text.

    Raises:
        ValueError: it is neither a mapping nor a text of this form, or names a class twice.
    """
    rule = "must map classes to one or several classes (bad > 1 | 2; good > 4 | 5, or a mapping)"
    if isinstance(value, Mapping):
        pairs = [(str(k), [v] if isinstance(v, str | int | float) else v) for k, v in value.items()]
    elif isinstance(value, str):
        halves = [part.partition(">") for part in value.split(";") if part.strip()]
        pairs = [(k, v.split("|")) for k, _, v in halves]
    else:
        raise ValueError(f"{rule}, but got {quoted(value)}")
    classes_of: dict[str, tuple[str, ...]] = {}
    for key, classes in pairs:
        names = tuple(str(c).strip() for c in classes) if isinstance(classes, list | tuple) else ()
        key = key.strip()
        if not (key and names and all(names)) or any(c in text for text in (key, *names) for c in ">;|"):
            raise ValueError(f"{rule}, but got {quoted(value)}")
        if key in classes_of or len(set(names)) < len(names):
            raise ValueError(f"{rule}, each once, but got {quoted(value)}")
        classes_of[key] = names
    return classes_of


def task_weights(value: Any) -> dict[str, float]:
    """What a value of type ``weights`` says: task -> its weight, by name; nothing for the empty text.

    Raises:
        ValueError: it is neither a mapping nor a text of this form, or the weights are negative or do not sum to one.
    """
    rule = "must give tasks weights that sum to one (a > 0.25; b > 0.75, or a mapping)"
    try:
        weights = {name: float(w) for name, (w,) in class_map(value).items()}
    except ValueError:
        raise ValueError(f"{rule}, but got {quoted(value)}") from None
    if weights and not (all(w >= 0 for w in weights.values()) and abs(sum(weights.values()) - 1) <= 1e-6):
        raise ValueError(f"{rule}, none of them negative, but got {quoted(value)}")
    return weights


class SearchRange(Strict):
    """The values that a search tries: an interval (`low`..`high`, optionally log-uniform or in steps) or `choices`.

    Values in `enqueue` are tried right after trial 0, before the sampler chooses. With a `when`, the parameter is moved
    only in configurations in which each of these other settings has one of these values; else it stays as it is.
    """

    low: Annotated[float, Field(strict=True)] | None = None
    high: Annotated[float, Field(strict=True)] | None = None
    log: Annotated[bool, Field(strict=True)] = False
    step: Annotated[float, Field(strict=True)] | None = None
    choices: tuple[Value, ...] = ()
    enqueue: tuple[Value, ...] = ()
    when: Mapping[str, tuple[Value, ...]] = Field(default_factory=dict)

    def holds(self, value: Value) -> bool:
        """Whether a search may try this value: of a range in steps, any between its ends."""
        if self.choices or isinstance(value, bool | str) or self.low is None or self.high is None:
            return value in self.choices
        return self.low <= value <= self.high


class Parameter(Strict):
    """One parameter of a method, as a file in ``search_spaces/`` declares it.

    Attributes:
        reads: the stages whose computation depends on it (``constants``, ``transfer``, ``adapt``).
        paper: the paper's value and our default; `where` says where it is printed.
        low, high: the legal interval, closed unless `exclusive` names the end.
        type: ``layers`` is a choice of layers of the model (see `layers`), ``depth`` one of `choices` or a number of
            lower layers (as a whole number, or as a fraction of the depth), ``map`` a map from classes to classes (see
            `class_map`), ``weights`` a weight for each of several tasks (see `task_weights`); all are kept as text.
        choices: the legal values of a parameter of type ``choice``, the legal words of one of type ``depth``.
        when: only in effect (and only searched) if these other parameters are in effect with one of these values.
        unless: not in effect if one of these other parameters is in effect with one of these values.
        unless_given: not in effect if one of these other parameters is in effect with another value than its default.
        length: whether nothing reads it but the method's schedule. Where every stage is then as long as with another
            value, it has no effect.
        later: whether it was added when there were trainings already. One with its default is described without it, as
            they are, so that it is the same training (`Catalogue.described`).
        search: the range that a study explores; None = never searched.
    """

    symbol: str = ""
    about: str
    type: Literal["float", "int", "bool", "choice", "layers", "depth", "map", "weights"]
    reads: tuple[Literal["constants", "transfer", "adapt"], ...]
    paper: Value
    where: str = ""
    low: float | None = None
    high: float | None = None
    exclusive: tuple[Literal["low", "high"], ...] = ()
    choices: tuple[Value, ...] = ()
    when: Mapping[str, tuple[Value, ...]] = Field(default_factory=dict)
    unless: Mapping[str, tuple[Value, ...]] = Field(default_factory=dict)
    unless_given: tuple[str, ...] = ()
    length: bool = False
    later: bool = False
    search: SearchRange | None = None

    def check(self, value: Any) -> Value:
        """`value` in this parameter's own type.

        Raises:
            ValueError: wrong type or out of range; the message states the rule and the value.
        """
        if self.type == "bool":
            if not isinstance(value, bool):
                raise ValueError(f"must be true or false, but got {quoted(value)}")
            return value
        if self.type == "choice":
            if value not in self.choices or isinstance(value, bool):
                raise ValueError(
                    f"must be one of {', '.join(map(str, self.choices))}, but got {quoted(value)}"
                    + did_you_mean(value, [str(c) for c in self.choices])
                )
            return value  # type: ignore[no-any-return]
        if self.type == "layers":
            return _layers(value)
        if self.type == "depth":
            return self._depth(value)
        if self.type == "map":
            return "; ".join(f"{k} > {' | '.join(v)}" for k, v in class_map(value).items())
        if self.type == "weights":
            return "; ".join(f"{k} > {w!r}" for k, w in task_weights(value).items())
        if isinstance(value, bool) or not isinstance(value, int | float):
            hint = " (in YAML 1.2 a number has no quotes)" if isinstance(value, str) else ""
            raise ValueError(f"must be a number, but got {quoted(value)}{hint}")
        if not abs(value) < 2**63:  # nan, infinities, and integers that no machine number holds
            raise ValueError(f"must be a finite number below 2^63, but got {quoted(value, 30)}")
        if self.type == "int" and value != int(value):
            raise ValueError(f"must be a whole number, but got {value!r}")
        low_ok = self.low is None or (value > self.low if "low" in self.exclusive else value >= self.low)
        high_ok = self.high is None or (value < self.high if "high" in self.exclusive else value <= self.high)
        if not (low_ok and high_ok):
            raise ValueError(f"must be in {self.interval}, but got {value!r}")
        return int(value) if self.type == "int" else float(value)

    def _depth(self, value: Any) -> str:
        """One of the words of this parameter, or the canonical spelling of a number of lower layers.

        Raises:
            ValueError: neither.
        """
        if isinstance(value, str) and value in self.choices:
            return value
        words = list(map(str, self.choices))
        rule = f"must be one of {', '.join(words)}, or a number of lower layers (3), or a fraction of the depth (1/2)"
        try:
            number = _layers(value)
        except ValueError:
            number = ""
        if not number or " " in number or isinstance(value, bool):
            raise ValueError(f"{rule}, but got {quoted(value)}{did_you_mean(value, words)}")
        return number

    @property
    def interval(self) -> str:
        left = "(" if "low" in self.exclusive or self.low is None else "["
        right = ")" if "high" in self.exclusive or self.high is None else "]"
        low = "-inf" if self.low is None else f"{self.low:g}"
        high = "inf" if self.high is None else f"{self.high:g}"
        return f"{left}{low}, {high}{right}"


class Variant(Strict):
    """One named way to use a method, with its fixed settings, its place in the paper and the names of the paper's rows.

    `fixes` are settings that define the variant: a study may not override or search them. `defaults` are those in which
    its paper has another value than the method's other variants: a study may override and search them.

    `role` is ``floor`` for reference rows without transfer or training, ``control`` for a variant that copies another's
    winner, ``bound`` for one that has more labelled data than all others: it is shown, and never tested. A `pooled`
    variant trains on as many examples of the target as the data setting gives all tasks of a training together.

    `index` are its numbers in the list of the papers' 38 variants, ordered by paper (Meta-DTL 1-10, MFT 11-18,
    MetaXT 19-24, Dou et al. 25-31, TAWT 32-38); one that several papers have has several, and what is ours alone has
    none.
    """

    title: str
    about: str
    paper: str = ""
    section: str = ""
    rows: tuple[str, ...] = ()
    index: tuple[int, ...] = ()
    fixes: Mapping[str, Value] = Field(default_factory=dict)
    defaults: Mapping[str, Value] = Field(default_factory=dict)
    role: Literal["method", "baseline", "control", "floor", "bound"] = "method"
    pooled: bool = False
    copies: str = ""

    id: str = ""
    method: str = ""


class Reading(Strict):
    """One way to read a passage that the paper leaves open, other than our default: these settings.

    `id` is the name of the ambiguity; several readings of one passage share it. `of` is the variant that is read in
    another way, where the method's plain variant has no such thing. `variant` is another variant that is the reading by
    itself, without settings.
    """

    id: str
    about: str
    settings: Mapping[str, Value] = Field(default_factory=dict)
    of: str = ""
    variant: str = ""


class _Space(Strict):
    method: str
    title: str
    parameters: Mapping[str, Parameter] = Field(default_factory=dict)
    uses: tuple[str, ...] = ()
    variants: Mapping[str, Variant]
    readings: tuple[Reading, ...] = ()


class _Shared(Strict):
    shared: Mapping[str, Mapping[str, Parameter]]


@dataclass(frozen=True)
class Catalogue:
    """All variants and parameters of ``search_spaces/*.yaml``."""

    variants: Mapping[str, Variant]
    parameters: Mapping[str, Mapping[str, Parameter]]  # method -> name -> rule
    readings: Mapping[str, tuple[Reading, ...]] = field(default_factory=dict)  # method -> its open passages
    # names with settings that were read already: a plan asks for each of them many times
    _read: dict[str, Variant] = field(default_factory=dict, init=False, repr=False, compare=False)

    def variant(self, name: str) -> Variant:
        """A variant by its name, which may carry settings: ``meta_dtl[lambda=0.3]``. Its `id` is the canonical name.

        Raises:
            ConfigError: no such variant, or everything that is wrong with the settings in its name.
        """
        base, bracket, inside = name.partition("[")
        if base not in self.variants:
            raise ConfigError(unknown_name("method", base, list(self.variants)))
        if not bracket:
            return self.variants[base]
        if (cached := self._read.get(name)) is not None:
            return cached
        halves = [part.partition("=") for part in inside.removesuffix("]").split(",")]
        pairs = [(key.strip(), value.strip()) for key, _, value in halves]
        if not inside.endswith("]") or not all(key and value for key, value in pairs):
            raise ConfigError(f"a method with settings must look like {base}[key=value, key=value], but is {name!r}")
        if repeated := [key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i])]:
            raise ConfigError(f"{name!r} must set everything once, but sets {repeated[0]} twice")
        rules = self.parameters_of(base)
        with_settings = self.with_settings(base, {key: _scalar(value, rules.get(key), name) for key, value in pairs})
        self._read[name] = with_settings
        return with_settings

    def with_settings(self, variant: str, settings: Mapping[str, Any]) -> Variant:
        """A variant with more settings as part of what it is: what a name that carries them stands for.

        Raises:
            ConfigError: no such variant, or everything that is wrong with the settings.
        """
        base, rules = self.variant(variant), self.parameters_of(variant)
        values = self.resolve(variant, settings)
        fixes = {k: values[k] for k in rules if k in settings}
        inner = ", ".join(f"{k}={_spelt(v)}" for k, v in fixes.items())
        in_words = ", ".join(f"{rules[k].symbol or k.replace('_', ' ')} = {_spelt(v)}" for k, v in fixes.items())
        about = f"{base.about}; here {in_words}"
        return base.model_copy(
            update={
                "id": f"{base.id}[{inner}]",
                "title": f"{base.title} ({in_words})",
                "about": about,
                "rows": (),
                "fixes": {**base.fixes, **fixes},
            }
        )

    def parameters_of(self, variant: str) -> Mapping[str, Parameter]:
        """The parameters of the method behind `variant`."""
        return self.parameters[self.variant(variant).method]

    def defaults(self, variant: str) -> dict[str, Value]:
        """The paper's settings of a variant: every parameter at the paper's value, then what is the variant's own."""
        rules, v = self.parameters_of(variant), self.variant(variant)
        values = {name: p.paper for name, p in rules.items()} | dict(v.defaults) | dict(v.fixes)
        return {name: rules[name].check(value) for name, value in values.items()}

    def resolve(self, variant: str, *layers: Mapping[str, Any], path: str = "") -> dict[str, Value]:
        """The complete settings: the paper's, overridden by each of `layers` in turn.

        Raises:
            ConfigError: all unknown names, wrong types, values out of range and overrides of what the variant fixes.
        """
        rules, v, values, problems = self.parameters_of(variant), self.variant(variant), self.defaults(variant), []
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

    def described(self, method: str, settings: Mapping[str, Value]) -> dict[str, Value]:
        """The settings by which a training is described: those that were added later only where they are no default."""
        rules = self.parameters.get(method, {})
        return {k: v for k, v in settings.items() if k not in rules or not rules[k].later or v != rules[k].paper}

    def complete(self, method: str, described: Mapping[str, Value]) -> dict[str, Value]:
        """All settings of a training from those by which it is described."""
        later = {k: p.paper for k, p in self.parameters.get(method, {}).items() if p.later and k not in described}
        return {**described, **later}

    def searched_parameters(self, variant: str, fixed: Mapping[str, Any]) -> dict[str, Parameter]:
        """The parameters that a search of `variant` may move: with a search range, neither fixed nor out of effect."""
        values, rules = {**fixed, **self.variant(variant).fixes}, self.parameters_of(variant)

        def possible(p: Parameter) -> bool:
            return all(values.get(other, allowed[0]) in allowed for other, allowed in p.when.items())

        return {
            name: p
            for name, p in rules.items()
            if p.search is not None
            and name not in values
            and possible(p)
            and not any(other in values and values[other] in excluding for other, excluding in p.unless.items())
            and not any(values.get(o, rules[o].paper) != rules[o].paper and possible(rules[o]) for o in p.unless_given)
        }


def out_of_effect(rules: Mapping[str, Parameter], name: str, settings: Mapping[str, Value]) -> str:
    """Why a parameter changes nothing, whatever its value, beside these other settings; empty where it has an effect.

    Args:
        rules: all parameters of the method.
        settings: all settings of the method.
    """
    for other, values in rules[name].when.items():
        if settings[other] not in values:
            return f"{other} is {spelt(settings[other]) or 'empty'}"
        if why := out_of_effect(rules, other, settings):
            return why
    for other, values in rules[name].unless.items():
        if settings[other] in values and not out_of_effect(rules, other, settings):
            return f"{other} is {spelt(settings[other]) or 'empty'}"
    for other in rules[name].unless_given:
        if settings[other] != rules[other].paper and not out_of_effect(rules, other, settings):
            return f"{other} is {spelt(settings[other])}"
    return ""


def _scalar(text: str, rule: Parameter | None, name: str) -> Any:
    """The value that a text in a method's name stands for: as in YAML, but a parameter of text keeps its text."""
    if rule is not None and rule.type in ("choice", "layers", "depth", "map", "weights"):
        return text
    if re.fullmatch(r"-?\d{1,15}\.\d{1,15}", text):  # most values by far; YAML reads them alike, a hundred times slower
        return float(text)
    try:
        return plain(parse_yaml(text, name))
    except ConfigError:
        return text


def _spelt(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@lru_cache
def space_folder() -> Path:
    """``search_spaces/``: beside the package in a checkout, inside it in an installed wheel."""
    inside = Path(__file__).parent / "search_spaces"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "search_spaces"


def catalogue() -> Catalogue:
    """The catalogue of all methods that a study may name now: ours, and those of the user's own that are in use.

    An error in one of our files is a bug, so it names file and line.

    Raises:
        ConfigError: the declaration of one of the user's own methods is wrong (a study file with one is refused).
    """
    own = tuple(m for m in in_use() if m.kind == "methods")
    return _with_own(own) if own else _ours()


@lru_cache
def _ours() -> Catalogue:
    shared: Mapping[str, Mapping[str, Parameter]] = {}
    variants: dict[str, Variant] = {}
    parameters: dict[str, Mapping[str, Parameter]] = {}
    readings: dict[str, tuple[Reading, ...]] = {}
    for path in sorted(space_folder().glob("*.yaml"), key=lambda p: p.name):
        if path.name == "shared.yaml":
            continue
        shared = _shared()
        space = validate(_Space, load_yaml(path), path)
        parameters[space.method] = _rules(space, shared)
        readings[space.method] = space.readings
        variants |= _variants(space)
    return Catalogue(variants, parameters, readings)


@lru_cache
def _shared() -> Mapping[str, Mapping[str, Parameter]]:
    """group -> the parameters that several methods share."""
    path = space_folder() / "shared.yaml"
    return dict(validate(_Shared, load_yaml(path), path).shared)


def _rules(space: _Space, shared: Mapping[str, Mapping[str, Parameter]]) -> dict[str, Parameter]:
    return {n: p for group in space.uses for n, p in shared[group].items()} | dict(space.parameters)


def _variants(space: _Space) -> dict[str, Variant]:
    return {n: v.model_copy(update={"id": n, "method": space.method}) for n, v in space.variants.items()}


# ---------------------------------------------------------------------------------------------------------------------
# methods of a user's own

_PLAIN = re.compile(r"[A-Za-z]\w{0,79}")
_RESERVED = ("across", "all")  # stand for several methods, in a record and in a study's ranges


@lru_cache(maxsize=64)
def _with_own(own: tuple[OwnModule, ...]) -> Catalogue:
    cat = _ours()
    variants, parameters, readings = dict(cat.variants), dict(cat.parameters), dict(cat.readings)
    for module in own:
        space = _own_space(module)
        parameters[space.method] = _rules(space, _shared())
        readings[space.method] = space.readings
        variants |= _variants(space)
    return Catalogue(variants, parameters, readings)


@lru_cache(maxsize=64)
def _own_space(module: OwnModule) -> _Space:
    """What a method of a user's own declares.

    Raises:
        ConfigError: everything that is wrong with it.
    """
    tree: Any = parse_yaml(module.space, module.space_file)
    if not isinstance(tree, CommentedMap):
        raise ConfigError(Problem("must be a mapping of keys to values", file=module.space_file, line=1))
    lines = dict(lines_of(tree))

    def at(loc: tuple[str | int, ...], message: str) -> Problem:
        return Problem(message, dotted(loc), module.space_file, nearest_line(lines, loc))

    if odd := [at(loc, message) for loc, message in odd_values(tree)]:
        raise ConfigError(odd)
    space = validate(_Space, tree, Path(module.space_file))
    if wrong := [at(loc, message) for loc, message in _wrong_in_own(space, module)]:
        raise ConfigError(wrong)
    return space


def problems_of_own_space(module: OwnModule) -> list[Problem]:
    """What is wrong with what a method of a user's own declares, each with its line."""
    try:
        _own_space(module)
    except ConfigError as e:
        return list(e.problems)
    return []


def own_variants(module: OwnModule) -> tuple[str, ...]:
    """The variants that a method of a user's own declares, in their order.

    Raises:
        ConfigError: its declaration is wrong.
    """
    return tuple(_own_space(module).variants)


def _wrong_in_own(space: _Space, module: OwnModule) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(key, what is wrong) of a declaration whose types are right."""
    shared, ours = _shared(), _ours()
    if space.method != module.name:
        yield ("method",), f"must be the name of the file, {module.name}, but is {quoted(space.method)}"
    if unknown := [group for group in space.uses if group not in shared]:
        yield ("uses",), unknown_name("group of parameters", unknown[0], list(shared))
        return
    rules = _rules(space, shared)
    for name in space.parameters:
        if name in {n for group in space.uses for n in shared[group]}:
            yield ("parameters", name), f"{name} is a parameter of {listed(space.uses)} already"
    for name, rule in space.parameters.items():
        yield from ((("parameters", name, *loc), message) for loc, message in _wrong_parameter(name, rule, rules))
    if not space.variants:
        yield ("variants",), "must name at least one variant"
    for name, v in space.variants.items():
        at = ("variants", name)
        if name in ours.variants:
            yield at, f"{name} is a method that comes with raystudy: give the variant another name"
        elif not _PLAIN.fullmatch(name) or name in _RESERVED:
            yield at, f"must be a plain name (letters, digits, '_') that is not reserved, but is {quoted(name)}"
        for key, settings in (("fixes", v.fixes), ("defaults", v.defaults)):
            for setting, value in settings.items():
                if setting not in rules:
                    yield (*at, key, setting), f"unknown setting {setting!r}{did_you_mean(setting, rules)}"
                elif message := _refusal(rules[setting], value):
                    yield (*at, key, setting), f"{setting} {message}"
        if v.copies and v.copies not in space.variants:
            yield (*at, "copies"), unknown_name("variant", v.copies, list(space.variants))


def _wrong_parameter(
    name: str, rule: Parameter, rules: Mapping[str, Parameter]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if not _PLAIN.fullmatch(name):
        yield (), f"must be a plain name (letters, digits, '_'), but is {quoted(name)}"
    if rule.type in ("choice", "depth") and not rule.choices:
        yield (), f"{name} must have choices"
        return
    if message := _refusal(rule, rule.paper):
        yield ("paper",), f"{name} {message}"
    known = [*rules]
    for key, conditions in (("when", rule.when), ("unless", rule.unless)):
        for other, values in conditions.items():
            if other not in rules or known.index(other) >= known.index(name):
                yield (key, other), f"must name a parameter that is declared before {name}, but is {quoted(other)}"
            else:
                wrong = [m for v in values if (m := _refusal(rules[other], v))]
                yield from ((((key, other)), f"{other} {message}") for message in wrong)
                if not values:
                    yield (key, other), f"must list the values of {other} with which {name} has an effect"
    for other in rule.unless_given:
        if other not in rules or other == name:
            yield ("unless_given",), f"unknown setting {quoted(other)}{did_you_mean(other, known)}"
    if rule.search is None:
        return
    s = rule.search
    for key in ("choices", "enqueue"):
        for i, value in enumerate(getattr(s, key)):
            if message := _refusal(rule, value):
                yield ("search", key, i), f"{name} {message}"
    if s.choices or rule.type in ("choice", "bool"):
        return
    if s.low is None or s.high is None or not s.low < s.high:
        yield ("search",), f"{name} must be searched over choices, or from a low to a high above it"
        return
    for key, end in (("low", s.low), ("high", s.high)):
        if message := _refusal(rule, int(end) if rule.type == "int" and end == int(end) else end):
            yield ("search", key), f"{name} {message}"
    if s.log and (s.low <= 0 or s.step is not None):
        yield ("search", "log"), f"{name} must have a low above 0 and no step on a logarithmic scale"


def _refusal(rule: Parameter, value: Any) -> str:
    try:
        rule.check(value)
    except ValueError as e:
        return str(e)
    return ""


@lru_cache
def suites() -> Mapping[str, Mapping[str, Any]]:
    """``search_spaces/suites/*.yaml``: name -> {about, tasks, targets, unseen, shots_of, length, task_options}."""
    by_name = {}
    for path in sorted((space_folder() / "suites").glob("*.yaml")):
        by_name[path.stem] = validate(_SuiteFile, load_yaml(path), path).model_dump()
    return by_name


class _SuiteFile(Strict):
    about: str
    tasks: tuple[str, ...]
    targets: tuple[str, ...]
    unseen: tuple[str, ...] = ()
    shots_of: Mapping[str, tuple[int, ...]] = Field(default_factory=dict)
    length: int | None = None
    task_options: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
