"""How much each searched setting mattered for the dev score, where there are trials enough to say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure as Canvas

from raystudy.analysis.figures import COLOURS, Figure, Namer, drawn, heading, panels_of
from raystudy.analysis.numbers import Design, Numbers
from raystudy.analysis.phrases import setting_name
from raystudy.analysis.section import Block, Pictures, Section, Words
from raystudy.analysis.sections.slices import IMPORTANCE_TRIALS
from raystudy.analysis.sources import Sources
from raystudy.analysis.table import counted, listed

__all__ = ["SECTION", "RankedImportance"]


@dataclass(frozen=True)
class RankedImportance:
    """The `Importance` of one arm with the largest share first; no shares where there were too few trials to say."""

    variant: str
    setting: str
    evaluator: str
    trials: int
    shares: tuple[tuple[str, float], ...]


def _numbers(sources: Sources, n: Numbers) -> tuple[RankedImportance, ...]:
    by_arm = {(i.arm.variant, str(i.arm.setting)): i for i in sources.importances}
    cells = [(m.variant, s) for s in n.design.settings for m in n.design.methods]
    return tuple(
        RankedImportance(*cell, i.evaluator, i.trials, tuple(sorted(i.shares.items(), key=lambda x: (-x[1], x[0]))))
        for cell in cells
        if (i := by_arm.get(cell)) is not None
    )


def _importance(weights: Sequence[RankedImportance], design: Design) -> Canvas:
    """A panel per method with a bar per searched setting."""
    most = max(len(w.shares) for w in weights)
    canvas, panels = panels_of(len(weights), 3.1, 0.75 + 0.22 * most, share=False)
    for axes, w in zip(panels, weights, strict=True):
        names, shares = zip(*w.shares, strict=True)
        places = range(len(names))
        axes.barh(places, [100 * s for s in shares], height=0.62, color=COLOURS[0], zorder=2)
        for y, s in zip(places, shares, strict=True):
            axes.text(100 * s + 1.5, y, f"{100 * s:.0f}", va="center", fontsize=8)
        axes.set_title(f"{design.title(w.variant)} ({w.trials} trials)", fontweight="normal", fontsize=9.5)
        axes.set_yticks(places, names)
        axes.set_xlim(0, 112)
        axes.set_ylim(most - 0.4, -0.6)
        axes.set_xticks([])
        axes.tick_params(axis="y", length=0, labelleft=True)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
    heading(canvas, f"{setting_name(weights[0].setting)}: share in %")
    return canvas


def _figures(n: Numbers) -> Iterator[Figure]:
    names = Namer("importance")
    for setting in n.design.settings:
        of_setting = [w for w in SECTION.of(n) if w.setting == setting and w.shares and w.trials >= IMPORTANCE_TRIALS]
        if of_setting:
            title = f"{setting}: share of each searched setting in the dev score, method by method"
            yield Figure(names(setting.replace("=", "")), title, drawn(_importance, of_setting, n.design))


def _words(n: Numbers) -> Iterator[str]:
    if not SECTION.of(n):
        return
    with_shares = [w for w in SECTION.of(n) if w.shares and w.trials >= IMPORTANCE_TRIALS]
    short = [w for w in SECTION.of(n) if w.trials < IMPORTANCE_TRIALS]
    if with_shares:
        by = listed(dict.fromkeys(w.evaluator for w in with_shares))
        yield f"How much each searched setting mattered for the dev score: {by}; the shares of an arm add up to 1."
    if short:
        most = max(w.trials for w in short)
        yield (
            f"Not shown for {counted(len(short), 'arm')} with at most {counted(most, 'completed trial')}: below "
            f"{IMPORTANCE_TRIALS} an importance is noise."
        )
    rest = len(SECTION.of(n)) - len(with_shares) - len(short)
    if rest:
        yield f"Not shown for {counted(rest, 'arm')}, where the trials do not tell the settings apart."


def _content(n: Numbers) -> Iterator[Block]:
    yield Pictures(tuple(_figures(n)))
    yield Words(n.words["importance"])


SECTION: Section[tuple[RankedImportance, ...]] = Section(
    "importance", "What mattered", _content, _numbers, key="weights", words={"importance": _words}, level=3
)
