"""What the exact gradient of MAML costs by each of our two ways, beside other libraries for it.

    python benchmarks/maml_step.py [--plm minilm] [--length 48] [--repeats 3] [--json]

What is measured is one task's part of a meta step: k steps of gradient descent on k batches, and the gradient of the
loss on a query batch for the parameters before the steps. The ways are
    unrolled, recursion     ours (`raystudy.nn.inner_loop`), of the rows of the word embeddings that the batches touch
    first_order             FOMAML, which leaves second derivatives out: for scale
    torchopt, higher        MetaSGD of torchopt and innerloop_ctx of higher, of all word embeddings; each is passed over
                            where it is not installed (`pip install torchopt higher`)

Every measurement has a process of its own. The first ones are with batches of 4, where the gradients of all ways are
compared before any time is: a way whose gradient is another one is an error. Batches of 24 are for the memory, and of
our two ways alone. Seconds are CPU time of the process on one thread, the median of `--repeats` runs after one that is
not counted; memory is the highest resident size during a run less that before it (Linux only, else null), the median
again. The error in float64 is that of the recursion against what is unrolled, with dropout.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import interleaved, megabytes, on_one_thread, ratio

OURS = ("unrolled", "recursion")
PEERS = ("torchopt", "higher")
STEPS = (1, 3, 5)
SMALL, LARGE = 4, 24  # examples in a batch
ALPHA = 1e-3
ZERO = 1e-12  # of the largest number of a gradient in float64: what is below it is the rounding of zero
SAME = 1e-5  # the largest relative difference of two gradients in float32 that counts as rounding


def main() -> None:
    """Measure and print; or, with `--one`, measure one way in this process."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plm", default="minilm")
    parser.add_argument("--length", type=int, default=48, help="word pieces of every example")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    on_one_thread()
    if args.one:
        way, steps, batch, file = args.one.split(",")
        print(json.dumps(_measured(args, way, int(steps), int(batch), Path(file))))
        return
    peers = [p for p in PEERS if importlib.util.find_spec(p) is not None]
    small = {k: _compared(args, [*OURS, "first_order", *peers], k, SMALL) for k in STEPS}
    large = {k: _compared(args, [*OURS, "first_order"], k, LARGE) for k in STEPS}
    last = STEPS[-1]
    best_peer = min((small[last][p]["cpu_seconds"] for p in peers), default=None)
    wide = large[last]
    out: dict[str, Any] = {
        "plm": args.plm,
        "length": args.length,
        "time_ratio_to_best_peer_k5": ratio(small[last]["unrolled"]["cpu_seconds"], best_peer),
        "memory_ratio_recursion_to_unrolled_k5": ratio(
            wide["recursion"]["peak_megabytes"], wide["unrolled"]["peak_megabytes"]
        ),
        "time_ratio_recursion_to_unrolled_k5": ratio(wide["recursion"]["cpu_seconds"], wide["unrolled"]["cpu_seconds"]),
        "max_relative_error_float64": max(_error(args, k) for k in STEPS),
        f"batch_{SMALL}": small,
        f"batch_{LARGE}": large,
    }
    if args.json:
        print(json.dumps(out))
        return
    print("\n".join(f"{k}: {v}" for k, v in out.items() if not isinstance(v, dict)))
    for batch, found in ((SMALL, small), (LARGE, large)):
        for k, ways in found.items():
            print("\n".join(f"batch {batch}, k = {k}, {way}: {numbers}" for way, numbers in ways.items()))


# ---------------------------------------------------------------------------------------------------------------------
# the parent


def _compared(args: argparse.Namespace, ways: list[str], steps: int, batch: int) -> dict[str, dict[str, Any]]:
    """way -> its cost, each measured in a process of its own; with how far its gradient is from the first way's.

    Raises:
        SystemExit: a process fails, or an exact way has another gradient.
    """
    import torch

    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for way in ways:
            file = Path(folder) / way
            one = f"{way},{steps},{batch},{file}"
            command = [sys.executable, __file__, f"--plm={args.plm}", f"--length={args.length}", f"--one={one}"]
            done = subprocess.run([*command, f"--repeats={args.repeats}"], stdout=subprocess.PIPE, text=True)
            if done.returncode:
                raise SystemExit(f"{way} at k = {steps} and batches of {batch} failed")
            found[way] = json.loads(done.stdout.splitlines()[-1])
            g, first = (torch.load(p, weights_only=True) for p in (file, Path(folder) / ways[0]))
            found[way]["relative_difference"] = difference = float((g - first).norm() / first.norm())
            if way != "first_order" and difference > SAME:
                raise SystemExit(f"{way} has another gradient than {ways[0]} at k = {steps}: {difference:.1e} from it")
    return found


def _error(args: argparse.Namespace, steps: int) -> float:
    """The largest difference of a tensor of the gradient in float64, relative to its largest number.

    The bias of the keys of an attention shifts all of a token's scores alike, so that its gradient is zero. What stands
    there is the rounding of zero, of both ways; such a tensor is compared with the largest number of the gradient.
    """
    import torch

    small = argparse.Namespace(**{**vars(args), "length": min(16, args.length)})
    found = []
    for route in ("unroll", "recursion"):
        method = _method(small, steps, SMALL, precision="fp64", route=route, dropout=0.1)
        torch.manual_seed(0)
        found.append(method.task_gradient(0, method.draws()(0)[0])[0])
    pairs = [(a, b) for a, b in zip(*found, strict=True) if b is not None]
    largest = max(float(b.abs().max()) for _, b in pairs)
    scales = (top if (top := float(b.abs().max())) > ZERO * largest else largest for _, b in pairs)
    return max(float((a - b).abs().max()) / scale for (a, b), scale in zip(pairs, scales, strict=True))


