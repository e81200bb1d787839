"""The two halves of a training, trained and judged, and what a stage may ask of the loop over its updates."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import (
    PLACES,
    UPDATES,
    Killed,
    assert_same,
    assert_same_answers,
    assert_same_state,
    comparable,
    method_over,
    planted,
    ran,
    spec_of,
    state_of,
    undisturbed,
)
from torch import Tensor, nn

from raystudy import train
from raystudy.analysis.compute import compute
from raystudy.analysis.markdown import to_markdown
from raystudy.analysis.sections.scores import main_table
from raystudy.methods import BaseMethod, Stage, single_task
from raystudy.spec import Places
from raystudy.study.plan import Plan
from raystudy.studyfile import Study


def test_trained_and_judged_are_a_run() -> None:
    whole = undisturbed("meta_dtl")
    cell = train.trained(whole.outcome.record.spec, PLACES)
    assert_same_state(state_of(cell.method), whole.state)
    assert cell.updates == whole.outcome.record.updates
    # judging changes nothing: a second time gives the same
    for outcome in (train.judged(cell), train.judged(cell)):
        assert comparable(outcome.record) == whole.record
        assert_same_answers(outcome, whole.outcome)
    assert_same_state(state_of(cell.method), whole.state)
    # the weights answer a split that no record was made of, and any task with a head
    assert len(cell.answers("planted/source", "train").pred) == len(cell.tasks["planted/source"].splits["train"])


def with_stage(monkeypatch: pytest.MonkeyPatch, change: Callable[[BaseMethod[Any], Stage], Stage]) -> None:
    """single_task with another stage than its own."""
    monkeypatch.setattr(
        single_task.Method, "adapt", lambda self: [change(self, stage) for stage in BaseMethod.adapt(self)]
    )


def test_a_hook_is_called_after_every_so_many_updates_and_disturbs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, float]] = []

    def change(method: BaseMethod[Any], stage: Stage) -> Stage:
        def after(step: int) -> None:
            torch.rand(step + 1)  # draws of its own move no later update
            seen.append((step, float(torch.rand(()))))

        return replace(stage, after=after, after_every=2)

    plain = ran(spec_of("single_task", dropout=0.1))
    with_stage(monkeypatch, change)
    hooked = ran(spec_of("single_task", dropout=0.1))
    assert_same(hooked, plain)
    first, seen[:] = list(seen), []
    assert [step for step, _ in first] == [1, 3] and UPDATES == 4
    # what it draws depends on seed and step alone
    ran(spec_of("single_task", dropout=0.1))
    assert seen == first


def test_what_a_hook_writes_into_the_state_survives_a_death(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    def change(method: BaseMethod[Any], stage: Stage) -> Stage:
        if "count" not in dict(method.named_buffers()):
            method.register_buffer("count", torch.zeros(()))

        def after(step: int) -> None:
            method.get_buffer("count").add_(step + 1)

        return replace(stage, after=after, after_every=1)

    with_stage(monkeypatch, change)
    original = train.method_of

    def method_of(*args: Any) -> BaseMethod[Any]:
        method = original(*args)
        method.register_buffer("count", torch.zeros(()))
        return method

    monkeypatch.setattr(train, "method_of", method_of)
    spec, checkpoint = spec_of("single_task"), train.Checkpoint(tmp_path / "c", seconds=0)
    straight = ran(spec)
    assert straight.state["count"] == 1 + 2 + 3 + 4
    with pytest.raises(Killed):
        ran(spec, kill=("finetune", 2), checkpoint=checkpoint)
    assert_same_state(ran(spec, checkpoint=checkpoint).state, straight.state)


def sgd(module: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=lr)


def test_a_stage_may_have_another_optimizer() -> None:
    """One step of SGD is theta - lr g, at the rate of the schedule."""
    method = method_over({"planted/target": planted("target")}, "single_task", lr=0.5, warmup=0.5, clip=0)
    stage = method.finetune(optimizer=sgd)
    stage.start()
    before, batch = state_of(method), stage.draw(0)
    names, theta = zip(*method.named_parameters(), strict=True)
    g = torch.autograd.grad(method.mean_loss(batch), theta, allow_unused=True)
    stage.update(0, batch)
    rate = 0.5 / 3  # half of six updates is warm-up
    for name, d in zip(names, g, strict=True):
        expected = before[name] if d is None else before[name] - rate * d
        torch.testing.assert_close(state_of(method)[name], expected, rtol=0, atol=1e-14)


def heads_at_start(keep: bool) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    method = method_over({"planted/target": planted("target")}, "single_task")
    with torch.no_grad():
        method.encoder.head(0).weight.fill_(0.25)
    before = state_of(method)
    method.finetune(keep_head=keep).start()
    return before, state_of(method)


def test_fine_tuning_starts_from_a_new_head_or_keeps_a_trained_one() -> None:
    assert_same_state(*heads_at_start(keep=True))
    before, after = heads_at_start(keep=False)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.startswith("encoder.heads.0") and "weight" in name}


def test_a_record_names_the_second_metric_and_what_its_test_is(tmp_path: Path) -> None:
    """From a folder of MRPC's name to the cell of a table: both metrics, and that it is not the published test."""
    rows = [
        {"text": f"text {i}", "text_pair": "another", "label": "equivalent" if i % 3 else "not_equivalent"}
        for i in range(12)
    ]
    for split in ("train", "validation", "test"):
        (tmp_path / "mrpc").mkdir(exist_ok=True)
        (tmp_path / "mrpc" / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    study = Study.model_validate(
        {
            "name": "x",
            "plm": "tiny",
            "tasks": ["mrpc"],
            "methods": ["majority"],
            "report": {"seeds": 1, "baseline": "majority"},
        }
    )
    places = Places(data_root=str(tmp_path), plm="tiny")
    study_plan = Plan(study, places)
    (spec,) = study_plan.confirm({})
    record = train.run(spec, places).record
    assert list(record.metrics["test"]) == ["f1", "accuracy"]
    assert record.metrics["test"] == pytest.approx({"f1": 0.8, "accuracy": 2 / 3})
    assert (record.facts["metric"], record.facts["second_metric"]) == ("f1", "accuracy")
    assert "the published ones 3,668 / 408 / 1,725" in record.facts["test_note"]
    assert study_plan.cautions[0] == f"mrpc: {record.facts['test_note']}"
    text = to_markdown(main_table(compute(study, [record], tasks=study_plan.task_facts)))
    assert "| majority class¶ | 80.0/66.7 (1) |" in text
    assert f"mrpc: {record.facts['test_note']}." in text
