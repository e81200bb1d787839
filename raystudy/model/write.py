"""Writes a trained method as the folder of a model, whole or not at all.

    config.json, model.safetensors, tokenizer files     where transformers can answer alike (`Description.opens_with`)
    encoder/                                            else: the body alone, as a folder that ``AutoModel`` opens
    head.safetensors, adapters.safetensors              what `load.load_model` puts on the body
    raystudy.json, README.md                            what it is, for the program and for people

Where transformers cannot answer alike, no ``config.json`` lies at the top, so that no class of it opens the folder with
a head of random numbers and says no more than a warning.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from raystudy.data.plm import FAMILIES
from raystudy.data.standardise import LabelUnit
from raystudy.data.text import Encoded, encode, tokenizer
from raystudy.errors import ConfigError, DataError, PreflightError, Problem
from raystudy.evaluate import predict, unread_tag
from raystudy.methods import Readout
from raystudy.model.description import FILE, OWN, SCHEMA, AdapterSizes, Description, file_digest
from raystudy.model.library_classes import LIBRARY_CLASSES, LibraryClass
from raystudy.model.load import load_model
from raystudy.nn.adapters import Adapters
from raystudy.nn.encoder import Body
from raystudy.nn.mlp import MLP
from raystudy.paths import is_absent
from raystudy.train import Trained
from raystudy.workers import Alone

__all__ = ["describe", "refuse_existing", "write_model"]

_PROBES = 64  # dev examples whose answers by the folder are compared with those of the method


@dataclass(frozen=True)
class _Head:
    """The head that answers: weight (C, H) and bias (C,), the columns of the task's own classes first."""

    weight: Tensor
    bias: Tensor
    own: int

    @classmethod
    def of(cls, cell: Trained, readout: Readout) -> _Head:
        head = cell.method.encoder.head(readout.head)
        rows = list(range(head.out_features))
        own = len(rows)
        if readout.columns is not None:
            others = [r for r in rows if r not in readout.columns] if readout.open else []
            rows, own = [*readout.columns, *others], len(readout.columns)
        return cls(head.weight.detach().cpu()[rows].contiguous(), head.bias.detach().cpu()[rows].contiguous(), own)


def refuse_existing(folder: Path, where: str = "") -> None:
    """Check that a model can be written at `folder`: nothing lies there.

    Raises:
        ConfigError: something does.
    """
    if not is_absent(folder):
        raise ConfigError(Problem("is there already, and a model's folder is never written over", where, str(folder)))


def describe(cell: Trained, made_by: Mapping[str, str]) -> Description:
    """What ``raystudy.json`` will say of a trained method, but for its files.

    Raises:
        DataError: something acts inside the model that no folder can hold.
    """
    spec, method = cell.spec, cell.method
    task, body = cell.tasks[spec.target], method.encoder.body
    index = method.setup.tasks.index(spec.target)
    head = _Head.of(cell, method.readout(index))
    train = method.setup.corpus.parts[index]
    adapters = _adapters(cell)
    why = _why_not_in_transformers(cell, train, head)
    tagging = task.kind == "tagging"
    name = "AutoModelForTokenClassification" if tagging else "AutoModelForSequenceClassification"
    return Description(
        schema_version=SCHEMA,
        opens_with=OWN if why else name,
        why=why,
        task=task.name,
        form=task.form,
        kind=task.kind,
        labels=task.labels,
        elsewhere=len(head.bias) - head.own,
        feature=method.encoder.reads,  # type: ignore[arg-type]  # checked as it is read
        length=train.length,
        precision=spec.numerics.precision,
        exact=body.exact,
        unread_tag=unread_tag(method, task) if tagging else "",
        mean=train.unit.mean,
        sd=train.unit.sd,
        columns=dict(task.columns),
        inputs=train.inputs or 0,
        width=body.hidden if isinstance(body, MLP) else 0,
        adapters=adapters,
        cell=spec.id,
        made_by=dict(made_by),
    )


