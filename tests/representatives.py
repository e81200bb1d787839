"""Which variants stand for all: the fewest that between them run the lines that any variant runs.

A law that holds for every variant is tried by default on these alone. The others run but a few lines of their method
that none of these runs: they differ by one branch, which the method's own tests look at. Nobody lists them: each
variant is trained for two updates, and what it ran is looked at.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from cells import VARIANTS, places_of, spec_of, unchecked
from filelock import FileLock

import raystudy
from raystudy import train
from raystudy.catalogue import catalogue, space_folder
from raystudy.errors import PreflightError
from raystudy.files import atomic_write
from raystudy.nn import embed
from raystudy.plugins import find_module

HERE = Path(__file__).parent
PACKAGE = Path(raystudy.__file__).parent
# Where variants differ: their own modules and what these call, how examples are drawn and how they are answered.
WATCHED = (
    PACKAGE / "methods",
    PACKAGE / "nn",
    PACKAGE / "data" / "draws.py",
    PACKAGE / "train.py",
    PACKAGE / "evaluate.py",
)
LEAST = 5  # lines of its own that make a variant worth all the laws once more
SMALL = {"n_train": 12, "n_dev": 6, "n_test": 6, "length": 6}

Line = tuple[str, int]


def lines(run: Callable[[], object], places: Iterable[Path] = WATCHED) -> set[Line]:
    """The lines (file, number) below `places` that `run` runs in this thread."""
    below = tuple(map(str, places))
    seen: set[Line] = set()
    watched: dict[CodeType, bool] = {}  # most frames belong to libraries

    def line(frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            seen.add((frame.f_code.co_filename, frame.f_lineno))
        return line

    def call(frame: FrameType, event: str, arg: Any) -> Any:
        code = frame.f_code
        if code not in watched:
            watched[code] = code.co_filename.startswith(below) and code.co_name != "<module>"
        return line if watched[code] else None

    before = sys.gettrace()  # a debugger's, or that of a tool that measures coverage
    sys.settrace(call)
    try:
        run()
    finally:
        sys.settrace(before)
    return seen


def cover(sets: Mapping[str, set[Hashable]], least: int = 1) -> list[str]:
    """Keys whose sets together are nearly all: again and again the one (the first of equals) that adds most.

    It ends where no set adds as many as `least` elements; with 1, the union is the same.
    """
    left, chosen = set().union(*sets.values()), []
    while left:
        best = max(sets, key=lambda key: len(sets[key] & left))
        if len(sets[best] & left) < least:
            break
        chosen.append(best)
        left -= sets[best]
    return chosen


@lru_cache
def representatives() -> tuple[str, ...]:
    """For each method the fewest variants that run its lines (see `LEAST`); kept beside pytest's own cache."""
    h = hashlib.blake2b(f"{sys.version} {VARIANTS}".encode(), digest_size=16)
    for path in sorted(
        [*PACKAGE.rglob("*.py"), *space_folder().glob("*.yaml"), HERE / "representatives.py", HERE / "cells.py"]
    ):
        h.update(path.read_bytes())
    kept = HERE.parent / ".pytest_cache" / "variants" / f"{h.hexdigest()}.json"
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(kept.with_name(".lock")):  # all processes of a run of the suite ask at once
            if not kept.is_file():
                for old in kept.parent.glob("*.json"):
                    old.unlink()
                atomic_write(kept, json.dumps(_representatives()))
            return tuple(json.loads(kept.read_text()))
    except (OSError, PreflightError):  # a checkout that cannot be written
        return tuple(_representatives())


def _representatives() -> list[str]:
    ran: dict[str, dict[str, set[Hashable]]] = {}  # method -> variant -> lines
    with suppress(Exception):  # what libraries load at the first call would take twice as long while lines are watched
        _run(VARIANTS[-1])
    for variant in VARIANTS:
        method = catalogue().variant(variant).method
        find_module("methods", method)  # its import is nobody's
        embed._MEMO.clear()
        ran.setdefault(method, {})[variant] = _lines_of(variant)
    return [variant for variants in ran.values() for variant in cover(variants, LEAST)]


def _lines_of(variant: str) -> set[Hashable]:
    try:
        with unchecked():
            return {*lines(lambda: _run(variant))}
    except Exception:  # its laws will say what is wrong with it
        return {(variant, n) for n in range(LEAST)}


def _run(variant: str) -> None:
    spec = spec_of(variant, batch_size=4, max_updates=2, options=SMALL)
    train.run(spec, places_of(spec))
