"""Whatever is wrong, the user gets words and an exit code, in seconds: never a traceback, a hang, or half a file."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console
from study.fakes import study
from study.test_crash import DESCRIBE, TINY, draw_once, drive, products, without_ray
from study.writes import Points, full_at, watched
from typer.testing import CliRunner

from raystudy import cluster
from raystudy import run as running
from raystudy.catalogue import catalogue
from raystudy.errors import ConfigError, PreflightError, Problem
from raystudy.spec import SCHEMA, Numerics, Places
from raystudy.study import plan as planning
from raystudy.study.folder import report_files
from raystudy.study.folder.records import Results
from raystudy.studyfile import read_study

GOOD = """\
name: mine
plm: tiny
suite: planted
shots: [6]
methods: [single_task, majority]
task_options: {planted: {n_train: 60, n_dev: 30, n_test: 30}}
settings: {max_updates: 4}
report: {seeds: 2}
"""


def refused(folder: Path, data: str | bytes, *overrides: str) -> str:
    """What a study file is refused with, its own path left out."""
    path = folder / "study.yaml"
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError) as e:
        read_study(path, overrides)
    return str(e.value).replace(str(path), "study.yaml")


def replaced(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


# -- the study file ----------------------------------------------------------------------------------------------------

SIX = """\
name: ../../x
plm: tiny
task: [planted/target]
suite: plantd
shots: [20, 20]
methods:
  - single_taks
  - meta_dtl: {lambda: 7}
