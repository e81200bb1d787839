"""What one update of MetaXT costs by each route of the meta-gradient, beside training on its three losses alone.

    python benchmarks/metaxt_step.py [--plm minilm] [--batch 16] [--length 48] [--repeats 3] [--json]

An update is everything: the virtual step, the gradient of the held-out loss, the meta-gradient, Adam on the LTN, AdamW
on the model. It is compared with
    double_backward         the update as equations 2 to 5 and Algorithm 1 stand, and as MetaXL is written: a pass for
                            each of the three terms, one graph through the virtual step, and all passes again
    double_backward_route   our own route of that name, which shares the pass over the source examples
    plain_three_losses      no meta-gradient: an update on the three terms with given soft labels, a pass for each, with
                            the fused attention kernel, which the exact routes cannot use
    shared_three_losses     the same with one pass over the source examples for both of their terms

Seconds are CPU time of the process on one thread, the median of `--repeats` interleaved rounds; memory is the highest
resident size during an update less that before it (Linux only, else null). The error is that of the meta-gradient in
float64, with dropout, by forward mode against double backward.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from measuring import interleaved, megabytes, on_one_thread, ratio

if TYPE_CHECKING:
    from raystudy.methods.metaxt import Batches, Method


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plm", default="minilm")
    parser.add_argument("--batch", type=int, default=16, help="examples in each of x_s, x' and x''")
    parser.add_argument("--length", type=int, default=48, help="word pieces of every example")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    on_one_thread()
    updates = {"jvp": _update(args, "jvp"), "double_backward": _by_definition(args)}
    updates |= {"double_backward_route": _update(args, "double_backward"), "fd_logits": _update(args, "fd_logits")}
    updates |= {"plain_three_losses": _plain(args, shared=False), "shared_three_losses": _plain(args, shared=True)}
    cost, held = interleaved(updates, args.repeats)
    out: dict[str, Any] = {
        "plm": args.plm,
        "batch": args.batch,
        "length": args.length,
        "time_ratio_jvp_to_double_backward": ratio(cost["jvp"], cost["double_backward"]),
        "memory_ratio_jvp_to_double_backward": ratio(held["jvp"], held["double_backward"]),
        "time_ratio_jvp_to_plain_three_losses": ratio(cost["jvp"], cost["plain_three_losses"]),
        "time_ratio_jvp_to_double_backward_route": ratio(cost["jvp"], cost["double_backward_route"]),
        "memory_ratio_jvp_to_double_backward_route": ratio(held["jvp"], held["double_backward_route"]),
        "time_ratio_jvp_to_shared_three_losses": ratio(cost["jvp"], cost["shared_three_losses"]),
        "time_ratio_fd_logits_to_plain_three_losses": ratio(cost["fd_logits"], cost["plain_three_losses"]),
        "max_relative_error_float64": _error(args),
        "cpu_seconds": {name: round(v, 3) for name, v in cost.items()},
        "peak_megabytes": megabytes(held),
    }
    print(json.dumps(out) if args.json else "\n".join(f"{k}: {v}" for k, v in out.items()))


def _method(args: argparse.Namespace, precision: str = "fp32", **settings: Any) -> Method:
    """MetaXT over planted tasks whose texts all fill the length."""
    from raystudy.catalogue import catalogue
    from raystudy.data.plm import resolve
    from raystudy.data.text import Corpus, encode
    from raystudy.methods import Setup, hparams
    from raystudy.methods.metaxt import HParams, Method
    from raystudy.tasks import load
    from raystudy.workers import Alone

    plm = resolve(args.plm)
    n = 2 * args.batch
    tasks = {p: load(f"planted/{p}", options={"n_train": n, "length": 64}) for p in ("target", "source")}
    values = catalogue().resolve("metaxt", {"batch_size": n, **settings})
    corpus = Corpus(tuple(encode(t, "train", plm, args.length) for t in tasks.values()))
    hp = hparams(HParams, values)
    method = Method(Setup(plm, tuple(tasks), corpus, 0, 1, hp, Alone(), precision=precision))
    method.adapt()[0].start()
    return method.train()


def _drawn(method: Method, args: argparse.Namespace) -> Batches:
    """x_s, x' and x'' of one size."""
    from raystudy.methods.metaxt import Batches

    rows = np.arange(args.batch)
    batches = [
        method.setup.corpus.batch(np.stack([np.full_like(rows, task), rows + first], 1))
        for task, first in ((1, 0), (0, 0), (0, args.batch))
    ]
    assert {int(n) for b in batches for n in b.offsets.diff()} == {args.length}
    return Batches(*batches)


