"""Meta-DTL, Table 3: what injected meta-knowledge (IMK) and the regulariser (WMER) contribute."""

from __future__ import annotations

from raystudy.exhibits import Exhibit
from raystudy.exhibits._comparison import Row, ablations
from raystudy.exhibits._papers import META_DTL

__all__ = ["EXHIBIT"]

ROWS = (
    Row("meta_dtl_wo_imk", "w/o IMK", {"method": "Meta-DTL w/o IMK"}),
    Row("meta_dtl_wo_wmer", "w/o WMER", {"method": "Meta-DTL w/o WMER"}),
    Row("meta_dtl", "Full", {"method": "Meta-DTL Full"}),
)


EXHIBIT = Exhibit(
    paper=META_DTL,
    label="Table 3",
    about="Meta-DTL without injected meta-knowledge, without its regulariser, and whole, on seven tasks",
    suites=("review", "nli", "lexical"),
    methods=("single_task", *(r.variant for r in ROWS)),
    tables=ablations(ROWS),
)
