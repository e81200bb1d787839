"""Meta-DTL, Table 2: does Meta-DTL beat fine-tuning, multi-task training and Meta-FT* on seven tasks?

Three tables, one per suite of tasks that help each other, as the paper's column groups. The paper has its rows twice,
for BERT and for ALBERT; ours stand beside those of the encoder that was run, the others are printed alone.
"""

from __future__ import annotations

from raystudy.analysis.table import Cell, Column, Note, Table
from raystudy.exhibits import Exhibit, Given
from raystudy.exhibits._comparison import Head, Row, caption, columns, compared
from raystudy.exhibits._papers import META_DTL, Published

__all__ = ["EXHIBIT"]

ENCODERS = ("BERT-base", "ALBERT-base")
ROWS = {
    "single_task": "Single-task",
    "multi_task": "Multi-task",
    "task_combination": "Task Comb.",
    "meta_ft": "Meta-FT*",
    "meta_dtl": "Meta-DTL",
}
TESTS = "its marks are paired t-tests for each data set; against which method, and over what pairs, it does not say"


def tables(given: Given) -> list[Table]:
    ran, other = ENCODERS if "albert" not in given.study.plm.lower() else ENCODERS[::-1]
    rows = [Row(v, title, {"method": title}) for v, title in ROWS.items()]
    heads = {suite: columns(given, suite, published={"plm": ran}) for suite in given.targets()}
    ours = [
        compared(
            f"table2_{suite}",
            caption(given, f"{given.exhibit.title}, {given.heading(suite)} Tasks"),
            rows,
            heads[suite],
            given.n,
            given.printed,
        )
        for suite in heads
    ]
    alone = [h for suite in heads for h in columns(given, suite, published={"plm": other}) if h.published]
    return [*ours, *([_alone(other, rows, alone, given.printed)] if given.printed.file else [])]


def _alone(plm: str, rows: list[Row], heads: list[Head], printed: Published) -> Table:
    """The paper's numbers for an encoder that was not run here."""
    lines = []
    for row in rows:
        found = [printed.find(**{**h.published, **row.published}) for h in heads]
        lines.append((Cell(row.title), *(Cell(f.value if f is not None else None) for f in found)))
    cols = (Column("method", "method"), *(Column(h.title, h.published["dataset"], "number") for h in heads))
    note = Note(f"Run the exhibit with --plm and an {plm} model to have ours beside these numbers.")
    what = f"{EXHIBIT.title}, the paper's {plm}: published test accuracy × 100."
    return Table(f"table2_{plm.lower()}", what, cols, tuple(lines), (note,))


EXHIBIT = Exhibit(
    paper=META_DTL,
    label="Table 2",
    about="Meta-DTL against fine-tuning, multi-task training, task combination and Meta-FT* on seven tasks",
    suites=("review", "nli", "lexical"),
    methods=(*ROWS, "single_task_matched"),
    tables=tables,
    notes=(f"In the paper's Table 2 {TESTS}.",),
)
