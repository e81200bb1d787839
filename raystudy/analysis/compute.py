"""From a study's records to the numbers of its report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any, Literal

import pandas as pd

from raystudy.analysis import cautions, compare, sections
from raystudy.analysis.frame import Key, failed_cells, scores_by_seed
from raystudy.analysis.numbers import (
    Completeness,
    Cost,
    Design,
    Failure,
    Method,
    Numbers,
    PhaseCost,
    Place,
    Run,
    Search,
    SearchRow,
    Step,
    TrialResult,
)
from raystudy.analysis.section import with_numbers
from raystudy.analysis.sources import Sources
from raystudy.analysis.stats import interval
from raystudy.analysis.table import listed
from raystudy.catalogue import Variant, catalogue
from raystudy.spec import Record, canonical
from raystudy.studyfile import Study

__all__ = ["completeness", "compute", "costs", "design_of", "numbers_of", "searches_of"]

EQUAL = 1e-12  # scores that differ by less are equal, but for the order in which they were added
_RANK = {"method": 0, "baseline": 0, "control": 1, "bound": 2, "floor": 3}


def compute(study: Study, records: Iterable[Record], search_rows: Iterable[SearchRow] = (), **sources: Any) -> Numbers:
    """All numbers and sentences of a report.

    Args:
        sources: the other fields of `Sources`. Sequences may be of any kind, and in any order.

    Raises:
        ValueError: the records answer one question twice, or do not say which metric counts.
    """
    return numbers_of(Sources.of(study, records, search_rows, **sources))


def numbers_of(sources: Sources) -> Numbers:
    """All numbers and sentences of a report: what its sections share, then what each of them has.

    Raises:
        ValueError: the records answer one question twice, or do not say which metric counts.
    """
    records, beside, design = sources.records, sources.beside.records, design_of(sources.study)
    frame, metrics, failed_runs = sources.frame, sources.metrics, failed_cells(records)
    test_scores, second = sources.test_scores, sources.second_metrics
    second_scores = scores_by_seed(frame, second)
    scores = tuple(
        replace(s, second=interval(list(second_scores[cell].values()))) if cell in second_scores else s
        for s in compare.main_table_scores(test_scores, design, failed_runs, sources.examples)
        for cell in [(s.variant, s.target, s.setting)]
    )
    shared = Numbers(
        design=design,
        completeness=completeness(test_scores, design, failed_runs),
        places=tuple(_places(frame, design, metrics, second)),
        scores=scores,
        comparisons=tuple(compare.comparisons(test_scores, design, sources.examples)),
        searches=tuple(searches_of(sources.search_rows, design)),
        costs=tuple(costs(records, design)),
        failures=tuple(_failures([*records, *beside])),
        tasks=sources.tasks,
        runs=tuple(_runs(records, design, metrics, beside)),
        facts=dict(sources.facts),
        notes=(*sources.notes, *_cut_words(records)),
        study_text=sources.study_text,
        cautions=cautions.of_records(records, design, scores),
        recipes=sources.recipes,
        defaults_trained=sources.beside.planned,
    )
    return with_numbers(shared, sources, sections.SECTIONS)


def design_of(study: Study) -> Design:
    """What the study asks for, in the words of the report."""
    about = [catalogue().variant(v) for v in study.variants]
    rows = (Method(v.id, v.title, v.role, _transfers(v)) for v in about)
    methods = sorted(rows, key=lambda m: _RANK[m.role])
    base = study.report.baseline
    return Design(
        name=study.name,
        about=study.about,
        conditions=_conditions(study),
        baseline=base,
        baseline_title=catalogue().variant(base).title if base in study.variants else base,
        rope=study.report.rope,
        seeds=study.report.seeds,
        methods=tuple(methods),
        targets=tuple(study.target_names),
        settings=tuple(map(str, study.settings_grid)),
        shots=tuple(sorted({s.shots for s in study.settings_grid if s.shots is not None and s.ratio is None})),
        departures=study.departures,
        trained=_trained(study),
        left_out=tuple(_left_out(study)),
        out_of_reach=tuple(
            (variant, target, setting, why)
            for variant, by_target in study.unreached_of.items()
            for target, settings in by_target.items()
            for setting, why in settings.items()
            if variant in study.variants
        ),
    )


def _transfers(v: Variant) -> bool:
    """Whether a variant learns from other tasks: fine-tuning on the target alone does not, nor do floors."""
    return v.role not in ("control", "floor", "bound") and v.method != "single_task"


def _trained(study: Study) -> tuple[tuple[str, str], ...]:
    """(target, setting) of what is trained; empty where every target has every setting."""
    every = [(t, s) for t in study.target_names for s in study.settings_grid]
    trained = tuple((t, str(s)) for t, s in every if t in study.targets_in(s))
    return () if len(trained) == len(every) else trained


def _left_out(study: Study) -> Iterable[tuple[str, str, str]]:
    """(target, setting, why) of what the data cannot serve."""
    for target, settings in study.unreached.items():
        asked = [str(s) for s in study.settings_of(target)]
        yield from ((target, s, settings[s]) for s in asked if s in settings)
    for target in study.absent_targets:
        yield from ((target, str(s), "its data are not at hand") for s in study.settings_of(target))


def _conditions(study: Study) -> str:
    parts = [f"Encoder: {study.plm}"]
    for whose, limits in (("task", study.limits), ("source task", study.source_limits)):
        caps = [f"{n} {split}" for split, n in limits.model_dump().items() if n is not None]
        parts += [f"at most {listed(caps)} examples per {whose}"] if caps else []
    parts += [f"texts cut to {study.length} tokens"] if study.length else []
    parts += [f"without {listed(study.absent)}, whose data are not at hand"] if study.absent else []
    return "; ".join(parts) + "."


def completeness(
    test_scores: Mapping[Key, Mapping[int, float]], design: Design, failed_runs: Mapping[Key, int]
) -> Completeness:
    """Count the study's cells: variants × targets × settings × report seeds."""
    cells = design.cells
    finished_seeds = [min(len(test_scores.get(cell, {})), design.seeds) for cell in cells]
    failed_seeds = [failed_runs.get(cell, 0) for cell in cells]
    missing = sum(max(design.seeds - d - b, 0) for d, b in zip(finished_seeds, failed_seeds, strict=True))
    return Completeness(design.seeds * len(cells), sum(finished_seeds), sum(failed_seeds), missing)


