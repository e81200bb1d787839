"""What the scores depend on that nobody asked for: texts that were cut, words that no model sees, trainings too short.

A plan says these sentences before anything is trained, from what it counted itself, and a report says them below its
table of scores, from the facts of the records alone. Each is one line with its count and with what would mend it.

The facts, of a record's target and its sources (`train.run` and the methods write them):

    coverage      task -> form, length, positions, side, splits -> the numbers of `data.text.Coverage` that are not 0
    unread_tag    what words that no model reads were answered with
    unit          task -> mean, sd and constant of the training labels of a regression task
    positive      the class of which f1 is
    test_note     what the test of the target is, where it is not the one that was published
    majority      answer, count, n, tied: what the floor of the majority class answered
    cut_further   task -> texts of the training split that the method itself cut more than the length asks
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from raystudy.analysis.numbers import Design, Score
from raystudy.analysis.table import counted, listed, place
from raystudy.catalogue import catalogue
from raystudy.errors import quoted
from raystudy.spec import Record

__all__ = [
    "FEW_UPDATES",
    "constant_labels",
    "coverage",
    "cut_further",
    "majority",
    "of_records",
    "one_training",
    "short_trainings",
    "test_notes",
    "unread_answer",
]

# A rule of thumb: below this, a new head with warm-up has hardly moved, whatever the method. The papers' few-shot runs
# and the studies that come with this program make 60 updates per stage and more.
FEW_UPDATES = 60
_SPLITS = ("train", "dev", "test")
Counts = Mapping[str, int]


def unread_answer(sentences: str, tags: Iterable[str] = ()) -> str:
    """How words that no model reads are answered: with the most frequent tag of `sentences`, by name where known."""
    names = listed(map(_name, sorted(tags)))
    return f"answered with the most frequent tag of {sentences}" + f", {names}" * bool(names)


def coverage(task: str, facts: Mapping[str, Any], unread: str) -> Iterator[str]:
    """One sentence for each kind of text or word of a task that no model reads.

    Args:
        facts: see ``coverage`` above.
        unread: what such words are answered with, in words.
    """
    splits = {s: facts["splits"][s] for s in _SPLITS if s in facts["splits"]}
    what = "sentences" if facts["form"] == "tagging" else "texts" if facts["form"] == "single" else "pairs"
    if _total(splits, "cut"):
        lost = _total(splits, "cut_pieces") / _total(splits, "pieces")
        yield (
            f"{task}: {what} longer than {facts['length']} word pieces lose their {facts['side']}: "
            f"{_per_split(splits, 'cut', 'examples')}, {_percent(lost)} of all pieces{_which_text(splits)}"
            f"{_words(splits, 'cut_words', unread)}; {_cure(facts, splits)}"
        )
    if _total(splits, "words_without_pieces"):
        yield (
            f"{task}: of some words the tokenizer makes no word piece (invisible characters, for instance): "
            f"{_per_split(splits, 'words_without_pieces', 'words')}; they teach nothing and are {unread}"
        )
    if _total(splits, "empty"):
        yield (
            f"{task}: of some {what} the tokenizer makes no word piece, so that all of them look alike to a model: "
            f"{_per_split(splits, 'empty', 'examples')}"
        )
    if _total(splits, "half_empty"):
        yield (
            f"{task}: of some pairs the tokenizer makes no word piece of one of the two texts: "
            f"{_per_split(splits, 'half_empty', 'examples')}"
        )
    if _total(splits, "unknown"):
        share = _total(splits, "unknown_pieces") / _total(splits, "pieces")
        only = _per_split(splits, "only_unknown", "examples")
        yield (
            f"{task}: some {what} hold words or characters that the tokenizer does not know, which are all read as one "
            f"and the same piece: {_per_split(splits, 'unknown', 'examples')}, {_percent(share)} of all pieces"
            + f"; nothing else is read of {only}"
            * bool(only)
        )
    if _total(splits, "special"):
        yield (
            f"{task}: some {what} hold a special token of the tokenizer as text ([SEP], say), which is read as that "
            f"token: {_per_split(splits, 'special', 'examples')}"
        )


def _total(splits: Mapping[str, Counts], key: str) -> int:
    """A number of `data.text.Coverage` over all splits; what is not there is 0."""
    return sum(n.get(key, 0) for n in splits.values())


def _per_split(splits: Mapping[str, Counts], key: str, of: str) -> str:
    noun = " words" if of == "words" else ""
    return listed(f"{n[key]:,} of {n.get(of, 0):,}{noun} in {s}" for s, n in splits.items() if n.get(key))


def _percent(share: float) -> str:
    return "less than 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def _which_text(splits: Mapping[str, Counts]) -> str:
    """Which of the two texts of a pair was cut."""
    cut = {which: _total(splits, f"cut_{which}") for which in ("first", "second")}
    texts = [f"of the {which} text in {n:,}" for which, n in cut.items() if n]
    return f" ({listed(texts)})" if texts else ""


def _words(splits: Mapping[str, Counts], key: str, unread: str) -> str:
    if not _total(splits, key):
        return ""
    return f", with them {_per_split(splits, key, 'words')}, which are {unread}"


def _cure(facts: Mapping[str, Any], splits: Mapping[str, Counts]) -> str:
    longest = max(n.get("longest", 0) for n in splits.values())
    most = facts["positions"]
    if facts["length"] >= most:
        return f"`length` cannot be raised: the model has {most} positions, the longest takes {longest:,}"
    if longest > most:
        return f"`length: {most}`, all that the model has positions for, cuts fewer (the longest takes {longest:,})"
    return f"`length: {longest}` reads them whole"


def cut_further(titles: Iterable[str], cut: Mapping[str, int]) -> str:
    """The sentence that methods themselves cut texts, to make room for the words of a label."""
    amounts = listed(f"{counted(n, 'text')} of {task}" for task, n in cut.items())
    lose = "loses" if sum(cut.values()) == 1 else "lose"
    return f"{listed(titles)}: to make room for the words of the label behind a text, {amounts} {lose} more in train"


def majority(title: str, facts_of_target: Mapping[str, Mapping[str, Any]]) -> str:
    """The sentence on what the floor of the majority class answers on each target.

    Args:
        facts_of_target: target -> what ``majority`` above says.
    """
    return f"{title}, from the labels of the whole training split: " + "; ".join(
        f"{target} {_constant(f)}" for target, f in facts_of_target.items()
    )


def _constant(f: Mapping[str, Any]) -> str:
    if "count" not in f:
        return f"{f['answer']:.6g}, the mean of {f['n']:,}"
    tied = [_name(c) for c in f.get("tied", ()) if c != f["answer"]]
    also = f", as frequent as {listed(tied)}: the first in the order of the label set" if tied else ""
    return f"{_name(f['answer'])} ({f['count']:,} of {f['n']:,}{also})"


def _name(label: str) -> str:
    """A class or tag in a sentence: as it is where that is short and plain, else quoted."""
    return label if label.isprintable() and len(label) <= 60 else quoted(label)


def constant_labels(draws: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """A sentence for each regression task of which some draws hold one number only; `draws` are named in words."""
    for task, places in draws.items():
        if places:
            more = f" and {len(places) - 5} more" if len(places) > 5 else ""
            some = ", ".join(places[:5])
            yield f"{task}: all training labels are one number, so that nothing can be learned from them: {some}{more}"


def short_trainings(fewest: Mapping[str, tuple[str, int]]) -> str | None:
    """The sentence that trainings are too short to learn much, by a rule of thumb; None where none is.

    Args:
        fewest: title of a method -> (stage, updates) of its shortest stage.
    """
    low = {title: at for title, at in fewest.items() if at[1] < FEW_UPDATES}
    if not low:
        return None
    stages_text = listed(f"{title} {n} ({stage})" for title, (stage, n) in low.items())
    return (
        f"fewer than {FEW_UPDATES} updates in a stage, which may be too few to learn anything: {stages_text}; "
        f"`min_updates: {FEW_UPDATES}` in `settings` makes them longer"
    )


def one_training(groups: Iterable[Sequence[str]]) -> Iterator[str]:
    """A sentence for each group of methods whose settings are the same; a group of one has none."""
    for titles in groups:
        if len(titles) > 1:
            rows = "their rows are one training, equal to the last digit, and one of them is enough"
            yield f"{listed(titles)} have the same settings here: {rows}"


def test_notes(note_of_target: Mapping[str, str]) -> Iterator[str]:
    """What the test of each target is, where scores on it are not scores on the published test."""
    for target, note in sorted(note_of_target.items()):
        yield f"{target}: {note}"


# ---------------------------------------------------------------------------------------------------------------------
# from records


def of_records(records: Iterable[Record], design: Design, scores: Iterable[Score]) -> tuple[str, ...]:
    """What a report says below its table of scores, from the facts of the finished confirm-phase cells."""
    done = [r for r in records if r.status == "done" and r.spec.phase == "confirm"]
    return tuple(f"{text}." for text in _sentences(done, design, list(scores)))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentences(done: list[Record], design: Design, scores: list[Score]) -> Iterator[str]:
    yield from _positives(done)
    yield from test_notes({r.spec.target: r.facts["test_note"] for r in done if "test_note" in r.facts})
    for variant in dict.fromkeys(r.spec.variant for r in done if "majority" in r.facts):
        facts_of_target = {r.spec.target: r.facts.get("majority") for r in done if r.spec.variant == variant}
        yield _capital(majority(design.title(variant), {t: f for t in design.targets if (f := facts_of_target.get(t))}))
    tags: dict[str, set[str]] = {}
    for r in done:
        if "unread_tag" in r.facts:
            tags.setdefault(r.spec.target, set()).add(r.facts["unread_tag"])
    for task, facts in _largest_coverage(done).items():
        yield from coverage(task, facts, unread_answer("train", tags.get(task, ())))
    largest_cuts: dict[str, dict[str, int]] = {}
    for r in done:
        for task, n in r.facts.get("cut_further", {}).items():
            cuts = largest_cuts.setdefault(task, {})
            cuts[r.spec.variant] = max(n, cuts.get(r.spec.variant, 0))
    for task, cuts in largest_cuts.items():
        yield cut_further(map(design.title, cuts), {task: max(cuts.values())})
    yield from _constant_labels(done)
    yield from one_training([design.title(v) for v in variants] for variants in _same_settings(done, design))
    if (line := short_trainings(_fewest(done, design))) is not None:
        yield _capital(line)
    yield from _at_the_floor(design, scores)


def _positives(done: Iterable[Record]) -> Iterator[str]:
    positive_of_target = {r.spec.target: r.facts["positive"] for r in done if "positive" in r.facts}
    if positive_of_target:
        yield "F1 is that of one class: " + listed(f"{_name(c)} of {t}" for t, c in sorted(positive_of_target.items()))


def _largest_coverage(done: Iterable[Record]) -> dict[str, dict[str, Any]]:
    """Task -> its coverage; where draws differ, the largest numbers of each split."""
    out: dict[str, dict[str, Any]] = {}
    for r in done:
        for task, facts in r.facts.get("coverage", {}).items():
            mine = out.setdefault(task, {**facts, "splits": {}})
            for split, numbers in facts["splits"].items():
                there = mine["splits"].setdefault(split, {})
                for key, n in numbers.items():
                    there[key] = max(n, there.get(key, 0))
    return dict(sorted(out.items()))


def _constant_labels(done: Iterable[Record]) -> Iterator[str]:
    draws_of_task: dict[str, dict[str, None]] = {}
    for r in sorted(done, key=lambda r: (str(r.spec.setting), r.spec.seed)):
        for task, unit in r.facts.get("unit", {}).items():
            if unit["constant"]:
                draws_of_task.setdefault(task, {})[f"seed {r.spec.seed} ({r.spec.setting})"] = None
    yield from constant_labels({task: [*draws] for task, draws in sorted(draws_of_task.items())})


def _same_settings(done: Iterable[Record], design: Design) -> Iterable[list[str]]:
    """Variants of one method, in the order of the rows, grouped by the settings of all their cells."""
    settings_of: dict[str, dict[tuple[str, str, int], Mapping[str, Any]]] = {}
    for r in done:
        settings_of.setdefault(r.spec.variant, {})[r.spec.target, str(r.spec.setting), r.spec.seed] = r.spec.settings
    groups: list[list[str]] = []
    for m in design.methods:
        if m.variant not in settings_of or m.role in ("control", "bound"):
            continue
        for group in groups:
            method = catalogue().variant(group[0]).method
            if catalogue().variant(m.variant).method == method and settings_of[group[0]] == settings_of[m.variant]:
                group.append(m.variant)
                break
        else:
            groups.append([m.variant])
    return groups


def _fewest(done: Iterable[Record], design: Design) -> dict[str, tuple[str, int]]:
    fewest: dict[str, tuple[str, int]] = {}
    for r in done:
        if design.role(r.spec.variant) != "floor":
            for stage, n in r.updates.items():
                title = design.title(r.spec.variant)
                fewest[title] = min(fewest.get(title, (stage, n)), (stage, n), key=lambda at: at[1])
    return {m.title: fewest[m.title] for m in design.methods if m.title in fewest}


def _at_the_floor(design: Design, scores: Iterable[Score]) -> Iterator[str]:
    """The sentence that the baseline has not learned more than the frequencies of the classes, if that is so."""
    by = {(s.variant, s.target, s.setting): s for s in scores if s.seeds}
    low = []
    for (variant, target, setting), s in by.items():
        floor = by.get(("majority", target, setting))
        if variant == design.baseline and floor is not None and s.summary.mean <= floor.summary.mean:
            low.append(f"{place(target, setting)} ({100 * s.summary.mean:.1f}, {100 * floor.summary.mean:.1f})")
    if low:
        yield (
            f"{_capital(design.baseline_title)} is not above the majority class on {listed(low)}: it may have been "
            "trained too little to learn (`min_updates`, `lr`), and then no comparison with it says anything"
        )