def _adapters(cell: Trained) -> AdapterSizes | None:
    """The sizes of the adapters inside the body, if there are any.

    Raises:
        DataError: something else acts there.
    """
    inside = cell.method.encoder.body.inside
    if inside is None:
        return None
    if not isinstance(inside, Adapters) or inside.active != "fused":
        what = type(inside).__name__
        raise DataError(
            Problem(f"cannot be kept: {what} acts inside its model, which no folder holds", cell.spec.variant)
        )
    first = inside.adapters[0][0]  # type: ignore[index]
    return AdapterSizes(count=len(inside.adapters), width=first.down.out_features)


def _why_not_in_transformers(cell: Trained, train: Encoded, head: _Head) -> str:
    """Why no class of transformers gives this method's answers; empty where one does."""
    encoder, body = cell.method.encoder, cell.method.encoder.body
    if isinstance(body, MLP):
        return "it is a network over vectors"
    if body.inside is not None:
        return "adapters and their fusion act inside its layers"
    if train.kind == "tagging" and not LIBRARY_CLASSES[body.plm.family].tags:
        return f"the class of {FAMILIES[body.plm.family].title} for tags has a layer more below its head"
    if len(head.bias) > head.own:
        return "its head has the classes of other tasks too, and may answer with one of them"
    if train.kind != "tagging" and encoder.reads != "pooler":
        reads = {"mean": "the mean of all tokens", "cls": "the raw state of [CLS]"}[encoder.reads]
        return f"its head reads {reads} (feature: {encoder.reads}), and a class of transformers the pooler"
    if train.kind == "regression" and abs(train.unit.mean) * np.finfo(np.float32).eps > 1e-3 * train.unit.sd:
        return "its numbers are so far from zero, for their spread, that a head of single precision would round them"
    return ""


