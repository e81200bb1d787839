"""Tables: golden Markdown, full numbers in CSV, and what is bold, marked, counted and tested."""

from __future__ import annotations

import csv
import io
import math
import random
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests

from raystudy.analysis import tables as t
from raystudy.analysis.compute import compute
from raystudy.analysis.markdown import to_markdown
from raystudy.analysis.sections import every_cell, search
from raystudy.analysis.sections.cost import cost_table
from raystudy.analysis.sections.scores import main_table
from raystudy.analysis.stats import seeds_for_power
from raystudy.analysis.table import (
    Cell,
    Column,
    Table,
    blocks,
    cell_text,
    counted,
    listed,
    place,
    published_text,
    to_csv,
)
from raystudy.spec import Arm, Record, Setting
from raystudy.studyfile import Limits, ReportPlan, Study


def small(**changes) -> Study:
    fields = {
        "name": "mine",
        "tasks": ("polarity", "stars"),
        "targets": ("polarity",),
        "shots": (20,),
        "methods": ("majority", "single_task", "single_task_matched", "meta_dtl"),
        "report": ReportPlan(seeds=2),
    }
    return Study(**{**fields, **changes})


def entries(table: Table, column: str) -> dict[object, Cell]:
    at = [c.name for c in table.columns].index(column)
    return {row[0].value: row[at] for row in table.rows}


def by_name(table: Table) -> list[dict[str, Cell]]:
    return [{c.name: cell for c, cell in zip(table.columns, row, strict=True)} for row in table.rows]


def test_main_table_golden(make):
    given = [
        make("single_task", seed=0, test=0.60),
        make("single_task", seed=1, test=0.70),
        make("single_task_matched", seed=0, test=0.45),
        make("meta_dtl", seed=0, test=0.71),
        make("meta_dtl", seed=1, test=0.73),
        make("majority", seed=0, test=0.5),
        make("majority", seed=1, test=0.5),
        make("single_task_matched", seed=1, error="boom"),
    ]
    table = main_table(compute(small(), given))
    assert to_markdown(table) == (
        """\
**Test accuracy × 100: mean ± half-width of the 95 % t-interval (number of seeds). Encoder: minilm.**

| method | polarity (k=20) |
| :--- | ---: |
| single-task | 65.0 ± 63.5 (2) |
| Meta-DTL | **72.0 ± 12.7 (2)** |
| single-task, equal passes§ | 45.0 (1)†‡ |
| majority class¶ | 50.0 ± 0.0 (2) |

Test examples: polarity: 200.

Bold: the best mean of the column, floors apart. It says nothing about significance.

† below a floor of its column (majority class), which needs no fine-tuning.

§ control: says how much of a gain more training alone would have given.

¶ floor: no transfer and no fine-tuning.

‡ fewer finished seeds than the 2 planned.

A mean over one seed has no interval: a spread takes at least two.

1 run failed and is in no mean.
"""
    )


def test_comparison_table_golden(make):
    given = [
        make(variant, seed=s, test=x)
        for variant, scores in {
            "single_task": (0.60, 0.61, 0.62, 0.63, 0.64),
            "meta_dtl": (0.70, 0.72, 0.71, 0.74, 0.75),
            "majority": (0.5,) * 5,
        }.items()
        for s, x in enumerate(scores)
    ]
    study = small(report=ReportPlan(seeds=5), methods=("majority", "single_task", "meta_dtl", "multi_task"))
    table = t.comparison_table(compute(study, given))
    assert to_markdown(table) == (
        """\
**Difference to single-task in points, paired by seed, with the 95 % t-interval. Encoder: minilm.**

| method | target | setting | difference | 95 % from | to | pairs | t-test p | Holm p | sign-flip p | its floor | d_z | verdict | seeds needed |
| :--- | :--- | :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | :--- | :--- |
| Meta-DTL | polarity | k=20 | +10.40 | +9.29 | +11.51 | 5 | <0.001 | <0.001 | 0.0625 | 0.0625 | +11.63 | better | – |
| multi-task | polarity | k=20 | – | – | – | 0 | – | – | – | – | – | undecided | – |
| majority class¶ | polarity | k=20 | -12.00 | -13.96 | -10.04 | 5 | <0.001 | – | 0.0625 | 0.0625 | -7.59 | not tested | – |

Holm's correction covers a family of m = 2 comparisons: all variants but the floors against the baseline, × targets × settings; a comparison without a p-value counts too.

better, worse: Holm p < 0.05, the interval excludes 0, and the difference is at least 1 point. equivalent: the interval lies inside ±1. undecided: anything else, and always with fewer than 5 seeds.

Seeds needed: for 80 % power at the effect seen, at the level of Holm's first step (0.05 / 2); for a difference below 1, until the interval would lie inside ±1.

The floor of the sign-flip test is the smallest p that this number of pairs can give.

¶ floor: shown, not tested.
"""  # noqa: E501
    )


