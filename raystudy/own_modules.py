"""Methods and data sets of a user's own: modules outside the package that a study names by their file.

    methods: [single_task, ./stilts.py]     # its parameters and variants are in stilts.yaml beside it
    tasks: [./mytask.py, planted/source]

An `OwnModule` is such a file as it was read: its bytes, and the text of the YAML file beside a method. Its digest is
part of every training that it takes part in. Workers are given the bytes themselves, so no machine runs another file
of the same name. The modules that this process knows are those *in use*: of the study that was opened last. A study
that is read from its results alone has declarations without code, which name and describe its methods and can run
nothing.

Python runs the bytes that were read, not the file: neither a change of it meanwhile nor an old byte-code file counts.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.abc import SourceLoader
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from raystudy.errors import ConfigError, PreflightError, Problem, did_you_mean, quoted

__all__ = [
    "Kind",
    "OwnModule",
    "declared",
    "differing",
    "digests",
    "in_use",
    "line_in",
    "names_a_file",
    "own_module",
    "problems_of_source",
    "split_entry",
    "use",
    "use_declared",
]

Kind = Literal["methods", "tasks"]
_NEEDED: Mapping[Kind, tuple[str, ...]] = {"methods": ("Method", "HParams"), "tasks": ("load", "CARD")}


@dataclass(frozen=True)
class OwnModule:
    """One file of a user's own.

    Attributes:
        kind: ``methods`` or ``tasks``.
        name: of the method or the data set; that of the file without ``.py``.
        digest: of the bytes of the file.
        file: where it lies, as messages name it.
        source: the bytes; None where only its declaration is known, so that it cannot be run.
        space: the text of the YAML file beside a method.
        space_file: where that lies.
    """

    kind: Kind
    name: str
    digest: str
    file: str
    source: bytes | None = None
    space: str = ""
    space_file: str = ""

    @classmethod
    def of(cls, kind: Kind, path: Path, source: bytes, space: str = "", space_file: str = "") -> OwnModule:
        """The module in the file at `path`, which holds the bytes `source`."""
        content = hashlib.blake2b(source, digest_size=8).hexdigest()
        return cls(kind, path.stem, content, str(path), source, space, space_file)

    @property
    def key(self) -> str:
        """``methods/stilts``: how a training names it."""
        return f"{self.kind}/{self.name}"

    def declaration(self) -> dict[str, Any]:
        """What is written beside results, as JSON values: everything but the code."""
        return {
            "kind": self.kind,
            "name": self.name,
            "digest": self.digest,
            "file": self.file,
            "space": self.space,
            "space_file": self.space_file,
        }

    def load(self) -> ModuleType:
        """The module, run once in a process for each content.

        Raises:
            PreflightError: only its declaration is known. ConfigError: it cannot be run.
        """
        if self.source is None:
            rule = "is code of your own, which is never taken from a results folder: name the study file that names it"
            raise PreflightError(Problem(rule, file=self.file))
        name = f"raystudy_own_{self.kind}_{self.name}_{self.digest}"
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_loader(name, _Held(self.file, self.source), origin=self.file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up while they are made
        try:
            spec.loader.exec_module(module)
        except Exception as e:
            del sys.modules[name]
            why = f"cannot be loaded: {type(e).__name__}: {quoted(str(e), 300)[1:-1]}"
            raise ConfigError(Problem(why, file=self.file, line=line_in(e, self.file))) from None
        except BaseException:
            del sys.modules[name]
            raise
        return module


class _Held(SourceLoader):
    """Loads a module from bytes in hand; tracebacks show its lines on machines without the file too."""

    def __init__(self, file: str, source: bytes) -> None:
        self.file, self.source = file, source

    def get_filename(self, fullname: str) -> str:
        return self.file

    def get_data(self, path: bytes | str) -> bytes:
        if str(path) != self.file:  # a file of byte code, which is none of ours
            raise OSError(f"{path!r} is not read")
        return self.source


def line_in(error: BaseException, file: str) -> int | None:
    """The line of `file` at which an error was raised, or through which it came; None where none was."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return error.lineno
    line, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == file:
            line = step.tb_lineno
        step = step.tb_next
    return line


# ---------------------------------------------------------------------------------------------------------------------
# what is in use

_in_use: dict[str, OwnModule] = {}


def use(modules: Iterable[OwnModule]) -> None:
    """Have this process know these modules, and no others."""
    new = {m.key: m for m in modules}
    _in_use.clear()
    _in_use.update(new)


