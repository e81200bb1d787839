"""Digests of code: one byte in any module moves the methods that import it, and no other; versions count too."""

from __future__ import annotations

import ast
import dataclasses
import importlib
from collections.abc import Iterator
from functools import lru_cache
from types import ModuleType

import pytest
from cells import spec_of

from raystudy import code_versions, train
from raystudy.code_versions import (
    NUMERIC,
    Sources,
    code_and_library_digest,
    code_digest,
    imported_sources,
    library_versions,
    sources,
    version_differences,
)
from raystudy.plugins import module_names
from raystudy.spec import Spec
from raystudy.study.folder.records import is_stale, stale_parts
from raystudy.study.pool.failures import failure

HERE = sources()
METHODS = module_names("methods")
PLANTED, LEXICON, OWN, CARD = ("planted",), ("lexicon",), ("my_own_folder",), ("imdb",)


@lru_cache
def unchanged(datasets: tuple[str, ...]) -> dict[str, str]:
    return digests(HERE, datasets)


def digests(here: Sources, datasets: tuple[str, ...]) -> dict[str, str]:
    return {m: code_versions._digest({p: here[p] for p in imported_sources(here, m, datasets)}) for m in METHODS}


def moved(path: str, datasets: tuple[str, ...] = PLANTED, byte: bytes = b"\n") -> set[str]:
    """The methods whose digest changes with one byte of the source at `path`."""
    after = digests({**HERE, path: HERE[path] + byte}, datasets)
    return {m for m, before in unchanged(datasets).items() if before != after[m]}


def test_one_byte_in_any_source_moves_exactly_the_methods_that_import_it() -> None:
    """Said by an independent reader of imports: of the modules, as Python would import them one after another."""
    known = {m: imported(["train", f"methods.{m}", "tasks.planted"]) for m in METHODS}
    for path in HERE:
        assert moved(path) == {m for m in METHODS if path in known[m]}, path


def imported(roots: list[str]) -> set[str]:
    """The files of all modules that these import, from the lines of their text alone."""
    found: set[str] = set()
    todo = [f"raystudy.{r}" for r in roots]
    while todo:
        name = todo.pop()
        parts = name.split(".")[1:]
        path = next((p for p in ("/".join(parts) + ".py", "/".join([*parts, "__init__.py"])) if p in HERE), None)
        if path is None or path in found:
            continue
        found.add(path)
        todo += [".".join(["raystudy", *parts[:i]]) for i in range(len(parts))]
        text, skip = HERE[path].decode().splitlines(), None
        for i, line in enumerate(text):
            indent = len(line) - len(line.lstrip())
            if skip is not None and line.strip() and indent <= skip:
                skip = None
            if line.strip() == "if TYPE_CHECKING:":
                skip = indent
            if skip is None and line.strip().startswith("from raystudy"):
                module, _, what = line.strip()[5:].partition(" import ")
                j = i
                while "(" in what and ")" not in what:
                    j += 1
                    what += text[j].partition("#")[0]
                todo += [module, *(f"{module}.{w.split()[0]}" for w in what.strip("() ").split(",") if w.strip())]
    return found


EVERY = set(METHODS)


@pytest.mark.parametrize(
    ("path", "moves"),
    [
        ("metrics.py", EVERY),
        ("catalogue.py", EVERY),
        ("evaluate.py", EVERY),
        ("train.py", EVERY),
        ("tasks/__init__.py", EVERY),
        ("data/text.py", EVERY),
        ("data/draws.py", EVERY),
        ("nn/encoder.py", EVERY),
        ("methods/__init__.py", EVERY),
        ("nn/adapters.py", {"adapter_fusion"}),
        ("nn/label_transfer.py", {"metaxt"}),
        ("methods/single_task.py", {"single_task"}),
        ("methods/mft.py", {"mft"}),
        ("tasks/_build.py", set()),  # reads folders, and these tasks are in none
        ("tasks/lexicon.py", set()),
        ("tasks/imdb.py", set()),
        ("analysis/stats.py", set()),
        ("exhibits/__init__.py", set()),
        ("study/pool/pool.py", set()),
        ("run.py", set()),
        ("commands/plan.py", set()),
    ],
)
def test_what_moves_whom(path: str, moves: set[str]) -> None:
    assert moved(path) == moves


