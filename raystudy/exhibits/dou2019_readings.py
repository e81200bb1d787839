"""Dou et al.: what the passages that the paper leaves open are worth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raystudy.exhibits import Scale
from raystudy.exhibits._glue import BATCHES, META, study_keys
from raystudy.exhibits._papers import DOU2019
from raystudy.exhibits._readings import readings

__all__ = ["EXHIBIT"]

# what an epoch is, and what mixed does in each, are readings of their own: so the length is told in epochs
EPOCHS: Mapping[Scale, Mapping[str, int]] = {"smoke": {"meta_epochs": 1}, "small": {"meta_epochs": 2}, "paper": {}}


def keys(scale: Scale, root: Path | None) -> dict[str, Any]:
    """The keys of the study file; at scale ``small`` meta-learning is about as long as in the tables of the paper."""
    settings = {**META[scale], **{k: v for k, v in BATCHES[scale].items() if k != "meta_steps"}, **EPOCHS[scale]}
    return {**study_keys(scale, root), "settings": settings}


EXHIBIT = readings(DOU2019, "maml", ("glue",), sizes=keys)
