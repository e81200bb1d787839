"""Few-shot draws: k in total, nested, balanced, the same for every method."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from cells import planted
from hypothesis import given
from hypothesis import strategies as st

from raystudy.data.draws import rng
from raystudy.data.fewshot import at_ratio, balanced_order, cap, cut, pooled, stratified
from raystudy.errors import DataError
from raystudy.spec import Setting
from raystudy.tasks import Example, Task

BIG = planted("target", n_train=200, n_dev=90)


def shots(task: Task, k: int, seed: int = 0, dev: str = "like_train") -> Task:
    return cut(task, Setting(shots=k), seed, dev)


def labelled(labels: str) -> list[Example]:
    return [Example(c, text=str(i)) for i, c in enumerate(labels)]


@pytest.mark.parametrize("seed", range(3))
def test_more_shots_add_and_never_swap(seed: int) -> None:
    before: set[str] = set()
    for k in (3, 20, 21, 50, 200):
        rows = shots(BIG, k, seed).splits["train"]
        # k is the number of examples in total
        assert len(rows) == len({e.text for e in rows}) == k
        # the smaller draw is inside the larger one
        assert before <= {e.text for e in rows}
        before = {e.text for e in rows}
        # classes differ by at most one
        counts = Counter(e.label for e in rows)
        assert set(counts) == set(BIG.labels)
        assert max(counts.values()) - min(counts.values()) <= 1


@given(st.text("abc", min_size=1, max_size=40), st.integers(0, 5))
def test_every_prefix_is_as_balanced_as_the_classes_allow(labels: str, seed: int) -> None:
    order = balanced_order(labelled(labels), rng(seed))
    assert sorted(order) == list(range(len(labels)))
    total, seen = Counter(labels), Counter[str]()
    for i in order:
        seen[labels[i]] += 1
        least = min((seen[c] for c in total if seen[c] < total[c]), default=max(seen.values()))
        # a class is ahead by more than one only of classes that are used up
        assert all(seen[c] - least <= 1 for c in total)


def test_no_class_is_always_first() -> None:
    """Where k does not divide by the classes, chance says which class has one more."""
    first = Counter(shots(BIG, 4, seed).splits["train"][0].label for seed in range(40))
    assert set(first) == set(BIG.labels)
    assert max(first.values()) < 30


def test_draws_depend_on_seed_and_task_alone() -> None:
    assert shots(BIG, 20).splits["train"] == shots(BIG, 20).splits["train"]
    assert shots(BIG, 20).splits["train"] != shots(BIG, 20, seed=1).splits["train"]
    # another dev policy does not move train
    assert shots(BIG, 20).splits["train"] == shots(BIG, 20, dev="all").splits["train"]


@pytest.mark.parametrize(("k", "n"), [(3, 3), (20, 20), (90, 90), (150, 90)])
def test_dev_is_as_small_as_train_unless_asked(k: int, n: int) -> None:
    like, whole = shots(BIG, k), shots(BIG, k, dev="all")
    assert len(like.splits["dev"]) == n
    assert set(like.splits["dev"]) <= set(BIG.splits["dev"])
    assert {e.label for e in like.splits["dev"]} == set(BIG.labels)
    assert whole.splits["dev"] == BIG.splits["dev"]
    # test is never cut
    assert like.splits["test"] == whole.splits["test"] == BIG.splits["test"]


def test_fractions() -> None:
    assert len(cut(BIG, Setting(fraction=0.1), 0).splits["train"]) == 20
    assert cut(BIG, Setting(fraction=0.1), 0).splits == cut(BIG, Setting(shots=20), 0).splits
    assert set(cut(BIG, Setting(fraction=1.0), 0).splits["train"]) == set(BIG.splits["train"])
    assert cut(BIG, Setting(), 0) is BIG


def tags_of(rows: object) -> set[str]:
    return {t for e in rows for t in e.label}  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", range(4))
def test_tagging_shows_every_tag_where_possible(seed: int) -> None:
    task = planted("tag_target", n_train=120)
    # one rare tag, in a single sentence: it is found first
    rare = Example(("B-rare", "O"), tokens=("w001", "w100"))
    task = task.with_splits(train=[*task.splits["train"], rare])
    small = shots(task, 7, seed)
    assert len(small.splits["train"]) == 7
    assert rare in small.splits["train"]
    assert tags_of(small.splits["train"]) == tags_of(task.splits["train"])
    assert set(small.splits["train"]) <= set(shots(task, 30, seed).splits["train"])
    # with fewer sentences than tags, as many as fit; no error
    assert len(shots(task, 1, seed).splits["train"]) == 1


def test_regression_is_a_plain_shuffle() -> None:
    rows = tuple(Example(float(i), text=str(i)) for i in range(30))
    task = Task("numbers", "single", (), dict.fromkeys(("train", "dev", "test"), rows), metric="pearson")
    assert len(shots(task, 4).splits["train"]) == 4
    assert set(shots(task, 4).splits["train"]) <= set(shots(task, 9).splits["train"])
    assert len(cap(task, train=8).splits["train"]) == 8


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(DataError, match=r"k = 201 labelled examples were asked for, but train holds 200"):
        shots(BIG, 201)
    with pytest.raises(DataError, match=r"at least the number of classes \(3: amber, birch, coral\), but is 2"):
        shots(BIG, 2)


@given(st.text("abc", min_size=1, max_size=60), st.data())
def test_stratified_keeps_proportions(labels: str, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(labels)))
    chosen = stratified(labelled(labels), n, rng(0))
    # n examples in their original order, each class within one of its exact share
    assert len(chosen) == n
    assert chosen == sorted(set(chosen))
    counts = Counter(labels[i] for i in chosen)
    for c, total in Counter(labels).items():
        assert abs(counts[c] - n * total / len(labels)) < 1


def test_cap_is_one_draw_per_task() -> None:
    capped = cap(BIG, train=60, dev=1000, test=None)
    assert Counter(e.label for e in capped.splits["train"]) == dict.fromkeys(BIG.labels, 20)
    # a limit above the size, and no limit, change nothing
    assert capped.splits["dev"] == BIG.splits["dev"]
    assert capped.splits["test"] == BIG.splits["test"]
    assert cap(BIG) is BIG
    # there is no seed of a training in it
    assert cap(BIG, train=60).splits == capped.splits
    assert len(np.unique([e.text for e in capped.splits["train"]])) == 60


def test_a_ratio_gives_sources_so_many_times_the_targets_examples() -> None:
    target, source = shots(BIG, 10), planted("source", n_train=40)
    assert at_ratio(source, target, Setting(shots=10), 0) is source
    drawn = at_ratio(source, target, Setting(shots=10, ratio=2), 0)
    whole, part = (Counter(e.label for e in t.splits["train"]) for t in (source, drawn))
    assert part.total() == 20
    assert all(abs(part[c] - whole[c] / 2) <= 1 for c in whole)  # the source's own proportions, not balanced ones
    assert drawn.splits["dev"] == source.splits["dev"] and drawn.prior == source.prior
    assert drawn.splits == at_ratio(source, target, Setting(shots=10, ratio=2), 0).splits
    assert drawn.splits != at_ratio(source, target, Setting(shots=10, ratio=2), 1).splits
    assert len(at_ratio(source, target, Setting(shots=10, ratio=0.5), 0).splits["train"]) == 5
    with pytest.raises(DataError, match="ratio 5 asks for 50 examples of each source, but train holds 40"):
        at_ratio(source, target, Setting(shots=10, ratio=5), 0)


def test_a_pooled_target_has_what_it_had_and_more_of_its_own() -> None:
    target = shots(BIG, 12, seed=3)
    more = pooled(target, BIG, 60, 3)
    assert len(more.splits["train"]) == 60
    assert more.splits["train"][:12] == target.splits["train"]  # the draws of one seed contain one another
    assert more.splits["train"] == shots(BIG, 60, seed=3).splits["train"]
    # what settings are chosen by, and what is tested, are the same
    assert (more.splits["dev"], more.splits["test"]) == (target.splits["dev"], target.splits["test"])
    with pytest.raises(DataError, match="all tasks together have 201 training examples, but train holds 200"):
        pooled(target, BIG, 201, 3)
