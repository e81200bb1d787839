"""What is built: a wheel with its data, the same from the source distribution, and an editable install without copies.

`tests/test_ground.py` runs the wheel from an empty folder.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
Build = Callable[[Path, str], Path]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """`build(source folder, kind)` -> the file; kinds are those of PEP 517 and 660. Nothing is downloaded."""

    def make(source: Path, kind: str) -> Path:
        out = tmp_path_factory.mktemp(kind)
        code = "import sys, hatchling.build as b; getattr(b, 'build_' + sys.argv[1])(sys.argv[2])"
        subprocess.run([sys.executable, "-c", code, kind, str(out)], cwd=source, check=True, capture_output=True)
        (path,) = out.iterdir()
        return path

    return make


@pytest.fixture(scope="module")
def wheel(build: Build) -> zipfile.ZipFile:
    return zipfile.ZipFile(build(ROOT, "wheel"))


def files(folder: str, pattern: str) -> set[str]:
    """What of the checkout should be shipped: no caches, no hidden files."""
    found = (p.relative_to(ROOT / folder) for p in (ROOT / folder).rglob(pattern) if p.is_file())
    return {str(p) for p in found if not any(part.startswith((".", "__pycache__")) for part in p.parts)}


def test_the_wheel_holds_the_package_and_its_data_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    expected = {f"raystudy/{f}" for f in files("raystudy", "*")}
    expected |= {f"raystudy/search_spaces/{f}" for f in files("search_spaces", "*")}
    expected |= {f"raystudy/results_published/{f}" for f in files("results/published", "*")}
    assert {n for n in wheel.namelist() if ".dist-info/" not in n} == expected
    assert "raystudy/py.typed" in expected
    assert len([f for f in expected if f.endswith(".csv")]) == 25


def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (info,) = {n.split("/")[0] for n in wheel.namelist() if ".dist-info/" in n}
    metadata = wheel.read(f"{info}/METADATA").decode()
    assert f"\nVersion: {project['version']}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert wheel.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert "raystudy = raystudy.__main__:main" in wheel.read(f"{info}/entry_points.txt").decode()


def test_the_source_distribution_builds_the_same_wheel(build: Build, wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    with tarfile.open(build(ROOT, "sdist")) as tar:
        tar.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    again = zipfile.ZipFile(build(source, "wheel"))
    assert {n: again.read(n) for n in again.namelist()} == {n: wheel.read(n) for n in wheel.namelist()}
    for name in ("tests/test_wheel.py", ".ci/run", "cluster.yaml", "CHANGELOG.md"):
        assert (source / name).is_file(), name


def test_an_editable_install_is_one_path_and_no_copy(build: Build) -> None:
    """A copy of search_spaces/ in site-packages would go stale with the first edit."""
    with zipfile.ZipFile(build(ROOT, "editable")) as z:
        (path,) = [n for n in z.namelist() if ".dist-info/" not in n]
        assert path.endswith(".pth")
        assert z.read(path).decode().strip() == str(ROOT)
