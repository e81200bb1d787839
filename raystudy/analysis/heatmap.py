"""Heat maps: cosines between the classes of tasks, and what the classes of a source stand for in a target.

The first is of a symmetric matrix whose rows and columns come in groups, the other of shares, map beside map. A map has
no background, and everything in it can be read on a light and on a dark page: the words are of a middle grey, the
number in a cell has the one of two inks that contrasts with the cell, and a frame has both. The scales are told apart
without red and green: cividis, or vermilion to blue around zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure as Canvas
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from raystudy.analysis.figures import COLOURS, Figure

__all__ = ["Shares", "heat_map", "share_maps"]

_CELL = 0.4  # inches
_SMALL = 0.24  # where numbers would not fit anyway
_APART = 0.35  # cells between two groups
_NUMBERED = 16  # the most rows whose cells hold a number
_BAR = 48  # colours of a bar; of more than 50 matplotlib makes a picture of pixels, which a page does not load
_DARK, _LIGHT = "#10151a", "#fdfdfe"
_WORDS = "#717a84"  # 4.3 : 1 on white and on the ground of a dark page


def heat_map(
    name: str,
    title: str,
    heading: str,
    groups: Sequence[tuple[str, Sequence[str]]],
    values: NDArray[np.float64],
    *,
    about_zero: bool,
    unit: str = "cosine",
    nearest: Literal["greatest", "least"] = "greatest",
) -> Figure:
    """A heat map of (n, n) `values`, which are NaN where there is none.

    A frame marks, in each row, the nearest value outside of the row's own group.

    Args:
        groups: (group, names of its rows) in order, n names in all.
        about_zero: the scale is that of signed values, symmetric about zero; else it runs from the least value to one.
        unit: of the values, in a word.
        nearest: whether the greatest value is the nearest one, as of likeness, or the least, as of distance.
    """
    if values.shape != 2 * (sum(len(rows) for _, rows in groups),):
        raise ValueError(f"values must be square with one row per name, but have shape {values.shape}")
    return Figure(name, title, lambda: _draw(heading, groups, values, about_zero, unit, nearest))


def _draw(
    heading: str,
    groups: Sequence[tuple[str, Sequence[str]]],
    values: NDArray[np.float64],
    about_zero: bool,
    unit: str,
    nearest: Literal["greatest", "least"],
) -> Canvas:
    names = [row for _, rows in groups for row in rows]
    small = 8.5 if len(names) <= _NUMBERED else 7.5
    bold: Any = {"fontsize": small, "fontweight": "bold", "color": _WORDS}
    group = np.repeat(np.arange(len(groups)), [len(rows) for _, rows in groups])
    at = np.arange(len(names)) + _APART * group  # centre of each row and column
    n, side = len(names), _CELL if len(names) <= _NUMBERED else _SMALL
    extent = at[-1] + 1
    colours, scale = _scale(values, about_zero, unit)
    margin = 0.2 + max(_inches(x, small) for x in names)
    outer = margin + max(_inches(g, small, "bold") for g, _ in groups)
    map_side = side * extent
    width, height = outer + map_side + 0.8, outer + map_side + 0.15
    canvas = Canvas(figsize=(width, height))
    axes = canvas.add_axes((outer / width, 0, map_side / width, map_side / height), aspect="equal")
    axes.set_xlim(-0.5, extent - 0.5)
    axes.set_ylim(extent - 0.5, -0.5)
    for i in range(n):
        other = np.where(group == group[i], np.nan, values[i])
        of_all = np.nanargmax if nearest == "greatest" else np.nanargmin
        best = -1 if np.isnan(other).all() else int(of_all(other))
        for j in range(n):
            if math.isnan(values[i, j]):
                if n <= _NUMBERED:
                    axes.text(at[j], at[i], "–", ha="center", va="center", fontsize=8, color=_WORDS)
                continue
            face = colours(scale(values[i, j]))
            axes.add_patch(Rectangle((at[j] - 0.48, at[i] - 0.48), 0.96, 0.96, facecolor=face, linewidth=0))
            if n <= _NUMBERED:
                ink = _ink(face)
                axes.text(at[j], at[i], _short(values[i, j]), ha="center", va="center", fontsize=8, color=ink)
            if j == best:
                for inset, ink in ((0.45, _DARK), (0.41, _LIGHT)):
                    corner = (at[j] - inset, at[i] - inset)
                    axes.add_patch(Rectangle(corner, 2 * inset, 2 * inset, fill=False, edgecolor=ink, linewidth=1.2))
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_yticks(at, names, fontsize=small)
    axes.set_xticks(at, names, fontsize=small, rotation=90)
    axes.tick_params(length=0, pad=3, labeltop=True, labelbottom=False, labelcolor=_WORDS)
    for g, (label, _) in enumerate(groups):
        middle = at[group == g].mean()
        left = axes.get_yaxis_transform() + ScaledTranslation(-margin, 0, canvas.dpi_scale_trans)
        above = axes.get_xaxis_transform() + ScaledTranslation(0, margin, canvas.dpi_scale_trans)
        axes.text(0, middle, label, transform=left, ha="right", va="center", **bold)
        axes.text(middle, 1, label, transform=above, ha="center", va="bottom", rotation=90, **bold)
    tall = min(map_side, 2.4)
    bar = canvas.add_axes(((outer + map_side + 0.2) / width, 0, 0.13 / width, tall / height))
    canvas.colorbar(
        ScalarMappable(scale, colours.resampled(_BAR)), cax=bar, ticks=MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
    )
    bar.tick_params(labelsize=8, length=2, width=0.6, color=_WORDS, labelcolor=_WORDS)
    bar.set_title(unit, fontsize=8, fontweight="normal", color=_WORDS)
    canvas.text(0, 1, heading, ha="left", va="bottom", fontsize=10.5, fontweight="bold", color=_WORDS)
    return canvas


def _inches(text: str, size: float, weight: str = "normal") -> float:
    """The width of a text in the figure's font."""
    return float(TextPath((0, 0), text, prop=FontProperties(weight=weight, size=size)).get_extents().width) / 72


