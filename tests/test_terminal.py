"""What a person sees on terminals of any width: words and names stay whole, nothing is cut, a pipe gets every line."""

from __future__ import annotations

import dataclasses
import io
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress
from study.fakes import plan
from typer.testing import CliRunner

import raystudy
from raystudy import __main__ as commands
from raystudy import run as running
from raystudy import terminal
from raystudy.catalogue import catalogue
from raystudy.cluster import cell_description
from raystudy.commands.tasks import _built_in
from raystudy.live_view import LiveView
from raystudy.study.folder.records import Results
from raystudy.studyfile import Study, read_study
from raystudy.terminal import (
    BOLD,
    TerminalColumn,
    column_widths,
    folded,
    print_table,
    say,
    say_command,
    show_report_table,
)
from raystudy.wording import counted, spelt

TEXT = (
    "    lexicon/stars, lexicon/polarity: dropped: 537 senses whose gloss holds a word of a later split's target term, "
    "94 whose gloss is also that of a later split's sense, 27 whose words fall in different splits 感情 分析"
)


def screen(width: int, *, terminal: bool = True) -> Console:
    return Console(
        file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, highlight=False, markup=False
    )


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# ---------------------------------------------------------------------------------------------------------------------
# text


@pytest.mark.parametrize("width", [30, 40, 80, 120, 400])
def test_folding_keeps_every_word_whole_and_in_order(width: int) -> None:
    lines = folded(TEXT, width)
    assert " ".join(lines).split() == TEXT.split()
    assert all(cell_len(line) <= width for line in lines)
    assert all(line.startswith("    ") for line in lines)
    # no line is ended before it must be
    for line, following in pairwise(lines):
        assert cell_len(line) + 1 + cell_len(following.split()[0]) > width


def test_a_path_longer_than_a_line_stays_in_one_piece() -> None:
    path = "/a/" + "very/" * 30 + "long/path"
    lines = folded(f"report: {path} is written", 60)
    assert [line.strip() for line in lines] == ["report:", path, "is written"]


def test_lines_and_gaps_of_the_text_are_kept() -> None:
    assert folded("ok      a\n\n  failed: b", 80) == ["ok      a", "", "  failed: b"]


def test_a_pipe_gets_the_line_as_it_is() -> None:
    piped = screen(80, terminal=False)
    say(piped, TEXT)
    assert text_of(piped) == TEXT + "\n"


@pytest.mark.parametrize("width", [44, 80, 120])
def test_a_command_can_be_copied_from_any_terminal(width: int) -> None:
    command = ["optuna-dashboard", "my results/optuna.journal", "--host", "127.0.0.1", "--port", "8080", "--x=[a]"]
    to = screen(width)
    say_command(to, "label", command)
    assert shlex.split(text_of(to).removeprefix("label:\n").replace("\\\n", "")) == command  # as a shell reads it
    assert all(cell_len(line) <= width for line in text_of(to).splitlines())


def test_what_is_set_off_is_not_changed() -> None:
    to = Console(file=io.StringIO(), width=30, force_terminal=True, color_system="standard")
    say(to, "Meta-DTL beats single-task on one target.", bold=len("Meta-DTLbeats"))
    text = text_of(to)
    assert "Meta-DTL beats" in text.split("\x1b[0m")[0]
    assert re.sub(r"\x1b\[\d*m", "", text).split() == ["Meta-DTL", "beats", "single-task", "on", "one", "target."]


# ---------------------------------------------------------------------------------------------------------------------
# tables

COLUMNS = (
    TerminalColumn("name", whole=True),
    TerminalColumn("n", right=True, whole=True),
    TerminalColumn("licence", least=20, spare=1),
    TerminalColumn("about", least=24),
)
ROWS = [
    ["amazon_mds_stars", "1,750", "none stated by the authors", "the stars of reviews: 1, 2, 4 or 5 (Blitzer et al.)"],
    ["b", f"{BOLD}3{BOLD}", "Apache 2.0", "short"],
]


@pytest.mark.parametrize("width", [24, 50, 60, 80, 120])
def test_a_table_shows_every_name_and_word_whole_at_any_width(width: int) -> None:
    to = screen(width)
    left = print_table(to, COLUMNS, ROWS)
    text = text_of(to)
    shown = [i for i, c in enumerate(COLUMNS) if c.title not in left]
    for row in ROWS:
        for i in shown:
            for word in row[i].replace(BOLD, "").split():
                assert re.search(rf"(?<!\S){re.escape(word)}(?!\S)", text), (word, text)
    assert "…" not in text
    assert BOLD not in text
    assert max(map(cell_len, text.split("\n"))) <= max(width, 24)
    assert (left == []) == (width >= 80)


