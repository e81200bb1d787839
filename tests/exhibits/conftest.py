"""Made-up results of an exhibit's study: what a run leaves behind, without running one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from raystudy.analysis.compute import compute
from raystudy.analysis.numbers import Numbers
from raystudy.catalogue import catalogue
from raystudy.spec import Record, Spec
from raystudy.studyfile import Study

Score = Callable[[str, str, int], float]
"""(variant, target, seed) -> score, a fraction."""
Left = Callable[..., Numbers]


@pytest.fixture(scope="session")
def left() -> Left:
    """The numbers of a study all of whose cells are done, with these test scores; dev is one point more.

    `gone`: cells (variant, target, seed) that have not finished. `updates`: variant -> updates of one training.
    `facts`: what the record of (variant, target, seed) says beside the metric.
    """

    def make(
        study: Study,
        score: Score,
        gone: frozenset[tuple[str, str, int]] = frozenset(),
        updates: Mapping[str, int] | None = None,
        facts: Callable[[str, str, int], Mapping[str, Any]] = lambda variant, target, seed: {},
    ) -> Numbers:
        records = []
        for setting in study.settings_grid:
            for variant in study.variants:
                for target in study.target_names:
                    for seed in range(study.report.seeds):
                        if (variant, target, seed) in gone or target not in study.targets_in(setting, variant):
                            continue
                        test = score(variant, target, seed)
                        floor = catalogue().variant(variant).role == "floor"
                        made = (updates or {}).get(variant, 0 if floor else 60)
                        spec = Spec(
                            "confirm",
                            variant,
                            catalogue().variant(variant).method,
                            {},
                            study.tasks_with(target),
                            target,
                            setting,
                            seed,
                            study.plm,
                            "0" * 16,
                            dict.fromkeys(study.tasks_with(target), "1" * 16),
                        )
                        records.append(
                            Record(
                                spec,
                                "done",
                                {
                                    "dev": {"accuracy": test + 0.01},
                                    "test": {"accuracy": test, "macro_f1": test / 2},
                                },
                                {"n_train": 256, "n_dev": 128, "n_test": 400},
                                {"finetune": made},
                                {"finetune": "ran"},
                                {"adapt": 1.0},
                                {"metric": "accuracy", **facts(variant, target, seed)},
                                passes={"finetune": float(made)},
                            )
                        )
        return compute(study, records, facts={"model": "minilm 00: six layers"})

    return make
