"""What TensorBoard is given: every arm's dev scores, every configuration's settings with its mean dev score."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from raystudy.catalogue import catalogue
from raystudy.study.folder.records import Results
from raystudy.study.folder.tensorboard import TensorBoard
from raystudy.study.study_run import StudyRun
from study.fakes import Fake, plan


def events(run: Path) -> Iterator[Any]:
    """The summary values of a run, in the order in which TensorBoard reads its files."""
    for path in sorted(run.glob("events.*")):
        data = path.read_bytes()
        while data:  # length, its checksum, the event, its checksum
            (size,) = struct.unpack("<Q", data[:8])
            yield from Event.FromString(data[12 : 12 + size]).summary.value
            data = data[16 + size :]


def settings_of(run: Path) -> dict[str, Any]:
    """The hyper-parameters that the HPARAMS page shows for a run; empty for a run that is none of its rows."""
    settings: dict[str, Any] = {}
    for v in events(run):
        if v.metadata.plugin_data.plugin_name == "hparams":
            content = HParamsPluginData.FromString(v.metadata.plugin_data.content)
            assert not content.HasField("experiment"), "TensorBoard would take its columns for every run"
            settings |= {k: getattr(x, x.WhichOneof("kind")) for k, x in content.session_start_info.hparams.items()}
    return settings


def scalars(run: Path, tag: str) -> list[float]:
    return [v.simple_value for v in events(run) if v.tag == tag]


@pytest.mark.parametrize("rebuilt", [False, True])
def test_every_configuration_is_a_row_with_its_settings_and_its_mean(tmp_path: Path, rebuilt: bool) -> None:
    """Written along a study, or anew from its records when it is started again: the same rows."""
    study_run = StudyRun(plan(tmp_path, methods="[single_task, meta_dtl]"), Results(tmp_path / "r"))
    study_run.open()
    pictures = TensorBoard(tmp_path / "tb", [])
    study_run.on_record = pictures.add
    study_run.run_local(Fake())
    pictures.close()
    if rebuilt:
        TensorBoard(tmp_path / "tb", study_run.records.values()).close()
    rows = {p: settings_of(p) for p in (tmp_path / "tb").rglob("*") if p.is_dir()}
    rows = {p: s for p, s in rows.items() if s}
    assert len(rows) == len({(a, str(t.settings)) for a, s in study_run.searches.items() for t in s.configurations})
    for arm, search in study_run.searches.items():
        searched = catalogue().searched_parameters(arm.variant, {})
        for trial in search.configurations:
            want = {"method": arm.variant, "setting": str(arm.setting), **{k: trial.settings[k] for k in searched}}
            (row,) = [p for p, s in rows.items() if s == want]
            assert row.parent.name == str(arm)
            assert scalars(row, "search/dev")[-1] == pytest.approx(trial.mean(len(trial.scores)), abs=1e-6)
            assert len(scalars(row, "search/dev")) == len(trial.scores)
    for arm in study_run.plan.study.arms():
        arm_records = [r for r in study_run.records.values() if r.spec.arm == arm and r.spec.phase == "confirm"]
        shown = scalars(tmp_path / "tb" / str(arm), "confirm/planted/target/dev")
        assert sorted(shown) == pytest.approx(sorted(r.metrics["dev"]["accuracy"] for r in arm_records), abs=1e-6)
