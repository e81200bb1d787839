"""What searching brought: trial 0 and the best configurations, confirmed with the seeds of the winner, and apart."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from raystudy.analysis import report
from raystudy.analysis.stats import holm, paired
from raystudy.data.fewshot import cut
from raystudy.errors import ConfigError, DataError
from raystudy.predictions import ELSEWHERE, Predictions
from raystudy.spec import Arm, Record, Setting
from raystudy.study.folder.best_settings import write_best_settings
from raystudy.study.folder.dev_errors import dev_error
from raystudy.study.folder.ensembles import together
from raystudy.study.folder.manifest import rows_of, write_manifest
from raystudy.study.folder.progress import progress
from raystudy.study.folder.records import Results
from raystudy.study.folder.report_files import write_report
from raystudy.study.study_run import StudyRun
from raystudy.tasks import load
from raystudy.train import load_tasks
from study.fakes import Fake, outcome, plan, undrawn

K12 = Setting(shots=12)
TARGET = "planted/target"
PARTS = {
    "methods": "[single_task, meta_dtl, majority]",
    "search": "{trials: 4, generation: 2, seeds: 2, shots: 12}",
    "shots": "[12]",
}


def finished(folder: Path, **replaced: str) -> StudyRun:
    study_run = StudyRun(plan(folder, **{**PARTS, **replaced}), Results(folder / "out"))
    study_run.open()
    study_run.run_local(Fake())
    return study_run


def report_of(study_run: StudyRun) -> Any:
    write_manifest(study_run, {})
    with patch.object(report, "draw", undrawn):  # none is looked at here
        path = write_report(study_run.results.folder)
    return json.loads(path.with_name("report.json").read_text())


def test_trial_0_is_confirmed_with_the_seeds_of_the_winner_wherever_they_differ(tmp_path: Path) -> None:
    study_run = finished(tmp_path)
    study_plan, searches = study_run.plan, study_run.searches
    main, beside = study_plan.confirm(searches), study_plan.beside(searches)
    differing = {a for a in searches if study_plan.settings_of(a, TARGET, searches) != study_plan.reference(a.variant)}
    assert differing
    assert {(s.arm, s.seed) for s in beside} == {(a, seed) for a in differing for seed in range(3)}
    for s in beside:
        assert s.settings == study_plan.reference(s.variant) and s.phase == "confirm"
        (mine,) = (m for m in main if (m.arm, m.seed) == (s.arm, s.seed))
        # the same question in all but the settings: the pair sees the same draw
        assert {**s.to_json(), "settings": 0} == {**mine.to_json(), "settings": 0}
    assert study_run.complete and {s.id for s in beside} <= study_run.records.keys()


def test_the_cells_of_trial_0_are_known_before_the_search_and_are_the_winners_where_it_wins(tmp_path: Path) -> None:
    study_plan = plan(tmp_path, **PARTS)
    early = {s.id for s in study_plan.beside(study_plan.searches())}
    study_run = finished(tmp_path)
    late = {s.id for s in study_run.confirm_cells()}
    assert early and early <= late
    assert len(late) == len(study_run.confirm_cells())
    assert study_plan.preview["cells"]["meta_dtl default"] == study_plan.preview["cells"]["meta_dtl confirm"] == 3


def test_without_default_nothing_is_trained_beside_the_winner(tmp_path: Path) -> None:
    study_run = finished(tmp_path, report="{seeds: 3, default: false}")
    assert study_run.plan.beside(study_run.searches) == []
    told = report_of(study_run)
    assert told["gains"] == []
    assert "on test is not known" in told["words"]["search_gain"][0]["rest"]


def test_the_table_of_what_searching_brought_is_the_paired_difference_of_the_records(tmp_path: Path) -> None:
    study_run = finished(tmp_path)
    told = report_of(study_run)
    records = study_run.records.values()
    p_values = []
    for gain in told["gains"]:
        arm = Arm(gain["variant"], K12)
        reference = study_run.plan.reference(arm.variant)
        by_seed: dict[bool, dict[int, float]] = {True: {}, False: {}}
        for r in records:
            if r.spec.arm == arm and r.spec.phase == "confirm":
                by_seed[r.spec.settings == reference][r.spec.seed] = r.metrics["test"]["accuracy"]
        assert gain["same"] == (not by_seed[False])
        if gain["same"]:
            continue
        expected = paired([by_seed[False][s] for s in range(3)], [by_seed[True][s] for s in range(3)])
        assert gain["pair"]["mean"] == pytest.approx(expected.mean) and gain["pair"]["n"] == 3
        assert gain["passes"] == sum(r.total_passes for r in records if r.spec.arm == arm and r.spec.phase == "search")
        p_values.append((expected.p, gain["holm_p"]))
    assert {g["variant"] for g in told["gains"]} == {"single_task", "meta_dtl"}
    np.testing.assert_allclose([p for _, p in p_values], holm([p for p, _ in p_values]))


def test_it_is_in_no_other_table_and_no_other_family(tmp_path: Path) -> None:
    """All that the report says elsewhere is what it says of the same records without trial 0's."""
    with_default = report_of(finished(tmp_path))
    (tmp_path / "b").mkdir()
    without = report_of(finished(tmp_path / "b", report="{seeds: 3, default: false}"))
    for part in ("scores", "comparisons", "completeness", "costs", "searches"):
        assert with_default[part] == without[part], part
    assert with_default["words"]["verdict"] == without["words"]["verdict"]
    assert {r["phase"] for r in with_default["runs"]} == {"confirm", "search", "beside"}
    assert [r for r in with_default["runs"] if r["phase"] != "beside"] == without["runs"]


