"""What the tables of Dou et al. share: GLUE's four small tasks as targets, and meta-learning that a laptop can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from raystudy.analysis.table import Table
from raystudy.exhibits import LIMITS, Exhibit, ExhibitResults, Scale
from raystudy.exhibits._comparison import Head, Row, caption, comparison_table
from raystudy.exhibits._papers import DOU2019

__all__ = [
    "BATCHES",
    "SMALL",
    "TEST_MEASURE",
    "ablation",
    "glue_heads",
    "meta_caption",
    "own",
    "study_keys",
    "uneven_keys",
]

# the metrics of the tasks as the file of published numbers names them: the first, and the second where a task has two
TEST_METRICS = {
    "cola": ("Matthews corr. (GLUE convention)", ""),
    "mrpc": ("F1 (GLUE convention)", "accuracy (GLUE convention)"),
    "stsb": ("Pearson (GLUE convention)", "Spearman (GLUE convention)"),
    "rte": ("accuracy", ""),
}
SERVER = "GLUE test server; PPS sampling"
DEV_METRIC = "accuracy or Matthews corr."
TEST_MEASURE = "Matthews correlation (CoLA), F1/accuracy (MRPC), Pearson/Spearman correlation (STS-B), accuracy (RTE)"
DEV_MEASURE = "Matthews correlation (CoLA), accuracy (MRPC, RTE), Pearson correlation (STS-B)"

STEPS, TASKS, INNER, BATCH = 60, 4, 3, 4
# of those tried the one with the best dev scores of Reptile, as the mean of STS-B and RTE
OUTER_LR = 2.0e-4
TRIED = {5.0e-5: (70.2, 53.1), 2.0e-4: (69.9, 54.7), 5.0e-4: (57.8, 53.9), 2.0e-3: (14.8, 50.0)}
JOINT_EPOCHS = 2
META: Mapping[Scale, Mapping[str, Any]] = {
    "smoke": {"inner_steps": 2, "outer_lr": 3.0e-3, "alpha": 1.0e-2},
    "small": {"inner_steps": INNER, "outer_lr": OUTER_LR},
    "paper": {},
}
BATCHES: Mapping[Scale, Mapping[str, Any]] = {
    "smoke": {"meta_steps": 6, "tasks_per_step": 2},  # 5:1 has one step of the target alone
    "small": {"meta_steps": STEPS, "tasks_per_step": TASKS, "batch_size": BATCH},
    "paper": {},
}
SMALL = (
    (
        f"At scale small every method reads texts of 48 word pieces in batches of {BATCH}. Meta-learning makes {STEPS} "
        f"meta steps of {TASKS} tasks with {INNER} inner steps. MT-DNN trains on all tasks for {JOINT_EPOCHS} epochs, "
        "which are about as many passes."
    ),
    (
        f"The outer learning rate of scale small is {OUTER_LR:g}. It was chosen on dev, by one training of Reptile for "
        "each of four rates; Pearson's correlation on STS-B and accuracy on RTE were "
        + ", ".join(f"{stsb} and {rte} at {rate:g}" for rate, (stsb, rte) in TRIED.items())
        + ". The first two differ by less than trainings do from seed to seed. All other rates are the paper's 5e-5."
    ),
    (
        "The paper names no metric of a task; where it prints two numbers they are read as GLUE's two metrics, and on "
        "dev as the accuracy of MRPC and the Pearson correlation of STS-B."
    ),
)


def own(variants: Sequence[str]) -> Callable[[Scale], dict[str, dict[str, Any]]]:
    """The settings of meta-learning, for those of the variants that meta-learn, and the length of MT-DNN's training.

    What a variant has in its name is not set again.
    """

    def settings(scale: Scale) -> dict[str, dict[str, Any]]:
        of_meta = {
            v: {k: x for k, x in META[scale].items() if f"{k}=" not in v}
            for v in variants
            if v.startswith(("maml", "fomaml", "reptile"))
        }
        epochs = {"smoke": 1, "small": JOINT_EPOCHS, "paper": 5}[scale]
        return of_meta | ({"mt_dnn": {"joint_epochs": epochs}} if "mt_dnn" in variants else {})

    return settings


def study_keys(scale: Scale, root: Path | None) -> dict[str, Any]:
    """The keys of the study file that keep scale ``small`` small and leave out tasks whose data are not at hand."""
    keys: dict[str, Any] = {"settings": dict(BATCHES[scale])}
    if scale == "smoke":
        return keys
    return {**keys, "missing_data": "leave_out", **({"length": 48} if scale == "small" else {})}


def dev_keys(scale: Scale, root: Path | None) -> dict[str, Any]:
    """The same for a table of development scores, where the paper has the accuracy of MRPC."""
    keys = study_keys(scale, root)
    if scale != "smoke":
        keys["task_options"] = {"mrpc": {"metric": "accuracy", "second_metric": "f1"}}
    return keys


def meta_caption(results: ExhibitResults, what: str, split: str = "test", measure: str = "accuracy") -> str:
    """The caption of a table, with the rate that was chosen for it where no search of this study chose another."""
    chosen = results.scale == "small" and not results.study.search.trials
    rate = f" Outer learning rate of meta-learning: {OUTER_LR:g}, chosen on dev." if chosen else ""
    return caption(results, what, split, measure) + rate


def uneven_keys(scale: Scale, root: Path | None) -> dict[str, Any]:
    """The same where tasks must differ in size, or sampling them by size would be sampling them alike."""
    limits: dict[Scale, dict[str, Any]] = {
        "smoke": {"limits": {"train": 100}, "source_limits": {"train": 400}},
        "small": {"limits": dict(LIMITS), "source_limits": {"train": 4 * LIMITS["train"]}},
        "paper": {},
    }
    return {**dev_keys(scale, root), **limits[scale]}


def glue_heads(results: ExhibitResults, split: Literal["test", "dev"]) -> list[Head]:
    """A column for each target, on test with the metrics of GLUE's server. On dev, rows name the paper's setting."""
    paper = results.exhibit.paper
    heads = []
    for t in (t for targets in results.targets().values() for t in targets):
        published: dict[str, str] = {}
        second: dict[str, str] = {}
        if t in TEST_METRICS and split == "dev":
            published = {"dataset": paper.dataset(t), "metric": DEV_METRIC}
        elif t in TEST_METRICS:
            first, other = TEST_METRICS[t]
            published = {"dataset": paper.dataset(t), "setting": SERVER, "metric": first}
            second = {**published, "metric": other} if other else {}
        heads.append(Head(paper.short(t), (t,), split=split, published=published, second_published=second))
    return heads


def ablation(
    label: str,
    about: str,
    rows: Sequence[tuple[str, str, Mapping[str, str]]],
    notes: tuple[str, ...] = (),
    sizes: Callable[[Scale, Path | None], Mapping[str, Any]] = dev_keys,
) -> Exhibit:
    """A table of development scores whose rows are forms of Reptile.

    Args:
        rows: variant, title, and what names the row in the file of the paper's numbers: its method and its setting.
        sizes: as an `Exhibit` has it.
    """
    shown = [Row(variant, title, published) for variant, title, published in rows]

    def tables(results: ExhibitResults) -> list[Table]:
        measure = DEV_MEASURE if results.scale != "smoke" else "score"
        what = meta_caption(results, results.exhibit.title, "dev", measure)
        return [
            comparison_table(
                results.exhibit.stem, what, shown, glue_heads(results, "dev"), results.numbers, results.published
            )
        ]

    variants = tuple(dict.fromkeys(v for v, _, _ in rows))
    return Exhibit(
        paper=DOU2019,
        label=label,
        about=about,
        suites=("glue",),
        methods=("single_task", *variants),
        sizes=sizes,
        own=own(variants),
        tables=tables,
        notes=(*SMALL, *notes),
    )
