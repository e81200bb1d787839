"""MetaXT, Table 1: four pairs of a source and a target, and how many labels they have."""

from __future__ import annotations

from raystudy.exhibits import Exhibit
from raystudy.exhibits._few_shot import STAND_IN
from raystudy.exhibits._papers import METAXT
from raystudy.exhibits._statistics import statistics

__all__ = ["EXHIBIT"]

EXHIBIT = Exhibit(
    paper=METAXT,
    label="Table 1",
    about="labels and examples of four pairs of a source and a target",
    suites=("polarity_to_five", "polarity_to_stars", "pos_to_mwe", "ner_de"),
    untrained_page=statistics,
    notes=(
        *STAND_IN.values(),
        "The paper prints the number of labels alone. It counts eight for CoNLL-2003, which has nine with O.",
    ),
)
