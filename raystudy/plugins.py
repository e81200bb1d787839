"""Methods, data sets and exhibits are plug-ins: modules that are found by their name, without a registry.

`find_module("methods", "meta_dtl")` imports `raystudy.methods.meta_dtl`; a new file in that package is a new method.
A method or a data set of a user's own, which the study that is open names by its file, is found in the same way.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from raystudy.catalogue import catalogue
from raystudy.errors import ConfigError, Problem, UserError, did_you_mean, unknown_name
from raystudy.own_modules import OwnModule, own_module
from raystudy.wording import listed, spelt

__all__ = ["check_own_module", "find_module", "module_names"]


@lru_cache
def module_names(package: str) -> tuple[str, ...]:
    """The public modules of ``raystudy.<package>``, sorted, found on disk without importing any of them."""
    folder = Path(__file__).parent / package
    return tuple(sorted(m.name for m in pkgutil.iter_modules([str(folder)]) if not m.name.startswith("_")))


def find_module(package: str, name: str) -> ModuleType:
    """The module ``raystudy.<package>.<name>``, or the user's own of that name.

    Raises:
        ConfigError: no such module; the message names the nearest one. Or one of the user's own cannot be run.
        PreflightError: of one of the user's own only the declaration is known.
    """
    if (own := own_module(package, name)) is not None:
        return own.load()
    if name not in module_names(package):
        raise ConfigError(unknown_name(package.rstrip("s").replace("_", " "), name, module_names(package)))
    return _ours(package, name)


def _ours(*parts: str) -> ModuleType:
    return importlib.import_module(".".join(("raystudy", *parts)))


# ---------------------------------------------------------------------------------------------------------------------
# what a module of a user's own must be


def check_own_module(own: OwnModule) -> list[Problem]:
    """Run a module of a user's own; returns everything that is wrong with it, each with its line."""
    try:
        module = own.load()
    except UserError as e:
        return list(e.problems)
    rules = _wrong_method if own.kind == "methods" else _wrong_task
    return [Problem(message, file=own.file, line=_line(name, own)) for name, message in rules(own, module)]


def _line(name: str, own: OwnModule) -> int | None:
    """Where a class or a function of the module is written; ``Method.schedule`` is one of a class."""
    node: ast.AST | None = ast.parse(own.source or b"")
    for part in name.split("."):
        below: list[ast.stmt] = getattr(node, "body", [])
        node = next((n for n in below if getattr(n, "name", None) == part), None)
    return getattr(node, "lineno", None)


def _wrong_method(own: OwnModule, module: ModuleType) -> Iterator[tuple[str, str]]:
    """(the name of what is wrong, the rule that it breaks) of a method."""
    base, settings = _ours("methods").BaseMethod, _ours("methods").Settings
    method, hparams = getattr(module, "Method", None), getattr(module, "HParams", None)
    if not (isinstance(method, type) and issubclass(method, base)) or method is base:
        yield "Method", "Method must be a class of its own that derives from raystudy.methods.BaseMethod"
    else:
        yield from _wrong_overrides(method, base)
    if not (isinstance(hparams, type) and issubclass(hparams, settings)):
        yield "HParams", "HParams must be a dataclass that derives from raystudy.methods.HParams or Settings"
        return
    fields = {f.name: f for f in dataclasses.fields(hparams)}
    forgotten = [name for name in vars(hparams).get("__annotations__", {}) if name not in fields]
    if forgotten or not hparams.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        yield "HParams", "HParams must be a frozen dataclass: write @dataclass(frozen=True) above it"
        return
    rules = catalogue().parameters.get(own.name, {})
    yaml = Path(own.space_file).name
    names = {name.rstrip("_"): f for name, f in fields.items()}
    if missing := [name for name in rules if name not in names]:
        yield "HParams", f"HParams must have a field for every parameter of {yaml}, but lacks {listed(missing)}"
    for name, f in names.items():
        if name not in rules:
            yield "HParams", f"{yaml} declares no parameter {name}, which HParams has{did_you_mean(name, rules)}"
        elif f.default is not dataclasses.MISSING and f.default != rules[name].check(rules[name].paper):
            said = f"{spelt(f.default)} in HParams and {spelt(rules[name].paper)} (paper) in {yaml}"
            yield "HParams", f"the default of {name} must be the same in both files, but is {said}"


def _wrong_overrides(method: type, base: type) -> Iterator[tuple[str, str]]:
    """What a method overrides in another form than `base` has it."""
    for name, theirs in vars(base).items():
        if (
            name not in vars(method)
            or name == "__init__"
            or not isinstance(theirs, FunctionType | classmethod | staticmethod)
        ):
            continue
        mine = vars(method)[name]
        if type(mine) is not type(theirs):
            words = {FunctionType: "a method with self", classmethod: "a classmethod", staticmethod: "a staticmethod"}
            is_now = next((w for kind, w in words.items() if isinstance(mine, kind)), "none")
            yield f"Method.{name}", f"{name} must be {words[type(theirs)]}, as in BaseMethod, but is {is_now}"
        elif not _takes(mine, theirs):
            asked = inspect.signature(_function(theirs))
            yield (
                f"Method.{name}",
                f"{name} must take {asked}, as in BaseMethod, but takes {inspect.signature(_function(mine))}",
            )


def _function(thing: Any) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(thing, "__func__", thing)
    return function


def _takes(mine: Any, theirs: Any) -> bool:
    """Whether a function can be called as the other is."""
    parameters = inspect.signature(_function(theirs)).parameters.values()
    by_place = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    try:
        inspect.signature(_function(mine)).bind(*(None for _ in by_place))
    except TypeError:
        return False
    return True


def _wrong_task(own: OwnModule, module: ModuleType) -> Iterator[tuple[str, str]]:
    """(the name of what is wrong, the rule that it breaks) of a data set."""
    card, load = getattr(module, "CARD", None), getattr(module, "load", None)
    if card is not None:
        if not isinstance(card, _ours("tasks", "_card").Card):
            yield "CARD", "CARD must be a raystudy.tasks.Card"
        return
    if not callable(load):
        yield "load", "load must be a function"
        return
    try:
        inspect.signature(load).bind("", root=None)
    except TypeError:
        yield "load", f"load must take (part, root=...), but takes {inspect.signature(load)}"