def test_csv_has_full_numbers(make):
    scores = (1 / 3, 2 / 7)
    given = [make("meta_dtl", seed=s, test=x) for s, x in enumerate(scores)]
    table = main_table(compute(small(), given))
    rows = {r["variant"]: r for r in csv.DictReader(io.StringIO(to_csv(table)))}
    assert float(rows["meta_dtl"]["polarity k=20"]) == 100 * np.mean(scores)
    assert rows["meta_dtl"]["polarity k=20 n"] == "2" and rows["single_task"]["polarity k=20 n"] == "0"
    assert rows["single_task"]["polarity k=20"] == ""


def test_missing_cells_are_dashes_and_counted(make):
    study = small(shots=(20, 50))
    table = main_table(compute(study, [make("single_task")]))
    text = to_markdown(table)
    assert text.count("| – ") == 7 and "7 of 8 entries" in text


def test_bold_is_shared_by_means_that_print_alike_and_not_won_by_fewer_seeds(make):
    given = [make("single_task", seed=s, test=x) for s, x in enumerate((0.70001, 0.7))]
    given += [make("single_task_matched", seed=s, test=x) for s, x in enumerate((0.7, 0.7))]
    given += [
        make("meta_dtl", seed=0, test=0.9),
        make("majority", seed=0, test=0.99),
        make("majority", seed=1, test=0.99),
    ]
    cells = entries(main_table(compute(small(), given)), "polarity k=20")
    assert [v for v, cell in cells.items() if cell.best] == ["single_task", "single_task_matched"]


def test_a_floor_with_more_seeds_does_not_take_the_bold_away(make):
    given = [make("meta_dtl", test=0.6), *(make("majority", seed=s) for s in (0, 1))]
    cells = entries(main_table(compute(small(), given)), "polarity k=20")
    assert cells["meta_dtl"].best


def test_controls_and_then_floors_come_last_and_apart_whatever_the_study_says():
    rows = main_table(compute(small(), [])).rows
    assert [row[0].value for row in rows] == ["single_task", "meta_dtl", "single_task_matched", "majority"]
    assert main_table(compute(small(), [])).breaks == (2, 3)


def test_below_the_best_floor_only(make):
    study = small(methods=("majority", "frozen_logistic", "single_task", "meta_dtl"))
    values = {"majority": 0.5, "frozen_logistic": 0.6, "single_task": 0.6, "meta_dtl": 0.55}
    found = compute(study, [make(v, test=x) for v, x in values.items()])
    (low,) = (s for s in found.scores if s.below)
    assert (low.variant, low.below) == ("meta_dtl", "frozen_logistic")
    assert (low.summary.mean, low.below_mean) == pytest.approx((0.55, 0.60))


def test_holm_family_is_all_variants_targets_and_settings(make):
    rng = np.random.default_rng(0)
    study = small(
        targets=("polarity", "stars"), shots=(20, 50), methods=("majority", "single_task", "multi_task", "meta_dtl")
    )
    given = [
        make(v, target, s, float(rng.uniform(0.4, 0.6)), k=k)
        for v in ("majority", "single_task", "multi_task", "meta_dtl")
        for target in study.targets
        for k in study.shots
        for s in range(5)
    ]
    found = compute(study, given).comparisons
    tested = [c for c in found if c.tested]
    assert len(found) == 12 and len(tested) == 8
    assert [c.holm_p for c in tested] == pytest.approx(multipletests([c.pair.p for c in tested], method="holm")[1])
    assert all(math.isnan(c.holm_p) for c in found if c.variant == "majority")
    one = next(c for c in found if c.variant == "meta_dtl" and c.target == "stars" and c.setting == "k=50")
    picked = {v: [r.metrics["test"]["accuracy"] for r in given if (r.spec.variant, r.spec.target, r.spec.setting.shots)
                  == (v, "stars", 50)] for v in ("meta_dtl", "single_task")}  # fmt: skip
    assert one.pair.p == pytest.approx(scipy.stats.ttest_rel(picked["meta_dtl"], picked["single_task"]).pvalue)


