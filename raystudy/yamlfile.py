"""YAML 1.2 files, read with the line of every key and checked against a model: all that is wrong, each where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from raystudy.errors import ConfigError, Problem, did_you_mean

__all__ = ["Strict", "dotted", "lines_of", "load_yaml", "nearest_line", "plain", "problems_of", "validate"]

M = TypeVar("M", bound=BaseModel)


class Strict(BaseModel):
    """A model that refuses unknown keys and never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def load_yaml(path: Path) -> CommentedMap:
    """A YAML 1.2 mapping with the line of every key.

    Raises:
        ConfigError: not readable, not UTF-8, not YAML, a repeated key, or not a mapping; with the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as e:
        raise ConfigError(Problem(f"is not UTF-8 text (byte {e.start})", file=str(path))) from None
    except OSError as e:
        raise ConfigError(Problem(f"cannot be read: {e.strerror or e}", file=str(path))) from None
    try:
        tree = YAML(typ="rt", pure=True).load(text)
    except YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        line = mark.line + 1 if mark is not None else None
        reason = str(getattr(e, "problem", None) or str(e).splitlines()[0])
        raise ConfigError(Problem(f"is not valid YAML: {reason}", file=str(path), line=line)) from None
    except ValueError as e:  # ruamel constructs numbers and dates eagerly: 0o9, 2001-99-99
        raise ConfigError(Problem(f"is not valid YAML: {e}", file=str(path))) from None
    if not isinstance(tree, CommentedMap):
        raise ConfigError(Problem("must be a mapping of keys to values", file=str(path), line=1))
    return tree


def lines_of(tree: Any, prefix: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """(path, line) of every key and item below a tree read by `load_yaml`."""
    if isinstance(tree, CommentedMap):
        for key, value in tree.items():
            try:
                yield (*prefix, key), tree.lc.key(key)[0] + 1
            except (KeyError, AttributeError, TypeError):  # merged keys have no place of their own
                pass
            yield from lines_of(value, (*prefix, key))
    elif isinstance(tree, CommentedSeq):
        for i, value in enumerate(tree):
            try:
                yield (*prefix, i), tree.lc.item(i)[0] + 1
            except (KeyError, AttributeError, TypeError):
                pass
            yield from lines_of(value, (*prefix, i))


def dotted(loc: Sequence[str | int]) -> str:
    """A path as people write it: ``methods[2].meta_dtl``."""
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in loc).lstrip(".")


def plain(tree: Any) -> Any:
    """A ruamel tree as plain dicts, lists and scalars."""
    if isinstance(tree, Mapping):
        return {str(k): plain(v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain(v) for v in tree]
    if isinstance(tree, bool) or tree is None:
        return tree
    for kind in (int, float, str):
        if isinstance(tree, kind):
            return kind(tree)
    return tree


def _known_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys that `model` knows at the parent of `loc`, for the nearest name."""
    here: Any = model
    for part in loc[:-1]:
        if isinstance(here, type) and issubclass(here, BaseModel) and part in here.model_fields:
            here = here.model_fields[str(part)].annotation
            for arg in getattr(here, "__args__", ()):
                if isinstance(arg, type) and issubclass(arg, BaseModel):
                    here = arg
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []


def problems_of(model: type[BaseModel], error: ValidationError) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(path, message) of everything that pydantic found, in our words."""
    for e in error.errors(include_url=False):
        loc = tuple(e["loc"])
        value = e.get("input")
        if e["type"] == "extra_forbidden":
            yield loc, f"unknown key {loc[-1]!r}{did_you_mean(loc[-1], _known_at(model, loc))}"
        elif e["type"] == "missing":
            yield loc, f"the key {loc[-1]!r} is missing"
        else:
            text = str(e["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
            text = text[0].lower() + text[1:] if text else text
            text = {"a valid tuple": "a list", "a valid dictionary": "a mapping"}.get(text, text)
            shown = "a mapping" if isinstance(value, Mapping) else f"{value!r}"
            yield loc, (text if text.startswith("must") else f"must be {text}") + f", but got {shown}"


def validate(model: type[M], tree: CommentedMap, path: Path) -> M:
    """A tree as `model`, or a ConfigError with every problem and its line."""
    lines = dict(lines_of(tree))
    try:
        return model.model_validate(plain(tree))
    except ValidationError as e:
        raise ConfigError(
            Problem(m, dotted(loc), str(path), nearest_line(lines, loc)) for loc, m in problems_of(model, e)
        ) from None


def nearest_line(lines: Mapping[tuple[str | int, ...], int], loc: Sequence[str | int]) -> int | None:
    """The line of `loc`, or of the closest key above it (a missing key has no line of its own)."""
    for n in range(len(loc), 0, -1):
        if (line := lines.get(tuple(loc[:n]))) is not None:
            return line
    return None
