"""The modules of the real data sets: their cards, what they say when data are missing, and the data where there are."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import pytest
from tables import FILES, lay
from typer.testing import CliRunner

from raystudy import __main__ as commands
from raystudy.catalogue import space_folder, suites
from raystudy.errors import ConfigError, DataError, PreflightError
from raystudy.metrics import METRICS
from raystudy.plugins import find_module
from raystudy.studyfile import Study, read_study
from raystudy.tasks import is_built_in, load
from raystudy.tasks._card import Card

TAGGING = ("ud_ewt_upos", "streusle_mwe", "conll2000_chunk", "wnut17", "germeval14", "conll2003_de", "predicates")
DATASETS = (
    *("sst5", "amazon_mds", "amazon_mds_stars", "imdb", "mnli", "scitail", "hypenet_lex", "bless", "wn_taxonomy_apv"),
    *("fdu_mtl", *TAGGING),
    *("cola", "sst2", "mrpc", "stsb", "qqp", "qnli", "rte"),
)
DOMAINS = {
    "amazon_mds": ("books", "dvd", "electronics", "kitchen"),
    "amazon_mds_stars": ("books", "dvd", "electronics", "kitchen"),
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
    "amazon_mds_stars": ("1 star", "2 stars", "4 stars", "5 stars"),
    "streusle_mwe": ("B", "I", "O", "b", "i", "o"),
}
WORDS |= {
    "predicates": ("O", "predicate"),
    "cola": ("unacceptable", "acceptable"),
    "sst2": ("negative", "positive"),
    "mrpc": ("not equivalent", "equivalent"),
    "stsb": (),
    "qqp": ("not duplicate", "duplicate"),
    "qnli": ("entailment", "not entailment"),
    "rte": ("entailment", "not entailment"),
}
GLUE = ("cola", "mrpc", "stsb", "rte", "sst2", "qqp", "mnli", "qnli")
# GLUE's metrics; of two the tables show both
GLUE_METRICS = {
    "cola": ("mcc",),
    "mrpc": ("f1", "accuracy"),
    "qqp": ("f1", "accuracy"),
    "stsb": ("pearson", "spearman"),
}
COUNTED = {"ud_ewt_upos": 17, "conll2000_chunk": 23, "wnut17": 13, "germeval14": 25, "conll2003_de": 9}
# tags of the whole data set that the training split at hand does not hold
RARE = {
    "conll2000_chunk": {"I-LST"},
    "germeval14": {"I-LOCpart", "I-ORGderiv", "I-OTHderiv", "I-OTHpart", "I-PERderiv"},
}
# suite -> the tasks that it stands for where the data are, and the form of every one
SUITES = {
    "review": (("sst5", "amazon_mds", "imdb"), "single"),
    "nli": (("mnli", "scitail"), "pair"),
    "tagging": (("ud_ewt_upos", "conll2000_chunk", "predicates", "wnut17"), "tagging"),
    "glue": (GLUE, ""),
    "glue_scitail": ((*GLUE, "scitail"), ""),
    "lexical": (("hypenet_lex", "bless"), "pair"),
    "amazon_domains": (tuple(f"amazon_mds/{d}" for d in DOMAINS["amazon_mds"]), "single"),
    "mnli_genres": (tuple(f"mnli/{d}" for d in DOMAINS["mnli"]), "pair"),
    "taxonomy": (tuple(f"wn_taxonomy_apv/{d}" for d in DOMAINS["wn_taxonomy_apv"]), "pair"),
    "fdu": (tuple(f"fdu_mtl/{d}" for d in DOMAINS["fdu_mtl"]), "single"),
    "planted": (("planted/target", "planted/source"), "single"),
    "planted_domains": (tuple(f"planted/domain_{k}" for k in (1, 2, 3)), "single"),
    "planted_tags": (("planted/tag_target", "planted/tag_source"), "tagging"),
    "teachers": (tuple(f"teachers/{p}" for p in ("target", *(f"flip_{q}" for q in (0, 25, 50, 75, 100)))), "vector"),
    "planted_vectors": (("planted/vector_target", "planted/vector_source"), "vector"),
    "name_words": (("word_vectors/wnut17", "word_vectors/ud_ewt_upos"), "vector"),
    "pos_to_mwe": (("streusle_mwe", "ud_ewt_upos"), "tagging"),
    "chunk_to_ner": (("wnut17", "conll2000_chunk"), "tagging"),
    "ner_de": (("germeval14", "conll2003_de"), "tagging"),
    "polarity_to_stars": (("amazon_mds_stars", "imdb"), "single"),
    "polarity_to_five": (("sst5", "amazon_mds"), "single"),
    "lexicon": (("lexicon/stars", "lexicon/polarity", "lexicon/subjectivity"), "single"),
    "lexicon_senses": (("lexicon/polarity", "lexicon/stars", "lexicon/subjectivity"), "single"),
}
LEAVE_OUT = ("glue", "glue_scitail", "tagging")
EMBEDDED = (
    "planted",
    "planted_domains",
    "planted_tags",
    "planted_vectors",
    "teachers",
    "lexicon",
    "lexicon_senses",
)  # need no data root


def card(name: str) -> Card:
    found = find_module("tasks", name).CARD
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
    assert len(set(c.labels)) == len(c.labels) >= (0 if c.kind == "regression" else 2)
    assert set(c.label_text) <= set(c.labels)
    if name in COUNTED:
        assert (len(c.labels), c.label_text) == (COUNTED[name], {})
    else:
        assert tuple(c.label_text.get(label, label) for label in c.labels) == WORDS[name]
    assert c.length == (32 if name in TERMS else 64 if name in TAGGING else 128)
    assert (c.form == "tagging") == (name in TAGGING)
    assert c.domains == DOMAINS.get(name, ())


def test_classes_that_the_paper_shares_have_the_same_words() -> None:
    words = {name: set(found) for name, found in WORDS.items()}
    assert words["mnli"] & words["scitail"] == {"entailment", "neutral"}
    assert words["amazon_mds"] & words["imdb"] == {"negative", "positive"}
    assert words["hypenet_lex"] & words["bless"] == {"hypernymy"}
    assert words["hypenet_lex"] == words["wn_taxonomy_apv"]
    assert words["fdu_mtl"] == words["amazon_mds"]
    assert not words["sst5"] & words["imdb"]
    assert not words["amazon_mds_stars"] & words["imdb"]
    assert words["sst2"] == words["imdb"]
    assert words["rte"] == words["qnli"] and words["rte"] & words["mnli"] == {"entailment"}
    assert not words["mrpc"] & words["qqp"]


@pytest.mark.parametrize("name", DATASETS)
def test_missing_data_say_what_to_do(name: str, tmp_path: Path) -> None:
    """How to lay a folder, and for what the hub has, how to bring it into the cache (tests have no network)."""
    c = card(name)
    for place in (None, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(PreflightError) as caught:
            load(name, root=place)
        messages = str(caught.value)
        assert caught.value.exit_code == 3
        if c.hub is not None:
            assert f"hf download --repo-type dataset {c.hub.id}" in messages
        for part in (f"the data set {name}", c.get.rstrip("."), "train.jsonl", "--data-root DIR"):
            assert part in messages
        assert ("`text_pair`" in messages) == (c.form == "pair")
        assert ("`tokens`" in messages) == (c.form == "tagging")
        assert ("`domain`" in messages) == (name in DOMAINS)


@pytest.mark.parametrize("name", [n for n in DATASETS if n not in DOMAINS])
def test_a_data_set_without_parts_refuses_one(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} has no parts"):
        load(f"{name}/books")


@pytest.mark.parametrize("name", DATASETS)
def test_real_data(name: str, root: Path) -> None:
    if not (root / name).is_dir():
        pytest.skip(f"no folder {name} in {root}")
    task = load(name, root=root)
    merge = card(name).merge
    assert task.labels == tuple(label for label in card(name).labels if label not in merge)
    if card(name).kind == "regression":
        assert task.kind == "regression"
        return
    rows = [e.label for e in task.splits["train"]]
    found = {t for tags in rows for t in tags} if name in TAGGING else set(rows)  # type: ignore[union-attr]
    assert found == set(task.labels) - RARE.get(name, set())
    if name in RARE:
        assert any(note.startswith("train holds no example of the tag") for note in task.notes)
    if name not in TAGGING:
        assert {task.text_of(label) for label in task.labels} == set(WORDS[name])
    assert all((e.pair is not None) == (card(name).form == "pair") for e in task.splits["test"])
    for domain in DOMAINS.get(name, ())[:1]:
        part = load(f"{name}/{domain}", root=root)
        assert part.labels == task.labels
        assert set(part.splits["train"]) < set(task.splits["train"])


def test_expressions_are_three_classes_unless_all_six_are_wanted(root: Path) -> None:
    if not (root / "streusle_mwe").is_dir():
        pytest.skip(f"no folder streusle_mwe in {root}")
    task, full = load("streusle_mwe", root=root), load("streusle_mwe", root=root, options={"merge": {}})
    assert (task.labels, full.labels) == (("B", "I", "O"), ("B", "I", "O", "b", "i", "o"))
    merge = card("streusle_mwe").merge
    for split, rows in full.splits.items():
        coarser = [tuple(merge.get(t, t) for t in e.label) for e in rows]  # type: ignore[union-attr]
        assert coarser == [e.label for e in task.splits[split]]
    counts = Counter(t for rows in full.splits.values() for e in rows for t in e.label)  # type: ignore[union-attr]
    (message,) = (n for n in task.notes if n.startswith("labels read as coarser ones"))
    assert all(f"'{k}' as '{v}' ({counts[k]})" in message for k, v in merge.items())


def test_no_sentence_of_the_expressions_is_among_those_of_the_parts_of_speech(root: Path) -> None:
    if any(not (root / name).is_dir() for name in ("streusle_mwe", "ud_ewt_upos")):
        pytest.skip(f"no folders streusle_mwe and ud_ewt_upos in {root}")
    study = Study.model_validate({"name": "x", "suite": "pos_to_mwe", "methods": ["single_task"]})
    read = {t: load(t, root=root, options=study.task_options.get(t)) for t in study.task_names}
    sentences = {t: {e.tokens for rows in task.splits.values() for e in rows} for t, task in read.items()}
    assert not sentences["streusle_mwe"] & sentences["ud_ewt_upos"]
    (note,) = (n for n in read["ud_ewt_upos"].notes if n.startswith("texts that are in streusle_mwe too"))
    left = len(read["ud_ewt_upos"].splits["train"])
    assert f"{8000 - left} of 8000 in train" in note and left < 7000


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
        assert is_built_in(module)
        if module == "word_vectors":  # made of another data set
            assert card(part).form == "tagging"
            continue
        found = find_module("tasks", module)
        parts = (*getattr(found, "PARTS", ()), *getattr(found, "VECTORS", ())) or card(module).domains
        assert part in ("", "*", *parts)


@pytest.mark.parametrize("name", SUITES)
def test_a_study_of_each_suite_is_read_and_planned(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """On the real data: all tasks of a suite load, have one form, and its domains one label set in one order."""
    tasks, form = SUITES[name]
    needed = {t.removeprefix("word_vectors/").partition("/")[0] for t in tasks}
    root: Path = tmp_path if name in EMBEDDED else request.getfixturevalue("root")
    gone = [] if name in EMBEDDED else sorted(n for n in needed if not (root / n).is_dir())
    if gone and name not in LEAVE_OUT:
        pytest.skip(f"no folder {', '.join(gone)} in {root}")
    limits = "{train: 20, dev: 10, test: 10}"
    plm = "mlp:8" if form == "vector" else "tiny"
    text = f"name: x\nsuite: {name}\nplm: {plm}\nmethods: [single_task]\nlimits: {limits}\n"
    if name in LEAVE_OUT:  # some of its data are not free
        text += "missing_data: leave_out\nshots: [12]\n"
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    args = ["plan", str(tmp_path / "study.yaml"), "--data-root", str(root), "--json"]
    done = CliRunner().invoke(commands.app, args)
    assert done.exit_code == 0, done.output + str(done.exception)
    planned = json.loads(done.stdout)["tasks"]
    assert set(planned) == set(tasks) - set(gone)
    assert {t["form"] for t in planned.values()} == ({form} if form else {"single", "pair"})
    other_labels = ("planted", "planted_tags", "planted_vectors", "teachers", "lexicon", "lexicon_senses")
    if len(needed) == 1 and name not in other_labels:
        assert len({tuple(t["labels"]) for t in planned.values()}) == 1


@pytest.mark.parametrize("name", ["stsb", "conll2000_pos"])
def test_real_folders_without_a_module(name: str, root: Path, tmp_path: Path) -> None:
    if not (root / name).is_dir():
        pytest.skip(f"no folder {name} in {root}")
    (tmp_path / f"my_{name}").symlink_to(root / name)
    task = load(f"my_{name}", root=tmp_path)
    assert task.metric == ("pearson" if name == "stsb" else "token_accuracy")


# ---------------------------------------------------------------------------------------------------------------------
# GLUE


@pytest.mark.parametrize("name", GLUE)
def test_tasks_of_glue_have_its_metrics(name: str, tmp_path: Path) -> None:
    c = card(name)
    labels: list[Any] = [0.0, 2.5, 5.0] if c.kind == "regression" else [*c.labels]
    pair = {"text_pair": "another"} if c.form == "pair" else {}
    rows = [{"text": f"text {i}", **pair, "label": label} for i, label in enumerate(labels)]
    if name == "mnli":
        rows = [{**r, "domain": "fiction"} for r in rows]
    lay(tmp_path, name, **dict.fromkeys(FILES, rows))
    task = load(name, root=tmp_path)
    shown = GLUE_METRICS.get(name, ("accuracy",))
    assert task.shown_metrics == shown
    assert task.all_metrics[: len(shown)] == shown
    assert (task.metric, task.second_metric) == (shown[0], "".join(shown[1:]))
    if "f1" in shown:
        assert task.positive_class == {"mrpc": "equivalent", "qqp": "duplicate"}[name]
    # a folder is not the published data set, and its notes say so, with the numbers
    (note,) = (n for n in task.notes if "cannot be compared with published ones" in n)
    assert note == task.test_note
    assert f"hold {len(rows)} / {len(rows)} / {len(rows)} examples" in note
    assert ("labels of the published test are not public" in note) == (name not in ("mrpc", "stsb"))


def test_scores_of_similarity_are_numbers_from_0_to_5(tmp_path: Path) -> None:
    """Also where all of them happen to be whole, which elsewhere are classes."""
    rows = [{"text": "a", "text_pair": "b", "label": n} for n in (0, 3, 5)]
    lay(tmp_path, "stsb", **dict.fromkeys(FILES, rows))
    task = load("stsb", root=tmp_path)
    assert (task.kind, [e.label for e in task.splits["dev"]]) == ("regression", [0.0, 3.0, 5.0])
    wrong = [*rows, {"text": "a", "text_pair": "b", "label": 5.5}, {"text": "a", "text_pair": "b", "label": -0.1}]
    lay(tmp_path / "wrong", "stsb", train=wrong, dev=rows, test=rows)
    with pytest.raises(DataError, match="label must be a number from 0 to 5, but is") as caught:
        load("stsb", root=tmp_path / "wrong")
    assert [(p.line, str(p).partition("but is ")[2]) for p in caught.value.problems] == [(4, "5.5"), (5, "-0.1")]
    classes = load("stsb", root=tmp_path, options={"kind": "classification"})
    assert (classes.labels, classes.metric, classes.second_metric) == (("0", "3", "5"), "accuracy", "")


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_the_range_of_numbers_is_an_option(tmp_path: Path, ending: str) -> None:
    """Of a folder in any format, and in the place of a card's; whole numbers are numbers then, and no classes."""
    folder = tmp_path / "mine"
    folder.mkdir()

    def write(split: str, labels: Sequence[float]) -> None:
        lines = [
            f"text {i},{n}" if ending == "csv" else json.dumps({"text": "a", "label": n}) for i, n in enumerate(labels)
        ]
        head = ["text,label"] if ending == "csv" else []
        (folder / f"{FILES[split]}.{ending}").write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")

    for split in FILES:
        write(split, (1, 2, 10))
    task = load("mine", root=tmp_path, options={"bounds": [1, 10]})
    assert (task.kind, [e.label for e in task.splits["test"]]) == ("regression", [1.0, 2.0, 10.0])
    write("test", (1, 10.5, 0))
    with pytest.raises(DataError, match="label must be a number from 1 to 10, but is") as caught:
        load("mine", root=tmp_path, options={"bounds": [1, 10]})
    assert [str(p).partition("but is ")[2].strip("'") for p in caught.value.problems] == ["10.5", "0"]
    rows = [{"text": "a", "text_pair": "b", "label": n} for n in (0, 3, 6)]
    lay(tmp_path, "stsb", **dict.fromkeys(FILES, rows))
    assert load("stsb", root=tmp_path, options={"bounds": [0, 6]}).kind == "regression"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bounds": [5, 1]}, "bounds must be a list of two numbers, the lesser first"),
        ({"bounds": [0, float("inf")]}, "bounds must be a list of two numbers, the lesser first"),
        ({"bounds": 5}, "bounds must be a list of two numbers, the lesser first"),
        ({"bounds": [0, 1], "kind": "classification"}, "bounds must be left out where kind is classification"),
        ({"bounds": [0, 1], "labels": ["0", "1"]}, "labels must be left out where bounds are given"),
    ],
)
def test_what_is_no_range_is_refused(tmp_path: Path, options: dict[str, object], said: str) -> None:
    rows = [{"text": "a", "label": n} for n in (0, 1)]
    lay(tmp_path, "mine", **dict.fromkeys(FILES, rows))
    with pytest.raises(ConfigError, match=said):
        load("mine", root=tmp_path, options=options)


