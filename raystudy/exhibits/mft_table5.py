"""MFT, Table 5: Amazon reviews with high and low typicality t(x)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raystudy.exhibits import Exhibit, Scale
from raystudy.exhibits._cases import Scores, cases
from raystudy.exhibits._papers import MFT
from raystudy.spec import Places

if TYPE_CHECKING:
    from raystudy.analysis.shown import Shown
    from raystudy.methods import BaseMethod

__all__ = ["EXHIBIT"]


def scores(method: BaseMethod) -> list[Scores]:
    return [{"t": method.given[f"t.{k}"].tolist()} for k in range(len(method.setup.tasks))]


def computed(exhibit: Exhibit, scale: Scale, places: Places) -> Shown:
    return cases(exhibit, scale, places, "mft", scores)


EXHIBIT = Exhibit(
    paper=MFT,
    label="Table 5",
    about="reviews that MFT takes to be typical of all domains, and reviews that it does not",
    suites=("amazon_domains",),
    computed=computed,
)
