"""The documents tell the truth: what is generated is up to date, every example loads, every list is complete.

What CONTRIBUTING.md says about adding a method and a data set is followed to the letter, in a copy of the package.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from raystudy.analysis.frame import COLUMNS
from raystudy.analysis.numbers import Numbers
from raystudy.analysis.sections import SECTIONS
from raystudy.catalogue import catalogue
from raystudy.errors import UserError
from raystudy.studyfile import Study, read_study

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
EXAMPLES = [p for p in PAGES if re.search(r"^```yaml\nname:", p.read_text(encoding="utf-8"), re.MULTILINE)]


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def titled(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def first_column(text: str, heading: str) -> list[str]:
    """The first cells of the table below a heading, without their code marks."""
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return [re.split(r"(?<!\\) \|", row)[0].removeprefix("| ").strip() for row in rows[2:]]


@pytest.fixture(scope="module")
def made(build: ModuleType) -> dict[str, str]:
    """What the script makes of the sources: page -> text."""
    pages = build.pages()
    assert isinstance(pages, dict)
    return pages


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_build", DOCS / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------------------------------------------------------------
# generated pages


def test_generated_pages_are_up_to_date(build: ModuleType, made: dict[str, str]) -> None:
    assert build.page_problems(made) == [], "run python docs/build.py"


def test_the_same_sources_give_the_same_pages(build: ModuleType, made: dict[str, str]) -> None:
    assert build.pages() == made


def test_the_check_sees_pages_that_differ_lack_or_belong_to_nothing(
    build: ModuleType, made: dict[str, str], tmp_path: Path
) -> None:
    for name, text in made.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert build.page_problems(made, tmp_path) == []
    (tmp_path / "methods/meta_dtl.md").write_text("old", encoding="utf-8")
    (tmp_path / "methods/floors.md").unlink()
    (tmp_path / "methods/of_yesterday.md").write_text("gone", encoding="utf-8")
    wrong = build.page_problems(made, tmp_path)
    assert len(wrong) == 3
    for name in ("meta_dtl", "floors", "of_yesterday"):
        assert any(name in line for line in wrong)


def test_the_script_checks_without_writing_and_refuses_what_it_does_not_know(build: ModuleType) -> None:
    before = {p: p.stat().st_mtime_ns for p in DOCS.rglob("*.md")}
    assert build.main(["--check"]) == 0
    assert build.main(["--chekc"]) == 2
    assert {p: p.stat().st_mtime_ns for p in DOCS.rglob("*.md")} == before


def test_every_method_has_a_page_with_all_its_variants_and_settings(build: ModuleType) -> None:
    cat = catalogue()
    for method, rules in cat.parameters.items():
        text = text_of(DOCS / "methods" / f"{method}.md")
        for v in (v for v in cat.variants.values() if v.method == method):
            assert f"\n### `{v.id}`\n" in text
            assert all(build.escaped(row) in text for row in v.rows)
        assert sorted(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == sorted(rules)
        docstring = ast.get_docstring(ast.parse(text_of(ROOT / "raystudy" / "methods" / f"{method}.py"))) or ""
        for line in docstring.splitlines():  # equations and tables stand there to the letter
            if line.startswith("    "):
                assert line.strip() in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a * b and 2 < 3", r"a \* b and 2 \< 3"),
        ("max_updates of [CLS], |B|", r"max_updates of \[CLS], \|B\|"),
        ("_odd_ is `a*b`", r"\_odd\_ is `a*b`"),
        ("``code``", "`code`"),
    ],
)
def test_running_text_has_no_accidental_markup(build: ModuleType, text: str, shown: str) -> None:
    assert build.escaped(text) == shown


def test_a_bar_in_a_cell_does_not_split_it(build: ModuleType) -> None:
    for cell in ("|B|", r"\|B\|", "`a | b`"):
        line = build.row([cell, "x"])
        assert len(re.split(r"(?<!\\)\|", line)) == 4


@pytest.mark.parametrize(
    ("value", "spelt"), [(5e-5, "5e-5"), (0.1, "0.1"), (1.0, "1"), (1e-05, "1e-5"), (100.0, "100")]
)
def test_numbers_are_spelt_so_that_they_read_back(build: ModuleType, value: float, spelt: str) -> None:
    assert build.number(value) == spelt
    assert float(spelt) == value


def test_a_key_without_words_is_refused(build: ModuleType) -> None:
    class Bare(Study):
        """One of many.

        Attributes:
            name: only this one.
        """

    with pytest.raises(SystemExit, match="data_root"):
        build.attributes(Bare)


# ---------------------------------------------------------------------------------------------------------------------
# examples, links, commands


@pytest.mark.parametrize("path", EXAMPLES, ids=titled)
def test_study_files_in_documents_are_valid(path: Path, tmp_path: Path) -> None:
    found = [b for b in blocks(text_of(path), "yaml") if b.startswith("name:")]
    assert found
    for name in ("methods/stilts.py", "search_spaces/stilts.yaml"):  # which CONTRIBUTING.md shows above its study
        shown = re.search(rf"^`[\w/]*{name}`\n\n```\w+\n(.*?)^```$", text_of(path), re.MULTILINE | re.DOTALL)
        if shown:
            (tmp_path / Path(name).name).write_text(shown[1], encoding="utf-8")
    for block in found:
        (tmp_path / "study.yaml").write_text(block, encoding="utf-8")
        assert read_study(tmp_path / "study.yaml").methods


@pytest.mark.parametrize("key", ["tasks", "targets", "shots", "fraction", "methods", "search.shots", "search.fraction"])
def test_one_value_may_stand_alone_where_a_list_is_meant(key: str, tmp_path: Path) -> None:
    """The study file's page says so of all lists."""
    value = {"shots": "20", "fraction": "0.5", "methods": "single_task"}.get(key.rpartition(".")[2], "stars")
    lists = [n for n, p in Study.model_json_schema()["properties"].items() if p.get("type") == "array"]
    assert key.rpartition(".")[2] in lists
    lines = {"name": "x", "tasks": "[stars]", "methods": "[single_task]", "shots": "[20]", "fraction": "[0.5]"}
    if key.startswith("search."):
        lines["search"] = f"{{trials: 2, {key.removeprefix('search.')}: {value}}}"
    else:
        lines[key] = value
    (tmp_path / "study.yaml").write_text("".join(f"{k}: {v}\n" for k, v in lines.items()), encoding="utf-8")
    here: Any = read_study(tmp_path / "study.yaml")
    for part in key.split("."):
        here = getattr(here, part)
    assert len(here) == 1