def _scale(values: NDArray[np.float64], about_zero: bool, unit: str = "cosine") -> tuple[Colormap, Normalize]:
    if about_zero:
        most = 1.0 if unit == "cosine" or np.isnan(values).all() else float(np.nanmax(np.abs(values))) or 1.0
        ends = [(0.0, COLOURS[1]), (0.5, "#e2e5e9"), (1.0, COLOURS[0])]
        return LinearSegmentedColormap.from_list("vermilion to blue", ends), Normalize(-most, most)
    least = float(np.nanmin(values)) if not np.isnan(values).all() else 0.0
    return colormaps["cividis"], Normalize(min(math.floor(10 * least) / 10, 0.9), 1)


def _ink(face: Sequence[float]) -> str:
    return _DARK if _luminance(face) > 0.195 else _LIGHT  # where both contrast alike, by 4.2 : 1


def _luminance(colour: Sequence[float]) -> float:
    """Relative luminance of an sRGB colour, 0..1 (WCAG 2)."""
    r, g, b = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3])
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def _short(value: float) -> str:
    """Two digits without the zero before the point: ``.62``, ``−.08``, ``1``."""
    text = f"{abs(value):.2f}"
    text = "1" if text == "1.00" else text.removeprefix("0")
    return f"−{text}" if value < 0 and text != ".00" else text


# ---------------------------------------------------------------------------------------------------------------------
# shares: what each class of a source stands for

_ACROSS = 7.5  # inches: maps stand in one row while they fit
_TITLE, _BETWEEN = 0.32, 0.35  # inches above and between maps


