"""YAML 1.2 files, read with the line of every key and checked against a model: all that is wrong, each where."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarbool import ScalarBoolean

from raystudy.errors import ConfigError, Problem, did_you_mean, shown

__all__ = [
    "Strict",
    "dotted",
    "lines_of",
    "load_yaml",
    "nearest_line",
    "odd_values",
    "parse_yaml",
    "plain",
    "problems_of",
    "to_yaml",
    "validate",
]

M = TypeVar("M", bound=BaseModel)

# A study that names every method and every task has a few kilobytes. These bounds keep what is no study at all (a data
# file given by mistake, aliases of aliases of aliases) from taking minutes or gigabytes before it is refused.
_BYTES = 64 * 1024
_VALUES = 10_000  # keys and items, aliases written out
_DEPTH = 30


class Strict(BaseModel):
    """A model that refuses unknown keys and never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def load_yaml(path: Path) -> CommentedMap:
    """A YAML 1.2 mapping with the line of every key.

    Raises:
        ConfigError: not readable, not UTF-8, not YAML, a repeated key, not a mapping, or beyond any sensible size; with
            the line.
    """
    try:
        with path.open("rb") as f:
            data = f.read(_BYTES + 1)
    except OSError as e:
        raise ConfigError(Problem(f"cannot be read: {e.strerror or e}", file=str(path))) from None
    if len(data) > _BYTES:
        raise ConfigError(Problem(f"must be at most {_BYTES // 1024} KiB, which no study needs", file=str(path)))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise ConfigError(Problem(f"is not UTF-8 text (byte {e.start})", file=str(path))) from None
    tree = parse_yaml(text, str(path))
    if not isinstance(tree, CommentedMap):
        raise ConfigError(Problem("must be a mapping of keys to values", file=str(path), line=1))
    return tree


def parse_yaml(text: str, file: str) -> Any:
    """A YAML 1.2 value, as a ruamel tree of bounded size once its aliases are written out.

    Raises:
        ConfigError: not YAML, a repeated key, or aliases without end; with the line.
    """
    try:
        tree = YAML(typ="rt", pure=True).load(text)
    except YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        line = mark.line + 1 if mark is not None else None
        reason = str(getattr(e, "problem", None) or str(e).splitlines()[0])
        raise ConfigError(Problem(f"is not valid YAML: {reason[:200]}", file=file, line=line)) from None
    except RecursionError:
        raise ConfigError(Problem(f"must be nested at most {_DEPTH} deep", file=file)) from None
    except Exception as e:  # ruamel constructs numbers, dates and tags eagerly: 0o9, 2001-99-99, !!binary x
        raise ConfigError(Problem(f"is not valid YAML: {shown(str(e))[1:-1]}", file=file)) from None
    _measure(tree, file, {})
    return tree


