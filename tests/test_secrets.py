"""A secret of the environment stands in no file and on no line that a run leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SECRETS = {
    "HF_TOKEN": "hf_planted0000000000000000000000000",
    "RAY_AUTH_TOKEN": "ray-planted-111111111111111111111111",
    "AWS_SECRET_ACCESS_KEY": "aws-planted-22222222222222222222222",
    "WANDB_API_KEY": "wandb-planted-3333333333333333333333",
}
PROGRAM = """
from raystudy import api
keys = {"name": "kept", "plm": "tiny", "suite": "planted", "shots": 24, "report": {"seeds": 2}}
methods = ["single_task", {"meta_dtl": {"centred": True, "weights": "raw"}}]  # the second fails: errors are kept too
study = api.load_study({**keys, "methods": methods, "settings": {"max_updates": 2}})
try:
    api.run(study, local=True, quiet=False)
except Exception as error:
    print(error)
print(api.plan(study))
"""


def test_no_secret_of_the_environment_is_written_anywhere(tmp_path: Path) -> None:
    """Records, lock file, logs, report, cache, temporary files, and what is printed; also of a cell that failed."""
    places = {"RAYSTUDY_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path / "tmp"), "HF_HUB_OFFLINE": "1"}
    (tmp_path / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, **SECRETS, **places},
        capture_output=True,
        check=True,
        timeout=300,
    )
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    names = {p.name for p in files}
    assert {"study.lock.yaml", "record.json", "report.html"} <= names, "a whole run, with all that it writes"
    for secret in map(str.encode, SECRETS.values()):
        assert secret not in done.stdout + done.stderr
        assert not [str(p) for p in files if secret in p.read_bytes()]


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/tmp/out", "~/out"])
def test_a_name_in_a_study_file_leads_out_of_no_folder(name: str, tmp_path: Path) -> None:
    from raystudy.errors import ConfigError
    from raystudy.studyfile import read_study

    path = tmp_path / "s.yaml"
    path.write_text(f"name: {name}\nsuite: planted\nmethods: [single_task]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="name"):
        read_study(path)
