"""What a GPU makes of the project's trainings: one file, under five minutes, no Ray, no network, nothing to carry.

    python benchmarks/gpu_check.py                    the first GPU that torch sees
    python benchmarks/gpu_check.py --device cpu       the same on the CPU: does this program work?
    python benchmarks/gpu_check.py --out check.json   keep what it prints

The model is a random BERT of minilm's shape (6 layers, 384 wide, 12 heads), made on the spot; the tasks are generated.
It prints one JSON object:

    methods       one cell of every method: its losses and gradient norms against those of the CPU in fp32, update for
                  update, and whether a repeat gives the same bits
    precision     the dev accuracy of one training in fp32 and in bf16, and their difference
    throughput    examples per second of an update, tokens per second, and the share of this machine's own peak (its
                  fastest product of two matrices), at batch 32 and 256, in fp32 and bf16; and the highest memory
    attention     milliseconds of one update by each kernel of attention over texts of different lengths
    sharing       examples per second of 1, 2, 4, ... trainings on one GPU at a time, and how many give most
    failed        what did not hold; the exit code is 1 where there is any
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

FIRST, LATER = 1e-3, 5e-2  # relative error of what the first update reports, and of what later ones do
ACCURACY = 0.1  # by which bf16 may differ from fp32
ONE_OF_EACH = (
    *("single_task", "multi_task", "adapter_fusion", "bert_adv_grl", "maml", "reptile", "meta_dtl", "metaxt", "mft"),
    *("tawt_joint_w", "tawt_samples_pre_w", "task_distance"),
)
MORE = (
    "bert_mtl",
    "fomaml",
    "meta_dtl_multi_prototype",
    "metaxt_rtn",
    "mft_tw",
    "task_combination",
    "tawt_pre_w",
    "xt",
)
SETTINGS = {
    "lr": 1e-4,
    "batch_size": 4,
    "dropout": 0.0,
    "max_updates": 2,
    "inner_steps": 1,
    "tasks_per_step": 2,
    "weights": "clip0",
    "layers": "1/2 1",
    "epoch_of": "episodes",
    "subset": 4,
    "cg_iterations": 2,
}
TEXTS = ("planted/target", "planted/source")
DOMAINS = ("planted/domain_1", "planted/domain_2")
VECTORS = ("planted/vector_target", "planted/vector_source")


def main() -> int:
    """Run every check; returns the exit code."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    asked.add_argument("--out", type=Path, help="write the JSON there too")
    asked.add_argument("--all-variants", action="store_true", help="more than one variant of a method")
    asked.add_argument("--train-for", type=float, help=argparse.SUPPRESS)  # a training of `sharing`, in its own process
    asked.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    args = asked.parse_args()
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        print(f"torch {torch.__version__} sees no GPU; --device cpu tries this program on the CPU", file=sys.stderr)
        return 3
    if args.train_for:
        print(json.dumps(trained_for(args.device, args.model, args.train_for)))
        return 0
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        model = args.model or made(Path(folder) / "model", 30522 if args.device == "cuda" else 1000)
        found: dict[str, Any] = {"device": about(args.device)}
        parts: dict[str, Callable[[], Any]] = {
            "methods": lambda: methods(args.device, model, ONE_OF_EACH + (MORE if args.all_variants else ())),
            "precision": lambda: precision(args.device, model),
            "throughput": lambda: throughput(args.device, model),
            "attention": lambda: attention(args.device, model),
            "sharing": lambda: sharing(args.device, model),
        }
        for name, part in parts.items():
            begun = time.monotonic()
            found[name] = part()
            print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    found["failed"] = list(complaints(found))
    found["seconds"] = round(time.monotonic() - started, 1)
    text = json.dumps(found, indent=1)
    print(text)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")
    return 1 if found["failed"] else 0


def complaints(found: Mapping[str, Any]) -> Iterator[str]:
    """What did not hold, in words."""
    for variant, said in found["methods"].items():
        if "error" in said:
            yield f"{variant}: {said['error']}"
            continue
        if said["first_update"] > FIRST or said["later_updates"] > LATER:
            yield f"{variant}: differs from the CPU by {said['first_update']:.1e}, later by {said['later_updates']:.1e}"
        if not said["repeats"]:
            yield f"{variant}: a repeat does not give the same bits"
    if found["precision"]["difference"] > ACCURACY:
        yield f"bf16 and fp32 differ by {found['precision']['difference']:.2f} in accuracy"


