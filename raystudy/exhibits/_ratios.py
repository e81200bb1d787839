"""TAWT's Tables 4 and 5 and Figure 1: the target's sentences, and how many times as many each source has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from raystudy.analysis.table import Table
from raystudy.exhibits import ExhibitResults, Scale
from raystudy.exhibits._comparison import Head, Row, caption, comparison_table
from raystudy.exhibits._tagging import DATA, NAMES, RATE
from raystudy.spec import Setting

__all__ = ["DATASET", "METHODS", "NOTES", "TARGET", "UPPER", "ratio_keys", "ratio_table", "setting_of"]

TARGET, SOURCES = "wnut17", ("ud_ewt_upos", "predicates")
METHODS = ("single_task", "tawt_normalized", "tawt_normalized_w")
UPPER = "single_task_pooled"
DATASET = "NER (sources PoS, Predicate Detection)"
NOTES = (
    DATA[0],
    (
        f"At scale small the learning rate is {RATE:g}, because at 5e-5 a hundred sentences teach minilm no tag but "
        "the most frequent."
    ),
    (
        "The upper bound is fine-tuning on as many sentences of the target as joint training has of all tasks: 1 + 2r "
        "times as many with the paper's two sources, 1 + r times with one. WNUT-17 has 3,394 sentences, so that many "
        "columns have the paper's number alone."
    ),
)


def setting_of(shots: int, ratio: float) -> str:
    return str(Setting(shots=shots, ratio=ratio))


def ratio_keys(shots: Sequence[int], ratios: Sequence[float]) -> Callable[[Scale, Path | None], dict[str, Any]]:
    """The keys of the study file for every number of target sentences with every ratio, as far as the data reach."""

    def keys(scale: Scale, root: Path | None) -> dict[str, Any]:
        if scale == "smoke":
            return {"shots": [24, 48] if len(shots) > 1 else [24], "ratio": [1.0, 2.0]}
        out: dict[str, Any] = {
            "missing_data": "leave_out",
            "tasks": [*SOURCES, TARGET],
            "targets": [TARGET],
            "shots": [*shots],
            "ratio": [float(r) for r in ratios],
        }
        if scale == "small":
            out |= {"length": 48, "limits": {"dev": 200, "test": 500}, "settings": {"lr": RATE, "epochs": 4}}
        return out

    return keys


def ratio_table(
    results: ExhibitResults,
    name: str,
    what: str,
    columns: Sequence[tuple[str, int, float, str]],
    average: str,
    alone: Mapping[str, str] | None = None,
) -> Table:
    """A table with the score of each paradigm at each of the columns, and their average.

    Args:
        columns: title, target sentences, ratio, and what the file of published numbers calls the setting.
        average: what that file calls the setting of the average.
        alone: setting of a column in that file -> its setting in the row of fine-tuning alone, where that is another;
            empty where the paper has no such row here.
    """
    (target,) = results.study.target_names
    settings = [setting_of(k, r) for _, k, r, _ in columns]
    heads = [
        Head(title, (target,), setting, published={"dataset": DATASET, "setting": published})
        for (title, _, _, published), setting in zip(columns, settings, strict=True)
    ]
    mean_of_all = {"dataset": DATASET, "setting": average}
    heads.append(Head("average", (target,) * len(settings), settings=tuple(settings), published=mean_of_all))
    rows = [Row(v, NAMES[v], {"method": NAMES[v]}) for v in METHODS]
    if alone is not None:
        rows[0] = replace(rows[0], published=rows[0].published if alone else {}, settings=alone)
    if UPPER in results.study.variants:
        rows.append(Row(UPPER, "Upper Bound", {"method": "Upper Bound"}))
    shown = caption(results, what, "test", "span F1")
    return comparison_table(name, shown, rows, heads, results.numbers, results.published)
