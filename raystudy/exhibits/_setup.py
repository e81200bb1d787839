"""Sentences on what differs from the paper's set-up, which every exhibit prints below its tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from raystudy.analysis.table import counted, listed
from raystudy.catalogue import catalogue
from raystudy.exhibits import ExhibitResults
from raystudy.exhibits._papers import Paper

__all__ = ["data_notes", "encoder_sentence", "setup_sentences"]


def setup_sentences(results: ExhibitResults) -> Iterable[str]:
    """A sentence or two on each of: the encoder, the data, the training, the search, the seeds, the readings."""
    study, paper, n = results.study, results.exhibit.paper, results.numbers
    if results.scale == "smoke":
        yield (
            "Scale smoke: generated tasks stand for the paper's, and the encoder was never pre-trained. It shows that "
            "all works; the numbers say nothing about the methods, so no published ones stand beside them."
        )
    yield encoder_sentence(study.plm, n.facts.get("model", "").partition(": ")[2], paper)
    yield _sizes(results)
    yield from data_notes({t.name: t.notes for t in n.tasks})
    if paper.length:  # else its examples are vectors
        cut = f"cut to {study.length} word pieces" if study.length else "cut to the task's own length"
        yield f"Texts are {cut}; in the paper: {paper.length}."
    yield (
        f"Training: {_values(study.settings)} for every method that has the setting, all else as `raystudy methods` "
        f"prints it. The paper: {paper.training}."
    )
    yield _search(results)
    yield f"{counted(n.design.seeds, 'seed')} here; the paper's numbers are means of {paper.runs}."
    if "meta_ft" in study.variants:
        yield f"Meta-FT* is our reading: {catalogue().variant('meta_ft').about}."
    yield from results.exhibit.notes


def encoder_sentence(plm: str, about: str, paper: Paper) -> str:
    """The sentence that names our encoder and the paper's."""
    what = f" ({about})" if about else ""
    return f"Encoder: {plm}{what}. The paper: {', '.join(filter(None, (paper.encoder, paper.casing)))}."


def _sizes(results: ExhibitResults) -> str:
    study = results.study
    limits_texts = []
    for whose, limits in (("task", study.limits), ("source task", study.source_limits)):
        caps = [f"{c} {split}" for split, c in limits.model_dump().items() if c is not None]
        limits_texts += [f"at most {listed(caps)} examples per {whose}"] if caps else []
    amounts = f"{'; '.join(limits_texts)}, one draw, stratified by class" if limits_texts else "all that is at hand"
    if results.scale == "smoke" or not (results.exhibit.paper.length and results.exhibit.paper.statistics):
        return f"Data: {amounts}."
    return f"Data: {amounts}; the paper's sizes beside those at hand: `{results.exhibit.paper.id}_table1`."


def data_notes(notes: Mapping[str, Iterable[str]]) -> Iterable[str]:
    """The notes on the data: each of them once, with the tasks that it holds for."""
    tasks_of_note: dict[str, list[str]] = {}
    for task, notes_of_task in notes.items():
        for note in notes_of_task:
            tasks_of_note.setdefault(note, []).append(task)
    for note, tasks in tasks_of_note.items():
        yield f"Data of {listed(tasks)}: {note.rstrip('.')}."


def _values(settings: Mapping[str, Any]) -> str:
    texts = (f"{k} = {v:g}" if isinstance(v, float) else f"{k} = {v}" for k, v in settings.items())
    return ", ".join(texts) or "nothing set"


def _search(results: ExhibitResults) -> str:
    plan = results.study.search
    if not plan.trials:
        return "No search: every method has its fixed settings, where the paper tunes some."
    return (
        f"Search: {counted(plan.trials, 'configuration')} of every method in every setting, the first the paper's, "
        "chosen on dev with seeds of their own."
    )
