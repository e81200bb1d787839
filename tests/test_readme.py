"""The README's first lines are what a newcomer types, and what has to pass is what they were told to run."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
MAIN = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[quickstart]' && .venv/bin/python -m raystudy.run"
TESTS = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/python -m pytest"


def blocks(language: str = "") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_first_block_holds_two_commands_and_nothing_else() -> None:
    first = re.search(r"^```.*?\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert first
    assert first[1].splitlines() == [MAIN, TESTS]


def test_ci_runs_the_test_command_verbatim() -> None:
    assert TESTS in CI.splitlines()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.parametrize("broken", ["venv", "pip", "pytest", "ruff", "mypy", None])
def test_ci_fails_when_any_of_its_steps_does(tmp_path: Path, broken: str | None) -> None:
    """With stand-ins for the programs: each in turn fails, and the script must not go on to a green end."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "run").write_text(CI)
    bins = tmp_path / ".venv" / "bin"
    bins.mkdir(parents=True)
    for program in ("python3", "python", "pip", "ruff", "mypy"):
        (bins / program).write_text(
            f'#!/bin/bash\necho "{program} $*" >> {tmp_path}/log\n'
            f'case "{program} $*" in *"{broken or "nothing"}"*) exit 1;; esac\n'
        )
        (bins / program).chmod(0o755)
    env = {"PATH": f"{bins}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", ".ci/run"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    log = (tmp_path / "log").read_text().splitlines()
    assert (done.returncode == 0) is (broken is None), log
    assert broken is None or broken in log[-1], f"it went on after {broken} had failed: {log}"


def test_every_command_of_the_readme_exists() -> None:
    """Commands are named with their module, and the options that stand in the text are the program's own."""
    from typer.main import get_command

    from raystudy import __main__, run

    group = get_command(__main__.app)
    known = set(group.commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"python -m raystudy ([a-z]+)", README))
    assert named <= known
    options = {o for p in get_command(run.app).params for o in p.opts}
    line = next(text for text in README.splitlines() if text.startswith("| `python -m raystudy.run [STUDY]`"))
    assert set(re.findall(r"--[a-z-]+", line)) <= options


def test_places_that_the_readme_names_are_there() -> None:
    for name in re.findall(r"`((?:raystudy|search_spaces|results|\.ci)/[\w./-]*|cluster\.yaml)`", README):
        assert (ROOT / name).exists(), name
