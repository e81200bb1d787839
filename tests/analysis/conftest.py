"""Made-up records: what a study leaves behind, without running one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from raystudy.spec import Record, Setting, Spec
from raystudy.studyfile import Study

Make = Callable[..., Record]


@pytest.fixture
def make() -> Make:
    """One record; ``test`` and ``dev`` are scores as fractions, ``error`` makes it a failed one."""

    def record(
        variant: str,
        target: str = "polarity",
        seed: int = 0,
        test: float | None = 0.5,
        *,
        k: int | None = 20,
        dev: float = 0.5,
        phase: Any = "confirm",
        error: str = "",
        metric: str = "accuracy",
        settings: dict[str, Any] | None = None,
        seconds: float = 1.5,
        suite: tuple[str, ...] = ("polarity", "stars"),
    ) -> Record:
        spec = Spec(
            phase,
            variant,
            variant,
            settings or {"lr": 5e-5},
            suite,
            target,
            Setting(shots=k),
            seed,
            "minilm",
            "0" * 16,
            dict.fromkeys(suite, "1" * 16),
        )
        if error:
            return Record(spec, "failed", seconds={"run": seconds}, error=error)
        metrics = {"dev": {metric: dev}}
        if phase == "confirm" and test is not None:
            metrics["test"] = {metric: test}
        return Record(
            spec,
            "done",
            metrics,
            {"n_train": 20, "n_dev": 20, "n_test": 200},
            {"finetune": 60},
            {"finetune": "ran"},
            {"run": seconds, "load": 0.25},
            {"metric": metric},
        )

    return record


@pytest.fixture
def study() -> Study:
    return Study(
        name="mine",
        tasks=("polarity", "stars"),
        targets=("polarity",),
        shots=(20, 50),
        methods=("majority", "single_task", "multi_task", "meta_dtl"),
    )


@pytest.fixture
def records(make: Make) -> list[Record]:
    """Five seeds of the study above: meta_dtl clearly better, multi_task worse than the floor at k = 20."""
    rng = np.random.default_rng(7)
    out = []
    for k in (20, 50):
        for seed in range(5):
            base = 0.62 + 0.0015 * k + rng.normal(0, 0.02)
            for variant, gain in {
                "single_task": 0.0,
                "multi_task": -0.2 if k == 20 else 0.004,
                "meta_dtl": 0.08,
            }.items():
                noise = rng.normal(0, 0.008) if gain else 0.0
                out.append(make(variant, seed=seed, k=k, test=round(base + gain + noise, 4)))
            out.append(make("majority", seed=seed, k=k, test=0.5))
    return out
