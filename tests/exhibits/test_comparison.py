"""Ours beside the published: averages, gains, marks, cost; and how a table prints."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from exhibits.conftest import Left

from raystudy import exhibits
from raystudy.analysis.figures import draw
from raystudy.analysis.latex import to_latex
from raystudy.analysis.markdown import to_markdown
from raystudy.analysis.numbers import Numbers
from raystudy.analysis.stats import interval
from raystudy.analysis.table import MISSING, Table, cell_text, published_text, to_csv
from raystudy.analysis.tables import ABSENT, BELOW, PART
from raystudy.exhibits import ExhibitResults, _comparison, _sizes, mft_table6
from raystudy.exhibits._comparison import Head, Row, by_seed, column_scores, columns, comparison_table, gain, mean
from raystudy.exhibits._papers import Published
from raystudy.exhibits._sizes import Sizes
from raystudy.studyfile import Study


def study_of(name: str, scale: exhibits.Scale = "small") -> Study:
    study = exhibits.find(name).study(scale)
    assert study is not None
    return study


def noisy(variant: str, target: str, seed: int) -> float:
    return float(np.random.default_rng([*f"{variant} {target} {seed}".encode()]).uniform(0.4, 0.9))


def cells(table: Table, title: str) -> dict[str, tuple[str, str]]:
    """Column -> (ours, the line below) of the row `title`."""
    row = next(r for r in table.rows if r[0].value == title)
    return {c.title: (cell_text(x, c), published_text(x, c)) for x, c in zip(row, table.columns, strict=True)}


# ---------------------------------------------------------------------------------------------------------------------
# numbers


def test_an_average_is_the_mean_over_data_sets_seed_by_seed(left: Left) -> None:
    study = study_of("mft_table2")
    n = left(study, noisy)
    targets = study.target_names
    every = Head("Avg.", targets)
    wanted = [np.mean([noisy("mft", t, s) for t in targets]) for s in range(study.report.seeds)]
    assert list(by_seed(n, every, "mft").values()) == pytest.approx(wanted)
    assert mean(n, every, "mft") == pytest.approx(interval(wanted))
    spreads = [mean(n, Head("", (t,)), "mft").half for t in targets]
    assert mean(n, every, "mft").half != pytest.approx(np.mean(spreads))  # not the mean of the intervals
    assert mean(n, every, "mft").mean == pytest.approx(np.mean([mean(n, Head("", (t,)), "mft").mean for t in targets]))


def test_an_average_waits_for_all_of_its_data_sets(left: Left) -> None:
    study = study_of("mft_table3")
    n = left(study, noisy, gone=frozenset({("mft", "amazon_mds/dvd", 1)}))
    assert [*by_seed(n, Head("Avg.", study.target_names), "mft")] == [0, 2]
    assert [*by_seed(n, Head("Avg.", study.target_names), "single_task")] == [0, 1, 2]
    (table,) = exhibits.find("mft_table3").page("small", study, n).tables
    row = next(r for r in table.rows if r[0].value == "MFT (Full)")
    assert [PART in c.marks for c in row[1:-1]] == [False, True, False, False, True]


def test_a_gain_is_paired_by_seed(left: Left) -> None:
    study = study_of("meta_dtl_table6")
    n = left(study, noisy, gone=frozenset({("meta_dtl", "mnli", 0)}))
    head = Head("1 %", ("mnli",), "k=3827")
    wanted = interval([noisy("meta_dtl", "mnli", s) - noisy("single_task", "mnli", s) for s in (1, 2)])
    assert gain(n, head, "meta_dtl", "single_task") == pytest.approx(wanted)


def test_dev_and_other_metrics(left: Left) -> None:
    study = study_of("meta_dtl_table2")
    n = left(study, noisy)
    test, dev = (by_seed(n, Head("", ("bless",), split=s), "meta_dtl") for s in ("test", "dev"))
    assert [dev[s] - test[s] for s in range(3)] == pytest.approx([0.01] * 3)
    macro = by_seed(n, Head("", ("bless",), metric="macro_f1"), "meta_dtl")
    assert [macro[s] / test[s] for s in range(3)] == pytest.approx([0.5] * 3)
    assert by_seed(n, Head("", ("bless",), metric="mcc"), "meta_dtl") == {}


def test_only_the_hypernymy_of_shwartz_has_its_macro_f1_beside(left: Left) -> None:
    """Four fifths of it are one class; the paper prints accuracy alone."""
    for name in ("meta_dtl_table2", "meta_dtl_table3", "meta_dtl_table4"):
        study = study_of(name)
        tables = exhibits.find(name).page("small", study, left(study, noisy)).tables
        found = [(t, i) for t in tables for i, c in enumerate(t.columns) if "macro-F1" in c.title]
        ((table, at),) = found
        assert table.columns[at].title == "Shwartz, macro-F1"
        assert all(row[at].published is None for row in table.rows)
        assert all(row[at].value is not None for row in table.rows)


def test_a_method_below_a_floor_is_said_to_be(left: Left) -> None:
    study = study_of("mft_table4")

    def score(v: str, t: str, s: int) -> float:
        return {"majority": 0.5, "frozen_logistic": 0.7, "mft_dc": 0.6}.get(v, 0.8)

    (table,) = exhibits.find("mft_table4").page("small", study, left(study, score)).tables
    marked = {str(row[0].value) for row in table.rows for c in row[1:] if BELOW in c.marks}
    assert marked == {"MFT (DC)"}
    assert any(note.mark == BELOW and "frozen encoder" in note.text for note in table.notes)
    assert [str(r[0].value) for r in table.parts[-1]] == ["majority class", "frozen encoder + logistic regression"]


def test_the_best_of_an_average_is_chosen_like_that_of_a_data_set(left: Left) -> None:
    study = study_of("mft_table4")
    heads = columns(ExhibitResults(exhibits.find("mft_table4"), "small", study, left(study, noisy)), "taxonomy")
    found = column_scores(left(study, noisy), heads)
    for i in range(len(heads)):
        best = {v for (v, column), s in found.items() if column == i and s.best}
        means = {v: s.summary.mean for (v, column), s in found.items() if column == i}
        floors = {m.variant for m in left(study, noisy).design.methods if m.role == "floor"}
        assert best == {max(means.keys() - floors, key=means.__getitem__)}


def test_cost_is_in_passes_of_plain_fine_tuning(left: Left) -> None:
    study = study_of("mft_table4")
    n = left(study, noisy, updates={"single_task": 50, "mft": 175, "bert_mix": 0})
    (table,) = exhibits.find("mft_table4").page("small", study, n).tables
    cost = {str(row[0].value): row[-1].value for row in table.rows}
    assert cost["BERT (S)"] == 1 and cost["MFT (Full)"] == 3.5 and cost["majority class"] is None


# ---------------------------------------------------------------------------------------------------------------------
# how it prints


def golden(left: Left) -> tuple[Numbers, Table]:
    study = study_of("mft_table4").model_copy(
        update={"methods": ("single_task", "mft", "single_task_matched", "majority")}
    )
    level = {"single_task": 0.80, "mft": 0.90, "single_task_matched": 0.85, "majority": 0.50}
    n = left(study, lambda v, t, s: level[v] + 0.01 * s - 0.02 * t.endswith("plant"), updates={"mft": 90})
    heads = columns(ExhibitResults(exhibits.find("mft_table4"), "small", study, n), "taxonomy")
    rows = [Row("single_task", "BERT (S)", {"method": "BERT (S)"}), Row("mft", "MFT (Full)", {"method": "MFT (Full)"})]
    rows.append(Row("mft", "gain", minus="single_task"))
    return n, comparison_table("golden", "What it shows.", rows, heads, n, Published("mft_table4.csv"), ["A note."])


def test_golden(left: Left) -> None:
    _, table = golden(left)
    assert to_markdown(table) == (
        """\
