"""Digests of this program's own sources: could other code than what stands here have made a result?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

__all__ = ["code_digest", "program_digest"]

_HERE = Path(__file__).parent


@lru_cache
def code_digest(method: str) -> str:
    """A digest of the sources that can change what a stage computes: data, nn, methods, train, evaluate."""
    files = [*_HERE.glob("data/*.py"), *_HERE.glob("nn/*.py"), _HERE / "methods" / "__init__.py"]
    return _digest([*files, _HERE / "methods" / f"{method}.py", _HERE / "train.py", _HERE / "evaluate.py"])


@lru_cache
def program_digest() -> str:
    """A digest of every source of the package: equal on two machines that run the same version of it."""
    return _digest(_HERE.rglob("*.py"))


def _digest(files: Iterable[Path]) -> str:
    h = hashlib.blake2b(digest_size=8)
    for path in sorted(files):
        h.update(path.relative_to(_HERE).as_posix().encode() + path.read_bytes())
    return h.hexdigest()