def test_a_folder_of_the_published_sizes_needs_no_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = [{"text": "a", "text_pair": "b", "label": n} for n in (0.5, 3, 5)]
    lay(tmp_path, "stsb", train=rows, dev=rows[:2], test=rows)
    assert "cannot be compared" in load("stsb", root=tmp_path).test_note
    monkeypatch.setattr(find_module("tasks", "stsb"), "CARD", replace(card("stsb"), published=(3, 2, 3)))
    assert load("stsb", root=tmp_path).test_note == ""


def test_the_second_metric_is_an_option(tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "label": "yn"[i % 2]} for i in range(4)]
    lay(tmp_path, "mine", **dict.fromkeys(FILES, rows))
    plain = load("mine", root=tmp_path)
    both = load("mine", root=tmp_path, options={"metric": "f1", "second_metric": "accuracy"})
    assert (plain.shown_metrics, both.shown_metrics) == (("accuracy",), ("f1", "accuracy"))
    assert both.all_metrics == ("f1", "accuracy")
    classes = [{"text": "a", "text_pair": "b", "label": label} for label in card("mrpc").labels]
    lay(tmp_path, "mrpc", train=classes, dev=classes, test=classes)
    assert load("mrpc", root=tmp_path, options={"metric": "accuracy"}).shown_metrics == ("accuracy",)
    assert load("mrpc", root=tmp_path, options={"second_metric": "mcc"}).shown_metrics == ("f1", "mcc")
    with pytest.raises(ConfigError, match="metric must suit a classification task") as caught:
        load("mine", root=tmp_path, options={"second_metric": "pearson"})
    assert caught.value.problems[0].path == "task_options.mine.second_metric"


