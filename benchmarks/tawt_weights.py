"""What one update of TAWT's task weights costs, beside plain passes over the same sentences.

    python benchmarks/tawt_weights.py [--plm minilm] [--sources 3] [--length 48] [--repeats 3] [--json]

An update is everything between two rounds of weighted joint training: for the target and each source a gradient of the
encoder on 64 sentences, the cosines, the mirror step. It is compared with
    plain_passes    a forward and a backward pass over the same sentences of each task, whose gradients are thrown away

And what the products <grad L_0, grad l_i> of sample-weighted TAWT cost by one pass in forward mode, beside a backward
pass for each example: over 1,000 vectors by mlp:4096, and over 16 sentences by the text encoder.

Seconds are CPU time of the process on one thread, the median of `--repeats` interleaved rounds; memory is the highest
resident size during an update less that before it (Linux only, else null).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from measuring import interleaved, megabytes, on_one_thread, ratio

if TYPE_CHECKING:
    from raystudy.methods.tawt import Method
    from raystudy.methods.tawt_samples import Method as SampleWeighted
    from raystudy.tasks import Task


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plm", default="minilm")
    parser.add_argument("--sources", type=int, default=3)
    parser.add_argument("--length", type=int, default=48, help="word pieces of every sentence")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    on_one_thread()
    method = _method(args)
    updates = {"update": _update(method), "plain_passes": _plain(method)}
    cost, held = interleaved(updates, args.repeats)
    out: dict[str, Any] = {
        "plm": args.plm,
        "sources": args.sources,
        "sentences": method.hp.subset,
        "length": args.length,
        "time_ratio_update_to_plain_passes": ratio(cost["update"], cost["plain_passes"]),
        "memory_ratio_to_plain_pass": ratio(held["update"], held["plain_passes"]),
        "sample_products_ratio_to_loop": round(_products_to_loop("mlp:4096", _vectors(500), args), 4),
        "sample_products_ratio_to_loop_on_text": round(_products_to_loop(args.plm, _sentences(8), args), 4),
        "cpu_seconds": {name: round(v, 3) for name, v in cost.items()},
        "peak_megabytes": megabytes(held),
    }
    print(json.dumps(out) if args.json else "\n".join(f"{k}: {v}" for k, v in out.items()))


def _method(args: argparse.Namespace) -> Method:
    """Weighted joint training over planted tasks whose sentences all fill the length."""
    from raystudy.catalogue import catalogue
    from raystudy.data.plm import resolve
    from raystudy.data.text import Corpus, encode
    from raystudy.methods import Setup, hparams
    from raystudy.methods.tawt import HParams, Method
    from raystudy.tasks import load
    from raystudy.workers import Alone

    plm = resolve(args.plm)
    hp = hparams(HParams, catalogue().resolve("tawt_joint_w"))
    tasks = {
        str(i): load(
            "planted/tag_target", options={"n_train": hp.subset, "n_dev": 1, "n_test": 1, "length": 64, "seed": i}
        )
        for i in range(args.sources + 1)
    }
    corpus = Corpus(tuple(encode(t, "train", plm, args.length) for t in tasks.values()))
    method = Method(Setup(plm, tuple(tasks), corpus, 0, 1, hp, Alone(), precision="fp32"))
    method.transfer()[0].start()
    return method.train()


def _update(method: Method) -> Callable[[], None]:
    def update() -> None:
        method.made.zero_()
        method.update_weights(0)

    return update


def _plain(method: Method) -> Callable[[], None]:
    from raystudy.nn.dropout import without_dropout
    from raystudy.nn.gradients import local_gradient

    batches = [batch for task in method.weighed for batch in method.subset(task, 0)]

    def passes() -> None:
        phi = list(method.phi.values())
        with without_dropout(method):
            for batch in batches:
                local_gradient(method.mean_loss(batch), phi)

    return passes


def _vectors(n: int) -> dict[str, Task]:
    """Two tasks of `n` vectors each, as long as five words of GloVe's smallest vectors."""
    from raystudy.tasks import load

    options = {"inputs": 250, "examples": n + 2, "n_dev": 1, "n_test": 1}
    return {str(i): load("teachers/target", options={**options, "seed": i}) for i in range(2)}


def _sentences(n: int) -> dict[str, Task]:
    """Two tasks of `n` long sentences each."""
    from raystudy.tasks import load

    options = {"n_train": n, "n_dev": 1, "n_test": 1, "length": 64}
    return {str(i): load("planted/target", options={**options, "seed": i}) for i in range(2)}


def _products_to_loop(plm: str, tasks: dict[str, Task], args: argparse.Namespace) -> float:
    """Seconds of all products in forward mode over those of one backward pass for each example."""
    import numpy as np

    from raystudy.nn.gradients import dot, local_gradient

    method = _sample_weighted(plm, tasks, args.length)
    method.eval()
    v, phi = method.target_gradient(), list(method.phi.values())
    rows = [np.array([[t, i]]) for t, n in enumerate(method.pooled) for i in range(n)]
    some = [method.setup.corpus.batch(row) for row in rows[:: max(1, len(rows) // 50)]]  # each costs the same

    def loop() -> None:
        for batch in some:
            dot(v, local_gradient(method.losses(batch).sum(), phi))

    seconds, _ = interleaved({"products": lambda: method.products(v), "loop": loop}, args.repeats)
    return seconds["products"] / (seconds["loop"] / len(some) * len(rows))


def _sample_weighted(name: str, tasks: dict[str, Task], length: int) -> SampleWeighted:
    from raystudy.catalogue import catalogue
    from raystudy.data.plm import resolve
    from raystudy.data.text import Corpus, encode
    from raystudy.methods import Setup, hparams
    from raystudy.methods.tawt_samples import HParams
    from raystudy.methods.tawt_samples import Method as SampleWeighted
    from raystudy.workers import Alone

    plm = resolve(name)
    hp = hparams(HParams, catalogue().resolve("tawt_samples_joint_w"))
    corpus = Corpus(tuple(encode(t, "train", plm, length) for t in tasks.values()))
    return SampleWeighted(Setup(plm, tuple(tasks), corpus, 0, 1, hp, Alone(), precision="fp32"))


if __name__ == "__main__":
    main()
