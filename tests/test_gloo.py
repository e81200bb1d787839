"""The simulated ranks tell the truth: real processes under gloo compute what one process computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from cells import PLACES, TRAINED, assert_close_json, assert_same_state, opened, spec_of, state_of, undisturbed

from raystudy import train
from raystudy.nn.workers import ProcessGroup


def rank(rank: int, size: int, folder: str) -> None:
    """One process: every trained variant in turn, in one group."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet-{size}", rank=rank, world_size=size)
    results = {}
    for variant in TRAINED:
        with opened() as kept:
            record = train.run(spec_of(variant), PLACES, workers=ProcessGroup()).record.to_json()
        results[variant] = record, state_of(kept[rank][0])
    torch.save(results, f"{folder}/{size}-{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("size", [2, 3])
def test_processes_compute_what_one_computes(size: int, tmp_path: Path) -> None:
    mp.spawn(rank, args=(size, str(tmp_path)), nprocs=size)
    for r in range(size):
        results = torch.load(tmp_path / f"{size}-{r}.pt", weights_only=True)
        for variant in TRAINED:
            record, state = results[variant]
            record.pop("seconds")
            assert_close_json(record, undisturbed(variant).record, 1e-10)
            assert_same_state(state, undisturbed(variant).state, 1e-10)
