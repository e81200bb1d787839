"""The nets that make labels of a source into labels of the target: what they read, and what they cannot say."""

from __future__ import annotations

import pytest
import torch

from raystudy.nn.gradients import local_gradient
from raystudy.nn.label_transfer import LTN


@pytest.mark.parametrize("universal", [False, True])
def test_ltn(universal: bool) -> None:
    ltn = LTN(5, [3, 2], 4, 8, 6, universal).double()
    ltn.fresh(torch.Generator().manual_seed(0))
    assert all(sum(isinstance(m, torch.nn.Linear) for m in net) == 3 for net in ltn.nets)  # type: ignore[union-attr]
    h = torch.randn(5, 5, dtype=torch.float64)
    y, source = torch.tensor([0, 1, 2, 0, 1]), torch.tensor([0, 0, 0, 1, 1])
    q = ltn(h, y, source)
    torch.testing.assert_close(q.sum(-1), torch.ones(5).double())
    assert (q > 0).all()
    # the order of the rows does not matter, nor what else is in the batch
    order = torch.tensor([3, 0, 4, 2, 1])
    torch.testing.assert_close(ltn(h[order], y[order], source[order]), q[order])
    torch.testing.assert_close(ltn(h[3:], y[3:], source[3:]), q[3:])
    # it may start from even labels, and learns from there
    ltn.fresh(torch.Generator().manual_seed(0), even=True)
    even = ltn(h, y, source)
    torch.testing.assert_close(even, torch.full((5, 4), 0.25).double())
    assert all(g is None or g.isfinite().all() for g in local_gradient(even[:, 0].sum(), list(ltn.parameters())))
    ltn.fresh(torch.Generator().manual_seed(0))
    # it reads the label, the example and the source
    for changed in (ltn(h, (y + 1) % 2, source), ltn(h + 1, y, source), ltn(h, y.clamp_max(1), 1 - source)):
        assert not torch.allclose(changed, q)


@pytest.mark.parametrize("universal", [False, True])
def test_centred_labels(universal: bool) -> None:
    """What the labels of one source say of an example cancels out: the prior is all that is left of their mean."""
    prior = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    ltn = LTN(5, [3, 2], 4, 8, 6, universal, prior).double()
    generator = torch.Generator().manual_seed(0)
    ltn.fresh(generator)
    h = torch.randn(6, 5, dtype=torch.float64, generator=generator)
    for source, n in ((0, 3), (1, 2)):
        at = torch.full((6,), source)
        every = torch.stack([ltn(h, torch.full((6,), y), at) for y in range(n)])
        torch.testing.assert_close(every.sum(-1), torch.ones(n, 6).double())
        # the mean over y' of log q(h, y') - log prior is the same for all classes of the target
        mean = (every.log() - prior.log()).mean(0)
        torch.testing.assert_close(mean, mean[:, :1].expand(6, 4))
        assert every.std(0).max() > 0.01
    # a net that does not read the label has nothing to say, nor has one without a last layer
    with torch.no_grad():
        for labels in ltn.labels:
            labels.weight.fill_(1.0)
    y, mixed = torch.tensor([0, 1, 2, 0, 1, 1]), torch.tensor([0, 0, 0, 1, 1, 0])
    torch.testing.assert_close(ltn(h, y, mixed), prior.expand(6, 4))
    ltn.fresh(generator, even=True)
    torch.testing.assert_close(ltn(h, y, mixed), prior.expand(6, 4))


def test_ltn_of_an_absent_source_does_not_move() -> None:
    ltn = LTN(5, [3, 2], 4, 8, 6, False)
    q = ltn(torch.randn(4, 5), torch.tensor([0, 1, 2, 0]), torch.zeros(4, dtype=torch.long))
    grads = dict(zip(ltn.state_dict(), local_gradient(q.square().sum(), list(ltn.parameters())), strict=True))
    assert {n for n, g in grads.items() if g is None} == {n for n in grads if n.split(".")[1] == "1"}
