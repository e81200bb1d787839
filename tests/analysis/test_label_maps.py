"""Learned label maps: means over seeds of what the records say, the table and the figure of them, and the report."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis.conftest import Make
from cells import ran, spec_of

from raystudy.analysis.compute import compute, design_of
from raystudy.analysis.figures import draw
from raystudy.analysis.heatmap import Shares, share_maps
from raystudy.analysis.markdown import to_markdown
from raystudy.analysis.report import build
from raystudy.analysis.sections.label_maps import compute as maps_of
from raystudy.analysis.sections.label_maps import label_map_figures, label_map_table
from raystudy.spec import Record
from raystudy.studyfile import Study


@pytest.fixture
def study() -> Study:
    return Study(name="mine", tasks=("stars", "polarity"), targets=("stars",), shots=(20,), methods=("xt", "metaxt"))


def told(
    make: Make, seed: int, bad: list[float] | None, good: list[float], variant: str = "metaxt", **other: Any
) -> Record:
    record = make(variant, target="stars", seed=seed, suite=("stars", "polarity"), **other)
    said = {
        "target_classes": ["2", "1", "3"],
        "sources": {"polarity": {"classes": ["bad", "good"], "mean": [bad, good]}},
    }
    return replace(record, facts={**record.facts, "label_map": said})


def three(make: Make) -> list[Record]:
    return [
        told(make, 0, [0.6, 0.4, 0.0], [0.0, 0.0, 1.0]),
        told(make, 1, [0.4, 0.6, 0.0], [0.25, 0.25, 0.5]),
        told(make, 2, None, [0.5, 0.5, 0.0]),
    ]


def test_golden(study: Study, make: Make) -> None:
    """Means by hand; classes of both in the orders of their heads."""
    (m,) = maps_of(three(make), design_of(study))
    assert (m.variant, m.target, m.setting, m.source, m.seeds) == ("metaxt", "stars", "k=20", "polarity", (0, 1, 2))
    assert (m.classes, m.target_classes) == (("bad", "good"), ("2", "1", "3"))
    assert [s.mean for row in m.shares for s in row] == pytest.approx([0.5, 0.5, 0.0, 0.25, 0.25, 0.5])
    assert [[s.n for s in row] for row in m.shares] == [[2, 2, 2], [3, 3, 3]]
    assert to_markdown(label_map_table("x", "Caption.", [m], {"metaxt": "MetaXT"}, ["A note."])) == (
        """\
**Caption.**

| method | class of the source | 2 | 1 | 3 |
| :--- | :--- | ---: | ---: | ---: |
| MetaXT | bad | 50.0 ± 127.1 (2) | 50.0 ± 127.1 (2) | 0.0 ± 0.0 (2) |
| MetaXT | good | 25.0 ± 62.1 (3) | 25.0 ± 62.1 (3) | 50.0 ± 124.2 (3) |

A note.
"""
    )


def test_what_a_training_says_of_its_map_is_what_is_read() -> None:
    """Real records: the shares are those of the record, class by class."""
    record = ran(spec_of("metaxt", max_updates=2)).outcome.record
    source, target = record.spec.suite[1], record.spec.target
    asked = Study(name="mine", tasks=record.spec.suite, targets=(target,), methods=("metaxt",))
    (m,) = maps_of([record], design_of(asked))
    said = record.facts["label_map"]
    assert (m.source, list(m.classes)) == (source, said["sources"][source]["classes"])
    assert [[s.mean for s in row] for row in m.shares] == said["sources"][source]["mean"]
    assert list(m.target_classes) == said["target_classes"]


def test_neither_the_order_of_records_nor_writing_them_changes_anything(study: Study, make: Make) -> None:
    records = [*three(make), *(told(make, s, [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], "xt") for s in (0, 1))]
    wanted = maps_of(records, design_of(study))
    assert [m.variant for m in wanted] == ["xt", "metaxt"]
    assert maps_of(records[::-1], design_of(study)) == wanted
    assert maps_of([Record.from_json(r.to_json()) for r in records], design_of(study)) == wanted  # keys come sorted


def test_what_counts_are_finished_confirmed_cells(study: Study, make: Make) -> None:
    searched = told(make, 1000, [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], phase="search")
    failed = make("metaxt", target="stars", seed=1, error="Broken", suite=("stars", "polarity"))
    (m,) = maps_of([three(make)[0], searched, failed], design_of(study))
    assert m.seeds == (0,) and m.shares[1][2].mean == 1.0
    assert maps_of([make("metaxt", target="stars", suite=("stars", "polarity"))], design_of(study)) == []


def test_maps_over_different_classes_have_no_mean(study: Study, make: Make) -> None:
    first, second, _ = three(make)
    other = {
        "target_classes": ["2", "1"],
        "sources": {"polarity": {"classes": ["bad", "good"], "mean": [[0, 1], [1, 0]]}},
    }
    second = replace(second, facts={**second.facts, "label_map": other})
    with pytest.raises(ValueError, match="label maps must be over the same classes"):
        maps_of([first, second], design_of(study))


def test_shares_and_frames_stand_in_the_picture(study: Study, make: Make) -> None:
    numbers = compute(study, three(make))
    (figure,) = label_map_figures(numbers)
    assert figure.name == "label_map_stars_k20"
    svg = draw(figure).decode()
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert texts.count(".50") == 3 and texts.count(".25") == 2 and texts.count(".00") == 1
    assert {"MetaXT: polarity", "bad", "good", "1", "2", "3", "share"} <= set(texts)
    assert len(re.findall(r'style="fill: none; stroke: #10151a; stroke-width: 1.2', svg)) == 2  # one a row
    assert draw(figure) == svg.encode()


def test_a_class_without_a_share_is_a_dash() -> None:
    values = np.array([[0.1, 0.9], [np.nan, np.nan]])
    svg = draw(share_maps("x", "title", [Shares("map", ("a", "b"), ("c", "d"), values)])).decode()
    assert len(re.findall(r">–</text>", svg)) == 2
    with pytest.raises(ValueError, match=r"must be 1 by 2, but have shape \(2, 2\)"):
        Shares("map", ("a",), ("c", "d"), values)


def test_a_report_has_the_section_only_where_something_was_learned(study: Study, make: Make, tmp_path: Path) -> None:
    for name, records in (
        ("with", three(make)),
        ("without", [make("xt", target="stars", suite=("stars", "polarity"))]),
    ):
        path = build(study, records, [], tmp_path / name, facts={})
        page = path.with_name("report.html").read_text(encoding="utf-8")
        learned = name == "with"
        assert ("## Learned label maps" in path.read_text(encoding="utf-8")) == learned
        assert ('<section id="label-maps">' in page) == ('href="#label-maps"' in page) == learned
        assert (path.parent / "figures" / "label_map_stars_k20.svg").exists() == learned


def test_words_beyond_the_longest_sequence_are_said(study: Study, make: Make) -> None:
    records = [
        replace(r, counts={**r.counts, "cut_words_train": 3 * r.spec.seed, "cut_words_test": 40}) for r in three(make)
    ]
    said = [n for n in compute(study, records, notes=["First."]).notes if "longest sequence" in n]
    words = (
        "at most 6 of train and 40 of test words in one cell; they are answered with the most frequent tag of train."
    )
    assert said == [f"stars: beyond the longest sequence lie {words}"]
    assert compute(study, three(make), notes=["First."]).notes == ("First.",)
