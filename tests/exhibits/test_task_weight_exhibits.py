"""TAWT's exhibits: targets with numbers of sentences of their own, weights, ratios, and tasks without data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from exhibits.conftest import Left
from scipy.stats import ttest_rel

from raystudy import exhibits
from raystudy.analysis.figures import draw
from raystudy.analysis.tables import ABSENT
from raystudy.catalogue import catalogue
from raystudy.exhibits import ExhibitResults, _tagging
from raystudy.exhibits._comparison import by_seed
from raystudy.studyfile import Study

NAMES = (*(f"tawt_table{i}" for i in range(1, 8)), "tawt_fig1")
PARADIGMS = ("tawt_table1", "tawt_table2", "tawt_table7")


def study_of(name: str, scale: exhibits.Scale = "small", *overrides: str) -> Study:
    study = exhibits.find(name).study(scale, overrides=overrides)
    assert study is not None
    return study


def noisy(variant: str, target: str, seed: int) -> float:
    return float(np.random.default_rng([*f"{variant} {target} {seed}".encode()]).uniform(0.2, 0.6))


def without_predicates(study: Study) -> Study:
    """The study as it is where there is no folder of predicates."""
    return study.model_copy(update={"absent": ("predicates",)})


@pytest.mark.parametrize("name", NAMES)
def test_what_the_scales_say(name: str) -> None:
    smoke, small, paper = (study_of(name, scale) for scale in exhibits.SCALES)
    assert (smoke.plm, smoke.suite) == ("tiny", "planted_tags")
    assert small.suite == paper.suite == "tagging"
    assert (small.length, small.limits.dev, small.limits.test) == (48, 200, 500)
    assert (small.report.seeds, paper.plm) == (3, exhibits.PLM["paper"])
    for study in (small, paper):  # the paper trains everything for four epochs, the pre-training and what follows it
        trained = [v for v in study.variants if catalogue().variant(v).role != "floor"]
        settings = [catalogue().resolve(v, study.fixed_settings(v)) for v in trained]
        assert {s["epochs"] for s in settings} == {4}
        assert {s["transfer_epochs"] for s in settings if "transfer_epochs" in s} == {4}


@pytest.mark.parametrize(
    ("name", "shots", "sources"),
    [
        ("tawt_table1", {"ud_ewt_upos": 100, "conll2000_chunk": 100, "predicates": 300, "wnut17": 500}, 9_000),
        ("tawt_table2", {"ud_ewt_upos": 500, "predicates": 600, "wnut17": 1_000}, 20_000),
    ],
)
def test_every_target_has_the_papers_number_of_sentences(name: str, shots: Mapping[str, int], sources: int) -> None:
    for scale in ("small", "paper"):
        study = study_of(name, scale)
        assert {t: [s.shots for s in study.settings_of(t)] for t in study.target_names} == {
            t: [k] for t, k in shots.items()
        }
        # no target is cut below its number of sentences by the cap that holds for sources
        assert study.limits.train is not None and study.limits.train >= max(shots.values())
    assert study.limits.train == sources


@pytest.mark.parametrize("name", PARADIGMS)
def test_an_average_is_over_targets_in_the_setting_of_each(name: str, left: Left) -> None:
    study = study_of(name)
    n = left(study, noisy)
    table, *_ = exhibits.find(name).page("small", study, n).tables
    at = next(i for i, c in enumerate(table.columns) if c.title == "Avg.")
    row = next(r for r in table.rows if str(r[0].value).startswith("Weighted Pre-Training"))
    variant = "tawt_pre_fixed" if name == "tawt_table7" else "tawt_pre_w"
    wanted = 100 * np.mean([noisy(variant, t, s) for t in study.target_names for s in range(3)])
    assert row[at].value == pytest.approx(wanted)
    assert row[at].value == pytest.approx(np.mean([float(str(c.value)) for c in row[1:at]]))


def test_without_data_a_column_is_missing_with_the_reason_and_keeps_the_published_number(left: Left) -> None:
    study = without_predicates(study_of("tawt_table1"))
    table, _ = exhibits.find("tawt_table1").page("small", study, left(study, noisy)).tables
    titles = [c.title for c in table.columns[1:-1]]
    assert titles == ["PoS", "Chunking", "Predicate Detection", "NER", "Avg.", "Avg. of those at hand"]
    row = dict(zip(titles, next(r for r in table.rows if r[0].value == "Joint Training")[1:-1], strict=True))
    gone = row["Predicate Detection"]
    assert (gone.value, gone.published, gone.marks) == (None, 75.42, ABSENT)
    assert (row["Avg."].value, row["Avg."].published) == (None, 62.08)
    here = [noisy("tawt_joint", t, s) for t in study.target_names for s in range(3)]
    assert row["Avg. of those at hand"].value == pytest.approx(100 * np.mean(here))
    assert any(n.mark == ABSENT and "Predicate Detection: its data are not at hand" in n.text for n in table.notes)


def weights(study: Study, final: Mapping[str, float]) -> Any:
    """Facts of records whose weights start even and end as `final` says, up to their sum."""

    def facts(variant: str, target: str, seed: int) -> Mapping[str, Any]:
        if not variant.startswith("tawt"):
            return {}
        tasks = [t for t in study.tasks_with(target) if variant != "tawt_pre_w" or t != target]
        total = sum(final[t] for t in tasks)
        rows = [[1 / len(tasks)] * len(tasks), [final[t] / total for t in tasks]]
        weighed = {"tasks": tasks, "target": target, "after": [0, 9], "multiplier": rows, "effective": rows}
        return {"omega": {**weighed, "cosine": [[0.1] * len(tasks)]}}

    return facts


def test_the_weights_stand_beside_the_published_ones_for_each_target(left: Left) -> None:
    study = study_of("tawt_table6")
    final = {"ud_ewt_upos": 0.1, "conll2000_chunk": 0.2, "predicates": 0.3, "wnut17": 0.4}
    tables = exhibits.find("tawt_table6").page("small", study, left(study, noisy, facts=weights(study, final))).tables
    assert [t.name for t in tables] == [
        f"table6_{t}" for t in ("ud_ewt_upos", "conll2000_chunk", "predicates", "wnut17")
    ]
    names = tables[-1]
    assert [c.title for c in names.columns] == ["method", "PoS", "Chunking", "Predicate Detection", "NER (target)"]
    pre, joint, normalized = names.rows
    assert [c.value for c in pre[1:4]] == pytest.approx([1 / 6, 2 / 6, 3 / 6])
    assert pre[4].value is None and pre[4].published is None  # a target has no weight in pre-training
    assert [c.published for c in pre[1:4]] == [0.92, 0.05, 0.04]
    assert [c.value for c in joint[1:]] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert [c.published for c in normalized[1:]] == [0.003, 0.003, 0.003, 0.99]


def test_weights_of_a_task_without_data_are_the_papers_alone(left: Left) -> None:
    study = without_predicates(study_of("tawt_table6"))
    final = {"ud_ewt_upos": 0.2, "conll2000_chunk": 0.3, "wnut17": 0.5}
    tables = exhibits.find("tawt_table6").page("small", study, left(study, noisy, facts=weights(study, final))).tables
    names = next(t for t in tables if t.name == "table6_wnut17")
    joint = names.rows[1]
    assert [c.value for c in joint[1:]] == [pytest.approx(0.2), pytest.approx(0.3), None, pytest.approx(0.5)]
    assert joint[3].published == 0.05
    assert any("Predicate Detection: the data are not at hand" in n.text for n in names.notes)


def test_a_study_of_other_tasks_fills_another_column_of_table_3(left: Left) -> None:
    titles = ("PoS(20K)+Chunking(9K) → NER(2K)", "PoS(20K) → NER(2K)")
    for title, overrides in ((titles[0], ()), (titles[1], ("tasks=[ud_ewt_upos, wnut17]",))):
        study = study_of("tawt_table3", "small", *overrides)
        (table,) = exhibits.find("tawt_table3").page("small", study, left(study, noisy)).tables
        row = next(r for r in table.rows if r[0].value == "Joint Training")
        ours = {c.title for c, x in zip(table.columns[1:-1], row[1:-1], strict=True) if x.value is not None}
        assert ours == {title}
        assert [x.published for x in row[1:-1]] == [65.7, 67.12, 79.82, 70.88]


def test_ratios_have_columns_and_their_average_is_over_all_of_them(left: Left) -> None:
    reached = ("k=500 ratio 1", "k=500 ratio 2")
    every = [str(s) for s in study_of("tawt_table4").settings_grid]
    lacking = {"single_task_pooled": {"wnut17": dict.fromkeys((s for s in every if s not in reached), "too few")}}
    study = study_of("tawt_table4").model_copy(update={"unreached_of": lacking})
    n = left(study, noisy)
    (table,) = exhibits.find("tawt_table4").page("small", study, n).tables
    assert [c.title for c in table.columns[1:-1]] == [f"ratio {2**i}" for i in range(8)] + ["average"]
    rows = {str(r[0].value): r[1:-1] for r in table.rows}
    upper, ours = rows["Upper Bound"], rows["Weighted Normalized Joint Training"]
    ours_of_upper = 100 * np.mean([noisy("single_task_pooled", "wnut17", s) for s in range(3)])
    assert [c.value for c in upper] == [pytest.approx(ours_of_upper)] * 2 + [None] * 7
    assert [c.marks for c in upper[2:]] == [ABSENT] * 7
    assert not any(c.best or c.tied for c in upper)
    assert any(t.startswith("not enough data: upper bound, ratio 4: too few") for t in (x.text for x in table.notes))
    assert [c.published for c in upper] == [62.69, 70.31, 75.65, 79.39, 81.59, 83.19, 84.18, None, None]
    assert ours[-1].published == 56.4
    assert ours[-1].value == pytest.approx(np.mean([float(str(c.value)) for c in ours[:-1]]))


def test_fine_tuning_alone_stands_once_in_table_5(left: Left) -> None:
    study = study_of("tawt_table5")
    eight, ten = exhibits.find("tawt_table5").page("small", study, left(study, noisy)).tables
    alone = [next(r for r in t.rows if r[0].value == "Single-Task Learning") for t in (eight, ten)]
    assert [c.published for c in alone[0][1:-1]] == [30.08, 54.26, 68.05, 74.77, 79.2, 61.27]
    assert all(c.published is None for c in alone[1][1:-1])


def test_the_figure_shows_paired_differences_that_may_be_negative(left: Left) -> None:
    study = study_of("tawt_fig1")
    n = left(study, lambda v, t, s: 0.3 + 0.01 * s - 0.05 * (v == "tawt_normalized_w"))
    figures = exhibits.find("tawt_fig1").page("small", study, n).figures
    assert [f.name for f in figures] == ["fig1_ratio", "fig1_size"]
    (panel,) = figures[0].make().axes
    line = next(x for x in panel.lines if len(x.get_xdata()) == 9)
    assert list(line.get_ydata()) == pytest.approx([-5.0] * 9)
    low, high = panel.get_ylim()
    assert low < -5 and high > 0  # a line marks zero
    assert [a.get_title() for a in figures[1].make().axes] == ["ratio 8", "ratio 10"]
    assert draw(figures[0]) == draw(figures[0])


def test_heads_of_generated_tasks_have_the_studys_setting(left: Left) -> None:
    study = study_of("tawt_table1", "smoke")
    results = ExhibitResults(exhibits.find("tawt_table1"), "smoke", study, left(study, noisy))
    (head,) = _tagging.tagging_heads(results, _tagging.SIZES, "", "")
    assert head.setting == "k=48" and len(by_seed(results.numbers, head, "tawt_joint_w")) == 2


def test_a_reading_stands_beside_the_variant_that_it_is_of_in_the_setting_of_its_target(left: Left) -> None:
    study = without_predicates(study_of("tawt_readings"))
    assert study.report.baseline == "tawt_joint_w"
    n = left(study, lambda v, t, s: 0.5 + 0.01 * s + 0.02 * (v == "tawt_pre_w[warm_f0=true]"))
    (table,) = exhibits.find("tawt_readings").page("small", study, n).tables
    assert [c.title for c in table.columns[1:-1]] == ["PoS (k=100)", "Chunking (k=100)", "NER (k=500)"]
    rows = {str(r[0].value).partition(":")[0]: r for r in table.rows}
    assert [c.value for c in rows["D5"][1:-1]] == pytest.approx([2.0] * 3)
    assert [c.value for c in rows["D4"][1:-1]] == pytest.approx([0.0] * 3)


def test_a_weight_for_every_example_stands_beside_none_and_the_papers_majority(left: Left) -> None:
    study = study_of("tawt_fig2")
    assert (study.plm, study.length, [*map(str, study.settings_grid)]) == ("mlp:512", None, ["k=100 ratio 10"])
    assert study.task_options["word_vectors"]["tags"] == {"ud_ewt_upos": ["NOUN", "PROPN"]}
    # the target alone is trained as the others are: their rate, and as many updates as an epoch of it has 200 times
    alone, weighted = (catalogue().resolve(v, study.fixed_settings(v)) for v in ("single_task", "tawt_samples_pre_w"))
    for name in ("lr", "batch_size", "warmup", "weight_decay", "clip"):
        assert alone[name] == weighted[name] == catalogue().defaults("tawt_samples_pre_w")[name]
    assert alone["updates"] == weighted["epochs"] == 200
    n = left(study, noisy)
    page = exhibits.find("tawt_fig2").page("small", study, n)
    (table,) = page.tables
    assert [r[0].value for r in table.rows][:6] == [
        "Pre-Training",
        "Weighted-Sample Pre-Training",
        "Joint Training",
        "Weighted-Sample Joint Training",
        "Single-Task Learning",
        "Majority baseline",
    ]
    assert [r[1].published for r in table.rows] == [None] * 5 + [20.17, None]
    (figure,) = page.figures
    (axes,) = figure.make().axes
    assert [t.get_text() for t in axes.get_yticklabels()] == [str(r[0].value) for r in table.rows][:5]
    assert draw(figure) == draw(figure)
    assert any("WNUT-17" in s and "nouns and proper nouns" in s for s in page.setup)


def test_the_papers_test_over_sentences_stands_beside_the_one_over_seeds(left: Left) -> None:
    study = without_predicates(study_of("tawt_table1"))
    n = left(study, noisy)
    single = {
        (v, t): np.random.default_rng([*f"{v} {t}".encode()]).uniform(0, 1, 60) + 0.4 * (v == "tawt_joint_w")
        for v in study.variants
        for t in study.target_names
        if (v, t) != ("tawt_pre", "wnut17")  # predictions that cannot be read
    }
    asked = set()

    def runs(variant: str, target: str, setting: str, seed: int) -> Any:
        asked.add((target, setting, seed))
        return single.get((variant, target))

    page = exhibits.find("tawt_table1").page("small", study, n, runs)
    table = next(t for t in page.tables if t.name == "table1_tests")
    assert asked == {("ud_ewt_upos", "k=100", 0), ("conll2000_chunk", "k=100", 0), ("wnut17", "k=500", 0)} | {
        ("predicates", "k=300", 0)
    }
    rows = {(r[0].value, r[1].value): {c.name: x for c, x in zip(table.columns, r, strict=True)} for r in table.rows}
    assert len(rows) == 3 * 4
    joint = rows["Weighted Joint Training", "PoS"]
    ours, theirs = single["tawt_joint_w", "ud_ewt_upos"], single["tawt_joint", "ud_ewt_upos"]
    oracle = ttest_rel(ours, theirs)
    assert joint["p"].value == pytest.approx(oracle.pvalue) and joint["t"].value == pytest.approx(oracle.statistic)
    assert joint["difference"].value == pytest.approx(100 * np.mean(ours - theirs))
    assert (joint["stars"].value, joint["sentences"].value) == ("***" if oracle.pvalue < 0.001 else "none", 60)
    seeds = [[noisy(v, "ud_ewt_upos", s) for s in range(3)] for v in ("tawt_joint_w", "tawt_joint")]
    assert joint["p over seeds"].value == pytest.approx(ttest_rel(*seeds).pvalue)
    assert joint["over seeds"].value == pytest.approx(100 * np.mean(np.subtract(*seeds)))
    # where there is nothing to test, the paper's stars stand alone
    unread, absent = (
        rows["Weighted Pre-Training", "NER"],
        rows["Weighted Normalized Joint Training", "Predicate Detection"],
    )
    assert unread["p"].value is unread["stars"].value is absent["p over seeds"].value is None
    assert (unread["published stars"].value, absent["published stars"].value) == ("***", "none")
    assert [rows["Weighted Normalized Joint Training", t]["published stars"].value for t in ("PoS", "NER")] == [
        "***"
    ] * 2


def test_no_stars_where_the_paper_prints_none(left: Left) -> None:
    study = study_of("tawt_table7")
    assert [t.name for t in exhibits.find("tawt_table7").page("small", study, left(study, noisy)).tables] == ["table7"]
