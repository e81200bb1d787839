"""How many trainings a GPU takes at a time, by the memory that one of them was measured to need.

A small model leaves most of a large GPU idle: each of its kernels is short, and between them the GPU waits for Python.
Several trainings, each in its own process, fill the gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from raystudy.data.plm import PLM, resolve
from raystudy.data.text import IGNORED, Batch
from raystudy.methods import hparams
from raystudy.nn.encoder import Encoder, untrained_body
from raystudy.nn.gradients import adamw, descend
from raystudy.nn.losses import cross_entropy
from raystudy.plugins import find_module
from raystudy.spec import Places, Spec
from raystudy.tasks import load
from raystudy.workers import Alone

__all__ = ["MOST", "measured_on_a_gpu", "training_bytes", "trainings_per_gpu"]

MOST = 4  # by default; beyond it processes wait for the same cores and the same GPU
CONTEXT = 600_000_000  # bytes that CUDA takes for each process beside what torch allocates
SPARE = 0.85  # of the free memory is given out: the caching allocator keeps more than it uses
SECOND_ORDER = 3  # times as much where a training keeps the graph of its gradients


def trainings_per_gpu(free: int, one: int) -> int:
    """How many trainings that need `one` bytes each a GPU with `free` bytes takes; at least one, at most `MOST`."""
    return max(1, min(MOST, int(SPARE * free / (one + CONTEXT))))


def training_bytes(plm: PLM, examples: int, length: int, precision: str, *, second_order: bool) -> int:
    """The memory that two updates on the current GPU were measured to need at most, of texts that are all so long.

    Args:
        examples: of a batch. length: in word pieces.
        second_order: whether trainings differentiate through an update.
    """
    device = torch.device("cuda", torch.cuda.current_device())
    torch.cuda.reset_peak_memory_stats()
    body = untrained_body(plm, length, 0, precision=precision, exact=second_order).to(device)
    encoder = Encoder(body, [2], ["classification"])
    optimizer = adamw(encoder, 1e-5, 0.01)
    one = 1 if plm.width else length
    none, flat = torch.zeros(examples, dtype=torch.long), torch.ones(examples * one, dtype=torch.long)
    batch = Batch(
        *(flat, torch.zeros_like(flat), one * torch.arange(examples + 1), none, none, none, none.double()),
        *(torch.full_like(flat, IGNORED), none.bool()),
        vectors=torch.zeros(examples, length, dtype=torch.float64) if plm.width else None,
    )
    for _ in range(2):  # the optimizer makes its moments in the first
        (answers,) = encoder.answers(batch)
        descend(cross_entropy(answers.logits, batch.to(device).labels).mean(), optimizer, 1e-5, 1.0, Alone())
    needed = torch.cuda.max_memory_allocated()
    del encoder, body, optimizer, answers
    torch.cuda.empty_cache()
    return needed * (SECOND_ORDER if second_order else 1)


def measured_on_a_gpu(places: Places, cells: Sequence[Spec]) -> tuple[int, int]:
    """(free bytes of this process's GPU, the bytes that the most demanding of some cells needs on it)."""
    plm = resolve(places.plm, places.revision)
    free = int(torch.cuda.mem_get_info()[0])
    root = Path(places.data_root) if places.data_root else None
    lengths = {
        name: load(name, root=root, options=cell.task_options.get(name.partition("/")[0])).length
        for cell in {c.suite: c for c in cells}.values()
        for name in cell.suite
    }
    demands = set()
    for cell in cells:
        module = find_module("methods", cell.method)
        examples = int(cell.settings.get("batch_size", 32))
        longest = min(cell.length or max(lengths[name] for name in cell.suite), plm.positions)
        exact = bool(module.Method.exact(hparams(module.HParams, cell.settings)))
        demands.add((exact, examples * longest, examples, longest))
    worst = {exact: max(d for d in demands if d[0] == exact) for exact in {d[0] for d in demands}}
    precision = cells[0].numerics.precision
    needed = [training_bytes(plm, n, longest, precision, second_order=e) for e, _, n, longest in worst.values()]
    return free, max(needed)
