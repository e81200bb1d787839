"""Some of the mutated files of ``tests/fuzz_data.py``: a task or listed errors, and no row lost without a word."""

from __future__ import annotations

import pytest
from fuzz_data import READ, counted, seeds, tried


@pytest.mark.parametrize("suffix", READ)
def test_no_row_of_a_mutated_file_is_lost_without_a_word(suffix: str) -> None:
    assert counted(suffix, seeds(suffix)) in (6, 9)  # the count knows how many there are
    assert tried(suffix, 60, seed=1).total() == 60
