"""MetaXT's pictures of what its label transfer network learned, from the soft labels that the records hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raystudy.analysis.figures import Figure
from raystudy.analysis.heatmap import share_maps
from raystudy.analysis.sections.label_maps import SECTION, LabelMap, label_map_table, shares_of
from raystudy.analysis.table import Table
from raystudy.catalogue import catalogue
from raystudy.exhibits import Exhibit, ExhibitResults, Scale
from raystudy.exhibits._few_shot import UPDATES, own, study_keys
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

    def maps_of(results: ExhibitResults, target: str) -> list[LabelMap]:
        own = [m for m in SECTION.of(results.numbers) if m.target == target]
        return [m for v in variants for m in own if m.variant == v]

    def tables(results: ExhibitResults) -> list[Table]:
        tables = []
        for suite, targets in results.targets().items():
            for target in targets:
                what = (
                    f"{results.exhibit.title}, {results.heading(suite)}: share of each class of {target} in the labels "
                    "made of a class of the source × 100, mean ± half-width of the 95 % t-interval (number of seeds). "
                    f"{results.numbers.design.conditions}"
                )
                name = f"{results.exhibit.stem}_{suite}"
                tables.append(label_map_table(name, what, maps_of(results, target), titles))
        return tables

    def figures(results: ExhibitResults) -> list[Figure]:
        maps = [
            shares_of(m, f"{titles[m.variant]}: {results.exhibit.paper.short(m.source)}")
            for targets in results.targets().values()
            for target in targets
            for m in maps_of(results, target)
        ]
        title = f"{results.exhibit.title}: what the classes of the source were taken to mean for the target"
        return [share_maps(results.exhibit.stem, title, maps)] if maps else []

    return Exhibit(
        paper=METAXT,
        label=label,
        about=about,
        suites=suites,
        methods=("single_task", *variants),
        floors=(),
        sizes=study_keys(SHOTS, plm),
        own=own(),
        planted=planted,
        tables=tables,
        figures=figures,
        notes=(*notes, HOW, *UPDATES.values(), "The numbers of the paper's figure are not printed."),
    )
