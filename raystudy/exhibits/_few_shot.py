"""MetaXT's tables and curves: a target with k labelled examples, which are few, and the whole of a source task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from raystudy.analysis.figures import Figure
from raystudy.analysis.sections.curves import SECTION as CURVES
from raystudy.analysis.sections.curves import few_shot as figure
from raystudy.analysis.table import Table, listed
from raystudy.catalogue import catalogue
from raystudy.exhibits import Exhibit, ExhibitResults, Scale
from raystudy.exhibits._comparison import Head, Row, caption, comparison_table
from raystudy.exhibits._papers import METAXT, Published
from raystudy.spec import Setting
from raystudy.tasks.planted import LABEL_MAP

__all__ = ["SHOTS", "STAND_IN", "curves", "own", "study_keys", "versus_xt"]

OURS = "metaxt_centred"  # no published number stands beside it
SHOTS: Mapping[Scale, tuple[int, ...]] = {
    "smoke": (24, 48),
    "small": (20, 50, 100),
    "paper": (20, 50, 100, 200, 500),
}
SETTING = "k={k} target examples; source polarity task; avg of 5 runs (as Figs 3-4)"
POINTS = "The points of the paper's figure are not printed, so no published curve stands beside ours."
STAND_IN = {
    "polarity_to_five": "Yelp's reviews are not at hand: sentences of films in five levels (SST-5) stand in for its "
    "stars and polar reviews of products (Amazon) for its polar reviews, so the paper's numbers are of other data.",
    "polarity_to_stars": "The paper's source are polar reviews of the same shop; here they are of films (IMDb), "
    "because polar and starred Amazon reviews at hand are the same texts. The target has no three stars: four classes.",
}
UPDATES = {
    "small": "Every stage of every method makes 100 updates; batches of 10 as in the paper. AdapterFusion, whose model "
    "stays frozen, has a learning rate of its own.",
    "paper": "The paper prints no number of updates; here at least 100 per stage, else three epochs.",
}
# on dev, with samples of their own, 2e-4 served target-only, multi-task and the fixed map better than 5e-5 and 5e-4; at
# 5e-5, 100 updates of minilm on 50 sentences learn no tag but O
RATE = 2.0e-4


def study_keys(shots: Mapping[Scale, tuple[int, ...]], plm: str = "") -> Callable[[Scale, Path | None], dict[str, Any]]:
    """The keys of the study file that say how many labelled examples there are, and that keep scale ``small`` small.

    Args:
        plm: the model of scale ``paper``, where the paper has another than elsewhere.
    """

    def keys(scale: Scale, root: Path | None) -> dict[str, Any]:
        shots_keys = {"shots": [*shots[scale]]}
        if scale == "smoke":
            return shots_keys
        if scale == "paper":
            return {**shots_keys, "report": {"seeds": 5}, **({"plm": plm} if plm else {})}
        return {
            **shots_keys,
            "length": 48,
            "limits": {"test": 500},  # k and a dev set of about k are taken from all that is there
            "source_limits": {"train": 2000},
            "settings": {"lr": RATE, "batch_size": 10, "min_updates": 100, "max_updates": 100},
        }

    return keys


def own(label_map: Mapping[str, Sequence[str]] | None = None) -> Callable[[Scale], dict[str, dict[str, Any]]]:
    """The settings of those methods that the shared ones do not suit.

    Args:
        label_map: what the control with a fixed map takes the source's classes to stand for.
    """
    rates: Mapping[Scale, dict[str, Any]] = {
        "smoke": {"fusion_lr": 3.0e-3},
        "small": {"lr": 1.0e-3, "fusion_lr": 1.0e-3},  # small nets that begin at nothing, in 100 updates
        "paper": {"lr": 1.0e-4},
    }

    def settings(scale: Scale) -> dict[str, dict[str, Any]]:
        settings_of_variants: dict[str, dict[str, Any]] = {"adapter_fusion": rates[scale]}
        if scale == "small":
            settings_of_variants[OURS] = {"ltn_lr": 3.0e-3}
        if label_map is not None:
            meanings = {k: [v] for k, v in [*LABEL_MAP.items()][:3]} if scale == "smoke" else label_map
            settings_of_variants["metaxt_fixed"] = {"label_map": {k: [*v] for k, v in meanings.items()}}
        return settings_of_variants

    return settings


def _notes(results: ExhibitResults, published: bool) -> list[str]:
    """What the reader of a table must know of its columns."""
    missing = [k for k in SHOTS["paper"] if k not in results.study.shots]
    if results.scale == "smoke" or not missing or not published:
        return []
    return [f"Not run at scale {results.scale}: {listed(f'k = {k}' for k in missing)}."]


def _heads(results: ExhibitResults, target: str, published: bool) -> list[Head]:
    """A column for each k that was run and, where the paper prints numbers, for each k of the paper."""
    beside = published and results.scale != "smoke" and bool(METAXT.dataset(target))
    return [
        Head(
            f"k = {k}",
            (target,),
            str(Setting(shots=k)),
            published={"dataset": METAXT.dataset(target), "setting": SETTING.format(k=k)}
            if beside and k in SHOTS["paper"]
            else {},
        )
        for k in sorted({*results.study.shots, *(SHOTS["paper"] if beside else ())})
    ]


def versus_xt(label: str, about: str, suite: str) -> Exhibit:
    """MetaXT against XT and multi-task training, k by k: the tables of the paper."""
    rows = [
        Row(v, title, {"method": title})
        for v, title in {"multi_task": "Multi-Task", "metaxt": "MetaXT", "xt": "XT"}.items()
    ]
    rows.append(Row(OURS, catalogue().variant(OURS).title))

    def tables(results: ExhibitResults) -> list[Table]:
        (target,) = results.study.target_names
        heads = _heads(results, target, published=True)
        what = caption(results, f"{results.exhibit.title}, {results.heading(results.study.suite_of(target))}")
        notes = _notes(results, bool(results.published.file))
        return [comparison_table(results.exhibit.stem, what, rows, heads, results.numbers, results.published, notes)]

    return Exhibit(
        paper=METAXT,
        label=label,
        about=about,
        suites=(suite,),
        methods=("single_task", *(r.variant for r in rows)),
        sizes=study_keys(SHOTS),
        own=own(),
        tables=tables,
        notes=(STAND_IN[suite], *UPDATES.values()),
    )


def curves(
    label: str,
    about: str,
    suite: str,
    *,
    label_map: Mapping[str, Sequence[str]] | None = None,
    plm: str = "",
    notes: tuple[str, ...] = (),
) -> Exhibit:
    """All methods against k: the figures of the paper, with their numbers in a table.

    Args:
        label_map: of sentiment, the fixed map that the learned one must beat; without one the target is tagged.
    """
    tagged = label_map is None
    measure = "span F1" if tagged else "accuracy"
    fixed = () if tagged else ("metaxt_fixed",)
    methods = ("single_task", "multi_task", "adapter_fusion", "xt", "metaxt", "metaxt_rtn", OURS, *fixed)

    def tables(results: ExhibitResults) -> list[Table]:
        rows = [Row(v, catalogue().variant(v).title) for v in methods]
        rows[0] = Row("single_task", "Target Only")
        return [
            comparison_table(
                results.exhibit.stem,
                caption(
                    results,
                    f"{results.exhibit.title}, {results.heading(results.study.suite_of(target))}",
                    "test",
                    measure,
                ),
                rows,
                _heads(results, target, published=False),
                results.numbers,
                Published(),
            )
            for target in results.study.target_names
        ]

    def figures(results: ExhibitResults) -> list[Figure]:
        title = f"{results.exhibit.title}: test {measure} against k, the number of labelled examples"
        return [figure(results.exhibit.stem, title, c, results.numbers.design) for c in CURVES.of(results.numbers)]

    return Exhibit(
        paper=METAXT,
        label=label,
        about=about,
        suites=(suite,),
        methods=methods,
        sizes=study_keys(SHOTS, plm),
        own=own(label_map),
        planted="planted_tags" if tagged else "",
        tables=tables,
        figures=figures,
        notes=(*notes, *([] if tagged else [STAND_IN[suite]]), *UPDATES.values(), POINTS),
    )
