"""Every exhibit: its study at every scale, and every published number in one place."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from exhibits.conftest import Left

from raystudy import exhibits
from raystudy.catalogue import catalogue, suites
from raystudy.errors import ConfigError
from raystudy.exhibits import SCALES, SETTINGS, ExhibitResults, _sizes, _statistics
from raystudy.exhibits._papers import (
    DOU2019,
    META_DTL,
    METAXT,
    MFT,
    TAWT,
    Published,
    PublishedNumber,
    published_folder,
)
from raystudy.spec import Places
from raystudy.studyfile import Study

TABLES = {
    "metadtl": (1, 2, 3, 4, 6),
    "mft": (1, 2, 3, 4, 6, 7),
    "metaxt": (1, 2, 3),
    "dou2019": (1, 2, 3),
    "tawt": (1, 2, 3, 4, 5, 6, 7),
}
METAXT_NAMES = {f"metaxt_{e}" for e in ("table1", "table2", "table3", *(f"fig{i}" for i in range(3, 9)))}
DOU_NAMES = {f"dou2019_{e}" for e in ("table1", "table2", "table3", "fig2")}
TAWT_NAMES = {f"tawt_{e}" for e in (*(f"table{i}" for i in range(1, 8)), "fig1", "fig2")}
OWN_SIZES = METAXT_NAMES | DOU_NAMES | TAWT_NAMES  # tests of their own say what their scales are
EXPECTED = {
    *(f"meta_dtl_{e}" for e in ("table1", "table2", "table3", "table4", "table5", "table6", "fig3", "fig4")),
    *(f"mft_{e}" for e in (*(f"table{i}" for i in range(1, 8)), "fig3", "fig4")),
    *OWN_SIZES,
}


def studies(name: str, scale: exhibits.Scale = "small") -> Study:
    study = exhibits.find(name).study(scale)
    assert study is not None
    return study


TRAINED = [name for name in sorted(EXPECTED) if exhibits.find(name).methods]


def test_every_numbered_table_and_figure_with_results_is_there() -> None:
    assert set(exhibits.names()) >= EXPECTED
    for name in exhibits.names():
        assert exhibits.find(name).name == name
    untrained = {f"{p}_table{i}" for p in ("meta_dtl", "mft") for i in (1, 5)}
    assert EXPECTED - set(TRAINED) == {*untrained, "metaxt_table1"}


def test_an_unknown_exhibit_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'meta_dtl_table2'"):
        exhibits.find("meta_dtl_tabel2")


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("scale", SCALES)
def test_the_study_is_valid_at_every_scale_and_reads_no_data(
    name: str, scale: exhibits.Scale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sizes, "load", lambda *args, **kwargs: pytest.fail("data were read"))
    exhibit = exhibits.find(name)
    for search in (False, True):
        study = exhibit.study(scale, None, search)
        assert study is not None and study.name == f"{name}-{scale}"
        assert {*exhibit.floors, "single_task"} <= set(study.variants)
        assert all(catalogue().variant(v).id == v for v in study.variants)
        assert all(study.suite_of(t) in suites() for t in study.target_names)
        assert bool(study.search.trials) == search
        assert ("lr" in study.settings) == (scale == "smoke" or not search)  # what is set is not searched


@pytest.mark.parametrize("name", [n for n in TRAINED if n not in OWN_SIZES])
def test_what_the_scales_say(name: str) -> None:
    exhibit = exhibits.find(name)
    smoke, small, paper = (studies(name, scale) for scale in SCALES)
    assert smoke.plm == "tiny" and {t.partition("/")[0] for t in smoke.task_names} == {"planted"}
    assert small.plm == "minilm" and small.length == 64 and small.report.seeds == 3
    assert (small.limits.dev, small.limits.test) == (128, 400)
    assert small.limits.train == (None if exhibit.sizes else 256)
    assert small.suite_names == paper.suite_names == exhibit.suites
    assert paper.plm == "google-bert/bert-base-uncased" and paper.limits.train is None and paper.length is None
    assert dict(paper.settings) == {**exhibit.paper.settings, **exhibit.settings}
    assert set(small.settings) - set(SETTINGS["small"]) == set(exhibit.settings)


def test_one_learning_rate_for_all_methods_of_a_comparison() -> None:
    """Meta-FT* is a variant of `mft`, whose paper has another rate than Meta-DTL's; in one table they are equal."""
    for name in TRAINED:
        for scale in SCALES:
            study = studies(name, scale)
            trained = [
                v for v in study.variants if "lr" in catalogue().parameters_of(v) and v != "adapter_fusion"
            ]  # a frozen model
            assert len({catalogue().resolve(v, study.fixed_settings(v))["lr"] for v in trained}) == 1


def test_overrides_are_checked_like_those_of_a_study_file() -> None:
    exhibit = exhibits.find("meta_dtl_table3")
    changed = exhibit.study("small", Path("data"), overrides=["report.seeds=7", "plm=tiny"])
    assert changed is not None and (changed.report.seeds, changed.plm, changed.data_root) == (7, "tiny", "data")
    with pytest.raises(ConfigError) as e:
        exhibit.study("small", overrides=["report.seeds=many", "methods=[meta_dlt]"])
    assert len(e.value.problems) >= 2 and "meta_dtl" in str(e.value)


