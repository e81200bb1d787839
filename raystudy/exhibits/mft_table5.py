"""MFT, Table 5: Amazon reviews with high and low typicality t(x)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raystudy.exhibits import Exhibit, Scale
from raystudy.exhibits._extreme_examples import ScoreColumns, extreme_examples_page
from raystudy.exhibits._papers import MFT
from raystudy.spec import Places

if TYPE_CHECKING:
    from raystudy.analysis.exhibit_page import ExhibitPage
    from raystudy.methods import BaseMethod

__all__ = ["EXHIBIT"]


def score_columns(method: BaseMethod[Any]) -> list[ScoreColumns]:
    return [{"t": method.constants[f"t.{k}"].tolist()} for k in range(len(method.setup.tasks))]


def untrained_page(exhibit: Exhibit, scale: Scale, places: Places) -> ExhibitPage:
    return extreme_examples_page(exhibit, scale, places, "mft", score_columns)


EXHIBIT = Exhibit(
    paper=MFT,
    label="Table 5",
    about="reviews that MFT takes to be typical of all domains, and reviews that it does not",
    suites=("amazon_domains",),
    untrained_page=untrained_page,
    needs_model=True,
)
