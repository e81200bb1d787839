"""A kept model answers as the record says, in transformers as here, and its folder is whole or not there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from cells import DOMAINS, PLACES, VECTORS, places_of, spec_of
from checkpoints import checkpoint
from safetensors.torch import load_file, save_file

from raystudy import train
from raystudy.data.plm import FAMILIES
from raystudy.errors import ConfigError, DataError, PreflightError
from raystudy.model.description import FILE, SCHEMA, read_description
from raystudy.model.load import LoadedModel, load_model
from raystudy.model.write import write_model
from raystudy.predictions import ELSEWHERE, Predictions
from raystudy.spec import Spec
from raystudy.tasks import Example
from raystudy.train import Trained

PAIRS = ("planted/pair_target", "planted/pair_source")
TAGS = ("planted/tag_target", "planted/tag_source")


def numbers(folder: Path) -> Spec:
    """Ratings far from zero, so that their unit matters; read from a folder."""
    g = np.random.default_rng(0)
    (folder / "stars").mkdir(parents=True)
    for split, n in (("train", 30), ("validation", 12), ("test", 20)):
        rows = [" ".join(f"w{w:03d}" for w in g.integers(60, size=int(g.integers(2, 9)))) for _ in range(n)]
        lines = [json.dumps({"text": t, "label": 250.5 + 7 * len(t.split())}) for t in rows]
        (folder / "stars" / f"{split}.jsonl").write_text("\n".join(lines))
    return replace(spec_of("single_task", precision="fp32"), suite=("stars",), target="stars", data={}, task_options={})


def trained(spec: Spec, **places: Any) -> Trained:
    return train.trained(spec, replace(places_of(spec), **places))


def quick(variant: str, suite: tuple[str, ...] | None = None, **settings: Any) -> Spec:
    precision = settings.pop("precision", "fp32")
    options = {} if suite is None else {"suite": suite, "target": suite[0]}
    return spec_of(variant, precision=precision, **{"max_updates": 2, **settings}, **options)


def kept(cell: Trained, folder: Path) -> LoadedModel:
    write_model(cell, folder, "card", {"raystudy": "0"})
    return load_model(folder)


def as_inputs(examples: tuple[Example, ...]) -> list[Any]:
    return [(e.text, e.pair) if e.pair else list(e.tokens or e.vector) or e.text for e in examples]


def assert_answers(model: LoadedModel, cell: Trained, record: Predictions) -> None:
    examples = cell.tasks[cell.spec.target].splits["test"]
    answers = model.predict(as_inputs(examples))
    if model.description.kind == "regression":
        np.testing.assert_allclose([a.answer for a in answers], record.pred, rtol=1e-6)
    else:
        assert [a.answer for a in answers] == list(record.pred)
    if record.probabilities is not None:
        told = [[*a.probabilities.values(), a.elsewhere][: record.probabilities.shape[1]] for a in answers]
        np.testing.assert_allclose(told, record.probabilities, atol=1e-6)


KINDS: dict[str, Callable[[], Spec]] = {
    "pooler": lambda: quick("multi_task"),
    "mean": lambda: quick("single_task", feature="mean"),
    "cls, double precision": lambda: quick("single_task", feature="cls", precision="fp64"),
    "pairs": lambda: quick("single_task", PAIRS),
    "tags": lambda: quick("single_task", TAGS),
    "tags, double precision": lambda: quick("single_task", TAGS, precision="fp64"),
    "adapters": lambda: quick("adapter_fusion"),
    "union head": lambda: quick("task_combination"),
    "union head, own classes": lambda: quick("task_combination", answer="own"),
    "union head, one label set": lambda: quick("bert_mix", DOMAINS),
    "second derivatives": lambda: quick("maml"),
    "vectors": lambda: quick("single_task", VECTORS),
    "floor": lambda: quick("frozen_logistic"),
    "majority": lambda: quick("majority"),
}
OURS_ALONE = {"mean", "cls, double precision", "adapters", "union head", "vectors", "floor", "majority"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kept_model_answers_as_its_record(kind: str, tmp_path: Path) -> None:
    cell = trained(KINDS[kind]())
    model = kept(cell, tmp_path / "model")
    assert_answers(model, cell, train.judged(cell).predictions["test"])
    assert model.description.in_transformers == (kind not in OURS_ALONE)
    assert (tmp_path / "model" / "config.json").is_file() == model.description.in_transformers
    assert not [p for p in (tmp_path / "model").rglob("*") if p.suffix not in (".json", ".safetensors", ".md", "")]
    if not model.description.in_transformers:
        with pytest.raises((OSError, ValueError)):
            transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    if kind == "union head":
        assert model.description.elsewhere == 3
        assert ELSEWHERE not in model.labels


def in_transformers(folder: Path, inputs: list[Any], head: str) -> tuple[np.ndarray, Any, Any]:
    """(logits, model, tokenizer) of the folder as a program without raystudy has them, padded to a rectangle."""
    model, told = getattr(transformers, head).from_pretrained(folder, output_loading_info=True)
    assert not any(told[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), told
    tok = transformers.AutoTokenizer.from_pretrained(folder)
    how: dict[str, Any] = {"truncation": True, "padding": True, "return_tensors": "pt", "return_token_type_ids": True}
    if isinstance(inputs[0], tuple):
        batch = tok([a for a, _ in inputs], [b for _, b in inputs], **how)
    else:
        batch = tok(inputs, is_split_into_words=isinstance(inputs[0], list), **how)
    with torch.inference_mode():
        logits = model.eval()(**batch).logits
    if isinstance(inputs[0], list):
        first = [
            [w is not None and w not in batch.word_ids(i)[:at] for at, w in enumerate(batch.word_ids(i))]
            for i in range(len(inputs))
        ]
        logits = logits[torch.tensor(first)]
    return logits.double().numpy(), model, tok


OTHERS = sorted(FAMILIES.keys() - {"bert", "albert"})
EVERY = [(what, family) for family in ("tiny", "bert", "albert") for what in ("classes", "pairs", "tags", "numbers")]


@pytest.mark.parametrize(("what", "family"), [*EVERY, *((w, f) for f in OTHERS for w in ("classes", "tags"))])
def test_transformers_computes_the_same_logits(what: str, family: str, tmp_path: Path) -> None:
    specs = {
        "classes": lambda: quick("single_task"),
        "pairs": lambda: quick("single_task", PAIRS),
        "tags": lambda: quick("single_task", TAGS, feature="mean"),
        "numbers": lambda: numbers(tmp_path / "data"),
    }
    plm = "tiny" if family == "tiny" else str(checkpoint(tmp_path / "plm", family))
    cell = trained(specs[what](), plm=plm, data_root=str(tmp_path / "data"))
    model = kept(cell, tmp_path / "model")
    inputs = as_inputs(cell.tasks[cell.spec.target].splits["test"])
    if (what, family) == ("tags", "modernbert"):
        assert "a layer more" in model.description.why
        return
    theirs, loaded, _ = in_transformers(tmp_path / "model", inputs, model.description.opens_with)
    ours = model.logits(inputs)
    np.testing.assert_allclose(theirs, ours, rtol=1e-6, atol=1e-6)
    if what == "numbers":
        assert (loaded.config.num_labels, loaded.config.problem_type) == (1, "regression")
        assert np.ptp(ours) > 0 and ours.mean() > 200  # in the labels' own unit
    else:
        assert [loaded.config.id2label[i] for i in range(loaded.config.num_labels)] == list(model.labels)


def test_a_pipeline_answers_as_the_record(tmp_path: Path) -> None:
    cell = trained(quick("single_task"))
    kept(cell, tmp_path / "model")
    record = train.judged(cell).predictions["test"]
    texts = as_inputs(cell.tasks[cell.spec.target].splits["test"])
    pipe = transformers.pipeline("text-classification", str(tmp_path / "model"), device="cpu")
    told = pipe(texts, truncation=True)
    assert [t["label"] for t in told] == list(record.pred)
    assert record.probabilities is not None
    np.testing.assert_allclose([t["score"] for t in told], record.probabilities.max(1), atol=1e-6)


def test_texts_are_cut_where_training_cut_them(tmp_path: Path) -> None:
    cell = trained(replace(quick("single_task"), length=8))
    model = kept(cell, tmp_path / "model")
    long = [" ".join(f"w{i % 60:03d}" for i in range(start, start + 40)) for start in range(4)]
    theirs, _, tok = in_transformers(tmp_path / "model", long, model.description.opens_with)
    assert tok.model_max_length == 8
    np.testing.assert_allclose(theirs, model.logits(long), rtol=1e-6, atol=1e-6)


def test_a_word_that_no_model_reads_has_the_tag_of_the_record_and_no_probability(tmp_path: Path) -> None:
    cell = trained(replace(quick("single_task", TAGS), length=8))
    model = kept(cell, tmp_path / "model")
    (answer,) = model.predict([[f"w{i:03d}" for i in range(20)]])
    assert isinstance(answer.answer, tuple)
    assert [p is None for p in answer.of_words] == [False] * 6 + [True] * 14
    assert set(answer.answer[6:]) == {model.description.unread_tag}


def test_only_the_trained_target_and_nothing_of_this_machine_is_in_the_folder(tmp_path: Path) -> None:
    plm = checkpoint(tmp_path / "plm")
    kept(trained(quick("multi_task"), plm=str(plm)), tmp_path / "model")
    state = load_file(tmp_path / "model" / "model.safetensors")
    assert sorted(k for k in state if not k.startswith("bert.")) == ["classifier.bias", "classifier.weight"]
    for path in (tmp_path / "model").glob("*.json"):
        assert str(tmp_path) not in path.read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------------------
# whole or not at all; refused


@pytest.fixture(scope="module")
def cell() -> Trained:
    return train.trained(quick("single_task"), PLACES)


def test_an_existing_folder_is_never_written_over(cell: Trained, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(ConfigError, match="never written over"):
        write_model(cell, tmp_path / "model", "card", {})
    assert [p.name for p in tmp_path.iterdir()] == ["model"] and not list((tmp_path / "model").iterdir())


@pytest.mark.parametrize("last", ["head.safetensors", "model.safetensors", "README.md", FILE])
def test_a_folder_is_whole_or_not_there(
    cell: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    from raystudy.model import write

    def full(*args: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    def stop_at(function: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        return lambda *args, **named: full() if name(*args) == last else function(*args, **named)

    monkeypatch.setattr(write, "save_file", stop_at(save_file, lambda state, path, *_: Path(path).name))
    monkeypatch.setattr(Path, "write_text", stop_at(Path.write_text, lambda path, *_: path.name))
    with pytest.raises(PreflightError, match="No space left"):
        write_model(cell, tmp_path / "model", "card", {})
    assert not list(tmp_path.iterdir())


def test_what_acts_inside_a_model_and_is_not_known_is_refused(cell: Trained, tmp_path: Path) -> None:
    cell.method.encoder.body.inside = torch.nn.Identity()
    try:
        with pytest.raises(DataError, match="Identity acts inside its model"):
            write_model(cell, tmp_path / "model", "card", {})
    finally:
        cell.method.encoder.body.inside = None


def spoil(folder: Path, **changed: Any) -> None:
    path = folder / FILE
    data = {**json.loads(path.read_text(encoding="utf-8")), **changed}
    path.write_text(json.dumps({k: v for k, v in data.items() if v is not None}), encoding="utf-8")


SPOILT: dict[str, tuple[Callable[[Path], object], type[Exception], str]] = {
    "newer": (lambda f: spoil(f, schema_version=SCHEMA + 1), PreflightError, "update raystudy"),
    "older": (lambda f: spoil(f, schema_version=0), PreflightError, "keep the model again"),
    "unknown key": (lambda f: spoil(f, colour="red"), ConfigError, "colour"),
    "no version": (lambda f: spoil(f, schema_version=None), ConfigError, "schema_version"),
    "no JSON": (lambda f: (f / FILE).write_text("{"), ConfigError, "no description of a model"),
    "weights gone": (lambda f: (f / "model.safetensors").unlink(), PreflightError, "not whole"),
    "weights changed": (
        lambda f: save_file({"weight": torch.zeros(3, 32), "bias": torch.zeros(3)}, f / "head.safetensors"),
        PreflightError,
        "not the file that was written",
    ),
    "a file elsewhere": (lambda f: spoil(f, files={"../x": "0"}), PreflightError, "must lie in the folder"),
    "no description": (lambda f: (f / FILE).unlink(), ConfigError, "holds a config.json but no raystudy.json"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_folder_that_is_not_as_it_was_written_is_refused(cell: Trained, tmp_path: Path, what: str) -> None:
    change, error, says = SPOILT[what]
    write_model(cell, tmp_path / "model", "card", {})
    change(tmp_path / "model")
    with pytest.raises(error, match=says):
        read_description(tmp_path / "model")


def test_a_folder_is_found_by_the_one_that_holds_it(cell: Trained, tmp_path: Path) -> None:
    write_model(cell, tmp_path / "model", "card", {})
    assert read_description(tmp_path)[0] == tmp_path / "model"
    for wrong in (tmp_path / "none", tmp_path / "model" / "README.md"):
        with pytest.raises(ConfigError, match="is not a folder"):
            load_model(wrong)


@pytest.mark.parametrize("value", ["", "  ", ["a", "list"], ("a", "pair"), 3.0, None])
def test_an_input_of_another_form_is_refused(cell: Trained, tmp_path: Path, value: Any) -> None:
    with contextlib.suppress(ConfigError):
        write_model(cell, tmp_path / "model", "card", {})
    with pytest.raises(DataError, match="input 1: must be a text, and not empty"):
        load_model(tmp_path / "model").predict(["w001", value])


def test_no_input_has_no_answer(cell: Trained, tmp_path: Path) -> None:
    assert kept(cell, tmp_path / "model").predict([]) == []


def test_a_model_with_a_head_is_opened_without_a_table_of_what_is_not_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The library would list the head's weights, which the body does not have, as if something were wrong."""
    spec = spec_of("single_task", precision="fp32", max_updates=2)
    write_model(train.trained(spec, places_of(spec)), tmp_path / "model", "card", {})
    capfd.readouterr()
    load_model(str(tmp_path / "model"))
    told = capfd.readouterr()
    assert "LOAD REPORT" not in told.out + told.err
    assert not told.err
