"""Reads the files of a user's own that a study names among its methods and tasks, and checks them before anything runs.

An entry of `methods` or `tasks` that ends in ``.py`` is such a file; its path is relative to the study file. It stands
for all variants of the method, or for the data set; ``./stilts.py::stilts_short`` stands for one variant, and
``./mytask.py::books`` for one part. Elsewhere in the study they are called by their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raystudy.catalogue import own_variants, problems_of_own_space
from raystudy.errors import ConfigError, Problem, did_you_mean, quoted, unknown_name
from raystudy.own_modules import Kind, OwnModule, names_a_file, problems_of_source, split_entry, use
from raystudy.paths import absolute_path, kind_of
from raystudy.plugins import module_names

__all__ = ["OwnEntries", "own_entries", "read_own", "use_named"]

Location = tuple[str | int, ...]
_BYTES = 1 << 20  # of one file
_SPACE_BYTES = 64 * 1024  # of the YAML beside a method


@dataclass
class OwnEntries:
    """The files of a study, and the study in their names.

    Attributes:
        keys: the study's keys, with the names of variants and data sets in the place of files.
        modules: the files, without those that are wrong.
        places: where in `keys` something stands now -> where the study has it.
        named: variant or data set -> the entry of the study that names it.
        broken: the entries whose files are wrong; nothing stands there in `keys`.
        mistakes: (entry, what is wrong with it).
        problems: what is wrong with the files.
    """

    keys: dict[str, Any]
    modules: list[OwnModule] = field(default_factory=list)
    places: dict[Location, Location] = field(default_factory=dict)
    named: dict[str, Location] = field(default_factory=dict)
    broken: list[Location] = field(default_factory=list)
    mistakes: list[tuple[Location, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def is_broken(self, loc: Location) -> bool:
        """Whether a place of the study is, or is in, an entry whose file is wrong."""
        return any(loc[: len(b)] == b for b in self.broken)


def own_entries(keys: Mapping[str, Any], base: Path) -> OwnEntries:
    """The files that a study names, read and checked as far as that goes without running them.

    Args:
        base: what their paths are relative to.
    """
    entries = OwnEntries(dict(keys))
    known: dict[tuple[Kind, Path], OwnModule | None] = {}

    def module(kind: Kind, path_text: str, loc: Location) -> OwnModule | None:
        """The module of an entry; None where it is wrong, which is told once for each file."""
        try:
            path = absolute_path(path_text, base)
        except ConfigError as e:
            entries.mistakes += [(loc, p.message) for p in e.problems]
            entries.broken.append(loc)
            return None
        place = kind, path
        if place not in known:
            try:
                known[place] = read_own(kind, path)
            except ConfigError as e:
                known[place] = None
                entries.mistakes += [(loc, p.message) for p in e.problems if not p.file]
                entries.problems += [p for p in e.problems if p.file]
            else:
                _add(entries, known[place], loc)
        if known[place] is None:
            entries.broken.append(loc)
        return known[place]

    for key in ("methods", "tasks", "targets", "unseen"):
        value, read = keys.get(key), _method_entry if key == "methods" else _task_entry
        if not _names_files(value):
            continue
        if isinstance(value, list):
            entries.keys[key] = [read(entries, entry, (key, i), module) for i, entry in enumerate(value)]
        else:
            entries.keys[key] = read(entries, value, (key,), module)
    return entries


def _names_files(value: Any) -> bool:
    """Whether a file is named by an entry, or by one of a list of entries."""
    if isinstance(value, list | Mapping):
        return any(_names_files(item) if isinstance(item, Mapping) else names_a_file(item) for item in value)
    return names_a_file(value)


def _add(entries: OwnEntries, module: OwnModule | None, loc: Location) -> None:
    assert module is not None
    if (other := next((m for m in entries.modules if m.key == module.key), None)) is not None:
        entries.mistakes.append((loc, f"is called {module.name} like {other.file}: give one of them another name"))
        return
    if module.kind == "methods":
        declared = {v: m for m in entries.modules if m.kind == "methods" for v in own_variants(m)}
        for variant in own_variants(module):
            if variant in declared:
                text = f"declares a variant {variant}, as {declared[variant].space_file} does: rename one"
                entries.problems.append(Problem(text, file=module.space_file))
    entries.modules.append(module)


def _method_entry(entries: OwnEntries, entry: Any, loc: Location, module: Any) -> Any:
    """An entry of `methods` with the names of variants in the place of files."""
    if isinstance(entry, Mapping):
        variants: dict[str, Any] = {}
        for name, settings in entry.items():
            for variant in _variants_of(entries, name, (*loc, name), module) if names_a_file(name) else (name,):
                variants[variant] = settings
                if variant != name:
                    entries.places[*loc, variant] = (*loc, name)
        return variants or None
    if not names_a_file(entry):
        return entry
    names = _variants_of(entries, entry, loc, module)
    if len(names) == 1:
        return names[0]
    entries.places |= {(*loc, name): loc for name in names}
    return {name: {} for name in names} or None


def _variants_of(entries: OwnEntries, entry: str, loc: Location, module: Any) -> Sequence[str]:
    """The variants that an entry stands for; none where its file is wrong."""
    path, part = split_entry(entry)
    own = module("methods", path, loc)
    if own is None:
        return ()
    variants = own_variants(own)
    if part and part.partition("[")[0] not in variants:
        entries.mistakes.append((loc, unknown_name(f"variant of {own.name}.py", part, list(variants))))
        entries.broken.append(loc)
        return ()
    names = (part,) if part else variants
    for name in names:
        entries.named.setdefault(name, loc)
    return names


def _task_entry(entries: OwnEntries, entry: Any, loc: Location, module: Any) -> Any:
    if not names_a_file(entry):
        return entry
    path, part = split_entry(entry)
    own = module("tasks", path, loc)
    if own is None:
        return None
    name = f"{own.name}/{part}" if part else own.name
    entries.named.setdefault(name, loc)
    return name


def read_own(kind: Kind, path: Path) -> OwnModule:
    """The method or the data set in a file, which is read and not run.

    Raises:
        ConfigError: everything that is wrong with it. A problem that names no file is of the entry that names the file.
    """
    what = {"methods": "method", "tasks": "data set"}[kind]
    if (found := kind_of(path)) != "file":
        near = did_you_mean(path.name, [p.name for p in _beside(path) if p.suffix == ".py"])
        messages = {"nothing": f"no such file: {path}{near}", "folder": f"is a folder: {path}"}
        raise ConfigError(Problem(messages.get(found, f"cannot be read: {path}")))
    problems: list[Problem] = []
    if not re.fullmatch(r"[A-Za-z]\w{0,59}", path.stem, re.ASCII):
        rule = f"names the {what}, so it must be a name of letters, digits and '_' that begins with a letter"
        problems.append(Problem(f"{rule}, but is {quoted(path.stem)}"))
    elif path.stem in module_names(kind):
        problems.append(Problem(f"{path.stem} is a {what} that comes with raystudy: give the file another name"))
    source = _read(path, _BYTES, problems)
    near_files = [*_beside(path), *_beside(Path("x").absolute())]  # Python looks in the current folder too
    siblings = {p.stem for p in near_files if p != path and _is_module(p)} - {"raystudy"}
    if source is not None:
        problems += problems_of_source(kind, source, str(path), siblings)
    space_path, space = path.with_suffix(".yaml"), b""
    if kind == "methods":
        if kind_of(space_path) != "file":
            near = did_you_mean(space_path.name, [p.name for p in _beside(path) if p.suffix in (".yaml", ".yml")])
            rule = f"its parameters and variants must be in {space_path.name} beside it, and there is no such file"
            problems.append(Problem(f"{rule}{near}"))
        else:
            space = _read(space_path, _SPACE_BYTES, problems) or b""
    try:
        text = space.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        problems.append(Problem(f"is not UTF-8 text (byte {e.start})", file=str(space_path)))
        text = ""
    module = OwnModule.of(kind, path, source or b"", text, str(space_path) if text else "")
    if text:
        problems += problems_of_own_space(module)
    elif kind == "methods" and kind_of(space_path) == "file" and not problems:
        problems.append(Problem("must be a mapping of keys to values, but is empty", file=str(space_path), line=1))
    if problems:
        raise ConfigError(problems)
    return module


def use_named(kind: Kind, path: str, where: str) -> OwnModule:
    """The method or the data set in a file that a command names; it is in use from now on.

    Args:
        path: as it was typed.
        where: the argument that names it.

    Raises:
        ConfigError: everything that is wrong with its files.
    """
    try:
        own = read_own(kind, absolute_path(path, where=where))
    except ConfigError as e:
        raise ConfigError(p if p.file else Problem(p.message, where) for p in e.problems) from None
    use([own])
    return own


def _is_module(path: Path) -> bool:
    return path.suffix == ".py" or kind_of(path / "__init__.py") == "file"


def _beside(path: Path) -> Iterator[Path]:
    try:
        yield from sorted(path.parent.iterdir())
    except OSError:
        return


def _read(path: Path, most: int, problems: list[Problem]) -> bytes | None:
    """The bytes of a file; None, and a problem more, where it cannot be read."""
    try:
        with path.open("rb") as f:
            data = f.read(most + 1)
    except OSError as e:
        problems.append(Problem(f"cannot be read: {e.strerror or e}", file=str(path)))
        return None
    if len(data) > most:
        problems.append(Problem(f"must be at most {most // 1024} KiB", file=str(path)))
        return None
    return data
