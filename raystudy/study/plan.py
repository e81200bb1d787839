"""What a study will do, before it does it: the tasks as they will be read, every training, what is shared, the cost.

A cell is one training, described by its `Spec`. An arm is one variant in one setting (how many examples there are), on
all targets of the study.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from raystudy.analysis import cautions
from raystudy.analysis.table import counted
from raystudy.analysis.tables import TaskFacts
from raystudy.catalogue import Value, catalogue, suites
from raystudy.data.fewshot import at_ratio, cap, cut, dev_of
from raystudy.data.plm import FAMILIES, PLM, resolve
from raystudy.data.standardise import LabelUnit
from raystudy.data.text import coverage_facts, encode
from raystudy.errors import ConfigError, DataError, Problem, UserError, printable
from raystudy.methods import Length, Schedule, Sizes, hparams
from raystudy.nn.architectures import ARCHITECTURES
from raystudy.nn.encoder import frozen_layers, verify
from raystudy.own_modules import digests, use
from raystudy.plugins import find_module
from raystudy.spec import ACROSS, Arm, Places, Setting, Spec, digest
from raystudy.study.search.arm_search import ArmSearch
from raystudy.study.search.space import Across, Space, effective
from raystudy.studyfile import SearchPlan, Study
from raystudy.tasks import SPLITS, Task, load, looks_like_no_class
from raystudy.wording import listed, spelt
from raystudy.yamlfile import dotted

__all__ = ["Plan", "Trainings", "class_line", "label_counts", "merged_labels", "mixed_kinds"]

_CLASSES = 20  # up to so many classes are all listed; of more, the most and the least frequent
_ENDS = 6  # how many of each of these

_BLIND = 0.05  # a standard error of dev beyond which the plan says how many examples would leave less

# Search seeds and report seeds never meet: the score that chose a setting is not the score that is reported.
_SEARCH_SEEDS = 1000


def merged_labels(tasks: Iterable[Task]) -> dict[str, list[str]]:
    """Classes that several tasks share: the words of their label -> ``task: label`` of each.

    A union head, one head for the classes of all tasks, has one class for them.
    """
    labels_of: dict[str, list[str]] = defaultdict(list)
    for task in tasks:
        for label in task.labels:
            labels_of[task.text_of(label)].append(f"{task.name}: {label}")
    return {words: labels for words, labels in labels_of.items() if len(labels) > 1}


def mixed_kinds(plan: Plan) -> list[str]:
    """A line for every suite in which tasks of several kinds take part in one training: which are of which kind."""
    lines = []
    for suite in dict.fromkeys(map(plan.study.tasks_with, plan.study.target_names)):
        kinds: dict[str, list[str]] = defaultdict(list)
        for name in suite:
            kinds[plan.tasks[name].kind].append(name)
        if len(kinds) > 1:
            parts = (f"{kind} {', '.join(names[:_ENDS])}{_more(len(names) - _ENDS)}" for kind, names in kinds.items())
            lines.append(f"tasks of {len(kinds)} kinds take part together: {'; '.join(parts)}")
    return lines


def _more(n: int) -> str:
    return f" and {n} more" if n > 0 else ""


def label_counts(task: Task) -> dict[str, dict[str, float]]:
    """How often each label occurs: split -> class -> number of examples, or split -> tag -> number of words.

    For numbers: split -> their least, mean and greatest.
    """
    if task.kind != "regression":
        return {split: dict(counts) for split, counts in task.counts.items()}
    statistics = {}
    for split in SPLITS:
        values = [e.label for e in task.splits[split] if isinstance(e.label, float)]
        statistics[split] = {"least": min(values), "mean": sum(values) / len(values), "greatest": max(values)}
    return statistics


def class_line(task: Task) -> str:
    """Every class of a task with its count in each split, or the range of its numbers, in one line.

    A (?) stands behind what looks like no class. Of more than twenty classes, the line has those that are most and
    least frequent in train.
    """
    counts = label_counts(task)
    if task.kind == "regression":
        spread = (f"{split} {c['least']:g} to {c['greatest']:g} (mean {c['mean']:.3g})" for split, c in counts.items())
        return f"labels from least to greatest: {', '.join(spread)}"

    def label_text(label: str) -> str:
        doubt = " (?)" if looks_like_no_class(label) else ""
        return f"{printable(label)[:60]}{doubt} {'/'.join(str(counts[s].get(label, 0)) for s in SPLITS)}"

    of = "words of each tag" if task.kind == "tagging" else "examples of each class"
    head = f"{of} in {'/'.join(SPLITS)}: "
    labels = list(dict.fromkeys(label for of_split in counts.values() for label in of_split))
    if len(labels) <= _CLASSES:
        return head + ", ".join(map(label_text, labels))
    ordered = sorted(labels, key=lambda c: -counts["train"].get(c, 0))
    most, least = ordered[:_ENDS], ordered[-_ENDS:]
    doubtful = [c for c in ordered[_ENDS:-_ENDS] if looks_like_no_class(c)][:_ENDS]
    line = f"{head}{', '.join(map(label_text, most))} ... {', '.join(map(label_text, [*doubtful, *least]))}"
    return f"{line} ({len(labels)} in all, by their number in train)"


def _combined(errors: Sequence[UserError]) -> UserError:
    """One error with the problems of all, of the kind whose exit code is the highest."""
    worst = max(errors, key=lambda e: e.exit_code)
    return type(worst)(dict.fromkeys(p for e in errors for p in e.problems))


TrainingKind = Literal["search", "confirm", "default", "ensemble"]


@dataclass(frozen=True)
class Trainings:
    """Trainings that differ in their seeds alone, or in a search in their configurations, and are equally long.

    Attributes:
        kind: ``search``; ``confirm``; and what shows what a search brought: the settings without one (``default``), and
            further configurations (``ensemble``).
        arm: that of a search across methods has no variant of its own, so `variant` says which method is trained.
        settings: complete.
        number: how many there are; of a search at most, for a configuration may be pruned.
        schedule: the stages of one of them.
        shared: how many of them find the result of their transfer stages in the store, because others compute it.
    """

    kind: TrainingKind
    arm: Arm
    variant: str
    target: str
    settings: Mapping[str, Value]
    number: int
    schedule: Schedule
    shared: int = 0

    @property
    def row(self) -> str:
        """The row of the plan's table that they are counted in: method and phase."""
        return f"{self.arm.variant} {self.kind}"


