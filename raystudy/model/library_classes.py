"""The classes of transformers with a head that compute what ours do, and the names of weights in them.

A class for texts reads the state of [CLS] through a pooler and a head; a class for tags has a head over every token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

__all__ = ["LIBRARY_CLASSES", "LibraryClass"]


@dataclass(frozen=True)
class LibraryClass:
    """The two classes of one architecture, and how their weights are called.

    Attributes:
        name: what stands before ``ForSequenceClassification`` and ``ForTokenClassification``.
        pooler: (what of our model, its name in the class for texts) for the weights of the pooler; none where it is a
            part of the body.
        head: the name of the head in the class for texts; that for tags calls it ``classifier``.
        config: what ``config.json`` has to say beside, so that the class reads [CLS].
        tags: whether the class for tags has a head and nothing else over a token.
    """

    name: str
    pooler: tuple[str, str] | None = None
    head: str = "classifier"
    config: Mapping[str, Any] = field(default_factory=dict)
    tags: bool = True

    def state(
        self, body: Mapping[str, Tensor], prefix: str, weight: Tensor, bias: Tensor, tagging: bool
    ) -> dict[str, Tensor]:
        """The weights of the class, from those of the body (as its own model calls them) and of the head."""
        head = "classifier" if tagging else self.head
        own = {name: t for name, t in body.items() if not name.startswith("pooler.")}
        pooler = {} if tagging else {name: t for name, t in body.items() if name.startswith("pooler.")}
        if self.pooler is None:
            own |= pooler
            pooler = {}
        named = {f"{prefix}.{name}": t for name, t in own.items()}
        named |= {name.replace(*self.pooler, 1): t for name, t in pooler.items() if self.pooler is not None}
        return {**named, f"{head}.weight": weight, f"{head}.bias": bias}

    def body(self, state: Mapping[str, Tensor], prefix: str, tagging: bool) -> dict[str, Tensor]:
        """The weights of the body alone, out of those of the class."""
        head = "classifier" if tagging else self.head
        others = {n: t for n, t in state.items() if n not in (f"{head}.weight", f"{head}.bias")}
        own = {n.removeprefix(f"{prefix}."): t for n, t in others.items() if n.startswith(f"{prefix}.")}
        if self.pooler is not None and not tagging:
            ours, theirs = self.pooler
            own |= {n.replace(theirs, ours, 1): t for n, t in others.items() if n.startswith(f"{theirs}.")}
        return own


LIBRARY_CLASSES: Mapping[str, LibraryClass] = {  # model_type -> its classes
    "bert": LibraryClass("Bert"),
    "albert": LibraryClass("Albert"),
    "roberta": LibraryClass("Roberta", ("pooler", "classifier"), "classifier.out_proj"),
    "xlm-roberta": LibraryClass("XLMRoberta", ("pooler", "classifier"), "classifier.out_proj"),
    "distilbert": LibraryClass("DistilBert", ("pooler.dense", "pre_classifier")),
    "electra": LibraryClass("Electra", ("pooler", "classifier"), "classifier.out_proj"),
    "modernbert": LibraryClass("ModernBert", ("pooler", "head"), config={"classifier_pooling": "cls"}, tags=False),
    "deberta-v2": LibraryClass("DebertaV2", ("pooler", "pooler")),
}