**What it shows.**

| method | Animal | Plant | Vehicle | Avg. | passes |
| :--- | ---: | ---: | ---: | ---: | ---: |
| BERT (S) | 81.0 ± 2.5 (3) | 79.0 ± 2.5 (3) | 81.0 ± 2.5 (3) | 80.3 ± 2.5 (3) | 1.0 |
| published (difference) | 93.6 (-12.6) | 91.8 (-12.8) | 84.2 (-3.2) | 89.3 (-9.0) |  |
| MFT (Full) | **91.0 ± 2.5 (3)** | **89.0 ± 2.5 (3)** | **91.0 ± 2.5 (3)** | **90.3 ± 2.5 (3)** | 1.5 |
| published (difference) | 94.5 (-3.5) | 92.3 (-3.3) | 90.2 (+0.8) | 92.3 (-2.0) |  |
| gain | 10.0 ± 0.0 (3) | 10.0 ± 0.0 (3) | 10.0 ± 0.0 (3) | 10.0 ± 0.0 (3) | – |
| single-task, equal passes§ | 86.0 ± 2.5 (3) | 84.0 ± 2.5 (3) | 86.0 ± 2.5 (3) | 85.3 ± 2.5 (3) | 1.0 |
| majority class¶ | 51.0 ± 2.5 (3) | 49.0 ± 2.5 (3) | 51.0 ± 2.5 (3) | 50.3 ± 2.5 (3) | – |

