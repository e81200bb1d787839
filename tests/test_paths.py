"""Paths that a person names: absolute before a worker hears of them, and never answered with a traceback."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from checkpoints import checkpoint
from typer.testing import CliRunner

from raystudy import __main__ as commands
from raystudy import run as running
from raystudy.data.plm import absolute_model_name, resolve
from raystudy.errors import ConfigError, PreflightError
from raystudy.paths import (
    absolute_environment,
    absolute_path,
    expanded_path,
    is_folder,
    kind_of,
    readable_folder,
    results_path,
    why_no_folder,
)
from raystudy.run import RunOptions, open_study
from raystudy.spec import Arm, Setting
from raystudy.study.plan import Plan
from raystudy.study.pool.local import Local
from raystudy.study.store.cache import cache_folder
from raystudy.study.store.stage_store import StageStore
from raystudy.tasks import load

STUDY = """\
name: mine
plm: {plm}
data_root: {root}
tasks: [own, other]
targets: [own]
methods: [single_task, multi_task, meta_dtl]
settings: {{max_updates: 2, batch_size: 4}}
report: {{seeds: 2}}
"""


def task(folder: Path) -> None:
    folder.mkdir(parents=True)
    for part in ("train", "dev", "test"):
        lines = [f'{{"text": "{part} w{i:03d}", "label": "{"ab"[i % 2]}"}}\n' for i in range(12)]
        (folder / f"{part}.jsonl").write_text("".join(lines))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study file in a folder of its own, data and model beside it; the current folder is the one above."""
    home = tmp_path / "project"
    for name in ("own", "other"):
        task(home / "studies" / "data" / name)
    (home / "studies" / "model").mkdir()
    (home / "studies" / "mine.yaml").write_text(STUDY.format(plm="./model", root="data"))
    monkeypatch.chdir(home)
    monkeypatch.setenv("RAYSTUDY_CACHE", "kept/cache")
    return home


# -- absolute, whatever was written ------------------------------------------------------------------------------------


def test_a_study_is_opened_to_absolute_places(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the file is relative to the file, what stands in options or variables to the current folder."""
    beside = project / "studies"
    _, places, out = open_study("studies/mine.yaml", RunOptions())
    assert places.plm == str(beside / "model")
    assert places.data_root == str(beside / "data")
    assert places.shared == str(project / "kept" / "cache")
    assert out == Path("results/mine")
    _, places, _ = open_study("studies/mine.yaml", RunOptions(plm="studies/model", data_root="studies/data"))
    assert (places.plm, places.data_root) == (str(beside / "model"), str(beside / "data"))
    (beside / "mine.yaml").write_text(STUDY.format(plm="studies/model", root="~/studies/data"))
    monkeypatch.setenv("HOME", str(project))
    _, places, out = open_study("studies/mine.yaml", RunOptions(out=Path("~/r")))
    assert places.plm == str(beside / "model")  # beside the file lies none of that name, so the current folder counts
    assert places.data_root == str(beside / "data")
    assert out == project / "r"


@pytest.mark.parametrize("name", ["minilm", "tiny", "owner/model", "model-of-nobody"])
def test_a_name_that_is_no_folder_stays_a_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_model_name(name, (tmp_path, None), "plm") == name
    (tmp_path / name).mkdir(parents=True)
    known = name in ("minilm", "tiny")  # a folder never takes the place of the models that every study may name
    assert absolute_model_name(name, (None,), "plm") == (name if known else str(tmp_path / name))


def test_paths_of_the_environment_are_absolute_for_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HERE", str(tmp_path))
    given = {"RAYSTUDY_CACHE": "c", "HF_HOME": "$HERE/hf", "TMPDIR": "../t", "HF_HUB_CACHE": "~/hub", "HF_TOKEN": "a/b"}
    asked = dict(given)
    absolute_environment(asked)
    assert asked["HF_TOKEN"] == "a/b"  # no path
    assert all(Path(v).is_absolute() for k, v in asked.items() if k != "HF_TOKEN")
    assert asked["HF_HOME"] == str(tmp_path / "hf")
    assert os.path.realpath(asked["TMPDIR"]) == str(tmp_path.parent / "t")
    again = dict(asked)
    absolute_environment(again)
    assert again == asked


def test_a_worker_in_another_folder_finds_model_data_and_store(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second worker, in yet another folder, is answered by what the first one kept."""
    checkpoint(project / "studies" / "model")
    study, places, _ = open_study("studies/mine.yaml", RunOptions())
    plan = Plan(study, places)
    (spec,) = [
        s for s in plan.confirm({}) if s.variant == "meta_dtl" and s.seed == min(x.seed for x in plan.confirm({}))
    ]
    assert places.shared is not None
    told = []
    for name in ("first", "second"):
        away = project / name
        away.mkdir()
        monkeypatch.chdir(away)
        resolve.cache_clear()
        (outcome,) = Local(places, StageStore(Path(places.shared) / "stages")).run([spec])
        assert outcome.record.status == "done", outcome.record.error
        told.append(outcome.record)
        assert list(away.iterdir()) == []
    assert set(told[0].stages.values()) == {"ran"}
    assert "stored" in told[1].stages.values()
    assert told[0].metrics == told[1].metrics
    assert list((project / "kept" / "cache" / "stages").glob("*.safetensors"))


# -- odd paths ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "broken").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    return {
        "long": "./" + "x" * 256,
        "longer": "./" + "/".join(["x" * 200] * 30),
        "user": "~no-such-user-here/x",
        "null": "./a\0b",
        "file": "./file",
        "below a file": "./file/x",
        "loop": "./loop",
        "below a loop": "./loop/x",
        "broken": "./broken",
        "pipe": "./pipe",
        "bytes": "./\udcff",
    }