def test_a_failed_cell_never_lowers_the_other_p_values(make):
    study = small(methods=("single_task", "multi_task", "meta_dtl"))
    given = [make(v, seed=s, test=0.5 + 0.01 * i * s) for i, v in enumerate(study.methods) for s in range(4)]
    whole = compute(study, given).comparisons
    part = compute(study, [r for r in given if r.spec.variant != "multi_task"]).comparisons
    assert part[1].variant == "meta_dtl" and part[1].holm_p >= whole[1].holm_p


def test_seeds_needed_are_for_the_whole_family(make):
    """More comparisons, a harder first step of Holm's procedure, more seeds."""
    scores = {"single_task": (0.5, 0.5, 0.5, 0.5, 0.5), "meta_dtl": (0.58, 0.47, 0.56, 0.5, 0.52)}
    given = [make(v, seed=s, test=x) for v, xs in scores.items() for s, x in enumerate(xs)]
    alone, among = (
        compute(small(methods=("single_task", "meta_dtl", *more)), given).comparisons[0]
        for more in ((), ("multi_task", "meta_dtl_alpha"))
    )
    assert alone.verdict.seeds == seeds_for_power(alone.pair.d_z)
    assert among.verdict.seeds == seeds_for_power(alone.pair.d_z, alpha=0.05 / 3) > alone.verdict.seeds


def test_pairs_are_matched_by_seed_not_by_position(make):
    base = {0: 0.1, 1: 0.5, 2: 0.9}
    given = [make("single_task", seed=s, test=x) for s, x in base.items()]
    given += [make("meta_dtl", seed=s, test=base[s] + 0.05) for s in (2, 1)]
    (found,) = compute(small(methods=("single_task", "meta_dtl")), given).comparisons
    assert found.pair.n == 2 and found.pair.mean == pytest.approx(0.05) and found.pair.sd == 0


def test_examples_can_decide_where_three_seeds_cannot(make):
    study = small(methods=("single_task", "meta_dtl"))
    given = [make("single_task", seed=s, test=0.6) for s in range(3)]
    given += [make("meta_dtl", seed=s, test=x) for s, x in enumerate((0.7, 0.701, 0.699))]
    assert compute(study, given).comparisons[0].verdict.word == "undecided"
    differences = np.random.default_rng(0).choice([0.0, 1.0], (3, 200), p=[0.9, 0.1])
    found = compute(study, given, examples={("meta_dtl", "polarity", "k=20"): differences})
    (one,) = found.comparisons
    assert one.verdict.word == "better" and one.examples_p == one.examples.p < 0.05
    assert "two-way Holm p" in to_markdown(t.comparison_table(found))


def test_tables_do_not_depend_on_the_order_of_records(records, study):
    def render(given):
        found = compute(study, given)
        tables = (
            main_table(found),
            t.comparison_table(found),
            cost_table(found),
            every_cell.cells_table(found, searched=True),
        )
        return [render(table) for table in tables for render in (to_markdown, to_csv)]

    shuffled = records[:]
    random.Random(3).shuffle(shuffled)
    assert render(shuffled) == render(records)


def _row(number, dev, *, state="complete", winner=False, **settings):
    settings = {"lr": 5e-5, "lambda": 0.1, "pool": "mean"} | settings
    return t.SearchRow(Arm("meta_dtl", Setting(shots=20)), "polarity", number, settings, dev, state, winner)


def test_search_table(make):
    rows = [_row(2, 0.4, state="pruned"), _row(1, 0.71, winner=True, lr=0.00012345678, pool="cls"), _row(0, 0.62)]
    table = search.search_table(compute(small(), [], [*rows, _row(3, None, state="failed")]))
    (row,) = by_name(table)
    assert [row[k].value for k in ("trials", "pruned", "failed", "paper_dev", "winner_dev", "winner")] == [
        4, 1, 1, 62.0, 71.0, 1,
    ]  # fmt: skip
    assert row["changes"].value == "lr 5e-05 → 0.0001235; pool mean → cls"