@dataclass
class Plan:
    """A study with its model and data in hand.

    Raises (on first use of what is wrong):
        PreflightError: the model or a data set is missing. DataError: the data cannot serve a setting.
    """

    study: Study
    places: Places

    def __post_init__(self) -> None:
        use(self.study.own)  # another study may have been opened meanwhile

    @cached_property
    def plm(self) -> PLM:
        """The pretrained model, whose files are checked."""
        plm = resolve(self.places.plm, self.places.revision)
        verify(plm)
        return plm

    @cached_property
    def limits(self) -> dict[str, dict[str, int]]:
        """task -> split -> how many examples are read at most. A task that is no target may have limits of its own."""
        return {t: self.study.limits_of(t) for t in self.study.task_names}

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """The tasks after `limits`, before any few-shot cut. All that are missing are named at once."""
        root = Path(self.places.data_root) if self.places.data_root else None
        tasks: dict[str, Task] = {}
        errors: list[UserError] = []
        for name in self.study.task_names:
            options = self.study.task_options.get(name.partition("/")[0])
            try:
                tasks[name] = cap(load(name, root=root, options=options), **self.limits[name])
            except UserError as e:
                errors.append(self.study.origin.with_places(e))
        if errors:
            raise _combined(errors)
        return tasks

    def preflight(self) -> None:
        """Read the model and the data.

        Raises:
            UserError: everything that is missing or unfit, of the model and of every task, at once.
        """
        self._check_parts("plm", "tasks")
        self._check_parts("vector_lengths")

    @cached_property
    def vector_lengths(self) -> dict[str, int]:
        """task -> the numbers of its vectors, of those whose examples are vectors: one length for all in a training.

        Raises:
            ConfigError: the model reads texts and a task holds vectors, or the other way round.
            DataError: tasks that take part together have vectors of different lengths.
        """
        if wrong := self.plm.refusal({name: t.form for name, t in self.tasks.items()}):
            raise self.study.origin.with_places(ConfigError(Problem(wrong, "plm")))
        if self.plm.width and self.study.length is not None:
            message = f"must be left out, because {self.plm.name} reads vectors, which have no word pieces"
            raise self.study.origin.with_places(ConfigError(Problem(message, "length")))
        found = {name: len(t.splits["train"][0].vector) for name, t in self.tasks.items() if t.form == "vector"}
        for together in dict.fromkeys(map(self.study.tasks_with, self.study.target_names)):
            lengths = {name: found[name] for name in together if name in found}
            if len(set(lengths.values())) > 1:
                said = ", ".join(f"{name} {n}" for name, n in lengths.items())
                message = f"one network reads vectors of one length, but they have different numbers of numbers: {said}"
                raise self.study.origin.with_places(DataError(Problem(message, "tasks")))
        return found

    def _check_parts(self, *parts: str) -> None:
        """Have these properties computed, and raise the problems of all of them at once."""
        errors: list[UserError] = []
        for part in parts:
            try:
                getattr(self, part)
            except UserError as e:
                errors.append(e)
        if errors:
            raise _combined(errors)

    @cached_property
    def keys_without_effect(self) -> list[str]:
        """What the study asks for that has no effect, a line each."""
        lines = [*self.study.keys_without_effect]
        if self.study.searched_settings and not self._searched_arms():
            number = counted(self.study.search.trials, "configuration")
            lines.append(f"search: {number} asked for, but the study sets all that a search of its methods would move")
        return [*lines, *self._idle_dimensions(), *self._unreached_conditions()]

    def _unreached_conditions(self) -> list[str]:
        """The values of the study's own `when` that no configuration has, a line for each setting and condition."""
        variants_of: dict[tuple[str, str, str], dict[str, None]] = {}
        for arm, space in self.spaces().items():
            for name, conditions in space.unreached().items():
                for other, values in conditions.items():
                    words = listed(spelt(v) or "empty" for v in values)
                    variants_of.setdefault((name, other, words), {})[arm.variant] = None
        return [
            f"search: `when` of {name} names {other} {words}, which no configuration of {listed(variants)} has"
            for (name, other, words), variants in variants_of.items()
        ]

    def _idle_dimensions(self) -> list[str]:
        """What a search leaves alone because nothing depends on it, a line for each reason."""
        variants_of: dict[tuple[str, str], dict[str, None]] = {}  # (setting, why) -> variants
        settings_of: dict[tuple[str, str], dict[str, None]] = {}  # (setting, why) -> data settings in which it is so
        arms = [arm for arm in self.study.arms() if self._may_be_searched(arm)]
        for arm in arms:
            for name, why in self.space(arm).idle.items():
                variants_of.setdefault((name, why), {})[arm.variant] = None
                settings_of.setdefault((name, why), {})[str(arm.setting)] = None
        every = {str(arm.setting) for arm in arms}
        together: dict[tuple[str, str, str], dict[str, None]] = {}  # (variants, settings, why) -> names
        for (name, why), variants in variants_of.items():
            where = settings_of[name, why]
            at = "" if where.keys() == every else f" at {listed(where)}"
            together.setdefault((listed(variants), at, why), {})[name] = None
        return [
            f"search: {listed(names)} of {variants}{at} {'are' if len(names) > 1 else 'is'} not searched, because {why}"
            for (variants, at, why), names in together.items()
        ]

    @cached_property
    def selection_lines(self) -> list[str]:
        """On how many dev examples the searches choose, a line for each target and data setting, and how surely.

        The standard error is the largest that an accuracy can have: that of one half.
        """
        lines = []
        seeds, rope = self.study.search.seeds, self.study.report.rope
        for target, setting in dict.fromkeys((t, a.setting) for a in self.spaces() for t in self._targets_of(a)):
            task, dev = self.tasks[target], self.study.dev
            n, whole = len(cut(task, setting, _SEARCH_SEEDS, dev).splits["dev"]), len(task.splits["dev"])
            draws = seeds if setting != Setting() and dev != "all" else 1
            error = 0.5 / math.sqrt(n * draws)
            of_split = f" of the split's {whole:,}" if n < whole else ""
            text = f"{target} at {setting}: {n:,} dev examples{of_split} choose, per search seed"
            text += f" ({counted(seeds, 'seed')}): a standard error of up to {100 * error:.1f} points"
            if error > max(_BLIND, rope) and n < whole:
                enough = min(whole, 10 * math.ceil((0.5 / _BLIND) ** 2 / draws / 10))
                text += f", within which trials cannot be told apart; `dev: {enough}` would leave"
                text += f" {50 / math.sqrt(enough * draws):.1f}"
            lines.append(text)
        return lines

    def _targets_of(self, arm: Arm) -> tuple[str, ...]:
        return self.study.targets_in(arm.setting, arm.variant)

    @property
    def task_facts(self) -> list[TaskFacts]:
        """What a report says of the tasks."""
        return [
            TaskFacts(
                name=name,
                role="target" if name in self.study.target_names else "source",
                form=t.form,
                classes=len(t.labels),
                train=len(t.splits["train"]),
                dev=len(t.splits["dev"]),
                test=len(t.splits["test"]),
                metric="/".join(t.shown_metrics),
                source=t.source,
                licence=t.licence,
                notes=(*t.notes, *(["takes no part in the transfer (unseen)"] if name in self.study.unseen else [])),
                digest=t.digest,
            )
            for name, t in self.tasks.items()
        ]

    @cached_property
    def sizes(self) -> dict[tuple[str, Setting], dict[str, int]]:
        """(target, setting) -> task -> labelled training examples. Every impossible setting is named at once."""
        self.preflight()
        self._check_parts("lengths", "method_notes")  # refused here, before anything is trained
        sizes: dict[tuple[str, Setting], dict[str, int]] = {}
        problems: list[Problem] = []
        for setting in self.study.settings_grid:
            for target in self.study.targets_in(setting):
                together = self.study.tasks_with(target)
                n = {name: len(self.tasks[name].splits["train"]) for name in together}
                for name in together if self.study.scope == "suite" else (target,):
                    try:
                        dev = dev_of(self.study.dev, name, target)
                        n[name] = len(cut(self.tasks[name], setting, 0, dev).splits["train"])
                    except DataError as e:
                        for p in e.problems:
                            at = "dev" if p.message.startswith("dev ") else self._setting_at(setting)
                            problems.append(Problem(f"task {p.path}: {p.message}", at))
                if setting.ratio is not None and not problems:
                    target_task = cut(self.tasks[target], setting, 0, self.study.dev)
                    for name in set(together) - {target}:
                        try:
                            n[name] = len(at_ratio(self.tasks[name], target_task, setting, 0).splits["train"])
                        except DataError as e:
                            problems += [Problem(f"task {p.path}: {p.message}", "ratio") for p in e.problems]
                sizes[target, setting] = n
                if not problems:
                    problems += self._too_few_to_pool(target, setting, n)
        if problems:
            raise self.study.origin.with_places(DataError(dict.fromkeys(problems)))
        return sizes

    def _too_few_to_pool(self, target: str, setting: Setting, n: Mapping[str, int]) -> Iterator[Problem]:
        """A problem for each variant that takes as many examples of the target as all tasks have, and finds fewer."""
        together, whole = sum(n.values()), len(self.tasks[target].splits["train"])
        for variant in self.study.variants:
            asked = catalogue().variant(variant).pooled and target in self.study.targets_in(setting, variant)
            if asked and together > whole:
                rule = f"{variant} takes as many examples of {target} as all tasks have together in {setting}"
                text = (
                    f"{rule}, {together:,}, but train holds {whole:,} (`missing_data: leave_out` leaves it out there)"
                )
                yield Problem(text, dotted(self.study.origin.of_variant(variant)))

    @cached_property
    def size_notes(self) -> dict[str, list[str]]:
        """What methods say of a cut training set -> the places (variant and setting) of which they say it.

        Of whole training sets `method_notes` says the same.

        Raises:
            UserError: everything that a method cannot do with so few examples.
        """
        places: dict[str, list[str]] = defaultdict(list)
        errors: list[UserError] = []
        for (target, setting), n in self.sizes.items():
            for variant, (method, hp) in self._methods.items():
                at = f"{variant} ({setting})"
                try:
                    said = method.admit_sizes(hp, Sizes(n, target, target in self.study.unseen))
                except UserError as e:
                    errors.append(type(e)(self._at_method(variant, at, p) for p in e.problems))
                else:
                    for line in said if setting != Setting() else []:
                        places[line] = [*dict.fromkeys([*places[line], at])]
        if errors:
            raise self.study.origin.with_places(_combined(errors))
        return dict(places)

    def _setting_at(self, setting: Setting) -> str:
        """The key of the study that asks for a setting."""
        key, value = ("shots", setting.shots) if setting.shots is not None else ("fraction", setting.fraction)
        return dotted(self.study.origin.of_item(key, value)) if value is not None else ""

    def _asked_lengths(self) -> dict[str, int | None]:
        """target -> the length that the study or its suite asks for; None where every task has its own."""
        lengths: dict[str, int | None] = {}
        for target in self.study.target_names:
            suite_length = suites().get(self.study.suite_of(target), {}).get("length")
            lengths[target] = None if self.plm.width else self.study.length or suite_length
        return lengths

    @cached_property
    def lengths(self) -> dict[str, int | None]:
        """target -> the longest sequence of its trainings, in word pieces; None where every task has its own.

        Raises:
            ConfigError: more than the model has positions for.
        """
        lengths = self._asked_lengths()
        if over := [n for n in lengths.values() if n is not None and n > self.plm.positions]:
            raise self.study.origin.with_places(
                ConfigError(
                    Problem(f"must be at most {self.plm.positions} for {self.plm.name}, but is {over[0]}", "length")
                )
            )
        return lengths

    @cached_property
    def method_notes(self) -> dict[str, list[str]]:
        """variant -> what it says of this model and these tasks: which layers it trains, which classes it merges.

        Raises:
            UserError: everything that a method cannot do with them.
        """
        notes: dict[str, list[str]] = {}
        errors: list[UserError] = []
        for variant in self.study.variants:
            fixed_settings = dict(self.study.fixed_settings(variant))
            try:
                notes[variant] = self._notes_of(variant, fixed_settings, variant)
            except UserError as e:
                errors.append(e)
                continue  # what is searched would be refused for the same reasons
            for name, choice in self._searched_choices(variant):
                try:
                    self._notes_of(variant, {**fixed_settings, name: choice}, f"{variant}, searched {name} {choice}")
                except UserError as e:
                    errors.append(e)
        if errors:
            raise self.study.origin.with_places(_combined(errors))
        return notes

    def refusal_of(self, variant: str) -> str:
        """Why a variant that the study does not have could not take part in it; empty where it could."""
        rules, fixes = catalogue().parameters_of(variant), catalogue().variant(variant).fixes
        try:
            self._notes_of(variant, {k: v for k, v in self.study.settings.items() if k in rules and k not in fixes}, "")
        except UserError as e:
            return "; ".join(dict.fromkeys(p.message for p in e.problems))
        return ""

    def _notes_of(self, variant: str, settings: Mapping[str, Any], where: str) -> list[str]:
        """What a variant with these settings says of the model and of the tasks of every suite.

        Args:
            where: what its problems are said to be of.

        Raises:
            UserError: everything that it cannot do with them.
        """
        module = find_module("methods", catalogue().variant(variant).method)
        hp = hparams(module.HParams, catalogue().resolve(variant, settings))
        notes: dict[str, None] = {}
        errors: list[UserError] = []
        try:
            notes |= dict.fromkeys(self._freeze_notes(hp, module.Method))
        except UserError as e:
            errors.append(type(e)(self._at_method(variant, where, p) for p in e.problems))
        unseen_in = {t: t if t in self.study.unseen else None for t in self.study.target_names}
        for suite, unseen in dict.fromkeys((self.study.tasks_with(t), u) for t, u in unseen_in.items()):
            try:
                suite_notes = module.Method.admit(
                    hp, self.plm.depth, {name: self.tasks[name] for name in suite}, unseen
                )
            except UserError as e:
                errors.append(type(e)(self._at_method(variant, where, p) for p in e.problems))
            else:
                notes |= dict.fromkeys(suite_notes)
        if module.Method.inside_layers(hp) and not ARCHITECTURES[self.plm.family].end and not self.plm.width:
            rule = (
                f"acts at the end of the model's layers, and those of {FAMILIES[self.plm.family].title} have no place"
            )
            errors.append(ConfigError(self._at_method(variant, where, Problem(f"{rule} for it: leave it out"))))
        if self.study.numerics.device == "cpu":  # a GPU may be on another machine than this
            width = 8 if self.study.numerics.precision == "fp64" else 4
            try:
                notes |= dict.fromkeys(module.Method.fits(hp, self.plm, self._longest(), width))
            except UserError as e:
                errors.append(type(e)(self._at_method(variant, where, p) for p in e.problems))
        if self.study.numerics.precision == "bf16" and module.Method.exact(hp):
            notes["trains in fp32, whatever numerics.precision says: it takes derivatives of gradients"] = None
        if errors:
            raise _combined(errors)
        return [*notes]

    def _longest(self) -> int:
        """Word pieces of the longest text that a training may read: where texts are cut, at most."""
        own = max(t.length for t in self.tasks.values())
        return min(self.plm.positions, max(length or own for length in self._asked_lengths().values()))

    def _at_method(self, variant: str, where: str, problem: Problem) -> Problem:
        """A problem of a method, placed at the key of the setting in question, or else at the method's entry."""
        origin, name = self.study.origin, problem.path
        if name in catalogue().parameters_of(variant) and where == variant:
            loc = origin.of_setting(variant, name, self.study.settings)
        else:
            loc = origin.of_variant(variant)
        parts = (where, "" if loc[-1] == name else name, problem.message)
        return Problem(": ".join(part for part in parts if part), dotted(loc))

    def _freeze_notes(self, hp: Any, method: Any) -> list[str]:
        """Which layers the setting `freeze` leaves as they are; nothing where it freezes no layer or the whole model.

        And which of them are computed once for all trainings, because they make the same of a text at all times.

        Raises:
            ConfigError: this model has no such layers.
        """
        freeze, plm = getattr(hp, "freeze", "none"), self.plm
        try:
            number = frozen_layers(freeze, plm.depth, shared=plm.shared_layers)
        except ValueError as e:
            raise ConfigError(Problem(str(e), "freeze")) from None
        if freeze == "all" or not number:
            return []
        lower = counted(number, "lower layer")
        line = f"freeze {freeze}: the embeddings and {lower} of {plm.depth} are not trained"
        if plm.width or (getattr(hp, "frozen_dropout", True) and getattr(hp, "dropout", -1.0) != 0):
            return [line]
        constant = method.constant_layers(hp, plm)
        which = "they make" if constant == number else f"the lowest {constant} of them make" if constant else ""
        if not which:
            return [f"{line}; they are computed in each pass, for it acts in the lowest of them"]
        why = "" if constant == number else ", for it acts above these"
        return [f"{line}; what {which} of a text is computed once and kept{why}"]

    @property
    def kernels(self) -> list[str]:
        """How the texts of a batch lie, and by what attention within them is computed, in words."""
        if self.plm.width:
            return []
        packed = FAMILIES[self.plm.family].packed
        lie = "one behind the other, and are padded inside attention alone" if packed else "as long as their longest"
        kinds: dict[bool, list[str]] = {}
        for variant in self.study.variants:
            module = find_module("methods", catalogue().variant(variant).method)
            if catalogue().variant(variant).role != "floor":
                exact = module.Method.exact(hparams(module.HParams, self.reference(variant)))
                kinds.setdefault(exact, []).append(variant)
        fused = ["attention by torch's fused kernel"] if packed and False in kinds else []
        plain = (
            ["by plain products in full precision for " + ", ".join(kinds[True])] if packed and True in kinds else []
        )
        return [f"texts of a batch lie {lie}", *[", ".join([*fused, *plain])][: len(fused) + len(plain)]]

    def _searched_choices(self, variant: str) -> list[tuple[str, Value]]:
        """Every (parameter, choice) of a search: whether it is possible may depend on the model, or on the tasks."""
        if self.study.search.trials < 2:
            return []
        dimensions = Space.of_study(self.study, variant).dimensions
        return [
            (n, c)
            for n, d in dimensions.items()
            if d.parameter.type in ("layers", "depth", "choice", "map", "weights")
            for c in d.range.choices
        ]

    def spec(
        self, arm: Arm, settings: Mapping[str, Value], target: str, seed: int, phase: Literal["search", "confirm"]
    ) -> Spec:
        """One training of an arm, with all its settings.

        Args:
            settings: complete; the spec has their effective form, so that two trainings that compute the same are one.
            seed: counts from 0 in each phase.
        """
        study, settings = self.study, self.effective(arm, settings, target)
        spec = Spec(
            phase=phase,
            variant=arm.variant,
            method=catalogue().variant(arm.variant).method,
            settings=settings,
            suite=study.tasks_with(target),
            target=target,
            setting=arm.setting,
            seed=seed + (_SEARCH_SEEDS if phase == "search" else 0),
            plm=self.plm.name,
            plm_digest=self.plm.digest,
            data={n: self.tasks[n].digest for n in study.tasks_with(target)},
            limits={k: self.limits[k] for k in study.tasks_with(target) if self.limits[k]},
            task_options={k: dict(v) for k, v in study.task_options.items()},
            dev=study.dev,
            scope=study.scope,
            unseen=target in study.unseen,
            length=self.lengths[target],
            numerics=study.numerics.spec_numerics,
        )
        return replace(spec, own=digests(spec.method, spec.datasets)) if study.own else spec

    def searches(self, storage: Any = None) -> dict[Arm, ArmSearch]:
        """A new search for every arm that has one, in the settings that the study searches.

        A control has none: it takes the winner of the variant that it copies. Methods that are searched together have
        one between them, under the arm `ACROSS` of their setting.

        Args:
            storage: where Optuna keeps what it knows of the searches; None = in memory.
        """
        searches: dict[Arm, ArmSearch] = {}
        spaces: dict[Arm, Space | Across] = {**self._across_spaces(), **self._own_spaces()}
        for arm, space in spaces.items():
            searches[arm] = self.search_of(arm, space, self.study.search, storage)
        return searches

    def search_of(self, arm: Arm, space: Space | Across, asked: SearchPlan, storage: Any = None) -> ArmSearch:
        """A new search of one arm, with the plan's own cells."""

        def make_spec(variant: str, settings: dict[str, Value], target: str, seed: int) -> Spec:
            return self.spec(Arm(variant, arm.setting), settings, target, seed, "search")

        targets = self.study.targets_in(arm.setting, arm.variant)
        return ArmSearch(arm, asked, space, targets, make_spec, storage, self._passes_of)

    def _passes_of(self, cell: Spec) -> float:
        """What one training costs, in passes."""
        return self.schedule(cell.variant, cell.settings, cell.target, cell.setting).cost.passes

    def _own_spaces(self) -> dict[Arm, Space]:
        """What is moved in every arm that is searched by itself."""
        across = self.study.search.across
        return {arm: space for arm, space in self.spaces().items() if arm.variant not in across}

    def _across_spaces(self) -> dict[Arm, Across]:
        """What is moved in every search across methods, in each setting that is searched."""
        study = self.study
        settings = [s for s in study.searched_settings if study.targets_in(s)] if study.search.across else []
        return {Arm(ACROSS, s): Across({v: self.space(Arm(v, s)) for v in study.search.across}) for s in settings}

    def _searched_arms(self) -> list[Arm]:
        """The arms whose settings a search moves, their own or one across methods."""
        return [
            arm for arm in self.study.arms() if self._may_be_searched(arm) and self.space(arm).paper_configuration()
        ]

    def _may_be_searched(self, arm: Arm) -> bool:
        """Whether the study searches the arm, if there is anything to search."""
        study = self.study
        asked = not study.search.methods or arm.variant in (*study.search.methods, *study.search.across)
        return asked and arm.setting in study.searched_settings and catalogue().variant(arm.variant).role != "control"

    def space(self, arm: Arm) -> Space:
        """What a search of the arm moves: nothing that has no effect on any of its targets."""
        if arm not in self._spaces:
            targets = self.study.targets_in(arm.setting, arm.variant)

            def lengths(settings: Mapping[str, Value]) -> tuple[Schedule, ...]:
                return tuple(self.schedule(arm.variant, settings, target, arm.setting) for target in targets)

            self._spaces[arm] = Space.of_study(self.study, arm.variant, lengths)
        return self._spaces[arm]

    def spaces(self) -> dict[Arm, Space]:
        """What is moved in every arm that has a search."""
        return {arm: self.space(arm) for arm in self._searched_arms()}

    @cached_property
    def _spaces(self) -> dict[Arm, Space]:
        return {}

    def effective(self, arm: Arm, settings: Mapping[str, Value], target: str) -> dict[str, Value]:
        """Complete settings of an arm with those that have no effect on a target as they are without a search."""
        reference = self.reference(arm.variant)
        if settings == reference:  # most of all that is confirmed
            return reference

        def lengths(settings: Mapping[str, Value]) -> Schedule:
            return self.schedule(arm.variant, settings, target, arm.setting)

        return effective(arm.variant, settings, reference, lengths)

    def reference(self, variant: str) -> dict[str, Value]:
        """All settings of a variant without a search: the paper's, with what the study sets."""
        return dict(self._references[variant])

    @cached_property
    def _references(self) -> dict[str, dict[str, Value]]:
        return {v: catalogue().resolve(v, self.study.fixed_settings(v)) for v in self.study.variants}

    def settings_of(self, arm: Arm, target: str, searches: Mapping[Arm, ArmSearch]) -> dict[str, Value] | None:
        """The effective settings with which an arm is confirmed on a target; None while a search decides them."""
        if catalogue().variant(arm.variant).role == "control":
            return self._control_settings(arm, target, searches)
        search = self._deciding_search(arm, searches)
        if search is None:
            return self.reference(arm.variant)
        if not search.finished:
            return None
        number = search.winners(arm.variant).get(target)
        if number is None:  # all its cells failed
            return self.reference(arm.variant)
        return self.effective(arm, search.configurations[number].settings, target)

    def _deciding_search(self, arm: Arm, searches: Mapping[Arm, ArmSearch]) -> ArmSearch | None:
        """The search that decides the settings of an arm, if one does."""
        deciding = self._deciding_arm(arm)
        together = arm.variant in self.study.search.across
        return searches.get(Arm(ACROSS, deciding.setting) if together else deciding)

    def _deciding_arm(self, arm: Arm) -> Arm:
        """The arm whose search decides the settings of this one, where there is one: itself, or one in more data."""
        study = self.study
        if study.search.elsewhere != "winner" or not study.searched_settings or arm.setting in study.searched_settings:
            return arm
        most = max(study.searched_settings, key=lambda s: (s.shots or 0, s.fraction or 0, s.ratio or 0))
        return Arm(arm.variant, most)

    def _control_settings(self, arm: Arm, target: str, searches: Mapping[Arm, ArmSearch]) -> dict[str, Value] | None:
        """The copied variant's settings, with as many updates as the setting's costliest method has passes."""
        copied_settings = self.settings_of(Arm(catalogue().variant(arm.variant).copies, arm.setting), target, searches)
        most_passes = 0.0
        for other in self.study.variants:
            if catalogue().variant(other).role in ("control", "floor", "bound"):
                continue
            settings = self.settings_of(Arm(other, arm.setting), target, searches)
            if settings is None:
                return None
            most_passes = max(most_passes, self.schedule(other, settings, target, arm.setting).cost.passes)
        if copied_settings is None:
            return None
        settings = {**self.reference(arm.variant), **copied_settings, "updates": math.ceil(most_passes)}
        return self.effective(arm, settings, target)

    def confirm(self, searches: Mapping[Arm, ArmSearch]) -> list[Spec]:
        """Every cell of the confirm phase whose settings are decided, in the order in which they are trained.

        Seeds are outermost, so that all methods advance together.
        """
        decided = self._decided_settings(searches)
        return [
            self.spec(arm, settings, target, seed, "confirm")
            for seed in range(self.study.report.seeds)
            for (arm, target), settings in decided.items()
        ]

    def _decided_settings(self, searches: Mapping[Arm, ArmSearch]) -> dict[tuple[Arm, str], dict[str, Value]]:
        """(arm, target) -> the settings with which it is confirmed, where no unfinished search decides them."""
        return {
            (arm, target): settings
            for arm in self.study.arms()
            for target in self.study.targets_in(arm.setting, arm.variant)
            if (settings := self.settings_of(arm, target, searches)) is not None
        }

    def beside(self, searches: Mapping[Arm, ArmSearch]) -> list[Spec]:
        """Every cell of the confirm phase that shows what a search brought, beside those of `confirm`.

        These are the cells with the settings without a search, and those of the best configurations behind the winner.
        Cells of the first kind are known before a search ends: where the winner has these settings, they are its own.
        """
        known = {spec.id for spec in self.confirm(searches)}
        further = [
            spec
            for seed in range(self.study.report.seeds)
            for arm in self._decided_by_search()
            for target in self.study.targets_in(arm.setting, arm.variant)
            for settings in (*self._default_settings(arm), *self.best_settings(arm, target, searches)[1:])
            for spec in [self.spec(arm, settings, target, seed, "confirm")]
        ]
        return list({spec.id: spec for spec in further if spec.id not in known}.values())

    def _decided_by_search(self) -> list[Arm]:
        """The arms whose settings a search decides, their own or another's; controls apart."""
        searched = set(self._searched_arms())
        return [
            arm
            for arm in self.study.arms()
            if self._deciding_arm(arm) in searched and catalogue().variant(arm.variant).role != "control"
        ]

    def _default_settings(self, arm: Arm) -> list[dict[str, Value]]:
        """The settings without a search, if the study wants them trained beside the winner's."""
        return [self.reference(arm.variant)] if self.study.report.default else []

    def best_settings(self, arm: Arm, target: str, searches: Mapping[Arm, ArmSearch]) -> list[dict[str, Value]]:
        """The effective settings of the best configurations of an arm on a target, the winner's first, each once.

        They are as many as the study confirms (`confirm.top`), if there are as many; none while the search runs.
        """
        search = self._deciding_search(arm, searches)
        if search is None or not search.finished:
            return []
        best: list[dict[str, Value]] = []
        for number in search.rankings(arm.variant).get(target, []):
            settings = self.effective(arm, search.configurations[number].settings, target)
            if settings not in best and len(best) < self.study.confirm.top:
                best.append(settings)
        return best

    def defaults(self, searches: Mapping[Arm, ArmSearch]) -> list[Spec]:
        """The cells with the settings without a search, of arms and targets on which a finished search chose others."""
        return [
            self.spec(arm, settings, target, seed, "confirm")
            for seed in range(self.study.report.seeds)
            for arm in self._decided_by_search()
            for target in self.study.targets_in(arm.setting, arm.variant)
            for settings in self._default_settings(arm)
            if self.settings_of(arm, target, searches) not in (None, settings)
        ]

    def members(self, searches: Mapping[Arm, ArmSearch]) -> dict[tuple[Arm, str], list[list[Spec]]]:
        """(arm, target) -> seed -> the cells of its best configurations, where a finished search has several."""
        out: dict[tuple[Arm, str], list[list[Spec]]] = {}
        for arm in self._decided_by_search() if self.study.confirm.top > 1 else ():
            for target in self.study.targets_in(arm.setting, arm.variant):
                best = self.best_settings(arm, target, searches)
                if len(best) > 1:
                    seeds = range(self.study.report.seeds)
                    out[arm, target] = [[self.spec(arm, s, target, seed, "confirm") for s in best] for seed in seeds]
        return out

    def schedule(self, variant: str, settings: Mapping[str, Value], target: str, setting: Setting) -> Schedule:
        """The stages of one training of `variant`, each with its updates and passes."""
        module = find_module("methods", catalogue().variant(variant).method)
        schedule = module.Method.schedule(hparams(module.HParams, settings), self._sizes_of(target, setting, variant))
        assert isinstance(schedule, Schedule)
        return schedule

    def _sizes_of(self, target: str, setting: Setting, variant: str) -> Sizes:
        n = self.sizes[target, setting]
        if catalogue().variant(variant).pooled:
            n = {**n, target: sum(n.values())}
        return Sizes(n, target, target in self.study.unseen)

    @cached_property
    def cautions(self) -> list[str]:
        """What the scores will depend on that nobody asked for, a line each, as the report will say below them.

        These are a test that is not the published one, texts that are cut and words that no model sees, constant
        labels, what the floor of the majority class answers, methods with the same settings, and stages of few updates.
        To know them, all that the study would read is tokenised.
        """
        test_notes = {t: note for t in self.study.target_names if (note := self.tasks[t].test_note)}
        return [
            *cautions.test_notes(test_notes),
            *self._unread_texts(),
            *self._label_units(),
            *self._majority_answers(),
            *self._same_settings(),
            *(f"{listed(places)}: {line}" for line, places in self.size_notes.items()),
            *self._short_stages(),
        ]

    def _unread_texts(self) -> Iterator[str]:
        """Texts that are cut and words that no model sees: of targets in every split, of sources in train."""
        targets = self.study.target_names
        all_data = self.study.settings_grid == (Setting(),)
        for name, length in dict.fromkeys((t, self.lengths[g]) for g in targets for t in self.study.tasks_with(g)):
            task = self.tasks[name]
            splits = {s: encode(task, s, self.plm, length) for s in (SPLITS if name in targets else ("train",))}
            tag = [str(task.drawn_prior.answer)] if all_data else []
            unread = cautions.unread_answer("train" if all_data else "the drawn sentences of train", tag)
            yield from cautions.coverage(name, coverage_facts(splits, self.plm), unread)
            variants_by_cut: dict[int, list[str]] = defaultdict(list)
            for variant, (method, hp) in self._methods.items():
                variants_by_cut[method.cut_further(hp, splits["train"])].append(variant)
            yield from (cautions.cut_further(variants, {name: n}) for n, variants in variants_by_cut.items() if n)

    def _label_units(self) -> Iterator[str]:
        """In which unit numbers are trained, and in which draws of few examples they are all the same."""
        for name in self.study.target_names:
            task = self.tasks[name]
            if task.kind != "regression":
                continue
            unit = LabelUnit.of([float(e.label) for e in task.splits["train"]])  # type: ignore[arg-type]
            yield (
                f"{name}: numbers are trained in standard deviations from the mean of the training labels (in all of "
                f"train: mean {unit.mean:.4g}, sd {unit.sd:.4g}) and answered in their own unit"
            )
            settings = [s for s in self.study.settings_grid if name in self.study.targets_in(s)]
            draws = [(s, n) for s in settings for n in range(self.study.report.seeds)]
            labels = ((s, n, {e.label for e in cut(task, s, n, self.study.dev).splits["train"]}) for s, n in draws)
            constant = [f"seed {n} ({s})" for s, n, of_draw in labels if len(of_draw) == 1]
            yield from cautions.constant_labels({name: constant})

    def _majority_answers(self) -> Iterator[str]:
        """What the floor of the majority class answers."""
        floors = [v for v, (method, hp) in self._methods.items() if method.knows_prior(hp)]
        priors = {t: self.tasks[t].prior.facts() for t in self.study.target_names}
        yield from (cautions.majority(catalogue().variant(v).title, priors) for v in floors)

    def _same_settings(self) -> Iterator[str]:
        """Variants of one method with the same settings, as far as no search is to choose them."""
        groups: dict[tuple[Any, Any], list[str]] = defaultdict(list)
        searched = {arm.variant for arm in self._searched_arms()}
        for variant, (method, hp) in self._methods.items():
            if variant not in searched and catalogue().variant(variant).role != "control":
                groups[method, hp].append(variant)
        yield from cautions.one_training(groups.values())

    def _short_stages(self) -> Iterator[str]:
        """Variants with stages of few updates. A control makes as many updates as the costliest method has passes."""
        fewest: dict[str, tuple[str, int]] = {}
        for variant, (method, hp) in self._methods.items():
            if catalogue().variant(variant).role in ("control", "floor"):
                continue
            schedules = [
                method.schedule(hp, self._sizes_of(target, setting, variant)) for target, setting in self.sizes
            ]
            n, name = min((length.updates, name) for s in schedules for name, length in s.stages.items())
            fewest[variant] = (name, n)
        if (line := cautions.short_trainings(fewest)) is not None:
            yield line

    @cached_property
    def _methods(self) -> dict[str, tuple[Any, Any]]:
        """variant -> its class and its settings as the study fixes them, before any search."""
        methods = {}
        for variant in self.study.variants:
            module = find_module("methods", catalogue().variant(variant).method)
            settings = catalogue().resolve(variant, dict(self.study.fixed_settings(variant)))
            methods[variant] = module.Method, hparams(module.HParams, settings)
        return methods

    @cached_property
    def trainings(self) -> list[Trainings]:
        """All that the study trains, as far as it can be said before anything ran, in the order of the table of a plan.

        All seeds and configurations count the same here, so each (method, target, setting) is looked at once. Searches
        stand at the settings of their first configuration.
        """
        study, seeds = self.study, self.study.report.seeds
        search_cells = study.search.trials * study.search.seeds  # per arm and target
        out: list[Trainings] = []
        computed: Counter[str] = Counter()  # transfer results of the confirm phase

        def add(kind: TrainingKind, arm: Arm, variant: str, target: str, number: int, shared: int = 0) -> None:
            settings = self.reference(variant)
            schedule = self.schedule(variant, settings, target, arm.setting)
            out.append(Trainings(kind, arm, variant, target, settings, number, schedule, shared))

        for arm in self._own_spaces():
            keys: set[str] = set()  # one configuration has one result for all targets that share it
            for target in study.targets_in(arm.setting, arm.variant):
                key = self.transfer_key(arm, self.reference(arm.variant), target)
                add("search", arm, arm.variant, target, search_cells, search_cells if key in keys else 0)
                keys.add(key)
        for arm in self._across_spaces():
            for target in study.targets_in(arm.setting, arm.variant):
                for n, variant in enumerate(study.search.across):  # as if each had an equal part of the configurations
                    trials = len(range(n, study.search.trials, len(study.search.across))) * study.search.seeds
                    add("search", arm, variant, target, trials)
        for (arm, target), settings in self._decided_settings({}).items():
            schedule = self.schedule(arm.variant, settings, target, arm.setting)
            key = self.transfer_key(arm, settings, target)
            shared = seeds if computed[key] else 0
            out.append(Trainings("confirm", arm, arm.variant, target, settings, seeds, schedule, shared))
            computed[key] += 1
        for arm in self._decided_by_search():
            most = min(study.confirm.top, study.search.trials) - 1
            for target in study.targets_in(arm.setting, arm.variant):
                if study.report.default:
                    add("default", arm, arm.variant, target, seeds)
                if most:
                    add("ensemble", arm, arm.variant, target, most * seeds)
        return out

    @cached_property
    def preview(self) -> dict[str, Any]:
        """What the plan can say before anything ran: cells, updates, passes; every search at the paper's settings."""
        cells: Counter[str] = Counter()
        cost: dict[str, Length] = defaultdict(Length)
        saved = Length()
        for t in self.trainings:
            cells[t.row] += t.number
            cost[t.row] += t.schedule.cost * t.number
            if t.kind == "confirm":
                saved += sum(t.schedule.transfer.values(), Length()) * t.shared
        return {
            "cells": dict(cells),
            "updates": {kind: length.updates for kind, length in cost.items()},
            "passes": {kind: length.passes for kind, length in cost.items()},
            "total_cells": cells.total(),
            "total_updates": sum(length.updates for length in cost.values()),
            "total_passes": sum(length.passes for length in cost.values()),
            "shared_updates": saved.updates,
            "shared_passes": saved.passes,
        }

    def transfer_key(self, arm: Arm, settings: Mapping[str, Value], target: str) -> str:
        """What the transfer stages of a training depend on, but for the seed: trainings of one key and seed share them.

        `train.stage_key` will come to the same answer once the data are encoded.
        """
        parameters = catalogue().parameters_of(arm.variant)
        relevant = {k: v for k, v in settings.items() if {"constants", "transfer"} & set(parameters[k].reads)}
        method = catalogue().variant(arm.variant).method
        module = find_module("methods", method)
        hp = hparams(module.HParams, settings)
        aware = module.Method.target_aware(hp)
        few_shot = arm.setting != Setting() and self.study.scope == "target"  # cuts differ from target to target
        key_target = target if aware or few_shot or target in self.study.unseen else ""
        # a transfer that reads no example of the target is one for all amounts of these
        same = self.study.scope == "target" and not module.Method.reads_target(hp)
        setting = "" if same else str(arm.setting)
        return digest([method, relevant, self.study.tasks_with(target), key_target, setting])