ODD = ["long", "longer", "user", "null", "file", "below a file", "loop", "below a loop", "broken", "pipe", "bytes"]


@pytest.mark.parametrize("which", ODD)
def test_an_odd_path_is_a_listed_problem(which: str, odd: dict[str, str]) -> None:
    path = odd[which]
    assert not is_folder(Path(path))
    assert kind_of(Path(path)) == {"file": "file", "pipe": "other"}.get(which, "nothing")
    for refuse, error in (
        (lambda: readable_folder(path, where="data_root"), ConfigError),
        (lambda: resolve(path), PreflightError),
        (lambda: load(path, root=Path.cwd()), ConfigError),
    ):
        with pytest.raises(error) as e:
            refuse()
        assert len(str(e.value)) < 1500


def test_what_is_told_of_a_folder() -> None:
    with pytest.raises(ConfigError, match="x: no home folder is known for the ~nobody-here of '~nobody-here/y'"):
        expanded_path("~nobody-here/y", "x")
    assert why_no_folder(Path("/" + "x" * 300)).endswith("(File name too long)")
    assert why_no_folder(Path("/dev/null")) == "is not a folder, but a file: /dev/null"
    assert why_no_folder(Path("/")) == ""


def test_a_current_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigError, match="the current folder is no more"):
        absolute_path("x")
    assert absolute_path("/x") == Path("/x")
    monkeypatch.setenv("RAYSTUDY_CACHE", "x")
    with pytest.raises(PreflightError, match="RAYSTUDY_CACHE"):
        cache_folder()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("mode", [0o000, 0o300, 0o400])