def anchors(text: str) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads}


@pytest.mark.parametrize("path", PAGES, ids=titled)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", text_of(path), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), f"{titled(path)}: {link}"
        if anchor:
            assert anchor in anchors(text_of(there)), f"{titled(path)}: {link}"


def commands() -> Iterator[tuple[Path, str, str]]:
    """(page, sub-command or "run", the rest) of every command line of ours in the documents."""
    for path in PAGES:
        for line in re.findall(r"python -m raystudy[^`'\n]*", text_of(path)):
            words = line.removeprefix("python -m raystudy").split()
            if line.startswith("python -m raystudy.run"):
                yield path, "run", line
            elif words:
                yield path, words[0], line


def test_commands_and_options_in_documents_exist() -> None:
    from typer.main import get_command

    from raystudy import __main__

    known = get_command(__main__.app).commands  # type: ignore[attr-defined]
    seen = 0
    for path, name, line in commands():
        assert name in known, f"{titled(path)}: {line}"
        options = {o for p in known[name].params for o in p.opts}
        used = set(re.findall(r"(?<!\S)--[a-z-]+", line))
        assert used <= options, f"{titled(path)}: {line}"
        seen += 1
    assert seen > 20


def test_every_page_is_in_the_index() -> None:
    index = text_of(DOCS / "README.md")
    for path in [*DOCS.glob("*.md"), *(ROOT / f for f in ("CONTRIBUTING.md", "SECURITY.md", "THIRD_PARTY.md"))]:
        if path.name != "README.md":
            assert f"({os.path.relpath(path, DOCS)})" in index


# ---------------------------------------------------------------------------------------------------------------------
# results.md


RESULTS = text_of(DOCS / "results.md")


