"""A report that opens with its exhibit, written from the files of a results folder alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from analysis.test_html import Page, self_contained
from study.fakes import Fake
from typer.testing import CliRunner

from raystudy import __main__ as commands
from raystudy import exhibits
from raystudy.spec import Places
from raystudy.study.folder.manifest import write_manifest
from raystudy.study.folder.records import Results
from raystudy.study.folder.report_files import write_report
from raystudy.study.plan import Plan
from raystudy.study.study_run import StudyRun

KEPT = {"exhibit": "mft_fig4", "scale": "smoke"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run of the exhibit leaves, whose cells cost nothing."""
    study = exhibits.find(KEPT["exhibit"]).study("smoke")
    assert study is not None
    results = Results(tmp_path_factory.mktemp("results") / study.name)
    study_run = StudyRun(Plan(study, Places(plm="tiny")), results)
    study_run.open()
    study_run.run_local(Fake())
    write_manifest(study_run, {"model": "tiny 00: two layers"}, KEPT)
    return results.folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted((folder / "report").rglob("*")) if p.is_file()}


def test_the_report_opens_with_the_exhibit(folder: Path) -> None:
    path = write_report(folder, exhibits.page_renderer(KEPT))
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE)[:2] == ["Figure 4 of MFT, scale smoke", "Verdict"]
    page = path.with_name("report.html").read_text(encoding="utf-8")
    assert re.findall(r'<section id="(\w+)"', page)[:2] == ["exhibit", "verdict"]
    self_contained(page)
    tables = Page(page).tables
    assert [row[0] for row in tables[0][1:7]] == [f"λ = {x}" for x in ("0", "0.1", "0.2", "0.3", "0.4", "0.5")]
    for name in re.findall(r"\]\((figures/.+?)\)", text):
        assert (path.parent / name).exists()
    own = {n for n in files(folder) if "fig4" in n}
    assert own == {
        *(f"report/tables/fig4_planted_domains.{form}" for form in ("csv", "md", "tex")),
        *(f"report/figures/fig4.{form}" for form in ("svg", "pdf")),
    }


def test_the_command_builds_the_same_report_from_the_folder(folder: Path) -> None:
    write_report(folder, exhibits.page_renderer(KEPT))
    before = files(folder)
    for p in (folder / "report").rglob("*.*"):
        p.unlink()
    done = CliRunner().invoke(commands.app, ["report", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["report"] == str(folder / "report" / "report.md")
    assert files(folder) == before


def test_a_study_that_is_no_exhibit_has_no_such_section(folder: Path) -> None:
    text = write_report(folder).read_text(encoding="utf-8")
    assert "Figure 4" not in re.findall(r"^## (.+)$", text, re.MULTILINE)
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert 'id="exhibit"' not in page and "#exhibit" not in page


def test_an_exhibit_alone_is_a_page_of_its_own(tmp_path: Path) -> None:
    path = exhibits.run_untrained("mft_table1", "smoke", Places(), tmp_path)
    page = path.with_name("report.html").read_text(encoding="utf-8")
    self_contained(page)
    assert re.findall(r'<section id="(\w+)"', page) == ["exhibit", "provenance"]
    assert "planted/domain_1" in page and "<code>" not in page.split("</style>")[0]
