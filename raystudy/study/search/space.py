"""The search space of a variant, as ``search_spaces/*.yaml`` declares it, asked from an Optuna trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.trial import Trial

from raystudy.catalogue import Parameter, Value, catalogue

__all__ = ["enqueued", "papers", "suggest"]


def papers(variant: str, fixed: Mapping[str, Any]) -> dict[str, Value]:
    """Trial 0: the paper's value of every searched parameter that is in effect."""
    settings = catalogue().resolve(variant, fixed)
    return {
        n: settings[n] for n, p in catalogue().searched_parameters(variant, fixed).items() if _in_effect(p, settings)
    }


def enqueued(variant: str, fixed: Mapping[str, Any]) -> list[dict[str, Value]]:
    """What a search tries first: trial 0, then each further value that a range enqueues, all else as in trial 0."""
    first = papers(variant, fixed)
    rules = catalogue().searched_parameters(variant, fixed)
    ranges = {name: rules[name].search for name in first}
    further = [(n, v) for n, s in ranges.items() if s is not None for v in s.enqueue if v != first[n]]
    return [first, *({**first, name: value} for name, value in further)]


def suggest(trial: Trial, variant: str, fixed: Mapping[str, Any]) -> dict[str, Value]:
    """The complete settings of one configuration: searched parameters from `trial`, all others as the study fixes them.

    A parameter with a `when` is asked only while its condition holds, in the order of the file, so a condition must
    name parameters declared before it.
    """
    settings = catalogue().resolve(variant, fixed)
    for name, p in catalogue().searched_parameters(variant, fixed).items():
        if _in_effect(p, settings):
            settings[name] = p.check(_ask(trial, name, p))
    return settings


def _in_effect(p: Parameter, settings: Mapping[str, Value]) -> bool:
    return all(settings[name] in allowed for name, allowed in p.when.items())


def _ask(trial: Trial, name: str, p: Parameter) -> Any:
    s = p.search
    assert s is not None
    if s.choices or p.type in ("choice", "bool"):
        return trial.suggest_categorical(name, list(s.choices or p.choices or (False, True)))
    assert s.low is not None
    assert s.high is not None
    if p.type == "int":
        return trial.suggest_int(name, int(s.low), int(s.high), step=int(s.step or 1), log=s.log)
    return trial.suggest_float(name, s.low, s.high, step=s.step, log=s.log)
