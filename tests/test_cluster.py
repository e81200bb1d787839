"""cluster.yaml: valid for `ray up`, and nothing in it that a reader is not told to fill in.

What a cloud would make of it (images, quotas, prices) no test here can know.
"""

from __future__ import annotations

import logging
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "cluster.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """The file as Ray completes it before it starts a machine."""
    import yaml  # Ray reads it with this library, so anchors and all must mean the same
    from ray.autoscaler._private.util import prepare_config, validate_config

    logging.getLogger("ray.autoscaler._private.util").setLevel(logging.WARNING)
    prepared: dict[str, Any] = prepare_config(yaml.safe_load(TEXT))
    validate_config(prepared)
    return prepared


def commands(config: dict[str, Any]) -> list[str]:
    return [line for key, lines in config.items() if key.endswith("_commands") for line in lines]


def test_what_is_left_to_fill_in_is_said_at_the_top(config: dict[str, Any]) -> None:
    head, _, body = TEXT.partition("cluster_name:")
    placeholder = re.compile(r"\b[A-Z]+_ID\b|<[^>\n]*>|\b(?:TODO|FIXME|CHANGE_?ME|YOUR_\w+)\b")
    in_use = placeholder.findall(re.sub(r"(?m)^\s*#.*|\s#\s.*$", "", body))
    assert in_use == ["AMI_ID"], "exactly one value of the file is a placeholder, in one place"
    assert "AMI_ID" in head
    images = {t["node_config"]["ImageId"] for t in config["available_node_types"].values()}
    assert images == {"AMI_ID"}, "every node type takes the image that is filled in"


def test_the_head_conducts_and_the_workers_train(config: dict[str, Any]) -> None:
    types = config["available_node_types"]
    head = types.pop(config["head_node_type"])
    assert head["resources"] == {"CPU": 0}, "trainings stay off the head"
    (gpu,) = types.values()
    assert gpu["resources"]["GPU"] >= 1
    assert 1 <= gpu["min_workers"] <= gpu["max_workers"] == config["max_workers"], (
        "a study takes what is there at its start"
    )


def test_nodes_install_this_project_and_with_it_its_ray(config: dict[str, Any]) -> None:
    """Head, workers and the client must have one Ray; pyproject.toml says which, so no command may say it again."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (ray,) = [d for d in project["dependencies"] if d.startswith("ray[")]
    assert "default" in ray.split("]")[0], "`ray up` and the dashboard are in ray[default]"
    for key in ("head_setup_commands", "worker_setup_commands"):
        installs = [c for c in config[key] if "pip install" in c and "-e " in c]
        assert len(installs) == 1, key
        (extra,) = re.findall(r"-e '\.\[(\w+)\]'", installs[0])
        assert extra in project["optional-dependencies"]
    assert not [c for c in commands(config) if re.search(r"pip install\b.*\b(ray|torch)\b(?!study)", c)]
    assert any("pip install" in c and "boto3" in c for c in config["head_setup_commands"]), (
        "the head starts the workers"
    )


def test_mounted_paths_exist_and_hold_what_an_install_needs(config: dict[str, Any]) -> None:
    mounts = dict(config["file_mounts"])
    assert mounts.pop("~/.ray/auth_token") == "~/.ray/auth_token"
    for remote, local in mounts.items():
        assert (ROOT / local).exists(), local
        assert remote == "~/raystudy/" + local.removeprefix("./")
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*hatch["only-include"], "pyproject.toml", "README.md", "LICENSE"} == {
        m.removeprefix("./") for m in mounts.values()
    }


def test_ray_asks_for_the_token_and_its_dashboard_is_not_public(config: dict[str, Any]) -> None:
    assert any("RAY_AUTH_MODE=token" in c for c in config["setup_commands"])
    (start,) = [c for c in config["head_start_ray_commands"] if "ray start" in c]
    assert "--dashboard-host=127.0.0.1" in start
    assert "--include-dashboard=true" in start
    assert "--autoscaling-config=" in start


def test_commands_are_shell_and_can_be_repeated(config: dict[str, Any]) -> None:
    """`ray up` runs them again after every change, so what is appended to a file must not be appended twice."""
    for command in commands(config):
        done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert ">>" not in command or command.startswith("grep -q "), command
