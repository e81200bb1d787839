"""Meta-DTL, Table 3: what injected meta-knowledge (IMK) and the regulariser (WMER) contribute."""

from __future__ import annotations

from raystudy.analysis.table import Table
from raystudy.exhibits import Exhibit, Given
from raystudy.exhibits._comparison import Row, across, caption, compared
from raystudy.exhibits._papers import META_DTL

__all__ = ["EXHIBIT"]

ROWS = (
    Row("meta_dtl_wo_imk", "w/o IMK", {"method": "Meta-DTL w/o IMK"}),
    Row("meta_dtl_wo_wmer", "w/o WMER", {"method": "Meta-DTL w/o WMER"}),
    Row("meta_dtl", "Full", {"method": "Meta-DTL Full"}),
)


def tables(given: Given) -> list[Table]:
    heads = across(given, {"plm": "BERT-base"})
    return [compared("table3", caption(given, given.exhibit.title), ROWS, heads, given.n, given.printed)]


EXHIBIT = Exhibit(
    paper=META_DTL,
    label="Table 3",
    about="Meta-DTL without injected meta-knowledge, without its regulariser, and whole, on seven tasks",
    suites=("review", "nli", "lexical"),
    methods=("single_task", *(r.variant for r in ROWS)),
    tables=tables,
)
