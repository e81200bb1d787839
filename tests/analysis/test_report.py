"""The whole report: order of its parts, words, determinism, and studies that lack something."""

from __future__ import annotations

import dataclasses
import random
import re
from pathlib import Path

import pytest

from raystudy.analysis import report
from raystudy.analysis.compute import compute
from raystudy.analysis.numbers import Completeness
from raystudy.analysis.tables import SearchRow
from raystudy.spec import Arm, Setting
from raystudy.studyfile import ReportPlan, Study

FACTS = {"commit": "abc123", "study": "0f0f", "command": "python -m raystudy.run mine"}
NOTE = "minilm is uncased, 6 layers."


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def words(records, study: Study) -> str:
    return "\n".join(map(str, compute(study, records).words["verdict"]))


def rows() -> list[SearchRow]:
    arm = Arm("meta_dtl", Setting(shots=20))
    return [SearchRow(arm, "polarity", i, {"lr": 5e-5 * (i + 1)}, 0.5 + i / 50, "complete", i == 2) for i in range(3)]


def test_files_and_order_of_sections(records, study, tmp_path: Path):
    path = report.build(study, records, rows(), tmp_path, facts=FACTS, notes=[NOTE])
    assert path == tmp_path / "report" / "report.md"
    assert set(files(tmp_path)) == {
        *(f"report/{name}" for name in ("report.html", "report.json", "report.md", "results.csv")),
        *(
            f"report/tables/{t}.{form}"
            for t in ("main", "comparison", "answers", "search", "slices", "cost", "data")
            for form in ("csv", "md", "tex")
        ),
        *(f"report/tables/{t}.csv" for t in ("cells", "trials")),
        *(
            f"report/figures/{kind}_polarity.{form}"
            for kind in ("differences", "few_shot", "search")
            for form in ("svg", "pdf")
        ),
        *(f"report/figures/slices_meta_dtl_k20.{form}" for form in ("svg", "pdf")),
    }
    text = path.read_text()
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# mine",
        "## Verdict",
        "## Completeness",
        "## Scores",
        "## Comparison with the baseline",
        "## Few-shot curves",
        "## Significance",
        "## Search",
        "### What searching brought",
        "### Along each setting",
        "## Cost",
        "## Failures",
        "## Provenance",
        "### Every cell",
    ]
    assert "3 methods and 1 floor on 1 target in 2 settings, 5 seeds each." in text
    for name in re.findall(r"\]\((figures/.+?)\)", text):
        assert (path.parent / name).exists()
    assert "](figures/few_shot_polarity.svg)" in text
    assert "- commit: abc123" in text and NOTE in text and "lr 5e-05 → 0.00015" in text


def test_verdict_golden(records, study):
    assert words(records, study) == (
        """\
Meta-DTL beats single-task on 2 of 2 settings: polarity (k=20) by 7.8 points (95 % interval +7.3 to +8.3) \
and polarity (k=50) by 7.3 points (95 % interval +6.1 to +8.5).
Multi-task does worse than single-task on 1 of 2 settings: polarity (k=20) by 19.9 points \
(95 % interval -20.7 to -19.0).
Equivalent to single-task within 1 point: multi-task on polarity (k=50).
No predictions could be compared for 4 of 4 verdicts: they rest on seeds alone, and hold for these test examples.
Below a floor: multi-task on polarity (k=20) (44.6, majority class 50.0).
Negative transfer (mean below single-task): multi-task hurts on 2 of 2 settings (1 beyond doubt)."""
    )


def test_three_seeds_never_say_better(records, study):
    text = words([r for r in records if r.spec.seed < 3], study)
    assert "No method is shown to beat single-task." in text and " beats " not in text and "does worse" not in text
    assert "Undecided: 4 of 4 comparisons with single-task." in text and "about 5 seeds for Meta-DTL" in text
    assert "3 seeds alone decide nothing: a verdict on seeds takes at least 5." in text


def test_one_seed_says_why_there_are_no_intervals(records, study, tmp_path: Path):
    one = [r for r in records if r.spec.seed == 0]
    text = report.build(study, one, [], tmp_path, facts={}).read_text()
    assert "One seed has no spread, so there are no intervals and no tests, and nothing can be decided." in text
    assert "A mean over one seed has no interval" in text and " ± 0" not in text and " nan" not in text
    assert "8 of 40 planned cells are done; none failed, 32 are missing." in text
    assert "Nothing was searched" in text