def test_every_file_of_a_results_folder_is_named(tmp_path: Path) -> None:
    """Over a whole study whose cells cost nothing."""
    from study.fakes import Fake, plan

    from raystudy.study.folder.best_settings import write_best_settings
    from raystudy.study.folder.manifest import write_manifest
    from raystudy.study.folder.records import Results
    from raystudy.study.folder.report_files import write_report
    from raystudy.study.folder.tensorboard import TensorBoard
    from raystudy.study.study_run import StudyRun

    results = Results(tmp_path / "fake")
    with results.locked():
        small = {"methods": "[single_task, meta_dtl, majority]", "report": "{seeds: 2}"}
        search = "{trials: 2, generation: 2, seeds: 1, shots: 12}"
        study_run = StudyRun(plan(tmp_path, **small, search=search), results)
        study_run.open()
        study_run.run_local(Fake())
        write_manifest(study_run, {"commit": "none"})
        write_best_settings(results.folder / "best", study_run.plan, study_run.searches)
        TensorBoard(results.folder / "tensorboard", study_run.study_records().values()).close()
        held = {p.name for p in results.folder.glob(".*")}
        write_report(results.folder)
    named = [n for cell in first_column(RESULTS, "Every file") for n in re.findall(r"`([^`]+)`", cell)]
    patterns = [re.sub(r"<\w+>", "[^/]+", re.escape(n)) + (".*" if n.endswith("/") else "") for n in named]
    made = [p.relative_to(results.folder).as_posix() for p in results.folder.rglob("*") if p.is_file()]
    assert len(made) > 40
    for name in [*made, *held]:
        assert any(re.fullmatch(p, name) for p in patterns), name
    # and nothing is named that no study leaves: but for what only a run on ray writes, or a bug
    live = {"own/<name>", "study.lock.yaml", "optuna.journal", "logs/now.json", "logs/ray.log", "logs/driver.log"}
    live |= {"logs/estimates.json"}
    for name, pattern in zip(named, patterns, strict=True):
        if name not in live:
            assert any(re.fullmatch(pattern, m) for m in [*made, *held]), name
    source = "".join(text_of(p) for p in (ROOT / "raystudy").rglob("*.py"))
    assert all(Path(name).name in source for name in live)


def test_columns_keys_and_exit_codes_are_those_of_the_program() -> None:
    from raystudy import run

    assert tuple(c.strip("`") for c in first_column(RESULTS, "results.csv")) == COLUMNS
    keys = {c.strip("`") for c in first_column(RESULTS, "report.json")}
    own = {s.key or s.name for s in SECTIONS if s.numbers is not None}
    assert keys == {f.name for f in dataclasses.fields(Numbers)} - {"own"} | own
    codes = re.findall(r"^    (\d+(?: \+ n)?)  ", run.__doc__ or "", re.MULTILINE)
    assert first_column(RESULTS, "Exit codes") == codes


def test_thresholds_in_words_are_those_of_the_statistics() -> None:
    from raystudy.analysis import stats
    from raystudy.studyfile import ReportPlan

    assert stats.ALPHA == 0.05
    assert "significant at .05" in RESULTS
    assert stats.MIN_PAIRS == 5
    assert "fewer than five seeds" in RESULTS
    assert stats.MOST_SEEDS == 1000
    assert ReportPlan().rope == 0.01
    assert "(one point, if you do not say otherwise)" in RESULTS
    assert (stats.flip_floor(3), stats.flip_floor(5)) == (0.25, 0.0625)


@pytest.mark.parametrize(
    ("seeds", "spread", "examples_p", "words"),
    [
        (5, 0.001, None, {"better"}),
        (4, 0.001, None, {"undecided"}),
        (4, 0.001, 0.01, {"better"}),
        (3, 0.001, 0.01, {"better"}),
        (2, 0.0001, 0.001, {"undecided"}),
    ],
)
def test_how_many_seeds_a_word_takes(seeds: int, spread: float, examples_p: float | None, words: set[str]) -> None:
    """What the page says of five, three and four, and fewer seeds."""
    from raystudy.analysis.stats import deciding_p, paired, two_way, verdict

    pair = paired([0.6 + spread * i for i in range(seeds)], [0.5] * seeds)
    noise = np.random.default_rng(0).normal(0, 0.01, (seeds, 100))
    examples = None if examples_p is None else two_way(pair.mean + noise)
    p = float(deciding_p(seeds, 0.001, examples_p))
    assert verdict(pair, p, 0.01, examples=examples).word in words
    same = paired([0.5 + spread * i for i in range(seeds)], [0.5] * seeds)
    examples = None if examples_p is None else two_way(same.mean + noise)
    assert (verdict(same, 1.0, 0.01, examples=examples).word == "equivalent") == (seeds >= 5)


# ---------------------------------------------------------------------------------------------------------------------
# CONTRIBUTING.md, followed to the letter


