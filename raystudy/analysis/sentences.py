"""What the numbers of a report say, as sentences for each section. They are data of the report like its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from raystudy.analysis.numbers import Comparison, Design, Numbers, Search, Sentence
from raystudy.analysis.slices import IMPORTANCE_TRIALS
from raystudy.analysis.stats import MIN_PAIRS, Word
from raystudy.analysis.table import counted, listed, place

__all__ = ["IMPORTANCE_TRIALS", "sentences"]

PASS = (
    "A pass is a forward and a backward pass over one batch: an update of plain fine-tuning takes one, an update that "
    "differentiates through another takes several."
)
_SHOWN = 5  # places that a sentence lists before it refers to the table


def sentences(numbers: Numbers) -> Mapping[str, tuple[Sentence, ...]]:
    """Section of the report -> its sentences, which stand beside its tables and figures or in their place."""
    n = numbers
    plain = {
        "scope": [_scope(n.design)],
        "completeness": [_completeness(n)],
        "comparison": [] if n.comparisons else [_nothing_to_compare(n.design)],
        "curves": [_curves(n)],
        "label_maps": [_label_maps()] if n.label_maps else [],
        "answers": [_answers(n)] if n.answers else [],
        "task_weights": list(_task_weights(n)),
        "search": [_search(n)],
        "selection": list(_selection(n)),
        "importance": list(_importance(n)),
        "cost": [_cost(n)],
        "failures": [_failures(n)],
        "cells": list(_cells(n)),
    }
    return {"verdict": tuple(_verdict(n)), **{k: tuple(map(Sentence, v)) for k, v in plain.items()}}


def _label_maps() -> str:
    return (
        "Each row is a class of the source: the mean of the soft labels that the method made of its training "
        "examples, over the seeds. A frame marks the largest share. Rows that are even, or all alike, say that nothing "
        "was learned from the source's labels."
    )


def _task_weights(n: Numbers) -> Iterable[str]:
    learned = [w for w in n.task_weights if w.updates]
    if learned:
        yield (
            "A line is the mean over the seeds, and the band around it goes from the least to the greatest of them. "
            "In joint training the target's own weight rises whatever the sources are, because its gradient is "
            "compared with itself; what the target made of the sources shows in how these differ from one another."
        )
    descriptions = []
    for w in learned:
        sources = [t for t, name in enumerate(w.tasks) if name != w.target]
        if len(sources) < 2:
            continue
        last = {t: w.after("effective", -1, t).mean for t in sources}
        most, least = max(sources, key=lambda t: last[t]), min(sources, key=lambda t: last[t])
        descriptions.append(
            f"{n.design.title(w.variant)} on {place(w.target, w.setting)}: {w.tasks[most]} {last[most]:.2g}, "
            f"{w.tasks[least]} {last[least]:.2g}"
        )
    if descriptions:
        yield f"The sources with the greatest and the least part of the training at the end: {_some(descriptions)}."


def _answers(n: Numbers) -> str:
    same = [a for a in n.answers if a.same]
    if not same:
        return "Nowhere was nearly always the same answer given."
    descriptions = [
        f"{n.design.title(a.variant)} on {place(a.target, a.setting)}, {a.same} of {counted(len(a.seeds), 'seed')}"
        for a in same
    ]
    return (
        f"Nearly always the same answer: {_some(descriptions)}. A score like this is that of a class, not of a method."
    )


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _some(items: Sequence[str]) -> str:
    """The first few items, and how many more there are. They are joined by semicolons, because titles hold commas."""
    if len(items) <= max(_SHOWN, 2):
        return "; ".join(items) if len(items) > 2 else listed(items)
    return f"{'; '.join(items[:_SHOWN])}; and {len(items) - _SHOWN} more"


def _points(fraction: float) -> str:
    """A size in points: ``3.1 points``, ``1 point``."""
    text = f"{100 * abs(fraction):.1f}".removesuffix(".0")
    return f"{text} {'point' if text == '1' else 'points'}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def _effect(c: Comparison) -> str:
    return (
        f"{place(c.target, c.setting)} by {_points(c.pair.mean)} "
        f"(95 % interval {100 * c.pair.low:+.1f} to {100 * c.pair.high:+.1f})"
    )


def _places(n: int, design: Design) -> str:
    """``3 targets`` or, where settings differ too, ``3 combinations of target and setting``."""
    if len(design.settings) == 1:
        return counted(n, "target")
    if len(design.targets) == 1:
        return counted(n, "setting")
    return counted(n, "combination of target and setting", "combinations of target and setting")


def _scope(design: Design) -> str:
    floors, bounds = (sum(m.role == role for m in design.methods) for role in ("floor", "bound"))
    trained = len(design.methods) - floors - bounds
    rows = [counted(n, what) for n, what in ((trained, "method"), (bounds, "upper bound"), (floors, "floor")) if n]
    return (
        f"{listed(rows)} on {counted(len(design.targets), 'target')} in "
        f"{counted(len(design.settings), 'setting')}, {counted(design.seeds, 'seed')} each."
    )


def _completeness(n: Numbers) -> str:
    c = n.completeness
    text = f"{c.done:,} of {counted(c.planned, 'planned cell')} {'is' if c.done == 1 else 'are'} done"
    if not c.failed and not c.missing:
        return text + "; none failed, none is missing."
    failed, missing = c.failed or "none", c.missing or "none"
    return text + f"; {failed} failed, {missing} {'are' if c.missing > 1 else 'is'} missing."


# ---------------------------------------------------------------------------------------------------------------------
# verdict


def _verdict(n: Numbers) -> Iterable[Sentence]:
    """The verdict of the report, sentence by sentence.

    It says which method beats the baseline where and by how much, which does not, what is undecided and how many seeds
    a decision would take, what falls below a floor, and how often a method hurts.
    """
    if not any(s.seeds for s in n.scores):
        yield Sentence("No cell has finished, so there is nothing to say yet.")
        return
    comparisons = [c for c in n.comparisons if c.tested]
    if not comparisons:
        yield Sentence(_nothing_to_compare(n.design))
        yield from map(Sentence, _floors(n))
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
                share = f"{len(hits)} of {_places(len(of_m), design)}"
                yield Sentence(
                    f" on {share}: {_some([_effect(c) for c in hits])}.", f"{_capital(m.title)} {verb} {base}", word
                )
    same = [
        f"{design.title(c.variant)} on {place(c.target, c.setting)}"
        for c in comparisons
        if c.verdict.word == "equivalent"
    ]
    if same:
        yield Sentence(f" to {base} within {_points(design.rope)}: {_some(same)}.", "Equivalent", "equivalent")
    yield from _undecided(comparisons, design)
    yield from map(Sentence, _floors(n))
    yield from map(Sentence, _harm(comparisons, design))


def _undecided(comparisons: Sequence[Comparison], design: Design) -> Iterable[Sentence]:
    without_pairs = [c for c in comparisons if not c.pair.n]
    undecided = [c for c in comparisons if c.pair.n and c.verdict.word == "undecided"]
    if undecided:
        text = f": {len(undecided)} of {counted(len(comparisons), 'comparison')} with {design.baseline_title}."
        predicted = sorted((c for c in undecided if not math.isnan(c.verdict.seeds)), key=lambda c: c.verdict.seeds)
        if predicted:
            text += f" At the differences seen, a decision would take {_some([_needs(c, design) for c in predicted])}."
        yield Sentence(text, "Undecided", "undecided")
    most = max((c.pair.n for c in comparisons), default=0)
    if most == 1:
        yield Sentence(
            "Each comparison has one pair of runs. One seed has no spread, so there are no intervals and no tests, "
            "and nothing can be decided."
        )
    elif 1 < most < MIN_PAIRS:
        yield Sentence(f"{counted(most, 'seed')} alone decide nothing: a verdict on seeds takes at least {MIN_PAIRS}.")
    if without_pairs:
        yield Sentence(f"Not compared for want of finished pairs: {counted(len(without_pairs), 'comparison')}.")


def _needs(c: Comparison, design: Design) -> str:
    seeds = "more than 1000 seeds" if math.isinf(c.verdict.seeds) else f"about {c.verdict.seeds:.0f} seeds"
    return f"{seeds} for {design.title(c.variant)} on {place(c.target, c.setting)}"


def _floors(n: Numbers) -> Iterable[str]:
    if not any(m.role == "floor" for m in n.design.methods):
        yield "The study has no floors, so nothing shows what a method without training would reach."
        return
    title = n.design.title
    low = [
        f"{title(s.variant)} on {place(s.target, s.setting)} "
        f"({100 * s.summary.mean:.1f}, {title(s.below)} {100 * s.below_mean:.1f})"
        for s in n.scores
        if s.below
    ]
    if low:
        yield f"Below a floor: {_some(low)}."


def _harm(comparisons: Sequence[Comparison], design: Design) -> Iterable[str]:
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
            harm.append(f"{design.title(v)} hurts on {below} of {_places(len(of_v), design)}{doubt}")
    if harm:
        yield f"Negative transfer (mean below {design.baseline_title}): {'; '.join(harm)}."
    elif any(c.pair.n for c in comparisons):
        yield f"Negative transfer: none, no mean is below {design.baseline_title}."


def _nothing_to_compare(design: Design) -> str:
    if not design.compared:
        return f"The baseline {design.baseline} is not part of the study, so there is nothing to compare with."
    if len(design.methods) == 1:
        return f"Only the baseline, {design.baseline_title}, is part of the study, so there is nothing to compare."
    return f"Only {design.baseline_title} and floors are part of the study, so there is no method to compare."


# ---------------------------------------------------------------------------------------------------------------------
# the other sections


def _curves(n: Numbers) -> str:
    if n.curves:
        return (
            "Mean and 95 % t-interval of the test scores, and below them the paired difference to the baseline; points "
            "are shifted sideways a little so that the bars stay apart."
        )
    if not n.design.shots:
        return "None: the study has no few-shot settings."
    if len(n.design.shots) == 1:
        return "None: a curve takes more than one number of shots."
    return "None: fewer than two numbers of shots have results."


def _search(n: Numbers) -> str:
    if not n.searches:
        if not n.design.departures:
            return "Nothing was searched: every method ran with the paper's settings."
        return f"Nothing was searched: every method ran with the paper's settings, {_but(n.design)}."
    own = f", {_but(n.design)}" if n.design.departures else ""
    return (
        "Best mean dev score of the configurations tried so far, against what trying them took. The ring is trial 0, "
        f"the paper's settings{own}; a pruned configuration costs but cannot be the best. Each arm is searched once, "
        "so a line has no band: that one ends higher than another says little."
    )


def _selection(n: Numbers) -> Iterable[str]:
    """On how many examples winners were chosen, what is not told apart on them, and how equal ones were ranked."""
    known = [s for s in n.searches if s.dev_examples and s.winner is not None]
    if not known:
        return
    sizes = sorted({s.dev_examples for s in known})
    numbers = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    yield (
        f"Winners were chosen on {numbers} dev examples per search seed. The standard error is what so many examples "
        "leave in the winner's score; trials at most one below it are as good as it, as far as dev can tell."
    )
    tied = [s for s in known if s.tied > 1]
    if tied:
        yield (
            f"Equal on dev: {_some([f'{s.tied} trials of {_of(s, n.design)}' for s in tied])}. Of equal trials the one "
            "with the paper's settings wins, then the one of fewer passes, then the lower number."
        )
    blind = [s for s in known if s.blind]
    if blind:
        yield (
            f"These searches cannot tell their trials apart: {_some([_blindness(s, n.design) for s in blind])}. With "
            "`dev: N` as many examples as that select, if the split has them; more search seeds help too."
        )


def _of(s: Search, design: Design) -> str:
    return f"{design.title(s.variant)} on {place(s.target, s.setting)}"


def _blindness(s: Search, design: Design) -> str:
    text = f"{_of(s, design)}, {s.within} of {s.complete} trials within ±{100 * s.error:.1f} points of the best"
    return text + (f" (about {s.enough:,} dev examples would leave half of the others behind)" if s.enough else "")


def _but(design: Design) -> str:
    return f"but for what the study sets: {'; '.join(design.departures)}"


def _importance(n: Numbers) -> Iterable[str]:
    if not n.weights:
        return
    with_shares = [w for w in n.weights if w.shares and w.trials >= IMPORTANCE_TRIALS]
    short = [w for w in n.weights if w.trials < IMPORTANCE_TRIALS]
    if with_shares:
        by = listed(dict.fromkeys(w.evaluator for w in with_shares))
        yield f"How much each searched setting mattered for the dev score: {by}; the shares of an arm add up to 1."
    if short:
        most = max(w.trials for w in short)
        yield (
            f"Not shown for {counted(len(short), 'arm')} with at most {counted(most, 'completed trial')}: below "
            f"{IMPORTANCE_TRIALS} an importance is noise."
        )
    rest = len(n.weights) - len(with_shares) - len(short)
    if rest:
        yield f"Not shown for {counted(rest, 'arm')}, where the trials do not tell the settings apart."


def _cost(n: Numbers) -> str:
    if not n.costs:
        return "Nothing has run yet."
    phases = [s for c in n.costs for s in (c.search, c.confirm)]
    cells, updates = sum(s.cells for s in phases), sum(s.updates for s in phases)
    passes = math.fsum(s.passes for s in phases)
    cost = "" if math.isnan(passes) else f" ({passes:,.0f} passes)"
    text = (
        f"{counted(cells, 'cell')} with {counted(updates, 'optimizer update')}{cost} behind them took "
        f"{_duration(math.fsum(s.seconds for s in phases))} of training, all cells one after another."
    )
    if cost:
        text += f" {PASS}"
    stored = sum(c.stored_updates for c in n.costs)
    if stored:
        saved = math.fsum(c.saved_seconds for c in n.costs)
        text += f" The stage store answered {stored:,} of these updates ({stored / updates:.0%})"
        text += "." if math.isnan(saved) else f", which saved about {_duration(saved)} (an estimate)."
    return text


def _failures(n: Numbers) -> str:
    if not n.failures:
        return "None."
    if len(n.failures) == 1:
        return "1 cell failed; it is in no mean."
    causes = len({f.cause for f in n.failures})
    return f"{counted(len(n.failures), 'cell')} failed, for {counted(causes, 'reason')}; they are in no mean."


def _cells(n: Numbers) -> Iterable[str]:
    if n.runs:
        yield "Any cell can be trained again and compared with its record: `raystudy rerun CELL`, with a cell's id."
    searched = sum(r.phase == "search" for r in n.runs)
    if searched:
        yield f"The {counted(searched, 'cell')} of the search are in tables/cells.csv."
