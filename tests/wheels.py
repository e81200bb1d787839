"""Builds what is installed: a wheel, a source distribution, an editable install. Nothing is downloaded."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

__all__ = ["ROOT", "build", "unpacked"]

ROOT = Path(__file__).parents[1]


def build(kind: str, out: Path, source: Path = ROOT) -> Path:
    """The file of a kind of PEP 517 and 660 (``wheel``, ``sdist``, ``editable``) that hatchling writes into `out`."""
    code = "import sys, hatchling.build as b; print(getattr(b, 'build_' + sys.argv[1])(sys.argv[2]))"
    command = [sys.executable, "-c", code, kind, str(out)]
    done = subprocess.run(command, cwd=source, check=True, capture_output=True, text=True)
    return out / done.stdout.split()[-1]


def unpacked(folder: Path) -> Path:
    """A folder with what the wheel installs, made in `folder`; on PYTHONPATH it goes before the checkout."""
    site = folder / "site"
    with zipfile.ZipFile(build("wheel", folder)) as z:
        z.extractall(site)
    return site
