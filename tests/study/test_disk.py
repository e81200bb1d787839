"""How much disk a study takes: the estimate against what training leaves, and what the plan says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cells import method_over, planted

from raystudy import run as running
from raystudy.data.plm import resolve
from raystudy.nn.encoder import trained_parameters
from raystudy.spec import Places
from raystudy.study import disk
from raystudy.study.folder.manifest import write_manifest
from raystudy.study.folder.records import Results
from raystudy.study.plan import Plan
from raystudy.study.pool.local import Local
from raystudy.study.store.cache import LIMIT
from raystudy.study.store.stage_store import StageStore
from raystudy.study.study_run import StudyRun
from study.fakes import study

SMALL = {
    "shots": "[6]",
    "task_options": "{planted: {n_train: 30, n_dev: 12, n_test: 12, length: 8}}",
    "targets": "[planted/target]",
    "settings": "{max_updates: 2, batch_size: 4}",
    "search": "{trials: 0}",
    "report": "{seeds: 2}",
}


def plan_of(folder: Path, **replaced: str) -> Plan:
    return Plan(study(folder, **{**SMALL, **replaced}), Places(plm="tiny", shared=str(folder / "cache")))


@pytest.mark.parametrize("freeze", ["none", "embeddings", "1", "1/2", "all"])
def test_what_is_trained_is_counted_as_the_model_has_it(freeze: str) -> None:
    tasks = {"planted/target": planted("target"), "planted/source": planted("source")}
    body = method_over(tasks, "multi_task").encoder.body
    body.freeze(freeze)
    assert trained_parameters(resolve("tiny"), freeze) == sum(p.numel() for p in body.parameters() if p.requires_grad)


def test_a_network_over_vectors_is_counted_too() -> None:
    assert trained_parameters(resolve("mlp:16"), "none", 8) == 8 * 16 + 16
    assert trained_parameters(resolve("mlp:16"), "1", 8) == 0


METHODS = {
    "single_task": 0.0,
    "multi_task": 0.05,
    "meta_dtl": 0.05,
    "adapter_fusion": 0.3,  # its heads and its headers weigh as much as its adapters
    "multi_task[freeze=embeddings]": 0.1,
    "tawt_fixed": 0.1,  # a second run, with the weights of a first one, which is kept too
}


@pytest.mark.parametrize("variant", METHODS)
def test_stage_results_take_what_the_plan_says(tmp_path: Path, variant: str) -> None:
    methods = list(dict.fromkeys(["single_task", variant]))
    made = plan_of(tmp_path, methods=str(methods).replace("'", '"'))
    expected, results = disk.planned(made), Results(tmp_path / "results")
    run = StudyRun(made, results)
    before = disk.stage_files(tmp_path / "cache")
    run.open()
    run.run_local(Local(made.places, StageStore(tmp_path / "cache" / "stages")))
    write_manifest(run, {"commit": "none"})
    left = disk.spent(results.folder, tmp_path / "cache", before)
    assert left.stages == pytest.approx(
        expected.stages, rel=METHODS[variant], abs=0 if variant == "single_task" else 20_000
    )
    assert left.cells == pytest.approx(expected.cells, rel=0.5)
    assert disk.spent(results.folder, tmp_path / "cache", disk.stage_files(tmp_path / "cache")).stages == 0


def test_trainings_that_share_a_transfer_are_counted_once(tmp_path: Path) -> None:
    """Two targets and three amounts of data share nothing where the transfer reads the few; nor do seeds."""
    one = disk.planned(plan_of(tmp_path, methods="[single_task, multi_task]", fraction="[1.0]", shots="[]")).stages
    whole = {"targets": "[planted/target, planted/source]", "shots": "[]"}
    both = disk.planned(plan_of(tmp_path, methods="[single_task, multi_task]", **whole)).stages
    assert both == pytest.approx(one, rel=0.01), "with all data the transfer is one for all targets"
    few = disk.planned(plan_of(tmp_path, methods="[single_task, multi_task]", shots="[6, 12]")).stages
    assert few == pytest.approx(2 * one, rel=0.01)
    seeds = disk.planned(plan_of(tmp_path, methods="[single_task, multi_task]", report="{seeds: 6}")).stages
    assert seeds == pytest.approx(3 * one, rel=0.01)


def test_a_search_of_what_transfer_reads_takes_a_result_for_each_configuration(tmp_path: Path) -> None:
    def stages(space: str) -> float:
        text = f"{{trials: 4, space: {{meta_dtl: {space}}}}}"
        methods = {"methods": "[single_task, meta_dtl]", "settings": "{batch_size: 4}"}
        return disk.planned(plan_of(tmp_path, search=text, **methods)).stages

    of_transfer, of_adapt = stages("{lr: [1e-4, 1e-3]}"), stages("{epochs: [3, 5]}")
    one = of_adapt / 3  # two report seeds and one search seed
    assert of_transfer == pytest.approx((4 + 2 + 2) * one, rel=0.01), "4 trials, 2 seeds, 2 of the settings without"


def test_the_plan_says_where_it_goes_and_what_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan_of(tmp_path, methods="[single_task, multi_task]")
    (line,) = [one for one in running.describe(made) if one.startswith("disk:")]
    assert str(tmp_path / "cache") in line
    assert "21 GB" in line
    assert "python -m raystudy cache gc" in line
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 10)
    lines = [one for one in running.describe(made) if one.startswith("disk:")]
    assert len(lines) == 2
    assert "only 0.0 kB are free" in lines[1]
    huge = replace(disk.planned(made), stages=10 * LIMIT)
    monkeypatch.setattr(disk, "free_bytes", lambda folder: LIMIT + 1)
    assert len(disk.lines_of(huge, tmp_path, tmp_path)) == 1, "no more than the cap is ever needed"


def test_kept_models_are_planned_where_they_are_asked_for(tmp_path: Path) -> None:
    made = plan_of(tmp_path, methods="[single_task, multi_task, majority]")
    assert disk.planned(made).models == 0
    body = 4 * trained_parameters(resolve("tiny"), "none")
    assert 2 * body < disk.planned(made, keep=True).models < 4 * body
