"""The card of a model, README.md of its folder: what it answers, how it was made and chosen, and how good it is.

Every number has its interval beside it: of the one model that is kept over test examples, and of the recipe over seeds,
where several were trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from raystudy.analysis.example_interval import example_interval
from raystudy.analysis.markdown import escape
from raystudy.analysis.stats import interval
from raystudy.catalogue import catalogue
from raystudy.model.description import Description
from raystudy.model.write import describe
from raystudy.predictions import Predictions
from raystudy.spec import Record
from raystudy.study.rerun import Again
from raystudy.tasks import SPLITS, Task
from raystudy.wording import counted, listed, spelt

__all__ = ["Choice", "Recipe", "card"]


@dataclass(frozen=True)
class Recipe:
    """A method with its settings as a search found it: its mean dev score over the search's seeds."""

    title: str
    dev: float
    tried: int


@dataclass(frozen=True)
class Choice:
    """What a recipe was chosen from: `recipes`, the best first, each judged on dev alone by `seeds` trainings."""

    recipes: Sequence[Recipe]
    seeds: int


def card(
    again: Again, record: Record, *, others: Sequence[Record], choice: Choice | None, facts: Mapping[str, str]
) -> str:
    """The text of the card.

    Args:
        again: the training whose weights are kept, and its outcome.
        record: of the same training, as it was recorded before.
        others: the records of the same recipe with other seeds.
        choice: what it was chosen from, where the method was chosen too.
        facts: the provenance of the study.
    """
    d = describe(again.cell, {})
    return "\n".join(
        [
            *_front(d, again),
            *_about(d, again),
            *_use(d),
            *_scores(d, again, record, others),
            *_chosen(again, choice, others),
            *_recipe(again),
            *_data(again),
            *_origin(again, facts),
        ]
    )


def _front(d: Description, again: Again) -> Iterator[str]:
    """What the Hugging Face hub reads of a card."""
    pipelines = {"classification": "text-classification", "regression": "text-classification"}
    pipeline = pipelines.get(d.kind, "token-classification")
    yield "---"
    yield f"library_name: {'transformers' if d.in_transformers else 'raystudy'}"
    if d.form != "vector":
        yield f"pipeline_tag: {pipeline}"
    yield "tags: [raystudy, transfer-learning, low-resource]"
    yield "---"
    yield ""


def _about(d: Description, again: Again) -> Iterator[str]:
    spec = again.cell.spec
    variant = catalogue().variant(spec.variant)
    inputs = {"single": "a text", "pair": "a pair of texts", "tagging": "a list of words", "vector": "a vector"}[d.form]
    what = {
        "classification": f"one of {counted(len(d.labels), 'class', 'classes')}",
        "regression": "a number, in the unit of the training labels",
        "tagging": f"one of {counted(len(d.labels), 'tag')} for each word",
    }[d.kind]
    yield f"# {escape(d.task)}: {escape(variant.title)}"
    yield ""
    yield f"Reads {inputs} and answers {what}. Texts are cut to {d.length} word pieces, special tokens included."
    if d.labels:
        yield ""
        yield f"Classes: {escape(', '.join(d.labels))}."
    if d.elsewhere:
        yield ""
        yield (
            f"Its head has {counted(d.elsewhere, 'class', 'classes')} of other tasks too. Where one of these is the "
            "best, the answer is empty, which counts as wrong."
        )
    yield ""


def _use(d: Description) -> Iterator[str]:
    example = {
        "single": '["a text"]',
        "pair": '[("a text", "another text")]',
        "tagging": '[["a", "sentence", "of", "words"]]',
        "vector": "[vector]",
    }[d.form]
    yield "## How to use it"
    yield ""
    if d.in_transformers:
        pipe = "token-classification" if d.kind == "tagging" else "text-classification"
        yield f"It opens in transformers, as `{d.opens_with}`, with the same logits:"
        yield ""
        yield "```python"
        yield "from transformers import pipeline"
        yield ""
        options = ', function_to_apply="none"' if d.kind == "regression" else ""
        yield f'answer = pipeline("{pipe}", "DIR"{options})'
        if d.kind == "tagging":
            yield 'answer("a sentence of words")'
        elif d.form == "pair":
            yield 'answer({"text": "a text", "text_pair": "another text"}, truncation=True)'
        else:
            yield 'answer("a text", truncation=True)'
        yield "```"
        yield ""
        yield "Or with raystudy, by which the scores below were measured:"
    else:
        yield f"No class of transformers computes its answers: {d.why}. raystudy opens it:"
    yield ""
    yield "```python"
    yield "import raystudy"
    yield ""
    yield 'model = raystudy.load_model("DIR")'
    yield f"model.predict({example})"
    yield "```"
    yield ""
    yield "`python -m raystudy predict DIR FILE` answers a file, every row once and in order."
    yield ""


