"""The cells that failed, with what stopped them."""

from __future__ import annotations

from collections.abc import Iterator

from raystudy.analysis.numbers import Numbers
from raystudy.analysis.section import Block, Errors, Section, Words
from raystudy.analysis.table import counted

__all__ = ["SECTION"]


def _words(n: Numbers) -> Iterator[str]:
    if not n.failures:
        yield "None."
    elif len(n.failures) == 1:
        yield "1 cell failed; it is in no mean."
    else:
        causes = len({f.cause for f in n.failures})
        yield f"{counted(len(n.failures), 'cell')} failed, for {counted(causes, 'reason')}; they are in no mean."


def _content(n: Numbers) -> Iterator[Block]:
    yield Words(n.words["failures"])
    yield Errors(n.failures)


SECTION: Section[None] = Section("failures", "Failures", _content, words={"failures": _words})
