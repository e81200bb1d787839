"""What is built: a wheel with its data, the same from the source distribution, and an editable install without copies.

`tests/test_ray.py` trains a study with the wheel.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from wheels import ROOT, build, unpacked


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build("wheel", tmp_path_factory.mktemp("wheel")))


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


def test_the_source_distribution_builds_the_same_wheel(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as tar:
        tar.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    again = zipfile.ZipFile(build("wheel", tmp_path, source))
    assert {n: again.read(n) for n in again.namelist()} == {n: wheel.read(n) for n in wheel.namelist()}
    for name in ("tests/test_wheel.py", ".ci/run", "cluster.yaml", "CHANGELOG.md"):
        assert (source / name).is_file(), name


def test_an_editable_install_is_one_path_and_no_copy(tmp_path: Path) -> None:
    """A copy of search_spaces/ in site-packages would go stale with the first edit."""
    with zipfile.ZipFile(build("editable", tmp_path)) as z:
        (path,) = [n for n in z.namelist() if ".dist-info/" not in n]
        assert path.endswith(".pth")
        assert z.read(path).decode().strip() == str(ROOT)


def test_a_wheel_works_in_an_empty_folder(tmp_path: Path) -> None:
    site, empty = unpacked(tmp_path), tmp_path / "empty"
    empty.mkdir()

    def run(*args: str) -> str:
        out = subprocess.run(
            [sys.executable, *args],
            cwd=empty,
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert out.returncode == 0, out.stdout + out.stderr
        return out.stdout

    assert str(site) in run("-c", "import raystudy; print(raystudy.__file__)")
    listed = json.loads(run("-m", "raystudy", "methods", "--json"))
    assert {"single_task", "meta_dtl"} <= {m["id"] for m in listed}
    assert "meta_dtl" in run("-m", "raystudy", "plan", "smoke")
    assert not list(empty.iterdir())