def _update(args: argparse.Namespace, route: str) -> Callable[[], Any]:
    method = _method(args, route=route)
    drawn = _drawn(method, args)
    middle = method.length["xt"].updates // 2
    return lambda: method.update(middle, drawn)


def _by_definition(args: argparse.Namespace) -> Callable[[], Any]:
    import torch

    from raystudy.nn.gradients import step_down, with_parameters
    from raystudy.nn.losses import soft_cross_entropy

    method = _method(args)
    drawn, named = _drawn(method, args), dict(method.encoder.named_parameters())
    theta, eta = list(named.values()), method.hp.lr

    def train() -> Any:
        states = method.encoder(drawn.source)[0]
        own = method.losses(drawn.source, answers=method.encoder.answers(drawn.source, states)).mean()
        (answers,) = method.encoder.answers(drawn.source, head=0)
        soft = soft_cross_entropy(answers.logits, method.ltn(*method.ltn_reads(drawn.source, states.detach()))).mean()
        return method.losses(drawn.main).mean() + own + soft

    def update() -> None:
        g = torch.autograd.grad(train(), theta, create_graph=True, allow_unused=True)
        moved = {n: p if d is None else p - eta * d for (n, p), d in zip(named.items(), g, strict=True)}
        held_out = with_parameters(method.encoder, moved, lambda: method.losses(drawn.ahead).mean())
        step_down(method.running_optimizer, method.meta, list(torch.autograd.grad(held_out, method.meta)), 1e-4)
        del g, moved, held_out
        step_down(
            method.running_optimizer, theta, list(torch.autograd.grad(train(), theta, allow_unused=True)), 1e-5, 1.0
        )

    return update


def _plain(args: argparse.Namespace, *, shared: bool) -> Callable[[], Any]:
    from raystudy.nn.gradients import add, local_gradient, step_down
    from raystudy.nn.losses import soft_cross_entropy

    method = _method(args, route="fd_logits")  # the route that needs no slow attention
    drawn, theta = _drawn(method, args), list(method.encoder.parameters())
    k = method.setup.corpus.parts[0].outputs
    q = method.encoder.body.anchor.new_full((len(drawn.source), k), 1 / k)

    def soft(states: Any = None) -> Any:
        (answers,) = method.encoder.answers(drawn.source, states, head=0)
        return soft_cross_entropy(answers.logits, q).mean()

    def update() -> None:
        grads = [local_gradient(method.losses(drawn.main).mean(), theta)]
        if shared:
            states = method.encoder(drawn.source)[0]
            own = method.losses(drawn.source, answers=method.encoder.answers(drawn.source, states)).mean()
            grads.append(local_gradient(own + soft(states), theta))
        else:
            grads += [local_gradient(method.losses(drawn.source).mean(), theta), local_gradient(soft(), theta)]
        step_down(method.running_optimizer, theta, add(*grads), 1e-5, 1.0)

    return update


def _error(args: argparse.Namespace) -> float:
    """The largest difference of a tensor of the meta-gradient, relative to its largest number."""
    import torch

    from raystudy.nn.meta_gradient import virtual_step
    from raystudy.workers import Alone

    small = argparse.Namespace(**{**vars(args), "batch": 4, "length": min(16, args.length)})
    method = _method(small, precision="fp64")
    problem = method.bilevel(_drawn(method, small), 0, 1.0)
    found = []
    for route in ("jvp", "double_backward"):
        torch.manual_seed(0)
        found.append(virtual_step(problem, 1e-3, route, Alone()).meta)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(*found, strict=True))


if __name__ == "__main__":
    main()