FOLLOWED = """
import contextlib, io, json, runpy, sys
from pathlib import Path
import raystudy
from raystudy import train
from raystudy.catalogue import catalogue
from raystudy.errors import ConfigError
from raystudy.methods import Sizes, hparams
from raystudy.plugins import find_module, module_names
from raystudy.spec import Places, Setting, Spec
from raystudy.tasks import load

assert Path(raystudy.__file__).is_relative_to(sys.argv[1]), raystudy.__file__
root = Path(sys.argv[2])
news = load("ag_news", root=root)
settings = {"max_updates": 3, "batch_size": 4, "lr": 1e-3}
spec = Spec(
    phase="confirm", variant="stilts", method="stilts", settings=catalogue().resolve("stilts", settings),
    suite=("ag_news", "planted/source", "planted/target"), target="ag_news", setting=Setting(), seed=1,
    plm="tiny", plm_digest="", data={}, task_options={"planted": {"n_train": 20, "n_dev": 8, "n_test": 8, "length": 8}},
)
outcome = train.run(spec, Places(data_root=str(root), plm="tiny"))
sizes = {t: len(load(t, root=root, options=spec.task_options.get("planted") if "/" in t else None).splits["train"])
         for t in spec.suite}
method = find_module("methods", "stilts")
schedule = method.Method.schedule(hparams(method.HParams, spec.settings), Sizes(sizes, "ag_news"))
try:
    load("ag_news/sport", root=root)
    refused = ""
except ConfigError as e:
    refused = str(e)
def pages():
    # whether pages lack before the script has run, and after; what it says before
    main, said = runpy.run_path("docs/build.py")["main"], io.StringIO()
    with contextlib.redirect_stderr(said):
        before = main(["--check"])
    with contextlib.redirect_stdout(sys.stderr):
        return [before, main([]), main(["--check"])], said.getvalue()


print(json.dumps({
    "methods": module_names("methods"), "tasks": module_names("tasks"), "variants": list(catalogue().variants),
    "searched": list(catalogue().searched_parameters("stilts", {})), "status": outcome.record.status,
    "updates": outcome.record.updates, "labels": news.labels,
    "planned": {name: length.updates for name, length in schedule.stages.items()},
    "metrics": list(outcome.record.metrics), "refused": refused, "pages": pages(),
}))
"""


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """What CONTRIBUTING.md's files do in a copy of the package: (what the program printed, the copy)."""
    copy = tmp_path_factory.mktemp("copy")
    leave = shutil.ignore_patterns("__pycache__")
    for part in ("raystudy", "search_spaces", "docs"):
        shutil.copytree(ROOT / part, copy / part, ignore=leave)
    shutil.copy(ROOT / "CITATION.cff", copy)
    pairs = re.findall(
        r"^`([\w/.]+)`\n\n```\w+\n(.*?)^```$", text_of(ROOT / "CONTRIBUTING.md"), re.MULTILINE | re.DOTALL
    )
    assert [name for name, _ in pairs] == [
        "raystudy/methods/stilts.py",
        "search_spaces/stilts.yaml",
        "raystudy/tasks/ag_news.py",
        "raystudy/exhibits/meta_dtl_table3.py",
        "raystudy/analysis/sections/failures.py",
    ]
    for name, text in (pairs.pop(), pairs.pop()):
        assert text == text_of(ROOT / name)  # shown as it is: nothing more has to be written for these two
    for name, text in pairs:
        assert not (copy / name).exists()
        (copy / name).write_text(text, encoding="utf-8")
    data = copy / "data" / "ag_news"
    data.mkdir(parents=True)
    for split in ("train", "validation", "test"):
        rows = [
            {"text": f"word {i}", "label": c} for i in range(3) for c in ("world", "sports", "business", "technology")
        ]
        (data / f"{split}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", FOLLOWED, str(copy), str(copy / "data")]
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), copy


def test_a_method_added_as_described_is_listed_and_trains_as_planned(followed: tuple[dict[str, Any], Path]) -> None:
    said, _ = followed
    assert "stilts" in said["methods"]
    assert "stilts" in said["variants"]
    assert "intermediate_epochs" in said["searched"]
    assert said["status"] == "done"
    assert said["metrics"] == ["dev", "test"]
    assert said["updates"] == said["planned"] == {"planted/source": 3, "planted/target": 3, "finetune": 3}


def test_a_data_set_added_as_described_is_listed_and_loads(followed: tuple[dict[str, Any], Path]) -> None:
    said, _ = followed
    assert "ag_news" in said["tasks"]
    assert said["labels"] == ["world", "sports", "business", "technology"]
    assert "ag_news has no parts" in said["refused"]