def about(device: str) -> dict[str, Any]:
    """What it runs on."""
    import torch

    said: dict[str, Any] = {"type": device, "torch": torch.__version__, "threads": torch.get_num_threads()}
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
        said |= {"name": torch.cuda.get_device_name(), "cuda": torch.version.cuda, "free": free, "total": total}
        said["nccl"] = ".".join(map(str, torch.cuda.nccl.version()))  # type: ignore[no-untyped-call]
    return said


def made(folder: Path, vocabulary: int) -> Path:
    """A random BERT of minilm's shape, with a tokenizer over the words of the generated tasks."""
    import torch
    from transformers import BertConfig, BertModel

    from raystudy.data.plm import resolve
    from raystudy.data.text import tokenizer

    torch.manual_seed(0)
    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    BertModel(BertConfig(vocab_size=vocabulary, **sizes)).save_pretrained(folder)
    tokenizer(resolve("tiny")).save_pretrained(folder)
    return folder


# -- methods -----------------------------------------------------------------------------------------------------------


def spec_of(variant: str, device: str, model: Path, precision: str = "fp32", **settings: Any) -> Any:
    """One small cell of a variant on the tasks that it takes."""
    from raystudy.catalogue import catalogue
    from raystudy.spec import Numerics, Setting, Spec

    known = catalogue()
    method = known.variant(variant).method
    suite = DOMAINS if method == "mft" else VECTORS if method == "task_distance" else TEXTS
    values = {**{k: 1 for k in known.parameters_of(variant) if k.endswith("epochs")}, **SETTINGS, **settings}
    fixed = known.variant(variant).fixes
    return Spec(
        phase="search",
        variant=variant,
        method=method,
        settings=known.resolve(
            variant, {k: v for k, v in values.items() if k in known.parameters_of(variant) and k not in fixed}
        ),
        suite=suite,
        target=suite[0],
        setting=Setting(),
        seed=1,
        plm="mlp:64" if suite == VECTORS else str(model),
        plm_digest="",
        data={},
        task_options={"planted": {"n_train": 8, "n_dev": 8, "n_test": 8, "length": 8}},
        numerics=Numerics(precision=precision, device=device),  # type: ignore[arg-type]
    )


def reported(spec: Any) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """What every update of a cell reports, and its weights in the end."""
    from unittest.mock import patch

    from raystudy import train
    from raystudy.nn import embed
    from raystudy.spec import Places

    embed._MEMO.clear()
    seen: list[dict[str, float]] = []
    method_of = train.method_of

    def watched(*args: Any) -> Any:
        method = method_of(*args)
        for part in ("transfer", "adapt"):
            stages = getattr(method, part)
            setattr(method, part, lambda stages=stages: [replace(s, update=heard(s.update)) for s in stages()])
        return method

    def heard(update: Callable[[int, Any], Any]) -> Callable[[int, Any], Any]:
        def both(step: int, drawn: Any) -> Any:
            logs = update(step, drawn)
            seen.append({k: float(v) for k, v in logs.items()})
            return logs

        return both

    with patch.object(train, "method_of", watched):
        cell = train.trained(spec, Places(plm=spec.plm))
    return seen, {k: v.detach().cpu().clone() for k, v in cell.method.state_dict().items()}


def methods(device: str, model: Path, variants: tuple[str, ...]) -> dict[str, Any]:
    """Every variant on the device, once more on it, and on the CPU in fp32."""
    import torch

    found: dict[str, Any] = {}
    for variant in variants:
        begun = time.monotonic()
        try:
            here, _ = reported(spec_of(variant, "cpu", model))
            there, weights = reported(spec_of(variant, device, model))
            _, again = reported(spec_of(variant, device, model))
        except Exception as e:  # the other methods are tried all the same
            found[variant] = {"error": f"{type(e).__name__}: {(str(e).strip().splitlines() or [''])[0]}"}
            continue
        errors = [max(relative(a[k], b[k]) for k in a) for a, b in zip(here, there, strict=True)]
        print(f"{variant}: {time.monotonic() - begun:.1f} s", file=sys.stderr)
        found[variant] = {
            "first_update": errors[0],
            "later_updates": max(errors),
            "repeats": all(torch.equal(w, again[k]) or bool(w.isnan().any()) for k, w in weights.items()),
            "updates": len(errors),
            "seconds": round(time.monotonic() - begun, 2),
        }
    return found