settings: {lr: fast}
report: {seeds: 1e999}
"""

SIX_REFUSED = """\
study.yaml:1: name: must be a plain name (letters, digits, '-', '_', '.'), no path, but got '../../x'
study.yaml:3: task: unknown key 'task' — did you mean 'tasks'?
study.yaml:4: suite: unknown suite 'plantd' — did you mean 'planted'? Known: {suites}.
study.yaml:5: shots: must name everything once, but 20 is listed twice
study.yaml:7: methods[0]: unknown method 'single_taks' — did you mean 'single_task'? Known: {methods}.
study.yaml:8: methods[1].meta_dtl.lambda: lambda must be in [0, 1], but got 7
study.yaml:9: settings.lr: lr must be a number, but got 'fast' (in YAML 1.2 a number has no quotes)
study.yaml:10: report.seeds: must be a finite number, but is inf"""


def test_all_mistakes_at_once_each_with_its_line(tmp_path: Path) -> None:
    from raystudy.catalogue import catalogue, suites

    names = {"suites": ", ".join(sorted(suites())), "methods": ", ".join(sorted(catalogue().variants))}
    assert refused(tmp_path, SIX) == SIX_REFUSED.format(**names)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "study.yaml:1: must be a mapping"),
        (b"\x00\x01\x02\xff\xfe" * 100, "is not UTF-8 text"),
        (GOOD.encode("utf-16"), "is not UTF-8 text"),
        ("name: [unclosed", "is not valid YAML"),
        ("\tname: x", "study.yaml:1: is not valid YAML: found character '\\t'"),
        (GOOD + "name: again\n", 'study.yaml:9: is not valid YAML: found duplicate key "name"'),
        (GOOD + "---\nname: second\n", "but found another document"),
        (GOOD + "about: !!python/object/apply:os.system ['true']\n", "study.yaml:9: about: must be a plain value"),
        (GOOD + "about: 2001-01-01\n", "study.yaml:9: about: must be text, a number, a list or a mapping"),
        (GOOD + "3: x\n", "study.yaml:9: 3: a key must be text, but is 3"),
        (GOOD + "about: !!set {a, b}\n", "study.yaml:9: about: must be a plain value, but has the tag !!set"),
        (GOOD + "about: !!omap x\n", "study.yaml:9: about: must be a plain value, but has the tag !!omap"),
        (GOOD + "about: !!int ''\n", "study.yaml:9: about: must be a whole number, as its tag !!int says, but is ''"),
        (
            GOOD + "about: 2001-99-99\n",
            "study.yaml:9: about: must be text, a number, a list or a mapping, but is 2001-99",
        ),
        (GOOD + "about: &x 1\nrevision: &x 2\n", "study.yaml:10: is not valid YAML: found duplicate anchor 'x'"),
        (
            GOOD + "about: a\x1b[31mb\n",
            "study.yaml:9: is not valid YAML: must be readable text, but holds the character",
        ),
        (GOOD + "about: a: b\n", "in 'about: a: b': the keys of one mapping must be indented alike"),
        (
            GOOD + "search:\n",
            "study.yaml:9: search: must be a mapping of keys to values, but is empty: leave the key out",
        ),
        (replaced("{seeds: 2}", "5"), "study.yaml:8: report: must be a mapping of keys to values, but got 5"),
        (replaced("name: mine\n", ""), "study.yaml:1: name: the key 'name' is missing"),
        (replaced("seeds: 2", "rope: true"), "study.yaml:8: report.rope: must be a number, but got True"),
        (
            replaced("seeds: 2", "rope: '0.1'"),
            "report.rope: must be a number, but got '0.1' (in YAML 1.2 a number has no",
        ),
        (replaced("[single_task", "[meta_dtl"), "study.yaml:5: methods: the baseline 'single_task' is not among"),
        ("&all\nname: *all\n", "study.yaml:1: must not contain itself"),
        (GOOD + 'about: "\\ud800"\n', "holds the character '\\ud800'"),
        (replaced("tiny", '"a\\0b"'), "study.yaml:2: plm: must be readable text"),
        (replaced("mine", "."), "study.yaml:1: name: must be a plain name"),
        (replaced("mine", "a/b"), "name: must be a plain name"),
        (replaced("mine", "CON"), "name: must be a name that is not reserved, but got 'CON'"),
        (replaced("mine", "nul.txt"), "name: must be a name that is not reserved"),
        (replaced("mine", "published"), "name: must be a name that is not reserved"),
        (replaced("mine", "x" * 200), "name: must be a plain name"),
        (replaced("max_updates: 4", "max_updates: .nan"), "settings.max_updates: must be a finite number, but is nan"),
        (replaced("max_updates: 4", "lr: 1e999"), "settings.lr: must be a finite number, but is inf"),
        (replaced("max_updates: 4", "max_updates: 1" + "0" * 50), "must be a number of at most 64 bits"),
        (
            replaced("max_updates: 4", "max_updates: 1" + "0" * 5000),
            "study.yaml:7: settings.max_updates: must be a number of at most 64 bits, but is 1000",
        ),
        (replaced("max_updates: 4", "max_updates: true"), "max_updates must be a number, but got True"),
        (replaced("[6]", "[0]"), "study.yaml:4: shots[0]: must be greater than 0, but got 0"),
        (replaced("[6]", "twenty"), "study.yaml:4: shots[0]: must be a whole number"),
        (replaced("seeds: 2", "seeds: 1001"), "report.seeds: must be less than or equal to 1000"),
        (replaced("[single_task, majority]", "[]"), "must name at least one method"),
        (replaced("[single_task, majority]", "[3]"), "methods[0]: must be the name of a method, or a name with its"),
        (GOOD + "numerics: {device: tpu}\n", "study.yaml:9: numerics.device: must be 'cpu' or 'cuda', but got 'tpu'"),
        ("x" * 2**17, "must be at most 64 KiB"),
    ],
)
def test_what_is_no_study_is_refused_with_its_line(tmp_path: Path, data: str | bytes, says: str) -> None:
    assert says in refused(tmp_path, data)


def test_every_repeated_key_is_told(tmp_path: Path) -> None:
    found = refused(tmp_path, GOOD + "name: again\nsearch: {trials: 1, trials: 2}\n").splitlines()
    assert [line.partition(" (")[0] for line in found] == [
        'study.yaml:9: is not valid YAML: found duplicate key "name"',
        'study.yaml:10: is not valid YAML: found duplicate key "trials"',
    ]
    assert "(the first stands in line 1)" in found[0]


def test_a_thousand_problems_are_some_screens_and_a_count(tmp_path: Path) -> None:
    found = refused(tmp_path, GOOD + "".join(f"key_{i}: {i}\n" for i in range(1000))).splitlines()
    assert sum(map(len, found)) < 20_000
    assert found[-1] == f"and {1000 - (len(found) - 1)} more problems, told once these are mended"


def test_more_than_anybody_could_train_is_refused_with_its_factors(tmp_path: Path) -> None:
    found = refused(tmp_path, GOOD + "search: {trials: 10000, seeds: 1000}\n")
    assert found.startswith(
        "study.yaml:9: search.trials: a study must ask for at most 100000 trainings, but this one asks"
    )
    assert found.endswith("10000 trials, 1000 search seeds, 2 methods")
    found = refused(tmp_path, GOOD, "report.seeds=1000", f"shots={[*range(6, 66)]}")
    assert found.startswith("command line: report.seeds: a study must ask for at most 100000")


def test_many_methods_are_read_once_each(tmp_path: Path) -> None:
    """Whoever asks for a method by a name with settings gets the one that was made when the name was first read."""
    path = write(
        tmp_path,
        replaced("majority]", "meta_dtl[lambda=0.123]]").replace("meta_dtl[lambda=0.123]", "'meta_dtl[lambda=0.123]'"),
    )
    study = read_study(path)
    name = "meta_dtl[lambda=0.123]"
    assert [*study.variants] == ["single_task", name]
    assert catalogue().variant(name) is catalogue().variant(name)
    fewer = study.model_copy(update={"methods": ("single_task",)})
    assert [*fewer.variants] == ["single_task"] and [*study.variants] == ["single_task", name]


def test_what_is_printed_of_a_problem_is_one_line_without_control_characters() -> None:
    code_and_words = str(Problem("must be \x1b[31mred\n", "a\tb", "c\u202ed", 3))
    assert code_and_words == "c\\u202ed:3: a\\tb: must be \\x1b[31mred\\n"
    assert len(str(Problem("x" * 10_000))) < 2100


def test_what_looks_odd_and_is_right(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    for text in (
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD + "about: &a x\nrevision: *a\n",
        f"%YAML 1.2\n---\n{GOOD}",
    ):
        path.write_bytes(text.encode())
        assert read_study(path).name == "mine"


def test_a_bomb_of_aliases_costs_nothing(tmp_path: Path) -> None:
    """Nine to the power of nine, from half a kilobyte; and ten megabytes as they are."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    tracemalloc.start()
    began = time.monotonic()
    assert "study.yaml:5: must hold at most 10000 values, aliases written out" in refused(tmp_path, "\n".join(lines))
    assert "must be nested at most 30 deep" in refused(tmp_path, "[" * 1000)
    assert "must be at most 64 KiB" in refused(tmp_path, GOOD + "about: " + "x" * 10_000_000)
    assert time.monotonic() - began < 20
    assert tracemalloc.get_traced_memory()[1] < 60e6
    tracemalloc.stop()


