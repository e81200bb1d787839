"""`tasks` and `methods` name everything that a study may name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raystudy import __main__ as commands
from raystudy.catalogue import catalogue, suites
from raystudy.errors import ConfigError
from raystudy.plugins import find_module, module_names
from raystudy.tasks import load


def told(*args: str) -> Any:
    out = CliRunner().invoke(commands.app, ["tasks", *args, "--json"])
    assert out.exit_code == 0, out.output + str(out.exception)
    return json.loads(out.stdout)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with a task of the user's own and one that a module reads."""
    rows = [{"text": f"text number {i}", "label": ("no", "yes")[i % 2]} for i in range(6)]
    for task in ("mine", "scitail"):
        (tmp_path / task).mkdir()
        for split in ("train", "validation", "test"):
            labels = ("neutral", "entails") if task == "scitail" else ("no", "yes")
            pair = {"text_pair": "another"} if task == "scitail" else {}
            lines = [
                json.dumps({**r, **pair, "text": f"{split} {r['text']}", "label": labels[r["label"] == "yes"]})
                for r in rows
            ]
            (tmp_path / task / f"{split}.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_every_module_every_suite_and_every_own_folder_is_listed(root: Path) -> None:
    listed = told("--data-root", str(root))
    assert set(listed["tasks"]) == {n for n in module_names("tasks") if n != "folder"} | {"mine"}
    assert set(listed["suites"]) == set(suites())
    here = {n for n, card in listed["tasks"].items() if card["here"]}
    assert here == {"mine", "scitail", "planted", "teachers", "lexicon"}
    assert not told()["tasks"]["scitail"]["here"]
    for n, card in listed["tasks"].items():
        if (known := getattr(find_module("tasks", n) if n != "mine" else None, "CARD", None)) is not None:
            assert (card["form"], tuple(card["labels"]), card["licence"]) == (known.form, known.labels, known.licence)


@pytest.mark.parametrize("name", ["planted/pair_target", "planted/tag_source", "mine", "scitail"])
def test_a_task_is_shown_as_it_is_loaded(root: Path, name: str) -> None:
    shown = told(name, "--data-root", str(root))["read"][name]
    task = load(name, root=root)
    assert shown["sizes"] == {s: len(e) for s, e in task.splits.items()}
    assert shown["digest"] == task.digest
    assert len(shown["examples"]) == 3
    if task.kind == "classification":
        assert {s: sum(c.values()) for s, c in shown["counts"].items()} == shown["sizes"]
        assert list(shown["counts"]["train"]) == list(task.labels)
    else:
        tokens = {s: sum(len(e.tokens) for e in examples) for s, examples in task.splits.items()}
        assert {s: sum(c.values()) for s, c in shown["counts"].items()} == tokens


def test_a_family_without_a_whole_is_shown_part_by_part() -> None:
    card = told("planted")
    assert set(card["read"]) == {f"planted/{p}" for p in card["card"]["parts"]}


def test_what_is_not_here_says_where_to_get_it(tmp_path: Path) -> None:
    out = CliRunner().invoke(commands.app, ["tasks", "sst5", "--data-root", str(tmp_path)])
    assert out.exit_code == 0
    assert "SetFit/sst5" in out.stdout
    assert "Socher" in out.stdout


def test_a_suite_names_its_tasks() -> None:
    assert told("review")["tasks"] == list(suites()["review"]["tasks"])
    assert "sst5 (target)" in CliRunner().invoke(commands.app, ["tasks", "review"]).stdout


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["sst55"], "did you mean 'sst5'?"),
        (["planted/targt"], "did you mean 'target'?"),
        (["sst5", "--data-root", "nowhere"], "--data-root: is not a folder: /"),
        (["myne", "--data-root", "."], "did you mean 'mine'?"),
    ],
)
def test_mistakes_are_answered_with_what_there_is(
    root: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], says: str
) -> None:
    monkeypatch.chdir(root)
    out = CliRunner().invoke(commands.app, ["tasks", *args])
    assert isinstance(out.exception, ConfigError)
    assert says in str(out.exception)


def test_a_variant_with_given_weights_shows_no_setting_that_they_leave_without_effect() -> None:
    """``unless_given``: where omega defines the variant, nothing is learnt of it."""
    name = "tawt_fixed[omega=a > 0.25; b > 0.75]"
    done = CliRunner().invoke(commands.app, ["methods", name])
    assert done.exit_code == 0, done.output
    rules = catalogue().parameters_of(name)
    dead = {n for n, p in rules.items() if "omega" in p.unless_given}
    shown = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    assert dead
    assert not dead & shown
    plain = CliRunner().invoke(commands.app, ["methods", "tawt_fixed"]).stdout
    assert dead & {line.split()[0] for line in plain.splitlines() if line.strip()}
