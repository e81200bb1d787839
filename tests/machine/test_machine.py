"""What a plan says of the machine that is to train: bf16 without arithmetic for it, GPUs that nobody uses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from study.fakes import plan, study
from typer.testing import CliRunner

from raystudy import __main__ as commands
from raystudy import run
from raystudy.data.plm import resolve
from raystudy.errors import PreflightError
from raystudy.machine import bfloat16, resources
from raystudy.machine.bfloat16 import FASTEST, SLOWEST, LayerTimes, check_precision, faster_precision, layer_times
from raystudy.machine.resources import unused_gpus
from raystudy.spec import Numerics
from raystudy.study.folder.manifest import lock_text
from raystudy.study.plan import Plan

BF16, TINY = Numerics(precision="bf16"), resolve("tiny")
Clock = Callable[[float, float], list[tuple[str, int, int]]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put measured seconds of fp32 and bf16 in the place of a measurement; answers what was asked to be measured."""

    def put(fp32: float, bf16: float) -> list[tuple[str, int, int]]:
        measured_layers = []

        def seconds(device: str, hidden: int, inner: int) -> dict[str, float]:
            measured_layers.append((device, hidden, inner))
            return {"fp32": fp32, "bf16": bf16}

        monkeypatch.setattr(bfloat16, "layer_seconds", seconds)
        return measured_layers

    return put


# ---------------------------------------------------------------------------------------------------------------------
# bf16


@pytest.mark.parametrize("bf16", [0.4e-3, 1e-3, SLOWEST * 1e-3])
def test_a_machine_with_arithmetic_for_bf16_trains_in_it(clock: Clock, bf16: float) -> None:
    clock(1e-3, bf16)
    (line,) = check_precision(BF16, False, TINY, None)
    assert f"takes {bf16 / 1e-3:.1f} times as long as in fp32" in line


@pytest.mark.parametrize("bf16", [2.6e-3, 9.8e-3, 0.1])
def test_bf16_without_arithmetic_is_refused_with_the_ratio(clock: Clock, bf16: float) -> None:
    clock(1e-3, bf16)
    with pytest.raises(PreflightError, match="no arithmetic for bf16") as e:
        check_precision(BF16, False, TINY, None)
    assert e.value.exit_code == 3
    assert f"{bf16 / 1e-3:.1f} times as long as in fp32 ({1e3 * bf16:.2f} ms, and 1.00 ms)" in str(e.value)
    assert "numerics.force: true" in str(e.value)
    # who insists is told, and trains
    (line,) = check_precision(BF16, True, TINY, None)
    assert f"{bf16 / 1e-3:.1f} times as long" in line
    assert "numerics.force" in line


@pytest.mark.parametrize("kind", ["fp32", "fp64"])
def test_other_precisions_are_not_measured(clock: Clock, kind: str) -> None:
    measured_layers = clock(1.0, 99.0)
    assert check_precision(Numerics.model_validate({"precision": kind}), False, TINY, None) == []
    assert measured_layers == []


