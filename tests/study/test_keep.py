"""The weights that a study keeps are those of its best records, and their card says what they are."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cells import unchecked
from markdown_it import MarkdownIt
from scipy import stats

from raystudy.analysis.example_interval import example_interval
from raystudy.errors import ConfigError
from raystudy.metrics import metric
from raystudy.model.load import load_model
from raystudy.spec import Places, Record
from raystudy.study.folder.records import Results, dev_score
from raystudy.study.keep.card import Choice, Recipe
from raystudy.study.keep.winner import best_records, keep_model, keep_winners
from raystudy.study.pool.local import Local
from raystudy.study.store.stage_store import StageStore
from raystudy.study.study_run import StudyRun
from study.fakes import plan

METHODS = "[single_task, single_task_matched, task_combination, adapter_fusion, majority]"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyRun, Places]:
    """A small study that was really trained, in this process."""
    folder = tmp_path_factory.mktemp("study")
    of = plan(
        folder, methods=METHODS, shots="12", search="{trials: 0}", report="{seeds: 2}", settings="{max_updates: 2}"
    )
    places = Places(plm="tiny", shared=str(folder / "cache"))
    study_run = StudyRun(of, Results(folder / "results"))
    study_run.open()
    with unchecked():
        study_run.run_local(Local(places, StageStore(folder / "cache" / "stages")))
    return study_run, places


def confirmed(study_run: StudyRun, variant: str) -> Iterator[Record]:
    yield from (r for r in study_run.study_records().values() if r.spec.variant == variant)


def test_the_winners_models_answer_as_their_records(finished: tuple[StudyRun, Places], tmp_path: Path) -> None:
    study_run, places = finished
    told: list[str] = []
    keep_winners(study_run.study_records().values(), places, tmp_path, {"commit": "abc"}, told.append)
    kept = sorted(p.parent.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("raystudy.json"))
    # no control, and nothing that only says how frequent the classes are
    arms = ["adapter_fusion", "single_task", "task_combination"]
    assert kept == [f"{arm}@k=12/planted_target" for arm in arms]
    for arm, place in zip(arms, kept, strict=True):
        records = list(confirmed(study_run, arm))
        model = load_model(tmp_path / place)
        best = next(r for r in records if r.id == model.description.cell)
        assert dev_score(best) == max(filter(None, map(dev_score, records)))
        correct = study_run.results.correct_answers(best.id)
        test = study_run.plan.tasks["planted/target"].splits["test"]
        answers = model.answers(test)
        assert correct is not None
        np.testing.assert_array_equal([a.answer == e.label for a, e in zip(answers, test, strict=True)], correct)
        assert "did not come out" not in (tmp_path / place / "README.md").read_text()
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    keep_winners(study_run.study_records().values(), places, tmp_path, {})
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_equal_records_keep_the_lowest_seed(finished: tuple[StudyRun, Places]) -> None:
    records = [
        dataclasses.replace(r, metrics={"dev": {"accuracy": 0.5}, "test": {"accuracy": r.spec.seed}})
        for r in confirmed(finished[0], "single_task")
    ]
    for order in (records, records[::-1]):  # and whatever the test says
        ((_, best),) = best_records(order).items()
        assert best.spec.seed == 0


def test_another_model_in_the_place_is_not_written_over(finished: tuple[StudyRun, Places], tmp_path: Path) -> None:
    study_run, places = finished
    worst = min(confirmed(study_run, "single_task"), key=lambda r: (dev_score(r) or 0, -r.spec.seed))
    place = tmp_path / "single_task@k=12" / "planted_target"
    keep_model(worst, places, place)
    with pytest.raises(ConfigError, match=f"holds the model of cell {worst.id}"):
        keep_winners(confirmed(study_run, "single_task"), places, tmp_path, {})
    assert load_model(place).description.cell == worst.id


def test_the_card_says_what_it_is(finished: tuple[StudyRun, Places], tmp_path: Path) -> None:
    study_run, places = finished
    first, second = confirmed(study_run, "single_task")
    choice = Choice((Recipe("A | B", 0.75, 4), Recipe("C", 0.5, 1)), 2)
    kept = keep_model(first, places, tmp_path / "m", others=[second], choice=choice, facts={"commit": "abc123"})
    card = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    front, _, text = card.removeprefix("---\n").partition("---\n")
    assert "library_name: transformers" in front and "pipeline_tag: text-classification" in front
    tables = [t for t in MarkdownIt().enable("table").parse(text) if t.type == "table_open"]
    assert len(tables) == 5
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == ["How to use it", "Scores", "How it was chosen", "Recipe", "Data", "Where it comes from"]
    low, high = stats.binomtest(round(kept.outcome.record.metrics["test"]["accuracy"] * 30), 30).proportion_ci(
        method="wilson"
    )
    score = 100 * first.metrics["test"]["accuracy"]
    assert f"| test | accuracy | {score:.1f} | {100 * low:.1f} to {100 * high:.1f} | 30 |" in text
    for words in ("abc123", "2 seeds", "A \\| B", first.id, "12 labelled examples", "with the same logits"):
        assert words in text, words
    for name in first.spec.settings:
        assert f"| {name} |" in text.replace("\\_", "_"), name


def test_a_card_of_what_transformers_cannot_open_says_why(finished: tuple[StudyRun, Places], tmp_path: Path) -> None:
    study_run, places = finished
    keep_model(next(confirmed(study_run, "adapter_fusion")), places, tmp_path / "m")
    text = (tmp_path / "m" / "README.md").read_text()
    assert "adapters and their fusion act inside its layers. raystudy opens it" in text
    assert "from transformers" not in text


# ---------------------------------------------------------------------------------------------------------------------
# intervals


def test_the_interval_of_a_mean_is_that_of_its_examples() -> None:
    """Pseudo-values of a mean are its terms, so a metric that is one has the t-interval of them."""
    g = np.random.default_rng(0)
    gold = [tuple(g.integers(2, size=4).astype(str)) for _ in range(50)]
    pred = [tuple(x if g.random() < 0.7 else "x" for x in tags) for tags in gold]
    right = [np.mean([a == b for a, b in zip(x, y, strict=True)]) for x, y in zip(gold, pred, strict=True)]
    half = stats.t.ppf(0.975, 49) * np.std(right, ddof=1) / math.sqrt(50)
    mean = float(np.mean(right))
    assert example_interval("token_accuracy", gold, pred) == pytest.approx((mean - half, mean + half))


def test_many_examples_are_cheap_and_few_have_no_interval() -> None:
    g = np.random.default_rng(1)
    gold = g.integers(3, size=3000).astype(str).tolist()
    pred = [x if g.random() < 0.8 else "0" for x in gold]
    low, high = example_interval("macro_f1", gold, pred)
    assert low < metric("macro_f1")(gold, pred) < high
    assert 0.01 < high - low < 0.06
    assert all(map(math.isnan, example_interval("macro_f1", gold[:4], pred[:4])))
