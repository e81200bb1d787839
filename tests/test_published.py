"""The papers' printed numbers: complete, readable, and as consistent as the papers themselves."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "results" / "published"
COLUMNS = ["paper", "exhibit", "plm", "method", "dataset", "setting", "metric", "value", "mark"]
ROWS = {
    "dou2019": {"table1": 30, "table2": 16, "table3": 20},
    "metadtl": {"table1": 28, "table2": 100, "table3": 24, "table4": 24, "table6": 20},
    "metaxt": {"table1": 8, "table2": 15, "table3": 15},
    "mft": {"table1": 36, "table2": 42, "table3": 35, "table4": 28, "table6": 54, "table7": 8},
    "tawt": {
        "table1": 35,
        "table2": 20,
        "table3": 12,
        "table4": 36,
        "table5": 42,
        "table6": 44,
        "table7": 20,
        "text": 1,
    },
}
FILES = {f"{paper}_{exhibit}.csv": n for paper, exhibits in ROWS.items() for exhibit, n in exhibits.items()}


def read(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


def test_every_table_is_there_and_no_other() -> None:
    assert {p.name for p in FOLDER.glob("*.csv")} == FILES.keys()
    assert (len(FILES), sum(FILES.values())) == (25, 713)


@pytest.mark.parametrize("name", FILES)
def test_one_table(name: str) -> None:
    rows = read(name)
    paper, exhibit = name.removesuffix(".csv").split("_")
    assert len(rows) == FILES[name]
    for row in rows:
        assert list(row) == COLUMNS
        assert row["paper"] == paper
        assert row["exhibit"] == re.sub(r"table(\d)", r"Table \1", exhibit)
        assert row["dataset"]
        assert row["setting"]
        assert row["metric"]
        assert all(v == v.strip() for v in row.values()), row


@pytest.mark.parametrize("name", FILES)
def test_every_value_is_a_number_in_its_range_or_says_why_not(name: str) -> None:
    for row in read(name):
        metric, value = row["metric"], row["value"]
        if value in ("", "-"):
            assert (value, row["mark"], metric) in {("", "not enough data", "span F1"), ("-", "", "count")}, row
        elif metric in ("count", "num_labels"):
            assert int(value) >= 2, row
        elif metric == "final task weight":
            assert 0 <= float(value) <= 1, row
        elif "points" in metric:
            assert 0 < float(value) < 10, row
        else:  # a score in percent: below 2 it would be a fraction that slipped in
            assert 2 < float(value) < 100, row


def test_a_key_names_one_number() -> None:
    keys = Counter(tuple(row[c] for c in COLUMNS[:7]) for name in FILES for row in read(name))
    assert [k for k, n in keys.items() if n > 1] == []


def test_task_weights_are_a_distribution() -> None:
    weights: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in read("tawt_table6.csv"):
        weights[row["method"], row["dataset"]].append(float(row["value"]))
    assert {k: sum(w) for k, w in weights.items()} == {k: pytest.approx(1, abs=0.011) for k in weights}  # two decimals


# the papers' own slips: (file, row, average's column) -> printed average and the mean of the printed cells
SLIPS = {
    ("metadtl_table2.csv", "Meta-FT*", "Avg. (review)"): (78.0, 78.07),
    ("metadtl_table3.csv", "Meta-DTL w/o IMK", "Avg."): (86.4, 86.26),
    ("metadtl_table3.csv", "Meta-DTL w/o WMER", "Avg."): (86.6, 86.43),
    ("metadtl_table4.csv", "Meta-DTL alpha-only", "Avg."): (86.0, 86.07),
    ("metadtl_table4.csv", "Meta-DTL m w/o class label", "Avg."): (86.9, 86.99),
    ("mft_table3.csv", "BERT (MTL)", "Amazon/Average"): (89.0, 89.42),
    ("mft_table4.csv", "BERT (S)", "Taxonomy/Average"): (89.3, 89.87),
    ("mft_table6.csv", "BERT without MFT", "MNLI/Average"): (70.5, 70.56),
    ("mft_table6.csv", "MFT (Full)", "MNLI/Average"): (3.9, 3.82),  # of the printed gains
}
GROUPS = {"review": ("SST-5", "Amazon", "IMDb"), "NLI": ("MNLI", "SciTail"), "lexical": ("Shwartz", "BLESS")}


def test_averages_are_the_means_of_their_cells_but_for_the_papers_own_slips() -> None:
    """A slip of the pen in transcribing a cell would show as an average that does not fit."""
    checked, found = 0, {}
    for name in FILES:
        lines: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
        for row in read(name):
            if row["value"] not in ("", "-") and row["metric"] not in ("count", "num_labels"):
                gain = "points" if "points" in row["metric"] else ""
                folder = row["dataset"].rpartition("/")[0]
                lines[row["plm"], row["method"], row["setting"], gain, folder][row["dataset"]] = float(row["value"])
        for (_, method, *_), cells in lines.items():
            for column, printed in cells.items():
                if not re.search(r"\bAv(g|erage)", column) or len(cells) == 1:
                    continue
                of = re.search(r"\((.*)\)", column)
                parts = [
                    v for c, v in cells.items() if (c in GROUPS[of[1]] if of else not re.search(r"\bAv(g|erage)", c))
                ]
                decimals = 2 if name.startswith("tawt") else 1
                checked += 1
                if abs(sum(parts) / len(parts) - printed) > 0.5 * 10**-decimals + 1e-6:
                    found[name, method, column] = (printed, round(sum(parts) / len(parts), 2))
    assert checked > 80
    assert found == SLIPS
