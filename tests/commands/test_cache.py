"""The cache: every entry says what it is, gc takes exactly what no run will ask for, nothing in use is deleted."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import PLACES, comparable, spec_of
from filelock import FileLock
from safetensors.torch import save_file
from typer.testing import CliRunner

from raystudy import __main__ as commands
from raystudy import train
from raystudy.code_versions import code_and_library_digest, code_digest, library_versions
from raystudy.errors import ConfigError, PreflightError
from raystudy.spec import digest
from raystudy.study.store.cache import GRACE, entries, oldest_beyond, total_bytes
from raystudy.study.store.stage_store import LARGE, StageStore
from raystudy.workers import Alone


def call(*args: str, **options: Any) -> Any:
    return CliRunner().invoke(commands.app, ["cache", *args], **options)


def told(*args: str) -> Any:
    out = call(*args, "--json")
    assert out.exit_code == 0, out.output + str(out.exception)
    return json.loads(out.stdout)


def key(method: str = "meta_dtl", **changed: Any) -> dict[str, Any]:
    datasets = ("planted",)
    made = {"code": code_digest(method, datasets), "libraries": dict(library_versions(method, datasets))}
    return {
        "part": "transfer",
        "method": method,
        "plm": "tiny-1",
        "seed": 1,
        "datasets": [*datasets],
        **made,
        **changed,
    }


@pytest.fixture
def store(own_cache: Path) -> StageStore:
    return StageStore(own_cache / "stages")


Keep = Callable[..., str]


@pytest.fixture
def keep(store: StageStore) -> Keep:
    """Put one result of `size` bytes, like no other, into the store, last used `age` seconds ago; answers its key."""
    number = itertools.count()

    def put(of: dict[str, Any], size: int = 800, age: float = 0) -> str:
        store.compute(of, lambda: {"x": torch.full((size // 8,), next(number), dtype=torch.float64)}, Alone())
        path = store._path(of)
        os.utime(path, (time.time() - age, time.time() - age))
        return path.stem

    return put


def checkpoint(folder: Path, cell: str, code: str) -> Path:
    path = folder / "running" / cell
    path.mkdir(parents=True)
    of = {"code": code, "method": "single_task", "datasets": ["planted"]}
    (path / "where.json").write_text(json.dumps({"part": "adapt", "stage": 0, "step": 7, **of}))
    (path / "state.safetensors").write_bytes(b"weights")
    return path


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"}


def test_what_a_run_keeps_is_listed_with_what_it_is_of(store: StageStore) -> None:
    spec = spec_of("meta_dtl", seed=3)
    train.run(spec, PLACES, store=store)
    listed = told("ls")
    assert {e["of"]["part"] for e in listed["entries"]} == {"constants", "transfer"}
    for e in listed["entries"]:
        assert e["fresh"]
        assert e["of"]["method"] == "meta_dtl"
        assert e["of"]["plm"] == "tiny-1"
        assert e["key"] == digest(e["of"], 16) == Path(e["path"]).stem, "the header holds the whole key"
    (transfer,) = (e for e in listed["entries"] if e["of"]["part"] == "transfer")
    assert transfer["of"]["seed"] == 3
    assert listed["bytes"] == sum(Path(e["path"]).stat().st_size for e in listed["entries"])


def test_what_gc_leaves_still_answers_a_run(store: StageStore) -> None:
    spec = spec_of("meta_dtl")
    first = train.run(spec, PLACES, store=store)
    assert told("gc")["entries"] == []
    again = train.run(spec, PLACES, store=store)
    assert set(again.record.stages.values()) == {"stored", "ran"}
    assert {**comparable(first.record), "stages": 0} == {**comparable(again.record), "stages": 0}


def test_gc_takes_exactly_what_no_run_will_ask_for(own_cache: Path, store: StageStore, keep: Keep) -> None:
    fresh = [keep(key()), keep(key("multi_task", seed=2))]
    other = {**key()["libraries"], "torch": "1.0"}
    old = [
        keep(key(code="0" * 16)),
        keep(key(libraries=other)),
        keep(key(datasets=["my own"])),
        keep(key(code="1" * 16) | {"method": "gone"}),
        keep({"part": "of another time"}),
    ]
    save_file({"x": torch.zeros(3)}, store.folder / "nameless.safetensors")
    (store.folder / "torn.safetensors").write_bytes(b"\x08\0\0")
    (store.folder / "orphan.lock").touch()
    for name, age in (("dead.1.new", 2 * GRACE), ("alive.2.new", 0)):
        (store.folder / name).write_bytes(b"half")
        os.utime(store.folder / name, (time.time() - age, time.time() - age))
    code = code_and_library_digest("single_task", ("planted",))
    for cell in ("recorded", "running", "waiting"):
        checkpoint(own_cache, cell, code)
    checkpoint(own_cache, "edited", "0" * 16)
    checkpoint(own_cache, "running.old", code)  # beside its newer self
    checkpoint(own_cache, "between.old", code)  # a death between two renames: the only one there is
    record = Path("studies", "mine", "cells", "recorded", "record.json")
    (own_cache / record).parent.mkdir(parents=True)
    (own_cache / record).touch()
    stays = {f"stages/{k}.safetensors" for k in fresh} | {"stages/alive.2.new", str(record)}
    stays |= {
        f"running/{c}/{f}" for c in ("running", "waiting", "between.old") for f in ("where.json", "state.safetensors")
    }

    before = files(own_cache)
    would = told("gc", "--results", str(own_cache / "studies"), "--dry-run")
    assert files(own_cache) == before
    did = told("gc", "--results", str(own_cache / "studies"))
    assert (would["deleted"], did["deleted"]) == (False, True)
    assert {k: v for k, v in would.items() if k != "deleted"} == {k: v for k, v in did.items() if k != "deleted"}
    assert files(own_cache) == stays
    assert not (store.folder / "orphan.lock").exists()
    assert set(did["entries"]) == {*old, "nameless", "torn", "recorded", "edited"}
    assert told("gc", "--results", str(own_cache / "studies"))["entries"] == []


def test_a_limit_takes_what_was_used_longest_ago(own_cache: Path, keep: Keep) -> None:
    made = [keep(key(seed=i), size=100_000, age=1000 - i) for i in range(5)]
    size = {e.key: e.size for e in entries(own_cache)}
    gone = told("gc", "--keep-gb", str((size[made[0]] * 2 + 10) / 1e9))["entries"]
    assert gone == made[:3]
    assert {e.key for e in entries(own_cache)} == set(made[3:])
    assert oldest_beyond(entries(own_cache), 0) == sorted(entries(own_cache), key=lambda e: e.last_use)


def test_what_results_share_counts_once_and_goes_with_the_last_of_them(own_cache: Path, store: StageStore) -> None:
    """Three results: two have the same large tensor, all have small ones of their own."""
    large = [torch.full((LARGE // 8 + n,), 1.0, dtype=torch.float64) for n in (0, 0, 1)]
    made = []
    for n, tensor in enumerate(large):
        store.compute(key(seed=n), lambda tensor=tensor, n=n: {"x": tensor, "y": torch.tensor([n])}, Alone())  # type: ignore[misc]
        os.utime(store._path(key(seed=n)), (n, n))
        made.append(store._path(key(seed=n)).stem)
    tensors = store.folder / "tensors"
    assert len(list(tensors.iterdir())) == 2
    on_disk = sum(p.stat().st_size for p in store.folder.rglob("*.safetensors"))
    assert told("ls")["bytes"] == total_bytes(entries(own_cache)) == on_disk < sum(e.size for e in entries(own_cache))
    first = told("rm", made[0])
    assert first["bytes"] < LARGE, "the tensor stays, for the second has it too"
    assert len(list(tensors.iterdir())) == 2
    size = {e.key: e.size for e in entries(own_cache)}
    gone = told("gc", "--keep-gb", str(size[made[2]] / 1e9))
    assert (gone["entries"], gone["bytes"]) == ([made[1]], size[made[1]])
    assert len(list(tensors.iterdir())) == 1
    assert torch.equal((store.read(key(seed=2)) or {})["x"], large[2])
    (tensors / f"{'0' * 32}.safetensors").write_bytes(b"of a writer that died")
    assert told("gc")["leftovers"] == [], "it may be alive"
    os.utime(tensors / f"{'0' * 32}.safetensors", (0, 0))
    assert len(told("gc")["leftovers"]) == 1


@pytest.fixture
def held(store: StageStore, keep: Keep) -> Iterator[str]:
    """A key that somebody computes now."""
    name = keep(key(code="0" * 16))
    with FileLock(store.folder / f"{name}.lock"):
        yield name


def test_what_is_computed_now_is_left_alone(held: str, keep: Keep, own_cache: Path) -> None:
    other = keep(key())
    before = files(own_cache)
    for args in ([held], [held, other], ["--all", "--yes"]):
        assert isinstance(call("rm", *args).exception, PreflightError)
    assert files(own_cache) == before
    assert told("gc")["entries"] == []
    assert [e["held"] for e in told("ls")["entries"] if e["key"] == held] == [True]


def test_rm_by_first_letters(keep: Keep, own_cache: Path) -> None:
    made = [keep(key(seed=i)) for i in range(4)]
    assert told("rm", made[0][:8], made[1])["entries"] == made[:2]
    assert {e.key for e in entries(own_cache)} == set(made[2:])


def test_rm_says_every_key_that_is_wrong_and_deletes_none(keep: Keep, own_cache: Path) -> None:
    made = [keep(key(seed=i)) for i in range(40)]
    twice = next(k[0] for k in made if sum(o[0] == k[0] for o in made) > 1)
    out = call("rm", made[0], twice, made[1][:-1] + "_", "")
    assert isinstance(out.exception, ConfigError)
    assert [len(p.path) > 0 for p in out.exception.problems] == [True] * 3
    assert "begins" in str(out.exception)
    assert f"did you mean '{made[1]}'?" in str(out.exception)
    assert len(entries(own_cache)) == 40
    assert isinstance(call("rm").exception, ConfigError)
    assert isinstance(call("rm", "--all", made[0]).exception, ConfigError)


def test_rm_all_asks(keep: Keep, own_cache: Path) -> None:
    keep(key())
    checkpoint(own_cache, "cell", "0" * 16)
    assert call("rm", "--all", input="n\n").exit_code == 1
    assert len(entries(own_cache)) == 2
    assert call("rm", "--all", input="y\n").exit_code == 0
    assert entries(own_cache) == []


def test_an_empty_cache_is_no_error(own_cache: Path) -> None:
    assert told("ls") == {"folder": str(own_cache), "bytes": 0, "entries": [], "leftovers": []}
    assert told("gc")["bytes"] == 0
    assert told("rm", "--all", "--yes")["entries"] == []
    assert not own_cache.exists()
