"""The variants that stand for all are found by what runs, and new lines of a method have one that runs them."""

from __future__ import annotations

from pathlib import Path

import pytest
import representatives as paths
from cells import VARIANTS
from hypothesis import given
from hypothesis import strategies as st
from sharing import group_of

from raystudy.catalogue import catalogue


def method(kind: str) -> int:
    total = 0
    if kind != "plain":
        total += 1
    return total if kind != "squared" else total**2


def test_the_lines_that_run_are_seen() -> None:
    here = (Path(__file__),)
    plain, other = (paths.lines(lambda kind=kind: method(kind), here) for kind in ("plain", "squared"))
    assert len(other - plain) == 1 and not plain - other
    assert paths.lines(lambda: method("plain"), (Path(__file__).parent / "elsewhere",)) == set()


@given(st.dictionaries(st.text(max_size=3), st.sets(st.integers(0, 9), max_size=6), max_size=7))
def test_all_that_is_run_by_any_is_run_by_the_chosen(sets: dict[str, set[int]]) -> None:
    chosen = paths.cover(sets)  # type: ignore[arg-type]
    assert set().union(*(sets[c] for c in chosen)) == set().union(*sets.values())
    assert len(set(chosen)) == len(chosen)
    for i, c in enumerate(chosen):  # each adds something to those before it
        assert sets[c] - set().union(*(sets[b] for b in chosen[:i]))
    for name, own in sets.items():  # who runs something alone is always there
        if own - set().union(*(other for key, other in sets.items() if key != name)):
            assert name in chosen


@given(st.dictionaries(st.text(max_size=3), st.sets(st.integers(0, 9), max_size=6), max_size=7), st.integers(1, 4))
def test_what_few_lines_tell_apart_is_left_out(sets: dict[str, set[int]], least: int) -> None:
    chosen = paths.cover(sets, least)  # type: ignore[arg-type]
    covered = set().union(*(sets[c] for c in chosen))
    assert all(len(own - covered) < least for own in sets.values())
    assert chosen == paths.cover(sets)[: len(chosen)]  # type: ignore[arg-type]


def test_every_method_has_a_variant_that_stands_for_it() -> None:
    chosen = paths.representatives()
    assert set(chosen) <= set(VARIANTS)
    assert {catalogue().variant(v).method for v in chosen} == set(catalogue().parameters)


def test_a_variant_that_cannot_run_is_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(variant: str) -> None:
        if variant == VARIANTS[1]:
            raise ZeroDivisionError

    monkeypatch.setattr(paths, "_run", run)
    assert paths._representatives() == [VARIANTS[1]]


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/test_spec.py::test_a", "tests/test_spec.py"),
        ("tests/test_spec.py::test_a[x-y]", "tests/test_spec.py"),
        ("tests/test_contract.py::test_a[2-7-meta_dtl]", "tests/test_contract.py meta_dtl"),
        ("tests/test_contract.py::test_a[meta_dtl]", "tests/test_contract.py meta_dtl"),
        ("tests/test_contract.py::test_a", "tests/test_contract.py"),
    ],
)
def test_tests_that_share_something_go_to_one_process(nodeid: str, group: str) -> None:
    assert group_of(nodeid) == group
