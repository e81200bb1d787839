"""Builds the report of a study, ``report/`` of its results folder, from the records and the manifest beside them.

It needs the folder alone: no model, no data, no Ray. So it works on a laptop to which the results were copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raystudy.analysis.exhibit_page import ExhibitPage, RunScores
from raystudy.analysis.league import Apart
from raystudy.analysis.leave_one_out import CORRELATIONS, SENTENCE_METRICS, terms
from raystudy.analysis.numbers import EnsembleRow, Numbers, Recipe, SearchedSetting
from raystudy.analysis.report import Opening, write
from raystudy.analysis.search_gain import Beside
from raystudy.analysis.sources import Sources
from raystudy.analysis.tables import SearchRow
from raystudy.metrics import METRICS, sentence_scores
from raystudy.spec import Arm, Record, Setting
from raystudy.study.folder.estimates import read_estimates
from raystudy.study.folder.records import Results
from raystudy.studyfile import Study
from raystudy.yamlfile import to_yaml

__all__ = ["default_differences", "example_differences", "example_terms", "sentence_scores_of", "write_report"]

Key = tuple[str, str, str]  # variant, target, setting: one score of the report


def write_report(
    folder: str | PathLike[str],
    exhibit: Callable[[Study, Numbers, RunScores], ExhibitPage] | None = None,
    opens: Callable[[Opening], None] = lambda opening: None,
) -> Path:
    """Build the report of a results folder from its files alone; returns the path of report.md.

    Args:
        exhibit: makes what the report opens with, where the study is for a table or a figure of a paper.
        opens: called with what the report says first, once all of it is written.

    Raises:
        ConfigError: no study was run there, or its records cannot be read.
    """
    from raystudy.analysis.tables import Importance, TaskFacts

    results = Results(folder)
    manifest = results.manifest()
    study = Study.model_validate(manifest["study"])
    cells = results.scan()
    records = [cells[k] for k in (*manifest["search"], *manifest["confirm"]) if k in cells]
    default_ids = set(manifest.get("default", ()))
    beside = [cells[k] for k in manifest.get("beside", ()) if k in cells and k not in manifest["confirm"]]
    defaults = [r for r in beside if r.id in default_ids]
    ensembles = (EnsembleRow(**{**row, "arm": _arm(row["arm"])}) for row in manifest.get("ensembles", ()))
    sources = Sources(
        study,
        tuple(records),
        tuple(SearchRow(**{**row, "arm": _arm(row["arm"])}) for row in manifest["search_rows"]),
        facts={**({"date": day} if (day := results.last_record_day()) else {}), **manifest["facts"]},
        notes=tuple(manifest["notes"]),
        examples=example_differences(records, study, results),
        importances=tuple(Importance(**{**row, "arm": _arm(row["arm"])}) for row in manifest["importances"]),
        tasks=tuple(TaskFacts(**{**t, "notes": tuple(t["notes"])}) for t in manifest["tasks"]),
        study_text=to_yaml(study.model_dump(mode="json", exclude_defaults=True)),
        runs=sentence_scores_of(records, results),
        answers=results.classes,
        texts=_texts(records, results),
        spaces=tuple(SearchedSetting(**{**row, "arm": _arm(row["arm"])}) for row in manifest.get("spaces", ())),
        beside=Beside(
            defaults,
            [r for r in beside if r.id not in default_ids],
            [replace(e, scores=tuple((seed, score) for seed, score in e.scores)) for e in ensembles],
            default_differences(records, defaults, results),
            study.report.default and "default" in manifest,
        ),
        estimates={(e["variant"], e["target"]): e["seconds"] for e in read_estimates(results, manifest["study"])},
        apart=tuple(Apart(**{**row, "variants": tuple(row["variants"])}) for row in manifest.get("apart", ())),
        recipes=tuple(Recipe(**{**row, "methods": tuple(row["methods"])}) for row in manifest.get("recipes", ())),
    )
    return write(sources, results.folder, exhibit=exhibit, opens=opens)


def _texts(records: Iterable[Record], results: Results) -> dict[str, tuple[str, ...]]:
    """Target -> the texts of its test examples; none of data that have changed since."""
    digests = {r.spec.target: r.spec.data.get(r.spec.target) for r in records if r.spec.phase == "confirm"}
    return {t: tuple(kept["test"]) for t, kept in results.texts().items() if digests.get(t) == kept["digest"]}


def _arm(data: Mapping[str, Any]) -> Arm:
    return Arm(data["variant"], Setting(**data["setting"]))


def sentence_scores_of(records: Iterable[Record], results: Results) -> RunScores:
    """The scores of a study's runs on single sentences, in the metric of each target; read when they are asked for."""
    cells = {
        (r.spec.variant, r.spec.target, str(r.spec.setting), r.spec.seed): r
        for r in records
        if r.status == "done" and r.spec.phase == "confirm"
    }

    def scores(variant: str, target: str, setting: str, seed: int) -> NDArray[np.float64] | None:
        record = cells.get((variant, target, setting, seed))
        tags = results.tags(record.id) if record is not None else None
        return sentence_scores(str(record.facts.get("metric")), *tags) if record is not None and tags else None

    return scores


