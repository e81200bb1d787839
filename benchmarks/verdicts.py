"""How often the word of a report is wrong where methods are equally good, and how often it sees a difference.

    python benchmarks/verdicts.py [--studies 2000] [--files 50] [--processes 2] [--json]

It simulates studies whose methods have the same true score, and counts those in which any method is called better or
worse than the baseline: a false positive, which should come in at most 5 of 100 studies. A study is made of
predictions, one answer for each method, seed and test example, and what makes an answer right is what does so in real
studies:

    an example is hard for all methods;
    a method prefers some examples, with all its seeds ("interaction"; rows are with it and without);
    a seed is good or bad for all methods (the draw of the training examples), and for one method (its training);
    a seed's training differs from example to example.

Methods are drawn from one distribution, so their true scores are equal in any metric. The word comes from the function
that decides it (`analysis.stats.decide`, which a test holds to say what reports say). `--files` studies go the whole
way: predictions and records in a results folder, then the report, whose words must be the same.

The rows share their studies: 3, 5 and 10 seeds are the first of 20, 100 and 277 examples the first of 1,000, and two
methods the first two of eight. Within a row all studies are independent. Power is the share of studies in which the
first method is called better, once its scores are raised by so many points.

    worst_false_positive_rate   the largest rate of a row
    worst_lower_bound           the largest 99.9 % lower bound of a row's rate (Clopper and Pearson); the bar is .06
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Literal, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import beta

from raystudy.analysis.leave_one_out import correlations, of_classes, pseudo_values, ratio
from raystudy.analysis.stats import ALPHA, MeanSquares, decide, holm, mean_squares

Floats = NDArray[np.float64]
Kind = Literal["classes", "numbers", "tags"]
SEEDS, EXAMPLES, METHODS = (3, 5, 10, 20), (100, 277, 1000), (2, 8)
KINDS: dict[Kind, tuple[str, ...]] = {
    "classes": ("accuracy", "macro_f1", "mcc"),
    "numbers": ("pearson",),
    "tags": ("span_f1",),
}
POINTS = (1, 2, 4)
ROPE = 0.01
BAR = 0.06
CLASSES = (0.55, 0.3, 0.15)  # shares of the classes in the test set
_BLOCK = 5  # studies that are held in memory at once
_SLOTS = 6  # spans that a sentence may hold


class Row(NamedTuple):
    """What is counted together; a row of the table."""

    metric: str
    interaction: bool
    methods: int
    seeds: int
    examples: int


class Predictions(NamedTuple):
    """The answers of `studies` x `methods` x `seeds` trainings to `examples`, in the terms of a kind of task.

    Classes: gold (n, 1, 1, e) and answers (n, m, s, e) as numbers of classes. Numbers: the same, real. Tags: `gold` is
    how many of a sentence's places hold a span, `answers` is (n, m, s, e, places) whether one is answered there.
    """

    gold: NDArray[Any]
    answers: NDArray[Any]


# ---------------------------------------------------------------------------------------------------------------------
# studies


def predictions(
    kind: Kind, interaction: bool, n: int, methods: int, seeds: int, examples: int, rng: np.random.Generator
) -> Predictions:
    """The answers of `n` studies whose methods are equally good."""

    def normal(*shape: int) -> NDArray[np.float32]:
        return rng.standard_normal(shape, dtype=np.float32)

    m, s, e = methods, seeds, examples
    if kind == "classes":
        k = len(CLASSES)
        gold = rng.choice(k, size=(n, 1, 1, e), p=CLASSES)
        logits = 0.5 * normal(n, m, s, e, k)
        logits += 1.2 * np.eye(k, dtype=np.float32)[gold] + 0.8 * normal(n, 1, 1, e, k)
        logits += 0.25 * normal(n, 1, s, 1, k) + 0.25 * normal(n, m, s, 1, k)  # a training's leaning to some classes
        if interaction:
            logits += 0.6 * normal(n, m, 1, e, k)
        return Predictions(gold, logits.argmax(axis=-1))
    if kind == "numbers":
        numbers = normal(n, 1, 1, e)
        answers = 0.5 * normal(n, m, s, e) + 0.6 * normal(n, 1, 1, e)
        answers += numbers * (1 + 0.2 * normal(n, 1, s, 1) + 0.2 * normal(n, m, s, 1))
        if interaction:
            answers += 0.5 * normal(n, m, 1, e)
        return Predictions(numbers, answers)
    spans = np.minimum(rng.poisson(1.3, size=(n, 1, 1, e)), _SLOTS)
    skill = 0.5 + 0.6 * normal(n, m, s, e) + 0.8 * normal(n, 1, 1, e)
    skill += 0.2 * normal(n, 1, s, 1) + 0.2 * normal(n, m, s, 1)
    if interaction:
        skill += 0.6 * normal(n, m, 1, e)
    right = ndtr(skill)
    hit = rng.binomial(spans, right)
    extra = np.minimum(rng.poisson(0.5 * (1 - right)), _SLOTS - spans)
    place = np.arange(_SLOTS)
    answered = np.where(place < spans[..., None], place < hit[..., None], place < (spans + extra)[..., None])
    return Predictions(spans, answered)


def example_terms(metric: str, p: Predictions) -> Floats:
    """(n, m, s, e) what each example adds to each training's score."""
    if metric == "accuracy":
        right: Floats = (p.gold == p.answers).astype(np.float64)
        return right
    if metric == "pearson":
        score, without = correlations(p.gold, p.answers)
    elif metric == "span_f1":
        there = np.arange(_SLOTS) < p.gold[..., None]
        right = 2.0 * (there & p.answers).sum(axis=-1)
        of = (p.gold + p.answers.sum(axis=-1)).astype(np.float64)
        score, without = right.sum(axis=-1) / of.sum(axis=-1), ratio(right, of)
    else:
        score, without = of_classes(metric, p.gold, p.answers, len(CLASSES) + 1)
    return pseudo_values(without, score)


