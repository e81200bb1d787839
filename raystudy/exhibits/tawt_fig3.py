"""TAWT, Figure 3: what a source is worth by its distance from the target, and by how much target data there is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raystudy.analysis.figures import Figure
from raystudy.analysis.sections.curves import SECTION as CURVES
from raystudy.analysis.sections.curves import few_shot as figure
from raystudy.analysis.table import Table
from raystudy.exhibits import Exhibit, ExhibitResults, Scale
from raystudy.exhibits._comparison import Head, Row, caption, comparison_table
from raystudy.exhibits._papers import TAWT_VECTORS
from raystudy.spec import Setting

__all__ = ["EXHIBIT"]

RATES = (0, 25, 50, 75, 100)
STL = "single_task"
ROWS = (Row(STL, "STL"), *(Row(f"task_distance[source={i}]", f"LTL, q = {q} %") for i, q in enumerate(RATES, 1)))
SHOTS: Mapping[Scale, tuple[int, ...]] = {
    "smoke": (40, 120),
    "small": (10, 100, 1_000, 8_500),
    "paper": (10, 32, 100, 316, 1_000, 3_162, 8_500),
}
OPTIONS: Mapping[Scale, dict[str, int]] = {
    "smoke": {"inputs": 16, "examples": 200, "classes": 4, "n_dev": 20, "n_test": 60},
    "small": {"inputs": 200, "examples": 10_000},
    "paper": {"inputs": 1_000, "examples": 10_000},
}
NETWORK: Mapping[Scale, str] = {"smoke": "mlp:64", "small": "mlp:512", "paper": "mlp:4096"}
TRAINING = {"lr": 3.0e-4, "batch_size": 100, "warmup": 0.0, "weight_decay": 0.0, "clip": 0.0, "epochs": 100}
WHOSE = (
    "Vectors are those that the teachers were trained on: the target's test vectors are others than its training "
    "vectors, but the source has them, with the labels of its own teacher. On vectors that no teacher saw there is no "
    "order of q to be seen (`--set task_options.teachers.fresh=true`)."
)
# few vectors are known by heart after some hundred updates
LESS = {
    **TRAINING,
    "lr": 1.0e-2,
    "batch_size": 20,
    "epochs": 40,
    "source_epochs": 60,
    "min_updates": 0,
    "max_updates": 0,
}


def keys(scale: Scale, root: Path | None) -> dict[str, Any]:
    """The keys of the study file: vectors in the place of texts, so no length, and all of the examples."""
    size: dict[str, Any] = {
        "plm": NETWORK[scale],
        "shots": [*SHOTS[scale]],
        "task_options": {"teachers": OPTIONS[scale]},
        "targets": ["teachers/target"],
        "length": None,
        "limits": {},
    }
    return {**size, "settings": {**(LESS if scale == "smoke" else TRAINING), "freeze": "none"}}


def tables(results: ExhibitResults) -> list[Table]:
    """A row for each flip rate of the source, a column for each number of target examples."""
    heads = [Head(f"n = {k:,}", ("teachers/target",), str(Setting(shots=k))) for k in sorted(results.study.shots)]
    what = caption(results, results.exhibit.title, "test", "accuracy")
    return [comparison_table(results.exhibit.stem, what, ROWS, heads, results.numbers, results.published)]


def figures(results: ExhibitResults) -> list[Figure]:
    """Accuracy against the number of target examples, a line for each flip rate."""
    title = f"{results.exhibit.title}: test accuracy against the number of labelled target examples"
    return [figure(results.exhibit.stem, title, c, results.numbers.design) for c in CURVES.of(results.numbers)]


EXHIBIT = Exhibit(
    paper=TAWT_VECTORS,
    label="Figure 3",
    about="a head over a source's frozen representation (LTL) against the target alone (STL), by the source's distance",
    suites=("teachers",),
    methods=tuple(row.variant for row in ROWS),
    sizes=keys,
    tables=tables,
    figures=figures,
    notes=(
        WHOSE,
        "The target has at most 8,500 of the 10,000 vectors, for the others are its dev and test; the source has all.",
        "The points of the paper's figure are not printed, so no published curve stands beside ours.",
    ),
)
