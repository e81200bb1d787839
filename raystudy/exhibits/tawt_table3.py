"""TAWT, Table 3: one source or two, with ten times as many sentences as the target has.

A study has one set of tasks, so it fills one column. That of this exhibit has two sources for names; the tasks of a
study that is asked with ``--set tasks=[...]`` decide which column its numbers stand in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raystudy.analysis.table import Table
from raystudy.exhibits import Exhibit, ExhibitResults, Scale
from raystudy.exhibits._comparison import Head, Row, caption, comparison_table
from raystudy.exhibits._papers import TAWT
from raystudy.exhibits._tagging import DATA, NAMES, RATE

__all__ = ["EXHIBIT"]

ROWS = ("single_task", "tawt_joint", "tawt_joint_w")
# the sources, the target, and what the file of published numbers calls the column
COLUMNS = (
    (("ud_ewt_upos",), "wnut17", "PoS(20K) -> NER(2K)"),
    (("ud_ewt_upos", "conll2000_chunk"), "wnut17", "PoS(20K)+Chunking(9K) -> NER(2K)"),
    (("ud_ewt_upos", "conll2000_chunk"), "predicates", "PoS(20K)+Chunking(9K) -> Predicate Detection(2K)"),
)
SHOTS = 2_000


def keys(scale: Scale, root: Path | None) -> dict[str, Any]:
    if scale == "smoke":
        return {"shots": [48]}
    sources, target, _ = COLUMNS[1]
    out: dict[str, Any] = {"tasks": [*sources, target], "targets": [target], "shots": [SHOTS]}
    if scale == "small":
        out |= {"length": 48, "limits": {"dev": 200, "test": 500}, "settings": {"lr": RATE, "epochs": 4}}
    return out


def tables(results: ExhibitResults) -> list[Table]:
    study = results.study
    trained = {(frozenset(study.tasks_with(t)) - {t}, t) for t in study.target_names}
    setting, paper = str(study.settings_grid[0]), results.exhibit.paper
    if results.scale == "smoke":
        heads = [Head(paper.short(t), (t,), setting) for t in study.target_names]
    else:
        heads = [
            Head(
                title.replace("->", "→"),
                (target,),
                setting if (frozenset(sources), target) in trained else "in a study of its own",
                published={"dataset": title},
            )
            for sources, target, title in COLUMNS
        ]
        heads.append(Head("Avg.", (), published={"dataset": "Avg"}))
    rows = [Row(v, NAMES[v], {"method": NAMES[v]}) for v in ROWS]
    measure = "span F1" if results.scale == "smoke" else "span F1 (NER), token F1 (predicates)"
    what = caption(results, results.exhibit.title, "test", measure)
    return [comparison_table(results.exhibit.stem, what, rows, heads, results.numbers, results.published)]


EXHIBIT = Exhibit(
    paper=TAWT,
    label="Table 3",
    about="joint training with and without learned weights, from one source or two",
    suites=("tagging",),
    methods=ROWS,
    sizes=keys,
    tables=tables,
    notes=(
        DATA[0],
        (
            f"At scale small the learning rate is {RATE:g}. The sources have all sentences that are at hand, fewer "
            "than the paper's 20,000."
        ),
        (
            "Of this table one column is trained, names from parts of speech and chunks; for the others, which have "
            "other tasks, `--set tasks=[ud_ewt_upos,wnut17]`, or `--set "
            "tasks=[ud_ewt_upos,conll2000_chunk,predicates]` and `--set targets=[predicates]`, with a results folder "
            "of its own."
        ),
    ),
)
