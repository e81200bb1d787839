"""Reads YAML 1.2 files with the line of every key, and checks them against a model. Every mistake names its line."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode
from ruamel.yaml.scalarbool import ScalarBoolean

from raystudy.errors import ConfigError, Problem, did_you_mean, quoted

__all__ = [
    "Strict",
    "UnreadableValue",
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
    """A model that refuses unknown keys and whose values cannot be changed."""

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


class UnreadableValue:
    """Stands in the place of a value that no study can have, so that `odd_values` can tell it with all others.

    Attributes:
        text: how the file spells it.
        why: the rule that it breaks, with the value.
    """

    def __init__(self, text: str, why: str) -> None:
        self.text, self.why = text, why

    def __repr__(self) -> str:
        return repr(self.text)

    __str__ = __repr__


_CORE = "tag:yaml.org,2002:"
# what a value with one of YAML's own tags, written or guessed from its spelling, may be
_SCALARS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "empty",
    "timestamp": "text, a number, a list or a mapping",
    "merge": "text",
    "value": "text",
}


def _misfit(kind: str, text: str) -> str:
    """The message for a text that cannot be what its tag, or its spelling, makes of it."""
    if kind == "timestamp":
        return f"must be {_SCALARS[kind]}, but is {quoted(text)[1:-1]}: put it in quotes"
    if kind == "int" and len(text) > 100:  # Python reads no number of more than 4300 digits
        return f"must be a number of at most 64 bits, but is {quoted(text, 30)[1:]}"
    return (
        f"must be {_SCALARS.get(kind, 'a plain value')}, as its tag !!{quoted(kind)[1:-1]} says, but is {quoted(text)}"
    )


class _Constructor(RoundTripConstructor):
    """Builds values from YAML and goes on behind one that it cannot build, so that every such place is told."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.node: Any = None  # the node in hand, for the line of an error that has none
        self.repeated_keys: list[tuple[int, str]] = []  # (line, message) of every key that is there again

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        self.node = node
        if node in self.constructed_objects:
            return self.constructed_objects[node]
        why, was_deep = self._unfit(node), self.deep_construct
        if not why:
            if not isinstance(node, ScalarNode):
                return super().construct_object(node, deep)
            try:
                return super().construct_object(node, deep)
            except (ValueError, LookupError, TypeError, OverflowError, YAMLError):
                why = _misfit(str(node.tag).removeprefix(_CORE), str(node.value))
                self.recursive_objects.pop(node, None)
                self.deep_construct = was_deep
        self.constructed_objects[node] = value = UnreadableValue(
            str(node.value) if isinstance(node, ScalarNode) else "", why
        )
        return value

    @staticmethod
    def _unfit(node: Any) -> str:
        """Why a node cannot be what one of YAML's own tags makes of it, or an empty string."""
        tag = str(node.tag)
        if not tag.startswith(_CORE):
            return ""  # a tag of the file's own, which `odd_values` names
        kind = tag.removeprefix(_CORE)
        if isinstance(node, ScalarNode):
            if kind == "null" and node.value not in ("", "~", "null", "Null", "NULL"):
                return _misfit(kind, str(node.value))
            fits = kind in _SCALARS
        else:
            fits = kind == ("map" if isinstance(node, MappingNode) else "seq")
        return "" if fits else f"must be a plain value, but has the tag !!{quoted(kind)[1:-1]}"

    def check_mapping_key(self, node: Any, key_node: Any, mapping: Any, key: Any, value: Any) -> bool:
        if key not in mapping:
            return True
        try:
            first = f" (the first stands in line {mapping.lc.key(key)[0] + 1})"
        except (KeyError, AttributeError, TypeError):
            first = ""
        name = str(plain(key))
        name_in_words = f'"{name}"' if len(name) <= 80 else quoted(name)
        self.repeated_keys.append((key_node.start_mark.line + 1, f"found duplicate key {name_in_words}{first}"))
        return False