def test_scitail_meets_the_others_of_its_suite_in_the_adaptation_alone() -> None:
    study = Study.model_validate({"name": "x", "suite": "glue_scitail", "methods": ["single_task"]})
    assert (study.target_names, study.unseen) == (("scitail",), ("scitail",))
    assert study.tasks_with("scitail") == (*GLUE, "scitail")
    seen = Study.model_validate({"name": "x", "suite": "glue_scitail", "unseen": [], "methods": ["single_task"]})
    assert seen.unseen == ()
    glue = Study.model_validate({"name": "x", "suite": "glue", "methods": ["single_task"]})
    assert (glue.target_names, glue.unseen) == (("cola", "mrpc", "stsb", "rte"), ())
    assert all(set(glue.tasks_with(t)) == set(GLUE) for t in glue.target_names)


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


# ---------------------------------------------------------------------------------------------------------------------
# tagging


def test_no_sentence_of_the_tagging_suite_is_in_two_of_its_tasks(root: Path) -> None:
    names = ("ud_ewt_upos", "conll2000_chunk", "wnut17")
    if gone := [n for n in names if not (root / n).is_dir()]:
        pytest.skip(f"no folder {', '.join(gone)} in {root}")
    study = Study.model_validate({"name": "x", "suite": "tagging", "methods": ["single_task"]})
    read = {t: load(t, root=root, options=study.task_options.get(t)) for t in names}
    sentences = {
        t: {" ".join(e.tokens).casefold() for r in task.splits.values() for e in r} for t, task in read.items()
    }
    assert all(not sentences[a] & sentences[b] for a, b in combinations(names, 2))
    assert [len(read[t].splits["train"]) for t in names] == [7994, 8000, 3394]


