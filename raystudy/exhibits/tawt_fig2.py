"""TAWT, Figure 2: a weight for every example, where a few words of names are helped by many nouns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raystudy.analysis.figures import Figure, dots
from raystudy.analysis.stats import interval
from raystudy.analysis.table import Table
from raystudy.exhibits import Exhibit, ExhibitResults, Scale
from raystudy.exhibits._comparison import Head, Row, by_seed, caption, comparison_table
from raystudy.exhibits._papers import TAWT_WORDS, Published

__all__ = ["EXHIBIT"]

SHOTS, RATIO = 100, 10.0  # target words, and how many times as many of the source
GROUPS = (
    (
        Row("tawt_samples_pre", "Pre-Training"),
        Row("tawt_samples_pre_w", "Weighted-Sample Pre-Training"),
    ),
    (
        Row("tawt_samples_joint", "Joint Training"),
        Row("tawt_samples_joint_w", "Weighted-Sample Joint Training"),
    ),
)
ALONE = Row("single_task", "Single-Task Learning")
MAJORITY = Row("majority", "Majority baseline", {"method": "Majority baseline", "setting": "Fig 2 setting; test"})
ROWS = (*(row for group in GROUPS for row in group), ALONE)
NETWORK: Mapping[Scale, str] = {"smoke": "mlp:16", "small": "mlp:512", "paper": "mlp:4096"}
# single-task learning is trained as what it is compared with
TRAINING = {"lr": 3.0e-4, "batch_size": 128, "warmup": 0.0, "weight_decay": 0.0, "clip": 0.0}
LESS = {**TRAINING, "lr": 1.0e-2, "batch_size": 16, "epochs": 8, "transfer_epochs": 8, "rounds": 4}
ALONE_UPDATES = 200  # an epoch of a hundred words is one update
WORDS = (
    "Other data than the paper's. Target: the words of WNUT-17 whose tag is not O, each with the type of its name (6 "
    "in place of 18). Source: the nouns and proper nouns of UD English, with which of the two they are (2 classes in "
    "place of 50), because these data do not say which words are names. No sentence is in both."
)
VECTORS = (
    "A word is read with the two before it and the two behind it. Their embeddings are the word pieces of minilm "
    "(1,920 numbers in all); with a file of GloVe's 50-dimensional ones, as the paper has them, `--set "
    "task_options.word_vectors.embeddings=glove.6B.50d.txt`, a file below the data root."
)
DRAWN = (
    "The hundred target words are balanced over the types, and drawn anew for every seed; those of the source are "
    "drawn as they are distributed."
)
UNPRINTED = (
    "The points of the paper's figure are not printed, so none stand beside ours; the majority baseline is in its text."
)


def keys(scale: Scale, root: Path | None) -> dict[str, Any]:
    """The keys of the study file: vectors in the place of texts, so no length."""
    if scale == "smoke":
        size: dict[str, Any] = {"shots": [24], "ratio": [2.0]}
    else:
        size = {"missing_data": "leave_out", "shots": [SHOTS], "ratio": [RATIO], "length": None, "limits": {}}
    settings = {**(LESS if scale == "smoke" else TRAINING), "freeze": "none", "min_updates": 0, "max_updates": 0}
    return {**size, "plm": NETWORK[scale], "settings": settings}


def own(scale: Scale) -> dict[str, dict[str, int]]:
    """What single-task learning has for itself: as many updates as the others have in 200 epochs over the target."""
    return {} if scale == "smoke" else {"single_task": {"updates": ALONE_UPDATES}}


def _head(results: ExhibitResults) -> Head:
    """The one column: accuracy on the target's words."""
    (target,) = results.study.target_names
    dataset = results.exhibit.paper.dataset(target)
    published = {"dataset": dataset, "metric": "accuracy"} if dataset else {}
    return Head("accuracy", (target,), str(results.study.settings_grid[0]), published=published)


def tables(results: ExhibitResults) -> list[Table]:
    published = Published() if results.scale == "smoke" else Published("tawt_text.csv")
    words = "" if results.scale == "smoke" else ", types of names"
    what = caption(results, f"{results.exhibit.title}{words}")
    return [
        comparison_table(results.exhibit.stem, what, (*ROWS, MAJORITY), [_head(results)], results.numbers, published)
    ]


def figures(results: ExhibitResults) -> list[Figure]:
    """The scores of both paradigms, each with and without weights, beside the target alone."""
    head = _head(results)

    def score(row: Row) -> tuple[str, Any]:
        return row.title, interval(list(by_seed(results.numbers, head, row.variant).values()))

    title = f"{results.exhibit.title}: test accuracy with and without a weight for every example"
    groups = [[score(row) for row in group] for group in (*GROUPS, (ALONE,))]
    majority = score(MAJORITY)[1]
    level = (MAJORITY.title, majority.mean) if majority.n else None
    return [dots(results.exhibit.stem, title, "test accuracy × 100", groups, level)]


EXHIBIT = Exhibit(
    paper=TAWT_WORDS,
    label="Figure 2",
    about="pre-training and joint training with a weight for every example, and without: the type of a name from a "
    "hundred words of names and ten times as many nouns",
    suites=("name_words",),
    methods=tuple(row.variant for row in ROWS),
    sizes=keys,
    own=own,
    tables=tables,
    figures=figures,
    notes=(WORDS, VECTORS, DRAWN, UNPRINTED),
)
