"""Masks of dropout depend on a seed alone, can be drawn again, and leave later draws as they were."""

from __future__ import annotations

import torch

from raystudy.nn.dropout import replayed_masks, seed_draws

CPU = torch.device("cpu")


def test_seeding_is_that_of_torch() -> None:
    for seed in (0, 7, 2**62 + 3):
        seed_draws(CPU, seed)
        ours = torch.rand(5)
        torch.manual_seed(seed)
        assert torch.equal(ours, torch.rand(5))


def test_masks_are_replayed_and_what_follows_does_not_notice() -> None:
    seed_draws(CPU, 1)
    before, after = torch.rand(3), torch.rand(3)
    seed_draws(CPU, 1)
    assert torch.equal(torch.rand(3), before)
    with replayed_masks(CPU, 9):
        first = torch.nn.functional.dropout(torch.ones(50), 0.5)
    with replayed_masks(CPU, 9):
        assert torch.equal(torch.nn.functional.dropout(torch.ones(50), 0.5), first)
    assert torch.equal(torch.rand(3), after)
