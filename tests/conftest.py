"""What every test gets: a cache folder of its own, and one thread, so that nothing is shared but the machine.

And how the suite is spread over processes (pytest-xdist): a process takes whole files, so that what the tests of a file
share is made once; a file with tests of every variant is shared out by variant; what starts Ray is one group.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

# Sums in float depend on how they are split, so bitwise laws need a fixed number of threads. The libraries read these
# once, when they are first imported; spawned processes inherit them.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import hypothesis
import pytest
from jaxtyping import install_import_hook
from sharing import SPLIT, group_of

if "torch" in sys.modules:  # a plugin was quicker
    sys.modules["torch"].set_num_threads(1)

# The shapes that signatures declare are checked at every call, but for runs that repeat a checked one (cells.py).
SHAPED = ["raystudy.nn.losses", "raystudy.nn.encoder", "raystudy.nn.embed", "raystudy.methods.meta_dtl"]
install_import_hook(SHAPED, "beartype.beartype")

# A loaded machine is slow now and then, and a failure must come back on the next run.
hypothesis.settings.register_profile(
    "laws", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("laws")

# ---------------------------------------------------------------------------------------------------------------------
# which tests, in which order, in how many processes

PROCESSES = 8  # more would wait for the longest group
MEMORY = 2 << 30  # bytes that a process with torch and transformers, and what its tests start, may need


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """What `-n auto` means: this process alone for named files and tests; else a process per core, if memory allows."""
    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None  # xdist reads it
    if all(".py" in arg for arg in config.args):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(cores, PROCESSES, memory // MEMORY))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadgroup`, a test without a group of its own belongs to that of its file."""
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadGroupScheduling

    class Files(LoadGroupScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            group = super()._split_scope(nodeid)
            return group_of(nodeid) if group == nodeid else str(group)

    return Files(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked `full` unless it is asked for by name, and begin with what takes longest."""
    asked = config.option.keyword or "full" in config.option.markexpr or any("::" in arg for arg in config.args)
    if not asked:
        config.hook.pytest_deselected(items=[i for i in items if i.get_closest_marker("full")])
        items[:] = [i for i in items if not i.get_closest_marker("full")]

    def rank(item: pytest.Item) -> int:
        """Ray first, since one process does all of it; then the files that are shared out; else as they stand."""
        first = item.get_closest_marker("xdist_group"), item.get_closest_marker("slow"), item.nodeid.startswith(SPLIT)
        return next((i for i, x in enumerate(first) if x), len(first))

    if hasattr(config, "workerinput"):
        items.sort(key=rank)


# ---------------------------------------------------------------------------------------------------------------------
# fixtures


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """RAYSTUDY_CACHE in the test's own folder, no network for the hub's client, and plans that time nothing."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RAYSTUDY_CACHE", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("RAYSTUDY_CALIBRATE", "0")  # a plan would time every method anew in every empty cache
    return folder