def example_differences(records: Iterable[Record], study: Study, results: Results) -> dict[Key, NDArray[np.float64]]:
    """(variant, target, setting) -> (seeds, examples), the method's minus the baseline's part of each test example.

    What is compared is what each example adds to the primary metric (`leave_one_out.terms`; of tags an example is a
    sentence), for the seeds that both finished. A cell whose predictions cannot be read is passed over: its scores are
    in its record.
    """
    cells = _cells(records)
    base = study.report.baseline
    baselines = {key: cells[base, *key[1:]] for key in cells if (base, *key[1:]) in cells and key[0] != base}
    return _differences(cells, baselines, results)


def default_differences(
    records: Iterable[Record], defaults: Iterable[Record], results: Results
) -> dict[Key, NDArray[np.float64]]:
    """The same for the winner of a search minus the settings without one, whose records are `defaults`."""
    return _differences(_cells(records), _cells(defaults), results)


def _cells(records: Iterable[Record]) -> dict[Key, dict[int, Record]]:
    """(variant, target, setting) -> seed -> its finished cell."""
    cells: dict[Key, dict[int, Record]] = {}
    for r in records:
        if r.status == "done" and r.spec.phase == "confirm":
            cells.setdefault((r.spec.variant, r.spec.target, str(r.spec.setting)), {})[r.spec.seed] = r
    return cells


def _differences(
    ours: Mapping[Key, Mapping[int, Record]], theirs: Mapping[Key, Mapping[int, Record]], results: Results
) -> dict[Key, NDArray[np.float64]]:
    """Key -> (seeds, examples), what each example adds to the scores of our cells minus what it adds to theirs.

    Only for the seeds that both have.
    """
    read: dict[str, NDArray[np.float64] | None] = {}

    def terms_of(record: Record) -> NDArray[np.float64] | None:
        if record.id not in read:
            read[record.id] = example_terms(record, results)
        return read[record.id]

    def per_seed(key: Key) -> Iterator[NDArray[np.float64]]:
        for seed in sorted(ours[key].keys() & theirs[key].keys()):
            mine, other = terms_of(ours[key][seed]), terms_of(theirs[key][seed])
            if mine is not None and other is not None and len(mine) == len(other):
                yield mine - other

    differences = {}
    for key in ours:
        rows = list(per_seed(key)) if key in theirs else []
        if rows and len({len(row) for row in rows}) == 1:
            differences[key] = np.stack(rows)
    return differences


def example_terms(record: Record, results: Results) -> NDArray[np.float64] | None:
    """(n,) what each test example adds to a cell's score; None where its answers cannot be read, or have no metric."""
    name = str(record.facts.get("metric"))
    if name == "accuracy":
        correct = results.correct_answers(record.id)
        return correct.astype(np.float64) if correct is not None and len(correct) > 1 else None
    if name in SENTENCE_METRICS:
        tags = results.tags(record.id)
        return terms(name, *tags) if tags is not None and len(tags[0]) > 1 else None
    if name not in METRICS:
        return None
    answers = results.predictions(record.id, "regression" if name in CORRELATIONS else "classification")
    if answers is None or len(answers) < 2:
        return None
    return terms(name, answers.gold, answers.pred, str(record.facts.get("positive", "")))
