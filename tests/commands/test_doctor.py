"""The doctor finds what is missing, says how to mend it, and leaves nothing behind."""

from __future__ import annotations

import io
import json
import platform
import tarfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from raystudy import __main__ as commands
from raystudy import run as running
from raystudy.commands import doctor
from raystudy.commands.doctor import Check, agree, checks, packages
from raystudy.errors import PreflightError
from raystudy.machine import cluster_nodes, filesystem, ray_start, resources
from raystudy.spec import Numerics


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)


def call(*args: str) -> Result:
    return CliRunner().invoke(commands.app, ["doctor", *args])


def missing(*args: str) -> list[str]:
    """What a call finds missing; it must agree with its exit code."""
    out = call(*args, "--json")
    found = [c["what"] for c in json.loads(out.stdout)["checks"] if c["state"] == "missing"]
    assert out.exit_code == (3 if found else 0)
    return found


def test_a_study_that_can_run_misses_nothing_and_nothing_is_left_behind(tmp_path: Path) -> None:
    out = call("smoke")
    assert out.exit_code == 0, out.output
    assert {line.split()[0] for line in out.stdout.splitlines()} <= {"ok", "warn"}
    assert [p.name for p in tmp_path.iterdir()] == []


def test_every_data_set_that_is_not_there_is_named() -> None:
    found = missing("review")
    assert len(found) == 3
    for line, task in zip(found, ("sst5", "amazon_mds", "imdb"), strict=True):
        assert f"the data set {task} is not there" in line
        assert "--data-root" in line


def test_a_model_that_is_not_there_is_named_with_the_command_that_brings_it() -> None:
    out = call("smoke", "--plm", "no/such-model", "--set", "revision=v2")
    assert out.exit_code == 3
    assert "hf download no/such-model --revision v2" in out.stdout


def test_a_broken_model_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert [line for line in missing("smoke", "--plm", str(tmp_path / "model")) if "config.json" in line]


def test_results_that_cannot_be_written_are_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    (line,) = missing("smoke", "--out", "file/results")
    assert "results folder file/results cannot be written" in line


def test_more_workers_than_cores_and_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    found = missing("smoke", "--set", "numerics.workers=4096", "--set", "numerics.device=cuda")
    assert any("CPU cores for 4096 workers" in line for line in found)
    assert any("torch sees 0 GPUs" in line for line in found)


def test_memory_that_is_too_small_is_a_warning_with_the_groups_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(*args: Any, **kwargs: Any) -> dict[str, Any]:
        memory = int(doctor.RAY + 2.5 * doctor.PROCESS)
        return {**machine_facts(*args, **kwargs), "memory": memory, "cpus": 8, "gpus": []}

    machine_facts = resources.machine_facts
    monkeypatch.setattr(resources, "machine_facts", small)
    study, places, folder = running.open_study("smoke", running.RunOptions())
    (found,) = [c for c in checks(study, places, folder) if c.state == "warn" and "memory" in c.what]
    assert found.mend == "--groups 2"


def test_a_full_disk_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DISK", float("inf"))
    out = call("smoke")
    assert out.exit_code == 0
    assert sum(line.startswith("warn") and "free for" in line for line in out.stdout.splitlines()) == 3


