"""Everything that a report is made from: a study, its records, and what the driver wrote beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from raystudy.analysis.exhibit_page import RunScores, no_runs
from raystudy.analysis.frame import Key, primary_metrics, scores_by_seed, second_metrics, tidy
from raystudy.analysis.league import Apart
from raystudy.analysis.numbers import Importance, Recipe, SearchedSetting, SearchRow, TaskFacts
from raystudy.analysis.search_gain import Beside
from raystudy.spec import Record
from raystudy.studyfile import Study

__all__ = ["Answers", "Sources", "no_answers"]

Answers = Callable[[str], tuple[tuple[str, ...], tuple[str, ...]] | None]
"""The id of a cell -> (gold, answered) classes of the test examples, in their order; None where none can be read, or
where they are no classes."""


def no_answers(cell: str) -> None:
    """The `Answers` of a study whose predictions are not at hand."""


@dataclass(frozen=True)
class Sources:
    """The inputs of a report; all but the study and its records may be missing.

    Attributes:
        records: of all cells of the study's plan, search and confirm, done and failed, each once.
        search_rows: what the search measured, one row per configuration and target; none when nothing was searched.
        facts: the provenance, printed as it is: versions, commit, model digest, study hash, seeds, command.
        notes: sentences about what the numbers depend on, such as what the encoder has already been trained on.
        examples: (variant, target, setting) -> (seeds, examples) differences of correctness to the baseline, where the
            predictions were compared; adds the two-way test.
        importances: how much each searched setting of an arm mattered; it is shown from 30 completed trials on.
        tasks: what is known of the data.
        study_text: the study as YAML, with every default written out.
        spaces: what the searches moved.
        beside: the cells that show what searching brought.
        recipes: what won the searches across methods.
        apart: the families of methods that cannot take part, where the study is a league of families.
        answers: gives the labels and the answers of a cell on the test split.
        texts: target -> the texts of its test examples in their order, as many as are kept.
        estimates: (variant, target) -> the seconds that the plan foresaw for all trainings.
        runs: the scores of single trainings on single test sentences, for what an exhibit tests on them.
    """

    study: Study
    records: tuple[Record, ...]
    search_rows: tuple[SearchRow, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    examples: Mapping[Key, ArrayLike] | None = None
    importances: tuple[Importance, ...] = ()
    tasks: tuple[TaskFacts, ...] = ()
    study_text: str = ""
    spaces: tuple[SearchedSetting, ...] = ()
    beside: Beside = field(default_factory=Beside)
    recipes: tuple[Recipe, ...] = ()
    apart: tuple[Apart, ...] = ()
    runs: RunScores = no_runs
    answers: Answers = no_answers
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    estimates: Mapping[tuple[str, str], float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, study: Study, records: Iterable[Record], search_rows: Iterable[SearchRow] = (), **others: Any
    ) -> Sources:
        """The sources from sequences of any kind, and with None for what is missing."""
        given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in others.items() if v is not None}
        return cls(study, tuple(records), tuple(search_rows), **given)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The finished confirm-phase cells (`frame.tidy`)."""
        return tidy(self.records, self.study.name)

    @cached_property
    def metrics(self) -> dict[str, str]:
        """Target -> its primary metric."""
        return primary_metrics(self.records)

    @cached_property
    def second_metrics(self) -> dict[str, str]:
        """Target -> the metric that tables show behind the primary one, where they show two."""
        return second_metrics(self.records)

    @cached_property
    def test_scores(self) -> dict[Key, dict[int, float]]:
        """(variant, target, setting) -> seed -> test score in the primary metric."""
        return scores_by_seed(self.frame, self.metrics)
