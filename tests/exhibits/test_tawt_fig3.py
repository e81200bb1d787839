"""TAWT, Figure 3: the rows name the sources that they train on, and vectors stand in the place of texts."""

from __future__ import annotations

from exhibits.conftest import Left

from raystudy import exhibits
from raystudy.catalogue import catalogue
from raystudy.exhibits import tawt_fig3
from raystudy.exhibits.tawt_fig3 import RATES, ROWS
from raystudy.studyfile import Study


def study_of(scale: exhibits.Scale) -> Study:
    study = exhibits.find("tawt_fig3").study(scale)
    assert study is not None
    return study


def test_every_scale_trains_a_network_on_vectors() -> None:
    widths = {scale: study_of(scale).plm for scale in exhibits.SCALES}
    assert widths == {"smoke": "mlp:64", "small": "mlp:512", "paper": "mlp:4096"}
    for scale in exhibits.SCALES:
        study = study_of(scale)
        assert study.length is None and study.target_names == ("teachers/target",)
        assert study.limits.model_dump(exclude_none=True) == {}
        assert set(study.variants) == {*(row.variant for row in ROWS), "majority", "frozen_logistic"}
    # single-task learning is trained as the rest is, at the paper's settings
    small = study_of("small")
    for name in ("lr", "batch_size", "epochs", "warmup", "weight_decay", "clip"):
        values = {v: catalogue().resolve(v, small.fixed_settings(v))[name] for v in ("single_task", ROWS[1].variant)}
        assert len(set(values.values())) == 1, name
        assert values["single_task"] == catalogue().defaults("task_distance")[name]


def test_a_row_names_the_source_that_it_is_trained_on() -> None:
    tasks = study_of("small").tasks_with("teachers/target")
    others = [t for t in tasks if t != "teachers/target"]
    for row, rate in zip(ROWS[1:], RATES, strict=True):
        source = catalogue().variant(row.variant).fixes["source"]
        assert others[int(source) - 1] == f"teachers/flip_{rate}"
        assert f"q = {rate} %" in row.title


def test_the_page_has_a_row_for_every_rate_and_a_curve(left: Left) -> None:
    study = study_of("small")
    rate = {row.variant: i for i, row in enumerate(ROWS)}
    numbers = left(study, lambda variant, target, seed: 0.6 - 0.1 * rate.get(variant, 6) + 0.01 * seed)
    page = exhibits.find("tawt_fig3").page("small", study, numbers)
    (table,) = page.tables
    assert [str(row[0].value) for row in table.rows][:6] == [row.title for row in ROWS]
    assert len(page.figures) == 1
    assert any("no order of q to be seen" in s for s in page.setup)
    assert not any("word pieces" in s or "table1" in s for s in page.setup)
    assert tawt_fig3.EXHIBIT.name == "tawt_fig3"