def test_set_is_checked_like_the_file_and_named_as_the_command_line(tmp_path: Path) -> None:
    assert refused(tmp_path, GOOD, "report.seeds=two") == (
        "command line: report.seeds: must be a whole number, but got 'two'"
    )
    assert "--set: lr: is not valid YAML" in refused(tmp_path, GOOD, "lr=[")
    assert "--set: must look like a.b=value, but got 'lr'" in refused(tmp_path, GOOD, "lr")
    assert (
        refused(tmp_path, GOOD, "reprot.seeds=2")
        == "command line: reprot: unknown key 'reprot' — did you mean 'report'?"
    )
    assert "--set: shots.0: must lead through mappings, but shots is a list: give it as a whole, shots=..." in refused(
        tmp_path, GOOD, "shots.0=7"
    )
    assert "--set: a: must be a finite number" in refused(tmp_path, GOOD, "a=.inf")
    mended = read_study(write(tmp_path, replaced("seeds: 2", "seeds: .nan")), ["report.seeds=3"])
    assert mended.report.seeds == 3  # what the command line replaces need not be right


def write(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Calls the command in this process, in an empty folder; (exit code, all that a user sees)."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def calling(*args: str) -> tuple[int, str]:
        out = CliRunner().invoke(running.app, list(args))
        assert out.exception is None or isinstance(out.exception, SystemExit), out.exception
        shown = out.output + "".join(capfd.readouterr())
        assert "Traceback" not in shown
        return out.exit_code, shown

    return calling


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["study.yml"], 2, "study.yml: no such file"),
        (["folder.yaml"], 2, "folder.yaml: is a folder, not a study file"),
        (["smoke", "--only", "nothing"], 2, "--only: unknown method of this study 'nothing'"),
        (["smoke", "--only", " , "], 2, "--only: must name at least one method of this study"),
        (["smoke", "--only", "metadtl[lambda=1],single_taks"], 2, "did you mean 'single_task'"),
        (["smoke", "--budget", "nonsense"], 2, "--budget: must be a time such as 90s"),
        (["smoke", "--budget", "-3h"], 2, "--budget"),
        (["smoke", "--budget", "0s"], 2, "--budget: must be a time"),
        (["smoke", "--workers", "0"], 2, "numerics.workers: must be greater than 0"),
        (["smoke", "--workers", "-1"], 2, "numerics.workers: must be greater than 0"),
        (["smoke", "--workers", "two"], 2, "--workers"),
        (["smoke", "--groups", "0"], 2, "--groups"),
        (["smoke", "--groups", "-1"], 2, "--groups"),
        (["smoke", "--seeds", "0"], 2, "report.seeds"),
        (["smoke", "--plm", 'a"b\\'], 3, "a"),
        (["smoke", "--set", "shots=[100000]"], 2, "100000"),
        (["smoke", "--set", "shots=[1]"], 2, "number of classes"),
        (["smoke", "--set", "tasks=[planted/targte]"], 2, "did you mean"),
        (["smoke", "--set", "tasks=['']"], 2, "''"),
        (["smoke", "--set", "tasks=[../../../etc]"], 2, "etc"),
        (["smoke", "--data-root", "no/such/folder"], 2, "data_root: is not a folder"),
        (["smoke", "--unknown"], 2, "No such option"),
    ],
)
def test_options(call: Callable[..., tuple[int, str]], args: list[str], code: int, says: str) -> None:
    Path("folder.yaml").mkdir()
    found, shown = call(*args, "--dry-run")
    assert says in shown
    assert found == code
    assert [p.name for p in Path().iterdir()] == ["folder.yaml"]