def test_data_sets_count_with_the_modules_that_read_them() -> None:
    for datasets, readers in {
        PLANTED: set(),
        LEXICON: {"lexicon"},
        OWN: {"folder"},
        CARD: {"imdb", "folder"},
        ("folder",): {"folder"},  # a folder of that name, as `load` has it
        ("_build",): {"folder"},
        (*LEXICON, *CARD): {"lexicon", "imdb", "folder"},
    }.items():
        plain = imported_sources(HERE, "single_task")
        more = {p for p in imported_sources(HERE, "single_task", datasets) if p not in plain}
        below = {"tasks/_build.py", "tasks/_columns.py", "tasks/_hub.py"} if "folder" in readers else set()
        assert {f"tasks/{r}.py" for r in readers} <= more
        assert {p for p in more if p.startswith("tasks/") and not p.startswith("tasks/_")} == {
            f"tasks/{r}.py" for r in readers
        }
        assert below <= more
    assert moved("tasks/_build.py", OWN) == moved("tasks/_hub.py", OWN) == moved("tasks/imdb.py", CARD) == EVERY
    assert moved("tasks/lexicon.py", OWN) == moved("tasks/_build.py", LEXICON) == set()


def test_a_module_with_a_card_is_one_that_load_reads_so() -> None:
    for name in module_names("tasks"):
        if name != "folder":
            found = importlib.import_module(f"raystudy.tasks.{name}")
            assert code_versions._has_card(HERE[f"tasks/{name}.py"]) == hasattr(found, "CARD"), name


def test_a_spec_names_the_data_sets_that_are_read_for_it() -> None:
    spec = dataclasses.replace(spec_of("single_task"), suite=("lexicon/stars", "mine/books", "lexicon/polarity"))
    assert spec.datasets == ("lexicon", "mine")
    others = {"lexicon": {"without": ("sst5", "mds/books")}, "elsewhere": {"without": ("imdb",)}}
    assert dataclasses.replace(spec, task_options=others).datasets == ("lexicon", "mds", "mine", "sst5")
    assert Spec.from_json(spec.to_json()).datasets == spec.datasets


@pytest.mark.parametrize(
    ("text", "reaches"),
    [
        ("from raystudy.nn import heads", True),
        ("import raystudy.nn.heads as h", True),
        ("from raystudy.nn.heads import union", True),
        ("from ..nn.heads import union", True),
        ("from .. import nn\nfrom ..nn import heads", True),
        ("def f():\n    if x:\n        from raystudy.nn.heads import union", True),
        ("try:\n    import raystudy.nn.heads\nexcept ImportError:\n    pass", True),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    from raystudy.nn.heads import union", True),
        ("if TYPE_CHECKING:\n    from raystudy.nn.heads import union", False),
        ("if typing.TYPE_CHECKING:\n    from raystudy.nn.heads import union", False),
        ("import raystudy.nn", False),
        ("'from raystudy.nn.heads import union'", False),
        ("from elsewhere.nn import heads", False),
    ],
)
def test_every_form_of_an_import_is_seen(text: str, reaches: bool) -> None:
    here = {**HERE, "methods/new.py": text.encode()}
    assert ("nn/heads.py" in imported_sources(here, "new")) == reaches


def test_a_method_may_lean_on_another() -> None:
    here = {**HERE, "methods/new.py": b"from raystudy.methods.mft import typicality"}
    assert {"methods/mft.py", "nn/prototypes.py"} <= imported_sources(here, "new")


def test_modules_hold_only_what_comes_from_where_they_reach() -> None:
    """What a running program has in its modules agrees with what was read of their sources."""

    def from_ours(module: ModuleType) -> Iterator[str]:
        for value in vars(module).values():
            name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(name, str) and name.partition(".")[0] == "raystudy":
                yield name

    for method in METHODS:
        paths = imported_sources(HERE, method, LEXICON)
        for path in paths:
            dotted = path.removesuffix(".py").removesuffix("__init__").rstrip("/").replace("/", ".")
            if path.endswith("__init__.py"):
                continue  # a package holds whatever submodule anybody imported
            for name in from_ours(importlib.import_module(f"raystudy.{dotted}".rstrip("."))):
                assert set(code_versions._modules(name, HERE)) <= paths, (path, name)


