"""Made-up studies: what a run leaves behind, without running one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from raystudy.analysis import report
from raystudy.analysis.figures import Figure
from raystudy.analysis.numbers import Numbers
from raystudy.analysis.report import build
from raystudy.analysis.section import fill
from raystudy.analysis.sections import SECTIONS
from raystudy.analysis.table import Table
from raystudy.analysis.tables import Importance, SearchRow, TaskFacts
from raystudy.catalogue import catalogue
from raystudy.spec import Arm, Record, Setting, Spec
from raystudy.studyfile import ReportPlan, SearchPlan, Study

Make = Callable[..., Record]


def make_record(
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
    """One record; ``test`` and ``dev`` are scores as fractions, ``error`` makes it a failed one."""
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
        passes={"finetune": 60.0},
    )


@pytest.fixture
def make() -> Make:
    return make_record


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


def figures_of(numbers: Numbers, section: str) -> list[Figure]:
    """The figures of one section of a report, by the section's anchor."""
    (part,) = (p for p in fill(numbers, SECTIONS) if p.name == section)
    return part.figures


def table_of(numbers: Numbers, name: str) -> Table:
    """One table of a report, by the stem of its files."""
    blocks = (b for p in fill(numbers, SECTIONS) for b in p.tables if b.formats)
    return next(b.table for b in blocks if b.table.name == name)


@contextmanager
def svg_alone() -> Iterator[None]:
    """While open, reports draw no PDF, for tests that look at none."""
    draw = report.draw
    with patch.object(report, "draw", lambda figure, form: draw(figure, form) if form == "svg" else b"no PDF"):
        yield


@dataclass
class Left:
    """Everything that a report is built from."""

    study: Study
    records: list[Record] = field(default_factory=list)
    rows: list[SearchRow] = field(default_factory=list)
    importances: list[Importance] = field(default_factory=list)
    tasks: list[TaskFacts] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    study_text: str = ""

    def build(self, out: Path) -> Path:
        """Returns the path of report.html."""
        path = build(
            self.study,
            self.records,
            self.rows,
            out,
            facts=self.facts,
            notes=self.notes,
            importances=self.importances,
            tasks=self.tasks,
            study_text=self.study_text,
        )
        return path.with_name("report.html")


