"""Tiny random checkpoints of every family in folders, as `save_pretrained` writes them, over the planted words."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AlbertConfig,
    AlbertModel,
    AutoModel,
    BertConfig,
    BertModel,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from raystudy.data.plm import resolve
from raystudy.data.text import tokenizer

KINDS: dict[str, Callable[..., Any]] = {
    "bert": lambda **sizes: BertModel(BertConfig(num_hidden_layers=2, max_position_embeddings=128, **sizes)),
    "albert": lambda **sizes: AlbertModel(AlbertConfig(num_hidden_layers=3, embedding_size=8, **sizes)),
    "roberta": lambda **sizes: _model(RobertaConfig, type_vocab_size=1, max_position_embeddings=130, **sizes),
    "xlm-roberta": lambda **sizes: _model(XLMRobertaConfig, type_vocab_size=1, max_position_embeddings=130, **sizes),
    "distilbert": lambda hidden_size, num_attention_heads, intermediate_size, **sizes: AutoModel.from_config(
        DistilBertConfig(
            n_layers=3, dim=hidden_size, n_heads=num_attention_heads, hidden_dim=intermediate_size, **sizes
        )
    ),
    "electra": lambda **sizes: _model(ElectraConfig, embedding_size=8, **sizes),
    "modernbert": lambda **sizes: _model(ModernBertConfig, local_attention=4, global_attn_every_n_layers=2, **sizes),
    "deberta-v2": lambda **sizes: _model(
        DebertaV2Config,
        relative_attention=True,
        position_buckets=4,
        pos_att_type=["p2c", "c2p"],
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        position_biased_input=False,
        type_vocab_size=0,
        **sizes,
    ),
}


def _model(config: Callable[..., Any], **settings: Any) -> Any:
    """Three layers, special tokens as the tokenizer of the planted words numbers them."""
    ids = {"pad_token_id": 0, "bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
    return AutoModel.from_config(config(num_hidden_layers=3, **ids, **settings))


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