def test_a_new_method_lacks_a_page_until_the_script_has_run(followed: tuple[dict[str, Any], Path]) -> None:
    said, copy = followed
    codes, complaints = said["pages"]
    assert codes == [1, 0, 0]
    assert "docs/methods/stilts.md is missing" in complaints
    assert "Supplementary training" in text_of(copy / "docs" / "methods" / "stilts.md")


def test_what_contributing_names_is_there() -> None:
    text = text_of(ROOT / "CONTRIBUTING.md")
    for name in re.findall(r"`((?:raystudy|search_spaces|tests|docs|results)/[\w./]+|[A-Z_]+\.(?:md|cff))`", text):
        if name not in ("raystudy/methods/stilts.py", "search_spaces/stilts.yaml", "raystudy/tasks/ag_news.py"):
            assert (ROOT / name).exists(), name


# ---------------------------------------------------------------------------------------------------------------------
# CITATION.cff


def test_the_citation_names_the_version_and_every_paper_of_a_variant(build: ModuleType) -> None:
    import tomllib

    from raystudy.yamlfile import load_yaml, plain

    cff = plain(load_yaml(ROOT / "CITATION.cff"))
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    assert cff["version"] == project["version"]
    assert cff["license"] == project["license"]
    known = build.papers()
    assert len(known) == len(cff["references"]) == 5
    assert {v.paper for v in catalogue().variants.values() if v.paper} <= known.keys()
    with pytest.raises(SystemExit, match="nowhere"):
        build.cited("nowhere", known)