def relative(a: float, b: float) -> float:
    return abs(a - b) / max(abs(a), abs(b), 1e-6)


# -- precision ---------------------------------------------------------------------------------------------------------


def precision(device: str, model: Path) -> dict[str, float]:
    """Dev accuracy of one training in each precision."""
    from raystudy import train
    from raystudy.spec import Places

    out, updates = {}, 100 if device == "cuda" else 20
    for name in ("fp32", "bf16"):
        length = {"max_updates": updates, "min_updates": updates, "batch_size": 32, "lr": 3e-4, "dropout": -1.0}
        spec = spec_of("single_task", device, model, name, **length)
        sizes = {"n_train": 256, "n_dev": 200, "n_test": 16, "length": 8}
        cell = train.run(replace(spec, task_options={"planted": sizes}), Places(plm=str(model)), threads=None)
        out[name] = cell.record.metrics["dev"]["accuracy"]
    return {**out, "difference": round(abs(out["fp32"] - out["bf16"]), 4)}


# -- speed -------------------------------------------------------------------------------------------------------------


class Training:
    """Plain fine-tuning on made-up texts of 16 to 64 pieces: one update at a call."""

    def __init__(self, device: str, model: Path, size: int, name: str, longest: int = 64) -> None:
        import numpy as np
        import torch

        from raystudy.data.plm import resolve
        from raystudy.data.text import IGNORED, Batch
        from raystudy.nn.encoder import Body, Encoder
        from raystudy.nn.gradients import adamw

        self.device = torch.device(device)
        self.encoder = Encoder(Body(resolve(str(model)), precision=name).to(self.device), [2], ["classification"])
        self.optimizer = adamw(self.encoder, 1e-4, 0.01)
        lengths = np.random.default_rng(0).integers(longest // 4, longest + 1, size)
        self.tokens = int(lengths.sum())
        self.squares = int((lengths**2).sum())
        flat = torch.randint(4, 200, (self.tokens,))
        labels, none = torch.arange(size) % 2, torch.zeros(size, dtype=torch.long)

        def batch() -> Batch:
            offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]))
            nothing = torch.full_like(flat, IGNORED)
            return Batch(
                flat, torch.zeros_like(flat), offsets, none, none, labels, labels.double(), nothing, labels < 0
            )

        self.batch = batch  # a new one at every call, as a training draws it
        self.encoder.train()

    def update(self) -> None:
        """One forward and backward pass, and a step of the optimizer."""
        from raystudy.nn.gradients import descend
        from raystudy.nn.losses import cross_entropy
        from raystudy.workers import Alone

        batch = self.batch()
        (answers,) = self.encoder.answers(batch)
        loss = cross_entropy(answers.logits, batch.to(self.device).labels).mean()
        descend(loss, self.optimizer, 1e-4, 1.0, Alone())

    @property
    def operations(self) -> float:
        """Floating-point operations of an update: six per weight of a layer and token, and those of attention."""
        model: Any = self.encoder.body.model
        layers = [p for n, p in model.named_parameters() if n.startswith("encoder") and p.ndim == 2]
        width, depth = self.encoder.body.hidden, self.encoder.body.depth
        weights = int(sum(p.numel() for p in layers))
        return 6.0 * weights * self.tokens + 12.0 * depth * width * self.squares


def seconds(update: Callable[[], None], device: str, budget: float) -> float:
    """Seconds of one call, the mean of as many as fit into `budget` seconds, behind three that warm up."""
    for _ in range(3 if device == "cuda" else 1):
        update()
    wait(device)
    begun, n = time.perf_counter(), 0
    while n < 1 or time.perf_counter() - begun < budget:
        update()
        n += 1
        if device == "cuda" and n % 10 == 0:
            wait(device)  # so that the queue does not outrun the clock
    wait(device)
    return (time.perf_counter() - begun) / n


