"""Methods and data sets of one's own: one byte of a file trains its cells again, and no results folder is run."""

from __future__ import annotations

import json
import pickle
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cells import PLACES, comparable, spec_of
from typer.testing import CliRunner

from raystudy import __main__ as commands
from raystudy import own_modules, train
from raystudy.catalogue import catalogue
from raystudy.code_versions import code_digest
from raystudy.errors import ConfigError, PreflightError
from raystudy.own_modules import OwnModule, in_use, own_module, use
from raystudy.plugins import find_module
from raystudy.spec import Places, Spec
from raystudy.study.folder.manifest import write_manifest
from raystudy.study.folder.progress import progress
from raystudy.study.folder.records import Results, stale_parts
from raystudy.study.folder.report_files import write_report
from raystudy.study.plan import Plan
from raystudy.study.pool.local import Local
from raystudy.study.store.cache import entries
from raystudy.study.store.stage_store import StageStore
from raystudy.study.study_run import StudyRun
from raystudy.studyfile import Study, read_study

ROOT = Path(__file__).parent.parent
TOLD = dict(
    re.findall(
        r"^`([\w/.]+)`\n\n```\w+\n(.*?)^```$", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
)
METHOD, SPACE = TOLD["raystudy/methods/stilts.py"], TOLD["search_spaces/stilts.yaml"]
TASK = '''
"""Which of two colours a text names."""
from raystudy.tasks import Example, Task

def load(part="", root=None, n=12):
    rows = tuple(Example(("warm", "cold")[i % 2], ("red", "blue")[i % 2] * (1 + i % 3)) for i in range(n))
    return Task("mytask", "single", ("warm", "cold"), {"train": rows, "dev": rows[:6], "test": rows})
'''
STUDY = """\
name: mine
plm: tiny
tasks: [./mytask.py, planted/source]
targets: [mytask, planted/source]
task_options: {planted: {n_train: 12, n_dev: 6, n_test: 6, length: 8}}
methods:
- single_task
- ./stilts.py
settings: {max_updates: 2, batch_size: 4}
report: {seeds: 1}
"""


@pytest.fixture(autouse=True)
def nothing_in_use() -> Iterator[None]:
    yield
    use(())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {"stilts.py": METHOD, "stilts.yaml": SPACE, "mytask.py": TASK, "mine.yaml": STUDY}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def opened(folder: Path, **options: Any) -> Study:
    return read_study(folder / "mine.yaml", **options)


def specs(study: Study) -> dict[str, Spec]:
    return {f"{s.variant} {s.target}": s for s in Plan(study, Places(plm="tiny")).confirm({})}


def append(path: Path, text: str = "\n") -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "moved"),
    [("stilts.py", "stilts "), ("mytask.py", " "), ("stilts.yaml", "nothing"), ("other.py", "nothing")],
)
def test_one_byte_of_a_file_moves_its_cells_and_no_others(folder: Path, file: str, moved: str) -> None:
    before = {name: s.id for name, s in specs(opened(folder)).items()}
    assert len(before) == 4
    (folder / "other.py").touch()
    append(folder / file)
    after = {name: s.id for name, s in specs(opened(folder)).items()}
    assert {n for n in before if before[n] != after[n]} == {n for n in before if moved in n}


def test_a_spec_without_code_of_ones_own_says_nothing_of_it(folder: Path) -> None:
    assert "own" not in spec_of("single_task").to_json()
    (folder / "mine.yaml").write_text(STUDY.replace("./mytask.py, ", "planted/target, ").replace("mytask, ", ""))
    found = specs(opened(folder))
    alone, own = found["single_task planted/source"], found["stilts planted/source"]
    assert "own" not in alone.to_json()
    assert own.own == {"methods/stilts": own_module("methods", "stilts").digest}  # type: ignore[union-attr]
    assert Spec.from_json(own.to_json()) == own


