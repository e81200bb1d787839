"""The report of a study, rebuilt from its records in seconds: the verdict in words first, then what it rests on."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from numpy.typing import ArrayLike

from raystudy.analysis import curves
from raystudy.analysis.frame import Key, failed_cells, primary_metrics, scores_by_seed, tidy, write_csv
from raystudy.analysis.stats import MIN_PAIRS
from raystudy.analysis.tables import (
    Comparison,
    SearchRow,
    Table,
    below_floors,
    comparison_table,
    comparisons,
    cost_table,
    counted,
    listed,
    main_table,
    place,
    search_table,
    to_csv,
    to_markdown,
    variants,
)
from raystudy.catalogue import catalogue
from raystudy.files import atomic_write
from raystudy.spec import Record
from raystudy.studyfile import Study

__all__ = ["Completeness", "build", "completeness", "verdict_words"]

_SHOWN = 5  # places that a sentence lists before it refers to the table


@dataclass(frozen=True)
class Completeness:
    """Confirm-phase cells of a study; seeds beyond the plan do not make up for others that are missing."""

    planned: int
    done: int
    failed: int
    missing: int


def completeness(
    frame: pd.DataFrame, study: Study, metrics: Mapping[str, str], failed: Mapping[Key, int]
) -> Completeness:
    """Count the study's cells: variants × targets × settings × report seeds."""
    scores = scores_by_seed(frame, metrics)
    cells = [(v, t, str(s)) for v in study.chosen for t in study.target_names for s in study.settings_grid]
    done = [min(len(scores.get(cell, {})), study.report.seeds) for cell in cells]
    bad = [failed.get(cell, 0) for cell in cells]
    missing = sum(max(study.report.seeds - d - b, 0) for d, b in zip(done, bad, strict=True))
    return Completeness(study.report.seeds * len(cells), sum(done), sum(bad), missing)


def build(
    study: Study,
    records: Iterable[Record],
    search_rows: Iterable[SearchRow],
    out_dir: Path,
    *,
    facts: Mapping[str, str],
    notes: Sequence[str] = (),
    examples: Mapping[Key, ArrayLike] | None = None,
) -> Path:
    """Write ``report/`` below `out_dir`: report.md, results.csv, tables/*.{csv,md}, figures/*.{svg,pdf}.

    Each file is written whole or not at all, report.md last. The bytes depend on the arguments only, in whatever order
    records and rows come; apart from seconds, two runs of one study give the same.

    Args:
        records: the cells of the study's plan, search and confirm, done and failed, each once.
        search_rows: what the search saw, one row per configuration and target; none when nothing was searched.
        facts: provenance, printed as it is: versions, commit, model digest, study hash, seeds, command.
        notes: sentences about what the numbers depend on, such as what the encoder has already been trained on.
        examples: (variant, target, setting) -> (seeds, examples) differences of correctness to the baseline, where the
            predictions were compared; adds the two-way test.

    Returns:
        The path of report.md.

    Raises:
        ValueError: the records answer one question twice, or do not say which metric counts.
    """
    records, folder = list(records), out_dir / "report"
    frame, metrics, failed = tidy(records, study.name), primary_metrics(records), failed_cells(records)
    found = comparisons(frame, study, metrics, examples)
    tables = {
        "main": main_table(frame, study, metrics, failed),
        "comparison": comparison_table(found, study),
        "search": search_table(search_rows, study),
        "cost": cost_table(records, study),
    }
    write_csv(frame, folder / "results.csv")
    for table in tables.values():
        atomic_write(folder / "tables" / f"{table.name}.csv", to_csv(table))
        atomic_write(folder / "tables" / f"{table.name}.md", to_markdown(table))
    figures = _figures(frame, study, metrics, folder)
    sections = [
        f"# {study.name}",
        study.about,
        _scope(study),
        "## Verdict",
        _bullets(verdict_words(frame, study, metrics, found)),
        "## Completeness",
        _completeness_words(completeness(frame, study, metrics, failed)),
        "## Scores",
        to_markdown(tables["main"]),
        "## Comparison with the baseline",
        to_markdown(tables["comparison"]) if found else _nothing_to_compare(study),
        "## Few-shot curves",
        _figure_words(figures, study),
        "## Search",
        _table_or(tables["search"], "Nothing was searched: every method ran with the paper's settings."),
        "## Cost",
        _table_or(tables["cost"], "Nothing has run yet."),
        "## Failures",
        _failure_words(records),
        "## Provenance",
        _provenance(facts, notes),
    ]
    path = folder / "report.md"
    atomic_write(path, "\n\n".join(s.strip("\n") for s in sections if s.strip()) + "\n")
    return path


# ---------------------------------------------------------------------------------------------------------------------
# words


