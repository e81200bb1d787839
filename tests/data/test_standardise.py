"""The unit of numbers as labels: what is taken off is put back, and nothing else is left of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raystudy.data.standardise import LabelUnit

LABELS = st.lists(st.floats(-100, 100, width=16), min_size=1, max_size=30)


@given(LABELS)
def test_standard_labels_have_mean_0_and_sd_1(labels: list[float]) -> None:
    unit = LabelUnit.of(labels)
    z = unit.standard(labels)
    np.testing.assert_allclose(unit.in_own_unit(z), labels, rtol=1e-12, atol=1e-12)
    if unit.constant:
        assert len(set(labels)) == 1
        assert (unit.mean, unit.sd) == (labels[0], 1.0)
        assert not z.any()
    else:
        assert unit.mean == pytest.approx(np.mean(labels), abs=1e-12)
        assert unit.sd == pytest.approx(np.std(labels), rel=1e-9)
        assert z.mean() == pytest.approx(0, abs=1e-9)
        assert z.std() == pytest.approx(1, rel=1e-9)


@given(LABELS, st.sampled_from([1e-300, 0.01, 100.0, 50_000.0, 1e300]), st.sampled_from([0.0, -3.0, 250_000.0]))
def test_a_y_plus_b_is_trained_like_y(labels: list[float], a: float, b: float) -> None:
    y = np.round(labels)  # so that b leaves of a y what a float can hold
    b = b if 1e-3 < a < 1e6 else 0.0
    one, other = LabelUnit.of(y), LabelUnit.of(a * y + b)
    assert one.constant == other.constant
    np.testing.assert_allclose(other.standard(a * y + b), one.standard(y), rtol=0, atol=1e-7)
    if not one.constant:
        answers = np.linspace(-2, 2, 5)
        np.testing.assert_allclose(
            other.in_own_unit(answers), a * one.in_own_unit(answers) + b, rtol=1e-7, atol=a * 1e-7
        )


@pytest.mark.parametrize("number", [0.0, 0.1, -1e308, 1e-310])
def test_one_number_only_has_no_spread(number: float) -> None:
    assert LabelUnit.of([number] * 3) == LabelUnit(number, 1.0, constant=True)


def test_the_largest_numbers_have_a_unit() -> None:
    unit = LabelUnit.of([-1.7e308, 1.7e308])
    assert (unit.mean, unit.sd) == (0.0, 1.7e308)
