"""The house's layers: imports point downward only, and the heavy libraries have one home each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import raystudy

ROOT = Path(raystudy.__file__).parent

# Top to bottom; a module may import from its own layer and from those below it. `find` reaches methods and tasks by name
# without importing them, so it may stand at the bottom.
LAYERS = [
    ("run", "__main__", "view"),
    ("study",),
    ("exhibits",),
    ("train", "evaluate"),
    ("analysis",),
    ("methods",),
    ("data", "nn"),
    ("spec", "find", "metrics", "tasks", "errors", "files"),
]
# library -> the only places that may import it, as module prefixes
HOMES = {
    "ray": ("run", "study"),
    "optuna": ("study",),
    "pandas": ("analysis",),
    "matplotlib": ("analysis",),
    "transformers": ("data.text", "nn.encoder"),
    "sklearn": ("methods",),
    "typer": ("run", "__main__"),
    "rich": ("run", "view"),
}
# what a layer must never load, not even inside a function
FORBIDDEN = {"analysis": ("torch", "ray", "raystudy.methods", "raystudy.train"), "tasks": ("torch", "ray", "pandas")}
FIND_CALLERS = ("train", "study", "exhibits", "tasks")


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(p for p in parts if p != "__init__")
        yield name, ast.parse(path.read_text())


def imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every imported module, also inside functions; not those that only type checkers see."""
    skipped = {
        id(n)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and isinstance(branch.test, ast.Name) and branch.test.id == "TYPE_CHECKING"
        for n in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((a.name, node.lineno) for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((f"{node.module}.{a.name}", node.lineno) for a in node.names)


def layer(name: str) -> int:
    head = name.split(".")[0]
    return next(i for i, names in enumerate(LAYERS) if head in names)


MODULES = dict(modules())


@pytest.mark.parametrize("name", [m for m in MODULES if m])
def test_imports_point_downward(name: str) -> None:
    for target, line in imports(MODULES[name]):
        if not target.startswith("raystudy.") or (inner := target.removeprefix("raystudy.").split(".")[0]) == "":
            continue
        known = any(inner in names for names in LAYERS)
        assert known, f"{name}:{line} imports {target}, which stands in no layer"
        assert layer(inner) >= layer(name), f"{name}:{line} imports {target} from a layer above it"


@pytest.mark.parametrize("name", [m for m in MODULES if m])
def test_libraries_have_one_home(name: str) -> None:
    for target, line in imports(MODULES[name]):
        library = target.split(".")[0]
        if library in HOMES:
            home = any(name == h or name.startswith(f"{h}.") for h in HOMES[library])
            assert home, f"{name}:{line} imports {library}, whose home is {', '.join(HOMES[library])}"
        for forbidden in FORBIDDEN.get(name.split(".")[0], ()):
            assert not f"{target}.".startswith(f"{forbidden}."), f"{name}:{line} imports {target}"


@pytest.mark.parametrize("name", [m for m in MODULES if m])
def test_find_is_called_from_few_places(name: str) -> None:
    uses = [t for t, _ in imports(MODULES[name]) if t == "raystudy.find.find"]
    assert not uses or name.split(".")[0] in FIND_CALLERS, f"{name} looks plug-ins up by name"


def test_every_module_stands_in_a_layer() -> None:
    homeless = [m for m in MODULES if m and not any(m.split(".")[0] in names for names in LAYERS)]
    assert not homeless
