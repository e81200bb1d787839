"""What a training asks of a GPU, tried on a device that computes as the CPU does and sees who waits (`watched`).

The numbers of a real GPU no test here can know; `benchmarks/gpu_check.py` compares them.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cells import PLACES, TRAINED, places_of, spec_of, unchecked
from torch import Tensor
from watched import at_home, watched, watching

from raystudy import cluster, train
from raystudy.catalogue import catalogue
from raystudy.errors import PreflightError
from raystudy.methods import BaseMethod
from raystudy.nn import encoder
from raystudy.nn.dropout import seed_draws
from raystudy.spec import Numerics
from raystudy.study.pool.gpu_share import MOST, trainings_per_gpu
from raystudy.workers import Alone

# one variant of every way to compute an update; others differ in what is drawn, or in a number
COMPUTED = (
    *("single_task", "adapter_fusion", "bert_adv_grl", "maml", "meta_dtl", "metaxt", "mft", "task_combination"),
    *("task_distance", "tawt_joint_w", "tawt_samples_pre_w"),
)
# Of these operations CUDA has no form with one result (torch.use_deterministic_algorithms lists them).
UNREPEATABLE = {
    *("kthvalue", "histc", "bincount", "put_", "cumsum_backward", "_embedding_bag", "nll_loss2d_forward"),
    *("scatter_reduce", "_ctc_loss", "adaptive_avg_pool2d_backward", "median"),
}


# torch compiles its own rules for forward mode when it is first used
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")


def test_every_method_is_tried() -> None:
    assert {catalogue().variant(v).method for v in COMPUTED} == {catalogue().variant(v).method for v in TRAINED}


def updated(
    variant: str, device: torch.device, **settings: Any
) -> tuple[BaseMethod[Any], dict[str, Tensor], list[Counter[str]]]:
    """A method behind two updates of each stage, its weights, and what each update waited for."""
    spec = spec_of(variant, **settings)
    with pytest.MonkeyPatch.context() as m:
        m.setattr(train, "device_of", lambda spec: device)
        method = train.method_of(spec, train.load_tasks(spec, None), places_of(spec), Alone())
    method.constants = method.compute_constants()
    waits = []
    for stage in (*method.transfer(), *method.adapt()):
        seed_draws(device, 1)
        stage.start()
        method.train()
        for step in range(2):
            seed_draws(device, step)
            drawn = stage.draw(step)
            with watching() as seen:
                stage.update(step, drawn)
            waits.append(seen.waits)
            assert not UNREPEATABLE & set(seen.operations)
            if stage.after is not None and (step + 1) % stage.after_every == 0:
                with watching() as seen:
                    stage.after(step)
                assert not UNREPEATABLE & set(seen.operations)
    return method, {k: at_home(v.detach()) for k, v in method.state_dict().items()}, waits


@pytest.mark.parametrize("variant", COMPUTED)
def test_an_update_makes_every_tensor_where_it_trains_and_waits_for_none(variant: str) -> None:
    with unchecked():
        _, here, _ = updated(variant, torch.device("cpu"))
        _, there, waits = updated(variant, watched())
    for name, value in here.items():
        torch.testing.assert_close(
            there[name], value, rtol=0, atol=1e-9, equal_nan=True, msg=lambda m, n=name: f"{n}: {m}"
        )
    assert not any(waits), "an update waits for the GPU; only what is reported may"


def test_a_cell_on_a_gpu_gives_what_it_gives_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way: stages, checkpoints of best weights by dev, answers to test."""
    spec = spec_of("multi_task", validations=2)
    with unchecked():
        here = train.run(spec, PLACES)
        monkeypatch.setattr(train, "device_of", lambda spec: watched())
        with watching() as seen:
            there = train.run(spec, PLACES)
    assert there.record.metrics == here.record.metrics
    assert {s: p.pred for s, p in there.predictions.items()} == {s: p.pred for s, p in here.predictions.items()}
    assert seen.operations["_fused_adamw_"]