def left_by(
    methods: Mapping[str, float],
    targets: tuple[str, ...] = ("polarity", "stars"),
    shots: tuple[int, ...] = (20, 50, 100),
    *,
    seeds: int = 5,
    trials: int = 40,
    error: str = "",
) -> Left:
    """A study that searched and confirmed; `methods` -> gain over the baseline in points, the last one fails once.

    Half of the trials of some arms are pruned, transfers are answered from the store from the second target on.
    """
    rng = np.random.default_rng(11)
    suite = (*targets, "subjectivity")
    study = Study(
        name="lexicon-league",
        about="how well terms are rated from few labelled ones, helped by what other lexicons know",
        tasks=suite,
        targets=targets,
        shots=shots,
        methods=tuple(methods),
        search=SearchPlan(trials=trials, seeds=2, generation=4),
        report=ReportPlan(seeds=seeds),
    )
    left = Left(
        study,
        facts={
            "raystudy": "0.1.0",
            "torch": "2.13.0+cpu",
            "commit": "d8aebd2",
            "study": "d7b733580da41fa4",
            "model": "minilm 3f3223f709595469: MiniLM-L6, uncased, tuned on NLI, QQP and SQuAD pairs",
            "command": "python -m raystudy.run lexicon-league",
        },
        notes=("Encoder minilm: uncased, 6 layers, already tuned on NLI, QQP and SQuAD pairs.",),
        study_text="name: lexicon-league\nsuite: lexicon\nshots: [20, 50, 100]\nmethods:\n- single_task\n- meta_dtl\n",
        tasks=[
            TaskFacts(
                name,
                "target" if name in targets else "source",
                "single",
                0 if name == "stars" else 2,
                1000,
                200,
                500,
                "accuracy",
                "TextBlob 0.18 (https://pypi.org/project/textblob), adjective senses",
                "MIT",
                ("labels are means of human ratings",) if name == "stars" else (),
                "4606f10bfabb4585aa08eea23660dfdd",
            )
            for name in suite
        ],
    )

    def record(variant: str, target: str, k: int, seed: int, phase: Any, dev: float, test: float | None, **more: Any):
        transfer = variant.startswith("meta_dtl")
        stored = transfer and (target != targets[0])
        return Record(
            Spec(
                phase,
                variant,
                catalogue().variant(variant).method,
                {"lr": 5e-5, **more},
                suite,
                target,
                Setting(shots=k),
                seed,
                "minilm",
                "0" * 16,
                dict.fromkeys(suite, "1" * 16),
            ),
            "done",
            {"dev": {"accuracy": dev}, **({"test": {"accuracy": test}} if test is not None else {})},
            {"n_train": k, "n_dev": k, "n_test": 500},
            {"finetune": 60, **({"meta": 120} if transfer else {})},
            {"finetune": "ran", **({"meta": "stored" if stored else "ran"} if transfer else {})},
            {
                "load": 0.25,
                "adapt": 4.0 + float(rng.uniform(0, 1)),
                **({"transfer": 0.1 if stored else 9.0} if transfer else {}),
            },
            {"metric": "accuracy"},
        )

    for t, target in enumerate(targets):
        for k in shots:
            draws = rng.normal(0, 0.02, seeds)
            for variant, gain in methods.items():
                floor = catalogue().variant(variant).role == "floor"
                level = 0.5 - 0.08 * t + (0 if floor else 0.07 * np.log10(k)) + gain / 100
                for seed in range(seeds):
                    noise = rng.normal(0, 0.012) + draws[seed] if not floor else 0.0
                    test = round(float(level + noise), 4)
                    left.records.append(record(variant, target, k, seed, "confirm", round(test + 0.01, 4), test))
                if floor or not trials:
                    continue
                dev = rng.normal(level - 0.03, 0.03, trials)
                pruned = rng.uniform(size=trials) < (0.3 if t else 0.0)
                pruned[0] = False
                best = int(np.argmax(np.where(pruned, 0, dev)))
                for i in range(trials):
                    settings = {
                        "lr": round(float(10 ** rng.uniform(-5, -3.3)), 7),
                        "lambda": round(float(rng.uniform(0, 1)), 3),
                    }
                    settings |= {"pool": "mean" if i % 3 else "cls", "clip": 1.0}
                    if i == 0:
                        settings = {"lr": 5e-5, "lambda": 0.1, "pool": "cls", "clip": 1.0}
                    state = "pruned" if pruned[i] else "complete"
                    left.rows.append(
                        SearchRow(
                            Arm(variant, Setting(shots=k)),
                            target,
                            i,
                            settings,
                            float(dev[i]),
                            state,
                            i == best,
                            updates=120 if pruned[i] else 240 + 60 * (i % 2),
                            passes=120.0 if pruned[i] else 240.0 + 60.0 * (i % 2),
                            seconds=11.5,
                            seeds=1 if pruned[i] else 2,
                        )
                    )
                    for seed in range(1000, 1002 - bool(pruned[i])):
                        left.records.append(
                            record(
                                variant,
                                target,
                                k,
                                seed,
                                "search",
                                float(dev[i]),
                                None,
                                trial=i,
                                **settings | {"lr": 5e-5},
                            )
                        )
    for k in shots:
        for variant in methods:
            if catalogue().variant(variant).role != "floor" and trials:
                shares = {"lr": 0.62, "lambda": 0.25, "pool": 0.13} if trials >= 30 else {}
                left.importances.append(
                    Importance(Arm(variant, Setting(shots=k)), "PED-ANOVA of Optuna", trials, shares)
                )
    if error:
        last = list(methods)[-1]
        at = next(i for i, r in enumerate(left.records) if r.spec.variant == last and r.spec.phase == "confirm")
        spec = left.records[at].spec
        left.records[at] = Record(spec, "failed", seconds={"load": 0.2, "adapt": 1.0}, error=error)
    return left


@pytest.fixture(scope="session")
def rich() -> Left:
    """Six methods and two floors on two targets with three numbers of shots, searched; one cell failed."""
    gains = {
        "single_task": 0.0,
        "single_task_matched": 0.4,
        "multi_task": -4.0,
        "meta_dtl": 6.0,
        "meta_dtl_wo_imk": 3.5,
        "majority": -12.0,
        "frozen_logistic": -3.0,
        "meta_dtl_wo_wmer": 1.5,
    }
    error = (
        'Traceback (most recent call last):\n  File "raystudy/train.py", line 237, in run\n    loss.backward()\n'
        "FloatingPointError: the loss is not finite at update 41 of 60 (lr = 0.0005)"
    )
    return left_by(gains, error=error)


@pytest.fixture(scope="session")
def rich_report(rich: Left, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of its report.html. The figures beside it are no PDF: drawing these takes as long as all the rest."""
    with svg_alone():
        return rich.build(tmp_path_factory.mktemp("rich"))