def count(kind: Kind, interaction: bool, studies: int, seed: Sequence[int]) -> Counter[tuple[Row, str]]:
    """(row, what happened) -> in how many studies."""
    seen: dict[tuple[str, int, int], list[MeanSquares]] = {}
    rng = np.random.default_rng(seed)
    for first in range(0, studies, _BLOCK):
        n = min(_BLOCK, studies - first)
        p = predictions(kind, interaction, n, max(METHODS), max(SEEDS), max(EXAMPLES), rng)
        for e in EXAMPLES:
            few = Predictions(p.gold[:, :, :, :e], p.answers[:, :, :, :e])
            for metric in KINDS[kind]:
                terms = example_terms(metric, few)
                differences = terms[:, 1:] - terms[:, :1]
                for s in SEEDS:
                    seen.setdefault((metric, s, e), []).append(mean_squares(differences[:, :, :s]))
    found: Counter[tuple[Row, str]] = Counter()
    for (metric, s, e), blocks in seen.items():
        parts = [np.concatenate(part) for part in zip(*(b[2:] for b in blocks), strict=True)]
        for m in METHODS:
            family = MeanSquares(s, e, *(part[:, : m - 1] for part in parts))
            for what, hits in _happened(family).items():
                found[Row(metric, interaction, m, s, e), what] += hits
    return found


def _happened(squares: MeanSquares) -> dict[str, int]:
    """What studies say of their comparisons, which have no true difference, and of a first one that is given one."""
    null = decide(squares, ROPE)
    wide = np.abs(squares.mean) >= ROPE

    def any_of(called: NDArray[np.bool_]) -> int:
        return int(called.any(axis=-1).sum())

    out = {
        "word": any_of((null.words == "better") | (null.words == "worse")),
        "two-way": any_of((holm(null.examples_p) < ALPHA) & wide),
        "seeds": any_of((holm(null.seeds_p) < ALPHA) & wide),
    }
    for points in POINTS:
        raised = squares.mean.copy()
        raised[:, 0] += points / 100
        out[f"+{points}"] = int((decide(squares._replace(mean=raised), ROPE).words[:, 0] == "better").sum())
    return out


def lower_bound(hits: int, studies: int) -> float:
    """The 99.9 % lower bound of a rate (Clopper and Pearson)."""
    return float(beta.ppf(0.001, hits, studies - hits + 1)) if hits else 0.0


# ---------------------------------------------------------------------------------------------------------------------
# through files


def through_files(studies: int, seed: int) -> int:
    """In how many of so many studies a report built from files says the word that `decide` says, for all methods."""
    kinds = [(kind, metric) for kind, metrics in KINDS.items() for metric in metrics]
    same = 0
    for i in range(studies):
        kind, metric = kinds[i % len(kinds)]
        rng = np.random.default_rng([seed, i])
        p = predictions(kind, bool(i % 2), 1, 3, (3, 5, 6)[i % 3], 100, rng)
        p = _made_better(p, kind, rng) if i % 4 == 0 else p  # so that all words occur
        terms = example_terms(metric, p)
        wanted = decide(mean_squares(terms[:, 1:] - terms[:, :1]), ROPE).words[0].tolist()
        same += _words_of_report(kind, metric, p, terms) == wanted
    return same


