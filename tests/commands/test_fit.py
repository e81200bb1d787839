"""`fit` of files: what it makes of them, what it refuses, and the whole of it once on a real Ray."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from raystudy import __main__ as commands
from raystudy import run as running
from raystudy.commands.fit import METHODS, fit_folder, study_of_files
from raystudy.errors import ConfigError, UserError
from raystudy.own_files import own_tasks
from raystudy.study.pool.local import Local
from raystudy.studyfile import Study


def write_rows(path: Path, labels: str, n: int = 60, **columns: str) -> Path:
    g = np.random.default_rng(len(labels))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow([columns.get("text", "text"), columns.get("label", "label"), *columns.get("more", "").split()])
        for i in range(n):
            words = [f"w{w:03d}" for w in 20 * (i % len(labels)) + g.integers(20, size=6)]
            rest = [columns.get("value", "x,y").split(",")[i % 2] for _ in columns.get("more", "").split()]
            writer.writerow([" ".join(words), labels[i % len(labels)], *rest])
    return path


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_rows(Path("my.csv"), "abc", text="review", label="rating")
    write_rows(Path("in/other one.csv"), "xyz")
    return tmp_path


def made(
    *sources: str, target: str = "my.csv", methods: tuple[str, ...] = (), **options: Any
) -> tuple[Study, list[str]]:
    """The study of files in ``out``, and what was said."""
    said: list[str] = []
    tasks = own_tasks(target, sources)
    one = study_of_files(
        tasks, fit_folder(tasks, Path("out")), methods, running.RunOptions(plm="tiny", **options), said.append
    )
    return one.study, said


def fit(*args: str) -> tuple[int, str]:
    out = CliRunner().invoke(commands.app, ["fit", *args, "--dry-run"])
    if isinstance(out.exception, UserError):
        return out.exception.exit_code, "\n".join(out.exception.lines)
    return out.exit_code, out.stdout + out.stderr


def test_files_become_tasks_of_their_names_with_splits_that_are_said(files: Path) -> None:
    study, said = made("in/other one.csv", methods=("single_task,multi_task[epochs=1]", "meta_dtl"))
    assert study.tasks == ("my", "other_one") and study.targets == ("my",)
    assert list(study.variants) == ["single_task", "multi_task[epochs=1]", "meta_dtl"]
    assert study.task_options["my"]["test_from_train"] == 0.2
    assert Path("out/data/my/train.csv").read_bytes() == Path("my.csv").read_bytes()
    assert not said
    # the same files again are the same study, and with the same methods though nobody names them
    before = Path("out/study.yaml").read_bytes()
    assert made("in/other one.csv")[0] == study
    assert Path("out/study.yaml").read_bytes() == before


def test_methods_that_are_not_defined_for_the_tasks_are_left_out_and_said(files: Path) -> None:
    alone, said = made()
    left_out = {line.partition(": ")[2].partition(",")[0] for line in said}
    assert (
        {*alone.variants} | left_out == {*METHODS} and "metaxt_centred" in left_out and "single_task" in alone.variants
    )
    assert made()[0] == alone


def test_a_folder_with_a_file_per_split_is_taken_as_it_is(files: Path) -> None:
    for split in ("train", "dev", "test"):
        write_rows(Path(f"whole/{split}.csv"), "ab", 12 + len(split))
    write_rows(Path("half/train.csv"), "ab"), write_rows(Path("half/test.csv"), "ab")
    study, _ = made("half", target="whole", methods=("single_task",))
    assert study.task_options["whole"] == {"domains": "together"}
    assert study.task_options["half"] == {"domains": "together", "dev_from_train": 0.05}
    assert sorted(p.name for p in Path("out/data/whole").iterdir()) == ["test.csv", "train.csv", "validation.csv"]


def test_a_dry_run_leaves_nothing(files: Path) -> None:
    before = sorted(Path().rglob("*"))
    code, told = fit("--target", "my.csv", "--source", "in/other one.csv", "--plm", "tiny", "--methods", "single_task")
    assert code == 0, told
    assert "test is 12 of 60 training examples (test_from_train: 0.2)" in told
    assert "test is read then, of it alone" in told
    assert sorted(p for p in Path().rglob("*") if "cache" not in p.parts) == before


WRONG: dict[str, tuple[list[str], int, str]] = {
    "nothing": ([], 2, "must name a file"),
    "no such file": (["--target", "mi.csv"], 2, "no such file or folder — did you mean 'my.csv'?"),
    "both": (["smoke", "--target", "my.csv"], 2, "give either"),
    "a study of several targets": (
        ["review", "--plm", "tiny"],
        2,
        "for one model is made, but are 3 (sst5, amazon_mds, imdb)",
    ),
    "several settings": (["smoke", "--set", "shots=[12,24]"], 2, "for one model is made, but are 2 (k=12, k=24)"),
    "two of one name": (["--target", "my.csv", "--source", "my.csv"], 2, "is called my like another of these files"),
    "a built-in name": (["--target", "sst2.csv"], 2, "would be called sst2, which is a data set that comes with"),
    "no format": (["--target", "my.pdf"], 2, "must end in one of .jsonl, .csv"),
    "an empty folder": (["--target", "empty"], 2, "must hold a file train.*, but holds nothing"),
    "its own splits": (["--target", "split.csv"], 2, "says in its column 'split' which rows are test, train"),
    "no text": (["--target", "no.csv", "--plm", "tiny"], 2, "no column that is known as the text"),
    "an unknown method": (["--target", "my.csv", "--methods", "singletask"], 2, "did you mean 'single_task'"),
    "another folder": (["--target", "my.csv", "--out", "in"], 2, "is a folder of something else (other one.csv)"),
    "a budget": (["--target", "my.csv", "--budget", "soon"], 2, "must be a time such as 90s"),
    "an option": (["--target", "my.csv", "--set", "report.sedes=2"], 2, "did you mean 'seeds'"),
    "a data root": (["--target", "my.csv", "--data-root", "."], 2, "is for a study"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_fitted_is_refused(files: Path, what: str) -> None:
    Path("my.pdf").write_text("x")
    Path("empty").mkdir()
    write_rows(Path("sst2.csv"), "ab")
    write_rows(Path("split.csv"), "ab", more="split", value="train,test")
    write_rows(Path("no.csv"), "ab", text="id1", label="id2", n=8).write_text("id1,id2\n1,2\n3,4\n")
    args, code, says = WRONG[what]
    assert fit(*args)[0] == code
    assert says in fit(*args)[1]


def test_another_fit_in_the_folder_is_refused_and_so_are_files_that_changed(files: Path) -> None:
    made("in/other one.csv", methods=("single_task",))
    for change, says in [
        (lambda: made(methods=("single_task",)), "is of another fit"),
        (lambda: made("in/other one.csv", methods=("multi_task",)), "is of another fit"),
    ]:
        with pytest.raises(ConfigError, match=says):
            change()
    write_rows(Path("my.csv"), "abc", n=61, text="review", label="rating")
    with pytest.raises(ConfigError, match="has changed since"):
        made("in/other one.csv")


def test_what_is_refused_leaves_no_study_behind(files: Path) -> None:
    Path("my.csv").write_text("review,rating\na b,\n")
    with pytest.raises(UserError):
        made()
    assert not Path("out/study.yaml").exists()
    write_rows(Path("out/data/my/train.csv"), "abc", text="review", label="rating")
    write_rows(Path("my.csv"), "abc", text="review", label="rating")
    assert made()[0].targets == ("my",)


FIT = ["fit", "--target", "my.csv", "--source", "in/other one.csv", "--plm", "tiny", "--out", "out", "--groups", "1"]
FIT += ["--methods", "single_task,multi_task", "--set", "settings={max_updates: 4}", "--set", "search={trials: 2}"]


def on_ray(*more: str) -> int:
    """The code of the command as a person types it."""
    return subprocess.run([sys.executable, "-m", "raystudy", *FIT, *more], check=False).returncode


def without_ray(*more: str) -> int:
    """The same in this process, whose cells are trained here, one after another."""
    with pytest.MonkeyPatch.context() as m:
        m.setattr(running, "run_on_ray", lambda run, view, cluster, places: run.run_local(Local(places)))
        return running.exit_code_of(lambda: commands.app([*FIT, *more], standalone_mode=False) or 0)


@pytest.mark.parametrize(
    "run",
    [without_ray, pytest.param(on_ray, marks=(pytest.mark.full, pytest.mark.slow, pytest.mark.xdist_group("ray")))],
)
def test_two_files_become_a_model_that_answers(
    files: Path, run: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    """The whole of it; on Ray too where all is asked for, since a study on Ray is tried in a test of its own."""
    assert run() == 0
    assert "it opens with AutoModelForSequenceClassification" in capfd.readouterr().out
    records = [json.loads(p.read_text()) for p in Path("out/search/cells").glob("*/record.json")]
    (read,) = [r for r in records if "test" in r["metrics"]]
    from raystudy.model.load import load_model

    model = load_model("out")
    assert model.description.cell and model.labels == ("a", "b", "c")
    answers = model.predict(["w001 w002 w003", "w021 w022"])
    assert len(answers) == 2
    card = Path("out/model/README.md").read_text()
    assert f"{100 * read['metrics']['test']['accuracy']:.1f}" in card
    assert run() == 0
    assert "the model is there already" in capfd.readouterr().out
    assert run("--seeds", "2") == 2
    assert "choose another --out" in capfd.readouterr().err
