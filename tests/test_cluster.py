"""cluster.yaml and its variants: valid for `ray up`, and nothing in it that a reader is not told to fill in.

What a cloud would make of it (images, quotas, prices) no test here can know.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import sys
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


# -- the variants below clusters/ --------------------------------------------------------------------------------------

VARIANTS = {p.name: p.read_text(encoding="utf-8") for p in sorted((ROOT / "clusters").iterdir())}
AUTOSCALED = ("gcp.yaml", "on-premise.yaml")
PLACEHOLDER = re.compile(r"\b(?:PROJECT_ID|HEAD_IP|WORKER_IP|IMAGE|SHARED_CLAIM|FILESTORE_IP)\b")


def prepared(name: str) -> dict[str, Any]:
    """A variant as Ray completes and checks it before it starts a machine."""
    import yaml
    from ray.autoscaler._private.util import prepare_config, validate_config

    logging.getLogger("ray.autoscaler._private.util").setLevel(logging.WARNING)
    out: dict[str, Any] = prepare_config(yaml.safe_load(VARIANTS[name]))
    validate_config(out)
    return out


@pytest.mark.parametrize("name", AUTOSCALED)
def test_a_variant_installs_and_protects_as_the_first_does(name: str, config: dict[str, Any]) -> None:
    other = prepared(name)
    assert other["file_mounts"] == config["file_mounts"]
    assert [c for c in other["setup_commands"] if "apt-get" not in c] == [
        c for c in config["setup_commands"] if "apt-get" not in c
    ], "the same environment, and the token is asked for"
    (start,) = [c for c in other["head_start_ray_commands"] if "ray start" in c]
    assert "--dashboard-host=127.0.0.1" in start
    for command in commands(other):
        assert subprocess.run(["bash", "-n", "-c", command], capture_output=True, check=False).returncode == 0, command


@pytest.mark.parametrize("name", [n for n in VARIANTS if n.endswith(".yaml")])
def test_what_a_variant_leaves_to_fill_in_is_said_at_its_top(name: str) -> None:
    head = "\n".join(line for line in VARIANTS[name].splitlines() if line.startswith("#"))
    body = re.sub(r"(?m)^\s*#.*|\s#\s.*$", "", VARIANTS[name])
    assert set(PLACEHOLDER.findall(body)) <= set(PLACEHOLDER.findall(head))
    assert PLACEHOLDER.search(body)


# The fields of ray.io/v1 that the manifests may use, as the operator's public repository declares them.
RAY_CLUSTER = {"rayVersion", "headGroupSpec", "workerGroupSpecs", "enableInTreeAutoscaling", "autoscalerOptions"}
GROUP = {"groupName", "replicas", "minReplicas", "maxReplicas", "numOfHosts", "rayStartParams", "template"}
HEAD = {"serviceType", "headService", "enableIngress", "rayStartParams", "template"}
RAY_JOB = {
    *("activeDeadlineSeconds", "backoffLimit", "rayClusterSpec", "submitterPodTemplate", "metadata", "clusterSelector"),
    *("submitterConfig", "managedBy", "deletionStrategy", "entrypoint", "runtimeEnvYAML", "jobId", "submissionMode"),
    *("entrypointResources", "entrypointNumCpus", "entrypointNumGpus", "ttlSecondsAfterFinished", "suspend"),
    "shutdownAfterJobFinishes",
}


def test_the_manifests_for_kubernetes_have_the_operators_fields_and_a_token() -> None:
    import yaml

    cluster, job = yaml.safe_load_all(VARIANTS["kuberay.yaml"])
    assert (cluster["apiVersion"], cluster["kind"], job["kind"]) == ("ray.io/v1", "RayCluster", "RayJob")
    assert set(job["spec"]) <= RAY_JOB
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (ray,) = [d for d in project["dependencies"] if d.startswith("ray[")]
    least = re.search(r">=([\d.]+)", ray)
    assert least is not None
    templates = [job["spec"]["submitterPodTemplate"]]
    for spec in (cluster["spec"], job["spec"]["rayClusterSpec"]):
        assert set(spec) <= RAY_CLUSTER
        assert spec["rayVersion"].startswith(least.group(1)), "the Ray of pyproject.toml"
        assert set(spec["headGroupSpec"]) <= HEAD
        assert spec["headGroupSpec"]["serviceType"] == "ClusterIP", "nothing from outside reaches it"
        templates.append(spec["headGroupSpec"]["template"])
        for group in spec["workerGroupSpecs"]:
            assert set(group) <= GROUP
            assert group["minReplicas"] == group["replicas"] <= group["maxReplicas"], "a study takes what is there"
            templates.append(group["template"])
    assert cluster["spec"] == job["spec"]["rayClusterSpec"]
    for template in templates:
        for container in template["spec"]["containers"]:
            env = {e["name"]: e for e in container["env"]}
            assert env["RAY_AUTH_MODE"]["value"] == "token"
            assert "secretKeyRef" in env["RAY_AUTH_TOKEN"]["valueFrom"], "the token stands in no file of the project"


SCRIPTS = [ROOT / "clusters" / "slurm.sh", *sorted((ROOT / "tests" / "cluster").glob("*.sh"))]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_scripts_are_shell_and_stop_at_the_first_error(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert "set -euo pipefail" in text
    assert subprocess.run(["bash", "-n", script], capture_output=True, check=False).returncode == 0
    if checker := shutil.which("shellcheck"):
        done = subprocess.run([checker, "--severity=warning", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_the_script_for_slurm_starts_one_ray_per_node_and_the_study_once(tmp_path: Path) -> None:
    """With srun and Ray in name only: what would be started, on which head, with which token."""
    (tmp_path / "bin").mkdir()
    for name, body in {
        "srun": 'echo "srun $*"; cat "$RAY_AUTH_TOKEN_PATH" > seen; stat -c %a "$RAY_AUTH_TOKEN_PATH"',
        "scontrol": "printf 'node7\\nnode8\\n'",
    }.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/bash\n{body}\n")
        program.chmod(0o755)
    env = {"PATH": f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin", "RAYSTUDY_VENV": "/nowhere"}
    slurm = {"SLURM_JOB_ID": "12", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_NODELIST": "node[7-8]"}
    done = subprocess.run(
        ["bash", SCRIPTS[0], "mine.yaml", "--seeds", "3"],
        cwd=tmp_path,
        env=env | slurm | {"SLURM_CPUS_PER_TASK": "8", "SLURM_GPUS_ON_NODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    said, mode = done.stdout.splitlines()
    assert said == (
        "srun --nodes=2 --ntasks=2 ray symmetric-run --address node7:20012 --min-nodes 2 --num-cpus 8 -- "
        "python -m raystudy.run --address auto --set numerics.device=cuda mine.yaml --seeds 3"
    )
    assert mode == "600"
    assert len((tmp_path / "seen").read_text()) == 64
    assert not list(tmp_path.glob(".ray-token*")), "it goes with the job"
