"""AdapterFusion: who learns in which stage, and what the fusion's loss is made of."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cells import method_over, planted, ran, spec_of, state_of
from torch import Tensor

from raystudy.errors import DataError
from raystudy.methods import Stage
from raystudy.methods.adapter_fusion import Method
from raystudy.workers import simulate

SETTINGS = {"lr": 1e-2, "fusion_lr": 1e-2, "max_updates": 2, "reduction_factor": 1}


def method(**settings: Any) -> Method:
    tasks = {t: planted(t, n_train=14) for t in ("target", "source")}
    made = method_over(tasks, "adapter_fusion", **{**SETTINGS, **settings})
    assert isinstance(made, Method)
    return made


def moved(made: Method, stage: Stage) -> set[str]:
    """The tensors that one stage changes, after its new parts are in place."""
    stage.start()
    before = state_of(made)
    for step in range(stage.length.updates):
        stage.update(step, stage.draw(step))
    return {k for k, v in state_of(made).items() if not torch.equal(v, before[k])}


def test_every_stage_trains_its_own_part() -> None:
    made = method()
    for n, stage in enumerate(made.transfer()):
        changed = moved(made, stage)
        adapter = {k for k in changed if k.startswith(f"encoder.body.inside.adapters.{n}.")}
        assert changed - adapter == {f"encoder.heads.{n}.weight", f"encoder.heads.{n}.bias"}
        assert len(adapter) == 4 * made.encoder.body.depth
    (fusion,) = made.adapt()
    changed = moved(made, fusion)
    fused = {k for k in changed if k.startswith("encoder.body.inside.fusions.")}
    # the PLM and the adapters stay as they are, bit for bit
    assert changed - fused == {"encoder.heads.0.weight", "encoder.heads.0.bias"}
    assert any("value" in k for k in fused)


def test_plm_is_the_pre_trained_one_in_the_end() -> None:
    whole = ran(spec_of("adapter_fusion"))
    plain = {k: v for k, v in whole.state.items() if k.startswith("encoder.body.model.")}
    untouched = state_of(method_over({"a": planted("target"), "b": planted("source")}, "adapter_fusion"))
    assert plain
    for k, v in plain.items():
        assert torch.equal(v, untouched[k]), k


def test_loss_of_the_fusion() -> None:
    made = method(regularisation=0.5)
    (fusion,) = made.adapt()
    fusion.start()
    batch = fusion.draw(0)
    with torch.no_grad():
        for i, f in enumerate(made.adapters.fusions):
            f.value.weight.copy_(torch.eye(made.encoder.body.hidden))  # type: ignore[union-attr, operator]
            f.value.weight[0, 0] += i + 1  # type: ignore[index, union-attr]
        # (1^2 + 2^2) of the two layers
        extra = made.fusion_loss(batch) - made.mean_loss(batch)
        assert extra.item() == pytest.approx(0.5 * 5, abs=1e-12)

    def share(workers: Any) -> Tensor:
        tasks = {t: planted(t, n_train=14) for t in ("target", "source")}
        mine = method_over(tasks, "adapter_fusion", workers=workers, **SETTINGS, regularisation=0.5)
        assert isinstance(mine, Method)
        mine.load_state_dict(made.state_dict())
        mine.adapters.use("fused")
        with torch.no_grad():
            return mine.fusion_loss(batch)

    # the regulariser is counted once, however many share the batch
    with torch.no_grad():
        assert sum(simulate(3, share)).item() == pytest.approx(made.fusion_loss(batch).item(), abs=1e-12)


def test_answers_come_through_the_fusion() -> None:
    made = method()
    (fusion,) = made.adapt()
    fusion.start()
    batch = fusion.draw(0)
    made.eval()
    with torch.no_grad():
        (with_fusion,) = made.encoder.answers(batch)
        made.adapters.use(None)
        (without,) = made.encoder.answers(batch)
    assert not torch.allclose(with_fusion.logits, without.logits)


def test_one_task_alone_has_nothing_to_fuse() -> None:
    with pytest.raises(DataError, match="two of them"):
        method_over({"target": planted("target")}, "adapter_fusion")
