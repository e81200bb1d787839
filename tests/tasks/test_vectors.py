"""Tasks whose examples are vectors of numbers: how they are read, what is refused, and that texts are as they were."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raystudy.errors import ConfigError, DataError, PreflightError
from raystudy.run import RunOptions, open_study
from raystudy.study.plan import Plan
from raystudy.tasks import SPLITS, load
from raystudy.tasks.planted import TOPIC_WORDS, WORDS

ROWS = [{"vector": [float(i), i / 3, -1], "label": "ab"[i % 2]} for i in range(6)]


def lay(root: Path, name: str, suffix: str = ".jsonl", **splits: Sequence[Any] | str) -> Path:
    """A folder with a file per split; a split that is not given has `ROWS` shifted, so that no vector is repeated."""
    (folder := root / name).mkdir()
    for i, split in enumerate(SPLITS):
        rows = splits.get(split, [{**r, "vector": [x + 10 * i for x in r["vector"]]} for r in ROWS])
        path = folder / f"{split}{suffix}"
        if suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(list(rows)), path)
        else:
            path.write_text(rows if isinstance(rows, str) else "\n".join(map(json.dumps, rows)), encoding="utf-8")
    return root


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_lists_of_numbers_are_vectors(suffix: str, tmp_path: Path) -> None:
    task = load("mine", root=lay(tmp_path, "mine", suffix))
    assert (task.form, task.kind, task.labels) == ("vector", "classification", ("a", "b"))
    assert [e.vector for e in task.splits["train"]] == [tuple(map(float, r["vector"])) for r in ROWS]
    assert not [n for n in task.notes if "GUESSED" in n or "not read" in n]


def test_both_formats_hold_the_same_task(tmp_path: Path) -> None:
    lay(tmp_path, "one")
    lay(tmp_path, "two", ".parquet")
    one, two = load("one", root=tmp_path), load("two", root=tmp_path)
    assert one.splits == two.splits


def test_single_precision_and_numbers_as_labels(tmp_path: Path) -> None:
    (folder := tmp_path / "mine").mkdir()
    for i, split in enumerate(SPLITS):
        table = {"vector": pa.array([[0.1, i + k] for k in range(4)], pa.list_(pa.float32())), "label": [0.5, 1, 2, 3]}
        pq.write_table(pa.table(table), folder / f"{split}.parquet")
    task = load("mine", root=tmp_path)
    assert (task.form, task.kind) == ("vector", "regression")
    assert task.splits["train"][0].vector == (float(np.float32(0.1)), 0.0)


def test_another_column_and_domains(tmp_path: Path) -> None:
    rows = [{"features": r["vector"], "label": r["label"], "domain": "xy"[i // 3]} for i, r in enumerate(ROWS)]
    root = lay(tmp_path, "mine", train=rows, dev=rows, test=rows)
    task = load("mine/x", root=root, options={"columns": {"vector": "features"}})
    assert (task.form, len(task.splits["train"])) == ("vector", 3)
    assert any("3 of 3 test vectors also occur in train" in n for n in task.notes)


def test_a_text_beside_a_vector_is_the_example(tmp_path: Path) -> None:
    """What was a task of texts stays one: the column was not read, and is not now."""
    rows = [{**r, "text": f"text {i}"} for i, r in enumerate(ROWS)]
    task = load("mine", root=lay(tmp_path, "mine", train=rows, dev=rows, test=rows))
    assert task.form == "single"
    assert "columns not read: vector" in task.notes
    tagged = [{"vector": [1.0], "tokens": ["x", "y"], "tags": ["O", "B-a"]}] * 2
    assert load("two", root=lay(tmp_path, "two", train=tagged, dev=tagged, test=tagged)).form == "tagging"


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([], "vector must not be empty"),
        ([1.0, None, 2.0], "vector must be finite numbers, but item 2 is null"),
        ([1.0, True, 2.0], "vector must be finite numbers, but item 2 is"),
        ([1.0, "2", 2.0], "vector must be finite numbers, but item 2 is"),
        ([1.0, 1e39, 2.0], "vector must be finite numbers, but item 2 is"),
        ("1 2 3", "vector must be a list of numbers, but is"),
        ([[1.0], [2.0], [3.0]], "vector must be finite numbers, but item 1 is a list of 1"),
        ([1.0, 2.0], "must have 3 numbers as the first vector of train, but has 2"),
    ],
)
def test_what_is_no_vector_is_refused_with_its_line(vector: Any, message: str, tmp_path: Path) -> None:
    root = lay(tmp_path, "mine", dev=[*ROWS[:2], {"vector": vector, "label": "a"}])
    with pytest.raises(DataError) as e:
        load("mine", root=root)
    (problem,) = e.value.problems
    assert message in problem.message
    assert problem.line == 3 and problem.file.endswith("dev.jsonl")


def test_a_table_of_text_holds_no_vector(tmp_path: Path) -> None:
    root = lay(tmp_path, "mine", ".csv", **dict.fromkeys(SPLITS, "vector,label\n1 2,a\n3 4,b\n"))
    with pytest.raises(DataError, match="which a file of JSON Lines or Parquet can hold and no other"):
        load("mine", root=root, options={"columns": {"vector": "vector"}})


def test_dev_from_train_takes_vectors_whatever_their_order(tmp_path: Path) -> None:
    def dev(name: str, rows: Sequence[Any]) -> set[tuple[float, ...]]:
        root = lay(tmp_path / name, "mine", train=rows)
        (root / "mine" / "dev.jsonl").unlink()
        task = load("mine", root=root, options={"dev_from_train": 2})
        return {e.vector for e in task.splits["dev"]}

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert dev("a", ROWS) == dev("b", ROWS[::-1])


def test_planted_vectors_count_the_words_of_planted_texts() -> None:
    options = {"n_train": 30, "n_dev": 8, "n_test": 8, "length": 12}
    texts, vectors = (load(f"planted/{p}", options=options) for p in ("target", "vector_target"))
    assert vectors.form == "vector" and vectors.labels == texts.labels
    for e in vectors.splits["train"]:
        assert len(e.vector) == TOPIC_WORDS and sum(e.vector) == 6  # half of twelve words have a meaning
    # the same law: with relatedness 0 and 1 the source differs, the target does not
    targets = {load("planted/vector_target", options={**options, "relatedness": r}).digest for r in (0.0, 1.0)}
    assert len(targets) == 1
    counted = {tuple(float(e.text.split().count(w)) for w in WORDS[:TOPIC_WORDS]) for e in texts.splits["train"]}
    assert len(counted) == 30


# ---------------------------------------------------------------------------------------------------------------------
# a study


def planned(tmp_path: Path, text: str, methods: str = "single_task, frozen_logistic") -> Plan:
    (tmp_path / "study.yaml").write_text(f"name: x\nmethods: [{methods}]\n{text}", encoding="utf-8")
    study, places, _ = open_study(str(tmp_path / "study.yaml"), RunOptions(data_root=str(tmp_path)))
    plan = Plan(study, places)
    plan.sizes  # noqa: B018  all checks
    return plan


def test_a_study_over_vectors_is_planned(tmp_path: Path) -> None:
    plan = planned(tmp_path, "suite: planted_vectors\nplm: mlp:16\nlimits: {train: 20, dev: 8, test: 8}\n")
    assert plan.plm.about.startswith("a network over vectors, one hidden ReLU layer 16 wide")
    assert set(plan.vector_lengths.values()) == {TOPIC_WORDS}
    assert plan.cautions is not None
    (spec, *_) = plan.confirm({})
    assert (spec.plm, spec.plm_digest) == ("mlp:16", "mlp-16-1")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            "suite: planted\nplm: mlp:16\n",
            4,
            "mlp:16 reads vectors, but the examples of planted/target, planted/source",
        ),
        ("suite: planted_vectors\nplm: tiny\n", 4, "tiny reads texts, but the examples of planted/vector_target"),
        ("tasks: [planted/vector_target, planted/source]\nplm: mlp:8\n", 4, "the examples of planted/source are texts"),
        ("suite: planted_vectors\nplm: mlp:16\nlength: 64\n", 5, "must be left out, because mlp:16 reads vectors"),
    ],
)
def test_models_and_tasks_that_do_not_fit_are_refused(text: str, line: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as e:
        planned(tmp_path, text)
    (problem,) = e.value.problems
    assert message in problem.message and problem.line == line


def test_a_wrong_width_is_refused_and_vectors_of_two_lengths_are(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="must be mlp:WIDTH"):
        planned(tmp_path, "suite: planted_vectors\nplm: mlp:wide\n")
    short = [{**r, "vector": r["vector"][:2]} for r in ROWS]
    lay(tmp_path, "one")
    lay(tmp_path, "two", train=short, dev=short, test=short)
    with pytest.raises(DataError, match="different numbers of numbers: one 3, two 2"):
        planned(tmp_path, "tasks: [one, two]\nplm: mlp:8\n")


def test_meta_dtl_with_words_of_classes_is_refused_on_vectors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no words of a class stand behind a vector"):
        planned(tmp_path, "suite: planted_vectors\nplm: mlp:8\n", "single_task, meta_dtl")
