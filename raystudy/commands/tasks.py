"""``raystudy tasks [NAME]``: lists the data sets that a study may name, or shows one of them.

A data set of a user's own is shown by its file, ``tasks ./mytask.py``, which is run for it.
"""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raystudy.catalogue import suites
from raystudy.commands import Json, console, print_json, tell
from raystudy.errors import ConfigError, Problem, printable, unknown_name
from raystudy.own_entries import use_named
from raystudy.own_modules import in_use, names_a_file, own_module, split_entry
from raystudy.paths import is_folder, readable_folder
from raystudy.plugins import check_own_module, find_module, module_names
from raystudy.wording import listed

if TYPE_CHECKING:
    from raystudy.tasks import Example, Task

__all__ = ["tasks"]

_EXAMPLES = 3
_LONG = 110  # characters of an example's text that are shown
_FORMS = {"planted": "all", "teachers": "vector", "word_vectors": "vector"}  # of tasks that have no card
_READ_FROM = {"lexicon": ("vaderSentiment", "textblob", "nltk")}


def tasks(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A task or a suite; or ./mytask.py.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder with one folder per task.")] = None,
    as_json: Json = False,
) -> None:
    """List every task and suite, or show one: its card, and if it is here its sizes, labels, notes and examples."""
    data_root = None if data_root is None else readable_folder(data_root, where="--data-root")
    if name is not None:
        if names_a_file(name):
            path, part = split_entry(name)
            name = _own(path) + (f"/{part}" if part else "")
        _show_task_or_suite(name, data_root, as_json)
        return
    cards = {n: _card(n, data_root) for n in (*_built_in(), *_folders(data_root))}
    if as_json:
        print_json({"tasks": cards, "suites": {n: dict(s) for n, s in suites().items()}})
        return
    from raystudy.terminal import TerminalColumn, print_table

    columns = [
        TerminalColumn("task", whole=True),
        TerminalColumn("form", whole=True),
        TerminalColumn("classes", right=True, whole=True),
        TerminalColumn("here", whole=True),
        TerminalColumn("licence", least=24, spare=2),
        TerminalColumn("hub", whole=True, spare=1),
        TerminalColumn("about", least=36),
    ]
    rows = []
    for n, card in cards.items():
        classes = str(len(card["labels"])) if card["labels"] else ""
        here = "yes" if card["here"] else "no"
        rows.append([n, card["form"], classes, here, card["licence"], card["hub"] or "", card["about"]])
    terminal = console()
    hidden_columns = print_table(terminal, columns, rows)
    tell("")
    for n, suite in suites().items():
        same = list(suite["targets"]) == list(suite["tasks"])
        targets = "each a target" if same else f"targets {', '.join(suite['targets'])}"
        tell(f"suite {n}: {', '.join(suite['tasks'])}; {targets}")
    tell("")
    if hidden_columns:
        titles = listed(hidden_columns)
        tell(f"The columns {titles} need a wider terminal; of one task: python -m raystudy tasks NAME.")
    if data_root is None:
        tell("Which of them lie on this machine, and your own folders: --data-root DIR")


def _own(path: str) -> str:
    """The name of a data set of the user's own, which is in use from now on.

    Raises:
        ConfigError: everything that is wrong with its file.
    """
    own = use_named("tasks", path, "NAME")
    if problems := check_own_module(own):
        raise ConfigError(problems)
    return own.name


def _built_in() -> list[str]:
    """The modules that are data sets, ours and one of the user's own; ``folder`` reads those that are none."""
    return [*(n for n in module_names("tasks") if n != "folder"), *(m.name for m in in_use() if m.kind == "tasks")]


def _folders(root: Path | None) -> list[str]:
    """The folders of a data root that no module reads: a user's own tasks."""
    folder_names = sorted(p.name for p in root.iterdir() if is_folder(p) and not p.name.startswith(".")) if root else []
    return [n for n in folder_names if n not in (*module_names("tasks"), *_built_in())]


