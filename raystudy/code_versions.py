"""Tells which source files and libraries make a result, so that a stored result is used only where it could be made.

The sources of a method are all modules that a training by it really imports. Every import is followed from the module
of the method and from `train`, which runs and judges it: imports inside functions too, but not those that type checkers
alone see. Files are parsed, never run, so nothing of this loads torch.

A module that `plugins` loads by name stands in no import. Of the methods, only the one in question counts. Of the data
sets, the modules of those in question count, and the reader of folders and of the hub if one of them is read by it.
Methods and data sets of a user's own count as if they were in the package, as the study that is open names them.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from raystudy.own_modules import OwnModule, in_use

__all__ = [
    "NUMERIC",
    "code_and_library_digest",
    "code_digest",
    "imported_sources",
    "installed_version",
    "library_versions",
    "module_digest",
    "package_digest",
    "sources",
    "version_differences",
]

Sources = Mapping[str, bytes]  # "nn/encoder.py" -> what is in it

_HERE = Path(__file__).parent

# Library, as it is imported -> the distributions whose version can move a number (scikit-learn's solvers are scipy's).
# Other libraries read data and weights, and a digest of what they read is part of every spec.
NUMERIC = {
    "torch": ("torch",),
    "transformers": ("transformers",),
    "tokenizers": ("tokenizers",),
    "numpy": ("numpy",),
    "scipy": ("scipy",),
    "sklearn": ("scikit-learn", "scipy"),
}


def code_digest(method: str, datasets: tuple[str, ...] = ()) -> str:
    """A digest of every source that a training of `method` on these data sets imports.

    Raises:
        FileNotFoundError: there is no such method.
    """
    return _code_digest(method, datasets, _own(method, datasets))


def library_versions(method: str, datasets: tuple[str, ...] = ()) -> Mapping[str, str]:
    """The installed version of every library that these sources import and that can move a number of the result."""
    return _library_versions(method, datasets, _own(method, datasets))


def code_and_library_digest(method: str, datasets: tuple[str, ...] = ()) -> str:
    """One digest of code and library versions. A half-finished training is continued only where it is the same."""
    return _code_and_library_digest(method, datasets, _own(method, datasets))


Own = tuple[OwnModule, ...]


def _own(method: str, datasets: tuple[str, ...]) -> Own:
    """The modules of the user's own among this method and these data sets, of which the code is at hand."""
    wanted = {f"methods/{method}", *(f"tasks/{name}" for name in datasets)}
    return tuple(m for m in in_use() if m.source is not None and m.key in wanted)


@lru_cache
def _code_digest(method: str, datasets: tuple[str, ...], own: Own) -> str:
    here = _sources_with(own)
    return _digest({path: here[path] for path in _imported_paths(method, datasets, own)})


@lru_cache
def _library_versions(method: str, datasets: tuple[str, ...], own: Own) -> Mapping[str, str]:
    here = _sources_with(own)
    paths = _imported_paths(method, datasets, own)
    used = {name.partition(".")[0] for path in paths for name in _imports(path, here[path])}
    return {d: installed_version(d) for d in sorted({d for library in used for d in NUMERIC.get(library, ())})}


@lru_cache
def _code_and_library_digest(method: str, datasets: tuple[str, ...], own: Own) -> str:
    versions = "".join(f"\n{name} {v}" for name, v in _library_versions(method, datasets, own).items())
    return hashlib.blake2b((_code_digest(method, datasets, own) + versions).encode(), digest_size=8).hexdigest()


def _sources_with(own: Own) -> Sources:
    """Every source of the package, and those of a user's own as if they stood beside them."""
    return {**sources(), **{f"{m.key}.py": m.source for m in own if m.source is not None}} if own else sources()


def version_differences(made_by: Mapping[str, str], method: str, datasets: tuple[str, ...] = ()) -> list[str]:
    """The code and libraries that made a result and differ from those here, in words. What no record says is left out.

    Raises:
        FileNotFoundError: there is no such method any more.
    """
    differences = ["other code"] if made_by.get("code") not in (None, code_digest(method, datasets)) else []
    here = library_versions(method, datasets)
    return differences + [f"{n} {made_by[n]}, here {v}" for n, v in here.items() if made_by.get(n) not in (None, v)]


