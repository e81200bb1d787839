"""A plug-in is a module: `find("methods", "meta_dtl")` imports `raystudy.methods.meta_dtl`. None registers itself."""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from raystudy.errors import ConfigError, unknown_name

__all__ = ["find", "names"]


@lru_cache
def names(package: str) -> tuple[str, ...]:
    """The public modules of ``raystudy.<package>``, sorted, found on disk without importing any of them."""
    folder = Path(__file__).parent / package
    return tuple(sorted(m.name for m in pkgutil.iter_modules([str(folder)]) if not m.name.startswith("_")))


def find(package: str, name: str) -> ModuleType:
    """The module ``raystudy.<package>.<name>``.

    Raises:
        ConfigError: no such module; the message names the nearest one.
    """
    if name not in names(package):
        raise ConfigError(unknown_name(package.rstrip("s").replace("_", " "), name, names(package)))
    return importlib.import_module(f"raystudy.{package}.{name}")
