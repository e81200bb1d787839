"""MFT, Table 7: at which layers a classifier of corrupted domains sits.

The paper's sets of layers of a model with twelve are fractions of the depth here, so that they mean the same elsewhere.
"""

from __future__ import annotations

from raystudy.analysis.table import Table
from raystudy.catalogue import catalogue, layers
from raystudy.exhibits import Exhibit, ExhibitResults
from raystudy.exhibits._comparison import Head, Row, caption, comparison_table
from raystudy.exhibits._papers import MFT

__all__ = ["EXHIBIT"]

CHOICES = ("1.0", "1/2 1", "1/3 2/3 1", "1/4 1/2 3/4 1")


def _name(choice: str) -> str:
    return catalogue().with_settings("mft", {"layers": choice}).id


def _set(choice: str) -> str:
    """The layers of a model with twelve, as the paper writes them: ``{6, 12}``."""
    return "{" + ", ".join(map(str, layers(choice, 12))) + "}"


def tables(results: ExhibitResults) -> list[Table]:
    rows = [Row(_name(c), f"{_set(c)} of 12", {"setting": f"Ls={_set(c)}"}) for c in CHOICES]
    rows = [r for r in rows if r.variant in results.study.variants or results.published.file]
    heads = [
        Head(f"{results.heading(suite)}, average", targets, split="dev", published=_published(results, suite))
        for suite, targets in results.targets().items()
    ]
    return [
        comparison_table(
            "table7", caption(results, results.exhibit.title, "dev"), rows, heads, results.numbers, results.published
        )
    ]


def _published(results: ExhibitResults, suite: str) -> dict[str, str]:
    suites = results.exhibit.paper.suites
    return {"dataset": suites[suite][1], "method": "MFT (Full)"} if suite in suites else {}


EXHIBIT = Exhibit(
    paper=MFT,
    label="Table 7",
    about="MFT with domain classifiers at one to four layers",
    suites=("amazon_domains", "taxonomy"),
    methods=("single_task", *map(_name, CHOICES)),
    smoke_methods=("single_task", *map(_name, CHOICES[:2])),
    tables=tables,
    notes=(
        "A set of layers is read as fractions of the depth: {4, 8, 12} of twelve layers are {2, 4, 6} of six.",
        "Which split the paper's table shows is not said; ours is dev.",
        "Its row {4, 8, 12} is the default, and yet not the test accuracy of MFT (Full) in its Tables 3 and 4.",
    ),
)
