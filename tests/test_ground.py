"""What stands around the code: a README that tells the truth, no word of a machine, a wheel that works elsewhere."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_readmes_study_file_is_valid(tmp_path: Path) -> None:
    from raystudy.studyfile import read_study

    text = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert text
    (tmp_path / "mine.yaml").write_text(text.group(1))
    assert read_study(tmp_path / "mine.yaml").name == "mine"


def test_the_readme_lists_every_variant_and_exit_code() -> None:
    from raystudy.catalogue import catalogue

    text = (ROOT / "README.md").read_text()
    for v in catalogue().variants:
        short = "_" + v.removeprefix("meta_dtl_")
        assert f"`{v}`" in text or f"`{short}`" in text, v


def test_no_word_of_a_machine() -> None:
    """The project speaks of itself only: no absolute paths of the place it was written in."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not tracked:
        pytest.skip("not a git checkout")
    for name in tracked:
        path = ROOT / name
        if path.suffix in (".py", ".md", ".yaml", ".toml", ".yml", "") and path.is_file() and path.name != "LICENSE":
            text = path.read_text(encoding="utf-8", errors="replace")
            for line in text.splitlines():
                assert "/work" + "/" not in line, f"{name}: {line}"
                assert "/root" + "/" not in line, f"{name}: {line}"


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_wheel_works_in_an_empty_folder(tmp_path: Path) -> None:
    """Builds the wheel and runs it from elsewhere, `smoke` included: a whole Ray start, hence slow."""
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wheel = tmp_path / done.stdout.split()[-1]
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as z:
        z.extractall(site)
        names = z.namelist()
    assert "raystudy/search_spaces/studies/quickstart.yaml" in names
    assert "raystudy/results_published/metadtl_table2.csv" in names
    assert "raystudy/py.typed" in names
    assert not [n for n in names if n.startswith(("tests", "benchmarks"))]
    env = {**os.environ, "PYTHONPATH": str(site), "RAYSTUDY_CACHE": str(tmp_path / "cache"), "CI": "true"}
    env["RAY_OVERRIDE_RESOURCES"] = '{"CPU": 1}'  # Ray starts a process for every CPU, which load what one needs

    def run(*args: str) -> str:
        command = [sys.executable, "-m", *args]
        out = subprocess.run(command, cwd=empty, env=env, capture_output=True, text=True, check=False)
        assert out.returncode == 0, out.stdout + out.stderr
        return out.stdout

    where = [sys.executable, "-c", "import raystudy; print(raystudy.__file__)"]
    assert str(site) in subprocess.run(where, cwd=empty, env=env, capture_output=True, text=True, check=True).stdout
    listed = json.loads(run("raystudy", "methods", "--json"))
    assert {"single_task", "meta_dtl"} <= {m["id"] for m in listed}
    few = ("--set", "settings.min_updates=4", "--set", "settings.max_updates=4")  # nothing is asked of what it learns
    run("raystudy.run", "smoke", *few)
    report = empty / "results" / "smoke" / "report"
    assert (report / "report.md").is_file()
    with (report / "results.csv").open() as f:
        assert len(list(csv.DictReader(f))) > 0