def _measure(tree: Any, file: str, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """(values below a node with its aliases written out, levels below it); each node is looked at once.

    Raises:
        ConfigError: too many, too deep, or an alias of what it stands in.
    """
    if not isinstance(tree, Mapping | list):
        return 1, 0
    line = tree.lc.line + 1 if isinstance(tree, CommentedMap | CommentedSeq) and tree.lc.line is not None else None
    if id(tree) in known:
        found = known[id(tree)]
        if found is None:
            raise ConfigError(Problem("must not contain itself through an alias", file=file, line=line))
        return found
    known[id(tree)] = None
    below = [_measure(v, file, known) for v in (tree.values() if isinstance(tree, Mapping) else tree)]
    size, depth = 1 + sum(n for n, _ in below), 1 + max((d for _, d in below), default=0)
    if size > _VALUES:
        what = f"must hold at most {_VALUES} values, aliases written out, but holds {size:.3g}"
        raise ConfigError(Problem(what, file=file, line=line))
    if depth > _DEPTH:
        raise ConfigError(Problem(f"must be nested at most {_DEPTH} deep", file=file, line=line))
    known[id(tree)] = size, depth
    return size, depth


def odd_values(
    tree: Any, loc: tuple[str | int, ...] = (), *, numbered: Callable[[Sequence[str | int]], bool] = lambda loc: False
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(path, message) of what YAML can say and JSON cannot, or no sensible study does: records and ids are JSON.

    Args:
        numbered: whether the keys of the mapping at this path may be whole numbers, which stand for their text.
    """
    if (tag := getattr(tree, "tag", None)) is not None and tag.value is not None:
        yield loc, f"must be a plain value, but has the tag {shown(str(tag.value))[1:-1]}"
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            whole = isinstance(key, int) and not isinstance(key, bool | ScalarBoolean) and numbered(loc)
            if whole and _name(key) in tree:
                yield (*loc, _name(key)), f"a key must be there once, but {key} is a number and a text"
            elif whole:
                yield from odd_values(value, (*loc, _name(key)), numbered=numbered)
            elif not isinstance(key, str):
                yield (*loc, _name(key)), f"a key must be text, but is {shown(plain(key))}: put it in quotes"
            elif why := _odd_text(key):
                yield (*loc, _name(key)), f"a key {why}"
            else:
                yield from odd_values(value, (*loc, key), numbered=numbered)
    elif isinstance(tree, list):
        for i, value in enumerate(tree):
            yield from odd_values(value, (*loc, i), numbered=numbered)
    elif isinstance(tree, str):
        if why := _odd_text(tree):
            yield loc, why
    elif isinstance(tree, float):
        if not math.isfinite(tree):
            yield loc, f"must be a finite number, but is {float(tree)!r}"
    elif isinstance(tree, int):
        if not -(2**63) <= tree < 2**63:
            yield loc, f"must be a number of at most 64 bits, but is {shown(int(tree), 30)}"
    elif tree is not None:
        yield loc, f"must be text, a number, a list or a mapping, but is {shown(str(tree))[1:-1]}: put it in quotes"


def _odd_text(text: str) -> str:
    """What keeps a text from being written to a file or shown on a terminal, or an empty string."""
    if found := re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]", text):
        return f"must be readable text, but holds the character {found[0]!r}"
    return ""


def lines_of(tree: Any, prefix: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """(path, line) of every key and item below a tree read by `load_yaml`."""
    if isinstance(tree, CommentedMap):
        for key, value in tree.items():
            path = (*prefix, _name(key))
            try:
                yield path, tree.lc.key(key)[0] + 1
            except (KeyError, AttributeError, TypeError):  # merged keys have no place of their own
                pass
            yield from lines_of(value, path)
    elif isinstance(tree, CommentedSeq):
        for i, value in enumerate(tree):
            try:
                yield (*prefix, i), tree.lc.item(i)[0] + 1
            except (KeyError, AttributeError, TypeError):
                pass
            yield from lines_of(value, (*prefix, i))


def _name(key: Any) -> str:
    """A key as part of a path: always text that can be printed and compared."""
    return str(key).encode("utf-8", "backslashreplace").decode()


def dotted(loc: Sequence[str | int]) -> str:
    """A path as people write it: ``methods[2].meta_dtl``."""
    words = (p if isinstance(p, int) or len(p) <= 80 else shown(p)[1:-1] for p in loc)
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in words).lstrip(".")


def plain(tree: Any) -> Any:
    """A ruamel tree as plain dicts, lists and scalars."""
    if isinstance(tree, Mapping):
        return {_name(k): plain(v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain(v) for v in tree]
    if isinstance(tree, bool) or tree is None:
        return tree
    if isinstance(tree, ScalarBoolean):  # a boolean with an anchor, to ruamel a kind of integer
        return bool(tree)
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
            yield loc, f"unknown key {shown(loc[-1])}{did_you_mean(loc[-1], _known_at(model, loc))}"
        elif e["type"] == "missing":
            yield loc, f"the key {loc[-1]!r} is missing"
        else:
            text = str(e["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
            text = text[0].lower() + text[1:] if text else text
            text = {"a valid tuple": "a list", "a valid dictionary": "a mapping"}.get(text, text)
            got = "a mapping" if isinstance(value, Mapping) else shown(value)
            rule = text if text.startswith("must") else f"must be {text}"
            yield loc, rule if ", but " in rule else f"{rule}, but got {got}"


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


def to_yaml(data: Mapping[str, Any]) -> str:
    """Plain YAML 1.2, keys in their order."""
    out = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(dict(data), out)
    return out.getvalue()