def _title(variant: str) -> str:
    return catalogue().variant(variant).title


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {s}" for s in sentences)


def _some(items: Sequence[str]) -> str:
    """The first few, and how many more there are. Semicolons, because titles have commas in them."""
    if len(items) <= max(_SHOWN, 2):
        return "; ".join(items) if len(items) > 2 else listed(items)
    return f"{'; '.join(items[:_SHOWN])}; and {len(items) - _SHOWN} more"


def _points(fraction: float) -> str:
    """A size in points: ``3.1 points``, ``1 point``."""
    text = f"{100 * abs(fraction):.1f}".removesuffix(".0")
    return f"{text} {'point' if text == '1' else 'points'}"


def _effect(c: Comparison) -> str:
    return (
        f"{place(c.target, c.setting)} by {_points(c.pair.mean)} "
        f"(95 % interval {100 * c.pair.low:+.1f} to {100 * c.pair.high:+.1f})"
    )


def _places(n: int, study: Study) -> str:
    """``3 targets`` or, where settings differ too, ``3 combinations of target and setting``."""
    if len(study.settings_grid) == 1:
        return counted(n, "target")
    if len(study.target_names) == 1:
        return counted(n, "setting")
    return counted(n, "combination of target and setting", "combinations of target and setting")


def _scope(study: Study) -> str:
    floors = sum(catalogue().variant(v).role == "floor" for v in study.chosen)
    rows = [counted(len(study.chosen) - floors, "method")] if floors < len(study.chosen) else []
    rows += [counted(floors, "floor")] if floors else []
    return (
        f"{listed(rows)} on {counted(len(study.target_names), 'target')} in "
        f"{counted(len(study.settings_grid), 'setting')}, {counted(study.report.seeds, 'seed')} each."
    )


def verdict_words(
    frame: pd.DataFrame, study: Study, metrics: Mapping[str, str], found: Sequence[Comparison]
) -> list[str]:
    """What the study says, as sentences.

    Who beats the baseline where and by how much, who does not, what is undecided and how many seeds that would take,
    what falls below a floor, and how often a method hurts.
    """
    if frame.empty:
        return ["No cell has finished, so there is nothing to say yet."]
    tested = [c for c in found if c.tested]
    if not tested:
        return [_nothing_to_compare(study), *_floor_words(frame, study, metrics)]
    base = _title(study.report.baseline)
    words = []
    for word, verb in (("better", "beats"), ("worse", "does worse than")):
        for v in variants(study):
            of_v = [c for c in tested if c.variant == v and c.pair.n]
            hits = [c for c in of_v if c.verdict.word == word]
            if hits:
                share = f"{len(hits)} of {_places(len(of_v), study)}"
                words.append(
                    f"**{_capital(_title(v))} {verb} {base}** on {share}: {_some([_effect(c) for c in hits])}."
                )
    if not any(c.verdict.word == "better" for c in tested):
        words.insert(0, f"**No method is shown to beat {base}.**")
    same = [f"{_title(c.variant)} on {place(c.target, c.setting)}" for c in tested if c.verdict.word == "equivalent"]
    if same:
        words.append(f"Equivalent to {base} within {_points(study.report.rope)}: {_some(same)}.")
    words += _undecided_words(tested, study)
    words += _floor_words(frame, study, metrics)
    return [*words, *_harm_words(tested, study)]


def _undecided_words(tested: Sequence[Comparison], study: Study) -> Iterable[str]:
    absent = [c for c in tested if not c.pair.n]
    open_ = [c for c in tested if c.pair.n and c.verdict.word == "undecided"]
    if open_:
        text = f"Undecided: {len(open_)} of {counted(len(tested), 'comparison')} with {_title(study.report.baseline)}."
        known = sorted((c for c in open_ if not math.isnan(c.verdict.seeds)), key=lambda c: c.verdict.seeds)
        if known:
            text += f" At the differences seen, a decision would take {_some([_needs(c) for c in known])}."
        yield text
    most = max((c.pair.n for c in tested), default=0)
    if most == 1:
        yield (
            "Each comparison has one pair of runs. One seed has no spread, so there are no intervals and no tests, "
            "and nothing can be decided."
        )
    elif 1 < most < MIN_PAIRS:
        yield f"{counted(most, 'seed')} alone decide nothing: a verdict on seeds takes at least {MIN_PAIRS}."
    if absent:
        yield f"Not compared for want of finished pairs: {counted(len(absent), 'comparison')}."


def _needs(c: Comparison) -> str:
    seeds = "more than 1000 seeds" if math.isinf(c.verdict.seeds) else f"about {c.verdict.seeds:.0f} seeds"
    return f"{seeds} for {_title(c.variant)} on {place(c.target, c.setting)}"