# what helps, for the messages of the YAML reader that name the symptom alone
_HELP = {
    r"found character '\\t'": "indent with spaces, not with tabs",
    r"found character ['\"].['\"]+ that cannot start": "put the value in quotes",
    r"mapping values are not allowed": (
        "the keys of one mapping must be indented alike, and a value that holds ': ' must be in quotes"
    ),
    r"expected <block end>": "the keys of one mapping, and the items of one list, must be indented alike",
    r"could not find expected ':'": "every line of a mapping must read `key: value`",
    r"found undefined alias": "an alias *name must come after its anchor &name; a text that begins with * needs quotes",
    r"found undefined tag handle|could not determine a constructor": "a text that begins with ! must be in quotes",
    r"expected alphabetic or numeric character": "a text that begins with & or * must be in quotes",
    r"found unknown escape character": "in double quotes a backslash must be written twice; single quotes keep it",
    r"unexpected end of stream": "a quotation mark is not closed",
    r"expected ',' or '\]'": (
        "the items of a list [...] must be separated by commas, a name with brackets be in quotes, and the list closed"
    ),
    r"expected ',' or '\}'": "the entries of a mapping {...} must be separated by commas, and the mapping closed",
    r"expected the node content": "a value must stand here",
    r"mapping for merging|mappings for merging": "what << takes in must be an alias of a mapping, or a list of them",
    r"version 1\.\*": "a study is YAML 1.2",
    r"another document": "a file must hold one document: leave out the line ---",
}
_SYMBOLS_IN_WORDS = {"<stream end>": "the end", "<block end>": "the end of the block", "<document end>": "'...'"}


def parse_yaml(text: str, file: str) -> Any:
    """A YAML 1.2 value, as a ruamel tree of bounded size once its aliases are written out.

    A value that no study can have (a day that does not exist, a tag that does not fit) becomes an `UnreadableValue`.

    Raises:
        ConfigError: not YAML, repeated keys or anchors, or aliases without end; with the lines.
    """
    if problems := [*_unprintable(text, file), *_other_versions(text, file)]:
        raise ConfigError(problems)
    yaml = YAML(typ="rt", pure=True)
    yaml.Constructor = _Constructor
    yaml.max_depth = 3 * _DEPTH  # what is deeper by a little is told as of the tree
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            tree = yaml.load(text)
    except (MaxDepthExceededError, RecursionError) as e:
        line = _line_of(getattr(e, "problem_mark", None))
        raise ConfigError(Problem(f"must be nested at most {_DEPTH} deep", file=file, line=line)) from None
    except YAMLError as e:
        line = _line_of(getattr(e, "problem_mark", None)) or _line_of(getattr(e, "context_mark", None))
        raise ConfigError(Problem(f"is not valid YAML: {_reason(e, text, line)}", file=file, line=line or 1)) from None
    except Exception as e:  # a node of a kind that ruamel does not expect
        line = _line_of(getattr(yaml.constructor.node, "start_mark", None)) or 1
        what = f"is not valid YAML: cannot be read ({quoted(str(e))[1:-1]}){_in_line(text, line)}"
        raise ConfigError(Problem(what, file=file, line=line)) from None
    repeated = [*yaml.constructor.repeated_keys, *_anchors_twice(warned)]
    if repeated:
        raise ConfigError(
            Problem(f"is not valid YAML: {what}", file=file, line=line) for line, what in sorted(repeated)
        )
    _measure(tree, file, {})
    return tree


def _unprintable(text: str, file: str) -> Iterator[Problem]:
    """The lines with characters that YAML does not allow; the first of each line."""
    for n, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        if bad := re.search(r"[^\t\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", line):
            why = f"is not valid YAML: must be readable text, but holds the character {bad[0]!r}"
            yield Problem(f"{why}{_in_line(text, n)}", file=file, line=n)


def _other_versions(text: str, file: str) -> Iterator[Problem]:
    """The lines that ask for another YAML than 1.2, in which the same values mean other things: ``yes`` is true."""
    for n, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        directive = re.match(r"%YAML(?:\s+([^\s#]*))?", line)
        if directive and directive[1] != "1.2":
            rule = "must be YAML 1.2, as all studies are: leave this line out, and mind that yes, no, on, off are text"
            yield Problem(f"is not valid YAML: {rule}{_in_line(text, n)}", file=file, line=n)


def _line_of(mark: Any) -> int | None:
    return mark.line + 1 if mark is not None else None


