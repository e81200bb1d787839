"""Masks of dropout depend on a seed alone, can be drawn again, and leave later draws as they were."""

from __future__ import annotations

import torch

from raystudy.nn.dropout import replayed_masks, seed_draws, without_dropout

CPU = torch.device("cpu")


def test_seeding_is_that_of_torch() -> None:
    for seed in (0, 7, 2**62 + 3):
        seed_draws(CPU, seed)
        ours = torch.rand(5)
        torch.manual_seed(seed)
        assert torch.equal(ours, torch.rand(5))


def test_nothing_is_dropped_for_a_while_and_the_mode_of_before_comes_back() -> None:
    module = torch.nn.Dropout(0.5)
    for training in (True, False):
        module.train(training)
        with without_dropout(module):
            assert torch.equal(module(torch.ones(50)), torch.ones(50))
        assert module.training is training


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
