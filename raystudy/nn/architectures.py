"""Where the library's models of one architecture differ: what lies where, what ends a layer, what reads [CLS].

`data.plm.FAMILIES` has what the files of an architecture say; this is what its modules are called. `Encoder` and `Body`
read both, so that methods never ask which architecture they train.

A pooler is the layer between the state of [CLS] and a head. BERT's family was pre-trained with one. For the others a
new one is made, always the same: the layer that the library's own classifier of that architecture begins with, so that
a trained model can be kept in that classifier's form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["ARCHITECTURES", "Architecture", "NewPooler"]


class NewPooler(nn.Module):
    """A dense layer, its activation, and where the architecture has one a LayerNorm, over states of [CLS].

    Its weights are N(0, 0.02), its biases zero, as BERT's were before pre-training.
    """

    def __init__(self, hidden: int, activation: Callable[[Tensor], Tensor], bias: bool = True, norm: float = 0) -> None:
        super().__init__()
        self.dense, self.activation = nn.Linear(hidden, hidden, bias), activation
        self.norm = nn.LayerNorm(hidden, eps=norm, bias=False) if norm else nn.Identity()
        with torch.no_grad():
            self.dense.weight.normal_(0, 0.02)
            if bias:
                self.dense.bias.zero_()

    def forward(self, first: Float[Tensor, "b h"]) -> Float[Tensor, "b h"]:
        return self.norm(self.activation(self.dense(first)))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Architecture:
    """What the modules of one architecture are called.

    Attributes:
        layers: the list of its layers, from the lowest; empty where these share their weights.
        below: the modules below the lowest layer.
        beside: modules that several layers read; they are frozen together with the lowest of these.
        behind_first: modules that act once, behind the lowest layer, and belong to it.
        end: the LayerNorm that ends a layer, where one does; what changes states there (adapters, MetaXT's RTN) hangs
            on it.
        dropout: the rate of its hidden states, by its name in the configuration.
        pooler: makes a new one, where the library's model has none.
        masks: the names of the masks that it would make of its whole input, where that is one long row of many texts.
    """

    layers: str = "encoder.layer"
    below: tuple[str, ...] = ("embeddings",)
    beside: tuple[str, ...] = ()
    behind_first: tuple[str, ...] = ()
    end: str = "output.LayerNorm"
    dropout: str = "hidden_dropout_prob"
    pooler: Callable[[Any], nn.Module] | None = None
    masks: tuple[str, ...] = ()

    def layers_of(self, model: Any) -> Sequence[nn.Module]:
        """The layers, from the lowest; none where they share their weights."""
        return list(model.get_submodule(self.layers)) if self.layers else []

    def ends_of(self, model: Any) -> list[nn.Module]:
        """The LayerNorm that ends each layer; of layers that share their weights each one once.

        Raises:
            ValueError: its layers end otherwise.
        """
        if not self.end:
            raise ValueError("the layers of this architecture end without a LayerNorm")
        if not self.layers:
            return [group.albert_layers[-1].get_submodule(self.end) for group in model.encoder.albert_layer_groups]
        return [layer.get_submodule(self.end) for layer in self.layers_of(model)]

    def frozen_with(self, model: Any, lower: int) -> Iterable[nn.Module]:
        """The modules that `lower` frozen layers take along: all below them, and what several layers read."""
        yield from (model.get_submodule(name) for name in self.below if _has(model, name))
        if lower:
            yield from (model.get_submodule(name) for name in self.beside if _has(model, name))
            yield from self.layers_of(model)[:lower]


def _has(model: nn.Module, name: str) -> bool:
    try:
        model.get_submodule(name)
    except AttributeError:
        return False
    return True


ARCHITECTURES = {  # model_type -> how its modules are called
    "bert": Architecture(),
    "albert": Architecture(layers="", end="full_layer_layer_norm"),
    "roberta": Architecture(),
    "xlm-roberta": Architecture(),
    "distilbert": Architecture(
        layers="transformer.layer",
        end="output_layer_norm",
        dropout="dropout",
        pooler=lambda c: NewPooler(c.dim, F.relu),
    ),
    "electra": Architecture(
        below=("embeddings", "embeddings_project"), pooler=lambda c: NewPooler(c.hidden_size, F.gelu)
    ),
    "modernbert": Architecture(
        layers="layers",
        end="",
        dropout="mlp_dropout",
        pooler=lambda c: NewPooler(c.hidden_size, F.gelu, bias=c.classifier_bias, norm=c.norm_eps),
        masks=("full_attention", "sliding_attention"),
    ),
    "deberta-v2": Architecture(
        beside=("encoder.rel_embeddings", "encoder.LayerNorm", "encoder.conv"),
        behind_first=("encoder.conv",),
        pooler=lambda c: NewPooler(c.hidden_size, F.gelu),
    ),
}
