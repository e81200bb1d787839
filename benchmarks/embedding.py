"""How fast a pre-trained model embeds texts, beside a loop as one writes it first.

    python benchmarks/embedding.py [--examples 128] [--repeats 3] [--plm minilm] [--quick] [--json]

The mean of the last layer's states of each text, on one thread:
    ours      `nn.embed`: texts by length, up to 2,048 word pieces in one row, unpadded, in inference mode
    naive     batches of 32 padded to 128 word pieces, with gradients switched on, as the model's class is called

on sentences and on pairs of terms, in fp32, and ours in bf16 against the same loop in fp32 where the processor
multiplies faster in bfloat16. `least_cosine` holds ours against the naive embeddings, text by text.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from measuring import bfloat16_here, in_turn, on_one_thread, print_rows, ratio, sentences, term_pairs

if TYPE_CHECKING:
    from torch import Tensor

    from raystudy.tasks import Task

BATCH = 32


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plm", default="minilm")
    parser.add_argument("--examples", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="32 examples, one round: seconds, and numbers of no worth")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.examples, args.repeats = BATCH, 1
    on_one_thread()
    precisions = ("fp32", "bf16") if bfloat16_here() else ("fp32",)
    rows = []
    for task in (sentences(args.examples), term_pairs(args.examples)):
        made: dict[str, Tensor] = {}
        ways = {f"ours {p}": _kept(made, f"ours {p}", ours(task, args.plm, p)) for p in precisions}
        ways["naive fp32"] = _kept(made, "naive fp32", naive(task, args.plm))
        took = in_turn(ways, args.repeats, warm_up=not args.quick)
        rows += [
            {
                "texts": task.name,
                "way": name,
                "texts_per_cpu_second": round(args.examples / seconds.cpu, 1),
                "texts_per_second": round(args.examples / seconds.wall, 1),
                "faster_than_naive_by": ratio(took["naive fp32"].cpu, seconds.cpu),
                "least_cosine": round(_least_cosine(made[name], made["naive fp32"]), 5),
            }
            for name, seconds in took.items()
        ]
    print_rows(rows, as_json=args.json, plm=args.plm, examples=args.examples, repeats=args.repeats)


def ours(task: Task, plm: str, precision: str) -> Callable[[], Tensor]:
    """As prototypes, scores and the frozen floor are made."""
    from raystudy.data.plm import resolve
    from raystudy.data.text import encode
    from raystudy.nn import embed
    from raystudy.workers import Alone

    model = resolve(plm)
    encoded = encode(task, "train", model, 128)

    def run() -> Tensor:
        embed._MEMO.clear()  # it would answer from memory
        return embed.embed(model, encoded, "mean", Alone(), precision=precision)

    return run


def naive(task: Task, plm: str) -> Callable[[], Tensor]:
    """The first loop of a tutorial."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    from raystudy.data.plm import resolve

    folder = resolve(plm).folder
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    texts = task.splits["train"]

    def run() -> Tensor:
        parts = []
        for i in range(0, len(texts), BATCH):
            some = texts[i : i + BATCH]
            second = [e.pair for e in some] if task.form == "pair" else None
            first, cut = [e.text for e in some], {"truncation": True, "max_length": 128}
            inputs = tokenizer(first, second, padding="max_length", return_tensors="pt", **cut)
            states, mask = model(**inputs).last_hidden_state, inputs["attention_mask"][..., None]
            parts.append(((states * mask).sum(1) / mask.sum(1)).detach())
        return torch.cat(parts)

    return run


def _kept(made: dict[str, Tensor], name: str, run: Callable[[], Tensor]) -> Callable[[], Any]:
    def keep() -> None:
        made[name] = run()

    return keep


def _least_cosine(a: Tensor, b: Tensor) -> float:
    import torch

    return float(torch.nn.functional.cosine_similarity(a.float(), b.float()).min())


if __name__ == "__main__":
    main()
