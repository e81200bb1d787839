"""Methods, data sets and exhibits are plug-ins: modules that are found by their name, without a registry.

`find_module("methods", "meta_dtl")` imports `raystudy.methods.meta_dtl`; a new file in that package is a new method.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from raystudy.errors import ConfigError, unknown_name

__all__ = ["find_module", "module_names"]


@lru_cache
def module_names(package: str) -> tuple[str, ...]:
    """The public modules of ``raystudy.<package>``, sorted, found on disk without importing any of them."""
    folder = Path(__file__).parent / package
    return tuple(sorted(m.name for m in pkgutil.iter_modules([str(folder)]) if not m.name.startswith("_")))


def find_module(package: str, name: str) -> ModuleType:
    """The module ``raystudy.<package>.<name>``.

    Raises:
        ConfigError: no such module; the message names the nearest one.
    """
    if name not in module_names(package):
        raise ConfigError(unknown_name(package.rstrip("s").replace("_", " "), name, module_names(package)))
    return importlib.import_module(f"raystudy.{package}.{name}")