def rows(labels: str, part: str = "x", n: int = 40) -> str:
    """A file of `n` examples whose labels are those words in turn."""
    words = labels.split()
    examples = ({"text": f"{part} w{i:03d}", "label": words[i % len(words)]} for i in range(n))
    return "".join(json.dumps(e) + "\n" for e in examples)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"train": rows("yes")}, "label"),  # one class
        ({"test": ""}, "test"),  # nothing in it
        ({"test": rows("yes no maybe")}, "maybe"),  # a label that train has not
        ({"train": b'{"text": "\xff\xfe", "label": "yes"}\n'}, "UTF-8"),
        ({"train": b"PK\x03\x04\x00\x00\x00" * 20}, "train"),
    ],
)
def test_data_that_cannot_serve(call: Callable[..., tuple[int, str]], files: dict[str, str | bytes], says: str) -> None:
    """The readers have tests of their own (tests/tasks); this is what a run makes of their refusals."""
    folder = Path("data", "mine")
    folder.mkdir(parents=True)
    for part in ("train", "validation", "test"):
        (folder / f"{part}.jsonl").write_text(rows("yes no", part))
    text = GOOD.replace("suite: planted", "tasks: [mine]\ndata_root: data").replace("shots: [6]", "shots: [4]")
    Path("study.yaml").write_text("\n".join(line for line in text.splitlines() if "task_options" not in line))
    code, shown = call("study.yaml", "--dry-run")
    assert code == 0, shown
    for part, content in files.items():
        (folder / f"{part}.jsonl").write_bytes(content if isinstance(content, bytes) else content.encode())
    code, shown = call("study.yaml", "--dry-run")
    assert code == 2, shown
    assert "mine" in shown
    assert says in shown