def _scores(d: Description, again: Again, record: Record, others: Sequence[Record]) -> Iterator[str]:
    task, outcome = again.cell.tasks[again.cell.spec.target], again.outcome
    yield "## Scores"
    yield ""
    yield "| split | metric | score | 95 % interval over examples | examples |"
    yield "| --- | --- | ---: | ---: | ---: |"
    for split, answers in outcome.predictions.items():
        for name in task.all_metrics:
            value = outcome.record.metrics[split][name]
            low, high = _interval(task, name, answers)
            between = "" if math.isnan(low) else f"{_hundred(low)} to {_hundred(high)}"
            yield f"| {split} | {name} | {_hundred(value)} | {between} | {len(answers):,} |"
    yield ""
    yield (
        "Scores are times 100. The interval is that of this one model, as if other examples had been drawn. The dev "
        "score was looked at to choose it, so the test score is the one to believe."
    )
    scores = [r.metrics["test"][task.metric] for r in (record, *others) if r.status == "done" and "test" in r.metrics]
    if len(scores) > 1:
        over = interval(scores)
        yield ""
        yield (
            f"The same recipe with {len(scores)} seeds: test {task.metric} {_hundred(over.mean)} ± "
            f"{_hundred(over.half)} (mean, and half-width of the 95 % t-interval over seeds). The one with the best "
            "dev score is kept."
        )
    if again.outcome.record.metrics != record.metrics:
        yield ""
        yield (
            "Trained again for its weights, it did not come out to the last bit as it was recorded: test "
            f"{task.metric} was {_hundred(record.metrics['test'][task.metric])} then. The table is of the weights here."
        )
    if task.test_note:
        yield ""
        yield f"About the test: {escape(task.test_note)}."
    yield ""


def _interval(task: Task, metric: str, answers: Predictions) -> tuple[float, float]:
    return example_interval(metric, answers.gold, answers.pred, task.positive_class)


def _hundred(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def _chosen(again: Again, choice: Choice | None, others: Sequence[Record]) -> Iterator[str]:
    yield "## How it was chosen"
    yield ""
    if choice is None:
        among = f"Of {1 + len(others)} trainings of this recipe, which differ in their seed, it has the best dev score."
        yield among if others else "It is the one training of this recipe."
        yield ""
        return
    yield (
        f"These recipes were compared on dev alone, each configuration by {counted(choice.seeds, 'training')}. "
        "The best was trained again with a fresh seed, and only then was test read."
    )
    yield ""
    yield "| recipe | best mean dev score | configurations tried |"
    yield "| --- | ---: | ---: |"
    for recipe in choice.recipes:
        yield f"| {escape(recipe.title)} | {_hundred(recipe.dev)} | {recipe.tried} |"
    yield ""


def _recipe(again: Again) -> Iterator[str]:
    spec = again.cell.spec
    variant = catalogue().variant(spec.variant)
    paper = catalogue().defaults(spec.variant)
    sources = [t for t in spec.suite if t != spec.target]
    yield "## Recipe"
    yield ""
    yield f"{escape(variant.title)} (`{spec.variant}`): {escape(variant.about)}."
    yield ""
    helped = f"helped by {escape(listed(sources))}" if sources else "with no other task"
    yield f"Trained for {escape(spec.target)} with {_setting(again)} {helped}; seed {spec.seed}."
    yield ""
    yield "| setting | value | the paper's |"
    yield "| --- | --- | --- |"
    for name, value in spec.settings.items():
        same = value == paper.get(name)
        yield f"| {escape(name)} | {escape(spelt(value))} | {'the same' if same else escape(spelt(paper.get(name)))} |"
    yield ""
    passes = math.fsum(again.cell.passes.values())
    yield f"{counted(sum(again.cell.updates.values()), 'update')}, {passes:,.0f} passes over a batch."
    yield ""


def _setting(again: Again) -> str:
    n = len(again.cell.tasks[again.cell.spec.target].splits["train"])
    return f"{n:,} labelled examples ({again.cell.spec.setting})"


def _data(again: Again) -> Iterator[str]:
    spec = again.cell.spec
    yield "## Data"
    yield ""
    yield "| task | role | train / dev / test | licence | source | digest |"
    yield "| --- | --- | ---: | --- | --- | --- |"
    for name, task in again.cell.tasks.items():
        sizes = " / ".join(f"{len(task.splits[s]):,}" for s in SPLITS)
        role = "target" if name == spec.target else "source"
        licence = escape(task.licence) or "not stated"
        yield f"| {escape(name)} | {role} | {sizes} | {licence} | {escape(task.source)} | `{task.digest[:16]}` |"
    yield ""
    notes = [(n, note) for n, task in again.cell.tasks.items() for note in task.notes]
    for name, note in notes:
        yield f"- {escape(name)}: {escape(note)}"
    if notes:
        yield ""
    yield "A model that was trained on data is bound by what their licences say of such models."
    yield ""


def _origin(again: Again, facts: Mapping[str, str]) -> Iterator[str]:
    record, plm = again.outcome.record, again.cell.method.setup.plm
    told = {
        "base model": f"{plm.name}: {plm.about}",
        "digest of the base model": plm.digest,
        "cell": record.id,
        "digest of the code": record.made_by.get("code", ""),
        **{k: facts[k] for k in ("commit", "command", "numerics") if facts.get(k)},
        **{k: v for k, v in record.made_by.items() if k != "code"},
    }
    yield "## Where it comes from"
    yield ""
    yield "| | |"
    yield "| --- | --- |"
    for name, value in told.items():
        yield f"| {escape(name)} | {escape(value)} |"
    yield ""