def _made_better(p: Predictions, kind: Kind, rng: np.random.Generator) -> Predictions:
    """The second method answers a third of all examples anew, and right."""
    answers = p.answers.copy()
    right = rng.random(answers[:, 1].shape[:3]) < 0.33
    if kind == "tags":
        there = np.broadcast_to(np.arange(_SLOTS) < p.gold[:, 0, :, :, None], answers[:, 1].shape)
        answers[:, 1] = np.where(right[..., None], there, answers[:, 1])
    else:
        answers[:, 1] = np.where(right, p.gold[:, 0], answers[:, 1])
    return Predictions(p.gold, answers)


def _words_of_report(kind: Kind, metric: str, p: Predictions, terms: Floats) -> list[str]:
    from raystudy.predictions import Predictions as Answers
    from raystudy.spec import Record, Setting, Spec
    from raystudy.study.folder.records import Results
    from raystudy.study.folder.report_files import write_report
    from raystudy.studyfile import ReportPlan, Study
    from raystudy.train import Outcome

    methods = ("single_task", "multi_task", "meta_dtl")
    seeds = p.answers.shape[2]
    study = Study(
        name="null", tasks=("polarity", "stars"), targets=("polarity",), methods=methods, report=ReportPlan(seeds=seeds)
    )
    with tempfile.TemporaryDirectory() as folder:
        results, ids = Results(folder), []
        for m, variant in enumerate(methods):
            for s in range(seeds):
                spec = Spec(
                    *("confirm", variant, variant, {"lr": 5e-5}, study.tasks, "polarity", Setting(), s, "minilm"),
                    plm_digest="0" * 16,
                    data=dict.fromkeys(study.tasks, "1" * 16),
                )
                answers = p.answers[0, m, s]
                score = float(terms[0, m, s].mean())
                metrics = {split: {metric: score} for split in ("dev", "test")}
                record = Record(spec, "done", metrics, {"n_test": len(answers)}, facts={"metric": metric})
                results.write(Outcome(record, {"test": Answers(*_as_written(kind, p.gold[0, 0, 0], answers))}))
                ids.append(record.id)
        empty: list[Any] = []
        manifest = {
            "study": study.model_dump(mode="json"),
            "search": empty,
            "confirm": ids,
            "facts": {},
            "notes": empty,
        }
        results.write_manifest({**manifest, "search_rows": empty, "importances": empty, "tasks": empty})
        report = write_report(folder).with_name("report.json")
        comparisons = json.loads(report.read_text(encoding="utf-8"))["comparisons"]
    words = {c["variant"]: c["verdict"]["word"] for c in comparisons}
    return [words[v] for v in methods[1:]]