LONG = "x" * 60


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("TMPDIR", LONG, "Ray's sockets need one of at most"),
        ("RAY_TMPDIR", LONG, "set RAY_TMPDIR to a shorter path"),
        ("TMPDIR", "file/tmp", "file/tmp, cannot be written"),
        ("HOME", "file/home", "Ray keeps its token there; set HOME"),
        ("RAY_AUTH_TOKEN_PATH", "nowhere", "there is no such file"),
    ],
)
def test_what_the_doctor_misses_ends_a_run_before_ray_starts_and_in_the_same_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    (tmp_path / LONG).mkdir()
    (tmp_path / "file").write_text("no folder")
    for name in ("RAY_TMPDIR", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", "/tmp")
    assert ray_start.ray_obstacles() == []
    monkeypatch.setenv(variable, value)  # relative paths, so that a shell's own mistake is covered too
    found = ray_start.ray_obstacles()
    assert found
    assert any(says in f"{what}; {mend}" for what, mend in found)
    assert [(c.what, c.mend) for c in doctor._ray_starts()] == found
    with pytest.raises(PreflightError) as e:
        running._ray_can_start()
    assert [p.message for p in e.value.problems] == [f"{what}; {mend}" for what, mend in found]


def test_the_longest_folder_that_is_let_through_is_one_that_ray_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's own rule on the path of a socket, for a process with the longest number that Linux gives."""
    from ray._private.utils import validate_socket_filepath

    monkeypatch.setattr(ray_start, "probe_writing", lambda folder: ("", 0.0))
    for size in range(30, 60):
        folder = "/" + "t" * (size - 1)
        monkeypatch.setenv("RAY_TMPDIR", folder)
        socket = f"{folder}/ray/session_2026-11-28_20-04-34_123456_4194304/sockets/plasma_store"
        try:
            validate_socket_filepath(socket)
            taken = True
        except OSError:
            taken = False
        assert taken == (not list(ray_start._no_room_for_sessions()))


def test_open_ports_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    (line,) = [line for line in call("smoke").stdout.splitlines() if "RAY_AUTH_MODE" in line]
    assert line.startswith("warn")


def test_a_study_that_is_none_is_answered_as_everywhere() -> None:
    assert "did you mean 'smoke'?" in str(call("smok").exception)


# ---------------------------------------------------------------------------------------------------------------------
# versions


def test_every_requirement_is_judged() -> None:
    wanted = [
        f"torch=={version('torch')}",
        "numpy<1",
        "no-such-package>=1",
        "no-such-extra; extra == 'dev'",
        "no-such-thing; python_version < '3'",
    ]
    found = {c.what.split()[0]: c for c in packages(wanted, ">=3.8")}
    assert {k: c.state for k, c in found.items()} == {
        "Python": "ok",
        "numpy": "missing",
        "no-such-package": "missing",
        "1": "ok",  # one library in a version that fits
    }
    assert found["numpy"].mend == "pip install 'numpy<1'"
    assert [c.state for c in packages([], ">=99")] == ["missing", "ok"]


def test_what_is_installed_here_fits() -> None:
    assert {c.state for c in packages()} == {"ok"}


# ---------------------------------------------------------------------------------------------------------------------
# files


def test_a_lock_that_holds_nobody_out_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert filesystem.lock_problem(tmp_path / "not" / "yet") == ""
    monkeypatch.setattr(filesystem, "_can_lock", lambda path: True)
    assert "a second process gets a lock" in filesystem.lock_problem(tmp_path)


def test_a_lock_that_outlives_its_holder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where flock is missing, filelock falls back to a file that only its maker removes: a killed driver's stays."""
    monkeypatch.setattr(filesystem, "_LOCK_PROGRAM", filesystem._LOCK_PROGRAM.replace("FileLock", "SoftFileLock"))
    monkeypatch.setattr(filesystem, "_can_lock", lambda path: not path.exists())
    monkeypatch.setattr(filesystem, "_RELEASE_SECONDS", 0.1)
    assert "outlives" in filesystem.lock_problem(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_clock_of_a_filesystem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    why, skew = filesystem.probe_writing(tmp_path / "new")
    assert why == ""
    assert abs(skew) < 2
    monkeypatch.setattr(filesystem, "probe_writing", lambda folder: ("", 60.0))
    (line, _) = [line for line in call("smoke").stdout.splitlines() if "the clock of" in line]
    assert line.startswith("warn")
    assert "+60 s" in line


# ---------------------------------------------------------------------------------------------------------------------
# a cluster


HERE = {
    "host": "driver",
    "python": platform.python_version(),
    "versions": {"torch": "2.13.0", "ray": "2.60.0"},
    "program": "abc",
    "there": {"/data": True, "/only/here/if/anywhere": False},
}
Node = Callable[..., dict[str, Any]]


@pytest.fixture
def node() -> Node:
    return lambda **changed: {**HERE, "host": "gpu1", "shares": True, **changed}


def states(*nodes: dict[str, Any]) -> list[tuple[str, str]]:
    return [(c.state, c.what) for c in agree(HERE, nodes, Path("/cache"))]


def test_nodes_that_agree(node: Node) -> None:
    assert [s for s, _ in states(node(), node(host="gpu2"))] == ["ok", "ok", "ok"]


@pytest.mark.parametrize(
    ("changed", "state", "says"),
    [
        ({"python": "3.11.0"}, "missing", "Python 3.11.0"),
        ({"versions": {"torch": "2.12.1", "ray": "2.60.0"}}, "missing", "torch 2.12.1 (here 2.13.0)"),
        ({"program": "abd"}, "missing", "other sources of raystudy"),
        ({"there": {"/data": False, "/only/here/if/anywhere": False}}, "missing", "does not see /data"),
        ({"shares": False}, "warn", "gpu1 has its own"),
    ],
)
def test_what_a_node_has_otherwise_is_said(node: Node, changed: dict[str, Any], state: str, says: str) -> None:
    found = states(node(host="gpu0"), node(**changed))
    assert [(s, w) for s, w in found if s != "ok"] == [(state, next(w for _, w in found if says in w))]


def test_a_node_that_does_not_answer_is_without_repeated_notes() -> None:
    found = list(agree(HERE, [{"host": "gpu1", "error": "No module named 'raystudy'"}], Path("/cache")))
    assert found[0] == Check(
        "missing", "node gpu1 does not answer: No module named 'raystudy'", "install raystudy there as it is here"
    )


def test_what_a_node_answers_is_what_this_machine_answers(tmp_path: Path) -> None:
    """The visit, without ray: it reads the driver's file, writes its own, and looks around."""
    (tmp_path / "probe").write_text("token")
    said = cluster_nodes._facts_of_node(
        str(tmp_path / "probe"), str(tmp_path / "mine"), [str(tmp_path), str(tmp_path / "no")]
    )
    assert (said["reads"], said["cannot_write"]) == ("token", "")
    assert (tmp_path / "mine").is_file()
    assert said["there"] == {str(tmp_path): True, str(tmp_path / "no"): False}
    assert json.loads(json.dumps(said)) == said, "it travels as plain data"
    nodes = [{**said, "shares": True, "there": {}}]
    assert [c.state for c in agree(resources.machine_facts([]), nodes, tmp_path)] == ["ok", "ok"]


def test_a_cluster_that_cannot_be_joined_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def refuse(**options: Any) -> None:
        raise ConnectionError("nobody\nthere")

    monkeypatch.setattr(ray, "init", refuse)
    (line,) = missing("smoke", "--address", "10.0.0.1:6379")
    assert "cannot be joined: ConnectionError: nobody there" in line


@pytest.mark.parametrize(
    ("changed", "state", "says"),
    [
        ({"clock": 90.0}, "warn", "+90 s off"),
        ({"cannot_write": "Read-only file system"}, "missing", "cannot write its cache: Read-only"),
        ({"disk": 1e9}, "warn", "of disk left"),
        ({"memory": 2e8}, "warn", "of memory free"),
        ({"token": ""}, "warn", "without RAY_AUTH_MODE=token"),
        ({"resources": {"GPU": 1.0}}, "missing", "its torch sees none"),
    ],
)
def test_each_node_is_said_what_it_has_and_what_it_lacks(changed: dict[str, Any], state: str, says: str) -> None:
    well = {"host": "gpu1", "clock": 0.0, "cannot_write": "", "disk": 9e10, "memory": 9e9, "token": "token"}
    node = {**well, "threads": "", "cpus": 8, "gpus": [], "nccl": "", "resources": {"CPU": 8.0}}
    (fine,) = doctor._each_node([node], Numerics(device="cuda"))
    assert fine.state == "ok"
    found = list(doctor._each_node([{**node, **changed}, {"host": "lost", "error": "gone"}], Numerics(device="cuda")))
    (said,) = [c for c in found if c.state != "ok"]
    assert said.state == state
    assert says in said.what
    assert said.mend


def test_other_content_at_the_same_path_is_said(node: Node) -> None:
    here = {**HERE, "digests": {"/data": "aa"}}
    assert [c.state for c in agree(here, [node(digests={"/data": "aa"})], Path("/c"))] == ["ok", "ok"]
    assert [c.what for c in agree(here, [node(digests={"/data": "ab"})], Path("/c")) if c.state != "ok"] == [
        "node gpu1 has other content at /data"
    ]


def test_what_is_copied_to_a_node_is_what_was_sent_and_replaces_nothing(tmp_path: Path) -> None:
    """The node's part, without ray; the archive is what travels."""
    (tmp_path / "data" / "task").mkdir(parents=True)
    (tmp_path / "data" / "task" / "train.csv").write_text("text,label\n")
    digest = cluster_nodes.content_digest(tmp_path / "data")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(tmp_path / "data", arcname="content")
    goal = tmp_path / "node" / "data"
    goal.parent.mkdir()
    assert cluster_nodes._unpack(packed.getvalue(), str(goal), "of something else") == "the copy has another digest"
    assert not list(goal.parent.iterdir())
    assert cluster_nodes._unpack(packed.getvalue(), str(goal), digest) == ""
    assert cluster_nodes.content_digest(goal) == digest
    (goal / "task" / "train.csv").write_text("mine")
    assert cluster_nodes._unpack(packed.getvalue(), str(goal), digest) == "there is something else at that path"
    assert (goal / "task" / "train.csv").read_text() == "mine"


def test_an_archive_reaches_nothing_outside_its_place(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("content/../../../outside")
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"x"))
    (tmp_path / "a").mkdir()
    assert "outside" in cluster_nodes._unpack(packed.getvalue(), str(tmp_path / "a" / "goal"), "")
    assert [p.name for p in tmp_path.rglob("*")] == ["a"]
