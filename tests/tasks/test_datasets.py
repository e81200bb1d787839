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

from raystudy.errors import ConfigError, PreflightError
from raystudy.find import find
from raystudy.metrics import METRICS
from raystudy.tasks import load
from raystudy.tasks._card import Card

DATASETS = ("sst5", "amazon_mds", "imdb", "mnli", "scitail", "hypenet_lex", "bless")
DOMAINS = {
    "amazon_mds": ("books", "dvd", "electronics", "kitchen"),
    "mnli": ("fiction", "government", "slate", "telephone", "travel"),
}
# The label sets that Meta-DTL's Table 1 prints.
WORDS = {
    "sst5": ("1", "2", "3", "4", "5"),
    "amazon_mds": ("negative", "positive"),
    "imdb": ("negative", "positive"),
    "mnli": ("entailment", "neutral", "contradiction"),
    "scitail": ("entailment", "neutral"),
    "hypenet_lex": ("hypernymy", "non-hypernymy"),
    "bless": ("attribute", "co-hyponymy", "event", "hypernymy", "meronymy", "random"),
}


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
    assert c.length == (32 if name in ("hypenet_lex", "bless") else 128)
    assert c.domains == DOMAINS.get(name, ())


def test_classes_that_the_paper_shares_have_the_same_words() -> None:
    words = {name: set(WORDS[name]) for name in DATASETS}
    assert words["mnli"] & words["scitail"] == {"entailment", "neutral"}
    assert words["amazon_mds"] & words["imdb"] == {"negative", "positive"}
    assert words["hypenet_lex"] & words["bless"] == {"hypernymy"}
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