def _as_written(kind: Kind, gold: NDArray[Any], answers: NDArray[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Labels and answers of one training, as its predictions are written."""
    if kind == "classes":
        return tuple(map(str, gold.tolist())), tuple(map(str, answers.tolist()))
    if kind == "numbers":
        return tuple(map(float, gold)), tuple(map(float, answers))

    def tags(spans: Iterable[bool]) -> tuple[str, ...]:
        return tuple("B-x" if there else "O" for there in spans)

    return tuple(tags(np.arange(_SLOTS) < n) for n in gold), tuple(map(tags, answers))


# ---------------------------------------------------------------------------------------------------------------------
# what is printed


def rows_of(found: Counter[tuple[Row, str]], studies: int) -> list[dict[str, Any]]:
    """A row of numbers for each row of the table, in the order of the metrics, methods, seeds and examples."""
    metrics = [metric for of_kind in KINDS.values() for metric in of_kind]
    rows = sorted({row for row, _ in found}, key=lambda r: (metrics.index(r.metric), *r[1:]))
    return [
        {
            **row._asdict(),
            "false_positive_rate": found[row, "word"] / studies,
            "lower_bound": round(lower_bound(found[row, "word"], studies), 5),
            "two_way_alone": found[row, "two-way"] / studies,
            "seeds_alone": found[row, "seeds"] / studies,
            "power": {points: found[row, f"+{points}"] / studies for points in POINTS},
        }
        for row in rows
    ]


def page(result: dict[str, Any]) -> Iterator[str]:
    """The page ``docs/verdicts.md``, line by line."""
    rows, studies = result["rows"], result["studies"]
    worst = max(rows, key=lambda r: r["false_positive_rate"])
    yield "# How often the word is wrong"
    for paragraph in (
        f"""A report calls a method "better" or "worse" than the baseline. This page says how often it does so where
        there is nothing to see, and how often it sees what is there. "Better" is to hold for new seeds and new test
        examples (see [Results](results.md)). For each row {studies:,} studies were simulated. Their predictions differ
        as those of real studies do: some examples are hard, some seeds are good, and with *interaction* each method
        prefers some examples whatever its seed. All methods have the same true score, so every better and worse is an
        error, which should occur in at most 5 of 100 studies.""",
        f"""The printed word is wrong in {_percent(worst["false_positive_rate"])} of the studies of its worst row
        ({_name(worst)}); the largest 99.9 % lower bound of a row's rate is {_percent(result["worst_lower_bound"])},
        where at most {_percent(BAR)} is asked for. {_files(result)}""",
        """Two rules that would not do stand beside it. *Two-way test alone*: over seeds and examples at once, without
        the t-test over seeds having to agree; with few seeds that differ much it is too sure where Holm's correction
        asks for a small p. *Seeds alone*: the paired t-test over seeds, which takes the test set as given; with
        interaction more seeds make it more wrong. *Power* is how often the first method is called better when it is
        better by one, two or four points, beside others that are not.""",
        f"""`python benchmarks/verdicts.py > docs/verdicts.md` prints this page, which took
        {max(result["seconds"] / 60, 1):.0f} minutes in {result["processes"]} processes.""",
    ):
        yield ""
        yield textwrap.fill(" ".join(paragraph.split()), 120, break_long_words=False, break_on_hyphens=False)
    for methods in METHODS:
        title = "Two methods" if methods == 2 else f"{methods} methods, seven comparisons with Holm's correction"
        yield from ("", f"## {title}", "")
        names = ["metric", "interaction", "seeds", "examples", "wrong word", "two-way test alone", "seeds alone"]
        names += [f"power, {p} {'point' if p == 1 else 'points'}" for p in POINTS]
        yield _line(names)
        yield _line([":---", ":---", *["---:"] * 8])
        for r in (r for r in rows if r["methods"] == methods):
            rates = (r["false_positive_rate"], r["two_way_alone"], r["seeds_alone"], *r["power"].values())
            yield _line(
                [
                    r["metric"],
                    "with" if r["interaction"] else "without",
                    str(r["seeds"]),
                    f"{r['examples']:,}",
                    *map(_percent, rates),
                ]
            )


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _name(row: dict[str, Any]) -> str:
    size = f"{row['methods']} methods, {row['seeds']} seeds, {row['examples']:,} examples"
    return f"{row['metric']}, {size}, {'with' if row['interaction'] else 'without'} interaction"


def _files(result: dict[str, Any]) -> str:
    n, same = result["files"]["studies"], result["files"]["same"]
    return (
        f"{same} of {n} studies that went through files, from predictions to a report, say the same words." if n else ""
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--files", type=int, default=50)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    began = time.perf_counter()
    share = max(math.ceil(args.studies / 20), 1)
    parts = [min(share, args.studies - first) for first in range(0, args.studies, share)]
    found: Counter[tuple[Row, str]] = Counter()
    # processes that start anew: a fork would copy the threads' locks of the libraries that are loaded here
    with ProcessPoolExecutor(args.processes, mp_context=get_context("spawn")) as pool:
        jobs = [
            pool.submit(count, kind, interaction, n, (i, len(kind), interaction))
            for i, n in enumerate(parts)
            for kind in KINDS
            for interaction in (False, True)
        ]
        files = [pool.submit(through_files, n, first) for first, n in enumerate(_split(args.files, args.processes))]
        for at, job in enumerate(jobs):
            found.update(job.result())
            print(f"\r{at + 1} of {len(jobs)} parts", end="", file=sys.stderr, flush=True)
        same = sum(job.result() for job in files)
    print(file=sys.stderr)
    rows = rows_of(found, args.studies)
    result = {
        "worst_false_positive_rate": max(r["false_positive_rate"] for r in rows),
        "worst_lower_bound": max(r["lower_bound"] for r in rows),
        "bar": BAR,
        "studies": args.studies,
        "files": {"studies": args.files, "same": same},
        "processes": args.processes,
        "seconds": round(time.perf_counter() - began, 1),
        "rows": rows,
    }
    print(json.dumps(result, indent=1) if args.json else "\n".join(page(result)))


def _split(n: int, parts: int) -> list[int]:
    return [n // parts + (i < n % parts) for i in range(parts)]


if __name__ == "__main__":
    main()