@dataclass(frozen=True)
class Shares:
    """One map of (s, k) `values` from 0 to 1, NaN where there is none, with a row for each class of the source."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.rows), len(self.columns)):
            raise ValueError(
                f"values must be {len(self.rows)} by {len(self.columns)}, but have shape {self.values.shape}"
            )


def share_maps(name: str, title: str, maps: Sequence[Shares], heading: str = "") -> Figure:
    """A figure of maps beside each other, on one scale from 0 to 1; a frame marks the greatest share of a row.

    Args:
        heading: a line above all of them.
    """
    return Figure(name, title, lambda: _draw_shares(tuple(maps), heading))


def _draw_shares(maps: tuple[Shares, ...], heading: str) -> Canvas:
    most = max(max(m.values.shape) for m in maps)
    side, size = (_CELL, 8.5) if most <= _NUMBERED else (_SMALL, 7.5)
    left = [0.15 + max(_inches(x, size) for x in m.rows) for m in maps]
    above = [0.15 + max(_inches(x, size) for x in m.columns) + _TITLE for m in maps]
    wide = [
        max(a + side * len(m.columns), _inches(m.title, 9, "bold")) + _BETWEEN for a, m in zip(left, maps, strict=True)
    ]
    rows: list[list[int]] = [[]]
    for i in range(len(maps)):
        if rows[-1] and sum(wide[j] for j in (*rows[-1], i)) > _ACROSS:
            rows.append([])
        rows[-1].append(i)
    tops = [max(above[i] for i in row) for row in rows]
    tall = [top + side * max(len(maps[i].rows) for i in row) for top, row in zip(tops, rows, strict=True)]
    width = max(sum(wide[i] for i in row) for row in rows) + 0.6
    height = sum(tall) + _BETWEEN * (len(rows) - 1)
    canvas = Canvas(figsize=(width, height))
    colours, scale = colormaps["cividis"], Normalize(0, 1)
    y = height
    for row, top, deep in zip(rows, tops, tall, strict=True):
        x = 0.0
        for i in row:
            m = maps[i]
            w, h = side * len(m.columns), side * len(m.rows)
            corner = (x + left[i], y - top - h)
            axes = canvas.add_axes((corner[0] / width, corner[1] / height, w / width, h / height))
            _fill(axes, m, colours, scale, size, numbered=most <= _NUMBERED)
            title: Any = {"fontsize": 9, "fontweight": "bold", "color": _WORDS}
            canvas.text(x / width, (y - top + above[i]) / height, m.title, ha="left", va="top", **title)
            x += wide[i]
        y -= deep + _BETWEEN
    first = side * len(maps[rows[0][0]].rows)
    bar_tall = max(min(first, 2.4), 0.8)
    place = ((width - 0.5) / width, (height - tops[0] - bar_tall) / height, 0.13 / width, bar_tall / height)
    bar = canvas.add_axes(place)
    canvas.colorbar(ScalarMappable(scale, colours.resampled(_BAR)), cax=bar, ticks=[0, 0.5, 1])
    bar.tick_params(labelsize=8, length=2, width=0.6, color=_WORDS, labelcolor=_WORDS)
    bar.set_title("share", fontsize=8, fontweight="normal", color=_WORDS)
    if heading:
        canvas.text(0, 1.02, heading, ha="left", va="bottom", fontsize=10.5, fontweight="bold", color=_WORDS)
    return canvas


def _fill(axes: Any, m: Shares, colours: Colormap, scale: Normalize, size: float, *, numbered: bool) -> None:
    s, k = m.values.shape
    axes.set_xlim(-0.5, k - 0.5)
    axes.set_ylim(s - 0.5, -0.5)
    for i, row in enumerate(m.values):
        best = -1 if np.isnan(row).all() else int(np.nanargmax(row))
        for j, value in enumerate(row):
            if math.isnan(value):
                axes.text(j, i, "–", ha="center", va="center", fontsize=8, color=_WORDS)
                continue
            face = colours(scale(value))
            axes.add_patch(Rectangle((j - 0.48, i - 0.48), 0.96, 0.96, facecolor=face, linewidth=0))
            if numbered:
                axes.text(j, i, _short(value), ha="center", va="center", fontsize=8, color=_ink(face))
            if j == best:
                for inset, ink in ((0.45, _DARK), (0.41, _LIGHT)):
                    frame: Any = {"fill": False, "edgecolor": ink, "linewidth": 1.2}
                    axes.add_patch(Rectangle((j - inset, i - inset), 2 * inset, 2 * inset, **frame))
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_yticks(range(s), m.rows, fontsize=size)
    axes.set_xticks(range(k), m.columns, fontsize=size, rotation=90)
    axes.tick_params(length=0, pad=3, labeltop=True, labelbottom=False, labelcolor=_WORDS)