def test_code_and_stage_keys_move_with_the_file_and_with_what_it_imports(folder: Path) -> None:
    opened(folder)
    ours, own = code_digest("single_task", ("planted",)), code_digest("stilts", ("planted",))
    task = code_digest("single_task", ("mytask",))
    append(folder / "stilts.py")
    opened(folder)
    assert code_digest("single_task", ("planted",)) == ours
    assert code_digest("stilts", ("planted",)) != own
    assert code_digest("single_task", ("mytask",)) == task
    append(folder / "mytask.py")
    opened(folder)
    assert code_digest("single_task", ("mytask",)) != task
    use(())
    with pytest.raises(FileNotFoundError):
        code_digest("stilts", ("planted",))


def test_a_packaged_method_under_another_name_gives_the_same_bits(tmp_path: Path) -> None:
    source = (Path(train.__file__).parent / "methods" / "multi_task.py").read_text("utf-8")
    space = (ROOT / "search_spaces" / "multi_task.yaml").read_text("utf-8")
    (tmp_path / "mine_mt.py").write_text(source, encoding="utf-8")
    names = sorted((v for v in catalogue().variants if catalogue().variant(v).method == "multi_task"), key=len)
    for name in names:
        space = re.sub(rf"^  {name}:", f"  own_{name}:", space, flags=re.MULTILINE)
    space = space.replace("method: multi_task", "method: mine_mt").partition("readings:")[0]
    (tmp_path / "mine_mt.yaml").write_text(space, encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(
        STUDY.replace("./stilts.py", "./mine_mt.py").replace("./mytask.py, ", "").replace("mytask, ", "")
    )
    theirs = spec_of("multi_task")
    study = opened(tmp_path, run_own=True)
    assert {f"own_{name}" for name in names} <= study.variants.keys()
    mine = Spec.from_json(
        {**theirs.to_json(), "variant": "own_multi_task", "method": "mine_mt"}
        | {"own": {m.key: m.digest for m in study.own}}
    )
    a, b = train.run(theirs, PLACES), train.run(mine, PLACES)
    assert {**comparable(a.record), "spec": 0} == {**comparable(b.record), "spec": 0}
    assert all((a.predictions[s].probabilities == b.predictions[s].probabilities).all() for s in a.predictions)


def test_workers_run_the_bytes_that_the_driver_read(folder: Path) -> None:
    """What travels needs no file; a worker that has other bytes, or none, trains nothing."""
    study = opened(folder)
    spec = specs(study)["stilts mytask"]
    travelled = pickle.loads(pickle.dumps(study.own))  # noqa: S301  as Ray moves them
    for file in ("stilts.py", "stilts.yaml", "mytask.py"):
        (folder / file).unlink()
    use(())
    with pytest.raises(PreflightError, match=r"methods/stilts: is code of your own.*\n.*tasks/mytask"):
        train.run(spec, PLACES)
    use(travelled)
    first = train.run(spec, PLACES)
    assert first.record.status == "done"
    (other,) = (m for m in travelled if m.kind == "methods")
    use([OwnModule.of("methods", Path(other.file), other.source + b"\n", other.space, other.space_file), travelled[1]])
    with pytest.raises(PreflightError, match="differs from what the study was planned with"):
        train.run(spec, PLACES)


def test_an_edited_file_is_the_one_that_runs_at_once(folder: Path) -> None:
    """No file of byte code stands between them, however quick the edit."""
    for value in (3, 4, 5):
        (folder / "stilts.py").write_text(METHOD + f"\nVALUE = {value}\n", encoding="utf-8")
        opened(folder)
        assert getattr(find_module("methods", "stilts"), "VALUE", None) == value
    assert not list(folder.rglob("*.pyc"))


@pytest.fixture
def ran(folder: Path) -> tuple[StudyRun, Results]:
    """The study, run in this process, and its results; its modules are forgotten then."""
    study, results = opened(folder, run_own=True), Results(folder / "results")
    places = Places(plm="tiny", shared=str(folder / "cache"))
    run = StudyRun(Plan(study, places), results)
    with results.locked():
        run.open()
        write_manifest(run, {"commit": "none"})
        run.run_local(Local(places, StageStore(folder / "cache" / "stages")))
        write_manifest(run, {"commit": "none"})
    assert {r.status for r in run.records.values()} == {"done"}
    assert not [why for r in run.records.values() for why in stale_parts(r)]
    use(())
    for name in [n for n in sys.modules if n.startswith("raystudy_own_")]:
        del sys.modules[name]
    return run, results


def test_results_are_read_without_running_any_code(
    folder: Path, ran: tuple[StudyRun, Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: OwnModule) -> None:
        raise AssertionError("code was run")

    monkeypatch.setattr(OwnModule, "load", refuse)
    for file in ("stilts.py", "stilts.yaml", "mytask.py", "mine.yaml"):
        (folder / file).unlink()
    _, results = ran
    assert "STILTs" in write_report(results.folder).read_text("utf-8")
    assert progress(results).finished
    assert [m.source for m in in_use()] == [None, None]
    kept = {p.name.partition("-")[0] + p.suffix for p in (results.folder / "own").iterdir()}
    assert kept == {"stilts.py", "stilts.yaml", "mytask.py"}


def test_declarations_of_results_never_stand_for_code(ran: tuple[StudyRun, Results]) -> None:
    _, results = ran
    results.manifest()
    with pytest.raises(PreflightError, match="never taken from a results folder"):
        find_module("methods", "stilts")
    text = json.loads((results.folder / "manifest.json").read_text())
    for wrong in ([{"kind": "exhibits", "name": "x"}], [{**text["own"][0], "name": "../x"}], ["x"], 3):
        (results.folder / "manifest.json").write_text(json.dumps({**text, "own": wrong}))
        with pytest.raises(ConfigError, match="is not a manifest"):
            results.manifest()


def test_rerun_asks_for_the_study_that_names_the_code(folder: Path, ran: tuple[StudyRun, Results]) -> None:
    run, results = ran
    cell = next(r.id for r in run.records.values() if r.spec.variant == "stilts" and r.spec.target == "mytask")

    def rerun(*more: str) -> Any:
        return CliRunner().invoke(commands.app, ["rerun", cell, "--out", str(results.folder), *more])

    assert isinstance(rerun().exception, PreflightError)
    assert "--study FILE.yaml" in str(rerun().exception)
    named = ("--study", str(folder / "mine.yaml"))
    assert rerun(*named).exit_code == 0
    append(folder / "stilts.py")
    other = rerun(*named).exception
    assert isinstance(other, PreflightError)
    assert re.search(r"stilts\.py: methods/stilts: .* differs .* is .*own/stilts-\w+\.py", str(other))


def test_the_cache_keeps_what_code_of_ones_own_made(folder: Path, ran: tuple[StudyRun, Results]) -> None:
    found = entries(folder / "cache")
    assert {e.about["method"] for e in found} == {"stilts"}
    assert all(e.fresh and e.about["own"] for e in found)


# ---------------------------------------------------------------------------------------------------------------------
# what is wrong is told at once, with its line


def refused(folder: Path, **options: Any) -> list[str]:
    with pytest.raises(ConfigError) as e:
        opened(folder, run_own=True, **options)
    assert e.value.exit_code == 2
    return [line.replace(f"{folder}/", "") for line in e.value.lines]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("stilts.py", None, r"mine.yaml:8: methods\[1\]: no such file: stilts.py$"),
        ("mytask.py", None, r"mine.yaml:3: tasks\[0\]: no such file: mytask.py$"),
        ("stilts.yaml", None, r"mine.yaml:8: methods\[1\]: its parameters and variants must be in stilts.yaml"),
        ("stilts.py", METHOD + "\ndef (:", rf"^stilts.py:{METHOD.count(chr(10)) + 2}: is not Python: invalid syntax"),
        ("stilts.py", METHOD.replace("class Method", "class method"), "a class Method, .*did you mean 'method'"),
        ("stilts.py", METHOD.replace("class HParams", "class Params"), "must hold a dataclass HParams"),
        ("stilts.py", METHOD.replace("BaseMethod[HParams]", "list"), r"^stilts.py:\d+: Method must be a class"),
        ("stilts.py", METHOD.replace("@dataclass(frozen=True)\n", ""), r"^stilts.py:\d+: HParams must be a frozen"),
        ("stilts.py", METHOD.replace("    @classmethod\n", ""), r"^stilts.py:\d+: schedule must be a classmethod"),
        ("stilts.py", METHOD.replace("hp: HParams, sizes: Sizes", "hp: HParams"), "schedule must take"),
        ("stilts.py", METHOD.replace("_epochs: int = 3", "_epochs: int = 4"), "the same in both files, but is 4"),
        ("stilts.py", METHOD.replace("intermediate_epochs: int", "epochs_there: int"), "lacks intermediate_epochs"),
        ("stilts.py", "import nowhere_at_all\n" + METHOD, r"^stilts.py:\d+: "),
        ("stilts.py", METHOD + "\nimport mytask", "must be one file, but imports mytask, which lies beside it"),
        ("stilts.py", METHOD + "\nfrom . import x", r"^stilts.py:\d+: must be one file, but imports \."),
        ("stilts.py", METHOD + "\n1 / 0", r"^stilts.py:\d+: cannot be loaded: ZeroDivisionError: division by zero"),
        ("stilts.yaml", "", r"^stilts.yaml:1: must be a mapping"),
        ("stilts.yaml", SPACE.replace("method: stilts", "method: stilt"), r"^stilts.yaml:1: method: must be the name"),
        ("stilts.yaml", SPACE.replace("type: int", "type: integer"), r"^stilts.yaml:\d+: parameters.intermediate"),
        ("stilts.yaml", SPACE.replace("  stilts:", "  mft:"), r"^stilts.yaml:\d+: variants.mft: mft is a method"),
        ("stilts.yaml", SPACE.replace("[optimizer,", "[optimiser,"), "unknown group of parameters 'optimiser'"),
        ("stilts.yaml", SPACE.replace("low: 1, high: 3", "low: 0, high: 3"), r"^stilts.yaml:\d+: .*low: .*\[1, 100"),
        ("mytask.py", TASK.replace("def load", "def lod"), r"^mytask.py: must hold a function .*did you mean 'lod'"),
        ("mytask.py", TASK.replace('part="", root=None, ', ""), r"^mytask.py:\d+: load must take \(part, root"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(folder: Path, file: str, text: str | None, message: str) -> None:
    (folder / file).unlink()
    if text is not None:
        (folder / file).write_text(text, encoding="utf-8")
    lines = refused(folder)
    assert any(re.search(message, line) for line in lines), lines


def test_all_mistakes_are_told_at_once(folder: Path) -> None:
    (folder / "stilts.py").write_text(METHOD.replace("BaseMethod[HParams]", "list"))
    (folder / "mytask.py").write_text("def load(:")
    (folder / "multi_task.py").write_text(METHOD)
    (folder / "mine.yaml").write_text(
        STUDY.replace("- ./stilts.py", "- ./stilts.py\n- ./multi_task.py\n- ./gone.py\n- singel_task")
    )
    lines = refused(folder)
    for message in (
        r"^mytask.py:1: is not Python",
        r"^stilts.py:\d+: Method must be a class",
        r"mine.yaml:9: methods\[2\]: multi_task is a method that comes with raystudy",
        r"mine.yaml:9: methods\[2\]: its parameters and variants must be in multi_task.yaml",
        r"mine.yaml:10: methods\[3\]: no such file: gone.py",
        r"mine.yaml:11: methods\[4\]: unknown method 'singel_task'",
    ):
        assert any(re.search(message, line) for line in lines), (message, lines)


def test_a_file_may_stand_for_one_variant_or_have_settings(folder: Path) -> None:
    twice = SPACE + "  stilts_long:\n    title: long\n    about: longer\n    defaults: {intermediate_epochs: 9}\n"
    (folder / "stilts.yaml").write_text(twice)
    for entry, variants in {
        "./stilts.py": {"stilts": {}, "stilts_long": {}},
        "./stilts.py::stilts_long": {"stilts_long": {}},
        "./stilts.py::stilts[epochs=5]": {"stilts[epochs=5]": {}},
        "./stilts.py: {lr: 1e-4}": {"stilts": {"lr": 1e-4}, "stilts_long": {"lr": 1e-4}},
        "stilts.py::stilts: {lr: 1e-4}": {"stilts": {"lr": 1e-4}},
    }.items():
        (folder / "mine.yaml").write_text(STUDY.replace("- ./stilts.py", f"- {entry}"))
        assert opened(folder).variants == {"single_task": {}, **variants}
    (folder / "mine.yaml").write_text(STUDY.replace("- ./stilts.py", "- ./stilts.py: {lr: 7}"))
    assert "mine.yaml:8: methods[1].stilts.lr: lr must be in (0, 1], but got 7" in refused(folder)[0].replace(
        "is 7", "got 7"
    )
    (folder / "mine.yaml").write_text(STUDY.replace("- ./stilts.py", "- ./stilts.py::stilt"))
    assert re.search(r"mine.yaml:8: methods\[1\]: unknown variant of stilts.py 'stilt'", refused(folder)[0])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("return Task", "raise KeyError('x'); return Task", r"mytask.py:\d+: task mytask: load failed: KeyError: 'x'"),
        ("return Task", "return 3; Task", "load must return a raystudy.tasks.Task, but returns 3"),
        ('Task("mytask"', 'Task("other"', "returns one called 'other'"),
    ],
)
def test_a_data_set_that_cannot_be_made_is_the_users_mistake(folder: Path, old: str, new: str, message: str) -> None:
    (folder / "mytask.py").write_text(TASK.replace(old, new))
    study = opened(folder, run_own=True)
    with pytest.raises(ConfigError if "KeyError" in new else Exception) as e:
        Plan(study, Places(plm="tiny")).preflight()
    assert re.search(message, str(e.value))


def test_options_that_load_does_not_take_are_refused(folder: Path) -> None:
    (folder / "mine.yaml").write_text(STUDY.replace("task_options: {", "task_options: {mytask: {size: 3}, "))
    with pytest.raises(ConfigError, match=r"mine.yaml:5: task_options.mytask: do not fit load of .*'size'"):
        Plan(opened(folder), Places(plm="tiny")).preflight()


def test_another_study_does_not_know_what_one_has_named(folder: Path) -> None:
    study = opened(folder)
    assert "stilts" in catalogue().variants
    (folder / "other.yaml").write_text(
        STUDY.replace("./stilts.py", "stilts").replace("./mytask.py, ", "").replace("mytask, ", "")
    )
    with pytest.raises(ConfigError, match="unknown method 'stilts'"):
        read_study(folder / "other.yaml")
    assert "stilts" not in catalogue().variants
    assert specs(study).keys() == {f"{m} {t}" for m in ("single_task", "stilts") for t in ("mytask", "planted/source")}


def test_commands_show_ones_own_files(folder: Path) -> None:
    def told(*args: str) -> Any:
        done = CliRunner().invoke(commands.app, [*args, "--json"])
        assert done.exit_code == 0, done.output + str(done.exception)
        return json.loads(done.stdout)

    before = set(sys.modules)
    (method,) = told("methods", str(folder / "stilts.py"))
    assert method["id"] == "stilts"
    assert method["module"] == str(folder / "stilts.py")
    assert not [m for m in set(sys.modules) - before if m.startswith("raystudy_own_methods")], "it is read, not run"
    task = told("tasks", str(folder / "mytask.py"))
    assert task["read"]["mytask"]["sizes"] == {"train": 12, "dev": 6, "test": 12}
    planned = told("plan", str(folder / "mine.yaml"))
    assert planned["cells"] == {"single_task confirm": 2, "stilts confirm": 2}


def test_line_in_finds_the_innermost_line(folder: Path) -> None:
    (folder / "mytask.py").write_text(
        "def load(part, root=None):\n    return inner()\ndef inner():\n    raise OSError\n"
    )
    opened(folder)
    with pytest.raises(OSError) as e:  # noqa: PT011
        find_module("tasks", "mytask").load("")
    assert own_modules.line_in(e.value, str(folder / "mytask.py")) == 4
    assert own_modules.line_in(e.value, "elsewhere.py") is None
