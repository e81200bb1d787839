"""Meta-DTL, Table 6: little MNLI, all of SciTail.

The paper samples 1 to 20 % of MNLI's training set. Here the study draws as many examples as that is, balanced over the
classes. Rows and columns change places: the paper has a row per percentage.
"""

from __future__ import annotations

from raystudy.analysis.table import Table
from raystudy.exhibits import Exhibit, ExhibitResults
from raystudy.exhibits._comparison import Head, Row, caption, comparison_table
from raystudy.exhibits._papers import META_DTL
from raystudy.exhibits._sizes import Sizes

__all__ = ["EXHIBIT"]

SIZES = Sizes((1, 2, 5, 10, 20), 382_702, ("mnli",))
GAIN = "accuracy gain over Single-task (abs. points)"
ROWS = (
    Row("single_task", "Single", {"method": "Single-task", "metric": "accuracy"}),
    Row("meta_ft", "Meta-FT*", {"method": "Meta-FT*", "metric": "accuracy"}),
    Row("meta_dtl", "Meta-DTL", {"method": "Meta-DTL", "metric": "accuracy"}),
    Row("meta_dtl", "Meta-DTL − Single", {"method": "Meta-DTL", "metric": GAIN}, minus="single_task"),
)


def tables(results: ExhibitResults) -> list[Table]:
    (target,) = results.study.target_names
    heads = [
        Head(title, (target,), setting, published=_published(percent) if percent else {})
        for title, (setting, percent) in SIZES.settings(results).items()
    ]
    what = caption(results, f"{results.exhibit.title}, {results.exhibit.paper.short(target)} with less training data")
    return [comparison_table("table6", what, ROWS, heads, results.numbers, results.published, SIZES.notes(results))]


def _published(percent: float) -> dict[str, str]:
    return {"dataset": "MNLI", "setting": f"{percent:g}% of MNLI train; full SciTail train"}


EXHIBIT = Exhibit(
    paper=META_DTL,
    label="Table 6",
    about="MNLI from 1 to 20 % of its training set, helped by all of SciTail",
    suites=("nli",),
    targets=("mnli",),
    methods=("single_task", "meta_ft", "meta_dtl"),
    sizes=SIZES.study_keys,
    tables=tables,
    notes=("The paper prints the gains with a sign of percent; they are points, Meta-DTL minus Single.",),
)
