"""Tiny random BERT and ALBERT checkpoints in folders, as `save_pretrained` writes them, over the planted words."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AlbertConfig, AlbertModel, BertConfig, BertModel

from raystudy.data.plm import resolve
from raystudy.data.text import tokenizer

KINDS: dict[str, Callable[..., Any]] = {
    "bert": lambda **sizes: BertModel(BertConfig(num_hidden_layers=2, max_position_embeddings=128, **sizes)),
    "albert": lambda **sizes: AlbertModel(AlbertConfig(num_hidden_layers=3, embedding_size=8, **sizes)),
}


def checkpoint(folder: Path, kind: str = "bert", **changed: Any) -> Path:
    """A checkpoint of that family in `folder`; `changed` are keys of its config.json, None to take one out."""
    tok = tokenizer(resolve("tiny"))
    with torch.random.fork_rng(devices=[]), contextlib.redirect_stderr(io.StringIO()):  # progress bars
        torch.manual_seed(0)
        model = KINDS[kind](vocab_size=len(tok), hidden_size=16, num_attention_heads=2, intermediate_size=24)
        model.save_pretrained(folder)
        tok.save_pretrained(folder)
    if changed:
        configure(folder, **changed)
    return folder


def configure(folder: Path, file: str = "config.json", **changed: Any) -> None:
    path = folder / file
    config = {**json.loads(path.read_text(encoding="utf-8")), **changed}
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}), encoding="utf-8")


def reweigh(folder: Path, rename: Callable[[str], str | None]) -> None:
    """Rename the weights of a checkpoint, or take out those whose new name is None."""
    path = folder / "model.safetensors"
    kept = {new: w for old, w in load_file(path).items() if (new := rename(old)) is not None}
    save_file(kept, path, {"format": "pt"})