def test_one_method_only(make, tmp_path: Path):
    study = Study(name="x", tasks=("polarity",), shots=(20,), methods=("single_task",), report=ReportPlan(seeds=1))
    text = report.build(study, [make("single_task")], [], tmp_path, facts={}).read_text()
    assert "1 method on 1 target in 1 setting, 1 seed each." in text
    assert "Only the baseline, single-task, is part of the study, so there is nothing to compare." in text
    assert "1 of 1 planned cell is done; none failed, none is missing." in text
    assert "a curve takes more than one number of shots" in text and "The study has no floors" in text


def test_baseline_and_floor_only_or_no_baseline(make):
    study = Study(name="x", tasks=("polarity",), shots=(20,), methods=("single_task", "majority"))
    assert "Only single-task and floors" in words([make("single_task")], study)
    study = Study(name="x", tasks=("polarity",), shots=(20,), methods=("meta_dtl",))
    assert "The baseline single_task is not part of the study" in words([make("meta_dtl")], study)


def test_nothing_finished(make, study, tmp_path: Path):
    for i, given in enumerate(([], [make("meta_dtl", error="Traceback ...\nValueError: bad `x`\n")])):
        text = report.build(study, given, [], tmp_path / str(i), facts={}).read_text()
        assert "No cell has finished, so there is nothing to say yet." in text and " nan" not in text
        assert "0 of 40 planned cells are done" in text
    assert "0 of 40 planned cells are done; 1 failed, 39 are missing." in text
    assert "- 1 cell, `` ValueError: bad `x` ``: meta_dtl polarity k=20 seed 0 (confirm)" in text


def test_no_setting_with_shots(make, tmp_path: Path):
    study = Study(name="x", tasks=("polarity",), methods=("single_task", "meta_dtl"))
    given = [make(v, seed=s, k=None, test=0.5 + 0.1 * s) for v in ("single_task", "meta_dtl") for s in range(2)]
    text = report.build(study, given, [], tmp_path, facts={}).read_text()
    assert "None: the study has no few-shot settings." in text and "polarity (all data)" in text
    assert {p.stem for p in (tmp_path / "report" / "figures").iterdir()} == {"differences_polarity"}


def test_same_bytes_in_any_order(records, study, make, tmp_path: Path):
    given = [*records, *(make("meta_dtl", seed=s, phase="search", error=f"E{s % 2}") for s in range(4))]
    shuffled, searched = given[:], rows()
    random.Random(5).shuffle(shuffled)
    random.Random(6).shuffle(searched)
    report.build(study, given, rows(), tmp_path, facts=FACTS)
    first = files(tmp_path)
    for name in first:  # what another run left is written anew, all of it
        (tmp_path / name).write_bytes(b"old")
    report.build(study, shuffled, searched, tmp_path, facts=FACTS)
    assert files(tmp_path) == first


def test_failures_are_grouped_by_cause_most_frequent_first(make, study, tmp_path: Path):
    given = [make("meta_dtl", seed=s, error="Traceback\nRuntimeError: NaN loss") for s in range(12)]
    given.append(make("single_task", error=""))
    given.append(make("multi_task", error="KeyError: 'a'"))
    text = report.build(study, given, [], tmp_path, facts={}).read_text()
    failures = text.split("## Failures")[1].split("##")[0].strip().splitlines()
    assert failures[:2] == ["13 cells failed, for 2 reasons; they are in no mean.", ""]
    assert failures[2].startswith("- 12 cells, `RuntimeError: NaN loss`:") and "; and 7 more" in failures[2]
    assert failures[3].startswith("- 1 cell, `KeyError: 'a'`: multi_task")


def test_targets_that_differ_in_punctuation_get_figures_of_their_own(make, tmp_path: Path):
    targets = ("a/b", "a b")
    study = Study(name="x", tasks=targets, shots=(5, 10), methods=("single_task",))
    given = [make("single_task", target, k=k, suite=targets) for target in targets for k in study.shots]
    report.build(study, given, [], tmp_path, facts={})
    assert {p.name for p in (tmp_path / "report/figures").glob("*.svg")} == {"few_shot_a_b.svg", "few_shot_a_b_.svg"}


