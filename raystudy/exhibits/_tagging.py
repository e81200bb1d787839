"""What the tables of TAWT share: tagging tasks, each from few sentences, helped by the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from raystudy.analysis.compare import paired_by_seed
from raystudy.analysis.stats import ALPHA, paired
from raystudy.analysis.table import Cell, Column, Note, Table, percent
from raystudy.catalogue import catalogue
from raystudy.exhibits import Exhibit, ExhibitResults, Scale
from raystudy.exhibits._comparison import Head, Row, by_seed, caption, comparison_table
from raystudy.exhibits._papers import TAWT
from raystudy.spec import Setting

__all__ = ["DATA", "MEASURE", "NAMES", "SIZES", "paradigms", "study_keys", "tagging_heads", "tasks_of", "tests_table"]

NAMES = {
    "single_task": "Single-Task Learning",
    **{
        v: catalogue().variant(v).title
        for v in (
            "tawt_pre",
            "tawt_pre_w",
            "tawt_joint",
            "tawt_joint_w",
            "tawt_normalized",
            "tawt_normalized_w",
        )
    },
}
METRICS = {
    "ud_ewt_upos": "accuracy",
    "conll2000_chunk": "span F1",
    "predicates": "token F1",
    "wnut17": "span F1",
}
MEASURE = "accuracy (PoS), span F1 (chunking, NER), token F1 (predicates)"
SIZES = {"ud_ewt_upos": 100, "conll2000_chunk": 100, "predicates": 300, "wnut17": 500}
# a paradigm with learned weights -> the same without, which the paper tests it against
WEIGHTED = {"tawt_pre_w": "tawt_pre", "tawt_joint_w": "tawt_joint", "tawt_normalized_w": "tawt_normalized"}
STARS = "***"
STARRED = 0.001  # the p-value below which the paper prints them
RUN = 0  # the seed of the one run
SOURCES = 500  # sentences of each source at scale small
RATE = 2.0e-4
DATA = (
    (
        "Other data than the paper's: parts of speech are those of UD English (17 in place of 50), names those of "
        "WNUT-17 (6 types in place of 18, in social media); chunks are the same. Predicates are read from a local "
        "folder of OntoNotes or Universal PropBank; without one they are neither a target nor a source."
    ),
    (
        f"At scale small a source has at most {SOURCES} sentences, or as many as the largest target where that has "
        f"more, and the learning rate is {RATE:g}, because at 5e-5 a hundred sentences teach minilm no tag but the "
        "most "
        "frequent."
    ),
    (
        "The paper's *** is a paired t-test over the test sentences of one run, which stands in a table of its own "
        "here, beside the test over seeds."
    ),
)


def study_keys(shots: Mapping[str, int], sources: int) -> Callable[[Scale, Path | None], dict[str, Any]]:
    """The keys of the study file for `shots` sentences of each target.

    Args:
        sources: sentences of each source in the paper.
    """

    def keys(scale: Scale, root: Path | None) -> dict[str, Any]:
        if scale == "smoke":
            return {"shots": [48]}
        out: dict[str, Any] = {"missing_data": "leave_out", "shots_of": {t: [k] for t, k in shots.items()}}
        if len(shots) < len(SIZES):
            out |= {"tasks": [*shots], "targets": [*shots]}
        if scale == "small":
            most = max(SOURCES, *shots.values())
            limits = {"train": most, "dev": 200, "test": 500}
            return {**out, "length": 48, "limits": limits, "settings": {"lr": RATE, "epochs": 4}}
        return {**out, "limits": {"train": sources}}

    return keys


def tasks_of(results: ExhibitResults) -> list[str]:
    """The tasks of the table in the paper's order, those without data among them."""
    return [t for targets in results.targets().values() for t in targets]


def tagging_heads(results: ExhibitResults, shots: Mapping[str, int], setting: str, mean_of: str) -> list[Head]:
    """A column for each target in the setting of its own, and one for their average.

    Args:
        setting, mean_of: what the file of published numbers calls the setting, and the metric of the average.
    """
    targets, paper = tasks_of(results), results.exhibit.paper
    setting_of = {t: str(Setting(shots=k)) for t, k in shots.items()}
    if results.scale == "smoke":
        setting_of = {t: str(results.study.settings_grid[0]) for t in targets}
    heads = [
        Head(
            paper.short(t),
            (t,),
            setting_of[t],
            published={"dataset": paper.dataset(t), "setting": setting, "metric": METRICS[t]} if t in METRICS else {},
        )
        for t in targets
    ]
    if len(targets) < 2:
        return heads
    every = {"dataset": "Avg", "setting": setting, "metric": mean_of}
    heads.append(_average("Avg.", targets, setting_of, every))
    if results.study.absent_targets:
        at_hand = [t for t in targets if t not in results.study.absent_targets]
        heads.append(_average("Avg. of those at hand", at_hand, setting_of, {}))
    return heads


