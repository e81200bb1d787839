"""What several targets say together: average ranks, on how many targets a method is truly better, whom tests part."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from raystudy.analysis.across_targets import FEWEST_TESTED, AcrossTargets, OfTargets, compute
from raystudy.analysis.figures import INK, MUTED, TITLE_WIDTH, Figure, Namer, drawn
from raystudy.analysis.numbers import Design, Numbers
from raystudy.analysis.phrases import setting_name, some
from raystudy.analysis.section import Block, Pictures, Section, TableBlock, Words
from raystudy.analysis.sources import Sources
from raystudy.analysis.stats import ALPHA
from raystudy.analysis.table import Cell, Column, Note, Table, changes, counted, listed
from raystudy.analysis.tables import CONTROL, method_cell, points

__all__ = ["SECTION", "across_targets_table"]


def across_targets_table(found: tuple[AcrossTargets, ...], design: Design) -> Table:
    """A row per method and data setting; differences to the baseline in points."""
    tested = any(a.tested for a in found)
    columns = (
        Column("setting", "setting"),
        Column("variant", "method"),
        Column("targets", "targets", "count"),
        Column("rank", "average rank", "number", 2),
        Column("gain", "mean difference", "number", 2, signed=True),
        Column("above", "mean above on", "count"),
        Column("better", "better on at least", "count"),
        Column("below", "mean below on", "count"),
        Column("worse", "worse on at least", "count"),
        Column("iqm", "IQM of differences", "number", 2, signed=True),
        Column("iqm_low", "95 % from", "number", 2, signed=True),
        Column("iqm_high", "to", "number", 2, signed=True),
        Column("improvement", "P(improvement) %", "number", 1),
        Column("improvement_low", "95 % from", "number", 1),
        Column("improvement_high", "to", "number", 1),
        *([Column("wilcoxon_p", "Wilcoxon p", "p", 4), Column("holm_p", "Holm p", "p", 4)] if tested else []),
    )
    rows = []
    for a in found:
        for r in a.rows:
            base = r.variant == design.baseline
            counts = (r.above, r.better, r.below, r.worse)
            numbers = (*r.iqm, *r.improvement)
            rows.append(
                (
                    Cell(a.setting),
                    method_cell(design, r.variant),
                    Cell(len(a.targets)),
                    Cell(r.rank, best=r.rank == min(x.rank for x in a.rows)),
                    Cell(points(r.gain.mean)),
                    *(Cell(None if base else n) for n in counts),
                    *(Cell(None if math.isnan(x) else 100 * x) for x in numbers),
                    *([Cell(r.p), Cell(r.holm_p)] if tested else []),
                )
            )
    caption = f"Targets together, compared with {design.baseline_title}, differences in points. {design.conditions}"
    notes = tuple(_notes(found, design))
    return Table(
        "across_targets", caption, columns, tuple(rows), notes, changes([a.setting for a in found for _ in a.rows])
    )


def _notes(found: tuple[AcrossTargets, ...], design: Design) -> Iterator[Note]:
    yield Note(
        "Mean over the seeds first, so that each target counts once. Average rank: 1 is best; floors and upper bounds "
        "are not ranked. IQM: mean of the middle half of the differences, a seed of a target each. P(improvement): "
        f"the chance that a run of the method beats one of {design.baseline_title}, mean over the targets."
    )
    yield Note(
        "Better (worse) on at least: the targets whose one-sided p, that of the test which decides on a single "
        "target, is below 0.05 after Holm's correction over the method's targets."
    )
    yield Note(
        "Intervals: seeds of each target drawn anew, 95 % percentiles. They are about new seeds on these targets and "
        "test sets, and too narrow with few seeds (at 3, 5 and 10 they hold the truth 86, 90 and 93 times in 100)."
    )
    if any(a.tested for a in found):
        floors = listed(dict.fromkeys(f"{a.floor:.2g} with {len(a.targets)} targets" for a in found if a.tested))
        yield Note(
            "Wilcoxon p: signed ranks of the differences of targets, exact, which takes targets as samples. The "
            f"smallest p that so many targets can give is {floors}. Holm's correction covers the methods of a setting."
        )
    if any(design.role(r.variant) == "control" for a in found for r in a.rows):
        yield Note("control.", CONTROL)
    left_out = {design.title(v) for a in found for v in a.left_out}
    if left_out:
        yield Note(f"Without a score on some target, and left out: {listed(sorted(left_out))}.")


# ---------------------------------------------------------------------------------------------------------------------
# figure


def _ranks(a: AcrossTargets, design: Design) -> Canvas:
    """Methods along the axis of average ranks, the best first, and a bar over those that no test tells apart."""
    rows = sorted(a.rows, key=lambda r: r.rank)
    canvas = Canvas(figsize=(5.8, 0.9 + 0.3 * len(rows) + 0.16 * len(a.cliques)), layout="constrained")
    axes: Axes = canvas.subplots()
    at = {r.variant: (r.rank, i) for i, r in enumerate(rows)}
    for rank, i in at.values():
        axes.plot([rank], [i], color=INK, marker="o", markersize=6, linestyle="", zorder=3)
        axes.axhline(i, color=MUTED, linewidth=0.4, zorder=0)
    for j, clique in enumerate(a.cliques):
        ends = [at[v][0] for v in clique]
        y = -0.7 - 0.45 * j
        axes.plot(
            [min(ends) - 0.04, max(ends) + 0.04], [y, y], color=INK, linewidth=3.5, solid_capstyle="butt", zorder=2
        )
        for x in (min(ends), max(ends)):
            axes.plot(
                [x, x], [y, max(i for rank, i in (at[v] for v in clique) if rank == x)], color=MUTED, linewidth=0.6
            )
    axes.set_yticks(range(len(rows)), [textwrap.fill(design.title(r.variant), TITLE_WIDTH) for r in rows])
    axes.set_ylim(len(rows) - 0.4, -0.7 - 0.45 * max(len(a.cliques), 1))
    axes.set_xlim(0.8, len(rows) + 0.2)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"average rank over {len(a.targets)} targets (1 is best)")
    axes.set_title(setting_name(a.setting))
    return canvas


def _figures(n: Numbers) -> Iterator[Figure]:
    names = Namer("ranks")
    for a in SECTION.of(n):
        if a.tested:
            title = (
                f"Average ranks over {len(a.targets)} targets, {setting_name(a.setting)}: bars join what no test parts"
            )
            yield Figure(names(a.setting), title, drawn(_ranks, a, n.design))


# ---------------------------------------------------------------------------------------------------------------------
# words


def _words(n: Numbers) -> Iterator[str]:
    for a in SECTION.of(n):
        yield from _of_setting(a, n.design)


def _of_setting(a: AcrossTargets, design: Design) -> Iterator[str]:
    where = f"Over {counted(len(a.targets), 'target')}, {setting_name(a.setting)}"
    best = min(a.rows, key=lambda r: r.rank)
    alike = [r for r in a.rows if r.rank == best.rank]
    have = "has" if len(alike) == 1 else "have"
    yield (
        f"{where}: {listed([design.title(r.variant) for r in alike])} {have} the best average rank ({best.rank:.2g} of "
        f"{len(a.rows)})."
    )
    others = [r for r in a.rows if r.variant != design.baseline]
    sure = [r for r in others if r.better]
    if sure:
        items = [f"{design.title(r.variant)} on at least {r.better} of {len(a.targets)}" for r in sure]
        yield f"Better than {design.baseline_title}: {some(items)}."
    else:
        yield f"On no target is a method shown to be better than {design.baseline_title}, all its targets counted."
    yield from _harm(a, others, design)
    yield _parted(a, others, design)


def _harm(a: AcrossTargets, others: list[OfTargets], design: Design) -> Iterator[str]:
    """Negative transfer is that of methods which transfer; controls have nothing to transfer."""
    items = [
        f"{design.title(r.variant)} hurts on {r.below} of {len(a.targets)}"
        + (f", on at least {r.worse} beyond doubt" if r.worse else "")
        for r in others
        if r.below and design.transfers(r.variant)
    ]
    if items:
        yield f"Negative transfer (mean below {design.baseline_title}): {some(items)}."


def _parted(a: AcrossTargets, others: list[OfTargets], design: Design) -> str:
    """What a test says that takes targets as samples: whether it would be so on new ones."""
    if not a.tested:
        return (
            f"Whether it would be so on new targets cannot be tested: that takes {FEWEST_TESTED} of them (the smallest "
            f"p of Wilcoxon's test is {a.floor:.2g} with {len(a.targets)})."
        )
    found = [r for r in others if r.holm_p < ALPHA]
    if not found:
        return (
            f"Wilcoxon's test over targets tells no method from {design.baseline_title} (its floor is {a.floor:.2g})."
        )
    items = [f"{design.title(r.variant)} (Holm p {r.holm_p:.2g}, {100 * r.gain.mean:+.1f} points)" for r in found]
    return (
        f"Wilcoxon's test over targets tells from {design.baseline_title}: {some(items)}; its floor is {a.floor:.2g}."
    )


def _numbers(sources: Sources, n: Numbers) -> tuple[AcrossTargets, ...]:
    return compute(sources.test_scores, n.comparisons, n.design)


def _content(n: Numbers) -> Iterator[Block]:
    found = SECTION.of(n)
    if not found:
        return
    yield Words(n.words["across_targets"], "list")
    figures = tuple(_figures(n))
    yield Pictures(figures)
    if figures:
        text = (
            "A bar joins methods that Wilcoxon's tests of all pairs, with Holm's correction, do not tell apart; "
            "methods without a common bar differ over the targets."
        )
        yield Words.of([text], "small")
    yield TableBlock(across_targets_table(found, n.design), filter=True)


# a study with fewer than three targets has no such section
SECTION: Section[tuple[AcrossTargets, ...]] = Section(
    "across_targets", "Targets together", _content, _numbers, words={"across_targets": _words}
)