# ---------------------------------------------------------------------------------------------------------------------
# one process


def _measured(args: argparse.Namespace, way: str, steps: int, batch: int, file: Path) -> dict[str, Any]:
    """The cost of one way; its gradient is written to `file`."""
    import torch

    warnings.filterwarnings("ignore")
    settings = {"route": "unroll" if way == "unrolled" else "recursion"} if way in OURS else {}
    method = _method(args, steps, batch, "fomaml" if way == "first_order" else "maml", **settings)
    gradient = {"torchopt": _by_torchopt, "higher": _by_higher}.get(way, _by_ours)(method)
    found = gradient()  # the first one loads what it needs
    parameters = list(method.theta.values())
    flat = [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters, strict=True)]
    torch.save(torch.cat([g.detach().reshape(-1) for g in flat]), file)
    del found, flat
    seconds, memory = interleaved({way: gradient}, args.repeats, warm_up=False)
    return {"cpu_seconds": round(seconds[way], 3), "peak_megabytes": (megabytes(memory) or {}).get(way)}


def _method(
    args: argparse.Namespace, steps: int, batch: int, variant: str = "maml", precision: str = "fp32", **settings: Any
) -> Any:
    """A method over a planted task whose texts all fill the length, at the start of its meta stage."""
    from raystudy.catalogue import catalogue
    from raystudy.data.plm import resolve
    from raystudy.data.text import Corpus, encode
    from raystudy.methods import Setup, hparams
    from raystudy.methods.maml import HParams, Method
    from raystudy.tasks import load
    from raystudy.workers import Alone

    plm = resolve(args.plm)
    task = load("planted/target", options={"n_train": batch * (steps + 1), "length": 64})
    shape = {"batch_size": batch, "inner_steps": steps, "alpha": ALPHA, "tasks_per_step": 1, "meta_steps": 1}
    values = catalogue().resolve(variant, {"dropout": 0.0, **shape, **settings})
    corpus = Corpus((encode(task, "train", plm, args.length),))
    assert {int(n) for n in corpus.parts[0].offsets[1:] - corpus.parts[0].offsets[:-1]} == {args.length}
    method = Method(Setup(plm, ("target",), corpus, 0, 1, hparams(HParams, values), Alone(), precision=precision))
    method.start()
    return method.train()


def _by_ours(method: Any) -> Callable[[], Any]:
    e = method.draws()(0)[0]
    return lambda: method.task_gradient(0, e)[0]


def _net(method: Any) -> Any:
    """The same model as one module: a batch in, its mean loss out."""
    from torch import nn
    from torch.nn.functional import cross_entropy

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = method.encoder.body.model, method.encoder.heads[0]

        def forward(self, inputs: dict[str, Any], labels: Any) -> Any:
            states = self.body(**inputs).last_hidden_state[0]
            first = states.index_select(0, inputs["packing"].place.new_tensor(starts))
            return cross_entropy(self.head(self.body.pooler.activation(self.body.pooler.dense(first))), labels)

    starts: list[int] = []
    e = method.draws()(0)[0]
    starts[:] = e.query.offsets[:-1].tolist()  # all texts have one length, so that this holds for every batch
    return Net(), [_inputs(b) for b in e.inner], _inputs(e.query)


def _inputs(batch: Any) -> tuple[dict[str, Any], Any]:
    """What the library's model reads of a batch, by the same attention as ours, and the labels."""
    import torch

    from raystudy.nn.encoder import _Packing

    lengths = batch.offsets.diff()
    positions = torch.arange(len(batch.ids)) - torch.repeat_interleave(batch.offsets[:-1], lengths)
    ids, types = batch.ids[None], batch.types[None]
    packing = _Packing.of(batch.offsets, exact=True, device=batch.offsets.device)
    return {
        "input_ids": ids,
        "token_type_ids": types,
        "position_ids": positions[None],
        "packing": packing,
    }, batch.labels


def _aligned(method: Any, net: Any, gradients: Any) -> list[Any]:
    """Gradients of the net's parameters in the order of the method's; None for what the net does not have."""
    by_id = {id(p): g for p, g in zip(net.parameters(), gradients, strict=True)}
    return [by_id.get(id(p)) for p in method.theta.values()]


def _by_higher(method: Any) -> Callable[[], Any]:
    import torch

    higher = importlib.import_module("higher")  # neither library is one of ours
    net, inner, query = _net(method)
    sgd = torch.optim.SGD(net.parameters(), lr=ALPHA)

    def gradient() -> Any:
        with higher.innerloop_ctx(net, sgd, copy_initial_weights=False) as (functional, steps):
            for batch in inner:
                steps.step(functional(*batch))
            loss = functional(*query)
            return _aligned(method, net, torch.autograd.grad(loss, list(net.parameters()), allow_unused=True))

    return gradient


def _by_torchopt(method: Any) -> Callable[[], Any]:
    import torch

    torchopt = importlib.import_module("torchopt")
    net, inner, query = _net(method)
    theta = list(net.parameters())
    sgd = torchopt.MetaSGD(net, lr=ALPHA)
    start, fresh = torchopt.extract_state_dict(net), torchopt.extract_state_dict(sgd)

    def gradient() -> Any:
        for batch in inner:
            sgd.step(net(*batch))
        found = torch.autograd.grad(net(*query), theta, allow_unused=True)
        torchopt.recover_state_dict(net, start)
        torchopt.recover_state_dict(sgd, fresh)
        return _aligned(method, net, found)

    return gradient


if __name__ == "__main__":
    main()