def test_a_folder_that_may_not_be_read(mode: int, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(mode)
    try:
        assert "Permission denied" in why_no_folder(closed)
        assert (kind_of(closed / "x") == "closed") == (not mode & 0o100)
    finally:
        closed.chmod(0o700)


CALLS: dict[str, Callable[[str], list[str]]] = {
    "run": lambda p: ["run", p + "/s.yaml", "--dry-run"],
    "plan": lambda p: ["plan", p + ".yaml"],
    "plan data": lambda p: ["plan", "smoke", "--data-root", p],
    "plan model": lambda p: ["plan", "smoke", "--plm", p],
    "plan file": lambda p: ["plan", p],
    "doctor model": lambda p: ["doctor", "smoke", "--plm", p],
    "status": lambda p: ["status", p],
    "status out": lambda p: ["status", "--out", p],
    "report": lambda p: ["report", p],
    "dashboard": lambda p: ["dashboard", p, "--print"],
    "rerun": lambda p: ["rerun", p],
    "rerun in": lambda p: ["rerun", "abc", "--study", p],
    "tasks": lambda p: ["tasks", "--data-root", p],
    "tasks name": lambda p: ["tasks", p, "--data-root", "."],
    "scores": lambda p: ["scores", "lexicon", "--data-root", p],
    "scores model": lambda p: ["scores", "planted", "--plm", p],
    "ambiguities": lambda p: ["ambiguities", "mft", "--data-root", p],
}


@pytest.mark.parametrize("call", CALLS)
def test_every_command_answers_an_odd_path_with_words_and_a_code(call: str, odd: dict[str, str]) -> None:
    if call == "doctor model":
        odd = {k: odd[k] for k in ("long", "user", "null")}  # it asks the whole machine each time
    for which, path in odd.items():
        out = CliRunner().invoke(commands.app, CALLS[call](path))
        code = getattr(out.exception, "exit_code", out.exit_code)
        assert code in (2, 3), (which, out.exception, out.output)
    assert not Path("results").exists()


@pytest.mark.parametrize("command", ["ls", "gc"])
def test_a_cache_that_is_none(command: str, odd: dict[str, str]) -> None:
    del odd["bytes"]  # only the streams that the command has when a shell calls it can print such a name
    for which, path in odd.items():
        out = CliRunner().invoke(commands.app, ["cache", command, "--folder", path])
        code = getattr(out.exception, "exit_code", out.exit_code)
        # where nothing lies yet there is an empty cache, which is no mistake
        assert code == (0 if which == "broken" else 2), (which, out.exception, out.output)


@pytest.mark.parametrize("where", ["plm", "data_root", "tasks", "targets", "task_options"])
def test_an_odd_path_in_a_study_file(where: str, odd: dict[str, str]) -> None:
    text = {"plm": "plm: {}", "data_root": "data_root: {}", "tasks": "tasks: [{}]", "targets": "targets: [{}]"}
    line = text.get(where, "task_options: {{{}: {{length: 8}}}}")
    rest = "name: mine\nmethods: [single_task]\n" + ("" if where == "tasks" else "suite: planted\n")
    for which, path in odd.items():
        if which == "bytes":
            continue  # no YAML
        spelled = '"' + path.replace("\0", "\\0") + '"'
        Path("study.yaml").write_text(rest + line.format(spelled) + "\n")
        out = CliRunner().invoke(running.app, ["study.yaml", "--dry-run"])
        assert out.exit_code in (2, 3), (which, out.exception, out.output)
        assert "Traceback" not in out.output


def test_names_of_files_have_a_length_that_every_system_takes() -> None:
    """Of arms with long settings of their own; two that differ at the end keep different names."""
    arms = [Arm(f"metaxt_fixed[map={'a > b; ' * 60}{end}]", Setting(shots=20)) for end in "xy"]
    stems = {a.stem for a in arms}
    assert len(stems) == 2
    assert all(len(stem.encode()) <= 150 for stem in stems)
    assert Arm("meta_dtl[lambda=0.3]", Setting(shots=20)).stem == "meta_dtl[lambda=0.3]@k=20"


def test_an_empty_path_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--data-root "$UNSET"``: Python takes an empty path for the current folder, whatever lies in it."""
    monkeypatch.chdir(tmp_path)
    for option in ("--plm", "--data-root"):
        out = CliRunner().invoke(running.app, ["smoke", option, "", "--dry-run"])
        assert (out.exit_code, "must be a path, but is empty" in out.output) == (2, True), (option, out.output)


def test_results_go_to_a_folder_or_to_where_one_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("")
    wrong = {"taken": "a file", "taken/below": "Not a directory", "x" * 256: "too long", f"{'x' * 256}/y": "too long"}
    for path, why in wrong.items():
        with pytest.raises(ConfigError, match=f"^--out: is not a folder.*{why}"):
            results_path(path, "--out")
    for path in (".", "new", "new/below"):
        assert results_path(path, "--out") == Path(path)
        assert not Path("new").exists()