def test_search_table_when_the_paper_wins_or_nobody_does():
    (won,) = by_name(search.search_table(compute(small(), [], [_row(0, 0.5, winner=True)])))
    assert won["changes"].value == "none" and won["winner"].value == 0
    (lost,) = by_name(search.search_table(compute(small(), [], [_row(0, None, state="failed")])))
    assert lost["winner"].value is None and lost["changes"].value is None
    assert "| – | – | – | 0 | 0.0 | 0.0 | – |" in to_markdown(
        search.search_table(compute(small(), [], [_row(0, None, state="failed")]))
    )


def test_cost_table_keeps_search_and_confirm_apart(make):
    given = [make("meta_dtl", seed=s, phase="search", settings={"lr": lr}) for s in (0, 1) for lr in (1e-5, 5e-5, 1e-4)]
    given += [make("meta_dtl", seed=100, seconds=10.0), make("meta_dtl", seed=101, error="boom", seconds=3.0)]
    (row,) = by_name(cost_table(compute(small(), given)))
    assert {k: c.value for k, c in row.items()} == {
        "variant": "meta_dtl",
        "target": "polarity",
        "search_trials": 3,
        "search_runs": 6,
        "search_updates": 360,
        "search_passes": 360.0,
        "search_seconds": 10.5,
        "confirm_runs": 2,
        "confirm_updates": 60,
        "confirm_passes": 60.0,
        "confirm_seconds": 13.25,
        "stored_updates": 0,
        "stored_passes": 0.0,
        "saved_seconds": 0.0,
    }


def test_captions_state_the_conditions():
    study = small(limits=Limits(train=256, dev=128, test=400), length=64)
    assert compute(study, []).design.conditions == (
        "Encoder: minilm; at most 256 train, 128 dev and 400 test examples per task; texts cut to 64 tokens."
    )


def test_markdown_escapes_what_would_break_a_row():
    table = Table("x", "", (Column("a", "a|b"),), ((Cell("c|d\nMeta-FT*"),),))
    assert to_markdown(table) == "| a\\|b |\n| :--- |\n| c\\|d Meta-FT\\* |\n"


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("p", 0.0004, "<0.001"),
        ("p", 0.25, "0.250"),
        ("number", -0.0001, "0.000"),
        ("number", math.inf, "+∞"),
        ("number", math.nan, "–"),
        ("count", 3, "3"),
    ],
)
def test_numbers_as_a_reader_sees_them(kind, value, shown):
    table = Table("x", "", (Column("a", "a", kind, 3, signed=True),), ((Cell(value),),))
    assert to_markdown(table).splitlines()[-1] == f"| {shown} |"


def test_a_wide_table_becomes_blocks_that_hold_every_cell_once(make):
    study = small(targets=("polarity", "stars"), shots=(5, 10, 20, 50))
    table = main_table(compute(study, [make(v, k=20) for v in study.variants]))
    parts = blocks(table)
    assert [heading for heading, _ in parts] == ["k=5", "k=10", "k=20", "k=50"]
    assert [c.title for c in parts[0][1].columns] == ["method", "polarity", "stars"]
    names = [c.name for _, part in parts for c in part.columns[1:]]
    assert sorted(names) == sorted(c.name for c in table.columns[1:])
    text = to_markdown(table)
    assert text.count("| method |") == 4 and text.count("**Test") == 1 and text.count("*k=20*") == 1
    assert to_csv(table).count("variant") == 1  # programs get one table
    many = small(tasks=tuple("abcdefgh"), targets=tuple("abcdefgh"))
    assert [len(p.columns) - 1 for _, p in blocks(main_table(compute(many, [])))] == [6, 2]
    assert blocks(main_table(compute(small(), [])))[0][0] == ""


