"""The commands of ``python -m raystudy``, one file each. In each, one function finds out and another shows it.

Every command that shows something can print it as JSON (`--json`); those that read a study take its name, its file or
its results folder, or `--out`. What is heavy to load is loaded inside the command that needs it.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raystudy.wording import megabytes

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Json", "Out", "StudyOf", "console", "megabytes", "print_json", "summary", "tell"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Out = Annotated[Path | None, typer.Option(help="Results folder (default: results/<study>).")]
StudyOf = Annotated[str, typer.Argument(help="A study's name, file, or results folder.")]


def print_json(data: Any) -> None:
    """Print data as JSON, for a program to read in place of the words."""
    typer.echo(json.dumps(data, indent=1, ensure_ascii=False))


def console(*, err: bool = False) -> Console:
    """The console to print on, as wide as the terminal; where the output is a file or a pipe, no line is folded."""
    from raystudy.terminal import console as made

    return made(err=err)


def tell(text: str, hang: int = 4) -> None:
    """Print running text: folded at word ends on a terminal, as one line elsewhere (terminal.py)."""
    from raystudy.terminal import say

    say(console(), text, hang=hang)


def summary(command: Callable[..., Any]) -> str:
    """The words of a command in the list of commands: the whole first paragraph of its docstring."""
    first = inspect.cleandoc(command.__doc__ or "").split("\n\n")[0]
    return " ".join(first.split())
