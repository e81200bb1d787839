"""Dou et al., Figure 2: SciTail, which the transfer has not seen, from 0.1 % of its training set to all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raystudy.analysis.figures import Figure
from raystudy.analysis.sections.curves import SECTION as CURVES
from raystudy.analysis.sections.curves import few_shot as figure
from raystudy.analysis.table import Table
from raystudy.catalogue import suites
from raystudy.exhibits import LIMITS, Exhibit, ExhibitResults, Scale
from raystudy.exhibits._comparison import Head, Row, comparison_table
from raystudy.exhibits._glue import SMALL, meta_caption, own, study_keys
from raystudy.exhibits._papers import DOU2019, Published
from raystudy.spec import Setting

__all__ = ["EXHIBIT"]

ROWS = {"single_task": "BERT", "mt_dnn": "MT-DNN", "reptile": "Reptile"}
WHOLE = 23_596  # training pairs of SciTail in the paper's data
PERCENTS = (0.1, 1.0, 10.0, 100.0)
COUNTS = {p: round(p * WHOLE / 100) for p in PERCENTS}


def keys(scale: Scale, root: Path | None) -> dict[str, Any]:
    """The keys of the study file for the paper's counts of pairs, as far as the data reach."""
    out = study_keys(scale, root)
    if scale == "smoke":
        return {**out, "shots": [24, 48], "unseen": [*suites()[DOU2019.planted]["targets"][:1]]}
    out["shots"] = [*COUNTS.values()]
    if scale == "small":
        # of the target all is read, because the counts are taken from it
        out |= {"limits": {k: LIMITS[k] for k in ("dev", "test")}, "source_limits": {"train": LIMITS["train"]}}
    return out


def tables(results: ExhibitResults) -> list[Table]:
    (target,) = results.study.target_names
    if results.scale == "smoke":
        titles = {k: f"k = {k}" for k in results.study.shots}
    else:
        titles = {k: f"{p:g} % ({k:,})" for p, k in COUNTS.items()}
    heads = [Head(title, (target,), str(Setting(shots=k))) for k, title in titles.items()]
    rows = [Row(v, title) for v, title in ROWS.items()]
    what = meta_caption(results, f"{results.exhibit.title}, {results.exhibit.paper.short(target)}")
    return [comparison_table(results.exhibit.stem, what, rows, heads, results.numbers, Published())]


def figures(results: ExhibitResults) -> list[Figure]:
    title = f"{results.exhibit.title}: test accuracy against the number of labelled examples"
    return [figure(results.exhibit.stem, title, c, results.numbers.design) for c in CURVES.of(results.numbers)]


EXHIBIT = Exhibit(
    paper=DOU2019,
    label="Figure 2",
    about="SciTail, which the transfer has not seen, from 0.1, 1, 10 and 100 % of its training set",
    suites=("glue_scitail",),
    methods=tuple(ROWS),
    sizes=keys,
    own=own([*ROWS]),
    settings={"sampler": "pps"},  # the target that mixed needs is unseen
    tables=tables,
    figures=figures,
    notes=(
        *SMALL[:2],
        f"The fractions are counts of the paper's {WHOLE:,} training pairs, also where fewer are at hand.",
        "The points of the paper's figure are not printed, so no published curve stands beside ours.",
    ),
)
