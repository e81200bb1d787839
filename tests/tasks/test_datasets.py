"""The modules of the real data sets: their cards, what they say when data are missing, and the data where there are."""

from __future__ import annotations

import gzip
import json
import os
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from tables import FILES, lay
from typer.testing import CliRunner

from raystudy import __main__ as commands
from raystudy.catalogue import suites
from raystudy.errors import ConfigError, PreflightError
from raystudy.find import find
from raystudy.metrics import METRICS
from raystudy.tasks import built_in, load
from raystudy.tasks._card import Card

DATASETS = ("sst5", "amazon_mds", "imdb", "mnli", "scitail", "hypenet_lex", "bless", "wn_taxonomy_apv", "fdu_mtl")
DOMAINS = {
    "amazon_mds": ("books", "dvd", "electronics", "kitchen"),
    "mnli": ("fiction", "government", "slate", "telephone", "travel"),
    "wn_taxonomy_apv": ("animal", "plant", "vehicle"),
    "fdu_mtl": (
        *("apparel", "baby", "books", "camera_photo", "dvd", "electronics", "health_personal_care", "imdb"),
        *("kitchen_housewares", "magazines", "mr", "music", "software", "sports_outdoors", "toys_games", "video"),
    ),
}
TERMS = ("hypenet_lex", "bless", "wn_taxonomy_apv")
# The label sets that Meta-DTL's Table 1 prints, and for the others the words of the same classes.
WORDS = {
    "sst5": ("1", "2", "3", "4", "5"),
    "amazon_mds": ("negative", "positive"),
    "imdb": ("negative", "positive"),
    "mnli": ("entailment", "neutral", "contradiction"),
    "scitail": ("entailment", "neutral"),
    "hypenet_lex": ("hypernymy", "non-hypernymy"),
    "bless": ("attribute", "co-hyponymy", "event", "hypernymy", "meronymy", "random"),
    "wn_taxonomy_apv": ("hypernymy", "non-hypernymy"),
    "fdu_mtl": ("negative", "positive"),
}
# suite -> the tasks that it stands for where the data are, and the form of every one
SUITES = {
    "review": (("sst5", "amazon_mds", "imdb"), "single"),
    "nli": (("mnli", "scitail"), "pair"),
    "lexical": (("hypenet_lex", "bless"), "pair"),
    "amazon_domains": (tuple(f"amazon_mds/{d}" for d in DOMAINS["amazon_mds"]), "single"),
    "mnli_genres": (tuple(f"mnli/{d}" for d in DOMAINS["mnli"]), "pair"),
    "taxonomy": (tuple(f"wn_taxonomy_apv/{d}" for d in DOMAINS["wn_taxonomy_apv"]), "pair"),
    "fdu": (tuple(f"fdu_mtl/{d}" for d in DOMAINS["fdu_mtl"]), "single"),
    "planted": (("planted/target", "planted/source"), "single"),
    "planted_domains": (tuple(f"planted/domain_{k}" for k in (1, 2, 3)), "single"),
    "lexicon": (("lexicon/stars", "lexicon/polarity", "lexicon/subjectivity"), "single"),
}
EMBEDDED = ("planted", "planted_domains", "lexicon")  # need no data root


def card(name: str) -> Card:
    found = find("tasks", name).CARD
    assert isinstance(found, Card)
    return found


