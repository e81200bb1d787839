"""Meta-DTL, Table 5: reviews with high and low meta-knowledge scores m(x) = (alpha(x) + beta(x)) / 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raystudy.exhibits import Exhibit, Scale
from raystudy.exhibits._extreme_examples import ScoreColumns, extreme_examples_page
from raystudy.exhibits._papers import META_DTL
from raystudy.spec import Places

if TYPE_CHECKING:
    from raystudy.analysis.exhibit_page import ExhibitPage
    from raystudy.methods import BaseMethod

__all__ = ["EXHIBIT"]


def score_columns(method: BaseMethod[Any]) -> list[ScoreColumns]:
    out: list[ScoreColumns] = []
    for i in range(len(method.setup.tasks)):
        scores = method.constants[f"scores.{i}"]
        out.append({"m": scores.mean(0).tolist(), "α": scores[0].tolist(), "β": scores[1].tolist()})
    return out


def untrained_page(exhibit: Exhibit, scale: Scale, places: Places) -> ExhibitPage:
    return extreme_examples_page(exhibit, scale, places, "meta_dtl", score_columns)


EXHIBIT = Exhibit(
    paper=META_DTL,
    label="Table 5",
    about="reviews that Meta-DTL takes to carry over to the other tasks, and reviews that it does not",
    suites=("review",),
    untrained_page=untrained_page,
    needs_model=True,
)