def _places(
    frame: pd.DataFrame, design: Design, metrics: Mapping[str, str], second: Mapping[str, str]
) -> Iterable[Place]:
    sizes: dict[tuple[str, str], set[int]] = {}
    for target, setting, n in zip(frame["target"], frame["setting"], frame["n_test"], strict=True):
        if not pd.isna(n):
            sizes.setdefault((target, setting), set()).add(int(n))
    for target, setting in design.pairs:
        tests = tuple(sorted(sizes.get((target, setting), ())))
        yield Place(target, setting, metrics.get(target, ""), tests, second.get(target, ""))


# ---------------------------------------------------------------------------------------------------------------------
# search


def searches_of(rows: Iterable[SearchRow], design: Design) -> list[Search]:
    """The searches of a study, by target, setting and method in the order of the tables."""
    groups: dict[Key, list[SearchRow]] = {}
    for row in rows:
        groups.setdefault((row.arm.variant, row.target, str(row.arm.setting)), []).append(row)
    cells = [(m.variant, t, s) for t, s in design.pairs for m in design.methods]
    return [
        _search(cell, sorted(groups[cell], key=lambda r: r.number), design.rope) for cell in cells if cell in groups
    ]


def _search(cell: Key, rows: Sequence[SearchRow], rope: float) -> Search:
    trials = tuple(
        TrialResult(
            r.number,
            r.state,
            r.winner,
            math.nan if r.dev_mean is None else r.dev_mean,
            r.seeds,
            r.updates,
            r.passes,
            r.seconds,
            dict(r.settings),
        )
        for r in rows
    )
    steps: list[Step] = []
    updates, passes, seconds, best = 0, 0.0, 0.0, math.nan
    for t in trials:
        updates, passes, seconds = updates + t.updates, passes + t.passes, seconds + t.seconds
        # a pruned configuration has a mean over fewer cells: it costs, but cannot be the best
        if t.state == "complete" and not math.isnan(t.dev) and not t.dev <= best:
            best = t.dev
        steps.append(Step(t.number, updates, passes, seconds, best))
    names = sorted({name for t in trials for name in t.settings})
    searched = [n for n in names if len({canonical(t.settings.get(n)) for t in trials}) > 1]
    search = Search(*cell, trials, tuple(steps), tuple(searched), tuple(_changes(cell[0], trials)))
    return _with_selection(search, rows, rope)


