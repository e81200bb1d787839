"""TAWT, Table 6: the weights of the tasks that three paradigms end with.

A table for each target. The weights are multipliers in the loss, as the paper prints them. Their course, and what they
come to in effect where tasks are drawn as often as they are large, are in the report's section on task weights.
"""

from __future__ import annotations

from raystudy.analysis.sections.task_weights import MEANING, SECTION, estimate
from raystudy.analysis.table import Cell, Column, Note, Table
from raystudy.exhibits import Exhibit, ExhibitResults
from raystudy.exhibits._papers import TAWT
from raystudy.exhibits._tagging import DATA, NAMES, SIZES, study_keys, tasks_of

__all__ = ["EXHIBIT"]

ROWS = ("tawt_pre_w", "tawt_joint_w", "tawt_normalized_w")
JOINT = (
    "In joint training the weights hardly depend on the data: the target's gradient has cosine 1 with itself and about "
    "0 with the sources', so after three updates the target's multiplier is e³ times that of a source that began alike."
)


def tables(results: ExhibitResults) -> list[Table]:
    return [_weights_for(results, target) for target in tasks_of(results)]


def _weights_for(results: ExhibitResults, target: str) -> Table:
    """The final weights for one target: a row per paradigm, a column per task."""
    paper = results.exhibit.paper
    order = [*paper.tasks]
    suite_tasks = (*results.study.tasks_with(target), *results.study.absent)
    tasks = sorted({*suite_tasks, target}, key=lambda t: order.index(t) if t in order else len(order))
    tasks = [*(t for t in tasks if t != target), target]
    columns = [Column("method", "method")]
    for task in tasks:
        title = f"{paper.short(task)} (target)" if task == target else paper.short(task)
        columns.append(Column(title, title, "estimate", 4))
    lines = []
    for variant in ROWS:
        found = [w for w in SECTION.of(results.numbers) if (w.variant, w.target) == (variant, target)]
        cells = [Cell(NAMES[variant])]
        for task in tasks:
            ours = Cell()
            if found and task in found[0].tasks:
                ours = estimate(found[0].after("multiplier", -1, found[0].tasks.index(task)))
            cells.append(_with_published(results, ours, variant, target, task))
        lines.append(tuple(cells))
    what = (
        f"{results.exhibit.title}, target {paper.short(target)}: multipliers of the tasks in the loss at the end, mean "
        f"± half-width of the 95 % t-interval (number of seeds). {results.numbers.design.conditions}"
    )
    notes = [Note(MEANING), Note(JOINT)]
    if any(c.published is not None for line in lines for c in line):
        notes.append(Note("Below each weight: the published one and, in brackets, ours minus the published one."))
    if absent := [t for t in tasks if t in results.study.absent]:
        names = " and ".join(map(paper.short, absent))
        notes.append(Note(f"{names}: the data are not at hand, so it is neither a target nor a source here."))
    name = f"{results.exhibit.stem}_{target.replace('/', '_')}"
    return Table(name, what, tuple(columns), tuple(lines), tuple(notes))


def _with_published(results: ExhibitResults, ours: Cell, variant: str, target: str, task: str) -> Cell:
    paper = results.exhibit.paper
    if not (paper.dataset(task) and paper.dataset(target)):
        return ours
    weight_on = f"weight on {paper.dataset(task)}" + (" (target)" if task == target else "")
    number = results.published.find(method=NAMES[variant], dataset=f"target {paper.dataset(target)}", setting=weight_on)
    return ours if number is None else Cell(ours.value, half=ours.half, n=ours.n, published=number.value)


EXHIBIT = Exhibit(
    paper=TAWT,
    label="Table 6",
    about="the weights of the tasks that training ends with, for each target in three paradigms",
    suites=("tagging",),
    methods=("single_task", *ROWS),
    floors=(),
    sizes=study_keys(SIZES, 9_000),
    tables=tables,
    notes=DATA,
)