def test_a_table_in_a_pipe_has_a_line_per_row_with_all_its_columns() -> None:
    piped = screen(40, terminal=False)
    assert print_table(piped, COLUMNS, ROWS) == []
    lines = text_of(piped).splitlines()
    assert len(lines) == 1 + len(ROWS)
    for line, row in zip(lines[1:], ROWS, strict=True):
        assert re.split(r"\s{2,}", line.strip()) == row
        assert line == line.rstrip()


def test_room_goes_to_what_lacks_it_and_none_is_wasted() -> None:
    rows = [["x", "word " * 40, "y " * 3]]
    columns = (TerminalColumn(whole=True), TerminalColumn(), TerminalColumn())
    for width in (30, 60, 90):
        widths = column_widths(columns, rows, width)
        assert widths is not None
        assert width - 3 <= sum(widths.values()) + 4 <= width
        assert widths[0] == 1
    roomy = column_widths(columns, rows, 1000)
    assert roomy == {0: 1, 1: cell_len("word " * 40), 2: 6}


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_wide_table_of_a_report_is_shown_in_blocks_that_fit(width: int) -> None:
    from raystudy.analysis.table import Cell, Column, Note, Table

    places = [f"amazon_mds/{name} (k=100)" for name in ("books", "dvd", "electronics", "kitchen", "a", "b", "c")]
    columns = (Column("variant", "method"), *(Column(p, p, "estimate") for p in places))
    best = Cell(51.5, half=1.0, n=5, best=True, published=50.0)
    rows = tuple((Cell("x", name), *(best for _ in places)) for name in ("single-task", "frozen encoder + regression"))
    to = screen(width)
    show_report_table(to, Table("main", "A caption.", columns, rows, (Note("a note", "§"),)))
    text = text_of(to)
    assert max(map(cell_len, text.split("\n"))) <= width
    assert text.count("51.5 ± 1.0 (5)") == 2 * len(places)
    assert text.count("50.0 (+1.5)") == 2 * len(places)
    assert "§ a note" in text
    for place in places:
        assert re.search(rf"(?<!\S){re.escape(place.split()[0])}(?!\S)", text)


# ---------------------------------------------------------------------------------------------------------------------
# commands