def test_a_reader_that_leaves_is_no_error() -> None:
    """``raystudy run --dry-run | head``."""
    code = (
        "import sys; from raystudy import run; "
        "sys.exit(run.exit_code_of(lambda: any(print('x' * 99) for _ in [0] * 9999)))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


# -- the machine -------------------------------------------------------------------------------------------------------


def test_room_for_groups() -> None:
    cpu, wide, cuda = Numerics(), Numerics(workers=3), Numerics(device="cuda")
    assert cluster.fitting_group_count({"CPU": 4.0}, None, cpu, 100) == 4
    assert cluster.fitting_group_count({"CPU": 4.0}, None, cpu, 2) == 2
    assert cluster.fitting_group_count({"CPU": 7.0}, None, wide, 9) == 2
    assert cluster.fitting_group_count({"GPU": 2.0, "CPU": 16.0}, None, cuda, 100, 4) == 8
    assert cluster.fitting_group_count({"GPU": 2.0, "CPU": 3.0}, None, cuda, 100, 4) == 3, "each takes a core"
    for have, asked, numerics in (({"CPU": 2.0}, None, wide), ({"CPU": 2.0}, 3, cpu), ({"CPU": 2.0}, None, cuda)):
        with pytest.raises(PreflightError, match="there are"):
            cluster.fitting_group_count(have, asked, numerics, 10)


def test_no_gpu_is_said_before_anything_is_trained(
    call: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_has_gpu", lambda: False)
    code, shown = call("smoke", "--set", "numerics.device=cuda")
    assert code == 3
    assert "numerics.device: is cuda, but there is no GPU here" in shown
    assert not list(Path().rglob("record.json"))


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "127.0.0.1:99999", "nonsense"])
def test_an_address_where_nobody_is(address: str) -> None:
    began = time.monotonic()
    with pytest.raises(PreflightError, match=f"--address {address}"), cluster._ray(cluster.Cluster(address=address)):
        pass
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("kind", [RuntimeError, OSError, Exception])
def test_a_ray_that_does_not_start_is_a_preflight_error(monkeypatch: pytest.MonkeyPatch, kind: type[Exception]) -> None:
    import ray

    def refuses(*args: object, **kwargs: object) -> None:
        raise kind("The raylet could not be started.\nand twenty more lines")

    monkeypatch.setattr(ray, "init", refuses)
    with (
        pytest.raises(PreflightError, match=r"^ray: does not start: The raylet could not be started\.$"),
        cluster._ray(cluster.Cluster()),
    ):
        pass


