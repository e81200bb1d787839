"""What was answered, beside what is right: shares, distance and the methods that always say the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from analysis.conftest import Make

from raystudy.analysis.compute import compute, design_of
from raystudy.analysis.markdown import to_markdown
from raystudy.analysis.report import build
from raystudy.analysis.sections.answers import answers_table
from raystudy.analysis.sections.answers import compute as answers_of
from raystudy.spec import Record
from raystudy.studyfile import Study

GOLD = {"bad": 40, "fair": 40, "good": 20}


@pytest.fixture
def study() -> Study:
    return Study(
        name="mine", tasks=("stars", "polarity"), targets=("stars",), shots=(20,), methods=("majority", "xt", "metaxt")
    )


def told(record: Record, **predicted: int) -> Record:
    said = {"gold": {"dev": GOLD, "test": GOLD}, "predicted": {"dev": {"bad": 100}, "test": predicted}}
    return replace(record, facts={**record.facts, **said})


def some(make: Make) -> list[Record]:
    """XT almost always says one class, MetaXT gives every class its share in one of its two seeds."""
    return [
        told(make("majority", target="stars"), bad=100),
        told(make("xt", target="stars"), bad=95, fair=5, good=0),
        told(make("xt", target="stars", seed=1), bad=93, fair=7, good=0),
        told(make("metaxt", target="stars"), bad=20, fair=40, good=40),
        told(make("metaxt", target="stars", seed=1), **GOLD),
    ]


def test_golden(study: Study, make: Make) -> None:
    """By hand: 95 % of one class leave 5 % to others that are 60 %, less than a tenth; 93 % leave more than that."""
    xt, metaxt = answers_of(some(make), design_of(study))
    assert (xt.variant, xt.most, xt.same, xt.seeds) == ("xt", "bad", 1, (0, 1))
    assert (xt.share.mean, xt.gold) == (pytest.approx(0.94), pytest.approx(0.4))
    assert xt.distance.mean == pytest.approx((0.55 + 0.53) / 2)
    assert (metaxt.most, metaxt.same, metaxt.distance.mean) == ("fair", 0, pytest.approx(0.1))
    row = to_markdown(answers_table([metaxt], design_of(study))).splitlines()[4]
    assert row == "| MetaXT | stars | k=20 | fair | 40.0 ± 0.0 (2) | 40.0 | 10.0 ± 127.1 (2) | 0 |"


def test_the_distance_is_a_bound_on_accuracy(study: Study, make: Make) -> None:
    """Answers in other shares than the gold's are wrong for at least the distance, and may be wrong for no more."""
    pairs = [("bad", "bad")] * 20 + [("fair", "fair")] * 40 + [("good", "good")] * 20 + [("bad", "good")] * 20
    answered = {c: sum(p == c for _, p in pairs) for c in GOLD}
    (a,) = answers_of([told(make("metaxt", target="stars"), **answered)], design_of(study))
    assert 1 - sum(g == p for g, p in pairs) / len(pairs) == pytest.approx(a.distance.mean)


def test_one_answer_for_all_is_fine_where_there_is_one_class(study: Study, make: Make) -> None:
    record = make("xt", target="stars")
    said = {"gold": {"test": {"bad": 5, "good": 0}}, "predicted": {"test": {"bad": 5, "good": 0}}}
    (a,) = answers_of([replace(record, facts={**record.facts, **said})], design_of(study))
    assert (a.same, a.distance.mean) == (0, 0.0)


def test_an_answer_of_another_task_is_named(study: Study, make: Make) -> None:
    found = answers_of([told(make("xt", target="stars"), **{"": 60, "bad": 40})], design_of(study))
    assert (found[0].most, found[0].gold, found[0].distance.mean) == ("", 0.0, pytest.approx(0.6))
    assert "| a class of another task | 60.0 (1) | 0.0 |" in to_markdown(answers_table(found, design_of(study)))


def test_what_counts_are_finished_confirmed_cells_in_any_order(study: Study, make: Make) -> None:
    records = some(make)
    wanted = answers_of(records, design_of(study))
    searched = told(make("xt", target="stars", seed=1000, phase="search"), good=100)
    failed = make("xt", target="stars", seed=2, error="Broken")
    silent = make("xt", target="stars", seed=3)
    assert answers_of([silent, failed, searched, *records[::-1]], design_of(study)) == wanted
    assert answers_of([Record.from_json(r.to_json()) for r in records], design_of(study)) == wanted
    numbers = {**silent.facts, "gold": {"test": {}}, "predicted": {"test": {}}}
    assert answers_of([replace(silent, facts=numbers)], design_of(study)) == []


def test_a_report_names_who_always_says_the_same(study: Study, make: Make, tmp_path: Path) -> None:
    (said,) = compute(study, some(make)).words["answers"]
    assert str(said).startswith("Nearly always the same answer: XT on stars (k=20), 1 of 2 seeds.")
    path = build(study, some(make), [], tmp_path / "with", facts={})
    page = path.with_name("report.html").read_text(encoding="utf-8")
    assert "## Answers" in path.read_text(encoding="utf-8") and '<section id="answers">' in page
    assert (path.parent / "tables" / "answers.csv").exists()
    (said,) = compute(study, some(make)[3:]).words["answers"]
    assert str(said) == "Nowhere was nearly always the same answer given."
    path = build(study, [make("xt", target="stars")], [], tmp_path / "without", facts={})
    assert "## Answers" not in path.read_text(encoding="utf-8")
