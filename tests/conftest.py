"""What every test gets: a cache folder of its own, and one thread, so that nothing is shared but the machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # `cells` is imported by tests in subfolders and by spawned workers


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