def _in_line(text: str, line: int | None) -> str:
    """``, in 'a: b'``: the line in question."""
    lines = re.split(r"\r\n|\r|\n", text)
    content = lines[line - 1].strip() if line is not None and line <= len(lines) else ""
    return f", in {quoted(content)}" if content else ""


def _reason(e: YAMLError, text: str, line: int | None) -> str:
    """The message of the YAML reader, with where the broken part begins, the line, and what helps."""
    reason = str(getattr(e, "problem", None) or getattr(e, "context", None) or str(e).splitlines()[0])[:200]
    help_ = next((words for pattern, words in _HELP.items() if re.search(pattern, reason)), "")
    for symbol, words in _SYMBOLS_IN_WORDS.items():
        reason = reason.replace(f"'{symbol}'", words).replace(symbol, words)
    start = _line_of(getattr(e, "context_mark", None))
    since = f" ({e.context}, which began in line {start})" if start is not None and start != line else ""  # type: ignore[attr-defined]
    return f"{reason}{since}{_in_line(text, line)}" + (f": {help_}" if help_ else "")


def _anchors_twice(warned: Sequence[warnings.WarningMessage]) -> Iterator[tuple[int, str]]:
    """(line, message) of every anchor that is defined again."""
    for w in warned:
        if isinstance(w.message, ReusedAnchorWarning):
            name = str(w.message).strip().splitlines()[0]
            lines = [int(n) for n in re.findall(r"line (\d+), column", str(w.message))]
            yield lines[-1], f"{name[:120]} (the first stands in line {lines[0]})"


