"""The verdict: which method beats the baseline where, what is undecided, what falls below a floor, what hurts."""

from __future__ import annotations

from collections.abc import Iterator

from raystudy.analysis.numbers import Numbers
from raystudy.analysis.section import Block, Section, Words
from raystudy.analysis.sentences import completeness, scope, verdict

__all__ = ["COMPLETENESS", "SECTION"]


def _content(n: Numbers) -> Iterator[Block]:
    yield Words(n.words["verdict"], "verdict")


def _completeness(n: Numbers) -> Iterator[Block]:
    yield Words(n.words["completeness"])


SECTION: Section[None] = Section(
    "verdict",
    "Verdict",
    _content,
    words={"verdict": verdict, "scope": lambda n: [scope(n.design)]},
    opening=True,
)
# report.html has it in its head
COMPLETENESS: Section[None] = Section(
    "completeness", "Completeness", _completeness, words={"completeness": lambda n: [completeness(n)]}, pages=("md",)
)