def test_the_tagging_suite_has_the_papers_numbers_of_sentences() -> None:
    study = Study.model_validate({"name": "x", "suite": "tagging", "methods": ["single_task"]})
    asked = {t: [str(s) for s in study.settings_of(t)] for t in study.target_names}
    assert asked == {
        "ud_ewt_upos": ["k=100"],
        "conll2000_chunk": ["k=100"],
        "predicates": ["k=300"],
        "wnut17": ["k=500"],
    }
    assert [str(s) for s in study.settings_grid] == ["k=100", "k=300", "k=500"]
    one = Study.model_validate({"name": "x", "suite": "tagging", "methods": ["single_task"], "targets": "wnut17"})
    assert one.shots_of == {"wnut17": (500,)}
    own = Study.model_validate({"name": "x", "suite": "tagging", "methods": ["single_task"], "shots": 50})
    assert (own.shots_of, [str(s) for s in own.settings_grid]) == ({}, ["k=50"])


ONTONOTES = """#begin document (bc/x/00/x_0000); part 000
bc/x 0 0 We PRP (TOP(S(NP*) - - - s1 * (ARG0*) -
bc/x 0 1 sold VBD (VP* sell 01 1 s1 * (V*) -
bc/x 0 2 # NN (NP*) - - - s1 * (ARG1*) -
bc/x 0 3 lots NN * lot - 2 s1 * * -

bc/x 0 0 Buy VB (TOP*) buy 01 1 s1 * (V*) * (V*) -
#end document
"""
PROPBANK = """# global.columns = ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC UP:PRED UP:ARGHEADS
# sent_id = 1
1\tWe\twe\tPRON\tPRP\t_\t2\tnsubj\t_\t_\t_\t_
2-3\tdidn't\t_\t_\t_\t_\t_\t_\t_\t_\t_\t_
2\tsold\tsell\tVERB\tVBD\t_\t0\troot\t_\t_\tsell.01\tA0:1
3\t#\t#\tSYM\tNN\t_\t2\tobj\t_\t_\t_\t_
3.1\tsold\tsell\tVERB\t_\t_\t_\t_\t_\t_\tsell.01\t_
4\tlots\tlot\tNOUN\tNN\t_\t2\tobj\t_\t_\t_\t_

1\tBuy\tbuy\tVERB\tVB\t_\t0\troot\t_\t_\tbuy.01\t_
"""


