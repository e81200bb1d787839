"""Meta-DTL, Table 5: reviews with high and low meta-knowledge scores m(x) = (alpha(x) + beta(x)) / 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raystudy.exhibits import Exhibit, Scale
from raystudy.exhibits._cases import Scores, cases
from raystudy.exhibits._papers import META_DTL
from raystudy.spec import Places

if TYPE_CHECKING:
    from raystudy.analysis.shown import Shown
    from raystudy.methods import BaseMethod

__all__ = ["EXHIBIT"]


def scores(method: BaseMethod) -> list[Scores]:
    out: list[Scores] = []
    for i in range(len(method.setup.tasks)):
        s = method.given[f"scores.{i}"]
        out.append({"m": s.mean(0).tolist(), "α": s[0].tolist(), "β": s[1].tolist()})
    return out


def computed(exhibit: Exhibit, scale: Scale, places: Places) -> Shown:
    return cases(exhibit, scale, places, "meta_dtl", scores)


EXHIBIT = Exhibit(
    paper=META_DTL,
    label="Table 5",
    about="reviews that Meta-DTL takes to carry over to the other tasks, and reviews that it does not",
    suites=("review",),
    computed=computed,
)
