"""What a study will do, before it does it: tasks as they will be read, every spec, what is shared, the updates."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from raystudy.analysis import cautions
from raystudy.analysis.table import counted
from raystudy.analysis.tables import TaskFacts
from raystudy.catalogue import Value, catalogue, suites
from raystudy.data.fewshot import cap, cut
from raystudy.data.plm import PLM, resolve
from raystudy.data.standardise import LabelUnit
from raystudy.data.text import coverage_facts, encode
from raystudy.errors import ConfigError, DataError, Problem, UserError, printable
from raystudy.methods import Length, Schedule, Sizes, hparams
from raystudy.nn.encoder import frozen_layers, verify
from raystudy.plugins import find_module
from raystudy.spec import Arm, Places, Setting, Spec, digest
from raystudy.study.search.arm_search import ArmSearch
from raystudy.study.search.space import paper_configuration
from raystudy.studyfile import Study
from raystudy.tasks import SPLITS, Task, load, looks_like_no_class
from raystudy.yamlfile import dotted

__all__ = ["Plan", "class_line", "kinds_together", "label_counts", "merged_labels"]

_CLASSES = 20  # up to so many classes are listed whole; of more, the most and the least frequent
_ENDS = 6

# Search seeds and report seeds never meet: the score that chose a setting is not the score that is reported.
_SEARCH_SEEDS = 1000


def merged_labels(tasks: Iterable[Task]) -> dict[str, list[str]]:
    """Label words of a class of more than one task -> ``task: label`` of each; one class in a union head."""
    where: dict[str, list[str]] = defaultdict(list)
    for task in tasks:
        for label in task.labels:
            where[task.text_of(label)].append(f"{task.name}: {label}")
    return {words: found for words, found in where.items() if len(found) > 1}


def kinds_together(plan: Plan) -> list[str]:
    """Where tasks of several kinds take part in one training: which are of which kind."""
    out = []
    for suite in dict.fromkeys(map(plan.study.tasks_with, plan.study.target_names)):
        kinds: dict[str, list[str]] = defaultdict(list)
        for name in suite:
            kinds[plan.tasks[name].kind].append(name)
        if len(kinds) > 1:
            said = (f"{kind} {', '.join(names[:_ENDS])}{_more(len(names) - _ENDS)}" for kind, names in kinds.items())
            out.append(f"tasks of {len(kinds)} kinds take part together: {'; '.join(said)}")
    return out


def _more(n: int) -> str:
    return f" and {n} more" if n > 0 else ""


def label_counts(task: Task) -> dict[str, dict[str, float]]:
    """split -> class -> examples, or tag -> words; of numbers the least, the mean and the greatest."""
    if task.kind != "regression":
        return {split: dict(found) for split, found in task.counts.items()}
    out = {}
    for split in SPLITS:
        values = [e.label for e in task.splits[split] if isinstance(e.label, float)]
        out[split] = {"least": min(values), "mean": sum(values) / len(values), "greatest": max(values)}
    return out


def class_line(task: Task) -> str:
    """Every class with its count in each split, or the range of numbers; a (?) stands behind what looks like no class.

    Of more than twenty classes, those that are most and least frequent in train.
    """
    counts = label_counts(task)
    if task.kind == "regression":
        spread = (f"{split} {c['least']:g} to {c['greatest']:g} (mean {c['mean']:.3g})" for split, c in counts.items())
        return f"labels from least to greatest: {', '.join(spread)}"

    def told(label: str) -> str:
        doubt = " (?)" if looks_like_no_class(label) else ""
        return f"{printable(label)[:60]}{doubt} {'/'.join(str(counts[s].get(label, 0)) for s in SPLITS)}"

    of = "words of each tag" if task.kind == "tagging" else "examples of each class"
    head = f"{of} in {'/'.join(SPLITS)}: "
    labels = list(dict.fromkeys(c for found in counts.values() for c in found))
    if len(labels) <= _CLASSES:
        return head + ", ".join(map(told, labels))
    ordered = sorted(labels, key=lambda c: -counts["train"].get(c, 0))
    most, least = ordered[:_ENDS], ordered[-_ENDS:]
    doubtful = [c for c in ordered[_ENDS:-_ENDS] if looks_like_no_class(c)][:_ENDS]
    said = f"{head}{', '.join(map(told, most))} ... {', '.join(map(told, [*doubtful, *least]))}"
    return f"{said} ({len(labels)} in all, by their number in train)"


def _together(errors: Sequence[UserError]) -> UserError:
    """All their problems in one error, of the kind whose exit code is the highest."""
    worst = max(errors, key=lambda e: e.exit_code)
    return type(worst)(dict.fromkeys(p for e in errors for p in e.problems))


@dataclass
class Plan:
    """A study with its model and data in hand.

    Raises (on first use of what is wrong):
        PreflightError: the model or a data set is missing. DataError: the data cannot serve a setting.
    """

    study: Study
    places: Places

    @cached_property
    def plm(self) -> PLM:
        """The model, its files checked."""
        plm = resolve(self.places.plm, self.places.revision)
        verify(plm)
        return plm

    @cached_property
    def limits(self) -> dict[str, dict[str, int]]:
        """task -> split -> at most; a task that is only a source may have limits of its own."""
        common = self.study.limits.model_dump(exclude_none=True)
        source = self.study.source_limits.model_dump(exclude_none=True)
        targets = self.study.target_names
        return {t: {**common, **({} if t in targets else source)} for t in self.study.task_names}

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
            raise _together(errors)
        return tasks

    def preflight(self) -> None:
        """Have model and data in hand.

        Raises:
            UserError: everything that is missing or unfit, of the model and of every task, at once.
        """
        self._have("plm", "tasks")

    def _have(self, *parts: str) -> None:
        errors: list[UserError] = []
        for part in parts:
            try:
                getattr(self, part)
            except UserError as e:
                errors.append(e)
        if errors:
            raise _together(errors)

    @cached_property
    def idle(self) -> list[str]:
        """What the study asks for that has no effect, a line each."""
        search = self.study.search
        found = [*self.study.keys_without_effect]
        if self.study.searched_settings and not self._searched_arms():
            asked = counted(search.trials, "configuration")
            found.append(f"search: {asked} asked for, but the study sets all that a search of its methods would move")
        return found

    @property
    def task_facts(self) -> list[TaskFacts]:
        """What a report says of the data."""
        return [
            TaskFacts(
                name=name,
                role="target" if name in self.study.target_names else "source",
                form=t.form,
                classes=len(t.labels),
                train=len(t.splits["train"]),
                dev=len(t.splits["dev"]),
                test=len(t.splits["test"]),
                metric=t.metric,
                source=t.source,
                licence=t.licence,
                notes=t.notes,
                digest=t.digest,
            )
            for name, t in self.tasks.items()
        ]

    @cached_property
    def sizes(self) -> dict[tuple[str, Setting], dict[str, int]]:
        """(target, setting) -> task -> labelled training examples. Every impossible setting is named at once."""
        self.preflight()
        self._have("lengths", "admitted")  # refused here, before anything is trained
        sizes: dict[tuple[str, Setting], dict[str, int]] = {}
        problems: list[Problem] = []
        for setting in self.study.settings_grid:
            for target in self.study.target_names:
                together = self.study.tasks_with(target)
                n = {name: len(self.tasks[name].splits["train"]) for name in together}
                for name in together if self.study.scope == "suite" else (target,):
                    try:
                        n[name] = len(cut(self.tasks[name], setting, 0, self.study.dev).splits["train"])
                    except DataError as e:
                        at = self._setting_at(setting)
                        problems += [Problem(f"task {p.path}: {p.message}", at) for p in e.problems]
                sizes[target, setting] = n
        if problems:
            raise self.study.origin.with_places(DataError(dict.fromkeys(problems)))
        return sizes

    def _setting_at(self, setting: Setting) -> str:
        """The key of the study that asks for a setting."""
        key, value = ("shots", setting.shots) if setting.shots is not None else ("fraction", setting.fraction)
        return dotted(self.study.origin.of_item(key, value)) if value is not None else ""

    @cached_property
    def lengths(self) -> dict[str, int | None]:
        """target -> the longest sequence in word pieces of its trainings, or None for each task's own.

        Raises:
            ConfigError: more than the model has positions for.
        """
        found: dict[str, int | None] = {}
        for target in self.study.target_names:
            own = suites().get(self.study.suite_of(target), {}).get("length")
            found[target] = self.study.length or own
        if over := [n for n in found.values() if n is not None and n > self.plm.positions]:
            raise self.study.origin.with_places(
                ConfigError(
                    Problem(f"must be at most {self.plm.positions} for {self.plm.name}, but is {over[0]}", "length")
                )
            )
        return found

    @cached_property
    def admitted(self) -> dict[str, list[str]]:
        """variant -> what it says of this model and these tasks: which layers are meant, which classes are one.

        Raises:
            UserError: everything that a method cannot do with them.
        """
        said: dict[str, list[str]] = {}
        wrong: list[UserError] = []
        for variant in self.study.variants:
            fixed = dict(self.study.fixed_settings(variant))
            try:
                said[variant] = self._admit(variant, fixed, variant)
            except UserError as e:
                wrong.append(e)
                continue  # what is searched would be refused for the same reasons
            for name, choice in self._searched_layers(variant, fixed):
                try:
                    self._admit(variant, {**fixed, name: choice}, f"{variant}, searched {name} {choice}")
                except UserError as e:
                    wrong.append(e)
        if wrong:
            raise self.study.origin.with_places(_together(wrong))
        return said

    def _admit(self, variant: str, settings: Mapping[str, Any], where: str) -> list[str]:
        """What the variant says of the model and of every suite's tasks; `where` is what its problems are of.

        Raises:
            UserError: everything that it cannot do with them.
        """
        module = find_module("methods", catalogue().variant(variant).method)
        hp = hparams(module.HParams, catalogue().resolve(variant, settings))
        said: dict[str, None] = {}
        wrong: list[UserError] = []
        try:
            said |= dict.fromkeys(self._frozen(hp))
        except UserError as e:
            wrong.append(type(e)(self._at_method(variant, where, p) for p in e.problems))
        unseen_in = {t: t if t in self.study.unseen else None for t in self.study.target_names}
        for suite, unseen in dict.fromkeys((self.study.tasks_with(t), u) for t, u in unseen_in.items()):
            try:
                found = module.Method.admit(hp, self.plm.depth, {name: self.tasks[name] for name in suite}, unseen)
            except UserError as e:
                wrong.append(type(e)(self._at_method(variant, where, p) for p in e.problems))
            else:
                said |= dict.fromkeys(found)
        if self.study.numerics.precision == "bf16" and module.Method.exact(hp):
            said["trains in fp32, whatever numerics.precision says: it takes derivatives of gradients"] = None
        if wrong:
            raise _together(wrong)
        return [*said]

    def _at_method(self, variant: str, where: str, problem: Problem) -> Problem:
        """What a method refuses, at the key that gives the setting in question, or else at the method's entry."""
        origin, name = self.study.origin, problem.path
        if name in catalogue().parameters_of(variant) and where == variant:
            loc = origin.of_setting(variant, name, self.study.settings)
        else:
            loc = origin.of_variant(variant)
        said = (where, "" if loc[-1] == name else name, problem.message)
        return Problem(": ".join(part for part in said if part), dotted(loc))

    def _frozen(self, hp: Any) -> list[str]:
        """Which layers a setting of `freeze` leaves as they are, where it speaks of layers.

        Raises:
            ConfigError: this model has no such layers.
        """
        what, plm = getattr(hp, "freeze", "none"), self.plm
        try:
            number = frozen_layers(what, plm.depth, shared=plm.shared_layers)
        except ValueError as e:
            raise ConfigError(Problem(str(e), "freeze")) from None
        if what == "all" or not number:
            return []
        lower = counted(number, "lower layer")
        return [f"freeze {what}: the embeddings and {lower} of {plm.depth} are not trained"]

    def _searched_layers(self, variant: str, fixed: Mapping[str, Any]) -> list[tuple[str, Value]]:
        """(parameter, choice) that a search would try: whether they can be had depends on the model's depth."""
        if self.study.search.trials < 2:
            return []
        found = catalogue().searched_parameters(variant, fixed)
        return [
            (n, c)
            for n, p in found.items()
            if p.type in ("layers", "depth") and p.search is not None
            for c in p.search.choices
        ]

    def spec(
        self, arm: Arm, settings: Mapping[str, Value], target: str, seed: int, phase: Literal["search", "confirm"]
    ) -> Spec:
        """One training. `seed` counts from 0 in each phase."""
        study = self.study
        return Spec(
            phase=phase,
            variant=arm.variant,
            method=catalogue().variant(arm.variant).method,
            settings=dict(settings),
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

    def searches(self, storage: Any = None) -> dict[Arm, ArmSearch]:
        """The search of every arm that has one: in the searched settings, but for controls, which copy a winner."""
        out = {}
        for arm in self._searched_arms():

            def make(settings: dict[str, Value], target: str, seed: int, arm: Arm = arm) -> Spec:
                return self.spec(arm, settings, target, seed, "search")

            out[arm] = ArmSearch(
                arm, self.study.search, self.study.fixed_settings(arm.variant), self.study.target_names, make, storage
            )
        return out

    def _searched_arms(self) -> list[Arm]:
        where = set(self.study.searched_settings)
        return [
            arm
            for arm in self.study.arms()
            if arm.setting in where
            and catalogue().variant(arm.variant).role != "control"
            and paper_configuration(arm.variant, self.study.fixed_settings(arm.variant))  # empty: nothing to search
        ]

    def settings_of(self, arm: Arm, target: str, searches: Mapping[Arm, ArmSearch]) -> dict[str, Value] | None:
        """The settings to confirm for one arm and target; None while the search that decides them is not finished."""
        study = self.study
        variant = catalogue().variant(arm.variant)
        if variant.role == "control":
            return self._control(arm, target, searches)
        source = arm
        if arm not in searches and study.search.elsewhere == "winner" and study.searched_settings:
            source = Arm(arm.variant, max(study.searched_settings, key=lambda s: (s.shots or 0, s.fraction or 0)))
        if source not in searches:
            return catalogue().resolve(arm.variant, study.fixed_settings(arm.variant))
        search = searches[source]
        return search.configurations[search.winners().get(target, 0)].settings if search.finished else None

    def _control(self, arm: Arm, target: str, searches: Mapping[Arm, ArmSearch]) -> dict[str, Value] | None:
        """The copied variant's settings, with as many updates as the setting's costliest method has passes."""
        copied = self.settings_of(Arm(catalogue().variant(arm.variant).copies, arm.setting), target, searches)
        most = 0.0
        for other in self.study.variants:
            if catalogue().variant(other).role in ("control", "floor"):
                continue
            settings = self.settings_of(Arm(other, arm.setting), target, searches)
            if settings is None:
                return None
            most = max(most, self.schedule(other, settings, target, arm.setting).cost.passes)
        own = catalogue().resolve(arm.variant, self.study.fixed_settings(arm.variant))
        return None if copied is None else {**own, **copied, "updates": math.ceil(most)}

    def confirm(self, searches: Mapping[Arm, ArmSearch]) -> list[Spec]:
        """Every confirm spec whose settings are decided, seeds outermost, so that all methods advance together."""
        decided = self._decided(searches)
        return [
            self.spec(arm, settings, target, seed, "confirm")
            for seed in range(self.study.report.seeds)
            for (arm, target), settings in decided.items()
        ]

    def _decided(self, searches: Mapping[Arm, ArmSearch]) -> dict[tuple[Arm, str], dict[str, Value]]:
        """(arm, target) -> the settings to confirm, where no search that decides them is unfinished."""
        return {
            (arm, target): settings
            for arm in self.study.arms()
            for target in self.study.target_names
            if (settings := self.settings_of(arm, target, searches)) is not None
        }

    def schedule(self, variant: str, settings: Mapping[str, Value], target: str, setting: Setting) -> Schedule:
        """The stages of one training of `variant`, each with its updates and passes."""
        module = find_module("methods", catalogue().variant(variant).method)
        schedule = module.Method.schedule(hparams(module.HParams, settings), self._sizes_of(target, setting))
        assert isinstance(schedule, Schedule)
        return schedule

    def _sizes_of(self, target: str, setting: Setting) -> Sizes:
        return Sizes(self.sizes[target, setting], target, target in self.study.unseen)

    @cached_property
    def cautions(self) -> list[str]:
        """What the scores will depend on that nobody asked for, a line each, as the report will say below them.

        Texts that are cut and words that no model sees, constant labels, what the floor of the majority class answers,
        stages of few updates. Tokenises what the study would read.
        """
        return [*self._unread(), *self._units(), *self._majority(), *self._short()]

    def _unread(self) -> Iterator[str]:
        """Texts that are cut and words that no model sees: of targets in every split, of sources in train."""
        targets = self.study.target_names
        all_data = self.study.settings_grid == (Setting(),)
        for name, length in dict.fromkeys((t, self.lengths[g]) for g in targets for t in self.study.tasks_with(g)):
            task = self.tasks[name]
            splits = {s: encode(task, s, self.plm, length) for s in (SPLITS if name in targets else ("train",))}
            tag = [str(task.drawn_prior.answer)] if all_data else []
            unread = cautions.unread_answer("train" if all_data else "the drawn sentences of train", tag)
            yield from cautions.coverage(name, coverage_facts(splits, self.plm), unread)
            more: dict[int, list[str]] = defaultdict(list)
            for variant, (method, hp) in self._methods.items():
                more[method.cut_further(hp, splits["train"])].append(variant)
            yield from (cautions.cut_further(variants, {name: n}) for n, variants in more.items() if n)

    def _units(self) -> Iterator[str]:
        """In which unit numbers are trained, and draws in which they are all the same."""
        for name in self.study.target_names:
            task = self.tasks[name]
            if task.kind != "regression":
                continue
            unit = LabelUnit.of([float(e.label) for e in task.splits["train"]])  # type: ignore[arg-type]
            yield (
                f"{name}: numbers are trained in standard deviations from the mean of the training labels (in all of "
                f"train: mean {unit.mean:.4g}, sd {unit.sd:.4g}) and answered in their own unit"
            )
            draws = [(s, n) for s in self.study.settings_grid for n in range(self.study.report.seeds)]
            seen = ((s, n, {e.label for e in cut(task, s, n, self.study.dev).splits["train"]}) for s, n in draws)
            yield from cautions.constant_labels({name: [f"seed {n} ({s})" for s, n, found in seen if len(found) == 1]})

    def _majority(self) -> Iterator[str]:
        """What the floor of the majority class answers."""
        told = [v for v, (method, hp) in self._methods.items() if method.knows_prior(hp)]
        priors = {t: self.tasks[t].prior.facts() for t in self.study.target_names}
        yield from (cautions.majority(catalogue().variant(v).title, priors) for v in told)

    def _short(self) -> Iterator[str]:
        """Stages of few updates. A control makes as many updates as the costliest method has passes."""
        fewest: dict[str, tuple[str, int]] = {}
        for variant, (method, hp) in self._methods.items():
            if catalogue().variant(variant).role in ("control", "floor"):
                continue
            schedules = [method.schedule(hp, self._sizes_of(target, setting)) for target, setting in self.sizes]
            n, name = min((length.updates, name) for s in schedules for name, length in s.stages.items())
            fewest[variant] = (name, n)
        if (line := cautions.short_trainings(fewest)) is not None:
            yield line

    @cached_property
    def _methods(self) -> dict[str, tuple[Any, Any]]:
        """variant -> its class and its settings as the study fixes them, before any search."""
        out = {}
        for variant in self.study.variants:
            module = find_module("methods", catalogue().variant(variant).method)
            settings = catalogue().resolve(variant, dict(self.study.fixed_settings(variant)))
            out[variant] = module.Method, hparams(module.HParams, settings)
        return out

    @cached_property
    def preview(self) -> dict[str, Any]:
        """What the plan can say before anything ran: cells, updates and passes, every search at the paper's settings.

        Seeds and trials differ in no number here, so each (method, target, setting) is looked at once and multiplied.
        """
        study = self.study
        cells: Counter[str] = Counter()
        cost: dict[str, Length] = defaultdict(Length)
        stages: Counter[str] = Counter()
        saved = Length()
        tried, seeds = study.search.trials * study.search.seeds, study.report.seeds
        for arm in self._searched_arms():
            settings = catalogue().resolve(arm.variant, study.fixed_settings(arm.variant))
            for target in study.target_names:
                cells[f"{arm.variant} search"] += tried
                cost[f"{arm.variant} search"] += self.schedule(arm.variant, settings, target, arm.setting).cost * tried
        for (arm, target), settings in self._decided({}).items():
            schedule = self.schedule(arm.variant, settings, target, arm.setting)
            cells[f"{arm.variant} confirm"] += seeds
            cost[f"{arm.variant} confirm"] += schedule.cost * seeds
            key = self._sharing(arm, settings, target)
            saved += sum(schedule.transfer.values(), Length()) * (seeds if stages[key] else 0)
            stages[key] += 1
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

    def _sharing(self, arm: Arm, settings: Mapping[str, Value], target: str) -> str:
        """Trainings of one seed and one key share their transfer stage.

        `train.stage_key` will find the same once the data are encoded.
        """
        rules = catalogue().parameters_of(arm.variant)
        read = {k: v for k, v in settings.items() if {"constants", "transfer"} & set(rules[k].reads)}
        method = catalogue().variant(arm.variant).method
        module = find_module("methods", method)
        aware = module.Method.target_aware(hparams(module.HParams, settings))
        few_shot = arm.setting != Setting() and self.study.scope == "target"  # cuts differ from target to target
        own = target if aware or few_shot or target in self.study.unseen else ""
        return digest([method, read, self.study.tasks_with(target), own, str(arm.setting)])
