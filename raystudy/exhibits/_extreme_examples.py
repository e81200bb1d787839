"""Examples with the highest and the lowest scores: which texts a method takes to carry over to other tasks.

The scores are the method's constants: they come from the untouched encoder and the training examples, so nothing is
trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from raystudy.analysis.exhibit_page import ExhibitPage
from raystudy.analysis.stats import interval
from raystudy.analysis.table import Cell, Column, Note, Table
from raystudy.catalogue import catalogue
from raystudy.exhibits import LENGTH, LIMITS, PLANTED, SETTINGS, Exhibit, Scale
from raystudy.exhibits._assumed import assumed_table
from raystudy.exhibits._setup import data_notes, encoder_sentence
from raystudy.spec import Places, Setting, Spec
from raystudy.tasks import Example, Task

if TYPE_CHECKING:
    from raystudy.methods import BaseMethod

__all__ = ["ScoreColumns", "extreme_examples_page", "extremes"]

EACH = 2  # texts at either end, per task and label
WIDTH = 160  # characters of a text

ScoreColumns = Mapping[str, Sequence[float]]
"""Symbol -> (n,) scores of a task's training examples, in their order; the first symbol is what texts are ranked by."""


def extreme_examples_page(
    exhibit: Exhibit,
    scale: Scale,
    places: Places,
    variant: str,
    scores: Callable[[BaseMethod[Any]], list[ScoreColumns]],
) -> ExhibitPage:
    """The examples of every task of the exhibit at both ends of `variant`'s scores.

    Args:
        scores: the scores of each task, from a method whose constants are in place.

    Raises:
        UserError: data or model are missing.
    """
    from raystudy.train import load_tasks, method_of
    from raystudy.workers import Alone  # torch is loaded here, not where exhibits are listed

    spec = _spec(exhibit, scale, places, variant)
    tasks = load_tasks(spec, places.data_root)
    method = method_of(spec, tasks, places, Alone())
    method.constants = method.compute_constants()
    scores_of_task = dict(zip(tasks, scores(method), strict=True))
    symbol, *parts = next(iter(scores_of_task.values()))
    title_of_task = {name: exhibit.paper.tasks.get(name, name) for name in tasks}
    texts = Table(
        exhibit.stem,
        f"{exhibit.title}: training examples with the highest and the lowest {symbol}(x), per data set and label.",
        (
            Column("score", "score"),
            Column("data set", "data set"),
            Column("label", "label"),
            *(Column(s, s, "number", 3, signed=False) for s in (symbol, *parts)),
            Column("text", "text"),
        ),
        tuple(
            (
                Cell(end),
                Cell(title_of_task[name]),
                Cell(label),
                *(Cell(scores_of_task[name][s][i]) for s in (symbol, *parts)),
                Cell(text),
            )
            for end in ("high", "low")
            for name, task in tasks.items()
            for label, i, text in extremes(task, scores_of_task[name][symbol], high=end == "high")
        ),
        (
            Note(f"Texts are cut to {WIDTH} characters here; the encoder has read more."),
            Note("The paper prints six texts without their scores, not repeated here."),
        ),
        breaks=(sum(len(_labels(t)) * EACH for t in tasks.values()),),
    )
    spread = Table(
        f"{exhibit.stem}_spread",
        "How far the scores of the training examples lie apart: what weighting by them could do at all.",
        (
            Column("data set", "data set"),
            Column("score", "score"),
            Column("n", "examples", "count"),
            *(Column(s, s, "number", 3) for s in ("mean", "sd", "min", "max")),
        ),
        tuple(
            (Cell(title_of_task[name]), Cell(s), Cell(len(x)), *(Cell(v) for v in _spread(x)))
            for name in tasks
            for s, x in scores_of_task[name].items()
        ),
    )
    plm = method.setup.plm
    amount = f"at most {LIMITS['train']}" if scale == "small" else "all"
    return ExhibitPage(
        title=f"{exhibit.title}, scale {scale}",
        about=f"{exhibit.about[:1].upper()}{exhibit.about[1:]}. {exhibit.paper.citation}.",
        setup=(
            encoder_sentence(plm.name, plm.about, exhibit.paper),
            f"Prototypes and scores are those of {amount} training examples of each data set.",
            *data_notes({title_of_task[name]: t.notes for name, t in tasks.items()}),
            *exhibit.notes,
        ),
        tables=(texts, spread),
        assumed=assumed_table([variant]),
        facts={
            "raystudy": version("raystudy"),
            "model": f"{plm.name} {plm.digest}",
            "data root": places.data_root or "none",
        },
    )


def _spec(exhibit: Exhibit, scale: Scale, places: Places, variant: str) -> Spec:
    """A training that would compute these scores; its digests are open, because nothing is compared with a plan."""
    names, rules = exhibit.tasks(scale), catalogue().parameters_of(variant)
    fixes = catalogue().variant(variant).fixes
    own: dict[str, Any] = {k: v for k, v in SETTINGS[scale].items() if k in rules and k not in fixes}
    return Spec(
        phase="confirm",
        variant=variant,
        method=catalogue().variant(variant).method,
        settings=catalogue().resolve(variant, own),
        suite=names,
        target=names[0],
        setting=Setting(),
        seed=0,
        plm=places.plm,
        plm_digest="",
        data={},
        limits=dict.fromkeys(names, LIMITS) if scale == "small" else {},
        task_options=PLANTED if scale == "smoke" else {},
        length=LENGTH if scale == "small" else None,
    )


def extremes(task: Task, scores: Sequence[float], *, high: bool) -> list[tuple[str, int, str]]:
    """(label, row, text) of the `EACH` training examples of each label at one end; equal scores in their order."""
    rows = task.splits["train"]
    out = []
    for label in _labels(task):
        own = sorted(
            (i for i, e in enumerate(rows) if e.label == label), key=lambda i: -scores[i] if high else scores[i]
        )
        out += [(label, i, _text(rows[i])) for i in own[:EACH]]
    return out


def _labels(task: Task) -> list[str]:
    """The labels that `EACH` training examples or more have."""
    return [c for c in task.labels if sum(e.label == c for e in task.splits["train"]) >= EACH]


def _text(e: Example) -> str:
    text = " ".join((e.text if e.pair is None else f"{e.text} ‖ {e.pair}").split())
    return text if len(text) <= WIDTH else text[: WIDTH - 1].rstrip() + "…"


def _spread(x: Sequence[float]) -> tuple[float, float, float, float]:
    summary = interval(x)
    return summary.mean, summary.sd, min(x), max(x)
