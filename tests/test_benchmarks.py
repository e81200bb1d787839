"""The laws of the programs in benchmarks/ that need no clock: what they measure on, and how they judge."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import raystudy
from raystudy.data.plm import resolve
from raystudy.data.text import encode

FOLDER = Path(raystudy.__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs import what they share as scripts do."""
    monkeypatch.syspath_prepend(str(FOLDER))


def test_the_texts_are_as_long_as_those_they_stand_for() -> None:
    import measuring

    plm = resolve("minilm")
    for task, mean, longest in ((measuring.sentences(1000), 25.0, 80), (measuring.term_pairs(1000), 7.6, 16)):
        lengths = np.diff(encode(task, "train", plm, 128).offsets)
        assert lengths.mean() == pytest.approx(mean, rel=0.1)
        assert lengths.max() <= longest
        assert len(set(lengths)) > 5


def test_ways_are_run_in_turn_and_as_often() -> None:
    import measuring

    ran: list[str] = []
    took = measuring.in_turn({"a": lambda: ran.append("a"), "b": lambda: ran.append("b")}, 3)
    assert ran == ["a", "b"] * 4
    assert took.keys() == {"a", "b"}
    assert all(s.cpu >= 0 and s.wall >= 0 for s in took.values())


def test_what_was_told_is_held_against_what_came(tmp_path: Path) -> None:
    """A run that is right all the time has the factor 1; one of twice too little 2, wherever it is told from."""
    import time_left

    def write(*told: tuple[float, float]) -> None:
        (tmp_path / "logs").mkdir(exist_ok=True)
        lines = [json.dumps({"event": "left", "elapsed": at, "seconds": s}) for at, s in told]
        (tmp_path / "logs" / "events.jsonl").write_text("\n".join([*lines, '{"event": "record"}']))

    write((0.0, 300.0), (100.0, 200.0), (200.0, 100.0), (300.0, 0.0), (0.0, 50.0), (100.0, 100.0), (300.0, 0.0), (0, 9))
    right, half = map(time_left.judged, time_left.runs(tmp_path))  # the third run has not ended
    assert right["factor_at_start"] == right["worst_factor_from_first_minute"] == 1.0
    assert half["factor_at_start"] == 6.0
    assert (half["worst_factor_from_first_minute"], half["worst_at"]) == (2.0, 100.0)
