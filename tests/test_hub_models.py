"""A model of one's own, from a folder or the hub: the same one wherever it lies, and refused before any training."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from cells import Ran, assert_close_json, assert_same_answers, comparable, spec_of
from checkpoints import checkpoint, configure, reweigh
from fakehub import FakeHub, connect, files_of
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from raystudy import train
from raystudy.data.plm import FAMILIES, PLM, resolve
from raystudy.data.text import tokenizer
from raystudy.errors import PreflightError
from raystudy.huggingface import absent_shards, cached_snapshot, fetch
from raystudy.nn import embed
from raystudy.nn.encoder import Body, _template, verify
from raystudy.spec import Places
from raystudy.workers import simulate


@pytest.fixture(scope="module", params=["bert", "albert"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp(request.param) / "mine", request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint that a test may spoil."""
    return checkpoint(tmp_path / "mine")


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> Iterator[None]:
    yield
    for memo in (fetch, resolve, tokenizer, _template):
        memo.cache_clear()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub that answers, and an empty cache."""
    hub = FakeHub()
    with hub.serving() as url:
        connect(monkeypatch, url, tmp_path / "home")
        yield hub


def again(name: str, revision: str | None = None) -> PLM:
    """The model as a new process would find it."""
    resolve.cache_clear()
    fetch.cache_clear()
    return resolve(name, revision)


def refusal(name: Path | str, revision: str | None = None) -> list[str]:
    """Everything that is wrong with a model."""
    resolve.cache_clear()
    fetch.cache_clear()
    with pytest.raises(PreflightError) as e:
        verify(resolve(str(name), revision))
    assert e.value.exit_code == 3
    return [str(p) for p in e.value.problems]


# ---------------------------------------------------------------------------------------------------------------------
# the same model, wherever it lies


def test_folder_hub_and_cache_are_the_same_model(
    model: Path, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    junk = {"pytorch_model.bin": b"pickle", "onnx/model.safetensors": b"other", "run.py": b"raise SystemExit"}
    commit = hub.push("me/mine", {**files_of(model), **junk})
    local, online = again(str(model)), again("me/mine")
    assert online.revision == commit and commit in online.about
    assert online.folder is not None and {p.name for p in online.folder.iterdir()} == set(files_of(model))
    assert hub.files_asked == set(files_of(model))  # not even fetched
    asked = len(hub.asked)
    connect(monkeypatch, hub.url, tmp_path / "home", offline=True)
    offline = again("me/mine")
    assert len(hub.asked) == asked
    assert local.digest == online.digest == offline.digest == again("me/mine", commit).digest
    assert offline == online
    # and wherever the folder lies
    moved = shutil.copytree(model, tmp_path / "elsewhere" / "mine")
    assert again(str(moved)).digest == local.digest
    assert (again(str(moved)).name, local.name) == ("mine", "mine")
    # but not with one weight or word changed
    configure(moved, "tokenizer_config.json", model_max_length=8)
    assert again(str(moved)).digest != local.digest


def test_a_revision_pins_what_is_read(model: Path, hub: FakeHub) -> None:
    old = hub.push("me/mine", files_of(model))
    first = again("me/mine")
    changed = {**files_of(model), "special_tokens_map.json": b"{}"}
    new = hub.push("me/mine", changed)
    hub.push("me/mine", files_of(model), branch="release/1.0")
    assert again("me/mine").revision == new != old
    assert again("me/mine").digest != first.digest
    for revision in (old, "release/1.0"):
        pinned = again("me/mine", revision)
        assert (pinned.revision, pinned.digest) == (old, first.digest)
    (problem,) = refusal("me/mine", "release/2.0")
    assert "not its revision 'release/2.0'" in problem


def test_a_network_that_is_down_is_no_matter_where_the_cache_is_filled(
    model: Path, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hub.push("me/mine", files_of(model))
    before = again("me/mine")
    with socket.socket() as nobody:  # a port that nobody listens at
        nobody.bind(("127.0.0.1", 0))
        connect(monkeypatch, f"http://127.0.0.1:{nobody.getsockname()[1]}", tmp_path / "home")
        assert again("me/mine") == before
        assert f"taken from the cache at {before.revision}" in caplog.text
        (problem,) = refusal("me/other", "v1")
    assert problem.endswith("with a network, run: hf download me/other --revision v1")


def test_a_hub_that_takes_calls_and_says_nothing_is_waited_for_once(
    folder: Path, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.push("me/mine", files_of(folder))
    before = again("me/mine")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        connect(monkeypatch, f"http://127.0.0.1:{mute.getsockname()[1]}", tmp_path / "home")
        began = time.monotonic()
        assert again("me/mine") == before
        for name in ("me/a", "me/b", "me/c"):
            (problem,) = refusal(name)
            assert "ReadTimeout" in problem and f"hf download {name}" in problem
        assert 0.9 < time.monotonic() - began < 2.5  # `connect` has it wait for one second


def test_a_download_that_broke_off_is_no_model(
    model: Path, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.push("me/mine", files_of(model))
    found = again("me/mine")
    assert found.folder is not None
    (found.folder / "model.safetensors").unlink()
    connect(monkeypatch, hub.url, tmp_path / "home", offline=True)
    assert cached_snapshot("me/mine", "model", None, ["model.safetensors"]) is None
    assert "not wholly, in the cache" in refusal("me/mine")[0]
    connect(monkeypatch, hub.url, tmp_path / "home")
    assert again("me/mine") == found


def test_the_environment_is_obeyed_by_a_new_process(folder: Path, tmp_path: Path) -> None:
    """HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE, as a user sets them; a process, because they are read at import."""
    code = "import sys; from raystudy.data.plm import resolve; print(resolve('me/mine').digest)"
    hub = FakeHub()
    commit = hub.push("me/mine", files_of(folder))

    def told(**more: str) -> str:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        env = {**clean, "HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.url, **more}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    with hub.serving():
        online = told()
    assert online == resolve(str(folder)).digest == told(HF_HUB_OFFLINE="1")
    assert (tmp_path / "home" / "hub" / "models--me--mine" / "snapshots" / commit).is_dir()


# ---------------------------------------------------------------------------------------------------------------------
# trained


def trained(plm: Path | str, size: int = 1) -> list[Ran]:
    """A small cell on that model, on `size` simulated ranks."""
    embed._MEMO.clear()
    spec = spec_of("meta_dtl", max_updates=3)
    places = Places(plm=str(plm))
    outcomes = simulate(size, lambda workers: train.run(spec, places, workers=workers))
    return [Ran(o, {}) for o in outcomes]


def test_a_model_of_ones_own_is_trained_alike_by_one_worker_or_two(model: Path) -> None:
    (alone,) = trained(model)
    assert alone.outcome.record.status == "done"
    assert alone.outcome.record.metrics["test"]
    for rank in trained(model, 2):
        assert_close_json(alone.record, rank.record, 1e-10)
        assert_same_answers(alone.outcome, rank.outcome, 1e-10)


@pytest.mark.parametrize("kind", sorted(FAMILIES.keys() - {"bert", "albert"}))
def test_every_family_is_trained(kind: str, tmp_path: Path) -> None:
    """On two workers where texts are padded, as nothing else shows it."""
    folder = checkpoint(tmp_path / "mine", kind)
    verify(resolve(str(folder)))
    (alone,) = trained(folder)
    assert alone.outcome.record.metrics["test"]
    if kind == "deberta-v2":
        for rank in trained(folder, 2):
            assert_close_json(alone.record, rank.record, 1e-10)


def test_a_cell_is_bitwise_the_same_on_the_folder_and_from_the_hub(model: Path, hub: FakeHub) -> None:
    hub.push("me/mine", files_of(model))
    (local,), (online,) = trained(model), trained("me/mine")
    assert comparable(local.outcome.record) == comparable(online.outcome.record)
    assert_same_answers(local.outcome, online.outcome)


def test_weights_under_the_names_of_other_checkpoints_are_the_same_weights(folder: Path) -> None:
    """With the prefix of a model with heads, and with the LayerNorm names of the first BERT checkpoints."""
    plain = Body(resolve(str(folder))).state_dict()
    old_names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    reweigh(folder, lambda k: "bert." + re.sub("|".join(old_names), lambda m: old_names[m[0]], k))
    plm = again(str(folder))
    verify(plm)
    other = Body(plm).state_dict()
    assert plain.keys() == other.keys() and all(torch.equal(w, other[k]) for k, w in plain.items())


def test_a_pooler_that_a_checkpoint_lacks_is_new_but_always_the_same(folder: Path) -> None:
    with_it = Body(resolve(str(folder)))
    reweigh(folder, lambda k: None if k.startswith("pooler.") else k)
    plm = again(str(folder))
    verify(plm)
    assert "no pooler among its weights" in plm.about
    poolers = []
    for seed in (1, 2):
        _template.cache_clear()
        torch.manual_seed(seed)
        poolers.append(Body(plm).model.pooler.dense.weight)
    assert torch.equal(*poolers)
    assert not torch.equal(poolers[0], with_it.model.pooler.dense.weight)


# ---------------------------------------------------------------------------------------------------------------------
# refused


Spoil = Callable[[Path], object]


def without(*names: str) -> Spoil:
    return lambda folder: [(folder / n).unlink() for n in names]


def halved(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def in_shards(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": dict(zip("ab", shards, strict=True))})
    )


def cased(folder: Path) -> None:
    words = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Hello", "hello", "a"])}
    tok = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    tok.normalizer, tok.pre_tokenizer = normalizers.BertNormalizer(lowercase=False), pre_tokenizers.BertPreTokenizer()
    tok.save(str(folder / "tokenizer.json"))
    configure(folder, "tokenizer_config.json", tokenizer_class="BertTokenizer")


SPOILT: dict[str, tuple[Spoil, str]] = {
    "no config": (without("config.json"), r"holds no config.json"),
    "config no JSON": (
        lambda f: (f / "config.json").write_text('{"model_type": '),
        "config.json must be a JSON object",
    ),
    "config a list": (lambda f: (f / "config.json").write_text("[1]"), r"must be a JSON object, but is \[1\]"),
    "other family": (
        lambda f: configure(f, model_type="robberta"),
        "electra, modernbert, deberta-v2, but is 'robberta' — did you mean 'roberta'?",
    ),
    "no family": (lambda f: configure(f, model_type=None), "deberta-v2, but is None"),
    "code of its own": (
        lambda f: configure(f, auto_map={"AutoModel": "evil.Model"}),
        "config.json asks for code of its own to be run",
    ),
    "a tokenizer with code": (
        lambda f: configure(f, "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]}),
        "tokenizer_config.json asks for code of its own to be run",
    ),
    "a decoder": (lambda f: configure(f, is_decoder=True), "is_decoder in config.json must be false"),
    "quantised": (lambda f: configure(f, quantization_config={"bits": 4}), "quantised weights cannot be trained"),
    "width as text": (
        lambda f: configure(f, hidden_size="16"),
        "hidden_size in config.json must be a whole number of at least 1, but is '16'",
    ),
    "no vocabulary size": (
        lambda f: configure(f, vocab_size=None),
        "vocab_size in config.json must be a whole number of at least 1, but is not there",
    ),
    "one segment": (lambda f: configure(f, type_vocab_size=1), "type_vocab_size in config.json must be .* at least 2"),
    "heads that do not divide": (lambda f: configure(f, num_attention_heads=3), r"config.json: .*multiple"),
    "wider than its weights": (
        lambda f: configure(f, intermediate_size=32),
        r"intermediate.dense.weight must have the shape \[32, 16\] by config.json, but its weights have \[24, 16\]",
    ),
    "deeper than its weights": (
        lambda f: configure(f, num_hidden_layers=3),
        r"its weights lack what config.json announces: encoder.layer.2.* and 13 more",
    ),
    "a vocabulary of others": (
        lambda f: configure(f, vocab_size=200),
        r"tokenizer gives ids up to 221, but vocab_size in config.json is 200",
    ),
    "only a pickle": (pickled, r"only pytorch_model.bin; pickled weights are never loaded here.*python -c"),
    "weights cut off": (halved, "model.safetensors is not a whole safetensors file"),
    "a pointer": (
        lambda f: (f / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n"),
        "it is a Git LFS pointer: git lfs pull",
    ),
    "a part missing": (in_shards, "weights are missing: 1 of the 2 files model-NNNNN-of-00002"),
    "no tokenizer": (without("tokenizer.json"), "holds no tokenizer: neither tokenizer.json nor vocab.txt"),
    "tokenizer no JSON": (lambda f: (f / "tokenizer.json").write_text("{"), "its tokenizer cannot be read"),
    "no special tokens": (
        lambda f: configure(f, "tokenizer_config.json", sep_token=None, pad_token=None),
        "must have a cls, sep, pad and unk token, but has no sep, pad",
    ),
    "a cased tokenizer that does not say so": (cased, "tokenizer.json cuts text in another way than the BertTokenizer"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_model_that_cannot_serve_is_refused(what: str, folder: Path) -> None:
    spoil, says = SPOILT[what]
    verify(resolve(str(folder)))
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\nclass Model: pass\nclass Tokenizer: pass\n")
    tokenizer.cache_clear()
    spoil(folder)
    problems = refusal(folder)
    assert any(re.search(says, p, re.DOTALL) for p in problems), problems
    assert all(p.startswith("plm mine: ") and "\n" not in p for p in problems)
    assert not (folder / "ran").exists()


def test_everything_that_is_wrong_with_a_model_is_said_at_once(folder: Path) -> None:
    configure(folder, hidden_size=0, max_position_embeddings=1.5)
    without("tokenizer.json")(folder)
    pickled(folder)
    assert len(refusal(folder)) == 4


def test_a_sentencepiece_model_without_its_reader_is_refused(tmp_path: Path) -> None:
    if importlib.util.find_spec("sentencepiece") is not None:
        pytest.skip("sentencepiece is installed")
    folder = checkpoint(tmp_path / "mine", "albert")
    (folder / "tokenizer.json").rename(folder / "spiece.model")
    (problem,) = refusal(folder)
    assert problem.endswith("pip install sentencepiece protobuf")


def test_the_command_that_converts_a_pickle_converts_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole sentence is taken from the message and run as it stands."""
    before = again(str(folder))
    whole = Body(before).state_dict()
    torch.save({k: v.clone() for k, v in whole.items() if k.startswith("model.")}, folder / "x")
    state = {k.removeprefix("model."): v for k, v in torch.load(folder / "x", weights_only=True).items()}
    torch.save(state, folder / "pytorch_model.bin")
    without("x", "model.safetensors")(folder)
    (problem,) = refusal(folder)
    found = re.search(r'python -c "(.*)" and name', problem)
    assert found is not None
    monkeypatch.chdir(tmp_path)
    exec(found[1], {})  # what `python -c` does, without another import of torch
    plm = again(str(tmp_path / "converted"))
    verify(plm)
    converted = Body(plm).state_dict()
    assert all(torch.equal(w, converted[k]) for k, w in whole.items())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("me/closed", "is gated: agree to its terms at .*/me/closed, then run: hf auth login"),
        ("me/none", "the hub has no model me/none, or it is private"),
        ("minilmm", "did you mean 'minilm'"),
        ("no id", "must be a hub id"),
        ("./none", "there is no such folder"),
        ("me/pickle", r"me/pickle holds no model.safetensors.*from_pretrained\('me/pickle', revision='[0-9a-f]{40}'"),
    ],
)
def test_what_the_hub_does_not_give_is_said_with_what_to_do(name: str, says: str, folder: Path, hub: FakeHub) -> None:
    hub.push("me/closed", files_of(folder), gated=403)
    pickled(folder)
    hub.push("me/pickle", files_of(folder))
    (problem,) = refusal(name)
    assert re.search(says, problem), problem


def test_parts_that_are_missing_are_counted() -> None:
    assert absent_shards(["a.x", "train-00000-of-00002-ab.x", "train-00001-of-00002-cd.x"]) == []
    assert absent_shards(["b/train-00000-of-00003.x", "b/test-00000-of-00001.x"]) == [
        "2 of the 3 files b/train-NNNNN-of-00003"
    ]
