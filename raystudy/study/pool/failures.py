"""What becomes of a cell whose training raised an error: a record that says so, while the study goes on."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from raystudy.errors import UserError
from raystudy.spec import Record, Spec
from raystudy.train import Outcome, code_digest

__all__ = ["failure", "short_traceback", "train_or_fail"]


def short_traceback(error: BaseException, lines: int = 15) -> str:
    """A user's mistake in words; any other error as the last `lines` lines of its traceback."""
    if isinstance(error, UserError):
        return str(error)
    return "\n".join("".join(traceback.format_exception(error)).rstrip().splitlines()[-lines:])


def failure(spec: Spec, error: str) -> Outcome:
    """The outcome of a cell that failed: a record with the text of its error."""
    return Outcome(Record(spec, "failed", error=error, made_by={"code": code_digest(spec.method, spec.datasets)}))


def train_or_fail(spec: Spec, train: Callable[[Spec], Outcome]) -> Outcome:
    """`train(spec)`, or the failed record of what it raised. The study goes on either way."""
    try:
        return train(spec)
    except Exception as e:
        return failure(spec, short_traceback(e))
