"""Which recorded training is the best on dev, and its weights as the folder of a model.

Records hold scores and no weights. So a training that is to be kept is made once more, from its spec, in this process:
the same code, model, data and number of threads give the same bits (`study.rerun`), and transfer stages are answered by
the stage store. Its answers are compared with the record; where they differ, the card says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raystudy.catalogue import catalogue
from raystudy.errors import ConfigError, Problem, UserError
from raystudy.methods import hparams
from raystudy.model.description import FILE, Description, read_description
from raystudy.model.write import refuse_existing, write_model
from raystudy.plugins import find_module
from raystudy.spec import Arm, Places, Record
from raystudy.study.folder.records import dev_score
from raystudy.study.keep.card import Choice, card
from raystudy.study.rerun import cell_again
from raystudy.study.store.stage_store import StageStore
from raystudy.train import Outcome

__all__ = ["Kept", "best_records", "keep_model", "keep_winners", "kept_cell"]

# of what made a record, and of a study's provenance, what a model's folder says of itself
_MADE_BY = ("raystudy", "code", "torch", "transformers", "tokenizers", "numpy", "device", "threads", "commit")


@dataclass(frozen=True)
class Kept:
    """A model that was written: where, what it says of itself, and the outcome of its training."""

    folder: Path
    description: Description
    outcome: Outcome


def best_records(records: Iterable[Record]) -> dict[tuple[Arm, str], Record]:
    """(arm, target) -> its confirm training with the best dev score; of equal ones that of the lowest seed.

    Controls, which exist to be compared with, and floors that are told more than the drawn examples, keep no model.
    """
    best: dict[tuple[Arm, str], Record] = {}
    for record in sorted(records, key=lambda r: (r.spec.seed, r.id)):
        spec = record.spec
        if record.status != "done" or spec.phase != "confirm" or not _is_model(record):
            continue
        before = best.get((spec.arm, spec.target))
        if before is None or _dev(record) > _dev(before):
            best[spec.arm, spec.target] = record
    return best


def _dev(record: Record) -> float:
    score = dev_score(record)
    return -math.inf if score is None else score


def _is_model(record: Record) -> bool:
    if catalogue().variant(record.spec.variant).role not in ("method", "baseline", "floor"):
        return False
    module = find_module("methods", record.spec.method)
    return not module.Method.knows_prior(hparams(module.HParams, record.spec.settings))


def kept_cell(folder: Path) -> str:
    """The id of the training whose weights lie in a folder; empty where no model does.

    Raises:
        UserError: something else lies there, or the folder is not as it was written.
    """
    return read_description(folder)[1].cell if (folder / FILE).is_file() else ""


def keep_model(
    record: Record,
    places: Places,
    folder: Path,
    *,
    others: Sequence[Record] = (),
    choice: Choice | None = None,
    facts: Mapping[str, str] | None = None,
) -> Kept:
    """Train a recorded cell again and write its weights, with a card, to `folder`, which must not be there.

    Args:
        others: the records of the same recipe with other seeds; the card gives the mean of all.
        choice: what it was chosen from.
        facts: the provenance of the study.

    Raises:
        ConfigError: the folder is there. DataError: the method cannot be kept. PreflightError: it was trained on a GPU
            and there is none, or the folder cannot be written. And whatever the training raises.
    """
    refuse_existing(folder)
    again = cell_again(record, places, store=StageStore(Path(places.shared) / "stages") if places.shared else None)
    told = facts or {}
    made_by = {k: v for k, v in {**told, **again.outcome.record.made_by}.items() if k in _MADE_BY}
    text = card(again, record, others=others, choice=choice, facts=told)
    return Kept(folder, write_model(again.cell, folder, text, made_by), again.outcome)


def keep_winners(
    records: Iterable[Record],
    places: Places,
    folder: Path,
    facts: Mapping[str, str],
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Keep the best model of every arm and target as ``folder/<arm>/<target>``; one that is there stays.

    Args:
        records: of the study.
        facts: its provenance.
        say: is told of every model.

    Raises:
        UserError: everything that could not be kept, once all else was.
    """
    records = list(records)
    errors: list[UserError] = []
    for (arm, target), record in best_records(records).items():
        place = folder / arm.stem / target.replace("/", "_")
        same = [r for r in records if (r.spec.arm, r.spec.target, r.spec.phase) == (arm, target, "confirm")]
        try:
            if (there := kept_cell(place)) == record.id:
                say(f"{place}: is there already")
                continue
            if there:
                text = f"holds the model of cell {there}, and the best is {record.id} now: move it away"
                raise ConfigError(Problem(text, file=str(place)))
            others = [r for r in same if r.id != record.id]
            kept = keep_model(record, places, place, others=others, facts=facts)
        except UserError as e:
            errors.append(e)
            continue
        say(f"{place}: {record.spec}; opens with {kept.description.opens_with}")
    if errors:
        worst = max(errors, key=lambda e: e.exit_code)
        raise type(worst)(p for e in errors for p in e.problems)
