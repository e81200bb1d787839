"""The exhibits' data sets before any is read: whether one is on this machine, and which size was published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from raystudy.exhibits._papers import Paper
from raystudy.huggingface import cached_snapshot
from raystudy.paths import is_folder
from raystudy.plugins import find_module

__all__ = ["is_here", "published_train_size"]

# of data sets whose cards say no size, and whose paper prints none; of words and generated tasks roughly
_SIZES: Mapping[str, int] = {
    "sst5": 8_544,
    "amazon_mds": 7_000,
    "imdb": 23_785,
    "amazon_mds_stars": 5_465,
    "streusle_mwe": 2_723,
    "ud_ewt_upos": 12_543,
    "germeval14": 24_000,
    "conll2003_de": 12_152,
    "conll2000_chunk": 8_936,
    "wnut17": 3_394,
    "predicates": 12_543,
    "word_vectors": 50_000,
    "teachers": 10_000,
    "teachers/target": 8_500,
}


def published_train_size(paper: Paper, task: str) -> int:
    """The training examples of a task of the paper: as the paper prints it, else as the data set was published."""
    number = (
        paper.published("Table 1").find(dataset=paper.tasks[task], setting="train") if _has_sizes(paper, task) else None
    )
    if number is not None:
        return round(number.value)
    module = task.partition("/")[0]
    card = getattr(find_module("tasks", module), "CARD", None)
    published = getattr(card, "published", None)
    return int(published[0]) if published is not None else _SIZES.get(task, _SIZES.get(module, 0))


def _has_sizes(paper: Paper, task: str) -> bool:
    """Whether the paper has a Table 1 with the sizes of its data, in which the task is a data set."""
    return paper.statistics and task in paper.tasks and task not in paper.in_place_of


def is_here(module: str, root: Path | None) -> bool:
    """Whether a data set lies under the data root or in this machine's cache of the hub, or needs neither."""
    if module == "word_vectors":  # made of tagged data
        return root is not None and is_folder(root / "wnut17") and is_folder(root / "ud_ewt_upos")
    card = getattr(find_module("tasks", module), "CARD", None)
    if card is None or (root is not None and is_folder(root / module)):
        return True
    hub = getattr(card.hub, "id", card.hub)
    return bool(hub) and cached_snapshot(str(hub), "dataset", None, ("*",)) is not None
