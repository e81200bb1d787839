"""The tidy frame: what it keeps, its order, and that it survives a round trip through CSV."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from raystudy.analysis import frame as f


def test_columns_and_rows(make):
    frame = f.tidy([make("single_task", seed=3, test=0.75, dev=0.5)], "mine")
    assert tuple(frame.columns) == f.COLUMNS
    dev, test = frame.to_dict("records")
    assert (dev["split"], dev["value"], test["split"], test["value"]) == ("dev", 0.5, "test", 0.75)
    assert test["suite"] == "polarity+stars" and test["setting"] == "k=20" and test["seed"] == 3
    assert test["n_test"] == 200 and test["seconds"] == 1.75 and len(test["cell"]) == 16


def test_only_finished_confirm_cells(make):
    given = [make("single_task", phase="search"), make("multi_task", error="boom"), make("meta_dtl")]
    assert set(f.tidy(given, "mine")["variant"]) == {"meta_dtl"}


def test_nothing_finished_still_has_columns_and_types():
    frame = f.tidy([], "mine")
    assert tuple(frame.columns) == f.COLUMNS and frame.empty
    assert frame["value"].dtype == "float64" and frame["seed"].dtype == "int64"


def test_order_of_records_does_not_matter(records, tmp_path: Path):
    shuffled = records[:]
    random.Random(1).shuffle(shuffled)
    f.write_csv(f.tidy(records, "mine"), tmp_path / "a.csv")
    f.write_csv(f.tidy(shuffled, "mine"), tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_settings_sort_by_size_not_by_text(make):
    frame = f.tidy([make("single_task", k=k) for k in (100, 20, None, 5)], "mine")
    assert list(frame["setting"].unique()) == ["k=5", "k=20", "k=100", "all"]


def test_csv_gives_back_the_same_numbers(make, tmp_path: Path):
    frame = f.tidy([make("single_task", seed=i, test=1 / (i + 3)) for i in range(20)], "mine")
    f.write_csv(frame, tmp_path / "r.csv")
    back = pd.read_csv(tmp_path / "r.csv", dtype={"cell": str})
    assert back["value"].tolist() == frame["value"].tolist()
    assert repr(1 / 3) in (tmp_path / "r.csv").read_text()


def test_a_cell_given_twice_is_refused(make):
    with pytest.raises(ValueError, match="given once"):
        f.tidy([make("single_task"), make("single_task")], "mine")


def test_two_answers_to_one_question_are_refused(make):
    frame = f.tidy([make("single_task"), make("single_task", settings={"lr": 1e-5})], "mine")
    with pytest.raises(ValueError, match="two finished cells for seed 0"):
        f.scores_by_seed(frame, {"polarity": "accuracy"})


def test_scores_are_those_of_the_primary_metric_on_test(make):
    frame = f.tidy([make("single_task", seed=s, test=0.1 * s, dev=0.9) for s in (2, 1)], "mine")
    assert f.scores_by_seed(frame, {"polarity": "accuracy"}) == {("single_task", "polarity", "k=20"): {1: 0.1, 2: 0.2}}
    assert f.scores_by_seed(frame, {"polarity": "mcc"}) == {}


def test_primary_metric_comes_from_the_facts(make):
    assert f.primary_metrics([make("single_task", metric="mcc"), make("meta_dtl", "stars")]) == {
        "polarity": "mcc",
        "stars": "accuracy",
    }
    with pytest.raises(ValueError, match="must name one metric"):
        f.primary_metrics([make("single_task", metric="mcc"), make("single_task", seed=1)])


def test_failed_cells_are_counted_in_the_confirm_phase_only(make):
    given = [make("meta_dtl", seed=s, error="boom") for s in (0, 1)] + [make("meta_dtl", phase="search", error="boom")]
    assert f.failed_cells(given) == {("meta_dtl", "polarity", "k=20"): 2}


def test_a_report_needs_neither_torch_nor_ray():
    code = "import sys, raystudy.analysis.report; print({'torch', 'ray', 'transformers', 'optuna'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
