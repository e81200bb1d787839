"""What a second process brings to one training: two processes of one thread each, beside one of one thread.

    python benchmarks/data_parallel.py [--updates 12] [--repeats 3] [--plm minilm] [--quick] [--json]

Both make the same updates of plain fine-tuning over the same batches of 32 sentences, as a study does with
`numerics.workers: 2` (gloo, one flat sum of all gradients per update). Two processes train at a time, so this is a
matter of the clock: seconds from the first update to the last, the slower rank's. A machine with another program at
work, or with one core, shows little.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import time
from statistics import median
from typing import Any

from measuring import on_one_thread, print_rows, ratio, sentences

BATCH = 32


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plm", default="minilm")
    parser.add_argument("--updates", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="2 updates, one round: seconds, and numbers of no worth")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.updates, args.repeats = 2, 1
    on_one_thread()

    context = multiprocessing.get_context("spawn")
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(args.repeats):
        for size in (1, 2):
            answers: Any = context.SimpleQueue()
            port = _free_port()
            given = size, port, args.plm, args.updates, answers
            ranks = [context.Process(target=_rank, args=(r, *given)) for r in range(size)]
            for rank in ranks:
                rank.start()
            seconds[size].append(max(answers.get() for _ in range(size)))
            for rank in ranks:
                rank.join()
    took = {size: median(s) for size, s in seconds.items()}
    rows = [
        {
            "processes": size,
            "seconds_per_update": round(s / args.updates, 4),
            "faster_than_one_by": ratio(took[1], s),
        }
        for size, s in took.items()
    ]
    print_rows(rows, as_json=args.json, plm=args.plm, updates=args.updates, repeats=args.repeats, cores=os.cpu_count())


def _rank(rank: int, size: int, port: int, plm: str, updates: int, answers: Any) -> None:
    """Train as one rank of a group; answers the seconds of all updates but the first, which makes what others use."""
    on_one_thread()
    import torch
    import torch.distributed as dist

    from raystudy.catalogue import catalogue
    from raystudy.data.plm import resolve
    from raystudy.data.text import Corpus, encode
    from raystudy.methods import Setup, hparams
    from raystudy.methods.single_task import HParams, Method
    from raystudy.workers import Alone, ProcessGroup, Workers

    workers: Workers = Alone()
    if size > 1:
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
        workers = ProcessGroup()
    task, model = sentences(BATCH * (updates + 1)), resolve(plm)
    settings = catalogue().resolve("single_task", {"batch_size": BATCH, "epochs": 1})
    corpus = Corpus((encode(task, "train", model, 128),))
    torch.manual_seed(0)
    method = Method(Setup(model, (task.name,), corpus, 0, 1, hparams(HParams, settings), workers))
    (stage,) = method.adapt()
    stage.start()
    method.train()
    stage.update(0, stage.draw(0))
    workers.gather(None)
    start = time.perf_counter()
    for step in range(1, updates + 1):
        stage.update(step, stage.draw(step))
    answers.put(time.perf_counter() - start)
    if size > 1:
        dist.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


if __name__ == "__main__":
    main()
