"""Remembers where each key of a study was written: the file and its line, or the command line.

A study is read long before it is known whether its data and its model can serve it. A problem that is found then still
names the line of the study file that asks for the impossible, as a mistyped key does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from raystudy.catalogue import catalogue, space_folder
from raystudy.errors import ConfigError, Problem, UserError
from raystudy.yamlfile import dotted, lines_of, load_yaml, nearest_line

__all__ = ["Location", "Origin"]

Location = tuple[str | int, ...]
E = TypeVar("E", bound=UserError)

# a key that a study leaves out -> the keys that decide in its place
_DECIDES_INSTEAD = {
    "tasks": ("suite", "suites"),
    "targets": ("tasks", "suite", "suites"),
    "suite": ("suites", "tasks"),
    "shots": ("fraction",),
}


@dataclass(frozen=True)
class Origin:
    """Where the keys of a study stand. It is no part of the question that a study asks, so any two origins are equal.

    Attributes:
        file: the study file; empty for a study that was made in code.
        lines: the line of every key and item of the file; None for a study that nobody wrote (an exhibit's).
        keys: the keys with their values, the command line's in place of the file's.
        overridden: the keys that the command line sets.
        own: variant or data set of the user's own -> the entry that names its file.
    """

    file: str = field(default="", compare=False)
    lines: Mapping[Location, int] | None = field(default=None, compare=False, repr=False)
    keys: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    overridden: tuple[Location, ...] = field(default=(), compare=False)
    own: Mapping[str, Location] = field(default_factory=dict, compare=False, repr=False)

    def problem(self, loc: Sequence[str | int], message: str) -> Problem:
        """A problem with the key `loc`, placed where the key is set, or where it should be."""
        at, lines = tuple(loc), self.lines or {}
        if any(at[: len(g)] == g or (g[: len(at)] == at and at not in lines) for g in self.overridden):
            return Problem(message, dotted(at), "command line")
        return Problem(message, dotted(at), self.file, None if self.lines is None else nearest_line(lines, at))

    def with_places(self, error: E) -> E:
        """The same error, in which every problem that names a key of the study (``settings.lr``) has its place.

        A mistake in what the study asks of a task (``task NAME``) has the place of the task's name.
        """
        return type(error)(self._placed(p, isinstance(error, ConfigError)) for p in error.problems)

    def of_task(self, name: str) -> Location:
        """The key that names a task, itself or as one of a family: ``tasks[2]``, or the suite that has it."""
        family = name.partition("/")[0]
        if (named := next((self.own[n] for n in (name, family, f"{family}/*") if n in self.own), None)) is not None:
            return named
        for spellings in ((name,), (family, f"{family}/*")):
            for key in ("tasks", "targets"):
                for i, entry in enumerate(_items(self.keys.get(key))):
                    if entry in spellings:
                        return (key, i) if isinstance(self.keys[key], list) else (key,)
        return next(((key,) for key in ("suite", "suites") if self.keys.get(key)), ("tasks",))

    def of_variant(self, variant: str) -> Location:
        """The entry of `methods` that names a variant."""
        if variant in self.own:
            return self.own[variant]
        for i, entry in enumerate(_items(self.keys.get("methods"))):
            for name in entry if isinstance(entry, Mapping) else (entry,):
                if _canonical(name) == variant:
                    return ("methods", i, name) if isinstance(entry, Mapping) else ("methods", i)
        return ("methods",)

    def of_setting(self, variant: str, name: str, settings: Mapping[str, Any]) -> Location:
        """The key that gives a variant's setting: its own entry, the shared `settings`, or else the variant's name."""
        entry = self.of_variant(variant)
        if len(entry) == 3:
            items: Any = _items(self.keys["methods"])
            if name in (items[entry[1]][entry[2]] or {}):
                return (*entry, name)
        shared = name in settings and name not in catalogue().variant(variant).fixes
        return ("settings", name) if shared else entry

    def of_item(self, key: str, value: Any) -> Location:
        """The item `value` of a list: ``shots[1]``."""
        items = self.keys.get(key)
        return (key, items.index(value)) if isinstance(items, list) and value in items else (key,)

    def _placed(self, problem: Problem, names_tasks: bool) -> Problem:
        if not self.file or problem.line is not None or problem.file not in ("", self.file):
            return problem
        if names_tasks and problem.path.startswith("task "):
            return self._of_task(problem)
        exact, loc = self._nearest_key(problem.path)
        if not exact and (in_suite := self._in_suites(problem)) is not None:
            return in_suite
        if loc is None:
            head = problem.path.partition(".")[0].partition("[")[0]
            instead = next((k for k in _DECIDES_INSTEAD.get(head, ()) if self.keys.get(k)), None)
            return problem if instead is None else self.problem((instead,), problem.message)
        return replace(self.problem(loc, problem.message), path=problem.path)

    def _of_task(self, problem: Problem) -> Problem:
        name = problem.path.removeprefix("task ")
        placed = self.problem(self.of_task(name), problem.message)
        return placed if name.partition("/")[0] in problem.message else replace(placed, path=problem.path)

    def _nearest_key(self, path: str) -> tuple[bool, Location | None]:
        """(whether the study has the key `path` itself, that key or the nearest one above it)."""
        known = [*(self.lines or _locations(self.keys)), *self.overridden]
        exact, loc = _nearest(path, known)
        if loc is not None and loc not in self.overridden and loc[0] == "task_options" and len(loc) < 2 and not exact:
            return False, None  # the options of another task
        return exact, loc

    def _in_suites(self, problem: Problem) -> Problem | None:
        """The problem placed in the file of a suite, if one of the study's suites has the key in question."""
        for name in (*_items(self.keys.get("suite")), *_items(self.keys.get("suites"))):
            path = space_folder() / "suites" / f"{name}.yaml"
            if isinstance(name, str) and path.is_file():
                lines = dict(lines_of(load_yaml(path)))
                exact, loc = _nearest(problem.path, [*lines])
                if exact and loc is not None:
                    return replace(problem, file=str(path), line=lines[loc])
        return None


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _canonical(name: Any) -> Any:
    try:
        return catalogue().variant(name).id if isinstance(name, str) else name
    except ConfigError:
        return name


def _nearest(path: str, known: Sequence[Location]) -> tuple[bool, Location | None]:
    """(whether it is `path` itself, the longest of the `known` keys that is `path` or stands above it).

    A path is text: the names of tasks have dots, so it is compared with whole keys and never taken apart.
    """
    best: tuple[int, Location] | None = None
    for loc in known:
        for text in dict.fromkeys((dotted(loc), ".".join(map(str, loc)))):
            if (path == text or path.startswith((f"{text}.", f"{text}["))) and (best is None or len(text) > best[0]):
                best = len(text), loc
    return (False, None) if best is None else (best[0] == len(path), best[1])


def _locations(tree: Any, loc: Location = ()) -> Iterator[Location]:
    """The location of every key and item of plain values, as `lines_of` gives them."""
    pairs = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        yield (*loc, key)
        yield from _locations(value, (*loc, key))
