"""Dou et al., Table 1: MAML, first-order MAML and Reptile against fine-tuning and MT-DNN, on four tasks of GLUE."""

from __future__ import annotations

from raystudy.analysis.table import Table
from raystudy.exhibits import Exhibit, ExhibitResults
from raystudy.exhibits._comparison import Row, comparison_table
from raystudy.exhibits._glue import SMALL, TEST_MEASURE, glue_heads, meta_caption, own, study_keys
from raystudy.exhibits._papers import DOU2019

__all__ = ["EXHIBIT"]

ROWS = {
    "single_task": "BERT",
    "mt_dnn": "MT-DNN",
    "maml": "MAML",
    "fomaml": "FOMAML",
    "reptile": "Reptile",
}


def tables(results: ExhibitResults) -> list[Table]:
    rows = [Row(v, title, {"method": title}) for v, title in ROWS.items()]
    measure = TEST_MEASURE if results.scale != "smoke" else "score"
    what = meta_caption(results, results.exhibit.title, "test", measure)
    heads = glue_heads(results, "test")
    return [comparison_table(results.exhibit.stem, what, rows, heads, results.numbers, results.published)]


EXHIBIT = Exhibit(
    paper=DOU2019,
    label="Table 1",
    about="meta-learning of a starting point against fine-tuning and MT-DNN, on four tasks of GLUE with little data",
    suites=("glue",),
    methods=(*ROWS, "single_task_matched"),
    sizes=study_keys,
    own=own([*ROWS]),
    settings={"sampler": "pps"},  # sec. 3.1
    tables=tables,
    notes=(
        *SMALL,
        "At scale small all tasks have equally many examples, so that sampling by size draws all of them alike.",
        "The paper's scores are those of GLUE's server, whose labels are not public.",
        "The authors' released program has no second derivatives, so that its MAML is FOMAML; ours is exact.",
    ),
)
