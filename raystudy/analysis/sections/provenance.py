"""What ran where, with which code, libraries and model, and the study itself."""

from __future__ import annotations

from collections.abc import Iterator

from raystudy.analysis.numbers import Numbers
from raystudy.analysis.section import Block, Facts, Quotation, Section, Words

__all__ = ["SECTION", "STUDY_FILE"]


def _content(n: Numbers) -> Iterator[Block]:
    yield Facts(n.facts)
    yield Words.of(n.notes if n.facts or n.notes else ["Not recorded."])


def _study_file(n: Numbers) -> Iterator[Block]:
    yield Quotation(n.study_text, "Everything that was asked, as a study file", "yaml")


SECTION: Section[None] = Section("provenance", "Provenance", _content)
STUDY_FILE: Section[None] = Section("study", "The study", _study_file, anchor="study-file", level=3)