def _with_selection(search: Search, rows: Sequence[SearchRow], rope: float) -> Search:
    """The search with what is known of how its winner was chosen: on how many examples, and how surely."""
    winner = search.winner
    row = next((r for r in rows if r.winner), None)
    if winner is None or row is None or math.isnan(winner.dev):
        return search
    complete = [t for t in search.trials if t.state == "complete" and not math.isnan(t.dev)]
    error = math.nan if row.error is None else row.error
    tied = sum(abs(t.dev - winner.dev) <= EQUAL for t in complete)
    within = sum(t.dev >= winner.dev - error - EQUAL for t in complete) if not math.isnan(error) else 0
    others = [t.dev for t in complete if t.number != winner.number]
    enough = 0
    if others and error > 0:
        lead = max(winner.dev - median(others), rope, EQUAL)
        enough = math.ceil(row.dev_examples * (error / lead) ** 2)
    return replace(search, dev_examples=row.dev_examples, error=error, within=within, tied=tied, enough=enough)


def _changes(variant: str, trials: Sequence[TrialResult]) -> Iterable[tuple[str, Any, Any]]:
    winner = next((t for t in trials if t.winner), None)
    if winner is None:
        return
    paper: Mapping[str, Any] = next((t.settings for t in trials if t.number == 0), catalogue().defaults(variant))
    for name, value in sorted(winner.settings.items()):
        if name not in paper or paper[name] != value:
            yield name, paper.get(name), value


# ---------------------------------------------------------------------------------------------------------------------
# cost, failures, cells


