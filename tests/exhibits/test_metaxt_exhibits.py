"""MetaXT's exhibits: what each asks, the k's that were run beside the published ones, and the learned label maps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from exhibits.conftest import Left

from raystudy import exhibits
from raystudy.analysis.figures import draw
from raystudy.analysis.sections import curves
from raystudy.analysis.table import MISSING, cell_text
from raystudy.catalogue import catalogue
from raystudy.exhibits import _few_shot
from raystudy.studyfile import Study

CURVES = ("metaxt_fig3", "metaxt_fig4", "metaxt_fig5", "metaxt_fig6")
TABLES = ("metaxt_table2", "metaxt_table3")
TITLES = {"metaxt_fig3": "SST-5 in place of Yelp", "metaxt_fig5": "POS to MWE", "metaxt_fig6": "German NER"}


def study_of(name: str, scale: exhibits.Scale = "small", *overrides: str) -> Study:
    study = exhibits.find(name).study(scale, overrides=overrides)
    assert study is not None
    return study


def noisy(variant: str, target: str, seed: int) -> float:
    return float(np.random.default_rng([*f"{variant} {target} {seed}".encode()]).uniform(0.2, 0.6))


# ---------------------------------------------------------------------------------------------------------------------
# what they ask


@pytest.mark.parametrize("name", [*CURVES, *TABLES])
def test_what_the_scales_say(name: str) -> None:
    smoke, small, paper = (study_of(name, scale) for scale in exhibits.SCALES)
    tagged = name in ("metaxt_fig5", "metaxt_fig6")
    assert smoke.suite == ("planted_tags" if tagged else "planted")
    assert small.shots == (20, 50, 100) and paper.shots == (20, 50, 100, 200, 500)
    assert (small.report.seeds, paper.report.seeds) == (3, 5)
    assert (small.length, small.limits.test, small.limits.train, small.source_limits.train) == (48, 500, None, 2000)
    assert (paper.length, paper.limits.test, paper.source_limits.train) == (None, None, None)
    for study, most in ((small, 100), (paper, 0)):
        trained = [v for v in study.variants if catalogue().variant(v).role != "floor"]
        settings = [catalogue().resolve(v, study.fixed_settings(v)) for v in trained]
        assert {(s["batch_size"], s["min_updates"], s["max_updates"]) for s in settings} == {(10, 100, most)}
    assert (small.settings["lr"], paper.settings["lr"]) == (2e-4, 3e-5)
    german = name == "metaxt_fig6"
    assert (small.plm, paper.plm) == ("minilm", "dbmdz/bert-base-german-cased" if german else exhibits.PLM["paper"])


@pytest.mark.parametrize("name", CURVES)
def test_every_method_has_a_curve(name: str) -> None:
    own = [] if name in ("metaxt_fig5", "metaxt_fig6") else ["metaxt_fixed"]
    for scale in exhibits.SCALES:
        shown = [v for v in study_of(name, scale).variants if catalogue().variant(v).role != "floor"]
        assert shown == [
            "single_task",
            "multi_task",
            "adapter_fusion",
            "xt",
            "metaxt",
            "metaxt_rtn",
            "metaxt_centred",
            *own,
        ]


def test_the_fixed_map_speaks_of_the_classes_that_there_are() -> None:
    from raystudy.plugins import find_module

    for name in ("metaxt_fig3", "metaxt_fig4"):
        study = study_of(name)
        (target,) = study.target_names
        (source,) = (t for t in study.task_names if t != target)
        said = study.variants["metaxt_fixed"]["label_map"]
        assert {*said} == {*find_module("tasks", source).CARD.labels}
        assert {c for meant in said.values() for c in meant} <= {*find_module("tasks", target).CARD.labels}


def test_what_is_searched_is_not_set() -> None:
    exhibit = exhibits.find("metaxt_fig4")
    study = exhibit.study("small", search=True)
    assert study is not None
    assert study.variants["adapter_fusion"] == {} and "label_map" in study.variants["metaxt_fixed"]
    assert {"lr", "fusion_lr"} <= {
        *catalogue().searched_parameters("adapter_fusion", study.fixed_settings("adapter_fusion"))
    }


def test_the_german_pair_may_be_replaced_by_a_free_one(left: Left) -> None:
    study = study_of("metaxt_fig6", "small", "suite=chunk_to_ner")
    assert study.tasks_with("wnut17") == ("wnut17", "conll2000_chunk")
    shown = exhibits.find("metaxt_fig6").page("small", study, left(study, noisy))
    (table,) = shown.tables
    assert "chunks to names, in place of German NER" in table.caption
    assert any("--set suite=chunk_to_ner" in s for s in shown.setup)


# ---------------------------------------------------------------------------------------------------------------------
# tables and curves


@pytest.mark.parametrize(("name", "multi", "metaxt"), [("metaxt_table2", 21.8, 48.1), ("metaxt_table3", 23.8, 50.0)])
def test_published_ks_that_were_not_run_stand_alone(name: str, multi: float, metaxt: float, left: Left) -> None:
    study = study_of(name)
    (table,) = exhibits.find(name).page("small", study, left(study, noisy)).tables
    assert [c.title for c in table.columns[1:-1]] == [f"k = {k}" for k in _few_shot.SHOTS["paper"]]
    rows = {str(r[0].value): r[1:-1] for r in table.rows}
    assert [*rows][:3] == ["Multi-Task", "MetaXT", "XT"]
    assert (rows["Multi-Task"][0].published, rows["MetaXT"][-1].published) == (multi, metaxt)
    (target,) = study.target_names
    wanted = 100 * np.mean([noisy("xt", target, s) for s in range(3)])
    assert rows["XT"][1].value == pytest.approx(wanted)
    assert [c.value is None for c in rows["XT"]] == [False] * 3 + [True] * 2
    assert all(c.published is None for title in ("single-task", "majority class") for c in rows[title])
    notes = {n.text for n in table.notes}
    assert "Not run at scale small: k = 200 and k = 500." in notes and f"{MISSING} has no finished run here." in notes
    assert "The paper marks its MetaXT with bold on k = 20, k = 50, k = 100, k = 200 and k = 500." in notes
    paper = study_of(name, "paper")
    (table,) = exhibits.find(name).page("paper", paper, left(paper, noisy)).tables
    assert not any("Not run" in n.text for n in table.notes)


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_and_its_numbers(name: str, left: Left) -> None:
    study = study_of(name)
    n = left(study, noisy)
    shown = exhibits.find(name).page("small", study, n)
    (table,), (figure,) = shown.tables, shown.figures
    assert figure.name == table.name == name.removeprefix("metaxt_")
    assert ("span F1" if name in ("metaxt_fig5", "metaxt_fig6") else "accuracy") in table.caption
    assert TITLES.get(name, "Amazon stars") in table.caption
    assert [c.title for c in table.columns[1:-1]] == ["k = 20", "k = 50", "k = 100"]
    (curve,) = curves.SECTION.of(n)
    for line in curve.lines:
        title = "Target Only" if line.variant == "single_task" else line.title
        row = next(r for r in table.rows if r[0].value == title)
        assert [c.value for c in row[1:-1]] == pytest.approx([100 * p.mean for p in line.points])
    svg = draw(figure).decode()
    assert all(svg.count(f">{line.title}<") == 1 for line in curve.lines) and draw(figure) == svg.encode()
    assert _few_shot.POINTS in shown.setup


def test_one_k_is_no_curve(left: Left) -> None:
    study = study_of("metaxt_fig3", "small", "shots=[50]")
    shown = exhibits.find("metaxt_fig3").page("small", study, left(study, noisy))
    assert shown.figures == () and len(shown.tables[0].columns) == 3


# ---------------------------------------------------------------------------------------------------------------------
# learned label maps

FIVE = ("very negative", "negative", "neutral", "positive", "very positive")
STARS = ("1 star", "2 stars", "4 stars", "5 stars")
POLAR = ["negative", "positive"]
SAID: dict[str, dict[str, Any]] = {
    "sst5": {
        "target_classes": list(FIVE),
        "sources": {"amazon_mds": {"classes": POLAR, "mean": [[0.5, 0.3, 0.1, 0.1, 0.0], [0.0, 0.0, 0.2, 0.4, 0.4]]}},
    },
    "amazon_mds_stars": {
        "target_classes": list(STARS),
        "sources": {"imdb": {"classes": POLAR, "mean": [[0.75, 0.25, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]]}},
    },
}


def said(variant: str, target: str, seed: int) -> Mapping[str, Any]:
    return {"label_map": SAID[target]} if variant in ("metaxt", "xt") else {}


def test_a_map_for_each_method_and_suite(left: Left) -> None:
    study = study_of("metaxt_fig7")
    assert study.suites == ("polarity_to_five", "polarity_to_stars") and study.shots == (100,)
    shown = exhibits.find("metaxt_fig7").page("small", study, left(study, noisy, facts=said))
    five, stars = shown.tables
    assert [c.title for c in five.columns] == ["method", "class of the source", *FIVE]
    assert [[cell_text(x, c) for x, c in zip(r, stars.columns, strict=True)] for r in stars.rows] == [
        ["MetaXT", "negative", "75.0 ± 0.0 (3)", "25.0 ± 0.0 (3)", "0.0 ± 0.0 (3)", "0.0 ± 0.0 (3)"],
        ["MetaXT", "positive", *["25.0 ± 0.0 (3)"] * 4],
        ["XT", "negative", "75.0 ± 0.0 (3)", "25.0 ± 0.0 (3)", "0.0 ± 0.0 (3)", "0.0 ± 0.0 (3)"],
        ["XT", "positive", *["25.0 ± 0.0 (3)"] * 4],
    ]
    (figure,) = shown.figures
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", draw(figure).decode())
    titles = [t for t in texts if ": " in t]
    assert titles == ["MetaXT: Amazon products", "XT: Amazon products", "MetaXT: IMDb", "XT: IMDb"]
    assert (texts.count(".75"), texts.count(".30"), texts.count(".40")) == (2, 2, 4)


def test_without_records_there_is_no_map(left: Left) -> None:
    study = study_of("metaxt_fig7")
    shown = exhibits.find("metaxt_fig7").page("small", study, left(study, noisy))
    assert shown.figures == () and all(t.rows == () for t in shown.tables)


def test_many_classes_are_told_by_the_largest_shares(left: Left) -> None:
    from raystudy.tasks.conll2003_de import CARD as SOURCE
    from raystudy.tasks.germeval14 import CARD as TARGET

    study = study_of("metaxt_fig8")
    rows = np.random.default_rng(0).dirichlet(np.full(25, 0.3), 9)
    named: dict[str, Any] = {c: list(row) for c, row in zip(SOURCE.labels, rows, strict=True)}
    named["I-MISC"] = None  # not among those that were looked at
    source = {"classes": [*named], "mean": [*named.values()]}
    fact = {"label_map": {"target_classes": list(TARGET.labels), "sources": {"conll2003_de": source}}}
    n = left(study, noisy, facts=lambda v, t, s: fact if v.startswith("metaxt") else {})
    shown = exhibits.find("metaxt_fig8").page("small", study, n)
    (table,) = shown.tables
    assert len(table.rows) == 2 * 9 * 3 and [len(p) for p in table.parts] == [27, 27]
    for label, row in named.items():
        mine = [r for r in table.rows[:27] if r[1].value == label]
        if row is None:
            assert all(r[3].value is None for r in mine)
            continue
        best = sorted(range(25), key=lambda j: -row[j])[:3]
        assert [r[2].value for r in mine] == [TARGET.labels[j] for j in best]
        assert [r[3].value for r in mine] == pytest.approx([100 * row[j] for j in best])
    assert any("not among the source examples" in note.text for note in table.notes)
    assert len(re.findall(r">–</text>", draw(shown.figures[0]).decode())) == 2 * 25