def _average(title: str, targets: Sequence[str], setting_of: Mapping[str, str], published: Mapping[str, str]) -> Head:
    return Head(title, tuple(targets), settings=tuple(setting_of[t] for t in targets), published=published)


def paradigms(
    label: str,
    about: str,
    rows: Mapping[str, str],
    shots: Mapping[str, int],
    sources: int,
    setting: str,
    mean_of: str,
    notes: tuple[str, ...] = (),
) -> Exhibit:
    """A table of paradigms against target tasks.

    Args:
        rows: variant -> the paper's name of it, in the order of the table.
    """

    def tables(results: ExhibitResults) -> list[Table]:
        shown = [Row(v, title, {"method": title}) for v, title in rows.items()]
        measure = MEASURE if results.scale != "smoke" else "span F1"
        what = caption(results, results.exhibit.title, "test", measure)
        heads = tagging_heads(results, shots, setting, mean_of)
        table = comparison_table(results.exhibit.stem, what, shown, heads, results.numbers, results.published)
        pairs = {w: p for w, p in WEIGHTED.items() if w in rows and p in rows}
        return [table, *([tests_table(results, pairs, heads)] if pairs else [])]

    return Exhibit(
        paper=TAWT,
        label=label,
        about=about,
        suites=("tagging",),
        methods=tuple(dict.fromkeys(("single_task", *rows))),
        sizes=study_keys(shots, sources),
        tables=tables,
        notes=(*DATA, *notes),
    )


def tests_table(results: ExhibitResults, pairs: Mapping[str, str], heads: Sequence[Head]) -> Table:
    """What learned weights add in each column: the paper's test, over the sentences of one run, and one over seeds.

    Args:
        pairs: the paradigm with learned weights -> the one without.
        heads: the columns of the exhibit's table; those that are averages are passed over.
    """
    columns = (
        Column("method", "method"),
        Column("target", "target"),
        Column("sentences", "test sentences", "count"),
        Column("difference", "difference of one run", "number", 1, signed=True),
        Column("t", "t", "number", 2, signed=True),
        Column("p", "p over sentences", "p", 3),
        Column("stars", "stars"),
        Column("published stars", "the paper's"),
        Column("over seeds", "difference over seeds", "estimate", signed=True),
        Column("p over seeds", "p over seeds", "p", 3),
    )
    lines = []
    for weighted, plain in pairs.items():
        for head in (h for h in heads if len(h.places) == 1):
            ((target, setting),) = head.places
            ours, theirs = (results.runs(v, target, setting, RUN) if results.runs else None for v in (weighted, plain))
            both = ours is not None and theirs is not None and len(ours) == len(theirs)
            one = paired(ours, theirs) if both and ours is not None and theirs is not None else None
            over_seeds = paired_by_seed(*(by_seed(results.numbers, head, v) for v in (weighted, plain)))
            printed = results.published.mark(**{**head.published, "method": NAMES[weighted]}) if head.published else ""
            lines.append(
                (
                    Cell(NAMES[weighted]),
                    Cell(head.title),
                    Cell(one.n if one else None),
                    Cell(100 * one.mean if one else None),
                    Cell(one.t if one else None),
                    Cell(one.p if one else None),
                    Cell((STARS if one.p < STARRED else "none") if one else None),
                    Cell((STARS if printed else "none") if results.published.file and head.published else None),
                    percent(over_seeds.interval),
                    Cell(over_seeds.p if over_seeds.n > 1 else None),
                )
            )
    what = (
        f"{results.exhibit.title}: what learned weights add, in points. Over sentences: a paired t-test on the scores "
        f"of the single test sentences of the run of seed {RUN}, as the paper tests (stars: p < {STARRED:g}). Over "
        f"seeds: a paired t-test on the scores of whole test sets. {results.numbers.design.conditions}"
    )
    questions = (
        "The test over sentences asks whether this one training does better on new sentences, the test over seeds "
        "whether new trainings do better on these sentences. No p-value is corrected for the number of lines: of "
        f"twenty lines without any effect one is below {ALPHA:g} by chance."
    )
    of_a_sentence = (
        "The score of a sentence is the target's metric on it alone: 1 where there is nothing to find and nothing is "
        "answered. Their mean is not the score of the whole test set."
    )
    notes = (Note(questions), Note(of_a_sentence))
    return Table(f"{results.exhibit.stem}_tests", what, columns, tuple(lines), notes)
