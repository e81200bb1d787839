"""Meta-DTL, Table 4: each part of the meta-knowledge score alone, and the score without the class label."""

from __future__ import annotations

from raystudy.exhibits import Exhibit
from raystudy.exhibits._comparison import Row, ablations
from raystudy.exhibits._papers import META_DTL

__all__ = ["EXHIBIT"]

ROWS = (
    Row("meta_dtl_alpha", "α alone", {"method": "Meta-DTL alpha-only"}),
    Row("meta_dtl_beta", "β alone", {"method": "Meta-DTL beta-only"}),
    Row("meta_dtl_wo_label", "m without the class label", {"method": "Meta-DTL m w/o class label"}),
)


EXHIBIT = Exhibit(
    paper=META_DTL,
    label="Table 4",
    about="Meta-DTL with α or β alone as the weight of an example, and with scores that leave out the class label",
    suites=("review", "nli", "lexical"),
    methods=("single_task", *(r.variant for r in ROWS), "meta_dtl"),
    tables=ablations(ROWS),
    notes=(
        "The whole Meta-DTL is a row of the paper's Tables 2 and 3; here it stands below the rule, for comparison.",
    ),
)
