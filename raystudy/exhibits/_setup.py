"""What differs from the paper's set-up, in sentences: the small print of every exhibit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from raystudy.analysis.table import counted, listed
from raystudy.catalogue import catalogue
from raystudy.exhibits import Given
from raystudy.exhibits._papers import Paper

__all__ = ["encoder", "grouped", "setup"]


def setup(given: Given) -> Iterable[str]:
    """One sentence or two for each thing: encoder, data, training, search, seeds, readings."""
    study, paper, n = given.study, given.exhibit.paper, given.n
    if given.scale == "smoke":
        yield (
            "Scale smoke: generated tasks stand for the paper's, and the encoder was never pre-trained. It shows that "
            "all works; the numbers say nothing about the methods, so no published ones stand beside them."
        )
    yield encoder(study.plm, n.facts.get("model", "").partition(": ")[2], paper)
    yield _sizes(given)
    yield from grouped({t.name: t.notes for t in n.tasks})
    cut = f"cut to {study.length} word pieces" if study.length else "cut to the task's own length"
    yield f"Texts are {cut}; in the paper: {paper.length}."
    yield (
        f"Training: {_settings(study.settings)} for every method that has the setting, all else as `raystudy methods` "
        f"prints it. The paper: {paper.training}."
    )
    yield _search(given)
    yield f"{counted(n.design.seeds, 'seed')} here; the paper's numbers are means of {paper.runs}."
    if "meta_ft" in study.chosen:
        yield f"Meta-FT* is our reading: {catalogue().variant('meta_ft').about}."
    yield from given.exhibit.notes


def encoder(plm: str, about: str, paper: Paper) -> str:
    """Which encoder, and which the paper had."""
    what = f" ({about})" if about else ""
    return f"Encoder: {plm}{what}. The paper: {', '.join(filter(None, (paper.encoder, paper.casing)))}."


def _sizes(given: Given) -> str:
    study = given.study
    cut = []
    for whose, limits in (("task", study.limits), ("source task", study.source_limits)):
        caps = [f"{c} {split}" for split, c in limits.model_dump().items() if c is not None]
        cut += [f"at most {listed(caps)} examples per {whose}"] if caps else []
    most = f"{'; '.join(cut)}, one draw, stratified by class" if cut else "all that is at hand"
    if given.scale == "smoke":
        return f"Data: {most}."
    return f"Data: {most}; the paper's sizes beside those at hand: `{given.exhibit.paper.id}_table1`."


def grouped(notes: Mapping[str, Iterable[str]]) -> Iterable[str]:
    """What is to know of the data, each note once with the tasks that it holds for."""
    found: dict[str, list[str]] = {}
    for task, said in notes.items():
        for note in said:
            found.setdefault(note, []).append(task)
    for note, tasks in found.items():
        yield f"Data of {listed(tasks)}: {note.rstrip('.')}."


def _settings(settings: Mapping[str, Any]) -> str:
    said = (f"{k} = {v:g}" if isinstance(v, float) else f"{k} = {v}" for k, v in settings.items())
    return ", ".join(said) or "nothing set"


def _search(given: Given) -> str:
    plan = given.study.search
    if not plan.trials:
        return "No search: every method has its fixed settings, where the paper tunes some."
    return (
        f"Search: {counted(plan.trials, 'configuration')} of every method in every setting, the first the paper's, "
        "chosen on dev with seeds of their own."
    )