# ---------------------------------------------------------------------------------------------------------------------
# published numbers


def rows(paper: str) -> dict[tuple[str, ...], str]:
    """Key -> value of every published number of a paper's numeric tables; a dash is no number."""
    out = {}
    for table in TABLES[paper]:
        with (published_folder() / f"{paper}_table{table}.csv").open(encoding="utf-8", newline="") as f:
            for row in csv.DictReader(f):
                if row["value"] not in ("", "-"):
                    out[tuple(list(row.values())[:7])] = row["value"]
    return out


def given_of(name: str, left: Left, scale: exhibits.Scale = "small") -> ExhibitResults:
    study = studies(name, scale)
    return ExhibitResults(exhibits.find(name), scale, study, left(study, lambda v, t, s: 0.5 + 0.01 * s))


@pytest.mark.parametrize(
    ("paper", "own"),
    [("metadtl", META_DTL), ("mft", MFT), ("metaxt", METAXT), ("dou2019", DOU2019), ("tawt", TAWT)],
)
def test_every_published_number_stands_in_one_entry_of_one_exhibit(
    paper: str, own: object, left: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left out: the dashes of MFT's Table 1 (no test sets of MNLI), which are no numbers."""
    asked: Counter[tuple[str, ...]] = Counter()
    find = Published.find

    def counted(self: Published, **fields: str) -> PublishedNumber | None:
        found = find(self, **fields)
        asked.update([found.key] if found is not None else [])
        return found

    monkeypatch.setattr(Published, "find", counted)
    monkeypatch.setattr(_statistics, "read_tasks", lambda names, scale, places: ({}, {}))
    shown = []
    for name in EXPECTED:
        exhibit = exhibits.find(name)
        if exhibit.paper is not own:
            continue
        if exhibit.methods:
            tables = exhibit.tables(given_of(name, left)) if exhibit.tables else ()
        elif exhibit.label == "Table 1":
            assert exhibit.untrained_page is not None
            tables = exhibit.untrained_page(exhibit, "paper", Places()).tables
        else:
            continue
        for table in tables:
            alone = "published" in table.caption  # the encoder that was not run: the paper's numbers are the cells
            cells = [c for row in table.rows for c in row[1:]]
            shown += [c.value if alone else c.published for c in cells if alone or c.published is not None]
            shown += [c.second_published for c in cells if c.second_published is not None]
    wanted = rows(paper)
    assert asked == Counter(dict.fromkeys(wanted, 1))
    assert Counter(shown) == Counter(map(float, wanted.values()))


@pytest.mark.parametrize("name", TRAINED)
def test_beside_generated_tasks_stands_no_published_number(name: str, left: Left) -> None:
    results = given_of(name, left, "smoke")
    shown = results.exhibit.page("smoke", results.study, results.numbers)
    assert all(c.published is None for t in shown.tables for row in t.rows for c in row)
    assert any("no published ones stand beside" in s for s in shown.setup)


def test_one_number_or_none() -> None:
    table = META_DTL.published("Table 2")
    found = table.find(plm="BERT-base", method="Meta-DTL", dataset="MNLI")
    assert found is not None and (found.value, found.mark) == (84.2, "0.05<p<0.1")
    assert table.find(plm="BERT-base", method="Meta-XYZ", dataset="MNLI") is None
    assert MFT.published("Table 1").find(dataset="MNLI/Slate", setting="test") is None  # a dash
    with pytest.raises(ValueError, match="must name one number, but 2 fit"):
        table.find(method="Meta-DTL", dataset="MNLI")


# ---------------------------------------------------------------------------------------------------------------------
# written again


def test_a_manifest_says_what_its_report_opens_with(left: Left) -> None:
    assert exhibits.page_renderer(None) is None
    again = exhibits.page_renderer({"exhibit": "mft_table4", "scale": "small"})
    results = given_of("mft_table4", left)
    assert again is not None and again(results.study, results.numbers) == results.exhibit.page(
        "small", results.study, results.numbers
    )
    with pytest.raises(ConfigError, match="unknown scale"):
        exhibits.page_renderer({"exhibit": "mft_table4", "scale": "huge"})
    with pytest.raises(ConfigError, match="unknown exhibit"):
        exhibits.page_renderer({"exhibit": "mft_table44", "scale": "small"})


def test_a_method_that_was_left_out_leaves_the_published_number(left: Left) -> None:
    """`--only` and a study that was stopped: the paper's rows stay."""
    exhibit = exhibits.find("mft_table4")
    study = studies("mft_table4").model_copy(update={"methods": ("single_task", "majority")})
    (table,) = exhibit.page("small", study, left(study, lambda v, t, s: 0.5)).tables
    mft = next(row for row in table.rows if row[0].value == "MFT (Full)")
    assert [c.value for c in mft[1:-1]] == [None] * 4 and [c.published for c in mft[1:-1]] == [94.5, 92.3, 90.2, 92.3]


def test_to_show_again_takes_neither_torch_nor_ray() -> None:
    code = (
        "from raystudy import exhibits; from raystudy.study.folder import report_files; "
        "from raystudy.commands import report; "
        "[exhibits.find(n) for n in exhibits.names()]; "
        "import sys; print(*sorted({'torch', 'ray', 'transformers', 'optuna'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
