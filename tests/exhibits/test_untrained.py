"""Exhibits for which nothing is trained: statistics of the data, and examples at both ends of a score."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from raystudy import exhibits
from raystudy.analysis.table import MISSING
from raystudy.errors import ConfigError, PreflightError
from raystudy.exhibits import PLM, _extreme_examples, run_untrained
from raystudy.exhibits._extreme_examples import extremes
from raystudy.exhibits._statistics import statistics
from raystudy.spec import Places
from raystudy.tasks import Example, Task


def task(**texts: list[str]) -> Task:
    """label -> texts."""
    rows = tuple(Example(label, text) for label, some in texts.items() for text in some)
    return Task("mine", "single", tuple(sorted(texts)), {"train": rows, "dev": rows, "test": rows})


def test_what_is_trained_is_not_computed_and_the_other_way_round(tmp_path: Path) -> None:
    assert exhibits.find("mft_table1").study("small") is None
    with pytest.raises(ConfigError, match="from a study's results"):
        run_untrained("mft_table2", "smoke", Places(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_extremes_are_ordered_and_per_label() -> None:
    data = task(a=["one", "two", "three"], b=["four", "five", "six"])
    scores = [0.3, 0.1, 0.2, 0.9, 0.9, -1.0]
    assert extremes(data, scores, high=True) == [("a", 0, "one"), ("a", 2, "three"), ("b", 3, "four"), ("b", 4, "five")]
    assert extremes(data, scores, high=False) == [("a", 1, "two"), ("a", 2, "three"), ("b", 5, "six"), ("b", 3, "four")]


def test_a_long_text_is_cut_and_a_pair_is_told() -> None:
    words = "word " * 100
    (_, _, text), *_ = extremes(task(a=[words, words], b=["x", "y"]), [0.0] * 4, high=True)
    assert len(text) <= _extreme_examples.WIDTH and text.endswith("…")
    assert _extreme_examples._text(Example("a", "cat", "animal")) == "cat ‖ animal"


@pytest.mark.parametrize(("name", "symbols"), [("meta_dtl_table5", "m α β"), ("mft_table5", "t")])
def test_scores_are_the_methods_constants_and_high_is_above_low(name: str, symbols: str) -> None:
    exhibit = exhibits.find(name)
    assert exhibit.untrained_page is not None
    shown = exhibit.untrained_page(exhibit, "smoke", Places(plm=PLM["smoke"]))
    texts, spread = shown.tables
    assert [c.title for c in texts.columns][3:-1] == symbols.split()
    score = {
        end: {(r[1].value, r[2].value): r[3].value for r in texts.rows if r[0].value == end} for end in ("high", "low")
    }
    assert score["high"].keys() == score["low"].keys()
    assert all(score["high"][k] >= score["low"][k] for k in score["low"])  # type: ignore[operator]
    assert [len(part) for part in texts.parts] == [len(texts.rows) // 2] * 2
    for row in spread.rows:
        _, symbol, _, mean, _, least, most = (c.value for c in row)
        own = [r[3 + symbols.split().index(str(symbol))].value for r in texts.rows if r[1].value == row[0].value]
        assert least <= min(own) <= max(own) <= most and least <= mean <= most  # type: ignore[type-var, operator]
        if symbol == symbols.split()[0]:
            assert (min(own), max(own)) == (least, most)
    if name == "meta_dtl_table5":
        assert all(r[3].value == pytest.approx((r[4].value + r[5].value) / 2) for r in texts.rows)  # type: ignore[operator]


def test_statistics_count_what_is_there_and_name_what_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "bless"
    folder.mkdir()
    for split, n in (("train", 6), ("validation", 2), ("test", 3)):
        lines = ["text,text_pair,label", *(f"cat{i},animal{i},{('hyper', 'random')[i % 2]}" for i in range(n))]
        (folder / f"{split}.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr("raystudy.exhibits._statistics.load", _load_only("bless"))
    shown = statistics(exhibits.find("meta_dtl_table1"), "paper", Places(data_root=str(tmp_path)))
    counts, sources = shown.tables
    rows = {str(r[0].value): r for r in counts.rows}
    assert [c.value for c in rows["BLESS"][2:6]] == [6, 6, 2, 3]
    assert [c.published for c in rows["BLESS"][2:6]] == [6, 18_582, 1_327, 6_637]
    assert [c.value for c in rows["MNLI"][2:6]] == [None] * 4 and rows["MNLI"][3].published == 382_702
    assert any(re.match(r"Not read: SST-5: .+IMDb: ", n.text) for n in counts.notes)
    assert [str(r[0].value) for r in sources.rows] == ["BLESS"]


def _load_only(name: str):  # type: ignore[no-untyped-def]
    from raystudy.tasks import load

    def only(asked: str, **options: object) -> Task:
        if asked != name:
            raise PreflightError(f"the data set {asked} is not there: nobody laid it down. Download it")
        return load(asked, **options)  # type: ignore[arg-type]

    return only


def test_statistics_without_any_data_are_refused() -> None:
    with pytest.raises(PreflightError) as e:
        statistics(exhibits.find("mft_table1"), "paper", Places(data_root="nowhere"))
    assert len(e.value.problems) >= 1


def test_a_task_that_stands_in_for_a_data_set_stands_beside_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    four, two = task(a=["x"], b=["y"], c=["z"], d=["w"]), task(yes=["x"], no=["y"])
    found = {"sst5": task(**{c: [c] for c in "abcde"}), "amazon_mds_stars": four, "imdb": two}
    gone = {"conll2003_de": PreflightError("the data set conll2003_de is not there: none")}
    monkeypatch.setattr("raystudy.exhibits._statistics.read_tasks", lambda names, scale, places: (found, gone))
    exhibit = exhibits.find("metaxt_table1")
    shown = statistics(exhibit, "paper", Places())
    rows = {str(r[1].value): r for r in shown.tables[0].rows}
    assert [*rows] == [*exhibit.tasks("paper")] and len(rows) == 8
    ours = {name: (r[2].value, r[2].published) for name, r in rows.items()}
    assert ours["sst5"] == (5, 5) and ours["amazon_mds_stars"] == (4, 5) and ours["imdb"] == (2, 2)
    assert ours["conll2003_de"] == (None, 8) and ours["streusle_mwe"] == (None, 3) and ours["germeval14"] == (None, 25)
    assert rows["sst5"][0].value == "SST-5" and any("Yelp's reviews are not at hand" in s for s in shown.setup)
    assert any("Conll03(Germ): the data set conll2003_de is not there" in n.text for n in shown.tables[0].notes)


@pytest.mark.parametrize("name", ["meta_dtl_table1", "mft_table1", "metaxt_table1", "meta_dtl_table5"])
def test_its_files(name: str, tmp_path: Path) -> None:
    path = run_untrained(name, "smoke", Places(plm=PLM["smoke"]), tmp_path)
    stem = exhibits.find(name).stem
    second = f"{stem}_{'sources' if stem == 'table1' else 'spread'}"
    files = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {
        "report/report.md",
        "report/report.html",
        *(f"report/tables/{t}.{form}" for t in (stem, second) for form in ("csv", "md", "tex")),
    }
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# {exhibits.find(name).title}, scale smoke\n") and "## Provenance" in text
    assert "published" not in text and MISSING not in (path.parent / "tables" / f"{stem}.md").read_text()
    before = {p: p.read_bytes() for p in tmp_path.rglob("*.*") if p.is_file()}
    run_untrained(name, "smoke", Places(plm=PLM["smoke"]), tmp_path)
    assert before == {p: p.read_bytes() for p in before}
