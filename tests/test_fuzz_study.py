"""Whatever a study file or a --set holds: a study that survives a round trip, or a ConfigError; never anything else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fuzz_study
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from raystudy.catalogue import catalogue
from raystudy.errors import ConfigError
from raystudy.studyfile import Study, read_study
from raystudy.yamlfile import load_yaml, to_yaml

WHOLE: dict[str, Any] = {
    "name": "mine",
    "about": "every key of a study",
    "plm": "tiny",
    "revision": None,
    "data_root": "data",
    "suite": "planted",
    "tasks": ["planted/target", "planted/strong"],
    "targets": ["planted/target"],
    "shots": [20, 100],
    "fraction": [0.1],
    "dev": "all",
    "length": 64,
    "limits": {"train": 100, "dev": 50, "test": 400},
    "source_limits": {"train": 10},
    "task_options": {"planted": {"n_train": 200}},
    "methods": ["single_task", {"meta_dtl": {"lambda": 0.5, "lr": 1e-4}}, "single_task_matched"],
    "settings": {"lr": 3e-4, "batch_size": 16},
    "search": {"trials": 3, "seeds": 2, "shots": [20], "generation": 2, "halving": 2, "sampler": "tpe"},
    "report": {"seeds": 2, "baseline": "single_task", "rope": 0.01},
    "numerics": {"precision": "fp32", "device": "cpu", "workers": 1},
}
KEYS = sorted(
    {*WHOLE, *(k for v in WHOLE.values() if isinstance(v, dict) for k in v), "lambda", "", "0", "a.b", "\x00"}
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=0, max_value=60)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([*KEYS, *catalogue().variants, "../../x", "CON", "1e999", "\ud800", "x" * 1000, 10**400])
)
values = st.recursive(
    scalars,
    lambda below: (
        st.lists(below, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), below, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A valid study with keys dropped, renamed, repeated, retyped, at any depth; as the text of a file."""
    tree = json.loads(json.dumps(WHOLE))
    for _ in range(draw(st.integers(1, 4))):
        here: Any = tree
        while True:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(here[key], dict | list) and draw(st.booleans()):
                here = here[key]
                continue
            what = draw(st.sampled_from(["drop", "retype", "rename", "twice"]))
            if what == "drop":
                del here[key]
            elif what == "retype":
                here[key] = draw(values)
            elif isinstance(here, list):
                here.insert(draw(st.integers(0, len(here))), here[key])
            elif what == "rename":
                here[draw(st.sampled_from(KEYS) | st.text(max_size=6))] = here.pop(key)
            else:
                here[key + draw(st.sampled_from(["", "s", " "]))] = here[key]
            break
    text = json.dumps(tree)
    return text.replace('"name"', '"name": "again", "name"', 1) if draw(st.integers(0, 9)) == 0 else text


FILES, PER_TEST = 240, 40


@pytest.mark.parametrize("first", range(0, FILES, PER_TEST))
def test_mutated_files(folder: Path, first: int) -> None:
    """The first files of the script `fuzz_study.py`: each a study, or errors as its writer can read them."""
    texts = fuzz_study.seeds_of_files()
    for number in range(first, first + PER_TEST):
        how, data = fuzz_study.mutated(0, number, texts)
        _, faults, _ = fuzz_study.outcome(folder / "study.yaml", data, plan=False)
        assert not faults, f"python tests/fuzz_study.py --only {number} ({how})"


def law(folder: Path, data: bytes, overrides: Sequence[str] = ()) -> Study | None:
    path = folder / "study.yaml"
    path.write_bytes(data)
    refusal: ConfigError | None = None
    try:
        study = read_study(path, overrides)
    except ConfigError as e:
        refusal = e
    if refusal is not None:
        assert refusal.problems
        assert all(str(p).strip() and len(str(p)) < 2000 for p in refusal.problems)
        str(refusal).encode()  # it can be shown on a terminal and written to a log
        return None
    dumped = study.model_dump(mode="json")
    assert Study.model_validate(json.loads(json.dumps(dumped, allow_nan=False))) == study
    assert study.arms()
    assert study.target_names
    assert set(study.searched_settings) <= set(study.settings_grid)
    for variant in study.variants:
        assert catalogue().resolve(variant, study.fixed_settings(variant))
    again = folder / "again.yaml"
    again.write_text(to_yaml(study.model_dump(mode="json", exclude_defaults=True)), encoding="utf-8")
    assert read_study(again) == study  # as study.lock.yaml keeps it
    return study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study")


def test_the_whole_study_is_valid(folder: Path) -> None:
    assert law(folder, to_yaml(WHOLE).encode()) is not None


@given(st.binary(max_size=200))
def test_any_bytes(folder: Path, data: bytes) -> None:
    law(folder, data)


@given(st.text(alphabet="[]{}:,-&*!|>'\"%#?\n \tan<=0e1.~x\u2028\ufeff\x85", max_size=60))
@example("a: &a [*a]\n")
@example("? a: &x {b: 1}\n: {<<: *x}")
@example("--- !!set {a}")
@example("%YAML 1.1\n---\na: yes")
@example("a: !!float x")
@example("a: !!timestamp 2001-99-99")
@example("a: !!int ''")
@example("[" * 400)
@example("a: 0x" + "f" * 20_000)
def test_any_punctuation(folder: Path, text: str) -> None:
    law(folder, text.encode())


@settings(max_examples=60)
@given(values)
def test_any_value(folder: Path, value: object) -> None:
    try:
        text = json.dumps(value)
    except ValueError:  # 10**400 is an integer that Python does write; 10**5000 is not
        return
    law(folder, text.encode())
    law(folder, f"name: {text}".encode())


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_mutated_studies(folder: Path, text: str) -> None:
    law(folder, text.encode())


@settings(max_examples=60)
@given(
    st.lists(
        st.builds(
            lambda path, value: f"{'.'.join(path)}={value}",
            st.lists(st.sampled_from(KEYS) | st.text(max_size=4), min_size=1, max_size=3),
            values.map(json.dumps) | st.text(max_size=10),
        )
        | st.text(max_size=12),
        max_size=3,
    )
)
@example(["a=" + "[" * 400])
@example(["report.seeds=&a [*a]"])
@example(["shots=.nan", "shots=[5]"])
@example(["methods.0=single_task"])
def test_any_override(folder: Path, overrides: list[str]) -> None:
    law(folder, to_yaml(WHOLE).encode(), overrides)


def test_what_to_yaml_writes_load_yaml_reads(folder: Path) -> None:
    path = folder / "whole.yaml"
    path.write_text(to_yaml(WHOLE), encoding="utf-8")
    assert dict(load_yaml(path)) == WHOLE