def _measure(tree: Any, file: str, sizes: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """(values below a node with its aliases written out, levels below it); each node is looked at once.

    Raises:
        ConfigError: too many, too deep, or an alias of what it stands in.
    """
    if not isinstance(tree, Mapping | list):
        return 1, 0
    line = tree.lc.line + 1 if isinstance(tree, CommentedMap | CommentedSeq) and tree.lc.line is not None else None
    if id(tree) in sizes:
        size_and_depth = sizes[id(tree)]
        if size_and_depth is None:
            raise ConfigError(Problem("must not contain itself through an alias", file=file, line=line))
        return size_and_depth
    sizes[id(tree)] = None
    below = [_measure(v, file, sizes) for v in (tree.values() if isinstance(tree, Mapping) else tree)]
    size, depth = 1 + sum(n for n, _ in below), 1 + max((d for _, d in below), default=0)
    if size > _VALUES:
        what = f"must hold at most {_VALUES} values, aliases written out, but holds {size:.3g}"
        raise ConfigError(Problem(what, file=file, line=line))
    if depth > _DEPTH:
        raise ConfigError(Problem(f"must be nested at most {_DEPTH} deep", file=file, line=line))
    sizes[id(tree)] = size, depth
    return size, depth


def odd_values(
    tree: Any, loc: tuple[str | int, ...] = (), *, numbered: Callable[[Sequence[str | int]], bool] = lambda loc: False
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(path, message) of every value that JSON cannot hold, or that no sensible study has: records and ids are JSON.

    Args:
        numbered: whether the keys of the mapping at this path may be whole numbers, which stand for their text.
    """
    if isinstance(tree, UnreadableValue):
        yield loc, tree.why
    elif (tag := getattr(tree, "tag", None)) is not None and tag.value is not None:
        yield loc, f"must be a plain value, but has the tag {quoted(str(tag.value).replace(_CORE, '!!'))[1:-1]}"
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            whole = isinstance(key, int) and not isinstance(key, bool | ScalarBoolean) and numbered(loc)
            if whole and _key_text(key) in tree:
                yield (*loc, _key_text(key)), f"a key must be there once, but {key} is a number and a text"
            elif whole:
                yield from odd_values(value, (*loc, _key_text(key)), numbered=numbered)
            elif not isinstance(key, str):
                yield (*loc, _key_text(key)), f"a key must be text, but is {quoted(plain(key))}: put it in quotes"
            elif why := _odd_text(key):
                yield (*loc, _key_text(key)), f"a key {why}"
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
            yield loc, f"must be a number of at most 64 bits, but is {quoted(int(tree), 30)}"
    elif tree is not None:
        yield (
            loc,
            f"must be text, a number, a list or a mapping, but is {quoted(str(tree))[1:-1]}: put it in quotes",
        )


def _odd_text(text: str) -> str:
    """Why a text cannot be written to a file or shown on a terminal, or an empty string."""
    if match := re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]", text):
        return f"must be readable text, but holds the character {match[0]!r}"
    return ""


def lines_of(tree: Any, prefix: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """(path, line) of every key and item below a tree read by `load_yaml`."""
    if isinstance(tree, CommentedMap):
        for key, value in tree.items():
            path = (*prefix, _key_text(key))
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


def _key_text(key: Any) -> str:
    """A key as part of a path: always text that can be printed and compared."""
    text = key if isinstance(key, str) else "null" if key is None else str(plain(key))
    return text.encode("utf-8", "backslashreplace").decode()


def dotted(loc: Sequence[str | int]) -> str:
    """A path as people write it: ``methods[2].meta_dtl``."""
    words = (p if isinstance(p, int) or len(p) <= 80 else quoted(p)[1:-1] for p in loc)
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in words).lstrip(".")


def plain(tree: Any) -> Any:
    """A ruamel tree as plain dicts, lists and scalars."""
    if isinstance(tree, Mapping):
        return {_key_text(k): plain(v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain(v) for v in tree]
    if isinstance(tree, bool | UnreadableValue) or tree is None:
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
        elif get_origin(here) is Mapping:
            here = get_args(here)[1]
        here = get_args(here)[0] if get_origin(here) is Annotated else here
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []


# what pydantic calls an error -> the rule in our words, with the bounds that the error carries
_RULES = {
    "missing": "is missing",
    "string_type": "must be text",
    "string_sub_type": "must be text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a number of at most 64 bits",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be greater than or equal to {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be less than or equal to {le}",
    "literal_error": "must be {expected}",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "mapping_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
}


def problems_of(model: type[BaseModel], error: ValidationError) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(path, message) of every mistake that pydantic found, in the words of this project."""
    for e in error.errors(include_url=False):
        loc = tuple(e["loc"])
        value = e.get("input")
        if e["type"] == "extra_forbidden":
            yield loc, f"unknown key {quoted(loc[-1])}{did_you_mean(loc[-1], _known_at(model, loc))}"
        elif e["type"] == "missing":
            yield loc, f"the key {loc[-1]!r} is missing"
        elif e["type"] == "value_error":  # raised by a rule of ours
            text = str(e["ctx"]["error"])
            yield loc, text if ", but " in text else f"{text}, but {_value_in_words(value)}"
        else:
            rule = _RULES.get(e["type"], "must be what the documentation of study files says").format(
                **e.get("ctx", {})
            )
            hint = ""
            if isinstance(value, str) and e["type"].startswith(("int_", "float_")) and _number(value):
                hint = " (in YAML 1.2 a number has no quotes)"
            elif value is None:
                hint = ": leave the key out, or give it a value" if loc and isinstance(loc[-1], str) else ""
            yield loc, f"{rule}, but {_value_in_words(value)}{hint}"


def _value_in_words(value: Any) -> str:
    """The value of a key in the words of YAML."""
    if value is None:
        return "is empty"
    return f"got {'a mapping' if isinstance(value, Mapping) else quoted(value)}"


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def validate(model: type[M], tree: CommentedMap, path: Path) -> M:
    """A tree as `model`, or a ConfigError with every problem and its line."""
    lines = dict(lines_of(tree))
    try:
        return model.model_validate(plain(tree))
    except ValidationError as e:
        raise ConfigError(
            Problem(m, dotted(loc), str(path), nearest_line(lines, loc)) for loc, m in problems_of(model, e)
        ) from None


def nearest_line(lines: Mapping[tuple[str | int, ...], int], loc: Sequence[str | int]) -> int:
    """The line of `loc`, or of the closest key above it: what is missing has the first line of the file."""
    for n in range(len(loc), 0, -1):
        if (line := lines.get(tuple(loc[:n]))) is not None:
            return line
    return min(lines.values(), default=1)


def to_yaml(data: Mapping[str, Any]) -> str:
    """`data` as YAML 1.2, with the keys in their order."""
    out = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(dict(data), out)
    return out.getvalue()