def wait(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


@contextmanager
def highest_memory(device: str) -> Iterator[dict[str, int]]:
    """Bytes that torch held at most on the GPU while open; on a CPU nobody counts them."""
    import torch

    found: dict[str, int] = {}
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    yield found
    if device == "cuda":
        found["bytes"] = torch.cuda.max_memory_allocated()


def peak(device: str, name: str) -> float:
    """Operations per second of the fastest product of two square matrices here."""
    import torch

    n = 8192 if device == "cuda" else 1024
    kind = torch.bfloat16 if name == "bf16" else torch.float32
    a, b = (torch.randn(n, n, device=device, dtype=kind) for _ in range(2))
    return 2.0 * n**3 / seconds(lambda: torch.mm(a, b), device, 0.5)  # type: ignore[arg-type]


def throughput(device: str, model: Path) -> dict[str, Any]:
    """Of an update at each batch size in each precision."""
    found: dict[str, Any] = {}
    budget, longest = (2.0, 64) if device == "cuda" else (0.5, 16)
    for name in ("fp32", "bf16"):
        most = peak(device, name)
        found[name] = {"peak": round(most / 1e12, 2)}
        for size in (32, 256):
            training = Training(device, model, size, name, longest)
            with highest_memory(device) as memory:
                took = seconds(training.update, device, budget)
            found[name][f"batch_{size}"] = {
                "examples_per_second": round(size / took, 1),
                "tokens_per_second": round(training.tokens / took),
                "share_of_peak": round(training.operations / took / most, 3),
                **memory,
            }
    found["unit_of_peak"] = "TFLOP/s, measured"
    return found


def attention(device: str, model: Path) -> dict[str, Any]:
    """Milliseconds of an update by each kernel that this torch and this device have."""
    from unittest.mock import patch

    from raystudy.nn import encoder

    found: dict[str, Any] = {}
    for name, kernels in {"fp32": ("padded", "nested"), "bf16": ("padded", "nested", "variable-length")}.items():
        for kernel in kernels if device == "cuda" else ("padded",):
            with patch.object(encoder, "attention_kernel", lambda *args, kernel=kernel, **kwargs: kernel):
                try:
                    training = Training(device, model, 32, name)
                    took = seconds(training.update, device, 1.0 if device == "cuda" else 0.2)
                except Exception as e:  # a kernel that this torch or this GPU lacks
                    found[f"{name} {kernel}"] = f"{type(e).__name__}: {(str(e).strip().splitlines() or [''])[0]}"
                else:
                    found[f"{name} {kernel}"] = round(1e3 * took, 2)
    return found


# -- several trainings on one GPU --------------------------------------------------------------------------------------


def trained_for(device: str, model: Path, budget: float) -> dict[str, float]:
    """Examples per second of one training at batch 32 in bf16, behind a line that says it is ready."""
    import torch

    if device == "cpu":
        torch.set_num_threads(1)
    training = Training(device, model, 32, "bf16", 64 if device == "cuda" else 16)
    training.update()
    wait(device)
    print("ready", flush=True)
    sys.stdin.readline()
    return {"examples_per_second": 32 / seconds(training.update, device, budget)}


def sharing(device: str, model: Path) -> dict[str, Any]:
    """Examples per second of several trainings at a time, each in its own process, as Ray starts them."""
    totals: dict[int, float] = {}
    for n in (1, 2, 4, 8) if device == "cuda" else (1, 2):
        command = [sys.executable, __file__, "--device", device, "--model", str(model), "--train-for"]
        command.append("5" if device == "cuda" else "1")
        pipe = subprocess.PIPE
        ones = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(n)]
        try:
            for one in ones:
                assert one.stdout is not None
                if one.stdout.readline().strip() != "ready":
                    raise RuntimeError(f"of {n} trainings at a time one does not start")
            answers = []
            for one in ones:
                assert one.stdin is not None
                one.stdin.write("go\n")
                one.stdin.flush()
            for one in ones:
                answers.append(json.loads(one.communicate(timeout=120)[0])["examples_per_second"])
            totals[n] = sum(answers)
        except (RuntimeError, ValueError, KeyError, subprocess.TimeoutExpired):
            break  # they do not fit
        finally:
            for one in ones:
                one.kill()
                one.wait()
    best = max(totals, key=lambda n: totals[n], default=0)
    return {"examples_per_second": {n: round(x, 1) for n, x in totals.items()}, "most_at": best}


if __name__ == "__main__":
    sys.exit(main())
