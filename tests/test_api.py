"""From Python: few functions, found late, that do what the commands do; and the notebook, cell by cell."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import comparable, spec_of, unchecked
from test_readme import blocks

import raystudy
from raystudy import run as running
from raystudy import train
from raystudy.analysis.notebook import opening_html
from raystudy.analysis.numbers import Sentence
from raystudy.analysis.report import Opening
from raystudy.analysis.table import Cell, Column, Note, Table
from raystudy.api import StudyResults, UnfinishedError
from raystudy.errors import ConfigError, UserError
from raystudy.spec import Places

NOTEBOOK = Path(__file__).parents[1] / "examples" / "quick.ipynb"
KEYS: dict[str, Any] = {
    "name": "mine",
    "plm": "tiny",
    "suite": "planted",
    "task_options": {"planted": {"n_train": 60, "n_dev": 20, "n_test": 20}},
    "shots": 12,
    "methods": ("single_task", "frozen_logistic"),
    "settings": {"max_updates": 2},
    "report": {"seeds": 2},
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    with unchecked():
        yield tmp_path


def test_the_package_has_its_functions_and_loads_nothing() -> None:
    code = (
        "import sys, raystudy; assert not {'torch', 'ray', 'numpy', 'typer', 'pydantic'} & {*sys.modules}; "
        "print(raystudy.__version__, *(callable(getattr(raystudy, n)) for n in raystudy.__all__ if n[0] != '_')); "
        "assert {'load_study', 'run', 'train'} <= {*dir(raystudy)}; "
        "from raystudy import analysis"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, *found = done.stdout.split()
    assert version == raystudy.__version__
    assert found == ["True"] * 6 + ["False"]  # `train` is a module, with its function `run`
    with pytest.raises(AttributeError, match="no attribute 'rnu'"):
        raystudy.rnu  # noqa: B018


def test_a_study_of_keys_is_the_study_of_a_file(here: Path) -> None:
    from raystudy.yamlfile import to_yaml

    Path("mine.yaml").write_text(to_yaml({k: [*v] if isinstance(v, tuple) else v for k, v in KEYS.items()}))
    of_keys, of_file = raystudy.load_study(KEYS), raystudy.load_study("mine.yaml")
    assert of_keys.study == of_file.study and of_keys.folder == of_file.folder == Path("results/mine")
    assert str(raystudy.plan(of_keys)) == str(raystudy.plan("mine.yaml"))
    assert raystudy.plan(of_keys).cells == {"single_task confirm": 2, "frozen_logistic confirm": 2}
    assert raystudy.load_study(Path("mine.yaml"), only=["single_task"], set=["shots=15"]).study.shots == (15,)
    assert not Path("results").exists()


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as e:
        raystudy.load_study({**KEYS, "shotts": 3, "methods": ["singel_task"]})
    assert "did you mean 'shots'" in str(e.value) and "did you mean 'single_task'" in str(e.value)
    with pytest.raises(ConfigError, match="no study was run here yet"):
        raystudy.results("mine")
    for wrong in ({}, {"study": "smoke", "target": "my.csv"}):
        with pytest.raises(ConfigError, match="must be given, or files"):
            raystudy.fit(**wrong)
    with pytest.raises(ConfigError, match="must be given to load_study"):
        raystudy.fit(raystudy.load_study(KEYS), seeds=2)
    with pytest.raises(ConfigError, match="unknown method of this study 'multi_task'"):
        raystudy.fit(raystudy.load_study(KEYS), methods=["multi_task"])
    with pytest.raises(UserError, match="no such file or folder"):
        raystudy.fit(target="my.csv")


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words += data


@dataclass
class Notebook:
    """The notebook after its last cell: where it ran, and its names."""

    folder: Path
    names: dict[str, Any]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Notebook:
    """Its code cells in their order, in one namespace, as a kernel would run them."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not any(c.get("outputs") for c in cells), "the notebook is kept without outputs"
    folder, names = tmp_path_factory.mktemp("notebook"), dict[str, Any]()
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()), pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYSTUDY_CACHE", str(folder / "cache"))
        for n, cell in enumerate(c for c in cells if c["cell_type"] == "code"):
            with unchecked():
                exec(compile("".join(cell["source"]), f"cell {n}", "exec"), names)
        names["results"] = StudyResults(folder / names["results"].folder)
    return Notebook(folder, names)


def test_the_notebook_runs_from_top_to_bottom(notebook: Notebook) -> None:
    assert notebook.names["results"].complete and notebook.names["model"].labels
    assert (notebook.folder / "quick-model" / "model" / "raystudy.json").is_file()
    assert [*notebook.names["test"]["variant"].unique()] == ["frozen_logistic", "multi_task", "single_task"]


def test_results_show_the_verdict_and_the_main_table_in_a_notebook(notebook: Notebook) -> None:
    results: StudyResults = notebook.names["results"]
    shown = Reader()
    shown.feed(results._repr_html_())
    assert shown.tags.count("table") == 1
    assert results.verdict and all(sentence in shown.words for sentence in results.verdict)
    assert all(row[0].text in shown.words for row in results.table.rows)
    assert results.report.is_file() and "| method |" in str(results)
    for name in (results.folder, str(results.folder)):
        assert raystudy.results(name).records.keys() == results.records.keys()


def test_a_word_of_a_study_is_no_markup_in_a_notebook() -> None:
    evil = "<script>alert(1)</script> & more"
    table = Table("main", evil, (Column("a", evil),), ((Cell(evil, text=evil),),), (Note(evil),))
    shown = Reader()
    shown.feed(opening_html(Opening(evil, (Sentence(evil, evil),), (table,))))
    assert "script" not in shown.tags and shown.words.count(evil) == 7


def test_what_is_there_is_not_trained_again(here: Path, notebook: Notebook) -> None:
    study, trained = notebook.names["study"], []
    again = dataclasses.replace(study, folder=notebook.folder / study.folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "train_missing", lambda *a: trained.append(a))
        assert raystudy.run(again, local=True).records.keys() == notebook.names["results"].records.keys()
    assert not trained


@pytest.mark.parametrize("code", [4, 130])
def test_a_run_that_is_not_finished_is_an_error(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "run_study", lambda inputs, options, console: code)
    with pytest.raises(UnfinishedError, match="the same call goes on from here") as e:
        raystudy.run(KEYS, budget="1s")
    assert e.value.exit_code == code


@pytest.mark.parametrize("threads", [1, 2, None])
def test_a_training_sets_its_threads_and_puts_them_back(threads: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, seen = spec_of("single_task"), []
    original = train.trained
    monkeypatch.setattr(train, "trained", lambda *a, **k: (seen.append(torch.get_num_threads()), original(*a, **k))[1])
    torch.set_num_threads(2)
    try:
        outcome = train.run(spec, Places(plm="tiny"), threads=threads)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert seen == [threads or 2] and outcome.record.made_by["threads"] == str(threads or 2)
    monkeypatch.undo()
    if threads == 1:  # which is what nobody has to say
        assert comparable(train.run(spec, Places(plm="tiny")).record) == comparable(outcome.record)


def test_the_program_of_the_readme_runs(here: Path) -> None:
    (program,) = [b for b in blocks("python") if "raystudy.load_study" in b]
    assert len(program.strip().splitlines()) <= 12
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        exec(compile(program, "README.md", "exec"), {})
    assert "in all" in told.getvalue() and "probabilities=" in told.getvalue()
    assert (here / "first-model" / "model" / "README.md").is_file()