def test_shaded_is_what_cannot_be_told_from_the_best(make):
    scores = {
        "single_task": (0.50, 0.52, 0.51, 0.53, 0.53),  # far below the best, on every seed
        "multi_task": (0.70, 0.74, 0.69, 0.75, 0.70),  # now above it, now below
        "meta_dtl": (0.71, 0.72, 0.73, 0.74, 0.75),
        "majority": (0.72, 0.72, 0.72, 0.72, 0.72),  # a floor is never the best, nor tied with it
    }
    given = [make(v, seed=s, test=x) for v, xs in scores.items() for s, x in enumerate(xs)]
    found = compute(small(methods=tuple(scores), report=ReportPlan(seeds=5)), given)
    assert {s.variant: (s.best, s.tied) for s in found.scores} == {
        "single_task": (False, False),
        "multi_task": (False, True),
        "meta_dtl": (True, True),
        "majority": (False, False),
    }
    cells = entries(main_table(found), "polarity k=20")
    assert [v for v, c in cells.items() if c.tied] == ["multi_task"] and cells["meta_dtl"].best


def test_an_upper_bound_stands_apart_untested_and_never_the_best(make):
    scores = {"single_task": (0.50, 0.51), "multi_task": (0.60, 0.62), "single_task_pooled": (0.90, 0.91)}
    given = [make(v, seed=s, test=x) for v, xs in scores.items() for s, x in enumerate(xs)]
    found = compute(small(methods=("single_task_pooled", "single_task", "multi_task")), given)
    assert [m.variant for m in found.design.methods] == ["single_task", "multi_task", "single_task_pooled"]
    assert {s.variant: (s.best, s.tied) for s in found.scores} == {
        "single_task": (False, False),
        "multi_task": (True, True),
        "single_task_pooled": (False, False),
    }
    assert {c.variant: c.tested for c in found.comparisons} == {"multi_task": True, "single_task_pooled": False}
    table = main_table(found)
    assert table.breaks == (2,) and table.rows[2][0].marks == t.BOUND
    assert [n.text for n in table.notes if n.mark == t.BOUND] == [t.MORE_DATA]


def test_grey_is_what_is_undecided_against_the_baseline(make):
    given = [make(v, seed=s, test=0.5 + 0.01 * s) for v in ("single_task", "meta_dtl", "majority") for s in (0, 1)]
    cells = entries(main_table(compute(small(), given)), "polarity k=20")
    assert [v for v, c in cells.items() if c.unsure] == ["meta_dtl"]  # the baseline and floors are not compared


