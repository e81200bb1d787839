"""``raystudy predict DIR FILE``: the answers of a kept model to the texts of a file, one for each row, in its order."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raystudy.errors import ConfigError, Problem, quoted, unknown_name
from raystudy.paths import expanded_path

if TYPE_CHECKING:
    from raystudy.model.description import Description
    from raystudy.model.load import Answer
    from raystudy.tasks import Example

__all__ = ["predict"]

FORMATS = ("csv", "jsonl")


def predict(
    model: Annotated[str, typer.Argument(metavar="DIR", help="A model's folder, or the folder of a fit.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="Texts: .csv .tsv .jsonl .parquet .txt or CoNLL.")],
    out: Annotated[Path | None, typer.Option(help="Write to this file (default: print).")] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="csv or jsonl (default: by the ending of --out, else csv).")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="Which column is what: text=NAME, text_pair=NAME, tokens=NAME.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Answer the texts of a file with a kept model: every row once, in order, with probabilities."""
    kind = _format(format_, out)
    given = dict(_column(text) for text in column or ())
    target = expanded_path(out, "--out") if out is not None else None
    if target is not None and os.path.realpath(target) == os.path.realpath(expanded_path(file, "FILE")):
        raise ConfigError(Problem("is the file that is read, which is never written over", "--out", str(target)))
    from raystudy.model.description import read_description
    from raystudy.tasks._inputs import read_inputs

    _, d = read_description(model, "DIR")
    if strange := [role for role in given if role not in _ROLES[d.form]]:
        known = ", ".join(_ROLES[d.form])
        raise ConfigError(Problem(f"must name {known}, for this model reads such, but names {strange[0]}", "--column"))
    inputs = read_inputs(file, d.form, usual=d.columns, given=given, numbers=d.inputs)
    for note in inputs.notes:
        typer.echo(f"note: {note}", err=True)
    from raystudy.model.load import load_model

    answers = load_model(model, device=device).answers(inputs.examples)
    rows = [row_of(d, n, e, a) for n, (e, a) in enumerate(zip(inputs.examples, answers, strict=True), 1)]
    text = "".join(as_json(rows) if kind == "jsonl" else as_csv(d, rows))
    if target is None:
        typer.echo(text, nl=False)
    else:
        from raystudy.files import atomic_write

        atomic_write(target, text)


_ROLES = {"single": ("text",), "pair": ("text", "text_pair"), "tagging": ("tokens",), "vector": ("vector",)}


def _format(asked: str | None, out: Path | None) -> str:
    """The format that is written.

    Raises:
        ConfigError: there is no such format, or nothing says which.
    """
    if asked is not None:
        if asked not in FORMATS:
            raise ConfigError(Problem(unknown_name("format", asked, FORMATS), "--format"))
        return asked
    if out is None:
        return "csv"
    if (ending := out.suffix.removeprefix(".")) not in FORMATS:
        rule = "must end in .csv or .jsonl, or --format must say which of the two is written"
        raise ConfigError(Problem(f"{rule}, but is {quoted(str(out))}", "--out"))
    return ending


def _column(text: str) -> tuple[str, str]:
    role, equals, name = text.partition("=")
    if not equals or not role.strip() or not name.strip():
        raise ConfigError(Problem(f"must look like text=NAME, but is {quoted(text)}", "--column"))
    return role.strip(), name.strip()


def row_of(d: Description, number: int, example: Example, answer: Answer) -> dict[str, Any]:
    """What is written of one row: its number, what was read of it, the answer, and how probable it is."""
    row: dict[str, Any] = {"row": number}
    if isinstance(answer.answer, tuple):
        words = {"tokens": list(example.tokens), "answer": list(answer.answer)}
        return {**row, **words, "probabilities": list(answer.of_words)}
    if d.form != "vector":
        row |= {"text": example.text, **({"text_pair": example.pair} if d.form == "pair" else {})}
    row["answer"] = answer.answer
    if d.kind == "classification":
        row["probabilities"] = dict(answer.probabilities)
    if d.elsewhere:
        row["elsewhere"] = answer.elsewhere
    return row


def as_json(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One JSON object a line."""
    return (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def as_csv(d: Description, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A table with a column for the probability of each class; words, tags and their probabilities between blanks."""
    names = ["row", *(() if d.form == "vector" else _ROLES[d.form]), "answer"]
    classes = d.labels if d.kind == "classification" else ()
    titles = [*names, *(f"probability of {c}" for c in classes)]
    titles += ["probability of other tasks' classes"] if d.elsewhere else []
    titles += ["probabilities"] if d.form == "tagging" else []
    yield _line(titles)
    for row in rows:
        cells = [row[name] for name in names]
        cells += [row["probabilities"][c] for c in classes]
        cells += [row["elsewhere"]] if d.elsewhere else []
        cells += [["" if p is None else p for p in row["probabilities"]]] if d.form == "tagging" else []
        yield _line([" ".join(_spelt(x) or "-" for x in c) if isinstance(c, list) else _spelt(c) for c in cells])


def _spelt(value: object) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _line(cells: Sequence[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()
