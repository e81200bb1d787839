"""TAWT, Figure 1: what learned weights add to normalized joint training, by the sizes of target and sources."""

from __future__ import annotations

from collections.abc import Sequence

from raystudy.analysis.figures import Figure, Panel, sweep
from raystudy.analysis.numbers import Line
from raystudy.exhibits import Exhibit, ExhibitResults
from raystudy.exhibits._comparison import Head, gain
from raystudy.exhibits._papers import TAWT
from raystudy.exhibits._ratios import METHODS, NOTES, ratio_keys, setting_of

__all__ = ["EXHIBIT"]

SIZES, RATIOS = (500, 1_000, 2_000, 4_000, 8_000), (1, 2, 4, 8, 10, 16, 32, 64, 128)
KEPT = (8, 10)  # the ratios at which the size of the target changes
DIFFERENCE = "points of span F1 that learned weights add"


def figures(results: ExhibitResults) -> list[Figure]:
    smoke = results.scale == "smoke"
    sizes, ratios = (results.study.shots, results.study.ratio) if smoke else (SIZES, RATIOS)
    title = results.exhibit.title
    by_ratio = _panel(results, f"{sizes[0]} target sentences", [(sizes[0], float(r)) for r in ratios])
    kept = ratios[:1] if smoke else KEPT
    by_size = [_panel(results, f"ratio {r:g}", [(k, float(r)) for k in sizes]) for r in kept]
    stem = results.exhibit.stem
    return [
        sweep(
            f"{stem}_ratio",
            f"{title}: what learned weights add, against the ratio of the sizes",
            "sentences of a source for each of the target's",
            DIFFERENCE,
            [float(r) for r in ratios],
            [by_ratio],
            differences=True,
            log=True,
        ),
        sweep(
            f"{stem}_size",
            f"{title}: what learned weights add, against the sentences of the target",
            "sentences of the target",
            DIFFERENCE,
            [float(k) for k in sizes],
            by_size,
            differences=True,
            log=True,
        ),
    ]


def _panel(results: ExhibitResults, title: str, settings: Sequence[tuple[int, float]]) -> Panel:
    (target,) = results.study.target_names
    plain, weighted = METHODS[1:]
    points = tuple(gain(results.numbers, Head("", (target,), setting_of(k, r)), weighted, plain) for k, r in settings)
    return Panel(title, (Line(weighted, results.exhibit.paper.short(target), "baseline", points),))


EXHIBIT = Exhibit(
    paper=TAWT,
    label="Figure 1",
    about="what learned weights add to normalized joint training of names, by the ratio of the sizes of source and "
    "target and by the size of the target",
    suites=("tagging",),
    methods=METHODS,
    sizes=ratio_keys(SIZES, RATIOS),
    figures=figures,
    notes=(*NOTES[:2], "The paper's points are the differences of its Tables 4 and 5, where they stand beside ours."),
)