def test_scratch_folders_of_the_dead_are_removed_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead, other = tmp_path / "raystudy-scratch-dead", tmp_path / "raystudy-scratch-other"
    for folder in (dead, other):
        folder.mkdir()
    (dead / ".lock").touch()
    os.utime(dead / ".lock", (0, 0))
    with cluster._scratch() as mine:
        os.utime(mine / ".lock", (0, 0))
        assert not dead.exists()
        with cluster._scratch():
            assert mine.exists()  # its driver lives
    assert sorted(tmp_path.iterdir()) == [other]  # without a lock it is nobody's that we know

    def full(*args: object, **kwargs: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    with pytest.raises(PreflightError, match="cannot be written: No space left"), cluster._scratch():
        pass


# -- a full disk, at every write point of a run ------------------------------------------------------------------------


def code_and_words(work: Callable[[], int], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """(exit code, words) of what a user would see."""
    code = running.exit_code_of(work)
    shown = "".join(capsys.readouterr())
    assert "Traceback" not in shown
    return code, shown


def test_a_full_disk_at_every_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From some point on, or for a moment: code 3, the file and the reason; or a view less. Later all is well."""
    made, places = study(tmp_path, **TINY), Places(plm="tiny", shared=str(tmp_path / "cache"))
    with without_ray(monkeypatch):
        with watched(Points(tmp_path, lambda number, event, path: None), monkeypatch) as points:
            drive((made, places, tmp_path / "whole"))
        expected = products(tmp_path / "whole")
        codes = []
        for n in range(1, len(points.events) + 1):
            opened = (made, places, tmp_path / f"full-{n}")
            with watched(Points(tmp_path, full_at(n, None if n % 2 else 1)), monkeypatch):
                code, shown = code_and_words(partial(drive, opened), capsys)
            where = f"{n}: {points.events[n - 1]}: {shown}"
            assert code in (0, 3), where
            assert code == 0 or "No space left on device" in shown, where
            codes.append(code)
            assert not list(opened[2].rglob("*.new")), where
            assert drive(opened) == 0, where
            assert products(opened[2]) == expected, where
    assert 0 in codes  # the log of events, the Optuna journal
    assert 3 in codes


def test_a_full_disk_under_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = (study(tmp_path, **TINY), Places(plm="tiny", shared=str(tmp_path / "cache")), tmp_path / "r")
    draw_once(monkeypatch)
    with without_ray(monkeypatch, report=True):
        drive(opened)
        expected = products(opened[2])
        for n in (12, 20):
            with watched(Points(opened[2] / "report", full_at(n)), monkeypatch):
                code, shown = code_and_words(lambda: drive(opened), capsys)
            assert code == 3
            assert "No space left on device" in shown
            assert products(opened[2]) == expected  # what was there stays


def test_a_log_that_cannot_be_written(call: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").write_text("not a folder")
    code, shown = call("smoke", "--out", "/proc/r")
    assert code == 3, shown
    assert "cannot be written" in shown
    for out in ("file", "file/r"):  # no folder can be there, whoever writes: the command is wrong, not the machine
        code, shown = call("smoke", "--out", out)
        assert code == 2, shown
        assert "--out" in shown and "file" in shown


def test_a_cache_that_cannot_be_written_is_said_before_anything_is_trained(
    call: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").write_text("not a folder")
    monkeypatch.setenv("RAYSTUDY_CACHE", str(Path("file/cache").absolute()))
    code, shown = call("smoke")
    assert code == 3
    assert "RAYSTUDY_CACHE names another" in shown
    assert not Path("results/smoke/manifest.json").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_folders_that_may_not_be_read_or_written(call: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    for mode, code in ((0o000, {2, 3}), (0o500, {3})):
        closed = tmp_path / f"closed-{mode}"
        closed.mkdir(mode=mode)
        assert call("smoke", "--out", str(closed / "r"))[0] in code
        closed.chmod(0o700)


# -- what lies in the results folder -----------------------------------------------------------------------------------


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A small study that ran: (study, places, results folder)."""
    opened = (study(tmp_path, **TINY), Places(plm="tiny", shared=str(tmp_path / "cache")), tmp_path / "r")
    with without_ray(monkeypatch):
        drive(opened)
        yield opened


def test_a_second_driver_is_refused(finished: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with Results(finished[2]).locked():
        code, shown = code_and_words(lambda: drive(finished), capsys)
    assert code == 2
    assert f"another run of this study is at work (process {os.getpid()})" in shown


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: {**r, "schema": SCHEMA + 1}, f"has schema {SCHEMA + 1}, this version knows {SCHEMA}: update"),
        (lambda r: {**r, "metrics": []}, "is not a record"),
        (lambda r: {**r, "metrics": {"dev": {"accuracy": "high"}}}, "is not a record"),
        (lambda r: {**r, "facts": {}}, "is not a record"),
        (lambda r: {**r, "status": "maybe"}, "its status is 'maybe'"),
        (lambda r: {**r, "seconds": {"adapt": "long"}}, "is not a record"),
        (lambda r: {**r, "more": 1}, "is not a record"),
        (lambda r: {**r, "spec": {**r["spec"], "seed": 7}}, "its content has the id"),
        (lambda r: {k: v for k, v in r.items() if k != "spec"}, "is not a record"),
        (lambda r: [r], "is not a record"),
        (lambda r: None, "is not a record"),
    ],
)
def test_a_record_that_is_none(
    finished: Any, capsys: pytest.CaptureFixture[str], change: Callable[[Any], Any], says: str
) -> None:
    path = min(finished[2].glob("cells/*/record.json"))
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    code, shown = code_and_words(lambda: drive(finished), capsys)
    assert code == 2
    assert says in shown
    assert str(path) in shown
    for child in path.parent.iterdir():  # what the message says helps
        child.unlink()
    path.parent.rmdir()
    assert drive(finished) == 0


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"study": 3}', "[" * 100_000, "\x00"])
def test_a_manifest_that_is_none(finished: Any, capsys: pytest.CaptureFixture[str], content: str) -> None:
    """A report refuses it; a run writes it anew."""
    (finished[2] / "manifest.json").write_text(content)
    with pytest.raises(ConfigError, match="is not a manifest"):
        Results(finished[2]).manifest()
    before = products(finished[2])
    assert drive(finished) == 0
    assert {k for k, v in products(finished[2]).items() if before[k] != v} == {"manifest.json"}


