"""Chooses the labelled examples that a low-resource setting sees. They are the same for every method.

k is the number of labelled examples IN TOTAL, as in the papers' "few-shot" settings, balanced over the classes. The
draw for k = 20 is contained in the draw for k = 50 of the same seed, so a few-shot curve only ever adds examples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from raystudy.data.draws import rng
from raystudy.errors import DataError, Problem
from raystudy.spec import Setting
from raystudy.tasks import Example, Task

__all__ = ["at_ratio", "balanced_order", "cap", "cut", "dev_of", "pooled", "stratified"]


def balanced_order(examples: Sequence[Example], draw: np.random.Generator) -> list[int]:
    """An order of all examples whose every prefix is as balanced as the classes allow.

    Classification: rounds over the classes (in a new random order each round), one example of each per round.
    Tagging: the next sentence is the first, in a random order, that holds a tag still rarest among those chosen, so
    that each tag occurs early. Regression: a plain shuffle.
    """
    shuffled = draw.permutation(len(examples))
    if not examples or isinstance(examples[0].label, float):
        return [int(i) for i in shuffled]
    if isinstance(examples[0].label, tuple):
        return _tagging_order(examples, shuffled)
    queues: dict[str, list[int]] = {}
    for i in shuffled[::-1]:
        queues.setdefault(str(examples[i].label), []).append(int(i))
    order: list[int] = []
    classes = sorted(queues)
    while classes:
        for c in draw.permutation(len(classes)):
            order.append(queues[classes[c]].pop())
        classes = [c for c in classes if queues[c]]
    return order


def _tagging_order(examples: Sequence[Example], shuffled: np.ndarray) -> list[int]:
    """Sentences that bring the least seen tag first, until every tag was seen, then the shuffled rest."""
    rest = dict.fromkeys(int(i) for i in shuffled)
    tags = {i: set(examples[i].label) for i in rest}  # type: ignore[arg-type]
    missing = Counter(t for i in rest for t in tags[i])
    order: list[int] = []
    while missing:
        rarest = min(missing, key=lambda t: (missing[t], t))
        sentence = next(i for i in rest if rarest in tags[i])
        order.append(sentence)
        del rest[sentence]
        for t in tags[sentence]:
            missing.pop(t, None)
    return order + list(rest)


def stratified(examples: Sequence[Example], n: int, draw: np.random.Generator) -> list[int]:
    """`n` examples with the class proportions of the whole (largest remainders), in their original order."""
    first = examples[0].label
    if not isinstance(first, str):
        return sorted(int(i) for i in draw.permutation(len(examples))[:n])
    rows: dict[str, list[int]] = {}
    for i in draw.permutation(len(examples)):
        rows.setdefault(str(examples[i].label), []).append(int(i))
    exact = {c: n * len(r) / len(examples) for c, r in rows.items()}
    quota = {c: int(x) for c, x in exact.items()}
    by_remainder = sorted(exact, key=lambda c: (quota[c] - exact[c], c))
    for c in by_remainder[: n - sum(quota.values())]:
        quota[c] += 1
    return sorted(i for c, r in rows.items() for i in r[: quota[c]])


def cap(task: Task, *, seed: int = 0, **limits: int | None) -> Task:
    """At most ``limits[split]`` examples per split, stratified: one draw per task, whatever the method or seed.

    `Task.prior` stays that of the whole training split.
    """
    cuts = {}
    for split, most in limits.items():
        rows = task.splits[split]
        if most is not None and len(rows) > most:
            cuts[split] = [rows[i] for i in stratified(rows, most, rng(seed, "cap", task.name, split))]
    return replace(task.with_splits(**cuts), whole=task.prior) if cuts else task


def cut(task: Task, setting: Setting, seed: int, dev: Literal["like_train", "all"] | int = "like_train") -> Task:
    """The target task as a low-resource setting sees it. `Task.prior` stays that of the whole training split.

    Args:
        dev: ``like_train`` cuts dev to about as many examples as train has (no fewer than the classes), the honest
            size for choosing settings when labels are rare; ``all`` keeps the whole dev split; a number is that many
            examples of it, also where all training examples are there. Test is never cut.

    Raises:
        DataError: fewer training examples than k, or k below the number of classes; the same for a number of dev.
    """
    if not isinstance(dev, str):
        task = _with_dev(task, dev, seed)
    if setting == Setting():
        return task
    train = task.splits["train"]
    k = setting.shots if setting.shots is not None else max(1, round(len(train) * (setting.fraction or 1)))
    if k > len(train):
        raise DataError(Problem(f"k = {k} labelled examples were asked for, but train holds {len(train)}", task.name))
    if task.kind == "classification" and k < len(task.labels):
        rule = f"k must be at least the number of classes ({len(task.labels)}: {', '.join(task.labels)})"
        raise DataError(Problem(f"{rule}, but is {k}", task.name))
    splits = {"train": [train[i] for i in balanced_order(train, rng(seed, "few-shot", task.name, "train"))[:k]]}
    if dev == "like_train" and len(task.splits["dev"]) > (n := max(k, len(task.labels))):
        rows = task.splits["dev"]
        splits["dev"] = [rows[i] for i in balanced_order(rows, rng(seed, "few-shot", task.name, "dev"))[:n]]
    return replace(task.with_splits(**splits), whole=task.prior)


def dev_of(dev: Literal["like_train", "all"] | int, task: str, target: str) -> Literal["like_train", "all"] | int:
    """How much of a task's dev split there is: a number is asked of the target's, which selects, and of no other."""
    return dev if task == target or isinstance(dev, str) else "like_train"


def _with_dev(task: Task, n: int, seed: int) -> Task:
    """The task with `n` dev examples, balanced over the classes; the draw of a smaller number is part of it.

    Raises:
        DataError: dev has fewer, or `n` is below the number of classes.
    """
    rows = task.splits["dev"]
    if n > len(rows):
        raise DataError(Problem(f"dev = {n} examples were asked for, but dev holds {len(rows)}", task.name))
    if task.kind == "classification" and n < len(task.labels):
        rule = f"dev must be at least the number of classes ({len(task.labels)}: {', '.join(task.labels)})"
        raise DataError(Problem(f"{rule}, but is {n}", task.name))
    order = balanced_order(rows, rng(seed, "few-shot", task.name, "dev"))
    return replace(task.with_splits(dev=[rows[i] for i in order[:n]]), whole=task.prior)


def at_ratio(source: Task, target: Task, setting: Setting, seed: int) -> Task:
    """A source task with as many training examples as the setting's ratio to the target asks for, stratified by class.

    Without a ratio it is the source as it is. The draws for two ratios of one seed contain one another where the labels
    are tags or numbers. `Task.prior` stays that of the whole training split.

    Raises:
        DataError: the source has fewer training examples.
    """
    if setting.ratio is None:
        return source
    train, n = source.splits["train"], round(setting.ratio * len(target.splits["train"]))
    if n > len(train):
        rule = f"ratio {setting.ratio:g} asks for {n} examples of each source, but train holds {len(train)}"
        raise DataError(Problem(rule, source.name))
    rows = [train[i] for i in stratified(train, n, rng(seed, "ratio", source.name, "train"))]
    return replace(source.with_splits(train=rows), whole=source.prior)


def pooled(target: Task, whole: Task, n: int, seed: int) -> Task:
    """A target with `n` training examples in all: those that it has as it was cut, and further ones of its split.

    Dev stays what it is: more labels to choose settings by would be another question.

    Args:
        target: the task after `cut`.
        whole: the task before it.
        n: how many examples all tasks of a training have together.

    Raises:
        DataError: the target has fewer.
    """
    train = whole.splits["train"]
    if n > len(train):
        rule = f"all tasks together have {n} training examples, but train holds {len(train)}"
        raise DataError(Problem(rule, target.name))
    rows = [train[i] for i in balanced_order(train, rng(seed, "few-shot", target.name, "train"))[:n]]
    return replace(target.with_splits(train=rows), whole=whole.prior)
