"""What every test gets: a cache folder of its own, and one thread, so that nothing is shared but the machine."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read once, when NumPy is first imported; spawned processes inherit it

import hypothesis
import pytest
import torch
from jaxtyping import install_import_hook

# The shapes that signatures declare are checked at every call of every test.
SHAPED = ["raystudy.nn.losses", "raystudy.nn.encoder", "raystudy.nn.embed", "raystudy.methods.meta_dtl"]
install_import_hook(SHAPED, "beartype.beartype")

# A loaded machine is slow now and then, and a failure must come back on the next run.
hypothesis.settings.register_profile("laws", deadline=None, derandomize=True)
hypothesis.settings.load_profile("laws")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """RAYSTUDY_CACHE in the test's own folder, and no network for the hub's client."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RAYSTUDY_CACHE", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Sums in float depend on how they are split, so bitwise laws need a fixed number of threads."""
    torch.set_num_threads(1)