A note.

Below each value: the published number and, in brackets, ours minus the published one.

Our averages are means over the data sets seed by seed, then over the seeds; the published averages are the paper's own.

Bold: our best mean of the column, floors apart. It says nothing about significance.

Passes: the forward and backward passes over a batch behind one training, search apart, as a multiple of \
single-task's; those that several targets share count for each of them.

§ control, not in the paper: how much more training alone would have given.

¶ floor, not in the paper: no transfer and no fine-tuning.
"""
    )
    assert [len(part) for part in table.parts] == [3, 1, 1]


def test_the_other_formats_say_the_same(left: Left) -> None:
    _, table = golden(left)
    tex = to_latex(table)
    assert r"\quad published (difference) & 93.6 ($-$12.6) & 91.8 ($-$12.8) & 84.2 ($-$3.2)" in tex
    assert r"90.2 (+0.8) & 92.3 ($-$2.0) &  \\" in tex
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [*rows[0]][:5] == ["method", "Animal", "Animal half", "Animal n", "Animal published"]
    mft = rows[1]
    assert (float(mft["Vehicle"]), float(mft["Vehicle published"]), mft["Vehicle n"]) == (pytest.approx(91), 90.2, "3")
    assert rows[2]["Animal published"] == "" and float(rows[2]["Animal"]) == pytest.approx(10)


def test_without_a_run_the_published_number_stands_alone(left: Left) -> None:
    study = study_of("mft_table4").model_copy(update={"methods": ("single_task",)})
    (table,) = exhibits.find("mft_table4").page("small", study, left(study, noisy)).tables
    assert cells(table, "BERT (Mix)")["Vehicle"] == (MISSING, "83.6")
    assert f"{MISSING} has no finished run here." in {note.text for note in table.notes}


def test_the_papers_marks_are_notes(left: Left) -> None:
    study = study_of("meta_dtl_table2")
    review, nli, lexical, albert = exhibits.find("meta_dtl_table2").page("small", study, left(study, noisy)).tables
    assert "The paper marks its Meta-DTL with p<0.05 on SST-5, Amazon and IMDb." in {n.text for n in review.notes}
    assert "The paper marks its Meta-DTL with 0.05<p<0.1 on MNLI." in {n.text for n in nli.notes}
    assert not any("marks" in n.text for n in albert.notes) and len(lexical.columns) == 6


def test_ours_stand_beside_the_encoder_that_was_run(left: Left) -> None:
    exhibit = exhibits.find("meta_dtl_table2")
    study = exhibit.study("paper", overrides=["plm=albert/albert-base-v2"])
    assert study is not None
    tables = exhibit.page("paper", study, left(study, noisy)).tables
    assert cells(tables[0], "Single-task")["SST-5"][1].startswith("51.0 (")
    assert cells(tables[-1], "Single-task")["SST-5"] == ("53.4", "")
    assert "BERT-base" in tables[-1].caption and "ALBERT" not in tables[-1].caption


# ---------------------------------------------------------------------------------------------------------------------
# less data


def test_counts_are_those_of_the_paper() -> None:
    assert study_of("meta_dtl_table6", "paper").shots == (3_827, 7_654, 19_135, 38_270, 76_540)
    study = study_of("mft_table6", "paper")
    assert (study.shots, study.scope) == ((3_927, 7_854, 15_708), "suite")
    assert study.fixed_settings("mft")["mft_epochs"] == 1 and study.fixed_settings("single_task")["epochs"] == 2
    assert study_of("meta_dtl_table6").target_names == ("mnli",)
    assert study_of("meta_dtl_table6").tasks_with("mnli") == ("mnli", "scitail")


def test_counts_beyond_the_data_at_hand_are_left_out_and_said_to_be(
    left: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sizes, "at_hand", lambda self, root: 8_000)
    exhibit, study = exhibits.find("meta_dtl_table6"), study_of("meta_dtl_table6")
    assert study.shots == (3_827, 7_654) and study.fraction == ()
    (table,) = exhibit.page("small", study, left(study, noisy)).tables
    row = next(r for r in table.rows if r[0].value == "Meta-DTL")
    assert [c.value is None for c in row[1:-1]] == [False, False, True, True, True]
    assert [c.published for c in row[1:-1]] == [66.5, 69.8, 74.2, 77.6, 81.4]
    assert table.notes[0].text.startswith("Not run: 5 %, 10 % and 20 %, more than the")


def test_where_no_count_fits_percentages_of_what_is_at_hand(left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sizes, "at_hand", lambda self, root: 1_600)
    exhibit, study = exhibits.find("mft_table6"), study_of("mft_table6")
    assert (study.shots, study.fraction) == ((), (0.05, 0.1, 0.2))
    tables = exhibit.page("small", study, left(study, noisy)).tables
    assert [t.name for t in tables] == ["table6_5", "table6_10", "table6_20"]
    assert all("3,927 examples, more than" in t.notes[0].text for t in tables)
    assert all(c.value is not None for t in tables for row in t.rows for c in row[:-1])


def test_data_at_hand_are_counted_where_there_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = Sizes((10,), 100, ("mine/a", "mine/b"))
    assert sizes.at_hand(None) is None and sizes.at_hand(tmp_path) is None
    (tmp_path / "mine").mkdir()

    class Read:
        def __init__(self, name: str) -> None:
            self.splits = {"train": [0] * (7 if name.endswith("b") else 9)}

    monkeypatch.setattr(_sizes, "load", lambda name, root: Read(name))
    assert sizes.at_hand(tmp_path) == 7
    assert sizes.study_keys("paper", tmp_path) == {"fraction": [0.1]}


def test_an_improvement_of_mft_is_the_difference_of_its_rows(left: Left) -> None:
    study = study_of("mft_table6", "paper")
    for table in mft_table6.tables(ExhibitResults(mft_table6.EXHIBIT, "paper", study, left(study, noisy))):
        without, with_, gained = table.rows[:3]
        for a, b, c in zip(without[1:-1], with_[1:-1], gained[1:-1], strict=True):
            assert isinstance(a.value, float) and isinstance(b.value, float)
            assert c.value == pytest.approx(b.value - a.value)


# ---------------------------------------------------------------------------------------------------------------------
# sweeps


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("meta_dtl_fig3", "1 2 3"),
        ("meta_dtl_fig4", "0 0.1 0.2 0.3 0.4 0.5"),
        ("mft_fig3", "1 2 3"),
        ("mft_fig4", "0 0.1 0.2 0.3 0.4 0.5"),
    ],
)
def test_a_sweep_is_a_row_per_value_and_a_panel_per_suite(name: str, values: str, left: Left) -> None:
    study = study_of(name)
    n = left(study, noisy)
    shown = exhibits.find(name).page("small", study, n)
    for table in shown.tables:
        titles = [str(r[0].value).rpartition(" = ")[2] for r in table.parts[0]]
        assert titles == values.split()
        assert "dev accuracy" in table.caption
        assert all(c.published is None for row in table.rows for c in row)
    (figure,) = shown.figures
    svg = draw(figure).decode()
    assert svg.count("single-task, Avg.") == len(shown.tables) == 2
    assert draw(figure) == svg.encode()  # the same bytes again
    assert any("points of the paper's figure are not printed" in s for s in shown.setup)


def test_the_average_of_a_sweep_is_that_of_its_table(left: Left) -> None:
    study = study_of("mft_fig4")
    n = left(study, noisy)
    (first, _) = exhibits.find("mft_fig4").page("small", study, n).tables
    heads = _comparison.columns(
        ExhibitResults(exhibits.find("mft_fig4"), "small", study, n), "amazon_domains", split="dev"
    )
    wanted = 100 * mean(n, heads[-1], "mft[lambda=0.3]").mean
    assert next(r for r in first.rows if r[0].value == "λ = 0.3")[-2].value == pytest.approx(wanted)


def test_layers_mean_the_same_in_a_shallower_model(left: Left) -> None:
    study = study_of("mft_table7")
    (table,) = exhibits.find("mft_table7").page("small", study, left(study, noisy)).tables
    assert [str(r[0].value) for r in table.parts[0]] == [
        "{12} of 12", "{6, 12} of 12", "{4, 8, 12} of 12", "{3, 6, 9, 12} of 12",
    ]  # fmt: skip
    assert [c.published for c in table.rows[2][1:3]] == [91.4, 92.5]
    smoke = study_of("mft_table7", "smoke")
    assert [v for v in smoke.variants if v.startswith("mft[")] == ["mft[layers=1.0]", "mft[layers=1/2 1]"]


def test_a_task_with_two_metrics_has_both_in_its_cell_with_both_published_ones(left: Left) -> None:
    """Dou et al. print F1 and accuracy of MRPC; each of ours stands with its own published number."""
    study = Study(
        name="x",
        tasks=("mrpc", "rte"),
        methods=("single_task", "multi_task"),
        report={"seeds": 3},  # type: ignore[arg-type]
    )
    n = left(study, noisy, facts=lambda v, target, s: {"second_metric": "macro_f1"} if target == "mrpc" else {})
    heads = [
        Head(
            "MRPC",
            ("mrpc",),
            published={"dataset": "MRPC", "metric": "F1 (GLUE convention)"},
            second_published={"dataset": "MRPC", "metric": "accuracy (GLUE convention)"},
        ),
        Head("RTE", ("rte",), published={"dataset": "RTE", "metric": "accuracy"}),
        Head("Avg.", ("mrpc", "rte")),
    ]
    rows = [Row("single_task", "BERT", {"method": "BERT"}), Row("multi_task", "ours alone")]
    table = comparison_table("table1", "caption", rows, heads, n, Published("dou2019_table1.csv"))
    mrpc, one, average = (mean(n, h, "single_task") for h in heads)
    ours, below = cells(table, "BERT")["MRPC"]
    assert ours == (f"{100 * mrpc.mean:.1f}/{50 * mrpc.mean:.1f} ± {100 * mrpc.half:.1f}/{50 * mrpc.half:.1f} (3)")
    assert below == f"88.9/84.8 ({100 * mrpc.mean - 88.9:+.1f}/{50 * mrpc.mean - 84.8:+.1f})"
    assert cells(table, "BERT")["RTE"][1] == f"66.4 ({100 * one.mean - 66.4:+.1f})"
    assert cells(table, "BERT")["Avg."][0] == f"{100 * average.mean:.1f} ± {100 * average.half:.1f} (3)"
    assert cells(table, "ours alone")["MRPC"][1] == ""
    assert "MRPC second published" in to_csv(table).splitlines()[0]
    assert "88.9/84.8" in to_markdown(table) and "88.9/84.8" in to_latex(table)


def test_what_the_data_cannot_serve_is_missing_beside_the_published_number(left: Left) -> None:
    study = Study(
        name="x",
        tasks=("rte", "mrpc"),
        targets=("rte", "mrpc"),
        absent=("mrpc",),
        methods=("single_task",),
        report={"seeds": 2},  # type: ignore[arg-type]
    )
    heads = [
        Head(h, (t,), published={"dataset": h, "metric": "accuracy"}) for h, t in (("RTE", "rte"), ("MRPC", "mrpc"))
    ]
    heads[1] = replace(heads[1], published={"dataset": "MRPC", "metric": "F1 (GLUE convention)"})
    rows = [Row("single_task", "BERT", {"method": "BERT"})]
    table = comparison_table("table1", "c", rows, heads, left(study, noisy), Published("dou2019_table1.csv"))
    assert cells(table, "BERT")["MRPC"] == (MISSING, "88.9")
    assert next(n.text for n in table.notes if n.mark == ABSENT) == ("not enough data: MRPC: its data are not at hand.")
