"""Which part of the machine's arithmetic training and embedding use: useful floating-point operations, beside a matmul.

    python benchmarks/peak.py [--examples 96] [--repeats 3] [--plm minilm] [--quick] [--json]

The peak is the best of several products of two matrices of 2,048 x 2,048, on one thread. Useful operations are those
that word pieces need: 2 per weight of the layers and piece in a forward pass, 6 in a training step. Attention's own
products, the optimizer and everything else count as time, not as operations; of padding there is none.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from embedding import ours as embed
from measuring import bfloat16_here, in_turn, on_one_thread, print_rows, sentences, term_pairs
from training import ours as train


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plm", default="minilm")
    parser.add_argument("--examples", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="32 examples, one round: seconds, and numbers of no worth")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.examples, args.repeats = 32, 1
    on_one_thread()
    from raystudy.data.plm import resolve
    from raystudy.data.text import encode

    plm = resolve(args.plm)
    weights, rows = layer_weights(args.plm), []
    for precision in ("fp32", "bf16") if bfloat16_here() else ("fp32",):
        best = peak_flops(precision, 1 if args.quick else 5)
        for task in (sentences(args.examples), term_pairs(args.examples)):
            pieces = len(encode(task, "train", plm, 128).ids)
            ways = {"training": train(task, args.plm, precision), "embedding": embed(task, args.plm, precision)}
            for name, seconds in in_turn(ways, args.repeats, warm_up=not args.quick).items():
                flops = (6 if name == "training" else 2) * weights * pieces / seconds.cpu
                rows.append(
                    {
                        "what": name,
                        "texts": task.name,
                        "precision": precision,
                        "useful_gflops": round(flops / 1e9, 1),
                        "peak_gflops": round(best / 1e9, 1),
                        "fraction_of_peak": round(flops / best, 3),
                    }
                )
    print_rows(rows, as_json=args.json, plm=args.plm, layer_weights=weights, examples=args.examples)


def layer_weights(plm: str) -> int:
    """Weights of the matrices that every word piece is multiplied with."""
    from raystudy.data.plm import resolve
    from raystudy.nn.encoder import untrained_body

    body: Any = untrained_body(resolve(plm), None, 0)
    return sum(p.numel() for name, p in body.model.named_parameters() if p.dim() == 2 and ".layer" in name)


def peak_flops(precision: str, repeats: int, size: int = 2048) -> float:
    """Operations per CPU second of the best of a few products of large matrices."""
    import torch

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = torch.ones(size, size, dtype=dtype), torch.ones(size, size, dtype=dtype)
    a @ b
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        a @ b
        seconds.append(time.process_time() - start)
    return float(2 * size**3 / min(seconds))


if __name__ == "__main__":
    main()
