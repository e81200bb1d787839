"""The search space of a variant: the ranges that ``search_spaces/*.yaml`` declares, as an Optuna trial draws from them.

A configuration is one choice of the settings that are searched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.trial import Trial

from raystudy.catalogue import Parameter, Value, catalogue

__all__ = ["first_configurations", "paper_configuration", "suggest"]


def paper_configuration(variant: str, fixed_settings: Mapping[str, Any]) -> dict[str, Value]:
    """Configuration 0: the paper's value of every searched parameter whose condition holds.

    It is empty where the study sets all that a search would move (`fixed_settings`).
    """
    settings = catalogue().resolve(variant, fixed_settings)
    parameters = catalogue().searched_parameters(variant, fixed_settings)
    return {n: settings[n] for n, p in parameters.items() if _condition_holds(p, settings)}


def first_configurations(variant: str, fixed_settings: Mapping[str, Any]) -> list[dict[str, Value]]:
    """What a search tries first: configuration 0, then one for each further value that a range enqueues.

    Those differ from configuration 0 in that value alone.
    """
    paper = paper_configuration(variant, fixed_settings)
    rules = catalogue().searched_parameters(variant, fixed_settings)
    ranges = {name: rules[name].search for name in paper}
    further = [(n, v) for n, s in ranges.items() if s is not None for v in s.enqueue if v != paper[n]]
    return [paper, *({**paper, name: value} for name, value in further)]


def suggest(trial: Trial, variant: str, fixed_settings: Mapping[str, Any]) -> dict[str, Value]:
    """All settings of one configuration: the searched ones drawn by `trial`, the others as the study fixes them.

    A parameter with a `when` is drawn only while its condition holds, in the order of the file, so a condition must
    name parameters declared before it.
    """
    settings = catalogue().resolve(variant, fixed_settings)
    for name, p in catalogue().searched_parameters(variant, fixed_settings).items():
        if _condition_holds(p, settings):
            settings[name] = p.check(_draw(trial, name, p))
    return settings


def _condition_holds(p: Parameter, settings: Mapping[str, Value]) -> bool:
    return all(settings[name] in allowed for name, allowed in p.when.items())


def _draw(trial: Trial, name: str, p: Parameter) -> Any:
    s = p.search
    assert s is not None
    if s.choices or p.type in ("choice", "bool"):
        return trial.suggest_categorical(name, list(s.choices or p.choices or (False, True)))
    assert s.low is not None
    assert s.high is not None
    if p.type == "int":
        return trial.suggest_int(name, int(s.low), int(s.high), step=int(s.step or 1), log=s.log)
    return trial.suggest_float(name, s.low, s.high, step=s.step, log=s.log)