@pytest.fixture(scope="module")
def root() -> Path:
    """The real data: RAYSTUDY_TEST_DATA, else beside the repository."""
    place = Path(os.environ.get("RAYSTUDY_TEST_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
    if not place.is_dir():
        pytest.skip(f"no real data in {place}: set RAYSTUDY_TEST_DATA to the folder that holds {', '.join(DATASETS)}")
    return place


@pytest.mark.parametrize("name", DATASETS)
def test_cards_are_complete(name: str) -> None:
    c = card(name)
    assert c.licence
    assert c.source
    assert c.get
    assert c.metric in METRICS
    assert len(set(c.labels)) == len(c.labels) >= 2
    assert set(c.label_text) <= set(c.labels)
    assert tuple(c.label_text.get(label, label) for label in c.labels) == WORDS[name]
    assert c.length == (32 if name in TERMS else 128)
    assert c.domains == DOMAINS.get(name, ())


def test_classes_that_the_paper_shares_have_the_same_words() -> None:
    words = {name: set(WORDS[name]) for name in DATASETS}
    assert words["mnli"] & words["scitail"] == {"entailment", "neutral"}
    assert words["amazon_mds"] & words["imdb"] == {"negative", "positive"}
    assert words["hypenet_lex"] & words["bless"] == {"hypernymy"}
    assert words["hypenet_lex"] == words["wn_taxonomy_apv"]
    assert words["fdu_mtl"] == words["amazon_mds"]
    assert not words["sst5"] & words["imdb"]


@pytest.mark.parametrize("name", DATASETS)
def test_missing_data_say_what_to_do(name: str, tmp_path: Path) -> None:
    """How to lay a folder, and for what the hub has, how to bring it into the cache (tests have no network)."""
    c = card(name)
    for place in (None, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(PreflightError) as caught:
            load(name, root=place)
        said = str(caught.value)
        assert caught.value.exit_code == 3
        if c.hub is not None:
            assert f"hf download --repo-type dataset {c.hub.id}" in said
        for part in (f"the data set {name}", c.get.rstrip("."), "train.jsonl", "--data-root DIR"):
            assert part in said
        assert ("`text_pair`" in said) == (c.form == "pair")
        assert ("`domain`" in said) == (name in DOMAINS)


@pytest.mark.parametrize("name", [n for n in DATASETS if n not in DOMAINS])
def test_a_data_set_without_parts_refuses_one(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} has no parts"):
        load(f"{name}/books")


@pytest.mark.parametrize("name", DATASETS)
def test_real_data(name: str, root: Path) -> None:
    if not (root / name).is_dir():
        pytest.skip(f"no folder {name} in {root}")
    task = load(name, root=root)
    assert task.labels == card(name).labels
    assert {e.label for e in task.splits["train"]} == set(task.labels)
    assert {task.text_of(label) for label in task.labels} == set(WORDS[name])
    assert all((e.pair is not None) == (card(name).form == "pair") for e in task.splits["test"])
    for domain in DOMAINS.get(name, ())[:1]:
        part = load(f"{name}/{domain}", root=root)
        assert part.labels == task.labels
        assert set(part.splits["train"]) < set(task.splits["train"])


# ---------------------------------------------------------------------------------------------------------------------
# suites


def test_every_suite_is_known_here() -> None:
    assert SUITES.keys() == suites().keys()


@pytest.mark.parametrize("name", SUITES)
def test_suites_name_parts_that_there_are(name: str) -> None:
    """Without data: each name is a data set of ours, and its part one that the card or the module declares."""
    suite = suites()[name]
    assert set(suite["targets"]) <= set(suite["tasks"])
    for task in suite["tasks"]:
        module, _, part = task.partition("/")
        assert built_in(module)
        parts = getattr(find("tasks", module), "PARTS", ()) or card(module).domains
        assert part in ("", "*", *parts)


@pytest.mark.parametrize("name", SUITES)
def test_a_study_of_each_suite_is_read_and_planned(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """On the real data: all tasks of a suite load, have one form, and its domains one label set in one order."""
    tasks, form = SUITES[name]
    needed = {t.partition("/")[0] for t in tasks}
    root: Path = tmp_path if name in EMBEDDED else request.getfixturevalue("root")
    if name not in EMBEDDED and (gone := sorted(n for n in needed if not (root / n).is_dir())):
        pytest.skip(f"no folder {', '.join(gone)} in {root}")
    limits = "{train: 20, dev: 10, test: 10}"
    text = f"name: x\nsuite: {name}\nplm: tiny\nmethods: [single_task]\nlimits: {limits}\n"
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    args = ["plan", str(tmp_path / "study.yaml"), "--data-root", str(root), "--json"]
    done = CliRunner().invoke(commands.app, args)
    assert done.exit_code == 0, done.output + str(done.exception)
    planned = json.loads(done.stdout)["tasks"]
    assert set(planned) == set(tasks)
    assert {t["form"] for t in planned.values()} == {form}
    if len(needed) == 1 and name not in ("planted", "lexicon"):
        assert len({tuple(t["labels"]) for t in planned.values()}) == 1


@pytest.mark.parametrize("name", ["stsb", "wnut17", "conll2000_chunk"])
def test_real_folders_without_a_module(name: str, root: Path) -> None:
    if not (root / name).is_dir():
        pytest.skip(f"no folder {name} in {root}")
    task = load(name, root=root)
    assert task.metric == ("pearson" if name == "stsb" else "span_f1")


def _rows(root: Path, name: str, split: str) -> list[dict[str, Any]]:
    """The first 300 rows of a real split, with the labels of train only."""
    with gzip.open(root / name / f"{FILES[split]}.jsonl.gz", "rt", encoding="utf-8") as f:
        return [json.loads(line) for line in islice(f, 300)]


@pytest.mark.parametrize("name", ["sst5", "mnli", "stsb", "wnut17", "amazon_mds"])
def test_real_data_are_the_same_task_in_every_format(name: str, root: Path, tmp_path: Path) -> None:
    if not (root / name).is_dir():
        pytest.skip(f"no folder {name} in {root}")
    rows = {split: _rows(root, name, split) for split in FILES}
    tagging = "tokens" in rows["train"][0]
    suffixes = [".jsonl", ".csv", ".parquet"] + ([".conll", ".conllu", ".tsv"] if tagging else [])
    digests = set()
    for suffix in suffixes:
        flat = tagging and suffix in (".csv", ".tsv")  # tokens of a cell stand between blanks
        table = {s: [{k: " ".join(v) if flat else v for k, v in r.items()} for r in part] for s, part in rows.items()}
        lay(tmp_path / suffix, "mine", suffix, **table)
        options = {"domains": "together", "columns": {"text": "text", "label": "label"}} if not tagging else {}
        digests.add(load("mine", root=tmp_path / suffix, options=options).digest)
    assert len(digests) == 1