def test_a_changed_study_keeps_its_old_records_and_says_so(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, places, folder = finished
    monkeypatch.setattr(running, "describe", DESCRIBE)
    old = {p: p.read_bytes() for p in folder.glob("cells/*/*")}
    changed = study(tmp_path, **{**TINY, "shots": "[12]"})
    with (tmp_path / "said").open("w") as out:
        assert running.run_study((changed, places, folder), running.RunOptions(), Console(file=out, width=300)) == 0
    assert (
        f"{len(old) // 2} records are here already, {len(old) // 2} of them no part of the study as it is now"
        in (tmp_path / "said").read_text()
    )
    assert {p: p.read_bytes() for p in old} == old
    confirm = Results(folder).manifest()["confirm"]
    assert not {p.parent.name for p in old} & set(confirm)


def test_a_record_of_a_method_that_there_is_no_more(finished: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from raystudy.spec import Record

    path = next(p for p in finished[2].glob("cells/*/record.json") if "majority" in p.read_text())
    data = json.loads(path.read_text())
    data["spec"] |= {"method": "gone", "variant": "gone"}
    data["made_by"] = {"code": "x"}
    gone = Record.from_json(data)
    moved = finished[2] / "cells" / gone.id / "record.json"
    moved.parent.mkdir()
    moved.write_text(json.dumps(gone.to_json()))
    code, shown = code_and_words(lambda: drive(finished), capsys)
    assert code == 0, shown


# -- bugs, interrupts, and a driver that others end --------------------------------------------------------------------


def test_a_bug_is_told_in_a_line_and_kept_whole_in_a_file(
    call: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object) -> None:
        raise KeyError("oh\nno \x1b[31m")

    monkeypatch.setattr(planning.Plan, "preview", property(broken))
    code, shown = call("smoke")
    assert code == 70
    assert "a bug in raystudy, KeyError: " in shown
    assert "\x1b" not in shown
    log = Path("results/smoke/logs/driver.log")
    assert str(log) in shown
    assert "in broken" in log.read_text()


@pytest.mark.parametrize("when", ["start-up", "report"])
def test_ctrl_c_before_and_after_the_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], when: str
) -> None:
    opened = (study(tmp_path, **TINY), Places(plm="tiny", shared=str(tmp_path / "cache")), tmp_path / "r")

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    with without_ray(monkeypatch):
        with monkeypatch.context() as m:
            m.setattr(*((running, "run_on_ray") if when == "start-up" else (report_files, "write_report")), interrupted)
            code, shown = code_and_words(lambda: drive(opened), capsys)
        assert code == 130
        assert "the same command goes on from here" in shown
        assert not Results(opened[2]).is_running()
        there = {p: p.stat().st_mtime_ns for p in opened[2].glob("cells/*/record.json")}
        assert bool(there) == (when == "report")
        assert drive(opened) == 0
        assert {p: p.stat().st_mtime_ns for p in there} == there