def test_times_are_measured_once_per_machine_and_model(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured_layers = clock(1e-3, 9e-3)
    wide = tmp_path / "wide"
    wide.mkdir()
    (wide / "config.json").write_text(json.dumps({"hidden_size": 768, "intermediate_size": 3072}))
    large = replace(TINY, folder=wide)
    cache = tmp_path / "cache"
    measured = [layer_times(plm, "cpu", cache) for plm in (TINY, TINY, large, large)]
    assert set(measured) == {LayerTimes(1e-3, 9e-3)}
    assert measured_layers == [("cpu", 384, 1536), ("cpu", 768, 3072)], (
        "small models are measured where arithmetic counts"
    )
    # another processor, another torch: measured anew
    monkeypatch.setattr(torch, "__version__", "99.0")
    layer_times(TINY, "cpu", cache)
    before = bfloat16.processor
    monkeypatch.setattr(bfloat16, "processor", lambda device: {**before(device), "name": "abacus"})
    layer_times(TINY, "cpu", cache)
    assert len(measured_layers) == 4
    # what cannot be read, or cannot be, counts as absent; without a cache nothing is kept
    for text in ("{", "{}", '{"fp32": 0.0, "bf16": 1.0}', "[1]"):
        for path in (cache / "precision").iterdir():
            path.write_text(text)
        assert layer_times(TINY, "cpu", cache).ratio == pytest.approx(9.0)
    assert len(measured_layers) == 8
    layer_times(TINY, "cpu", None)
    assert len(measured_layers) == 9
    file = tmp_path / "file"
    file.write_text("in the way of a folder")
    assert layer_times(TINY, "cpu", file) == LayerTimes(1e-3, 9e-3)


def test_the_clock_measures_both_and_leaves_torch_as_it_was() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    seconds_by_precision = bfloat16.layer_seconds("cpu", 32, 64)
    assert seconds_by_precision.keys() == {"fp32", "bf16"}
    assert all(s > 0 for s in seconds_by_precision.values())
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    "call", [["plan", "smoke"], ["run", "smoke", "--dry-run"], ["doctor", "smoke"]], ids=["plan", "run", "doctor"]
)
def test_every_command_that_looks_ahead_refuses_it(clock: Clock, call: list[str]) -> None:
    def exit_code_and_output(*more: str) -> tuple[int, str]:
        name, *rest = call
        app, words = (run.app, rest) if name == "run" else (commands.app, call)
        out = CliRunner().invoke(app, [*words, "--set", "numerics.precision=bf16", *more])
        if out.exception is not None and not isinstance(out.exception, SystemExit):
            assert isinstance(out.exception, PreflightError)
            return out.exception.exit_code, str(out.exception)
        return out.exit_code, out.output

    clock(1e-3, 8e-3)
    code, shown = exit_code_and_output()
    assert code == 3
    assert "takes 8.0 times as long" in shown
    code, shown = exit_code_and_output("--set", "numerics.force=true")
    assert code == 0, shown
    assert "takes 8.0 times as long" in shown


@pytest.mark.parametrize(("ratio", "taken"), [(0.4, "bf16"), (FASTEST, "bf16"), (0.9, "fp32"), (8.0, "fp32")])
def test_auto_takes_what_is_faster_here_and_is_measured_once(
    clock: Clock, tmp_path: Path, ratio: float, taken: str
) -> None:
    measured = clock(1e-3, ratio * 1e-3)
    for _ in range(2):
        precision, why = faster_precision(TINY, "cpu", tmp_path)
        assert precision == taken
        assert f"precision auto: {taken} on" in why and f"takes {ratio:.1f} times as long as in fp32" in why
    assert len(measured) == 1