def test_only_find_imports_by_name() -> None:
    """Another dynamic import would be one that the digest does not see."""
    reach = {p for m in METHODS for d in (PLANTED, LEXICON, CARD) for p in imported_sources(HERE, m, d)}
    dynamic = [
        path
        for path in reach
        for node in ast.walk(ast.parse(HERE[path]))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__")
    ]
    assert dynamic == ["plugins.py"]


def test_a_method_that_is_not_there_is_refused() -> None:
    with pytest.raises(FileNotFoundError, match=r"methods/gone\.py"):
        code_digest("gone")


# ---------------------------------------------------------------------------------------------------------------------
# versions


@pytest.fixture
def torch_of_tomorrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another version of torch is installed."""

    def forget() -> None:
        for memo in (code_versions._library_versions, code_versions._code_and_library_digest):
            memo.cache_clear()

    before = code_versions.installed_version
    forget()
    monkeypatch.setattr(code_versions, "installed_version", lambda name: "99.0" if name == "torch" else before(name))
    yield
    monkeypatch.undo()
    forget()


def test_libraries_that_move_a_number_are_those_that_are_imported() -> None:
    always = {"torch", "transformers", "tokenizers", "numpy"}
    solvers = {"scikit-learn", "scipy"}
    for method in METHODS:
        paths = imported_sources(HERE, method, PLANTED)
        asked = any(b"from sklearn" in HERE[p] for p in paths)
        assert library_versions(method, PLANTED).keys() == (always | solvers if asked else always), method
    assert "scikit-learn" in library_versions("floors", PLANTED)
    assert "scikit-learn" in library_versions("single_task", PLANTED), "it computes the metrics by which all are judged"
    assert all(v[0].isdigit() for v in library_versions("floors").values()), "each is installed"
    assert {d for ds in NUMERIC.values() for d in ds} == always | solvers


@pytest.fixture
def metrics_import_nothing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The sources as they are, but for an empty ``metrics.py``."""
    memos = (code_versions._imported_paths, code_versions._library_versions)
    for memo in memos:
        memo.cache_clear()
    monkeypatch.setattr(code_versions, "sources", lambda: {**HERE, "metrics.py": b""})
    yield
    monkeypatch.undo()
    for memo in memos:
        memo.cache_clear()


def test_but_for_the_metrics_only_methods_with_its_solvers_ask_for_scikit_learn(metrics_import_nothing: None) -> None:
    assert "scikit-learn" in library_versions("floors", PLANTED)
    assert "scikit-learn" not in library_versions("single_task", PLANTED)


def test_another_version_is_another_stage_and_another_checkpoint(request: pytest.FixtureRequest) -> None:
    spec = spec_of("meta_dtl")
    setup = train.method_of(spec, train.load_tasks(spec, None), train.Places(plm="tiny"), train.Alone()).setup

    def now() -> list[object]:
        keys = [train.stage_key(spec, setup, part) for part in ("constants", "transfer")]
        return [*keys, code_and_library_digest(spec.method, spec.datasets)]

    before, code = now(), code_digest(spec.method, spec.datasets)
    assert now() == before
    request.getfixturevalue("torch_of_tomorrow")
    assert all(a != b for a, b in zip(now(), before, strict=True))
    assert code_digest(spec.method, spec.datasets) == code


def test_what_made_a_record_and_is_not_here_is_named(request: pytest.FixtureRequest) -> None:
    spec = spec_of("single_task")
    made_by = {"code": code_digest(spec.method, spec.datasets), **train.numerics_here(spec)}
    record = dataclasses.replace(failure(spec, "").record, made_by=made_by)
    assert not is_stale(record)
    other = dataclasses.replace(record, made_by={**made_by, "code": "0" * 16, "numpy": "1.0", "device": "abacus"})
    assert stale_parts(other) == ["other code", f"numpy 1.0, here {made_by['numpy']}"]
    assert version_differences({}, spec.method) == [], "what was not written down is not held against it"
    assert stale_parts(dataclasses.replace(record, spec=dataclasses.replace(spec, method="gone"))) == [
        "a method gone that is not here"
    ]
    request.getfixturevalue("torch_of_tomorrow")
    assert stale_parts(record) == [f"torch {made_by['torch']}, here 99.0"]
    assert is_stale(record)
