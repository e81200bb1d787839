"""MFT, Table 6: natural language inference with 5, 10 and 20 % of each genre's training pairs.

Here the study draws as many pairs of every genre as that is of the paper's mean genre, balanced over the classes. The
paper has the genres as rows; here, as everywhere, rows are methods.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raystudy.analysis.table import Table
from raystudy.catalogue import suites
from raystudy.exhibits import Exhibit, ExhibitResults, Scale
from raystudy.exhibits._comparison import Row, caption, columns, comparison_table
from raystudy.exhibits._papers import MFT
from raystudy.exhibits._sizes import Sizes

__all__ = ["EXHIBIT"]

PAIRS = 392_702  # training pairs of the five genres in the paper's Table 1
SIZES = Sizes((5, 10, 20), PAIRS // 5, suites()["mnli_genres"]["targets"])
GAIN = "reported improvement (abs. points)"
ROWS = (
    Row("single_task", "without MFT", {"method": "BERT without MFT", "metric": "accuracy"}),
    Row("mft", "with MFT", {"method": "MFT (Full)", "metric": "accuracy"}),
    Row("mft", "improvement", {"method": "MFT (Full)", "metric": GAIN}, minus="single_task"),
)


def sizes(scale: Scale, root: Path | None) -> Mapping[str, Any]:
    return {"scope": "suite", **SIZES.study_keys(scale, root)}


def tables(results: ExhibitResults) -> list[Table]:
    (suite,) = results.targets()
    out = []
    for title, (setting, percent) in SIZES.settings(results).items():
        published = {"setting": f"{percent}% of train per genre; 1 MFT epoch; 2 FT epochs"}
        heads = columns(results, suite, setting=setting, published=published)
        what = caption(results, f"{results.exhibit.title}, {results.heading(suite)}, {title}")
        stem = f"table6_{percent or setting.removeprefix('k=')}"
        out.append(comparison_table(stem, what, ROWS, heads, results.numbers, results.published, SIZES.notes(results)))
    return out


EXHIBIT = Exhibit(
    paper=MFT,
    label="Table 6",
    about="five genres of MNLI from 5, 10 and 20 % of their training pairs, with and without MFT",
    suites=("mnli_genres",),
    methods=("single_task", "mft"),
    settings={"mft_epochs": 1, "epochs": 2},
    sizes=sizes,
    tables=tables,
    notes=(
        "The counts are percentages of the mean genre, 78,540 pairs, and the same for every genre.",
        "Every genre is cut, as a source too, as in the paper.",
        "The paper prints the improvements with a sign of percent; they are points.",
    ),
)
