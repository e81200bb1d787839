"""Meta-DTL, Table 2: does Meta-DTL beat fine-tuning, multi-task training and Meta-FT* on seven tasks?

Three tables, one per suite of tasks that help each other, as the paper's column groups. The paper has its rows twice,
for BERT and for ALBERT; ours stand beside those of the encoder that was run, the others are printed alone.
"""

from __future__ import annotations

from raystudy.analysis.table import Cell, Column, Note, Table
from raystudy.exhibits import Exhibit, ExhibitResults
from raystudy.exhibits._comparison import Head, Row, caption, columns, comparison_table
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


def tables(results: ExhibitResults) -> list[Table]:
    encoder, other_encoder = ENCODERS if "albert" not in results.study.plm.lower() else ENCODERS[::-1]
    rows = [Row(v, title, {"method": title}) for v, title in ROWS.items()]
    heads = {suite: columns(results, suite, published={"plm": encoder}) for suite in results.targets()}
    ours = [
        comparison_table(
            f"table2_{suite}",
            caption(results, f"{results.exhibit.title}, {results.heading(suite)} Tasks"),
            rows,
            heads[suite],
            results.numbers,
            results.published,
        )
        for suite in heads
    ]
    published_heads = [
        h for suite in heads for h in columns(results, suite, published={"plm": other_encoder}) if h.published
    ]
    return [
        *ours,
        *(
            [_published_table(other_encoder, rows, published_heads, results.published)]
            if results.published.file
            else []
        ),
    ]


def _published_table(plm: str, rows: list[Row], heads: list[Head], published: Published) -> Table:
    """The paper's numbers for an encoder that was not run here."""
    lines = []
    for row in rows:
        numbers = [published.find(**{**h.published, **row.published}) for h in heads]
        lines.append((Cell(row.title), *(Cell(f.value if f is not None else None) for f in numbers)))
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
