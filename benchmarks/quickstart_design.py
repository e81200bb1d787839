"""Chooses the design of the study `quickstart` on dev: shots, frozen layers, updates, learning rate.

    python benchmarks/quickstart_design.py [--seeds 5] [--first 10] [--methods tawt_pre_w] [--only 0,2]
                                           [--json]

Every design trains the baseline and one or more methods of transfer on a few pilot seeds, which are not those of the
report, and asks for their answers on the whole dev split of the target. No answer to test is ever made. From the
differences on dev, seeds x examples, come the variances between seeds, between examples and of the rest; from these
the standard error that the study will have with its own number of seeds on the size of its test split, and its power:
how often the p of its verdict, of the tests over seeds and examples and over seeds, is below .05 / m, the first and
hardest step of Holm's over the study's m comparisons.

The design with the greatest power is taken; of designs that reach .95 the one that takes the least processor time.
A difference that was the greatest of several is too great, the more so the fewer the seeds, and so is the power of the
best. What the chosen design can do is what it does on seeds that did not choose it:

    python benchmarks/quickstart_design.py --only 1 --first 30 --seeds 14

The designs below are those that were left of some twenty, most of which were tried on dev by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from raystudy.analysis.stats import ALPHA, MeanSquares, deciding_p, mean_squares, two_way_p

DRAWS = 20_000
PILOT = 10  # the first pilot seed, by default: the search of the study has the seeds of this phase from 0
ENOUGH = 0.95


@dataclass(frozen=True)
class Design:
    """What a quickstart could be."""

    shots: int
    freeze: str
    updates: int
    lr: float
    batch_size: int = 16

    @property
    def keys(self) -> tuple[str, ...]:
        """As keys of the study file."""
        return (
            f"shots=[{self.shots}]",
            f"settings.freeze={self.freeze}",
            f"settings.min_updates={self.updates}",
            f"settings.max_updates={self.updates}",
            f"settings.batch_size={self.batch_size}",
            "dev=all",
        )


DESIGNS = (
    Design(20, "5/6", 120, 1e-3, 8),
    Design(20, "5/6", 120, 5e-4, 8),
    Design(20, "2/3", 120, 5e-4, 8),
    Design(20, "2/3", 90, 5e-4, 8),
    Design(20, "2/3", 60, 1e-3, 8),
    Design(20, "5/6", 60, 1e-3),
    Design(20, "2/3", 60, 5e-4),
    Design(50, "2/3", 60, 5e-4),
)


@dataclass(frozen=True)
class Finding:
    """One method beside the baseline in one design: means and difference in points, standard error as in the study."""

    design: Design
    method: str
    baseline_mean: float
    mean: float
    difference: float
    se: float
    power: float
    seconds: float


def planned(differences: NDArray[np.float64], seeds: int, examples: int, family: int) -> tuple[float, float]:
    """(standard error, power) of a verdict on `seeds` x `examples`, from the variances in a pilot's matrix.

    The model is that of `analysis.stats.two_way`: a mean, a seed's part, an example's, and a rest. Studies with these
    variances are drawn, and counted where the p that decides (`deciding_p`) is below Holm's first threshold.
    """
    pilot = mean_squares(differences)
    (s, e), mean, rest = differences.shape, float(pilot.mean), float(pilot.rest)
    of_seed, of_example = max(0.0, float(pilot.seed) - rest) / e, max(0.0, float(pilot.example) - rest) / s
    g = np.random.default_rng(0)
    on_rows = g.normal(0, np.sqrt(of_seed + rest / examples), (DRAWS, seeds))
    rows = mean + g.normal(0, np.sqrt(of_example / examples), (DRAWS, 1)) + on_rows

    def square(expected: float, df: int) -> NDArray[np.float64]:
        return expected * g.chisquare(df, DRAWS) / df

    drawn = MeanSquares(
        seeds,
        examples,
        rows.mean(1),
        examples * rows.var(1, ddof=1),
        square(seeds * of_example + rest, examples - 1),
        square(rest, (seeds - 1) * (examples - 1)),
    )
    both = two_way_p(drawn.mean, *drawn.standard_error)
    over_seeds = 2 * stats.t.sf(np.abs(drawn.mean) / np.sqrt(rows.var(1, ddof=1) / seeds), seeds - 1)
    decided = deciding_p(seeds, over_seeds, both) < ALPHA / family
    se = np.sqrt(of_seed / seeds + of_example / examples + rest / (seeds * examples))
    return float(se), float((decided & (drawn.mean * mean > 0)).mean())


def tried(design: Design, methods: list[str], seeds: int, first: int) -> list[Finding]:
    """The design on `seeds` pilot seeds from `first` on: every method beside the baseline."""
    from raystudy import train
    from raystudy.catalogue import catalogue
    from raystudy.run import RunOptions, open_study
    from raystudy.spec import Arm
    from raystudy.study.plan import Plan
    from raystudy.study.store.stage_store import StageStore

    study, places, _ = open_study("quickstart", RunOptions(set=design.keys))
    plan, (target,), (setting,) = Plan(study, places), study.target_names, study.settings_grid
    roles = {v: catalogue().variant(v).role for v in study.variants}
    family = sum(role in ("method", "control") for role in roles.values())
    right: dict[str, list[list[bool]]] = {}
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = StageStore(Path(folder))
        for seed in range(first, first + seeds):
            for variant in (study.report.baseline, *methods):
                settings = {**plan.reference(variant), "lr": design.lr}
                spec = plan.spec(Arm(variant, setting), settings, target, seed, "search")
                begun = time.process_time()
                answers = train.run(spec, places, store=store).predictions["dev"]
                seconds[variant] = seconds.get(variant, 0.0) + (time.process_time() - begun) / seeds
                right.setdefault(variant, []).append([g == p for g, p in zip(answers.gold, answers.pred, strict=True)])
    n_test = len(plan.tasks[target].splits["test"])
    base = np.array(right[study.report.baseline], np.float64)
    found = []
    for method in methods:
        own = np.array(right[method], np.float64)
        se, power = planned(own - base, study.report.seeds, n_test, family)
        means = 100 * float(base.mean()), 100 * float(own.mean())
        found.append(Finding(design, method, *means, means[1] - means[0], 100 * se, power, seconds[method]))
    return found


def main() -> None:
    """Try every design and print what was found, the chosen one last."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=PILOT)
    parser.add_argument("--methods", default="tawt_pre_w")
    parser.add_argument("--only", default="")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    chosen = [DESIGNS[int(i)] for i in args.only.split(",")] if args.only else DESIGNS
    found: list[Finding] = []
    for design in chosen:
        for f in tried(design, args.methods.split(","), args.seeds, args.first):
            found.append(f)
            how = f"updates {design.updates} batch {design.batch_size} lr {design.lr:g}"
            line = f"k={design.shots} freeze {design.freeze} {how}: {f.method}"
            numbers = f"{f.mean:.1f} beside {f.baseline_mean:.1f}, difference {f.difference:+.1f} (se {f.se:.1f})"
            if not args.json:
                print(f"{line} {numbers}, power {f.power:.2f}, {f.seconds:.1f} CPU-s a cell", flush=True)
    enough = [f for f in found if f.power >= ENOUGH and f.difference > 0]
    best = min(enough, key=lambda f: f.seconds) if enough else max(found, key=lambda f: f.power)
    if args.json:
        print(json.dumps({"found": [asdict(f) for f in found], "chosen": asdict(best)}, indent=2))
    else:
        print(f"chosen: {best.design}, power {best.power:.2f} with {best.method}")


if __name__ == "__main__":
    main()
