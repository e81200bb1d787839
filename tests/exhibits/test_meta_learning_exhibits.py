"""The exhibits of Dou et al.: metrics of GLUE, forms of Reptile, and tasks whose data are missing."""

from __future__ import annotations

import numpy as np
import pytest
from exhibits.conftest import Left

from raystudy import exhibits
from raystudy.analysis.tables import ABSENT
from raystudy.catalogue import catalogue
from raystudy.exhibits import _glue
from raystudy.methods import Sizes, hparams
from raystudy.methods.maml import HParams
from raystudy.studyfile import Study

NAMES = ("dou2019_table1", "dou2019_table2", "dou2019_table3", "dou2019_fig2")


def study_of(name: str, scale: exhibits.Scale = "small") -> Study:
    study = exhibits.find(name).study(scale)
    assert study is not None
    return study


def noisy(variant: str, target: str, seed: int) -> float:
    return float(np.random.default_rng([*f"{variant} {target} {seed}".encode()]).uniform(0.2, 0.6))


@pytest.mark.parametrize("name", NAMES)
def test_what_the_scales_say(name: str) -> None:
    smoke, small, paper = (study_of(name, scale) for scale in exhibits.SCALES)
    assert (smoke.plm, smoke.suite, small.length, small.missing_data) == ("tiny", "planted", 48, "leave_out")
    meta = [v for v in small.variants if catalogue().variant(v).method == "maml"]
    for study, wanted in ((small, (60, 4, 4)), (paper, (0, 8, 32))):
        settings = [catalogue().resolve(v, study.fixed_settings(v)) for v in meta]
        assert {(s["meta_steps"], s["tasks_per_step"], s["batch_size"]) for s in settings} == {wanted}
    inner = {catalogue().resolve(v, small.fixed_settings(v))["inner_steps"] for v in meta}
    assert inner == ({3, 5, 7} if name == "dou2019_table3" else {3})
    # the outer rate and the inner steps are left to a search, but for what is in a variant's name
    searched = exhibits.find(name).study("small", search=True)
    assert searched is not None
    for v in meta:
        moved = set(catalogue().searched_parameters(v, searched.fixed_settings(v)))
        assert "outer_lr" in moved and ("inner_steps" in moved) == ("inner_steps=" not in v)


def test_the_outer_rate_is_the_best_of_those_that_were_tried(left: Left) -> None:
    """On dev; and the caption says it, unless the study's own search is to choose another."""
    assert _glue.TRIED[_glue.OUTER_LR] == max(_glue.TRIED.values(), key=sum)
    exhibit = exhibits.find("dou2019_table1")
    for search in (False, True):
        study = exhibit.study("small", search=search)
        assert study is not None
        (table,) = exhibit.page("small", study, left(study, noisy)).tables
        assert ("rate of meta-learning: 0.0002, chosen on dev." in table.caption) is not search
    assert not any("chosen on dev" in t.caption for t in exhibit.page("paper", study, left(study, noisy)).tables)


def test_two_metrics_of_a_task_have_both_published_numbers_and_missing_data_the_reason(left: Left) -> None:
    study = study_of("dou2019_table1").model_copy(update={"absent": ("mrpc",)})
    (table,) = exhibits.find("dou2019_table1").page("small", study, left(study, noisy)).tables
    assert [c.title for c in table.columns[1:-1]] == ["CoLA", "MRPC", "STS-B", "RTE"]
    cola, mrpc, stsb, rte = next(r for r in table.rows if r[0].value == "FOMAML")[1:-1]
    assert (mrpc.value, mrpc.published, mrpc.second_published, mrpc.marks) == (None, 89.9, 86.4, ABSENT)
    assert (stsb.published, stsb.second_published) == (88.6, 88.0)
    assert (cola.published, cola.second_published, rte.published) == (51.6, None, 74.1)
    assert any(n.mark == ABSENT and "MRPC: its data are not at hand" in n.text for n in table.notes)
    assert any("MT-DNN" in n for n in exhibits.find("dou2019_table1").notes)


@pytest.mark.parametrize("scale", ["smoke", "small"])
def test_task_distributions_differ_where_they_are_compared(scale: exhibits.Scale) -> None:
    """With tasks of one size, by size would be uniform; with too few steps, mixed would never come to the target."""
    study = study_of("dou2019_table2", scale)
    target = study.target_names[0]
    full = {t: study.limits_of(t)["train"] for t in study.task_names}
    sizes = Sizes(full, target)
    drawn = {}
    for v in study.variants:
        if catalogue().variant(v).method == "maml":
            hp = hparams(HParams, catalogue().resolve(v, study.fixed_settings(v)))
            p = hp.distribution(sizes, [*full].index(target))
            drawn[v] = np.stack([p(step) for step in range(hp.steps(sizes))]).tobytes()
    assert len(drawn) == len({*drawn.values()}) == 4


@pytest.mark.parametrize(
    ("name", "title", "published"),
    [
        ("dou2019_table2", "Reptile-Mixed 5:1", [61.6, 85.8, 90.1, 74.7]),
        ("dou2019_table3", "k = 5, α = 1e-2", [60.1, 87.8, 89.5, 73.9]),
    ],
)
def test_ablations_are_scores_on_dev(name: str, title: str, published: list[float], left: Left) -> None:
    study = study_of(name)
    (table,) = exhibits.find(name).page("small", study, left(study, noisy)).tables
    row = next(r for r in table.rows if r[0].value == title)
    assert [c.published for c in row[1:-1]] == published
    variant = next(v for v in study.variants if catalogue().variant(v).title and v in _forms(title))
    wanted = [100 * np.mean([noisy(variant, t, s) + 0.01 for s in range(3)]) for t in study.target_names]
    assert [c.value for c in row[1:-1]] == pytest.approx(wanted)
    assert study.task_options["mrpc"] == {"metric": "accuracy", "second_metric": "f1"}


def _forms(title: str) -> set[str]:
    form = {"Reptile-Mixed 5:1": ("reptile_mixed", {"ratio": 5.0}), "k = 5, α = 1e-2": ("reptile_pps", None)}[title]
    return {catalogue().with_settings(form[0], form[1] or {"inner_steps": 5, "alpha": 0.01}).id}


def test_fractions_are_counts_of_the_papers_training_set(left: Left) -> None:
    for scale in ("small", "paper"):
        study = study_of("dou2019_fig2", scale)
        assert study.shots == (24, 236, 2_360, 23_596)
        assert study.unseen == study.target_names == ("scitail",)
    shown = exhibits.find("dou2019_fig2").page("small", study, left(study, noisy))
    (table,), (figure,) = shown.tables, shown.figures
    titles = ["0.1 % (24)", "1 % (236)", "10 % (2,360)", "100 % (23,596)"]
    assert [c.title for c in table.columns[1:-1]] == titles
    assert figure.name == table.name == "fig2"