def _card(name: str, root: Path | None) -> dict[str, Any]:
    """What is known of a data set before any of it is read. Generated tasks and the lexicon need no data root."""
    if name not in _built_in():
        own: dict[str, Any] = {"about": f"your own folder {root}/{name}", "here": True}
        return own | {"form": "", "labels": [], "parts": [], "licence": "", "source": "", "hub": None, "get": ""}
    module = find_module("tasks", name)
    card = getattr(module, "CARD", None)
    about = (module.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
    hub = getattr(card, "hub", None)
    return {
        "about": about,
        "form": getattr(card, "form", _FORMS.get(name, "single")),
        "labels": list(getattr(card, "labels", ())),
        "parts": [
            *(getattr(card, "domains", ()) or getattr(module, "PARTS", ())),
            *getattr(module, "VECTORS", ()),
        ],
        "metric": getattr(card, "metric", ""),
        "licence": getattr(card, "licence", ""),
        "source": getattr(card, "source", ""),
        "hub": getattr(hub, "id", hub),
        "get": getattr(card, "get", ""),
        "here": (root is not None and is_folder(root / name)) if card is not None else _can_be_made(name, root),
    }


def _can_be_made(name: str, root: Path | None) -> bool:
    """Whether a task without a card can be made here: the packages, or the data sets, that it is made from are here."""
    if name == "word_vectors":
        tagged = (
            n for n in _built_in() if getattr(getattr(find_module("tasks", n), "CARD", None), "form", "") == "tagging"
        )
        return root is not None and any(is_folder(root / n) for n in tagged)
    return all(importlib.util.find_spec(package) is not None for package in _READ_FROM.get(name, ()))


def _show_task_or_suite(name: str, root: Path | None, as_json: bool) -> None:
    """Print one task, or the tasks of one suite.

    Raises:
        ConfigError: there is no such task or suite. DataError: it is here, and cannot be read.
    """
    if name in suites() and name not in _built_in():
        suite = suites()[name]
        if as_json:
            print_json({"suite": name, **suite})
        else:
            tell(f"suite {name}: {suite['about']}")
            for task in suite["tasks"]:
                tell(f"    {task}" + (" (target)" if task in suite["targets"] else ""))
        return
    module, _, part = name.partition("/")
    known_names = {*_built_in(), *_folders(root)}
    if module not in known_names:
        raise ConfigError(Problem(unknown_name("task", module, sorted(known_names | {*suites()})), "NAME"))
    card = _card(module, root)
    parts = card["parts"]
    if part and parts and part not in parts:
        raise ConfigError(Problem(unknown_name(f"part of {module}", part, parts), "NAME"))
    # a family without a whole (the lexicon, generated tasks) is shown part by part
    whole = part or not parts or module not in ("lexicon", *_FORMS, *([module] if own_module("tasks", module) else []))
    names_to_show = [name] if whole else [f"{module}/{p}" for p in parts]
    facts_of_task = {n: _facts(n, root) for n in names_to_show} if card["here"] else {}
    if as_json:
        print_json({"task": name, "card": card, "read": facts_of_task})
        return
    # what was read says its source and licence itself
    from raystudy.terminal import print_facts

    keys = ("about", "form", "labels", "parts", "metric", *(() if facts_of_task else ("source", "licence")), "hub")
    values = {key: card.get(key) or "" for key in keys}
    facts = [(key, ", ".join(value) if isinstance(value, list) else value) for key, value in values.items()]
    if not card["here"]:
        where = "" if root is not None else "\ngive the folder that holds it with --data-root DIR"
        facts.append(("here", "no" + (f"; {card['get']}" if card["get"] else "") + where))
    print_facts(console(), facts)
    for n, task in facts_of_task.items():
        _print_task(n, task)


def _facts(name: str, root: Path | None) -> dict[str, Any]:
    """The sizes, the label counts, the notes and the first examples of a task that is here."""
    from raystudy.tasks import load

    task = load(name, root=root)
    return {
        "form": task.form,
        "kind": task.kind,
        "metrics": list(task.all_metrics),
        "labels": list(task.labels),
        "label_text": dict(task.label_text),
        "licence": task.licence,
        "source": task.source,
        "sizes": {split: len(examples) for split, examples in task.splits.items()},
        "counts": {split: _counts(task, examples) for split, examples in task.splits.items()},
        "notes": list(task.notes),
        "examples": [_example(e) for e in task.splits["train"][:_EXAMPLES]],
        "digest": task.digest,
    }


def _counts(task: Task, examples: tuple[Example, ...]) -> dict[str, float]:
    """Label -> number of examples, or tag -> number of tokens; of numbers their least, mean and greatest."""
    if task.kind == "regression":
        values = [e.label for e in examples if isinstance(e.label, float)]
        return {"least": min(values), "mean": sum(values) / len(values), "greatest": max(values)}
    label_counts: Counter[str] = Counter()
    for e in examples:
        label_counts.update(e.label if isinstance(e.label, tuple) else [str(e.label)])
    return {label: label_counts[label] for label in task.labels}


def _example(e: Example) -> dict[str, Any]:
    fields = {"text": e.text, "pair": e.pair, "tokens": list(e.tokens), "vector": list(e.vector), "label": e.label}
    return {k: v for k, v in fields.items() if v or k == "label"}


def _print_task(name: str, task: Mapping[str, Any]) -> None:
    from raystudy.terminal import print_facts

    sizes = " / ".join(str(task["sizes"][s]) for s in ("train", "dev", "test"))
    tell(f"\n{name}: {task['form']}, {task['kind']}, train / dev / test {sizes}; {', '.join(task['metrics'])}")
    words = [f"{label} = {text!r}" for label, text in task["label_text"].items() if text != label]
    facts = [
        *(
            (split, ", ".join(f"{printable(label)} {n:g}" for label, n in counts.items()))
            for split, counts in task["counts"].items()
        ),
        *((key, task[key]) for key in ("source", "licence")),
        ("label words", ", ".join(words)),
        *(("note", note) for note in task["notes"]),
    ]
    print_facts(console(), facts, indent=4)
    for e in task["examples"]:
        text = json.dumps(e.get("tokens") or e.get("vector") or e.get("text", ""), ensure_ascii=False)
        pair = f" | {_cut(json.dumps(e['pair'], ensure_ascii=False))}" if "pair" in e else ""
        tell(f"    {_cut(text)}{pair} -> {_cut(json.dumps(e['label'], ensure_ascii=False))}")


def _cut(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _LONG else text[: _LONG - 3] + "..."
