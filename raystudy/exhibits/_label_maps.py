"""MetaXT's pictures of what its label transfer network learned, from the soft labels that the records hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raystudy.analysis.figures import Figure
from raystudy.analysis.heatmap import share_maps, shares_of
from raystudy.analysis.label_maps import label_map_table
from raystudy.analysis.numbers import LabelMap
from raystudy.analysis.table import Table
from raystudy.catalogue import catalogue
from raystudy.exhibits import Exhibit, Given, Scale
from raystudy.exhibits._few_shot import UPDATES, asked, own
from raystudy.exhibits._papers import METAXT

__all__ = ["learned"]

SHOTS: Mapping[Scale, tuple[int, ...]] = {"smoke": (48,), "small": (100,), "paper": (100,)}
HOW = "The shares are means of the soft labels of at most 256 training examples of the source, after training."


def learned(
    label: str,
    about: str,
    suites: tuple[str, ...],
    variants: tuple[str, ...],
    *,
    planted: str = "",
    plm: str = "",
    notes: Sequence[str] = (),
) -> Exhibit:
    """The learned label maps of `variants` at k = 100, a panel for each of them and each suite."""
    titles = {v: catalogue().variant(v).title for v in variants}

    def found(given: Given, target: str) -> list[LabelMap]:
        own = [m for m in given.n.label_maps if m.target == target]
        return [m for v in variants for m in own if m.variant == v]

    def tables(given: Given) -> list[Table]:
        tables = []
        for suite, targets in given.targets().items():
            for target in targets:
                what = (
                    f"{given.exhibit.title}, {given.heading(suite)}: share of each class of {target} in the labels "
                    "made of a class of the source × 100, mean ± half-width of the 95 % t-interval (number of seeds). "
                    f"{given.n.design.conditions}"
                )
                name = f"{given.exhibit.stem}_{suite}"
                tables.append(label_map_table(name, what, found(given, target), titles))
        return tables

    def figures(given: Given) -> list[Figure]:
        maps = [
            shares_of(m, f"{titles[m.variant]}: {given.exhibit.paper.short(m.source)}")
            for targets in given.targets().values()
            for target in targets
            for m in found(given, target)
        ]
        title = f"{given.exhibit.title}: what the classes of the source were taken to mean for the target"
        return [share_maps(given.exhibit.stem, title, maps)] if maps else []

    return Exhibit(
        paper=METAXT,
        label=label,
        about=about,
        suites=suites,
        methods=("single_task", *variants),
        floors=(),
        sizes=asked(SHOTS, plm),
        own=own(),
        planted=planted,
        tables=tables,
        figures=figures,
        notes=(*notes, HOW, *UPDATES.values(), "The numbers of the paper's figure are not printed."),
    )