def test_bad_study_files_are_refused_with_all_problems(tmp_path: Path) -> None:
    """The study file's page promises it: unknown keys are refused, every problem at once, each with its line."""
    (tmp_path / "s.yaml").write_text("name: x\nsuite: planted\nshotts: 3\nmethods: [singel_task]\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_study(tmp_path / "s.yaml")
    assert {p.line for p in caught.value.problems} >= {3, 4}


# ---------------------------------------------------------------------------------------------------------------------
# data.md


DATA = text_of(DOCS / "data.md")


@pytest.fixture
def my_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the page shows, under the names that it gives them; splits that it does not show look alike."""
    monkeypatch.chdir(tmp_path)
    shown = re.findall(r"`(my_data/(\w+)/train\.(\w+))`.*?\n\n```\w+\n(.*?)^```$", DATA, re.MULTILINE | re.DOTALL)
    assert [(task, ending) for _, task, ending, _ in shown] == [
        ("stars", "jsonl"),
        ("entailment", "csv"),
        ("names", "conll"),
    ]
    for _, task, ending, text in shown:
        (tmp_path / "my_data" / task).mkdir(parents=True)
        for split in ("train", "validation", "test"):
            (tmp_path / "my_data" / task / f"{split}.{ending}").write_text(text, encoding="utf-8")
    return tmp_path / "my_data"


def test_the_pages_files_are_the_tasks_that_it_says(my_data: Path) -> None:
    from raystudy.tasks import load

    stars = load("stars", root=my_data)
    assert (stars.form, stars.kind, stars.labels) == ("single", "classification", ("1", "2", "4", "5"))
    pairs = load("entailment", root=my_data)
    assert pairs.form == "pair"
    first = pairs.splits["train"][0]
    assert (first.text, first.pair, first.label) == ("A man, in a hat, sleeps.", "A man is awake.", "contradiction")
    names = load("names", root=my_data)
    assert (names.form, names.kind, names.metric) == ("tagging", "tagging", "span_f1")
    assert [len(e.tokens) for e in names.splits["train"]] == [5, 3]
    tree = re.findall(r"^  (\w+)/ +(train\.\w+) ", DATA, re.MULTILINE)
    assert {(my_data / task / name).is_file() for task, name in tree} == {True}


def test_the_pages_pandas_lines_write_a_task(my_data: Path) -> None:
    from raystudy.tasks import load

    code, _ = blocks(DATA, "python")
    (my_data / "shelf").mkdir()
    namespace: dict[str, Any] = {}
    exec(compile(code, "data.md", "exec"), namespace)
    shelf = load("shelf", root=my_data)
    assert (shelf.labels, len(shelf.splits["train"])) == (("bad", "good"), 4)


def test_the_pages_module_makes_the_task_that_it_says(tmp_path: Path) -> None:
    from raystudy.own_modules import use
    from raystudy.tasks import load

    _, code = blocks(DATA, "python")
    (tmp_path / "mytask.py").write_text(code, encoding="utf-8")
    (tmp_path / "study.yaml").write_text(
        "name: mine\nplm: tiny\ntasks: [./mytask.py]\nmethods: [single_task]\n", encoding="utf-8"
    )
    try:
        assert read_study(tmp_path / "study.yaml", run_own=True).tasks == ("mytask",)
        task = load("mytask", options={"n": 100})
    finally:
        use(())
    assert (task.labels, [len(task.splits[s]) for s in ("train", "dev", "test")]) == (("warm", "cold"), [100, 20, 40])


def test_the_pages_options_are_accepted_and_do_what_they_say(my_data: Path, tmp_path: Path) -> None:
    from raystudy.tasks import load

    block = next(b for b in blocks(DATA, "yaml") if "data_root" in b)
    (tmp_path / "mine.yaml").write_text(block, encoding="utf-8")
    options = dict(read_study(tmp_path / "mine.yaml").task_options["stars"])
    for split in ("train", "test"):
        rows = [{"review": f"book {i} was number {i * i}", "grade": str(1 + i % 5)} for i in range(50)]
        (my_data / "stars" / f"{split}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    (my_data / "stars" / "validation.jsonl").unlink()
    stars = load("stars", root=my_data, options=options)
    assert stars.labels == ("1", "2", "3", "4", "5")
    assert [stars.text_of(x) for x in stars.labels] == ["very negative", "2", "3", "4", "very positive"]
    assert [len(stars.splits[s]) for s in ("train", "dev", "test")] == [45, 5, 50]


def test_labels_are_what_the_page_says(my_data: Path) -> None:
    from raystudy.tasks import load

    def stars(values: list[Any], **options: Any) -> Any:
        for split in ("train", "validation", "test"):
            rows = "".join(json.dumps({"text": f"book {i}", "label": x}) + "\n" for i, x in enumerate(values))
            (my_data / "stars" / f"{split}.jsonl").write_text(rows, encoding="utf-8")
        return load("stars", root=my_data, options=options)

    assert stars([1, 2, 3]).labels == ("1", "2", "3")
    assert stars([3.5, 1.0, 2.0]).kind == "regression"
    assert stars([1, 2, 3], kind="regression").kind == "regression"
    assert stars(["b", "a"], labels=["b", "a"]).labels == ("b", "a")
    with pytest.raises(UserError, match="c"):
        stars(["b", "a", "c"], labels=["b", "a"])


def test_a_domain_is_a_task_with_the_labels_of_all(my_data: Path) -> None:
    from raystudy.tasks import expand, load

    (my_data / "reviews").mkdir()
    for split in ("train", "validation", "test"):
        pairs = [("books", "good"), ("books", "bad"), ("dvd", "good"), ("dvd", "fair")]
        rows = [{"text": f"no. {i}", "label": label, "domain": d} for i, (d, label) in enumerate(pairs)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (my_data / "reviews" / f"{split}.jsonl").write_text(text, encoding="utf-8")
    assert expand(["reviews"], root=my_data) == {"reviews": ("reviews/books", "reviews/dvd")}
    for domain in ("books", "dvd"):
        assert load(f"reviews/{domain}", root=my_data).labels == ("bad", "fair", "good")
    together = {"reviews": {"domains": "together"}}
    assert expand(["reviews"], root=my_data, task_options=together) == {"reviews": ("reviews",)}
    assert len(load("reviews", root=my_data, options=together["reviews"]).splits["train"]) == 4


def test_formats_options_and_names_are_those_of_the_program() -> None:
    from raystudy.metrics import METRICS
    from raystudy.tasks._columns import PAIRS, ROLES
    from raystudy.tasks._options import RULES
    from raystudy.tasks.folder import FILES, READERS

    def listed(cells: list[str]) -> list[str]:
        return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]

    endings = listed(first_column(DATA, "Formats"))
    assert set(READERS) == {*endings, *(f"{e}.gz" for e in endings if e != ".parquet")}
    assert [c.strip("`") for c in first_column(DATA, "Options")] == list(RULES)
    assert "4 to 512" in RULES["length"][0]
    row = next(line for line in DATA.splitlines() if line.startswith("| `metric` |"))
    assert set(re.findall(r"`(\w+)`", row)[1:]) == set(METRICS)
    for names in FILES.values():
        assert all(f"`{n}`" in DATA for n in names)
    known = {}
    for line in DATA.split("## Columns with other names")[1].splitlines():
        if m := re.match(r"\| `(\w+)` \| (.*) \|$", line):
            known[m[1]] = tuple(re.findall(r"`(\w+)`", m[2]))
    assert known == {**ROLES, "text_pair": tuple(dict.fromkeys(second for _, second in PAIRS))}
