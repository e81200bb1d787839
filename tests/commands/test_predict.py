"""`predict` answers every row of a file once, in its order, as the record of the model does; or says why it cannot."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cells import DOMAINS, PLACES, VECTORS, places_of, spec_of
from typer.testing import CliRunner

from raystudy import __main__ as commands
from raystudy import train
from raystudy.errors import UserError
from raystudy.model.description import FILE
from raystudy.model.write import write_model
from raystudy.tasks import Example
from raystudy.train import Trained


def cell_of(variant: str = "single_task", suite: tuple[str, ...] = DOMAINS, **settings: Any) -> Trained:
    spec = spec_of(variant, precision="fp32", suite=suite, target=suite[0], **{"max_updates": 2, **settings})
    return train.trained(spec, places_of(spec))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Trained]]:
    """A kept model of one form, and what it was made of; made once."""
    made: dict[str, tuple[Path, Trained]] = {}
    suites = {
        "single": DOMAINS,
        "pair": ("planted/pair_target", "planted/pair_source"),
        "tagging": ("planted/tag_target", "planted/tag_source"),
        "vector": VECTORS,
    }

    def get(form: str) -> tuple[Path, Trained]:
        if form not in made:
            cell = cell_of(suite=suites.get(form, DOMAINS)) if form != "union" else cell_of("task_combination")
            folder = tmp_path_factory.mktemp(form) / "model"
            write_model(cell, folder, "card", {})
            made[form] = folder, cell
        return made[form]

    return get


@dataclass
class Told:
    """What a command printed, and its exit code."""

    exit_code: int
    stdout: str
    stderr: str


def run(*args: object) -> Told:
    out = CliRunner().invoke(commands.app, ["predict", *map(str, args)])
    if isinstance(out.exception, UserError):  # `main` tells it so
        return Told(out.exception.exit_code, out.stdout, "\n".join([out.stderr, *out.exception.lines]))
    return Told(out.exit_code, out.stdout, out.stderr)


def told(model: Path, file: Path, *more: object) -> list[dict[str, Any]]:
    out = run(model, file, "--format", "jsonl", *more)
    assert out.exit_code == 0, out.stderr
    return [json.loads(line) for line in out.stdout.splitlines()]


def examples_of(cell: Trained) -> tuple[Example, ...]:
    return cell.tasks[cell.spec.target].splits["test"]


def write_file(path: Path, examples: tuple[Example, ...], **names: str) -> Path:
    """The test examples as a file of that ending, with their labels, which nobody is to look at."""
    keys = {"text": "text", "pair": "text_pair", "tokens": "tokens", "vector": "vector"}
    columns = {
        names.get(key, key): [getattr(e, field) for e in examples]
        for field, key in keys.items()
        if getattr(examples[0], field)
    }
    columns[names.get("label", "label")] = [e.label for e in examples]
    frame = pd.DataFrame({k: [list(x) if isinstance(x, tuple) else x for x in v] for k, v in columns.items()})
    if path.suffix == ".csv":
        for column in frame:
            frame[column] = [" ".join(x) if isinstance(x, list) else x for x in frame[column]]
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in frame.to_dict("records")))
    return path


@pytest.mark.parametrize(
    ("form", "ending"),
    [
        ("single", "csv"),
        ("single", "jsonl"),
        ("single", "parquet"),
        ("pair", "csv"),
        ("tagging", "csv"),
        ("tagging", "jsonl"),
        ("vector", "jsonl"),
        ("union", "csv"),
    ],
)
def test_answers_to_the_test_file_are_those_of_the_record(
    kept: Callable[[str], tuple[Path, Trained]], form: str, ending: str, tmp_path: Path
) -> None:
    model, cell = kept(form)
    file = write_file(tmp_path / f"test.{ending}", examples_of(cell))
    record = train.judged(cell).predictions["test"]
    rows = told(model, file)
    assert [r["row"] for r in rows] == list(range(1, len(record) + 1))
    assert [tuple(r["answer"]) if isinstance(r["answer"], list) else r["answer"] for r in rows] == list(record.pred)
    if record.probabilities is not None:
        for row, p in zip(rows, record.probabilities.tolist(), strict=True):
            assert [*row["probabilities"].values()] == pytest.approx(p[: len(row["probabilities"])], abs=1e-6)
            assert sum(row["probabilities"].values()) + row.get("elsewhere", 0) == pytest.approx(1, abs=1e-5)


def test_a_table_and_lines_of_json_say_the_same(kept: Callable[[str], tuple[Path, Trained]], tmp_path: Path) -> None:
    for form in ("single", "pair", "tagging", "vector"):
        model, cell = kept(form)
        file = write_file(tmp_path / f"{form}.jsonl", examples_of(cell))
        out = tmp_path / f"{form}.csv"
        assert run(model, file, "--out", out).exit_code == 0
        table = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
        lines = told(model, file)
        assert [int(r["row"]) for r in table] == [r["row"] for r in lines]
        for row, line in zip(table, lines, strict=True):
            if form == "tagging":
                assert (row["tokens"].split(" "), row["answer"].split(" ")) == (line["tokens"], line["answer"])
                assert [float(p) for p in row["probabilities"].split(" ")] == pytest.approx(line["probabilities"])
                continue
            assert row["answer"] == line["answer"]
            assert row.get("text") == line.get("text") and row.get("text_pair") == line.get("text_pair")
            for label, p in line["probabilities"].items():
                assert float(row[f"probability of {label}"]) == pytest.approx(p, rel=1e-6)


def test_texts_alone_are_enough_in_every_spelling(kept: Callable[[str], tuple[Path, Trained]], tmp_path: Path) -> None:
    model, cell = kept("single")
    texts = [e.text for e in examples_of(cell)]
    files = {
        "a.txt": "\n".join(texts) + "\n\n",
        "b.csv": "text\n" + "\n".join(texts),
        "c.csv": "id,Review\n" + "\n".join(f"{i},{t}" for i, t in enumerate(texts)),  # another usual name
        "d.csv": "id,what\n" + "\n".join(f"{i},{t}" for i, t in enumerate(texts)),  # by its values, and said so
        "e.tsv": "text\tlabel\n" + "\n".join(f"{t}\tnonsense" for t in texts),
    }
    answers = []
    for name, content in files.items():
        (tmp_path / name).write_text(content)
        out = run(model, tmp_path / name, "--format", "jsonl")
        assert out.exit_code == 0, out.stderr
        assert ("GUESSED" in out.stderr) == (name == "d.csv")
        answers.append(out.stdout)
    assert len(set(answers)) == 1


def test_words_alone_are_enough(kept: Callable[[str], tuple[Path, Trained]], tmp_path: Path) -> None:
    model, cell = kept("tagging")
    sentences = [e.tokens for e in examples_of(cell)]
    (tmp_path / "words.conll").write_text("\n\n".join("\n".join(s) for s in sentences))
    (tmp_path / "tagged.conll").write_text("\n\n".join("\n".join(f"{w}\tO" for w in s) for s in sentences))
    assert told(model, tmp_path / "words.conll") == told(model, tmp_path / "tagged.conll")


def test_the_column_of_training_comes_before_a_usual_name(
    kept: Callable[[str], tuple[Path, Trained]], tmp_path: Path
) -> None:
    model, cell = kept("single")
    data = json.loads((model / FILE).read_text())
    other = tmp_path / "model"
    other.mkdir()
    for p in model.iterdir():
        (other / p.name).write_bytes(p.read_bytes())
    (other / FILE).write_text(json.dumps({**data, "columns": {"text": "said", "label": "label"}}))
    texts = [e.text for e in examples_of(cell)]
    (tmp_path / "x.csv").write_text("text,said\n" + "\n".join(f"w001,{t}" for t in texts))
    assert [r["text"] for r in told(other, tmp_path / "x.csv")] == texts
    assert {r["text"] for r in told(other, tmp_path / "x.csv", "--column", "text=text")} == {"w001"}


# ---------------------------------------------------------------------------------------------------------------------
# refused

WRONG: dict[str, tuple[str, list[str], int, str]] = {
    "no text column": (
        "id,n\n1,2\n3,4\n",
        [],
        2,
        "no column that is known as the text.*columns are 'id', 'n'.*--column",
    ),
    "a near name": ("revieww,n\nx y z,1\na b,2\n", ["--column", "text=review"], 2, "did you mean 'revieww'"),
    "no such role": ("text\nx\n", ["--column", "tokens=text"], 2, "must name text"),
    "no role": ("text\nx\n", ["--column", "text"], 2, "must look like text=NAME"),
    "an empty file": ("", [], 2, "is empty"),
    "names alone": ("text,label\n", [], 2, "is empty below its first line"),
    "an empty text": ('text,n\nx,1\n" ",2\n', [], 2, r"in.csv:3: text must not be empty"),
    "a short row": ("text,n\nx,1\ny\n", [], 2, "in.csv:3: must have 2 columns"),
    "not UTF-8": ("text\nna\udcefve\n", [], 2, "UTF-8"),
    "a format": ("text\nx\n", ["--format", "xml"], 2, "unknown format 'xml'"),
    "an ending": ("text\nx\n", ["--out", "out.xls"], 2, "must end in .csv or .jsonl"),
    "itself": ("text\nx\n", ["--out", "in.csv"], 2, "is the file that is read"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_file_that_cannot_be_answered_is_refused(
    kept: Callable[[str], tuple[Path, Trained]], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content, options, code, says = WRONG[what]
    Path("in.csv").write_bytes(content.encode("utf-8", "surrogateescape"))
    out = run(kept("single")[0], "in.csv", *options)
    assert out.exit_code == code
    assert re.search(says, out.stderr), out.stderr
    assert out.stdout == "" and [p.name for p in tmp_path.iterdir() if p.name != "cache"] == ["in.csv"]


def test_what_is_no_file_or_no_model_is_refused(
    kept: Callable[[str], tuple[Path, Trained]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reviews.csv").write_text("text\nx\n")
    Path("page.pdf").write_text("x")
    model = kept("single")[0]
    for args, says in [
        ((model, "review.csv"), "no such file — did you mean 'reviews.csv'"),
        ((model, "."), "is a folder, not a file"),
        ((model, "page.pdf"), "must end in one of"),
        (("nowhere", "reviews.csv"), "is not a folder"),
        ((".", "reviews.csv"), "is no folder of a model"),
    ]:
        out = run(*args)
        assert out.exit_code == 2 and says in out.stderr, out.stderr


def test_vectors_of_another_length_are_refused(kept: Callable[[str], tuple[Path, Trained]], tmp_path: Path) -> None:
    model, _ = kept("vector")
    (tmp_path / "v.jsonl").write_text('{"vector": [1.0, 2.0]}\n')
    out = run(model, tmp_path / "v.jsonl")
    assert out.exit_code == 2
    assert "must have 60 numbers as in training, but has 2" in out.stderr


def test_a_model_of_another_version_is_refused(tmp_path: Path) -> None:
    cell = train.trained(replace(spec_of("majority", precision="fp32")), PLACES)
    write_model(cell, tmp_path / "model", "card", {})
    data = json.loads((tmp_path / "model" / FILE).read_text())
    (tmp_path / "model" / FILE).write_text(json.dumps({**data, "schema_version": 99}))
    (tmp_path / "x.csv").write_text("text\nw001\n")
    out = run(tmp_path / "model", tmp_path / "x.csv")
    assert out.exit_code == 3
    assert "version 99" in out.stderr and "update raystudy" in out.stderr
