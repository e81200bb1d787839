"""``raystudy.json``: what a kept model answers, how its texts are read, and which files belong to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from raystudy.errors import ConfigError, PreflightError, Problem
from raystudy.paths import expanded_path, is_file, is_folder, why_no_folder
from raystudy.tasks import Form, TaskKind
from raystudy.yamlfile import Strict

__all__ = ["FILE", "SCHEMA", "AdapterSizes", "Description", "file_digest", "read_description"]

FILE = "raystudy.json"
SCHEMA = 1
OWN = "raystudy.load_model"


class AdapterSizes(Strict):
    """How many adapters every layer has (AdapterFusion), and the width of their bottleneck."""

    count: int
    width: int


class Description(Strict):
    """What stands in ``raystudy.json`` of a model's folder.

    Attributes:
        schema_version: of this file and of the folder.
        opens_with: the class of transformers that computes the same answers, or ``raystudy.load_model``.
        why: why no class of transformers does; empty where one does.
        task: the target that it was trained for; `form` and `kind` say what its examples and answers are.
        labels: in the order of the head's columns; none for numbers.
        elsewhere: how many columns of the head, behind those of the labels, stand for classes of other tasks.
        feature: what the head reads of the last layer: the ``pooler``, the ``cls`` state, or the ``mean``.
        length: where texts are cut, in word pieces, special tokens included.
        exact: whether attention is computed by plain matrix products, as it was in training.
        unread_tag: the answer to words that no model reads.
        mean, sd: the unit of numbers: an answer is mean + sd times what the head says.
        columns: role -> the column of the training files that it was read from.
        inputs, width: of a network over vectors: the numbers of a vector, and its hidden layer.
        cell: the id of the record of the same training.
        made_by: versions and digests of what trained it.
        files: name -> digest of every other file of the folder that it is loaded from.
    """

    schema_version: int
    opens_with: str
    why: str = ""
    task: str
    form: Form
    kind: TaskKind
    labels: tuple[str, ...] = ()
    elsewhere: int = Field(default=0, ge=0)
    feature: Literal["pooler", "cls", "mean"] = "pooler"
    length: int = Field(gt=0)
    precision: Literal["fp32", "bf16", "fp64"] = "fp32"
    exact: bool = False
    unread_tag: str = ""
    mean: float = 0.0
    sd: float = 1.0
    columns: Mapping[str, str] = Field(default_factory=dict)
    inputs: int = 0
    width: int = 0
    adapters: AdapterSizes | None = None
    cell: str = ""
    made_by: Mapping[str, str] = Field(default_factory=dict)
    files: Mapping[str, str] = Field(default_factory=dict)

    @property
    def in_transformers(self) -> bool:
        """Whether a class of transformers opens the folder and gives the same answers."""
        return self.opens_with != OWN


def file_digest(path: Path) -> str:
    """A hexadecimal digest of a file's bytes."""
    h = hashlib.blake2b(digest_size=16)
    with path.open("rb") as f:
        while block := f.read(1 << 22):
            h.update(block)
    return h.hexdigest()


def read_description(folder: str | Path, where: str = "") -> tuple[Path, Description]:
    """(the model's folder, what it says of itself); `folder` is that folder, or one whose part ``model`` it is.

    Args:
        where: what a problem is about, as a `Problem` names it.

    Raises:
        ConfigError: it is no folder of a model. PreflightError: it was written by another version, or its files are not
            those that were written.
    """
    path = expanded_path(folder, where)
    if why := why_no_folder(path):
        raise ConfigError(Problem(why, where))
    if not is_file(path / FILE) and is_file(path / "model" / FILE):
        path = path / "model"
    if not is_file(path / FILE):
        raise ConfigError(
            Problem(f"is no folder of a model that raystudy kept: {_what_is_there(path)}", where, str(path))
        )
    file = str(path / FILE)
    try:
        data = json.loads((path / FILE).read_text(encoding="utf-8"))
        version = data["schema_version"]
        if isinstance(version, int) and version == SCHEMA:
            description = Description.model_validate(data)
        elif not isinstance(version, int):
            raise ValueError("its schema_version is no number")
    except OSError as e:
        raise PreflightError(Problem(f"cannot be read: {e.strerror or e}", file=file)) from None
    except ValidationError as e:
        first = e.errors()[0]
        raise ConfigError(
            Problem(f"is no description of a model: {first['msg']}", ".".join(map(str, first["loc"])), file)
        ) from None
    except (ValueError, TypeError, KeyError, RecursionError) as e:
        raise ConfigError(Problem(f"is no description of a model ({type(e).__name__}: {e})", file=file)) from None
    if version != SCHEMA:
        cure = "update raystudy" if version > SCHEMA else "keep the model again with this raystudy"
        raise PreflightError(
            Problem(f"has the format of version {version}, this raystudy reads version {SCHEMA}: {cure}", file=file)
        )
    if problems := [p for name, digest in description.files.items() for p in _damage(path, name, digest)]:
        raise PreflightError(problems)
    return path, description


def _what_is_there(path: Path) -> str:
    if is_file(path / "manifest.json"):
        kept = sorted(p.parent for p in path.glob(f"models/*/*/{FILE}"))
        if kept:
            return f"it is the folder of a study, whose models are {', '.join(map(str, kept[:6]))}"
        return "it is the folder of a study, which keeps its winners' models with --keep best"
    if is_file(path / "config.json"):
        return f"it holds a config.json but no {FILE}, so nothing says how texts were read and what its answers mean"
    if is_folder(path / "model"):
        return f"neither it nor its folder model holds a {FILE}"
    return f"it holds no {FILE}"


def _damage(folder: Path, name: str, digest: str) -> list[Problem]:
    """What is wrong with one file of the folder."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        return [Problem(f"must lie in the folder of the model, but {name!r} does not", file=str(folder / FILE))]
    if not is_file(path):
        return [Problem("is missing: the folder is not whole", file=str(path))]
    try:
        same = file_digest(path) == digest
    except OSError as e:
        return [Problem(f"cannot be read: {e.strerror or e}", file=str(path))]
    return [] if same else [Problem("is not the file that was written (its digest differs)", file=str(path))]