@pytest.mark.usefixtures("alone")
def test_auto_is_the_precision_that_it_stands_for(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every Spec, so that its results are those of the precision; the lock file has it too, and says why."""
    for ratio, taken in ((0.5, "bf16"), (2.0, "fp32")):
        clock(1e-3, ratio * 1e-3)
        monkeypatch.setenv("RAYSTUDY_CACHE", f"cache/{taken}")
        asked, places, _ = run.open_study("smoke", run.RunOptions(set=("numerics.precision=auto",)))
        plain, *_ = run.open_study("smoke", run.RunOptions(set=(f"numerics.precision={taken}",)))
        assert asked.numerics.spec_numerics == plain.numerics.spec_numerics
        auto, said = (Plan(s, places).confirm({})[0] for s in (asked, plain))
        assert auto.id == said.id and auto.numerics.precision == taken
        assert f"precision auto: {taken} on" in lock_text(asked)  # the precision too, where it is not the default
        assert run.machine_lines(Plan(asked, places))[0].startswith(f"precision auto: {taken} on")
    elsewhere = run.RunOptions(set=("numerics.precision=auto", "numerics.device=cuda"))
    monkeypatch.setattr(run, "_has_gpu", lambda: False)
    with pytest.raises(PreflightError, match="auto cannot be measured for device cuda"):
        run.open_study("smoke", elsewhere)


def test_force_changes_no_spec(tmp_path: Path) -> None:
    plain, forced = (plan(tmp_path, numerics=f"{{precision: bf16{more}}}") for more in ("", ", force: true"))
    assert forced.study.numerics.force
    assert [s.id for s in plain.confirm({})] == [s.id for s in forced.confirm({})]
    assert plain.confirm({}) == forced.confirm({})
    assert "force" not in json.dumps(forced.confirm({})[0].to_json())


def test_methods_that_train_in_fp32_all_the_same_say_so(tmp_path: Path) -> None:
    options = {"methods": "[single_task, metaxt, 'metaxt[route=fd_logits]']", "search": "{trials: 0}"}
    notes = plan(tmp_path, numerics="{precision: bf16}", **options).method_notes
    assert "trains in fp32" in " ".join(notes["metaxt"])
    assert not any("fp32" in line for v, lines in notes.items() for line in lines if v != "metaxt")
    assert not any("fp32" in line for lines in plan(tmp_path, **options).method_notes.values() for line in lines)


@pytest.mark.parametrize("word", ["fp16", "float16", "half"])
def test_fp16_is_refused_with_its_reason(tmp_path: Path, word: str) -> None:
    with pytest.raises(Exception, match=r"numerics\.precision: must be 'fp32', 'bf16' or 'fp64' \(fp16 would need"):
        study(tmp_path, numerics=f"{{precision: {word}}}")


# ---------------------------------------------------------------------------------------------------------------------
# GPUs


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Let torch see these GPUs, and the kernel's driver those."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def put(*visible: str, driver: tuple[str, ...] = ()) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(visible))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda i=0: visible[i])
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda i=0: (9, 0))
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda i=0: (1 << 36, 1 << 37))
        for i, name in enumerate(driver):
            (tmp_path / f"gpu{i}").mkdir()
            (tmp_path / f"gpu{i}" / "information").write_text(f"Model: \t\t {name}\nIRQ:   \t\t 11\n")
        monkeypatch.setattr(resources, "_DRIVER", tmp_path)

    return put


def test_gpus_that_are_there_and_not_used_are_said(gpus: Callable[..., None]) -> None:
    gpus("NVIDIA H200")
    assert unused_gpus("cpu") == ["1 GPU (NVIDIA H200) is there and not used: numerics.device=cuda uses it"]
    assert unused_gpus("cuda") == []
    gpus("A", "A", "B")
    assert unused_gpus("cpu") == ["3 GPUs (A, B) are there and not used: numerics.device=cuda uses them"]
    gpus()
    assert unused_gpus("cpu") == []


def test_gpus_that_this_torch_cannot_use_are_said(gpus: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(driver=("NVIDIA L4", "NVIDIA L4"))
    (line,) = unused_gpus("cpu")
    assert line.startswith(f"2 GPUs (NVIDIA L4) are there and not used, because torch {torch.__version__} sees none")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # hidden on purpose
    assert unused_gpus("cpu") == []


@pytest.mark.usefixtures("alone")
def test_plan_and_run_say_it(gpus: Callable[..., None]) -> None:
    gpus("NVIDIA H200")
    line = "1 GPU (NVIDIA H200) is there and not used: numerics.device=cuda uses it"
    for app, words in ((commands.app, ["plan", "smoke"]), (run.app, ["smoke", "--dry-run"])):
        for device, shown in (("cpu", True), ("cuda", False)):
            out = CliRunner().invoke(app, [*words, "--set", f"numerics.device={device}"])
            assert out.exit_code == 0, out.output
            assert (line in out.output) == shown
    # the machines of a cluster are others
    assert line not in CliRunner().invoke(run.app, ["smoke", "--dry-run", "--address", "elsewhere:1"]).output
    data = json.loads(CliRunner().invoke(commands.app, ["plan", "smoke", "--json"]).stdout)
    assert data["machine"] == [line]