def test_words():
    assert [counted(n, "cell") for n in (0, 1, 2)] == ["0 cells", "1 cell", "2 cells"]
    assert [listed(x) for x in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert place("polarity", str(Setting())) == "polarity (all data)"


# ---------------------------------------------------------------------------------------------------------------------
# a task with two metrics


def with_second(record: Record, second: float) -> Record:
    """The record of a task whose tables show accuracy behind F1."""
    metrics = {s: {**m, "accuracy": second} for s, m in record.metrics.items()}
    return replace(record, metrics=metrics, facts={**record.facts, "second_metric": "accuracy"})


def test_two_metrics_stand_in_one_cell_and_the_first_decides(make):
    given = [
        with_second(make("single_task", seed=0, test=0.60, metric="f1"), 0.9),
        with_second(make("single_task", seed=1, test=0.70, metric="f1"), 0.8),
        with_second(make("meta_dtl", seed=0, test=0.71, metric="f1"), 0.5),
        with_second(make("meta_dtl", seed=1, test=0.73, metric="f1"), 0.5),
        with_second(make("majority", seed=0, test=0.5, metric="f1"), 0.25),
    ]
    one = [replace(r, facts={"metric": "f1"}) for r in given]
    both, alone = compute(small(), given), compute(small(), one)
    table = main_table(both)
    text = to_markdown(table)
    assert "**Test f1/accuracy × 100:" in text
    assert "| single-task | 65.0/85.0 ± 63.5/63.5 (2) |" in text
    assert "| Meta-DTL | **72.0/50.0 ± 12.7/0.0 (2)** |" in text
    assert "| majority class¶ | 50.0/25.0 (1)‡ |" in text
    assert t.TWO_METRICS in text and t.TWO_METRICS not in to_markdown(main_table(alone))
    # nothing else knows the second metric: best, tied, floors and tests are those of the first
    assert repr(both.comparisons) == repr(alone.comparisons)
    assert repr([replace(s, second=None) for s in both.scores]) == repr([*alone.scores])
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert (float(rows[0]["polarity k=20"]), float(rows[0]["polarity k=20 second"])) == pytest.approx((65, 85))
    assert rows[2]["polarity k=20 second half"] == ""
    header = to_csv(main_table(alone)).splitlines()[0]
    assert header == "variant,polarity k=20,polarity k=20 half,polarity k=20 n"


def test_a_published_pair_stands_below_a_pair():
    column = Column("x", "x", "estimate")
    ours = Cell(89.54, half=1.0, n=3, second=85.8, second_half=2.0)
    assert cell_text(ours, column) == "89.5/85.8 ± 1.0/2.0 (3)"
    assert published_text(replace(ours, published=90.0, second_published=85.0), column) == "90.0/85.0 (-0.5/+0.8)"
    assert published_text(replace(ours, published=90.0), column) == "90.0 (-0.5)"
    assert published_text(Cell(published=90.0, second_published=85.0), column) == "90.0/85.0"


def test_a_test_that_is_not_the_published_one_is_said_below_the_scores(make):
    given = [make("single_task", seed=s, test=0.6) for s in (0, 1)]
    noted = [replace(r, facts={**r.facts, "test_note": "test is another"}) for r in given]
    assert "polarity: test is another." in to_markdown(main_table(compute(small(), noted)))
    assert "another" not in to_markdown(main_table(compute(small(), given)))


def test_what_the_data_cannot_serve_stands_in_the_table_as_missing(make):
    changes = {"shots": (20, 999), "unreached": {"polarity": {"k=999": "polarity has 500 training examples of 999"}}}
    asked = small(**changes, tasks=("polarity", "stars", "mrpc"), targets=("polarity", "mrpc"), absent=("mrpc",))
    given = [make(v, seed=s, test=0.6) for v in asked.variants for s in (0, 1)]
    numbers = compute(asked, given)
    table = main_table(numbers)
    assert [c.name for c in table.columns[1:]] == ["polarity k=20", "polarity k=999", "mrpc k=20", "mrpc k=999"]
    assert [cell_text(c, col) + c.marks for c, col in zip(table.rows[0][1:], table.columns[1:], strict=True)] == [
        "60.0 ± 0.0 (2)",
        "–×",
        "–×",
        "–×",
    ]
    (note,) = (n for n in table.notes if n.mark == t.ABSENT)
    assert note.text == (
        "not enough data: polarity (k=999): polarity has 500 training examples of 999; mrpc (k=20): its data are not "
        "at hand; mrpc (k=999): its data are not at hand."
    )
    assert not any("has no finished run" in n.text for n in table.notes)
    assert "without mrpc, whose data are not at hand" in table.caption
    # nothing is missing, planned or tested there
    assert (numbers.completeness.planned, numbers.completeness.missing) == (8, 0)
    assert {(c.target, c.setting) for c in numbers.comparisons} == {("polarity", "k=20")}
    assert main_table(compute(small(), given)).caption == table.caption.replace(
        "; without mrpc, whose data are not at hand", ""
    )


def test_what_is_tied_with_the_best_is_judged_for_new_examples_too(make):
    """Five seeds agree that one is better, on these examples; on others it might not be, so it is not told apart."""
    study = small(methods=("single_task", "multi_task", "meta_dtl"))
    rng = np.random.default_rng(0)
    prefers = rng.choice([-1.0, 1.0], 100, p=[0.45, 0.55])  # of the examples on which the two differ
    meta = np.tile(prefers, (5, 1)) * (rng.random((5, 100)) < 0.9)
    examples = {("meta_dtl", "polarity", "k=20"): meta, ("multi_task", "polarity", "k=20"): np.zeros((5, 100))}
    given = [make(v, seed=s, test=0.5) for v in ("single_task", "multi_task") for s in range(5)]
    given += [make("meta_dtl", seed=s, test=0.5 + float(meta[s].mean())) for s in range(5)]
    over_seeds, over_both = ({s.variant: s for s in compute(study, given, examples=e).scores} for e in (None, examples))
    for other in ("single_task", "multi_task"):
        assert over_seeds["meta_dtl"].best and not over_seeds[other].tied
        assert over_both[other].tied and over_both[other].best_p > 0.05