@lru_cache
def module_digest(path: str) -> str:
    """A digest of a module, by its path below the package, and of every source that it imports."""
    here = sources()
    return _digest({p: here[p] for p in _with_imports(here, [path])})


@lru_cache
def package_digest() -> str:
    """A digest of every source of the package: equal on two machines that run the same version of it."""
    return _digest(sources())


def installed_version(distribution: str) -> str:
    """The version of an installed distribution, or ``not installed``."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


@lru_cache
def sources() -> Sources:
    """Every source of the package, by its path below it; read once, as Python reads a module once."""
    return {p.relative_to(_HERE).as_posix(): p.read_bytes() for p in sorted(_HERE.rglob("*.py"))}


def imported_sources(sources: Sources, method: str, datasets: Iterable[str] = ()) -> set[str]:
    """The paths of all sources that a training of `method` on these data sets imports.

    Raises:
        FileNotFoundError: there is no such method.
    """
    pending = ["train.py", f"methods/{method}.py", *_readers(sources, datasets)]
    if pending[1] not in sources:
        raise FileNotFoundError(f"raystudy/{pending[1]}")
    return _with_imports(sources, pending)


def _with_imports(sources: Sources, pending: list[str]) -> set[str]:
    """These paths, and those of all sources that they import."""
    known, paths = frozenset(sources), set[str]()
    while pending:
        path = pending.pop()
        if path not in paths:
            paths.add(path)
            pending += _modules_imported_by(path, sources[path], known)
    return paths


@lru_cache
def _imported_paths(method: str, datasets: tuple[str, ...], own: Own) -> tuple[str, ...]:
    return tuple(sorted(imported_sources(_sources_with(own), method, datasets)))


def _readers(sources: Sources, datasets: Iterable[str]) -> Iterator[str]:
    """The modules by which `tasks.load` reads these data sets."""
    for name in datasets:
        own = f"tasks/{name}.py"
        built_in = own in sources and not name.startswith("_") and name != "folder"
        if built_in:
            yield own
        if not built_in or _has_card(sources[own]):
            yield "tasks/folder.py"


@lru_cache
def _has_card(source: bytes) -> bool:
    """Whether a module of tasks declares a card, and leaves the reading to the reader of folders."""
    assigned = (node.targets for node in ast.parse(source).body if isinstance(node, ast.Assign))
    return any(isinstance(t, ast.Name) and t.id == "CARD" for targets in assigned for t in targets)


@lru_cache(maxsize=1024)
def _modules_imported_by(path: str, source: bytes, known: frozenset[str]) -> frozenset[str]:
    """The `known` modules that Python imports for the module at `path`: its packages, and what it imports itself."""
    packages = {(folder / "__init__.py").as_posix() for folder in Path(path).parents}
    return frozenset(packages.union(*(_modules(name, known) for name in _imports(path, source))))


def _modules(name: str, known: Collection[str]) -> Iterator[str]:
    """The module of ours behind an imported name: ``data/text.py`` for ``raystudy.data.text.Batch``."""
    package, _, rest = name.partition(".")
    parts = rest.split(".") if rest else []
    while package == "raystudy":
        stem = "/".join(parts)
        for path in (f"{stem}.py", f"{stem}/__init__.py".lstrip("/")):
            if path in known:
                yield path
                return
        parts.pop()


@lru_cache(maxsize=1024)
def _imports(path: str, source: bytes) -> frozenset[str]:
    """The absolute dotted names of what a module imports, and of the modules that it imports them from."""
    tree = ast.parse(source)
    for_type_checkers = {
        id(below)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING"
        for branch in node.body
        for below in ast.walk(branch)
    }
    here = ["raystudy", *Path(path).parent.parts]  # the package that the module is in, or is
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in for_type_checkers:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = here[: len(here) - node.level + 1] if node.level else []
            base = ".".join([*package, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return frozenset(names)


def _digest(files: Mapping[str, Any]) -> str:
    h = hashlib.blake2b(digest_size=8)
    for path in sorted(files):
        h.update(f"{path}\n{len(files[path])}\n".encode() + files[path])
    return h.hexdigest()
