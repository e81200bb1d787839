"""What an exhibit's methods assume that their papers do not say, read from the docstrings of the methods."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from raystudy.analysis.table import Cell, Column, Note, Table, changes
from raystudy.catalogue import catalogue

__all__ = ["assumed_table", "assumptions"]

_METHODS = Path(__file__).parents[1] / "methods"
_HEADER = re.compile(r"Where (the paper is|the papers are) silent\b.*:$")
_ITEM = 4  # an assumption begins with so many spaces; what is indented further goes on with it


@lru_cache
def assumptions(method: str) -> Mapping[str, str]:
    """The passage that the paper of a method leaves open -> what was chosen, as the method's docstring lists them."""
    source = (_METHODS / f"{method}.py").read_text(encoding="utf-8")
    lines = (ast.get_docstring(ast.parse(source)) or "").splitlines()
    start = next((i for i, line in enumerate(lines) if _HEADER.match(line)), len(lines))
    chosen: dict[str, str] = {}
    passage = ""
    for line in lines[start + 1 :]:
        indent = len(line) - len(line.lstrip())
        if not line or indent < _ITEM:
            break
        if indent == _ITEM:
            passage, text = re.split(r" {2,}", line.strip(), maxsplit=1)
            chosen[passage] = text
        else:
            chosen[passage] += f" {line.strip()}"
    return chosen


def assumed_table(variants: Iterable[str]) -> Table | None:
    """A row for each passage that the papers of the variants' methods leave open; None where there is none."""
    modules = dict.fromkeys(catalogue().variant(v).method for v in variants)
    rows = [
        (method, passage, chosen.replace("`", ""))
        for method in modules
        for passage, chosen in assumptions(method).items()
    ]
    if not rows:
        return None
    columns = (Column("method", "method", "code"), Column("passage", "left open"), Column("chosen", "chosen here"))
    where = "From the docstrings of the methods. Names before a colon are settings: `raystudy methods NAME` shows them."
    return Table(
        "assumed",
        "Assumed, not in the paper: passages that a method's paper leaves open, and what was chosen here.",
        columns,
        tuple(tuple(map(Cell, row)) for row in rows),
        (Note(where),),
        changes([method for method, _, _ in rows]),
    )