def _floor_words(frame: pd.DataFrame, study: Study, metrics: Mapping[str, str]) -> Iterable[str]:
    floors = [v for v in study.chosen if catalogue().variant(v).role == "floor"]
    if not floors:
        yield "The study has no floors, so nothing shows what a method without training would reach."
        return
    low = [
        f"{_title(s.variant)} on {place(s.target, s.setting)} ({s.mean:.1f}, {_title(s.floor)} {s.floor_mean:.1f})"
        for s in below_floors(frame, study, metrics)
    ]
    if low:
        yield f"Below a floor: {_some(low)}."


def _harm_words(tested: Sequence[Comparison], study: Study) -> Iterable[str]:
    """Negative transfer per method: where its mean is below the baseline's, and where that is beyond doubt."""
    harm = []
    for v in dict.fromkeys(c.variant for c in tested):
        of_v = [c for c in tested if c.variant == v and c.pair.n]
        below = sum(c.pair.mean < 0 for c in of_v)
        sure = sum(c.verdict.word == "worse" for c in of_v)
        if below:
            doubt = f" ({sure} beyond doubt)" if sure else ""
            harm.append(f"{_title(v)} hurts on {below} of {_places(len(of_v), study)}{doubt}")
    if harm:
        yield f"Negative transfer (mean below {_title(study.report.baseline)}): {'; '.join(harm)}."
    elif any(c.pair.n for c in tested):
        yield f"Negative transfer: none, no mean is below {_title(study.report.baseline)}."


def _nothing_to_compare(study: Study) -> str:
    base = study.report.baseline
    if base not in study.chosen:
        return f"The baseline {base} is not part of the study, so there is nothing to compare with."
    if len(study.chosen) == 1:
        return f"Only the baseline, {_title(base)}, is part of the study, so there is nothing to compare."
    return f"Only {_title(base)} and floors are part of the study, so there is no method to compare."


def _completeness_words(c: Completeness) -> str:
    text = f"{c.done} of {counted(c.planned, 'planned cell')} {'is' if c.done == 1 else 'are'} done"
    if not c.failed and not c.missing:
        return text + "; none failed, none is missing."
    failed, missing = c.failed or "none", c.missing or "none"
    return text + f"; {failed} failed, {missing} {'are' if c.missing > 1 else 'is'} missing."


def _table_or(table: Table, otherwise: str) -> str:
    return to_markdown(table) if table.rows else otherwise


def _failure_words(records: Sequence[Record]) -> str:
    """Failures by the last line of their error, the most frequent first."""
    failed = sorted((r for r in records if r.status == "failed"), key=lambda r: (str(r.spec), r.id))
    if not failed:
        return "None."

    def last(r: Record) -> str:
        lines = r.error.strip().splitlines()
        return lines[-1].strip().replace("`", "'") if lines else "no error was recorded"

    causes = Counter(map(last, failed))
    lines = []
    for cause in sorted(causes, key=lambda c: (-causes[c], c)):
        cells = [f"{r.spec} [{r.id}]" for r in failed if last(r) == cause]
        lines.append(f"{counted(len(cells), 'cell')}, `{cause}`: {_some(cells)}")
    return _bullets(lines)


def _provenance(facts: Mapping[str, str], notes: Sequence[str]) -> str:
    lines = [f"- {name}: {value}" for name, value in facts.items()]
    return "\n\n".join(part for part in ("\n".join(lines), *notes) if part) or "Not recorded."


# ---------------------------------------------------------------------------------------------------------------------
# figures


def _figures(frame: pd.DataFrame, study: Study, metrics: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Draw what can be drawn; target -> path of its SVG below the report."""
    paths: dict[str, str] = {}
    for target in study.target_names:
        curve = curves.compute(frame, study, target, metrics)
        if curve is None:
            continue
        stem = "few_shot_" + re.sub(r"[^A-Za-z0-9.-]+", "_", target)
        while f"figures/{stem}.svg" in paths.values():  # two names that differ in punctuation only
            stem += "_"
        atomic_write(folder / "figures" / f"{stem}.svg", curves.draw(curve, "svg"))
        atomic_write(folder / "figures" / f"{stem}.pdf", curves.draw(curve, "pdf"))
        paths[target] = f"figures/{stem}.svg"
    return paths


def _figure_words(figures: Mapping[str, str], study: Study) -> str:
    if figures:
        caption = (
            "Mean and 95 % t-interval of the test scores, and below them the paired difference to the baseline; points "
            "are shifted sideways a little so that the bars stay apart."
        )
        return "\n\n".join([*(f"![{target}]({path})" for target, path in figures.items()), caption])
    if not study.shots:
        return "None: the study has no few-shot settings."
    if len(study.shots) == 1:
        return "None: a curve takes more than one number of shots."
    return "None: fewer than two numbers of shots have results."