def declared(declarations: Iterable[Mapping[str, Any]]) -> tuple[OwnModule, ...]:
    """The modules that `OwnModule.declaration` describes, without code.

    Raises:
        ValueError, TypeError, KeyError: they are no declarations.
    """
    modules = tuple(OwnModule(**{**d, "source": None}) for d in declarations)
    if any(m.kind not in _NEEDED or not m.name.isidentifier() for m in modules):
        raise ValueError("a module of one's own is a method or a data set, and has a name")
    return modules


def use_declared(modules: Iterable[OwnModule]) -> None:
    """Have this process know these declarations; a module whose code is in use already keeps it."""
    use([_in_use[m.key] if m.key in _in_use and _in_use[m.key].digest == m.digest else m for m in modules])


def in_use() -> tuple[OwnModule, ...]:
    """Every module that this process knows, methods first."""
    return tuple(sorted(_in_use.values(), key=lambda m: m.key))


def own_module(kind: str, name: str) -> OwnModule | None:
    """The module of that name, if the study has one."""
    return _in_use.get(f"{kind}/{name}")


def digests(method: str, datasets: Iterable[str]) -> dict[str, str]:
    """``methods/NAME`` or ``tasks/NAME`` -> digest, of what takes part in a training by a method on these data sets."""
    keys = (f"methods/{method}", *(f"tasks/{name}" for name in datasets))
    return {key: _in_use[key].digest for key in keys if key in _in_use} if _in_use else {}


def differing(wanted: Mapping[str, str]) -> Iterator[Problem]:
    """A problem for each module that a training was planned with and that is not in use here with its code."""
    for key, content in wanted.items():
        kind, _, name = key.partition("/")
        module = own_module(kind, name)
        if module is None or module.source is None:
            what = f"is code of your own ({name}.py), which is never taken from a results folder"
            yield Problem(f"{what}: open the study file that names it", key)
        elif module.digest != content:
            text = f"its content differs from what the study was planned with ({module.digest} against {content})"
            yield Problem(text, key, module.file)


# ---------------------------------------------------------------------------------------------------------------------
# files, before anything is run


def names_a_file(entry: object) -> bool:
    """Whether an entry of `methods` or `tasks` names a file of one's own: ``./stilts.py``, ``stilts.py::variant``."""
    return isinstance(entry, str) and entry.partition("::")[0].endswith(".py")


def split_entry(entry: str) -> tuple[str, str]:
    """(the path, what of it is meant, or nothing) of ``./stilts.py::variant``."""
    path, _, part = entry.partition("::")
    return path, part


def problems_of_source(kind: Kind, source: bytes, file: str, beside: Iterable[str]) -> Iterator[Problem]:
    """What is wrong with a file, as far as one can tell without running it.

    Args:
        beside: the names of the Python modules that lie in its folder.
    """
    try:
        tree = ast.parse(source, file)
    except SyntaxError as e:
        yield Problem(f"is not Python: {e.msg}", file=file, line=e.lineno)
        return
    except (ValueError, RecursionError, MemoryError) as e:  # a NUL; brackets a thousand deep
        yield Problem(f"is not Python: {e}", file=file)
        return
    siblings = set(beside)
    for name, line in _imported(tree):
        if name.startswith(".") or name.partition(".")[0] in siblings:
            rule = f"must be one file, but imports {name}, which lies beside it"
            cure = "write it into this file, or make it a package that is installed, so that every worker has it"
            yield Problem(f"{rule}: {cure}", file=file, line=line)
    names_here = _top_level(tree)
    if kind == "methods":
        for name in _NEEDED[kind]:
            if name not in names_here:
                what = "a class Method" if name == "Method" else "a dataclass HParams, which has its settings"
                yield Problem(f"must hold {what}, but does not{did_you_mean(name, names_here)}", file=file)
    elif not names_here & {*_NEEDED[kind]}:
        rule = "must hold a function load(part, root, ...), which makes the task, or a CARD, by which a folder is read"
        yield Problem(f"{rule}, but has neither{did_you_mean('load', names_here)}", file=file)


def _imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """(dotted name of a module, line) of every import; relative ones begin with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((a.name, node.lineno) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or ""), node.lineno


def _top_level(tree: ast.Module) -> set[str]:
    """The names that a module has once it was run, as far as its text tells."""
    names: set[str] = set()
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {t.id for target in node.targets for t in ast.walk(target) if isinstance(t, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            names.add(node.target.id)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names |= {a.asname or a.name.partition(".")[0] for a in node.names}
        else:
            for part in ("body", "orelse", "finalbody"):
                pending += [n for n in getattr(node, part, []) if isinstance(n, ast.stmt)]
            pending += [n for handler in getattr(node, "handlers", []) for n in handler.body]
    return names
