"""What a search of one variant moves: which settings, over which ranges, and what it leaves alone as idle.

The ranges are those of ``search_spaces/*.yaml``, or the study's own (`Study.ranges`). A setting is *idle* where nothing
depends on it beside the others: the loss that it weighs is switched off, or every stage is as long whatever it is. An
idle setting is not searched, and a training is described by its *effective* settings, in which idle ones have the value
that they have without a search. So two trainings that compute the same are one `Spec`.

A configuration is one choice of the settings that are searched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import Trial

from raystudy.catalogue import Parameter, SearchRange, Value, catalogue, out_of_effect
from raystudy.studyfile import Study
from raystudy.wording import spelt

__all__ = ["METHOD", "Across", "Dimension", "Lengths", "Proposal", "Space", "effective"]

METHOD = "method"  # what Optuna calls the choice of the method; no setting has this name

Settings = Mapping[str, Value]
Lengths = Callable[[Settings], object]
"""Complete settings of a variant -> how long all stages of its trainings are, as something that == can compare."""


def effective(variant: str, settings: Settings, reference: Settings, lengths: Lengths) -> dict[str, Value]:
    """The settings with every idle one at its value in `reference`.

    A setting on which only the length of stages depends, and which makes them as long as a smaller value would, but not
    as the reference does, has the least value of that length.
    """
    rules, values = catalogue().parameters_of(variant), dict(settings)
    for name in rules:  # a condition names parameters that are declared before it
        if values[name] != reference[name] and out_of_effect(rules, name, values):
            values[name] = reference[name]
    for name, rule in rules.items():
        if rule.length and values[name] != reference[name]:
            length = lengths(values)
            if lengths({**values, name: reference[name]}) == length:
                values[name] = reference[name]
            elif rule.low is not None:
                values[name] = _least(name, values, int(rule.low), lengths)
    return values


def _least(name: str, values: Settings, low: int, lengths: Lengths) -> int:
    """The least value of a whole number with which stages are as long as with its own; they grow with it."""
    high, length = int(values[name]), lengths(values)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if lengths({**values, name: middle}) == length else (middle + 1, high)
    return high


@dataclass(frozen=True)
class Proposal:
    """A configuration as a search space proposes it: a variant, and all its settings."""

    variant: str
    settings: dict[str, Value] = field(hash=False)


@dataclass(frozen=True)
class Dimension:
    """One setting that a search moves.

    Attributes:
        parameter: the setting's rule, with the range that is searched in the place of the catalogue's.
        own: whether the study file gives the range.
    """

    name: str
    parameter: Parameter
    own: bool = False

    @property
    def range(self) -> SearchRange:
        assert self.parameter.search is not None
        return self.parameter.search

    @property
    def choices(self) -> tuple[Value, ...]:
        """The values of a dimension without an interval; none where it has one."""
        p = self.parameter
        return self.range.choices or (p.choices or (False, True) if p.type in ("choice", "bool") else ())

    @property
    def conditions(self) -> dict[str, tuple[Value, ...]]:
        """Other setting -> the values with which this one is moved."""
        return {**self.parameter.when, **self.range.when}

    @property
    def behind(self) -> tuple[str, ...]:
        """The settings that decide whether this one is moved."""
        return (*self.conditions, *self.parameter.unless, *self.parameter.unless_given)

    def holds(self, value: Value) -> bool:
        """Whether a search may try this value."""
        return value in self.choices if self.choices else self.range.holds(value)

    def probes(self) -> tuple[Value, ...]:
        """Some values of it, the ends among them."""
        if self.choices:
            return self.choices
        assert self.range.low is not None
        assert self.range.high is not None
        return tuple(self.parameter.check(end) for end in (self.range.low, self.range.high))

    @property
    def scale(self) -> str:
        """How the values are spread: ``choices``, ``linear`` or ``log``, and the step of an interval."""
        if self.choices:
            return "choices"
        step = f", in steps of {spelt(self.range.step, 6)}" if self.range.step else ""
        return ("log" if self.range.log else "linear") + step

    @property
    def text(self) -> str:
        """The range in words: ``1e-5 to 5e-4``, or the choices."""
        if self.choices:
            return ", ".join(spelt(c) or "empty" for c in self.choices)
        return f"{spelt(self.range.low, 6)} to {spelt(self.range.high, 6)}"

    def draw(self, trial: Trial, name: str = "") -> Any:
        """A value as an Optuna trial proposes it, under a `name` in place of the setting's own."""
        name = name or self.name
        if self.choices:
            return trial.suggest_categorical(name, list(self.choices))
        low, high, step = self.range.low, self.range.high, self.range.step
        assert low is not None
        assert high is not None
        if self.parameter.type == "int":
            return trial.suggest_int(name, int(low), int(high), step=int(step or 1), log=self.range.log)
        return trial.suggest_float(name, low, high, step=step, log=self.range.log)