def costs(records: Iterable[Record], design: Design) -> list[Cost]:
    """What every variant took on every target, from the records alone."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for r in records:
        groups.setdefault((r.spec.variant, r.spec.target), []).append(r)
    took = _transfer_seconds(r for group in groups.values() for r in group)
    out = []
    for m in design.methods:
        for target in design.targets:
            group = groups.get((m.variant, target), [])
            if not group:
                continue
            search, confirm = ([r for r in group if r.spec.phase == phase] for phase in ("search", "confirm"))
            stored = [r for r in group if _stored_updates(r)]
            # what ran for less than nothing is noise of the clock
            saved = [max(took.get(_transfer_key(r), math.nan) - r.seconds.get("transfer", 0.0), 0.0) for r in stored]
            unknown = any(_transfer_key(r) not in took for r in stored)
            out.append(
                Cost(
                    m.variant,
                    target,
                    _phase_cost(search),
                    _phase_cost(confirm),
                    sum(map(_stored_updates, stored)),
                    math.fsum(map(_stored_passes, stored)),
                    math.nan if unknown else math.fsum(saved),
                )
            )
    return out


def _phase_cost(records: Sequence[Record]) -> PhaseCost:
    return PhaseCost(
        len({(str(r.spec.setting), canonical(dict(r.spec.settings))) for r in records}),
        len(records),
        sum(n for r in records for n in r.updates.values()),
        math.fsum(r.total_passes for r in records),
        math.fsum(r.wall for r in records),
    )


def _stored_updates(r: Record) -> int:
    return sum(n for stage, n in r.updates.items() if r.stages.get(stage) == "stored")


def _stored_passes(r: Record) -> float:
    if any(stage not in r.passes for stage in r.updates):
        return math.nan
    return math.fsum(n for stage, n in r.passes.items() if r.stages.get(stage) == "stored")


def _transfer_key(r: Record) -> str:
    """A key that two cells share if their transfer parts take equally long, as far as records tell.

    All settings that the transfer reads are in it; seed and target are not.
    """
    rules = catalogue().parameters_of(r.spec.variant)
    reads = {k: v for k, v in r.spec.settings.items() if k not in rules or "transfer" in rules[k].reads}
    return canonical([r.spec.variant, str(r.spec.setting), r.spec.suite, reads])


def _transfer_seconds(records: Iterable[Record]) -> dict[str, float]:
    """Kind of transfer (`_transfer_key`) -> the mean seconds of the trainings of that kind that ran."""
    seconds_of_kind: dict[str, list[float]] = {}
    for r in records:
        if r.status == "done" and "transfer" in r.seconds and not _stored_updates(r):
            seconds_of_kind.setdefault(_transfer_key(r), []).append(r.seconds["transfer"])
    return {k: math.fsum(s) / len(s) for k, s in seconds_of_kind.items()}


def _failures(records: Iterable[Record]) -> list[Failure]:
    """The failed cells, those with the most frequent cause first, then in the order of the cells."""
    failed_records = sorted((r for r in records if r.status == "failed"), key=lambda r: (str(r.spec), r.id))

    def last(r: Record) -> str:
        lines = r.error.strip().splitlines()
        return lines[-1].strip() if lines else "no error was recorded"

    causes = Counter(map(last, failed_records))
    ranked = sorted(failed_records, key=lambda r: (-causes[last(r)], last(r)))
    return [Failure(r.id, str(r.spec), last(r), r.error) for r in ranked]


def _cut_words(records: Iterable[Record]) -> Iterable[str]:
    """How many words of a target lie beyond the longest sequence, from records of old versions, which say no more.

    What records of today say of such words is in `cautions`.
    """
    largest_counts: dict[str, dict[str, int]] = {}
    for r in records:
        for split in ("train", "dev", "test"):
            if (n := r.counts.get(f"cut_words_{split}", 0)) and "coverage" not in r.facts:
                counts_of_target = largest_counts.setdefault(r.spec.target, {})
                counts_of_target[split] = max(n, counts_of_target.get(split, 0))
    for target, counts in sorted(largest_counts.items()):
        amounts = listed(f"{counts[s]} of {s}" for s in ("train", "dev", "test") if s in counts)
        yield (
            f"{target}: beyond the longest sequence lie at most {amounts} words in one cell; they are answered with "
            "the most frequent tag of train."
        )


def _runs(
    records: Sequence[Record], design: Design, metrics: Mapping[str, str], beside: Sequence[Record] = ()
) -> list[Run]:
    """Every cell, the confirm phase before the search, in the order of the tables; what is `beside` has that phase."""
    ranks = {name: i for names in (design.targets, design.settings) for i, name in enumerate(names)}
    ranks |= {m.variant: i for i, m in enumerate(design.methods)}
    beyond = len(ranks)

    def score(r: Record, split: str) -> float:
        return r.metrics.get(split, {}).get(metrics.get(r.spec.target, ""), math.nan)

    phases: list[tuple[Record, Literal["search", "confirm", "beside"]]]
    phases = [*((r, r.spec.phase) for r in records), *((r, "beside") for r in beside)]
    runs = [
        Run(
            r.id,
            phase,
            r.spec.variant,
            r.spec.target,
            str(r.spec.setting),
            r.spec.seed,
            r.status,
            score(r, "dev"),
            score(r, "test"),
            r.wall,
            dict(r.metrics.get("test", {})),
        )
        for r, phase in phases
    ]
    order = ("confirm", "search", "beside")
    return sorted(
        runs,
        key=lambda r: (
            order.index(r.phase),
            ranks.get(r.target, beyond),
            ranks.get(r.setting, beyond),
            ranks.get(r.variant, beyond),
            r.seed,
            r.id,
        ),
    )
