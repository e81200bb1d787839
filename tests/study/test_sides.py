"""Two studies, or two methods of one, against each other: a report's words, and what differs in the settings."""

from __future__ import annotations

import json
import shutil
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import raystudy.__main__ as commands
from raystudy.analysis.compute import compute
from raystudy.analysis.side_by_side import SideBySide, words
from raystudy.errors import ConfigError
from raystudy.study.folder.manifest import write_manifest
from raystudy.study.folder.records import Results
from raystudy.study.folder.report_files import example_differences
from raystudy.study.folder.sides import compare_methods, compare_studies
from raystudy.study.study_run import StudyRun
from raystudy.studyfile import Study
from study.fakes import Fake, plan


def ran(folder: Path, name: str, **replaced: str) -> Path:
    """A study that was run, in ``results/NAME`` below a folder."""
    run = StudyRun(plan(folder, name=name, **replaced), Results(folder / "results" / name))
    run.open()
    run.run_local(Fake())
    write_manifest(run, {})
    return run.results.folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ran(tmp_path_factory.mktemp("sides"), "mine")


def text(found: SideBySide) -> str:
    return "\n".join(map(str, words(found)))


def test_a_method_against_the_baseline_is_the_report_s_comparison(folder: Path) -> None:
    results = Results(folder)
    manifest, cells = results.manifest(), results.scan()
    study, records = Study.model_validate(manifest["study"]), [cells[k] for k in manifest["confirm"]]
    report = compute(study, records, examples=example_differences(records, study, results))
    of = {(c.target, c.setting): c for c in report.comparisons if c.variant == "meta_dtl"}
    found = compare_methods(folder, "meta_dtl", "single_task")
    assert len(found.pairs) == len(of) > 0
    for p in found.pairs:
        c = of[p.target, p.setting]
        assert (p.pair, p.examples, p.low, p.high) == (c.pair, c.examples, c.low, c.high)


def test_sides_that_change_places_change_signs(folder: Path) -> None:
    there, back = (compare_methods(folder, *m) for m in (("meta_dtl", "single_task"), ("single_task", "meta_dtl")))
    for a, b in zip(there.pairs, back.pairs, strict=True):
        assert (a.pair.mean, a.low, a.p) == pytest.approx((-b.pair.mean, -b.high, b.p))
    assert (there.passes, there.seconds) == (back.passes[::-1], back.seconds[::-1])


def test_a_study_against_itself_differs_in_nothing(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    found = compare_studies(folder, copy)
    assert found.pairs and found.differences == () and (found.first, found.second) == (str(folder), str(copy))
    assert all(p.pair.mean == 0 and p.verdict.word in ("equivalent", "undecided") for p in found.pairs)
    assert {p.method for p in found.pairs} >= {"single-task", "Meta-DTL"}
    assert not any("majority" in p.method for p in found.pairs)  # floors are passed over


def test_what_differs_is_named_and_what_one_lacks(folder: Path, tmp_path: Path) -> None:
    other = ran(tmp_path, "other", methods="[single_task, multi_task]", settings="{max_updates: 7}")
    found = compare_studies(folder, other)
    (updates,) = (d for d in found.differences if d.what == "max_updates")
    assert updates.second == "7" != updates.first
    rates = [d.what for d in found.differences if d.what.startswith("lr")]
    assert all(what in ("lr (single-task)", "lr (multi-task)") for what in rates)  # what a search chose of each
    assert all("Meta-DTL" not in p.method for p in found.pairs)
    (alone,) = (line for line in text(found).splitlines() if line.startswith("Only in mine: "))
    assert "Meta-DTL on planted/target" in alone and "multi-task" not in alone


def test_other_test_examples_are_not_compared(folder: Path, tmp_path: Path) -> None:
    copy = Results(shutil.copytree(folder, tmp_path / "copy"))
    manifest, records = copy.manifest(), copy.scan()
    ids = []
    for old in (records[k] for k in manifest["confirm"]):
        spec = replace(old.spec, data={**old.spec.data, old.spec.target: "f" * 16})
        cell = copy.cells / spec.id
        cell.mkdir()
        (cell / "record.json").write_text(json.dumps(replace(old, spec=spec).to_json()))
        ids.append(spec.id)
    copy.write_manifest({**manifest, "confirm": ids})
    found = compare_studies(folder, copy.folder)
    assert found.pairs == () and found.other_tests
    assert "Nothing can be compared." in text(found) and "test examples or the metric are others" in text(found)


def test_mistakes_are_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"meta_dtll.*did you mean"):
        compare_methods(folder, "meta_dtll", "single_task")
    other = ran(tmp_path, "other", methods="[multi_task]", report="{seeds: 1, baseline: multi_task}")
    alone = ran(tmp_path, "alone", methods="[meta_dtl]", report="{seeds: 1, baseline: meta_dtl}")
    with pytest.raises(ConfigError, match=r"no method in common: .*other has multi_task; .*alone has meta_dtl"):
        compare_studies(other, alone)
    with pytest.raises(ConfigError, match="no study was run"):
        compare_studies(folder, tmp_path / "nowhere")


def test_the_command_prints_words_markdown_and_json(folder: Path) -> None:
    run = CliRunner().invoke
    with chdir(folder.parents[1]):
        shown = run(commands.app, ["compare", "mine", "meta_dtl", "single_task"])
        marked = run(commands.app, ["compare", "mine", "meta_dtl", "single_task", "--markdown"])
        told = run(commands.app, ["compare", "mine", "meta_dtl", "single_task", "--json"])
        both = run(commands.app, ["compare", "mine", "mine", "--json"])
    assert shown.exit_code == marked.exit_code == told.exit_code == both.exit_code == 0
    numbers = json.loads(told.stdout)
    assert numbers["first"] == "Meta-DTL" and {p["verdict"]["word"] for p in numbers["pairs"]} <= {
        "better", "worse", "equivalent", "undecided"}  # fmt: skip
    assert marked.stdout.startswith("# Meta-DTL against single-task\n") and "| target |" in marked.stdout
    assert "planted/target" in shown.stdout and "What differs in the settings." in shown.stdout
    assert numbers["words"][0].split(":")[0] in shown.stdout.replace("**", "")