def test_a_gpu_that_is_not_there_is_never_replaced_by_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of("single_task")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cuda = spec.__class__(**{**vars(spec), "numerics": spec.numerics.model_copy(update={"device": "cuda"})})
    with pytest.raises(PreflightError, match=r"numerics\.device: is cuda, and torch .* sees no GPU"):
        train.run(cuda, PLACES)


# -- attention without padding -----------------------------------------------------------------------------------------


def by_text(q: Tensor, k: Tensor, v: Tensor, begins: Tensor, *_: Any, scale: float | None, window_size: Any) -> Tensor:
    """`varlen_attn` in words: (T, heads, D), plain attention within each text."""
    out = []
    for a, b in pairwise(begins.tolist()):
        there, n = [x[a:b].transpose(0, 1) for x in (q, k, v)], torch.arange(b - a)
        far = (n[:, None] - n).abs() > (b - a if window_size[0] < 0 else window_size[0])
        out.append(F.scaled_dot_product_attention(*there, attn_mask=~far, scale=scale).transpose(0, 1))
    return torch.cat(out)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
@pytest.mark.parametrize("kernel", ["variable-length", "nested"])
@pytest.mark.parametrize("window", [None, 3])
def test_attention_without_padding_is_attention(
    kernel: str, window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In values and in derivatives; torch's own kernel for texts in a row stands for itself (`by_text`) on a CPU."""
    if kernel == "nested" and window:
        return  # has no windows: `attention_kernel` answers "padded"
    g = torch.Generator().manual_seed(0)
    offsets = torch.tensor([0, 3, 4, 11, 13])
    x = [torch.randn(1, 2, 13, 4, generator=g, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    packing = encoder._Packing.of(offsets, False, offsets.device)
    outs = []
    for chosen in ("padded", kernel):
        monkeypatch.setattr(encoder, "attention_kernel", lambda *args, chosen=chosen, **kwargs: chosen)
        monkeypatch.setattr(encoder, "_varlen_attn", lambda: by_text)
        out, _ = encoder._packed_attention(
            torch.nn.Identity(), *x, None, packing=packing, scaling=0.3, sliding_window=window
        )
        outs.append((out, *torch.autograd.grad(out.pow(3).sum(), x)))
    for padded, flat in zip(*outs, strict=True):
        torch.testing.assert_close(flat, padded)


def test_which_attention_is_for_what() -> None:
    half, single = torch.bfloat16, torch.float32
    rules = {"exact": False, "dropout": 0.0}
    assert encoder.attention_kernel("cpu", half, **rules) == "padded", "what a CPU computes stays as it was"
    assert encoder.attention_kernel("cuda", single, exact=True, dropout=0.0) == "padded"
    assert encoder.attention_kernel("cuda", half, **rules) == "variable-length"
    assert encoder.attention_kernel("cuda", half, exact=False, dropout=0.1) == "nested"
    assert encoder.attention_kernel("cuda", single, **rules) == "nested"
    assert encoder.attention_kernel("cuda", single, **rules, local=True) == "padded"


# -- several trainings on one GPU --------------------------------------------------------------------------------------


def test_how_many_trainings_share_a_gpu() -> None:
    gib = 1 << 30
    assert trainings_per_gpu(140 * gib, 1 * gib) == MOST
    assert trainings_per_gpu(8 * gib, 3 * gib) == 1, "two need 7.2 GiB, and 6.8 are given out"
    assert trainings_per_gpu(8 * gib, 2 * gib) == 2
    assert trainings_per_gpu(1 * gib, 9 * gib) == 1, "it is tried, and says itself that it does not fit"


def test_workers_of_one_training_take_whole_gpus() -> None:
    wide = Numerics(device="cuda", workers=2)
    assert cluster._gpu_share(cluster.Cluster(), wide, PLACES, []) == (1, "")
    with pytest.raises(PreflightError, match="whole GPUs"):
        cluster._gpu_share(cluster.Cluster(gpu_share=2), wide, PLACES, [])
    assert cluster._gpu_share(cluster.Cluster(gpu_share=2), Numerics(device="cuda"), PLACES, []) == (2, "")
