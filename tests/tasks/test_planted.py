"""The law of the planted tasks: relatedness 1 answers the target, relatedness 0 says nothing about it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raystudy.errors import ConfigError
from raystudy.tasks import Example, Task, load, planted
from raystudy.tasks.planted import DOMAINS, LABEL_MAP, PARTS, TOPIC_WORDS, VOCABULARY, PlantedOptions, label_map

MANY = {"n_train": 1200, "n_test": 600}
FORMS = ("", "pair_", "tag_")
COLUMN = {w: i for i, w in enumerate(VOCABULARY)}


def words_of(e: Example) -> list[str]:
    return [*e.tokens, *e.text.split(), *(e.pair or "").split()]


def word_logs(task: Task) -> np.ndarray:
    """(labels, words) log frequency of each word under each label of train."""
    counts = np.ones((len(task.labels), len(VOCABULARY)))
    for e in task.splits["train"]:
        np.add.at(counts[task.labels.index(str(e.label))], [COLUMN[w] for w in words_of(e)], 1)
    return np.asarray(np.log(counts / counts.sum(1, keepdims=True)))


def classifier(task: Task) -> Any:
    """Example -> label, from word counts in train: naive Bayes, and for pairs how many texts lean to the last class."""
    logs = word_logs(task)
    if task.form != "pair":
        return lambda e: task.labels[int(logs[:, [COLUMN[w] for w in words_of(e)]].sum(1).argmax())]
    names = [n for n in (*planted.TARGET_COUNTS, *planted.SOURCE_COUNTS) if n in task.labels]
    lean = logs[task.labels.index(names[-1])] - logs[task.labels.index(names[0])]
    return lambda e: names[
        max(0, sum(lean[[COLUMN[w] for w in t.split()]].sum() > 0 for t in (e.text, e.pair)) + len(names) - 3)
    ]


def most_frequent_tag(task: Task) -> Any:
    """Kind of span per word, as seen in train: tokens -> kinds, O for words never in a span."""
    seen: dict[str, Counter[str]] = {}
    for e in task.splits["train"]:
        for w, t in zip(e.tokens, e.label, strict=True):  # type: ignore[arg-type]
            seen.setdefault(w, Counter())[t.partition("-")[2] or "O"] += 1
    return lambda e: [seen[w].most_common(1)[0][0] if w in seen else "O" for w in e.tokens]


def transferred(form: str, **options: Any) -> float:
    """Accuracy on the target of a classifier that saw only the source and the label map (on span tokens for tags)."""
    options = {**MANY, **options}
    source, target = (load(f"planted/{form}{role}", options=options) for role in ("source", "target"))
    answers = label_map(f"{form}target", PlantedOptions(**options))
    if form == "tag_":
        predict = most_frequent_tag(source)
        kinds = {s.partition("-")[2]: t.partition("-")[2] for s, t in answers.items()} | {"O": "O"}
        right = [
            kinds[p] == t.partition("-")[2]
            for e in target.splits["test"]
            for p, t in zip(predict(e), e.label, strict=True)  # type: ignore[arg-type]
            if t != "O"
        ]
    else:
        predict = classifier(source)
        right = [answers[predict(e)] == e.label for e in target.splits["test"]]
    return float(np.mean(right))


@pytest.mark.parametrize("form", FORMS)
def test_related_source_answers_the_target(form: str) -> None:
    assert transferred(form, relatedness=1.0) > 0.9


@pytest.mark.parametrize("form", FORMS)
def test_unrelated_source_is_at_chance_but_learnable(form: str) -> None:
    scores = [transferred(form, relatedness=0.0, seed=seed) for seed in range(3)]
    assert np.mean(scores) == pytest.approx(1 / 3, abs=0.06)
    if form != "tag_":
        source = load(f"planted/{form}source", options={**MANY, "relatedness": 0.0})
        predict = classifier(source)
        assert np.mean([predict(e) == e.label for e in source.splits["test"]]) > 0.9


def test_relatedness_is_monotone() -> None:
    scores = [transferred("", relatedness=r) for r in (0.0, 0.3, 0.6, 1.0)]
    assert scores == sorted(scores)


def test_meanings_are_even() -> None:
    for k in (2, 3, 4, 5, 6):
        options = PlantedOptions(relatedness=0.0, classes=k, source_classes=k)
        ours, theirs = (planted.meanings(options, source=s) for s in (False, True))
        assert set(Counter(ours.values()).values()) == set(Counter(theirs.values()).values()) == {TOPIC_WORDS // k}
        shared = Counter((ours[w], theirs[w]) for w in ours)
        assert len(shared) == k * k
        assert max(shared.values()) - min(shared.values()) <= 1
        related = PlantedOptions(relatedness=1.0, classes=k, source_classes=k)
        assert planted.meanings(related, source=True) == ours


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("sizes", [{}, {"classes": 2, "source_classes": 3}, {"classes": 3, "source_classes": 2}])
def test_tasks_are_well_formed(part: str, sizes: dict[str, int]) -> None:
    task = load(f"planted/{part}", options={"relatedness": 0.5, **sizes})
    assert {s: len(rows) for s, rows in task.splits.items()} == {"train": 400, "dev": 100, "test": 400}
    keys = [(e.text, e.pair, e.tokens) for rows in task.splits.values() for e in rows]
    assert len(set(keys)) == len(keys)
    assert {w for rows in task.splits.values() for e in rows for w in words_of(e)} <= set(VOCABULARY)
    assert {label.removeprefix("B-").removeprefix("I-") for label in task.labels} - {"O"} <= set(VOCABULARY)
    lengths = {len(words_of(e)) for rows in task.splits.values() for e in rows}
    assert lengths == {24 if task.form == "pair" else 12}
    if task.form != "tagging":
        for rows in task.splits.values():
            counts = Counter(e.label for e in rows)
            assert set(counts) == set(task.labels)
            assert max(counts.values()) - min(counts.values()) <= 1
    else:
        assert {t for e in task.splits["train"] for t in e.label} == set(task.labels)  # type: ignore[union-attr]


@pytest.mark.parametrize("part", ["tag_target", "tag_source"])
def test_tags_follow_from_words(part: str) -> None:
    options = PlantedOptions(relatedness=0.4)
    task = load(f"planted/{part}", options={"relatedness": 0.4})
    meaning = planted.meanings(options, source=part == "tag_source")
    names = planted.SOURCE_NAMES if part == "tag_source" else planted.TARGET_NAMES
    for e in task.splits["test"]:
        before = "O"
        for word, tag in zip(e.tokens, e.label, strict=True):  # type: ignore[arg-type]
            kind = names[meaning[word]] if word in meaning else ""
            assert tag == (f"{'B' if before == 'O' else 'I'}-{kind}" if kind else "O")
            before = tag


def test_pairs_count_the_texts_of_the_second_class() -> None:
    task = load("planted/pair_target")
    meaning = planted.meanings(PlantedOptions(), source=False, pair=True)
    for e in task.splits["test"]:
        votes = [[meaning[w] for w in text.split() if w in meaning] for text in (e.text, e.pair or "")]
        count = sum(np.mean(v) > 0.5 for v in votes)
        assert e.label == ("none", "one", "both")[count]


def test_equal_columns_mean_different_things() -> None:
    """A source head copied as it is does not answer the target: only the known map does."""
    for form in ("", "pair_"):
        for n in (2, 3):
            options = {"classes": n, "source_classes": n}
            source, target = (load(f"planted/{form}{r}", options=options).labels for r in ("source", "target"))
            answers = label_map(f"{form}target", PlantedOptions(**options))
            assert all(answers[s] == LABEL_MAP[s] for s in source)
            assert [answers[s] for s in source] != list(target)
    assert not set(LABEL_MAP) & set(LABEL_MAP.values())


def test_label_map_with_other_numbers_of_classes() -> None:
    assert label_map("target", PlantedOptions(classes=2, source_classes=4)) == {
        "zinc": "amber",
        "gold": "birch",
        "iron": "amber",
        "tin": "birch",
    }
    assert label_map("pair_target", PlantedOptions(classes=2)) == {"never": "one", "once": "one", "twice": "both"}
    with pytest.raises(ConfigError, match="at least as many classes as the target, but has 2 for the target's 3"):
        label_map("target", PlantedOptions(source_classes=2))
    assert transferred("", classes=2, source_classes=4) > 0.85
    assert transferred("pair_", classes=2, source_classes=3) > 0.9


def test_what_each_option_changes() -> None:
    base = load("planted/source")
    assert base.digest == load("planted/source", options={"relatedness": 1}).digest
    assert base.digest != load("planted/source", options={"relatedness": 0.5}).digest
    assert base.digest != load("planted/source", options={"seed": 1}).digest
    for part in ("target", "domain_1"):
        assert load(f"planted/{part}").digest == load(f"planted/{part}", options={"relatedness": 0.5}).digest
    assert load("planted/domain_2").digest != load("planted/domain_2", options={"relatedness": 0.5}).digest
    more = load("planted/source", options={"n_train": 500})
    assert (more.splits["dev"], more.splits["test"]) == (base.splits["dev"], base.splits["test"])


# ---------------------------------------------------------------------------------------------------------------------
# domains


def worlds(options: PlantedOptions) -> list[dict[str, int]]:
    return [planted.meanings(options, domain=d) for d in range(1, len(DOMAINS) + 1)]


def by_meaning(task: Task, meaning: dict[str, int], draw: np.random.Generator) -> float:
    """Accuracy on test of the perfect classifier of a world: most words of a class, ties by lot."""
    right = []
    for e in task.splits["test"]:
        votes = np.bincount([meaning[w] for w in e.text.split() if w in meaning], minlength=3)
        answer = draw.choice(np.flatnonzero(votes == votes.max()))
        right.append(e.label == planted.TARGET_NAMES[answer])
    return float(np.mean(right))


def law(relatedness: float, draw: np.random.Generator) -> float:
    """The accuracy of `by_meaning` on another domain, from the law alone: six topic words, four of them the class's.

    Of the 20 words of a class so many keep it; the rest are dealt out in turn, from the next class on.
    """
    kept = round(20 * relatedness)
    shifts = np.array([0] * kept + [(1 + j) % 3 for j in range(20 - kept)])
    shift = draw.choice(shifts, size=(20_000, 6))
    true = np.concatenate([np.zeros((20_000, 4), int), draw.integers(1, 3, size=(20_000, 2))], 1)
    votes = np.stack([((true + shift) % 3 == c).sum(1) for c in range(3)], 1)
    best = votes == votes.max(1, keepdims=True)
    return float((best[:, 0] / best.sum(1)).mean())


def test_domains_are_one_task_in_four_worlds() -> None:
    options = PlantedOptions(relatedness=0.5)
    assert planted.meanings(options, domain=1) == planted.meanings(options, source=False)
    tasks = [load(f"planted/{d}", options={"relatedness": 0.5}) for d in DOMAINS]
    target = load("planted/target")
    texts = [{e.text for rows in t.splits.values() for e in rows} for t in (*tasks, target)]
    assert len(set.union(*texts)) == sum(map(len, texts)) == 5 * 900
    for task in tasks:
        assert (task.labels, task.metric, task.form) == (target.labels, target.metric, target.form)
    # so the first one is answered by whoever has read the target alone
    predict = classifier(load("planted/target", options=MANY))
    assert np.mean([predict(e) == e.label for e in tasks[0].splits["test"]]) > 0.95


@pytest.mark.parametrize("k", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("relatedness", [0.0, 0.3, 0.5, 0.8, 1.0])
def test_words_keep_their_class_in_other_domains_as_the_law_says(k: int, relatedness: float) -> None:
    options = PlantedOptions(relatedness=relatedness, classes=k, source_classes=k)
    first, *others = worlds(options)
    size = TOPIC_WORDS // k
    kept = round(relatedness * size)
    for world in (first, *others):
        assert set(Counter(world.values()).values()) == {size}
    for other in others:
        for c in range(k):
            moved = Counter(other[w] for w in first if first[w] == c)
            assert abs(moved[c] - kept - (size - kept) / k) < 1
            assert all(abs(moved[d] - (size - kept) / k) < 1 for d in range(k) if d != c)
    # the same words are kept everywhere: whatever the seeds, no fewer stay in all four worlds
    assert sum(len({w[x] for w in (first, *others)}) == 1 for x in first) >= k * kept
    if relatedness == 1:
        assert all(world == first for world in others)


def test_two_further_domains_are_as_related_as_the_first_to_each_on_average() -> None:
    shares = []
    for seed in range(60):
        _, *others = worlds(PlantedOptions(relatedness=0.4, seed=seed))
        shares += [np.mean([a[w] == b[w] for w in a]) for i, a in enumerate(others) for b in others[i + 1 :]]
    assert np.mean(shares) == pytest.approx(0.4 + 0.6 / 3, abs=3 * np.std(shares) / 60**0.5)


@pytest.mark.parametrize("relatedness", [0.0, 0.3, 0.6, 1.0])
def test_a_perfect_classifier_of_one_domain_scores_on_another_as_the_law_says(relatedness: float) -> None:
    draw = np.random.default_rng(0)
    options = {"relatedness": relatedness, "n_train": 1, "n_test": 2000}
    tasks = [load(f"planted/{d}", options=options) for d in DOMAINS]
    known = worlds(PlantedOptions(relatedness=relatedness))
    for task, own in zip(tasks, known, strict=True):
        assert by_meaning(task, own, draw) == 1
    expected = law(relatedness, draw)
    if relatedness in (0, 1):  # chance, but for the one word in twenty by which three classes cannot share evenly
        assert expected == pytest.approx({0: 1 / 3, 1: 1}[int(relatedness)], abs=0.04)
    for task in tasks[1:]:
        assert by_meaning(task, known[0], draw) == pytest.approx(expected, abs=0.04)


def test_the_other_tasks_are_those_that_they_were_before_there_were_domains() -> None:
    """Results of earlier versions name them by their digest."""
    assert {p: load(f"planted/{p}").digest for p in PARTS if p not in DOMAINS} == {
        "target": "30e1be2c1a60c89aa07e443170fc26e9",
        "source": "d1fbb5131df1a1c81d973dce5bdc086d",
        "pair_target": "63d3b06dbabd4e4f4b45de5b574b1771",
        "pair_source": "e8bd3ebff2dcdeb9a1680c2b0ce20714",
        "tag_target": "e7856dd8db3f6aa027cdbbe40c97bacb",
        "tag_source": "3da0bf51f0a40ff3548ad10d1359c2d9",
    }


# ---------------------------------------------------------------------------------------------------------------------


def test_the_same_whatever_the_hash_seed() -> None:
    code = f"from raystudy.tasks import load\nprint(*(load('planted/' + p).digest for p in {PARTS!r}))"
    out = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert out.split() == [load(f"planted/{p}").digest for p in PARTS]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"relatednes": 1}, "unknown option 'relatednes' — did you mean 'relatedness'"),
        ({"relatedness": 1.5}, "relatedness must be a number from 0 to 1, but is 1.5"),
        ({"relatedness": "1"}, "relatedness must be a number from 0 to 1, but is '1'"),
        ({"relatedness": float("nan")}, "relatedness must be a number from 0 to 1, but is nan"),
        ({"classes": 1}, "classes must be a whole number from 2 to 6, but is 1"),
        ({"classes": True}, "classes must be a whole number from 2 to 6, but is True"),
        ({"length": 3}, "length must be a whole number from 6 to 64, but is 3"),
        ({"n_test": 0}, "n_test must be a whole number from 1 to 1000000, but is 0"),
        ({"seed": -1}, "seed must be a whole number from 0"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load("planted/source", options=options)
    assert message in str(caught.value)


def test_parts_are_checked() -> None:
    with pytest.raises(ConfigError, match="did you mean 'target'"):
        load("planted/targt")
    with pytest.raises(ConfigError, match="name a part of planted"):
        load("planted")
    with pytest.raises(ConfigError, match="of pairs must be 2 or 3, but are 4 and 3"):
        load("planted/pair_source", options={"classes": 4})