# -- several configurations together -----------------------------------------------------------------------------------


def test_the_best_configurations_are_confirmed_and_scored_together(tmp_path: Path) -> None:
    study_run = finished(tmp_path, confirm="{top: 3}")
    arm = Arm("meta_dtl", K12)
    best = study_run.plan.best_settings(arm, TARGET, study_run.searches)
    assert len(best) == 3 and best[0] == study_run.plan.settings_of(arm, TARGET, study_run.searches)
    ranked = study_run.searches[arm].rankings()[TARGET][:3]
    assert best == [study_run.searches[arm].configurations[n].settings for n in ranked]
    cells = study_run.plan.members(study_run.searches)[arm, TARGET]
    assert [[s.id in study_run.records for s in of_seed] for of_seed in cells] == [[True] * 3] * 3


def probabilities(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def test_probabilities_are_averaged_by_hand() -> None:
    task = load("planted/target", options={"n_train": 12, "n_dev": 6, "n_test": 6})
    a, b, c = task.labels
    one = Predictions((a, b), (a, b), probabilities([0.5, 0.3, 0.2], [0.1, 0.6, 0.3]))
    two = Predictions((a, b), (b, c), probabilities([0.1, 0.7, 0.2], [0.3, 0.0, 0.7]))
    both = together(task, [one, two])
    assert both.pred == (b, c) and both.gold == (a, b)
    np.testing.assert_allclose(both.probabilities, [[0.3, 0.5, 0.2], [0.2, 0.3, 0.5]], atol=1e-6)
    assert together(task, [one]).pred == one.pred
    # a class of another task is the answer where more than half gave one
    away = Predictions((a,), (ELSEWHERE,), probabilities([0.2, 0.1, 0.1, 0.6]))
    near = Predictions((a,), (a,), probabilities([0.8, 0.1, 0.1]))
    assert together(task, [away, away, near]).pred == (ELSEWHERE,)
    assert together(task, [away, near]).pred == (a,)


def test_numbers_are_averaged_and_tags_are_voted() -> None:
    numbers = SimpleNamespace(kind="regression")
    assert together(numbers, [Predictions((1.0, 2.0), p) for p in ((1.0, 4.0), (2.0, 2.0))]).pred == (1.5, 3.0)
    tags = SimpleNamespace(kind="tagging")
    x = Predictions((("O", "B"),), (("O", "B"),))
    y = Predictions((("O", "B"),), (("B", "O"),))
    z = Predictions((("O", "B"),), (("O", "O"),))
    assert together(tags, [x, y, z]).pred == (("O", "O"),)
    assert together(tags, [y, x]).pred == (("B", "O"),)  # of equals, the better one's


def test_predictions_come_back_from_the_folder(tmp_path: Path) -> None:
    study_run = finished(tmp_path)
    for key, r in study_run.records.items():
        split = "test" if r.spec.phase == "confirm" else "dev"
        read = study_run.results.predictions(key, "classification", split)
        made = outcome(r.spec).predictions[split]
        assert read is not None and (read.gold, read.pred) == (made.gold, made.pred)
    assert study_run.results.predictions("nowhere", "classification") is None


# -- on what was chosen ------------------------------------------------------------------------------------------------


def test_the_error_of_a_dev_score(tmp_path: Path) -> None:
    study_run = finished(tmp_path)
    task = study_run.plan.tasks[TARGET]
    record: Record = next(r for r in study_run.records.values() if r.spec.phase == "search")
    p = (12 * record.metrics["dev"]["accuracy"] + 1) / 14
    assert dev_error(record, task, study_run.results) == pytest.approx((p * (1 - p) / 12) ** 0.5)
    told = report_of(study_run)
    for search in told["searches"]:
        assert search["dev_examples"] == 12
        assert search["error"] > 0
        dev = [t["dev"] for t in search["trials"]]
        assert search["within"] == sum(d >= max(dev) - search["error"] - 1e-12 for d in dev)
        assert search["tied"] == sum(abs(d - max(dev)) < 1e-12 for d in dev)
    assert "12 dev examples per search seed" in told["words"]["selection"][0]["rest"]


def test_the_winning_settings_say_on_what_they_were_chosen(tmp_path: Path) -> None:
    study_run = finished(tmp_path)
    write_best_settings(tmp_path / "best", study_run.plan, study_run.searches, rows_of(study_run))
    text = (tmp_path / "best" / f"{Arm('meta_dtl', K12).stem}.yaml").read_text()
    assert text.startswith("# planted/target: chosen on 12 dev examples per search seed")
    assert "standard error" in text and "of 4 complete trials are within it" in text


def test_the_plan_says_on_how_many_examples_a_search_chooses(tmp_path: Path) -> None:
    (line,) = plan(tmp_path, **PARTS).selection_lines
    assert line == (
        "planted/target at k=12: 12 dev examples of the split's 30 choose, per search seed (2 seeds): a standard error "
        "of up to 10.2 points, within which trials cannot be told apart; `dev: 30` would leave 6.5"
    )
    (line,) = plan(tmp_path, **PARTS, dev="all").selection_lines
    assert line == (
        "planted/target at k=12: 30 dev examples choose, per search seed (2 seeds): a standard error of up to 9.1 "
        "points"
    )


def test_a_number_of_dev_examples(tmp_path: Path) -> None:
    """So many, balanced, nested, of a target alone; refused where there are not as many."""
    study_plan = plan(tmp_path, **PARTS, dev="21")
    task = study_plan.tasks[TARGET]
    (spec, *_) = study_plan.confirm({})
    assert spec.dev == 21 and Record.from_json(outcome(spec).record.to_json()).spec == spec
    dev = cut(task, K12, 5, 21).splits["dev"]
    assert sorted(Counter(e.label for e in dev).values()) == [7, 7, 7]
    assert {e.text for e in cut(task, K12, 5).splits["dev"]} <= {e.text for e in dev}
    assert cut(task, Setting(), 5, 21).splits["dev"] == dev and len(cut(task, Setting(), 5, 21).splits["train"]) == 60
    loaded = load_tasks(replace(spec, scope="suite"), None)
    assert {name: len(t.splits["dev"]) for name, t in loaded.items()} == {TARGET: 21, "planted/source": 12}
    for dev_size, text in (("31", "dev = 31 examples were asked for, but dev holds 30"), ("2", "number of classes")):
        with pytest.raises(DataError, match=text) as caught:
            plan(tmp_path, **PARTS, dev=dev_size).sizes  # noqa: B018
        assert caught.value.problems[0].path == "dev"
    with pytest.raises(ConfigError, match="must be like_train, all, or a number of examples above 0, but got 0"):
        plan(tmp_path, **PARTS, dev="0")


def test_a_folder_of_before_still_opens(tmp_path: Path) -> None:
    """Its manifest knows nothing of spaces, of errors, or of what is trained beside the winner."""
    study_run = finished(tmp_path, report="{seeds: 3, default: false}")
    write_manifest(study_run, {})
    path = study_run.results.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for key in ("beside", "default", "ensembles", "spaces", "recipes"):
        del manifest[key]
    for row in manifest["search_rows"]:
        del row["dev_examples"], row["error"]
    del manifest["study"]["confirm"], manifest["study"]["report"]["default"]
    for key in ("space", "across"):
        del manifest["study"]["search"][key]
    path.write_text(json.dumps(manifest))
    with patch.object(report, "draw", undrawn):
        text = write_report(study_run.results.folder).read_text()
    assert "What searching brought on test is not known" in text and "### Across methods" not in text
    assert progress(study_run.results).finished
