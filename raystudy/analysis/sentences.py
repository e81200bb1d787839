"""The sentences with which a report opens: what was asked, how much of it is done, the verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from raystudy.analysis.compare import needs
from raystudy.analysis.numbers import Comparison, Design, Numbers, Sentence
from raystudy.analysis.phrases import capital, in_points, listing, places
from raystudy.analysis.stats import MIN_PAIRS, Word
from raystudy.analysis.table import counted, listed, place

__all__ = ["completeness", "nothing_to_compare", "scope", "verdict"]


def _effect(c: Comparison) -> str:
    return (
        f"{place(c.target, c.setting)} by {in_points(c.pair.mean)} "
        f"(95 % interval {100 * c.low:+.1f} to {100 * c.high:+.1f})"
    )


def scope(design: Design) -> str:
    """How much the study compares: methods, targets, settings, seeds."""
    floors, bounds = (sum(m.role == role for m in design.methods) for role in ("floor", "bound"))
    trained = len(design.methods) - floors - bounds
    rows = [counted(n, what) for n, what in ((trained, "method"), (bounds, "upper bound"), (floors, "floor")) if n]
    return (
        f"{listed(rows)} on {counted(len(design.targets), 'target')} in "
        f"{counted(len(design.settings), 'setting')}, {counted(design.seeds, 'seed')} each."
    )


def completeness(n: Numbers) -> str:
    """How many of the planned cells are done, failed and missing."""
    c = n.completeness
    text = f"{c.done:,} of {counted(c.planned, 'planned cell')} {'is' if c.done == 1 else 'are'} done"
    if not c.failed and not c.missing:
        return text + "; none failed, none is missing."
    failed, missing = c.failed or "none", c.missing or "none"
    return text + f"; {failed} failed, {missing} {'are' if c.missing > 1 else 'is'} missing."


def verdict(n: Numbers) -> Iterable[Sentence]:
    """The verdict of the report, sentence by sentence.

    It says which method beats the baseline where and by how much, which does not, what is undecided and how many seeds
    a decision would take, what falls below a floor, and how often a method hurts.
    """
    if not any(s.seeds for s in n.scores):
        yield Sentence("No cell has finished, so there is nothing to say yet.")
        return
    comparisons = [c for c in n.comparisons if c.tested]
    if not comparisons:
        yield Sentence(nothing_to_compare(n.design))
        yield from _floors(n)
        return
    design, base = n.design, n.design.baseline_title
    if not any(c.pair.n for c in comparisons):
        yield Sentence("", f"Nothing could be compared with {base} yet.")
    elif not any(c.verdict.word == "better" for c in comparisons):
        yield Sentence("", f"No method is shown to beat {base}.")
    verbs: tuple[tuple[Word, str], ...] = (("better", "beats"), ("worse", "does worse than"))
    for word, verb in verbs:
        for m in design.methods:
            of_m = [c for c in comparisons if c.variant == m.variant and c.pair.n]
            hits = [c for c in of_m if c.verdict.word == word]
            if hits:
                share = f"{len(hits)} of {places(len(of_m), design)}"
                effects = [_effect(c) for c in hits]
                yield listing(f" on {share}", ": ", effects, f"{capital(m.title)} {verb} {base}", word)
    same = [
        f"{design.title(c.variant)} on {place(c.target, c.setting)}"
        for c in comparisons
        if c.verdict.word == "equivalent"
    ]
    if same:
        yield listing(f" to {base} within {in_points(design.rope)}", ": ", same, "Equivalent", "equivalent")
    yield from _undecided(comparisons, design)
    yield from map(Sentence, _on_these_examples(comparisons))
    yield from _floors(n)
    yield from _harm(comparisons, design)


def _undecided(comparisons: Sequence[Comparison], design: Design) -> Iterable[Sentence]:
    without_pairs = [c for c in comparisons if not c.pair.n]
    undecided = [c for c in comparisons if c.pair.n and c.verdict.word == "undecided"]
    if undecided:
        text = f": {len(undecided)} of {counted(len(comparisons), 'comparison')} with {design.baseline_title}."
        known = (c for c in undecided if not math.isnan(c.verdict.seeds))
        predicted = sorted(known, key=lambda c: (c.verdict.seeds, c.verdict.with_examples))
        if predicted:
            needed = [_needs(c, design) for c in predicted]
            yield listing(text, " At the differences seen, a decision would take ", needed, "Undecided", "undecided")
        else:
            yield Sentence(text, "Undecided", "undecided")
    most = max((c.pair.n for c in comparisons), default=0)
    if most == 1:
        yield Sentence(
            "Each comparison has one pair of runs. One seed has no spread, so there are no intervals and no tests, "
            "and nothing can be decided."
        )
    elif 1 < most < MIN_PAIRS and not any(c.examples for c in comparisons):
        yield Sentence(f"{counted(most, 'seed')} alone decide nothing: a verdict on seeds takes at least {MIN_PAIRS}.")
    if without_pairs:
        yield Sentence(f"Not compared for want of finished pairs: {counted(len(without_pairs), 'comparison')}.")


def _on_these_examples(comparisons: Sequence[Comparison]) -> Iterable[str]:
    """Which verdicts say nothing of new test examples, because no predictions could be compared."""
    decided = [c for c in comparisons if c.verdict.word != "undecided"]
    blind = [c for c in decided if c.examples is None]
    if blind:
        they = "it rests on seeds alone, and holds" if len(blind) == 1 else "they rest on seeds alone, and hold"
        share = f"{len(blind)} of {counted(len(decided), 'verdict')}"
        yield f"No predictions could be compared for {share}: {they} for these test examples."


def _needs(c: Comparison, design: Design) -> str:
    return f"{needs(c.verdict, c.examples)} for {design.title(c.variant)} on {place(c.target, c.setting)}"


def _floors(n: Numbers) -> Iterable[Sentence]:
    if not any(m.role == "floor" for m in n.design.methods):
        yield Sentence("The study has no floors, so nothing shows what a method without training would reach.")
        return
    title = n.design.title
    low = [
        f"{title(s.variant)} on {place(s.target, s.setting)} "
        f"({100 * s.summary.mean:.1f}, {title(s.below)} {100 * s.below_mean:.1f})"
        for s in n.scores
        if s.below
    ]
    if low:
        yield listing("Below a floor", ": ", low, short=f"Below a floor: {counted(len(low), 'score')}")


def _harm(comparisons: Sequence[Comparison], design: Design) -> Iterable[Sentence]:
    """Where each method suffers negative transfer: its mean is below the baseline's, and where that is beyond doubt.

    Only methods that learn from other tasks are looked at: a control, or another way of training on the target alone,
    transfers nothing.
    """
    harm = []
    comparisons = [c for c in comparisons if design.transfers(c.variant)]
    for v in dict.fromkeys(c.variant for c in comparisons):
        of_v = [c for c in comparisons if c.variant == v and c.pair.n]
        below = sum(c.pair.mean < 0 for c in of_v)
        sure = sum(c.verdict.word == "worse" for c in of_v)
        if below:
            doubt = f" ({sure} beyond doubt)" if sure else ""
            harm.append(f"{design.title(v)} hurts on {below} of {places(len(of_v), design)}{doubt}")
    if harm:
        what = f"Negative transfer (mean below {design.baseline_title})"
        yield listing(what, ": ", harm, short=f"{what}: {counted(len(harm), 'method')}")
    elif any(c.pair.n for c in comparisons):
        yield Sentence(f"Negative transfer: none, no mean is below {design.baseline_title}.")


def nothing_to_compare(design: Design) -> str:
    """Why a study has no comparison."""
    if not design.compared:
        return f"The baseline {design.baseline} is not part of the study, so there is nothing to compare with."
    if len(design.methods) == 1:
        return f"Only the baseline, {design.baseline_title}, is part of the study, so there is nothing to compare."
    return f"Only {design.baseline_title} and floors are part of the study, so there is no method to compare."