def write_model(cell: Trained, folder: Path, card: str, made_by: Mapping[str, str]) -> Description:
    """Write a trained method to `folder`, which must not be there yet; it appears by one rename.

    What was written is opened and asked before: it must answer as the method does.

    Args:
        card: the text of README.md.
        made_by: versions and digests of what trained it.

    Raises:
        ConfigError: the folder is there. DataError: the method cannot be kept. PreflightError: it cannot be written.
    """
    refuse_existing(folder)
    description = describe(cell, made_by)
    new = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        _write_weights(cell, description, new)
        files = {p.relative_to(new).as_posix(): file_digest(p) for p in sorted(new.rglob("*")) if p.is_file()}
        description = description.model_copy(update={"files": files})
        (new / "README.md").write_text(card, encoding="utf-8")
        (new / FILE).write_text(json.dumps(description.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")
        _check(cell, new)
        for path in new.rglob("*"):
            if path.is_file():
                with path.open("rb") as f:
                    os.fsync(f.fileno())
        os.rename(new, folder)
    except (OSError, SafetensorError) as e:
        why = getattr(e, "strerror", None) or str(e)
        raise PreflightError(Problem(f"cannot be written: {why}", file=str(folder))) from None
    finally:
        with suppress(OSError):
            shutil.rmtree(new, ignore_errors=True)
    return description


def _write_weights(cell: Trained, description: Description, folder: Path) -> None:
    """Write everything but ``raystudy.json`` and the card."""
    method = cell.method
    body = method.encoder.body
    index = method.setup.tasks.index(cell.spec.target)
    head = _Head.of(cell, method.readout(index))
    save_file({"weight": head.weight, "bias": head.bias}, folder / "head.safetensors")
    if isinstance(body, MLP):
        save_file(_state(body.layer), folder / "body.safetensors")
        return
    if isinstance(body.inside, Adapters):
        save_file(_state(body.inside), folder / "adapters.safetensors")
    state, config = _state(body.model), _config(body)
    place = folder
    if description.in_transformers:
        library = LIBRARY_CLASSES[body.plm.family]
        config |= _answers_in_config(description, library)
        folded = head
        if description.kind == "regression":
            folded = _folded(head, LabelUnit(description.mean, description.sd))
        tagging = description.kind == "tagging"
        state = library.state(state, body.model.base_model_prefix, folded.weight, folded.bias, tagging)
    else:
        place = folder / "encoder"
        place.mkdir()
        config |= {"architectures": [type(body.model).__name__]}
    (place / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    save_file(state, place / "model.safetensors", {"format": "pt"})
    tok = copy.deepcopy(tokenizer(method.setup.plm))
    tok.backend_tokenizer.no_truncation()
    tok.backend_tokenizer.no_padding()
    tok.model_max_length = description.length  # so that `truncation=True` cuts where training did
    tok.save_pretrained(place)


def _state(module: torch.nn.Module) -> dict[str, Tensor]:
    return {k: t.detach().cpu().contiguous().clone() for k, t in module.state_dict().items()}


def _config(body: Body) -> dict[str, Any]:
    """The body's configuration, without what says where it lay and how it was run here."""
    config = json.loads(body.model.config.to_json_string(use_diff=False))
    dtype = str(body.anchor.dtype).removeprefix("torch.")
    return {k: v for k, v in config.items() if k != "_name_or_path" and "attn_implementation" not in k} | {
        "dtype": dtype
    }


def _answers_in_config(description: Description, library: LibraryClass) -> dict[str, Any]:
    """What ``config.json`` says of the head."""
    names = dict(enumerate(description.labels)) if description.labels else {0: "LABEL_0"}
    problem = {"classification": "single_label_classification", "regression": "regression", "tagging": None}
    return {
        **library.config,
        "architectures": [library.name + description.opens_with.removeprefix("AutoModel")],
        "id2label": {str(i): name for i, name in names.items()},
        "label2id": {name: i for i, name in names.items()},
        "problem_type": problem[description.kind],
    }


def _folded(head: _Head, unit: LabelUnit) -> _Head:
    """The head that answers in the labels' own unit."""
    weight, bias = unit.sd * head.weight.double(), unit.mean + unit.sd * head.bias.double()
    return replace(head, weight=weight.to(head.weight), bias=bias.to(head.bias))


def _check(cell: Trained, folder: Path) -> None:
    """Ask the folder for answers to some dev examples.

    Raises:
        RuntimeError: they are not those of the method: the folder would be another model.
    """
    task = cell.tasks[cell.spec.target]
    examples = task.splits["dev"][:_PROBES]
    few = task.with_splits(dev=examples)
    ours = encode(few, "dev", cell.method.setup.plm, cell.spec.length)
    readout = cell.method.readout(cell.method.setup.tasks.index(task.name))
    asked = predict(cell.method, few, "dev", ours, readout, Alone())
    model = load_model(folder)
    if not np.array_equal(model.encoded(examples).ids, ours.ids):
        raise RuntimeError(
            "the tokenizer that was written cuts texts in another way than the one that was trained with"
        )
    answers = model.answers(examples)
    tolerance = 0.05 if _is_coarse(cell) else 1e-4
    if task.kind == "regression":
        sd = model.description.sd
        same = np.allclose([float(a.answer) for a in answers], np.asarray(asked.pred, float), atol=tolerance * sd)  # type: ignore[arg-type]
    elif asked.probabilities is not None:
        numbers = [[*a.probabilities.values()] + [a.elsewhere] * (model.description.elsewhere > 0) for a in answers]
        same = np.allclose(numbers, asked.probabilities, atol=tolerance)
    else:
        pairs = [(x, y) for a, p in zip(answers, asked.pred, strict=True) for x, y in zip(a.answer, p, strict=True)]  # type: ignore[arg-type]
        same = sum(x != y for x, y in pairs) <= tolerance * len(pairs)
    if not same:
        raise RuntimeError("the folder that was written does not answer as the trained method does")


def _is_coarse(cell: Trained) -> bool:
    """Whether answers were computed in bfloat16, or elsewhere than on this processor."""
    return cell.spec.numerics.precision == "bf16" or cell.spec.numerics.device != "cpu"