@pytest.fixture(params=[80, 120])
def seen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Runs a command on a terminal of 80 or 120 columns; returns what it shows."""
    to = screen(request.param)
    monkeypatch.setattr(terminal, "console", lambda file=None, err=False: to)

    def run(*args: str) -> str:
        out = CliRunner().invoke(commands.app, list(args))
        assert out.exit_code == 0, out.output
        text = text_of(to) + out.stdout
        assert max(map(cell_len, text.split("\n"))) <= request.param
        assert "…" not in text
        return text

    return run


def test_tasks_shows_every_name_and_what_it_is(seen: Any) -> None:
    text = seen("tasks")
    for name in _built_in():
        assert re.search(rf"^{name} ", text, re.MULTILINE)
    assert re.search(r"^task +form +classes +here .*about *$", text, re.MULTILINE)


def test_methods_shows_every_name_and_every_word(seen: Any) -> None:
    text = seen("methods")
    for v in catalogue().variants.values():
        assert re.search(rf"^{v.id} +{v.role} ", text, re.MULTILINE)
        for word in v.about.split():
            assert re.search(rf"(?<!\S){re.escape(word)}(?!\S)", text)


@pytest.mark.parametrize("name", ["metaxt_centred", "meta_dtl[lambda=0.3]", "multi_task", "majority"])
def test_a_variant_is_shown_within_its_method(seen: Any, name: str) -> None:
    text = seen("methods", name)
    v = catalogue().variant(name)
    words = " ".join(text.split())
    assert f"variant: {v.id} ({v.title})" in words
    assert f"method: {v.method}, whose variants are" in words
    for setting in catalogue().searched_parameters(v.id, {}):
        assert re.search(rf"^{setting} ", text, re.MULTILINE)
    for setting, value in v.fixes.items():
        assert f"{setting} = {spelt(value)}" in words
        assert not re.search(rf"^{setting} ", text, re.MULTILINE)


def test_a_method_that_is_no_variant_shows_its_variants(seen: Any) -> None:
    text = seen("methods", "floors")
    assert "majority" in text
    assert "frozen_logistic" in text
    assert "meta_dtl" not in text


def test_an_unknown_method_is_answered_with_the_nearest() -> None:
    out = CliRunner().invoke(commands.app, ["methods", "metaxt_centered"])
    assert "did you mean 'metaxt_centred'?" in str(out.exception)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_help_is_whole(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """The list of commands says all of what each says of itself first, and ends nothing in dots."""
    monkeypatch.setenv("COLUMNS", str(columns))
    from typer.main import get_command

    group = get_command(commands.app)
    inner: Any = group.commands["cache"]  # type: ignore[attr-defined]
    for args, listed in (([], group.commands), (["cache"], inner.commands)):  # type: ignore[attr-defined]
        text = CliRunner().invoke(commands.app, [*args, "--help"]).stdout
        assert "..." not in text
        assert "…" not in text
        words = " ".join(text.split())
        for name, command in listed.items():
            first = " ".join((command.help or "").split("\n\n")[0].split())
            assert f"{name} {first}" in words


@pytest.mark.parametrize("app", [commands.app, running.app])
def test_the_version_is_that_of_the_package(app: Any) -> None:
    from importlib.metadata import version

    out = CliRunner().invoke(app, ["--version"])
    assert out.exit_code == 0
    assert out.stdout == f"raystudy {version('raystudy')}\n"
    assert raystudy.__version__ == version("raystudy")


def test_folders_and_files_may_be_named_by_text(tmp_path: Path) -> None:
    made = plan(tmp_path).study
    assert read_study(str(tmp_path / "study.yaml")) == made
    assert Results(str(tmp_path)).cells == Results(tmp_path).cells == tmp_path / "cells"


# ---------------------------------------------------------------------------------------------------------------------
# a run


def status(ready: dict[int, bool], **cells: Any) -> dict[str, Any]:
    groups = {g: {"cell": None, **cells} for g in ready}
    return {"ready": ready, "groups": groups}


@pytest.mark.parametrize("width", [80, 120])
def test_the_live_view_says_what_is_awaited_and_then_what_runs(width: int) -> None:
    to = screen(width)
    view, bar = LiveView(to, total=6), Progress(BarColumn())
    bar.add_task("cells", total=6)

    def now() -> str:
        fresh = screen(width)
        fresh.print(view.frame(bar))
        return text_of(fresh)

    view.begin("starting Ray")
    assert "starting Ray" in now()
    view.begin("workers are loading", groups=2)
    assert "workers are loading (0 of 2 ready)" in now()
    view.status = lambda: status({0: True, 1: False}, cell="single_task lexicon/stars k=20 seed 0 (confirm)")
    text = now()
    assert "workers are loading (1 of 2 ready)" in text
    assert "lexicon/stars" in text
    long = "metaxt_centred lexicon/subjectivity k=100 seed 1000 (search, configuration 2)"
    view.status = lambda: status({0: True, 1: True}, cell=long, stage="supervised", step=3, steps=140, loss=1.0986)
    text = now()
    assert "loading" not in text
    for word in (*long.split(), "supervised", "3/140", "1.099"):
        assert len(re.findall(rf"(?<!\S){re.escape(word)}(?!\S)", text)) >= 2  # of both groups
    assert "…" not in text


def test_what_others_print_does_not_enter_the_live_view(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CI", raising=False)
    to = screen(80)
    with LiveView(to, total=1).live():
        print("Number of trials 9223372036854775807")  # noqa: T201
    assert "9223372036854775807" in capsys.readouterr().out
    assert "9223372036854775807" not in text_of(to)


def test_no_two_configurations_have_the_same_line(tmp_path: Path) -> None:
    made = plan(tmp_path, methods="[single_task, meta_dtl]", search="{trials: 6, generation: 6, seeds: 2, shots: 12}")
    for search in made.searches().values():
        lines = [cell_description(cell, search) for trial in search.configurations for cell in trial.cells]
        different = {cell.id for trial in search.configurations for cell in trial.cells}
        assert len(set(lines)) == len(different) > 6
        for trial in search.configurations[1:]:
            first = search.configurations[0].settings
            changed = [k for k, v in trial.settings.items() if first[k] != v]
            assert all(f"{k}=" in cell_description(trial.cells[0], search) for k in changed)
    assert cell_description(made.confirm({})[0], None) == str(made.confirm({})[0])


def test_a_study_says_what_it_sets_otherwise_than_the_papers() -> None:
    base: dict[str, Any] = {"name": "x", "tasks": ("a", "b"), "methods": ("single_task", "multi_task", "majority")}
    assert Study(**base).departures == ()
    paper = catalogue().defaults("single_task")["lr"]
    assert Study(**base, settings={"lr": paper}).departures == ()
    own = Study(**{**base, "methods": ({"single_task": {"lr": 2e-5}}, "multi_task")}, settings={"min_updates": 40})
    assert own.departures == (
        f"lr 2e-5 in single_task (paper: {spelt(paper)})",
        "min_updates 40 (papers: 0)",
    )


def test_a_column_of_domains_that_makes_targets_is_told_with_its_cure() -> None:
    names = tuple(f"reviews/{d}" for d in ("books", "dvd", "music"))
    many = Study(name="x", tasks=names, methods=("single_task",))
    (line,) = running.domain_lines(many, 1750)
    assert "makes 3 tasks of reviews, each a target" in line
    assert "1,750 cells" in line
    assert "`targets: [reviews/books]`" in line
    assert "`domains: together`" in line
    assert running.domain_lines(many.model_copy(update={"targets": names[:1]}), 9) == []
    built_in = Study(name="x", suite="planted_domains", methods=("single_task",))
    assert running.domain_lines(built_in, 9) == []


@pytest.mark.parametrize(("n", "words"), [(0, "0 cells"), (1, "1 cell"), (2, "2 cells"), (1750, "1,750 cells")])
def test_one_thing_is_not_several(n: int, words: str) -> None:
    assert counted(n, "cell") == words


@pytest.mark.parametrize(
    ("value", "text"), [(5e-5, "5e-5"), (1.0, "1"), (0.1, "0.1"), (True, "true"), (None, "none"), (1e22, "1e22")]
)
def test_values_are_spelt_as_a_study_file_has_them(value: object, text: str) -> None:
    assert spelt(value) == text


def test_a_report_opens_with_its_verdict_and_says_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from study.fakes import Fake

    from raystudy.study.folder.manifest import write_manifest
    from raystudy.study.study_run import StudyRun

    results = Results(tmp_path / "results" / "fake")
    few = {"methods": "[single_task, single_task_matched, multi_task, majority]", "search": "{trials: 0}", "shots": "6"}
    study_run = StudyRun(plan(tmp_path, **few), results)
    study_run.open()
    study_run.run_local(Fake())
    write_manifest(study_run, {"commit": "none"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "raystudy.analysis.report.draw", lambda figure, kind: b'<svg width="1pt" height="1pt" viewBox="0 0 1 1"></svg>'
    )  # takes most of the time
    out = CliRunner().invoke(commands.app, ["report", "fake"])
    assert out.exit_code == 0, out.output
    lines = out.stdout.splitlines()
    verdict = [line.removeprefix("- ") for line in lines if line.startswith("- ")]
    report = (results.folder / "report" / "report.md").read_text(encoding="utf-8")
    section = report.split("## Verdict\n\n")[1].split("\n\n")[0]
    assert verdict
    assert [line.removeprefix("- ").replace("**", "") for line in section.splitlines()] == verdict
    assert "report: results/fake/report/report.html (open it in a browser)" in lines
    assert "the same as text: results/fake/report/report.md" in lines
    assert not any(line.startswith("|") for line in lines)  # no Markdown
    assert any(re.match(r"single-task +\S*\d+\.\d ± \d+\.\d \(3\)", line) for line in lines)
    harm = next((line for line in verdict if line.startswith("Negative transfer")), "")
    assert "equal passes" not in harm  # a control transfers nothing


def test_a_used_up_budget_says_so_and_offers_no_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from study.fakes import study
    from study.test_crash import without_ray

    from raystudy.spec import Places

    few = {"methods": "[single_task, majority]", "search": "{trials: 0}", "shots": "6"}
    opened = (study(tmp_path, **few), Places(plm="tiny", shared=str(tmp_path / "cache")), tmp_path / "r")
    piped = screen(80, terminal=False)
    with without_ray(monkeypatch):
        code = running.run_study(opened, dataclasses.replace(running.RunOptions(), budget=0.1), piped)
    assert code == running.EXIT_BUDGET
    text = text_of(piped)
    assert "the budget of 0 worker-seconds is used up: the cells that run now are trained to their end" in text
    assert "Ctrl-C" not in text
    assert "the budget is used up; the same command goes on from here" in text


@pytest.mark.parametrize("bad", ["\x1b[31m", "\x07", "\r", "\x9b2J", "\u202e"])
def test_what_a_terminal_would_obey_is_written_out(bad: str) -> None:
    """A label, a column or the name of a folder may hold anything."""
    for width in (None, 40):
        out = io.StringIO()
        to = Console(file=out, width=width or 80, force_terminal=width is not None, color_system=None)
        say(to, f"label {bad}x\nnext")
        print_table(to, [TerminalColumn("name", whole=True), TerminalColumn("text")], [[f"a{bad}", f"b {bad}"]])
        assert bad not in out.getvalue().replace("\r\n", "\n")
        assert repr(bad)[1:-1] in out.getvalue()
        assert out.getvalue().count("\n") >= 4
