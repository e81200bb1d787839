"""The sections of a report, one module each, in the order in which it is read: `SECTIONS`.

To add one, write a module with a `SECTION` (`section.Section`) and name it below. Nothing else is edited: the numbers
of the section are a key of report.json, its tables and figures have files, and every page shows it.
"""

from __future__ import annotations

from typing import Any

from raystudy.analysis.section import Section
from raystudy.analysis.sections import (
    across_methods,
    across_targets,
    answers,
    averages,
    class_scores,
    comparison,
    configurations,
    cost,
    curves,
    data,
    disagreements,
    every_cell,
    failures,
    gain,
    importance,
    label_maps,
    league,
    parallel,
    provenance,
    scores,
    search,
    search_space,
    significance,
    slices,
    task_weights,
    time,
    verdict,
)

__all__ = ["SECTIONS"]

SECTIONS: tuple[Section[Any], ...] = (
    verdict.SECTION,
    verdict.COMPLETENESS,
    scores.SECTION,
    averages.SECTION,
    comparison.SECTION,
    league.SECTION,
    across_targets.SECTION,
    curves.SECTION,
    label_maps.SECTION,
    task_weights.SECTION,
    answers.SECTION,
    significance.SECTION,
    search.SECTION,
    search_space.SECTION,
    across_methods.SECTION,
    gain.SECTION,
    importance.SECTION,
    slices.SECTION,
    parallel.SECTION,
    configurations.SECTION,
    cost.SECTION,
    time.SECTION,
    class_scores.SECTION,
    disagreements.SECTION,
    failures.SECTION,
    provenance.SECTION,
    data.SECTION,
    provenance.STUDY_FILE,
    every_cell.SECTION,
)
