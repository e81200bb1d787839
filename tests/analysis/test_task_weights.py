"""Weights of tasks: their course over the seeds from the records, the table and the picture of it, and the report."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from analysis.conftest import Make, figures_of
from cells import ran, spec_of

from raystudy.analysis.compute import compute, design_of
from raystudy.analysis.figures import COLOURS, INK, draw
from raystudy.analysis.markdown import to_markdown
from raystudy.analysis.report import build
from raystudy.analysis.sections.task_weights import compute as weights_of
from raystudy.analysis.sections.task_weights import task_weights_table
from raystudy.spec import Record
from raystudy.studyfile import Study

TASKS = ("names", "pos", "chunks")


@pytest.fixture
def study() -> Study:
    methods = ("single_task", "tawt_joint", "tawt_joint_w")
    return Study(name="mine", tasks=TASKS, targets=("names",), shots=(20,), methods=methods)


def told(make: Make, seed: int, rows: list[list[float]], variant: str = "tawt_joint_w", **fact: Any) -> Record:
    """A record whose task weights have this course; in effect, those of the sources are exchanged."""
    record = make(variant, target="names", seed=seed, suite=TASKS)
    weights = {
        "tasks": list(TASKS),
        "target": "names",
        "after": [8 * k for k in range(len(rows))],
        "multiplier": rows,
        "effective": [[target, chunks, pos] for target, pos, chunks in rows],
        **fact,
    }
    return replace(record, facts={**record.facts, "omega": weights})


def two(make: Make) -> list[Record]:
    return [
        told(make, 0, [[0.2, 0.4, 0.4], [0.5, 0.4, 0.1]], cosine=[[1.0, 0.5, None]]),
        told(make, 1, [[0.2, 0.4, 0.4], [0.7, 0.2, 0.1]], cosine=[[1.0, 0.3, None]]),
    ]


def test_golden(study: Study, make: Make) -> None:
    """Means and cosines by hand; a cosine that was undefined throughout is none."""
    (w,) = weights_of(two(make), design_of(study))
    assert (w.variant, w.target, w.setting, w.seeds, w.tasks) == ("tawt_joint_w", "names", "k=20", (0, 1), TASKS)
    assert w.updates == 1
    assert [w.after("multiplier", -1, t).mean for t in range(3)] == pytest.approx([0.6, 0.3, 0.1])
    assert [w.after("effective", -1, t).mean for t in range(3)] == pytest.approx([0.6, 0.1, 0.3])
    assert w.values("multiplier", 1, 1) == (0.4, 0.2)
    lines = to_markdown(task_weights_table([w], design_of(study))).splitlines()[4:7]
    assert [line.removeprefix("| Weighted Joint Training | names | k=20 | ") for line in lines] == [
        "`names` | 0.200 | 0.600 ± 1.271 (2) | 0.600 ± 1.271 (2) | 1.000 ± 0.000 (2) |",
        "`pos` | 0.400 | 0.300 ± 1.271 (2) | 0.100 ± 0.000 (2) | 0.400 ± 1.271 (2) |",
        "`chunks` | 0.400 | 0.100 ± 0.000 (2) | 0.300 ± 1.271 (2) | – |",
    ]


@pytest.mark.parametrize("variant", ["tawt_pre_w", "tawt_joint_w", "tawt_joint"])
def test_what_a_training_says_of_its_weights_is_what_is_read(variant: str) -> None:
    """Real records: every row of the course is on the simplex, and the numbers are those of the record."""
    record = ran(spec_of(variant, max_updates=4)).outcome.record
    target = record.spec.target
    asked = Study(name="mine", tasks=record.spec.suite, targets=(target,), methods=(variant,))
    (w,) = weights_of([record], design_of(asked))
    said = record.facts["omega"]
    assert (list(w.tasks), list(map(list, w.multiplier[0]))) == (said["tasks"], said["multiplier"])
    assert list(map(list, w.effective[0])) == said["effective"]
    assert w.updates == len(said["after"]) - 1 and (w.updates > 0) == variant.endswith("_w")
    for course in (*w.multiplier, *w.effective):
        assert [sum(row) for row in course] == pytest.approx([1.0] * (w.updates + 1))
        assert all(x >= 0 for row in course for x in row)


def test_seeds_that_weigh_other_tasks_or_not_equally_often_are_refused(study: Study, make: Make) -> None:
    first, _ = two(make)
    longer = told(make, 1, [[0.2, 0.4, 0.4]] * 3)
    with pytest.raises(ValueError, match=r"tawt_joint_w on names .* the same tasks equally often"):
        weights_of([first, longer], design_of(study))


def test_the_picture_has_a_line_per_task_and_a_band_that_holds_every_seed(study: Study, make: Make) -> None:
    n = compute(study, [*two(make), told(make, 0, [[0.2, 0.4, 0.4]], "tawt_joint")])
    (figure,) = figures_of(n, "task-weights")
    assert figure.name == "task_weights_names_k20"
    canvas = figure.make()
    panels = canvas.axes
    assert [a.get_title() for a in panels] == ["Weighted Joint Training\nmultiplier in the loss", "in effect"]
    left = panels[0]
    assert [line.get_color() for line in left.lines] == [INK, *COLOURS[:2]]  # constant weights have no picture
    assert [list(line.get_ydata()) for line in left.lines] == [
        pytest.approx([0.2, 0.6]),
        pytest.approx([0.4, 0.3]),
        pytest.approx([0.4, 0.1]),
    ]
    ends = [
        sorted({float(y) for x, y in band.get_paths()[0].vertices if x == 1})  # type: ignore[attr-defined]
        for band in left.collections
    ]
    assert ends == [[0.5, 0.7], [0.2, 0.4], [0.1]]
    assert draw(figure) == draw(figure)
    assert "names (target)" in draw(figure).decode()


def test_the_report_has_a_section_only_where_tasks_were_weighed(study: Study, make: Make, tmp_path: Path) -> None:
    plain = [make("single_task", target="names", seed=s, suite=TASKS) for s in (0, 1)]
    for weighed, records in ((True, [*plain, *two(make)]), (False, plain)):
        path = build(study, records, [], tmp_path / str(weighed), facts={})
        text = path.read_text(encoding="utf-8")
        page = path.with_name("report.html").read_text(encoding="utf-8")
        assert ("## Task weights" in text) == weighed
        assert ('<section id="task-weights">' in page) == ('href="#task-weights"' in page) == weighed
        assert (path.parent / "figures" / "task_weights_names_k20.svg").exists() == weighed
        if weighed:
            assert "(figures/task_weights_names_k20.svg)" in text
            (said,) = re.findall(r"The sources with the greatest and the least part .*", text)
            assert "Weighted Joint Training on names (k=20): chunks 0.3, pos 0.1" in said