def test_settings_and_targets_are_counted_in_words(make):
    def said(targets, shots):
        study = Study(name="x", tasks=targets, shots=shots, methods=("single_task", "multi_task"))
        given = [
            make(v, target, s, 0.6 - 0.1 * (v == "multi_task") + 0.001 * s, k=k)
            for v in ("single_task", "multi_task")
            for target in targets
            for k in shots
            for s in range(2)
        ]
        return words(given, study)

    assert "multi-task hurts on 1 of 1 target." in said(("polarity",), (20,))
    assert "multi-task hurts on 2 of 2 targets." in said(("polarity", "stars"), (20,))
    assert "hurts on 4 of 4 combinations of target and setting." in said(("polarity", "stars"), (20, 50))


def test_completeness_counts_cells_not_runs(make):
    study = Study(
        name="x", tasks=("polarity",), shots=(20,), methods=("single_task", "meta_dtl"), report=ReportPlan(seeds=2)
    )
    given = [make("single_task", seed=s) for s in range(3)] + [make("meta_dtl", seed=0, error="boom")]
    assert compute(study, given).completeness == Completeness(planned=4, done=2, failed=1, missing=1)


def test_long_lists_are_cut_and_the_nearest_decision_comes_first(records, study):
    rows = study.model_copy(
        update={"methods": (*study.methods, "meta_dtl_alpha", "meta_dtl_beta", "single_task_matched")}
    )
    extra = [
        dataclasses.replace(r, spec=dataclasses.replace(r.spec, variant=v))
        for r in records
        for v in ("meta_dtl_alpha", "meta_dtl_beta", "single_task_matched")
        if r.spec.variant == "multi_task"
    ]
    text = words([r for r in records + extra if r.spec.seed < 3], rows)
    (sentence,) = (line for line in text.splitlines() if line.startswith("Undecided"))
    assert sentence.endswith("; and 5 more.") and sentence.count("about") == 5 and "Undecided: 10 of 10" in sentence
    needed = [int(n) for n in re.findall(r"about (\d+) seeds", sentence)]
    assert needed == sorted(needed)


def test_no_harm_is_said_too(make):
    study = Study(name="x", tasks=("polarity",), shots=(20,), methods=("single_task", "meta_dtl"))
    given = [make(v, seed=s, test=0.5 + 0.1 * (v == "meta_dtl")) for v in ("single_task", "meta_dtl") for s in range(5)]
    assert "Negative transfer: none, no mean is below single-task." in words(given, study)


def test_harm_is_that_of_methods_that_transfer(make):
    """A control, and another way of training on the target alone, have nothing that they could transfer."""
    names = ("single_task", "single_task[epochs=5]", "single_task_matched", "meta_dtl")
    study = Study(name="x", tasks=("polarity",), shots=(20,), methods=names)
    given = [make(v, seed=s, test=0.6 - (0.1 + s / 1000) * (v != names[0])) for v in names for s in range(5)]
    (line,) = (line for line in words(given, study).splitlines() if line.startswith("Negative transfer"))
    assert line == "Negative transfer (mean below single-task): Meta-DTL hurts on 1 of 1 target (1 beyond doubt)."
    alone = study.model_copy(update={"methods": names[:3]})
    said = words([r for r in given if r.spec.variant != "meta_dtl"], alone)
    assert "does worse than single-task" in said
    assert "Negative transfer" not in said


def test_the_settings_of_a_study_are_not_called_the_papers(make):
    base = {"name": "x", "tasks": ("polarity",), "methods": ("single_task", "meta_dtl")}
    given = [make(v) for v in base["methods"]]

    def said(**more: object) -> str:
        return str(compute(Study(**base, **more), given).words["search"][0])

    assert said() == "Nothing was searched: every method ran with the paper's settings."
    assert said(settings={"max_updates": 70}) == (
        "Nothing was searched: every method ran with the paper's settings, but for what the study sets: "
        "max_updates 70 (papers: 0)."
    )


def test_two_answers_to_one_question_are_refused(make, study, tmp_path: Path):
    twice = [make("single_task"), make("single_task", settings={"lr": 1e-5})]
    with pytest.raises(ValueError, match="two finished cells"):
        report.build(study, twice, [], tmp_path, facts={})
    assert not (tmp_path / "report").exists()