@dataclass(frozen=True)
class Space:
    """The search space of one variant.

    Attributes:
        reference: all settings without a search: the paper's, with what the study sets. Configuration 0 has them.
        dimensions: what is moved, by name, each behind those that its conditions name.
        idle: what would be moved and is not, because nothing depends on it: name -> why.
    """

    variant: str
    reference: Settings = field(hash=False)
    dimensions: Mapping[str, Dimension] = field(hash=False)
    idle: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def of(
        cls,
        variant: str,
        fixed_settings: Mapping[str, Any],
        ranges: Mapping[str, SearchRange] | None = None,
        lengths: Lengths | None = None,
        own: bool = False,
    ) -> Space:
        """The space of a variant.

        Args:
            fixed_settings: what the study sets itself, which is not searched.
            ranges: setting -> its range; by default those of the catalogue.
            lengths: tells settings apart by how long stages are; None where that is not known yet, and then no setting
                counts as idle for it.
            own: whether the ranges are the study's own.
        """
        cat, rules = catalogue(), catalogue().parameters_of(variant)
        if ranges is None:
            searched = cat.searched_parameters(variant, fixed_settings)
            ranges = {name: p.search for name, p in searched.items() if p.search is not None}
            rules = {**rules, **searched}
        moved = {n: Dimension(n, rules[n].model_copy(update={"search": r}), own) for n, r in ranges.items()}
        space = cls(variant, cat.resolve(variant, fixed_settings), dict(_ordered(moved, [*rules])))
        idle: dict[str, str] = {}
        while why := {n: reason for n in space.dimensions if (reason := space._why_idle(n, lengths))}:
            idle |= why  # what is idle is not moved, which may leave others idle
            space = cls(variant, space.reference, {n: d for n, d in space.dimensions.items() if n not in why})
        return cls(variant, space.reference, space.dimensions, idle)

    @classmethod
    def of_study(cls, study: Study, variant: str, lengths: Lengths | None = None) -> Space:
        """The space that a study searches for a variant."""
        own = study.ranges(variant)
        return cls.of(variant, study.fixed_settings(variant), own or None, lengths, bool(own))

    def paper_configuration(self) -> dict[str, Value]:
        """Configuration 0: the reference value of every dimension whose condition holds; empty where none is moved."""
        return {n: self.reference[n] for n in self.dimensions if self.moves(n, self.reference)}

    def first_configurations(self) -> list[dict[str, Value]]:
        """What a search tries first: configuration 0, then one for each further value that a range enqueues.

        Those differ from configuration 0 in that value alone.
        """
        paper = self.paper_configuration()
        further = [(n, v) for n in paper for v in self.dimensions[n].range.enqueue if v != paper[n]]
        return [paper, *({**paper, name: value} for name, value in further)]

    def enqueued(self) -> list[dict[str, Any]]:
        """The first configurations as an Optuna study is told of them: without values outside of the ranges."""
        return [self._inside(values) for values in self.first_configurations()]

    def _inside(self, values: Settings, prefix: str = "") -> dict[str, Any]:
        return {f"{prefix}{name}": value for name, value in values.items() if self.dimensions[name].holds(value)}

    def propose(self, trial: Trial, number: int) -> Proposal:
        """The configuration of this number, as an Optuna trial proposes it."""
        firsts = self.first_configurations()
        return Proposal(self.variant, self.suggest(trial, firsts[number] if number < len(firsts) else None))

    def suggest(self, trial: Trial, first: Settings | None = None, prefix: str = "") -> dict[str, Value]:
        """All settings of one configuration: the searched ones drawn by `trial`, the others as the study fixes them.

        Args:
            first: the configuration among the first ones that this is. Where one of its values lies outside of the
                range (the paper's value need not be in a study's own range), it is taken without asking the trial.
            prefix: stands before the names under which the trial knows the settings.
        """
        settings = dict(self.reference)
        for name, dimension in self.dimensions.items():
            if self.moves(name, settings):
                outside = first is not None and name in first and not dimension.holds(first[name])
                value = first[name] if outside and first is not None else dimension.draw(trial, prefix + name)
                settings[name] = dimension.parameter.check(value)
        return settings

    def moves(self, name: str, settings: Settings) -> bool:
        """Whether a configuration with these other settings moves a dimension."""
        wanted = self.dimensions[name].range.when
        if any(settings[other] not in values for other, values in wanted.items()):
            return False
        return not out_of_effect(catalogue().parameters_of(self.variant), name, settings)

    def reaches(self, name: str, value: Value) -> bool:
        """Whether a configuration may have exactly this value: out of an interval without steps none is drawn twice."""
        if value == self.reference[name]:
            return True  # configuration 0 has it, and so have all where the setting is not moved
        d = self.dimensions.get(name)
        if d is None or not d.holds(value):
            return False
        if d.choices or value in d.range.enqueue or isinstance(value, bool | str) or d.range.low is None:
            return True
        if d.parameter.type == "int":
            return (value - int(d.range.low)) % int(d.range.step or 1) == 0
        steps = (value - d.range.low) / d.range.step if d.range.step else 0.5
        return abs(steps - round(steps)) < 1e-9

    def unreached(self) -> dict[str, dict[str, tuple[Value, ...]]]:
        """Dimension -> other setting -> the values that the study's own `when` names and no configuration has."""
        out: dict[str, dict[str, tuple[Value, ...]]] = {}
        for name, d in self.dimensions.items():
            for other, values in d.range.when.items() if d.own else ():
                if never := tuple(v for v in values if not self.reaches(other, v)):
                    out.setdefault(name, {})[other] = never
        return out

    def _why_idle(self, name: str, lengths: Lengths | None) -> str:
        """Why no configuration can depend on a dimension; empty where one can."""
        when = self.dimensions[name].range.when
        around = [
            settings
            for settings in self._surroundings(name)
            if self.moves(name, settings) and all(self.reaches(other, settings[other]) for other in when)
        ]
        if not around:
            rules = catalogue().parameters_of(self.variant)
            reasons = (out_of_effect(rules, name, s) for s in self._surroundings(name))
            return next(filter(None, reasons), "") or "the other settings never have the values that its range names"
        if lengths is None or not self.dimensions[name].parameter.length:
            return ""
        values = dict.fromkeys([*self.dimensions[name].probes(), self.reference[name]])
        for settings in around:
            first, *others = (lengths({**settings, name: v}) for v in values)
            if any(other != first for other in others):
                return ""
        least, most = (self.reference.get(key) for key in ("min_updates", "max_updates"))
        moved = {"min_updates", "max_updates"} & self.dimensions.keys()
        if least and least == most and not moved:
            return f"min_updates and max_updates give every stage {least} updates"
        return "every stage is as long whatever it is"

    def _surroundings(self, name: str) -> Iterator[dict[str, Value]]:
        """Settings of the others: as without a search, as the conditions of the dimension want them, and around both.

        Around means with each one of the others in turn at some of its values.
        """
        others = {n: d.probes() for n, d in self.dimensions.items() if n != name}
        base = dict(self.reference)
        yield base
        wanted = dict(self.reference)
        for other, values in self.dimensions[name].conditions.items():
            if other in others and (possible := [v for v in values if self.dimensions[other].holds(v)]):
                wanted[other] = possible[0]
        if wanted != base:
            yield wanted
        for start in (base, wanted) if wanted != base else (base,):
            for other, values in others.items():
                yield from ({**start, other: value} for value in values)