CHILD = """
import os, signal, subprocess, sys, time
from raystudy.supervise import end_process, run_supervised

def work():
    {work}
code = run_supervised(work, lambda status: (3, f"lost {{status}}"))
print("parent" if os.getpid() == first else "child", code, flush=True)
sys.exit(code)
""".replace("def work", "first = os.getpid()\ndef work")


def child(work: str) -> subprocess.Popen[str]:
    code = CHILD.format(work=work)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )


@pytest.mark.parametrize(
    ("work", "code", "says"),
    [
        ("return 1", 1, ""),
        ("os._exit(1)", 3, "lost 1"),  # how ray's core ends a driver
        ("os.kill(os.getpid(), signal.SIGKILL)", 3, "lost -9"),
        ("end_process(3, 'ray died')", 3, "ray died"),
        ("subprocess.Popen(['sleep', '60']); os._exit(1)", 3, "lost 1"),  # it would keep the streams open
        pytest.param(
            "subprocess.Popen(['sh', '-c', 'sleep 60 & sleep 60'], start_new_session=True); return 0",
            0,
            "",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to their grandparent"),
        ),
        ("raise RuntimeError('whatever nobody foresaw')", 3, "lost 1"),
    ],
)
def test_however_a_driver_ends_its_code_can_be_trusted(work: str, code: int, says: str) -> None:
    process = child(work)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert f"parent {code}" in out
    assert says in err


def test_signals_reach_the_driver_once_and_it_follows_its_parent() -> None:
    waiting = (
        "subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        "    print('up', os.getpid(), flush=True)\n    time.sleep(60)"
    )
    counting = (
        "n = []\n    signal.signal(signal.SIGINT, lambda *a: n.append(1))\n"
        "    print('up', os.getpid(), flush=True)\n    time.sleep(1)\n    return 40 + len(n)"
    )
    process = child(counting)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("up")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 41

    process = child(waiting)
    assert process.stdout is not None
    pid = int(process.stdout.readline().split()[1])
    assert pid != process.pid
    process.kill()
    process.communicate(timeout=30)  # the streams close when the child has gone too, and all that it had started
    for _ in range(100):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        time.sleep(0.05)
    pytest.fail("the child lives on")


def test_the_words_for_who_ended_a_driver() -> None:
    log = Path("r/logs/ray.log")
    assert running._exit_of_dead_driver(1, log)[0] == 3
    assert "ray died" in running._exit_of_dead_driver(1, log)[1]
    code, words = running._exit_of_dead_driver(-9, log)
    assert code == 137
    assert words.startswith("the run was ended by SIGKILL, for want of memory perhaps. What was finished is kept")
    assert running._exit_of_dead_driver(-11, log)[0] == 139


def test_a_message_is_harmless_on_a_terminal() -> None:
    text = str(Problem("\x1b[31mred\x07", "a\udcff", "b\x00.yaml", 3))
    assert text.isprintable()
    assert text.encode()
