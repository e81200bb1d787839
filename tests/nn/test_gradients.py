"""One update against torch's own: AdamW, clipping, the schedule; divergence is an error."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from raystudy.nn.gradients import adamw, clip, descend, summed_gradient, warmup_linear
from raystudy.workers import Alone, Workers, share, simulate


class Net(nn.Module):
    """Weights, biases, a LayerNorm, and a part that no loss reaches."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.norm, self.b = nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 2)
        self.unused, self.frozen = nn.Linear(3, 3), nn.Linear(4, 6).requires_grad_(False)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.norm(torch.tanh(self.a(x) + self.frozen(x))))


def data() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.randn(5, 11, 4, generator=g, dtype=torch.float64), 5 * torch.randn(5, 11, 2, generator=g).double()


def reference(net: Net, largest: float, decay: float) -> nn.Module:
    """The usual loop: backward, clip_grad_norm_, step, zero_grad."""
    net = copy.deepcopy(net)
    trained = [(n, p) for n, p in net.named_parameters() if p.requires_grad]
    plain = [p for n, p in trained if "bias" in n or "norm" in n]
    heavy = [p for n, p in trained if not ("bias" in n or "norm" in n)]
    groups = [{"params": heavy, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.999), eps=1e-8, foreach=False, fused=False)
    for step, (x, y) in enumerate(zip(*data(), strict=True)):
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * (step + 1)
        ((net(x) - y) ** 2).sum(1).mean().backward()
        if largest:
            torch.nn.utils.clip_grad_norm_(net.parameters(), largest)
        optimizer.step()
        optimizer.zero_grad()
    return net


def ours(net: Net, largest: float, decay: float, workers: Workers) -> nn.Module:
    net = copy.deepcopy(net)
    optimizer = adamw(net, 1.0, decay)
    for step, (x, y) in enumerate(zip(*data(), strict=True)):
        mine = share(len(x), workers)
        loss = ((net(x[mine]) - y[mine]) ** 2).sum() / len(x)
        descend(loss, optimizer, 0.01 * (step + 1), largest, workers)
    return net


@pytest.mark.parametrize("largest", [0.0, 0.5, 1e9])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_descend_is_adamw_step_for_step(largest: float, size: int) -> None:
    start = Net()
    wanted = reference(start, largest, 0.1).state_dict()
    for net in simulate(size, lambda workers: ours(start, largest, 0.1, workers)):
        for k, v in net.state_dict().items():
            torch.testing.assert_close(v, wanted[k], rtol=1e-9, atol=1e-11)
        # what no loss reaches does not even decay; what is frozen stays
        for part in ("unused", "frozen"):
            assert torch.equal(net.state_dict()[f"{part}.weight"], start.state_dict()[f"{part}.weight"])


def test_gradients_are_left_nowhere() -> None:
    net = Net()
    optimizer = adamw(net, 0.1, 0.0)
    x, y = data()
    descend(((net(x[0]) - y[0]) ** 2).mean(), optimizer, 0.1, 1.0, Alone())
    assert all(p.grad is None for p in net.parameters())


def test_gradients_of_an_empty_share_are_zero() -> None:
    """A rank without examples passes a constant, and gets what the others found."""
    net = Net()
    x, y = data()
    wanted = torch.autograd.grad(((net(x[0]) - y[0]) ** 2).sum(), [net.a.weight])[0]

    def work(workers: Workers) -> list[Tensor | None]:
        loss = ((net(x[0]) - y[0]) ** 2).sum() if workers.rank == 0 else torch.zeros((), dtype=torch.float64)
        return summed_gradient(loss, [net.a.weight, net.unused.weight], workers)

    for g, none in simulate(2, work):
        torch.testing.assert_close(g, wanted, rtol=0, atol=0)
        assert none is None


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=8), st.just(0.0) | st.floats(1e-3, 100))
def test_clip(values: list[float], largest: float) -> None:
    g = [torch.tensor(values, dtype=torch.float64), None, torch.tensor(values[:1], dtype=torch.float64)]
    before = torch.cat([t for t in g if t is not None]).clone()
    norm = clip(g, largest)
    after = torch.cat([t for t in g if t is not None])
    # the norm before is returned; the norm after is at most `largest`; the direction stays; 0 = leave them
    assert norm == pytest.approx(float(before.norm()))
    if largest == 0 or norm <= largest:
        assert torch.equal(after, before)
    else:
        assert float(after.norm()) <= largest * (1 + 1e-9)
        torch.testing.assert_close(after * (norm + 1e-6) / largest, before, rtol=1e-6, atol=1e-12)


def test_clip_scales_a_shared_gradient_once() -> None:
    """Autograd may answer two parameters with one tensor: their sum's gradient is theirs."""
    a, b = (torch.zeros(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    g = summed_gradient(((a + b) * torch.tensor([3.0, 0.0, 4.0])).sum(), [a, b], Alone())
    norm = clip(g, 1.0)
    assert norm == pytest.approx(50**0.5)
    for t in g:
        assert t is not None
        assert t.tolist() == pytest.approx([3 / norm, 0, 4 / norm], rel=1e-5)


def test_clip_of_nothing() -> None:
    assert clip([None, None], 1.0) == 0.0


@given(st.integers(1, 400), st.floats(0, 1))
def test_schedule_rises_to_the_peak_and_falls(steps: int, warmup: float) -> None:
    factor = warmup_linear(steps, warmup)
    f = [factor(s) for s in range(steps)]
    rising = round(steps * warmup)
    # no update is lost: every factor is positive; none is above the peak, which is reached
    assert all(0 < x <= 1 for x in f)
    assert max(f) == 1
    # it rises over the warm-up and falls over the rest
    assert f[:rising] == sorted(f[:rising])
    assert f[rising:] == sorted(f[rising:], reverse=True)
    if rising < steps:
        assert f[-1] == pytest.approx(1 / (steps - rising))
    if rising:
        assert f[0] == pytest.approx(1 / rising)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("size", [1, 2])
def test_divergence_is_an_error_on_every_rank(bad: float, size: int) -> None:
    net = Net()
    before = copy.deepcopy(net.state_dict())

    def work(workers: Workers) -> None:
        mine = net if workers.size == 1 else copy.deepcopy(net)
        scale = bad if workers.rank == 0 else 1.0
        loss = mine(torch.ones(2, 4, dtype=torch.float64)).sum() * scale
        with pytest.raises(FloatingPointError, match=r"diverged \(learning rate 0\.5\)"):
            descend(loss, adamw(mine, 0.5, 0.0), 0.5, 1.0, workers)

    simulate(size, work)
    # and the weights were not touched
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