@pytest.mark.parametrize(
    ("ending", "text"), [("gold_conll", ONTONOTES), ("v4_gold_conll", ONTONOTES), ("conllup", PROPBANK)]
)
def test_predicates_are_read_from_the_formats_of_their_corpora(ending: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "predicates").mkdir()
    for split in ("train", "dev", "test"):
        (tmp_path / "predicates" / f"{split}.{ending}").write_text(text, encoding="utf-8")
    task = load("predicates", root=tmp_path)
    for rows in task.splits.values():
        assert [(e.tokens, e.label) for e in rows] == [
            (("We", "sold", "#", "lots"), ("O", "predicate", "O", "O")),
            (("Buy",), ("predicate",)),
        ]
    assert (task.labels, task.metric) == (("O", "predicate"), "token_f1")
    by_tags = {"tokens": ["We", "sold"], "tags": ["O", "predicate"]}
    lay(tmp_path / "jsonl", "predicates", train=[by_tags], dev=[by_tags], test=[by_tags])
    assert load("predicates", root=tmp_path / "jsonl").splits["test"][0].label == ("O", "predicate")


@pytest.mark.parametrize(
    ("ending", "text", "says"),
    [
        ("gold_conll", "bc/x 0 0 We PRP\n", "must have the twelve or more columns of CoNLL-2012, but has 5"),
        ("conllup", "1\tWe\n", "must name its columns in a comment"),
        ("conllup", "# global.columns = ID FORM\n1\tWe\n", "one of predicates, whose name ends in PRED"),
        ("conllup", "# global.columns = ID FORM UP:PRED\n1\tWe\n", "must have 3 columns"),
        ("conllu", "1\tWe\twe\tPRON\tPRP\t_\t0\troot\t_\t_\n", "must name its columns in a comment"),
    ],
)
def test_files_without_predicates_are_refused(ending: str, text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "predicates").mkdir()
    for split in ("train", "dev", "test"):
        (tmp_path / "predicates" / f"{split}.{ending}").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=says):
        load("predicates", root=tmp_path)


def test_the_study_of_scitail_asks_for_shares_of_its_published_pairs() -> None:
    study = read_study(space_folder() / "studies" / "scitail_after_glue.yaml")
    train, *_ = card("scitail").published or (0,)
    assert study.shots == tuple(round(share * train) for share in (0.001, 0.01, 0.1, 1))
    assert (study.target_names, study.unseen, study.missing_data) == (("scitail",), ("scitail",), "leave_out")