@dataclass(frozen=True)
class Across:
    """The search space over several methods: which of them, and the settings of that one.

    The first configurations are those of each method without a search, in their order; so each is tried at least once.

    Attributes:
        spaces: variant -> its own space.
    """

    spaces: Mapping[str, Space] = field(hash=False)

    def enqueued(self) -> list[dict[str, Any]]:
        """The first configurations as an Optuna study is told of them."""
        firsts = ((variant, space, space.paper_configuration()) for variant, space in self.spaces.items())
        return [{METHOD: variant, **space._inside(values, f"{variant}.")} for variant, space, values in firsts]

    def propose(self, trial: Trial, number: int) -> Proposal:
        """The configuration of this number, as an Optuna trial proposes it."""
        variant = str(trial.suggest_categorical(METHOD, [*self.spaces]))
        space = self.spaces[variant]
        first = space.paper_configuration() if number < len(self.spaces) else None
        return Proposal(variant, space.suggest(trial, first, f"{variant}."))


def _ordered(moved: Mapping[str, Dimension], names: list[str]) -> Iterator[tuple[str, Dimension]]:
    """The dimensions in the order of the file, but each behind those that its conditions name."""
    done: set[str] = set()

    def behind(name: str) -> Iterator[str]:
        if name in moved and name not in done:
            done.add(name)
            for other in moved[name].behind:
                yield from behind(other)
            yield name

    for name in names:
        for next_name in behind(name):
            yield next_name, moved[next_name]
