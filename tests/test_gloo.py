"""The simulated ranks tell the truth: real processes under gloo compute what one process computes."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from cells import (
    PLACES,
    TRAINED,
    assert_close_json,
    assert_same_state,
    comparable,
    opened,
    spec_of,
    state_of,
    undisturbed,
)
from representatives import representatives

from raystudy import train
from raystudy.catalogue import catalogue
from raystudy.workers import ProcessGroup

SIZES = (3, 2)


def rank(rank: int, folder: str, variants: Sequence[str]) -> None:
    """One process: every variant in turn, in a group of three and, for two of the three, in one of two."""
    torch.set_num_threads(1)
    for size in SIZES:
        if rank >= size:
            return
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet-{size}", rank=rank, world_size=size)
        results = {}
        for variant in variants:
            with opened() as kept:
                record = train.run(spec_of(variant), PLACES, workers=ProcessGroup()).record
            results[variant] = comparable(record), state_of(kept[rank][0])
        torch.save(results, f"{folder}/{size}-{rank}.pt")
        dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("others", [False, pytest.param(True, marks=pytest.mark.full)], ids=["chosen", "others"])
def test_processes_compute_what_one_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: bool) -> None:
    """Slow because torch and transformers are imported once more, by the process that the others are forks of."""
    variants = [v for v in TRAINED if (v in representatives()) != others]
    if not others:  # every method sums over processes at least once
        assert {catalogue().variant(v).method for v in variants} == {catalogue().variant(v).method for v in TRAINED}
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    multiprocessing.set_forkserver_preload(["cells", "transformers.models.bert.modeling_bert"])
    mp.start_processes(rank, args=(str(tmp_path), variants), nprocs=max(SIZES), start_method="forkserver")
    for size in SIZES:
        for r in range(size):
            results = torch.load(tmp_path / f"{size}-{r}.pt", weights_only=True)
            assert results.keys() == set(variants)
            for variant, (record, state) in results.items():
                assert_close_json(record, undisturbed(variant).record, 1e-10)
                assert_same_state(state, undisturbed(variant).state, 1e-10)
