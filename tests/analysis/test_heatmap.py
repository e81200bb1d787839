"""The heat map: every number where it belongs, a frame at each row's best, and words that can be read on any page."""

from __future__ import annotations

import re

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from raystudy.analysis import heatmap
from raystudy.analysis.figures import draw
from raystudy.analysis.heatmap import heat_map

GROUPS = [("first", ("yes", "no")), ("second", ("yes", "no", "maybe"))]
VALUES = np.array(
    [
        [1.0, 0.91, 0.12, 0.34, -0.56],
        [0.91, 1.0, 0.42, 0.23, 0.005],
        [0.12, 0.42, 1.0, 0.77, 0.66],
        [0.34, 0.23, 0.77, 1.0, 0.88],
        [-0.56, 0.005, 0.66, 0.88, 1.0],
    ]
)


def contrast(a: str, b: str) -> float:
    """WCAG 2: 1 for equal colours, 21 for black on white."""
    low, high = sorted(heatmap._luminance(to_rgb(c)) for c in (a, b))
    return (high + 0.05) / (low + 0.05)


def picture(groups: object = GROUPS, values: np.ndarray = VALUES, *, about_zero: bool = False) -> str:
    figure = heat_map("kg", "a title", "Heading", groups, values, about_zero=about_zero)  # type: ignore[arg-type]
    return draw(figure).decode()


@pytest.mark.parametrize("about_zero", [False, True])
def test_every_number_and_every_name_stands_in_the_picture(about_zero: bool) -> None:
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", picture(about_zero=about_zero))
    for value in ("1", ".91", ".12", ".34", "−.56", ".42", ".23", ".01", ".77", ".66", ".88"):
        assert texts.count(value) >= (5 if value == "1" else 2), value
    for name in ("first", "second", "maybe"):
        assert texts.count(name) == 2
    assert texts.count("yes") == texts.count("no") == 4
    assert "Heading" in texts


def frames(svg: str) -> int:
    return len(re.findall(r'style="fill: none; stroke: #10151a; stroke-width: 1.2', svg))


def test_each_row_has_one_frame_unless_it_has_no_other_group() -> None:
    assert frames(picture()) == 5
    assert frames(picture([("only", ("a", "b", "c", "d", "e"))])) == 0


def test_what_does_not_exist_is_a_dash_and_wins_nothing() -> None:
    hollow = VALUES.copy()
    hollow[4], hollow[:, 4] = np.nan, np.nan
    svg = picture(values=hollow)
    assert len(re.findall(r">–</text>", svg)) == 9
    assert frames(svg) == 4


def test_many_rows_have_no_numbers() -> None:
    n = 20
    svg = picture([("a", tuple(f"x{i}" for i in range(10))), ("b", tuple(f"y{i}" for i in range(10)))], np.eye(n))
    assert frames(svg) == n
    assert ">.00</text>" not in svg


def test_words_can_be_read_on_white_and_on_dark_pages_and_numbers_in_every_cell() -> None:
    assert min(contrast(heatmap._WORDS, page) for page in ("#ffffff", "#0d1117")) > 4.2
    for about_zero in (False, True):
        colours, scale = heatmap._scale(VALUES, about_zero)
        for value in np.linspace(scale.vmin or 0, scale.vmax or 0, 101):
            face = colours(scale(value))
            hexed = "#" + "".join(f"{round(255 * c):02x}" for c in face[:3])
            assert contrast(heatmap._ink(face), hexed) > 4.1


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (0.999, "1"), (0.62, ".62"), (-0.084, "−.08"), (0.0, ".00"), (-0.001, ".00")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert heatmap._short(value) == text


def test_the_same_numbers_give_the_same_bytes_and_a_wrong_shape_is_refused() -> None:
    assert picture() == picture()
    with pytest.raises(ValueError, match=r"one row per name, but have shape \(5, 5\)"):
        picture([("only", ("a", "b"))])
