"""What stands around the code: a README that tells the truth, and no word of a machine."""

from __future__ import annotations

import re
import subprocess
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
